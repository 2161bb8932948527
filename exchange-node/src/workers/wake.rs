//! Goes on with deliveries that asked for it, and with dispatches that stand in the line of their
//! conversation ([`mod@line`]): the head of each, as soon as its content is here.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use exchange_core::refusal::Refusal;
use exchange_store::StoreError;
use exchange_store::rows::{Claimed, EffectKind, Settlement};
use schemas::dispatch::ContentRef;
use schemas::problem::Code;
use schemas::time::{DAY, MINUTE, SECOND};
use schemas::trace::TraceContext;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::engine::item::{Fact, Work};
use crate::engine::{EngineError, What};
use crate::inbound::check::Checked;
use crate::inbound::consumer::{Again, Fate};
use crate::inbound::dispatch::Found;
use crate::inbound::kept::{self, Kept};
use crate::inbound::line::{self, Standing};
use crate::node::Node;

const LEASE: i64 = 10 * SECOND;
const MAX_BATCH: u32 = 256;
const LOOK: Duration = Duration::from_millis(500);
/// A dispatch whose content has not come for so long is dead.
const LONGEST: i64 = 7 * DAY;
/// Between two looks at the most.
const LONGEST_PAUSE: i64 = 15 * MINUTE;
/// As many as take [`LONGEST`]. Counted, since an operator who has it looked at again gives it as long.
const MAX_LOOKS: u32 = (LONGEST / LONGEST_PAUSE) as u32 + 32;

/// Payload of a wake by which an operator has a delivery sent again.
pub const REDRIVE: &[u8] = b"redrive";

/// Dispatches whose content is verified at once.
const VERIFYING: usize = 2;

/// Dispatches of whose content is asked at each round; others are looked at when they are due.
const ABSENT: usize = 1_000;

/// The worker of one process.
struct Waker {
    node: Arc<Node>,
    /// Dispatches whose content is being verified.
    underway: Mutex<HashSet<i64>>,
    verifying: Semaphore,
    /// What the dispatches wait for that this process has looked at in vain.
    absent: Mutex<HashMap<i64, Vec<ContentRef>>>,
}

/// Works until the node stops.
pub async fn run(node: Arc<Node>, stop: CancellationToken) {
    let verifying = Semaphore::new(VERIFYING);
    let waker =
        Arc::new(Waker { node, underway: Mutex::default(), verifying, absent: Mutex::default() });
    while !stop.is_cancelled() {
        match waker.round().await {
            Ok(0) => tokio::select! {
                () = stop.cancelled() => return,
                () = waker.node.wakes.wake(LOOK) => {}
            },
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "going on waits for a dependency");
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

impl Waker {
    async fn round(self: &Arc<Self>) -> Result<usize, Again> {
        let node = &self.node;
        self.hurry().await?;
        let now = node.clock.now();
        let claimed = node.store.claim(EffectKind::Wake, now, LEASE, MAX_BATCH).await?;
        let count = claimed.len();
        let mut work = Vec::new();
        let mut settled = Vec::new();
        for claim in claimed {
            match claim.effect.delivery {
                Some(delivery) => {
                    let (settles, trace) = (vec![claim.id], asked_by(&claim));
                    work.push(Work {
                        delivery,
                        fact: wanted(&claim),
                        settles,
                        trace,
                        if_match: None,
                    });
                }
                None => match Kept::from_bytes(&claim.effect.payload) {
                    Some(kept) => settled.push(once_more(node, claim.id, kept).await?),
                    None => self.standing(&claim, &mut work, &mut settled).await?,
                },
            }
        }
        feed(node, work, &mut settled).await?;
        Ok(count)
    }

    /// The head of a line.
    async fn standing(
        self: &Arc<Self>,
        claim: &Claimed,
        work: &mut Vec<Work>,
        settled: &mut Vec<Settlement>,
    ) -> Result<(), Again> {
        self.absent.lock().unwrap_or_else(PoisonError::into_inner).remove(&claim.id);
        match parked(&self.node, claim).await? {
            Parked::Here(mut found, trace) if line::is_little(&found) => {
                self.node.check_plaintexts(&mut found).await?;
                work.push(decidable(claim.id, *found, trace));
            }
            Parked::Here(found, trace) => self.verify(claim.id, found, trace),
            Parked::Absent(content, settlement) => {
                self.remember(claim.id, content);
                settled.push(settlement);
            }
            Parked::Settled(settlement) => settled.push(settlement),
            Parked::SteppedOut => {}
        }
        Ok(())
    }

    fn remember(&self, id: i64, content: Vec<ContentRef>) {
        let mut absent = self.absent.lock().unwrap_or_else(PoisonError::into_inner);
        if absent.len() < ABSENT {
            absent.insert(id, content);
        }
    }

    /// A dispatch whose content has come is due at once: others may stand behind it.
    async fn hurry(&self) -> Result<(), Again> {
        let absent: Vec<_> = {
            let absent = self.absent.lock().unwrap_or_else(PoisonError::into_inner);
            absent.iter().map(|(id, content)| (*id, content.clone())).collect()
        };
        let mut here = Vec::new();
        for (id, content) in absent {
            if self.node.content_is_here(&content).await? {
                let (due, error) = (self.node.clock.now(), "its content has come".to_owned());
                here.push(Settlement::Retry { id, due, error });
                self.absent.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            }
        }
        Ok(settle(&self.node, &here).await?)
    }

    /// Verifies content beside everything else: a gigabyte takes seconds. A claim that brings the
    /// same dispatch again meanwhile prolongs its lease.
    fn verify(self: &Arc<Self>, id: i64, mut found: Box<Found>, trace: Option<TraceContext>) {
        if !self.underway.lock().unwrap_or_else(PoisonError::into_inner).insert(id) {
            return;
        }
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let turn = this.verifying.acquire().await;
            let verified = async {
                this.node.check_plaintexts(&mut found).await?;
                feed(&this.node, vec![decidable(id, *found, trace)], &mut Vec::new()).await
            };
            if let Err(error) = verified.await {
                tracing::warn!(%error, "a content is verified again when its lease ends");
            }
            drop(turn);
            this.underway.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            this.node.wakes.line_moves();
        });
    }
}

/// A frame that was set aside, at an operator's word. What is still not believed is a dead letter,
/// whole as before.
async fn once_more(node: &Arc<Node>, id: i64, kept: Kept) -> Result<Settlement, Again> {
    Ok(match kept::once_more(node, kept).await? {
        Some(Fate::Durable) => Settlement::Done(id),
        Some(Fate::Aside(why)) => Settlement::Dead { id, error: why.to_string() },
        None => Settlement::Dead { id, error: "of no lane".to_owned() },
    })
}

/// A dispatch whose turn has come.
fn decidable(id: i64, found: Found, trace: Option<TraceContext>) -> Work {
    let mut work = found.into_work();
    work.settles.push(id);
    work.trace = trace;
    work
}

/// What a verb of the command line asks of the node, or what the engine asked of itself.
fn wanted(claim: &Claimed) -> Fact {
    match claim.effect.payload.as_slice() {
        REDRIVE => Fact::Act(What::Redrive),
        _ => Fact::Continue,
    }
}

/// The span in which the engine asked itself to go on.
fn asked_by(claim: &Claimed) -> Option<TraceContext> {
    std::str::from_utf8(&claim.effect.payload).ok()?.parse().ok()
}

/// Tells the engine, and settles what it refuses.
async fn feed(node: &Node, work: Vec<Work>, settled: &mut Vec<Settlement>) -> Result<(), Again> {
    let asked: Vec<_> = work.iter().map(|w| (w.settles.clone(), again(&w.fact))).collect();
    let answers = node.engine.feed(work.into_iter().map(|w| (None, w)).collect()).await;
    for ((ids, again), answer) in asked.into_iter().zip(answers) {
        if let Err(EngineError::Refused { refusal, .. }) = answer {
            settled.extend(ids.into_iter().map(|id| refused(id, again, &refusal)));
        }
    }
    Ok(settle(node, settled).await?)
}

/// Whether an operator has it sent again.
const fn again(fact: &Fact) -> bool {
    matches!(fact, Fact::Act(What::Redrive))
}

/// What is refused is dead. Only of a delivery that has moved on since the operator chose it is
/// there nothing left to send, and nothing for anybody to see to.
fn refused(id: i64, again: bool, refusal: &Refusal) -> Settlement {
    if again && refusal.code == Code::StateConflict {
        tracing::info!(%refusal, "not sent again");
        return Settlement::Done(id);
    }
    Settlement::Dead { id, error: refusal.to_string() }
}

async fn settle(node: &Node, settled: &[Settlement]) -> Result<(), StoreError> {
    if !settled.is_empty() {
        node.store.settle(settled, node.clock.now()).await?;
    }
    Ok(())
}

enum Parked {
    Here(Box<Found>, Option<TraceContext>),
    Absent(Vec<ContentRef>, Settlement),
    Settled(Settlement),
    SteppedOut,
}

/// Looks again at a dispatch that stands in a line.
async fn parked(node: &Node, claim: &Claimed) -> Result<Parked, Again> {
    let dead = |error: String| Parked::Settled(Settlement::Dead { id: claim.id, error });
    let standing = match Standing::from_bytes(&claim.effect.payload) {
        Ok(standing) => standing,
        Err(e) => return Ok(dead(e.to_string())),
    };
    let found = match node.checker().check_dispatch(standing.frame.clone()) {
        Ok(Checked::Dispatch(found)) => found,
        Ok(_) => return Ok(dead("not a dispatch".to_owned())),
        Err(e) => return Ok(dead(e.to_string())),
    };
    if !found.arrived.findings.is_empty() || node.content_is_here(&found.apart).await? {
        return Ok(Parked::Here(found, standing.trace));
    }
    let now = node.clock.now();
    // An earlier release looked once a minute: many looks alone are no long wait.
    let long = standing.since.is_none_or(|since| now.since(since) > LONGEST);
    if long && claim.attempts > MAX_LOOKS {
        return Ok(dead("the content never came".to_owned()));
    }
    let leaves = line::stands_until(node, &claim.effect.order_key, &standing, &found);
    if leaves.is_some_and(|leaves| leaves <= now) {
        let change = line::step_out(now, claim.id, &standing, &found);
        tracing::warn!(delivery = %found.delivery, "its content is late: others go before it");
        node.store.commit(std::slice::from_ref(&change)).await?;
        node.wakes.after(&change);
        return Ok(Parked::SteppedOut);
    }
    let next = now.plus(pause(claim.attempts));
    let due = leaves.map_or(next, |leaves| leaves.min(next));
    let error = "waiting for content".to_owned();
    Ok(Parked::Absent(found.apart, Settlement::Retry { id: claim.id, due, error }))
}

/// How long to wait after so many looks: a quarter of the wait so far. This process sees at once what
/// comes, in [`Waker::hurry`], once it has looked at the dispatch.
fn pause(looks: u32) -> i64 {
    let longer = |pause: i64, _| (pause + pause / 4).min(LONGEST_PAUSE);
    (0..looks.min(MAX_LOOKS)).fold(SECOND / 2, longer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_late_is_looked_at_soon_at_first_and_four_times_an_hour_at_last_for_a_week() {
        let mut waited = 0;
        for looks in 0..=MAX_LOOKS {
            let pause = pause(looks);
            assert!(pause <= waited / 4 + SECOND / 2, "{looks}: {pause} after {waited}");
            waited += pause;
        }
        assert_eq!(pause(MAX_LOOKS), LONGEST_PAUSE);
        assert!((LONGEST..LONGEST + DAY / 4).contains(&waited), "{waited}");
    }

    #[test]
    fn what_moved_on_before_it_was_sent_again_is_no_dead_letter() {
        let refusal = |code| Refusal::new(code, "the delivery is in state handed_over", "remise");
        let (past, unknown) = (refusal(Code::StateConflict), refusal(Code::NotFound));
        assert!(again(&Fact::Act(What::Redrive)) && !again(&Fact::Continue));
        assert!(matches!(refused(7, true, &past), Settlement::Done(7)));
        for (again, refusal) in [(true, &unknown), (false, &past)] {
            let Settlement::Dead { id, error } = refused(7, again, refusal) else {
                unreachable!("{refusal} is not for an operator to see");
            };
            assert_eq!((id, error), (7, refusal.to_string()));
        }
    }
}
