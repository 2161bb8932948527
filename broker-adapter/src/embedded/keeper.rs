//! Keeps the write-ahead log short.
//!
//! SQLite would copy the log into the file within the commit that makes it too long, and one frame
//! in many would wait for that. A task with a connection of its own does it instead. It works beside
//! the writers (`PASSIVE`), and holds them up (`TRUNCATE`) only when the log outgrows it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteSynchronous;
use tokio::task::JoinHandle;

use super::file::connect;
use crate::BackboneError;

/// How often the log is looked at.
const INTERVAL: Duration = Duration::from_millis(250);
/// Bytes of log from which it is copied; and from which the writers must wait for that.
const LONG: u64 = 4 * 1024 * 1024;
const TOO_LONG: u64 = 64 * 1024 * 1024;

/// The task; it ends with the value.
#[derive(Debug)]
pub(super) struct Keeper(JoinHandle<()>);

impl Keeper {
    pub(super) async fn start(path: &Path) -> Result<Self, BackboneError> {
        let connection = connect(path, SqliteSynchronous::Normal).await?;
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        Ok(Self(tokio::spawn(keep(connection, PathBuf::from(log)))))
    }

    pub(super) fn stop(&self) {
        self.0.abort();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn keep(mut connection: SqliteConnection, log: PathBuf) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let length = tokio::fs::metadata(&log).await.map_or(0, |log| log.len());
        let copy = match length {
            0..LONG => continue,
            LONG..TOO_LONG => "PRAGMA wal_checkpoint(PASSIVE)",
            TOO_LONG.. => "PRAGMA wal_checkpoint(TRUNCATE)",
        };
        if let Err(error) = sqlx::raw_sql(copy).execute(&mut connection).await {
            tracing::debug!(%error, "the log of the embedded backbone was not copied");
        }
    }
}
