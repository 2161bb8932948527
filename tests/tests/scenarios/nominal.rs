//! (e4) A broker is away at nominal load: every submission is accepted at once, in its order of
//! conversation, and what waited drains by itself when the broker is back.
//!
//! ```text
//!   16 conversations, RATE a second ---- etat ---- broker (killed) ---- cd-34
//!                                          \                           /
//!                                           `------- PostgreSQL ------'
//! ```
//! Eight seconds at 20 a second here; `PLI_TEST_OUTAGE=3600 PLI_TEST_RATE=20` for a real hour.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::net::{Api, Net, text_at};
use tokio::time::{MissedTickBehavior, interval};

use crate::outages::{all_arrived, service};

const CONVERSATIONS: u32 = 16;
/// A token is good for an hour; a client asks for another before.
const TOKEN: Duration = Duration::from_secs(1_800);

fn asked(name: &str, otherwise: u32) -> u32 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}

/// What one conversation was told.
#[derive(Default)]
struct Told {
    ids: Vec<String>,
    waits: Vec<Duration>,
}

/// One message after the other, at the pace of the conversation, each accepted when first sent.
async fn converse(net: Arc<Net>, place: u32, every: Duration, until: Instant) -> Told {
    let mut told = Told::default();
    let (mut sender, mut entered) = (net.state().await.unwrap(), Instant::now());
    let mut pace = interval(every);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < until {
        pace.tick().await;
        if entered.elapsed() > TOKEN {
            (sender, entered) = (net.state().await.unwrap(), Instant::now());
        }
        let n = told.ids.len();
        let begun = Instant::now();
        let document = sender.pdf(&format!("{place}, {n}")).await.unwrap();
        let body = json!({
            "recipients": [{ "cog": "34172" }], "process": "AEC",
            "conversation_id": format!("nominal-{place}"),
            "subject": format!("{place}/{n:06}"), "documents": [{ "id": document }],
        });
        let (status, message) = sender.send(&body).await.unwrap();
        assert_eq!(status, 201, "{message}");
        told.waits.push(begun.elapsed());
        told.ids.push(text_at(&message, "/message_id"));
    }
    told
}

async fn figure(api: &Api, name: &str) -> f64 {
    let text = String::from_utf8(api.bytes("/metrics").await.unwrap()).unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or("0");
    line.trim().parse().unwrap()
}

/// What a look at the node tells while its broker is away.
async fn told_so(sender: &Api, away: Instant) {
    let ready: Value =
        reqwest::get(format!("{}/health/ready", sender.url)).await.unwrap().json().await.unwrap();
    assert_eq!(ready["ready"], true, "{ready}");
    let dependencies = ready["dependencies"].as_array().unwrap();
    let road = dependencies.iter().find(|d| text_at(d, "/name").starts_with("backbone")).unwrap();
    assert_eq!(road["ready"], false, "{road}");
    assert!(text_at(road, "/reason").contains(", since 20"), "{road}");
    let (oldest, gone) = (figure(sender, "pli_oldest_unsent_seconds ").await, away.elapsed());
    assert!(oldest > gone.as_secs_f64() / 2.0, "{oldest} of {gone:?}");
    eprintln!("e4: {gone:.0?} away, the oldest waits for {oldest:.0} s");
}

async fn away_at_nominal_load(broker: &str) {
    let test = format!("e4 at nominal load, {broker}");
    let Some(road) = service(broker, &test) else { return };
    let Some(postgres) = service("postgres", &test) else { return };
    let outage = Duration::from_secs(asked("PLI_TEST_OUTAGE", 8).into());
    let rate = asked("PLI_TEST_RATE", 20);
    let net = Net::up_with(&["--backbone", &road.url, "--store", &postgres.url]).unwrap();
    let net = Arc::new(net);
    // Something is under way when the broker dies, and goes on being sent when it is back.
    let every = Duration::from_secs(1) * CONVERSATIONS / rate;
    let until = Instant::now() + outage + Duration::from_secs(4);
    let talks: Vec<_> = (0..CONVERSATIONS)
        .map(|place| tokio::spawn(converse(Arc::clone(&net), place, every, until)))
        .collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    road.kill().unwrap();
    let away = Instant::now();
    tokio::time::sleep(outage * 3 / 4).await;
    told_so(&net.state().await.unwrap(), away).await;
    tokio::time::sleep(outage.saturating_sub(away.elapsed())).await;
    road.restart().unwrap();
    let back = Instant::now();
    let (mut told, mut waits) = (BTreeSet::new(), Vec::new());
    for talk in futures::future::join_all(talks).await {
        let of = talk.unwrap();
        told.extend(of.ids);
        waits.extend(of.waits);
    }
    let sender = net.state().await.unwrap();
    let most = Duration::from_secs(60).max(outage / 2);
    let consigned = "pli_deliveries{role=\"sender\",state=\"consigned\"} ";
    let count = f64::from(u32::try_from(told.len()).unwrap());
    while figure(&sender, consigned).await < count {
        assert!(back.elapsed() < most, "the backlog does not drain");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let drained = back.elapsed();
    waits.sort_unstable();
    let p99 = waits[waits.len() * 99 / 100];
    eprintln!(
        "{test}: {} accepted when first sent (p99 {p99:.0?}, longest {:.0?}) while it was away for \
         {:.0?}; drained {drained:.1?} after it was back",
        told.len(),
        waits.last().unwrap(),
        outage
    );
    all_arrived(&net, &sender, &told).await;
    let held = net.town().await.unwrap().inbox("/subject").await.unwrap();
    assert_eq!(held.len(), told.len());
    for place in 0..CONVERSATIONS {
        let of: Vec<&String> =
            held.iter().filter(|s| s.starts_with(&format!("{place}/"))).collect();
        assert!(of.is_sorted(), "conversation {place} is out of order");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e4_rabbitmq_is_away_at_nominal_load_and_all_drains_in_order() {
    away_at_nominal_load("rabbitmq").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e4_kafka_is_away_at_nominal_load_and_all_drains_in_order() {
    away_at_nominal_load("kafka").await;
}
