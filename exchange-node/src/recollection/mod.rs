//! What a node does that was restored from a backup, before it says anything.
//!
//! Between the backup and the loss it accepted, sealed and told things that it does not know any
//! more. Were it to go on, it would decide about them again and contradict itself. But its
//! neighbours hold what it told them, byte for byte. So it asks them first:
//!
//! ```text
//! restored                                   neighbour
//!    | -- recall (ask, since the backup) -------> |   waits until its evidence lane is quiet
//!    | <------- recollection: dispatch, evidence - |   one for each delivery that they share and
//!    | <------- recollection ...                 - |   to which something has happened since
//!    | <------- recall (done) ------------------- |
//!    | goes on, once every neighbour has answered, or an operator has released it
//! ```
//! Meanwhile nothing is decided: no publication, no timer, no evidence taken in; dispatches are
//! kept for later (parked), acts and submissions get 503. Reading goes on.
//!
//! - [`marks`]: the restoration and the answers, in the archive, so that replicas and restarts know.
//! - [`Waiting`]: what the rest of the node asks; [`run`]: asking until all have answered.
//! - `workers/answer.rs` is the neighbour's part.

pub mod marks;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use broker_adapter::{Frame, Lane, Outcome};
use bytes::Bytes;
use exchange_core::route::Directory;
use exchange_store::StoreError;
use schemas::directory::Standing;
use schemas::frame::{RECALL, RecallFrame, encode};
use schemas::ids::NodeId;
use schemas::recall::{Recall, Say};
use schemas::time::{DAY, MINUTE};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::marks::{How, Mark};
use crate::node::Node;

/// Between two looks at who has answered.
const LOOK: Duration = Duration::from_millis(250);
/// Before the first repeat of a recall; doubled each time up to [`SELDOM`].
const REPEAT: Duration = Duration::from_secs(10);
const SELDOM: Duration = Duration::from_secs(120);
/// A recall older than this is not answered: somebody replays it.
const STALE: i64 = 7 * DAY;
/// How far clocks may be apart.
const SKEW: i64 = 10 * MINUTE;

/// Whether this node still waits for its neighbours, and whom it is answering itself.
#[derive(Debug)]
pub struct Waiting {
    mark: Option<Mark>,
    pending: watch::Sender<Vec<NodeId>>,
    over: watch::Sender<bool>,
    answering: Mutex<HashSet<NodeId>>,
    /// When the evidence lane last brought something.
    heard: Mutex<Instant>,
}

impl Waiting {
    /// For a node with this mark; none for one that was never restored.
    #[must_use]
    pub fn new(mark: Option<Mark>) -> Self {
        Self {
            pending: watch::channel(Vec::new()).0,
            over: watch::channel(mark.is_none()).0,
            answering: Mutex::default(),
            heard: Mutex::new(Instant::now()),
            mark,
        }
    }

    /// Whether the node may decide.
    #[must_use]
    pub fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Until it may.
    pub async fn over(&self) {
        let mut over = self.over.subscribe();
        // The sender lives as long as this value.
        let _ = over.wait_for(|over| *over).await;
    }

    /// Who has not answered.
    #[must_use]
    pub fn pending(&self) -> Vec<NodeId> {
        self.pending.borrow().clone()
    }

    /// In words, for status and refusals; none when the node may decide.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        let mark = self.mark.as_ref().filter(|_| !self.is_over())?;
        let pending: Vec<String> = self.pending().iter().map(ToString::to_string).collect();
        Some(format!(
            "restored from a backup of {}: waits for what {} recollects",
            mark.taken,
            if pending.is_empty() { "its neighbours".to_owned() } else { pending.join(", ") },
        ))
    }

    /// Something came on the evidence lane.
    pub fn heard(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long nothing has come on the evidence lane.
    #[must_use]
    pub fn quiet(&self) -> Duration {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Begins to answer a node, unless that is under way.
    pub fn begin_answer(&self, node: &NodeId) -> bool {
        self.answering.lock().unwrap_or_else(PoisonError::into_inner).insert(node.clone())
    }

    /// Ends it.
    pub fn end_answer(&self, node: &NodeId) {
        self.answering.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
    }
}

/// Asks until every neighbour has answered or was released.
pub async fn run(node: Arc<Node>, stop: CancellationToken) {
    let Some(mark) = node.recollection.mark.clone() else { return };
    let mut asked: HashMap<NodeId, (Instant, Duration)> = HashMap::new();
    while !stop.is_cancelled() {
        match pending(&node, &mark).await {
            Ok(pending) => {
                node.recollection.pending.send_replace(pending.clone());
                if pending.is_empty() {
                    break;
                }
                for peer in pending {
                    let due = asked.get(&peer).is_none_or(|(at, wait)| at.elapsed() > *wait);
                    if due {
                        let wait = asked.get(&peer).map_or(REPEAT, |(_, w)| (*w * 2).min(SELDOM));
                        asked.insert(peer.clone(), (Instant::now(), wait));
                        ask(&node, &mark, &peer).await;
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "who has answered is not known"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    if !node.recollection.is_over() {
        tracing::info!(taken = %mark.taken, "all neighbours have answered: the node goes on");
        node.recollection.over.send_replace(true);
    }
}

async fn pending(node: &Node, mark: &Mark) -> Result<Vec<NodeId>, StoreError> {
    let snapshot = node.directory.current();
    let all = neighbours(&snapshot.directory, &node.id);
    marks::pending(node.store.as_ref(), mark, &all).await
}

/// Nodes that this one hands dispatches to, or has them from, without another in between.
#[must_use]
pub fn neighbours(directory: &Directory, node: &NodeId) -> Vec<NodeId> {
    let listed = directory.root().map(|root| root.nodes.as_slice()).unwrap_or_default();
    listed
        .iter()
        .filter(|entry| entry.standing == Standing::Active && entry.id != *node)
        .filter(|entry| directory.next_hop(node, &entry.id).as_ref() == Some(&entry.id))
        .map(|entry| entry.id.clone())
        .collect()
}

async fn ask(node: &Node, mark: &Mark, peer: &NodeId) {
    let id = Uuid::now_v7();
    tracing::info!(%peer, since = %mark.taken, "asking what happened since");
    if let Err(error) = say(node, peer, id, Say::Ask, mark.taken).await {
        tracing::warn!(%peer, error = format!("{error:#}"), "cannot be asked yet");
    }
}

/// Seals and publishes a recall, or the end of an answer.
///
/// # Errors
/// It cannot be sealed, or the backbone has not confirmed it.
pub async fn say(
    node: &Node,
    peer: &NodeId,
    recall_id: Uuid,
    say: Say,
    since: schemas::time::Timestamp,
) -> anyhow::Result<()> {
    let at = node.clock.now();
    let recall =
        Recall { version: 1, recall_id, node: node.id.clone(), to: peer.clone(), say, since, at };
    let sealer = Arc::clone(&node.keys.sealer.borrow());
    let sealed = sealer.seal(&serde_json::to_vec(&recall)?, at, None)?;
    let body = encode(&RecallFrame { recall: sealed.der.into() });
    let frame = frame(node, peer, &format!("recall-{say:?}"), recall_id, RECALL, body);
    let outcomes = node.road_to(peer).publish(vec![(peer.clone(), Lane::Message, frame)]).await;
    let outcome = outcomes.into_iter().next();
    anyhow::ensure!(outcome == Some(Outcome::Confirmed), "{outcome:?}");
    Ok(())
}

/// A frame of a recall or of the answer to it; all of one answer keep their order.
#[must_use]
pub fn frame(
    node: &Node,
    to: &NodeId,
    name: &str,
    recall: Uuid,
    kind: &str,
    body: Vec<u8>,
) -> Frame {
    let attributes = [
        ("source", format!("urn:pli:node:{}", node.id)),
        ("type", kind.to_owned()),
        ("time", node.clock.now().to_string()),
        ("datacontenttype", "application/cbor".to_owned()),
        ("plito", to.to_string()),
    ];
    Frame {
        id: format!("{}-{recall}", name.to_lowercase()),
        attributes: attributes.into_iter().map(|(n, v)| (n.to_owned(), v)).collect(),
        key: recall.to_string(),
        body: Bytes::from(body),
    }
}

/// A verified recall arrived: answers it, or notes that a neighbour has said everything.
///
/// # Errors
/// The archive does not work: the frame comes again.
pub async fn received(node: &Arc<Node>, recall: Recall) -> Result<(), StoreError> {
    let now = node.clock.now();
    let fresh = now.since(recall.at) < STALE && recall.at.since(now) < SKEW;
    match recall.say {
        Say::Ask if fresh => {
            node.answer(recall);
            Ok(())
        }
        Say::Ask => {
            tracing::warn!(from = %recall.node, at = %recall.at, "an old recall is not answered");
            Ok(())
        }
        Say::Done => match &node.recollection.mark {
            // Of this restoration, and not of an earlier one that somebody replays.
            Some(mark) if recall.since == mark.taken && recall.at.since(mark.at) > -SKEW => {
                tracing::info!(from = %recall.node, "has recollected everything");
                marks::answered(node.store.as_ref(), mark, &recall.node, How::Answered, now).await
            }
            _ => Ok(()),
        },
    }
}
