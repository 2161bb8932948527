//! A node that was restored learns from its neighbours what it had said.

use schemas::evidence::Subject;

use super::*;
use crate::decide::decide;
use crate::effect::{Decision, Effect};
use crate::input::{EvidenceFact, Inbound};
use crate::state::Role;

/// Digest of the dispatch; the engine notes it at the sender's node, too.
fn sealed(net: &Net, id: DeliveryId) -> schemas::digest::Digest {
    ["h", "r"].iter().find_map(|at| net.at(at, id)?.dispatch).unwrap()
}

/// What the neighbours of `at` hold about a delivery, as `at` gets it.
fn recollected(net: &Net, at: &str, id: DeliveryId, state: Option<&Delivery>) -> Decision {
    tried(net, at, id, state, |_| {}).unwrap()
}

fn tried(
    net: &Net,
    at: &str,
    id: DeliveryId,
    state: Option<&Delivery>,
    change: impl Fn(&mut EvidenceFact),
) -> Result<Decision, Refusal> {
    let known = net.delivery(at, id);
    let fact = |event, by: &str| {
        let all = net.all(event);
        all.into_iter().map(|s| net.fact(s)).find(|f| f.issuer == node(by))
    };
    let from = known.previous_hop.clone().unwrap_or_else(|| node("s"));
    let relays: Vec<EvidenceFact> =
        fact(Event::RelayAcceptance, "h").into_iter().filter(|f| from == f.issuer).collect();
    let dispatch = Inbound {
        envelope: &net.envelope,
        recipient_index: 0,
        origin: node("s"),
        hop: u8::try_from(relays.len()).unwrap(),
        from,
        dispatch: sealed(net, id),
        acceptance: fact(Event::SubmissionAcceptance, "s"),
        relays,
        findings: Vec::new(),
    };
    let held = net.sites.values().flat_map(|site| site.archive.values());
    let mut evidence: Vec<EvidenceFact> = Vec::new();
    for mut one in held.map(|sealed| net.fact(sealed)) {
        if evidence.iter().all(|e| e.id != one.id) {
            change(&mut one);
            evidence.push(one);
        }
    }
    let ctx = net.ground.at(at, net.now);
    let input = Input::Recollected(Box::new(dispatch), evidence);
    decide(state, &Subject::of(&net.envelope), input, &ctx)
}

#[test]
fn every_node_of_a_way_is_again_where_it_was_and_issues_nothing() {
    for acknowledged in [false, true] {
        let (mut net, id) = chained();
        net.run();
        if acknowledged {
            net.acknowledge("r", id).unwrap();
            net.run();
        }
        for (at, role) in [("s", Role::Sender), ("h", Role::Relay), ("r", Role::Recipient)] {
            let before = net.delivery(at, id);
            let decision = recollected(&net, at, id, None);
            assert_eq!(decision.evidence, [], "{at}");
            let next = decision.next;
            assert_eq!((next.role, next.phase), (role, before.phase), "{at}");
            assert_eq!(next.custodian, before.custodian, "{at}");
            assert_eq!(next.hop, before.hop, "{at}");
            assert_eq!(
                (&next.previous_hop, &next.next_hop),
                (&before.previous_hop, &before.next_hop),
                "{at}"
            );
            let ids = |d: &Delivery| {
                let mut all: Vec<_> = d.evidence.iter().map(|h| (h.id, h.digest)).collect();
                all.sort();
                all
            };
            assert_eq!(ids(&next), ids(before), "{at}");
            assert_eq!(next.next_due().is_none(), next.phase.is_end(), "{at}");
        }
    }
}

#[test]
fn a_delivery_that_had_come_less_far_goes_on_from_what_was_said() {
    let (mut net, id) = direct();
    net.run();
    let dispatch = Some(sealed(&net, id));
    let backup = ["s", "r"].map(|at| (at, Delivery { dispatch, ..net.delivery(at, id).clone() }));
    net.acknowledge("r", id).unwrap();
    net.run();
    for (at, state) in &backup {
        let decision = recollected(&net, at, id, Some(state));
        assert_eq!(decision.evidence, []);
        assert_eq!(decision.next.phase, Phase::HandedOver, "{at}");
        // The second time nothing is new.
        let again = recollected(&net, at, id, Some(&decision.next));
        assert_eq!((again.next, again.effects), (decision.next, Vec::new()), "{at}");
    }
}

#[test]
fn what_a_relay_had_accepted_and_not_sent_on_is_sent_on() {
    let (mut net, id) = chained();
    net.carry_out(&node("s"), 0, Fate::Confirmed);
    net.deliver(0, Crash::Never);
    assert_eq!(net.phase("h", id), Phase::Accepted);
    let decision = recollected(&net, "h", id, None);
    let to = node("r");
    assert!(decision.effects.contains(&Effect::SendDispatch { to }), "{:?}", decision.effects);
    assert_eq!(decision.evidence, []);
}

#[test]
fn nothing_is_taken_that_goes_against_what_was_said_since() {
    let (mut net, id) = direct();
    net.run();
    let backup = net.delivery("r", id).clone();
    net.acknowledge("r", id).unwrap();
    net.run();
    // An operator released the neighbour too early: the handover ran out here meanwhile.
    let mut since = backup.clone();
    let mut failed = backup.evidence.last().unwrap().clone();
    failed.id = schemas::ids::EvidenceId(uuid::Uuid::from_u128(5));
    failed.event = Event::ContentHandoverFailure;
    since.evidence.push(failed);
    let refused = tried(&net, "r", id, Some(&since), |_| {}).unwrap_err();
    assert_eq!(refused.code, Code::EvidenceMismatch);
    // Evidence about other documents, and a dispatch of other bytes.
    let refused = tried(&net, "r", id, Some(&backup), |fact| fact.same_content = false);
    assert_eq!(refused.unwrap_err().code, Code::EvidenceMismatch);
    let other = Delivery { dispatch: Some(crate::sim::digest(b"x")), ..backup };
    let refused = tried(&net, "r", id, Some(&other), |_| {}).unwrap_err();
    assert_eq!(refused.code, Code::EvidenceMismatch);
}

#[test]
fn a_node_that_has_said_nothing_about_it_rebuilds_nothing() {
    let (mut net, id) = direct();
    net.run();
    let stranger = |fact: &mut EvidenceFact| {
        if fact.issuer == node("r") {
            fact.issuer = node("x");
        }
    };
    let refused = tried(&net, "r", id, None, stranger).unwrap_err();
    assert_eq!(refused.code, Code::EvidenceMismatch);
}
