//! A decision in the making: evidence, next state and effects grow together.

use schemas::event::{Event, Reason};
use schemas::evidence::Subject;
use schemas::ids::{EvidenceId, NodeId};
use schemas::party::Party;
use schemas::problem::Code;

use crate::decide::Context;
use crate::effect::{Decision, Effect, Notice};
use crate::evidence::{EvidenceDraft, Previous};
use crate::fold;
use crate::input::EvidenceFact;
use crate::state::{Delivery, Held, Phase, Role};
use crate::timers;
use crate::working_days::Territory;

/// A decision in the making.
pub(crate) struct Step<'a> {
    pub(crate) ctx: &'a Context<'a>,
    pub(crate) subject: &'a Subject,
    pub(crate) next: Delivery,
    pub(crate) answer: Option<EvidenceId>,
    evidence: Vec<EvidenceDraft>,
    effects: Vec<Effect>,
    /// Evidence that the previous hop, or the sender, has to know.
    upstream: Vec<EvidenceId>,
}

/// What an evidence says beyond its delivery.
pub(crate) struct Issue {
    event: Event,
    reason: Option<Reason>,
    problem: Option<Code>,
    detail: Option<String>,
    authenticated: bool,
    external: Option<NodeId>,
}

impl Issue {
    /// An event with its reason.
    pub(crate) fn new(event: Event, reason: Reason) -> Self {
        Self { reason: Some(reason), ..Self::plain(event) }
    }

    /// An event that the standard has no reason for.
    pub(crate) const fn plain(event: Event) -> Self {
        Self {
            event,
            reason: None,
            problem: None,
            detail: None,
            authenticated: false,
            external: None,
        }
    }

    /// The problem behind it.
    pub(crate) fn because(self, problem: Option<Code>) -> Self {
        Self { problem, ..self }
    }

    /// A sentence for people; cut at the bound of evidence.
    pub(crate) fn saying(self, detail: Option<&str>) -> Self {
        const MOST: usize = 1_000;
        let cut = |text: &str| text.chars().take(MOST).collect();
        Self { detail: detail.map(cut).filter(|d: &String| !d.is_empty()), ..self }
    }

    /// The addressee was authenticated for this act (I12).
    pub(crate) fn authenticated(self) -> Self {
        Self { authenticated: true, ..self }
    }

    /// The other node (M05).
    pub(crate) fn with(self, external: Option<NodeId>) -> Self {
        Self { external, ..self }
    }
}

impl<'a> Step<'a> {
    pub(crate) const fn new(ctx: &'a Context<'a>, subject: &'a Subject, next: Delivery) -> Self {
        Self {
            ctx,
            subject,
            next,
            answer: None,
            evidence: Vec::new(),
            effects: Vec::new(),
            upstream: Vec::new(),
        }
    }

    /// Issues an evidence, unless this node has issued one of this event already: an event happens
    /// once (invariant 3). The first one issued answers the caller.
    pub(crate) fn issue(&mut self, issue: Issue) {
        let node = self.ctx.node;
        if self.next.evidence.iter().any(|h| h.event == issue.event && h.node == *node) {
            return;
        }
        let index = self.next.recipient_index;
        let id = EvidenceId::derive(
            node,
            self.next.message,
            Some(index),
            issue.event.name(),
            self.next.hop,
        );
        let previous = self.previous();
        let held = Held {
            id,
            event: issue.event,
            reason: issue.reason,
            node: node.clone(),
            at: self.ctx.now,
            digest: None,
        };
        self.next.evidence.push(held);
        self.refold();
        self.evidence.push(EvidenceDraft {
            id,
            event: issue.event,
            reasons: issue.reason.into_iter().collect(),
            problem: issue.problem,
            detail: issue.detail,
            at: self.ctx.now,
            delivery: Some(self.next.id),
            recipient_index: issue.event.has_recipient().then_some(index),
            recipient_authenticated: issue.authenticated,
            external: issue.external,
            forwarded: self.next.outside.clone().filter(|_| issue.event.family() == 'F'),
            sender_authenticated: issue.event != Event::ReceivedFromNonERDS,
            hop: self.next.hop,
            state: match issue.event {
                // At a relay the delivery is to be sent on: row 4 follows row 6.
                Event::RelayAcceptance => Phase::Relayed,
                _ => self.next.phase,
            },
            previous,
        });
        self.answer.get_or_insert(id);
        self.upstream.push(id);
    }

    /// Takes in an evidence of another node: bytes go on unchanged (invariant 5).
    pub(crate) fn take(&mut self, fact: &EvidenceFact) {
        self.next.evidence.push(held(fact));
        self.refold();
        self.upstream.push(fact.id);
    }

    /// Takes in an evidence that was forgotten; nobody is told but whom it concerns before.
    pub(crate) fn remember(&mut self, fact: &EvidenceFact) {
        self.next.evidence.push(held(fact));
        self.refold();
        // At the recipient's node: it came from the one before.
        if matches!(self.next.role, Role::Sender | Role::Relay) {
            self.upstream.push(fact.id);
        }
    }

    /// Adds an effect.
    pub(crate) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Publishes the dispatch (again).
    pub(crate) fn send(&mut self) {
        if let Some(to) = self.next.next_hop.clone() {
            self.effects.push(Effect::SendDispatch { to });
        }
    }

    /// Publishes evidence that is held already to the previous hop: an answer that was lost.
    pub(crate) fn send_again(&mut self) {
        let known = self.next.evidence.iter().filter(|h| h.event.family() != 'A').map(|h| h.id);
        let evidence: Vec<_> = known.collect();
        if let (Some(to), false) = (self.next.previous_hop.clone(), evidence.is_empty()) {
            self.effects.push(Effect::SendEvidence { to, evidence });
        }
    }

    /// Tells the addressee, a member of this node.
    pub(crate) fn notify_recipient(&mut self, what: Notice) {
        if let Some(member) = self.recipient().map(Party::organisation) {
            self.effects.push(Effect::Notify { member, what });
        }
    }

    /// Tells the sender, a member of this node.
    pub(crate) fn notify_sender(&mut self, what: Notice) {
        let member = self.subject.sender.organisation();
        self.effects.push(Effect::Notify { member, what });
    }

    /// The addressee.
    pub(crate) fn recipient(&self) -> Option<&'a Party> {
        self.subject.recipients.get(usize::try_from(self.next.recipient_index).ok()?)
    }

    /// Where working days are counted.
    pub(crate) fn territory(&self) -> Territory {
        timers::territory(self.recipient(), self.ctx)
    }

    /// Whether MD03 has passed: no consignment or handover any more.
    pub(crate) fn is_expired(&self) -> bool {
        self.next.timers.expires.is_some_and(|at| at <= self.ctx.now)
    }

    /// The phase follows from the evidence, see [`fold`].
    pub(crate) fn refold(&mut self) {
        let phase = match (fold::phase(&self.next, self.ctx.node), self.next.phase) {
            (Phase::Accepted, Phase::Relaying) => Phase::Relaying,
            (phase, _) => phase,
        };
        self.enter(phase);
        self.next.custodian = fold::custodian(&self.next, self.ctx.node);
    }

    /// Enters a phase.
    pub(crate) fn enter(&mut self, phase: Phase) {
        if self.next.phase != phase {
            self.next.phase = phase;
            self.next.since = self.ctx.now;
        }
    }

    /// The decision, with its timers armed and its evidence on the way.
    pub(crate) fn finish(mut self) -> Decision {
        let recipient = self.recipient();
        timers::arm(&mut self.next, recipient, self.ctx);
        let upstream = std::mem::take(&mut self.upstream);
        match (&self.next.previous_hop, self.next.role) {
            _ if upstream.is_empty() => {}
            (Some(to), _) => {
                self.effects.push(Effect::SendEvidence { to: to.clone(), evidence: upstream });
            }
            // Nobody here may speak for a sender outside (row 19).
            (None, Role::Local) if self.next.outside.is_some() => {}
            (None, Role::Sender | Role::Local) => {
                upstream.into_iter().for_each(|id| self.notify_evidence(id));
            }
            (None, _) => {}
        }
        Decision {
            evidence: self.evidence,
            next: self.next,
            effects: self.effects,
            answer: self.answer,
        }
    }

    fn notify_evidence(&mut self, id: EvidenceId) {
        let known = self.next.evidence.iter().find(|h| h.id == id);
        if let Some(Held { id, event, reason, .. }) = known.cloned() {
            self.notify_sender(Notice::Evidence { id, event, reason });
        }
    }

    /// The evidence before the next one of this delivery.
    fn previous(&self) -> Previous {
        let last = self.next.evidence.last();
        let draft = self.evidence.iter().rposition(|d| last.is_some_and(|h| h.id == d.id));
        match (draft, last.and_then(|h| h.digest)) {
            (Some(position), _) => Previous::Draft(position),
            (None, Some(digest)) => Previous::Sealed(digest),
            (None, None) => Previous::Nothing,
        }
    }
}

/// An evidence of another node, as it is held.
pub(crate) fn held(fact: &EvidenceFact) -> Held {
    Held {
        id: fact.id,
        event: fact.event,
        reason: fact.reason,
        node: fact.issuer.clone(),
        at: fact.at,
        digest: Some(fact.digest),
    }
}
