//! Verification of a record (RFC 4998 §3.3, §4.3 and §5.3).
//!
//! Each time-stamp is judged as of the next one: a token must have been trustworthy when its
//! successor took over, and the last must be so now. The time of the whole is that of the first.

use schemas::digest::Digest;
use schemas::time::Timestamp;

use super::RecordError;
use super::wire::{ArchiveTimeStamp, Chain, HashList, Record};
use crate::algorithm::Hash;
use crate::trust::Anchors;
use crate::tsp::{Token, Trust, TspError};

/// What a record is to prove.
#[derive(Clone, Copy, Debug)]
pub enum Object<'a> {
    /// The object's bytes: enough for every record.
    Bytes(&'a [u8]),
    /// Its SHA-256: enough until the record was renewed with a longer function.
    Sha256(&'a Digest),
}

/// A record that holds.
#[derive(Clone, Debug)]
pub struct RecordVerdict {
    /// The object has existed since this time at the latest.
    pub time: Timestamp,
    /// The same with the accuracy that the authority claims: the object is no younger than this.
    pub latest: Timestamp,
    /// Every time-stamp of the record, oldest first.
    pub stamps: Vec<Stamp>,
}

/// One time-stamp of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// When it was issued.
    pub time: Timestamp,
    /// By whom: the subject of the authority's certificate.
    pub authority: String,
    /// The hash function of its tree.
    pub hash: Hash,
}

/// Verifies a record of the object whose SHA-256 is `object`, trusting `anchors`, at the time `now`.
///
/// # Errors
/// The first thing that is wrong, oldest time-stamp first. [`RecordError::ObjectNeeded`] when the
/// record was renewed with a longer hash: use [`verify_record_with`].
pub fn verify_record(
    der: &[u8],
    object: &Digest,
    anchors: &Anchors,
    now: Timestamp,
) -> Result<RecordVerdict, RecordError> {
    let trust = Trust::new(anchors, now);
    verify_record_with(der, Object::Sha256(object), now, |token, until| token.check(&trust, until))
}

/// As [`verify_record`], with the judgement of each token left to `judge(token, until)`: is the
/// token's signature right, and was its authority trustworthy up to `until`? A caller with many
/// records under few tokens remembers its answers.
///
/// # Errors
/// As [`verify_record`].
pub fn verify_record_with(
    der: &[u8],
    object: Object<'_>,
    now: Timestamp,
    mut judge: impl FnMut(&Token, Timestamp) -> Result<(), TspError>,
) -> Result<RecordVerdict, RecordError> {
    let record = Record::parse(der)?;
    let steps = walk(&record, object)?;
    let untils = steps.iter().skip(1).map(|s| s.token.gen_time()).chain([now]);
    for (position, (step, until)) in steps.iter().zip(untils).enumerate() {
        if until < step.token.gen_time() && position + 1 < steps.len() {
            return Err(RecordError::RenewalTooOld { position: position + 1 });
        }
        judge(&step.token, until).map_err(|source| RecordError::Token { position, source })?;
    }
    let stamps: Vec<_> = steps.iter().map(Step::stamp).collect();
    let time = stamps.first().map_or(now, |s| s.time);
    let latest = steps.first().map_or(now, |s| s.token.latest());
    Ok(RecordVerdict { time, latest, stamps })
}

/// A time-stamp whose tree leads from what it must cover to what its token stamped.
struct Step {
    token: Token,
    hash: Hash,
}

impl Step {
    fn stamp(&self) -> Stamp {
        let authority = self.token.authority().to_owned();
        Stamp { time: self.token.gen_time(), authority, hash: self.hash }
    }
}

/// Follows the hashes through all chains; says nothing yet about the tokens' signatures.
fn walk(record: &Record, object: Object<'_>) -> Result<Vec<Step>, RecordError> {
    let mut steps: Vec<Step> = Vec::new();
    for (number, chain) in record.chains.iter().enumerate() {
        let before = record.chains.get(..number).unwrap_or_default();
        walk_chain(chain, before, object, &mut steps)?;
    }
    check_list(record, &steps)?;
    Ok(steps)
}

fn walk_chain(
    chain: &Chain,
    before: &[Chain],
    object: Object<'_>,
    steps: &mut Vec<Step>,
) -> Result<(), RecordError> {
    let mut previous: Option<(Hash, Vec<u8>)> = None;
    for stamp in chain {
        let position = steps.len();
        let der = stamp.token()?;
        let token = Token::parse(&der).map_err(|source| RecordError::Token { position, source })?;
        let hash = hash_of(stamp, &token).ok_or(RecordError::MixedHashes { position })?;
        let leaf = match &previous {
            // RFC 4998 §5.2: time-stamp renewal covers the old token, under the same function
            Some((same, old)) if *same == hash => hash.of_parts(&[old]),
            Some(_) => return Err(RecordError::MixedHashes { position }),
            None => leaf(hash, before, object)?,
        };
        let root = climb(hash, &leaf, stamp.reduced_hash_tree.as_deref(), position)?;
        if !token.covers(hash, &root) {
            return Err(RecordError::RootMismatch { position });
        }
        steps.push(Step { token, hash });
        previous = Some((hash, der));
    }
    Ok(())
}

/// The function of tree and token, which must be one (RFC 4998 §4.1).
fn hash_of(stamp: &ArchiveTimeStamp, token: &Token) -> Option<Hash> {
    let imprint = token.imprint_hash();
    match &stamp.digest_algorithm {
        Some(id) => Hash::named(id).filter(|named| *named == imprint),
        None => Some(imprint),
    }
}

/// What the first time-stamp of a chain covers: the object, or after a hash-tree renewal the
/// object and all chains before, in this order and unsorted (RFC 4998 §5.2).
pub(super) fn leaf(
    hash: Hash,
    before: &[Chain],
    object: Object<'_>,
) -> Result<Vec<u8>, RecordError> {
    let digest = match object {
        Object::Bytes(bytes) => hash.of_parts(&[bytes]),
        Object::Sha256(digest) if hash == Hash::Sha256 => digest.as_bytes().to_vec(),
        Object::Sha256(_) => return Err(RecordError::ObjectNeeded),
    };
    if before.is_empty() {
        return Ok(digest);
    }
    let sequence = der::Encode::to_der(&before.to_vec())?;
    Ok(hash.of_parts(&[&digest, &hash.of_parts(&[&sequence])]))
}

/// From the leaf to the root (RFC 4998 §4.3).
fn climb(
    hash: Hash,
    leaf: &[u8],
    tree: Option<&[HashList]>,
    position: usize,
) -> Result<Vec<u8>, RecordError> {
    let Some((first, later)) = tree.and_then(<[_]>::split_first) else {
        return Ok(leaf.to_vec());
    };
    if !first.iter().any(|h| h.as_bytes() == leaf) {
        return Err(RecordError::ObjectNotNamed { position });
    }
    let mixed = |list: &HashList| list.iter().any(|h| h.as_bytes().len() != hash.len());
    if mixed(first) || later.iter().any(mixed) {
        return Err(RecordError::MixedHashes { position });
    }
    let mut node = join(hash, first.iter().map(|h| h.as_bytes()).collect());
    for list in later {
        let members = list.iter().map(|h| h.as_bytes()).chain([node.as_slice()]).collect();
        node = join(hash, members);
    }
    Ok(node)
}

/// The hash of the members in ascending order; a single member stands for itself.
fn join(hash: Hash, mut members: Vec<&[u8]>) -> Vec<u8> {
    if let [alone] = members.as_slice() {
        return alone.to_vec();
    }
    members.sort_unstable();
    hash.of_parts(&members)
}

/// `digestAlgorithms` must name the functions used, once each, in the order of their first use.
/// DSS does not look at it; without this check nothing would protect the field.
fn check_list(record: &Record, steps: &[Step]) -> Result<(), RecordError> {
    let mut used: Vec<Hash> = steps.iter().map(|s| s.hash).collect();
    used.dedup();
    let listed: Vec<_> = record.digest_algorithms.iter().map(Hash::named).collect();
    let mut expected: Vec<Option<Hash>> = Vec::new();
    for hash in used {
        if !expected.contains(&Some(hash)) {
            expected.push(Some(hash));
        }
    }
    let same = listed.len() == expected.len() && expected.iter().all(|e| listed.contains(e));
    same.then_some(()).ok_or(RecordError::MixedHashes { position: 0 })
}
