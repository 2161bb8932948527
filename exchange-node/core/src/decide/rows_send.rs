//! A dispatch is published, or cannot be: rows 4, 5 and 8, at the sender's node and at a relay.
//!
//! Two kinds of failure are told apart, because B.3 is a proof. When no attempt can have reached
//! the next node, the relay has failed (RB08, RB09). When one may have, nobody knows: then it is
//! RB22, and late evidence is still welcome. `timers.relay_ack` runs from the first attempt that
//! may have arrived, and so tells the two apart.

use schemas::event::{Event, Reason};
use schemas::problem::Code;

use crate::deadline;
use crate::decide::conflict;
use crate::effect::Effect;
use crate::refusal::Refusal;
use crate::rules;
use crate::state::{Phase, Role};
use crate::step::{Issue, Step};

/// Row 4: the backbone has the dispatch.
pub(super) fn sent(step: &mut Step<'_>) -> Result<(), Refusal> {
    if step.next.role == Role::Local {
        return Ok(());
    }
    let span = rules::deadlines(step.ctx.catalogue, &step.next.process).relay_ack;
    step.next.attempts = step.next.attempts.saturating_add(1);
    let territory = step.territory();
    step.next.timers.relay_ack = Some(deadline::after(step.ctx.now, span, territory));
    step.enter(Phase::Relaying);
    Ok(())
}

/// The backbone knows no such destination: nothing arrived, a silence would be a lie
/// (`protocol.md` section 4).
pub(super) fn unroutable(step: &mut Step<'_>) -> Result<(), Refusal> {
    if may_have_arrived(step) {
        return failed(step);
    }
    step.next.attempts = step.next.attempts.saturating_add(1);
    give_up(step, Reason::Rb08, Code::NodeUnreachable);
    Ok(())
}

/// Publishing failed, perhaps after the broker took the dispatch: it is tried again, and the
/// receiving node knows the same bytes for the same delivery.
pub(super) fn failed(step: &mut Step<'_>) -> Result<(), Refusal> {
    if step.next.role == Role::Local {
        return Ok(());
    }
    step.next.attempts = step.next.attempts.saturating_add(1);
    let until = step.next.timers.relay_send;
    let timers = &mut step.next.timers;
    timers.relay_ack = timers.relay_ack.or(until);
    let again = step.ctx.now.plus(wait(step));
    step.next.timers.retry = Some(again).filter(|at| until.is_none_or(|end| *at < end));
    Ok(())
}

/// An attempt was made, and nobody knows what came of it: from now on no proof may say that nothing
/// was sent.
pub(super) fn attempted(step: &mut Step<'_>) -> Result<(), Refusal> {
    if step.next.role != Role::Local {
        let timers = &mut step.next.timers;
        timers.relay_ack = timers.relay_ack.or(timers.relay_send);
    }
    Ok(())
}

/// How long to wait before the next attempt: exponential at first, up to the interval of the
/// policy; four intervals once its attempts are used up, until the time to send has passed.
fn wait(step: &Step<'_>) -> i64 {
    let (policy, attempts) = (step.ctx.policy, step.next.attempts);
    if attempts > policy.relay_attempts {
        return policy.relay_interval.saturating_mul(4);
    }
    let doubled = 1_i64.checked_shl(attempts.saturating_sub(1).min(40)).unwrap_or(i64::MAX);
    policy.relay_first_wait.saturating_mul(doubled).clamp(1, policy.relay_interval.max(1))
}

/// An operator asks for another attempt: the dispatch goes out again from where it was sent, the
/// evidence from where the recipient lives, and from every relay on the way back, since a repeat
/// goes no further than the next node. Both are known at the other end, unless it was restored from
/// an older copy, or the backbone lost them: then they mend it.
pub(super) fn redrive(step: &mut Step<'_>) -> Result<(), Refusal> {
    let open = matches!(step.next.phase, Phase::Accepted | Phase::Relaying | Phase::Unconfirmed);
    if step.next.role == Role::Relay {
        step.send_again();
    }
    match (step.next.role, step.next.phase) {
        (Role::Sender | Role::Relay, _) if open => {
            step.next.timers.retry = None;
            step.send();
        }
        (Role::Relay, _) => {}
        (Role::Sender, Phase::Relayed | Phase::AwaitingAcceptance | Phase::Consigned) => {
            step.send()
        }
        (Role::Local, Phase::Accepted) => step.effect(Effect::Continue),
        (Role::Recipient, _) => step.send_again(),
        _ => return Err(conflict(&step.next)),
    }
    Ok(())
}

/// Whether an attempt may have reached the next node.
pub(super) fn may_have_arrived(step: &Step<'_>) -> bool {
    step.next.timers.relay_ack.is_some() || step.next.phase != Phase::Accepted
}

/// Row 8 (or 5): the relay has failed for good, or nobody knows (row 9).
pub(super) fn give_up(step: &mut Step<'_>, reason: Reason, problem: Code) {
    let (reason, problem) = match may_have_arrived(step) {
        true => (Reason::Rb22, None),
        false => (reason, Some(problem)),
    };
    relay_failure(step, reason, problem);
}

/// Issues B.3 about the hop behind this node; a relay that has failed keeps nothing.
pub(super) fn relay_failure(step: &mut Step<'_>, reason: Reason, problem: Option<Code>) {
    let next = step.next.next_hop.clone();
    step.issue(Issue::new(Event::RelayFailure, reason).because(problem).with(next));
    if step.next.role == Role::Relay && step.next.phase == Phase::RelayFailed {
        step.effect(Effect::EraseContent);
    }
}
