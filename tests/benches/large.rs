//! A document of a gigabyte through both nodes, alone and with small messages beside it.
//!
//! ```text
//! client -> PATCH -> etat -> content lane -> cd-34 -> D.1 back -> client downloads
//! ```
//! Floors: a copy of a file of the same size with a flush; and the broker alone, a publisher with
//! confirmations beside a consumer that acknowledges, with frames of the size of our parts. Nothing
//! of ours is in either, but for Kafka: there the pair uses `broker-adapter`.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use broker_adapter::{Destination, Frame, Lane, Options, Outcome};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use reqwest::{Method, StatusCode};
use schemas::ids::NodeId;
use serde_json::json;
use tests::net::{Api, Net, text_at};
use tokio::sync::Notify;

use crate::deliver::{Feed, paced, paced_at, percentile};
use crate::machine;
use crate::report::Run;
use crate::services::Services;

const MIB: u64 = 1 << 20;
/// Octets of one part on the content lane.
const PART: usize = 512 * 1024;
/// Parts on their way to the broker at once.
const WINDOW: usize = 8;
/// Small messages a second.
const RATE: f64 = 20.0;
/// Longest wait for the large document.
const PATIENCE: Duration = Duration::from_secs(900);

/// All figures of a document of `size` octets: once alone, once with small messages beside it.
pub(crate) async fn run(services: &Services, size: u64) -> Result<Vec<Run>> {
    let net = services.up()?;
    let feed = Feed::start(&net).await?;
    // Warm, then alone.
    paced(&feed, 1 << 10, RATE, 40).await?;
    let alone = paced(&feed, 1 << 10, RATE, 200).await?;
    let first = way(&feed, size).await?;
    let begin = Instant::now();
    download(&net.town().await?, &first, size).await?;
    let downloaded = begin.elapsed();
    let stop = Arc::new(Notify::new());
    let small = tokio::spawn(beside(Arc::clone(&feed), Arc::clone(&stop)));
    let second = way(&feed, size).await?;
    stop.notify_one();
    let small = small.await??;
    let peaks = [peak(&net, 0)?, peak(&net, 1)?];
    drop(feed);
    drop(net);
    let copy = speed(size, copy(size)?);
    let broker = match services.backbone.starts_with("amqp") {
        true => broker(&services.backbone, size).await?,
        false => adapter(&services.backbone, size).await?,
    };
    let broker = speed(size, broker);
    let line = |what: &str, took| Run::new(&format!("large-1g {what}"), "MiB/s", speed(size, took));
    let whole = line("upload to D.1", first.whole())
        .over(copy)
        .with("mib", size as f64 / MIB as f64)
        .with("etat_peak_mib", peaks[0])
        .with("cd34_peak_mib", peaks[1])
        .with("broker_mib_s", broker);
    let node_to_node = line("node to node", first.transfer())
        .over(broker)
        .with("beside_messages", speed(size, second.transfer()));
    Ok(vec![
        whole,
        line("upload", first.upload()).over(copy),
        node_to_node,
        line("download", downloaded).over(copy),
        second.beside(&small, &alone),
    ])
}

fn speed(size: u64, took: Duration) -> f64 {
    size as f64 / MIB as f64 / took.as_secs_f64()
}

/// One large document on its way, and when it was where.
struct Way {
    document: String,
    message: String,
    start: Instant,
    uploaded: Instant,
    arrived: Instant,
}

/// Uploads, sends, and waits for the D.1.
async fn way(feed: &Feed, size: u64) -> Result<Way> {
    let start = Instant::now();
    let document = upload(&feed.sender, size).await?;
    let uploaded = Instant::now();
    let message = send(&feed.sender, &document).await?;
    let end = Instant::now() + PATIENCE;
    let arrived = loop {
        match feed.arrival(&message).await {
            Ok(at) => break at,
            Err(error) => ensure!(Instant::now() < end, "{error}"),
        }
    };
    Ok(Way { document, message, start, uploaded, arrived })
}

impl Way {
    fn whole(&self) -> Duration {
        self.arrived - self.start
    }

    fn upload(&self) -> Duration {
        self.uploaded - self.start
    }

    fn transfer(&self) -> Duration {
        self.arrived - self.uploaded
    }

    /// Small messages that were due while it was on its way, beside those with nothing beside them.
    fn beside(&self, small: &[(Instant, Duration)], alone: &[Duration]) -> Run {
        let within = |from: Instant, to: Instant| -> Vec<Duration> {
            let due = small.iter().filter(|(due, _)| (from..to).contains(due));
            due.map(|(_, took)| *took).collect()
        };
        let all = within(self.start, self.arrived);
        Run::new("large-1g small beside it", "ms p99", percentile(&all, 99))
            .over(percentile(alone, 99))
            .with("p50_ms", percentile(&all, 50))
            .with("alone_p50_ms", percentile(alone, 50))
            .with("upload_p99_ms", percentile(&within(self.start, self.uploaded), 99))
            .with("transfer_p99_ms", percentile(&within(self.uploaded, self.arrived), 99))
            .with("messages", all.len() as f64)
    }
}

/// Small messages at a steady rate, until told to stop.
async fn beside(feed: Arc<Feed>, stop: Arc<Notify>) -> Result<Vec<(Instant, Duration)>> {
    let mut all = Vec::new();
    let stopped = stop.notified();
    tokio::pin!(stopped);
    loop {
        all.extend(paced_at(&feed, 1 << 10, RATE, 40).await?);
        let now = futures::poll!(&mut stopped);
        if now.is_ready() {
            return Ok(all);
        }
    }
}

/// Octets that nothing compresses, a PDF by the first of them.
fn pieces(size: u64) -> impl Iterator<Item = Bytes> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..size.div_ceil(MIB)).map(move |n| {
        let length = MIB.min(size - n * MIB) as usize;
        let mut piece = Vec::with_capacity(length + 16);
        if n == 0 {
            piece.extend_from_slice(b"%PDF-1.4");
        }
        while piece.len() < length {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            piece.extend_from_slice(&state.to_le_bytes());
        }
        piece.truncate(length);
        Bytes::from(piece)
    })
}

async fn upload(api: &Api, size: u64) -> Result<String> {
    let begun = api
        .request(Method::POST, "/v1/documents?resumable")
        .header("Content-Type", "application/pdf")
        .header("Content-Disposition", "attachment; filename=\"plan.pdf\"")
        .header("Content-Length", 0)
        .header("Upload-Complete", "?0")
        .header("Upload-Length", size);
    let begun = begun.send().await?.error_for_status()?;
    let place = begun.headers().get("location").and_then(|v| v.to_str().ok());
    let request = api
        .request(Method::PATCH, place.context("no Location")?)
        .header("Content-Type", "application/partial-upload")
        .header("Upload-Offset", 0)
        .header("Upload-Complete", "?1")
        .header("Content-Length", size)
        .body(reqwest::Body::wrap_stream(stream::iter(pieces(size).map(anyhow::Ok))));
    let (status, document) = api.answer(request).await?;
    ensure!(status == StatusCode::OK, "{status} {document}");
    Ok(text_at(&document, "/id"))
}

async fn send(api: &Api, document: &str) -> Result<String> {
    let body = json!({
        "recipients": [{ "cog": "34172" }], "process": "URBA", "documents": [{ "id": document }],
    });
    let (status, message) = api.send(&body).await?;
    ensure!(status == StatusCode::CREATED, "{status} {message}");
    Ok(text_at(&message, "/message_id"))
}

async fn download(api: &Api, way: &Way, size: u64) -> Result<()> {
    let item = api.wait_for(&way.message).await?;
    let path = format!("/v1/inbox/{}/documents/{}", text_at(&item, "/delivery_id"), way.document);
    let mut answer = api.request(Method::GET, &path).send().await?.error_for_status()?;
    let mut got = 0;
    while let Some(chunk) = answer.chunk().await? {
        got += chunk.len() as u64;
    }
    ensure!(got == size, "{got} octets of {size}");
    Ok(())
}

fn peak(net: &Net, node: usize) -> Result<f64> {
    let description = net.description()?;
    let pid = description.pointer(&format!("/nodes/{node}/pid")).and_then(|p| p.as_u64());
    Ok(machine::peak_memory(pid.context("no process")? as u32))
}

/// `cp` and a flush.
fn copy(size: u64) -> Result<Duration> {
    let folder = tempfile::tempdir_in("/var/tmp")?;
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let mut file = File::create(&from)?;
    for piece in pieces(size) {
        file.write_all(&piece)?;
    }
    file.sync_all()?;
    drop(file);
    let start = Instant::now();
    let (mut source, mut target) = (File::open(&from)?, File::create(&to)?);
    let mut buffer = vec![0; MIB as usize];
    loop {
        let count = source.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        target.write_all(buffer.get(..count).unwrap_or_default())?;
    }
    target.sync_all()?;
    Ok(start.elapsed())
}

/// Our adapter alone, between two names that are nobody's.
async fn adapter(url: &str, size: u64) -> Result<Duration> {
    let count = size.div_ceil(PART as u64) as usize;
    let mark = uuid::Uuid::new_v4().simple().to_string();
    let node: NodeId = format!("floor-{}", mark.get(..8).unwrap_or_default()).parse()?;
    let (outward, inward) = (
        broker_adapter::open(url, Options::default()).await?,
        broker_adapter::open(url, Options::default()).await?,
    );
    inward.provision(&node).await?;
    let mut lane = inward.subscribe(&node, Lane::Content).await?;
    let to = Destination { node, lane: Lane::Content };
    let body = Bytes::from(vec![7_u8; PART]);
    let start = Instant::now();
    let publishing = async {
        for first in (0..count).step_by(WINDOW) {
            let frame = |n: usize| Frame {
                id: n.to_string(),
                attributes: Vec::new(),
                key: mark.clone(),
                body: body.clone(),
            };
            let window = (first..count.min(first + WINDOW)).map(|n| (to.clone(), frame(n)));
            for outcome in outward.publish(window.collect()).await {
                ensure!(outcome == Outcome::Confirmed, "{outcome:?}");
            }
        }
        anyhow::Ok(())
    };
    let consuming = async {
        let mut left = count;
        while left > 0 {
            let got = lane.next(WINDOW).await?;
            left = left.saturating_sub(got.len());
            lane.ack(got.into_iter().map(|one| one.receipt).collect()).await?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(publishing, consuming)?;
    Ok(start.elapsed())
}

/// The broker alone: a durable replicated queue, confirmed and acknowledged.
async fn broker(url: &str, size: u64) -> Result<Duration> {
    let count = size.div_ceil(PART as u64) as usize;
    let queue = format!("pli.floor.{}", uuid::Uuid::new_v4());
    let connect = async || Connection::connect(url, ConnectionProperties::default()).await;
    let (outward, inward) = (connect().await?, connect().await?);
    let channel = outward.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.as_str().into(), durable, arguments).await?;
    let reading = inward.create_channel().await?;
    reading.basic_qos(16, BasicQosOptions::default()).await?;
    let mut consumer = reading
        .basic_consume(
            queue.as_str().into(),
            "floor".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    let start = Instant::now();
    let body = vec![7_u8; PART];
    let properties = BasicProperties::default().with_delivery_mode(2);
    let publishing = async {
        for first in (0..count).step_by(WINDOW) {
            let mut confirms = Vec::new();
            for _ in first..count.min(first + WINDOW) {
                let options = BasicPublishOptions::default();
                let name = queue.as_str().into();
                let sent =
                    channel.basic_publish("".into(), name, options, &body, properties.clone());
                confirms.push(sent.await?);
            }
            for confirm in confirms {
                confirm.await?;
            }
        }
        anyhow::Ok(())
    };
    let consuming = async {
        for _ in 0..count {
            let delivery = consumer.next().await.context("the consumer ended")??;
            delivery.ack(BasicAckOptions::default()).await?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(publishing, consuming)?;
    let took = start.elapsed();
    channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await?;
    Ok(took)
}
