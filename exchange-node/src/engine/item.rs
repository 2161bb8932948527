//! What waits in the engine's queue.

use std::sync::Arc;

use exchange_core::input::{EvidenceFact, Finding};
use exchange_store::rows::{Cause, DeliveryKey};
use schemas::digest::Digest;
use schemas::envelope::Envelope;
use schemas::ids::{DeliveryId, NodeId};
use schemas::party::Party;
use schemas::status::BusinessStatus;
use schemas::time::Timestamp;
use schemas::trace::TraceContext;
use tokio::sync::oneshot;

use crate::engine::{Acted, EngineError, Submit, Submitted, What};
use crate::telemetry::spans::Span;

/// One item.
#[derive(Debug)]
pub struct Item {
    /// Its cause, where a repeat must get the same outcome.
    pub cause: Option<Cause>,
    /// What it is.
    pub kind: Kind,
    /// Who waits for it.
    pub reply: Reply,
    /// Its part of a trace, from here to the commit.
    pub span: Option<Span>,
}

/// What an item is.
#[derive(Debug)]
pub enum Kind {
    /// A submission.
    Submit(Box<Submit>),
    /// Something that happens to a delivery.
    Deliver(Box<Work>),
}

/// Who waits.
#[derive(Debug)]
pub enum Reply {
    /// The REST interface, for a submission.
    Submit(oneshot::Sender<Result<Submitted, EngineError>>),
    /// The REST interface, for an act.
    Act(oneshot::Sender<Result<Acted, EngineError>>),
    /// A worker.
    Done(oneshot::Sender<Result<(), EngineError>>),
}

impl Reply {
    /// Answers with an error. Whoever has gone away does not care.
    pub fn fail(self, error: EngineError) {
        match self {
            Self::Submit(tx) => drop(tx.send(Err(error))),
            Self::Act(tx) => drop(tx.send(Err(error))),
            Self::Done(tx) => drop(tx.send(Err(error))),
        }
    }
}

/// Something that happens to a delivery.
#[derive(Debug)]
pub struct Work {
    /// The delivery.
    pub delivery: DeliveryId,
    /// What happens.
    pub fact: Fact,
    /// Claimed effects that this settles.
    pub settles: Vec<i64>,
    /// The span that brought it here.
    pub trace: Option<TraceContext>,
    /// Versions of the delivery for which it is meant; any when there is none.
    pub if_match: Option<Vec<i64>>,
}

/// Facts, owning what they need.
#[derive(Debug)]
pub enum Fact {
    /// A dispatch arrived.
    Dispatched(Box<Arrived>),
    /// A neighbour recollects what this node may have forgotten.
    Recollected(Box<Arrived>, Vec<Received<EvidenceFact>>),
    /// Evidence arrived in one frame, oldest first, seals verified.
    Evidence(Vec<Received<EvidenceFact>>),
    /// A business status arrived, its seal verified.
    Status {
        /// Who set it.
        by: Party,
        /// What.
        status: BusinessStatus,
        /// The sealed object.
        sealed: SealedBytes,
    },
    /// The backbone confirmed the dispatch.
    Sent,
    /// The backbone knows no such destination.
    Unroutable,
    /// It may have been published: nobody knows what came of an attempt.
    Attempted,
    /// A timer may have run out.
    Due,
    /// Come back at once.
    Continue,
    /// A member acts.
    Act(What),
}

/// A dispatch, opened and checked.
#[derive(Debug)]
pub struct Arrived {
    /// The envelope.
    pub envelope: Arc<Envelope>,
    /// Addressee.
    pub recipient_index: u32,
    /// The sender's node.
    pub origin: NodeId,
    /// The node that handed it over.
    pub from: NodeId,
    /// Hop of the node that handed it over.
    pub hop: u8,
    /// The sealed dispatch.
    pub sealed: SealedBytes,
    /// The A.1 inside.
    pub acceptance: Option<Received<EvidenceFact>>,
    /// The B.1 of each node that relayed it, a chain from `origin` to `from`.
    pub relays: Vec<Received<EvidenceFact>>,
    /// What is wrong with it.
    pub findings: Vec<Finding>,
    /// Document keys, wrapped for this node; empty at a relay.
    pub keys: Vec<DeliveryKey>,
}

/// A verified fact with the bytes that prove it.
#[derive(Clone, Debug)]
pub struct Received<T> {
    /// The fact.
    pub fact: T,
    /// The sealed object.
    pub sealed: SealedBytes,
}

/// A sealed object as issued or received.
#[derive(Clone, Debug)]
pub struct SealedBytes {
    /// The `.p7m`.
    pub p7m: Arc<Vec<u8>>,
    /// Its digest.
    pub sha256: Digest,
    /// Its signing-time.
    pub sealed_at: Timestamp,
}

impl Work {
    /// A fact without effects to settle.
    #[must_use]
    pub const fn new(delivery: DeliveryId, fact: Fact) -> Self {
        Self { delivery, fact, settles: Vec::new(), trace: None, if_match: None }
    }

    /// An act of a member.
    #[must_use]
    pub fn act(delivery: DeliveryId, what: What, if_match: Option<Vec<i64>>) -> Self {
        Self { if_match, ..Self::new(delivery, Fact::Act(what)) }
    }
}
