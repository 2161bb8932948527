//! The clock-work of a delivery: which timers run in which phase.
//!
//! [`arm`] is called at the end of every decision. It stops what no longer applies and starts what
//! is missing, so that an open delivery always has a next due time and an end has none, whatever
//! path led there.

use schemas::catalogue::{Deadlines, Span};
use schemas::event::Event;
use schemas::ids::NodeId;
use schemas::party::Party;
use schemas::time::{DAY, MINUTE, SECOND, Timestamp};

use crate::deadline;
use crate::decide::Context;
use crate::rules;
use crate::state::{Delivery, Phase, Role, Timers};
use crate::working_days::Territory;

/// The timers of [`Timers`]. When several are due at one instant, the first of this order rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// MD03.
    Expires,
    /// Row 8.
    RelaySend,
    /// Row 9.
    RelayAck,
    /// Row 15.
    Consign,
    /// Tell the sender.
    ConsignWarning,
    /// Publish again.
    Retry,
    /// MD07.
    NotBefore,
    /// Row 12c.
    Acceptance,
    /// Row 17.
    Handover,
}

impl Timer {
    const ALL: [Self; 9] = [
        Self::Expires,
        Self::RelaySend,
        Self::RelayAck,
        Self::Consign,
        Self::ConsignWarning,
        Self::Retry,
        Self::NotBefore,
        Self::Acceptance,
        Self::Handover,
    ];
}

impl Timers {
    /// The timer that ran out first, if any has at `now`.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Option<Timer> {
        Timer::ALL
            .into_iter()
            .filter_map(|timer| self.at(timer).map(|at| (at, timer)))
            .filter(|(at, _)| *at <= now)
            .min_by_key(|(at, _)| *at)
            .map(|(_, timer)| timer)
    }

    /// When a timer runs out.
    #[must_use]
    pub const fn at(&self, timer: Timer) -> Option<Timestamp> {
        match timer {
            Timer::Expires => self.expires,
            Timer::RelaySend => self.relay_send,
            Timer::RelayAck => self.relay_ack,
            Timer::Consign => self.consign,
            Timer::ConsignWarning => self.consign_warning,
            Timer::Retry => self.retry,
            Timer::NotBefore => self.not_before,
            Timer::Acceptance => self.acceptance,
            Timer::Handover => self.handover,
        }
    }

    /// Starts a timer, or stops it.
    pub const fn set(&mut self, timer: Timer, at: Option<Timestamp>) {
        match timer {
            Timer::Expires => self.expires = at,
            Timer::RelaySend => self.relay_send = at,
            Timer::RelayAck => self.relay_ack = at,
            Timer::Consign => self.consign = at,
            Timer::ConsignWarning => self.consign_warning = at,
            Timer::Retry => self.retry = at,
            Timer::NotBefore => self.not_before = at,
            Timer::Acceptance => self.acceptance = at,
            Timer::Handover => self.handover = at,
        }
    }

    /// Keeps the timers of `kept`, stops all others.
    fn keep(&mut self, kept: &[Timer]) {
        for timer in Timer::ALL {
            if !kept.contains(&timer) {
                self.set(timer, None);
            }
        }
    }

    /// Starts a timer that does not run.
    fn start(&mut self, timer: Timer, at: impl FnOnce() -> Timestamp) {
        if self.at(timer).is_none() {
            self.set(timer, Some(at()));
        }
    }
}

/// How long to wait before the recipient's space is looked at again: soon at first, since somebody
/// may be collecting just now; once a minute later on.
fn look_for_room(waited: i64) -> i64 {
    (waited / 8).clamp(2 * SECOND, MINUTE)
}

/// How long a node that waits for the evidence of others looks again after a deadline of theirs.
const LOOK_AGAIN: i64 = 7 * DAY;

/// Stops and starts the timers as the phase of `delivery` at `ctx.node` asks for.
pub(crate) fn arm(delivery: &mut Delivery, recipient: Option<&Party>, ctx: &Context<'_>) {
    use Timer as T;
    let deadlines = rules::deadlines(ctx.catalogue, &delivery.process);
    let territory = territory(recipient, ctx);
    let from_now = |span: Span| deadline::after(ctx.now, span, territory);
    let phase = delivery.phase;
    if phase.is_end() {
        delivery.timers = Timers::default();
        return;
    }
    match (delivery.role, phase) {
        (Role::Sender | Role::Relay, Phase::Relaying) => {
            delivery.timers.keep(&[T::RelayAck, T::Consign, T::ConsignWarning]);
            delivery.timers.start(T::RelayAck, || from_now(deadlines.relay_ack));
        }
        (Role::Sender, Phase::Relayed) => {
            delivery.timers.keep(&[T::Consign, T::ConsignWarning]);
            delivery.timers.start(T::Consign, || from_now(deadlines.consign));
        }
        (Role::Sender | Role::Relay, Phase::Accepted) => {
            if delivery.outside.is_some() {
                delivery.timers.keep(&[T::RelaySend, T::Expires]);
            }
            delivery.timers.start(T::RelaySend, || from_now(deadlines.relay_send));
        }
        (Role::Sender | Role::Relay, _) => listen(delivery, &deadlines, territory, ctx),
        (Role::Recipient | Role::Local, Phase::AwaitingAcceptance) => {
            delivery.timers.keep(&[T::Expires, T::Acceptance]);
            delivery.timers.start(T::Acceptance, || from_now(deadlines.acceptance));
        }
        (Role::Recipient | Role::Local, Phase::Consigned) => {
            delivery.timers.keep(&[T::Expires, T::Handover]);
            delivery.timers.start(T::Handover, || from_now(deadlines.handover));
        }
        (Role::Recipient | Role::Local, _) => {
            delivery.timers.keep(&[T::Expires, T::NotBefore, T::Consign]);
            delivery.timers.start(T::Consign, || from_now(deadlines.consign));
            let again = look_for_room(ctx.now.since(delivery.since));
            delivery.timers.start(T::NotBefore, || ctx.now.plus(again));
        }
    }
}

/// A node that handed the delivery on waits for evidence until the deadlines of the recipient's
/// node have passed there, then looks again from time to time: late evidence is always welcome.
fn listen(delivery: &mut Delivery, deadlines: &Deadlines, territory: Territory, ctx: &Context<'_>) {
    let (timer, event, span) = match delivery.phase {
        Phase::AwaitingAcceptance => {
            (Timer::Acceptance, Event::NotificationForAcceptance, deadlines.acceptance)
        }
        _ => (Timer::Handover, Event::ContentConsignment, deadlines.handover),
    };
    // No B.1 or B.2 yet: RB22 is still owed for this hop.
    let kept: &[Timer] = match delivery.phase {
        Phase::Unconfirmed if !knows_hop(delivery, ctx.node) => &[Timer::RelayAck],
        _ => &[],
    };
    let due = delivery.timers.at(timer);
    delivery.timers.keep(kept);
    let since = delivery.held(event).map_or(ctx.now, |h| h.at);
    let theirs = deadline::after(since, span, territory);
    let at = match due {
        Some(at) if at > ctx.now => at,
        None if theirs > ctx.now => theirs,
        _ => ctx.now.plus(LOOK_AGAIN),
    };
    delivery.timers.set(timer, Some(at));
}

/// Whether evidence of family B about the hop behind this node is there.
pub(crate) fn knows_hop(delivery: &Delivery, node: &NodeId) -> bool {
    delivery.ahead(node).iter().any(|h| match h.event {
        Event::RelayAcceptance | Event::RelayRejection => h.node != *node,
        Event::RelayFailure => h.node == *node,
        _ => false,
    })
}

/// Where the recipient keeps its holidays. Working days are always counted there, at whatever node:
/// what is waited for is done by, or for, the recipient, and both ends must count alike.
pub(crate) fn territory(recipient: Option<&Party>, ctx: &Context<'_>) -> Territory {
    let cog = recipient.and_then(|r| ctx.directory.member(r)).and_then(|m| m.entry.cog.as_ref());
    cog.map_or(Territory::Metropole, Territory::of)
}
