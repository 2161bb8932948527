//! `POST /v1/messages`, as JSON over uploaded documents, or as multipart with the files.

use std::collections::HashSet;

use axum::Json;
use axum::extract::{FromRequest, Multipart, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use exchange_store::rows::{Cause, Upload};
use futures::TryStreamExt;
use schemas::api::{MessageView, NewMessage, Recipient};
use schemas::digest::Digest;
use schemas::envelope::{Document, Envelope};
use schemas::ids::{ConversationId, DocumentId, MessageId};
use schemas::party::Party;
use schemas::problem::Code;
use schemas::time::Timestamp;
use signing::digest::{Sha256Stream, sha256};
use uuid::Uuid;

use crate::access::{Caller, Own, Scope};
use crate::api::documents::{checked_name, intake, life, max_size, media_type, refused};
use crate::api::error::{ApiError, ApiResult};
use crate::api::{App, MAX_JSON, view};
use crate::directory::Snapshot;
use crate::engine::{Submit, Submitted};
use crate::node::Node;
use crate::upload::Announced;

/// What the client said, with its documents stored.
struct Said {
    message: NewMessage,
    uploads: Vec<Upload>,
    /// Whether the documents came in the same call.
    fresh: bool,
    fingerprint: Digest,
}

/// Reads and checks an `Idempotency-Key`.
///
/// # Errors
/// `invalid-request` for one that is empty or longer than 255 characters.
pub fn idempotency_key(headers: &HeaderMap) -> ApiResult<Option<String>> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let key = value.to_str().map(|v| v.trim().trim_matches('"')).unwrap_or_default();
    if key.is_empty() || key.len() > 255 {
        return Err(ApiError::invalid("Idempotency-Key must have 1 to 255 visible characters"));
    }
    Ok(Some(key.to_owned()))
}

/// Submits a message.
pub async fn submit(
    State(app): State<App>,
    caller: Caller,
    request: Request,
) -> ApiResult<Response> {
    caller.need(Scope::Send)?;
    let node = &app.node;
    let own = caller.own(node);
    let key = idempotency_key(request.headers())?;
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|v| v.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
    let said = if kind.starts_with("multipart/form-data") {
        multipart(node, &own, request).await?
    } else if kind.starts_with("application/json") {
        json(&own, request).await?
    } else {
        return Err(ApiError::envelope("send application/json or multipart/form-data"));
    };
    let now = node.clock.now();
    let snapshot = node.directory.current();
    let envelope = envelope(&said, &own, key.as_deref(), &snapshot, now);
    let submit = Submit {
        cause: key.map(|key| Cause(format!("idem:{}:{key}", own.key()))),
        fingerprint: said.fingerprint,
        envelope,
        member: own.member().clone(),
        uploads: said.uploads,
        fresh: said.fresh,
        findings: Vec::new(),
    };
    let brought = if submit.fresh { submit.uploads.clone() } else { Vec::new() };
    let submitted = node.engine.submit(submit).await;
    if submitted.as_ref().map_or(true, |s| s.written.is_none()) {
        // No message took them: recorded alone, they go when their time is over.
        for upload in &brought {
            node.store.put_upload(upload).await?;
        }
    }
    let submitted = submitted?;
    answer(&own, &snapshot, submitted).await
}

async fn answer(own: &Own<'_>, snapshot: &Snapshot, submitted: Submitted) -> ApiResult<Response> {
    let id = submitted.message_id;
    let (message, replayed): (MessageView, bool) = match submitted.written {
        Some(written) => {
            let deliveries = written
                .deliveries
                .iter()
                .map(|d| {
                    let steps = vec![written.acceptance.clone()];
                    view::delivery(d, &written.envelope, steps, snapshot)
                })
                .collect();
            (view::of_envelope(&written.envelope, deliveries, snapshot), false)
        }
        None => {
            let message = own.message(id).await?.ok_or_else(ApiError::not_found)?;
            (view::message(&message, snapshot), true)
        }
    };
    let mut response = (StatusCode::CREATED, Json(message)).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/messages/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if replayed {
        let yes = HeaderValue::from_static("true");
        response.headers_mut().insert("idempotency-replayed", yes);
    }
    Ok(response)
}

fn parse(bytes: &[u8]) -> ApiResult<NewMessage> {
    serde_json::from_slice(bytes).map_err(|e| ApiError::envelope(e.to_string()))
}

/// JSON: documents are ids of uploads.
async fn json(own: &Own<'_>, request: Request) -> ApiResult<Said> {
    let body = axum::body::to_bytes(request.into_body(), MAX_JSON)
        .await
        .map_err(|e| ApiError::envelope(e.to_string()))?;
    let message = parse(&body)?;
    let ids: Option<Vec<DocumentId>> =
        message.documents.iter().map(|d| d.id.parse().ok()).collect();
    let ids = ids.ok_or_else(document_unknown)?;
    let mut found = own.uploads(&ids).await?;
    let mut uploads = Vec::with_capacity(ids.len());
    for id in ids {
        let place = found.iter().position(|u| u.id == id).ok_or_else(document_unknown)?;
        uploads.push(found.swap_remove(place));
    }
    Ok(Said { message, uploads, fresh: false, fingerprint: sha256(&body) })
}

fn document_unknown() -> ApiError {
    ApiError::of(
        Code::DocumentUnknown,
        "Upload each document once, and name each once.",
        "Déposez chaque document une fois, et citez-le une fois.",
    )
}

/// Multipart: the part `message` first, then one part per file.
async fn multipart(node: &Node, own: &Own<'_>, request: Request) -> ApiResult<Said> {
    let bad = |e: axum::extract::multipart::MultipartError| ApiError::envelope(e.body_text());
    let mut parts = Multipart::from_request(request, &())
        .await
        .map_err(|e| ApiError::envelope(e.body_text()))?;
    let first = parts.next_field().await.map_err(bad)?;
    let first = first.filter(|f| f.name() == Some("message"));
    let first = first.ok_or_else(|| ApiError::envelope("the first part must be \"message\""))?;
    let text = first.bytes().await.map_err(bad)?;
    let message = parse(&text)?;
    let mut sum = Sha256Stream::new();
    sum.update(&text);
    let max = max_size(node, Some(&message.process)).or_else(|_| max_size(node, None))?;
    let mut uploads: Vec<Option<Upload>> = vec![None; message.documents.len()];
    let mut seen = HashSet::new();
    while let Some(part) = parts.next_field().await.map_err(bad)? {
        let name = part.name().unwrap_or_default().to_owned();
        let place = message.documents.iter().position(|d| d.id == name);
        let place = place.filter(|_| seen.insert(name.clone())).ok_or_else(|| {
            ApiError::envelope(format!("part {name:?} is not a document of the message"))
        })?;
        let upload = file(node, own, part, max).await?;
        sum.update(name.as_bytes());
        sum.update(upload.sha256.as_bytes());
        if let Some(slot) = uploads.get_mut(place) {
            *slot = Some(upload);
        }
    }
    let uploads: Option<Vec<Upload>> = uploads.into_iter().collect();
    let uploads = uploads.ok_or_else(|| ApiError::envelope("a document has no part"))?;
    Ok(Said { message, uploads, fresh: true, fingerprint: sum.finish() })
}

async fn file(
    node: &Node,
    own: &Own<'_>,
    part: axum::extract::multipart::Field<'_>,
    max_size: u64,
) -> ApiResult<Upload> {
    let name = part.file_name().or_else(|| part.name()).unwrap_or_default().to_owned();
    let announced = Announced {
        name: checked_name(name)?,
        media_type: media_type(part.content_type())?,
        sha256: None,
        max_size,
    };
    let now = node.clock.now();
    let stream = part.map_err(|e| e.body_text());
    let stream = Box::pin(stream);
    let mut upload = intake(node).take(announced, own.key(), stream, now).await.map_err(refused)?;
    upload.expires = Some(now.plus(life(node)));
    Ok(upload)
}

/// Mints the identifiers and puts the envelope together.
fn envelope(
    said: &Said,
    own: &Own<'_>,
    key: Option<&str>,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Envelope {
    let message = &said.message;
    let id = key.map_or_else(Uuid::now_v7, |key| {
        let name = format!("message/{}/{key}", own.key());
        Uuid::new_v5(&schemas::ids::namespace(), name.as_bytes())
    });
    let recipients = message.recipients.iter().map(|r| recipient(r, snapshot)).collect();
    let documents = message.documents.iter().zip(&said.uploads);
    let documents = documents
        .map(|(new, upload)| Document {
            id: upload.id,
            name: upload.name.clone(),
            type_code: new.type_code.clone(),
            media_type: upload.media_type.clone(),
            size: upload.size,
            sha256: upload.sha256,
            cipher_sha256: upload.cipher_sha256,
            recipients: new.recipients.clone(),
        })
        .collect();
    let conversation_id = message.conversation_id.clone().unwrap_or_else(|| conversation(id));
    Envelope {
        version: 1,
        message_id: MessageId(id),
        sender: own.member().clone(),
        on_behalf_of: None,
        recipients,
        process: message.process.clone(),
        subject: message.subject.clone(),
        conversation_id,
        in_reply_to: message.in_reply_to,
        sender_ref: message.sender_ref.clone(),
        documents,
        requested: message.requested.clone().unwrap_or_default(),
        subject_key: None,
        submitted_at: now,
    }
}

/// A conversation that begins with this message bears its name.
fn conversation(id: Uuid) -> ConversationId {
    ConversationId::of(id)
}

/// A commune by its COG code, in the member that the directory has for it. One that is unknown
/// stays as it was written, and the core refuses it by name.
fn recipient(recipient: &Recipient, snapshot: &Snapshot) -> Party {
    match recipient {
        Recipient::Party(party) => party.clone(),
        Recipient::Commune { cog } => match snapshot.directory.commune(cog) {
            Some(member) => {
                Party { desk: Some(cog.to_string()), ..member.entry.party.organisation() }
            }
            None => Party {
                scheme: schemas::party::COG.to_owned(),
                id: cog.to_string(),
                service: None,
                desk: None,
            },
        },
    }
}
