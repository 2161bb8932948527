//! Deliveries over two real nodes: from the client's submission at one to the verified and stored
//! D.1 of the other, as the sender's event feed tells.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::net::{Api, Net, text_at};
use tokio::sync::{Mutex, Notify};

use crate::report::Run;
use crate::services::Services;
use crate::{floor, machine};

/// Clients that submit at once.
pub(crate) const CLIENTS: usize = 64;
/// Deliveries on their way at once: what a busy member's software would bear.
const WINDOW: usize = 2_000;
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// Rate with its floor; latency at half of it.
pub(crate) async fn run(
    services: &Services,
    name: &str,
    size: usize,
    count: usize,
) -> Result<Vec<Run>> {
    let net = services.up()?;
    let feed = Feed::start(&net).await?;
    // Warm: connections, plans of the database, caches of verdicts.
    peak(&feed, size, (count / 10).clamp(20, 500)).await?;
    let before = machine::spent();
    let rate = peak(&feed, size, count).await?;
    let spent = machine::spent().since(&before, count);
    let seconds = 10;
    let open = paced(&feed, size, rate / 2.0, (rate / 2.0) as usize * seconds + 1).await?;
    let sizes = floor::Sizes::measure(&net, size).await?;
    drop(feed);
    drop(net);
    let before = machine::spent();
    let floor = floor::rate(services, &sizes, count).await?;
    let bare = machine::spent().since(&before, count + count / 10);
    let mut run = Run::new(name, "deliveries/s", rate).over(floor);
    for (group, ms) in spent {
        run = run.with(format!("cpu_ms_{group}"), ms);
    }
    // Processor time is what a busy machine spares: the floor's, all processes together and each.
    run = run.with("cpu_ms_floor", bare.iter().map(|(_, ms)| ms).sum());
    for (group, ms) in bare.iter().filter(|(group, _)| group != "nodes") {
        run = run.with(format!("floor_{group}"), *ms);
    }
    let half = Run::new(&format!("{name} half rate"), "ms p50", percentile(&open, 50))
        .with("p99_ms", percentile(&open, 99));
    Ok(vec![run, half])
}

/// One message at a time: to A.1, to D.1 back.
pub(crate) async fn idle(services: &Services, count: usize) -> Result<Vec<Run>> {
    let net = services.up()?;
    let feed = Feed::start(&net).await?;
    let (mut accepted, mut consigned) = (Vec::new(), Vec::new());
    for n in 0..count + 20 {
        let start = Instant::now();
        let id = feed.submit(1 << 10).await?;
        let answered = start.elapsed();
        let back = feed.arrival(&id).await?.duration_since(start);
        if n >= 20 {
            accepted.push(answered);
            consigned.push(back);
        }
    }
    let line = |name: &str, all: &[Duration]| {
        Run::new(name, "ms p50", percentile(all, 50)).with("p99_ms", percentile(all, 99))
    };
    Ok(vec![line("idle-latency A.1", &accepted), line("idle-latency D.1", &consigned)])
}

/// As fast as it goes: clients that submit at once, bounded by what is on its way.
pub(crate) async fn peak(feed: &Arc<Feed>, size: usize, count: usize) -> Result<f64> {
    let left = Arc::new(AtomicUsize::new(count));
    let base = feed.done();
    let start = Instant::now();
    let clients = (0..CLIENTS).map(|_| {
        let (feed, left) = (Arc::clone(feed), Arc::clone(&left));
        tokio::spawn(async move {
            let take = |n: usize| n.checked_sub(1);
            while let Ok(n) = left.fetch_update(Ordering::AcqRel, Ordering::Acquire, take) {
                let sent = count - n;
                feed.until_done(base + sent.saturating_sub(WINDOW)).await?;
                feed.submit(size).await?;
            }
            anyhow::Ok(())
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await??;
    }
    feed.until_done(base + count).await?;
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

/// At a given rate, whatever comes back when: no client waits for another.
pub(crate) async fn paced(
    feed: &Arc<Feed>,
    size: usize,
    rate: f64,
    count: usize,
) -> Result<Vec<Duration>> {
    let all = paced_at(feed, size, rate, count).await?;
    Ok(all.into_iter().map(|(_, took)| took).collect())
}

/// The same, each with the moment at which it was due.
pub(crate) async fn paced_at(
    feed: &Arc<Feed>,
    size: usize,
    rate: f64,
    count: usize,
) -> Result<Vec<(Instant, Duration)>> {
    let start = Instant::now();
    let mut tasks = Vec::with_capacity(count);
    for n in 0..count {
        let due = start + Duration::from_secs_f64(n as f64 / rate);
        tokio::time::sleep_until(due.into()).await;
        let feed = Arc::clone(feed);
        tasks.push(tokio::spawn(async move {
            let id = feed.submit(size).await?;
            anyhow::Ok((due, feed.arrival(&id).await?.duration_since(due)))
        }));
    }
    let mut all = Vec::with_capacity(count);
    for task in tasks {
        all.push(task.await??);
    }
    Ok(all)
}

/// A sender with its event feed.
pub(crate) struct Feed {
    /// A client of its node.
    pub(crate) sender: Api,
    content: Vec<u8>,
    /// When the D.1 of a message was seen.
    arrived: Mutex<HashMap<String, Instant>>,
    done: AtomicUsize,
    changed: Notify,
}

impl Feed {
    pub(crate) async fn start(net: &Net) -> Result<Arc<Self>> {
        let mut content = b"%PDF-1.4\n".to_vec();
        content.extend((0..1 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 13) as u8));
        let feed = Arc::new(Self {
            sender: net.state().await?,
            content,
            arrived: Mutex::default(),
            done: AtomicUsize::new(0),
            changed: Notify::new(),
        });
        let follower = Arc::downgrade(&feed);
        let api = feed.sender.clone();
        tokio::spawn(async move {
            let mut after = "s0".to_owned();
            while let Some(feed) = follower.upgrade() {
                let path = format!("/v1/events?wait=1&limit=1000&after={after}");
                match api.get(&path).await {
                    Ok(page) => {
                        after = text_at(&page, "/next");
                        feed.note(&page).await;
                    }
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        });
        Ok(feed)
    }

    async fn note(&self, page: &Value) {
        let now = Instant::now();
        let items = page.pointer("/items").and_then(Value::as_array);
        let consigned = items
            .into_iter()
            .flatten()
            .filter(|event| text_at(event, "/type").ends_with("evidence.ContentConsignment"));
        let mut arrived = self.arrived.lock().await;
        for event in consigned {
            if arrived.insert(text_at(event, "/data/message_id"), now).is_none() {
                self.done.fetch_add(1, Ordering::AcqRel);
            }
        }
        drop(arrived);
        self.changed.notify_waiters();
    }

    /// When each D.1 was seen.
    pub(crate) async fn arrivals(&self) -> Vec<Instant> {
        self.arrived.lock().await.values().copied().collect()
    }

    pub(crate) fn done(&self) -> usize {
        self.done.load(Ordering::Acquire)
    }

    async fn until_done(&self, count: usize) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while self.done() < count {
            ensure!(Instant::now() < end, "{} of {count} came back", self.done());
            let _ = tokio::time::timeout(Duration::from_millis(20), self.changed.notified()).await;
        }
        Ok(())
    }

    pub(crate) async fn arrival(&self, id: &str) -> Result<Instant> {
        let end = Instant::now() + PATIENCE;
        loop {
            let changed = self.changed.notified();
            if let Some(at) = self.arrived.lock().await.get(id) {
                return Ok(*at);
            }
            ensure!(Instant::now() < end, "{id} did not come back");
            let _ = tokio::time::timeout(Duration::from_millis(100), changed).await;
        }
    }

    /// One call: message and document together, as software of a member would send them.
    pub(crate) async fn submit(&self, size: usize) -> Result<String> {
        let message = json!({
            "recipients": [{ "cog": "34172" }], "process": "AEC",
            "documents": [{ "id": "acte" }],
        });
        let content = self.content.get(..size).context("a larger document")?.to_vec();
        let file = Part::bytes(content).file_name("acte.pdf").mime_str("application/pdf")?;
        let form = Form::new()
            .part("message", Part::text(message.to_string()).mime_str("application/json")?)
            .part("acte", file);
        let key = uuid::Uuid::new_v4().to_string();
        let request = self.sender.request(Method::POST, "/v1/messages");
        let request = request.header("Idempotency-Key", key).multipart(form);
        let (status, answer) = self.sender.answer(request).await?;
        ensure!(status == StatusCode::CREATED, "{status} {answer}");
        Ok(text_at(&answer, "/message_id"))
    }
}

/// In milliseconds.
pub(crate) fn percentile(all: &[Duration], percent: usize) -> f64 {
    let mut sorted = all.to_vec();
    sorted.sort_unstable();
    let place = (sorted.len().saturating_sub(1)) * percent / 100;
    sorted.get(place).map_or(0.0, |d| 1_000.0 * d.as_secs_f64())
}
