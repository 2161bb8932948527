//! Looks for deliveries whose time has come, and tells the engine. Deciding again is harmless.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::engine::item::{Fact, Work};
use crate::node::Node;

const MAX_BATCH: u32 = 500;
const LOOK: Duration = Duration::from_millis(500);
/// Pause after a round that could not move everything on.
const STUCK: Duration = Duration::from_secs(5);

/// Works until the node stops.
pub async fn run(node: Arc<Node>, stop: CancellationToken) {
    loop {
        let pause = round(&node).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn round(node: &Node) -> Duration {
    let due = match node.store.due(node.clock.now(), MAX_BATCH).await {
        Ok(due) => due,
        Err(error) => {
            tracing::warn!(%error, "timers wait for the database");
            return STUCK;
        }
    };
    let full = due.len() >= MAX_BATCH as usize;
    let work = due.into_iter().map(|id| (None, Work::new(id, Fact::Due))).collect();
    let mut failed = false;
    for answer in node.engine.feed(work).await {
        if let Err(error) = answer {
            failed = true;
            tracing::warn!(%error, "a timer could not be served");
        }
    }
    match (failed, full) {
        (true, _) => STUCK,
        (false, true) => Duration::ZERO,
        (false, false) => LOOK,
    }
}
