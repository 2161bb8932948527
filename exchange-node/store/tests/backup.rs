//! An archive as files: whole, of one moment, and put back into an empty database alone.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)]

use std::path::Path;

use exchange_store::backup::{Archive, is_empty, load, snapshot};
use exchange_store::{Store, StoreError};
use schemas::time::Timestamp;

fn now() -> Timestamp {
    Timestamp::from_secs(1_800_000_000)
}

async fn taken(url: &str, dir: &Path) -> Archive {
    let told = std::sync::atomic::AtomicU64::new(0);
    let progress = |done: u64, _: u64| told.store(done, std::sync::atomic::Ordering::Relaxed);
    let archive = snapshot(url, dir, &progress).await.unwrap();
    if archive.dialect == "postgres" {
        assert!(told.into_inner() > 0, "no progress was told");
    }
    archive
}

/// A client, and a queue row that gives out a number.
async fn write(store: &dyn Store, name: &str) -> i64 {
    let client = exchange_store::rows::ClientRow {
        client_id: name.to_owned(),
        secret_hash: "x".to_owned(),
        member: schemas::party::Party::siret(&"12345678200010".parse().unwrap()),
        scopes: vec!["send".to_owned()],
        revoked_at: None,
    };
    store.put_client(&client).await.unwrap();
    let row = exchange_store::rows::SetAside {
        frame_id: name.to_owned(),
        lane: "message".to_owned(),
        source: "here".to_owned(),
        code: "seal-invalid".to_owned(),
        detail: name.to_owned(),
        body: vec![0, 1, 255],
        frame: vec![0, 1, 255],
        at: now(),
    };
    store.set_aside(std::slice::from_ref(&row)).await.unwrap();
    let query = exchange_store::rows::QueueQuery { to: None, after: 0, limit: 100 };
    store.queue(&query).await.unwrap().iter().map(|r| r.id).max().unwrap()
}

async fn there_and_back(from: &str, to: &str, dir: &Path) {
    let store = exchange_store::open(from).await.unwrap();
    let first = write(store.as_ref(), "before").await;
    let archive = taken(from, dir).await;
    write(store.as_ref(), "afterwards").await;
    assert!(is_empty(to).await.unwrap());
    load(to, dir, &archive, &|_, _| {}).await.unwrap();
    let refused = load(to, dir, &archive, &|_, _| {}).await;
    assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{refused:?}");
    let copy = exchange_store::open(to).await.unwrap();
    let clients = copy.clients().await.unwrap();
    assert_eq!(clients.iter().map(|c| c.client_id.as_str()).collect::<Vec<_>>(), ["before"]);
    let later = write(copy.as_ref(), "in the new one").await;
    assert!(later > first + 1_000_000, "{later} may have been handed out");
    store.close().await;
    copy.close().await;
}

#[tokio::test]
async fn sqlite_is_taken_while_it_is_written_and_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let url = |name: &str| format!("sqlite://{}", dir.path().join(name).display());
    let files = dir.path().join("files");
    std::fs::create_dir(&files).unwrap();
    there_and_back(&url("a/node.db"), &url("b.db"), &files).await;
}

#[tokio::test]
async fn postgres_is_taken_while_it_is_written_and_put_back() {
    let Ok(server) = std::env::var("PLI_TEST_PG") else {
        eprintln!("skipped: PLI_TEST_PG is not set");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let unique = uuid::Uuid::new_v4().simple().to_string();
    let mut urls = Vec::new();
    for which in ["a", "b"] {
        let name = format!("backup_{which}_{unique}");
        urls.push(exchange_store::create_database(&server, &name).await.unwrap());
    }
    there_and_back(&urls[0], &urls[1], dir.path()).await;
}
