//! Opening an archive by its URL: `sqlite:///path/node.db`, a plain path, or `postgres://...`.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::db::{Db, trouble};
use crate::store::SqlStore;
use crate::{Store, StoreError, migrate};

/// Connections to PostgreSQL of one process.
const POSTGRES_CONNECTIONS: u32 = 10;
/// Readers of one SQLite file.
const SQLITE_READERS: u32 = 4;
/// How long to wait for what other processes do in a SQLite file.
const SQLITE_BUSY: Duration = Duration::from_secs(20);
/// Between two tries at a SQLite file that is busy.
const SQLITE_AGAIN: Duration = Duration::from_millis(20);
/// How long to wait for a connection before the database counts as away.
const ACQUIRE: Duration = Duration::from_secs(5);

/// Opens an archive and brings its schema up to date; several processes may do so at once.
///
/// # Errors
/// [`StoreError::Unavailable`] when the database does not answer or the URL is not one.
pub async fn open(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    let db = connect(url).await?;
    migrate::run(&db).await?;
    Ok(Arc::new(SqlStore::new(db)))
}

/// Creates a database on the server of `admin_url`, unless it is there, and returns its URL.
///
/// # Errors
/// [`StoreError::Unavailable`] when the server does not answer, or refuses.
pub async fn create_database(admin_url: &str, name: &str) -> Result<String, StoreError> {
    let well_formed = !name.is_empty()
        && name.len() <= 63
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b));
    if !well_formed {
        return Err(StoreError::Unavailable(format!("{name:?} cannot name a database")));
    }
    let options = PgConnectOptions::from_str(admin_url).map_err(trouble)?;
    let mut connection = options.connect().await.map_err(trouble)?;
    let created = sqlx::raw_sql(AssertSqlSafe(format!("create database \"{name}\"")))
        .execute(&mut connection)
        .await;
    if let Err(error) = created {
        let code = error.as_database_error().and_then(|e| e.code()).unwrap_or_default();
        // duplicate_database, or unique_violation when two create it at the same instant
        if code != "42P04" && code != "23505" {
            return Err(trouble(error));
        }
    }
    connection.close().await.map_err(trouble)?;
    Ok(with_database(admin_url, name))
}

/// Replaces the path of a URL, keeping its query.
fn with_database(url: &str, name: &str) -> String {
    let (base, query) = url.split_once('?').map_or((url, None), |(b, q)| (b, Some(q)));
    let authority = base.find("://").map_or(0, |at| at + 3);
    let end = base
        .get(authority..)
        .and_then(|rest| rest.find('/'))
        .map_or(base.len(), |at| authority + at);
    let server = base.get(..end).unwrap_or(base);
    query.map_or_else(|| format!("{server}/{name}"), |q| format!("{server}/{name}?{q}"))
}

pub(crate) async fn connect(url: &str) -> Result<Db, StoreError> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        postgres(url).await
    } else {
        let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
        sqlite(Path::new(path.unwrap_or(url))).await
    }
}

async fn sqlite(path: &Path) -> Result<Db, StoreError> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)
            .map_err(|e| StoreError::Unavailable(format!("{}: {e}", directory.display())))?;
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .foreign_keys(true)
        .page_size(8192)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(SQLITE_BUSY)
        .pragma("cache_size", "-32768")
        .pragma("temp_store", "memory")
        .pragma("wal_autocheckpoint", "4000")
        .pragma("journal_size_limit", "67108864")
        .disable_statement_logging();
    let held = in_wal(&options).await?;
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .acquire_timeout(Duration::from_secs(60))
        .connect_with(options.clone())
        .await
        .map_err(trouble)?;
    let readers = SqlitePoolOptions::new()
        .max_connections(SQLITE_READERS)
        .test_before_acquire(false)
        .acquire_timeout(Duration::from_secs(60))
        .connect_with(options.pragma("query_only", "on"))
        .await
        .map_err(trouble)?;
    held.close().await.map_err(trouble)?;
    Ok(Db::Sqlite { writer, readers })
}

/// A connection to a file that is in WAL mode, and stays so while the connection is held.
///
/// SQLite calls a file busy without asking the busy handler while another process switches it to
/// WAL, or leaves as the last and takes the log away; so this tries again.
async fn in_wal(options: &SqliteConnectOptions) -> Result<SqliteConnection, StoreError> {
    let start = Instant::now();
    loop {
        match options.connect().await {
            Err(error) if busy(&error) && start.elapsed() < SQLITE_BUSY => {
                tokio::time::sleep(SQLITE_AGAIN).await;
            }
            done => return done.map_err(trouble),
        }
    }
}

/// `SQLITE_BUSY`, or one of its extended codes, whose low octet it is.
fn busy(error: &sqlx::Error) -> bool {
    const BUSY: u32 = 5;
    let code = error.as_database_error().and_then(|e| e.code());
    code.and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xff == BUSY)
}

async fn postgres(url: &str) -> Result<Db, StoreError> {
    let options = PgConnectOptions::from_str(url)
        .map_err(trouble)?
        .application_name("pli")
        .options([
            // Feed positions and queue heads rely on each statement seeing what is committed.
            ("default_transaction_isolation", "read committed"),
            ("synchronous_commit", "on"),
            ("statement_timeout", "30s"),
            // A process that hangs must not hold the feed lock.
            ("idle_in_transaction_session_timeout", "30s"),
            // Each statement is planned once. Tables grow from nothing to millions of rows under
            // such plans, so that none may rest on a table being small: where there is an index
            // it is used.
            ("plan_cache_mode", "force_generic_plan"),
            ("enable_seqscan", "off"),
            ("jit", "off"),
        ])
        .disable_statement_logging();
    let pool = PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS)
        .acquire_timeout(ACQUIRE)
        .test_before_acquire(false)
        .connect_with(options)
        .await
        .map_err(trouble)?;
    Ok(Db::Postgres(pool))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_of_a_url_is_replaced() {
        for (url, expected) in [
            ("postgres://u:p@h:5432/postgres", "postgres://u:p@h:5432/n1"),
            ("postgres://h", "postgres://h/n1"),
            ("postgres://h/a?sslmode=disable", "postgres://h/n1?sslmode=disable"),
        ] {
            assert_eq!(with_database(url, "n1"), expected);
        }
    }

    /// The CLI beside a node that starts, while an agent looks: each comes and goes as it likes.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_file_is_opened_and_closed_by_many_at_once() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..20 {
            let path = dir.path().join(format!("{round}.db"));
            let one = || async {
                for _ in 0..4 {
                    let Db::Sqlite { writer, readers } = sqlite(&path).await? else { continue };
                    readers.close().await;
                    writer.close().await;
                }
                Ok::<(), StoreError>(())
            };
            let done = futures::future::try_join_all((0..6).map(|_| one())).await;
            assert!(done.is_ok(), "round {round}: {done:?}");
        }
    }

    #[tokio::test]
    async fn odd_database_names_are_refused() {
        for name in ["", "a\"b", "A", "a b"] {
            let refused = create_database("postgres://127.0.0.1:1/x", name).await;
            assert!(refused.is_err_and(|e| e.to_string().contains("cannot name")), "{name}");
        }
    }
}
