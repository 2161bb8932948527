//! Services of a test's own, which it may kill.

use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A database server or broker that one test started; it ends with the value.
#[derive(Debug)]
pub struct Service {
    script: PathBuf,
    directory: TempDir,
    /// Where it answers, the same after a restart.
    pub url: String,
}

impl Service {
    /// Starts `postgres`, `rabbitmq` or `kafka` by its script below `ops/services`.
    ///
    /// # Errors
    /// It is not installed or does not start.
    pub fn start(name: &str) -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/services").join(name);
        // PostgreSQL runs as another user when root starts it: a directory that it can reach.
        let directory = tempfile::Builder::new().prefix("pli-service-").tempdir_in("/var/tmp")?;
        let mut service = Self { script, directory, url: String::new() };
        let said = service.run("start")?;
        service.url = said.lines().last().unwrap_or_default().trim().to_owned();
        Ok(service)
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// The script fails.
    pub fn kill(&self) -> Result<()> {
        self.run("kill").map(drop)
    }

    /// Starts it again, on the same port, with the same data.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart(&self) -> Result<()> {
        self.run("start").map(drop)
    }

    fn run(&self, verb: &str) -> Result<String> {
        let mut command = Command::new(&self.script);
        command.arg(verb).arg("--dir").arg(self.directory.path().join("data"));
        let output = command.stdin(Stdio::null()).output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let why = String::from_utf8_lossy(&output.stderr);
        Err(Error::other(format!("{verb}: {}: {why}", output.status)))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
