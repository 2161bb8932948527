//! What the authority issued and revoked, and its directory on disk.
//!
//! ```text
//! root.pem  root.key  issuing.pem  issuing.key  register.json
//! ```
//! Keys have mode 600. Each file is written beside its place and renamed into it.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use schemas::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Authority, AuthorityError, Member, Profile, Subject, pem};
use crate::software::SoftwareKey;
use crate::trust::pem_certificates;

/// Which of the two keys signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Issuer {
    Root,
    Issuing,
}

/// Why a certificate was revoked (RFC 5280 §5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RevocationReason {
    /// No reason is given.
    Unspecified,
    /// Somebody else may hold the key.
    KeyCompromise,
    /// The subject's name or role has changed.
    AffiliationChanged,
    /// Another certificate took its place.
    Superseded,
    /// The node has stopped.
    CessationOfOperation,
}

impl RevocationReason {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
        }
    }
}

/// One issued certificate. Used in stored state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// Lower-case hexadecimal.
    pub serial: String,
    /// `seal`, `tsa`, `encryption` or `tls`.
    pub profile: String,
    /// `commonName` of the subject.
    pub common_name: String,
    /// `organizationIdentifier` of the subject.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub organization_identifier: Option<String>,
    /// First instant of validity.
    pub not_before: Timestamp,
    /// Last instant of validity.
    pub not_after: Timestamp,
    /// Since when and why it is revoked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoked: Option<(Timestamp, RevocationReason)>,
    by: Issuer,
}

/// Used in stored state.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Register {
    created: Timestamp,
    issued: Vec<Issued>,
}

impl Register {
    pub(crate) const fn new(created: Timestamp) -> Self {
        Self { created, issued: Vec::new() }
    }

    pub(crate) const fn created(&self) -> Timestamp {
        self.created
    }

    pub(crate) fn all(&self) -> &[Issued] {
        &self.issued
    }

    pub(crate) fn issued(
        &mut self,
        by: Issuer,
        profile: &Profile,
        subject: &Subject,
        serial: &[u8],
        not_before: Timestamp,
        not_after: Timestamp,
    ) {
        let profile = match profile {
            Profile::Seal => "seal",
            Profile::Tsa => "tsa",
            Profile::Encryption => "encryption",
            Profile::Tls { .. } => "tls",
        };
        self.issued.push(Issued {
            serial: hex::encode(serial),
            profile: profile.to_owned(),
            common_name: subject.common_name.clone(),
            organization_identifier: subject.organization_identifier.clone(),
            not_before,
            not_after,
            revoked: None,
            by,
        });
    }

    pub(crate) fn revoke(
        &mut self,
        serial: &str,
        at: Timestamp,
        reason: RevocationReason,
    ) -> Result<(), AuthorityError> {
        let found = self.issued.iter_mut().find(|issued| issued.serial == serial);
        let issued = found.ok_or_else(|| AuthorityError::UnknownSerial(serial.to_owned()))?;
        issued.revoked.get_or_insert((at, reason));
        Ok(())
    }

    /// Serial number octets, since when, why.
    pub(crate) fn revoked(
        &self,
        by: Issuer,
    ) -> Result<Vec<(Vec<u8>, Timestamp, RevocationReason)>, AuthorityError> {
        let mut out = Vec::new();
        for issued in self.issued.iter().filter(|issued| issued.by == by) {
            if let Some((at, reason)) = issued.revoked {
                let serial = hex::decode(&issued.serial);
                let serial = serial.map_err(|_| AuthorityError::State("register.json"))?;
                out.push((serial, at, reason));
            }
        }
        Ok(out)
    }
}

/// Used in stored state.
#[derive(Serialize, Deserialize)]
struct File<R> {
    base_url: String,
    register: R,
}

impl Authority {
    /// Writes the authority into `dir`, which is made if it does not exist.
    ///
    /// # Errors
    /// [`AuthorityError::Io`] names the file.
    pub fn to_dir(&self, dir: &Path) -> Result<(), AuthorityError> {
        fs::create_dir_all(dir).map_err(|source| io(dir, source))?;
        for (name, member) in [("root", &self.root), ("issuing", &self.issuing)] {
            let key = member.key.to_pkcs8_pem()?;
            write(&dir.join(format!("{name}.key")), key.as_bytes(), 0o600)?;
            let certificate = pem(&member.certificate)?;
            write(&dir.join(format!("{name}.pem")), certificate.as_bytes(), 0o644)?;
        }
        let file = File { base_url: self.base_url.clone(), register: &self.register };
        let json =
            serde_json::to_vec_pretty(&file).map_err(|_| AuthorityError::State("register.json"))?;
        write(&dir.join("register.json"), &json, 0o644)
    }

    /// Reads what [`Authority::to_dir`] wrote.
    ///
    /// # Errors
    /// [`AuthorityError::Io`] or [`AuthorityError::State`] name the file.
    pub fn from_dir(dir: &Path) -> Result<Self, AuthorityError> {
        let json = read(&dir.join("register.json"))?;
        let file: File<Register> =
            serde_json::from_slice(&json).map_err(|_| AuthorityError::State("register.json"))?;
        Ok(Self {
            base_url: file.base_url,
            root: member(dir, "root.key", "root.pem")?,
            issuing: member(dir, "issuing.key", "issuing.pem")?,
            register: file.register,
        })
    }
}

fn member(dir: &Path, key: &'static str, pem: &'static str) -> Result<Member, AuthorityError> {
    let key = zeroize::Zeroizing::new(read(&dir.join(key))?);
    let certificates = pem_certificates(&read(&dir.join(pem))?);
    let certificate = certificates.and_then(|all| all.into_iter().next());
    let member = Member {
        key: SoftwareKey::from_pkcs8_pem(&key)?,
        certificate: certificate.ok_or(AuthorityError::State(pem))?,
    };
    member.parsed()?;
    Ok(member)
}

fn read(path: &Path) -> Result<Vec<u8>, AuthorityError> {
    fs::read(path).map_err(|source| io(path, source))
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), AuthorityError> {
    let beside = path.with_extension("new");
    let attempt = || -> std::io::Result<()> {
        // An old left-over could have another mode.
        match fs::remove_file(&beside) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    attempt().map_err(|source| io(path, source))
}

fn io(path: &Path, source: std::io::Error) -> AuthorityError {
    AuthorityError::Io { path: path.to_owned(), source }
}
