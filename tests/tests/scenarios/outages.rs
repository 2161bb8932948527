//! (e) The database or the broker is killed under load and comes back: nothing that was accepted is
//! lost, nothing is doubled.
//!
//! ```text
//!   etat ------ RabbitMQ (killed) ------ cd-34
//!     \                                   /
//!      `------ PostgreSQL (killed) ------'
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::net::{Api, Net, skipped, state, text_at};
use tests::services::Service;

/// Longest time from an outage's end to the last delivery.
const RECOVERY: Duration = Duration::from_secs(120);

fn service(name: &str, test: &str) -> Option<Service> {
    Service::start(name).inspect_err(|why| skipped(test, &why.to_string().replace('\n', " "))).ok()
}

async fn send_with_key(
    api: &Api,
    document: &str,
    key: &str,
) -> reqwest::Result<(u16, Value, bool)> {
    let body = json!({
        "recipients": [{ "cog": "34172" }], "process": "AEC",
        "documents": [{ "id": document }],
    });
    let request = api.request(Method::POST, "/v1/messages").header("Idempotency-Key", key);
    let answer = request.json(&body).send().await?;
    let again = answer.headers().contains_key("retry-after");
    Ok((answer.status().as_u16(), answer.json().await?, again))
}

/// Like a client that follows the rules: repeats a call with its key until it is answered.
async fn send_surely(api: &Api, n: usize) -> String {
    let end = Instant::now() + RECOVERY;
    let document = loop {
        if let Ok(id) = api.pdf(&format!("outage {n}")).await {
            break id;
        }
        assert!(Instant::now() < end, "no document is taken");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    loop {
        match send_with_key(api, &document, &format!("outage-{n}")).await {
            Ok((201, message, _)) => return text_at(&message, "/message_id"),
            Ok((status, problem, _)) => assert!(status >= 500, "{status} {problem}"),
            Err(_) => {}
        }
        assert!(Instant::now() < end, "message {n} is not taken");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Every message is consigned once, and the archives agree with their evidence.
async fn all_arrived(net: &Net, sender: &Api, told: &BTreeSet<String>) {
    let end = Instant::now() + RECOVERY;
    for id in told {
        loop {
            match sender.get(&format!("/v1/messages/{id}")).await {
                Ok(message) if state(&message) == "consigned" => break,
                other => assert!(Instant::now() < end, "{id}: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let town = net.town().await.unwrap();
    let mut held = Vec::new();
    let mut after = "s0".to_owned();
    loop {
        let page = town.get(&format!("/v1/inbox?limit=200&after={after}")).await.unwrap();
        held.extend(page["items"].as_array().unwrap().iter().map(|i| text_at(i, "/message_id")));
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(held.len(), told.len(), "doubled or lost");
    assert_eq!(&held.into_iter().collect::<BTreeSet<_>>(), told);
    net.fsck("etat").unwrap();
    net.fsck("cd-34").unwrap();
}

/// How many messages: `PLI_TEST_MESSAGES` for longer campaigns.
fn messages() -> usize {
    std::env::var("PLI_TEST_MESSAGES").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

/// `count` messages by eight clients at once, while `fault` happens in the middle.
async fn under_load(net: &Net, count: usize, fault: impl AsyncFnOnce()) -> BTreeSet<String> {
    let sender = Arc::new(net.state().await.unwrap());
    let clients: Vec<_> = (0..8)
        .map(|client| {
            let sender = Arc::clone(&sender);
            tokio::spawn(async move {
                let mut told = Vec::new();
                for n in (client..count).step_by(8) {
                    told.push(send_surely(&sender, n).await);
                }
                told
            })
        })
        .collect();
    fault().await;
    let mut told = BTreeSet::new();
    for client in clients {
        told.extend(client.await.unwrap());
    }
    assert_eq!(told.len(), count);
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e6_the_database_is_killed_under_load() {
    let Some(postgres) = service("postgres", "e6") else { return };
    let net = Net::up_with(&["--store", &postgres.url]).unwrap();
    let sender = net.state().await.unwrap();
    let document = sender.pdf("before").await.unwrap();
    let told = under_load(&net, messages(), async || {
        tokio::time::sleep(Duration::from_millis(300)).await;
        postgres.kill().unwrap();
        // Accepted is what can be kept: nothing, and the client is told to come back.
        let (status, problem, again) = send_with_key(&sender, &document, "away").await.unwrap();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE.as_u16(), "{problem}");
        assert_eq!(problem["code"], "store-unavailable");
        assert_eq!(problem["retryable"], true);
        assert!(again, "no Retry-After");
        postgres.restart().unwrap();
    })
    .await;
    all_arrived(&net, &sender, &told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_is_killed_under_load_and_submissions_go_on() {
    let Some(rabbitmq) = service("rabbitmq", "broker killed under load") else { return };
    let net = Net::up_with(&["--backbone", &rabbitmq.url]).unwrap();
    let sender = net.state().await.unwrap();
    let mut told = under_load(&net, messages(), async || {
        tokio::time::sleep(Duration::from_millis(300)).await;
        rabbitmq.kill().unwrap();
        // Custody is ours from A.1 on, whatever the road does.
        let document = sender.pdf("while it is away").await.unwrap();
        let (status, message, _) = send_with_key(&sender, &document, "away").await.unwrap();
        assert_eq!(status, 201, "{message}");
        rabbitmq.restart().unwrap();
    })
    .await;
    let document = sender.pdf("afterwards").await.unwrap();
    for key in ["away", "afterwards"] {
        // The key of the first brings its own message back.
        let (_, message, _) = send_with_key(&sender, &document, key).await.unwrap();
        told.insert(text_at(&message, "/message_id"));
    }
    all_arrived(&net, &sender, &told).await;
}
