//! The words that the checks use.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use schemas::ids::NodeId;
use tokio::time::timeout;

use super::Ground;
use crate::{
    Backbone, BackboneError, Destination, Frame, Lane, Options, Outcome, Received, Subscription,
};

/// Longest wait for a frame that must come. A Kafka group may wait for a session of 6 s to end.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Wait for a frame that must not come.
pub(super) const QUIET: Duration = Duration::from_millis(1_500);

/// Returns from a check with what is wrong.
macro_rules! ensure {
    ($condition:expr, $($said:tt)+) => {
        if !$condition {
            return Err(format!($($said)+));
        }
    };
}
pub(super) use ensure;

pub(super) fn said(error: BackboneError) -> String {
    error.to_string()
}

/// A node that nobody has used.
pub(super) fn fresh_node(ground: &Ground) -> Result<NodeId, String> {
    if let Some(accounts) = &ground.accounts {
        return accounts.newcomer().map_err(|e| e.to_string());
    }
    let text = uuid::Uuid::new_v4().simple().to_string();
    format!("t-{text}").parse().map_err(|e| format!("{e}"))
}

/// The options of a node, with its credentials where it needs some.
pub(super) fn options_of(ground: &Ground, node: &NodeId) -> Result<Options, String> {
    let mut options = ground.options.clone();
    options.node = Some(node.clone());
    if let Some(accounts) = &ground.accounts {
        accounts.admit(node, &mut options).map_err(|e| e.to_string())?;
    }
    Ok(options)
}

/// An open backbone, and a node with its lanes on it.
pub(super) async fn ready(ground: &Ground) -> Result<(Arc<dyn Backbone>, NodeId), String> {
    let node = fresh_node(ground)?;
    let options = options_of(ground, &node)?;
    let backbone = crate::open(&ground.url, options).await.map_err(said)?;
    // Once more, as a node does: a Kafka that was frozen owes the request it froze on 30 s of silence.
    if let Err(BackboneError::Unreachable(_)) = backbone.provision(&node).await {
        backbone.provision(&node).await.map_err(said)?;
    }
    Ok((backbone, node))
}

pub(super) fn to(node: &NodeId, lane: Lane) -> Destination {
    Destination { node: node.clone(), lane }
}

/// A small frame; `key` orders it.
pub(super) fn frame(id: &str, key: &str) -> Frame {
    Frame {
        id: id.to_owned(),
        attributes: vec![("type".to_owned(), "fr.pli.test.v1".to_owned())],
        key: key.to_owned(),
        body: Bytes::from(format!("body of {id}")),
    }
}

/// Frames `from..to` for one lane, their ids being their numbers, spread over `keys` keys.
pub(super) fn numbered(
    lane: &Destination,
    numbers: std::ops::Range<usize>,
    keys: usize,
) -> Vec<(Destination, Frame)> {
    let one = |n: usize| (lane.clone(), frame(&n.to_string(), &format!("key-{}", n % keys)));
    numbers.map(one).collect()
}

/// Publishes, and wants every frame confirmed.
pub(super) async fn publish_all(
    backbone: &Arc<dyn Backbone>,
    frames: Vec<(Destination, Frame)>,
) -> Result<(), String> {
    let outcomes = backbone.publish(frames).await;
    match outcomes.iter().position(|outcome| *outcome != Outcome::Confirmed) {
        None => Ok(()),
        Some(at) => Err(format!("frame {at} of {}: {:?}", outcomes.len(), outcomes.get(at))),
    }
}

/// Waits for `count` frames, and acknowledges them if told so.
pub(super) async fn take(
    subscription: &mut Box<dyn Subscription>,
    count: usize,
    acknowledge: bool,
) -> Result<Vec<Received>, String> {
    let mut all = Vec::new();
    while all.len() < count {
        let batch = timeout(PATIENCE, subscription.next(count - all.len()))
            .await
            .map_err(|_| format!("only {} of {count} frames came", all.len()))?
            .map_err(said)?;
        ensure!(!batch.is_empty(), "an empty batch");
        ensure!(batch.len() <= count - all.len(), "more frames than were asked for");
        if acknowledge {
            subscription.ack(batch.iter().map(|r| r.receipt).collect()).await.map_err(said)?;
        }
        all.extend(batch);
    }
    Ok(all)
}

/// Nothing must come for a while.
pub(super) async fn silence(subscription: &mut Box<dyn Subscription>) -> Result<(), String> {
    match timeout(QUIET, subscription.next(10)).await {
        Err(_) => Ok(()),
        Ok(Ok(batch)) => Err(format!("unexpected: {:?}", ids(&batch))),
        Ok(Err(error)) => Err(error.to_string()),
    }
}

pub(super) fn ids(received: &[Received]) -> Vec<&str> {
    received.iter().map(|r| r.frame.id.as_str()).collect()
}
