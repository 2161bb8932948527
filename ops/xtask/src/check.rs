//! `cargo xtask check`: one step after the other, all of them even if one fails, then one closing
//! line that `ops/test` adds to those of the other runners.
//!
//! A tool that a developer may not have (cargo-deny, typos, shellcheck) is skipped, and says so.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::{deps, links, size, source};

/// How a step ended.
#[derive(Debug)]
enum Outcome {
    Passed,
    Failed(Vec<String>),
    Skipped(String),
}

/// Runs all steps; false when one failed.
///
/// # Errors
/// When a step cannot be carried out at all.
pub(crate) fn run(root: &Path) -> Result<bool> {
    let mut tally = Tally::default();
    tally.step("fmt", || cargo(root, &["fmt", "--all", "--check", "--", "-l"], &[]))?;
    tally.step("deps", || Ok(outcome(deps::check(root)?)))?;
    tally.step("size", || {
        let measured = size::measure(root)?;
        println!("{measured}");
        Ok(outcome(measured.findings()))
    })?;
    tally.step("links", || Ok(outcome(links::check(root)?)))?;
    let clippy = ["clippy", "--quiet", "--workspace", "--all-targets", "--keep-going"];
    tally
        .step("clippy", || cargo(root, &[&clippy[..], &["--", "-D", "warnings"]].concat(), &[]))?;
    let doc = ["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"];
    tally.step("doc", || cargo(root, &doc, &[("RUSTDOCFLAGS", "-D warnings")]))?;
    tally.step("deny", || deny(root))?;
    tally.step("typos", || typos(root))?;
    tally.step("shellcheck", || shellcheck(root))?;
    println!("{} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.skipped);
    Ok(tally.failed == 0)
}

#[derive(Debug, Default)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Tally {
    fn step(&mut self, name: &str, act: impl FnOnce() -> Result<Outcome>) -> Result<()> {
        let begin = Instant::now();
        let outcome = act().with_context(|| name.to_owned())?;
        let seconds = begin.elapsed().as_secs_f32();
        match outcome {
            Outcome::Passed => {
                self.passed += 1;
                println!("ok      {name} ({seconds:.1} s)");
            }
            Outcome::Failed(findings) => {
                self.failed += 1;
                findings.iter().for_each(|finding| println!("        {finding}"));
                println!("FAILED  {name} ({seconds:.1} s)");
            }
            Outcome::Skipped(why) => {
                self.skipped += 1;
                println!("skipped {name}: {why}");
            }
        }
        Ok(())
    }
}

fn outcome(findings: Vec<String>) -> Outcome {
    if findings.is_empty() { Outcome::Passed } else { Outcome::Failed(findings) }
}

fn cargo(root: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Outcome> {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).envs(environment.iter().copied());
    status(root, &mut command)
}

/// Advisories need a network, and change without us: they are the daily run's.
fn deny(root: &Path) -> Result<Outcome> {
    if !runs("cargo-deny") {
        return Ok(Outcome::Skipped("cargo-deny is not installed".to_owned()));
    }
    let arguments = ["deny", "--config", ".deny.toml", "check", "licenses", "bans", "sources"];
    cargo(root, &arguments, &[])
}

fn typos(root: &Path) -> Result<Outcome> {
    if !runs("typos") {
        return Ok(Outcome::Skipped("typos is not installed".to_owned()));
    }
    status(root, Command::new("typos").args(["--config", ".typos.toml"]))
}

fn shellcheck(root: &Path) -> Result<Outcome> {
    if !runs("shellcheck") {
        return Ok(Outcome::Skipped("shellcheck is not installed".to_owned()));
    }
    let scripts = source::scripts(root)?;
    status(root, Command::new("shellcheck").arg("--external-sources").args(scripts))
}

fn status(root: &Path, command: &mut Command) -> Result<Outcome> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.current_dir(root).status().with_context(|| program.clone())?;
    Ok(if status.success() {
        Outcome::Passed
    } else {
        Outcome::Failed(vec![format!("{program}: {status}")])
    })
}

fn runs(program: &str) -> bool {
    let version = Command::new(program).arg("--version").stdout(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_counted_and_the_next_one_still_runs() {
        let mut tally = Tally::default();
        tally.step("a", || Ok(Outcome::Failed(vec!["why".to_owned()]))).unwrap();
        tally.step("b", || Ok(Outcome::Skipped("absent".to_owned()))).unwrap();
        tally.step("c", || Ok(outcome(Vec::new()))).unwrap();
        assert_eq!((tally.passed, tally.failed, tally.skipped), (1, 1, 1));
    }

    #[test]
    fn a_program_that_ends_in_error_fails_its_step() {
        let root = crate::root().unwrap();
        assert!(matches!(status(&root, &mut Command::new("false")), Ok(Outcome::Failed(_))));
        assert!(matches!(status(&root, &mut Command::new("true")), Ok(Outcome::Passed)));
        assert!(!runs("no-such-program-anywhere"));
    }

    #[test]
    fn the_scripts_of_the_machine_room_are_found() {
        let scripts = source::scripts(&crate::root().unwrap()).unwrap();
        assert!(scripts.iter().any(|script| script.ends_with("ops/test")), "{scripts:?}");
    }
}
