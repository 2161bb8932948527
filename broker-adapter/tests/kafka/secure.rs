//! Kafka that knows its nodes by their certificates: what one that was stolen is good for.

use std::time::{Duration, Instant};

use broker_adapter::conformance::Ground;
use broker_adapter::{BackboneError, Lane, Options, Outcome, open};
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier};
use rdkafka::admin::{NewPartitions, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use schemas::ids::NodeId;

use super::{TOPICS, frame};
use crate::services::{Nodes, Service, node};
use crate::{ground, pass};

/// Nodes that the conformance suite may use.
const GUESTS: usize = 40;
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn kafka_that_knows_its_nodes() {
    let Some(service) = Service::start("kafka", &["--secure"]) else { return };
    let url = service.run("url", &[]).unwrap();
    let nodes = Nodes::new(service.clone(), GUESTS);
    let (a, b) = (node(), node());
    let told = nodes.grant(&[a.clone(), b.clone()]).unwrap();
    assert!(told.contains("[backbone]") && told.contains(&url), "{told}");
    strangers_are_refused(&service, &nodes, &url, &a).await;
    a_thief_writes_and_reads_nothing(&service, &nodes, &url, &a, &b).await;
    let accounts = Some(Box::new(nodes) as Box<_>);
    pass(&Ground { accounts, ..ground(url) }).await;
}

/// No certificate, no TLS, one of another authority, one of a node that nobody admitted.
async fn strangers_are_refused(service: &Service, nodes: &Nodes, url: &str, known: &NodeId) {
    let own = Options { confirm_timeout: Duration::from_secs(2), ..nodes.options(known) };
    open(url, own.clone()).await.unwrap().probe().await.unwrap();
    let bare = Options { identity: None, ..own.clone() };
    let plain = Options { ca_file: None, ..bare.clone() };
    let pki = service.directory().join("pki");
    let forged = service.identity(&service.directory().join("elsewhere"), known);
    let forged = Options { identity: Some(forged), ..own.clone() };
    let unknown = Options { identity: Some(service.identity(&pki, &node())), ..own.clone() };
    for (who, options) in [
        ("without a certificate", bare),
        ("without TLS", plain),
        ("the certificate of another authority", forged),
        ("a node that nobody admitted", unknown),
    ] {
        let stranger = open(url, options).await.unwrap();
        let error = stranger.probe().await.expect_err(who);
        eprintln!("{who}: {error}");
    }
    let fooled = Options { ca_file: Some(service.directory().join("elsewhere/ca.pem")), ..own };
    let fooled = open(url, fooled).await.unwrap();
    let error = fooled.probe().await.expect_err("a broker of another authority");
    assert!(matches!(error, BackboneError::Refused(_)), "{error}");
}

/// Everything that Kafka offers for getting at the lanes of another, with the credentials of `a`.
async fn a_thief_writes_and_reads_nothing(
    service: &Service,
    nodes: &Nodes,
    url: &str,
    a: &NodeId,
    b: &NodeId,
) {
    let victim = open(url, nodes.options(b)).await.unwrap();
    victim.provision(b).await.unwrap();
    let thief = open(url, nodes.options(a)).await.unwrap();
    assert_eq!(thief.publish(vec![frame(b, 0, 10)]).await, [Outcome::Confirmed]);
    let mut reader = thief.subscribe(b, Lane::Message).await.unwrap();
    let refused = tokio::time::timeout(PATIENCE, reader.next(1)).await.expect("refused in time");
    assert!(matches!(refused, Err(BackboneError::Refused(_))), "{refused:?}");
    let unread = thief.unread();
    let lanes: Vec<_> = unread.iter().map(|one| (&one.lane.node, one.lane.lane)).collect();
    assert_eq!(lanes, [(b, Lane::Message)], "what is not read is told: {unread:?}");
    assert!(unread.iter().all(|one| one.why.contains("refuses")), "{unread:?}");
    drop(reader);
    let error = thief.provision(&node()).await.unwrap_err();
    assert!(matches!(error, BackboneError::Refused(_)), "{error}");

    let (config, topic) = (raw(nodes, url, a), format!("pli.{b}.message"));
    let (consuming, name, group) = (config.clone(), topic.clone(), format!("pli.{a}.message"));
    tokio::task::spawn_blocking(move || {
        // Outside of any group, in the own group, in that of the other.
        refuses(
            &consuming,
            &group,
            &name,
            Reads::Assigned,
            RDKafkaErrorCode::TopicAuthorizationFailed,
        );
        refuses(
            &consuming,
            &group,
            &name,
            Reads::Joined,
            RDKafkaErrorCode::TopicAuthorizationFailed,
        );
        refuses(
            &consuming,
            &name,
            &name,
            Reads::Joined,
            RDKafkaErrorCode::GroupAuthorizationFailed,
        );
    })
    .await
    .unwrap();
    administers_nothing(&config, &topic).await;
    let told = service.run("tool", &[TOPICS, "--describe", "--topic", &topic]).unwrap();
    let unchanged = ["PartitionCount: 3", "retention.ms=604800000"];
    assert!(unchanged.iter().all(|setting| told.contains(setting)), "{told}");
    let mut desk = victim.subscribe(b, Lane::Message).await.unwrap();
    let got = tokio::time::timeout(PATIENCE, desk.next(9)).await.unwrap().unwrap();
    assert_eq!(got.iter().map(|r| r.frame.id.as_str()).collect::<Vec<_>>(), ["0"]);
    assert_eq!(victim.unread(), []);
}

/// A client that is not ours to hold back.
fn raw(nodes: &Nodes, url: &str, node: &NodeId) -> ClientConfig {
    let options = nodes.options(node);
    let identity = options.identity.unwrap();
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", url.replace("kafka://", ""))
        .set("security.protocol", "ssl")
        .set("ssl.ca.location", options.ca_file.unwrap().to_str().unwrap())
        .set("ssl.certificate.location", identity.certificate.to_str().unwrap())
        .set("ssl.key.location", identity.key.to_str().unwrap())
        .set("auto.offset.reset", "earliest");
    config
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    Assigned,
    Joined,
}

fn refuses(
    config: &ClientConfig,
    group: &str,
    topic: &str,
    reads: Reads,
    wanted: RDKafkaErrorCode,
) {
    let consumer: BaseConsumer = config.clone().set("group.id", group).create().unwrap();
    if reads == Reads::Assigned {
        let mut all = TopicPartitionList::new();
        for partition in 0..3 {
            all.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&all).unwrap();
    } else {
        consumer.subscribe(&[topic]).unwrap();
    }
    let end = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < end, "{group} {reads:?}: never refused");
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(_)) => panic!("{group} {reads:?}: reads what is not its own"),
            Some(Err(error)) if error.rdkafka_error_code() == Some(wanted) => return,
            _ => {}
        }
    }
}

async fn administers_nothing(config: &ClientConfig, topic: &str) {
    let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let denied = Some(RDKafkaErrorCode::TopicAuthorizationFailed);
    let deleted = admin.delete_topics(&[topic], &options).await.unwrap().remove(0);
    assert_eq!(deleted.err().map(|(_, code)| code), denied, "delete");
    let mut records = TopicPartitionList::new();
    records.add_partition_offset(topic, 0, Offset::End).unwrap();
    let emptied = code_of(admin.delete_records(&records, &options).await.and_then(|list| {
        list.elements()
            .iter()
            .try_for_each(rdkafka::topic_partition_list::TopicPartitionListElem::error)
    }));
    assert_eq!(emptied, denied, "empty");
    let short = AlterConfig::new(ResourceSpecifier::Topic(topic)).set("retention.ms", "1");
    // The library does not say what became of it: the caller looks.
    let _ = admin.alter_configs(&[short], &options).await;
    let more = NewPartitions::new(topic, 9);
    let grown = admin.create_partitions(&[more], &options).await.unwrap().remove(0);
    assert_eq!(grown.err().map(|(_, code)| code), denied, "more partitions");
    let new = NewTopic::new("pli.elsewhere.message", 1, TopicReplication::Fixed(1));
    let made = admin.create_topics(&[new], &options).await.unwrap().remove(0);
    assert_eq!(made.err().map(|(_, code)| code), denied, "create");
    let group = admin.delete_groups(&[topic], &options).await.unwrap().remove(0);
    let denied = Some(RDKafkaErrorCode::GroupAuthorizationFailed);
    assert_eq!(group.err().map(|(_, code)| code), denied, "delete the group");
}

fn code_of<T>(result: Result<T, KafkaError>) -> Option<RDKafkaErrorCode> {
    result.err().and_then(|error| error.rdkafka_error_code())
}
