//! Copying: octets, digest and flush in one go, and the files of a content store that is in use.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use schemas::digest::Digest;
use signing::digest::Sha256Stream;

use super::{Entry, Index, Stage, Watch};
use crate::files;

/// Octets of one read.
const BUFFER: usize = 1 << 20;
/// How often a directory is listed again because files went away meanwhile.
const PASSES: usize = 10;

/// Reads a file to its end: how long it is, and its digest.
///
/// # Errors
/// Naming the file.
pub fn measure(path: &Path, told: &mut dyn FnMut(u64)) -> Result<(u64, Digest)> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    pour(file, None, told).with_context(|| path.display().to_string())
}

/// Copies a file, flushed, for its owner alone.
///
/// # Errors
/// As the file system says; the kind of a missing source is kept.
pub fn copy(from: &Path, to: &Path, told: &mut dyn FnMut(u64)) -> std::io::Result<(u64, Digest)> {
    let source = File::open(from)?;
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut target =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to)?;
    let measured = pour(source, Some(&mut target), told)?;
    target.sync_all()?;
    Ok(measured)
}

fn pour(
    mut from: File,
    mut to: Option<&mut File>,
    told: &mut dyn FnMut(u64),
) -> std::io::Result<(u64, Digest)> {
    let (mut buffer, mut hash, mut size) = (vec![0; BUFFER], Sha256Stream::new(), 0);
    loop {
        let read = from.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..read).filter(|b| !b.is_empty()) else {
            return Ok((size, hash.finish()));
        };
        hash.update(bytes);
        if let Some(target) = &mut to {
            target.write_all(bytes)?;
        }
        size += read as u64;
        told(read as u64);
    }
}

/// A backup in the making: a directory, and what is in it so far.
#[derive(Debug)]
pub struct Pile {
    root: PathBuf,
    entries: BTreeMap<String, Entry>,
    /// Content that does not have its digest.
    pub damaged: Vec<String>,
}

impl Pile {
    /// Begins in an empty directory.
    #[must_use]
    pub const fn new(root: PathBuf) -> Self {
        Self { root, entries: BTreeMap::new(), damaged: Vec::new() }
    }

    /// What is in it, in the order of the paths.
    #[must_use]
    pub fn entries(self) -> Vec<Entry> {
        self.entries.into_values().collect()
    }

    /// Writes a small file.
    ///
    /// # Errors
    /// Naming the file.
    pub fn write(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let target = self.root.join(path);
        files::directory(target.parent().unwrap_or(&self.root))?;
        files::write_private(&target, bytes)?;
        let sha256 = signing::digest::sha256(bytes);
        self.add(path, bytes.len() as u64, sha256);
        Ok(())
    }

    /// Copies a file.
    ///
    /// # Errors
    /// Naming the file.
    pub fn bring(&mut self, from: &Path, path: &str) -> Result<()> {
        let (size, sha256) = copy(from, &self.root.join(path), &mut |_| ())
            .with_context(|| format!("{} cannot be copied", from.display()))?;
        self.add(path, size, sha256);
        Ok(())
    }

    /// Adds a file that was written into the directory.
    ///
    /// # Errors
    /// Naming the file.
    pub fn note(&mut self, path: &str, told: &mut dyn FnMut(u64)) -> Result<()> {
        let (size, sha256) = measure(&self.root.join(path), told)?;
        self.add(path, size, sha256);
        Ok(())
    }

    fn add(&mut self, path: &str, size: u64, sha256: Digest) {
        let entry = Entry { path: path.to_owned(), size, sha256 };
        self.entries.insert(path.to_owned(), entry);
    }

    /// Copies a content store that a node may be writing and compacting. Packs are appended to and
    /// large contents never change, so that what a base has of the same length is the same.
    ///
    /// # Errors
    /// Naming the file; or files keep going away.
    pub fn content(&mut self, dir: &Path, base: Option<&Base>, watch: Watch<'_>) -> Result<()> {
        let mut done = 0;
        // When a pack went away, what it held lies at the end of another, written before.
        let mut grown = false;
        for _ in 0..PASSES {
            let found = listed(dir)?;
            let total: u64 = found.iter().map(|(_, size)| size).sum();
            let mut gone = false;
            for (name, size) in found {
                let path = format!("content/{name}");
                let known = self.entries.get(&path);
                if known.is_some_and(|k| !grown || k.size >= size) {
                    continue;
                }
                let mut told = |octets| {
                    done += octets;
                    watch(Stage::Files, done, total.max(done));
                };
                match self.content_file(dir, &name, size, base, &mut told) {
                    Ok(()) => {}
                    Err(e) if e.kind() == ErrorKind::NotFound => gone = true,
                    Err(e) => return Err(e).with_context(|| dir.join(&name).display().to_string()),
                }
            }
            if !gone {
                return Ok(());
            }
            grown = true;
        }
        bail!("files of {} keep going away: try again", dir.display())
    }

    fn content_file(
        &mut self,
        dir: &Path,
        name: &str,
        size: u64,
        base: Option<&Base>,
        told: &mut dyn FnMut(u64),
    ) -> std::io::Result<()> {
        let path = format!("content/{name}");
        let target = self.root.join(&path);
        if let Some(same) = base.and_then(|base| base.take(&path, size, &target)) {
            told(size);
            self.add(&path, size, same);
            return Ok(());
        }
        let (size, sha256) = copy(&dir.join(name), &target, told)?;
        let digest = name.rsplit('/').next().unwrap_or_default();
        if !name.starts_with("packs/") && digest != sha256.to_string() {
            self.damaged.push(path.clone());
        }
        self.add(&path, size, sha256);
        Ok(())
    }
}

/// An earlier backup whose files stand for those that have not changed.
#[derive(Debug)]
pub struct Base {
    root: PathBuf,
    sizes: BTreeMap<String, (u64, Digest)>,
}

impl Base {
    /// A backup and its index.
    #[must_use]
    pub fn new(root: &Path, index: &Index) -> Self {
        let sizes = index.files.iter().map(|e| (e.path.clone(), (e.size, e.sha256))).collect();
        Self { root: root.to_owned(), sizes }
    }

    /// Links or copies a file of the same name and length.
    fn take(&self, path: &str, size: u64, target: &Path) -> Option<Digest> {
        let (_, digest) = self.sizes.get(path).filter(|(known, _)| *known == size)?;
        fs::create_dir_all(target.parent()?).ok()?;
        let linked = fs::hard_link(self.root.join(path), target);
        linked.ok().map(|()| *digest)
    }
}

/// Packs and large contents below a content directory, with their sizes, in order.
fn listed(dir: &Path) -> Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    for first in names(dir)? {
        for second in names(&dir.join(&first))? {
            if first != "packs" && (first.len() != 2 || second.len() != 2) {
                continue;
            }
            let inner = dir.join(&first).join(&second);
            for name in names(&inner)? {
                let wanted = if first == "packs" {
                    name.ends_with(".pack")
                } else {
                    name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit())
                };
                let size = fs::metadata(inner.join(&name)).ok().filter(|_| wanted);
                if let Some(size) = size {
                    found.push((format!("{first}/{second}/{name}"), size.len()));
                }
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Names in a directory; none when it is not one, or went away.
fn names(dir: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(e) => return Err(e).with_context(|| dir.display().to_string()),
    };
    Ok(entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect())
}

/// Refuses a place where something lies.
///
/// # Errors
/// It is there and not an empty directory, or cannot be read.
pub fn must_be_free(dir: &Path) -> Result<()> {
    match fs::read_dir(dir) {
        Ok(mut entries) => {
            ensure!(entries.next().is_none(), "{} is not empty", dir.display());
            Ok(())
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e).with_context(|| dir.display().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(dir: &Path, name: &str, bytes: &[u8]) {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn content_is_copied_with_its_digests_and_what_is_under_way_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (live, first, second) =
            (dir.path().join("live"), dir.path().join("1"), dir.path().join("2"));
        let large = signing::digest::sha256(b"large").to_string();
        let file = format!("{}/{}/{large}", &large[..2], &large[2..4]);
        put(&live, &file, b"large");
        put(&live, "packs/w/a.pack", b"pack");
        put(&live, "packs/w/lock", b"");
        put(&live, "tmp/x", b"under way");
        put(&live, "uploads/u/part", b"under way");
        let rotten = format!("{}/{}/{}", &large[..2], &large[2..4], large.replace('0', "1"));
        put(&live, &rotten, b"rotten");
        let mut pile = Pile::new(first.clone());
        pile.content(&live, None, &|_, _, _| {}).unwrap();
        assert_eq!(pile.damaged, [format!("content/{rotten}")]);
        let files = pile.entries();
        assert_eq!(files.len(), 3, "{files:?}");
        assert_eq!(fs::read(first.join("content").join(&file)).unwrap(), b"large");
        // A second one takes over what has not changed, and copies what has.
        put(&live, "packs/w/a.pack", b"pack and more");
        let index = Index { files, ..sample() };
        let base = Base::new(&first, &index);
        let mut pile = Pile::new(second.clone());
        pile.content(&live, Some(&base), &|_, _, _| {}).unwrap();
        use std::os::unix::fs::MetadataExt as _;
        let links = |p: PathBuf| fs::metadata(p).unwrap().nlink();
        assert_eq!(links(second.join("content").join(&file)), 2);
        assert_eq!(links(second.join("content/packs/w/a.pack")), 1);
        assert_eq!(fs::read(second.join("content/packs/w/a.pack")).unwrap(), b"pack and more");
    }

    fn sample() -> Index {
        let now = schemas::time::Timestamp::from_secs(0);
        Index {
            version: 1,
            id: uuid::Uuid::nil(),
            node: "n".parse().unwrap(),
            software: String::new(),
            taken: now,
            finished: now,
            archive: exchange_store::backup::Archive {
                dialect: "sqlite".to_owned(),
                schema: 1,
                tables: Vec::new(),
                acts: 0,
                messages: 0,
                deliveries: 0,
                objects: 0,
                last_object: None,
            },
            keys: super::super::KeyPlace::Apart,
            storage_check: Digest([0; 32]),
            withheld: Vec::new(),
            base: None,
            damaged: Vec::new(),
            files: Vec::new(),
        }
    }

    #[test]
    fn a_place_that_is_taken_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        must_be_free(dir.path()).unwrap();
        must_be_free(&dir.path().join("nothing")).unwrap();
        put(dir.path(), "x", b"");
        assert!(must_be_free(dir.path()).is_err());
        assert!(must_be_free(&dir.path().join("x")).is_err());
    }
}
