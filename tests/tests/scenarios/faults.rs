//! (a9, e5, e6) What is killed comes back; nothing is lost, nothing is doubled.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use tests::net::{Net, state, text_at};

#[tokio::test]
async fn a9_messages_under_kill_minus_nine_are_delivered_once() {
    kill_minus_nine(&Net::up().unwrap(), &[], messages(60)).await;
}

#[tokio::test]
async fn a9_the_same_over_rabbitmq_and_postgresql() {
    let (Ok(amqp), Ok(pg)) = (std::env::var("PLI_TEST_AMQP"), std::env::var("PLI_TEST_PG")) else {
        return tests::net::skipped(
            "a9 over RabbitMQ and PostgreSQL",
            "PLI_TEST_AMQP, PLI_TEST_PG",
        );
    };
    let options = ["--backbone", &amqp, "--store", &pg];
    kill_minus_nine(&Net::up_with(&options).unwrap(), &options, messages(60)).await;
}

#[tokio::test]
async fn a9_the_same_over_kafka() {
    let Ok(kafka) = std::env::var("PLI_TEST_KAFKA") else {
        return tests::net::skipped("a9 over Kafka", "PLI_TEST_KAFKA");
    };
    let options = ["--backbone", &kafka];
    kill_minus_nine(&Net::up_with(&options).unwrap(), &options, messages(40)).await;
}

/// How many messages: `PLI_TEST_MESSAGES` for longer campaigns.
fn messages(default: usize) -> usize {
    std::env::var("PLI_TEST_MESSAGES").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// Sends `count` messages while both nodes are killed in turn and started again; a call that gets
/// no answer is repeated with its key.
async fn kill_minus_nine(net: &Net, options: &[&str], count: usize) {
    let mut sender = net.state().await.unwrap();
    let mut told = BTreeSet::new();
    for n in 0..count {
        match n % 20 {
            7 => net.kill("cd-34").unwrap(),
            14 => net.kill("etat").unwrap(),
            _ => {}
        }
        if n % 20 == 15 || n % 20 == 9 {
            net.start(options).unwrap();
            sender = net.state().await.unwrap();
        }
        told.insert(submit(net, options, &mut sender, n).await);
    }
    net.start(options).unwrap();
    let (sender, town) = (net.state().await.unwrap(), net.town().await.unwrap());
    assert_eq!(told.len(), count);
    for id in &told {
        sender.until(id, |m| state(m) == "consigned").await.unwrap();
    }
    // What the sender was told and what the recipient holds agree exactly.
    let mut held: BTreeMap<String, usize> = BTreeMap::new();
    let mut after = "s0".to_owned();
    loop {
        let page = town.get(&format!("/v1/inbox?limit=200&after={after}")).await.unwrap();
        for item in page["items"].as_array().unwrap() {
            *held.entry(text_at(item, "/message_id")).or_default() += 1;
        }
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    assert!(held.values().all(|n| *n == 1), "doubled: {held:?}");
    assert_eq!(held.into_keys().collect::<BTreeSet<_>>(), told);
    net.fsck("etat").unwrap();
    net.fsck("cd-34").unwrap();
}

async fn submit(net: &Net, options: &[&str], sender: &mut tests::net::Api, n: usize) -> String {
    loop {
        let tried = async {
            let document = sender.pdf(&format!("message {n}")).await?;
            let body = json!({
                "recipients": [{ "cog": "34172" }], "process": "AEC", "sender_ref": n.to_string(),
                "documents": [{ "id": document }],
            });
            let request = sender.request(Method::POST, "/v1/messages");
            let request = request.header("Idempotency-Key", format!("n{n}"));
            sender.answer(request.json(&body)).await
        };
        match tried.await {
            Ok((StatusCode::CREATED, message)) => return text_at(&message, "/message_id"),
            // The document of the first attempt is another than that of the second.
            Ok((StatusCode::CONFLICT, problem)) => return text_at(&problem, "/message_id"),
            Ok((status, problem)) => panic!("{status} {problem}"),
            Err(_) => {
                net.start(options).unwrap();
                *sender = net.state().await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn e5_without_a_timestamp_authority_messages_flow_and_proofs_follow() {
    let net = Net::up().unwrap();
    let (sender, town) = (net.state().await.unwrap(), net.town().await.unwrap());
    net.kill("tsa").unwrap();
    let sent = sender.send_pdf("34172", "late stamp").await.unwrap();
    let id = text_at(&sent, "/message_id");
    town.wait_for(&id).await.unwrap();
    let waiting = sender.until(&id, |m| state(m) == "consigned").await.unwrap();
    assert!(waiting["deliveries"][0]["evidence"][0]["anchored"].is_null());
    let ready = sender.get("/health/ready").await.unwrap();
    let tsa = ready["dependencies"].as_array().unwrap().iter().find(|d| d["name"] == "tsa");
    assert_eq!(tsa.unwrap()["ready"], false);
    net.start(&[]).unwrap();
    let anchored = |m: &serde_json::Value| {
        let steps = m["deliveries"][0]["evidence"].as_array().unwrap();
        steps.iter().all(|s| s["anchored"].is_string())
    };
    sender.until(&id, anchored).await.unwrap();
}

#[tokio::test]
async fn a_node_away_for_a_while_gets_everything_when_it_is_back() {
    let net = Net::up().unwrap();
    let sender = net.state().await.unwrap();
    net.kill("cd-34").unwrap();
    let sent = sender.send_pdf("34172", "later").await.unwrap();
    let id = text_at(&sent, "/message_id");
    sender.until(&id, |m| state(m) == "relaying").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    net.start(&[]).unwrap();
    net.town().await.unwrap().wait_for(&id).await.unwrap();
    sender.until(&id, |m| state(m) == "consigned").await.unwrap();
}
