//! Goes on with deliveries that asked for it, and with dispatches that waited for their content.

use std::sync::Arc;
use std::time::Duration;

use exchange_store::StoreError;
use exchange_store::rows::{Claimed, EffectKind, Settlement};
use schemas::frame::{DispatchFrame, decode};
use schemas::time::{DAY, MINUTE, SECOND};
use tokio_util::sync::CancellationToken;

use crate::engine::EngineError;
use crate::engine::item::{Fact, Work};
use crate::inbound::check::Checked;
use crate::inbound::consumer::Again;
use crate::node::Node;

const LEASE: i64 = 10 * SECOND;
const MAX_BATCH: u32 = 256;
const LOOK: Duration = Duration::from_millis(500);
/// A dispatch whose content has not come after so many looks, one a minute at last, is dead.
const MAX_LOOKS: u32 = 7 * (DAY / MINUTE) as u32;

/// Works until the node stops.
pub async fn run(node: Arc<Node>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match round(&node).await {
            Ok(0) => tokio::select! {
                () = stop.cancelled() => return,
                () = node.wakes.wake(LOOK) => {}
            },
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "going on waits for a dependency");
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

async fn round(node: &Node) -> Result<usize, Again> {
    let now = node.clock.now();
    let claimed = node.store.claim(EffectKind::Wake, now, LEASE, MAX_BATCH).await?;
    let count = claimed.len();
    let mut work = Vec::new();
    let mut settled = Vec::new();
    for claim in claimed {
        match claim.effect.delivery {
            Some(delivery) => {
                let settles = vec![claim.id];
                work.push((None, Work { delivery, fact: Fact::Continue, settles }));
            }
            None => match parked(node, &claim).await? {
                Parked::Here(one) => work.push((None, *one)),
                Parked::Settled(settlement) => settled.push(settlement),
            },
        }
    }
    let ids: Vec<i64> = work.iter().flat_map(|(_, w)| w.settles.clone()).collect();
    let answers = node.engine.feed(work).await;
    for (id, answer) in ids.into_iter().zip(answers) {
        if let Err(EngineError::Refused { refusal, .. }) = answer {
            settled.push(Settlement::Dead { id, error: refusal.to_string() });
        }
    }
    settle(node, &settled).await?;
    Ok(count)
}

async fn settle(node: &Node, settled: &[Settlement]) -> Result<(), StoreError> {
    if settled.is_empty() { Ok(()) } else { node.store.settle(settled, node.clock.now()).await }
}

enum Parked {
    Here(Box<Work>),
    Settled(Settlement),
}

/// Looks again at a dispatch that waited for its content.
async fn parked(node: &Node, claim: &Claimed) -> Result<Parked, Again> {
    let dead = |error: String| Parked::Settled(Settlement::Dead { id: claim.id, error });
    let checker = node.checker();
    let checked = match decode::<DispatchFrame>(&claim.effect.payload) {
        Ok(body) => checker.check_dispatch(body),
        Err(e) => return Ok(dead(e.to_string())),
    };
    let mut found = match checked {
        Ok(Checked::Dispatch(found)) => found,
        Ok(_) => return Ok(dead("not a dispatch".to_owned())),
        Err(e) => return Ok(dead(e.to_string())),
    };
    if found.arrived.findings.is_empty() && !node.content_is_here(&found.apart).await? {
        if claim.attempts > MAX_LOOKS {
            return Ok(dead("the content never came".to_owned()));
        }
        let wait = (SECOND / 2).saturating_mul(1 << claim.attempts.min(7)).min(MINUTE);
        let due = node.clock.now().plus(wait);
        let error = "waiting for content".to_owned();
        return Ok(Parked::Settled(Settlement::Retry { id: claim.id, due, error }));
    }
    node.check_plaintexts(&mut found).await?;
    let mut work = found.into_work();
    work.settles.push(claim.id);
    Ok(Parked::Here(Box::new(work)))
}
