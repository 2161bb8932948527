//! Apache Kafka.

use std::time::Duration;

use broker_adapter::conformance::{Ground, THE_BROKER_DIES};
use broker_adapter::{BackboneError, Options, open};

use crate::services::{Mortal, Service, find};
use crate::{ground, pass, pass_some, processes};

#[tokio::test(flavor = "multi_thread")]
async fn kafka() {
    let Some((url, _service)) = find("kafka", "PLI_TEST_KAFKA") else { return };
    // Less than the session of the dead reader, whose place is taken by name.
    processes::a_killed_reader_loses_nothing(&url, Duration::from_secs(5)).await;
    processes::what_a_killed_publisher_saw_confirmed_is_there(&url).await;
    pass(&ground(url)).await;
}

/// A broker that makes topics by itself, with a listener for TLS and SASL.
#[tokio::test(flavor = "multi_thread")]
async fn kafka_with_a_broker_of_its_own() {
    let Some(service) = Service::start("kafka", &["--auto-create", "--secure"]) else { return };
    let url = service.run("url", &[]).unwrap();
    // Even here a topic that nobody provisioned is no destination.
    let strict = ["unroutable_is_said_and_heals", "an_unknown_lane_cannot_be_read"];
    pass_some(&ground(url.clone()), &strict).await;
    with_login(&service).await;
    let broker = Some(Box::new(Mortal(service)) as Box<_>);
    pass_some(&Ground { broker, ..ground(url) }, &[THE_BROKER_DIES]).await;
}

async fn with_login(service: &Service) {
    let url = service.run("url", &["--secure"]).unwrap();
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
