//! What the engine does after the commit. Each effect is a durable row until it is carried out.

use schemas::event::{Event, Reason};
use schemas::ids::{EvidenceId, NodeId};
use schemas::party::Party;

use crate::evidence::EvidenceDraft;
use crate::state::Delivery;

/// An effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Publish the dispatch to a node. The first time the engine makes and seals it; every later
    /// time the same bytes go out.
    SendDispatch {
        /// Next hop.
        to: NodeId,
    },
    /// Publish evidence, in this order, as one frame.
    SendEvidence {
        /// Previous hop.
        to: NodeId,
        /// Drafts of this decision or evidence already held.
        evidence: Vec<EvidenceId>,
    },
    /// Publish the sealed business status that came with this input.
    SendStatus {
        /// The other party's node.
        to: NodeId,
    },
    /// Tell a member of this node, through its event feed.
    Notify {
        /// The member.
        member: Party,
        /// What happened.
        what: Notice,
    },
    /// Feed [`crate::input::Input::Continue`] back at once.
    Continue,
    /// Erase the content of this delivery at this node; digests stay.
    EraseContent,
    /// Keep offending bytes and tell the operator.
    Incident {
        /// What happened, for the log.
        detail: String,
    },
}

/// What a member is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// An evidence about its message is there.
    Evidence {
        /// Its id.
        id: EvidenceId,
        /// Its event.
        event: Event,
        /// Its reason.
        reason: Option<Reason>,
    },
    /// A delivery waits in the inbox.
    Available,
    /// Consignment is late.
    Late,
    /// The business status changed.
    Status,
}

/// What [`crate::decide::decide`] decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// To be sealed, in order.
    pub evidence: Vec<EvidenceDraft>,
    /// The state afterwards.
    pub next: Delivery,
    /// To be carried out after the commit.
    pub effects: Vec<Effect>,
    /// The evidence that answers the caller: new, or the one of an earlier identical act.
    pub answer: Option<EvidenceId>,
}
