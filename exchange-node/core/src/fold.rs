//! The state that evidence says, whatever the order in which a node got to know it.
//!
//! A delivery's phase is never set: it is folded from the evidence that this node holds, so that
//! evidence that overtakes other evidence leads to the same end, and `fsck` can recompute every
//! row. Later facts of the recipient's node outweigh earlier ones of the relay; positive facts
//! outweigh the silence that a relaying node attested (RB22, RD03).
//!
//! Two phases leave no evidence: whether a dispatch was published ([`Phase::Accepted`] or
//! [`Phase::Relaying`], row 4) is a row of the store, and [`Phase::Accepted`] stands for both here.
//!
//! Who is farther down the way is told by arrival where more than one relay lies in between.

use schemas::event::{Event, Reason};
use schemas::ids::{EvidenceId, NodeId};

use crate::state::{Delivery, Held, Phase, Role};

/// The phase of `delivery` at `node`, from its role and its evidence alone.
#[must_use]
pub fn phase(delivery: &Delivery, node: &NodeId) -> Phase {
    match delivery.role {
        Role::Recipient | Role::Local => at_recipient(&delivery.evidence, node),
        Role::Sender | Role::Relay => at_relay(delivery, node),
    }
}

/// Who holds the content and owes the next evidence, as `node` knows it.
#[must_use]
pub fn custodian(delivery: &Delivery, node: &NodeId) -> NodeId {
    match (delivery.role, phase(delivery, node)) {
        (Role::Recipient, Phase::RelayRejected) => {
            delivery.previous_hop.clone().unwrap_or_else(|| delivery.origin.clone())
        }
        (Role::Relay | Role::Sender, Phase::RelayFailed) => delivery.origin.clone(),
        (Role::Relay | Role::Sender, _) => farthest(delivery, node).unwrap_or(node).clone(),
        _ => node.clone(),
    }
}

/// The farthest node that is known to have accepted the dispatch.
#[must_use]
pub fn farthest<'a>(delivery: &'a Delivery, node: &NodeId) -> Option<&'a NodeId> {
    let mut accepted = delivery
        .ahead(node)
        .iter()
        .filter(|h| h.event == Event::RelayAcceptance && h.node != *node)
        .map(|h| &h.node);
    let next = delivery.next_hop.as_ref();
    accepted.clone().rfind(|n| Some(*n) != next).or_else(|| accepted.next())
}

/// What the recipient's node says, the last word first.
const LAST_WORDS: [(Event, Phase); 10] = [
    (Event::ContentHandover, Phase::HandedOver),
    (Event::ContentHandoverFailure, Phase::HandoverFailed),
    (Event::ConsignmentRejection, Phase::Refused),
    (Event::AcceptanceRejectionExpiry, Phase::Expired),
    (Event::ContentConsignmentFailure, Phase::ConsignFailed),
    (Event::ContentConsignment, Phase::Consigned),
    (Event::ConsignmentAcceptance, Phase::AwaitingAcceptance),
    (Event::NotificationForAcceptance, Phase::AwaitingAcceptance),
    (Event::NotificationForAcceptanceFailure, Phase::AwaitingAcceptance),
    (Event::NotificationDelivered, Phase::AwaitingAcceptance),
];

fn last_word<'a>(evidence: impl Iterator<Item = &'a Held> + Clone) -> Option<Phase> {
    LAST_WORDS
        .iter()
        .find(|(event, _)| evidence.clone().any(|h| h.event == *event))
        .map(|(_, phase)| *phase)
}

/// Row 18: the last that this network hears of a message that leaves it.
const fn is_exit(event: Event) -> bool {
    matches!(event, Event::RelayToNonERDS | Event::RelayToNonERDSFailure)
}

/// Which evidence answers a silence that was attested before: pairs of a fact and of the RB22 or
/// RD03 that it supersedes (row 10). What was sealed is never sealed again, so that no link stands
/// in either: it follows from the order in which the node got to know them.
///
/// Every silence has one answer, the first: a B.1 answers the RB22 about that hop; whatever the
/// recipient's node says answers both. (RD03 of the recipient's own node is an end, no silence.)
#[must_use]
pub fn superseded(delivery: &Delivery, node: &NodeId) -> Vec<(EvidenceId, EvidenceId)> {
    if !matches!(delivery.role, Role::Sender | Role::Relay) {
        return Vec::new();
    }
    let ahead = delivery.ahead(node);
    let next = delivery.next_hop.as_ref();
    let answers = |fact: &Held, silence: &Held| match fact.event {
        // The B.1 of the next node is about the hop of this one, any other about a farther hop.
        Event::RelayAcceptance => {
            let farther = Some(&fact.node) != next && fact.node != silence.node;
            silence.reason == Some(Reason::Rb22)
                && fact.node != *node
                && (silence.node == *node || farther)
        }
        event => matches!(event.family(), 'C' | 'D' | 'E') && !is_silence(delivery, fact, node),
    };
    let silences = ahead.iter().enumerate().filter(|(_, h)| is_silence(delivery, h, node));
    silences
        .filter_map(|(i, silence)| {
            let later = ahead.get(i + 1..).unwrap_or_default();
            let fact = later.iter().find(|fact| answers(fact, silence))?;
            Some((fact.id, silence.id))
        })
        .collect()
}

/// "No information": RB22 of whoever relays, RD03 of whoever waits for the recipient's node.
fn is_silence(delivery: &Delivery, held: &Held, node: &NodeId) -> bool {
    let waits = |issuer: &NodeId| issuer == node || *issuer == delivery.origin;
    match held.reason {
        Some(Reason::Rb22) => held.event == Event::RelayFailure,
        Some(Reason::Rd03) => waits(&held.node),
        _ => false,
    }
}

fn at_recipient(evidence: &[Held], node: &NodeId) -> Phase {
    let mine = evidence.iter().filter(|h| h.node == *node);
    let has = |event| mine.clone().any(|h| h.event == event);
    match last_word(mine.clone()) {
        Some(phase) => phase,
        None if has(Event::RelayRejection) => Phase::RelayRejected,
        None if has(Event::RelayAcceptance) => Phase::Relayed,
        None => Phase::Accepted,
    }
}

fn at_relay(delivery: &Delivery, node: &NodeId) -> Phase {
    let ahead = delivery.ahead(node);
    let theirs = ahead.iter().filter(|h| h.node != *node);
    if let Some(phase) = last_word(theirs) {
        return phase;
    }
    if ahead.iter().any(|h| h.node == *node && is_exit(h.event)) {
        return Phase::External;
    }
    let has = |event, by: &dyn Fn(&Held) -> bool| ahead.iter().any(|h| h.event == event && by(h));
    let mine = |h: &Held| h.node == *node;
    let next = |h: &Held| Some(&h.node) == delivery.next_hop.as_ref();
    let silent = |h: &Held| h.reason == Some(Reason::Rb22);
    let accepted = has(Event::RelayAcceptance, &|h| !mine(h));
    let accepted_beyond =
        |x: &Held| has(Event::RelayAcceptance, &|h| !mine(h) && !next(h) && h.node != x.node);
    let failed = has(Event::RelayRejection, &next)
        || has(Event::RelayFailure, &|h| mine(h) && !silent(h) && !accepted)
        || has(Event::RelayFailure, &|h| !mine(h) && !silent(h));
    let unconfirmed = has(Event::ContentConsignmentFailure, &mine)
        || has(Event::RelayFailure, &|h| mine(h) && silent(h) && !accepted)
        || has(Event::RelayFailure, &|h| !mine(h) && silent(h) && !accepted_beyond(h));
    match () {
        () if failed => Phase::RelayFailed,
        () if unconfirmed => Phase::Unconfirmed,
        () if accepted => Phase::Relayed,
        () => Phase::Accepted,
    }
}
