//! What the recipient does: takes the content (row 16), accepts it (12a), refuses it (12b),
//! or cannot take its type (17).
//! Each act happens once; its repeat gets the same evidence.

use schemas::envelope::Consignment;
use schemas::event::{Event, Reason};
use schemas::ids::EvidenceId;
use schemas::party::Party;
use schemas::problem::Code;

use super::{conflict, expired, not_yours, rows_receive};
use crate::effect::{Effect, Notice};
use crate::refusal::Refusal;
use crate::state::{Held, Phase, Role};
use crate::step::{Issue, Step};

/// Row 16.
pub(super) fn acknowledge(step: &mut Step<'_>, by: &Party) -> Result<(), Refusal> {
    let heir = act(step, by)?;
    let due = step.next.timers.handover.is_some_and(|at| at <= step.ctx.now);
    if due || step.is_expired() {
        return Err(expired());
    }
    let reason = if heir { Reason::Re02 } else { Reason::Re01 };
    step.issue(Issue::new(Event::ContentHandover, reason).authenticated());
    notify(step);
    Ok(())
}

/// Row 16 again, or too late, or too early.
pub(super) fn acknowledge_again(step: &mut Step<'_>, by: &Party) -> Result<(), Refusal> {
    act(step, by)?;
    match own(step, Event::ContentHandover) {
        Some(id) => step.answer = Some(id),
        None => return Err(too_late_or_early(step)),
    }
    Ok(())
}

/// Row 12a, with row 13 in the same decision: nothing more is waited for.
pub(super) fn accept(step: &mut Step<'_>, by: &Party) -> Result<(), Refusal> {
    let heir = act(step, by)?;
    in_time(step)?;
    step.issue(Issue::new(Event::ConsignmentAcceptance, Reason::Rc07).authenticated());
    rows_receive::consign(step, heir);
    notify(step);
    Ok(())
}

/// Row 12a again.
pub(super) fn accept_again(step: &mut Step<'_>, by: &Party) -> Result<(), Refusal> {
    act(step, by)?;
    match own(step, Event::ConsignmentAcceptance) {
        Some(id) => step.answer = Some(id),
        None => return Err(too_late_or_early(step)),
    }
    Ok(())
}

/// Row 12b: the content goes, the digests stay.
pub(super) fn refuse(step: &mut Step<'_>, by: &Party, why: Option<&str>) -> Result<(), Refusal> {
    act(step, by)?;
    in_time(step)?;
    let issue = Issue::new(Event::ConsignmentRejection, Reason::Rc08).authenticated();
    step.issue(issue.saying(why));
    step.effect(Effect::EraseContent);
    notify(step);
    Ok(())
}

/// Row 12b again.
pub(super) fn refuse_again(step: &mut Step<'_>, by: &Party) -> Result<(), Refusal> {
    act(step, by)?;
    match own(step, Event::ConsignmentRejection) {
        Some(id) => step.answer = Some(id),
        None => return Err(too_late_or_early(step)),
    }
    Ok(())
}

/// Row 17, RE03: the application of the recipient cannot take the type of what was consigned. It
/// was delivered all the same: D.1 stays valid, and the content stays where the recipient can read
/// it. Where consent is asked for, that was the moment to look.
pub(super) fn refuse_type(
    step: &mut Step<'_>,
    by: &Party,
    why: Option<&str>,
) -> Result<(), Refusal> {
    act(step, by)?;
    if step.next.consignment == Consignment::Consent {
        return Err(conflict(&step.next));
    }
    let due = step.next.timers.handover.is_some_and(|at| at <= step.ctx.now);
    if due || step.is_expired() {
        return Err(expired());
    }
    let issue = Issue::new(Event::ContentHandoverFailure, Reason::Re03);
    step.issue(issue.because(Some(Code::DocumentTypeRefused)).saying(why));
    notify(step);
    Ok(())
}

/// Row 17 again.
pub(super) fn refuse_type_again(step: &mut Step<'_>, by: &Party) -> Result<(), Refusal> {
    act(step, by)?;
    match own(step, Event::ContentHandoverFailure).filter(|_| refused_type(step)) {
        Some(id) => step.answer = Some(id),
        None => return Err(too_late_or_early(step)),
    }
    Ok(())
}

/// Whether the recipient itself ended the handover.
fn refused_type(step: &Step<'_>) -> bool {
    let mine = |h: &Held| h.node == *step.ctx.node && h.reason == Some(Reason::Re03);
    step.next.evidence.iter().any(mine)
}

/// Whether `by` may act as the recipient at this node; true when it is the successor of the
/// addressee.
pub(super) fn act(step: &Step<'_>, by: &Party) -> Result<bool, Refusal> {
    let here = matches!(step.next.role, Role::Recipient | Role::Local);
    let Some(recipient) = step.recipient().filter(|_| here) else { return Err(not_yours()) };
    let by = by.organisation();
    if by == recipient.organisation() {
        return Ok(false);
    }
    let heir = step.ctx.directory.member(recipient).is_some_and(|m| m.entry.party == by);
    if heir { Ok(true) } else { Err(not_yours()) }
}

fn in_time(step: &Step<'_>) -> Result<(), Refusal> {
    let due = step.next.timers.acceptance.is_some_and(|at| at <= step.ctx.now);
    if due || step.is_expired() { Err(expired()) } else { Ok(()) }
}

fn own(step: &Step<'_>, event: Event) -> Option<EvidenceId> {
    let mine = |h: &&Held| h.event == event && h.node == *step.ctx.node;
    step.next.evidence.iter().find(mine).map(|h| h.id)
}

fn too_late_or_early(step: &Step<'_>) -> Refusal {
    match step.next.phase {
        Phase::HandoverFailed if refused_type(step) => conflict(&step.next),
        Phase::Expired | Phase::HandoverFailed | Phase::ConsignFailed => expired(),
        _ => conflict(&step.next),
    }
}

/// The recipient's own event feed gets what it did.
fn notify(step: &mut Step<'_>) {
    let node = step.ctx.node;
    let Some(id) = step.answer else { return };
    let done = step.next.evidence.iter().find(|h| h.id == id && h.node == *node).cloned();
    if let Some(Held { id, event, reason, .. }) = done {
        step.notify_recipient(Notice::Evidence { id, event, reason });
    }
}
