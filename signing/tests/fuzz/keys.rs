//! Requests for certificates, private keys, and what is encrypted.

use der::pem::{LineEnding, encode_string};
use schemas::time::DAY;
use signing::authority::{Profile, Subject};
use signing::encrypt::{
    CHUNK, DocumentKey, EncryptionKey, PREFIX, StorageKey, StreamOpener, TAG, ciphertext_len,
    open_all, seal_all, unwrap, wrap,
};
use signing::request;
use signing::signer::{Algorithm, Signer};
use signing::software::SoftwareKey;

use crate::common::{authority, now};
use crate::der::{mutant, nested};
use crate::hostile::{Rng, bytes, run};

const PEM: [&[u8]; 6] =
    [b"-----BEGIN ", b"-----END ", b"-----\n", b"\n\n", b"PUBLIC KEY", b"CERTIFICATE REQUEST"];

#[test]
fn requests_for_certificates() {
    let key = SoftwareKey::generate(Algorithm::EcdsaP256Sha256).unwrap();
    let pem = request::write(&key, &Subject::named("nœud")).unwrap();
    let (_, body) = ::der::pem::decode_vec(pem.as_bytes()).unwrap();
    let (bodies, texts) = ([body], [pem.into_bytes()]);
    let mut authority = authority();
    let make = |rng: &mut Rng| {
        if rng.once_in(4) {
            return bytes(rng, &texts, &PEM);
        }
        let label = *rng.pick(&["CERTIFICATE REQUEST", "CERTIFICATE REQUEST", "PUBLIC KEY"]);
        encode_string(label, LineEnding::LF, &mutant(rng, &bodies)).unwrap().into_bytes()
    };
    let authority = std::cell::RefCell::new(&mut authority);
    run("requests", 2, make, |input| {
        let Ok(spki) = request::public_key(input) else { return };
        let at = now();
        let issued = authority.borrow_mut().issue(
            &Profile::Seal,
            &Subject::named("x"),
            &spki,
            at,
            at.plus(DAY),
        );
        let bare = input.windows(10).any(|w| w == b"PUBLIC KEY");
        assert!(bare || spki == key.public_key_der(), "nobody held this key");
        assert!(spki == key.public_key_der() || issued.is_err() || spki.len() > 60);
    });
}

#[test]
fn private_keys() {
    let mut pkcs8 = Vec::new();
    for algorithm in [Algorithm::EcdsaP256Sha256, Algorithm::RsaPss3072Sha256] {
        let pem = SoftwareKey::generate(algorithm).unwrap().to_pkcs8_pem().unwrap();
        pkcs8.push(::der::pem::decode_vec(pem.as_bytes()).unwrap().1);
    }
    let make = |rng: &mut Rng| {
        let der = mutant(rng, &pkcs8);
        encode_string("PRIVATE KEY", LineEnding::LF, &der).unwrap().into_bytes()
    };
    run("private-keys", 20, make, |input| {
        if let Ok(key) = SoftwareKey::from_pkcs8_pem(input) {
            assert!(!key.public_key_der().is_empty() && key.sign(b"x").is_ok());
        }
    });
}

#[test]
fn envelopes_that_open_hold_what_was_wrapped() {
    let mut authority = authority();
    let at = now().plus(-DAY);
    let mut enrol = |algorithm| {
        let subject = Subject::named("r");
        let enrolled =
            authority.enrol(&Profile::Encryption, &subject, algorithm, at, at.plus(90 * DAY));
        let enrolled = enrolled.unwrap();
        let key = EncryptionKey::of(&enrolled.key, &enrolled.chain[0]).unwrap();
        (key, enrolled.chain[0].clone())
    };
    let (ec, ec_certificate) = enrol(Algorithm::EcdsaP256Sha256);
    let (rsa, rsa_certificate) = enrol(Algorithm::RsaPss3072Sha256);
    let payload = b"{\"keys\":[]}";
    let samples = [
        wrap(payload, &[&ec_certificate]).unwrap(),
        wrap(payload, &[&ec_certificate, &rsa_certificate]).unwrap(),
    ];
    run(
        "envelopes",
        8,
        |rng| mutant(rng, &samples),
        |input| {
            for key in [&ec, &rsa] {
                if let Ok(opened) = unwrap(input, key) {
                    assert_eq!(opened.as_slice(), payload);
                }
            }
        },
    );
    for indefinite in [true, false] {
        assert!(unwrap(&nested(100_000, indefinite, 0x30, b""), &ec).is_err());
    }
}

#[test]
fn streams_that_open_are_whole() {
    let key = DocumentKey::from_slice(&[7; 32]).unwrap();
    let plain: [Vec<u8>; 4] =
        [vec![], b"short".to_vec(), vec![1; CHUNK], (0..CHUNK + 99).map(|i| i as u8).collect()];
    let samples: Vec<_> = plain.iter().map(|p| seal_all(&key, p).unwrap()).collect();
    for (text, sealed) in plain.iter().zip(&samples) {
        assert_eq!(ciphertext_len(text.len() as u64), sealed.len() as u64);
    }
    run(
        "streams",
        4,
        |rng| bytes(rng, &samples, &[]),
        |input| {
            if let Ok(opened) = open_all(&key, input) {
                assert!(plain.contains(&opened) && samples.iter().any(|s| s == input));
            }
            // Chunks as a peer cuts them: any size, at any place, last or not.
            let mut opener = StreamOpener::at(&key, [0; PREFIX], u32::MAX - 1).unwrap();
            for (n, chunk) in input.chunks(CHUNK + TAG).enumerate() {
                assert!(opener.push(chunk, n % 2 == 1).is_err());
            }
        },
    );
}

#[test]
fn wrapped_keys_that_open_are_the_key() {
    let storage = StorageKey::from_slice(&[9; 32]).unwrap();
    let key = DocumentKey::from_slice(&[7; 32]).unwrap();
    let samples = [storage.wrap(&key, b"row 1").unwrap()];
    run(
        "wrapped-keys",
        1,
        |rng| bytes(rng, &samples, &[]),
        |input| {
            if let Ok(opened) = storage.unwrap(input, b"row 1") {
                assert_eq!((opened.expose(), input), (key.expose(), &samples[0][..]));
            }
            assert!(storage.unwrap(input, b"row 2").is_err());
        },
    );
}
