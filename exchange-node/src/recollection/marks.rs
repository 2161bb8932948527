//! That a node was restored, and which neighbours have answered since: rows under causes of their
//! own, written once each.

use exchange_store::rows::{Cause, Change};
use exchange_store::{Store, StoreError};
use schemas::ids::NodeId;
use schemas::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A restoration. Used in stored state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Which one of this archive, from 1: a backup may be of a node that was restored before.
    pub number: u64,
    /// The backup.
    pub backup: Uuid,
    /// When it was taken.
    pub taken: Timestamp,
    /// When it was restored.
    pub at: Timestamp,
}

/// How a neighbour came to be waited for no longer. Used in stored state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It has said everything.
    Answered,
    /// An operator gave up on it.
    Released,
}

fn restored(number: u64) -> Cause {
    Cause(format!("restored:{number}"))
}

fn answer(mark: &Mark, peer: &NodeId) -> Cause {
    Cause(format!("restored:{}:{peer}", mark.number))
}

/// The latest restoration; none for a node that was never restored.
///
/// # Errors
/// The archive does not work, or a row cannot be read.
pub async fn latest(store: &dyn Store) -> Result<Option<Mark>, StoreError> {
    let mut found = None;
    for number in 1.. {
        let cause = restored(number);
        let loaded = store.load(std::slice::from_ref(&cause), &[], &[]).await?;
        let Some(bytes) = loaded.outcomes.get(&cause) else { break };
        let mark = serde_json::from_slice(bytes);
        found = Some(mark.map_err(|e| StoreError::Corrupt(format!("a restoration: {e}")))?);
    }
    Ok(found)
}

/// Writes a restoration down.
///
/// # Errors
/// The archive does not work.
pub async fn begin(
    store: &dyn Store,
    backup: Uuid,
    taken: Timestamp,
    at: Timestamp,
) -> Result<Mark, StoreError> {
    let number = latest(store).await?.map_or(0, |mark| mark.number) + 1;
    let mark = Mark { number, backup, taken, at };
    write(store, restored(number), json(&mark), at).await?;
    Ok(mark)
}

/// Writes down that a neighbour is waited for no longer; the first word stays.
///
/// # Errors
/// The archive does not work.
pub async fn answered(
    store: &dyn Store,
    mark: &Mark,
    peer: &NodeId,
    how: How,
    now: Timestamp,
) -> Result<(), StoreError> {
    write(store, answer(mark, peer), json(&how), now).await
}

/// Those of `peers` that have not answered.
///
/// # Errors
/// The archive does not work.
pub async fn pending(
    store: &dyn Store,
    mark: &Mark,
    peers: &[NodeId],
) -> Result<Vec<NodeId>, StoreError> {
    let causes: Vec<Cause> = peers.iter().map(|peer| answer(mark, peer)).collect();
    let known = store.load(&causes, &[], &[]).await?.outcomes;
    let open = peers.iter().filter(|peer| !known.contains_key(&answer(mark, peer)));
    Ok(open.cloned().collect())
}

/// Writes a cause that stands for itself.
///
/// # Errors
/// The archive does not work.
pub async fn write(
    store: &dyn Store,
    cause: Cause,
    outcome: Vec<u8>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let change = Change { outcome, ..Change::new(cause, now) };
    store.commit(std::slice::from_ref(&change)).await.map(drop)
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    // Plain values with text keys always have a JSON form.
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn restorations_are_counted_and_answers_belong_to_one() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("node.db").display());
        let store = exchange_store::open(&url).await.unwrap();
        let store = store.as_ref();
        assert_eq!(latest(store).await.unwrap(), None);
        let (taken, at) =
            (Timestamp::from_secs(1_800_000_000), Timestamp::from_secs(1_800_000_600));
        let peers: Vec<NodeId> = ["a", "b"].map(|id| id.parse().unwrap()).to_vec();
        let first = begin(store, Uuid::nil(), taken, at).await.unwrap();
        assert_eq!(pending(store, &first, &peers).await.unwrap(), peers);
        for how in [How::Answered, How::Released] {
            answered(store, &first, &peers[0], how, at).await.unwrap();
            assert_eq!(pending(store, &first, &peers).await.unwrap(), peers[1..]);
        }
        let second = begin(store, Uuid::nil(), taken, at).await.unwrap();
        assert_eq!(second.number, 2);
        assert_eq!(latest(store).await.unwrap(), Some(second.clone()));
        assert_eq!(pending(store, &second, &peers).await.unwrap(), peers);
    }
}
