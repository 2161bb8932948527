//! Who waits for what inside this process: long polls of members, and workers.
//!
//! A wake is a hint and may be lost or spurious: everybody who waits also looks for itself from
//! time to time, since another replica may have written.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use exchange_store::rows::{Change, EffectKind};
use tokio::sync::{Notify, watch};

/// How long anybody waits before looking for itself.
const LOOK_ANYWAY: Duration = Duration::from_secs(2);

/// The hints of one process.
#[derive(Clone, Debug, Default)]
pub struct Wakes(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    members: Mutex<HashMap<String, watch::Sender<u64>>>,
    wake: Notify,
    anchor: Notify,
}

impl Wakes {
    /// A subscription to what happens to a member. Take it before looking, so that nothing that
    /// happens in between is missed.
    #[must_use]
    pub fn member(&self, key: &str) -> watch::Receiver<u64> {
        let mut members = self.0.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.entry(key.to_owned()).or_insert_with(|| watch::channel(0).0).subscribe()
    }

    /// Waits until something happens to the member, until `LOOK_ANYWAY` or `longest`.
    pub async fn wait(changes: &mut watch::Receiver<u64>, longest: Duration) {
        // A closed channel cannot be: the sender lives in the map.
        let _ = tokio::time::timeout(longest.min(LOOK_ANYWAY), changes.changed()).await;
    }

    fn bump(&self, key: &str) {
        let members = self.0.members.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = members.get(key) {
            sender.send_modify(|n| *n = n.wrapping_add(1));
        }
    }

    /// After a commit: wakes those whom it concerns.
    pub fn after(&self, change: &Change) {
        for effect in &change.effects {
            // Publications have a way of their own: [`crate::engine::hand`].
            if effect.kind == EffectKind::Wake {
                self.0.wake.notify_one();
            }
        }
        if !change.evidence.is_empty() {
            self.0.anchor.notify_one();
        }
        for event in &change.events {
            self.bump(&event.member);
        }
        for write in &change.deliveries {
            if let Some(member) = &write.recipient_member {
                self.bump(member);
            }
        }
    }

    /// Parts of content have arrived: a dispatch may have waited for them.
    pub fn parts_arrived(&self) {
        self.0.wake.notify_one();
    }

    /// The head of a line has gone: the next may.
    pub fn line_moves(&self) {
        self.0.wake.notify_one();
    }

    /// Waits for deliveries to go on with, at most `longest`.
    pub async fn wake(&self, longest: Duration) {
        let _ = tokio::time::timeout(longest, self.0.wake.notified()).await;
    }

    /// Waits for evidence to anchor, at most `longest`.
    pub async fn anchor(&self, longest: Duration) {
        let _ = tokio::time::timeout(longest, self.0.anchor.notified()).await;
    }
}
