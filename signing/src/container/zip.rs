//! A zip archive in one canonical form, and a bounded reader (APPNOTE 6.3.10).
//!
//! A damaged archive says the same thing twice: each local header repeats what the central
//! directory holds. [`read`] returns both accounts, so that a changed byte of bookkeeping is told
//! from a changed byte of content.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io::Read;

use flate2::Crc;
use flate2::read::DeflateDecoder;

use super::ContainerError;

const LOCAL: [u8; 4] = *b"PK\x03\x04";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";
const LOCAL_SIZE: usize = 30;
const CENTRAL_SIZE: usize = 46;
const END_SIZE: usize = 22;
/// General purpose bit 11: the name is in UTF-8.
const FLAG_UTF8: u16 = 0x0800;
/// General purpose bits 0, 6 and 13: encryption of one kind or another.
const FLAGS_ENCRYPTED: u16 = 0x2041;
/// 1980-01-01, the first day that the format can write.
const DOS_DATE: u16 = 0x0021;
/// "Made by" and "needed": 2.0, MS-DOS attributes.
const ZIP_VERSION: u16 = 20;

const MAX_ENTRIES: usize = 20_000;
const MAX_NAME: usize = 1024;
/// Of what is inflated; stored entries are borrowed from the archive.
const MAX_INFLATED: u64 = 256 << 20;

/// One file of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its name, checked to stay inside the archive.
    pub name: String,
    /// Its content.
    pub data: Cow<'a, [u8]>,
}

/// What an archive holds.
#[derive(Debug)]
pub struct Archive<'a> {
    /// The entries, in the order of their data. One account when the archive is whole; when it is
    /// damaged or repacked, as the central directory says first, then as the local headers say.
    pub accounts: Vec<Vec<Entry<'a>>>,
    /// What is to be said of the archive itself.
    pub form: Form,
    /// Why it is damaged.
    pub fault: Option<ContainerError>,
}

/// The form of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Exactly the form that [`write()`] gives.
    Canonical,
    /// A sound archive as other tools pack it: order, times, compression or extra fields differ.
    Repacked,
    /// The directory cannot be followed, or tools may find other files in it than we do.
    Damaged,
}

/// Writes the canonical form.
///
/// # Errors
/// [`ContainerError::BadName`], [`ContainerError::Duplicate`], and [`ContainerError::TooLarge`] from
/// 4 GiB on: the canonical form has no zip64.
pub fn write(entries: &[Entry<'_>]) -> Result<Vec<u8>, ContainerError> {
    check_names(entries)?;
    let total: usize = entries.iter().map(|e| e.data.len() + 2 * e.name.len() + 80).sum();
    let mut out = Vec::with_capacity(total + END_SIZE);
    let mut directory = Vec::with_capacity(entries.len() * 80);
    for entry in entries {
        let offset = size32(out.len())?;
        let fixed = fixed_fields(entry)?;
        out.extend_from_slice(&LOCAL);
        out.extend_from_slice(&fixed);
        out.extend_from_slice(entry.name.as_bytes());
        out.extend_from_slice(&entry.data);
        directory.extend_from_slice(&CENTRAL);
        directory.extend_from_slice(&ZIP_VERSION.to_le_bytes());
        directory.extend_from_slice(&fixed);
        // comment length, disk, internal and external attributes
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&offset.to_le_bytes());
        directory.extend_from_slice(entry.name.as_bytes());
    }
    let start = size32(out.len())?;
    let count = u16::try_from(entries.len()).map_err(|_| ContainerError::TooLarge("entries"))?;
    out.extend_from_slice(&directory);
    out.extend_from_slice(&END);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&size32(directory.len())?.to_le_bytes());
    out.extend_from_slice(&start.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    Ok(out)
}

/// Reads an archive, canonical or not.
///
/// # Errors
/// When neither the central directory nor the local headers can be followed, or either names a
/// file twice, outside the archive, or beyond the bounds.
pub fn read(bytes: &[u8]) -> Result<Archive<'_>, ContainerError> {
    let central = central_account(bytes, LocalSizes::Read);
    if let Ok(entries) = &central
        && write(entries).is_ok_and(|canonical| canonical == bytes)
    {
        let accounts = central.into_iter().collect();
        return Ok(Archive { accounts, form: Form::Canonical, fault: None });
    }
    let (mut accounts, mut fault) = (Vec::new(), None);
    let others = [central_account(bytes, LocalSizes::Canonical), local_account(bytes)];
    for (n, account) in [central].into_iter().chain(others).enumerate() {
        match account {
            Ok(account) if !accounts.contains(&account) => accounts.push(account),
            // That other accounts fail is no fault: a packer that streams leaves no sizes there
            Err(why) if n == 0 => fault = Some(why),
            _ => {}
        }
    }
    fault = fault.or_else(|| check_tiling(bytes).err());
    match fault {
        Some(why) if accounts.is_empty() => Err(why),
        fault => {
            let form = if fault.is_some() { Form::Damaged } else { Form::Repacked };
            Ok(Archive { accounts, form, fault })
        }
    }
}

/// Names of the stored files whose content is not that of their checksum, where local header and
/// directory agree on both name and checksum: then the content was changed, and not the
/// bookkeeping.
pub fn changed<'e>(bytes: &[u8], account: &'e [Entry<'_>]) -> Vec<&'e str> {
    let files = directory(bytes, LocalSizes::Canonical).map(|d| d.1).unwrap_or_default();
    let sums: HashMap<&[u8], usize> = files
        .iter()
        .filter(|(offset, told)| agrees(bytes, *offset, told))
        .map(|(_, told)| (told.name, told.crc))
        .collect();
    let differs = |entry: &&Entry<'_>| {
        sums.get(entry.name.as_bytes()).is_some_and(|sum| *sum != crc(&entry.data) as usize)
    };
    account.iter().filter(differs).map(|e| e.name.as_str()).collect()
}

/// Whether the local header at `offset` gives the name and the checksum that the directory gives.
fn agrees(bytes: &[u8], offset: usize, told: &Told<'_>) -> bool {
    let name = slice(bytes, offset + LOCAL_SIZE, told.name.len());
    header(bytes, offset, LOCAL_SIZE, LOCAL).is_ok_and(|local| local.u32(14) == told.crc)
        && name.is_ok_and(|name| name == told.name)
}

/// The fields that local header and directory share, from "version needed" to "extra length".
fn fixed_fields(entry: &Entry<'_>) -> Result<[u8; 26], ContainerError> {
    let size = size32(entry.data.len())?.to_le_bytes();
    let name = u16::try_from(entry.name.len()).map_err(|_| ContainerError::TooLarge("name"))?;
    let mut out = [0; 26];
    let fields: [&[u8]; 10] = [
        &ZIP_VERSION.to_le_bytes(),
        &FLAG_UTF8.to_le_bytes(),
        &[0; 2], // stored
        &[0; 2], // midnight
        &DOS_DATE.to_le_bytes(),
        &crc(&entry.data).to_le_bytes(),
        &size,
        &size,
        &name.to_le_bytes(),
        &[0; 2], // no extra field
    ];
    for (to, from) in out.iter_mut().zip(fields.iter().flat_map(|f| f.iter())) {
        *to = *from;
    }
    Ok(out)
}

fn size32(size: usize) -> Result<u32, ContainerError> {
    // 0xffffffff announces zip64
    u32::try_from(size).ok().filter(|s| *s < u32::MAX).ok_or(ContainerError::TooLarge("4 GiB"))
}

fn crc(data: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(data);
    crc.sum()
}

fn check_names(entries: &[Entry<'_>]) -> Result<(), ContainerError> {
    let mut seen = HashSet::with_capacity(entries.len());
    for entry in entries {
        if !is_safe(&entry.name) {
            return Err(ContainerError::BadName(entry.name.clone()));
        }
        if !seen.insert(entry.name.as_str()) {
            return Err(ContainerError::Duplicate(entry.name.clone()));
        }
    }
    Ok(())
}

/// Relative, inside the archive, the same on every system.
pub(super) fn is_safe(name: &str) -> bool {
    let odd = |c: char| c.is_control() || c == '\\' || c == ':';
    !name.is_empty()
        && name.len() <= MAX_NAME
        && !name.contains(odd)
        && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Little-endian fields at fixed places of one header.
struct Header<'a>(&'a [u8]);

impl Header<'_> {
    fn u16(&self, at: usize) -> usize {
        let field = self.0.get(at..at + 2).and_then(|b| b.try_into().ok());
        field.map_or(0, |b| usize::from(u16::from_le_bytes(b)))
    }

    fn u32(&self, at: usize) -> usize {
        let field = self.0.get(at..at + 4).and_then(|b| b.try_into().ok());
        field.map_or(0, |b| u32::from_le_bytes(b) as usize)
    }
}

/// What a header says about one file.
struct Told<'a> {
    name: &'a [u8],
    flags: usize,
    method: usize,
    crc: usize,
    packed: &'a [u8],
    size: usize,
}

fn header<'a>(
    bytes: &'a [u8],
    at: usize,
    size: usize,
    sign: [u8; 4],
) -> Result<Header<'a>, ContainerError> {
    let end = at.checked_add(size).ok_or(ContainerError::Zip("offset"))?;
    let found = bytes.get(at..end).filter(|b| b.starts_with(&sign));
    found.map(Header).ok_or(ContainerError::Zip("a header is missing"))
}

fn slice(bytes: &[u8], at: usize, size: usize) -> Result<&[u8], ContainerError> {
    let end = at.checked_add(size).ok_or(ContainerError::Zip("offset"))?;
    bytes.get(at..end).ok_or(ContainerError::Zip("cut short"))
}

/// How long a local header is: its own name and extra field may differ from the directory's.
#[derive(Clone, Copy)]
enum LocalSizes {
    /// As the local header says.
    Read,
    /// As the canonical form has it, when the local header is damaged.
    Canonical,
}

/// Follows the central directory.
fn central_account(bytes: &[u8], sizes: LocalSizes) -> Result<Vec<Entry<'_>>, ContainerError> {
    let files = directory(bytes, sizes)?.1;
    let apart = files.windows(2).all(|pair| match pair {
        [(a, told), (b, _)] => a + LOCAL_SIZE + told.packed.len() <= *b,
        _ => true,
    });
    // Such archives read differently in different tools
    if !apart {
        return Err(ContainerError::Zip("files overlap"));
    }
    entries(files.into_iter().map(|(_, told)| told))
}

/// Where the central directory begins, and its files with the places of their local headers, in
/// the order of these.
type Listed<'a> = (usize, Vec<(usize, Told<'a>)>);

fn directory(bytes: &[u8], sizes: LocalSizes) -> Result<Listed<'_>, ContainerError> {
    let end_at = find_end(bytes)?;
    let end = header(bytes, end_at, END_SIZE, END)?;
    let (count, start) = (end.u16(10), end.u32(16));
    if end.u16(8) != count || start.checked_add(end.u32(12)) != Some(end_at) {
        return Err(ContainerError::Zip("the directory is not where the end record says"));
    }
    let (mut files, mut at) = (Vec::with_capacity(count.min(MAX_ENTRIES)), start);
    for _ in 0..count {
        let h = header(bytes, at, CENTRAL_SIZE, CENTRAL)?;
        let (name, rest) = (h.u16(28), h.u16(30) + h.u16(32));
        let offset = h.u32(42);
        let variable = match sizes {
            LocalSizes::Canonical => name,
            LocalSizes::Read => {
                let local = header(bytes, offset, LOCAL_SIZE, LOCAL)?;
                local.u16(26) + local.u16(28)
            }
        };
        let told = Told {
            name: slice(bytes, at + CENTRAL_SIZE, name)?,
            flags: h.u16(8),
            method: h.u16(10),
            crc: h.u32(16),
            packed: slice(bytes, offset + LOCAL_SIZE + variable, h.u32(20))?,
            size: h.u32(24),
        };
        files.push((offset, told));
        at += CENTRAL_SIZE + name + rest;
    }
    if at != end_at {
        return Err(ContainerError::Zip("the directory holds more than it counts"));
    }
    files.sort_by_key(|(offset, _)| *offset);
    Ok((start, files))
}

/// Local headers and contents fill the archive up to its directory, and name the files as it does:
/// a tool that reads from the start, without the directory, finds the same files.
fn check_tiling(bytes: &[u8]) -> Result<(), ContainerError> {
    let (start, files) = directory(bytes, LocalSizes::Read)?;
    let mut next = 0;
    for (offset, told) in files {
        let local = header(bytes, offset, LOCAL_SIZE, LOCAL)?;
        if slice(bytes, offset + LOCAL_SIZE, local.u16(26))? != told.name {
            return Err(ContainerError::Zip("a file has two names"));
        }
        let gap = offset.checked_sub(next).ok_or(ContainerError::Zip("files overlap"))?;
        if !is_descriptor(slice(bytes, next, gap)?, next) {
            return Err(ContainerError::Zip("octets that belong to no file"));
        }
        next = offset + LOCAL_SIZE + local.u16(26) + local.u16(28) + told.packed.len();
    }
    let gap = start.checked_sub(next).ok_or(ContainerError::Zip("files overlap"))?;
    let last = is_descriptor(slice(bytes, next, gap)?, next);
    last.then_some(()).ok_or(ContainerError::Zip("octets that belong to no file"))
}

/// Whether a gap behind a file is nothing or the descriptor of a packer that streams (APPNOTE
/// 4.3.9): checksum and two sizes, with or without a sign.
fn is_descriptor(gap: &[u8], at: usize) -> bool {
    match gap.len() {
        0 => true,
        12 => at > 0,
        16 => at > 0 && gap.starts_with(b"PK\x07\x08"),
        _ => false,
    }
}

/// The end record: the last one whose comment reaches exactly to the end of the archive.
fn find_end(bytes: &[u8]) -> Result<usize, ContainerError> {
    let last = bytes.len().checked_sub(END_SIZE).ok_or(ContainerError::Zip("too short"))?;
    let first = last.saturating_sub(usize::from(u16::MAX));
    let fits = |at: &usize| {
        let end = header(bytes, *at, END_SIZE, END);
        end.is_ok_and(|end| at + END_SIZE + end.u16(20) == bytes.len())
    };
    (first..=last).rev().find(fits).ok_or(ContainerError::Zip("no end record"))
}

/// Follows the local headers from the start, as far as they go.
fn local_account(bytes: &[u8]) -> Result<Vec<Entry<'_>>, ContainerError> {
    let (mut files, mut at) = (Vec::new(), 0);
    while bytes.get(at..).is_some_and(|rest| rest.starts_with(&LOCAL)) {
        let h = header(bytes, at, LOCAL_SIZE, LOCAL)?;
        let (name, extra, packed) = (h.u16(26), h.u16(28), h.u32(18));
        let name_at = at + LOCAL_SIZE;
        let data_at = name_at + name + extra;
        files.push(Told {
            name: slice(bytes, name_at, name)?,
            flags: h.u16(6),
            method: h.u16(8),
            crc: h.u32(14),
            packed: slice(bytes, data_at, packed)?,
            size: h.u32(22),
        });
        at = data_at + packed;
    }
    if files.is_empty() {
        return Err(ContainerError::Zip("no file at the start"));
    }
    entries(files.into_iter())
}

fn entries<'a>(files: impl Iterator<Item = Told<'a>>) -> Result<Vec<Entry<'a>>, ContainerError> {
    // Bounds first: what exceeds them is not inflated at all
    let files: Vec<_> = files.take(MAX_ENTRIES + 1).collect();
    if files.len() > MAX_ENTRIES {
        return Err(ContainerError::TooLarge("entries"));
    }
    let inflated: u64 = files.iter().filter(|f| f.method == 8).map(|f| f.size as u64).sum();
    if inflated > MAX_INFLATED {
        return Err(ContainerError::TooLarge("inflated octets"));
    }
    let mut out = Vec::with_capacity(files.len());
    for told in files {
        let name = std::str::from_utf8(told.name).map_err(|_| ContainerError::Zip("name"))?;
        if name.ends_with('/') && told.size == 0 {
            continue; // a folder, as packers leave them behind
        }
        out.push(Entry { name: name.to_owned(), data: unpack(&told)? });
    }
    check_names(&out)?;
    Ok(out)
}

/// The content. A wrong checksum is not an error here: digests decide what was changed.
fn unpack<'a>(told: &Told<'a>) -> Result<Cow<'a, [u8]>, ContainerError> {
    if told.flags & usize::from(FLAGS_ENCRYPTED) != 0 {
        return Err(ContainerError::Zip("an encrypted file"));
    }
    match told.method {
        0 if told.packed.len() == told.size => Ok(Cow::Borrowed(told.packed)),
        8 => {
            // One octet more than promised is enough to know that the promise was false
            let mut data = Vec::with_capacity(told.size.min(1 << 20));
            let mut inflater = DeflateDecoder::new(told.packed).take(told.size as u64 + 1);
            let read = inflater.read_to_end(&mut data);
            if read.is_err() || data.len() != told.size || crc(&data) as usize != told.crc {
                return Err(ContainerError::Zip("a compressed file is damaged"));
            }
            Ok(Cow::Owned(data))
        }
        _ => Err(ContainerError::Zip("a method of compression that is not understood")),
    }
}

#[cfg(test)]
mod tests;
