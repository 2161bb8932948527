//! Signatures, tokens, records, certificates and lists.

use schemas::time::{DAY, MINUTE};
use signing::algorithm::Hash;
use signing::certificate::CertInfo;
use signing::digest::sha256;
use signing::encrypt::wrap;
use signing::evidence_record::{
    Object, hash_tree_renewal_leaf, renew_hash_tree, renew_timestamp, timestamp_renewal_leaf,
    verify_record, verify_record_with,
};
use signing::path::{Material, Policy, Usage, check_path};
use signing::seal::{attach_timestamp, open, open_detached, signature_imprint};
use signing::signer::Algorithm;
use signing::trust::{Anchors, SealVerifier, pem_certificates};
use signing::tsp::{Request, Token, Trust};

use crate::common::{authority, now};
use crate::der::{mutant, nested};
use crate::hostile::{Rng, run};
use crate::network::{DOCUMENT, Network, network, network_with, records, stamp};

const CONTENT: &[u8] = b"{\"version\":1}";

/// An enveloping seal, one with a time-stamp, and one of a longer curve with a commitment.
fn seals(net: &Network) -> Vec<Vec<u8>> {
    let at = now().plus(-MINUTE);
    let plain = net.etat.seal(CONTENT, at, None).unwrap().der;
    let token = stamp(&net.tsa, &signature_imprint(&plain).unwrap(), at);
    let stamped = attach_timestamp(&plain, token.der()).unwrap();
    let other = network_with(Algorithm::EcdsaP384Sha384);
    let commitment = Some(signing::seal::Commitment::ProofOfOrigin);
    vec![plain, stamped, other.etat.seal(CONTENT, at, commitment).unwrap().der]
}

#[test]
fn seals_that_open_say_what_was_sealed() {
    let net = network();
    let samples = seals(&net);
    let signers: Vec<_> = samples.iter().map(|s| open(s).unwrap().signer.der).collect();
    let verifier = SealVerifier::new(net.anchors.clone());
    let at = now();
    run(
        "seals",
        4,
        |rng| mutant(rng, &samples),
        |input| {
            let opened = open(input);
            if let Ok(opened) = &opened {
                assert_eq!(opened.content, CONTENT);
                assert!(signers.contains(&opened.signer.der));
            }
            if let Ok(trusted) = verifier.verify(input, at) {
                assert_eq!(trusted.content, CONTENT);
                assert!(opened.is_ok());
            }
            let _ = signature_imprint(input);
            if let Ok(stamped) = attach_timestamp(input, &samples[0]) {
                assert!(stamped.len() > samples[0].len());
            }
        },
    );
}

#[test]
fn detached_seals_that_open_are_over_the_content() {
    let net = network();
    let samples = [net.etat.seal_detached(CONTENT, now().plus(-MINUTE)).unwrap().der];
    run(
        "detached",
        2,
        |rng| mutant(rng, &samples),
        |input| {
            if let Ok(opened) = open_detached(input, CONTENT) {
                assert_eq!(opened.content, CONTENT);
            }
            assert!(open_detached(input, b"another content").is_err());
        },
    );
}

#[test]
fn tokens_that_hold_stamped_what_was_stamped() {
    let net = network();
    let (at, imprint) = (now().plus(-MINUTE), sha256(DOCUMENT));
    let token = stamp(&net.tsa, &imprint, at);
    let samples = [token.der().to_vec()];
    let trust = Trust::new(&net.anchors, now());
    run(
        "tokens",
        2,
        |rng| mutant(rng, &samples),
        |input| {
            let Ok(read) = Token::parse(input) else { return };
            assert_eq!(read.der(), input);
            if read.check_signature().is_ok() {
                assert_eq!((read.imprint(), read.gen_time()), (token.imprint(), token.gen_time()));
            }
            if read.check(&trust, now()).is_ok() {
                assert!(read.check_signature().is_ok());
                assert!(read.verify(&imprint, &net.anchors, now()).is_ok());
            }
        },
    );
}

#[test]
fn requests_for_time_are_always_answered() {
    let net = network();
    let at = now();
    let sha256 = Request::new(&sha256(DOCUMENT), [0x80; 8]).unwrap();
    let sha512 = Request::over(Hash::Sha512, &[0x55; 64], [1; 8]).unwrap();
    let sha512 = sha512.under(crate::network::POLICY);
    let samples = [sha256.to_der().unwrap(), sha512.to_der().unwrap()];
    run(
        "time-requests",
        2,
        |rng| mutant(rng, &samples),
        |input| {
            let answer = net.tsa.respond(input, at);
            assert_eq!(answer.first(), Some(&0x30));
            // Whatever was asked in place of it, no answer passes for one to our request.
            if let Ok(token) = sha256.answer(&answer, at, MINUTE) {
                assert!(token.check_signature().is_ok());
            }
        },
    );
}

#[test]
fn answers_are_believed_only_for_the_request() {
    let net = network();
    let (at, imprint) = (now(), sha256(DOCUMENT));
    let request = Request::new(&imprint, [0x80; 8]).unwrap();
    let samples =
        [net.tsa.respond(&request.to_der().unwrap(), at), net.tsa.respond(b"no request", at)];
    run(
        "time-answers",
        2,
        |rng| mutant(rng, &samples),
        |input| match request.answer(input, at, MINUTE) {
            Ok(token) => assert!(token.covers(Hash::Sha256, imprint.as_bytes())),
            Err(error) => assert!(error.to_string().len() < 2_000, "{error}"),
        },
    );
}

#[test]
fn records_that_hold_prove_the_same_time() {
    let net = network();
    let at = now().plus(-MINUTE);
    let objects = [DOCUMENT.to_vec(), b"b".to_vec(), b"c".to_vec()];
    let mut samples = records(&net.tsa, &objects, at);
    let renewed = timestamp_renewal_leaf(&samples[0]).unwrap();
    let token = stamp(&net.tsa, &renewed, at);
    samples.push(renew_timestamp(&samples[0], &[], token.der()).unwrap());
    let object = sha256(DOCUMENT);
    let first = verify_record(&samples[0], &object, &net.anchors, now()).unwrap();
    run(
        "records",
        2,
        |rng| mutant(rng, &samples),
        |input| {
            if let Ok(verdict) = verify_record(input, &object, &net.anchors, now()) {
                assert_eq!(verdict.time, first.time);
            }
            let _ = verify_record_with(input, Object::Bytes(DOCUMENT), now(), |_, _| Ok(()));
            let _ = timestamp_renewal_leaf(input);
            if let Ok(longer) = renew_timestamp(input, &[object], token.der()) {
                assert!(timestamp_renewal_leaf(&longer).is_ok());
            }
            let _ = hash_tree_renewal_leaf(input, DOCUMENT, Hash::Sha512);
            let _ = renew_hash_tree(input, DOCUMENT, Hash::Sha512, token.der());
        },
    );
}

#[test]
fn a_changed_list_or_certificate_makes_no_path() {
    let mut authority = authority();
    let at = now().plus(-DAY);
    let leaf = crate::common::node(&mut authority, Algorithm::EcdsaP256Sha256);
    let lists = authority.crl(at).unwrap();
    let revoked = crate::common::node(&mut authority, Algorithm::EcdsaP256Sha256);
    let serial = CertInfo::parse(&revoked.chain[0]).unwrap().serial;
    let reason = signing::authority::RevocationReason::KeyCompromise;
    authority.revoke(&serial, at, reason).unwrap();
    let later = authority.crl(at).unwrap();
    let samples = [lists.clone(), later, leaf.chain.clone()].concat();
    let mut anchors = Anchors::none();
    anchors.add(authority.root_der()).unwrap();
    let paths = |leaf: &[u8], chain: &[Vec<u8>], crls: &[Vec<u8>]| {
        let material = Material { leaf, chain, crls, known_crls: &[] };
        check_path(&anchors, &material, Usage::Seal, now(), &Policy::default()).is_ok()
    };
    assert!(paths(&leaf.chain[0], &leaf.chain[1..], &lists));
    run(
        "paths",
        2,
        |rng| mutant(rng, &samples),
        |input| {
            let known = samples.iter().any(|s| s == input);
            let changed = input.to_vec();
            for crls in [[changed.clone(), lists[1].clone()], [lists[0].clone(), changed.clone()]] {
                assert!(known || !paths(&leaf.chain[0], &leaf.chain[1..], &crls));
            }
            assert!(known || !paths(input, &leaf.chain[1..], &lists));
            assert!(known || !paths(&leaf.chain[0], &[changed], &lists));
        },
    );
}

#[test]
fn certificates_are_read_or_refused() {
    let net = network();
    let samples = [net.authority.root_der().to_vec(), net.etat.certificate_der().to_vec()];
    run(
        "certificates",
        1,
        |rng| mutant(rng, &samples),
        |input| {
            let read = CertInfo::parse(input);
            assert_eq!(Anchors::none().add(input).is_ok(), read.is_ok());
            if let Ok(info) = read {
                assert_eq!(info.der, input);
                assert!(info.subject.len() < 20 * input.len());
            }
            let _ = wrap(b"keys", &[input]);
        },
    );
}

#[test]
fn bundles_of_certificates_in_pem() {
    let net = network();
    let pem = net.authority.root_pem().unwrap();
    let samples = [pem.clone().into_bytes(), [pem.clone(), pem].concat().into_bytes()];
    let words: [&[u8]; 5] =
        [b"-----BEGIN ", b"-----END CERTIFICATE-----\n", b"\n", b"=", b"-----BEGIN X-----\n"];
    let make = |rng: &mut Rng| crate::hostile::bytes(rng, &samples, &words);
    run("pem", 1, make, |input| {
        let blocks = pem_certificates(input).map_or(0, |found| found.len());
        assert!(blocks <= input.len() / 20);
        if let Ok(anchors) = Anchors::from_pem(input) {
            assert!(anchors.iter().count() <= blocks && !anchors.is_empty());
        }
    });
}

/// A parser that follows nesting by recursion falls here.
#[test]
fn nesting_without_end_is_refused() {
    let net = network();
    let anchors = &net.anchors;
    let seal = net.etat.seal(CONTENT, now(), None).unwrap().der;
    for depth in [41, 1_000, 200_000] {
        for (indefinite, tag) in
            [(true, 0x30), (false, 0x30), (true, 0x24), (true, 0xa0), (false, 0x31)]
        {
            let deep = nested(depth, indefinite, tag, b"\x04\x00");
            assert!(open(&deep).is_err());
            assert!(Token::parse(&deep).is_err());
            assert!(CertInfo::parse(&deep).is_err());
            assert!(verify_record(&deep, &sha256(b""), anchors, now()).is_err());
            assert!(attach_timestamp(&seal, &deep).is_ok() == (!indefinite && tag == 0x30));
            let answer = net.tsa.respond(&deep, now());
            assert!(answer.len() < 200, "no token");
        }
    }
}
