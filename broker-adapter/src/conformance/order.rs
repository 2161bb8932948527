//! The order of a key on the message lane, as a node sees it that knows repeats: no frame is seen
//! for the first time before an earlier one of its key, whatever readers come and go.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use schemas::ids::NodeId;
use tokio::time::timeout;

use super::tools::{PATIENCE, ensure, numbered, options_of, publish_all, ready, said, take, to};
use super::{Ground, Verdict};
use crate::{Backbone, Lane, Options, Received, Subscription};

const KEYS: usize = 12;
/// Frames of one batch of a publisher.
const BATCH: usize = 30;

/// What a node's store has seen, each frame at its first arrival.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    known: HashSet<usize>,
    last: HashMap<String, usize>,
    wrong: Option<String>,
}

impl Seen {
    fn commit(&self, batch: &[Received]) -> Verdict {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for received in batch {
            let number: usize = received.frame.id.parse().map_err(|e| format!("{e}"))?;
            if !inner.known.insert(number) {
                continue;
            }
            let key = received.frame.key.clone();
            if let Some(before) = inner.last.insert(key, number)
                && before > number
                && inner.wrong.is_none()
            {
                inner.wrong = Some(format!("{number} was first seen after {before}"));
            }
        }
        Ok(())
    }

    /// How many were seen, if all in their order.
    fn count(&self) -> Result<usize, String> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.wrong.clone().map_or(Ok(inner.known.len()), Err)
    }
}

/// Several partitions where a lane has such, so that the order of a key is none of the whole lane.
fn parted(ground: &Ground, node: &NodeId) -> Result<Options, String> {
    let options = options_of(ground, node)?;
    let partitions = ground.url.starts_with("kafka").then_some(4);
    Ok(Options { partitions, ..options })
}

async fn replica(
    ground: &Ground,
    node: &NodeId,
    name: &str,
) -> Result<(Arc<dyn Backbone>, Box<dyn Subscription>), String> {
    let options = Options { instance: Some(name.to_owned()), ..parted(ground, node)? };
    let backbone = crate::open(&ground.url, options).await.map_err(said)?;
    backbone.provision(node).await.map_err(said)?;
    let reader = backbone.subscribe(node, Lane::Message).await.map_err(said)?;
    Ok((backbone, reader))
}

/// Reads like a node: a few frames, some work, then the store, then the acknowledgement.
async fn work(reader: &mut Box<dyn Subscription>, seen: &Seen) -> Verdict {
    let batch = reader.next(7).await.map_err(said)?;
    handle(reader, batch, seen).await
}

/// What a node that has taken frames does before it takes more. A caller may give up waiting for
/// frames, never this: a reader that forgets what it holds and reads on breaks the order itself.
async fn handle(reader: &mut Box<dyn Subscription>, batch: Vec<Received>, seen: &Seen) -> Verdict {
    tokio::time::sleep(Duration::from_millis(batch.len() as u64 % 5)).await;
    seen.commit(&batch)?;
    reader.ack(batch.iter().map(|r| r.receipt).collect()).await.map_err(said)
}

/// Two replicas share a lane under load; one of them comes and goes, each time with frames that it
/// has neither handled nor acknowledged.
pub(super) async fn replicas_keep_the_order_of_a_key(ground: &Ground) -> Verdict {
    const ROUNDS: usize = 4;
    const COUNT: usize = ROUNDS * 10 * BATCH;
    let (_, node) = ready(ground).await?;
    let seen = Seen::default();
    let (first, mut steady) = replica(ground, &node, "one").await?;
    let publisher = tokio::spawn({
        let node = node.clone();
        async move { publish_slowly(&first, &node, 0..COUNT).await }
    });
    let reading = tokio::spawn({
        let seen = seen.clone();
        async move {
            loop {
                if let Err(why) = work(&mut steady, &seen).await {
                    return why;
                }
            }
        }
    });
    for _ in 0..ROUNDS {
        let (second, mut reader) = replica(ground, &node, "two").await?;
        let stay = Instant::now() + Duration::from_millis(500);
        while Instant::now() < stay {
            if let Ok(batch) = timeout(Duration::from_millis(100), reader.next(7)).await {
                handle(&mut reader, batch.map_err(said)?, &seen).await?;
            }
        }
        let _ = timeout(Duration::from_millis(100), reader.next(9)).await;
        drop(reader);
        second.close().await;
    }
    publisher.await.map_err(|e| e.to_string())??;
    let start = Instant::now();
    while seen.count()? < COUNT {
        let late = start.elapsed() > PATIENCE || reading.is_finished();
        ensure!(!late, "{} of {COUNT} frames were seen", seen.count()?);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    reading.abort();
    Ok(())
}

async fn publish_slowly(
    backbone: &Arc<dyn Backbone>,
    node: &NodeId,
    numbers: Range<usize>,
) -> Verdict {
    for start in numbers.step_by(BATCH) {
        publish_all(backbone, numbered(&to(node, Lane::Message), start..start + BATCH, KEYS))
            .await?;
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    Ok(())
}

/// Readers die with what they have taken, some of it acknowledged, while more is published: what
/// comes back comes before what is new, in its order.
pub(super) async fn what_comes_back_comes_in_its_order(ground: &Ground) -> Verdict {
    const COUNT: usize = 120;
    let (backbone, node) = ready(ground).await?;
    let lane = to(&node, Lane::Message);
    publish_all(&backbone, numbered(&lane, 0..COUNT / 2, KEYS)).await?;
    for (round, count) in [20, 30].into_iter().enumerate() {
        let mut reader = backbone.subscribe(&node, Lane::Message).await.map_err(said)?;
        let got = take(&mut reader, count, false).await?;
        if round == 1 {
            // The first half of them, in the order in which they came.
            let half = got.iter().take(count / 2).map(|r| r.receipt).collect();
            reader.ack(half).await.map_err(said)?;
        }
        drop(reader);
        let more = COUNT / 2 + round * COUNT / 4;
        publish_all(&backbone, numbered(&lane, more..more + COUNT / 4, KEYS)).await?;
    }
    let mut reader = backbone.subscribe(&node, Lane::Message).await.map_err(said)?;
    let seen = Seen::default();
    let start = Instant::now();
    while seen.count()? < COUNT - 15 {
        ensure!(start.elapsed() < PATIENCE, "{} of {COUNT} frames came", seen.count()?);
        let batch = timeout(PATIENCE, reader.next(50)).await.map_err(|_| "nothing".to_owned())?;
        let batch = batch.map_err(said)?;
        seen.commit(&batch)?;
        reader.ack(batch.iter().map(|r| r.receipt).collect()).await.map_err(said)?;
    }
    Ok(())
}
