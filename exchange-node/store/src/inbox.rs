//! The inbox of members: deliveries that wait to be accepted or fetched.

use std::collections::HashMap;

use exchange_core::state::Phase;
use schemas::ids::DeliveryId;
use uuid::Uuid;

use crate::StoreError;
use crate::db::{Args, Db, Tx};
use crate::read::{self, DeliveryRaw};
use crate::rows::{DeliveryRow, DeliveryWrite, InboxQuery};
use crate::sql;
use crate::text::signed;

/// Whether a delivery in this phase waits for its recipient.
const fn waits(phase: Phase) -> bool {
    matches!(phase, Phase::AwaitingAcceptance | Phase::Consigned)
}

/// Follows written deliveries: they enter the inbox when they begin to wait for a member of this
/// node, and leave it when they stop. Positions are drawn on entry, so that a cursor never passes
/// an item that becomes available later. `octets` knows what those hold that are new.
pub(crate) async fn follow<'a>(
    tx: &mut Tx,
    writes: impl Iterator<Item = &'a DeliveryWrite>,
    octets: &HashMap<DeliveryId, u64>,
) -> Result<(), StoreError> {
    let of_members = writes.filter_map(|w| w.recipient_member.as_deref().map(|m| (m, &w.delivery)));
    let (enter, leave): (Vec<_>, Vec<_>) = of_members.partition(|(_, d)| waits(d.phase));
    if !enter.is_empty() {
        let args = Args::new()
            .ids(enter.iter().map(|(_, d)| d.id.0))
            .texts(enter.iter().map(|(member, _)| *member))
            .texts(enter.iter().map(|(_, d)| d.phase.name()))
            .ints(enter.iter().map(|(_, d)| octets.get(&d.id).copied().map(signed)));
        tx.execute(sql::INBOX_INSERT, args).await?;
    }
    if !leave.is_empty() {
        let args = Args::new().ids(leave.iter().map(|(_, d)| d.id.0));
        tx.execute(sql::INBOX_DELETE, args).await?;
    }
    Ok(())
}

/// Items of a member; positions of this list are positions in the inbox.
pub(crate) async fn list(db: &Db, query: &InboxQuery) -> Result<Vec<DeliveryRow>, StoreError> {
    let raw: Vec<DeliveryRaw> = match (query.id, query.claim) {
        (Some(id), _) => {
            let args = Args::new().id(id.0).text(query.member.as_str());
            db.fetch(sql::INBOX_ONE, args).await?
        }
        (None, None) => listed(db, query).await?,
        (None, Some(visibility)) => match claim(db, query, visibility).await {
            // What was accepted can be read on a full disk, too: seen twice rather than not at all.
            Err(StoreError::Full(_)) => listed(db, query).await?,
            claimed => claimed?,
        },
    };
    read::delivery_rows(db, raw).await
}

async fn listed(db: &Db, query: &InboxQuery) -> Result<Vec<DeliveryRaw>, StoreError> {
    let args = Args::new().text(query.member.as_str()).int(query.after).int(i64::from(query.limit));
    db.fetch(sql::INBOX_LIST, args).await
}

async fn claim(
    db: &Db,
    query: &InboxQuery,
    visibility: i64,
) -> Result<Vec<DeliveryRaw>, StoreError> {
    let mut tx = db.begin().await?;
    let args = Args::new()
        .text(query.member.as_str())
        .int(query.after)
        .int(i64::from(query.limit))
        .int(query.now.millis());
    let seqs: Vec<(i64,)> = tx.fetch(sql::INBOX_CLAIM, args).await?;
    if seqs.is_empty() {
        tx.rollback().await?;
        return Ok(Vec::new());
    }
    let seqs = || seqs.iter().map(|(seq,)| *seq);
    let until = query.now.plus(visibility).millis();
    tx.execute(sql::INBOX_HIDE, Args::new().ints(seqs()).int(until)).await?;
    let rows = tx.fetch(sql::INBOX_ROWS, Args::new().ints(seqs())).await?;
    tx.commit().await?;
    Ok(rows)
}

/// What waits for members: deliveries, and octets of their content.
pub(crate) async fn usage(
    db: &Db,
    members: &[String],
) -> Result<Vec<(String, u64, u64)>, StoreError> {
    let args = Args::new().texts(members.iter().map(String::as_str));
    let rows: Vec<(String, i64, i64)> = db.fetch(sql::INBOX_USAGE, args).await?;
    let natural = |n: i64| u64::try_from(n).unwrap_or(0);
    Ok(rows.into_iter().map(|(m, items, octets)| (m, natural(items), natural(octets))).collect())
}

/// Ids of deliveries whose next due time has come.
pub(crate) async fn due(db: &Db, now: i64, limit: u32) -> Result<Vec<Uuid>, StoreError> {
    let args = Args::new().int(now).int(i64::from(limit));
    let rows: Vec<(Uuid,)> = db.fetch(sql::DELIVERIES_DUE, args).await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}
