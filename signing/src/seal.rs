//! Seals: one enveloping CMS file (`.p7m`) per sealed object, CAdES baseline B-B.
//!
//! [`Sealer`] makes them. [`open`] reads one, checks every attribute rule and the signature itself,
//! and hands back the content; it does *not* say whether the signer is to be trusted, which is the
//! business of [`crate::trust`]. Foreign BER is accepted, with [`Opened::canonical`] false.

use std::sync::Arc;

use schemas::digest::Digest;
use schemas::time::Timestamp;

use crate::algorithm::{Scheme, Verifier};
use crate::asn1::{self, Malformed};
use crate::ber;
use crate::cades::Template;
use crate::certificate::CertInfo;
use crate::digest::sha256;
use crate::path::PathError;
use crate::signed_data::{View, ViewError};
use crate::signer::{SignError, Signer};
use crate::{asn1_time, ess, oids};

pub use crate::cades::Commitment;

/// Largest seal that is read, in octets. Frames are below 1 MiB; bundles hold documents apart.
pub const MOST_OCTETS: usize = 64 * 1024 * 1024;

/// Seals content with one key and its certificates. Cheap to clone, safe to share.
#[derive(Clone, Debug)]
pub struct Sealer(Template);

/// A finished seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The `.p7m` (or `.p7s`) file.
    pub der: Vec<u8>,
    /// SHA-256 of `der`.
    pub digest: Digest,
}

impl Sealer {
    /// `chain`: the signer's certificate first, then intermediates, without the anchor; `crls`:
    /// current revocation lists of those certificates.
    ///
    /// # Errors
    /// When the certificate is not the key's, or something given is not readable.
    pub fn new(
        signer: Arc<dyn Signer>,
        chain: Vec<Vec<u8>>,
        crls: Vec<Vec<u8>>,
    ) -> Result<Self, SignError> {
        Template::new(signer, &chain, &crls, oids::DATA).map(Self)
    }

    /// The same sealer with other revocation lists.
    ///
    /// # Errors
    /// When one of them is not readable.
    pub fn with_crls(&self, crls: &[Vec<u8>]) -> Result<Self, SignError> {
        self.0.with_crls(crls).map(Self)
    }

    /// Seals `content`, which travels inside.
    ///
    /// # Errors
    /// When the key does not sign, or the certificate does not cover `at`.
    pub fn seal(
        &self,
        content: &[u8],
        at: Timestamp,
        commitment: Option<Commitment>,
    ) -> Result<Sealed, SignError> {
        self.0.sign(content, true, at, commitment).map(Sealed::of)
    }

    /// Seals `content`, which stays outside (`.p7s`).
    ///
    /// # Errors
    /// As [`Sealer::seal`].
    pub fn seal_detached(&self, content: &[u8], at: Timestamp) -> Result<Sealed, SignError> {
        self.0.sign(content, false, at, None).map(Sealed::of)
    }

    /// The signer's certificate.
    #[must_use]
    pub fn certificate_der(&self) -> &[u8] {
        &self.0.certificate.der
    }

    /// The signer's certificate, read.
    #[must_use]
    pub fn certificate(&self) -> &CertInfo {
        &self.0.certificate
    }

    /// The signer's distinguished name.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.0.certificate.subject
    }
}

impl Sealed {
    fn of(der: Vec<u8>) -> Self {
        Self { digest: sha256(&der), der }
    }
}

/// A seal whose rules and signature hold.
#[derive(Clone, Debug)]
pub struct Opened {
    /// What was sealed.
    pub content: Vec<u8>,
    /// The signer's certificate.
    pub signer: CertInfo,
    /// The other certificates inside, as sent.
    pub chain: Vec<Vec<u8>>,
    /// The revocation lists inside, as sent.
    pub crls: Vec<Vec<u8>>,
    /// The time that the signer claims, in whole seconds.
    pub signing_time: Timestamp,
    /// What the signer commits to, if it is one of the known commitments.
    pub commitment: Option<Commitment>,
    /// The algorithm of the signature.
    pub scheme: Scheme,
    /// Are the bytes the one canonical encoding that Pli itself writes?
    pub canonical: bool,
    /// A signature time-stamp (CAdES B-T), not yet verified.
    pub timestamp: Option<SealTimestamp>,
}

/// A time-stamp token over a signature value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealTimestamp {
    /// The RFC 3161 token.
    pub token: Vec<u8>,
    /// SHA-256 of the signature value: what the token must have stamped if it used SHA-256.
    pub imprint: Digest,
}

/// Why a seal is not accepted. All but `Path` and `Sign` are the fault of who made or changed it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Above [`MOST_OCTETS`].
    #[error("the seal is larger than {MOST_OCTETS} octets")]
    TooLarge,
    /// Neither DER nor BER of a `SignedData` with one signer.
    #[error("the file is not a readable CMS signature")]
    Malformed,
    /// A rule of CAdES B-B or of CMS is not kept.
    #[error("the seal breaks a rule of its format: {0}")]
    Profile(&'static str),
    /// The signer's certificate is not in the file.
    #[error("the signer's certificate is not in the seal")]
    NoSigner,
    /// signing-certificate-v2 names another certificate.
    #[error("the seal was made for another certificate than the one inside")]
    SignerMismatch,
    /// An algorithm that is not accepted at any time, or no longer.
    #[error("the algorithm of the seal is not accepted")]
    Algorithm,
    /// There is no content inside and none was given, or both.
    #[error("the content is missing, or stands both inside and outside")]
    Content,
    /// The content is not what was sealed.
    #[error("the content was changed after sealing")]
    ContentChanged,
    /// The signature does not verify.
    #[error("the signature does not verify")]
    Signature,
    /// signing-time lies outside the certificate's validity.
    #[error("the claimed signing time is outside the certificate's validity")]
    TimeOutsideCertificate,
    /// The signer's certificate is not to be trusted.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl SealError {
    /// A stable name for verdicts, logs and problems.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "seal-too-large",
            Self::Malformed => "seal-malformed",
            Self::Profile(_) => "seal-profile",
            Self::NoSigner => "signer-missing",
            Self::SignerMismatch => "signer-mismatch",
            Self::Algorithm => "algorithm-refused",
            Self::Content => "content-missing",
            Self::ContentChanged => "content-changed",
            Self::Signature => "signature-invalid",
            Self::TimeOutsideCertificate => "signing-time-outside-certificate",
            Self::Path(error) => error.code(),
        }
    }
}

impl From<Malformed> for SealError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<ViewError> for SealError {
    fn from(error: ViewError) -> Self {
        match error {
            ViewError::Malformed(_) => Self::Malformed,
            ViewError::Rule(rule) => Self::Profile(rule),
            ViewError::Algorithm => Self::Algorithm,
            ViewError::NoSigner => Self::NoSigner,
        }
    }
}

/// Opens an enveloping seal (`.p7m`), DER or BER: rules and signature, not trust.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn open(der: &[u8]) -> Result<Opened, SealError> {
    with_view(der, |view, strict| examine(view, None, &SignerKey::of(view)?, strict))
}

/// Opens a detached seal (`.p7s`) over `content`.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn open_detached(der: &[u8], content: &[u8]) -> Result<Opened, SealError> {
    with_view(der, |view, strict| examine(view, Some(content), &SignerKey::of(view)?, strict))
}

/// The digest that a time-stamp over the signature value of `seal` must hold (CAdES B-T).
///
/// # Errors
/// When `seal` is not readable.
pub fn signature_imprint(seal: &[u8]) -> Result<Digest, SealError> {
    with_view(seal, |view, _| Ok(sha256(view.signature)))
}

/// `seal` with a time-stamp token over its signature value (CAdES B-T).
///
/// # Errors
/// When `seal` is not readable, has a time-stamp already, or `token` is not one DER element.
pub fn attach_timestamp(seal: &[u8], token: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut view = View::parse(seal)?;
    asn1::only(token, asn1::SEQUENCE)?;
    if view.timestamp.is_some() {
        return Err(SealError::Profile("the seal has a time-stamp already"));
    }
    let algorithm = view.signature_algorithm;
    view.timestamp = Some(token);
    Ok(view.canonical(algorithm))
}

/// The signer's certificate and key, made ready once for many seals.
#[derive(Clone, Debug)]
pub(crate) struct SignerKey {
    pub(crate) info: CertInfo,
    verifier: Verifier,
    signature_algorithm: Vec<u8>,
}

impl SignerKey {
    /// Reads the signer's key out of a seal.
    pub(crate) fn of(view: &View<'_>) -> Result<Self, SealError> {
        let key = view.signer.public_key()?.ok_or(SealError::Algorithm)?;
        let scheme = key.scheme(view.signature_algorithm, Some(view.digest))?;
        let scheme = scheme.ok_or(SealError::Algorithm)?;
        // A very early time: asks whether it was accepted at any time.
        if !scheme.accepted_at(Timestamp::default()) {
            return Err(SealError::Algorithm);
        }
        Ok(Self {
            info: CertInfo::of(&view.signer)?,
            verifier: Verifier::new(&key, scheme)?,
            signature_algorithm: view.signature_algorithm.to_vec(),
        })
    }

    pub(crate) const fn scheme(&self) -> Scheme {
        self.verifier.scheme
    }

    /// Can it serve this seal, which has the same signer?
    pub(crate) fn fits(&self, view: &View<'_>) -> bool {
        self.signature_algorithm == view.signature_algorithm
            && self.verifier.scheme.hash == view.digest
    }
}

/// Reads DER as it is, and BER after normalising it; `f` learns which.
pub(crate) fn with_view<T>(
    bytes: &[u8],
    f: impl FnOnce(&View<'_>, bool) -> Result<T, SealError>,
) -> Result<T, SealError> {
    if bytes.len() > MOST_OCTETS {
        return Err(SealError::TooLarge);
    }
    match View::parse(bytes) {
        Ok(view) => f(&view, true),
        Err(ViewError::Malformed(_)) => {
            let der = ber::to_der(bytes).map_err(|_| SealError::Malformed)?;
            f(&View::parse(&der)?, false)
        }
        Err(other) => Err(other.into()),
    }
}

/// Every rule of the format, then the signature.
pub(crate) fn examine(
    view: &View<'_>,
    outside: Option<&[u8]>,
    key: &SignerKey,
    strict: bool,
) -> Result<Opened, SealError> {
    let ((Some(content), None) | (None, Some(content))) = (view.content, outside) else {
        return Err(SealError::Content);
    };
    let (signing_time, commitment) = check_attributes(view, content)?;
    if !key.verifier.verify(&view.signed_attributes, view.signature) {
        return Err(SealError::Signature);
    }
    if !key.info.covers(signing_time) {
        return Err(SealError::TimeOutsideCertificate);
    }
    let canonical = |der: &[u8]| view.canonical(&key.scheme().identifier()) == der;
    Ok(Opened {
        content: content.to_vec(),
        signer: key.info.clone(),
        chain: view.chain().map(<[u8]>::to_vec).collect(),
        crls: view.crls.iter().map(|crl| crl.to_vec()).collect(),
        signing_time,
        commitment,
        scheme: key.scheme(),
        canonical: strict && canonical(view.raw),
        timestamp: view
            .timestamp
            .map(|token| SealTimestamp { token: token.to_vec(), imprint: sha256(view.signature) }),
    })
}

// EN 319 122-1 §6.3, table 1: what B-B requires among the signed attributes.
fn check_attributes(
    view: &View<'_>,
    content: &[u8],
) -> Result<(Timestamp, Option<Commitment>), SealError> {
    let content_type = required(view, oids::CONTENT_TYPE, "content-type is absent")?;
    if asn1::only(content_type, asn1::OID)?.value != view.content_type {
        return Err(SealError::Profile("content-type is not the type of the content"));
    }
    if view.content_type != oids::DATA.as_bytes() {
        return Err(SealError::Profile("the content is not of type id-data"));
    }
    check_certificate(view)?;
    let time = required(view, oids::SIGNING_TIME, "signing-time is absent")?;
    let time = asn1::Reader::new(time).next()?;
    // RFC 5652 §11.3: UTCTime through 2049.
    let time = asn1_time::decode(&time)
        .map_err(|_| SealError::Profile("signing-time is not in the form for its year"))?;
    let digest = required(view, oids::MESSAGE_DIGEST, "message-digest is absent")?;
    let digest = asn1::only(digest, asn1::OCTET_STRING)?.value;
    if view.digest.digest(content).as_ref() != digest {
        return Err(SealError::ContentChanged);
    }
    Ok((time, commitment(view)?))
}

fn check_certificate(view: &View<'_>) -> Result<(), SealError> {
    if view.attribute(oids::SIGNING_CERTIFICATE).is_some() {
        return Err(SealError::Profile("signing-certificate by SHA-1"));
    }
    let rule = "signing-certificate-v2 is absent";
    let value = required(view, oids::SIGNING_CERTIFICATE_V2, rule)?;
    match ess::names(value, &view.signer)? {
        Some(true) => Ok(()),
        Some(false) => Err(SealError::SignerMismatch),
        None => Err(SealError::Algorithm),
    }
}

fn required<'a>(
    view: &View<'a>,
    id: der::asn1::ObjectIdentifier,
    rule: &'static str,
) -> Result<&'a [u8], SealError> {
    view.attribute(id).ok_or(SealError::Profile(rule))
}

fn commitment(view: &View<'_>) -> Result<Option<Commitment>, SealError> {
    let Some(value) = view.attribute(oids::COMMITMENT_TYPE) else { return Ok(None) };
    let id = asn1::only(value, asn1::SEQUENCE)?.inside().expect(asn1::OID)?.value;
    Ok(Commitment::from_oid(id))
}
