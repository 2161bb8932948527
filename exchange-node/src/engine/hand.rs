//! What passes between the engine and the publisher of one process, without a look into the queue:
//!
//! - publications that a commit has claimed as it wrote them;
//! - dispatches that the backbone has confirmed and that nobody has answered yet. The next node
//!   answers most of them within a moment; then the transaction that stores the answer settles
//!   them too. Those that are not answered in [`ANSWER`] are settled by themselves.
//!
//! All of it is a hint. What is lost here with the process stands in the queue under a lease, and
//! is claimed again when that has run out; the next node knows a repeat.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use exchange_store::rows::Claimed;
use schemas::ids::DeliveryId;
use schemas::time::{SECOND, Timestamp};
use schemas::trace::TraceContext;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::engine::item::{Fact, Work};

/// How long a claim lasts. Short, since a node that was killed begins again with what it had
/// claimed; a publication of another replica that takes longer may be made twice, which does no
/// harm.
pub const LEASE: i64 = 10 * SECOND;
/// What lay here longer is left to a claim: its lease may run out before it is published.
const FRESH: i64 = LEASE / 2;
/// Most publications handed over and not taken yet. More wait in the queue like those of others.
const MOST: usize = 2048;
/// How long a confirmed dispatch waits for its answer.
pub const ANSWER: Duration = Duration::from_secs(1);

/// A confirmed dispatch; twice confirmed, when an operator has sent it again meanwhile.
#[derive(Debug)]
struct Confirmed {
    claims: Vec<i64>,
    trace: Option<TraceContext>,
}

#[derive(Debug, Default)]
struct Held {
    claimed: VecDeque<Claimed>,
    unanswered: HashMap<DeliveryId, Confirmed>,
    /// In the order in which they were confirmed; answered ones included.
    since: VecDeque<(Instant, DeliveryId)>,
}

#[derive(Debug, Default)]
struct Inner {
    held: Mutex<Held>,
    bell: Notify,
    look: AtomicBool,
}

/// The hands of one process.
#[derive(Clone, Debug, Default)]
pub struct Hand(Arc<Inner>);

impl Hand {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lease under which a commit may claim: none while the publisher is behind.
    #[must_use]
    pub fn lease(&self) -> i64 {
        if self.held().claimed.len() < MOST { LEASE } else { 0 }
    }

    /// After a commit: what it claimed, and whether more waits in the queue.
    pub fn give(&self, claimed: Vec<Claimed>, more: bool) {
        let any = !claimed.is_empty();
        self.held().claimed.extend(claimed);
        if more {
            self.look();
        } else if any {
            self.0.bell.notify_one();
        }
    }

    /// Something in the queue may be claimed.
    pub fn look(&self) {
        self.0.look.store(true, Ordering::Release);
        self.0.bell.notify_one();
    }

    /// Whether there is something to claim; whoever asks goes and claims it.
    #[must_use]
    pub fn must_look(&self) -> bool {
        self.0.look.swap(false, Ordering::AcqRel)
    }

    /// Takes what was handed over, at most so much, oldest first.
    #[must_use]
    pub fn take(&self, now: Timestamp, most: usize) -> Vec<Claimed> {
        let mut held = self.held();
        let most = most.min(held.claimed.len());
        held.claimed.drain(..most).filter(|c| now.since(c.effect.due) < FRESH).collect()
    }

    /// Waits for something to publish, at most `longest`.
    pub async fn wait(&self, longest: Duration) {
        let _ = tokio::time::timeout(longest, self.0.bell.notified()).await;
    }

    /// The backbone has confirmed the dispatch of a delivery.
    pub fn confirmed(&self, delivery: DeliveryId, claim: i64, trace: Option<TraceContext>) {
        let mut held = self.held();
        held.since.push_back((Instant::now(), delivery));
        let confirmed = held.unanswered.entry(delivery);
        confirmed.or_insert(Confirmed { claims: Vec::new(), trace }).claims.push(claim);
    }

    /// The next node answers: the claims that this settles.
    #[must_use]
    pub fn answered(&self, delivery: DeliveryId) -> Vec<i64> {
        self.held().unanswered.remove(&delivery).map(|c| c.claims).unwrap_or_default()
    }

    /// What was confirmed so long ago and is not answered, as work for the engine.
    #[must_use]
    pub fn unanswered(&self, longer_than: Duration) -> Vec<Work> {
        let mut held = self.held();
        let mut over = Vec::new();
        while held.since.front().is_some_and(|(at, _)| at.elapsed() >= longer_than) {
            let Some((_, delivery)) = held.since.pop_front() else { break };
            if let Some(Confirmed { claims: settles, trace }) = held.unanswered.remove(&delivery) {
                over.push(Work { settles, trace, ..Work::new(delivery, Fact::Sent) });
            }
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use exchange_store::rows::{EffectKind, NewEffect};
    use schemas::time::MINUTE;
    use uuid::Uuid;

    use super::*;

    fn claimed(id: i64, due: Timestamp) -> Claimed {
        let effect = NewEffect {
            kind: EffectKind::Publish,
            delivery: None,
            to: None,
            order_key: String::new(),
            due,
            payload: Vec::new(),
        };
        Claimed { id, attempts: 0, effect, probe: false }
    }

    #[test]
    fn what_lay_too_long_is_left_to_a_claim() {
        let (hand, now) = (Hand::default(), Timestamp::from_millis(MINUTE));
        hand.give(vec![claimed(1, now), claimed(2, now.plus(FRESH)), claimed(3, now)], false);
        let ids = |taken: Vec<Claimed>| taken.iter().map(|c| c.id).collect::<Vec<_>>();
        assert_eq!(ids(hand.take(now.plus(FRESH), 2)), [2]);
        assert_eq!(ids(hand.take(now, 2)), [3]);
        assert!(!hand.must_look());
    }

    #[test]
    fn a_publisher_that_is_behind_is_given_no_more() {
        let (hand, now) = (Hand::default(), Timestamp::from_millis(MINUTE));
        assert_eq!(hand.lease(), LEASE);
        hand.give((0..MOST as i64).map(|id| claimed(id, now)).collect(), true);
        assert_eq!(hand.lease(), 0);
        assert!(hand.must_look() && !hand.must_look());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_settles_and_a_silence_is_settled() {
        let hand = Hand::default();
        let [one, two] = [1, 2].map(|n| DeliveryId(Uuid::from_u128(n)));
        hand.confirmed(one, 11, None);
        hand.confirmed(two, 12, None);
        hand.confirmed(two, 13, None);
        assert_eq!((hand.answered(one), hand.answered(one)), (vec![11], vec![]));
        assert!(hand.unanswered(ANSWER).is_empty());
        tokio::time::advance(ANSWER).await;
        let over = hand.unanswered(ANSWER);
        assert_eq!(over.len(), 1);
        assert_eq!((over[0].delivery, &over[0].settles[..]), (two, &[12, 13][..]));
    }
}
