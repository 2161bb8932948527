//! `POST /v1/messages`, as JSON over uploaded documents, or as multipart with the files.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use exchange_core::input::Finding;
use exchange_store::rows::Upload;
use schemas::api::{MessageView, NewDocument, NewMessage, Recipient};
use schemas::digest::Digest;
use schemas::envelope::{Document, Envelope};
use schemas::ids::{ConversationId, DocumentId, MessageId};
use schemas::party::Party;
use schemas::problem::Code;
use schemas::time::Timestamp;
use signing::digest::sha256;
use uuid::Uuid;

use crate::access::{Caller, Own, Scope};
use crate::api::error::{ApiError, ApiResult};
use crate::api::{App, extract, multipart, view};
use crate::directory::Snapshot;
use crate::engine::{Submit, Submitted};
use crate::quota::Standing;

/// What the client said, with its documents stored.
pub(super) struct Said {
    pub(super) message: NewMessage,
    /// In the order of the message; all of them, unless there are findings.
    pub(super) documents: Vec<(NewDocument, Upload)>,
    /// Those that came in the same call and were stored.
    pub(super) brought: Vec<Upload>,
    /// What is wrong with the documents.
    pub(super) findings: Vec<Finding>,
    pub(super) fingerprint: Digest,
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
        return Err(ApiError::invalid(
            "Idempotency-Key must have 1 to 255 visible characters.",
            "Idempotency-Key doit compter de 1 à 255 caractères visibles.",
        ));
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
    let said = match extract::media_type(request.headers()).as_deref() {
        Some("multipart/form-data") => multipart::read(node, &own, request).await?,
        Some("application/json") => json(&own, request).await?,
        _ => {
            extract::hear_out(&mut request.into_body().into_data_stream()).await;
            return Err(extract::not_taken("application/json, multipart/form-data"));
        }
    };
    something_for_somebody(&said.message)?;
    let now = node.clock.now();
    let snapshot = node.directory.current();
    let cause = key.as_deref().map(|key| own.cause(key));
    let more = (1, said.documents.iter().map(|(_, upload)| upload.size).sum());
    let over = over_quota(&own, key.as_deref(), more).await?;
    // A refusal for a quota is not remembered under the key: the same call succeeds tomorrow.
    let key = key.filter(|_| over.is_none());
    let envelope = envelope(&said, &own, key.as_deref(), &snapshot, now);
    let submit = Submit {
        cause: cause.filter(|_| over.is_none()),
        fingerprint: said.fingerprint,
        envelope,
        member: own.member().clone(),
        uploads: said.documents.into_iter().map(|(_, upload)| upload).collect(),
        fresh: !said.brought.is_empty(),
        findings: over.iter().map(Standing::finding).chain(said.findings).collect(),
    };
    let submitted = node.engine.submit(submit).await;
    if submitted.as_ref().map_or(true, |s| s.written.is_none()) {
        // No message took them: recorded alone, they go when their time is over.
        for upload in &said.brought {
            own.put_upload(upload).await?;
        }
    }
    let submitted = submitted.map_err(|error| {
        let mut error = ApiError::from(error);
        if error.0.code == Code::QuotaExceeded {
            error.0.retry_after = over.as_ref().map(Standing::rest);
        }
        error
    })?;
    let counted =
        submitted.written.as_ref().and_then(|_| node.quotas.count(own.member(), more, now));
    let mut response = answer(&own, &snapshot, submitted).await?;
    if let Some(standing) = counted {
        standing.tell(response.headers_mut());
    }
    Ok(response)
}

/// Evidence is about content (M02) and about recipients (I05): of nothing, or for nobody, not even
/// an A.2 can be sealed (EN 319 522-2 clause 8). Such a call is no submission.
fn something_for_somebody(message: &NewMessage) -> ApiResult<()> {
    let missing =
        [("recipients", message.recipients.len()), ("documents", message.documents.len())];
    match missing.into_iter().find(|(_, found)| *found == 0) {
        None => Ok(()),
        Some((what, _)) => Err(ApiError::envelope(
            format!("/{what} is empty: a message has at least one."),
            format!("/{what} est vide : un pli en a au moins un."),
        )),
    }
}

/// Where the member stands, if what it sends is more than its quota; none for a repeat of what was
/// answered before.
async fn over_quota(
    own: &Own<'_>,
    key: Option<&str>,
    more: (u64, u64),
) -> ApiResult<Option<Standing>> {
    let standing = own.standing(more).await?;
    let Some(over) = standing.filter(|standing| !standing.allows(more)) else { return Ok(None) };
    match key {
        Some(key) if own.is_known(key).await? => Ok(None),
        _ => Ok(Some(over)),
    }
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

/// Reads the JSON of a message.
///
/// # Errors
/// `envelope-invalid`.
pub(super) fn parse(bytes: &[u8]) -> ApiResult<NewMessage> {
    serde_json::from_slice(bytes).map_err(|e| {
        ApiError::envelope(
            format!("The message cannot be read: {e}."),
            format!("Le pli est illisible : {e}."),
        )
    })
}

/// JSON: documents are ids of uploads.
async fn json(own: &Own<'_>, request: Request) -> ApiResult<Said> {
    let body = extract::whole(request.into_body()).await?;
    let message = parse(&body)?;
    let ids: Option<Vec<DocumentId>> =
        message.documents.iter().map(|d| d.id.parse().ok()).collect();
    let ids = ids.ok_or_else(document_unknown)?;
    let mut found = own.uploads(&ids).await?;
    let mut documents = Vec::with_capacity(ids.len());
    for (new, id) in message.documents.iter().zip(ids) {
        let place = found.iter().position(|u| u.id == id).ok_or_else(document_unknown)?;
        documents.push((new.clone(), found.swap_remove(place)));
    }
    let (brought, findings) = (Vec::new(), Vec::new());
    Ok(Said { message, documents, brought, findings, fingerprint: sha256(&body) })
}

fn document_unknown() -> ApiError {
    ApiError::of(
        Code::DocumentUnknown,
        "Upload each document once, and name each once.",
        "Déposez chaque document une fois, et citez-le une fois.",
    )
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
    let documents = said
        .documents
        .iter()
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
