//! How a sender's document gets to its node: with the message, or before it in several requests,
//! each of which goes on where the last one stopped, in this life of the node or the next.

use bytes::Bytes;
use exchange_node::access::Caller;
use exchange_node::api::documents::intake;
use exchange_node::node::Node;
use exchange_node::resumable::New;
use exchange_node::upload::Announced;
use exchange_store::rows::Upload;
use schemas::ids::DocumentId;
use schemas::party::Party;
use schemas::time::DAY;

use crate::people::Letter;
use crate::tally::{Tally, count};

/// Octets of one request: large documents need several, small ones one.
const PART: usize = 250_000;

fn announced() -> Announced {
    Announced {
        name: "acte.xml".to_owned(),
        media_type: "application/xml".to_owned(),
        sha256: None,
        max_size: 20 << 20,
    }
}

fn body(text: &[u8]) -> impl futures::Stream<Item = Result<Bytes, String>> + Unpin + use<> {
    futures::stream::iter(vec![Ok(Bytes::copy_from_slice(text))])
}

/// As part of `POST /v1/messages`; none: nothing definite.
pub async fn with_message(node: &Node, member: &str, letter: &Letter) -> Option<Upload> {
    let now = node.clock.now();
    let mut upload = intake(node).take(announced(), member, body(&letter.text), now).await.ok()?;
    upload.expires = Some(now.plus(DAY));
    Some(upload)
}

/// As a resumable upload, of which `begun` remembers the name that its sender was given.
pub async fn resumed(
    node: &Node,
    member: &Party,
    letter: &Letter,
    begun: &mut Option<DocumentId>,
) -> Option<Upload> {
    let key = member.organisation().key();
    let Some(id) = *begun else {
        let at = node.clock.now();
        let length = Some(letter.text.len() as u64);
        let new = New { member: key, announced: announced(), length, at, expires: at.plus(DAY) };
        *begun = Some(node.uploads.create(new).await.ok()?.state.id);
        return None;
    };
    loop {
        let Some(mut turn) = node.uploads.turn(id, &key).await.ok()? else {
            return recorded(node, member, id, begun).await;
        };
        if turn.state.done.is_some() {
            let mut upload = turn.finished().await.ok()??;
            upload.expires = Some(node.clock.now().plus(DAY));
            node.store.put_upload(&upload).await.ok()?;
            turn.forget().ok()?;
            return Some(upload);
        }
        let rest = letter.text.get(turn.state.offset as usize..).unwrap_or_default();
        let part = rest.len().min(PART);
        count(Tally::Resumed);
        turn.append(body(&rest[..part]), part == rest.len()).await.ok()?;
    }
}

/// What is complete is in the archive; what was swept away must begin again.
async fn recorded(
    node: &Node,
    member: &Party,
    id: DocumentId,
    begun: &mut Option<DocumentId>,
) -> Option<Upload> {
    let caller =
        Caller { member: member.clone(), client_id: "fate".to_owned(), scopes: Vec::new() };
    let found = caller.own(node).uploads(&[id]).await.ok()?;
    if found.is_empty() {
        *begun = None;
    }
    found.into_iter().next()
}
