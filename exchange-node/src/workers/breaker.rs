//! A circuit breaker per destination: one that fails again and again is paused, so that it costs
//! the others nothing; a single publication at a time finds out whether it works again.
//!
//! ```text
//!         PATIENCE of failed rounds                    a probe is confirmed
//! free ----------------------------> paused, probes --------------------------> free
//!                                      ^        |
//!                                      `--------'  a probe fails: a longer rest
//! ```
//! Rounds are counted here, in memory; the pause lies in the database, where claims obey it, so
//! that all replicas do. The rest between probes is theirs as well (`exchange_store`, `peers.rs`).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use broker_adapter::Outcome;
use exchange_store::{Store, StoreError};
use schemas::ids::NodeId;
use schemas::time::{SECOND, Timestamp};

/// Rounds in a row without any success before a destination is paused, and the time they take.
const ROUNDS: u32 = 3;
const PATIENCE: i64 = 3 * SECOND;
/// A destination that has been without lanes for so long is not about to make them.
const LANELESS: i64 = 30 * SECOND;

/// What this process has seen of destinations that fail.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    streaks: Mutex<BTreeMap<NodeId, Streak>>,
}

/// Rounds without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Streak {
    rounds: u32,
    since: Timestamp,
    /// Since when the broker has said nothing else than that there are no lanes.
    laneless: Option<Timestamp>,
}

/// What one round has shown of each of its destinations.
#[derive(Debug, Default)]
pub(super) struct Round(BTreeMap<NodeId, Seen>);

#[derive(Debug, Default)]
struct Seen {
    confirmed: bool,
    /// The first that failed: whether there were no lanes, and what went wrong.
    failed: Option<(bool, String)>,
    probe: bool,
}

impl Round {
    /// Takes note of one outcome. What the broker refuses for what it is says nothing of a
    /// destination.
    pub(super) fn note(&mut self, to: &NodeId, probe: bool, outcome: &Outcome) {
        let known = match self.0.get_mut(to) {
            Some(known) => known,
            None => self.0.entry(to.clone()).or_default(),
        };
        known.probe |= probe;
        match outcome {
            Outcome::Confirmed => known.confirmed = true,
            Outcome::Unroutable if known.failed.is_none() => {
                known.failed = Some((true, "the destination has no lane".to_owned()));
            }
            Outcome::Unknown(error)
                if known.failed.as_ref().is_none_or(|(no_lane, _)| *no_lane) =>
            {
                known.failed = Some((false, error.clone()));
            }
            _ => {}
        }
    }
}

/// What is to be said about a destination.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Pause(String),
    Resume,
}

impl Breaker {
    /// Judges what a round has shown, and says so to all replicas.
    pub(super) async fn judge(
        &self,
        store: &dyn Store,
        round: Round,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for (peer, verdict) in self.weigh(round, now) {
            match verdict {
                Verdict::Pause(error) => {
                    tracing::warn!(%peer, error, "paused: publications to it fail");
                    store.pause_peer(&peer, now, &error).await?;
                }
                Verdict::Resume => {
                    tracing::info!(%peer, "publications to it go through again");
                    store.resume_peer(&peer).await?;
                }
            }
        }
        Ok(())
    }

    fn weigh(&self, round: Round, now: Timestamp) -> Vec<(NodeId, Verdict)> {
        let mut streaks = self.streaks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut verdicts = Vec::new();
        for (peer, seen) in round.0 {
            if seen.confirmed {
                streaks.remove(&peer);
                if seen.probe {
                    verdicts.push((peer, Verdict::Resume));
                }
                continue;
            }
            let Some((no_lane, error)) = seen.failed else { continue };
            let streak = streaks.entry(peer.clone()).or_insert(Streak {
                rounds: 0,
                since: now,
                laneless: Some(now),
            });
            streak.rounds = streak.rounds.saturating_add(1);
            streak.laneless = no_lane.then(|| streak.laneless.unwrap_or(now));
            let over = streak.rounds >= ROUNDS && now.since(streak.since) >= PATIENCE;
            if seen.probe || over {
                verdicts.push((peer, Verdict::Pause(error)));
            }
        }
        verdicts
    }

    /// Whether the broker has long known of no lanes of a destination.
    pub(super) fn is_laneless(&self, peer: &NodeId, now: Timestamp) -> bool {
        let streaks = self.streaks.lock().unwrap_or_else(PoisonError::into_inner);
        let since = streaks.get(peer).and_then(|streak| streak.laneless);
        since.is_some_and(|since| now.since(since) >= LANELESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn peer() -> NodeId {
        "cd-34".parse().unwrap()
    }

    fn down() -> Outcome {
        Outcome::Unknown("connection reset".to_owned())
    }

    fn weigh(breaker: &Breaker, at: i64, probe: bool, outcomes: &[Outcome]) -> Vec<Verdict> {
        let mut round = Round::default();
        outcomes.iter().for_each(|outcome| round.note(&peer(), probe, outcome));
        let verdicts = breaker.weigh(round, T0.plus(at));
        verdicts.into_iter().map(|(_, verdict)| verdict).collect()
    }

    #[test]
    fn three_rounds_over_three_seconds_pause_and_a_probe_resumes() {
        let breaker = Breaker::default();
        for at in [0, 100, 2_900] {
            assert_eq!(weigh(&breaker, at, false, &[down(), down()]), []);
        }
        let pause = || vec![Verdict::Pause("connection reset".to_owned())];
        assert_eq!(weigh(&breaker, 3_000, false, &[down()]), pause());
        assert_eq!(weigh(&breaker, 8_000, true, &[down()]), pause());
        assert_eq!(weigh(&breaker, 13_000, true, &[Outcome::Confirmed]), [Verdict::Resume]);
        assert_eq!(weigh(&breaker, 13_001, false, &[down()]), [], "it counts anew");
    }

    #[test]
    fn one_success_among_failures_is_enough() {
        let breaker = Breaker::default();
        for at in 0..10 {
            let some = [down(), Outcome::Confirmed, down()];
            assert_eq!(weigh(&breaker, at * 1_000, false, &some), []);
        }
        let refused = [Outcome::TooLarge, Outcome::Invalid("no".to_owned())];
        assert_eq!(weigh(&breaker, 20_000, true, &refused), [], "says nothing of the destination");
    }

    #[test]
    fn a_probe_of_another_process_is_judged_at_once() {
        assert_eq!(weigh(&Breaker::default(), 0, true, &[Outcome::Confirmed]), [Verdict::Resume]);
        let down = weigh(&Breaker::default(), 0, true, &[down()]);
        assert!(matches!(down.as_slice(), [Verdict::Pause(_)]));
    }

    #[test]
    fn without_lanes_only_while_nothing_else_is_said() {
        let breaker = Breaker::default();
        assert!(!breaker.is_laneless(&peer(), T0));
        weigh(&breaker, 0, false, &[Outcome::Unroutable]);
        assert!(!breaker.is_laneless(&peer(), T0.plus(29_999)));
        assert!(breaker.is_laneless(&peer(), T0.plus(30_000)));
        weigh(&breaker, 31_000, false, &[Outcome::Unroutable, down()]);
        assert!(!breaker.is_laneless(&peer(), T0.plus(90_000)));
        weigh(&breaker, 40_000, false, &[Outcome::Unroutable]);
        assert!(!breaker.is_laneless(&peer(), T0.plus(69_999)));
        weigh(&breaker, 71_000, false, &[Outcome::Confirmed]);
        assert!(!breaker.is_laneless(&peer(), T0.plus(200_000)));
    }
}
