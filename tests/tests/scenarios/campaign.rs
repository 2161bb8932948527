//! (a9, e4, e6) Short campaigns of random faults; `cargo xtask faults` plays long ones. A seed that
//! once found something stays here.

use std::time::Duration;

use tests::faults::{Wish, campaign};

/// `PLI_TEST_FAULTS`: seconds of faults in each.
fn seconds() -> u64 {
    std::env::var("PLI_TEST_FAULTS").ok().and_then(|n| n.parse().ok()).unwrap_or(15)
}

async fn played(plan: &str, seed: u64) {
    let wish = Wish {
        plan: plan.parse().unwrap(),
        length: Duration::from_secs(seconds()),
        seed,
        rate: 10.0,
    };
    let verdict = match campaign(&wish, &|line| eprintln!("{line}")).await {
        Ok(verdict) => verdict,
        Err(why) if ["rabbitmq", "kafka", "postgres"].contains(&why.to_string().as_str()) => {
            return tests::net::skipped(plan, &format!("{why:#}").replace('\n', " "));
        }
        Err(why) => panic!("{why:#}"),
    };
    assert!(verdict.findings.is_empty(), "seed {seed} on {plan}: {:#?}", verdict.findings);
    assert!(verdict.told > 20 && verdict.bundles > 3, "hardly any traffic: {verdict}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_breaks_a_relay_between_embedded_backbones_loses_nothing() {
    played("embedded/sqlite/chained", 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_breaks_kafka_loses_nothing() {
    played("kafka/sqlite/default", 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_breaks_replicas_on_rabbitmq_and_postgresql_lose_nothing() {
    played("amqp/postgres/replicas", 11).await;
}
