//! Packs and their tables on a real file system: what a start finds after other starts, cuts, damage
//! and compaction.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::TryStreamExt as _;
use schemas::digest::Digest;
use tempfile::TempDir;
use uuid::Uuid;

use super::large::digest_of;
use super::record::HEADER;
use super::table;
use super::{Content, ContentError, FsContent};

/// Octets after which a pack is closed: some twenty of our contents.
const LIMIT: u64 = 4 << 10;

fn open(dir: &Path) -> FsContent {
    FsContent::open_now(dir.to_owned(), LIMIT).unwrap()
}

fn content(n: usize) -> (Digest, Bytes) {
    let bytes = Bytes::from(format!("content {n} ").repeat(5 + n % 7));
    (digest_of(&bytes), bytes)
}

/// A store of `count` contents in several packs, flushed three at a time, and closed.
async fn filled(count: usize) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let all: Vec<usize> = (0..count).collect();
    for some in all.chunks(3) {
        store.put_all(some.iter().map(|n| content(*n)).collect()).await.unwrap();
    }
    dir
}

async fn read(store: &FsContent, n: usize) -> Result<Vec<u8>, ContentError> {
    let buffers: Vec<Bytes> = store.read(&content(n).0, 0, None).await?.try_collect().await?;
    Ok(buffers.concat())
}

/// The first `count` contents are all there, and whole.
async fn assert_whole(store: &FsContent, count: usize) {
    for n in 0..count {
        assert_eq!(read(store, n).await.unwrap(), content(n).1, "content {n}");
    }
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let homes = fs::read_dir(dir.join("packs")).unwrap().map(|home| home.unwrap().path());
    let all = homes.flat_map(|home| fs::read_dir(home).unwrap().map(|file| file.unwrap().path()));
    let mut found: Vec<_> = all.filter(|f| f.extension().is_some_and(|e| e == extension)).collect();
    found.sort();
    found
}

/// How many records the table of a pack tells; none when it is not believed.
fn told(pack: &Path) -> Option<usize> {
    let id: Uuid = pack.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    table::read(pack, id, fs::metadata(pack).unwrap().len()).map(|records| records.len())
}

/// Every pack has the table that a start without any would write.
fn assert_tables(dir: &Path) {
    let packs = files(dir, "pack");
    let tables: BTreeMap<PathBuf, Vec<u8>> =
        files(dir, "table").into_iter().map(|t| (t.clone(), fs::read(t).unwrap())).collect();
    assert_eq!(tables.len(), packs.len());
    tables.keys().for_each(|table| fs::remove_file(table).unwrap());
    drop(open(dir));
    for (table, bytes) in tables {
        assert_eq!(fs::read(&table).unwrap(), bytes, "{}", table.display());
    }
}

#[tokio::test]
async fn a_start_finds_everything_by_the_tables_and_reads_no_content() {
    let dir = filled(100).await;
    let packs = files(dir.path(), "pack");
    assert!(packs.len() > 2, "{packs:?}");
    // The first content of each pack is gone, with its header: only a table knows it still.
    for pack in &packs {
        let mut bytes = fs::read(pack).unwrap();
        bytes[..HEADER + 10].fill(0);
        fs::write(pack, bytes).unwrap();
    }
    let store = open(dir.path());
    assert_eq!(store.size(&content(0).0).await.unwrap(), Some(content(0).1.len() as u64));
    let lost = read(&store, 0).await;
    assert!(matches!(lost, Err(ContentError::Mismatch(_))), "damage is told: {lost:?}");
    assert_eq!(read(&store, 1).await.unwrap(), content(1).1);
    drop(store);
    // Without tables the packs are read, and what cannot be is stepped over with its flush.
    files(dir.path(), "table").iter().for_each(|table| fs::remove_file(table).unwrap());
    let store = open(dir.path());
    assert_eq!(store.size(&content(0).0).await.unwrap(), None);
    assert_eq!(read(&store, 3).await.unwrap(), content(3).1);
}

#[tokio::test]
async fn a_pack_of_an_earlier_release_gets_its_table() {
    let dir = filled(60).await;
    let before: Vec<_> = files(dir.path(), "table").iter().map(|t| fs::read(t).unwrap()).collect();
    files(dir.path(), "table").iter().for_each(|table| fs::remove_file(table).unwrap());
    assert_whole(&open(dir.path()), 60).await;
    let after: Vec<_> = files(dir.path(), "table").iter().map(|t| fs::read(t).unwrap()).collect();
    assert_eq!(before, after, "written along or afterwards, they are the same");
}

#[tokio::test]
async fn a_table_that_is_cut_or_damaged_anywhere_costs_nothing() {
    let dir = filled(12).await;
    let path = files(dir.path(), "table").remove(0);
    let pack = files(dir.path(), "pack").remove(0);
    let good = fs::read(&path).unwrap();
    let cuts = (0..good.len()).map(|at| good[..at].to_vec());
    let flips = (0..good.len()).map(|at| {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        bad
    });
    let longer = [good.as_slice(), good.as_slice()].concat();
    for bad in cuts.chain(flips).chain([longer]) {
        fs::write(&path, bad).unwrap();
        assert_eq!(told(&pack), None);
        assert_whole(&open(dir.path()), 12).await;
        assert_eq!(told(&pack), Some(12));
    }
}

/// A table of another pack does not tell of this one, were they as long and as alike as could be.
#[tokio::test]
async fn a_table_is_of_its_pack_alone() {
    let (one, other) = (filled(12).await, filled(12).await);
    let [from, to] = [&one, &other].map(|dir| files(dir.path(), "table").remove(0));
    fs::copy(from, &to).unwrap();
    assert_eq!(told(&to.with_extension("pack")), None);
    assert_whole(&open(other.path()), 12).await;
}

/// A power cut at any octet of the last flush: what was durable before stays, in pack and table.
#[tokio::test]
async fn a_torn_pack_loses_its_tail_and_its_table_the_same() {
    let dir = filled(9).await;
    let (pack, table) = (files(dir.path(), "pack").remove(0), files(dir.path(), "table").remove(0));
    let (bytes, headers) = (fs::read(&pack).unwrap(), fs::read(&table).unwrap());
    let durable: usize = (0..6).map(|n| HEADER + content(n).1.len()).sum();
    let headers = &headers[..headers.len() - HEADER];
    for end in durable..bytes.len() {
        for zeros in [false, true] {
            let mut torn = bytes[..end].to_vec();
            torn.resize(if zeros { bytes.len() } else { end }, 0);
            fs::write(&pack, &torn).unwrap();
            fs::write(&table, headers).unwrap();
            let store = open(dir.path());
            assert_whole(&store, 6).await;
            let found = fs::metadata(&pack).unwrap().len();
            assert!((durable as u64..=end as u64).contains(&found), "{found} octets of {end}");
            assert!(store.size(&content(8).0).await.unwrap().is_none(), "{end} octets");
            drop(store);
            assert_tables(dir.path());
        }
    }
}

#[tokio::test]
async fn a_compacted_pack_goes_with_its_table_and_what_is_left_is_found() {
    let dir = filled(100).await;
    let store = open(dir.path());
    let kept = |n: usize| n.is_multiple_of(5);
    let gone: Vec<Digest> = (0..100).filter(|n| !kept(*n)).map(|n| content(n).0).collect();
    let before = files(dir.path(), "pack");
    for some in gone.chunks(4) {
        store.remove(some).await.unwrap();
    }
    drop(store);
    let after = files(dir.path(), "pack");
    assert!(before.iter().any(|pack| !after.contains(pack)), "nothing was compacted");
    let store = open(dir.path());
    for n in 0..100 {
        let found = read(&store, n).await;
        assert_eq!(found.is_ok(), kept(n), "content {n}: {found:?}");
    }
    drop(store);
    assert_tables(dir.path());
}

/// Two replicas write beside each other; each finds what the other stores, before and after a start.
#[tokio::test]
async fn replicas_read_each_others_tables() {
    let dir = tempfile::tempdir().unwrap();
    let two = [open(dir.path()), open(dir.path())];
    for n in 0..60 {
        two[n % 2].put_all(vec![content(n)]).await.unwrap();
    }
    for one in &two {
        assert_whole(one, 60).await;
    }
    let third = open(dir.path());
    assert_whole(&third, 60).await;
    drop((two, third));
    assert_whole(&open(dir.path()), 60).await;
    let told: usize = files(dir.path(), "pack").iter().filter_map(|pack| told(pack)).sum();
    assert_eq!(told, 60);
}
