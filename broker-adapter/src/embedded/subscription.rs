//! A subscription of the embedded backbone: claims frames, and keeps them by a lease.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Shared;
use crate::{BackboneError, Receipt, Received, Subscription};

/// A consumer of one lane.
pub(super) struct Claims {
    shared: Arc<Shared>,
    lane: i64,
    token: i64,
    came: watch::Receiver<()>,
    /// A claim under way: it outlives a cancelled [`Subscription::next`].
    claiming: Option<JoinHandle<Result<Vec<Received>, BackboneError>>>,
    /// Claimed for an earlier call that asked for more.
    left: VecDeque<Received>,
    /// Nobody else reads this lane, as far as the last heartbeat knows.
    alone: Arc<AtomicBool>,
    heart: JoinHandle<()>,
}

impl Claims {
    pub(super) async fn start(shared: Arc<Shared>, lane: i64) -> Result<Self, BackboneError> {
        // 63 bits, as SQLite's integers are signed.
        let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
        let token = i64::try_from(random >> 1).unwrap_or(i64::MAX);
        let came = shared.bell.watch(lane);
        let pulse = shared.file.heartbeat(lane, token, shared.lease).await?;
        let alone = Arc::new(AtomicBool::new(pulse.alone));
        let heart = tokio::spawn(beat(Arc::clone(&shared), lane, token, Arc::clone(&alone)));
        let left = VecDeque::new();
        Ok(Self { shared, lane, token, came, claiming: None, left, alone, heart })
    }

    async fn claim(&mut self, max: usize) -> Result<Vec<Received>, BackboneError> {
        if !self.left.is_empty() {
            let count = max.min(self.left.len());
            return Ok(self.left.drain(..count).collect());
        }
        let (lane, token) = (self.lane, self.token);
        let claiming = self.claiming.get_or_insert_with(|| {
            let shared = Arc::clone(&self.shared);
            tokio::spawn(async move { shared.file.claim(lane, token, max).await })
        });
        let claimed = claiming.await.map_err(|e| BackboneError::File(e.to_string()));
        self.claiming = None;
        let mut claimed = claimed??;
        if claimed.len() > max {
            self.left = claimed.split_off(max).into();
        }
        Ok(claimed)
    }
}

#[async_trait]
impl Subscription for Claims {
    async fn next(&mut self, max: usize) -> Result<Vec<Received>, BackboneError> {
        loop {
            self.came.mark_unchanged();
            let claimed = self.claim(max.max(1)).await?;
            if !claimed.is_empty() {
                return Ok(claimed);
            }
            self.came.changed().await.map_err(|_| BackboneError::Closed)?;
        }
    }

    async fn ack(&mut self, receipts: Vec<Receipt>) -> Result<(), BackboneError> {
        if receipts.is_empty() {
            return Ok(());
        }
        let lot = self.token.unsigned_abs();
        let own = receipts.into_iter().filter(|receipt| receipt.lot == lot);
        self.shared.file.remove(own.filter_map(|r| i64::try_from(r.position).ok())).await?;
        if !self.alone.load(Ordering::Relaxed) {
            // Another subscription may wait for the keys that this one held.
            self.shared.bell.ring(std::iter::once(self.lane));
        }
        Ok(())
    }

    async fn set_aside(&mut self, receipts: Vec<Receipt>) -> Result<(), BackboneError> {
        self.ack(receipts).await
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").field("lane", &self.lane).finish_non_exhaustive()
    }
}

/// Gives the frames back at once where a runtime still runs; else the lease ends.
impl Drop for Claims {
    fn drop(&mut self) {
        self.heart.abort();
        let (shared, lane, token) = (Arc::clone(&self.shared), self.lane, self.token);
        let claiming = self.claiming.take();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Some(claiming) = claiming {
                    let _ = claiming.await;
                }
                if shared.file.leave(token).await.is_ok() {
                    shared.bell.ring(std::iter::once(lane));
                }
            });
        }
    }
}

/// Renews the lease three times in its length.
async fn beat(shared: Arc<Shared>, lane: i64, token: i64, alone: Arc<AtomicBool>) {
    loop {
        tokio::time::sleep(shared.lease / 3).await;
        match shared.file.heartbeat(lane, token, shared.lease).await {
            Ok(pulse) => {
                alone.store(pulse.alone, Ordering::Relaxed);
                // Frames freed in other lanes are found by the poll.
                if pulse.freed || !pulse.alone {
                    shared.bell.ring(std::iter::once(lane));
                }
            }
            Err(BackboneError::Closed) => return,
            Err(error) => tracing::warn!(%error, "cannot renew a lease on the embedded backbone"),
        }
    }
}
