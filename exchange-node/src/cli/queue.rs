//! `pli queue`: what waits, what was given up, what was set aside; and sending again.
//!
//! Every act is sealed into the journal, with who and why, before it is done. What was given up is
//! put back to work as it is. A pli that is sent again goes through the running node, as its
//! sender's node would send it the first time: the other end knows the same bytes for the same
//! delivery, and answers with the evidence that it has.

use clap::{Args, Subcommand};
use exchange_core::state::{Phase, Role};
use exchange_store::Store;
use exchange_store::rows::{
    Cause, Change, Committed, DeliveryQuery, DeliveryRow, EffectKind, NewEffect, QueueQuery,
};
use schemas::ids::{MessageId, NodeId};
use schemas::time::Timestamp;
use serde_json::json;

use super::node::runtime;
use super::operate::store;
use super::{Call, Failure, Text, audit, text};
use crate::clock::{self, Clock as _};
use crate::workers::wake::REDRIVE;

/// Rows asked of the database at once.
const PAGE: u32 = 500;

/// `pli queue`
#[derive(Debug, Subcommand)]
pub(super) enum QueueVerb {
    /// What waits to be sent, what was given up, what was set aside
    List(ListArgs),
    /// Try again what was given up or set aside, or send again what was sent
    #[command(after_help = "Examples:\n  \
        pli queue redrive 17 18 --reason 'lanes were missing'\n  \
        pli queue redrive --all --reason 'the broker is mended'\n  \
        pli queue redrive --message ID --reason 'asked by cd-34'\n  \
        pli queue redrive --from 2026-11-23T08:00:00Z --to 2026-11-23T12:00:00Z \\\n      \
        --node cd-34 --reason 'cd-34 was restored from its backup of the morning'")]
    Redrive(RedriveArgs),
    /// Close what was given up or set aside: it is kept, and no longer counts
    #[command(after_help = "Example:\n  pli queue close 17 --reason 'sent again on paper'")]
    Close(CloseArgs),
}

/// `pli queue list`
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only for this destination
    #[arg(long, value_name = "NODE")]
    to: Option<NodeId>,
}

/// `pli queue redrive`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true))]
pub(super) struct RedriveArgs {
    /// Rows of `pli queue list`
    #[arg(group = "which", conflicts_with_all = ["all", "message", "from"])]
    ids: Vec<i64>,
    /// Everything that was given up
    #[arg(long, group = "which", conflicts_with_all = ["message", "from"])]
    all: bool,
    /// A pli, whatever became of it; repeatable
    #[arg(long, group = "which", value_name = "ID", requires = "reason", conflicts_with = "from")]
    message: Vec<MessageId>,
    /// Every pli submitted from this moment on (RFC 3339)
    #[arg(long, group = "which", value_name = "TIME", requires = "reason")]
    from: Option<Timestamp>,
    /// And before this one; now when absent
    #[arg(long, value_name = "TIME", requires = "from")]
    to: Option<Timestamp>,
    /// Of these, only what goes to this node
    #[arg(long, value_name = "NODE", requires = "from")]
    node: Option<NodeId>,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// `pli queue close`
#[derive(Debug, Args)]
pub(super) struct CloseArgs {
    /// Rows of `pli queue list`
    #[arg(required = true)]
    ids: Vec<i64>,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

const NOTHING: Text = text("The queue is empty.", "La file est vide.");
const REDRIVEN: Text = text("{0} put back to work.", "{0} remis en route.");
const REPLAYED: Text = text(
    "{0} delivery(ies) are sent again, {1} are not: nothing of them is to be sent from here.",
    "{0} remise(s) renvoyée(s), {1} laissée(s) : d'ici, rien n'est à renvoyer.",
);
const CLOSED: Text = text("{0} closed.", "{0} clos.");
const NO_MESSAGE: Text = text("this node has no message {0}", "ce nœud n'a pas de pli {0}");
const NOT_DEAD: Text = text(
    "row {0} was neither given up nor set aside: see `pli queue list`",
    "la ligne {0} n'est ni abandonnée ni mise de côté : voir `pli queue list`",
);

pub(super) fn run(verb: QueueVerb, call: &Call) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let store = store(call).await?;
        let store = store.as_ref();
        match verb {
            QueueVerb::List(args) => list(store, args, call).await,
            QueueVerb::Redrive(args) if args.all || !args.ids.is_empty() => {
                redrive(store, args, call).await
            }
            QueueVerb::Redrive(args) => replay(store, args, call).await,
            QueueVerb::Close(args) => close(store, args, call).await,
        }
    })
}

async fn redrive(store: &dyn Store, args: RedriveArgs, call: &Call) -> anyhow::Result<()> {
    let ids = if args.all { Vec::new() } else { args.ids };
    let about = json!({ "rows": ids, "reason": args.reason });
    audit::note(call, store, "queue redrive", about).await?;
    let count = store.redrive(&ids, clock::system().now()).await?;
    if call.screen.json {
        return call.screen.object(&json!({ "redriven": count }));
    }
    call.screen.tell(REDRIVEN, &[&count]);
    Ok(())
}

/// Has the running node send again what it can.
async fn replay(store: &dyn Store, args: RedriveArgs, call: &Call) -> anyhow::Result<()> {
    let now = clock::system().now();
    let found = chosen(store, &args, now).await?;
    for id in &args.message {
        if !found.iter().any(|row| row.delivery.message == *id) {
            return Err(Failure::usage(NO_MESSAGE.fill(call.screen.lang, &[id])));
        }
    }
    let count = found.len();
    let again: Vec<DeliveryRow> = found.into_iter().filter(goes_again).collect();
    let about = json!({
        "messages": args.message, "from": args.from, "to": args.to, "node": args.node,
        "reason": args.reason, "deliveries": again.len(),
    });
    audit::note(call, store, "queue redrive", about).await?;
    for rows in again.chunks(PAGE as usize) {
        let effects = rows.iter().map(|r| wake(r, now)).collect();
        let change = Change { effects, ..Change::new(Cause::once(), now) };
        let answers = store.commit(std::slice::from_ref(&change)).await?;
        anyhow::ensure!(answers.first() == Some(&Committed::Written), "nothing was written");
    }
    let left = count - again.len();
    if call.screen.json {
        return call.screen.object(&json!({ "redriven": again.len(), "left": left }));
    }
    call.screen.tell(REPLAYED, &[&again.len(), &left]);
    Ok(())
}

async fn chosen(
    store: &dyn Store,
    args: &RedriveArgs,
    now: Timestamp,
) -> anyhow::Result<Vec<DeliveryRow>> {
    let mut found = Vec::new();
    let mut query =
        DeliveryQuery { messages: args.message.clone(), limit: PAGE, ..DeliveryQuery::default() };
    loop {
        let rows = store.deliveries(&query).await?;
        let Some(last) = rows.last() else { return Ok(found) };
        query.after = last.seq;
        found.extend(rows.into_iter().filter(|row| {
            let at = row.envelope.submitted_at;
            let in_time = args.from.is_none_or(|from| from <= at)
                && (args.from.is_none() || at < args.to.unwrap_or(now));
            in_time && args.node.as_ref().is_none_or(|n| row.delivery.next_hop.as_ref() == Some(n))
        }));
    }
}

/// As the core decides (`rows_send::redrive`); of what moves on meanwhile the node sends nothing.
fn goes_again(row: &DeliveryRow) -> bool {
    let phase = row.delivery.phase;
    let sent = matches!(phase, Phase::Accepted | Phase::Relaying | Phase::Unconfirmed);
    let there = matches!(phase, Phase::Relayed | Phase::AwaitingAcceptance | Phase::Consigned);
    match row.delivery.role {
        Role::Sender => sent || there,
        Role::Relay | Role::Recipient => row.delivery.previous_hop.is_some(),
        Role::Local => false,
    }
}

fn wake(row: &DeliveryRow, now: Timestamp) -> NewEffect {
    NewEffect {
        kind: EffectKind::Wake,
        delivery: Some(row.delivery.id),
        to: None,
        order_key: row.delivery.id.to_string(),
        due: now,
        payload: REDRIVE.to_vec(),
    }
}

async fn close(store: &dyn Store, args: CloseArgs, call: &Call) -> anyhow::Result<()> {
    let about = json!({ "rows": args.ids, "reason": args.reason });
    audit::note(call, store, "queue close", about).await?;
    let closed = store.close_dead(&args.ids).await?;
    if call.screen.json {
        call.screen.object(&json!({ "closed": closed }))?;
    } else {
        call.screen.tell(CLOSED, &[&closed.len()]);
    }
    match args.ids.iter().find(|id| !closed.contains(id)) {
        Some(id) => Err(Failure::usage(NOT_DEAD.fill(call.screen.lang, &[id]))),
        None => Ok(()),
    }
}

async fn list(store: &dyn Store, args: ListArgs, call: &Call) -> anyhow::Result<()> {
    let mut after = 0;
    let mut seen = false;
    loop {
        let query = QueueQuery { to: args.to.clone(), after, limit: PAGE };
        let rows = store.queue(&query).await?;
        let Some(last) = rows.last() else {
            break;
        };
        after = last.id;
        for row in &rows {
            seen = true;
            if call.screen.json {
                call.screen.object(&json!({
                    "id": row.id, "state": row.state, "peer": row.peer, "delivery_id": row.delivery,
                    "attempts": row.attempts, "error": row.error, "since": row.since,
                    "due": row.due, "size": row.size,
                }))?;
            } else {
                let error = row.error.as_deref().unwrap_or_default();
                call.screen.line(format!(
                    "{:>8}  {:<9} {:<12} {} x{}  {error}",
                    row.id, row.state, row.peer, row.since, row.attempts
                ))?;
            }
        }
    }
    if !seen && !call.screen.json {
        call.screen.tell(NOTHING, &[]);
    }
    Ok(())
}
