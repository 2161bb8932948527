//! From rows to the shapes of `schemas::api`.

use exchange_core::fold;
use exchange_core::state::{Delivery, Phase};
use exchange_store::rows::{DeliveryRow, EvidenceRow, Kind};
use schemas::api::{DeliveryView, DocumentView, InboxItem, MessageView, PartyView, Step};
use schemas::envelope::{Document, Envelope};
use schemas::event::Event;
use schemas::evidence::delay;
use schemas::party::Party;
use schemas::time::SECOND;

use crate::access::OwnMessage;
use crate::directory::Snapshot;

/// A party with its name.
#[must_use]
pub fn party(party: &Party, snapshot: &Snapshot) -> PartyView {
    let name = snapshot.directory.member(&party.organisation()).map(|m| m.entry.name.clone());
    PartyView { party: party.clone(), name }
}

/// A document of a manifest.
#[must_use]
pub fn document(document: &Document) -> DocumentView {
    DocumentView {
        id: document.id,
        name: document.name.clone(),
        media_type: document.media_type.clone(),
        size: document.size,
        sha256: document.sha256,
        type_code: document.type_code.clone(),
    }
}

/// One evidence in a list; none for dispatches and statuses.
#[must_use]
pub fn step(row: &EvidenceRow) -> Option<Step> {
    if row.evidence.kind != Kind::Evidence {
        return None;
    }
    Some(Step {
        evidence_id: row.evidence.id,
        event: row.evidence.event.map_or("", Event::name).to_owned(),
        code: row.evidence.reason.map_or("", |r| r.code()).to_owned(),
        at: row.evidence.at,
        node: row.evidence.node.clone(),
        sealed: Some(row.evidence.sealed_at),
        anchored: row.anchored_at,
        delay_seconds: row
            .anchored_at
            .and_then(|anchored| delay(row.evidence.at, anchored))
            .map(|late| late / SECOND),
        supersedes: Vec::new(),
    })
}

/// A message with its deliveries.
#[must_use]
pub fn message(own: &OwnMessage, snapshot: &Snapshot) -> MessageView {
    let deliveries = own
        .deliveries
        .iter()
        .map(|d| {
            // Senders alone wait for the word of others, at the node where the message began.
            let links = fold::superseded(d, &d.origin);
            let steps = d.evidence.iter().filter_map(|held| {
                let row = own.objects.iter().find(|row| row.evidence.id == held.id)?;
                let answered = links.iter().filter(|(fact, _)| *fact == held.id);
                Some(Step { supersedes: answered.map(|(_, s)| *s).collect(), ..step(row)? })
            });
            delivery(d, &own.envelope, steps.collect(), snapshot)
        })
        .collect();
    of_envelope(&own.envelope, deliveries, snapshot)
}

/// A message from its envelope and the views of its deliveries.
#[must_use]
pub fn of_envelope(
    envelope: &Envelope,
    deliveries: Vec<DeliveryView>,
    snapshot: &Snapshot,
) -> MessageView {
    MessageView {
        message_id: envelope.message_id,
        conversation_id: envelope.conversation_id.clone(),
        in_reply_to: envelope.in_reply_to,
        process: envelope.process.clone(),
        sender: party(&envelope.sender, snapshot),
        subject: envelope.subject.clone(),
        sender_ref: envelope.sender_ref.clone(),
        submitted_at: envelope.submitted_at,
        documents: envelope.documents.iter().map(document).collect(),
        deliveries,
    }
}

/// A delivery as the sender sees it.
#[must_use]
pub fn delivery(
    delivery: &Delivery,
    envelope: &Envelope,
    evidence: Vec<Step>,
    snapshot: &Snapshot,
) -> DeliveryView {
    let recipient = envelope.recipients.get(delivery.recipient_index as usize);
    DeliveryView {
        delivery_id: delivery.id,
        recipient: party(recipient.unwrap_or(&envelope.sender), snapshot),
        state: delivery.phase.name().to_owned(),
        custodian: delivery.custodian.clone(),
        since: delivery.since,
        next_due: delivery.next_due(),
        business_status: delivery.business,
        hindrance: None,
        evidence,
    }
}

/// An item of the inbox.
#[must_use]
pub fn inbox(row: &DeliveryRow, snapshot: &Snapshot) -> InboxItem {
    let envelope = &row.envelope;
    let delivery = &row.delivery;
    let index = delivery.recipient_index;
    let recipient = envelope.recipients.get(index as usize).unwrap_or(&envelope.sender);
    let consigned = delivery.held(Event::ContentConsignment).map(|held| held.at);
    let last = match delivery.phase {
        Phase::AwaitingAcceptance => delivery.timers.acceptance,
        Phase::Consigned => delivery.timers.handover,
        _ => None,
    };
    InboxItem {
        delivery_id: delivery.id,
        message_id: envelope.message_id,
        conversation_id: envelope.conversation_id.clone(),
        in_reply_to: envelope.in_reply_to,
        process: envelope.process.clone(),
        sender: party(&envelope.sender, snapshot),
        recipient: party(recipient, snapshot),
        subject: envelope.subject.clone(),
        documents: envelope.documents.iter().filter(|d| d.is_for(index)).map(document).collect(),
        state: delivery.phase.name().to_owned(),
        consigned_at: consigned,
        expires_at: [last, delivery.timers.expires].into_iter().flatten().min(),
    }
}
