//! (e7) The disk is slow: each flush takes most of a second. Submissions take as long, the node says
//! what is slow and since when, and nothing that was accepted is lost, even when it is killed.
//!
//! ```text
//!   clients ---- etat (each flush held up by strace) ---- cd-34
//! ```

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::Value;
use tests::net::{Api, Net, skipped, text_at};

use crate::outages::{all_arrived, send_with_key};

const FLUSH: Duration = Duration::from_millis(700);
const PATIENCE: Duration = Duration::from_secs(60);
const CALLERS: usize = 48;

/// What makes `strace` hold up flushes.
fn slowly() -> Vec<String> {
    let calls = "fsync,fdatasync,sync_file_range";
    let inject = format!("inject={calls}:delay_exit={}", FLUSH.as_micros());
    ["-f", "-e", &format!("trace={calls}"), "-e", &inject].map(str::to_owned).to_vec()
}

/// A process whose flushes are slow until the value is gone.
struct SlowDisk {
    strace: Child,
    /// Closed, it would end at its next word.
    _said: BufReader<ChildStderr>,
}

impl SlowDisk {
    /// None where processes may not be traced.
    fn under(pid: u64, test: &str) -> Option<Self> {
        let mut strace = Command::new("strace");
        strace.args(slowly()).args(["-o", "/dev/null", "-p", &pid.to_string()]);
        let mut child = match strace.stdout(Stdio::null()).stderr(Stdio::piped()).spawn() {
            Ok(child) => child,
            Err(error) => {
                skipped(test, &format!("strace: {error}"));
                return None;
            }
        };
        let (mut line, mut said) = (String::new(), BufReader::new(child.stderr.take().unwrap()));
        said.read_line(&mut line).unwrap();
        let slow = Self { strace: child, _said: said };
        if line.contains("attached") {
            return Some(slow);
        }
        skipped(test, line.trim());
        None
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        // The process that it holds up goes on; of one that was killed, a kinder word would wait.
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

async fn readiness(api: &Api) -> (StatusCode, Value) {
    let answer = reqwest::get(format!("{}/health/ready", api.url)).await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

/// What is said of the store of contents.
async fn content(api: &Api) -> (StatusCode, Value) {
    let (status, ready) = readiness(api).await;
    let all = ready["dependencies"].as_array().unwrap();
    (status, all.iter().find(|d| d["name"] == "content").unwrap().clone())
}

async fn seconds(api: &Api, dependency: &str) -> f64 {
    let text = String::from_utf8(api.bytes("/metrics").await.unwrap()).unwrap();
    let name = format!("pli_dependency_seconds{{dependency=\"{dependency}\"}} ");
    text.lines().find_map(|l| l.strip_prefix(&name)).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e7_a_slow_disk_slows_submissions_is_told_and_loses_nothing() {
    let test = "e7 on a slow disk";
    let net = Net::up().unwrap();
    let sender = net.state().await.unwrap();
    let document = sender.pdf("before").await.unwrap();
    let swift = Instant::now();
    let (status, first, _) = send_with_key(&sender, &document, "swift").await.unwrap();
    let swift = swift.elapsed();
    assert_eq!(status, 201, "{first}");
    let mut told = BTreeSet::from([text_at(&first, "/message_id")]);

    let pid = net.description().unwrap()["nodes"][0]["pid"].as_u64().unwrap();
    let Some(slow) = SlowDisk::under(pid, test) else { return };
    // Many at once share their flushes: each waits for some, and none for those of all others.
    let begun = Instant::now();
    let keys: Vec<String> = (0..CALLERS).map(|n| format!("slow-{n}")).collect();
    let calls = join_all(keys.iter().map(|key| send_with_key(&sender, &document, key))).await;
    let took = begun.elapsed();
    let mut refused = Vec::new();
    for (key, said) in keys.iter().zip(calls) {
        match said.unwrap() {
            (201, message, _) => drop(told.insert(text_at(&message, "/message_id"))),
            (503, problem, true) => {
                assert_eq!(problem["retryable"], true, "{problem}");
                refused.push(key);
            }
            (status, problem, _) => panic!("{status} {problem}"),
        }
    }
    eprintln!("{swift:?} alone, {took:?} for {CALLERS} on a slow disk; refused: {refused:?}");
    assert!(took > FLUSH && took < FLUSH * u32::try_from(CALLERS).unwrap() / 2, "{took:?}");
    assert!(told.len() > 1, "none was accepted");

    // It works, it is slow, and so it is told, since when, wherever somebody looks.
    let (status, said) = content(&sender).await;
    assert_eq!((status, &said["ready"]), (StatusCode::OK, &Value::Bool(true)), "{said}");
    let reason = text_at(&said, "/reason");
    assert!(reason.starts_with("slow: ") && reason.contains(" s, since 20"), "{said}");
    assert!(seconds(&sender, "content").await > 1.0);
    let shown = net.operate("etat", &["node", "status"]).unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.lines().any(|l| l.starts_with("~~  content") && l.contains("slow: ")), "{shown}");
    // The doctor is a process of its own, on the same disk.
    let config = net.dir().join("etat/node.toml");
    let mut doctor = Command::new("strace");
    doctor.args(slowly()).args(["-o", "/dev/null"]).arg(tests::net::pli().unwrap());
    let doctor = doctor.args(["node", "doctor", "--config"]).arg(config).output().unwrap();
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.lines().any(|l| l.starts_with("~~  content")), "{doctor}");

    // Killed amid flushes: what was answered is kept.
    let keys: Vec<String> = (0..CALLERS).map(|n| format!("killed-{n}")).collect();
    let calls = keys.iter().map(|key| send_with_key(&sender, &document, key));
    let kill = async {
        tokio::time::sleep(FLUSH * 3).await;
        net.kill("etat").unwrap();
    };
    let (calls, ()) = tokio::join!(join_all(calls), kill);
    drop(slow);
    net.start(&[]).unwrap();
    let sender = net.state().await.unwrap();
    for (key, said) in keys.iter().zip(calls) {
        let (status, message, _) = send_with_key(&sender, &document, key).await.unwrap();
        assert_eq!(status, 201, "{message}");
        let id = text_at(&message, "/message_id");
        if let Ok((201, before, _)) = said {
            assert_eq!(text_at(&before, "/message_id"), id, "accepted, then lost");
        }
        told.insert(id);
    }
    all_arrived(&net, &sender, &told).await;
    let end = Instant::now() + PATIENCE;
    while content(&sender).await.1.get("reason").is_some() {
        assert!(Instant::now() < end, "it goes on complaining");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
