//! Content that travels by itself: in parts, before its dispatch, no faster than its reader takes
//! it, and each part once.
//!
//! - **Back-pressure.** Before each window of parts the lane is asked how much waits in it; past
//!   [`AHEAD`] nothing more is published. So a recipient's node that is slow or away slows down the
//!   sender's, on every backbone, and no broker ever holds a gigabyte of one document. A publication
//!   that finds no room for [`PATIENCE`] gives its turn to others and comes again.
//! - **Fairness.** One window is on its way to a road at a time, first come first served, and the
//!   next is made ready meanwhile. While messages are under way a window is a single part, and the
//!   road rests after it as long as it took ([`crate::bustle`]).
//! - **Resumption.** What the broker has confirmed is written down ([`Journal`]), so that after a
//!   `kill -9` at most one window travels again; after a power cut, at most [`FLUSHED`]
//!   octets and a window.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use broker_adapter::{BackboneError, Destination, Frame, Lane, Outcome};
use bytes::BytesMut;
use exchange_store::content::{Buffers, ContentError};
use futures::{StreamExt as _, future};
use schemas::bytes::Octets;
use schemas::digest::Digest;
use schemas::dispatch::{ContentPart, ContentRef};
use schemas::frame::{self, CONTENT_CHUNK, ContentFrame};
use schemas::ids::NodeId;
use tokio::time::Instant;

use super::frames::{Unmade, frame_of};
use crate::engine::publication::{Payload, Publication};
use crate::node::Node;
use crate::roads::Road;

/// Parts that are on their way to a broker at once: 4 MiB, and as many are made ready meanwhile.
const WINDOW: usize = 8;
/// Parts that may wait in a lane: 32 MiB.
const AHEAD: u64 = 64;
/// Octets of a content between two flushes of its journal: 32 MiB.
const FLUSHED: u64 = 32 << 20;
/// Longest wait for room in a lane before others get their turn.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks at a lane that is full.
const LOOK: Duration = Duration::from_millis(20);
/// Journals that nobody wrote to for so long belong to nothing any more.
const FORGOTTEN: Duration = Duration::from_secs(31 * 24 * 3600);

/// Publishes the ciphertexts of a dispatch. They are on the backbone when this returns.
pub(super) async fn publish(
    node: &Node,
    publication: &Publication,
    content: &[ContentRef],
) -> Result<(), Unmade> {
    let road = node.road_to(&publication.to);
    for one in content {
        let mut journal = Journal::open(&dir(node), publication, &one.cipher_sha256)?;
        if journal.confirmed < one.cipher_size {
            send(node, &road, publication, one, &mut journal).await?;
        }
    }
    Ok(())
}

/// After a dispatch was confirmed: its journals are of no more use.
pub(super) fn done(node: &Node, publication: &Publication) {
    if let Payload::Dispatch { content, inline: false, .. } = &publication.what {
        for one in content {
            let path = path_of(&dir(node), publication, &one.cipher_sha256);
            if let Err(error) = fs::remove_file(&path) {
                tracing::debug!(%error, path = %path.display(), "a journal stays");
            }
        }
    }
}

/// Removes journals of publications that were never done.
pub(super) fn sweep(node: &Node) {
    for entry in fs::read_dir(dir(node)).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|m| m.elapsed().ok());
        if age.is_some_and(|age| age > FORGOTTEN) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn dir(node: &Node) -> PathBuf {
    node.config.content.dir.join("sent")
}

/// A window is made ready while the one before it is on its way.
async fn send(
    node: &Node,
    road: &Road,
    publication: &Publication,
    content: &ContentRef,
    journal: &mut Journal,
) -> Result<(), Unmade> {
    let offset = journal.confirmed;
    // A piece of it: each part is sealed with its digest, and the reader verifies the whole.
    let rest = content.cipher_size.saturating_sub(offset);
    let stream = node.content.read(&content.cipher_sha256, offset, Some(rest)).await?;
    let mut parts = Parts { stream, rest: BytesMut::new(), offset, ended: false };
    let mut lane = ContentLane { node, road, to: &publication.to, seen: 0 };
    let mut next = parts.window(node, publication, content).await?;
    while !next.is_empty() {
        let end = parts.offset;
        let on_its_way = lane.confirm(next);
        let made_ready = parts.window(node, publication, content);
        let (confirmed, following) = future::join(on_its_way, made_ready).await;
        confirmed?;
        journal.confirm(end).await?;
        next = following?;
    }
    Ok(())
}

/// A content, cut into parts from an offset on.
struct Parts {
    stream: Buffers,
    /// Read, and not yet part of a part.
    rest: BytesMut,
    offset: u64,
    ended: bool,
}

impl Parts {
    /// The next [`WINDOW`] parts, or as many as are left; one while there is bustle.
    async fn window(
        &mut self,
        node: &Node,
        publication: &Publication,
        content: &ContentRef,
    ) -> Result<Vec<(NodeId, Lane, Frame)>, Unmade> {
        let most = if node.bustle.is_on() { 1 } else { WINDOW };
        let mut window = Vec::with_capacity(most);
        while window.len() < most {
            let Some(part) = self.part().await? else { break };
            let length = part.len() as u64;
            window.push(content_frame(node, publication, content, self.offset, part)?);
            self.offset += length;
        }
        Ok(window)
    }

    async fn part(&mut self) -> Result<Option<Vec<u8>>, Unmade> {
        while self.rest.len() < CONTENT_CHUNK && !self.ended {
            match self.stream.next().await.transpose()? {
                // As the store reads: not copied.
                Some(octets) if self.rest.is_empty() && octets.len() == CONTENT_CHUNK => {
                    return Ok(Some(octets.into()));
                }
                Some(octets) => self.rest.extend_from_slice(&octets),
                None => self.ended = true,
            }
        }
        let part = self.rest.split_to(self.rest.len().min(CONTENT_CHUNK));
        Ok((!part.is_empty()).then(|| part.to_vec()))
    }
}

fn content_frame(
    node: &Node,
    publication: &Publication,
    content: &ContentRef,
    offset: u64,
    part: Vec<u8>,
) -> Result<(NodeId, Lane, Frame), Unmade> {
    let what = ContentPart {
        version: 1,
        document_id: content.document_id,
        cipher_sha256: content.cipher_sha256,
        cipher_size: content.cipher_size,
        offset,
        part_sha256: signing::digest::sha256(&part),
    };
    let broken = |why: String| Unmade::Broken(why);
    let json = serde_json::to_vec(&what).map_err(|e| broken(e.to_string()))?;
    let sealed = node.keys.sealer.borrow().clone().seal(&json, node.clock.now(), None);
    let seal = Octets(sealed.map_err(|e| broken(e.to_string()))?.der);
    let body = ContentFrame { seal, part: Octets(part) };
    let id = format!("content-{}-{offset}", content.cipher_sha256);
    let frame = frame_of(node, publication, id, frame::CONTENT, frame::encode(&body));
    Ok((publication.to.clone(), Lane::Content, frame))
}

/// The content lane of a neighbour, for one content.
struct ContentLane<'a> {
    node: &'a Node,
    road: &'a Road,
    to: &'a NodeId,
    /// Parts for which there was room at the last look.
    seen: usize,
}

impl ContentLane<'_> {
    /// Publishes one window, when it is its turn and the lane has room.
    async fn confirm(&mut self, frames: Vec<(NodeId, Lane, Frame)>) -> Result<(), Unmade> {
        let count = frames.len();
        self.room(count).await?;
        let _turn = self.road.content.acquire().await;
        let began = Instant::now();
        let outcomes = self.road.publish(frames).await;
        let failed = outcomes.into_iter().find(|o| !matches!(o, Outcome::Confirmed));
        metrics::counter!("pli_content_parts_published_total").increment(count as u64);
        if let Some(outcome) = failed {
            let why = format!("content frame: {outcome:?}");
            return Err(Unmade::Content(ContentError::Io(why)));
        }
        crate::telemetry::figures::published(Lane::Content, count as u64);
        self.node.bustle.give_way(began).await;
        Ok(())
    }

    /// Waits until the reader has caught up. One look counts for a whole window, however small the
    /// steps are in which it goes out.
    async fn room(&mut self, count: usize) -> Result<(), Unmade> {
        if let Some(left) = self.seen.checked_sub(count) {
            self.seen = left;
            return Ok(());
        }
        let lane = Destination { node: self.road.lanes_of(self.to), lane: Lane::Content };
        let begin = Instant::now();
        loop {
            match self.road.backbone.waiting(&lane).await {
                Ok(waiting) if waiting < AHEAD => break,
                Ok(_) if begin.elapsed() >= PATIENCE => return Err(Unmade::Full(self.to.clone())),
                Ok(_) => tokio::time::sleep(LOOK).await,
                // Publishing says better what that means.
                Err(BackboneError::UnknownLane(_)) => break,
                Err(error) => {
                    let why =
                        format!("the content lane of {} cannot be looked at: {error}", self.to);
                    return Err(Unmade::Content(ContentError::Io(why)));
                }
            }
        }
        self.seen = WINDOW.saturating_sub(count);
        Ok(())
    }
}

/// How far a content is confirmed by the broker: offsets of 8 octets, big-endian, one after
/// another. The last whole one counts.
#[derive(Debug)]
struct Journal {
    file: Arc<File>,
    confirmed: u64,
    flushed: u64,
}

impl Journal {
    fn open(dir: &Path, publication: &Publication, digest: &Digest) -> Result<Self, Unmade> {
        Self::open_at(dir, &path_of(dir, publication, digest)).map_err(disk)
    }

    fn open_at(dir: &Path, path: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (entries, torn) = bytes.as_chunks::<8>();
        if !torn.is_empty() {
            file.set_len(8 * entries.len() as u64)?;
        }
        let confirmed = entries.last().map_or(0, |entry| u64::from_be_bytes(*entry));
        Ok(Self { file: Arc::new(file), confirmed, flushed: confirmed })
    }

    async fn confirm(&mut self, offset: u64) -> Result<(), Unmade> {
        let file = Arc::clone(&self.file);
        let flush = offset.saturating_sub(self.flushed) >= FLUSHED;
        // A flush takes as long as the disk likes: not on a thread of the runtime.
        let work = move || {
            (&*file).write_all(&offset.to_be_bytes())?;
            if flush { file.sync_data() } else { Ok(()) }
        };
        let written = tokio::task::spawn_blocking(work).await;
        written.map_err(io::Error::other).flatten().map_err(disk)?;
        self.confirmed = offset;
        if flush {
            self.flushed = offset;
        }
        Ok(())
    }
}

/// One publication to one node has its own: the same delivery may be sent elsewhere later.
fn path_of(dir: &Path, publication: &Publication, digest: &Digest) -> PathBuf {
    dir.join(format!("{}-{}-{digest}", publication.delivery, publication.to))
}

fn disk(error: io::Error) -> Unmade {
    Unmade::Content(ContentError::from(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_journal_goes_on_after_the_last_whole_entry() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sent/one");
        let open = || Journal::open_at(path.parent().unwrap(), &path).unwrap();
        let mut journal = open();
        assert_eq!(journal.confirmed, 0);
        journal.confirm(4 << 20).await.unwrap();
        journal.confirm(8 << 20).await.unwrap();
        drop(journal);
        assert_eq!(open().confirmed, 8 << 20);
        // A power cut in the middle of an entry.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(&[0, 0, 1]).unwrap();
        let mut journal = open();
        assert_eq!(journal.confirmed, 8 << 20);
        journal.confirm(12 << 20).await.unwrap();
        drop(journal);
        assert_eq!(open().confirmed, 12 << 20);
    }
}
