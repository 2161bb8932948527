//! Processes of a network: started apart from the terminal, known by pid *and* start time, so that
//! a pid that was given to somebody else meanwhile is never signalled.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A process that was started, dead or alive by now. Used in stored state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its pid.
    pid: i32,
    /// What tells it from another process of the same pid.
    started: String,
}

impl Process {
    /// Starts `program` with `args`, in a process group of its own, talking into `log`.
    ///
    /// # Errors
    /// It cannot be started, or the log cannot be opened.
    pub fn start(program: &Path, args: &[&str], log: &Path) -> anyhow::Result<(Self, Child)> {
        let log = append(log)?;
        let child = Command::new(program)
            .args(args)
            .env_remove("PLI_CONFIG")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let pid = i32::try_from(child.id())?;
        let started = mark(pid).unwrap_or_default();
        Ok((Self { pid, started }, child))
    }

    /// Its pid.
    #[must_use]
    pub const fn pid(&self) -> i32 {
        self.pid
    }

    /// Reads what [`Process::record`] wrote; none when there is nothing.
    #[must_use]
    pub fn recall(file: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(file).ok()?).ok()
    }

    /// Keeps it for later calls.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn record(&self, file: &Path) -> anyhow::Result<()> {
        crate::files::write_public(file, &serde_json::to_vec(self)?)
    }

    /// Whether this very process is still at work. One that died and was not yet buried by its
    /// parent is dead.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.started.is_empty() && mark(self.pid).as_ref() == Some(&self.started)
    }

    /// `kill -9`, and waits until it is gone. Killing the dead does nothing.
    ///
    /// # Errors
    /// It cannot be signalled, or does not go.
    pub fn kill(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGKILL)?;
        anyhow::ensure!(self.gone_within(Duration::from_secs(10)), "{} does not die", self.pid);
        Ok(())
    }

    /// Asks it to stop.
    ///
    /// # Errors
    /// It cannot be signalled.
    pub fn ask_to_stop(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGTERM)
    }

    /// Whether it is gone before the time is over.
    #[must_use]
    pub fn gone_within(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        while self.is_alive() {
            if Instant::now() > end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        true
    }

    fn signal(&self, which: Signal) -> anyhow::Result<()> {
        if self.is_alive() {
            signal::kill(Pid::from_raw(self.pid), which)
                .with_context(|| format!("cannot signal {}", self.pid))?;
        }
        Ok(())
    }
}

/// The last `lines` lines of a log, for people.
#[must_use]
pub fn tail(log: &Path, lines: usize) -> String {
    let text = fs::read(log).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
}

fn append(log: &Path) -> anyhow::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot open {}", log.display()))
}

/// Start of the process: boot and clock ticks since (proc(5)), or what `ps` says where there is no
/// /proc. None when there is no such process, or a dead one that nobody has buried.
fn mark(pid: i32) -> Option<String> {
    if !Path::new("/proc/self/stat").exists() {
        return mark_by_ps(pid);
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command in brackets, and may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    let ticks = fields.nth(18)?;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    (!matches!(state, "Z" | "X")).then(|| format!("{}/{ticks}", boot.trim()))
}

fn mark_by_ps(pid: i32) -> Option<String> {
    let output =
        Command::new("ps").args(["-o", "stat=,lstart=", "-p", &pid.to_string()]).output().ok()?;
    let line = String::from_utf8(output.stdout).ok()?;
    let (state, started) = line.trim().split_once(' ')?;
    (!state.starts_with('Z')).then(|| started.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(dir: &Path) -> (Process, Child) {
        Process::start(Path::new("sleep"), &["600"], &dir.join("log")).unwrap()
    }

    #[test]
    fn a_killed_process_is_dead_even_before_its_burial() {
        let dir = tempfile::tempdir().unwrap();
        let (process, mut child) = sleeper(dir.path());
        process.record(&dir.path().join("p")).unwrap();
        let recalled = Process::recall(&dir.path().join("p")).unwrap();
        assert!(recalled.is_alive());
        recalled.kill().unwrap();
        assert!(!process.is_alive());
        recalled.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_pid_of_somebody_else_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (process, mut child) = sleeper(dir.path());
        let stale = Process { started: "another boot/1".to_owned(), ..process.clone() };
        assert!(!stale.is_alive());
        stale.kill().unwrap();
        assert!(process.is_alive());
        process.ask_to_stop().unwrap();
        child.wait().unwrap();
        assert!(!process.is_alive());
    }

    #[test]
    fn the_end_of_a_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        fs::write(&log, "a\nb\nc\n").unwrap();
        assert_eq!(tail(&log, 2), "b\nc");
        assert_eq!(tail(&dir.path().join("none"), 2), "");
    }
}
