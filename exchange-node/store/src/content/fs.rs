//! Content on a file system.
//!
//! ```text
//! DIR/packs/<writer>/lock          held by the process that appends there
//! DIR/packs/<writer>/<pack>.pack   small ciphertexts (see `record`)
//! DIR/packs/<writer>/<pack>.table  where they lie (see `table`)
//! DIR/aa/bb/<digest>               large ciphertexts
//! DIR/tmp/                         large ciphertexts under way
//! ```
//! Replicas of a node may share DIR: each appends to a directory of its own, adopts the one of a
//! process that is gone, and reads all of them. A kill at any octet leaves at worst a tail that
//! nobody was told about, which is cut at the next start, and temporary files, which are removed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use schemas::digest::Digest;
use uuid::Uuid;

use super::index::Location;
use super::large::{self, FileWriter, blocking, digest_of};
use super::lately::Lately;
use super::packer::{self, Job, PACK_LIMIT, Packer, Shared};
use super::record::{HEADER, HEADER_LEN, Record};
use super::{Buffers, Content, ContentError, Writer};

/// Most octets of one item of [`Content::put_all`].
const MAX_SMALL: usize = 1 << 20;
/// Octets that are hashed where they are: in less time than the way to another thread takes.
const AT_ONCE: usize = 32 << 10;

/// Content on a file system.
#[derive(Debug)]
pub struct FsContent {
    places: Places,
    packer: Arc<Packer>,
    lately: Lately,
    /// Locked as long as this process appends to its directory. Dropped after the packer.
    _lock: File,
}

/// Directories, and the index of packs.
#[derive(Clone, Debug)]
struct Places {
    root: PathBuf,
    packs: PathBuf,
    home: PathBuf,
    shared: Shared,
}

impl FsContent {
    /// Opens a directory, making it if need be: reads the headers of all packs, cuts torn tails,
    /// removes what was under way.
    ///
    /// # Errors
    /// [`ContentError::Full`] or [`ContentError::Io`] as the file system says.
    pub async fn open(dir: impl Into<PathBuf>) -> Result<Self, ContentError> {
        let root = dir.into();
        blocking(move || Self::open_now(root, PACK_LIMIT)).await
    }

    pub(super) fn open_now(root: PathBuf, limit: u64) -> Result<Self, ContentError> {
        let packs = root.join("packs");
        let temporary = root.join("tmp");
        fs::create_dir_all(&packs)?;
        fs::create_dir_all(&temporary)?;
        large::clean(&temporary)?;
        let (home, lock) = adopt(&packs)?;
        let shared = Shared::default();
        packer::read_all(&shared, &packs, &home)?;
        let packer = Arc::new(Packer::start(shared.clone(), home.clone(), limit)?);
        let places = Places { root, packs, home, shared };
        Ok(Self { places, packer, lately: Lately::default(), _lock: lock })
    }
}

/// Content as an auditor reads it: nothing is opened for writing, cut or removed.
#[derive(Debug)]
pub struct Shelf(Places);

impl Shelf {
    /// Reads the headers of all packs of a directory that a node may be using.
    ///
    /// # Errors
    /// [`ContentError::Io`] as the file system says.
    pub async fn open(dir: impl Into<PathBuf>) -> Result<Self, ContentError> {
        let root = dir.into();
        blocking(move || {
            let packs = root.join("packs");
            // Nobody's: all packs are those of others.
            let home = packs.join("none");
            let shared = Shared::default();
            if packs.is_dir() {
                packer::read_all(&shared, &packs, &home)?;
            }
            Ok(Self(Places { root, packs, home, shared }))
        })
        .await
    }

    /// Size of content in bytes, none when it is not there.
    ///
    /// # Errors
    /// [`ContentError::Io`] as the file system says.
    pub async fn size(&self, digest: &Digest) -> Result<Option<u64>, ContentError> {
        self.0.clone().size(*digest).await
    }

    /// Reads all of it; whether it has the digest under which it lies.
    ///
    /// # Errors
    /// [`ContentError::Missing`], and [`ContentError::Io`] as the file system says.
    pub async fn is_whole(&self, digest: &Digest) -> Result<bool, ContentError> {
        let mut buffers = match self.0.clone().read(*digest, 0, None).await {
            Err(ContentError::Mismatch(_)) => return Ok(false),
            other => other?,
        };
        loop {
            match buffers.try_next().await {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(true),
                Err(ContentError::Mismatch(_)) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Rounds of [`adopt`]: a process loses one for each other that starts at the same moment.
const ADOPTIONS: usize = 100;

/// Takes the directory of a process that is gone, or makes a new one. Another process may find the
/// new one before it is locked, and take it for one whose process is gone: then once more.
fn adopt(packs: &Path) -> io::Result<(PathBuf, File)> {
    for _ in 0..ADOPTIONS {
        if let Some(found) = adopt_once(packs)? {
            return Ok(found);
        }
    }
    Err(io::Error::other("the lock of each new directory is taken"))
}

fn adopt_once(packs: &Path) -> io::Result<Option<(PathBuf, File)>> {
    let mut homes: Vec<PathBuf> = fs::read_dir(packs)?.flatten().map(|e| e.path()).collect();
    homes.sort();
    homes.push(packs.join(Uuid::new_v4().to_string()));
    for home in homes {
        fs::create_dir_all(&home)?;
        let lock =
            File::options().write(true).create(true).truncate(false).open(home.join("lock"))?;
        if lock.try_lock().is_ok() {
            File::open(packs)?.sync_all()?;
            return Ok(Some((home, lock)));
        }
    }
    Ok(None)
}

/// Content that was found.
enum Found {
    /// In a pack: the pack's path, and where.
    Packed(PathBuf, Location),
    /// A file, and its size.
    Alone(File, u64),
}

impl Places {
    fn look(&self, digest: &Digest) -> Option<(PathBuf, Location)> {
        let index = self.shared.read();
        let location = index.find(digest)?;
        index.pack(location.slot).map(|pack| (pack.path.clone(), location))
    }

    fn find(&self, digest: &Digest) -> Result<Option<Found>, ContentError> {
        if let Some((path, location)) = self.look(digest) {
            return Ok(Some(Found::Packed(path, location)));
        }
        match File::open(large::path_of(&self.root, digest)) {
            Ok(file) => {
                let size = file.metadata()?.len();
                return Ok(Some(Found::Alone(file, size)));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        packer::refresh(&self.shared, &self.packs, &self.home)?;
        Ok(self.look(digest).map(|(path, location)| Found::Packed(path, location)))
    }

    async fn size(self, digest: Digest) -> Result<Option<u64>, ContentError> {
        let found = blocking(move || self.find(&digest)).await?;
        Ok(found.map(|found| match found {
            Found::Packed(_, location) => u64::from(location.length),
            Found::Alone(_, size) => size,
        }))
    }

    async fn read(
        self,
        digest: Digest,
        offset: u64,
        length: Option<u64>,
    ) -> Result<Buffers, ContentError> {
        let (file, start, size) = blocking(move || self.open(&digest)).await?;
        let whole = offset == 0 && length.is_none();
        let offset = offset.min(size);
        let length = length.unwrap_or(u64::MAX).min(size - offset);
        large::stream(file, start + offset, length, digest, whole).await
    }

    /// Opens content; a pack may be compacted away between finding and opening it.
    fn open(&self, digest: &Digest) -> Result<(File, u64, u64), ContentError> {
        for _ in 0..3 {
            match self.find(digest)? {
                None => break,
                Some(Found::Alone(file, size)) => return Ok((file, 0, size)),
                Some(Found::Packed(path, location)) => match File::open(&path) {
                    Ok(file) => {
                        let start = verified(&file, location, digest)?;
                        return Ok((file, start, u64::from(location.length)));
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        packer::refresh(&self.shared, &self.packs, &self.home)?;
                    }
                    Err(error) => return Err(error.into()),
                },
            }
        }
        Err(ContentError::Missing(*digest))
    }
}

/// Whether small ciphertexts are what they are called, and small.
fn verify(items: &[(Digest, Bytes)]) -> Result<(), ContentError> {
    for (digest, bytes) in items {
        if bytes.len() > MAX_SMALL {
            let text = format!("{digest}: {} octets are too many for a pack", bytes.len());
            return Err(ContentError::Io(text));
        }
        if digest_of(bytes) != *digest {
            return Err(ContentError::Mismatch(*digest));
        }
    }
    Ok(())
}

/// Where the payload begins, once the header says that it is this content.
fn verified(file: &File, location: Location, digest: &Digest) -> Result<u64, ContentError> {
    let offset = u64::from(location.offset);
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, offset)?;
    match Record::read(&header, offset) {
        Some(record) if record.digest == *digest => Ok(offset + HEADER_LEN),
        _ => Err(ContentError::Mismatch(*digest)),
    }
}

#[async_trait]
impl Content for FsContent {
    async fn put_all(&self, items: Vec<(Digest, Bytes)>) -> Result<(), ContentError> {
        if items.is_empty() {
            return Ok(());
        }
        let octets: usize = items.iter().map(|(_, bytes)| bytes.len()).sum();
        if octets <= AT_ONCE {
            verify(&items)?;
        } else {
            let items = items.clone();
            blocking(move || verify(&items)).await?;
        }
        self.packer.ask(Job::Put(items.clone())).await?;
        self.lately.keep(&items);
        Ok(())
    }

    async fn begin(&self) -> Result<Box<dyn Writer>, ContentError> {
        Ok(Box::new(FileWriter::new(self.places.root.clone(), Arc::clone(&self.packer))))
    }

    async fn adopt(
        &self,
        file: &Path,
        expected: Digest,
        hashed: Option<Digest>,
    ) -> Result<(), ContentError> {
        let (root, file) = (self.places.root.clone(), file.to_owned());
        blocking(move || large::adopt(&root, &file, expected, hashed)).await
    }

    async fn read(
        &self,
        digest: &Digest,
        offset: u64,
        length: Option<u64>,
    ) -> Result<Buffers, ContentError> {
        // The index knows what was removed.
        if (offset, length) == (0, None)
            && let Some(bytes) = self.lately.find(digest)
            && self.places.look(digest).is_some()
        {
            return Ok(stream::iter([Ok(bytes)]).boxed());
        }
        self.places.clone().read(*digest, offset, length).await
    }

    async fn size(&self, digest: &Digest) -> Result<Option<u64>, ContentError> {
        self.places.clone().size(*digest).await
    }

    async fn remove(&self, digests: &[Digest]) -> Result<(), ContentError> {
        self.lately.forget(digests);
        let (places, all) = (self.places.clone(), digests.to_vec());
        blocking(move || {
            packer::refresh(&places.shared, &places.packs, &places.home)?;
            for digest in &all {
                match fs::remove_file(large::path_of(&places.root, digest)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(error.into());
                    }
                    _ => {}
                }
            }
            Ok(())
        })
        .await?;
        self.packer.ask(Job::Remove(digests.to_vec())).await
    }

    async fn probe(&self) -> Result<(), ContentError> {
        let bytes = Bytes::from(format!("probe {}", Uuid::new_v4()));
        let digest = digest_of(&bytes);
        self.put_all(vec![(digest, bytes.clone())]).await?;
        let back: Vec<Bytes> = self.read(&digest, 0, None).await?.try_collect().await?;
        self.remove(&[digest]).await?;
        if back.concat() == bytes { Ok(()) } else { Err(ContentError::Mismatch(digest)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_that_start_at_once_each_find_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let mut homes: Vec<PathBuf> = std::thread::scope(|scope| {
            let start = || scope.spawn(|| adopt(dir.path()).unwrap());
            let threads: Vec<_> = (0..16).map(|_| start()).collect();
            // Locks are kept until all have theirs.
            let all: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
            all.into_iter().map(|(home, _lock)| home).collect()
        });
        homes.sort();
        homes.dedup();
        assert_eq!(homes.len(), 16);
    }
}
