//! The event feeds of members: each evidence that concerns one is told there, and nothing is told
//! of evidence that is not there.
//!
//! Both tables are written by the same transactions, in the same order. So the two are read side by
//! side, whichever is behind in time, and only what has not met its counterpart is remembered.

use std::collections::{HashMap, HashSet, VecDeque};

use exchange_store::StoreError;
use exchange_store::snapshot::{EventLook, RecordLook};
use schemas::ids::EvidenceId;
use schemas::time::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::{Audit, Stage, count, finding};

/// Rows of one read.
const PAGE: u32 = 2_000;
/// Objects that are remembered after they were read: more than one transaction holds.
const REMEMBERED: usize = 50_000;

/// What has not met its counterpart yet.
#[derive(Default)]
struct Pending {
    /// Members to be told, by evidence.
    wanted: HashMap<Uuid, Vec<String>>,
    /// Members that were told, by evidence that has not been read yet.
    told: HashMap<Uuid, Vec<String>>,
    /// Objects read of late, and in which order.
    passed: HashSet<Uuid>,
    order: VecDeque<Uuid>,
    /// Times of the last rows read, in milliseconds.
    records_at: i64,
    events_at: i64,
}

pub(super) async fn examine(audit: &mut Audit<'_>) -> Result<(), StoreError> {
    let ends = audit.ends;
    let mut pending = Pending::default();
    let (mut record, mut event) = (0, 0);
    while record < ends.objects || event < ends.events {
        let total = count(ends.objects + ends.events);
        (audit.watch)(Stage::Events, count(record + event), total);
        let mut snapshot = audit.place.store.snapshot().await?;
        let behind = pending.records_at <= pending.events_at || event >= ends.events;
        if behind && record < ends.objects {
            let rows = snapshot.records(record, ends.objects, PAGE).await?;
            record = rows.last().map_or(ends.objects, |r| r.seq);
            rows.iter().for_each(|row| note(audit, &mut pending, row));
        } else {
            let rows = snapshot.events(event, ends.events, PAGE).await?;
            event = rows.last().map_or(ends.events, |r| r.seq);
            rows.iter().for_each(|row| meet(audit, &mut pending, row));
        }
    }
    for (id, members) in pending.wanted {
        members.iter().for_each(|m| audit.report.find(finding::EVENT_MISSING, &id, &[m]));
    }
    strays(audit, pending.told).await
}

/// Entries whose evidence never came by: it is not there.
async fn strays(audit: &mut Audit<'_>, told: HashMap<Uuid, Vec<String>>) -> Result<(), StoreError> {
    let mut ids: Vec<Uuid> = told.keys().copied().collect();
    ids.sort_unstable();
    for chunk in ids.chunks(PAGE as usize) {
        let asked: Vec<EvidenceId> = chunk.iter().copied().map(EvidenceId).collect();
        let known = audit.place.store.snapshot().await?.known(&asked).await?;
        for id in chunk.iter().filter(|id| !known.contains(&EvidenceId(**id))) {
            for member in told.get(id).into_iter().flatten() {
                audit.report.find(finding::EVENT_STRAY, id, &[member, id]);
            }
        }
    }
    Ok(())
}

/// An object: who must be told, and who has been.
fn note(audit: &mut Audit<'_>, pending: &mut Pending, row: &RecordLook) {
    pending.records_at = row.stored_at;
    if !row.known {
        audit.report.find(finding::OBJECT_STRAY, &row.id, &[]);
    }
    let told = pending.told.remove(&row.id).unwrap_or_default();
    let mut wanted = concerned(row, audit.place.node.as_str());
    wanted.retain(|member| !told.contains(member));
    if !wanted.is_empty() {
        pending.wanted.insert(row.id, wanted);
    }
    pending.passed(row.id);
}

impl Pending {
    /// Remembers for a while that an object has been read: more members may be told of it.
    fn passed(&mut self, id: Uuid) {
        self.passed.insert(id);
        self.order.push_back(id);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.passed.remove(&oldest);
        }
    }
}

/// Members of this node that an evidence concerns: its sender, whatever happens to what it sent;
/// its recipient, whatever this node attested of its acts and its time. A restored node tells
/// nobody again of what it attested before.
fn concerned(row: &RecordLook, node: &str) -> Vec<String> {
    let first_hand = row.node == node && row.at == row.stored_at;
    let mut members = Vec::new();
    let for_sender = match row.event.as_str() {
        "dispatch" | "status" | "SubmissionRejection" => false,
        "SubmissionAcceptance" => first_hand,
        _ => true,
    };
    members.extend(row.sender.clone().filter(|_| for_sender));
    let for_recipient = matches!(
        row.event.as_str(),
        "ContentHandover"
            | "ContentHandoverFailure"
            | "ConsignmentAcceptance"
            | "ConsignmentRejection"
            | "AcceptanceRejectionExpiry"
    );
    members.extend(row.recipient.clone().filter(|_| for_recipient && first_hand));
    members.dedup();
    members
}

/// An entry of a feed.
fn meet(audit: &mut Audit<'_>, pending: &mut Pending, row: &EventLook) {
    let json: Value = serde_json::from_str(&row.event).unwrap_or_default();
    let text = |pointer: &str| json.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    if let Ok(at) = text("/time").parse::<Timestamp>() {
        pending.events_at = at.millis();
    }
    let Ok(id) = text("/data/evidence_id").parse::<Uuid>() else { return };
    // An entry of an earlier release has no such member.
    let silences = json.pointer("/data/supersedes").and_then(Value::as_array);
    for silence in silences.into_iter().flatten().filter_map(Value::as_str) {
        let true_word = silence.parse().is_ok_and(|s: Uuid| audit.answers.contains(&(id, s)));
        if !true_word {
            audit.report.find(finding::EVENT_LINK, &id, &[&row.member, &silence]);
        }
    }
    match pending.wanted.get_mut(&id) {
        Some(wanted) => {
            wanted.retain(|member| *member != row.member);
            if wanted.is_empty() {
                pending.wanted.remove(&id);
            }
        }
        None if pending.passed.contains(&id) => {}
        None => pending.told.entry(id).or_default().push(row.member.clone()),
    }
}
