//! RabbitMQ that knows its nodes by their certificates: what one that was stolen is good for.

use std::time::Duration;

use broker_adapter::conformance::Ground;
use broker_adapter::{BackboneError, Destination, Frame, Lane, Options, Outcome, open};
use lapin::options::*;
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use schemas::ids::NodeId;

use crate::services::{Nodes, Service, node};
use crate::{ground, pass};

#[tokio::test(flavor = "multi_thread")]
async fn amqp_that_knows_its_nodes() {
    let Some(service) = Service::start("rabbitmq", &["--secure"]) else { return };
    let url = service.run("url", &[]).unwrap();
    let nodes = Nodes::new(service.clone(), 0);
    let (a, b) = (node(), node());
    let told = nodes.grant(&[a.clone(), b.clone()]).unwrap();
    assert!(told.contains("[backbone]") && told.contains(&url), "{told}");
    strangers_are_refused(&service, &nodes, &url, &a).await;
    a_thief_writes_and_reads_nothing(&nodes, &url, &a, &b).await;
    let accounts = Some(Box::new(nodes) as Box<_>);
    pass(&Ground { accounts, returns: true, ..ground(url) }).await;
}

/// No certificate, one of another authority, one of a node that nobody admitted, a password.
async fn strangers_are_refused(service: &Service, nodes: &Nodes, url: &str, known: &NodeId) {
    let own = Options { confirm_timeout: Duration::from_secs(5), ..nodes.options(known) };
    open(url, own.clone()).await.unwrap();
    let bare = Options { identity: None, ..own.clone() };
    open(url, bare.clone()).await.expect_err("without a certificate");
    let login = url.replace("amqps://", "amqps://guest:guest@");
    open(&login, bare).await.expect_err("with a password alone");
    open(&login, own.clone()).await.expect_err("with a password beside a certificate");

    let (pki, elsewhere) = (service.directory().join("pki"), service.directory().join("elsewhere"));
    let forged = Options { identity: Some(service.identity(&elsewhere, known)), ..own.clone() };
    open(url, forged).await.expect_err("the certificate of another authority");
    let unknown = Options { identity: Some(service.identity(&pki, &node())), ..own.clone() };
    let error = open(url, unknown).await.expect_err("a node that nobody admitted");
    assert!(matches!(error, BackboneError::Refused(_)), "{error}");
    // And the other way round: a broker that another authority vouches for is not believed.
    let fooled = Options { ca_file: Some(elsewhere.join("ca.pem")), ..own };
    open(url, fooled).await.expect_err("a broker of another authority");
}

/// Everything that AMQP offers for getting at the lanes of another, with the credentials of `a`.
async fn a_thief_writes_and_reads_nothing(nodes: &Nodes, url: &str, a: &NodeId, b: &NodeId) {
    let victim = open(url, nodes.options(b)).await.unwrap();
    victim.provision(b).await.unwrap();
    let mut desk = victim.subscribe(b, Lane::Message).await.unwrap();

    let thief = open(url, nodes.options(a)).await.unwrap();
    for (lane, kept) in Lane::ALL.into_iter().zip([1, 2, 3]) {
        let letter = Frame {
            id: format!("letter {kept}"),
            attributes: Vec::new(),
            key: "k".to_owned(),
            body: vec![1; 10].into(),
        };
        let to = Destination { node: b.clone(), lane };
        assert_eq!(thief.publish(vec![(to, letter)]).await, [Outcome::Confirmed]);
        let error = thief.subscribe(b, lane).await.unwrap_err();
        assert!(matches!(error, BackboneError::Refused(_)), "{error}");
    }
    let error = thief.provision(&node()).await.unwrap_err();
    assert!(matches!(error, BackboneError::Refused(_)), "{error}");

    let connection = connect(nodes, url, a).await;
    for (what, attempt) in attempts() {
        let channel = connection.create_channel().await.unwrap();
        let error = attempt(channel, a.to_string(), b.to_string()).await.expect_err(what);
        assert!(error.to_string().contains("ACCESS_REFUSED"), "{what}: {error}");
    }
    // After all that the letter is still there.
    let got = desk.next(9).await.unwrap();
    assert_eq!(got.iter().map(|r| r.frame.id.as_str()).collect::<Vec<_>>(), ["letter 1"]);
}

type Attempt =
    fn(Channel, String, String) -> futures::future::BoxFuture<'static, lapin::Result<()>>;

macro_rules! attempts {
    ($($what:literal: |$channel:ident, $own:ident, $other:ident| $call:expr;)+) => {
        vec![$(($what, |$channel: Channel, $own: String, $other: String| Box::pin(async move {
            let _ = (&$own, &$other);
            $call.await.map(drop)
        }) as futures::future::BoxFuture<'static, lapin::Result<()>>)),+]
    };
}

fn attempts() -> Vec<(&'static str, Attempt)> {
    attempts! {
        "consume": |channel, own, other| channel.basic_consume(
            queue(&other), "thief".into(), BasicConsumeOptions::default(), FieldTable::default());
        "get": |channel, own, other| channel.basic_get(queue(&other), BasicGetOptions::default());
        "purge": |channel, own, other| channel.queue_purge(
            queue(&other), QueuePurgeOptions::default());
        "delete": |channel, own, other| channel.queue_delete(
            queue(&other), QueueDeleteOptions::default());
        "declare": |channel, own, other| channel.queue_declare(
            format!("pli.{other}.other").into(), durable(), FieldTable::default());
        "declare its lane again": |channel, own, other| channel.queue_declare(
            queue(&other), durable(), FieldTable::default());
        "unbind its lane": |channel, own, other| channel.queue_unbind(
            queue(&other), "pli".into(), format!("{other}.message").into(), FieldTable::default());
        "bind its lane elsewhere": |channel, own, other| channel.queue_bind(
            queue(&other), "amq.topic".into(), "#".into(), QueueBindOptions::default(),
            FieldTable::default());
        // What would give copies of everything that goes to the other.
        "bind the own lane to the other's key": |channel, own, other| channel.queue_bind(
            queue(&own), "pli".into(), format!("{other}.message").into(),
            QueueBindOptions::default(), FieldTable::default());
        // With one of its own, it could bind and forward.
        "declare a queue for a probe": |channel, own, other| {
            let probe = format!("pli.probe.{}", uuid::Uuid::new_v4());
            let options = QueueDeclareOptions { exclusive: true, ..Default::default() };
            channel.queue_declare(probe.into(), options, FieldTable::default())
        };
        "bind the own lane to what returns": |channel, own, other| {
            let mut theirs = FieldTable::default();
            theirs.insert("pli_from".into(), AMQPValue::LongString(other.as_str().into()));
            channel.queue_bind(format!("pli.{own}.evidence").into(), "pli.returned".into(),
                "".into(), QueueBindOptions::default(), theirs)
        };
        "read what nobody wants": |channel, own, other| channel.basic_get(
            "pli.undeliverable".into(), BasicGetOptions::default());
        // A queue of probes whose dead letters would go where it may not write.
        "forward by dead letters": |channel, own, other| {
            let probe = format!("pli.probe.{}", uuid::Uuid::new_v4());
            let mut arguments = FieldTable::default();
            arguments.insert("x-dead-letter-exchange".into(),
                AMQPValue::LongString("pli.returned".into()));
            let options = QueueDeclareOptions { exclusive: true, ..Default::default() };
            channel.queue_declare(probe.into(), options, arguments)
        };
        "delete the exchange": |channel, own, other| channel.exchange_delete(
            "pli".into(), ExchangeDeleteOptions::default());
        "make an exchange": |channel, own, other| channel.exchange_declare(
            "pli.other".into(), ExchangeKind::Fanout, ExchangeDeclareOptions::default(),
            FieldTable::default());
        "bind the exchange to another": |channel, own, other| channel.exchange_bind(
            "amq.fanout".into(), "pli".into(), format!("{other}.message").into(),
            ExchangeBindOptions::default(), FieldTable::default());
        "publish as if returned": |channel, own, other| publish(channel, "pli.returned", "");
        "publish past the exchange": |channel, own, other| publish(
            channel, "", queue(&other).as_str());
        "publish a probe of the other": |channel, own, other| publish(
            channel, "pli", &format!("{other}.probe"));
    }
}

async fn publish(channel: Channel, exchange: &str, key: &str) -> lapin::Result<()> {
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let options = BasicPublishOptions::default();
    let confirm = channel
        .basic_publish(exchange.into(), key.into(), options, b"x", BasicProperties::default())
        .await?;
    confirm.await.map(drop)
}

fn queue(node: &str) -> lapin::types::ShortString {
    format!("pli.{node}.message").into()
}

fn durable() -> QueueDeclareOptions {
    QueueDeclareOptions { durable: true, ..Default::default() }
}

/// A client that is not ours to hold back.
async fn connect(nodes: &Nodes, url: &str, node: &NodeId) -> Connection {
    let options = nodes.options(node);
    let identity = options.identity.unwrap();
    let tls = OwnedTLSConfig {
        identity: Some(OwnedIdentity::PKCS8 {
            pem: std::fs::read(identity.certificate).unwrap(),
            key: std::fs::read(identity.key).unwrap(),
        }),
        cert_chain: Some(std::fs::read_to_string(options.ca_file.unwrap()).unwrap()),
    };
    let url = format!("{url}?auth_mechanism=external");
    let runtime = lapin::runtime::default_runtime().unwrap();
    Connection::connect_with_config(&url, ConnectionProperties::default(), tls, runtime)
        .await
        .unwrap()
}
