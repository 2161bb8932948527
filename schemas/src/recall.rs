//! A node that was restored from a backup asks its neighbours for what it has forgotten.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::NodeId;
use crate::time::Timestamp;

/// A recall, or the end of the answer to it; sealed by `node`. Between the two, the neighbour sends
/// recollections (`fr.pli.recollection.v1`): what it holds about each delivery that it shares with
/// the node and that something has happened to since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recall {
    /// Always 1.
    #[schemars(extend("const" = 1))]
    pub version: u8,
    /// Which recall; the end of the answer has the same.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub recall_id: Uuid,
    /// Who seals this.
    pub node: NodeId,
    /// Whom it is for.
    pub to: NodeId,
    /// What it says.
    pub say: Say,
    /// What happened since is asked for: when the backup was taken.
    pub since: Timestamp,
    /// When this was said.
    pub at: Timestamp,
}

/// What a [`Recall`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Say {
    /// Send again what happened since.
    Ask,
    /// That was all.
    Done,
}
