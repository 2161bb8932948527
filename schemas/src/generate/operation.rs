//! An operation of the OpenAPI document, put together part by part.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::problem::{Code, Problem};

/// Refusals that every operation behind a token may answer.
const COMMON: [Code; 7] = [
    Code::Unauthenticated,
    Code::NotAuthorised,
    Code::TooManyRequests,
    Code::Internal,
    Code::Overloaded,
    Code::StorageFull,
    Code::StoreUnavailable,
];

/// One method of one path.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    body: Map<String, Value>,
    parameters: Vec<Value>,
    responses: Map<String, Value>,
    refusals: Vec<Code>,
}

impl Operation {
    /// An operation with its id, its tag, and its summaries.
    pub(super) fn new(
        method: &'static str,
        path: &'static str,
        id: &str,
        tag: &str,
        summaries: (&str, &str),
    ) -> Self {
        let body = json!({
            "operationId": id,
            "tags": [tag],
            "summary": summaries.0,
            "x-summary-fr": summaries.1,
        });
        Self {
            method,
            path,
            body: body.as_object().cloned().unwrap_or_default(),
            parameters: Vec::new(),
            responses: Map::new(),
            refusals: Vec::new(),
        }
    }

    /// A longer text.
    pub(super) fn describe(mut self, text: &str) -> Self {
        self.body.insert("description".to_owned(), json!(text));
        self
    }

    /// Needs a token with this scope, and may answer the refusals that all such operations share.
    pub(super) fn scope(mut self, scope: &str) -> Self {
        self.body.insert("security".to_owned(), json!([{ "oauth2": [scope] }]));
        self.refusals.extend(COMMON);
        self.shared("traceparent")
    }

    /// Needs the client's own credentials, in the header or in the form.
    pub(super) fn client(mut self) -> Self {
        self.body.insert("security".to_owned(), json!([{ "client": [] }, {}]));
        self
    }

    /// Anybody may call it.
    pub(super) fn public(mut self) -> Self {
        self.body.insert("security".to_owned(), json!([]));
        self
    }

    /// A parameter of the path.
    pub(super) fn path(mut self, name: &str, schema: &str, about: &str) -> Self {
        self.parameters.push(json!({
            "name": name,
            "in": "path",
            "required": true,
            "description": about,
            "schema": reference(schema),
        }));
        self
    }

    /// A parameter of the query.
    pub(super) fn query(mut self, name: &str, schema: Value, about: &str) -> Self {
        self.parameters.push(json!({
            "name": name,
            "in": "query",
            "required": false,
            "description": about,
            "schema": schema,
        }));
        self
    }

    /// A parameter of `components/parameters`.
    pub(super) fn shared(mut self, name: &str) -> Self {
        self.parameters.push(json!({ "$ref": format!("#/components/parameters/{name}") }));
        self
    }

    /// The body of the request, by media type.
    pub(super) fn body(mut self, contents: &[(&str, Value)]) -> Self {
        let content = content(contents);
        self.body.insert("requestBody".to_owned(), json!({ "required": true, "content": content }));
        self
    }

    /// The body may be left out.
    pub(super) fn optional_body(mut self) -> Self {
        if let Some(body) = self.body.get_mut("requestBody").and_then(Value::as_object_mut) {
            body.insert("required".to_owned(), json!(false));
        }
        self
    }

    /// A good answer: status, what it means, contents by media type, headers.
    pub(super) fn answer(
        mut self,
        status: u16,
        about: &str,
        contents: &[(&str, Value)],
        headers: &[&str],
    ) -> Self {
        let mut response = json!({ "description": about });
        if let Some(object) = response.as_object_mut() {
            if !contents.is_empty() {
                object.insert("content".to_owned(), content(contents));
            }
            if !headers.is_empty() {
                object.insert("headers".to_owned(), header_references(headers));
            }
        }
        self.responses.insert(status.to_string(), response);
        self
    }

    /// Refusals beside the common ones.
    pub(super) fn refuse(mut self, codes: &[Code]) -> Self {
        self.refusals.extend(codes);
        self
    }

    /// The operation object.
    pub(super) fn finish(mut self) -> Value {
        let mut statuses: Vec<u16> = self.refusals.iter().map(|c| c.facts().status).collect();
        statuses.sort_unstable();
        statuses.dedup();
        for status in statuses {
            let codes = self.refusals.iter().filter(|c| c.facts().status == status);
            let answer = answer_of(status, codes.copied().collect());
            self.responses.entry(status.to_string()).or_insert(answer);
        }
        if self.refusals.contains(&Code::Unauthenticated) {
            let good = self.responses.iter_mut().filter(|(status, _)| status.starts_with('2'));
            for response in good.filter_map(|(_, r)| r.as_object_mut()) {
                let headers = response.entry("headers").or_insert_with(|| json!({}));
                headers["traceparent"] = json!({ "$ref": "#/components/headers/traceparent" });
            }
        }
        if !self.parameters.is_empty() {
            self.body.insert("parameters".to_owned(), Value::Array(self.parameters));
        }
        self.body.insert("responses".to_owned(), Value::Object(self.responses));
        Value::Object(self.body)
    }
}

/// A reference to a schema of the components.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// A media type object: a schema of the components and an example.
pub(super) fn typed(schema: &str, example: impl serde::Serialize) -> Value {
    json!({ "schema": reference(schema), "example": example })
}

/// Bytes: OpenAPI 3.1 leaves the schema away.
pub(super) fn binary() -> Value {
    json!({})
}

fn content(contents: &[(&str, Value)]) -> Value {
    contents
        .iter()
        .map(|(media, body)| ((*media).to_owned(), body.clone()))
        .collect::<Map<_, _>>()
        .into()
}

fn header_references(names: &[&str]) -> Value {
    names
        .iter()
        .map(|name| ((*name).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") })))
        .collect::<Map<_, _>>()
        .into()
}

/// `components/examples`: one problem for each code.
pub(super) fn problem_examples() -> Value {
    Code::ALL
        .into_iter()
        .map(|code| {
            let facts = code.facts();
            let problem = Problem {
                instance: "urn:uuid:019ab04e-7f28-7cc3-98c4-dc0c0c07398f".to_owned(),
                ..Problem::new(code, facts.title, facts.title_fr)
            };
            (code.to_string(), json!({ "summary": facts.title, "value": problem }))
        })
        .collect::<Map<_, _>>()
        .into()
}

/// `components/responses`: the refusals that all operations behind a token share, by status.
pub(super) fn common_responses() -> Value {
    let mut all = Map::new();
    for code in COMMON {
        let status = code.facts().status;
        all.entry(format!("refused-{status}")).or_insert_with(|| refusal(status, common(status)));
    }
    all.into()
}

fn common(status: u16) -> Vec<Code> {
    COMMON.into_iter().filter(|c| c.facts().status == status).collect()
}

/// A reference to a common response, or a response of its own.
fn answer_of(status: u16, codes: Vec<Code>) -> Value {
    let distinct = |codes: &[Code]| codes.iter().map(|c| c.as_str()).collect::<BTreeSet<_>>();
    if distinct(&codes) == distinct(&common(status)) {
        return json!({ "$ref": format!("#/components/responses/refused-{status}") });
    }
    refusal(status, codes)
}

/// All refusals of one status: one example for each code.
fn refusal(status: u16, mut codes: Vec<Code>) -> Value {
    codes.sort_by_key(|c| c.as_str());
    codes.dedup();
    let examples: Map<String, Value> = codes
        .iter()
        .map(|code| (code.to_string(), json!({ "$ref": format!("#/components/examples/{code}") })))
        .collect();
    let names: Vec<_> = codes.iter().map(|c| format!("`{c}`")).collect();
    let mut response = json!({
        "description": names.join(", "),
        "content": {
            "application/problem+json": { "schema": reference("Problem"), "examples": examples },
        },
    });
    let headers: &[&str] = match status {
        401 => &["WWW-Authenticate"],
        416 => &["Content-Range"],
        429 | 503 => &["Retry-After"],
        _ => &[],
    };
    if let (Some(object), false) = (response.as_object_mut(), headers.is_empty()) {
        object.insert("headers".to_owned(), header_references(headers));
    }
    response
}
