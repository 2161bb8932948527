//! Renewal (RFC 4998 §5.2): a record outlives its authorities and its hash functions.
//!
//! Both renewals go in two steps, so that many records share one new token: ask for the leaf of
//! each record, build a [`Tree`](super::Tree) or stamp the leaf alone, then put the token in.

use schemas::digest::Digest;

use super::RecordError;
use super::check::{Object, leaf};
use super::wire::{ArchiveTimeStamp, Record};
use crate::algorithm::Hash;
use crate::tsp::{Token, TspError};

/// What a time-stamp renewal must cover: the hash of the record's last token.
///
/// # Errors
/// [`RecordError::Malformed`] when `der` is no record; [`RecordError::MixedHashes`] when its last
/// chain is not of SHA-256 (then renew with [`renew_hash_tree`] and that chain's function).
pub fn timestamp_renewal_leaf(der: &[u8]) -> Result<Digest, RecordError> {
    let (_, stamp) = last_stamp(der)?;
    let position = Record::parse(der)?.chains.iter().flatten().count();
    let token = stamp.token()?;
    let parsed = Token::parse(&token).map_err(|source| at(position, source))?;
    if parsed.imprint_hash() != Hash::Sha256 {
        return Err(RecordError::MixedHashes { position });
    }
    let hash = Hash::Sha256.of_parts(&[&token]);
    Digest::from_slice(&hash).ok_or(RecordError::MixedHashes { position })
}

/// Adds a time-stamp to the record's last chain: before the authority's certificate ends.
///
/// `path` leads from [`timestamp_renewal_leaf`] to what `token` stamped; empty when the leaf itself
/// was stamped.
///
/// # Errors
/// As [`timestamp_renewal_leaf`], and when `token` is not one DER value.
pub fn renew_timestamp(der: &[u8], path: &[Digest], token: &[u8]) -> Result<Vec<u8>, RecordError> {
    let leaf = timestamp_renewal_leaf(der)?;
    let (mut record, _) = last_stamp(der)?;
    let stamp = ArchiveTimeStamp::over(Hash::Sha256, leaf.as_bytes(), path, token)?;
    if let Some(chain) = record.chains.last_mut() {
        chain.push(stamp);
    }
    record.encode()
}

/// What a hash-tree renewal must cover: `H(H(object) || H(all chains so far))`.
///
/// # Errors
/// [`RecordError::Malformed`] when `der` is no record.
pub fn hash_tree_renewal_leaf(
    der: &[u8],
    object: &[u8],
    hash: Hash,
) -> Result<Vec<u8>, RecordError> {
    leaf(hash, &Record::parse(der)?.chains, Object::Bytes(object))
}

/// Begins a new chain under `hash`, whose token stamped [`hash_tree_renewal_leaf`] itself: before
/// the old hash function becomes weak.
///
/// # Errors
/// As [`hash_tree_renewal_leaf`], and when `token` is not one DER value.
pub fn renew_hash_tree(
    der: &[u8],
    object: &[u8],
    hash: Hash,
    token: &[u8],
) -> Result<Vec<u8>, RecordError> {
    let mut record = Record::parse(der)?;
    let leaf = leaf(hash, &record.chains, Object::Bytes(object))?;
    record.chains.push(vec![ArchiveTimeStamp::over(hash, &leaf, &[], token)?]);
    if !record.digest_algorithms.iter().any(|id| Hash::named(id) == Some(hash)) {
        record.digest_algorithms.push(hash.algorithm_identifier());
    }
    record.encode()
}

fn last_stamp(der: &[u8]) -> Result<(Record, ArchiveTimeStamp), RecordError> {
    let record = Record::parse(der)?;
    let last = record.chains.last().and_then(|chain| chain.last()).cloned();
    let stamp = last.ok_or_else(|| RecordError::Malformed("no time-stamp".to_owned()))?;
    Ok((record, stamp))
}

const fn at(position: usize, source: TspError) -> RecordError {
    RecordError::Token { position, source }
}
