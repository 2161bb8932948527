//! `pli send`, `pli messages`, `pli trace`, `pli proof`, `pli evidence`: what a sender does.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Method;
use schemas::api::{DocumentView, MessageView, Page, Step};
use schemas::ids::{Cog, EvidenceId, MessageId};
use schemas::party::Party;
use serde_json::{Value, json};
use uuid::Uuid;

use super::client::{Client, Member, parsed};
use super::node::runtime;
use super::trace;
use super::{Call, Failure, Text, text};

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
    /// Repeats with the same key send once
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Documents
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    member: Member,
}

/// `pli messages`
#[derive(Debug, Subcommand)]
pub(super) enum MessagesVerb {
    /// Messages that the member sent
    List(ListArgs),
}

/// `pli messages list`
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only with a delivery in this state
    #[arg(long)]
    state: Option<String>,
    #[command(flatten)]
    member: Member,
}

/// `pli trace`
#[derive(Debug, Args)]
pub(super) struct TraceArgs {
    /// The message
    id: MessageId,
    #[command(flatten)]
    member: Member,
}

/// `pli proof`
#[derive(Debug, Args)]
pub(super) struct ProofArgs {
    /// The message
    id: MessageId,
    /// Where to write the bundle (.asice)
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    member: Member,
}

/// `pli evidence`
#[derive(Debug, Subcommand)]
pub(super) enum EvidenceVerb {
    /// Evidence about a message
    List(TraceArgs),
    /// What an evidence says
    Show(ShowArgs),
    /// Write an evidence into a file
    Export(ExportArgs),
}

/// `pli evidence show`
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The evidence
    id: EvidenceId,
    #[command(flatten)]
    member: Member,
}

/// `pli evidence export`
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The evidence
    id: EvidenceId,
    /// As issued, its JSON, or ETSI XML
    #[arg(long, value_enum, default_value = "p7m")]
    format: Format,
    /// Where to write it; standard output when absent
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    member: Member,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    P7m,
    Json,
    Xml,
}

const SENT: Text = text(
    "Accepted: {0}. `pli trace {0}` tells where it is.",
    "Accepté : {0}. `pli trace {0}` dit où il en est.",
);
const SAVED: Text = text("{0}: {1} bytes", "{0} : {1} octets");

pub(super) fn send(args: SendArgs, call: &Call) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let client = args.member.connect().await?;
        let message = submit(&client, &args, call).await?;
        if call.screen.json {
            return call.screen.object(&message);
        }
        call.screen.line(message.message_id)?;
        call.screen.tell(SENT, &[&message.message_id]);
        Ok(())
    })
}

async fn submit(client: &Client, args: &SendArgs, call: &Call) -> anyhow::Result<MessageView> {
    let recipients =
        args.to.iter().map(|to| recipient(to)).collect::<anyhow::Result<Vec<Value>>>()?;
    let bar = if call.screen.watched() && !call.screen.json {
        ProgressBar::new(args.files.len() as u64).with_style(ProgressStyle::default_bar())
    } else {
        ProgressBar::hidden()
    };
    let mut documents = Vec::new();
    for file in &args.files {
        documents.push(json!({ "id": upload(client, file, &args.process).await?.id }));
        bar.inc(1);
    }
    bar.finish_and_clear();
    let body = json!({
        "recipients": recipients,
        "process": args.process,
        "subject": args.subject,
        "sender_ref": args.sender_ref,
        "in_reply_to": args.in_reply_to,
        "documents": documents,
    });
    let key = args.idempotency_key.clone().unwrap_or_else(|| Uuid::now_v7().to_string());
    let request = client.request(Method::POST, "/v1/messages").header("Idempotency-Key", key);
    parsed(request.json(&body).send().await?).await
}

/// Uploads one file, streamed.
pub(super) async fn upload(
    client: &Client,
    file: &Path,
    process: &str,
) -> anyhow::Result<DocumentView> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let content = tokio::fs::File::open(file)
        .await
        .with_context(|| format!("cannot read {}", file.display()))?;
    let length = content.metadata().await?.len();
    let stream = tokio_util::io::ReaderStream::with_capacity(content, 64 * 1024);
    let request = client
        .request(Method::POST, &format!("/v1/documents?process={process}"))
        .header("Content-Type", media_type(file))
        .header("Content-Disposition", crate::download::attachment(&name))
        .header("Content-Length", length)
        .body(reqwest::Body::wrap_stream(stream));
    parsed(request.send().await?).await
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
        "tif" | "tiff" => "image/tiff",
        "zip" => "application/zip",
        "txt" => "text/plain",
        "csv" => "text/csv",
        _ => "application/octet-stream",
    }
}

fn recipient(text: &str) -> anyhow::Result<Value> {
    if text.len() == 5 {
        let cog: Cog = text.parse().map_err(|e| Failure::usage(format!("{e}")))?;
        return Ok(json!({ "cog": cog }));
    }
    let party: Party = text.parse().map_err(|e| Failure::usage(format!("{e}")))?;
    Ok(json!(party))
}

pub(super) fn list(verb: MessagesVerb, call: &Call) -> anyhow::Result<()> {
    let MessagesVerb::List(args) = verb;
    runtime()?.block_on(async {
        let client = args.member.connect().await?;
        let state = args.state.map(|s| format!("&state={s}")).unwrap_or_default();
        let mut after = String::new();
        loop {
            let path = format!("/v1/messages?limit=100{state}{after}");
            let page: Page<MessageView> = client.get(&path).await?;
            for message in &page.items {
                one(message, call)?;
            }
            match page.next {
                Some(next) => after = format!("&after={next}"),
                None => return Ok(()),
            }
        }
    })
}

fn one(message: &MessageView, call: &Call) -> anyhow::Result<()> {
    if call.screen.json {
        return call.screen.object(message);
    }
    let states: Vec<&str> = message.deliveries.iter().map(|d| d.state.as_str()).collect();
    let subject = message.subject.as_deref().unwrap_or_default();
    call.screen.line(format!(
        "{}  {}  {:<8} {:<24} {subject}",
        message.message_id,
        message.submitted_at,
        message.process,
        states.join(",")
    ))
}

pub(super) fn trace(args: TraceArgs, call: &Call) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let client = args.member.connect().await?;
        let message: MessageView = client.get(&format!("/v1/messages/{}", args.id)).await?;
        trace::print(&message, call)
    })
}

pub(super) fn proof(args: ProofArgs, call: &Call) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let client = args.member.connect().await?;
        let path = format!("/v1/messages/{}/proof", args.id);
        let size = client.save(&path, &args.output).await?;
        if call.screen.json {
            return call.screen.object(&json!({ "bundle": args.output, "size": size }));
        }
        call.screen.tell(SAVED, &[&args.output.display(), &size]);
        Ok(())
    })
}

pub(super) fn evidence(verb: EvidenceVerb, call: &Call) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        match verb {
            EvidenceVerb::List(args) => {
                let client = args.member.connect().await?;
                let path = format!("/v1/messages/{}/evidence", args.id);
                let page: Page<Step> = client.get(&path).await?;
                for step in &page.items {
                    if call.screen.json {
                        call.screen.object(step)?;
                    } else {
                        call.screen.line(trace::step(step, call.screen.lang))?;
                    }
                }
                Ok(())
            }
            EvidenceVerb::Show(args) => {
                let client = args.member.connect().await?;
                let path = format!("/v1/evidence/{}", args.id);
                let json: Value =
                    serde_json::from_slice(&client.bytes(&path, "application/json").await?)?;
                if call.screen.json {
                    return call.screen.object(&json);
                }
                call.screen.line(serde_json::to_string_pretty(&json)?)
            }
            EvidenceVerb::Export(args) => export(args, call).await,
        }
    })
}

async fn export(args: ExportArgs, call: &Call) -> anyhow::Result<()> {
    let client = args.member.connect().await?;
    let accept = match args.format {
        Format::P7m => "application/pkcs7-mime",
        Format::Json => "application/json",
        Format::Xml => "application/xml",
    };
    let bytes = client.bytes(&format!("/v1/evidence/{}", args.id), accept).await?;
    match args.output {
        Some(file) => {
            crate::files::write_public(&file, &bytes)?;
            call.screen.tell(SAVED, &[&file.display(), &bytes.len()]);
            Ok(())
        }
        None => call.screen.bytes(&bytes),
    }
}
