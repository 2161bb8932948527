//! A member of the group that reads a lane's topic.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::FutureExt;
use rdkafka::Offset;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::client::{self, Barred, Quiet, failed};
use super::{topic, wire};
use crate::readers::Readers;
use crate::{
    BackboneError, Destination, MAX_BATCH_BYTES, Options, Receipt, Received, Subscription,
};

/// How long a member may be out of its group before another takes its place. To join takes a few
/// seconds, and as long as the session of one that died.
const LOST: Duration = Duration::from_secs(20);
/// Between two looks at whether it is.
const LOOK: Duration = Duration::from_secs(5);
/// After an error that librdkafka mends by itself.
const PAUSE: Duration = Duration::from_millis(50);

/// A consumer in the group of its topic.
pub(super) struct Member {
    source: Destination,
    topic: String,
    readers: Arc<Readers>,
    /// Whether a message has come: then nothing is in the way.
    reads: AtomicBool,
    /// `None` only while it is dropped.
    consumer: Option<StreamConsumer<Quiet>>,
}

impl Member {
    pub(super) fn join(
        base: &ClientConfig,
        source: Destination,
        options: &Options,
        (barred, readers): (&Barred, &Arc<Readers>),
    ) -> Result<Self, BackboneError> {
        let topic = topic(&source);
        let consumer: StreamConsumer<Quiet> = client::member(base, &topic, options)
            .create_with_context(Quiet::new(barred))
            .map_err(|e| failed(&e))?;
        consumer.subscribe(&[&topic]).map_err(|e| failed(&e))?;
        let (readers, reads) = (Arc::clone(readers), AtomicBool::default());
        Ok(Self { source, topic, readers, reads, consumer: Some(consumer) })
    }

    fn consumer(&self) -> Result<&StreamConsumer<Quiet>, BackboneError> {
        self.consumer.as_ref().ok_or(BackboneError::Closed)
    }

    /// The reader gives up for this reason, and it is told where lanes are asked after.
    fn refused(&self, error: BackboneError) -> BackboneError {
        self.readers.failed(&self.source, &error);
        error
    }

    /// Nothing came for a while: perhaps because the member is out of its group for good.
    fn still_stands(&self, consumer: &StreamConsumer<Quiet>) -> Result<(), BackboneError> {
        match consumer.context().standing.is_lost(LOST, Instant::now()) {
            None => Ok(()),
            Some(state) => {
                let why = format!("the group of {} lost its reader ({state})", self.topic);
                Err(self.refused(BackboneError::Unreachable(why)))
            }
        }
    }

    /// The next message, whatever librdkafka reports meanwhile: it reconnects, and joins again.
    async fn wait(&self) -> Result<BorrowedMessage<'_>, BackboneError> {
        let consumer = self.consumer()?;
        loop {
            // Such as: another process has taken our `group.instance.id`.
            if let Some((code, why)) = consumer.client().fatal_error() {
                return Err(self.refused(BackboneError::Refused(format!("{code}: {why}"))));
            }
            let Ok(received) = tokio::time::timeout(LOOK, consumer.recv()).await else {
                self.still_stands(consumer)?;
                continue;
            };
            match received {
                Ok(message) => {
                    if !self.reads.swap(true, Ordering::Relaxed) {
                        self.readers.reads(&self.source);
                    }
                    return Ok(message);
                }
                Err(error) => match failed(&error) {
                    refused @ BackboneError::Refused(_) => return Err(self.refused(refused)),
                    _ => tracing::debug!(%error, topic = self.topic, "while consuming"),
                },
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn take(consumer: &StreamConsumer<Quiet>, message: &BorrowedMessage<'_>) -> Received {
    let receipt = consumer.context().offsets.hand_out(message.partition(), message.offset());
    wire::received(message, receipt)
}

#[async_trait]
impl Subscription for Member {
    async fn next(&mut self, max: usize) -> Result<Vec<Received>, BackboneError> {
        // The only wait; what follows it cannot be cancelled halfway.
        let first = self.wait().await?;
        let consumer = self.consumer()?;
        let mut batch = vec![take(consumer, &first)];
        let mut size = first.payload_len();
        while batch.len() < max && size < MAX_BATCH_BYTES {
            let Some(Ok(message)) = consumer.recv().now_or_never() else { break };
            size += message.payload_len();
            batch.push(take(consumer, &message));
        }
        Ok(batch)
    }

    async fn ack(&mut self, receipts: Vec<Receipt>) -> Result<(), BackboneError> {
        let consumer = self.consumer()?;
        let mut offsets = TopicPartitionList::new();
        for (partition, offset) in consumer.context().offsets.done(&receipts) {
            offsets
                .add_partition_offset(&self.topic, partition, Offset::Offset(offset))
                .map_err(|e| failed(&e))?;
        }
        if offsets.count() > 0
            && let Err(error) = consumer.store_offsets(&offsets)
        {
            // The partition went to another member, which gets these frames again.
            tracing::debug!(%error, topic = self.topic, "offsets not stored");
        }
        Ok(())
    }

    async fn set_aside(&mut self, receipts: Vec<Receipt>) -> Result<(), BackboneError> {
        self.ack(receipts).await
    }
}

/// Leaving the group commits and waits for the broker: not on a thread of the runtime.
impl Drop for Member {
    fn drop(&mut self) {
        if let Some(consumer) = self.consumer.take() {
            std::thread::spawn(move || drop(consumer));
        }
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("source", &self.source).finish_non_exhaustive()
    }
}
