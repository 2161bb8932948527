//! Time passes: rows 8, 9, 12c, 13, 14, 15 and 17. One call deals with every timer that has run
//! out, in the order in which they did, so that a node that was away catches up in one decision.

use schemas::event::{Event, Reason};
use schemas::problem::Code;

use super::{rows_outside, rows_receive, rows_send};
use crate::effect::{Effect, Notice};
use crate::refusal::Refusal;
use crate::state::{Phase, Role};
use crate::step::{Issue, Step};
use crate::timers::Timer;

/// Deals with the timers that have run out.
pub(super) fn due(step: &mut Step<'_>) -> Result<(), Refusal> {
    while let Some(timer) = step.next.timers.due(step.ctx.now) {
        match step.next.role {
            Role::Sender | Role::Relay => at_relay(step, timer),
            Role::Recipient | Role::Local => at_recipient(step, timer)?,
        }
        // The timer has done its work; those still needed are armed at the end of the step. The
        // time limit at the recipient's is looked at again by whatever comes next.
        step.next.timers.set(timer, None);
        if step.next.phase.is_end() {
            break;
        }
    }
    Ok(())
}

fn at_relay(step: &mut Step<'_>, timer: Timer) {
    match (timer, step.next.phase) {
        (Timer::RelaySend | Timer::Expires, Phase::Accepted) if step.next.outside.is_some() => {
            rows_outside::unreachable(step);
        }
        (Timer::RelaySend, Phase::Accepted) => {
            rows_send::give_up(step, Reason::Rb09, Code::NodeUnreachable);
        }
        // Nothing may be consigned any more: it is not worth sending.
        (Timer::Expires, Phase::Accepted) => {
            rows_send::give_up(step, Reason::Rb09, Code::Expired);
        }
        (Timer::Retry, Phase::Accepted) => step.send(),
        // Row 9. It may come after row 15, which is about the recipient and not about this hop.
        (Timer::RelayAck, Phase::Accepted | Phase::Relaying | Phase::Unconfirmed) => {
            rows_send::relay_failure(step, Reason::Rb22, None);
        }
        (Timer::Consign, phase) => no_information(step, phase),
        (Timer::ConsignWarning, Phase::Accepted | Phase::Relaying | Phase::Relayed) => {
            step.notify_sender(Notice::Late);
            // A frame may be lost: the same bytes again bring the same evidence again.
            if step.next.phase == Phase::Relaying {
                step.send();
            }
        }
        _ => {}
    }
}

/// Row 15: RD03 says "no information", not "not delivered".
fn no_information(step: &mut Step<'_>, phase: Phase) {
    match phase {
        Phase::Relaying | Phase::Relayed => {
            step.issue(Issue::new(Event::ContentConsignmentFailure, Reason::Rd03));
        }
        Phase::Accepted => rows_send::give_up(step, Reason::Rb09, Code::NodeUnreachable),
        _ => {}
    }
}

fn at_recipient(step: &mut Step<'_>, timer: Timer) -> Result<(), Refusal> {
    // MD03 rules over everything that ran out meanwhile.
    let over = step.is_expired();
    match (timer, step.next.phase) {
        (Timer::Expires | Timer::NotBefore, Phase::Accepted | Phase::Relayed) => {
            rows_receive::place(step)?;
        }
        // The last look. It comes after MD07: what is waited for is room alone.
        (Timer::Consign, Phase::Accepted | Phase::Relayed) => {
            step.next.timers.not_before = None;
            rows_receive::place(step)?;
        }
        (Timer::Expires | Timer::Acceptance, Phase::AwaitingAcceptance) => {
            step.issue(Issue::new(Event::AcceptanceRejectionExpiry, Reason::Rc09));
            step.effect(Effect::EraseContent);
            notify(step);
        }
        (Timer::Expires | Timer::Handover, Phase::Consigned) => {
            let problem = over.then_some(Code::Expired);
            let issue = Issue::new(Event::ContentHandoverFailure, Reason::Re04);
            step.issue(issue.because(problem));
            // What was not collected in time is kept as the policy says; past MD03 it goes.
            if over {
                step.effect(Effect::EraseContent);
            }
            notify(step);
        }
        _ => {}
    }
    Ok(())
}

/// The recipient learns that its time is over.
fn notify(step: &mut Step<'_>) {
    if let Some(last) = step.next.evidence.last().cloned() {
        let what = Notice::Evidence { id: last.id, event: last.event, reason: last.reason };
        step.notify_recipient(what);
    }
}
