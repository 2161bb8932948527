//! Content by the digest of its ciphertext. The ciphertext that rests is the ciphertext that
//! travels, so that a document is encrypted once.
//!
//! Small ciphertexts are appended to pack files, many under one flush; large ones are files of
//! their own. Erasing content is deleting its wrapped keys and, later, its bytes.
//!
//! - [`FsContent`]: on a file system, shared by the replicas of a node if need be. Its parts:
//!   `record` (the bytes of a pack), `index` (where each digest lies), `scan` (finding that out at
//!   start), `table` (and sooner), `packer` (the thread that appends), `large` (files and streams),
//!   `lately` (what need not be read).

mod fs;
mod index;
mod large;
mod lately;
mod packer;
mod record;
mod scan;
mod table;
#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::io;
use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use schemas::digest::Digest;

pub use self::fs::{FsContent, Shelf};

/// What can go wrong with content.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// Nothing is stored under this digest.
    #[error("no content under {0}")]
    Missing(Digest),
    /// The bytes do not have the digest under which they lie, or were announced.
    #[error("content does not match its digest {0}")]
    Mismatch(Digest),
    /// The disk is full.
    #[error("no room for content: {0}")]
    Full(String),
    /// Anything else that the file system says.
    #[error("content storage: {0}")]
    Io(String),
}

impl From<io::Error> for ContentError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full(error.to_string())
            }
            _ => Self::Io(error.to_string()),
        }
    }
}

/// A stream of ciphertext buffers, at most 512 KiB each.
pub type Buffers = BoxStream<'static, Result<Bytes, ContentError>>;

/// Content storage of one node. Writes are durable when they return; a digest that is there
/// already is written once.
#[async_trait]
pub trait Content: Send + Sync + Debug {
    /// Stores small ciphertexts (each at most 1 MiB) under their digests, in one flush; concurrent
    /// calls share flushes.
    async fn put_all(&self, items: Vec<(Digest, Bytes)>) -> Result<(), ContentError>;

    /// Begins a large ciphertext whose digest is not known yet.
    async fn begin(&self) -> Result<Box<dyn Writer>, ContentError>;

    /// Takes over a file of the same file system that holds all of a ciphertext: its digest is
    /// verified, then it is renamed. A file that is not what was expected stays where it is.
    /// `hashed` is the digest of all that was written to it, where who wrote it knows that: then it
    /// is not read again.
    async fn adopt(
        &self,
        file: &Path,
        expected: Digest,
        hashed: Option<Digest>,
    ) -> Result<(), ContentError>;

    /// Reads content from `offset`, `length` bytes or to the end. Who asks for all of it, from 0 and
    /// without a length, gets the last buffer only when it has its digest.
    async fn read(
        &self,
        digest: &Digest,
        offset: u64,
        length: Option<u64>,
    ) -> Result<Buffers, ContentError>;

    /// Size of content, none when it is not there.
    async fn size(&self, digest: &Digest) -> Result<Option<u64>, ContentError>;

    /// Removes content; removing what is not there is no error.
    async fn remove(&self, digests: &[Digest]) -> Result<(), ContentError>;

    /// A real round trip: write, flush, read, remove.
    async fn probe(&self) -> Result<(), ContentError>;
}

/// A large ciphertext under way. Dropped without [`Writer::finish`], it leaves nothing.
#[async_trait]
pub trait Writer: Send {
    /// Appends.
    async fn write(&mut self, bytes: Bytes) -> Result<(), ContentError>;

    /// Flushes and stores under the digest of what was written; with `expected`, refuses another
    /// digest and leaves nothing.
    async fn finish(
        self: Box<Self>,
        expected: Option<Digest>,
    ) -> Result<(Digest, u64), ContentError>;
}
