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
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_secs(i64::try_from(since.as_secs()).unwrap())
}

/// An authority made a day ago.
pub(crate) fn authority() -> Authority {
    let mut subject = Subject::named("Autorité d'essai");
    subject.organization = Some("Essai".to_owned());
    let name = AuthorityName { subject, base_url: "http://pki.invalid".to_owned() };
    Authority::create(name, now().plus(-DAY)).unwrap()
}

/// A node of this authority, certified for two years from a day ago.
pub(crate) fn node(authority: &mut Authority, algorithm: Algorithm) -> Enrolled {
    let mut subject = Subject::named("nœud cd-34");
    subject.organization = Some("Département de l'Hérault".to_owned());
    subject.organization_identifier = Some("NTRFR-223400011".to_owned());
    let at = now().plus(-DAY);
    authority.enrol(&Profile::Seal, &subject, algorithm, at, at.plus(730 * DAY)).unwrap()
}

/// The anchors that are this authority's root.
pub(crate) fn anchors(authority: &Authority) -> Anchors {
    Anchors::from_pem(authority.root_pem().unwrap().as_bytes()).unwrap()
}

/// Authority and a sealer with stapled lists.
pub(crate) fn network(algorithm: Algorithm) -> (Authority, Sealer) {
    let mut authority = authority();
    let node = node(&mut authority, algorithm);
    let crls = authority.crl(now().plus(-DAY)).unwrap();
    let sealer = Sealer::new(Arc::clone(&node.key) as _, node.chain, crls).unwrap();
    (authority, sealer)
}

/// A directory for one test.
pub(crate) struct Room(tempfile::TempDir);

impl Room {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn get(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn dir(&self) -> &Path {
        self.0.path()
    }

    /// Runs `openssl` in the room; arguments are separated by blanks.
    pub(crate) fn openssl(&self, arguments: &str) -> Output {
        Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.dir())
            .output()
            .expect("openssl runs")
    }

    /// Runs `openssl`, which must succeed.
    pub(crate) fn openssl_ok(&self, arguments: &str) -> Output {
        let output = self.openssl(arguments);
        assert!(output.status.success(), "openssl {arguments}\n{}", errors(&output));
        output
    }
}

pub(crate) fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Tests that need OpenSSL call this first.
pub(crate) fn openssl_missing() -> bool {
    let missing = Command::new("openssl").arg("version").output().is_err();
    if missing {
        eprintln!("skipped: there is no openssl on this machine");
    }
    missing
}
