//! Held, throttled, paused: what every claim obeys.

use std::collections::HashSet;

use schemas::time::{SECOND, Timestamp};

use super::tools::{NOON, Wrong, change, effect, node, only, same, written};
use crate::rows::{Claimed, EffectKind, NewEffect, PeerRow, Settlement};
use crate::{Store, open};

/// Longer than these checks last.
const LEASE: i64 = 86_400 * SECOND;

async fn claim(store: &dyn Store, now: Timestamp) -> Result<Vec<Claimed>, Wrong> {
    Ok(store.claim(EffectKind::Publish, now, LEASE, 50).await?)
}

/// How many for each of the two destinations.
async fn claimed(store: &dyn Store, now: Timestamp) -> Result<(usize, usize), Wrong> {
    let claimed = claim(store, now).await?;
    let to = |name: &str| {
        let is = |c: &&Claimed| c.effect.to.as_ref().is_some_and(|to| to.as_str() == name);
        claimed.iter().filter(is).count()
    };
    Ok((to("cd-34"), to("dila")))
}

/// So many effects for each destination, none behind another.
async fn bring(store: &dyn Store, cause: &str, count: usize) -> Result<(), Wrong> {
    let mut effects = vec![effect("", NOON, b"to cd-34"); count];
    let other = NewEffect { to: Some(node("dila")?), ..effect("", NOON, b"to dila") };
    effects.extend(vec![other; count]);
    let mut change = change(cause);
    change.effects = effects;
    written(store, &[change]).await
}

fn said(peer: &str) -> Result<PeerRow, Wrong> {
    Ok(PeerRow {
        peer: node(peer)?,
        held_since: None,
        reason: String::new(),
        rate: None,
        failing_since: None,
        paused_until: None,
        error: None,
    })
}

/// What is held waits, and nobody else does; released, it goes.
pub(super) async fn held_and_released(url: String) -> Result<(), Wrong> {
    let store = open(&url).await?;
    let store = store.as_ref();
    bring(store, "c", 3).await?;
    let reason = "leur base est en réparation".to_owned();
    let held = PeerRow { held_since: Some(NOON), reason, ..said("cd-34")? };
    store.rule_peer(&held).await?;
    same("what is said", store.peers().await?, vec![held.clone()])?;
    same("only the other", claimed(store, NOON).await?, (0, 3))?;
    let node = node("cd-34")?;
    store.pause_peer(&node, NOON.plus(1), "no route").await?;
    store.resume_peer(&node).await?;
    same("the breaker releases nothing", store.peers().await?, vec![held])?;
    store.rule_peer(&said("cd-34")?).await?;
    same("nothing is said", store.peers().await?.len(), 0)?;
    same("released", claimed(store, NOON).await?, (3, 0))
}

/// A rate is kept over time, by all replicas together, and only for its destination.
pub(super) async fn throttled(url: String) -> Result<(), Wrong> {
    let stores = [open(&url).await?, open(&url).await?];
    let [one, other] = &stores;
    bring(one.as_ref(), "c", 40).await?;
    one.rule_peer(&PeerRow { rate: Some(2_000), ..said("cd-34")? }).await?;
    let (first, rest) = claimed(one.as_ref(), NOON).await?;
    same("the other goes at once", rest, 40)?;
    let mut taken = first;
    for step in 1..=100 {
        let store = if step % 2 == 0 { one } else { other };
        taken += claimed(store.as_ref(), NOON.plus(step * 100)).await?.0;
    }
    same("two a second for ten seconds, and what was saved", (20..=23).contains(&taken), true)?;
    one.rule_peer(&said("cd-34")?).await?;
    same("the rest", claimed(one.as_ref(), NOON.plus(10_001)).await?.0, 40 - taken)
}

/// A paused peer gets one probe at a time, rests longer the longer it fails, and is free again.
pub(super) async fn paused_and_probed(url: String) -> Result<(), Wrong> {
    let store = open(&url).await?;
    let store = store.as_ref();
    bring(store, "c", 5).await?;
    let peer = node("cd-34")?;
    store.pause_peer(&peer, NOON, "the queue is full").await?;
    same("others go on", claimed(store, NOON).await?, (0, 5))?;
    let now = NOON.plus(5 * SECOND);
    let probe = only(claim(store, now).await?)?;
    same("a probe", probe.probe, true)?;
    same("one at a time", claimed(store, now.plus(4_999)).await?, (0, 0))?;
    store.pause_peer(&peer, now, "still full").await?;
    let row = only(store.peers().await?)?;
    let known = (row.failing_since, row.error.as_deref());
    same("since the first failure", known, (Some(NOON), Some("still full")))?;
    let late = NOON.plus(3_600 * SECOND);
    same("a probe", claimed(store, late).await?, (1, 0))?;
    same("rests a minute", claimed(store, late.plus(59 * SECOND)).await?, (0, 0))?;
    let last = only(claim(store, late.plus(60 * SECOND)).await?)?;
    same("the third probe", last.probe, true)?;
    store.resume_peer(&peer).await?;
    same("nothing is said", store.peers().await?.len(), 0)?;
    let free = claim(store, late.plus(60 * SECOND)).await?;
    same("all that is left", (free.len(), free.iter().any(|c| c.probe)), (2, false))
}

/// Whatever keeps the first of a key back, none behind it goes: not while its destination is held,
/// throttled or paused, nor while it is leased to another replica, failed or waits to be tried again.
pub(super) async fn what_is_kept_back_is_not_overtaken(url: String) -> Result<(), Wrong> {
    let stores = [open(&url).await?, open(&url).await?];
    let [store, other] = &stores;
    let (store, other) = (store.as_ref(), other.as_ref());
    let names: [&[u8]; 4] = [b"1", b"2", b"3", b"4"];
    let mut change = change("c");
    change.effects = names.map(|name| effect("k", NOON, name)).to_vec();
    written(store, &[change]).await?;
    let next = async |store: &dyn Store, now, name: &[u8]| {
        let one = only(claim(store, now).await?)?;
        same("in order", one.effect.payload.as_slice(), name)?;
        same("alone", claim(other, now).await?.len(), 0)?;
        Ok::<_, Wrong>(one)
    };
    store.rule_peer(&PeerRow { held_since: Some(NOON), ..said("cd-34")? }).await?;
    same("held", claim(other, NOON).await?.len(), 0)?;
    store.rule_peer(&said("cd-34")?).await?;
    let first = next(store, NOON, b"1").await?;
    let retry =
        Settlement::Retry { id: first.id, due: NOON.plus(SECOND), error: "reset".to_owned() };
    store.settle(&[retry], NOON).await?;
    same("failed, and waits", claim(other, NOON.plus(999)).await?.len(), 0)?;
    let first = next(store, NOON.plus(SECOND), b"1").await?;
    store.settle(&[Settlement::Done(first.id)], NOON).await?;
    store.rule_peer(&PeerRow { rate: Some(60_000), ..said("cd-34")? }).await?;
    let second = next(store, NOON.plus(10 * SECOND), b"2").await?;
    store.settle(&[Settlement::Done(second.id)], NOON).await?;
    store.rule_peer(&said("cd-34")?).await?;
    let now = NOON.plus(60 * SECOND);
    store.pause_peer(&node("cd-34")?, NOON, "away").await?;
    let probe = next(store, now, b"3").await?;
    same("a probe", probe.probe, true)?;
    store.resume_peer(&node("cd-34")?).await?;
    same("its lease lasts", claim(other, now).await?.len(), 0)?;
    let again = next(store, now.plus(LEASE), b"3").await?;
    store.settle(&[Settlement::Done(again.id)], now).await?;
    next(store, now.plus(LEASE), b"4").await.map(drop)
}

/// Eight workers on two handles get one probe between them.
pub(super) async fn one_probe_among_replicas(url: String) -> Result<(), Wrong> {
    let stores = [open(&url).await?, open(&url).await?];
    if let Some(store) = stores.first() {
        bring(store.as_ref(), "c", 20).await?;
        store.pause_peer(&node("cd-34")?, NOON, "away").await?;
    }
    let workers = (0..8).zip(stores.iter().cycle()).map(|(_, store)| {
        let store = store.clone();
        tokio::spawn(async move {
            store.claim(EffectKind::Publish, NOON.plus(5 * SECOND), LEASE, 50).await
        })
    });
    let mut probes = 0;
    let mut ids = HashSet::new();
    for worker in workers.collect::<Vec<_>>() {
        for claim in worker.await?? {
            probes += usize::from(claim.probe);
            ids.insert(claim.id);
        }
    }
    same("one probe, and all for the other", (probes, ids.len()), (1, 21))
}
