//! The conformance suite on each backbone that this build has.
//!
//! Brokers come from `PLI_TEST_AMQP` and `PLI_TEST_KAFKA` (URLs), or are started by `ops/services`
//! in a temporary directory; those that are killed or starved always are. Where that is not possible
//! the test is skipped, and says so.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use broker_adapter::Options;
use broker_adapter::conformance::{self, Ground, Passed};

#[cfg(feature = "amqp")]
mod amqp;
#[cfg(feature = "kafka")]
mod kafka;
mod processes;
#[cfg(any(feature = "amqp", feature = "kafka"))]
mod services;
#[cfg(any(feature = "amqp", feature = "kafka"))]
mod silence;

fn ground(url: String) -> Ground {
    Ground { url, options: Options::default(), accounts: None, broker: None, returns: false }
}

async fn pass(ground: &Ground) {
    tell(conformance::run(ground).await);
}

#[cfg(any(feature = "amqp", feature = "kafka"))]
async fn pass_some(ground: &Ground, checks: &[&str]) {
    tell(conformance::run_some(ground, checks).await);
}

fn tell(result: Result<Vec<Passed>, String>) {
    match result {
        Ok(passed) => {
            for one in passed {
                eprintln!("{:>8.0?}  {}", one.took, one.check);
            }
        }
        Err(why) => panic!("{why}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("backbone.db");
    pass(&ground(format!("embedded://{}", file.display()))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_with_several_processes() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("embedded://{}", directory.path().join("backbone.db").display());
    // A lease of 3 s, and what a busy machine needs.
    processes::a_killed_reader_loses_nothing(&url, Duration::from_secs(8)).await;
    processes::what_a_killed_publisher_saw_confirmed_is_there(&url).await;
}

/// So deep that no socket can be bound there: subscribers must poll.
#[tokio::test(flavor = "multi_thread")]
async fn embedded_without_bells() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("d".repeat(100)).join("backbone.db");
    pass(&ground(format!("embedded://{}", file.display()))).await;
}
