//! (e) Archives made to deceive: each is refused with a stable code, and none harms the verifier.

use std::borrow::Cow;
use std::path::Path;
use std::process::Command;

use crate::exhibits::{Exhibits, Room, exhibits};
use serde_json::Value;
use tests::net::pli;

/// An entry as a forger writes it; the directory says `name`, `offset` and the true sizes.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) name: String,
    /// What the local header says instead.
    local_name: Option<String>,
    pub(crate) packed: Vec<u8>,
    /// Claimed.
    size: u32,
    packed_size: u32,
    crc: u32,
    flags: u16,
    method: u16,
    extra: Vec<u8>,
    attributes: u32,
    /// Of the local header, where the directory lies about it.
    offset: Option<usize>,
    /// Octets before the local header.
    before: Vec<u8>,
}

impl Part {
    pub(crate) fn stored(name: &str, data: &[u8]) -> Self {
        let size = u32::try_from(data.len()).unwrap();
        Self {
            name: name.to_owned(),
            local_name: None,
            packed: data.to_vec(),
            size,
            packed_size: size,
            crc: crc32(data),
            flags: 0x0800,
            method: 0,
            extra: Vec::new(),
            attributes: 0,
            offset: None,
            before: Vec::new(),
        }
    }

    /// Compressed zeros; `claimed` is the size in the headers.
    fn bomb(name: &str, zeros: usize, claimed: u32) -> Self {
        let part = Self::stored(name, &deflated_zeros(zeros));
        Self { size: claimed, method: 8, ..part }
    }

    fn fields(&self, name: &str, streamed: bool) -> Vec<u8> {
        let sizes = if streamed { [0; 3] } else { [self.crc, self.packed_size, self.size] };
        let mut out = Vec::new();
        for field in [20, self.flags, self.method, 0, 0x21] {
            out.extend(field.to_le_bytes());
        }
        sizes.iter().for_each(|size| out.extend(size.to_le_bytes()));
        out.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        out.extend(u16::try_from(self.extra.len()).unwrap().to_le_bytes());
        out
    }
}

/// A stream of 1 + 258 n zeros, at least `count`, in the fixed code (RFC 1951 §3.2.6): one zero,
/// then copies of what is before.
fn deflated_zeros(count: usize) -> Vec<u8> {
    // last block, fixed code; literal 0; (length 258, distance 1)...; end
    let copy = "1100010100000".repeat((count - 1).div_ceil(258));
    let bits = format!("11000110000{copy}0000000");
    let octet = |bits: &[u8]| bits.iter().rev().fold(0, |octet, bit| octet << 1 | (bit - b'0'));
    bits.as_bytes().chunks(8).map(octet).collect()
}

/// The checksum of zip (ISO 3309).
fn crc32(data: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !data.iter().fold(u32::MAX, |crc, octet| (0..8).fold(crc ^ u32::from(*octet), step))
}

/// Packs parts; `ending` makes the end record from count, size and start of the directory.
fn pack(parts: &[Part], ending: impl Fn(u32, u32, u32) -> Vec<u8>) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for part in parts {
        out.extend(&part.before);
        let at = part.offset.unwrap_or(out.len());
        let streamed = part.flags & 8 != 0;
        let local = part.local_name.as_ref().unwrap_or(&part.name);
        if part.offset.is_none() {
            out.extend(b"PK\x03\x04");
            out.extend(part.fields(local, streamed));
            out.extend(local.as_bytes());
            out.extend(&part.extra);
            out.extend(&part.packed);
        }
        if streamed {
            out.extend(b"PK\x07\x08");
            [part.crc, part.packed_size, part.size]
                .iter()
                .for_each(|n| out.extend(n.to_le_bytes()));
        }
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(part.fields(&part.name, false));
        directory.extend([0; 6]);
        directory.extend(part.attributes.to_le_bytes());
        directory.extend(u32::try_from(at).unwrap().to_le_bytes());
        directory.extend(part.name.as_bytes());
        directory.extend(&part.extra);
    }
    let [count, size, start] =
        [parts.len(), directory.len(), out.len()].map(|n| u32::try_from(n).unwrap());
    out.extend(directory);
    out.extend(ending(count, size, start));
    out
}

fn end(count: u32, size: u32, start: u32, comment: &[u8]) -> Vec<u8> {
    let count = u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes();
    let comment_size = u16::try_from(comment.len()).unwrap().to_le_bytes();
    let [size, start] = [size, start].map(u32::to_le_bytes);
    [b"PK\x05\x06\0\0\0\0", &count[..], &count, &size, &start, &comment_size, comment].concat()
}

pub(crate) fn plain(parts: &[Part]) -> Vec<u8> {
    pack(parts, |count, size, start| end(count, size, start, b""))
}

/// The end records of zip64 (APPNOTE 4.3.14), with what they claim as the number of entries.
fn zip64_end(claimed: u64, size: u32, start: u32) -> Vec<u8> {
    let here = u64::from(start) + u64::from(size);
    let mut out = b"PK\x06\x06".to_vec();
    out.extend(44_u64.to_le_bytes());
    out.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for field in [claimed, claimed, u64::from(size), u64::from(start)] {
        out.extend(field.to_le_bytes());
    }
    out.extend(b"PK\x06\x07\0\0\0\0");
    out.extend(here.to_le_bytes());
    out.extend(1_u32.to_le_bytes());
    out.extend(end(u32::MAX, u32::MAX, u32::MAX, b""));
    out
}

/// The files of a real bundle.
pub(crate) fn parts(exhibits: &Exhibits, name: &str) -> Vec<Part> {
    let bundle = &exhibits.of(name).unwrap().bundle;
    let archive = signing::container::zip::read(bundle).unwrap();
    let entries = archive.accounts[0].iter();
    entries.map(|e| Part::stored(&e.name, &Cow::clone(&e.data))).collect()
}

fn with(good: &[Part], more: impl IntoIterator<Item = Part>) -> Vec<u8> {
    plain(&good.iter().cloned().chain(more).collect::<Vec<_>>())
}

/// Changes one part.
fn but(good: &[Part], at: usize, change: impl Fn(&mut Part)) -> Vec<u8> {
    let mut parts = good.to_vec();
    change(&mut parts[at]);
    plain(&parts)
}

fn ask(room: &Room, bundle: &Path, more: &[&str]) -> (Option<i32>, Value) {
    let mut command = Command::new(pli().unwrap());
    command.arg("verify").arg(bundle).arg("--json").args(more);
    command.arg("--trust").arg(&room.root).arg("--trust").arg(&room.tsa);
    let output = command.env("PLI_LANG", "en").output().unwrap();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default())
}

/// Exit code, element and code, strictly and where repacking is allowed.
fn verdicts(room: &Room, bytes: &[u8]) -> [(Option<i32>, String, String); 2] {
    let file = room.dir().join("hostile.asice");
    std::fs::write(&file, bytes).unwrap();
    [&[][..], &["--allow-repacked"]].map(|more| {
        let (exit, report) = ask(room, &file, more);
        let first = &report["elements"][0];
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (exit, word(&report["broken"]), word(&first["code"]))
    })
}

#[tokio::test]
async fn the_forger_of_these_tests_can_pack_an_honest_bundle() {
    let exhibits = exhibits().await.unwrap();
    let room = exhibits.room().unwrap();
    assert_eq!(plain(&parts(exhibits, "delivered")), exhibits.of("delivered").unwrap().bundle);
    for verdict in verdicts(&room, &plain(&parts(exhibits, "delivered"))) {
        assert_eq!(verdict.0, Some(0), "{verdict:?}");
    }
}

/// What, the archive, the element that is named, its code.
type Case = (&'static str, Vec<u8>, &'static str, &'static str);

fn of_the_archive(code: &'static str, cases: Vec<(&'static str, Vec<u8>)>) -> Vec<Case> {
    cases.into_iter().map(|(what, bytes)| (what, bytes, "container", code)).collect()
}

/// Files that do not belong, by name.
fn strangers(good: &[Part]) -> Vec<Case> {
    let extra = |name: &str| with(good, [Part::stored(name, b"x")]);
    let bad = [
        ("climbing", "../x"),
        ("climbing inside", "evidence/../../x"),
        ("absolute", "/etc/cron.d/x"),
        ("backslash", "..\\x"),
        ("drive", "C:x"),
        ("NUL", "report.html\0.p7m"),
    ];
    let mut cases = of_the_archive("bad-name", bad.map(|(what, n)| (what, extra(n))).into());
    cases.push(("twice one name", extra("report.html"), "container", "duplicate-name"));
    for name in ["extra.txt", "META-INF/signature002.p7s", "evidence/009.p7m", "Report.html"] {
        cases.push(("unsigned", extra(name), name, "unlisted"));
    }
    cases
}

/// Bookkeeping that lies, so that tools may find different files.
fn lies(good: &[Part]) -> Vec<Case> {
    let again = |name: &str| Part { offset: Some(0), ..Part::stored(name, &good[0].packed) };
    let hidden = |part: &mut Part| part.before = b"PK\x03\x04 hidden".to_vec();
    let renamed = |part: &mut Part| part.local_name = Some("report.htm_".to_owned());
    let zip64 = |claimed| pack(good, move |_, size, start| zip64_end(claimed, size, start));
    let decoy = pack(good, |n, size, start| {
        end(n, size, start, &[&b"comment"[..], &end(n - 1, size, start, b"")].concat())
    });
    let tail = [&plain(good)[..], b"tail"].concat();
    of_the_archive(
        "damaged",
        vec![
            ("zip64 end", zip64(good.len() as u64)),
            ("zip64 end that lies", zip64(u64::MAX)),
            ("overlapping files", with(good, [again("again")])),
            ("overlapping files of one name", with(good, [again("mimetype")])),
            ("octets between files", but(good, 3, hidden)),
            ("octets before all files", but(good, 0, hidden)),
            ("two names of one file", but(good, 1, renamed)),
            ("two end records", decoy),
            ("octets behind", tail),
        ],
    )
}

/// What cannot be read at all.
fn unreadable(good: &[Part]) -> Vec<Case> {
    let zip64 = |part: &mut Part| {
        part.extra = [&[1, 0, 16, 0][..], &[0; 16]].concat();
        (part.size, part.packed_size) = (u32::MAX, u32::MAX);
    };
    let script = [&b"#!/bin/sh\n"[..], &plain(good)].concat();
    of_the_archive(
        "unreadable",
        vec![
            ("zip64 sizes", but(good, 1, zip64)),
            ("beyond the end", but(good, good.len() - 1, |p| p.packed_size = 1 << 30)),
            ("a script in front", script),
            ("an encrypted file", but(good, 1, |p| p.flags |= 1)),
            ("an unknown method", but(good, 1, |p| p.method = 99)),
            ("a bomb that lies", with(good, [Part::bomb("b", 1 << 24, 100)])),
        ],
    )
}

fn too_large(good: &[Part]) -> Vec<Case> {
    let one = Part::bomb("b", 1 << 20, 1 << 20);
    let bombs = |n: u32| Part { name: n.to_string(), ..one.clone() };
    let file = |n: u32| Part::stored(&n.to_string(), b"");
    of_the_archive(
        "too-large",
        vec![
            ("a bomb", with(good, [Part::bomb("b", 1 << 24, 1 << 30)])),
            ("many bombs", with(good, (0..300).map(bombs))),
            ("many files", with(good, (0..20_001).map(file))),
        ],
    )
}

#[tokio::test]
async fn archives_made_to_deceive_are_refused_with_stable_codes() {
    let exhibits = exhibits().await.unwrap();
    let room = exhibits.room().unwrap();
    let mut wrong = Vec::new();
    let good = parts(exhibits, "delivered");
    let cases = [strangers(&good), lies(&good), unreadable(&good), too_large(&good)].concat();
    for (what, bytes, element, code) in cases {
        for verdict in verdicts(&room, &bytes) {
            if verdict != (Some(4), element.to_owned(), code.to_owned()) {
                wrong.push(format!("{what}: {verdict:?}, not {element} {code}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn what_honest_packers_do_is_refused_unless_repacking_is_allowed() {
    let exhibits = exhibits().await.unwrap();
    let room = exhibits.room().unwrap();
    let good = parts(exhibits, "delivered");
    let mut streamed = good.clone();
    streamed.iter_mut().for_each(|p| p.flags |= 8);
    let packed = [
        ("data descriptors", plain(&streamed)),
        ("a comment", pack(&good, |n, size, start| end(n, size, start, b"comment"))),
        ("attributes", but(&good, 1, |p| p.attributes = 0o120_777 << 16)),
        ("an extra field", but(&good, 1, |p| p.extra = vec![0x55, 0x54, 1, 0, 0])),
        ("a folder", with(&good, [Part::stored("evidence/", b"")])),
    ];
    for (what, bytes) in packed {
        let [strict, lenient] = verdicts(&room, &bytes);
        let expected = (Some(4), "container".to_owned(), "not-canonical".to_owned());
        assert_eq!(strict, expected, "{what}");
        assert_eq!(lenient.0, Some(0), "{what}: {lenient:?}");
    }
}
