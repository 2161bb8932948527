//! The document against our own rules, against its examples, and before a foreign judge.

use std::collections::BTreeSet;
use std::process::Command;

use super::*;

/// `interfaces.md` section 1, without recall.
const ROUTES: [&str; 28] = [
    "POST /oauth2/token",
    "POST /v1/documents",
    "HEAD /v1/documents/{id}",
    "PATCH /v1/documents/{id}",
    "DELETE /v1/documents/{id}",
    "POST /v1/messages",
    "GET /v1/messages",
    "GET /v1/messages/{id}",
    "GET /v1/messages/{id}/proof",
    "GET /v1/messages/{id}/evidence",
    "GET /v1/evidence/{evidence_id}",
    "GET /v1/inbox",
    "GET /v1/inbox/{delivery_id}",
    "GET /v1/inbox/{delivery_id}/documents/{document_id}",
    "POST /v1/inbox/{delivery_id}/acknowledge",
    "POST /v1/inbox/{delivery_id}/accept",
    "POST /v1/inbox/{delivery_id}/refuse",
    "POST /v1/inbox/{delivery_id}/status",
    "GET /v1/events",
    "GET /v1/directory/parties",
    "GET /v1/directory/parties/{scheme}/{id}",
    "GET /v1/processes",
    "GET /v1/processes/{code}",
    "GET /health/live",
    "GET /health/ready",
    "GET /metrics",
    "GET /openapi.json",
    "GET /docs",
];

/// Method, path and operation.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            all.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    all
}

#[test]
fn every_route_is_there_and_no_other() {
    let found: BTreeSet<_> =
        operations(&document()).into_iter().map(|(m, p, _)| format!("{m} {p}")).collect();
    let wanted: BTreeSet<_> = ROUTES.iter().map(|r| (*r).to_owned()).collect();
    assert_eq!(found, wanted);
}

#[test]
fn every_operation_is_complete() {
    let document = document();
    let tags: Vec<_> =
        document["tags"].as_array().unwrap().iter().map(|t| t["name"].clone()).collect();
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let name = format!("{method} {path}");
        assert!(ids.insert(operation["operationId"].to_string()), "{name}");
        assert!(operation["summary"].as_str().is_some_and(|s| !s.is_empty()), "{name}");
        assert!(operation["x-summary-fr"].as_str().is_some_and(|s| !s.is_empty()), "{name}");
        assert!(tags.contains(&operation["tags"][0]), "{name}");
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let declared = parameters.iter().filter(|p| p["in"] == "path").count();
        assert_eq!(declared, path.matches('{').count(), "{name}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{name}");
        if path.starts_with("/v1/") {
            for status in ["401", "403", "429", "500", "503"] {
                assert!(responses.contains_key(status), "{name} {status}");
            }
            assert!(operation["security"][0]["oauth2"][0].is_string(), "{name}");
        }
        for (status, response) in responses {
            let refused = status.starts_with('4') || status.starts_with('5');
            if refused && path != "/health/ready" {
                let shared = response["$ref"].as_str().map(|r| r.trim_start_matches('#'));
                let response = shared.map_or(response, |at| document.pointer(at).unwrap());
                assert!(response["content"]["application/problem+json"].is_object(), "{name}");
            }
        }
    }
}

/// Calls `visit` with every object of the document.
fn walk(value: &Value, visit: &mut impl FnMut(&Map<String, Value>)) {
    match value {
        Value::Object(map) => {
            visit(map);
            map.values().for_each(|v| walk(v, visit));
        }
        Value::Array(items) => items.iter().for_each(|v| walk(v, visit)),
        _ => {}
    }
}

#[test]
fn every_reference_resolves_and_every_component_is_used() {
    let document = document();
    let mut used = BTreeSet::new();
    walk(&document, &mut |map| {
        if let Some(Value::String(target)) = map.get("$ref") {
            let pointer = target.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{target}");
            used.insert(target.clone());
        }
    });
    for kind in ["schemas", "parameters", "headers", "responses"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            assert!(used.contains(&format!("#/components/{kind}/{name}")), "{kind} {name}");
        }
    }
}

#[test]
fn every_example_is_what_its_schema_says() {
    let document = document();
    let mut checked = 0;
    let mut validators = std::collections::HashMap::new();
    walk(&document, &mut |map| {
        let Some(schema) = map.get("schema") else { return };
        let one = map.get("example").cloned();
        let many = map.get("examples").and_then(Value::as_object).into_iter().flatten();
        let many = many.map(|(_, e)| {
            let target = e["$ref"].as_str().unwrap().trim_start_matches('#');
            document.pointer(target).unwrap()["value"].clone()
        });
        for example in one.into_iter().chain(many) {
            let validator = validators.entry(schema.to_string()).or_insert_with(|| {
                let schema = json!({
                    "$schema": "https://json-schema.org/draft/2020-12/schema",
                    "allOf": [schema],
                    "components": { "schemas": document["components"]["schemas"] },
                });
                jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
            });
            let errors: Vec<_> = validator.iter_errors(&example).map(|e| e.to_string()).collect();
            assert!(errors.is_empty(), "{errors:?} in {example}");
            checked += 1;
        }
    });
    assert!(checked > 60, "{checked}");
}

#[test]
fn a_foreign_validator_finds_the_document_valid() {
    let Some(python) = crate::judge::python("openapi_spec_validator") else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("openapi.json");
    std::fs::write(&file, crate::openapi()).unwrap();
    let verdict = Command::new(&python)
        .args(["-m", "openapi_spec_validator", "--schema", "3.1"])
        .arg(&file)
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&verdict.stdout).into_owned()
        + &String::from_utf8_lossy(&verdict.stderr);
    assert!(verdict.status.success(), "{words}");
    // And the judge does judge.
    std::fs::write(&file, crate::openapi().replace("\"responses\"", "\"answers\"")).unwrap();
    let verdict = Command::new(&python)
        .args(["-m", "openapi_spec_validator", "--schema", "3.1"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(!verdict.status.success());
}
