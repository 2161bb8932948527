//! One sealed object against its columns: what it says is read from its seal alone.

use exchange_store::snapshot::ObjectLook;
use schemas::digest::Digest;
use schemas::time::Timestamp;
use serde_json::Value;
use signing::trust::SealVerifier;
use uuid::Uuid;

use super::finding::{self, Finding};

/// What a sealed object says.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) id: Uuid,
    /// `evidence`, `dispatch` or `status`.
    pub(super) kind: Kind,
    /// Last part of G03.
    pub(super) event: String,
    /// Code of G04, the first.
    pub(super) reason: String,
    /// The problem code behind it.
    pub(super) problem: String,
    pub(super) issuer: String,
    /// M05.
    pub(super) external: String,
    /// G05.
    pub(super) at: Timestamp,
    /// Digest of the file.
    pub(super) digest: Digest,
    /// E01.
    pub(super) previous: Option<String>,
    /// M02: what it says about the documents; empty for a status.
    pub(super) content: Vec<String>,
    /// The business status.
    pub(super) status: String,
    pub(super) seq: i64,
    pub(super) stored_at: Timestamp,
    /// Ids of the column.
    pub(super) deliveries: Vec<Uuid>,
}

/// Kinds of sealed objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Evidence,
    Dispatch,
    Status,
}

/// What the seal says that a column says as well.
struct Sealed {
    said: Said,
    message: String,
    deliveries: Vec<Uuid>,
    signing_time: Timestamp,
}

/// Reads an object and compares its columns. None when its seal says nothing.
pub(super) fn read(row: &ObjectLook, verifier: &SealVerifier) -> (Option<Said>, Vec<Finding>) {
    let broken = |why: String| {
        let found = finding::SEAL.finding(&row.message, &[&row.id, &why]);
        (None, vec![found])
    };
    let opened = match verifier.verify(&row.p7m, Timestamp::from_millis(row.stored_at)) {
        Ok(opened) => opened,
        Err(error) => return broken(error.to_string()),
    };
    let Ok(json) = serde_json::from_slice::<Value>(&opened.content) else {
        return broken("no JSON".to_owned());
    };
    let sealed = match row.event.as_str() {
        "dispatch" => dispatch(&json),
        "status" => status(&json, &row.p7m),
        _ => evidence(&json),
    };
    let Some(mut sealed) = sealed else { return broken("no identifier".to_owned()) };
    sealed.signing_time = opened.signing_time;
    sealed.said.digest = signing::digest::sha256(&row.p7m);
    sealed.said.seq = row.seq;
    sealed.said.stored_at = Timestamp::from_millis(row.stored_at);
    sealed.said.deliveries = ids(&row.deliveries);
    let findings = compare(row, &sealed);
    (Some(sealed.said), findings)
}

/// Ids that stand one after the other.
pub(super) fn ids(joined: &[u8]) -> Vec<Uuid> {
    joined.chunks(16).filter_map(|octets| Uuid::from_slice(octets).ok()).collect()
}

fn text(json: &Value, pointer: &str) -> String {
    json.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn id(json: &Value, pointer: &str) -> Option<Uuid> {
    text(json, pointer).parse().ok()
}

fn time(json: &Value, pointer: &str) -> Timestamp {
    text(json, pointer).parse().unwrap_or_default()
}

fn evidence(json: &Value) -> Option<Sealed> {
    let name = |uri: String| uri.rsplit('/').next().unwrap_or_default().to_owned();
    let node = "Identity/Attribute/0/AttributeValue/0";
    let parts = json.pointer("/UserContentInfo/PartsInfo/PartInfo").and_then(Value::as_array);
    let said = Said {
        id: id(json, "/EvidenceIdentifier")?,
        kind: Kind::Evidence,
        event: name(text(json, "/ERDSEventId")),
        reason: text(json, "/EventReasons/EventReason/0/Details/0"),
        problem: text(json, "/EventReasons/EventReason/0/Details/1"),
        issuer: text(json, &format!("/EvidenceIssuerDetails/{node}")),
        external: text(json, &format!("/ExternalERDSDetails/{node}")),
        at: time(json, "/EventTime"),
        previous: Some(text(json, "/Extensions/Extension/0/PreviousEvidenceDigest"))
            .filter(|t| !t.is_empty()),
        content: parts.into_iter().flatten().map(|p| text(p, "/DigestValue")).collect(),
        ..Said::default()
    };
    Some(Sealed {
        said,
        message: text(json, "/MessageIdentifier"),
        deliveries: id(json, "/Extensions/Extension/0/DeliveryIdentifier").into_iter().collect(),
        signing_time: Timestamp::default(),
    })
}

fn dispatch(json: &Value) -> Option<Sealed> {
    let message = text(json, "/envelope/message_id");
    let index = json.pointer("/relay/recipient_index").and_then(Value::as_u64)?;
    let name = format!("dispatch/{message}/{index}");
    let documents = json.pointer("/envelope/documents").and_then(Value::as_array);
    let said = Said {
        id: Uuid::new_v5(&schemas::ids::namespace(), name.as_bytes()),
        kind: Kind::Dispatch,
        event: "dispatch".to_owned(),
        issuer: text(json, "/relay/from"),
        content: documents
            .into_iter()
            .flatten()
            .flat_map(|d| [text(d, "/sha256"), text(d, "/cipher_sha256")])
            .collect(),
        ..Said::default()
    };
    let deliveries = id(json, "/relay/delivery_id").into_iter().collect();
    Some(Sealed { said, message, deliveries, signing_time: Timestamp::default() })
}

fn status(json: &Value, p7m: &[u8]) -> Option<Sealed> {
    let digest = signing::digest::sha256(p7m);
    let said = Said {
        id: Uuid::new_v5(&schemas::ids::namespace(), digest.as_bytes()),
        kind: Kind::Status,
        event: "status".to_owned(),
        status: text(json, "/status"),
        ..Said::default()
    };
    let deliveries = id(json, "/delivery_id").into_iter().collect();
    let message = text(json, "/message_id");
    Some(Sealed { said, message, deliveries, signing_time: Timestamp::default() })
}

fn compare(row: &ObjectLook, sealed: &Sealed) -> Vec<Finding> {
    let said = &sealed.said;
    let mut found = Vec::new();
    if said.id != row.id {
        found.push(finding::IDENTIFIER.finding(&row.message, &[&said.id, &row.id]));
    }
    let mut differs = |name: &str, column: String, seal: String| {
        if column != seal {
            let values: [&dyn std::fmt::Display; 4] = [&name, &row.id, &column, &seal];
            found.push(finding::OBJECT.finding(&row.message, &values));
        }
    };
    let stamp = |millis| Timestamp::from_millis(millis).to_string();
    differs("message", row.message.to_string(), sealed.message.clone());
    differs("sha256", hex::encode(&row.sha256), said.digest.to_string());
    differs("sealed_at", second(row.sealed_at), second(sealed.signing_time.millis()));
    if said.kind == Kind::Evidence {
        differs("event", row.event.clone(), said.event.clone());
        differs("reason", row.reason.clone().unwrap_or_default(), said.reason.clone());
        differs("node", row.node.clone(), said.issuer.clone());
        differs("at", stamp(row.at), said.at.to_string());
    } else {
        differs("at", second(row.at), second(sealed.signing_time.millis()));
    }
    if said.kind == Kind::Dispatch {
        differs("node", row.node.clone(), said.issuer.clone());
    }
    if !sealed.deliveries.is_empty() {
        let names = |ids: &[Uuid]| ids.iter().map(Uuid::to_string).collect::<Vec<_>>().join(" ");
        differs("deliveries", names(&said.deliveries), names(&sealed.deliveries));
    }
    found
}

/// signing-time has whole seconds.
fn second(millis: i64) -> String {
    Timestamp::from_millis(millis.div_euclid(1_000) * 1_000).to_string()
}
