//! Keys, certificates and configuration of a node of the network.

use std::path::Path;

use schemas::ids::NodeId;
use signing::encrypt::StorageKey;
use signing::signer::{Algorithm, Signer as _};
use signing::software::SoftwareKey;

use super::topology::NodePlan;
use crate::authority::{CentralAuthority, Enrolment};
use crate::config::{
    Backbones, Config, ContentSection, DirectorySection, KeysSection, LimitsSection, LogSection,
    NodeSection, StoreSection, TelemetrySection, TrustSection, TsaSection,
};
use crate::{files, secret};

/// What a configuration needs to know beside the plan.
#[derive(Clone, Debug)]
pub struct Place {
    /// Port of the interface.
    pub port: u16,
    /// Its roads.
    pub backbone: Backbones,
    /// Tells the replicas of a node apart.
    pub instance: Option<String>,
    /// `sqlite://...` or `postgres://...`.
    pub store: String,
    /// RFC 3161.
    pub tsa_url: String,
}

/// Makes the keys of a node below `dir`, has them certified, and writes the certificates.
///
/// # Errors
/// A key cannot be made or certified, or a file cannot be written.
pub fn enrol(
    authority: &mut CentralAuthority,
    plan: &NodePlan,
    dir: &Path,
    now: schemas::time::Timestamp,
) -> anyhow::Result<()> {
    let keys = dir.join("keys");
    files::directory(&keys)?;
    let [seal, encryption] = [(); 2].map(|()| SoftwareKey::generate(Algorithm::EcdsaP256Sha256));
    let (seal, encryption) = (seal?, encryption?);
    let certificates = authority.enrol(
        &Enrolment {
            node: plan.id.clone(),
            operator: plan.operator.clone(),
            siren: None,
            seal_spki: seal.public_key_der().to_vec(),
            encryption_spki: encryption.public_key_der().to_vec(),
            backbones: plan.backbones.clone(),
            via: plan.via.clone(),
            scope: plan.scope.clone(),
        },
        now,
    )?;
    files::write_private(&keys.join("seal.key"), seal.to_pkcs8_pem()?.as_bytes())?;
    files::write_private(&keys.join("encryption.key"), encryption.to_pkcs8_pem()?.as_bytes())?;
    files::write_private(&keys.join("storage.key"), &secret::random::<32>()?)?;
    files::write_public(&keys.join("seal.pem"), certificates.seal_chain.as_bytes())?;
    files::write_public(&keys.join("encryption.pem"), certificates.encryption.as_bytes())?;
    // A key that cannot wrap is found here, not when the first document comes.
    StorageKey::from_slice(&files::read(&keys.join("storage.key"))?)?;
    Ok(())
}

/// The configuration of a node; paths are relative to its directory.
#[must_use]
pub fn config(id: &NodeId, place: &Place) -> Config {
    Config {
        node: NodeSection {
            id: id.clone(),
            instance: place.instance.clone(),
            listen: format!("127.0.0.1:{}", place.port),
            public_url: format!("http://127.0.0.1:{}", place.port),
        },
        store: StoreSection { url: place.store.clone() },
        content: ContentSection { dir: "content".into() },
        backbone: place.backbone.clone(),
        keys: KeysSection {
            seal_key: "keys/seal.key".into(),
            seal_chain: "keys/seal.pem".into(),
            encryption_key: "keys/encryption.key".into(),
            encryption_certificate: "keys/encryption.pem".into(),
            storage_key: "keys/storage.key".into(),
            crls: "../authority/published".into(),
        },
        trust: TrustSection {
            anchors: vec!["../trust/root.pem".into()],
            tsa_anchors: vec!["../trust/tsa.pem".into()],
        },
        directory: DirectorySection { dir: "../authority/published".into(), poll_ms: 1_000 },
        tsa: TsaSection { urls: vec![place.tsa_url.clone()], interval_ms: 500, max_batch: 100_000 },
        limits: LimitsSection::default(),
        log: LogSection::default(),
        telemetry: TelemetrySection::default(),
    }
}
