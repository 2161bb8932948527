//! The business status that follows a handover. Sealed, but no evidence: it changes no phase.

use schemas::party::Party;
use schemas::problem::Code;
use schemas::status::{BusinessStatus, Role as Side};

use super::{conflict, not_yours};
use crate::effect::{Effect, Notice};
use crate::refusal::Refusal;
use crate::state::{Phase, Role};
use crate::step::Step;

/// A member of this node sets it, after the handover.
pub(super) fn set(step: &mut Step<'_>, by: &Party, status: BusinessStatus) -> Result<(), Refusal> {
    let side = side(step, by, status)?;
    let here = match side {
        Side::Sender => matches!(step.next.role, Role::Sender | Role::Local),
        Side::Recipient => matches!(step.next.role, Role::Recipient | Role::Local),
    };
    if !here {
        return Err(not_yours());
    }
    if step.next.phase != Phase::HandedOver {
        return Err(conflict(&step.next));
    }
    status.check_step(side, step.next.business).map_err(refused)?;
    step.next.business = Some(status);
    pass_on(step, side);
    tell(step);
    Ok(())
}

/// A verified one arrived from another node. One that crossed another on the way and can no longer
/// follow (`done` after `closed`) is told, but does not replace it.
pub(super) fn receive(
    step: &mut Step<'_>,
    by: &Party,
    status: BusinessStatus,
) -> Result<(), Refusal> {
    let side = side(step, by, status)?;
    let foreign = match side {
        Side::Sender => !matches!(step.next.role, Role::Sender | Role::Local),
        Side::Recipient => !matches!(step.next.role, Role::Recipient | Role::Local),
    };
    if !foreign {
        return Err(not_yours());
    }
    if status.may_follow(step.next.business) {
        step.next.business = Some(status);
    }
    if step.next.role == Role::Relay {
        pass_on(step, side);
    }
    tell(step);
    Ok(())
}

/// On which side `by` stands; both sides when it wrote to itself, then the status decides.
fn side(step: &Step<'_>, by: &Party, status: BusinessStatus) -> Result<Side, Refusal> {
    let by = by.organisation();
    let sender = step.subject.sender.organisation() == by;
    let recipient = step.recipient().is_some_and(|r| {
        let heir = || step.ctx.directory.member(r).is_some_and(|m| m.entry.party == by);
        r.organisation() == by || heir()
    });
    let side = match (sender, recipient) {
        (true, true) => status.set_by(),
        (true, false) => Side::Sender,
        (false, true) => Side::Recipient,
        (false, false) => return Err(not_yours()),
    };
    if status.set_by() == side { Ok(side) } else { Err(not_yours()) }
}

/// To the neighbour on the way to the other side.
fn pass_on(step: &mut Step<'_>, side: Side) {
    let to = match side {
        Side::Sender => step.next.next_hop.clone(),
        Side::Recipient => step.next.previous_hop.clone(),
    };
    if let Some(to) = to {
        step.effect(Effect::SendStatus { to });
    }
}

/// Members of this node learn of it.
fn tell(step: &mut Step<'_>) {
    if matches!(step.next.role, Role::Sender | Role::Local) {
        step.notify_sender(Notice::Status);
    }
    if matches!(step.next.role, Role::Recipient | Role::Local) {
        step.notify_recipient(Notice::Status);
    }
}

fn refused(why: schemas::check::Invalid) -> Refusal {
    Refusal::new(Code::StateConflict, why.en(), why.fr())
}
