//! Uploads that go on after a break: draft-ietf-httpbis-resumable-upload, from the client's side.

use std::io::SeekFrom;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::StreamExt as _;
use indicatif::ProgressBar;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use schemas::api::DocumentView;
use schemas::ids::DocumentId;
use tokio::io::AsyncSeekExt as _;

use super::Failure;
use super::client::{Client, checked, parsed};
use super::send::BUFFER;

/// Files above this size are uploaded so that a break does not mean to begin again.
pub(super) const FROM: u64 = 8 << 20;
/// Longest time without any progress before we give up.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// How an attempt ended.
enum Attempt {
    Done(DocumentView),
    /// The network, or a node that is starting again: later.
    Broken(anyhow::Error),
}

/// Begins with `create`, then sends the file from wherever the node stands until it has all of it.
/// `known` says of a document what the node would have said, had its last answer not been lost.
pub(super) async fn upload(
    client: &Client,
    create: RequestBuilder,
    file: &Path,
    length: u64,
    bar: &ProgressBar,
    known: impl Fn(DocumentId) -> DocumentView,
) -> anyhow::Result<DocumentView> {
    let begun = checked(create.send().await?).await?;
    let path = place(&begun)?;
    let base = bar.position();
    let (mut offset, mut moved) = (0, Instant::now());
    loop {
        let why = match go_on(client, &path, file, offset, length, bar).await? {
            Attempt::Done(document) => {
                bar.set_position(base + length);
                return Ok(document);
            }
            Attempt::Broken(why) => why,
        };
        loop {
            if moved.elapsed() > PATIENCE {
                return Err(why.context("the upload makes no progress"));
            }
            tokio::time::sleep(PAUSE).await;
            let asked = client.request(Method::HEAD, &path).send().await;
            match asked.and_then(Response::error_for_status) {
                Ok(answer) => {
                    if header(&answer, "upload-complete") == Some("?1") {
                        let id = path.rsplit('/').next().unwrap_or_default();
                        return Ok(known(id.parse()?));
                    }
                    let stands = header(&answer, "upload-offset").and_then(|v| v.parse().ok());
                    let stands: u64 = stands.context("the node does not say where it stands")?;
                    if stands > offset {
                        moved = Instant::now();
                    }
                    offset = stands;
                    break;
                }
                Err(error) if error.status().is_some_and(|s| s.is_client_error()) => {
                    return Err(error).context("the upload cannot go on");
                }
                Err(_) => {}
            }
        }
        bar.set_position(base + offset);
    }
}

async fn go_on(
    client: &Client,
    path: &str,
    file: &Path,
    offset: u64,
    length: u64,
    bar: &ProgressBar,
) -> anyhow::Result<Attempt> {
    let unreadable = || format!("cannot read {}", file.display());
    let mut content = tokio::fs::File::open(file).await.with_context(unreadable)?;
    content.seek(SeekFrom::Start(offset)).await.with_context(unreadable)?;
    let seen = bar.clone();
    let stream = tokio_util::io::ReaderStream::with_capacity(content, BUFFER)
        .inspect(move |part| seen.inc(part.as_ref().map_or(0, |bytes| bytes.len() as u64)));
    let request = client
        .request(Method::PATCH, path)
        .header("Content-Type", "application/partial-upload")
        .header("Upload-Offset", offset)
        .header("Upload-Complete", "?1")
        .header("Content-Length", length - offset.min(length))
        .body(reqwest::Body::wrap_stream(stream));
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) => return Ok(Attempt::Broken(error.into())),
    };
    match answer.status() {
        // The node stands elsewhere, or is busy: it says so when it is asked.
        StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let status = answer.status();
            Ok(Attempt::Broken(anyhow::anyhow!("the node answers {status}")))
        }
        _ => parsed(answer).await.map(Attempt::Done).or_else(|error| {
            // An answer that broke off is no refusal.
            if error.is::<Failure>() { Err(error) } else { Ok(Attempt::Broken(error)) }
        }),
    }
}

/// The path of an upload that has begun.
fn place(answer: &Response) -> anyhow::Result<String> {
    let location = header(answer, "location");
    let location = location.context("the node does not say where the upload is")?;
    anyhow::ensure!(location.starts_with('/'), "the upload is elsewhere: {location}");
    Ok(location.to_owned())
}

fn header<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer.headers().get(name).and_then(|v| v.to_str().ok())
}
