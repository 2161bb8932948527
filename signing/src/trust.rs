//! Whom we trust, and the hot path of inbound seals.
//!
//! [`Anchors`] are the certificates that a caller was told to trust; nothing else is trusted, no
//! store of the system. [`SealVerifier`] opens seals and checks their signers against the anchors,
//! keeping the verdict on a signer (its path, CRLs, key) for the next seal of the same one.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};

use schemas::digest::Digest;
use schemas::time::Timestamp;

use crate::asn1::Malformed;
use crate::certificate::{CertInfo, Certificate};
use crate::digest::Sha256Stream;
use crate::path::{Material, Path, PathError, Policy, Usage, check_path};
use crate::seal::{Opened, SealError, SignerKey, examine, with_view};
use crate::signed_data::View;

/// Certificates at which a path may end. Any certificate can be one.
#[derive(Clone, Debug, Default)]
pub struct Anchors(Vec<CertInfo>);

/// A file of anchors is not usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// Not a series of PEM certificates.
    #[error("not a PEM file of certificates")]
    Pem,
    /// A PEM certificate holds no X.509 version 3 certificate.
    #[error("a certificate in the file is not readable")]
    Certificate,
}

impl AnchorError {
    /// A stable name for logs and problems.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Pem => "anchors-unreadable",
            Self::Certificate => "anchor-unreadable",
        }
    }
}

impl Anchors {
    /// No anchor: nothing is trusted.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// All certificates of a PEM file.
    ///
    /// # Errors
    /// When the file holds no certificate, or something that is not one.
    pub fn from_pem(pem: &[u8]) -> Result<Self, AnchorError> {
        let mut anchors = Self::none();
        for der in pem_certificates(pem).ok_or(AnchorError::Pem)? {
            anchors.add(&der).map_err(|_| AnchorError::Certificate)?;
        }
        if anchors.0.is_empty() { Err(AnchorError::Pem) } else { Ok(anchors) }
    }

    /// Trusts one more DER certificate; one that is known already changes nothing.
    ///
    /// # Errors
    /// [`Malformed`] when it is not a certificate.
    pub fn add(&mut self, der: &[u8]) -> Result<(), Malformed> {
        let info = CertInfo::parse(der)?;
        if self.0.iter().all(|known| known.der != info.der) {
            self.0.push(info);
        }
        Ok(())
    }

    /// Trusts all that `other` trusts, too.
    pub fn extend(&mut self, other: &Self) {
        for anchor in &other.0 {
            if self.0.iter().all(|known| known.der != anchor.der) {
                self.0.push(anchor.clone());
            }
        }
    }

    /// The anchors.
    pub fn iter(&self) -> impl Iterator<Item = &CertInfo> {
        self.0.iter()
    }

    /// Is nothing trusted?
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The DER of every `CERTIFICATE` in a PEM text; `None` if a block is broken.
#[must_use]
pub fn pem_certificates(pem: &[u8]) -> Option<Vec<Vec<u8>>> {
    let text = std::str::from_utf8(pem).ok()?;
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("-----BEGIN ") {
        let block = rest.get(start..)?;
        let end = block.find("-----END ")?;
        let length = end + block.get(end..)?.find('\n').unwrap_or(block.len() - end);
        let (label, der) = der::pem::decode_vec(block.get(..length)?.trim_end().as_bytes()).ok()?;
        if label == "CERTIFICATE" {
            out.push(der);
        }
        rest = block.get(length..)?;
    }
    Some(out)
}

/// Opens seals whose signers must lead to an anchor, now. Shared by all threads that read frames.
#[derive(Debug)]
pub struct SealVerifier {
    anchors: Anchors,
    policy: Policy,
    known_crls: Vec<Vec<u8>>,
    cache: RwLock<Cache>,
}

/// Verdicts that are kept, at most.
const MOST_VERDICTS: usize = 4_096;

#[derive(Debug, Default)]
struct Cache {
    verdicts: HashMap<Digest, Arc<Verdict>>,
    order: VecDeque<Digest>,
}

#[derive(Debug)]
struct Verdict {
    key: SignerKey,
    path: Path,
}

impl SealVerifier {
    /// Trusts `anchors` under the default [`Policy`]: revocation lists are required.
    #[must_use]
    pub fn new(anchors: Anchors) -> Self {
        Self::with_policy(anchors, Policy::default(), Vec::new())
    }

    /// The same with a policy, and with revocation lists that the caller holds beside those that
    /// come in the seals.
    #[must_use]
    pub fn with_policy(anchors: Anchors, policy: Policy, known_crls: Vec<Vec<u8>>) -> Self {
        Self { anchors, policy, known_crls, cache: RwLock::default() }
    }

    /// Opens an enveloping seal and checks that its signer is trusted at `now`.
    ///
    /// # Errors
    /// The first thing that is wrong with the seal or its signer.
    pub fn verify(&self, der: &[u8], now: Timestamp) -> Result<Opened, SealError> {
        with_view(der, |view, strict| {
            let verdict = self.verdict(view, now)?;
            examine(view, None, &verdict.key, strict)
        })
    }

    fn verdict(&self, view: &View<'_>, now: Timestamp) -> Result<Arc<Verdict>, SealError> {
        let name = name_of(view);
        let cached = {
            let cache = self.cache.read().unwrap_or_else(PoisonError::into_inner);
            cache.verdicts.get(&name).cloned()
        };
        if let Some(verdict) = cached.filter(|v| v.path.holds_at(now) && v.key.fits(view)) {
            return Ok(verdict);
        }
        let verdict = Arc::new(self.examine_signer(view, now)?);
        self.keep(name, Arc::clone(&verdict));
        Ok(verdict)
    }

    fn examine_signer(&self, view: &View<'_>, now: Timestamp) -> Result<Verdict, SealError> {
        let key = SignerKey::of(view)?;
        if !key.scheme().accepted_at(now) {
            return Err(SealError::Algorithm);
        }
        let chain: Vec<Vec<u8>> = view.chain().map(<[u8]>::to_vec).collect();
        let crls: Vec<Vec<u8>> = view.crls.iter().map(|crl| crl.to_vec()).collect();
        let material = Material {
            leaf: view.signer.raw,
            chain: &chain,
            crls: &crls,
            known_crls: &self.known_crls,
        };
        let mut path = check_path(&self.anchors, &material, Usage::Seal, now, &self.policy)?;
        path.end_with(key.scheme());
        Ok(Verdict { key, path })
    }

    fn keep(&self, name: Digest, verdict: Arc<Verdict>) {
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        if cache.verdicts.insert(name, verdict).is_none() {
            cache.order.push_back(name);
        }
        while cache.order.len() > MOST_VERDICTS {
            if let Some(oldest) = cache.order.pop_front() {
                cache.verdicts.remove(&oldest);
            }
        }
    }
}

/// One name for signer, chain and CRLs together: a change of any of them is another name.
fn name_of(view: &View<'_>) -> Digest {
    let mut hash = Sha256Stream::new();
    hash.update(view.signer.raw);
    for certificate in &view.certificates {
        hash.update(certificate);
    }
    // A boundary that no DER element can be taken for.
    hash.update(&[0, 0]);
    for crl in &view.crls {
        hash.update(crl);
    }
    hash.finish()
}

/// Convenience for callers that hold an [`Opened`] seal and check its signer at another time.
///
/// # Errors
/// What is wrong with the path.
pub fn check_signer(
    opened: &Opened,
    anchors: &Anchors,
    at: Timestamp,
    policy: &Policy,
) -> Result<Path, PathError> {
    if !opened.scheme.accepted_at(at) {
        return Err(PathError::Algorithm);
    }
    let material = Material {
        leaf: &opened.signer.der,
        chain: &opened.chain,
        crls: &opened.crls,
        known_crls: &[],
    };
    check_path(anchors, &material, Usage::Seal, at, policy)
}

pub(crate) fn parse_all(ders: &[Vec<u8>]) -> Result<Vec<Certificate<'_>>, Malformed> {
    ders.iter().map(|der| Certificate::parse(der)).collect()
}
