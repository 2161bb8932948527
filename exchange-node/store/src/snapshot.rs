//! The archive as an auditor reads it: whole rows with every column, a page at a time, and all
//! reads of one [`Snapshot`] at one instant, so that a node may go on working meanwhile.
//!
//! Nothing is interpreted here: what a column says, and what it should say, is the auditor's
//! affair. A snapshot is held for one page and dropped: a long one would hold back the databases'
//! own housekeeping.

use schemas::ids::{DeliveryId, EvidenceId, MessageId};
use uuid::Uuid;

use crate::StoreError;
use crate::db::{Args, Db, Tx};
use crate::sql;

/// All tables at one instant.
#[derive(Debug)]
pub struct Snapshot {
    tx: Tx,
}

/// How far each table goes: positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Ends {
    /// Of messages.
    pub messages: i64,
    /// Of sealed objects.
    pub objects: i64,
    /// Of anchors.
    pub anchors: i64,
    /// Of entries of event feeds.
    pub events: i64,
    /// Of the queue.
    pub queue: i64,
}

/// A row of `messages`.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct MessageLook {
    /// Position.
    pub seq: i64,
    /// Id.
    pub id: Uuid,
    /// Key of the member of this node who sent it.
    pub member: Option<String>,
    /// Démarche.
    pub process: String,
    /// The envelope, JSON.
    pub envelope: String,
}

/// A row of `deliveries`.
#[derive(Clone, Debug)]
pub struct DeliveryLook {
    /// Id.
    pub id: Uuid,
    /// Message.
    pub message: Uuid,
    /// Role.
    pub role: String,
    /// Phase.
    pub phase: String,
    /// Milliseconds.
    pub since: i64,
    /// Custodian.
    pub custodian: String,
    /// Milliseconds.
    pub next_due: Option<i64>,
    /// Key of the member of this node who receives it.
    pub recipient_member: Option<String>,
    /// Whether its content was erased.
    pub erased: bool,
    /// The state, JSON.
    pub state: String,
}

/// A row of `evidence`, its bytes whole.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct ObjectLook {
    /// Position.
    pub seq: i64,
    /// Id.
    pub id: Uuid,
    /// Message.
    pub message: Uuid,
    /// Ids, joined.
    pub deliveries: Vec<u8>,
    /// Event, or kind.
    pub event: String,
    /// Code of the reason.
    pub reason: Option<String>,
    /// Issuer.
    pub node: String,
    /// Milliseconds.
    pub at: i64,
    /// Milliseconds.
    pub sealed_at: i64,
    /// Digest.
    pub sha256: Vec<u8>,
    /// Milliseconds.
    pub stored_at: i64,
    /// The sealed object.
    pub p7m: Vec<u8>,
}

/// A row of `inbox`.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct InboxLook {
    /// Delivery.
    pub delivery: Uuid,
    /// Key of the member.
    pub member: String,
    /// Phase.
    pub phase: String,
}

/// A row of `delivery_keys`.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct KeyLook {
    /// Delivery.
    pub delivery: Uuid,
    /// Document.
    pub document: Uuid,
    /// Digest of the ciphertext.
    pub cipher_sha256: Vec<u8>,
    /// Its size in bytes.
    pub cipher_size: i64,
    /// The wrapped key.
    pub wrapped_key: Vec<u8>,
}

/// A row of `evidence` without its bytes, and whom it may concern.
#[derive(Clone, Debug)]
pub struct RecordLook {
    /// Position.
    pub seq: i64,
    /// Id.
    pub id: Uuid,
    /// Event, or kind.
    pub event: String,
    /// Issuer.
    pub node: String,
    /// Milliseconds.
    pub at: i64,
    /// Milliseconds.
    pub stored_at: i64,
    /// Whether its message is here.
    pub known: bool,
    /// Key of the member of this node who sent the message.
    pub sender: Option<String>,
    /// Key of the member of this node who receives its (first) delivery.
    pub recipient: Option<String>,
}

/// A row of `events`.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct EventLook {
    /// Position.
    pub seq: i64,
    /// Key of the member.
    pub member: String,
    /// CloudEvent, JSON.
    pub event: String,
}

/// A row of `anchors`.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct AnchorLook {
    /// Position.
    pub id: i64,
    /// Root of the tree.
    pub root: Vec<u8>,
    /// Milliseconds.
    pub at: i64,
    /// RFC 3161 token.
    pub token: Vec<u8>,
    /// Position of its last object.
    pub last_seq: i64,
    /// Digests, joined.
    pub leaves: Vec<u8>,
}

/// A row of `queue` that a worker or an operator will deal with.
#[derive(Clone, Debug)]
pub struct QueueLook {
    /// Position.
    pub id: i64,
    /// Kind.
    pub kind: String,
    /// Delivery.
    pub delivery: Option<Uuid>,
    /// What is to be done.
    pub payload: Vec<u8>,
    /// Whether its delivery is here.
    pub known: bool,
    /// Whether it, or another row of its order, may be claimed.
    pub headed: bool,
    /// Whether it may be claimed beside another row of its order.
    pub doubled: bool,
}

impl Snapshot {
    pub(crate) async fn begin(db: &Db) -> Result<Self, StoreError> {
        Ok(Self { tx: db.begin_reading().await? })
    }

    /// How far each table goes.
    ///
    /// # Errors
    /// [`StoreError`], here and below: the database does not answer, or a column cannot be read.
    pub async fn ends(&mut self) -> Result<Ends, StoreError> {
        let rows: Vec<Ends> = self.tx.fetch(sql::LOOK_ENDS, Args::new()).await?;
        Ok(rows.first().copied().unwrap_or_default())
    }

    /// Messages of a range of positions, `limit` at most.
    ///
    /// # Errors
    /// As [`Snapshot::ends`].
    pub async fn messages(
        &mut self,
        after: i64,
        last: i64,
        limit: u32,
    ) -> Result<Vec<MessageLook>, StoreError> {
        self.tx.fetch(sql::LOOK_MESSAGES, range(after, last, limit)).await
    }

    /// All deliveries of these messages.
    ///
    /// # Errors
    /// As [`Snapshot::ends`].
    pub async fn deliveries(&mut self, of: &[MessageId]) -> Result<Vec<DeliveryLook>, StoreError> {
        type Raw =
            (Uuid, Uuid, String, String, i64, String, Option<i64>, Option<String>, i64, String);
        let args = Args::new().ids(of.iter().map(|m| m.0));
        let rows: Vec<Raw> = self.tx.fetch(sql::LOOK_DELIVERIES, args).await?;
        let look = |row: Raw| {
            let (id, message, role, phase, since, custodian, next_due, member, erased, state) = row;
            DeliveryLook {
                id,
                message,
                role,
                phase,
                since,
                custodian,
                next_due,
                recipient_member: member,
                erased: erased != 0,
                state,
            }
        };
        Ok(rows.into_iter().map(look).collect())
    }

    /// Sealed objects of these messages after a position.
    ///
    /// # Errors
    /// As [`Snapshot::ends`].
    pub async fn objects(
        &mut self,
        of: &[MessageId],
        after: i64,
        limit: u32,
    ) -> Result<Vec<ObjectLook>, StoreError> {
        let args = Args::new().ids(of.iter().map(|m| m.0)).int(after).int(i64::from(limit));
        self.tx.fetch(sql::LOOK_OBJECTS, args).await
    }

    /// Items of inboxes for these deliveries.
    ///
    /// # Errors
    /// As [`Snapshot::ends`].
    pub async fn inbox(&mut self, of: &[DeliveryId]) -> Result<Vec<InboxLook>, StoreError> {
        self.tx.fetch(sql::LOOK_INBOX, Args::new().ids(of.iter().map(|d| d.0))).await
    }

    /// Wrapped keys of these deliveries.
    ///
    /// # Errors
    /// As [`Snapshot::ends`].
    pub async fn keys(&mut self, of: &[DeliveryId]) -> Result<Vec<KeyLook>, StoreError> {
        self.tx.fetch(sql::LOOK_KEYS, Args::new().ids(of.iter().map(|d| d.0))).await
    }

    /// Objects of a range of positions, without their bytes.
    ///
    /// # Errors
    /// As [`Snapshot::ends`].
    pub async fn records(
        &mut self,
        after: i64,
        last: i64,
        limit: u32,
    ) -> Result<Vec<RecordLook>, StoreError> {
        type Raw =
            (i64, Uuid, String, String, i64, i64, Option<Uuid>, Option<String>, Option<String>);
        let rows: Vec<Raw> = self.tx.fetch(sql::LOOK_RECORDS, range(after, last, limit)).await?;
        let look = |(seq, id, event, node, at, stored_at, message, sender, recipient): Raw| {
            let known = message.is_some();
            RecordLook { seq, id, event, node, at, stored_at, known, sender, recipient }
        };
        Ok(rows.into_iter().map(look).collect())
    }

    /// Entries of event feeds of a range of positions.
    ///
    /// # Errors
    /// As [`Snapshot::ends`].
    pub async fn events(
        &mut self,
        after: i64,
        last: i64,
        limit: u32,
    ) -> Result<Vec<EventLook>, StoreError> {
        self.tx.fetch(sql::LOOK_EVENTS, range(after, last, limit)).await
    }

    /// The next anchor of a range.
    ///
    /// # Errors
    /// As [`Snapshot::ends`].
    pub async fn anchor(
        &mut self,
        after: i64,
        last: i64,
    ) -> Result<Option<AnchorLook>, StoreError> {
        let args = Args::new().int(after).int(last);
        let rows: Vec<AnchorLook> = self.tx.fetch(sql::LOOK_ANCHOR, args).await?;
        Ok(rows.into_iter().next())
    }

    /// Positions and digests of the objects of a range.
    ///
    /// # Errors
    /// As [`Snapshot::ends`].
    pub async fn leaves(
        &mut self,
        after: i64,
        last: i64,
        limit: u32,
    ) -> Result<Vec<(i64, Vec<u8>)>, StoreError> {
        self.tx.fetch(sql::LOOK_LEAVES, range(after, last, limit)).await
    }

    /// Rows of the queue that wait or are dead, of a range.
    ///
    /// # Errors
    /// As [`Snapshot::ends`].
    pub async fn queue(
        &mut self,
        after: i64,
        last: i64,
        limit: u32,
    ) -> Result<Vec<QueueLook>, StoreError> {
        type Raw = (i64, String, Option<Uuid>, Vec<u8>, i64, i64, i64);
        let rows: Vec<Raw> = self.tx.fetch(sql::LOOK_QUEUE, range(after, last, limit)).await?;
        let look = |(id, kind, delivery, payload, known, headed, doubled): Raw| QueueLook {
            id,
            kind,
            delivery,
            payload,
            known: known != 0,
            headed: headed != 0,
            doubled: doubled != 0,
        };
        Ok(rows.into_iter().map(look).collect())
    }

    /// Which of these objects are here.
    ///
    /// # Errors
    /// As [`Snapshot::ends`].
    pub async fn known(&mut self, ids: &[EvidenceId]) -> Result<Vec<EvidenceId>, StoreError> {
        let args = Args::new().ids(ids.iter().map(|id| id.0));
        let rows: Vec<(Uuid,)> = self.tx.fetch(sql::LOOK_KNOWN, args).await?;
        Ok(rows.into_iter().map(|(id,)| EvidenceId(id)).collect())
    }

    /// The next digests under which content must lie, with the smallest and the largest size in
    /// bytes that rows say.
    ///
    /// # Errors
    /// As [`Snapshot::ends`].
    pub async fn content(
        &mut self,
        after: &[u8],
        limit: u32,
    ) -> Result<Vec<(Vec<u8>, i64, i64)>, StoreError> {
        let args = Args::new().blob(after).int(i64::from(limit));
        self.tx.fetch(sql::LOOK_CONTENT, args).await
    }

    /// Rows that belong to nothing: `delivery` without a message, `inbox` and `key` without a
    /// delivery; `limit` of them at most.
    ///
    /// # Errors
    /// As [`Snapshot::ends`].
    pub async fn strays(&mut self, limit: u32) -> Result<Vec<(String, Uuid)>, StoreError> {
        self.tx.fetch(sql::LOOK_STRAYS, Args::new().int(i64::from(limit))).await
    }
}

fn range(after: i64, last: i64, limit: u32) -> Args<'static> {
    Args::new().int(after).int(last).int(i64::from(limit))
}
