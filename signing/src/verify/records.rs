//! The evidence records of a container, each with its manifest and its one file.

use std::collections::HashMap;

use schemas::time::Timestamp;

use super::sealed::token_verdict;
use super::session::Session;
use crate::container::{META_INF, Manifest};
use crate::evidence_record::{Object, RecordError, RecordVerdict, verify_record_with};
use crate::report::{Element, Kind, Verdict};

/// Since when a file is proved to exist, and by what.
#[derive(Clone, Debug)]
pub(super) struct Proved {
    /// When its authority said that it was.
    pub(super) time: Timestamp,
    /// When it was at the latest, by the accuracy that the authority claims.
    pub(super) latest: Timestamp,
    /// Path of the record or token.
    pub(super) by: String,
}

/// The earliest proof for each file that a record covers.
pub(super) type Proofs = HashMap<String, Proved>;

/// Judges every record among `names`; `intact` gives a file's bytes unless they were changed.
pub(super) fn check<'a>(
    session: &mut Session<'_>,
    names: impl Iterator<Item = &'a str> + Clone,
    intact: &impl Fn(&str) -> Option<&'a [u8]>,
) -> (Vec<Element>, Proofs) {
    let (mut elements, mut proofs) = (Vec::new(), Proofs::new());
    let in_meta = |n: &&str| n.starts_with(META_INF);
    let is_manifest = |n: &&str| n.contains("ASiCEvidenceRecordManifest") && n.ends_with(".xml");
    let mut manifests: HashMap<String, (&str, Manifest)> = HashMap::new();
    for name in names.clone().filter(in_meta).filter(is_manifest) {
        let Some(bytes) = intact(name) else { continue };
        match Manifest::parse(bytes) {
            Ok(manifest) => {
                elements.push(Element::ok(name, Kind::Document, "unchanged"));
                manifests.insert(manifest.signature.clone(), (name, manifest));
            }
            Err(error) => elements.push(Element::new(
                name,
                Kind::Document,
                Verdict::Invalid,
                "manifest-malformed",
                error.to_string(),
            )),
        }
    }
    for name in names.filter(in_meta).filter(|n| n.ends_with(".ers")) {
        let Some(record) = intact(name) else { continue };
        let (element, proof) = match manifests.remove(name) {
            Some((_, manifest)) => check_one(session, name, record, &manifest, intact),
            None => (invalid(name, "no-manifest", "no manifest says which file it covers"), None),
        };
        elements.push(element);
        if let Some((object, proof)) = proof {
            match proofs.get(&object) {
                Some(known) if known.time <= proof.time => {}
                _ => drop(proofs.insert(object, proof)),
            }
        }
    }
    for (name, (manifest, _)) in manifests {
        if intact(&name).is_none() {
            let detail = format!("its record {name} is not here, or was changed");
            elements.push(Element::new(
                manifest,
                Kind::Document,
                Verdict::Indeterminate,
                "no-record",
                detail,
            ));
        }
    }
    (elements, proofs)
}

fn check_one<'a>(
    session: &mut Session<'_>,
    name: &str,
    record: &[u8],
    manifest: &Manifest,
    intact: &impl Fn(&str) -> Option<&'a [u8]>,
) -> (Element, Option<(String, Proved)>) {
    let [object] = manifest.objects.as_slice() else {
        return (invalid(name, "several-objects", "its manifest lists more than one file"), None);
    };
    let Some(bytes) = intact(&object.path) else {
        let detail = format!("the file {} is not here, or was changed", object.path);
        let element = Element::new(
            name,
            Kind::EvidenceRecord,
            Verdict::Indeterminate,
            "object-changed",
            detail,
        );
        return (element, None);
    };
    if !object.is_of(bytes) {
        return (
            invalid(name, "object-not-named", "its manifest has another digest of the file"),
            None,
        );
    }
    let now = session.now;
    match verify_record_with(record, Object::Bytes(bytes), now, |token, until| {
        session.token(token, until)
    }) {
        Ok(verdict) => {
            let proved = Proved { time: verdict.time, latest: verdict.latest, by: name.to_owned() };
            (holds(name, &object.path, &verdict), Some((object.path.clone(), proved)))
        }
        Err(error) => (broken(name, &error), None),
    }
}

/// An element for a record that holds.
pub(super) fn holds(name: &str, object: &str, verdict: &RecordVerdict) -> Element {
    let renewed = match verdict.stamps.len() {
        0 | 1 => String::new(),
        n => format!(", renewed {} times", n - 1),
    };
    let detail = format!("{object} existed at {}{renewed}", verdict.time);
    let authority = verdict.stamps.first().map_or("", |s| s.authority.as_str());
    Element::ok(name, Kind::EvidenceRecord, detail).by(authority).at(verdict.time)
}

/// An element for a record that does not.
pub(super) fn broken(name: &str, error: &RecordError) -> Element {
    let verdict = match error {
        RecordError::Token { source, .. } => token_verdict(source),
        RecordError::ObjectNeeded => Verdict::Indeterminate,
        _ => Verdict::Invalid,
    };
    Element::new(name, Kind::EvidenceRecord, verdict, error.code(), error.to_string())
}

fn invalid(name: &str, code: &str, detail: &str) -> Element {
    Element::new(name, Kind::EvidenceRecord, Verdict::Invalid, code, detail)
}
