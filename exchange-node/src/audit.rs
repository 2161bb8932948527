//! The journal of acts: what operators do to a node that leaves no evidence about a message, such
//! as giving a client access. It is a chain: each line names the digest of the line before.
//!
//! ```text
//! audit.log      {"seq":1,..,"before":"0000"}  <- {"seq":2,..,"before":sha256(line 1)}  <- ...
//! audit.p7m      sealed by the node: how many lines there are, and the digest of the last
//! the database   the digest of every line, so that old copies of both files do not pass
//! ```
//! A line that is changed, lacking, added or moved breaks the chain; lines cut off at the end
//! contradict the sealed head and the database. [`Journal::verify`] names the first such line.
//!
//! Deliberately absent: acts of members, whose evidence is sealed one by one, and messages.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use exchange_store::Store;
use exchange_store::rows::{Cause, Change, Committed};
use schemas::digest::Digest;
use schemas::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use signing::digest::sha256;
use signing::seal::Sealer;
use signing::trust::SealVerifier;

/// What stands before the first line.
const NOTHING: Digest = Digest([0; 32]);
/// Digests asked of the database at once.
const PAGE: usize = 1_000;

/// One act.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Act {
    /// Place in the journal, from 1 on.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who: the account of the operating system.
    pub by: String,
    /// What, as a verb of the command line.
    pub act: String,
    /// To what; never a secret.
    pub about: Value,
    /// Digest of the line before.
    pub before: Digest,
}

/// How far the journal goes; sealed by the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    seq: u64,
    last: Digest,
    at: Timestamp,
}

/// What is wrong with a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flaw {
    /// The first line that does not fit; the last line plus one when lines are lacking.
    pub line: u64,
    /// A stable word.
    pub code: &'static str,
    /// In words.
    pub detail: String,
}

/// The journal of one node.
#[derive(Clone, Debug)]
pub struct Journal {
    log: PathBuf,
    head: PathBuf,
}

impl Journal {
    /// The journal in the directory of a node's configuration file.
    #[must_use]
    pub fn beside(config: &Path) -> Self {
        let dir = config.parent().unwrap_or_else(|| Path::new("."));
        Self { log: dir.join("audit.log"), head: dir.join("audit.p7m") }
    }

    /// Writes an act down, durably, before it is told to anybody.
    ///
    /// # Errors
    /// A file or the database cannot be written, or the seal cannot be made.
    pub async fn append(
        &self,
        store: &dyn Store,
        sealer: &Sealer,
        now: Timestamp,
        act: &str,
        about: Value,
    ) -> Result<()> {
        let mut log = OpenOptions::new().create(true).read(true).append(true).open(&self.log)?;
        log.lock().context("the journal is in use")?;
        let mut text = String::new();
        log.read_to_string(&mut text)?;
        let last = text.lines().last();
        let seq = last.map_or(Ok(0), |line| parsed(line).map(|act| act.seq))? + 1;
        let before = last.map_or(NOTHING, |line| sha256(line.as_bytes()));
        let by = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER"));
        let by = by.unwrap_or_else(|_| "unknown".to_owned());
        let act = Act { seq, at: now, by, act: act.to_owned(), about, before };
        let line = serde_json::to_string(&act)?;
        let digest = sha256(line.as_bytes());
        // The database first: a line that is lacking is found, a line too many would be a riddle.
        remember(store, seq, &digest, now).await?;
        log.write_all(format!("{line}\n").as_bytes())?;
        log.sync_data()?;
        let head = serde_json::to_vec(&Head { seq, last: digest, at: now })?;
        replace(&self.head, &sealer.seal(&head, now, None)?.der)
    }

    /// The first `lines` lines with a head of their own: the journal as a copy of the database knows
    /// it.
    ///
    /// # Errors
    /// There are fewer, a file cannot be read, or the seal cannot be made.
    pub fn excerpt(
        &self,
        lines: u64,
        sealer: &Sealer,
        now: Timestamp,
    ) -> Result<(String, Vec<u8>)> {
        let text = match std::fs::read_to_string(&self.log) {
            Ok(text) => text,
            Err(e) if lines == 0 && e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(e).context(self.log.display().to_string()),
        };
        let count = usize::try_from(lines)?;
        let kept: Vec<&str> = text.lines().take(count).collect();
        ensure!(kept.len() == count, "the journal has lost lines: run pli audit verify");
        let last = kept.last().map_or(NOTHING, |line| sha256(line.as_bytes()));
        let head = serde_json::to_vec(&Head { seq: lines, last, at: now })?;
        let log = kept.iter().map(|line| format!("{line}\n")).collect();
        Ok((log, sealer.seal(&head, now, None)?.der))
    }

    /// Checks everything; returns how many lines there are, and what is wrong.
    ///
    /// # Errors
    /// A file or the database cannot be read: no verdict.
    pub async fn verify(
        &self,
        store: &dyn Store,
        verifier: &SealVerifier,
        own: &[u8],
        now: Timestamp,
    ) -> Result<(u64, Vec<Flaw>)> {
        let text = match std::fs::read_to_string(&self.log) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(e).context(self.log.display().to_string()),
        };
        let lines: Vec<&str> = text.lines().collect();
        let mut flaws: Vec<Flaw> = chain(&lines).err().into_iter().collect();
        let digests: Vec<Digest> = lines.iter().map(|l| sha256(l.as_bytes())).collect();
        flaws.extend(against_database(store, &digests).await?);
        flaws.extend(self.against_head(&digests, verifier, own, now));
        Ok((lines.len() as u64, flaws))
    }

    fn against_head(
        &self,
        digests: &[Digest],
        verifier: &SealVerifier,
        own: &[u8],
        now: Timestamp,
    ) -> Option<Flaw> {
        let count = digests.len() as u64;
        let flaw = |code, detail: String| Some(Flaw { line: count, code, detail });
        let sealed = match std::fs::read(&self.head) {
            Ok(sealed) => sealed,
            Err(_) if count == 0 => return None,
            Err(e) => return flaw("head-missing", format!("{}: {e}", self.head.display())),
        };
        let opened = match verifier.verify(&sealed, now) {
            Ok(opened) if opened.signer.der == own => opened,
            Ok(opened) => {
                return flaw("head-foreign", format!("sealed by {}", opened.signer.subject));
            }
            Err(e) => return flaw("head-invalid", e.to_string()),
        };
        let Ok(head) = serde_json::from_slice::<Head>(&opened.content) else {
            return flaw("head-invalid", "what is sealed is not a head".to_owned());
        };
        if head.seq > count {
            let detail = format!("{} lines were sealed, {count} are there", head.seq);
            return Some(Flaw { line: count + 1, code: "lines-missing", detail });
        }
        let fits = head.seq == count && digests.last().copied().unwrap_or(NOTHING) == head.last;
        if fits { None } else { flaw("head-differs", format!("line {} was sealed", head.seq)) }
    }
}

/// The lines among themselves.
fn chain(lines: &[&str]) -> Result<(), Flaw> {
    let mut before = NOTHING;
    for (line, seq) in lines.iter().zip(1_u64..) {
        let flaw = |code, detail: String| Flaw { line: seq, code, detail };
        let act = parsed(line).map_err(|e| flaw("line-malformed", format!("{e:#}")))?;
        if act.seq != seq {
            return Err(flaw("line-moved", format!("line {seq} says that it is line {}", act.seq)));
        }
        if act.before != before {
            return Err(flaw(
                "chain-broken",
                "the line before is not the one it follows".to_owned(),
            ));
        }
        before = sha256(line.as_bytes());
    }
    Ok(())
}

async fn against_database(store: &dyn Store, digests: &[Digest]) -> Result<Option<Flaw>> {
    let last = digests.len() as u64;
    // One more than there are: what was cut off at the end.
    let all: Vec<u64> = (1..=last + 1).collect();
    for page in all.chunks(PAGE) {
        let causes: Vec<Cause> = page.iter().map(|seq| cause(*seq)).collect();
        let known = store.load(&causes, &[], &[]).await?.outcomes;
        for seq in page {
            let place = usize::try_from(seq - 1).ok();
            let digest = place.and_then(|place| digests.get(place));
            let stored = known.get(&cause(*seq));
            let (code, detail) = match (digest, stored) {
                (Some(digest), Some(stored)) if stored.as_slice() == digest.as_bytes() => continue,
                (None, None) => continue,
                (Some(_), Some(_)) => ("line-changed", "the database has another digest of it"),
                (Some(_), None) => ("line-added", "the database does not know it"),
                (None, Some(_)) => ("lines-missing", "the database knows of more lines"),
            };
            return Ok(Some(Flaw { line: *seq, code, detail: detail.to_owned() }));
        }
    }
    Ok(None)
}

async fn remember(store: &dyn Store, seq: u64, digest: &Digest, now: Timestamp) -> Result<()> {
    let outcome = digest.as_bytes().to_vec();
    let change = Change { outcome, ..Change::new(cause(seq), now) };
    let answers = store.commit(std::slice::from_ref(&change)).await?;
    let written = matches!(answers.as_slice(), [Committed::Written]);
    ensure!(written, "the database knows a line {seq} already: run pli audit verify");
    Ok(())
}

fn cause(seq: u64) -> Cause {
    Cause(format!("audit:{seq}"))
}

fn parsed(line: &str) -> Result<Act> {
    serde_json::from_str(line).context("a line of the journal cannot be read")
}

/// All or nothing, also when the power fails.
fn replace(file: &Path, bytes: &[u8]) -> Result<()> {
    let fresh = file.with_extension("new");
    let mut out = File::create(&fresh)?;
    out.write_all(bytes)?;
    out.sync_all()?;
    std::fs::rename(&fresh, file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: u64) -> Vec<String> {
        let mut before = NOTHING;
        (1..=count)
            .map(|seq| {
                let at = Timestamp::from_secs(1_800_000_000);
                let act = Act {
                    seq,
                    at,
                    by: "op".into(),
                    act: "clients add".into(),
                    about: Value::Null,
                    before,
                };
                let line = serde_json::to_string(&act).unwrap();
                before = sha256(line.as_bytes());
                line
            })
            .collect()
    }

    fn flaw(lines: &[String]) -> Option<(u64, &'static str)> {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        chain(&lines).err().map(|f| (f.line, f.code))
    }

    #[test]
    fn the_first_line_that_does_not_fit_is_named() {
        let whole = lines(5);
        assert_eq!(flaw(&whole), None);
        let mut edited = whole.clone();
        edited[2] = edited[2].replace("add", "ADD");
        assert_eq!(flaw(&edited), Some((4, "chain-broken")));
        let mut without = whole.clone();
        without.remove(2);
        assert_eq!(flaw(&without), Some((3, "line-moved")));
        let mut swapped = whole.clone();
        swapped.swap(1, 2);
        assert_eq!(flaw(&swapped), Some((2, "line-moved")));
        let mut broken = whole;
        broken[0].truncate(10);
        assert_eq!(flaw(&broken), Some((1, "line-malformed")));
    }
}
