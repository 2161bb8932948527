//! `pli inbox`: what a recipient does.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use schemas::api::{DocumentView, InboxItem, Page, Receipt, Refusal, RefusalCode};
use schemas::ids::DeliveryId;
use serde_json::{Value, json};

use super::client::{Client, Member};
use super::node::runtime;
use super::{Call, Text, text, trace};

/// `pli inbox`
#[derive(Debug, Subcommand)]
pub(super) enum InboxVerb {
    /// What waits for the member
    List(ListArgs),
    /// Save the documents of a delivery
    Get(GetArgs),
    /// Take a delivery over
    Ack(IdArgs),
    /// Accept a delivery that asks for it
    Accept(IdArgs),
    /// Refuse a delivery that asks for acceptance, or one whose type cannot be taken
    Refuse(RefuseArgs),
    /// Set the business status
    Status(StatusArgs),
}

/// `pli inbox list`
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Wait so many seconds for something to come, at most 60
    #[arg(long, default_value_t = 0)]
    wait: u64,
    #[command(flatten)]
    member: Member,
}

/// One delivery
#[derive(Debug, Args)]
pub(super) struct IdArgs {
    /// The delivery
    id: DeliveryId,
    #[command(flatten)]
    member: Member,
}

/// `pli inbox get`
#[derive(Debug, Args)]
pub(super) struct GetArgs {
    #[command(flatten)]
    of: IdArgs,
    /// Where to write the documents
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
}

/// `pli inbox refuse`
#[derive(Debug, Args)]
pub(super) struct RefuseArgs {
    #[command(flatten)]
    of: IdArgs,
    /// Why
    #[arg(long)]
    reason: Option<String>,
    /// The application cannot take the type of what was made available
    #[arg(long)]
    type_refused: bool,
}

/// `pli inbox status`
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// received, in_progress, add_awaiting, done, refused, integration_error
    status: String,
    #[command(flatten)]
    of: IdArgs,
    /// A sentence for the sender
    #[arg(long)]
    message: Option<String>,
}

const EMPTY: Text = text("Nothing waits.", "Rien n'attend.");
const SAVED: Text = text("{0} written", "{0} écrit");

pub(super) fn run(verb: InboxVerb, call: &Call) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        match verb {
            InboxVerb::List(args) => list(args, call).await,
            InboxVerb::Get(args) => get(args, call).await,
            InboxVerb::Ack(args) => act(args, "acknowledge", json!({}), call).await,
            InboxVerb::Accept(args) => act(args, "accept", json!({}), call).await,
            InboxVerb::Refuse(args) => {
                let code = args.type_refused.then_some(RefusalCode::DocumentTypeRefused);
                let body = Refusal { reason: args.reason, code };
                act(args.of, "refuse", serde_json::to_value(body)?, call).await
            }
            InboxVerb::Status(args) => {
                let client = args.of.member.connect().await?;
                let body = json!({ "status": args.status, "message": args.message });
                let path = format!("/v1/inbox/{}/status", args.of.id);
                let answer: Value = client.post(&path, &body).await?;
                call.screen.object(&answer)
            }
        }
    })
}

async fn list(args: ListArgs, call: &Call) -> anyhow::Result<()> {
    let client = args.member.connect().await?;
    // A cursor looks without taking: what is listed stays visible to the member's software.
    let path = format!("/v1/inbox?wait={}&limit=200&after=s0", args.wait.min(60));
    let page: Page<InboxItem> = client.get(&path).await?;
    for item in &page.items {
        if call.screen.json {
            call.screen.object(item)?;
        } else {
            let from = item.sender.name.as_deref().unwrap_or(&item.sender.party.id);
            let subject = item.subject.as_deref().unwrap_or_default();
            call.screen.line(format!(
                "{}  {:<8} {:<20} {from}  {subject}",
                item.delivery_id, item.process, item.state
            ))?;
        }
    }
    if page.items.is_empty() && !call.screen.json {
        call.screen.tell(EMPTY, &[]);
    }
    Ok(())
}

async fn get(args: GetArgs, call: &Call) -> anyhow::Result<()> {
    let client = args.of.member.connect().await?;
    let item: InboxItem = client.get(&format!("/v1/inbox/{}", args.of.id)).await?;
    std::fs::create_dir_all(&args.output)?;
    for document in &item.documents {
        // The name was checked by two nodes; it is checked again before it becomes a path.
        anyhow::ensure!(
            schemas::envelope::is_document_name(&document.name),
            "a document has a name that is no file name"
        );
        let file = args.output.join(&document.name);
        save(&client, &item, document, &file).await?;
        call.screen.tell(SAVED, &[&file.display()]);
    }
    if call.screen.json { call.screen.object(&item) } else { Ok(()) }
}

async fn save(
    client: &Client,
    item: &InboxItem,
    document: &DocumentView,
    file: &std::path::Path,
) -> anyhow::Result<()> {
    let path = format!("/v1/inbox/{}/documents/{}", item.delivery_id, document.id);
    let (digest, _) = client.save(&path, file).await?;
    anyhow::ensure!(digest == document.sha256, "{} arrived with another digest", file.display());
    Ok(())
}

async fn act(args: IdArgs, verb: &str, body: Value, call: &Call) -> anyhow::Result<()> {
    let client = args.member.connect().await?;
    let receipt: Receipt = client.post(&format!("/v1/inbox/{}/{verb}", args.id), &body).await?;
    if call.screen.json {
        return call.screen.object(&receipt);
    }
    call.screen.line(receipt.state)?;
    call.screen.line(trace::step(&receipt.evidence, call.screen.lang))
}
