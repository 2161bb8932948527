//! The REST interface `/v1`.
//!
//! - [`auth`]: tokens in, [`crate::access::Caller`] out; [`error`], [`extract`]: every refusal is a
//!   problem, and every body that is read whole is bounded;
//! - [`documents`], [`resumable`], [`messages`], [`submission`] with [`multipart`], [`evidence`]:
//!   what a sender uses;
//! - [`inbox`], [`events`]: what a recipient uses;
//! - [`mod@reference`]: directory and catalogue; [`health`]: for operators and balancers;
//! - [`mod@trace`]: what each call leaves in figures and traces;
//! - [`view`]: from rows to the shapes of `schemas::api`.

pub mod auth;
pub mod documents;
pub mod error;
pub mod events;
pub mod evidence;
pub mod extract;
pub mod health;
pub mod inbox;
pub mod messages;
pub mod multipart;
pub mod reference;
pub mod resumable;
pub mod submission;
mod trace;
pub mod view;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, head, post};
use schemas::problem::Code;

use crate::api::auth::TokenCache;
use crate::api::error::ApiError;
use crate::node::Node;

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
        .fallback(async || {
            ApiError::of(
                Code::NotFound,
                "There is no such route: see /openapi.json.",
                "Cette adresse n'existe pas : voir /openapi.json.",
            )
        })
        .method_not_allowed_fallback(async || {
            ApiError::of(
                Code::MethodNotAllowed,
                "This route has other methods: see /openapi.json.",
                "Cette adresse a d'autres méthodes : voir /openapi.json.",
            )
        })
        // Documents are streamed; what is read whole is bounded by `extract` and `multipart`.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(app.clone(), crate::admission::guard))
        .layer(middleware::from_fn(extract::bounded_head))
        .layer(middleware::from_fn_with_state(app.clone(), trace::trace))
        .with_state(app)
}

fn v1() -> Router<App> {
    Router::new()
        .route("/v1/documents", post(documents::upload))
        .route(
            "/v1/documents/{id}",
            head(resumable::head).patch(resumable::patch).delete(resumable::cancel),
        )
        .route("/v1/messages", post(submission::submit).get(messages::list))
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
