//! A producer, and when to make another.
//!
//! librdkafka mends almost everything by itself, and says `fatal` when it cannot. Between the two
//! there are states from which it does not come back and does not say so (an epoch that is used up,
//! a partition that waits for a broker that is not there any more): every frame times out, for ever,
//! while a fresh producer would go through. So one that has brought nothing home for long, of any
//! frame or of one partition (`silence.rs`), is replaced. Nothing is lost by it: what it holds was
//! reported as unknown, and is published again.

use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rdkafka::producer::{FutureProducer, Producer};

use super::client::Quiet;
use super::silence::{Fate, Sign, Silence};
use crate::BackboneError;

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

    /// After this became of a batch: will this producer never do it? Either it says so, or it has
    /// been silent for so long.
    pub(super) fn sign(&self, batch: &[(String, Fate)], patience: Duration) -> Sign {
        if batch.iter().any(|(_, fate)| fate.is_unknown()) && self.says_so() {
            return Sign::Mute;
        }
        let mut silence = self.silence.lock().unwrap_or_else(PoisonError::into_inner);
        silence.heard(batch, patience, Instant::now())
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
        *self.silence.lock().unwrap_or_else(PoisonError::into_inner) = Silence::default();
        let Ok(mut slot) = self.slot.write() else { return };
        // It blocks when it ends: not on a thread of the runtime. One that was closed stays closed.
        if let Some(former) = slot.as_mut().map(|slot| std::mem::replace(slot, fresh)) {
            std::thread::spawn(move || drop(former));
        }
    }
}
