//! The neighbour's part of a recollection: whatever has happened since a time to deliveries that
//! are shared with a node that was restored is sent to it, as it is held here.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use broker_adapter::{Frame, Lane, Outcome};
use exchange_core::state::{Delivery, Role};
use exchange_store::rows::{Cause, DeliveryQuery, EvidenceRow, Kind};
use futures::StreamExt as _;
use schemas::bytes::Octets;
use schemas::dispatch::{ContentRef, Dispatch};
use schemas::event::Event;
use schemas::frame::{INLINE_LIMIT, RECOLLECTION, RecollectionFrame, encode};
use schemas::ids::{MessageId, NodeId};
use schemas::recall::{Recall, Say};
use schemas::time::{DAY, MINUTE, Timestamp};

use super::content;
use crate::engine::publication::{Part, Payload, Publication};
use crate::engine::rule::dispatch_id;
use crate::node::Node;
use crate::recollection::{self, marks};

/// What the lost node published last may still be on its way: its evidence lane here must have been
/// quiet for so long.
const QUIET: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(200);
/// Objects of one read.
const PAGE: u32 = 500;
/// Frames published at once.
const BATCH: usize = 32;
/// How often a batch is tried; then the node asks again.
const TRIES: u32 = 8;
/// A dispatch that was sent so long before, and not answered, may have been lost with the node.
const UNANSWERED: i64 = DAY;

/// Answers a recall, once.
pub async fn run(node: &Node, recall: &Recall) {
    if !node.recollection.begin_answer(&recall.node) {
        return;
    }
    match answer(node, recall).await {
        Ok(Some(count)) => {
            tracing::info!(to = %recall.node, since = %recall.since, count, "recollected");
        }
        Ok(None) => {}
        Err(error) => {
            let error = format!("{error:#}");
            tracing::warn!(to = %recall.node, error, "recollecting broke off; it asks again");
        }
    }
    node.recollection.end_answer(&recall.node);
}

async fn answer(node: &Node, recall: &Recall) -> Result<Option<u64>> {
    let cause = Cause(format!("recall:{}", recall.recall_id));
    let loaded = node.store.load(std::slice::from_ref(&cause), &[], &[]).await?;
    if loaded.outcomes.contains_key(&cause) {
        return Ok(None);
    }
    while node.recollection.is_over() && node.recollection.quiet() < QUIET {
        tokio::time::sleep(LOOK).await;
    }
    let count = recollect(node, recall).await?;
    recollection::say(node, &recall.node, recall.recall_id, Say::Done, recall.since).await?;
    marks::write(node.store.as_ref(), cause, Vec::new(), node.clock.now()).await?;
    Ok(Some(count))
}

async fn recollect(node: &Node, recall: &Recall) -> Result<u64> {
    let mut after = position(node, recall.since.plus(-UNANSWERED)).await?;
    let (mut seen, mut count) = (HashSet::new(), 0);
    loop {
        let rows = node.store.evidence_after(after, PAGE).await?;
        let Some(last) = rows.last() else { return Ok(count) };
        after = last.seq;
        let messages: HashSet<MessageId> = rows.iter().map(|r| r.evidence.message).collect();
        let mut frames = Vec::new();
        for message in messages.into_iter().filter(|m| seen.insert(*m)) {
            for frame in of_message(node, recall, message).await? {
                frames.push(frame);
                count += 1;
                if frames.len() >= BATCH {
                    publish(node, &recall.node, std::mem::take(&mut frames)).await?;
                }
            }
        }
        publish(node, &recall.node, frames).await?;
    }
}

/// The position before the first object that was stored at `since`, give or take a minute.
async fn position(node: &Node, since: Timestamp) -> Result<i64> {
    let since = since.plus(-MINUTE);
    let earlier = async |seq: i64| -> Result<bool> {
        let row = node.store.evidence_after(seq, 1).await?.into_iter().next();
        Ok(row.is_some_and(|row| row.stored_at < since))
    };
    let (mut low, mut high) = (0, 1);
    while earlier(high).await? {
        (low, high) = (high, high.saturating_mul(2));
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if earlier(middle).await? { low = middle } else { high = middle }
    }
    Ok(low)
}

/// The deliveries of a message that are shared with the node that asks.
async fn of_message(node: &Node, recall: &Recall, message: MessageId) -> Result<Vec<Frame>> {
    let query = DeliveryQuery { messages: vec![message], after: 0, limit: PAGE * 2 };
    let rows = node.store.deliveries(&query).await?;
    let shared: Vec<Delivery> =
        rows.into_iter().map(|r| r.delivery).filter(|d| is_shared(d, &recall.node)).collect();
    if shared.is_empty() {
        return Ok(Vec::new());
    }
    let objects = node.store.evidence_of(message).await?;
    let mut frames = Vec::new();
    for delivery in shared {
        let of = |o: &&EvidenceRow| o.evidence.deliveries.contains(&delivery.id);
        let touched = objects.iter().filter(of).any(|o| o.stored_at >= recall.since.plus(-MINUTE));
        if (touched || delivery.awaits_dispatch())
            && let Some(body) = recollection_of(node, recall, &delivery, &objects).await?
        {
            let name = format!("recollection-{}", delivery.id);
            let id = recall.recall_id;
            frames.push(recollection::frame(node, &recall.node, &name, id, RECOLLECTION, body));
        }
    }
    Ok(frames)
}

fn is_shared(delivery: &Delivery, with: &NodeId) -> bool {
    delivery.next_hop.as_ref() == Some(with) || delivery.previous_hop.as_ref() == Some(with)
}

async fn recollection_of(
    node: &Node,
    recall: &Recall,
    delivery: &Delivery,
    objects: &[EvidenceRow],
) -> Result<Option<Vec<u8>>> {
    let sealed = |id| objects.iter().find(|o| o.evidence.id == id).map(|o| &o.evidence.p7m);
    let Some(p7m) = sealed(dispatch_id(delivery.message, delivery)) else { return Ok(None) };
    let onward = delivery.next_hop.as_ref() == Some(&recall.node);
    let relays: Vec<Octets> =
        way(node, delivery, onward, &recall.node).filter_map(sealed).cloned().map(Octets).collect();
    let evidence = objects
        .iter()
        .filter(|o| o.evidence.kind == Kind::Evidence)
        .filter(|o| o.evidence.deliveries.contains(&delivery.id))
        .filter(|o| o.evidence.event.is_some_and(|event| event.family() != 'A'))
        .map(|o| Octets(o.evidence.p7m.clone()))
        .collect();
    let inline = if onward && !delivery.phase.is_end() {
        ciphertexts(node, recall, delivery, p7m).await?
    } else {
        Vec::new()
    };
    let dispatch = Octets(p7m.clone());
    Ok(Some(encode(&RecollectionFrame { dispatch, inline, relays, evidence })))
}

/// The B.1 of each node that had relayed it before it came to the node that asks.
fn way<'a>(
    node: &'a Node,
    delivery: &'a Delivery,
    onward: bool,
    asks: &'a NodeId,
) -> Box<dyn Iterator<Item = schemas::ids::EvidenceId> + 'a> {
    if onward {
        return Box::new(delivery.relayed_by(&node.id).map(|held| held.id));
    }
    // It lies before this node: all before its own B.1.
    let accepted = delivery.evidence.iter().filter(|h| h.event == Event::RelayAcceptance);
    let before = accepted.take_while(move |h| h.node != *asks && h.node != node.id);
    let sent_itself = delivery.origin == *asks;
    Box::new(before.filter(move |_| !sent_itself).map(|held| held.id))
}

/// Small content goes along; large content travels as it always does. A relay has none any more.
async fn ciphertexts(
    node: &Node,
    recall: &Recall,
    delivery: &Delivery,
    p7m: &[u8],
) -> Result<Vec<Octets>> {
    let opened = signing::seal::open(p7m).context("a stored dispatch")?;
    let dispatch: Dispatch = serde_json::from_slice(&opened.content)?;
    if !node.content_is_here(&dispatch.content).await? {
        if delivery.role == Role::Sender {
            tracing::warn!(delivery = %delivery.id, "its content is not here any more");
        }
        return Ok(Vec::new());
    }
    let total: u64 = dispatch.content.iter().map(|c| c.cipher_size).sum();
    if total <= INLINE_LIMIT {
        let mut out = Vec::new();
        for one in &dispatch.content {
            out.push(Octets(whole(node, one).await?));
        }
        return Ok(out);
    }
    let publication = Publication {
        frame: format!("recollection-{}-{}", recall.recall_id, delivery.id),
        to: recall.node.clone(),
        message: delivery.message,
        delivery: delivery.id,
        conversation: dispatch.envelope.conversation_id.to_string(),
        what: Payload::Dispatch {
            dispatch: Part::Stored(dispatch_id(delivery.message, delivery)),
            content: dispatch.content.clone(),
            inline: false,
            relays: Vec::new(),
        },
        trace: None,
    };
    content::publish(node, &publication, &dispatch.content).await?;
    content::done(node, &publication);
    Ok(Vec::new())
}

async fn whole(node: &Node, content: &ContentRef) -> Result<Vec<u8>> {
    let mut stream = node.content.read(&content.cipher_sha256, 0, None).await?;
    let mut out = Vec::new();
    while let Some(buffer) = stream.next().await {
        out.extend_from_slice(&buffer?);
    }
    Ok(out)
}

async fn publish(node: &Node, to: &NodeId, mut frames: Vec<Frame>) -> Result<()> {
    for attempt in 0..TRIES {
        if frames.is_empty() {
            return Ok(());
        }
        let out = frames.iter().map(|f| (to.clone(), Lane::Message, f.clone())).collect();
        let outcomes = node.road_to(to).publish(out).await;
        let tried = std::mem::take(&mut frames).into_iter().zip(outcomes);
        frames = tried.filter(|(_, o)| *o != Outcome::Confirmed).map(|(f, _)| f).collect();
        if !frames.is_empty() {
            tokio::time::sleep(LOOK * 2_u32.pow(attempt)).await;
        }
    }
    if frames.is_empty() { Ok(()) } else { bail!("{} frames were not confirmed", frames.len()) }
}
