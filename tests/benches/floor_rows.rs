//! What the bare pipeline writes: rows of given sizes, one transaction per batch, one statement
//! per table, primary keys and no other index.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use sqlx::{AssertSqlSafe, Executor as _, PgPool};
use tokio::sync::Mutex;
use uuid::Uuid;

const TABLES: &str = "
    create table messages (id uuid primary key, body text not null);
    create table deliveries (id uuid primary key, state text not null);
    create table evidence (seq bigint generated always as identity primary key, p7m bytea not null);
    create table queue (id uuid primary key, payload bytea not null);
    create table other_0 (id uuid primary key, body bytea not null);
    create table other_1 (id uuid primary key, body bytea not null);
    create table other_2 (id uuid primary key, body bytea not null);
    create table events (seq bigint generated always as identity primary key, body text not null);
    alter table deliveries alter column state set storage external;
    alter table evidence alter column p7m set storage external;
    alter table queue alter column payload set storage external;";

/// What one delivery adds in one transaction; lengths in octets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    /// A new message.
    pub(crate) envelope: Option<usize>,
    /// A new delivery.
    pub(crate) state: Option<usize>,
    /// A known delivery, written again.
    pub(crate) update: Option<usize>,
    /// Sealed objects.
    pub(crate) evidence: Vec<usize>,
    /// A row for a worker.
    pub(crate) queue: Option<usize>,
    /// A row that a worker is done with.
    pub(crate) done: bool,
    /// Events of members.
    pub(crate) events: Vec<usize>,
    /// Rows of other tables, at most three.
    pub(crate) others: Vec<usize>,
}

/// One database and one file for contents.
#[derive(Debug)]
pub(crate) struct Archive {
    pool: PgPool,
    contents: Arc<Mutex<File>>,
}

impl Archive {
    /// Empty tables.
    pub(crate) async fn create(url: &str, contents: &Path) -> Result<Self> {
        let pool = PgPool::connect(url).await?;
        pool.execute(TABLES).await?;
        Ok(Self { pool, contents: Arc::new(Mutex::new(File::create(contents)?)) })
    }

    /// Appends contents under one flush.
    pub(crate) async fn keep(&self, contents: Vec<Vec<u8>>) -> Result<()> {
        if contents.is_empty() {
            return Ok(());
        }
        let file = Arc::clone(&self.contents);
        tokio::task::spawn_blocking(move || {
            let mut file = file.blocking_lock();
            for one in contents {
                file.write_all(&one)?;
            }
            file.sync_data()
        })
        .await??;
        Ok(())
    }

    /// One transaction for a batch.
    pub(crate) async fn write(&self, rows: &Rows, ids: &[Uuid]) -> Result<()> {
        let ids = ids.to_vec();
        let mut tx = self.pool.begin().await?;
        let text = |len: usize| vec!["x".repeat(len); ids.len()];
        let pairs = [
            ("insert into messages select * from unnest($1::uuid[], $2::text[])", rows.envelope),
            ("insert into deliveries select * from unnest($1::uuid[], $2::text[])", rows.state),
            (
                "update deliveries d set state = n.state
                   from unnest($1::uuid[], $2::text[]) n (id, state) where d.id = n.id",
                rows.update,
            ),
        ];
        for (statement, len) in pairs {
            if let Some(len) = len {
                sqlx::query(statement).bind(&ids).bind(text(len)).execute(&mut *tx).await?;
            }
        }
        let evidence: Vec<Vec<u8>> =
            ids.iter().flat_map(|_| rows.evidence.iter().map(|len| vec![7; *len])).collect();
        if !evidence.is_empty() {
            let statement = "insert into evidence (p7m) select * from unnest($1::bytea[])";
            sqlx::query(statement).bind(evidence).execute(&mut *tx).await?;
        }
        if let Some(len) = rows.queue {
            let statement = "insert into queue select * from unnest($1::uuid[], $2::bytea[])";
            let payloads = vec![vec![7_u8; len]; ids.len()];
            sqlx::query(statement).bind(&ids).bind(payloads).execute(&mut *tx).await?;
        }
        if rows.done {
            let statement = "delete from queue where id = any($1::uuid[])";
            sqlx::query(statement).bind(&ids).execute(&mut *tx).await?;
        }
        let events: Vec<String> =
            ids.iter().flat_map(|_| rows.events.iter().map(|len| "x".repeat(*len))).collect();
        if !events.is_empty() {
            let statement = "insert into events (body) select * from unnest($1::text[])";
            sqlx::query(statement).bind(events).execute(&mut *tx).await?;
        }
        for (place, len) in rows.others.iter().enumerate() {
            let statement =
                format!("insert into other_{place} select * from unnest($1::uuid[], $2::bytea[])");
            let bodies = vec![vec![7_u8; *len]; ids.len()];
            sqlx::query(AssertSqlSafe(statement)).bind(&ids).bind(bodies).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
