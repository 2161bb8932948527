//! What a network is made of: nodes, members, backbones, links, replicas, démarches. Read from
//! TOML; the default is compiled in.

use std::collections::BTreeSet;
use std::path::Path;

use schemas::catalogue::Process;
use schemas::directory::Scope;
use schemas::ids::{Cog, NodeId, ProcessCode, Siret};
use serde::{Deserialize, Serialize};

const DEFAULT: &str = include_str!("../../../ops/topologies/default.toml");

/// A whole network. Used in stored state: a localnet keeps its own copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// Always 1.
    pub version: u8,
    /// Roads, by name.
    pub backbone: Vec<Road>,
    /// Nodes.
    pub node: Vec<NodePlan>,
    /// Démarches of the catalogue.
    pub process: Vec<Process>,
}

/// A road.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Road {
    /// Its name.
    pub name: String,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodePlan {
    /// Its id.
    pub id: NodeId,
    /// Who runs it.
    pub operator: String,
    /// The roads that it is attached to.
    pub backbones: Vec<String>,
    /// The node through which it is reached when no road is shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<NodeId>,
    /// Processes that share its database; more than one needs PostgreSQL.
    #[serde(default = "one")]
    pub replicas: u16,
    /// What its members may be.
    #[serde(default)]
    pub scope: Scope,
    /// Its members.
    #[serde(default)]
    pub member: Vec<MemberPlan>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberPlan {
    /// Its number.
    pub siret: Siret,
    /// Its name.
    pub name: String,
    /// Its commune, when it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cog: Option<Cog>,
    /// Whether it has software that calls the interface; otherwise its agents read at the node.
    #[serde(default = "yes")]
    pub software: bool,
    /// Démarches that it receives; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<Vec<ProcessCode>>,
}

const fn one() -> u16 {
    1
}
const fn yes() -> bool {
    true
}

/// Most replicas of one node that a topology may ask for.
const MOST_REPLICAS: u16 = 16;

/// Why a topology cannot be used: whoever wrote the file is to mend it.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// The file cannot be read.
    #[error("{0}: {1}")]
    Unreadable(std::path::PathBuf, std::io::Error),
    /// Not TOML, an unknown key, a missing key or a value of the wrong kind.
    #[error("not a topology: {0}")]
    Shape(Box<toml::de::Error>),
    /// The parts do not fit together.
    #[error("not a topology: {0}")]
    Unsound(String),
}

impl Topology {
    /// The one that is compiled in.
    ///
    /// # Errors
    /// Never, as a test asserts.
    pub fn built_in() -> Result<Self, TopologyError> {
        Self::parse(DEFAULT)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`TopologyError`].
    pub fn read(path: &Path) -> Result<Self, TopologyError> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| TopologyError::Unreadable(path.to_owned(), e))?;
        Self::parse(&text)
    }

    /// Reads a text and checks that its parts fit together.
    ///
    /// # Errors
    /// [`TopologyError`].
    pub fn parse(text: &str) -> Result<Self, TopologyError> {
        let it: Self = toml::from_str(text).map_err(|e| TopologyError::Shape(Box::new(e)))?;
        it.check().map_err(TopologyError::Unsound)?;
        Ok(it)
    }

    /// Codes of all démarches.
    #[must_use]
    pub fn codes(&self) -> Vec<ProcessCode> {
        self.process.iter().map(|p| p.code.clone()).collect()
    }

    fn check(&self) -> Result<(), String> {
        if self.version != 1 {
            return Err(format!("version {} is not known", self.version));
        }
        if self.node.is_empty() || self.backbone.is_empty() || self.process.is_empty() {
            return Err("it needs a backbone, a node and a process".to_owned());
        }
        let mut names = BTreeSet::new();
        let mut once = |kind: &str, name: &str| {
            let fresh = names.insert(format!("{kind} {name}"));
            if fresh { Ok(()) } else { Err(format!("{kind} {name} is there twice")) }
        };
        self.backbone.iter().try_for_each(|r| once("backbone", &r.name))?;
        self.process.iter().try_for_each(|p| once("process", p.code.as_str()))?;
        for node in &self.node {
            once("node", node.id.as_str())?;
            node.member.iter().try_for_each(|m| once("member", m.siret.as_str()))?;
        }
        self.node.iter().try_for_each(|n| self.check_node(n))
    }

    fn check_node(&self, node: &NodePlan) -> Result<(), String> {
        let id = &node.id;
        // These names are directories beside those of the nodes.
        if ["authority", "trust", "tsa"].contains(&id.as_str()) {
            return Err(format!("a node cannot be called {id} here"));
        }
        if node.backbones.is_empty() {
            return Err(format!("node {id} is attached to no backbone"));
        }
        if let Some(name) =
            node.backbones.iter().find(|n| self.backbone.iter().all(|r| r.name != **n))
        {
            return Err(format!("node {id}: there is no backbone {name}"));
        }
        if node.via.as_ref().is_some_and(|via| via == id || self.node.iter().all(|n| n.id != *via))
        {
            return Err(format!("node {id}: `via` must name another node"));
        }
        if !(1..=MOST_REPLICAS).contains(&node.replicas) {
            return Err(format!("node {id}: 1 to {MOST_REPLICAS} replicas"));
        }
        let codes = self.codes();
        let asked = node.member.iter().flat_map(|m| m.processes.iter().flatten());
        match asked.into_iter().find(|p| !codes.contains(p)) {
            Some(unknown) => Err(format!("node {id}: there is no process {unknown}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_a_state_and_a_departement_with_two_communes() {
        let it = Topology::built_in().unwrap();
        let ids: Vec<&str> = it.node.iter().map(|n| n.id.as_str()).collect();
        assert_eq!(ids, ["etat", "cd-34"]);
        let communes: Vec<bool> = it.node[1].member.iter().map(|m| m.software).collect();
        assert_eq!(communes, [true, false]);
        let limits: Vec<(&str, u64)> =
            it.process.iter().map(|p| (p.code.as_str(), p.max_document_size)).collect();
        assert_eq!(limits, [("AEC", 20 << 20), ("URBA", 4 << 30)]);
    }

    #[test]
    fn the_shipped_files_are_sound() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/topologies");
        for (file, nodes, replicas) in [("default", 2, 1), ("chained", 3, 1), ("replicas", 2, 2)] {
            let it = Topology::read(&dir.join(format!("{file}.toml"))).unwrap();
            assert_eq!(it.node.len(), nodes, "{file}");
            assert_eq!(it.node[1].replicas, replicas, "{file}");
        }
    }

    #[test]
    fn parts_that_do_not_fit_are_named() {
        let broken = [
            ("backbones = [\"national\"]", "backbones = [\"local\"]", "no backbone local"),
            ("id = \"cd-34\"", "id = \"etat\"", "etat is there twice"),
            ("id = \"cd-34\"", "id = \"tsa\"", "cannot be called tsa"),
            ("21993426200011", "21993417100014", "is there twice"),
            ("21993426200011", "21993426200012", "check digit"),
            ("version = 1", "version = 2", "version 2"),
            ("software = false", "processes = [\"X\"]", "no process X"),
        ];
        for (from, to, why) in broken {
            let error = Topology::parse(&DEFAULT.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(why), "{why}: {error}");
        }
    }
}
