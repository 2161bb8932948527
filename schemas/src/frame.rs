//! Frames: what a backbone carries. CloudEvents 1.0 attributes in binary mode; the body is CBOR.

use serde::{Deserialize, Serialize};

use crate::bytes::Octets;

/// Largest frame, attributes included.
pub const MAX_FRAME: usize = 900 * 1024;
/// Documents up to this size in all (plaintext) travel inside the dispatch frame.
pub const INLINE_LIMIT: u64 = 256 * 1024;
/// Ciphertext bytes of one content frame.
pub const CONTENT_CHUNK: usize = 512 * 1024;

/// `ce_type` of a dispatch.
pub const DISPATCH: &str = "fr.pli.dispatch.v1";
/// `ce_type` of evidence.
pub const EVIDENCE: &str = "fr.pli.evidence.v1";
/// `ce_type` of content.
pub const CONTENT: &str = "fr.pli.content.v1";
/// `ce_type` of a business status.
pub const STATUS: &str = "fr.pli.status.v1";
/// `ce_type` of a directory list.
pub const DIRECTORY: &str = "fr.pli.directory.v1";

/// `ce_type` of a recall, and of the end of the answer to one.
pub const RECALL: &str = "fr.pli.recall.v1";
/// `ce_type` of what a neighbour holds about one delivery.
pub const RECOLLECTION: &str = "fr.pli.recollection.v1";

/// CloudEvents extension attribute with the message id. Attribute names are lower-case letters and
/// digits alone (CloudEvents 1.0.2 §3.1).
pub const ATTRIBUTE_MESSAGE: &str = "plimessage";
/// CloudEvents extension attribute with the node that a frame is for.
pub const ATTRIBUTE_TO: &str = "plito";

/// Body of a dispatch frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DispatchFrame {
    /// The sealed dispatch (`.p7m`, DER).
    pub dispatch: Octets,
    /// Ciphertexts of small messages, in the order of `Dispatch::content`; empty when they
    /// travel as content frames.
    #[serde(default)]
    pub inline: Vec<Octets>,
    /// The sealed B.1 of each node that has relayed it, in their order: a chain that says from
    /// whom the next node has it. Absent when it comes from the sender's node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relays: Vec<Octets>,
}

/// Body of an evidence frame: one or more sealed evidences about one delivery, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceFrame {
    /// Sealed evidences (`.p7m`, as issued).
    pub evidence: Vec<Octets>,
}

/// Body of a status frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusFrame {
    /// The sealed business status.
    pub status: Octets,
}

/// Body of a directory frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryFrame {
    /// The sealed root list, members list or catalogue.
    pub list: Octets,
}

/// Body of a content frame: one part of a ciphertext, and who says that it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContentFrame {
    /// The sealed [`crate::dispatch::ContentPart`] of the node that publishes it.
    pub seal: Octets,
    /// At most [`CONTENT_CHUNK`] bytes.
    pub part: Octets,
}

/// Body of a recall frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecallFrame {
    /// The sealed [`crate::recall::Recall`].
    pub recall: Octets,
}

/// Body of a recollection frame: a dispatch as it was sent, and all evidence about its delivery
/// that the node that answers holds, that of the node that asks included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecollectionFrame {
    /// The sealed dispatch.
    pub dispatch: Octets,
    /// Ciphertexts, as in a dispatch frame; empty when they are not needed any more.
    #[serde(default)]
    pub inline: Vec<Octets>,
    /// The sealed B.1 of each node that had relayed it before it came to the node that asks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relays: Vec<Octets>,
    /// Sealed evidences, each as issued.
    #[serde(default)]
    pub evidence: Vec<Octets>,
}

/// Why a frame's body cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// More than [`MAX_FRAME`] bytes.
    #[error("a frame of {0} bytes is larger than {MAX_FRAME}")]
    TooLarge(usize),
    /// Not the CBOR of this type.
    #[error("not a frame of this type: {0}")]
    Malformed(String),
    /// Bytes after the CBOR item.
    #[error("{0} bytes after the end of the frame")]
    Trailing(usize),
}

/// Depth of nesting that [`decode`] accepts.
const MAX_DEPTH: usize = 16;

/// Reads a CBOR body, refusing oversize, deep nesting and trailing bytes.
///
/// # Errors
/// [`BadFrame`].
pub fn decode<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, BadFrame> {
    if bytes.len() > MAX_FRAME {
        return Err(BadFrame::TooLarge(bytes.len()));
    }
    let mut rest = bytes;
    let value = ciborium::de::from_reader_with_recursion_limit(&mut rest, MAX_DEPTH)
        .map_err(|e| BadFrame::Malformed(e.to_string()))?;
    if rest.is_empty() { Ok(value) } else { Err(BadFrame::Trailing(rest.len())) }
}

/// Writes a CBOR body. Writing to memory cannot fail; an empty result would mean it did, and no
/// reader accepts that.
#[must_use]
pub fn encode<T: Serialize>(body: &T) -> Vec<u8> {
    let mut out = Vec::new();
    match ciborium::ser::into_writer(body, &mut out) {
        Ok(()) => out,
        Err(_) => Vec::new(),
    }
}
