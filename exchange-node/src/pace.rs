//! The pace of a busy loop: under load a round begins no sooner than a while after the one before,
//! and finds more to do.
//!
//! A transaction, a flush and a confirm cost nearly the same for one item as for a hundred. A loop
//! that begins again at once takes the ten items that came meanwhile, and spends most of its time
//! on what they have in common. A loop that has little to do never waits.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// From the beginning of one round to that of the next.
const ROUND: Duration = Duration::from_millis(20);
/// Items of a round from which on there is load. Few senders, each waiting for an answer before
/// they go on, never bring so many: they are not kept waiting.
const LOAD: usize = 16;

/// The pace of one loop.
#[derive(Debug)]
pub struct Pace {
    begun: Instant,
    loaded: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self { begun: Instant::now(), loaded: false }
    }
}

impl Pace {
    /// Waits until the next round should begin, and begins it. Cancel safe.
    pub async fn next(&mut self) {
        if self.loaded {
            sleep_until(self.begun + ROUND).await;
        }
        self.begun = Instant::now();
        self.loaded = false;
    }

    /// The round that began has so many items.
    pub fn saw(&mut self, items: usize) {
        self.loaded = items >= LOAD;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn waits(items: usize) -> Duration {
        let mut pace = Pace::default();
        pace.next().await;
        pace.saw(items);
        let begun = Instant::now();
        pace.next().await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn only_load_waits() {
        assert_eq!(waits(LOAD - 1).await, Duration::ZERO);
        assert!(waits(LOAD).await >= ROUND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_that_took_long_is_followed_at_once() {
        let mut pace = Pace::default();
        pace.next().await;
        pace.saw(LOAD);
        tokio::time::advance(2 * ROUND).await;
        let begun = Instant::now();
        pace.next().await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
