//! Whose clock is wrong when a frame comes from the future: that of its sender, or ours?
//!
//! A timestamp authority says. While ours is behind, what comes stays with the broker: a rejection
//! that was sealed, or evidence that was set aside, would be our own fault, and could not be taken
//! back. When no authority answers, the sender is to blame, as for everybody whose clock is right.

use std::time::Duration;

use schemas::time::Timestamp;
use signing::digest::sha256;
use signing::tsp::TsaClient;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long an answer holds: a stamp may have its price.
const HOLDS: Duration = Duration::from_secs(10);

/// What an authority last said of our clock.
#[derive(Debug, Default)]
pub struct OwnClock {
    said: Mutex<Option<(Instant, bool)>>,
}

impl OwnClock {
    /// Whether our clock is more than a minute behind that of an authority.
    pub async fn is_behind(&self, tsa: &TsaClient, now: Timestamp) -> bool {
        let mut said = self.said.lock().await;
        if let Some((at, behind)) = *said
            && at.elapsed() < HOLDS
        {
            return behind;
        }
        let stamped = tsa.stamp(&sha256(now.to_string().as_bytes()), now).await;
        let behind = stamped.is_err_and(|failures| failures.is_ahead_of_us());
        *said = Some((Instant::now(), behind));
        behind
    }
}
