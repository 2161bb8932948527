//! What the evidence of a delivery tells: the state, who is the custodian, and since when.
//!
//! The state is read off the ETSI names by the table below, and nothing else.

use std::collections::HashSet;

use uuid::Uuid;

use super::object::Said;

/// Phase that an event brings about, and how far along the way it lies: the furthest one rules.
/// A failure that only says "no information" lies below the facts that answer it, see [`silence`].
const PHASES: [(&str, &str, u8); 18] = [
    ("SubmissionRejection", "rejected", 1),
    ("SubmissionAcceptance", "accepted", 1),
    ("RelayAcceptance", "relayed", 3),
    ("RelayRejection", "relay_rejected", 5),
    ("RelayFailure", "relay_failed", 6),
    ("NotificationForAcceptance", "awaiting_acceptance", 7),
    ("NotificationForAcceptanceFailure", "awaiting_acceptance", 7),
    ("NotificationDelivered", "awaiting_acceptance", 7),
    ("ConsignmentAcceptance", "relayed", 8),
    ("ConsignmentRejection", "refused", 9),
    ("AcceptanceRejectionExpiry", "expired", 9),
    ("ContentConsignment", "consigned", 10),
    ("ContentConsignmentFailure", "consign_failed", 9),
    ("ConsignmentNotification", "consigned", 10),
    ("ContentHandoverFailure", "handover_failed", 11),
    ("ContentHandover", "handed_over", 12),
    ("RelayToNonERDS", "external", 12),
    ("RelayToNonERDSFailure", "external", 12),
];

/// The last words about a message that leaves the network.
const EXITS: [&str; 2] = ["RelayToNonERDS", "RelayToNonERDSFailure"];

/// Whose story it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Teller<'a> {
    /// This node.
    pub(super) node: &'a str,
    /// What it is to the delivery.
    pub(super) role: &'a str,
    pub(super) origin: &'a str,
    pub(super) previous_hop: Option<&'a str>,
}

impl Teller<'_> {
    /// The states that the evidence allows: that of the furthest event, and those between two
    /// events that leave no evidence.
    pub(super) fn phases(&self, all: &[&Said]) -> Vec<&'static str> {
        let way = self.way(all);
        let said: Vec<&Said> = all.iter().copied().filter(|s| !is_way(s, &way)).collect();
        let rank = |one: &&Said| {
            PHASES.iter().find(|(name, ..)| *name == one.event).map(
                |(_, phase, rank)| match silence(one, &said) {
                    Some(rank) => ("unconfirmed", rank),
                    None => (*phase, *rank),
                },
            )
        };
        match said.iter().filter_map(rank).max_by_key(|(_, rank)| *rank) {
            None if self.role == "relay" => vec!["accepted", "relaying"],
            None => vec!["submitted", "accepted"],
            Some(("accepted", _)) if matches!(self.role, "sender" | "relay") => {
                vec!["accepted", "relaying"]
            }
            // Row 8 follows row 7 at once, also where this node had said RB22 before: the same B.3.
            Some(("relay_rejected", _)) if said.iter().any(|s| self.gave_up(s)) => {
                vec!["relay_failed"]
            }
            Some((phase, _)) => vec![phase],
        }
    }

    fn gave_up(&self, said: &Said) -> bool {
        said.event == "RelayFailure" && said.issuer == self.node
    }

    /// Who may hold the content, given that the delivery is in this phase.
    pub(super) fn custodians<'s>(&'s self, all: &[&'s Said], phase: &str) -> Vec<&'s str> {
        match (self.role, phase) {
            ("recipient", "relay_rejected") => vec![self.previous_hop.unwrap_or(self.origin)],
            ("sender" | "relay", "relay_failed") => vec![self.origin],
            ("sender" | "relay", _) => {
                let way = self.way(all);
                let ahead =
                    |s: &&&Said| s.event == "RelayAcceptance" && !way.contains(s.issuer.as_str());
                let taken: Vec<&Said> = all.iter().filter(ahead).copied().collect();
                let passed = |node: &str| taken.iter().any(|s| s.external == node);
                let last: Vec<&str> =
                    taken.iter().map(|s| s.issuer.as_str()).filter(|n| !passed(n)).collect();
                if last.is_empty() { vec![self.node] } else { last }
            }
            _ => vec![self.node],
        }
    }

    /// The evidence with which the present state began: the first after which it never changed.
    pub(super) fn beginning<'s>(&self, all: &[&'s Said]) -> Option<&'s Said> {
        let now = self.phases(all);
        let mut first = None;
        for n in (1..=all.len()).rev() {
            if self.phases(all.get(..n)?) != now {
                break;
            }
            first = all.get(n - 1).copied();
        }
        first
    }

    /// Which evidence answers which silence that had been attested before: the first that says
    /// what had not been known (row 10). In the order in which this node got to know them.
    pub(super) fn answers(&self, all: &[&Said]) -> Vec<(Uuid, Uuid)> {
        if !matches!(self.role, "sender" | "relay") {
            return Vec::new();
        }
        let way = self.way(all);
        let said: Vec<&Said> = all.iter().copied().filter(|s| !is_way(s, &way)).collect();
        let waits = |one: &Said| one.issuer == self.node || one.issuer == self.origin;
        let silent = |one: &Said| match one.reason.as_str() {
            "RB22" => true,
            "RD03" => one.problem.is_empty() && waits(one),
            _ => false,
        };
        let recipients = |one: &Said| {
            let word = PHASES.iter().any(|(name, _, rank)| *name == one.event && *rank >= 7);
            word && !silent(one) && !EXITS.contains(&one.event.as_str())
        };
        let answers = |fact: &Said, silence: &Said| {
            let taken = fact.event == "RelayAcceptance" && silence.reason == "RB22";
            let there = fact.external == silence.issuer || silence.issuer == self.node;
            (taken && there && fact.issuer != self.node) || recipients(fact)
        };
        let pair = |(i, silence): (usize, &&Said)| {
            let mut later = said.iter().skip(i + 1);
            let fact = later.find(|fact| answers(fact, silence))?;
            silent(silence).then_some((fact.id, silence.id))
        };
        said.iter().enumerate().filter_map(pair).collect()
    }

    /// The nodes by which the message came here, this one included, back to the sender's: each B.1
    /// names the node before. What became of it afterwards is what the nodes behind say.
    fn way<'s>(&'s self, all: &[&'s Said]) -> HashSet<&'s str> {
        let mut way: HashSet<&str> = HashSet::from([self.node]);
        if self.role != "relay" {
            return way;
        }
        let mut here = self.node;
        let before = |node: &str| {
            let own = |s: &&&Said| s.event == "RelayAcceptance" && s.issuer == node;
            all.iter().find(own).map(|s| s.external.as_str())
        };
        while let Some(previous) = before(here).filter(|n| !way.contains(n)) {
            way.insert(previous);
            here = previous;
        }
        way
    }
}

/// Whether it is about the way here. At the recipient's node, its own B.1 is the story.
fn is_way(said: &Said, way: &HashSet<&str>) -> bool {
    said.event == "RelayAcceptance" && way.len() > 1 && way.contains(said.issuer.as_str())
}

/// How far "no information" goes. RD03 says more than that a node has accepted the message, and
/// less than whatever the recipient's node says. So does RB22, until the node that it is about
/// answers. (RD03 with a problem behind it is an end: MD03 had passed.)
fn silence(one: &Said, said: &[&Said]) -> Option<u8> {
    let answers = |s: &&&Said| s.event == "RelayAcceptance" && s.external == one.issuer;
    match one.reason.as_str() {
        "RD03" if one.problem.is_empty() => Some(4),
        "RB22" if said.iter().any(|s| answers(&s)) => Some(2),
        "RB22" => Some(4),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(id: u128, event: &str, reason: &str, issuer: &str, external: &str) -> Said {
        Said {
            id: Uuid::from_u128(id),
            event: event.to_owned(),
            reason: reason.to_owned(),
            issuer: issuer.to_owned(),
            external: external.to_owned(),
            ..Said::default()
        }
    }

    #[test]
    fn each_silence_has_the_first_answer_after_it() {
        let all = [
            said(1, "SubmissionAcceptance", "RA01", "s", ""),
            said(2, "ContentConsignmentFailure", "RD03", "s", ""),
            said(3, "RelayFailure", "RB22", "s", "r"),
            said(4, "RelayAcceptance", "RB01", "r", "s"),
            said(5, "ContentConsignment", "RD01", "r", ""),
            said(6, "ContentHandover", "RE01", "r", ""),
        ];
        let all: Vec<&Said> = all.iter().collect();
        let at = |role| Teller { node: "s", role, origin: "s", previous_hop: None };
        let pair = |fact, silence| (Uuid::from_u128(fact), Uuid::from_u128(silence));
        assert_eq!(at("sender").answers(&all), [pair(5, 2), pair(4, 3)]);
        assert!(at("recipient").answers(&all).is_empty());
        assert!(at("sender").answers(&all[..3]).is_empty(), "nothing has answered");
    }
}
