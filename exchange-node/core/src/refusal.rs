//! Why something may not happen.

use schemas::problem::{Code, Problem};

/// A refusal: nothing happened, and nothing is stored but (for a submission) its A.2.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// In English.
    pub detail: String,
    /// In French.
    pub detail_fr: String,
}

impl Refusal {
    /// A refusal with its two sentences.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>, detail_fr: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), detail_fr: detail_fr.into() }
    }

    /// As it is answered over HTTP.
    #[must_use]
    pub fn problem(&self) -> Problem {
        Problem::new(self.code, self.detail.clone(), self.detail_fr.clone())
    }
}
