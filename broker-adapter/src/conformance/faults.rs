//! What must be true when subscribers and brokers die.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use schemas::ids::NodeId;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use super::tools::{
    PATIENCE, QUIET, ensure, frame, fresh_node, ids, numbered, options_of, publish_all, ready,
    said, silence, take, to,
};
use super::{Broker, Ground, Verdict};
use crate::{Backbone, BackboneError, Lane, Options, Outcome, Subscription};

/// The broker stays dead for at least so long.
const OUTAGE: Duration = Duration::from_millis(500);

/// Before what failed is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// How long a reader of Kafka may be out of its group before it is told to subscribe again
/// (`kafka/subscription.rs`): no subscription lives for less.
const FORGOTTEN: Duration = Duration::from_secs(20);

/// Until a producer that did not come back by itself has been replaced, and another was heard.
const RECOVERY: Duration = Duration::from_secs(100);

/// A subscriber dies after it received: the next one gets the same frames.
pub(super) async fn what_was_not_acknowledged_comes_back(ground: &Ground) -> Verdict {
    let (backbone, node) = ready(ground).await?;
    publish_all(&backbone, numbered(&to(&node, Lane::Message), 0..50, 5)).await?;
    let mut reader = backbone.subscribe(&node, Lane::Message).await.map_err(said)?;
    take(&mut reader, 50, false).await?;
    drop(reader);
    let mut reader = backbone.subscribe(&node, Lane::Message).await.map_err(said)?;
    let again = take(&mut reader, 50, true).await?;
    let distinct: HashSet<&str> = ids(&again).into_iter().collect();
    ensure!(distinct.len() == 50, "{} of 50 came back", distinct.len());
    if ground.url.starts_with("kafka") {
        return Ok(()); // Kafka does not tell
    }
    ensure!(again.iter().all(|r| r.redelivered), "not marked as redelivered");
    Ok(())
}

/// After an acknowledgement and an orderly end nothing is repeated.
pub(super) async fn what_was_acknowledged_stays_away(ground: &Ground) -> Verdict {
    let (backbone, node) = ready(ground).await?;
    publish_all(&backbone, numbered(&to(&node, Lane::Message), 0..50, 5)).await?;
    let mut reader = backbone.subscribe(&node, Lane::Message).await.map_err(said)?;
    take(&mut reader, 50, true).await?;
    drop(reader);
    let mut reader = backbone.subscribe(&node, Lane::Message).await.map_err(said)?;
    silence(&mut reader).await?;
    publish_all(&backbone, numbered(&to(&node, Lane::Message), 50..51, 1)).await?;
    let next = take(&mut reader, 1, true).await?;
    ensure!(ids(&next) == ["50"], "{:?}", ids(&next));
    Ok(())
}

/// Every third frame is acknowledged, last one first: all others come back, whatever else does.
pub(super) async fn acknowledged_out_of_order(ground: &Ground) -> Verdict {
    let (backbone, node) = ready(ground).await?;
    publish_all(&backbone, numbered(&to(&node, Lane::Message), 0..60, 1)).await?;
    let mut reader = backbone.subscribe(&node, Lane::Message).await.map_err(said)?;
    let got = take(&mut reader, 60, false).await?;
    let (mut acknowledged, mut owed) = (Vec::new(), HashSet::new());
    for (at, received) in got.iter().enumerate() {
        if at % 3 == 1 {
            acknowledged.push(received.receipt);
        } else {
            owed.insert(received.frame.id.clone());
        }
    }
    for receipt in acknowledged.into_iter().rev() {
        reader.ack(vec![receipt]).await.map_err(said)?;
    }
    drop(reader);
    let mut reader = backbone.subscribe(&node, Lane::Message).await.map_err(said)?;
    while !owed.is_empty() {
        let batch = timeout(PATIENCE, reader.next(100))
            .await
            .map_err(|_| format!("lost: {owed:?}"))?
            .map_err(said)?;
        for received in &batch {
            owed.remove(&received.frame.id);
        }
        reader.ack(batch.iter().map(|r| r.receipt).collect()).await.map_err(said)?;
    }
    Ok(())
}

/// `next` in a `select!` that goes the other way, again and again, while frames come.
pub(super) async fn a_cancelled_wait_loses_nothing(ground: &Ground) -> Verdict {
    const COUNT: usize = 100;
    let (backbone, node) = ready(ground).await?;
    let mut reader = backbone.subscribe(&node, Lane::Message).await.map_err(said)?;
    let publisher = {
        let (backbone, lane) = (Arc::clone(&backbone), to(&node, Lane::Message));
        tokio::spawn(async move {
            for n in 0..COUNT {
                publish_all(&backbone, numbered(&lane, n..n + 1, COUNT)).await?;
            }
            Ok::<(), String>(())
        })
    };
    let (start, mut seen) = (Instant::now(), HashSet::new());
    while seen.len() < COUNT {
        ensure!(start.elapsed() < PATIENCE, "{} of {COUNT} frames", seen.len());
        let pause = Duration::from_micros(200 * (1 + seen.len() as u64 % 10));
        if let Ok(batch) = timeout(pause, reader.next(3)).await {
            let batch = batch.map_err(said)?;
            seen.extend(batch.iter().map(|r| r.frame.id.clone()));
            reader.ack(batch.iter().map(|r| r.receipt).collect()).await.map_err(said)?;
        }
    }
    publisher.await.map_err(|e| e.to_string())?
}

/// A second replica of a node comes while frames flow, takes some, and dies before it has
/// acknowledged them; then it comes back. What a store that knows repeats has seen in the end is
/// everything, once.
pub(super) async fn a_replica_comes_and_goes(ground: &Ground) -> Verdict {
    const COUNT: usize = 300;
    let (backbone, node) = ready(ground).await?;
    let replica = async |name: &str| {
        let mut options = options_of(ground, &node)?;
        options.instance = Some(name.to_owned());
        let backbone = crate::open(&ground.url, options).await.map_err(said)?;
        let reader = backbone.subscribe(&node, Lane::Message).await.map_err(said)?;
        Ok::<_, String>((backbone, reader))
    };
    let (news, mut arrivals) = unbounded_channel();
    let (_first, reader) = replica("one").await?;
    let steady = tokio::spawn(read_on(reader, news.clone()));
    publish_all(&backbone, numbered(&to(&node, Lane::Message), 0..COUNT / 3, 30)).await?;
    let (second, mut reader) = replica("two").await?;
    publish_all(&backbone, numbered(&to(&node, Lane::Message), COUNT / 3..2 * COUNT / 3, 30))
        .await?;
    let taken = timeout(2 * QUIET, reader.next(10)).await; // and never acknowledged
    drop(reader);
    second.close().await;
    ensure!(!matches!(taken, Ok(Err(_))), "{taken:?}");
    let (_second, reader) = replica("two").await?;
    let back = tokio::spawn(read_on(reader, news));
    publish_all(&backbone, numbered(&to(&node, Lane::Message), 2 * COUNT / 3..COUNT, 30)).await?;
    let mut store = HashSet::new();
    while store.len() < COUNT {
        match timeout(PATIENCE, arrivals.recv()).await {
            Ok(Some(id)) => store.insert(id),
            other => return Err(format!("{} of {COUNT} frames, then {other:?}", store.len())),
        };
    }
    steady.abort();
    back.abort();
    Ok(())
}

/// Reads and acknowledges for ever; says what came.
async fn read_on(
    mut reader: Box<dyn Subscription>,
    news: UnboundedSender<String>,
) -> BackboneError {
    loop {
        let batch = match reader.next(200).await {
            Ok(batch) => batch,
            Err(error) => return error,
        };
        for received in &batch {
            let _ = news.send(received.frame.id.clone());
        }
        if let Err(error) = reader.ack(batch.iter().map(|r| r.receipt).collect()).await {
            return error;
        }
    }
}

/// As [`read_on`], and as a node does: who is told that the broker cannot be reached subscribes again.
/// That may be said no sooner than after `least`, and where there is none, never: a subscription
/// outlives its broker.
async fn read_again(
    backbone: Arc<dyn Backbone>,
    node: NodeId,
    mut reader: Box<dyn Subscription>,
    (least, news): (Option<Duration>, UnboundedSender<String>),
) -> BackboneError {
    loop {
        let began = Instant::now();
        match read_on(reader, news.clone()).await {
            BackboneError::Unreachable(_) if least.is_some_and(|l| began.elapsed() >= l) => {}
            error => return error,
        }
        reader = loop {
            if let Ok(reader) = backbone.subscribe(&node, Lane::Message).await {
                break reader;
            }
            tokio::time::sleep(AGAIN).await;
        };
    }
}

/// The broker stops answering, and closes nothing. Who publishes learns in time that the outcome is
/// unknown; when it goes on, so does everything else.
pub(super) async fn the_broker_falls_silent(ground: &Ground) -> Verdict {
    let Some(broker) = &ground.broker else { return Err("there is none to pause".to_owned()) };
    let limit = Duration::from_secs(3);
    let node = fresh_node(ground)?;
    let options = Options { confirm_timeout: limit, ..options_of(ground, &node)? };
    let backbone = crate::open(&ground.url, options).await.map_err(said)?;
    backbone.provision(&node).await.map_err(said)?;
    let mut reader = backbone.subscribe(&node, Lane::Message).await.map_err(said)?;
    publish_all(&backbone, numbered(&to(&node, Lane::Message), 0..1, 1)).await?;
    take(&mut reader, 1, true).await?;

    broker.pause().map_err(|e| e.to_string())?;
    let start = Instant::now();
    let outcomes = backbone.publish(numbered(&to(&node, Lane::Message), 1..4, 1)).await;
    let took = start.elapsed();
    broker.resume().map_err(|e| e.to_string())?;
    let unknown = outcomes.iter().all(|o| matches!(o, Outcome::Unknown(_)));
    ensure!(unknown && outcomes.len() == 3, "{outcomes:?}");
    ensure!(took < 3 * limit, "known to be unknown after {took:?}");

    let start = Instant::now();
    while publish_all(&backbone, numbered(&to(&node, Lane::Message), 1..4, 1)).await.is_err() {
        ensure!(start.elapsed() < PATIENCE, "still not confirmed");
    }
    let mut seen = HashSet::new();
    while seen.len() < 3 {
        seen.extend(take(&mut reader, 1, true).await?.into_iter().map(|r| r.frame.id));
    }
    Ok(())
}

/// The broker is killed under load, and comes back; then it is stopped in order, which closes
/// connections with a reason, and comes back: everything confirmed arrives, on the
/// subscription that was there before, where that is not told to end.
pub(super) async fn the_broker_dies(ground: &Ground) -> Verdict {
    let Some(broker) = &ground.broker else { return Err("there is none to kill".to_owned()) };
    let (backbone, node) = ready(ground).await?;
    let reader = backbone.subscribe(&node, Lane::Message).await.map_err(said)?;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let publisher = tokio::spawn(keep_publishing(Arc::clone(&backbone), node.clone(), stopped));
    let (news, mut arrivals) = unbounded_channel();
    let rules = (ground.url.starts_with("kafka").then_some(FORGOTTEN), news);
    let consumer = tokio::spawn(read_again(Arc::clone(&backbone), node.clone(), reader, rules));
    let ends: [fn(&dyn Broker) -> io::Result<()>; 2] = [|b| b.kill(), |b| b.stop()];
    for end in ends {
        tokio::time::sleep(Duration::from_secs(1)).await;
        away_and_back(broker.as_ref(), end)?;
    }
    let back = Instant::now();
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.send_replace(true);
    let (confirmed, slowest) = timeout(RECOVERY, publisher)
        .await
        .map_err(|_| format!("a batch is not confirmed {RECOVERY:?} after the broker is back"))?
        .map_err(|e| e.to_string())??;
    ensure!(slowest > OUTAGE, "no publish took more than {slowest:?}: who killed what?");
    let mut missing: HashSet<String> = (0..confirmed).map(|n| n.to_string()).collect();
    while !missing.is_empty() {
        let left = (RECOVERY + PATIENCE).saturating_sub(back.elapsed()).min(PATIENCE);
        match timeout(left, arrivals.recv()).await {
            Ok(Some(id)) => missing.remove(&id),
            Ok(None) => {
                let error = consumer.await.map_err(|e| e.to_string())?;
                return Err(format!("the subscription ended: {error}"));
            }
            Err(_) => {
                let (lacking, late) = (missing.len(), back.elapsed());
                return Err(format!(
                    "{lacking} of {confirmed} frames are not there after {late:?}"
                ));
            }
        };
    }
    consumer.abort();
    Ok(())
}

/// Publishes numbered frames in batches of ten, repeating what is not confirmed, until told to
/// stop; returns how many were confirmed, and how long the slowest batch took to be.
async fn keep_publishing(
    backbone: Arc<dyn Backbone>,
    node: NodeId,
    stopped: tokio::sync::watch::Receiver<bool>,
) -> Result<(usize, Duration), String> {
    let (mut next, mut slowest) = (0, Duration::ZERO);
    while !*stopped.borrow() {
        let mut open: Vec<usize> = (next..next + 10).collect();
        next += 10;
        let start = Instant::now();
        while !open.is_empty() {
            let one = |n: &usize| (to(&node, Lane::Message), frame(&n.to_string(), "k"));
            let outcomes = backbone.publish(open.iter().map(one).collect()).await;
            ensure!(outcomes.len() == open.len(), "{} outcomes", outcomes.len());
            let mut unknown = Vec::new();
            for (n, outcome) in open.into_iter().zip(outcomes) {
                match outcome {
                    Outcome::Confirmed => {}
                    Outcome::Unknown(_) => unknown.push(n),
                    other => return Err(format!("frame {n}: {other:?}")),
                }
            }
            open = unknown;
            if !open.is_empty() {
                tokio::time::sleep(AGAIN).await;
            }
        }
        slowest = slowest.max(start.elapsed());
    }
    Ok((next, slowest))
}

fn away_and_back(broker: &dyn Broker, end: fn(&dyn Broker) -> io::Result<()>) -> Verdict {
    tokio::task::block_in_place(|| {
        end(broker).map_err(|e| format!("end: {e}"))?;
        std::thread::sleep(OUTAGE);
        broker.start().map_err(|e| format!("start: {e}"))
    })
}
