//! (a7) Nothing of a document can be read on a real broker, in a database, or in what a node writes.
//!
//! ```text
//!   etat ------- RabbitMQ or Kafka ------- cd-34
//!     \             |  tap                /
//!      `------- PostgreSQL --------------'
//! ```
//! Everything that crosses the broker is read by foreign clients, every file of broker, database and
//! nodes is searched, and so is a dump of the databases (a page may hold its rows compressed). The
//! envelope is another matter: it is sealed and not enciphered, so that a relay can route it, and
//! whoever reads the broker reads the names of documents. That it is found here shows that the
//! search would find a document, too; beside it there is a control in each place.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use futures::StreamExt as _;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::json;
use tests::net::{Api, Net, skipped, state, text_at};
use tests::scan::Marker;
use tests::services::Service;

/// What is sent, and what is put in places on purpose.
struct Markers {
    /// In the documents.
    secret: Marker,
    /// In the names of documents and the subject.
    envelope: Marker,
    /// Written into each place that is searched.
    control: Marker,
}

impl Markers {
    fn new() -> Self {
        let [secret, envelope, control] = ["CONFIDENTIEL", "ENVELOPPE", "CONTROL"].map(Marker::new);
        Self { secret, envelope, control }
    }

    /// The secret in every form in which it is looked for, over and over, at least so long.
    fn document(&self, octets: usize) -> Vec<u8> {
        let once: Vec<u8> = self.secret.forms().flat_map(|f| [f, b"\n"].concat()).collect();
        let body = once.repeat(octets.div_ceil(once.len()));
        [b"%PDF-1.4\n", body.as_slice(), b"%%EOF\n"].concat()
    }
}

fn service(name: &str, options: &[&str], test: &str) -> Option<Service> {
    let started = Service::start_with(name, options);
    started.inspect_err(|why| skipped(test, &why.to_string().replace('\n', " "))).ok()
}

/// A network whose nodes say all that they can say.
fn talkative(place: &Path, broker: &Service, postgres: &Service) -> Net {
    let env = [("PLI__LOG__FILTER", "debug")];
    let options = ["--backbone", &broker.url, "--store", &postgres.url];
    Net::up_at(place, &env, &options).unwrap()
}

async fn send(sender: &Api, markers: &Markers, octets: usize) -> String {
    let name = format!("{}.pdf", markers.envelope.text);
    let content = markers.document(octets);
    let (status, document) = sender.upload(&name, "application/pdf", &content).await.unwrap();
    assert_eq!(status, 201, "{document}");
    let (status, message) = sender
        .send(&json!({
            "recipients": [{ "cog": "34172" }], "process": "AEC",
            "subject": markers.envelope.text, "documents": [{ "id": document["id"] }],
        }))
        .await
        .unwrap();
    assert_eq!(status, 201, "{message}");
    text_at(&message, "/message_id")
}

/// A small document and one that travels in parts, read and answered for; then a small one that
/// waits on the broker for a node that is away.
async fn exchanges(net: &Net, markers: &Markers) {
    let (sender, town) = (net.state().await.unwrap(), net.town().await.unwrap());
    for octets in [10_000, 2 << 20] {
        let id = send(&sender, markers, octets).await;
        let item = town.wait_for(&id).await.unwrap();
        let delivery = text_at(&item, "/delivery_id");
        let document = text_at(&item, "/documents/0/id");
        let path = format!("/v1/inbox/{delivery}/documents/{document}");
        let content = town.bytes(&path).await.unwrap();
        assert!(markers.secret.stands_in(&content).is_some(), "it arrived, and is whole");
        let path = format!("/v1/inbox/{delivery}/acknowledge");
        town.post(&path, &json!({})).await.unwrap();
        sender.until(&id, |m| state(m) == "handed_over").await.unwrap();
    }
    net.kill("cd-34").unwrap();
    let id = send(&sender, markers, 10_000).await;
    sender.until(&id, |m| state(m) == "relaying").await.unwrap();
}

/// What crossed the broker: envelopes, in parts and whole, the control, and no document.
fn crossed(markers: &Markers, carried: &[(String, Vec<u8>)]) {
    let octets: usize = carried.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(octets > 2 << 20, "only {octets} octets were seen: not everything");
    let find = |marker: &Marker| {
        let there = carried.iter().filter(|(_, bytes)| marker.stands_in(bytes).is_some());
        there.map(|(place, _)| place.clone()).collect::<Vec<_>>()
    };
    assert!(!find(&markers.control).is_empty(), "the control is not found");
    assert!(!find(&markers.envelope).is_empty(), "no envelope was seen: not everything");
    assert_eq!(find(&markers.secret), [""; 0]);
}

/// Every file of a place: the control, and no document.
fn files(markers: &Markers, dir: &Path) {
    let control = markers.control.is_below(dir).unwrap();
    assert!(control, "{}: the control is not found", dir.display());
    let (secret, read) = markers.secret.below(dir).unwrap();
    assert_eq!(secret, [""; 0]);
    eprintln!("{}: {read} octets hold no document", dir.display());
}

fn sql(postgres: &Service, program: &str, args: &[&str]) -> Vec<u8> {
    let output = Command::new(program).arg("-d").arg(&postgres.url).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Databases: as files, and as what they say.
fn databases(markers: &Markers, postgres: &Service) {
    let control = &markers.control.text;
    let table =
        format!("CREATE TABLE control AS SELECT '{control}'::text, '{control}'::bytea; CHECKPOINT");
    let statements: Vec<&str> = table.split("; ").flat_map(|s| ["-c", s]).collect();
    sql(postgres, "psql", &statements);
    files(markers, &postgres.data());
    let dump = sql(postgres, "pg_dumpall", &[]);
    assert!(markers.control.stands_in(&dump).is_some(), "the control is not in the dump");
    let text = String::from_utf8_lossy(&dump);
    assert!(text.contains("COPY public.deliveries"), "the dump is not of the nodes");
    assert_eq!(markers.secret.stands_in(&dump), None, "a database holds a document");
}

/// Contents, logs, journals.
fn nodes(markers: &Markers, net: &Net) {
    let log = std::fs::read_to_string(net.dir().join("etat/log")).unwrap();
    assert!(log.contains("DEBUG"), "the log holds little");
    std::fs::write(net.dir().join("control"), &markers.control.text).unwrap();
    files(markers, &net.dir());
}

/// A queue that gets a copy of everything that is published.
async fn tap(broker: &Service, channel: &Channel) {
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare("tap".into(), options, FieldTable::default()).await.unwrap();
    let columns = ["-q", "list_bindings", "source_name", "routing_key"];
    let bindings = broker.run("ctl", &columns).unwrap();
    let keys = bindings.lines().filter_map(|line| line.strip_prefix("pli\t"));
    let mut taps = 0;
    for key in keys {
        let options = QueueBindOptions::default();
        let bound = channel.queue_bind(
            "tap".into(),
            "pli".into(),
            key.trim().into(),
            options,
            FieldTable::default(),
        );
        bound.await.unwrap();
        taps += 1;
    }
    assert_eq!(taps, 6, "three lanes of two nodes: {bindings}");
}

/// A control in a quorum queue, as lanes are.
async fn control_on_rabbitmq(channel: &Channel, control: &Marker) {
    let mut quorum = FieldTable::default();
    quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare("control".into(), options, quorum).await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let properties = BasicProperties::default().with_delivery_mode(2);
    let options = BasicPublishOptions::default();
    let text = control.text.as_bytes();
    let sent = channel.basic_publish("".into(), "control".into(), options, text, properties);
    sent.await.unwrap().await.unwrap();
}

/// A queue is empty when it hands out nothing for so long. (What `rabbitmqctl` says of a quorum queue
/// is up to five seconds old.)
const EMPTY: Duration = Duration::from_secs(5);

/// Everything in every queue; it goes back when the channel ends.
async fn queues(broker: &Service, channel: &Channel) -> Vec<(String, Vec<u8>)> {
    let names = broker.run("ctl", &["-q", "list_queues", "name"]).unwrap();
    let names = names.lines().map(str::trim).filter(|name| !name.is_empty() && *name != "name");
    let all = futures::future::join_all(names.map(|name| one_queue(name, channel))).await;
    all.into_iter().flatten().collect()
}

/// As a consumer: a queue with a single active one hands out nothing to `basic.get`.
async fn one_queue(queue: &str, channel: &Channel) -> Vec<(String, Vec<u8>)> {
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let consumer = channel.basic_consume(queue.into(), "".into(), options, arguments);
    let mut consumer = consumer.await.unwrap();
    let mut all = Vec::new();
    while let Ok(Some(message)) = tokio::time::timeout(EMPTY, consumer.next()).await {
        let message = message.unwrap();
        let headers = format!("{:?}", message.properties);
        all.push((format!("{queue}, headers"), headers.into_bytes()));
        all.push((queue.to_owned(), message.data));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a7_nothing_readable_crosses_rabbitmq_or_lies_in_it_or_in_postgresql() {
    let Some(broker) = service("rabbitmq", &[], "a7 on RabbitMQ") else { return };
    let Some(postgres) = service("postgres", &[], "a7 on RabbitMQ") else { return };
    let place = tempfile::tempdir().unwrap();
    let net = talkative(place.path(), &broker, &postgres);
    let markers = Markers::new();
    let runtime = lapin::runtime::default_runtime().unwrap();
    let properties = ConnectionProperties::default();
    let connection =
        Connection::connect_with_runtime(&broker.url, properties, runtime).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    tap(&broker, &channel).await;
    control_on_rabbitmq(&channel, &markers.control).await;
    exchanges(&net, &markers).await;
    let carried = queues(&broker, &channel).await;
    let waits = carried.iter().filter(|(queue, _)| queue.ends_with("-cd-34.message")).count();
    assert_eq!(waits, 1, "one frame waits for cd-34");
    crossed(&markers, &carried);
    files(&markers, &broker.data());
    databases(&markers, &postgres);
    nodes(&markers, &net);
    drop(net);
}

fn kcat(broker: &Service, args: &[&str]) -> Option<Vec<u8>> {
    let mut command = Command::new("kcat");
    command.arg("-b").arg(broker.url.replace("kafka://", "")).args(args);
    match command.stdin(std::process::Stdio::null()).output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(output.stdout)
        }
        Err(why) => {
            skipped("a7 on Kafka", &format!("kcat (Debian package kcat): {why}"));
            None
        }
    }
}

/// Everything in every topic, those of Kafka itself included: keys, headers, values.
fn topics(broker: &Service) -> Vec<(String, Vec<u8>)> {
    let list: serde_json::Value =
        serde_json::from_slice(&kcat(broker, &["-L", "-J"]).unwrap()).unwrap();
    let names = list["topics"].as_array().unwrap().iter().map(|t| text_at(t, "/topic"));
    names
        .map(|name| {
            let args = ["-C", "-t", &name, "-o", "beginning", "-e", "-q", "-f", "%k\n%h\n%s\n"];
            let held = kcat(broker, &args).unwrap();
            (name, held)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a7_nothing_readable_crosses_kafka_or_lies_in_it_or_in_postgresql() {
    let Some(broker) = service("kafka", &["--auto-create"], "a7 on Kafka") else { return };
    let Some(postgres) = service("postgres", &[], "a7 on Kafka") else { return };
    let place = tempfile::tempdir().unwrap();
    let markers = Markers::new();
    let control = place.path().join("control");
    std::fs::write(&control, &markers.control.text).unwrap();
    let sent = ["-P", "-t", "control", &control.display().to_string()];
    if kcat(&broker, &sent).is_none() {
        return;
    }
    let net = talkative(place.path(), &broker, &postgres);
    exchanges(&net, &markers).await;
    let carried = topics(&broker);
    let lanes = carried.iter().filter(|(name, held)| name.starts_with("pli.") && !held.is_empty());
    assert!(lanes.count() >= 4, "messages, content and evidence both ways");
    crossed(&markers, &carried);
    files(&markers, &broker.data());
    databases(&markers, &postgres);
    nodes(&markers, &net);
    drop(net);
}
