//! `pli messages list`, `pli trace`: what became of what was sent.

use clap::{Args, Subcommand};
use schemas::api::{MessageView, Page};
use schemas::ids::MessageId;

use super::client::Member;
use super::node::runtime;
use super::{Call, trace};

/// `pli messages`
#[derive(Debug, Subcommand)]
pub(super) enum MessagesVerb {
    /// Messages that the member sent
    List(ListArgs),
}

/// `pli messages list`
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only of this démarche
    #[arg(long, value_name = "CODE")]
    process: Option<String>,
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

pub(super) fn list(verb: MessagesVerb, call: &Call) -> anyhow::Result<()> {
    let MessagesVerb::List(args) = verb;
    runtime()?.block_on(async {
        let client = args.member.connect().await?;
        let mut query = vec![("limit", "100".to_owned())];
        query.extend(args.process.map(|code| ("process", code)));
        query.extend(args.state.map(|state| ("state", state)));
        let mut after: Option<String> = None;
        loop {
            let cursor = after.iter().map(|next| ("after", next.clone()));
            let page: Page<MessageView> =
                client.ask("/v1/messages", query.iter().cloned().chain(cursor)).await?;
            for message in &page.items {
                one(message, call)?;
            }
            match page.next {
                Some(next) => after = Some(next),
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

pub(super) fn trace(args: &TraceArgs, call: &Call) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let client = args.member.connect().await?;
        let message: MessageView = client.get(&format!("/v1/messages/{}", args.id)).await?;
        trace::print(&message, call)
    })
}
