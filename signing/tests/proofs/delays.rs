//! The times of an evidence: event, then seal, then proof; a proof that came late says by how much.

use schemas::time::{HOUR, MINUTE, SECOND, Timestamp};
use signing::container::build_bundle;
use signing::report::{Element, Kind, Report, Verdict};
use signing::seal::{attach_timestamp, signature_imprint};
use signing::verify::{Options, verify};

use crate::common::now;
use crate::network::{DOCUMENT, NAMES, Story, evidence, records, stamp, story};

fn judge(story: &Story, files: &[(&str, &[u8])]) -> Report {
    let files: Vec<_> = files.iter().map(|(n, b)| ((*n).to_owned(), b.to_vec())).collect();
    verify(&files, &story.net.anchors, now(), &Options::default())
}

fn of_bundle(story: &Story) -> Report {
    judge(story, &[("b.asice", &story.bundle())])
}

fn proofs(report: &Report) -> Vec<&Element> {
    let proof = |e: &&Element| matches!(e.kind, Kind::EvidenceRecord | Kind::Timestamp);
    report.elements.iter().filter(proof).collect()
}

/// A story whose authority was away for this long after the first event.
fn anchored_after(delay: i64) -> Story {
    let mut story = story();
    story.records = records(&story.net.tsa, &story.seals, story.sealed_at.plus(delay));
    story
}

#[test]
fn a_proof_that_came_late_holds_and_says_by_how_much() {
    let story = anchored_after(HOUR / 2);
    let report = of_bundle(&story);
    assert!(report.valid, "{report:#?}");
    let late: Vec<_> = proofs(&report).iter().map(|e| (e.code.as_str(), e.delay_seconds)).collect();
    // The three events are a second apart, the proof of all is one token.
    assert_eq!(late, [1_800, 1_799, 1_798].map(|s| ("delayed", Some(s))));
    let detail = &proofs(&report)[0].detail;
    assert!(detail.contains("1800 s after the event"), "{detail}");
    assert!(detail.contains(&story.sealed_at.to_string()), "{detail}");
    let json = serde_json::to_value(proofs(&report)[0]).unwrap();
    assert_eq!((&json["code"], &json["delay_seconds"]), (&"delayed".into(), &1_800.into()));
}

#[test]
fn a_proof_within_a_minute_is_not_delayed() {
    for (delay, late) in [(MINUTE, [None; 3]), (MINUTE + SECOND, [Some(61), None, None])] {
        let report = of_bundle(&anchored_after(delay));
        assert!(report.valid, "{report:#?}");
        let said: Vec<_> = proofs(&report).iter().map(|e| e.delay_seconds).collect();
        assert_eq!(said, late);
        let codes = proofs(&report).iter().filter(|e| e.code == "delayed").count();
        assert_eq!(codes, late.iter().flatten().count());
    }
}

#[test]
fn it_is_said_of_files_given_one_by_one_too() {
    let story = anchored_after(HOUR / 2);
    let files = [("a.p7m", story.seals[0].as_slice()), ("a.ers", &story.records[0])];
    let report = judge(&story, &files);
    assert!(report.valid, "{report:#?}");
    assert_eq!(proofs(&report)[0].delay_seconds, Some(1_800));
}

#[test]
fn of_two_proofs_the_earlier_counts() {
    let mut story = anchored_after(HOUR / 2);
    let imprint = signature_imprint(&story.seals[2]).unwrap();
    let token = stamp(&story.net.tsa, &imprint, story.sealed_at.plus(10 * MINUTE));
    story.seals[2] = attach_timestamp(&story.seals[2], token.der()).unwrap();
    story.records = records(&story.net.tsa, &story.seals, story.sealed_at.plus(HOUR / 2));
    let report = of_bundle(&story);
    assert!(report.valid, "{report:#?}");
    let of = |kind| {
        let all = report.elements.iter().filter(|e| e.kind == kind);
        all.map(|e| e.delay_seconds).collect::<Vec<_>>()
    };
    assert_eq!(of(Kind::Timestamp), [Some(598)]);
    assert_eq!(of(Kind::EvidenceRecord), [Some(1_800), Some(1_799), None]);
}

/// The first evidence again: its event at `event`, sealed at `sealed`, proved at `proved`, which
/// are milliseconds from the story's beginning.
fn with_times(event: i64, sealed: i64, proved: i64) -> Report {
    let mut story = story();
    let at = |millis| -> Timestamp { story.sealed_at.plus(millis) };
    let content = evidence("a", "m", at(event), None, DOCUMENT);
    let seal = story.net.etat.seal(&content, at(sealed), None).unwrap().der;
    let proof = records(&story.net.tsa, std::slice::from_ref(&seal), at(proved));
    (story.seals, story.records) = (vec![seal], proof);
    let mut input = story.input();
    input.files.retain(|f| !NAMES[1..].contains(&f.name.as_str()));
    let bundle = build_bundle(input, &story.net.etat).unwrap();
    judge(&story, &[("b.asice", &bundle)])
}

#[test]
fn an_event_is_not_after_its_seal_and_a_seal_not_after_its_proof() {
    // A seal has whole seconds; the clocks of node and authority may be a few minutes apart.
    for (event, sealed, proved) in [(0, 0, 0), (900, 0, 0), (0, 4 * MINUTE, 0)] {
        let report = with_times(event, sealed, proved);
        assert!(report.valid, "{report:#?}");
    }
    let cases = [
        ((MINUTE, 0, 2 * MINUTE), "event-after-seal"),
        ((6 * MINUTE, 6 * MINUTE, 0), "signing-time-too-late"),
    ];
    for ((event, sealed, proved), code) in cases {
        let report = with_times(event, sealed, proved);
        assert_eq!(report.verdict, Verdict::Invalid, "{code}: {report:#?}");
        assert_eq!(report.broken.as_deref(), Some(NAMES[0]), "{code}");
        let faults = report.elements.iter().filter(|e| e.verdict != Verdict::Valid);
        assert_eq!(faults.map(|e| e.code.as_str()).collect::<Vec<_>>(), [code]);
    }
}
