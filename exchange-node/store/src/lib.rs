//! The archive: what a node must not lose.
//!
//! [`Store`] is one narrow door over two dialects, SQLite and PostgreSQL. Rows are written by
//! [`Store::commit`] alone, a batch at a time, in one transaction. The content of documents never
//! comes here: it lies in [`content`], as ciphertext, under its digest.
//!
//! - [`rows`]: the shapes that go in and out.
//! - [`backup`]: the archive as files, and back.
//! - [`snapshot`]: every column of one instant, for an auditor.
//! - [`content`]: ciphertext by digest, small ones packed, large ones as files.
//!
//! Deliberately absent: decisions, cryptography other than digests, and clocks.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)
)]

mod access;
mod anchor;
pub mod backup;
mod commit;
mod commit_rows;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod content;
mod db;
mod inbox;
mod migrate;
mod open;
mod peers;
mod read;
pub mod rows;
pub mod snapshot;
mod sql;
mod stapled;
mod store;
mod text;
mod upkeep;
mod work;

use std::fmt::Debug;

use async_trait::async_trait;
use schemas::ids::{DeliveryId, DocumentId, EvidenceId, MessageId, NodeId};
use schemas::time::Timestamp;

pub use crate::open::{create_database, open};
use crate::rows::{
    Anchor, Anchored, Cause, Change, Claimed, ClientRow, Committed, Counts, DeliveryKey,
    DeliveryQuery, DeliveryRow, EffectKind, EventRow, EvidenceRow, Handed, InboxQuery, Loaded,
    MessageQuery, MessageRow, PeerRow, QueueQuery, QueueRow, SetAside, Settlement, TokenRow,
    Unanchored, Upload,
};
use crate::snapshot::Snapshot;

/// What can go wrong in a store. Domain conflicts are results, not errors.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer or broke off: nothing is known about the last write, which
    /// the caller finds out by its causes. A later call may succeed.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The disk is full, or the database refuses to grow.
    #[error("the database has no room: {0}")]
    Full(String),
    /// A row cannot be read: corruption, or a version of the software that is too old.
    #[error("a stored row cannot be read: {0}")]
    Corrupt(String),
}

/// The archive of one node.
///
/// # Contract
/// - **Durability**: when [`commit`](Store::commit), [`settle`](Store::settle) or any other write
///   returns, its rows survive a kill of the process, of the database and (as far as the disk is
///   honest) of the machine.
/// - **Atomicity**: a [`Change`] is written whole or not at all. The changes of one batch share
///   one transaction; a change in conflict is left out and reported, the others stay.
/// - **Concurrency**: several processes may share one PostgreSQL. Deliveries are guarded by
///   compare-and-swap on their version, causes by uniqueness, effects by leases.
/// - **Errors**: after [`StoreError::Unavailable`] from a write, the write may or may not have
///   happened; the caller repeats it with the same causes and gets [`Committed::Known`] if it did.
#[async_trait]
pub trait Store: Send + Sync + Debug {
    /// Loads everything that a batch needs, in a constant number of statements: outcomes of the
    /// causes that are known, deliveries with their version, messages of those deliveries.
    async fn load(
        &self,
        causes: &[Cause],
        deliveries: &[DeliveryId],
        messages: &[MessageId],
    ) -> Result<Loaded, StoreError>;

    /// Writes a batch of changes in one transaction; one answer per change, same order.
    async fn commit(&self, batch: &[Change]) -> Result<Vec<Committed>, StoreError> {
        Ok(self.commit_and_claim(batch, 0).await?.answers)
    }

    /// As [`Store::commit`]; the publications of the batch that [`Store::claim`] would hand out at
    /// once are handed out by the commit itself, under a lease of `lease_ms` from the time of
    /// their change. None is while `lease_ms` is 0.
    async fn commit_and_claim(&self, batch: &[Change], lease_ms: i64)
    -> Result<Handed, StoreError>;

    /// Claims effects of a kind that are due, oldest first, under a lease until `now + lease_ms`.
    /// Two effects with the same order key are never claimed out of order: while an older one is
    /// leased or waiting to be retried, the younger is not handed out. A lease that ran out is
    /// claimable again.
    async fn claim(
        &self,
        kind: EffectKind,
        now: Timestamp,
        lease_ms: i64,
        limit: u32,
    ) -> Result<Vec<Claimed>, StoreError>;

    /// Of these order keys, those of which an effect of a kind waits, claimed or not.
    async fn waiting(&self, kind: EffectKind, keys: &[String]) -> Result<Vec<String>, StoreError>;

    /// Settles claimed effects: done (the row goes), retried later, or set aside (dead letter).
    /// Says whether effects that stood behind them may be claimed now.
    async fn settle(&self, batch: &[Settlement], now: Timestamp) -> Result<bool, StoreError>;

    /// Of these deliveries, those with a dispatch that somebody claimed, and of which nobody wrote
    /// down what came of it: it may have been sent.
    async fn tried(&self, deliveries: &[DeliveryId]) -> Result<Vec<DeliveryId>, StoreError>;

    /// Deliveries whose next due time has come, oldest first. No lease: deciding again is harmless.
    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<DeliveryId>, StoreError>;

    /// Keeps bytes from the backbone that were not believed, with the reason.
    async fn set_aside(&self, rows: &[SetAside]) -> Result<(), StoreError>;

    /// Dead letters and set-aside frames, oldest first (`pli queue list`).
    async fn queue(&self, query: &QueueQuery) -> Result<Vec<QueueRow>, StoreError>;

    /// How many publications wait; counting ends at `most`.
    async fn unsent(&self, most: u32) -> Result<u64, StoreError>;

    /// Puts dead effects back to work; returns how many. Empty means all. A frame that was set aside
    /// is put to work only by its id: as a wake whose payload is the frame as it was kept.
    async fn redrive(&self, ids: &[i64], now: Timestamp) -> Result<u64, StoreError>;

    /// Closes dead effects and frames set aside: they stay, but no longer count as dead. Returns
    /// those that were closed.
    async fn close_dead(&self, ids: &[i64]) -> Result<Vec<i64>, StoreError>;

    /// How many messages a member has sent since a moment, and how many octets of documents; of
    /// its newest messages at most `limit` are looked at.
    async fn usage(
        &self,
        member: &str,
        since: Timestamp,
        limit: u32,
    ) -> Result<(u64, u64), StoreError>;

    /// What waits for these members: how many deliveries and octets of content; those for whom
    /// nothing waits are left out.
    async fn inboxes(&self, members: &[String]) -> Result<Vec<(String, u64, u64)>, StoreError>;

    /// What is said about sending to other nodes.
    async fn peers(&self) -> Result<Vec<PeerRow>, StoreError>;

    /// Holds, releases or throttles a peer, as `held_since`, `reason` and `rate` say; obeyed by the
    /// next claim of every replica.
    async fn rule_peer(&self, row: &PeerRow) -> Result<(), StoreError>;

    /// Pauses a peer whose publications fail: claims hand out one probe now and then.
    async fn pause_peer(
        &self,
        peer: &NodeId,
        now: Timestamp,
        error: &str,
    ) -> Result<(), StoreError>;

    /// Ends a pause.
    async fn resume_peer(&self, peer: &NodeId) -> Result<(), StoreError>;

    /// Evidence without an anchor, oldest first by sequence, and the age of the oldest.
    async fn unanchored(&self, after_seq: i64, limit: u32) -> Result<Vec<Unanchored>, StoreError>;

    /// Time of sealing or arrival of the oldest evidence without an anchor.
    async fn oldest_unanchored(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Stores one token and its leaves; says whether. Leaves that are not exactly the evidence that
    /// waits, from the oldest on, change nothing: another process was faster.
    async fn anchor(&self, anchor: &Anchor) -> Result<bool, StoreError>;

    /// Place and tree of evidence, for those that are anchored.
    async fn anchored(&self, ids: &[EvidenceId]) -> Result<Vec<Anchored>, StoreError>;

    /// Sent messages of a member, oldest first, after a sequence number.
    async fn messages(&self, query: &MessageQuery) -> Result<Vec<MessageRow>, StoreError>;

    /// Deliveries by message, or by state, or all of them (for operators and `fsck`).
    async fn deliveries(&self, query: &DeliveryQuery) -> Result<Vec<DeliveryRow>, StoreError>;

    /// Deliveries that wait for a member, oldest first; with `claim`, those returned are hidden
    /// until their visibility time.
    async fn inbox(&self, query: &InboxQuery) -> Result<Vec<DeliveryRow>, StoreError>;

    /// Evidence of a message that this node holds, in the order in which it got to know it.
    async fn evidence_of(&self, message: MessageId) -> Result<Vec<EvidenceRow>, StoreError>;

    /// One evidence.
    async fn evidence(&self, id: EvidenceId) -> Result<Option<EvidenceRow>, StoreError>;

    /// The sealed bytes of several objects at once; those that are not here are left out.
    async fn sealed(&self, ids: &[EvidenceId]) -> Result<Vec<(EvidenceId, Vec<u8>)>, StoreError>;

    /// All evidence in the order of sequence, after a sequence number (export and `fsck`).
    async fn evidence_after(&self, seq: i64, limit: u32) -> Result<Vec<EvidenceRow>, StoreError>;

    /// The event feed of a member after a sequence number.
    async fn events(
        &self,
        member: &str,
        after: i64,
        limit: u32,
    ) -> Result<Vec<EventRow>, StoreError>;

    /// Records an uploaded document (its content is durable already).
    async fn put_upload(&self, upload: &Upload) -> Result<(), StoreError>;

    /// Uploads of a member, by id; foreign ones are not found.
    async fn uploads(
        &self,
        member: &str,
        ids: &[DocumentId],
        now: Timestamp,
    ) -> Result<Vec<Upload>, StoreError>;

    /// Wrapped content keys of a delivery at this node.
    async fn delivery_keys(&self, delivery: DeliveryId) -> Result<Vec<DeliveryKey>, StoreError>;

    /// Adds or replaces a client of the REST interface.
    async fn put_client(&self, client: &ClientRow) -> Result<(), StoreError>;

    /// A client by id.
    async fn client(&self, client_id: &str) -> Result<Option<ClientRow>, StoreError>;

    /// All clients.
    async fn clients(&self) -> Result<Vec<ClientRow>, StoreError>;

    /// Records an access token by its digest.
    async fn put_token(&self, token: &TokenRow) -> Result<(), StoreError>;

    /// A token that has not expired and whose client is not revoked.
    async fn token(
        &self,
        sha256: &schemas::digest::Digest,
        now: Timestamp,
    ) -> Result<Option<TokenRow>, StoreError>;

    /// Figures for status and metrics.
    async fn counts(&self, now: Timestamp) -> Result<Counts, StoreError>;

    /// Publications that wait, by destination: how many, and the creation time of the oldest.
    async fn unsent_by_peer(&self) -> Result<Vec<(String, u64, Timestamp)>, StoreError>;

    /// A real round trip (write and read of one row).
    async fn probe(&self, now: Timestamp) -> Result<(), StoreError>;

    /// Deletes what has expired: tokens, causes older than `keep_causes_ms`, unused uploads.
    /// Returns the ciphertext digests that no row refers to any more.
    async fn sweep(
        &self,
        now: Timestamp,
        keep_causes_ms: i64,
    ) -> Result<Vec<schemas::digest::Digest>, StoreError>;

    /// All tables at this instant, for an auditor.
    async fn snapshot(&self) -> Result<Snapshot, StoreError>;

    /// Waits for writes under way and closes.
    async fn close(&self);
}
