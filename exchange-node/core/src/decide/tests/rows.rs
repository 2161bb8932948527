//! Rows 4 to 17, in their order.

use super::*;
use crate::deadline;
use crate::effect::{Effect, Notice};
use crate::state::Role;
use crate::working_days::Territory;
use schemas::catalogue::Span;
use schemas::status::BusinessStatus;
use schemas::time::{DAY, HOUR, MINUTE};

#[test]
fn row_04_a_published_dispatch_is_relaying_and_leaves_no_evidence() {
    let (mut net, id) = direct();
    net.publish("s", Fate::Confirmed);
    let d = net.delivery("s", id);
    assert_eq!((d.phase, d.attempts, d.custodian.as_str()), (Phase::Relaying, 1, "s"));
    assert_eq!((d.timers.relay_send, d.timers.retry), (None, None));
    assert_eq!(d.timers.relay_ack, Some(net.now.plus(DAY)));
    assert_eq!(net.story("s", id), said(&[A1]));
    net.whole();
}

#[test]
fn row_04_failed_attempts_double_their_wait_and_never_stop_before_the_time_to_send() {
    let (mut net, id) = direct();
    net.sites.get_mut(&node("s")).unwrap().outbox.clear();
    let mut waits = Vec::new();
    for _ in 0..10 {
        net.act("s", id, Input::SendFailed).unwrap();
        let again = net.delivery("s", id).timers.retry.unwrap();
        waits.push(again.since(net.now) / MINUTE);
        net.until(again);
        let outbox = &mut net.sites.get_mut(&node("s")).unwrap().outbox;
        assert_eq!(outbox.pop().unwrap().1, Effect::SendDispatch { to: node("r") });
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30, 120, 120]);
    assert_eq!(net.phase("s", id), Phase::Accepted);
    net.whole();
}

#[test]
fn row_08_and_09_after_an_attempt_of_unknown_end_no_proof_says_that_nothing_was_sent() {
    let (mut net, id) = direct();
    net.sites.get_mut(&node("s")).unwrap().outbox.clear();
    net.act("s", id, Input::Attempted).unwrap();
    let d = net.delivery("s", id);
    assert_eq!((d.phase, d.timers.relay_ack), (Phase::Accepted, d.timers.relay_send));
    let end = d.timers.relay_send.unwrap();
    net.until(end);
    assert_eq!(net.story("s", id), said(&[A1, b3(Reason::Rb22)]));
    assert_eq!(net.phase("s", id), Phase::Unconfirmed);
}

#[test]
fn row_05_an_unroutable_frame_is_a_relay_failure() {
    let (mut net, id) = direct();
    net.publish("s", Fate::Unroutable);
    assert_eq!(net.story("s", id), said(&[A1, b3(Reason::Rb08)]));
    assert_eq!(net.phase("s", id), Phase::RelayFailed);
    assert_eq!(net.delivery("s", id).next_due(), None);
    let told = &net.sites[&node("s")].told;
    assert!(told.iter().any(|(m, w)| *m == fixture::sender()
        && matches!(w, Notice::Evidence { event: Event::RelayFailure, .. })));
    let b3 = &net.all(Event::RelayFailure)[0].evidence;
    assert_eq!(b3.external(), Some(node("r")));
    assert_eq!(b3.event_reasons.as_ref().unwrap().event_reason[0].details[1], "node-unreachable");
    net.whole();
}

#[test]
fn row_06_and_13_direct_relay_and_consignment_in_one_decision() {
    let (mut net, id) = direct();
    net.run();
    assert_eq!(net.story("r", id), said(&[A1, B1, D1]));
    assert_eq!(net.story("s", id), said(&[A1, B1, D1]));
    assert_eq!((net.phase("s", id), net.phase("r", id)), (Phase::Consigned, Phase::Consigned));
    let b1 = net.all(Event::RelayAcceptance)[0].clone();
    let d1 = &net.all(Event::ContentConsignment)[0].evidence;
    let a1 = net.all(Event::SubmissionAcceptance)[0].digest;
    assert_eq!(b1.evidence.external(), Some(node("s")));
    assert_eq!(b1.evidence.extension().unwrap().state, "relayed");
    assert_eq!(b1.evidence.extension().unwrap().previous_evidence_digest, Some(a1));
    let link = d1.extension().unwrap();
    assert_eq!((link.previous_evidence_digest, link.hop), (Some(b1.digest), 1));
    assert_eq!((link.state.as_str(), d1.evidence_refers_to_recipient), ("consigned", Some(1)));
    assert_eq!(net.delivery("s", id).custodian, node("r"));
    assert_eq!(net.delivery("r", id).role, Role::Recipient);
    // 30 days, counted from the day after, in French legal time.
    let handover = "2026-12-23T23:00:00Z".parse().unwrap();
    assert_eq!(net.delivery("r", id).timers.handover, Some(handover));
    assert_eq!(net.delivery("s", id).next_due(), Some(handover));
    assert!(net.sites[&node("r")].told.contains(&(party(AT_R), Notice::Available)));
    net.whole();
}

#[test]
fn row_06_a_relay_takes_custody_and_sends_on() {
    let (mut net, id) = chained();
    net.publish("s", Fate::Confirmed);
    net.deliver(0, Crash::Never);
    let h = net.delivery("h", id);
    assert_eq!((h.role, h.phase, h.hop), (Role::Relay, Phase::Accepted, 1));
    assert_eq!((h.previous_hop.clone(), h.next_hop.clone()), (Some(node("s")), Some(node("r"))));
    assert_eq!(h.timers.relay_send, Some(net.now.plus(DAY)));
    net.run();
    assert_eq!(net.story("h", id), said(&[A1, B1, B1, D1]));
    assert_eq!(net.story("s", id), said(&[A1, B1, B1, D1]));
    let custodians = ["s", "h", "r"].map(|n| net.delivery(n, id).custodian.to_string());
    assert_eq!(custodians, ["r", "r", "r"]);
    assert!(!net.sites[&node("h")].content.contains(&id), "a relay keeps nothing");
    net.acknowledge("r", id).unwrap();
    net.run();
    for at in ["s", "h", "r"] {
        assert_eq!(net.phase(at, id), Phase::HandedOver, "{at}");
    }
    net.whole();
}

#[test]
fn row_07_and_08_a_refusal_at_the_next_node_fails_the_relay_at_once_with_the_same_reason() {
    let (mut net, id) = direct();
    net.ground.change_member(AT_R, |m| m.processes.clear());
    net.run();
    assert_eq!(net.story("r", id), said(&[A1, b2(Reason::Rb21)]));
    assert_eq!(net.story("s", id), said(&[A1, b2(Reason::Rb21), b3(Reason::Rb21)]));
    assert_eq!(net.phase("r", id), Phase::RelayRejected);
    assert_eq!(net.phase("s", id), Phase::RelayFailed);
    assert_eq!(net.delivery("s", id).custodian, node("s"));
    net.whole();
}

#[test]
fn row_08_a_relay_passes_the_refusal_on_and_the_senders_node_says_it_again() {
    let (mut net, id) = chained();
    net.ground.change_member(AT_R, |m| m.processes.clear());
    net.run();
    let failed = [A1, B1, b2(Reason::Rb21), b3(Reason::Rb21)];
    assert_eq!(net.story("h", id), said(&failed));
    assert_eq!(net.phase("h", id), Phase::RelayFailed);
    assert!(!net.sites[&node("h")].content.contains(&id));
    let mut all = failed.to_vec();
    all.push(b3(Reason::Rb21));
    assert_eq!(net.story("s", id), said(&all));
    assert_eq!(net.phase("s", id), Phase::RelayFailed);
    net.whole();
}

#[test]
fn row_08_nothing_was_published_in_the_time_to_send() {
    let (mut net, id) = direct();
    net.advance(DAY);
    assert_eq!(net.story("s", id), said(&[A1, b3(Reason::Rb09)]));
    assert_eq!(net.phase("s", id), Phase::RelayFailed);
    // What is still in the outbox stays there.
    net.publish("s", Fate::Confirmed);
    assert!(net.wire.is_empty());
    net.whole();
}

#[test]
fn row_08_and_09_an_attempt_that_may_have_arrived_is_unconfirmed_and_not_failed() {
    let (mut net, id) = direct();
    net.publish("s", Fate::Failed);
    net.advance(DAY);
    assert_eq!(net.story("s", id), said(&[A1, b3(Reason::Rb22)]));
    assert_eq!(net.phase("s", id), Phase::Unconfirmed);
    assert!(net.delivery("s", id).next_due().is_some());
    net.whole();
}

#[test]
fn row_08_the_message_ends_before_it_could_be_sent() {
    let (mut net, id) = net(Ground::direct(), AT_R, |e| {
        e.requested.expires_at = Some(fixture::T0.plus(HOUR));
    });
    net.advance(HOUR);
    assert_eq!(net.story("s", id), said(&[A1, b3(Reason::Rb09)]));
    let b3 = &net.all(Event::RelayFailure)[0].evidence;
    assert_eq!(b3.event_reasons.as_ref().unwrap().event_reason[0].details[1], "expired");
    net.whole();
}

#[test]
fn row_09_and_15_no_answer_is_no_information() {
    let (mut net, id) = direct();
    net.advance(HOUR);
    net.publish("s", Fate::Confirmed);
    net.wire.clear();
    net.until(fixture::T0.plus(DAY));
    assert_eq!(net.story("s", id), said(&[A1, d2(Reason::Rd03)]));
    assert_eq!(net.phase("s", id), Phase::Unconfirmed);
    net.advance(HOUR);
    assert_eq!(net.story("s", id), said(&[A1, d2(Reason::Rd03), b3(Reason::Rb22)]));
    assert_eq!(net.delivery("s", id).custodian, node("s"), "S stays accountable");
    let due = net.delivery("s", id).next_due().unwrap();
    net.until(due);
    assert!(net.delivery("s", id).next_due().unwrap() > due, "it goes on listening");
    net.whole();
}

#[test]
fn row_10_late_positive_evidence_is_a_fact() {
    let (mut net, id) = direct();
    net.publish("s", Fate::Confirmed);
    net.advance(DAY);
    assert_eq!(net.phase("s", id), Phase::Unconfirmed);
    net.run();
    assert_eq!(net.phase("s", id), Phase::Consigned);
    net.acknowledge("r", id).unwrap();
    net.run();
    assert_eq!(net.phase("s", id), Phase::HandedOver);
    let told = net.sites[&node("s")].told.iter();
    let handed_over =
        |w: &Notice| matches!(w, Notice::Evidence { event: Event::ContentHandover, .. });
    assert!(told.clone().any(|(_, w)| handed_over(w)));
    net.whole();
}

#[test]
fn row_10_a_late_relay_acceptance_alone_starts_the_time_to_consign_anew() {
    let deadline = |e: &mut Envelope| e.requested.not_before = Some(fixture::T0.plus(10 * DAY));
    let (mut net, id) = net(Ground::direct(), AT_R, deadline);
    net.publish("s", Fate::Confirmed);
    net.advance(DAY);
    assert_eq!(net.story("s", id), said(&[A1, b3(Reason::Rb22)]));
    net.run();
    assert_eq!(net.phase("s", id), Phase::Relayed);
    assert_eq!(net.delivery("s", id).timers.consign, Some(net.now.plus(DAY)));
    net.advance(DAY);
    assert_eq!(net.phase("s", id), Phase::Unconfirmed);
    net.until(fixture::T0.plus(10 * DAY));
    net.run();
    assert_eq!(net.phase("s", id), Phase::Consigned);
    net.whole();
}

/// (a10) Good Friday and 26 December are holidays in Strasbourg, and not at the sender's.
#[test]
fn working_days_are_those_of_the_recipient_at_both_ends() {
    let mut ground = Ground::direct();
    ground.change_member(AT_R, |m| m.cog = Some("67482".parse().unwrap()));
    let span = Span::WorkingDays(90);
    for process in &mut ground.catalogue.processes {
        process.deadlines.consign = span;
        process.deadlines.relay_ack = span;
        process.deadlines.handover = span;
    }
    let (mut net, id) = net(ground, AT_R, |_| {});
    let there = deadline::after(fixture::T0, span, Territory::AlsaceMoselle);
    assert_ne!(there, deadline::after(fixture::T0, span, Territory::Metropole));
    assert_eq!(net.delivery("s", id).timers.consign, Some(there));
    net.publish("s", Fate::Confirmed);
    assert_eq!(net.delivery("s", id).timers.relay_ack, Some(there));
    net.run();
    assert_eq!(net.delivery("r", id).timers.handover, Some(there));
    assert_eq!(net.delivery("s", id).timers.handover, Some(there));
    net.whole();
}

#[test]
fn row_11_and_12a_consent_is_asked_for_and_given() {
    let (mut net, id) = consent();
    net.run();
    assert_eq!(net.story("r", id), said(&[A1, B1, C1]));
    assert_eq!(net.phase("s", id), Phase::AwaitingAcceptance);
    // CPCE R.53-3: 15 days from the day after the notice (23 November 2026).
    let end = "2026-12-08T23:00:00Z".parse().unwrap();
    assert_eq!(net.delivery("r", id).timers.acceptance, Some(end));
    assert_eq!(net.delivery("s", id).timers.consign, None, "C evidence stops the time to consign");
    assert_eq!(code(net.acknowledge("r", id)), Code::StateConflict);
    net.act("r", id, Input::Accept { by: party(AT_R) }).unwrap();
    net.run();
    assert_eq!(net.story("s", id), said(&[A1, B1, C1, C3, D1]));
    assert_eq!(net.phase("s", id), Phase::Consigned);
    let c3 = &net.all(Event::ConsignmentAcceptance)[0].evidence;
    assert!(c3.recipient_details[0].assurance_levels_details.is_some(), "I12");
    net.whole();
}

#[test]
fn row_12b_the_recipient_refuses_in_its_own_words() {
    let (mut net, id) = consent();
    net.run();
    let reason = Some("Pas pour nous".to_owned());
    net.act("r", id, Input::Refuse { by: party(AT_R), reason }).unwrap();
    assert!(!net.sites[&node("r")].content.contains(&id), "the content is erased");
    net.run();
    assert_eq!(net.story("s", id), said(&[A1, B1, C1, C4]));
    assert_eq!((net.phase("s", id), net.phase("r", id)), (Phase::Refused, Phase::Refused));
    let c4 = &net.all(Event::ConsignmentRejection)[0].evidence;
    assert_eq!(c4.event_reasons.as_ref().unwrap().event_reason[0].details[1], "Pas pour nous");
    net.whole();
}

#[test]
fn row_12c_neither_accepted_nor_refused_in_time() {
    let (mut net, id) = consent();
    net.run();
    let end: Timestamp = "2026-12-08T23:00:00Z".parse().unwrap();
    net.until(end.plus(-1));
    assert_eq!(net.phase("r", id), Phase::AwaitingAcceptance);
    net.until(end);
    assert_eq!(net.story("r", id), said(&[A1, B1, C1, C5]));
    assert!(!net.sites[&node("r")].content.contains(&id));
    assert_eq!(code(net.act("r", id, Input::Accept { by: party(AT_R) })), Code::Expired);
    net.run();
    assert_eq!(net.phase("s", id), Phase::Expired);
    net.whole();
}

#[test]
fn row_13_not_before_the_time_that_the_sender_set() {
    let at = fixture::T0.plus(3 * HOUR);
    let (mut net, id) = net(Ground::direct(), AT_R, |e| e.requested.not_before = Some(at));
    net.run();
    assert_eq!((net.phase("r", id), net.phase("s", id)), (Phase::Relayed, Phase::Relayed));
    assert_eq!(net.delivery("r", id).next_due(), Some(at));
    net.until(at);
    net.run();
    assert_eq!(net.phase("s", id), Phase::Consigned);
    net.whole();
}

#[test]
fn row_13_where_sender_and_recipient_share_a_node() {
    let (mut net, id) = local();
    net.run();
    assert_eq!(net.story("s", id), said(&[A1, D1]));
    let told: Vec<_> = net.sites[&node("s")].told.iter().map(|(_, w)| w.clone()).collect();
    assert!(told.contains(&Notice::Available));
    net.acknowledge("s", id).unwrap();
    assert_eq!(net.story("s", id), said(&[A1, D1, E1]));
    assert_eq!(net.phase("s", id), Phase::HandedOver);
    net.whole();
}

#[test]
fn row_13_here_even_when_the_wake_is_lost() {
    let (mut net, id) = local();
    net.sites.get_mut(&node("s")).unwrap().outbox.clear();
    net.advance(0);
    assert_eq!(net.phase("s", id), Phase::Consigned);
    net.whole();
}

#[test]
fn row_14_the_message_ended_on_the_way() {
    let end = fixture::T0.plus(HOUR);
    let (mut net, id) = net(Ground::direct(), AT_R, |e| e.requested.expires_at = Some(end));
    net.publish("s", Fate::Confirmed);
    net.advance(HOUR);
    net.run();
    assert_eq!(net.story("s", id), said(&[A1, B1, d2(Reason::Rd03)]));
    assert_eq!(
        (net.phase("s", id), net.phase("r", id)),
        (Phase::ConsignFailed, Phase::ConsignFailed)
    );
    net.whole();
}

#[test]
fn row_14_the_recipient_left_while_the_message_waited() {
    let at = fixture::T0.plus(3 * HOUR);
    let (mut net, id) = net(Ground::direct(), AT_R, |e| e.requested.not_before = Some(at));
    net.run();
    net.ground.change_member(AT_R, |m| m.standing = schemas::directory::Standing::Closed);
    net.until(at);
    net.run();
    assert_eq!(net.story("s", id), said(&[A1, B1, d2(Reason::Rd21)]));
    assert_eq!(net.phase("s", id), Phase::ConsignFailed);
    net.whole();
}

#[test]
fn row_15_warned_at_half_time_then_no_information() {
    let (mut net, id) = direct();
    net.publish("s", Fate::Confirmed);
    net.wire.clear();
    net.advance(12 * HOUR);
    let late = (fixture::sender(), Notice::Late);
    assert!(net.sites[&node("s")].told.contains(&late));
    // The same bytes go out once more: a lost frame is no end.
    assert_eq!(net.sites[&node("s")].outbox.len(), 1);
    net.run();
    assert_eq!(net.phase("s", id), Phase::Consigned);
    net.whole();
}

#[test]
fn row_16_handed_over_once_and_the_same_answer_ever_after() {
    let (mut net, id) = direct();
    net.run();
    let by = || Input::Acknowledge { by: party(AT_R) };
    let first = net.input(&node("r"), id, by(), &[], Crash::Never).unwrap().unwrap();
    let state = net.delivery("r", id).clone();
    let again = net.input(&node("r"), id, by(), &[], Crash::Never).unwrap().unwrap();
    assert_eq!((first, &state), (again, net.delivery("r", id)));
    assert_eq!(code(net.act("r", id, Input::Acknowledge { by: other() })), Code::NotAuthorised);
    net.run();
    assert_eq!(net.story("s", id), said(&[A1, B1, D1, E1]));
    assert_eq!(net.delivery("s", id).next_due(), None);
    net.whole();
}

#[test]
fn row_17_not_collected_in_time() {
    let (mut net, id) = direct();
    net.run();
    let end: Timestamp = "2026-12-23T23:00:00Z".parse().unwrap();
    net.now = end;
    assert_eq!(code(net.acknowledge("r", id)), Code::Expired, "before the timer is looked at");
    net.advance(0);
    net.run();
    assert_eq!(net.story("s", id), said(&[A1, B1, D1, e2(Reason::Re04)]));
    assert_eq!(
        (net.phase("r", id), net.phase("s", id)),
        (Phase::HandoverFailed, Phase::HandoverFailed)
    );
    assert_eq!(code(net.acknowledge("r", id)), Code::Expired);
    assert!(net.sites[&node("r")].content.contains(&id), "kept as the policy says");
    net.whole();
}

#[test]
fn row_17_the_message_ends_in_the_recipients_space() {
    let end = fixture::T0.plus(2 * DAY);
    let (mut net, id) = net(Ground::direct(), AT_R, |e| e.requested.expires_at = Some(end));
    net.run();
    net.until(end);
    assert_eq!(net.phase("r", id), Phase::HandoverFailed);
    assert!(!net.sites[&node("r")].content.contains(&id), "past MD03 it is erased");
    net.run();
    assert_eq!(net.phase("s", id), Phase::HandoverFailed);
    net.whole();
}

#[test]
fn business_status_goes_both_ways_after_the_handover() {
    for (mut net, id, recipient_at) in [direct(), chained(), local()]
        .into_iter()
        .zip(["r", "r", "s"])
        .map(|((net, id), at)| (net, id, at))
    {
        net.run();
        let recipient = net.envelope.recipients[0].clone();
        let set = |status| Input::SetStatus { by: recipient.clone(), status };
        let close = |status| Input::SetStatus { by: fixture::sender(), status };
        let early = net.act(recipient_at, id, set(BusinessStatus::InProgress));
        assert_eq!(code(early), Code::StateConflict);
        net.acknowledge(recipient_at, id).unwrap();
        net.run();
        net.act(recipient_at, id, set(BusinessStatus::InProgress)).unwrap();
        net.run();
        assert_eq!(net.delivery("s", id).business, Some(BusinessStatus::InProgress));
        net.act(recipient_at, id, set(BusinessStatus::Done)).unwrap();
        net.run();
        net.act("s", id, close(BusinessStatus::Closed)).unwrap();
        net.run();
        assert_eq!(net.delivery(recipient_at, id).business, Some(BusinessStatus::Closed));
        let late = net.act(recipient_at, id, set(BusinessStatus::InProgress));
        assert_eq!(code(late), Code::StateConflict);
        net.act("s", id, close(BusinessStatus::Reopened)).unwrap();
        net.run();
        net.act(recipient_at, id, set(BusinessStatus::AddAwaiting)).unwrap();
        net.run();
        for site in net.sites.values() {
            let all = site.deliveries.values().map(|d| (d.business, d.phase));
            all.for_each(|d| assert_eq!(d, (Some(BusinessStatus::AddAwaiting), Phase::HandedOver)));
        }
        net.whole();
    }
}
