//! Who sends and who receives: programs that repeat a call until they are told something definite,
//! as the guide asks of them, and that remember what they were told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use exchange_core::state::Phase;
use exchange_node::access::{Caller, Own};
use exchange_node::download;
use exchange_node::engine::{Act, EngineError, Submit, What};
use exchange_node::node::Node;
use exchange_store::rows::{Cause, DeliveryRow};
use futures::StreamExt as _;
use schemas::envelope::{Consignment, Document, Envelope, Requested};
use schemas::ids::{ConversationId, DeliveryId, DocumentId, EvidenceId, MessageId};
use schemas::party::Party;
use schemas::status::BusinessStatus;
use schemas::time::{DAY, MINUTE};
use signing::digest::sha256;
use uuid::Uuid;

use crate::dice::Dice;
use crate::life::Life;
use crate::papers;
use crate::site::Site;
use crate::tally::{Tally, count};

/// A letter.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Which of the schedule.
    pub number: u64,
    /// Index of the sender's site.
    pub from: usize,
    /// Who gets it.
    pub recipients: Vec<Party>,
    /// What it says.
    pub text: Vec<u8>,
    /// Its mode.
    pub consignment: Consignment,
    /// Its document comes before it, in parts.
    pub resumable: bool,
    /// Milliseconds before it is sent.
    pub wait: u64,
}

impl Letter {
    /// Its id, which follows from the key of the call.
    pub fn id(&self) -> MessageId {
        MessageId(Uuid::new_v5(&schemas::ids::namespace(), &self.number.to_be_bytes()))
    }
}

/// What the people were told.
#[derive(Debug, Default)]
pub struct Told {
    /// Senders: the id of an accepted letter, or the A.2 of a refused one.
    pub sent: BTreeMap<u64, Result<MessageId, Option<EvidenceId>>>,
    /// Recipients: the evidence that answered their act on a delivery.
    pub acts: BTreeMap<(DeliveryId, &'static str), EvidenceId>,
    /// What was read.
    pub read: BTreeMap<DeliveryId, Vec<u8>>,
    /// Promises broken in their sight.
    pub broken: Vec<String>,
}

/// Shared by all people of a schedule.
#[derive(Clone, Debug, Default)]
pub struct Book(Arc<Mutex<Told>>);

impl Book {
    /// Reads and writes.
    pub fn open(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn nap(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// What a call says, unless the node dies first.
async fn unless_dead<T>(life: &Life, call: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        said = call => Some(said),
        () = life.ended() => None,
    }
}

/// Sends a letter.
pub async fn send(site: Arc<Site>, letter: Letter, dice: Dice, book: Book) {
    nap(letter.wait).await;
    let mut begun = None;
    loop {
        let (node, life) = site.node().await;
        let said = unless_dead(&life, submit(&node, &site, &letter, &mut begun)).await;
        let heard = !dice.chance(if site.times.is_healed() { 0 } else { 100 });
        if !heard {
            count(Tally::Unheard);
        }
        site.times.note(|| format!("letter {}: {said:?}, heard: {heard}", letter.number));
        if let (Some(Some(said)), true) = (said, heard) {
            site.times.stir();
            book.open().sent.insert(letter.number, said);
            return;
        }
        nap(dice.between(200, 4_000)).await;
    }
}

/// As `POST /v1/messages` with a file and an Idempotency-Key. None: nothing definite.
async fn submit(
    node: &Node,
    site: &Site,
    letter: &Letter,
    begun: &mut Option<DocumentId>,
) -> Option<Result<MessageId, Option<EvidenceId>>> {
    let member = Party::siret(&site.plan.member[0].siret);
    let key = member.organisation().key();
    let upload = if letter.resumable {
        papers::resumed(node, &member, letter, begun).await?
    } else {
        papers::with_message(node, &key, letter).await?
    };
    let now = node.clock.now();
    let envelope = Envelope {
        version: 1,
        message_id: letter.id(),
        sender: member.clone(),
        on_behalf_of: None,
        recipients: letter.recipients.clone(),
        process: "AEC".parse().unwrap(),
        subject: None,
        conversation_id: ConversationId::of(letter.id().0),
        in_reply_to: None,
        sender_ref: Some(letter.number.to_string()),
        documents: vec![Document {
            id: upload.id,
            name: upload.name.clone(),
            type_code: None,
            media_type: upload.media_type.clone(),
            size: upload.size,
            sha256: upload.sha256,
            cipher_sha256: upload.cipher_sha256,
            recipients: None,
        }],
        requested: Requested { consignment: letter.consignment, ..Requested::default() },
        subject_key: None,
        submitted_at: now,
    };
    let submit = Submit {
        cause: Some(Cause(format!("idem:{key}:{}", letter.number))),
        fingerprint: sha256(&letter.text),
        envelope,
        member,
        uploads: vec![upload],
        fresh: !letter.resumable,
        findings: Vec::new(),
    };
    match node.engine.submit(submit).await {
        Ok(submitted) => Some(Ok(submitted.message_id)),
        Err(EngineError::Refused { evidence, .. }) => Some(Err(evidence)),
        Err(_) => None,
    }
}

/// Reads an inbox for ever, and does with each letter what its reader is used to.
pub async fn receive(site: Arc<Site>, dice: Dice, book: Book) {
    let member = Party::siret(&site.plan.member[0].siret);
    let caller = Caller { member, client_id: "fate".to_owned(), scopes: Vec::new() };
    loop {
        nap(dice.between(500, 2_500)).await;
        let (node, life) = site.node().await;
        let own = caller.own(&node);
        // Once nothing fails any more, one look is enough.
        let hidden = if site.times.is_healed() { 5 * DAY } else { MINUTE };
        let rows = unless_dead(&life, own.inbox(0, 20, Some(hidden))).await;
        for row in rows.and_then(Result::ok).unwrap_or_default() {
            if unless_dead(&life, handle(&node, &own, &row, &book)).await.is_none() {
                break;
            }
        }
    }
}

/// Readers differ, and stay the same: by the letter.
async fn handle(node: &Node, own: &Own<'_>, row: &DeliveryRow, book: &Book) {
    let id = row.delivery.id;
    let habit = id.0.as_bytes()[15];
    let by = own.member().clone();
    match row.delivery.phase {
        Phase::AwaitingAcceptance if habit < 60 => {
            act(node, book, id, "refuse", What::Refuse { by, reason: None }).await;
        }
        Phase::AwaitingAcceptance => {
            act(node, book, id, "accept", What::Accept { by }).await;
        }
        // Some look and leave it.
        Phase::Consigned if habit >= 240 => drop(read(node, own, row, book).await),
        Phase::Consigned if read(node, own, row, book).await => {
            let done = What::Acknowledge { by: by.clone() };
            if act(node, book, id, "acknowledge", done).await && habit & 1 == 0 {
                let status = BusinessStatus::Done;
                let what = What::SetStatus { by, status, reason: None, message: None };
                act(node, book, id, "status", what).await;
            }
        }
        _ => {}
    }
}

async fn act(node: &Node, book: &Book, id: DeliveryId, verb: &'static str, what: What) -> bool {
    let cause = Cause(format!("idem:{id}:{verb}"));
    let Ok(acted) = node.engine.act(Act { cause, delivery: id, what, if_match: None }).await else {
        return false;
    };
    if let Some(evidence) = acted.evidence {
        let mut told = book.open();
        let before = told.acts.insert((id, verb), evidence);
        if before.is_some_and(|b| b != evidence) {
            told.broken.push(format!("{verb} of {id} is answered by {before:?}, then {evidence}"));
        }
    }
    true
}

/// Reads all documents; whether that went well.
async fn read(node: &Node, own: &Own<'_>, row: &DeliveryRow, book: &Book) -> bool {
    let mut whole = true;
    for document in &row.envelope.documents {
        let text = plain(node, own, row, document).await;
        let mut told = book.open();
        match text {
            Some(text) if sha256(&text) == document.sha256 => {
                told.read.insert(row.delivery.id, text);
            }
            Some(text) if text.len() as u64 == document.size => {
                let (document, id) = (document.id, row.delivery.id);
                told.broken.push(format!("{document} of {id} is another text"));
            }
            _ => whole = false,
        }
    }
    whole
}

async fn plain(
    node: &Node,
    own: &Own<'_>,
    row: &DeliveryRow,
    document: &Document,
) -> Option<Vec<u8>> {
    let key = own.document_key(row, document.id).await.ok()??;
    let key = node.keys.storage.unwrap(&key.wrapped_key, document.id.0.as_bytes()).unwrap();
    let range = download::ByteRange { start: 0, end: document.size, partial: false };
    let mut stream = Box::pin(download::plaintext(node, document, key, &range).await.ok()?);
    let mut text = Vec::new();
    while let Some(bytes) = stream.next().await {
        text.extend_from_slice(&bytes.ok()?);
    }
    Some(text)
}
