//! Round trips, foreign judgement by `xmllint` against the ETSI schema, and hostile documents.

use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::digest::Digest;
use crate::event::Event;
use crate::evidence::{Attribute, EventReason, EventReasons, Identity};
use crate::sample;
use crate::time::Timestamp;

/// Evidence of every event, with every reason that it may have.
fn all() -> Vec<Evidence> {
    Event::ALL
        .into_iter()
        .flat_map(|event| {
            let reasons =
                event.reasons().iter().map(move |r| sample::evidence_for(event, Some(*r)));
            reasons.chain([sample::evidence(event)])
        })
        .collect()
}

#[test]
fn every_event_with_every_reason_comes_back_as_it_was() {
    for evidence in all() {
        let xml = evidence.to_xml().unwrap();
        let back = Evidence::from_xml(xml.as_bytes()).unwrap();
        assert_eq!(back, evidence);
        assert_eq!(back.to_json(), evidence.to_json());
    }
}

/// The schemas of the standard are not ours to ship: they lie beside the repository, or nowhere.
fn schema_folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/xsd");
    if !folder.join("erds-all.xsd").exists() {
        eprintln!("skipped: no ETSI schema in {}", folder.display());
        return None;
    }
    if Command::new("xmllint").arg("--version").output().is_err() {
        eprintln!("skipped: xmllint is not installed");
        return None;
    }
    Some(folder)
}

fn lint(folder: &Path, files: &[PathBuf]) -> std::process::Output {
    Command::new("xmllint")
        .env("XML_CATALOG_FILES", folder.join("catalog.xml"))
        .args(["--nonet", "--noout", "--schema"])
        .arg(folder.join("erds-all.xsd"))
        .args(files)
        .output()
        .unwrap()
}

#[test]
fn xmllint_finds_every_event_valid_against_the_etsi_schema() {
    let Some(folder) = schema_folder() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut hard = sample::evidence(Event::ContentConsignmentFailure);
    hard.event_reasons.as_mut().unwrap().event_reason[0].details =
        vec![String::new(), " <&>\"' \t\r\n]]> é\u{1f4e8} ".to_owned()];
    let files: Vec<_> = all()
        .into_iter()
        .chain([hard])
        .enumerate()
        .map(|(i, evidence)| {
            let file = dir.path().join(format!("{i}.xml"));
            std::fs::write(&file, evidence.to_xml().unwrap()).unwrap();
            file
        })
        .collect();
    let verdict = lint(&folder, &files);
    let words = String::from_utf8_lossy(&verdict.stderr);
    assert!(verdict.status.success(), "{words}");
    assert_eq!(words.matches(" validates").count(), files.len());
}

#[test]
fn xmllint_refuses_what_is_out_of_order() {
    let Some(folder) = schema_folder() else { return };
    let dir = tempfile::tempdir().unwrap();
    let xml = sample::evidence(Event::SubmissionAcceptance).to_xml().unwrap();
    for (i, (from, to)) in [("EventTime", "EventTyme"), ("<Code>", "<erds:Code>"), ("saml:", "")]
        .into_iter()
        .enumerate()
    {
        let file = dir.path().join(format!("{i}.xml"));
        let broken = xml
            .replace(from, to)
            .replace("</Code>", if i == 1 { "</erds:Code>" } else { "</Code>" });
        assert!(Evidence::from_xml(broken.as_bytes()).is_err(), "{from}");
        std::fs::write(&file, broken).unwrap();
        assert!(!lint(&folder, &[file]).status.success(), "{from}");
    }
}

#[test]
fn a_control_character_cannot_be_written() {
    let mut evidence = sample::evidence(Event::SubmissionAcceptance);
    evidence.sender_details.identifier.value = "a\u{1}".to_owned();
    assert_eq!(evidence.to_xml(), Err(BadXml::Character(1)));
    assert!(evidence.check().is_err());
}

/// The sample as text, with one change.
fn changed(from: &str, to: &str) -> Result<Evidence, BadXml> {
    let xml = sample::evidence(Event::RelayAcceptance).to_xml().unwrap();
    assert!(xml.contains(from), "{from}");
    Evidence::from_xml(xml.replacen(from, to, 1).as_bytes())
}

#[test]
fn what_readers_of_xml_must_bear() {
    let evidence = sample::evidence(Event::RelayAcceptance);
    let same = [
        ("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", "\u{feff}"),
        ("<erds:EvidenceIdentifier>", "<!-- c --><erds:EvidenceIdentifier>"),
        ("<ComposingParts>4<", "<ComposingParts> +4 <"),
        ("RB01<", "<![CDATA[RB01]]><"),
        ("RB01<", "&#82;&#x42;01<"),
        ("isCritical=\"false\"", "isCritical='0'"),
        (">\n  <EventTime", " ><!----><EventTime"),
        ("2026-11-23T08:37:30.120Z", "2026-11-23T09:37:30.12+01:00"),
        ("<Code>", "<Code xmlns:x=\"urn:x\">"),
        (
            "<erds:EventReasons>",
            "<erds:EventReasons xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\" i:nil=\"0\">",
        ),
    ];
    for (from, to) in same {
        assert_eq!(changed(from, to).as_ref(), Ok(&evidence), "{to}");
    }
}

#[test]
fn what_is_refused_by_name() {
    let refused = |r: Result<Evidence, BadXml>| matches!(r, Err(BadXml::Refused { .. }));
    assert!(refused(changed("<erds:Evidence ", "<!DOCTYPE a [<!ENTITY b 'c'>]><erds:Evidence ")));
    assert!(refused(changed("RB01<", "&b;<")));
    assert!(refused(changed("<EventTime>", "<?php ?><EventTime>")));
    assert!(refused(changed("<EventTime>", "<x xmlns='urn:x'/><EventTime>")));
    let unexpected = |r: Result<Evidence, BadXml>| matches!(r, Err(BadXml::Unexpected { .. }));
    assert!(unexpected(changed("</erds:Evidence>", "<ds:Signature/></erds:Evidence>")));
    assert!(unexpected(changed("<Code>", "<Code lang=\"fr\">")));
    assert!(unexpected(changed("<erds:EventReasons>", "<erds:EventReasons>x")));
    let missing = |r: Result<Evidence, BadXml>| matches!(r, Err(BadXml::Missing { .. }));
    assert!(missing(changed("<EventTime>", "<ETime/><EventTime>")));
    assert!(missing(changed("isCritical=\"false\"", "")));
    let syntax = |r: Result<Evidence, BadXml>| matches!(r, Err(BadXml::Syntax { .. }));
    assert!(syntax(changed("</erds:Evidence>", "")));
    assert!(syntax(changed("</erds:Evidence>", "</erds:Evidence><a/>")));
    assert!(syntax(changed("</erds:Evidence>", "</erds:Evidence>x")));
    assert!(syntax(changed("isCritical=\"false\"", "isCritical='0' isCritical='0'")));
    assert!(syntax(changed("RB01<", "\u{1}<")));
    assert!(syntax(changed("RB01<", "&#1;<")));
    assert!(matches!(Evidence::from_xml(b"\xff"), Err(BadXml::Encoding)));
    assert!(matches!(Evidence::from_xml(&vec![b' '; MAX_XML + 1]), Err(BadXml::TooLarge(_))));
}

#[test]
fn hostile_sizes_end_soon() {
    let started = std::time::Instant::now();
    let deep = "<a>".repeat(MAX_XML / 3);
    let wide = format!("<a>{}</a>", "<b/>".repeat(MAX_XML / 5));
    let attributes: String = (0..300_000).map(|i| format!(" a{i}=''")).collect();
    let spaces: String = (0..200_000).map(|i| format!(" xmlns:a{i}='b'")).collect();
    for text in [deep, wide, format!("<a{attributes}/>"), format!("<a{spaces}><a0:b/></a>")] {
        assert!(Evidence::from_xml(text.as_bytes()).is_err());
    }
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

/// Text of characters that XML can hold.
fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<char>().prop_filter("XML", |c| is_char(*c)), 0..12)
        .prop_map(String::from_iter)
}

prop_compose! {
    fn any_evidence()(
        index in 0..Event::ALL.len(),
        texts in prop::collection::vec(text(), 8),
        details in prop::collection::vec(text(), 0..4),
        times in prop::collection::vec(any::<i64>(), 3),
        digest in any::<[u8; 32]>(),
        options in any::<[bool; 6]>(),
        numbers in any::<(u32, u32, u8)>(),
    ) -> Evidence {
        let mut e = sample::evidence(Event::ALL[index]);
        let pick = |on: bool, i: usize| on.then(|| texts[i].clone());
        e.version = texts[0].clone();
        e.erds_event_id = texts[1].clone();
        e.event_reasons = options[0].then(|| EventReasons {
            event_reason: vec![EventReason { code: texts[2].clone(), details: details.clone() }],
        });
        e.event_time = Timestamp::from_millis(times[0]);
        e.submission_time = options[1].then(|| Timestamp::from_millis(times[1]));
        e.sender_details.identity = options[2].then(|| Identity {
            attribute: vec![Attribute { name: texts[3].clone(), attribute_value: details }],
        });
        e.sender_details.identifier.value = texts[4].clone();
        e.sender_details.identifier.scheme = texts[5].clone();
        e.evidence_refers_to_recipient = options[3].then_some(numbers.0);
        e.forwarded_to_external_system = pick(options[4], 6);
        e.user_content_info.composing_parts = numbers.1;
        e.user_content_info.parts_info.part_info[0].digest_value = Digest(digest);
        let extension = &mut e.extensions.extension[0];
        extension.is_critical = options[5];
        extension.hop = numbers.2;
        extension.state = texts[7].clone();
        e
    }
}

proptest! {
    #[test]
    fn json_and_xml_say_the_same(evidence in any_evidence()) {
        let xml = evidence.to_xml().unwrap();
        prop_assert_eq!(&Evidence::from_xml(xml.as_bytes()).unwrap(), &evidence);
        let json: Evidence = serde_json::from_slice(&evidence.to_json()).unwrap();
        prop_assert_eq!(&json, &evidence);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = Evidence::from_xml(text.as_bytes());
    }
}
