//! The event feed: everything that happened to a member's messages, in order.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use schemas::api::Page;
use serde::Deserialize;
use tokio::time::Instant;

use crate::access::{Caller, Scope};
use crate::api::App;
use crate::api::error::ApiResult;
use crate::api::extract::Query;
use crate::api::messages::{cursor, next};
use crate::wakes::Wakes;

/// Longest wait of a long poll.
pub const MAX_WAIT: u64 = 60;

/// What to read.
#[derive(Debug, Deserialize)]
pub struct Poll {
    after: Option<String>,
    wait: Option<u64>,
    limit: Option<u32>,
}

/// `GET /v1/events`. `next` is always there: it is where the next call goes on.
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(poll): Query<Poll>,
) -> ApiResult<Json<Page<serde_json::Value>>> {
    caller.need(Scope::Read)?;
    let own = caller.own(&app.node);
    let after = cursor(poll.after.as_deref())?;
    let limit = poll.limit.unwrap_or(100).clamp(1, 1_000);
    let until = Instant::now() + Duration::from_secs(poll.wait.unwrap_or(0).min(MAX_WAIT));
    let mut changes = app.node.wakes.member(own.key());
    loop {
        let rows = own.events(after, limit).await?;
        let left = until.saturating_duration_since(Instant::now());
        if !rows.is_empty() || left.is_zero() {
            let seq = rows.last().map_or(after, |r| r.seq);
            let items = rows.into_iter().map(|r| r.event).collect();
            return Ok(Json(Page { items, next: Some(next(seq)) }));
        }
        Wakes::wait(&mut changes, left).await;
    }
}
