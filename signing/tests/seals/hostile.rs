//! Certificates that no honest authority issues, made with OpenSSL.

use std::fmt::Write as _;

use schemas::time::{DAY, Timestamp};
use signing::authority::{Profile, Subject};
use signing::path::{Material, Policy, Revocation, Usage, check_path};
use signing::signer::Algorithm::EcdsaP256Sha256 as P256;
use signing::trust::{Anchors, pem_certificates};

use crate::common::{Room, authority, now, openssl_missing};

const ROOT: &str = "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash";
const CA: &str = "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid";
const SEAL: &str =
    "keyUsage=critical,digitalSignature,nonRepudiation\nauthorityKeyIdentifier=keyid";
const TSA: &str = "keyUsage=critical,digitalSignature\nextendedKeyUsage=critical,timeStamping";

/// Root, authorities and leaf, each with its extensions; the last is the leaf.
fn chain(room: &Room, extensions: &[&str], options: &str) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for (i, wanted) in extensions.iter().enumerate() {
        room.put(&format!("{i}.ext"), wanted);
        room.openssl_ok(&format!("ecparam -name prime256v1 -genkey -noout -out {i}.key"));
        room.openssl_ok(&format!("req -new -key {i}.key -subj /CN=level{i} -out {i}.csr"));
        let issuer = match i {
            0 => "-signkey 0.key".to_owned(),
            _ => format!("-CA {0}.pem -CAkey {0}.key", i - 1),
        };
        room.openssl_ok(&format!("x509 -req -in {i}.csr {issuer} -set_serial 0x7{i}11 -days 90 -extfile {i}.ext -out {i}.pem {options}"));
        out.extend(pem_certificates(&room.get(&format!("{i}.pem"))).unwrap());
    }
    out
}

fn judge(
    chain: &[Vec<u8>],
    crls: &[Vec<u8>],
    usage: Usage,
    at: Timestamp,
    policy: &Policy,
) -> String {
    let mut anchors = Anchors::none();
    anchors.add(&chain[0]).unwrap();
    let leaf = chain.last().unwrap();
    let between = &chain[1..chain.len() - 1];
    let material = Material { leaf, chain: between, crls, known_crls: &[] };
    match check_path(&anchors, &material, usage, at, policy) {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.code().to_owned(),
    }
}

#[test]
fn extensions_are_obeyed() {
    if openssl_missing() {
        return;
    }
    let plus = |base: &str, more: &str| format!("{base}\n{more}");
    let seal_with = |more: &str| plus(SEAL, more);
    let ca_with = |more: &str| plus(CA, more);
    let short = ca_with("").replace("CA:true", "CA:true,pathlen:0");
    let constrained = ca_with("nameConstraints=critical,permitted;DNS:pli.example");
    let cases: &[(&[&str], Usage, &str)] = &[
        (&[ROOT, SEAL], Usage::Seal, "ok"),
        (&[ROOT, CA, SEAL], Usage::Seal, "ok"),
        (&[ROOT, CA, CA, SEAL], Usage::Seal, "ok"),
        (&[ROOT, &short, CA, SEAL], Usage::Seal, "constraint-violated"),
        (&[ROOT, &CA.replace("keyCertSign,", ""), SEAL], Usage::Seal, "wrong-usage"),
        (
            &[ROOT, &CA.replace("keyUsage=critical,keyCertSign,cRLSign\n", ""), SEAL],
            Usage::Seal,
            "wrong-usage",
        ),
        (&[ROOT, &CA.replace("CA:true", "CA:false"), SEAL], Usage::Seal, "wrong-usage"),
        (&[ROOT, SEAL, SEAL], Usage::Seal, "wrong-usage"),
        (&[ROOT, CA], Usage::Seal, "wrong-usage"),
        (&[ROOT, &SEAL.replace(",nonRepudiation", "")], Usage::Seal, "wrong-usage"),
        (&[ROOT, "subjectKeyIdentifier=hash"], Usage::Seal, "wrong-usage"),
        (&[ROOT, &seal_with("extendedKeyUsage=emailProtection")], Usage::Seal, "ok"),
        (&[ROOT, &seal_with("extendedKeyUsage=serverAuth")], Usage::Seal, "wrong-usage"),
        (&[ROOT, &seal_with("1.3.6.1.5.5.7.48.1.5=DER:0500")], Usage::Seal, "wrong-usage"),
        (&[ROOT, &seal_with("1.2.3.4=critical,DER:0500")], Usage::Seal, "critical-extension"),
        (&[ROOT, &ca_with("1.2.3.4=critical,DER:0500"), SEAL], Usage::Seal, "critical-extension"),
        (&[ROOT, &seal_with("1.2.3.4=DER:0500")], Usage::Seal, "ok"),
        (&[ROOT, &constrained, &seal_with("subjectAltName=DNS:a.pli.example")], Usage::Seal, "ok"),
        (
            &[ROOT, &constrained, &seal_with("subjectAltName=DNS:a.evil.example")],
            Usage::Seal,
            "constraint-violated",
        ),
        (&[ROOT, TSA], Usage::TimeStamping, "ok"),
        (
            &[ROOT, &TSA.replace("=critical,timeStamping", "=timeStamping")],
            Usage::TimeStamping,
            "wrong-usage",
        ),
        (
            &[ROOT, &plus(TSA, "").replace("timeStamping", "timeStamping,serverAuth")],
            Usage::TimeStamping,
            "wrong-usage",
        ),
        (
            &[ROOT, &TSA.replace("digitalSignature", "keyAgreement")],
            Usage::TimeStamping,
            "wrong-usage",
        ),
        (&[ROOT, SEAL], Usage::TimeStamping, "wrong-usage"),
    ];
    let policy = Policy { revocation: Revocation::IfPresent, ..Policy::default() };
    let mut wrong = String::new();
    for (extensions, usage, expected) in cases {
        let room = Room::new();
        let chain = chain(&room, extensions, "-sha256");
        let verdict = judge(&chain, &[], *usage, now(), &policy);
        if verdict != *expected {
            writeln!(wrong, "{extensions:?}: {verdict}, not {expected}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn sha_1_on_the_path_is_refused() {
    if openssl_missing() {
        return;
    }
    let room = Room::new();
    let chain = chain(&room, &[ROOT, SEAL], "-sha1");
    let policy = Policy { revocation: Revocation::IfPresent, ..Policy::default() };
    let verdict = judge(&chain, &[], Usage::Seal, now(), &policy);
    assert_eq!(verdict, "algorithm-refused");
}

/// A minimal `openssl ca` over `root.pem`, to revoke `leaf.pem`.
fn list(room: &Room, revoke: &str, extensions: &str) -> Vec<u8> {
    let conf = format!(
        "[ca]\ndefault_ca=c\n[c]\ndatabase=index\ncrlnumber=number\ndefault_md=sha256\ndefault_crl_days=30\nprivate_key=root.key\ncertificate=root.pem\ncrl_extensions=e\n[e]\n{extensions}\n"
    );
    room.put("ca.cnf", conf);
    room.put("index", "");
    room.put("number", "01");
    if !revoke.is_empty() {
        room.openssl_ok(&format!("ca -config ca.cnf -revoke leaf.pem {revoke}"));
    }
    room.openssl_ok("ca -config ca.cnf -gencrl -out list.pem");
    room.openssl_ok("crl -in list.pem -outform DER -out list.crl");
    room.get("list.crl")
}

#[test]
fn foreign_lists_are_read() {
    if openssl_missing() {
        return;
    }
    let aki = "authorityKeyIdentifier=keyid";
    let idp = "issuingDistributionPoint=critical,@i\n[i]\nfullname=URI:http://a.invalid/x.crl";
    let (soon, before) = (now().plus(60_000), now().plus(-3_600_000));
    for (revoke, extensions, at, expected) in [
        ("", aki, soon, "ok"),
        ("-crl_reason superseded", aki, soon, "revoked"),
        // Looking back to before the revocation: the list is of the certificate's lifetime.
        ("-crl_reason superseded", aki, before, "ok"),
        // The key was abused before it was revoked: invalidityDate counts.
        ("-crl_compromise 20200101000000Z", aki, before, "revoked"),
        ("-crl_hold holdInstructionReject", aki, soon, "revoked"),
        ("", idp, soon, "crl-invalid"),
    ] {
        let mut authority = authority();
        let from = now().plus(-DAY);
        let tsa = authority
            .enrol(&Profile::Tsa, &Subject::named("tsa"), P256, from, from.plus(90 * DAY))
            .unwrap();
        let room = Room::new();
        authority.to_dir(room.dir()).unwrap();
        room.put("leaf.crt", &tsa.chain[0]);
        room.openssl_ok("x509 -inform DER -in leaf.crt -out leaf.pem");
        let crl = list(&room, revoke, extensions);
        let policy = Policy { now: Some(soon), ..Policy::default() };
        let chain = [authority.root_der().to_vec(), tsa.chain[0].clone()];
        let verdict = judge(&chain, &[crl], Usage::TimeStamping, at, &policy);
        assert_eq!(verdict, expected, "{revoke} {extensions}");
    }
}

#[test]
fn an_anchor_without_crl_sign_issues_no_lists() {
    if openssl_missing() {
        return;
    }
    let room = Room::new();
    let chain = chain(&room, &[&ROOT.replace(",cRLSign", ""), SEAL], "-sha256");
    for (from, to) in [("0.pem", "root.pem"), ("0.key", "root.key"), ("1.pem", "leaf.pem")] {
        room.put(to, room.get(from));
    }
    let crl = list(&room, "", "authorityKeyIdentifier=keyid");
    let verdict = judge(&chain, &[crl], Usage::Seal, now(), &Policy::default());
    assert_eq!(verdict, "crl-invalid");
}
