//! The table of a pack: the headers of its records, one after the other, without what lies between
//! them. With it a start reads 64 octets of a content instead of all of it.
//!
//! ```text
//! <pack>.pack    header payload header payload header payload ...
//! <pack>.table   header header header ... end
//! ```
//! The headers are written along, after each flush of the pack; the end when nothing is appended to the
//! pack any more. It names the pack, and has the pack's length and a checksum of all headers: a table
//! is believed as a whole or not at all, so that it need not be flushed. A pack whose table is missing,
//! or has no end since its process was killed, is read itself, and its owner writes the table anew.
//!
//! | octets of the end | |
//! |---|---|
//! | 0..4   | magic `PLIt` |
//! | 8..24  | pack |
//! | 24..32 | length of the pack |
//! | 56..60 | CRC-32 of all headers |
//! | 60..64 | CRC-32 of octets 0..60 |
//!
//! Numbers are little-endian, other octets zero.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::record::{HEADER, Record};

/// First octets of the end.
const MAGIC: [u8; 4] = *b"PLIt";

/// A record and where it begins in its pack.
pub(super) type Placed = (u64, Record);

/// Where a record ends.
pub(super) const fn end_of((offset, record): &Placed) -> u64 {
    *offset + record.total()
}

/// Where the table of a pack lies.
fn path_of(pack: &Path) -> PathBuf {
    pack.with_extension("table")
}

/// All records of a pack of `length` octets, when its table tells them.
pub(super) fn read(path: &Path, pack: Uuid, length: u64) -> Option<Vec<Placed>> {
    let bytes = fs::read(path_of(path)).ok()?;
    let (headers, end) = bytes.split_last_chunk::<HEADER>()?;
    if *end != end_for(pack, length, crc32fast::hash(headers)) {
        return None;
    }
    let mut placed = Vec::with_capacity(headers.len() / HEADER);
    let mut offset = 0;
    for header in headers.as_chunks::<HEADER>().0 {
        let record = Record::read(header, offset)?;
        placed.push((offset, record));
        offset += record.total();
    }
    (offset == length).then_some(placed)
}

/// About how many contents a table tells.
pub(super) fn size(path: &Path) -> usize {
    let octets = fs::metadata(path_of(path)).map_or(0, |m| m.len());
    usize::try_from(octets).unwrap_or(usize::MAX) / HEADER
}

/// Writes the table of a pack of `length` octets that was read; none of one with damage in it, which
/// is read again, and told again, at each start.
pub(super) fn write(path: &Path, pack: Uuid, records: &[Placed], length: u64) {
    let mut offset = 0;
    let mut headers = Vec::with_capacity(records.len() * HEADER);
    for (at, record) in records {
        if *at != offset {
            return;
        }
        headers.extend_from_slice(&record.header(*at));
        offset += record.total();
    }
    let mut table = Table::begin(path, pack);
    table.append(&headers);
    table.end(length);
}

/// A table that is written along. What cannot be written is read from the pack at the next start.
#[derive(Debug)]
pub(super) struct Table {
    path: PathBuf,
    pack: Uuid,
    file: Option<File>,
    check: crc32fast::Hasher,
}

impl Table {
    /// Begins the table of a pack.
    pub(super) fn begin(path: &Path, pack: Uuid) -> Self {
        let path = path_of(path);
        let mut table = Self { path, pack, file: None, check: crc32fast::Hasher::new() };
        let begun = File::create(&table.path);
        table.file = table.told(begun);
        table
    }

    /// Adds the headers of a flush that is durable.
    pub(super) fn append(&mut self, headers: &[u8]) {
        let Some(mut file) = self.file.take() else { return };
        self.check.update(headers);
        let written = file.write_all(headers);
        self.file = self.told(written).map(|()| file);
    }

    /// Nothing is added to the pack any more, which has so many octets.
    pub(super) fn end(mut self, length: u64) {
        let Some(mut file) = self.file.take() else { return };
        let end = end_for(self.pack, length, self.check.clone().finalize());
        self.told(file.write_all(&end));
    }

    fn told<T>(&self, done: io::Result<T>) -> Option<T> {
        if let Err(error) = &done {
            let table = self.path.display();
            tracing::warn!(%table, %error, "not written: the next start has to read the whole pack");
        }
        done.ok()
    }
}

/// Removes the table of a pack that is about to go.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path_of(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn end_for(pack: Uuid, length: u64, headers: u32) -> [u8; HEADER] {
    let mut end = [0; HEADER];
    let length = length.to_le_bytes();
    let parts: [&[u8]; 6] =
        [&MAGIC, &[0; 4], pack.as_bytes(), &length, &[0; 24], &headers.to_le_bytes()];
    for (place, octet) in end.iter_mut().zip(parts.into_iter().flatten()) {
        *place = *octet;
    }
    let check = crc32fast::hash(end.get(..60).unwrap_or_default()).to_le_bytes();
    if let Some(place) = end.get_mut(60..) {
        place.copy_from_slice(&check);
    }
    end
}
