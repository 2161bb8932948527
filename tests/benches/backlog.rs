//! Deliveries that wait while a node is away, and are drained when it comes back: the rate must not
//! fall while the store grows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::deliver::{CLIENTS, Feed, Services};
use crate::report::Run;

/// Longest time in which nothing at all comes back.
const PATIENCE: Duration = Duration::from_secs(120);

/// Drains `count` waiting deliveries; the first tenth beside the last.
pub(crate) async fn run(count: usize) -> Result<Vec<Run>> {
    let services = Services::find()?;
    let net = services.up()?;
    let feed = Feed::start(&net).await?;
    net.kill("cd-34")?;
    let submitting = Instant::now();
    submit(&feed, count).await?;
    let submitted = submitting.elapsed();
    let start = Instant::now();
    net.start(&services.options())?;
    let (mut done, mut moved) = (0, Instant::now());
    while done < count {
        ensure!(moved.elapsed() < PATIENCE, "{done} of {count} came back");
        tokio::time::sleep(Duration::from_millis(100)).await;
        if feed.done() > done {
            (done, moved) = (feed.done(), Instant::now());
        }
    }
    let took = start.elapsed();
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
