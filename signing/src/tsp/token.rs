//! A time-stamp token: what it says, and whether it is to be believed.

use const_oid::ObjectIdentifier;
use der::Decode;
use der::asn1::Int;
use schemas::digest::Digest;
use schemas::time::{MINUTE, Timestamp};

use super::TspError;
use super::request::MOST_OCTETS;
use super::wire::{Accuracy, TstInfo};
use crate::algorithm::{Hash, Verifier};
use crate::asn1;
use crate::certificate::CertInfo;
use crate::path::{Material, Policy, Revocation, Usage, check_path};
use crate::signed_data::{View, ViewError};
use crate::trust::Anchors;
use crate::{ess, oids};

/// An authority's clock may be ahead of ours by this much.
const SKEW: i64 = 5 * MINUTE;

/// A token that has been read. Reading checks its form; [`Token::check_signature`] and
/// [`Token::check`] say whether it is to be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    der: Vec<u8>,
    info: TstInfo,
    hash: Hash,
    authority: CertInfo,
    chain: Vec<Vec<u8>>,
    crls: Vec<Vec<u8>>,
}

impl Token {
    /// Reads a token (a `ContentInfo`) in DER. It must carry the authority's certificate.
    ///
    /// # Errors
    /// [`TspError::Malformed`], and [`TspError::Algorithm`] for a hash that is not understood.
    pub fn parse(der: &[u8]) -> Result<Self, TspError> {
        if der.len() > MOST_OCTETS {
            return Err(TspError::Malformed("larger than any token".to_owned()));
        }
        let view = View::parse(der)?;
        if view.content_type != oids::TST_INFO.as_bytes() {
            return Err(TspError::Malformed("the content is no TSTInfo".to_owned()));
        }
        let content = view.content.ok_or_else(|| TspError::Malformed("detached".to_owned()))?;
        let info = TstInfo::from_der(content)?;
        if info.version != 1 {
            return Err(TspError::Malformed(format!("version {}", info.version)));
        }
        let hash = Hash::named(&info.message_imprint.hash_algorithm).ok_or(TspError::Algorithm)?;
        if info.message_imprint.hashed_message.as_bytes().len() != hash.len() {
            return Err(TspError::Malformed("an imprint of the wrong length".to_owned()));
        }
        Ok(Self {
            der: der.to_vec(),
            info,
            hash,
            authority: CertInfo::of(&view.signer)
                .map_err(|e| TspError::Malformed(e.to_string()))?,
            chain: view.chain().map(<[u8]>::to_vec).collect(),
            crls: view.crls.iter().map(|crl| crl.to_vec()).collect(),
        })
    }

    /// The token's bytes as issued.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// When the authority says that it was.
    #[must_use]
    pub fn gen_time(&self) -> Timestamp {
        self.info.gen_time.timestamp()
    }

    /// When it was at the latest: [`Token::gen_time`] and the accuracy that the token claims.
    #[must_use]
    pub fn latest(&self) -> Timestamp {
        self.gen_time().plus(self.info.accuracy.map_or(0, Accuracy::millis))
    }

    /// The token's number, big-endian.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        self.info.serial_number.as_bytes()
    }

    /// Under which policy it was issued.
    #[must_use]
    pub const fn policy(&self) -> ObjectIdentifier {
        self.info.policy
    }

    /// The nonce of the request.
    #[must_use]
    pub const fn nonce(&self) -> Option<&Int> {
        self.info.nonce.as_ref()
    }

    /// The hash function of what was stamped.
    #[must_use]
    pub const fn imprint_hash(&self) -> Hash {
        self.hash
    }

    /// The hash that was stamped.
    #[must_use]
    pub fn imprint(&self) -> &[u8] {
        self.info.message_imprint.hashed_message.as_bytes()
    }

    /// Whether this hash is what was stamped.
    #[must_use]
    pub fn covers(&self, hash: Hash, imprint: &[u8]) -> bool {
        self.hash == hash && self.imprint() == imprint
    }

    /// Subject of the authority's certificate.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority.subject
    }

    /// The authority's certificate.
    #[must_use]
    pub const fn certificate(&self) -> &CertInfo {
        &self.authority
    }

    /// Other certificates that the token carries.
    #[must_use]
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// Revocation lists that the token carries.
    #[must_use]
    pub fn crls(&self) -> &[Vec<u8>] {
        &self.crls
    }

    /// Checks what needs no trust: signed attributes, signature, the certificate's usage and that
    /// it was valid when the token was issued.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn check_signature(&self) -> Result<(), TspError> {
        let view = View::parse(&self.der)?;
        check_attributes(&view)?;
        check_usage(&view)?;
        let malformed = |e: asn1::Malformed| TspError::Malformed(e.to_string());
        let key = view.signer.public_key().map_err(malformed)?.ok_or(TspError::Algorithm)?;
        let scheme = key.scheme(view.signature_algorithm, Some(view.digest)).map_err(malformed)?;
        let scheme =
            scheme.filter(|s| s.accepted_at(self.gen_time())).ok_or(TspError::Algorithm)?;
        let verifier = Verifier::new(&key, scheme).map_err(malformed)?;
        if !verifier.verify(&view.signed_attributes, view.signature) {
            return Err(TspError::Signature("the signature does not verify"));
        }
        if !self.authority.covers(self.gen_time()) {
            return Err(TspError::Signature("issued outside the certificate's validity"));
        }
        Ok(())
    }

    /// Checks everything: [`Token::check_signature`], the authority's path to an anchor with
    /// revocation data as of the token's own time, and that the authority's certificate lasted until
    /// `until`: now, or the time of the renewal.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn check(&self, trust: &Trust<'_>, until: Timestamp) -> Result<(), TspError> {
        self.check_signature()?;
        if self.gen_time() > until.plus(SKEW) {
            return Err(TspError::Future(self.gen_time()));
        }
        let material = Material {
            leaf: &self.authority.der,
            chain: &self.chain,
            crls: &self.crls,
            known_crls: trust.known_crls,
        };
        let policy =
            Policy { revocation: trust.revocation, refuse_strays: true, now: Some(trust.now) };
        check_path(trust.anchors, &material, Usage::TimeStamping, self.gen_time(), &policy)?;
        if self.authority.not_after < until {
            return Err(TspError::Ended(self.authority.not_after));
        }
        Ok(())
    }

    /// [`Token::check`] now, for a token over this SHA-256.
    ///
    /// # Errors
    /// [`TspError::OtherImprint`], and those of [`Token::check`].
    pub fn verify(
        &self,
        imprint: &Digest,
        anchors: &Anchors,
        now: Timestamp,
    ) -> Result<(), TspError> {
        if !self.covers(Hash::Sha256, imprint.as_bytes()) {
            return Err(TspError::OtherImprint);
        }
        self.check(&Trust::new(anchors, now), now)
    }
}

/// What a token is judged with.
#[derive(Clone, Copy, Debug)]
pub struct Trust<'a> {
    /// Whom we trust.
    pub anchors: &'a Anchors,
    /// Revocation lists beside those in the tokens; those of other authorities are ignored.
    pub known_crls: &'a [Vec<u8>],
    /// Whether a list is needed: many authorities put none into their tokens.
    pub revocation: Revocation,
    /// The present: lists from after it are refused.
    pub now: Timestamp,
}

impl<'a> Trust<'a> {
    /// These anchors, no other lists than the token's, and those required.
    #[must_use]
    pub const fn new(anchors: &'a Anchors, now: Timestamp) -> Self {
        Self { anchors, known_crls: &[], revocation: Revocation::Required, now }
    }
}

/// RFC 3161 §2.4.2 and RFC 5816: content-type, message-digest and signing-certificate-v2.
fn check_attributes(view: &View<'_>) -> Result<(), TspError> {
    let required = |id, why| view.attribute(id).ok_or(TspError::Signature(why));
    let content_type = required(oids::CONTENT_TYPE, "content-type is absent")?;
    if asn1::only(content_type, asn1::OID).map_or(&[][..], |t| t.value) != view.content_type {
        return Err(TspError::Signature("content-type is not that of the content"));
    }
    let digest = required(oids::MESSAGE_DIGEST, "message-digest is absent")?;
    let digest = asn1::only(digest, asn1::OCTET_STRING).map_or(&[][..], |t| t.value);
    if view.digest.digest(view.content.unwrap_or_default()).as_ref() != digest {
        return Err(TspError::Signature("the content was changed"));
    }
    let certificate = required(oids::SIGNING_CERTIFICATE_V2, "signing-certificate-v2 is absent")?;
    match ess::names(certificate, &view.signer) {
        Ok(Some(true)) => Ok(()),
        Ok(None) => Err(TspError::Algorithm),
        _ => Err(TspError::Signature("signing-certificate-v2 names another certificate")),
    }
}

/// RFC 3161 §2.3: timeStamping alone, and critical. DSS lets others pass.
fn check_usage(view: &View<'_>) -> Result<(), TspError> {
    let critical =
        view.signer.extensions.find(oids::EXTENDED_KEY_USAGE).is_some_and(|e| e.critical);
    let usages = view.signer.extended_key_usage().ok().flatten().unwrap_or_default();
    if critical && usages == [oids::TIME_STAMPING.as_bytes()] {
        Ok(())
    } else {
        Err(TspError::WrongUsage)
    }
}

impl From<ViewError> for TspError {
    fn from(error: ViewError) -> Self {
        match error {
            ViewError::Algorithm => Self::Algorithm,
            other => Self::Malformed(other.to_string()),
        }
    }
}
