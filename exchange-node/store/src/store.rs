//! [`Store`] over a database: each method is one function of the room that owns its tables.

use async_trait::async_trait;
use schemas::digest::Digest;
use schemas::ids::{DeliveryId, DocumentId, EvidenceId, MessageId, NodeId};
use schemas::time::Timestamp;

use crate::db::Db;
use crate::rows::{
    Anchor, Anchored, Cause, Change, Claimed, ClientRow, Counts, DeliveryKey, DeliveryQuery,
    DeliveryRow, EffectKind, EventRow, EvidenceRow, Handed, InboxQuery, Loaded, MessageQuery,
    MessageRow, PeerRow, QueueQuery, QueueRow, SetAside, Settlement, TokenRow, Unanchored, Upload,
};
use crate::snapshot::Snapshot;
use crate::{Store, StoreError, access, anchor, commit, inbox, peers, read, upkeep, work};

/// The archive in SQLite or PostgreSQL.
#[derive(Debug)]
pub(crate) struct SqlStore {
    db: Db,
}

impl SqlStore {
    pub(crate) const fn new(db: Db) -> Self {
        Self { db }
    }
}

#[async_trait]
impl Store for SqlStore {
    async fn load(
        &self,
        causes: &[Cause],
        deliveries: &[DeliveryId],
        messages: &[MessageId],
    ) -> Result<Loaded, StoreError> {
        read::load(&self.db, causes, deliveries, messages).await
    }

    async fn commit_and_claim(
        &self,
        batch: &[Change],
        lease_ms: i64,
    ) -> Result<Handed, StoreError> {
        commit::commit(&self.db, batch, lease_ms).await
    }

    async fn claim(
        &self,
        kind: EffectKind,
        now: Timestamp,
        lease_ms: i64,
        limit: u32,
    ) -> Result<Vec<Claimed>, StoreError> {
        work::claim(&self.db, kind, now, lease_ms, limit).await
    }

    async fn waiting(&self, kind: EffectKind, keys: &[String]) -> Result<Vec<String>, StoreError> {
        work::waiting(&self.db, kind, keys).await
    }

    async fn settle(&self, batch: &[Settlement], _now: Timestamp) -> Result<bool, StoreError> {
        work::settle(&self.db, batch).await
    }

    async fn tried(&self, deliveries: &[DeliveryId]) -> Result<Vec<DeliveryId>, StoreError> {
        work::tried(&self.db, deliveries).await
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<DeliveryId>, StoreError> {
        let ids = inbox::due(&self.db, now.millis(), limit).await?;
        Ok(ids.into_iter().map(DeliveryId).collect())
    }

    async fn set_aside(&self, rows: &[SetAside]) -> Result<(), StoreError> {
        work::set_aside(&self.db, rows).await
    }

    async fn queue(&self, query: &QueueQuery) -> Result<Vec<QueueRow>, StoreError> {
        work::list(&self.db, query).await
    }

    async fn unsent(&self, most: u32) -> Result<u64, StoreError> {
        work::unsent(&self.db, most).await
    }

    async fn redrive(&self, ids: &[i64], now: Timestamp) -> Result<u64, StoreError> {
        work::redrive(&self.db, ids, now).await
    }

    async fn close_dead(&self, ids: &[i64]) -> Result<Vec<i64>, StoreError> {
        work::close(&self.db, ids).await
    }

    async fn usage(
        &self,
        member: &str,
        since: Timestamp,
        limit: u32,
    ) -> Result<(u64, u64), StoreError> {
        read::usage(&self.db, member, since, limit).await
    }

    async fn inboxes(&self, members: &[String]) -> Result<Vec<(String, u64, u64)>, StoreError> {
        inbox::usage(&self.db, members).await
    }

    async fn peers(&self) -> Result<Vec<PeerRow>, StoreError> {
        peers::all(&self.db).await
    }

    async fn rule_peer(&self, row: &PeerRow) -> Result<(), StoreError> {
        peers::rule(&self.db, row).await
    }

    async fn pause_peer(
        &self,
        peer: &NodeId,
        now: Timestamp,
        error: &str,
    ) -> Result<(), StoreError> {
        peers::pause(&self.db, peer, now, error).await
    }

    async fn resume_peer(&self, peer: &NodeId) -> Result<(), StoreError> {
        peers::resume(&self.db, peer).await
    }

    async fn unanchored(&self, after_seq: i64, limit: u32) -> Result<Vec<Unanchored>, StoreError> {
        anchor::unanchored(&self.db, after_seq, limit).await
    }

    async fn oldest_unanchored(&self) -> Result<Option<Timestamp>, StoreError> {
        anchor::oldest(&self.db).await
    }

    async fn anchor(&self, anchor: &Anchor) -> Result<bool, StoreError> {
        anchor::anchor(&self.db, anchor).await
    }

    async fn anchored(&self, ids: &[EvidenceId]) -> Result<Vec<Anchored>, StoreError> {
        anchor::anchored(&self.db, ids).await
    }

    async fn messages(&self, query: &MessageQuery) -> Result<Vec<MessageRow>, StoreError> {
        read::messages(&self.db, query).await
    }

    async fn deliveries(&self, query: &DeliveryQuery) -> Result<Vec<DeliveryRow>, StoreError> {
        read::deliveries(&self.db, query).await
    }

    async fn inbox(&self, query: &InboxQuery) -> Result<Vec<DeliveryRow>, StoreError> {
        inbox::list(&self.db, query).await
    }

    async fn evidence_of(&self, message: MessageId) -> Result<Vec<EvidenceRow>, StoreError> {
        read::evidence_of(&self.db, message).await
    }

    async fn evidence(&self, id: EvidenceId) -> Result<Option<EvidenceRow>, StoreError> {
        read::evidence(&self.db, id).await
    }

    async fn sealed(&self, ids: &[EvidenceId]) -> Result<Vec<(EvidenceId, Vec<u8>)>, StoreError> {
        read::sealed(&self.db, ids).await
    }

    async fn evidence_after(&self, seq: i64, limit: u32) -> Result<Vec<EvidenceRow>, StoreError> {
        read::evidence_after(&self.db, seq, limit).await
    }

    async fn events(
        &self,
        member: &str,
        after: i64,
        limit: u32,
    ) -> Result<Vec<EventRow>, StoreError> {
        read::events(&self.db, member, after, limit).await
    }

    async fn put_upload(&self, upload: &Upload) -> Result<(), StoreError> {
        access::put_upload(&self.db, upload).await
    }

    async fn uploads(
        &self,
        member: &str,
        ids: &[DocumentId],
        now: Timestamp,
    ) -> Result<Vec<Upload>, StoreError> {
        access::uploads(&self.db, member, ids, now).await
    }

    async fn delivery_keys(&self, delivery: DeliveryId) -> Result<Vec<DeliveryKey>, StoreError> {
        read::delivery_keys(&self.db, delivery).await
    }

    async fn put_client(&self, client: &ClientRow) -> Result<(), StoreError> {
        access::put_client(&self.db, client).await
    }

    async fn client(&self, client_id: &str) -> Result<Option<ClientRow>, StoreError> {
        access::client(&self.db, client_id).await
    }

    async fn clients(&self) -> Result<Vec<ClientRow>, StoreError> {
        access::clients(&self.db).await
    }

    async fn put_token(&self, token: &TokenRow) -> Result<(), StoreError> {
        access::put_token(&self.db, token).await
    }

    async fn token(&self, sha256: &Digest, now: Timestamp) -> Result<Option<TokenRow>, StoreError> {
        access::token(&self.db, sha256, now).await
    }

    async fn counts(&self, _now: Timestamp) -> Result<Counts, StoreError> {
        upkeep::counts(&self.db).await
    }

    async fn unsent_by_peer(&self) -> Result<Vec<(String, u64, Timestamp)>, StoreError> {
        upkeep::unsent_by_peer(&self.db).await
    }

    async fn probe(&self, now: Timestamp) -> Result<(), StoreError> {
        upkeep::probe(&self.db, now).await
    }

    async fn sweep(&self, now: Timestamp, keep_causes_ms: i64) -> Result<Vec<Digest>, StoreError> {
        upkeep::sweep(&self.db, now, keep_causes_ms).await
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Snapshot::begin(&self.db).await
    }

    async fn close(&self) {
        self.db.close().await;
    }
}
