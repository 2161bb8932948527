//! Looks for deliveries whose time has come, and tells the engine. Deciding again is harmless.

use std::sync::Arc;
use std::time::Duration;

use exchange_store::StoreError;
use schemas::ids::DeliveryId;
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

/// What is due; and of that what was on its way when a process died. A timer that ran out meanwhile
/// must not have the core prove that it was never sent.
async fn look(node: &Node) -> Result<(Vec<DeliveryId>, Vec<DeliveryId>), StoreError> {
    let due = node.store.due(node.clock.now(), MAX_BATCH).await?;
    let tried = node.store.tried(&due).await?;
    Ok((due, tried))
}

async fn round(node: &Node) -> Duration {
    let (due, tried) = match look(node).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%error, "timers wait for the database");
            return STUCK;
        }
    };
    let full = due.len() >= MAX_BATCH as usize;
    let tried = tried.into_iter().map(|id| (None, Work::new(id, Fact::Attempted)));
    let due = due.into_iter().map(|id| (None, Work::new(id, Fact::Due)));
    let work = tried.chain(due).collect();
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
