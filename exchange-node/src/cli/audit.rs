//! `pli audit`: the journal of operators' acts, and how verbs write into it.

use clap::Subcommand;
use exchange_store::Store;
use serde_json::{Value, json};
use signing::trust::SealVerifier;

use super::node::runtime;
use super::{Call, Failure, Text, text};
use crate::audit::Journal;
use crate::clock::{self, Clock as _};
use crate::config::Config;
use crate::keys::Keys;

/// `pli audit`
#[derive(Debug, Subcommand)]
pub(super) enum AuditVerb {
    /// Check that the journal is whole: nothing edited, removed, added or moved
    Verify,
}

const WHOLE: Text = text(
    "{0} acts, the journal is whole: nothing was edited, removed, added or moved.",
    "{0} actes, le journal est intègre : rien n'a été modifié, retiré, ajouté ni déplacé.",
);
const FLAWED: Text = text(
    "line {0}: {1} ({2})\n  Keep the files as they are, and compare them with your last backup.",
    "ligne {0} : {1} ({2})\n  Laissez les fichiers tels quels et comparez-les à la dernière sauvegarde.",
);

/// Writes an act of this call into the journal of the node.
pub(super) async fn note(
    call: &Call,
    store: &dyn Store,
    act: &str,
    about: Value,
) -> anyhow::Result<()> {
    let file = call.config_file()?;
    let keys = Keys::read(&Config::read(file, std::env::vars())?)?;
    let sealer = keys.sealer.borrow().clone();
    Journal::beside(file).append(store, &sealer, clock::system().now(), act, about).await
}

pub(super) fn run(verb: &AuditVerb, call: &Call) -> anyhow::Result<()> {
    match verb {
        AuditVerb::Verify => runtime()?.block_on(verify(call)),
    }
}

async fn verify(call: &Call) -> anyhow::Result<()> {
    let file = call.config_file()?;
    let config = Config::read(file, std::env::vars())?;
    let keys = Keys::read(&config)?;
    let store = exchange_store::open(&config.store.url).await?;
    let verifier = SealVerifier::new(keys.anchors.clone());
    let sealer = keys.sealer.borrow().clone();
    let own = sealer.certificate_der();
    let (lines, flaws) =
        Journal::beside(file).verify(store.as_ref(), &verifier, own, clock::system().now()).await?;
    if call.screen.json {
        call.screen
            .object(&json!({ "valid": flaws.is_empty(), "lines": lines, "flaws": flaws }))?;
    } else if flaws.is_empty() {
        call.screen.tell(WHOLE, &[&lines]);
    } else {
        for flaw in &flaws {
            call.screen.tell(FLAWED, &[&flaw.line, &flaw.detail, &flaw.code]);
        }
    }
    if flaws.is_empty() { Ok(()) } else { Err(Failure::NotValid.into()) }
}
