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
use signing::digest::{Sha256Stream, sha256 as sha256_of};
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

/// A ciphertext under way: in memory while it is small, nowhere once its document is refused.
enum Sink {
    Small(BytesMut),
    Large(Box<dyn Writer>),
    Nowhere,
}

/// A document under way.
struct Taking<'a> {
    intake: &'a Intake,
    announced: &'a Announced,
    sealer: StreamSealer,
    sink: Sink,
    cipher_sum: Sha256Stream,
    cipher_size: u64,
    sum: Sha256Stream,
    size: u64,
    chunk: BytesMut,
    judged: bool,
    finding: Option<Finding>,
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
        body: S,
        now: Timestamp,
    ) -> Result<Upload, UploadError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        match self.read(announced, member, body, now, false).await? {
            (upload, None) => Ok(upload),
            (_, Some(finding)) => Err(UploadError::Refused(finding)),
        }
    }

    /// As [`Intake::take`]; but a document that a rule refuses is described, so that the refusal
    /// can name it by its digests: it was read to its end, or up to the largest size allowed, and
    /// was not kept.
    ///
    /// # Errors
    /// [`UploadError`], but [`UploadError::Refused`].
    pub async fn take_or_describe<S, E>(
        &self,
        announced: Announced,
        member: &str,
        body: S,
        now: Timestamp,
    ) -> Result<(Upload, Option<Finding>), UploadError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        self.read(announced, member, body, now, true).await
    }

    async fn read<S, E>(
        &self,
        announced: Announced,
        member: &str,
        mut body: S,
        now: Timestamp,
        to_the_end: bool,
    ) -> Result<(Upload, Option<Finding>), UploadError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        let id = DocumentId(Uuid::now_v7());
        let key = DocumentKey::generate().map_err(crypto)?;
        let mut taking = Taking::begin(self, &announced, &key)?;
        loop {
            let next = body.next().await.transpose();
            let next = next.map_err(|e| UploadError::Broken(e.to_string()))?;
            let mut ended = next.is_none();
            if let Some(bytes) = next {
                ended |= taking.add(&bytes);
            }
            taking.judge(ended);
            if taking.finding.is_some() && !to_the_end {
                break;
            }
            taking.seal(ended).await?;
            if ended {
                break;
            }
        }
        let wrapped_key = self.storage.wrap(&key, id.0.as_bytes()).map_err(crypto)?;
        let ended = taking.finish().await?;
        let upload = Upload {
            id,
            member: member.to_owned(),
            name: announced.name,
            media_type: announced.media_type,
            size: ended.size,
            sha256: ended.sha256,
            cipher_sha256: ended.cipher_sha256,
            cipher_size: ended.cipher_size,
            wrapped_key,
            at: now,
            expires: None,
        };
        Ok((upload, ended.finding))
    }
}

/// What a document turned out to be.
struct Ended {
    size: u64,
    sha256: Digest,
    cipher_size: u64,
    cipher_sha256: Digest,
    finding: Option<Finding>,
}

fn crypto(error: impl std::fmt::Display) -> UploadError {
    UploadError::Crypto(error.to_string())
}

impl<'a> Taking<'a> {
    fn begin(
        intake: &'a Intake,
        announced: &'a Announced,
        key: &DocumentKey,
    ) -> Result<Self, UploadError> {
        Ok(Self {
            intake,
            announced,
            // The first push gives the nonce prefix, too.
            sealer: StreamSealer::random(key).map_err(crypto)?,
            sink: Sink::Small(BytesMut::new()),
            cipher_sum: Sha256Stream::new(),
            cipher_size: 0,
            sum: Sha256Stream::new(),
            size: 0,
            chunk: BytesMut::with_capacity(2 * CHUNK),
            judged: false,
            finding: None,
        })
    }

    fn refuse(&mut self, finding: Finding) {
        self.finding.get_or_insert(finding);
        self.sink = Sink::Nowhere;
    }

    /// Adds octets up to the largest size; says whether there were more.
    fn add(&mut self, bytes: &[u8]) -> bool {
        let left = self.announced.max_size.saturating_sub(self.size);
        let more = bytes.len() as u64 > left;
        let bytes = match usize::try_from(left) {
            Ok(left) if more => bytes.get(..left).unwrap_or(bytes),
            _ => bytes,
        };
        if more {
            self.refuse(too_large(&self.announced.name, self.announced.max_size));
        }
        self.size += bytes.len() as u64;
        self.sum.update(bytes);
        self.chunk.extend_from_slice(bytes);
        more
    }

    /// Looks at the first octets, once there are enough of them.
    fn judge(&mut self, ended: bool) {
        if self.judged || (!ended && self.chunk.len() < magic::ENOUGH) {
            return;
        }
        self.judged = true;
        let Announced { name, media_type, .. } = self.announced;
        if let Err(finding) = judge(name, media_type, &self.chunk) {
            self.refuse(finding);
        }
    }

    /// Encrypts what is there. The last chunk is marked, so one is held back until the end is known.
    async fn seal(&mut self, ended: bool) -> Result<(), UploadError> {
        while self.chunk.len() > CHUNK || ended {
            let plain = self.chunk.split_to(self.chunk.len().min(CHUNK));
            let last = ended && self.chunk.is_empty();
            let sealed = self.sealer.push(&plain, last).map_err(crypto)?;
            self.cipher_sum.update(&sealed);
            self.cipher_size += sealed.len() as u64;
            self.put(sealed).await.map_err(UploadError::Content)?;
            if last {
                break;
            }
        }
        Ok(())
    }

    async fn put(&mut self, sealed: Vec<u8>) -> Result<(), ContentError> {
        match &mut self.sink {
            Sink::Small(buffer) if buffer.len() + sealed.len() <= SMALL => {
                buffer.extend_from_slice(&sealed);
            }
            Sink::Small(buffer) => {
                let mut writer = self.intake.content.begin().await?;
                writer.write(buffer.split().freeze()).await?;
                writer.write(Bytes::from(sealed)).await?;
                self.sink = Sink::Large(writer);
            }
            Sink::Large(writer) => writer.write(Bytes::from(sealed)).await?,
            Sink::Nowhere => {}
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Ended, UploadError> {
        let sha256 = self.sum.finish();
        if self.finding.is_none() && self.announced.sha256.is_some_and(|said| said != sha256) {
            self.finding = Some(corrupted());
            self.sink = Sink::Nowhere;
        }
        let cipher_sha256 = self.cipher_sum.finish();
        match self.sink {
            Sink::Small(buffer) => {
                debug_assert_eq!(sha256_of(&buffer), cipher_sha256);
                let packed = vec![(cipher_sha256, buffer.freeze())];
                self.intake.content.put_all(packed).await.map_err(UploadError::Content)?;
            }
            Sink::Large(writer) => {
                writer.finish(Some(cipher_sha256)).await.map_err(UploadError::Content)?;
            }
            Sink::Nowhere => {}
        }
        Ok(Ended {
            size: self.size,
            sha256,
            cipher_size: self.cipher_size,
            cipher_sha256,
            finding: self.finding,
        })
    }
}

/// Compares the first octets with the media type.
pub(crate) fn judge(name: &str, media: &str, start: &[u8]) -> Result<(), Finding> {
    if magic::agrees(media, start) {
        return Ok(());
    }
    Err(Finding {
        code: Code::DocumentTypeRefused,
        detail: format!("{name} is announced as {media}, but its first bytes say otherwise."),
        detail_fr: format!(
            "{name} est annoncé comme {media}, mais ses premiers octets disent autre chose."
        ),
    })
}

pub(crate) fn too_large(name: &str, max: u64) -> Finding {
    Finding {
        code: Code::DocumentTooLarge,
        detail: format!("{name} has more than {max} bytes."),
        detail_fr: format!("{name} dépasse {max} octets."),
    }
}

pub(crate) fn corrupted() -> Finding {
    Finding {
        code: Code::DocumentCorrupted,
        detail: "The document does not have the digest of Content-Digest.".to_owned(),
        detail_fr: "Le document n'a pas l'empreinte annoncée par Content-Digest.".to_owned(),
    }
}
