//! (a6) The order of a conversation, while large contents are late and processes die: what a
//! sender sent one after the other stands in the recipient's inbox so, and no other conversation
//! waits for it.
//!
//! ```text
//!   etat: plan.pdf (24 MiB), note 1 .. note 10      one conversation
//!         another note                              another one, which goes ahead
//! ```

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::net::{Api, Net, skipped, text_at};

use crate::replicas::Ground;

const MIB: usize = 1 << 20;
/// What a debug build beside other tests may take.
const LONG: Duration = Duration::from_secs(150);

/// A PDF by its first octets.
fn document(length: usize) -> Vec<u8> {
    let mut all = b"%PDF-1.4\n".to_vec();
    all.resize(length, b'x');
    all
}

/// Sends a document of a size; the id of the message.
async fn send(api: &Api, conversation: &str, size: usize) -> String {
    let end = Instant::now() + LONG;
    loop {
        let sent = async {
            let (status, document) =
                api.upload("plan.pdf", "application/pdf", &document(size)).await?;
            anyhow::ensure!(status == StatusCode::CREATED, "{status} {document}");
            let body = json!({ "recipients": [{ "cog": "34172" }], "process": "URBA",
                "conversation_id": conversation, "documents": [{ "id": document["id"] }] });
            api.send(&body).await
        };
        match sent.await {
            Ok((StatusCode::CREATED, message)) => return text_at(&message, "/message_id"),
            other => assert!(Instant::now() < end, "{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A large message and then small ones, in one conversation.
async fn dialogue(api: &Api, conversation: &str, large: usize, small: usize) -> Vec<String> {
    let mut sent = vec![send(api, conversation, large).await];
    for n in 0..small {
        sent.push(send(api, conversation, 100 + n).await);
    }
    sent
}

/// Waits until the inbox holds so many; what it showed meanwhile never had a gap in `line`.
async fn filled(api: &Api, count: usize, lines: &[&[String]]) -> Vec<String> {
    let end = Instant::now() + LONG;
    loop {
        if let Ok(held) = api.inbox("/message_id").await {
            lines.iter().for_each(|line| assert_in_order(&held, line));
            if held.len() >= count {
                return held;
            }
            assert!(Instant::now() < end, "{} of {count}", held.len());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What the inbox holds of a line is its beginning, in its order.
fn assert_in_order(held: &[String], line: &[String]) {
    let places: HashMap<&String, usize> = line.iter().zip(1..).collect();
    let got: Vec<usize> = held.iter().filter_map(|id| places.get(id).copied()).collect();
    let wanted: Vec<usize> = (1..=got.len()).collect();
    assert_eq!(got, wanted, "places in the order of sending");
}

/// Everything is on the backbone.
async fn gone(api: &Api, messages: &[String]) {
    for id in messages {
        let end = Instant::now() + LONG;
        let relaying = |m: &Value| m["deliveries"][0]["state"] != "accepted";
        while let Err(error) = api.until(id, relaying).await {
            assert!(Instant::now() < end, "{error}");
        }
    }
}

/// Sends while the node `away` is; then the conversation waits for its first content, in its
/// order, and another one does not.
async fn others_go_ahead(net: &Net, options: &[&str], away: &str, town: usize) {
    let agency = net.state().await.unwrap();
    net.kill(away).unwrap();
    let line = dialogue(&agency, "dialogue", 24 * MIB, 10).await;
    let other = send(&agency, "another", 100).await;
    gone(&agency, &[&line[..], std::slice::from_ref(&other)].concat()).await;
    net.start(options).unwrap();
    let town = net.member(town, 0).await.unwrap();
    let held = filled(&town, line.len() + 1, &[&line]).await;
    assert_eq!(held[0], other, "it has waited for another conversation");
    assert_eq!(held[1..], line);
}

#[tokio::test]
async fn a6_a_large_message_and_ten_small_ones_arrive_in_their_order() {
    let net = Net::up().unwrap();
    others_go_ahead(&net, &[], "cd-34", 1).await;
    net.fsck("cd-34").unwrap();
}

#[tokio::test]
async fn a6_the_order_holds_at_a_relay_and_behind_it() {
    let topology = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../ops/topologies/chained.toml");
    let topology = topology.display().to_string();
    let options = ["--topology", &topology];
    let net = Net::up_with(&options).unwrap();
    others_go_ahead(&net, &options, "cd-34", 2).await;
    net.fsck("cd-34").unwrap();
    net.fsck("ville-34172").unwrap();
}

#[tokio::test]
async fn a6_the_order_survives_kills_of_the_receiving_node() {
    let net = Net::up().unwrap();
    let agency = net.state().await.unwrap();
    net.kill("cd-34").unwrap();
    let line = dialogue(&agency, "dialogue", 24 * MIB, 5).await;
    let other = send(&agency, "another", 100).await;
    gone(&agency, &[&line[..], std::slice::from_ref(&other)].concat()).await;
    net.start(&[]).unwrap();
    // The line stands: the other conversation came after it, and has gone ahead.
    let town = net.town().await.unwrap();
    filled(&town, 1, &[&line]).await;
    net.kill("cd-34").unwrap();
    // More of the same conversation, and some while the node is up again.
    let mut line = line;
    for n in 0..3 {
        line.push(send(&agency, "dialogue", 200 + n).await);
    }
    net.start(&[]).unwrap();
    for n in 0..3 {
        line.push(send(&agency, "dialogue", 300 + n).await);
    }
    let town = net.town().await.unwrap();
    filled(&town, 2, &[&line]).await;
    net.kill("cd-34").unwrap();
    net.start(&[]).unwrap();
    let town = net.town().await.unwrap();
    let held = filled(&town, line.len() + 1, &[&line]).await;
    assert_eq!(held[0], other);
    assert_eq!(held[1..], line);
    net.fsck("cd-34").unwrap();
}

/// Two processes of each node; those of the receiving one are killed in turn while conversations
/// flow, some with large contents.
async fn replicas_keep_order(road: Option<String>) {
    let Some(ground) = Ground::up(road) else { return };
    let [agency, other] = ground.agencies().await;
    let (mut large, mut small, mut mixed) = (Vec::new(), Vec::new(), Vec::new());
    // All of it waits on the backbone when two readers come at once.
    ground.net.kill("cd-34.1").unwrap();
    ground.net.kill("cd-34.2").unwrap();
    let mut ahead = Vec::new();
    for n in 0..60 {
        ahead.push(send(&agency, "ahead", 100 + n).await);
    }
    gone(&agency, &ahead).await;
    ground.start();
    for round in 0..4 {
        large.extend(dialogue(&agency, "large", 6 * MIB, 4).await);
        for n in 0..8 {
            // Each was accepted before the next is sent, whichever process accepts it.
            let api = if n % 2 == 0 { &agency } else { &other };
            small.push(send(api, "small", 100 + n).await);
            mixed.push(send(api, "mixed", if n == 3 { 2 * MIB } else { 200 + n }).await);
            match (round, n) {
                (0 | 2, 4) => ground.net.kill("cd-34.1").unwrap(),
                (1 | 3, 4) => ground.net.kill("cd-34.2").unwrap(),
                (_, 7) => ground.start(),
                _ => {}
            }
        }
    }
    let town = ground.net.member(1, 0).await.unwrap();
    let lines = [ahead.as_slice(), &large, &small, &mixed];
    let count = lines.iter().map(|line| line.len()).sum();
    let held = filled(&town, count, &lines).await;
    assert_eq!(held.len(), count, "doubled");
    ground.net.fsck("cd-34").unwrap();
}

#[tokio::test]
async fn a6_two_replicas_keep_the_order_over_rabbitmq() {
    let Ok(amqp) = std::env::var("PLI_TEST_AMQP") else {
        return skipped("order over RabbitMQ", "PLI_TEST_AMQP");
    };
    replicas_keep_order(Some(amqp)).await;
}

#[tokio::test]
async fn a6_two_replicas_keep_the_order_over_kafka() {
    let Ok(kafka) = std::env::var("PLI_TEST_KAFKA") else {
        return skipped("order over Kafka", "PLI_TEST_KAFKA");
    };
    replicas_keep_order(Some(kafka)).await;
}

#[tokio::test]
async fn a6_the_order_holds_over_four_partitions_of_kafka() {
    let Ok(kafka) = std::env::var("PLI_TEST_KAFKA") else {
        return skipped("order over Kafka", "PLI_TEST_KAFKA");
    };
    let home = tempfile::tempdir().unwrap();
    let options = ["--backbone", &kafka];
    let env = [("PLI__BACKBONE__PARTITIONS", "4")];
    let net = Net::up_at(home.path(), &env, &options).unwrap();
    let parted = partitions(&net, &kafka);
    assert!(parted.is_none_or(|count| count == 4), "{parted:?} partitions");
    // More conversations than partitions: some share one, and none waits for another.
    let agency = net.state().await.unwrap();
    net.kill("cd-34").unwrap();
    let line = dialogue(&agency, "dialogue", 24 * MIB, 5).await;
    let mut sent = line.clone();
    let mut others = Vec::new();
    for n in 0..8 {
        others.push(send(&agency, &format!("other-{n}"), 100).await);
    }
    sent.extend_from_slice(&others);
    gone(&agency, &sent).await;
    net.start(&options).unwrap();
    let town = net.town().await.unwrap();
    let held = filled(&town, sent.len(), &[&line]).await;
    let first = held.iter().position(|id| *id == line[0]).unwrap();
    assert_eq!(first, others.len(), "others have waited for another conversation");
}

/// How many parts `kcat` sees of the message lane of `cd-34`; none when it is not installed.
fn partitions(net: &Net, url: &str) -> Option<usize> {
    let config = std::fs::read_to_string(net.dir().join("cd-34/node.toml")).unwrap();
    let namespace = config.lines().find_map(|l| l.strip_prefix("namespace = \"")).unwrap();
    let topic = format!("pli.{}-cd-34.message", namespace.trim_end_matches('"'));
    let broker = url.replace("kafka://", "");
    let told = Command::new("kcat").args(["-L", "-b", &broker, "-t", &topic]).output().ok()?;
    let told = String::from_utf8(told.stdout).unwrap();
    let (_, rest) = told.split_once(&format!("\"{topic}\" with ")).expect(&told);
    rest.split(' ').next()?.parse().ok()
}
