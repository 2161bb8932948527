//! The project's own tools, run as `cargo xtask VERB`.
//!
//! - `check`: all that continuous integration runs before the tests ([`check`]);
//! - `deps`: the direction of dependencies between the rooms ([`deps`]);
//! - `size`: the size of files and functions ([`size`]);
//! - `links`: relative links in Markdown lead somewhere ([`links`]);
//! - `faults`: breaks processes, brokers, databases and frames at random, under load;
//! - `bench`: another name of `ops/bench`, which starts the services that it needs.
//!
//! Deliberately absent: tests that need a service or a network. They are in `ops/test`.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)
)]
#![allow(clippy::print_stdout, reason = "a tool for people: its findings go to stdout")]

mod check;
mod deps;
mod links;
mod size;
mod source;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

/// The project's own tools.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run every check of continuous integration that is not a test
    Check,
    /// Check the direction of dependencies between the rooms
    Deps,
    /// Check the size of files and functions, and print the figures
    Size,
    /// Check that relative links in Markdown lead somewhere
    Links,
    /// Break things at random under load: see `cargo xtask faults --help`
    #[command(disable_help_flag = true)]
    Faults {
        /// Options
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measure: what `ops/bench` does, see `ops/bench --help`
    Bench {
        /// Workloads and options
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool> {
    let root = root()?;
    let findings = match &arguments.verb {
        Verb::Check => return check::run(&root),
        Verb::Deps => deps::check(&root)?,
        Verb::Size => {
            let measured = size::measure(&root)?;
            println!("{measured}");
            measured.findings()
        }
        Verb::Links => links::check(&root)?,
        Verb::Faults { arguments } => return faults(&root, arguments),
        Verb::Bench { arguments } => {
            let status = Command::new(root.join("ops/bench")).args(arguments).status()?;
            return Ok(status.success());
        }
    };
    for finding in &findings {
        println!("{finding}");
    }
    Ok(findings.is_empty())
}

/// Builds what users run, and the driver beside it; then the driver.
fn faults(root: &Path, arguments: &[String]) -> Result<bool> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(&cargo);
    build.current_dir(root).args(["build", "--release", "-p", "exchange-node", "-p", "tests"]);
    if !build.args(["--bin", "pli", "--bin", "faults"]).status()?.success() {
        return Ok(false);
    }
    let mut run = Command::new(&cargo);
    run.current_dir(root).args(["run", "--quiet", "--release", "-p", "tests", "--bin", "faults"]);
    Ok(run.arg("--").args(arguments).status()?.success())
}

/// The repository: two levels above this crate.
fn root() -> Result<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().nth(2).context("xtask stands in ops/xtask")?;
    Ok(root.to_owned())
}
