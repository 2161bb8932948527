//! Every single bit of a seal is bound: by the signature, by the format, or by the path.

use std::sync::LazyLock;

use proptest::prelude::*;
use schemas::time::Timestamp;
use signing::authority::Authority;
use signing::seal::{Commitment, Sealed, attach_timestamp, open, signature_imprint};
use signing::signer::Algorithm;
use signing::trust::SealVerifier;

use crate::common::{anchors, network, now};

fn sealed(algorithm: Algorithm) -> (Authority, Sealed, Timestamp) {
    let (authority, sealer) = network(algorithm);
    let at = now();
    let sealed = sealer.seal(b"{\"a\":1}", at, Some(Commitment::ProofOfReceipt)).unwrap();
    (authority, sealed, at)
}

fn every_flip_is_refused(algorithm: Algorithm, step: usize) {
    let (authority, sealed, at) = sealed(algorithm);
    let verifier = SealVerifier::new(anchors(&authority));
    assert!(verifier.verify(&sealed.der, at).is_ok());
    let mut accepted = Vec::new();
    for bit in (0..8 * sealed.der.len()).step_by(step) {
        let mut changed = sealed.der.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        if verifier.verify(&changed, at).is_ok() {
            accepted.push(bit);
        }
    }
    assert_eq!(accepted, Vec::<usize>::new(), "of {} bits", 8 * sealed.der.len());
}

#[test]
fn no_flipped_bit_of_a_p256_seal_is_accepted() {
    every_flip_is_refused(Algorithm::EcdsaP256Sha256, 1);
}

#[test]
fn no_flipped_bit_of_a_p384_seal_is_accepted() {
    every_flip_is_refused(Algorithm::EcdsaP384Sha384, 7);
}

#[test]
fn no_flipped_bit_of_an_rsa_pss_seal_is_accepted() {
    every_flip_is_refused(Algorithm::RsaPss3072Sha256, 7);
}

#[test]
fn open_alone_refuses_every_flip_outside_other_certificates_and_lists() {
    let (_, sealed, _) = sealed(Algorithm::EcdsaP256Sha256);
    let opened = open(&sealed.der).unwrap();
    let mut elsewhere = vec![false; sealed.der.len()];
    for member in opened.chain.iter().chain(&opened.crls) {
        let start = sealed.der.windows(member.len()).position(|w| w == member).unwrap();
        elsewhere[start..start + member.len()].fill(true);
    }
    for bit in (0..8 * sealed.der.len()).filter(|bit| !elsewhere[bit / 8]) {
        let mut changed = sealed.der.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&changed).is_err(), "bit {bit}");
    }
}

#[test]
fn nothing_may_be_added_or_cut() {
    let (authority, sealed, at) = sealed(Algorithm::EcdsaP256Sha256);
    let verifier = SealVerifier::new(anchors(&authority));
    for length in 0..sealed.der.len() {
        assert!(verifier.verify(&sealed.der[..length], at).is_err(), "cut at {length}");
    }
    let mut longer = sealed.der.clone();
    longer.push(0);
    assert!(verifier.verify(&longer, at).is_err());
}

#[test]
fn strangers_in_the_sets_are_refused() {
    let (authority, sealer) = network(Algorithm::EcdsaP256Sha256);
    let (stranger, _) = network(Algorithm::EcdsaP256Sha256);
    let verifier = SealVerifier::new(anchors(&authority));
    let mut crls = authority.crl(now()).unwrap();
    crls.extend(stranger.crl(now()).unwrap());
    let sealed = sealer.with_crls(&crls).unwrap().seal(b"{}", now(), None).unwrap();
    assert_eq!(verifier.verify(&sealed.der, now()).unwrap_err().code(), "stray-crl");
}

#[test]
fn a_timestamp_is_carried_and_its_imprint_given() {
    let (_, sealed, _) = sealed(Algorithm::EcdsaP256Sha256);
    let token = [0x30, 3, 2, 1, 7];
    let stamped = attach_timestamp(&sealed.der, &token).unwrap();
    let opened = open(&stamped).unwrap();
    assert!(opened.canonical);
    let timestamp = opened.timestamp.unwrap();
    assert_eq!(timestamp.token, token);
    assert_eq!(timestamp.imprint, signature_imprint(&sealed.der).unwrap());
    assert_eq!(attach_timestamp(&stamped, &token).unwrap_err().code(), "seal-profile");
}

#[test]
fn the_cache_does_not_outlive_its_truth() {
    let (authority, sealed, at) = sealed(Algorithm::EcdsaP256Sha256);
    let verifier = SealVerifier::new(anchors(&authority));
    assert!(verifier.verify(&sealed.der, at).is_ok());
    let later = |days: i64| at.plus(days * schemas::time::DAY);
    assert_eq!(verifier.verify(&sealed.der, later(20)).unwrap_err().code(), "crl-stale");
    assert_eq!(verifier.verify(&sealed.der, later(800)).unwrap_err().code(), "expired");
    assert_eq!(verifier.verify(&sealed.der, later(-10)).unwrap_err().code(), "not-yet-valid");
    assert!(verifier.verify(&sealed.der, at).is_ok());
}

static SAMPLE: LazyLock<Vec<u8>> = LazyLock::new(|| sealed(Algorithm::EcdsaP256Sha256).1.der);

proptest! {
    #[test]
    fn mutated_seals_never_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
        whole in any::<bool>(),
    ) {
        let mut bytes = SAMPLE.clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if !whole {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = open(&bytes);
    }

    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(open(&bytes).is_err());
    }
}
