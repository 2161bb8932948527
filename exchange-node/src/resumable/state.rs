//! The file of an upload.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use exchange_store::content::ContentError;
use exchange_store::rows::Upload;
use schemas::bytes::Octets;
use schemas::digest::Digest;
use schemas::ids::DocumentId;
use schemas::time::Timestamp;
use serde::{Deserialize, Serialize};
use signing::encrypt::{
    CHUNK, DocumentKey, PREFIX, StorageKey, StreamOpener, StreamSealer, TAG, open_all, seal_all,
};
use uuid::Uuid;

use super::Stopped;
use crate::upload::Announced;

/// What is said when an upload begins.
#[derive(Clone, Debug)]
pub struct New {
    /// Key of the member.
    pub member: String,
    /// What the client says about the document.
    pub announced: Announced,
    /// `Upload-Length`, when given.
    pub length: Option<u64>,
    /// Now.
    pub at: Timestamp,
    /// When it is removed if it was not finished, or not used.
    pub expires: Timestamp,
}

/// What is needed to go on with an upload. Used in stored state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// The document.
    pub id: DocumentId,
    /// Key of the member.
    pub member: String,
    /// File name.
    pub name: String,
    /// Media type.
    pub media_type: String,
    /// Digest that was announced.
    pub sha256: Option<Digest>,
    /// Length that was announced.
    pub length: Option<u64>,
    /// Largest size allowed.
    pub max_size: u64,
    /// Octets that are durable.
    pub offset: u64,
    /// When it began.
    pub at: Timestamp,
    /// When it is removed.
    pub expires: Timestamp,
    /// Set before the ciphertext goes to the content store.
    pub done: Option<Done>,
    wrapped_key: Octets,
    prefix: Octets,
    /// Octets behind the last whole chunk, enciphered under a key of their own.
    tail: Option<Tail>,
}

/// What a finished upload came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Done {
    /// Of the document.
    pub sha256: Digest,
    /// Of the ciphertext.
    pub cipher_sha256: Digest,
    /// Of the ciphertext.
    pub cipher_size: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Tail {
    wrapped_key: Octets,
    sealed: Octets,
}

impl State {
    /// A new upload, not on disk yet.
    pub(super) fn create(new: New, storage: &StorageKey) -> Result<Self, Stopped> {
        let id = DocumentId(Uuid::now_v7());
        let key = DocumentKey::generate().map_err(crypto)?;
        let prefix = StreamSealer::random(&key).map_err(crypto)?.prefix();
        let wrapped_key = storage.wrap(&key, id.0.as_bytes()).map_err(crypto)?;
        let Announced { name, media_type, sha256, max_size } = new.announced;
        Ok(Self {
            id,
            member: new.member,
            name,
            media_type,
            sha256,
            length: new.length,
            max_size,
            offset: 0,
            at: new.at,
            expires: new.expires,
            done: None,
            wrapped_key: Octets(wrapped_key),
            prefix: Octets(prefix.to_vec()),
            tail: None,
        })
    }

    /// Makes both files.
    pub(super) fn begin(&self, dir: &Path) -> Result<(), ContentError> {
        File::create_new(self.cipher(dir))?;
        self.write(dir)
    }

    /// Reads an upload; none when there is no such.
    pub(super) fn read(dir: &Path, id: DocumentId) -> Result<Option<Self>, ContentError> {
        match fs::read(path(dir, id)) {
            Ok(bytes) => ciborium::from_reader(bytes.as_slice())
                .map(Some)
                .map_err(|e| ContentError::Io(format!("upload {id}: {e}"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Replaces the file: at any moment the old one is there, or the new one.
    pub(super) fn write(&self, dir: &Path) -> Result<(), ContentError> {
        let path = path(dir, self.id);
        let fresh = path.with_extension("fresh");
        let mut file = File::create(&fresh)?;
        file.write_all(&schemas::frame::encode(self))?;
        file.sync_data()?;
        fs::rename(&fresh, &path)?;
        File::open(dir)?.sync_all()?;
        Ok(())
    }

    /// Removes both files, the state first: without it there is no upload.
    pub(super) fn remove(&self, dir: &Path) -> Result<(), ContentError> {
        for path in [path(dir, self.id), self.cipher(dir)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Where the ciphertext grows.
    pub(super) fn cipher(&self, dir: &Path) -> PathBuf {
        path(dir, self.id).with_extension("cipher")
    }

    /// The ciphertext, cut where the durable part ends.
    pub(super) fn cipher_file(&self, dir: &Path) -> io::Result<File> {
        let file = OpenOptions::new().read(true).append(true).open(self.cipher(dir))?;
        file.set_len(self.cipher_length())?;
        Ok(file)
    }

    /// Counts the chunks that an earlier process enciphered and did not live to count. They must not
    /// be enciphered again from other octets: the nonce of a chunk is its index.
    pub(super) fn recover(&mut self, dir: &Path, storage: &StorageKey) -> Result<(), Stopped> {
        let path = self.cipher(dir);
        if self.done.is_some() || !path.exists() {
            return Ok(());
        }
        let file = File::open(path).map_err(ContentError::from)?;
        let length = file.metadata().map_err(ContentError::from)?.len();
        let (chunks, block) = (self.chunks(), (CHUNK + TAG) as u64);
        let mut at = self.cipher_length().max(PREFIX as u64);
        if length < at + block || file.try_lock().is_err() {
            return Ok(());
        }
        let index = u32::try_from(chunks).unwrap_or(u32::MAX);
        let key = self.key(storage)?;
        let mut opener = StreamOpener::at(&key, self.prefix()?, index).map_err(crypto)?;
        let (mut found, mut sealed, mut last) = (chunks, vec![0; CHUNK + TAG], Vec::new());
        while at + block <= length {
            file.read_exact_at(&mut sealed, at).map_err(ContentError::from)?;
            let Ok(plain) = opener.push(&sealed, false) else { break };
            (found, at, last) = (found + 1, at + block, plain);
        }
        if found > chunks {
            file.sync_data().map_err(ContentError::from)?;
            self.offset = found * CHUNK as u64;
            self.keep_tail(&last, storage)?;
            self.write(dir)?;
        }
        Ok(())
    }

    /// Whole chunks that are durable.
    pub(super) const fn chunks(&self) -> u64 {
        // The last chunk is held back until it is known whether it is the last.
        self.offset.saturating_sub(1) / CHUNK as u64
    }

    const fn cipher_length(&self) -> u64 {
        match self.chunks() {
            0 => 0,
            chunks => PREFIX as u64 + chunks * (CHUNK + TAG) as u64,
        }
    }

    pub(super) fn key(&self, storage: &StorageKey) -> Result<DocumentKey, Stopped> {
        storage.unwrap(&self.wrapped_key.0, self.id.0.as_bytes()).map_err(crypto)
    }

    pub(super) fn prefix(&self) -> Result<[u8; PREFIX], Stopped> {
        let prefix = self.prefix.0.as_slice().try_into();
        prefix.map_err(|_| Stopped::Crypto("an upload has no prefix".to_owned()))
    }

    /// The octets behind the last whole chunk.
    pub(super) fn tail(&self, storage: &StorageKey) -> Result<Vec<u8>, Stopped> {
        let Some(tail) = &self.tail else { return Ok(Vec::new()) };
        let key = storage.unwrap(&tail.wrapped_key.0, self.id.0.as_bytes()).map_err(crypto)?;
        open_all(&key, &tail.sealed.0).map_err(crypto)
    }

    /// Keeps the octets behind the last whole chunk, each time under a new key.
    pub(super) fn keep_tail(&mut self, plain: &[u8], storage: &StorageKey) -> Result<(), Stopped> {
        let key = DocumentKey::generate().map_err(crypto)?;
        let wrapped_key = storage.wrap(&key, self.id.0.as_bytes()).map_err(crypto)?;
        let sealed = seal_all(&key, plain).map_err(crypto)?;
        self.tail = Some(Tail { wrapped_key: Octets(wrapped_key), sealed: Octets(sealed) });
        Ok(())
    }

    /// The row of a finished upload.
    pub(super) fn row(&self) -> Option<Upload> {
        self.done.as_ref().map(|done| Upload {
            id: self.id,
            member: self.member.clone(),
            name: self.name.clone(),
            media_type: self.media_type.clone(),
            size: self.offset,
            sha256: done.sha256,
            cipher_sha256: done.cipher_sha256,
            cipher_size: done.cipher_size,
            wrapped_key: self.wrapped_key.0.clone(),
            at: self.at,
            expires: Some(self.expires),
        })
    }
}

fn path(dir: &Path, id: DocumentId) -> PathBuf {
    dir.join(format!("{}.state", id.0))
}

pub(super) fn crypto(error: signing::encrypt::EncryptError) -> Stopped {
    Stopped::Crypto(error.to_string())
}
