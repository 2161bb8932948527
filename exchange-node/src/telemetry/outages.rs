//! Since when a dependency is away. A process remembers it for each node that runs in it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use schemas::ids::NodeId;
use schemas::time::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::api::health;
use crate::node::Node;

/// Between two looks when nobody asks.
const LOOK: Duration = Duration::from_secs(10);

/// What is known of one aspect of a dependency, and since when it is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spell {
    /// Whether it is as it should be.
    pub up: bool,
    /// Since when, as far as this process has seen.
    pub since: Timestamp,
}

/// What is remembered of a dependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aspect {
    /// Whether it works.
    Works,
    /// Whether there is nothing to say about it: what is slow works, and is told.
    Quiet,
}

static SPELLS: Mutex<BTreeMap<(NodeId, String, Aspect), Spell>> = Mutex::new(BTreeMap::new());

/// Notes what an examination found; returns how long it has been so.
pub fn note(node: &NodeId, dependency: &str, aspect: Aspect, up: bool, now: Timestamp) -> Spell {
    let mut spells = SPELLS.lock().unwrap_or_else(PoisonError::into_inner);
    let spell = spells
        .entry((node.clone(), dependency.to_owned(), aspect))
        .and_modify(|known| {
            if known.up != up {
                *known = Spell { up, since: now };
            }
        })
        .or_insert(Spell { up, since: now });
    *spell
}

/// Which dependencies of a node work, as far as this process knows.
#[must_use]
pub fn known(node: &NodeId) -> Vec<(String, Spell)> {
    let spells = SPELLS.lock().unwrap_or_else(PoisonError::into_inner);
    let own = spells.iter().filter(|((id, _, aspect), _)| id == node && *aspect == Aspect::Works);
    own.map(|((_, name, _), spell)| (name.clone(), *spell)).collect()
}

/// Looks at the dependencies until the node stops. The timestamp authority is not asked: a stamp
/// may have its price, and the rounds of anchoring tell.
pub async fn watch(node: std::sync::Arc<Node>, stop: CancellationToken) {
    loop {
        health::look(&node).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_keeps_its_beginning() {
        let node: NodeId = "outages-test".parse().unwrap();
        let at = Timestamp::from_millis;
        let works = |up, now| note(&node, "tsa", Aspect::Works, up, at(now));
        assert_eq!(works(true, 1).since, at(1));
        assert_eq!(works(false, 5), Spell { up: false, since: at(5) });
        assert_eq!(works(false, 9), Spell { up: false, since: at(5) });
        assert_eq!(works(true, 11), Spell { up: true, since: at(11) });
        let slow = note(&node, "tsa", Aspect::Quiet, false, at(12));
        assert_eq!(slow.since, at(12), "slow since then, and works as before");
        assert_eq!(works(true, 13).since, at(11));
        assert_eq!(known(&node).len(), 1);
    }
}
