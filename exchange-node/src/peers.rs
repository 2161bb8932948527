//! What an operator and a sender are told of nodes that are not sent to as usual: held or throttled
//! by an operator, or paused because publications to them fail (`workers/breaker.rs`).

use exchange_core::state::{Delivery, Phase};
use exchange_store::rows::PeerRow;
use schemas::api::{Hindrance, PeerHealth};

use crate::node::Node;

/// Publications per second are kept as publications per so many seconds.
pub const PER: f64 = 1_000.0;

/// All of them; none when the database does not answer, which is told elsewhere.
pub async fn unusual(node: &Node) -> Vec<PeerHealth> {
    let rows = node.store.peers().await.unwrap_or_default();
    rows.into_iter().map(health).collect()
}

/// As people read it.
#[must_use]
pub fn health(row: PeerRow) -> PeerHealth {
    PeerHealth {
        rate: rate(&row),
        node: row.peer,
        held_since: row.held_since,
        reason: Some(row.reason).filter(|reason| !reason.is_empty()),
        failing_since: row.failing_since,
        tries_at: row.paused_until,
        error: row.error,
    }
}

/// Publications per second.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "a figure for people")]
pub fn rate(row: &PeerRow) -> Option<f64> {
    row.rate.map(|rate| rate as f64 / PER)
}

/// Why a delivery that waits to be sent does, if something is said about its next node. Neither the
/// operator's words nor the broker's are for senders.
#[must_use]
pub fn hindrance(delivery: &Delivery, peers: &[PeerRow]) -> Option<Hindrance> {
    if delivery.phase != Phase::Accepted {
        return None;
    }
    let next = delivery.next_hop.as_ref()?;
    let row = peers.iter().find(|row| row.peer == *next)?;
    let held = row.held_since.map(|since| ("held", since));
    let (why, since) = held.or_else(|| row.failing_since.map(|since| ("failing", since)))?;
    Some(Hindrance { node: next.clone(), why: why.to_owned(), since })
}
