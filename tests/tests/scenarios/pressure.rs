//! More than a node can take: it takes what it can keep, tells the others to come back, says so to
//! whoever looks, and loses nothing.
//!
//! ```text
//!   clients ====> etat ---- proxy (slow) ---- PostgreSQL
//!                  |                              |
//!                  '---------- embedded -------- cd-34
//! ```

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::faults::proxy::{Mode, Proxy};
use tests::net::{Api, Net, skipped, state, text_at};
use tests::services::Service;

const PATIENCE: Duration = Duration::from_secs(120);
/// Calls at once, and how many may wait for the engine.
const CALLERS: usize = 120;
const QUEUE: &str = "16";
/// Uploads at once, each so long, and what calls may take of memory together.
const UPLOADS: usize = 24;
const MIB: usize = 1 << 20;
const IN_FLIGHT: usize = 6 * MIB;

/// What became of a call.
enum Said {
    Taken(Value),
    /// The code.
    ComeBack(String),
}

/// Taken, or told after which time to come back: there is no room, or the database had no time for
/// this call. Nothing else.
async fn call(request: reqwest::RequestBuilder) -> Said {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let again = answer.headers().get("retry-after").cloned();
    let body: Value = answer.json().await.unwrap();
    if status == StatusCode::CREATED {
        return Said::Taken(body);
    }
    let code = text_at(&body, "/code");
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    assert!(["overloaded", "store-unavailable"].contains(&code.as_str()), "{body}");
    assert_eq!(body["retryable"], true);
    let after: u64 = again.expect("Retry-After").to_str().unwrap().parse().unwrap();
    assert!((1..=120).contains(&after), "{after}");
    Said::ComeBack(code)
}

fn submission(api: &Api, document: &str, n: usize) -> reqwest::RequestBuilder {
    let body = json!({
        "recipients": [{ "cog": "34172" }], "process": "AEC",
        "documents": [{ "id": document }],
    });
    let request = api.request(Method::POST, "/v1/messages").json(&body);
    request.header("Idempotency-Key", format!("flood-{n}"))
}

fn upload(api: &Api) -> reqwest::RequestBuilder {
    let mut content = b"%PDF-1.4\n".to_vec();
    content.resize(MIB, b'x');
    let request =
        api.request(Method::POST, "/v1/documents").header("Content-Type", "application/pdf");
    request.header("Content-Disposition", "attachment; filename=plan.pdf").body(content)
}

/// Resident octets of `etat`.
fn memory(net: &Net) -> usize {
    let pid = net.description().unwrap()["nodes"][0]["pid"].as_u64().unwrap();
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

async fn room(api: &Api) -> String {
    let answer = reqwest::get(format!("{}/health/ready", api.url)).await.unwrap();
    let ready: Value = answer.json().await.unwrap();
    let list = ready["dependencies"].as_array().unwrap();
    text_at(list.iter().find(|d| d["name"] == "room").unwrap(), "/reason")
}

/// What whoever looks is told while it lasts.
async fn complaint(api: &Api) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        let reason = room(api).await;
        if reason.contains("overloaded") {
            return reason;
        }
        assert!(Instant::now() < end, "it complains about nothing");
    }
}

async fn documents(api: &Api) -> Vec<String> {
    let mut all = Vec::new();
    for n in 0..CALLERS {
        all.push(api.pdf(&format!("flood {n}")).await.unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_database_slows_submissions_down_and_a_flood_is_told_to_come_back() {
    let test = "a slow database";
    let postgres = match Service::start("postgres") {
        Ok(postgres) => postgres,
        Err(why) => return skipped(test, &why.to_string().replace('\n', " ")),
    };
    let (login, place) = postgres.url.split_once('@').unwrap();
    let (server, database) = place.split_once('/').unwrap();
    let disk = Proxy::before(server).await.unwrap();
    let store = format!("{login}@{}/{database}", disk.at);
    let home = tempfile::tempdir().unwrap();
    let most = IN_FLIGHT.to_string();
    let env = [("PLI__LIMITS__QUEUE", QUEUE), ("PLI__LIMITS__MAX_INFLIGHT_BYTES", most.as_str())];
    let net = Net::up_at(home.path(), &env, &["--store", &store]).unwrap();
    let sender = net.state().await.unwrap();
    let waiting = documents(&sender).await;
    let mut told = BTreeSet::new();

    // Slower, and right.
    let swift = Instant::now();
    let first = sender.send_pdf("34172", "while it is swift").await.unwrap();
    let swift = swift.elapsed();
    told.insert(text_at(&first, "/message_id"));
    disk.set(Mode::Delay(Duration::from_millis(100)));
    let slow = Instant::now();
    let second = sender.send_pdf("34172", "while it is slow").await.unwrap();
    let slow = slow.elapsed();
    told.insert(text_at(&second, "/message_id"));
    assert!(slow > swift && slow > Duration::from_millis(200), "{swift:?}, then {slow:?}");

    // A flood: as many as can be kept are taken, the others told to come back, and memory stays.
    let before = memory(&net);
    let flood = waiting.iter().enumerate().map(|(n, id)| call(submission(&sender, id, n)));
    let uploads = (0..UPLOADS).map(|_| call(upload(&sender)));
    let looks = complaint(&sender);
    let (flood, uploads, reason) = tokio::join!(join_all(flood), join_all(uploads), looks);
    assert!(reason.contains(", since 20"), "{reason}");
    let overloaded = |said: &&Said| matches!(said, Said::ComeBack(code) if code == "overloaded");
    let sent_away = |all: &[Said]| all.iter().filter(overloaded).count();
    let (calls, bytes) = (sent_away(&flood), sent_away(&uploads));
    let grown = memory(&net).saturating_sub(before);
    eprintln!(
        "{swift:?} and {slow:?}; {calls} of {CALLERS} calls and {bytes} of {UPLOADS} uploads"
    );
    eprintln!("were told to come back; {} KiB more are resident", grown / 1024);
    assert!(calls > 0 && calls < CALLERS, "{calls} calls were told to come back");
    assert!(bytes > 0 && bytes < UPLOADS, "{bytes} uploads were told to come back");
    assert!(grown < 64 * MIB, "{grown} octets more");

    // They come back with their keys when it is swift again: each is one message.
    disk.set(Mode::Pass);
    let end = Instant::now() + PATIENCE;
    for (n, (id, said)) in waiting.iter().zip(flood).enumerate() {
        let mut said = said;
        let message = loop {
            match said {
                Said::Taken(message) => break message,
                Said::ComeBack(_) => assert!(Instant::now() < end, "message {n} is not taken"),
            }
            said = call(submission(&sender, id, n)).await;
        };
        told.insert(text_at(&message, "/message_id"));
    }
    assert_eq!(told.len(), CALLERS + 2);
    for id in &told {
        while state(&sender.get(&format!("/v1/messages/{id}")).await.unwrap()) != "consigned" {
            assert!(Instant::now() < end, "{id} does not arrive");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let page = net.town().await.unwrap().get("/v1/inbox?limit=200&after=s0").await.unwrap();
    assert_eq!(page["items"].as_array().unwrap().len(), told.len(), "doubled or lost");
    while !room(&sender).await.is_empty() {
        assert!(Instant::now() < end, "it goes on complaining");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    net.fsck("etat").unwrap();
    net.fsck("cd-34").unwrap();
}
