//! Foreign judges. Our own verifier never judges our own output alone.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

/// `openssl cms -verify -cades` of an enveloping seal; gives the content.
///
/// # Errors
/// What OpenSSL says.
pub fn openssl_cms(p7m: &Path, root: &Path) -> Result<Vec<u8>> {
    let output = Command::new("openssl")
        .args(["cms", "-verify", "-cades", "-inform", "DER", "-purpose", "any", "-binary"])
        .arg("-in")
        .arg(p7m)
        .arg("-CAfile")
        .arg(root)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", p7m.display());
    ensure!(said.contains("CAdES Verification successful"), "{}: {said}", p7m.display());
    Ok(output.stdout)
}

/// Unpacks a bundle with `unzip`.
///
/// # Errors
/// What unzip says.
pub fn unzip(bundle: &Path, to: &Path) -> Result<()> {
    let output = Command::new("unzip").arg("-q").arg(bundle).arg("-d").arg(to).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

/// All files below a directory, sorted.
///
/// # Errors
/// When it cannot be read.
pub fn files(dir: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            out.extend(files(&path)?);
        } else {
            out.push(path);
        }
    }
    out.sort();
    Ok(out)
}
