//! What passes between the engine and the publisher of one process, without a look into the queue:
//!
//! - publications that a commit has claimed as it wrote them;
//! - dispatches that the backbone has confirmed and that nobody has answered yet. The next node
//!   answers most of them within a moment; then the transaction that stores the answer settles
//!   them too. Those that are not answered in [`ANSWER`] are settled by themselves, and those at once
//!   behind which others of their conversation wait: the next may go when this one is settled.
//!
//! All of it is a hint. What is lost here with the process stands in the queue under a lease, and
//! is claimed again when that has run out; the next node knows a repeat.

use std::collections::{HashMap, HashSet, VecDeque};
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
const ANSWER: Duration = Duration::from_secs(1);

/// A confirmed dispatch; twice confirmed, when an operator has sent it again meanwhile.
#[derive(Debug)]
struct Confirmed {
    claims: Vec<i64>,
    key: String,
    trace: Option<TraceContext>,
}

#[derive(Debug, Default)]
struct Held {
    claimed: VecDeque<Claimed>,
    unanswered: HashMap<DeliveryId, Confirmed>,
    /// In the order in which they were confirmed; answered ones included.
    since: VecDeque<(Instant, DeliveryId)>,
    /// Not to be waited for any longer.
    hurried: Vec<DeliveryId>,
    /// Order keys behind whose head others wait.
    crowded: HashSet<String>,
}

impl Held {
    /// Others wait behind the head of a key. When it is confirmed already, its time is over.
    fn crowd(&mut self, key: String) {
        let of_key = |(id, c): (&DeliveryId, &Confirmed)| (c.key == key).then_some(*id);
        match self.unanswered.iter().find_map(of_key) {
            Some(delivery) => self.hurry(delivery),
            None => drop(self.crowded.insert(key)),
        }
        // Heads of other processes are never confirmed here.
        if self.crowded.len() > MOST {
            self.crowded.clear();
        }
    }

    fn hurry(&mut self, delivery: DeliveryId) {
        self.hurried.push(delivery);
    }
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

    /// After a commit: what it claimed, the order keys of what waits behind others, and whether
    /// anything waits in the queue.
    pub fn give(&self, claimed: Vec<Claimed>, behind: Vec<String>, more: bool) {
        let any = !claimed.is_empty();
        let mut held = self.held();
        held.claimed.extend(claimed);
        behind.into_iter().for_each(|key| held.crowd(key));
        drop(held);
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

    /// What a look into the queue has claimed waited there: others may wait behind it.
    pub fn found(&self, claimed: &[Claimed]) {
        let mut held = self.held();
        claimed.iter().for_each(|c| held.crowd(c.effect.order_key.clone()));
    }

    /// The backbone has confirmed the dispatch of a delivery.
    pub fn confirmed(&self, delivery: DeliveryId, claim: &Claimed, trace: Option<TraceContext>) {
        let mut held = self.held();
        let key = &claim.effect.order_key;
        if held.crowded.remove(key) {
            held.hurry(delivery);
            self.0.bell.notify_one();
        } else {
            held.since.push_back((Instant::now(), delivery));
        }
        let new = || Confirmed { claims: Vec::new(), key: key.clone(), trace };
        held.unanswered.entry(delivery).or_insert_with(new).claims.push(claim.id);
    }

    /// The next node answers: the claims that this settles.
    #[must_use]
    pub fn answered(&self, delivery: DeliveryId) -> Vec<i64> {
        self.held().unanswered.remove(&delivery).map(|c| c.claims).unwrap_or_default()
    }

    /// What is not answered and is waited for no longer, as work for the engine.
    #[must_use]
    pub fn unanswered(&self) -> Vec<Work> {
        let mut held = self.held();
        let mut over = std::mem::take(&mut held.hurried);
        while held.since.front().is_some_and(|(at, _)| at.elapsed() >= ANSWER) {
            over.extend(held.since.pop_front().map(|(_, delivery)| delivery));
        }
        let work = |delivery| {
            let Confirmed { claims: settles, trace, .. } = held.unanswered.remove(&delivery)?;
            Some(Work { settles, trace, ..Work::new(delivery, Fact::Sent) })
        };
        over.into_iter().filter_map(work).collect()
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
        hand.give(
            vec![claimed(1, now), claimed(2, now.plus(FRESH)), claimed(3, now)],
            vec![],
            false,
        );
        let ids = |taken: Vec<Claimed>| taken.iter().map(|c| c.id).collect::<Vec<_>>();
        assert_eq!(ids(hand.take(now.plus(FRESH), 2)), [2]);
        assert_eq!(ids(hand.take(now, 2)), [3]);
        assert!(!hand.must_look());
    }

    #[test]
    fn a_publisher_that_is_behind_is_given_no_more() {
        let (hand, now) = (Hand::default(), Timestamp::from_millis(MINUTE));
        assert_eq!(hand.lease(), LEASE);
        hand.give((0..MOST as i64).map(|id| claimed(id, now)).collect(), vec![], true);
        assert_eq!(hand.lease(), 0);
        assert!(hand.must_look() && !hand.must_look());
    }

    const THEN: Timestamp = Timestamp::from_millis(0);

    fn of(key: &str, id: i64) -> Claimed {
        let mut claimed = claimed(id, THEN);
        claimed.effect.order_key = key.to_owned();
        claimed
    }

    fn settled(hand: &Hand) -> Vec<(DeliveryId, Vec<i64>)> {
        hand.unanswered().into_iter().map(|work| (work.delivery, work.settles)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_settles_and_a_silence_is_settled() {
        let hand = Hand::default();
        let [one, two] = [1, 2].map(|n| DeliveryId(Uuid::from_u128(n)));
        hand.confirmed(one, &of("a", 11), None);
        hand.confirmed(two, &of("b", 12), None);
        hand.confirmed(two, &of("b", 13), None);
        assert_eq!((hand.answered(one), hand.answered(one)), (vec![11], vec![]));
        assert!(hand.unanswered().is_empty());
        tokio::time::advance(ANSWER).await;
        assert_eq!(settled(&hand), [(two, vec![12, 13])]);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_an_answer_while_others_wait_behind() {
        let hand = Hand::default();
        let [one, two, three, four] = [1, 2, 3, 4].map(|n| DeliveryId(Uuid::from_u128(n)));
        // The next of its conversation came before the confirmation, or after it.
        hand.give(vec![], vec!["a".to_owned()], true);
        hand.confirmed(one, &of("a", 11), None);
        hand.confirmed(two, &of("b", 12), None);
        hand.give(vec![], vec!["b".to_owned()], true);
        assert_eq!(settled(&hand), [(one, vec![11]), (two, vec![12])]);
        // What was found in the queue had waited; others may stand there too.
        let found = of("a", 13);
        hand.found(std::slice::from_ref(&found));
        hand.confirmed(three, &found, None);
        hand.confirmed(four, &of("a", 14), None);
        assert_eq!(settled(&hand), [(three, vec![13])]);
    }
}
