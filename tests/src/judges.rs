//! Foreign judges. Our own verifier never judges our own output alone.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail, ensure};

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
pub fn files(dir: &Path) -> Result<Vec<PathBuf>> {
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

/// `openssl ts -verify` of a token over data, now or as of a time in seconds since 1970.
///
/// # Errors
/// What OpenSSL says.
pub fn openssl_ts(token: &Path, data: &Path, authority: &Path, at: Option<i64>) -> Result<()> {
    let mut command = Command::new("openssl");
    command.args(["ts", "-verify", "-token_in", "-in"]).arg(token);
    command.arg("-data").arg(data).arg("-CAfile").arg(authority);
    if let Some(at) = at {
        command.args(["-attime", &at.to_string()]);
    }
    let output = command.output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(output.status.success() && said.contains("Verification: OK"), "{said}");
    Ok(())
}

/// An evidence record with what it covers.
#[derive(Debug)]
pub struct Recorded {
    /// The record.
    pub record: PathBuf,
    /// The sealed object under it.
    pub object: PathBuf,
}

/// What BouncyCastle's evidence record classes say: a line for each record, or why not to be had.
///
/// # Errors
/// Java cannot be run.
pub fn bouncy_castle(records: &[Recorded]) -> Result<Result<String, &'static str>> {
    let jars = ["bcprov", "bcutil", "bcpkix"].map(|jar| format!("/usr/share/java/{jar}.jar"));
    if !jars.iter().all(|jar| Path::new(jar).is_file()) {
        return Ok(Err("libbcpkix-java is not installed"));
    }
    let mut java = Command::new("java");
    java.args(["-cp", &jars.join(":")]).arg(java_dir().join("ErsCheck.java"));
    for recorded in records {
        java.arg(&recorded.object).arg(&recorded.record);
    }
    match java.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Err("no java")),
        output => {
            let output = output?;
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let error = String::from_utf8_lossy(&output.stderr);
            ensure!(matches!(output.status.code(), Some(0 | 4)), "{error}");
            Ok(Ok(said))
        }
    }
}

/// One thing that DSS found.
#[derive(Clone, Debug, Default)]
pub struct Finding {
    /// The file; `FILE!NAME` for what lies in a container, `FILE!NAME+RECORD` with its record.
    pub path: String,
    /// `signature`, `timestamp`, `record`, or `file` where it recognised none.
    pub what: String,
    /// `TOTAL_PASSED` and so on.
    pub indication: String,
    /// Why not.
    pub sub_indication: String,
    /// Format of a signature, time that a record proves.
    pub format: String,
    /// Errors and warnings.
    pub messages: String,
}

/// What the validator of the European Commission says, or why it is not to be had.
///
/// # Errors
/// It cannot be run.
pub fn dss(args: &[String]) -> Result<Result<Vec<Finding>, &'static str>> {
    let output = Command::new("bash").arg(java_dir().join("dss.sh")).args(args).output()?;
    match output.status.code() {
        Some(0 | 4) => {}
        Some(77) => return Ok(Err("no JDK, no Maven, or no Maven Central")),
        _ => bail!("dss.sh: {}", String::from_utf8_lossy(&output.stderr)),
    }
    let said = String::from_utf8(output.stdout)?;
    let findings = said.lines().map(|line| {
        let mut fields = line.split('\t').map(str::to_owned);
        let mut next = || fields.next().unwrap_or_default();
        Finding {
            path: next(),
            what: next(),
            indication: next(),
            sub_indication: next(),
            format: next(),
            messages: next(),
        }
    });
    Ok(Ok(findings.collect()))
}

/// `xmllint` against a schema beside the repository; why not, when either is absent.
///
/// # Errors
/// What xmllint says of an invalid file.
pub fn xmllint(schema: &str, files: &[PathBuf]) -> Result<Result<(), String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/xsd");
    if !folder.join(schema).is_file() {
        return Ok(Err(format!("no schema {schema} beside the repository")));
    }
    let mut command = Command::new("xmllint");
    command.env("XML_CATALOG_FILES", folder.join("catalog.xml"));
    command.args(["--nonet", "--noout", "--schema"]).arg(folder.join(schema)).args(files);
    let Ok(output) = command.output() else { return Ok(Err("no xmllint".to_owned())) };
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    ensure!(said.matches(" validates").count() == files.len(), "{said}");
    Ok(Ok(()))
}

fn java_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("java")
}
