//! What may happen to one delivery: the table of `lifecycle.md`, rows 4 to 19.
//!
//! [`decide`] is the only door. Its match names every (phase, input) in which something happens;
//! everything else is a repeat that changes nothing, or a refusal. The rows themselves:
//!
//! - [`rows_receive`]: a dispatch arrives (6, 7, 11, 13, 14) and content is placed.
//! - [`rows_send`]: a dispatch is published, or cannot be (4, 5, 8).
//! - [`rows_evidence`]: evidence of other nodes (6 to 17, as seen from before); [`fit`] tells
//!   evidence that does not fit.
//! - [`rows_recollect`]: what a node that was restored had forgotten; nothing is issued.
//! - [`rows_recipient`]: the recipient accepts, refuses, takes (12a, 12b, 16, 17).
//! - [`rows_due`]: time passes (8, 9, 12c, 13, 14, 15, 17, 18).
//! - [`rows_status`]: the business status after the handover.
//!
//! - [`rows_notice`]: notices for acceptance come back, or are known to have arrived (11).
//! - [`rows_outside`]: messages leave the network, or come in from outside (18, 19).

mod fit;
mod rows_due;
mod rows_evidence;
mod rows_notice;
mod rows_outside;
mod rows_receive;
mod rows_recipient;
mod rows_recollect;
mod rows_send;
mod rows_status;

use schemas::catalogue::Catalogue;
use schemas::evidence::Subject;
use schemas::ids::NodeId;
use schemas::problem::Code;
use schemas::time::Timestamp;

use crate::effect::Decision;
use crate::input::Input;
use crate::policy::Policy;
use crate::refusal::Refusal;
use crate::route::Directory;
use crate::state::{Delivery, Phase, Role};
use crate::step::Step;

/// All that a decision may know beside the delivery.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The time.
    pub now: Timestamp,
    /// This node.
    pub node: &'a NodeId,
    /// Who is where.
    pub directory: &'a Directory,
    /// The démarches.
    pub catalogue: &'a Catalogue,
    /// The rules of this node.
    pub policy: &'a Policy,
    /// Whether the recipient's space at this node is full: nothing more is consigned there until
    /// something was collected (row 14, RD04).
    pub full: bool,
}

/// Decides about one delivery. `state` is none for a dispatch that this node has not seen yet;
/// `subject` is what the evidence of its message repeats.
///
/// A repeat of something known is `Ok` with an unchanged state; its `answer` is the evidence of the
/// first time.
///
/// # Errors
/// A refusal: nothing may be stored, nobody is told by evidence.
pub fn decide(
    state: Option<&Delivery>,
    subject: &Subject,
    input: Input<'_>,
    ctx: &Context<'_>,
) -> Result<Decision, Refusal> {
    let Some(delivery) = state else {
        return match input {
            Input::FromOutside(message) => rows_outside::arrive(&message, subject, ctx),
            Input::Dispatched(dispatch) => rows_receive::arrive(&dispatch, subject, ctx),
            Input::Recollected(dispatch, evidence) => {
                rows_recollect::arrive(&dispatch, &evidence, subject, ctx)
            }
            _ => Err(unknown()),
        };
    };
    let mut step = Step::new(ctx, subject, delivery.clone());
    act(&mut step, input)?;
    Ok(step.finish())
}

/// The central match.
fn act(step: &mut Step<'_>, input: Input<'_>) -> Result<(), Refusal> {
    use {Input as I, Phase as P};
    let (phase, role) = (step.next.phase, step.next.role);
    match (phase, input) {
        (_, I::Dispatched(dispatch)) => rows_receive::arrive_again(step, &dispatch),
        (_, I::Recollected(dispatch, evidence)) => {
            rows_recollect::complete(step, &dispatch, &evidence)
        }
        (_, I::Evidence(fact)) => rows_evidence::take(step, &fact),

        // Row 4 and its attempts. A report about a dispatch whose fate is known changes nothing.
        (P::Accepted, I::Sent) => rows_send::sent(step),
        (P::Accepted, I::Unroutable) => rows_send::unroutable(step),
        (P::Accepted, I::SendFailed) => rows_send::failed(step),
        (P::Accepted, I::Attempted) => rows_send::attempted(step),
        (_, I::Sent | I::Unroutable | I::SendFailed | I::Attempted) => Ok(()),
        (_, I::Redrive) => rows_send::redrive(step),

        // S = R: row 13 or 11 follows row 2 at once.
        (P::Accepted, I::Continue) if role == Role::Local => rows_receive::place(step),
        (_, I::Continue) => Ok(()),

        (phase, I::Due) if phase.is_end() => Ok(()),
        (_, I::Due) => rows_due::due(step),

        (P::Consigned, I::Acknowledge { by }) => rows_recipient::acknowledge(step, &by),
        (_, I::Acknowledge { by }) => rows_recipient::acknowledge_again(step, &by),
        (P::AwaitingAcceptance, I::Accept { by }) => rows_recipient::accept(step, &by),
        (_, I::Accept { by }) => rows_recipient::accept_again(step, &by),
        (P::AwaitingAcceptance, I::Refuse { by, reason }) => {
            rows_recipient::refuse(step, &by, reason.as_deref())
        }
        (_, I::Refuse { by, .. }) => rows_recipient::refuse_again(step, &by),

        (P::Consigned, I::RefuseType { by, reason }) => {
            rows_recipient::refuse_type(step, &by, reason.as_deref())
        }
        (_, I::RefuseType { by, .. }) => rows_recipient::refuse_type_again(step, &by),

        (_, I::NoticeFailed { repeatedly }) => rows_notice::failed(step, repeatedly),
        (_, I::NoticeDelivered) => rows_notice::delivered(step),
        (P::Accepted, I::Outside(report)) => rows_outside::reported(step, report),
        (_, I::Outside(_)) => rows_outside::reported_again(step),
        (_, I::FromOutside(message)) => rows_outside::arrive_again(step, &message),

        (_, I::SetStatus { by, status }) => rows_status::set(step, &by, status),
        (_, I::StatusReceived { by, status }) => rows_status::receive(step, &by, status),
    }
}

fn unknown() -> Refusal {
    Refusal::new(
        Code::NotFound,
        "this node does not know the delivery",
        "ce nœud ne connaît pas cette remise",
    )
}

/// The phase does not allow it.
pub(crate) fn conflict(delivery: &Delivery) -> Refusal {
    let phase = delivery.phase.name();
    Refusal::new(
        Code::StateConflict,
        format!("the delivery is in state {phase}"),
        format!("la remise est dans l'état {phase}"),
    )
}

/// The time limit has passed.
pub(crate) fn expired() -> Refusal {
    Refusal::new(
        Code::Expired,
        "the time limit of this delivery has passed",
        "le délai de cette remise est dépassé",
    )
}

/// This member has no say in it.
pub(crate) fn not_yours() -> Refusal {
    Refusal::new(
        Code::NotAuthorised,
        "this delivery belongs to another member",
        "cette remise concerne un autre membre",
    )
}

#[cfg(test)]
mod tests;
