//! Business status: what becomes of a message after its handover. Signed, but no ERDS evidence.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::ids::{DeliveryId, MessageId, NodeId};
use crate::party::Party;
use crate::time::Timestamp;

/// The statuses, with the HubEE V1 names they map to. Used in stored state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BusinessStatus {
    /// SI_RECEIVED, set by the recipient.
    Received,
    /// IN_PROGRESS, set by the recipient.
    InProgress,
    /// ADD_AWAITING: a complement is asked for; set by the recipient.
    AddAwaiting,
    /// DONE, set by the recipient.
    Done,
    /// REFUSED, set by the recipient.
    Refused,
    /// SI_INTG_ERROR: the recipient's software cannot integrate the message.
    IntegrationError,
    /// CLOSED, set by the sender.
    Closed,
    /// Opened again by the sender.
    Reopened,
}

/// A sealed business status, version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusUpdate {
    /// Always 1.
    pub version: u8,
    /// The message.
    pub message_id: MessageId,
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// Node that seals.
    pub node: NodeId,
    /// Member who sets it.
    pub author: Party,
    /// The status.
    pub status: BusinessStatus,
    /// A reason code of the démarche.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A sentence for people, at most 1,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Digests of attached documents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<Digest>,
    /// When it was set.
    pub at: Timestamp,
}
