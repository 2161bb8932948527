//! (a9) A thousand messages under `kill -9`: of either node, of the broker and of the database, at
//! instants that chance draws, while sixteen clients send at once.
//!
//! ```text
//!   16 clients ---> etat <--- broker ---> cd-34 ---> recipients      ledgers, both ways
//!                     '----- database -----'
//! ```
//!
//! A client that gets no answer repeats its call with its key. In the end what senders were told is
//! what recipients hold, each once; every message has its chain of evidence, the same bytes at both
//! ends; `fsck` finds nothing. `PLI_TEST_MESSAGES` raises the numbers, `PLI_TEST_SEED` draws anew.

use tests::faults::ground::Given;
use tests::faults::{Killing, kill_minus_nine};

fn said(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|n| n.parse().ok())
}

async fn killed(plan: &str, given: Given, messages: u64) {
    let messages = said("PLI_TEST_MESSAGES").unwrap_or(messages) as usize;
    let seed = said("PLI_TEST_SEED").unwrap_or(9);
    eprintln!("{messages} messages on {plan}: PLI_TEST_SEED={seed}");
    let wish = Killing { plan: plan.parse().unwrap(), given, messages, clients: 16, seed };
    let verdict = match kill_minus_nine(&wish, &|line| eprintln!("{line}")).await {
        Ok(verdict) => verdict,
        Err(why) if ["rabbitmq", "postgres"].contains(&why.to_string().as_str()) => {
            return tests::net::skipped(plan, &format!("{why:#}").replace('\n', " "));
        }
        Err(why) => panic!("{why:#}"),
    };
    assert!(verdict.findings.is_empty(), "seed {seed} on {plan}: {:#?}", verdict.findings);
    assert_eq!((verdict.told, verdict.held), (messages, messages));
    assert!(verdict.bundles > 3, "{verdict}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_a_thousand_messages_while_nodes_broker_and_database_are_killed() {
    killed("amqp/postgres/default", Given::default(), 1_000).await;
}

/// The other pairs, with services that are there already and that nobody kills.
async fn nodes_killed(plan: &str) {
    let given = Given::by_environment();
    for (part, url) in
        [("amqp", &given.amqp), ("kafka", &given.kafka), ("postgres", &given.postgres)]
    {
        if plan.contains(part) && url.is_none() {
            return tests::net::skipped(plan, "PLI_TEST_PG, PLI_TEST_AMQP or PLI_TEST_KAFKA");
        }
    }
    killed(plan, given, 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_nodes_killed_on_the_embedded_backbone_and_sqlite() {
    nodes_killed("embedded/sqlite/default").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_nodes_killed_on_the_embedded_backbone_and_postgresql() {
    nodes_killed("embedded/postgres/default").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_nodes_killed_on_rabbitmq_and_sqlite() {
    nodes_killed("amqp/sqlite/default").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_nodes_killed_on_kafka_and_sqlite() {
    nodes_killed("kafka/sqlite/default").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_nodes_killed_on_kafka_and_postgresql() {
    nodes_killed("kafka/postgres/default").await;
}
