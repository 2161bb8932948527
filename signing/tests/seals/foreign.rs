//! We open what OpenSSL signs, DER and streamed BER, and refuse what it signs against the rules.

use schemas::time::DAY;
use signing::authority::{Profile, Subject};
use signing::seal::open;
use signing::signer::{Algorithm, Signer as _};
use signing::software::SoftwareKey;

use crate::common::{Room, authority, now, openssl_missing};

/// A room with `key.pem`, `leaf.pem` and a `content` of several BER chunks.
fn room(algorithm: Algorithm) -> Room {
    let mut authority = authority();
    let key = SoftwareKey::generate(algorithm).unwrap();
    let at = now().plus(-DAY);
    let subject = Subject::named("foreign");
    let certificate = authority
        .issue(&Profile::Seal, &subject, key.public_key_der(), at, at.plus(30 * DAY))
        .unwrap();
    let room = Room::new();
    room.put("key.pem", key.to_pkcs8_pem().unwrap().as_bytes());
    room.put("leaf.crt", certificate);
    room.openssl_ok("x509 -inform DER -in leaf.crt -out leaf.pem");
    room.put("content", content());
    room
}

fn content() -> Vec<u8> {
    (0..30_000u32).map(|i| (i % 251) as u8).collect()
}

const SIGN: &str = "cms -sign -binary -nodetach -cades -signer leaf.pem -inkey key.pem -in content -outform DER -out signed";

#[test]
fn der_and_streamed_ber_are_opened() {
    if openssl_missing() {
        return;
    }
    for (algorithm, options) in [
        (Algorithm::EcdsaP256Sha256, "-md sha256"),
        (Algorithm::EcdsaP384Sha384, "-md sha384"),
        (Algorithm::EcdsaP256Sha256, "-md sha512"),
        (Algorithm::RsaPss3072Sha256, "-md sha256"),
        (
            Algorithm::RsaPss3072Sha256,
            "-md sha256 -keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:digest",
        ),
        (Algorithm::EcdsaP256Sha256, "-md sha256 -keyid"),
    ] {
        let room = room(algorithm);
        for stream in ["", "-stream"] {
            if options.contains("pss") && !stream.is_empty() {
                // OpenSSL 3.0 cannot write this itself: "illegal zero content".
                continue;
            }
            room.openssl_ok(&format!("{SIGN} {options} {stream}"));
            let signed = room.get("signed");
            let opened = open(&signed).unwrap_or_else(|e| panic!("{algorithm:?} {options}: {e}"));
            assert_eq!(opened.content, content());
            assert_eq!(opened.signer.common_name.as_deref(), Some("foreign"));
            let indefinite = signed.get(1) == Some(&0x80);
            assert_eq!(indefinite, !stream.is_empty());
            assert!(!indefinite || !opened.canonical);
        }
    }
}

#[test]
fn streamed_ber_does_not_survive_changes_of_what_it_means() {
    if openssl_missing() {
        return;
    }
    let room = room(Algorithm::EcdsaP256Sha256);
    room.openssl_ok(&format!("{SIGN} -stream"));
    let signed = room.get("signed");
    let truth = open(&signed).unwrap();
    for position in 0..signed.len() {
        let mut changed = signed.clone();
        changed[position] ^= 1 << (position % 8);
        if let Ok(opened) = open(&changed) {
            // BER has several forms of the same: such a change shows in `canonical` alone.
            assert_eq!(opened.content, truth.content, "at {position}");
            assert_eq!(opened.signer, truth.signer, "at {position}");
            assert!(!opened.canonical);
        }
    }
}

#[test]
fn signatures_against_the_profile_are_refused() {
    if openssl_missing() {
        return;
    }
    let room = room(Algorithm::EcdsaP256Sha256);
    for (command, code) in [
        (SIGN.replace("-cades ", ""), "seal-profile"),
        (format!("{SIGN} -noattr").replace("-cades ", ""), "seal-profile"),
        (format!("{SIGN} -nocerts"), "signer-missing"),
        (format!("{SIGN} -md sha1"), "algorithm-refused"),
        (SIGN.replace("-nodetach ", ""), "content-missing"),
        (format!("{SIGN} -econtent_type 1.2.840.113549.1.9.16.1.4"), "seal-profile"),
    ] {
        room.openssl_ok(&command);
        assert_eq!(open(&room.get("signed")).unwrap_err().code(), code, "{command}");
    }
}

#[test]
fn pss_with_a_salt_of_another_length_is_refused() {
    if openssl_missing() {
        return;
    }
    let room = room(Algorithm::RsaPss3072Sha256);
    room.openssl_ok(&format!(
        "{SIGN} -md sha256 -keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:20"
    ));
    assert_eq!(open(&room.get("signed")).unwrap_err().code(), "algorithm-refused");
}
