//! Content that travels in parts: each part is written where it belongs, in whatever order it
//! comes, and the whole goes to the content store when nothing is missing.
//!
//! Below its directory, `<digest>` holds the bytes and `<digest>.parts` the offsets that are
//! durable, 8 octets each, big-endian, after the size of the whole. A part is acknowledged when
//! both files are flushed, so that a restart goes on where it was.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use exchange_store::content::{Content, ContentError};
use schemas::digest::Digest;
use schemas::frame::{CONTENT_CHUNK, ContentFrame};
use schemas::problem::Code;

use crate::inbound::Unbelieved;

/// Buffers between the file and the content store.
const BUFFER: usize = 64 * 1024;

/// Contents under way at one node.
#[derive(Debug)]
pub struct Assembly {
    dir: PathBuf,
    content: Arc<dyn Content>,
    max_size: u64,
    open: HashMap<Digest, Partial>,
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
}

/// What became of a part: whether its content is now complete, or why it is set aside.
pub type Placed = Result<bool, Unbelieved>;

impl Assembly {
    /// Parts are kept below `dir`; those of an earlier process are taken over.
    ///
    /// # Errors
    /// When the directory cannot be made or read.
    pub fn new(dir: PathBuf, content: Arc<dyn Content>, max_size: u64) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        let mut open = HashMap::new();
        for entry in fs::read_dir(&dir)? {
            let name = entry?.file_name();
            if let Some(digest) = name.to_str().and_then(|n| n.parse::<Digest>().ok()) {
                match Partial::resume(&dir.join(name)) {
                    Ok(partial) => drop(open.insert(digest, partial)),
                    Err(error) => tracing::warn!(%digest, %error, "parts cannot be taken over"),
                }
            }
        }
        Ok(Self { dir, content, max_size, open })
    }

    /// Places parts and makes them durable; one answer per part, same order.
    ///
    /// # Errors
    /// When the disk or the content store does not work: nothing may be acknowledged.
    pub async fn place(&mut self, frames: Vec<ContentFrame>) -> Result<Vec<Placed>, ContentError> {
        let mut placed = Vec::with_capacity(frames.len());
        let mut touched = HashSet::new();
        for frame in frames {
            let digest = frame.cipher_sha256;
            if let Err(e) = self.check(&frame) {
                placed.push(Err(e));
            } else if self.content.size(&digest).await?.is_some() {
                placed.push(Ok(true));
            } else {
                // Local writes of at most one frame: not worth a thread of their own.
                self.write(&frame).map_err(disk)?;
                touched.insert(digest);
                placed.push(Ok(false));
            }
        }
        let mut complete = false;
        for digest in touched {
            if let Some(partial) = self.open.get_mut(&digest) {
                partial.flush().map_err(disk)?;
                complete = partial.is_complete();
            }
            if complete {
                self.complete(digest).await?;
            }
        }
        Ok(placed.into_iter().map(|p| p.map(|done| done || complete)).collect())
    }

    fn check(&self, frame: &ContentFrame) -> Result<(), Unbelieved> {
        let bad = |what: &str| Err(Unbelieved::new(Code::FrameMalformed, what));
        let chunk = CONTENT_CHUNK as u64;
        let length = frame.part.0.len() as u64;
        if frame.cipher_size > self.max_size {
            return bad("the content is larger than this node takes");
        }
        if !frame.offset.is_multiple_of(chunk) || frame.offset >= frame.cipher_size {
            return bad("the part lies outside its content");
        }
        if length != chunk.min(frame.cipher_size - frame.offset) {
            return bad("the part has not the size of its place");
        }
        match self.open.get(&frame.cipher_sha256) {
            Some(partial) if partial.size != frame.cipher_size => bad("the size has changed"),
            _ => Ok(()),
        }
    }

    fn write(&mut self, frame: &ContentFrame) -> io::Result<()> {
        let digest = frame.cipher_sha256;
        let partial = match self.open.entry(digest) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(slot) => {
                let path = self.dir.join(digest.to_string());
                slot.insert(Partial::begin(&path, frame.cipher_size)?)
            }
        };
        partial.file.write_all_at(&frame.part.0, frame.offset)?;
        partial.fresh.push(frame.offset);
        Ok(())
    }

    /// Hands a complete content to the store. Parts that do not match their digest are forgotten:
    /// the sender's node publishes them again, or its timer runs out.
    async fn complete(&mut self, digest: Digest) -> Result<(), ContentError> {
        let Some(partial) = self.open.get(&digest) else {
            return Ok(());
        };
        match copy(&partial.path, self.content.as_ref(), digest).await {
            Ok(()) => {}
            Err(ContentError::Mismatch(_)) => {
                tracing::warn!(%digest, "the parts of a content do not match its digest");
            }
            Err(e) => return Err(e),
        }
        if let Some(partial) = self.open.remove(&digest) {
            partial.forget();
        }
        Ok(())
    }
}

impl Partial {
    fn begin(path: &Path, size: u64) -> io::Result<Self> {
        let file = new_file(path)?;
        let mut journal = new_file(&journal_of(path))?;
        journal.write_all(&size.to_be_bytes())?;
        Ok(Self {
            path: path.to_owned(),
            file,
            journal,
            size,
            parts: HashSet::new(),
            fresh: Vec::new(),
        })
    }

    /// Reads the journal of an earlier process; a torn last entry does not count.
    fn resume(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut journal = OpenOptions::new().read(true).append(true).open(journal_of(path))?;
        let mut bytes = Vec::new();
        journal.read_to_end(&mut bytes)?;
        let mut entries = bytes.as_chunks::<8>().0.iter().map(|entry| u64::from_be_bytes(*entry));
        let size = entries.next().ok_or(io::ErrorKind::UnexpectedEof)?;
        let parts: HashSet<u64> = entries.collect();
        journal.set_len(8 * (parts.len() as u64 + 1))?;
        Ok(Self { path: path.to_owned(), file, journal, size, parts, fresh: Vec::new() })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        let fresh = std::mem::take(&mut self.fresh);
        let new = fresh.into_iter().filter(|offset| self.parts.insert(*offset));
        let entries: Vec<u8> = new.flat_map(u64::to_be_bytes).collect();
        self.journal.write_all(&entries)?;
        self.journal.sync_data()
    }

    fn is_complete(&self) -> bool {
        self.parts.len() as u64 == self.size.div_ceil(CONTENT_CHUNK as u64)
    }

    fn forget(self) {
        for path in [&self.path, &journal_of(&self.path)] {
            if let Err(error) = fs::remove_file(path) {
                tracing::warn!(path = %path.display(), %error, "parts cannot be removed");
            }
        }
    }
}

fn journal_of(path: &Path) -> PathBuf {
    path.with_extension("parts")
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)
}

async fn copy(path: &Path, content: &dyn Content, digest: Digest) -> Result<(), ContentError> {
    let mut writer = content.begin().await?;
    let mut reader = tokio::fs::File::open(path).await.map_err(disk)?;
    loop {
        let mut buffer = vec![0; BUFFER];
        let n = tokio::io::AsyncReadExt::read(&mut reader, &mut buffer).await.map_err(disk)?;
        if n == 0 {
            break;
        }
        buffer.truncate(n);
        writer.write(Bytes::from(buffer)).await?;
    }
    writer.finish(Some(digest)).await.map(drop)
}

fn disk(e: io::Error) -> ContentError {
    match e.kind() {
        io::ErrorKind::StorageFull => ContentError::Full(e.to_string()),
        _ => ContentError::Io(e.to_string()),
    }
}
