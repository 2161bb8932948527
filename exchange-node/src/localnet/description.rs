//! `localnet.json`: what runs, for people, tools and tests. Paths are relative to its directory.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use schemas::ids::{Cog, NodeId, ProcessCode};
use serde::{Deserialize, Serialize};

/// Name of the file.
pub const FILE: &str = "localnet.json";

/// The whole file, version 1 of the format; fields may be added, none renamed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Always 1.
    pub version: u8,
    /// PEM anchors: what `pli verify --trust` takes.
    pub trust: Vec<PathBuf>,
    /// RFC 3161.
    pub tsa_url: String,
    /// The timestamp authority's process, none while it is down.
    #[serde(default)]
    pub tsa_pid: Option<i32>,
    /// The nodes.
    pub nodes: Vec<NodeFacts>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFacts {
    /// Its id.
    pub id: NodeId,
    /// Where its interface answers.
    pub url: String,
    /// Its process, none while it is down.
    pub pid: Option<i32>,
    /// Its configuration file.
    pub config: PathBuf,
    /// `embedded`, or the URL of a broker, without login.
    pub backbone: String,
    /// `sqlite` or `postgres`.
    pub store: String,
    /// Further processes of the same node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<ReplicaFacts>,
    /// Its members.
    pub members: Vec<MemberFacts>,
}

/// A further process of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaFacts {
    /// Where its interface answers.
    pub url: String,
    /// Its process, none while it is down.
    pub pid: Option<i32>,
    /// Its configuration file.
    pub config: PathBuf,
}

/// A member.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberFacts {
    /// `iso6523:0009`.
    pub scheme: String,
    /// SIRET.
    pub id: String,
    /// Commune.
    pub cog: Option<Cog>,
    /// Name.
    pub name: String,
    /// OAuth2 client.
    pub client_id: String,
    /// Its secret, for this play network alone.
    pub client_secret: String,
    /// Démarches that it receives.
    pub processes: Vec<ProcessCode>,
    /// Whether it has software of its own.
    #[serde(default)]
    pub software: bool,
}

impl std::fmt::Debug for MemberFacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemberFacts")
            .field("id", &self.id)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

impl Description {
    /// Reads it from a network's directory.
    ///
    /// # Errors
    /// There is no network, or the file is not one of ours.
    pub fn read(dir: &Path) -> anyhow::Result<Self> {
        let file = dir.join(FILE);
        let bytes = std::fs::read(&file)
            .with_context(|| format!("{}: no network was started here", file.display()))?;
        serde_json::from_slice(&bytes).with_context(|| file.display().to_string())
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, dir: &Path) -> anyhow::Result<()> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        // It holds the secrets of the play members.
        crate::files::write_private(&dir.join(FILE), &bytes)
    }

    /// Finds `NODE/MEMBER`; the member by number, commune or client id, and by nothing when the
    /// node has only one.
    #[must_use]
    pub fn member(&self, address: &str) -> Option<(&NodeFacts, &MemberFacts)> {
        let (node, member) = address.split_once('/').unwrap_or((address, ""));
        let node = self.nodes.iter().find(|n| n.id.as_str() == node)?;
        let fits = |m: &&MemberFacts| {
            [Some(m.id.as_str()), Some(m.client_id.as_str()), m.cog.as_ref().map(Cog::as_str)]
                .contains(&Some(member))
        };
        let found = match (member, node.members.as_slice()) {
            ("", [only]) => Some(only),
            _ => node.members.iter().find(fits),
        };
        found.map(|m| (node, m))
    }

    /// Every `NODE/MEMBER`, by number.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        let of = |n: &NodeFacts| -> Vec<String> {
            n.members.iter().map(|m| format!("{}/{}", n.id, m.id)).collect()
        };
        self.nodes.iter().flat_map(of).collect()
    }
}
