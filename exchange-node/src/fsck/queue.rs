//! The queue: what waits can be read, belongs to a delivery, and sends objects that are there; of
//! the waiting rows of one order exactly one may be claimed, or the others would wait for ever.

use std::collections::HashSet;

use exchange_store::StoreError;
use exchange_store::snapshot::QueueLook;
use schemas::ids::EvidenceId;

use super::{Audit, Stage, count, finding};
use crate::engine::publication::Publication;

/// Rows of one read.
const PAGE: u32 = 1_000;

pub(super) async fn examine(audit: &mut Audit<'_>) -> Result<(), StoreError> {
    let last = audit.ends.queue;
    let mut after = 0;
    loop {
        (audit.watch)(Stage::Queue, count(after), count(last));
        let mut snapshot = audit.place.store.snapshot().await?;
        let rows = snapshot.queue(after, last, PAGE).await?;
        let Some(end) = rows.last() else { return Ok(()) };
        after = end.id;
        let publications: Vec<_> =
            rows.iter().map(|row| Publication::from_bytes(&row.payload)).collect();
        let parts: Vec<EvidenceId> =
            publications.iter().flatten().flat_map(|p| p.what.stored()).collect();
        let known: HashSet<EvidenceId> = snapshot.known(&parts).await?.into_iter().collect();
        drop(snapshot);
        for (row, publication) in rows.iter().zip(&publications) {
            one(audit, row, publication.as_ref(), &known);
        }
    }
}

fn one(
    audit: &mut Audit<'_>,
    row: &QueueLook,
    publication: Option<&Publication>,
    known: &HashSet<EvidenceId>,
) {
    if !row.known {
        let delivery = row.delivery.unwrap_or_default();
        audit.report.find(finding::QUEUE_STRAY, &row.id, &[&delivery]);
    }
    if row.kind == "publish" {
        match publication {
            None => audit.report.find(finding::QUEUE_BROKEN, &row.id, &[]),
            Some(publication) => {
                for missing in publication.what.stored().filter(|id| !known.contains(id)) {
                    audit.report.find(finding::QUEUE_STRAY, &row.id, &[&missing]);
                }
            }
        }
    }
    if !row.headed {
        audit.report.find(finding::QUEUE_HEAD, &row.id, &[&0]);
    }
    if row.doubled {
        audit.report.find(finding::QUEUE_HEAD, &row.id, &[&2]);
    }
}
