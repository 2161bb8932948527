//! `pli queue`, `pli clients`, `pli fsck`: verbs of an operator, on the node's own database.

use std::sync::Arc;

use clap::{Args, Subcommand};
use exchange_store::Store;
use exchange_store::rows::{ClientRow, QueueQuery};
use schemas::ids::NodeId;
use schemas::party::Party;
use serde_json::json;

use super::node::runtime;
use super::{Call, Failure, Text, audit, text};
use crate::clock::{self, Clock as _};
use crate::config::Config;
use crate::fsck::{self, Finding};
use crate::secret;

/// `pli queue`
#[derive(Debug, Subcommand)]
pub(super) enum QueueVerb {
    /// What waits to be sent, what was given up, what was set aside
    List(ListArgs),
    /// Try again what was given up
    Redrive(RedriveArgs),
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
pub(super) struct RedriveArgs {
    /// Rows of `pli queue list`
    #[arg(required_unless_present = "all")]
    ids: Vec<i64>,
    /// Everything that was given up
    #[arg(long, conflicts_with = "ids")]
    all: bool,
}

/// `pli clients`
#[derive(Debug, Subcommand)]
pub(super) enum ClientsVerb {
    /// Give a member's software access; the secret is printed once
    Add(AddArgs),
    /// Take access away
    Revoke(RevokeArgs),
}

/// `pli clients add`
#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// The member, by SIRET
    member: String,
    /// Scopes of send, receive, read, operate, audit
    #[arg(long, value_delimiter = ',', default_value = "send,receive,read")]
    scopes: Vec<String>,
    /// Id of the client; made up when absent
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

/// `pli clients revoke`
#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    /// Id of the client
    id: String,
}

const NOTHING: Text = text("The queue is empty.", "La file est vide.");
const REDRIVEN: Text = text("{0} put back to work.", "{0} remis en route.");
const REVOKED: Text = text(
    "{0} is revoked; its tokens end within seconds.",
    "{0} est révoqué ; ses jetons cessent en quelques secondes.",
);
const ONCE: Text = text(
    "This secret is shown once; the node keeps only its hash.",
    "Ce secret n'est montré qu'une fois ; le nœud n'en garde que le condensat.",
);
const CLEAN: Text = text(
    "{0} deliveries and {1} sealed objects examined, nothing to report.",
    "{0} remises et {1} objets scellés examinés, rien à signaler.",
);
const DIRTY: Text = text("{0} finding(s).", "{0} constat(s).");

async fn store(call: &Call) -> anyhow::Result<Arc<dyn Store>> {
    let config = Config::read(call.config_file()?, std::env::vars())?;
    Ok(exchange_store::open(&config.store.url).await?)
}

pub(super) fn queue(verb: QueueVerb, call: &Call) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let store = store(call).await?;
        match verb {
            QueueVerb::List(args) => list(store.as_ref(), args, call).await,
            QueueVerb::Redrive(args) => {
                let ids = if args.all { Vec::new() } else { args.ids };
                let about = json!({ "rows": ids });
                audit::note(call, store.as_ref(), "queue redrive", about).await?;
                let count = store.redrive(&ids, clock::system().now()).await?;
                if call.screen.json {
                    return call.screen.object(&json!({ "redriven": count }));
                }
                call.screen.tell(REDRIVEN, &[&count]);
                Ok(())
            }
        }
    })
}

async fn list(store: &dyn Store, args: ListArgs, call: &Call) -> anyhow::Result<()> {
    let mut after = 0;
    let mut seen = false;
    loop {
        let query = QueueQuery { to: args.to.clone(), after, limit: 500 };
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

pub(super) fn clients(verb: ClientsVerb, call: &Call) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let store = store(call).await?;
        match verb {
            ClientsVerb::Add(args) => add(store.as_ref(), args, call).await,
            ClientsVerb::Revoke(args) => {
                let client = store.client(&args.id).await?;
                let mut client = client
                    .ok_or_else(|| Failure::usage(format!("there is no client {}", args.id)))?;
                client.revoked_at = Some(clock::system().now());
                let about = json!({ "client_id": client.client_id, "member": client.member });
                audit::note(call, store.as_ref(), "clients revoke", about).await?;
                store.put_client(&client).await?;
                call.screen.tell(REVOKED, &[&args.id]);
                Ok(())
            }
        }
    })
}

async fn add(store: &dyn Store, args: AddArgs, call: &Call) -> anyhow::Result<()> {
    let member: Party = args.member.parse().map_err(|e| Failure::usage(format!("{e}")))?;
    let known = crate::access::Scope::ALL.map(crate::access::Scope::name);
    if let Some(bad) = args.scopes.iter().find(|s| !known.contains(&s.as_str())) {
        return Err(Failure::usage(format!("no scope {bad}; there are {}", known.join(", "))));
    }
    let id = match args.id {
        Some(id) => id,
        None => format!("c-{}", hex::encode(secret::random::<6>()?)),
    };
    let minted = secret::mint()?;
    let row = ClientRow {
        client_id: id.clone(),
        secret_hash: secret::hash(&minted)?,
        member: member.organisation(),
        scopes: args.scopes,
        revoked_at: None,
    };
    let about = json!({ "client_id": id, "member": row.member, "scopes": row.scopes });
    audit::note(call, store, "clients add", about).await?;
    store.put_client(&row).await?;
    call.screen.tell(ONCE, &[]);
    call.screen.object(&json!({ "client_id": id, "client_secret": minted }))
}

pub(super) fn fsck(call: &Call) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let store = store(call).await?;
        let report = fsck::examine(store.as_ref()).await?;
        for finding in &report.findings {
            print(finding, call)?;
        }
        if call.screen.json {
            call.screen.object(&json!({
                "clean": report.findings.is_empty(), "deliveries": report.deliveries,
                "objects": report.objects, "findings": report.findings.len(),
            }))?;
        } else if report.findings.is_empty() {
            call.screen.tell(CLEAN, &[&report.deliveries, &report.objects]);
        } else {
            call.screen.tell(DIRTY, &[&report.findings.len()]);
        }
        anyhow::ensure!(report.findings.is_empty(), "the archive disagrees with its evidence");
        Ok(())
    })
}

fn print(finding: &Finding, call: &Call) -> anyhow::Result<()> {
    if call.screen.json {
        return call.screen.object(finding);
    }
    call.screen.line(format!("{}  {}  {}", finding.code, finding.what, finding.detail))
}
