//! The published contract, written from the types: `cargo run -p schemas --example generate`.
//!
//! - `json/`: JSON Schema 2020-12 of what is sealed, and of the REST shapes.
//! - `openapi.json`: OpenAPI 3.1 of `/v1` (`generate/openapi.rs` assembles, `generate/routes.rs`
//!   names every route).
//! - `asyncapi.yaml`: AsyncAPI 3 of the lanes.
//! - `frame.cddl`: CDDL (RFC 8610) of the frames' bodies.
//! - `problems.md`: a page for each problem code.
//!
//! The files are committed; a test compares them with what the types say now.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use crate::catalogue::Catalogue;
use crate::directory::{MembersList, RootList};
use crate::dispatch::{ContentKeys, ContentPart, Dispatch};
use crate::envelope::{
    Envelope, MAX_DOCUMENTS, MAX_NAME, MAX_RECIPIENTS, MAX_SENDER_REF, MAX_SUBJECT,
};
use crate::evidence::Evidence;
use crate::problem::{Problem, TYPE_ROOT};
use crate::status::StatusUpdate;
use crate::{api, sample};

mod asyncapi;
mod cddl;
mod openapi;
mod operation;
mod pages;
mod print;
mod routes;
mod uploads;

/// Root of the `$id` of the JSON Schemas: a name, not a place to fetch from.
pub const SCHEMA_ROOT: &str = "https://pli.example/schemas/v1/";

/// Every generated file: its path below `schemas/`, and its contents.
#[must_use]
pub fn generated() -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = sealed()
        .into_iter()
        .map(|(name, schema)| (format!("json/{name}.json"), print::json(&schema)))
        .collect();
    files.push(("json/rest.json".to_owned(), print::json(&rest())));
    files.push(("openapi.json".to_owned(), print::json(&openapi::document())));
    files.push(("asyncapi.yaml".to_owned(), print::yaml(&asyncapi::document())));
    files.push(("frame.cddl".to_owned(), cddl::document()));
    files.push(("problems.md".to_owned(), pages::problems()));
    files
}

/// One schema for each object that is sealed or answered on its own, with an example.
fn sealed() -> Vec<(&'static str, Value)> {
    vec![
        ("envelope", alone::<Envelope>("envelope", &sample::envelope())),
        ("dispatch", alone::<Dispatch>("dispatch", &sample::dispatch())),
        ("content-part", alone::<ContentPart>("content-part", &sample::frames::content_part())),
        ("content-keys", alone::<ContentKeys>("content-keys", &sample::content_keys())),
        (
            "evidence",
            alone::<Evidence>(
                "evidence",
                &sample::evidence(crate::event::Event::SubmissionAcceptance),
            ),
        ),
        ("recall", alone::<crate::recall::Recall>("recall", &sample::frames::recall_json())),
        ("status", alone::<StatusUpdate>("status", &sample::status_update())),
        ("root-list", alone::<RootList>("root-list", &sample::root_list())),
        ("members-list", alone::<MembersList>("members-list", &sample::members_list())),
        ("catalogue", alone::<Catalogue>("catalogue", &sample::catalogue())),
        ("problem", alone::<Problem>("problem", &sample::problem())),
    ]
}

/// The schema of `T` as it is written, with `example`.
fn alone<T: JsonSchema>(name: &str, example: &impl serde::Serialize) -> Value {
    let settings =
        SchemaSettings::draft2020_12().for_serialize().with_transform(RecursiveTransform(in_words));
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    if let Some(object) = schema.as_object_mut() {
        object.insert("$id".to_owned(), json!(format!("{SCHEMA_ROOT}{name}.json")));
        object.insert("examples".to_owned(), json!([example]));
    }
    schema
}

/// All shapes of the REST interface as `$defs`.
fn rest() -> Value {
    let definitions = rest_schemas("#/$defs");
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("{SCHEMA_ROOT}rest.json"),
        "title": "REST shapes",
        "description": "The shapes of /v1; refer to one of the definitions.",
        "$defs": definitions,
    })
}

/// Rustdoc to words: constants by their value, links by their name, notes for maintainers left out.
fn in_words(schema: &mut Schema) {
    let Some(Value::String(text)) = schema.get_mut("description") else { return };
    for (name, value) in [
        ("MAX_RECIPIENTS", MAX_RECIPIENTS),
        ("MAX_DOCUMENTS", MAX_DOCUMENTS),
        ("MAX_NAME", MAX_NAME),
        ("MAX_SENDER_REF", MAX_SENDER_REF),
        ("MAX_SUBJECT", MAX_SUBJECT),
    ] {
        *text = text.replace(&format!("[`{name}`]"), &value.to_string());
    }
    *text = text
        .replace("[`TYPE_ROOT`]", &format!("`{TYPE_ROOT}`"))
        .replace("[`", "`")
        .replace("`]", "`")
        .replace(" Used in stored state.", "")
        .replace('\n', " ");
}

/// Schemas of the REST shapes by name; references begin with `prefix`. Answers are described as
/// they are written, bodies of requests as they are read.
fn rest_schemas(prefix: &str) -> Map<String, Value> {
    let settings = |s: &mut SchemaSettings| {
        s.definitions_path = prefix.trim_start_matches('#').to_owned().into();
        s.meta_schema = None;
        s.transforms.push(Box::new(RecursiveTransform(in_words)));
    };
    let mut written =
        SchemaSettings::draft2020_12().for_serialize().with(settings).into_generator();
    written.subschema_for::<api::DocumentView>();
    written.subschema_for::<api::MessageView>();
    written.subschema_for::<api::Page<api::MessageView>>();
    written.subschema_for::<api::Page<api::Step>>();
    written.subschema_for::<api::Page<api::InboxItem>>();
    written.subschema_for::<api::Receipt>();
    written.subschema_for::<api::StatusReceipt>();
    written.subschema_for::<api::Page<api::CloudEvent>>();
    written.subschema_for::<api::Page<api::DirectoryParty>>();
    written.subschema_for::<api::Page<crate::catalogue::Process>>();
    written.subschema_for::<api::Token>();
    written.subschema_for::<api::TokenProblem>();
    written.subschema_for::<api::Readiness>();
    written.subschema_for::<Problem>();
    written.subschema_for::<Evidence>();
    let mut read = SchemaSettings::draft2020_12().for_deserialize().with(settings).into_generator();
    read.subschema_for::<api::NewMessage>();
    read.subschema_for::<api::Refusal>();
    read.subschema_for::<api::NewStatus>();
    read.subschema_for::<api::TokenRequest>();
    let mut all = written.take_definitions(true);
    all.extend(read.take_definitions(true));
    all
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn no_description_speaks_to_maintainers() {
        for (path, contents) in generated() {
            for word in ["[`", "`]", "MAX_", "stored state", "lifecycle.md", "TYPE_ROOT"] {
                assert!(path == "problems.md" || !contents.contains(word), "{path}: {word}");
            }
        }
    }

    /// What its schema says about an object.
    fn verdict(name: &str, object: &Value) -> Result<(), String> {
        let (_, schema) = sealed().into_iter().find(|(n, _)| *n == name).unwrap();
        let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
        validator.validate(object).map_err(|e| e.to_string())
    }

    #[test]
    fn schemas_accept_what_is_written_and_refuse_what_is_not() {
        for (name, schema) in sealed() {
            let good = &schema["examples"][0];
            assert_eq!(verdict(name, good), Ok(()), "{name}");
            for (key, _) in good.as_object().unwrap() {
                let mut bad = good.clone();
                let required = schema["required"].as_array().unwrap().contains(&json!(key));
                bad.as_object_mut().unwrap().remove(key);
                assert_eq!(verdict(name, &bad).is_err(), required, "{name} without {key}");
                bad[key] = json!({ "x": [] });
                assert!(verdict(name, &bad).is_err(), "{name} with a wrong {key}");
            }
        }
    }

    #[test]
    fn schemas_accept_evidence_of_every_event() {
        for event in crate::event::Event::ALL {
            let evidence = serde_json::to_value(sample::evidence(event)).unwrap();
            assert_eq!(verdict("evidence", &evidence), Ok(()), "{event:?}");
        }
    }

    #[test]
    fn schemas_hold_the_bounds_that_a_schema_can_hold() {
        let refused = |change: fn(&mut Value)| {
            let mut envelope = json!(sample::envelope());
            change(&mut envelope);
            assert!(verdict("envelope", &envelope).is_err(), "{envelope}");
        };
        refused(|e| e["version"] = json!(2));
        refused(|e| e["recipients"] = json!([]));
        refused(|e| e["subject"] = json!("é".repeat(256)));
        refused(|e| e["documents"][0]["sha256"] = json!("AB".repeat(32)));
        refused(|e| e["documents"][0]["media_type"] = json!("text/plain; charset=utf-8"));
        refused(|e| e["sender"]["scheme"] = json!("iso6523:0060"));
        refused(|e| e["submitted_at"] = json!("yesterday"));
        refused(|e| e["message_id"] = json!("1"));
        refused(|e| e["surprise"] = json!(1));
    }

    #[test]
    fn the_committed_files_are_current() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (path, contents) in generated() {
            let committed = std::fs::read_to_string(root.join(&path)).unwrap_or_default();
            assert!(
                committed == contents,
                "{path} is not what the types say: cargo run -p schemas --example generate"
            );
        }
    }

    #[test]
    fn nothing_lies_in_the_folder_that_is_not_generated() {
        let known: Vec<_> = generated().into_iter().map(|(path, _)| path).collect();
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("json")).unwrap()
        {
            let name = format!("json/{}", entry.unwrap().file_name().to_string_lossy());
            assert!(known.contains(&name), "{name}");
        }
    }
}
