//! Figures, the probe, and sweeping up.

use schemas::digest::Digest;
use schemas::time::Timestamp;
use uuid::Uuid;

use crate::StoreError;
use crate::commit_rows::garbage;
use crate::db::{Args, Db, Tx};
use crate::rows::Counts;
use crate::sql;
use crate::text::{digest, time, unsigned};

/// Causes deleted in one transaction, so that none holds locks for long.
const CHUNK: i64 = 20_000;

/// Figures for status and metrics.
pub(crate) async fn counts(db: &Db) -> Result<Counts, StoreError> {
    type Grouped = Vec<(String, String, i64)>;
    type Oldest = (Option<i64>, Option<i64>, Option<i64>, Option<i64>);
    let deliveries: Grouped = db.fetch(sql::COUNTS_DELIVERIES, Args::new()).await?;
    let queue: Grouped = db.fetch(sql::COUNTS_QUEUE, Args::new()).await?;
    let evidence: Option<(i64, i64)> = db.fetch_one(sql::COUNTS_EVIDENCE, Args::new()).await?;
    let oldest: Option<Oldest> = db.fetch_one(sql::COUNTS_OLDEST, Args::new()).await?;
    let (held, unanchored) = evidence.unwrap_or_default();
    let oldest = oldest.unwrap_or_default();
    let sum = |state: &str| {
        queue.iter().filter(|(s, ..)| s == state).map(|(.., n)| unsigned(*n)).sum::<u64>()
    };
    Ok(Counts {
        deliveries: deliveries.into_iter().map(|(r, p, n)| (r, p, unsigned(n))).collect(),
        dead: sum("dead"),
        set_aside: sum("set-aside"),
        waiting: queue
            .into_iter()
            .filter(|(state, ..)| state == "waiting")
            .map(|(_, kind, n)| (kind, unsigned(n)))
            .collect(),
        evidence: (unsigned(held), unsigned(unanchored)),
        oldest_unsent: oldest.0.map(time),
        oldest_unacknowledged: oldest.1.map(time),
        oldest_unanchored: oldest.2.map(time),
        oldest_uncollected: oldest.3.map(time),
    })
}

/// Publications that wait, by destination.
pub(crate) async fn unsent_by_peer(db: &Db) -> Result<Vec<(String, u64, Timestamp)>, StoreError> {
    let rows: Vec<(String, i64, i64)> = db.fetch(sql::COUNTS_PEERS, Args::new()).await?;
    Ok(rows.into_iter().map(|(peer, n, since)| (peer, unsigned(n), time(since))).collect())
}

/// Writes one row and reads it back.
pub(crate) async fn probe(db: &Db, now: Timestamp) -> Result<(), StoreError> {
    db.write(sql::PROBE_WRITE, Args::new().int(now.millis())).await?;
    let row: Option<(i64,)> = db.fetch_one(sql::PROBE_READ, Args::new()).await?;
    row.map(drop).ok_or_else(|| StoreError::Corrupt("the probe was written but not found".into()))
}

/// Deletes what has expired; digests that nothing refers to any more.
pub(crate) async fn sweep(
    db: &Db,
    now: Timestamp,
    keep_causes_ms: i64,
) -> Result<Vec<Digest>, StoreError> {
    db.write(sql::SWEEP_TOKENS, Args::new().int(now.millis())).await?;
    let before = now.plus(keep_causes_ms.saturating_neg()).millis();
    loop {
        let gone = db.write(sql::SWEEP_CAUSES, Args::new().int(before).int(CHUNK)).await?;
        if gone < unsigned(CHUNK) {
            break;
        }
    }
    let mut tx = db.begin().await?;
    // References appear under this lock only: none appears between the check and the commit.
    tx.execute(sql::FEED_LOCK, Args::new()).await?;
    let expired: Vec<(Vec<u8>,)> =
        tx.fetch(sql::SWEEP_UPLOADS, Args::new().int(now.millis())).await?;
    garbage(&mut tx, &expired).await?;
    used_uploads(&mut tx).await?;
    tx.execute(sql::GARBAGE_NEEDED, Args::new()).await?;
    let unused: Vec<(Vec<u8>,)> = tx.fetch(sql::GARBAGE_LIST, Args::new()).await?;
    tx.execute(sql::GARBAGE_FORGET, Args::new()).await?;
    tx.execute(sql::GARBAGE_OFFER, Args::new()).await?;
    tx.commit().await?;
    unused.iter().map(|(bytes,)| digest(bytes)).collect()
}

/// Uploads of messages whose deliveries at this node are all erased.
async fn used_uploads(tx: &mut Tx) -> Result<(), StoreError> {
    let messages: Vec<(Uuid,)> = tx.fetch(sql::SWEEP_ERASED, Args::new()).await?;
    if messages.is_empty() {
        return Ok(());
    }
    let args = Args::new().ids(messages.into_iter().map(|(id,)| id));
    let documents: Vec<(Uuid,)> = tx.fetch(sql::SWEEP_USES, args).await?;
    if documents.is_empty() {
        return Ok(());
    }
    let args = Args::new().ids(documents.into_iter().map(|(id,)| id));
    let gone: Vec<(Vec<u8>,)> = tx.fetch(sql::SWEEP_USED, args).await?;
    garbage(tx, &gone).await
}
