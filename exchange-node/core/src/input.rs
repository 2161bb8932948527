//! What can happen to a delivery. Facts only: what cryptography and I/O have established.

use schemas::digest::Digest;
use schemas::envelope::Envelope;
use schemas::event::{Event, Reason};
use schemas::ids::{DeliveryId, EvidenceId, NodeId};
use schemas::party::Party;
use schemas::problem::Code;
use schemas::status::BusinessStatus;
use schemas::time::Timestamp;

/// A submission, authenticated, its documents stored.
#[derive(Clone, Debug)]
pub struct Submission<'a> {
    /// The complete envelope, its identifiers minted.
    pub envelope: &'a Envelope,
    /// What the engine found wrong with the documents (type, size, digest, malware), if anything.
    pub findings: Vec<Finding>,
    /// How long evidence has waited for a token that no authority gives, in milliseconds.
    pub unanchored_age: i64,
}

/// Something wrong, found outside the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its code.
    pub code: Code,
    /// In English.
    pub detail: String,
    /// In French.
    pub detail_fr: String,
}

/// An inbound dispatch.
#[derive(Clone, Debug)]
pub struct Inbound<'a> {
    /// The envelope.
    pub envelope: &'a Envelope,
    /// Addressee.
    pub recipient_index: u32,
    /// The sender's node.
    pub origin: NodeId,
    /// The node that handed it over (equal to `origin` when direct).
    pub from: NodeId,
    /// Hop of the node that handed it over.
    pub hop: u8,
    /// Digest of the sealed dispatch.
    pub dispatch: Digest,
    /// The A.1 inside.
    pub acceptance: Option<EvidenceFact>,
    /// The B.1 of each node that relayed it, in their order: the way that it came. Verified to be
    /// a chain from `origin` to `from`.
    pub relays: Vec<EvidenceFact>,
    /// What verification found wrong (seal, certificate, time, digests, malware), if anything.
    pub findings: Vec<Finding>,
}

/// An evidence whose seal verified, and which is about this delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceFact {
    /// G01.
    pub id: EvidenceId,
    /// G03.
    pub event: Event,
    /// G04, the first.
    pub reason: Option<Reason>,
    /// Who sealed it.
    pub issuer: NodeId,
    /// G05.
    pub at: Timestamp,
    /// Digest of the `.p7m`.
    pub digest: Digest,
    /// I09 from 0; none in families A and B.
    pub recipient_index: Option<u32>,
    /// M05.
    pub external: Option<NodeId>,
    /// Whether M01 and M02 equal those of the message.
    pub same_content: bool,
}

/// What a gateway reports of a message that leaves the network (EN 319 522-1 F.1 and F.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// The outside system has taken it (RF01).
    Relayed,
    /// It cannot be reached (RF02).
    Unreachable,
    /// It refused the message (RF03).
    Rejected,
    /// The rules do not let this message leave the network (RF51).
    NotAllowed,
}

/// A message of a sender whom no node of the network vouches for.
#[derive(Clone, Debug)]
pub struct FromOutside<'a> {
    /// The envelope that the gateway wrote.
    pub envelope: &'a Envelope,
    /// Addressee.
    pub recipient_index: u32,
    /// The system that it came from (M04).
    pub system: String,
    /// What was found wrong with the documents, if anything.
    pub findings: Vec<Finding>,
}

/// What happens to one delivery.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// A dispatch arrived (rows 6, 7, 11, 13, 14).
    Dispatched(Box<Inbound<'a>>),
    /// A neighbour says what it holds about a delivery that this node, restored from a backup, may
    /// have forgotten: the dispatch, and evidence of any node, this one included.
    Recollected(Box<Inbound<'a>>, Vec<EvidenceFact>),
    /// Evidence arrived from another node (rows 6 to 17).
    Evidence(EvidenceFact),
    /// The backbone has confirmed the dispatch.
    Sent,
    /// The backbone knows no such destination.
    Unroutable,
    /// Publishing failed; it may or may not have arrived. The core says when to try again.
    SendFailed,
    /// An attempt was made that may have arrived; somebody else tries again.
    Attempted,
    /// A timer may have run out.
    Due,
    /// Come back at once, asked by [`crate::effect::Effect::Continue`].
    Continue,
    /// The recipient took it (row 16).
    Acknowledge {
        /// Who.
        by: Party,
    },
    /// The recipient accepts it (row 12a).
    Accept {
        /// Who.
        by: Party,
    },
    /// The recipient refuses it (row 12b).
    Refuse {
        /// Who.
        by: Party,
        /// Why, in the recipient's words.
        reason: Option<String>,
    },
    /// The recipient's application cannot take the type of what was consigned (row 17, RE03).
    RefuseType {
        /// Who.
        by: Party,
        /// Why, in the recipient's words.
        reason: Option<String>,
    },
    /// A notice for acceptance came back (row 11): RC03, or RC05 when it did more than once.
    NoticeFailed {
        /// Whether earlier attempts came back, too.
        repeatedly: bool,
    },
    /// A notice for acceptance is known to have reached the recipient (row 11, C.6).
    NoticeDelivered,
    /// The gateway to a system outside of the network reports (row 18).
    Outside(Outside),
    /// A message came in from a system outside of the network (row 19).
    FromOutside(Box<FromOutside<'a>>),
    /// A member of this node sets a business status.
    SetStatus {
        /// Who: sender or recipient of this delivery.
        by: Party,
        /// What.
        status: BusinessStatus,
    },
    /// A verified business status arrived from another node.
    StatusReceived {
        /// Who set it.
        by: Party,
        /// What.
        status: BusinessStatus,
    },
    /// An operator asks for another attempt.
    Redrive,
}

/// The delivery an input is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct About(pub DeliveryId);
