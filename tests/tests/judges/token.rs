//! The time-stamp token inside an evidence record, taken out for judges that know tokens alone.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use signing::digest::sha256;
use tests::judges::Recorded;

/// The token of a record, and the octets that it stamps, found by climbing the hash tree from the
/// object (RFC 4998 §4.3). Written beside the record as `.tst` and `.data`.
///
/// # Errors
/// The record is not of one time-stamp over SHA-256, or does not begin with the object's hash.
pub(crate) fn token(recorded: &Recorded) -> Result<(PathBuf, PathBuf)> {
    let der = std::fs::read(&recorded.record)?;
    let inside = |der: &[u8]| -> Result<Vec<Der>> {
        let value = one(der)?;
        children(value.content())
    };
    let record = inside(&der)?;
    let chains = inside(&record.last().context("empty record")?.whole)?;
    let [chain] = chains.as_slice() else { bail!("{} chains", chains.len()) };
    let stamps = inside(&chain.whole)?;
    let [stamp] = stamps.as_slice() else { bail!("{} time-stamps", stamps.len()) };
    let fields = inside(&stamp.whole)?;
    // [2] reducedHashtree
    let lists = match fields.iter().find(|f| f.whole.starts_with(&[0xa2])) {
        Some(tree) => inside(&tree.whole)?,
        None => Vec::new(),
    };
    let mut data = std::fs::read(&recorded.object)?;
    for (n, list) in lists.iter().enumerate() {
        let node = sha256(&data).as_bytes().to_vec();
        let mut hashes: Vec<_> =
            inside(&list.whole)?.iter().map(|h| h.content().to_vec()).collect();
        if n == 0 {
            ensure!(hashes == [node], "the first list is not the object's hash alone");
            continue;
        }
        hashes.push(node);
        hashes.sort();
        data = hashes.concat();
    }
    let write = |ending: &str, bytes: &[u8]| -> Result<PathBuf> {
        let file = recorded.record.with_extension(ending);
        std::fs::write(&file, bytes)?;
        Ok(file)
    };
    let token = &fields.last().context("no token")?.whole;
    Ok((write("tst", token)?, write("data", &data)?))
}

/// One DER value.
struct Der {
    whole: Vec<u8>,
    header: usize,
}

impl Der {
    fn content(&self) -> &[u8] {
        self.whole.get(self.header..).unwrap_or_default()
    }
}

fn one(der: &[u8]) -> Result<Der> {
    let first = usize::from(*der.get(1).context("no length")?);
    let (header, length) = match first {
        0..0x80 => (2, first),
        _ => {
            let header = 2 + (first & 0x7f);
            let octets = der.get(2..header).context("cut short")?;
            (header, octets.iter().fold(0, |n, b| (n << 8) | usize::from(*b)))
        }
    };
    let whole = der.get(..header + length).context("cut short")?.to_vec();
    Ok(Der { whole, header })
}

fn children(mut der: &[u8]) -> Result<Vec<Der>> {
    let mut out = Vec::new();
    while !der.is_empty() {
        let child = one(der)?;
        der = der.get(child.whole.len()..).unwrap_or_default();
        out.push(child);
    }
    Ok(out)
}
