//! Resumable uploads: documents that arrive in several requests, across breaks and restarts.
//!
//! ```text
//! DIR/<id>.cipher   the ciphertext so far, whole chunks of it
//! DIR/<id>.state    what else is needed to go on ([`State`]): replaced, never changed
//! ```
//! - `state.rs`: the file of an upload, durable; `open.rs`: the same upload at work, with its digests
//!   and its cipher.
//! - [`Uploads`] hands them out, one request at a time for each upload: who asks later interrupts
//!   who came before, as the draft wants it (draft-ietf-httpbis-resumable-upload §4.6).
//!
//! Every [`STEP`] octets what arrived is made durable, and so it is when a request ends however it
//! ends: after a `kill -9` the client goes on from the last step. Digests cannot be kept on disk, so
//! a restarted node reads the durable part once again before it goes on. Nothing of a document is
//! ever on disk in the clear.

mod open;
mod state;

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use exchange_store::content::{Content, ContentError};
use exchange_store::rows::Upload;
use schemas::ids::DocumentId;
use schemas::time::Timestamp;
use signing::encrypt::StorageKey;
use tokio::sync::{Notify, OwnedMutexGuard};
use uuid::Uuid;

use self::open::Open;
pub use self::open::{Appended, Stopped};
pub use self::state::{Done, New, State};

/// Octets between two moments when what arrived is made durable.
pub const STEP: u64 = 8 << 20;

/// The unfinished uploads of a node.
#[derive(Debug)]
pub struct Uploads {
    dir: PathBuf,
    content: Arc<dyn Content>,
    storage: Arc<StorageKey>,
    slots: Mutex<HashMap<DocumentId, Arc<Slot>>>,
}

/// One upload in this process.
#[derive(Debug, Default)]
struct Slot {
    work: Arc<tokio::sync::Mutex<Option<Open>>>,
    /// Requests that wait for the one at work to stop.
    waiting: AtomicUsize,
    interrupt: Notify,
}

/// An upload, for one request alone.
#[derive(Debug)]
pub struct Turn<'a> {
    uploads: &'a Uploads,
    slot: Arc<Slot>,
    work: OwnedMutexGuard<Option<Open>>,
    /// As it is on disk.
    pub state: State,
}

impl Uploads {
    /// Below `dir`, on the same file system as the content store.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn new(
        dir: PathBuf,
        content: Arc<dyn Content>,
        storage: Arc<StorageKey>,
    ) -> std::io::Result<Self> {
        fs::create_dir_all(&dir)?;
        Ok(Self { dir, content, storage, slots: Mutex::default() })
    }

    /// Begins with an upload.
    ///
    /// # Errors
    /// When the disk does not work, or no key can be made.
    pub async fn create(&self, new: New) -> Result<Turn<'_>, Stopped> {
        let state = State::create(new, &self.storage)?;
        state.begin(&self.dir)?;
        self.turn(state.id, &state.member.clone()).await?.ok_or_else(|| {
            Stopped::Content(ContentError::Io("a new upload is not there".to_owned()))
        })
    }

    /// An upload of a member, once whoever works on it has stopped; none when it is not there, is
    /// another member's, or is finished and recorded.
    ///
    /// # Errors
    /// When the disk does not work.
    pub async fn turn(&self, id: DocumentId, member: &str) -> Result<Option<Turn<'_>>, Stopped> {
        let Some(known) = State::read(&self.dir, id)? else { return Ok(None) };
        if known.member != member {
            return Ok(None);
        }
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry(id).or_default())
        };
        slot.waiting.fetch_add(1, Ordering::AcqRel);
        slot.interrupt.notify_one();
        let work = Arc::clone(&slot.work).lock_owned().await;
        slot.waiting.fetch_sub(1, Ordering::AcqRel);
        // What was there before the wait may be gone or have grown.
        let Some(mut state) = State::read(&self.dir, id)? else { return Ok(None) };
        if work.is_none() {
            state.recover(&self.dir, &self.storage)?;
        }
        Ok(Some(Turn { uploads: self, slot, work, state }))
    }

    /// Uploads that were finished and perhaps not recorded; those whose time is over are removed.
    ///
    /// # Errors
    /// When the disk does not work.
    pub async fn sweep(&self, now: Timestamp) -> Result<Vec<(DocumentId, String)>, Stopped> {
        let mut finished = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(ContentError::from)? {
            let path = entry.map_err(ContentError::from)?.path();
            let name = path.file_stem().and_then(|n| n.to_str()).unwrap_or_default();
            let Ok(id) = name.parse::<Uuid>() else { continue };
            match State::read(&self.dir, DocumentId(id)) {
                Ok(Some(state)) if state.done.is_some() => finished.push((state.id, state.member)),
                Ok(Some(state)) if state.expires > now => {}
                Ok(Some(state)) => {
                    if let Some(turn) = self.turn(state.id, &state.member).await? {
                        turn.forget()?;
                    }
                }
                // Ciphertext without its state, an hour old: of an upload that is no more.
                Ok(None) if old(&path) => fs::remove_file(&path).map_err(ContentError::from)?,
                Ok(None) => {}
                Err(error) => tracing::warn!(%id, %error, "an upload cannot be read"),
            }
        }
        finished.sort();
        finished.dedup();
        Ok(finished)
    }

    fn drop_slot(&self, id: DocumentId) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

fn old(path: &std::path::Path) -> bool {
    let modified = path.metadata().and_then(|m| m.modified());
    modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age.as_secs() > 3600))
}

impl Turn<'_> {
    /// Takes octets from where the upload stands. What arrived is durable when this returns,
    /// whatever came in between.
    ///
    /// # Errors
    /// [`Stopped`]; after [`Stopped::Refused`] nothing of the upload is left.
    pub async fn append<S, E>(&mut self, body: S, last: bool) -> Result<Appended, Stopped>
    where
        S: futures::Stream<Item = Result<bytes::Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        let uploads = self.uploads;
        let mut open = match self.work.take().filter(|open| open.is_at(&self.state)) {
            Some(open) => open,
            None => Open::resume(&uploads.dir, self.state.clone(), &uploads.storage).await?,
        };
        open.lock()?;
        let appended = open.take(&uploads.dir, &uploads.storage, body, last, &self.slot).await;
        open.unlock();
        self.state = open.state().clone();
        match appended {
            Ok(Appended::Finished) => uploads.hand_over(&self.state).await?,
            Err(Stopped::Refused(_)) => {
                self.state.remove(&uploads.dir)?;
                uploads.drop_slot(self.state.id);
            }
            _ => *self.work = Some(open),
        }
        appended
    }

    /// The row of a finished upload; its ciphertext is in the content store.
    ///
    /// # Errors
    /// When the content store does not work.
    pub async fn finished(&self) -> Result<Option<Upload>, ContentError> {
        if self.state.done.is_some() {
            self.uploads.hand_over(&self.state).await?;
        }
        Ok(self.state.row())
    }

    /// Removes the upload: it was cancelled, or is recorded elsewhere.
    ///
    /// # Errors
    /// When the disk does not work.
    pub fn forget(self) -> Result<(), ContentError> {
        self.state.remove(&self.uploads.dir)?;
        self.uploads.drop_slot(self.state.id);
        Ok(())
    }
}

impl Uploads {
    /// The ciphertext of a finished upload goes to the content store; repeating it is harmless.
    async fn hand_over(&self, state: &State) -> Result<(), ContentError> {
        let Some(done) = &state.done else { return Ok(()) };
        let file = state.cipher(&self.dir);
        if file.exists() {
            // It was hashed as it was written, and flushed before it was called done.
            self.content.adopt(&file, done.cipher_sha256, Some(done.cipher_sha256)).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
