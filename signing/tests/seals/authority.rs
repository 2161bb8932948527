//! The authority: what it issues, what it refuses, and its directory.

use std::os::unix::fs::PermissionsExt as _;

use schemas::time::DAY;
use signing::authority::{Authority, Profile, RevocationReason, Subject};
use signing::certificate::CertInfo;
use signing::signer::{Algorithm, Signer as _};
use signing::software::SoftwareKey;

use crate::common::{Room, authority, node, now, openssl_missing};

#[test]
fn a_directory_holds_the_whole_state() {
    let mut before = authority();
    let node = node(&mut before, Algorithm::EcdsaP256Sha256);
    let serial = CertInfo::parse(&node.chain[0]).unwrap().serial;
    before.revoke(&serial, now(), RevocationReason::Superseded).unwrap();
    let room = Room::new();
    let dir = room.path("authority");
    before.to_dir(&dir).unwrap();
    before.to_dir(&dir).unwrap();
    let after = Authority::from_dir(&dir).unwrap();
    assert_eq!(after.root_der(), before.root_der());
    assert_eq!(after.issued(), before.issued());
    assert_eq!(after.issued()[0].revoked.unwrap().1, RevocationReason::Superseded);
    for key in ["root.key", "issuing.key"] {
        let mode = std::fs::metadata(dir.join(key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    std::fs::remove_file(dir.join("root.key")).unwrap();
    assert_eq!(Authority::from_dir(&dir).unwrap_err().code(), "authority-io");
}

#[test]
fn what_cannot_be_certified_is_refused() {
    let mut authority = authority();
    let key = SoftwareKey::generate(Algorithm::EcdsaP256Sha256).unwrap();
    let spki = key.public_key_der();
    let at = now();
    let mut issue = |subject: &Subject, profile: &Profile, spki: &[u8], days: i64| {
        authority.issue(profile, subject, spki, at, at.plus(days * DAY)).unwrap_err().code()
    };
    let good = Subject::named("ok");
    let mut bad_country = good.clone();
    bad_country.country = "fr".to_owned();
    let no_names = Profile::Tls { sans: vec![] };
    let bad_names = Profile::Tls { sans: vec!["not a name".to_owned()] };
    assert_eq!(issue(&Subject::named(""), &Profile::Seal, spki, 1), "subject-invalid");
    assert_eq!(issue(&Subject::named("x".repeat(65)), &Profile::Seal, spki, 1), "subject-invalid");
    assert_eq!(issue(&bad_country, &Profile::Seal, spki, 1), "subject-invalid");
    assert_eq!(issue(&good, &no_names, spki, 1), "subject-invalid");
    assert_eq!(issue(&good, &bad_names, spki, 1), "subject-invalid");
    assert_eq!(issue(&good, &Profile::Seal, b"not a key", 1), "key-refused");
    assert_eq!(issue(&good, &Profile::Seal, spki, 0), "lifetime-invalid");
    assert_eq!(issue(&good, &Profile::Seal, spki, 365 * 11), "lifetime-invalid");
    let unknown = authority.revoke("00", at, RevocationReason::Unspecified).unwrap_err();
    assert_eq!(unknown.code(), "serial-unknown");
}

#[test]
fn openssl_sees_the_purpose_of_each_profile() {
    if openssl_missing() {
        return;
    }
    let mut authority = authority();
    let at = now().plus(-DAY);
    let tls = Profile::Tls { sans: vec!["node.example".to_owned(), "127.0.0.1".to_owned()] };
    for (profile, purpose, parts) in [
        (Profile::Tsa, "timestampsign", &["Time Stamping", "critical"][..]),
        (tls, "sslserver", &["DNS:node.example, IP Address:127.0.0.1"]),
        (Profile::Encryption, "any", &["Key Agreement"]),
    ] {
        let subject = Subject::named("x");
        let algorithm = Algorithm::EcdsaP256Sha256;
        let enrolled =
            authority.enrol(&profile, &subject, algorithm, at, at.plus(30 * DAY)).unwrap();
        let room = Room::new();
        room.put("root.pem", authority.root_pem().unwrap());
        room.put("issuing.crt", authority.issuing_der());
        room.put("leaf.crt", &enrolled.chain[0]);
        room.openssl_ok("x509 -inform DER -in issuing.crt -out issuing.pem");
        room.openssl_ok("x509 -inform DER -in leaf.crt -out leaf.pem");
        let untrusted = if profile == Profile::Tsa { "" } else { "-untrusted issuing.pem" };
        room.openssl_ok(&format!(
            "verify -x509_strict -CAfile root.pem {untrusted} -purpose {purpose} leaf.pem"
        ));
        let text = room.openssl_ok("x509 -in leaf.pem -noout -text").stdout;
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
}
