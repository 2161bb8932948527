//! SQLite: one file, written by the database itself.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use super::{Archive, JUMP, Progress, SQLITE_FILE, file_trouble};
use crate::StoreError;
use crate::db::trouble;
use crate::text::{time, unsigned};

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(100);

/// What the file holds, in one row.
const FACTS: &str = "select
  (select max(version) from migrations),
  (select count(*) from causes where cause >= 'audit:' and cause < 'audit;'),
  (select count(*) from messages), (select count(*) from deliveries),
  (select count(*) from evidence), (select max(stored_at) from evidence)";

/// Tables that count, also those that had no row yet: their numbers jump.
const NUMBERS: [&str; 2] = [
    "insert into sqlite_sequence (name, seq)
     select m.name, 0 * $1 from sqlite_master as m
     where m.type = 'table' and m.sql like '%autoincrement%'
       and m.name not in (select s.name from sqlite_sequence as s)",
    "update sqlite_sequence set seq = seq + $1",
];

async fn connect(path: &Path) -> Result<SqliteConnection, StoreError> {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .busy_timeout(Duration::from_secs(20))
        .disable_statement_logging()
        .connect()
        .await
        .map_err(trouble)
}

pub(super) async fn snapshot(
    path: &Path,
    dir: &Path,
    progress: Progress<'_>,
) -> Result<Archive, StoreError> {
    let target = dir.join(SQLITE_FILE);
    let mut source = connect(path).await?;
    let pages: (i64, i64) =
        sqlx::query_as("select page_count, page_size from pragma_page_count, pragma_page_size")
            .fetch_one(&mut source)
            .await
            .map_err(trouble)?;
    let total = unsigned(pages.0.saturating_mul(pages.1));
    let name = target.display().to_string();
    {
        // One statement, one read transaction: what is committed meanwhile is not in it.
        let writing = sqlx::query("vacuum into $1").bind(name).execute(&mut source);
        let mut writing = std::pin::pin!(writing);
        loop {
            tokio::select! {
                done = &mut writing => {
                    done.map_err(trouble)?;
                    break;
                }
                () = tokio::time::sleep(LOOK) => {
                    progress(std::fs::metadata(&target).map_or(0, |m| m.len()), total);
                }
            }
        }
    }
    source.close().await.map_err(trouble)?;
    File::open(&target).and_then(|f| f.sync_all()).map_err(|e| file_trouble(&target, &e))?;
    facts(&target).await
}

async fn facts(file: &Path) -> Result<Archive, StoreError> {
    let mut copy = connect(file).await?;
    let facts: (i64, i64, i64, i64, i64, Option<i64>) =
        sqlx::query_as(FACTS).fetch_one(&mut copy).await.map_err(trouble)?;
    copy.close().await.map_err(trouble)?;
    Ok(Archive {
        dialect: "sqlite".to_owned(),
        schema: facts.0,
        tables: Vec::new(),
        acts: unsigned(facts.1),
        messages: unsigned(facts.2),
        deliveries: unsigned(facts.3),
        objects: unsigned(facts.4),
        last_object: facts.5.map(time),
    })
}

/// The file appears under its name when its numbers have jumped.
pub(super) async fn load(path: &Path, dir: &Path) -> Result<(), StoreError> {
    let source = dir.join(SQLITE_FILE);
    let beside = path.with_extension("restoring");
    let placed = async {
        std::fs::copy(&source, &beside).map_err(|e| file_trouble(&beside, &e))?;
        let mut copy = connect(&beside).await?;
        for statement in NUMBERS {
            sqlx::query(statement).bind(JUMP).execute(&mut copy).await.map_err(trouble)?;
        }
        copy.close().await.map_err(trouble)?;
        File::open(&beside)
            .and_then(|f| f.sync_all())
            .and_then(|()| std::fs::rename(&beside, path))
            .map_err(|e| file_trouble(path, &e))
    };
    let placed = placed.await;
    if placed.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    placed
}
