//! The table of a pack: the headers of its records, one after the other, without what lies between
//! them. With it a start reads 64 octets of a content instead of all of it.
//!
//! ```text
//! <pack>.pack    header payload header payload header payload ...
//! <pack>.table   header header header ...
//! ```
//! It is written along, after each flush of the pack, and never flushed itself: it says nothing that the
//! pack does not say. A header's checksum covers its place in the pack, hence a table is believed as far
//! as it fits; from there on the pack itself is read. Who may write to the pack writes anew a table that
//! is missing, torn or behind.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::record::{HEADER, Record};

/// A record and where it begins in its pack.
pub(super) type Placed = (u64, Record);

/// Where the table of a pack lies.
pub(super) fn path_of(pack: &Path) -> PathBuf {
    pack.with_extension("table")
}

/// The records of a pack of `length` octets that its table tells, from the first on without a gap.
pub(super) fn read(pack: &Path, length: u64) -> Vec<Placed> {
    let bytes = fs::read(path_of(pack)).unwrap_or_default();
    let mut offset = 0;
    let placed = bytes.as_chunks::<HEADER>().0.iter().map_while(|header| {
        let at = offset;
        let record = Record::read(header, at)?;
        offset = at + record.total();
        (offset <= length).then_some((at, record))
    });
    placed.collect()
}

/// How many headers lie in a table, good or not.
pub(super) fn length_of(pack: &Path) -> usize {
    let octets = fs::metadata(path_of(pack)).map_or(0, |m| m.len());
    usize::try_from(octets).unwrap_or(usize::MAX).div_ceil(HEADER)
}

/// A table that is written along. What cannot be written is read from the pack at the next start.
#[derive(Debug)]
pub(super) struct Table(Option<File>);

impl Table {
    /// Begins the table of a new pack.
    pub(super) fn begin(pack: &Path) -> Self {
        Self::of(pack, &[])
    }

    /// Writes the table of a pack whose headers are known.
    pub(super) fn of(pack: &Path, headers: &[u8]) -> Self {
        let mut table = Self(None);
        match File::create(path_of(pack)) {
            Ok(file) => {
                table.0 = Some(file);
                table.append(pack, headers);
            }
            Err(error) => unwritten(pack, &error),
        }
        table
    }

    /// Adds the headers of a flush that is durable.
    pub(super) fn append(&mut self, pack: &Path, headers: &[u8]) {
        let Some(file) = &mut self.0 else { return };
        if let Err(error) = file.write_all(headers) {
            unwritten(pack, &error);
            self.0 = None;
        }
    }
}

fn unwritten(pack: &Path, error: &io::Error) {
    let pack = pack.display();
    tracing::warn!(%pack, %error, "a pack has no table: the next start has to read all of it");
}

/// Removes the table of a pack that is gone.
pub(super) fn remove(pack: &Path) -> io::Result<()> {
    match fs::remove_file(path_of(pack)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
