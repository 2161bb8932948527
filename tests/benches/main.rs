//! The benchmarks: each workload beside its floor, measured in the same run on the same machine.
//!
//! ```text
//! ops/bench [--quick] [--json FILE] [--backlog N] [--stored N] [WORKLOAD]...
//! ```
//! - [`deliver`]: deliveries per second over two real nodes, a real broker and a real database;
//!   latency of one message at a time; its floor is the bare pipeline of [`floor`];
//! - [`crypto`]: seals, verifications and bundles against raw signatures of the same engine;
//! - [`anchor`]: a million evidences under one hash tree against hashing as many leaves;
//! - [`contents`]: the start of a store of a million small contents;
//! - [`large`]: a gigabyte through both nodes, and small messages beside it, against a copy with a
//!   flush and the broker alone; [`backlog`]: what waited for a node that was away, and how fast that
//!   goes when much is stored;
//! - [`machine`]: what it ran on, and processor time by process; [`services`]: broker and database;
//! - [`report`]: the table and the JSON.
//!
//! Machines are noisy: read ratios, not rates. Deliberately absent: a verdict. Nothing fails here
//! because it is slow.
#![allow(clippy::print_stdout, reason = "a tool for people: its table goes to stdout")]

mod anchor;
mod backlog;
mod contents;
mod crypto;
mod deliver;
mod floor;
mod floor_rows;
mod large;
mod machine;
mod report;
mod services;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::report::{Report, Run};
use crate::services::with;

const WORKLOADS: [&str; 12] = [
    "seal",
    "verify",
    "proof",
    "anchor-1m",
    "contents-1m",
    "idle-latency",
    "deliver-1k",
    "deliver-100k",
    "deliver-1m",
    "large-1g",
    "backlog",
    "stored",
];

/// What is asked for.
#[derive(Debug, Default)]
struct Arguments {
    quick: bool,
    json: Option<PathBuf>,
    /// Deliveries of `backlog`.
    waiting: Option<usize>,
    /// Deliveries that `stored` grows to.
    stored: Option<usize>,
    workloads: Vec<String>,
}

fn main() -> Result<()> {
    let arguments = arguments()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(arguments))
}

fn arguments() -> Result<Arguments> {
    let mut out = Arguments::default();
    let mut given = std::env::args().skip(1);
    while let Some(one) = given.next() {
        match one.as_str() {
            // What `cargo bench` adds by itself.
            "--bench" => {}
            "--quick" => out.quick = true,
            "--json" => out.json = Some(given.next().context("--json needs a file")?.into()),
            "--backlog" => {
                let count = given.next().context("--backlog needs a number")?;
                out.waiting = Some(count.parse().context("--backlog needs a number")?);
            }
            "--stored" => {
                let count = given.next().context("--stored needs a number")?;
                out.stored = Some(count.parse().context("--stored needs a number")?);
            }
            name if WORKLOADS.contains(&name) => out.workloads.push(name.to_owned()),
            other => bail!("unknown workload {other:?}; there are {}", WORKLOADS.join(", ")),
        }
    }
    if out.workloads.is_empty() {
        let long = ["deliver-100k", "deliver-1m", "large-1g", "backlog", "stored"];
        let quick = |name: &str| !long.contains(&name);
        let chosen = WORKLOADS.into_iter().filter(|name| !out.quick || quick(name));
        out.workloads = chosen.map(str::to_owned).collect();
    }
    Ok(out)
}

async fn run(arguments: Arguments) -> Result<()> {
    let mut report = Report::new();
    for name in &arguments.workloads {
        eprintln!("bench: {name}");
        let runs = workload(name, &arguments).await.with_context(|| name.clone())?;
        for run in runs {
            eprintln!("bench: {}", run.line());
            report.runs.push(run);
        }
    }
    println!("{}", report.table());
    if let Some(file) = arguments.json {
        std::fs::write(&file, serde_json::to_vec_pretty(&report.json())?)?;
        eprintln!("bench: written to {}", file.display());
    }
    Ok(())
}

async fn workload(name: &str, arguments: &Arguments) -> Result<Vec<Run>> {
    let few = |all: usize, some: usize| if arguments.quick { some } else { all };
    let deliver =
        async |size, count| with(async |s| deliver::run(s, name, size, count).await).await;
    match name {
        "seal" => crypto::seal(),
        "verify" => crypto::verify(),
        "proof" => crypto::proof().await,
        "anchor-1m" => with(async |s| anchor::run(s, few(1_000_000, 100_000)).await).await,
        "contents-1m" => contents::run(few(1_000_000, 100_000)).await,
        "idle-latency" => with(async |s| deliver::idle(s, few(300, 50)).await).await,
        "deliver-1k" => deliver(1 << 10, few(10_000, 3_000)).await,
        "deliver-100k" => deliver(100 << 10, few(2_000, 300)).await,
        "deliver-1m" => deliver(1 << 20, few(300, 50)).await,
        "large-1g" => with(async |s| large::run(s, few(1 << 30, 64 << 20) as u64).await).await,
        "backlog" => {
            let count = arguments.waiting.unwrap_or_else(|| few(100_000, 3_000));
            with(async |s| backlog::run(s, count).await).await
        }
        "stored" => {
            let count = arguments.stored.unwrap_or_else(|| few(100_000, 80_000));
            with(async |s| backlog::stored(s, count).await).await
        }
        _ => bail!("no such workload"),
    }
}
