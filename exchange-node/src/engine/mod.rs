//! The one write door: everything that happens to a message goes through here.
//!
//! Items wait in one queue. The engine takes whatever is there, one when idle and hundreds under
//! load (then at the [pace](crate::pace) of busy loops), and each stage handles the batch at once:
//!
//! 1. **load** ([`batch`]): one query for the outcomes of known causes and for the deliveries;
//! 2. **decide** ([`rule`]): the pure core, item by item;
//! 3. **seal** ([`make`]): evidence and dispatches, spread over the cores;
//! 4. **commit**: one transaction;
//! 5. **reply**, and only then wake those who carry out effects; publications go to the publisher
//!    by [`hand`].
//!
//! A crash before the commit leaves nothing. A crash after it leaves effect rows, which are
//! carried out later. [`trace`] tells what became of an item to whoever follows its message. Two
//! items about one delivery never share a batch.

pub mod batch;
pub mod hand;
pub mod item;
pub mod make;
pub mod outcome;
pub mod publication;
pub mod recent;
pub mod rule;
mod trace;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use exchange_core::input::Finding;
use exchange_core::refusal::Refusal;
use exchange_core::state::Delivery;
use exchange_store::StoreError;
use exchange_store::rows::{Cause, Upload};
use schemas::digest::Digest;
use schemas::envelope::Envelope;
use schemas::ids::{DeliveryId, EvidenceId, MessageId};
use schemas::party::Party;
use schemas::problem::{Code, Problem};
use schemas::status::BusinessStatus;
use schemas::trace::TraceContext;
use tokio::sync::{mpsc, oneshot};

use crate::engine::item::{Item, Kind, Reply, Work};
use crate::telemetry::spans::{self, Span, Tracer};

/// A message to be submitted, its documents stored.
#[derive(Clone, Debug)]
pub struct Submit {
    /// `idem:<member>:<key>` when the client gave an `Idempotency-Key`.
    pub cause: Option<Cause>,
    /// Digest of what the client said: the same key with another fingerprint is a mismatch.
    pub fingerprint: Digest,
    /// The envelope, its identifiers minted.
    pub envelope: Envelope,
    /// The member who sends.
    pub member: Party,
    /// The documents of the envelope, in its order.
    pub uploads: Vec<Upload>,
    /// Whether they came with the message: then they are recorded with it.
    pub fresh: bool,
    /// What is wrong with the documents.
    pub findings: Vec<Finding>,
}

/// An accepted submission.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// Its id.
    pub message_id: MessageId,
    /// What was written just now; none when an earlier call with the same key had submitted it.
    pub written: Option<Written>,
}

/// What an accepted submission left in the archive.
#[derive(Clone, Debug)]
pub struct Written {
    /// The envelope.
    pub envelope: std::sync::Arc<Envelope>,
    /// Its deliveries.
    pub deliveries: Vec<Delivery>,
    /// A.1.
    pub acceptance: schemas::api::Step,
}

/// An act of a member on a delivery.
#[derive(Clone, Debug)]
pub struct Act {
    /// Unique for the call, or `idem:<member>:<key>`.
    pub cause: Cause,
    /// The delivery.
    pub delivery: DeliveryId,
    /// What is done.
    pub what: What,
    /// Versions of the delivery that the caller has seen; any when there is none.
    pub if_match: Option<Vec<i64>>,
}

/// What a member can do to a delivery.
#[derive(Clone, Debug)]
pub enum What {
    /// Take it over.
    Acknowledge {
        /// Who.
        by: Party,
    },
    /// Accept it.
    Accept {
        /// Who.
        by: Party,
    },
    /// Refuse it.
    Refuse {
        /// Who.
        by: Party,
        /// Why.
        reason: Option<String>,
    },
    /// Say that its type cannot be taken.
    RefuseType {
        /// Who.
        by: Party,
        /// Why.
        reason: Option<String>,
    },
    /// Set a business status.
    SetStatus {
        /// Who.
        by: Party,
        /// What.
        status: BusinessStatus,
        /// A reason code of the démarche.
        reason: Option<String>,
        /// A sentence for people.
        message: Option<String>,
    },
    /// An operator asks for another attempt.
    Redrive,
}

/// The outcome of an act.
#[derive(Clone, Debug)]
pub struct Acted {
    /// The delivery afterwards.
    pub delivery: Delivery,
    /// The evidence that answers: the same on every repeat.
    pub evidence: Option<EvidenceId>,
}

/// Why the engine did not do it.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A rule forbids it. `evidence` is the sealed A.2 of a refused submission.
    #[error("{refusal}")]
    Refused {
        /// The rule.
        refusal: Refusal,
        /// A.2.
        evidence: Option<EvidenceId>,
        /// The refused message.
        message: Option<MessageId>,
    },
    /// The database is away: nothing was accepted, or the same call finds out what was.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A seal could not be made.
    #[error("sealing failed: {0}")]
    Seal(String),
    /// Too much is waiting.
    #[error("the engine is busy")]
    Overloaded,
    /// The node is stopping.
    #[error("the node is stopping")]
    Closed,
}

impl EngineError {
    /// As it is answered over HTTP.
    #[must_use]
    pub fn problem(&self) -> Problem {
        match self {
            Self::Refused { refusal, evidence, message } => {
                let mut problem = refusal.problem();
                problem.evidence_id = *evidence;
                problem.message_id = *message;
                problem
            }
            Self::Store(StoreError::Full(_)) => Problem::new(
                Code::StorageFull,
                "The database has no room. Repeat the call with the same Idempotency-Key.",
                "La base n'a plus de place. Répétez l'appel avec la même clé Idempotency-Key.",
            ),
            Self::Store(_) => Problem::new(
                Code::StoreUnavailable,
                "Repeat the call with the same Idempotency-Key.",
                "Répétez l'appel avec la même clé Idempotency-Key.",
            ),
            Self::Seal(_) => Problem::new(
                Code::Internal,
                "A seal could not be made.",
                "Un cachet n'a pas pu être apposé.",
            ),
            Self::Overloaded | Self::Closed => Problem::new(
                Code::Overloaded,
                "Repeat the call in a moment.",
                "Répétez l'appel dans un instant.",
            ),
        }
    }
}

/// The door.
#[derive(Clone, Debug)]
pub struct EngineHandle {
    queue: mpsc::Sender<Item>,
    tracer: Tracer,
    /// When somebody last found the queue full.
    full: Arc<Mutex<Option<Instant>>>,
}

impl EngineHandle {
    /// A door onto a queue of `capacity` items, and the queue's other end.
    #[must_use]
    pub fn new(capacity: usize, tracer: Tracer) -> (Self, mpsc::Receiver<Item>) {
        let (queue, items) = mpsc::channel(capacity.max(1));
        (Self { queue, tracer, full: Arc::default() }, items)
    }

    /// Submits a message; answers when its A.1 (or A.2) is durable.
    ///
    /// # Errors
    /// [`EngineError`]; [`EngineError::Overloaded`] at once when the queue is full.
    pub async fn submit(&self, submit: Submit) -> Result<Submitted, EngineError> {
        let (reply, answer) = oneshot::channel();
        let cause = submit.cause.clone();
        let kind = Kind::Submit(Box::new(submit));
        let span = self.span(spans::current());
        self.offer(Item { cause, kind, reply: Reply::Submit(reply), span })?;
        answer.await.unwrap_or(Err(EngineError::Closed))
    }

    /// Carries out an act of a member; answers when it is durable.
    ///
    /// # Errors
    /// As [`EngineHandle::submit`].
    pub async fn act(&self, act: Act) -> Result<Acted, EngineError> {
        let (reply, answer) = oneshot::channel();
        let work = Work::act(act.delivery, act.what, act.if_match);
        let kind = Kind::Deliver(Box::new(work));
        let span = self.span(spans::current());
        self.offer(Item { cause: Some(act.cause), kind, reply: Reply::Act(reply), span })?;
        answer.await.unwrap_or(Err(EngineError::Closed))
    }

    /// Feeds facts from the backbone and from workers; waits for room. Answers per item.
    pub async fn feed(&self, work: Vec<(Option<Cause>, Work)>) -> Vec<Result<(), EngineError>> {
        let mut answers = Vec::with_capacity(work.len());
        for (cause, work) in work {
            let (reply, answer) = oneshot::channel();
            let span = self.span(work.trace);
            let kind = Kind::Deliver(Box::new(work));
            let item = Item { cause, kind, reply: Reply::Done(reply), span };
            if self.queue.send(item).await.is_ok() {
                answers.push(answer);
            }
        }
        let mut out = Vec::with_capacity(answers.len());
        for answer in answers {
            out.push(answer.await.unwrap_or(Err(EngineError::Closed)));
        }
        out
    }

    /// How many items wait, and how many may.
    #[must_use]
    pub fn depth(&self) -> (usize, usize) {
        let most = self.queue.max_capacity();
        (most.saturating_sub(self.queue.capacity()), most)
    }

    /// What it is called, [`trace`] says when it is known.
    fn span(&self, parent: Option<TraceContext>) -> Option<Span> {
        self.tracer.child("decide", spans::Kind::Internal, parent)
    }

    /// Whether somebody was sent away for want of room within so long.
    #[must_use]
    pub fn was_full_within(&self, time: Duration) -> bool {
        let full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        full.is_some_and(|at| at.elapsed() < time)
    }

    fn offer(&self, item: Item) -> Result<(), EngineError> {
        self.queue.try_send(item).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => {
                let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
                *full = Some(Instant::now());
                EngineError::Overloaded
            }
            mpsc::error::TrySendError::Closed(_) => EngineError::Closed,
        })
    }
}
