//! The structures of RFC 4998 §3.1 and §4.1, and their bounds.

use der::asn1::OctetString;
use der::{Any, Decode, Encode, Sequence};
use schemas::digest::Digest;
use spki::AlgorithmIdentifierOwned;

use super::RecordError;
use crate::algorithm::Hash;

/// 1 (RFC 4998 §3.1).
const VERSION: u8 = 1;
/// A record of ten renewals in a tree of a million leaves is below 64 KiB.
const MAX_OCTETS: usize = 4 << 20;
/// Renewals happen every few years.
const MAX_STAMPS: usize = 128;
/// A binary tree of 2^64 leaves has that many levels.
const MAX_LISTS: usize = 64;
/// Trees of other makers may have wide nodes.
const MAX_LIST: usize = 1024;

/// `PartialHashtree ::= SEQUENCE OF OCTET STRING`.
pub(super) type HashList = Vec<OctetString>;
/// `ArchiveTimeStampChain`: one hash function, each member renews the one before it.
pub(super) type Chain = Vec<ArchiveTimeStamp>;

/// `EvidenceRecord` without `cryptoInfos` and `encryptionInfo`: nothing protects the former, and
/// the latter changes what the record is about. Both are refused by being absent here.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub(super) struct Record {
    pub(super) version: u8,
    pub(super) digest_algorithms: Vec<AlgorithmIdentifierOwned>,
    pub(super) chains: Vec<Chain>,
}

/// `ArchiveTimeStamp` without attributes, which no token protects either.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub(super) struct ArchiveTimeStamp {
    /// Absent: that of the token.
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    pub(super) digest_algorithm: Option<AlgorithmIdentifierOwned>,
    /// Absent: the token stamps the hash of the object itself.
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    pub(super) reduced_hash_tree: Option<Vec<HashList>>,
    /// The token's bytes as issued.
    pub(super) time_stamp: Any,
}

impl Record {
    /// A record with one time-stamp.
    pub(super) fn first(hash: Hash, stamp: ArchiveTimeStamp) -> Self {
        Self {
            version: VERSION,
            digest_algorithms: vec![hash.algorithm_identifier()],
            chains: vec![vec![stamp]],
        }
    }

    /// Reads a record of the exact form: DER, version 1, nothing after it.
    pub(super) fn parse(der: &[u8]) -> Result<Self, RecordError> {
        if der.len() > MAX_OCTETS {
            return Err(RecordError::TooLarge("octets"));
        }
        let record = Self::from_der(der)?;
        if record.version != VERSION {
            return Err(RecordError::Malformed(format!("version {}", record.version)));
        }
        record.check_bounds()?;
        if record.to_der()? != der {
            return Err(RecordError::Malformed("not in the one form of DER".to_owned()));
        }
        Ok(record)
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, RecordError> {
        Ok(self.to_der()?)
    }

    fn check_bounds(&self) -> Result<(), RecordError> {
        let stamps = || self.chains.iter().flatten();
        if self.chains.is_empty() || self.chains.iter().any(Vec::is_empty) {
            return Err(RecordError::Malformed("no time-stamp".to_owned()));
        }
        if stamps().count() > MAX_STAMPS {
            return Err(RecordError::TooLarge("time-stamps"));
        }
        let trees = || stamps().filter_map(|s| s.reduced_hash_tree.as_ref());
        if trees().any(|tree| tree.len() > MAX_LISTS || tree.iter().any(|l| l.len() > MAX_LIST)) {
            return Err(RecordError::TooLarge("hash tree"));
        }
        if trees().any(|tree| tree.is_empty() || tree.iter().any(Vec::is_empty)) {
            return Err(RecordError::Malformed("empty list of hashes".to_owned()));
        }
        Ok(())
    }
}

impl ArchiveTimeStamp {
    /// In our form: first list exactly `[leaf]`, then one sibling per list.
    pub(super) fn over(
        hash: Hash,
        leaf: &[u8],
        path: &[Digest],
        token: &[u8],
    ) -> Result<Self, RecordError> {
        let mut lists = vec![vec![OctetString::new(leaf)?]];
        for sibling in path {
            lists.push(vec![OctetString::new(sibling.as_bytes().as_slice())?]);
        }
        Ok(Self {
            digest_algorithm: Some(hash.algorithm_identifier()),
            reduced_hash_tree: Some(lists),
            time_stamp: Any::from_der(token)?,
        })
    }

    /// The token's bytes, as RFC 4998 §5.2 hashes them on renewal: the whole ContentInfo.
    pub(super) fn token(&self) -> Result<Vec<u8>, RecordError> {
        Ok(self.time_stamp.to_der()?)
    }
}
