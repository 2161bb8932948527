//! Publications that the commit claims as it writes them, and what is known of an attempt.

use schemas::ids::DeliveryId;
use schemas::time::Timestamp;
use uuid::Uuid;

use super::tools::{NOON, Wrong, change, effect, node, only, same};
use crate::rows::{Claimed, EffectKind, Handed, NewEffect, PeerRow, Settlement};
use crate::{Store, open};

const LEASE: i64 = 1_000;

async fn bring(store: &dyn Store, cause: &str, effects: Vec<NewEffect>) -> Result<Handed, Wrong> {
    let mut change = change(cause);
    change.effects = effects;
    Ok(store.commit_and_claim(&[change], LEASE).await?)
}

fn payloads(claimed: &[Claimed]) -> Vec<String> {
    claimed.iter().map(|c| String::from_utf8_lossy(&c.effect.payload).into_owned()).collect()
}

async fn claim(store: &dyn Store, now: Timestamp) -> Result<Vec<Claimed>, Wrong> {
    Ok(store.claim(EffectKind::Publish, now, LEASE, 50).await?)
}

/// The commit hands out what a claim would: heads that are due, to peers of whom nothing is said.
pub(super) async fn the_commit_claims(url: String) -> Result<(), Wrong> {
    let store = open(&url).await?;
    let store = store.as_ref();
    let held = PeerRow {
        peer: node("dila")?,
        held_since: Some(NOON),
        reason: "panne".to_owned(),
        rate: None,
        failing_since: None,
        paused_until: None,
        error: None,
    };
    store.rule_peer(&held).await?;
    let effects = vec![
        effect("a", NOON, b"a1"),
        effect("a", NOON, b"a2"),
        effect("", NOON, b"free"),
        effect("later", NOON.plus(1), b"later"),
        NewEffect { to: Some(node("dila")?), ..effect("b", NOON, b"held") },
        NewEffect { kind: EffectKind::Wake, ..effect("c", NOON, b"wake") },
        NewEffect { to: None, ..effect("d", NOON, b"nowhere") },
    ];
    let first = bring(store, "first", effects).await?;
    same("handed", payloads(&first.claimed), ["a1", "free", "nowhere"])?;
    same("others wait", first.more, true)?;
    same("first attempts", first.claimed.iter().all(|c| c.attempts == 0 && !c.probe), true)?;
    same("leased", payloads(&claim(store, NOON).await?), Vec::<String>::new())?;
    let second = bring(store, "second", vec![effect("a", NOON, b"a3")]).await?;
    same("behind", (payloads(&second.claimed), second.more), (Vec::<String>::new(), true))?;
    let third = bring(store, "third", vec![effect("e", NOON, b"e")]).await?;
    same("alone", (payloads(&third.claimed), third.more), (vec!["e".to_owned()], false))?;
    // Without a lease it is a commit.
    let mut plain = change("plain");
    plain.effects = vec![effect("f", NOON, b"f")];
    let plain = store.commit_and_claim(&[plain], 0).await?;
    same("none", (plain.claimed.len(), plain.more), (0, true))?;
    same("for a claim", payloads(&claim(store, NOON).await?), ["f"])?;

    let a1 = only(first.claimed.into_iter().filter(|c| c.effect.payload == b"a1").collect())?;
    same("somebody follows", store.settle(&[Settlement::Done(a1.id)], NOON).await?, true)?;
    let a2 = only(claim(store, NOON).await?)?;
    same("the next", payloads(std::slice::from_ref(&a2)), ["a2"])?;
    let mut answer = change("answer");
    answer.settles = vec![a2.id];
    let answer = store.commit_and_claim(&[answer], LEASE).await?;
    same("the one after", (answer.claimed.len(), answer.more), (0, true))?;
    let e = only(third.claimed)?;
    same("nobody follows", store.settle(&[Settlement::Done(e.id)], NOON).await?, false)?;
    // What was handed to a process that died is claimed by another.
    let mut again = payloads(&claim(store, NOON.plus(LEASE)).await?);
    again.sort_unstable();
    same("leases ran out", again, ["a3", "f", "free", "later", "nowhere"])
}

/// A dispatch was tried from its claim until somebody writes down what came of it.
pub(super) async fn what_was_tried(url: String) -> Result<(), Wrong> {
    let store = open(&url).await?;
    let store = store.as_ref();
    let [one, two, three] = [1, 2, 3].map(|n| DeliveryId(Uuid::from_u128(n)));
    let dispatch = |to: DeliveryId, due| NewEffect {
        delivery: Some(to),
        ..effect(&format!("cd-34/message/{to}"), due, b"")
    };
    let evidence = NewEffect { delivery: Some(three), ..effect("cd-34/evidence/3", NOON, b"") };
    let later = dispatch(two, NOON.plus(1));
    let handed = bring(store, "c", vec![dispatch(one, NOON), later, evidence]).await?;
    same("one and the evidence", handed.claimed.len(), 2)?;
    let tried = async || store.tried(&[one, two, three]).await;
    same("one is on its way", tried().await?, [one])?;
    same("nobody asked", store.tried(&[two]).await?.len(), 0)?;
    let id = handed.claimed.iter().find(|c| c.effect.delivery == Some(one)).map_or(0, |c| c.id);
    let due = NOON.plus(5);
    let failed = Settlement::Retry { id, due, error: "no lane".to_owned() };
    store.settle(&[failed], NOON).await?;
    same("it failed", tried().await?.len(), 0)?;
    same("both", claim(store, NOON.plus(5)).await?.len(), 2)?;
    let mut found = tried().await?;
    found.sort_unstable();
    same("tried again", found, [one, two])
}
