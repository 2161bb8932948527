//! The table of `lifecycle.md`, a test for each row and each special case. The network is the one
//! of [`crate::sim`]; nothing fails here but what the row is about.

mod cases;
mod evidence;
mod recollect;
mod rows;
mod rows_rare;

use schemas::envelope::{Consignment, Envelope};
use schemas::event::{Event, Reason};
use schemas::ids::DeliveryId;
use schemas::problem::Code;
use schemas::time::Timestamp;

use crate::fixture::{self, AT_R, AT_S, Ground, node, party};
use crate::input::Input;
use crate::refusal::Refusal;
use crate::sim::{Crash, Fate, Net};
use crate::state::{Delivery, Phase};

/// A submitted message to one recipient, nothing published yet.
fn net(ground: Ground, recipient: &str, change: impl FnOnce(&mut Envelope)) -> (Net, DeliveryId) {
    let mut envelope = fixture::envelope(&[recipient]);
    change(&mut envelope);
    let mut net = Net::new(ground, envelope);
    let id = net.submit().unwrap()[0];
    (net, id)
}

/// S -> R.
fn direct() -> (Net, DeliveryId) {
    net(Ground::direct(), AT_R, |_| {})
}

/// S -> H -> R.
fn chained() -> (Net, DeliveryId) {
    net(Ground::chained(), AT_R, |_| {})
}

/// S = R.
fn local() -> (Net, DeliveryId) {
    net(Ground::direct(), AT_S, |_| {})
}

/// S -> R with consent.
fn consent() -> (Net, DeliveryId) {
    net(Ground::direct(), AT_R, |e| e.requested.consignment = Consignment::Consent)
}

impl Net {
    fn act(&mut self, at: &str, id: DeliveryId, input: Input<'_>) -> Result<(), Refusal> {
        self.input(&node(at), id, input, &[], Crash::Never).map(drop)
    }

    fn acknowledge(&mut self, at: &str, id: DeliveryId) -> Result<(), Refusal> {
        let by = self.envelope.recipients[0].clone();
        self.act(at, id, Input::Acknowledge { by })
    }

    fn phase(&self, at: &str, id: DeliveryId) -> Phase {
        self.at(at, id).unwrap().phase
    }

    fn delivery(&self, at: &str, id: DeliveryId) -> &Delivery {
        self.at(at, id).unwrap()
    }

    fn until(&mut self, at: Timestamp) {
        self.advance(at.since(self.now));
    }

    fn whole(&self) {
        assert_eq!(self.broken, [""; 0]);
    }

    /// Publishes everything that `at` has waiting, with one fate.
    fn publish(&mut self, at: &str, fate: Fate) {
        let waiting = self.sites[&node(at)].outbox.len();
        for _ in 0..waiting {
            self.carry_out(&node(at), 0, fate);
        }
    }

    fn hand_over_all(&mut self) {
        while !self.wire.is_empty() {
            self.deliver(0, Crash::Never);
        }
    }
}

fn said(reasons: &[(Event, Reason)]) -> Vec<(Event, Option<Reason>)> {
    reasons.iter().map(|(e, r)| (*e, Some(*r))).collect()
}

const A1: (Event, Reason) = (Event::SubmissionAcceptance, Reason::Ra01);
const B1: (Event, Reason) = (Event::RelayAcceptance, Reason::Rb01);
const C1: (Event, Reason) = (Event::NotificationForAcceptance, Reason::Rc01);
const C3: (Event, Reason) = (Event::ConsignmentAcceptance, Reason::Rc07);
const C4: (Event, Reason) = (Event::ConsignmentRejection, Reason::Rc08);
const C5: (Event, Reason) = (Event::AcceptanceRejectionExpiry, Reason::Rc09);
const D1: (Event, Reason) = (Event::ContentConsignment, Reason::Rd01);
const E1: (Event, Reason) = (Event::ContentHandover, Reason::Re01);

const fn b2(reason: Reason) -> (Event, Reason) {
    (Event::RelayRejection, reason)
}

const fn b3(reason: Reason) -> (Event, Reason) {
    (Event::RelayFailure, reason)
}

const fn d2(reason: Reason) -> (Event, Reason) {
    (Event::ContentConsignmentFailure, reason)
}

const fn e2(reason: Reason) -> (Event, Reason) {
    (Event::ContentHandoverFailure, reason)
}

fn code(refused: Result<(), Refusal>) -> Code {
    refused.expect_err("must be refused").code
}

fn other() -> schemas::party::Party {
    party(fixture::ALSO_AT_R)
}
