//! RabbitMQ.

use std::time::Duration;

use broker_adapter::conformance::{Ground, THE_BROKER_DIES};
use broker_adapter::{BackboneError, Destination, Frame, Lane, Options, Outcome, open};
use schemas::ids::NodeId;

use crate::services::{Mortal, Service, find};
use crate::{ground, pass, pass_some, processes};

#[tokio::test(flavor = "multi_thread")]
async fn amqp() {
    let Some((url, _service)) = find("rabbitmq", "PLI_TEST_AMQP") else { return };
    processes::a_killed_reader_loses_nothing(&url, Duration::from_secs(5)).await;
    processes::what_a_killed_publisher_saw_confirmed_is_there(&url).await;
    pass(&Ground { returns: true, ..ground(url) }).await;
}

/// One broker for several bad days, since it takes long to start.
#[tokio::test(flavor = "multi_thread")]
async fn amqp_with_a_broker_of_its_own() {
    let Some(service) = Service::start("rabbitmq", &[]) else { return };
    let url = service.run("url", &[]).unwrap();
    for i in 0..30 {
        eprintln!("round {i}");
        over_tls(&service).await;
        refused(&url).await;
        short_of_memory(&service, &url).await;
    }
    let broker = Some(Box::new(Mortal(service)) as Box<_>);
    pass_some(&Ground { broker, ..ground(url) }, &[THE_BROKER_DIES]).await;
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

/// A broker that is short of memory takes no frames: the outcome is unknown, in time. It still
/// hands out frames and takes acknowledgements, because those have a connection of their own.
async fn short_of_memory(service: &Service, url: &str) {
    let node: NodeId = format!("m-{}", uuid::Uuid::new_v4().simple()).parse().unwrap();
    let options = Options { confirm_timeout: Duration::from_secs(3), ..Options::default() };
    let backbone = open(url, options).await.unwrap();
    backbone.provision(&node).await.unwrap();
    let frames = |n: usize| (0..n).map(|i| (to(&node), frame(i))).collect::<Vec<_>>();
    assert_eq!(backbone.publish(frames(20)).await, vec![Outcome::Confirmed; 20]);
    let mut reader = backbone.subscribe(&node, Lane::Message).await.unwrap();
    let first = reader.next(10).await.unwrap();

    service.run("ctl", &["set_vm_memory_high_watermark", "absolute", "20MB"]).unwrap();
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

    service.run("ctl", &["set_vm_memory_high_watermark", "absolute", "512MB"]).unwrap();
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
