//! What must be true when several write, and when connections break.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use schemas::event::Event;
use schemas::ids::DeliveryId;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};

use super::tools::{
    NOON, Sample, Wrong, change, effect, ensure, event, feed, same, write, written,
};
use crate::rows::{Cause, Change, Committed, DeliveryQuery, EffectKind};
use crate::{Store, StoreError, open};

const SIRET: &str = "13002526500013";

/// A repeat gets what the first got, in another batch or in the same one, and writes nothing.
pub(super) async fn causes_are_idempotent(url: String) -> Result<(), Wrong> {
    let store = open(&url).await?;
    let sample = Sample::new(SIRET, 1)?;
    let mut first = sample.arrival("cause");
    first.events = vec![event("m", "1")];
    first.effects = vec![effect("k", NOON, b"1")];
    let mut repeat = first.clone();
    repeat.outcome = b"another outcome".to_vec();
    repeat.events = vec![event("m", "repeat")];
    let known = Committed::Known(first.outcome.clone());
    let both = store.commit(&[first.clone(), repeat.clone()]).await?;
    same("in one batch", both, [Committed::Written, known.clone()])?;
    let other = change("other");
    let later = store.commit(&[repeat, other, first]).await?;
    same("in another batch", later, [known.clone(), Committed::Written, known])?;
    same("events", feed(store.as_ref(), "m").await?.len(), 1)?;
    same("effects", store.claim(EffectKind::Publish, NOON, 1, 9).await?.len(), 1)?;
    same("nothing", store.commit(&[]).await?.len(), 0)
}

/// A change in conflict leaves whole, with its cause; its neighbours stay.
pub(super) async fn conflict_in_the_middle(url: String) -> Result<(), Wrong> {
    let store = open(&url).await?;
    let (old, new) = (Sample::new(SIRET, 2)?, Sample::new(SIRET, 1)?);
    written(store.as_ref(), &[old.arrival("old")]).await?;
    let stale = |cause: &str, expected| -> Result<Change, Wrong> {
        let mut change = change(cause);
        // The first of its deliveries fits, the second does not: neither is written.
        let versions = [Some(1), expected];
        let writes = old.deliveries.iter().zip(versions).map(|(d, v)| write(d.clone(), v));
        change.deliveries = writes.collect();
        change.evidence = vec![old.evidence(Event::ContentConsignment, 50)?];
        change.events = vec![event("m", cause)];
        change.effects = vec![effect(cause, NOON, cause.as_bytes())];
        Ok(change)
    };
    let mut fine = new.arrival("fine");
    fine.events = vec![event("m", "fine")];
    let batch = [stale("stale", Some(7))?, fine, stale("exists", None)?, stale("again", Some(7))?];
    let answers = store.commit(&batch).await?;
    let conflict = Committed::Conflict;
    same("answers", answers, [&conflict, &Committed::Written, &conflict, &conflict])?;
    let events: Vec<String> = feed(store.as_ref(), "m").await?.into_iter().map(|e| e.1).collect();
    same("events", events, ["fine"])?;
    same("effects", store.claim(EffectKind::Publish, NOON, 1, 9).await?.len(), 0)?;
    same("evidence", store.evidence_of(old.envelope.message_id).await?.len(), 0)?;
    let causes: Vec<Cause> = batch.iter().map(|c| c.cause.clone()).collect();
    let ids: Vec<DeliveryId> = old.deliveries.iter().map(|d| d.id).collect();
    let loaded = store.load(&causes, &ids, &[]).await?;
    same("causes", loaded.outcomes.len(), 1)?;
    let versions: Vec<Option<i64>> =
        ids.iter().map(|id| loaded.deliveries.get(id).map(|(_, v)| *v)).collect();
    same("versions", versions, [Some(1), Some(1)])?;
    // Decided again with the versions that were loaded, under the same cause.
    same("again", store.commit(&[stale("stale", Some(1))?]).await?, [Committed::Written])
}

/// A batch counts as if its changes were written one after the other.
pub(super) async fn chains_in_a_batch(url: String) -> Result<(), Wrong> {
    let store = open(&url).await?;
    let sample = Sample::new(SIRET, 1)?;
    let delivery = sample.first()?;
    let next = |cause: &str, attempts, expected| {
        let mut delivery = delivery.clone();
        delivery.attempts = attempts;
        let mut change = change(cause);
        change.deliveries = vec![write(delivery, expected)];
        change
    };
    let batch = [
        sample.arrival("new"),
        next("one", 1, Some(1)),
        next("stale", 99, Some(1)),
        next("two", 2, Some(2)),
    ];
    let answers = store.commit(&batch).await?;
    let (written, conflict) = (&Committed::Written, &Committed::Conflict);
    same("answers", answers, [written, written, conflict, written])?;
    let loaded = store.load(&[], &[delivery.id], &[]).await?;
    let last = loaded.deliveries.get(&delivery.id).map(|(d, version)| (d.attempts, *version));
    same("the last one stays", last, Some((2, 3)))
}

/// Eight tasks over two handles add to the same deliveries: nothing is lost, nothing twice.
pub(super) async fn writers_at_once(url: String) -> Result<(), Wrong> {
    let stores = [open(&url).await?, open(&url).await?];
    let sample = Sample::new(SIRET, 10)?;
    if let Some(store) = stores.first() {
        written(store.as_ref(), &[sample.arrival("arrival")]).await?;
    }
    let ids: Arc<Vec<DeliveryId>> = Arc::new(sample.deliveries.iter().map(|d| d.id).collect());
    let tasks = (0..8).zip(stores.iter().cycle()).map(|(task, store)| {
        let (store, ids) = (store.clone(), Arc::clone(&ids));
        tokio::spawn(async move { add_to_all(store.as_ref(), &ids, task).await })
    });
    let mut added = 0;
    for task in tasks.collect::<Vec<_>>() {
        added += task.await??;
    }
    same("additions", added, 8 * 10 * 3)?;
    if let Some(store) = stores.first() {
        let query = DeliveryQuery { messages: Vec::new(), after: 0, limit: 99 };
        let rows = store.deliveries(&query).await?;
        let sum: u32 = rows.iter().map(|r| r.delivery.attempts).sum();
        let versions: i64 = rows.iter().map(|r| r.version - 1).sum();
        same("sums", (sum, versions), (added, i64::from(added)))?;
        let events = feed(store.as_ref(), "m").await?.len();
        same("events", u32::try_from(events).unwrap_or(0), added)?;
    }
    Ok(())
}

/// Adds one to each delivery, three times over, deciding again after each conflict.
async fn add_to_all(store: &dyn Store, ids: &[DeliveryId], task: u32) -> Result<u32, StoreError> {
    let mut open: Vec<(DeliveryId, u32)> =
        ids.iter().flat_map(|id| (0..3).map(move |turn| (*id, turn))).collect();
    let mut added = 0;
    while !open.is_empty() {
        let wanted: Vec<DeliveryId> = open.iter().map(|(id, _)| *id).collect();
        let loaded = store.load(&[], &wanted, &[]).await?;
        let mut batch = Vec::new();
        for (id, turn) in &open {
            let Some((delivery, version)) = loaded.deliveries.get(id) else { continue };
            let mut delivery = delivery.clone();
            delivery.attempts += 1;
            let mut one = change(&format!("{task}/{turn}/{id}"));
            one.deliveries = vec![write(delivery, Some(*version))];
            one.events = vec![event("m", &one.cause.0)];
            batch.push(one);
        }
        let answers = store.commit(&batch).await?;
        let mut kept = answers.iter().map(|answer| *answer == Committed::Conflict);
        open.retain(|_| kept.next().unwrap_or(true));
        added += u32::try_from(answers.iter().filter(|a| **a == Committed::Written).count())
            .unwrap_or(0);
    }
    Ok(added)
}

/// Eight tasks with one cause: one is written, the others learn its outcome.
pub(super) async fn one_cause_at_once(url: String) -> Result<(), Wrong> {
    let stores = [open(&url).await?, open(&url).await?];
    for round in 0..20 {
        let tasks = (0..8).zip(stores.iter().cycle()).map(|(task, store)| {
            let store = store.clone();
            let mut one = change(&format!("round {round}"));
            one.outcome = vec![task];
            one.events = vec![event("m", &one.cause.0)];
            let filler = change(&format!("filler {round}/{task}"));
            // In different places of their batches: no two wait for each other for ever.
            let batch = if task % 2 == 0 { [one, filler] } else { [filler, one] };
            tokio::spawn(async move { (task, store.commit(&batch).await) })
        });
        let mut first = None;
        let mut known = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            let (task, answers) = task.await?;
            let answers = answers?;
            let one = if task % 2 == 0 { answers.first() } else { answers.last() };
            match one {
                Some(Committed::Written) if first.is_none() => first = Some(vec![task]),
                Some(Committed::Known(outcome)) => known.push(outcome.clone()),
                other => return Err(Wrong(format!("round {round}: {other:?} beside {first:?}"))),
            }
        }
        ensure!(
            known.len() == 7 && known.iter().all(|k| Some(k) == first.as_ref()),
            "round {round}: {known:?} beside {first:?}"
        );
    }
    if let Some(store) = stores.first() {
        same("events", feed(store.as_ref(), "m").await?.len(), 20)?;
    }
    Ok(())
}

/// Eight tasks insert the same delivery for different reasons: one is written.
pub(super) async fn one_new_delivery_at_once(url: String) -> Result<(), Wrong> {
    let stores = [open(&url).await?, open(&url).await?];
    for round in 0..10 {
        let sample = Sample::new(SIRET, 1)?;
        let tasks = (0..8).zip(stores.iter().cycle()).map(|(task, store)| {
            let store = store.clone();
            let batch =
                [sample.arrival(&format!("{round}/{task}")), change(&format!("f{round}/{task}"))];
            tokio::spawn(async move { store.commit(&batch).await })
        });
        let mut answers: HashMap<String, u32> = HashMap::new();
        for task in tasks.collect::<Vec<_>>() {
            let both = task.await??;
            same("the other change", both.last(), Some(Committed::Written))?;
            *answers.entry(format!("{:?}", both.first())).or_default() += 1;
        }
        let count = |answer: Committed| answers.get(&format!("{:?}", Some(answer))).copied();
        same("round", (count(Committed::Written), count(Committed::Conflict)), (Some(1), Some(7)))?;
    }
    Ok(())
}

/// A reader that follows a feed while four write to it misses nothing.
pub(super) async fn feeds_stay_in_order(url: String) -> Result<(), Wrong> {
    let stores = [open(&url).await?, open(&url).await?];
    let stop = Arc::new(AtomicBool::new(false));
    let reader = {
        let (store, stop) = (open(&url).await?, Arc::clone(&stop));
        tokio::spawn(async move {
            let mut seen = Vec::new();
            loop {
                let last_round = stop.load(Ordering::SeqCst);
                let after = seen.last().copied().unwrap_or(0);
                let rows = store.events("m", after, 1_000).await?;
                seen.extend(rows.iter().map(|row| row.seq));
                if rows.is_empty() && last_round {
                    return Ok::<Vec<i64>, StoreError>(seen);
                }
            }
        })
    };
    let writers = (0..4).zip(stores.iter().cycle()).map(|(task, store)| {
        let store = store.clone();
        tokio::spawn(async move {
            for turn in 0..60 {
                let mut one = change(&format!("{task}/{turn}"));
                // Batches of different lengths, so that commits overtake each other.
                one.events = (0..1 + (turn * 7 + task * 3) % 20)
                    .map(|i| event("m", &format!("{task}/{turn}/{i}")))
                    .collect();
                store.commit(&[one]).await?;
            }
            Ok::<(), StoreError>(())
        })
    });
    for writer in join_all(writers.collect::<Vec<_>>()).await {
        writer??;
    }
    stop.store(true, Ordering::SeqCst);
    let seen = reader.await??;
    let all: Vec<i64> = match stores.first() {
        Some(store) => feed(store.as_ref(), "m").await?.into_iter().map(|e| e.0).collect(),
        None => Vec::new(),
    };
    ensure!(all.len() > 500, "only {} events", all.len());
    same("what the reader saw", seen, all)
}

/// Connections are cut in the middle of batches: what is repeated is written once.
pub(super) async fn broken_connections(url: String) -> Result<(), Wrong> {
    if !url.starts_with("postgres") {
        return Ok(());
    }
    let store = open(&url).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let knife = {
        let (url, stop) = (url.clone(), Arc::clone(&stop));
        tokio::spawn(async move { cut_connections(&url, &stop).await })
    };
    let tasks = (0..4).map(|task| {
        let store = store.clone();
        tokio::spawn(async move { write_through_cuts(store.as_ref(), task).await })
    });
    let mut unavailable = 0;
    for task in join_all(tasks.collect::<Vec<_>>()).await {
        unavailable += task??;
    }
    stop.store(true, Ordering::SeqCst);
    let cuts = knife.await??;
    let mut events: Vec<String> =
        feed(store.as_ref(), "m").await?.into_iter().map(|e| e.1).collect();
    let count = events.len();
    events.sort();
    events.dedup();
    same("each event once", (count, events.len()), (4 * 40 * 5, 4 * 40 * 5))?;
    ensure!(cuts > 20 && unavailable > 0, "{cuts} cuts, {unavailable} errors: too calm");
    Ok(())
}

async fn write_through_cuts(store: &dyn Store, task: u32) -> Result<u32, Wrong> {
    let mut unavailable = 0;
    for turn in 0..40 {
        let batch: Vec<Change> = (0..5)
            .map(|i| {
                let mut one = change(&format!("{task}/{turn}/{i}"));
                one.events = vec![event("m", &one.cause.0)];
                one
            })
            .collect();
        loop {
            match store.commit(&batch).await {
                Ok(answers) => {
                    let conflict = answers.contains(&Committed::Conflict);
                    ensure!(!conflict, "turn {turn}: {answers:?}");
                    break;
                }
                Err(StoreError::Unavailable(_)) => unavailable += 1,
                Err(other) => return Err(other.into()),
            }
        }
    }
    Ok(unavailable)
}

async fn cut_connections(url: &str, stop: &AtomicBool) -> Result<u64, Wrong> {
    let options: PgConnectOptions = url.parse()?;
    let mut connection = options.connect().await?;
    let mut cuts = 0;
    while !stop.load(Ordering::SeqCst) {
        let cut = connection
            .execute(
                "select pg_terminate_backend(pid) from pg_stat_activity
                 where datname = current_database() and pid <> pg_backend_pid()
                 order by random() limit 2",
            )
            .await?;
        cuts += cut.rows_affected();
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    Ok(cuts)
}
