//! A small network for tests: fictional organisations, fixed times.
//!
//! ```text
//!   direct:   s ---national--- r            chained:   s ---national--- h ---local--- r
//! ```

use schemas::bytes::Octets;
use schemas::catalogue::Catalogue;
use schemas::directory::{MemberEntry, MembersList, NodeEntry, RootList, Scope, Standing};
use schemas::envelope::{Envelope, Requested};
use schemas::ids::{NodeId, ProcessCode};
use schemas::party::Party;
use schemas::sample;
use schemas::time::{DAY, Timestamp};

use crate::decide::Context;
use crate::policy::Policy;
use crate::route::Directory;

/// When everything begins: 2026-11-23T08:35:30.120Z, a Monday.
pub const T0: Timestamp = sample::SUBMITTED;
/// SIRET of the sender, a member of node `s`.
pub const AT_S: &str = "11999900100017";
/// SIRET of the recipient, a member of node `r`.
pub const AT_R: &str = "21993417100014";
/// SIRET of another member of node `r`.
pub const ALSO_AT_R: &str = "12345678200010";

/// Directory, catalogue and policy of all nodes.
#[derive(Debug)]
pub struct Ground {
    /// Root list.
    pub root: RootList,
    /// Members lists.
    pub lists: Vec<MembersList>,
    /// Démarches: `AEC` of the sample.
    pub catalogue: Catalogue,
    /// The policy of every node.
    pub policy: Policy,
    /// Whether every recipient's space is full.
    pub full: bool,
    directory: Directory,
}

impl Ground {
    /// S -> R.
    #[must_use]
    pub fn direct() -> Self {
        Self::of(&[("s", &["national"], None), ("r", &["national"], None)])
    }

    /// S -> H -> R.
    #[must_use]
    pub fn chained() -> Self {
        Self::of(&[
            ("s", &["national"], None),
            ("h", &["national", "local"], None),
            ("r", &["local"], Some("h")),
        ])
    }

    fn of(nodes: &[(&str, &[&str], Option<&str>)]) -> Self {
        let root = RootList {
            version: 1,
            sequence: 1,
            issued_at: T0.plus(-DAY),
            expires_at: T0.plus(365 * DAY),
            nodes: nodes.iter().map(|(id, backbones, via)| entry(id, backbones, *via)).collect(),
        };
        let lists = vec![list("s", &[AT_S]), list("r", &[AT_R, ALSO_AT_R])];
        let mut ground = Self {
            root,
            lists,
            catalogue: sample::catalogue(),
            policy: Policy::default(),
            full: false,
            directory: Directory::default(),
        };
        ground.rebuild();
        ground
    }

    /// The context of a node at a time.
    #[must_use]
    pub fn at(&self, id: &str, now: Timestamp) -> Context<'_> {
        let node = self.root.nodes.iter().map(|n| &n.id).find(|n| n.as_str() == id);
        let Some(node) = node else { unreachable!("no node {id}") };
        Context {
            now,
            node,
            directory: &self.directory,
            catalogue: &self.catalogue,
            policy: &self.policy,
            full: self.full,
        }
    }

    /// Changes the entry of a member.
    pub fn change_member(&mut self, siret: &str, change: impl FnOnce(&mut MemberEntry)) {
        let entries = self.lists.iter_mut().flat_map(|l| &mut l.members);
        if let Some(found) = entries.into_iter().find(|m| m.party.id == siret) {
            change(found);
        }
        self.rebuild();
    }

    /// Changes the entry of a node.
    pub fn change_node(&mut self, id: &str, change: impl FnOnce(&mut NodeEntry)) {
        if let Some(found) = self.root.nodes.iter_mut().find(|n| n.id.as_str() == id) {
            change(found);
        }
        self.rebuild();
    }

    /// Changes the members list of a node.
    pub fn change_list(&mut self, id: &str, change: impl FnOnce(&mut MembersList)) {
        if let Some(found) = self.lists.iter_mut().find(|l| l.node.as_str() == id) {
            change(found);
        }
        self.rebuild();
    }

    /// The directory in force.
    #[must_use]
    pub const fn directory(&self) -> &Directory {
        &self.directory
    }

    fn rebuild(&mut self) {
        self.directory = Directory::new(Some(self.root.clone()), self.lists.clone());
    }
}

/// The sender.
#[must_use]
pub fn sender() -> Party {
    party(AT_S)
}

/// A party by its SIRET.
#[must_use]
pub fn party(siret: &str) -> Party {
    Party { scheme: schemas::party::SIRET.into(), id: siret.into(), service: None, desk: None }
}

/// A node by its id.
#[must_use]
pub fn node(id: &str) -> NodeId {
    sample::node(id)
}

/// A message of the sender to these recipients, two documents for everybody.
#[must_use]
pub fn envelope(recipients: &[&str]) -> Envelope {
    let mut envelope = sample::envelope();
    envelope.recipients = recipients.iter().map(|siret| party(siret)).collect();
    envelope.documents.iter_mut().for_each(|d| d.recipients = None);
    envelope.requested = Requested::default();
    envelope.submitted_at = T0;
    envelope
}

/// An entry of the root list that may host anybody.
#[must_use]
pub fn entry(id: &str, backbones: &[&str], via: Option<&str>) -> NodeEntry {
    NodeEntry {
        id: node(id),
        operator: format!("Opérateur fictif de {id}"),
        seal_certificates: vec![Octets(vec![0x30])],
        encryption_certificates: vec![Octets(vec![0x30])],
        backbones: backbones.iter().map(|&b| b.to_owned()).collect(),
        via: via.map(node),
        scope: Scope { any: true, ..Scope::default() },
        standing: Standing::Active,
    }
}

fn list(id: &str, members: &[&str]) -> MembersList {
    let process: Vec<ProcessCode> =
        sample::catalogue().processes.into_iter().map(|p| p.code).collect();
    let entry = |siret: &&str| MemberEntry {
        party: party(siret),
        name: format!("Organisme fictif {siret}"),
        cog: None,
        mandate_sha256: None,
        processes: process.clone(),
        standing: Standing::Active,
        successor: None,
    };
    MembersList {
        version: 1,
        node: node(id),
        sequence: 1,
        issued_at: T0.plus(-DAY),
        expires_at: T0.plus(365 * DAY),
        members: members.iter().map(entry).collect(),
    }
}
