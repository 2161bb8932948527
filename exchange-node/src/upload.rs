//! Documents on their way in: digest, size, magic bytes and encryption while they stream, 64 KiB
//! at a time. What is stored is the ciphertext that will travel.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use exchange_core::input::Finding;
use exchange_store::content::{Content, ContentError, Writer};
use exchange_store::rows::Upload;
use futures::{Stream, StreamExt};
use schemas::digest::Digest;
use schemas::ids::DocumentId;
use schemas::problem::Code;
use schemas::time::Timestamp;
use signing::digest::{Sha256Stream, sha256};
use signing::encrypt::{CHUNK, DocumentKey, StorageKey, StreamSealer};
use uuid::Uuid;

use crate::magic;

/// Ciphertexts up to this size are packed with others.
const SMALL: usize = 512 * 1024;

/// What the client says about a document.
#[derive(Clone, Debug)]
pub struct Announced {
    /// File name, checked.
    pub name: String,
    /// Media type, lower case, without parameters.
    pub media_type: String,
    /// `Content-Digest`, when given.
    pub sha256: Option<Digest>,
    /// Largest size allowed.
    pub max_size: u64,
}

/// Why a document was not taken.
#[derive(Debug)]
pub enum UploadError {
    /// A rule; nothing is kept.
    Refused(Finding),
    /// The client broke off.
    Broken(String),
    /// The content store does not work.
    Content(ContentError),
    /// No key could be made.
    Crypto(String),
}

/// Where uploads go.
#[derive(Clone, Debug)]
pub struct Intake {
    /// The content store.
    pub content: Arc<dyn Content>,
    /// Wraps document keys.
    pub storage: Arc<StorageKey>,
}

/// A ciphertext under way: in memory while it is small.
enum Sink {
    Small(BytesMut),
    Large(Box<dyn Writer>),
}

impl Intake {
    /// Takes a document. When this returns, its ciphertext is durable.
    ///
    /// # Errors
    /// [`UploadError`]; nothing is kept.
    pub async fn take<S, E>(
        &self,
        announced: Announced,
        member: &str,
        mut body: S,
        now: Timestamp,
    ) -> Result<Upload, UploadError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        let crypto = |e: String| UploadError::Crypto(e);
        let id = DocumentId(Uuid::now_v7());
        let key = DocumentKey::generate().map_err(|e| crypto(e.to_string()))?;
        // The first push gives the nonce prefix, too.
        let mut sealer = StreamSealer::random(&key).map_err(|e| crypto(e.to_string()))?;
        let mut sink = Sink::Small(BytesMut::new());
        let mut cipher_sum = Sha256Stream::new();
        let mut cipher_size = 0_u64;
        let mut sum = Sha256Stream::new();
        let mut size = 0_u64;
        let mut chunk = BytesMut::with_capacity(2 * CHUNK);
        let mut judged = false;
        loop {
            let next = body.next().await.transpose();
            let next = next.map_err(|e| UploadError::Broken(e.to_string()))?;
            let ended = next.is_none();
            if let Some(bytes) = next {
                size += bytes.len() as u64;
                if size > announced.max_size {
                    return Err(UploadError::Refused(too_large(&announced)));
                }
                sum.update(&bytes);
                chunk.extend_from_slice(&bytes);
            }
            if !judged && (ended || chunk.len() >= magic::ENOUGH) {
                judge(&announced, &chunk)?;
                judged = true;
            }
            // The last chunk is marked, so one is held back until the end is known.
            while chunk.len() > CHUNK || ended {
                let plain = chunk.split_to(chunk.len().min(CHUNK));
                let last = ended && chunk.is_empty();
                let sealed = sealer.push(&plain, last).map_err(|e| crypto(e.to_string()))?;
                cipher_sum.update(&sealed);
                cipher_size += sealed.len() as u64;
                self.put(&mut sink, sealed).await.map_err(UploadError::Content)?;
                if last {
                    break;
                }
            }
            if ended {
                break;
            }
        }
        let sha256 = sum.finish();
        if announced.sha256.is_some_and(|said| said != sha256) {
            return Err(UploadError::Refused(corrupted()));
        }
        let cipher_sha256 = cipher_sum.finish();
        self.finish(sink, cipher_sha256).await.map_err(UploadError::Content)?;
        let wrapped_key =
            self.storage.wrap(&key, id.0.as_bytes()).map_err(|e| crypto(e.to_string()))?;
        Ok(Upload {
            id,
            member: member.to_owned(),
            name: announced.name,
            media_type: announced.media_type,
            size,
            sha256,
            cipher_sha256,
            cipher_size,
            wrapped_key,
            at: now,
            expires: None,
        })
    }

    async fn put(&self, sink: &mut Sink, sealed: Vec<u8>) -> Result<(), ContentError> {
        match sink {
            Sink::Small(buffer) if buffer.len() + sealed.len() <= SMALL => {
                buffer.extend_from_slice(&sealed);
            }
            Sink::Small(buffer) => {
                let mut writer = self.content.begin().await?;
                writer.write(buffer.split().freeze()).await?;
                writer.write(Bytes::from(sealed)).await?;
                *sink = Sink::Large(writer);
            }
            Sink::Large(writer) => writer.write(Bytes::from(sealed)).await?,
        }
        Ok(())
    }

    async fn finish(&self, sink: Sink, digest: Digest) -> Result<(), ContentError> {
        match sink {
            Sink::Small(buffer) => {
                debug_assert_eq!(sha256(&buffer), digest);
                self.content.put_all(vec![(digest, buffer.freeze())]).await
            }
            Sink::Large(writer) => writer.finish(Some(digest)).await.map(drop),
        }
    }
}

fn judge(announced: &Announced, start: &[u8]) -> Result<(), UploadError> {
    if magic::agrees(&announced.media_type, start) {
        return Ok(());
    }
    let (name, media) = (&announced.name, &announced.media_type);
    Err(UploadError::Refused(Finding {
        code: Code::DocumentTypeRefused,
        detail: format!("{name} is announced as {media}, but its first bytes say otherwise."),
        detail_fr: format!(
            "{name} est annoncé comme {media}, mais ses premiers octets disent autre chose."
        ),
    }))
}

fn too_large(announced: &Announced) -> Finding {
    let (name, max) = (&announced.name, announced.max_size);
    Finding {
        code: Code::DocumentTooLarge,
        detail: format!("{name} has more than {max} bytes."),
        detail_fr: format!("{name} dépasse {max} octets."),
    }
}

fn corrupted() -> Finding {
    Finding {
        code: Code::DocumentCorrupted,
        detail: "The document does not have the digest of Content-Digest.".to_owned(),
        detail_fr: "Le document n'a pas l'empreinte annoncée par Content-Digest.".to_owned(),
    }
}
