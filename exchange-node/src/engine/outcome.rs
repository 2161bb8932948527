//! What the store remembers of a cause, so that a repeat gets the same answer.

use schemas::digest::Digest;
use schemas::ids::{EvidenceId, MessageId};
use schemas::problem::Code;
use serde::{Deserialize, Serialize};

/// An outcome. Used in stored state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// A submission was accepted.
    Accepted {
        /// What the client said.
        fingerprint: Digest,
        /// The message.
        message: MessageId,
    },
    /// A submission was refused.
    Rejected {
        /// What the client said.
        fingerprint: Digest,
        /// The message.
        message: MessageId,
        /// A.2.
        evidence: EvidenceId,
        /// Code of the refusal.
        code: Code,
        /// In English.
        detail: String,
        /// In French.
        detail_fr: String,
    },
    /// Something happened to a delivery.
    Done {
        /// The evidence that answers.
        evidence: Option<EvidenceId>,
    },
}

impl Outcome {
    /// As it is stored. Writing to memory cannot fail.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a stored outcome.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}
