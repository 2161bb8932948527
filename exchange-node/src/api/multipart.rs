//! `multipart/form-data` (RFC 7578) of `POST /v1/messages`: the part `message`, then one part for
//! each file.
//!
//! Files are streamed. What is held in memory is bounded: the part `message` like any JSON body,
//! and what lies between the contents of parts (preamble, boundaries, heads) by a [`Gate`], since
//! the parser sets no bound of its own.
//!
//! A document that a rule refuses does not end the call: it becomes a finding, for which the core
//! refuses the message as a whole and seals an A.2 that lists what was read.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::{Body, BodyDataStream};
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest as _, Request};
use axum::http::header;
use bytes::Bytes;
use exchange_core::input::Finding;
use exchange_store::rows::Upload;
use futures::{Stream, TryStreamExt as _};
use schemas::api::{NewDocument, NewMessage};
use schemas::envelope::MAX_DOCUMENTS;
use schemas::problem::Code;
use signing::digest::Sha256Stream;

use crate::access::Own;
use crate::api::documents::{
    checked_name, digest_field, intake, life, max_message, max_size, media_type, refused,
};
use crate::api::error::{ApiError, ApiResult};
use crate::api::extract::{self, MAX_JSON};
use crate::api::submission::{Said, parse};
use crate::node::Node;
use crate::upload::{Announced, UploadError};

/// Most octets between the contents of two parts.
const MAX_HEAD: u64 = 16 * 1024;

/// Lets a body through to the parser, a chunk for each time that it looks, and no more than was
/// allowed.
#[derive(Clone)]
struct Gate(Arc<Mutex<Passage>>);

struct Passage {
    body: BodyDataStream,
    left: u64,
    /// A chunk has just passed: the parser is to work on it before it gets another.
    passed: bool,
    overrun: bool,
}

impl Gate {
    fn new(body: Body) -> Self {
        let body = body.into_data_stream();
        let passage = Passage { body, left: MAX_HEAD, passed: false, overrun: false };
        Self(Arc::new(Mutex::new(passage)))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Passage) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From here on, so many octets may pass; the chunk in which the last of them lies passes whole.
    fn allow(&self, octets: u64) {
        self.with(|passage| passage.left = octets);
    }

    fn body(&self) -> Body {
        let gate = self.clone();
        Body::from_stream(futures::stream::poll_fn(move |cx| gate.with(|passage| passage.poll(cx))))
    }
}

impl Passage {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, axum::Error>>> {
        if std::mem::take(&mut self.passed) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.left == 0 {
            self.overrun = true;
            return Poll::Ready(Some(Err(axum::Error::new("too much between two parts"))));
        }
        let next = ready!(Pin::new(&mut self.body).poll_next(cx));
        if let Some(Ok(chunk)) = &next {
            self.left = self.left.saturating_sub(chunk.len() as u64);
            self.passed = true;
        }
        Poll::Ready(next)
    }
}

/// Reads a message with its documents, which are stored.
///
/// # Errors
/// `envelope-invalid` when it is not in the form of a message; `body-too-large` when the part
/// `message` or the head of a part is; whatever the content store says.
pub(super) async fn read(node: &Node, own: &Own<'_>, request: Request) -> ApiResult<Said> {
    let (head, body) = request.into_parts();
    let gate = Gate::new(body);
    let request = Request::from_parts(head, gate.body());
    let read = Reader { node, own, gate: &gate }.read(request).await;
    let unread = read.as_ref().map_or(true, |said| !said.findings.is_empty());
    if unread {
        let mut rest =
            futures::stream::poll_fn(|cx| gate.with(|p| Pin::new(&mut p.body).poll_next(cx)));
        extract::hear_out(&mut rest).await;
    }
    read
}

struct Reader<'a> {
    node: &'a Node,
    own: &'a Own<'a>,
    gate: &'a Gate,
}

/// What came after the part `message`.
#[derive(Default)]
struct Files {
    documents: Vec<(NewDocument, Upload)>,
    brought: Vec<Upload>,
    findings: Vec<Finding>,
}

/// A part that was read.
struct Taken {
    upload: Upload,
    finding: Option<Finding>,
}

impl Reader<'_> {
    async fn read(&self, request: Request) -> ApiResult<Said> {
        let parts = Multipart::from_request(request, &()).await;
        let mut parts = parts.map_err(|e| unreadable(&e.body_text()))?;
        let first = parts.next_field().await.map_err(|e| self.bad(&e))?;
        let first = first.filter(|f| f.name() == Some("message")).ok_or_else(no_message)?;
        let text = self.text(first).await?;
        let message = parse(&text)?;
        let documents = message.documents.len();
        if documents > MAX_DOCUMENTS {
            return Err(ApiError::envelope(
                format!("/documents: {documents}, and {MAX_DOCUMENTS} are allowed."),
                format!("/documents : {documents}, pour {MAX_DOCUMENTS} admis."),
            ));
        }
        let mut sum = Sha256Stream::new();
        sum.update(&text);
        let Files { documents, brought, findings } =
            self.files(&mut parts, &message, &mut sum).await?;
        Ok(Said { message, documents, brought, findings, fingerprint: sum.finish() })
    }

    /// The part `message`.
    async fn text(&self, mut part: Field<'_>) -> ApiResult<Vec<u8>> {
        self.gate.allow(u64::MAX);
        let mut text = Vec::new();
        while let Some(chunk) = part.chunk().await.map_err(|e| self.bad(&e))? {
            if text.len() + chunk.len() > MAX_JSON {
                return Err(extract::too_large());
            }
            text.extend_from_slice(&chunk);
        }
        Ok(text)
    }

    /// The parts after it, up to the first that is too large to be read on.
    async fn files(
        &self,
        parts: &mut Multipart,
        message: &NewMessage,
        sum: &mut Sha256Stream,
    ) -> ApiResult<Files> {
        let mut taken: Vec<Option<Upload>> = vec![None; message.documents.len()];
        let mut files = Files::default();
        let mut left = max_message(self.node, &message.process);
        let mut seen = HashSet::new();
        self.gate.allow(MAX_HEAD);
        while let Some(part) = parts.next_field().await.map_err(|e| self.bad(&e))? {
            let name = part.name().unwrap_or_default().to_owned();
            let place = message.documents.iter().position(|d| d.id == name);
            let place = place.filter(|_| seen.insert(name.clone())).ok_or_else(|| stray(&name))?;
            self.gate.allow(u64::MAX);
            let Taken { upload, finding } = self.file(part, message, left).await?;
            self.gate.allow(MAX_HEAD);
            left = left.saturating_sub(upload.size);
            sum.update(name.as_bytes());
            sum.update(upload.sha256.as_bytes());
            let too_large = finding.as_ref().is_some_and(|f| f.code == Code::DocumentTooLarge);
            match finding {
                Some(finding) => files.findings.push(finding),
                None => files.brought.push(upload.clone()),
            }
            if let Some(slot) = taken.get_mut(place) {
                *slot = Some(upload);
            }
            if too_large {
                break;
            }
        }
        if files.findings.is_empty() && taken.iter().any(Option::is_none) {
            return Err(ApiError::envelope(
                "A document has no part.",
                "Un document n'a pas de partie.",
            ));
        }
        let named = message.documents.iter().cloned().zip(taken);
        files.documents = named.filter_map(|(new, upload)| Some((new, upload?))).collect();
        Ok(files)
    }

    /// One file, with room for `left` octets in the message.
    async fn file(&self, part: Field<'_>, message: &NewMessage, left: u64) -> ApiResult<Taken> {
        let node = self.node;
        let most = max_size(node, Some(&message.process)).or_else(|_| max_size(node, None))?;
        let announced = Announced {
            name: checked_name(file_name(&part)?)?,
            media_type: media_type(part.content_type())?,
            sha256: digest_field(part.headers(), "content-digest")?,
            max_size: most.min(left),
        };
        let now = node.clock.now();
        let stream = Box::pin(part.map_err(|e| e.body_text()));
        let taken = intake(node).take_or_describe(announced, self.own.key(), stream, now).await;
        let (mut upload, mut finding) = taken.map_err(|e| match e {
            UploadError::Broken(why) => unreadable(&why),
            other => refused(other),
        })?;
        upload.expires = Some(now.plus(life(node)));
        if let Some(finding) = &mut finding
            && finding.code == Code::DocumentTooLarge
            && left < most
        {
            finding.detail = "The documents are too large together.".to_owned();
            finding.detail_fr = "Les documents pèsent trop ensemble.".to_owned();
        }
        Ok(Taken { upload, finding })
    }

    fn bad(&self, error: &MultipartError) -> ApiError {
        if self.gate.with(|passage| passage.overrun) {
            return ApiError::of(
                Code::BodyTooLarge,
                format!("At most {MAX_HEAD} bytes between the contents of two parts."),
                format!("Au plus {MAX_HEAD} octets entre les contenus de deux parties."),
            );
        }
        unreadable(&error.body_text())
    }
}

fn unreadable(why: &str) -> ApiError {
    ApiError::envelope(
        format!("The parts cannot be read: {why}."),
        format!("Les parties sont illisibles : {why}."),
    )
}

fn no_message() -> ApiError {
    ApiError::envelope(
        "The first part must be \"message\".",
        "La première partie doit être « message ».",
    )
}

fn stray(name: &str) -> ApiError {
    let name: String = name.chars().take(100).collect();
    ApiError::envelope(
        format!("The part {name:?} is not a document of the message, or came twice."),
        format!("La partie {name:?} n'est pas un document du pli, ou est venue deux fois."),
    )
}

/// The file's name, or that of its part when it has none.
fn file_name(part: &Field<'_>) -> ApiResult<String> {
    let disposition = part.headers().get(header::CONTENT_DISPOSITION);
    let disposition = disposition.map(|v| v.as_bytes()).unwrap_or_default();
    if std::str::from_utf8(disposition).is_err() {
        return Err(ApiError::envelope(
            "The name of a file is not UTF-8.",
            "Le nom d'un fichier n'est pas en UTF-8.",
        ));
    }
    Ok(part.file_name().or_else(|| part.name()).unwrap_or_default().to_owned())
}
