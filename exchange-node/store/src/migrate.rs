//! Migrations: forward only, each once, in one transaction that keeps other processes out.

use crate::StoreError;
use crate::db::{Db, trouble};

/// Version, name and text for each dialect. Never changed once released; the next one is added.
const MIGRATIONS: &[(i64, &str, &str, &str)] = &[
    (
        1,
        "initial",
        include_str!("../migrations/sqlite/0001_initial.sql"),
        include_str!("../migrations/postgres/0001_initial.sql"),
    ),
    (
        2,
        "peers",
        include_str!("../migrations/sqlite/0002_peers.sql"),
        include_str!("../migrations/postgres/0002_peers.sql"),
    ),
    (
        3,
        "queue kept",
        include_str!("../migrations/sqlite/0003_queue_kept.sql"),
        include_str!("../migrations/postgres/0003_queue_kept.sql"),
    ),
    (
        4,
        "inbox octets",
        include_str!("../migrations/sqlite/0004_inbox_octets.sql"),
        include_str!("../migrations/postgres/0004_inbox_octets.sql"),
    ),
];

const TABLE: &str =
    "create table if not exists migrations (version bigint primary key, name text not null)";
const DONE: &str = "select version from migrations order by version";
const RECORD: &str = "insert into migrations (version, name) values ($1, $2)";

/// Runs what has not run yet.
pub(crate) async fn run(db: &Db) -> Result<(), StoreError> {
    run_to(db, i64::MAX).await
}

/// Runs what has not run yet, up to a version.
pub(crate) async fn run_to(db: &Db, last: i64) -> Result<(), StoreError> {
    match db {
        Db::Sqlite { writer, .. } => {
            let mut tx = writer.begin_with("BEGIN IMMEDIATE").await.map_err(trouble)?;
            sqlx::raw_sql(TABLE).execute(&mut *tx).await.map_err(trouble)?;
            let done: Vec<(i64,)> =
                sqlx::query_as(DONE).fetch_all(&mut *tx).await.map_err(trouble)?;
            for (version, name, text, _) in missing(&done, last) {
                sqlx::raw_sql(*text).execute(&mut *tx).await.map_err(trouble)?;
                let record = sqlx::query(RECORD).bind(version).bind(*name);
                record.execute(&mut *tx).await.map_err(trouble)?;
            }
            tx.commit().await.map_err(trouble)
        }
        Db::Postgres(pool) => {
            let mut tx = pool.begin().await.map_err(trouble)?;
            // Until the commit: `create table if not exists` alone fails when two run it at once.
            let lock = sqlx::raw_sql(
                "set local statement_timeout = 0; select pg_advisory_xact_lock(7016)",
            );
            lock.execute(&mut *tx).await.map_err(trouble)?;
            sqlx::raw_sql(TABLE).execute(&mut *tx).await.map_err(trouble)?;
            let done: Vec<(i64,)> =
                sqlx::query_as(DONE).fetch_all(&mut *tx).await.map_err(trouble)?;
            for (version, name, _, text) in missing(&done, last) {
                sqlx::raw_sql(*text).execute(&mut *tx).await.map_err(trouble)?;
                let record = sqlx::query(RECORD).bind(version).bind(*name);
                record.execute(&mut *tx).await.map_err(trouble)?;
            }
            tx.commit().await.map_err(trouble)
        }
    }
}

fn missing(
    done: &[(i64,)],
    last: i64,
) -> impl Iterator<Item = &'static (i64, &'static str, &'static str, &'static str)> {
    let done: Vec<i64> = done.iter().map(|(version,)| *version).collect();
    MIGRATIONS.iter().filter(move |(version, ..)| *version <= last && !done.contains(version))
}
