//! What the authority keeps about its network.

use std::path::Path;

use anyhow::Context as _;
use schemas::catalogue::Process;
use schemas::directory::NodeEntry;
use serde::{Deserialize, Serialize};

use crate::files;

const FILE: &str = "network.json";
const CATALOGUE: &str = "catalogue.toml";

/// What a new catalogue file says.
pub(super) const CATALOGUE_HEAD: &str = r#"# The démarches of this network. `pli authority publish` seals them.
#
# [[process]]
# code = "AEC"
# name = "Actes de l'état civil"
# name_en = "Civil status records"
# owner = "Agence nationale des échanges"
# media_types = ["application/pdf", "application/xml", "text/xml", "application/json", "image/*"]
# max_document_size = 20_971_520   # octets
# max_message_size = 104_857_600
# legal_basis = "Code civil, article 101-1"
"#;

/// The nodes and the sequence numbers of the lists. Used in stored state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roster {
    /// Of the last list that was published; never goes back.
    pub sequence: u64,
    /// In the order of their ids.
    pub nodes: Vec<NodeEntry>,
}

impl Roster {
    pub(super) fn read(dir: &Path) -> anyhow::Result<Self> {
        let file = dir.join(FILE);
        serde_json::from_slice(&files::read(&file)?).with_context(|| file.display().to_string())
    }

    pub(super) fn write(&self, dir: &Path) -> anyhow::Result<()> {
        files::write_public(&dir.join(FILE), &serde_json::to_vec_pretty(self)?)
    }
}

/// `catalogue.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogueFile {
    /// The démarches.
    #[serde(default)]
    pub process: Vec<Process>,
}

impl CatalogueFile {
    /// Reads it from an authority's directory.
    ///
    /// # Errors
    /// It cannot be read, or a démarche is not well formed; the key is named.
    pub fn read(dir: &Path) -> anyhow::Result<Self> {
        let file = dir.join(CATALOGUE);
        let text = String::from_utf8(files::read(&file)?)?;
        toml::from_str(&text).with_context(|| file.display().to_string())
    }

    /// Writes it into an authority's directory.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, dir: &Path) -> anyhow::Result<()> {
        files::write_public(&dir.join(CATALOGUE), toml::to_string(self)?.as_bytes())
    }
}
