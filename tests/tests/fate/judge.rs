//! What must hold when everything is healed and nothing moves any more.

use std::collections::{BTreeMap, BTreeSet};

use exchange_core::state::{Delivery, Phase, Role};
use exchange_node::fsck;
use exchange_node::keys::Keys;
use exchange_store::content::Shelf;
use exchange_store::rows::{DeliveryQuery, DeliveryRow, EvidenceRow, Kind, QueueQuery};
use schemas::digest::Digest;
use schemas::event::{Event, Reason};
use schemas::evidence::{Evidence, UserContentInfo};
use schemas::ids::{DeliveryId, EvidenceId, MessageId, NodeId};
use schemas::time::{DAY, MINUTE};

use crate::ground::at_once;
use crate::people::Letter;
use crate::schedule::Schedule;
use crate::site::Site;
use crate::tally::{Tally, add, count};

/// Everything that one node holds.
struct Held {
    node: NodeId,
    deliveries: BTreeMap<DeliveryId, DeliveryRow>,
    objects: Vec<EvidenceRow>,
}

impl Held {
    fn by(site: &Site) -> Self {
        let query = DeliveryQuery { messages: Vec::new(), after: 0, limit: 10_000 };
        let rows = at_once(site.store.deliveries(&query)).unwrap();
        Self {
            node: site.plan.id.clone(),
            deliveries: rows.into_iter().map(|r| (r.delivery.id, r)).collect(),
            objects: at_once(site.store.evidence_after(0, 10_000)).unwrap(),
        }
    }

    fn delivery(&self, id: DeliveryId) -> Option<&Delivery> {
        self.deliveries.get(&id).map(|r| &r.delivery)
    }
}

/// The judgement of one schedule.
pub struct Judge<'a> {
    schedule: &'a Schedule,
    all: Vec<Held>,
    sealed: BTreeMap<EvidenceId, Evidence>,
    unheard: BTreeSet<String>,
    broken: Vec<String>,
}

/// Every promise that was broken.
pub fn broken(schedule: &Schedule) -> Vec<String> {
    let all: Vec<Held> = schedule.sites.iter().map(|s| Held::by(s)).collect();
    let unheard = schedule.wires.iter().flat_map(|w| w.unheard()).collect();
    let mut judge = Judge { schedule, all, sealed: BTreeMap::new(), unheard, broken: Vec::new() };
    judge.bytes();
    judge.letters();
    judge.hops();
    judge.custody();
    judge.people();
    for site in &schedule.sites {
        judge.site(site);
    }
    for wire in &schedule.wires {
        judge.broken.extend(wire.broken());
        if wire.left() > 0 {
            judge.broken.push(format!("{}: {} frames are left", wire.name, wire.left()));
        }
    }
    judge.broken
}

impl Judge<'_> {
    fn fault(&mut self, what: String) {
        self.broken.push(what);
    }

    /// Whether somebody may have made this delivery fail: by silence, or by a seal that fits and
    /// whose certificate does not count, the one false frame that is answered (c9). What was spoiled
    /// on its way ends nothing.
    fn may_fail(&self, id: DeliveryId) -> bool {
        let t = &self.schedule.trouble;
        let refusals: Vec<_> = self
            .sealed
            .values()
            .filter(|e| e.event() == Some(Event::RelayRejection))
            .filter(|e| e.extension().and_then(|x| x.delivery_identifier) == Some(id))
            .map(Evidence::reason)
            .collect();
        let of_seals =
            |reason: &Option<Reason>| matches!(reason, Some(Reason::Rb04 | Reason::Rb05));
        if refusals.is_empty() {
            t.malice.steal > 0 || t.archive_away > 12 || t.wire_away > 12
        } else {
            t.malice.forge > 0 && refusals.iter().all(of_seals)
        }
    }

    /// One identifier, one text, everywhere; each evidence is at its issuer's; one content.
    fn bytes(&mut self) {
        let mut digests: BTreeMap<EvidenceId, Digest> = BTreeMap::new();
        let mut faults = Vec::new();
        for held in &self.all {
            for row in held.objects.iter().filter(|o| o.evidence.kind == Kind::Evidence) {
                add(Tally::Promise, 3);
                let (id, sha256) = (row.evidence.id, row.evidence.sha256);
                if *digests.entry(id).or_insert(sha256) != sha256 {
                    faults.push(format!("evidence {id} has two texts"));
                }
                let Ok(opened) = signing::seal::open(&row.evidence.p7m) else {
                    faults.push(format!("evidence {id} does not open"));
                    continue;
                };
                match serde_json::from_slice::<Evidence>(&opened.content) {
                    Ok(evidence) => drop(self.sealed.insert(id, evidence)),
                    Err(e) => faults.push(format!("evidence {id}: {e}")),
                }
                let issuer = self.all.iter().find(|h| h.node == row.evidence.node);
                let there = issuer.is_some_and(|h| h.objects.iter().any(|o| o.evidence.id == id));
                if !there {
                    let who = &row.evidence.node;
                    faults.push(format!("{} holds {id}, that {who} never issued", held.node));
                }
            }
        }
        let envelopes = self.all.iter().flat_map(|h| h.deliveries.values());
        let content: BTreeMap<MessageId, UserContentInfo> = envelopes
            .map(|r| (r.delivery.message, UserContentInfo::of(&r.envelope.documents)))
            .collect();
        for evidence in self.sealed.values() {
            count(Tally::Promise);
            let about = content.get(&evidence.message_identifier);
            if about.is_some_and(|c| *c != evidence.user_content_info) {
                let id = evidence.evidence_identifier;
                faults.push(format!("evidence {id} is about other documents"));
            }
        }
        self.broken.append(&mut faults);
    }

    /// What senders were told is what recipients hold.
    fn letters(&mut self) {
        for letter in &self.schedule.letters {
            add(Tally::Promise, 3);
            let said = self.schedule.book.open().sent.get(&letter.number).copied();
            match said {
                None => self.fault(format!("the sender of {} was told nothing", letter.number)),
                Some(Err(evidence)) => {
                    self.fault(format!("letter {} was refused: {evidence:?}", letter.number));
                }
                Some(Ok(id)) if id != letter.id() => {
                    self.fault(format!("letter {} has two names", letter.number));
                }
                Some(Ok(_)) => {
                    for index in 0..letter.recipients.len() {
                        self.delivery(letter, index);
                    }
                }
            }
        }
        let known: BTreeSet<MessageId> = self.schedule.letters.iter().map(Letter::id).collect();
        let strangers: Vec<_> = self
            .all
            .iter()
            .flat_map(|h| h.deliveries.values().map(move |r| (&h.node, &r.delivery)))
            .filter(|(_, d)| !known.contains(&d.message) && d.phase != Phase::RelayRejected)
            .map(|(node, d)| format!("{node} holds {}, which nobody sent", d.id))
            .collect();
        self.broken.extend(strangers);
    }

    fn delivery(&mut self, letter: &Letter, index: usize) {
        count(Tally::Delivery);
        add(Tally::Promise, 3);
        let id = DeliveryId::derive(letter.id(), index as u32);
        let sites = &self.schedule.sites;
        let party = &letter.recipients[index];
        let to = sites
            .iter()
            .position(|s| schemas::party::Party::siret(&s.plan.member[0].siret) == *party)
            .unwrap();
        let here = self.all[letter.from].delivery(id).map(|d| (d.role, d.phase));
        let there = self.all[to].delivery(id).map(|d| d.phase);
        let what = format!("letter {}: {here:?} at the sender's, {there:?}", letter.number);
        let Some((role, phase)) = here else {
            return self.fault(what);
        };
        let thief = self.schedule.trouble.malice.steal > 0;
        let open = matches!(there, Some(Phase::Accepted | Phase::Relayed | Phase::Submitted));
        let agreed = match there {
            _ if role == Role::Local => !open,
            None | Some(Phase::RelayRejected) => phase == Phase::RelayFailed && self.may_fail(id),
            Some(there) => phase == there && !open,
        };
        let listens = matches!(
            phase,
            Phase::Relaying
                | Phase::Relayed
                | Phase::Unconfirmed
                | Phase::AwaitingAcceptance
                | Phase::Consigned
        );
        let unknown = thief && listens;
        if !agreed && !unknown {
            self.fault(what);
        }
        let read = self.schedule.book.open().read.get(&id).cloned();
        if read.as_ref().is_some_and(|text| *text != letter.text) {
            self.fault(format!("letter {} was read otherwise", letter.number));
        }
        if read.is_none() && matches!(there, Some(Phase::HandedOver)) {
            self.fault(format!("letter {} was handed over unread", letter.number));
        }
    }

    /// What was said about each hop agrees; nothing happens twice.
    fn hops(&mut self) {
        let mut faults = Vec::new();
        let about = |id: DeliveryId, event: Event| {
            self.sealed.values().filter(move |e| {
                e.event() == Some(event)
                    && e.extension().and_then(|x| x.delivery_identifier) == Some(id)
            })
        };
        for (node, delivery) in
            self.all.iter().flat_map(|h| h.deliveries.values().map(move |r| (&h.node, &r.delivery)))
        {
            let id = delivery.id;
            for event in [Event::ContentConsignment, Event::ContentHandover] {
                if about(id, event).count() > 1 {
                    faults.push(format!("{} of {id} happened twice", event.name()));
                }
            }
            add(Tally::Promise, 2);
            let Some(next) = &delivery.next_hop else { continue };
            add(Tally::Promise, 5);
            let by = |event, issuer: &NodeId, other: &NodeId| {
                about(id, event).find(|e| {
                    e.issuer().as_ref() == Some(issuer) && e.external().as_ref() == Some(other)
                })
            };
            let b1 = by(Event::RelayAcceptance, next, node);
            let b2 = by(Event::RelayRejection, next, node);
            let b3 = by(Event::RelayFailure, node, next).and_then(Evidence::reason);
            // A publication that its node never learnt of: the late fact rules.
            let excused = self.unheard.iter().any(|f| f.contains(&id.to_string()));
            let first = self.schedule.wires.iter().find_map(|w| w.dispatched(id, delivery.hop));
            let given_up = by(Event::RelayFailure, node, next).map(|e| e.event_time);
            // What was given up is not sent any more, or was under way at that moment.
            if let (Some(first), Some(given_up), Some(Reason::Rb09)) = (first, given_up, b3)
                && first.since(given_up) > MINUTE
            {
                faults.push(format!("{node} sends {id} after it gave it up"));
            }
            let failed = b3.is_some_and(|r| r != Reason::Rb22);
            if b1.is_some() && b2.is_some() {
                faults.push(format!("{next} accepted and refused {id}"));
            }
            if b1.is_some() && failed && !excused {
                faults.push(format!("{next} accepted {id}, {node} says {b3:?}"));
            }
            let same = |e: &Evidence| e.reason() == b3;
            if failed && b2.is_some_and(|e| !same(e)) && !excused {
                faults.push(format!("{node} gives another reason than {next} for {id}: {b3:?}"));
            }
            if b1.is_none() && b2.is_none() && b3.is_none() {
                faults.push(format!("nothing was said about {id} from {node} to {next}"));
            }
        }
        self.broken.append(&mut faults);
    }

    /// Whoever is taken for the custodian has taken the delivery, and it is due some day.
    fn custody(&mut self) {
        let mut faults = Vec::new();
        for held in &self.all {
            for delivery in held.deliveries.values().map(|r| &r.delivery) {
                add(Tally::Promise, 2);
                let (id, phase) = (delivery.id, delivery.phase);
                if phase.is_end() != delivery.next_due().is_none() {
                    faults.push(format!("{}: {phase:?} of {id} is never due", held.node));
                }
                let custodian = self.all.iter().find(|h| h.node == delivery.custodian);
                if !phase.is_end() && custodian.is_none_or(|c| c.delivery(id).is_none()) {
                    let who = &delivery.custodian;
                    faults.push(format!("{}: {who} is to have {id}, and has not", held.node));
                }
            }
        }
        self.broken.append(&mut faults);
    }

    /// What recipients were told is in both archives.
    fn people(&mut self) {
        let thief = self.schedule.trouble.malice.steal > 0;
        let told = self.schedule.book.open();
        let mut faults = told.broken.clone();
        for ((delivery, verb), evidence) in &told.acts {
            count(Tally::Promise);
            let holders: Vec<_> = self
                .all
                .iter()
                .filter(|h| h.objects.iter().any(|o| o.evidence.id == *evidence))
                .map(|h| &h.node)
                .collect();
            let wanted =
                self.all.iter().filter(|h| h.delivery(*delivery).is_some()).map(|h| &h.node);
            if !thief && wanted.clone().any(|node| !holders.contains(&node)) || holders.is_empty() {
                faults.push(format!("{verb} of {delivery} is known to {holders:?} alone"));
            }
        }
        drop(told);
        self.broken.append(&mut faults);
    }

    /// The auditor, the queue, the anchors.
    fn site(&mut self, site: &Site) {
        let id = &site.plan.id;
        let shelf = at_once(Shelf::open(&site.config.content.dir)).unwrap();
        let keys = Keys::read(&site.config).unwrap();
        let place = fsck::Place {
            node: id,
            store: site.store.as_ref(),
            shelf: Some(&shelf),
            whole: true,
            storage: Some(&keys.storage),
            anchors: &keys.anchors,
            tsa_anchors: &keys.tsa_anchors,
            now: site.times.now(),
        };
        let report = at_once(fsck::examine(&place, &|_, _, _| ())).unwrap();
        // The auditor's own count is not told: it is one promise here, the anchors another.
        add(Tally::Promise, 2);
        let thief = self.schedule.trouble.malice.steal > 0;
        // What was stolen is cited by what came after it.
        for finding in report.findings.into_iter().filter(|f| !(thief && f.code == "link")) {
            self.fault(format!(
                "{id}: fsck: {} {}: {}",
                finding.code, finding.what, finding.detail
            ));
        }
        let query = QueueQuery { to: None, after: 0, limit: 1_000 };
        let malice = &self.schedule.trouble.malice;
        let false_frames = malice.spoil + malice.forge + malice.replay > 0;
        let in_vain = thief || malice.spoil + malice.forge > 0;
        for row in at_once(site.store.queue(&query)).unwrap() {
            let fine = match row.state.as_str() {
                "set-aside" => false_frames || thief,
                "waiting" => in_vain,
                // An operator sees it, and nothing of it is lost.
                "dead" => {
                    let error = row.error.as_deref() == Some("the content never came");
                    in_vain && error && site.times.now().since(row.since) > 7 * DAY
                }
                _ => false,
            };
            if !fine {
                self.fault(format!("{id}: in the queue: {row:?}"));
            }
        }
        if let Some(at) = at_once(site.store.oldest_unanchored()).unwrap() {
            self.fault(format!("{id}: evidence since {at} has no anchor"));
        }
    }
}
