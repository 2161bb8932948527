//! Brokers for tests, by way of `ops/services`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use broker_adapter::conformance::Broker;

/// A broker that a test started in a directory of its own, and that ends with it.
#[derive(Debug)]
pub(crate) struct Service {
    script: PathBuf,
    directory: tempfile::TempDir,
}

/// The URL of a broker that is there for all tests, or of one that is started for this one alone.
pub(crate) fn find(name: &str, variable: &str) -> Option<(String, Option<Arc<Service>>)> {
    if let Ok(url) = std::env::var(variable) {
        return Some((url, None));
    }
    let service = Service::start(name, &[])?;
    Some((service.run("url", &[]).ok()?, Some(service)))
}

impl Service {
    /// Starts a broker with further options; says so when that cannot be done.
    pub(crate) fn start(name: &str, options: &[&str]) -> Option<Arc<Self>> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/services").join(name);
        let service = Self { script, directory: tempfile::tempdir().ok()? };
        match service.run("start", options) {
            Ok(_) => Some(Arc::new(service)),
            Err(why) => {
                let why = why.to_string().replace('\n', " ");
                eprintln!("skipped: {name}: ops/services/{name} start: {why}");
                None
            }
        }
    }

    /// Runs a verb, and returns what it prints.
    pub(crate) fn run(&self, verb: &str, arguments: &[&str]) -> io::Result<String> {
        let mut command = Command::new(&self.script);
        command.arg(verb).arg("--dir").arg(self.directory.path()).args(arguments);
        let output = command.stdin(Stdio::null()).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(format!("{verb}: {}: {said}", output.status)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// The certificate authority of its TLS listener.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.directory.path().join("pki/ca.pem")
    }
}

/// The same broker, to be killed.
#[derive(Debug)]
pub(crate) struct Mortal(pub(crate) Arc<Service>);

impl Broker for Mortal {
    fn kill(&self) -> io::Result<()> {
        self.0.run("kill", &[]).map(|_| ())
    }

    fn start(&self) -> io::Result<()> {
        self.0.run("start", &[]).map(|_| ())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.run("kill", &[]);
    }
}
