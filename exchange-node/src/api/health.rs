//! Health and metrics. Readiness exercises each dependency for real: a stamp that verifies, a
//! round trip on the backbone, a row written and read.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemas::api::{DependencyHealth, Readiness};
use schemas::time::Timestamp;
use serde_json::json;

use crate::api::App;
use crate::node::Node;

/// Longest wait for one dependency.
const PATIENCE: Duration = Duration::from_secs(5);

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
    let store = tried("store", node.store.probe(now));
    let content = tried("content", node.content.probe());
    let backbone = tried("backbone", node.backbone.probe());
    let imprint = signing::digest::sha256(now.to_string().as_bytes());
    let tsa = tried("tsa", async { node.tsa.stamp(&imprint, now).await });
    let directory = async { directory(node, now) };
    let (store, content, backbone, tsa, directory) =
        tokio::join!(store, content, backbone, tsa, directory);
    let ready = store.ready && content.ready && directory.ready;
    Readiness { ready, dependencies: vec![store, content, backbone, tsa, directory] }
}

async fn tried<T, E: std::fmt::Display>(
    name: &str,
    work: impl Future<Output = Result<T, E>>,
) -> DependencyHealth {
    let reason = match tokio::time::timeout(PATIENCE, work).await {
        Ok(Ok(_)) => None,
        Ok(Err(e)) => Some(e.to_string()),
        Err(_) => Some("no answer in time".to_owned()),
    };
    DependencyHealth { name: name.to_owned(), ready: reason.is_none(), reason }
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
    gauges(&app.node).await;
    let text = app.metrics.as_ref().map(|m| m.render()).unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// The four ages that matter, and what is waiting.
async fn gauges(node: &Node) {
    let now = node.clock.now();
    let Ok(counts) = node.store.counts(now).await else {
        metrics::gauge!("pli_store_up").set(0.0);
        return;
    };
    metrics::gauge!("pli_store_up").set(1.0);
    let age = |at: Option<Timestamp>| at.map_or(0.0, |at| now.since(at).max(0) as f64 / 1_000.0);
    metrics::gauge!("pli_oldest_unsent_seconds").set(age(counts.oldest_unsent));
    metrics::gauge!("pli_oldest_unacknowledged_seconds").set(age(counts.oldest_unacknowledged));
    metrics::gauge!("pli_oldest_unanchored_seconds").set(age(counts.oldest_unanchored));
    metrics::gauge!("pli_oldest_uncollected_seconds").set(age(counts.oldest_uncollected));
    metrics::gauge!("pli_dead_letters").set(counts.dead as f64);
    metrics::gauge!("pli_frames_set_aside").set(counts.set_aside as f64);
    metrics::gauge!("pli_evidence_total").set(counts.evidence.0 as f64);
    for (role, state, count) in counts.deliveries {
        metrics::gauge!("pli_deliveries", "role" => role, "state" => state).set(count as f64);
    }
}
