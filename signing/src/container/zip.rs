//! A zip archive in one canonical form, and a bounded reader (APPNOTE 6.3.10).
//!
//! A damaged archive says the same thing twice: each local header repeats what the central
//! directory holds. [`read`] returns both accounts, so that a changed byte of bookkeeping is told
//! from a changed byte of content.

use std::borrow::Cow;
use std::collections::HashSet;
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
}

/// The form of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Exactly the form that [`write()`] gives.
    Canonical,
    /// A sound archive as other tools pack it: order, times, compression or extra fields differ.
    Repacked,
    /// The directory cannot be followed; the local headers could.
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
        return Ok(Archive { accounts: central.into_iter().collect(), form: Form::Canonical });
    }
    let form = if central.is_ok() { Form::Repacked } else { Form::Damaged };
    let others = [central_account(bytes, LocalSizes::Canonical), local_account(bytes)];
    let (mut accounts, mut failure) = (Vec::new(), None);
    for account in [central].into_iter().chain(others) {
        match account {
            Ok(account) if !accounts.contains(&account) => accounts.push(account),
            Ok(_) => {}
            Err(why) => failure = failure.or(Some(why)),
        }
    }
    match failure {
        Some(why) if accounts.is_empty() => Err(why),
        _ => Ok(Archive { accounts, form }),
    }
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
    let end_at = find_end(bytes)?;
    let end = header(bytes, end_at, END_SIZE, END)?;
    let (count, mut at) = (end.u16(10), end.u32(16));
    if end.u16(8) != count || at.checked_add(end.u32(12)) != Some(end_at) {
        return Err(ContainerError::Zip("the directory is not where the end record says"));
    }
    let mut files = Vec::with_capacity(count.min(MAX_ENTRIES));
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
    check_overlap(&files)?;
    entries(files.into_iter().map(|(_, told)| told))
}

/// No byte may belong to two files: such archives read differently in different tools.
fn check_overlap(files: &[(usize, Told<'_>)]) -> Result<(), ContainerError> {
    let apart = files.windows(2).all(|pair| match pair {
        [(a, told), (b, _)] => a + LOCAL_SIZE + told.packed.len() <= *b,
        _ => true,
    });
    apart.then_some(()).ok_or(ContainerError::Zip("files overlap"))
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
    let mut out = Vec::new();
    let mut inflated = 0_u64;
    for told in files {
        if out.len() == MAX_ENTRIES {
            return Err(ContainerError::TooLarge("entries"));
        }
        let name = std::str::from_utf8(told.name).map_err(|_| ContainerError::Zip("name"))?;
        if name.ends_with('/') && told.size == 0 {
            continue; // a folder, as packers leave them behind
        }
        let data = unpack(&told, &mut inflated)?;
        out.push(Entry { name: name.to_owned(), data });
    }
    check_names(&out)?;
    Ok(out)
}

/// The content. A wrong checksum is not an error here: digests decide what was changed.
fn unpack<'a>(told: &Told<'a>, inflated: &mut u64) -> Result<Cow<'a, [u8]>, ContainerError> {
    if told.flags & usize::from(FLAGS_ENCRYPTED) != 0 {
        return Err(ContainerError::Zip("an encrypted file"));
    }
    match told.method {
        0 if told.packed.len() == told.size => Ok(Cow::Borrowed(told.packed)),
        8 => {
            *inflated += told.size as u64;
            if *inflated > MAX_INFLATED {
                return Err(ContainerError::TooLarge("inflated octets"));
            }
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Vec<Entry<'static>> {
        let entry =
            |name: &str, data: &'static [u8]| Entry { name: name.into(), data: data.into() };
        vec![
            entry("mimetype", b"application/vnd.etsi.asic-e+zip"),
            entry("evidence/001.p7m", b"sealed"),
            entry("documents/pièce", b""),
        ]
    }

    #[test]
    fn what_is_written_is_read_back_as_canonical() {
        let bytes = write(&sample()).unwrap();
        assert_eq!(&bytes[30..38], b"mimetype");
        let archive = read(&bytes).unwrap();
        assert_eq!(archive.form, Form::Canonical);
        assert_eq!(archive.accounts, [sample()]);
    }

    #[test]
    fn every_changed_bit_shows_and_one_account_still_holds_all_other_content() {
        let good = sample();
        let bytes = write(&good).unwrap();
        for at in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[at / 8] ^= 1 << (at % 8);
            let Ok(archive) = read(&bad) else { panic!("unreadable after bit {at}") };
            assert!(archive.form != Form::Canonical || archive.accounts[0] != good, "bit {at}");
            let changed = |account: &Vec<Entry<'_>>| {
                let same_names = account.iter().map(|e| &e.name).eq(good.iter().map(|e| &e.name));
                same_names.then(|| account.iter().zip(&good).filter(|(a, b)| a != b).count())
            };
            assert!(
                archive.accounts.iter().any(|a| changed(a).is_some_and(|n| n <= 1)),
                "bit {at}"
            );
        }
    }

    #[test]
    fn names_that_leave_the_archive_are_refused() {
        for name in
            ["", "/etc/passwd", "../up", "a/../b", "a//b", "./a", "a\\b", "C:x", "a\nb", "dir/"]
        {
            let entry = Entry { name: name.into(), data: b"x".as_slice().into() };
            assert!(matches!(write(&[entry]), Err(ContainerError::BadName(_))), "{name:?}");
        }
    }

    #[test]
    fn twice_the_same_name_is_refused_when_written_and_when_read() {
        let mut twice = sample();
        twice[2].name = "evidence/002.p7m".into();
        let mut bytes = write(&twice).unwrap();
        twice[2].name = "evidence/001.p7m".into();
        assert!(matches!(write(&twice), Err(ContainerError::Duplicate(_))));
        while let Some(at) = bytes.windows(12).position(|w| w == b"evidence/002") {
            bytes[at + 11] = b'1';
        }
        assert!(matches!(read(&bytes), Err(ContainerError::Duplicate(_))));
    }

    #[test]
    fn a_bomb_is_not_inflated() {
        // One honest header in front of a stream that promises little and holds much
        let zeros = vec![0_u8; 1 << 20];
        let mut packer =
            flate2::read::DeflateEncoder::new(zeros.as_slice(), flate2::Compression::best());
        let mut packed = Vec::new();
        packer.read_to_end(&mut packed).unwrap();
        let told = Told { name: b"x", flags: 0, method: 8, crc: 0, packed: &packed, size: 10 };
        assert!(unpack(&told, &mut 0).is_err());
        let told = Told { size: 1 << 30, ..told };
        assert!(matches!(unpack(&told, &mut 0), Err(ContainerError::TooLarge(_))));
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0_usize..200) {
            let _ = read(&bytes);
            let good = write(&sample()).unwrap();
            let mut mixed = good.get(cut..).unwrap_or_default().to_vec();
            mixed.extend_from_slice(&bytes);
            mixed.extend_from_slice(&good);
            let _ = read(&mixed);
        }
    }
}
