//! RabbitMQ.

use std::sync::Arc;
use std::time::Duration;

use broker_adapter::conformance::{BAD_DAYS, Ground};
use broker_adapter::{BackboneError, Destination, Frame, Lane, Options, Outcome, open};
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties};
use schemas::ids::NodeId;
use tokio::net::TcpListener;

use crate::services::{self, Mortal, Service, find};
use crate::{ground, pass, pass_some, processes, silence};

mod secure;

#[tokio::test(flavor = "multi_thread")]
async fn amqp() {
    let Some((url, _service)) = find("rabbitmq", "PLI_TEST_AMQP") else { return };
    processes::a_killed_reader_loses_nothing(&url, Duration::from_secs(5)).await;
    processes::what_a_killed_publisher_saw_confirmed_is_there(&url).await;
    pass(&Ground { returns: true, ..ground(url) }).await;
}

/// A line to the broker goes dead: the heartbeat notices (AMQP 0-9-1 §4.2.7).
#[tokio::test(flavor = "multi_thread")]
async fn amqp_on_a_dead_line() {
    let Some((url, _service)) = find("rabbitmq", "PLI_TEST_AMQP") else { return };
    let (login, place) = url.split_once('@').unwrap();
    let (host, vhost) = place.split_once('/').unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let line = silence::Line::lay(listener, host.to_owned());
    let url = format!("{login}@127.0.0.1:{port}/{vhost}?heartbeat=2");
    silence::is_noticed(&url, &line, Options::default(), Duration::from_secs(20)).await;
}

/// One broker for several bad days, since it takes long to start.
#[tokio::test(flavor = "multi_thread")]
async fn amqp_with_a_broker_of_its_own() {
    let Some(service) = Service::start("rabbitmq", &[]) else { return };
    let url = service.run("url", &[]).unwrap();
    over_tls(&service).await;
    refused(&url).await;
    lanes_are_as_configured(&service, &url).await;
    a_lower_limit(&service, &url).await;
    away_at_first(&service, &url).await;
    a_forgotten_reader(&service, &url).await;
    a_queue_without_a_leader(&service, &url).await;
    let memory = ["set_vm_memory_high_watermark", "absolute"];
    short_of(&service, &url, &[memory[0], memory[1], "20MB"], &[memory[0], memory[1], "512MB"])
        .await;
    let disk = "set_disk_free_limit";
    short_of(&service, &url, &[disk, "900000GB"], &[disk, "50MB"]).await;
    let broker = Some(Box::new(Mortal(service)) as Box<_>);
    pass_some(&Ground { broker, ..ground(url) }, &BAD_DAYS).await;
}

/// A broker that takes less than a frame may be closes the channel: what is too large is named, and
/// what travelled beside it, in this batch or another, arrives in its order.
async fn a_lower_limit(service: &Service, url: &str) {
    let limit = |octets: u32| format!("application:set_env(rabbit, max_message_size, {octets}).");
    service.run("ctl", &["eval", &limit(2_000)]).unwrap();
    let node = services::node();
    let backbone = open(url, Options::default()).await.unwrap();
    backbone.provision(&node).await.unwrap();
    let sized = |n: usize, size: usize| {
        let body = vec![1; size].into();
        (to(&node), Frame { body, ..frame(n) })
    };
    let mixed = vec![sized(0, 100), sized(1, 10_000), sized(2, 100), sized(3, 10_000)];
    let innocent = (10..20).map(|n| sized(n, 100)).collect();
    let (mixed, innocent) = tokio::join!(backbone.publish(mixed), backbone.publish(innocent));
    let large = Outcome::TooLarge;
    let small = Outcome::Confirmed;
    assert_eq!(mixed, [small.clone(), large.clone(), small.clone(), large]);
    assert_eq!(innocent, vec![small.clone(); 10]);
    // The next batch has a channel that works.
    assert_eq!(backbone.publish(vec![sized(20, 100)]).await, [small]);
    service.run("ctl", &["eval", &limit(134_217_728)]).unwrap();

    let mut reader = backbone.subscribe(&node, Lane::Message).await.unwrap();
    let mut seen: Vec<usize> = Vec::new();
    while !seen.contains(&20) {
        let batch = reader.next(50).await.unwrap();
        reader.ack(batch.iter().map(|r| r.receipt).collect()).await.unwrap();
        for id in batch.iter().map(|r| r.frame.id.parse().unwrap()) {
            // Sent again, it may be there twice.
            if !seen.contains(&id) {
                seen.push(id);
            }
        }
    }
    let of = |range: std::ops::Range<usize>| {
        seen.iter().copied().filter(|n| range.contains(n)).collect::<Vec<_>>()
    };
    assert_eq!((of(0..10), of(10..20)), (vec![0, 2], (10..20).collect()));
}

/// A node that starts while its broker is away starts, and finds it when it is back.
async fn away_at_first(service: &Service, url: &str) {
    service.run("stop", &[]).unwrap();
    let backbone = open(url, Options::default()).await.unwrap();
    let error = backbone.probe().await.unwrap_err();
    assert!(matches!(error, BackboneError::Unreachable(_)), "{error}");
    service.run("start", &[]).unwrap();
    let node = services::node();
    backbone.provision(&node).await.unwrap();
    let mut reader = backbone.subscribe(&node, Lane::Message).await.unwrap();
    let to = Destination { node, lane: Lane::Message };
    let frame = Frame {
        id: "late".to_owned(),
        attributes: Vec::new(),
        key: "k".to_owned(),
        body: "body".into(),
    };
    assert_eq!(backbone.publish(vec![(to, frame)]).await, [Outcome::Confirmed]);
    assert_eq!(reader.next(1).await.unwrap().first().unwrap().frame.id, "late");
}

/// The broker forgets the consumer of a lane and tells nobody, as may happen when it comes back from a
/// crash: the reader finds out that frames wait which it is not given.
async fn a_forgotten_reader(service: &Service, url: &str) {
    let node = services::node();
    let options = Options { confirm_timeout: Duration::from_secs(4), ..Options::default() };
    let backbone = open(url, options).await.unwrap();
    backbone.provision(&node).await.unwrap();
    for lane in [Lane::Message, Lane::Evidence] {
        let to = Destination { node: node.clone(), lane };
        let mut reader = backbone.subscribe(&node, lane).await.unwrap();
        let forget = format!(
            "{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"pli.{to}\">>)), \
             [ra:process_command(amqqueue:get_pid(Q), \
              rabbit_fifo:make_checkout({{element(2, C), element(1, C)}}, cancel, #{{}})) \
              || C <- rabbit_amqqueue:consumers(Q)], rabbit_amqqueue:consumers(Q).",
            to = format_args!("{node}.{lane}")
        );
        assert_eq!(service.run("ctl", &["-q", "eval", &forget]).unwrap(), "[]");
        assert_eq!(backbone.publish(vec![(to, frame(1))]).await, [Outcome::Confirmed]);
        let found = tokio::time::timeout(Duration::from_secs(60), reader.next(1)).await;
        assert_eq!(found.unwrap().unwrap().first().unwrap().frame.id, "1");
    }
}

/// A queue without a leader gives nothing away, while the broker answers everything else: the backbone
/// says which lane is not read, for as long as that lasts, and the other lanes are read meanwhile.
async fn a_queue_without_a_leader(service: &Service, url: &str) {
    let node = services::node();
    let options = Options { confirm_timeout: Duration::from_secs(3), ..Options::default() };
    let backbone = open(url, options).await.unwrap();
    backbone.provision(&node).await.unwrap();
    let lane = Destination { node: node.clone(), lane: Lane::Evidence };
    // As a node reads: what is refused for long is asked for again.
    let (again, of) = (Arc::clone(&backbone), node.clone());
    let reading = tokio::spawn(async move {
        loop {
            if let Ok(mut reader) = again.subscribe(&of, Lane::Evidence).await
                && let Ok(read) = reader.next(1).await
            {
                return read;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    assert_eq!(backbone.unread(), []);
    let leader = |what: &str| {
        let queue = format!("rabbit_misc:r(<<\"/\">>, queue, <<\"pli.{node}.evidence\">>)");
        let server = format!("{{ok, Q}} = rabbit_amqqueue:lookup({queue}), amqqueue:get_pid(Q)");
        let done = format!("ra:{what}(quorum_queues, begin {server} end).");
        assert_eq!(service.run("ctl", &["-q", "eval", &done]).unwrap(), "ok");
    };
    leader("stop_server");
    service.run("ctl", &["-q", "close_all_connections", "test"]).unwrap();
    let mut other = backbone.subscribe(&node, Lane::Message).await.unwrap();
    let message = Destination { lane: Lane::Message, ..lane.clone() };
    let told = async {
        loop {
            match backbone.unread().pop() {
                Some(told) => break told,
                None => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(30), told).await.unwrap();
    assert_eq!(told.lane, lane);
    for n in 0..100 {
        assert_eq!(backbone.publish(vec![(message.clone(), frame(n))]).await, [Outcome::Confirmed]);
        let got = other.next(1).await.unwrap();
        let again = got.iter().any(|one| one.redelivered);
        assert!(!again, "the reader of another lane was cut off");
        other.ack(got.into_iter().map(|one| one.receipt).collect()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    assert_eq!(backbone.unread().len(), 1);
    backbone.probe().await.unwrap();
    leader("restart_server");
    let sent = async {
        while backbone.publish(vec![(lane.clone(), frame(1))]).await != [Outcome::Confirmed] {}
    };
    tokio::time::timeout(Duration::from_secs(60), sent).await.unwrap();
    let read = tokio::time::timeout(Duration::from_secs(60), reading).await.unwrap().unwrap();
    assert_eq!(read.first().unwrap().frame.id, "1");
    assert_eq!(backbone.unread(), []);
}

/// What `rabbitmqctl` says of the queues is what the options asked for.
async fn lanes_are_as_configured(service: &Service, url: &str) {
    let node = services::node();
    let options = Options {
        replication: Some(1),
        retention: Some(Duration::from_secs(3600)),
        ..Options::default()
    };
    open(url, options).await.unwrap().provision(&node).await.unwrap();
    let columns = ["-q", "list_queues", "name", "type", "durable", "arguments"];
    let table = service.run("ctl", &columns).unwrap();
    for lane in Lane::ALL {
        let name = format!("pli.{node}.{lane}\t");
        let line = table.lines().find(|line| line.starts_with(&name)).unwrap();
        for setting in [
            "\tquorum\ttrue\t",
            "{\"x-message-ttl\",3600000}",
            "{\"x-quorum-initial-group-size\",1}",
            "{\"x-dead-letter-exchange\",\"pli.returned\"}",
            "{\"x-dead-letter-strategy\",\"at-least-once\"}",
            "{\"x-overflow\",\"reject-publish\"}",
            "{\"x-delivery-limit\",1000}",
        ] {
            assert!(line.contains(setting), "{setting} is not in {line}");
        }
        let single = line.contains("{\"x-single-active-consumer\",true}");
        assert_eq!(single, lane == Lane::Message, "{line}");
    }
    lanes_of_before(service, url).await;
}

/// Queues that an earlier release made, or somebody else: another retention is kept, and a message
/// lane that several may read at once is refused, whatever else is different.
async fn lanes_of_before(service: &Service, url: &str) {
    let [hours, single] = ["{\"x-message-ttl\",3600000}", "x-single-active-consumer"];
    let made = async |retention: u64| {
        let options =
            Options { retention: Some(Duration::from_secs(retention)), ..Options::default() };
        let backbone = open(url, options).await.unwrap();
        let node = services::node();
        backbone.provision(&node).await.unwrap();
        node
    };
    let node = made(3600).await;
    let now = Options { retention: None, ..Options::default() };
    let backbone = open(url, now).await.unwrap();
    backbone.provision(&node).await.unwrap();
    let table = service.run("ctl", &["-q", "list_queues", "name", "arguments"]).unwrap();
    let of = |name: String| table.lines().find(|line| line.starts_with(&name)).unwrap();
    let kept = of(format!("pli.{node}.message\t"));
    assert!(kept.contains(hours) && kept.contains(single), "{kept}");

    for retention in [7 * 24, 1] {
        let node = services::node();
        declare_as_before(url, &format!("pli.{node}.message"), retention * 3_600_000).await;
        let backbone = open(url, Options::default()).await.unwrap();
        let error = backbone.provision(&node).await.unwrap_err();
        assert!(matches!(error, BackboneError::Configuration(_)), "{error}");
        assert!(error.to_string().contains(single), "{error}");
    }
}

/// The message lane of an earlier release: anybody may read it at any time.
async fn declare_as_before(url: &str, name: &str, retention: i64) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let text = |value: &str| AMQPValue::LongString(value.into());
    let mut arguments = FieldTable::default();
    for (name, value) in [
        ("x-queue-type", text("quorum")),
        ("x-dead-letter-exchange", text("pli.returned")),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
        ("x-delivery-limit", AMQPValue::LongLongInt(1_000)),
        ("x-message-ttl", AMQPValue::LongLongInt(retention)),
    ] {
        arguments.insert(name.into(), value);
    }
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.into(), options, arguments).await.unwrap();
    connection.close(200, "done".into()).await.unwrap();
}

async fn over_tls(service: &Service) {
    let url = service.run("url", &["--tls"]).unwrap();
    let error = open(&url, Options::default()).await.unwrap_err();
    assert!(matches!(error, BackboneError::Unreachable(_)), "a foreign authority: {error}");
    let mut ground = ground(url);
    ground.options.ca_file = Some(service.ca_file());
    pass_some(&ground, &["a_frame_arrives_as_it_was"]).await;
}

async fn refused(url: &str) {
    let wrong = url.replace("guest:guest@", "guest:wrong-secret@");
    let error = open(&wrong, Options::default()).await.unwrap_err();
    assert!(matches!(error, BackboneError::Refused(_)), "{error}");
    assert!(!error.to_string().contains("wrong-secret"));
}

/// A broker that is short of memory, or of disk, takes no frames: the outcome is unknown, in time.
/// It still hands out frames and takes acknowledgements, because those have a connection of their
/// own. `alarm` and `relief` are for `rabbitmqctl`.
async fn short_of(service: &Service, url: &str, alarm: &[&str], relief: &[&str]) {
    let node = services::node();
    let options = Options { confirm_timeout: Duration::from_secs(3), ..Options::default() };
    let backbone = open(url, options).await.unwrap();
    backbone.provision(&node).await.unwrap();
    let frames = |n: usize| (0..n).map(|i| (to(&node), frame(i))).collect::<Vec<_>>();
    assert_eq!(backbone.publish(frames(20)).await, vec![Outcome::Confirmed; 20]);
    let mut reader = backbone.subscribe(&node, Lane::Message).await.unwrap();
    let first = reader.next(10).await.unwrap();

    service.run("ctl", alarm).unwrap();
    let outcomes = backbone.publish(frames(3)).await;
    assert!(outcomes.iter().all(|o| matches!(o, Outcome::Unknown(_))), "{outcomes:?}");
    reader.ack(first.iter().map(|r| r.receipt).collect()).await.unwrap();
    let mut seen = first.len();
    while seen < 20 {
        let batch = reader.next(20).await.unwrap();
        assert!(batch.iter().all(|r| !r.redelivered), "the channel was lost");
        seen += batch.len();
        reader.ack(batch.iter().map(|r| r.receipt).collect()).await.unwrap();
    }

    service.run("ctl", relief).unwrap();
    let mut outcomes = backbone.publish(frames(3)).await;
    for _ in 0..20 {
        if outcomes.iter().all(|o| *o == Outcome::Confirmed) {
            return;
        }
        outcomes = backbone.publish(frames(3)).await;
    }
    panic!("still {outcomes:?}");
}

fn to(node: &NodeId) -> Destination {
    Destination { node: node.clone(), lane: Lane::Message }
}

fn frame(n: usize) -> Frame {
    Frame {
        id: n.to_string(),
        attributes: Vec::new(),
        key: "k".to_owned(),
        body: vec![1; 100].into(),
    }
}
