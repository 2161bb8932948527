//! The evidence of one bundle together: one message, one content, each citing what came before.
//!
//! This is the only place of the crate that knows what an evidence is, and only by the few JSON
//! keys that it needs (EN 319 522-2 clause 8, names of the ETSI schema). Whatever an issuer cited
//! existed when it wrote; so a cited evidence stands earlier in the bundle and is not younger than
//! the one that cites it. The times of evidence that do not cite each other may cross: a late
//! acknowledgement is older than the failure that it corrects.

use std::collections::{HashMap, HashSet};

use schemas::digest::Digest;
use schemas::time::{MINUTE, SECOND, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use crate::report::{Element, Kind, Verdict};

/// How far the clocks of two nodes may be apart.
const SKEW: i64 = 5 * MINUTE;
/// An event comes before its seal by one clock; a signing time has no fraction of a second
/// (RFC 5652 §11.3), and a clock may be set back a little in between.
const TICK: i64 = 2 * SECOND;

/// One sealed object of a bundle, opened.
pub(super) struct Sealed<'a> {
    /// Its path.
    pub(super) path: &'a str,
    /// SHA-256 of the whole `.p7m`.
    pub(super) digest: Digest,
    /// What was sealed.
    pub(super) content: &'a [u8],
    /// When its signer claims to have sealed it.
    pub(super) signed: Timestamp,
}

/// The keys of an evidence that order it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Evidence {
    evidence_identifier: String,
    event_time: Timestamp,
    message_identifier: String,
    user_content_info: Value,
    extensions: Extensions,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Extensions {
    extension: Vec<Extension>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Extension {
    previous_evidence_digest: Option<Digest>,
}

/// What the JSON of a sealed object is about.
enum Subject {
    Evidence(Evidence),
    /// A dispatch, a status: something about a message, but no evidence.
    About(String),
    Other,
    Unreadable(String),
}

/// Judges the sealed objects of one bundle, in its order: one element for each fault, or one for
/// the whole. Nothing when there is no evidence.
pub(super) fn check(objects: &[Sealed<'_>]) -> Vec<Element> {
    let places: HashMap<_, _> = objects.iter().enumerate().map(|(n, o)| (o.digest, n)).collect();
    let subjects: Vec<_> = objects.iter().map(|o| subject(o.content)).collect();
    let Some(first) = subjects.iter().find_map(|s| match s {
        Subject::Evidence(evidence) => Some(evidence),
        _ => None,
    }) else {
        return subjects.iter().zip(objects).filter_map(|(s, o)| unreadable(s, o.path)).collect();
    };
    let bundle = Bundle { first, subjects: &subjects, places: &places };
    let faults: Vec<_> =
        objects.iter().enumerate().filter_map(|(n, o)| bundle.fault(n, o)).collect();
    if !faults.is_empty() {
        return faults;
    }
    let count = subjects.iter().filter(|s| matches!(s, Subject::Evidence(_))).count();
    let last = objects.last().map_or("", |o| o.path);
    let detail = format!("{count} evidence of message {}, in order", first.message_identifier);
    vec![Element::ok(last, Kind::Sequence, detail)]
}

/// The digests of documents that the evidence among these contents names (component M02).
pub(super) fn named_digests<'a>(contents: impl Iterator<Item = &'a [u8]>) -> HashSet<Digest> {
    let mut out = HashSet::new();
    for content in contents {
        let Subject::Evidence(evidence) = subject(content) else { continue };
        let parts =
            evidence.user_content_info.pointer("/PartsInfo/PartInfo").and_then(Value::as_array);
        let values =
            parts.into_iter().flatten().filter_map(|part| part.get("DigestValue")?.as_str());
        out.extend(values.filter_map(|value| value.parse::<Digest>().ok()));
    }
    out
}

/// When what an evidence attests happened; none for other contents.
pub(super) fn event_time(content: &[u8]) -> Option<Timestamp> {
    match subject(content) {
        Subject::Evidence(evidence) => Some(evidence.event_time),
        _ => None,
    }
}

struct Bundle<'a> {
    first: &'a Evidence,
    subjects: &'a [Subject],
    places: &'a HashMap<Digest, usize>,
}

impl Bundle<'_> {
    fn fault(&self, number: usize, object: &Sealed<'_>) -> Option<Element> {
        let path = object.path;
        let invalid = |code: &str, detail: String| {
            Some(Element::new(path, Kind::Sequence, Verdict::Invalid, code, detail))
        };
        let subject = self.subjects.get(number)?;
        let evidence = match subject {
            Subject::Evidence(evidence) => evidence,
            Subject::About(message) if *message != self.first.message_identifier => {
                return invalid("foreign-message", format!("it is about message {message}"));
            }
            Subject::About(_) | Subject::Other => return None,
            Subject::Unreadable(_) => return unreadable(subject, path),
        };
        if evidence.message_identifier != self.first.message_identifier {
            let other = &evidence.message_identifier;
            return invalid("foreign-message", format!("it is evidence about message {other}"));
        }
        if evidence.user_content_info != self.first.user_content_info {
            return invalid(
                "content-differs",
                "its document digests differ from the first's".to_owned(),
            );
        }
        if self.twin(number, evidence) {
            return invalid("duplicate-evidence", "another evidence has its identifier".to_owned());
        }
        if evidence.event_time > object.signed.plus(TICK) {
            let detail = format!(
                "it attests an event of {}, after its sealing on {}",
                evidence.event_time, object.signed
            );
            return invalid("event-after-seal", detail);
        }
        self.link_fault(number, evidence, path)
    }

    fn twin(&self, number: usize, evidence: &Evidence) -> bool {
        let same = |s: &Subject| match s {
            Subject::Evidence(e) => e.evidence_identifier == evidence.evidence_identifier,
            _ => false,
        };
        self.subjects.iter().take(number).any(same)
    }

    fn link_fault(&self, number: usize, evidence: &Evidence, path: &str) -> Option<Element> {
        let cited = evidence.extensions.extension.first()?.previous_evidence_digest?;
        let new = |verdict, code: &str, detail: String| {
            Some(Element::new(path, Kind::Sequence, verdict, code, detail))
        };
        let Some(place) = self.places.get(&cited) else {
            let detail = format!("the evidence that it cites ({cited}) is not here");
            return new(Verdict::Indeterminate, "gap", detail);
        };
        if *place >= number {
            return new(
                Verdict::Invalid,
                "out-of-order",
                "it stands before what it cites".to_owned(),
            );
        }
        match self.subjects.get(*place) {
            Some(Subject::Evidence(before))
                if evidence.event_time.plus(SKEW) < before.event_time =>
            {
                let detail = format!(
                    "its time {} is before that of what it cites, {}",
                    evidence.event_time, before.event_time
                );
                new(Verdict::Invalid, "time-reversed", detail)
            }
            _ => None,
        }
    }
}

fn unreadable(subject: &Subject, path: &str) -> Option<Element> {
    let Subject::Unreadable(why) = subject else { return None };
    Some(Element::new(path, Kind::Sequence, Verdict::Invalid, "evidence-malformed", why.as_str()))
}

fn subject(content: &[u8]) -> Subject {
    let Ok(Value::Object(json)) = serde_json::from_slice::<Value>(content) else {
        return Subject::Other;
    };
    if json.contains_key("EvidenceIdentifier") {
        return match serde_json::from_value(Value::Object(json)) {
            Ok(evidence) => Subject::Evidence(evidence),
            Err(e) => Subject::Unreadable(e.to_string()),
        };
    }
    let inner = json.get("envelope").and_then(Value::as_object).unwrap_or(&json);
    let message = inner.get("message_id").and_then(Value::as_str);
    message.map_or(Subject::Other, |m| Subject::About(m.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256;
    use serde_json::json;

    fn evidence(id: &str, message: &str, minute: i64, previous: Option<&[u8]>) -> Vec<u8> {
        let mut extension = json!({ "isCritical": false, "hop": 0, "state": "accepted" });
        if let Some(previous) = previous {
            extension["PreviousEvidenceDigest"] = json!(sha256(previous));
        }
        let value = json!({
            "EvidenceIdentifier": id, "MessageIdentifier": message,
            "EventTime": Timestamp::from_millis(minute * MINUTE),
            "UserContentInfo": { "ComposingParts": 1 }, "Extensions": { "Extension": [extension] },
        });
        serde_json::to_vec(&value).unwrap()
    }

    /// Judges contents as if each were its own `.p7m`: gives path and code of each fault.
    fn judge(contents: &[Vec<u8>]) -> Vec<(String, String)> {
        let paths: Vec<_> = (1..=contents.len()).map(|n| format!("{n}.p7m")).collect();
        let objects: Vec<_> = paths
            .iter()
            .zip(contents)
            .map(|(path, content)| Sealed {
                path,
                digest: sha256(content),
                content,
                signed: Timestamp::from_millis(110 * MINUTE),
            })
            .collect();
        check(&objects).into_iter().map(|e| (e.path, e.code)).collect()
    }

    fn is(path: &str, code: &str) -> Vec<(String, String)> {
        vec![(path.to_owned(), code.to_owned())]
    }

    #[test]
    fn a_chain_in_order_holds() {
        let a = evidence("a", "m", 0, None);
        let b = evidence("b", "m", 3, Some(&a));
        let c = evidence("c", "m", 2, Some(&b)); // another node's clock, a minute behind
        let dispatch = br#"{"envelope":{"message_id":"m"}}"#.to_vec();
        assert_eq!(judge(&[a, dispatch, b, c]), is("4.p7m", "ok"));
    }

    #[test]
    fn order_time_gap_and_foreigners_are_named() {
        let a = evidence("a", "m", 100, None);
        let b = evidence("b", "m", 101, Some(&a));
        assert_eq!(judge(&[b.clone(), a.clone()]), is("1.p7m", "out-of-order"));
        assert_eq!(judge(&[b]), is("1.p7m", "gap"));
        let early = evidence("c", "m", 90, Some(&a));
        assert_eq!(judge(&[a.clone(), early]), is("2.p7m", "time-reversed"));
        let foreign = evidence("d", "n", 101, Some(&a));
        assert_eq!(judge(&[a.clone(), foreign]), is("2.p7m", "foreign-message"));
        let dispatch = br#"{"envelope":{"message_id":"n"}}"#.to_vec();
        assert_eq!(judge(&[a.clone(), dispatch]), is("2.p7m", "foreign-message"));
        let twin = evidence("a", "m", 101, Some(&a));
        assert_eq!(judge(&[a.clone(), twin]), is("2.p7m", "duplicate-evidence"));
        let broken = br#"{"EvidenceIdentifier":"x"}"#.to_vec();
        assert_eq!(judge(&[a, broken]), is("2.p7m", "evidence-malformed"));
    }

    #[test]
    fn other_content_under_the_same_message_is_found() {
        let a = evidence("a", "m", 0, None);
        let b = String::from_utf8(evidence("b", "m", 1, Some(&a))).unwrap();
        let b = b.replace("\"ComposingParts\":1", "\"ComposingParts\":2").into_bytes();
        assert_eq!(judge(&[a, b]), is("2.p7m", "content-differs"));
    }

    #[test]
    fn an_event_after_its_seal_is_named() {
        let at = |millis| {
            let evidence = evidence("a", "m", 0, None);
            let signed = Timestamp::from_millis(millis);
            let digest = sha256(&evidence);
            let object = Sealed { path: "a.p7m", digest, content: &evidence, signed };
            check(&[object]).remove(0).code
        };
        assert_eq!(at(0), "ok");
        // The seal has whole seconds: an event of .900 was sealed, it says, at .000
        assert_eq!(at(-TICK), "ok");
        assert_eq!(at(-TICK - 1), "event-after-seal");
    }

    #[test]
    fn no_evidence_no_verdict() {
        assert_eq!(judge(&[b"plain".to_vec(), br#"{"message_id":"m"}"#.to_vec()]), []);
    }
}
