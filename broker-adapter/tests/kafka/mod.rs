//! Apache Kafka.

use std::collections::{HashMap, HashSet};
use std::process::Command;
use std::time::{Duration, Instant};

use broker_adapter::conformance::{BAD_DAYS, Ground};
use broker_adapter::{Backbone, BackboneError, Destination, Frame, Lane, Options, Outcome, open};
use schemas::ids::NodeId;
use tokio::net::TcpListener;

use crate::services::{self, Mortal, Service, find};
use crate::{ground, pass, pass_some, processes, silence};

mod full;
mod hangs;
mod secure;

#[tokio::test(flavor = "multi_thread")]
async fn kafka() {
    let Some((url, _service)) = find("kafka", "PLI_TEST_KAFKA") else { return };
    // Less than the session of the dead reader, whose place is taken by name.
    processes::a_killed_reader_loses_nothing(&url, Duration::from_secs(5)).await;
    processes::what_a_killed_publisher_saw_confirmed_is_there(&url).await;
    pass(&ground(url)).await;
}

/// A broker that makes topics by itself, with a listener for TLS and a login, behind a line that goes
/// dead.
#[tokio::test(flavor = "multi_thread")]
async fn kafka_with_a_broker_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let options = ["--auto-create", "--login", "--advertise", &port];
    let Some(service) = Service::start("kafka", &options) else { return };
    let url = service.run("url", &[]).unwrap();
    let line = silence::Line::lay(listener, url.replace("kafka://", ""));
    // Even here a topic that nobody provisioned is no destination.
    let strict = ["unroutable_is_said_and_heals", "an_unknown_lane_cannot_be_read"];
    pass_some(&ground(url.clone()), &strict).await;
    with_login(&service).await;
    lanes_are_as_configured(&service, &url).await;
    silence::is_noticed(&url, &line, Options::default(), Duration::from_secs(40)).await;
    let broker = Some(Box::new(Mortal(service)) as Box<_>);
    let mut ground = Ground { broker, ..ground(url) };
    pass_some(&ground, &BAD_DAYS).await;
    // So little patience that producers are replaced while the broker is away.
    ground.options.confirm_timeout = Duration::from_millis(700);
    pass_some(&ground, &["the_broker_dies"]).await;
}

/// What Kafka's own tool says of the topics is what the options asked for; and a limit that the
/// broker sets below ours is respected, frame by frame.
async fn lanes_are_as_configured(service: &Service, url: &str) {
    let node = services::node();
    let options = Options {
        replication: Some(1),
        min_in_sync: Some(1),
        partitions: Some(5),
        max_bytes: Some(2 << 20),
        retention: Some(Duration::from_secs(3600)),
        ..Options::default()
    };
    let backbone = open(url, options).await.unwrap();
    backbone.provision(&node).await.unwrap();
    let topics = format!("pli.{node}.*");
    let described = service.run("tool", &[TOPICS, "--describe", "--topic", &topics]).unwrap();
    for lane in Lane::ALL {
        let name = format!("Topic: pli.{node}.{lane}\t");
        let line = described.lines().find(|line| line.starts_with(&name)).unwrap();
        for setting in [
            "PartitionCount: 5",
            "ReplicationFactor: 1",
            "cleanup.policy=delete",
            "max.message.bytes=2097152",
            "min.insync.replicas=1",
            "retention.ms=3600000",
        ] {
            assert!(line.contains(setting), "{setting} is not in {line}");
        }
    }
    set(service, &node, "max.message.bytes=2000");
    let batch = vec![frame(&node, 0, 100), frame(&node, 1, 10_000), frame(&node, 2, 100)];
    let outcomes = backbone.publish(batch).await;
    assert_eq!(outcomes, [Outcome::Confirmed, Outcome::TooLarge, Outcome::Confirmed]);
}

/// Two brokers, each with a copy; one is killed.
///
/// ```text
///   node -- broker 1 (and controller) == broker 2 (killed, and started again)
/// ```
#[tokio::test(flavor = "multi_thread")]
async fn kafka_with_two_brokers() {
    let Some(first) = Service::start("kafka", &[]) else { return };
    let place = first.directory().to_str().unwrap().to_owned();
    let Some(second) = Service::start("kafka", &["--join", &place]) else { return };
    let url = first.run("url", &[]).unwrap();
    let limit = Duration::from_secs(5);
    let copies = |min| Options {
        replication: Some(2),
        min_in_sync: Some(min),
        partitions: Some(4),
        confirm_timeout: limit,
        ..Options::default()
    };
    let (both, one) = (open(&url, copies(2)).await.unwrap(), open(&url, copies(1)).await.unwrap());
    let (careful, bold) = (services::node(), services::node());
    both.provision(&careful).await.unwrap();
    one.provision(&bold).await.unwrap();
    let topic = format!("pli.{careful}.message");
    let described = first.run("tool", &[TOPICS, "--describe", "--topic", &topic]).unwrap();
    assert!(described.contains("ReplicationFactor: 2"), "{described}");
    until_confirmed(&*both, &careful).await;
    until_confirmed(&*one, &bold).await;

    second.run("kill", &[]).unwrap();
    // Whoever asks for two copies is told, in time, that there is no telling.
    let start = Instant::now();
    let outcomes = both.publish((0..4).map(|n| frame(&careful, n, 100)).collect()).await;
    assert!(outcomes.iter().any(|o| matches!(o, Outcome::Unknown(_))), "{outcomes:?}");
    assert!(start.elapsed() < 3 * limit, "after {:?}", start.elapsed());
    // Whoever is content with one goes on, with the broker that is left as leader of all.
    until_confirmed(&*one, &bold).await;

    second.run("start", &["--join", &place]).unwrap();
    until_confirmed(&*both, &careful).await;
}

/// Publishes to every partition until all is confirmed.
async fn until_confirmed(backbone: &dyn Backbone, node: &NodeId) {
    let keyed = |n: usize| {
        let (to, frame) = frame(node, n, 100);
        (to, Frame { key: format!("k{n}"), ..frame })
    };
    let end = Instant::now() + Duration::from_secs(40);
    loop {
        let outcomes = backbone.publish((0..12).map(keyed).collect()).await;
        if outcomes.iter().all(|o| *o == Outcome::Confirmed) {
            return;
        }
        assert!(Instant::now() < end, "still not confirmed: {outcomes:?}");
    }
}

/// Order is kept within a key and not between keys: `kcat` sees each key in one partition, its
/// frames in their order, and more than one partition in use.
#[tokio::test(flavor = "multi_thread")]
async fn kafka_spreads_keys_over_partitions() {
    let Some((url, _service)) = find("kafka", "PLI_TEST_KAFKA") else { return };
    let node = services::node();
    let backbone = open(&url, Options { partitions: Some(4), ..Options::default() }).await.unwrap();
    backbone.provision(&node).await.unwrap();
    let keyed = |n: usize| {
        let (to, frame) = frame(&node, n, 10);
        (to, Frame { key: format!("k{}", n % 12), ..frame })
    };
    let outcomes = backbone.publish((0..240).map(keyed).collect()).await;
    assert_eq!(outcomes, vec![Outcome::Confirmed; 240]);
    let (topic, broker) = (format!("pli.{node}.message"), url.replace("kafka://", ""));
    let kcat = Command::new("kcat")
        .args(["-b", &broker, "-C", "-e", "-q", "-t", &topic, "-f", "%p %k %h\n"])
        .output();
    let Ok(kcat) = kcat else { return eprintln!("skipped: partitions: kcat is not installed") };
    let told = String::from_utf8(kcat.stdout).unwrap();
    let mut places: HashMap<String, (String, usize)> = HashMap::new();
    for line in told.lines() {
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        let [partition, key, headers] = std::array::from_fn(|_| words.next().unwrap());
        let id = headers.split(',').find_map(|h| h.strip_prefix("ce_id=")).unwrap();
        let id: usize = id.parse().unwrap();
        if let Some((before, last)) = places.insert(key.clone(), (partition.clone(), id)) {
            assert_eq!(before, partition, "{key} is in two partitions");
            assert!(last < id, "{key}: {id} after {last}");
        }
    }
    assert_eq!((told.lines().count(), places.len()), (240, 12));
    let used: HashSet<&String> = places.values().map(|(partition, _)| partition).collect();
    assert!(used.len() > 1, "all in {used:?}");
}

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const CONFIGS: &str = "kafka.admin.ConfigCommand";

/// Alters a setting of a message lane's topic, as an operator does.
fn set(service: &Service, node: &NodeId, setting: &str) {
    let topic = format!("pli.{node}.message");
    let what = ["--alter", "--entity-type", "topics", "--entity-name", &topic];
    service.run("tool", &[&[CONFIGS], &what[..], &["--add-config", setting]].concat()).unwrap();
}

fn frame(node: &NodeId, n: usize, size: usize) -> (Destination, Frame) {
    let to = Destination { node: node.clone(), lane: Lane::Message };
    let (id, key) = (n.to_string(), "k".to_owned());
    (to, Frame { id, attributes: Vec::new(), key, body: vec![1; size].into() })
}

async fn with_login(service: &Service) {
    let url = service.run("url", &["--login"]).unwrap();
    let mut secure = ground(url.clone());
    secure.options.ca_file = Some(service.ca_file());
    pass_some(&secure, &["a_frame_arrives_as_it_was", "the_probe_goes_round"]).await;

    let wrong = url.replace("pli-secret", "wrong-secret");
    let options = Options {
        ca_file: Some(service.ca_file()),
        confirm_timeout: Duration::from_secs(5),
        ..Options::default()
    };
    let barred = open(&wrong, options.clone()).await.unwrap();
    let error = barred.probe().await.unwrap_err();
    assert!(matches!(error, BackboneError::Refused(_)), "a wrong password: {error}");
    assert!(!format!("{error} {barred:?} {options:?}").contains("wrong-secret"));

    let stranger = open(&url, Options { ca_file: None, ..options }).await.unwrap();
    let error = stranger.probe().await.unwrap_err();
    assert!(matches!(error, BackboneError::Refused(_)), "a foreign authority: {error}");
}
