//! A network in memory: nodes that decide with this crate, a hostile backbone between them, and a
//! clock that only moves when it is told. For the property tests of this room and the tests of
//! others; nothing is sealed, a name-based hash stands for the digest of a seal.
//!
//! What an engine has to guarantee is modelled as the architecture says (section 2): a decision is
//! committed whole or not at all ([`Crash`]), effects are carried out after the commit, and again
//! when nobody knows whether they were.
//!
//! [`Net::broken`] lists every promise that the network has broken so far.

mod invariants;
#[cfg(test)]
mod props;

use std::collections::{BTreeMap, BTreeSet};

use schemas::digest::Digest;
use schemas::envelope::Envelope;
use schemas::event::{Event, Reason};
use schemas::evidence::{Evidence, Subject};
use schemas::ids::{DeliveryId, EvidenceId, NodeId};
use schemas::party::Party;
use schemas::status::BusinessStatus;
use schemas::time::Timestamp;
use uuid::Uuid;

use crate::decide::decide;
use crate::effect::{Decision, Effect, Notice};
use crate::evidence::{EvidenceDraft, Previous};
use crate::fixture::{self, Ground};
use crate::input::{EvidenceFact, Inbound, Input, Submission};
use crate::refusal::Refusal;
use crate::state::{Delivery, Phase};
use crate::submit::submit;

/// An evidence as it travels: the same bytes everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// What it says.
    pub evidence: Evidence,
    /// Stands for the digest of its seal.
    pub digest: Digest,
}

/// What travels between two nodes.
#[derive(Clone, Debug)]
pub struct Frame {
    /// From.
    pub from: NodeId,
    /// To.
    pub to: NodeId,
    /// What.
    pub body: Body,
}

/// What a frame holds.
#[derive(Clone, Debug)]
pub enum Body {
    /// A dispatch with its A.1.
    Dispatch {
        /// The addressee.
        recipient_index: u32,
        /// Hop of the node that sent it.
        hop: u8,
        /// Stands for the digest of the sealed dispatch.
        digest: Digest,
        /// A.1.
        acceptance: Option<Box<Sealed>>,
        /// The B.1 of the nodes that it passed.
        relays: Vec<Sealed>,
    },
    /// Evidence about one delivery.
    Evidence(DeliveryId, Vec<Sealed>),
    /// A business status.
    Status(DeliveryId, Party, BusinessStatus),
}

/// What becomes of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// On the wire and confirmed.
    Confirmed,
    /// On the wire, the confirmation was lost.
    Unknown,
    /// Not on the wire, and the node cannot tell.
    Failed,
    /// The backbone knows no such destination.
    Unroutable,
    /// On the wire; the node was killed before it could write that down.
    Killed,
}

/// When a node is killed while it handles an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// It is not.
    Never,
    /// Before the commit: nothing is left, the input comes again.
    Before,
    /// After the commit, before the input was acknowledged: it comes again.
    After,
}

/// One node: what its database holds.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// Deliveries.
    pub deliveries: BTreeMap<DeliveryId, Delivery>,
    /// Evidence, issued or received.
    pub archive: BTreeMap<EvidenceId, Sealed>,
    /// Effects to be carried out.
    pub outbox: Vec<(DeliveryId, Effect)>,
    /// What members were told.
    pub told: Vec<(Party, Notice)>,
    /// Deliveries whose content is here.
    pub content: BTreeSet<DeliveryId>,
    /// Status of the input that a `SendStatus` belongs to.
    status: BTreeMap<DeliveryId, (Party, BusinessStatus)>,
}

/// The network.
#[derive(Debug)]
pub struct Net {
    /// Directory, catalogue, policy.
    pub ground: Ground,
    /// The time, everywhere.
    pub now: Timestamp,
    /// The message that is on its way.
    pub envelope: Envelope,
    /// Nodes by id.
    pub sites: BTreeMap<NodeId, Site>,
    /// Frames that are on their way.
    pub wire: Vec<Frame>,
    /// Refusals, for tests that look at them.
    pub refusals: Vec<(NodeId, Refusal)>,
    /// Publications that went out and that their node does not know of.
    pub unknown_to_sender: BTreeSet<NodeId>,
    /// Promises broken.
    pub broken: Vec<String>,
    subject: Subject,
}

impl Net {
    /// A network on this ground, about to send `envelope`.
    #[must_use]
    pub fn new(ground: Ground, envelope: Envelope) -> Self {
        let sites = ground.root.nodes.iter().map(|n| (n.id.clone(), Site::default())).collect();
        Self {
            now: fixture::T0,
            subject: Subject::of(&envelope),
            sites,
            ground,
            envelope,
            wire: Vec::new(),
            refusals: Vec::new(),
            unknown_to_sender: BTreeSet::new(),
            broken: Vec::new(),
        }
    }

    /// The sender submits at node `s`.
    ///
    /// # Errors
    /// The refusal.
    pub fn submit(&mut self) -> Result<Vec<DeliveryId>, Refusal> {
        let id = fixture::node("s");
        let s = Submission { envelope: &self.envelope, findings: Vec::new(), unanchored_age: 0 };
        let accepted = submit(&s, &self.ground.at(id.as_str(), self.now)).map_err(|e| e.refusal)?;
        let sealed = self.seal(&id, &accepted.evidence, None);
        let digest = sealed.digest;
        let site = self.sites.entry(id).or_default();
        site.archive.insert(accepted.evidence.id, sealed);
        let mut ids = Vec::new();
        for (mut delivery, effects) in accepted.deliveries {
            delivery.evidence.iter_mut().for_each(|h| h.digest = Some(digest));
            ids.push(delivery.id);
            site.content.insert(delivery.id);
            site.outbox.extend(effects.into_iter().map(|e| (delivery.id, e)));
            site.deliveries.insert(delivery.id, delivery);
        }
        self.check();
        Ok(ids)
    }

    /// Lets one thing happen to a delivery at a node. A decision is committed as a whole.
    ///
    /// # Errors
    /// The refusal: nothing happened.
    pub fn input(
        &mut self,
        node: &NodeId,
        id: DeliveryId,
        input: Input<'_>,
        received: &[Sealed],
        crash: Crash,
    ) -> Result<Option<EvidenceId>, Refusal> {
        let ctx = self.ground.at(node.as_str(), self.now);
        let state = self.sites.get(node).and_then(|s| s.deliveries.get(&id));
        let quiet = matches!(input, Input::Evidence(_));
        let status = match &input {
            Input::SetStatus { by, status } | Input::StatusReceived { by, status } => {
                Some((by.clone(), *status))
            }
            _ => None,
        };
        let decision = decide(state, &self.subject, input, &ctx).inspect_err(|refusal| {
            self.refusals.push((node.clone(), refusal.clone()));
        })?;
        if quiet && decision.evidence.iter().any(|d| d.event != Event::RelayFailure) {
            self.broken.push(format!("loop guard: {:?}", decision.evidence));
        }
        let answer = decision.answer;
        if crash != Crash::Before {
            if let (Some(status), Some(site)) = (status, self.sites.get_mut(node)) {
                site.status.insert(id, status);
            }
            self.commit(node, id, decision, received);
        }
        self.check();
        Ok(answer)
    }

    fn commit(&mut self, node: &NodeId, id: DeliveryId, decision: Decision, got: &[Sealed]) {
        let Decision { evidence, mut next, effects, .. } = decision;
        let mut digests: Vec<Digest> = Vec::new();
        let mut archive: Vec<(EvidenceId, Sealed)> = Vec::new();
        for draft in &evidence {
            let previous = match draft.previous {
                Previous::Nothing => None,
                Previous::Sealed(digest) => Some(digest),
                Previous::Draft(i) => digests.get(i).copied(),
            };
            let sealed = self.seal(node, draft, previous);
            digests.push(sealed.digest);
            for held in next.evidence.iter_mut().filter(|h| h.id == draft.id) {
                held.digest = Some(sealed.digest);
            }
            archive.push((draft.id, sealed));
        }
        let wanted =
            |s: &&Sealed| next.evidence.iter().any(|h| h.id == s.evidence.evidence_identifier);
        let kept = got.iter().filter(wanted).cloned();
        archive.extend(kept.map(|s| (s.evidence.evidence_identifier, s)));
        let Some(site) = self.sites.get_mut(node) else { return };
        for (id, sealed) in archive {
            match site.archive.get(&id) {
                Some(known) if *known != sealed => {
                    self.broken.push(format!("{node} holds two versions of evidence {id}"));
                }
                _ => drop(site.archive.insert(id, sealed)),
            }
        }
        if !site.deliveries.contains_key(&id) && next.phase != Phase::RelayRejected {
            site.content.insert(id);
        }
        for effect in effects {
            match effect {
                Effect::Notify { member, what } => site.told.push((member, what)),
                Effect::EraseContent => drop(site.content.remove(&id)),
                Effect::Incident { .. } => {}
                other => site.outbox.push((id, other)),
            }
        }
        site.deliveries.insert(id, next);
    }

    /// Carries out one effect of a node's outbox, if there is one at `position`.
    pub fn carry_out(&mut self, node: &NodeId, position: usize, fate: Fate) {
        let Some(site) = self.sites.get_mut(node).filter(|s| position < s.outbox.len()) else {
            return;
        };
        let (id, effect) = site.outbox.remove(position);
        // A dispatch is looked at once more before it goes out: it may have been given up.
        let dead = site.deliveries.get(&id).is_none_or(|d| !d.awaits_dispatch());
        if matches!(effect, Effect::SendDispatch { .. }) && dead {
            return;
        }
        let Some(frame) = self.frame(node, id, &effect) else {
            if effect == Effect::Continue {
                drop(self.input(node, id, Input::Continue, &[], Crash::Never));
            }
            return;
        };
        let dispatch = matches!(frame.body, Body::Dispatch { .. });
        if matches!(fate, Fate::Confirmed | Fate::Unknown | Fate::Killed) {
            self.wire.push(frame);
        }
        let report = match fate {
            Fate::Confirmed => Input::Sent,
            Fate::Unknown | Fate::Failed => Input::SendFailed,
            Fate::Unroutable => Input::Unroutable,
            Fate::Killed => {
                self.unknown_to_sender.insert(node.clone());
                self.put_back(node, id, effect);
                return;
            }
        };
        if dispatch {
            drop(self.input(node, id, report, &[], Crash::Never));
        } else if fate != Fate::Confirmed {
            // Evidence is sent until it is confirmed.
            self.put_back(node, id, effect);
        }
    }

    fn put_back(&mut self, node: &NodeId, id: DeliveryId, effect: Effect) {
        if let Some(site) = self.sites.get_mut(node) {
            site.outbox.push((id, effect));
        }
    }

    fn frame(&self, node: &NodeId, id: DeliveryId, effect: &Effect) -> Option<Frame> {
        let site = self.sites.get(node)?;
        let delivery = site.deliveries.get(&id)?;
        let (to, body) = match effect {
            Effect::SendDispatch { to } => {
                let first = delivery.evidence.first()?;
                let body = Body::Dispatch {
                    recipient_index: delivery.recipient_index,
                    hop: delivery.hop,
                    digest: digest(format!("dispatch/{id}").as_bytes()),
                    acceptance: site.archive.get(&first.id).cloned().map(Box::new),
                    relays: delivery
                        .relayed_by(node)
                        .filter_map(|held| site.archive.get(&held.id).cloned())
                        .collect(),
                };
                (to, body)
            }
            Effect::SendEvidence { to, evidence } => {
                let all = evidence.iter().filter_map(|id| site.archive.get(id)).cloned().collect();
                (to, Body::Evidence(id, all))
            }
            Effect::SendStatus { to } => {
                let (by, status) = site.status.get(&id)?.clone();
                (to, Body::Status(id, by, status))
            }
            _ => return None,
        };
        Some(Frame { from: node.clone(), to: to.clone(), body })
    }

    /// Hands over the frame at `position`. Killed nodes get it again.
    pub fn deliver(&mut self, position: usize, crash: Crash) {
        if position >= self.wire.len() {
            return;
        }
        let frame = match crash {
            Crash::Never => self.wire.remove(position),
            _ => match self.wire.get(position) {
                Some(frame) => frame.clone(),
                None => return,
            },
        };
        self.receive(frame, crash);
    }

    /// A frame arrives at its node.
    pub fn receive(&mut self, frame: Frame, crash: Crash) {
        let Frame { from, to, body } = frame;
        match body {
            Body::Dispatch { recipient_index, hop, digest, acceptance, relays } => {
                let envelope = self.envelope.clone();
                let id = DeliveryId::derive(envelope.message_id, recipient_index);
                let inbound = Inbound {
                    envelope: &envelope,
                    recipient_index,
                    origin: fixture::node("s"),
                    from,
                    hop,
                    dispatch: digest,
                    acceptance: acceptance.as_deref().map(|a| self.fact(a)),
                    relays: relays.iter().map(|r| self.fact(r)).collect(),
                    findings: Vec::new(),
                };
                let got: Vec<_> = acceptance.into_iter().map(|a| *a).chain(relays).collect();
                let input = Input::Dispatched(Box::new(inbound));
                drop(self.input(&to, id, input, &got, crash));
            }
            Body::Evidence(id, all) => {
                for sealed in all {
                    let input = Input::Evidence(self.fact(&sealed));
                    drop(self.input(&to, id, input, &[sealed], crash));
                }
            }
            Body::Status(id, by, status) => {
                drop(self.input(&to, id, Input::StatusReceived { by, status }, &[], crash));
            }
        }
    }

    /// Time passes; every node looks at its timers.
    pub fn advance(&mut self, millis: i64) {
        self.now = self.now.plus(millis);
        let due: Vec<_> = self
            .sites
            .iter()
            .flat_map(|(node, site)| site.deliveries.values().map(move |d| (node.clone(), d)))
            .filter(|(_, d)| d.next_due().is_some_and(|at| at <= self.now))
            .map(|(node, d)| (node, d.id))
            .collect();
        for (node, id) in due {
            drop(self.input(&node, id, Input::Due, &[], Crash::Never));
        }
        self.check_deadlines();
    }

    /// Everything waiting is carried out and handed over, without faults, until nothing moves.
    pub fn run(&mut self) {
        for _ in 0..1_000 {
            let nodes: Vec<NodeId> = self.sites.keys().cloned().collect();
            for node in nodes {
                while self.sites.get(&node).is_some_and(|s| !s.outbox.is_empty()) {
                    self.carry_out(&node, 0, Fate::Confirmed);
                }
            }
            if self.wire.is_empty() {
                return;
            }
            self.deliver(0, Crash::Never);
        }
        self.broken.push("it never comes to rest".to_owned());
    }

    /// A delivery at a node.
    #[must_use]
    pub fn at(&self, node: &str, id: DeliveryId) -> Option<&Delivery> {
        self.sites.get(&fixture::node(node))?.deliveries.get(&id)
    }

    fn seal(&mut self, node: &NodeId, draft: &EvidenceDraft, previous: Option<Digest>) -> Sealed {
        let evidence = draft.evidence(node, &self.subject, previous);
        if let Err(why) = evidence.check() {
            self.broken.push(format!("{} of {node} is not well formed: {why}", draft.event.name()));
        }
        Sealed { digest: digest(&evidence.to_json()), evidence }
    }

    /// What the verification of a seal would establish.
    #[must_use]
    pub fn fact(&self, sealed: &Sealed) -> EvidenceFact {
        let e = &sealed.evidence;
        EvidenceFact {
            id: e.evidence_identifier,
            event: e.event().unwrap_or(Event::ReceivedFromNonERDS),
            reason: e.reason(),
            issuer: e.issuer().unwrap_or_else(|| fixture::node("nobody")),
            at: e.event_time,
            digest: sealed.digest,
            recipient_index: e.evidence_refers_to_recipient.map(|i| i.saturating_sub(1)),
            external: e.external(),
            same_content: e.message_identifier == self.subject.message_id
                && e.user_content_info == self.subject.content,
        }
    }

    /// All evidence of an event, at whatever node, once each.
    #[must_use]
    pub fn all(&self, event: Event) -> Vec<&Sealed> {
        let mut seen = BTreeSet::new();
        self.sites
            .values()
            .flat_map(|s| s.archive.values())
            .filter(|s| s.evidence.event() == Some(event))
            .filter(|s| seen.insert(s.evidence.evidence_identifier))
            .collect()
    }

    /// Event and reason of the evidence that a node holds of a delivery, in its order.
    #[must_use]
    pub fn story(&self, node: &str, id: DeliveryId) -> Vec<(Event, Option<Reason>)> {
        let held = self.at(node, id).map(|d| d.evidence.as_slice()).unwrap_or_default();
        held.iter().map(|h| (h.event, h.reason)).collect()
    }
}

/// Stands for SHA-256: two UUIDv5 (SHA-1) of different namespaces.
#[must_use]
pub fn digest(bytes: &[u8]) -> Digest {
    let half = |namespace: &Uuid| Uuid::new_v5(namespace, bytes).into_bytes();
    let mut out = [0; 32];
    let halves = half(&Uuid::NAMESPACE_OID).into_iter().chain(half(&Uuid::NAMESPACE_X500));
    out.iter_mut().zip(halves).for_each(|(to, from)| *to = from);
    Digest(out)
}
