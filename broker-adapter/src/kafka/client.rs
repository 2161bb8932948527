//! librdkafka: its configuration, its errors, its talk.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use rdkafka::producer::FutureProducer;
use rdkafka::statistics::Statistics;

use super::offsets::Offsets;
use super::standing::{REPORT_MS, Standing};
use crate::{BackboneError, Identity, Options, url};

/// Bytes that a producer holds for a broker that is away.
const PRODUCER_KIB: &str = "65536";
/// Bytes that a consumer fetches ahead.
const CONSUMER_KIB: &str = "8192";

/// What every client of this cluster needs: brokers, names, login.
pub(super) fn base(url: &str, options: &Options) -> Result<ClientConfig, BackboneError> {
    let parts = url::parts(url)?;
    if parts.authority.is_empty() {
        return Err(BackboneError::Url("kafka: names no host".to_owned()));
    }
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &parts.authority)
        .set("client.id", options.instance.as_deref().unwrap_or("pli"))
        .set("allow.auto.create.topics", "false")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000")
        .set("socket.keepalive.enable", "true")
        // A line that went dead without a word is noticed after this, not after a minute.
        .set("socket.timeout.ms", "10000");
    if options.ca_file.is_some() || options.identity.is_some() {
        config.set("security.protocol", "ssl");
    }
    if let Some((user, password)) = &parts.login {
        config
            .set("security.protocol", "sasl_ssl")
            .set("sasl.mechanism", "SCRAM-SHA-512")
            .set("sasl.username", user)
            .set("sasl.password", password);
    }
    if let Some(path) = &options.ca_file {
        config.set("ssl.ca.location", utf8(path)?);
    }
    if let Some(Identity { certificate, key }) = &options.identity {
        config
            .set("ssl.certificate.location", utf8(certificate)?)
            .set("ssl.key.location", utf8(key)?);
    }
    for (name, value) in parts.query.iter().chain(&options.properties) {
        config.set(name, value);
    }
    Ok(config)
}

fn utf8(path: &Path) -> Result<&str, BackboneError> {
    path.to_str().ok_or_else(|| {
        BackboneError::Configuration(format!("{}: not a name in UTF-8", path.display()))
    })
}

/// Durable, in order, soon.
pub(super) fn producer(
    base: &ClientConfig,
    options: &Options,
    barred: &Barred,
) -> Result<FutureProducer<Quiet>, BackboneError> {
    let limit = options.confirm_timeout.as_millis();
    let mut config = base.clone();
    config
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "1")
        .set("message.timeout.ms", limit.to_string())
        .set("request.timeout.ms", (limit / 2).clamp(1, 10_000).to_string())
        .set("queue.buffering.max.kbytes", PRODUCER_KIB)
        .set("topic.metadata.propagation.max.ms", "1000");
    config.create_with_context(Quiet::new(barred)).map_err(|e| failed(&e))
}

/// A member of a group. Offsets are stored by us after an acknowledgement; librdkafka commits what
/// is stored, often, and always before it leaves or hands a partition over.
pub(super) fn member(base: &ClientConfig, group: &str, options: &Options) -> ClientConfig {
    let mut config = base.clone();
    config
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.offset.store", "false")
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "200")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "1000")
        .set("statistics.interval.ms", REPORT_MS)
        .set("fetch.wait.max.ms", "100")
        .set("fetch.error.backoff.ms", "100")
        .set("queued.max.messages.kbytes", CONSUMER_KIB)
        // A second unless said otherwise, after each time that so much was ahead: 8 MiB/s.
        .set("fetch.queue.backoff.ms", "5");
    if let Some(instance) = &options.instance {
        config.set("group.instance.id", instance);
    }
    config
}

/// A consumer that belongs to no group, and reads where it is told.
pub(super) fn loner(base: &ClientConfig) -> Result<StreamConsumer<Quiet>, BackboneError> {
    let mut config = base.clone();
    config
        .set("group.id", "pli.probe") // librdkafka wants one; it is never joined
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "10");
    config.create_with_context(Quiet::default()).map_err(|e| failed(&e))
}

/// What the error means to who configures or runs the node.
pub(super) fn failed(error: &KafkaError) -> BackboneError {
    if let KafkaError::ClientConfig(_, why, name, _) = error {
        // Not the value: it may be a password.
        return BackboneError::Configuration(format!("property {name}: {why}"));
    }
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::PolicyViolation,
        ) => BackboneError::Refused(error.to_string()),
        _ => BackboneError::Unreachable(error.to_string()),
    }
}

/// Routes librdkafka's talk into our log, quietly: it reconnects by itself, and says so at length.
/// For a member of a group it also keeps the offsets in step with the assignment, and whether it
/// stands in the group.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    pub(super) offsets: Offsets,
    pub(super) standing: Standing,
    barred: Barred,
}

impl Quiet {
    pub(super) fn new(barred: &Barred) -> Self {
        Self { barred: barred.clone(), ..Self::default() }
    }
}

/// The last word about the login or the certificate, from whichever client of a cluster. librdkafka
/// tries again for ever, and who waits would only learn that nothing came.
#[derive(Clone, Debug, Default)]
pub(super) struct Barred(Arc<Mutex<Option<String>>>);

impl Barred {
    /// What kept us from a call that failed.
    pub(super) fn blame(&self, error: &KafkaError) -> BackboneError {
        match self.0.lock().ok().and_then(|mut barred| barred.take()) {
            Some(why) => BackboneError::Refused(why),
            None => failed(error),
        }
    }
}

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "librdkafka");
    }

    fn stats(&self, statistics: Statistics) {
        if let Some(group) = &statistics.cgrp {
            self.standing.note(group, Instant::now());
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
        if let Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL) =
            error.rdkafka_error_code()
            && let Ok(mut barred) = self.barred.0.lock()
        {
            *barred = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Quiet {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        // What is assigned begins at the committed offset, whatever was handed out before.
        if let Rebalance::Assign(partitions) | Rebalance::Revoke(partitions) = rebalance {
            self.offsets.begin(partitions.elements().iter().map(|element| element.partition()));
        }
    }
}
