//! Tokens both ways: OpenSSL judges ours, we read OpenSSL's.

use schemas::time::{DAY, MINUTE, Timestamp};
use signing::algorithm::Hash;
use signing::authority::{Profile, RevocationReason, Subject};
use signing::certificate::CertInfo;
use signing::digest::sha256;
use signing::path::{PathError, Revocation};
use signing::signer::{Algorithm, Signer};
use signing::software::SoftwareKey;
use signing::trust::Anchors;
use signing::tsa::Tsa;
use signing::tsp::wire::Failure;
use signing::tsp::{Request, Token, Trust, TspError};

use crate::common::{self, Room, openssl_missing};
use crate::network::{POLICY, YEAR, network, network_with, stamp, tsa};

const NONCE: [u8; 8] = [0xff, 2, 3, 4, 5, 6, 7, 8];

#[test]
fn openssl_verifies_our_answers_and_tokens() {
    if openssl_missing() {
        return;
    }
    for algorithm in [Algorithm::EcdsaP256Sha256, Algorithm::EcdsaP384Sha384] {
        let net = network_with(algorithm);
        let room = Room::new();
        room.put("ca.pem", net.authority.root_pem().unwrap());
        room.put("data", "l'objet");
        for hash in ["sha256", "sha384", "sha512"] {
            room.openssl_ok(&format!("ts -query -data data -{hash} -cert -out q.tsq"));
            room.put("r.tsr", net.tsa.respond(&room.get("q.tsq"), common::now()));
            room.openssl_ok("ts -verify -queryfile q.tsq -in r.tsr -CAfile ca.pem");
            room.openssl_ok("ts -verify -data data -in r.tsr -CAfile ca.pem");
            room.openssl_ok("ts -reply -in r.tsr -token_out -out t.tst");
            room.openssl_ok("ts -verify -data data -in t.tst -token_in -CAfile ca.pem");
            room.put("other", "un autre");
            assert!(
                !room.openssl("ts -verify -data other -in r.tsr -CAfile ca.pem").status.success()
            );
        }
        room.openssl_ok("ts -query -data data -sha256 -out q.tsq");
        room.put("r.tsr", net.tsa.respond(&room.get("q.tsq"), common::now()));
        let bare = room.openssl("ts -verify -queryfile q.tsq -in r.tsr -CAfile ca.pem");
        assert!(!bare.status.success(), "without certReq the certificate is not in the token");
    }
}

#[test]
fn openssl_reads_why_we_refuse() {
    if openssl_missing() {
        return;
    }
    let net = network();
    let room = Room::new();
    room.put("data", "l'objet");
    let refusal = |query: &[u8], at: Timestamp| {
        room.put("r.tsr", net.tsa.respond(query, at));
        String::from_utf8(room.openssl_ok("ts -reply -in r.tsr -text").stdout).unwrap()
    };
    room.openssl_ok("ts -query -data data -sha1 -out q.tsq");
    assert!(
        refusal(&room.get("q.tsq"), common::now())
            .contains("unrecognized or unsupported algorithm")
    );
    room.openssl_ok("ts -query -data data -sha256 -tspolicy 1.2.3 -out q.tsq");
    assert!(
        refusal(&room.get("q.tsq"), common::now())
            .contains("the requested TSA policy is not supported")
    );
    assert!(refusal(b"hello", common::now()).contains("the data submitted has the wrong format"));
    room.openssl_ok("ts -query -data data -sha256 -out q.tsq");
    let late = refusal(&room.get("q.tsq"), common::now().plus(16 * YEAR));
    assert!(late.contains("the TSA's time source is not available"), "{late}");
}

/// An OpenSSL authority, as in the room `ts` of its manual.
pub fn openssl_authority(room: &Room, precision: u8) {
    room.put(
        "tsa.cnf",
        format!(
            "[req]\ndistinguished_name=dn\n[dn]\n[ext]\nbasicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\n\
             extendedKeyUsage=critical,timeStamping\nsubjectKeyIdentifier=hash\n\
             [tsa]\ndefault_tsa=t\n[t]\nserial=./serial\nsigner_cert=./tsa.pem\ncerts=./ca.pem\nsigner_key=./tsa.key\n\
             signer_digest=sha256\ndefault_policy=1.2.3.4\ndigests=sha256,sha384,sha512\naccuracy=secs:1\nordering=no\n\
             tsa_name=yes\ness_cert_id_chain=no\ness_cert_id_alg=sha256\nclock_precision_digits={precision}\n"
        ),
    );
    room.put("serial", "01\n");
    room.openssl_ok(
        "req -x509 -newkey rsa:2048 -nodes -subj /CN=CA -days 3650 -keyout ca.key -out ca.pem",
    );
    room.openssl_ok("req -newkey rsa:3072 -nodes -subj /CN=TSA -keyout tsa.key -out tsa.csr");
    room.openssl_ok(
        "x509 -req -in tsa.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -extfile tsa.cnf -extensions ext -out tsa.pem",
    );
}

#[test]
fn we_accept_what_openssl_answers_to_us() {
    if openssl_missing() {
        return;
    }
    for precision in [0, 3] {
        let room = Room::new();
        openssl_authority(&room, precision);
        let anchors = Anchors::from_pem(&room.get("ca.pem")).unwrap();
        let imprint = sha256(b"l'objet");
        let request = Request::new(&imprint, NONCE).unwrap();
        room.put("q.tsq", request.to_der().unwrap());
        let text = room.openssl_ok("ts -query -in q.tsq -text");
        assert!(String::from_utf8_lossy(&text.stdout).contains("Nonce: 0xFF02030405060708"));
        room.openssl_ok("ts -reply -config tsa.cnf -queryfile q.tsq -out r.tsr");
        let now = common::now().plus(1000);
        let token = request.answer(&room.get("r.tsr"), now, MINUTE).unwrap();
        assert!(token.covers(Hash::Sha256, imprint.as_bytes()));
        // An OpenSSL authority puts no revocation list into its tokens
        let strict = token.verify(&imprint, &anchors, now);
        assert!(matches!(strict, Err(TspError::Path(PathError::CrlMissing { .. }))), "{strict:?}");
        let trust = Trust { revocation: Revocation::IfPresent, ..Trust::new(&anchors, now) };
        token.check(&trust, now).unwrap();
        room.put("index.txt", "");
        room.put(
            "crl.cnf",
            "[ca]\ndefault_ca=c\n[c]\ndatabase=index.txt\ndefault_md=sha256\ndefault_crl_days=30\n",
        );
        room.openssl_ok("ca -gencrl -config crl.cnf -keyfile ca.key -cert ca.pem -out crl.pem");
        room.openssl_ok("crl -in crl.pem -outform DER -out crl.der");
        let crls = [room.get("crl.der")];
        let answer = token.check(&Trust { known_crls: &crls, ..Trust::new(&anchors, now) }, now);
        // `openssl ca -gencrl` writes version 1 lists unless told otherwise: refused, so still missing
        assert!(answer.is_err());
        room.put("crl.cnf", "[ca]\ndefault_ca=c\n[c]\ndatabase=index.txt\ndefault_md=sha256\ndefault_crl_days=30\ncrl_extensions=e\n[e]\nauthorityKeyIdentifier=keyid\n");
        room.openssl_ok("ca -gencrl -config crl.cnf -keyfile ca.key -cert ca.pem -out crl.pem");
        room.openssl_ok("crl -in crl.pem -outform DER -out crl.der");
        let crls = [room.get("crl.der")];
        token.check(&Trust { known_crls: &crls, ..Trust::new(&anchors, now) }, now).unwrap();
    }
}

#[test]
fn an_answer_to_another_request_is_refused() {
    let net = network();
    let now = common::now();
    let request = Request::new(&sha256(b"x"), NONCE).unwrap();
    let answer = net.tsa.respond(&request.to_der().unwrap(), now);
    assert!(request.answer(&answer, now, 0).is_ok());
    let other_nonce = Request::new(&sha256(b"x"), [1; 8]).unwrap();
    assert!(matches!(other_nonce.answer(&answer, now, 0), Err(TspError::NotAsked(_))));
    let other_imprint = Request::new(&sha256(b"y"), NONCE).unwrap();
    assert_eq!(other_imprint.answer(&answer, now, 0), Err(TspError::OtherImprint));
    let other_time = request.answer(&answer, now.plus(2 * MINUTE), MINUTE);
    assert!(matches!(other_time, Err(TspError::Clock { .. })));
    let policy = request.clone().under("1.2.3".parse().unwrap());
    let refused = net.tsa.respond(&policy.to_der().unwrap(), now);
    let Err(TspError::Refused { status: 2, reason, .. }) = policy.answer(&refused, now, 0) else {
        panic!("not refused");
    };
    assert_eq!(reason, Some(Failure::UnacceptedPolicy));
    assert!(matches!(policy.answer(&answer, now, 0), Err(TspError::NotAsked(_))));
    assert!(request.under(POLICY).answer(&answer, now, 0).is_ok());
}

#[test]
fn serial_numbers_differ_and_stay_positive() {
    let net = network();
    let at = common::now();
    let serials: std::collections::HashSet<_> =
        (0..64).map(|_| stamp(&net.tsa, &sha256(b"x"), at).serial().to_vec()).collect();
    assert_eq!(serials.len(), 64);
    assert!(serials.iter().all(|s| s[0] < 0x80 && s.len() <= 20));
}

#[test]
fn a_token_holds_while_its_authority_lasts() {
    let net = network();
    let imprint = sha256(b"x");
    let at = common::now();
    let token = stamp(&net.tsa, &imprint, at);
    token.verify(&imprint, &net.anchors, at).unwrap();
    token.verify(&imprint, &net.anchors, at.plus(10 * YEAR)).unwrap();
    let ended = token.verify(&imprint, &net.anchors, at.plus(16 * YEAR));
    assert!(matches!(ended, Err(TspError::Ended(_))), "{ended:?}");
    let early = token.verify(&imprint, &net.anchors, at.plus(-DAY));
    assert!(matches!(early, Err(TspError::Future(_))), "{early:?}");
    assert_eq!(token.verify(&sha256(b"y"), &net.anchors, at), Err(TspError::OtherImprint));
    let stranger = common::anchors(&common::authority());
    let unknown = token.verify(&imprint, &stranger, at);
    assert_eq!(unknown, Err(TspError::Path(PathError::UnknownAuthority)));
}

#[test]
fn a_token_with_a_stale_list_or_of_a_revoked_authority_is_refused() {
    let mut net = network();
    let imprint = sha256(b"x");
    let at = common::now();
    // The list in the tokens is of yesterday and speaks for two weeks
    let late = at.plus(30 * DAY);
    let token = stamp(&net.tsa, &imprint, late);
    let stale = token.verify(&imprint, &net.anchors, late);
    assert!(matches!(stale, Err(TspError::Path(PathError::CrlStale { .. }))), "{stale:?}");
    let serial = net.authority.issued().last().unwrap().serial.clone();
    net.authority.revoke(&serial, at.plus(-1000), RevocationReason::CessationOfOperation).unwrap();
    let fresh = net.tsa.with_crls(&[net.authority.root_crl(at).unwrap()]).unwrap();
    let revoked = stamp(&fresh, &imprint, at).verify(&imprint, &net.anchors, at);
    assert!(matches!(revoked, Err(TspError::Path(PathError::Revoked { .. }))), "{revoked:?}");
}

#[test]
fn only_a_certificate_for_time_stamping_alone_will_do() {
    let mut net = network();
    let at = common::now();
    let seal = common::node(&mut net.authority, Algorithm::EcdsaP256Sha256);
    let wrong = Tsa::new(seal.key, &seal.chain, &net.authority.crl(at).unwrap(), POLICY).unwrap();
    let request = Request::new(&sha256(b"x"), NONCE).unwrap();
    let answer = wrong.respond(&request.to_der().unwrap(), at);
    assert_eq!(request.answer(&answer, at, 0), Err(TspError::WrongUsage));
    if openssl_missing() {
        return;
    }
    // The EU's validator accepts a usage that is not critical, or not alone; RFC 3161 §2.3 does not
    for usage in ["timeStamping", "critical,timeStamping,emailProtection"] {
        let room = Room::new();
        let key = SoftwareKey::generate(Algorithm::EcdsaP256Sha256).unwrap();
        room.put("key.pem", key.to_pkcs8_pem().unwrap().as_bytes());
        let extension = format!("extendedKeyUsage={usage}");
        room.openssl_ok(&format!("req -x509 -key key.pem -subj /CN=TSA -days 30 -addext {extension} -outform DER -out c.der"));
        let tsa = Tsa::new(std::sync::Arc::new(key), &[room.get("c.der")], &[], POLICY).unwrap();
        let answer = tsa.respond(&request.to_der().unwrap(), common::now().plus(2000));
        assert_eq!(
            request.answer(&answer, common::now(), MINUTE),
            Err(TspError::WrongUsage),
            "{usage}"
        );
    }
}

#[test]
fn no_bit_of_a_token_can_change() {
    let net = network();
    let imprint = sha256(b"x");
    let at = common::now();
    let der = stamp(&net.tsa, &imprint, at).der().to_vec();
    assert!(Token::parse(&der).unwrap().verify(&imprint, &net.anchors, at).is_ok());
    for bit in 0..der.len() * 8 {
        let mut bad = der.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let verdict = Token::parse(&bad).and_then(|t| t.verify(&imprint, &net.anchors, at));
        assert!(verdict.is_err(), "bit {bit} changed unseen");
    }
    for end in 0..der.len() {
        assert!(Token::parse(&der[..end]).is_err());
    }
}

#[test]
fn the_key_must_be_that_of_the_certificate() {
    let mut net = network();
    let at = common::now();
    let key = SoftwareKey::generate(Algorithm::EcdsaP256Sha256).unwrap();
    let other = SoftwareKey::generate(Algorithm::EcdsaP256Sha256).unwrap();
    let subject = Subject::named("Horodatage");
    let issued = net
        .authority
        .issue(&Profile::Tsa, &subject, other.public_key_der(), at, at.plus(YEAR))
        .unwrap();
    assert!(
        Tsa::new(std::sync::Arc::new(key), std::slice::from_ref(&issued), &[], POLICY).is_err()
    );
    assert!(CertInfo::parse(&issued).unwrap().subject.contains("Horodatage"));
}

#[test]
fn a_renewed_list_goes_into_the_next_tokens() {
    let mut net = network();
    let at = common::now();
    let short = tsa(&mut net.authority, Algorithm::EcdsaP256Sha256, 400 * DAY);
    let later = at.plus(300 * DAY);
    let renewed = short.with_crls(&[net.authority.root_crl(later).unwrap()]).unwrap();
    stamp(&renewed, &sha256(b"x"), later).verify(&sha256(b"x"), &net.anchors, later).unwrap();
}
