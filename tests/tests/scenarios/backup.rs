//! (e10) A backup is taken while a node runs, and restored on a bare machine: the evidence chains
//! verify, nothing is lost and nothing is doubled, whether the disk of the lost node survives
//! (a last backup, RPO 0) or not (what happened since comes back from the neighbours).
//!
//! ```text
//!   etat ------ backbone ------ cd-34  --backup--> files --restore--> elsewhere
//! ```

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::judges;
use tests::net::{Api, Net, SOON, pli, skipped, state, text_at};
use tests::services::Service;

/// A node that was restored, running; it is killed when the test ends.
struct Elsewhere {
    dir: PathBuf,
    process: Child,
}

impl Elsewhere {
    /// Starts it and waits until it answers.
    async fn start(dir: &Path, url: &str) -> Self {
        let log = std::fs::File::create(dir.join("log")).unwrap();
        let process = Command::new(pli().unwrap())
            .args(["node", "run", "--config"])
            .arg(dir.join("node.toml"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let it = Self { dir: dir.to_owned(), process };
        let end = Instant::now() + SOON;
        while reqwest::get(format!("{url}/health/live")).await.is_err() {
            assert!(Instant::now() < end, "{}", it.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        it
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let last: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("--- restored\n{}", last.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn good(output: &Output) -> Value {
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    serde_json::from_str(out.lines().last().unwrap_or("null")).unwrap_or_default()
}

/// Where a store for the restored node comes from.
struct Ground {
    net: Net,
    /// Keeps the server of the test's own alive.
    _service: Option<Service>,
    /// URL of an empty database, for PostgreSQL.
    store: Option<String>,
}

impl Ground {
    fn sqlite() -> Self {
        Self { net: Net::up().unwrap(), _service: None, store: None }
    }

    async fn postgres(test: &str) -> Option<Self> {
        let service = match Service::start("postgres") {
            Ok(service) => service,
            Err(why) => {
                skipped(test, &why.to_string().replace('\n', " "));
                return None;
            }
        };
        let net = Net::up_with(&["--store", &service.url]).unwrap();
        let made = Command::new("psql")
            .args([&service.url, "-qc", "create database elsewhere"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let (server, _) = service.url.rsplit_once('/').unwrap();
        let store = format!("{server}/elsewhere");
        Some(Self { net, _service: Some(service), store: Some(store) })
    }

    fn backup(&self, base: Option<&str>) -> Value {
        let to = self.net.dir().join("backups").display().to_string();
        let mut args = vec!["backup", "create", "--json", "--to", &to];
        args.extend(base.into_iter().flat_map(|base| ["--base", base]));
        good(&self.net.operate("cd-34", &args).unwrap())
    }

    fn restore(&self, backup: &str, to: &Path) -> Output {
        let (to, keys) = (to.display().to_string(), self.net.dir().join("cd-34/keys"));
        let keys = keys.display().to_string();
        let mut args = vec!["backup", "restore", backup, "--to", &to, "--keys", &keys, "--json"];
        args.extend(self.store.iter().flat_map(|url| ["--store", url]));
        self.net.run(&args).unwrap()
    }
}

/// Sends until told to stop; what was accepted.
async fn traffic(sender: Api, stop: Arc<AtomicBool>, name: &'static str) -> Vec<String> {
    let mut told = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let message = sender.send_pdf("34172", &format!("{name} {}", told.len())).await.unwrap();
        told.push(text_at(&message, "/message_id"));
    }
    told
}

/// Evidence chains, states and journal of the restored node are sound.
fn examined(ground: &Ground, dir: &Path) {
    let config = dir.join("node.toml").display().to_string();
    for verb in [["fsck", "--json"].as_slice(), &["audit", "verify", "--json"]] {
        good(&ground.net.run(&[verb, &["--config", &config]].concat()).unwrap());
    }
    ground.net.fsck("etat").unwrap();
    let journal = std::fs::read_to_string(dir.join("audit.log")).unwrap();
    assert!(journal.lines().last().unwrap().contains("backup restore"), "{journal}");
}

/// The disk of the lost node is there: a last backup has everything.
async fn the_disk_survives(ground: &Ground) {
    let net = &ground.net;
    let stop = Arc::new(AtomicBool::new(false));
    let sender = net.state().await.unwrap();
    let sending = tokio::spawn(traffic(sender.clone(), Arc::clone(&stop), "running"));
    tokio::time::sleep(Duration::from_millis(700)).await;
    let first = ground.backup(None);
    tokio::time::sleep(Duration::from_millis(700)).await;
    net.kill("cd-34").unwrap();
    let lost = Instant::now();
    stop.store(true, Ordering::Relaxed);
    let told = sending.await.unwrap();
    let first = text_at(&first, "/backup");
    assert_eq!(good(&net.run(&["backup", "verify", &first, "--json"]).unwrap())["valid"], true);
    let last = ground.backup(Some(&first));
    let last = text_at(&last, "/backup");
    // The old machine is gone; on the new one nothing of it is read but the keys.
    let old = net.dir().join("cd-34");
    std::fs::rename(old.join("content"), old.join("content.lost")).unwrap();
    let dir = net.dir().join("elsewhere");
    let restored = good(&ground.restore(&last, &dir));
    assert!(restored["window_ms"].as_i64().unwrap() >= 0);
    let again = ground.restore(&last, &dir);
    assert_eq!(again.status.code(), Some(2), "{}", String::from_utf8_lossy(&again.stderr));
    let url = text_at(&net.description().unwrap(), "/nodes/1/url");
    let _node = Elsewhere::start(&dir, &url).await;
    eprintln!("e10: {} accepted; back after {:.1} s", told.len(), lost.elapsed().as_secs_f64());
    for id in &told {
        sender.until(id, |m| state(m) == "consigned").await.unwrap();
    }
    let town = net.town().await.unwrap();
    let mut held = town.inbox("/message_id").await.unwrap();
    held.sort();
    let mut told = told;
    told.sort();
    assert_eq!(held, told, "lost or doubled");
    let after = text_at(&sender.send_pdf("34172", "after").await.unwrap(), "/message_id");
    for id in told.iter().take(3).chain([&after]) {
        handed_over(&sender, &town, id, net).await;
    }
    examined(ground, &dir);
}

/// The disk of the lost node is gone with it: what happened since the backup comes back from the
/// neighbour, byte for byte.
async fn the_disk_is_lost(ground: &Ground) {
    let net = &ground.net;
    let (sender, town) = (net.state().await.unwrap(), net.town().await.unwrap());
    let (early, _) = exchanged(&sender, &town, "early").await;
    let taking = Instant::now();
    let backup = ground.backup(None);
    let (taking, octets) = (taking.elapsed(), backup["octets"].clone());
    let backup = text_at(&backup, "/backup");
    let first = acknowledged(&sender, &town, &early[0]).await; // what was there before
    let (late, replies) = exchanged(&sender, &town, "late").await;
    let second = acknowledged(&sender, &town, &late[0]).await;
    let keyed = with_key(&town, &sender.siret, "a").await;
    assert_eq!(keyed.0, 201, "{}", keyed.1);
    let keyed = text_at(&keyed.1, "/message_id");
    town.until(&keyed, |m| state(m) == "consigned").await.unwrap();
    let known = proofs(&sender, early.iter().chain(&late)).await;
    let theirs = proofs(&town, replies.iter()).await;
    net.kill("cd-34").unwrap();
    let lost = Instant::now();
    std::fs::rename(net.dir().join("cd-34/content"), net.dir().join("lost")).unwrap();
    if ground.store.is_none() {
        std::fs::rename(net.dir().join("cd-34/node.db"), net.dir().join("lost.db")).unwrap();
    }
    let down = text_at(&sender.send_pdf("34172", "while it is down").await.unwrap(), "/message_id");
    let dir = net.dir().join("elsewhere");
    let restoring = Instant::now();
    let restored = good(&ground.restore(&backup, &dir));
    let restoring = restoring.elapsed();
    let url = text_at(&net.description().unwrap(), "/nodes/1/url");
    let node = Elsewhere::start(&dir, &url).await;
    let town = net.town().await.unwrap();
    let again = loop {
        let path = format!("/v1/inbox/{}/acknowledge", first.0);
        let (status, answer) = town.post(&path, &Value::Null).await.unwrap();
        if status.is_success() {
            break text_at(&answer, "/evidence/evidence_id");
        }
        assert_eq!(status.as_u16(), 503, "{answer}");
        assert!(text_at(&answer, "/detail").contains("restored"), "{answer}");
        assert!(lost.elapsed() < Duration::from_secs(60), "{}", node.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let back = lost.elapsed();
    assert_eq!(again, first.1, "another proof of the same handover");
    let path = format!("/v1/inbox/{}/acknowledge", second.0);
    let (_, answer) = town.post(&path, &Value::Null).await.unwrap();
    assert_eq!(text_at(&answer, "/evidence/evidence_id"), second.1, "{answer}");
    // A client that repeats its call gets the message that it has a proof of, and no second one.
    let repeated = with_key(&town, &sender.siret, "a").await;
    assert_eq!((repeated.0, text_at(&repeated.1, "/message_id")), (201, keyed), "{}", repeated.1);
    assert_eq!(with_key(&town, &sender.siret, "b").await.0, 409);
    // What waits is what was waiting, and what came meanwhile.
    sender.until(&down, |m| state(m) == "consigned").await.unwrap();
    let mut waiting: Vec<String> = [&early[1..], &late[1..], &[down]].concat();
    let mut held = town.inbox("/message_id").await.unwrap();
    waiting.sort();
    held.sort();
    assert_eq!(held, waiting, "lost or doubled");
    // Every proof that either side held is at both, and no other.
    assert_eq!(proofs(&sender, early.iter().chain(&late)).await, known);
    assert_eq!(proofs(&town, replies.iter()).await, theirs);
    for id in [&late[1], &early[1]] {
        handed_over(&sender, &town, id, net).await;
    }
    examined(ground, &dir);
    let config = dir.join("node.toml").display().to_string();
    let etat = net.dir().join("etat/node.toml").display().to_string();
    nothing_dead(net, &[config, etat]);
    eprintln!(
        "e10: {octets} octets backed up in {taking:.1?}, restored in {restoring:.1?}; a window of {} ms \
         with {} deliveries, nothing lost; acts again {back:.1?} after the loss",
        restored["window_ms"],
        late.len() + replies.len(),
    );
}

/// No node keeps dead letters or frames that it did not believe.
fn nothing_dead(net: &Net, configs: &[String]) {
    for config in configs {
        let queue = net.run(&["queue", "list", "--json", "--config", config]).unwrap();
        let queue = String::from_utf8_lossy(&queue.stdout).into_owned();
        assert!(!queue.contains("set-aside") && !queue.contains("dead"), "{queue}");
    }
}

/// Waits until a node that was restored decides again; until then it says whom it waits for.
async fn goes_on(url: &str) {
    let end = Instant::now() + SOON;
    loop {
        let ready = reqwest::get(format!("{url}/health/ready")).await.unwrap();
        let ready: Value = ready.json().await.unwrap();
        let all = ready["dependencies"].as_array().unwrap();
        let room = all.iter().find(|d| d["name"] == "room").unwrap().clone();
        if room["ready"] == true {
            return;
        }
        assert!(text_at(&room, "/reason").contains("restored from a backup"), "{room}");
        assert!(Instant::now() < end, "{room}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How many messages each way: `PLI_TEST_MESSAGES` to measure.
fn messages() -> usize {
    std::env::var("PLI_TEST_MESSAGES").ok().and_then(|n| n.parse().ok()).unwrap_or(5)
}

/// Messages each way, consigned.
async fn exchanged(sender: &Api, town: &Api, name: &str) -> (Vec<String>, Vec<String>) {
    let (mut there, mut back) = (Vec::new(), Vec::new());
    for n in 0..messages() {
        let text = format!("{name} {n}");
        there.push(text_at(&sender.send_pdf("34172", &text).await.unwrap(), "/message_id"));
        let document = town.pdf(&text).await.unwrap();
        let body = serde_json::json!({
            "recipients": [{ "scheme": "iso6523:0009", "id": sender.siret }],
            "process": "AEC", "documents": [{ "id": document }],
        });
        let (status, message) = town.send(&body).await.unwrap();
        assert!(status.is_success(), "{message}");
        back.push(text_at(&message, "/message_id"));
    }
    for id in &there {
        sender.until(id, |m| state(m) == "consigned").await.unwrap();
    }
    for id in &back {
        town.until(id, |m| state(m) == "consigned").await.unwrap();
    }
    (there, back)
}

/// Submits a document under one key.
async fn with_key(town: &Api, to: &str, text: &str) -> (u16, Value) {
    let document = town.pdf(text).await.unwrap();
    let body = serde_json::json!({
        "recipients": [{ "scheme": "iso6523:0009", "id": to }],
        "process": "AEC", "documents": [{ "id": document }],
    });
    let request = town.request(reqwest::Method::POST, "/v1/messages");
    let request = request.header("Idempotency-Key", "once").json(&body);
    let (status, answer) = town.answer(request).await.unwrap();
    (status.as_u16(), answer)
}

/// Acknowledges a message; the delivery, and the evidence of its handover.
async fn acknowledged(sender: &Api, town: &Api, id: &str) -> (String, String) {
    let delivery = text_at(&town.wait_for(id).await.unwrap(), "/delivery_id");
    let path = format!("/v1/inbox/{delivery}/acknowledge");
    let (status, answer) = town.post(&path, &Value::Null).await.unwrap();
    assert!(status.is_success(), "{answer}");
    sender.until(id, |m| state(m) == "handed_over").await.unwrap();
    (delivery, text_at(&answer, "/evidence/evidence_id"))
}

/// All evidence that a member sees about its messages, as issued.
async fn proofs<'a>(
    member: &Api,
    messages: impl Iterator<Item = &'a String>,
) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for id in messages {
        let message = member.get(&format!("/v1/messages/{id}")).await.unwrap();
        for step in message["deliveries"][0]["evidence"].as_array().unwrap() {
            let id = text_at(step, "/evidence_id");
            let p7m = member.bytes(&format!("/v1/evidence/{id}")).await.unwrap();
            all.push((id, p7m));
        }
    }
    all
}

/// Reads, acknowledges and proves one message.
async fn handed_over(sender: &Api, town: &Api, id: &str, net: &Net) {
    let item = town.wait_for(id).await.unwrap();
    let (delivery, document) = (text_at(&item, "/delivery_id"), text_at(&item, "/documents/0/id"));
    let pdf = town.bytes(&format!("/v1/inbox/{delivery}/documents/{document}")).await.unwrap();
    assert!(pdf.starts_with(b"%PDF"));
    let path = format!("/v1/inbox/{delivery}/acknowledge");
    let (status, answer) = town.post(&path, &Value::Null).await.unwrap();
    assert!(status.is_success(), "{answer}");
    sender.until(id, |m| state(m) == "handed_over").await.unwrap();
    let bundle = net.dir().join(format!("{id}.asice"));
    sender.proof(id, &bundle).await.unwrap();
    let root = net.root().display().to_string();
    let tsa = net.dir().join("trust/tsa.pem").display().to_string();
    let bundle = bundle.display().to_string();
    good(&net.run(&["verify", &bundle, "--trust", &root, "--trust", &tsa]).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e10_backup_of_a_running_node_restored_elsewhere_sqlite() {
    the_disk_survives(&Ground::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e10_backup_of_a_running_node_restored_elsewhere_postgres() {
    if let Some(ground) = Ground::postgres("e10").await {
        the_disk_survives(&ground).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e10_what_the_lost_disk_had_comes_back_from_the_neighbours_sqlite() {
    the_disk_is_lost(&Ground::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e10_what_the_lost_disk_had_comes_back_from_the_neighbours_postgres() {
    if let Some(ground) = Ground::postgres("e10").await {
        the_disk_is_lost(&ground).await;
    }
}

/// The relay between two backbones is lost, then the town's own node behind it; a database goes back
/// by other means at the sender's node. Each is again where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e10_every_node_of_a_chain_may_be_lost() {
    let topology = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/topologies/chained.toml");
    let net = Net::up_with(&["--topology", &topology.display().to_string()]).unwrap();
    let (sender, town) = (net.state().await.unwrap(), net.member(2, 0).await.unwrap());
    let whole = |m: &Value| state(m) == "handed_over" && tests::net::events(m).len() == 5;
    for lost in ["cd-34", "ville-34172", "etat"] {
        let to = net.dir().join(format!("backups-{lost}")).display().to_string();
        let args = ["backup", "create", "--json", "--to", &to];
        let taken = good(&net.operate(lost, &args).unwrap());
        let (waiting, _) = exchanged(&sender, &town, lost).await;
        let (delivery, evidence) = acknowledged(&sender, &town, &waiting[0]).await;
        sender.until(&waiting[0], whole).await.unwrap();
        let known = proofs(&sender, waiting.iter()).await;
        net.kill(lost).unwrap();
        let home = net.dir().join(lost);
        let backup = PathBuf::from(text_at(&taken, "/backup"));
        for old in ["node.db", "node.db-wal", "node.db-shm"] {
            let _ = std::fs::remove_file(home.join(old));
        }
        if lost == "etat" {
            // Not by us: the file of the database alone, and the journal as it is in the backup.
            for (from, file) in [("archive/node.db", "node.db"), ("audit.log", "audit.log")] {
                std::fs::copy(backup.join(from), home.join(file)).unwrap();
            }
            std::fs::copy(backup.join("audit.p7m"), home.join("audit.p7m")).unwrap();
            let since = text_at(&taken, "/taken");
            good(&net.operate(lost, &["backup", "recall", "--since", &since]).unwrap());
        } else {
            let (keys, dir) = (home.join("keys"), net.dir().join(format!("{lost}-new")));
            let (keys, dir, backup) =
                (keys.display().to_string(), dir, backup.display().to_string());
            let to = dir.display().to_string();
            let args = ["backup", "restore", &backup, "--to", &to, "--keys", &keys];
            good(&net.run(&args).unwrap());
            // In the place of the lost one, so that the network goes on with it.
            std::fs::rename(dir.join("node.db"), home.join("node.db")).unwrap();
            for file in ["audit.log", "audit.p7m"] {
                std::fs::rename(dir.join(file), home.join(file)).unwrap();
            }
        }
        net.start(&[]).unwrap();
        let place = ["etat", "cd-34", "ville-34172"].iter().position(|n| *n == lost).unwrap();
        goes_on(&text_at(&net.description().unwrap(), &format!("/nodes/{place}/url"))).await;
        for id in &waiting[1..] {
            handed_over(&sender, &town, id, &net).await;
        }
        let path = format!("/v1/inbox/{delivery}/acknowledge");
        let (_, answer) = town.post(&path, &Value::Null).await.unwrap();
        assert_eq!(text_at(&answer, "/evidence/evidence_id"), evidence, "{lost}: {answer}");
        let now = proofs(&sender, waiting.iter()).await;
        for one in &known {
            assert!(now.contains(one), "{lost}: {} is another", one.0);
        }
        for node in ["etat", "cd-34", "ville-34172"] {
            net.fsck(node).unwrap();
            good(&net.operate(node, &["audit", "verify", "--json"]).unwrap());
            let queue = net.operate(node, &["queue", "list", "--json"]).unwrap();
            let queue = String::from_utf8_lossy(&queue.stdout).into_owned();
            assert!(!queue.contains("set-aside") && !queue.contains("dead"), "{lost}: {queue}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e10_a_backup_shows_no_secret_and_tells_of_every_change() {
    let ground = Ground::sqlite();
    let net = &ground.net;
    let operator = net.dir().join("operator");
    std::fs::create_dir(&operator).unwrap();
    let (key, certificate) = (operator.join("key.pem"), operator.join("certificate.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-subj", "/CN=operator", "-days", "30", "-addext", "keyUsage=keyAgreement"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let sender = net.state().await.unwrap();
    let id = text_at(&sender.send_pdf("34172", "CONFIDENTIEL-55aa").await.unwrap(), "/message_id");
    sender.until(&id, |m| state(m) == "consigned").await.unwrap();
    let (to, pem) = (net.dir().join("b").display().to_string(), certificate.display().to_string());
    let args = ["backup", "create", "--json", "--to", &to, "--keys-for", &pem];
    let backup = text_at(&good(&net.operate("cd-34", &args).unwrap()), "/backup");
    let keys = net.dir().join("cd-34/keys");
    let secrets =
        ["seal.key", "encryption.key", "storage.key"].map(|k| std::fs::read(keys.join(k)).unwrap());
    for file in judges::files(Path::new(&backup)).unwrap().iter().filter(|f| f.is_file()) {
        let bytes = std::fs::read(file).unwrap();
        let shows = |what: &[u8]| bytes.windows(what.len()).any(|w| w == what);
        assert!(!shows(b"CONFIDENTIEL-55aa"), "{}", file.display());
        assert!(!secrets.iter().any(|s| shows(s)), "{}", file.display());
    }
    // OpenSSL alone recovers the keys.
    let recovered = Command::new("openssl")
        .args(["cms", "-decrypt", "-inform", "DER", "-inkey"])
        .arg(&key)
        .arg("-recip")
        .arg(&certificate)
        .arg("-in")
        .arg(Path::new(&backup).join("keys.p7m"))
        .output()
        .unwrap();
    let recovered: Value = serde_json::from_slice(&recovered.stdout).unwrap();
    assert!(recovered["keys/storage.key"].is_string() && recovered["keys/seal.key"].is_string());
    // Restored with the operator's key alone.
    net.kill("cd-34").unwrap();
    let (dir, key) = (net.dir().join("elsewhere"), key.display().to_string());
    let dir = dir.display().to_string();
    let with = ["--key", &key, "--certificate", &pem, "--json"];
    let args = [["backup", "restore", &backup, "--to", &dir].as_slice(), &with].concat();
    good(&net.run(&args).unwrap());
    // A changed octet anywhere is named, and nothing is restored.
    let pack = judges::files(&Path::new(&backup).join("content")).unwrap();
    let pack = pack.iter().find(|f| f.extension().is_some_and(|e| e == "pack")).unwrap();
    let mut bytes = std::fs::read(pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(pack, bytes).unwrap();
    let verified = net.run(&["backup", "verify", &backup, "--json"]).unwrap();
    assert_eq!(verified.status.code(), Some(4));
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(said.contains("file-changed") && said.contains(".pack"), "{said}");
    let other = format!("{dir}-2");
    let args = [["backup", "restore", &backup, "--to", &other].as_slice(), &with].concat();
    assert_eq!(net.run(&args).unwrap().status.code(), Some(4));
    assert!(!Path::new(&other).exists());
}
