//! Evidence that overtakes other evidence, comes twice, or does not fit.

use super::*;
use crate::input::EvidenceFact;
use crate::sim::{Sealed, digest};
use schemas::evidence::EntityDetails;
use schemas::time::HOUR;

/// A direct delivery that S has published, and the evidence that R issued: B.1, D.1, E.1.
fn answered(ground: Ground) -> (Net, DeliveryId, Vec<Sealed>) {
    let (mut net, id) = net(ground, AT_R, |_| {});
    let mut elsewhere = Net::new(Ground::direct(), net.envelope.clone());
    if net.sites.len() == 3 {
        elsewhere = Net::new(Ground::chained(), net.envelope.clone());
    }
    elsewhere.submit().unwrap();
    elsewhere.run();
    elsewhere.acknowledge("r", id).unwrap();
    elsewhere.run();
    net.publish("s", Fate::Confirmed);
    net.wire.clear();
    // What the others hold is there: only its news to S is in our hands.
    for (name, site) in elsewhere.sites.iter().filter(|(name, _)| **name != node("s")) {
        net.sites.insert(name.clone(), site.clone());
    }
    let held = elsewhere.delivery("s", id).evidence.iter().skip(1).map(|h| h.id);
    let archive = &elsewhere.sites[&node("s")].archive;
    let all = held.map(|id| archive[&id].clone()).collect();
    (net, id, all)
}

fn take(net: &mut Net, id: DeliveryId, sealed: &Sealed) -> Result<(), Refusal> {
    let fact = net.fact(sealed);
    net.input(&node("s"), id, Input::Evidence(fact), std::slice::from_ref(sealed), Crash::Never)
        .map(drop)
}

#[test]
fn any_order_leads_to_the_same_end() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let (mut net, id, all) = answered(Ground::direct());
        for i in order {
            take(&mut net, id, &all[i]).unwrap();
        }
        let d = net.delivery("s", id);
        assert_eq!((d.phase, d.custodian.as_str()), (Phase::HandedOver, "r"), "{order:?}");
        net.whole();
    }
}

#[test]
fn the_phase_is_the_furthest_fact_at_once() {
    let (mut net, id, all) = answered(Ground::direct());
    take(&mut net, id, &all[1]).unwrap();
    assert_eq!(net.phase("s", id), Phase::Consigned, "D.1 before B.1");
    take(&mut net, id, &all[0]).unwrap();
    assert_eq!(net.phase("s", id), Phase::Consigned);
}

#[test]
fn a_repeat_changes_nothing_and_other_bytes_are_refused() {
    let (mut net, id, all) = answered(Ground::direct());
    take(&mut net, id, &all[0]).unwrap();
    let before = (net.delivery("s", id).clone(), net.sites[&node("s")].told.len());
    take(&mut net, id, &all[0]).unwrap();
    assert_eq!(before, (net.delivery("s", id).clone(), net.sites[&node("s")].told.len()));
    let mut other = all[0].clone();
    other.digest = digest(b"sealed again");
    assert_eq!(code(take(&mut net, id, &other)), Code::EvidenceMismatch);
}

#[test]
fn evidence_that_does_not_fit_changes_nothing() {
    let (net, id, all) = answered(Ground::direct());
    let b1 = net.fact(&all[0]);
    let d1 = net.fact(&all[1]);
    let ctx_time = net.now;
    type Change = fn(&mut EvidenceFact);
    let cases: [(&EvidenceFact, &str, Change); 15] = [
        (&b1, "other content", |f| f.same_content = false),
        (&b1, "from the future", |f| f.at = f.at.plus(HOUR)),
        (&b1, "wrong issuer", |f| f.issuer = node("x")),
        (&b1, "own name", |f| f.issuer = node("s")),
        (&b1, "another hop", |f| f.external = Some(node("x"))),
        (&b1, "no hop", |f| f.external = None),
        (&b1, "about a recipient", |f| f.recipient_index = Some(0)),
        (&b1, "a submission", |f| f.event = Event::SubmissionAcceptance),
        (&b1, "family F", |f| f.event = Event::RelayToNonERDS),
        (&b1, "a relay failure of the last node", |f| f.event = Event::RelayFailure),
        (&d1, "another recipient", |f| f.recipient_index = Some(1)),
        (&d1, "no recipient", |f| f.recipient_index = None),
        (&d1, "wrong issuer", |f| f.issuer = node("x")),
        (&d1, "own name", |f| f.issuer = node("s")),
        (&d1, "family F about a recipient", |f| f.event = Event::ReceivedFromNonERDS),
    ];
    assert!(b1.at <= ctx_time);
    for (fact, what, change) in cases {
        let mut net = answered(Ground::direct()).0;
        let before = net.delivery("s", id).clone();
        let mut fact = fact.clone();
        change(&mut fact);
        assert_eq!(code(net.act("s", id, Input::Evidence(fact))), Code::EvidenceMismatch, "{what}");
        assert_eq!(*net.delivery("s", id), before, "{what}");
        net.whole();
    }
}

#[test]
fn a_node_that_contradicts_itself_is_not_believed_again() {
    let (mut net, id, all) = answered(Ground::direct());
    let base = net.fact(&all[1]);
    for sealed in &all {
        take(&mut net, id, sealed).unwrap();
    }
    for event in [
        Event::ContentHandoverFailure,
        Event::ContentConsignmentFailure,
        Event::ConsignmentRejection,
        Event::AcceptanceRejectionExpiry,
        Event::ContentConsignment,
    ] {
        let other = schemas::ids::EvidenceId(uuid::Uuid::from_u128(event as u128));
        let fact = EvidenceFact { id: other, event, digest: digest(b"x"), ..base.clone() };
        assert_eq!(
            code(net.act("s", id, Input::Evidence(fact))),
            Code::EvidenceMismatch,
            "{event:?}"
        );
    }
    let b1 = net.fact(&all[0]);
    let id_of_b2 = schemas::ids::EvidenceId(uuid::Uuid::from_u128(99));
    let b2 = EvidenceFact { id: id_of_b2, event: Event::RelayRejection, ..b1 };
    assert_eq!(code(net.act("s", id, Input::Evidence(b2))), Code::EvidenceMismatch);
    assert_eq!(net.phase("s", id), Phase::HandedOver);
}

#[test]
fn a_relay_cannot_speak_for_the_recipients_node() {
    let (mut net, id, all) = answered(Ground::chained());
    let d1 = all.iter().find(|s| s.evidence.event() == Some(Event::ContentConsignment)).unwrap();
    take(&mut net, id, &all[0]).unwrap();
    assert_eq!(all[0].evidence.issuer(), Some(node("h")));
    let mut forged = d1.clone();
    forged.evidence.evidence_issuer_details = EntityDetails::node(&node("h"));
    assert_eq!(code(take(&mut net, id, &forged)), Code::EvidenceMismatch);
    // The other way round: R cannot accept in the place of H.
    let mut forged = all[0].clone();
    forged.evidence.evidence_identifier = schemas::ids::EvidenceId(uuid::Uuid::from_u128(1));
    forged.evidence.evidence_issuer_details = EntityDetails::node(&node("r"));
    assert_eq!(code(take(&mut net, id, &forged)), Code::EvidenceMismatch);
    take(&mut net, id, d1).unwrap();
    assert_eq!(net.phase("s", id), Phase::Consigned);
}

#[test]
fn a_recipient_that_moved_is_heard_from_the_node_that_took_the_dispatch() {
    let (mut net, id, all) = answered(Ground::direct());
    take(&mut net, id, &all[0]).unwrap();
    let entry = net.ground.lists[1].members[0].clone();
    net.ground.change_list("r", |l| l.members.clear());
    net.ground.change_list("s", |l| l.members.push(entry));
    take(&mut net, id, &all[1]).unwrap();
    assert_eq!(net.phase("s", id), Phase::Consigned);
}

#[test]
fn no_evidence_is_for_the_recipients_node() {
    let (mut net, id) = direct();
    net.run();
    let b1 = net.fact(net.all(Event::RelayAcceptance)[0]);
    let own = net.delivery("r", id).clone();
    net.act("r", id, Input::Evidence(b1.clone())).unwrap();
    assert_eq!(*net.delivery("r", id), own, "its own, come back");
    let fact = EvidenceFact { id: schemas::ids::EvidenceId(uuid::Uuid::from_u128(1)), ..b1 };
    assert_eq!(code(net.act("r", id, Input::Evidence(fact))), Code::EvidenceMismatch);
}

#[test]
fn evidence_forwarded_by_a_relay_is_the_same_bytes() {
    let (mut net, id) = chained();
    net.run();
    net.acknowledge("r", id).unwrap();
    net.run();
    for event in [Event::ContentConsignment, Event::ContentHandover] {
        let copies: Vec<_> = net
            .sites
            .values()
            .flat_map(|s| s.archive.values())
            .filter(|s| s.evidence.event() == Some(event))
            .collect();
        assert_eq!(copies.len(), 3);
        assert!(copies.windows(2).all(|w| w[0] == w[1]));
    }
    net.whole();
}
