//! How far the group of a topic is behind: consumers that only ask, and never join it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::Offset;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::sync::Mutex;

use super::client::{Quiet, failed};
use crate::BackboneError;

type Lookout = Arc<BaseConsumer<Quiet>>;

/// One for each topic that was asked about: making one takes threads and connections.
#[derive(Default)]
pub(super) struct Lookouts(Mutex<HashMap<String, Lookout>>);

impl Lookouts {
    /// The one of a topic.
    pub(super) async fn of(
        &self,
        base: &ClientConfig,
        topic: &str,
    ) -> Result<Lookout, BackboneError> {
        let mut all = self.0.lock().await;
        if let Some(known) = all.get(topic) {
            return Ok(Arc::clone(known));
        }
        let mut config = base.clone();
        config.set("group.id", topic).set("enable.auto.commit", "false");
        let fresh = config.create_with_context(Quiet::default()).map_err(|e| failed(&e))?;
        let fresh = Arc::new(fresh);
        all.insert(topic.to_owned(), Arc::clone(&fresh));
        Ok(fresh)
    }

    /// Another is made when the topic is asked about again. It ends where blocking is allowed.
    pub(super) async fn dismiss(&self, topic: &str) {
        if let Some(former) = self.0.lock().await.remove(topic) {
            std::thread::spawn(move || drop(former));
        }
    }

    /// All of them, to be dropped where blocking is allowed.
    pub(super) async fn take(&self) -> HashMap<String, Lookout> {
        std::mem::take(&mut *self.0.lock().await)
    }
}

/// Records behind the offsets that the group of a topic has committed.
pub(super) fn lag(
    lookout: &BaseConsumer<Quiet>,
    topic: &str,
    limit: Duration,
) -> Result<u64, KafkaError> {
    let metadata = lookout.fetch_metadata(Some(topic), limit)?;
    let mut places = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|found| found.partitions()) {
        places.add_partition(topic, partition.id());
    }
    let committed = lookout.committed_offsets(places, limit)?;
    let mut sum = 0;
    for place in committed.elements() {
        let (low, high) = lookout.fetch_watermarks(topic, place.partition(), limit)?;
        let done = match place.offset() {
            Offset::Offset(offset) => offset.max(low),
            _ => low,
        };
        sum += (high - done).max(0).unsigned_abs();
    }
    Ok(sum)
}
