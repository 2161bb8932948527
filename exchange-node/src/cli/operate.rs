//! `pli clients`: who may use a node, in the node's own database.

use std::sync::Arc;

use clap::{Args, Subcommand};
use exchange_store::Store;
use exchange_store::rows::ClientRow;
use schemas::party::Party;
use serde_json::json;

use super::node::runtime;
use super::{Call, Failure, Text, audit, text};
use crate::clock::{self, Clock as _};
use crate::config::Config;
use crate::secret;

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

const REVOKED: Text = text(
    "{0} is revoked; its tokens end within seconds.",
    "{0} est révoqué ; ses jetons cessent en quelques secondes.",
);
const ONCE: Text = text(
    "This secret is shown once; the node keeps only its hash.",
    "Ce secret n'est montré qu'une fois ; le nœud n'en garde que le condensat.",
);
/// The database of the node that this call is about.
pub(super) async fn store(call: &Call) -> anyhow::Result<Arc<dyn Store>> {
    let config = Config::read(call.config_file()?, std::env::vars())?;
    Ok(exchange_store::open(&config.store.url).await?)
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
