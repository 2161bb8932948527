//! Changes in the trees of JSON and CBOR: the result is well formed, and says something odd.

use ciborium::Value as Cbor;
use serde_json::{Value as Json, json};

use crate::hostile::Rng;

/// Texts that a reader may take for something else.
const TEXTS: [&str; 34] = [
    "",
    " ",
    "\0",
    "\u{7f}",
    "\u{202e}",
    "\u{ffff}",
    "\u{10ffff}",
    "é",
    ":",
    "/",
    "..",
    "-1",
    "0",
    "18446744073709551616",
    "1e400",
    "NaN",
    "null",
    "AA==",
    "AAA",
    "356000000",
    "35600000000048",
    "73282932000074",
    "insee:cog",
    "iso6523:0002",
    "2A004",
    "0000-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59.9999-23:59",
    "2016-12-31T23:59:60Z",
    "2026-02-30T00:00:00Z",
    "2026-11-23t08:35:30.123456789z",
    "00000000-0000-0000-0000-000000000000",
    "{019ab04e-7f28-7cc3-98c4-dc0c0c07398f}",
    "urn:uuid:019ab04e-7f28-7cc3-98c4-dc0c0c07398f",
    "http://uri.etsi.org/19522/Event/SubmissionAcceptance",
];

fn text(rng: &mut Rng) -> String {
    let piece = rng.pick(&TEXTS);
    match rng.below(6) {
        0 => piece.repeat(rng.below(300)),
        1 => "a".repeat(*rng.pick(&[63, 64, 65, 100, 101, 127, 255, 256, 1_000, 1_001, 70_000])),
        _ => (*piece).to_owned(),
    }
}

/// `value` after one to four changes somewhere inside.
pub(crate) fn json(rng: &mut Rng, mut value: Json, others: &[Json]) -> Vec<u8> {
    for _ in 0..=rng.below(4) {
        let places = count_json(&value);
        let mut at = rng.below(places);
        change_json(rng, &mut value, &mut at, others);
    }
    serde_json::to_vec(&value).unwrap()
}

fn count_json(value: &Json) -> usize {
    1 + match value {
        Json::Array(items) => items.iter().map(count_json).sum(),
        Json::Object(members) => members.values().map(count_json).sum(),
        _ => 0,
    }
}

/// Goes down to place number `at` and changes it.
fn change_json(rng: &mut Rng, value: &mut Json, at: &mut usize, others: &[Json]) -> bool {
    if *at == 0 {
        alter_json(rng, value, others);
        return true;
    }
    *at -= 1;
    match value {
        Json::Array(items) => items.iter_mut().any(|v| change_json(rng, v, at, others)),
        Json::Object(members) => members.values_mut().any(|v| change_json(rng, v, at, others)),
        _ => false,
    }
}

fn alter_json(rng: &mut Rng, value: &mut Json, others: &[Json]) {
    match (rng.below(4), &mut *value) {
        (0 | 1, Json::Object(members)) if !members.is_empty() => {
            let key = members.keys().nth(rng.below(members.len())).unwrap().clone();
            let taken = members.remove(&key).unwrap();
            if rng.once_in(2) {
                let name = if rng.once_in(2) { text(rng) } else { key.to_uppercase() };
                members.insert(name, taken);
            }
        }
        (0, Json::Array(items)) if !items.is_empty() => drop(items.remove(rng.below(items.len()))),
        (1, Json::Array(items)) if !items.is_empty() => {
            let item = rng.pick(items).clone();
            let times = if rng.once_in(8) { rng.below(1_200) } else { 1 };
            items.extend(std::iter::repeat_n(item, times));
        }
        (2, Json::Array(items)) => items.reverse(),
        (0 | 1, Json::String(old)) => {
            let cut = old.char_indices().map(|(i, _)| i).nth(rng.below(old.len() + 1));
            old.insert_str(cut.unwrap_or(old.len()), &text(rng));
        }
        (0 | 1, Json::Number(old)) => {
            let near = old.as_i64().unwrap_or(0).wrapping_add(*rng.pick(&[-1, 1, 256, -257]));
            *value = json!(near);
        }
        _ => *value = odd_json(rng, others),
    }
}

fn odd_json(rng: &mut Rng, others: &[Json]) -> Json {
    match rng.below(8) {
        0 => Json::Null,
        1 => json!(rng.once_in(2)),
        2 => json!(*rng.pick(&[0, 1, 2, 255, 256, 1 << 32, (1 << 53) - 1, 1 << 53, u64::MAX])),
        3 => json!(*rng.pick(&[-1.0, 0.5, -0.0, 1e15, 1e308])),
        4 => json!([text(rng)]),
        5 => {
            let nest = |inner: Json, _| {
                if rng.once_in(2) { json!([inner]) } else { json!({ "a": inner }) }
            };
            (0..100).fold(Json::Null, nest)
        }
        6 => rng.pick(others).clone(),
        _ => json!(text(rng)),
    }
}

/// As [`json`], for CBOR.
pub(crate) fn cbor(rng: &mut Rng, sample: &[u8]) -> Vec<u8> {
    let mut value: Cbor = ciborium::from_reader(sample).unwrap();
    for _ in 0..=rng.below(3) {
        let mut at = rng.below(count_cbor(&value));
        change_cbor(rng, &mut value, &mut at);
    }
    let mut out = Vec::new();
    ciborium::into_writer(&value, &mut out).unwrap();
    out
}

fn count_cbor(value: &Cbor) -> usize {
    1 + match value {
        Cbor::Array(items) => items.iter().map(count_cbor).sum(),
        Cbor::Map(members) => members.iter().map(|(k, v)| count_cbor(k) + count_cbor(v)).sum(),
        _ => 0,
    }
}

fn change_cbor(rng: &mut Rng, value: &mut Cbor, at: &mut usize) -> bool {
    if *at == 0 {
        alter_cbor(rng, value);
        return true;
    }
    *at -= 1;
    match value {
        Cbor::Array(items) => items.iter_mut().any(|v| change_cbor(rng, v, at)),
        Cbor::Map(members) => {
            members.iter_mut().any(|(k, v)| change_cbor(rng, k, at) || change_cbor(rng, v, at))
        }
        _ => false,
    }
}

fn alter_cbor(rng: &mut Rng, value: &mut Cbor) {
    match (rng.below(5), &mut *value) {
        (0, Cbor::Map(members)) if !members.is_empty() => {
            drop(members.remove(rng.below(members.len())));
        }
        // CBOR can say a key twice.
        (1, Cbor::Map(members)) if !members.is_empty() => {
            members.push(rng.pick(members).clone());
        }
        (0, Cbor::Array(items)) if !items.is_empty() => drop(items.remove(rng.below(items.len()))),
        (1, Cbor::Array(items)) if !items.is_empty() => {
            let item = rng.pick(items).clone();
            items.extend(std::iter::repeat_n(item, rng.below(2_000)));
        }
        (0 | 1, Cbor::Bytes(bytes)) => bytes.resize(rng.below(70_000), 0x5a),
        (2, _) => *value = Cbor::Tag(rng.next(), Box::new(value.clone())),
        _ => {
            *value = match rng.below(9) {
                0 => Cbor::Null,
                1 => Cbor::Bool(true),
                2 => Cbor::Integer(rng.next().into()),
                3 => Cbor::Integer((-1_i64 - (rng.next() >> 1) as i64).into()),
                4 => Cbor::Float(*rng.pick(&[f64::NAN, -0.0, 1e300, f64::INFINITY])),
                5 => Cbor::Text(text(rng)),
                6 => Cbor::Bytes(vec![0; rng.below(40)]),
                7 => (0..40).fold(Cbor::Null, |inner, _| Cbor::Array(vec![inner])),
                _ => Cbor::Map(vec![(Cbor::Null, Cbor::Null)]),
            }
        }
    }
}
