//! The start of a content store that holds a million small contents, which nobody has read lately:
//! with its tables, and without them, as after a restoration. The floor: reading the tables.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};
use bytes::Bytes;
use exchange_store::content::{Content as _, FsContent};
use signing::digest::sha256;

use crate::report::Run;

/// Octets of a content.
const SIZE: usize = 1 << 10;
/// Contents of one call.
const BATCH: usize = 4_000;

/// Opens a store of `count` contents.
pub(crate) async fn run(count: usize) -> Result<Vec<Run>> {
    let dir = tempfile::tempdir()?;
    let store = FsContent::open(dir.path()).await?;
    let all: Vec<usize> = (0..count).collect();
    for some in all.chunks(BATCH) {
        store.put_all(some.iter().map(|n| content(*n)).collect()).await?;
    }
    drop(store);
    forget(dir.path())?;
    let start = Instant::now();
    let mut octets = 0;
    for table in files(dir.path(), "table")? {
        octets += fs::read(table)?.len();
    }
    let floor = start.elapsed().as_secs_f64();
    let with = open(dir.path(), count).await?;
    files(dir.path(), "table")?.iter().try_for_each(fs::remove_file)?;
    let without = open(dir.path(), count).await?;
    let run = Run::new(&format!("start with {count} contents"), "s", with).over(floor);
    Ok(vec![run.with("without_tables_s", without).with("tables_mib", octets as f64 / 1048576.0)])
}

async fn open(dir: &Path, count: usize) -> Result<f64> {
    forget(dir)?;
    let start = Instant::now();
    let store = FsContent::open(dir).await?;
    let took = start.elapsed().as_secs_f64();
    for n in [0, count / 2, count - 1] {
        ensure!(store.size(&content(n).0).await? == Some(SIZE as u64), "content {n} is not there");
    }
    Ok(took)
}

fn content(n: usize) -> (schemas::digest::Digest, Bytes) {
    let mut bytes = vec![7; SIZE];
    for (place, octet) in bytes.iter_mut().zip(n.to_be_bytes()) {
        *place = octet;
    }
    (sha256(&bytes), bytes.into())
}

/// What the kernel has of the files in memory goes.
fn forget(dir: &Path) -> Result<()> {
    for file in files(dir, "table")?.into_iter().chain(files(dir, "pack")?) {
        let mut dd = Command::new("dd");
        dd.arg(format!("if={}", file.display())).args(["iflag=nocache", "count=0", "status=none"]);
        ensure!(dd.status()?.success(), "{} stays in memory", file.display());
    }
    Ok(())
}

fn files(dir: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for home in fs::read_dir(dir.join("packs"))? {
        for file in fs::read_dir(home?.path())? {
            let path = file?.path();
            found.extend(path.extension().is_some_and(|e| e == extension).then_some(path.clone()));
        }
    }
    Ok(found)
}
