//! The queue of effects: claims under leases, strict order per key, dead letters.
//!
//! Of the waiting rows of one (kind, order key) exactly one is the *head*, and only heads are
//! claimed: an index over heads makes a claim cost the same whether ten or a million rows wait.
//! A row that is done or dead hands the head on to the oldest row that is left. Whoever inserts,
//! hands on or redrives holds the feed lock, so that no two of them judge by each other's past.

use std::collections::HashSet;

use aws_lc_rs::digest::{SHA256, digest as hash};
use schemas::ids::{DeliveryId, NodeId};
use schemas::time::Timestamp;
use uuid::Uuid;

use crate::StoreError;
use crate::db::{Args, Db, Tx};
use crate::peers::PeerRaw;
use crate::rows::{
    Change, Claimed, EffectKind, NewEffect, QueueQuery, QueueRow, SetAside, Settlement,
};
use crate::sql;
use crate::text::{parsed, time, unsigned};

/// The name of a kind in the store.
pub(crate) const fn kind_name(kind: EffectKind) -> &'static str {
    match kind {
        EffectKind::Publish => "publish",
        EffectKind::Wake => "wake",
    }
}

/// What the queue has gained by a commit.
#[derive(Debug, Default)]
pub(crate) struct Queued {
    /// Publications that were claimed as they were written.
    pub(crate) claimed: Vec<Claimed>,
    /// The order keys of those that were not.
    pub(crate) behind: Vec<String>,
    /// Whether others wait for a claim.
    pub(crate) more: bool,
}

/// Inserts the effects of changes, in their order, and claims those that a claim would hand out
/// now. The feed lock is held.
pub(crate) async fn insert(
    tx: &mut Tx,
    changes: &[&Change],
    lease_ms: i64,
) -> Result<Queued, StoreError> {
    let rows: Vec<(&NewEffect, i64)> =
        changes.iter().flat_map(|c| c.effects.iter().map(|e| (e, c.now.millis()))).collect();
    if rows.is_empty() {
        return Ok(Queued::default());
    }
    let mut keys = HashSet::with_capacity(rows.len());
    let firsts: Vec<i64> = rows
        .iter()
        .map(|(e, _)| i64::from(keys.insert((kind_name(e.kind), e.order_key.as_str()))))
        .collect();
    let new = || rows.iter().map(|(effect, _)| *effect);
    let args = Args::new()
        .texts(new().map(|e| kind_name(e.kind)))
        .ints(firsts)
        .texts(new().map(|e| e.order_key.as_str()))
        .ints(new().map(|e| e.due.millis()))
        .ints(rows.iter().map(|(_, now)| *now))
        .ids(new().map(|e| e.delivery.map(|d| d.0)))
        .texts(new().map(|e| e.to.as_ref().map(NodeId::as_str)))
        .blobs(new().map(|e| e.payload.as_slice()))
        .int(lease_ms);
    let mut placed: Vec<(i64, i64)> = tx.fetch(sql::QUEUE_INSERT, args).await?;
    // Ids are drawn in the order of the rows; nobody promises that they are returned in it.
    placed.sort_unstable();
    let mut queued = Queued::default();
    for ((effect, _), (id, attempts)) in rows.into_iter().zip(placed) {
        if attempts > 0 {
            let effect = effect.clone();
            queued.claimed.push(Claimed { id, attempts: 0, effect, probe: false });
        } else if effect.kind == EffectKind::Publish {
            queued.behind.push(effect.order_key.clone());
            queued.more = true;
        }
    }
    Ok(queued)
}

/// Kind, order key, and whether the row was the head of its key.
type Gone = (String, String, i64);

/// Removes rows that were carried out; says whether others took their places. The feed lock is
/// held.
pub(crate) async fn done(tx: &mut Tx, ids: Vec<i64>) -> Result<bool, StoreError> {
    if ids.is_empty() {
        return Ok(false);
    }
    let gone: Vec<Gone> = tx.fetch(sql::QUEUE_DONE, Args::new().ints(ids)).await?;
    promote(tx, gone.into_iter().filter(|(.., head)| *head != 0).map(|(k, o, _)| (k, o))).await
}

/// Hands the head on, and says whether anybody took it. A row without order was its own head.
async fn promote(
    tx: &mut Tx,
    keys: impl Iterator<Item = (String, String)>,
) -> Result<bool, StoreError> {
    let keys: HashSet<(String, String)> = keys.filter(|(_, order)| !order.is_empty()).collect();
    if keys.is_empty() {
        return Ok(false);
    }
    let args = Args::new()
        .texts(keys.iter().map(|(kind, _)| kind.as_str()))
        .texts(keys.iter().map(|(_, order)| order.as_str()));
    Ok(tx.execute(sql::QUEUE_PROMOTE, args).await? > 0)
}

/// A row as it is claimed.
#[derive(sqlx::FromRow)]
struct Waiting {
    id: i64,
    attempts: i64,
    delivery: Option<Uuid>,
    peer: Option<String>,
    order_key: String,
    due: i64,
    payload: Vec<u8>,
}

/// Claims heads that are due, oldest first.
pub(crate) async fn claim(
    db: &Db,
    kind: EffectKind,
    now: Timestamp,
    lease_ms: i64,
    limit: u32,
) -> Result<Vec<Claimed>, StoreError> {
    let mut tx = db.begin().await?;
    let args = Args::new().text(kind_name(kind)).int(now.millis()).int(i64::from(limit));
    let mut rows: Vec<Waiting> = tx.fetch(sql::QUEUE_CLAIM, args).await?;
    let probes = match kind {
        EffectKind::Publish => claim_ruled(&mut tx, &mut rows, now, limit).await?,
        EffectKind::Wake => HashSet::new(),
    };
    if rows.is_empty() {
        tx.rollback().await?;
        return Ok(Vec::new());
    }
    let args = Args::new().ints(rows.iter().map(|r| r.id)).int(now.plus(lease_ms).millis());
    tx.execute(sql::QUEUE_LEASE, args).await?;
    tx.commit().await?;
    rows.into_iter().map(|row| claimed(kind, row, &probes)).collect()
}

/// Adds what may go to peers about whom something is said; returns the rows that are probes.
async fn claim_ruled(
    tx: &mut Tx,
    rows: &mut Vec<Waiting>,
    now: Timestamp,
    limit: u32,
) -> Result<HashSet<i64>, StoreError> {
    let mut probes = HashSet::new();
    let ruled: Vec<PeerRaw> = tx.fetch(sql::PEERS_LOCK, Args::new()).await?;
    for peer in ruled {
        let allowance = peer.allowance(now, i64::from(limit));
        if allowance.most == 0 {
            continue;
        }
        let args = Args::new()
            .text(kind_name(EffectKind::Publish))
            .int(now.millis())
            .int(allowance.most)
            .text(peer.peer.as_str());
        let found: Vec<Waiting> = tx.fetch(sql::QUEUE_CLAIM_PEER, args).await?;
        if found.is_empty() {
            continue;
        }
        let taken = i64::try_from(found.len()).unwrap_or(i64::MAX);
        allowance.write(tx, &peer.peer, taken, now).await?;
        if allowance.probe {
            probes.extend(found.iter().map(|row| row.id));
        }
        rows.extend(found);
    }
    Ok(probes)
}

fn claimed(kind: EffectKind, row: Waiting, probes: &HashSet<i64>) -> Result<Claimed, StoreError> {
    let to = row.peer.as_deref().map(|peer| parsed("peer of an effect", peer)).transpose()?;
    Ok(Claimed {
        id: row.id,
        probe: probes.contains(&row.id),
        attempts: u32::try_from(row.attempts).unwrap_or(u32::MAX),
        effect: NewEffect {
            kind,
            delivery: row.delivery.map(DeliveryId),
            to,
            order_key: row.order_key,
            due: time(row.due),
            payload: row.payload,
        },
    })
}

/// Of these order keys, those of which a row of a kind waits.
pub(crate) async fn waiting(
    db: &Db,
    kind: EffectKind,
    keys: &[String],
) -> Result<Vec<String>, StoreError> {
    let args = Args::new().text(kind_name(kind)).texts(keys.iter().map(String::as_str));
    let rows: Vec<(String,)> = db.fetch(sql::QUEUE_WAITING, args).await?;
    Ok(rows.into_iter().map(|(key,)| key).collect())
}

/// Settles claimed rows; those that are gone are passed over.
pub(crate) async fn settle(db: &Db, batch: &[Settlement]) -> Result<bool, StoreError> {
    let mut ids = Vec::new();
    let mut retries = Vec::new();
    let mut deaths = Vec::new();
    for settlement in batch {
        match settlement {
            Settlement::Done(id) => ids.push(*id),
            Settlement::Retry { id, due, error } => {
                retries.push((*id, due.millis(), error.as_str()));
            }
            Settlement::Dead { id, error } => deaths.push((*id, error.as_str())),
        }
    }
    if batch.is_empty() {
        return Ok(false);
    }
    let mut tx = db.begin().await?;
    tx.execute(sql::FEED_LOCK, Args::new()).await?;
    let mut promoted = done(&mut tx, ids).await?;
    if !retries.is_empty() {
        let args = Args::new()
            .ints(retries.iter().map(|(id, ..)| *id))
            .ints(retries.iter().map(|(_, due, _)| *due))
            .texts(retries.iter().map(|(.., error)| *error));
        tx.execute(sql::QUEUE_RETRY, args).await?;
    }
    if !deaths.is_empty() {
        let args = Args::new()
            .ints(deaths.iter().map(|(id, _)| *id))
            .texts(deaths.iter().map(|(_, error)| *error));
        let gone: Vec<Gone> = tx.fetch(sql::QUEUE_DEAD, args).await?;
        let keys = gone.into_iter().filter(|(.., head)| *head != 0).map(|(k, o, _)| (k, o));
        promoted |= promote(&mut tx, keys).await?;
    }
    tx.commit().await?;
    Ok(promoted)
}

/// Deliveries whose dispatch is or was under way, and nobody knows how that ended.
pub(crate) async fn tried(
    db: &Db,
    deliveries: &[DeliveryId],
) -> Result<Vec<DeliveryId>, StoreError> {
    if deliveries.is_empty() {
        return Ok(Vec::new());
    }
    let args = Args::new().ids(deliveries.iter().map(|d| d.0));
    let rows: Vec<(Uuid,)> = db.fetch(sql::QUEUE_TRIED, args).await?;
    Ok(rows.into_iter().map(|(id,)| DeliveryId(id)).collect())
}

/// Puts dead rows back to work, behind the head of their key; and of the frames set aside those that
/// are named.
pub(crate) async fn redrive(db: &Db, ids: &[i64], now: Timestamp) -> Result<u64, StoreError> {
    let mut tx = db.begin().await?;
    tx.execute(sql::FEED_LOCK, Args::new()).await?;
    let args = Args::new().ints(ids.iter().copied()).int(now.millis());
    let rows: Vec<(String, String)> = tx.fetch(sql::QUEUE_REDRIVE, args).await?;
    let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let keys: HashSet<(String, String)> = rows.into_iter().collect();
    let args = Args::new()
        .texts(keys.iter().map(|(kind, _)| kind.as_str()))
        .texts(keys.iter().map(|(_, order)| order.as_str()));
    let headless: Vec<(String, String)> = tx.fetch(sql::QUEUE_HEADLESS, args).await?;
    promote(&mut tx, headless.into_iter()).await?;
    tx.commit().await?;
    Ok(count)
}

/// Closes dead rows and frames set aside.
pub(crate) async fn close(db: &Db, ids: &[i64]) -> Result<Vec<i64>, StoreError> {
    let mut tx = db.begin().await?;
    let args = Args::new().ints(ids.iter().copied());
    let closed: Vec<(i64,)> = tx.fetch(sql::QUEUE_CLOSE, args).await?;
    tx.commit().await?;
    Ok(closed.into_iter().map(|(id,)| id).collect())
}

/// How many publications wait; counting ends at `most`.
pub(crate) async fn unsent(db: &Db, most: u32) -> Result<u64, StoreError> {
    let args = Args::new().int(i64::from(most));
    let row: Option<(i64,)> = db.fetch_one(sql::QUEUE_UNSENT, args).await?;
    Ok(row.map_or(0, |(count,)| unsigned(count)))
}

/// Keeps frames that were not believed, each once.
pub(crate) async fn set_aside(db: &Db, rows: &[SetAside]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let keys: Vec<String> = rows.iter().map(frame_key).collect();
    let errors: Vec<String> = rows.iter().map(|r| format!("{}: {}", r.code, r.detail)).collect();
    let mut tx = db.begin().await?;
    tx.execute(sql::FEED_LOCK, Args::new()).await?;
    let args = Args::new()
        .texts(rows.iter().map(|r| r.lane.as_str()))
        .texts(keys.iter().map(String::as_str))
        .ints(rows.iter().map(|r| r.at.millis()))
        .texts(rows.iter().map(|r| r.source.as_str()))
        .texts(errors.iter().map(String::as_str))
        .blobs(rows.iter().map(|r| r.frame.as_slice()));
    tx.execute(sql::SET_ASIDE_INSERT, args).await?;
    tx.commit().await
}

/// A frame that comes again with the same body is the same; one with another body is another.
fn frame_key(row: &SetAside) -> String {
    let body = hash(&SHA256, &row.body);
    // Names are attacker-chosen: hashed as well, each with its length, so that none can imitate
    // another or carry a NUL, which PostgreSQL refuses in a text.
    let names = format!("{}:{}{}:{}", row.lane.len(), row.lane, row.source.len(), row.source);
    let names = hash(&SHA256, format!("{names}{}", row.frame_id).as_bytes());
    format!("{}-{}", hex::encode(names), hex::encode(body))
}

/// A row of the operator's list.
#[derive(sqlx::FromRow)]
struct Listed {
    id: i64,
    state: String,
    peer: Option<String>,
    delivery: Option<Uuid>,
    attempts: i64,
    error: Option<String>,
    since: i64,
    due: Option<i64>,
    size: i64,
}

/// Everything that waits, for a worker or an operator, oldest first.
pub(crate) async fn list(db: &Db, query: &QueueQuery) -> Result<Vec<QueueRow>, StoreError> {
    let args = Args::new().int(query.after).int(i64::from(query.limit));
    let rows: Vec<Listed> = match &query.to {
        Some(to) => db.fetch(sql::QUEUE_LIST_TO, args.text(to.as_str())).await?,
        None => db.fetch(sql::QUEUE_LIST, args).await?,
    };
    Ok(rows.into_iter().map(listed).collect())
}

fn listed(row: Listed) -> QueueRow {
    QueueRow {
        id: row.id,
        state: row.state,
        peer: row.peer.unwrap_or_default(),
        delivery: row.delivery.map(DeliveryId),
        attempts: u32::try_from(row.attempts).unwrap_or(u32::MAX),
        error: row.error,
        since: time(row.since),
        due: row.due.map(time),
        size: unsigned(row.size),
    }
}
