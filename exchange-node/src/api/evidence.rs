//! Evidence and bundles.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use exchange_store::rows::EvidenceRow;
use schemas::api::{Page, Step};
use schemas::evidence::Evidence;
use schemas::ids::{EvidenceId, MessageId};
use schemas::problem::Code;

use crate::access::{Caller, Scope};
use crate::api::error::{ApiError, ApiResult};
use crate::api::extract::Path;
use crate::api::{App, view};

/// Media type of a seal (RFC 8551 §3.2).
pub const P7M: &str = "application/pkcs7-mime";
/// Media type of a bundle (EN 319 162-1).
pub const ASICE: &str = "application/vnd.etsi.asic-e+zip";

/// `GET /v1/messages/{id}/evidence`
pub async fn of_message(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Json<Page<Step>>> {
    caller.need(Scope::Read)?;
    let id: MessageId = id.parse().map_err(|_| ApiError::not_found())?;
    let message = caller.own(&app.node).message(id).await?.ok_or_else(ApiError::not_found)?;
    let items = message.objects.iter().filter_map(view::step).collect();
    Ok(Json(Page { items, next: None }))
}

/// `GET /v1/evidence/{id}`, as the caller accepts it: the bytes as issued by default.
pub async fn one(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    caller.need(Scope::Read)?;
    let id: EvidenceId = id.parse().map_err(|_| ApiError::not_found())?;
    let row = caller.own(&app.node).evidence(id).await?.ok_or_else(ApiError::not_found)?;
    let accept = headers.get(header::ACCEPT).and_then(|a| a.to_str().ok()).unwrap_or("*/*");
    represent(&row, accept)
}

fn represent(row: &EvidenceRow, accept: &str) -> ApiResult<Response> {
    let wants = |kind: &str| {
        accept.split(',').any(|a| a.split(';').next().is_some_and(|a| a.trim() == kind))
    };
    let (kind, body) = if wants("application/json") {
        ("application/json", content(row)?)
    } else if wants("application/xml") || wants("text/xml") {
        let evidence: Evidence =
            serde_json::from_slice(&content(row)?).map_err(|e| broken(&e.to_string()))?;
        let xml = evidence.to_xml().map_err(|e| broken(&e.to_string()))?;
        ("application/xml", xml.into_bytes())
    } else if wants(P7M) || wants("*/*") || wants("application/*") {
        (P7M, row.evidence.p7m.clone())
    } else {
        return Err(ApiError::of(
            Code::NotAcceptable,
            "There is application/pkcs7-mime, application/json and application/xml.",
            "Il existe application/pkcs7-mime, application/json et application/xml.",
        ));
    };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", row.evidence.sha256)) {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}

/// The JSON inside the seal.
fn content(row: &EvidenceRow) -> ApiResult<Vec<u8>> {
    let opened = signing::seal::open(&row.evidence.p7m).map_err(|e| broken(&e.to_string()))?;
    Ok(opened.content)
}

fn broken(error: &str) -> ApiError {
    tracing::error!(error, "a stored evidence does not open");
    ApiError::of(Code::Internal, "A stored evidence is damaged.", "Une preuve est endommagée.")
}

/// `GET /v1/messages/{id}/proof`
pub async fn proof(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    caller.need(Scope::Read)?;
    let id: MessageId = id.parse().map_err(|_| ApiError::not_found())?;
    let message = caller.own(&app.node).message(id).await?.ok_or_else(ApiError::not_found)?;
    let bundle = crate::proof::bundle(&app.node, &message).await?;
    let mut response = bundle.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(ASICE));
    let name = format!("attachment; filename=\"pli-{id}.asice\"");
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}
