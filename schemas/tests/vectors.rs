//! The golden vectors of `vectors/`: replayed by the types, by the published JSON Schemas, and
//! computed again by an independent program (`vectors/judge.py`), so that whoever writes another
//! node can use the same files.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)]

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use schemas::catalogue::Catalogue;
use schemas::check::Invalid;
use schemas::directory::{MembersList, RootList};
use schemas::dispatch::Dispatch;
use schemas::envelope::Envelope;
use schemas::event::Event;
use schemas::evidence::Evidence;
use schemas::frame::{self, BadFrame};
use schemas::ids::{
    BadId, Cog, ConversationId, DeliveryId, EvidenceId, NodeId, ProcessCode, Siren, Siret,
    namespace,
};
use schemas::party::Party;
use schemas::status::StatusUpdate;
use schemas::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

fn vectors(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder().join(name)).unwrap()).unwrap()
}

/// The list at `key`, which must not be empty.
fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    let found = value[key].as_array().unwrap();
    assert!(!found.is_empty(), "{key}");
    found
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}"))
}

fn identifiers<T: FromStr<Err = BadId> + ToString + Debug>(name: &str) {
    let all = &vectors("identifiers.json")[name];
    for case in list(all, "valid") {
        let value = text(case, "value");
        assert_eq!(value.parse::<T>().unwrap().to_string(), value);
    }
    for case in list(all, "invalid") {
        let found = match text(case, "value").parse::<T>().unwrap_err() {
            BadId::Shape(..) => "shape",
            BadId::CheckDigit(_) => "check-digit",
        };
        assert_eq!(found, text(case, "error"), "{name}: {case}");
    }
}

#[test]
fn identifiers_are_read_or_refused_for_the_reason_given() {
    identifiers::<Siren>("siren");
    identifiers::<Siret>("siret");
    identifiers::<Cog>("cog");
    identifiers::<NodeId>("node");
    identifiers::<ProcessCode>("process");
    identifiers::<ConversationId>("conversation");
}

#[test]
fn every_node_derives_the_same_identifiers() {
    let all = vectors("derived-ids.json");
    assert_eq!(namespace().to_string(), text(&all, "namespace"));
    let index = |case: &Value| case["recipient_index"].as_u64().map(|i| i.try_into().unwrap());
    for case in list(&all, "deliveries") {
        let message = text(case, "message").parse().unwrap();
        let id = DeliveryId::derive(message, index(case).unwrap());
        assert_eq!(id.to_string(), text(case, "id"));
    }
    for case in list(&all, "evidence") {
        let (issuer, message) = (text(case, "issuer"), text(case, "message"));
        let hop = case["hop"].as_u64().unwrap().try_into().unwrap();
        let (issuer, message) = (issuer.parse().unwrap(), message.parse().unwrap());
        let id = EvidenceId::derive(&issuer, message, index(case), text(case, "event"), hop);
        assert_eq!(id.to_string(), text(case, "id"));
    }
}

/// The schema of a party as it stands inside that of the envelope.
fn party_schema() -> jsonschema::Validator {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("json/envelope.json");
    let envelope: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    jsonschema::validator_for(&envelope["$defs"]["Party"]).unwrap()
}

#[test]
fn types_and_schema_say_the_same_of_parties() {
    let (all, schema) = (vectors("parties.json"), party_schema());
    for case in list(&all, "valid") {
        let party: Party = serde_json::from_value(case["party"].clone()).unwrap();
        assert_eq!(party.check(), Ok(()), "{case}");
        assert_eq!(party.key(), text(case, "key"));
        assert_eq!(json!(party), case["party"]);
        assert!(schema.is_valid(&case["party"]), "{case}");
    }
    for case in list(&all, "invalid") {
        let party = serde_json::from_value::<Party>(case["party"].clone());
        assert!(party.is_err() || party.unwrap().check().is_err(), "{case}");
        assert_eq!(schema.is_valid(&case["party"]), text(case, "schema") == "accepts", "{case}");
    }
}

#[test]
fn times_are_read_to_the_millisecond() {
    let all = vectors("times.json");
    for case in list(&all, "valid") {
        let time: Timestamp = text(case, "text").parse().unwrap();
        assert_eq!(Some(time.millis()), case["millis"].as_i64(), "{case}");
        assert_eq!(time.to_string(), text(case, "written"));
    }
    for case in list(&all, "invalid") {
        assert!(text(case, "text").parse::<Timestamp>().is_err(), "{case}");
    }
}

/// What the bytes say, written again.
fn rewritten(kind: &str, bytes: &[u8]) -> Result<Vec<u8>, BadFrame> {
    fn again<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<Vec<u8>, BadFrame> {
        frame::decode::<T>(bytes).map(|body| frame::encode(&body))
    }
    match kind {
        "dispatch" => again::<frame::DispatchFrame>(bytes),
        "evidence" => again::<frame::EvidenceFrame>(bytes),
        "status" => again::<frame::StatusFrame>(bytes),
        "directory" => again::<frame::DirectoryFrame>(bytes),
        "content" => again::<frame::ContentFrame>(bytes),
        "recall" => again::<frame::RecallFrame>(bytes),
        "recollection" => again::<frame::RecollectionFrame>(bytes),
        other => panic!("no frame of type {other}"),
    }
}

#[test]
fn frames_are_read_and_written_byte_by_byte() {
    let all = vectors("frames.json");
    let bytes = |case: &Value, key: &str| hex::decode(text(case, key)).unwrap();
    for case in list(&all, "valid") {
        let written = rewritten(text(case, "type"), &bytes(case, "hex")).unwrap();
        assert_eq!(hex::encode(written), text(case, "hex"), "{case}");
    }
    for case in list(&all, "also_read") {
        let written = rewritten(text(case, "type"), &bytes(case, "hex")).unwrap();
        assert_eq!(hex::encode(written), text(case, "as"), "{case}");
    }
    for case in list(&all, "invalid") {
        let found = match rewritten(text(case, "type"), &bytes(case, "hex")).unwrap_err() {
            BadFrame::TooLarge(_) => "too-large",
            BadFrame::Malformed(_) => "malformed",
            BadFrame::Trailing(_) => "trailing",
        };
        assert_eq!(found, text(case, "error"), "{case}");
    }
}

/// Reads `value` as the object `name` is typed: its verdict, and the bytes that would be sealed.
fn read(name: &str, value: Value) -> (Result<(), Invalid>, Vec<u8>) {
    fn of<T: DeserializeOwned + Serialize>(
        value: Value,
        check: fn(&T) -> Result<(), Invalid>,
    ) -> (Result<(), Invalid>, Vec<u8>) {
        let object: T = serde_json::from_value(value).unwrap();
        (check(&object), serde_json::to_vec(&object).unwrap())
    }
    match name {
        "envelope" => of(value, Envelope::check),
        "dispatch" => of(value, Dispatch::check),
        "status" => of(value, StatusUpdate::check),
        "root-list" => of(value, RootList::check),
        "members-list" => of(value, MembersList::check),
        "catalogue" => of(value, Catalogue::check),
        _ if name.starts_with("evidence-") => of(value, Evidence::check),
        other => panic!("no object {other}"),
    }
}

fn sealed(file: &str) -> Vec<u8> {
    std::fs::read(folder().join("sealed").join(file)).unwrap()
}

#[test]
fn sealed_objects_are_written_octet_for_octet() {
    let all = vectors("digests.json");
    for file in all["sha256"].as_object().unwrap().keys() {
        let Some(name) = file.strip_suffix(".json") else { continue };
        let bytes = sealed(file);
        let (verdict, written) = read(name, serde_json::from_slice(&bytes).unwrap());
        assert_eq!(verdict, Ok(()), "{file}");
        assert!(written == bytes, "{file} would be written with other octets");
    }
}

#[test]
fn evidence_says_the_same_in_json_and_xml() {
    for event in Event::ALL {
        let name = event.clause().replace('.', "");
        let json: Evidence =
            serde_json::from_slice(&sealed(&format!("evidence-{name}.json"))).unwrap();
        let xml = sealed(&format!("evidence-{name}.xml"));
        assert_eq!(Evidence::from_xml(&xml).unwrap(), json, "{name}");
        assert!(json.to_xml().unwrap().into_bytes() == xml, "{name}");
        assert_eq!(json.event(), Some(event), "{name}");
    }
}

/// Sets or removes what stands at `pointer`; a value `=/a/b` is a copy of what stands there.
fn change(object: &mut Value, pointer: &str, value: Option<&Value>) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let copied = value.and_then(Value::as_str).and_then(|v| v.strip_prefix('='));
    let copied = copied.map(|from| object.pointer(from).unwrap().clone());
    match (object.pointer_mut(parent).unwrap(), copied.as_ref().or(value)) {
        (Value::Object(members), Some(value)) => drop(members.insert(key.into(), value.clone())),
        (Value::Object(members), None) => drop(members.remove(key).unwrap()),
        (Value::Array(items), Some(value)) => match items.get_mut(key.parse::<usize>().unwrap()) {
            Some(item) => *item = value.clone(),
            None => items.push(value.clone()),
        },
        (other, _) => panic!("{pointer} in {other}"),
    }
}

#[test]
fn broken_rules_are_named_with_their_place() {
    let mut wrong = Vec::new();
    for case in list(&vectors("refused.json"), "cases") {
        let name = text(case, "object");
        let mut object: Value = serde_json::from_slice(&sealed(&format!("{name}.json"))).unwrap();
        for one in list(case, "changes") {
            change(&mut object, text(one, "pointer"), one.get("value"));
        }
        let invalid = read(name, object).0.expect_err(text(case, "what"));
        let rule = format!("{:?}", invalid.rule);
        let rule = rule.split([' ', '(']).next().unwrap();
        if (invalid.path.as_str(), rule) != (text(case, "path"), text(case, "rule")) {
            wrong.push(format!("{name}, {}: {} {rule}", text(case, "what"), invalid.path));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn an_independent_program_computes_the_same() {
    let python = std::env::var_os("PLI_JUDGES_PYTHON").unwrap_or_else(|| "python3".into());
    let probe = Command::new(&python).args(["-c", "import cbor2, jsonschema"]).output();
    if !probe.is_ok_and(|p| p.status.success()) {
        eprintln!("skipped: no Python with cbor2 and jsonschema (PLI_JUDGES_PYTHON names one)");
        return;
    }
    let verdict = Command::new(&python).arg(folder().join("judge.py")).output().unwrap();
    let words = String::from_utf8_lossy(&verdict.stdout).into_owned()
        + &String::from_utf8_lossy(&verdict.stderr);
    assert!(verdict.status.success(), "{words}");
    assert!(words.contains("0 differ"), "{words}");
}
