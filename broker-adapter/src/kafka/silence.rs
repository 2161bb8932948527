//! Since when nothing has been heard of frames.
//!
//! A producer can be silent altogether, or about some partitions only: about those that it had given
//! to a broker which the cluster did not name for an instant. When that broker is named again,
//! librdkafka takes it for another one with the same number, and the partitions stay where they were
//! (`rd_kafka_toppar_leader_update`: "not migrating away from preferred replica"). What it learns of
//! later goes through, so that whole batches are no measure.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::Outcome;

/// What became of a frame.
#[derive(Debug)]
pub(super) struct Fate {
    pub(super) outcome: Outcome,
    /// Of its topic, where librdkafka had chosen one.
    pub(super) partition: Option<i32>,
}

impl From<Outcome> for Fate {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, partition: None }
    }
}

impl Fate {
    fn is_unknown(&self) -> bool {
        matches!(self.outcome, Outcome::Unknown(_))
    }
}

/// What a batch showed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// There are answers, or there may be some yet.
    Well,
    /// For too long nothing has been heard of any frame.
    Mute,
    /// For too long nothing has been heard of a partition of this topic.
    MuteAbout(String),
}

/// Since when, of any frame and of each partition.
#[derive(Debug, Default)]
pub(super) struct Silence {
    any: Option<Instant>,
    /// `None` is of a topic as a whole: nobody said where its frames would go.
    places: HashMap<(String, Option<i32>), Instant>,
}

impl Silence {
    /// What the frames of a batch, each with its topic, show `now`.
    pub(super) fn heard(
        &mut self,
        batch: &[(String, Fate)],
        patience: Duration,
        now: Instant,
    ) -> Sign {
        if batch.is_empty() {
            return Sign::Well;
        }
        if batch.iter().all(|(_, fate)| fate.is_unknown()) {
            let since = *self.any.get_or_insert(now);
            if now - since > patience {
                return Sign::Mute;
            }
        } else {
            self.any = None;
        }
        for (topic, fate) in batch {
            self.note(topic, fate, now);
        }
        let mute = self.places.iter().find(|(_, since)| now - **since > patience);
        mute.map_or(Sign::Well, |((topic, _), _)| Sign::MuteAbout(topic.clone()))
    }

    fn note(&mut self, topic: &str, fate: &Fate, now: Instant) {
        if fate.is_unknown() {
            self.places.entry((topic.to_owned(), fate.partition)).or_insert(now);
        } else if !self.places.is_empty() {
            self.places.remove(&(topic.to_owned(), fate.partition));
            self.places.remove(&(topic.to_owned(), None));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn unknown() -> Outcome {
        Outcome::Unknown("timed out".to_owned())
    }

    fn batch<const N: usize>(outcomes: [Outcome; N]) -> Vec<(String, Fate)> {
        outcomes.map(|outcome| ("t".to_owned(), outcome.into())).into()
    }

    fn at_places<const N: usize>(fates: [(i32, Outcome); N]) -> Vec<(String, Fate)> {
        let fate = |(n, outcome)| Fate { outcome, partition: Some(n) };
        fates.map(|one| ("t".to_owned(), fate(one))).into()
    }

    #[test]
    fn silence_lasts_from_the_first_batch_without_an_answer_to_the_next_with_one() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut silence = Silence::default();
        let mut heard = |batch: Vec<_>, seconds| silence.heard(&batch, PATIENCE, at(seconds));
        assert_eq!(heard(batch([Outcome::Confirmed]), 0), Sign::Well);
        assert_eq!(heard(batch([unknown(), unknown()]), 1), Sign::Well);
        assert_eq!(heard(batch([unknown()]), 61), Sign::Well);
        // A broker that refuses one frame is a broker that answers.
        assert_eq!(heard(batch([unknown(), Outcome::TooLarge]), 62), Sign::Well);
        assert_eq!(heard(batch([unknown()]), 63), Sign::Well);
        assert_eq!(heard(batch([unknown()]), 124), Sign::Mute);
    }

    #[test]
    fn a_partition_is_silent_among_others_that_answer() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut silence = Silence::default();
        let mut heard = |batch: Vec<_>, seconds| silence.heard(&batch, PATIENCE, at(seconds));
        assert_eq!(heard(at_places([(0, Outcome::Confirmed), (1, unknown())]), 0), Sign::Well);
        // One that had an answer meanwhile begins anew.
        assert_eq!(heard(at_places([(0, unknown()), (1, Outcome::Confirmed)]), 30), Sign::Well);
        assert_eq!(heard(at_places([(0, Outcome::Confirmed), (1, unknown())]), 60), Sign::Well);
        assert_eq!(heard(at_places([(0, Outcome::Confirmed), (1, unknown())]), 120), Sign::Well);
        let mute = Sign::MuteAbout("t".to_owned());
        assert_eq!(heard(at_places([(0, Outcome::Confirmed), (1, unknown())]), 121), mute);
        assert_eq!(heard(at_places([(1, Outcome::Confirmed)]), 122), Sign::Well);
    }

    #[test]
    fn a_topic_is_silent_whose_partitions_nobody_named() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut silence = Silence::default();
        let with_another = || {
            let mut batch = batch([unknown()]);
            batch.push(("u".to_owned(), Outcome::Confirmed.into()));
            batch
        };
        assert_eq!(silence.heard(&with_another(), PATIENCE, at(0)), Sign::Well);
        let mute = Sign::MuteAbout("t".to_owned());
        assert_eq!(silence.heard(&with_another(), PATIENCE, at(61)), mute);
        // Wherever a frame of it went.
        let answer = at_places([(3, Outcome::Confirmed)]);
        assert_eq!(silence.heard(&answer, PATIENCE, at(62)), Sign::Well);
    }
}
