//! `pli hold`, `pli release`, `pli throttle`: what goes to another node, and how fast.
//!
//! They hold from the next claim of every process of the node, without a restart; each is sealed
//! into the journal first, with who and why.

use clap::Args;
use exchange_store::Store;
use exchange_store::rows::PeerRow;
use schemas::api::{Hindrance, PeerHealth};
use schemas::ids::NodeId;
use serde_json::json;

use super::node::runtime;
use super::operate::store;
use super::{Call, Failure, Lang, Text, audit, text};
use crate::clock::{self, Clock as _};
use crate::config::Config;
use crate::directory::Follower;
use crate::keys::Keys;
use crate::peers::PER;

/// `pli hold`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pli hold cd-34 --reason 'their database is being mended'")]
pub(super) struct HoldArgs {
    /// The other node
    node: NodeId,
    /// Why, for the journal and for whoever asks
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// `pli release`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pli release cd-34 --reason 'they are back'")]
pub(super) struct ReleaseArgs {
    /// The other node
    node: NodeId,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// `pli throttle`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    pli throttle cd-34 --rate 20 --reason 'their disk is slow'\n  \
    pli throttle cd-34 --none --reason 'they have a new disk'")]
pub(super) struct ThrottleArgs {
    /// The other node
    node: NodeId,
    /// Publications a second at most; 0.5 is one in two seconds
    #[arg(long, value_name = "N", required_unless_present = "none")]
    rate: Option<f64>,
    /// No limit any more
    #[arg(long, conflicts_with = "rate")]
    none: bool,
    /// Why, for the journal and for whoever asks
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

const HELD: Text = text(
    "What goes to {0} is held; it waits in the queue, in its order, until `pli release {0}`.",
    "Les envois vers {0} sont retenus ; ils attendent, dans l'ordre, jusqu'à `pli release {0}`.",
);
const RELEASED: Text = text("{0} is sent to again.", "Les envois vers {0} reprennent.");
const THROTTLED: Text = text(
    "At most {1} publication(s) a second go to {0}.",
    "Au plus {1} envoi(s) par seconde vers {0}.",
);
const FREE: Text = text("{0} is sent to without limit.", "Les envois vers {0} sont sans limite.");
const BAD_RATE: Text = text(
    "--rate is a number of publications a second, from 0.001 to 1000000",
    "--rate est un nombre d'envois par seconde, de 0.001 à 1000000",
);
const STRANGER: Text =
    text("the directory knows no node {0}", "l'annuaire ne connaît pas de nœud {0}");

pub(super) fn hold(args: &HoldArgs, call: &Call) -> anyhow::Result<()> {
    let now = clock::system().now();
    let about = json!({ "node": args.node, "reason": args.reason });
    rule(call, &args.node, "hold", about, |row| {
        row.held_since = row.held_since.or(Some(now));
        row.reason.clone_from(&args.reason);
    })?;
    call.screen.tell(HELD, &[&args.node]);
    Ok(())
}

pub(super) fn release(args: &ReleaseArgs, call: &Call) -> anyhow::Result<()> {
    let about = json!({ "node": args.node, "reason": args.reason });
    rule(call, &args.node, "release", about, |row| row.held_since = None)?;
    call.screen.tell(RELEASED, &[&args.node]);
    Ok(())
}

pub(super) fn throttle(args: &ThrottleArgs, call: &Call) -> anyhow::Result<()> {
    let rate = args.rate.map(|rate| kept(rate, call.screen.lang)).transpose()?;
    let about = json!({ "node": args.node, "rate": args.rate, "reason": args.reason });
    rule(call, &args.node, "throttle", about, |row| {
        row.rate = rate;
        row.reason.clone_from(&args.reason);
    })?;
    match args.rate {
        Some(rate) => call.screen.tell(THROTTLED, &[&args.node, &rate]),
        None => call.screen.tell(FREE, &[&args.node]),
    }
    Ok(())
}

/// Publications a second, as the database keeps them.
#[allow(clippy::cast_possible_truncation, reason = "bounded before")]
fn kept(rate: f64, lang: Lang) -> anyhow::Result<i64> {
    if (0.001..=1_000_000.0).contains(&rate) {
        return Ok((rate * PER).round() as i64);
    }
    Err(Failure::usage(BAD_RATE.of(lang)))
}

/// Seals the act, then changes what is said about the node.
fn rule(
    call: &Call,
    node: &NodeId,
    act: &str,
    about: serde_json::Value,
    change: impl FnOnce(&mut PeerRow),
) -> anyhow::Result<()> {
    let config = Config::read(call.config_file()?, std::env::vars())?;
    known(&config, node, call)?;
    runtime()?.block_on(async {
        let store = store(call).await?;
        let rows = store.peers().await?;
        let mut row =
            rows.into_iter().find(|row| row.peer == *node).unwrap_or_else(|| nothing(node));
        change(&mut row);
        if row.held_since.is_none() && row.rate.is_none() {
            row.reason.clear();
        }
        audit::note(call, store.as_ref(), act, about).await?;
        store.rule_peer(&row).await?;
        if call.screen.json { shown(store.as_ref(), node, call).await } else { Ok(()) }
    })
}

async fn shown(store: &dyn Store, node: &NodeId, call: &Call) -> anyhow::Result<()> {
    let rows = store.peers().await?;
    let row = rows.into_iter().find(|row| row.peer == *node).unwrap_or_else(|| nothing(node));
    call.screen.object(&crate::peers::health(row))
}

/// A slip of the pen would hold nobody, silently.
fn known(config: &Config, node: &NodeId, call: &Call) -> anyhow::Result<()> {
    let keys = Keys::read(config)?;
    let verifier = std::sync::Arc::new(signing::trust::SealVerifier::new(keys.anchors.clone()));
    let (_, watch) = Follower::start(&config.directory.dir, verifier, clock::system().now())?;
    if watch.current().directory.node(node).is_some() {
        return Ok(());
    }
    Err(Failure::usage(STRANGER.fill(call.screen.lang, &[node])))
}

fn nothing(node: &NodeId) -> PeerRow {
    PeerRow {
        peer: node.clone(),
        held_since: None,
        reason: String::new(),
        rate: None,
        failing_since: None,
        paused_until: None,
        error: None,
    }
}

const IS_HELD: Text = text("{0}: held since {1}", "{0} : retenu depuis {1}");
const IS_FAILING: Text =
    text("{0}: fails since {1}, tries at {2}", "{0} : en échec depuis {1}, essai à {2}");
const IS_SLOW: Text = text("{0}: at most {1}/s", "{0} : au plus {1}/s");

/// Lines about a node that is not sent to as usual, for a terminal of 80 columns.
pub(super) fn lines(peer: &PeerHealth, lang: Lang) -> Vec<String> {
    let brief = |text: &str| format!("      {}", text.chars().take(74).collect::<String>());
    let mut out = Vec::new();
    if let Some(since) = peer.held_since {
        out.push(format!("--  {}", IS_HELD.fill(lang, &[&peer.node, &since])));
    }
    if let Some(rate) = peer.rate {
        out.push(format!("--  {}", IS_SLOW.fill(lang, &[&peer.node, &rate])));
    }
    out.extend(peer.reason.as_deref().map(brief));
    if let (Some(since), Some(at)) = (peer.failing_since, peer.tries_at) {
        let at = at.to_string();
        let at = at.get(11..19).unwrap_or_default();
        out.push(format!("--  {}", IS_FAILING.fill(lang, &[&peer.node, &since, &at])));
        out.extend(peer.error.as_deref().map(brief));
    }
    out
}

const WAITS_HELD: Text = text(
    "  It waits: the operator of this node holds what goes to {0}, since {1}.",
    "  Il attend : l'exploitant de ce nœud retient les envois vers {0}, depuis le {1}.",
);
const WAITS_FAILING: Text = text(
    "  It waits: sending to {0} has failed since {1}, and is tried again.",
    "  Il attend : l'envoi vers {0} échoue depuis le {1}, il est réessayé.",
);

/// Why a delivery waits, in a sentence.
pub(super) fn waits(hindrance: &Hindrance, lang: Lang) -> String {
    let text = if hindrance.why == "held" { WAITS_HELD } else { WAITS_FAILING };
    text.fill(lang, &[&hindrance.node, &hindrance.since])
}

#[cfg(test)]
mod tests {
    use schemas::time::Timestamp;

    use super::*;

    #[test]
    fn lines_fit_a_terminal() {
        let at = Timestamp::from_secs(1_800_000_000);
        let peer = PeerHealth {
            node: "a-rather-long-name-of-a-node".parse().unwrap(),
            held_since: Some(at),
            rate: Some(0.5),
            reason: Some("é".repeat(300)),
            failing_since: Some(at),
            tries_at: Some(at),
            error: Some("x".repeat(300)),
        };
        for lang in [Lang::En, Lang::Fr] {
            let lines = lines(&peer, lang);
            assert_eq!(lines.len(), 5);
            let widest = lines.iter().map(|l| l.chars().count()).max();
            assert!(widest <= Some(100), "{lines:?}");
        }
    }

    #[test]
    fn rates_are_kept_in_thousandths() {
        assert_eq!(kept(0.5, Lang::En).unwrap(), 500);
        assert_eq!(kept(20.0, Lang::En).unwrap(), 20_000);
        for bad in [0.0, -1.0, f64::NAN, 1e9] {
            assert!(kept(bad, Lang::Fr).is_err(), "{bad}");
        }
    }
}
