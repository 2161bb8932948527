//! A submission: rows 1, 2, 3 and 5 of `lifecycle.md`.
//!
//! Everything that can be known at once is checked before the sender is promised anything, in a
//! fixed order, and the first thing wrong refuses the submission as a whole: a message accepted
//! for some of its addressees only would leave the sender with half a proof.

use schemas::catalogue::Process;
use schemas::directory::Standing;
use schemas::envelope::Envelope;
use schemas::event::{Event, Reason};
use schemas::ids::{DeliveryId, EvidenceId, NodeId};
use schemas::party::Party;
use schemas::problem::Code;

use crate::deadline;
use crate::decide::Context;
use crate::effect::{Effect, Notice};
use crate::evidence::{EvidenceDraft, Previous};
use crate::input::{Finding, Submission};
use crate::refusal::Refusal;
use crate::route::Freshness;
use crate::rules;
use crate::state::{Delivery, Held, Phase, Role, Timers};
use crate::timers;

/// An accepted submission (row 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// A.1, one for the whole submission.
    pub evidence: EvidenceDraft,
    /// One delivery per recipient, with what is to be done for it.
    pub deliveries: Vec<(Delivery, Vec<Effect>)>,
}

/// A refused submission (row 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// What the sender is answered.
    pub refusal: Refusal,
    /// A.2, sealed when the sender was authenticated.
    pub evidence: EvidenceDraft,
}

/// Decides about a submission.
///
/// # Errors
/// The refusal, with the A.2 that proves it.
pub fn submit(s: &Submission<'_>, ctx: &Context<'_>) -> Result<Accepted, Box<Rejected>> {
    match check(s, ctx) {
        Ok((process, ways)) => Ok(accept(s.envelope, process, ways, ctx)),
        Err(refusal) => Err(Box::new(reject(s.envelope, refusal, ctx))),
    }
}

/// The way to one recipient.
enum Way {
    /// It lives here.
    Here,
    /// To this node next.
    Node(NodeId),
    /// Out of the network, to this system (row 18).
    Outside(String),
}

/// All checks, in their order.
fn check<'c>(s: &Submission<'_>, ctx: &Context<'c>) -> Result<(&'c Process, Vec<Way>), Refusal> {
    let envelope = s.envelope;
    let found = || s.findings.first().map(refusal);
    envelope.check().map_err(|e| {
        // A document that was not taken leaves a hole in the envelope: the cause is told.
        found().unwrap_or_else(|| Refusal::new(Code::EnvelopeInvalid, e.en(), e.fr()))
    })?;
    check_times(envelope, ctx)?;
    let process = rules::process(ctx.catalogue, &envelope.process).ok_or_else(|| {
        let code = &envelope.process;
        Refusal::new(
            Code::ProcessUnknown,
            format!("{code} is not in the catalogue"),
            format!("{code} ne figure pas au catalogue"),
        )
    })?;
    check_sender(envelope, process, ctx)?;
    let ways = envelope
        .recipients
        .iter()
        .map(|recipient| check_recipient(recipient, process, ctx))
        .collect::<Result<Vec<_>, _>>()?;
    check_agreement(process)?;
    rules::check_documents(process, ctx.policy.max_message_size, &envelope.documents)?;
    if let Some(refusal) = found() {
        return Err(refusal);
    }
    check_anchors(s.unanchored_age, ctx)?;
    Ok((process, ways))
}

fn refusal(finding: &Finding) -> Refusal {
    Refusal::new(finding.code, finding.detail.clone(), finding.detail_fr.clone())
}

fn check_times(envelope: &Envelope, ctx: &Context<'_>) -> Result<(), Refusal> {
    if envelope.submitted_at > ctx.now.plus(ctx.policy.max_skew) {
        return Err(Refusal::new(
            Code::TimestampOutOfRange,
            format!("submitted_at is {}, and here it is {}", envelope.submitted_at, ctx.now),
            format!("submitted_at vaut {}, or il est ici {}", envelope.submitted_at, ctx.now),
        ));
    }
    if envelope.requested.expires_at.is_some_and(|at| at <= ctx.now) {
        return Err(Refusal::new(
            Code::Expired,
            "requested.expires_at has passed",
            "requested.expires_at est dépassé",
        ));
    }
    Ok(())
}

/// The sender is a member of this node, in service, whom the démarche lets send. Acting in the
/// name of somebody else needs a delegation, and none can be carried in this version.
fn check_sender(envelope: &Envelope, process: &Process, ctx: &Context<'_>) -> Result<(), Refusal> {
    let sender = &envelope.sender;
    let member = ctx.directory.listed(sender).filter(|m| m.node == ctx.node);
    let active = member.is_some_and(|m| m.entry.standing == Standing::Active);
    if !active {
        return Err(Refusal::new(
            Code::NotAuthorised,
            format!("{} is not a member of this node in service", sender.key()),
            format!("{} n'est pas un membre en service de ce nœud", sender.key()),
        ));
    }
    if !rules::may_send(process, sender) {
        return Err(Refusal::new(
            Code::NotAuthorised,
            format!("{} may not send in {}", sender.key(), process.code),
            format!("{} n'est pas habilité à émettre dans {}", sender.key(), process.code),
        ));
    }
    match &envelope.on_behalf_of {
        None => Ok(()),
        Some(principal) => Err(Refusal::new(
            Code::DelegationExceeded,
            format!("no delegation of {} covers this message", principal.key()),
            format!("aucune délégation de {} ne couvre ce pli", principal.key()),
        )),
    }
}

/// The recipient is known, in service, has subscribed, and can be reached (row 5).
fn check_recipient(
    recipient: &Party,
    process: &Process,
    ctx: &Context<'_>,
) -> Result<Way, Refusal> {
    let key = recipient.key();
    let Some(member) = ctx.directory.member(recipient) else {
        let gateway = ctx.policy.gateway.clone().map(Way::Outside);
        return gateway.ok_or_else(|| {
            Refusal::new(
                Code::RecipientUnknown,
                format!("{key} is not in the directory"),
                format!("{key} ne figure pas dans l'annuaire"),
            )
        });
    };
    if member.entry.standing != Standing::Active {
        return Err(Refusal::new(
            Code::RecipientNotActive,
            format!("{key} is not in service"),
            format!("{key} n'est pas en service"),
        ));
    }
    if !rules::subscribes(member.entry, &process.code) || !rules::may_receive(process, recipient) {
        return Err(Refusal::new(
            Code::RecipientNotSubscribed,
            format!("{key} does not receive {}", process.code),
            format!("{key} ne reçoit pas {}", process.code),
        ));
    }
    if member.node == ctx.node {
        return Ok(Way::Here);
    }
    let fresh = ctx.directory.freshness_of(member.node, ctx.now) != Freshness::Expired;
    let way = ctx.directory.next_hop(ctx.node, member.node).filter(|_| fresh);
    way.map(Way::Node).ok_or_else(|| {
        Refusal::new(
            Code::NodeUnreachable,
            format!("there is no way to {}, the node of {key}", member.node),
            format!("aucun chemin ne mène à {}, le nœud de {key}", member.node),
        )
    })
}

/// Agreements are not distributed in this version: none can be shown.
fn check_agreement(process: &Process) -> Result<(), Refusal> {
    if !process.agreement_required {
        return Ok(());
    }
    Err(Refusal::new(
        Code::AgreementMissing,
        format!("{} needs an agreement of the two parties", process.code),
        format!("{} exige une convention entre les deux parties", process.code),
    ))
}

/// No promise that we cannot prove (`architecture.md` section 3).
fn check_anchors(unanchored_age: i64, ctx: &Context<'_>) -> Result<(), Refusal> {
    let most = ctx.policy.max_unanchored_age;
    if unanchored_age <= most {
        return Ok(());
    }
    let minutes = unanchored_age / schemas::time::MINUTE;
    Err(Refusal::new(
        Code::TimestampUnavailable,
        format!("evidence has been waiting for its time-stamp for {minutes} minutes"),
        format!("des preuves attendent leur horodatage depuis {minutes} minutes"),
    ))
}

/// Row 2.
fn accept(envelope: &Envelope, process: &Process, ways: Vec<Way>, ctx: &Context<'_>) -> Accepted {
    let reason = Reason::Ra01;
    let evidence = EvidenceDraft {
        reasons: vec![reason],
        ..draft(envelope, Event::SubmissionAcceptance, Phase::Accepted, ctx)
    };
    let held = Held {
        id: evidence.id,
        event: evidence.event,
        reason: Some(reason),
        node: ctx.node.clone(),
        at: ctx.now,
        digest: None,
    };
    let told = notices(envelope, &held, ctx);
    let deliveries = (0..)
        .zip(ways)
        .map(|(index, way)| {
            let delivery = first_state(envelope, index, way, process, held.clone(), ctx);
            let mut effects = match (delivery.next_hop.clone(), delivery.role) {
                (Some(to), _) => vec![Effect::SendDispatch { to }],
                (None, Role::Local) => vec![Effect::Continue],
                // The gateway fetches what leaves the network, and reports.
                (None, _) => Vec::new(),
            };
            // One A.1, told once.
            if index == 0 {
                effects.extend(told.clone());
            }
            (delivery, effects)
        })
        .collect();
    Accepted { evidence, deliveries }
}

/// The sender learns of the A.1, and whoever it lets see its evidence.
fn notices(envelope: &Envelope, held: &Held, ctx: &Context<'_>) -> Vec<Effect> {
    let here = |p: &&Party| ctx.directory.listed(p).is_some_and(|m| m.node == ctx.node);
    let other = envelope.requested.evidence_to.as_ref().filter(here);
    let Held { id, event, reason, .. } = *held;
    [Some(&envelope.sender), other]
        .into_iter()
        .flatten()
        .map(|member| Effect::Notify {
            member: member.organisation(),
            what: Notice::Evidence { id, event, reason },
        })
        .collect()
}

fn first_state(
    envelope: &Envelope,
    recipient_index: u32,
    way: Way,
    process: &Process,
    acceptance: Held,
    ctx: &Context<'_>,
) -> Delivery {
    let requested = &envelope.requested;
    let recipient = usize::try_from(recipient_index).ok().and_then(|i| envelope.recipients.get(i));
    let territory = timers::territory(recipient, ctx);
    let span = |from, span| Some(deadline::after(from, span, territory));
    // Nothing can be consigned before MD07, so nothing is late before.
    let from = requested.not_before.map_or(ctx.now, |at| at.max(ctx.now));
    let timers = match way {
        Way::Outside(_) => Timers {
            relay_send: span(ctx.now, process.deadlines.relay_send),
            expires: requested.expires_at,
            ..Timers::default()
        },
        Way::Node(_) => Timers {
            relay_send: span(ctx.now, process.deadlines.relay_send),
            consign: span(from, process.deadlines.consign),
            consign_warning: span(from, process.deadlines.consign_warning),
            expires: requested.expires_at,
            ..Timers::default()
        },
        Way::Here => Timers {
            not_before: Some(from),
            consign: span(from, process.deadlines.consign),
            expires: requested.expires_at,
            ..Timers::default()
        },
    };
    let (role, next_hop, outside) = match way {
        Way::Here => (Role::Local, None, None),
        Way::Node(next) => (Role::Sender, Some(next), None),
        Way::Outside(system) => (Role::Sender, None, Some(system)),
    };
    Delivery {
        id: DeliveryId::derive(envelope.message_id, recipient_index),
        message: envelope.message_id,
        recipient_index,
        role,
        phase: Phase::Accepted,
        since: ctx.now,
        custodian: ctx.node.clone(),
        origin: ctx.node.clone(),
        previous_hop: None,
        next_hop,
        hop: 0,
        process: process.code.clone(),
        consignment: rules::consignment(process, requested.consignment),
        attempts: 0,
        timers,
        evidence: vec![acceptance],
        outside,
        business: None,
        dispatch: None,
    }
}

/// Row 3.
fn reject(envelope: &Envelope, refusal: Refusal, ctx: &Context<'_>) -> Rejected {
    let event = Event::SubmissionRejection;
    let evidence = EvidenceDraft {
        reasons: reasons(event, refusal.code),
        problem: Some(refusal.code),
        detail: Some(refusal.detail.chars().take(1_000).collect()),
        ..draft(envelope, event, Phase::Rejected, ctx)
    };
    Rejected { refusal, evidence }
}

/// The ruling reason is one of family A; behind RA05 stands the reason of `protocol.md` section 9
/// where the event may have it (EN 319 522-2 clause 8.3.3). The problem code is always told.
fn reasons(event: Event, code: Code) -> Vec<Reason> {
    let own = code.facts().reason.filter(|r| event.reasons().contains(r));
    vec![own.unwrap_or(Reason::Ra05)]
}

/// A draft of family A: about the whole submission.
fn draft(envelope: &Envelope, event: Event, state: Phase, ctx: &Context<'_>) -> EvidenceDraft {
    EvidenceDraft {
        id: EvidenceId::derive(ctx.node, envelope.message_id, None, event.name(), 0),
        event,
        reasons: Vec::new(),
        problem: None,
        detail: None,
        at: ctx.now,
        delivery: None,
        recipient_index: None,
        recipient_authenticated: false,
        external: None,
        forwarded: None,
        sender_authenticated: true,
        hop: 0,
        state,
        previous: Previous::Nothing,
    }
}

#[cfg(test)]
mod tests;
