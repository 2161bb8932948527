//! Backups of a node: taken while it runs, verified anywhere, restored on a bare machine.
//!
//! ```text
//! pli-cd-34-20261124T133000Z/
//!   index.p7m        sealed by the node: what this is, when it was taken, and every file's digest
//!   archive/         the database of one moment (`exchange_store::backup`)
//!   content/         ciphertexts; no plaintext is ever in a backup
//!   audit.log .p7m   the journal of acts as that database knows it
//!   node.toml        the configuration, without passwords
//!   keys/ crls/ trust/ directory/   what is public
//!   keys.p7m         private keys, enciphered to the operator's certificates; only when asked for
//! ```
//! - [`create`]: first the database, then the content: content is durable before the row that names
//!   it, and is never changed, so that nothing that the database names is missing.
//! - [`check`]: the seal of the index, then every file.
//! - [`restore`]: verifies everything first, writes beside, and puts it in place whole.
//! - [`settings`]: which files make a node, and what has to stay with the operator.
//! - [`copy`]: files with their digests.
//!
//! Deliberately absent: what is under way and comes again by itself (uploads that are not finished,
//! parts of content whose dispatch is not complete), and brokers.

pub mod check;
pub mod copy;
pub mod create;
pub mod restore;
pub mod settings;

use exchange_store::backup::Archive;
use schemas::digest::Digest;
use schemas::ids::NodeId;
use schemas::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Name of the sealed index.
pub const INDEX: &str = "index.p7m";
/// Name of the enciphered keys.
pub const KEYS: &str = "keys.p7m";
/// Directory of the archive.
pub const ARCHIVE: &str = "archive";

/// What a backup is; sealed by the node. Used in stored state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Index {
    /// Of this form: 1.
    pub version: u32,
    /// Its own identifier.
    pub id: Uuid,
    /// Whose it is.
    pub node: NodeId,
    /// Version of the software that took it.
    pub software: String,
    /// Everything that was committed before is in it.
    pub taken: Timestamp,
    /// When it was complete.
    pub finished: Timestamp,
    /// The database.
    pub archive: Archive,
    /// Where the private keys are.
    pub keys: KeyPlace,
    /// Tells whether a storage key is the one, without telling the key.
    pub storage_check: Digest,
    /// Settings whose passwords were left out: `store`, `backbone`, or `backbone NAME`.
    pub withheld: Vec<String>,
    /// The backup whose files were taken over where nothing had changed.
    pub base: Option<Uuid>,
    /// Content whose octets do not have their digest: damaged before it was copied.
    pub damaged: Vec<String>,
    /// Every file but the index itself.
    pub files: Vec<Entry>,
}

/// Where the private keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPlace {
    /// With the operator.
    Apart,
    /// In `keys.p7m`, for the holder of a certificate.
    Enciphered,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Below the backup, with `/`.
    pub path: String,
    /// Octets.
    pub size: u64,
    /// Digest.
    pub sha256: Digest,
}

/// What is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Writing or loading the database.
    Database,
    /// Copying files.
    Files,
    /// Comparing files with the index.
    Checking,
}

/// Is told how many octets of about how many are done.
pub type Watch<'a> = &'a (dyn Fn(Stage, u64, u64) + Sync);

/// Tells one storage key from another: 256 random bits do not follow from their digest.
#[must_use]
pub fn storage_check(key: &[u8]) -> Digest {
    signing::digest::sha256(&[b"pli storage key\n".as_slice(), key].concat())
}
