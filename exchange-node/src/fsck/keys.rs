//! The wrapped keys of a delivery: one for each document of its addressee, until its content is
//! erased.

use exchange_store::snapshot::{DeliveryLook, KeyLook};
use schemas::envelope::Document;

use super::delivery::{Around, State};
use super::object::Said;
use super::{Audit, finding};

pub(super) fn examine(
    audit: &mut Audit<'_>,
    row: &DeliveryLook,
    state: &State,
    around: &Around<'_>,
    evidence: &[&Said],
) {
    let of = |document: &Document| around.keys.iter().find(|k| k.document == document.id.0);
    let documents: Vec<&Document> =
        around.envelope.documents.iter().filter(|d| d.is_for(state.recipient_index)).collect();
    let readable = state.is_here() && !row.erased;
    for key in around.keys {
        let known = documents.iter().any(|d| d.id.0 == key.document);
        if !readable || !known {
            audit.report.find(finding::KEY_STRAY, &row.id, &[&key.document]);
        }
    }
    for document in documents.into_iter().filter(|_| readable) {
        match of(document) {
            // A dispatch that was refused may not even have had one.
            None if state.phase == "relay_rejected" => {}
            None => audit.report.find(finding::KEY_MISSING, &row.id, &[&document.id]),
            Some(key) => one(audit, row, document, key),
        }
    }
    if is_remembered(audit, evidence) {
        let digests = around.keys.iter().map(|k| k.cipher_sha256.clone());
        audit.excused.extend(digests);
    }
    if state.is_here() && !row.erased && must_be_erased(audit, evidence) {
        audit.report.find(finding::ERASURE, &row.id, &[&state.phase]);
    }
}

fn one(audit: &mut Audit<'_>, row: &DeliveryLook, document: &Document, key: &KeyLook) {
    let leads = hex::encode(&key.cipher_sha256);
    let expected = document.cipher_sha256.to_string();
    if leads != expected {
        audit.report.find(finding::KEY, &row.id, &[&document.id, &leads, &expected]);
    }
    let size = signing::encrypt::ciphertext_len(document.size);
    if u64::try_from(key.cipher_size).ok() != Some(size) {
        audit.report.find(finding::KEY, &row.id, &[&document.id, &key.cipher_size, &size]);
    }
    let opens = |storage: &signing::encrypt::StorageKey| {
        storage.unwrap(&key.wrapped_key, document.id.0.as_bytes()).is_ok()
    };
    if audit.place.storage.is_some_and(|storage| !opens(storage)) {
        audit.report.find(finding::KEY_BROKEN, &row.id, &[&document.id]);
    }
}

/// Whether a restored node has been told again that its recipient had taken the content: then its
/// neighbour does not send that again (ADR 0024).
fn is_remembered(audit: &Audit<'_>, evidence: &[&Said]) -> bool {
    let node = audit.place.node.as_str();
    let again = |s: &&&Said| s.issuer == node && s.at != s.stored_at;
    evidence.iter().filter(again).any(|s| s.event == "ContentHandover")
}

/// Whether this node has said something after which it keeps no content (rows 12b, 12c and 14, and
/// row 17 past MD03). What a restored node has been told again it need not have erased.
fn must_be_erased(audit: &Audit<'_>, evidence: &[&Said]) -> bool {
    let node = audit.place.node.as_str();
    evidence.iter().filter(|s| s.issuer == node && s.at == s.stored_at).any(|s| {
        match s.event.as_str() {
            "ConsignmentRejection" | "AcceptanceRejectionExpiry" | "ContentConsignmentFailure" => {
                true
            }
            "ContentHandoverFailure" => s.problem == "expired",
            _ => false,
        }
    })
}
