//! The decide stage: an item and what was loaded for it become a [`Plan`], by the pure core.

use std::sync::Arc;

use exchange_core::decide::{Context, decide};
use exchange_core::effect::{Decision, Effect};
use exchange_core::evidence::{EvidenceDraft, Previous};
use exchange_core::input::{EvidenceFact, Inbound, Input, Submission};
use exchange_core::refusal::Refusal;
use exchange_core::state::{Delivery, Role};
use exchange_core::submit::submit;
use exchange_store::rows::{DeliveryKey, Kind, Loaded, NewEvidence, NewMessage, Upload};
use schemas::envelope::Envelope;
use schemas::evidence::Subject;
use schemas::ids::{EvidenceId, MessageId};
use schemas::problem::Code;
use schemas::status::StatusUpdate;
use schemas::trace::TraceContext;
use uuid::Uuid;

use crate::engine::item::{Arrived, Fact, Received, SealedBytes, Work};
use crate::engine::{Submit, What};

/// What one item brings about, before sealing.
#[derive(Debug)]
pub struct Plan {
    /// What every evidence of the message repeats.
    pub subject: Subject,
    /// The envelope.
    pub envelope: Arc<Envelope>,
    /// Evidence to be sealed, in order.
    pub drafts: Vec<EvidenceDraft>,
    /// Deliveries with their effects.
    pub deliveries: Vec<Planned>,
    /// Sealed objects that came from elsewhere.
    pub received: Vec<NewEvidence>,
    /// The message, when this node may not hold it.
    pub message: Option<NewMessage>,
    /// Wrapped document keys for recipients of this node.
    pub keys: Vec<DeliveryKey>,
    /// Documents of a submission, in the order of the envelope.
    pub uploads: Vec<Upload>,
    /// Whether these came with the message and are not recorded yet.
    pub fresh: bool,
    /// A business status to be sealed.
    pub status: Option<StatusUpdate>,
    /// The evidence that answers the caller.
    pub answer: Option<EvidenceId>,
    /// Why a submission was refused; its A.2 is among the drafts.
    pub refusal: Option<Refusal>,
    /// The span of it all, for what it publishes.
    pub trace: Option<TraceContext>,
}

/// A delivery to be written, and what follows from it.
#[derive(Debug)]
pub struct Planned {
    /// The state.
    pub delivery: Delivery,
    /// Version that was loaded.
    pub expected: Option<i64>,
    /// Effects.
    pub effects: Vec<Effect>,
    /// Whether anything differs from what was loaded.
    pub changed: bool,
}

impl Plan {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.drafts.is_empty()
            && self.received.is_empty()
            && self.status.is_none()
            && self.deliveries.iter().all(|p| !p.changed && p.effects.is_empty())
    }
}

/// Decides about a submission. A refused one still has a plan: its A.2.
#[must_use]
pub fn plan_submission(item: &Submit, unanchored_age: i64, ctx: &Context<'_>) -> Plan {
    let envelope = Arc::new(item.envelope.clone());
    let submission =
        Submission { envelope: &envelope, findings: item.findings.clone(), unanchored_age };
    let (drafts, deliveries, refusal) = match submit(&submission, ctx) {
        Ok(accepted) => {
            let planned = accepted
                .deliveries
                .into_iter()
                .map(|(delivery, effects)| Planned {
                    delivery,
                    expected: None,
                    effects,
                    changed: true,
                })
                .collect();
            (vec![accepted.evidence], planned, None)
        }
        Err(rejected) => (vec![rejected.evidence], Vec::new(), Some(rejected.refusal)),
    };
    let keys = local_keys(&deliveries, &envelope, &item.uploads);
    Plan {
        subject: Subject::of(&envelope),
        drafts,
        deliveries,
        received: Vec::new(),
        message: Some(NewMessage {
            envelope: Arc::clone(&envelope),
            member: Some(item.member.organisation().key()),
        }),
        envelope,
        keys,
        // A refused message keeps no document: they go when the time of their upload is over.
        uploads: if refusal.is_none() { item.uploads.clone() } else { Vec::new() },
        fresh: item.fresh,
        status: None,
        answer: None,
        refusal,
        trace: None,
    }
}

/// A recipient of this very node reads what the sender uploaded, by the same wrapped keys.
fn local_keys(planned: &[Planned], envelope: &Envelope, uploads: &[Upload]) -> Vec<DeliveryKey> {
    let local = planned.iter().filter(|p| p.delivery.role == Role::Local);
    local
        .flat_map(|p| {
            envelope
                .documents
                .iter()
                .zip(uploads)
                .filter(|(document, _)| document.is_for(p.delivery.recipient_index))
                .map(|(document, upload)| DeliveryKey {
                    delivery: p.delivery.id,
                    document: document.id,
                    cipher_sha256: upload.cipher_sha256,
                    cipher_size: upload.cipher_size,
                    wrapped_key: upload.wrapped_key.clone(),
                })
        })
        .collect()
}

/// Decides about one delivery.
///
/// # Errors
/// The core's refusal, or `not-found` for a delivery that this node does not hold.
pub fn plan_work(work: &Work, loaded: &Loaded, ctx: &Context<'_>) -> Result<Plan, Refusal> {
    let state = loaded.deliveries.get(&work.delivery);
    if let (Some(versions), Some((_, version))) = (&work.if_match, state)
        && !versions.contains(version)
    {
        return Err(Refusal::new(
            Code::PreconditionFailed,
            "the delivery has changed since you read it",
            "la remise a changé depuis votre lecture",
        ));
    }
    let (envelope, first) = match (&work.fact, state) {
        (Fact::Dispatched(arrived) | Fact::Recollected(arrived, _), None) => {
            (Arc::clone(&arrived.envelope), true)
        }
        (_, Some((delivery, _))) => {
            (loaded.envelopes.get(&delivery.message).cloned().ok_or_else(not_found)?, false)
        }
        (_, None) => return Err(not_found()),
    };
    let subject = Subject::of(&envelope);
    let decision = decide_in_turn(state.map(|(d, _)| d), &subject, work, ctx)?;
    let changed = state.is_none_or(|(before, _)| *before != decision.next);
    let fresh = |id: &EvidenceId| {
        state.is_none_or(|(before, _)| before.evidence.iter().all(|held| held.id != *id))
    };
    let received = received(work, &decision.next, &fresh);
    let status = status_update(&work.fact, &decision.next, ctx);
    let keys = match (&work.fact, decision.next.role) {
        (Fact::Dispatched(arrived) | Fact::Recollected(arrived, _), Role::Recipient) if first => {
            arrived.keys.clone()
        }
        _ => Vec::new(),
    };
    Ok(Plan {
        message: first.then(|| NewMessage {
            member: (decision.next.role == Role::Sender)
                .then(|| envelope.sender.organisation().key()),
            envelope: Arc::clone(&envelope),
        }),
        subject,
        envelope,
        drafts: decision.evidence,
        received,
        keys,
        uploads: Vec::new(),
        fresh: false,
        status,
        answer: decision.answer,
        refusal: None,
        trace: work.trace,
        deliveries: vec![Planned {
            delivery: decision.next,
            expected: state.map(|(_, version)| *version),
            effects: decision.effects,
            changed,
        }],
    })
}

fn not_found() -> Refusal {
    Refusal::new(
        Code::NotFound,
        "This node holds no such delivery.",
        "Ce nœud ne détient pas cette remise.",
    )
}

/// Decides about each input of a fact in turn, and joins the decisions. Evidence that settles a
/// dispatch says first of all that it was sent: whatever else it says, nobody may attest later that
/// it was not.
fn decide_in_turn(
    state: Option<&Delivery>,
    subject: &Subject,
    work: &Work,
    ctx: &Context<'_>,
) -> Result<Decision, Refusal> {
    let Fact::Evidence(all) = &work.fact else {
        return decide(state, subject, input(&work.fact), ctx);
    };
    let sent = (!work.settles.is_empty()).then_some(Input::Sent);
    let facts = all.iter().map(|received| Input::Evidence(received.fact.clone()));
    let mut joined: Option<Decision> = None;
    for input in sent.into_iter().chain(facts) {
        let before = joined.as_ref().map(|d| &d.next).or(state);
        let mut decision = decide(before, subject, input, ctx)?;
        if let Some(earlier) = joined {
            let shift = earlier.evidence.len();
            for draft in &mut decision.evidence {
                if let Previous::Draft(i) = &mut draft.previous {
                    *i += shift;
                }
            }
            decision.evidence.splice(0..0, earlier.evidence);
            decision.effects.splice(0..0, earlier.effects);
            decision.answer = decision.answer.or(earlier.answer);
        }
        joined = Some(decision);
    }
    joined.ok_or_else(not_found)
}

fn input(fact: &Fact) -> Input<'_> {
    match fact {
        Fact::Dispatched(arrived) => Input::Dispatched(Box::new(inbound(arrived))),
        Fact::Recollected(arrived, evidence) => {
            let facts = evidence.iter().map(|r| r.fact.clone()).collect();
            Input::Recollected(Box::new(inbound(arrived)), facts)
        }
        Fact::Status { by, status, .. } => {
            Input::StatusReceived { by: by.clone(), status: *status }
        }
        Fact::Sent | Fact::Evidence(_) => Input::Sent,
        Fact::Unroutable => Input::Unroutable,
        Fact::Attempted => Input::Attempted,
        Fact::Due => Input::Due,
        Fact::Continue => Input::Continue,
        Fact::Act(What::Acknowledge { by }) => Input::Acknowledge { by: by.clone() },
        Fact::Act(What::Accept { by }) => Input::Accept { by: by.clone() },
        Fact::Act(What::Refuse { by, reason }) => {
            Input::Refuse { by: by.clone(), reason: reason.clone() }
        }
        Fact::Act(What::RefuseType { by, reason }) => {
            Input::RefuseType { by: by.clone(), reason: reason.clone() }
        }
        Fact::Act(What::SetStatus { by, status, .. }) => {
            Input::SetStatus { by: by.clone(), status: *status }
        }
        Fact::Act(What::Redrive) => Input::Redrive,
    }
}

fn inbound(arrived: &Arrived) -> Inbound<'_> {
    Inbound {
        envelope: &arrived.envelope,
        recipient_index: arrived.recipient_index,
        origin: arrived.origin.clone(),
        from: arrived.from.clone(),
        hop: arrived.hop,
        dispatch: arrived.sealed.sha256,
        acceptance: arrived.acceptance.as_ref().map(|a| a.fact.clone()),
        relays: arrived.relays.iter().map(|r| r.fact.clone()).collect(),
        findings: arrived.findings.clone(),
    }
}

/// Sealed objects of the item that the delivery did not hold before.
fn received(work: &Work, next: &Delivery, fresh: &dyn Fn(&EvidenceId) -> bool) -> Vec<NewEvidence> {
    match &work.fact {
        Fact::Dispatched(arrived) if next.dispatch == Some(arrived.sealed.sha256) => {
            let mut out = vec![dispatch_row(next, &arrived.sealed)];
            out.extend(
                arrived
                    .acceptance
                    .iter()
                    .chain(&arrived.relays)
                    .filter(|a| fresh(&a.fact.id))
                    .map(|a| evidence_row(a, next)),
            );
            out
        }
        Fact::Recollected(arrived, evidence) => {
            let taken = |r: &&Received<EvidenceFact>| {
                fresh(&r.fact.id) && next.evidence.iter().any(|held| held.id == r.fact.id)
            };
            let way = arrived.acceptance.iter().chain(&arrived.relays);
            let mut out: Vec<NewEvidence> = Vec::new();
            for row in way.chain(evidence).filter(taken).map(|r| evidence_row(r, next)) {
                if out.iter().all(|known| known.id != row.id) {
                    out.push(row);
                }
            }
            // Whatever is new came with a dispatch that is known, or new as well.
            if !out.is_empty() {
                out.insert(0, dispatch_row(next, &arrived.sealed));
            }
            out
        }
        Fact::Evidence(all) => all
            .iter()
            .filter(|got| fresh(&got.fact.id))
            .map(|got| evidence_row(got, next))
            .collect(),
        Fact::Status { sealed, .. } => vec![status_row(next, sealed)],
        _ => Vec::new(),
    }
}

fn evidence_row(got: &Received<EvidenceFact>, delivery: &Delivery) -> NewEvidence {
    NewEvidence {
        kind: Kind::Evidence,
        id: got.fact.id,
        message: delivery.message,
        deliveries: vec![delivery.id],
        event: Some(got.fact.event),
        reason: got.fact.reason,
        node: got.fact.issuer.clone(),
        at: got.fact.at,
        sealed_at: got.sealed.sealed_at,
        p7m: got.sealed.p7m.to_vec(),
        sha256: got.sealed.sha256,
    }
}

/// The row of a dispatch, made here or received.
#[must_use]
pub fn dispatch_row(delivery: &Delivery, sealed: &SealedBytes) -> NewEvidence {
    object_row(Kind::Dispatch, dispatch_id(delivery.message, delivery), delivery, sealed)
}

/// The row of a business status. Its id follows from its bytes.
#[must_use]
pub fn status_row(delivery: &Delivery, sealed: &SealedBytes) -> NewEvidence {
    let id = Uuid::new_v5(&schemas::ids::namespace(), sealed.sha256.as_bytes());
    object_row(Kind::Status, EvidenceId(id), delivery, sealed)
}

fn object_row(
    kind: Kind,
    id: EvidenceId,
    delivery: &Delivery,
    sealed: &SealedBytes,
) -> NewEvidence {
    NewEvidence {
        kind,
        id,
        message: delivery.message,
        deliveries: vec![delivery.id],
        event: None,
        reason: None,
        node: delivery.origin.clone(),
        at: sealed.sealed_at,
        sealed_at: sealed.sealed_at,
        p7m: sealed.p7m.to_vec(),
        sha256: sealed.sha256,
    }
}

/// Identifier of the stored dispatch of a delivery.
#[must_use]
pub fn dispatch_id(message: MessageId, delivery: &Delivery) -> EvidenceId {
    let name = format!("dispatch/{message}/{}", delivery.recipient_index);
    EvidenceId(Uuid::new_v5(&schemas::ids::namespace(), name.as_bytes()))
}

fn status_update(fact: &Fact, next: &Delivery, ctx: &Context<'_>) -> Option<StatusUpdate> {
    let Fact::Act(What::SetStatus { by, status, reason, message }) = fact else {
        return None;
    };
    Some(StatusUpdate {
        version: 1,
        message_id: next.message,
        delivery_id: next.id,
        node: ctx.node.clone(),
        author: by.clone(),
        status: *status,
        reason: reason.clone(),
        message: message.clone(),
        documents: Vec::new(),
        at: ctx.now,
    })
}

#[cfg(test)]
mod tests {
    use exchange_core::fixture::{self, AT_R, Ground};
    use exchange_core::sim::Net;
    use exchange_core::state::Phase;
    use schemas::digest::Digest;
    use schemas::event::Event;

    use super::*;

    /// An answer that settles a dispatch, and otherwise says nothing new.
    #[test]
    fn what_is_answered_was_sent() {
        let mut net = Net::new(Ground::direct(), fixture::envelope(&[AT_R]));
        let id = net.submit().unwrap()[0];
        let delivery = net.at("s", id).unwrap().clone();
        let fact = net.fact(net.all(Event::SubmissionAcceptance)[0]);
        let sealed =
            SealedBytes { p7m: Arc::default(), sha256: Digest::default(), sealed_at: net.now };
        let all = vec![Received { fact, sealed }];
        let (subject, ctx) = (Subject::of(&net.envelope), net.ground.at("s", net.now));
        let decided = |settles| {
            let work = Work { settles, ..Work::new(id, Fact::Evidence(all.clone())) };
            decide_in_turn(Some(&delivery), &subject, &work, &ctx).unwrap().next
        };
        assert_eq!(decided(vec![]), delivery);
        let sent = decided(vec![7]);
        assert_eq!(sent.phase, Phase::Relaying);
        assert!(sent.timers.relay_ack.is_some() && sent.timers.relay_send.is_none());
    }
}
