//! Words that all checks use: samples of rows, and how a check says what is wrong.

use std::fmt::{self, Debug};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest as hash};
use exchange_core::state::{Delivery, Held, Phase, Role, Timers};
use schemas::digest::Digest;
use schemas::envelope::{Consignment, Document, Envelope, Requested};
use schemas::event::{Event, Reason};
use schemas::ids::{DeliveryId, DocumentId, EvidenceId, MessageId, NodeId};
use schemas::party::Party;
use schemas::time::Timestamp;
use serde_json::json;
use uuid::Uuid;

use crate::rows::{
    Cause, Change, Committed, DeliveryWrite, EffectKind, Kind, NewEffect, NewEvent, NewEvidence,
    NewMessage,
};
use crate::{Store, StoreError};

/// What is wrong.
#[derive(Debug)]
pub struct Wrong(pub String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Wrong {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// The check is wrong unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::conformance::Wrong(format!($($text)+)));
        }
    };
}
pub(super) use ensure;

/// Two values must say the same; rows are compared by what they print.
pub(super) fn same<A: Debug, B: Debug>(what: &str, found: A, expected: B) -> Result<(), Wrong> {
    let (found, expected) = (format!("{found:?}"), format!("{expected:?}"));
    ensure!(found == expected, "{what}: found {found}, expected {expected}");
    Ok(())
}

/// Noon of an arbitrary day.
pub(super) const NOON: Timestamp = Timestamp::from_secs(1_800_000_000);

/// The first of a list that has one.
pub(super) fn only<T>(mut rows: Vec<T>) -> Result<T, Wrong> {
    let count = rows.len();
    match rows.pop() {
        Some(row) if count == 1 => Ok(row),
        _ => Err(Wrong(format!("{count} rows instead of one"))),
    }
}

/// A node.
pub(super) fn node(name: &str) -> Result<NodeId, Wrong> {
    Ok(name.parse::<NodeId>()?)
}

/// A digest.
pub(super) fn sha256(bytes: &[u8]) -> Digest {
    Digest::from_slice(hash(&SHA256, bytes).as_ref()).unwrap_or_default()
}

/// A change with a cause and nothing else.
#[must_use]
pub fn change(cause: &str) -> Change {
    let outcome = format!("outcome of {cause}").into_bytes();
    Change { outcome, ..Change::new(Cause(cause.to_owned()), NOON) }
}

/// A message with as many deliveries as it has recipients, and what belongs to it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its envelope.
    pub envelope: Arc<Envelope>,
    /// Its deliveries, at the sender's node, accepted.
    pub deliveries: Vec<Delivery>,
}

impl Sample {
    /// A message of a member to so many recipients.
    ///
    /// # Errors
    /// Never, unless the samples below are not well formed.
    pub fn new(member: &str, recipients: u32) -> Result<Self, Wrong> {
        let message_id = MessageId(Uuid::new_v4());
        let party = |id: &str| Party {
            scheme: "iso6523:0009".to_owned(),
            id: id.to_owned(),
            service: None,
            desk: Some("34172".to_owned()),
        };
        let envelope = Arc::new(Envelope {
            version: 1,
            message_id,
            sender: party(member),
            on_behalf_of: None,
            recipients: (0..recipients).map(|_| party("21340172201787")).collect(),
            process: "AEC".parse()?,
            subject: Some("Acte n° 7 \"é\" \u{1F4DC}".to_owned()),
            conversation_id: message_id.to_string().parse()?,
            in_reply_to: None,
            sender_ref: Some("réf".to_owned()),
            documents: vec![document()],
            requested: Requested::default(),
            subject_key: None,
            submitted_at: NOON,
        });
        let deliveries =
            (0..recipients).map(|i| delivery(&envelope, i)).collect::<Result<_, _>>()?;
        Ok(Self { envelope, deliveries })
    }

    /// The first delivery.
    ///
    /// # Errors
    /// When it has none.
    pub fn first(&self) -> Result<Delivery, Wrong> {
        self.deliveries.first().cloned().ok_or_else(|| Wrong("no delivery".to_owned()))
    }

    /// The change that brings the message and its deliveries.
    #[must_use]
    pub fn arrival(&self, cause: &str) -> Change {
        let member = Some(self.envelope.sender.organisation().key());
        let write = |d: &Delivery| write(d.clone(), None);
        Change {
            message: Some(NewMessage { envelope: Arc::clone(&self.envelope), member }),
            deliveries: self.deliveries.iter().map(write).collect(),
            ..change(cause)
        }
    }

    /// An evidence of an event about all deliveries, with so many octets of seal.
    ///
    /// # Errors
    /// Never, unless the samples are not well formed.
    pub fn evidence(&self, event: Event, octets: usize) -> Result<NewEvidence, Wrong> {
        let id = EvidenceId(Uuid::new_v4());
        let p7m: Vec<u8> = id.0.as_bytes().iter().copied().cycle().take(octets).collect();
        Ok(NewEvidence {
            kind: Kind::Evidence,
            id,
            message: self.envelope.message_id,
            deliveries: self.deliveries.iter().map(|d| d.id).collect(),
            event: Some(event),
            reason: Some(Reason::Ra01),
            node: node("etat")?,
            at: NOON,
            sealed_at: NOON.plus(1),
            sha256: sha256(&p7m),
            p7m,
        })
    }
}

fn document() -> Document {
    Document {
        id: DocumentId(Uuid::new_v4()),
        name: "acte.pdf".to_owned(),
        type_code: None,
        media_type: "application/pdf".to_owned(),
        size: 7,
        sha256: Digest([1; 32]),
        cipher_sha256: Digest([2; 32]),
        recipients: None,
    }
}

fn delivery(envelope: &Envelope, recipient_index: u32) -> Result<Delivery, Wrong> {
    let held = |event| -> Result<Held, Wrong> {
        Ok(Held {
            id: EvidenceId(Uuid::new_v4()),
            event,
            reason: Some(Reason::Ra01),
            node: node("etat")?,
            at: NOON,
            digest: Some(Digest([3; 32])),
        })
    };
    Ok(Delivery {
        id: DeliveryId::derive(envelope.message_id, recipient_index),
        message: envelope.message_id,
        recipient_index,
        role: Role::Sender,
        phase: Phase::Accepted,
        since: NOON,
        custodian: node("etat")?,
        origin: node("etat")?,
        previous_hop: None,
        next_hop: Some(node("cd-34")?),
        hop: 0,
        process: envelope.process.clone(),
        consignment: Consignment::Basic,
        attempts: 0,
        timers: Timers { consign: Some(NOON.plus(1_000)), ..Timers::default() },
        evidence: vec![held(Event::SubmissionAcceptance)?, held(Event::RelayAcceptance)?],
        outside: None,
        business: None,
        dispatch: Some(Digest([4; 32])),
    })
}

/// A write of a delivery whose recipient is elsewhere.
pub(super) fn write(delivery: Delivery, expected: Option<i64>) -> DeliveryWrite {
    DeliveryWrite { delivery, expected, recipient_member: None }
}

/// A publication under an order key.
pub(super) fn effect(key: &str, due: Timestamp, payload: &[u8]) -> NewEffect {
    NewEffect {
        kind: EffectKind::Publish,
        delivery: None,
        to: node("cd-34").ok(),
        order_key: key.to_owned(),
        due,
        payload: payload.to_vec(),
    }
}

/// An entry of the feed of a member.
pub(super) fn event(member: &str, text: &str) -> NewEvent {
    NewEvent { member: member.to_owned(), event: json!({ "id": text, "text": "é\n\"" }) }
}

/// Commits changes that must all be written.
pub(super) async fn written(store: &dyn Store, batch: &[Change]) -> Result<(), Wrong> {
    let answers = store.commit(batch).await?;
    ensure!(answers.len() == batch.len(), "{} answers", answers.len());
    for (change, answer) in batch.iter().zip(answers) {
        ensure!(answer == Committed::Written, "{:?}: {answer:?}", change.cause);
    }
    Ok(())
}

/// All entries of a feed, read in pages.
pub(super) async fn feed(
    store: &dyn Store,
    member: &str,
) -> Result<Vec<(i64, String)>, StoreError> {
    let mut all = Vec::new();
    loop {
        let after = all.last().map_or(0, |(seq, _)| *seq);
        let page = store.events(member, after, 700).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page.into_iter().map(|row| {
            (row.seq, row.event.get("id").and_then(|id| id.as_str()).unwrap_or("").to_owned())
        }));
    }
}
