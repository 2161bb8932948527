//! Anchors: one token for many evidences, and the leaves that it stands for.
//!
//! An anchor follows the one before without a gap, so that no evidence needs a row of its own to
//! tell whether it is anchored: its position does.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use schemas::digest::Digest;
use schemas::ids::EvidenceId;
use schemas::time::Timestamp;
use uuid::Uuid;

use crate::StoreError;
use crate::db::{Args, Db, Tx};
use crate::rows::{Anchor, Anchored, AnchoredTree, Unanchored};
use crate::sql;
use crate::text::{digest, time, unsigned};

/// Evidence that waits for its anchor.
pub(crate) async fn unanchored(
    db: &Db,
    after_seq: i64,
    limit: u32,
) -> Result<Vec<Unanchored>, StoreError> {
    let args = Args::new().int(after_seq).int(i64::from(limit));
    let rows: Vec<(i64, Vec<u8>)> = db.fetch(sql::UNANCHORED_LIST, args).await?;
    rows.into_iter().map(|(seq, sha256)| Ok(Unanchored { seq, sha256: digest(&sha256)? })).collect()
}

/// Storage time of the oldest of them.
pub(crate) async fn oldest(db: &Db) -> Result<Option<Timestamp>, StoreError> {
    let row: Option<(i64,)> = db.fetch_one(sql::UNANCHORED_OLDEST, Args::new()).await?;
    Ok(row.map(|(at,)| time(at)))
}

/// Stores a token and its leaves; says whether. Leaves that are not exactly what waits, from the
/// oldest on, change nothing: another process was faster.
pub(crate) async fn anchor(db: &Db, anchor: &Anchor) -> Result<bool, StoreError> {
    let (Some((first, _)), Some((last, _))) = (anchor.leaves.first(), anchor.leaves.last()) else {
        return Ok(false);
    };
    let mut tx = db.begin().await?;
    tx.execute(sql::ANCHOR_LOCK, Args::new()).await?;
    let before = number(&mut tx, sql::ANCHOR_LAST, Args::new()).await?;
    let between = number(&mut tx, sql::ANCHOR_GAP, Args::new().int(before).int(*last)).await?;
    if *first <= before || unsigned(between) != anchor.leaves.len() as u64 {
        tx.rollback().await?;
        return Ok(false);
    }
    let leaves: Vec<u8> = anchor.leaves.iter().flat_map(|(_, sha256)| *sha256.as_bytes()).collect();
    let args = Args::new()
        .blob(anchor.root.as_bytes().as_slice())
        .int(anchor.at.millis())
        .blob(anchor.token.as_slice())
        .int(*last)
        .blob(leaves.as_slice());
    tx.execute(sql::ANCHOR_INSERT, args).await?;
    tx.commit().await?;
    Ok(true)
}

async fn number(tx: &mut Tx, what: sql::Sql, args: Args<'_>) -> Result<i64, StoreError> {
    let rows: Vec<(i64,)> = tx.fetch(what, args).await?;
    Ok(rows.first().map_or(0, |(n,)| *n))
}

/// Place and tree of those that are anchored; evidences of one tree share it.
pub(crate) async fn anchored(db: &Db, ids: &[EvidenceId]) -> Result<Vec<Anchored>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let args = Args::new().ids(ids.iter().map(|id| id.0));
    let places: Vec<(Uuid, Vec<u8>, Option<i64>)> = db.fetch(sql::ANCHORED_PATHS, args).await?;
    let trees: HashSet<i64> = places.iter().filter_map(|(.., tree)| *tree).collect();
    if trees.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<(i64, i64, Vec<u8>, Vec<u8>)> =
        db.fetch(sql::ANCHOR_TOKENS, Args::new().ints(trees)).await?;
    let trees: HashMap<i64, Arc<AnchoredTree>> =
        rows.into_iter().map(|(id, at, token, leaves)| (id, tree(at, token, &leaves))).collect();
    let places = places.into_iter().filter_map(|(id, sha256, tree)| Some((id, sha256, tree?)));
    places
        .map(|(id, sha256, tree)| {
            let corrupt = |what: &str| StoreError::Corrupt(format!("anchor {tree} {what} {id}"));
            let tree = trees.get(&tree).ok_or_else(|| corrupt("is absent, that of"))?;
            let sha256 = digest(&sha256)?;
            let index = tree.leaves.iter().position(|leaf| *leaf == sha256);
            let index = index.ok_or_else(|| corrupt("does not hold"))?;
            Ok(Anchored { id: EvidenceId(id), index, tree: Arc::clone(tree) })
        })
        .collect()
}

fn tree(at: i64, token: Vec<u8>, leaves: &[u8]) -> Arc<AnchoredTree> {
    let leaves = leaves.chunks_exact(32).filter_map(Digest::from_slice).collect();
    Arc::new(AnchoredTree { at: time(at), token, leaves })
}
