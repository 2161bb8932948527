//! What the offline verifier says: one verdict for each element, and one for the whole.
//!
//! The JSON form is public: fields may be added, none renamed.

use schemas::evidence::delay;
use schemas::time::{SECOND, Timestamp};
use serde::{Deserialize, Serialize};

/// The answer of a verification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Whether `verdict` is valid.
    pub valid: bool,
    /// The worst verdict of all elements.
    pub verdict: Verdict,
    /// As of when everything was judged.
    pub checked_at: Timestamp,
    /// Path of the first element that is broken: the cause, when others fail because of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
    /// What was looked at. Elements whose own bytes were changed come first, then the others in the
    /// order of the bundle.
    pub elements: Vec<Element>,
}

/// One verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It holds.
    Valid,
    /// It is neither proved nor contradicted: trust, time or data are missing.
    Indeterminate,
    /// It is contradicted.
    Invalid,
}

/// What an element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A CAdES signature: its mathematics and its form.
    Seal,
    /// An RFC 3161 token.
    Timestamp,
    /// An RFC 4998 record.
    EvidenceRecord,
    /// A file: its bytes are those that were signed.
    Document,
    /// The trust in a seal: certificates, revocation, time.
    Chain,
    /// The evidence of one message: each cites the one before, none is foreign.
    Sequence,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Element {
    /// Path inside the bundle, or the file's name; `container` for the archive's own bookkeeping.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Whether it holds.
    pub verdict: Verdict,
    /// A stable word for the reason; `ok` when it holds, `delayed` when it holds and came late.
    pub code: String,
    /// A sentence for people.
    pub detail: String,
    /// Who signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// When: signing time of a seal, proved time of a record or token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// Seconds from the event of an evidence to this proof of its time, when more than 60 (code
    /// `delayed`): the proof holds, and says how late it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_seconds: Option<i64>,
}

impl Element {
    /// An element with this verdict and reason.
    pub(crate) fn new(
        path: &str,
        kind: Kind,
        verdict: Verdict,
        code: &str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            path: path.to_owned(),
            kind,
            verdict,
            code: code.to_owned(),
            detail: detail.into(),
            signer: None,
            time: None,
            delay_seconds: None,
        }
    }

    /// An element that holds.
    pub(crate) fn ok(path: &str, kind: Kind, detail: impl Into<String>) -> Self {
        Self::new(path, kind, Verdict::Valid, "ok", detail)
    }

    pub(crate) fn at(self, time: Timestamp) -> Self {
        Self { time: Some(time), ..self }
    }

    /// The same proof of time, said to be delayed where it came late after `event`.
    pub(crate) fn after(self, event: Timestamp) -> Self {
        let proof = matches!(self.kind, Kind::EvidenceRecord | Kind::Timestamp);
        let time = self.time.filter(|_| proof && self.verdict == Verdict::Valid);
        let Some(late) = time.and_then(|proved| delay(event, proved)) else { return self };
        let seconds = late / SECOND;
        let detail = format!("{}, {seconds} s after the event of {event}", self.detail);
        let delay_seconds = Some(seconds);
        Self { code: "delayed".to_owned(), detail, delay_seconds, ..self }
    }

    pub(crate) fn by(self, signer: &str) -> Self {
        Self { signer: Some(signer.to_owned()), ..self }
    }
}

impl Report {
    /// The whole from its elements. `causes` are what broke others; they go first.
    pub(crate) fn of(checked_at: Timestamp, causes: Vec<Element>, others: Vec<Element>) -> Self {
        let elements: Vec<_> = causes.into_iter().chain(others).collect();
        let worst = elements.iter().map(|e| e.verdict).max();
        let verdict = worst.unwrap_or(Verdict::Indeterminate);
        let first = |v: Verdict| elements.iter().find(|e| e.verdict == v).map(|e| e.path.clone());
        let broken = first(Verdict::Invalid).or_else(|| first(Verdict::Indeterminate));
        Self { valid: verdict == Verdict::Valid, verdict, checked_at, broken, elements }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_decides_and_the_first_broken_is_named() {
        let ok = Element::ok("a.p7m", Kind::Seal, "fine").by("CN=etat").at(Timestamp::from_secs(1));
        let poor = Element::new("b.p7m", Kind::Chain, Verdict::Indeterminate, "expired", "late");
        let bad = Element::new("c.p7m", Kind::Seal, Verdict::Invalid, "digest", "changed");
        let report = Report::of(Timestamp::from_secs(9), vec![], vec![ok.clone(), poor, bad]);
        assert_eq!((report.valid, report.verdict), (false, Verdict::Invalid));
        assert_eq!(report.broken.as_deref(), Some("c.p7m"));
        let fine = Report::of(Timestamp::from_secs(9), vec![], vec![ok]);
        assert_eq!((fine.valid, fine.broken), (true, None));
    }

    #[test]
    fn nothing_looked_at_is_nothing_proved() {
        assert!(!Report::of(Timestamp::default(), vec![], vec![]).valid);
    }

    #[test]
    fn the_json_is_the_published_one() {
        let element = Element::ok("META-INF/x.ers", Kind::EvidenceRecord, "holds");
        let report = Report::of(Timestamp::from_secs(0), vec![], vec![element]);
        assert_eq!(
            serde_json::to_value(&report).unwrap(),
            serde_json::json!({
                "valid": true, "verdict": "valid", "checked_at": "1970-01-01T00:00:00.000Z",
                "elements": [{ "path": "META-INF/x.ers", "kind": "evidence_record",
                    "verdict": "valid", "code": "ok", "detail": "holds" }],
            })
        );
    }
}
