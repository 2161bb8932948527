//! Measures a backbone: frames per second in batches, and the way of one frame alone.
//!
//! ```text
//! cargo run --release -p broker-adapter --features amqp,kafka --example publish_rates -- URL [FRAMES]
//! ```
//! Frames have 2 KiB and 50 keys, batches 200 frames. Publisher, consumer and broker share this
//! machine: read the figures beside each other, not as capacities.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_adapter::{Backbone, Destination, Frame, Lane, Options, Outcome, Subscription, open};
use schemas::ids::NodeId;

const BATCH: usize = 200;
const BODY: usize = 2 * 1024;
const SINGLES: usize = 300;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("usage: rates URL [FRAMES]")?;
    let count = arguments.next().map_or(Ok(20_000), |n| n.parse())?;
    let backbone = open(&url, Options::default()).await?;
    let node: NodeId = format!("r-{}", uuid::Uuid::new_v4().simple()).parse()?;
    backbone.provision(&node).await?;
    let to = Destination { node: node.clone(), lane: Lane::Message };
    let mut reader = backbone.subscribe(&node, Lane::Message).await?;
    publish(&backbone, &to, 0, 1).await?;
    consume(&mut reader, 1).await?; // joined

    let rate = |n: usize, since: Instant| n as f64 / since.elapsed().as_secs_f64();
    println!("{} with frames of {BODY} bytes, batches of {BATCH}", backbone.name());
    let start = Instant::now();
    publish(&backbone, &to, 0, count).await?;
    println!("publish, one task        {:>9.0} frames/s", rate(count, start));
    let start = Instant::now();
    consume(&mut reader, count).await?;
    println!("consume and acknowledge  {:>9.0} frames/s", rate(count, start));
    let start = Instant::now();
    let publishers: Vec<_> = (0..4).map(|task| spawn(&backbone, &to, task, count / 4)).collect();
    consume(&mut reader, count / 4 * 4).await?;
    println!("both at once, four tasks {:>9.0} frames/s", rate(count, start));
    for publisher in publishers {
        publisher.await??;
    }
    singles(&backbone, &to, &mut reader).await?;
    println!("probe                    {:>9.2?}", backbone.probe().await?);
    backbone.close().await;
    Ok(())
}

fn spawn(
    backbone: &Arc<dyn Backbone>,
    to: &Destination,
    task: usize,
    count: usize,
) -> tokio::task::JoinHandle<Result<(), Failure>> {
    let (backbone, to) = (Arc::clone(backbone), to.clone());
    tokio::spawn(async move { publish(&backbone, &to, task * count, count).await })
}

async fn publish(
    backbone: &Arc<dyn Backbone>,
    to: &Destination,
    first: usize,
    count: usize,
) -> Result<(), Failure> {
    let numbers: Vec<usize> = (first..first + count).collect();
    for batch in numbers.chunks(BATCH) {
        let frames = batch.iter().map(|n| (to.clone(), frame(*n))).collect();
        for outcome in backbone.publish(frames).await {
            if outcome != Outcome::Confirmed {
                return Err(format!("{outcome:?}").into());
            }
        }
    }
    Ok(())
}

async fn consume(reader: &mut Box<dyn Subscription>, count: usize) -> Result<(), Failure> {
    let mut seen = 0;
    while seen < count {
        let batch = reader.next(BATCH).await?;
        seen += batch.len();
        reader.ack(batch.iter().map(|received| received.receipt).collect()).await?;
    }
    Ok(())
}

/// One frame at a time, the reader waiting: until it is confirmed, and until it is read.
async fn singles(
    backbone: &Arc<dyn Backbone>,
    to: &Destination,
    reader: &mut Box<dyn Subscription>,
) -> Result<(), Failure> {
    let (mut confirmed, mut read) = (Vec::new(), Vec::new());
    for n in 0..SINGLES {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let start = Instant::now();
        let publishing = async { publish(backbone, to, n, 1).await.map(|()| start.elapsed()) };
        let reading = async { reader.next(BATCH).await.map(|batch| (batch, start.elapsed())) };
        let (publishing, reading) = tokio::join!(publishing, reading);
        let (batch, took) = reading?;
        reader.ack(batch.iter().map(|received| received.receipt).collect()).await?;
        confirmed.push(publishing?);
        read.push(took);
    }
    for (what, mut times) in [("confirmed", confirmed), ("read", read)] {
        times.sort_unstable();
        let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
        println!("one frame until {what:<9} p50 {:.2?}, p99 {:.2?}", at(50), at(99));
    }
    Ok(())
}

fn frame(number: usize) -> Frame {
    Frame {
        id: uuid::Uuid::new_v4().to_string(),
        attributes: [
            ("source", "/nodes/etat"),
            ("type", "fr.pli.evidence.v1"),
            ("time", "2026-11-23T08:15:30.123Z"),
            ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec(),
        key: format!("conversation-{}", number % 50),
        body: vec![7; BODY].into(),
    }
}
