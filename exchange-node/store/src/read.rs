//! What is read back: batches for the engine, lists for people, streams for auditors.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use exchange_core::state::Delivery;
use schemas::envelope::Envelope;
use schemas::event::{Event, Reason};
use schemas::ids::{DeliveryId, DocumentId, EvidenceId, MessageId};
use schemas::time::Timestamp;
use uuid::Uuid;

use crate::StoreError;
use crate::db::{Args, Db};
use crate::rows::{
    Cause, DeliveryKey, DeliveryQuery, DeliveryRow, EventRow, EvidenceRow, Kind, Loaded,
    MessageQuery, MessageRow, NewEvidence, Outcome,
};
use crate::sql;
use crate::text::{digest, from_json, parsed, time, unsigned};

/// Everything that a batch needs: three statements at most.
pub(crate) async fn load(
    db: &Db,
    causes: &[Cause],
    deliveries: &[DeliveryId],
    messages: &[MessageId],
) -> Result<Loaded, StoreError> {
    let mut loaded = Loaded::default();
    if !causes.is_empty() {
        let args = Args::new().texts(causes.iter().map(|c| c.0.as_str()));
        let rows: Vec<(String, Outcome)> = db.fetch(sql::CAUSE_OUTCOMES, args).await?;
        loaded.outcomes = rows.into_iter().map(|(cause, o)| (Cause(cause), o)).collect();
    }
    let mut wanted: HashSet<MessageId> = messages.iter().copied().collect();
    if !deliveries.is_empty() {
        let args = Args::new().ids(deliveries.iter().map(|d| d.0));
        let rows: Vec<DeliveryRaw> = db.fetch(sql::DELIVERIES_BY_ID, args).await?;
        for row in rows {
            let delivery: Delivery = from_json("a delivery", &row.state)?;
            wanted.insert(delivery.message);
            loaded.deliveries.insert(delivery.id, (delivery, row.version));
        }
    }
    loaded.envelopes = envelopes(db, wanted).await?;
    Ok(loaded)
}

async fn envelopes(
    db: &Db,
    ids: HashSet<MessageId>,
) -> Result<HashMap<MessageId, Arc<Envelope>>, StoreError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let args = Args::new().ids(ids.into_iter().map(|id| id.0));
    let rows: Vec<(String,)> = db.fetch(sql::ENVELOPES, args).await?;
    rows.iter()
        .map(|(text,)| envelope(text).map(|envelope| (envelope.message_id, envelope)))
        .collect()
}

fn envelope(text: &str) -> Result<Arc<Envelope>, StoreError> {
    from_json("an envelope", text).map(Arc::new)
}

/// A delivery without its envelope.
#[derive(sqlx::FromRow)]
pub(crate) struct DeliveryRaw {
    seq: i64,
    version: i64,
    recipient_member: Option<String>,
    state: String,
}

/// Deliveries of messages, or all of them.
pub(crate) async fn deliveries(
    db: &Db,
    query: &DeliveryQuery,
) -> Result<Vec<DeliveryRow>, StoreError> {
    let page = |args: Args<'static>| args.int(query.after).int(i64::from(query.limit));
    let raw = if query.messages.is_empty() {
        db.fetch(sql::DELIVERIES_ALL, page(Args::new())).await?
    } else {
        let ids = Args::new().ids(query.messages.iter().map(|m| m.0));
        db.fetch(sql::DELIVERIES_OF, page(ids)).await?
    };
    delivery_rows(db, raw).await
}

/// Adds the envelopes, each read once.
pub(crate) async fn delivery_rows(
    db: &Db,
    raw: Vec<DeliveryRaw>,
) -> Result<Vec<DeliveryRow>, StoreError> {
    let mut parsed = Vec::with_capacity(raw.len());
    for row in raw {
        let delivery: Delivery = from_json("a delivery", &row.state)?;
        parsed.push((row, delivery));
    }
    let envelopes = envelopes(db, parsed.iter().map(|(_, d)| d.message).collect()).await?;
    parsed
        .into_iter()
        .map(|(row, delivery)| {
            let envelope = envelopes.get(&delivery.message).cloned().ok_or_else(|| {
                StoreError::Corrupt(format!("delivery {} has no message", delivery.id))
            })?;
            Ok(DeliveryRow {
                seq: row.seq,
                delivery,
                version: row.version,
                recipient_member: row.recipient_member,
                envelope,
            })
        })
        .collect()
}

/// Messages by filters.
pub(crate) async fn messages(db: &Db, query: &MessageQuery) -> Result<Vec<MessageRow>, StoreError> {
    let args = Args::new()
        .int(query.after)
        .int(i64::from(query.limit))
        .text(query.process.as_deref())
        .text(query.state.as_deref());
    let member = query.member.as_deref();
    let rows: Vec<(i64, String, Option<String>)> = match (query.id, member) {
        (Some(id), member) => db.fetch(sql::MESSAGE_ONE, args.text(member).id(id.0)).await?,
        (None, Some(member)) => db.fetch(sql::MESSAGES_OF_MEMBER, args.text(member)).await?,
        (None, None) => db.fetch(sql::MESSAGES_ALL, args).await?,
    };
    rows.into_iter()
        .map(|(seq, text, member)| Ok(MessageRow { seq, envelope: envelope(&text)?, member }))
        .collect()
}

/// A stored evidence.
#[derive(sqlx::FromRow)]
struct EvidenceRaw {
    seq: i64,
    id: Uuid,
    message: Uuid,
    deliveries: Vec<u8>,
    event: String,
    reason: Option<String>,
    node: String,
    at: i64,
    sealed_at: i64,
    sha256: Vec<u8>,
    stored_at: i64,
    p7m: Vec<u8>,
    anchored_at: Option<i64>,
}

impl EvidenceRaw {
    fn row(self) -> Result<EvidenceRow, StoreError> {
        let unknown = |what: &str, text: &str| StoreError::Corrupt(format!("{what} {text:?}"));
        // One column tells what a row is: the event of an evidence, or the kind of another object.
        let (kind, event) = match self.event.as_str() {
            "dispatch" => (Kind::Dispatch, None),
            "status" => (Kind::Status, None),
            name => {
                let event = Event::parse(name).ok_or_else(|| unknown("event", name))?;
                (Kind::Evidence, Some(event))
            }
        };
        let reason = match &self.reason {
            Some(code) => Some(Reason::parse(code).ok_or_else(|| unknown("reason", code))?),
            None => None,
        };
        Ok(EvidenceRow {
            seq: self.seq,
            stored_at: time(self.stored_at),
            anchored_at: self.anchored_at.map(time),
            evidence: NewEvidence {
                kind,
                id: EvidenceId(self.id),
                message: MessageId(self.message),
                deliveries: delivery_ids(&self.deliveries)?,
                event,
                reason,
                node: parsed("issuer of an evidence", &self.node)?,
                at: time(self.at),
                sealed_at: time(self.sealed_at),
                sha256: digest(&self.sha256)?,
                p7m: self.p7m,
            },
        })
    }
}

/// Joined UUIDs, in the order in which they were added.
fn delivery_ids(joined: &[u8]) -> Result<Vec<DeliveryId>, StoreError> {
    let mut ids = Vec::with_capacity(joined.len() / 16);
    let mut seen = HashSet::new();
    for octets in joined.chunks(16) {
        let id = Uuid::from_slice(octets)
            .map_err(|e| StoreError::Corrupt(format!("deliveries of an evidence: {e}")))?;
        if seen.insert(id) {
            ids.push(DeliveryId(id));
        }
    }
    Ok(ids)
}

async fn evidence_rows(
    db: &Db,
    sql: sql::Sql,
    args: Args<'_>,
) -> Result<Vec<EvidenceRow>, StoreError> {
    let rows: Vec<EvidenceRaw> = db.fetch(sql, args).await?;
    rows.into_iter().map(EvidenceRaw::row).collect()
}

/// Evidence of a message.
pub(crate) async fn evidence_of(
    db: &Db,
    message: MessageId,
) -> Result<Vec<EvidenceRow>, StoreError> {
    evidence_rows(db, sql::EVIDENCE_OF, Args::new().id(message.0)).await
}

/// One evidence.
pub(crate) async fn evidence(db: &Db, id: EvidenceId) -> Result<Option<EvidenceRow>, StoreError> {
    Ok(evidence_rows(db, sql::EVIDENCE_ONE, Args::new().id(id.0)).await?.into_iter().next())
}

/// Sealed bytes of several objects.
pub(crate) async fn sealed(
    db: &Db,
    ids: &[EvidenceId],
) -> Result<Vec<(EvidenceId, Vec<u8>)>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let args = Args::new().ids(ids.iter().map(|id| id.0));
    let rows: Vec<(Uuid, Vec<u8>)> = db.fetch(sql::EVIDENCE_BYTES, args).await?;
    Ok(rows.into_iter().map(|(id, p7m)| (EvidenceId(id), p7m)).collect())
}

/// Evidence after a position.
pub(crate) async fn evidence_after(
    db: &Db,
    seq: i64,
    limit: u32,
) -> Result<Vec<EvidenceRow>, StoreError> {
    let args = Args::new().int(seq).int(i64::from(limit));
    evidence_rows(db, sql::EVIDENCE_AFTER, args).await
}

/// The event feed of a member.
pub(crate) async fn events(
    db: &Db,
    member: &str,
    after: i64,
    limit: u32,
) -> Result<Vec<EventRow>, StoreError> {
    let args = Args::new().text(member).int(after).int(i64::from(limit));
    let rows: Vec<(i64, String)> = db.fetch(sql::EVENTS_AFTER, args).await?;
    rows.into_iter()
        .map(|(seq, text)| Ok(EventRow { seq, event: from_json("an event", &text)? }))
        .collect()
}

/// Wrapped keys of a delivery.
pub(crate) async fn delivery_keys(
    db: &Db,
    delivery: DeliveryId,
) -> Result<Vec<DeliveryKey>, StoreError> {
    type Raw = (Uuid, Uuid, Vec<u8>, i64, Vec<u8>);
    let rows: Vec<Raw> = db.fetch(sql::KEYS_OF, Args::new().id(delivery.0)).await?;
    rows.into_iter()
        .map(|(delivery, document, cipher_sha256, cipher_size, wrapped_key)| {
            Ok(DeliveryKey {
                delivery: DeliveryId(delivery),
                document: DocumentId(document),
                cipher_sha256: digest(&cipher_sha256)?,
                cipher_size: unsigned(cipher_size),
                wrapped_key,
            })
        })
        .collect()
}

/// Messages and octets of documents that a member has sent since a moment.
pub(crate) async fn usage(
    db: &Db,
    member: &str,
    since: Timestamp,
    limit: u32,
) -> Result<(u64, u64), StoreError> {
    let args = Args::new().text(member).int(since.millis()).int(i64::from(limit));
    let row: Option<(i64, i64)> = db.fetch_one(sql::MESSAGES_USAGE, args).await?;
    Ok(row.map_or((0, 0), |(messages, octets)| (unsigned(messages), unsigned(octets))))
}
