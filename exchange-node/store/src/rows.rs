//! The shapes that go into a [`crate::Store`] and come out of it.

use std::collections::HashMap;
use std::sync::Arc;

use exchange_core::state::Delivery;
use schemas::digest::Digest;
use schemas::envelope::Envelope;
use schemas::event::{Event, Reason};
use schemas::ids::{DeliveryId, DocumentId, EvidenceId, MessageId, NodeId};
use schemas::party::Party;
use schemas::time::Timestamp;
use serde_json::Value;

/// Why something happened: unique in the store. A known cause has a stored outcome.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cause(pub String);

impl Cause {
    /// A cause that cannot come again, because nobody but the caller knows it: nothing is to be
    /// remembered of it, and the store writes no row.
    #[must_use]
    pub fn once() -> Self {
        Self("once:".to_owned())
    }

    /// Whether it is [`Cause::once`].
    #[must_use]
    pub fn is_once(&self) -> bool {
        self.0.starts_with("once:")
    }
}

/// What happened the first time: opaque to the store.
pub type Outcome = Vec<u8>;

/// Answer of [`crate::Store::load`].
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Outcomes of known causes.
    pub outcomes: HashMap<Cause, Outcome>,
    /// Deliveries with their version, as this node holds them.
    pub deliveries: HashMap<DeliveryId, (Delivery, i64)>,
    /// Envelopes of those deliveries and of the messages asked for.
    pub envelopes: HashMap<MessageId, Arc<Envelope>>,
}

/// One decision to be written, whole or not at all.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its cause.
    pub cause: Cause,
    /// What a repeat of the cause gets.
    pub outcome: Outcome,
    /// When it was decided.
    pub now: Timestamp,
    /// A message that this node did not hold; ignored when it does.
    pub message: Option<NewMessage>,
    /// Deliveries, new or changed.
    pub deliveries: Vec<DeliveryWrite>,
    /// Evidence, sealed here or received. An id that is known keeps its stored bytes.
    pub evidence: Vec<NewEvidence>,
    /// Effects to be carried out later.
    pub effects: Vec<NewEffect>,
    /// Entries of event feeds.
    pub events: Vec<NewEvent>,
    /// Wrapped keys of documents that a recipient of this node gets.
    pub keys: Vec<DeliveryKey>,
    /// Uploads that came with their message, and were not recorded before it.
    pub uploads: Vec<Upload>,
    /// Uploads that a message now uses: they no longer expire.
    pub uses: Vec<DocumentId>,
    /// Claimed effects that this change settles as done.
    pub settles: Vec<i64>,
    /// Content that this delivery no longer needs: its wrapped keys are deleted.
    pub erases: Vec<DeliveryId>,
}

impl Change {
    /// A change that says and does nothing yet.
    #[must_use]
    pub const fn new(cause: Cause, now: Timestamp) -> Self {
        Self {
            cause,
            outcome: Vec::new(),
            now,
            message: None,
            deliveries: Vec::new(),
            evidence: Vec::new(),
            effects: Vec::new(),
            events: Vec::new(),
            keys: Vec::new(),
            uploads: Vec::new(),
            uses: Vec::new(),
            settles: Vec::new(),
            erases: Vec::new(),
        }
    }
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// Written.
    Written,
    /// The cause was known: its outcome. Nothing was written.
    Known(Outcome),
    /// A delivery was changed by somebody else meanwhile: load and decide again.
    Conflict,
}

/// What a commit did.
#[derive(Clone, Debug, Default)]
pub struct Handed {
    /// One answer per change, in their order.
    pub answers: Vec<Committed>,
    /// Publications of the batch that nothing held back: claimed as they were written.
    pub claimed: Vec<Claimed>,
    /// Order keys of publications of the batch that were not claimed.
    pub behind: Vec<String>,
    /// Whether other publications, of the batch or behind what it settled, wait for a claim.
    pub more: bool,
}

/// A message to be stored.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// The envelope.
    pub envelope: Arc<Envelope>,
    /// Key of the member of this node who sent it; none when it came from elsewhere.
    pub member: Option<String>,
}

/// A delivery to be written.
#[derive(Clone, Debug)]
pub struct DeliveryWrite {
    /// The state.
    pub delivery: Delivery,
    /// Version that was loaded; none when new.
    pub expected: Option<i64>,
    /// Key of the member of this node who receives it (`Party::organisation().key()`).
    pub recipient_member: Option<String>,
}

/// Kinds of sealed objects that a node keeps for ever, in one table and anchored alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// ERDS evidence.
    Evidence,
    /// The dispatch as made or received: part of every bundle.
    Dispatch,
    /// A business status.
    Status,
}

impl Kind {
    /// The name in the store.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Evidence => "evidence",
            Self::Dispatch => "dispatch",
            Self::Status => "status",
        }
    }
}

/// A sealed object to be stored: an evidence, a dispatch or a business status.
#[derive(Clone, Debug)]
pub struct NewEvidence {
    /// What it is.
    pub kind: Kind,
    /// G01; derived in the same way for dispatches and statuses.
    pub id: EvidenceId,
    /// M01.
    pub message: MessageId,
    /// Deliveries that it belongs to (all of the message for A.1).
    pub deliveries: Vec<DeliveryId>,
    /// G03; none for dispatches and statuses.
    pub event: Option<Event>,
    /// G04, the first.
    pub reason: Option<Reason>,
    /// Issuer.
    pub node: NodeId,
    /// G05, or when the object was made.
    pub at: Timestamp,
    /// signing-time of the seal.
    pub sealed_at: Timestamp,
    /// The `.p7m` as issued.
    pub p7m: Vec<u8>,
    /// Its digest.
    pub sha256: Digest,
}

/// A stored evidence.
#[derive(Clone, Debug)]
pub struct EvidenceRow {
    /// Position in this node's archive, from 1.
    pub seq: i64,
    /// The evidence.
    pub evidence: NewEvidence,
    /// When this node stored it.
    pub stored_at: Timestamp,
    /// genTime of its anchor.
    pub anchored_at: Option<Timestamp>,
}

/// Kinds of effects that workers claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EffectKind {
    /// Publish on a backbone.
    Publish,
    /// Feed an input back to the engine.
    Wake,
}

/// An effect to be stored.
#[derive(Clone, Debug)]
pub struct NewEffect {
    /// Who claims it.
    pub kind: EffectKind,
    /// The delivery, where there is one.
    pub delivery: Option<DeliveryId>,
    /// Destination node, for operators and throttles.
    pub to: Option<NodeId>,
    /// Effects of one key are carried out in order: destination, lane and conversation.
    pub order_key: String,
    /// Not before.
    pub due: Timestamp,
    /// What to do: opaque to the store. Sealed bytes, never documents.
    pub payload: Vec<u8>,
}

/// A claimed effect.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// Row id.
    pub id: i64,
    /// Attempts before this one.
    pub attempts: u32,
    /// The effect.
    pub effect: NewEffect,
    /// Whether it finds out if a paused peer can be reached again.
    pub probe: bool,
}

/// What is said about sending to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRow {
    /// The node.
    pub peer: NodeId,
    /// Since when an operator holds what goes there.
    pub held_since: Option<Timestamp>,
    /// Why an operator holds or throttles.
    pub reason: String,
    /// Publications per 1000 seconds; none: as fast as possible.
    pub rate: Option<i64>,
    /// Since when publications to it fail.
    pub failing_since: Option<Timestamp>,
    /// Until when only a probe goes out.
    pub paused_until: Option<Timestamp>,
    /// What went wrong.
    pub error: Option<String>,
}

/// How a claimed effect ended.
#[derive(Clone, Debug)]
pub enum Settlement {
    /// Carried out.
    Done(i64),
    /// Try again later.
    Retry {
        /// Row id.
        id: i64,
        /// When.
        due: Timestamp,
        /// What went wrong.
        error: String,
    },
    /// Given up: kept for an operator.
    Dead {
        /// Row id.
        id: i64,
        /// What went wrong.
        error: String,
    },
}

/// Bytes from the backbone that were not believed.
#[derive(Clone, Debug)]
pub struct SetAside {
    /// Frame id.
    pub frame_id: String,
    /// Lane.
    pub lane: String,
    /// Claimed source.
    pub source: String,
    /// Stable code of the reason.
    pub code: String,
    /// The reason in words.
    pub detail: String,
    /// The body: with the names, what tells it from others.
    pub body: Vec<u8>,
    /// The frame whole, as it is kept.
    pub frame: Vec<u8>,
    /// When.
    pub at: Timestamp,
}

/// What `pli queue list` asks for.
#[derive(Clone, Debug, Default)]
pub struct QueueQuery {
    /// Only this destination.
    pub to: Option<NodeId>,
    /// After this id.
    pub after: i64,
    /// At most.
    pub limit: u32,
}

/// A row of the operator's queue.
#[derive(Clone, Debug)]
pub struct QueueRow {
    /// Row id.
    pub id: i64,
    /// `waiting`, `dead` or `set-aside`.
    pub state: String,
    /// Destination or claimed source.
    pub peer: String,
    /// Delivery, where there is one.
    pub delivery: Option<DeliveryId>,
    /// Attempts so far.
    pub attempts: u32,
    /// Last error or reason.
    pub error: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// Next attempt.
    pub due: Option<Timestamp>,
    /// Size of the payload in bytes.
    pub size: u64,
}

/// An entry of a member's event feed.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// Key of the member.
    pub member: String,
    /// CloudEvent, complete.
    pub event: Value,
}

/// A stored entry.
#[derive(Clone, Debug)]
pub struct EventRow {
    /// Position, growing; readers never see a smaller one appear later.
    pub seq: i64,
    /// CloudEvent.
    pub event: Value,
}

/// Evidence that waits for its anchor.
#[derive(Clone, Debug)]
pub struct Unanchored {
    /// Position.
    pub seq: i64,
    /// Digest of the `.p7m`: the leaf.
    pub sha256: Digest,
}

/// One round of anchoring.
#[derive(Clone, Debug)]
pub struct Anchor {
    /// RFC 3161 token, DER.
    pub token: Vec<u8>,
    /// Root of the tree.
    pub root: Digest,
    /// genTime of the token.
    pub at: Timestamp,
    /// Leaves: position and digest of all evidence that waits, from the oldest on, in order.
    pub leaves: Vec<(i64, Digest)>,
}

/// A token and the leaves of the tree whose root it stamps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnchoredTree {
    /// RFC 3161 token, DER.
    pub token: Vec<u8>,
    /// genTime.
    pub at: Timestamp,
    /// Leaves, in their order.
    pub leaves: Vec<Digest>,
}

/// Where an evidence is anchored.
#[derive(Clone, Debug)]
pub struct Anchored {
    /// The evidence.
    pub id: EvidenceId,
    /// Its leaf.
    pub index: usize,
    /// The tree, shared by its evidences.
    pub tree: Arc<AnchoredTree>,
}

/// Messages of a member.
#[derive(Clone, Debug, Default)]
pub struct MessageQuery {
    /// Key of the sending member; none only for operators.
    pub member: Option<String>,
    /// Only this message.
    pub id: Option<MessageId>,
    /// Only this démarche.
    pub process: Option<String>,
    /// Only with a delivery in this state.
    pub state: Option<String>,
    /// After this position.
    pub after: i64,
    /// At most.
    pub limit: u32,
}

/// A stored message.
#[derive(Clone, Debug)]
pub struct MessageRow {
    /// Position.
    pub seq: i64,
    /// The envelope.
    pub envelope: Arc<Envelope>,
    /// Key of the member of this node who sent it.
    pub member: Option<String>,
}

/// Which deliveries.
#[derive(Clone, Debug, Default)]
pub struct DeliveryQuery {
    /// Of these messages; all when empty.
    pub messages: Vec<MessageId>,
    /// After this position.
    pub after: i64,
    /// At most.
    pub limit: u32,
}

/// A stored delivery.
#[derive(Clone, Debug)]
pub struct DeliveryRow {
    /// Position.
    pub seq: i64,
    /// The state.
    pub delivery: Delivery,
    /// Compare-and-swap version.
    pub version: i64,
    /// Key of the member of this node who receives it.
    pub recipient_member: Option<String>,
    /// The envelope of its message.
    pub envelope: Arc<Envelope>,
}

/// What a member's inbox asks for.
#[derive(Clone, Debug)]
pub struct InboxQuery {
    /// Key of the member.
    pub member: String,
    /// Only this delivery, in whatever state.
    pub id: Option<DeliveryId>,
    /// After this position.
    pub after: i64,
    /// At most.
    pub limit: u32,
    /// Hide what is returned until `now + visibility_ms`, and skip what is hidden.
    pub claim: Option<i64>,
    /// Now.
    pub now: Timestamp,
}

/// An uploaded document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Its id.
    pub id: DocumentId,
    /// Key of the member who uploaded it.
    pub member: String,
    /// File name.
    pub name: String,
    /// Media type.
    pub media_type: String,
    /// Size of the plaintext.
    pub size: u64,
    /// Digest of the plaintext.
    pub sha256: Digest,
    /// Digest of the ciphertext: where the content lies.
    pub cipher_sha256: Digest,
    /// Size of the ciphertext.
    pub cipher_size: u64,
    /// The document key, wrapped by the node's storage key.
    pub wrapped_key: Vec<u8>,
    /// When.
    pub at: Timestamp,
    /// When it goes unless a message uses it; none once used.
    pub expires: Option<Timestamp>,
}

/// The key of a document for one delivery at this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryKey {
    /// Delivery.
    pub delivery: DeliveryId,
    /// Document.
    pub document: DocumentId,
    /// Where the content lies.
    pub cipher_sha256: Digest,
    /// Size of the ciphertext.
    pub cipher_size: u64,
    /// The document key, wrapped by the node's storage key.
    pub wrapped_key: Vec<u8>,
}

/// A client of the REST interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRow {
    /// OAuth2 client id.
    pub client_id: String,
    /// Salted hash of the secret, in PHC form; never the secret.
    pub secret_hash: String,
    /// The member, an organisation.
    pub member: Party,
    /// Scopes.
    pub scopes: Vec<String>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// An access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Digest of the token.
    pub sha256: Digest,
    /// Its client.
    pub client_id: String,
    /// The client's member.
    pub member: Party,
    /// Granted scopes.
    pub scopes: Vec<String>,
    /// When it ends.
    pub expires: Timestamp,
}

/// Figures for status and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Deliveries by role and state.
    pub deliveries: Vec<(String, String, u64)>,
    /// Effects waiting, by kind.
    pub waiting: Vec<(String, u64)>,
    /// Dead effects.
    pub dead: u64,
    /// Frames set aside.
    pub set_aside: u64,
    /// Evidence held, and of it without anchor.
    pub evidence: (u64, u64),
    /// Creation time of the oldest waiting publication.
    pub oldest_unsent: Option<Timestamp>,
    /// Sending time of the oldest delivery still in state relaying.
    pub oldest_unacknowledged: Option<Timestamp>,
    /// Storage time of the oldest evidence without anchor.
    pub oldest_unanchored: Option<Timestamp>,
    /// Consignment time of the oldest delivery not handed over.
    pub oldest_uncollected: Option<Timestamp>,
}
