//! The signed lists of the central authority and of the nodes, as files, verified and followed.
//!
//! `root.p7m` and `catalogue.p7m` are sealed by a certificate named `CN=authority`; a members
//! list `members-<node>.p7m` by a certificate that the root list names for that node. A list
//! whose sequence number goes back, or whose seal does not verify, is refused and the last good
//! one stays in force.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail, ensure};
use exchange_core::route::Directory;
use schemas::catalogue::Catalogue;
use schemas::directory::{MembersList, RootList};
use schemas::time::Timestamp;
use serde::de::DeserializeOwned;
use signing::seal::Opened;
use signing::trust::SealVerifier;
use tokio::sync::watch;

/// Common name of the certificate that seals the lists of the central authority.
pub const AUTHORITY: &str = "authority";

/// The lists in force.
#[derive(Debug)]
pub struct Snapshot {
    /// Nodes and members.
    pub directory: Directory,
    /// Démarches.
    pub catalogue: Catalogue,
    root: RootList,
    members: Vec<MembersList>,
}

impl Snapshot {
    /// Certificates (DER) under which a node seals; empty for a stranger.
    pub fn seal_certificates<'a>(
        &'a self,
        node: &schemas::ids::NodeId,
    ) -> impl Iterator<Item = &'a [u8]> {
        let entry = self.directory.node(node);
        entry.into_iter().flat_map(|e| e.seal_certificates.iter().map(|c| c.0.as_slice()))
    }

    /// The root list in force.
    #[must_use]
    pub const fn root(&self) -> &RootList {
        &self.root
    }

    /// The members lists in force.
    #[must_use]
    pub fn members(&self) -> &[MembersList] {
        &self.members
    }
}

/// The directory as it is now.
#[derive(Clone, Debug)]
pub struct DirectoryWatch(watch::Receiver<Arc<Snapshot>>);

impl DirectoryWatch {
    /// The lists in force.
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.0.borrow())
    }
}

/// Reads the lists again when their files change.
#[derive(Debug)]
pub struct Follower {
    dir: PathBuf,
    verifier: Arc<SealVerifier>,
    seen: Vec<(PathBuf, SystemTime)>,
    publish: watch::Sender<Arc<Snapshot>>,
}

impl Follower {
    /// Reads the lists of `dir` for the first time.
    ///
    /// # Errors
    /// When the root list or the catalogue is not there or not valid. A bad members list is left
    /// out and logged.
    pub fn start(
        dir: &Path,
        verifier: Arc<SealVerifier>,
        now: Timestamp,
    ) -> Result<(Self, DirectoryWatch)> {
        let seen = stamps(dir);
        let snapshot = read(dir, &verifier, None, now)?;
        let (publish, watch) = watch::channel(Arc::new(snapshot));
        Ok((Self { dir: dir.to_owned(), verifier, seen, publish }, DirectoryWatch(watch)))
    }

    /// Looks for changed files; returns whether a new snapshot is in force.
    ///
    /// # Errors
    /// When a changed list is not valid; the last good ones stay in force.
    pub fn look(&mut self, now: Timestamp) -> Result<bool> {
        let seen = stamps(&self.dir);
        if seen == self.seen {
            return Ok(false);
        }
        let before = Arc::clone(&self.publish.borrow());
        let snapshot = read(&self.dir, &self.verifier, Some(&before), now)?;
        self.publish.send_replace(Arc::new(snapshot));
        self.seen = seen;
        Ok(true)
    }
}

fn stamps(dir: &Path) -> Vec<(PathBuf, SystemTime)> {
    let mut all: Vec<_> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.path(), entry.metadata().ok()?.modified().ok()?))
        })
        .filter(|(path, _)| path.extension().is_some_and(|e| e == "p7m"))
        .collect();
    all.sort();
    all
}

fn read(
    dir: &Path,
    verifier: &SealVerifier,
    before: Option<&Snapshot>,
    now: Timestamp,
) -> Result<Snapshot> {
    let root: RootList = sealed_by_authority(&dir.join("root.p7m"), verifier, now)?;
    let catalogue: Catalogue = sealed_by_authority(&dir.join("catalogue.p7m"), verifier, now)?;
    if let Some(before) = before {
        ensure!(root.sequence >= before.root.sequence, "the root list goes back");
        ensure!(catalogue.sequence >= before.catalogue.sequence, "the catalogue goes back");
    }
    let mut members = Vec::new();
    for entry in &root.nodes {
        let path = dir.join(format!("members-{}.p7m", entry.id));
        if !path.exists() {
            continue;
        }
        let old = before.and_then(|b| b.members.iter().find(|m| m.node == entry.id));
        match members_of(&path, entry, verifier, old, now) {
            Ok(list) => members.push(list),
            Err(error) => {
                tracing::warn!(node = %entry.id, error = format!("{error:#}"), "members list refused");
                members.extend(old.cloned());
            }
        }
    }
    let directory = Directory::new(Some(root.clone()), members.clone());
    Ok(Snapshot { directory, catalogue, root, members })
}

fn members_of(
    path: &Path,
    entry: &schemas::directory::NodeEntry,
    verifier: &SealVerifier,
    old: Option<&MembersList>,
    now: Timestamp,
) -> Result<MembersList> {
    let opened = open(path, verifier, now)?;
    let own = entry.seal_certificates.iter().any(|c| c.0 == opened.signer.der);
    ensure!(own, "sealed by {}, not by {}", opened.signer.subject, entry.id);
    let list: MembersList = parse(path, &opened)?;
    ensure!(list.node == entry.id, "this is the list of {}", list.node);
    if let Some(old) = old {
        ensure!(list.sequence >= old.sequence, "the members list goes back");
    }
    Ok(list)
}

fn open(path: &Path, verifier: &SealVerifier, now: Timestamp) -> Result<Opened> {
    let p7m = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    verifier.verify(&p7m, now).with_context(|| format!("{}: the seal", path.display()))
}

fn sealed_by_authority<T: DeserializeOwned>(
    path: &Path,
    verifier: &SealVerifier,
    now: Timestamp,
) -> Result<T> {
    let opened = open(path, verifier, now)?;
    let subject = &opened.signer.subject;
    if !subject.split(',').any(|part| part.trim() == format!("CN={AUTHORITY}")) {
        bail!("{} is sealed by {subject}, not by the authority", path.display());
    }
    parse(path, &opened)
}

fn parse<T: DeserializeOwned>(path: &Path, opened: &Opened) -> Result<T> {
    serde_json::from_slice(&opened.content)
        .with_context(|| format!("{} is not a list of this version", path.display()))
}
