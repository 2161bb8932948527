//! The sample message as the REST interface shows it.

use crate::api::{
    CloudEvent, DeliveryView, DependencyHealth, DirectoryParty, DocumentView, InboxItem,
    MessageView, PartyView, PeerHealth, Readiness, Receipt, Step, TokenProblem,
};
use crate::event::Event;
use crate::evidence::Evidence;
use crate::ids::DeliveryId;
use crate::party::Party;
use crate::problem::{Code, Problem};
use crate::time::{DAY, MINUTE, SECOND};

use super::{SUBMITTED, envelope, evidence, message_id, node, process_code, recipient, text};

/// The first document.
#[must_use]
pub fn document() -> DocumentView {
    documents().remove(0)
}

fn documents() -> Vec<DocumentView> {
    let view = |d: crate::envelope::Document| DocumentView {
        id: d.id,
        name: d.name,
        media_type: d.media_type,
        size: d.size,
        sha256: d.sha256,
        type_code: d.type_code,
    };
    envelope().documents.into_iter().map(view).collect()
}

/// A party and its name.
fn named(party: Party, name: &str) -> PartyView {
    PartyView { party, name: Some(name.to_owned()) }
}

/// The sample message, its first delivery handed over, its second on the way.
#[must_use]
pub fn message() -> MessageView {
    let envelope = envelope();
    let states = ["handed_over", "relaying"];
    let deliveries = envelope.recipients.iter().zip(states).zip(0..).map(|((party, state), i)| {
        let end = state == "handed_over";
        DeliveryView {
            delivery_id: DeliveryId::derive(envelope.message_id, i),
            recipient: named(party.clone(), "Commune fictive"),
            state: state.to_owned(),
            custodian: node(if end { "cd-34" } else { "etat" }),
            since: SUBMITTED.plus(SECOND),
            next_due: (!end).then_some(SUBMITTED.plus(DAY)),
            business_status: None,
            hindrance: None,
            evidence: vec![step()],
        }
    });
    MessageView {
        message_id: envelope.message_id,
        conversation_id: envelope.conversation_id.clone(),
        in_reply_to: envelope.in_reply_to,
        process: envelope.process.clone(),
        sender: named(envelope.sender.clone(), "Direction fictive"),
        subject: envelope.subject.clone(),
        sender_ref: envelope.sender_ref.clone(),
        submitted_at: envelope.submitted_at,
        documents: documents(),
        deliveries: deliveries.collect(),
    }
}

/// A.1 of the sample message.
#[must_use]
pub fn step() -> Step {
    step_of(&evidence(Event::SubmissionAcceptance))
}

fn step_of(evidence: &Evidence) -> Step {
    Step {
        evidence_id: evidence.evidence_identifier,
        event: evidence.event().map_or("", Event::name).to_owned(),
        code: evidence.reason().map_or("", crate::event::Reason::code).to_owned(),
        at: evidence.event_time,
        node: evidence.issuer().unwrap_or_else(|| node("etat")),
        sealed: Some(evidence.event_time),
        anchored: None,
        delay_seconds: None,
        supersedes: Vec::new(),
    }
}

/// The first delivery as its recipient sees it.
#[must_use]
pub fn inbox_item() -> InboxItem {
    let message = message();
    InboxItem {
        delivery_id: DeliveryId::derive(message.message_id, 0),
        message_id: message.message_id,
        conversation_id: message.conversation_id,
        in_reply_to: None,
        process: message.process,
        sender: message.sender,
        recipient: named(recipient(), "Commune fictive"),
        subject: message.subject,
        documents: message.documents,
        state: "consigned".to_owned(),
        consigned_at: Some(SUBMITTED.plus(SECOND)),
        expires_at: Some(SUBMITTED.plus(30 * DAY)),
    }
}

/// The handover of the first delivery.
#[must_use]
pub fn receipt() -> Receipt {
    Receipt {
        delivery_id: DeliveryId::derive(message_id(), 0),
        state: "handed_over".to_owned(),
        evidence: step_of(&evidence(Event::ContentHandover)),
    }
}

/// The consignment of the first delivery as an event.
#[must_use]
pub fn cloud_event() -> CloudEvent {
    let evidence = evidence(Event::ContentConsignment);
    let delivery = DeliveryId::derive(message_id(), 0);
    CloudEvent {
        specversion: "1.0".to_owned(),
        id: evidence.evidence_identifier.to_string(),
        source: "urn:pli:node:cd-34".to_owned(),
        kind: format!("fr.pli.evidence.{}", Event::ContentConsignment.name()),
        subject: delivery.to_string(),
        time: evidence.event_time,
        datacontenttype: "application/json".to_owned(),
        data: serde_json::json!({
            "message_id": message_id(),
            "delivery_id": delivery,
            "state": "consigned",
            "evidence": step_of(&evidence),
        }),
    }
}

/// The first recipient in the directory.
#[must_use]
pub fn directory_party() -> DirectoryParty {
    DirectoryParty {
        party: named(recipient().organisation(), "Commune fictive"),
        cog: Some(text("34172")),
        node: node("cd-34"),
        processes: vec![process_code("AEC")],
        active: true,
    }
}

/// A node whose timestamp authority is away.
#[must_use]
pub fn readiness() -> Readiness {
    let works = |name: &str| DependencyHealth { name: name.to_owned(), ready: true, reason: None };
    let tsa = DependencyHealth {
        name: "tsa".to_owned(),
        ready: false,
        reason: Some(format!("no answer since {SUBMITTED}")),
    };
    let failing = PeerHealth {
        node: node("cd-34"),
        held_since: None,
        rate: None,
        reason: None,
        failing_since: Some(SUBMITTED),
        tries_at: Some(SUBMITTED.plus(MINUTE)),
        error: Some("the destination has no lane".to_owned()),
    };
    let dependencies = vec![works("store"), works("backbone"), tsa];
    Readiness { ready: true, dependencies, peers: vec![failing] }
}

/// A wrong secret.
#[must_use]
pub fn token_problem() -> TokenProblem {
    let code = Code::InvalidClient;
    let problem = Problem {
        instance: format!("urn:uuid:{}", message_id()),
        ..Problem::new(code, code.facts().title, code.facts().title_fr)
    };
    TokenProblem { problem, error: "invalid_client".to_owned() }
}
