//! `pli send`: uploads documents, streamed, and sends them in one message.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use futures::StreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{Method, RequestBuilder};
use schemas::api::{DocumentView, MessageView};
use schemas::digest::Digest;
use schemas::ids::{Cog, ConversationId, MessageId};
use schemas::party::Party;
use schemas::time::Timestamp;
use serde_json::{Value, json};
use signing::digest::Sha256Stream;
use uuid::Uuid;

use super::client::{Client, Member, parsed};
use super::node::runtime;
use super::{Call, Failure, Text, resume, text};

/// Buffers between file and network.
pub(super) const BUFFER: usize = 64 * 1024;

/// `pli send`
#[derive(Debug, Args)]
pub(super) struct SendArgs {
    /// SIRET, SIREN, COG code, or `scheme:id[:service[:desk]]`; may be repeated
    #[arg(long = "to", required = true, value_name = "ADDRESS")]
    to: Vec<String>,
    /// Démarche
    #[arg(long, value_name = "CODE")]
    process: String,
    /// Subject line
    #[arg(long)]
    subject: Option<String>,
    /// The sender's own number
    #[arg(long = "ref", value_name = "REF")]
    sender_ref: Option<String>,
    /// The message that this one answers
    #[arg(long, value_name = "ID")]
    in_reply_to: Option<MessageId>,
    /// The conversation to go on with
    #[arg(long, value_name = "ID")]
    conversation: Option<ConversationId>,
    /// The recipient is asked to accept before anything is handed over
    #[arg(long)]
    consent: bool,
    /// No handover after this moment (RFC 3339)
    #[arg(long, value_name = "TIME")]
    expires: Option<Timestamp>,
    /// Repeats with the same key send once
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Documents
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    member: Member,
}

const SENT: Text = text(
    "Accepted: {0}. `pli trace {0}` tells where it is.",
    "Accepté : {0}. `pli trace {0}` dit où il en est.",
);

pub(super) fn run(args: SendArgs, call: &Call) -> anyhow::Result<()> {
    // What can be wrong with the call is said before anything is sent.
    let recipients: Vec<Value> =
        args.to.iter().map(|to| recipient(to)).collect::<anyhow::Result<_>>()?;
    for file in &args.files {
        if !file.is_file() {
            return Err(Failure::usage(format!("{} is no file", file.display())));
        }
    }
    runtime()?.block_on(async {
        let client = args.member.connect().await?;
        let message = submit(&client, &args, &recipients, call).await?;
        if call.screen.json {
            return call.screen.object(&message);
        }
        call.screen.line(message.message_id)?;
        call.screen.tell(SENT, &[&message.message_id]);
        Ok(())
    })
}

async fn submit(
    client: &Client,
    args: &SendArgs,
    recipients: &[Value],
    call: &Call,
) -> anyhow::Result<MessageView> {
    let bar = bar(&args.files, call);
    let mut documents = Vec::new();
    for file in &args.files {
        let uploaded = upload_shown(client, file, &args.process, &bar).await;
        if uploaded.is_err() {
            bar.finish_and_clear();
        }
        documents.push(json!({ "id": uploaded?.id }));
    }
    bar.finish_and_clear();
    let consignment = if args.consent { "consent" } else { "basic" };
    let asked = args.consent || args.expires.is_some();
    let requested =
        asked.then(|| json!({ "consignment": consignment, "expires_at": args.expires }));
    let body = json!({
        "recipients": recipients,
        "process": args.process,
        "subject": args.subject,
        "sender_ref": args.sender_ref,
        "in_reply_to": args.in_reply_to,
        "conversation_id": args.conversation,
        "documents": documents,
        "requested": requested,
    });
    let key = args.idempotency_key.clone().unwrap_or_else(|| Uuid::now_v7().to_string());
    let request = client.request(Method::POST, "/v1/messages").header("Idempotency-Key", key);
    parsed(request.json(&body).send().await?).await
}

fn bar(files: &[PathBuf], call: &Call) -> ProgressBar {
    if !call.screen.watched() || call.screen.json {
        return ProgressBar::hidden();
    }
    let total = files.iter().filter_map(|f| Some(f.metadata().ok()?.len())).sum();
    let form = "{bar:40} {bytes}/{total_bytes}  {bytes_per_sec}  {msg}";
    let style = ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style)
}

/// Uploads one file, streamed.
pub(super) async fn upload(
    client: &Client,
    file: &Path,
    process: &str,
) -> anyhow::Result<DocumentView> {
    upload_shown(client, file, process, &ProgressBar::hidden()).await
}

async fn upload_shown(
    client: &Client,
    file: &Path,
    process: &str,
    bar: &ProgressBar,
) -> anyhow::Result<DocumentView> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    bar.set_message(name.clone());
    let unreadable = || format!("cannot read {}", file.display());
    let path = file.to_owned();
    let (digest, length) =
        tokio::task::spawn_blocking(move || measure(&path)).await?.with_context(unreadable)?;
    let known = |id| DocumentView {
        id,
        name: name.clone(),
        media_type: media_type(file).to_owned(),
        size: length,
        sha256: digest,
        type_code: None,
    };
    let digest = format!("sha-256=:{}:", STANDARD.encode(digest.as_bytes()));
    let headers = |request: RequestBuilder| {
        request
            .header("Content-Type", media_type(file))
            .header("Content-Disposition", crate::download::attachment(&name))
    };
    if length > resume::FROM {
        let path = format!("/v1/documents?resumable&process={process}");
        let request = headers(client.request(Method::POST, &path))
            .header("Upload-Complete", "?0")
            .header("Upload-Length", length)
            .header("Content-Length", 0)
            .header("Repr-Digest", digest);
        return resume::upload(client, request, file, length, bar, known).await;
    }
    let content = tokio::fs::File::open(file).await.with_context(unreadable)?;
    let seen = bar.clone();
    let stream = tokio_util::io::ReaderStream::with_capacity(content, BUFFER)
        .inspect(move |part| seen.inc(part.as_ref().map_or(0, |bytes| bytes.len() as u64)));
    let path = format!("/v1/documents?process={process}");
    let request = headers(client.request(Method::POST, &path))
        .header("Content-Length", length)
        // RFC 9530 §2: the node compares what arrives with what was read here.
        .header("Content-Digest", digest)
        .body(reqwest::Body::wrap_stream(stream));
    parsed(request.send().await?).await
}

/// Digest and length of a file.
fn measure(file: &Path) -> std::io::Result<(Digest, u64)> {
    let mut content = std::fs::File::open(file)?;
    let (mut digest, mut length) = (Sha256Stream::new(), 0);
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = content.read(&mut buffer)?;
        if count == 0 {
            return Ok((digest.finish(), length));
        }
        digest.update(buffer.get(..count).unwrap_or_default());
        length += count as u64;
    }
}

/// By the ending of the name; the node compares it with the content.
fn media_type(file: &Path) -> &'static str {
    let ending = file.extension().and_then(|e| e.to_str()).unwrap_or_default();
    match ending.to_ascii_lowercase().as_str() {
        "pdf" => "application/pdf",
        "xml" => "application/xml",
        "json" => "application/json",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "tif" | "tiff" => "image/tiff",
        "zip" => "application/zip",
        "txt" => "text/plain",
        "csv" => "text/csv",
        _ => "application/octet-stream",
    }
}

/// An addressee as the interface takes it.
fn recipient(text: &str) -> anyhow::Result<Value> {
    if text.len() == 5 {
        let cog: Cog = text.parse().map_err(|e| Failure::usage(format!("{e}")))?;
        return Ok(json!({ "cog": cog }));
    }
    let party: Party = text.parse().map_err(|e| Failure::usage(format!("{e}")))?;
    Ok(json!(party))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_by_commune_number_and_desk() {
        assert_eq!(recipient("2A004").unwrap(), json!({ "cog": "2A004" }));
        let siret = recipient("21993417100014").unwrap();
        assert_eq!(siret, json!({ "scheme": "iso6523:0009", "id": "21993417100014" }));
        assert_eq!(recipient("21993417100014::34172").unwrap()["desk"], "34172");
        for bad in ["", "34", "ABCDE", "21993417100015"] {
            assert!(recipient(bad).unwrap_err().is::<Failure>(), "{bad}");
        }
    }

    #[test]
    fn a_file_is_measured() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        let content = vec![7; BUFFER + 1];
        std::fs::write(&file, &content).unwrap();
        let (digest, length) = measure(&file).unwrap();
        assert_eq!(digest, signing::digest::sha256(&content));
        assert_eq!(length, content.len() as u64);
    }
}
