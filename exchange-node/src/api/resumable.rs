//! `POST /v1/documents?resumable`, then `HEAD`, `PATCH` and `DELETE /v1/documents/{id}`: resumable
//! uploads in the form of draft-ietf-httpbis-resumable-upload.
//!
//! No informational answer (104) is sent: a client that wants to be able to go on begins without a
//! body, and gets the address of its upload at once.

use axum::Json;
use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use exchange_store::rows::Upload;
use schemas::ids::DocumentId;
use schemas::problem::Code;
use schemas::time::SECOND;

use crate::access::{Caller, Door, Scope};
use crate::api::App;
use crate::api::documents::{life, too_large, view};
use crate::api::error::{ApiError, ApiResult};
use crate::api::extract::{Path, broke_off, hear_out, not_taken};
use crate::node::Node;
use crate::resumable::{Appended, New, Stopped, Turn};
use crate::upload::Announced;

/// Media type of a body that goes on with an upload (§6.1 of the draft).
const PARTIAL: &str = "application/partial-upload";

const COMPLETE: HeaderName = HeaderName::from_static("upload-complete");
const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const LIMIT: HeaderName = HeaderName::from_static("upload-limit");

/// Begins with an upload, and takes the first octets if there are any.
pub async fn create(
    node: &Node,
    caller: &Caller,
    headers: &HeaderMap,
    announced: Announced,
    body: Body,
) -> ApiResult<Response> {
    let size = number(headers, header::CONTENT_LENGTH)?;
    // Whoever says nothing sends all of it, unless nothing is sent.
    let last = complete(headers)?.unwrap_or_else(|| size != Some(0));
    let length = number(headers, LENGTH)?.or_else(|| size.filter(|_| last));
    if length.or(size).is_some_and(|length| length > announced.max_size) {
        hear_out(&mut body.into_data_stream()).await;
        return Err(too_large(announced.max_size));
    }
    let now = node.clock.now();
    let expires = now.plus(life(node));
    let member = caller.own(node).key().to_owned();
    let new = New { member, announced, length, at: now, expires };
    let mut turn = node.uploads.create(new).await?;
    let mut stream = body.into_data_stream();
    let appended = append(&mut turn, &mut stream, last).await?;
    answer(node, turn, appended, StatusCode::CREATED).await
}

/// Says where an upload stands.
pub async fn head(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    caller.need(Scope::Send)?;
    let response = match find(&app.node, &caller, &id).await? {
        Found::Complete(upload) => standing(&Standing::of(&upload)),
        Found::Open(turn) => standing(&Standing::at(&app.node, &turn)),
    };
    Ok((StatusCode::NO_CONTENT, response).into_response())
}

/// Goes on with an upload.
pub async fn patch(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Response> {
    caller.need(Scope::Send)?;
    let node = &app.node;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case(PARTIAL) {
        return Err(not_taken(PARTIAL));
    }
    let missing = |name: &str| {
        ApiError::invalid(format!("{name} is missing."), format!("{name} est absent."))
    };
    let offset = number(&headers, OFFSET)?.ok_or_else(|| missing("Upload-Offset"))?;
    let last = complete(&headers)?.ok_or_else(|| missing("Upload-Complete"))?;
    let mut stream = body.into_data_stream();
    let mut turn = match find(node, &caller, &id).await? {
        Found::Open(turn) => turn,
        Found::Complete(upload) => {
            hear_out(&mut stream).await;
            return Err(completed(&upload));
        }
    };
    let stands = turn.state.offset;
    if stands != offset {
        drop(turn);
        hear_out(&mut stream).await;
        return Err(mismatch(stands, offset));
    }
    let appended = append(&mut turn, &mut stream, last).await?;
    answer(node, turn, appended, StatusCode::OK).await
}

/// Cancels an upload.
pub async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<StatusCode> {
    caller.need(Scope::Send)?;
    match find(&app.node, &caller, &id).await? {
        Found::Open(turn) => {
            turn.forget()?;
            Ok(StatusCode::NO_CONTENT)
        }
        Found::Complete(upload) => Err(completed(&upload)),
    }
}

/// Records uploads that were finished when the node died, and removes those that nobody finished.
pub async fn sweep(node: &Node) {
    let swept = async {
        for (id, member) in node.uploads.sweep(node.clock.now()).await? {
            if let Some(turn) = node.uploads.turn(id, &member).await? {
                record(node, turn).await?;
            }
        }
        Ok::<_, ApiError>(())
    };
    if let Err(error) = swept.await {
        tracing::warn!(detail = error.0.detail, "uploads are tidied up later");
    }
}

/// An upload as it was found.
enum Found<'a> {
    /// The document is complete, and recorded.
    Complete(Upload),
    Open(Turn<'a>),
}

async fn find<'a>(node: &'a Node, caller: &Caller, id: &str) -> ApiResult<Found<'a>> {
    let id: DocumentId = id.parse().map_err(|_| ApiError::not_found())?;
    let own = caller.own(node);
    if let Some(turn) = node.uploads.turn(id, own.key()).await? {
        if turn.state.done.is_some() {
            // Finished by a process that did not live to record it.
            return record(node, turn).await.map(Found::Complete);
        }
        if turn.state.expires <= node.clock.now() {
            turn.forget()?;
            return Err(ApiError::not_found());
        }
        return Ok(Found::Open(turn));
    }
    let upload = own.uploads(&[id]).await?.into_iter().next();
    upload.map(Found::Complete).ok_or_else(ApiError::not_found)
}

/// The row of a finished upload, recorded; its files go.
async fn record(node: &Node, turn: Turn<'_>) -> ApiResult<Upload> {
    let mut upload = turn.finished().await?.ok_or_else(ApiError::not_found)?;
    // A document that is complete lives as long as one that came in one request.
    upload.expires = Some(node.clock.now().plus(life(node)));
    Door::of(node).recover(&upload).await?;
    turn.forget()?;
    Ok(upload)
}

async fn append(
    turn: &mut Turn<'_>,
    stream: &mut BodyDataStream,
    last: bool,
) -> ApiResult<Appended> {
    let appended = turn.append(&mut *stream, last).await;
    if let Err(Stopped::Refused(_) | Stopped::Length { .. }) = &appended {
        hear_out(stream).await;
    }
    Ok(appended?)
}

async fn answer(
    node: &Node,
    turn: Turn<'_>,
    appended: Appended,
    good: StatusCode,
) -> ApiResult<Response> {
    let location = format!("/v1/documents/{}", turn.state.id);
    let mut response = match appended {
        Appended::Finished => {
            let upload = record(node, turn).await?;
            let headers = standing(&Standing::of(&upload));
            (good, headers, Json(view(&upload))).into_response()
        }
        Appended::Waiting => {
            let headers = standing(&Standing::at(node, &turn));
            let status = if good == StatusCode::OK { StatusCode::NO_CONTENT } else { good };
            (status, headers).into_response()
        }
    };
    if good == StatusCode::CREATED
        && let Ok(location) = HeaderValue::from_str(&location)
    {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Where an upload stands.
struct Standing {
    complete: bool,
    offset: u64,
    length: Option<u64>,
    /// Largest size, and seconds that are left.
    limit: Option<(u64, i64)>,
}

impl Standing {
    const fn of(upload: &Upload) -> Self {
        Self { complete: true, offset: upload.size, length: Some(upload.size), limit: None }
    }

    fn at(node: &Node, turn: &Turn<'_>) -> Self {
        let state = &turn.state;
        let left = state.expires.since(node.clock.now()).max(0) / SECOND;
        Self {
            complete: false,
            offset: state.offset,
            length: state.length,
            limit: Some((state.max_size, left)),
        }
    }
}

fn standing(at: &Standing) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let yes = HeaderValue::from_static(if at.complete { "?1" } else { "?0" });
    headers.insert(COMPLETE, yes);
    headers.insert(OFFSET, at.offset.into());
    if let Some(length) = at.length {
        headers.insert(LENGTH, length.into());
    }
    if let Some((size, age)) = at.limit
        && let Ok(limit) = HeaderValue::from_str(&format!("max-size={size}, max-age={age}"))
    {
        headers.insert(LIMIT, limit);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers
}

/// A structured-field boolean (RFC 9651 §3.3.6).
fn complete(headers: &HeaderMap) -> ApiResult<Option<bool>> {
    match headers.get(COMPLETE).map(|v| v.as_bytes().trim_ascii()) {
        None => Ok(None),
        Some(b"?1") => Ok(Some(true)),
        Some(b"?0") => Ok(Some(false)),
        Some(_) => Err(ApiError::invalid(
            "Upload-Complete must be ?0 or ?1.",
            "Upload-Complete doit valoir ?0 ou ?1.",
        )),
    }
}

/// A structured-field integer that is not negative (RFC 9651 §3.3.1).
fn number(headers: &HeaderMap, name: HeaderName) -> ApiResult<Option<u64>> {
    let Some(value) = headers.get(&name) else { return Ok(None) };
    let digits = value.to_str().map(str::trim).unwrap_or_default();
    let plain = (1..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    match digits.parse() {
        Ok(number) if plain => Ok(Some(number)),
        _ => Err(ApiError::invalid(
            format!("{name} must be a number."),
            format!("{name} doit être un nombre."),
        )),
    }
}

fn mismatch(expected: u64, provided: u64) -> ApiError {
    let mut error = ApiError::of(
        Code::UploadOffsetMismatch,
        format!("The upload stands at {expected}, not at {provided}."),
        format!("Le dépôt en est à {expected}, non à {provided}."),
    );
    error.0.expected_offset = Some(expected);
    error.0.provided_offset = Some(provided);
    error
}

fn completed(upload: &Upload) -> ApiError {
    let size = upload.size;
    ApiError::of(
        Code::UploadCompleted,
        format!("The document is complete with {size} bytes."),
        format!("Le document est complet, avec {size} octets."),
    )
}

impl From<Stopped> for ApiError {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Refused(f) => Self::of(f.code, f.detail, f.detail_fr),
            Stopped::Length { announced, found } => Self::of(
                Code::UploadLengthInconsistent,
                format!("{announced} bytes were announced; there are {found}."),
                format!("{announced} octets étaient annoncés ; il y en a {found}."),
            ),
            Stopped::Broken(what) => broke_off(what),
            Stopped::Elsewhere => Self::of(
                Code::Overloaded,
                "Another request is at work on this upload.",
                "Une autre requête travaille à ce dépôt.",
            ),
            Stopped::Content(e) => e.into(),
            Stopped::Crypto(error) => {
                tracing::error!(error, "an upload could not be encrypted");
                Self::of(Code::Internal, "Encryption failed.", "Le chiffrement a échoué.")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structured_fields_are_read_strictly() {
        let with = |name: HeaderName, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            headers
        };
        assert_eq!(complete(&with(COMPLETE, "?1")).unwrap(), Some(true));
        assert_eq!(complete(&with(COMPLETE, " ?0")).unwrap(), Some(false));
        assert_eq!(complete(&HeaderMap::new()).unwrap(), None);
        assert!(complete(&with(COMPLETE, "true")).is_err());
        assert_eq!(number(&with(OFFSET, "104857600"), OFFSET).unwrap(), Some(104_857_600));
        for bad in ["", "-1", "+1", "1.5", "0x10", "9999999999999999"] {
            assert!(number(&with(OFFSET, bad), OFFSET).is_err(), "{bad}");
        }
    }
}
