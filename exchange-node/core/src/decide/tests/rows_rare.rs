//! Rows that a quiet network never walks: answers after a silence (10), notices that come back
//! (11), a full space (14), a type that cannot be taken (17), messages that leave the network and
//! come in from outside (18, 19).

use super::*;
use crate::decide::decide;
use crate::effect::{Effect, Notice};
use crate::fold;
use crate::input::{FromOutside, Outside};
use crate::sim::Sealed;
use crate::state::{Delivery, Role};
use schemas::evidence::Subject;
use schemas::ids::EvidenceId;
use schemas::time::{DAY, HOUR, MINUTE};

const C2: Event = Event::NotificationForAcceptanceFailure;
const C6: Event = Event::NotificationDelivered;

/// Which event answers which silence, as a node sees it.
fn links(net: &Net, at: &str, id: DeliveryId) -> Vec<(Event, (Event, Option<Reason>))> {
    let d = net.delivery(at, id);
    let of = |id: EvidenceId| d.evidence.iter().find(|h| h.id == id).unwrap();
    fold::superseded(d, &node(at))
        .into_iter()
        .map(|(fact, silence)| (of(fact).event, (of(silence).event, of(silence).reason)))
        .collect()
}

#[test]
fn row_10_each_silence_is_superseded_by_the_first_answer() {
    let (mut net, id) = direct();
    net.advance(HOUR);
    net.publish("s", Fate::Confirmed);
    net.until(fixture::T0.plus(DAY));
    net.advance(HOUR);
    let silences = [d2(Reason::Rd03), b3(Reason::Rb22)];
    assert_eq!(net.story("s", id), said(&[A1, silences[0], silences[1]]));
    assert!(links(&net, "s", id).is_empty(), "nothing has answered yet");
    net.run();
    net.acknowledge("r", id).unwrap();
    net.run();
    let expected = vec![
        (Event::ContentConsignment, (silences[0].0, Some(Reason::Rd03))),
        (Event::RelayAcceptance, (silences[1].0, Some(Reason::Rb22))),
    ];
    assert_eq!(links(&net, "s", id), expected, "and E.1 answers nothing that was answered");
    assert!(links(&net, "r", id).is_empty());
    net.whole();
}

#[test]
fn row_10_a_farther_hop_is_answered_by_the_node_behind_it() {
    let (mut net, id) = chained();
    net.publish("s", Fate::Confirmed);
    net.deliver(0, Crash::Never);
    net.publish("h", Fate::Confirmed);
    let held: Vec<_> = std::mem::take(&mut net.wire);
    let (dispatch, evidence): (Vec<_>, Vec<_>) =
        held.into_iter().partition(|f| matches!(f.body, crate::sim::Body::Dispatch { .. }));
    net.wire = evidence;
    net.hand_over_all();
    net.advance(DAY);
    net.publish("h", Fate::Confirmed);
    net.publish("s", Fate::Confirmed);
    net.wire.retain(|f| matches!(f.body, crate::sim::Body::Evidence(..)));
    net.hand_over_all();
    net.wire = dispatch;
    net.run();
    assert_eq!(net.phase("s", id), Phase::Consigned);
    let b3s: Vec<_> = net
        .story("h", id)
        .into_iter()
        .filter(|(event, reason)| *event == Event::RelayFailure && *reason == Some(Reason::Rb22))
        .collect();
    assert_eq!(b3s.len(), 1);
    let at_h = vec![(Event::RelayAcceptance, (Event::RelayFailure, Some(Reason::Rb22)))];
    assert_eq!(links(&net, "h", id), at_h);
    assert!(links(&net, "s", id).iter().all(|(fact, _)| fact.family() != 'A'));
    let silent = |h: &&crate::state::Held| matches!(h.reason, Some(Reason::Rb22 | Reason::Rd03));
    let silences = net.delivery("s", id).evidence.iter().filter(silent).count();
    assert_eq!(links(&net, "s", id).len(), silences, "every silence has its answer");
    net.whole();
}

#[test]
fn row_11_a_notice_comes_back_and_the_time_to_accept_runs_on() {
    for (repeatedly, reason) in [(false, Reason::Rc03), (true, Reason::Rc05)] {
        let (mut net, id) = consent();
        net.run();
        let before = net.delivery("r", id).timers.clone();
        net.act("r", id, Input::NoticeFailed { repeatedly }).unwrap();
        net.run();
        assert_eq!(net.story("s", id), said(&[A1, B1, C1, (C2, reason)]));
        let phases = (net.phase("s", id), net.phase("r", id));
        assert_eq!(phases, (Phase::AwaitingAcceptance, Phase::AwaitingAcceptance));
        assert_eq!(net.delivery("r", id).timers, before, "no deadline moves");
        // Once, whatever comes back later.
        net.act("r", id, Input::NoticeFailed { repeatedly: true }).unwrap();
        assert_eq!(net.story("r", id), said(&[A1, B1, C1, (C2, reason)]));
        net.act("r", id, Input::Accept { by: party(AT_R) }).unwrap();
        net.run();
        assert_eq!(net.phase("s", id), Phase::Consigned);
        net.whole();
    }
}

#[test]
fn row_11_a_notice_has_arrived() {
    let (mut net, id) = consent();
    net.run();
    let before = net.delivery("r", id).timers.clone();
    net.act("r", id, Input::NoticeDelivered).unwrap();
    net.run();
    assert_eq!(net.story("s", id).last(), Some(&(C6, None)), "C.6 has no reason");
    assert_eq!(net.delivery("r", id).timers, before);
    assert_eq!(net.phase("s", id), Phase::AwaitingAcceptance);
    let end = before.acceptance.unwrap();
    net.until(end);
    net.run();
    assert_eq!(net.story("s", id).last(), Some(&(C5.0, Some(C5.1))));
    // Too late to be of any weight, and no fault of whoever reports it.
    net.act("r", id, Input::NoticeFailed { repeatedly: false }).unwrap();
    assert_eq!(net.phase("r", id), Phase::Expired);
    net.whole();
}

#[test]
fn row_11_no_notice_is_reported_where_none_was_sent() {
    let (mut net, id) = direct();
    net.run();
    for (at, input) in [
        ("r", Input::NoticeDelivered),
        ("r", Input::NoticeFailed { repeatedly: false }),
        ("s", Input::NoticeDelivered),
    ] {
        assert_eq!(code(net.act(at, id, input)), Code::StateConflict, "{at}");
    }
    net.whole();
}

#[test]
fn row_14_what_finds_no_room_waits_until_something_is_collected() {
    let (mut net, id) = direct();
    net.ground.full = true;
    net.run();
    assert_eq!(net.story("s", id), said(&[A1, B1]));
    assert_eq!((net.phase("s", id), net.phase("r", id)), (Phase::Relayed, Phase::Relayed));
    assert!(net.sites[&node("r")].content.contains(&id), "R is the custodian");
    let looks = net.delivery("r", id).next_due().unwrap();
    assert!(looks.since(net.now) <= MINUTE, "it is looked at again soon");
    net.advance(HOUR);
    assert!(net.delivery("r", id).next_due().unwrap().since(net.now) <= MINUTE);
    assert_eq!(net.story("r", id), said(&[A1, B1]));
    net.ground.full = false;
    net.advance(MINUTE);
    net.run();
    assert_eq!(net.story("s", id), said(&[A1, B1, D1]));
    net.whole();
}

#[test]
fn row_14_a_space_that_stays_full_is_said_before_the_sender_would_hear_of_nothing() {
    for (mut net, id, at) in [direct(), chained(), local()]
        .map(|(n, i)| (n, i))
        .into_iter()
        .zip(["r", "r", "s"])
        .map(|((net, id), at)| (net, id, at))
    {
        net.ground.full = true;
        net.run();
        let end = fixture::T0.plus(if at == "s" { 24 } else { 23 } * HOUR);
        assert_eq!(net.delivery(at, id).timers.consign, Some(end));
        net.until(end.plus(-1));
        assert!(!net.phase(at, id).is_end());
        net.until(end);
        net.run();
        assert_eq!(net.story("s", id).last(), Some(&(d2(Reason::Rd04).0, Some(Reason::Rd04))));
        assert_eq!(
            (net.phase("s", id), net.phase(at, id)),
            (Phase::ConsignFailed, Phase::ConsignFailed)
        );
        let d2 = &net.all(Event::ContentConsignmentFailure)[0].evidence;
        let details = &d2.event_reasons.as_ref().unwrap().event_reason[0].details;
        assert_eq!(details[1], "recipient-quota");
        assert!(!net.sites[&node(at)].content.contains(&id));
        net.whole();
    }
}

#[test]
fn row_14_the_time_for_room_begins_when_consignment_may() {
    let at = fixture::T0.plus(3 * DAY);
    let (mut net, id) = net(Ground::direct(), AT_R, |e| e.requested.not_before = Some(at));
    net.ground.full = true;
    net.run();
    net.until(at);
    assert_eq!(net.phase("r", id), Phase::Relayed);
    net.until(at.plus(22 * HOUR));
    assert_eq!(net.phase("r", id), Phase::Relayed);
    net.until(at.plus(23 * HOUR));
    assert_eq!(net.phase("r", id), Phase::ConsignFailed);
    net.run();
    net.whole();
}

#[test]
fn row_17_the_recipients_application_cannot_take_the_type() {
    for (mut net, id, at) in
        [direct(), local()].into_iter().zip(["r", "s"]).map(|((net, id), at)| (net, id, at))
    {
        net.run();
        let by = net.envelope.recipients[0].clone();
        let reason = Some("Format non pris en charge".to_owned());
        let refuse = || Input::RefuseType { by: by.clone(), reason: reason.clone() };
        let first = net.input(&node(at), id, refuse(), &[], Crash::Never).unwrap();
        assert!(first.is_some());
        assert_eq!(net.input(&node(at), id, refuse(), &[], Crash::Never).unwrap(), first);
        net.run();
        assert_eq!(net.story("s", id).last(), Some(&(e2(Reason::Re03).0, Some(Reason::Re03))));
        assert!(net.story("s", id).contains(&(D1.0, Some(D1.1))), "D.1 stays valid");
        assert_eq!(net.phase("s", id), Phase::HandoverFailed);
        let e2 = &net.all(Event::ContentHandoverFailure)[0].evidence;
        let details = &e2.event_reasons.as_ref().unwrap().event_reason[0].details;
        assert_eq!(details[..], ["RE03", "document-type-refused", "Format non pris en charge"]);
        assert!(net.sites[&node(at)].content.contains(&id), "and can be read");
        assert_eq!(code(net.acknowledge(at, id)), Code::StateConflict);
        net.whole();
    }
}

#[test]
fn row_17_a_type_is_refused_by_the_recipient_in_time_and_without_consent_alone() {
    let refuse = || Input::RefuseType { by: party(AT_R), reason: None };
    let (mut net, id) = consent();
    net.run();
    assert_eq!(code(net.act("r", id, refuse())), Code::StateConflict, "C.4 is for that");
    net.act("r", id, Input::Accept { by: party(AT_R) }).unwrap();
    assert_eq!(code(net.act("r", id, refuse())), Code::StateConflict);
    let (mut net, id) = direct();
    net.run();
    let stranger = Input::RefuseType { by: other(), reason: None };
    assert_eq!(code(net.act("r", id, stranger)), Code::NotAuthorised);
    net.acknowledge("r", id).unwrap();
    assert_eq!(code(net.act("r", id, refuse())), Code::StateConflict);
    let (mut net, id) = direct();
    net.run();
    net.now = net.delivery("r", id).timers.handover.unwrap();
    assert_eq!(code(net.act("r", id, refuse())), Code::Expired);
    net.advance(0);
    assert_eq!(code(net.act("r", id, refuse())), Code::Expired, "RE04 was said");
    net.whole();
}

/// A recipient whom the directory does not have, and a node with a gateway.
fn leaving() -> (Net, DeliveryId) {
    let mut ground = Ground::direct();
    ground.change_list("r", |l| l.members.retain(|m| m.party.id != AT_R));
    ground.policy.gateway = Some("lre.example.fr".to_owned());
    net(ground, AT_R, |_| {})
}

#[test]
fn row_18_the_gateway_says_what_became_of_it() {
    let cases = [
        (Outside::Relayed, Event::RelayToNonERDS, Reason::Rf01),
        (Outside::Unreachable, Event::RelayToNonERDSFailure, Reason::Rf02),
        (Outside::Rejected, Event::RelayToNonERDSFailure, Reason::Rf03),
        (Outside::NotAllowed, Event::RelayToNonERDSFailure, Reason::Rf51),
    ];
    for (report, event, reason) in cases {
        let (mut net, id) = leaving();
        net.run();
        assert_eq!(
            (net.phase("s", id), net.delivery("s", id).role),
            (Phase::Accepted, Role::Sender)
        );
        let first = net.input(&node("s"), id, Input::Outside(report), &[], Crash::Never).unwrap();
        let again = Input::Outside(Outside::Rejected);
        let again = net.input(&node("s"), id, again, &[], Crash::Never).unwrap();
        assert_eq!(again, first, "the first report stands");
        assert_eq!(net.story("s", id), said(&[A1, (event, reason)]));
        assert_eq!(net.phase("s", id), Phase::External);
        assert_eq!(net.delivery("s", id).next_due(), None);
        let f = &net.all(event)[0].evidence;
        assert_eq!(f.forwarded_to_external_system.as_deref(), Some("lre.example.fr"));
        assert_eq!((f.evidence_refers_to_recipient, f.external()), (None, None));
        assert_eq!(f.extension().unwrap().state, "external");
        let told = &net.sites[&node("s")].told;
        assert!(
            told.iter().any(|(_, w)| matches!(w, Notice::Evidence { event: e, .. } if *e == event))
        );
        net.whole();
    }
}

#[test]
fn row_18_a_gateway_that_says_nothing_in_the_time_to_send_is_unreachable() {
    let (mut net, id) = leaving();
    net.run();
    assert_eq!(net.delivery("s", id).next_due(), Some(fixture::T0.plus(DAY)));
    net.advance(DAY);
    assert_eq!(net.story("s", id), said(&[A1, (Event::RelayToNonERDSFailure, Reason::Rf02)]));
    assert_eq!(net.phase("s", id), Phase::External);
    net.whole();
}

#[test]
fn row_18_without_a_gateway_a_stranger_stays_unknown() {
    let mut ground = Ground::direct();
    ground.change_list("r", |l| l.members.retain(|m| m.party.id != AT_R));
    let mut net = Net::new(ground, fixture::envelope(&[AT_R]));
    assert_eq!(net.submit().unwrap_err().code, Code::RecipientUnknown);
    // Nor does a gateway speak for what goes to a member.
    let (mut net, id) = direct();
    let report = Input::Outside(Outside::Relayed);
    assert_eq!(code(net.act("s", id, report)), Code::StateConflict);
}

/// What a stranger sends to a member of `r`.
fn incoming() -> Envelope {
    let mut envelope = fixture::envelope(&[AT_R]);
    envelope.sender = party("35600000000048");
    envelope
}

fn come_in(
    state: Option<&Delivery>,
    envelope: &Envelope,
    system: &str,
) -> Result<crate::effect::Decision, Refusal> {
    let message = FromOutside {
        envelope,
        recipient_index: 0,
        system: system.to_owned(),
        findings: Vec::new(),
    };
    let ground = Ground::direct();
    let ctx = ground.at("r", fixture::T0);
    let input = Input::FromOutside(Box::new(message));
    decide(state, &Subject::of(envelope), input, &ctx)
}

#[test]
fn row_19_from_outside_it_is_consigned_and_nobody_vouches_for_its_sender() {
    let envelope = incoming();
    let came = come_in(None, &envelope, "lre.example.fr").unwrap();
    let drafts: Vec<_> = came.evidence.iter().map(|d| (d.event, d.reasons.clone())).collect();
    let f3 = (Event::ReceivedFromNonERDS, vec![Reason::Rf04]);
    assert_eq!(drafts, [f3, (Event::ContentConsignment, vec![Reason::Rd01])]);
    assert_eq!((came.next.phase, came.next.role), (Phase::Consigned, Role::Local));
    assert_eq!(came.next.outside.as_deref(), Some("lre.example.fr"), "the origin is marked");
    let subject = Subject::of(&envelope);
    let evidence = came.evidence[0].evidence(&node("r"), &subject, None);
    evidence.check().unwrap();
    assert_eq!(evidence.forwarded_to_external_system.as_deref(), Some("lre.example.fr"));
    assert!(evidence.sender_details.assurance_levels_details.is_none(), "I10 only of our own");
    let told =
        |e: &Effect| matches!(e, Effect::Notify { member, .. } if *member == envelope.sender);
    assert!(!came.effects.iter().any(told), "the stranger has no feed here");
    // Again: the same answer; another way: an incident.
    let again = come_in(Some(&came.next), &envelope, "lre.example.fr").unwrap();
    assert_eq!((again.answer, again.evidence.len()), (Some(came.evidence[0].id), 0));
    let other = come_in(Some(&came.next), &envelope, "other.example.fr");
    assert_eq!(other.unwrap_err().code, Code::DuplicateMismatch);
}

#[test]
fn row_19_a_member_of_the_network_cannot_come_from_outside() {
    let mut envelope = incoming();
    envelope.sender = fixture::sender();
    let refused = come_in(None, &envelope, "lre.example.fr");
    assert_eq!(refused.unwrap_err().code, Code::NotAuthorised);
    let mut envelope = incoming();
    envelope.recipients = vec![party(AT_S)];
    let refused = come_in(None, &envelope, "lre.example.fr");
    assert_eq!(refused.unwrap_err().code, Code::RecipientUnknown);
}

/// M04 iff F, I09 iff C/D/E, M05 iff B, over everything that these rows seal.
#[test]
fn every_family_has_its_components_and_no_other() {
    let (mut one, a) = consent();
    one.run();
    one.act("r", a, Input::NoticeFailed { repeatedly: false }).unwrap();
    one.act("r", a, Input::NoticeDelivered).unwrap();
    let (mut two, b) = direct();
    two.run();
    two.act("r", b, Input::RefuseType { by: party(AT_R), reason: None }).unwrap();
    let (mut three, c) = leaving();
    three.act("s", c, Input::Outside(Outside::Relayed)).unwrap();
    let nets = [one, two, three];
    let all = |net: &Net| -> Vec<Sealed> {
        net.sites.values().flat_map(|s| s.archive.values()).cloned().collect()
    };
    for sealed in nets.iter().flat_map(all) {
        let e = &sealed.evidence;
        let family = e.event().unwrap().family();
        assert_eq!(e.forwarded_to_external_system.is_some(), family == 'F', "M04 {family}");
        let about = matches!(family, 'C' | 'D' | 'E');
        assert_eq!(e.evidence_refers_to_recipient.is_some(), about, "I09 {family}");
        assert_eq!(e.external_erds_details.is_some(), family == 'B', "M05 {family}");
        e.check().unwrap();
    }
    nets.iter().for_each(Net::whole);
}
