//! Proof bundles: everything that a member may show to a court about one message, in one ASiC-E
//! container (`protocol.md` section 7).

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use askama::Template;
use exchange_core::fold;
use exchange_store::rows::{Anchored, AnchoredTree, EvidenceRow, Kind};
use schemas::envelope::Document;
use schemas::event::{Event, Reason};
use schemas::evidence::{Evidence, delay};
use schemas::ids::{EvidenceId, NodeId, ProcessCode};
use schemas::party::{Party, SIREN, SIRET};
use schemas::problem::Code;
use schemas::status::StatusUpdate;
use signing::container::{BundleFile, BundleInput, BundleRecord, build_bundle};
use signing::evidence_record::{RecordError, Tree, record};

use crate::access::OwnMessage;
use crate::api::error::{ApiError, ApiResult};
use crate::api::evidence::P7M;
use crate::dates::span;
use crate::directory::Snapshot;
use crate::node::Node;
use crate::report::{
    DeliveryPart, DocumentLine, Named, OtherLine, Outcome, Proof, Report, StepLine, TONGUES,
    grouped,
};
use crate::{reasons, sentences, words};

mod order;

/// Builds the bundle of a message, with what `message` may show.
///
/// # Errors
/// When the archive does not answer, or a stored object is damaged.
pub async fn bundle(node: &Node, message: &OwnMessage) -> ApiResult<Vec<u8>> {
    let ids: Vec<EvidenceId> = message.objects.iter().map(|o| o.evidence.id).collect();
    let places = node.store.anchored(&ids).await?;
    let places: HashMap<EvidenceId, Anchored> = places.into_iter().map(|p| (p.id, p)).collect();
    let objects = order::as_cited(message.objects.clone());
    let names = names(&objects);
    let now = node.clock.now();
    let report = report(node, message, &objects, &names, now);
    let sealer = Arc::clone(&node.keys.sealer.borrow());
    let build = move || -> Result<Vec<u8>, String> {
        let mut files = vec![BundleFile {
            name: "report.html".to_owned(),
            media_type: "text/html".to_owned(),
            bytes: Cow::Owned(report.render().map_err(|e| e.to_string())?.into_bytes()),
        }];
        let mut records = Vec::new();
        let trees = trees(places.values()).map_err(|e| e.to_string())?;
        for (row, name) in objects.into_iter().zip(names) {
            if let Some(place) = places.get(&row.evidence.id) {
                let tree = trees.get(&Arc::as_ptr(&place.tree));
                let path = tree.and_then(|tree| tree.path(place.index)).unwrap_or_default();
                let der = record(&path, &row.evidence.sha256, &place.tree.token)
                    .map_err(|e| e.to_string())?;
                records.push(BundleRecord { object: name.clone(), der });
            }
            files.push(BundleFile {
                name,
                media_type: P7M.to_owned(),
                bytes: Cow::Owned(row.evidence.p7m),
            });
        }
        let input = BundleInput { files, records, crls: Vec::new(), at: now };
        build_bundle(input, &sealer).map_err(|e| e.to_string())
    };
    let built = tokio::task::spawn_blocking(build).await.map_err(|e| e.to_string());
    built.and_then(|b| b).map_err(|error| {
        tracing::error!(error, "a bundle cannot be built");
        ApiError::of(
            Code::Internal,
            "The bundle cannot be built.",
            "Le dossier de preuve ne peut être établi.",
        )
    })
}

/// The hash tree of each anchor, built once for all its evidences.
fn trees<'a>(
    places: impl Iterator<Item = &'a Anchored>,
) -> Result<HashMap<*const AnchoredTree, Tree>, RecordError> {
    let mut trees = HashMap::new();
    for place in places {
        if let Entry::Vacant(free) = trees.entry(Arc::as_ptr(&place.tree)) {
            free.insert(Tree::build(place.tree.leaves.clone())?);
        }
    }
    Ok(trees)
}

/// A name for each object: `evidence/001-SubmissionAcceptance-etat.p7m`, in their order.
fn names(objects: &[EvidenceRow]) -> Vec<String> {
    let mut count: HashMap<&str, u32> = HashMap::new();
    let mut next = |folder: &'static str| {
        let n = count.entry(folder).or_default();
        *n += 1;
        *n
    };
    objects
        .iter()
        .map(|o| match (o.evidence.kind, o.evidence.event) {
            (Kind::Evidence, event) => {
                let n = next("evidence");
                let event = event.map_or("Unknown", Event::name);
                format!("evidence/{n:03}-{event}-{}.p7m", o.evidence.node)
            }
            (Kind::Dispatch, _) => format!("dispatch/{:03}-dispatch.p7m", next("dispatch")),
            (Kind::Status, _) => format!("status/{:03}-status.p7m", next("status")),
        })
        .collect()
}

fn named(party: &Party, snapshot: &Snapshot) -> Named {
    let member = snapshot.directory.member(&party.organisation());
    let name = member.map_or_else(|| party.id.clone(), |m| m.entry.name.clone());
    Named { name, id: numbered(party) }
}

/// A party's numbers as people know them: `SIRET 219 934 171 00014, service etat-civil`.
fn numbered(party: &Party) -> String {
    let part = |range| party.id.get(range).unwrap_or_default();
    let number = match (party.scheme.as_str(), party.id.len()) {
        (SIRET, 14) => {
            format!("SIRET {} {} {} {}", part(0..3), part(3..6), part(6..9), part(9..14))
        }
        (SIREN, 9) => format!("SIREN {} {} {}", part(0..3), part(3..6), part(6..9)),
        _ => format!("{}:{}", party.scheme, party.id),
    };
    let said = |what, part: &Option<String>| part.as_ref().map(|part| format!("{what} {part}"));
    let parts = [Some(number), said("service", &party.service), said("guichet", &party.desk)];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn report(
    node: &Node,
    message: &OwnMessage,
    objects: &[EvidenceRow],
    names: &[String],
    now: schemas::time::Timestamp,
) -> Report {
    let snapshot = node.directory.current();
    let envelope = &message.envelope;
    let files: HashMap<EvidenceId, (&EvidenceRow, &String)> =
        objects.iter().zip(names).map(|(o, n)| (o.evidence.id, (o, n))).collect();
    let recipient = |index: u32| {
        let party = envelope.recipients.get(index as usize);
        named(party.unwrap_or(&envelope.sender), &snapshot)
    };
    let deliveries = message
        .deliveries
        .iter()
        .map(|d| {
            let links = fold::superseded(d, &node.id);
            let answered = |fact: EvidenceId| {
                let mine = links.iter().filter(move |(f, _)| *f == fact);
                mine.filter_map(|(_, s)| files.get(s)).map(|(_, name)| name.to_string()).collect()
            };
            let steps = d.evidence.iter().filter_map(|held| {
                let (row, name) = files.get(&held.id)?;
                Some(StepLine { supersedes: answered(held.id), ..step(row, name)? })
            });
            DeliveryPart {
                recipient: recipient(d.recipient_index),
                state: words::state(d.phase.name()),
                outcome: Outcome::of(d.phase.name()),
                since: d.since.into(),
                steps: steps.collect(),
            }
        })
        .collect();
    let only_for = |d: &Document| {
        let names = d.recipients.iter().flatten().map(|index| recipient(*index).name);
        names.collect::<Vec<_>>().join(", ")
    };
    Report {
        tongues: TONGUES,
        message_id: envelope.message_id,
        sender: named(&envelope.sender, &snapshot),
        process: process(&snapshot, &envelope.process),
        subject: envelope.subject.clone(),
        sender_ref: envelope.sender_ref.clone(),
        submitted_at: envelope.submitted_at.into(),
        documents: envelope
            .documents
            .iter()
            .map(|d| DocumentLine {
                name: d.name.clone(),
                media_type: d.media_type.clone(),
                size: grouped(d.size),
                sha256: d.sha256.to_string(),
                only_for: only_for(d),
            })
            .collect(),
        hidden: message.hidden,
        deliveries,
        others: objects.iter().zip(names).filter_map(|(o, n)| other(o, n)).collect(),
        node: NodeId::clone(&node.id),
        made_at: now.into(),
    }
}

/// A démarche by its names; by its code alone where the catalogue has lost it.
fn process(snapshot: &Snapshot, code: &ProcessCode) -> [String; 2] {
    let process = snapshot.catalogue.processes.iter().find(|p| p.code == *code);
    let names =
        process.map(|p| [format!("{} ({code})", p.name), format!("{} ({code})", p.name_en)]);
    names.unwrap_or_else(|| [code.to_string(), code.to_string()])
}

/// One evidence in words; none for what is no evidence.
fn step(row: &EvidenceRow, file: &str) -> Option<StepLine> {
    let event = row.evidence.event?;
    let proof = match row.anchored_at {
        None => Proof::Pending,
        Some(at) => match delay(row.evidence.at, at) {
            None => Proof::At(at.into()),
            Some(late) => Proof::Late(at.into(), span(late)),
        },
    };
    Some(StepLine {
        at: row.evidence.at.into(),
        words: words::event(event),
        sentence: sentences::event(event),
        event: event.name(),
        reason: row.evidence.reason.map(reasons::reason),
        code: row.evidence.reason.map_or("", Reason::code),
        remarks: remarks(&row.evidence.p7m),
        supersedes: Vec::new(),
        node: row.evidence.node.clone(),
        proof,
        file: file.to_owned(),
    })
}

/// What an issuer added to its reason for people: the details beside the codes.
fn remarks(p7m: &[u8]) -> Vec<String> {
    let evidence = sealed_json::<Evidence>(p7m);
    let reasons = evidence.and_then(|e| e.event_reasons).map(|r| r.event_reason);
    let details =
        reasons.into_iter().flatten().flat_map(|reason| reason.details.into_iter().skip(1));
    details.filter(|detail| Code::parse(detail).is_none()).collect()
}

fn other(row: &EvidenceRow, file: &str) -> Option<OtherLine> {
    let (said, remark) = match row.evidence.kind {
        Kind::Evidence => return None,
        Kind::Dispatch => (
            words::words(
                "L'expédition : le pli, son contenu par empreintes, et la preuve de son dépôt.",
                "The dispatch: the message, its content by digests, and the proof of its submission.",
            ),
            None,
        ),
        Kind::Status => {
            let update = sealed_json::<StatusUpdate>(&row.evidence.p7m)?;
            (sentences::business(update.status), update.message)
        }
    };
    Some(OtherLine {
        at: row.evidence.at.into(),
        words: said,
        remark,
        node: row.evidence.node.clone(),
        file: file.to_owned(),
    })
}

/// What lies in a seal of our archive; the archive's own check finds one that does not open.
fn sealed_json<T: serde::de::DeserializeOwned>(p7m: &[u8]) -> Option<T> {
    serde_json::from_slice(&signing::seal::open(p7m).ok()?.content).ok()
}
