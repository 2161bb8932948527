//! The rows of a batch of changes: one statement per table, in an order that later statements of
//! the same transaction rely on.

use std::collections::{HashMap, HashSet};

use schemas::event::Event;
use schemas::ids::{DeliveryId, EvidenceId, MessageId};
use uuid::Uuid;

use crate::StoreError;
use crate::db::{Args, Tx};
use crate::rows::{Change, DeliveryWrite, NewEvidence};
use crate::sql::{self, Sql};
use crate::text::json_text;
use crate::work::Queued;
use crate::{inbox, stapled, work};

/// Whether another process inserted one of the new deliveries at the same time.
pub(crate) enum Raced {
    /// It did: undo and begin again.
    Yes,
    /// It did not; what the queue has gained.
    No(Queued),
}

/// Step 3: everything that the changes bring.
pub(crate) async fn write(
    tx: &mut Tx,
    changes: &[&Change],
    lease_ms: i64,
) -> Result<Raced, StoreError> {
    tx.execute(sql::FEED_LOCK, Args::new()).await?;
    messages(tx, changes).await?;
    if !deliveries(tx, changes).await? {
        return Ok(Raced::Yes);
    }
    evidence(tx, changes).await?;
    let settled: Vec<i64> = changes.iter().flat_map(|c| c.settles.iter().copied()).collect();
    let promoted = work::done(tx, settled).await?;
    let mut queued = work::insert(tx, changes, lease_ms).await?;
    queued.more |= promoted;
    events(tx, changes).await?;
    keys(tx, changes).await?;
    uploads(tx, changes).await?;
    uses(tx, changes).await?;
    erases(tx, changes).await?;
    Ok(Raced::No(queued))
}

async fn messages(tx: &mut Tx, changes: &[&Change]) -> Result<(), StoreError> {
    let new = || changes.iter().filter_map(|c| c.message.as_ref().map(|m| (m, c.now)));
    let envelopes: Vec<String> = new().map(|(m, _)| json_text(&*m.envelope)).collect();
    if envelopes.is_empty() {
        return Ok(());
    }
    let args = Args::new()
        .ids(new().map(|(m, _)| m.envelope.message_id.0))
        .texts(new().map(|(m, _)| m.member.as_deref()))
        .texts(new().map(|(m, _)| m.envelope.process.as_str()))
        .longs(envelopes.iter().map(String::as_str))
        .ints(new().map(|(_, now)| now.millis()));
    tx.execute(sql::MESSAGE_INSERT, args).await.map(drop)
}

/// Of several writes of one delivery the last one stays; the first one tells whether it is new.
/// False when another process was first.
async fn deliveries(tx: &mut Tx, changes: &[&Change]) -> Result<bool, StoreError> {
    let mut order: Vec<DeliveryId> = Vec::new();
    let mut last: HashMap<DeliveryId, (&DeliveryWrite, bool)> = HashMap::new();
    for write in changes.iter().flat_map(|c| &c.deliveries) {
        let id = write.delivery.id;
        let new = last.get(&id).map_or_else(
            || {
                order.push(id);
                write.expected.is_none()
            },
            |(_, new)| *new,
        );
        last.insert(id, (write, new));
    }
    let writes = |new: bool| {
        let of = |id| last.get(id).filter(|(_, is_new)| *is_new == new).map(|(write, _)| *write);
        order.iter().filter_map(of).collect::<Vec<_>>()
    };
    let (inserts, updates) = (writes(true), writes(false));
    for (rows, statement) in [(&inserts, sql::DELIVERY_INSERT), (&updates, sql::DELIVERY_UPDATE)] {
        if rows.len() != delivery_rows(tx, rows, statement).await? {
            return Ok(false);
        }
    }
    let held = held(changes, &inserts);
    inbox::follow(tx, inserts.into_iter().chain(updates), &held).await?;
    Ok(true)
}

/// Octets of content of the new deliveries whose keys come with them; of others nothing is known
/// here.
fn held(changes: &[&Change], inserts: &[&DeliveryWrite]) -> HashMap<DeliveryId, u64> {
    let new: HashSet<DeliveryId> = inserts.iter().map(|w| w.delivery.id).collect();
    let mut seen = HashSet::new();
    let mut octets: HashMap<DeliveryId, u64> = HashMap::new();
    for key in changes.iter().flat_map(|c| &c.keys) {
        if new.contains(&key.delivery) && seen.insert((key.delivery, key.document)) {
            let sum = octets.entry(key.delivery).or_default();
            *sum = sum.saturating_add(key.cipher_size);
        }
    }
    octets
}

async fn delivery_rows(
    tx: &mut Tx,
    writes: &[&DeliveryWrite],
    statement: Sql,
) -> Result<usize, StoreError> {
    if writes.is_empty() {
        return Ok(0);
    }
    let rows = || writes.iter().map(|w| &w.delivery);
    let states: Vec<String> = rows().map(json_text).collect();
    let args = Args::new()
        .ids(rows().map(|d| d.id.0))
        .ids(rows().map(|d| d.message.0))
        .ints(writes.iter().map(|w| w.expected.unwrap_or(0) + 1))
        .texts(rows().map(|d| d.role.name()))
        .texts(rows().map(|d| d.phase.name()))
        .ints(rows().map(|d| d.since.millis()))
        .texts(rows().map(|d| d.custodian.as_str()))
        .ints(rows().map(|d| d.next_due().map(|t| t.millis())))
        .texts(writes.iter().map(|w| w.recipient_member.as_deref()))
        .longs(states.iter().map(String::as_str));
    Ok(tx.fetch::<(Uuid,)>(statement, args).await?.len())
}

/// Evidence that is known already keeps its bytes; the deliveries it belongs to are added.
async fn evidence(tx: &mut Tx, changes: &[&Change]) -> Result<(), StoreError> {
    let mut order: Vec<EvidenceId> = Vec::new();
    let mut unique: HashMap<EvidenceId, (&NewEvidence, i64, Vec<u8>)> = HashMap::new();
    for (new, now) in changes.iter().flat_map(|c| c.evidence.iter().map(|e| (e, c.now))) {
        let (_, _, deliveries) = unique.entry(new.id).or_insert_with(|| {
            order.push(new.id);
            (new, now.millis(), Vec::new())
        });
        for delivery in &new.deliveries {
            if !deliveries.chunks(16).any(|known| known == delivery.0.as_bytes()) {
                deliveries.extend_from_slice(delivery.0.as_bytes());
            }
        }
    }
    let rows: Vec<_> = order.iter().filter_map(|id| unique.get(id)).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let new = || rows.iter().map(|(e, ..)| *e);
    let objects: Vec<&[u8]> = new().map(|e| e.p7m.as_slice()).collect();
    let cuts = stapled::cut(tx, &objects).await?;
    let args = Args::new()
        .ids(new().map(|e| e.id.0))
        .ids(new().map(|e| e.message.0))
        .blobs(rows.iter().map(|(_, _, deliveries)| deliveries.as_slice()))
        .texts(new().map(|e| e.event.map_or_else(|| e.kind.name(), Event::name)))
        .texts(new().map(|e| e.reason.map(|r| r.code())))
        .texts(new().map(|e| e.node.as_str()))
        .ints(new().map(|e| e.at.millis()))
        .ints(new().map(|e| e.sealed_at.millis()))
        .blobs(new().map(|e| e.sha256.as_bytes().as_slice()))
        .ints(rows.iter().map(|(_, now, _)| *now))
        .ints(cuts.iter().map(|cut| cut.shared.map(|(id, _)| id)))
        .ints(cuts.iter().map(|cut| cut.shared.map(|(_, at)| at)))
        .blobs(cuts.iter().map(|cut| cut.rest.as_slice()));
    let fresh: Vec<(Uuid,)> = tx.fetch(sql::EVIDENCE_INSERT, args).await?;
    if fresh.len() < rows.len() {
        let fresh: HashSet<Uuid> = fresh.into_iter().map(|(id,)| id).collect();
        let known = || rows.iter().filter(|(e, ..)| !fresh.contains(&e.id.0));
        let args = Args::new()
            .ids(known().map(|(e, ..)| e.id.0))
            .blobs(known().map(|(_, _, deliveries)| deliveries.as_slice()));
        tx.execute(sql::EVIDENCE_MERGE, args).await?;
    }
    Ok(())
}

async fn events(tx: &mut Tx, changes: &[&Change]) -> Result<(), StoreError> {
    let new = || changes.iter().flat_map(|c| &c.events);
    let texts: Vec<String> = new().map(|e| e.event.to_string()).collect();
    if texts.is_empty() {
        return Ok(());
    }
    let args =
        Args::new().texts(new().map(|e| e.member.as_str())).longs(texts.iter().map(String::as_str));
    tx.execute(sql::EVENT_INSERT, args).await.map(drop)
}

async fn keys(tx: &mut Tx, changes: &[&Change]) -> Result<(), StoreError> {
    let new = || changes.iter().flat_map(|c| &c.keys);
    if new().next().is_none() {
        return Ok(());
    }
    let args = Args::new()
        .ids(new().map(|k| k.delivery.0))
        .ids(new().map(|k| k.document.0))
        .blobs(new().map(|k| k.cipher_sha256.as_bytes().as_slice()))
        .ints(new().map(|k| crate::text::signed(k.cipher_size)))
        .blobs(new().map(|k| k.wrapped_key.as_slice()));
    tx.execute(sql::KEY_INSERT, args).await.map(drop)
}

async fn uploads(tx: &mut Tx, changes: &[&Change]) -> Result<(), StoreError> {
    let new = || changes.iter().flat_map(|c| &c.uploads);
    if new().next().is_none() {
        return Ok(());
    }
    let args = Args::new()
        .ids(new().map(|u| u.id.0))
        .texts(new().map(|u| u.member.as_str()))
        .texts(new().map(|u| u.name.as_str()))
        .texts(new().map(|u| u.media_type.as_str()))
        .ints(new().map(|u| crate::text::signed(u.size)))
        .blobs(new().map(|u| u.sha256.as_bytes().as_slice()))
        .blobs(new().map(|u| u.cipher_sha256.as_bytes().as_slice()))
        .ints(new().map(|u| crate::text::signed(u.cipher_size)))
        .blobs(new().map(|u| u.wrapped_key.as_slice()))
        .ints(new().map(|u| u.at.millis()))
        .ints(new().map(|u| u.expires.map(|t| t.millis())));
    tx.execute(sql::UPLOAD_INSERT, args).await.map(drop)
}

/// Uploads that a message uses stay until the message's deliveries are erased (`sweep`).
async fn uses(tx: &mut Tx, changes: &[&Change]) -> Result<(), StoreError> {
    let used = || changes.iter().flat_map(|c| c.uses.iter().map(|d| (message_of(c), d.0)));
    if used().next().is_none() {
        return Ok(());
    }
    tx.execute(sql::UPLOAD_KEEP, Args::new().ids(used().map(|(_, document)| document))).await?;
    let by: Vec<(Uuid, Uuid)> = used().filter_map(|(m, d)| m.map(|m| (m.0, d))).collect();
    if by.is_empty() {
        return Ok(());
    }
    let args = Args::new().ids(by.iter().map(|(m, _)| *m)).ids(by.iter().map(|(_, d)| *d));
    tx.execute(sql::UPLOAD_USE_INSERT, args).await.map(drop)
}

fn message_of(change: &Change) -> Option<MessageId> {
    let new = change.message.as_ref().map(|m| m.envelope.message_id);
    new.or_else(|| change.deliveries.first().map(|d| d.delivery.message))
}

/// Without its wrapped key a ciphertext is noise; its bytes go with the next `sweep`.
async fn erases(tx: &mut Tx, changes: &[&Change]) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = changes.iter().flat_map(|c| c.erases.iter().map(|d| d.0)).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let gone: Vec<(Vec<u8>,)> =
        tx.fetch(sql::ERASE_KEYS, Args::new().ids(ids.iter().copied())).await?;
    garbage(tx, &gone).await?;
    let messages: Vec<(Uuid,)> = tx.fetch(sql::ERASE_MARK, Args::new().ids(ids)).await?;
    if messages.is_empty() {
        return Ok(());
    }
    let args = Args::new().ids(messages.into_iter().map(|(id,)| id));
    tx.execute(sql::ERASED_INSERT, args).await.map(drop)
}

/// Remembers digests that may be without a reference now.
pub(crate) async fn garbage(tx: &mut Tx, digests: &[(Vec<u8>,)]) -> Result<(), StoreError> {
    if digests.is_empty() {
        return Ok(());
    }
    let args = Args::new().blobs(digests.iter().map(|(digest,)| digest.as_slice()));
    tx.execute(sql::GARBAGE_INSERT, args).await.map(drop)
}
