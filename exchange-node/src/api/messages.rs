//! Sent messages.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use exchange_core::state::Phase;
use exchange_store::rows::MessageQuery;
use schemas::api::{MessageView, Page};
use schemas::ids::MessageId;
use serde::Deserialize;

use crate::access::{Caller, Scope};
use crate::api::error::{ApiError, ApiResult, not_a_cursor};
use crate::api::extract::{Path, Query};
use crate::api::{App, view};

/// Filters of the list.
#[derive(Debug, Deserialize)]
pub struct Filter {
    after: Option<String>,
    limit: Option<u32>,
    process: Option<String>,
    state: Option<String>,
}

/// Reads an opaque cursor.
///
/// # Errors
/// `invalid-request` for anything that this node did not give out.
pub fn cursor(after: Option<&str>) -> ApiResult<i64> {
    let Some(after) = after else {
        return Ok(0);
    };
    let number = after.strip_prefix('s').and_then(|n| n.parse::<i64>().ok());
    number.filter(|n| *n >= 0).ok_or_else(not_a_cursor)
}

/// Writes an opaque cursor.
#[must_use]
pub fn next(seq: i64) -> String {
    format!("s{seq}")
}

/// `GET /v1/messages`
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(filter): Query<Filter>,
) -> ApiResult<Json<Page<MessageView>>> {
    caller.need(Scope::Read)?;
    let own = caller.own(&app.node);
    let limit = filter.limit.unwrap_or(50).clamp(1, 200);
    let query = MessageQuery {
        after: cursor(filter.after.as_deref())?,
        process: filter.process,
        state: filter.state,
        limit,
        ..MessageQuery::default()
    };
    let rows = own.sent(query).await?;
    let full = rows.len() >= limit as usize;
    let last = rows.last().map(|r| r.seq);
    let snapshot = app.node.directory.current();
    let mut items = Vec::with_capacity(rows.len());
    for row in rows {
        if let Some(message) = own.message(row.envelope.message_id).await? {
            items.push(view::message(&message, &snapshot));
        }
    }
    Ok(Json(Page { items, next: last.filter(|_| full).map(next) }))
}

/// `GET /v1/messages/{id}`
pub async fn one(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    caller.need(Scope::Read)?;
    let id: MessageId = id.parse().map_err(|_| ApiError::not_found())?;
    let own = caller.own(&app.node);
    let message = own.message(id).await?.ok_or_else(ApiError::not_found)?;
    let mut view = view::message(&message, &app.node.directory.current());
    if message.deliveries.iter().any(|d| d.phase == Phase::Accepted) {
        for (shown, hindrance) in view.deliveries.iter_mut().zip(own.hindrances(&message).await?) {
            shown.hindrance = hindrance;
        }
    }
    Ok(tagged(&headers, view))
}

/// With an `ETag` of what is shown; without a body for a caller who holds it already.
fn tagged(headers: &HeaderMap, view: MessageView) -> Response {
    let bytes = serde_json::to_vec(&view).unwrap_or_default();
    let tag = format!("\"{}\"", signing::digest::sha256(&bytes));
    let held = headers.get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok());
    if held.is_some_and(|held| held.split(',').any(|held| held.trim() == tag)) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
    }
    ([(header::ETAG, tag)], Json(view)).into_response()
}
