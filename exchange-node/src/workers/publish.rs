//! Publishes what is waiting: claim, assemble frames, publish, settle.
//!
//! A dispatch that was confirmed (or is unroutable) goes back to the engine, which settles its
//! effect in the same transaction as the new state. Evidence and statuses are settled here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use broker_adapter::{Destination, Frame, Lane, Outcome};
use bytes::{Bytes, BytesMut};
use exchange_store::StoreError;
use exchange_store::content::ContentError;
use exchange_store::rows::{Claimed, EffectKind, Settlement};
use futures::StreamExt;
use schemas::bytes::Octets;
use schemas::dispatch::ContentRef;
use schemas::frame::{
    self, CONTENT_CHUNK, ContentFrame, DispatchFrame, EvidenceFrame, StatusFrame,
};
use schemas::ids::EvidenceId;
use schemas::time::{MINUTE, SECOND, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::engine::item::{Fact, Work};
use crate::engine::publication::{Part, Payload, Publication};
use crate::node::Node;

/// How long a claim lasts. Short, since a node that was killed begins again with what it had
/// claimed; a publication that takes longer may be made twice, which does no harm.
const LEASE: i64 = 10 * SECOND;
/// Attempts before a destination without lanes counts as unknown: its node may be about to make
/// them, or the broker about to find them again after a restart.
const UNROUTABLE_ATTEMPTS: u32 = 5;
/// Most publications of one round.
const MAX_BATCH: u32 = 256;
/// Longest wait between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// Content frames that are on their way at once.
const WINDOW: usize = 16;

/// Why a publication could not be made into frames.
#[derive(Debug, thiserror::Error)]
enum Unmade {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Content(#[from] ContentError),
    #[error("{0}")]
    Broken(String),
}

/// Works until the node stops.
pub async fn run(node: Arc<Node>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match round(&node).await {
            Ok(0) => tokio::select! {
                () = stop.cancelled() => return,
                () = node.wakes.publish(LOOK) => {}
            },
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "publishing waits for the database");
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

/// One round; returns how many publications were claimed.
async fn round(node: &Node) -> Result<usize, StoreError> {
    let now = node.clock.now();
    let claimed = node.store.claim(EffectKind::Publish, now, LEASE, MAX_BATCH).await?;
    let count = claimed.len();
    if count == 0 {
        return Ok(0);
    }
    let mut frames = Vec::with_capacity(count);
    let mut waiting = Vec::with_capacity(count);
    let mut settled = Vec::new();
    let (readable, broken): (Vec<_>, Vec<_>) = claimed
        .into_iter()
        .map(|claim| (Publication::from_bytes(&claim.effect.payload), claim))
        .partition(|(publication, _)| publication.is_some());
    let error = "a publication cannot be read";
    let dead = |(_, claim): (_, Claimed)| Settlement::Dead { id: claim.id, error: error.into() };
    settled.extend(broken.into_iter().map(dead));
    let readable: Vec<(Publication, Claimed)> = readable
        .into_iter()
        .filter_map(|(publication, claim)| Some((publication?, claim)))
        .collect();
    let sealed = sealed(node, readable.iter().map(|(publication, _)| publication)).await?;
    for (publication, claim) in readable {
        match make(node, publication, &sealed).await {
            Ok((publication, frame)) => {
                frames.push(frame);
                waiting.push((claim, publication));
            }
            Err(Unmade::Broken(error)) => settled.push(Settlement::Dead { id: claim.id, error }),
            Err(error) => settled.push(retry(&claim, now, error.to_string())),
        }
    }
    let outcomes = node.backbone.publish(frames).await;
    let mut work = Vec::new();
    for ((claim, publication), outcome) in waiting.into_iter().zip(outcomes) {
        match sort(&claim, &publication, outcome, now) {
            Sorted::Settled(settlement) => settled.push(settlement),
            Sorted::Work(one) => work.push((None, one)),
        }
    }
    if !settled.is_empty() {
        node.store.settle(&settled, now).await?;
    }
    for answer in node.engine.feed(work).await {
        if let Err(error) = answer {
            tracing::warn!(%error, "a publication will be settled when its lease ends");
        }
    }
    Ok(count)
}

enum Sorted {
    Settled(Settlement),
    Work(Work),
}

fn sort(claim: &Claimed, publication: &Publication, outcome: Outcome, now: Timestamp) -> Sorted {
    let dispatch = matches!(publication.what, Payload::Dispatch { .. });
    let work =
        |fact| Sorted::Work(Work { delivery: publication.delivery, fact, settles: vec![claim.id] });
    match outcome {
        Outcome::Confirmed if dispatch => work(Fact::Sent),
        Outcome::Confirmed => Sorted::Settled(Settlement::Done(claim.id)),
        Outcome::Unroutable if dispatch && claim.attempts >= UNROUTABLE_ATTEMPTS => {
            work(Fact::Unroutable)
        }
        Outcome::Unroutable => {
            Sorted::Settled(retry(claim, now, "the destination has no lane".to_owned()))
        }
        Outcome::TooLarge => Sorted::Settled(Settlement::Dead {
            id: claim.id,
            error: "larger than a frame may be".to_owned(),
        }),
        Outcome::Invalid(error) => Sorted::Settled(Settlement::Dead { id: claim.id, error }),
        Outcome::Unknown(error) => Sorted::Settled(retry(claim, now, error)),
    }
}

/// Tries again after 1 s, doubling up to a minute. The core's timers say when it is too late.
fn retry(claim: &Claimed, now: Timestamp, error: String) -> Settlement {
    let wait = SECOND.saturating_mul(1 << claim.attempts.min(6)).min(MINUTE);
    Settlement::Retry { id: claim.id, due: now.plus(wait), error }
}

/// Sealed objects by id.
type Objects = HashMap<EvidenceId, Arc<Vec<u8>>>;

/// What the publications refer to: from memory, and the rest from the archive in one query.
async fn sealed(
    node: &Node,
    publications: impl Iterator<Item = &Publication>,
) -> Result<Objects, StoreError> {
    let mut found = Objects::new();
    let mut missing = Vec::new();
    for id in publications.flat_map(|p| p.what.stored()) {
        match node.recent.find(&id) {
            Some(bytes) => drop(found.insert(id, bytes)),
            None => missing.push(id),
        }
    }
    let read = node.store.sealed(&missing).await?;
    found.extend(read.into_iter().map(|(id, p7m)| (id, Arc::new(p7m))));
    Ok(found)
}

async fn make(
    node: &Node,
    publication: Publication,
    sealed: &Objects,
) -> Result<(Publication, (Destination, Frame)), Unmade> {
    let (lane, kind, body) = match &publication.what {
        Payload::Dispatch { dispatch, content, inline } => {
            let mut body = DispatchFrame { dispatch: bytes_of(sealed, dispatch)?, inline: vec![] };
            if *inline {
                for one in content {
                    body.inline.push(Octets(whole(node, one).await?));
                }
            } else {
                publish_content(node, &publication, content).await?;
            }
            (Lane::Message, frame::DISPATCH, frame::encode(&body))
        }
        Payload::Evidence(parts) => {
            let mut evidence = Vec::with_capacity(parts.len());
            for part in parts {
                evidence.push(bytes_of(sealed, part)?);
            }
            (Lane::Evidence, frame::EVIDENCE, frame::encode(&EvidenceFrame { evidence }))
        }
        Payload::Status(part) => {
            let status = bytes_of(sealed, part)?;
            (Lane::Evidence, frame::STATUS, frame::encode(&StatusFrame { status }))
        }
    };
    let id = publication.frame.clone();
    let frame = frame_of(node, &publication, id, kind, body);
    let destination = Destination { node: node.road(&publication.to), lane };
    Ok((publication, (destination, frame)))
}

fn frame_of(
    node: &Node,
    publication: &Publication,
    id: String,
    kind: &str,
    body: Vec<u8>,
) -> Frame {
    let attributes = [
        ("source", format!("urn:pli:node:{}", node.id)),
        ("type", kind.to_owned()),
        ("time", node.clock.now().to_string()),
        ("datacontenttype", "application/cbor".to_owned()),
        ("plimessage", publication.message.to_string()),
        ("plito", publication.to.to_string()),
    ];
    Frame {
        id,
        attributes: attributes.into_iter().map(|(n, v)| (n.to_owned(), v)).collect(),
        key: publication.conversation.clone(),
        body: Bytes::from(body),
    }
}

fn bytes_of(sealed: &Objects, part: &Part) -> Result<Octets, Unmade> {
    match part {
        Part::Bytes(bytes) => Ok(bytes.clone()),
        Part::Stored(id) => sealed
            .get(id)
            .map(|bytes| Octets(bytes.to_vec()))
            .ok_or_else(|| Unmade::Broken(format!("{id} is not in the archive"))),
    }
}

async fn whole(node: &Node, content: &ContentRef) -> Result<Vec<u8>, Unmade> {
    let mut stream = node.content.read(&content.cipher_sha256, 0, None).await?;
    let mut out = BytesMut::new();
    while let Some(buffer) = stream.next().await {
        out.extend_from_slice(&buffer?);
    }
    Ok(out.to_vec())
}

/// Publishes ciphertexts in parts, before their dispatch, a window at a time.
async fn publish_content(
    node: &Node,
    publication: &Publication,
    content: &[ContentRef],
) -> Result<(), Unmade> {
    for one in content {
        let mut stream = node.content.read(&one.cipher_sha256, 0, None).await?;
        let mut offset = 0;
        let mut part = BytesMut::new();
        let mut window = Vec::new();
        loop {
            let next = stream.next().await.transpose()?;
            let ended = next.is_none();
            part.extend_from_slice(&next.unwrap_or_default());
            while part.len() >= CONTENT_CHUNK || (ended && !part.is_empty()) {
                let bytes = part.split_to(part.len().min(CONTENT_CHUNK)).to_vec();
                let length = bytes.len() as u64;
                window.push(content_frame(node, publication, one, offset, bytes));
                offset += length;
            }
            if window.len() >= WINDOW || (ended && !window.is_empty()) {
                confirm(node, std::mem::take(&mut window)).await?;
            }
            if ended {
                break;
            }
        }
    }
    Ok(())
}

fn content_frame(
    node: &Node,
    publication: &Publication,
    content: &ContentRef,
    offset: u64,
    part: Vec<u8>,
) -> (Destination, Frame) {
    let body = ContentFrame {
        document_id: content.document_id,
        cipher_sha256: content.cipher_sha256,
        cipher_size: content.cipher_size,
        offset,
        part: Octets(part),
    };
    let id = format!("content-{}-{offset}", content.cipher_sha256);
    let frame = frame_of(node, publication, id, frame::CONTENT, frame::encode(&body));
    (Destination { node: node.road(&publication.to), lane: Lane::Content }, frame)
}

async fn confirm(node: &Node, frames: Vec<(Destination, Frame)>) -> Result<(), Unmade> {
    let outcomes = node.backbone.publish(frames).await;
    let failed = outcomes.into_iter().find(|o| !matches!(o, Outcome::Confirmed));
    match failed {
        None => Ok(()),
        Some(outcome) => {
            Err(Unmade::Content(ContentError::Io(format!("content frame: {outcome:?}"))))
        }
    }
}
