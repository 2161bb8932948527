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
//! Dead letters are moved at least once (`x-dead-letter-strategy`), so that none is lost between
//! two queues.

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

/// The queue of a lane.
pub(super) fn queue(of: &Destination) -> String {
    format!("pli.{}", of.name())
}

pub(super) async fn declare_exchange(channel: &Channel) -> Result<(), BackboneError> {
    exchange(channel, EXCHANGE, ExchangeKind::Direct, FieldTable::default()).await
}

/// Declares everything that a node needs.
pub(super) async fn provision(
    link: &Link,
    node: &NodeId,
    options: &Options,
) -> Result<(), BackboneError> {
    let channel = link.channel().await?;
    declare_exchange(&channel).await?;
    declare_returns(link, &channel, options).await?;
    for lane in Lane::ALL {
        let destination = Destination { node: node.clone(), lane };
        let name = short(&queue(&destination))?;
        lane_queue(link, name.clone(), options).await?;
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

/// A queue that goes with its connection.
pub(super) async fn declare_probe(
    channel: &Channel,
    name: ShortString,
) -> Result<(), BackboneError> {
    let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
    channel.queue_declare(name, options, FieldTable::default()).await.map_err(refused)?;
    Ok(())
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

/// Declares a lane's queue. One that exists with other arguments keeps them: the retention of a
/// queue cannot be changed, and its frames must not be lost over that.
async fn lane_queue(
    link: &Link,
    name: ShortString,
    options: &Options,
) -> Result<(), BackboneError> {
    let mut arguments = table([
        ("x-queue-type", AMQPValue::LongString("quorum".into())),
        ("x-dead-letter-exchange", AMQPValue::LongString(RETURNED.into())),
        ("x-dead-letter-strategy", AMQPValue::LongString("at-least-once".into())),
        ("x-overflow", AMQPValue::LongString("reject-publish".into())), // at-least-once demands it
        ("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT)),
    ]);
    if let Some(retention) = options.retention {
        let millis = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(millis));
    }
    replicate(&mut arguments, options);
    declare_or_keep(link, name, arguments).await
}

/// Declares a queue; one that exists with other arguments keeps them. On a channel of its own,
/// since a refused declaration closes its channel.
async fn declare_or_keep(
    link: &Link,
    name: ShortString,
    arguments: FieldTable,
) -> Result<(), BackboneError> {
    let channel = link.channel().await?;
    match declare_durable(&channel, name.clone(), arguments).await {
        Ok(()) => Ok(()),
        Err(error) if is_soft(&error, &AMQPSoftError::PRECONDITIONFAILED) => {
            tracing::warn!(queue = name.as_str(), "exists with other settings, which it keeps");
            Ok(())
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
