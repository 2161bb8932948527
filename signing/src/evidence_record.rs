//! Evidence records (RFC 4998): one time-stamp proves many objects, and can be renewed for ever.
//!
//! - [`Tree`]: the hash tree whose root is stamped.
//! - [`record`]: the record of one object, from its path and the token of the root.
//! - [`verify_record`]: walks every chain of a record and says since when the object has existed.
//! - [`renew_timestamp`], [`renew_hash_tree`]: what keeps a record alive when the authority's
//!   certificate, or the hash function, comes to its end.
//!
//! What we write is the form that RFC 4998, BouncyCastle and the EU Commission's DSS all accept:
//! binary tree, the first list exactly `[H(object)]`, one sibling in each later list,
//! `digestAlgorithm` explicit, DER, version 1. What we read may be wider (longer lists, other
//! functions of the SHA-2 family), but never carries a field that the token does not protect.
//!
//! Deliberately absent: `cryptoInfos`, `encryptionInfo` and attributes (refused when present).

mod check;
mod renew;
mod tree;
mod wire;

pub use check::{Object, RecordVerdict, Stamp, verify_record, verify_record_with};
pub use renew::{hash_tree_renewal_leaf, renew_hash_tree, renew_timestamp, timestamp_renewal_leaf};
pub use tree::{Tree, root_from_path};

use schemas::digest::Digest;

use crate::algorithm::Hash;
use crate::tsp::TspError;
use wire::{ArchiveTimeStamp, Record};

/// What is wrong with a record, or with what it is to prove.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The caller asked for a tree over nothing.
    #[error("a hash tree needs at least one leaf")]
    NoLeaves,
    /// The bytes are no evidence record in DER, or one with a field that is not understood.
    #[error("not an evidence record of RFC 4998 in DER: {0}")]
    Malformed(String),
    /// The record is larger or deeper than any honest one.
    #[error("the record exceeds the bounds of a reader: {0}")]
    TooLarge(&'static str),
    /// The first list of hashes does not hold the object's.
    #[error("the record does not name this object (time-stamp {position} of the record)")]
    ObjectNotNamed {
        /// Which archive time-stamp, counted from 0 over all chains.
        position: usize,
    },
    /// The tree does not lead to what the token stamped.
    #[error("the hash tree does not lead to what time-stamp {position} of the record stamped")]
    RootMismatch {
        /// Which archive time-stamp, counted from 0 over all chains.
        position: usize,
    },
    /// Hash functions differ between tree, token, chain or the record's own list.
    #[error("time-stamp {position} of the record mixes hash functions")]
    MixedHashes {
        /// Which archive time-stamp, counted from 0 over all chains.
        position: usize,
    },
    /// A renewal claims to be older than what it renews.
    #[error("renewal {position} of the record is older than what it renews")]
    RenewalTooOld {
        /// Which archive time-stamp, counted from 0 over all chains.
        position: usize,
    },
    /// The record was renewed with another hash function: a SHA-256 digest cannot be checked.
    #[error("the object itself is needed: the record hashes it with more than SHA-256")]
    ObjectNeeded,
    /// A token is not valid.
    #[error("time-stamp {position} of the record: {source}")]
    Token {
        /// Which archive time-stamp, counted from 0 over all chains.
        position: usize,
        /// Why.
        source: TspError,
    },
}

impl From<der::Error> for RecordError {
    fn from(e: der::Error) -> Self {
        Self::Malformed(e.to_string())
    }
}

impl RecordError {
    /// A stable name for verdicts, logs and problems.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoLeaves => "no-leaves",
            Self::Malformed(_) => "record-malformed",
            Self::TooLarge(_) => "record-too-large",
            Self::ObjectNotNamed { .. } => "object-not-named",
            Self::RootMismatch { .. } => "root-mismatch",
            Self::MixedHashes { .. } => "hashes-mixed",
            Self::RenewalTooOld { .. } => "renewal-too-old",
            Self::ObjectNeeded => "object-needed",
            Self::Token { source, .. } => source.code(),
        }
    }
}

/// The evidence record of one object, in DER.
///
/// `path` leads from `object` (the SHA-256 of the object's bytes) to the root that `token` stamped,
/// as [`Tree::path`] gives it; `token` is the DER of the time-stamp token (a ContentInfo). Only the
/// token's outer form is looked at here; [`verify_record`] judges the whole.
///
/// # Errors
/// [`RecordError::Malformed`] when `token` is not one DER value.
pub fn record(path: &[Digest], object: &Digest, token: &[u8]) -> Result<Vec<u8>, RecordError> {
    let stamp = ArchiveTimeStamp::over(Hash::Sha256, object.as_bytes(), path, token)?;
    Record::first(Hash::Sha256, stamp).encode()
}
