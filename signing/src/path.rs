//! Certification paths (RFC 5280 §6): from a signer to an anchor, at a given time.
//!
//! `rustls-webpki` builds the path and checks signatures, validity, CA flags, path lengths, name
//! constraints and unknown critical extensions. What it leaves out is checked here: keyUsage along
//! the path, the profile of the leaf, the dated table of algorithms, certificates that serve
//! nothing, and revocation (`revocation.rs`). As in the EU's validator nothing is asked of
//! the anchor itself, except that an anchor which signs CRLs must be allowed to.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use schemas::time::Timestamp;
use webpki::{EndEntityCert, KeyPurposeIdIter, anchor_from_trusted_cert};

use crate::algorithm::Scheme;
use crate::asn1::Malformed;
use crate::certificate::{Certificate, KeyUsage};
use crate::oids;
pub use crate::revocation::crl_next_update;
use crate::revocation::{self, Crl};
use crate::trust::{Anchors, parse_all};

/// What the leaf signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Usage {
    /// Seals: keyUsage nonRepudiation.
    Seal,
    /// RFC 3161 tokens: extended key usage timeStamping, alone and critical.
    TimeStamping,
}

/// How strictly to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What is asked of revocation lists.
    pub revocation: Revocation,
    /// Refuse certificates and CRLs in the material that serve nothing on the path: bytes in a
    /// seal that no check covers could be changed unseen.
    pub refuse_strays: bool,
    /// The present, where the path is checked for a past instant: a CRL from after it is refused.
    /// `None`: the present is the instant of the check.
    pub now: Option<Timestamp>,
}

/// What is asked of revocation lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Revocation {
    /// Every certificate below the anchor needs a list that covers the instant.
    Required,
    /// A revoked certificate is refused; a missing or stale list is not.
    IfPresent,
}

impl Default for Policy {
    fn default() -> Self {
        Self { revocation: Revocation::Required, refuse_strays: true, now: None }
    }
}

/// What a path is made from.
#[derive(Clone, Copy, Debug)]
pub struct Material<'a> {
    /// The signer's certificate, DER.
    pub leaf: &'a [u8],
    /// Other certificates that came with the signature, in any order.
    pub chain: &'a [Vec<u8>],
    /// Revocation lists that came with the signature.
    pub crls: &'a [Vec<u8>],
    /// Revocation lists from elsewhere; those of other issuers are ignored.
    pub known_crls: &'a [Vec<u8>],
}

/// A path that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Leaf first, the last one issued by `anchor`. When the leaf is an anchor, it alone.
    pub certificates: Vec<Vec<u8>>,
    /// The anchor.
    pub anchor: Vec<u8>,
    /// First and last instant at which the same material gives the same verdict.
    pub holds: (Timestamp, Timestamp),
}

impl Path {
    /// Would a check at `time` say the same?
    #[must_use]
    pub fn holds_at(&self, time: Timestamp) -> bool {
        self.holds.0 <= time && time <= self.holds.1
    }

    pub(crate) fn narrow(&mut self, from: Timestamp, to: Timestamp) {
        self.holds = (self.holds.0.max(from), self.holds.1.min(to));
    }

    pub(crate) fn end_with(&mut self, scheme: Scheme) {
        if let Some(end) = scheme.ends() {
            self.narrow(self.holds.0, end.plus(-1));
        }
    }
}

/// Why there is no trusted path. `serial` is the certificate's, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A certificate or CRL is not readable.
    #[error("a certificate on the path is not readable")]
    Malformed,
    /// The time is after a certificate's end.
    #[error("a certificate on the path has ended before that time")]
    Expired,
    /// The time is before a certificate's start.
    #[error("a certificate on the path was not valid yet at that time")]
    NotYetValid,
    /// No path leads to an anchor: unknown issuer, or a signature on the way does not verify.
    #[error("the certificate does not lead to a trusted authority")]
    UnknownAuthority,
    /// A certificate on the path must not be used for this.
    #[error("a certificate on the path must not be used for this: {0}")]
    WrongUsage(&'static str),
    /// A critical extension is not known here.
    #[error("a certificate has a critical extension that is not known here")]
    CriticalExtension,
    /// Path lengths or name constraints are not kept.
    #[error("an authority on the path has issued beyond its constraints")]
    Constraint,
    /// An algorithm on the path is not accepted at that time.
    #[error("an algorithm on the path is not accepted")]
    Algorithm,
    /// Revoked at or before that time.
    #[error("certificate {serial} was revoked at {at}")]
    Revoked {
        /// Whose.
        serial: String,
        /// Since when.
        at: Timestamp,
    },
    /// There is no CRL of a certificate's issuer.
    #[error("there is no revocation list for certificate {serial}")]
    CrlMissing {
        /// Whose.
        serial: String,
    },
    /// No CRL covers the time.
    #[error("no revocation list for certificate {serial} covers that time")]
    CrlStale {
        /// Whose.
        serial: String,
    },
    /// A CRL comes from the future.
    #[error("a revocation list is from the future")]
    CrlFuture,
    /// A CRL is unreadable, not signed by its issuer, or has unknown critical parts.
    #[error("a revocation list is not valid: {0}")]
    CrlInvalid(&'static str),
    /// A certificate came along that serves nothing.
    #[error("a certificate came along that is not on the path")]
    StrayCertificate,
    /// A CRL came along that serves nothing.
    #[error("a revocation list came along that is of no issuer on the path")]
    StrayCrl,
}

impl PathError {
    /// A stable name for verdicts, logs and problems.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "certificate-malformed",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::UnknownAuthority => "unknown-authority",
            Self::WrongUsage(_) => "wrong-usage",
            Self::CriticalExtension => "critical-extension",
            Self::Constraint => "constraint-violated",
            Self::Algorithm => "algorithm-refused",
            Self::Revoked { .. } => "revoked",
            Self::CrlMissing { .. } => "crl-missing",
            Self::CrlStale { .. } => "crl-stale",
            Self::CrlFuture => "crl-future",
            Self::CrlInvalid(_) => "crl-invalid",
            Self::StrayCertificate => "stray-certificate",
            Self::StrayCrl => "stray-crl",
        }
    }
}

impl From<Malformed> for PathError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// Finds and checks the path of `material.leaf` for `usage`, as of the instant `at`.
///
/// # Errors
/// The first thing that is wrong. Trust is never given by default.
pub fn check_path(
    anchors: &Anchors,
    material: &Material<'_>,
    usage: Usage,
    at: Timestamp,
    policy: &Policy,
) -> Result<Path, PathError> {
    let leaf = Certificate::parse(material.leaf)?;
    check_leaf(&leaf, usage)?;
    let mut path = match anchors.iter().find(|a| a.der == material.leaf) {
        Some(anchor) => anchored_leaf(&leaf, &anchor.der, at)?,
        None => build(anchors, material, at)?,
    };
    let certificates = path.certificates.clone();
    let certificates = parse_all(&certificates)?;
    let anchor = path.anchor.clone();
    let anchor = Certificate::parse(&anchor)?;
    check_along(&certificates, &anchor, at, &mut path)?;
    if policy.refuse_strays && material.chain.iter().any(|c| !serves(c, &path, anchors)) {
        return Err(PathError::StrayCertificate);
    }
    if path.certificates.first() != Some(&path.anchor) {
        let crls = Crl::gather(material, &certificates, &anchor, policy, at)?;
        revocation::check(&certificates, &anchor, &crls, at, policy, &mut path)?;
    }
    Ok(path)
}

fn serves(certificate: &[u8], path: &Path, anchors: &Anchors) -> bool {
    path.certificates.iter().any(|c| c == certificate)
        || anchors.iter().any(|a| a.der == certificate)
}

/// A leaf that the caller trusts by itself: only its own validity counts.
fn anchored_leaf(leaf: &Certificate<'_>, anchor: &[u8], at: Timestamp) -> Result<Path, PathError> {
    if !leaf.covers(at) {
        return Err(if at < leaf.not_before { PathError::NotYetValid } else { PathError::Expired });
    }
    let holds = (leaf.not_before, end_of(leaf));
    Ok(Path { certificates: vec![leaf.raw.to_vec()], anchor: anchor.to_vec(), holds })
}

fn build(anchors: &Anchors, material: &Material<'_>, at: Timestamp) -> Result<Path, PathError> {
    let leaf = CertificateDer::from(material.leaf);
    let leaf = EndEntityCert::try_from(&leaf).map_err(|e| translate(&e))?;
    let roots: Vec<CertificateDer<'_>> =
        anchors.iter().map(|a| CertificateDer::from(a.der.as_slice())).collect();
    // An anchor that webpki cannot read cannot end a path.
    let trusted: Vec<(&CertificateDer<'_>, TrustAnchor<'_>)> =
        roots.iter().filter_map(|r| Some((r, anchor_from_trusted_cert(r).ok()?))).collect();
    let trust: Vec<TrustAnchor<'_>> = trusted.iter().map(|(_, anchor)| anchor.clone()).collect();
    let chain: Vec<CertificateDer<'_>> =
        material.chain.iter().map(|c| CertificateDer::from(c.as_slice())).collect();
    let time = Duration::from_secs(u64::try_from(at.secs()).map_err(|_| PathError::NotYetValid)?);
    let found = leaf
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &trust,
            &chain,
            UnixTime::since_unix_epoch(time),
            AnyPurpose,
            None,
            None,
        )
        .map_err(|e| translate(&e))?;
    let mut certificates = vec![material.leaf.to_vec()];
    certificates.extend(found.intermediate_certificates().map(|c| c.der().as_ref().to_vec()));
    let anchor = trusted
        .iter()
        .find(|(_, anchor)| anchor == found.anchor())
        .map(|(der, _)| der.as_ref().to_vec())
        .ok_or(PathError::UnknownAuthority)?;
    let holds = (Timestamp::from_millis(i64::MIN), Timestamp::from_millis(i64::MAX));
    Ok(Path { certificates, anchor, holds })
}

/// Purposes are judged by [`check_leaf`], which knows the profile of each usage.
struct AnyPurpose;

impl webpki::ExtendedKeyUsageValidator for AnyPurpose {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

fn translate(error: &webpki::Error) -> PathError {
    use webpki::Error as E;
    match error {
        E::CertExpired { .. } => PathError::Expired,
        E::CertNotValidYet { .. } => PathError::NotYetValid,
        E::CaUsedAsEndEntity => PathError::WrongUsage("an authority's certificate as a signer's"),
        E::EndEntityUsedAsCa => PathError::WrongUsage("not an authority's certificate"),
        E::UnsupportedCriticalExtension => PathError::CriticalExtension,
        E::PathLenConstraintViolated | E::NameConstraintViolation => PathError::Constraint,
        E::UnknownIssuer | E::InvalidSignatureForPublicKey => PathError::UnknownAuthority,
        E::UnsupportedSignatureAlgorithmContext(_)
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => PathError::Algorithm,
        E::MaximumPathDepthExceeded
        | E::MaximumPathBuildCallsExceeded
        | E::MaximumSignatureChecksExceeded
        | E::MaximumNameConstraintComparisonsExceeded => PathError::Constraint,
        _ => PathError::Malformed,
    }
}

/// What the profile of `usage` asks of the signer's own certificate.
fn check_leaf(leaf: &Certificate<'_>, usage: Usage) -> Result<(), PathError> {
    let key_usage = leaf.key_usage()?;
    let purposes = leaf.extended_key_usage()?;
    match usage {
        // EN 319 412-3 §4.3.1: contentCommitment; the EU's validator warns without it.
        Usage::Seal => {
            if leaf.extensions.find(oids::OCSP_NOCHECK).is_some() {
                return Err(PathError::WrongUsage("ocsp-nocheck in a seal certificate"));
            }
            let tls = [oids::SERVER_AUTH, oids::TIME_STAMPING];
            let other = |ids: Vec<&[u8]>| {
                !ids.is_empty() && ids.iter().all(|id| tls.iter().any(|t| t.as_bytes() == *id))
            };
            if purposes.is_some_and(other) {
                return Err(PathError::WrongUsage("a certificate for TLS or time-stamps"));
            }
            match key_usage {
                Some(usage) if usage.has(KeyUsage::NON_REPUDIATION) => Ok(()),
                _ => Err(PathError::WrongUsage("keyUsage without nonRepudiation")),
            }
        }
        Usage::TimeStamping => {
            // RFC 3161 §2.3: timeStamping, only that, critical.
            let critical =
                leaf.extensions.find(oids::EXTENDED_KEY_USAGE).is_some_and(|e| e.critical);
            let alone = purposes.as_deref() == Some(&[oids::TIME_STAMPING.as_bytes()]);
            if !(critical && alone) {
                return Err(PathError::WrongUsage("timeStamping is not the one, critical purpose"));
            }
            let signing = KeyUsage::DIGITAL_SIGNATURE.with(KeyUsage::NON_REPUDIATION);
            match key_usage {
                Some(usage) if !usage.has(signing) => {
                    Err(PathError::WrongUsage("keyUsage does not allow signing"))
                }
                _ => Ok(()),
            }
        }
    }
}

/// keyUsage of the authorities, algorithms, and the span in which the verdict holds.
fn check_along(
    certificates: &[Certificate<'_>],
    anchor: &Certificate<'_>,
    at: Timestamp,
    path: &mut Path,
) -> Result<(), PathError> {
    for (position, certificate) in certificates.iter().enumerate() {
        if certificate.raw == anchor.raw {
            continue;
        }
        let issuer = certificates.get(position + 1).unwrap_or(anchor);
        let scheme = certificate.signature_scheme(issuer.spki)?.ok_or(PathError::Algorithm)?;
        if !scheme.accepted_at(at) {
            return Err(PathError::Algorithm);
        }
        path.end_with(scheme);
        path.narrow(certificate.not_before, end_of(certificate));
        // RFC 5280 §6.1.4 (n).
        let may_issue = certificate.key_usage()?.is_some_and(|u| u.has(KeyUsage::KEY_CERT_SIGN));
        if position > 0 && !may_issue {
            return Err(PathError::WrongUsage("keyUsage without keyCertSign in an authority"));
        }
    }
    Ok(())
}

/// The last millisecond of the last second.
fn end_of(certificate: &Certificate<'_>) -> Timestamp {
    certificate.not_after.plus(999)
}
