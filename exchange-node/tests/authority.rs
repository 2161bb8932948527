//! The central authority, judged by OpenSSL.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct Authority(tempfile::TempDir);

impl Authority {
    fn init() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let it = Self(dir);
        it.pli(&["authority", "init", "--dir", "@", "--name", "Réseau d'essai"]);
        it
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join("authority").join(file)
    }

    fn text(&self, file: &str) -> String {
        self.path(file).to_str().unwrap().to_owned()
    }

    /// `@` stands for the directory of the authority, `@/x` for a file in it.
    fn run(&self, args: &[&str]) -> Output {
        let here = self.path("").to_str().unwrap().trim_end_matches('/').to_owned();
        let args = args.iter().map(|a| a.replacen('@', &here, usize::from(a.starts_with('@'))));
        Command::new(env!("CARGO_BIN_EXE_pli")).args(args).env("PLI_LANG", "en").output().unwrap()
    }

    fn pli(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Keys and requests made by OpenSSL, not by us.
    fn request(&self, name: &str) -> String {
        let (key, csr) =
            (self.text(&format!("node-{name}.key")), self.text(&format!("node-{name}.csr")));
        let curve = ["-pkeyopt", "ec_paramgen_curve:P-256"];
        openssl(&[&["genpkey", "-algorithm", "EC", "-out", &key][..], &curve].concat());
        openssl(&["req", "-new", "-key", &key, "-subj", "/CN=whatever", "-out", &csr]);
        csr
    }

    fn enrol(&self, node: &str) {
        let (seal, encryption) = (self.request("seal"), self.request("encryption"));
        self.pli(&[
            "authority",
            "enrol",
            node,
            "--dir",
            "@",
            "--operator",
            "Département de l'Hérault",
            "--siren",
            "219934171",
            "--seal",
            &seal,
            "--encryption",
            &encryption,
            "--department",
            "34",
        ]);
    }

    fn list(&self, file: &str) -> serde_json::Value {
        let json = openssl(&[
            "cms",
            "-verify",
            "-inform",
            "DER",
            "-binary",
            "-purpose",
            "any",
            "-in",
            &self.text(&format!("published/{file}")),
            "-CAfile",
            &self.text("trust/root.pem"),
        ]);
        serde_json::from_str(&json).unwrap()
    }

    /// `openssl verify` of a node's certificate with the published revocation lists.
    fn verify(&self, node: &str) -> Output {
        let pem = |name: &str| {
            let crl = self.text(&format!("published/{name}.crl"));
            openssl(&["crl", "-inform", "DER", "-in", &crl])
        };
        std::fs::write(self.path("crls.pem"), [pem("root"), pem("issuing")].concat()).unwrap();
        Command::new("openssl")
            .args(["verify", "-x509_strict", "-crl_check_all", "-CAfile"])
            .args([self.text("trust/root.pem"), "-CRLfile".to_owned(), self.text("crls.pem")])
            .args(["-untrusted".to_owned(), self.text("ca/issuing.pem")])
            .arg(self.text(&format!("nodes/{node}/seal.pem")))
            .output()
            .unwrap()
    }
}

fn openssl(args: &[&str]) -> String {
    let output = Command::new("openssl").args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn private_keys_are_for_their_owner_alone() {
    let it = Authority::init();
    for key in ["ca/root.key", "ca/issuing.key", "tsa-ca/root.key", "seal.key", "tsa/tsa.key"] {
        assert_eq!(mode(&it.path(key)), 0o600, "{key}");
    }
    assert_eq!(
        it.run(&["authority", "init", "--dir", "@"]).status.code(),
        Some(1),
        "no second one"
    );
}

#[test]
fn a_node_is_certified_from_requests_that_openssl_wrote() {
    let it = Authority::init();
    it.enrol("cd-34");
    it.pli(&["authority", "publish", "--dir", "@"]);
    let judged = it.verify("cd-34");
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
    let text = openssl(&["x509", "-noout", "-text", "-in", &it.text("nodes/cd-34/seal.pem")]);
    for part in [
        "NTRFR-219934171",
        "CN = cd-34",
        "Non Repudiation",
        "CRL Distribution Points",
        "CA Issuers",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let encryption = it.text("nodes/cd-34/encryption.pem");
    assert!(openssl(&["x509", "-noout", "-text", "-in", &encryption]).contains("Key Agreement"));
}

#[test]
fn lists_are_sealed_by_the_authority_and_their_number_grows() {
    let it = Authority::init();
    assert_eq!(it.list("root.p7m")["sequence"], 1);
    it.enrol("cd-34");
    let done: serde_json::Value =
        serde_json::from_str(&it.pli(&["authority", "publish", "--dir", "@", "--json"])).unwrap();
    assert_eq!(done["sequence"], 2);
    let root = it.list("root.p7m");
    assert_eq!(root["nodes"][0]["id"], "cd-34");
    assert_eq!(root["nodes"][0]["scope"]["departments"][0], "34");
    assert_eq!(root["nodes"][0]["standing"], "active");
    assert_eq!(it.list("catalogue.p7m")["sequence"], 2);
}

#[test]
fn a_catalogue_that_is_not_well_formed_is_refused_by_name() {
    let it = Authority::init();
    std::fs::write(it.path("catalogue.toml"), "[[process]]\ncode = \"AEC\"\n").unwrap();
    let output = it.run(&["authority", "publish", "--dir", "@"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("catalogue.toml") && said.contains("missing field"), "{said}");
}

#[test]
fn a_revoked_node_is_on_the_list_of_openssl_and_closed_in_ours() {
    let it = Authority::init();
    it.enrol("cd-34");
    it.pli(&["authority", "revoke", "cd-34", "--dir", "@", "--reason", "key-compromise"]);
    it.pli(&["authority", "publish", "--dir", "@"]);
    let judged = it.verify("cd-34");
    assert!(String::from_utf8_lossy(&judged.stderr).contains("certificate revoked"));
    let crl = it.text("published/issuing.crl");
    let text = openssl(&["crl", "-inform", "DER", "-noout", "-text", "-in", &crl]);
    assert!(text.contains("Key Compromise"), "{text}");
    assert_eq!(it.list("root.p7m")["nodes"][0]["standing"], "closed");
    let unknown = it.run(&["authority", "revoke", "cd-35", "--dir", "@"]);
    assert_eq!(unknown.status.code(), Some(2));
}

#[test]
fn a_rollover_keeps_the_former_seal_until_it_is_revoked() {
    let it = Authority::init();
    it.enrol("cd-34");
    let former = openssl(&["x509", "-noout", "-serial", "-in", &it.text("nodes/cd-34/seal.pem")]);
    it.enrol("cd-34");
    it.pli(&["authority", "publish", "--dir", "@"]);
    let count = |it: &Authority| {
        it.list("root.p7m")["nodes"][0]["seal_certificates"].as_array().unwrap().len()
    };
    assert_eq!(count(&it), 2);
    let serial = former.trim().trim_start_matches("serial=");
    it.pli(&[
        "authority",
        "revoke",
        "cd-34",
        "--dir",
        "@",
        "--serial",
        serial,
        "--reason",
        "superseded",
    ]);
    it.pli(&["authority", "publish", "--dir", "@"]);
    assert_eq!(count(&it), 1);
    assert_eq!(it.list("root.p7m")["nodes"][0]["standing"], "active");
    assert!(it.verify("cd-34").status.success());
}

#[test]
fn a_request_that_its_key_did_not_sign_is_refused() {
    let it = Authority::init();
    let seal = it.request("seal");
    let forged = std::fs::read_to_string(&seal).unwrap().replacen("MI", "MJ", 1);
    std::fs::write(&seal, forged).unwrap();
    let output = it.run(&[
        "authority",
        "enrol",
        "x",
        "--dir",
        "@",
        "--operator",
        "x",
        "--seal",
        &seal,
        "--encryption",
        &seal,
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("seal.csr"));
}
