//! A message: how it came here, and everything that belongs to it.

use std::collections::HashMap;
use std::sync::Arc;

use exchange_store::StoreError;
use exchange_store::snapshot::{
    DeliveryLook, InboxLook, KeyLook, MessageLook, ObjectLook, Snapshot,
};
use schemas::envelope::Envelope;
use schemas::ids::{DeliveryId, MessageId};
use uuid::Uuid;

use super::finding::Finding;
use super::object::{self, Kind, Said};
use super::{Audit, Stage, count, delivery, finding};
use crate::cores;

/// Messages of one page.
const PAGE: u32 = 32;
/// Sealed objects of one read.
const OBJECTS: u32 = 1_000;
/// Most rows without a home that are named.
const STRAYS: u32 = 1_000;

/// Deliveries of a dispatch, and what is wrong with it.
type Spoiled = (Vec<Uuid>, Vec<Finding>);

/// Everything that belongs to the messages of a page, by message or delivery.
#[derive(Default)]
struct Page {
    deliveries: HashMap<Uuid, Vec<DeliveryLook>>,
    objects: HashMap<Uuid, Vec<Said>>,
    /// Of dispatches that cannot be believed: their deliveries, and what is wrong with them.
    spoiled: HashMap<Uuid, Vec<Spoiled>>,
    inbox: HashMap<Uuid, InboxLook>,
    keys: HashMap<Uuid, Vec<KeyLook>>,
}

/// All messages, and rows that belong to none.
pub(super) async fn examine(audit: &mut Audit<'_>) -> Result<(), StoreError> {
    let last = audit.ends.messages;
    let mut after = 0;
    loop {
        (audit.watch)(Stage::Messages, count(after), count(last));
        let mut snapshot = audit.place.store.snapshot().await?;
        let messages = snapshot.messages(after, last, PAGE).await?;
        let Some(end) = messages.last() else { break };
        after = end.seq;
        let page = page(audit, &mut snapshot, &messages).await?;
        drop(snapshot);
        for message in &messages {
            one(audit, message, &page);
        }
    }
    let strays = audit.place.store.snapshot().await?.strays(STRAYS).await?;
    for (kind, id) in strays {
        match kind.as_str() {
            "delivery" => audit.report.find(finding::DELIVERY_STRAY, &id, &[]),
            _ => audit.report.find(finding::ROW_STRAY, &id, &[&kind]),
        }
    }
    Ok(())
}

async fn page(
    audit: &mut Audit<'_>,
    snapshot: &mut Snapshot,
    messages: &[MessageLook],
) -> Result<Page, StoreError> {
    let ids: Vec<MessageId> = messages.iter().map(|m| MessageId(m.id)).collect();
    let mut page = Page::default();
    let mut deliveries = Vec::new();
    for row in snapshot.deliveries(&ids).await? {
        deliveries.push(DeliveryId(row.id));
        page.deliveries.entry(row.message).or_default().push(row);
    }
    for row in snapshot.inbox(&deliveries).await? {
        page.inbox.insert(row.delivery, row);
    }
    for row in snapshot.keys(&deliveries).await? {
        page.keys.entry(row.delivery).or_default().push(row);
    }
    let mut after = 0;
    loop {
        let rows = snapshot.objects(&ids, after, OBJECTS).await?;
        let Some(end) = rows.last() else { return Ok(page) };
        after = end.seq;
        open(audit, rows, &mut page).await?;
    }
}

/// Opens objects on all cores. An object that the reading breaks on ends the examination: silence
/// about it would say that it is sound.
async fn open(
    audit: &mut Audit<'_>,
    rows: Vec<ObjectLook>,
    page: &mut Page,
) -> Result<(), StoreError> {
    let verifier = Arc::clone(&audit.verifier);
    let read = move |row: ObjectLook| {
        let (said, findings) = object::read(&row, &verifier);
        let spoiled = row.event == "dispatch" && said.is_none();
        let deliveries = spoiled.then(|| object::ids(&row.deliveries));
        (row.message, deliveries, said, findings)
    };
    let opened = cores::each(rows, read).await;
    let opened = opened.map_err(|error| StoreError::Corrupt(format!("an object: {error}")))?;
    for (message, spoiled, said, findings) in opened {
        match spoiled {
            Some(deliveries) => {
                page.spoiled.entry(message).or_default().push((deliveries, findings));
            }
            None => findings.into_iter().for_each(|one| audit.report.keep(one)),
        }
        page.objects.entry(message).or_default().extend(said);
    }
    Ok(())
}

/// A dispatch that this node refused for its seal (RB04) or its certificate (RB05) is kept as it
/// came: it is what the B.2 is about. That excuses the dispatch of this delivery, and no other of
/// the message.
fn was_refused(node: &str, deliveries: &[Uuid], objects: &[Said]) -> bool {
    let own = |s: &&Said| s.event == "RelayRejection" && s.issuer == node;
    let for_seal = |s: &&Said| matches!(s.reason.as_str(), "RB04" | "RB05");
    let refused: Vec<&Said> = objects.iter().filter(own).filter(for_seal).collect();
    !deliveries.is_empty()
        && deliveries.iter().all(|d| refused.iter().any(|s| s.deliveries.contains(d)))
}

fn one(audit: &mut Audit<'_>, message: &MessageLook, page: &Page) {
    audit.report.messages += 1;
    let deliveries = page.deliveries.get(&message.id).map_or(&[][..], Vec::as_slice);
    let objects = page.objects.get(&message.id).map_or(&[][..], Vec::as_slice);
    for (of, findings) in page.spoiled.get(&message.id).into_iter().flatten() {
        if !was_refused(audit.place.node.as_str(), of, objects) {
            findings.iter().for_each(|one| audit.report.keep(one.clone()));
        }
    }
    let id = &message.id;
    let envelope = match serde_json::from_str::<Envelope>(&message.envelope) {
        Ok(envelope) => envelope,
        Err(error) => return audit.report.find(finding::ENVELOPE_BROKEN, id, &[&error]),
    };
    columns(audit, message, &envelope);
    origin(audit, message, deliveries, objects);
    let mut digests: Vec<String> = Vec::new();
    for document in &envelope.documents {
        digests.extend([document.sha256.to_string(), document.cipher_sha256.to_string()]);
    }
    for said in objects {
        if said.kind != Kind::Status && said.content != digests {
            audit.report.find(finding::DIGESTS, id, &[&said.id]);
        }
        if said.deliveries.iter().any(|d| deliveries.iter().all(|row| row.id != *d)) {
            audit.report.find(finding::OBJECT_STRAY, &said.id, &[]);
        }
    }
    for row in deliveries {
        let around = delivery::Around {
            envelope: &envelope,
            objects,
            inbox: page.inbox.get(&row.id),
            keys: page.keys.get(&row.id).map_or(&[], Vec::as_slice),
        };
        delivery::examine(audit, row, &around);
    }
}

fn columns(audit: &mut Audit<'_>, message: &MessageLook, envelope: &Envelope) {
    let sender = envelope.sender.organisation().key();
    let pairs = [
        ("id", message.id.to_string(), envelope.message_id.to_string()),
        ("process", message.process.clone(), envelope.process.to_string()),
        ("member", message.member.clone().unwrap_or_else(|| sender.clone()), sender),
    ];
    for (name, column, said) in pairs.into_iter().filter(|(_, column, said)| column != said) {
        audit.report.find(finding::ENVELOPE, &message.id, &[&name, &column, &said]);
    }
}

/// Exactly one of A.1 and A.2: with deliveries, and without. A dispatch that was refused at the
/// door may have come without an A.1 to believe; what came from outside of the network has an F.3.
fn origin(
    audit: &mut Audit<'_>,
    message: &MessageLook,
    deliveries: &[DeliveryLook],
    objects: &[Said],
) {
    let has = |event: &str| objects.iter().any(|s| s.kind == Kind::Evidence && s.event == event);
    let accepted = has("SubmissionAcceptance");
    let rejected = has("SubmissionRejection");
    let turned_away =
        !deliveries.is_empty() && deliveries.iter().all(|d| d.phase == "relay_rejected");
    let proven = match deliveries.len() {
        0 => rejected && !accepted,
        _ => !rejected && (accepted || turned_away || has("ReceivedFromNonERDS")),
    };
    if !proven {
        let values: [&dyn std::fmt::Display; 3] = [&deliveries.len(), &accepted, &rejected];
        audit.report.find(finding::UNPROVEN, &message.id, &values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(event: &str, reason: &str, issuer: &str, delivery: u128) -> Said {
        Said {
            event: event.to_owned(),
            reason: reason.to_owned(),
            issuer: issuer.to_owned(),
            deliveries: vec![Uuid::from_u128(delivery)],
            ..Said::default()
        }
    }

    #[test]
    fn a_refusal_excuses_the_dispatch_of_its_own_delivery_alone() {
        let [one, other] = [1, 2].map(Uuid::from_u128);
        let refused = |reason| vec![said("RelayRejection", reason, "r", 1)];
        for reason in ["RB04", "RB05"] {
            assert!(was_refused("r", &[one], &refused(reason)), "{reason}");
            assert!(!was_refused("r", &[other], &refused(reason)), "spoiled at rest");
            assert!(!was_refused("r", &[one, other], &refused(reason)));
            assert!(!was_refused("h", &[one], &refused(reason)), "the refusal of another node");
        }
        assert!(!was_refused("r", &[one], &refused("RB21")), "refused for its recipient");
        assert!(!was_refused("r", &[], &refused("RB04")), "of no delivery");
    }
}
