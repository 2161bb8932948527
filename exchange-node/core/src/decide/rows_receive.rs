//! A dispatch arrives: rows 6 and 7 at the receiving node, then 11, 13 or 14 where the recipient
//! lives, or 4 at a relay.

use schemas::directory::Standing;
use schemas::envelope::{Consignment, Document};
use schemas::event::{Event, Reason};
use schemas::evidence::Subject;
use schemas::ids::{DeliveryId, NodeId};
use schemas::problem::Code;
use schemas::time::Timestamp;

use super::Context;
use crate::deadline;
use crate::effect::{Decision, Effect, Notice};
use crate::input::Inbound;
use crate::refusal::Refusal;
use crate::rules;
use crate::state::{Delivery, Phase, Role, Timers};
use crate::step::{Issue, Step, held};
use crate::timers;

/// A dispatch that this node has not seen yet.
pub(super) fn arrive(
    dispatch: &Inbound<'_>,
    subject: &Subject,
    ctx: &Context<'_>,
) -> Result<Decision, Refusal> {
    let verdict = examine(dispatch, ctx)?;
    let mut step = Step::new(ctx, subject, first_state(dispatch, &verdict, ctx));
    match verdict {
        Verdict::Refused(refusal) => reject(&mut step, dispatch, &refusal),
        Verdict::Here(trouble) => {
            accept(&mut step, dispatch);
            match trouble {
                None => place(&mut step)?,
                Some(refusal) => fail(&mut step, &refusal),
            }
        }
        Verdict::Onward(_) => {
            accept(&mut step, dispatch);
            step.send();
        }
    }
    Ok(step.finish())
}

/// The same delivery again. The same bytes: the same evidence goes out again, nothing happens
/// twice. Other bytes: an incident; this hop has its one evidence of family B already.
pub(super) fn arrive_again(step: &mut Step<'_>, dispatch: &Inbound<'_>) -> Result<(), Refusal> {
    if matches!(step.next.role, Role::Sender | Role::Local) {
        return Err(Refusal::new(
            Code::DuplicateMismatch,
            "a dispatch came in for a message that this node has sent itself",
            "un envoi est arrivé pour un pli que ce nœud a lui-même émis",
        ));
    }
    if step.next.dispatch != Some(dispatch.dispatch) {
        step.effect(Effect::Incident {
            detail: format!(
                "delivery {} came again from {} with other bytes: {} instead of {}",
                step.next.id,
                dispatch.from,
                dispatch.dispatch,
                step.next.dispatch.unwrap_or_default(),
            ),
        });
        return Ok(());
    }
    let own =
        |event| step.next.evidence.iter().find(|h| h.event == event && h.node == *step.ctx.node);
    step.answer = own(Event::RelayAcceptance).or_else(|| own(Event::RelayRejection)).map(|h| h.id);
    step.send_again();
    Ok(())
}

/// Places the content in the recipient's space, or asks for acceptance first (rows 11, 13, 14).
pub(super) fn place(step: &mut Step<'_>) -> Result<(), Refusal> {
    if step.is_expired() {
        let passed = super::expired();
        fail(step, &passed);
        return Ok(());
    }
    if step.next.timers.not_before.is_some_and(|at| at > step.ctx.now) {
        return Ok(());
    }
    let member = step.recipient().and_then(|r| step.ctx.directory.member(r));
    let Some(member) = member.filter(|m| m.entry.standing == Standing::Active) else {
        let refusal = inactive();
        fail(step, &refusal);
        return Ok(());
    };
    if step.ctx.full {
        no_room(step);
        return Ok(());
    }
    match step.next.consignment {
        Consignment::Consent => {
            step.issue(Issue::new(Event::NotificationForAcceptance, Reason::Rc01));
        }
        Consignment::Basic => {
            let heir = step.recipient().is_some_and(|r| r.organisation() != member.entry.party);
            consign(step, heir);
        }
    }
    step.notify_recipient(Notice::Available);
    Ok(())
}

/// Row 14, RD04: what finds the space full waits for the recipient to collect, as long as it may be
/// consigned.
fn no_room(step: &mut Step<'_>) {
    if step.next.timers.consign.is_none_or(|end| end > step.ctx.now) {
        return;
    }
    let refusal = Refusal::new(
        Code::RecipientQuota,
        "what waits for the recipient fills its space, and nothing was collected in time",
        "ce qui attend le destinataire remplit son espace, et rien n'a été retiré à temps",
    );
    fail(step, &refusal);
}

/// When a dispatch that finds no room is given up: a while before the sender's node would have to
/// say that it knows nothing, so that the answer is there by then.
pub(super) fn room_until(from: Timestamp, end: Timestamp) -> Timestamp {
    end.plus(-(end.since(from).max(0) / 24))
}

/// Row 13. RD02 when a successor takes the place of the addressee.
pub(super) fn consign(step: &mut Step<'_>, heir: bool) {
    let reason = if heir { Reason::Rd02 } else { Reason::Rd01 };
    step.issue(Issue::new(Event::ContentConsignment, reason));
}

/// Row 14.
fn fail(step: &mut Step<'_>, refusal: &Refusal) {
    let reason = match refusal.code {
        Code::RecipientQuota => Reason::Rd04,
        Code::DocumentTypeRefused => Reason::Rd06,
        Code::RecipientNotActive | Code::RecipientUnknown | Code::RecipientNotSubscribed => {
            Reason::Rd21
        }
        // `protocol.md` section 9: MD03 has passed.
        Code::Expired => Reason::Rd03,
        _ => Reason::Rd05,
    };
    let issue = Issue::new(Event::ContentConsignmentFailure, reason);
    step.issue(issue.because(Some(refusal.code)).saying(Some(&refusal.detail)));
    step.effect(Effect::EraseContent);
}

/// Row 6.
fn accept(step: &mut Step<'_>, dispatch: &Inbound<'_>) {
    let issue = Issue::new(Event::RelayAcceptance, Reason::Rb01);
    step.issue(issue.with(Some(dispatch.from.clone())));
}

/// Row 7. Offending bytes are kept for the operator.
fn reject(step: &mut Step<'_>, dispatch: &Inbound<'_>, refusal: &Refusal) {
    let reason = relay_reason(refusal.code);
    let issue = Issue::new(Event::RelayRejection, reason).because(Some(refusal.code));
    step.issue(issue.saying(Some(&refusal.detail)).with(Some(dispatch.from.clone())));
    if matches!(reason, Reason::Rb03 | Reason::Rb04 | Reason::Rb05) {
        step.effect(Effect::Incident {
            detail: format!("dispatch {} from {}: {refusal}", dispatch.dispatch, dispatch.from),
        });
    }
}

/// The reason of a B.2 (EN 319 532-4 table C.28: RB02 to RB06, RB21).
fn relay_reason(code: Code) -> Reason {
    let reason = code.facts().reason.unwrap_or(Reason::Rb06);
    match reason {
        Reason::Rb10 => Reason::Rb21,
        Reason::Ra02 => Reason::Rb02,
        Reason::Ra03 => Reason::Rb03,
        Reason::Ra04 => Reason::Rb05,
        known if Event::RelayRejection.reasons().contains(&known) => known,
        _ => Reason::Rb06,
    }
}

/// What becomes of a dispatch.
pub(super) enum Verdict {
    /// Row 7.
    Refused(Refusal),
    /// The recipient lives here; with the trouble that lets row 14 follow row 6.
    Here(Option<Refusal>),
    /// This node relays it to that one.
    Onward(NodeId),
}

/// Examines a dispatch in a fixed order: what verification found, the A.1 inside, time, the way,
/// the démarche, the parties, the documents.
fn examine(dispatch: &Inbound<'_>, ctx: &Context<'_>) -> Result<Verdict, Refusal> {
    let mut quota = None;
    for finding in &dispatch.findings {
        let refusal = Refusal::new(finding.code, finding.detail.clone(), finding.detail_fr.clone());
        match finding.code {
            // A fault of this node is nobody's refusal: the frame comes back.
            Code::Internal | Code::Overloaded | Code::StoreUnavailable => return Err(refusal),
            Code::RecipientQuota => quota = Some(refusal),
            _ => return Ok(Verdict::Refused(refusal)),
        }
    }
    let checked =
        acceptance(dispatch).and_then(|()| times(dispatch, ctx)).and_then(|()| way(dispatch, ctx));
    Ok(match checked {
        Err(refusal) => Verdict::Refused(refusal),
        Ok(Some(next)) => Verdict::Onward(next),
        Ok(None) => match parties(dispatch, ctx) {
            Err(refusal) => Verdict::Refused(refusal),
            Ok(()) => Verdict::Here(quota),
        },
    })
}

/// The sealed A.1 of the sender's node must come along: it is what the sender was promised.
pub(super) fn acceptance(dispatch: &Inbound<'_>) -> Result<(), Refusal> {
    let fits = dispatch.acceptance.as_ref().is_some_and(|fact| {
        fact.event == Event::SubmissionAcceptance
            && fact.issuer == dispatch.origin
            && fact.same_content
    });
    if fits {
        return Ok(());
    }
    Err(Refusal::new(
        Code::EnvelopeInvalid,
        "the dispatch holds no evidence of submission that agrees with it",
        "l'envoi ne contient pas de preuve de dépôt qui concorde avec lui",
    ))
}

fn times(dispatch: &Inbound<'_>, ctx: &Context<'_>) -> Result<(), Refusal> {
    let latest = ctx.now.plus(ctx.policy.max_skew);
    let accepted = dispatch.acceptance.as_ref().map(|fact| fact.at);
    match [Some(dispatch.envelope.submitted_at), accepted].into_iter().flatten().max() {
        Some(at) if at > latest => Err(Refusal::new(
            Code::TimestampOutOfRange,
            format!("it claims to be of {at}, and here it is {}", ctx.now),
            format!("il se dit du {at}, or il est ici {}", ctx.now),
        )),
        _ => Ok(()),
    }
}

/// The next node, or none when the recipient lives here.
fn way(dispatch: &Inbound<'_>, ctx: &Context<'_>) -> Result<Option<NodeId>, Refusal> {
    let hop = dispatch.hop.saturating_add(1);
    let index = usize::try_from(dispatch.recipient_index).ok();
    let recipient = index.and_then(|i| dispatch.envelope.recipients.get(i)).ok_or_else(|| {
        Refusal::new(
            Code::EnvelopeInvalid,
            "the envelope has no such recipient",
            "l'enveloppe n'a pas ce destinataire",
        )
    })?;
    let member = ctx.directory.member(recipient).ok_or_else(|| {
        Refusal::new(
            Code::RecipientUnknown,
            format!("{} is not in the directory", recipient.key()),
            format!("{} ne figure pas dans l'annuaire", recipient.key()),
        )
    })?;
    if member.node == ctx.node {
        return Ok(None);
    }
    let next = ctx.directory.next_hop(ctx.node, member.node);
    // Never back where it came from, and never for ever.
    let been = |node: &NodeId| {
        *node == dispatch.from
            || *node == dispatch.origin
            || dispatch.relays.iter().any(|r| r.issuer == *node)
    };
    let onward = next.filter(|n| !been(n) && !been(ctx.node));
    match onward {
        _ if expired(dispatch, ctx) => Err(super::expired()),
        Some(next) if hop < ctx.policy.max_hops => Ok(Some(next)),
        _ => Err(Refusal::new(
            Code::NodeUnreachable,
            format!("there is no way from here to node {}", member.node),
            format!("aucun chemin ne mène d'ici au nœud {}", member.node),
        )),
    }
}

fn expired(dispatch: &Inbound<'_>, ctx: &Context<'_>) -> bool {
    dispatch.envelope.requested.expires_at.is_some_and(|at| at <= ctx.now)
}

/// Sender, recipient and documents, by the rules of the démarche, at the recipient's node.
fn parties(dispatch: &Inbound<'_>, ctx: &Context<'_>) -> Result<(), Refusal> {
    let envelope = dispatch.envelope;
    let process = rules::process(ctx.catalogue, &envelope.process).ok_or_else(|| {
        Refusal::new(
            Code::ProcessUnknown,
            format!("{} is not in the catalogue of this node", envelope.process),
            format!("{} ne figure pas au catalogue de ce nœud", envelope.process),
        )
    })?;
    // A node seals for its own members alone.
    let home = ctx.directory.listed(&envelope.sender).map(|m| m.node);
    if home != Some(&dispatch.origin) || !rules::may_send(process, &envelope.sender) {
        return Err(Refusal::new(
            Code::NotAuthorised,
            format!("{} may not send this from {}", envelope.sender.key(), dispatch.origin),
            format!("{} ne peut émettre cela depuis {}", envelope.sender.key(), dispatch.origin),
        ));
    }
    let index = usize::try_from(dispatch.recipient_index).ok();
    let recipient = index.and_then(|i| envelope.recipients.get(i));
    let Some((recipient, member)) = recipient.zip(recipient.and_then(|r| ctx.directory.member(r)))
    else {
        return Err(inactive());
    };
    if member.entry.standing != Standing::Active {
        return Err(inactive());
    }
    if !rules::subscribes(member.entry, &envelope.process)
        || !rules::may_receive(process, recipient)
    {
        return Err(Refusal::new(
            Code::RecipientNotSubscribed,
            format!("{} does not receive {}", recipient.key(), envelope.process),
            format!("{} ne reçoit pas {}", recipient.key(), envelope.process),
        ));
    }
    let mine: Vec<Document> =
        envelope.documents.iter().filter(|d| d.is_for(dispatch.recipient_index)).cloned().collect();
    rules::check_documents(process, ctx.policy.max_message_size, &mine)
}

fn inactive() -> Refusal {
    Refusal::new(
        Code::RecipientNotActive,
        "the recipient is not in service at this node",
        "le destinataire n'est pas en service sur ce nœud",
    )
}

/// The delivery before its first own evidence.
pub(super) fn first_state(
    dispatch: &Inbound<'_>,
    verdict: &Verdict,
    ctx: &Context<'_>,
) -> Delivery {
    let envelope = dispatch.envelope;
    let process = rules::process(ctx.catalogue, &envelope.process);
    let requested = &envelope.requested;
    let mode =
        process.map_or(requested.consignment, |p| rules::consignment(p, requested.consignment));
    let (role, next_hop) = match verdict {
        Verdict::Onward(next) => (Role::Relay, Some(next.clone())),
        Verdict::Here(_) | Verdict::Refused(_) => (Role::Recipient, None),
    };
    let deadlines = rules::deadlines(ctx.catalogue, &envelope.process);
    let index = usize::try_from(dispatch.recipient_index).ok();
    let recipient = index.and_then(|i| envelope.recipients.get(i));
    let territory = timers::territory(recipient, ctx);
    let accepted = dispatch.acceptance.as_ref().map_or(ctx.now, |fact| fact.at.min(ctx.now));
    let from = requested.not_before.map_or(accepted, |at| at.max(accepted));
    let consign = room_until(from, deadline::after(from, deadlines.consign, territory));
    let timers = Timers {
        relay_send: (role == Role::Relay)
            .then(|| deadline::after(ctx.now, deadlines.relay_send, territory)),
        consign: Some(consign).filter(|_| role == Role::Recipient),
        not_before: Some(requested.not_before.unwrap_or(ctx.now))
            .filter(|_| role == Role::Recipient),
        expires: requested.expires_at,
        ..Timers::default()
    };
    Delivery {
        id: DeliveryId::derive(envelope.message_id, dispatch.recipient_index),
        message: envelope.message_id,
        recipient_index: dispatch.recipient_index,
        role,
        phase: Phase::Accepted,
        since: ctx.now,
        custodian: dispatch.from.clone(),
        origin: dispatch.origin.clone(),
        previous_hop: Some(dispatch.from.clone()),
        next_hop,
        hop: dispatch.hop.saturating_add(1),
        process: envelope.process.clone(),
        consignment: mode,
        attempts: 0,
        timers,
        evidence: dispatch
            .acceptance
            .iter()
            .filter(|_| acceptance(dispatch).is_ok())
            .chain(&dispatch.relays)
            .map(held)
            .collect(),
        outside: None,
        business: None,
        dispatch: Some(dispatch.dispatch),
    }
}
