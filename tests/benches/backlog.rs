//! Deliveries that wait while a node is away, and are drained when it comes back: the rate must not
//! fall while the store grows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tests::net::Net;

use crate::deliver::{CLIENTS, Feed, peak};
use crate::report::Run;
use crate::services::Services;

/// Deliveries that are drained with few and with many stored.
const FEW: usize = 10_000;
/// How often: one drain says little on a machine with neighbours.
const DRAINS: usize = 3;
/// Longest time in which nothing at all comes back.
const PATIENCE: Duration = Duration::from_secs(120);

/// Drains `count` waiting deliveries; the first tenth beside the last.
pub(crate) async fn run(services: &Services, count: usize) -> Result<Vec<Run>> {
    let net = services.up()?;
    unbounded(services, &net)?;
    let feed = Feed::start(&net).await?;
    let Drain { submitted, took, .. } = drain(services, &net, &feed, count).await?;
    let mut times = feed.arrivals().await;
    times.sort_unstable();
    let tenth = (count / 10).max(2);
    let rate = |times: &[Instant]| match (times.first(), times.last()) {
        (Some(first), Some(last)) => {
            (times.len() - 1) as f64 / last.duration_since(*first).as_secs_f64().max(0.001)
        }
        _ => 0.0,
    };
    let first = rate(times.get(..tenth).unwrap_or_default());
    let last = rate(times.get(times.len().saturating_sub(tenth)..).unwrap_or_default());
    let all = Run::new("backlog", "deliveries/s", count as f64 / took.as_secs_f64())
        .with("deliveries", count as f64)
        .with("submitted_s", count as f64 / submitted.as_secs_f64());
    let end = Run::new("backlog, last tenth", "deliveries/s", last).over(first);
    Ok(vec![all, end])
}

/// Drains [`FEW`], three times, with [`FEW`] stored already; then fills the stores to `count`,
/// saying how fast each tenth of it went, and drains as many again. The middle ones are compared.
pub(crate) async fn stored(services: &Services, count: usize) -> Result<Vec<Run>> {
    let net = services.up()?;
    unbounded(services, &net)?;
    let feed = Feed::start(&net).await?;
    let mut runs = vec![fill(&feed, FEW).await?];
    let first = drains(services, &net, &feed, &mut runs).await?;
    let step = count.saturating_sub((1 + 2 * DRAINS) * FEW).div_ceil(10);
    for _ in 0..10 {
        runs.push(fill(&feed, step).await?);
    }
    let last = drains(services, &net, &feed, &mut runs).await?;
    let middle = Run::new("stored, drained, median", "deliveries/s", median(&last));
    runs.push(middle.over(median(&first)).with("stored", feed.done() as f64));
    Ok(runs)
}

/// Rates of [`DRAINS`] drains of [`FEW`].
async fn drains(
    services: &Services,
    net: &Net,
    feed: &Arc<Feed>,
    runs: &mut Vec<Run>,
) -> Result<[f64; DRAINS]> {
    let mut rates = [0.0; DRAINS];
    for rate in &mut rates {
        let stored = feed.done();
        let drain = drain(services, net, feed, FEW).await?;
        let run = drain.run("stored, drained", stored);
        eprintln!("bench: {}", run.line());
        runs.push(run);
        *rate = drain.rate();
    }
    Ok(rates)
}

fn median(rates: &[f64; DRAINS]) -> f64 {
    let mut sorted = *rates;
    sorted.sort_by(f64::total_cmp);
    sorted.get(DRAINS / 2).copied().unwrap_or_default()
}

/// Nobody collects: what may wait for a member has no bound at the recipient's node.
fn unbounded(services: &Services, net: &Net) -> Result<()> {
    let config = net.dir().join("cd-34/node.toml");
    let text = std::fs::read_to_string(&config)?;
    let bound = "[limits.space]\nitems = ";
    let (before, after) = text.split_once(bound).context("no [limits.space]")?;
    let (_, rest) = after.split_once('\n').context("a torn configuration")?;
    std::fs::write(&config, format!("{before}{bound}0\n{rest}"))?;
    net.kill("cd-34")?;
    net.start(&services.options())
}

/// Deliveries at the full rate.
async fn fill(feed: &Arc<Feed>, count: usize) -> Result<Run> {
    let rate = peak(feed, 1 << 10, count).await?;
    let run = Run::new("stored, filling", "deliveries/s", rate).with("stored", feed.done() as f64);
    eprintln!("bench: {}", run.line());
    Ok(run)
}

/// What waited while the recipient's node was away.
struct Drain {
    count: usize,
    submitted: Duration,
    took: Duration,
    /// From the start of the recipient's node to the first that came back, and how many had then.
    first: (Duration, usize),
}

impl Drain {
    /// A second, from the first that came back to the last: without the start of the node.
    fn rate(&self) -> f64 {
        let (first, done) = self.first;
        (self.count - done) as f64 / (self.took - first).as_secs_f64()
    }

    fn run(&self, name: &str, stored: usize) -> Run {
        let run = Run::new(name, "deliveries/s", self.rate()).with("stored", stored as f64);
        let run = run.with("first_back_s", self.first.0.as_secs_f64());
        run.with("all_back_s", self.took.as_secs_f64())
    }
}

async fn drain(services: &Services, net: &Net, feed: &Arc<Feed>, count: usize) -> Result<Drain> {
    net.kill("cd-34")?;
    let before = feed.done();
    let submitting = Instant::now();
    submit(feed, count).await?;
    let submitted = submitting.elapsed();
    let start = Instant::now();
    net.start(&services.options())?;
    let (mut done, mut moved) = (0, Instant::now());
    let mut first = None;
    while done < count {
        ensure!(moved.elapsed() < PATIENCE, "{done} of {count} came back");
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = feed.done() - before;
        if now > done {
            (done, moved) = (now, Instant::now());
            first.get_or_insert_with(|| (start.elapsed(), now));
        }
    }
    Ok(Drain { count, submitted, took: start.elapsed(), first: first.unwrap_or_default() })
}

async fn submit(feed: &Arc<Feed>, count: usize) -> Result<()> {
    let left = Arc::new(AtomicUsize::new(count));
    let clients = (0..CLIENTS).map(|_| {
        let (feed, left) = (Arc::clone(feed), Arc::clone(&left));
        tokio::spawn(async move {
            let take = |n: usize| n.checked_sub(1);
            while left.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).is_ok() {
                feed.submit(1 << 10).await?;
            }
            anyhow::Ok(())
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await??;
    }
    Ok(())
}
