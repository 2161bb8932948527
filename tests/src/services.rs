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
        Self::start_with(name, &[])
    }

    /// Starts it with options of its script.
    ///
    /// # Errors
    /// As [`Service::start`].
    pub fn start_with(name: &str, options: &[&str]) -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/services").join(name);
        // PostgreSQL runs as another user when root starts it: a directory that it can reach.
        let directory = tempfile::Builder::new().prefix("pli-service-").tempdir_in("/var/tmp")?;
        let mut service = Self { script, directory, url: String::new() };
        let said = service.run("start", options)?;
        service.url = said.lines().last().unwrap_or_default().trim().to_owned();
        Ok(service)
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// The script fails.
    pub fn kill(&self) -> Result<()> {
        self.run("kill", &[]).map(drop)
    }

    /// SIGSTOP of all its processes.
    ///
    /// # Errors
    /// It does not run.
    pub fn pause(&self) -> Result<()> {
        self.run("pause", &[]).map(drop)
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// It does not run.
    pub fn resume(&self) -> Result<()> {
        self.run("resume", &[]).map(drop)
    }

    /// Starts it again, on the same port, with the same data.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart(&self) -> Result<()> {
        self.run("start", &[]).map(drop)
    }

    /// Everything that it has on disk.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Runs a verb of its script, and gives what it prints.
    ///
    /// # Errors
    /// It fails.
    pub fn run(&self, verb: &str, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.script);
        command.arg(verb).arg("--dir").arg(self.data()).args(arguments);
        let output = command.stdin(Stdio::null()).output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let why = String::from_utf8_lossy(&output.stderr);
        Err(Error::other(format!("{verb}: {}: {why}", output.status)))
    }
}

impl Service {
    /// What it has to say of a test that failed.
    fn confess(&self) {
        if self.script.ends_with("rabbitmq") {
            let columns = ["-q", "list_queues", "name", "messages_ready"];
            let more = ["messages_unacknowledged", "consumers", "state", "leader"];
            for table in [[&columns[..], &more[..]].concat(), vec!["-q", "list_consumers"]] {
                let said = self.run("ctl", &table).unwrap_or_else(|error| error.to_string());
                eprintln!("--- rabbitmqctl {}\n{said}", table.join(" "));
            }
        }
        let logs = ["log", "logs", ""].map(|place| self.data().join(place));
        let entries = logs.iter().filter_map(|place| std::fs::read_dir(place).ok()).flatten();
        for log in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let text = match log.extension() {
                Some(kind) if kind == "log" => std::fs::read(&log).unwrap_or_default(),
                _ => continue,
            };
            eprintln!("--- {}\n{}", log.display(), last_lines(&String::from_utf8_lossy(&text), 40));
        }
    }
}

/// The end of a text, of which no line is longer than a screen can show.
#[must_use]
pub fn last_lines(text: &str, most: usize) -> String {
    let cut = |line: &str| line.chars().take(300).collect::<String>();
    let last: Vec<String> = text.lines().rev().take(most).map(cut).collect();
    last.into_iter().rev().collect::<Vec<_>>().join("\n")
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.confess();
        }
        let _ = self.kill();
    }
}
