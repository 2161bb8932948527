//! Whether messages and evidence are under way, so that large contents give way to them.
//!
//! A content uses a broker, a disk and every core as fast as they go, and what is small waits behind
//! it at each of them: in the broker's one log, at a flush, for a core. Priorities of threads do not
//! help, since the waiting is elsewhere. So whoever moves a content does it in small steps as long
//! as there is [`Bustle`], and [rests](Bustle::give_way) after each for as long as it took: half of
//! the time, whatever the machine, belongs to the small.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long a sign counts.
const LINGER: Duration = Duration::from_secs(2);
/// Longest rest after one step: a step that had to wait for something is no measure.
const REST: Duration = Duration::from_millis(100);

/// Signs of messages under way at this node. A lone one is none: every content has a dispatch of its
/// own, and evidence.
#[derive(Clone, Debug, Default)]
pub struct Bustle(Arc<Mutex<[Option<Instant>; 2]>>);

impl Bustle {
    /// Small frames went out or came in.
    pub fn saw(&self) {
        let mut signs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [_, last] = *signs;
        *signs = [last, Some(Instant::now())];
    }

    /// Whether there were at least two signs lately.
    #[must_use]
    pub fn is_on(&self) -> bool {
        let [before, _] = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        before.is_some_and(|at| at.elapsed() < LINGER)
    }

    /// Rests for as long as the step took that began then, if there is any bustle.
    pub async fn give_way(&self, began: Instant) {
        if self.is_on() {
            sleep(began.elapsed().min(REST)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn rest_after(bustle: &Bustle, step: Duration) -> Duration {
        let began = Instant::now();
        sleep(step).await;
        let done = Instant::now();
        bustle.give_way(began).await;
        done.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_is_followed_by_a_rest_of_its_length_while_messages_are_under_way() {
        let bustle = Bustle::default();
        let step = Duration::from_millis(7);
        assert_eq!(rest_after(&bustle, step).await, Duration::ZERO);
        bustle.saw();
        assert_eq!(rest_after(&bustle, step).await, Duration::ZERO, "a lone one");
        bustle.saw();
        assert!(rest_after(&bustle, step).await >= step);
        assert!(rest_after(&bustle, 50 * REST).await < 2 * REST, "a step that waited");
        sleep(LINGER).await;
        assert_eq!(rest_after(&bustle, step).await, Duration::ZERO);
    }
}
