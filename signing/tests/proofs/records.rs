//! Evidence records: what holds, what does not, and renewal.

use schemas::digest::Digest;
use schemas::time::{DAY, MINUTE, Timestamp};
use signing::algorithm::Hash;
use signing::digest::sha256;
use signing::evidence_record::{
    Object, RecordError, Tree, hash_tree_renewal_leaf, record, renew_hash_tree, renew_timestamp,
    root_from_path, timestamp_renewal_leaf, verify_record, verify_record_with,
};
use signing::path::PathError;
use signing::signer::Algorithm;
use signing::tsa::Tsa;
use signing::tsp::{Request, Token, Trust, TspError};

use crate::common::{self, now};
use crate::network::{Network, YEAR, network, records, stamp, tsa};

pub fn objects(n: usize) -> Vec<Vec<u8>> {
    (0..n).map(|i| format!("objet {i}").into_bytes()).collect()
}

fn check(
    net: &Network,
    der: &[u8],
    object: &[u8],
    at: Timestamp,
) -> Result<Timestamp, RecordError> {
    let trust = Trust::new(&net.anchors, at);
    verify_record_with(der, Object::Bytes(object), at, |t, until| t.check(&trust, until))
        .map(|v| v.time)
}

#[test]
fn each_object_has_its_record_and_no_other_object_has() {
    let net = network();
    let at = now();
    for n in [1, 2, 3, 7, 8, 100] {
        let objects = objects(n);
        let records = records(&net.tsa, &objects, at);
        for (object, der) in objects.iter().zip(&records) {
            let verdict = verify_record(der, &sha256(object), &net.anchors, at).unwrap();
            assert_eq!((verdict.time, verdict.stamps.len()), (at, 1));
            let other = verify_record(der, &sha256(b"another"), &net.anchors, at);
            assert!(matches!(other, Err(RecordError::ObjectNotNamed { position: 0 })));
        }
    }
}

#[test]
fn no_bit_of_a_record_can_change() {
    let net = network();
    let at = now();
    let objects = objects(5);
    let der = records(&net.tsa, &objects, at).remove(3);
    for bit in 0..der.len() * 8 {
        let mut bad = der.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(check(&net, &bad, &objects[3], at).is_err(), "bit {bit} changed unseen");
    }
    for end in (0..der.len()).step_by(7) {
        assert!(check(&net, &der[..end], &objects[3], at).is_err());
    }
    let longer = [der.as_slice(), &[0]].concat();
    assert!(matches!(check(&net, &longer, &objects[3], at), Err(RecordError::Malformed(_))));
}

#[test]
fn a_token_over_another_root_or_hash_does_not_serve() {
    let net = network();
    let at = now();
    let leaf = sha256(b"objet");
    let token = stamp(&net.tsa, &sha256(b"another root"), at);
    let der = record(&[], &leaf, token.der()).unwrap();
    assert!(matches!(check(&net, &der, b"objet", at), Err(RecordError::RootMismatch { .. })));
    let request =
        Request::over(Hash::Sha512, Hash::Sha512.digest(b"objet").as_ref(), [1; 8]).unwrap();
    let answer = net.tsa.respond(&request.to_der().unwrap(), at);
    let token = request.answer(&answer, at, 0).unwrap();
    let der = record(&[], &leaf, token.der()).unwrap();
    assert!(matches!(check(&net, &der, b"objet", at), Err(RecordError::MixedHashes { .. })));
    assert!(matches!(record(&[], &leaf, b"no token"), Err(RecordError::Malformed(_))));
}

/// A network whose authority of time ends after four hundred days, and the one that follows it.
fn two_authorities() -> (Network, Tsa, Tsa) {
    let mut net = network();
    let first = tsa(&mut net.authority, Algorithm::EcdsaP256Sha256, 400 * DAY);
    let second = tsa(&mut net.authority, Algorithm::EcdsaP384Sha384, 15 * YEAR);
    (net, first, second)
}

fn with_list(net: &Network, tsa: &Tsa, at: Timestamp) -> Tsa {
    tsa.with_crls(&[net.authority.root_crl(at).unwrap()]).unwrap()
}

#[test]
fn time_stamp_renewal_outlives_the_first_authority() {
    let (net, first, second) = two_authorities();
    let at = now();
    let objects = objects(3);
    let records = records(&first, &objects, at);
    let (renewal, later) = (at.plus(300 * DAY), at.plus(10 * YEAR));
    let ended = check(&net, &records[0], &objects[0], later);
    assert!(
        matches!(ended, Err(RecordError::Token { source: TspError::Ended(_), .. })),
        "{ended:?}"
    );

    // All three share one new token
    let leaves: Vec<Digest> = records.iter().map(|r| timestamp_renewal_leaf(r).unwrap()).collect();
    let tree = Tree::build(leaves.clone()).unwrap();
    let token = stamp(&with_list(&net, &second, renewal), &tree.root(), renewal);
    for (n, (der, object)) in records.iter().zip(&objects).enumerate() {
        let path = tree.path(n).unwrap();
        assert_eq!(root_from_path(&leaves[n], &path), tree.root());
        let renewed = renew_timestamp(der, &path, token.der()).unwrap();
        assert_eq!(check(&net, &renewed, object, later).unwrap(), at, "the first time counts");
        let late = stamp(&with_list(&net, &second, renewal), &leaves[n], at.plus(-DAY / 2));
        let older = renew_timestamp(der, &[], late.der()).unwrap();
        let refused = check(&net, &older, object, later);
        assert!(matches!(refused, Err(RecordError::RenewalTooOld { position: 1 })), "{refused:?}");
    }
}

#[test]
fn a_renewal_after_the_authority_ended_is_too_late() {
    let (net, first, second) = two_authorities();
    let at = now();
    let objects = objects(1);
    let der = records(&first, &objects, at).remove(0);
    let late = at.plus(500 * DAY);
    let token =
        stamp(&with_list(&net, &second, late), &timestamp_renewal_leaf(&der).unwrap(), late);
    let renewed = renew_timestamp(&der, &[], token.der()).unwrap();
    let refused = check(&net, &renewed, &objects[0], late);
    let expected = |e: &RecordError| {
        matches!(e, RecordError::Token { position: 0, source: TspError::Ended(_) })
    };
    assert!(refused.as_ref().is_err_and(expected), "{refused:?}");
}

/// A token over a hash of another function.
fn stamp_hash(tsa: &Tsa, hash: Hash, imprint: &[u8], at: Timestamp) -> Token {
    let request = Request::over(hash, imprint, [7; 8]).unwrap();
    request.answer(&tsa.respond(&request.to_der().unwrap(), at), at, 0).unwrap()
}

/// A record that was renewed both ways: a time-stamp after 100 days, SHA-512 after 200.
pub fn twice_renewed(net: &Network, object: &[u8], at: Timestamp) -> Vec<u8> {
    let first = records(&net.tsa, &[object.to_vec(), b"another".to_vec()], at).remove(0);
    let (second, third) = (at.plus(100 * DAY), at.plus(200 * DAY));
    let leaf = timestamp_renewal_leaf(&first).unwrap();
    let token = stamp(&with_list(net, &net.tsa, second), &leaf, second);
    let renewed = renew_timestamp(&first, &[], token.der()).unwrap();
    let leaf = hash_tree_renewal_leaf(&renewed, object, Hash::Sha512).unwrap();
    let token = stamp_hash(&with_list(net, &net.tsa, third), Hash::Sha512, &leaf, third);
    renew_hash_tree(&renewed, object, Hash::Sha512, token.der()).unwrap()
}

#[test]
fn hash_tree_renewal_covers_object_and_history() {
    let net = network();
    let at = now();
    let der = twice_renewed(&net, b"objet", at);
    let later = at.plus(10 * YEAR);
    assert_eq!(check(&net, &der, b"objet", later).unwrap(), at);
    let trust = Trust::new(&net.anchors, later);
    let verdict =
        verify_record_with(&der, Object::Bytes(b"objet"), later, |t, u| t.check(&trust, u))
            .unwrap();
    let hashes: Vec<_> = verdict.stamps.iter().map(|s| s.hash).collect();
    assert_eq!(hashes, [Hash::Sha256, Hash::Sha256, Hash::Sha512]);
    let digest = verify_record(&der, &sha256(b"objet"), &net.anchors, later);
    assert!(matches!(digest, Err(RecordError::ObjectNeeded)));
    assert!(matches!(timestamp_renewal_leaf(&der), Err(RecordError::MixedHashes { .. })));
    for at_byte in (0..der.len()).step_by(5) {
        let mut bad = der.clone();
        bad[at_byte] ^= 4;
        assert!(check(&net, &bad, b"objet", later).is_err(), "byte {at_byte} changed unseen");
    }
}

#[test]
fn an_unknown_authority_or_a_missing_list_is_named() {
    let net = network();
    let at = now();
    let objects = objects(2);
    let der = records(&net.tsa, &objects, at).remove(1);
    let stranger = common::anchors(&common::authority());
    let unknown = verify_record(&der, &sha256(&objects[1]), &stranger, at).unwrap_err();
    assert_eq!(unknown.code(), "unknown-authority");
    let bare = net.tsa.with_crls(&[]).unwrap();
    let der = records(&bare, &objects, at).remove(1);
    let missing = check(&net, &der, &objects[1], at).unwrap_err();
    let RecordError::Token { source: TspError::Path(why), .. } = &missing else {
        panic!("{missing:?}")
    };
    assert!(matches!(why, PathError::CrlMissing { .. }));
}

#[test]
fn ten_thousand_records_of_one_batch_are_checked_with_one_judgement() {
    let net = network();
    let at = now();
    let objects = objects(10_000);
    let records = records(&net.tsa, &objects, at);
    let mut judged = std::collections::HashSet::new();
    for (object, der) in objects.iter().zip(&records).step_by(97) {
        let verdict =
            verify_record_with(der, Object::Bytes(object), at.plus(MINUTE), |token, _| {
                judged.insert(token.der().to_vec());
                Ok(())
            });
        assert_eq!(verdict.unwrap().time, at);
    }
    assert_eq!(judged.len(), 1);
}
