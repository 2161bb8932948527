//! Writing decisions: one transaction for a batch, a constant number of statements whatever its
//! size.
//!
//! 1. Causes are inserted; those that were there already make their change [`Committed::Known`].
//! 2. The deliveries of the batch are locked and their versions compared, change by change as if
//!    each were written before the next. A change that does not fit is a [`Committed::Conflict`]
//!    and leaves the batch whole, its cause included.
//! 3. What is left is written ([`crate::commit_rows`]).
//!
//! Another process may insert a new delivery between step 2 and 3: then nothing of the attempt is
//! kept and the batch begins again, which finds the conflict in step 2.

use std::collections::{HashMap, HashSet};

use schemas::ids::DeliveryId;
use uuid::Uuid;

use crate::StoreError;
use crate::commit_rows::{self, Raced};
use crate::db::{Args, Db, Tx};
use crate::rows::{Change, Committed, Handed, Outcome};
use crate::sql;
use crate::work::Queued;

/// Attempts before a batch that keeps losing races counts as a database in trouble.
const ATTEMPTS: usize = 8;

/// Writes a batch; one answer per change, and what is claimed with it.
pub(crate) async fn commit(db: &Db, batch: &[Change], lease_ms: i64) -> Result<Handed, StoreError> {
    if batch.is_empty() {
        return Ok(Handed::default());
    }
    for _ in 0..ATTEMPTS {
        let mut tx = db.begin().await?;
        let answers = causes(&mut tx, batch).await?;
        let answers = versions(&mut tx, batch, answers).await?;
        let written: Vec<&Change> = batch
            .iter()
            .zip(&answers)
            .filter(|(_, answer)| **answer == Committed::Written)
            .map(|(change, _)| change)
            .collect();
        if written.is_empty() {
            tx.rollback().await?;
            return Ok(Handed { answers, ..Handed::default() });
        }
        match commit_rows::write(&mut tx, &written, lease_ms).await? {
            Raced::No(queued) => {
                tx.commit().await?;
                let Queued { claimed, behind, more } = queued;
                return Ok(Handed { answers, claimed, behind, more });
            }
            Raced::Yes => tx.rollback().await?,
        }
    }
    Err(StoreError::Unavailable(format!("a batch lost {ATTEMPTS} races in a row")))
}

/// Step 1, for causes that may come again. Within the batch the first change of a cause counts.
async fn causes(tx: &mut Tx, batch: &[Change]) -> Result<Vec<Committed>, StoreError> {
    let mut first: HashMap<&str, &Change> = HashMap::with_capacity(batch.len());
    for change in batch.iter().filter(|c| !c.cause.is_once()) {
        first.entry(&change.cause.0).or_insert(change);
    }
    if first.is_empty() {
        return Ok(vec![Committed::Written; batch.len()]);
    }
    let mut sorted: Vec<&Change> = first.values().copied().collect();
    sorted.sort_unstable_by(|a, b| a.cause.cmp(&b.cause));
    let args = Args::new()
        .texts(sorted.iter().map(|c| c.cause.0.as_str()))
        .blobs(sorted.iter().map(|c| c.outcome.as_slice()))
        .ints(sorted.iter().map(|c| c.now.millis()));
    let fresh: Vec<(String,)> = tx.fetch(sql::CAUSE_INSERT, args).await?;
    let mut fresh: HashSet<String> = fresh.into_iter().map(|(cause,)| cause).collect();
    let mut known: HashMap<String, Outcome> = HashMap::new();
    if fresh.len() < first.len() {
        let old = first.keys().copied().filter(|cause| !fresh.contains(*cause));
        known = tx.fetch(sql::CAUSE_OUTCOMES, Args::new().texts(old)).await?.into_iter().collect();
    }
    Ok(batch
        .iter()
        .map(|change| {
            let cause = change.cause.0.as_str();
            if change.cause.is_once() || fresh.remove(cause) {
                return Committed::Written;
            }
            let outcome = known.get(cause).or_else(|| first.get(cause).map(|c| &c.outcome));
            Committed::Known(outcome.cloned().unwrap_or_default())
        })
        .collect())
}

/// Step 2. A conflict takes its cause with it.
async fn versions(
    tx: &mut Tx,
    batch: &[Change],
    mut answers: Vec<Committed>,
) -> Result<Vec<Committed>, StoreError> {
    let ids: HashSet<Uuid> = batch
        .iter()
        .zip(&answers)
        .filter(|(_, answer)| **answer == Committed::Written)
        .flat_map(|(change, _)| change.deliveries.iter().map(|d| d.delivery.id.0))
        .collect();
    if ids.is_empty() {
        return Ok(answers);
    }
    let rows: Vec<(Uuid, i64)> = tx.fetch(sql::DELIVERY_LOCK, Args::new().ids(ids)).await?;
    let mut now: HashMap<DeliveryId, i64> =
        rows.into_iter().map(|(id, version)| (DeliveryId(id), version)).collect();
    for (change, answer) in batch.iter().zip(&mut answers) {
        if *answer == Committed::Written && !advance(&mut now, change) {
            *answer = Committed::Conflict;
        }
    }
    let lost = batch.iter().zip(&answers).filter(|(_, answer)| **answer == Committed::Conflict);
    let lost: Vec<&str> = lost.map(|(change, _)| change.cause.0.as_str()).collect();
    if !lost.is_empty() {
        tx.execute(sql::CAUSE_DELETE, Args::new().texts(lost)).await?;
    }
    repeat_of_a_conflict(batch, &mut answers);
    Ok(answers)
}

/// Applies a change to the versions, whole or not at all.
fn advance(now: &mut HashMap<DeliveryId, i64>, change: &Change) -> bool {
    let mut next = HashMap::with_capacity(change.deliveries.len());
    for write in &change.deliveries {
        let id = write.delivery.id;
        let current = next.get(&id).or_else(|| now.get(&id)).copied();
        if current != write.expected {
            return false;
        }
        next.insert(id, current.unwrap_or(0) + 1);
    }
    now.extend(next);
    true
}

/// A repeat within the batch of a cause whose first change was in conflict is in conflict too.
fn repeat_of_a_conflict(batch: &[Change], answers: &mut [Committed]) {
    let lost: HashSet<&str> = batch
        .iter()
        .zip(answers.iter())
        .filter(|(_, answer)| **answer == Committed::Conflict)
        .map(|(change, _)| change.cause.0.as_str())
        .collect();
    for (change, answer) in batch.iter().zip(answers.iter_mut()) {
        if matches!(answer, Committed::Known(_)) && lost.contains(change.cause.0.as_str()) {
            *answer = Committed::Conflict;
        }
    }
}
