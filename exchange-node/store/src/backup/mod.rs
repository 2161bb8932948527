//! The archive as files: taken from a database that is being written, and put into an empty one.
//!
//! - [`snapshot`]: everything that was committed when it began, and nothing later. SQLite gives one
//!   file (`VACUUM INTO`: one read transaction, writers go on). PostgreSQL gives a file for each
//!   table (`COPY`, binary), all under one repeatable-read snapshot.
//! - [`load`]: the other way. Numbers go on far above those of the snapshot: what was handed out
//!   between it and the loss (positions in a feed) never comes to mean something else.
//!
//! Deliberately absent: content, keys, seals, and who may do this.

mod postgres;
mod sqlite;

use std::path::Path;

use schemas::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::StoreError;

/// Name of the file of a SQLite archive.
pub const SQLITE_FILE: &str = "node.db";

/// How far numbers jump when an archive is loaded: more than any node hands out between two backups.
pub(crate) const JUMP: i64 = 1 << 32;

/// What a snapshot holds. Used in stored state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    /// `sqlite` or `postgres`.
    pub dialect: String,
    /// Version of the schema.
    pub schema: i64,
    /// Tables with their columns and rows; empty for SQLite.
    pub tables: Vec<Table>,
    /// Lines of the journal of acts that it knows.
    pub acts: u64,
    /// Messages.
    pub messages: u64,
    /// Deliveries.
    pub deliveries: u64,
    /// Sealed objects.
    pub objects: u64,
    /// When the last of them came in.
    pub last_object: Option<Timestamp>,
}

/// One table of a PostgreSQL archive: the file `NAME.copy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// The columns in the file, in their order.
    pub columns: Vec<String>,
    /// Rows.
    pub rows: u64,
}

/// Is told how many octets are written, and about how many there will be.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// Writes what is committed now into `dir`, while others go on writing.
///
/// # Errors
/// The database does not answer, or `dir` cannot be written: what lies there is of no use.
pub async fn snapshot(
    url: &str,
    dir: &Path,
    progress: Progress<'_>,
) -> Result<Archive, StoreError> {
    if is_postgres(url) {
        postgres::snapshot(url, dir, progress).await
    } else {
        sqlite::snapshot(path_of(url), dir, progress).await
    }
}

/// Whether nothing is there that could be overwritten.
///
/// # Errors
/// The database does not answer, or there is none of this name.
pub async fn is_empty(url: &str) -> Result<bool, StoreError> {
    if is_postgres(url) { postgres::is_empty(url).await } else { Ok(!path_of(url).exists()) }
}

/// Puts an archive from `dir` into an empty database, in the schema of its time; opening it
/// afterwards brings the schema up to date.
///
/// # Errors
/// The database is of another kind or not empty, or does not answer. It is left empty then.
pub async fn load(
    url: &str,
    dir: &Path,
    archive: &Archive,
    progress: Progress<'_>,
) -> Result<(), StoreError> {
    let dialect = if is_postgres(url) { "postgres" } else { "sqlite" };
    if archive.dialect != dialect {
        let text = format!("the archive is of {}, the database is {dialect}", archive.dialect);
        return Err(StoreError::Corrupt(text));
    }
    if !is_empty(url).await? {
        return Err(StoreError::Corrupt("the database is not empty".to_owned()));
    }
    if is_postgres(url) {
        postgres::load(url, dir, archive, progress).await
    } else {
        sqlite::load(path_of(url), dir).await
    }
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

fn path_of(url: &str) -> &Path {
    Path::new(url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")).unwrap_or(url))
}

/// What cannot be done with a file.
fn file_trouble(path: &Path, error: &std::io::Error) -> StoreError {
    let text = format!("{}: {error}", path.display());
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            StoreError::Full(text)
        }
        _ => StoreError::Unavailable(text),
    }
}
