//! The REST interface `/v1`.
//!
//! - [`auth`]: tokens in, [`crate::access::Caller`] out; [`error`]: every refusal is a problem;
//! - [`documents`], [`messages`], [`submission`], [`evidence`]: what a sender uses;
//! - [`inbox`], [`events`]: what a recipient uses;
//! - [`mod@reference`]: directory and catalogue; [`health`]: for operators and balancers;
//! - [`view`]: from rows to the shapes of `schemas::api`.

pub mod auth;
pub mod documents;
pub mod error;
pub mod events;
pub mod evidence;
pub mod health;
pub mod inbox;
pub mod messages;
pub mod reference;
pub mod submission;
pub mod view;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::HeaderValue;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use schemas::problem::Code;

use crate::api::auth::TokenCache;
use crate::api::error::ApiError;
use crate::node::Node;

/// Largest JSON body.
const MAX_JSON: usize = 1024 * 1024;

/// What every route can reach.
#[derive(Clone, Debug)]
pub struct App {
    /// The node.
    pub node: Arc<Node>,
    /// Tokens that were looked up lately.
    pub tokens: Arc<TokenCache>,
    /// Renders the metrics of this process.
    pub metrics: Option<metrics_exporter_prometheus::PrometheusHandle>,
}

/// All routes of a node.
pub fn router(
    node: Arc<Node>,
    metrics: Option<metrics_exporter_prometheus::PrometheusHandle>,
) -> Router {
    let app = App { node, tokens: Arc::default(), metrics };
    Router::new()
        .merge(v1())
        .route("/oauth2/token", post(auth::token))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(reference::openapi))
        .route("/docs", get(reference::docs))
        .fallback(async || ApiError::of(Code::NotFound, "no such route", "adresse inconnue"))
        .method_not_allowed_fallback(async || {
            ApiError::of(Code::MethodNotAllowed, "see /openapi.json", "voir /openapi.json")
        })
        .layer(DefaultBodyLimit::max(MAX_JSON))
        .layer(middleware::from_fn(trace))
        .with_state(app)
}

fn v1() -> Router<App> {
    Router::new()
        .route("/v1/documents", post(documents::upload).layer(DefaultBodyLimit::disable()))
        .route(
            "/v1/messages",
            post(submission::submit).layer(DefaultBodyLimit::disable()).get(messages::list),
        )
        .route("/v1/messages/{id}", get(messages::one))
        .route("/v1/messages/{id}/evidence", get(evidence::of_message))
        .route("/v1/messages/{id}/proof", get(evidence::proof))
        .route("/v1/evidence/{id}", get(evidence::one))
        .route("/v1/inbox", get(inbox::list))
        .route("/v1/inbox/{id}", get(inbox::one))
        .route("/v1/inbox/{id}/documents/{document}", get(inbox::document))
        .route("/v1/inbox/{id}/acknowledge", post(inbox::acknowledge))
        .route("/v1/inbox/{id}/accept", post(inbox::accept))
        .route("/v1/inbox/{id}/refuse", post(inbox::refuse))
        .route("/v1/inbox/{id}/status", post(inbox::status))
        .route("/v1/events", get(events::list))
        .route("/v1/directory/parties", get(reference::parties))
        .route("/v1/directory/parties/{scheme}/{id}", get(reference::party))
        .route("/v1/processes", get(reference::processes))
        .route("/v1/processes/{code}", get(reference::process))
}

/// Gives back the trace context of the caller (W3C), and counts.
async fn trace(request: Request, next: Next) -> Response {
    let parent: Option<HeaderValue> = request.headers().get("traceparent").cloned();
    let method = request.method().clone();
    let started = std::time::Instant::now();
    let mut response = next.run(request).await.into_response();
    if let Some(parent) = parent {
        response.headers_mut().insert("traceparent", parent);
    }
    let status = response.status().as_u16().to_string();
    metrics::counter!("pli_http_requests_total", "method" => method.to_string(), "status" => status)
        .increment(1);
    metrics::histogram!("pli_http_request_seconds").record(started.elapsed().as_secs_f64());
    response
}
