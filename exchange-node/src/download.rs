//! Documents on their way out: ranges, headers, and a stream that decrypts as it goes.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use exchange_store::content::Buffers;
use futures::{Stream, StreamExt};
use schemas::digest::Digest;
use schemas::envelope::Document;
use schemas::problem::Code;
use signing::encrypt::{CHUNK, DocumentKey, PREFIX};

use crate::api::error::{ApiError, ApiResult};
use crate::node::Node;
use crate::plaintext::{self, PlainError, SEALED_CHUNK, Unsealer};

/// A range of bytes of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// Whether less than the whole was asked for.
    pub partial: bool,
}

impl ByteRange {
    /// Number of bytes.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.end - self.start
    }
}

/// Reads a `Range` header (RFC 9110 §14.2): one range; several are answered with the whole, and so
/// is a range for another state of the document (`If-Range`, §13.1.5).
///
/// # Errors
/// `range-not-satisfiable`.
pub fn range(headers: &HeaderMap, size: u64, etag: &str) -> ApiResult<ByteRange> {
    let whole = ByteRange { start: 0, end: size, partial: false };
    if headers.get(header::IF_RANGE).is_some_and(|held| held.as_bytes() != etag.as_bytes()) {
        return Ok(whole);
    }
    let Some(spec) = headers
        .get(header::RANGE)
        .and_then(|r| r.to_str().ok())
        .and_then(|r| r.strip_prefix("bytes="))
        .filter(|r| !r.contains(','))
    else {
        return Ok(whole);
    };
    let Some((first, last)) = spec.split_once('-') else {
        return Ok(whole);
    };
    let (start, end) = match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(start), Ok(last)) if start <= last => (start, last.saturating_add(1).min(size)),
        (Ok(start), Err(_)) if last.trim().is_empty() => (start, size),
        (Err(_), Ok(suffix)) if first.trim().is_empty() => (size.saturating_sub(suffix), size),
        _ => return Ok(whole),
    };
    if start >= end {
        return Err(ApiError::of(
            Code::RangeNotSatisfiable,
            format!("The document has {size} bytes."),
            format!("Le document compte {size} octets."),
        ));
    }
    Ok(ByteRange { start, end, partial: true })
}

/// The plaintext of a range, decrypted from the chunk where it begins.
///
/// # Errors
/// When the content is gone or does not open.
pub async fn plaintext(
    node: &Node,
    document: &Document,
    key: DocumentKey,
    range: &ByteRange,
) -> Result<impl Stream<Item = Result<Bytes, PlainError>> + use<>, PlainError> {
    let chunk = range.start / CHUNK as u64;
    let digest = &document.cipher_sha256;
    let prefix = plaintext::prefix(node.content.as_ref(), digest).await?;
    let unsealer = Unsealer::at(&key, &prefix, chunk)?;
    let offset = PREFIX as u64 + chunk * SEALED_CHUNK as u64;
    let cipher = node.content.read(digest, offset, None).await?;
    let skip = range.start - chunk * CHUNK as u64;
    let state = Reading { cipher, unsealer: Some(unsealer), skip, left: range.length() };
    Ok(futures::stream::unfold(state, Reading::step))
}

/// A document being read.
struct Reading {
    cipher: Buffers,
    unsealer: Option<Unsealer>,
    skip: u64,
    left: u64,
}

impl Reading {
    async fn step(mut self) -> Option<(Result<Bytes, PlainError>, Self)> {
        while self.left > 0 {
            match self.chunks().await? {
                Ok(plain) => {
                    let out = cut(plain, &mut self.skip, &mut self.left);
                    if !out.is_empty() {
                        return Some((Ok(out), self));
                    }
                }
                Err(e) => {
                    self.left = 0;
                    return Some((Err(e), self));
                }
            }
        }
        None
    }

    /// The next chunks; none after the last.
    async fn chunks(&mut self) -> Option<Result<Vec<Bytes>, PlainError>> {
        Some(match self.cipher.next().await {
            Some(Ok(buffer)) => self.unsealer.as_mut()?.push(&buffer),
            Some(Err(e)) => Err(e.into()),
            None => self.unsealer.take()?.finish().map(|last| vec![last]),
        })
    }
}

/// Joins plaintext, without the first `skip` and beyond `left` bytes.
fn cut(plain: Vec<Bytes>, skip: &mut u64, left: &mut u64) -> Bytes {
    let mut out = bytes::BytesMut::new();
    for mut bytes in plain {
        let drop = usize::try_from(*skip).unwrap_or(usize::MAX).min(bytes.len());
        *skip -= drop as u64;
        let _ = bytes.split_to(drop);
        let keep = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
        *left -= keep as u64;
        bytes.truncate(keep);
        out.extend_from_slice(&bytes);
    }
    out.freeze()
}

/// `Content-Digest` (RFC 9530).
#[must_use]
pub fn content_digest(sha256: &Digest) -> String {
    format!("sha-256=:{}:", STANDARD.encode(sha256.as_bytes()))
}

/// `Content-Disposition` with a name of any characters (RFC 6266, RFC 8187).
#[must_use]
pub fn attachment(name: &str) -> String {
    let ascii: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%') { c } else { '_' })
        .collect();
    let encoded = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(spec: &str) -> ApiResult<ByteRange> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, spec.parse().unwrap());
        range(&headers, 100, "\"now\"")
    }

    #[test]
    fn a_range_of_another_state_is_not_served() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, "bytes=0-9".parse().unwrap());
        headers.insert(header::IF_RANGE, "\"now\"".parse().unwrap());
        assert!(range(&headers, 100, "\"now\"").unwrap().partial);
        assert!(!range(&headers, 100, "\"then\"").unwrap().partial);
    }

    #[test]
    fn ranges_of_rfc_9110() {
        let part = |start, end| ByteRange { start, end, partial: true };
        assert_eq!(asked("bytes=0-9").unwrap(), part(0, 10));
        assert_eq!(asked("bytes=90-").unwrap(), part(90, 100));
        assert_eq!(asked("bytes=-10").unwrap(), part(90, 100));
        assert_eq!(asked("bytes=90-500").unwrap(), part(90, 100));
        assert!(asked("bytes=100-").is_err());
        assert!(!asked("bytes=1-2,4-5").unwrap().partial);
        assert!(!asked("lines=1-2").unwrap().partial);
    }

    #[test]
    fn a_name_with_quotes_and_accents_stays_inside_its_header() {
        let value = attachment("acte \"né\"\r\n.pdf");
        assert!(value.parse::<axum::http::HeaderValue>().is_ok());
        assert!(!value.contains('\n'));
    }
}
