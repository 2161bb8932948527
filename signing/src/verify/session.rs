//! What one verification knows and remembers: whom it trusts, the signers and tokens it has judged.
//!
//! A bundle holds many seals of few signers and many records under few tokens; each is judged once.

use std::collections::HashMap;

use schemas::digest::Digest;
use schemas::time::Timestamp;

use crate::asn1;
use crate::certificate::{Certificate, Signed};
use crate::digest::{Sha256Stream, sha256};
use crate::path::{Material, Path, PathError, Policy, Revocation, Usage, check_path};
use crate::revocation::Crl;
use crate::seal::Opened;
use crate::trust::Anchors;
use crate::tsp::{Token, Trust, TspError};

/// The state of one call of [`super::verify`].
pub(super) struct Session<'a> {
    pub(super) anchors: &'a Anchors,
    /// Lists that the caller gave, and those of a container's signature, which serve all of it.
    pub(super) known_crls: Vec<Vec<u8>>,
    pub(super) now: Timestamp,
    paths: HashMap<Digest, Vec<Path>>,
    tokens: HashMap<(Digest, Timestamp), Result<(), TspError>>,
    seen: HashMap<Digest, Token>,
}

impl<'a> Session<'a> {
    pub(super) fn new(anchors: &'a Anchors, known_crls: Vec<Vec<u8>>, now: Timestamp) -> Self {
        let (paths, tokens, seen) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { anchors, known_crls, now, paths, tokens, seen }
    }

    /// Lets the lists of a container's signature serve everything in it.
    pub(super) fn learn(&mut self, crls: &[Vec<u8>]) {
        self.known_crls.extend_from_slice(crls);
        self.paths.clear();
        self.tokens.clear();
    }

    /// Whether a token's signature holds and its authority was trustworthy up to `until`.
    pub(super) fn token(&mut self, token: &Token, until: Timestamp) -> Result<(), TspError> {
        let key = (sha256(token.der()), until);
        if let Some(known) = self.tokens.get(&key) {
            return known.clone();
        }
        let trust = Trust {
            anchors: self.anchors,
            known_crls: &self.known_crls,
            revocation: Revocation::Required,
            now: self.now,
        };
        let verdict = token.check(&trust, until);
        self.seen.entry(key.0).or_insert_with(|| token.clone());
        self.tokens.insert(key, verdict.clone());
        verdict
    }

    /// Whether the signer of a seal was to be trusted at `at`.
    pub(super) fn signer(&mut self, opened: &Opened, at: Timestamp) -> Result<(), PathError> {
        if !opened.scheme.accepted_at(at) {
            return Err(PathError::Algorithm);
        }
        let name = name_of(opened);
        if self.paths.get(&name).is_some_and(|known| known.iter().any(|path| path.holds_at(at))) {
            return Ok(());
        }
        let material = Material {
            leaf: &opened.signer.der,
            chain: &opened.chain,
            crls: &opened.crls,
            known_crls: &self.known_crls,
        };
        let policy = Policy { now: Some(self.now), ..Policy::default() };
        let path = check_path(self.anchors, &material, Usage::Seal, at, &policy)?;
        self.paths.entry(name).or_default().push(path);
        Ok(())
    }

    /// Whether a list names the issuer of the signer, or of a certificate that came with it.
    pub(super) fn is_of_signer(&self, opened: &Opened, crl: &[u8]) -> bool {
        issued_by(crl, opened.chain.iter().chain([&opened.signer.der]))
    }

    /// Whether a list is of a token's authority: its signature is checked where the authority is
    /// known, and its issuer's name where it is not.
    pub(super) fn serves_a_token(&self, crl: &Vec<u8>) -> bool {
        self.seen.values().any(|token| {
            let leaf = &token.certificate().der;
            if !issued_by(crl, token.chain().iter().chain([leaf])) {
                return false;
            }
            let crls = std::slice::from_ref(crl);
            let material = Material { leaf, chain: token.chain(), crls, known_crls: token.crls() };
            let policy = Policy { now: Some(self.now), ..Policy::default() };
            let path =
                check_path(self.anchors, &material, Usage::TimeStamping, token.gen_time(), &policy);
            !matches!(
                path,
                Err(PathError::StrayCrl | PathError::CrlInvalid(_) | PathError::CrlFuture)
            )
        })
    }

    /// Whether a certificate claims to come from one of the anchors: by key identifier, or by name
    /// where it gives none. When it does and there is no path, it was forged or changed; when none
    /// does, the caller trusts others.
    pub(super) fn claims_anchor(&self, opened: &Opened) -> bool {
        let all = opened.chain.iter().chain([&opened.signer.der]);
        all.filter_map(|der| Certificate::parse(der).ok()).any(|certificate| {
            let key = certificate.extensions.authority_key_id().ok().flatten();
            self.anchors.iter().filter_map(|a| Certificate::parse(&a.der).ok()).any(
                |anchor| match (key, anchor.subject_key_id()) {
                    (Some(key), Some(id)) => key == id,
                    _ => anchor.subject == certificate.issuer,
                },
            )
        })
    }
}

/// Whether a list names the issuer of one of these certificates, and no other key than it does.
fn issued_by<'d>(crl: &[u8], mut certificates: impl Iterator<Item = &'d Vec<u8>>) -> bool {
    let issuer = || {
        // RFC 5280 §5.1.2: version, signature, issuer
        let mut list = Signed::parse(crl).ok()?.tbs.inside();
        list.expect(asn1::INTEGER).ok()?;
        list.expect(asn1::SEQUENCE).ok()?;
        Some(list.expect(asn1::SEQUENCE).ok()?.raw)
    };
    let Some(issuer) = issuer() else { return false };
    let key = Crl::parse(crl).ok().and_then(|list| list.key_id);
    certificates.any(|der| {
        Certificate::parse(der).is_ok_and(|c| {
            let other = c.extensions.authority_key_id().ok().flatten();
            c.issuer == issuer && (key.is_none() || other.is_none() || key == other)
        })
    })
}

/// One name for signer, chain and lists together.
fn name_of(opened: &Opened) -> Digest {
    let mut hash = Sha256Stream::new();
    hash.update(opened.signer.sha256.as_bytes());
    opened.chain.iter().for_each(|der| hash.update(der));
    // A boundary that no DER element can be taken for
    hash.update(&[0, 0]);
    opened.crls.iter().for_each(|der| hash.update(der));
    hash.finish()
}
