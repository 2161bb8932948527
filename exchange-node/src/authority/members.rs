//! The list of a node's members, sealed by that node itself.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use schemas::directory::{MemberEntry, MembersList};
use schemas::ids::NodeId;
use schemas::time::Timestamp;
use signing::seal::{self, Sealer};
use signing::software::SoftwareKey;
use signing::trust::pem_certificates;

use super::lists::LIST_LIFE;
use crate::files;

/// What a node seals its list with.
#[derive(Clone, Copy, Debug)]
pub struct MembersSeal<'a> {
    /// PKCS#8 PEM.
    pub key: &'a Path,
    /// PEM, leaf first.
    pub chain: &'a Path,
    /// Directory of CRLs.
    pub crls: &'a Path,
}

/// Seals `members` as the list of `node` with the next sequence number, and writes it into
/// `published` as `members-<node>.p7m`. Returns the sequence number.
///
/// # Errors
/// A key or certificate cannot be used, the former list cannot be read, or the new one written.
pub fn publish_members(
    published: &Path,
    node: &NodeId,
    members: Vec<MemberEntry>,
    seal: MembersSeal<'_>,
    now: Timestamp,
) -> anyhow::Result<u64> {
    let file = published.join(format!("members-{node}.p7m"));
    let sequence = if file.exists() { former(&file)?.sequence + 1 } else { 1 };
    let list = MembersList {
        version: 1,
        node: node.clone(),
        sequence,
        issued_at: now,
        expires_at: now.plus(LIST_LIFE),
        members,
    };
    let key = SoftwareKey::from_pkcs8_pem(&files::read(seal.key)?)
        .with_context(|| seal.key.display().to_string())?;
    let chain = pem_certificates(&files::read(seal.chain)?).unwrap_or_default();
    let crls = crls(seal.crls)?;
    let sealer = Sealer::new(Arc::new(key), chain, crls)
        .with_context(|| format!("{} does not go with its key", seal.chain.display()))?;
    let sealed = sealer.seal(&serde_json::to_vec(&list)?, now, None)?;
    files::write_public(&file, &sealed.der)?;
    Ok(sequence)
}

/// The list that is in force, as its own node wrote it here: read, not judged.
fn former(file: &Path) -> anyhow::Result<MembersList> {
    let opened = seal::open(&files::read(file)?).with_context(|| file.display().to_string())?;
    serde_json::from_slice(&opened.content).with_context(|| file.display().to_string())
}

fn crls(dir: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let entries = std::fs::read_dir(dir).with_context(|| dir.display().to_string())?;
    let mut paths: Vec<_> = entries
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "crl"))
        .collect();
    paths.sort();
    paths.iter().map(|p| files::read(p)).collect()
}
