//! No byte of a bundle can change unseen, and the verdict names the element that holds it.

use std::ops::Range;

use signing::container::Draft;
use signing::report::{Report, Verdict};
use signing::trust::Anchors;
use signing::verify::{Options, verify};

use crate::common::now;
use crate::network::{stamp, story};

/// Where each element's content lies in a canonical archive.
fn elements(zip: &[u8]) -> Vec<(String, Range<usize>)> {
    let u16 = |at: usize| usize::from(u16::from_le_bytes(zip[at..at + 2].try_into().unwrap()));
    let u32 = |at: usize| u32::from_le_bytes(zip[at..at + 4].try_into().unwrap()) as usize;
    let (mut out, mut at) = (Vec::new(), 0);
    while zip[at..].starts_with(b"PK\x03\x04") {
        let data = at + 30 + u16(at + 26);
        let name = String::from_utf8(zip[at + 30..data].to_vec()).unwrap();
        at = data + u32(at + 18);
        out.push((name, data..at));
    }
    out
}

fn judge(bytes: Vec<u8>, anchors: &Anchors) -> Report {
    verify(&[("b.asice".to_owned(), bytes)], anchors, now(), &Options::default())
}

/// Of how many places one is changed: 1 for all of them (minutes), by `PLI_TAMPER_EVERY`.
fn every() -> usize {
    std::env::var("PLI_TAMPER_EVERY").ok().and_then(|n| n.parse().ok()).unwrap_or(17)
}

/// Changes one bit of every byte in `range` (a different bit from byte to byte).
fn change_each(bundle: &[u8], anchors: &Anchors, range: impl Iterator<Item = usize>) -> usize {
    let elements = elements(bundle);
    let mut count = 0;
    for at in range {
        let mut bad = bundle.to_vec();
        bad[at] ^= 1 << (at % 8);
        let report = judge(bad, anchors);
        let holder = elements.iter().find(|(_, range)| range.contains(&at));
        let expected = holder.map_or("container", |(name, _)| name.as_str());
        assert_eq!(report.verdict, Verdict::Invalid, "byte {at} of {expected}: {report:#?}");
        assert_eq!(report.broken.as_deref(), Some(expected), "byte {at}: {report:#?}");
        assert_eq!(report.elements[0].path, expected, "the broken element stands first");
        count += 1;
    }
    count
}

#[test]
fn any_changed_byte_is_found_and_its_element_named() {
    let story = story();
    let bundle = story.bundle();
    assert!(judge(bundle.clone(), &story.net.anchors).valid);
    // Every byte of the bookkeeping, of the manifest and of the signature; a third of the others,
    // which the manifest covers by digest
    let covered: Vec<_> = elements(&bundle)
        .into_iter()
        .filter(|(name, _)| !name.contains("ASiCManifest") && !name.contains("signature"))
        .collect();
    let plain = |at: &usize| covered.iter().any(|(_, range)| range.contains(at));
    let each = (0..bundle.len()).filter(|at| !plain(at) || at % 3 == 0).step_by(every());
    let count = change_each(&bundle, &story.net.anchors, each);
    assert!(count > 8_000 / every(), "{count}");
}

#[test]
fn no_bit_of_the_signature_can_change_even_with_a_time_stamp_on_it() {
    let story = story();
    let draft = Draft::new(story.input(), &story.net.etat).unwrap();
    let token = stamp(&story.net.tsa, &draft.imprint().unwrap(), now());
    let bundle = draft.stamp(token.der()).unwrap().into_bytes().unwrap();
    assert!(judge(bundle.clone(), &story.net.anchors).valid);
    let (name, range) = elements(&bundle).pop().unwrap();
    assert!(name.ends_with("signature001.p7s"));
    for at in range.step_by(every()) {
        for bit in 0..8 {
            let mut bad = bundle.clone();
            bad[at] ^= 1 << bit;
            let report = judge(bad, &story.net.anchors);
            assert_eq!(report.verdict, Verdict::Invalid, "byte {at} bit {bit}: {report:#?}");
            assert_eq!(report.broken.as_deref(), Some(name.as_str()), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn a_bundle_cut_short_or_lengthened_is_invalid_and_never_panics() {
    let story = story();
    let bundle = story.bundle();
    for end in (0..bundle.len()).step_by(997) {
        assert_eq!(judge(bundle[..end].to_vec(), &story.net.anchors).verdict, Verdict::Invalid);
    }
    for tail in [&b"\0"[..], b"PK\x05\x06", &bundle] {
        let longer = [&bundle, tail].concat();
        assert_eq!(judge(longer, &story.net.anchors).verdict, Verdict::Invalid);
    }
    let before = [b"#!/bin/sh\n", bundle.as_slice()].concat();
    assert_eq!(judge(before, &story.net.anchors).verdict, Verdict::Invalid);
}
