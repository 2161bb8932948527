//! The certificate authority of a Pli network: for `pli authority` and for networks on one machine.
//!
//! A self-signed root, the anchor that everybody trusts, certifies one issuing intermediate and the
//! time-stamp authorities; the intermediate certifies nodes and members. Both publish revocation
//! lists. The state is a directory of PEM files and one register of what was issued; there is no
//! database and no clock.

mod profile;
mod register;

use std::sync::Arc;

use aws_lc_rs::rand;
use schemas::time::{DAY, Timestamp};

pub use profile::{Profile, Subject};
pub use register::{Issued, RevocationReason};

use crate::algorithm::{KeyKind, PublicKey};
use crate::certificate::{CertInfo, Certificate};
use crate::signer::{Algorithm, SignError, Signer};
use crate::software::SoftwareKey;
use profile::{Body, RevokedEntry};
use register::{Issuer, Register};

/// How long a revocation list speaks. Lists are made anew every day; the span covers frames that
/// wait seven days on a backbone for a node that is away.
pub const CRL_LIFE: i64 = 14 * DAY;
/// How long the root and the intermediate last.
const AUTHORITY_LIFE: (i64, i64) = (20 * 365 * DAY, 10 * 365 * DAY);

/// Names of an authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityName {
    /// The root's name; the intermediate's is the same with another common name.
    pub subject: Subject,
    /// Where certificates and lists are published, without a slash at the end; written into every
    /// certificate, so it must be http, reachable, and last.
    pub base_url: String,
}

/// A certificate authority with its keys in memory.
#[derive(Debug)]
pub struct Authority {
    base_url: String,
    root: Member,
    issuing: Member,
    register: Register,
}

/// A key with its certificate.
#[derive(Debug)]
struct Member {
    key: SoftwareKey,
    certificate: Vec<u8>,
}

/// Why the authority did not do it.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A name cannot stand in a certificate.
    #[error("the name cannot be certified: {0}")]
    Subject(&'static str),
    /// The key to be certified is of an unsupported kind or too short.
    #[error("the key to be certified is neither P-256, P-384 nor RSA of 3,072 bits")]
    Key,
    /// The validity asked for does not lie within the issuer's.
    #[error("the validity asked for is empty or goes beyond the authority's own")]
    Lifetime,
    /// Nothing was issued under this serial number.
    #[error("no certificate {0} was issued here")]
    UnknownSerial(String),
    /// The authority's key failed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The directory cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of the directory does not hold what it should.
    #[error("{0} is not what an authority wrote")]
    State(&'static str),
}

impl AuthorityError {
    /// A stable name for logs and problems.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Subject(_) => "subject-invalid",
            Self::Key => "key-refused",
            Self::Lifetime => "lifetime-invalid",
            Self::UnknownSerial(_) => "serial-unknown",
            Self::Sign(error) => error.code(),
            Self::Io { .. } => "authority-io",
            Self::State(_) => "authority-state",
        }
    }
}

impl Authority {
    /// A new authority with P-256 keys, valid from `at` on.
    ///
    /// # Errors
    /// When the name cannot be certified or a key fails.
    pub fn create(name: AuthorityName, at: Timestamp) -> Result<Self, AuthorityError> {
        let root = Member::root(&name.subject, at)?;
        let mut subject = name.subject;
        subject.common_name.push_str(" - issuing");
        let issuing = Member::issuing(&subject, &root, &name.base_url, at)?;
        let register = Register::new(at);
        Ok(Self { base_url: name.base_url, root, issuing, register })
    }

    /// Certifies `spki` (a DER `SubjectPublicKeyInfo`) from `at` to `not_after`.
    ///
    /// The caller has made sure that the subject holds the private key.
    ///
    /// # Errors
    /// When subject, key or validity cannot be certified.
    pub fn issue(
        &mut self,
        profile: &Profile,
        subject: &Subject,
        spki: &[u8],
        at: Timestamp,
        not_after: Timestamp,
    ) -> Result<Vec<u8>, AuthorityError> {
        let (by, name) = match profile {
            Profile::Tsa => (Issuer::Root, "root"),
            _ => (Issuer::Issuing, "issuing"),
        };
        let is_ec = check_key(spki)?;
        let issuer_member = self.member(by);
        let issuer = issuer_member.parsed()?;
        if not_after <= at || at < issuer.not_before || not_after > issuer.not_after {
            return Err(AuthorityError::Lifetime);
        }
        let serial = serial()?;
        let subject_name = subject.encode()?;
        let body = Body {
            serial: &serial,
            issuer: issuer.subject,
            subject: &subject_name,
            not_before: at,
            not_after,
            spki,
        };
        let mut extensions = profile::of_issuer(&issuer, &self.base_url, name);
        extensions.extend(profile::of_leaf(profile, spki, is_ec)?);
        let certificate = profile::certificate(&body, &extensions, &issuer_member.key)?;
        self.register.issued(by, profile, subject, &serial, at, not_after);
        Ok(certificate)
    }

    /// Revokes the certificate with this serial number (lower-case hexadecimal, as in
    /// [`CertInfo::serial`]) from `at` on. A second revocation changes nothing.
    ///
    /// # Errors
    /// [`AuthorityError::UnknownSerial`].
    pub fn revoke(
        &mut self,
        serial: &str,
        at: Timestamp,
        reason: RevocationReason,
    ) -> Result<(), AuthorityError> {
        self.register.revoke(serial, at, reason)
    }

    /// Fresh revocation lists: the intermediate's first, then the root's. They go into every seal
    /// (both) and every time-stamp token (the root's).
    ///
    /// # Errors
    /// When a key fails.
    pub fn crl(&self, at: Timestamp) -> Result<Vec<Vec<u8>>, AuthorityError> {
        [Issuer::Issuing, Issuer::Root].into_iter().map(|by| self.list(by, at)).collect()
    }

    /// The root's revocation list alone: what a time-stamp token carries.
    ///
    /// # Errors
    /// When a key fails.
    pub fn root_crl(&self, at: Timestamp) -> Result<Vec<u8>, AuthorityError> {
        self.list(Issuer::Root, at)
    }

    fn list(&self, by: Issuer, at: Timestamp) -> Result<Vec<u8>, AuthorityError> {
        let member = self.member(by);
        let revoked = self.register.revoked(by)?;
        let entries: Vec<RevokedEntry<'_>> = revoked
            .iter()
            .map(|(serial, at, reason)| RevokedEntry { serial, at: *at, reason: *reason })
            .collect();
        let dates = (at, at.plus(CRL_LIFE));
        profile::revocation_list(
            &member.parsed()?,
            &member.key,
            &entries,
            dates,
            self.register.created(),
        )
    }

    /// The root's certificate: the anchor.
    #[must_use]
    pub fn root_der(&self) -> &[u8] {
        &self.root.certificate
    }

    /// The intermediate's certificate, which goes into every seal.
    #[must_use]
    pub fn issuing_der(&self) -> &[u8] {
        &self.issuing.certificate
    }

    /// The root's certificate as PEM.
    ///
    /// # Errors
    /// [`AuthorityError::State`], in theory.
    pub fn root_pem(&self) -> Result<String, AuthorityError> {
        pem(&self.root.certificate)
    }

    /// Everything that was issued, oldest first.
    #[must_use]
    pub fn issued(&self) -> &[Issued] {
        self.register.all()
    }

    const fn member(&self, by: Issuer) -> &Member {
        match by {
            Issuer::Root => &self.root,
            Issuer::Issuing => &self.issuing,
        }
    }
}

impl Member {
    fn root(subject: &Subject, at: Timestamp) -> Result<Self, AuthorityError> {
        let key = SoftwareKey::generate(Algorithm::EcdsaP256Sha256)?;
        let name = subject.encode()?;
        let body = Body {
            serial: &serial()?,
            issuer: &name,
            subject: &name,
            not_before: at,
            not_after: at.plus(AUTHORITY_LIFE.0),
            spki: key.public_key_der(),
        };
        let extensions = profile::of_authority(key.public_key_der(), None);
        let certificate = profile::certificate(&body, &extensions, &key)?;
        Ok(Self { key, certificate })
    }

    fn issuing(
        subject: &Subject,
        root: &Self,
        base_url: &str,
        at: Timestamp,
    ) -> Result<Self, AuthorityError> {
        let key = SoftwareKey::generate(Algorithm::EcdsaP256Sha256)?;
        let issuer = root.parsed()?;
        let body = Body {
            serial: &serial()?,
            issuer: issuer.subject,
            subject: &subject.encode()?,
            not_before: at,
            not_after: at.plus(AUTHORITY_LIFE.1),
            spki: key.public_key_der(),
        };
        let mut extensions = profile::of_authority(key.public_key_der(), Some(0));
        extensions.extend(profile::of_issuer(&issuer, base_url, "root"));
        let certificate = profile::certificate(&body, &extensions, &root.key)?;
        Ok(Self { key, certificate })
    }

    fn parsed(&self) -> Result<Certificate<'_>, AuthorityError> {
        Certificate::parse(&self.certificate).map_err(|_| AuthorityError::State("a certificate"))
    }
}

/// Is it an elliptic-curve key? Refuses what Pli would not accept in a seal.
fn check_key(spki: &[u8]) -> Result<bool, AuthorityError> {
    match PublicKey::parse(spki).map_err(|_| AuthorityError::Key)?.map(|key| key.kind) {
        Some(KeyKind::P256 | KeyKind::P384) => Ok(true),
        Some(KeyKind::Rsa { bits }) if bits >= 3_072 => Ok(false),
        _ => Err(AuthorityError::Key),
    }
}

/// 127 random bits, positive and always of 16 octets (RFC 5280 §4.1.2.2).
fn serial() -> Result<[u8; 16], AuthorityError> {
    let mut serial = [0; 16];
    rand::fill(&mut serial).map_err(|_| SignError::Key("no randomness"))?;
    let [first, ..] = &mut serial;
    *first = (*first & 0x7f) | 0x40;
    Ok(serial)
}

fn pem(der: &[u8]) -> Result<String, AuthorityError> {
    der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, der)
        .map_err(|_| AuthorityError::State("a certificate"))
}

/// A key that was certified, ready to seal: for networks on one machine and for tests.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// The key.
    pub key: Arc<SoftwareKey>,
    /// Its certificate first, then the intermediate if there is one between it and the root.
    pub chain: Vec<Vec<u8>>,
}

impl Authority {
    /// Makes a key and certifies it, in one step.
    ///
    /// # Errors
    /// As [`Authority::issue`].
    pub fn enrol(
        &mut self,
        profile: &Profile,
        subject: &Subject,
        algorithm: Algorithm,
        at: Timestamp,
        not_after: Timestamp,
    ) -> Result<Enrolled, AuthorityError> {
        let key = SoftwareKey::generate(algorithm)?;
        let certificate = self.issue(profile, subject, key.public_key_der(), at, not_after)?;
        let mut chain = vec![certificate];
        if *profile != Profile::Tsa {
            chain.push(self.issuing.certificate.clone());
        }
        Ok(Enrolled { key: Arc::new(key), chain })
    }

    /// The certificate of the root, read.
    ///
    /// # Errors
    /// [`AuthorityError::State`], in theory.
    pub fn root_info(&self) -> Result<CertInfo, AuthorityError> {
        CertInfo::parse(&self.root.certificate).map_err(|_| AuthorityError::State("root.pem"))
    }
}
