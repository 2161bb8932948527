//! The dispatch: the envelope for one next hop and one recipient (EN 319 522-2 clause 6, T5).
//! Sealed by the sender's node; its JSON is the eContent of the seal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bytes::Octets;
use crate::digest::Digest;
use crate::envelope::Envelope;
use crate::ids::{DeliveryId, DocumentId, NodeId};
use crate::time::Timestamp;

/// The dispatch, version 1. One recipient per dispatch (MD10). Used in stored state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dispatch {
    /// Always 1.
    #[schemars(extend("const" = 1))]
    pub version: u8,
    /// The envelope as accepted. Its manifest names every document; [`Dispatch::content`] those
    /// that this recipient gets.
    pub envelope: Envelope,
    /// Metadata for the relay.
    pub relay: RelayMetadata,
    /// The documents that travel to this recipient.
    pub content: Vec<ContentRef>,
    /// CMS AuthEnvelopedData holding [`ContentKeys`] as JSON, addressed to the recipient's node.
    pub keys: Octets,
    /// The sealed A.1, as issued.
    pub submission_acceptance: Octets,
}

/// Relay metadata (EN 319 522-2 T5): the parts that the envelope does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RelayMetadata {
    /// The delivery, derived from message and recipient index.
    pub delivery_id: DeliveryId,
    /// MD10, by position in the envelope.
    pub recipient_index: u32,
    /// The sender's node.
    pub from: NodeId,
    /// The recipient's node.
    pub to: NodeId,
    /// MD02: when this dispatch was made.
    pub relay_time: Timestamp,
    /// Hop count of the sender's node is 0.
    pub hop: u8,
}

/// One document as ciphertext.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContentRef {
    /// The document of the manifest.
    pub document_id: DocumentId,
    /// Digest of the ciphertext.
    pub cipher_sha256: Digest,
    /// Size of the ciphertext in bytes.
    pub cipher_size: u64,
}

/// What a node seals about each part of a ciphertext that it publishes by itself: where it belongs,
/// and its digest. Nothing that comes from a backbone is believed before its seal verifies; without
/// it one false part among thousands would spoil the whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContentPart {
    /// Always 1.
    #[schemars(extend("const" = 1))]
    pub version: u8,
    /// The document of the manifest.
    pub document_id: DocumentId,
    /// Digest of the whole ciphertext.
    pub cipher_sha256: Digest,
    /// Size of the whole ciphertext in bytes.
    pub cipher_size: u64,
    /// Position of this part in bytes.
    pub offset: u64,
    /// Digest of this part.
    pub part_sha256: Digest,
}

/// What the key envelope holds: one 256-bit key per document of [`Dispatch::content`], same order.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContentKeys {
    /// The keys.
    pub keys: Vec<Octets>,
}

impl std::fmt::Debug for ContentKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ContentKeys({} keys)", self.keys.len())
    }
}
