//! Messages that leave the network through a gateway, and messages that come in through one: rows
//! 18 and 19. The gateway is no node: nobody outside seals evidence, and this node attests what its
//! gateway reports, naming the system outside (M04).

use schemas::event::{Event, Reason};
use schemas::evidence::Subject;
use schemas::ids::DeliveryId;
use schemas::problem::Code;

use super::{Context, conflict, rows_receive};
use crate::deadline;
use crate::effect::Decision;
use crate::input::{FromOutside, Outside};
use crate::refusal::Refusal;
use crate::rules;
use crate::state::{Delivery, Phase, Role, Timers};
use crate::step::{Issue, Step};
use crate::timers;

/// Row 18: the gateway says what became of a message that was to leave the network.
pub(super) fn reported(step: &mut Step<'_>, report: Outside) -> Result<(), Refusal> {
    if step.next.role != Role::Sender || step.next.outside.is_none() {
        return Err(conflict(&step.next));
    }
    let (event, reason) = match report {
        Outside::Relayed => (Event::RelayToNonERDS, Reason::Rf01),
        Outside::Unreachable => (Event::RelayToNonERDSFailure, Reason::Rf02),
        Outside::Rejected => (Event::RelayToNonERDSFailure, Reason::Rf03),
        Outside::NotAllowed => (Event::RelayToNonERDSFailure, Reason::Rf51),
    };
    step.issue(Issue::new(event, reason));
    Ok(())
}

/// Row 18 again: the first report stands.
pub(super) fn reported_again(step: &mut Step<'_>) -> Result<(), Refusal> {
    if step.next.phase != Phase::External {
        return Err(conflict(&step.next));
    }
    step.answer = step.next.evidence.iter().find(|h| h.event.family() == 'F').map(|h| h.id);
    Ok(())
}

/// Row 18: the gateway said nothing in the time to send.
pub(super) fn unreachable(step: &mut Step<'_>) {
    step.issue(Issue::new(Event::RelayToNonERDSFailure, Reason::Rf02));
}

/// Row 19: F.3 says that the message came in and where from, and that nobody here vouches for its
/// sender; then it is consigned as any other.
pub(super) fn arrive(
    message: &FromOutside<'_>,
    subject: &Subject,
    ctx: &Context<'_>,
) -> Result<Decision, Refusal> {
    examine(message, ctx)?;
    let mut step = Step::new(ctx, subject, first_state(message, ctx));
    step.issue(Issue::new(Event::ReceivedFromNonERDS, Reason::Rf04));
    rows_receive::place(&mut step)?;
    Ok(step.finish())
}

/// The same message again: the F.3 of the first time.
pub(super) fn arrive_again(step: &mut Step<'_>, message: &FromOutside<'_>) -> Result<(), Refusal> {
    let first = step.next.held(Event::ReceivedFromNonERDS).map(|h| h.id);
    if first.is_none() || step.next.outside.as_ref() != Some(&message.system) {
        return Err(Refusal::new(
            Code::DuplicateMismatch,
            "a message with this identifier came another way",
            "un pli portant cet identifiant est arrivé par une autre voie",
        ));
    }
    step.answer = first;
    Ok(())
}

/// There is nobody outside to be told by evidence: what cannot be taken is refused to the gateway.
fn examine(message: &FromOutside<'_>, ctx: &Context<'_>) -> Result<(), Refusal> {
    let envelope = message.envelope;
    if let Some(finding) = message.findings.first() {
        return Err(Refusal::new(finding.code, finding.detail.clone(), finding.detail_fr.clone()));
    }
    envelope.check().map_err(|e| Refusal::new(Code::EnvelopeInvalid, e.en(), e.fr()))?;
    // A member sends through its own node, which vouches for it.
    if ctx.directory.listed(&envelope.sender).is_some() {
        return Err(Refusal::new(
            Code::NotAuthorised,
            format!("{} is a member of the network", envelope.sender.key()),
            format!("{} est membre du réseau", envelope.sender.key()),
        ));
    }
    let index = usize::try_from(message.recipient_index).ok();
    let recipient = index.and_then(|i| envelope.recipients.get(i));
    let member = recipient.and_then(|r| ctx.directory.member(r)).filter(|m| m.node == ctx.node);
    let Some((recipient, member)) = recipient.zip(member) else {
        return Err(Refusal::new(
            Code::RecipientUnknown,
            "the recipient is not a member of this node",
            "le destinataire n'est pas membre de ce nœud",
        ));
    };
    let process = rules::process(ctx.catalogue, &envelope.process);
    let receives = process.is_some_and(|p| rules::may_receive(p, recipient))
        && rules::subscribes(member.entry, &envelope.process);
    if !receives {
        return Err(Refusal::new(
            Code::RecipientNotSubscribed,
            format!("{} does not receive {}", recipient.key(), envelope.process),
            format!("{} ne reçoit pas {}", recipient.key(), envelope.process),
        ));
    }
    let limit = ctx.policy.max_message_size;
    process.map_or(Ok(()), |p| rules::check_documents(p, limit, &envelope.documents))
}

/// The delivery before its F.3.
fn first_state(message: &FromOutside<'_>, ctx: &Context<'_>) -> Delivery {
    let FromOutside { envelope, recipient_index, .. } = message;
    let requested = &envelope.requested;
    let process = rules::process(ctx.catalogue, &envelope.process);
    let mode =
        process.map_or(requested.consignment, |p| rules::consignment(p, requested.consignment));
    let index = usize::try_from(*recipient_index).ok();
    let recipient = index.and_then(|i| envelope.recipients.get(i));
    let from = requested.not_before.map_or(ctx.now, |at| at.max(ctx.now));
    let span = rules::deadlines(ctx.catalogue, &envelope.process).consign;
    let consign = deadline::after(from, span, timers::territory(recipient, ctx));
    Delivery {
        id: DeliveryId::derive(envelope.message_id, *recipient_index),
        message: envelope.message_id,
        recipient_index: *recipient_index,
        role: Role::Local,
        phase: Phase::Accepted,
        since: ctx.now,
        custodian: ctx.node.clone(),
        origin: ctx.node.clone(),
        previous_hop: None,
        next_hop: None,
        hop: 0,
        process: envelope.process.clone(),
        consignment: mode,
        attempts: 0,
        timers: Timers {
            not_before: Some(from),
            consign: Some(consign),
            expires: requested.expires_at,
            ..Timers::default()
        },
        evidence: Vec::new(),
        outside: Some(message.system.clone()),
        business: None,
        dispatch: None,
    }
}
