//! OpenSSL accepts what we seal.

use schemas::time::DAY;
use signing::authority::RevocationReason;
use signing::certificate::CertInfo;
use signing::seal::{Commitment, open, open_detached};
use signing::signer::Algorithm;
use signing::trust::SealVerifier;

use crate::common::{Room, anchors, authority, errors, network, node, now, openssl_missing};

const ALGORITHMS: [Algorithm; 3] =
    [Algorithm::EcdsaP256Sha256, Algorithm::EcdsaP384Sha384, Algorithm::RsaPss3072Sha256];

#[test]
fn openssl_verifies_every_algorithm_with_stapled_lists() {
    if openssl_missing() {
        return;
    }
    for algorithm in ALGORITHMS {
        let (authority, sealer) = network(algorithm);
        let content = "{\"événement\":\"SubmissionAcceptance\"}".as_bytes();
        let sealed = sealer.seal(content, now(), Some(Commitment::ProofOfOrigin)).unwrap();
        let room = Room::new();
        room.put("seal.p7m", &sealed.der);
        room.put("root.pem", authority.root_pem().unwrap());
        let verify =
            "cms -verify -binary -cades -inform DER -in seal.p7m -CAfile root.pem -purpose any";
        let output = room.openssl_ok(&format!("{verify} -crl_check_all -out content"));
        assert!(errors(&output).contains("CAdES Verification successful"), "{algorithm:?}");
        assert_eq!(room.get("content"), content);

        let verifier = SealVerifier::new(anchors(&authority));
        let opened = verifier.verify(&sealed.der, now()).unwrap();
        assert_eq!(opened.content, content);
        assert_eq!(opened.commitment, Some(Commitment::ProofOfOrigin));
        assert_eq!(opened.signing_time.secs(), now().secs().min(opened.signing_time.secs()));
        assert_eq!(opened.signer.organization_identifier.as_deref(), Some("NTRFR-223400011"));
        assert_eq!(opened.signer.common_name.as_deref(), Some("nœud cd-34"));
        assert!(opened.canonical);
        assert_eq!((opened.chain.len(), opened.crls.len()), (1, 2));
    }
}

#[test]
fn openssl_prints_the_profile_of_cades() {
    if openssl_missing() {
        return;
    }
    let (_, sealer) = network(Algorithm::EcdsaP256Sha256);
    let sealed = sealer.seal(b"{}", now(), Some(Commitment::ProofOfDelivery)).unwrap();
    let room = Room::new();
    room.put("seal.p7m", sealed.der);
    let printed = room.openssl_ok("cms -cmsout -print -noout -inform DER -in seal.p7m").stdout;
    let printed = String::from_utf8_lossy(&printed).into_owned();
    for part in [
        "eContentType: pkcs7-data",
        "object: contentType",
        "object: signingTime",
        "UTCTIME",
        "object: messageDigest",
        "object: id-smime-aa-signingCertificateV2",
        "object: id-smime-aa-ets-commitmentType",
        "d.issuerAndSerialNumber",
        "algorithm: ecdsa-with-SHA256",
        "X509v3 Authority Key Identifier (2.5.29.35)",
        "d.crl:",
    ] {
        assert!(printed.contains(part), "{part} is not in\n{printed}");
    }
}

#[test]
fn detached_seals_hold_their_content_and_no_other() {
    let (authority, sealer) = network(Algorithm::EcdsaP256Sha256);
    let sealed = sealer.seal_detached(b"manifest", now()).unwrap();
    assert_eq!(open_detached(&sealed.der, b"manifest").unwrap().content, b"manifest");
    assert_eq!(open_detached(&sealed.der, b"Manifest").unwrap_err().code(), "content-changed");
    assert_eq!(open(&sealed.der).unwrap_err().code(), "content-missing");
    if openssl_missing() {
        return;
    }
    let room = Room::new();
    room.put("seal.p7s", &sealed.der);
    room.put("manifest", b"manifest");
    room.put("root.pem", authority.root_pem().unwrap());
    room.openssl_ok("cms -verify -binary -cades -inform DER -in seal.p7s -content manifest -CAfile root.pem -purpose any -out out");
}

#[test]
fn openssl_finds_revoked_signers_by_the_stapled_list() {
    let mut authority = authority();
    let node = node(&mut authority, Algorithm::EcdsaP256Sha256);
    let serial = CertInfo::parse(&node.chain[0]).unwrap().serial;
    let at = now().plus(-DAY / 2);
    authority.revoke(&serial, at, RevocationReason::KeyCompromise).unwrap();
    let crls = authority.crl(at).unwrap();
    let sealer = signing::seal::Sealer::new(node.key as _, node.chain, crls).unwrap();
    let sealed = sealer.seal(b"{}", now(), None).unwrap();
    let ours = SealVerifier::new(anchors(&authority)).verify(&sealed.der, now()).unwrap_err();
    assert_eq!(ours.code(), "revoked");
    if openssl_missing() {
        return;
    }
    let room = Room::new();
    room.put("seal.p7m", &sealed.der);
    room.put("root.pem", authority.root_pem().unwrap());
    let output = room.openssl("cms -verify -binary -inform DER -in seal.p7m -CAfile root.pem -purpose any -crl_check_all -out out");
    assert!(!output.status.success());
    assert!(errors(&output).contains("certificate revoked"), "{}", errors(&output));
}

#[test]
fn openssl_reads_certificates_and_lists_without_complaint() {
    if openssl_missing() {
        return;
    }
    let (authority, sealer) = network(Algorithm::EcdsaP256Sha256);
    let room = Room::new();
    room.put("root.pem", authority.root_pem().unwrap());
    room.put("issuing.crt", authority.issuing_der());
    room.put("leaf.crt", sealer.certificate_der());
    room.openssl_ok("x509 -inform DER -in issuing.crt -out issuing.pem");
    room.openssl_ok("x509 -inform DER -in leaf.crt -out leaf.pem");
    room.openssl_ok(
        "verify -x509_strict -CAfile root.pem -untrusted issuing.pem -purpose any leaf.pem",
    );
    let text = room.openssl_ok("x509 -in leaf.pem -noout -text").stdout;
    let text = String::from_utf8_lossy(&text).into_owned();
    for part in [
        "Digital Signature, Non Repudiation",
        "CA Issuers - URI:http://pki.invalid/issuing.crt",
        "URI:http://pki.invalid/issuing.crl",
        "organizationIdentifier",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let lists = authority.crl(now()).unwrap();
    room.put("list.crl", &lists[0]);
    let text = room.openssl_ok("crl -inform DER -in list.crl -noout -text -CAfile issuing.pem");
    let printed = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(errors(&text).contains("verify OK"), "{}", errors(&text));
    assert!(printed.contains("2.5.29.60") || printed.contains("expiredCertsOnCRL"), "{printed}");
}
