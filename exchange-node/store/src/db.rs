//! One way to run a statement on either database.
//!
//! A batch of any size is one statement: its rows go column by column into [`Args`]. PostgreSQL
//! takes each column as an array (`UNNEST`). SQLite takes all rows as one JSON array of arrays
//! (`json_each`), and everything long or binary in one blob beside it, cut out again with
//! `substr`, so that neither hexadecimal nor JSON escapes blow it up.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::{Query, QueryAs};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{FromRow, PgPool, Postgres, Sqlite, SqlitePool, Transaction};
use uuid::Uuid;

use crate::StoreError;
use crate::sql::Sql;

/// How long an answer may take before the database counts as away. Longer than the server's own
/// statement time-out, so that the server speaks first when it can.
const PATIENCE: Duration = Duration::from_secs(45);

/// How often a read, or the begin of a transaction, is tried again when the pooled connection
/// turns out to be dead: after a restart of the database every idle connection is.
const DEAD_CONNECTIONS: usize = 12;

/// A database.
#[derive(Clone, Debug)]
pub(crate) enum Db {
    /// One writer, many readers.
    Sqlite {
        /// Exactly one connection.
        writer: SqlitePool,
        /// Read-only connections.
        readers: SqlitePool,
    },
    /// A pool.
    Postgres(PgPool),
}

/// A transaction, one that writes or one that reads. Dropped without [`Tx::commit`], it rolls back.
#[derive(Debug)]
pub(crate) enum Tx {
    /// `BEGIN IMMEDIATE` on the writer.
    Sqlite(Transaction<'static, Sqlite>),
    /// Read committed.
    Postgres(Transaction<'static, Postgres>),
}

/// A row that both databases can give.
pub(crate) trait Row:
    for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin
{
}
impl<T> Row for T where T: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin
{}

/// One column of a batch.
#[derive(Clone, Debug)]
enum Column<'a> {
    Ids(Vec<Option<Uuid>>),
    Ints(Vec<Option<i64>>),
    /// Short texts. In SQLite inside the JSON.
    Texts(Vec<Option<&'a str>>),
    /// Long texts. In SQLite in the blob, as two places: offset and length.
    Longs(Vec<Option<&'a str>>),
    /// Octets. In SQLite in the blob, as two places: offset and length.
    Blobs(Vec<Option<&'a [u8]>>),
}

/// A single parameter.
#[derive(Clone, Debug)]
enum Value<'a> {
    Id(Option<Uuid>),
    Int(Option<i64>),
    Text(Option<&'a str>),
    Blob(Option<&'a [u8]>),
}

/// Parameters of a statement: columns of a batch first, single values after them. In SQLite the
/// columns are `$1` (JSON) and `$2` (blob) together, in PostgreSQL one parameter each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Args<'a> {
    columns: Vec<Column<'a>>,
    values: Vec<Value<'a>>,
}

macro_rules! columns {
    ($($name:ident, $variant:ident, $type:ty;)*) => { $(
        /// Adds a column.
        pub(crate) fn $name<T: Into<Option<$type>>>(
            mut self,
            rows: impl IntoIterator<Item = T>,
        ) -> Self {
            self.columns.push(Column::$variant(rows.into_iter().map(Into::into).collect()));
            self
        }
    )* };
}

macro_rules! values {
    ($($name:ident, $variant:ident, $type:ty;)*) => { $(
        /// Adds a value.
        pub(crate) fn $name(mut self, value: impl Into<Option<$type>>) -> Self {
            self.values.push(Value::$variant(value.into()));
            self
        }
    )* };
}

impl<'a> Args<'a> {
    /// No parameters yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    columns! {
        ids, Ids, Uuid;
        ints, Ints, i64;
        texts, Texts, &'a str;
        longs, Longs, &'a str;
        blobs, Blobs, &'a [u8];
    }

    values! {
        id, Id, Uuid;
        int, Int, i64;
        text, Text, &'a str;
        blob, Blob, &'a [u8];
    }

    fn rows(&self) -> usize {
        self.columns.first().map_or(0, Column::len)
    }

    /// The rows as JSON and blob. The blob begins with an octet that nobody refers to: it is
    /// never empty, and offsets count from 1 as `substr` does.
    fn for_sqlite(&self) -> (String, Vec<u8>) {
        let mut json = String::from("[");
        let mut blob = vec![0];
        for row in 0..self.rows() {
            json.push_str(if row == 0 { "[" } else { ",[" });
            for (place, column) in self.columns.iter().enumerate() {
                if place > 0 {
                    json.push(',');
                }
                column.write(row, &mut json, &mut blob);
            }
            json.push(']');
        }
        json.push(']');
        (json, blob)
    }
}

impl Column<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Ids(rows) => rows.len(),
            Self::Ints(rows) => rows.len(),
            Self::Texts(rows) | Self::Longs(rows) => rows.len(),
            Self::Blobs(rows) => rows.len(),
        }
    }

    fn write(&self, row: usize, json: &mut String, blob: &mut Vec<u8>) {
        use std::fmt::Write as _;
        let written = match self {
            Self::Ids(rows) => match rows.get(row).copied().flatten() {
                Some(id) => write!(json, "\"{}\"", id.simple()),
                None => write!(json, "null"),
            },
            Self::Ints(rows) => match rows.get(row).copied().flatten() {
                Some(int) => write!(json, "{int}"),
                None => write!(json, "null"),
            },
            Self::Texts(rows) => match rows.get(row).copied().flatten() {
                Some(text) => write!(json, "{}", serde_json::Value::from(text)),
                None => write!(json, "null"),
            },
            Self::Longs(rows) => {
                cut_out(rows.get(row).copied().flatten().map(str::as_bytes), json, blob)
            }
            Self::Blobs(rows) => cut_out(rows.get(row).copied().flatten(), json, blob),
        };
        // Writing to memory cannot fail.
        written.unwrap_or_default();
    }
}

fn cut_out(bytes: Option<&[u8]>, json: &mut String, blob: &mut Vec<u8>) -> std::fmt::Result {
    use std::fmt::Write as _;
    let Some(bytes) = bytes else { return write!(json, "null,null") };
    let offset = blob.len() + 1;
    blob.extend_from_slice(bytes);
    write!(json, "{offset},{}", bytes.len())
}

/// Binds arguments to a query of either kind.
macro_rules! bind_postgres {
    ($query:expr, $args:expr) => {{
        let mut query = $query;
        for column in $args.columns {
            query = match column {
                Column::Ids(rows) => query.bind(rows),
                Column::Ints(rows) => query.bind(rows),
                Column::Texts(rows) | Column::Longs(rows) => query.bind(rows),
                Column::Blobs(rows) => query.bind(rows),
            };
        }
        bind_values!(query, $args.values)
    }};
}

macro_rules! bind_sqlite {
    ($query:expr, $args:expr) => {{
        let mut query = $query;
        if !$args.columns.is_empty() {
            let (json, blob) = $args.for_sqlite();
            query = query.bind(json).bind(blob);
        }
        bind_values!(query, $args.values)
    }};
}

macro_rules! bind_values {
    ($query:expr, $values:expr) => {{
        let mut query = $query;
        for value in $values {
            query = match value {
                Value::Id(id) => query.bind(id),
                Value::Int(int) => query.bind(int),
                Value::Text(text) => query.bind(text.map(str::to_owned)),
                Value::Blob(blob) => query.bind(blob.map(<[u8]>::to_vec)),
            };
        }
        query
    }};
}

type PgQueryAs<'q, T> = QueryAs<'q, Postgres, T, PgArguments>;
type LiteQueryAs<'q, T> = QueryAs<'q, Sqlite, T, SqliteArguments>;

fn postgres_rows<T: Row>(sql: Sql, args: Args<'_>) -> PgQueryAs<'_, T> {
    bind_postgres!(sqlx::query_as(sql.postgres), args)
}

fn sqlite_rows<T: Row>(sql: Sql, args: Args<'_>) -> LiteQueryAs<'static, T> {
    bind_sqlite!(sqlx::query_as(sql.sqlite), args)
}

fn postgres_query(sql: Sql, args: Args<'_>) -> Query<'_, Postgres, PgArguments> {
    bind_postgres!(sqlx::query(sql.postgres), args)
}

fn sqlite_query(sql: Sql, args: Args<'_>) -> Query<'static, Sqlite, SqliteArguments> {
    bind_sqlite!(sqlx::query(sql.sqlite), args)
}

impl Db {
    /// Rows of a statement that only reads.
    pub(crate) async fn fetch<T: Row>(
        &self,
        sql: Sql,
        args: Args<'_>,
    ) -> Result<Vec<T>, StoreError> {
        match self {
            Self::Sqlite { readers, .. } => {
                sqlite_rows(sql, args).fetch_all(readers).await.map_err(trouble)
            }
            Self::Postgres(pool) => {
                again(|| postgres_rows(sql, args.clone()).fetch_all(pool)).await
            }
        }
    }

    /// At most one row.
    pub(crate) async fn fetch_one<T: Row>(
        &self,
        sql: Sql,
        args: Args<'_>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.fetch(sql, args).await?.into_iter().next())
    }

    /// One statement that writes, as a transaction of its own.
    pub(crate) async fn write(&self, sql: Sql, args: Args<'_>) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let rows = tx.execute(sql, args).await?;
        tx.commit().await?;
        Ok(rows)
    }

    /// Begins a transaction that writes.
    pub(crate) async fn begin(&self) -> Result<Tx, StoreError> {
        match self {
            Self::Sqlite { writer, .. } => {
                let begun = writer.begin_with("BEGIN IMMEDIATE").await;
                let begun = match begun {
                    Err(sqlx::Error::InvalidSavePointStatement) => {
                        // On a full disk SQLite rolls back by itself, and the driver goes on
                        // counting a transaction that is gone: another connection.
                        let stuck = writer.acquire().await.map_err(trouble)?;
                        stuck.close().await.map_err(trouble)?;
                        writer.begin_with("BEGIN IMMEDIATE").await
                    }
                    begun => begun,
                };
                begun.map(Tx::Sqlite).map_err(trouble)
            }
            // Nothing is written yet: trying again is safe.
            Self::Postgres(pool) => again(|| pool.begin()).await.map(Tx::Postgres),
        }
    }

    /// Begins a transaction that reads everything as of one instant.
    pub(crate) async fn begin_reading(&self) -> Result<Tx, StoreError> {
        const READING: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        match self {
            // With a write-ahead log the first read fixes the instant.
            Self::Sqlite { readers, .. } => readers.begin().await.map(Tx::Sqlite).map_err(trouble),
            Self::Postgres(pool) => again(|| pool.begin_with(READING)).await.map(Tx::Postgres),
        }
    }

    /// Waits for what runs and closes.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Tx {
    /// Rows of a statement.
    pub(crate) async fn fetch<T: Row>(
        &mut self,
        sql: Sql,
        args: Args<'_>,
    ) -> Result<Vec<T>, StoreError> {
        match self {
            Self::Sqlite(tx) => sqlite_rows(sql, args).fetch_all(&mut **tx).await.map_err(trouble),
            Self::Postgres(tx) => patient(postgres_rows(sql, args).fetch_all(&mut **tx)).await,
        }
    }

    /// Runs a statement; how many rows it touched.
    pub(crate) async fn execute(&mut self, sql: Sql, args: Args<'_>) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(tx) => sqlite_query(sql, args)
                .execute(&mut **tx)
                .await
                .map(|done| done.rows_affected())
                .map_err(trouble),
            Self::Postgres(tx) => patient(postgres_query(sql, args).execute(&mut **tx))
                .await
                .map(|done| done.rows_affected()),
        }
    }

    /// Makes it durable.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await.map_err(trouble),
            Self::Postgres(tx) => patient(tx.commit()).await,
        }
    }

    /// Undoes it.
    pub(crate) async fn rollback(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.rollback().await.map_err(trouble),
            Self::Postgres(tx) => patient(tx.rollback()).await,
        }
    }
}

async fn patient<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(answer) => answer.map_err(trouble),
        Err(_) => Err(StoreError::Unavailable(format!("no answer in {} s", PATIENCE.as_secs()))),
    }
}

/// Tries again while the pool hands out connections that the server has closed meanwhile.
async fn again<T, F>(mut work: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, sqlx::Error>>,
{
    for _ in 0..DEAD_CONNECTIONS {
        match tokio::time::timeout(PATIENCE, work()).await {
            Ok(Err(error)) if is_dead_connection(&error) => {}
            Ok(answer) => return answer.map_err(trouble),
            Err(_) => break,
        }
    }
    patient(work()).await
}

fn is_dead_connection(error: &sqlx::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    match error {
        sqlx::Error::Io(io) => {
            matches!(io.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
        }
        sqlx::Error::Database(db) => db.code().is_some_and(|code| code.starts_with("57P")),
        _ => false,
    }
}

/// What an error of the driver means. PostgreSQL codes: appendix A of its manual; SQLite codes:
/// sqlite.org/rescode.html (extended codes carry the primary one in their low octet).
pub(crate) fn trouble(error: sqlx::Error) -> StoreError {
    use sqlx::Error as E;
    match &error {
        E::Database(db) => {
            let code = db.code().unwrap_or_default().into_owned();
            let text = format!("{} ({code})", db.message());
            match meaning(&code) {
                Meaning::Away => StoreError::Unavailable(text),
                Meaning::Full => StoreError::Full(text),
                Meaning::Wrong => StoreError::Corrupt(text),
            }
        }
        E::Io(_)
        | E::Tls(_)
        | E::PoolTimedOut
        | E::PoolClosed
        | E::WorkerCrashed
        | E::BeginFailed
        | E::Protocol(_) => StoreError::Unavailable(error.to_string()),
        _ => StoreError::Corrupt(error.to_string()),
    }
}

enum Meaning {
    Away,
    Full,
    Wrong,
}

fn meaning(code: &str) -> Meaning {
    if let (Ok(number), true) = (code.parse::<u32>(), code.len() < 5) {
        return match number & 0xff {
            13 => Meaning::Full,                  // SQLITE_FULL
            5 | 6 | 7 | 10 | 14 => Meaning::Away, // BUSY, LOCKED, NOMEM, IOERR, CANTOPEN
            _ => Meaning::Wrong,
        };
    }
    match code {
        "53100" => Meaning::Full, // disk_full
        "25006" => Meaning::Away, // read_only_sql_transaction: a standby, or a failover under way
        _ => match code.get(..2) {
            // connection, rollback, resources, intervention (shutdown, cancel), system error
            Some("08" | "40" | "53" | "57" | "58") => Meaning::Away,
            Some("55") => Meaning::Away, // lock_not_available, object_in_use
            Some("28" | "3D") => Meaning::Away, // login refused, no such database
            _ => Meaning::Wrong,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_for_sqlite_are_json_beside_one_blob() {
        let id = Uuid::from_u128(1);
        let args = Args::new()
            .ids([Some(id), None])
            .ints([7, 8])
            .texts(["a\"b", "é"])
            .blobs([Some(&b"xyz"[..]), None])
            .longs(["lo", "ng"]);
        let (json, blob) = args.for_sqlite();
        assert_eq!(
            json,
            "[[\"00000000000000000000000000000001\",7,\"a\\\"b\",2,3,5,2],\
             [null,8,\"é\",null,null,7,2]]"
        );
        assert_eq!(blob, b"\0xyzlong");
    }

    #[test]
    fn codes_of_both_databases() {
        for away in ["5", "261", "10", "57P01", "08006", "40P01", "53300", "57014"] {
            assert!(matches!(meaning(away), Meaning::Away), "{away}");
        }
        for full in ["13", "53100"] {
            assert!(matches!(meaning(full), Meaning::Full), "{full}");
        }
        for wrong in ["11", "1", "23505", "42601"] {
            assert!(matches!(meaning(wrong), Meaning::Wrong), "{wrong}");
        }
    }
}
