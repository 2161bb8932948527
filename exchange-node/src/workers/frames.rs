//! Frames of publications: sealed objects from memory or the archive, ciphertexts from the content
//! store, inside the frame while they are small, before it and in parts while they are not.

use std::collections::HashMap;
use std::sync::Arc;

use broker_adapter::{Frame, Lane};
use bytes::{Bytes, BytesMut};
use exchange_store::StoreError;
use exchange_store::content::ContentError;
use futures::StreamExt;
use schemas::bytes::Octets;
use schemas::dispatch::ContentRef;
use schemas::frame::{self, DispatchFrame, EvidenceFrame, StatusFrame};
use schemas::ids::{EvidenceId, NodeId};
use schemas::trace::TRACEPARENT;

use super::content;
use crate::engine::publication::{Part, Payload, Publication};
use crate::node::Node;

/// Why a publication could not be made into frames.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unmade {
    #[error(transparent)]
    Content(#[from] ContentError),
    /// Its reader has not taken yet what was published before: later, and meanwhile others.
    #[error("the content lane of {0} is full")]
    Full(NodeId),
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
) -> Result<(Lane, Frame), Unmade> {
    let (lane, kind, body) = match &publication.what {
        Payload::Dispatch { dispatch, content, inline, relays } => {
            let mut body = DispatchFrame {
                dispatch: bytes_of(sealed, dispatch)?,
                inline: vec![],
                relays: relays.iter().map(|r| bytes_of(sealed, r)).collect::<Result<_, _>>()?,
            };
            if *inline {
                for one in content {
                    body.inline.push(Octets(whole(node, one).await?));
                }
            } else {
                content::publish(node, publication, content).await?;
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
    Ok((lane, frame_of(node, publication, id, kind, body)))
}

pub(super) fn frame_of(
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
    let trace = publication.trace.map(|trace| (TRACEPARENT, trace.to_string()));
    Frame {
        id,
        attributes: attributes.into_iter().chain(trace).map(|(n, v)| (n.to_owned(), v)).collect(),
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
