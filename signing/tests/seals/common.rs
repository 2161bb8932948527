//! A small network of trust, and the OpenSSL command line.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use schemas::time::{DAY, Timestamp};
use signing::authority::{Authority, AuthorityName, Enrolled, Profile, Subject};
use signing::seal::Sealer;
use signing::signer::Algorithm;
use signing::trust::Anchors;

/// The present of the tests, near the true one: OpenSSL checks validity by its own clock.
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_secs(i64::try_from(since.as_secs()).unwrap())
}

/// An authority made a day ago.
pub fn authority() -> Authority {
    let mut subject = Subject::named("Autorité d'essai");
    subject.organization = Some("Essai".to_owned());
    let name = AuthorityName { subject, base_url: "http://pki.invalid".to_owned() };
    Authority::create(name, now().plus(-DAY)).unwrap()
}

/// A node of this authority, certified for two years from a day ago.
pub fn node(authority: &mut Authority, algorithm: Algorithm) -> Enrolled {
    let mut subject = Subject::named("nœud cd-34");
    subject.organization = Some("Département de l'Hérault".to_owned());
    subject.organization_identifier = Some("NTRFR-223400011".to_owned());
    let at = now().plus(-DAY);
    authority.enrol(&Profile::Seal, &subject, algorithm, at, at.plus(730 * DAY)).unwrap()
}

/// The anchors that are this authority's root.
pub fn anchors(authority: &Authority) -> Anchors {
    Anchors::from_pem(authority.root_pem().unwrap().as_bytes()).unwrap()
}

/// Authority and a sealer with stapled lists.
pub fn network(algorithm: Algorithm) -> (Authority, Sealer) {
    let mut authority = authority();
    let node = node(&mut authority, algorithm);
    let crls = authority.crl(now().plus(-DAY)).unwrap();
    let sealer = Sealer::new(Arc::clone(&node.key) as _, node.chain, crls).unwrap();
    (authority, sealer)
}

/// A directory for one test.
pub struct Room(tempfile::TempDir);

impl Room {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn get(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub fn dir(&self) -> &Path {
        self.0.path()
    }

    /// Runs `openssl` in the room; arguments are separated by blanks.
    pub fn openssl(&self, arguments: &str) -> Output {
        Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.dir())
            .output()
            .expect("openssl runs")
    }

    /// Runs `openssl`, which must succeed.
    pub fn openssl_ok(&self, arguments: &str) -> Output {
        let output = self.openssl(arguments);
        assert!(output.status.success(), "openssl {arguments}\n{}", errors(&output));
        output
    }
}

pub fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Tests that need OpenSSL call this first.
pub fn openssl_missing() -> bool {
    let missing = Command::new("openssl").arg("version").output().is_err();
    if missing {
        eprintln!("skipped: there is no openssl on this machine");
    }
    missing
}
