//! Publishing: the sealed lists of nodes and démarches, and fresh revocation lists.

use std::path::PathBuf;

use schemas::catalogue::Catalogue;
use schemas::directory::RootList;
use schemas::time::{DAY, Timestamp};
use serde::Serialize;

use super::{CatalogueFile, CentralAuthority};
use crate::files;

/// How long a list is in force; nodes go on for a grace after it. Lists are sealed anew every day.
pub(super) const LIST_LIFE: i64 = 30 * DAY;

/// What was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Published {
    /// Sequence number of the lists.
    pub sequence: u64,
    /// Last moment of the lists.
    pub expires_at: Timestamp,
    /// Nodes in the list.
    pub nodes: usize,
    /// Démarches in the catalogue.
    pub processes: usize,
    /// Where.
    pub dir: PathBuf,
}

impl CentralAuthority {
    /// Seals the list of nodes and the catalogue with the next sequence number, and writes them
    /// into `DIR/published` with revocation lists and certificates of this moment.
    ///
    /// # Errors
    /// `catalogue.toml` is not well formed, a key fails, or a file cannot be written.
    pub fn publish(&mut self, now: Timestamp) -> anyhow::Result<Published> {
        let catalogue = CatalogueFile::read(&self.dir)?;
        let dir = self.dir.join("published");
        self.publish_revocation(&dir, now)?;
        // Kept before it is used: a crash in between skips a number, which does no harm.
        self.roster.sequence += 1;
        self.roster.write(&self.dir)?;
        let (sequence, expires_at) = (self.roster.sequence, now.plus(LIST_LIFE));
        let published = Published {
            sequence,
            expires_at,
            nodes: self.roster.nodes.len(),
            processes: catalogue.process.len(),
            dir: dir.clone(),
        };
        let root = RootList {
            version: 1,
            sequence,
            issued_at: now,
            expires_at,
            nodes: self.roster.nodes.clone(),
        };
        let processes = catalogue.process;
        let catalogue = Catalogue { version: 1, sequence, issued_at: now, expires_at, processes };
        let sealer = self.sealer.with_crls(&self.ca.crl(now)?)?;
        for (name, json) in [
            ("catalogue.p7m", serde_json::to_vec(&catalogue)?),
            ("root.p7m", serde_json::to_vec(&root)?),
        ] {
            files::write_public(&dir.join(name), &sealer.seal(&json, now, None)?.der)?;
        }
        Ok(published)
    }

    fn publish_revocation(&self, dir: &std::path::Path, now: Timestamp) -> anyhow::Result<()> {
        let crls = self.ca.crl(now)?;
        for (name, crl) in ["issuing.crl", "root.crl"].into_iter().zip(&crls) {
            files::write_public(&dir.join(name), crl)?;
        }
        files::write_public(&dir.join("tsa/root.crl"), &self.tsa_ca.root_crl(now)?)?;
        files::write_public(&dir.join("root.crt"), self.ca.root_der())?;
        files::write_public(&dir.join("issuing.crt"), self.ca.issuing_der())?;
        files::write_public(&dir.join("tsa/root.crt"), self.tsa_ca.root_der())
    }
}
