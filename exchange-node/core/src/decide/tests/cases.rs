//! The special cases of `lifecycle.md`.

use super::*;
use crate::decide::Context;
use crate::decide::decide;
use crate::effect::Effect;
use crate::input::{Finding, Inbound};
use crate::sim::{Body, Frame, digest};
use crate::state::Role;
use schemas::evidence::Subject;
use schemas::status::BusinessStatus;
use schemas::time::HOUR;

/// The dispatch frame that node `s` puts on the wire.
fn dispatch_frame(net: &mut Net) -> Frame {
    net.publish("s", Fate::Confirmed);
    net.wire.remove(0)
}

/// What a dispatch to `r` leads to, with a change.
fn dispatched(
    change: impl FnOnce(&mut Net, &mut Inbound<'_>),
) -> Result<crate::effect::Decision, Refusal> {
    let (mut net, _) = direct();
    let Body::Dispatch { digest, acceptance, .. } = dispatch_frame(&mut net).body else {
        unreachable!("a dispatch comes first")
    };
    let envelope = net.envelope.clone();
    let mut inbound = Inbound {
        envelope: &envelope,
        recipient_index: 0,
        origin: node("s"),
        from: node("s"),
        hop: 0,
        dispatch: digest,
        acceptance: acceptance.map(|a| net.fact(&a)),
        relays: Vec::new(),
        findings: Vec::new(),
    };
    change(&mut net, &mut inbound);
    let ctx: Context<'_> = net.ground.at("r", net.now);
    decide(None, &Subject::of(&envelope), Input::Dispatched(Box::new(inbound)), &ctx)
}

fn finding(code: Code) -> Finding {
    Finding { code, detail: "found".into(), detail_fr: "trouvé".into() }
}

#[test]
fn duplicate_dispatch_gets_the_same_evidence_again() {
    for (mut net, id) in [direct(), chained()] {
        let frame = dispatch_frame(&mut net);
        net.receive(frame.clone(), Crash::Never);
        net.run();
        let to = frame.to.to_string();
        let before = net.delivery(&to, id).clone();
        net.receive(frame, Crash::Never);
        assert_eq!(*net.delivery(&to, id), before, "no new event");
        let site = &net.sites[&node(&to)];
        let all: Vec<_> =
            before.evidence.iter().filter(|h| h.event.family() != 'A').map(|h| h.id).collect();
        let again = Effect::SendEvidence { to: node("s"), evidence: all };
        assert_eq!(site.outbox, [(id, again)]);
        let sender = net.delivery("s", id).clone();
        net.run();
        assert_eq!(*net.delivery("s", id), sender, "known evidence changes nothing");
        net.whole();
    }
}

#[test]
fn the_same_message_with_other_bytes_is_an_incident_and_no_second_evidence() {
    let (mut net, id) = direct();
    let frame = dispatch_frame(&mut net);
    net.receive(frame.clone(), Crash::Never);
    let before = net.delivery("r", id).clone();
    let Body::Dispatch { recipient_index, hop, acceptance, .. } = frame.body else { panic!() };
    let envelope = net.envelope.clone();
    let inbound = Inbound {
        envelope: &envelope,
        recipient_index,
        origin: node("s"),
        from: node("s"),
        hop,
        dispatch: digest(b"other bytes"),
        acceptance: acceptance.map(|a| net.fact(&a)),
        relays: Vec::new(),
        findings: Vec::new(),
    };
    let ctx = net.ground.at("r", net.now);
    let input = Input::Dispatched(Box::new(inbound));
    let decision = decide(Some(&before), &Subject::of(&envelope), input, &ctx).unwrap();
    assert_eq!((&decision.next, decision.evidence.len()), (&before, 0));
    assert!(matches!(decision.effects.as_slice(), [Effect::Incident { .. }]));
}

#[test]
fn a_dispatch_that_comes_home_is_refused_without_evidence() {
    let (mut net, id) = direct();
    let frame = dispatch_frame(&mut net);
    let before = net.delivery("s", id).clone();
    net.receive(Frame { to: node("s"), ..frame }, Crash::Never);
    assert_eq!(net.refusals.last().unwrap().1.code, Code::DuplicateMismatch);
    assert_eq!(*net.delivery("s", id), before);
}

#[test]
fn every_finding_has_its_reason_and_offending_bytes_are_kept() {
    for (code, reason, incident) in [
        (Code::MalwareDetected, Reason::Rb03, true),
        (Code::SealInvalid, Reason::Rb04, true),
        (Code::CertificateInvalid, Reason::Rb05, true),
        (Code::TimestampOutOfRange, Reason::Rb06, false),
        (Code::DocumentCorrupted, Reason::Rb02, false),
        (Code::EnvelopeInvalid, Reason::Rb02, false),
        (Code::DuplicateMismatch, Reason::Rb02, false),
        (Code::DocumentTypeRefused, Reason::Rb06, false),
    ] {
        let decision = dispatched(|_, i| i.findings.push(finding(code))).unwrap();
        let b2 = &decision.evidence[0];
        assert_eq!(
            (b2.event, b2.reasons.as_slice()),
            (Event::RelayRejection, &[reason][..]),
            "{code}"
        );
        assert_eq!((b2.problem, b2.external.clone()), (Some(code), Some(node("s"))));
        assert_eq!(decision.evidence.len(), 1, "never forwarded, never consigned");
        let kept = decision.effects.iter().any(|e| matches!(e, Effect::Incident { .. }));
        assert_eq!(kept, incident, "{code}");
        assert_eq!((decision.next.phase, decision.next.next_due()), (Phase::RelayRejected, None));
    }
}

#[test]
fn a_fault_of_this_node_is_nobodys_refusal() {
    for code in [Code::Internal, Code::StoreUnavailable, Code::Overloaded] {
        let refused = dispatched(|_, i| i.findings.push(finding(code)));
        assert_eq!(refused.unwrap_err().code, code, "the frame comes back");
    }
}

#[test]
fn a_full_space_is_a_failed_consignment_and_no_refused_relay() {
    let decision = dispatched(|_, i| i.findings.push(finding(Code::RecipientQuota))).unwrap();
    let events: Vec<_> = decision.evidence.iter().map(|d| (d.event, d.reasons[0])).collect();
    assert_eq!(events, [B1, d2(Reason::Rd04)]);
    assert!(decision.effects.contains(&Effect::EraseContent));
}

#[test]
fn what_the_receiving_node_refuses_by_its_own_rules() {
    type Change = fn(&mut Net, &mut Inbound<'_>);
    let cases: [(Change, Code, Reason); 10] = [
        (|_, i| i.acceptance = None, Code::EnvelopeInvalid, Reason::Rb02),
        (
            |_, i| i.acceptance.as_mut().unwrap().same_content = false,
            Code::EnvelopeInvalid,
            Reason::Rb02,
        ),
        (
            |_, i| i.acceptance.as_mut().unwrap().issuer = node("r"),
            Code::EnvelopeInvalid,
            Reason::Rb02,
        ),
        (|n, _| n.now = n.now.plus(-HOUR), Code::TimestampOutOfRange, Reason::Rb06),
        (|_, i| i.recipient_index = 7, Code::EnvelopeInvalid, Reason::Rb02),
        (
            |n, _| n.ground.change_list("r", |l| l.members.clear()),
            Code::RecipientUnknown,
            Reason::Rb21,
        ),
        (
            |n, _| {
                n.ground.change_member(AT_R, |m| {
                    m.standing = schemas::directory::Standing::Suspended;
                });
            },
            Code::RecipientNotActive,
            Reason::Rb21,
        ),
        (|n, _| n.ground.catalogue.processes.clear(), Code::ProcessUnknown, Reason::Rb06),
        (
            |n, _| n.ground.change_list("s", |l| l.members.clear()),
            Code::NotAuthorised,
            Reason::Rb06,
        ),
        (
            |n, _| n.ground.catalogue.processes[0].max_document_size = 1,
            Code::DocumentTooLarge,
            Reason::Rb06,
        ),
    ];
    for (change, code, reason) in cases {
        let decision = dispatched(change).unwrap();
        let b2 = &decision.evidence[0];
        assert_eq!((b2.event, b2.problem), (Event::RelayRejection, Some(code)));
        assert_eq!(b2.reasons, [reason], "{code}");
    }
}

#[test]
fn a_relay_never_sends_back_nor_for_ever() {
    let (mut net, id) = chained();
    let Frame { from, to, body } = dispatch_frame(&mut net);
    let Body::Dispatch { recipient_index, digest, acceptance, .. } = body else { panic!() };
    let hop = net.ground.policy.max_hops - 1;
    let body = Body::Dispatch { recipient_index, digest, acceptance, hop, relays: Vec::new() };
    net.receive(Frame { from, to, body }, Crash::Never);
    assert_eq!(net.story("h", id), said(&[A1, b2(Reason::Rb06)]));

    // The member list says that the recipient lives where the dispatch came from.
    let (mut net, id) = chained();
    let frame = dispatch_frame(&mut net);
    net.ground.change_list("r", |l| l.members.retain(|m| m.party.id != AT_R));
    let entry = net.ground.lists[0].members[0].clone();
    net.ground.change_list("s", |l| {
        l.members.push(schemas::directory::MemberEntry { party: party(AT_R), ..entry });
    });
    net.receive(frame, Crash::Never);
    assert_eq!(net.story("h", id), said(&[A1, b2(Reason::Rb06)]));
}

#[test]
fn a_crash_before_the_commit_leaves_nothing_and_after_it_the_same_evidence() {
    for crash in [Crash::Before, Crash::After] {
        let (mut net, id) = chained();
        net.publish("s", Fate::Killed);
        net.deliver(0, crash);
        assert_eq!(net.at("h", id).is_some(), crash == Crash::After);
        net.run();
        net.acknowledge("r", id).unwrap();
        net.run();
        assert_eq!(net.phase("s", id), Phase::HandedOver);
        assert_eq!(net.story("s", id), said(&[A1, B1, B1, D1, E1]));
        net.whole();
    }
}

#[test]
fn a_relay_that_comes_back_after_its_time_says_so_to_the_sender() {
    let (mut net, id) = chained();
    net.publish("s", Fate::Confirmed);
    net.deliver(0, Crash::Never);
    net.publish("h", Fate::Failed);
    // H publishes its B.1 at last, not its dispatch; S hears of custody, then of nothing.
    net.sites
        .get_mut(&node("h"))
        .unwrap()
        .outbox
        .retain(|(_, e)| !matches!(e, Effect::SendDispatch { .. }));
    net.publish("h", Fate::Confirmed);
    net.hand_over_all();
    assert_eq!(net.delivery("s", id).custodian, node("h"));
    net.advance(24 * HOUR);
    assert_eq!(net.phase("h", id), Phase::Unconfirmed);
    assert_eq!(net.phase("s", id), Phase::Unconfirmed);
    // What H sent again meanwhile does not go out either.
    let outbox = &mut net.sites.get_mut(&node("h")).unwrap().outbox;
    outbox.retain(|(_, e)| !matches!(e, Effect::SendDispatch { .. }));
    net.run();
    assert_eq!(
        net.story("s", id),
        said(&[A1, B1, d2(Reason::Rd03), b3(Reason::Rb22), b3(Reason::Rb22)])
    );
    // An operator redrives at H: everything comes right.
    net.act("h", id, Input::Redrive).unwrap();
    net.run();
    assert_eq!(net.phase("s", id), Phase::Consigned);
    net.whole();
}

#[test]
fn late_acceptance_after_a_publication_that_nobody_knew_of() {
    let (mut net, id) = direct();
    net.publish("s", Fate::Killed);
    net.advance(24 * HOUR);
    assert_eq!(net.story("s", id), said(&[A1, b3(Reason::Rb09)]));
    assert_eq!(net.phase("s", id), Phase::RelayFailed);
    net.run();
    assert_eq!(
        net.phase("s", id),
        Phase::Consigned,
        "a sealed fact outweighs a failure by silence"
    );
    net.whole();
}

#[test]
fn a_relay_hands_on_again_what_was_lost_behind_it() {
    let (mut net, id) = chained();
    for at in ["s", "h", "r"] {
        net.publish(at, Fate::Confirmed);
        net.hand_over_all();
    }
    // B.1 and D.1 of R, on their way from H to S.
    net.publish("h", Fate::Confirmed);
    net.wire.clear();
    net.acknowledge("r", id).unwrap();
    net.run();
    let without = said(&[A1, B1, E1]);
    assert_eq!((net.phase("s", id), net.story("s", id)), (Phase::HandedOver, without.clone()));
    // What R sends again, H knows.
    net.act("r", id, Input::Redrive).unwrap();
    net.run();
    assert_eq!(net.story("s", id), without);
    net.act("h", id, Input::Redrive).unwrap();
    net.run();
    assert_eq!(net.story("s", id), said(&[A1, B1, E1, B1, D1]));
    net.whole();
}

#[test]
fn redrive_where_it_can_help_and_nowhere_else() {
    let (mut net, id) = direct();
    net.publish("s", Fate::Confirmed);
    net.wire.clear();
    net.act("s", id, Input::Redrive).unwrap();
    net.run();
    assert_eq!(net.phase("s", id), Phase::Consigned);
    // Again, for a recipient's node that may have lost it: this one has not, and answers the same.
    let story = net.story("s", id);
    net.act("s", id, Input::Redrive).unwrap();
    net.run();
    assert_eq!((net.phase("s", id), net.story("s", id)), (Phase::Consigned, story));
    net.act("r", id, Input::Acknowledge { by: party(AT_R) }).unwrap();
    net.run();
    assert_eq!(code(net.act("s", id, Input::Redrive)), Code::StateConflict);
    // At the recipient's node the evidence goes out again.
    net.act("r", id, Input::Redrive).unwrap();
    assert_eq!(net.sites[&node("r")].outbox.len(), 1);
    net.run();
    net.whole();
}

#[test]
fn reports_about_a_dispatch_whose_fate_is_known_change_nothing() {
    let (mut net, id) = direct();
    net.run();
    let before = net.delivery("s", id).clone();
    for input in [
        Input::Sent,
        Input::Unroutable,
        Input::SendFailed,
        Input::Attempted,
        Input::Continue,
        Input::Due,
    ] {
        net.act("s", id, input).unwrap();
        assert_eq!(*net.delivery("s", id), before);
    }
}

#[test]
fn nobody_else_acts_for_the_recipient() {
    let (mut net, id) = consent();
    net.run();
    let by = other;
    for input in [
        Input::Acknowledge { by: by() },
        Input::Accept { by: by() },
        Input::Refuse { by: by(), reason: None },
        Input::SetStatus { by: by(), status: BusinessStatus::Done },
        Input::StatusReceived { by: by(), status: BusinessStatus::Done },
    ] {
        assert_eq!(code(net.act("r", id, input)), Code::NotAuthorised);
    }
    // Not even the recipient, at another node than its own.
    assert_eq!(code(net.act("s", id, Input::Accept { by: party(AT_R) })), Code::NotAuthorised);
    let forged = Input::StatusReceived { by: party(AT_R), status: BusinessStatus::Done };
    assert_eq!(code(net.act("r", id, forged)), Code::NotAuthorised, "not from the backbone");
    let wrong_side = Input::SetStatus { by: fixture::sender(), status: BusinessStatus::Done };
    assert_eq!(code(net.act("s", id, wrong_side)), Code::NotAuthorised);
}

#[test]
fn repeats_of_the_recipients_acts_get_the_first_answer() {
    for refuse in [false, true] {
        let (mut net, id) = consent();
        net.run();
        let input = || match refuse {
            true => Input::Refuse { by: party(AT_R), reason: None },
            false => Input::Accept { by: party(AT_R) },
        };
        let opposite = match refuse {
            true => Input::Accept { by: party(AT_R) },
            false => Input::Refuse { by: party(AT_R), reason: None },
        };
        let first = net.input(&node("r"), id, input(), &[], Crash::Never).unwrap();
        assert!(first.is_some());
        assert_eq!(net.input(&node("r"), id, input(), &[], Crash::Never).unwrap(), first);
        assert_eq!(code(net.act("r", id, opposite)), Code::StateConflict);
        net.whole();
    }
}

#[test]
fn a_successor_takes_for_its_predecessor_as_a_delegate() {
    let mut ground = Ground::direct();
    ground.change_member(AT_R, |m| {
        m.standing = schemas::directory::Standing::Closed;
        m.successor = Some(other());
    });
    let (mut net, id) = net(ground, AT_R, |_| {});
    net.run();
    assert_eq!(net.story("s", id), said(&[A1, B1, (Event::ContentConsignment, Reason::Rd02)]));
    net.act("r", id, Input::Acknowledge { by: other() }).unwrap();
    net.run();
    assert_eq!(net.story("s", id).last(), Some(&(Event::ContentHandover, Some(Reason::Re02))));
    net.whole();
}

#[test]
fn a_delivery_that_nobody_knows_is_not_found() {
    let (net, id) = direct();
    let envelope = net.envelope.clone();
    let ctx = net.ground.at("r", net.now);
    let by = party(AT_R);
    for input in [Input::Sent, Input::Due, Input::Continue, Input::Acknowledge { by }] {
        let refused = decide(None, &Subject::of(&envelope), input, &ctx);
        assert_eq!(refused.unwrap_err().code, Code::NotFound);
    }
    assert_eq!(net.delivery("s", id).role, Role::Sender);
}
