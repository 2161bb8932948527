//! Time-stamps (RFC 3161, RFC 5816, EN 319 422): requests, answers, tokens, and the client.
//!
//! - [`wire`]: the structures of the standard; [`GenTime`]: its time with a fraction.
//! - [`Request`]: what is asked, and the judgement of the answer to it.
//! - [`Token`]: what came back, what it stamped, and whether it is to be believed.
//! - [`TsaClient`]: asks authorities in turn over HTTP.
//!
//! The built-in authority is [`crate::tsa`]. Deliberately absent: tokens whose only binding to the
//! authority's certificate is by SHA-1, and the order of tokens (ours is that of the evidence).

mod client;
mod gen_time;
mod request;
mod token;
pub mod wire;

pub use client::{Answer, AskError, NoToken, TsaClient};
pub use gen_time::GenTime;
pub use request::Request;
pub use token::{Token, Trust};

use schemas::time::Timestamp;
use wire::Failure;

use crate::path::PathError;

/// Why a token, or the answer to a request, is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TspError {
    /// Not the structure that RFC 3161 describes.
    #[error("not a time-stamp of RFC 3161: {0}")]
    Malformed(String),
    /// The authority refused; its reason and its words.
    #[error("the authority refused (status {status}, {reason:?}): {text}")]
    Refused {
        /// `PKIStatus`.
        status: u8,
        /// `PKIFailureInfo`, when given.
        reason: Option<Failure>,
        /// `statusString`, shortened.
        text: String,
    },
    /// The answer is to another request.
    #[error("the answer is not to this request: {0}")]
    NotAsked(&'static str),
    /// The authority's clock and ours differ too much.
    #[error("the authority's clock says {theirs}, ours {ours}")]
    Clock {
        /// Time of the token.
        theirs: Timestamp,
        /// Ours when it was asked for.
        ours: Timestamp,
    },
    /// The token stamped something else.
    #[error("the token stamped something else")]
    OtherImprint,
    /// The hash function, or the authority's signature algorithm, is not accepted.
    #[error("an algorithm of the token is not accepted")]
    Algorithm,
    /// The token's own signature or attributes are wrong.
    #[error("the token is not intact: {0}")]
    Signature(&'static str),
    /// The certificate that signed is none for time-stamping (RFC 3161 §2.3).
    #[error("the certificate is not one for time-stamping alone, marked critical")]
    WrongUsage,
    /// The token names a time after that of the check.
    #[error("the token's time {0} is in the future")]
    Future(Timestamp),
    /// The authority's certificate ended before the check, and no renewal took over.
    #[error("the authority's certificate ended at {0}, and nothing renewed the time-stamp before")]
    Ended(Timestamp),
    /// The authority's certificate is not to be trusted.
    #[error("the authority's certificate: {0}")]
    Path(#[from] PathError),
}

impl TspError {
    /// A stable name for verdicts, logs and problems.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "token-malformed",
            Self::Refused { .. } => "token-refused",
            Self::NotAsked(_) => "token-not-asked",
            Self::Clock { .. } => "token-clock",
            Self::OtherImprint => "imprint-mismatch",
            Self::Algorithm => "algorithm-refused",
            Self::Signature(_) => "token-invalid",
            Self::WrongUsage => "wrong-usage",
            Self::Future(_) => "token-in-future",
            Self::Ended(_) => "authority-expired",
            Self::Path(error) => error.code(),
        }
    }
}

impl From<der::Error> for TspError {
    fn from(e: der::Error) -> Self {
        Self::Malformed(e.to_string())
    }
}
