//! The keys of a node, read once; its seal made anew whenever the CRLs change.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use signing::encrypt::{EncryptionKey, StorageKey};
use signing::seal::Sealer;
use signing::software::SoftwareKey;
use signing::trust::{Anchors, pem_certificates};
use tokio::sync::watch;

use crate::config::{Config, KeysSection};

/// The keys of a node.
#[derive(Debug)]
pub struct Keys {
    /// The seal with its current CRLs.
    pub sealer: watch::Receiver<Arc<Sealer>>,
    /// Opens key envelopes addressed to this node.
    pub encryption: Arc<EncryptionKey>,
    /// Wraps document keys at rest.
    pub storage: Arc<StorageKey>,
    /// Anchors of seals.
    pub anchors: Anchors,
    /// Anchors of timestamp authorities.
    pub tsa_anchors: Anchors,
    renew: watch::Sender<Arc<Sealer>>,
}

impl Keys {
    /// Reads keys, certificates, CRLs and anchors.
    ///
    /// # Errors
    /// Naming the file that cannot be used. The content of a key is never in the message.
    pub fn read(config: &Config) -> Result<Self> {
        let keys = &config.keys;
        let sealer = Arc::new(seal(keys)?);
        let (renew, sealer) = watch::channel(sealer);
        Ok(Self {
            sealer,
            renew,
            encryption: Arc::new(encryption(keys)?),
            storage: Arc::new(storage(&keys.storage_key)?),
            anchors: anchors(&config.trust.anchors)?,
            tsa_anchors: anchors(&config.trust.tsa_anchors)?,
        })
    }

    /// Reads the CRLs again and seals with them from now on.
    ///
    /// # Errors
    /// When a CRL cannot be read; the seal stays as it was.
    pub fn refresh(&self, keys: &KeysSection) -> Result<()> {
        let crls = crls(&keys.crls)?;
        let sealer = self.sealer.borrow().with_crls(&crls)?;
        self.renew.send_replace(Arc::new(sealer));
        Ok(())
    }
}

fn file(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

fn certificates(path: &Path) -> Result<Vec<Vec<u8>>> {
    let chain = pem_certificates(&file(path)?).unwrap_or_default();
    ensure!(!chain.is_empty(), "{} holds no PEM certificate", path.display());
    Ok(chain)
}

fn seal(keys: &KeysSection) -> Result<Sealer> {
    let signer = SoftwareKey::from_pkcs8_pem(&file(&keys.seal_key)?)
        .with_context(|| format!("{} is not a PKCS#8 key", keys.seal_key.display()))?;
    let chain = certificates(&keys.seal_chain)?;
    Sealer::new(Arc::new(signer), chain, crls(&keys.crls)?)
        .with_context(|| format!("{} does not go with its key", keys.seal_chain.display()))
}

fn encryption(keys: &KeysSection) -> Result<EncryptionKey> {
    let certificate = certificates(&keys.encryption_certificate)?.swap_remove(0);
    EncryptionKey::from_pkcs8_pem(&file(&keys.encryption_key)?, &certificate)
        .with_context(|| format!("{} cannot decrypt", keys.encryption_key.display()))
}

fn storage(path: &Path) -> Result<StorageKey> {
    let bytes = zeroize::Zeroizing::new(file(path)?);
    StorageKey::from_slice(&bytes)
        .with_context(|| format!("{} must hold exactly 32 bytes", path.display()))
}

fn anchors(paths: &[std::path::PathBuf]) -> Result<Anchors> {
    let mut all = Anchors::none();
    for path in paths {
        let anchors = Anchors::from_pem(&file(path)?)
            .with_context(|| format!("{} holds no anchor", path.display()))?;
        all.extend(&anchors);
    }
    Ok(all)
}

/// The CRLs of a directory, `*.crl`, DER, in the order of their names.
///
/// # Errors
/// When the directory or a file cannot be read.
pub fn crls(dir: &Path) -> Result<Vec<Vec<u8>>> {
    let mut paths: Vec<_> = fs::read_dir(dir)
        .with_context(|| format!("{} cannot be read", dir.display()))?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "crl"))
        .collect();
    paths.sort();
    paths.iter().map(|path| file(path)).collect()
}
