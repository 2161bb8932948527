//! Anchors: one token for many evidences, one path for each.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use schemas::ids::EvidenceId;
use schemas::time::Timestamp;
use uuid::Uuid;

use crate::StoreError;
use crate::db::{Args, Db};
use crate::rows::{Anchor, AnchoredPath, Unanchored};
use crate::sql;
use crate::text::{digest, time};

/// Leaves of one statement: with twenty levels about 6 MiB.
const CHUNK: usize = 10_000;

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

/// Stores a token and its paths. A repeat of the same tree changes nothing.
pub(crate) async fn anchor(db: &Db, anchor: &Anchor) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    let root = || anchor.root.as_bytes().as_slice();
    let args = Args::new().blob(root()).int(anchor.at.millis()).blob(anchor.token.as_slice());
    tx.execute(sql::ANCHOR_INSERT, args).await?;
    let ids: Vec<(i64,)> = tx.fetch(sql::ANCHOR_ID, Args::new().blob(root())).await?;
    let id = ids.first().map(|(id,)| *id);
    for leaves in anchor.leaves.chunks(CHUNK) {
        let args = Args::new()
            .ints(leaves.iter().map(|(seq, _)| *seq))
            .blobs(leaves.iter().map(|(_, path)| path.as_slice()))
            .int(id);
        tx.execute(sql::ANCHORED_INSERT, args).await?;
        let args = Args::new().ints(leaves.iter().map(|(seq, _)| *seq));
        tx.execute(sql::UNANCHORED_DELETE, args).await?;
    }
    tx.commit().await
}

/// Path and token of those that are anchored; evidences of one tree share its token.
pub(crate) async fn paths(db: &Db, ids: &[EvidenceId]) -> Result<Vec<AnchoredPath>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let args = Args::new().ids(ids.iter().map(|id| id.0));
    let paths: Vec<(Uuid, i64, Vec<u8>)> = db.fetch(sql::ANCHORED_PATHS, args).await?;
    let trees: HashSet<i64> = paths.iter().map(|(_, tree, _)| *tree).collect();
    if trees.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<(i64, i64, Vec<u8>)> =
        db.fetch(sql::ANCHOR_TOKENS, Args::new().ints(trees)).await?;
    let tokens: HashMap<i64, (Timestamp, Arc<Vec<u8>>)> =
        rows.into_iter().map(|(id, at, token)| (id, (time(at), Arc::new(token)))).collect();
    paths
        .into_iter()
        .map(|(id, tree, path)| {
            let (at, token) = tokens
                .get(&tree)
                .ok_or_else(|| StoreError::Corrupt(format!("anchor {tree} is absent")))?;
            Ok(AnchoredPath { id: EvidenceId(id), path, token: Arc::clone(token), at: *at })
        })
        .collect()
}
