//! Verdicts on whole and on wrong bundles, and on files given one by one.

use std::borrow::Cow;

use schemas::time::{DAY, MINUTE, SECOND, Timestamp};
use signing::authority::RevocationReason;
use signing::container::{BundleFile, Draft, build_bundle};
use signing::digest::sha256;
use signing::report::{Element, Kind, Report, Verdict};
use signing::seal::{Sealer, attach_timestamp, signature_imprint};
use signing::signer::Algorithm;
use signing::trust::Anchors;
use signing::verify::{Options, verify};

use crate::common::{self, now};
use crate::network::{
    DOCUMENT, NAMES, Story, YEAR, evidence, network, records, stamp, story, story_of, tsa,
};

fn of(bytes: Vec<u8>, anchors: &Anchors, at: Timestamp) -> Report {
    verify(&[("bundle.asice".to_owned(), bytes)], anchors, at, &Options::default())
}

fn is_valid(report: &Report) {
    assert!(report.valid, "{:#?}", faults(report));
}

fn faults(report: &Report) -> Vec<&Element> {
    report.elements.iter().filter(|e| e.verdict != Verdict::Valid).collect()
}

/// Path, kind, verdict and code of the first fault.
fn first(report: &Report) -> (&str, Kind, Verdict, &str) {
    assert!(!report.valid);
    let fault = faults(report)[0];
    assert_eq!(report.broken.as_deref(), Some(fault.path.as_str()), "{report:#?}");
    (&fault.path, fault.kind, fault.verdict, &fault.code)
}

#[test]
fn a_whole_bundle_is_valid_today_and_every_file_has_a_verdict() {
    let story = story();
    let report = of(story.bundle(), &story.net.anchors, now());
    is_valid(&report);
    for name in NAMES {
        let kinds: Vec<_> =
            report.elements.iter().filter(|e| e.path == name).map(|e| e.kind).collect();
        assert!(kinds.starts_with(&[Kind::Seal, Kind::Chain]), "{name}: {kinds:?}");
    }
    let count = |kind| report.elements.iter().filter(|e| e.kind == kind).count();
    assert_eq!((count(Kind::EvidenceRecord), count(Kind::Sequence), count(Kind::Chain)), (3, 1, 4));
    let record = report.elements.iter().find(|e| e.kind == Kind::EvidenceRecord).unwrap();
    assert_eq!(record.time, Some(story.sealed_at.plus(MINUTE)));
    let seal = report.elements.iter().find(|e| e.path == NAMES[0]).unwrap();
    assert!(seal.signer.as_deref().unwrap().contains("CN=etat"));
}

#[test]
fn ten_years_later_the_records_carry_the_bundle() {
    let story = story();
    let bundle = story.bundle();
    for years in [1, 3, 10, 14] {
        is_valid(&of(bundle.clone(), &story.net.anchors, now().plus(years * YEAR)));
    }
    // The authority's certificate is of fifteen years
    let report = of(bundle, &story.net.anchors, now().plus(16 * YEAR));
    assert_eq!(first(&report).2, Verdict::Indeterminate);
}

#[test]
fn ten_years_later_a_bundle_without_records_is_not_proved() {
    let story = story();
    let mut input = story.input();
    input.records.clear();
    let bundle = build_bundle(input, &story.net.etat).unwrap();
    is_valid(&of(bundle.clone(), &story.net.anchors, now()));
    let report = of(bundle, &story.net.anchors, now().plus(10 * YEAR));
    assert_eq!(first(&report), (NAMES[0], Kind::Chain, Verdict::Indeterminate, "expired"));
}

#[test]
fn a_time_stamp_on_the_signature_proves_the_whole_container() {
    let story = story();
    let mut input = story.input();
    input.records.clear();
    // One file that no record proves: only the time-stamped signature can
    let files = input.files.split_off(3);
    input.files = files.into_iter().filter(|f| f.name == "report.html").collect();
    let plain = build_bundle(input.clone(), &story.net.etat).unwrap();
    let later = now().plus(10 * YEAR);
    assert_eq!(first(&of(plain, &story.net.anchors, later)).3, "expired");
    let draft = Draft::new(input, &story.net.etat).unwrap();
    let token = stamp(&story.net.tsa, &draft.imprint().unwrap(), now());
    let stamped = draft.stamp(token.der()).unwrap().into_bytes().unwrap();
    let report = of(stamped, &story.net.anchors, later);
    is_valid(&report);
    assert!(report.elements.iter().any(|e| e.kind == Kind::Timestamp));
}

#[test]
fn other_anchors_leave_it_undecided_and_none_too() {
    let story = story();
    for anchors in [common::anchors(&common::authority()), Anchors::none()] {
        let report = of(story.bundle(), &anchors, now());
        assert_eq!(report.verdict, Verdict::Indeterminate, "{:#?}", faults(&report));
        assert_eq!(first(&report).3, "unknown-authority");
    }
}

#[test]
fn a_revocation_before_the_proof_counts_and_one_after_it_does_not() {
    for (revoked_at, expected) in [(30 * MINUTE, true), (-30 * MINUTE, false)] {
        let mut story = story();
        let serial = story.net.authority.issued()[0].serial.clone();
        let at = story.sealed_at.plus(revoked_at);
        story.net.authority.revoke(&serial, at, RevocationReason::CessationOfOperation).unwrap();
        let options =
            Options { crls: story.net.authority.crl(now()).unwrap(), ..Options::default() };
        let files = [("b.asice".to_owned(), story.bundle())];
        let report = verify(&files, &story.net.anchors, now(), &options);
        let seal = report.elements.iter().find(|e| e.path == NAMES[0] && e.kind == Kind::Chain);
        assert_eq!(seal.unwrap().verdict == Verdict::Valid, expected, "{:#?}", faults(&report));
        // The container itself was signed after either
        assert!(!report.valid);
    }
}

#[test]
fn a_seal_that_claims_to_be_younger_than_its_proof_is_refused() {
    let mut story = story();
    let content = evidence("d", "m", story.sealed_at, Some(&story.seals[1]), DOCUMENT);
    let late = story.sealed_at.plus(20 * MINUTE);
    story.seals[2] = story.net.cd34.seal(&content, late, None).unwrap().der;
    story.records = records(&story.net.tsa, &story.seals, story.sealed_at.plus(MINUTE));
    let report = of(story.bundle(), &story.net.anchors, now());
    assert_eq!(first(&report), (NAMES[2], Kind::Chain, Verdict::Invalid, "signing-time-too-late"));
}

/// The story with its evidence replaced by `contents`, all sealed and recorded.
fn told(contents: impl Fn(&Story) -> Vec<Vec<u8>>) -> Report {
    let mut story = story_of(network());
    let seal = |c: &Vec<u8>| story.net.etat.seal(c, story.sealed_at, None).unwrap().der;
    let seals: Vec<_> = contents(&story).iter().map(seal).collect();
    story.records = records(&story.net.tsa, &seals, story.sealed_at.plus(MINUTE));
    story.seals = seals;
    of(story.bundle(), &story.net.anchors, now())
}

#[test]
fn foreign_and_misplaced_evidence_is_a_fault_of_the_sequence() {
    let one =
        |s: &Story, id: &str, message: &str| evidence(id, message, s.sealed_at, None, DOCUMENT);
    is_valid(&told(|s| vec![one(s, "a", "m"), one(s, "b", "m"), one(s, "c", "m")]));
    let report = told(|s| vec![one(s, "a", "m"), one(s, "b", "other"), one(s, "c", "m")]);
    assert_eq!(first(&report), (NAMES[1], Kind::Sequence, Verdict::Invalid, "foreign-message"));
    let report = told(|s| {
        let mut other = one(s, "b", "m");
        let text = String::from_utf8(other.clone()).unwrap();
        let digest = sha256(DOCUMENT).to_string();
        other.clear();
        other.extend(text.replace(&digest, &sha256(b"another").to_string()).into_bytes());
        vec![one(s, "a", "m"), other, one(s, "c", "m")]
    });
    assert_eq!(first(&report), (NAMES[1], Kind::Sequence, Verdict::Invalid, "content-differs"));
}

#[test]
fn wrong_order_is_a_fault_of_the_sequence() {
    let mut story = story();
    story.seals.swap(1, 2);
    story.records.swap(1, 2);
    let report = of(story.bundle(), &story.net.anchors, now());
    assert_eq!(first(&report), (NAMES[1], Kind::Sequence, Verdict::Invalid, "out-of-order"));
    story.seals.remove(1);
    story.seals.remove(1);
    story.records.truncate(1);
    is_valid(&of(story.bundle(), &story.net.anchors, now()));
    let mut gap = self::story();
    gap.seals.remove(1);
    gap.records.remove(1);
    let report = of(gap.bundle(), &gap.net.anchors, now());
    assert_eq!(first(&report), (NAMES[1], Kind::Sequence, Verdict::Indeterminate, "gap"));
}

#[test]
fn a_document_that_no_evidence_names_is_refused() {
    let story = story();
    let mut input = story.input();
    input.files.push(BundleFile {
        name: "documents/intrus.txt".into(),
        media_type: "text/plain".into(),
        bytes: Cow::Borrowed(b"not sent"),
    });
    let bundle = build_bundle(input, &story.net.etat).unwrap();
    let report = of(bundle, &story.net.anchors, now());
    let expected = ("documents/intrus.txt", Kind::Document, Verdict::Invalid, "not-in-evidence");
    assert_eq!(first(&report), expected);
}

#[test]
fn a_record_of_another_file_proves_nothing() {
    let mut story = story();
    story.records.swap(0, 1);
    let report = of(story.bundle(), &story.net.anchors, now());
    let expected = (
        "META-INF/evidencerecord001.ers",
        Kind::EvidenceRecord,
        Verdict::Invalid,
        "object-not-named",
    );
    assert_eq!(first(&report), expected);
}

#[test]
fn lists_of_the_authority_of_time_may_come_with_the_signature() {
    let mut story = story();
    // An authority under its own root, whose tokens carry no list, as most do
    let mut other = common::authority();
    let bare = tsa(&mut other, Algorithm::EcdsaP256Sha256, 15 * YEAR).with_crls(&[]).unwrap();
    story.records = records(&bare, &story.seals, story.sealed_at.plus(MINUTE));
    let mut anchors = story.net.anchors.clone();
    anchors.extend(&common::anchors(&other));
    let without = of(story.bundle(), &anchors, now());
    assert_eq!(first(&without).3, "crl-missing");
    let mut input = story.input();
    let list = other.root_crl(now().plus(-DAY)).unwrap();
    input.crls = story.net.authority.crl(now().plus(-DAY)).unwrap();
    input.crls.push(list.clone());
    let with = build_bundle(input.clone(), &story.net.etat).unwrap();
    is_valid(&of(with.clone(), &anchors, now()));
    is_valid(&of(with, &anchors, now().plus(10 * YEAR)));
    input.records.clear();
    let stray = build_bundle(input, &story.net.etat).unwrap();
    let report = of(stray, &anchors, now());
    assert_eq!(first(&report).3, "stray-crl", "a list that serves nothing could be changed unseen");
}

#[test]
fn seals_records_and_tokens_by_themselves() {
    let story = story();
    let net = &story.net;
    let at = now();
    let named = |name: &str, bytes: &[u8]| (name.to_owned(), bytes.to_vec());
    let judge =
        |files: &[(String, Vec<u8>)], at| verify(files, &net.anchors, at, &Options::default());
    let seal = named("a.p7m", &story.seals[0]);
    let record = named("a.ers", &story.records[0]);
    is_valid(&judge(std::slice::from_ref(&seal), at));
    is_valid(&judge(&[record.clone(), seal.clone()], at.plus(10 * YEAR)));
    assert_eq!(first(&judge(std::slice::from_ref(&seal), at.plus(10 * YEAR))).3, "expired");
    assert_eq!(first(&judge(std::slice::from_ref(&seal), at.plus(60 * DAY))).3, "crl-stale");
    assert_eq!(first(&judge(std::slice::from_ref(&record), at)).3, "object-missing");
    let other = named("b.p7m", &story.seals[1]);
    assert_eq!(first(&judge(&[record, other], at)).3, "object-not-named");

    let token = stamp(&net.tsa, &sha256(DOCUMENT), at);
    let token = named("d.tst", token.der());
    let data = named("d.txt", DOCUMENT);
    let report = judge(&[token.clone(), data.clone()], at);
    is_valid(&report);
    assert_eq!(report.elements[0].time, Some(at));
    assert_eq!(first(&judge(std::slice::from_ref(&token), at)).3, "data-missing");
    assert_eq!(first(&judge(&[token, named("d.txt", b"other")], at)).3, "imprint-mismatch");
    assert_eq!(first(&judge(std::slice::from_ref(&data), at)).3, "not-covered");

    let detached = net.etat.seal_detached(DOCUMENT, at.plus(-SECOND)).unwrap().der;
    is_valid(&judge(&[named("d.txt.p7s", &detached), data], at));
    let report = judge(&[named("d.txt.p7s", &detached), named("d.txt", b"other")], at);
    assert_eq!(first(&report).3, "content-changed");
    assert_eq!(first(&judge(&[named("x.p7m", b"not a seal")], at)).3, "seal-malformed");
    assert_eq!(first(&judge(&[named("x.asice", b"PK")], at)).3, "unreadable");
}

#[test]
fn a_time_stamped_seal_outlives_its_certificate() {
    let story = story();
    let seal = &story.seals[0];
    let token =
        stamp(&story.net.tsa, &signature_imprint(seal).unwrap(), story.sealed_at.plus(MINUTE));
    let stamped = attach_timestamp(seal, token.der()).unwrap();
    let judge = |bytes: Vec<u8>| {
        let files = [("a.p7m".to_owned(), bytes)];
        verify(&files, &story.net.anchors, now().plus(10 * YEAR), &Options::default())
    };
    is_valid(&judge(stamped));
    let wrong = stamp(&story.net.tsa, &sha256(b"another"), story.sealed_at.plus(MINUTE));
    let report = judge(attach_timestamp(seal, wrong.der()).unwrap());
    assert_eq!(first(&report), ("a.p7m", Kind::Timestamp, Verdict::Invalid, "imprint-mismatch"));
}

#[test]
fn lists_from_the_future_and_from_others_are_refused() {
    let mut story = story();
    let future = story.net.authority.crl(now().plus(30 * DAY)).unwrap();
    let sealer = story.net.etat.with_crls(&future).unwrap();
    let seal = sealer.seal(b"x", now(), None).unwrap().der;
    let judge = |sealed: Vec<u8>| {
        let files = [("a.p7m".to_owned(), sealed)];
        verify(&files, &story.net.anchors, now(), &Options::default())
    };
    assert_eq!(first(&judge(seal)).3, "crl-future");
    let mut other = common::authority();
    let stranger = common::node(&mut other, Algorithm::EcdsaP256Sha256);
    let foreign = Sealer::new(stranger.key, stranger.chain, other.crl(now()).unwrap()).unwrap();
    let report = judge(foreign.seal(b"x", now(), None).unwrap().der);
    // Both roots bear one name here, and the stranger names another key: nothing claims our anchor
    let expected = ("a.p7m", Kind::Chain, Verdict::Indeterminate, "unknown-authority");
    assert_eq!(first(&report), expected);
    story.records.clear();
}
