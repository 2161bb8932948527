//! Random schedules over two and three nodes: frames are lost, doubled, reordered and late, nodes
//! are killed before and after their commits, time jumps, people act at any moment. After every
//! step, the promises of [`super::invariants`] hold; when the faults end, every delivery comes to
//! an end or to an attested "no information".
//!
//! ```text
//!   S ------ R        S ------ H ------ R        S = R
//! ```

use proptest::prelude::*;
use schemas::envelope::{Consignment, Envelope};
use schemas::ids::{DeliveryId, NodeId};
use schemas::status::BusinessStatus;
use schemas::time::{DAY, HOUR, MINUTE};

use super::{Crash, Fate, Net};
use crate::fixture::{self, AT_R, AT_S, Ground};
use crate::fold;
use crate::input::Input;
use crate::state::{Phase, Role};

#[derive(Clone, Debug)]
enum Op {
    Publish(usize, usize, Fate),
    Deliver(usize, Crash),
    Double(usize),
    Lose(usize),
    Pass(i64),
    Act(usize, usize, Crash),
    Redrive(usize),
    Leave,
    /// The recipients' spaces fill, or are emptied.
    Fill(bool),
    Run,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Confirmed),
        2 => Just(Fate::Unknown),
        2 => Just(Fate::Failed),
        1 => Just(Fate::Unroutable),
        1 => Just(Fate::Killed),
    ]
}

fn crash() -> impl Strategy<Value = Crash> {
    prop_oneof![4 => Just(Crash::Never), 1 => Just(Crash::Before), 1 => Just(Crash::After)]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..3_usize, 0..4_usize, fate()).prop_map(|(n, e, f)| Op::Publish(n, e, f)),
        8 => (0..6_usize, crash()).prop_map(|(f, c)| Op::Deliver(f, c)),
        2 => (0..6_usize).prop_map(Op::Double),
        2 => (0..6_usize).prop_map(Op::Lose),
        3 => prop_oneof![
            Just(MINUTE), Just(HOUR), Just(12 * HOUR), Just(DAY), Just(5 * DAY), Just(40 * DAY)
        ].prop_map(Op::Pass),
        4 => (0..9_usize, 0..3_usize, crash()).prop_map(|(a, d, c)| Op::Act(a, d, c)),
        1 => (0..3_usize).prop_map(Op::Redrive),
        1 => Just(Op::Leave),
        1 => any::<bool>().prop_map(Op::Fill),
        2 => Just(Op::Run),
    ]
}

/// Topology, consignment mode, MD03 and MD07 in hours.
type Case = (u8, bool, Option<i64>, Option<i64>);

fn case() -> impl Strategy<Value = Case> {
    let hours = |few: i64, many: i64| proptest::option::weighted(0.3, few..many);
    (0..3_u8, any::<bool>(), hours(30, 2_000), hours(1, 29))
}

fn net((topology, consent, end, start): Case) -> Net {
    let (ground, recipient) = match topology {
        0 => (Ground::direct(), AT_R),
        1 => (Ground::chained(), AT_R),
        _ => (Ground::direct(), AT_S),
    };
    let mut envelope: Envelope = fixture::envelope(&[recipient]);
    envelope.requested.expires_at = end.map(|h| fixture::T0.plus(h * HOUR));
    envelope.requested.not_before = start.map(|h| fixture::T0.plus(h * HOUR));
    if consent {
        envelope.requested.consignment = Consignment::Consent;
    }
    Net::new(ground, envelope)
}

fn apply(net: &mut Net, id: DeliveryId, op: &Op) {
    let nodes: Vec<NodeId> = net.sites.keys().cloned().collect();
    let node = |i: usize| &nodes[i % nodes.len()];
    match op {
        Op::Publish(n, e, fate) => net.carry_out(node(*n), *e, *fate),
        Op::Deliver(f, crash) => net.deliver(*f, *crash),
        Op::Double(f) => net.wire.extend(net.wire.get(*f).cloned()),
        Op::Lose(f) => {
            if *f < net.wire.len() {
                net.wire.remove(*f);
            }
        }
        Op::Pass(millis) => net.advance(*millis),
        Op::Act(act, n, crash) => {
            let by = net.envelope.recipients[0].clone();
            let sender = fixture::sender();
            let input = match act {
                0 | 1 => Input::Acknowledge { by },
                2 => Input::Accept { by },
                3 => Input::Refuse { by, reason: None },
                4 => Input::SetStatus { by, status: BusinessStatus::InProgress },
                5 => Input::SetStatus { by: sender, status: BusinessStatus::Closed },
                6 => Input::RefuseType { by, reason: Some("un type".to_owned()) },
                7 => Input::NoticeFailed { repeatedly: *n > 0 },
                _ => Input::NoticeDelivered,
            };
            drop(net.input(node(*n), id, input, &[], *crash));
        }
        Op::Redrive(n) => drop(net.input(node(*n), id, Input::Redrive, &[], Crash::Never)),
        Op::Leave => net.ground.change_member(AT_R, |m| {
            m.standing = schemas::directory::Standing::Suspended;
        }),
        Op::Fill(full) => net.ground.full = *full,
        Op::Run => net.run(),
    }
}

fn whole(net: &Net) -> Result<(), TestCaseError> {
    prop_assert!(net.broken.is_empty(), "{:#?}", net.broken);
    Ok(())
}

/// The faults end: everything arrives, all the time in the world passes.
fn come_to_rest(net: &mut Net) {
    net.run();
    for _ in 0..100 {
        net.advance(DAY);
        net.run();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn promises_hold_whatever_happens(case in case(), ops in proptest::collection::vec(op(), 1..60)) {
        let mut net = net(case);
        let id = net.submit().map_err(|e| TestCaseError::fail(e.to_string()))?[0];
        for op in &ops {
            apply(&mut net, id, op);
            whole(&net)?;
        }
        come_to_rest(&mut net);
        whole(&net)?;
        for (node, site) in &net.sites {
            for d in site.deliveries.values() {
                let waits = matches!(d.role, Role::Sender | Role::Relay)
                    && matches!(d.phase, Phase::Unconfirmed | Phase::Relayed | Phase::Consigned | Phase::AwaitingAcceptance);
                prop_assert!(d.phase.is_end() || waits, "{node} rests in {:?}", d.phase);
            }
        }
    }

    #[test]
    fn without_faults_every_message_ends_as_its_recipient_decides(case in case(), take in 0..3_u8) {
        let mut net = net((case.0, case.1, None, case.3));
        let id = net.submit().map_err(|e| TestCaseError::fail(e.to_string()))?[0];
        net.run();
        net.advance(30 * HOUR);
        net.run();
        let at = fixture::node(if case.0 == 2 { "s" } else { "r" });
        let by = net.envelope.recipients[0].clone();
        let mut act = |input| net.input(&at, id, input, &[], Crash::Never).map(drop);
        let expected = match (case.1, take) {
            (true, 0) => {
                act(Input::Refuse { by, reason: None }).map_err(|e| TestCaseError::fail(e.to_string()))?;
                Phase::Refused
            }
            (true, 1) => Phase::Expired,
            (false, 1) => Phase::HandoverFailed,
            (consent, _) => {
                if consent {
                    act(Input::Accept { by: by.clone() }).map_err(|e| TestCaseError::fail(e.to_string()))?;
                }
                act(Input::Acknowledge { by }).map_err(|e| TestCaseError::fail(e.to_string()))?;
                Phase::HandedOver
            }
        };
        come_to_rest(&mut net);
        whole(&net)?;
        for (node, site) in &net.sites {
            for d in site.deliveries.values() {
                prop_assert_eq!(d.phase, expected, "{}", node);
            }
        }
    }

    #[test]
    fn the_fold_does_not_depend_on_the_order_of_arrival(
        case in case(),
        ops in proptest::collection::vec(op(), 1..40),
        seed in any::<u64>(),
    ) {
        // With one relay at most in between, see `fold`.
        let mut net = net(case);
        let id = net.submit().map_err(|e| TestCaseError::fail(e.to_string()))?[0];
        ops.iter().for_each(|op| apply(&mut net, id, op));
        for (node, site) in &net.sites {
            for d in site.deliveries.values() {
                let mut shuffled = d.clone();
                let key = |h: &crate::state::Held| h.id.0.as_u128().rotate_left((seed % 128) as u32);
                // The way that leads here comes first, with the dispatch.
                let ahead = d.evidence.len() - d.ahead(node).len();
                shuffled.evidence[ahead..].sort_by_key(key);
                prop_assert_eq!(fold::phase(&shuffled, node), fold::phase(d, node));
                prop_assert_eq!(fold::custodian(&shuffled, node), fold::custodian(d, node));
            }
        }
    }
}

/// `PROPTEST_CASES` for longer runs.
fn cases() -> u32 {
    ProptestConfig::default().cases
}
