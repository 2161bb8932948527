//! Frames of publications: sealed objects from memory or the archive, ciphertexts from the content
//! store, inside the frame while they are small, before it and in parts while they are not.

use std::collections::HashMap;
use std::sync::Arc;

use broker_adapter::{Destination, Frame, Lane, Outcome};
use bytes::{Bytes, BytesMut};
use exchange_store::StoreError;
use exchange_store::content::ContentError;
use futures::StreamExt;
use schemas::bytes::Octets;
use schemas::dispatch::ContentRef;
use schemas::frame::{
    self, CONTENT_CHUNK, ContentFrame, DispatchFrame, EvidenceFrame, StatusFrame,
};
use schemas::ids::EvidenceId;

use crate::engine::publication::{Part, Payload, Publication};
use crate::node::Node;

/// Content frames that are on their way at once.
const WINDOW: usize = 16;

/// Why a publication could not be made into frames.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unmade {
    #[error(transparent)]
    Content(#[from] ContentError),
    #[error("{0}")]
    Broken(String),
}

/// Sealed objects by id.
pub(super) type Objects = HashMap<EvidenceId, Arc<Vec<u8>>>;

/// What the publications refer to: from memory, and the rest from the archive in one query.
pub(super) async fn sealed(
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

/// The frame of a publication. Content that travels by itself is on the backbone when this returns.
pub(super) async fn make(
    node: &Node,
    publication: &Publication,
    sealed: &Objects,
) -> Result<(Destination, Frame), Unmade> {
    let (lane, kind, body) = match &publication.what {
        Payload::Dispatch { dispatch, content, inline } => {
            let mut body = DispatchFrame { dispatch: bytes_of(sealed, dispatch)?, inline: vec![] };
            if *inline {
                for one in content {
                    body.inline.push(Octets(whole(node, one).await?));
                }
            } else {
                publish_content(node, publication, content).await?;
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
    let frame = frame_of(node, publication, id, kind, body);
    let destination = Destination { node: node.road(&publication.to), lane };
    Ok((destination, frame))
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
