//! (e) What was changed in a real bundle, or added to it, is found and named.

use std::ops::Range;
use std::path::Path;
use std::process::Command;

use crate::exhibits::{Room, exhibits};
use schemas::time::Timestamp;
use serde_json::Value;
use signing::report::{Report, Verdict};
use signing::trust::Anchors;
use signing::verify::{Options, verify};
use tests::net::pli;

/// What `pli verify` says: exit code and report.
fn ask(room: &Room, bundle: &Path, more: &[&str]) -> (Option<i32>, Value) {
    let mut command = Command::new(pli().unwrap());
    command.arg("verify").arg(bundle).arg("--json").args(more);
    command.arg("--trust").arg(&room.root).arg("--trust").arg(&room.tsa);
    let output = command.env("PLI_LANG", "en").output().unwrap();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default())
}

/// A part of an archive, and the name that a verdict on it must give.
struct Region {
    name: String,
    range: Range<usize>,
}

fn u16_at(zip: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes(zip[at..at + 2].try_into().unwrap()))
}

fn u32_at(zip: &[u8], at: usize) -> usize {
    u32::from_le_bytes(zip[at..at + 4].try_into().unwrap()) as usize
}

/// Local headers, contents, each header of the directory, and the end record: all of the archive.
fn regions(zip: &[u8]) -> Vec<Region> {
    let (mut out, mut at) = (Vec::new(), 0);
    let mut region = |name: &str, range: Range<usize>| {
        let end = range.end;
        out.push(Region { name: name.to_owned(), range });
        end
    };
    while zip[at..].starts_with(b"PK\x03\x04") {
        let data = at + 30 + u16_at(zip, at + 26);
        let name = String::from_utf8(zip[at + 30..data].to_vec()).unwrap();
        let size = u32_at(zip, at + 18);
        region("container", at..data);
        at = region(&name, data..data + size);
    }
    while zip[at..].starts_with(b"PK\x01\x02") {
        at = region("container", at..at + 46 + u16_at(zip, at + 28));
    }
    assert_eq!(region("container", at..zip.len()), at + 22);
    out
}

fn judge(bytes: Vec<u8>, anchors: &Anchors) -> Report {
    let now = Timestamp::from_millis(i64::try_from(millis()).unwrap());
    verify(&[("b.asice".to_owned(), bytes)], anchors, now, &Options::default())
}

fn millis() -> u128 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()
}

/// Changes one byte and has the bundle judged.
fn change(bundle: &[u8], anchors: &Anchors, region: &Region, at: usize, mask: u8) {
    let mut bad = bundle.to_vec();
    bad[at] ^= mask;
    let report = judge(bad, anchors);
    let name = region.name.as_str();
    assert_eq!(report.verdict, Verdict::Invalid, "{at} ^ {mask}, {name}: {report:#?}");
    assert_eq!(report.broken.as_deref(), Some(name), "{at} ^ {mask}: {report:#?}");
}

/// Up to `count` places of a range, first and last among them.
fn sample(range: &Range<usize>, count: usize) -> Vec<usize> {
    let (last, step) = (range.len() - 1, (range.len() / count).max(1));
    let mut places: Vec<usize> = (0..last).step_by(step).chain([last]).collect();
    places.iter_mut().for_each(|at| *at += range.start);
    places
}

#[tokio::test]
async fn a_changed_byte_in_any_region_of_a_real_bundle_is_named() {
    let exhibits = exhibits().await.unwrap();
    let (room, anchors) = (exhibits.room().unwrap(), exhibits.anchors().unwrap());
    let bundle = &exhibits.of("delivered").unwrap().bundle;
    let regions = regions(bundle);
    assert!(regions.len() > 3 * 15);
    assert!(judge(bundle.clone(), &anchors).valid);
    let file = room.dir().join("changed.asice");
    for (n, region) in regions.iter().enumerate() {
        for at in sample(&region.range, 8) {
            change(bundle, &anchors, region, at, 1 << (at % 8));
        }
        let middle = (region.range.start + region.range.end) / 2;
        change(bundle, &anchors, region, middle, 0xff);
        if n % 4 > 1 {
            continue; // starting a process for each takes long
        }
        let mut bad = bundle.clone();
        bad[middle] ^= 0x20;
        std::fs::write(&file, bad).unwrap();
        let (code, report) = ask(&room, &file, &[]);
        assert_eq!((code, report["broken"].as_str()), (Some(4), Some(region.name.as_str())));
    }
}

/// How many places of a bundle are changed where not all are.
const PLACES: usize = 1_000;

/// Every octet of several bundles where `PLI_CHANGES` is `all` (minutes); otherwise of the smallest
/// one every n-th octet, another n-th on each day.
#[tokio::test]
async fn a_changed_byte_anywhere_in_a_real_bundle_is_named() {
    let exhibits = exhibits().await.unwrap();
    let anchors = exhibits.anchors().unwrap();
    let all = std::env::var("PLI_CHANGES").is_ok_and(|wish| wish == "all");
    let names: &[&str] =
        if all { &["delivered", "refused", "failed", "local"] } else { &["local"] };
    let day = usize::try_from(millis() / 86_400_000).unwrap();
    for name in names {
        let bundle = &exhibits.of(name).unwrap().bundle;
        let step = if all { 1 } else { bundle.len().div_ceil(PLACES) };
        everywhere(bundle, &anchors, day % step, step);
    }
}

/// Changes the octets `first`, `first + step` and so on, on all cores.
fn everywhere(bundle: &[u8], anchors: &Anchors, first: usize, step: usize) {
    let regions = regions(bundle);
    let threads = std::thread::available_parallelism().unwrap().get();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let regions = &regions;
            scope.spawn(move || {
                let places = (first..bundle.len()).step_by(step).enumerate();
                for (n, at) in places.filter(|(n, _)| n % threads == thread) {
                    let region = regions.iter().find(|r| r.range.contains(&at)).unwrap();
                    change(bundle, anchors, region, at, 1 << ((n / threads + at) % 8));
                }
            });
        }
    });
}
