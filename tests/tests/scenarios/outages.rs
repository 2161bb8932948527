//! (e) The database or the broker is killed under load and comes back: nothing that was accepted is
//! lost, nothing is doubled.
//!
//! ```text
//!   etat ------ RabbitMQ (killed) ------ cd-34
//!     \                                   /
//!      `------ PostgreSQL (killed) ------'
//! ```

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::net::{Api, Net, skipped, state, text_at};
use tests::services::Service;

/// Longest time from an outage's end to the last delivery.
const RECOVERY: Duration = Duration::from_secs(120);

pub(crate) fn service(name: &str, test: &str) -> Option<Service> {
    Service::start(name).inspect_err(|why| skipped(test, &why.to_string().replace('\n', " "))).ok()
}

pub(crate) async fn send_with_key(
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
pub(crate) async fn all_arrived(net: &Net, sender: &Api, told: &BTreeSet<String>) {
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
    let held = town.inbox("/message_id").await.unwrap();
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
async fn e4_the_broker_is_away_under_load_and_submissions_go_on() {
    let Some(rabbitmq) = service("rabbitmq", "e4") else { return };
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

/// The queue of the sender's evidence has no leader, the broker works: who looks is told which lane is
/// not read, for what reason and since when, and nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e4_a_lane_that_is_not_read_is_told_and_what_lies_in_it_is_read_afterwards() {
    let Some(rabbitmq) = service("rabbitmq", "e4, a lane") else { return };
    let net = Net::up_with(&["--backbone", &rabbitmq.url]).unwrap();
    let sender = net.state().await.unwrap();
    let queues = rabbitmq.run("ctl", &["-q", "list_queues", "name"]).unwrap();
    let queue = queues.lines().find(|name| name.ends_with("etat.evidence")).unwrap();
    let leader = |what: &str| {
        let queue = format!("rabbit_misc:r(<<\"/\">>, queue, <<\"{queue}\">>)");
        let server = format!("{{ok, Q}} = rabbit_amqqueue:lookup({queue}), amqqueue:get_pid(Q)");
        let done = format!("ra:{what}(quorum_queues, begin {server} end).");
        assert_eq!(rabbitmq.run("ctl", &["-q", "eval", &done]).unwrap().trim(), "ok");
    };
    leader("stop_server");
    rabbitmq.run("ctl", &["-q", "close_all_connections", "a test"]).unwrap();
    let document = sender.pdf("meanwhile").await.unwrap();
    let (status, message, _) = send_with_key(&sender, &document, "meanwhile").await.unwrap();
    assert_eq!(status, 201, "{message}");
    let told = backbone_until(&sender, false).await;
    let reason = text_at(&told, "/reason");
    assert!(reason.starts_with("the evidence lane is not read: "), "{reason}");
    assert!(reason.contains(", since 20"), "{reason}");
    let figures = reqwest::get(format!("{}/metrics", sender.url)).await.unwrap();
    let figures = figures.text().await.unwrap();
    assert!(figures.contains("pli_dependency_up{dependency=\"backbone\"} 0"), "{figures}");
    leader("restart_server");
    all_arrived(&net, &sender, &[text_at(&message, "/message_id")].into()).await;
    backbone_until(&sender, true).await;
}

/// What a node says of its backbone, once that works or does not; it is ready all the while.
async fn backbone_until(api: &Api, works: bool) -> Value {
    let end = Instant::now() + RECOVERY;
    loop {
        let answer = reqwest::get(format!("{}/health/ready", api.url)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let all: Value = answer.json().await.unwrap();
        let all = all["dependencies"].as_array().unwrap();
        let backbone = all.iter().find(|one| one["name"] == "backbone").unwrap().clone();
        if backbone["ready"] == works && (works || backbone.to_string().contains("lane")) {
            return backbone;
        }
        assert!(Instant::now() < end, "{backbone}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Kafka is away from before the first submission: all are accepted, and leave in the order of their
/// conversation when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e4_kafka_is_away_and_what_was_accepted_leaves_in_order_when_it_is_back() {
    const CONVERSATIONS: usize = 8;
    const EACH: usize = 12;
    let Some(kafka) = service("kafka", "e4 on Kafka") else { return };
    let Some(postgres) = service("postgres", "e4 on Kafka") else { return };
    let net = Net::up_with(&["--backbone", &kafka.url, "--store", &postgres.url]).unwrap();
    let sender = net.state().await.unwrap();
    kafka.kill().unwrap();
    let talks = (0..CONVERSATIONS).map(|place| {
        let sender = sender.clone();
        tokio::spawn(async move { converse(&sender, place, EACH).await })
    });
    let mut told = BTreeSet::new();
    for talk in futures::future::join_all(talks).await {
        told.extend(talk.unwrap());
    }
    assert_eq!(told.len(), CONVERSATIONS * EACH);
    kafka.restart().unwrap();
    let back = Instant::now();
    all_arrived(&net, &sender, &told).await;
    let (count, drained) = (told.len(), back.elapsed());
    eprintln!("e4 on Kafka: {count} messages arrived and were audited in {drained:.1?}");
    let held = net.town().await.unwrap().inbox("/subject").await.unwrap();
    for place in 0..CONVERSATIONS {
        let of: Vec<&String> =
            held.iter().filter(|s| s.starts_with(&format!("{place}/"))).collect();
        assert!(of.is_sorted() && of.len() == EACH, "{of:?}");
    }
}

/// Messages of one conversation, one after the other; each is accepted at once.
async fn converse(sender: &Api, place: usize, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    for n in 0..count {
        let id = sender.pdf(&format!("{place}, {n}")).await.unwrap();
        let (status, message) = sender
            .send(&json!({
                "recipients": [{ "cog": "34172" }], "process": "AEC",
                "conversation_id": format!("conversation-{place}"),
                "subject": format!("{place}/{n:02}"), "documents": [{ "id": id }],
            }))
            .await
            .unwrap();
        assert_eq!(status, StatusCode::CREATED, "{message}");
        told.push(text_at(&message, "/message_id"));
    }
    told
}

/// Two working days without a node, sixteen conversations: each is told after 24 hours that nobody
/// knows, and everything arrives when the node is back, once, in the order of each conversation.
#[tokio::test]
async fn a_node_is_away_for_two_working_days_and_its_backlog_drains_in_order() {
    const DAY: i64 = 86_400_000;
    let net = Net::up().unwrap();
    let mut told: Vec<(String, String)> = Vec::new();
    let mut conversations: Vec<Option<String>> = vec![None; 16];
    net.kill("cd-34").unwrap();
    let mut running = Vec::new();
    for day in 0..=2_i64 {
        // The machine has been on all the time; its clock is what passes.
        if day > 0 {
            running.clear();
            running = without_the_other(&net, day * DAY).await;
        }
        let sender = net.state().await.unwrap();
        for n in 0..64 {
            let place = n % conversations.len();
            let id = sender.pdf(&format!("day {day}, {n}")).await.unwrap();
            let mut body = json!({
                "recipients": [{ "cog": "34172" }], "process": "AEC",
                "subject": format!("{place}/{day}/{n:02}"), "documents": [{ "id": id }],
            });
            if let Some(conversation) = &conversations[place] {
                body["conversation_id"] = conversation.as_str().into();
            }
            let (status, message) = sender.send(&body).await.unwrap();
            assert_eq!(status, StatusCode::CREATED, "{message}");
            conversations[place] = Some(text_at(&message, "/conversation_id"));
            told.push((text_at(&message, "/message_id"), text_at(&body, "/subject")));
        }
        // What is not sent when its 24 hours are over would fail, as the life cycle says.
        for (id, _) in told.iter().rev().take(64) {
            sender.until(id, |m| state(m) == "relaying").await.unwrap();
        }
    }
    let sender = net.state().await.unwrap();
    let silent = sender.until(&told[0].0, |m| state(m) == "unconfirmed").await.unwrap();
    assert!(silent.to_string().contains("RB22"), "{silent}");
    drop(running);
    let mut up = Command::new(tests::net::pli().unwrap());
    up.args(["localnet", "up", "--detach", "--dir"]).arg(net.dir());
    let output = up.env("PLI_CLOCK_OFFSET_MS", (2 * DAY + 60_000).to_string()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let sender = net.state().await.unwrap();
    let ids: BTreeSet<String> = told.iter().map(|(id, _)| id.clone()).collect();
    all_arrived(&net, &sender, &ids).await;
    let held = net.town().await.unwrap().inbox("/subject").await.unwrap();
    assert_eq!(held.len(), told.len());
    for place in 0..conversations.len() {
        let of = |subject: &&String| subject.starts_with(&format!("{place}/"));
        let sent: Vec<&String> = told.iter().map(|(_, subject)| subject).filter(of).collect();
        assert_eq!(held.iter().filter(of).collect::<Vec<_>>(), sent);
    }
}

/// A process of its own, killed with the value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `etat` and the timestamp authority again, at another time.
async fn without_the_other(net: &Net, offset: i64) -> Vec<Running> {
    // Killed already when they were of the day before.
    let _ = (net.kill("etat"), net.kill("tsa"));
    let tsa = text_at(&net.description().unwrap(), "/tsa_url");
    let listen = tsa.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let dir = |name: &str| net.dir().join(name).display().to_string();
    let (home, crls) = (dir("tsa"), dir("authority/published/tsa"));
    let tsa = ["tsa", "serve", "--dir", &home, "--crls", &crls, "--listen", &listen];
    let config = dir("etat/node.toml");
    let node = ["node", "run", "--config", &config];
    let running = [&tsa[..], &node].map(|args| {
        let mut command = Command::new(tests::net::pli().unwrap());
        command.args(args).env("PLI_CLOCK_OFFSET_MS", offset.to_string());
        Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    });
    let end = Instant::now() + RECOVERY;
    while net.state().await.is_err() {
        assert!(Instant::now() < end, "etat does not start");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    running.into()
}
