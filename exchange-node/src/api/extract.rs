//! What handlers take from a request. Every extractor here refuses with a problem; those of axum
//! answer in plain text, and read bodies within limits of their own, so that no handler uses them.
//!
//! - [`Query`] and [`Path`]: what is in the address;
//! - [`Whole`]: a body that is read whole, and is therefore bounded by [`MAX_JSON`];
//! - [`hear_out`]: what is done with a body that nobody wants any more.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::BytesMut;
use futures::{Stream, StreamExt as _};
use schemas::problem::Code;
use serde::de::DeserializeOwned;

use crate::api::error::{ApiError, ApiResult};

/// Largest body that is read whole, in octets.
pub const MAX_JSON: usize = 1024 * 1024;

/// Longest address of a call, in octets.
const MAX_ADDRESS: usize = 8 * 1024;
/// Most octets of names and values of header fields, and most fields. Below what the HTTP library
/// takes: it would refuse in words of its own, without a problem.
const MAX_HEADERS: (usize, usize) = (64 * 1024, 90);

/// Refuses a head that is too large, before anything looks into it.
pub(super) async fn bounded_head(request: Request, next: Next) -> Response {
    let uri = request.uri();
    let address = uri.path_and_query().map_or(0, |path| path.as_str().len());
    if address > MAX_ADDRESS {
        return ApiError::of(
            Code::AddressTooLong,
            format!("The address has {address} octets, and {MAX_ADDRESS} are taken."),
            format!("L'adresse fait {address} octets, pour {MAX_ADDRESS} admis."),
        )
        .into_response();
    }
    let headers = request.headers();
    let octets: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let (most, fields) = MAX_HEADERS;
    if octets > most || headers.len() > fields {
        let count = headers.len();
        return ApiError::of(
            Code::HeadersTooLarge,
            format!("{count} fields of {octets} octets; {fields} of {most} octets are taken."),
            format!("{count} en-têtes de {octets} octets, pour {fields} de {most} octets admis."),
        )
        .into_response();
    }
    next.run(request).await
}

/// The parameters of the query.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> ApiResult<Self> {
        let query = axum::extract::Query::try_from_uri(&parts.uri);
        query.map(|axum::extract::Query(query)| Self(query)).map_err(|e| {
            let why = e.body_text();
            ApiError::invalid(
                format!("The query cannot be read: {why}."),
                format!("Les paramètres de la requête sont illisibles : {why}."),
            )
        })
    }
}

/// The variable parts of the path. What cannot be read names nothing.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(path)| Self(path)).map_err(|_| ApiError::not_found())
    }
}

/// A body in memory: at most [`MAX_JSON`].
#[derive(Clone, Debug)]
pub struct Whole(pub Bytes);

impl<S: Sync> FromRequest<S> for Whole {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> ApiResult<Self> {
        whole(request.into_body()).await.map(Self)
    }
}

/// Reads a body whole.
///
/// # Errors
/// `body-too-large` past [`MAX_JSON`]; `invalid-request` when it breaks off.
pub async fn whole(body: Body) -> ApiResult<Bytes> {
    let mut stream = body.into_data_stream();
    let mut read = BytesMut::new();
    while let Some(next) = stream.next().await {
        let next = next.map_err(broke_off)?;
        if read.len() + next.len() > MAX_JSON {
            hear_out(&mut stream).await;
            return Err(too_large());
        }
        read.extend_from_slice(&next);
    }
    Ok(read.freeze())
}

/// Past [`MAX_JSON`].
pub(super) fn too_large() -> ApiError {
    ApiError::of(
        Code::BodyTooLarge,
        format!("At most {MAX_JSON} bytes."),
        format!("Au plus {MAX_JSON} octets."),
    )
}

/// The client left before its body was complete.
pub(super) fn broke_off(why: impl std::fmt::Display) -> ApiError {
    ApiError::invalid(
        format!("The body broke off: {why}."),
        format!("Le corps de la requête s'est interrompu : {why}."),
    )
}

/// A JSON body that was read whole.
///
/// # Errors
/// `media-type-not-taken` when the client says that it is something else; `invalid-request` when
/// it cannot be read.
pub fn json<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> ApiResult<T> {
    if let Some(media) = media_type(headers)
        && media != "application/json"
    {
        return Err(not_taken("application/json"));
    }
    serde_json::from_slice(body).map_err(|e| {
        ApiError::invalid(
            format!("The body cannot be read: {e}."),
            format!("Le corps de la requête est illisible : {e}."),
        )
    })
}

/// `Content-Type` without parameters, lower case; empty when it cannot be read.
#[must_use]
pub fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?;
    let media = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    Some(media.trim().to_ascii_lowercase())
}

/// The body is not of a type that this address takes.
#[must_use]
pub fn not_taken(taken: &str) -> ApiError {
    ApiError::of(
        Code::MediaTypeNotTaken,
        format!("The body must be {taken}."),
        format!("Le corps doit être de type {taken}."),
    )
}

/// Reads on for a while after a refusal, and forgets what it reads: many clients send all of their
/// body before they look for an answer, and would see a broken connection instead of it.
pub(crate) async fn hear_out<S, E>(rest: &mut S)
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    const MOST: usize = 64 << 20;
    let listen = async {
        let mut heard = 0;
        while heard < MOST
            && let Some(Ok(bytes)) = rest.next().await
        {
            heard += bytes.len();
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(5), listen).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_is_read_whole_up_to_a_bound() {
        let body = |chunks| {
            let chunk = || Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; MAX_JSON / 4]));
            Body::from_stream(futures::stream::iter(std::iter::repeat_with(chunk).take(chunks)))
        };
        assert_eq!(whole(body(4)).await.unwrap().len(), MAX_JSON);
        assert_eq!(whole(body(5)).await.unwrap_err().0.code, Code::BodyTooLarge);
        let torn = futures::stream::iter([Err::<Bytes, _>(std::io::Error::other("left"))]);
        let refused = whole(Body::from_stream(torn)).await.unwrap_err();
        assert_eq!(refused.0.code, Code::InvalidRequest);
        assert!(refused.0.detail.contains("left") && refused.0.detail_fr.contains("interrompu"));
    }

    #[test]
    fn no_route_uses_a_plain_extractor_or_reaches_the_archive_without_a_permission() {
        let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api");
        let mut seen = 0;
        for file in std::fs::read_dir(here).unwrap() {
            let path = file.unwrap().path();
            if path.ends_with("extract.rs") {
                continue;
            }
            seen += 1;
            let text = std::fs::read_to_string(&path).unwrap();
            for used in text.split("use axum::").skip(1) {
                let used = used.split(';').next().unwrap();
                let words = used.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty());
                for word in words {
                    let plain = ["Query", "Path", "Bytes", "Form"].contains(&word);
                    assert!(!plain, "{}: use axum::{used}", path.display());
                }
            }
            assert!(!text.contains("): Json<"), "{}: a body taken as Json", path.display());
            // Health tries the database itself; every other route goes through `access`.
            let direct = text.contains(".store") && !path.ends_with("health.rs");
            assert!(!direct, "{}: reaches the archive without a permission", path.display());
        }
        assert!(seen > 10);
    }
}
