//! Large ciphertexts: a file each, named by its digest; and content as a stream.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use schemas::digest::Digest;
use tokio::task::{JoinError, JoinHandle};
use uuid::Uuid;

use super::packer::{Job, Packer};
use super::{Buffers, ContentError, Writer};

/// Octets up to which a ciphertext that is being written stays in memory, and then goes to a pack.
const SMALL: usize = 256 * 1024;
/// Octets handed to the disk at once.
const CHUNK: usize = 1 << 20;
/// Octets of a buffer that a reader gets: each is a trip to another thread and back.
const BUFFER: usize = 512 * 1024;

/// Where a large content lies.
pub(super) fn path_of(root: &Path, digest: &Digest) -> PathBuf {
    let name = digest.to_string();
    let part = |range: std::ops::Range<usize>| name.get(range).unwrap_or_default().to_owned();
    root.join(part(0..2)).join(part(2..4)).join(&name)
}

/// A ciphertext under way: in memory while it is small, then in a temporary file.
#[derive(Debug)]
pub(super) struct FileWriter {
    root: PathBuf,
    packer: Arc<Packer>,
    buffer: Vec<u8>,
    spill: Option<Spill>,
}

/// The file of a ciphertext that has grown large; locked, so that another process that cleans up
/// leaves it alone, and removed when dropped.
struct Spill {
    path: PathBuf,
    file: File,
    hash: Context,
    size: u64,
    kept: bool,
}

impl std::fmt::Debug for Spill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spill").field("path", &self.path).field("size", &self.size).finish()
    }
}

impl FileWriter {
    pub(super) const fn new(root: PathBuf, packer: Arc<Packer>) -> Self {
        Self { root, packer, buffer: Vec::new(), spill: None }
    }

    async fn spill(&mut self) -> Result<(), ContentError> {
        let buffer = std::mem::take(&mut self.buffer);
        let spill = self.spill.take();
        let temporary = self.root.join("tmp");
        let spill = blocking(move || {
            let mut spill = match spill {
                Some(spill) => spill,
                None => Spill::create(&temporary)?,
            };
            spill.write(&buffer)?;
            Ok(spill)
        })
        .await?;
        self.spill = Some(spill);
        Ok(())
    }
}

#[async_trait]
impl Writer for FileWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), ContentError> {
        self.buffer.extend_from_slice(&bytes);
        let limit = if self.spill.is_some() { CHUNK } else { SMALL };
        if self.buffer.len() > limit { self.spill().await } else { Ok(()) }
    }

    async fn finish(
        mut self: Box<Self>,
        expected: Option<Digest>,
    ) -> Result<(Digest, u64), ContentError> {
        if self.spill.is_none() {
            let bytes = Bytes::from(std::mem::take(&mut self.buffer));
            let digest = digest_of(&bytes);
            refuse_other(expected, digest)?;
            let size = bytes.len() as u64;
            self.packer.ask(Job::Put(vec![(digest, bytes)])).await?;
            return Ok((digest, size));
        }
        self.spill().await?;
        let Some(spill) = self.spill.take() else {
            return Err(ContentError::Io("a large content lost its file".to_owned()));
        };
        let root = self.root.clone();
        blocking(move || spill.finish(&root, expected)).await
    }
}

impl Spill {
    fn create(directory: &Path) -> Result<Self, ContentError> {
        let path = directory.join(Uuid::new_v4().to_string());
        let file = File::options().write(true).create_new(true).open(&path)?;
        file.lock()?;
        Ok(Self { path, file, hash: Context::new(&SHA256), size: 0, kept: false })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ContentError> {
        self.hash.update(bytes);
        self.file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Flush, rename, flush the directory: at any moment there is nothing or all of it.
    fn finish(
        mut self,
        root: &Path,
        expected: Option<Digest>,
    ) -> Result<(Digest, u64), ContentError> {
        let digest = finished(self.hash.clone());
        refuse_other(expected, digest)?;
        self.file.sync_all()?;
        put_in_place(root, &self.path, &digest)?;
        self.kept = true;
        Ok((digest, self.size))
    }
}

/// Renames a file whose bytes are durable to where its digest belongs.
fn put_in_place(root: &Path, file: &Path, digest: &Digest) -> Result<(), ContentError> {
    let target = path_of(root, digest);
    if let Some(directory) = target.parent() {
        make_directory(root, directory)?;
        fs::rename(file, &target)?;
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Verifies a whole file and takes it over.
pub(super) fn adopt(
    root: &Path,
    path: &Path,
    expected: Digest,
    hashed: Option<Digest>,
) -> Result<(), ContentError> {
    let file = File::open(path)?;
    let digest = match hashed {
        Some(digest) => digest,
        None => digest_of_file(&file)?,
    };
    refuse_other(Some(expected), digest)?;
    file.sync_all()?;
    put_in_place(root, path, &expected)
}

fn digest_of_file(mut file: &File) -> io::Result<Digest> {
    let mut hash = Context::new(&SHA256);
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(finished(hash));
        }
        hash.update(buffer.get(..count).unwrap_or_default());
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed now is removed at the next start.
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Makes `aa/bb` below `root`, each level durable in the one above.
fn make_directory(root: &Path, directory: &Path) -> Result<(), ContentError> {
    if directory.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(directory)?;
    for level in [directory.parent().unwrap_or(root), root] {
        File::open(level)?.sync_all()?;
    }
    Ok(())
}

fn refuse_other(expected: Option<Digest>, digest: Digest) -> Result<(), ContentError> {
    match expected {
        Some(expected) if expected != digest => Err(ContentError::Mismatch(expected)),
        _ => Ok(()),
    }
}

/// Removes temporary files that no living process is writing.
pub(super) fn clean(temporary: &Path) -> io::Result<()> {
    for entry in fs::read_dir(temporary)? {
        let path = entry?.path();
        let Ok(file) = File::open(&path) else { continue };
        if file.try_lock().is_ok() {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// SHA-256.
pub(super) fn digest_of(bytes: &[u8]) -> Digest {
    let mut hash = Context::new(&SHA256);
    hash.update(bytes);
    finished(hash)
}

fn finished(hash: Context) -> Digest {
    Digest::from_slice(hash.finish().as_ref()).unwrap_or_default()
}

/// Runs file work beside the executor.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ContentError> + Send + 'static,
) -> Result<T, ContentError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(cut_short(e)))
}

fn cut_short(error: JoinError) -> ContentError {
    ContentError::Io(format!("file work was cut short: {error}"))
}

/// A part of a file that is being read.
struct Reading {
    file: File,
    left: u64,
    digest: Digest,
    /// Only when all of the content is read.
    hash: Option<Context>,
}

/// Streams `length` octets of a file from `start`. When that is `whole`, the digest is verified
/// before the last buffer is handed out.
pub(super) async fn stream(
    mut file: File,
    start: u64,
    length: u64,
    digest: Digest,
    whole: bool,
) -> Result<Buffers, ContentError> {
    let file = blocking(move || {
        file.seek(SeekFrom::Start(start))?;
        Ok(file)
    })
    .await?;
    let hash = whole.then(|| Context::new(&SHA256));
    let ahead = Ahead::of(Reading { file, left: length, digest, hash });
    Ok(stream::try_unfold(ahead, Ahead::next).boxed())
}

/// The next buffer, which is read while the one before it is used.
struct Ahead(Option<JoinHandle<Result<(Bytes, Reading), ContentError>>>);

impl Ahead {
    fn of(reading: Reading) -> Self {
        Self((reading.left > 0).then(|| tokio::task::spawn_blocking(|| reading.next())))
    }

    async fn next(self) -> Result<Option<(Bytes, Self)>, ContentError> {
        let Some(reading) = self.0 else { return Ok(None) };
        let (buffer, rest) = reading.await.map_err(cut_short)??;
        Ok(Some((buffer, Self::of(rest))))
    }
}

impl Reading {
    fn next(mut self) -> Result<(Bytes, Self), ContentError> {
        let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(BUFFER);
        let mut buffer = Vec::with_capacity(take);
        if (&mut self.file).take(take as u64).read_to_end(&mut buffer)? < take {
            return Err(ContentError::Mismatch(self.digest));
        }
        self.left -= take as u64;
        if let Some(hash) = &mut self.hash {
            hash.update(&buffer);
            if self.left == 0 && finished(hash.clone()) != self.digest {
                return Err(ContentError::Mismatch(self.digest));
            }
        }
        Ok((Bytes::from(buffer), self))
    }
}
