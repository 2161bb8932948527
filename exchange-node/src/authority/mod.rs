//! The central authority of a network, as a directory that one operator keeps.
//!
//! ```text
//! DIR/ca/             root and issuing certificates with their keys, register of what was issued
//! DIR/tsa-ca/         the same for timestamp authorities, under an anchor of their own
//! DIR/seal.key .pem   the seal of the lists, CN `authority`
//! DIR/network.json    the nodes and the sequence numbers of the lists
//! DIR/catalogue.toml  the démarches, written by hand
//! DIR/nodes/NODE/     certificates that were issued to a node
//! DIR/trust/          root.pem, tsa.pem: what everybody trusts
//! DIR/published/      root.p7m, catalogue.p7m, *.crl, *.crt: what everybody reads
//! ```
//!
//! [`CentralAuthority`] opens it; `lists.rs` seals and publishes; `members.rs` is the part that
//! nodes do for themselves: sealing the list of their members.

mod lists;
mod members;
mod roster;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemas::bytes::Octets;
use schemas::directory::{NodeEntry, Scope, Standing};
use schemas::ids::{NodeId, Siren};
use schemas::time::{DAY, Timestamp};
use signing::authority::{Authority, AuthorityName, Enrolled, Profile, RevocationReason, Subject};
use signing::certificate::CertInfo;
use signing::seal::Sealer;
use signing::signer::Algorithm;
use signing::software::SoftwareKey;
use signing::trust::pem_certificates;

use crate::files;

pub use lists::Published;
pub use members::{MembersSeal, publish_members};
pub use roster::{CatalogueFile, Roster};

/// Common name of the certificate that seals the lists.
const SEAL_NAME: &str = "authority";

/// Life of the certificates of nodes: seals and encryption.
const NODE_LIFE: i64 = 3 * 365 * DAY;
/// Life of the certificate of a timestamp authority: what it stamped is proved while it lasts, and
/// beyond that by renewal.
const TSA_LIFE: i64 = 15 * 365 * DAY;

/// The authority with its keys in memory.
#[derive(Debug)]
pub struct CentralAuthority {
    dir: PathBuf,
    ca: Authority,
    tsa_ca: Authority,
    sealer: Sealer,
    roster: Roster,
}

/// A node to be certified.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// Its id.
    pub node: NodeId,
    /// Who runs it.
    pub operator: String,
    /// SIREN of the operator.
    pub siren: Option<Siren>,
    /// `SubjectPublicKeyInfo` of the seal key.
    pub seal_spki: Vec<u8>,
    /// `SubjectPublicKeyInfo` of the encryption key.
    pub encryption_spki: Vec<u8>,
    /// Names of its backbones.
    pub backbones: Vec<String>,
    /// The node through which it is reached when no backbone is shared.
    pub via: Option<NodeId>,
    /// What its members may be.
    pub scope: Scope,
}

/// Certificates of a node, PEM.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// Leaf first, then the issuing certificate.
    pub seal_chain: String,
    /// The certificate to encrypt to.
    pub encryption: String,
}

impl CentralAuthority {
    /// A new authority in `dir`, which must not hold one. `base_url` is where what it publishes
    /// will be found; it stands in every certificate.
    ///
    /// # Errors
    /// There is one already, a name cannot be certified, or a file cannot be written.
    pub fn init(dir: &Path, name: &str, base_url: &str, now: Timestamp) -> anyhow::Result<Self> {
        ensure!(!dir.join("ca").exists(), "{} holds an authority already", dir.display());
        for part in ["trust", "published", "published/tsa", "nodes"] {
            files::directory(&dir.join(part))?;
        }
        let named = |common: String, base_url: String| AuthorityName {
            subject: Subject { organization: Some(name.to_owned()), ..Subject::named(common) },
            base_url,
        };
        let mut ca = Authority::create(named(format!("{name} - root"), base_url.to_owned()), now)?;
        let tsa_name = named(format!("{name} - time"), format!("{base_url}/tsa"));
        let tsa_ca = Authority::create(tsa_name, now)?;
        let subject = Subject { organization: Some(name.to_owned()), ..Subject::named(SEAL_NAME) };
        let seal = ca.enrol(
            &Profile::Seal,
            &subject,
            Algorithm::EcdsaP256Sha256,
            now,
            now.plus(NODE_LIFE),
        )?;
        write_key_pair(dir, "seal", &seal)?;
        files::write_public(&dir.join("trust/root.pem"), ca.root_pem()?.as_bytes())?;
        files::write_public(&dir.join("trust/tsa.pem"), tsa_ca.root_pem()?.as_bytes())?;
        files::write_public(&dir.join("catalogue.toml"), roster::CATALOGUE_HEAD.as_bytes())?;
        let sealer = Sealer::new(seal.key, seal.chain, Vec::new())?;
        let it = Self { dir: dir.to_owned(), ca, tsa_ca, sealer, roster: Roster::default() };
        it.save()?;
        Ok(it)
    }

    /// Opens the one in `dir`.
    ///
    /// # Errors
    /// There is none, or a file is not what was written.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        let ca = Authority::from_dir(&dir.join("ca"))
            .with_context(|| format!("no authority in {}", dir.display()))?;
        let key = SoftwareKey::from_pkcs8_pem(&files::read(&dir.join("seal.key"))?)?;
        let chain = pem_certificates(&files::read(&dir.join("seal.pem"))?).unwrap_or_default();
        Ok(Self {
            dir: dir.to_owned(),
            ca,
            tsa_ca: Authority::from_dir(&dir.join("tsa-ca"))?,
            sealer: Sealer::new(Arc::new(key), chain, Vec::new())?,
            roster: Roster::read(dir)?,
        })
    }

    /// The nodes.
    #[must_use]
    pub fn nodes(&self) -> &[NodeEntry] {
        &self.roster.nodes
    }

    /// Certifies a timestamp authority and writes its key and certificate into `to`
    /// (`tsa.key`, `tsa.pem`).
    ///
    /// # Errors
    /// The certificate cannot be issued, or a file cannot be written.
    pub fn enrol_tsa(&mut self, to: &Path, name: &str, now: Timestamp) -> anyhow::Result<()> {
        files::directory(to)?;
        let algorithm = Algorithm::EcdsaP256Sha256;
        let end = now.plus(TSA_LIFE);
        let enrolled =
            self.tsa_ca.enrol(&Profile::Tsa, &Subject::named(name), algorithm, now, end)?;
        write_key_pair(to, "tsa", &enrolled)?;
        self.save()
    }

    /// Certifies the keys of a node, and puts it into the list, in service. A node that is there
    /// already gets new certificates; its former ones stay listed until they end or are revoked.
    /// Nothing is published yet.
    ///
    /// # Errors
    /// A key or a name cannot be certified, or a file cannot be written.
    pub fn enrol(&mut self, asked: &Enrolment, now: Timestamp) -> anyhow::Result<Certificates> {
        let end = now.plus(NODE_LIFE);
        let subject = Subject {
            organization: Some(asked.operator.clone()),
            organization_identifier: asked.siren.as_ref().map(|s| format!("NTRFR-{s}")),
            ..Subject::named(asked.node.as_str())
        };
        let seal = self.ca.issue(&Profile::Seal, &subject, &asked.seal_spki, now, end)?;
        let spki = &asked.encryption_spki;
        let encryption = self.ca.issue(&Profile::Encryption, &subject, spki, now, end)?;
        let issued = Certificates {
            seal_chain: pem(&[&seal, self.ca.issuing_der()]),
            encryption: pem(&[&encryption]),
        };
        let dir = self.dir.join("nodes").join(asked.node.as_str());
        files::directory(&dir)?;
        files::write_public(&dir.join("seal.pem"), issued.seal_chain.as_bytes())?;
        files::write_public(&dir.join("encryption.pem"), issued.encryption.as_bytes())?;
        self.list(asked, seal, encryption);
        self.save()?;
        Ok(issued)
    }

    fn list(&mut self, asked: &Enrolment, seal: Vec<u8>, encryption: Vec<u8>) {
        let former = self.roster.nodes.iter().position(|n| n.id == asked.node);
        let former = former.map(|i| self.roster.nodes.remove(i));
        let (seals, encryptions) = former
            .filter(|f| f.standing != Standing::Closed)
            .map_or_else(Default::default, |f| (f.seal_certificates, f.encryption_certificates));
        let current_first = |new: Vec<u8>, old: Vec<Octets>| {
            std::iter::once(Octets(new)).chain(old).collect::<Vec<_>>()
        };
        self.roster.nodes.push(NodeEntry {
            id: asked.node.clone(),
            operator: asked.operator.clone(),
            seal_certificates: current_first(seal, seals),
            encryption_certificates: current_first(encryption, encryptions),
            backbones: asked.backbones.clone(),
            via: asked.via.clone(),
            scope: asked.scope.clone(),
            standing: Standing::Active,
        });
        self.roster.nodes.sort_by(|a, b| a.id.cmp(&b.id));
    }

    /// Revokes certificates of a node from `now` on: the one with `serial`, or all. A node that has
    /// no seal left is closed in the list. Returns the serial numbers; nothing is published yet.
    ///
    /// # Errors
    /// The node or the serial number is not known, or a file cannot be written.
    pub fn revoke(
        &mut self,
        node: &NodeId,
        serial: Option<&str>,
        reason: RevocationReason,
        now: Timestamp,
    ) -> anyhow::Result<Vec<String>> {
        let Some(entry) = self.roster.nodes.iter_mut().find(|n| n.id == *node) else {
            bail!("no node {node} was enrolled here");
        };
        let mut revoked = Vec::new();
        let mut keep = |certificate: &Octets| -> bool {
            let Ok(info) = CertInfo::parse(&certificate.0) else { return true };
            let hit = serial.is_none_or(|s| s.eq_ignore_ascii_case(&info.serial));
            if hit {
                revoked.push(info.serial);
            }
            !hit
        };
        let seals: Vec<Octets> =
            entry.seal_certificates.iter().filter(|c| keep(c)).cloned().collect();
        let rest: Vec<Octets> =
            entry.encryption_certificates.iter().filter(|c| keep(c)).cloned().collect();
        ensure!(!revoked.is_empty(), "{node} has no such certificate");
        if seals.is_empty() {
            // The certificates stay listed: evidence of before must find its signer.
            entry.standing = Standing::Closed;
        } else {
            (entry.seal_certificates, entry.encryption_certificates) = (seals, rest);
        }
        for serial in &revoked {
            self.ca.revoke(serial, now, reason)?;
        }
        self.save()?;
        Ok(revoked)
    }

    fn save(&self) -> anyhow::Result<()> {
        self.ca.to_dir(&self.dir.join("ca"))?;
        self.tsa_ca.to_dir(&self.dir.join("tsa-ca"))?;
        self.roster.write(&self.dir)
    }
}

fn write_key_pair(dir: &Path, name: &str, enrolled: &Enrolled) -> anyhow::Result<()> {
    let key = enrolled.key.to_pkcs8_pem()?;
    files::write_private(&dir.join(format!("{name}.key")), key.as_bytes())?;
    let chain: Vec<&[u8]> = enrolled.chain.iter().map(Vec::as_slice).collect();
    files::write_public(&dir.join(format!("{name}.pem")), pem(&chain).as_bytes())
}

/// Certificates as PEM (RFC 7468 §5), in order.
fn pem(certificates: &[&[u8]]) -> String {
    let mut out = String::new();
    for der in certificates {
        out.push_str("-----BEGIN CERTIFICATE-----\n");
        for (i, letter) in STANDARD.encode(der).chars().enumerate() {
            if i > 0 && i % 64 == 0 {
                out.push('\n');
            }
            out.push(letter);
        }
        out.push_str("\n-----END CERTIFICATE-----\n");
    }
    out
}
