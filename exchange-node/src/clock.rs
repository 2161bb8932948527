//! Where time comes in. Everything else takes it as a parameter.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use schemas::time::Timestamp;

/// A source of time.
pub trait Clock: Send + Sync + Debug {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The clock of the machine, moved by `PLI_CLOCK_OFFSET_MS` where tests set it.
#[derive(Debug, Default)]
pub struct SystemClock {
    offset_ms: i64,
}

impl SystemClock {
    /// The machine's clock plus `offset_ms`.
    #[must_use]
    pub const fn with_offset(offset_ms: i64) -> Self {
        Self { offset_ms }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let millis = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        Timestamp::from_millis(millis).plus(self.offset_ms)
    }
}

/// The clock of this process: the machine's, moved by `PLI_CLOCK_OFFSET_MS`.
#[must_use]
pub fn system() -> SystemClock {
    let offset = std::env::var("PLI_CLOCK_OFFSET_MS").ok().and_then(|ms| ms.parse().ok());
    SystemClock::with_offset(offset.unwrap_or(0))
}

/// A clock that stands still until it is moved: for tests.
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// Standing at `at`.
    #[must_use]
    pub fn at(at: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(at.millis())))
    }

    /// Moves it by `millis`.
    pub fn advance(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}
