//! Anchoring in time: all sealed objects without an anchor go under one RFC 3161 token, as leaves
//! of a hash tree (RFC 4998). The backlog is the table itself: after an outage of the timestamp
//! authority the next round takes everything that waits.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use exchange_store::Store;
use exchange_store::rows::Anchor;
use schemas::digest::Digest;
use schemas::time::Timestamp;
use signing::evidence_record::Tree;
use signing::tsp::{NoToken, TsaClient};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::cores;
use crate::node::Node;
use crate::telemetry::spans::Kind;

/// Rows of one read.
const PAGE: u32 = 10_000;
/// Pause after a round that failed.
const PAUSE: Duration = Duration::from_secs(2);

/// A token was given, and the archive, which had told what waits, did not keep it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("storing the anchor")]
struct Unkept;

/// Works until the node stops. `behind` tells the engine how long evidence has waited for a token
/// that no authority gives, or that is not kept: 0 as soon as one is. An archive that is away says
/// nothing about it: when it is back, nobody is refused for the hours in which it was.
pub async fn run(node: Arc<Node>, behind: watch::Sender<i64>, stop: CancellationToken) {
    let interval = Duration::from_millis(node.config.tsa.interval_ms);
    let mut unkept = None;
    loop {
        let pause = match round(&node).await {
            Ok(leaves) => {
                unkept = None;
                note(&behind, 0);
                metrics::counter!("pli_anchored_total").increment(leaves as u64);
                // A full round leaves the rest of a backlog behind: it waits for no clock.
                let full = leaves > 0 && leaves >= node.config.tsa.max_batch as usize;
                if full { Duration::ZERO } else { interval }
            }
            Err(error) => {
                metrics::counter!("pli_anchor_failures_total").increment(1);
                let now = node.clock.now();
                unkept = error.is::<Unkept>().then(|| unkept.unwrap_or(now));
                let oldest = match unkept {
                    None if error.is::<NoToken>() => {
                        node.store.oldest_unanchored().await.ok().flatten()
                    }
                    since => since,
                };
                if let Some(at) = oldest {
                    note(&behind, now.since(at));
                }
                tracing::warn!(error = format!("{error:#}"), "anchoring failed, trying again");
                PAUSE
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn note(behind: &watch::Sender<i64>, age: i64) {
    behind.send_if_modified(|known| std::mem::replace(known, age) != age);
}

/// One round: returns how many objects got their anchor.
///
/// # Errors
/// As [`anchor_waiting`].
pub async fn round(node: &Node) -> Result<usize> {
    let most = node.config.tsa.max_batch as usize;
    let span = node.tracer.root("anchor", Kind::Internal, None);
    let done = anchor_waiting(node.store.as_ref(), &node.tsa, node.clock.now(), most).await;
    // A round without anything to do is no news.
    if let Some(mut span) = span.filter(|_| !matches!(done, Ok(0))) {
        match &done {
            Ok(objects) => span.note("pli.objects", || *objects as u64),
            Err(_) => span.fail("anchor"),
        }
        span.end();
    }
    done
}

/// Anchors what waits, `most` objects at most: returns how many.
///
/// # Errors
/// When the archive or the timestamp authority does not work; nothing is lost.
pub async fn anchor_waiting(
    store: &dyn Store,
    tsa: &TsaClient,
    now: Timestamp,
    most: usize,
) -> Result<usize> {
    let leaves = waiting(store, most).await?;
    if leaves.is_empty() {
        return Ok(0);
    }
    let digests: Vec<Digest> = leaves.iter().map(|(_, sha256)| *sha256).collect();
    let root = cores::spread(move || Tree::build(digests).map(|tree| tree.root())).await??;
    let token = tsa.stamp(&root, now).await.context("the token")?;
    let count = leaves.len();
    let anchor = Anchor { token: token.der().to_vec(), root, at: token.gen_time(), leaves };
    let kept = store.anchor(&anchor).await.context(Unkept)?;
    Ok(if kept { count } else { 0 })
}

async fn waiting(store: &dyn Store, most: usize) -> Result<Vec<(i64, Digest)>> {
    let mut leaves: Vec<(i64, Digest)> = Vec::new();
    while leaves.len() < most {
        let after = leaves.last().map_or(0, |(seq, _)| *seq);
        let limit = PAGE.min(u32::try_from(most - leaves.len()).unwrap_or(PAGE));
        let page = store.unanchored(after, limit).await?;
        let full = page.len() >= limit as usize;
        leaves.extend(page.into_iter().map(|row| (row.seq, row.sha256)));
        if !full {
            break;
        }
    }
    Ok(leaves)
}
