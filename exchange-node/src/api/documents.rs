//! `POST /v1/documents`. What comes in several requests goes on in [`super::resumable`].

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use exchange_store::rows::Upload;
use schemas::api::DocumentView;
use schemas::digest::Digest;
use schemas::envelope::is_document_name;
use schemas::ids::ProcessCode;
use schemas::problem::Code;
use schemas::time::SECOND;
use serde::Deserialize;

use crate::access::{Caller, Scope};
use crate::api::error::{ApiError, ApiResult};
use crate::api::extract::{Query, broke_off, hear_out};
use crate::api::{App, resumable};
use crate::node::Node;
use crate::quota::Standing;
use crate::upload::{Announced, Intake, UploadError};

/// Options of an upload.
#[derive(Debug, Deserialize)]
pub struct Options {
    process: Option<ProcessCode>,
    resumable: Option<String>,
}

/// Takes one document, streamed.
pub async fn upload(
    State(app): State<App>,
    caller: Caller,
    Query(options): Query<Options>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Response> {
    caller.need(Scope::Send)?;
    let node = &app.node;
    let mut announced = Announced {
        name: name(&headers)?,
        media_type: media_type(headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()))?,
        sha256: digest_field(&headers, "content-digest")?,
        max_size: max_size(node, options.process.as_ref())?,
    };
    let (now, own) = (node.clock.now(), caller.own(node));
    if let Some(over) = own.standing((0, 0)).await?.filter(Standing::is_over) {
        hear_out(&mut body.into_data_stream()).await;
        return Err(ApiError(Box::new(over.problem())));
    }
    if options.resumable.is_some() || headers.contains_key("upload-complete") {
        // Of the whole (RFC 9530 §3), while Content-Digest is of this body alone.
        announced.sha256 = digest_field(&headers, "repr-digest")?;
        return resumable::create(node, &caller, &headers, announced, body).await;
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok());
    if length.and_then(|l| l.parse::<u64>().ok()).is_some_and(|l| l > announced.max_size) {
        hear_out(&mut body.into_data_stream()).await;
        return Err(too_large(announced.max_size));
    }
    let mut stream = body.into_data_stream();
    let taken = intake(node).take(announced, own.key(), &mut stream, now).await;
    if let Err(UploadError::Refused(_)) = &taken {
        hear_out(&mut stream).await;
    }
    let mut upload = taken.map_err(refused)?;
    upload.expires = Some(now.plus(life(node)));
    own.put_upload(&upload).await?;
    Ok((StatusCode::CREATED, Json(view(&upload))).into_response())
}

/// How long an unused upload lives, in milliseconds.
#[must_use]
pub fn life(node: &Node) -> i64 {
    i64::try_from(node.config.limits.upload_s).unwrap_or(86_400).saturating_mul(SECOND)
}

/// Where this node's uploads go.
#[must_use]
pub fn intake(node: &Node) -> Intake {
    Intake {
        content: std::sync::Arc::clone(&node.content),
        storage: std::sync::Arc::clone(&node.keys.storage),
    }
}

pub(super) fn view(upload: &Upload) -> DocumentView {
    DocumentView {
        id: upload.id,
        name: upload.name.clone(),
        media_type: upload.media_type.clone(),
        size: upload.size,
        sha256: upload.sha256,
        type_code: None,
    }
}

/// The largest document of a démarche, or of any when none is named.
///
/// # Errors
/// `process-unknown`.
pub fn max_size(node: &Node, process: Option<&ProcessCode>) -> ApiResult<u64> {
    let snapshot = node.directory.current();
    let mut all = snapshot.catalogue.processes.iter();
    let most = match process {
        Some(code) => {
            all.find(|p| p.code == *code).map(|p| p.max_document_size).ok_or_else(|| {
                ApiError::of(
                    Code::ProcessUnknown,
                    format!("{code} is not in the catalogue."),
                    format!("{code} ne figure pas au catalogue."),
                )
            })?
        }
        None => all.map(|p| p.max_document_size).max().unwrap_or(0),
    };
    Ok(most.min(node.config.limits.max_message_size))
}

/// The largest sum of the documents of a message.
#[must_use]
pub fn max_message(node: &Node, process: &ProcessCode) -> u64 {
    let snapshot = node.directory.current();
    let process = snapshot.catalogue.processes.iter().find(|p| p.code == *process);
    let most = node.config.limits.max_message_size;
    process.map_or(most, |p| p.max_message_size.min(most))
}

/// The answer to a failed upload.
#[must_use]
pub fn refused(e: UploadError) -> ApiError {
    match e {
        UploadError::Refused(f) => ApiError::of(f.code, f.detail, f.detail_fr),
        UploadError::Broken(what) => broke_off(what),
        UploadError::Content(e) => e.into(),
        UploadError::Crypto(error) => {
            tracing::error!(error, "a document could not be encrypted");
            ApiError::of(Code::Internal, "Encryption failed.", "Le chiffrement a échoué.")
        }
    }
}

pub(super) fn too_large(max: u64) -> ApiError {
    ApiError::of(
        Code::DocumentTooLarge,
        format!("At most {max} bytes."),
        format!("Au plus {max} octets."),
    )
}

/// A media type without parameters, lower case.
///
/// # Errors
/// `document-type-refused` when there is none.
pub fn media_type(value: Option<&str>) -> ApiResult<String> {
    let media = value.and_then(|v| v.split(';').next()).map(|v| v.trim().to_ascii_lowercase());
    media
        .filter(|m| m.split_once('/').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty()))
        .ok_or_else(|| {
            ApiError::of(
                Code::DocumentTypeRefused,
                "Say what it is with Content-Type.",
                "Indiquez le type avec Content-Type.",
            )
        })
}

/// A name that may be kept.
///
/// # Errors
/// `envelope-invalid` for path tricks and control characters.
pub fn checked_name(name: String) -> ApiResult<String> {
    if is_document_name(&name) {
        return Ok(name);
    }
    Err(ApiError::of(
        Code::EnvelopeInvalid,
        "The file name is empty, too long, or holds a path or control characters.",
        "Le nom de fichier est vide, trop long, ou contient un chemin ou des caractères de contrôle.",
    ))
}

fn name(headers: &HeaderMap) -> ApiResult<String> {
    let value = headers.get(header::CONTENT_DISPOSITION);
    let text = value.map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
    let name = text.as_deref().and_then(file_name).ok_or_else(|| {
        ApiError::invalid(
            "Content-Disposition: attachment; filename*=UTF-8''NAME is missing.",
            "L'en-tête Content-Disposition: attachment; filename*=UTF-8''NOM est absent.",
        )
    })?;
    checked_name(name)
}

/// `filename*` (RFC 8187) before `filename` (RFC 6266 §4.3).
fn file_name(disposition: &str) -> Option<String> {
    let parts = || disposition.split(';').filter_map(|p| p.trim().split_once('='));
    let extended = parts().find(|(n, _)| n.trim().eq_ignore_ascii_case("filename*"));
    if let Some((_, value)) = extended {
        let (charset, rest) = value.trim().split_once('\'')?;
        let (_, encoded) = rest.split_once('\'')?;
        if !charset.eq_ignore_ascii_case("utf-8") {
            return None;
        }
        let name = percent_encoding::percent_decode_str(encoded).decode_utf8().ok()?;
        return Some(name.into_owned());
    }
    let (_, value) = parts().find(|(n, _)| n.trim().eq_ignore_ascii_case("filename"))?;
    let value = value.trim();
    let plain = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
    Some(plain.replace("\\\"", "\"").replace("\\\\", "\\"))
}

pub(super) fn digest_field(headers: &HeaderMap, name: &str) -> ApiResult<Option<Digest>> {
    let Some(value) = headers.get(name).and_then(|v| v.to_str().ok()) else {
        return Ok(None);
    };
    let encoded = value
        .split(',')
        .filter_map(|member| member.trim().strip_prefix("sha-256=:"))
        .find_map(|rest| rest.strip_suffix(':'));
    let Some(encoded) = encoded else {
        // Other algorithms than sha-256 are ignored (RFC 9530 §2).
        return Ok(None);
    };
    let bytes = STANDARD.decode(encoded).ok();
    bytes.and_then(|b| Digest::from_slice(&b)).map(Some).ok_or_else(|| {
        ApiError::invalid(
            format!("{name} is not well formed."),
            format!("{name} n'est pas bien formé."),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn the_extended_name_rules() {
        let both = "attachment; filename=\"acte.pdf\"; filename*=UTF-8''acte%20n%C3%A9.pdf";
        assert_eq!(file_name(both).as_deref(), Some("acte né.pdf"));
        assert_eq!(file_name("attachment; filename=\"a b.pdf\"").as_deref(), Some("a b.pdf"));
        assert_eq!(file_name("attachment; filename=x.xml").as_deref(), Some("x.xml"));
        assert_eq!(file_name("attachment"), None);
    }
}
