//! A request, and whether an answer is the answer to it (RFC 3161 §2.2 and §2.4).

use const_oid::ObjectIdentifier;
use der::asn1::{Int, OctetString};
use der::{Decode, Encode};
use schemas::digest::Digest;
use schemas::time::Timestamp;

use super::wire::{Failure, MessageImprint, PkiStatusInfo, TimeStampReq, TimeStampResp, unsigned};
use super::{Token, TspError};
use crate::algorithm::Hash;

/// A token is a few kilobytes; with a long chain and CRLs, a few dozen.
pub(super) const MOST_OCTETS: usize = 1 << 20;
/// Words of a foreign authority are cut at this many characters.
const MOST_WORDS: usize = 300;

/// What is asked of an authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    hash: Hash,
    imprint: Vec<u8>,
    nonce: Int,
    policy: Option<ObjectIdentifier>,
}

impl Request {
    /// Asks for a token over a SHA-256. `nonce` must be fresh and random.
    ///
    /// # Errors
    /// Never for a nonce of 8 octets; the type of `der` demands it.
    pub fn new(imprint: &Digest, nonce: [u8; 8]) -> Result<Self, TspError> {
        Self::over(Hash::Sha256, imprint.as_bytes(), nonce)
    }

    /// Asks for a token over the hash `imprint`, made with `hash`: for hash-tree renewal.
    ///
    /// # Errors
    /// [`TspError::Algorithm`] when the imprint has not the length of the hash.
    pub fn over(hash: Hash, imprint: &[u8], nonce: [u8; 8]) -> Result<Self, TspError> {
        if imprint.len() != hash.len() {
            return Err(TspError::Algorithm);
        }
        Ok(Self { hash, imprint: imprint.to_vec(), nonce: unsigned(&nonce)?, policy: None })
    }

    /// Asks for this policy, and accepts no other.
    #[must_use]
    pub fn under(self, policy: ObjectIdentifier) -> Self {
        Self { policy: Some(policy), ..self }
    }

    /// The `TimeStampReq` in DER. The certificate is asked for: a token without it proves little.
    ///
    /// # Errors
    /// Never for what [`Request::new`] made; the type of `der` demands it.
    pub fn to_der(&self) -> Result<Vec<u8>, TspError> {
        let request = TimeStampReq {
            version: 1,
            message_imprint: MessageImprint {
                hash_algorithm: self.hash.algorithm_identifier(),
                hashed_message: OctetString::new(self.imprint.as_slice())?,
            },
            req_policy: self.policy,
            nonce: Some(self.nonce.clone()),
            cert_req: true,
            extensions: None,
        };
        Ok(request.to_der()?)
    }

    /// The token in a `TimeStampResp`, if it answers this request: granted, our imprint, our nonce,
    /// our policy, a time within `skew` milliseconds of `now`, a signature that holds. Whether the
    /// authority is to be trusted is asked with [`Token::check`].
    ///
    /// # Errors
    /// The first of these that does not hold.
    pub fn answer(&self, response: &[u8], now: Timestamp, skew: i64) -> Result<Token, TspError> {
        if response.len() > MOST_OCTETS {
            return Err(TspError::Malformed("larger than any token".to_owned()));
        }
        let response = TimeStampResp::from_der(response)?;
        let token = match (response.status.status, response.token) {
            (0 | 1, Some(token)) => Token::parse(&token.to_der()?)?,
            (0 | 1, None) => return Err(TspError::Malformed("granted without a token".to_owned())),
            _ => return Err(refused(&response.status)),
        };
        if !token.covers(self.hash, &self.imprint) {
            return Err(TspError::OtherImprint);
        }
        if token.nonce() != Some(&self.nonce) {
            return Err(TspError::NotAsked("the nonce differs"));
        }
        if self.policy.is_some_and(|policy| policy != token.policy()) {
            return Err(TspError::NotAsked("the policy differs"));
        }
        token.check_signature()?;
        if token.gen_time().since(now).abs() > skew {
            return Err(TspError::Clock { theirs: token.gen_time(), ours: now });
        }
        Ok(token)
    }
}

fn refused(status: &PkiStatusInfo) -> TspError {
    let text =
        status.status_string.iter().flatten().map(String::as_str).collect::<Vec<_>>().join("; ");
    TspError::Refused {
        status: status.status,
        reason: status.fail_info.as_ref().and_then(Failure::from_bits),
        text: text.chars().filter(|c| !c.is_control()).take(MOST_WORDS).collect(),
    }
}
