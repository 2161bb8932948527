//! Whether a backup is whole: its seal, then every file. Works without the node and its keys.

use std::path::{Component, Path};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use signing::trust::{Anchors, SealVerifier};

use super::copy::measure;
use super::{INDEX, Index, Stage, Watch};
use crate::config::Config;
use crate::files;

/// A file that is not what the index says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flaw {
    /// Below the backup.
    pub path: String,
    /// A stable word.
    pub code: &'static str,
}

/// Reads the index and verifies its seal: against `anchors`, or without any against those that lie
/// in the backup, which shows that it is whole, and not whose it is.
///
/// # Errors
/// There is none, it is not sealed by the node that it names, or it has another form.
pub fn read_index(dir: &Path, anchors: Option<&Anchors>) -> Result<Index> {
    let sealed = files::read(&dir.join(INDEX))?;
    let known = match anchors {
        Some(anchors) => anchors.clone(),
        None => own_anchors(dir)?,
    };
    let loose = signing::seal::open(&sealed).context("the index has no seal that can be read")?;
    // Certificates end; a backup was sound if it was when it was taken.
    let opened = SealVerifier::new(known)
        .verify(&sealed, loose.signing_time)
        .context("the seal of the index is not valid")?;
    let index: Index =
        serde_json::from_slice(&opened.content).context("the index cannot be read")?;
    ensure!(index.version == 1, "an index of form {}: use a newer pli", index.version);
    for entry in &index.files {
        ensure!(is_below(&entry.path), "the index names {:?}", entry.path);
    }
    for table in &index.archive.tables {
        ensure!(is_below(&table.name), "the index names {:?}", table.name);
    }
    let chain = signing::trust::pem_certificates(&files::read(&dir.join("keys/seal.pem"))?);
    let own = chain.unwrap_or_default();
    ensure!(own.first() == Some(&opened.signer.der), "sealed by another than its own node");
    Ok(index)
}

fn own_anchors(dir: &Path) -> Result<Anchors> {
    let config = settings(dir)?;
    let mut all = Anchors::none();
    for path in &config.trust.anchors {
        let path = path.to_str().filter(|p| is_below(p)).context("an anchor outside")?;
        all.extend(&Anchors::from_pem(&files::read(&dir.join(path))?)?);
    }
    Ok(all)
}

/// The configuration in a backup, its paths as they stand there.
pub(super) fn settings(dir: &Path) -> Result<Config> {
    let path = dir.join("node.toml");
    let text = String::from_utf8(files::read(&path)?)?;
    toml::from_str(&text).with_context(|| path.display().to_string())
}

/// Compares every file with the index.
///
/// # Errors
/// A file cannot be read at all: no verdict.
pub fn compare(dir: &Path, index: &Index, watch: Watch<'_>) -> Result<Vec<Flaw>> {
    let total = index.files.iter().map(|e| e.size).sum();
    let mut done = 0;
    let mut flaws = Vec::new();
    for entry in &index.files {
        let path = dir.join(&entry.path);
        if !path.is_file() {
            flaws.push(Flaw { path: entry.path.clone(), code: "file-missing" });
            continue;
        }
        let (size, sha256) = measure(&path, &mut |octets| {
            done += octets;
            watch(Stage::Checking, done, total);
        })?;
        if (size, sha256) != (entry.size, entry.sha256) {
            flaws.push(Flaw { path: entry.path.clone(), code: "file-changed" });
        }
    }
    Ok(flaws)
}

/// A path that stays below where it is joined to.
fn is_below(path: &str) -> bool {
    !path.is_empty()
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_do_not_lead_out() {
        assert!(is_below("content/packs/a/b.pack"));
        for bad in ["", "/etc/passwd", "../x", "a/../../x", "./a/.."] {
            assert!(!is_below(bad), "{bad}");
        }
    }
}
