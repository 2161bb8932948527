//! A node that was restored from a backup learns from a neighbour what it has forgotten. Its own
//! evidence comes back as it was issued: the state follows from it, and nothing is issued, so that
//! the node never contradicts what it said before it was lost.

use schemas::event::Event;
use schemas::evidence::Subject;
use schemas::problem::Code;

use super::rows_receive::{Verdict, acceptance, first_state};
use super::{Context, fit};
use crate::deadline;
use crate::effect::{Decision, Notice};
use crate::input::{EvidenceFact, Inbound};
use crate::refusal::Refusal;
use crate::rules;
use crate::state::{Delivery, Phase, Role};
use crate::step::Step;
use crate::timers;

/// Ends of a delivery at the recipient's node: one of them at most.
const ENDS: [Event; 5] = [
    Event::ContentHandover,
    Event::ContentHandoverFailure,
    Event::ContentConsignmentFailure,
    Event::ConsignmentRejection,
    Event::AcceptanceRejectionExpiry,
];

/// A delivery that was forgotten altogether.
pub(super) fn arrive(
    dispatch: &Inbound<'_>,
    evidence: &[EvidenceFact],
    subject: &Subject,
    ctx: &Context<'_>,
) -> Result<Decision, Refusal> {
    if let Some(finding) = dispatch.findings.first() {
        return Err(Refusal::new(finding.code, finding.detail.clone(), finding.detail_fr.clone()));
    }
    acceptance(dispatch)?;
    let mut step = Step::new(ctx, subject, forgotten(dispatch, evidence, ctx)?);
    remember(&mut step, evidence)?;
    step.refold();
    if step.next.role == Role::Relay && step.next.phase == Phase::Accepted {
        // The next node has it, and says so again, or gets it now: the same bytes.
        step.send();
    }
    Ok(step.finish())
}

/// A delivery that had come less far at the time of the backup.
pub(super) fn complete(
    step: &mut Step<'_>,
    dispatch: &Inbound<'_>,
    evidence: &[EvidenceFact],
) -> Result<(), Refusal> {
    if step.next.dispatch != Some(dispatch.dispatch) {
        return Err(fit::mismatch("an evidence with this identifier and other bytes is known"));
    }
    remember(step, evidence)
}

/// The delivery before its evidence.
fn forgotten(
    dispatch: &Inbound<'_>,
    evidence: &[EvidenceFact],
    ctx: &Context<'_>,
) -> Result<Delivery, Refusal> {
    let index = usize::try_from(dispatch.recipient_index).ok();
    let recipient = index.and_then(|i| dispatch.envelope.recipients.get(i));
    let home = recipient.and_then(|r| ctx.directory.member(r)).map(|m| m.node);
    let own = |event: &dyn Fn(Event) -> bool| {
        evidence.iter().any(|f| f.issuer == *ctx.node && event(f.event))
    };
    let sent = dispatch.origin == *ctx.node;
    if !sent && !own(&|event| event.family() == 'B') {
        return Err(fit::mismatch("this node has said nothing about it"));
    }
    let ended_here = own(&|e| matches!(e.family(), 'C' | 'D' | 'E') || e == Event::RelayRejection);
    let next = home.and_then(|home| ctx.directory.next_hop(ctx.node, home));
    let verdict = match next {
        Some(next) if sent || !ended_here => Verdict::Onward(next),
        _ => Verdict::Here(None),
    };
    let first = first_state(dispatch, &verdict, ctx);
    Ok(if sent { as_sender(first, dispatch, ctx) } else { first })
}

/// At the sender's node: nobody handed it over.
fn as_sender(first: Delivery, dispatch: &Inbound<'_>, ctx: &Context<'_>) -> Delivery {
    let deadlines = rules::deadlines(ctx.catalogue, &first.process);
    let index = usize::try_from(dispatch.recipient_index).ok();
    let recipient = index.and_then(|i| dispatch.envelope.recipients.get(i));
    let territory = timers::territory(recipient, ctx);
    let after = |span| Some(deadline::after(ctx.now, span, territory));
    let mut delivery = Delivery {
        role: Role::Sender,
        previous_hop: None,
        custodian: ctx.node.clone(),
        hop: dispatch.hop,
        ..first
    };
    delivery.timers.not_before = None;
    delivery.timers.relay_send = after(deadlines.relay_send);
    delivery.timers.consign = after(deadlines.consign);
    delivery.timers.consign_warning = after(deadlines.consign_warning);
    delivery
}

fn remember(step: &mut Step<'_>, evidence: &[EvidenceFact]) -> Result<(), Refusal> {
    let node = step.ctx.node;
    let before = step.next.phase;
    let mut all: Vec<&EvidenceFact> = evidence.iter().filter(|f| f.event.family() != 'A').collect();
    // What this node said about its own hop ends the way that the dispatch came.
    all.sort_by_key(|f| (f.issuer != *node || f.event.family() != 'B', f.at));
    for fact in all {
        if let Some(known) = step.next.evidence.iter().find(|h| h.id == fact.id) {
            fit::same(known, fact)?;
        } else if fact.issuer == *node {
            own(step, fact)?;
            step.remember(fact);
        } else if matches!(step.next.role, Role::Sender | Role::Relay)
            && fit::fits(step, fact).is_ok()
        {
            step.remember(fact);
        }
    }
    let waits = matches!(step.next.phase, Phase::Consigned | Phase::AwaitingAcceptance);
    if waits && before != step.next.phase && step.next.role == Role::Recipient {
        step.notify_recipient(Notice::Available);
    }
    Ok(())
}

/// Whether an evidence of this node goes with what it knows, or has said since.
fn own(step: &Step<'_>, fact: &EvidenceFact) -> Result<(), Refusal> {
    let mine = |event: &dyn Fn(Event) -> bool| {
        step.next.evidence.iter().any(|h| h.node == fact.issuer && event(h.event))
    };
    let contradicts = mine(&|event| event == fact.event)
        || (ENDS.contains(&fact.event) && mine(&|event| ENDS.contains(&event)));
    if !fact.same_content {
        return Err(fit::mismatch("it is about another message or other documents"));
    }
    if contradicts {
        return Err(Refusal::new(
            Code::EvidenceMismatch,
            "this node has said something else since it was restored",
            "ce nœud a dit autre chose depuis sa restauration",
        ));
    }
    Ok(())
}
