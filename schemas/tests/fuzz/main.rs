//! Every reader of foreign bytes of this crate under hostile input: frames (CBOR), sealed objects
//! and bodies of requests (JSON), evidence in XML, identifiers and times (text).
//!
//! What must hold for whatever comes in: no panic, bounded time and memory. Where reading succeeds,
//! writing and reading again gives the same object; what the rules accept, the published JSON
//! Schema accepts too. How to run it longer, and again: `hostile.rs`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)]

mod hostile;
mod trees;

use std::fmt::{Debug, Display};
use std::path::Path;
use std::str::FromStr;

use schemas::catalogue::Catalogue;
use schemas::check::Invalid;
use schemas::directory::{MembersList, RootList};
use schemas::dispatch::{ContentKeys, Dispatch};
use schemas::envelope::Envelope;
use schemas::event::Event;
use schemas::evidence::Evidence;
use schemas::frame::{
    self, ContentFrame, DirectoryFrame, DispatchFrame, EvidenceFrame, RecallFrame,
    RecollectionFrame, StatusFrame,
};
use schemas::party::Party;
use schemas::problem::{Code, Problem};
use schemas::sample::{self, frames};
use schemas::status::StatusUpdate;
use schemas::time::Timestamp;
use schemas::trace::TraceContext;
use schemas::{api, digest, ids};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use hostile::{Rng, bytes, run};

// --- frames -------------------------------------------------------------------------------------

/// Heads of CBOR items: indefinite lengths, great lengths, breaks, tags, reserved values.
const CBOR: [&[u8]; 10] = [
    b"\x5f",
    b"\x7f",
    b"\x9f",
    b"\xbf",
    b"\xff",
    b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x9b\x00\x00\x00\xff\xff\xff\xff\xff",
    b"\xbb\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\xc2\x58",
    b"\x1c",
];

fn judge_frame<T: Serialize + DeserializeOwned + PartialEq + Debug>(input: &[u8]) {
    let Ok(body) = frame::decode::<T>(input) else { return };
    let written = frame::encode(&body);
    assert_eq!(frame::decode::<T>(&written).unwrap(), body);
    assert_eq!(frame::encode(&frame::decode::<T>(&written).unwrap()), written);
}

#[test]
fn frames() {
    let samples = [
        frame::encode(&frames::dispatch()),
        frame::encode(&frames::dispatch_without_content()),
        frame::encode(&frames::evidence()),
        frame::encode(&frames::status()),
        frame::encode(&frames::content()),
        frame::encode(&frames::directory()),
        frame::encode(&frames::recall()),
        frame::encode(&frames::recollection()),
    ];
    let make = |rng: &mut Rng| {
        if rng.once_in(2) {
            return bytes(rng, &samples, &CBOR);
        }
        let sample = rng.pick(&samples);
        trees::cbor(rng, sample)
    };
    run("frames", 1, make, |input| {
        judge_frame::<DispatchFrame>(input);
        judge_frame::<EvidenceFrame>(input);
        judge_frame::<StatusFrame>(input);
        judge_frame::<ContentFrame>(input);
        judge_frame::<DirectoryFrame>(input);
        judge_frame::<RecallFrame>(input);
        judge_frame::<RecollectionFrame>(input);
    });
}

// --- JSON ---------------------------------------------------------------------------------------

const JSON: [&[u8]; 14] = [
    b"[",
    b"{\"a\":",
    b"]",
    b"}",
    b",",
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b"1e999",
    b"-0",
    b"00",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\"version\":1,",
];

/// The published schema of the objects named `name`.
fn schema(name: &str) -> jsonschema::Validator {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("json/{name}.json"));
    let schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

/// Objects of type `T`: read, checked, written, read again, and compared with their schema.
fn objects<T>(name: &str, samples: &[T], check: fn(&T) -> Result<(), Invalid>)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let schema = schema(name);
    requests(name, samples, check, |object| {
        let value = serde_json::to_value(object).unwrap();
        let errors: Vec<_> = schema.iter_errors(&value).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "accepted, but not by its schema: {errors:?}");
    });
}

/// The same without a schema of their own; `accepted` sees what the rules accept.
fn requests<T>(
    name: &str,
    samples: &[T],
    check: fn(&T) -> Result<(), Invalid>,
    accepted: impl Fn(&T),
) where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let trees: Vec<Value> = samples.iter().map(|s| json!(s)).collect();
    let texts: Vec<Vec<u8>> = samples.iter().map(|s| serde_json::to_vec(s).unwrap()).collect();
    let make = |rng: &mut Rng| {
        if rng.once_in(3) {
            return bytes(rng, &texts, &JSON);
        }
        let tree = rng.pick(&trees).clone();
        trees::json(rng, tree, &trees)
    };
    run(name, 1, make, |input| {
        let Ok(object) = serde_json::from_slice::<T>(input) else { return };
        let again: T = serde_json::from_slice(&serde_json::to_vec(&object).unwrap()).unwrap();
        assert_eq!(again, object);
        match check(&object) {
            Ok(()) => accepted(&object),
            Err(invalid) => {
                let problem = invalid.problem(Code::EnvelopeInvalid);
                assert!(!problem.detail_fr.is_empty() && !invalid.en().is_empty());
            }
        }
    });
}

fn fine<T>(_: &T) -> Result<(), Invalid> {
    Ok(())
}

#[test]
fn envelopes() {
    let mut to_a_commune = sample::envelope();
    to_a_commune.recipients[1].scheme = schemas::party::COG.to_owned();
    to_a_commune.recipients[1].id = "34172".to_owned();
    objects("envelope", &[sample::envelope(), to_a_commune], Envelope::check);
}

#[test]
fn dispatches() {
    objects("dispatch", &[sample::dispatch()], Dispatch::check);
}

#[test]
fn content_keys() {
    let keys = serde_json::to_vec(&sample::content_keys()).unwrap();
    let make = |rng: &mut Rng| bytes(rng, std::slice::from_ref(&keys), &JSON);
    run("content-keys", 1, make, |input| {
        let Ok(keys) = serde_json::from_slice::<ContentKeys>(input) else { return };
        assert!(!format!("{keys:?}").contains("ERERER"), "keys never show");
    });
}

#[test]
fn evidence() {
    objects("evidence", &Event::ALL.map(sample::evidence), Evidence::check);
}

#[test]
fn statuses() {
    objects("status", &[sample::status_update()], StatusUpdate::check);
}

#[test]
fn root_lists() {
    objects("root-list", &[sample::root_list()], RootList::check);
}

#[test]
fn members_lists() {
    objects("members-list", &[sample::members_list()], MembersList::check);
}

#[test]
fn catalogues() {
    objects("catalogue", &[sample::catalogue()], Catalogue::check);
}

#[test]
fn problems() {
    objects("problem", &[sample::problem()], fine::<Problem>);
}

#[test]
fn bodies_of_requests() {
    requests("messages", &[sample::new_message()], api::NewMessage::check, |_| ());
}

// --- XML ----------------------------------------------------------------------------------------

const XML: [&[u8]; 16] = [
    b"<!DOCTYPE a [<!ENTITY b \"cc\">]>",
    b"&b;",
    b"&#0;",
    b"&#x10ffff;",
    b"&amp;",
    b"<![CDATA[",
    b"]]>",
    b"<!--",
    b"-->",
    b"<?xml version=\"1.1\"?>",
    b"<a>",
    b"</a>",
    b" xmlns:erds=\"\"",
    b" a=\"b\"",
    b"\xef\xbb\xbf",
    b"<erds:Evidence>",
];

#[test]
fn evidence_in_xml() {
    let samples = Event::ALL.map(|e| sample::evidence(e).to_xml().unwrap().into_bytes()).to_vec();
    run(
        "xml",
        1,
        |rng| bytes(rng, &samples, &XML),
        |input| {
            let Ok(read) = Evidence::from_xml(input) else { return };
            assert_eq!(serde_json::from_slice::<Evidence>(&read.to_json()).unwrap(), read);
            if read.check().is_ok() {
                let written = read.to_xml().unwrap();
                assert_eq!(Evidence::from_xml(written.as_bytes()).unwrap(), read);
            }
        },
    );
}

/// What was said in well-formed JSON can be written in XML, and says the same there.
#[test]
fn evidence_from_json_to_xml() {
    let trees = Event::ALL.map(|e| json!(sample::evidence(e))).to_vec();
    let make = |rng: &mut Rng| {
        let tree = rng.pick(&trees).clone();
        trees::json(rng, tree, &trees)
    };
    run("json-to-xml", 1, make, |input| {
        let Ok(evidence) = serde_json::from_slice::<Evidence>(input) else { return };
        if evidence.check().is_ok() {
            let written = evidence.to_xml().unwrap();
            assert_eq!(Evidence::from_xml(written.as_bytes()).unwrap(), evidence);
        }
    });
}

// --- texts --------------------------------------------------------------------------------------

fn judge_text<T: FromStr + Display + PartialEq + Debug>(text: &str)
where
    T::Err: Display,
{
    match text.parse::<T>() {
        Ok(read) => assert_eq!(read.to_string().parse::<T>().ok().as_ref(), Some(&read), "{text}"),
        // An error may repeat a foreign text, but not at any length.
        Err(error) => assert!(error.to_string().len() < 2_000, "{} bytes", error.to_string().len()),
    }
}

#[test]
fn identifiers_and_times() {
    let samples = [
        "73282932000074",
        "35600000000048",
        "732829320",
        "2A004",
        "cd-34",
        "AEC",
        "019ab04e-7f28-7cc3-98c4-dc0c0c07398f",
        "iso6523:0009:73282932000074:etat-civil:34172",
        "732829320::34172",
        "insee:cog:34172",
        "2026-11-23T08:35:30.120Z",
        "0000-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-later",
    ]
    .map(|text| text.as_bytes().to_vec());
    let words: [&[u8]; 8] = [b":", b"::", b"\xc3\xa9", b"-", b"0", b"{", b"urn:uuid:", b"+23:59"];
    run(
        "texts",
        1,
        |rng| bytes(rng, &samples, &words),
        |input| {
            let text = &*String::from_utf8_lossy(input);
            judge_text::<ids::Siret>(text);
            judge_text::<ids::Siren>(text);
            judge_text::<ids::Cog>(text);
            judge_text::<ids::NodeId>(text);
            judge_text::<ids::ProcessCode>(text);
            judge_text::<ids::ConversationId>(text);
            judge_text::<ids::MessageId>(text);
            judge_text::<Party>(text);
            judge_text::<Timestamp>(text);
            judge_text::<digest::Digest>(text);
            judge_text::<TraceContext>(text);
        },
    );
}
