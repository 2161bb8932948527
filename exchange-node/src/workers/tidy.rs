//! Removes uploads that nobody finished; at the start, records those that were finished when an
//! earlier process died.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::api::resumable;
use crate::node::Node;

/// Between two rounds.
const PAUSE: Duration = Duration::from_secs(600);

/// Works until the node stops.
pub async fn run(node: Arc<Node>, stop: CancellationToken) {
    loop {
        resumable::sweep(&node).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}
