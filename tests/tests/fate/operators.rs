//! Operators, as `pli hold`, `pli release` and `pli queue redrive` act: beside the node, on its
//! archive. What they do may delay a letter or send it twice, and may change nothing else.

use std::sync::Arc;
use std::time::Duration;

use exchange_node::workers::wake::REDRIVE;
use exchange_store::rows::{Cause, Change, DeliveryQuery, EffectKind, NewEffect, PeerRow};
use schemas::ids::{DeliveryId, NodeId};
use schemas::time::{SECOND, Timestamp};

use crate::dice::Dice;
use crate::ground::at_once;
use crate::site::{Site, Topic};
use crate::tally::{Tally, count};

/// The neighbours of a site, and an act every few seconds until everything is healed.
pub async fn operate(site: Arc<Site>, neighbours: Vec<NodeId>, dice: Dice) {
    loop {
        nap(dice.between(2_000, 30_000)).await;
        if site.times.is_healed() {
            return;
        }
        match dice.below(3) {
            0 => hold(&site, dice.one(&neighbours), &dice).await,
            1 => redrive_dead(&site),
            _ => send_again(&site, &dice),
        }
    }
}

async fn nap(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// Holds what goes to a neighbour, for seconds or for an hour, and lets it go again.
async fn hold(site: &Site, peer: &NodeId, dice: &Dice) {
    let since = site.times.now();
    let until = since.plus(*dice.one(&[3, 40, 3_600]) * SECOND);
    rule(site, peer, Some(since));
    site.agenda.add(until.plus(site.skew));
    while site.times.now() < until && !site.times.is_healed() {
        nap(250).await;
    }
    rule(site, peer, None);
}

fn rule(site: &Site, peer: &NodeId, held_since: Option<Timestamp>) {
    count(Tally::Operator);
    site.times.note(|| format!("{}: operator: {peer} is held: {held_since:?}", site.plan.id));
    let known = at_once(site.store.peers()).unwrap().into_iter().find(|row| row.peer == *peer);
    let mut row = known.unwrap_or_else(|| PeerRow {
        peer: peer.clone(),
        held_since: None,
        reason: String::new(),
        rate: None,
        failing_since: None,
        paused_until: None,
        error: None,
    });
    row.held_since = held_since;
    at_once(site.store.rule_peer(&row)).unwrap();
    site.written(&[Topic::Queue]);
}

/// As `pli queue redrive`: what is dead is looked at again.
pub fn redrive_dead(site: &Site) {
    count(Tally::Operator);
    let due = site.times.now();
    let redriven = at_once(site.store.redrive(&[], due)).unwrap();
    site.times.note(|| format!("{}: operator: {redriven} redriven", site.plan.id));
    // A node whose clock is behind finds it not due yet.
    site.agenda.add(due);
    site.written(&[Topic::Queue]);
}

/// Has the node send one of its deliveries once more; what cannot be sent, it refuses itself.
fn send_again(site: &Site, dice: &Dice) {
    let rows = at_once(site.store.deliveries(&DeliveryQuery { limit: 100, ..Default::default() }));
    let mut ids: Vec<DeliveryId> = rows.unwrap().iter().map(|row| row.delivery.id).collect();
    if ids.is_empty() {
        return;
    }
    ids.sort();
    let id = *dice.one(&ids);
    count(Tally::Operator);
    site.times.note(|| format!("{}: operator: sends {id} again", site.plan.id));
    let due = site.times.now();
    at_once(site.store.commit(&[wake(id, due)])).unwrap();
    site.agenda.add(due);
    site.written(&[Topic::Queue]);
}

fn wake(delivery: DeliveryId, now: Timestamp) -> Change {
    let effect = NewEffect {
        kind: EffectKind::Wake,
        delivery: Some(delivery),
        to: None,
        order_key: delivery.to_string(),
        due: now,
        payload: REDRIVE.to_vec(),
    };
    Change { effects: vec![effect], ..Change::new(Cause::once(), now) }
}
