//! Publishes what is waiting: claim, assemble frames, publish, settle.
//!
//! A dispatch that was confirmed (or is unroutable) goes back to the engine, which settles its
//! effect in the same transaction as the new state. Evidence and statuses are settled here. Neither
//! keeps the next round waiting. Content that travels by itself takes its time in a task of its
//! own, so that small messages and evidence do not wait behind it; of one order key nothing goes
//! before it, since only the head of a key is ever claimed.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use broker_adapter::Outcome;
use exchange_store::StoreError;
use exchange_store::rows::{Claimed, EffectKind, Settlement};
use futures::{FutureExt as _, StreamExt as _, stream};
use schemas::time::{MINUTE, SECOND, Timestamp};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::frames::{self, Unmade};
use crate::engine::item::{Fact, Work};
use crate::engine::publication::{Payload, Publication};
use crate::node::Node;

/// How long a claim lasts. Short, since a node that was killed begins again with what it had
/// claimed; a publication of another replica that takes longer may be made twice, which does no
/// harm.
const LEASE: i64 = 10 * SECOND;
/// Attempts before a destination without lanes counts as unknown: its node may be about to make
/// them, or the broker about to find them again after a restart.
const UNROUTABLE_ATTEMPTS: u32 = 5;
/// Most publications of one round.
const MAX_BATCH: u32 = 256;
/// Longest wait between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// Contents that travel by themselves at once.
const LARGE: usize = 4;
/// Rounds whose outcomes are being written down at once.
const SETTLING: usize = 4;
/// Documents that are read at once.
const READING: usize = 16;

/// The worker of one process.
struct Publisher {
    node: Arc<Node>,
    /// Large publications under way: a claim that brings one of them again prolongs its lease.
    underway: Mutex<HashSet<i64>>,
    large: Semaphore,
    settling: Arc<Semaphore>,
}

/// Works until the node stops.
pub async fn run(node: Arc<Node>, stop: CancellationToken) {
    let publisher = Arc::new(Publisher {
        node,
        underway: Mutex::default(),
        large: Semaphore::new(LARGE),
        settling: Arc::new(Semaphore::new(SETTLING)),
    });
    while !stop.is_cancelled() {
        match publisher.round().await {
            Ok(0) => tokio::select! {
                () = stop.cancelled() => return,
                () = publisher.node.wakes.publish(LOOK) => {}
            },
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "publishing waits for the database");
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

type Waiting = Vec<(Claimed, Publication)>;

impl Publisher {
    /// One round; returns how many publications were claimed.
    async fn round(self: &Arc<Self>) -> Result<usize, StoreError> {
        let now = self.node.clock.now();
        let claimed = self.node.store.claim(EffectKind::Publish, now, LEASE, MAX_BATCH).await?;
        let count = claimed.len();
        let mut small = Waiting::new();
        let mut settled = Vec::new();
        for claim in claimed {
            match Publication::from_bytes(&claim.effect.payload) {
                Some(publication) if publication.what.travels_apart() => {
                    self.start(claim, publication);
                }
                Some(publication) => small.push((claim, publication)),
                None => settled.push(dead(&claim, "a publication cannot be read".to_owned())),
            }
        }
        if !small.is_empty() || !settled.is_empty() {
            self.carry(small, settled, now).await?;
        }
        Ok(count)
    }

    /// Begins with a large publication, unless it is under way.
    fn start(self: &Arc<Self>, claim: Claimed, publication: Publication) {
        let id = claim.id;
        if !self.underway.lock().unwrap_or_else(PoisonError::into_inner).insert(id) {
            return;
        }
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let turn = this.large.acquire().await;
            let now = this.node.clock.now();
            if let Err(error) = this.carry(vec![(claim, publication)], Vec::new(), now).await {
                tracing::warn!(%error, "a content is published again when its lease ends");
            }
            drop(turn);
            this.underway.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        });
    }

    /// Publishes; what came of it is written down while the next round begins.
    async fn carry(
        &self,
        waiting: Waiting,
        mut settled: Vec<Settlement>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let node = &self.node;
        let sealed = frames::sealed(node, waiting.iter().map(|(_, p)| p)).await?;
        let mut making = Vec::with_capacity(waiting.len());
        for (_, publication) in &waiting {
            making.push(frames::make(node, publication, &sealed).boxed());
        }
        let made: Vec<_> = stream::iter(making).buffered(READING).collect().await;
        let mut out = Vec::with_capacity(made.len());
        let mut sent = Waiting::with_capacity(made.len());
        for ((claim, publication), made) in waiting.into_iter().zip(made) {
            match made {
                Ok(frame) => {
                    out.push(frame);
                    sent.push((claim, publication));
                }
                Err(Unmade::Broken(error)) => settled.push(dead(&claim, error)),
                Err(error) => settled.push(retry(&claim, now, error.to_string())),
            }
        }
        let outcomes = node.backbone.publish(out).await;
        let mut work = Vec::new();
        for ((claim, publication), outcome) in sent.into_iter().zip(outcomes) {
            match sort(&claim, &publication, outcome, now) {
                Sorted::Settled(settlement) => settled.push(settlement),
                Sorted::Work(one) => work.push((None, one)),
            }
        }
        let turn = Arc::clone(&self.settling).acquire_owned().await;
        let node = Arc::clone(node);
        tokio::spawn(async move {
            write_down(&node, &settled, work, now).await;
            drop(turn);
        });
        Ok(())
    }
}

/// What is not written down comes again when its lease ends.
async fn write_down(
    node: &Node,
    settled: &[Settlement],
    work: Vec<(Option<exchange_store::rows::Cause>, Work)>,
    now: Timestamp,
) {
    if !settled.is_empty()
        && let Err(error) = node.store.settle(settled, now).await
    {
        tracing::warn!(%error, "publications will be settled when their lease ends");
    }
    for answer in node.engine.feed(work).await {
        if let Err(error) = answer {
            tracing::warn!(%error, "a publication will be settled when its lease ends");
        }
    }
}

fn dead(claim: &Claimed, error: String) -> Settlement {
    Settlement::Dead { id: claim.id, error }
}

enum Sorted {
    Settled(Settlement),
    Work(Work),
}

fn sort(claim: &Claimed, publication: &Publication, outcome: Outcome, now: Timestamp) -> Sorted {
    let dispatch = matches!(publication.what, Payload::Dispatch { .. });
    let work =
        |fact| Sorted::Work(Work { delivery: publication.delivery, fact, settles: vec![claim.id] });
    match outcome {
        Outcome::Confirmed if dispatch => work(Fact::Sent),
        Outcome::Confirmed => Sorted::Settled(Settlement::Done(claim.id)),
        Outcome::Unroutable if dispatch && claim.attempts >= UNROUTABLE_ATTEMPTS => {
            work(Fact::Unroutable)
        }
        Outcome::Unroutable => {
            Sorted::Settled(retry(claim, now, "the destination has no lane".to_owned()))
        }
        Outcome::TooLarge => Sorted::Settled(Settlement::Dead {
            id: claim.id,
            error: "larger than a frame may be".to_owned(),
        }),
        Outcome::Invalid(error) => Sorted::Settled(Settlement::Dead { id: claim.id, error }),
        Outcome::Unknown(error) => Sorted::Settled(retry(claim, now, error)),
    }
}

/// Tries again after 1 s, doubling up to a minute. The core's timers say when it is too late.
fn retry(claim: &Claimed, now: Timestamp, error: String) -> Settlement {
    let wait = SECOND.saturating_mul(1 << claim.attempts.min(6)).min(MINUTE);
    Settlement::Retry { id: claim.id, due: now.plus(wait), error }
}
