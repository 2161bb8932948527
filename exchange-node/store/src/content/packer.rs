//! The thread that appends to packs. Whatever waits is written and flushed together: a hundred
//! callers share one flush, a single one waits for nobody.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;

use bytes::Bytes;
use schemas::digest::Digest;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::ContentError;
use super::index::{Index, Location, Slot};
use super::record::{HEADER, HEADER_LEN, Kind, Record, tombstone};
use super::scan::{self, TOMBSTONE_LEN};
use super::table::{self, Table};

/// Octets after which a pack is closed.
pub(super) const PACK_LIMIT: u64 = 64 << 20;
/// Octets below which a pack that is current is not compacted.
const SMALLEST: u64 = 8 << 20;
/// Octets written in one flush, give or take one job.
const FLUSH_LIMIT: usize = 8 << 20;

/// The index, shared by readers and the packer.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared(Arc<RwLock<Index>>);

impl Shared {
    /// No code that holds the lock panics; a poisoned lock is taken as it is.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What callers ask for.
#[derive(Debug)]
pub(super) enum Job {
    /// Store.
    Put(Vec<(Digest, Bytes)>),
    /// Remove.
    Remove(Vec<Digest>),
}

type Reply = oneshot::Sender<Result<(), ContentError>>;

/// The callers' end. Dropped, it waits until the thread has written what it was given.
#[derive(Debug)]
pub(super) struct Packer {
    jobs: Option<Sender<(Job, Reply)>>,
    thread: Option<JoinHandle<()>>,
}

impl Packer {
    /// Starts the thread. `home` is the directory of this process, locked by it.
    pub(super) fn start(shared: Shared, home: PathBuf, limit: u64) -> io::Result<Self> {
        let (jobs, inbox) = channel();
        let mut pen = Pen { shared, home, limit, current: None };
        let thread = std::thread::Builder::new()
            .name("content-packer".to_owned())
            .spawn(move || pen.run(&inbox))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Has a job done; durable when it returns.
    pub(super) async fn ask(&self, job: Job) -> Result<(), ContentError> {
        let stopped = || ContentError::Io("the content packer has stopped".to_owned());
        let (reply, answer) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        jobs.send((job, reply)).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Drop for Packer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported by its own hook.
            thread.join().unwrap_or_default();
        }
    }
}

/// The pack that is appended to.
#[derive(Debug)]
struct Current {
    slot: Slot,
    id: Uuid,
    file: File,
    table: Table,
    /// Octets that are durable: where the next flush begins.
    size: u64,
}

/// What a flush changes in the index, in order.
#[derive(Debug)]
enum Op {
    Add(Digest, Location),
    Remove(Digest, Location),
    Tombstone(Option<Slot>),
}

/// A flush under preparation.
#[derive(Debug, Default)]
struct Flush {
    buffer: Vec<u8>,
    headers: Vec<u8>,
    ops: Vec<Op>,
    added: HashMap<Digest, Location>,
}

struct Pen {
    shared: Shared,
    home: PathBuf,
    limit: u64,
    current: Option<Current>,
}

impl Pen {
    fn run(&mut self, inbox: &Receiver<(Job, Reply)>) {
        while let Ok(first) = inbox.recv() {
            let mut jobs = vec![first];
            let mut octets = 0;
            while octets < FLUSH_LIMIT {
                let Ok(next) = inbox.try_recv() else { break };
                octets += size_of_job(&next.0);
                jobs.push(next);
            }
            let (jobs, replies): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
            let outcome = self.flush_jobs(&jobs);
            for reply in replies {
                // A caller that went away needs no answer.
                drop(reply.send(outcome.as_ref().map_err(copy_of).copied()));
            }
            if let Err(error) = self.tidy() {
                tracing::warn!(%error, "content packs were not compacted");
            }
        }
        self.close_current();
    }

    fn flush_jobs(&mut self, jobs: &[Job]) -> Result<(), ContentError> {
        self.open_current()?;
        let Some(current) = &self.current else { return Ok(()) };
        let mut flush = Flush::default();
        for job in jobs {
            match job {
                Job::Put(items) => self.put(current, &mut flush, items),
                Job::Remove(digests) => self.remove(current, &mut flush, digests),
            }
        }
        self.write(&flush)
    }

    fn put(&self, current: &Current, flush: &mut Flush, items: &[(Digest, Bytes)]) {
        let index = self.shared.read();
        for (digest, bytes) in items {
            if index.find(digest).is_none() && !flush.added.contains_key(digest) {
                flush.content(current, *digest, bytes);
            }
        }
    }

    fn remove(&self, current: &Current, flush: &mut Flush, digests: &[Digest]) {
        let index = self.shared.read();
        for digest in digests {
            let copies = index.all(digest).into_iter().chain(flush.added.remove(digest));
            for location in copies.collect::<Vec<_>>() {
                let pack = match index.pack(location.slot) {
                    Some(pack) => pack.id,
                    None if location.slot == current.slot => current.id,
                    None => continue,
                };
                flush.tombstone(current, *digest, pack, location);
                flush.ops.push(Op::Remove(*digest, location));
            }
        }
    }

    /// Appends, flushes, and only then tells the readers.
    fn write(&mut self, flush: &Flush) -> Result<(), ContentError> {
        let Some(current) = &mut self.current else { return Ok(()) };
        if flush.buffer.is_empty() {
            return Ok(());
        }
        let written = current
            .file
            .write_all_at(&flush.buffer, current.size)
            .and_then(|()| current.file.sync_data());
        if let Err(error) = written {
            // After a failed flush the page cache no longer tells what is on the disk: this pack
            // is not appended to again, and what it may hold behind its end is cut.
            drop(current.file.set_len(current.size));
            self.close_current();
            return Err(error.into());
        }
        current.size += flush.buffer.len() as u64;
        current.table.append(&flush.headers);
        let mut index = self.shared.write();
        index.set_size(current.slot, current.size);
        for op in &flush.ops {
            match op {
                Op::Add(digest, location) => index.add(*digest, *location),
                Op::Remove(digest, location) => drop(index.remove(digest, *location)),
                Op::Tombstone(target) => {
                    index.add_tombstone(current.slot, *target, TOMBSTONE_LEN);
                }
            }
        }
        Ok(())
    }

    /// Makes sure that there is a pack to append to: the last one of this directory that has
    /// room, or a new one.
    fn open_current(&mut self) -> Result<(), ContentError> {
        if self.current.as_ref().is_some_and(|c| c.size < self.limit) {
            return Ok(());
        }
        self.close_current();
        let id = Uuid::new_v4();
        let path = self.home.join(format!("{id}.pack"));
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        File::open(&self.home)?.sync_all()?;
        let table = Table::begin(&path, id);
        let slot = self.shared.write().add_pack(id, path, true);
        self.current = Some(Current { slot, id, file, table, size: 0 });
        Ok(())
    }

    /// Nothing is appended to the current pack any more.
    fn close_current(&mut self) {
        if let Some(current) = self.current.take() {
            current.table.end(current.size);
        }
    }

    /// Closes a current pack that is mostly dead, and rewrites at most one pack.
    fn tidy(&mut self) -> Result<(), ContentError> {
        if let Some(current) = &self.current {
            let index = self.shared.read();
            let dead = index.pack(current.slot).map_or(0, |p| p.dead);
            if current.size >= SMALLEST.min(self.limit) && dead * 2 > current.size {
                drop(index);
                self.close_current();
            }
        }
        let current = self.current.as_ref().map(|c| c.slot);
        let wasteful = self.shared.read().wasteful(current);
        match wasteful {
            Some(slot) => self.compact(slot),
            None => Ok(()),
        }
    }

    /// Copies what is still needed of a pack to the current one and deletes the pack. Cut short
    /// at any point, it leaves at worst a second copy.
    fn compact(&mut self, slot: Slot) -> Result<(), ContentError> {
        let Some(path) = self.shared.read().pack(slot).map(|p| p.path.clone()) else {
            return Ok(());
        };
        let size = self.shared.read().pack(slot).map_or(0, |p| p.size);
        let file = File::open(&path)?;
        let mut offset = 0;
        while offset < size {
            self.open_current()?;
            let mut flush = Flush::default();
            while offset < size && flush.buffer.len() < FLUSH_LIMIT {
                offset += self.copy(&mut flush, &file, slot, offset)?;
            }
            self.write(&flush)?;
        }
        self.shared.write().forget_pack(slot);
        // A pack without a table gets one at the next start; the other way round it would stay.
        table::remove(&path)?;
        fs::remove_file(&path)?;
        File::open(&self.home)?.sync_all()?;
        Ok(())
    }

    /// Copies one record if it is needed; returns how far to go on.
    fn copy(
        &self,
        flush: &mut Flush,
        file: &File,
        slot: Slot,
        offset: u64,
    ) -> Result<u64, ContentError> {
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, offset)?;
        // Damage was reported at start; what lies behind it is found by its octets.
        let Some(record) = Record::read(&header, offset) else { return Ok(1) };
        let Some(current) = &self.current else { return Ok(record.total()) };
        let mut payload = vec![0; record.length as usize];
        file.read_exact_at(&mut payload, offset + HEADER_LEN)?;
        let index = self.shared.read();
        match record.kind {
            Kind::Content => {
                let offset = u32::try_from(offset).unwrap_or(u32::MAX);
                let old = Location { slot, offset, length: record.length };
                if index.all(&record.digest).contains(&old) {
                    flush.content(current, record.digest, &payload);
                    flush.ops.push(Op::Remove(record.digest, old));
                }
            }
            Kind::Tombstone => {
                if let Some((pack, at)) = super::record::removed(&payload)
                    && let Some(target) = index.slot(&pack).filter(|target| *target != slot)
                {
                    let offset = u32::try_from(at).unwrap_or(u32::MAX);
                    let location = Location { slot: target, offset, length: 0 };
                    flush.tombstone(current, record.digest, pack, location);
                }
            }
        }
        Ok(record.total())
    }
}

impl Flush {
    fn content(&mut self, current: &Current, digest: Digest, payload: &[u8]) {
        let offset = self.record(current, Kind::Content, digest, payload);
        let location = Location {
            slot: current.slot,
            offset: u32::try_from(offset).unwrap_or(u32::MAX),
            length: u32::try_from(payload.len()).unwrap_or(u32::MAX),
        };
        self.added.insert(digest, location);
        self.ops.push(Op::Add(digest, location));
    }

    fn tombstone(&mut self, current: &Current, digest: Digest, pack: Uuid, of: Location) {
        let payload = tombstone(pack, u64::from(of.offset));
        self.record(current, Kind::Tombstone, digest, &payload);
        self.ops.push(Op::Tombstone(Some(of.slot)));
    }

    /// Adds a record; returns where it will begin in the pack.
    fn record(&mut self, current: &Current, kind: Kind, digest: Digest, payload: &[u8]) -> u64 {
        let offset = current.size + self.buffer.len() as u64;
        let header = Record::of(kind, digest, payload, current.size).header(offset);
        self.headers.extend_from_slice(&header);
        self.buffer.extend_from_slice(&header);
        self.buffer.extend_from_slice(payload);
        offset
    }
}

fn size_of_job(job: &Job) -> usize {
    match job {
        Job::Put(items) => items.iter().map(|(_, bytes)| bytes.len() + HEADER).sum(),
        Job::Remove(digests) => digests.len() * HEADER,
    }
}

fn copy_of(error: &ContentError) -> ContentError {
    match error {
        ContentError::Missing(digest) => ContentError::Missing(*digest),
        ContentError::Mismatch(digest) => ContentError::Mismatch(*digest),
        ContentError::Full(text) => ContentError::Full(text.clone()),
        ContentError::Io(text) => ContentError::Io(text.clone()),
    }
}

/// Reads every pack below `packs`, those in `home` as our own: their torn tails are cut.
pub(super) fn read_all(shared: &Shared, packs: &Path, home: &Path) -> io::Result<()> {
    let mut index = shared.write();
    let mut removals = Vec::new();
    let mut present = Vec::new();
    let files = pack_files(packs)?;
    // A map that grows while it is filled is filled twice.
    index.reserve(files.iter().map(|(_, path)| table::size(path)).sum());
    for (id, path) in files {
        let own = path.starts_with(home);
        let slot = index.add_pack(id, path, own);
        present.push(slot);
        let read =
            if own { scan::read_own(&mut index, slot) } else { scan::read(&mut index, slot) };
        match read {
            Ok(found) => removals.extend(found),
            // Its owner has compacted it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let gone: Vec<Slot> =
        index.packs().map(|(slot, _)| slot).filter(|slot| !present.contains(slot)).collect();
    for slot in gone {
        index.drop_pack(slot);
    }
    scan::apply(&mut index, removals);
    Ok(())
}

/// Reads what other processes have written since; nothing when there are none.
pub(super) fn refresh(shared: &Shared, packs: &Path, home: &Path) -> io::Result<()> {
    let others = fs::read_dir(packs)?.flatten().any(|entry| entry.path() != home);
    if !others {
        return Ok(());
    }
    let mut index = shared.write();
    let mut removals = Vec::new();
    let mut present = Vec::new();
    for (id, path) in pack_files(packs)?.into_iter().filter(|(_, path)| !path.starts_with(home)) {
        let slot = index.add_pack(id, path.clone(), false);
        present.push(slot);
        let known = index.pack(slot).map_or(0, |p| p.size);
        let grown = fs::metadata(&path).is_ok_and(|m| m.len() > known);
        if grown {
            match scan::read(&mut index, slot) {
                Ok(found) => removals.extend(found),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    let gone: Vec<Slot> = index
        .packs()
        .filter(|(slot, pack)| !pack.own && !present.contains(slot))
        .map(|(slot, _)| slot)
        .collect();
    for slot in gone {
        index.drop_pack(slot);
    }
    scan::apply(&mut index, removals);
    Ok(())
}

fn pack_files(packs: &Path) -> io::Result<Vec<(Uuid, PathBuf)>> {
    let mut found = Vec::new();
    for home in fs::read_dir(packs)? {
        let Ok(entries) = fs::read_dir(home?.path()) else { continue };
        for entry in entries {
            let path = entry?.path();
            let id = path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse().ok());
            if let (Some(id), true) = (id, path.extension().is_some_and(|e| e == "pack")) {
                found.push((id, path));
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}
