//! One trace for a message, from the call of a client to the evidence that comes back, over all
//! nodes and brokers between; told to a collector of OpenTelemetry, or to nobody.
//!
//! ```text
//!   client -- etat ---- national ---- cd-34 ---- departement ---- ville-34172
//!              |                        |                              |
//!              +---------- OTLP --------+-------- collector -----------+
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use broker_adapter::{Destination, Frame, Lane, Options, Outcome};
use reqwest::Method;
use serde_json::{Value, json};
use tests::net::{Api, Net, SOON, state, text_at};

/// Words that only the documents and the envelope may hold.
const PRIVATE: [&str; 3] = ["Mme Durand", "acte.pdf", "livret"];

/// Octets of which the ids of the two traces are made.
const SMALL: u8 = 0xa1;
const LARGE: u8 = 0xa2;

/// A span as a collector sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    service: String,
    name: String,
    trace: String,
    id: String,
    above: String,
    failed: bool,
    attributes: BTreeMap<String, String>,
}

/// A collector: OTLP over HTTP in JSON, read strictly.
#[derive(Clone)]
struct Collector {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

type Shelf = Arc<Mutex<Vec<Seen>>>;

impl Collector {
    async fn start() -> Self {
        let seen = Shelf::default();
        let app = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&seen));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, seen }
    }

    /// The spans of a trace, once `enough` of them are there.
    async fn trace(&self, trace: &str, enough: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let end = Instant::now() + SOON;
        loop {
            let all = self.seen.lock().unwrap().clone();
            let own: Vec<Seen> = all.into_iter().filter(|one| one.trace == trace).collect();
            if enough(&own) {
                return own;
            }
            assert!(Instant::now() < end, "{own:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn take(State(seen): State<Shelf>, Json(body): Json<Value>) -> Json<Value> {
    for private in PRIVATE {
        assert!(!body.to_string().contains(private), "{body}");
    }
    for resource in body["resourceSpans"].as_array().unwrap() {
        let service = attributes(&resource["resource"])["service.name"].clone();
        for scope in resource["scopeSpans"].as_array().unwrap() {
            let spans = scope["spans"].as_array().unwrap().iter();
            seen.lock().unwrap().extend(spans.map(|span| read(span, &service)));
        }
    }
    Json(json!({}))
}

fn read(span: &Value, service: &str) -> Seen {
    let id = |key: &str, length: usize| {
        let text = text_at(span, key);
        assert!(text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit()), "{span}");
        text
    };
    let nanos = |key: &str| text_at(span, key).parse::<u64>().unwrap();
    assert!(nanos("/startTimeUnixNano") <= nanos("/endTimeUnixNano"), "{span}");
    let above = text_at(span, "/parentSpanId");
    Seen {
        service: service.to_owned(),
        name: text_at(span, "/name"),
        trace: id("/traceId", 32),
        id: id("/spanId", 16),
        above: if above.is_empty() { above } else { id("/parentSpanId", 16) },
        failed: span["status"]["code"] == 2,
        attributes: attributes(span),
    }
}

fn attributes(of: &Value) -> BTreeMap<String, String> {
    let all = of["attributes"].as_array().unwrap().iter();
    all.map(|one| {
        let value = &one["value"];
        let text = value["stringValue"].as_str().or_else(|| value["intValue"].as_str());
        (text_at(one, "/key"), text.unwrap().to_owned())
    })
    .collect()
}

/// `service: name` of a span and of all above it, the client's last.
fn way(spans: &[Seen], of: &Seen) -> Vec<String> {
    let mut way = vec![format!("{}: {}", of.service, of.name)];
    let mut above = &of.above;
    while let Some(span) = spans.iter().find(|one| one.id == *above) {
        way.push(format!("{}: {}", span.service, span.name));
        above = &span.above;
    }
    way.push(above.clone());
    way
}

fn is_consigned_at(service: &'static str) -> impl Fn(&Seen) -> bool {
    move |one| {
        let state = one.attributes.get("pli.state").map(String::as_str);
        one.service == service && one.name == "record" && state == Some("consigned")
    }
}

/// The parent of the client's call, as OpenTelemetry's SDKs write it.
fn client(trace: u8, span: u8) -> (String, String, String) {
    let (trace, span) = (format!("{trace:02x}").repeat(16), format!("{span:02x}").repeat(8));
    (format!("00-{trace}-{span}-01"), trace, span)
}

/// Sends one PDF to Montpellier as a client that traces; returns the message and the answer's span.
async fn send(agency: &Api, traceparent: &str, size: usize) -> (String, String) {
    let document = agency.pdf(&"livret de Mme Durand ".repeat(1 + size / 21)).await.unwrap();
    let body = json!({ "recipients": [{ "cog": "34172" }], "process": "URBA",
        "subject": "livret de Mme Durand", "documents": [{ "id": document }] });
    let request = agency.request(Method::POST, "/v1/messages").json(&body);
    let answer = request.header("traceparent", traceparent).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let given = answer.headers().get("traceparent").map(|v| v.to_str().unwrap().to_owned());
    let message: Value = answer.json().await.unwrap();
    (text_at(&message, "/message_id"), given.unwrap_or_default())
}

fn chained() -> String {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../ops/topologies/chained.toml");
    file.display().to_string()
}

fn up(collector: &str, roads: &[String]) -> Net {
    let topology = chained();
    let mut options = vec!["--topology", &topology];
    for road in roads {
        options.extend(["--backbone", road]);
    }
    let env = [("PLI__TELEMETRY__OTLP_URL", collector), ("PLI__LOG__FORMAT", "json")];
    Net::up_at(&std::env::temp_dir(), &env, &options).unwrap()
}

/// Sends messages and follows each: there, and back with the evidence. The content of the large one
/// travels by itself, and its dispatch waits for it.
async fn there_and_back(net: &Net, collector: &Collector) {
    follow(net, collector, SMALL, 1_000).await;
    follow(net, collector, LARGE, 1_500_000).await;
}

async fn follow(net: &Net, collector: &Collector, number: u8, size: usize) {
    let agency = net.state().await.unwrap();
    let (traceparent, trace, caller) = client(number, 0xb1);
    let (id, answered) = send(&agency, &traceparent, size).await;
    net.member(2, 0).await.unwrap().wait_for(&id).await.unwrap();
    agency.until(&id, |m| state(m) == "consigned").await.unwrap();
    let known = |all: &[Seen], id: &str| id == caller || all.iter().any(|one| one.id == id);
    let whole = |all: &[Seen]| {
        all.iter().any(is_consigned_at("pli-etat")) && all.iter().all(|one| known(all, &one.above))
    };
    let spans = collector.trace(&trace, whole).await;
    let last = spans.iter().find(|one| is_consigned_at("pli-etat")(one)).unwrap();
    let expected = [
        "pli-etat: record",
        "pli-etat: receive evidence",
        "pli-cd-34: publish evidence",
        "pli-cd-34: record",
        "pli-cd-34: receive evidence",
        "pli-ville-34172: publish evidence",
        "pli-ville-34172: consign",
        "pli-ville-34172: receive dispatch",
        "pli-cd-34: publish dispatch",
        "pli-cd-34: relay",
        "pli-cd-34: receive dispatch",
        "pli-etat: publish dispatch",
        "pli-etat: submit",
        "pli-etat: POST /v1/messages",
        caller.as_str(),
    ];
    assert_eq!(way(&spans, last), expected);
    let first = spans.iter().find(|one| one.name == "POST /v1/messages").unwrap();
    assert_eq!(answered, format!("00-{trace}-{}-01", first.id));
    let ids: BTreeSet<&str> = spans.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids.len(), spans.len(), "two spans of one id");
    for one in &spans {
        assert!(!one.failed, "{one:?}");
    }
    for node in ["pli-etat", "pli-cd-34", "pli-ville-34172"] {
        let verified = |one: &&Seen| one.service == node && one.name == "verify";
        assert!(spans.iter().any(|one| verified(&one)), "{node} {spans:#?}");
    }
    let submit = spans.iter().find(|one| one.name == "submit").unwrap();
    assert_eq!(submit.attributes["pli.message_id"], id);
    assert_eq!(submit.attributes["pli.events"], "SubmissionAcceptance");
}

/// What was submitted before a `kill -9` and is published after it belongs to the same trace.
async fn over_a_restart(net: &Net, collector: &Collector) {
    let agency = net.state().await.unwrap();
    let (traceparent, trace, caller) = client(0xa3, 0xb2);
    let held = net.operate("etat", &["hold", "cd-34", "--reason", "trace"]).unwrap();
    assert!(held.status.success(), "{}", String::from_utf8_lossy(&held.stderr));
    let (id, _) = send(&agency, &traceparent, 0).await;
    let submitted = |all: &[Seen]| all.iter().any(|one| one.name == "submit");
    collector.trace(&trace, submitted).await;
    net.kill("etat").unwrap();
    net.start(&["--topology", &chained()]).unwrap();
    let freed = net.operate("etat", &["release", "cd-34", "--reason", "trace"]).unwrap();
    assert!(freed.status.success(), "{}", String::from_utf8_lossy(&freed.stderr));
    let agency = net.state().await.unwrap();
    agency.until(&id, |m| state(m) == "consigned").await.unwrap();
    let whole = |all: &[Seen]| {
        let last = all.iter().find(|one| is_consigned_at("pli-etat")(one));
        last.is_some_and(|last| way(all, last).last() == Some(&caller))
    };
    let spans = collector.trace(&trace, whole).await;
    let sent = |one: &&Seen| one.service == "pli-etat" && one.name == "publish dispatch";
    let sent = spans.iter().find(sent).unwrap();
    assert_eq!(way(&spans, sent)[1], "pli-etat: submit");
    let last = spans.iter().find(|one| is_consigned_at("pli-etat")(one)).unwrap();
    assert!(way(&spans, last).contains(&"pli-etat: submit".to_owned()));
}

/// The broker writes whatever it likes where the trace stands: the delivery goes on, and nothing is
/// set aside for it. What is set aside for its body is found in the log by its trace.
async fn whatever_the_broker_makes_of_it(net: &Net, collector: &Collector) {
    net.kill("ville-34172").unwrap();
    let agency = net.state().await.unwrap();
    let (traceparent, trace, _) = client(0xa4, 0xb3);
    let (id, _) = send(&agency, &traceparent, 0).await;
    let url = format!("embedded://{}", net.dir().join("backbone-departement.db").display());
    let road = broker_adapter::open(&url, Options::default()).await.unwrap();
    let lane = Destination { node: "ville-34172".parse().unwrap(), lane: Lane::Message };
    let mut reader = road.subscribe(&lane.node, Lane::Message).await.unwrap();
    let caught = tokio::time::timeout(SOON, reader.next(1)).await.unwrap().unwrap().remove(0);
    reader.ack(vec![caught.receipt]).await.unwrap();
    drop(reader);
    let own = caught.frame.attributes.iter().position(|(name, _)| name == "traceparent").unwrap();
    assert!(caught.frame.attributes[own].1.starts_with("00-a4a4a4"), "{:?}", caught.frame);
    let values = ["", "00-\u{0}", &"f".repeat(100_000), &traceparent.to_uppercase(), "ff-00-00-00"];
    let mut frames = values.map(|value| with(&caught.frame, own, value)).to_vec();
    let torn = caught.frame.body.slice(..100);
    frames.push(Frame { id: "torn".to_owned(), body: torn, ..caught.frame.clone() });
    let count = frames.len();
    let out = frames.into_iter().map(|frame| (lane.clone(), frame)).collect();
    assert_eq!(road.publish(out).await, vec![Outcome::Confirmed; count]);
    net.start(&["--topology", &chained()]).unwrap();
    net.member(2, 0).await.unwrap().wait_for(&id).await.unwrap();
    agency.until(&id, |m| state(m) == "consigned").await.unwrap();
    let failed = |all: &[Seen]| {
        all.iter().any(|one| one.failed && one.name == "receive dispatch" && !one.above.is_empty())
    };
    collector.trace(&trace, failed).await;
    let aside = net.operate("ville-34172", &["queue", "list", "--json"]).unwrap();
    let aside = String::from_utf8_lossy(&aside.stdout).into_owned();
    assert_eq!(aside.matches("frame-malformed").count(), 1, "{aside}");
    let log = std::fs::read_to_string(net.dir().join("ville-34172/log")).unwrap();
    let line = log.lines().find(|line| line.contains("frame set aside")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(text_at(&line, "/span/trace_id"), trace);
    assert_eq!(text_at(&line, "/span/span_id").len(), 16);
    net.fsck("ville-34172").unwrap();
}

fn with(frame: &Frame, place: usize, value: &str) -> Frame {
    let mut frame = frame.clone();
    value.clone_into(&mut frame.attributes[place].1);
    frame
}

/// `pli trace`, as an agent of the sender calls it: each hop with its node and its proof, in time.
async fn the_verb_shows_each_hop(net: &Net) {
    let agency = net.state().await.unwrap();
    let sent = agency.send_pdf("34172", "livret").await.unwrap();
    let id = text_at(&sent, "/message_id");
    agency.until(&id, |m| state(m) == "consigned").await.unwrap();
    let (dir, who) = (net.dir().display().to_string(), format!("etat/{}", agency.siret));
    let call = ["trace", &id, "--net", &dir, "--as", &who];
    let hops =
        [("RA01", "etat"), ("RB01", "cd-34"), ("RB01", "ville-34172"), ("RD01", "ville-34172")];
    let end = Instant::now() + SOON;
    let delivery = loop {
        let said = net.run(&[&call[..], &["--json"]].concat()).unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        let said: Value = serde_json::from_slice(&said.stdout).unwrap();
        assert_eq!(text_at(&said, "/message_id"), id);
        let steps = said["deliveries"][0]["steps"].as_array().unwrap();
        if steps.len() == hops.len() && steps.iter().all(|step| step["anchored"].is_string()) {
            break said["deliveries"][0].clone();
        }
        assert!(Instant::now() < end, "{said}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let steps = delivery["steps"].as_array().unwrap();
    let shown: Vec<_> = steps.iter().map(|s| (text_at(s, "/code"), text_at(s, "/node"))).collect();
    assert_eq!(shown, hops.map(|(code, node)| (code.to_owned(), node.to_owned())));
    for step in steps {
        for key in ["event", "at", "evidence_id", "sealed"] {
            assert!(step[key].is_string(), "{key}: {step}");
        }
    }
    assert_eq!(text_at(&delivery, "/custodian"), "ville-34172");
    assert_eq!(text_at(&delivery, "/state"), "consigned");
    assert!(delivery["next_due"].is_string() && delivery["recipient"].is_object(), "{delivery}");
    let text = String::from_utf8(net.run(&call).unwrap().stdout).unwrap();
    for (code, node) in hops {
        let hop = |line: &str| line.contains(code) && line.ends_with(node);
        assert!(text.lines().any(hop), "{code} {node}: {text}");
    }
}

#[tokio::test]
async fn one_trace_from_the_clients_call_to_the_evidence_over_restarts_and_hostile_brokers() {
    let collector = Collector::start().await;
    let net = up(&collector.url, &[]);
    there_and_back(&net, &collector).await;
    the_verb_shows_each_hop(&net).await;
    over_a_restart(&net, &collector).await;
    whatever_the_broker_makes_of_it(&net, &collector).await;
}

/// The judge of the frames is kcat.
#[tokio::test]
async fn the_same_trace_from_a_national_kafka_to_a_departmental_rabbitmq() {
    let (Ok(kafka), Ok(amqp)) = (std::env::var("PLI_TEST_KAFKA"), std::env::var("PLI_TEST_AMQP"))
    else {
        return tests::net::skipped("traces over brokers", "PLI_TEST_KAFKA, PLI_TEST_AMQP");
    };
    let collector = Collector::start().await;
    let roads = [format!("national={kafka}"), format!("departement={amqp}")];
    let net = up(&collector.url, &roads);
    there_and_back(&net, &collector).await;
    let broker = kafka.trim_start_matches("kafka://").to_owned();
    let config = std::fs::read_to_string(net.dir().join("cd-34/node.toml")).unwrap();
    let config: toml::Table = config.parse().unwrap();
    let national = config["backbone"].as_array().unwrap().iter();
    let national = national.clone().find(|road| road["url"].as_str() == Some(kafka.as_str()));
    let namespace = national.unwrap()["namespace"].as_str().unwrap();
    for (lane, number) in [("message", SMALL), ("message", LARGE), ("content", LARGE)] {
        let topic = format!("pli.{namespace}-cd-34.{lane}");
        let read = Command::new("kcat")
            .args(["-b", &broker, "-t", &topic, "-C", "-e", "-q", "-f", "%h\n"])
            .output();
        let Ok(read) = read else { return tests::net::skipped("headers on Kafka", "kcat") };
        let headers = String::from_utf8_lossy(&read.stdout).into_owned();
        let (_, trace, _) = client(number, 0xb1);
        assert!(headers.contains(&format!("traceparent=00-{trace}-")), "{topic}: {headers}");
    }
}

/// A collector that is not there: every message passes, every lost span is counted, and lines of
/// the log still name the trace.
#[tokio::test]
async fn a_dead_collector_changes_nothing_but_a_counter() {
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{dead}");
    let net =
        Net::up_at(&std::env::temp_dir(), &[("PLI__TELEMETRY__OTLP_URL", &url)], &[]).unwrap();
    let agency = net.state().await.unwrap();
    for n in 0..5 {
        let (traceparent, trace, _) = client(0xc0 + n, 0xd0);
        let (id, answered) = send(&agency, &traceparent, 0).await;
        assert!(answered.starts_with(&format!("00-{trace}-")), "{answered}");
        agency.until(&id, |m| state(m) == "consigned").await.unwrap();
    }
    let end = Instant::now() + SOON;
    loop {
        let figures = reqwest::get(format!("{}/metrics", agency.url)).await.unwrap();
        let figures = figures.text().await.unwrap();
        let lost =
            figures.lines().find(|l| l.starts_with(r#"pli_spans_dropped_total{why="collector"}"#));
        if lost.is_some_and(|line| !line.ends_with(" 0")) {
            break;
        }
        assert!(Instant::now() < end, "{figures}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    net.fsck("etat").unwrap();
}
