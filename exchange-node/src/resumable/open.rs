//! An upload at work: digests, cipher, and the file that grows.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use exchange_core::input::Finding;
use exchange_store::content::ContentError;
use futures::{Stream, StreamExt as _};
use signing::digest::Sha256Stream;
use signing::encrypt::{CHUNK, StorageKey, StreamOpener, StreamSealer, TAG};

use super::state::{Done, crypto};
use super::{STEP, Slot, State};
use crate::{magic, upload};

/// How a request went that brought octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// There is more to come.
    Waiting,
    /// The document is complete, and as it was announced.
    Finished,
}

/// Why a request stopped before its end.
#[derive(Debug)]
pub enum Stopped {
    /// A rule; the upload is no more.
    Refused(Finding),
    /// It is complete, but not as long as was announced; it may go on.
    Length {
        /// What was announced.
        announced: u64,
        /// What is there.
        found: u64,
    },
    /// The client broke off, or asked again elsewhere; what arrived is durable.
    Broken(String),
    /// Another replica works on it.
    Elsewhere,
    /// The disk or the content store does not work.
    Content(ContentError),
    /// A key or a cipher does not work.
    Crypto(String),
}

impl From<ContentError> for Stopped {
    fn from(e: ContentError) -> Self {
        Self::Content(e)
    }
}

/// An upload at work.
pub(super) struct Open {
    state: State,
    file: File,
    sealer: StreamSealer,
    sum: Sha256Stream,
    cipher_sum: Sha256Stream,
    cipher_size: u64,
    /// Octets received, durable or not.
    offset: u64,
    /// What is not enciphered yet: never empty again once something came, since the last chunk is
    /// marked.
    tail: BytesMut,
    judged: bool,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("id", &self.state.id).field("offset", &self.offset).finish()
    }
}

impl Open {
    /// Goes on from what is durable: reads it once, for its digests.
    pub(super) async fn resume(
        dir: &Path,
        state: State,
        storage: &StorageKey,
    ) -> Result<Self, Stopped> {
        let (key, prefix) = (state.key(storage)?, state.prefix()?);
        let tail = state.tail(storage)?;
        let file = state.cipher_file(dir).map_err(ContentError::from)?;
        let chunks = u32::try_from(state.chunks())
            .map_err(|_| Stopped::Crypto("an upload has too many chunks".to_owned()))?;
        let opener = StreamOpener::new(&key, prefix).map_err(crypto)?;
        let reading = file.try_clone().map_err(ContentError::from)?;
        let sums = tokio::task::spawn_blocking(move || read_again(reading, opener, chunks));
        let (mut sum, cipher_sum, cipher_size) =
            sums.await.map_err(|e| Stopped::Crypto(e.to_string()))??;
        sum.update(&tail);
        let sealer = StreamSealer::at(&key, prefix, chunks).map_err(crypto)?;
        let offset = state.offset;
        let judged = offset >= magic::ENOUGH as u64;
        let tail = BytesMut::from(tail.as_slice());
        Ok(Self { state, file, sealer, sum, cipher_sum, cipher_size, offset, tail, judged })
    }

    pub(super) const fn state(&self) -> &State {
        &self.state
    }

    /// Whether it stands where the state on disk says; another replica may have gone on.
    pub(super) const fn is_at(&self, state: &State) -> bool {
        self.state.offset == state.offset && self.offset == state.offset
    }

    /// Keeps other replicas away.
    pub(super) fn lock(&self) -> Result<(), Stopped> {
        self.file.try_lock().map_err(|_| Stopped::Elsewhere)
    }

    pub(super) fn unlock(&self) {
        let _ = self.file.unlock();
    }

    /// Takes octets; what arrived is durable when this returns.
    pub(super) async fn take<S, E>(
        &mut self,
        dir: &Path,
        storage: &StorageKey,
        mut body: S,
        last: bool,
        slot: &Slot,
    ) -> Result<Appended, Stopped>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        let stopped = loop {
            let next = tokio::select! {
                biased;
                () = slot.interrupt.notified() => None,
                next = body.next() => Some(next),
            };
            if slot.waiting.load(Ordering::Acquire) > 0 {
                break Some("another request goes on with this upload".to_owned());
            }
            match next {
                None => {}
                Some(None) => break None,
                Some(Some(Err(error))) => break Some(error.to_string()),
                Some(Some(Ok(bytes))) => {
                    self.add(&bytes)?;
                    if self.offset - self.state.offset >= STEP {
                        self.keep(dir, storage).await?;
                    }
                }
            }
        };
        self.keep(dir, storage).await?;
        match stopped {
            Some(why) => Err(Stopped::Broken(why)),
            None if last => self.finish(dir).await.map(|()| Appended::Finished),
            None => Ok(Appended::Waiting),
        }
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), Stopped> {
        self.offset += bytes.len() as u64;
        let most = self.state.length.unwrap_or(u64::MAX);
        if self.offset > self.state.max_size {
            let (name, max) = (&self.state.name, self.state.max_size);
            return Err(Stopped::Refused(upload::too_large(name, max)));
        }
        if self.offset > most {
            // Nothing of it is kept: the client said something else.
            self.offset -= bytes.len() as u64;
            let found = self.offset + bytes.len() as u64;
            return Err(Stopped::Length { announced: most, found });
        }
        self.sum.update(bytes);
        self.tail.extend_from_slice(bytes);
        if !self.judged && self.offset >= magic::ENOUGH as u64 {
            self.judge()?;
        }
        while self.tail.len() > CHUNK {
            let plain = self.tail.split_to(CHUNK);
            self.seal(&plain, false)?;
        }
        Ok(())
    }

    fn judge(&mut self) -> Result<(), Stopped> {
        self.judged = true;
        let state = &self.state;
        upload::judge(&state.name, &state.media_type, &self.tail).map_err(Stopped::Refused)
    }

    fn seal(&mut self, plain: &[u8], last: bool) -> Result<(), Stopped> {
        let sealed = self.sealer.push(plain, last).map_err(crypto)?;
        self.cipher_sum.update(&sealed);
        self.cipher_size += sealed.len() as u64;
        self.file.write_all(&sealed).map_err(ContentError::from)?;
        Ok(())
    }

    /// Makes durable what arrived: the ciphertext first, then the state that counts it.
    async fn keep(&mut self, dir: &Path, storage: &StorageKey) -> Result<(), Stopped> {
        if self.offset == self.state.offset {
            return Ok(());
        }
        let mut state = self.state.clone();
        state.offset = self.offset;
        state.keep_tail(&self.tail, storage)?;
        let file = self.file.try_clone().map_err(ContentError::from)?;
        let (dir, written) = (dir.to_owned(), state.clone());
        let kept = tokio::task::spawn_blocking(move || {
            file.sync_data()?;
            written.write(&dir)
        });
        kept.await.map_err(|e| ContentError::Io(e.to_string()))??;
        self.state = state;
        Ok(())
    }

    /// The document is complete.
    async fn finish(&mut self, dir: &Path) -> Result<(), Stopped> {
        if let Some(announced) = self.state.length.filter(|length| *length != self.offset) {
            return Err(Stopped::Length { announced, found: self.offset });
        }
        if !self.judged {
            self.judge()?;
        }
        let sha256 = self.sum.clone().finish();
        if self.state.sha256.is_some_and(|said| said != sha256) {
            return Err(Stopped::Refused(upload::corrupted()));
        }
        let plain = self.tail.split();
        self.seal(&plain, true)?;
        let cipher_sha256 = self.cipher_sum.clone().finish();
        let cipher_size = self.cipher_size;
        let mut state = self.state.clone();
        state.done = Some(Done { sha256, cipher_sha256, cipher_size });
        let file = self.file.try_clone().map_err(ContentError::from)?;
        let (dir, written) = (dir.to_owned(), state.clone());
        let kept = tokio::task::spawn_blocking(move || {
            file.sync_all()?;
            written.write(&dir)
        });
        kept.await.map_err(|e| ContentError::Io(e.to_string()))??;
        self.state = state;
        Ok(())
    }
}

type Sums = (Sha256Stream, Sha256Stream, u64);

/// The digests of what is durable, and its size.
fn read_again(mut file: File, mut opener: StreamOpener, chunks: u32) -> Result<Sums, Stopped> {
    let (mut sum, mut cipher_sum, mut size) = (Sha256Stream::new(), Sha256Stream::new(), 0);
    let mut read = |length: usize| -> Result<Vec<u8>, Stopped> {
        let mut buffer = vec![0; length];
        file.read_exact(&mut buffer).map_err(ContentError::from)?;
        cipher_sum.update(&buffer);
        size += length as u64;
        Ok(buffer)
    };
    if chunks > 0 {
        read(signing::encrypt::PREFIX)?;
    }
    for _ in 0..chunks {
        let chunk = read(CHUNK + TAG)?;
        sum.update(&opener.push(&chunk, false).map_err(crypto)?);
    }
    Ok((sum, cipher_sum, size))
}
