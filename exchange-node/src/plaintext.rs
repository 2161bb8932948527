//! Decrypting streams: from the content store to plaintext, a chunk at a time.

use bytes::{Bytes, BytesMut};
use exchange_store::content::{Buffers, Content, ContentError};
use futures::StreamExt;
use schemas::digest::Digest;
use schemas::problem::Code;
use signing::digest::Sha256Stream;
use signing::encrypt::{CHUNK, DocumentKey, EncryptError, PREFIX, StreamOpener, TAG};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;

use crate::bustle::Bustle;
use crate::inbound::dispatch::{Found, finding};

/// Bytes of one encrypted chunk, the last one aside.
pub const SEALED_CHUNK: usize = CHUNK + TAG;

/// Octets of ciphertext that are opened at once, and between two of which messages are given way.
const LOT: usize = 2 << 20;

/// Why a plaintext cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PlainError {
    /// The content store does not work, or the content is gone.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The ciphertext was changed, or the key is another one's.
    #[error("the ciphertext does not open: {0}")]
    Broken(String),
}

impl From<EncryptError> for PlainError {
    fn from(e: EncryptError) -> Self {
        Self::Broken(e.to_string())
    }
}

/// Cuts a stream of buffers into chunks and opens them. The last chunk is the one that is left
/// when the stream ends: a cut stream does not open.
#[derive(Debug)]
pub struct Unsealer {
    opener: StreamOpener,
    held: BytesMut,
}

impl Unsealer {
    /// Begins at a chunk; `prefix` is the start of the ciphertext.
    ///
    /// # Errors
    /// When the prefix is not one, or the key does not work.
    pub fn at(key: &DocumentKey, prefix: &[u8], chunk: u64) -> Result<Self, PlainError> {
        let broken = |what: &str| PlainError::Broken(what.to_owned());
        let prefix: [u8; PREFIX] = prefix.try_into().map_err(|_| broken("it has no prefix"))?;
        let chunk = u32::try_from(chunk).map_err(|_| broken("it has too many chunks"))?;
        Ok(Self { opener: StreamOpener::at(key, prefix, chunk)?, held: BytesMut::new() })
    }

    /// Takes ciphertext; gives the plaintext of every chunk that is complete and not the last.
    ///
    /// # Errors
    /// When a chunk was changed.
    pub fn push(&mut self, cipher: &[u8]) -> Result<Vec<Bytes>, PlainError> {
        self.held.extend_from_slice(cipher);
        let mut plain = Vec::new();
        while self.held.len() > SEALED_CHUNK {
            let chunk = self.held.split_to(SEALED_CHUNK);
            plain.push(Bytes::from(self.opener.push(&chunk, false)?));
        }
        Ok(plain)
    }

    /// The last chunk.
    ///
    /// # Errors
    /// When it was changed, or is not the last one.
    pub fn finish(&mut self) -> Result<Bytes, PlainError> {
        let chunk = self.held.split();
        Ok(Bytes::from(self.opener.push(&chunk, true)?))
    }
}

/// Reads the prefix of a ciphertext.
///
/// # Errors
/// When the content store does not work.
pub async fn prefix(content: &dyn Content, digest: &Digest) -> Result<Vec<u8>, ContentError> {
    let mut stream = content.read(digest, 0, Some(PREFIX as u64)).await?;
    let mut prefix = Vec::with_capacity(PREFIX);
    while let Some(buffer) = stream.next().await {
        prefix.extend_from_slice(&buffer?);
    }
    Ok(prefix)
}

/// Compares content that travelled by itself with the digests of its plaintext; differences
/// become findings.
///
/// # Errors
/// When the content store does not work.
pub async fn check(
    content: &dyn Content,
    bustle: &Bustle,
    found: &mut Found,
) -> Result<(), ContentError> {
    if !found.arrived.findings.is_empty() {
        return Ok(());
    }
    let index = found.arrived.recipient_index;
    let envelope = std::sync::Arc::clone(&found.arrived.envelope);
    let documents = envelope.documents.iter().filter(|d| d.is_for(index));
    for ((part, key), document) in found.apart.iter().zip(&found.keys).zip(documents) {
        let same = match digest_of(content, bustle, &part.cipher_sha256, key).await {
            Ok(digest) => digest == document.sha256,
            Err(PlainError::Content(e)) => return Err(e),
            Err(PlainError::Broken(_)) => false,
        };
        if !same {
            let detail = format!("document {} does not match its digest", document.id);
            found.arrived.findings.push(finding(Code::DocumentCorrupted, &detail));
        }
    }
    Ok(())
}

/// The digest of a plaintext, a lot of it at a time: what is open is hashed while the next is
/// opened, each on a thread for waiting. It gives way to messages.
async fn digest_of(
    content: &dyn Content,
    bustle: &Bustle,
    digest: &Digest,
    key: &DocumentKey,
) -> Result<Digest, PlainError> {
    let mut unsealer = Unsealer::at(key, &prefix(content, digest).await?, 0)?;
    let mut stream = content.read(digest, PREFIX as u64, None).await?;
    let mut hashing = hash(Sha256Stream::new(), Vec::new());
    loop {
        let began = Instant::now();
        let lot = lot(&mut stream).await?;
        if lot.is_empty() {
            break;
        }
        let (rest, plain) = open(unsealer, lot).await?;
        unsealer = rest;
        hashing = hash(hashing.await.map_err(cut_short)?, plain);
        bustle.give_way(began).await;
    }
    let mut sum = hashing.await.map_err(cut_short)?;
    sum.update(&unsealer.finish()?);
    Ok(sum.finish())
}

/// The next [`LOT`] octets, or what is left.
async fn lot(stream: &mut Buffers) -> Result<Vec<Bytes>, ContentError> {
    let (mut lot, mut size) = (Vec::new(), 0);
    while size < LOT
        && let Some(buffer) = stream.next().await.transpose()?
    {
        size += buffer.len();
        lot.push(buffer);
    }
    Ok(lot)
}

async fn open(
    mut unsealer: Unsealer,
    lot: Vec<Bytes>,
) -> Result<(Unsealer, Vec<Bytes>), PlainError> {
    let work = move || {
        let mut plain = Vec::new();
        for buffer in lot {
            plain.append(&mut unsealer.push(&buffer)?);
        }
        Ok((unsealer, plain))
    };
    tokio::task::spawn_blocking(work).await.map_err(cut_short)?
}

fn hash(mut sum: Sha256Stream, plain: Vec<Bytes>) -> JoinHandle<Sha256Stream> {
    tokio::task::spawn_blocking(move || {
        plain.iter().for_each(|octets| sum.update(octets));
        sum
    })
}

fn cut_short(error: JoinError) -> PlainError {
    PlainError::Content(ContentError::Io(error.to_string()))
}
