//! `cargo xtask faults`: campaigns of faults against real processes, one after the other, on every
//! pair of backbone and store. A seed replays its schedule.
#![allow(clippy::print_stdout, reason = "a tool for people")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use tests::faults::ground::Plan;
use tests::faults::{Wish, campaign};

/// Break things at random, under load, and compare what senders were told with what recipients
/// hold, with every evidence, and with fsck
#[derive(Debug, Parser)]
#[command(name = "cargo xtask faults", after_help = EXAMPLES)]
struct Arguments {
    /// How long, in all; faults happen in about half of it
    #[arg(long, value_name = "MINUTES", default_value_t = 10.0)]
    minutes: f64,
    /// Draws the schedules; a random one when absent
    #[arg(long)]
    seed: Option<u64>,
    /// ROAD[+ROAD]/STORE/TOPOLOGY; may be repeated. All pairs and topologies when absent
    #[arg(long = "on", value_name = "PLAN")]
    plans: Vec<Plan>,
    /// Messages offered each second, at most
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
}

const EXAMPLES: &str = "Examples:
  cargo xtask faults --minutes 30
  cargo xtask faults --minutes 2 --seed 7 --on kafka+amqp/postgres/chained";

/// Every pair of road and store, relays and replicas.
const ALL: [&str; 11] = [
    "amqp/postgres/replicas",
    "kafka+amqp/postgres/chained-replicas",
    "kafka+amqp/postgres/chained",
    "embedded/sqlite/default",
    "amqp/sqlite/default",
    "kafka/postgres/replicas",
    "kafka/sqlite/default",
    "embedded/postgres/replicas",
    "amqp+amqp/sqlite/chained",
    "amqp/postgres/default",
    "kafka/postgres/default",
];

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match play(arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("faults: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn play(arguments: Arguments) -> anyhow::Result<bool> {
    let mut plans = arguments.plans;
    if plans.is_empty() {
        plans = ALL.iter().map(|text| text.parse()).collect::<anyhow::Result<_>>()?;
    }
    let seed = arguments.seed.unwrap_or_else(|| u64::from(std::process::id()) << 20);
    let whole = Duration::from_secs_f64(arguments.minutes.max(0.1) * 60.0);
    // Half of it for faults; the other half for starting, draining and judging.
    let length = whole.div_f64(2.0 * plans.len() as f64).max(Duration::from_secs(15));
    let begin = Instant::now();
    let (mut broken, mut told) = (Vec::new(), 0);
    for (n, plan) in plans.iter().enumerate() {
        let seed = seed.wrapping_add(n as u64);
        println!("{plan}: seed {seed}, {} s of faults", length.as_secs());
        let wish = Wish { plan: plan.clone(), length, seed, rate: arguments.rate };
        let verdict = campaign(&wish, &|line| println!("{line}")).await?;
        told += verdict.told;
        for finding in &verdict.findings {
            println!("          ! {finding}");
        }
        if !verdict.findings.is_empty() {
            broken.push(format!("--seed {seed} --on {plan}"));
        }
    }
    println!("{} campaigns in {} s, {told} messages", plans.len(), begin.elapsed().as_secs());
    for again in &broken {
        println!("broken: cargo xtask faults {again}");
    }
    Ok(broken.is_empty())
}
