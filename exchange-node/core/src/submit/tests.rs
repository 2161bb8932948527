//! Rows 1, 2, 3 and 5.

use super::*;
use crate::fixture::{self, Ground};
use schemas::envelope::Consignment;
use schemas::problem::Fault;
use schemas::time::{DAY, HOUR, MINUTE};

fn outcome(
    ground: &Ground,
    change: impl FnOnce(&mut Submission<'_>, &mut Envelope),
) -> Result<Accepted, Box<Rejected>> {
    let mut envelope = fixture::envelope(&[fixture::AT_R]);
    let blank = envelope.clone();
    let mut s = Submission { envelope: &blank, findings: Vec::new(), unanchored_age: 0 };
    change(&mut s, &mut envelope);
    let s = Submission { envelope: &envelope, ..s };
    submit(&s, &ground.at("s", fixture::T0))
}

fn refused(ground: &Ground, change: impl FnOnce(&mut Submission<'_>, &mut Envelope)) -> Rejected {
    *outcome(ground, change).expect_err("must be refused")
}

#[test]
fn row_02_acceptance_of_a_submission() {
    let ground = Ground::direct();
    let accepted = outcome(&ground, |_, _| {}).unwrap();
    let a1 = &accepted.evidence;
    assert_eq!(
        (a1.event, a1.reasons.as_slice()),
        (Event::SubmissionAcceptance, &[Reason::Ra01][..])
    );
    assert_eq!((a1.delivery, a1.recipient_index, a1.hop), (None, None, 0));
    let (delivery, effects) = &accepted.deliveries[0];
    assert_eq!((delivery.phase, delivery.role), (Phase::Accepted, Role::Sender));
    assert_eq!(delivery.custodian, fixture::node("s"));
    assert_eq!(delivery.timers.relay_send, Some(fixture::T0.plus(DAY)));
    assert_eq!(delivery.timers.consign, Some(fixture::T0.plus(DAY)));
    assert_eq!(delivery.timers.consign_warning, Some(fixture::T0.plus(12 * HOUR)));
    assert_eq!(effects[0], Effect::SendDispatch { to: fixture::node("r") });
    assert!(matches!(&effects[1], Effect::Notify { member, .. } if *member == fixture::sender()));
    assert_eq!(effects.len(), 2);
}

#[test]
fn row_02_one_evidence_for_many_recipients_here_and_elsewhere() {
    let ground = Ground::direct();
    let envelope = fixture::envelope(&[fixture::AT_R, fixture::AT_S]);
    let s = Submission { envelope: &envelope, findings: Vec::new(), unanchored_age: 0 };
    let accepted = submit(&s, &ground.at("s", fixture::T0)).unwrap();
    let roles: Vec<_> = accepted.deliveries.iter().map(|(d, _)| d.role).collect();
    assert_eq!(roles, [Role::Sender, Role::Local]);
    assert_eq!(accepted.deliveries[1].1, [Effect::Continue]);
    for (delivery, _) in &accepted.deliveries {
        assert_eq!(delivery.evidence[0].id, accepted.evidence.id);
        assert!(delivery.next_due().is_some());
    }
}

#[test]
fn nothing_is_late_before_the_time_that_the_sender_asked_for() {
    let later = fixture::T0.plus(10 * DAY);
    let accepted = outcome(&Ground::direct(), |_, e| e.requested.not_before = Some(later)).unwrap();
    let timers = &accepted.deliveries[0].0.timers;
    assert_eq!(timers.consign, Some(later.plus(DAY)));
    assert_eq!(timers.relay_send, Some(fixture::T0.plus(DAY)));
}

#[test]
fn the_mode_of_consignment_is_fixed_at_submission() {
    let accepted = outcome(&Ground::direct(), |_, e| {
        e.requested.consignment = Consignment::Consent;
    });
    assert_eq!(accepted.unwrap().deliveries[0].0.consignment, Consignment::Consent);
}

#[test]
fn row_03_every_refusal_has_its_code_and_a_rejection_that_proves_it() {
    type Change = fn(&mut Submission<'_>, &mut Envelope);
    let cases: [(Change, Code, Reason); 13] = [
        (|_, e| e.version = 9, Code::EnvelopeInvalid, Reason::Ra02),
        (|_, e| e.submitted_at = fixture::T0.plus(HOUR), Code::TimestampOutOfRange, Reason::Ra05),
        (
            |_, e| {
                e.submitted_at = fixture::T0.plus(-2);
                e.requested.expires_at = Some(fixture::T0.plus(-1));
            },
            Code::Expired,
            Reason::Ra05,
        ),
        (|_, e| e.process = "NONE".parse().unwrap(), Code::ProcessUnknown, Reason::Ra05),
        (|_, e| e.sender = fixture::party(fixture::AT_R), Code::NotAuthorised, Reason::Ra05),
        (
            |_, e| e.on_behalf_of = Some(fixture::party(fixture::AT_R)),
            Code::DelegationExceeded,
            Reason::Ra05,
        ),
        (
            |_, e| e.recipients[0] = "73282932000074".parse().unwrap(),
            Code::RecipientUnknown,
            Reason::Ra05,
        ),
        (
            |_, e| e.documents[0].media_type = "application/x-msdownload".into(),
            Code::DocumentTypeRefused,
            Reason::Ra05,
        ),
        (|_, e| e.documents[0].size = 1 << 40, Code::DocumentTooLarge, Reason::Ra05),
        (
            |s, _| {
                s.findings.push(Finding {
                    code: Code::MalwareDetected,
                    detail: "Eicar".into(),
                    detail_fr: "Eicar".into(),
                });
            },
            Code::MalwareDetected,
            Reason::Ra03,
        ),
        (
            |s, _| {
                s.findings.push(Finding {
                    code: Code::DocumentCorrupted,
                    detail: "size".into(),
                    detail_fr: "taille".into(),
                });
            },
            Code::DocumentCorrupted,
            Reason::Ra02,
        ),
        (
            |s, e| {
                e.documents.clear();
                s.findings.push(Finding {
                    code: Code::DocumentTooLarge,
                    detail: "taken up to its limit".into(),
                    detail_fr: "lu jusqu'à sa limite".into(),
                });
            },
            Code::DocumentTooLarge,
            Reason::Ra05,
        ),
        (|s, _| s.unanchored_age = 5 * HOUR, Code::TimestampUnavailable, Reason::Ra51),
    ];
    for (change, code, reason) in cases {
        let rejected = refused(&Ground::direct(), change);
        assert_eq!(rejected.refusal.code, code, "{}", rejected.refusal);
        let a2 = &rejected.evidence;
        assert_eq!((a2.event, a2.reasons[0]), (Event::SubmissionRejection, reason), "{code}");
        assert_eq!((a2.problem, a2.delivery, a2.state), (Some(code), None, Phase::Rejected));
        assert!(!rejected.refusal.detail.is_empty() && !rejected.refusal.detail_fr.is_empty());
        let subject = schemas::evidence::Subject::of(&fixture::envelope(&[fixture::AT_R]));
        assert_eq!(a2.evidence(&fixture::node("s"), &subject, None).check(), Ok(()), "{code}");
    }
}

#[test]
fn row_03_states_of_the_recipient_and_of_its_node() {
    let standing = |standing| {
        let mut ground = Ground::direct();
        ground.change_member(fixture::AT_R, |m| m.standing = standing);
        refused(&ground, |_, _| {}).refusal
    };
    assert_eq!(standing(Standing::Suspended).code, Code::RecipientNotActive);
    assert_eq!(standing(Standing::Pending).code, Code::RecipientNotActive);

    let mut ground = Ground::direct();
    ground.change_member(fixture::AT_R, |m| m.processes.clear());
    let refusal = refused(&ground, |_, _| {}).refusal;
    assert_eq!(refusal.code, Code::RecipientNotSubscribed);
    assert_eq!(refusal.code.facts().fault, Fault::Recipient);

    let mut ground = Ground::direct();
    ground.change_node("r", |n| n.standing = Standing::Suspended);
    assert_eq!(refused(&ground, |_, _| {}).refusal.code, Code::NodeUnreachable);

    let mut ground = Ground::direct();
    ground.change_list("r", |l| l.expires_at = fixture::T0.plus(-7 * DAY));
    assert_eq!(refused(&ground, |_, _| {}).refusal.code, Code::NodeUnreachable);
    let mut ground = Ground::direct();
    ground.change_list("r", |l| l.expires_at = fixture::T0.plus(-7 * DAY + MINUTE));
    assert!(outcome(&ground, |_, _| {}).is_ok(), "seven days of grace");

    let mut ground = Ground::direct();
    ground.change_member(fixture::AT_S, |m| m.standing = Standing::Suspended);
    assert_eq!(refused(&ground, |_, _| {}).refusal.code, Code::NotAuthorised);

    let mut ground = Ground::direct();
    ground.catalogue.processes[0].agreement_required = true;
    assert_eq!(refused(&ground, |_, _| {}).refusal.code, Code::AgreementMissing);

    let mut ground = Ground::direct();
    ground.catalogue.processes[0].senders = Some(vec![fixture::party(fixture::AT_R)]);
    assert_eq!(refused(&ground, |_, _| {}).refusal.code, Code::NotAuthorised);
}

#[test]
fn refused_for_one_recipient_is_refused_whole() {
    let mut envelope = fixture::envelope(&[fixture::AT_R, fixture::AT_S]);
    envelope.recipients[1] = "73282932000074".parse().unwrap();
    let s = Submission { envelope: &envelope, findings: Vec::new(), unanchored_age: 0 };
    let ground = Ground::direct();
    let rejected = submit(&s, &ground.at("s", fixture::T0)).unwrap_err();
    assert_eq!(rejected.refusal.code, Code::RecipientUnknown);
}

#[test]
fn a_replay_mints_the_same_identifiers() {
    let ground = Ground::direct();
    let one = outcome(&ground, |_, _| {}).unwrap();
    assert_eq!(one, outcome(&ground, |_, _| {}).unwrap());
    let no = |s: &mut Submission<'_>, _: &mut Envelope| s.unanchored_age = i64::MAX;
    assert_eq!(refused(&ground, no), refused(&ground, no));
    assert_ne!(refused(&ground, no).evidence.id, one.evidence.id);
}
