//! A network of two nodes and a time-stamp authority, and the bundle of one message between them.

use std::borrow::Cow;

use const_oid::ObjectIdentifier;
use schemas::digest::Digest;
use schemas::time::{DAY, MINUTE, SECOND, Timestamp};
use serde_json::json;
use signing::authority::{Authority, Profile, Subject};
use signing::container::{BundleFile, BundleInput, BundleRecord, build_bundle};
use signing::digest::sha256;
use signing::evidence_record::{Tree, record};
use signing::seal::Sealer;
use signing::signer::Algorithm;
use signing::trust::Anchors;
use signing::tsa::Tsa;
use signing::tsp::{Request, Token};

use crate::common;

pub const POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.99999.1");
pub const YEAR: i64 = 365 * DAY;

pub struct Network {
    pub authority: Authority,
    pub etat: Sealer,
    pub cd34: Sealer,
    pub tsa: Tsa,
    pub anchors: Anchors,
}

/// Certificates of two years for the nodes, of fifteen for the time-stamp authority, lists of now.
pub fn network() -> Network {
    network_with(Algorithm::EcdsaP256Sha256)
}

pub fn network_with(algorithm: Algorithm) -> Network {
    let mut authority = common::authority();
    let etat = node(&mut authority, "etat", algorithm);
    let cd34 = node(&mut authority, "cd-34", algorithm);
    let tsa = tsa(&mut authority, algorithm, 15 * YEAR);
    let anchors = common::anchors(&authority);
    Network { authority, etat, cd34, tsa, anchors }
}

fn node(authority: &mut Authority, name: &str, algorithm: Algorithm) -> Sealer {
    let at = common::now().plus(-DAY);
    let mut subject = Subject::named(name);
    subject.organization = Some("Essai".to_owned());
    let enrolled =
        authority.enrol(&Profile::Seal, &subject, algorithm, at, at.plus(2 * YEAR)).unwrap();
    let crls = authority.crl(at).unwrap();
    Sealer::new(enrolled.key, enrolled.chain, crls).unwrap()
}

/// An authority of time whose certificate ends `life` milliseconds after yesterday.
pub fn tsa(authority: &mut Authority, algorithm: Algorithm, life: i64) -> Tsa {
    tsa_under(authority, algorithm, life, POLICY)
}

/// The same under another policy.
pub fn tsa_under(
    authority: &mut Authority,
    algorithm: Algorithm,
    life: i64,
    policy: ObjectIdentifier,
) -> Tsa {
    let at = common::now().plus(-DAY);
    let subject = Subject::named("Horodatage d'essai");
    let enrolled = authority.enrol(&Profile::Tsa, &subject, algorithm, at, at.plus(life)).unwrap();
    let crls = [authority.root_crl(at).unwrap()];
    Tsa::new(enrolled.key, &enrolled.chain, &crls, policy).unwrap()
}

/// A token over `imprint` as of `at`.
pub fn stamp(tsa: &Tsa, imprint: &Digest, at: Timestamp) -> Token {
    let request = Request::new(imprint, [0x80; 8]).unwrap();
    let answer = tsa.respond(&request.to_der().unwrap(), at);
    request.answer(&answer, at, 0).unwrap()
}

/// Records of all `objects` under one token of `at`.
pub fn records(tsa: &Tsa, objects: &[Vec<u8>], at: Timestamp) -> Vec<Vec<u8>> {
    let leaves: Vec<_> = objects.iter().map(|o| sha256(o)).collect();
    let tree = Tree::build(leaves.clone()).unwrap();
    let token = stamp(tsa, &tree.root(), at);
    let one =
        |(n, leaf): (usize, &Digest)| record(&tree.path(n).unwrap(), leaf, token.der()).unwrap();
    leaves.iter().enumerate().map(one).collect()
}

/// The JSON of an evidence, with the keys that order it.
pub fn evidence(
    id: &str,
    message: &str,
    at: Timestamp,
    previous: Option<&[u8]>,
    document: &[u8],
) -> Vec<u8> {
    let mut extension = json!({ "isCritical": false, "hop": 0, "state": "accepted" });
    if let Some(previous) = previous {
        extension["PreviousEvidenceDigest"] = json!(sha256(previous));
    }
    let value = json!({
        "version": "EN319522v1.1.1", "EvidenceIdentifier": id, "MessageIdentifier": message, "EventTime": at,
        "UserContentInfo": { "ComposingParts": 1, "PartsInfo": { "PartInfo": [{
            "Identifier": "urn:uuid:0", "ContentType": "text/plain",
            "DigestMethod": "http://www.w3.org/2001/04/xmlenc#sha256", "DigestValue": sha256(document) }] } },
        "Extensions": { "Extension": [extension] },
    });
    serde_json::to_vec(&value).unwrap()
}

pub const DOCUMENT: &[u8] = b"Acte de naissance, copie.";

/// A message with three evidence, its document and its report, sealed an hour ago, stamped a minute
/// later, packed now.
pub struct Story {
    pub net: Network,
    pub seals: Vec<Vec<u8>>,
    pub records: Vec<Vec<u8>>,
    pub sealed_at: Timestamp,
}

pub fn story() -> Story {
    story_of(network())
}

pub fn story_of(net: Network) -> Story {
    let at = common::now().plus(-60 * MINUTE);
    let seal = |by: &Sealer, n: i64, content: Vec<u8>| {
        by.seal(&content, at.plus(n * SECOND), None).unwrap().der
    };
    let a = seal(&net.etat, 0, evidence("a", "m", at, None, DOCUMENT));
    let b = seal(&net.cd34, 1, evidence("b", "m", at.plus(SECOND), Some(&a), DOCUMENT));
    let d = seal(&net.cd34, 2, evidence("d", "m", at.plus(2 * SECOND), Some(&b), DOCUMENT));
    let seals = vec![a, b, d];
    let records = records(&net.tsa, &seals, at.plus(MINUTE));
    Story { net, seals, records, sealed_at: at }
}

pub const NAMES: [&str; 3] = [
    "evidence/001-SubmissionAcceptance.p7m",
    "evidence/002-RelayAcceptance.p7m",
    "evidence/003-ContentConsignment.p7m",
];

impl Story {
    pub fn input(&self) -> BundleInput<'static> {
        let file = |name: &str, media_type: &str, bytes: &[u8]| BundleFile {
            name: name.to_owned(),
            media_type: media_type.to_owned(),
            bytes: Cow::Owned(bytes.to_vec()),
        };
        let mut files: Vec<_> = NAMES
            .iter()
            .zip(&self.seals)
            .map(|(n, s)| file(n, "application/pkcs7-mime", s))
            .collect();
        files.push(file("documents/acte d'état civil.txt", "text/plain", DOCUMENT));
        files.push(file("report.html", "text/html", b"<!doctype html><title>Preuve</title>"));
        let record = |(name, der): (&&str, &Vec<u8>)| BundleRecord {
            object: (*name).to_owned(),
            der: der.clone(),
        };
        let records = NAMES.iter().zip(&self.records).map(record).collect();
        BundleInput { files, records, crls: vec![], at: common::now().plus(-MINUTE) }
    }

    pub fn bundle(&self) -> Vec<u8> {
        build_bundle(self.input(), &self.net.etat).unwrap()
    }
}
