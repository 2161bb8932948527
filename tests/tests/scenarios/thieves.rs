//! Brokers that know their nodes by certificates, and what a stolen one is good for.
//!
//! ```text
//!   etat ----- RabbitMQ or Kafka, --secure ----- cd-34         cd-31 (admitted, nobody writes to it)
//!     \ its key and certificate
//!      thief
//! ```
//! The thief uses `lapin` and `kcat`, never our adapter.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use futures::StreamExt as _;
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions,
    QueueBindOptions, QueueDeclareOptions,
};
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use tests::net::{Net, skipped, state, text_at};
use tests::services::Service;

const LANES: [&str; 3] = ["message", "content", "evidence"];

/// The credentials of a node, where its configuration says that they are.
#[derive(Clone)]
struct Stolen {
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Stolen {
    fn from(net: &Net, node: &str) -> Self {
        let home = net.dir().join(node);
        let config = std::fs::read_to_string(home.join("node.toml")).unwrap();
        let config: toml::Table = toml::from_str(&config).unwrap();
        let file = |name: &str| home.join(config["backbone"][name].as_str().unwrap());
        Self { ca: file("ca_file"), certificate: file("certificate"), key: file("key") }
    }

    /// A copy that stays when the node gets others.
    fn kept(&self, dir: &Path) -> Self {
        let copy = |file: &Path| {
            let to = dir.join(file.file_name().unwrap());
            std::fs::copy(file, &to).unwrap();
            to
        };
        Self { ca: copy(&self.ca), certificate: copy(&self.certificate), key: copy(&self.key) }
    }
}

/// A broker that has admitted three nodes, of which two may be written to, and a network on it.
fn ground(name: &str) -> Option<(Service, Net)> {
    let broker = match Service::start_with(name, &["--secure"]) {
        Ok(broker) => broker,
        Err(why) => {
            skipped(name, &why.to_string().replace('\n', " "));
            return None;
        }
    };
    broker.run("grant", &["etat", "cd-34", "cd-31", "--to", "etat,cd-34"]).unwrap();
    let given = broker.data().join("nodes").display().to_string();
    let net = Net::up_with(&["--backbone", &broker.url, "--backbone-pki", &given]).unwrap();
    Some((broker, net))
}

/// One exchange with a large document and its acknowledgement, there and back.
async fn exchange(net: &Net, text: &str) {
    let (sender, town) = (net.state().await.unwrap(), net.town().await.unwrap());
    let large = format!("%PDF-1.4\n{}\n%%EOF\n", text.repeat((1 << 20) / text.len()));
    let (_, document) =
        sender.upload("plan.pdf", "application/pdf", large.as_bytes()).await.unwrap();
    let body = serde_json::json!({
        "recipients": [{ "cog": "34172" }], "process": "AEC",
        "documents": [{ "id": document["id"] }],
    });
    let (status, message) = sender.send(&body).await.unwrap();
    assert_eq!(status, 201, "{message}");
    let id = text_at(&message, "/message_id");
    let item = town.wait_for(&id).await.unwrap();
    let path = format!("/v1/inbox/{}/acknowledge", text_at(&item, "/delivery_id"));
    town.post(&path, &serde_json::json!({})).await.unwrap();
    sender.until(&id, |m| state(m) == "handed_over").await.unwrap();
}

/// A message that waits for `cd-34`, which does not run.
async fn something_waits(net: &Net) -> String {
    net.kill("cd-34").unwrap();
    let sender = net.state().await.unwrap();
    let id = text_at(&sender.send_pdf("34172", "waits").await.unwrap(), "/message_id");
    sender.until(&id, |m| state(m) == "relaying").await.unwrap();
    id
}

/// What an operator does about the theft: another key under another name, at the broker and at the
/// node. Where it stands in the node's configuration, the new one takes the place of the old.
async fn renewed(broker: &Service, net: &Net, node: &str) {
    broker.run("renew", &[node]).unwrap();
    let given = broker.data().join("nodes").join(node);
    let own = Stolen::from(net, node);
    std::fs::copy(given.join("certificate.pem"), own.certificate).unwrap();
    std::fs::copy(given.join("key.pem"), own.key).unwrap();
    net.kill(node).unwrap();
    net.start(&[]).unwrap();
}

async fn connect(url: &str, stolen: &Stolen) -> lapin::Result<Connection> {
    let tls = OwnedTLSConfig {
        identity: Some(OwnedIdentity::PKCS8 {
            pem: std::fs::read(&stolen.certificate).unwrap(),
            key: std::fs::read(&stolen.key).unwrap(),
        }),
        cert_chain: Some(std::fs::read_to_string(&stolen.ca).unwrap()),
    };
    let url = format!("{url}?auth_mechanism=external");
    let runtime = lapin::runtime::default_runtime().unwrap();
    Connection::connect_with_config(&url, ConnectionProperties::default(), tls, runtime).await
}

async fn publish(channel: &Channel, exchange: &str, key: &str) -> lapin::Result<()> {
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let sent = channel.basic_publish(
        exchange.into(),
        key.into(),
        BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() },
        b"from a thief",
        BasicProperties::default(),
    );
    sent.await?.await.map(drop)
}

/// Refused, for want of a right and for nothing else.
fn refused<T: std::fmt::Debug>(what: &str, result: lapin::Result<T>) {
    let error = result.expect_err(what).to_string();
    assert!(error.contains("ACCESS_REFUSED"), "{what}: {error}");
}

async fn amqp_thief_gets_nothing(url: &str, stolen: &Stolen) {
    let connection = connect(url, stolen).await.unwrap();
    let channel = async || connection.create_channel().await.unwrap();
    let nothing = FieldTable::default;
    for lane in LANES {
        let queue = format!("pli.cd-34.{lane}");
        let get = channel().await;
        let got = get.basic_get(queue.as_str().into(), BasicGetOptions::default());
        refused("get", got.await);
        let key = format!("cd-34.{lane}");
        let own = format!("pli.etat.{lane}");
        let copies = channel().await;
        let copies = copies.queue_bind(
            own.into(),
            "pli".into(),
            key.as_str().into(),
            QueueBindOptions::default(),
            nothing(),
        );
        refused("copies of what goes to the other", copies.await);
        // Where it may not write: past the exchange, and to a node that is none of its peers.
        refused("default exchange", publish(&channel().await, "", &queue).await);
        let stranger = format!("cd-31.{lane}");
        refused("a stranger's lane", publish(&channel().await, "pli", &stranger).await);
    }
    let mut forwards = FieldTable::default();
    forwards.insert("x-dead-letter-exchange".into(), AMQPValue::LongString("pli".into()));
    forwards
        .insert("x-dead-letter-routing-key".into(), AMQPValue::LongString("cd-31.message".into()));
    let own = format!("pli.probe.{}", uuid::Uuid::new_v4());
    let options = QueueDeclareOptions { exclusive: true, ..Default::default() };
    let declared = channel().await;
    let declared = declared.queue_declare(own.into(), options, forwards);
    refused("a queue that forwards to a stranger", declared.await);
    refused("as if returned", publish(&channel().await, "pli.returned", "").await);
    // What is left: frames to its peers, which nobody believes without a seal.
    publish(&channel().await, "pli", "cd-34.message").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_certificate_stolen_from_a_node_on_rabbitmq_opens_no_lane_of_another() {
    let Some((broker, net)) = ground("rabbitmq") else { return };
    exchange(&net, "before the theft ").await;
    let thieves = tempfile::tempdir().unwrap();
    let stolen = Stolen::from(&net, "etat").kept(thieves.path());
    let waiting = something_waits(&net).await;
    amqp_thief_gets_nothing(&broker.url, &stolen).await;
    // The same client with the credentials of the node itself finds the message.
    let owner = connect(&broker.url, &Stolen::from(&net, "cd-34")).await.unwrap();
    let lane = owner.create_channel().await.unwrap();
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let lane = lane.basic_consume("pli.cd-34.message".into(), "".into(), options, arguments);
    let mut lane = lane.await.unwrap();
    let found = tokio::time::timeout(Duration::from_secs(30), lane.next()).await;
    found.expect("nothing waited there: the refusals show nothing").unwrap().unwrap();
    owner.close(200, "done".into()).await.unwrap();

    net.start(&[]).unwrap();
    net.town().await.unwrap().wait_for(&waiting).await.unwrap();
    let open = connect(&broker.url, &stolen).await.unwrap();
    renewed(&broker, &net, "etat").await;
    assert!(open.create_channel().await.is_err(), "a connection outlives the right to it");
    let error = connect(&broker.url, &stolen).await.expect_err("the former name");
    assert!(error.to_string().contains("ACCESS_REFUSED"), "{error}");
    exchange(&net, "after the theft ").await;
    drop(net);
}

/// `kcat` with these credentials.
fn kcat(broker: &Service, who: &Stolen, args: &[&str]) -> Option<Output> {
    let mut command = Command::new("timeout");
    command.args(["-k", "1", "20", "kcat", "-b", &broker.url.replace("kafka://", "")]);
    command.args(["-X", "security.protocol=ssl", "-X"]);
    command.arg(format!("ssl.ca.location={}", who.ca.display())).arg("-X");
    command.arg(format!("ssl.certificate.location={}", who.certificate.display())).arg("-X");
    command.arg(format!("ssl.key.location={}", who.key.display()));
    let output = command.args(args).stdin(std::process::Stdio::null()).output().unwrap();
    if output.status.code() == Some(127) {
        skipped("a thief on Kafka", "kcat is not installed (Debian package kcat)");
        return None;
    }
    Some(output)
}

fn read(broker: &Service, who: &Stolen, topic: &str) -> Option<(Vec<u8>, String)> {
    let args = ["-C", "-t", topic, "-o", "beginning", "-e", "-q", "-m", "10"];
    let output = kcat(broker, who, &args)?;
    Some((output.stdout, String::from_utf8_lossy(&output.stderr).into_owned()))
}

fn write(broker: &Service, who: &Stolen, topic: &str, file: &Path) -> Option<(bool, String)> {
    std::fs::write(file, "from a thief").unwrap();
    let file = file.display().to_string();
    let args = ["-P", "-t", topic, "-X", "message.timeout.ms=5000", &file];
    let output = kcat(broker, who, &args)?;
    Some((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_certificate_stolen_from_a_node_on_kafka_opens_no_lane_of_another() {
    let Some((broker, net)) = ground("kafka") else { return };
    exchange(&net, "before the theft ").await;
    let thieves = tempfile::tempdir().unwrap();
    let file = thieves.path().join("frame");
    let stolen = Stolen::from(&net, "etat").kept(thieves.path());
    let waiting = something_waits(&net).await;
    for lane in LANES {
        let topic = format!("pli.cd-34.{lane}");
        let Some((got, said)) = read(&broker, &stolen, &topic) else { return };
        assert!(got.is_empty() && said.contains("authorization failed"), "{topic}: {said}");
        let as_member = ["-G", &topic, "-X", "auto.offset.reset=earliest", "-e", &topic];
        let output = kcat(&broker, &stolen, &as_member).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.stdout.is_empty() && said.contains("uthorization failed"),
            "{topic}: {said}"
        );
    }
    let (sent, said) = write(&broker, &stolen, "pli.cd-31.message", &file).unwrap();
    assert!(!sent && said.contains("uthorization failed"), "{said}");
    // What is left: frames to its peers, which nobody believes without a seal.
    let (sent, said) = write(&broker, &stolen, "pli.cd-34.message", &file).unwrap();
    assert!(sent, "{said}");
    // The same client with the credentials of the node itself finds the message.
    let (got, said) = read(&broker, &Stolen::from(&net, "cd-34"), "pli.cd-34.message").unwrap();
    assert!(!got.is_empty(), "nothing waited there: the refusals show nothing: {said}");

    net.start(&[]).unwrap();
    net.town().await.unwrap().wait_for(&waiting).await.unwrap();
    renewed(&broker, &net, "etat").await;
    let (sent, said) = write(&broker, &stolen, "pli.cd-34.message", &file).unwrap();
    assert!(!sent && said.contains("uthorization failed"), "the former name: {said}");
    let (got, _) = read(&broker, &stolen, "pli.etat.message").unwrap();
    assert!(got.is_empty(), "the former name reads the lanes of the node");
    exchange(&net, "after the theft ").await;
    drop(net);
}
