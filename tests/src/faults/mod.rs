//! A campaign of faults against real processes, under load.
//!
//! ```text
//!   senders ---> nodes <--- proxy ---> broker        kill -9, SIGSTOP, cut, delay, silence,
//!                  |  \---- proxy ---> database      requests lost, answers lost
//!   recipients <---'  <----- hostile reader of lanes (doubles, delays, replays, breaks, keeps frames)
//! ```
//!
//! - [`schedule`]: what happens when; the same seed draws the same.
//! - [`ground`]: the network, its services and its proxies ([`proxy`]), to which it happens.
//! - [`load`]: senders and recipients, who write down what they were told and what they hold.
//! - [`hostile`]: a broker that cannot be trusted.
//! - [`verdict`]: after everything was healed, the ledgers are compared with each other, with the
//!   evidence, and with `fsck`.
//!
//! [`campaign`] plays one; `cargo xtask faults` plays many.

#![allow(clippy::indexing_slicing, reason = "JSON alone: a key that is missing is null")]

pub mod ground;
pub mod hostile;
pub mod load;
pub mod proxy;
pub mod schedule;
pub mod verdict;

use std::time::{Duration, Instant};

use anyhow::Result;
use exchange_node::clock::{self, Clock as _};

use ground::{Given, Ground, Plan};
use load::{Load, Pace};
use schedule::{Dice, Event, Fault, Schedule, Targets};
use verdict::Verdict;

/// What a campaign is asked for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Backbone, store and topology.
    pub plan: Plan,
    /// How long faults happen.
    pub length: Duration,
    /// Draws the schedule.
    pub seed: u64,
    /// Messages a second that are offered, at most.
    pub rate: f64,
}

/// Plays one campaign and judges it. `say` hears what happens.
///
/// # Errors
/// The ground cannot be laid, or never heals.
pub async fn campaign(wish: &Wish, say: &(dyn Fn(&str) + Sync)) -> Result<Verdict> {
    let mut ground = Ground::lay(&wish.plan, &Given::default()).await?;
    let schedule = Schedule::draw(wish.seed, wish.length, &ground.targets());
    let load = Load::start(&ground, Pace::Rate(wish.rate), wish.seed).await?;
    let (begin, from) = (Instant::now(), clock::system().now());
    for event in schedule.events() {
        tokio::time::sleep_until((begin + event.at).into()).await;
        say(&format!("{:>7.1} s  {event}", begin.elapsed().as_secs_f64()));
        ground.play(&event).await;
    }
    ground.heal().await?;
    let lost = ground.send_again(from)?;
    say(&format!("{:>7.1} s  all healed, {lost} frames were lost", begin.elapsed().as_secs_f64()));
    let ledger = load.finish().await?;
    let verdict = verdict::judge(&ground, &ledger, say).await?;
    say(&format!("{:>7.1} s  {verdict}", begin.elapsed().as_secs_f64()));
    Ok(verdict)
}

/// What a run under `kill -9` is asked for.
#[derive(Clone, Debug)]
pub struct Killing {
    /// Backbone, store and topology.
    pub plan: Plan,
    /// Services that are not killed; the others are the run's own, and are.
    pub given: Given,
    /// How many messages.
    pub messages: usize,
    /// Clients that send at once.
    pub clients: usize,
    /// Draws who is killed, and when.
    pub seed: u64,
}

/// Kills of processes of nodes for each kill of a service, or of a run without any.
const NODES: usize = 2;
/// Kills of each service that may be killed.
const SERVICES: usize = 2;

/// How long the load may stand still under `kill -9`.
const STALL: Duration = Duration::from_secs(120);

/// Sends all messages while everything is killed with `kill -9`, one after the other, at instants
/// that chance draws: after so many messages, and now and then while what was killed before still
/// starts. Then heals and judges as [`campaign`] does.
///
/// # Errors
/// The ground cannot be laid, or never heals.
pub async fn kill_minus_nine(wish: &Killing, say: &(dyn Fn(&str) + Sync)) -> Result<Verdict> {
    let mut ground = Ground::lay(&wish.plan, &wish.given).await?;
    let mut dice = Dice::new(wish.seed);
    let faults = kills(&mut dice, &ground.targets());
    let pace = Pace::Burst { messages: wish.messages, clients: wish.clients };
    let load = Load::start(&ground, pace, wish.seed).await?;
    let begin = Instant::now();
    let gap = (2 * wish.messages / (faults.len() + 1)).max(1) as u64;
    let mut told = 0;
    for fault in faults {
        // Every fourth does not wait until what was killed before is at work again.
        told += if dice.below(4) == 0 { 0 } else { dice.below(gap) as usize };
        until_told(&ground, &load, told.min(wish.messages)).await?;
        tokio::time::sleep(Duration::from_millis(dice.below(150))).await;
        for begins in [true, false] {
            let event = Event { at: begin.elapsed(), begins, fault: fault.clone() };
            say(&format!("{:>7.1} s  {event}, {} told", event.at.as_secs_f64(), load.told()));
            ground.play(&event).await;
            tokio::time::sleep(Duration::from_millis(dice.below(400))).await;
        }
    }
    until_told(&ground, &load, wish.messages).await?;
    ground.heal().await?;
    say(&format!("{:>7.1} s  all healed", begin.elapsed().as_secs_f64()));
    let ledger = load.finish().await?;
    let verdict = verdict::judge(&ground, &ledger, say).await?;
    say(&format!("{:>7.1} s  {verdict}", begin.elapsed().as_secs_f64()));
    Ok(verdict)
}

/// Until so many senders were told, or all were. A node ends where it cannot reach its broker as it
/// starts: whoever watches over it starts it again.
async fn until_told(ground: &Ground, load: &Load, told: usize) -> Result<()> {
    let (mut moved, mut watch) = ((load.told(), Instant::now()), Instant::now());
    while load.told() < told && !load.is_sent() {
        if load.told() > moved.0 {
            moved = (load.told(), Instant::now());
        }
        if watch.elapsed() > Duration::from_secs(1) {
            ground.supervise();
            watch = Instant::now();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        anyhow::ensure!(moved.1.elapsed() < STALL, "nothing moves after {} told", moved.0);
    }
    Ok(())
}

/// Everybody's turn comes, in an order that chance draws.
fn kills(dice: &mut Dice, targets: &Targets) -> Vec<Fault> {
    let times = NODES * (SERVICES * targets.services.len()).max(2);
    let nodes = targets.processes.iter().filter(|process| *process != "tsa");
    let mut all: Vec<Fault> = nodes.cycle().take(times).cloned().map(Fault::Kill).collect();
    for service in &targets.services {
        all.extend(std::iter::repeat_n(Fault::KillService(*service), SERVICES));
    }
    for i in (1..all.len()).rev() {
        all.swap(i, usize::try_from(dice.below(i as u64 + 1)).unwrap_or(0));
    }
    all
}
