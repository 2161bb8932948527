//! Evidence of other nodes arrives, at the sender's node or at a relay: rows 6 to 17 as seen from
//! before. It moves the phase (see [`crate::fold`]) and goes on to the previous hop unchanged.
//! Loop guard: the only evidence that evidence brings about is B.3, for a B.2 or a B.3 received.

use schemas::event::{Event, Reason};

use super::{fit, rows_send};
use crate::effect::Effect;
use crate::input::EvidenceFact;
use crate::refusal::Refusal;
use crate::state::Role;
use crate::step::{Issue, Step};

/// Takes an evidence in, or refuses it; a repeat changes nothing.
pub(super) fn take(step: &mut Step<'_>, fact: &EvidenceFact) -> Result<(), Refusal> {
    if let Some(known) = step.next.evidence.iter().find(|h| h.id == fact.id) {
        return fit::same(known, fact);
    }
    if matches!(step.next.role, Role::Recipient | Role::Local) {
        return Err(fit::mismatch("no other node has a say here"));
    }
    fit::fits(step, fact)?;
    step.take(fact);
    let next = Some(&fact.issuer) == step.next.next_hop.as_ref();
    match fact.event {
        // Custody has passed on; a relay keeps nothing.
        Event::RelayAcceptance if next && step.next.role == Role::Relay => {
            step.effect(Effect::EraseContent);
        }
        // Row 8 follows row 7 at once, with the same reason.
        Event::RelayRejection if next => {
            let reason = fact.reason.unwrap_or(Reason::Rb02);
            rows_send::relay_failure(step, reason, None);
        }
        // The sender's node says it to the sender again (row 8).
        Event::RelayFailure if step.next.role == Role::Sender => {
            let reason = fact.reason.unwrap_or(Reason::Rb07);
            let issue = Issue::new(Event::RelayFailure, reason);
            step.issue(issue.with(fact.external.clone()));
        }
        _ => {}
    }
    Ok(())
}
