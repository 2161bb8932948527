//! Content that travels in parts: each part is written where it belongs, in whatever order it
//! comes, and the whole goes to the content store when nothing is missing.
//!
//! Each part comes under the seal of the node that publishes it ([`Checker::part`]). Below the
//! directory, `<digest>-<size>-<node>` holds the bytes that one node vouches for, so that no other
//! can spoil them, and `<digest>-<size>-<node>.<writer>.parts` the
//! offsets that a process has made durable there, 8 octets each, big-endian. A part is acknowledged
//! when both files are flushed, so that a restart goes on where it was. Replicas of a node share
//! the directory: what has arrived is the union of all journals, and who completes it sees it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use exchange_store::content::{Content, ContentError};
use schemas::digest::Digest;
use schemas::dispatch::ContentPart;
use schemas::frame::{self, CONTENT_CHUNK, ContentFrame};
use schemas::ids::NodeId;
use schemas::problem::Code;
use signing::digest::Sha256Stream;
use uuid::Uuid;

use crate::inbound::Unbelieved;
use crate::inbound::check::Checker;

/// Contents under way at one node.
#[derive(Debug)]
pub struct Assembly {
    dir: PathBuf,
    content: Arc<dyn Content>,
    max_size: u64,
    /// Tells the journals of this process apart.
    writer: Uuid,
    open: HashMap<Key, Partial>,
}

/// A content under way, by digest and size, and the node that publishes it.
type Key = (Digest, u64, NodeId);

/// Parts of one content that came together.
enum Lot {
    /// The store has it.
    There,
    Missing(Vec<SealedPart>),
}

/// A part whose seal verified.
#[derive(Clone, Debug)]
pub struct SealedPart {
    /// What was sealed.
    pub what: ContentPart,
    /// By whom.
    pub by: NodeId,
    /// Its bytes, which have the digest that was sealed.
    pub bytes: Vec<u8>,
}

impl Checker {
    /// Opens the body of a content frame.
    ///
    /// # Errors
    /// [`Unbelieved`] when it has to be set aside.
    pub fn part(&self, body: &[u8]) -> Result<SealedPart, Unbelieved> {
        let malformed = |e: String| Unbelieved::new(Code::FrameMalformed, e);
        let ContentFrame { seal, part } =
            frame::decode(body).map_err(|e| malformed(e.to_string()))?;
        let sealed = self.open(seal.0)?;
        let what: ContentPart = serde_json::from_slice(&sealed.opened.content)
            .map_err(|e| malformed(format!("not about a part: {e}")))?;
        if signing::digest::sha256(&part.0) != what.part_sha256 {
            let why = "the part is not the one that was sealed";
            return Err(Unbelieved::new(Code::DocumentCorrupted, why));
        }
        Ok(SealedPart { what, by: sealed.by, bytes: part.0 })
    }
}

/// One content under way.
#[derive(Debug)]
struct Partial {
    path: PathBuf,
    file: File,
    journal: File,
    size: u64,
    parts: HashSet<u64>,
    fresh: Vec<u64>,
    running: Option<Running>,
}

/// The digest of what was written so far, as long as it comes in order and from this process alone:
/// then nothing has to be read again in the end.
#[derive(Default)]
struct Running {
    hash: Sha256Stream,
    end: u64,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("end", &self.end).finish_non_exhaustive()
    }
}

/// What became of a part: whether its content is now complete, or why it is set aside.
pub type Placed = Result<bool, Unbelieved>;

impl Assembly {
    /// Parts are kept below `dir`, with those of earlier processes and of other replicas.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn new(dir: PathBuf, content: Arc<dyn Content>, max_size: u64) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        Ok(Self { dir, content, max_size, writer: Uuid::new_v4(), open: HashMap::new() })
    }

    /// Places parts and makes them durable; one answer per part, same order.
    ///
    /// # Errors
    /// When the disk or the content store does not work: nothing may be acknowledged.
    pub async fn place(&mut self, parts: Vec<SealedPart>) -> Result<Vec<Placed>, ContentError> {
        let mut placed = Vec::with_capacity(parts.len());
        let mut lots: BTreeMap<Key, Lot> = BTreeMap::new();
        for part in parts {
            if let Err(why) = self.check(&part) {
                placed.push(Err(why));
                continue;
            }
            let key = (part.what.cipher_sha256, part.what.cipher_size, part.by.clone());
            let lot = match lots.entry(key) {
                Entry::Occupied(lot) => lot.into_mut(),
                Entry::Vacant(lot) => {
                    let there = self.content.size(&lot.key().0).await?.is_some();
                    lot.insert(if there { Lot::There } else { Lot::Missing(Vec::new()) })
                }
            };
            placed.push(Ok(matches!(lot, Lot::There)));
            if let Lot::Missing(parts) = lot {
                parts.push(part);
            }
        }
        let mut any = false;
        for (key, lot) in lots {
            match lot {
                Lot::There => drop(self.open.remove(&key)),
                Lot::Missing(parts) => any |= self.keep(key, parts).await?,
            }
        }
        Ok(placed.into_iter().map(|p| p.map(|done| done || any)).collect())
    }

    fn check(&self, part: &SealedPart) -> Result<(), Unbelieved> {
        let bad = |what: &str| Err(Unbelieved::new(Code::FrameMalformed, what));
        let chunk = CONTENT_CHUNK as u64;
        let (frame, length) = (&part.what, part.bytes.len() as u64);
        if frame.cipher_size > self.max_size {
            return bad("the content is larger than this node takes");
        }
        if !frame.offset.is_multiple_of(chunk) || frame.offset >= frame.cipher_size {
            return bad("the part lies outside its content");
        }
        if length != chunk.min(frame.cipher_size - frame.offset) {
            return bad("the part has not the size of its place");
        }
        Ok(())
    }

    /// Writes parts of one content and flushes them; whether nothing is missing any more.
    async fn keep(&mut self, key: Key, parts: Vec<SealedPart>) -> Result<bool, ContentError> {
        let known = self.open.remove(&key);
        if known.is_none() {
            // What another replica has completed is not there any more.
            self.open.retain(|_, partial| partial.path.exists());
        }
        let (dir, writer, of) = (self.dir.clone(), self.writer, key.clone());
        // A flush takes as long as the disk likes. When it fails, the next attempt opens it anew.
        let work = move || {
            let mut partial = match known {
                Some(partial) => partial,
                None => Partial::open(&dir, &of, writer)?,
            };
            for part in parts {
                partial.write(&part)?;
            }
            let complete = partial.flush()?;
            io::Result::Ok((partial, complete))
        };
        let cut_short = |e: tokio::task::JoinError| ContentError::Io(e.to_string());
        let (partial, complete) =
            tokio::task::spawn_blocking(work).await.map_err(cut_short)?.map_err(disk)?;
        if complete {
            self.complete(key.0, &key.2, partial).await?;
        } else {
            self.open.insert(key, partial);
        }
        Ok(complete)
    }

    /// Hands a complete content to the store. Parts that do not match their digest are forgotten:
    /// the sender's node publishes them again, or its timer runs out.
    async fn complete(
        &self,
        digest: Digest,
        by: &NodeId,
        mut partial: Partial,
    ) -> Result<(), ContentError> {
        let hashed = partial.hashed();
        match self.content.adopt(&partial.path, digest, hashed).await {
            Ok(()) => {}
            Err(ContentError::Mismatch(_)) => {
                tracing::warn!(%digest, %by, "sealed parts do not make up their content");
            }
            // Another replica may have been faster.
            Err(e) if self.content.size(&digest).await?.is_none() => return Err(e),
            Err(_) => {}
        }
        partial.forget().map_err(disk)
    }
}

impl Partial {
    fn open(dir: &Path, key: &Key, writer: Uuid) -> io::Result<Self> {
        let path = dir.join(format!("{}-{}-{}", key.0, key.1, key.2));
        let mut open = OpenOptions::new();
        open.read(true).create(true);
        let file = open.clone().write(true).truncate(false).open(&path)?;
        let journal = open.append(true).open(path.with_extension(format!("{writer}.parts")))?;
        let parts = arrived(&path)?;
        let running = parts.is_empty().then(Running::default);
        Ok(Self { path, file, journal, size: key.1, parts, fresh: Vec::new(), running })
    }

    fn write(&mut self, part: &SealedPart) -> io::Result<()> {
        let offset = part.what.offset;
        self.file.write_all_at(&part.bytes, offset)?;
        self.fresh.push(offset);
        self.running = self.running.take().and_then(|running| running.go_on(offset, &part.bytes));
        Ok(())
    }

    /// The digest of the whole, when this process alone has written all of it, in order and once.
    fn hashed(&mut self) -> Option<Digest> {
        let alone = journals(&self.path).is_ok_and(|journals| journals.len() == 1);
        let running = self.running.take().filter(|running| alone && running.end == self.size)?;
        Some(running.hash.finish())
    }

    /// Makes what was written durable; returns whether nothing is missing any more.
    fn flush(&mut self) -> io::Result<bool> {
        self.file.sync_data()?;
        let fresh = std::mem::take(&mut self.fresh);
        let new = fresh.into_iter().filter(|offset| self.parts.insert(*offset));
        let entries: Vec<u8> = new.flat_map(u64::to_be_bytes).collect();
        self.journal.write_all(&entries)?;
        self.journal.sync_data()?;
        // Of several processes, the one that flushes last sees all that the others have flushed.
        self.parts.extend(arrived(&self.path)?);
        Ok(self.parts.len() as u64 == self.size.div_ceil(CONTENT_CHUNK as u64))
    }

    fn forget(self) -> io::Result<()> {
        for path in journals(&self.path)?.into_iter().chain([self.path]) {
            match fs::remove_file(path) {
                // Another replica has completed it, too.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Running {
    /// With what is written next; none when that is not what comes next.
    fn go_on(mut self, offset: u64, bytes: &[u8]) -> Option<Self> {
        (offset == self.end).then(|| {
            self.hash.update(bytes);
            self.end += bytes.len() as u64;
            self
        })
    }
}

/// What all processes together have made durable; a torn last entry does not count.
fn arrived(path: &Path) -> io::Result<HashSet<u64>> {
    let mut parts = HashSet::new();
    for journal in journals(path)? {
        let bytes = match fs::read(journal) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            read => read?,
        };
        parts.extend(bytes.as_chunks::<8>().0.iter().map(|entry| u64::from_be_bytes(*entry)));
    }
    Ok(parts)
}

/// The journals of a content under way.
fn journals(path: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?.file_name();
        let text = entry.to_str().unwrap_or_default();
        if text.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')) {
            found.push(dir.join(&entry));
        }
    }
    Ok(found)
}

fn disk(e: io::Error) -> ContentError {
    match e.kind() {
        io::ErrorKind::StorageFull => ContentError::Full(e.to_string()),
        _ => ContentError::Io(e.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use exchange_store::content::FsContent;
    use futures::TryStreamExt as _;
    use schemas::ids::DocumentId;

    use super::*;

    const SIZE: usize = 3 * CONTENT_CHUNK + 5;

    fn whole() -> Vec<u8> {
        (0..SIZE).map(|i| (i % 251) as u8).collect()
    }

    fn part(n: usize) -> SealedPart {
        let bytes = whole();
        let at = n * CONTENT_CHUNK;
        let cut = bytes[at..SIZE.min(at + CONTENT_CHUNK)].to_vec();
        let what = ContentPart {
            version: 1,
            document_id: DocumentId(Uuid::nil()),
            cipher_sha256: signing::digest::sha256(&bytes),
            cipher_size: SIZE as u64,
            offset: at as u64,
            part_sha256: signing::digest::sha256(&cut),
        };
        SealedPart { what, by: "etat".parse().unwrap(), bytes: cut }
    }

    struct Ground {
        dir: tempfile::TempDir,
        content: Arc<dyn Content>,
    }

    impl Ground {
        async fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let content = Arc::new(FsContent::open(dir.path().join("content")).await.unwrap());
            Self { dir, content }
        }

        fn process(&self) -> Assembly {
            let parts = self.dir.path().join("parts");
            Assembly::new(parts, Arc::clone(&self.content), 1 << 30).unwrap()
        }

        async fn assert_whole(&self) {
            let digest = signing::digest::sha256(&whole());
            let stream = self.content.read(&digest, 0, None).await.unwrap();
            let got: Vec<Bytes> = stream.try_collect().await.unwrap();
            assert_eq!(got.concat(), whole());
            let left = fs::read_dir(self.dir.path().join("parts")).unwrap().count();
            assert_eq!(left, 0, "parts are left");
        }
    }

    #[tokio::test]
    async fn parts_in_any_order_twice_and_over_restarts_become_the_whole() {
        let ground = Ground::new().await;
        for n in [2, 0, 2, 3] {
            let placed = ground.process().place(vec![part(n)]).await.unwrap();
            assert!(matches!(placed.as_slice(), [Ok(false)]), "{placed:?}");
        }
        let placed = ground.process().place(vec![part(1), part(0)]).await.unwrap();
        assert!(placed.iter().all(|p| matches!(p, Ok(true))), "{placed:?}");
        ground.assert_whole().await;
    }

    #[tokio::test]
    async fn replicas_that_share_the_parts_complete_the_whole_together() {
        let ground = Ground::new().await;
        let mut two = [ground.process(), ground.process()];
        for n in 0..4 {
            two[n % 2].place(vec![part(n)]).await.unwrap();
        }
        ground.assert_whole().await;
        // Redelivered to the one that did not complete it.
        let placed = two[0].place(vec![part(2)]).await.unwrap();
        assert!(matches!(placed.as_slice(), [Ok(true)]), "{placed:?}");
        ground.assert_whole().await;
    }

    #[tokio::test]
    async fn a_torn_journal_and_a_forged_size_do_no_harm() {
        let ground = Ground::new().await;
        let mut forged = part(0);
        forged.what.cipher_size = (SIZE + CONTENT_CHUNK) as u64;
        let digest = forged.what.cipher_sha256;
        ground.process().place(vec![forged, part(0), part(1)]).await.unwrap();
        let path = ground.dir.path().join(format!("parts/{digest}-{SIZE}-etat"));
        for journal in journals(&path).unwrap() {
            OpenOptions::new().append(true).open(journal).unwrap().write_all(&[0, 0, 7]).unwrap();
        }
        ground.process().place(vec![part(2), part(3)]).await.unwrap();
        assert_eq!(ground.content.size(&digest).await.unwrap(), Some(SIZE as u64));
    }

    #[tokio::test]
    async fn false_parts_of_one_node_do_not_spoil_the_true_ones_of_another() {
        let ground = Ground::new().await;
        let mut wrong = part(3);
        wrong.bytes[0] ^= 1;
        wrong.by = "cd-34".parse().unwrap();
        let mut process = ground.process();
        process.place(vec![part(0), part(1), part(2), wrong]).await.unwrap();
        let digest = part(0).what.cipher_sha256;
        assert_eq!(ground.content.size(&digest).await.unwrap(), None);
        process.place(vec![part(3)]).await.unwrap();
        assert_eq!(ground.content.size(&digest).await.unwrap(), Some(SIZE as u64));
    }

    fn false_part(n: usize) -> SealedPart {
        let mut wrong = part(n);
        wrong.bytes[0] ^= 1;
        wrong
    }

    /// Whatever the digest is taken from, what was written or what lies there.
    #[tokio::test]
    async fn false_parts_of_the_same_node_are_forgotten_with_the_true_ones() {
        let digest = part(0).what.cipher_sha256;
        for spoiled in [
            vec![part(0), part(1), part(2), false_part(3)],
            vec![part(0), part(1), false_part(1), part(2), part(3)],
            vec![part(0), part(1), part(2), false_part(0), part(3)],
            vec![part(3), false_part(2), part(1), part(0)],
        ] {
            let ground = Ground::new().await;
            let mut process = ground.process();
            process.place(spoiled).await.unwrap();
            assert_eq!(ground.content.size(&digest).await.unwrap(), None);
            for n in 0..4 {
                process.place(vec![part(n)]).await.unwrap();
            }
            ground.assert_whole().await;
        }
    }

    #[tokio::test]
    async fn what_came_in_order_to_one_process_is_not_read_again() {
        let key = (part(0).what.cipher_sha256, SIZE as u64, part(0).by);
        let hashed = |order: [usize; 4], processes: usize| {
            let dir = tempfile::tempdir().unwrap();
            let open = || Partial::open(dir.path(), &key, Uuid::new_v4()).unwrap();
            let mut all: Vec<Partial> = (0..processes).map(|_| open()).collect();
            let first = all.first_mut().unwrap();
            order.into_iter().for_each(|n| first.write(&part(n)).unwrap());
            first.hashed()
        };
        assert_eq!(hashed([0, 1, 2, 3], 1), Some(key.0));
        assert_eq!(hashed([0, 2, 1, 3], 1), None);
        // The other may have written anything.
        assert_eq!(hashed([0, 1, 2, 3], 2), None);
    }
}
