//! A producer, and when to make another.
//!
//! librdkafka mends almost everything by itself, and says `fatal` when it cannot. Between the two
//! there are states from which it does not come back and does not say so (an epoch that is used up,
//! a partition that waits for a broker that is not there any more): every frame times out, for ever,
//! while a fresh producer would go through. So one that has brought nothing home for long is
//! replaced. Nothing is lost by it: what it holds was reported as unknown, and is published again.

use std::sync::{Mutex, RwLock};
use std::time::{Duration, Instant};

use rdkafka::producer::{FutureProducer, Producer};

use super::client::Quiet;
use crate::{BackboneError, Outcome};

/// A producer in its place.
pub(super) struct Way {
    /// `None` once it is closed.
    slot: RwLock<Option<FutureProducer<Quiet>>>,
    silence: Mutex<Silence>,
}

impl Way {
    pub(super) fn new(producer: FutureProducer<Quiet>) -> Self {
        Self { slot: RwLock::new(Some(producer)), silence: Mutex::default() }
    }

    pub(super) fn producer(&self) -> Result<FutureProducer<Quiet>, BackboneError> {
        self.slot.read().ok().and_then(|slot| slot.clone()).ok_or(BackboneError::Closed)
    }

    /// The producer, for good.
    pub(super) fn take(&self) -> Option<FutureProducer<Quiet>> {
        self.slot.write().ok()?.take()
    }

    /// After a batch had these outcomes: will this producer never do it? Either it says so, or for
    /// so long it has known nothing of any frame.
    pub(super) fn is_lost(&self, outcomes: &[Outcome], patience: Duration) -> bool {
        let silent = self.silence.lock().is_ok_and(|mut silence| {
            silence.lasts(outcomes, Instant::now()).is_some_and(|since| since > patience)
        });
        silent || (outcomes.iter().any(is_unknown) && self.says_so())
    }

    /// An idempotent producer that lost the thread of its sequence numbers.
    fn says_so(&self) -> bool {
        let Ok(slot) = self.slot.read() else { return false };
        let fatal = slot.as_ref().and_then(|producer| producer.client().fatal_error());
        if let Some((code, why)) = &fatal {
            tracing::warn!(%code, why, "the Kafka producer gave up");
        }
        fatal.is_some()
    }

    /// Another takes its place.
    pub(super) fn replace(&self, fresh: Result<FutureProducer<Quiet>, BackboneError>) {
        let fresh = match fresh {
            Ok(fresh) => fresh,
            Err(error) => return tracing::warn!(%error, "no new Kafka producer"),
        };
        tracing::info!("replacing the Kafka producer");
        if let Ok(mut silence) = self.silence.lock() {
            *silence = Silence::default();
        }
        let Ok(mut slot) = self.slot.write() else { return };
        // It blocks when it ends: not on a thread of the runtime. One that was closed stays closed.
        if let Some(former) = slot.as_mut().map(|slot| std::mem::replace(slot, fresh)) {
            std::thread::spawn(move || drop(former));
        }
    }
}

/// Since when no frame had an answer.
#[derive(Debug, Default)]
struct Silence(Option<Instant>);

impl Silence {
    /// How long it has lasted, now that a batch has had these outcomes.
    fn lasts(&mut self, outcomes: &[Outcome], now: Instant) -> Option<Duration> {
        if outcomes.iter().all(is_unknown) {
            let since = *self.0.get_or_insert(now);
            return Some(now - since);
        }
        self.0 = None;
        None
    }
}

fn is_unknown(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Unknown(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown() -> Outcome {
        Outcome::Unknown("timed out".to_owned())
    }

    #[test]
    fn silence_lasts_from_the_first_batch_without_an_answer_to_the_next_with_one() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut silence = Silence::default();
        assert_eq!(silence.lasts(&[Outcome::Confirmed], at(0)), None);
        assert_eq!(silence.lasts(&[unknown(), unknown()], at(1)), Some(Duration::ZERO));
        assert_eq!(silence.lasts(&[unknown()], at(61)), Some(Duration::from_secs(60)));
        // A broker that refuses one frame is a broker that answers.
        assert_eq!(silence.lasts(&[unknown(), Outcome::TooLarge], at(62)), None);
        assert_eq!(silence.lasts(&[unknown()], at(90)), Some(Duration::ZERO));
    }
}
