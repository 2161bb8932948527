//! Several processes of one node share one database and one content directory.
//!
//! ```text
//!   etat, etat.2 ------------ national ------------ cd-34, cd-34.2
//!     one PostgreSQL database                one PostgreSQL database
//! ```

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::json;
use tempfile::TempDir;
use tests::net::{Answer, Api, Net, SOON, events, state, text_at};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Two processes of each node, on PostgreSQL.
pub(crate) struct Ground {
    pub(crate) net: Net,
    options: Vec<String>,
    _file: TempDir,
}

impl Ground {
    /// None when there is no database server.
    pub(crate) fn up(backbone: Option<String>) -> Option<Self> {
        Self::up_of(tests::net::pli().unwrap(), backbone)
    }

    /// The same, of another build of `pli`.
    fn up_of(pli: PathBuf, backbone: Option<String>) -> Option<Self> {
        let Ok(pg) = std::env::var("PLI_TEST_PG") else {
            tests::net::skipped("replicas", "PLI_TEST_PG");
            return None;
        };
        let shipped = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let shipped = shipped.join("../ops/topologies/replicas.toml");
        let text = std::fs::read_to_string(shipped).unwrap();
        let text =
            text.replacen("scope = { any = true }", "scope = { any = true }\nreplicas = 2", 1);
        let file = tempfile::tempdir().unwrap();
        let topology = file.path().join("twice-two.toml");
        std::fs::write(&topology, text).unwrap();
        let mut options = vec!["--topology".to_owned(), topology.display().to_string()];
        options.extend(["--store".to_owned(), pg]);
        options.extend(backbone.into_iter().flat_map(|url| ["--backbone".to_owned(), url]));
        let args: Vec<&str> = options.iter().map(String::as_str).collect();
        Some(Self { net: Net::up_of(pli, &args).unwrap(), options, _file: file })
    }

    pub(crate) fn start(&self) {
        let args: Vec<&str> = self.options.iter().map(String::as_str).collect();
        self.net.start(&args).unwrap();
    }

    pub(crate) async fn agencies(&self) -> [Api; 2] {
        [self.net.member(0, 0).await.unwrap(), self.net.member_at(0, 0, 0).await.unwrap()]
    }

    async fn towns(&self) -> [Api; 2] {
        [self.net.member(1, 0).await.unwrap(), self.net.member_at(1, 0, 0).await.unwrap()]
    }
}

/// What one process does, every other one of its node shows.
async fn any_process_serves_any_member(ground: &Ground) {
    let (agencies, towns) = (ground.agencies().await, ground.towns().await);
    for (n, size) in [10, 2_000_000, 20].into_iter().enumerate() {
        let content = format!("%PDF-1.4\n{}\n%%EOF\n", "x".repeat(size));
        let (_, document) =
            agencies[n % 2].upload("a.pdf", "application/pdf", content.as_bytes()).await.unwrap();
        // Uploaded at one process, sent at the other, read and acknowledged at any.
        let body = json!({ "recipients": [{ "cog": "34172" }], "process": "URBA",
            "documents": [{ "id": document["id"] }] });
        let (status, sent) = agencies[(n + 1) % 2].send(&body).await.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{sent}");
        let id = text_at(&sent, "/message_id");
        let item = towns[n % 2].wait_for(&id).await.unwrap();
        let delivery = text_at(&item, "/delivery_id");
        let path = format!("/v1/inbox/{delivery}/documents/{}", text_at(&item, "/documents/0/id"));
        assert_eq!(towns[(n + 1) % 2].bytes(&path).await.unwrap(), content.as_bytes());
        let path = format!("/v1/inbox/{delivery}/acknowledge");
        let nothing = json!({});
        let (first, second) =
            tokio::join!(towns[0].post(&path, &nothing), towns[1].post(&path, &nothing));
        // The same act at both at once: one evidence.
        let of = |answer: anyhow::Result<Answer>| {
            let evidence = answer.unwrap().1["evidence"].take();
            // Whether it is stamped meanwhile is another matter.
            ["evidence_id", "at", "sealed"].map(|field| evidence[field].clone())
        };
        assert_eq!(of(first), of(second));
        let whole = |m: &serde_json::Value| state(m) == "handed_over" && events(m).len() == 4;
        agencies[n % 2].until(&id, whole).await.unwrap();
    }
}

/// Processes are killed in turn; those that stay serve, and what the dead ones had begun goes on.
async fn any_process_may_be_killed(ground: &Ground, count: usize) {
    let [agency, other] = ground.agencies().await;
    let mut told = BTreeSet::new();
    for n in 0..count {
        match n % 10 {
            2 => ground.net.kill("cd-34.2").unwrap(),
            4 => ground.net.kill("etat.2").unwrap(),
            5 => ground.start(),
            7 => ground.net.kill("cd-34.1").unwrap(),
            9 => ground.start(),
            _ => {}
        }
        let mut tried = 0;
        let id = loop {
            // A client behind a balancer: where one does not answer, it asks the other.
            let api = if (n + tried) % 2 == 0 { &agency } else { &other };
            tried += 1;
            assert!(tried < 10, "nobody answers");
            let send = async {
                let document = api.pdf(&format!("message {n}")).await?;
                let body = json!({ "recipients": [{ "cog": "34172" }], "process": "AEC",
                    "documents": [{ "id": document }] });
                let request = api.request(Method::POST, "/v1/messages");
                let request = request.header("Idempotency-Key", format!("n{n}"));
                api.answer(request.json(&body)).await
            };
            match send.await {
                Ok((StatusCode::CREATED, message)) => break text_at(&message, "/message_id"),
                Ok((StatusCode::CONFLICT, problem)) => break text_at(&problem, "/message_id"),
                Ok((status, problem)) => panic!("{status} {problem}"),
                Err(_) => {}
            }
        };
        told.insert(id);
    }
    ground.start();
    delivered_once(ground, &told).await;
}

/// What senders were told is what recipients hold, each once.
async fn delivered_once(ground: &Ground, told: &BTreeSet<String>) {
    let agency = ground.net.state().await.unwrap();
    for id in told {
        agency.until(id, |m| state(m) == "consigned").await.unwrap();
    }
    let town = ground.net.member(1, 0).await.unwrap();
    let held = town.inbox("/message_id").await.unwrap();
    assert_eq!(held.len(), told.len(), "doubled");
    assert_eq!(held.into_iter().collect::<BTreeSet<_>>(), *told);
    ground.net.fsck("etat").unwrap();
    ground.net.fsck("cd-34").unwrap();
}

#[tokio::test]
async fn replicas_share_the_work_over_the_embedded_backbone() {
    let Some(ground) = Ground::up(None) else { return };
    any_process_serves_any_member(&ground).await;
    any_process_may_be_killed(&ground, 20).await;
}

#[tokio::test]
async fn replicas_share_the_work_over_rabbitmq() {
    let Ok(amqp) = std::env::var("PLI_TEST_AMQP") else {
        return tests::net::skipped("replicas over RabbitMQ", "PLI_TEST_AMQP");
    };
    let Some(ground) = Ground::up(Some(amqp)) else { return };
    any_process_serves_any_member(&ground).await;
    any_process_may_be_killed(&ground, 20).await;
}

#[tokio::test]
async fn replicas_share_the_work_over_kafka_while_it_rebalances() {
    let Ok(kafka) = std::env::var("PLI_TEST_KAFKA") else {
        return tests::net::skipped("replicas over Kafka", "PLI_TEST_KAFKA");
    };
    let Some(ground) = Ground::up(Some(kafka)) else { return };
    any_process_serves_any_member(&ground).await;
    any_process_may_be_killed(&ground, 20).await;
}

/// Runs SQL on a node's database, with PostgreSQL's own client.
fn psql(net: &Net, node: &str, sql: &str) {
    let config = std::fs::read_to_string(net.dir().join(node).join("node.toml")).unwrap();
    let url = config.lines().find_map(|l| l.strip_prefix("url = \"postgres")).unwrap();
    let url = format!("postgres{}", url.trim_end_matches('"'));
    let args = [&url, "-v", "ON_ERROR_STOP=1", "-q", "-c", sql];
    let done = Command::new("psql").args(args).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Asks one process to stop, as a service manager does, and waits until it has.
fn stop(net: &Net, pid: &serde_json::Value) {
    let pid = pid.as_i64().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let end = Instant::now() + SOON;
    // `status` sets the description right as soon as it is gone.
    while Command::new("kill").args(["-0", &pid]).output().unwrap().status.success() {
        assert!(Instant::now() < end, "{pid} does not stop");
        std::thread::sleep(Duration::from_millis(50));
    }
    net.run(&["localnet", "status", "--dir", &net.dir().display().to_string()]).unwrap();
}

/// Messages that both processes of `etat` are given without a break, until it is stopped.
struct Traffic {
    halt: watch::Sender<bool>,
    told: JoinHandle<(BTreeSet<String>, usize)>,
}

impl Traffic {
    fn start(agencies: [Api; 2]) -> Self {
        let (halt, stopped) = watch::channel(false);
        let told = tokio::spawn(async move {
            let (mut told, mut refused) = (BTreeSet::new(), 0);
            for n in 0.. {
                if *stopped.borrow() {
                    break;
                }
                told.insert(send_somehow(&agencies, n, &mut refused).await);
            }
            (told, refused)
        });
        Self { halt, told }
    }

    /// What senders were told.
    async fn stop(self) -> BTreeSet<String> {
        self.halt.send(true).unwrap();
        let (told, refused) = self.told.await.unwrap();
        assert!(told.len() > 20, "there was hardly any traffic: {}", told.len());
        eprintln!("{} messages, {refused} calls to a process that was away", told.len());
        told
    }
}

/// One message by whichever process answers, as a client behind a balancer would.
async fn send_somehow(agencies: &[Api; 2], n: usize, refused: &mut usize) -> String {
    let mut tries = (n..n + 200).map(|i| &agencies[i % 2]);
    loop {
        let api = tries.next().expect("neither process answers");
        let key = format!("e13-{n}");
        let Ok(document) = api.pdf(&key).await else {
            *refused += 1;
            continue;
        };
        let body = json!({ "recipients": [{ "cog": "34172" }], "process": "AEC",
            "documents": [{ "id": document }] });
        let request = api.request(Method::POST, "/v1/messages");
        match api.answer(request.header("Idempotency-Key", &key).json(&body)).await {
            Ok((StatusCode::CREATED | StatusCode::CONFLICT, sent)) => {
                return text_at(&sent, "/message_id");
            }
            Ok((status, problem)) => panic!("{status} {problem}"),
            Err(_) => *refused += 1,
        }
    }
}

/// Each process in turn is stopped, and what is installed then takes its place.
async fn roll(ground: &Ground) {
    for path in
        ["/nodes/0/pid", "/nodes/0/replicas/0/pid", "/nodes/1/pid", "/nodes/1/replicas/0/pid"]
    {
        let description = ground.net.description().unwrap();
        stop(&ground.net, description.pointer(path).unwrap());
        tokio::time::sleep(Duration::from_millis(300)).await;
        ground.start();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e13_a_rolling_upgrade_under_traffic_loses_nothing() {
    let Some(ground) = Ground::up(None) else { return };
    let traffic = Traffic::start(ground.agencies().await);
    // The first process of the next version has migrated the database; the others still run.
    for node in ["etat", "cd-34"] {
        psql(
            &ground.net,
            node,
            "alter table deliveries add column of_the_next_version text; \
             alter table queue add column of_the_next_version bigint default 0; \
             create table of_the_next_version (id bigint primary key); \
             insert into migrations values (9999, 'of the next version')",
        );
    }
    roll(&ground).await;
    delivered_once(&ground, &traffic.stop().await).await;
}

/// With a build of another commit: `ops/upgrade COMMIT` makes one, and says where it is.
#[tokio::test(flavor = "multi_thread")]
async fn e13_from_the_version_before_to_this_one() {
    let Some(before) = std::env::var_os("PLI_TEST_BEFORE") else {
        return tests::net::skipped("an upgrade from another build", "PLI_TEST_BEFORE");
    };
    let Some(mut ground) = Ground::up_of(before.into(), std::env::var("PLI_TEST_AMQP").ok()) else {
        return;
    };
    let traffic = Traffic::start(ground.agencies().await);
    tokio::time::sleep(Duration::from_secs(3)).await;
    ground.net.upgrade().unwrap();
    roll(&ground).await;
    delivered_once(&ground, &traffic.stop().await).await;
}
