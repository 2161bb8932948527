//! One suite that every backbone must pass.
//!
//! [`run`] plays all checks on a [`Ground`], each with nodes of its own, so that a broker may serve
//! many runs. `checks.rs` holds what must be true on a calm day, `order.rs` the order of a key,
//! `faults.rs` what must be true when subscribers and brokers die, `tools.rs` the words of all.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::{Duration, Instant};

use schemas::ids::NodeId;

use crate::Options;

mod checks;
mod faults;
mod order;
mod tools;

/// Longest time for one check.
const CHECK_LIMIT: Duration = Duration::from_secs(180);

/// Where the suite plays.
#[derive(Debug)]
pub struct Ground {
    /// What [`crate::open`] takes.
    pub url: String,
    /// The options to open it with; `node` and `instance` are set by the checks.
    pub options: Options,
    /// Who may use it, where the broker knows its nodes. None: any name will do.
    pub accounts: Option<Box<dyn Accounts>>,
    /// How to kill the broker, where there is one that may be killed.
    pub broker: Option<Box<dyn Broker>>,
    /// Whether frames that are put aside come back to their sender (AMQP).
    pub returns: bool,
}

/// The nodes that a broker knows.
pub trait Accounts: Send + Sync + fmt::Debug {
    /// A node that nobody has used, and that has no lane.
    ///
    /// # Errors
    /// There is none left.
    fn newcomer(&self) -> io::Result<NodeId>;

    /// Gives a node what its operator gives it, and puts its credentials into the options.
    /// Idempotent.
    ///
    /// # Errors
    /// It could not be done.
    fn admit(&self, node: &NodeId, options: &mut Options) -> io::Result<()>;
}

/// A broker that may be killed, and otherwise treated badly.
pub trait Broker: Send + Sync + fmt::Debug {
    /// `kill -9`.
    ///
    /// # Errors
    /// It could not be done.
    fn kill(&self) -> io::Result<()>;

    /// Starts it again with the data it had, at the same address; returns when it answers.
    ///
    /// # Errors
    /// It could not be done.
    fn start(&self) -> io::Result<()>;

    /// An orderly end: it says goodbye to its clients.
    ///
    /// # Errors
    /// It could not be done.
    fn stop(&self) -> io::Result<()>;

    /// Falls silent, with every connection open.
    ///
    /// # Errors
    /// It could not be done.
    fn pause(&self) -> io::Result<()>;

    /// Goes on after [`Broker::pause`].
    ///
    /// # Errors
    /// It could not be done.
    fn resume(&self) -> io::Result<()>;
}

/// What a check found: nothing, or what is wrong.
type Verdict = Result<(), String>;
type Check = for<'a> fn(&'a Ground) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

macro_rules! checks {
    ($($module:ident :: $check:ident),+ $(,)?) => {
        &[$((stringify!($check), |ground| Box::pin($module::$check(ground)))),+]
    };
}

const CHECKS: &[(&str, Check)] = checks![
    checks::a_frame_arrives_as_it_was,
    checks::provisioning_twice_changes_nothing,
    checks::a_thousand_frames_keep_the_order_of_their_key,
    checks::lanes_are_apart,
    checks::a_lone_frame_does_not_wait,
    checks::unroutable_is_said_and_heals,
    checks::too_large_and_invalid_are_refused,
    checks::an_unknown_lane_cannot_be_read,
    checks::two_subscribers_share,
    checks::large_frames_in_bounded_batches,
    checks::what_waits_is_counted,
    checks::the_probe_goes_round,
    checks::closed_is_closed,
    checks::set_aside_is_gone_or_returned,
    checks::a_repeated_frame_keeps_its_id,
    order::replicas_keep_the_order_of_a_key,
    order::what_comes_back_comes_in_its_order,
    faults::what_was_not_acknowledged_comes_back,
    faults::what_was_acknowledged_stays_away,
    faults::acknowledged_out_of_order,
    faults::a_cancelled_wait_loses_nothing,
    faults::a_replica_comes_and_goes,
    faults::the_broker_falls_silent,
    faults::the_broker_dies,
];

/// The checks that need [`Ground::broker`].
pub const BAD_DAYS: [&str; 2] = ["the_broker_falls_silent", "the_broker_dies"];

/// One check that went well.
#[derive(Clone, Debug)]
pub struct Passed {
    /// Its name.
    pub check: &'static str,
    /// How long it took.
    pub took: Duration,
}

/// Plays every check, and stops at the first that fails. Without [`Ground::broker`] the broker is
/// left alive.
///
/// # Errors
/// The name of the check, and what is wrong.
pub async fn run(ground: &Ground) -> Result<Vec<Passed>, String> {
    let mut passed = Vec::new();
    for (check, play) in CHECKS {
        if !BAD_DAYS.contains(check) || ground.broker.is_some() {
            passed.push(play_one(ground, check, *play).await?);
        }
    }
    Ok(passed)
}

/// Plays the checks of these names; see [`run`].
///
/// # Errors
/// As [`run`]; or there is no check of that name.
pub async fn run_some(ground: &Ground, names: &[&str]) -> Result<Vec<Passed>, String> {
    let mut passed = Vec::new();
    for name in names {
        let Some((check, play)) = CHECKS.iter().find(|(check, _)| check == name) else {
            return Err(format!("{name}: no such check"));
        };
        passed.push(play_one(ground, check, *play).await?);
    }
    Ok(passed)
}

async fn play_one(ground: &Ground, check: &'static str, play: Check) -> Result<Passed, String> {
    let start = Instant::now();
    match tokio::time::timeout(CHECK_LIMIT, play(ground)).await {
        Ok(Ok(())) => Ok(Passed { check, took: start.elapsed() }),
        Ok(Err(why)) => Err(format!("{check}: {why}")),
        Err(_) => Err(format!("{check}: not done in {} s", CHECK_LIMIT.as_secs())),
    }
}
