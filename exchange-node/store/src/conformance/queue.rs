//! Leases, order, death.

use std::collections::{HashMap, HashSet};

use schemas::time::Timestamp;

use super::tools::{NOON, Wrong, change, effect, ensure, only, same, written};
use crate::rows::{Claimed, EffectKind, NewEffect, QueueQuery, SetAside, Settlement};
use crate::{Store, open};

const LEASE: i64 = 1_000;

async fn claim(store: &dyn Store, now: Timestamp, limit: u32) -> Result<Vec<Claimed>, Wrong> {
    Ok(store.claim(EffectKind::Publish, now, LEASE, limit).await?)
}

fn payloads(claimed: &[Claimed]) -> Vec<String> {
    claimed.iter().map(|c| String::from_utf8_lossy(&c.effect.payload).into_owned()).collect()
}

async fn bring(store: &dyn Store, cause: &str, effects: Vec<NewEffect>) -> Result<(), Wrong> {
    let mut change = change(cause);
    change.effects = effects;
    written(store, &[change]).await
}

/// One of a key at a time, in order; a lease that ran out is claimable again.
pub(super) async fn leases_and_order(url: String) -> Result<(), Wrong> {
    let store = open(&url).await?;
    let store = store.as_ref();
    let later = effect("c", NOON.plus(5), b"c1");
    let wake = NewEffect { kind: EffectKind::Wake, ..effect("a", NOON, b"wake") };
    let effects = vec![
        effect("a", NOON.plus(2), b"a1"),
        effect("a", NOON, b"a2"),
        effect("b", NOON.plus(1), b"b1"),
        later,
        wake,
        effect("", NOON.plus(3), b"free 1"),
        effect("", NOON.plus(3), b"free 2"),
    ];
    bring(store, "first", effects).await?;
    bring(store, "second", vec![effect("b", NOON, b"b2")]).await?;
    let now = NOON.plus(4);
    let first = claim(store, now, 10).await?;
    same("heads, by due time", payloads(&first), ["b1", "a1", "free 1", "free 2"])?;
    same("all leased", claim(store, now, 10).await?.len(), 0)?;
    same("another kind", store.claim(EffectKind::Wake, now, LEASE, 9).await?.len(), 1)?;
    let id = |name: &str| {
        let found = first.iter().find(|c| c.effect.payload == name.as_bytes());
        found.map(|c| c.id).ok_or_else(|| Wrong(format!("{name} was not claimed")))
    };
    let retry = Settlement::Retry { id: id("b1")?, due: now.plus(100), error: "down".into() };
    store
        .settle(&[Settlement::Done(id("a1")?), retry, Settlement::Done(id("free 2")?)], now)
        .await?;
    same("the next of a", payloads(&claim(store, now, 10).await?), ["a2"])?;
    same("b waits", payloads(&claim(store, now.plus(99), 10).await?), ["c1"])?;
    let again = only(claim(store, now.plus(100), 10).await?)?;
    same("b again", (again.attempts, payloads(&[again])), (1, vec!["b1"]))?;
    // a2, c1, b1 and the free one are leased; their leases run out.
    let lost = claim(store, now.plus(LEASE + 100), 2).await?;
    same("lost leases, at most two", payloads(&lost), ["a2", "free 1"])?;
    let rest = claim(store, now.plus(LEASE + 100), 9).await?;
    same("the others", payloads(&rest), ["c1", "b1"])?;
    let done: Vec<Settlement> = lost.iter().chain(&rest).map(|c| Settlement::Done(c.id)).collect();
    store.settle(&done, now).await?;
    let last = only(claim(store, now.plus(9 * LEASE), 9).await?)?;
    same("the younger of b", payloads(std::slice::from_ref(&last)), ["b2"])?;
    // A change may settle what it answers, and its own effects queue up behind.
    let mut answer = change("answer");
    answer.settles = vec![last.id];
    answer.effects = vec![effect("b", NOON, b"b3")];
    written(store, &[answer]).await?;
    same("settled by a change", payloads(&claim(store, now, 9).await?), ["b3"])
}

/// Whether something of a key waits: leased, retried, handed on, redriven; not when it is dead.
pub(super) async fn what_waits_of_a_key(url: String) -> Result<(), Wrong> {
    let store = open(&url).await?;
    let store = store.as_ref();
    let keys = ["a", "b", "c"].map(str::to_owned);
    let waits = async || {
        let mut waiting = store.waiting(EffectKind::Publish, &keys).await?;
        waiting.sort();
        Ok::<_, Wrong>(waiting.join(" "))
    };
    same("nothing yet", waits().await?, "")?;
    let wake = NewEffect { kind: EffectKind::Wake, ..effect("c", NOON, b"wake") };
    let later = effect("b", NOON.plus(9), b"b1");
    let effects = vec![effect("a", NOON, b"a1"), effect("a", NOON, b"a2"), later, wake];
    bring(store, "c", effects).await?;
    same("of this kind, due or not", waits().await?, "a b")?;
    let first = only(claim(store, NOON, 9).await?)?;
    same("leased", waits().await?, "a b")?;
    let retry = Settlement::Retry { id: first.id, due: NOON.plus(99), error: "down".into() };
    store.settle(&[retry], NOON).await?;
    same("retried", waits().await?, "a b")?;
    store.settle(&[Settlement::Done(first.id)], NOON).await?;
    same("the next", waits().await?, "a b")?;
    let next = only(claim(store, NOON, 9).await?)?;
    store.settle(&[Settlement::Dead { id: next.id, error: "refused".into() }], NOON).await?;
    same("a dead one waits no more", waits().await?, "b")?;
    same("redriven", store.redrive(&[next.id], NOON).await?, 1)?;
    same("it waits again", waits().await?, "a b")?;
    // The head goes with the change that answers it: at no instant is neither to be seen.
    let mut answer = change("answer");
    answer.settles = vec![only(claim(store, NOON, 9).await?)?.id];
    written(store, &[answer]).await?;
    same("settled by a change", waits().await?, "b")?;
    same("of no keys", store.waiting(EffectKind::Publish, &[]).await?.len(), 0)
}

/// The dead make way; redriven, they go before the younger that still wait.
pub(super) async fn death_and_redrive(url: String) -> Result<(), Wrong> {
    let store = open(&url).await?;
    let store = store.as_ref();
    let names: [&[u8]; 5] = [b"1", b"2", b"3", b"4", b"5"];
    bring(store, "c", names.map(|name| effect("k", NOON, name)).to_vec()).await?;
    for name in ["1", "2"] {
        let one = only(claim(store, NOON, 9).await?)?;
        same("in order", payloads(std::slice::from_ref(&one)), [name])?;
        store.settle(&[Settlement::Dead { id: one.id, error: "refused".into() }], NOON).await?;
    }
    let third = only(claim(store, NOON, 9).await?)?;
    same("the dead make way", payloads(std::slice::from_ref(&third)), ["3"])?;
    let listed = store.queue(&QueueQuery { to: None, after: 0, limit: 9 }).await?;
    let states: Vec<&str> = listed.iter().map(|r| r.state.as_str()).collect();
    same("states", states, ["dead", "dead", "waiting", "waiting", "waiting"])?;
    let dead = listed.first().map(|r| (r.attempts, r.error.clone(), r.due, r.size, r.peer.clone()));
    same("a dead one", dead, Some((1, Some("refused"), None::<()>, 1, "cd-34")))?;
    same("counted", store.counts(NOON).await?.dead, 2)?;
    same("redriven", store.redrive(&[], NOON).await?, 2)?;
    same("none twice", store.redrive(&[], NOON).await?, 0)?;
    same("three is in flight", claim(store, NOON, 9).await?.len(), 0)?;
    store.settle(&[Settlement::Done(third.id)], NOON).await?;
    let mut order = Vec::new();
    while let Some(one) = claim(store, NOON, 9).await?.pop() {
        store.settle(&[Settlement::Done(one.id)], NOON).await?;
        order.extend(payloads(&[one]));
    }
    same("then in order", order, ["1", "2", "4", "5"])?;
    same("nobody knows this one", store.redrive(&[1], NOON).await?, 0)
}

/// What an operator closes stays for reading, and is neither dead nor ever redriven.
pub(super) async fn closed_is_not_dead(url: String) -> Result<(), Wrong> {
    let store = open(&url).await?;
    let store = store.as_ref();
    let names: [&[u8]; 3] = [b"1", b"2", b"3"];
    bring(store, "c", names.map(|name| effect("k", NOON, name)).to_vec()).await?;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let one = only(claim(store, NOON, 9).await?)?;
        ids.push(one.id);
        store.settle(&[Settlement::Dead { id: one.id, error: "refused".into() }], NOON).await?;
    }
    let third = only(claim(store, NOON, 9).await?)?;
    let first = ids.first().copied().unwrap_or_default();
    let closed = store.close_dead(&[first, third.id, 9_999]).await?;
    same("of these only the dead one", closed, [first])?;
    same("not twice", store.close_dead(&[first]).await?.len(), 0)?;
    same("one is left", store.counts(NOON).await?.dead, 1)?;
    let listed = store.queue(&QueueQuery { to: None, after: 0, limit: 9 }).await?;
    let states: Vec<&str> = listed.iter().map(|r| r.state.as_str()).collect();
    same("kept", states, ["closed", "dead", "waiting"])?;
    let kept = listed.first().map(|r| (r.error.clone(), r.size));
    same("with its error and its payload", kept, Some((Some("refused"), 1)))?;
    same("none of them comes back", store.redrive(&[first], NOON).await?, 0)?;
    same("all that are dead", store.redrive(&[], NOON).await?, 1)
}

/// Frames that were not believed are kept, each once.
pub(super) async fn set_aside_once(url: String) -> Result<(), Wrong> {
    let store = open(&url).await?;
    let frame = |id: &str, body: &[u8]| SetAside {
        frame_id: id.to_owned(),
        lane: "message".to_owned(),
        source: "cd-34".to_owned(),
        code: "seal-invalid".to_owned(),
        detail: "the seal does not verify".to_owned(),
        body: body.to_vec(),
        frame: [id.as_bytes(), body].concat(),
        at: NOON,
    };
    let frames = [frame("f1", b"a"), frame("f1", b"b"), frame("f2", b"a"), frame("f1", b"a")];
    store.set_aside(&frames).await?;
    store.set_aside(&frames).await?;
    bring(store.as_ref(), "c", vec![effect("k", NOON, b"x")]).await?;
    let listed = store.queue(&QueueQuery { to: None, after: 0, limit: 9 }).await?;
    same("kept", listed.len(), 3 + 1)?;
    let first = listed.first().map(|r| (r.id, r.state.clone(), r.error.clone()));
    let Some((id, state, error)) = first else { return Ok(()) };
    let text = "seal-invalid: the seal does not verify";
    same("reason", (state, error), ("set-aside", Some(text)))?;
    same("after", store.queue(&QueueQuery { to: None, after: id, limit: 2 }).await?.len(), 2)?;
    let of = |to: &str| QueueQuery { to: to.parse().ok(), after: 0, limit: 9 };
    same("of a peer", store.queue(&of("cd-34")).await?.len(), 4)?;
    same("of another", store.queue(&of("dila")).await?.len(), 0)?;
    same("never claimed", claim(store.as_ref(), NOON, 9).await?.len(), 1)?;
    store.settle(&[Settlement::Done(id)], NOON).await?;
    same("never settled away", store.counts(NOON).await?.set_aside, 3)?;
    same("redriven only by name", store.redrive(&[], NOON).await?, 0)?;
    same("by name", store.redrive(&[id], NOON).await?, 1)?;
    let wakes = async || store.claim(EffectKind::Wake, NOON, LEASE, 9).await;
    let again = only(wakes().await?)?;
    same("whole", payloads(std::slice::from_ref(&again)), ["f1a"])?;
    ensure!(again.effect.to.is_none(), "it goes to somebody");
    store.settle(&[Settlement::Dead { id, error: "still not believed".into() }], NOON).await?;
    let counts = store.counts(NOON).await?;
    same("kept as a dead letter", (counts.set_aside, counts.dead), (2, 1))?;
    store.set_aside(&frames).await?;
    same("the same frame once more", store.counts(NOON).await?.set_aside, 3)?;
    same("and again", store.redrive(&[id], NOON).await?, 1)?;
    same("still whole", payloads(&wakes().await?), ["f1a"])
}

/// A key with thousands of waiting rows keeps nobody else waiting, and stays in order.
pub(super) async fn one_hot_key_among_many(url: String) -> Result<(), Wrong> {
    let store = open(&url).await?;
    let store = store.as_ref();
    let hot: Vec<NewEffect> =
        (0..3_000).map(|i| effect("hot", NOON, format!("{i}").as_bytes())).collect();
    bring(store, "hot", hot).await?;
    let many = (0..300).map(|i| effect(&format!("cold {i}"), NOON.plus(1), b"cold")).collect();
    bring(store, "many", many).await?;
    let first = claim(store, NOON.plus(1), 1_000).await?;
    same("one of the hot key and all others", first.len(), 301)?;
    let done: Vec<Settlement> = first.iter().map(|c| Settlement::Done(c.id)).collect();
    store.settle(&done, NOON).await?;
    for i in 1..40 {
        let one = only(claim(store, NOON.plus(1), 1_000).await?)?;
        same("in order", payloads(std::slice::from_ref(&one)), [i.to_string()])?;
        store.settle(&[Settlement::Done(one.id)], NOON).await?;
    }
    Ok(())
}

/// Eight workers over two handles: each effect once, each key in order.
pub(super) async fn claims_at_once(url: String) -> Result<(), Wrong> {
    let stores = [open(&url).await?, open(&url).await?];
    let effects = (0..400)
        .map(|i| effect(&format!("{}", i % 40), NOON, format!("{}/{}", i % 40, i / 40).as_bytes()))
        .collect();
    if let Some(store) = stores.first() {
        bring(store.as_ref(), "c", effects).await?;
    }
    let workers = (0..8).zip(stores.iter().cycle()).map(|(_, store)| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut seen = Vec::new();
            let mut idle = 0;
            while idle < 50 {
                let claimed = store.claim(EffectKind::Publish, NOON, LEASE, 7).await?;
                if claimed.is_empty() {
                    idle += 1;
                    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                    continue;
                }
                idle = 0;
                seen.extend(payloads(&claimed).into_iter().map(|p| (std::time::Instant::now(), p)));
                let done: Vec<_> = claimed.iter().map(|c| Settlement::Done(c.id)).collect();
                store.settle(&done, NOON).await?;
            }
            Ok::<_, crate::StoreError>(seen)
        })
    });
    let mut seen = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        seen.extend(worker.await??);
    }
    seen.sort();
    let unique: HashSet<&String> = seen.iter().map(|(_, payload)| payload).collect();
    same("each once", (seen.len(), unique.len()), (400, 400))?;
    let mut next: HashMap<&str, u32> = HashMap::new();
    for (_, payload) in &seen {
        let (key, turn) = payload.split_once('/').unwrap_or_default();
        let expected = next.entry(key).or_default();
        ensure!(turn == expected.to_string(), "{payload} before turn {expected}");
        *expected += 1;
    }
    Ok(())
}
