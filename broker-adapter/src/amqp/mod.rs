//! AMQP 0-9-1, made for RabbitMQ 3.10 and later.
//!
//! - `link.rs`: a connection that is rebuilt when it is lost. There are two to publish, of which one for
//!   content, since a gigabyte in one stream of TCP would keep every small frame behind it waiting; one
//!   to consume for each lane, since a broker short of memory blocks publishing connections and
//!   acknowledgements must not wait behind that, and since a queue that is in trouble (without a leader,
//!   say) costs whoever asks for it the whole connection; and for that reason one to make lanes, and to
//!   ask how much waits in them.
//! - `line.rs`: frames of a batch on their way to the broker.
//! - `tls.rs`: whom it believes, and the certificate that it shows.
//! - `topology.rs`: exchanges, queues, bindings.
//! - `wire.rs`: a frame as a message (CloudEvents AMQP binding, binary mode).
//! - `subscription.rs`: consuming.
//!
//! Reconnection is ours, not that of `lapin`: outcomes of frames under way must be known to be
//! unknown, and receipts of the old channel to be void.

use std::fmt;
use std::future::Future;
use std::slice;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::FutureExt as _;
use futures::future::join_all;
use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, ErrorKind, PublisherConfirm};
use schemas::ids::NodeId;

use self::line::{Line, Sent};
use self::link::Link;
use crate::readers::Readers;
use crate::{
    Backbone, BackboneError, Destination, Frame, Lane, Options, Outcome, Subscription, Unread,
};

mod line;
mod link;
mod subscription;
mod tls;
mod topology;
mod wire;

/// What became of a channel under a batch, the more telling the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Broken {
    /// No telling what of the batch the broker has.
    Somehow,
    /// The broker closed it since a frame on it was larger than it takes.
    OverSize,
}

/// Why the fate of a frame is unknown.
struct Lost {
    why: String,
    broken: Broken,
}

impl Lost {
    fn somehow(why: impl ToString) -> Self {
        Self { why: why.to_string(), broken: Broken::Somehow }
    }

    /// The outcome of the frame; `broken` learns what it tells of the channel.
    fn noted(self, broken: &mut Option<Broken>) -> Outcome {
        *broken = (*broken).max(Some(self.broken));
        Outcome::Unknown(self.why)
    }
}

impl From<lapin::Error> for Lost {
    /// RabbitMQ has no code for a size of its own (`max_message_size`): 406, and a sentence.
    fn from(error: lapin::Error) -> Self {
        let of_size = matches!(error.kind(), ErrorKind::ProtocolError(e)
            if e.get_message().as_str().contains("message size"));
        let over_size = of_size && is_soft(&error, &AMQPSoftError::PRECONDITIONFAILED);
        let broken = if over_size { Broken::OverSize } else { Broken::Somehow };
        Self { why: error.to_string(), broken }
    }
}

/// A broker.
pub(crate) struct Amqp {
    options: Arc<Options>,
    outward: Arc<Link>,
    /// The same for content.
    bulk_out: Arc<Link>,
    message_in: Arc<Link>,
    content_in: Arc<Link>,
    evidence_in: Arc<Link>,
    /// For making lanes and counting what waits, and a channel for that while nobody uses it.
    aside: Arc<Link>,
    looking: Mutex<Option<Channel>>,
    /// The broker lets us declare no queue: the one for the probe is there.
    probe_is_made: AtomicBool,
    readers: Arc<Readers>,
}

impl Amqp {
    /// Connects, so that a wrong URL or login is known at once.
    ///
    /// # Errors
    /// The URL is wrong, the broker cannot be reached, or refuses.
    pub(crate) async fn open(url: &str, options: Options) -> Result<Self, BackboneError> {
        let options = Arc::new(options);
        let outward = Arc::new(Link::new(url, "out", Arc::clone(&options))?);
        let another = |role: &str| Arc::new(outward.another(role));
        if let Err(error) = outward.publisher().await {
            if !matches!(error, BackboneError::Unreachable(_)) || outward.listens().await {
                return Err(error);
            }
            // As it will be now and then: whoever reads or publishes connects again.
            tracing::warn!(broker = outward.broker(), %error, "the broker is away");
        }
        Ok(Self {
            bulk_out: another("content out"),
            message_in: another("message in"),
            content_in: another("content in"),
            evidence_in: another("evidence in"),
            aside: another("aside"),
            looking: Mutex::default(),
            probe_is_made: AtomicBool::new(false),
            readers: Arc::new(Readers::new(options.confirm_timeout * 2)),
            outward,
            options,
        })
    }

    /// The connection for a batch: content alone goes its own way.
    fn way(&self, frames: &[(Destination, Frame)]) -> &Link {
        let content = !frames.is_empty() && frames.iter().all(|(to, _)| to.lane == Lane::Content);
        if content { &self.bulk_out } else { &self.outward }
    }

    /// On a channel that is kept for it: whoever sends a large content asks before each window. What
    /// is not found costs the channel.
    async fn count(&self, lane: &Destination) -> Result<u64, BackboneError> {
        let kept = || self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = kept().take().filter(|channel| channel.status().connected());
        let channel = match idle {
            Some(channel) => channel,
            None => self.aside.channel().await?,
        };
        let look = topology::look(&channel, lane);
        let (waiting, _) = within(self.options.confirm_timeout, look).await?;
        *kept() = Some(channel);
        Ok(waiting)
    }

    /// Sends one frame; its confirmation comes later. It is in line at the first poll, and written out
    /// when this ends.
    async fn send(
        &self,
        channel: &Channel,
        to: &Destination,
        frame: &Frame,
    ) -> Result<PublisherConfirm, Lost> {
        let properties = wire::properties(frame, self.options.node.as_ref());
        let sending = channel.basic_publish(
            topology::EXCHANGE.into(),
            short(&to.name()).map_err(Lost::somehow)?,
            BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() },
            &frame.body,
            properties.map_err(Lost::somehow)?,
        );
        match tokio::time::timeout(self.options.confirm_timeout, sending).await {
            Ok(sent) => sent.map_err(Lost::from),
            Err(_) => Err(Lost::somehow("the broker takes nothing in")),
        }
    }

    /// Waits no longer than until `limit` after the frame was handed over: of many that a silent
    /// broker does not confirm, none is waited for after the others.
    async fn confirmed(&self, (sent, confirm): Sent) -> Result<Outcome, Lost> {
        let limit = tokio::time::Instant::from_std(sent + self.options.confirm_timeout);
        match tokio::time::timeout_at(limit, confirm).await {
            Ok(Ok(Confirmation::Ack(None))) => Ok(Outcome::Confirmed),
            // `mandatory`: returned first, acknowledged after.
            Ok(Ok(Confirmation::Ack(Some(_)))) => Ok(Outcome::Unroutable),
            Ok(Ok(Confirmation::Nack(_))) => Err(Lost::somehow("the broker says nack")),
            Ok(Ok(Confirmation::NotRequested)) => {
                Err(Lost::somehow("the channel does not confirm"))
            }
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(Lost::somehow("no confirmation in time")),
        }
    }

    /// Sends and collects, with at most [`line::WINDOW`] frames between. After the first failure nothing
    /// more is sent: the channel is broken, and the rest would come before what is repeated.
    async fn pipeline(
        &self,
        channel: &Channel,
        frames: &[(Destination, Frame)],
        outcomes: &mut [Outcome],
    ) -> Option<Broken> {
        let mut line = Line::default();
        for ((to, frame), outcome) in frames.iter().zip(outcomes) {
            if let Some(refusal) = frame.refusal() {
                *outcome = refusal;
                continue;
            }
            if line.broken.is_some() {
                continue;
            }
            let octets = frame.size();
            while line.is_full(octets) {
                line.move_up(self).await;
            }
            line.join(outcome, self.send(channel, to, frame).boxed(), octets);
        }
        line.end(self).await
    }

    /// The broker closed the channel over the size of a frame, its limit being below ours, and does
    /// not say of which: each frame whose fate is unknown is sent once more, alone on a channel that
    /// nobody shares, and answers for itself.
    async fn one_by_one(
        &self,
        link: &Link,
        frames: &[(Destination, Frame)],
        outcomes: &mut [Outcome],
    ) {
        let mut own: Option<Channel> = None;
        for (frame, outcome) in frames.iter().zip(outcomes) {
            if !matches!(outcome, Outcome::Unknown(_)) {
                continue;
            }
            let channel = match own.take() {
                Some(channel) => channel,
                None => match link.channel_apart().await {
                    Ok(channel) => channel,
                    Err(_) => return,
                },
            };
            let lone = slice::from_mut(outcome);
            match self.pipeline(&channel, slice::from_ref(frame), lone).await {
                None => own = Some(channel),
                Some(Broken::OverSize) => *outcome = Outcome::TooLarge,
                Some(Broken::Somehow) => return,
            }
        }
        if let Some(channel) = own {
            let _ = channel.close(200, "done".into()).await;
        }
    }

    /// Through a queue of its own, there and back; where nodes may declare nothing, through the one
    /// that the broker's operator made for the node.
    async fn echo(&self) -> Result<(), BackboneError> {
        if self.probe_is_made.load(Ordering::Relaxed) {
            return self.echo_by_operator().await;
        }
        let channel = self.outward.channel().await?;
        let queue = short(&format!("pli.probe.{}", uuid::Uuid::new_v4()))?;
        match topology::declare_probe(&channel, queue.clone()).await {
            Ok(()) => {}
            Err(error) if is_soft(&error, &AMQPSoftError::ACCESSREFUSED) => {
                self.echo_by_operator().await?;
                self.probe_is_made.store(true, Ordering::Relaxed);
                return Ok(());
            }
            Err(error) => return Err(refused(error)),
        }
        let back = round(&channel, ShortString::default(), queue.clone(), queue.clone()).await;
        let _ = channel.queue_delete(queue, lapin::options::QueueDeleteOptions::default()).await;
        back
    }

    async fn echo_by_operator(&self) -> Result<(), BackboneError> {
        let node = self.options.node.as_ref().ok_or_else(|| {
            BackboneError::Refused("a probe without a node has no queue here".to_owned())
        })?;
        let (key, queue) = topology::probe_of(node);
        let channel = self.outward.channel().await?;
        let back = round(&channel, topology::EXCHANGE.into(), short(&key)?, short(&queue)?).await;
        let _ = channel.close(200, "done".into()).await;
        back
    }
}

/// Publishes a probe, and takes one. Processes of one node may share the queue: each puts one in
/// before it takes one out, whosever it is.
async fn round(
    channel: &Channel,
    exchange: ShortString,
    key: ShortString,
    queue: ShortString,
) -> Result<(), BackboneError> {
    channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(refused)?;
    let properties = BasicProperties::default().with_delivery_mode(wire::PERSISTENT);
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let confirm = channel
        .basic_publish(exchange, key, options, b"probe", properties)
        .await
        .map_err(refused)?;
    confirm.await.map_err(refused)?;
    let got = channel.basic_get(queue, BasicGetOptions { no_ack: true }).await.map_err(refused)?;
    match got {
        Some(message) if message.data == b"probe" => Ok(()),
        _ => Err(BackboneError::Unreachable("the probe did not come back".to_owned())),
    }
}

#[async_trait]
impl Backbone for Amqp {
    async fn provision(&self, node: &NodeId) -> Result<(), BackboneError> {
        let limit = self.options.confirm_timeout;
        within(limit, topology::provision(&self.aside, node, &self.options)).await
    }

    async fn publish(&self, frames: Vec<(Destination, Frame)>) -> Vec<Outcome> {
        let unsent = || Outcome::Unknown("not sent: the channel broke before".to_owned());
        let mut outcomes = vec![unsent(); frames.len()];
        let link = self.way(&frames);
        match link.publisher().await {
            Ok(channel) => {
                let broken = self.pipeline(&channel, &frames, &mut outcomes).await;
                if broken.is_some() {
                    link.forget(&channel).await;
                }
                if broken == Some(Broken::OverSize) {
                    self.one_by_one(link, &frames, &mut outcomes).await;
                }
            }
            Err(error) => {
                for ((_, frame), outcome) in frames.iter().zip(&mut outcomes) {
                    *outcome =
                        frame.refusal().unwrap_or_else(|| Outcome::Unknown(error.to_string()));
                }
            }
        }
        outcomes
    }

    async fn subscribe(
        &self,
        node: &NodeId,
        lane: Lane,
    ) -> Result<Box<dyn Subscription>, BackboneError> {
        let source = Destination { node: node.clone(), lane };
        let link = Arc::clone(match lane {
            Lane::Message => &self.message_in,
            Lane::Content => &self.content_in,
            Lane::Evidence => &self.evidence_in,
        });
        let (options, readers) = (Arc::clone(&self.options), Arc::clone(&self.readers));
        Ok(Box::new(subscription::Reader::start(link, source, options, readers).await?))
    }

    async fn waiting(&self, lane: &Destination) -> Result<u64, BackboneError> {
        within(self.options.confirm_timeout, self.count(lane)).await
    }

    async fn probe(&self) -> Result<Duration, BackboneError> {
        let start = Instant::now();
        within(self.options.confirm_timeout, self.echo()).await?;
        Ok(start.elapsed())
    }

    fn unread(&self) -> Vec<Unread> {
        self.readers.unread()
    }

    fn name(&self) -> &'static str {
        "amqp"
    }

    async fn close(&self) {
        let inward = [&self.message_in, &self.content_in, &self.evidence_in];
        let all = [&self.outward, &self.bulk_out, &self.aside].into_iter().chain(inward);
        join_all(all.map(|link| link.close())).await;
    }
}

impl fmt::Debug for Amqp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Amqp").field("broker", &self.outward.broker()).finish_non_exhaustive()
    }
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, BackboneError>> + Send,
) -> Result<T, BackboneError> {
    let late = |_| BackboneError::Unreachable(format!("no answer in {} s", limit.as_secs_f32()));
    tokio::time::timeout(limit, work).await.map_err(late)?
}

/// AMQP's short string has at most 255 bytes; the conversion by `From` would panic.
fn short(text: &str) -> Result<ShortString, BackboneError> {
    ShortString::try_new(text).map_err(|e| BackboneError::Configuration(e.to_string()))
}

/// A protocol error is a refusal, everything else a lost connection.
fn refused(error: lapin::Error) -> BackboneError {
    match error.kind() {
        ErrorKind::ProtocolError(_) => BackboneError::Refused(error.to_string()),
        _ => BackboneError::Unreachable(error.to_string()),
    }
}

fn is_soft(error: &lapin::Error, soft: &AMQPSoftError) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(e)
        if matches!(e.kind(), AMQPErrorKind::Soft(kind) if kind == soft))
}

/// A table of headers or arguments.
fn table<const N: usize>(entries: [(&str, lapin::types::AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        if let Ok(name) = ShortString::try_new(name) {
            table.insert(name, value);
        }
    }
    table
}
