//! Foreign tools that judge in tests. What is absent is skipped, and said.

use std::path::PathBuf;
use std::process::Command;

/// A Python that has `module`: `PLI_JUDGES_PYTHON`, or `python3`.
pub(crate) fn python(module: &str) -> Option<PathBuf> {
    let python = std::env::var_os("PLI_JUDGES_PYTHON").unwrap_or_else(|| "python3".into());
    let probe = Command::new(&python).args(["-c", &format!("import {module}")]).output();
    if probe.is_ok_and(|p| p.status.success()) {
        return Some(python.into());
    }
    eprintln!("skipped: no Python with {module} (PLI_JUDGES_PYTHON names one)");
    None
}
