//! Brokers for tests, by way of `ops/services`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use broker_adapter::conformance::Broker;

/// A broker of ours; it ends with the value.
#[derive(Debug)]
pub(crate) struct Service {
    script: PathBuf,
    directory: tempfile::TempDir,
}

/// The URL of a broker: from the variable, or of one that is started here.
pub(crate) fn find(name: &str, variable: &str) -> Option<(String, Option<Box<dyn Broker>>)> {
    if let Ok(url) = std::env::var(variable) {
        return Some((url, None));
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/services").join(name);
    let directory = tempfile::tempdir().ok()?;
    let service = Service { script, directory };
    match service.run("start") {
        Ok(url) => Some((url, Some(Box::new(service)))),
        Err(why) => {
            eprintln!("skipped: {variable} is not set, and {name} does not start: {why}");
            None
        }
    }
}

impl Service {
    /// Runs a verb, and returns what it prints.
    pub(crate) fn run(&self, verb: &str) -> io::Result<String> {
        let mut command = Command::new(&self.script);
        command.arg(verb).arg("--dir").arg(self.directory.path()).stdin(Stdio::null());
        let output = command.output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(format!("{verb}: {}: {said}", output.status)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

impl Broker for Service {
    fn kill(&self) -> io::Result<()> {
        self.run("kill").map(|_| ())
    }

    fn start(&self) -> io::Result<()> {
        self.run("start").map(|_| ())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.run("kill");
    }
}
