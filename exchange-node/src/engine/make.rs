//! The seal stage: a [`Plan`] becomes the rows of a [`Change`]. All signatures and all key
//! wrapping of a node happen here, on as many cores as there are.

use std::collections::HashMap;
use std::sync::Arc;

use exchange_core::effect::{Effect, Notice};
use exchange_core::evidence::{EvidenceDraft, Previous};
use exchange_core::fold;
use exchange_core::state::{Delivery, Role};
use exchange_store::rows::{
    Cause, Change, DeliveryWrite, EffectKind, Kind, NewEffect, NewEvent, NewEvidence, Upload,
};
use schemas::bytes::Octets;
use schemas::digest::Digest;
use schemas::dispatch::{ContentKeys, ContentRef, Dispatch, RelayMetadata};
use schemas::event::Event;
use schemas::frame::INLINE_LIMIT;
use schemas::ids::{EvidenceId, NodeId};
use schemas::time::Timestamp;
use serde_json::json;
use signing::encrypt::{StorageKey, ciphertext_len, wrap};
use signing::seal::{Commitment, Sealer};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::directory::Snapshot;
use crate::engine::EngineError;
use crate::engine::item::SealedBytes;
use crate::engine::publication::{Part, Payload, Publication};
use crate::engine::rule::{Plan, Planned, dispatch_id, dispatch_row, status_row};

/// What sealing needs. Shared by all items of a batch.
#[derive(Debug)]
pub struct Maker {
    /// This node.
    pub node: NodeId,
    /// Its seal.
    pub sealer: Arc<Sealer>,
    /// Its key for document keys at rest.
    pub storage: Arc<StorageKey>,
    /// The directory.
    pub snapshot: Arc<Snapshot>,
    /// Now.
    pub now: Timestamp,
}

/// Sealed bytes of this change, by id.
type Made = HashMap<EvidenceId, Arc<Vec<u8>>>;

impl Maker {
    /// Seals everything that the plan asks for.
    ///
    /// # Errors
    /// [`EngineError::Seal`] when a key does not work, or a node has no certificate to encrypt to.
    pub fn make(&self, mut plan: Plan, cause: Cause) -> Result<Change, EngineError> {
        let mut made = Made::new();
        let mut evidence = self.seal_drafts(&mut plan, &mut made)?;
        for row in &plan.received {
            made.insert(row.id, Arc::new(row.p7m.clone()));
        }
        evidence.append(&mut plan.received);
        let mut change = self.empty_change(cause, &plan);
        if let Some(status) = &plan.status {
            let json = serde_json::to_vec(status).map_err(|e| EngineError::Seal(e.to_string()))?;
            let sealed = self.seal(&json, None)?;
            if let Some(planned) = plan.deliveries.first() {
                let row = status_row(&planned.delivery, &sealed);
                made.insert(row.id, Arc::clone(&sealed.p7m));
                evidence.push(row);
            }
        }
        let mut deliveries = std::mem::take(&mut plan.deliveries);
        for planned in &mut deliveries {
            self.carry_out(planned, &plan, &mut made, &mut evidence, &mut change)?;
        }
        change.deliveries = deliveries
            .into_iter()
            .map(|p| DeliveryWrite {
                recipient_member: recipient_member(&p.delivery, &plan),
                delivery: p.delivery,
                expected: p.expected,
            })
            .collect();
        change.evidence = evidence;
        Ok(change)
    }

    fn empty_change(&self, cause: Cause, plan: &Plan) -> Change {
        Change {
            message: plan.message.clone(),
            keys: plan.keys.clone(),
            uploads: if plan.fresh { kept(&plan.uploads) } else { Vec::new() },
            uses: plan.uploads.iter().map(|u| u.id).collect(),
            ..Change::new(cause, self.now)
        }
    }

    fn seal(
        &self,
        json: &[u8],
        commitment: Option<Commitment>,
    ) -> Result<SealedBytes, EngineError> {
        let sealed = self
            .sealer
            .seal(json, self.now, commitment)
            .map_err(|e| EngineError::Seal(e.to_string()))?;
        Ok(SealedBytes { p7m: Arc::new(sealed.der), sha256: sealed.digest, sealed_at: self.now })
    }

    /// Seals drafts in order, since a later one may point at an earlier one, and notes the
    /// digests in the deliveries.
    fn seal_drafts(
        &self,
        plan: &mut Plan,
        made: &mut Made,
    ) -> Result<Vec<NewEvidence>, EngineError> {
        let mut digests: Vec<Digest> = Vec::with_capacity(plan.drafts.len());
        let mut rows = Vec::with_capacity(plan.drafts.len());
        for draft in &plan.drafts {
            let previous = match draft.previous {
                Previous::Nothing => None,
                Previous::Sealed(digest) => Some(digest),
                Previous::Draft(i) => digests.get(i).copied(),
            };
            let json = draft.evidence(&self.node, &plan.subject, previous).to_json();
            let sealed = self.seal(&json, commitment(draft.event))?;
            digests.push(sealed.sha256);
            made.insert(draft.id, Arc::clone(&sealed.p7m));
            for planned in &mut plan.deliveries {
                for held in planned.delivery.evidence.iter_mut().filter(|h| h.id == draft.id) {
                    held.digest = Some(sealed.sha256);
                }
            }
            rows.push(self.row(draft, plan, &sealed));
        }
        Ok(rows)
    }

    fn row(&self, draft: &EvidenceDraft, plan: &Plan, sealed: &SealedBytes) -> NewEvidence {
        let deliveries = match draft.delivery {
            Some(id) => vec![id],
            None => plan.deliveries.iter().map(|p| p.delivery.id).collect(),
        };
        NewEvidence {
            kind: Kind::Evidence,
            id: draft.id,
            message: plan.envelope.message_id,
            deliveries,
            event: Some(draft.event),
            reason: draft.reasons.first().copied(),
            node: self.node.clone(),
            at: draft.at,
            sealed_at: sealed.sealed_at,
            p7m: sealed.p7m.to_vec(),
            sha256: sealed.sha256,
        }
    }

    fn carry_out(
        &self,
        planned: &mut Planned,
        plan: &Plan,
        made: &mut Made,
        evidence: &mut Vec<NewEvidence>,
        change: &mut Change,
    ) -> Result<(), EngineError> {
        for effect in std::mem::take(&mut planned.effects) {
            let delivery = &mut planned.delivery;
            match effect {
                Effect::SendDispatch { to } => {
                    if delivery.dispatch.is_none() && delivery.role == Role::Sender {
                        let sealed = self.dispatch(delivery, plan, made)?;
                        delivery.dispatch = Some(sealed.sha256);
                        let row = dispatch_row(delivery, &sealed);
                        made.insert(row.id, Arc::clone(&sealed.p7m));
                        evidence.push(row);
                    }
                    change.effects.push(self.send_dispatch(delivery, plan, to));
                }
                Effect::SendEvidence { to, evidence } => {
                    change.effects.push(self.send_evidence(delivery, plan, to, &evidence));
                }
                Effect::SendStatus { to } => {
                    if let Some(row) = evidence.iter().rfind(|r| r.kind == Kind::Status) {
                        change.effects.push(self.send_status(delivery, plan, to, row));
                    }
                }
                Effect::Notify { member, what } => {
                    let event = self.notice(delivery, &what);
                    let member = member.organisation().key();
                    change.events.push(NewEvent { member, event });
                }
                Effect::Continue => change.effects.push(self.wake(delivery, plan)),
                Effect::EraseContent => change.erases.push(delivery.id),
                Effect::Incident { detail } => {
                    tracing::warn!(delivery = %delivery.id, detail, "incident");
                }
            }
        }
        Ok(())
    }

    /// Makes and seals the dispatch for the node of the delivery's recipient.
    fn dispatch(
        &self,
        delivery: &Delivery,
        plan: &Plan,
        made: &Made,
    ) -> Result<SealedBytes, EngineError> {
        let fail = |what: String| EngineError::Seal(what);
        let recipient = plan
            .envelope
            .recipients
            .get(delivery.recipient_index as usize)
            .ok_or_else(|| fail("no such recipient".to_owned()))?;
        let to = self
            .snapshot
            .directory
            .member(recipient)
            .map(|m| m.node.clone())
            .ok_or_else(|| fail(format!("{recipient} has left the directory")))?;
        let acceptance = delivery
            .held(Event::SubmissionAcceptance)
            .and_then(|held| made.get(&held.id))
            .ok_or_else(|| fail("no acceptance to go with the dispatch".to_owned()))?;
        let dispatch = Dispatch {
            version: 1,
            envelope: (*plan.envelope).clone(),
            relay: RelayMetadata {
                delivery_id: delivery.id,
                recipient_index: delivery.recipient_index,
                from: self.node.clone(),
                to: to.clone(),
                relay_time: self.now,
                hop: delivery.hop,
            },
            content: content_refs(plan, delivery),
            keys: Octets(self.wrapped_keys(plan, delivery, &to)?),
            submission_acceptance: Octets(acceptance.to_vec()),
        };
        let json = serde_json::to_vec(&dispatch).map_err(|e| fail(e.to_string()))?;
        self.seal(&json, None)
    }

    fn wrapped_keys(
        &self,
        plan: &Plan,
        delivery: &Delivery,
        to: &NodeId,
    ) -> Result<Vec<u8>, EngineError> {
        let fail = |what: String| EngineError::Seal(what);
        let certificate = self
            .snapshot
            .directory
            .node(to)
            .and_then(|entry| entry.encryption_certificates.first())
            .ok_or_else(|| fail(format!("{to} has no certificate to encrypt to")))?;
        let mut keys = Vec::new();
        for (document, upload) in plan.envelope.documents.iter().zip(&plan.uploads) {
            if document.is_for(delivery.recipient_index) {
                let key = self
                    .storage
                    .unwrap(&upload.wrapped_key, document.id.0.as_bytes())
                    .map_err(|e| fail(e.to_string()))?;
                keys.push(Octets(key.expose().to_vec()));
            }
        }
        let json = serde_json::to_vec(&ContentKeys { keys }).map_err(|e| fail(e.to_string()))?;
        wrap(&Zeroizing::new(json), &[&certificate.0]).map_err(|e| fail(e.to_string()))
    }

    fn send_dispatch(&self, delivery: &Delivery, plan: &Plan, to: NodeId) -> NewEffect {
        let id = dispatch_id(delivery.message, delivery);
        let content = content_refs(plan, delivery);
        let size: u64 = content.iter().map(|c| c.cipher_size).sum();
        let relays = delivery.relayed_by(&self.node).map(|held| Part::Stored(held.id)).collect();
        let (dispatch, inline) = (Part::Stored(id), size <= INLINE_LIMIT);
        let what = Payload::Dispatch { dispatch, content, inline, relays };
        let frame = format!("dispatch-{}-{}", delivery.id, delivery.hop);
        self.publish(delivery, plan, to, "message", frame, what)
    }

    fn send_evidence(
        &self,
        delivery: &Delivery,
        plan: &Plan,
        to: NodeId,
        ids: &[EvidenceId],
    ) -> NewEffect {
        let parts = ids.iter().map(|id| Part::Stored(*id)).collect();
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let id = Uuid::new_v5(&schemas::ids::namespace(), names.join("/").as_bytes());
        let frame = format!("evidence-{id}");
        self.publish(delivery, plan, to, "evidence", frame, Payload::Evidence(parts))
    }

    fn send_status(
        &self,
        delivery: &Delivery,
        plan: &Plan,
        to: NodeId,
        row: &NewEvidence,
    ) -> NewEffect {
        let what = Payload::Status(Part::Stored(row.id));
        self.publish(delivery, plan, to, "evidence", format!("status-{}", row.id), what)
    }

    fn publish(
        &self,
        delivery: &Delivery,
        plan: &Plan,
        to: NodeId,
        lane: &str,
        frame: String,
        what: Payload,
    ) -> NewEffect {
        let conversation = plan.envelope.conversation_id.to_string();
        let publication = Publication {
            frame,
            to: to.clone(),
            message: delivery.message,
            delivery: delivery.id,
            conversation: conversation.clone(),
            what,
            trace: plan.trace,
        };
        NewEffect {
            kind: EffectKind::Publish,
            delivery: Some(delivery.id),
            order_key: format!("{to}/{lane}/{conversation}"),
            to: Some(to),
            due: self.now,
            payload: publication.to_bytes(),
        }
    }

    /// What it brings about belongs to the same trace.
    fn wake(&self, delivery: &Delivery, plan: &Plan) -> NewEffect {
        NewEffect {
            kind: EffectKind::Wake,
            delivery: Some(delivery.id),
            to: None,
            order_key: delivery.id.to_string(),
            due: self.now,
            payload: plan.trace.map(|trace| trace.to_string().into_bytes()).unwrap_or_default(),
        }
    }

    /// What a feed says of an evidence: also which silence it answers (row 10).
    fn told(
        &self,
        delivery: &Delivery,
        id: EvidenceId,
        mut data: serde_json::Value,
    ) -> serde_json::Value {
        let links = fold::superseded(delivery, &self.node);
        let answered: Vec<_> =
            links.into_iter().filter(|(fact, _)| *fact == id).map(|(_, silence)| silence).collect();
        if let Some(map) = data.as_object_mut() {
            map.insert("evidence_id".to_owned(), json!(id));
            if !answered.is_empty() {
                map.insert("supersedes".to_owned(), json!(answered));
            }
        }
        data
    }

    /// A CloudEvent of a member's feed.
    fn notice(&self, delivery: &Delivery, what: &Notice) -> serde_json::Value {
        let (kind, key, data) = match what {
            Notice::Evidence { id, event, reason } => (
                format!("fr.pli.evidence.{}", event.name()),
                id.to_string(),
                self.told(delivery, *id, json!({ "event": event.name(), "code": reason })),
            ),
            Notice::Available => ("fr.pli.inbox.available".to_owned(), String::new(), json!({})),
            Notice::Late => ("fr.pli.delivery.late".to_owned(), String::new(), json!({})),
            Notice::Status => (
                "fr.pli.status".to_owned(),
                self.now.to_string(),
                json!({ "business_status": delivery.business }),
            ),
        };
        let mut data = data;
        if let Some(map) = data.as_object_mut() {
            map.insert("message_id".to_owned(), json!(delivery.message));
            map.insert("delivery_id".to_owned(), json!(delivery.id));
            map.insert("state".to_owned(), json!(delivery.phase.name()));
            map.insert("process".to_owned(), json!(delivery.process));
        }
        let name = format!("event/{kind}/{}/{key}", delivery.id);
        json!({
            "specversion": "1.0",
            "id": Uuid::new_v5(&schemas::ids::namespace(), name.as_bytes()),
            "source": format!("urn:pli:node:{}", self.node),
            "type": kind,
            "subject": delivery.id,
            "time": self.now,
            "datacontenttype": "application/json",
            "data": data,
        })
    }
}

/// Uploads of a message, which stay as long as it does.
fn kept(uploads: &[Upload]) -> Vec<Upload> {
    uploads.iter().map(|u| Upload { expires: None, ..u.clone() }).collect()
}

fn content_refs(plan: &Plan, delivery: &Delivery) -> Vec<ContentRef> {
    plan.envelope
        .documents
        .iter()
        .filter(|d| d.is_for(delivery.recipient_index))
        .map(|d| ContentRef {
            document_id: d.id,
            cipher_sha256: d.cipher_sha256,
            cipher_size: ciphertext_len(d.size),
        })
        .collect()
}

fn recipient_member(delivery: &Delivery, plan: &Plan) -> Option<String> {
    let here = matches!(delivery.role, Role::Recipient | Role::Local);
    let party = plan.envelope.recipients.get(delivery.recipient_index as usize);
    party.filter(|_| here).map(|p| p.organisation().key())
}

/// Commitment types (EN 319 122-1 §5.2.3) per event.
const fn commitment(event: Event) -> Option<Commitment> {
    match event {
        Event::SubmissionAcceptance => Some(Commitment::ProofOfOrigin),
        Event::RelayAcceptance | Event::ContentHandover => Some(Commitment::ProofOfReceipt),
        Event::ContentConsignment => Some(Commitment::ProofOfDelivery),
        _ => None,
    }
}
