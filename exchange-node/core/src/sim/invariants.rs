//! The promises (`architecture.md` section 7, `lifecycle.md` "Invariants to test"), checked after
//! every step over what all nodes hold.

use std::collections::BTreeMap;

use schemas::digest::Digest;
use schemas::event::{Event, Reason};
use schemas::ids::{DeliveryId, EvidenceId, NodeId};
use schemas::time::HOUR;

use super::{Net, Sealed, Site};
use crate::fixture;
use crate::fold;
use crate::rules;
use crate::state::{Delivery, Phase, Role};

impl Net {
    /// Notes every promise that does not hold now.
    pub fn check(&mut self) {
        let mut broken = Vec::new();
        self.check_bytes(&mut broken);
        self.check_submission(&mut broken);
        let deliveries: Vec<(&NodeId, &Site, &Delivery)> = self
            .sites
            .iter()
            .flat_map(|(node, site)| site.deliveries.values().map(move |d| (node, site, d)))
            .collect();
        for (node, site, delivery) in &deliveries {
            check_state(node, site, delivery, &mut broken);
        }
        for id in deliveries.iter().map(|(.., d)| d.id) {
            self.check_hops(id, &mut broken);
            self.check_once(id, &mut broken);
            self.check_custody(id, &mut broken);
        }
        broken.sort();
        broken.dedup();
        self.broken.extend(broken);
    }

    /// Every recipient's sender knows, by the time to consign and an hour: an end, progress at the
    /// recipient's, or an attested "no information".
    pub(super) fn check_deadlines(&mut self) {
        let span = rules::deadlines(&self.ground.catalogue, &self.envelope.process).consign;
        let from = self.envelope.requested.not_before.map_or(fixture::T0, |t| t.max(fixture::T0));
        let metropole = crate::working_days::Territory::Metropole;
        let late = crate::deadline::after(from, span, metropole).plus(HOUR);
        if self.now < late {
            return;
        }
        let silent = |d: &&Delivery| {
            matches!(d.role, Role::Sender | Role::Local)
                && !d.evidence.iter().any(|h| {
                    matches!(h.event.family(), 'C' | 'D' | 'E' | 'F')
                        || h.event == Event::RelayFailure
                })
        };
        let silent: Vec<_> = self
            .sites
            .values()
            .flat_map(|s| s.deliveries.values())
            .filter(silent)
            .map(|d| format!("{} knows nothing after the time to consign: {:?}", d.origin, d))
            .collect();
        self.broken.extend(silent);
    }

    /// Invariants 4 and 5: one identifier, one text, everywhere; one content in all of them.
    fn check_bytes(&self, broken: &mut Vec<String>) {
        let mut known: BTreeMap<EvidenceId, Digest> = BTreeMap::new();
        for sealed in self.sites.values().flat_map(|s| s.archive.values()) {
            let id = sealed.evidence.evidence_identifier;
            if *known.entry(id).or_insert(sealed.digest) != sealed.digest {
                broken.push(format!("evidence {id} has two versions"));
            }
            if sealed.evidence.user_content_info != self.subject.content {
                broken.push(format!("evidence {id} is about other documents"));
            }
        }
    }

    /// Invariant 1, first half.
    fn check_submission(&self, broken: &mut Vec<String>) {
        let all = [Event::SubmissionAcceptance, Event::SubmissionRejection];
        if all.into_iter().map(|e| self.all(e).len()).sum::<usize>() != 1 {
            broken.push("not exactly one of A.1 and A.2".to_owned());
        }
    }

    /// Invariant 1, second half: what was said about each hop agrees.
    fn check_hops(&self, id: DeliveryId, broken: &mut Vec<String>) {
        for (node, next) in self.hops(id) {
            let by = |event, issuer: &NodeId, other: &NodeId| {
                self.about(id, event).into_iter().find(|s| {
                    s.evidence.issuer().as_ref() == Some(issuer)
                        && s.evidence.external().as_ref() == Some(other)
                })
            };
            let b1 = by(Event::RelayAcceptance, &next, &node);
            let b2 = by(Event::RelayRejection, &next, &node);
            let b3 = by(Event::RelayFailure, &node, &next).and_then(|s| s.evidence.reason());
            if b1.is_some() && b2.is_some() {
                broken.push(format!("{next} accepted and refused"));
            }
            // A publication that its node never learnt of: the late fact rules, see `fold`.
            let excused = self.unknown_to_sender.contains(&node);
            if b1.is_some() && b3.is_some_and(|r| r != Reason::Rb22) && !excused {
                broken.push(format!("{next} accepted what {node} declared failed: {b3:?}"));
            }
            let same = |s: &Sealed| s.evidence.reason() == b3;
            if b2.is_some_and(|s| b3.is_some() && b3 != Some(Reason::Rb22) && !same(s)) && !excused
            {
                broken.push(format!("{node} gives another reason than {next}: {b3:?}"));
            }
        }
    }

    /// Invariant 3, and MD03: nothing is consigned or handed over twice, or too late.
    fn check_once(&self, id: DeliveryId, broken: &mut Vec<String>) {
        for event in [Event::ContentConsignment, Event::ContentHandover] {
            let all = self.about(id, event);
            if all.len() > 1 {
                broken.push(format!("{} happened twice", event.name()));
            }
            let end = self.envelope.requested.expires_at;
            let start = self.envelope.requested.not_before;
            for at in all.iter().map(|s| s.evidence.event_time) {
                if end.is_some_and(|end| at >= end) || start.is_some_and(|start| at < start) {
                    broken.push(format!("{} at {at}, out of its time", event.name()));
                }
            }
        }
    }

    /// Invariant 2: whoever the sender's node takes for the custodian has taken the delivery, and
    /// holds its content unless it ended there or went on.
    fn check_custody(&self, id: DeliveryId, broken: &mut Vec<String>) {
        for (node, delivery) in self.deliveries(id) {
            let custodian = &delivery.custodian;
            if custodian == node || delivery.phase.is_end() {
                continue;
            }
            let there = self.sites.get(custodian);
            let holds = there.is_some_and(|s| {
                s.deliveries.get(&id).is_some_and(|d| {
                    let passed_on = d.custodian != *custodian;
                    s.content.contains(&id) || d.phase.is_end() || passed_on
                })
            });
            if !holds {
                broken.push(format!("{node} takes {custodian} for the custodian of {id}"));
            }
        }
    }

    fn deliveries(&self, id: DeliveryId) -> impl Iterator<Item = (&NodeId, &Delivery)> {
        self.sites.iter().filter_map(move |(node, s)| Some((node, s.deliveries.get(&id)?)))
    }

    fn hops(&self, id: DeliveryId) -> Vec<(NodeId, NodeId)> {
        self.deliveries(id)
            .filter_map(|(node, d)| Some((node.clone(), d.next_hop.clone()?)))
            .collect()
    }

    fn about(&self, id: DeliveryId, event: Event) -> Vec<&Sealed> {
        let mine =
            |s: &&Sealed| s.evidence.extension().and_then(|e| e.delivery_identifier) == Some(id);
        self.all(event).into_iter().filter(mine).collect()
    }
}

/// Invariants 2 and 6 for one delivery at one node.
fn check_state(node: &NodeId, site: &Site, delivery: &Delivery, broken: &mut Vec<String>) {
    let phase = delivery.phase;
    if phase.is_end() != delivery.next_due().is_none() {
        broken.push(format!("{node}: {phase:?} is due at {:?}", delivery.next_due()));
    }
    let folded = fold::phase(delivery, node);
    if folded != phase && (folded, phase) != (Phase::Accepted, Phase::Relaying) {
        broken.push(format!("{node}: {phase:?}, and its evidence says {folded:?}"));
    }
    if fold::custodian(delivery, node) != delivery.custodian {
        broken.push(format!("{node}: {} is not the custodian", delivery.custodian));
    }
    for held in &delivery.evidence {
        let there = site.archive.get(&held.id);
        if there.map(|s| s.digest) != held.digest {
            broken.push(format!("{node}: {} is not in the archive as held", held.id));
        }
    }
}
