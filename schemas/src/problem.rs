//! Refusals: RFC 9457 problems with stable codes, whose fault it is, and two sentences.
//!
//! A code never changes its meaning. `reason` is the ETSI reason that the sealed evidence of the
//! same refusal carries (`protocol.md` section 9).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Reason;

mod table;

use table::TABLE;

pub use table::Code;

/// Root of the problem types.
pub const TYPE_ROOT: &str = "https://pli.example/problems/";

/// Whose fault a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Who called, or the member who sends.
    Sender,
    /// The addressee.
    Recipient,
    /// This node.
    Node,
    /// Another node.
    Peer,
    /// What lies between.
    Network,
}

/// What is fixed about a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The code as written.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Whose fault.
    pub fault: Fault,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// Reason in evidence, where the refusal can stand in one.
    pub reason: Option<Reason>,
    /// English sentence.
    pub title: &'static str,
    /// French sentence.
    pub title_fr: &'static str,
    /// What to do, in English.
    pub remedy: &'static str,
    /// What to do, in French.
    pub remedy_fr: &'static str,
}

impl Code {
    /// What is fixed about this code.
    #[must_use]
    pub const fn facts(self) -> &'static Facts {
        match TABLE.split_at(self as usize).1.first() {
            Some(facts) => facts,
            None => &TABLE[0],
        }
    }

    /// The code as written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.facts().code
    }

    /// Reads a code.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.as_str() == text)
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Problem types that have a registered name (draft-ietf-httpbis-resumable-upload §6).
const REGISTERED: [(Code, &str); 3] = [
    (Code::UploadOffsetMismatch, "mismatching-upload-offset"),
    (Code::UploadCompleted, "completed-upload"),
    (Code::UploadLengthInconsistent, "inconsistent-upload-length"),
];
const REGISTRY: &str = "https://iana.org/assignments/http-problem-types#";

impl Code {
    /// The URI that names this type of problem: a registered one, or [`TYPE_ROOT`] and the code.
    #[must_use]
    pub fn uri(self) -> String {
        match REGISTERED.into_iter().find(|(code, _)| *code == self) {
            Some((_, name)) => format!("{REGISTRY}{name}"),
            None => format!("{TYPE_ROOT}{self}"),
        }
    }
}

/// `application/problem+json` as every refusal is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// See [`Code::uri`].
    #[serde(rename = "type")]
    pub kind: String,
    /// English sentence of the code.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What is wrong here, in English.
    pub detail: String,
    /// The stable code.
    pub code: Code,
    /// Whose fault.
    pub fault: Fault,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// French sentence of the code.
    pub title_fr: String,
    /// What is wrong here, in French.
    pub detail_fr: String,
    /// The request, as `urn:uuid:`.
    pub instance: String,
    /// Evidence of the refusal (A.2), when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence_id: Option<crate::ids::EvidenceId>,
    /// The message that was refused, when it got an identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<crate::ids::MessageId>,
    /// Seconds after which the same call may succeed, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// Where an upload stands, with `upload-offset-mismatch`.
    #[serde(default, rename = "expected-offset", skip_serializing_if = "Option::is_none")]
    pub expected_offset: Option<u64>,
    /// Where the caller believed that it stands.
    #[serde(default, rename = "provided-offset", skip_serializing_if = "Option::is_none")]
    pub provided_offset: Option<u64>,
}

impl Problem {
    /// A problem with its details in English and in French.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>, detail_fr: impl Into<String>) -> Self {
        let facts = code.facts();
        Self {
            kind: code.uri(),
            title: facts.title.to_owned(),
            status: facts.status,
            detail: detail.into(),
            code,
            fault: facts.fault,
            retryable: facts.retryable,
            title_fr: facts.title_fr.to_owned(),
            detail_fr: detail_fr.into(),
            instance: String::new(),
            evidence_id: None,
            message_id: None,
            retry_after: None,
            expected_offset: None,
            provided_offset: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_finds_its_own_row() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert_eq!(Code::parse(code.as_str()), Some(code));
            let facts = code.facts();
            for sentence in [facts.title, facts.title_fr, facts.remedy, facts.remedy_fr] {
                assert!(sentence.len() > 10 && sentence.ends_with('.'), "{code}: {sentence}");
                assert!(!sentence.contains("  "), "{code}: {sentence}");
            }
            assert!((400..600).contains(&facts.status), "{code}");
        }
    }
}
