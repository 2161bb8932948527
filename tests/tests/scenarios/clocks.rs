//! Time that cannot be proven, and clocks that are wrong.
//!
//! ```text
//!   etat ---------------- national ---------------- cd-34
//!     \ (ten minutes behind)                         /
//!      `------------------- tsa --------------------'
//! ```

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::net::{Api, Net, SOON, pli, state, text_at};

/// Sends one PDF; whatever the answer, and whether it says when to come back.
async fn send(api: &Api, text: &str) -> (StatusCode, Value, bool) {
    let id = api.pdf(text).await.unwrap();
    let body = json!({
        "recipients": [{ "cog": "34172" }], "process": "AEC", "documents": [{ "id": id }],
    });
    let request = api.request(reqwest::Method::POST, "/v1/messages").json(&body);
    let answer = request.send().await.unwrap();
    let again = answer.headers().contains_key("retry-after");
    (answer.status(), answer.json().await.unwrap(), again)
}

#[tokio::test]
async fn e5_past_the_age_that_is_allowed_nothing_is_accepted_that_could_not_be_dated() {
    let home = tempfile::tempdir().unwrap();
    let env = [("PLI__LIMITS__MAX_UNANCHORED_AGE_S", "2")];
    let net = Net::up_at(home.path(), &env, &[]).unwrap();
    let sender = net.state().await.unwrap();
    net.kill("tsa").unwrap();
    let (status, first, _) = send(&sender, "within the age").await;
    assert_eq!(status, StatusCode::CREATED, "{first}");
    let end = Instant::now() + SOON;
    let (problem, again) = loop {
        match send(&sender, "on and on").await {
            (StatusCode::CREATED, ..) => assert!(Instant::now() < end, "it goes on accepting"),
            (StatusCode::SERVICE_UNAVAILABLE, problem, again) => break (problem, again),
            (status, problem, _) => panic!("{status} {problem}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(problem["code"], "timestamp-unavailable", "{problem}");
    assert_eq!(problem["retryable"], true, "{problem}");
    assert!(again, "no Retry-After: {problem}");
    // What was accepted goes its way meanwhile, without a date.
    let id = text_at(&first, "/message_id");
    let there = sender.until(&id, |m| state(m) == "consigned").await.unwrap();
    assert!(there["deliveries"][0]["evidence"][0]["anchored"].is_null());

    net.start(&[]).unwrap();
    let end = Instant::now() + SOON;
    loop {
        match send(&sender, "when it is back").await {
            (StatusCode::CREATED, ..) => break,
            (status, problem, _) => assert!(Instant::now() < end, "{status} {problem}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let dated = |m: &Value| m["deliveries"][0]["evidence"][0]["anchored"].is_string();
    sender.until(&id, dated).await.unwrap();
}

/// A process of its own, killed with the value.
struct Running(Child);

impl Running {
    fn start(args: &[&str], offset: i64) -> Self {
        let mut command = Command::new(pli().unwrap());
        command.args(args).env("PLI_CLOCK_OFFSET_MS", offset.to_string());
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// A node of a network.
    fn node(net: &Net, name: &str, offset: i64) -> Self {
        let config = net.dir().join(name).join("node.toml").display().to_string();
        Self::start(&["node", "run", "--config", &config], offset)
    }

    /// The timestamp authority of a network.
    fn tsa(net: &Net) -> Self {
        let url = text_at(&net.description().unwrap(), "/tsa_url");
        let listen = url.trim_start_matches("http://").trim_end_matches('/');
        let dir = |name: &str| net.dir().join(name).display().to_string();
        let (home, crls) = (dir("tsa"), dir("authority/published/tsa"));
        Self::start(&["tsa", "serve", "--dir", &home, "--crls", &crls, "--listen", listen], 0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn answers(net: &Net, node: usize) -> Api {
    let end = Instant::now() + SOON;
    loop {
        match net.member(node, 0).await {
            Ok(api) => return api,
            Err(why) => assert!(Instant::now() < end, "{why}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn clock(api: &Api) -> Value {
    let answer = reqwest::get(format!("{}/health/ready", api.url)).await.unwrap();
    let ready: Value = answer.json().await.unwrap();
    let list = ready["dependencies"].as_array().unwrap();
    list.iter().find(|d| d["name"] == "clock").cloned().unwrap_or_default()
}

/// The network is made of certificates and lists of half an hour ago; now the clock of `etat` falls
/// ten minutes behind, and is set right again.
#[tokio::test]
async fn a_clock_ten_minutes_behind_refuses_nobody_and_everything_is_there_when_it_is_right() {
    const BEHIND: i64 = -600_000;
    let home = tempfile::tempdir().unwrap();
    let net = Net::up_at(home.path(), &[("PLI_CLOCK_OFFSET_MS", "-1800000")], &[]).unwrap();
    for name in ["etat", "cd-34", "tsa"] {
        net.kill(name).unwrap();
    }
    let _tsa = Running::tsa(&net);
    let _other = Running::node(&net, "cd-34", 0);
    let wrong = Running::node(&net, "etat", BEHIND);
    let (sender, town) = (answers(&net, 0).await, answers(&net, 1).await);
    let said = text_at(&clock(&sender).await, "/reason");
    assert!(said.contains("behind") && said.contains(", since 20"), "{said}");
    // Out it goes; what the other node answers is from a future in which nothing is decided yet.
    let sent = sender.send_pdf("34172", "from the past").await.unwrap();
    let out = text_at(&sent, "/message_id");
    town.wait_for(&out).await.unwrap();
    // In, likewise: it waits on the broker, instead of being refused for our own fault.
    let document = town.pdf("from the future").await.unwrap();
    let (status, answer) = town
        .send(&json!({
            "recipients": [{ "scheme": "iso6523:0009", "id": sender.siret }], "process": "AEC",
            "documents": [{ "id": document }],
        }))
        .await
        .unwrap();
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let back = text_at(&answer, "/message_id");
    town.until(&back, |m| state(m) == "relaying").await.unwrap();
    let message = sender.get(&format!("/v1/messages/{out}")).await.unwrap();
    assert!(message["deliveries"][0]["evidence"][0]["anchored"].is_null(), "{message}");
    let queue = net.operate("etat", &["queue", "list"]).unwrap();
    let queue = String::from_utf8(queue.stdout).unwrap();
    assert!(!queue.contains("set-aside"), "{queue}");

    drop(wrong);
    let _right = Running::node(&net, "etat", 0);
    let sender = answers(&net, 0).await;
    sender.until(&out, |m| state(m) == "consigned").await.unwrap();
    sender.wait_for(&back).await.unwrap();
    town.until(&back, |m| state(m) == "consigned").await.unwrap();
    let dated = |m: &Value| m["deliveries"][0]["evidence"][0]["anchored"].is_string();
    sender.until(&out, dated).await.unwrap();
    assert_eq!(clock(&sender).await["ready"], true);
}
