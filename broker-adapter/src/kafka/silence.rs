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
    /// Nobody knows whether the frame arrived.
    pub(super) fn is_unknown(&self) -> bool {
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
        // Of what this batch was for: elsewhere nobody may have tried again, or there is no such topic.
        let is_mute = |(topic, fate): &&(String, Fate)| {
            let place = fate.is_unknown().then(|| (topic.clone(), fate.partition));
            let since = place.and_then(|place| self.places.get(&place));
            since.is_some_and(|since| now - *since > patience)
        };
        let mute = batch.iter().find(is_mute);
        mute.map_or(Sign::Well, |(topic, _)| Sign::MuteAbout(topic.clone()))
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

    /// Hears batches, seconds after a start.
    struct Ear(Silence, Instant);

    impl Ear {
        fn new() -> Self {
            Self(Silence::default(), Instant::now())
        }

        fn heard<const N: usize>(
            &mut self,
            seconds: u64,
            fates: [(&str, Option<i32>, Outcome); N],
        ) -> Sign {
            let fate = |(topic, partition, outcome): (&str, _, _)| {
                (topic.to_owned(), Fate { outcome, partition })
            };
            let now = self.1 + Duration::from_secs(seconds);
            self.0.heard(&fates.map(fate), Duration::from_secs(60), now)
        }
    }

    fn unknown() -> Outcome {
        Outcome::Unknown("timed out".to_owned())
    }

    fn mute_about_t() -> Sign {
        Sign::MuteAbout("t".to_owned())
    }

    #[test]
    fn silence_lasts_from_the_first_batch_without_an_answer_to_the_next_with_one() {
        let mut ear = Ear::new();
        assert_eq!(ear.heard(0, [("t", None, Outcome::Confirmed)]), Sign::Well);
        assert_eq!(ear.heard(1, [("t", None, unknown()), ("t", None, unknown())]), Sign::Well);
        assert_eq!(ear.heard(61, [("t", None, unknown())]), Sign::Well);
        // A broker that refuses one frame is a broker that answers.
        let refused = [("t", None, unknown()), ("t", None, Outcome::TooLarge)];
        assert_eq!(ear.heard(62, refused), Sign::Well);
        assert_eq!(ear.heard(63, [("t", None, unknown())]), Sign::Well);
        assert_eq!(ear.heard(64, []), Sign::Well, "nothing was tried");
        assert_eq!(ear.heard(124, [("t", None, unknown())]), Sign::Mute);
    }

    #[test]
    fn a_partition_is_silent_among_others_that_answer() {
        let mut ear = Ear::new();
        let silent = |n| {
            let answers = ("t", Some(1 - n), Outcome::Confirmed);
            [answers, ("t", Some(n), unknown())]
        };
        assert_eq!(ear.heard(0, silent(1)), Sign::Well);
        // One that had an answer meanwhile begins anew.
        assert_eq!(ear.heard(30, silent(0)), Sign::Well);
        assert_eq!(ear.heard(60, silent(1)), Sign::Well);
        assert_eq!(ear.heard(120, silent(1)), Sign::Well);
        assert_eq!(ear.heard(121, silent(1)), mute_about_t());
        assert_eq!(ear.heard(122, [("t", Some(1), Outcome::Confirmed)]), Sign::Well);
    }

    #[test]
    fn what_nobody_tried_again_is_not_held_against_the_producer() {
        let mut ear = Ear::new();
        let answers = || ("u", Some(0), Outcome::Confirmed);
        assert_eq!(ear.heard(0, [answers(), ("t", Some(0), unknown())]), Sign::Well);
        assert_eq!(ear.heard(100, [answers()]), Sign::Well);
        assert_eq!(ear.heard(101, [answers(), ("t", None, Outcome::Unroutable)]), Sign::Well);
    }

    #[test]
    fn a_topic_is_silent_whose_partitions_nobody_named() {
        let mut ear = Ear::new();
        let batch = || [("t", None, unknown()), ("u", Some(0), Outcome::Confirmed)];
        assert_eq!(ear.heard(0, batch()), Sign::Well);
        assert_eq!(ear.heard(61, batch()), mute_about_t());
        // Wherever a frame of it went.
        assert_eq!(ear.heard(62, [("t", Some(3), Outcome::Confirmed)]), Sign::Well);
        assert_eq!(ear.heard(63, batch()), Sign::Well);
    }
}
