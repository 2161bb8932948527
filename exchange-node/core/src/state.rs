//! One delivery as one node sees it: the fold of its sealed evidence, plus timers.

use schemas::digest::Digest;
use schemas::envelope::Consignment;
use schemas::event::{Event, Reason};
use schemas::ids::{DeliveryId, EvidenceId, MessageId, NodeId, ProcessCode};
use schemas::status::BusinessStatus;
use schemas::time::Timestamp;
use serde::{Deserialize, Serialize};

/// State names shown to people (`lifecycle.md`). Used in stored state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Row 1.
    Submitted,
    /// Row 2.
    Accepted,
    /// Row 3, end.
    Rejected,
    /// Row 4: published towards the next hop.
    Relaying,
    /// Row 6: the next hop has it.
    Relayed,
    /// Row 7, only at a receiving node that refused: end there. The relaying node goes on to
    /// `RelayFailed` at once.
    RelayRejected,
    /// Rows 5 and 8, end.
    RelayFailed,
    /// Rows 9 and 15: no information; late evidence is still welcome.
    Unconfirmed,
    /// Row 11.
    AwaitingAcceptance,
    /// Row 12b, end.
    Refused,
    /// Row 12c, end.
    Expired,
    /// Row 13.
    Consigned,
    /// Row 14, end.
    ConsignFailed,
    /// Row 16, end, success.
    HandedOver,
    /// Row 17, end.
    HandoverFailed,
    /// Waiting for a dependency such as the scanner.
    Held,
    /// Waiting for the person concerned.
    AwaitingAuthorisation,
    /// Recalled by the sender, end.
    Cancelled,
    /// Row 18: it left the network, or could not, by the gateway's word; end.
    External,
}

impl Phase {
    /// The name in JSON and on screens.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Relaying => "relaying",
            Self::Relayed => "relayed",
            Self::RelayRejected => "relay_rejected",
            Self::RelayFailed => "relay_failed",
            Self::Unconfirmed => "unconfirmed",
            Self::AwaitingAcceptance => "awaiting_acceptance",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Consigned => "consigned",
            Self::ConsignFailed => "consign_failed",
            Self::HandedOver => "handed_over",
            Self::HandoverFailed => "handover_failed",
            Self::Held => "held",
            Self::AwaitingAuthorisation => "awaiting_authorisation",
            Self::Cancelled => "cancelled",
            Self::External => "external",
        }
    }

    /// Whether nothing more is owed. [`Phase::Unconfirmed`] is not an end: late evidence counts.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(
            self,
            Self::Rejected
                | Self::RelayRejected
                | Self::RelayFailed
                | Self::Refused
                | Self::Expired
                | Self::ConsignFailed
                | Self::HandedOver
                | Self::HandoverFailed
                | Self::Cancelled
                | Self::External
        )
    }
}

/// What this node is to the delivery. Used in stored state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// S: the sender's node.
    Sender,
    /// H: relays between two others.
    Relay,
    /// R: the recipient's node.
    Recipient,
    /// S and R at once (topology 4).
    Local,
}

impl Role {
    /// The name in the store.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::Relay => "relay",
            Self::Recipient => "recipient",
            Self::Local => "local",
        }
    }
}

/// Running timers. Used in stored state.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Timers {
    /// Give up publishing to the next hop (row 8, RB09).
    pub relay_send: Option<Timestamp>,
    /// Publish again: set by a failed attempt.
    pub retry: Option<Timestamp>,
    /// No B.1 or B.2 (row 9, RB22).
    pub relay_ack: Option<Timestamp>,
    /// Warn the sender that consignment is late.
    pub consign_warning: Option<Timestamp>,
    /// No C, D or E evidence at S (row 15, RD03).
    pub consign: Option<Timestamp>,
    /// Not before (MD07), at R.
    pub not_before: Option<Timestamp>,
    /// Acceptance is over (row 12c).
    pub acceptance: Option<Timestamp>,
    /// Handover is over (row 17).
    pub handover: Option<Timestamp>,
    /// MD03: no consignment or handover after it.
    pub expires: Option<Timestamp>,
}

impl Timers {
    /// The earliest running timer.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        [
            self.relay_send,
            self.retry,
            self.relay_ack,
            self.consign_warning,
            self.consign,
            self.not_before,
            self.acceptance,
            self.handover,
            self.expires,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

/// An evidence of this delivery that this node holds. Used in stored state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// G01.
    pub id: EvidenceId,
    /// G03.
    pub event: Event,
    /// G04, the first.
    pub reason: Option<Reason>,
    /// Issuer.
    pub node: NodeId,
    /// G05.
    pub at: Timestamp,
    /// Digest of the `.p7m`; the engine fills it in after sealing.
    pub digest: Option<Digest>,
}

/// One delivery at this node. Used in stored state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its id, the same at every node.
    pub id: DeliveryId,
    /// Its message.
    pub message: MessageId,
    /// Position of the addressee in the envelope, from 0.
    pub recipient_index: u32,
    /// What this node is to it.
    pub role: Role,
    /// Where it stands.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// Who holds the content and owes the next evidence.
    pub custodian: NodeId,
    /// The sender's node.
    pub origin: NodeId,
    /// Who handed it to this node; none at S.
    pub previous_hop: Option<NodeId>,
    /// Whom this node hands it to; none at R.
    pub next_hop: Option<NodeId>,
    /// 0 at S.
    pub hop: u8,
    /// Démarche.
    pub process: ProcessCode,
    /// Consignment mode in force.
    pub consignment: Consignment,
    /// Publications so far.
    pub attempts: u32,
    /// Timers.
    pub timers: Timers,
    /// Evidence, in the order in which this node got to know it.
    pub evidence: Vec<Held>,
    /// The system outside of the network that it goes to (row 18), or that it came from: then its
    /// sender is not vouched for (row 19).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<String>,
    /// Latest business status.
    pub business: Option<BusinessStatus>,
    /// Digest of the sealed dispatch that this node made or received: tells a repeat from a
    /// mismatch.
    pub dispatch: Option<Digest>,
}

impl Delivery {
    /// The evidence of an event that this node holds.
    #[must_use]
    pub fn held(&self, event: Event) -> Option<&Held> {
        self.evidence.iter().find(|h| h.event == event)
    }

    /// Where the evidence of the way that leads to `node` ends, and that of what lies ahead begins.
    /// Only a node in the middle has both: there the evidence of the nodes before comes with the
    /// dispatch, and its own first word follows at once.
    fn turn(&self, node: &NodeId) -> usize {
        let own = |h: &Held| h.node == *node && h.event.family() == 'B';
        match self.role {
            Role::Relay => self.evidence.iter().position(own).map_or(0, |i| i + 1),
            Role::Sender | Role::Recipient | Role::Local => 0,
        }
    }

    /// Evidence of this node and of those behind it on the way, at `node`.
    #[must_use]
    pub fn ahead(&self, node: &NodeId) -> &[Held] {
        self.evidence.get(self.turn(node)..).unwrap_or_default()
    }

    /// The B.1 of each node that has relayed it, `node` included: what the next node wants to see.
    pub fn relayed_by(&self, node: &NodeId) -> impl Iterator<Item = &Held> {
        let way = self.evidence.get(..self.turn(node)).unwrap_or_default();
        way.iter().filter(|h| h.event == Event::RelayAcceptance)
    }

    /// Whether its dispatch may still go out. Whoever publishes asks this last: a dispatch that was
    /// given up, or that the next node has, stays where it is.
    #[must_use]
    pub const fn awaits_dispatch(&self) -> bool {
        matches!(self.role, Role::Sender | Role::Relay)
            && matches!(self.phase, Phase::Accepted | Phase::Relaying | Phase::Unconfirmed)
    }

    /// When something must have happened; none at an end.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.timers.next()
    }
}
