//! Exchanges, queues and bindings.
//!
//! ```text
//! pli (direct) --<node>.<lane>--> queue pli.<node>.<lane> (quorum)
//!                                     | rejected, expired
//!                                     v
//! pli.returned (headers) --pli_from=<node>--> queue pli.<node>.evidence
//!       | nobody is called that
//!       v
//! pli.undeliverable (fanout) --> queue pli.undeliverable, for an operator to look at
//! ```
//!
//! A node declares all this itself where the broker lets it, and otherwise finds it made by the
//! broker's operator (`ops/services/rabbitmq grant`). There the exchange `pli` is a topic exchange,
//! which routes these keys alike and lets the broker say who may write to whom, and a queue
//! `pli.<node>.probe` serves the probe (ops/adr/0030-brokers-know-nodes.md).
//!
//! Dead letters are moved at least once (`x-dead-letter-strategy`), so that none is lost between
//! two queues. The message lane has a single active consumer: of several replicas one reads, and the
//! next takes over when it goes, so that no frame is handled before an earlier one of its
//! conversation (ops/adr/0028-the-order-of-a-conversation.md).

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::AMQPSoftError;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};
use schemas::ids::NodeId;

use super::link::Link;
use super::{is_soft, refused, short, table};
use crate::{BackboneError, Destination, Lane, Options};

/// Where frames are published.
pub(super) const EXCHANGE: &str = "pli";
const RETURNED: &str = "pli.returned";
const UNDELIVERABLE: &str = "pli.undeliverable";

/// Header with the publishing node. Not `x-...`: a headers exchange ignores those.
pub(super) const FROM: &str = "pli_from";

/// Redeliveries after which the broker takes a frame for poison. High, because a crash of the
/// subscriber counts for every frame that was on its way.
const DELIVERY_LIMIT: i64 = 1_000;

const RETENTION: &str = "x-message-ttl";
const SINGLE_READER: &str = "x-single-active-consumer";

/// The queue of a lane.
pub(super) fn queue(of: &Destination) -> String {
    format!("pli.{}", of.name())
}

pub(super) async fn declare_exchange(channel: &Channel) -> Result<(), BackboneError> {
    declare_durable_exchange(channel).await.map_err(refused)
}

/// Declares everything that a node needs.
pub(super) async fn provision(
    link: &Link,
    node: &NodeId,
    options: &Options,
) -> Result<(), BackboneError> {
    let channel = link.channel().await?;
    match declare_durable_exchange(&channel).await {
        Ok(()) => {}
        Err(error) if is_soft(&error, &AMQPSoftError::ACCESSREFUSED) => {
            return provisioned_by_operator(link, node, error).await;
        }
        Err(error) => return Err(refused(error)),
    }
    declare_returns(link, &channel, options).await?;
    for lane in Lane::ALL {
        let destination = Destination { node: node.clone(), lane };
        let name = short(&queue(&destination))?;
        lane_queue(link, name.clone(), lane, options).await?;
        let key = short(&destination.name())?;
        bind(&channel, name.clone(), EXCHANGE, key, FieldTable::default()).await?;
        if lane == Lane::Evidence {
            let ours = table([
                ("x-match", AMQPValue::LongString("all".into())),
                (FROM, AMQPValue::LongString(node.as_str().into())),
            ]);
            bind(&channel, name, RETURNED, ShortString::default(), ours).await?;
        }
    }
    Ok(())
}

/// How many frames are ready in a lane's queue, and how many consumers it has. The channel is of no
/// use after an error.
pub(super) async fn look(
    channel: &Channel,
    lane: &Destination,
) -> Result<(u64, u32), BackboneError> {
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    let name = short(&queue(lane))?;
    match channel.queue_declare(name, options, FieldTable::default()).await {
        Ok(found) => Ok((u64::from(found.message_count()), found.consumer_count())),
        Err(error) if is_soft(&error, &AMQPSoftError::NOTFOUND) => {
            Err(BackboneError::UnknownLane(lane.clone()))
        }
        Err(error) => Err(refused(error)),
    }
}

/// On a broker where nodes may declare nothing, its operator has made the lanes. What is passively
/// declared needs no permission: it only says whether it is there.
async fn provisioned_by_operator(
    link: &Link,
    node: &NodeId,
    refusal: lapin::Error,
) -> Result<(), BackboneError> {
    for lane in Lane::ALL {
        let channel = link.channel().await?;
        let name = short(&queue(&Destination { node: node.clone(), lane }))?;
        let there = QueueDeclareOptions { passive: true, ..Default::default() };
        if let Err(error) = channel.queue_declare(name, there, FieldTable::default()).await {
            return Err(match is_soft(&error, &AMQPSoftError::NOTFOUND) {
                true => refused(refusal),
                false => refused(error),
            });
        }
    }
    Ok(())
}

/// A queue that goes with its connection.
pub(super) async fn declare_probe(channel: &Channel, name: ShortString) -> lapin::Result<()> {
    let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
    channel.queue_declare(name, options, FieldTable::default()).await.map(|_| ())
}

/// Where the probe of a node goes that may declare nothing: its routing key and its queue.
pub(super) fn probe_of(node: &NodeId) -> (String, String) {
    (format!("{node}.probe"), format!("pli.{node}.probe"))
}

async fn declare_returns(
    link: &Link,
    channel: &Channel,
    options: &Options,
) -> Result<(), BackboneError> {
    exchange(channel, UNDELIVERABLE, ExchangeKind::Fanout, FieldTable::default()).await?;
    let otherwise = table([("alternate-exchange", AMQPValue::LongString(UNDELIVERABLE.into()))]);
    exchange(channel, RETURNED, ExchangeKind::Headers, otherwise).await?;
    let mut arguments = table([("x-queue-type", AMQPValue::LongString("quorum".into()))]);
    replicate(&mut arguments, options);
    let name = short(UNDELIVERABLE)?;
    declare_or_keep(link, name.clone(), arguments).await?;
    bind(channel, name, UNDELIVERABLE, ShortString::default(), FieldTable::default()).await
}

/// Declares a lane's queue. One that exists with another retention keeps it: the retention of a
/// queue cannot be changed, and its frames must not be lost over that.
async fn lane_queue(
    link: &Link,
    name: ShortString,
    lane: Lane,
    options: &Options,
) -> Result<(), BackboneError> {
    let retention = options.retention.map(|r| i64::try_from(r.as_millis()).unwrap_or(i64::MAX));
    let wanted = |retention| lane_arguments(lane, retention, options);
    let Some(refusal) = declare_or_keep(link, name.clone(), wanted(retention)).await? else {
        return Ok(());
    };
    // The broker names one difference at a time, and the retention before the order.
    let refusal = match kept_retention(&refusal) {
        Some(kept) => declare_or_keep(link, name.clone(), wanted(kept)).await?.unwrap_or_default(),
        None => refusal,
    };
    if refusal.contains(SINGLE_READER) {
        return Err(BackboneError::Configuration(format!(
            "queue {name} was made without {SINGLE_READER}, and replicas would take frames of one \
             conversation at once: stop the node's processes when it is empty, delete it, start \
             them again"
        )));
    }
    Ok(())
}

fn lane_arguments(lane: Lane, retention: Option<i64>, options: &Options) -> FieldTable {
    let mut arguments = table([
        ("x-queue-type", AMQPValue::LongString("quorum".into())),
        ("x-dead-letter-exchange", AMQPValue::LongString(RETURNED.into())),
        ("x-dead-letter-strategy", AMQPValue::LongString("at-least-once".into())),
        ("x-overflow", AMQPValue::LongString("reject-publish".into())), // at-least-once demands it
        ("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT)),
    ]);
    if lane == Lane::Message {
        arguments.insert(SINGLE_READER.into(), AMQPValue::Boolean(true));
    }
    if let Some(millis) = retention {
        arguments.insert(RETENTION.into(), AMQPValue::LongLongInt(millis));
    }
    replicate(&mut arguments, options);
    arguments
}

/// The retention that a queue has, when a refusal says that it is another.
fn kept_retention(refusal: &str) -> Option<Option<i64>> {
    let (what, current) = refusal.split_once(" but current is ")?;
    if !what.contains(&format!("'{RETENTION}'")) {
        return None;
    }
    if current.starts_with("none") {
        return Some(None);
    }
    let (_, value) = current.split_once('\'')?;
    value.split('\'').next()?.parse().ok().map(Some)
}

/// Declares a queue; one that exists with other arguments keeps them: then what the broker says of
/// the difference. On a channel of its own, since a refused declaration closes its channel.
async fn declare_or_keep(
    link: &Link,
    name: ShortString,
    arguments: FieldTable,
) -> Result<Option<String>, BackboneError> {
    let channel = link.channel().await?;
    match declare_durable(&channel, name.clone(), arguments).await {
        Ok(()) => Ok(None),
        Err(error) if is_soft(&error, &AMQPSoftError::PRECONDITIONFAILED) => {
            let refusal = error.to_string();
            tracing::warn!(queue = name.as_str(), refusal, "exists with settings that it keeps");
            Ok(Some(refusal))
        }
        Err(error) => Err(refused(error)),
    }
}

fn replicate(arguments: &mut FieldTable, options: &Options) {
    if let Some(copies) = options.replication {
        arguments
            .insert("x-quorum-initial-group-size".into(), AMQPValue::LongInt(i32::from(copies)));
    }
}

async fn declare_durable_exchange(channel: &Channel) -> Result<(), lapin::Error> {
    let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let kind = ExchangeKind::Direct;
    channel.exchange_declare(EXCHANGE.into(), kind, options, FieldTable::default()).await
}

async fn declare_durable(
    channel: &Channel,
    name: ShortString,
    arguments: FieldTable,
) -> Result<(), lapin::Error> {
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(name, options, arguments).await.map(|_| ())
}

async fn exchange(
    channel: &Channel,
    name: &str,
    kind: ExchangeKind,
    arguments: FieldTable,
) -> Result<(), BackboneError> {
    let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
    channel.exchange_declare(short(name)?, kind, options, arguments).await.map_err(refused)
}

async fn bind(
    channel: &Channel,
    queue: ShortString,
    exchange: &str,
    key: ShortString,
    arguments: FieldTable,
) -> Result<(), BackboneError> {
    let options = QueueBindOptions::default();
    channel.queue_bind(queue, short(exchange)?, key, options, arguments).await.map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_retention_of_a_queue_is_read_from_what_the_broker_says() {
        let said = |arg: &str, current: &str| {
            format!(
                "PRECONDITION_FAILED - inequivalent arg '{arg}' for queue 'q' in vhost '/': \
                 received the value '5' of type 'signedint' but current is {current}"
            )
        };
        let kept = |arg, current| kept_retention(&said(arg, current));
        assert_eq!(
            kept(RETENTION, "the value '604800000' of type 'long'"),
            Some(Some(604_800_000))
        );
        assert_eq!(kept(RETENTION, "none"), Some(None));
        assert_eq!(kept(RETENTION, "the value 'much' of type 'longstr'"), None);
        assert_eq!(kept(SINGLE_READER, "none"), None);
        assert_eq!(kept_retention("PRECONDITION_FAILED"), None);
    }
}
