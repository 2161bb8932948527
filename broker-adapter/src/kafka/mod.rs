//! Apache Kafka, by way of librdkafka.
//!
//! - `client.rs`: configuration, and what librdkafka says of itself.
//! - `wire.rs`: a frame as a record (CloudEvents Kafka binding, binary mode).
//! - `subscription.rs`: consuming in a group; `offsets.rs`: which offsets may be committed.
//! - `standing.rs`: whether a member stands in its group.
//! - `lookout.rs`: how far a group is behind.
//! - `way.rs`: a producer, and when to make another; `silence.rs`: since when it says nothing.
//!
//! Topics are `pli.<node>.<lane>`, one consumer group for each, of the same name. Topics are made by
//! [`Backbone::provision`] alone: neither publishing nor subscribing ever creates one, whatever the
//! broker's `auto.create.topics.enable` says.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::{StreamExt, future, stream};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::Client;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::{ClientContext, Offset};
use schemas::ids::NodeId;
use tokio::sync::Mutex;

use self::client::{Barred, Quiet, failed};
use self::lookout::Lookouts;
use self::silence::{Fate, Sign};
use self::way::Way;
use crate::readers::Readers;
use crate::{
    Backbone, BackboneError, Destination, Frame, Lane, Options, Outcome, Subscription, Unread,
};

mod client;
mod lookout;
mod offsets;
mod silence;
mod standing;
mod subscription;
mod way;
mod wire;

/// Where [`Backbone::probe`] writes.
const PROBE: &str = "pli.probe";
const PROBE_RETENTION: Duration = Duration::from_secs(3600);

/// Between attempts to hand a frame to a full queue.
const FULL_PAUSE: Duration = Duration::from_millis(5);

/// Topics that are asked about at the same time.
const ASKED_AT_ONCE: usize = 16;

/// A cluster.
pub(crate) struct Kafka {
    config: ClientConfig,
    options: Arc<Options>,
    small: Way,
    /// The same for content: a small frame would wait behind the requests of a large one.
    bulk: Way,
    lookouts: Lookouts,
    /// Topics that are known to be there.
    known: RwLock<HashSet<String>>,
    probe: Mutex<Option<StreamConsumer<Quiet>>>,
    barred: Barred,
    readers: Arc<Readers>,
}

impl Kafka {
    /// Prepares; librdkafka connects when there is something to do.
    ///
    /// # Errors
    /// The URL or a property is wrong.
    pub(crate) fn open(url: &str, options: Options) -> Result<Self, BackboneError> {
        let config = client::base(url, &options)?;
        let barred = Barred::default();
        let way = || client::producer(&config, &options, &barred).map(Way::new);
        let (small, bulk) = (way()?, way()?);
        let readers = Arc::new(Readers::new(options.confirm_timeout * 2));
        Ok(Self {
            config,
            options: Arc::new(options),
            small,
            bulk,
            lookouts: Lookouts::default(),
            known: RwLock::default(),
            probe: Mutex::default(),
            barred,
            readers,
        })
    }

    fn producer(&self) -> Result<FutureProducer<Quiet>, BackboneError> {
        self.small.producer()
    }

    /// The producer of a batch: content alone goes its own way.
    fn way(&self, frames: &[(Destination, Frame)]) -> &Way {
        let content = !frames.is_empty() && frames.iter().all(|(to, _)| to.lane == Lane::Content);
        if content { &self.bulk } else { &self.small }
    }

    /// Is there such a topic? Asks the cluster until it is known to be there; a topic that came
    /// later is found, where librdkafka alone would remember for minutes that it was not.
    async fn exists(
        &self,
        producer: &FutureProducer<Quiet>,
        topic: &str,
    ) -> Result<bool, BackboneError> {
        if self.known.read().is_ok_and(|known| known.contains(topic)) {
            return Ok(true);
        }
        let found = self.ask(producer, topic).await?;
        if found && let Ok(mut known) = self.known.write() {
            known.insert(topic.to_owned());
        }
        Ok(found)
    }

    /// Topics of a batch that no frame can go to: they are not there, or until then nobody says. Asked
    /// about once, and together: a client that is lost lets each question wait to its end.
    async fn closed(
        &self,
        producer: &FutureProducer<Quiet>,
        topics: &[String],
        until: Instant,
    ) -> HashMap<String, Outcome> {
        let topics: HashSet<String> = topics.iter().cloned().collect();
        let questions = topics.into_iter().map(|topic| self.door(producer, topic, until));
        let answers = stream::iter(questions).buffer_unordered(ASKED_AT_ONCE);
        answers.filter_map(future::ready).collect().await
    }

    /// A topic that no frame can go to, and why. `None` for one that is open.
    async fn door(
        &self,
        producer: &FutureProducer<Quiet>,
        topic: String,
        until: Instant,
    ) -> Option<(String, Outcome)> {
        let asked = tokio::time::timeout_at(until.into(), self.exists(producer, &topic)).await;
        let outcome = match asked {
            Ok(Ok(true)) => return None,
            Ok(Ok(false)) => Outcome::Unroutable,
            Ok(Err(error)) => Outcome::Unknown(error.to_string()),
            Err(_) => {
                let late = KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut);
                // The login or the certificate may be why nobody answers.
                Outcome::Unknown(self.barred.blame(&late).to_string())
            }
        };
        Some((topic, outcome))
    }

    /// Asks the cluster whether a topic is there with a leader for each partition.
    async fn ask(
        &self,
        producer: &FutureProducer<Quiet>,
        topic: &str,
    ) -> Result<bool, BackboneError> {
        let (topic, limit) = (topic.to_owned(), self.options.confirm_timeout);
        let asking = producer.clone();
        tokio::task::spawn_blocking(move || ready(asking.client(), &topic, limit))
            .await
            .map_err(|e| BackboneError::Unreachable(e.to_string()))?
            .map_err(|e| self.barred.blame(&e))
    }

    /// Waits until the broker that we ask knows the leaders of new topics.
    async fn await_topics(
        &self,
        producer: &FutureProducer<Quiet>,
        topics: &[String],
    ) -> Result<(), BackboneError> {
        let start = Instant::now();
        for topic in topics {
            while !self.ask(producer, topic).await? {
                if start.elapsed() > self.options.confirm_timeout {
                    let why = format!("topic {topic} does not appear");
                    return Err(BackboneError::Unreachable(why));
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    fn forget(&self, topic: &str) {
        if let Ok(mut known) = self.known.write() {
            known.remove(topic);
        }
    }

    /// Hands one frame to librdkafka; waits for room in its queue until then.
    async fn send(
        &self,
        producer: &FutureProducer<Quiet>,
        topic: &str,
        frame: &Frame,
        until: Instant,
    ) -> Result<DeliveryFuture, Outcome> {
        let mut record = FutureRecord::to(topic)
            .key(frame.key.as_bytes())
            .payload(frame.body.as_ref())
            .headers(wire::headers(frame));
        loop {
            match producer.send_result(record) {
                Ok(delivery) => return Ok(delivery),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), same))
                    if Instant::now() < until =>
                {
                    record = same;
                    tokio::time::sleep(FULL_PAUSE).await;
                }
                Err((error, _)) => return Err(self.outcome(topic, &error)),
            }
        }
    }

    /// When what is handed over now has long been reported.
    fn latest(&self) -> tokio::time::Instant {
        tokio::time::Instant::now() + self.options.confirm_timeout * 2
    }

    /// `message.timeout.ms` bounds this wait; and should librdkafka forget to say so, we do.
    async fn delivered(
        &self,
        topic: &str,
        delivery: DeliveryFuture,
        latest: tokio::time::Instant,
    ) -> Fate {
        match tokio::time::timeout_at(latest, delivery).await {
            Ok(Ok(Ok(there))) => {
                Fate { outcome: Outcome::Confirmed, partition: Some(there.partition) }
            }
            Ok(Ok(Err((error, message)))) => {
                // Negative until one is chosen.
                let partition = Some(message.partition()).filter(|partition| *partition >= 0);
                Fate { outcome: self.outcome(topic, &error), partition }
            }
            Ok(Err(_)) => Outcome::Unknown("the producer is gone".to_owned()).into(),
            Err(_) => Outcome::Unknown("the producer says nothing".to_owned()).into(),
        }
    }

    async fn publish_alone(
        &self,
        producer: &FutureProducer<Quiet>,
        topic: &str,
        frame: &Frame,
    ) -> Outcome {
        let until = Instant::now() + self.options.confirm_timeout;
        match self.send(producer, topic, frame, until).await {
            Ok(delivery) => self.delivered(topic, delivery, self.latest()).await.outcome,
            Err(outcome) => outcome,
        }
    }

    /// Is this producer to be replaced? Not when the cluster itself says that a partition of the topic
    /// has no leader.
    async fn is_lost(
        &self,
        way: &Way,
        producer: &FutureProducer<Quiet>,
        batch: &[(String, Fate)],
    ) -> bool {
        match way.sign(batch, self.options.confirm_timeout * 2) {
            Sign::Well => false,
            Sign::Mute => true,
            Sign::MuteAbout(topic) => self.ask(producer, &topic).await.unwrap_or(true),
        }
    }

    /// What a failed delivery means.
    fn outcome(&self, topic: &str, error: &KafkaError) -> Outcome {
        let code = match error {
            KafkaError::MessageProduction(code) => *code,
            other => return Outcome::Unknown(other.to_string()),
        };
        match code {
            RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopicOrPartition => {
                self.forget(topic);
                Outcome::Unroutable
            }
            RDKafkaErrorCode::MessageSizeTooLarge => Outcome::TooLarge,
            code => Outcome::Unknown(code.to_string()),
        }
    }

    async fn create_topics(&self, topics: Vec<NewTopic<'_>>) -> Result<(), BackboneError> {
        let admin: AdminClient<Quiet> =
            AdminClient::from_config_and_context(&self.config, Quiet::new(&self.barred))
                .map_err(|e| failed(&e))?;
        let limit = self.options.confirm_timeout;
        let options =
            AdminOptions::new().operation_timeout(Some(limit)).request_timeout(Some(limit));
        for result in
            admin.create_topics(&topics, &options).await.map_err(|e| self.barred.blame(&e))?
        {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => {
                    return Err(BackboneError::Refused(format!("topic {topic}: {code}")));
                }
            }
        }
        Ok(())
    }

    fn new_topic<'a>(
        &self,
        name: &'a str,
        partitions: u16,
        settings: &'a Settings,
    ) -> NewTopic<'a> {
        let copies = self.options.replication.map_or(-1, i32::from);
        let topic = NewTopic::new(name, i32::from(partitions), TopicReplication::Fixed(copies))
            .set("cleanup.policy", "delete")
            .set("max.message.bytes", &settings.max_bytes)
            .set("retention.ms", &settings.retention);
        match &settings.min_in_sync {
            Some(copies) => topic.set("min.insync.replicas", copies),
            None => topic,
        }
    }

    /// Writes a record with its id to [`PROBE`], and reads that very record.
    async fn echo(&self) -> Result<(), BackboneError> {
        let producer = self.producer()?;
        if !self.exists(&producer, PROBE).await? {
            let settings = Settings::new(Some(PROBE_RETENTION), &self.options);
            self.create_topics(vec![self.new_topic(PROBE, 1, &settings)]).await?;
            self.await_topics(&producer, &[PROBE.to_owned()]).await?;
        }
        let id = uuid::Uuid::new_v4().to_string();
        let record = FutureRecord::<str, str>::to(PROBE).partition(0).payload(&id);
        let sent = producer
            .send(record, self.options.confirm_timeout)
            .await
            .map_err(|(error, _)| failed(&error))?;
        let mut reader = self.probe.lock().await;
        let consumer = match reader.take() {
            Some(consumer) => consumer,
            None => client::loner(&self.config)?,
        };
        let mut place = TopicPartitionList::new();
        place
            .add_partition_offset(PROBE, 0, Offset::Offset(sent.offset))
            .and_then(|()| consumer.assign(&place))
            .map_err(|e| failed(&e))?;
        loop {
            match consumer.recv().await {
                Ok(message) if message.payload() == Some(id.as_bytes()) => break,
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "while reading the probe"),
            }
        }
        consumer.unassign().map_err(|e| failed(&e))?;
        *reader = Some(consumer);
        Ok(())
    }
}

#[async_trait]
impl Backbone for Kafka {
    async fn provision(&self, node: &NodeId) -> Result<(), BackboneError> {
        let producer = self.producer()?;
        let names = Lane::ALL.map(|lane| topic(&Destination { node: node.clone(), lane }));
        let settings = Settings::new(self.options.retention, &self.options);
        let partitions = self.options.partitions.unwrap_or(crate::PARTITIONS);
        let topics = names.iter().map(|n| self.new_topic(n, partitions, &settings));
        self.create_topics(topics.collect()).await?;
        self.await_topics(&producer, &names).await
    }

    async fn publish(&self, frames: Vec<(Destination, Frame)>) -> Vec<Outcome> {
        let way = self.way(&frames);
        let producer = match way.producer() {
            Ok(producer) => producer,
            Err(error) => return vec![Outcome::Unknown(error.to_string()); frames.len()],
        };
        let until = Instant::now() + self.options.confirm_timeout;
        let topics: Vec<String> = frames.iter().map(|(to, _)| topic(to)).collect();
        let closed = self.closed(&producer, &topics, until).await;
        let mut under_way = Vec::with_capacity(frames.len());
        for ((_, frame), topic) in frames.iter().zip(topics) {
            let sent = match frame.refusal().or_else(|| closed.get(&topic).cloned()) {
                Some(refusal) => Err(refusal),
                None => self.send(&producer, &topic, frame, until).await,
            };
            under_way.push((topic, sent));
        }
        // For all of them together: a producer that says nothing is silent about each.
        let latest = self.latest();
        let mut fates = Vec::with_capacity(frames.len());
        for (topic, sent) in under_way {
            let fate = match sent {
                Ok(delivery) => self.delivered(&topic, delivery, latest).await,
                Err(outcome) => outcome.into(),
            };
            fates.push((topic, fate));
        }
        // A broker with a lower limit than ours refuses whole batches, the innocent with the guilty.
        for ((_, frame), (topic, fate)) in frames.iter().zip(&mut fates) {
            let refused = fate.outcome == Outcome::TooLarge && frame.refusal().is_none();
            if frames.len() > 1 && refused {
                fate.outcome = self.publish_alone(&producer, topic, frame).await;
            }
        }
        let lost = self.is_lost(way, &producer, &fates).await;
        // The last one to hold it waits for its end.
        drop(producer);
        if lost {
            way.replace(client::producer(&self.config, &self.options, &self.barred));
        }
        fates.into_iter().map(|(_, fate)| fate.outcome).collect()
    }

    async fn subscribe(
        &self,
        node: &NodeId,
        lane: Lane,
    ) -> Result<Box<dyn Subscription>, BackboneError> {
        let source = Destination { node: node.clone(), lane };
        if !self.exists(&self.producer()?, &topic(&source)).await? {
            return Err(BackboneError::UnknownLane(source));
        }
        let told = (&self.barred, &self.readers);
        Ok(Box::new(subscription::Member::join(&self.config, source, &self.options, told)?))
    }

    async fn waiting(&self, lane: &Destination) -> Result<u64, BackboneError> {
        let topic = topic(lane);
        if !self.exists(&self.producer()?, &topic).await? {
            return Err(BackboneError::UnknownLane(lane.clone()));
        }
        let lookout = self.lookouts.of(&self.config, &topic).await?;
        let limit = self.options.confirm_timeout;
        let asked = topic.clone();
        let answer = tokio::task::spawn_blocking(move || lookout::lag(&lookout, &asked, limit))
            .await
            .map_err(|e| BackboneError::Unreachable(e.to_string()))?;
        if answer.is_err() {
            // It may have forgotten the cluster for good.
            self.lookouts.dismiss(&topic).await;
        }
        answer.map_err(|e| self.barred.blame(&e))
    }

    async fn probe(&self) -> Result<Duration, BackboneError> {
        let start = Instant::now();
        let limit = self.options.confirm_timeout;
        let late = |_| BackboneError::Unreachable("the probe did not come back".to_owned());
        // Twice the limit: each half has its own, and then says better what was wrong.
        tokio::time::timeout(limit * 2, self.echo()).await.map_err(late)??;
        Ok(start.elapsed())
    }

    fn unread(&self) -> Vec<Unread> {
        self.readers.unread()
    }

    fn name(&self) -> &'static str {
        "kafka"
    }

    async fn close(&self) {
        let taken = [&self.small, &self.bulk].map(Way::take);
        let lookouts = self.lookouts.take().await;
        let probe = self.probe.lock().await.take();
        // Both block for a moment when they end.
        let _ = tokio::task::spawn_blocking(move || {
            for producer in taken.into_iter().flatten() {
                let _ = producer.flush(Duration::from_secs(5));
            }
            drop((probe, lookouts));
        })
        .await;
    }
}

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let brokers = self.config.get("bootstrap.servers");
        f.debug_struct("Kafka").field("brokers", &brokers).finish_non_exhaustive()
    }
}

/// Texts that outlive the [`NewTopic`] that borrows them.
struct Settings {
    retention: String,
    min_in_sync: Option<String>,
    max_bytes: String,
}

impl Settings {
    fn new(retention: Option<Duration>, options: &Options) -> Self {
        Self {
            retention: retention.map_or_else(|| "-1".to_owned(), |r| r.as_millis().to_string()),
            min_in_sync: options.min_in_sync.map(|copies| copies.to_string()),
            max_bytes: options.max_bytes.unwrap_or(crate::MIN_MAX_BYTES).to_string(),
        }
    }
}

fn topic(of: &Destination) -> String {
    format!("pli.{}", of.name())
}

fn ready<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    limit: Duration,
) -> Result<bool, KafkaError> {
    let metadata = client.fetch_metadata(Some(topic), limit)?;
    Ok(metadata.topics().iter().any(|found| {
        found.name() == topic
            && found.error().is_none()
            && !found.partitions().is_empty()
            && found.partitions().iter().all(|partition| partition.leader() >= 0)
    }))
}
