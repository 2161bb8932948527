//! OpenSSL decrypts what we wrap, and we unwrap what OpenSSL encrypts.

use proptest::prelude::*;
use schemas::time::DAY;
use signing::authority::{Enrolled, Profile, Subject};
use signing::encrypt::{EncryptError, EncryptionKey, unwrap, wrap};
use signing::signer::Algorithm;

use crate::common::{Room, authority, node, now, openssl_missing};

const ALGORITHMS: [Algorithm; 3] =
    [Algorithm::EcdsaP256Sha256, Algorithm::EcdsaP384Sha384, Algorithm::RsaPss3072Sha256];

fn recipient(algorithm: Algorithm) -> (Enrolled, EncryptionKey) {
    let mut authority = authority();
    let at = now().plus(-DAY);
    let enrolled = authority
        .enrol(&Profile::Encryption, &Subject::named("r"), algorithm, at, at.plus(90 * DAY))
        .unwrap();
    let key = EncryptionKey::of(&enrolled.key, &enrolled.chain[0]).unwrap();
    (enrolled, key)
}

fn room(enrolled: &Enrolled) -> Room {
    let room = Room::new();
    room.put("key.pem", enrolled.key.to_pkcs8_pem().unwrap().as_bytes());
    room.put("cert.crt", &enrolled.chain[0]);
    room.openssl_ok("x509 -inform DER -in cert.crt -out cert.pem");
    room
}

#[test]
fn openssl_decrypts_what_we_wrap() {
    if openssl_missing() {
        return;
    }
    for algorithm in ALGORITHMS {
        let (enrolled, key) = recipient(algorithm);
        let (other, other_key) = recipient(Algorithm::EcdsaP256Sha256);
        let envelope = wrap(b"{\"keys\":[]}", &[&enrolled.chain[0], &other.chain[0]]).unwrap();
        assert_eq!(unwrap(&envelope, &key).unwrap().as_slice(), b"{\"keys\":[]}");
        assert_eq!(unwrap(&envelope, &other_key).unwrap().as_slice(), b"{\"keys\":[]}");
        let room = room(&enrolled);
        room.put("envelope", envelope);
        room.openssl_ok("cms -decrypt -binary -inform DER -in envelope -recip cert.pem -inkey key.pem -out content");
        assert_eq!(room.get("content"), b"{\"keys\":[]}", "{algorithm:?}");
    }
}

#[test]
fn we_unwrap_what_openssl_encrypts() {
    if openssl_missing() {
        return;
    }
    let content: Vec<u8> = (0..20_000u32).map(|i| (i % 255) as u8).collect();
    for algorithm in ALGORITHMS {
        let (enrolled, key) = recipient(algorithm);
        let room = room(&enrolled);
        room.put("content", &content);
        let options = match algorithm {
            Algorithm::RsaPss3072Sha256 => {
                "-keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256"
            }
            _ => "-keyopt ecdh_kdf_md:sha256",
        };
        for form in ["", "-stream", "-keyid", "-stream -keyid"] {
            room.openssl_ok(&format!("cms -encrypt -binary -aes-256-gcm -in content -outform DER -out envelope {form} -recip cert.pem {options}"));
            let opened = unwrap(&room.get("envelope"), &key);
            assert_eq!(opened.unwrap().as_slice(), content, "{algorithm:?} {form}");
        }
    }
}

#[test]
fn weak_algorithms_are_refused() {
    if openssl_missing() {
        return;
    }
    for (algorithm, options) in [
        (Algorithm::RsaPss3072Sha256, "-aes-256-gcm -recip cert.pem"),
        (Algorithm::EcdsaP256Sha256, "-aes-256-gcm -recip cert.pem"),
        (Algorithm::EcdsaP256Sha256, "-aes-256-cbc -recip cert.pem -keyopt ecdh_kdf_md:sha256"),
        (Algorithm::EcdsaP256Sha256, "-aes-128-gcm -recip cert.pem -keyopt ecdh_kdf_md:sha256"),
    ] {
        let (enrolled, key) = recipient(algorithm);
        let room = room(&enrolled);
        room.put("content", b"x");
        room.openssl_ok(&format!(
            "cms -encrypt -binary -in content -outform DER -out envelope {options}"
        ));
        let refused = unwrap(&room.get("envelope"), &key).unwrap_err();
        assert_eq!(refused.code(), "algorithm-refused", "{options}");
    }
}

#[test]
fn only_the_recipient_opens_and_every_byte_counts() {
    let (enrolled, key) = recipient(Algorithm::EcdsaP256Sha256);
    let (_, stranger) = recipient(Algorithm::EcdsaP256Sha256);
    let (_, rsa) = recipient(Algorithm::RsaPss3072Sha256);
    let envelope = wrap(b"secret", &[&enrolled.chain[0]]).unwrap();
    assert_eq!(unwrap(&envelope, &stranger), Err(EncryptError::OtherRecipient));
    assert_eq!(unwrap(&envelope, &rsa), Err(EncryptError::OtherRecipient));
    let id_data = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
    let inner_type = envelope.windows(id_data.len()).position(|w| w == id_data).unwrap();
    for bit in 0..8 * envelope.len() {
        let mut changed = envelope.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        // The content type is not covered by the tag (RFC 5083 §2.2 without attributes); versions
        // of recipients say nothing. The plaintext is the same, or there is none.
        match unwrap(&changed, &key) {
            Ok(content) => assert_eq!(content.as_slice(), b"secret", "bit {bit} of {inner_type}"),
            Err(error) => assert_ne!(error, EncryptError::Engine, "bit {bit}"),
        }
    }
}

#[test]
fn certificates_of_another_purpose_are_not_encrypted_to() {
    let mut authority = authority();
    let seal = node(&mut authority, Algorithm::EcdsaP256Sha256);
    assert_eq!(wrap(b"x", &[&seal.chain[0]]).unwrap_err().code(), "recipient-certificate-refused");
    assert_eq!(wrap(b"x", &[]).unwrap_err().code(), "recipient-certificate-refused");
    assert_eq!(wrap(b"x", &[b"junk"]).unwrap_err().code(), "recipient-certificate-refused");
    let (enrolled, _) = recipient(Algorithm::EcdsaP256Sha256);
    let mixed = EncryptionKey::of(&seal.key, &enrolled.chain[0]);
    assert_eq!(mixed.unwrap_err().code(), "key-unusable");
}

proptest! {
    #[test]
    fn any_payload_comes_back(payload in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        thread_local! {
            static RECIPIENT: (Enrolled, EncryptionKey) = recipient(Algorithm::EcdsaP256Sha256);
        }
        RECIPIENT.with(|(enrolled, key)| {
            let envelope = wrap(&payload, &[&enrolled.chain[0]]).unwrap();
            assert_eq!(unwrap(&envelope, key).unwrap().as_slice(), payload.as_slice());
            for cut in (0..envelope.len()).step_by(37) {
                assert!(unwrap(&envelope[..cut], key).is_err());
            }
        });
    }
}
