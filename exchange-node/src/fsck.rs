//! The auditor: recomputes every projection from the sealed evidence, with code that shares
//! nothing with the writer. It does not use the core, nor the engine: the phase of a delivery is
//! read off the ETSI names in the eContent of its evidence by the table below, and nothing else.

use std::collections::{HashMap, HashSet};

use exchange_store::rows::{DeliveryQuery, DeliveryRow, EvidenceRow, Kind};
use exchange_store::{Store, StoreError};
use schemas::digest::Digest;
use schemas::ids::EvidenceId;
use serde::Serialize;
use serde_json::Value;

/// Deliveries of one read.
const PAGE: u32 = 500;

/// Something that does not agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A stable word.
    pub code: &'static str,
    /// The delivery or evidence.
    pub what: String,
    /// In words.
    pub detail: String,
}

/// What was examined and found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Deliveries examined.
    pub deliveries: u64,
    /// Sealed objects examined.
    pub objects: u64,
    /// Everything that does not agree.
    pub findings: Vec<Finding>,
}

/// Phase that an event brings about, and how far along the way it lies: the furthest one rules.
/// A failure that only says "no information" (RB22, RD03) lies below every fact.
const PHASES: [(&str, &str, u8); 16] = [
    ("SubmissionRejection", "rejected", 1),
    ("SubmissionAcceptance", "accepted", 1),
    ("RelayAcceptance", "relayed", 4),
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
];

/// What one evidence says, read from its seal.
struct Said {
    id: EvidenceId,
    event: String,
    reason: String,
    digest: Digest,
    previous: Option<String>,
    issuer: String,
}

/// Examines everything, a page at a time.
///
/// # Errors
/// When the archive cannot be read at all.
pub async fn examine(store: &dyn Store) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let mut after = 0;
    loop {
        let query = DeliveryQuery { messages: Vec::new(), after, limit: PAGE };
        let rows = store.deliveries(&query).await?;
        let Some(last) = rows.last() else {
            return Ok(report);
        };
        after = last.seq;
        for row in &rows {
            let objects = store.evidence_of(row.delivery.message).await?;
            delivery(row, &objects, &mut report);
        }
    }
}

fn delivery(row: &DeliveryRow, objects: &[EvidenceRow], report: &mut Report) {
    report.deliveries += 1;
    let id = row.delivery.id;
    let mut find = |code, detail: String| {
        report.findings.push(Finding { code, what: id.to_string(), detail });
    };
    let mut said: HashMap<EvidenceId, Said> = HashMap::new();
    for object in objects.iter().filter(|o| o.evidence.deliveries.contains(&id)) {
        report.objects += 1;
        match read(object) {
            Ok(Some(one)) => {
                if one.id != object.evidence.id {
                    find("identifier", format!("{} is stored as {}", one.id, object.evidence.id));
                }
                said.insert(one.id, one);
            }
            Ok(None) => {}
            Err(detail) => find("seal", detail),
        }
    }
    let held: HashSet<EvidenceId> = row.delivery.evidence.iter().map(|h| h.id).collect();
    for missing in held.iter().filter(|h| !said.contains_key(h)) {
        find("evidence-missing", format!("{missing} is listed but not there"));
    }
    for stray in said.keys().filter(|s| !held.contains(s)) {
        find("evidence-unlisted", format!("{stray} is there but not listed"));
    }
    for held in &row.delivery.evidence {
        let differs = said.get(&held.id).is_some_and(|s| held.digest != Some(s.digest));
        if differs {
            find("digest", format!("{} has another digest than its file", held.id));
        }
    }
    links(&said, &mut find);
    let phase = row.delivery.phase.name();
    let expected = phases(&said);
    if !agrees(phase, &expected) {
        find("phase", format!("the state is {phase}, the evidence says {}", expected.join(" or ")));
    }
    let open = !row.delivery.phase.is_end() && phase != "unconfirmed";
    if open && row.delivery.next_due().is_none() {
        find("no-due-time", format!("{phase} and nothing will ever be due"));
    }
}

/// Opens a stored object. None for one that is no evidence.
fn read(object: &EvidenceRow) -> Result<Option<Said>, String> {
    let digest = signing::digest::sha256(&object.evidence.p7m);
    if digest != object.evidence.sha256 {
        return Err(format!("{} has changed since it was stored", object.evidence.id));
    }
    let opened = signing::seal::open(&object.evidence.p7m)
        .map_err(|e| format!("{} does not open: {e}", object.evidence.id))?;
    if object.evidence.kind != Kind::Evidence {
        return Ok(None);
    }
    let json: Value = serde_json::from_slice(&opened.content)
        .map_err(|e| format!("{} is not JSON: {e}", object.evidence.id))?;
    let text = |pointer: &str| {
        json.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let last = |uri: String| uri.rsplit('/').next().unwrap_or_default().to_owned();
    let id = text("/EvidenceIdentifier").parse::<EvidenceId>().map_err(|e| e.to_string())?;
    let extension = "/Extensions/Extension/0/PreviousEvidenceDigest";
    Ok(Some(Said {
        id,
        event: last(text("/ERDSEventId")),
        reason: text("/EventReasons/EventReason/0/Details/0"),
        digest,
        previous: Some(text(extension)).filter(|t| !t.is_empty()),
        issuer: text("/EvidenceIssuerDetails/Identity/Attribute/0/AttributeValue/0"),
    }))
}

/// Each evidence cites one that is there.
fn links(said: &HashMap<EvidenceId, Said>, find: &mut dyn FnMut(&'static str, String)) {
    let digests: HashSet<String> = said.values().map(|s| s.digest.to_string()).collect();
    for one in said.values() {
        if let Some(previous) = one.previous.as_ref().filter(|p| !digests.contains(*p)) {
            // Another node may have known more than this one when it sealed.
            let detail = format!("{} of {} cites {previous}", one.id, one.issuer);
            if one.event == "SubmissionAcceptance" {
                find("link", detail);
            }
        }
    }
}

/// The states that the evidence allows: that of the furthest event, and those between two events
/// that leave no evidence.
fn phases(said: &HashMap<EvidenceId, Said>) -> Vec<&'static str> {
    let rank = |one: &Said| {
        let unknown = matches!(one.reason.as_str(), "RB22" | "RD03");
        PHASES
            .iter()
            .find(|(name, ..)| *name == one.event)
            .map(|(_, phase, rank)| if unknown { ("unconfirmed", 3) } else { (*phase, *rank) })
    };
    let furthest = said.values().filter_map(rank).max_by_key(|(_, rank)| *rank);
    match furthest {
        None => vec!["submitted"],
        Some(("accepted", _)) => vec!["accepted", "relaying"],
        Some((phase, _)) => vec![phase],
    }
}

fn agrees(phase: &str, expected: &[&str]) -> bool {
    expected.contains(&phase)
}
