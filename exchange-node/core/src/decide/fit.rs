//! Whether an evidence can be true of a delivery. Its seal has been verified: this asks whether
//! its issuer may say so, about this content, after what is known already. Evidence that does not
//! fit changes nothing; the timers keep running.

use schemas::event::Event;
use schemas::ids::NodeId;
use schemas::problem::Code;

use crate::fold;
use crate::input::EvidenceFact;
use crate::refusal::Refusal;
use crate::state::Held;
use crate::step::Step;

/// A known identifier must stand for the same evidence.
pub(super) fn same(known: &Held, fact: &EvidenceFact) -> Result<(), Refusal> {
    if known.digest.is_none_or(|digest| digest == fact.digest) {
        return Ok(());
    }
    Err(mismatch("an evidence with this identifier and other bytes is known"))
}

/// Whether `fact` fits.
pub(super) fn fits(step: &Step<'_>, fact: &EvidenceFact) -> Result<(), Refusal> {
    if !fact.same_content {
        return Err(mismatch("it is about another message or other documents"));
    }
    if fact.at > step.ctx.now.plus(step.ctx.policy.max_skew) {
        return Err(mismatch("its time lies ahead of the clock of this node"));
    }
    let about = fact.event.has_recipient().then_some(step.next.recipient_index);
    if fact.recipient_index != about {
        return Err(mismatch("it is about another recipient"));
    }
    if is_before(step, &fact.issuer) {
        return Err(mismatch("its issuer lies before this node on the way"));
    }
    if step.next.evidence.iter().any(|h| h.event == fact.event && h.node == fact.issuer) {
        return Err(mismatch("its issuer has attested this event already"));
    }
    match fact.event.family() {
        'B' => relay(step, fact)?,
        'C' | 'D' | 'E' => recipients_node(step, &fact.issuer)?,
        _ => return Err(mismatch("such evidence does not come from another node")),
    }
    possible(step, fact)
}

/// Family B: the next node about this one, or a farther node about a farther hop.
fn relay(step: &Step<'_>, fact: &EvidenceFact) -> Result<(), Refusal> {
    let next = step.next.next_hop.as_ref();
    let external = fact
        .external
        .as_ref()
        .ok_or_else(|| mismatch("it does not name the other node of its hop"))?;
    let about_me = external == step.ctx.node;
    let from_next = Some(&fact.issuer) == next;
    // The next node is the last one: there is no farther hop.
    let last = home(step).is_some_and(|home| Some(home) == next);
    let fits = match fact.event {
        Event::RelayAcceptance | Event::RelayRejection if about_me => from_next,
        Event::RelayAcceptance | Event::RelayRejection => !last && !from_next,
        // B.3 is issued by who relays.
        _ => !last && !about_me,
    };
    let upstream = !about_me && is_before(step, external);
    if fits && !upstream && fact.issuer != *external {
        Ok(())
    } else {
        Err(mismatch("its issuer cannot attest this hop"))
    }
}

/// Whether a node is this one, or lies before it on the way.
fn is_before(step: &Step<'_>, node: &NodeId) -> bool {
    node == step.ctx.node
        || *node == step.next.origin
        || Some(node) == step.next.previous_hop.as_ref()
        || step.next.relayed_by(step.ctx.node).any(|h| h.node == *node)
}

/// Families C, D, E: the node of the recipient, by the directory; or the farthest node that has
/// accepted the dispatch, when the recipient has moved away from it since.
fn recipients_node(step: &Step<'_>, issuer: &NodeId) -> Result<(), Refusal> {
    let home = home(step);
    let farthest = fold::farthest(&step.next, step.ctx.node) == Some(issuer);
    let on_the_way =
        home.and_then(|home| step.ctx.directory.next_hop(step.ctx.node, home)).as_ref()
            == Some(issuer);
    if home == Some(issuer) || (farthest && !on_the_way) {
        return Ok(());
    }
    Err(mismatch("its issuer is not the recipient's node"))
}

fn home<'a>(step: &Step<'a>) -> Option<&'a NodeId> {
    step.ctx.directory.member(step.recipient()?).map(|m| m.node)
}

/// Events that exclude each other: a node that attests both contradicts itself.
fn possible(step: &Step<'_>, fact: &EvidenceFact) -> Result<(), Refusal> {
    use Event as E;
    let theirs = |event| {
        step.next.ahead(step.ctx.node).iter().any(|h| h.event == event && h.node != *step.ctx.node)
    };
    let excluded: &[Event] = match fact.event {
        E::ContentHandover => &[
            E::ContentHandoverFailure,
            E::ContentConsignmentFailure,
            E::ConsignmentRejection,
            E::AcceptanceRejectionExpiry,
        ],
        E::ContentHandoverFailure => &[
            E::ContentHandover,
            E::ContentConsignmentFailure,
            E::ConsignmentRejection,
            E::AcceptanceRejectionExpiry,
        ],
        E::ContentConsignment => {
            &[E::ContentConsignmentFailure, E::ConsignmentRejection, E::AcceptanceRejectionExpiry]
        }
        E::ConsignmentAcceptance => &[E::ConsignmentRejection, E::AcceptanceRejectionExpiry],
        E::ContentConsignmentFailure | E::ConsignmentRejection | E::AcceptanceRejectionExpiry => &[
            E::ContentConsignment,
            E::ContentConsignmentFailure,
            E::ConsignmentRejection,
            E::AcceptanceRejectionExpiry,
            E::ContentHandover,
            E::ContentHandoverFailure,
            E::ConsignmentAcceptance,
        ],
        _ => &[],
    };
    // C.3 goes before D.2 when a place that was accepted cannot be filled.
    let allowed =
        |e: &Event| fact.event == E::ContentConsignmentFailure && *e == E::ConsignmentAcceptance;
    let by = |event, node: &NodeId| {
        step.next.evidence.iter().any(|h| h.event == event && h.node == *node)
    };
    let hop =
        match fact.event {
            E::RelayAcceptance => by(E::RelayRejection, &fact.issuer),
            E::RelayRejection => {
                by(E::RelayAcceptance, &fact.issuer)
                    || step.next.evidence.iter().any(|h| {
                        h.node == fact.issuer && matches!(h.event.family(), 'C' | 'D' | 'E')
                    })
            }
            // A node that refused the dispatch has nothing to consign.
            _ => by(E::RelayRejection, &fact.issuer),
        };
    if hop || excluded.iter().any(|e| theirs(*e) && !allowed(e)) {
        return Err(mismatch("it contradicts evidence of the same node"));
    }
    Ok(())
}

/// `evidence-mismatch`, with its sentences.
pub(super) fn mismatch(what: &str) -> Refusal {
    let fr = match what {
        "an evidence with this identifier and other bytes is known" => {
            "une preuve de même identifiant et d'octets différents est connue"
        }
        "it is about another message or other documents" => {
            "elle porte sur un autre pli ou d'autres documents"
        }
        "its time lies ahead of the clock of this node" => {
            "sa date est en avance sur l'horloge de ce nœud"
        }
        "it is about another recipient" => "elle concerne un autre destinataire",
        "its issuer lies before this node on the way" => {
            "son émetteur se situe en amont de ce nœud"
        }
        "its issuer has attested this event already" => "son émetteur a déjà attesté cet événement",
        "it does not name the other node of its hop" => {
            "elle ne nomme pas l'autre nœud de son étape"
        }
        "its issuer cannot attest this hop" => "son émetteur ne peut attester cette étape",
        "its issuer is not the recipient's node" => {
            "son émetteur n'est pas le nœud du destinataire"
        }
        "it contradicts evidence of the same node" => "elle contredit une preuve du même nœud",
        _ => "aucun autre nœud n'a ici à en attester",
    };
    Refusal::new(Code::EvidenceMismatch, what, fr)
}
