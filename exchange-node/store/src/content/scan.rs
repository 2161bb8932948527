//! Reading packs: at start all of them, later the tails that other processes have written. What a
//! [table] tells is not read in its pack.
//!
//! Only the last flush of a pack can be torn: each flush begins after the one before is durable,
//! and every record tells how much was durable then. A record that does not read is therefore the
//! torn tail when nothing after it claims to have been written later than it; else it is damage,
//! which is logged, stepped over and never cut.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use schemas::digest::Digest;
use uuid::Uuid;

use super::index::{Index, Location, Slot};
use super::record::{HEADER, HEADER_LEN, Kind, MAGIC, Record, removed};
use super::table::{self, Placed, end_of};

/// A tombstone that was found: what it removes, and where it lies.
#[derive(Debug)]
pub(super) struct Removal {
    pub(super) digest: Digest,
    pub(super) pack: Uuid,
    pub(super) offset: u64,
    pub(super) holder: Slot,
}

/// Octets of a tombstone.
pub(super) const TOMBSTONE_LEN: u64 = HEADER_LEN + 24;

/// Reads a pack from where it was left, adds its contents, and returns its tombstones. What lies
/// behind the last good record stays unread; `Pack::size` tells where that is.
pub(super) fn read(index: &mut Index, slot: Slot) -> io::Result<Vec<Removal>> {
    let Some((path, id, from)) = index.pack(slot).map(|p| (p.path.clone(), p.id, p.size)) else {
        return Ok(Vec::new());
    };
    let file = File::open(&path)?;
    let length = file.metadata()?.len();
    let told = if from == 0 { table::read(&path, id, length) } else { None };
    let found = match told {
        Some(told) => told,
        None => without_torn(&file, walk(&file, &path, from, length)?)?,
    };
    index.set_size(slot, found.last().map_or(from, end_of));
    note(index, slot, &file, found)
}

/// Reads a pack of ours that is not appended to any more. Unless its table tells all, a torn tail is
/// cut, and the table written anew.
pub(super) fn read_own(index: &mut Index, slot: Slot) -> io::Result<Vec<Removal>> {
    let Some((path, id)) = index.pack(slot).map(|p| (p.path.clone(), p.id)) else {
        return Ok(Vec::new());
    };
    let file = File::open(&path)?;
    let length = file.metadata()?.len();
    let found = match table::read(&path, id, length) {
        Some(told) => told,
        None => {
            let found = without_torn(&file, walk(&file, &path, 0, length)?)?;
            let size = found.last().map_or(0, end_of);
            cut(&path, size)?;
            table::write(&path, id, &found, size);
            found
        }
    };
    index.set_size(slot, found.last().map_or(0, end_of));
    note(index, slot, &file, found)
}

/// The records of a pack from octet `from` to its last good one.
fn walk(file: &File, path: &Path, from: u64, length: u64) -> io::Result<Vec<Placed>> {
    let mut found = Vec::new();
    let mut offset = from;
    let mut reader = BufReader::with_capacity(256 * 1024, file);
    reader.seek(SeekFrom::Start(offset))?;
    while offset < length {
        if let Some(record) = next(&mut reader, offset, length)? {
            found.push((offset, record));
            offset += record.total();
            reader.seek_relative(i64::from(record.length))?;
        } else {
            let Some(after) = resume(file, offset, length)? else { break };
            tracing::error!(pack = %path.display(), offset, after, "damaged octets in a pack");
            offset = after;
            reader.seek(SeekFrom::Start(offset))?;
        }
    }
    Ok(found)
}

/// Adds contents to the index; returns the tombstones.
fn note(
    index: &mut Index,
    slot: Slot,
    file: &File,
    found: Vec<Placed>,
) -> io::Result<Vec<Removal>> {
    let mut removals = Vec::new();
    for (offset, record) in found {
        match record.kind {
            Kind::Content => {
                if let Ok(at) = u32::try_from(offset) {
                    let location = Location { slot, offset: at, length: record.length };
                    index.add(record.digest, location);
                }
            }
            Kind::Tombstone => {
                let mut payload = [0; 24];
                file.read_exact_at(&mut payload, offset + HEADER_LEN)?;
                if let Some((pack, offset)) = removed(&payload) {
                    removals.push(Removal { digest: record.digest, pack, offset, holder: slot });
                }
            }
        }
    }
    Ok(removals)
}

/// Applies tombstones, once the contents of all packs are known.
pub(super) fn apply(index: &mut Index, removals: Vec<Removal>) {
    for removal in removals {
        let target = index.slot(&removal.pack);
        index.add_tombstone(removal.holder, target, TOMBSTONE_LEN);
        let hit = index
            .all(&removal.digest)
            .into_iter()
            .find(|l| Some(l.slot) == target && u64::from(l.offset) == removal.offset);
        if let Some(location) = hit {
            index.remove(&removal.digest, location);
        }
    }
}

/// Cuts what lies behind the last good record of a pack of ours.
fn cut(path: &Path, size: u64) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    let length = file.metadata()?.len();
    if length > size {
        tracing::warn!(pack = %path.display(), octets = length - size, "cut a torn tail");
        file.set_len(size)?;
        file.sync_all()?;
    }
    Ok(())
}

fn next(reader: &mut impl Read, offset: u64, length: u64) -> io::Result<Option<Record>> {
    if offset + HEADER_LEN > length {
        return Ok(None);
    }
    let mut header = [0; HEADER];
    reader.read_exact(&mut header)?;
    Ok(Record::read(&header, offset).filter(|r| offset + r.total() <= length))
}

/// The next record behind damage: one that was written when the damaged place was durable.
fn resume(file: &File, damaged: u64, length: u64) -> io::Result<Option<u64>> {
    const STEP: usize = 1 << 20;
    let mut buffer = vec![0; STEP + HEADER];
    let mut at = damaged;
    while at + HEADER_LEN <= length {
        let take = usize::try_from(length - at).unwrap_or(usize::MAX).min(buffer.len());
        let window = buffer.get_mut(..take).unwrap_or_default();
        file.read_exact_at(window, at)?;
        for (i, candidate) in window.windows(HEADER).enumerate() {
            let offset = at + i as u64;
            if candidate.starts_with(&MAGIC)
                && let Ok(header) = candidate.try_into()
                && Record::read(header, offset).is_some_and(|r| r.durable > damaged)
            {
                return Ok(Some(offset));
            }
        }
        at += STEP as u64;
    }
    Ok(None)
}

/// Drops records of the last flush from the first one on whose payload is not what it should be:
/// after a power cut a header may have reached the disk without its payload.
fn without_torn(file: &File, mut found: Vec<Placed>) -> io::Result<Vec<Placed>> {
    let durable = found.last().map_or(0, |(_, record)| record.durable);
    let first = found.partition_point(|(offset, _)| *offset < durable);
    let mut keep = found.len();
    for (i, (offset, record)) in found.iter().enumerate().skip(first) {
        let mut payload = vec![0; record.length as usize];
        file.read_exact_at(&mut payload, offset + HEADER_LEN)?;
        if crc32fast::hash(&payload) != record.payload_crc {
            keep = i;
            break;
        }
    }
    found.truncate(keep);
    Ok(found)
}
