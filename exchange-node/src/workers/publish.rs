//! Publishes what is waiting: claim, assemble frames, publish, settle.
//!
//! Most publications come from the engine by [hand](crate::engine::hand), claimed by the commit that
//! wrote them; the queue is asked for what waited: behind others, for a retry, for a peer.
//!
//! A dispatch that was confirmed waits for its answer, and is settled with it; one that is not
//! answered soon, or is unroutable, goes back to the engine, which settles its effect in the same
//! transaction as the new state. Evidence and statuses are settled here. Neither keeps the next
//! round waiting. Content that travels by itself takes its time in a task of its
//! own, so that small messages and evidence do not wait behind it; of one order key nothing goes
//! before it, since only the head of a key is ever claimed.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use broker_adapter::Outcome;
use exchange_core::state::{Delivery, Phase};
use exchange_store::StoreError;
use exchange_store::rows::{Claimed, EffectKind, Settlement};
use futures::{FutureExt as _, StreamExt as _, stream};
use schemas::ids::DeliveryId;
use schemas::time::{MINUTE, SECOND, Timestamp};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::breaker::{Breaker, Round};
use super::content;
use super::frames::{self, Unmade};
use super::trace::Publishing;
use crate::engine::hand::LEASE;
use crate::engine::item::{Fact, Work};
use crate::engine::publication::{Payload, Publication};
use crate::node::Node;
use crate::pace::Pace;
use crate::roads::Road;
use crate::telemetry::figures;

/// Attempts before a destination without lanes counts as unknown: its node may be about to make
/// them, or the broker about to find them again after a restart.
const UNROUTABLE_ATTEMPTS: u32 = 5;
/// Most publications of one round.
const MAX_BATCH: u32 = 256;
/// Longest wait between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// The same in ms.
const LOOK_MS: i64 = 500;
/// Contents that travel by themselves at once.
const LARGE: usize = 4;
/// Rounds whose outcomes are being written down at once.
const SETTLING: usize = 4;
/// Documents that are read at once.
const READING: usize = 16;

/// The worker of one process.
struct Publisher {
    node: Arc<Node>,
    breaker: Arc<Breaker>,
    /// Large publications under way: a claim that brings one of them again prolongs its lease.
    underway: Mutex<HashSet<i64>>,
    large: Semaphore,
    settling: Arc<Semaphore>,
    /// When the queue was last asked, in ms.
    looked: AtomicI64,
}

/// Works until the node stops.
pub async fn run(node: Arc<Node>, stop: CancellationToken) {
    let publisher = Arc::new(Publisher {
        node,
        breaker: Arc::default(),
        underway: Mutex::default(),
        large: Semaphore::new(LARGE),
        settling: Arc::new(Semaphore::new(SETTLING)),
        looked: AtomicI64::new(0),
    });
    content::sweep(&publisher.node);
    let mut pace = Pace::default();
    publisher.node.hand.look();
    while !stop.is_cancelled() {
        pace.next().await;
        match publisher.round().await {
            Ok(0) => tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = publisher.node.hand.wait(LOOK) => {}
            },
            Ok(count) => pace.saw(count),
            Err(error) => {
                tracing::warn!(%error, "publishing waits for the database");
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

type Waiting = Vec<(Claimed, Publication)>;

/// Why a dispatch is not sent any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GivenUp {
    /// Its sender was told that it was not sent.
    Told,
    /// Its time to be sent is over, or will be while it is on its way. Only the engine's word ends
    /// it: where another process may have sent it, the sender is told that nobody knows (RB22), and
    /// then it is sent after all.
    Soon(Timestamp),
}

impl GivenUp {
    fn of(delivery: &Delivery, now: Timestamp) -> Option<Self> {
        match delivery.timers.relay_send {
            _ if delivery.phase == Phase::RelayFailed => Some(Self::Told),
            Some(at) if at <= now.plus(MINUTE) => Some(Self::Soon(at.max(now))),
            _ => None,
        }
    }

    fn settlement(self, claim: &Claimed) -> Settlement {
        match self {
            Self::Told => Settlement::Done(claim.id),
            Self::Soon(at) => Settlement::Retry {
                id: claim.id,
                due: at.plus(SECOND),
                error: "its time to be sent is over".to_owned(),
            },
        }
    }
}

impl Publisher {
    /// What is in hand, and what a look into the queue finds.
    async fn claimed(&self, now: Timestamp) -> Result<Vec<Claimed>, StoreError> {
        let hand = &self.node.hand;
        let looked = self.looked.load(Ordering::Relaxed);
        let mut claimed = Vec::new();
        if hand.must_look() || now.since(Timestamp::from_millis(looked)).abs() >= LOOK_MS {
            claimed = self.node.store.claim(EffectKind::Publish, now, LEASE, MAX_BATCH).await?;
            self.looked.store(now.millis(), Ordering::Relaxed);
            hand.found(&claimed);
            if claimed.len() >= MAX_BATCH as usize {
                hand.look();
            }
        }
        claimed.extend(hand.take(now, MAX_BATCH as usize));
        Ok(claimed)
    }

    /// One round; returns how many publications were claimed.
    async fn round(self: &Arc<Self>) -> Result<usize, StoreError> {
        let now = self.node.clock.now();
        self.settle_unanswered();
        let claimed = self.claimed(now).await?;
        let given_up = self.given_up(&claimed, now).await?;
        let count = claimed.len();
        let directory = self.node.directory.current();
        let mut small: Vec<(Arc<Road>, Waiting)> =
            self.node.roads.all().map(|road| (Arc::clone(road), Waiting::new())).collect();
        let mut settled = Vec::new();
        for claim in claimed {
            let Some(publication) = Publication::from_bytes(&claim.effect.payload) else {
                settled.push(dead(&claim, "a publication cannot be read".to_owned()));
                continue;
            };
            let dispatch = matches!(publication.what, Payload::Dispatch { .. });
            match given_up.get(&publication.delivery) {
                Some(why) if dispatch => settled.push(why.settlement(&claim)),
                _ if publication.what.travels_apart() => self.start(claim, publication),
                _ => {
                    let road = self.node.roads.towards(&publication.to, &directory.directory);
                    let queue = small.iter_mut().find(|(r, _)| Arc::ptr_eq(r, road));
                    if let Some((_, waiting)) = queue {
                        waiting.push((claim, publication));
                    }
                }
            }
        }
        settle(&self.node, &settled, now).await?;
        if small.iter().any(|(_, waiting)| !waiting.is_empty()) {
            self.node.bustle.saw();
        }
        for (road, waiting) in small {
            if self.node.roads.is_single() {
                self.carry(&road, waiting, now).await?;
            } else {
                self.set_out(road, waiting, now).await?;
            }
        }
        Ok(count)
    }

    /// Of what could not be sent at once: the deliveries whose sender has been told meanwhile that
    /// it was not (B.3, row 8), or is about to be told. To send them now would belie that.
    async fn given_up(
        &self,
        claimed: &[Claimed],
        now: Timestamp,
    ) -> Result<HashMap<DeliveryId, GivenUp>, StoreError> {
        let late = |c: &&Claimed| c.attempts > 0 || now.since(c.effect.due) > MINUTE;
        let late: Vec<DeliveryId> =
            claimed.iter().filter(late).filter_map(|c| c.effect.delivery).collect();
        if late.is_empty() {
            return Ok(HashMap::new());
        }
        let loaded = self.node.store.load(&[], &late, &[]).await?;
        let all = loaded.deliveries.into_iter();
        Ok(all.filter_map(|(id, (d, _))| Some((id, GivenUp::of(&d, now)?))).collect())
    }

    /// Of several roads each has rounds of its own, so that one that is blocked does not hold up
    /// another: what finds no room comes again a second later.
    async fn set_out(
        self: &Arc<Self>,
        road: Arc<Road>,
        waiting: Waiting,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if waiting.is_empty() {
            return Ok(());
        }
        let Ok(turn) = Arc::clone(&road.turns).try_acquire_owned() else {
            let busy = format!("{} is slow", road.title());
            let again: Vec<_> =
                waiting.iter().map(|(claim, _)| retry(claim, now, busy.clone())).collect();
            return settle(&self.node, &again, now).await;
        };
        let this = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = this.carry(&road, waiting, now).await {
                tracing::warn!(%error, "publications come again when their lease ends");
            }
            drop(turn);
        });
        Ok(())
    }

    /// Dispatches that were confirmed a while ago, and not answered: the engine writes down that
    /// they were sent.
    fn settle_unanswered(&self) {
        let work = self.node.hand.unanswered();
        if work.is_empty() {
            return;
        }
        let node = Arc::clone(&self.node);
        tokio::spawn(async move {
            let now = node.clock.now();
            write_down(&node, &[], work, now).await;
        });
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
            if let Err(error) = this.take_turn(claim, publication).await {
                tracing::warn!(%error, "a content is published again when its lease ends");
            }
            drop(turn);
            this.underway.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        });
    }

    /// A large publication whose turn has come, perhaps after a long wait.
    async fn take_turn(&self, claim: Claimed, publication: Publication) -> Result<(), StoreError> {
        let now = self.node.clock.now();
        if matches!(publication.what, Payload::Dispatch { .. })
            && let given_up = self.given_up(std::slice::from_ref(&claim), now).await?
            && let Some(why) = given_up.get(&publication.delivery)
        {
            return settle(&self.node, &[why.settlement(&claim)], now).await;
        }
        let road = self.node.road_to(&publication.to);
        self.carry(&road, vec![(claim, publication)], now).await
    }

    /// Publishes; what came of it is written down while the next round begins.
    async fn carry(
        &self,
        road: &Road,
        mut waiting: Waiting,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if waiting.is_empty() {
            return Ok(());
        }
        let node = &self.node;
        let mut settled = Vec::new();
        let mut spans = Publishing::begin(&node.tracer, &mut waiting);
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
                Ok((lane, frame)) => {
                    out.push((publication.to.clone(), lane, frame));
                    sent.push((claim, publication));
                }
                Err(Unmade::Broken(error)) => settled.push(dead(&claim, error)),
                // Not a failure: it goes on as soon as its reader does.
                Err(error @ Unmade::Full(_)) => settled.push(Settlement::Retry {
                    id: claim.id,
                    due: node.clock.now().plus(SECOND),
                    error: error.to_string(),
                }),
                Err(error) => settled.push(retry_soon(&claim, now, error.to_string())),
            }
        }
        let outcomes = road.publish(out).await;
        let (mut work, mut done, mut round) = (Vec::new(), Vec::new(), Round::default());
        for ((claim, publication), outcome) in sent.into_iter().zip(outcomes) {
            if outcome == Outcome::Confirmed && publication.what.travels_apart() {
                done.push(publication.clone());
            }
            if outcome == Outcome::Confirmed {
                figures::published(publication.what.lane(), 1);
            }
            spans.end(&claim, &outcome);
            round.note(&publication.to, claim.probe, &outcome);
            let in_vain = || self.breaker.is_laneless(&publication.to, now);
            match sort(&claim, &publication, outcome, now, in_vain) {
                Sorted::Settled(settlement) => settled.push(settlement),
                Sorted::Work(one) => work.push(*one),
                Sorted::Unknown(one, settlement) => {
                    work.push(*one);
                    settled.push(settlement);
                }
                Sorted::Confirmed => {
                    node.hand.confirmed(publication.delivery, &claim, publication.trace);
                }
            }
        }
        let turn = Arc::clone(&self.settling).acquire_owned().await;
        let (node, breaker) = (Arc::clone(node), Arc::clone(&self.breaker));
        tokio::spawn(async move {
            if write_down(&node, &settled, work, now).await {
                done.iter().for_each(|publication| content::done(&node, publication));
            }
            if let Err(error) = breaker.judge(node.store.as_ref(), round, now).await {
                tracing::warn!(%error, "pauses of destinations wait for the database");
            }
            drop(turn);
        });
        Ok(())
    }
}

/// Whether all of it is written down. What is not comes again when its lease ends. The engine is
/// told first that something may have been sent: what is settled as failed counts as unsent.
async fn write_down(node: &Node, settled: &[Settlement], work: Vec<Work>, now: Timestamp) -> bool {
    let mut all = true;
    let work = work.into_iter().map(|one| (None, one)).collect();
    for answer in node.engine.feed(work).await {
        if let Err(error) = answer {
            tracing::warn!(%error, "a publication will be settled when its lease ends");
            all = false;
        }
    }
    if let Err(error) = settle(node, settled, now).await {
        tracing::warn!(%error, "publications will be settled when their lease ends");
        all = false;
    }
    all
}

/// What stood behind the settled may be claimed now.
async fn settle(node: &Node, settled: &[Settlement], now: Timestamp) -> Result<(), StoreError> {
    if !settled.is_empty() && node.store.settle(settled, now).await? {
        node.hand.look();
    }
    Ok(())
}

fn dead(claim: &Claimed, error: String) -> Settlement {
    Settlement::Dead { id: claim.id, error }
}

enum Sorted {
    Settled(Settlement),
    Work(Box<Work>),
    /// A dispatch that may have arrived, and is sent again.
    Unknown(Box<Work>, Settlement),
    /// A dispatch that its answer settles.
    Confirmed,
}

fn sort(
    claim: &Claimed,
    publication: &Publication,
    outcome: Outcome,
    now: Timestamp,
    in_vain: impl FnOnce() -> bool,
) -> Sorted {
    let dispatch = matches!(publication.what, Payload::Dispatch { .. });
    let work = |fact| {
        let trace = publication.trace;
        Box::new(Work { trace, ..Work::new(publication.delivery, fact) })
    };
    match outcome {
        Outcome::Confirmed if dispatch => Sorted::Confirmed,
        Outcome::Confirmed => Sorted::Settled(Settlement::Done(claim.id)),
        Outcome::Unroutable if dispatch && (claim.attempts >= UNROUTABLE_ATTEMPTS || in_vain()) => {
            let settles = vec![claim.id];
            Sorted::Work(Box::new(Work { settles, ..*work(Fact::Unroutable) }))
        }
        Outcome::Unroutable => {
            Sorted::Settled(retry(claim, now, "the destination has no lane".to_owned()))
        }
        Outcome::TooLarge => Sorted::Settled(Settlement::Dead {
            id: claim.id,
            error: "larger than a frame may be, or than the broker takes".to_owned(),
        }),
        Outcome::Invalid(error) => Sorted::Settled(Settlement::Dead { id: claim.id, error }),
        Outcome::Unknown(error) if dispatch => {
            Sorted::Unknown(work(Fact::Attempted), retry(claim, now, error))
        }
        Outcome::Unknown(error) => Sorted::Settled(retry(claim, now, error)),
    }
}

/// Tries again after 1 s, doubling up to a minute. The core's timers say when it is too late.
fn retry(claim: &Claimed, now: Timestamp, error: String) -> Settlement {
    retry_within(claim, now, error, MINUTE)
}

/// The same for what did not come as far as the broker: a lane that could not be looked at while its
/// readers changed. Waiting for room counts as attempts too, and must not make it wait for minutes.
fn retry_soon(claim: &Claimed, now: Timestamp, error: String) -> Settlement {
    retry_within(claim, now, error, 5 * SECOND)
}

fn retry_within(claim: &Claimed, now: Timestamp, error: String, longest: i64) -> Settlement {
    let wait = SECOND.saturating_mul(1 << claim.attempts.min(6)).min(longest);
    Settlement::Retry { id: claim.id, due: now.plus(wait), error }
}
