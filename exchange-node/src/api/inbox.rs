//! The inbox of a member.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use exchange_store::rows::{Cause, DeliveryRow};
use schemas::api::{InboxItem, NewStatus, Page, Receipt, Refusal, RefusalCode, Step};
use schemas::envelope::Document;
use schemas::ids::{DeliveryId, DocumentId};
use schemas::problem::Code;
use serde::Deserialize;
use tokio::time::Instant;
use uuid::Uuid;

use crate::access::{Caller, Own, Scope};
use crate::api::error::{ApiError, ApiResult};
use crate::api::events::MAX_WAIT;
use crate::api::extract::{Path, Query, Whole, json};
use crate::api::messages::{cursor, next};
use crate::api::submission::idempotency_key;
use crate::api::{App, view};
use crate::download::{self, ByteRange};
use crate::engine::{Act, Acted, What};
use crate::wakes::Wakes;

/// What to read.
#[derive(Debug, Deserialize)]
pub struct Poll {
    after: Option<String>,
    wait: Option<u64>,
    limit: Option<u32>,
}

/// `GET /v1/inbox`. What is returned is hidden until its visibility time, unless a cursor is
/// given: pages are for looking, not for taking.
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(poll): Query<Poll>,
) -> ApiResult<Json<Page<InboxItem>>> {
    caller.need(Scope::Receive)?;
    let own = caller.own(&app.node);
    let limit = poll.limit.unwrap_or(50).clamp(1, 200);
    let until = Instant::now() + Duration::from_secs(poll.wait.unwrap_or(0).min(MAX_WAIT));
    let visibility = i64::try_from(app.node.config.limits.inbox_visibility_s).unwrap_or(60);
    let claim = poll.after.is_none().then_some(visibility.saturating_mul(1_000));
    let after = cursor(poll.after.as_deref())?;
    let mut changes = app.node.wakes.member(own.key());
    loop {
        let rows = own.inbox(after, limit, claim).await?;
        let left = until.saturating_duration_since(Instant::now());
        if !rows.is_empty() || left.is_zero() {
            let snapshot = app.node.directory.current();
            let full = rows.len() >= limit as usize;
            let last = rows.last().map(|r| next(r.seq)).filter(|_| full);
            let items = rows.iter().map(|r| view::inbox(r, &snapshot)).collect();
            return Ok(Json(Page { items, next: last }));
        }
        Wakes::wait(&mut changes, left).await;
    }
}

async fn find(own: &Own<'_>, id: &str) -> ApiResult<DeliveryRow> {
    let id: DeliveryId = id.parse().map_err(|_| ApiError::not_found())?;
    own.received(id).await?.ok_or_else(ApiError::not_found)
}

/// `GET /v1/inbox/{id}`
pub async fn one(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    caller.need(Scope::Receive)?;
    let row = find(&caller.own(&app.node), &id).await?;
    let mut response = Json(view::inbox(&row, &app.node.directory.current())).into_response();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", row.version)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// `GET /v1/inbox/{id}/documents/{document}`: the plaintext, streamed.
pub async fn document(
    State(app): State<App>,
    caller: Caller,
    Path((id, document)): Path<(String, String)>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    caller.need(Scope::Receive)?;
    let own = caller.own(&app.node);
    let row = find(&own, &id).await?;
    let document: DocumentId = document.parse().map_err(|_| ApiError::not_found())?;
    let manifest = row.envelope.documents.iter().find(|d| d.id == document);
    let manifest = manifest.ok_or_else(ApiError::not_found)?.clone();
    let key = own.document_key(&row, document).await?.ok_or_else(ApiError::not_found)?;
    refuse_early(&row)?;
    let etag = format!("\"{}\"", manifest.sha256);
    if headers.get(header::IF_NONE_MATCH).is_some_and(|t| t.as_bytes() == etag.as_bytes()) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    let range = match download::range(&headers, manifest.size, &etag) {
        Ok(range) => range,
        Err(refusal) => return Ok(unsatisfiable(refusal, manifest.size)),
    };
    let key = app
        .node
        .keys
        .storage
        .unwrap(&key.wrapped_key, document.0.as_bytes())
        .map_err(crate::plaintext::PlainError::from)?;
    let stream = download::plaintext(&app.node, &manifest, key, &range).await?;
    Ok(answer(&manifest, &range, &etag, Body::from_stream(stream)))
}

/// RFC 9110 §15.5.17: says how large the document is.
fn unsatisfiable(refusal: ApiError, size: u64) -> Response {
    let mut response = refusal.into_response();
    if let Ok(value) = HeaderValue::from_str(&format!("bytes */{size}")) {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    response
}

/// Content stays closed while the recipient has not accepted it.
fn refuse_early(row: &DeliveryRow) -> ApiResult<()> {
    use exchange_core::state::Phase;
    match row.delivery.phase {
        Phase::Consigned | Phase::HandedOver | Phase::HandoverFailed => Ok(()),
        _ => Err(ApiError::of(
            Code::StateConflict,
            "Accept the message first.",
            "Acceptez d'abord le pli.",
        )),
    }
}

fn answer(document: &Document, range: &ByteRange, etag: &str, body: Body) -> Response {
    let mut response = Response::new(body);
    if range.partial {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    let mut set = |name: header::HeaderName, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, document.media_type.clone());
    set(header::CONTENT_LENGTH, range.length().to_string());
    set(header::ACCEPT_RANGES, "bytes".to_owned());
    set(header::ETAG, etag.to_owned());
    set(header::CONTENT_DISPOSITION, download::attachment(&document.name));
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned());
    if range.partial {
        let last = range.start + range.length().saturating_sub(1);
        let whole = document.size;
        set(header::CONTENT_RANGE, format!("bytes {}-{last}/{whole}", range.start));
    } else {
        let name = header::HeaderName::from_static("content-digest");
        set(name, download::content_digest(&document.sha256));
    }
    response
}

/// The versions in `If-Match` (RFC 9110 §13.1.1): the tags of the delivery that the caller has
/// seen. One that is not ours matches nothing.
fn if_match(headers: &HeaderMap) -> Option<Vec<i64>> {
    let value = headers.get(header::IF_MATCH)?.to_str().unwrap_or_default().trim();
    if value == "*" {
        return None;
    }
    let tags = value.split(',').filter_map(|t| t.trim().strip_prefix('"')?.strip_suffix('"'));
    Some(tags.filter_map(|t| t.parse().ok()).collect())
}

async fn act(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    id: DeliveryId,
    what: What,
) -> ApiResult<Acted> {
    let key = idempotency_key(headers)?;
    let member = caller.member.organisation().key();
    let cause = match key {
        Some(key) => Cause(format!("idem:{member}:{id}:{key}")),
        None => Cause(format!("act:{}", Uuid::now_v7())),
    };
    Ok(app.node.engine.act(Act { cause, delivery: id, what, if_match: if_match(headers) }).await?)
}

async fn receipt(own: &Own<'_>, row: &DeliveryRow, acted: Acted) -> ApiResult<Json<Receipt>> {
    let id = acted.evidence.ok_or_else(|| {
        ApiError::of(Code::Internal, "No evidence came of it.", "Aucune preuve produite.")
    })?;
    let found = own.evidence_about(row, id).await?.ok_or_else(ApiError::not_found)?;
    let evidence: Step = view::step(&found).ok_or_else(ApiError::not_found)?;
    let state = acted.delivery.phase.name().to_owned();
    Ok(Json(Receipt { delivery_id: acted.delivery.id, state, evidence }))
}

/// `POST /v1/inbox/{id}/acknowledge`
pub async fn acknowledge(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Json<Receipt>> {
    caller.need(Scope::Receive)?;
    let own = caller.own(&app.node);
    let row = find(&own, &id).await?;
    let by = caller.member.clone();
    let acted = act(&app, &caller, &headers, row.delivery.id, What::Acknowledge { by }).await?;
    receipt(&own, &row, acted).await
}

/// `POST /v1/inbox/{id}/accept`
pub async fn accept(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Json<Receipt>> {
    caller.need(Scope::Receive)?;
    let own = caller.own(&app.node);
    let row = find(&own, &id).await?;
    let by = caller.member.clone();
    let acted = act(&app, &caller, &headers, row.delivery.id, What::Accept { by }).await?;
    receipt(&own, &row, acted).await
}

/// `POST /v1/inbox/{id}/refuse`
pub async fn refuse(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Whole(body): Whole,
) -> ApiResult<Json<Receipt>> {
    caller.need(Scope::Receive)?;
    let refusal: Refusal =
        if body.is_empty() { Refusal::default() } else { json(&headers, &body)? };
    bounded(refusal.reason.as_deref())?;
    let own = caller.own(&app.node);
    let row = find(&own, &id).await?;
    let (by, reason) = (caller.member.clone(), refusal.reason);
    let what = match refusal.code {
        Some(RefusalCode::DocumentTypeRefused) => What::RefuseType { by, reason },
        None => What::Refuse { by, reason },
    };
    let acted = act(&app, &caller, &headers, row.delivery.id, what).await?;
    receipt(&own, &row, acted).await
}

/// `POST /v1/inbox/{id}/status`, for the recipient, and for the sender who closes or reopens.
pub async fn status(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Whole(body): Whole,
) -> ApiResult<Json<serde_json::Value>> {
    let own = caller.own(&app.node);
    let new: NewStatus = json(&headers, &body)?;
    bounded(new.message.as_deref())?;
    bounded(new.reason.as_deref())?;
    let id: DeliveryId = id.parse().map_err(|_| ApiError::not_found())?;
    if own.received(id).await?.is_some() {
        caller.need(Scope::Receive)?;
    } else if own.is_sender_of(id).await? {
        caller.need(Scope::Send)?;
    } else {
        return Err(ApiError::not_found());
    }
    let by = caller.member.clone();
    let NewStatus { status, reason, message } = new;
    let what = What::SetStatus { by, status, reason, message };
    let acted = act(&app, &caller, &headers, id, what).await?;
    Ok(Json(serde_json::json!({
        "delivery_id": acted.delivery.id,
        "state": acted.delivery.phase.name(),
        "business_status": acted.delivery.business,
    })))
}

fn bounded(text: Option<&str>) -> ApiResult<()> {
    match text {
        Some(text) if text.chars().count() > 1_000 => Err(ApiError::invalid(
            "A text has more than 1,000 characters.",
            "Un texte dépasse 1 000 caractères.",
        )),
        _ => Ok(()),
    }
}
