//! One suite that every archive must pass.
//!
//! [`run`] plays all checks, each on an archive of its own that [`Ground`] makes. `rows.rs`
//! holds what goes in and comes out, `races.rs` what must be true when several write or
//! connections break, `queue.rs` leases and order, `handed.rs` what a commit
//! claims, `tools.rs` the words that all use.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

mod handed;
mod lists;
mod peers;
mod queue;
mod races;
mod rows;
mod tools;

pub use self::tools::{Sample, Wrong, change};

/// Longest time for one check.
const CHECK_LIMIT: Duration = Duration::from_secs(180);

/// Where the suite plays.
pub trait Ground: Send + Sync + fmt::Debug {
    /// The URL of an archive that is empty and nobody else's, for the check of this name.
    fn fresh<'a>(
        &'a self,
        check: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<String, String>> + Send + 'a>>;
}

type Check = fn(String) -> Pin<Box<dyn Future<Output = Result<(), Wrong>> + Send>>;

macro_rules! checks {
    ($($module:ident :: $check:ident),+ $(,)?) => {
        &[$((stringify!($check), |url| Box::pin($module::$check(url)))),+]
    };
}

const CHECKS: &[(&str, Check)] = checks![
    rows::every_statement_prepares,
    rows::opening_at_once,
    rows::rows_round_trip,
    rows::known_evidence_keeps_its_bytes,
    rows::access_and_uploads,
    rows::sweeping_up,
    lists::messages_and_deliveries,
    lists::the_inbox,
    lists::what_waits_for_members,
    lists::what_is_due,
    lists::figures_and_probe,
    lists::anchors_of_ten_thousand,
    queue::leases_and_order,
    queue::what_waits_of_a_key,
    queue::death_and_redrive,
    queue::set_aside_once,
    queue::one_hot_key_among_many,
    queue::claims_at_once,
    handed::the_commit_claims,
    handed::what_was_tried,
    peers::held_and_released,
    peers::throttled,
    peers::paused_and_probed,
    peers::one_probe_among_replicas,
    peers::what_is_kept_back_is_not_overtaken,
    queue::closed_is_not_dead,
    races::causes_are_idempotent,
    races::conflict_in_the_middle,
    races::chains_in_a_batch,
    races::writers_at_once,
    races::one_cause_at_once,
    races::one_new_delivery_at_once,
    races::feeds_stay_in_order,
    races::broken_connections,
];

/// One check that went well.
#[derive(Clone, Debug)]
pub struct Passed {
    /// Its name.
    pub check: &'static str,
    /// How long it took.
    pub took: Duration,
}

/// Plays every check, and stops at the first that fails.
///
/// # Errors
/// The name of the check, and what is wrong.
pub async fn run(ground: &dyn Ground) -> Result<Vec<Passed>, String> {
    let mut passed = Vec::new();
    for (check, play) in CHECKS {
        let url = ground.fresh(check).await.map_err(|why| format!("{check}: {why}"))?;
        let start = Instant::now();
        match tokio::time::timeout(CHECK_LIMIT, play(url)).await {
            Ok(Ok(())) => passed.push(Passed { check, took: start.elapsed() }),
            Ok(Err(why)) => return Err(format!("{check}: {why}")),
            Err(_) => return Err(format!("{check}: not done in {} s", CHECK_LIMIT.as_secs())),
        }
    }
    Ok(passed)
}
