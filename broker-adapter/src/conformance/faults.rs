//! What must be true when subscribers and brokers die.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use schemas::ids::NodeId;
use tokio::time::timeout;

use super::tools::{
    PATIENCE, ensure, frame, ids, numbered, publish_all, ready, said, silence, take, to,
};
use super::{Broker, Ground, Verdict};
use crate::{Backbone, Lane, Outcome};

/// The broker stays dead for at least so long.
const OUTAGE: Duration = Duration::from_millis(500);

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

/// The broker is killed and started under load, twice: everything confirmed arrives, on the
/// subscription that was there before.
pub(super) async fn the_broker_dies(ground: &Ground) -> Verdict {
    let Some(broker) = &ground.broker else { return Err("there is none to kill".to_owned()) };
    let (backbone, node) = ready(ground).await?;
    let mut reader = backbone.subscribe(&node, Lane::Message).await.map_err(said)?;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let publisher = tokio::spawn(keep_publishing(Arc::clone(&backbone), node.clone(), stopped));
    let (news, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    let consumer = tokio::spawn(async move {
        loop {
            let batch = match reader.next(200).await {
                Ok(batch) => batch,
                Err(error) => return format!("the subscription ended: {error}"),
            };
            for received in &batch {
                let _ = news.send(received.frame.id.clone());
            }
            if let Err(error) = reader.ack(batch.iter().map(|r| r.receipt).collect()).await {
                return format!("cannot acknowledge: {error}");
            }
        }
    });
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        kill_and_start(broker.as_ref())?;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.send_replace(true);
    let (confirmed, slowest) = publisher.await.map_err(|e| e.to_string())??;
    ensure!(slowest > OUTAGE, "no publish took more than {slowest:?}: who killed what?");
    let mut missing: HashSet<String> = (0..confirmed).map(|n| n.to_string()).collect();
    while !missing.is_empty() {
        match timeout(PATIENCE, arrivals.recv()).await {
            Ok(Some(id)) => missing.remove(&id),
            Ok(None) => return consumer.await.map_or_else(|e| Err(e.to_string()), Err),
            Err(_) => return Err(format!("{} of {confirmed} frames are lost", missing.len())),
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
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        slowest = slowest.max(start.elapsed());
    }
    Ok((next, slowest))
}

fn kill_and_start(broker: &dyn Broker) -> Verdict {
    tokio::task::block_in_place(|| {
        broker.kill().map_err(|e| format!("kill: {e}"))?;
        std::thread::sleep(OUTAGE);
        broker.start().map_err(|e| format!("start: {e}"))
    })
}
