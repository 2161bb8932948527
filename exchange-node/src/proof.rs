//! Proof bundles: everything that a member may show to a court about one message, in one ASiC-E
//! container (`protocol.md` section 7).

use std::borrow::Cow;
use std::collections::HashMap;

use askama::Template;
use exchange_store::rows::{AnchoredPath, EvidenceRow, Kind};
use schemas::digest::Digest;
use schemas::event::Event;
use schemas::ids::{EvidenceId, NodeId};
use schemas::party::Party;
use schemas::problem::Code;
use signing::container::{BundleFile, BundleInput, BundleRecord, build_bundle};
use signing::evidence_record::record;

use crate::access::OwnMessage;
use crate::api::error::{ApiError, ApiResult};
use crate::api::evidence::P7M;
use crate::directory::Snapshot;
use crate::node::Node;
use crate::report::{DeliveryPart, DocumentLine, Named, Report, StepLine, date_fr};
use crate::words;

/// Builds the bundle of a message, with what `message` may show.
///
/// # Errors
/// When the archive does not answer, or a stored object is damaged.
pub async fn bundle(node: &Node, message: &OwnMessage) -> ApiResult<Vec<u8>> {
    let ids: Vec<EvidenceId> = message.objects.iter().map(|o| o.evidence.id).collect();
    let paths = node.store.anchored_paths(&ids).await?;
    let paths: HashMap<EvidenceId, AnchoredPath> = paths.into_iter().map(|p| (p.id, p)).collect();
    let names = names(message);
    let now = node.clock.now();
    let report = report(node, message, &names, now);
    let sealer = std::sync::Arc::clone(&node.keys.sealer.borrow());
    let objects = message.objects.clone();
    let build = move || -> Result<Vec<u8>, String> {
        let mut files = vec![BundleFile {
            name: "report.html".to_owned(),
            media_type: "text/html".to_owned(),
            bytes: Cow::Owned(report.render().map_err(|e| e.to_string())?.into_bytes()),
        }];
        let mut records = Vec::new();
        for (row, name) in objects.into_iter().zip(names) {
            if let Some(path) = paths.get(&row.evidence.id) {
                let der = record(&split(&path.path), &row.evidence.sha256, &path.token)
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

/// Siblings, 32 octets each.
fn split(path: &[u8]) -> Vec<Digest> {
    path.chunks_exact(32).filter_map(Digest::from_slice).collect()
}

/// A name for each object: `evidence/001-SubmissionAcceptance-etat.p7m`, in the order of events.
fn names(message: &OwnMessage) -> Vec<String> {
    let mut count: HashMap<&str, u32> = HashMap::new();
    let mut next = |folder: &'static str| {
        let n = count.entry(folder).or_default();
        *n += 1;
        *n
    };
    message
        .objects
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
    Named { name, id: party.key() }
}

fn report(
    node: &Node,
    message: &OwnMessage,
    names: &[String],
    now: schemas::time::Timestamp,
) -> Report {
    let snapshot = node.directory.current();
    let envelope = &message.envelope;
    let files: HashMap<EvidenceId, (&EvidenceRow, &String)> =
        message.objects.iter().zip(names).map(|(o, n)| (o.evidence.id, (o, n))).collect();
    let deliveries = message
        .deliveries
        .iter()
        .map(|d| {
            let party = envelope.recipients.get(d.recipient_index as usize);
            let steps = d.evidence.iter().filter_map(|held| files.get(&held.id));
            DeliveryPart {
                recipient: named(party.unwrap_or(&envelope.sender), &snapshot),
                state: words::state(d.phase.name()),
                steps: steps.map(|(row, name)| line(row, name)).collect(),
            }
        })
        .collect();
    Report {
        message_id: envelope.message_id,
        sender: named(&envelope.sender, &snapshot),
        process: envelope.process.to_string(),
        subject: envelope.subject.clone(),
        sender_ref: envelope.sender_ref.clone(),
        submitted_at: envelope.submitted_at,
        submitted_at_fr: date_fr(envelope.submitted_at),
        documents: envelope
            .documents
            .iter()
            .map(|d| DocumentLine {
                name: d.name.clone(),
                media_type: d.media_type.clone(),
                size: d.size,
                sha256: d.sha256.to_string(),
            })
            .collect(),
        deliveries,
        node: NodeId::clone(&node.id),
        made_at: now,
        made_at_fr: date_fr(now),
    }
}

fn line(row: &EvidenceRow, file: &str) -> StepLine {
    let event = row.evidence.event;
    StepLine {
        at: row.evidence.at,
        at_fr: date_fr(row.evidence.at),
        words: event.map_or_else(|| words::state(""), words::event),
        event: event.map_or("", Event::name).to_owned(),
        code: row.evidence.reason.map_or("", |r| r.code()).to_owned(),
        node: row.evidence.node.clone(),
        anchored: row.anchored_at.map_or_else(|| "en attente / pending".to_owned(), date_fr),
        file: file.to_owned(),
    }
}
