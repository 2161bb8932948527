//! The directory: who operates a node, and which members it reaches. Two kinds of sealed list:
//! the root list of the central authority, and one members list per node, sealed by that node
//! within the scope that its root entry delegates.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bytes::Octets;
use crate::digest::Digest;
use crate::ids::{Cog, NodeId, ProcessCode, Siren};
use crate::party::Party;
use crate::time::Timestamp;

/// Grace after the expiry of a list, in days: nodes go on with the last list they hold.
pub const GRACE_DAYS: i64 = 7;

/// The root list, version 1 of the format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RootList {
    /// Always 1.
    #[schemars(extend("const" = 1))]
    pub version: u8,
    /// Sequence number: never goes back.
    pub sequence: u64,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends (plus grace).
    pub expires_at: Timestamp,
    /// The nodes.
    pub nodes: Vec<NodeEntry>,
}

/// Status of a node or a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// In service.
    Active,
    /// Not yet in service.
    Pending,
    /// Out of service for a time.
    Suspended,
    /// Out of service for good.
    Closed,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeEntry {
    /// Its id.
    pub id: NodeId,
    /// Who runs it.
    pub operator: String,
    /// DER certificates of its seals, current first; more than one during a rollover.
    pub seal_certificates: Vec<Octets>,
    /// DER certificates to encrypt to, current first.
    pub encryption_certificates: Vec<Octets>,
    /// Names of the backbones that it is attached to.
    pub backbones: Vec<String>,
    /// The node through which it is reached when no backbone is shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<NodeId>,
    /// What its members may be.
    pub scope: Scope,
    /// In service or not.
    pub standing: Standing,
}

/// What a node may answer for.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Scope {
    /// Departments (`34`, `2A`, `971`) whose communes it may host.
    pub departments: Vec<String>,
    /// SIRENs that it may host.
    pub sirens: Vec<Siren>,
    /// Any member at all (development and central nodes).
    pub any: bool,
}

/// The members list of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MembersList {
    /// Always 1.
    #[schemars(extend("const" = 1))]
    pub version: u8,
    /// The node that seals it.
    pub node: NodeId,
    /// Sequence number: never goes back.
    pub sequence: u64,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends (plus grace).
    pub expires_at: Timestamp,
    /// The members.
    pub members: Vec<MemberEntry>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberEntry {
    /// Organisation.
    pub party: Party,
    /// Its name.
    pub name: String,
    /// Its commune, when it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cog: Option<Cog>,
    /// Digest of the signed mandate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mandate_sha256: Option<Digest>,
    /// Démarches that it subscribes to as a recipient.
    pub processes: Vec<ProcessCode>,
    /// In service or not.
    pub standing: Standing,
    /// Who takes over (commune nouvelle).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<Party>,
}
