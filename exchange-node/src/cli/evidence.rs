//! `pli evidence list|show|export`, `pli proof`: what proves it.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use schemas::api::{Page, Step};
use schemas::evidence::Evidence;
use schemas::ids::MessageId;
use serde_json::{Value, json};
use uuid::Uuid;

use super::client::{Client, Member};
use super::explain::is_not_found;
use super::node::runtime;
use super::{Call, Text, text, trace};

/// `pli evidence`
#[derive(Debug, Subcommand)]
pub(super) enum EvidenceVerb {
    /// Evidence about a message
    List(OfMessageArgs),
    /// What an evidence says
    Show(ShowArgs),
    /// Write an evidence into a file
    Export(ExportArgs),
}

/// `pli evidence list`
#[derive(Debug, Args)]
pub(super) struct OfMessageArgs {
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

/// `pli evidence show`
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The evidence
    id: Uuid,
    #[command(flatten)]
    member: Member,
}

/// `pli evidence export`
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The evidence; for a zip, also the message
    id: Uuid,
    /// As issued, its JSON, ETSI XML, or all that proves the message in one zip (ASiC-E)
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
    Zip,
}

const SAVED: Text = text("{0}: {1} bytes", "{0} : {1} octets");

pub(super) fn run(verb: EvidenceVerb, call: &Call) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        match verb {
            EvidenceVerb::List(args) => list(&args, call).await,
            EvidenceVerb::Show(args) => {
                let client = args.member.connect().await?;
                let json: Value = serde_json::from_slice(&content(&client, args.id).await?)?;
                if call.screen.json {
                    return call.screen.object(&json);
                }
                call.screen.line(serde_json::to_string_pretty(&json)?)
            }
            EvidenceVerb::Export(args) => export(args, call).await,
        }
    })
}

async fn list(args: &OfMessageArgs, call: &Call) -> anyhow::Result<()> {
    let client = args.member.connect().await?;
    let page: Page<Step> = client.get(&format!("/v1/messages/{}/evidence", args.id)).await?;
    for step in &page.items {
        if call.screen.json {
            call.screen.object(step)?;
        } else {
            call.screen.line(trace::step(step, call.screen.lang))?;
        }
    }
    Ok(())
}

/// The JSON inside the seal.
async fn content(client: &Client, id: Uuid) -> anyhow::Result<Vec<u8>> {
    client.bytes(&format!("/v1/evidence/{id}"), "application/json").await
}

async fn export(args: ExportArgs, call: &Call) -> anyhow::Result<()> {
    let client = args.member.connect().await?;
    let one = format!("/v1/evidence/{}", args.id);
    let bytes = match args.format {
        Format::P7m => client.bytes(&one, "application/pkcs7-mime").await?,
        Format::Json => client.bytes(&one, "application/json").await?,
        Format::Xml => client.bytes(&one, "application/xml").await?,
        Format::Zip => bundle(&client, args.id).await?,
    };
    match args.output {
        Some(file) => save(&file, &bytes, call),
        None => call.screen.bytes(&bytes),
    }
}

/// The bundle of a message, or of the message that an evidence is about.
async fn bundle(client: &Client, id: Uuid) -> anyhow::Result<Vec<u8>> {
    let path = |message: &dyn std::fmt::Display| format!("/v1/messages/{message}/proof");
    match client.bytes(&path(&id), "*/*").await {
        Err(error) if is_not_found(&error) => {
            let about: Evidence = serde_json::from_slice(&content(client, id).await?)?;
            client.bytes(&path(&about.message_identifier), "*/*").await
        }
        other => other,
    }
}

fn save(file: &Path, bytes: &[u8], call: &Call) -> anyhow::Result<()> {
    crate::files::write_public(file, bytes)?;
    if call.screen.json {
        return call.screen.object(&json!({ "file": file, "size": bytes.len() }));
    }
    call.screen.tell(SAVED, &[&file.display(), &bytes.len()]);
    Ok(())
}

pub(super) fn proof(args: &ProofArgs, call: &Call) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let client = args.member.connect().await?;
        let path = format!("/v1/messages/{}/proof", args.id);
        let size = client.save(&path, &args.output).await?.1;
        if call.screen.json {
            return call.screen.object(&json!({ "bundle": args.output, "size": size }));
        }
        call.screen.tell(SAVED, &[&args.output.display(), &size]);
        Ok(())
    })
}
