//! Consuming from a lane's queue: a channel and a consumer that are rebuilt when they are lost.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::{FutureExt, StreamExt};
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions};
use lapin::protocol::AMQPSoftError;
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer};
use tokio::runtime::Handle;

use super::link::Link;
use super::{is_soft, refused, short, topology, wire, within};
use crate::readers::Readers;
use crate::{
    BackboneError, Destination, Lane, MAX_BATCH_BYTES, Options, Receipt, Received, Subscription,
};

/// Between attempts to reconnect: from the first, doubling, to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Looks in a row, for each consumer of the queue, until a consumer counts as lost.
const LOOKS: u32 = 2;

/// A reader of one queue.
pub(super) struct Reader {
    link: Arc<Link>,
    source: Destination,
    options: Arc<Options>,
    readers: Arc<Readers>,
    live: Option<Live>,
    /// How many channels there were: receipts of an older one are void.
    lot: u64,
    /// Looks in a row that found frames which the broker did not hand out.
    passed_over: u32,
}

struct Live {
    channel: Channel,
    consumer: Consumer,
    /// Handed out and not acknowledged on this channel.
    outstanding: BTreeSet<u64>,
    /// Of these, those that came back to us from a dead-letter exchange.
    returned: HashSet<u64>,
}

impl Reader {
    pub(super) async fn start(
        link: Arc<Link>,
        source: Destination,
        options: Arc<Options>,
        readers: Arc<Readers>,
    ) -> Result<Self, BackboneError> {
        let mut reader =
            Self { link, source, options, readers, live: None, lot: 0, passed_over: 0 };
        reader.live = Some(reader.consume().await?);
        Ok(reader)
    }

    async fn consume(&mut self) -> Result<Live, BackboneError> {
        let tried = self.consume_now().await;
        match &tried {
            Ok(_) => self.readers.reads(&self.source),
            Err(BackboneError::Closed) => {}
            Err(error) => self.readers.failed(&self.source, error),
        }
        tried
    }

    async fn consume_now(&mut self) -> Result<Live, BackboneError> {
        self.lot += 1;
        let channel = self.link.channel().await?;
        let prefetch = match self.source.lane {
            Lane::Content => self.options.prefetch.div_ceil(32),
            Lane::Message | Lane::Evidence => self.options.prefetch,
        };
        let queue = short(&topology::queue(&self.source))?;
        let start = async {
            channel.basic_qos(prefetch, BasicQosOptions::default()).await.map_err(refused)?;
            let consumer = channel.basic_consume(
                queue,
                ShortString::default(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            );
            consumer.await.map_err(|error| {
                if is_soft(&error, &AMQPSoftError::NOTFOUND) {
                    BackboneError::UnknownLane(self.source.clone())
                } else {
                    refused(error)
                }
            })
        };
        match within(self.options.confirm_timeout, start).await {
            Ok(consumer) => Ok(Live {
                channel,
                consumer,
                outstanding: BTreeSet::new(),
                returned: HashSet::new(),
            }),
            Err(error) => {
                // A consumer that the broker makes too late would be handed frames that nobody
                // reads: it goes with its channel.
                close_soon(channel, None);
                Err(error)
            }
        }
    }

    /// The consumer, rebuilt when it was lost.
    async fn alive(&mut self) -> Result<&mut Live, BackboneError> {
        if self.live.is_none() {
            self.live = Some(self.consume_again().await?);
        }
        self.live.as_mut().ok_or(BackboneError::Closed)
    }

    /// Consumes anew, tried as often as it takes. A broker that starts may refuse at first; what is
    /// still refused after the time of a confirmation is meant. Whoever operates the node is told
    /// when reading stops and goes on, and in between, now and then, what is in its way.
    async fn consume_again(&mut self) -> Result<Live, BackboneError> {
        let (lane, limit) = (self.source.name(), self.options.confirm_timeout);
        tracing::info!(lane, "reading stopped: connecting again");
        let start = Instant::now();
        let (mut pause, mut told) = (PAUSES.0, start);
        loop {
            let error = match self.consume().await {
                Ok(live) => {
                    tracing::info!(lane, away_s = start.elapsed().as_secs(), "reading goes on");
                    return Ok(live);
                }
                Err(BackboneError::Closed) => return Err(BackboneError::Closed),
                Err(error) => error,
            };
            let away = start.elapsed();
            if away > limit && !matches!(error, BackboneError::Unreachable(_)) {
                return Err(error);
            }
            if told.elapsed() >= limit {
                told = Instant::now();
                tracing::warn!(lane, away_s = away.as_secs(), %error, "still not read");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Nothing came for a while. A broker that came back, or a queue that changed its leader, may
    /// have lost the consumer without a word: then frames wait and are handed to nobody. Who shares
    /// the queue may be waiting for its turn, and is patient.
    async fn look_around(&mut self) {
        let idle = self.live.as_ref().is_some_and(|live| live.outstanding.is_empty());
        let found = within(self.options.confirm_timeout, self.look()).await;
        let (waiting, readers) = match found {
            Ok(found) => found,
            Err(error) => return tracing::debug!(%error, "cannot look at the lane"),
        };
        self.passed_over = if idle && waiting > 0 { self.passed_over.saturating_add(1) } else { 0 };
        if self.passed_over >= LOOKS.saturating_mul(readers.max(1)) {
            let lane = self.source.name();
            // Beside others it is no news: a backlog may be theirs, one of them being the reader.
            if readers > 1 {
                tracing::debug!(lane, waiting, readers, "for others, or lost: reading anew");
            } else {
                tracing::warn!(lane, waiting, "the broker hands out no frames: reading anew");
            }
            self.passed_over = 0;
            self.live = None;
        }
    }

    /// Frames that are ready in the queue, and its consumers.
    async fn look(&self) -> Result<(u64, u32), BackboneError> {
        let channel = self.link.channel().await?;
        let found = topology::look(&channel, &self.source).await;
        close_soon(channel, None);
        found
    }

    /// Tells the broker; when that fails the channel is given up, and its frames come back.
    async fn tell(&mut self, receipts: Vec<Receipt>, aside: bool) {
        let Some(live) = self.live.as_mut() else { return };
        let lot = self.lot;
        let tags = receipts.into_iter().filter(|r| r.lot == lot).map(|r| r.position);
        let tags: BTreeSet<u64> = tags.filter(|tag| live.outstanding.remove(tag)).collect();
        let telling = async {
            let (rejected, accepted) =
                tags.into_iter().partition(|tag| !live.returned.remove(tag) && aside);
            // First the rejections: an acknowledgement may cover everything below it.
            live.reject(rejected).await?;
            live.acknowledge(accepted).await
        };
        let done = within(self.options.confirm_timeout, telling.map(|r| r.map_err(refused)));
        if let Err(error) = done.await {
            tracing::debug!(%error, "acknowledgements are lost with their channel");
            self.live = None;
        }
    }
}

/// The whole channel goes at once, with what it holds. Left alone, the client would cancel the
/// consumer first, and the next reader would be given newer frames before those come back.
impl Drop for Live {
    fn drop(&mut self) {
        close_soon(self.channel.clone(), Some(self.consumer.clone()));
    }
}

/// Closes a channel in its own time; its consumer is kept until then.
fn close_soon(channel: Channel, consumer: Option<Consumer>) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(async move {
            let _ = channel.close(200, "done".into()).await;
            drop(consumer);
        });
    }
}

impl Live {
    /// A run of tags below everything outstanding is acknowledged with one method.
    async fn acknowledge(&self, tags: BTreeSet<u64>) -> Result<(), lapin::Error> {
        let floor = self.outstanding.first().copied().unwrap_or(u64::MAX);
        let multiple = BasicAckOptions { multiple: true };
        if let Some(last) = tags.range(..floor).next_back() {
            self.channel.basic_ack(*last, multiple).await?;
        }
        for tag in tags.range(floor..) {
            self.channel.basic_ack(*tag, BasicAckOptions::default()).await?;
        }
        Ok(())
    }

    async fn reject(&self, tags: BTreeSet<u64>) -> Result<(), lapin::Error> {
        for tag in tags {
            self.channel.basic_reject(tag, BasicRejectOptions { requeue: false }).await?;
        }
        Ok(())
    }

    fn hand_out(&mut self, received: &Received) {
        self.outstanding.insert(received.receipt.position);
        if received.returned.is_some() {
            self.returned.insert(received.receipt.position);
        }
    }
}

#[async_trait]
impl Subscription for Reader {
    async fn next(&mut self, max: usize) -> Result<Vec<Received>, BackboneError> {
        loop {
            let quiet = self.options.confirm_timeout / 2;
            let live = self.alive().await?;
            // The last wait; what follows it cannot be cancelled halfway.
            let first = match tokio::time::timeout(quiet, live.consumer.next()).await {
                Ok(Some(Ok(first))) => first,
                Ok(_) => {
                    tracing::debug!(lane = self.source.name(), "lost the consumer");
                    self.live = None;
                    continue;
                }
                Err(_) => {
                    self.look_around().await;
                    continue;
                }
            };
            self.passed_over = 0;
            let lot = self.lot;
            let Some(live) = self.live.as_mut() else { continue };
            let first = wire::received(first, lot);
            live.hand_out(&first);
            let mut size = first.frame.size();
            let mut batch = vec![first];
            while batch.len() < max && size < MAX_BATCH_BYTES {
                let Some(Some(Ok(delivery))) = live.consumer.next().now_or_never() else { break };
                let next = wire::received(delivery, lot);
                live.hand_out(&next);
                size += next.frame.size();
                batch.push(next);
            }
            return Ok(batch);
        }
    }

    async fn ack(&mut self, receipts: Vec<Receipt>) -> Result<(), BackboneError> {
        self.tell(receipts, false).await;
        Ok(())
    }

    async fn set_aside(&mut self, receipts: Vec<Receipt>) -> Result<(), BackboneError> {
        self.tell(receipts, true).await;
        Ok(())
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("source", &self.source).finish_non_exhaustive()
    }
}
