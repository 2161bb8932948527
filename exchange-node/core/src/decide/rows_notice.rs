//! What becomes of a notice for acceptance that went to an address outside of the node (row 11): it
//! came back, or is known to have arrived. Neither moves a deadline: the time to accept runs from
//! C.1, and the recipient finds the delivery in its inbox whatever happened to the notice.

use schemas::event::{Event, Reason};

use super::conflict;
use crate::refusal::Refusal;
use crate::state::{Phase, Role};
use crate::step::{Issue, Step};

/// C.2: a notice came back. It is attested once; a report about what has been answered since
/// changes nothing.
pub(super) fn failed(step: &mut Step<'_>, repeatedly: bool) -> Result<(), Refusal> {
    let reason = if repeatedly { Reason::Rc05 } else { Reason::Rc03 };
    report(step, Issue::new(Event::NotificationForAcceptanceFailure, reason))
}

/// C.6: a notice has arrived, which the standard has no reason for.
pub(super) fn delivered(step: &mut Step<'_>) -> Result<(), Refusal> {
    report(step, Issue::plain(Event::NotificationDelivered))
}

fn report(step: &mut Step<'_>, issue: Issue) -> Result<(), Refusal> {
    let noticed = step
        .next
        .evidence
        .iter()
        .any(|h| h.event == Event::NotificationForAcceptance && h.node == *step.ctx.node);
    // Only the recipient's node sends notices, and none before C.1.
    if !matches!(step.next.role, Role::Recipient | Role::Local) || !noticed {
        return Err(conflict(&step.next));
    }
    if step.next.phase == Phase::AwaitingAcceptance {
        step.issue(issue);
    }
    Ok(())
}
