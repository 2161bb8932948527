//! The shapes of the REST interface (`/v1`), `snake_case`. Fields may be added, none renamed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::{MAX_CODE, MAX_PROSE};
use crate::digest::Digest;
use crate::envelope::{MAX_DOCUMENTS, MAX_RECIPIENTS, MAX_SENDER_REF, MAX_SUBJECT, Requested};
use crate::event::Event;
use crate::ids::ProcessCode;
use crate::ids::{Cog, ConversationId, DeliveryId, DocumentId, EvidenceId, MessageId, NodeId};
use crate::party::Party;
use crate::problem::Problem;
use crate::status::BusinessStatus;
use crate::time::Timestamp;

/// State names of a delivery (`lifecycle.md`), as people and tools read them.
pub const STATES: [&str; 19] = [
    "submitted",
    "accepted",
    "rejected",
    "relaying",
    "relayed",
    "relay_rejected",
    "relay_failed",
    "unconfirmed",
    "awaiting_acceptance",
    "refused",
    "expired",
    "consigned",
    "consign_failed",
    "handed_over",
    "handover_failed",
    "held",
    "awaiting_authorisation",
    "cancelled",
    "external",
];

/// A page of a list; `next` is an opaque cursor, null on the last page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PageOf{T}")]
pub struct Page<T> {
    /// Items, oldest first.
    pub items: Vec<T>,
    /// Where to go on.
    pub next: Option<String>,
}

/// Answer of `POST /v1/documents`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DocumentView {
    /// Its id.
    pub id: DocumentId,
    /// File name.
    pub name: String,
    /// Media type.
    pub media_type: String,
    /// Size of the plaintext.
    pub size: u64,
    /// Digest of the plaintext.
    pub sha256: Digest,
    /// The démarche's type code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub type_code: Option<String>,
}

/// Body of `POST /v1/messages`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMessage {
    /// Addressees.
    #[schemars(length(min = 1, max = MAX_RECIPIENTS))]
    pub recipients: Vec<Recipient>,
    /// Démarche.
    pub process: ProcessCode,
    /// Subject line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_SUBJECT))]
    pub subject: Option<String>,
    /// The sender's own number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_SENDER_REF))]
    pub sender_ref: Option<String>,
    /// Conversation to go on with; a new one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<ConversationId>,
    /// The message that this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<MessageId>,
    /// Documents: ids of uploads, or names of parts in a multipart request.
    #[schemars(length(min = 1, max = MAX_DOCUMENTS))]
    pub documents: Vec<NewDocument>,
    /// What is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<Requested>,
}

/// An addressee, by number or by commune.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Recipient {
    /// `{ scheme, id, service?, desk? }`.
    Party(Party),
    /// `{ cog }`: the commune's member.
    Commune {
        /// COG code.
        cog: Cog,
    },
}

/// A document of a new message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDocument {
    /// Id of an upload, or name of a part.
    #[schemars(length(min = 1, max = 255))]
    pub id: String,
    /// The démarche's type code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_CODE))]
    pub type_code: Option<String>,
    /// Indexes of the addressees who get it; everybody when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_RECIPIENTS), extend("uniqueItems" = true))]
    pub recipients: Option<Vec<u32>>,
}

/// A party with its name where it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PartyView {
    /// The address.
    #[serde(flatten)]
    pub party: Party,
    /// Name in the directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A message as its sender sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageView {
    /// Its id.
    pub message_id: MessageId,
    /// Conversation.
    pub conversation_id: ConversationId,
    /// What it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<MessageId>,
    /// Démarche.
    pub process: ProcessCode,
    /// Sender.
    pub sender: PartyView,
    /// Subject line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The sender's own number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_ref: Option<String>,
    /// When.
    pub submitted_at: Timestamp,
    /// Manifest.
    pub documents: Vec<DocumentView>,
    /// One per addressee.
    pub deliveries: Vec<DeliveryView>,
}

/// A delivery as the sender sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryView {
    /// Its id.
    pub delivery_id: DeliveryId,
    /// Addressee.
    pub recipient: PartyView,
    /// State of the delivery.
    #[schemars(extend("enum" = STATES))]
    pub state: String,
    /// Node that holds the content and owes the next evidence.
    pub custodian: NodeId,
    /// Since when in this state.
    pub since: Timestamp,
    /// When something must have happened.
    pub next_due: Option<Timestamp>,
    /// Latest business status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub business_status: Option<BusinessStatus>,
    /// Why it does not go on at present, where the node knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hindrance: Option<Hindrance>,
    /// Evidence so far, oldest first.
    pub evidence: Vec<Step>,
}

/// Why a delivery that is to be sent waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hindrance {
    /// The next node.
    pub node: NodeId,
    /// `held` by the operator of this node, or `failing`: what is sent there does not go through.
    #[schemars(extend("enum" = ["held", "failing"]))]
    pub why: String,
    /// Since when.
    pub since: Timestamp,
}

/// One evidence in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Its id.
    pub evidence_id: EvidenceId,
    /// ETSI name, such as `SubmissionAcceptance`.
    #[schemars(extend("enum" = Event::ALL.map(Event::name)))]
    pub event: String,
    /// Reason code, such as `RA01`.
    pub code: String,
    /// Time of the event.
    pub at: Timestamp,
    /// Node that sealed it.
    pub node: NodeId,
    /// When it was sealed (signing-time).
    pub sealed: Option<Timestamp>,
    /// When this node's anchor proves that it existed.
    pub anchored: Option<Timestamp>,
    /// Seconds from the event to its anchor, when more than 60: the anchor is delayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_seconds: Option<i64>,
    /// Evidence of a silence (RB22, RD03) that this one answers: both stand, and this is the fact.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supersedes: Vec<EvidenceId>,
}

/// An item of the inbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InboxItem {
    /// Delivery.
    pub delivery_id: DeliveryId,
    /// Message.
    pub message_id: MessageId,
    /// Conversation.
    pub conversation_id: ConversationId,
    /// What it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<MessageId>,
    /// Démarche.
    pub process: ProcessCode,
    /// Sender.
    pub sender: PartyView,
    /// The member who receives.
    pub recipient: PartyView,
    /// Subject line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Documents that this recipient gets.
    pub documents: Vec<DocumentView>,
    /// State of the delivery.
    #[schemars(extend("enum" = STATES))]
    pub state: String,
    /// When it was consigned; null while it awaits acceptance.
    pub consigned_at: Option<Timestamp>,
    /// Last moment for handover or acceptance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// Answer of `acknowledge`, `accept`, `refuse`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// Delivery.
    pub delivery_id: DeliveryId,
    /// State after it.
    #[schemars(extend("enum" = STATES))]
    pub state: String,
    /// The evidence: the same on every repeat.
    pub evidence: Step,
}

/// Body of `refuse`.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Refusal {
    /// Why, at most 1,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_PROSE))]
    pub reason: Option<String>,
    /// Why a delivery is not taken that was made available without being asked for: its type is
    /// not one that the recipient's application can take (E.2, RE03). Where acceptance is asked
    /// for, it stays out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<RefusalCode>,
}

/// A reason that a machine can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalCode {
    /// RE03.
    DocumentTypeRefused,
}

/// Body of `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewStatus {
    /// The status.
    pub status: BusinessStatus,
    /// A reason code of the démarche.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_CODE))]
    pub reason: Option<String>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_PROSE))]
    pub message: Option<String>,
}

/// Answer of `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusReceipt {
    /// Delivery.
    pub delivery_id: DeliveryId,
    /// State of the delivery, which a business status leaves as it is.
    #[schemars(extend("enum" = STATES))]
    pub state: String,
    /// The status as it was set.
    pub business_status: BusinessStatus,
    /// When.
    pub at: Timestamp,
}

/// A CloudEvents 1.0 event in JSON format, one entry of `GET /v1/events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CloudEvent {
    /// `1.0`.
    #[schemars(extend("const" = "1.0"))]
    pub specversion: String,
    /// Stable id.
    pub id: String,
    /// `urn:pli:node:<node>`.
    pub source: String,
    /// Such as `fr.pli.evidence.ContentConsignment`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The delivery or message.
    pub subject: String,
    /// When.
    pub time: Timestamp,
    /// `application/json`.
    pub datacontenttype: String,
    /// What happened.
    pub data: serde_json::Value,
}

/// Answer of `POST /oauth2/token` (RFC 6749 §5.1).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Token {
    /// Opaque bearer token.
    pub access_token: String,
    /// `Bearer`.
    #[schemars(extend("const" = "Bearer"))]
    pub token_type: String,
    /// Seconds.
    pub expires_in: u64,
    /// Granted scopes, separated by spaces.
    pub scope: String,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token(scope {:?})", self.scope)
    }
}

/// Body of `POST /oauth2/token`, `application/x-www-form-urlencoded` (RFC 6749 §4.4.2).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenRequest {
    /// `client_credentials`.
    #[schemars(extend("const" = "client_credentials"))]
    pub grant_type: String,
    /// Scopes asked for, separated by spaces; all that the client has when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// When the client does not use HTTP Basic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// When the client does not use HTTP Basic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "password"))]
    pub client_secret: Option<String>,
}

impl std::fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenRequest(client {:?}, scope {:?})", self.client_id, self.scope)
    }
}

/// A refusal of `POST /oauth2/token`: a problem that OAuth clients understand too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenProblem {
    /// The problem.
    #[serde(flatten)]
    pub problem: Problem,
    /// RFC 6749 §5.2, such as `invalid_client`.
    #[schemars(extend("enum" = [
        "invalid_request",
        "invalid_client",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    ]))]
    pub error: String,
}

/// A party of the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DirectoryParty {
    /// The address and its name.
    #[serde(flatten)]
    pub party: PartyView,
    /// Commune.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cog: Option<Cog>,
    /// Node through which it is reached.
    pub node: NodeId,
    /// Démarches that it receives.
    pub processes: Vec<ProcessCode>,
    /// Whether it is in service.
    pub active: bool,
}

/// One dependency in `GET /health/ready`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DependencyHealth {
    /// Such as `store`, `backbone`, `tsa`, `directory`, `content`.
    pub name: String,
    /// Whether it works.
    pub ready: bool,
    /// Why not, or what there is to say although it works (`slow: 1.4 s`), and since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A node that is not sent to as usual, in `GET /health/ready`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PeerHealth {
    /// The node.
    pub node: NodeId,
    /// Since when an operator holds what goes there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_since: Option<Timestamp>,
    /// Most publications a second, as an operator says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Why the operator says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when publications to it fail; one at a time tries again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// When one tries again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries_at: Option<Timestamp>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Answer of `GET /health/ready`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Readiness {
    /// Whether all dependencies that submission needs work.
    pub ready: bool,
    /// Each dependency.
    pub dependencies: Vec<DependencyHealth>,
    /// Nodes that are held, throttled or failing; others are sent to as usual.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<PeerHealth>,
}
