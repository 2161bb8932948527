//! (e) What an operator does about another node: send again, hold, slow down; and what the node does
//! by itself when one fails.
//!
//! ```text
//!   etat ------------- national ------------- cd-34
//!                          \\----------------- cd-48
//! ```

use std::process::Output;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;
use tests::net::{Api, Net, state, text_at};

/// SQLite, and PostgreSQL where there is one.
fn stores() -> Vec<String> {
    let server = std::env::var("PLI_TEST_PG");
    if server.is_err() {
        tests::net::skipped("operators on PostgreSQL", "PLI_TEST_PG");
    }
    ["sqlite".to_owned()].into_iter().chain(server).collect()
}

/// The default network and a second département.
fn three(store: &str) -> (Net, Vec<String>, TempDir) {
    let ops = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops");
    let shipped = std::fs::read_to_string(ops.join("topologies/default.toml")).unwrap();
    let second = r#"[[node]]
id = "cd-48"
operator = "Département de la Lozère"
backbones = ["national"]
scope = { departments = ["48"] }

[[node.member]]
siret = "21994809800013"
name = "Commune de Mende"
cog = "48095"

[[process]]"#;
    let file = tempfile::tempdir().unwrap();
    let topology = file.path().join("three.toml");
    std::fs::write(&topology, shipped.replacen("[[process]]", second, 1)).unwrap();
    let said = ["--topology", &topology.display().to_string(), "--store", store];
    let options: Vec<String> = said.map(str::to_owned).to_vec();
    let args: Vec<&str> = options.iter().map(String::as_str).collect();
    (Net::up_with(&args).unwrap(), options, file)
}

fn said(output: &Output) -> String {
    let all = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&all).into_owned()
}

/// An act of the operator of `etat`; gives its JSON.
fn act(net: &Net, args: &[&str]) -> Value {
    let output = net.operate("etat", &[args, &["--json"]].concat()).unwrap();
    assert!(output.status.success(), "{args:?}: {}", said(&output));
    let stdout = String::from_utf8(output.stdout).unwrap();
    stdout.lines().last().map_or(Value::Null, |line| serde_json::from_str(line).unwrap())
}

async fn execute(net: &Net, file: &str, sql: &'static str) -> u64 {
    let url = format!("sqlite://{}", net.dir().join(file).display());
    let mut database = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query(sql).execute(&mut database).await.unwrap().rows_affected()
}

async fn figure(api: &Api, name: &str) -> f64 {
    let text = reqwest::get(format!("{}/metrics", api.url)).await.unwrap().text().await.unwrap();
    let found = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

async fn send(api: &Api, cog: &str, conversation: Option<&str>, text: &str) -> Value {
    let id = api.pdf(text).await.unwrap();
    let mut body = json!({
        "recipients": [{ "cog": cog }], "process": "AEC", "subject": text,
        "documents": [{ "id": id }],
    });
    if let Some(conversation) = conversation {
        body["conversation_id"] = conversation.into();
    }
    let (status, message) = api.send(&body).await.unwrap();
    assert_eq!(status, StatusCode::CREATED, "{message}");
    message
}

/// Subjects in the inbox, oldest first.
async fn inbox(api: &Api) -> Vec<String> {
    let page = api.get("/v1/inbox?limit=200&after=s0").await.unwrap();
    page["items"].as_array().unwrap().iter().map(|item| text_at(item, "/subject")).collect()
}

/// The inbox once it holds so many.
async fn inbox_of(api: &Api, count: usize, limit: Duration) -> Vec<String> {
    let end = Instant::now() + limit;
    loop {
        let held = inbox(api).await;
        if held.len() >= count {
            return held;
        }
        assert!(Instant::now() < end, "{} of {count} arrived", held.len());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn peers(api: &Api) -> Value {
    let answer = reqwest::get(format!("{}/health/ready", api.url)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "a peer makes no node unready");
    answer.json::<Value>().await.unwrap()["peers"].clone()
}

/// The last act in the journal of `etat`; the journal is whole.
fn last_act(net: &Net) -> Value {
    let whole = net.operate("etat", &["audit", "verify"]).unwrap();
    assert!(whole.status.success(), "{}", said(&whole));
    let log = std::fs::read_to_string(net.dir().join("etat/audit.log")).unwrap();
    let act: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert!(!text_at(&act, "/by").is_empty(), "{act}");
    act
}

#[tokio::test]
async fn e8_what_an_operator_sends_again_arrives_once_and_the_act_is_sealed() {
    let net = Net::up().unwrap();
    let (agency, town) = (net.state().await.unwrap(), net.town().await.unwrap());
    let before = moment();
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(text_at(&send(&agency, "34172", None, &format!("pli {n}")).await, "/message_id"));
    }
    let mut stories = Vec::new();
    for id in &ids {
        stories.push(agency.until(id, |m| state(m) == "consigned").await.unwrap());
    }
    let frames = r#"pli_frames_consumed_total{lane="message"}"#;
    assert_eq!(figure(&town, frames).await, 3.0);
    // One pli.
    let why = "demandé par cd-34";
    let again = act(&net, &["queue", "redrive", "--message", &ids[1], "--reason", why]);
    assert_eq!(again, json!({ "redriven": 1, "left": 0 }));
    until_figure(&town, frames, 4.0).await;
    let noted = last_act(&net);
    assert_eq!(noted["act"], "queue redrive");
    assert_eq!(noted["about"]["reason"], why);
    assert_eq!(noted["about"]["messages"], json!([ids[1]]));
    // A time range.
    let range = ["queue", "redrive", "--from", &before, "--node", "cd-34", "--reason", "restauré"];
    assert_eq!(act(&net, &range), json!({ "redriven": 3, "left": 0 }));
    until_figure(&town, frames, 7.0).await;
    let earlier = ["queue", "redrive", "--from", "2020-01-01T00:00:00Z", "--to", &before];
    let nothing = act(&net, &[&earlier[..], &["--reason", "rien"]].concat());
    assert_eq!(nothing, json!({ "redriven": 0, "left": 0 }));
    // Nothing is doubled, and no evidence either.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(inbox(&town).await, ["pli 0", "pli 1", "pli 2"]);
    for (id, story) in ids.iter().zip(&stories) {
        let now = agency.get(&format!("/v1/messages/{id}")).await.unwrap();
        assert_eq!(tests::net::events(&now), tests::net::events(story));
    }
    for wrong in [&["--message", &ids[0]][..], &["--from", &before], &[]] {
        let refused = net.operate("etat", &[&["queue", "redrive"], wrong].concat()).unwrap();
        assert_eq!(refused.status.code(), Some(2), "without a reason: {}", said(&refused));
    }
    net.fsck("etat").unwrap();
    net.fsck("cd-34").unwrap();
}

#[tokio::test]
async fn e8_dead_letters_are_closed_or_sent_again_as_a_set() {
    let net = Net::up().unwrap();
    let (agency, town) = (net.state().await.unwrap(), net.town().await.unwrap());
    act(&net, &["hold", "cd-34", "--reason", "leur base est en réparation"]);
    for n in 0..3 {
        send(&agency, "34172", None, &format!("pli {n}")).await;
    }
    let dead = "update queue set state = 'dead', due = null, error = 'refused' \
                where peer = 'cd-34' and state = 'waiting'";
    assert_eq!(execute(&net, "etat/node.db", dead).await, 3);
    act(&net, &["release", "cd-34", "--reason", "réparée"]);
    assert_eq!(figure(&agency, "pli_dead_letters").await, 3.0);
    let listed = net.operate("etat", &["queue", "list", "--json"]).unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let rows: Vec<Value> = listed.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(rows.iter().all(|row| row["state"] == "dead"), "{listed}");
    let first = rows[0]["id"].to_string();
    let closed = act(&net, &["queue", "close", &first, "--reason", "remis sur papier"]);
    assert_eq!(closed, json!({ "closed": [rows[0]["id"]] }));
    assert_eq!(last_act(&net)["about"]["reason"], "remis sur papier");
    let twice = net.operate("etat", &["queue", "close", &first, "--reason", "encore"]).unwrap();
    assert_eq!(twice.status.code(), Some(2), "{}", said(&twice));
    let again = act(&net, &["queue", "redrive", "--all", "--reason", "le courtier est réparé"]);
    assert_eq!(again, json!({ "redriven": 2 }));
    assert_eq!(last_act(&net)["about"]["reason"], "le courtier est réparé");
    let mut held = inbox_of(&town, 2, Duration::from_secs(30)).await;
    held.sort();
    assert_eq!(held, ["pli 1", "pli 2"]);
    assert_eq!(figure(&agency, "pli_dead_letters").await, 0.0);
}

#[tokio::test]
async fn e9_a_destination_is_slowed_and_held_while_everything_runs() {
    for store in stores() {
        slowed_and_held(&store).await;
    }
}

async fn slowed_and_held(store: &str) {
    let (net, _options, _file) = three(store);
    let agency = net.state().await.unwrap();
    let (montpellier, mende) = (net.town().await.unwrap(), net.member(2, 0).await.unwrap());
    let slow = act(&net, &["throttle", "cd-34", "--rate", "2", "--reason", "leur disque est lent"]);
    assert_eq!((&slow["node"], &slow["rate"]), (&json!("cd-34"), &json!(2.0)));
    assert_eq!(last_act(&net)["about"]["rate"], 2.0);
    let begin = Instant::now();
    for n in 0..12 {
        send(&agency, "34172", None, &format!("lent {n}")).await;
        send(&agency, "48095", None, &format!("vite {n}")).await;
    }
    inbox_of(&mende, 12, Duration::from_secs(5)).await;
    let quick = begin.elapsed();
    let some = inbox(&montpellier).await.len();
    assert!(some < 12, "{some} after {quick:?}");
    assert_eq!(figure(&agency, r#"pli_peer_rate_limit{peer="cd-34"}"#).await, 2.0);
    inbox_of(&montpellier, 12, Duration::from_secs(30)).await;
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(4_500), "two a second, 12 in {took:?}");
    // Held: nothing goes, and the sender is told why.
    act(&net, &["throttle", "cd-34", "--none", "--reason", "disque neuf"]);
    act(&net, &["hold", "cd-34", "--reason", "maintenance"]);
    let sent = send(&agency, "34172", None, "retenu").await;
    let id = text_at(&sent, "/message_id");
    let told = agency.until(&id, |m| m.pointer("/deliveries/0/hindrance").is_some()).await.unwrap();
    assert_eq!(text_at(&told, "/deliveries/0/hindrance/why"), "held");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(inbox(&montpellier).await.len(), 12);
    assert_eq!(peers(&agency).await[0]["reason"], "maintenance");
    let status = net.operate("etat", &["node", "status"]).unwrap();
    assert!(said(&status).contains("cd-34: held since 20"), "{}", said(&status));
    act(&net, &["release", "cd-34"]);
    montpellier.wait_for(&id).await.unwrap();
    assert_eq!(peers(&agency).await, Value::Null);
    let stranger = net.operate("etat", &["hold", "cd-99", "--reason", "x"]).unwrap();
    assert_eq!(stranger.status.code(), Some(2), "{}", said(&stranger));
}

/// The lanes of `cd-34` are gone: it is paused, `cd-48` is not; when the node is back it makes its
/// lanes, one probe finds them, and everything follows in order.
#[tokio::test]
async fn a_destination_that_fails_is_paused_and_resumes_by_itself() {
    for store in stores() {
        paused_and_resumed(&store).await;
    }
}

async fn paused_and_resumed(store: &str) {
    let (net, options, _file) = three(store);
    let agency = net.state().await.unwrap();
    let mende = net.member(2, 0).await.unwrap();
    net.kill("cd-34").unwrap();
    assert!(execute(&net, "backbone.db", "delete from lane where node = 'cd-34'").await > 0);
    let first = send(&agency, "34172", None, "pli 0").await;
    let conversation = text_at(&first, "/conversation_id");
    for n in 1..20 {
        send(&agency, "34172", Some(&conversation), &format!("pli {n}")).await;
    }
    let other = send(&agency, "34172", None, "autre").await;
    let end = Instant::now() + Duration::from_secs(15);
    let failing = loop {
        match peers(&agency).await.get(0) {
            Some(peer) => break peer.clone(),
            None => assert!(Instant::now() < end, "never paused"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(failing["node"], "cd-34");
    assert_eq!(failing["error"], "the destination has no lane");
    assert!(text_at(&failing, "/failing_since").starts_with("20"), "{failing}");
    assert!(figure(&agency, r#"pli_peer_failing_seconds{peer="cd-34"}"#).await > 0.0);
    assert_eq!(figure(&agency, r#"pli_peer_failing_seconds{peer="cd-48"}"#).await, 0.0);
    let told = agency.get(&format!("/v1/messages/{}", text_at(&other, "/message_id"))).await;
    assert_eq!(text_at(&told.unwrap(), "/deliveries/0/hindrance/why"), "failing");
    let status = net.operate("etat", &["node", "status"]).unwrap();
    assert!(said(&status).contains("cd-34: fails since 20"), "{}", said(&status));
    let begin = Instant::now();
    let there = send(&agency, "48095", None, "ailleurs").await;
    mende.wait_for(&text_at(&there, "/message_id")).await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    let args: Vec<&str> = options.iter().map(String::as_str).collect();
    net.start(&args).unwrap();
    let town = net.town().await.unwrap();
    let held = inbox_of(&town, 21, Duration::from_secs(40)).await;
    let in_order: Vec<String> = (0..20).map(|n| format!("pli {n}")).collect();
    let of_one: Vec<String> = held.into_iter().filter(|subject| subject != "autre").collect();
    assert_eq!(of_one, in_order);
    assert_eq!(peers(&agency).await, Value::Null, "it is free again");
}

/// Ten messages a day: the eighth brings a warning, the eleventh is refused, with evidence.
#[tokio::test]
async fn a_member_is_warned_before_its_quota_is_used_up() {
    for store in stores() {
        warned_and_refused(&Net::up_with(&["--store", &store]).unwrap(), &store).await;
    }
}

async fn warned_and_refused(net: &Net, store: &str) {
    let document = net.state().await.unwrap().pdf("quota").await.unwrap();
    let file = net.dir().join("etat/node.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let limited = text.replacen("messages_per_day = 0", "messages_per_day = 10", 1);
    assert_ne!(limited, text);
    std::fs::write(&file, limited).unwrap();
    net.kill("etat").unwrap();
    net.start(&["--store", store]).unwrap();
    let agency = net.state().await.unwrap();
    let post = async |key: &str| {
        let body = json!({
            "recipients": [{ "cog": "34172" }], "process": "AEC", "documents": [{ "id": document }],
        });
        let request = agency.request(Method::POST, "/v1/messages").header("Idempotency-Key", key);
        request.json(&body).send().await.unwrap()
    };
    let field = |answer: &reqwest::Response, name: &str| {
        answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
    };
    for n in 1..=10 {
        let answer = post(&format!("quota-{n}")).await;
        assert_eq!(answer.status(), StatusCode::CREATED, "{n}");
        let left = field(&answer, "ratelimit").unwrap();
        assert!(left.starts_with(&format!("\"messages\";r={};t=", 10 - n)), "{left}");
        let warning = field(&answer, "pli-quota-warning");
        assert_eq!(warning.is_some(), n >= 8, "{n}: {warning:?}");
    }
    let refused = post("quota-11").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u32 = field(&refused, "retry-after").unwrap().parse().unwrap();
    assert!((1..=86_401).contains(&wait), "{wait}");
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["code"], "quota-exceeded");
    let proof = format!("/v1/evidence/{}", text_at(&problem, "/evidence_id"));
    let sealed = agency.request(Method::GET, &proof).header("Accept", "application/json");
    let sealed = sealed.send().await.unwrap().text().await.unwrap();
    assert!(sealed.contains("S_ERDS_PolicyViolation"), "{sealed}");
    let again = post("quota-3").await;
    assert_eq!(again.status(), StatusCode::CREATED, "a repeat is answered as the first was");
    let (status, problem) = agency.upload("x.pdf", "application/pdf", b"%PDF-1.7 x").await.unwrap();
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!("quota-exceeded"))
    );
    assert_eq!(figure(&agency, "pli_members_over_quota").await, 1.0);
    inbox_of(&net.town().await.unwrap(), 10, Duration::from_secs(20)).await;
    net.fsck("etat").unwrap();
}

fn moment() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let millis = i64::try_from(now.as_millis()).unwrap();
    schemas::time::Timestamp::from_millis(millis).to_string()
}

async fn until_figure(api: &Api, name: &str, wanted: f64) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let value = figure(api, name).await;
        if (value - wanted).abs() < 0.5 {
            return;
        }
        assert!(Instant::now() < end, "{name} is {value}, not {wanted}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
