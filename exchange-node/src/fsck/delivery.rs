//! A delivery: its columns, its state, and what the evidence says that they should be.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;

use exchange_store::snapshot::{DeliveryLook, InboxLook, KeyLook};
use schemas::digest::Digest;
use schemas::envelope::Envelope;
use schemas::status::BusinessStatus;
use schemas::time::{DAY, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::object::{Kind, Said};
use super::story::Teller;
use super::{Audit, finding, keys};

/// What lies around a delivery.
pub(super) struct Around<'a> {
    pub(super) envelope: &'a Envelope,
    /// All sealed objects of its message, in the order of the archive.
    pub(super) objects: &'a [Said],
    pub(super) inbox: Option<&'a InboxLook>,
    pub(super) keys: &'a [KeyLook],
}

/// The state as it is stored, read for what it says.
#[derive(Deserialize)]
pub(super) struct State {
    pub(super) id: Uuid,
    pub(super) message: Uuid,
    pub(super) recipient_index: u32,
    pub(super) role: String,
    pub(super) phase: String,
    since: Timestamp,
    custodian: String,
    origin: String,
    previous_hop: Option<String>,
    timers: BTreeMap<String, Option<Timestamp>>,
    evidence: Vec<Listed>,
    business: Option<String>,
}

/// An evidence as the state lists it.
#[derive(Deserialize)]
struct Listed {
    id: Uuid,
    event: String,
    reason: Option<String>,
    node: String,
    at: Timestamp,
    digest: Option<Digest>,
}

/// States in which nothing more is owed.
const ENDS: [&str; 10] = [
    "rejected",
    "relay_rejected",
    "relay_failed",
    "refused",
    "expired",
    "consign_failed",
    "handed_over",
    "handover_failed",
    "cancelled",
    "external",
];

/// How long the evidence that another one cites may be on its way.
const PATIENCE: i64 = DAY;

impl State {
    pub(super) fn is_here(&self) -> bool {
        matches!(self.role.as_str(), "recipient" | "local")
    }

    fn next_due(&self) -> Option<Timestamp> {
        self.timers.values().flatten().min().copied()
    }
}

pub(super) fn examine(audit: &mut Audit<'_>, row: &DeliveryLook, around: &Around<'_>) {
    audit.report.deliveries += 1;
    let state = match serde_json::from_str::<State>(&row.state) {
        Ok(state) => state,
        Err(error) => return audit.report.find(finding::STATE, &row.id, &[&error]),
    };
    let mine: Vec<&Said> =
        around.objects.iter().filter(|s| s.deliveries.contains(&row.id)).collect();
    audit.report.objects += mine.len() as u64;
    columns(audit, row, &state, around.envelope);
    listed(audit, row, &state, &mine);
    // In the order in which the node got to know them.
    let evidence: Vec<&Said> = state
        .evidence
        .iter()
        .filter_map(|l| mine.iter().find(|s| s.kind == Kind::Evidence && s.id == l.id))
        .copied()
        .collect();
    links(audit, row, &evidence);
    let teller = Teller {
        node: audit.place.node.as_str(),
        role: &state.role,
        origin: &state.origin,
        previous_hop: state.previous_hop.as_deref(),
    };
    told(audit, row, &state, &teller, &evidence);
    audit.answers.extend(teller.answers(&evidence));
    business(audit, row, &state, &mine);
    due(audit, row, &state);
    inbox(audit, row, &state, around);
    keys::examine(audit, row, &state, around, &evidence);
}

/// The columns beside the state repeat it.
fn columns(audit: &mut Audit<'_>, row: &DeliveryLook, state: &State, envelope: &Envelope) {
    let time = |at: Option<Timestamp>| at.map(|t| t.to_string()).unwrap_or_default();
    let stamp = |at: Option<i64>| time(at.map(Timestamp::from_millis));
    let index = usize::try_from(state.recipient_index).unwrap_or(usize::MAX);
    let recipient = envelope.recipients.get(index).filter(|_| state.is_here());
    let recipient = recipient.map(|r| r.organisation().key());
    let derived = schemas::ids::DeliveryId::derive(envelope.message_id, state.recipient_index);
    let pairs = [
        ("id", row.id.to_string(), state.id.to_string()),
        ("id", row.id.to_string(), derived.to_string()),
        ("message", row.message.to_string(), state.message.to_string()),
        ("role", row.role.clone(), state.role.clone()),
        ("phase", row.phase.clone(), state.phase.clone()),
        ("since", stamp(Some(row.since)), state.since.to_string()),
        ("custodian", row.custodian.clone(), state.custodian.clone()),
        ("next_due", stamp(row.next_due), time(state.next_due())),
        (
            "recipient_member",
            row.recipient_member.clone().unwrap_or_default(),
            recipient.unwrap_or_default(),
        ),
    ];
    for (name, column, said) in pairs.into_iter().filter(|(_, column, said)| column != said) {
        audit.report.find(finding::COLUMN, &row.id, &[&name, &column, &said]);
    }
}

/// The state lists exactly the evidence that is there, as its seals say.
fn listed(audit: &mut Audit<'_>, row: &DeliveryLook, state: &State, mine: &[&Said]) {
    let all: HashSet<Uuid> = state.evidence.iter().map(|l| l.id).collect();
    let evidence = || mine.iter().filter(|s| s.kind == Kind::Evidence);
    for stray in evidence().filter(|s| !all.contains(&s.id)) {
        audit.report.find(finding::UNLISTED, &row.id, &[&stray.id]);
    }
    for one in &state.evidence {
        let Some(said) = evidence().find(|s| s.id == one.id) else {
            audit.report.find(finding::MISSING, &row.id, &[&one.id]);
            continue;
        };
        if one.digest != Some(said.digest) {
            audit.report.find(finding::DIGEST, &row.id, &[&one.id]);
        }
        let reason = one.reason.clone().unwrap_or_default();
        let pairs = [
            ("event", one.event.clone(), said.event.clone()),
            ("reason", reason, said.reason.clone()),
            ("node", one.node.clone(), said.issuer.clone()),
            ("at", one.at.to_string(), said.at.to_string()),
        ];
        for (name, noted, sealed) in pairs.into_iter().filter(|(_, noted, sealed)| noted != sealed)
        {
            audit.report.find(finding::HELD, &row.id, &[&name, &one.id, &noted, &sealed]);
        }
    }
}

/// Each evidence cites the one before it. Of its own, a node knows exactly which that was; another
/// node's, and what came back after a restoration, may cite what is still on its way.
fn links(audit: &mut Audit<'_>, row: &DeliveryLook, evidence: &[&Said]) {
    let node = audit.place.node.as_str();
    let mut before: Option<&Said> = None;
    for one in evidence {
        let cited = one.previous.as_deref();
        let own = one.issuer == node && one.at == one.stored_at;
        let holds = if own {
            cited == before.map(|b| b.digest.to_string()).as_deref()
        } else {
            let known = |c: &str| evidence.iter().any(|s| s.digest.to_string() == c);
            cited.is_none_or(known) || audit.place.now.since(one.stored_at) < PATIENCE
        };
        if !holds {
            let cited = cited.unwrap_or("-");
            audit.report.find(finding::LINK, &row.id, &[&one.id, &one.issuer, &cited]);
        }
        before = Some(one);
    }
}

/// State, custodian and since when.
fn told(
    audit: &mut Audit<'_>,
    row: &DeliveryLook,
    state: &State,
    teller: &Teller<'_>,
    evidence: &[&Said],
) {
    let phase = state.phase.as_str();
    let phases = teller.phases(evidence);
    if !phases.contains(&phase) {
        return audit.report.find(finding::PHASE, &row.id, &[&phase, &phases.join(" / ")]);
    }
    let custodians = teller.custodians(evidence, phase);
    if !custodians.contains(&state.custodian.as_str()) {
        let values: [&dyn Display; 2] = [&state.custodian, &custodians.join(" / ")];
        audit.report.find(finding::CUSTODIAN, &row.id, &values);
    }
    let Some(beginning) = teller.beginning(evidence).map(|s| s.stored_at) else { return };
    // Publication leaves no evidence, and an A.1 may have come with an earlier delivery.
    let fits = match phase {
        "accepted" | "relaying" => state.since >= beginning,
        _ => state.since == beginning,
    };
    if !fits {
        audit.report.find(finding::SINCE, &row.id, &[&state.since, &beginning]);
    }
}

/// The business status follows from the sealed ones, each where it may follow the one before.
fn business(audit: &mut Audit<'_>, row: &DeliveryLook, state: &State, mine: &[&Said]) {
    let mut latest: Option<BusinessStatus> = None;
    for said in mine.iter().filter(|s| s.kind == Kind::Status) {
        let status = serde_json::from_value(Value::from(said.status.as_str())).ok();
        latest = status.filter(|s: &BusinessStatus| s.may_follow(latest)).or(latest);
    }
    let latest = latest.map_or("-", BusinessStatus::name);
    let noted = state.business.as_deref().unwrap_or("-");
    if noted != latest {
        audit.report.find(finding::BUSINESS, &row.id, &[&noted, &latest]);
    }
}

/// An open delivery has a next due time, an end has none.
fn due(audit: &mut Audit<'_>, row: &DeliveryLook, state: &State) {
    let end = ENDS.contains(&state.phase.as_str());
    match (end, state.next_due()) {
        (false, None) => audit.report.find(finding::NO_DUE, &row.id, &[&state.phase]),
        (true, Some(_)) => audit.report.find(finding::DUE_AT_END, &row.id, &[&state.phase]),
        _ => {}
    }
}

/// Exactly the deliveries that wait for a member are in its inbox.
fn inbox(audit: &mut Audit<'_>, row: &DeliveryLook, state: &State, around: &Around<'_>) {
    let waits = matches!(state.phase.as_str(), "awaiting_acceptance" | "consigned");
    let member = row.recipient_member.as_deref().filter(|_| waits && state.is_here());
    match (member, around.inbox) {
        (None, None) => {}
        (Some(member), None) => {
            audit.report.find(finding::INBOX_MISSING, &row.id, &[&state.phase, &member]);
        }
        (None, Some(item)) => audit.report.find(finding::INBOX_STRAY, &row.id, &[&item.member]),
        (Some(member), Some(item)) => {
            let pairs = [(item.member.as_str(), member), (&item.phase, &state.phase)];
            for (item, delivery) in pairs.into_iter().filter(|(item, delivery)| item != delivery) {
                audit.report.find(finding::INBOX, &row.id, &[&item, &delivery]);
            }
        }
    }
}
