//! Health and metrics. Readiness exercises each dependency for real: a stamp that verifies, a
//! round trip on the backbone, a row written and read.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemas::api::{DependencyHealth, Readiness};
use schemas::time::Timestamp;
use serde_json::json;
use signing::tsp::{NoToken, Token};

use crate::api::App;
use crate::node::Node;
use crate::peers;
use crate::roads::Road;
use crate::telemetry::outages::Aspect;
use crate::telemetry::{figures, outages};

/// Longest wait for one dependency.
const PATIENCE: Duration = Duration::from_secs(5);
/// What takes longer works, and is told to be slow: everything that leans on it is.
pub const SLOW: Duration = Duration::from_secs(1);
/// How long a node says that it had to refuse calls.
const RECENTLY: Duration = Duration::from_secs(10);

/// `GET /health/live`
pub async fn live() -> Json<serde_json::Value> {
    Json(json!({ "live": true }))
}

/// `GET /health/ready`
pub async fn ready(State(app): State<App>) -> Response {
    let readiness = examine(&app.node).await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

/// Tries every dependency. A backbone or a timestamp authority that is away does not make a node
/// unready: it still keeps the promise it makes.
pub async fn examine(node: &Node) -> Readiness {
    let now = node.clock.now();
    let imprint = signing::digest::sha256(now.to_string().as_bytes());
    let mut clock = None;
    let tsa = tried("tsa", async {
        let stamped = node.tsa.stamp(&imprint, now).await;
        clock = compared(&stamped);
        stamped
    });
    let (mut dependencies, tsa) = tokio::join!(examine_own(node, now), tsa);
    dependencies.push(tsa);
    dependencies.extend(clock);
    // What is said of peers lies in the database: no second wait for one that is away.
    let mut peers = Vec::new();
    if dependencies.iter().any(|d| d.name == "store" && d.ready) {
        peers = peers::unusual(node).await;
        dependencies.extend(inboxes(node, now).await);
    }
    Readiness { peers, ..noted(node, dependencies, now) }
}

/// The same without the timestamp authority.
pub async fn look(node: &Node) -> Readiness {
    let now = node.clock.now();
    let dependencies = examine_own(node, now).await;
    noted(node, dependencies, now)
}

async fn examine_own(node: &Node, now: Timestamp) -> Vec<DependencyHealth> {
    let store = timed("store", node.store.probe(now));
    let content = timed("content", node.content.probe());
    let roads = node.roads.all().map(|road| travelled(road, now));
    let roads = futures::future::join_all(roads);
    let (store, content, roads) = tokio::join!(store, content, roads);
    let mut dependencies = vec![store, content, room(node), directory(node, now)];
    dependencies.extend(roads);
    dependencies
}

/// A backbone that answers, and hands out the lanes of the node.
async fn travelled(road: &Road, now: Timestamp) -> DependencyHealth {
    let health = timed(&road.title(), road.backbone.probe()).await;
    match road.unread(now).filter(|_| health.ready) {
        Some(why) => DependencyHealth { ready: false, reason: Some(why), ..health },
        None => health,
    }
}

/// Adds since when each that does not work has not worked, or has had something to remark.
fn noted(node: &Node, mut dependencies: Vec<DependencyHealth>, now: Timestamp) -> Readiness {
    for dependency in &mut dependencies {
        let quiet = dependency.reason.is_none();
        let (name, ready) = (&dependency.name, dependency.ready);
        let works = outages::note(&node.id, name, Aspect::Works, ready, now);
        let remarked = outages::note(&node.id, name, Aspect::Quiet, quiet, now);
        let spell = if ready { remarked } else { works };
        if let Some(reason) = &mut dependency.reason
            && !reason.contains(", since ")
        {
            reason.push_str(&format!(", since {}", spell.since));
        }
    }
    let needed = |name: &str| dependencies.iter().all(|d| d.name != name || d.ready);
    let ready = ["store", "content", "directory"].into_iter().all(needed);
    Readiness { ready, dependencies, peers: Vec::new() }
}

/// Our clock beside that of a timestamp authority; none when no authority says a time.
fn compared(stamped: &Result<Token, NoToken>) -> Option<DependencyHealth> {
    let reason = match stamped {
        Ok(_) => None,
        Err(failures) => Some(failures.clock()?),
    };
    Some(DependencyHealth { name: "clock".to_owned(), ready: reason.is_none(), reason })
}

/// Tries what is looked at regularly, and keeps how long it took as a figure.
async fn timed<T, E: std::fmt::Display>(
    name: &str,
    work: impl Future<Output = Result<T, E>>,
) -> DependencyHealth {
    let begun = Instant::now();
    let health = tried(name, work).await;
    metrics::gauge!("pli_dependency_seconds", "dependency" => name.to_owned())
        .set(begun.elapsed().as_secs_f64());
    health
}

async fn tried<T, E: std::fmt::Display>(
    name: &str,
    work: impl Future<Output = Result<T, E>>,
) -> DependencyHealth {
    let begun = Instant::now();
    let tried = tokio::time::timeout(PATIENCE, work).await;
    let took = begun.elapsed();
    let ready = matches!(tried, Ok(Ok(_)));
    let reason = match tried {
        Ok(Ok(_)) => (took > SLOW).then(|| format!("slow: {:.1} s", took.as_secs_f64())),
        Ok(Err(e)) => Some(e.to_string()),
        Err(_) => Some("no answer in time".to_owned()),
    };
    DependencyHealth { name: name.to_owned(), ready, reason }
}

/// Whether submissions are taken. A node that refuses them still serves what it holds: ready.
fn room(node: &Node) -> DependencyHealth {
    let closed = node.admission.closed();
    let closed = closed.map(|c| format!("{}: {}, since {}", c.code.as_str(), c.why, c.since));
    let (waiting, most) = node.engine.depth();
    let full = node.engine.was_full_within(RECENTLY).then(|| {
        format!("overloaded: {waiting} of {most} items wait to be kept, and calls were refused")
    });
    let reason = node.recollection.reason().or(closed).or(full);
    DependencyHealth { name: "room".to_owned(), ready: reason.is_none(), reason }
}

/// The early word about members for whom much waits; none when there are none. No fault of the
/// node's: it is told beside what works.
async fn inboxes(node: &Node, now: Timestamp) -> Option<DependencyHealth> {
    let (near, full) = node.spaces.strained(node.store.as_ref(), now).await.ok()?;
    let reason = format!("{full} full, {near} near their limit: see [limits.space]");
    let found = near + full > 0;
    let told =
        || DependencyHealth { name: "inboxes".to_owned(), ready: true, reason: Some(reason) };
    found.then(told)
}

fn directory(node: &Node, now: Timestamp) -> DependencyHealth {
    use exchange_core::route::Freshness;
    let snapshot = node.directory.current();
    let reason = match snapshot.directory.freshness(now) {
        Freshness::Expired => Some("the root list has expired, grace included".to_owned()),
        _ if snapshot.directory.node(&node.id).is_none() => {
            Some(format!("{} is not in the root list", node.id))
        }
        _ => None,
    };
    DependencyHealth { name: "directory".to_owned(), ready: reason.is_none(), reason }
}

/// `GET /metrics`, in the text format of Prometheus.
pub async fn metrics(State(app): State<App>) -> Response {
    figures::measure(&app.node).await;
    let text = app.metrics.as_ref().map(|m| m.render()).unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}
