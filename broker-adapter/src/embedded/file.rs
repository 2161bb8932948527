//! The SQLite file: every statement of the embedded backbone.
//!
//! Three connections: one for publishing (`synchronous=FULL`), one for claims and acknowledgements
//! (`NORMAL`), and one that only reads. The two that write take turns under one lock, since SQLite
//! has one writer anyway and its busy handler sleeps; other processes meet us there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use bytes::Bytes;
use schemas::ids::NodeId;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row, Sqlite, SqliteConnection, Transaction};
use tokio::sync::Mutex;

use crate::{BackboneError, Destination, Frame, Lane, MAX_BATCH_BYTES, Receipt, Received};

/// Begins a transaction that writes. On a full disk SQLite rolls back by itself, and the driver goes
/// on counting a transaction that is gone: then another connection.
async fn begin<'c>(
    connection: &'c mut SqliteConnection,
    path: &Path,
    mode: SqliteSynchronous,
) -> Result<Transaction<'c, Sqlite>, BackboneError> {
    if connection.is_in_transaction() {
        *connection = connect(path, mode).await?;
    }
    Ok(connection.begin_with("BEGIN IMMEDIATE").await?)
}

/// A connection that closing takes away.
pub(super) type Reader = Arc<Mutex<Option<SqliteConnection>>>;

/// Milliseconds since 1970, by SQLite's clock.
const NOW: &str = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";

/// Rows of one INSERT. Few sizes, so that few statements are prepared.
const CHUNKS: [usize; 3] = [64, 8, 1];

/// The file, opened.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    writers: Mutex<Option<Writers>>,
    reader: Reader,
    lanes: RwLock<HashMap<Destination, i64>>,
}

#[derive(Debug)]
struct Writers {
    durable: SqliteConnection,
    lazy: SqliteConnection,
}

/// What a heartbeat finds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pulse {
    /// Frames of the dead became free.
    pub(super) freed: bool,
    /// Nobody else reads this lane.
    pub(super) alone: bool,
}

impl File {
    pub(super) async fn open(path: &Path) -> Result<Self, BackboneError> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)
                .map_err(|e| BackboneError::File(format!("{}: {e}", directory.display())))?;
        }
        let mut durable = connect(path, SqliteSynchronous::Full).await?;
        let mut schema = begin(&mut durable, path, SqliteSynchronous::Full).await?;
        sqlx::raw_sql(include_str!("schema.sql")).execute(&mut *schema).await?;
        schema.commit().await?;
        let lazy = connect(path, SqliteSynchronous::Normal).await?;
        let reader = connect(path, SqliteSynchronous::Normal).await?;
        Ok(Self {
            path: path.to_owned(),
            writers: Mutex::new(Some(Writers { durable, lazy })),
            reader: Arc::new(Mutex::new(Some(reader))),
            lanes: RwLock::default(),
        })
    }

    pub(super) fn reader(&self) -> Reader {
        Arc::clone(&self.reader)
    }

    pub(super) async fn provision(&self, node: &NodeId) -> Result<(), BackboneError> {
        let mut writers = self.writers.lock().await;
        let durable = &mut writers.as_mut().ok_or(BackboneError::Closed)?.durable;
        let mut tx = begin(durable, &self.path, SqliteSynchronous::Full).await?;
        for lane in Lane::ALL {
            sqlx::query("INSERT OR IGNORE INTO lane (node, lane) VALUES (?1, ?2)")
                .bind(node.as_str())
                .bind(lane.as_str())
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }

    /// The number of a lane. Lanes are never removed, so a number once known stays true.
    pub(super) async fn lane(&self, to: &Destination) -> Result<Option<i64>, BackboneError> {
        if let Some(id) = self.lanes.read().ok().and_then(|lanes| lanes.get(to).copied()) {
            return Ok(Some(id));
        }
        let mut reader = self.reader.lock().await;
        let found: Option<i64> =
            sqlx::query_scalar("SELECT id FROM lane WHERE node = ?1 AND lane = ?2")
                .bind(to.node.as_str())
                .bind(to.lane.as_str())
                .fetch_optional(reader.as_mut().ok_or(BackboneError::Closed)?)
                .await?;
        if let (Some(id), Ok(mut lanes)) = (found, self.lanes.write()) {
            lanes.insert(to.clone(), id);
        }
        Ok(found)
    }

    /// All or none, durable when it returns.
    pub(super) async fn insert(&self, frames: &[(i64, Frame)]) -> Result<(), BackboneError> {
        let mut writers = self.writers.lock().await;
        let durable = &mut writers.as_mut().ok_or(BackboneError::Closed)?.durable;
        let mut tx = begin(durable, &self.path, SqliteSynchronous::Full).await?;
        let count = number(frames.len())?;
        let last: i64 = sqlx::query_scalar("UPDATE counter SET last = last + ?1 RETURNING last")
            .bind(count)
            .fetch_one(&mut *tx)
            .await?;
        let mut seq = last - count;
        let mut rest = frames;
        for size in CHUNKS {
            while let Some((chunk, others)) = rest.split_at_checked(size) {
                insert_chunk(&mut tx, seq, chunk).await?;
                seq += number(size)?;
                rest = others;
            }
        }
        Ok(tx.commit().await?)
    }

    /// Gives waiting frames of a lane to the consumer `token`, oldest first. A key of which another
    /// consumer has frames is left out, so that its order holds.
    pub(super) async fn claim(
        &self,
        lane: i64,
        token: i64,
        max: usize,
    ) -> Result<Vec<Received>, BackboneError> {
        const CLAIM: &str = "
            UPDATE frame SET holder = ?2, tries = tries + 1 WHERE seq IN (
              SELECT seq FROM (
                SELECT seq, sum(size) OVER (ORDER BY seq) - size AS before FROM (
                  SELECT seq, size FROM frame
                  WHERE lane = ?1 AND holder IS NULL
                    AND (NOT EXISTS (SELECT 1 FROM consumer WHERE lane = ?1 AND token <> ?2)
                      OR key NOT IN (SELECT key FROM frame
                                     WHERE holder IS NOT NULL AND holder <> ?2 AND lane = ?1))
                  ORDER BY seq LIMIT ?3))
              WHERE before < ?4)
            RETURNING seq, key, tries";
        let mut writers = self.writers.lock().await;
        let lazy = &mut writers.as_mut().ok_or(BackboneError::Closed)?.lazy;
        let mut claimed: Vec<(i64, String, i64)> = sqlx::query_as(CLAIM)
            .bind(lane)
            .bind(token)
            .bind(number(max)?)
            .bind(number(MAX_BATCH_BYTES)?)
            .fetch_all(lazy)
            .await?;
        drop(writers);
        claimed.sort_unstable();
        self.contents(claimed, token).await
    }

    async fn contents(
        &self,
        claimed: Vec<(i64, String, i64)>,
        token: i64,
    ) -> Result<Vec<Received>, BackboneError> {
        if claimed.is_empty() {
            return Ok(Vec::new());
        }
        let mut reader = self.reader.lock().await;
        let rows: Vec<SqliteRow> = sqlx::query(
            "SELECT seq, id, attributes, body FROM content
             WHERE seq IN (SELECT value FROM json_each(?1)) ORDER BY seq",
        )
        .bind(json_list(claimed.iter().map(|(seq, _, _)| *seq)))
        .fetch_all(reader.as_mut().ok_or(BackboneError::Closed)?)
        .await?;
        drop(reader);
        claimed.into_iter().zip(rows).map(|(head, row)| received(head, &row, token)).collect()
    }

    /// Frames of a lane that nobody has acknowledged.
    pub(super) async fn waiting(&self, lane: i64) -> Result<u64, BackboneError> {
        let mut reader = self.reader.lock().await;
        let count: i64 = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM frame WHERE lane = ?1 AND holder IS NULL)
                  + (SELECT count(*) FROM frame WHERE lane = ?1 AND holder IS NOT NULL)",
        )
        .bind(lane)
        .fetch_one(reader.as_mut().ok_or(BackboneError::Closed)?)
        .await?;
        Ok(count.unsigned_abs())
    }

    /// Removes frames, whoever has them by now: they are done with.
    pub(super) async fn remove(
        &self,
        seqs: impl Iterator<Item = i64>,
    ) -> Result<(), BackboneError> {
        let mut writers = self.writers.lock().await;
        let lazy = &mut writers.as_mut().ok_or(BackboneError::Closed)?.lazy;
        sqlx::query("DELETE FROM frame WHERE seq IN (SELECT value FROM json_each(?1))")
            .bind(json_list(seqs))
            .execute(lazy)
            .await?;
        Ok(())
    }

    /// Says that a consumer lives for `lease` more, and takes their frames from those that do not.
    pub(super) async fn heartbeat(
        &self,
        lane: i64,
        token: i64,
        lease: Duration,
    ) -> Result<Pulse, BackboneError> {
        let mut writers = self.writers.lock().await;
        let lazy = &mut writers.as_mut().ok_or(BackboneError::Closed)?.lazy;
        let mut tx = begin(lazy, &self.path, SqliteSynchronous::Normal).await?;
        sqlx::query(AssertSqlSafe(format!(
            "INSERT INTO consumer (token, lane, alive_until) VALUES (?1, ?2, {NOW} + ?3)
             ON CONFLICT (token) DO UPDATE SET alive_until = excluded.alive_until"
        )))
        .bind(token)
        .bind(lane)
        .bind(i64::try_from(lease.as_millis()).unwrap_or(i64::MAX))
        .execute(&mut *tx)
        .await?;
        sqlx::query(AssertSqlSafe(format!("DELETE FROM consumer WHERE alive_until < {NOW}")))
            .execute(&mut *tx)
            .await?;
        let freed = free_orphans(&mut tx).await?;
        let readers: i64 = sqlx::query_scalar("SELECT count(*) FROM consumer WHERE lane = ?1")
            .bind(lane)
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(Pulse { freed, alone: readers == 1 })
    }

    /// Ends a consumer; its frames wait again.
    pub(super) async fn leave(&self, token: i64) -> Result<(), BackboneError> {
        let mut writers = self.writers.lock().await;
        let lazy = &mut writers.as_mut().ok_or(BackboneError::Closed)?.lazy;
        let mut tx = begin(lazy, &self.path, SqliteSynchronous::Normal).await?;
        sqlx::query("DELETE FROM consumer WHERE token = ?1").bind(token).execute(&mut *tx).await?;
        free_orphans(&mut tx).await?;
        Ok(tx.commit().await?)
    }

    /// Writes a row as durably as a frame, and reads it back on another connection.
    pub(super) async fn probe(&self) -> Result<(), BackboneError> {
        let mut writers = self.writers.lock().await;
        let Writers { durable, lazy } = writers.as_mut().ok_or(BackboneError::Closed)?;
        let token: i64 =
            sqlx::query_scalar("INSERT INTO probe (token) VALUES (abs(random())) RETURNING token")
                .fetch_one(durable)
                .await?;
        let gone = sqlx::query("DELETE FROM probe WHERE token = ?1").bind(token).execute(lazy);
        match gone.await?.rows_affected() {
            1 => Ok(()),
            _ => Err(BackboneError::File("a row that was written is not there".to_owned())),
        }
    }

    pub(super) async fn close(&self) {
        if let Some(Writers { durable, lazy }) = self.writers.lock().await.take() {
            let _ = tokio::join!(durable.close(), lazy.close());
        }
        if let Some(reader) = self.reader.lock().await.take() {
            let _ = reader.close().await;
        }
    }
}

/// The newest seq: it moves when something may be there to claim.
pub(super) async fn newest(reader: &Reader) -> Result<i64, BackboneError> {
    let mut reader = reader.lock().await;
    let connection = reader.as_mut().ok_or(BackboneError::Closed)?;
    Ok(sqlx::query_scalar("SELECT last FROM counter").fetch_one(connection).await?)
}

/// SQLite may call a file busy without asking the busy handler while two processes switch it to
/// WAL at once; so this tries again.
pub(super) async fn connect(
    path: &Path,
    level: SqliteSynchronous,
) -> Result<SqliteConnection, BackboneError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(level)
        .pragma("wal_autocheckpoint", "0") // see `keeper.rs`
        .busy_timeout(Duration::from_secs(30));
    let mut tries = 0;
    loop {
        match options.connect().await {
            Ok(connection) => return Ok(connection),
            Err(error) if tries >= 50 => {
                return Err(BackboneError::File(format!("{}: {error}", path.display())));
            }
            Err(_) => tries += 1,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn insert_chunk(
    tx: &mut SqliteConnection,
    before: i64,
    chunk: &[(i64, Frame)],
) -> Result<(), BackboneError> {
    let mut frames = sqlx::query(insert_sql("frame (seq, lane, key, size)", chunk.len()));
    let mut contents = sqlx::query(insert_sql("content (seq, id, attributes, body)", chunk.len()));
    for (seq, (lane, frame)) in (before + 1..).zip(chunk) {
        let attributes = serde_json::to_string(&frame.attributes)
            .map_err(|e| BackboneError::File(e.to_string()))?;
        frames = frames.bind(seq).bind(lane).bind(&frame.key).bind(number(frame.size())?);
        contents = contents.bind(seq).bind(&frame.id).bind(attributes).bind(frame.body.as_ref());
    }
    frames.execute(&mut *tx).await?;
    contents.execute(&mut *tx).await?;
    Ok(())
}

/// `INSERT` of rows of four columns. The text is made of constants and numbers only.
fn insert_sql(into: &str, rows: usize) -> AssertSqlSafe<String> {
    let values = vec!["(?, ?, ?, ?)"; rows].join(", ");
    AssertSqlSafe(format!("INSERT INTO {into} VALUES {values}"))
}

/// Frees the frames of consumers that are no more, and moves the counter so that pollers look.
async fn free_orphans(tx: &mut SqliteConnection) -> Result<bool, BackboneError> {
    let freed = sqlx::query(
        "UPDATE frame SET holder = NULL
         WHERE holder IS NOT NULL AND holder NOT IN (SELECT token FROM consumer)",
    )
    .execute(&mut *tx)
    .await?
    .rows_affected();
    if freed > 0 {
        sqlx::query("UPDATE counter SET last = last + 1").execute(&mut *tx).await?;
    }
    Ok(freed > 0)
}

fn received(
    (seq, key, tries): (i64, String, i64),
    row: &SqliteRow,
    token: i64,
) -> Result<Received, BackboneError> {
    let found: i64 = row.try_get("seq")?;
    if found != seq {
        return Err(BackboneError::File(format!("frame {seq} has no content")));
    }
    let attributes: String = row.try_get("attributes")?;
    let body: Vec<u8> = row.try_get("body")?;
    Ok(Received {
        frame: Frame {
            id: row.try_get("id")?,
            attributes: serde_json::from_str(&attributes)
                .map_err(|e| BackboneError::File(format!("frame {seq}: {e}")))?,
            key,
            body: Bytes::from(body),
        },
        receipt: Receipt { lot: token.unsigned_abs(), position: seq.unsigned_abs() },
        redelivered: tries > 1,
        returned: None,
    })
}

fn json_list(numbers: impl Iterator<Item = i64>) -> String {
    let list: Vec<String> = numbers.map(|n| n.to_string()).collect();
    format!("[{}]", list.join(","))
}

fn number(n: usize) -> Result<i64, BackboneError> {
    i64::try_from(n).map_err(|_| BackboneError::File(format!("{n} is too many")))
}
