//! The envelope: what the sender says. Business content is opaque and never inside.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::{MAX_CODE, MAX_SAFE_INTEGER, MAX_SUBJECT_KEY, MEDIA_TYPE};
use crate::digest::Digest;
use crate::ids::{ConversationId, DocumentId, MessageId, ProcessCode};
use crate::party::Party;
use crate::time::Timestamp;

/// Most recipients of one message.
pub const MAX_RECIPIENTS: usize = 1_000;
/// Most documents of one message.
pub const MAX_DOCUMENTS: usize = 1_000;
/// Longest document name, in bytes of UTF-8.
pub const MAX_NAME: usize = 255;
/// Longest `sender_ref`, in characters.
pub const MAX_SENDER_REF: usize = 100;
/// Longest `subject`, in characters.
pub const MAX_SUBJECT: usize = 255;

/// The envelope, version 1. Used in stored state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// Always 1.
    #[schemars(extend("const" = 1))]
    pub version: u8,
    /// Minted by the sender's node.
    pub message_id: MessageId,
    /// The member who sends.
    pub sender: Party,
    /// The member in whose name the sender acts, under a delegation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<Party>,
    /// The addressees, 1 to [`MAX_RECIPIENTS`]; their position is the recipient index.
    #[schemars(length(min = 1, max = MAX_RECIPIENTS), extend("uniqueItems" = true))]
    pub recipients: Vec<Party>,
    /// The démarche.
    pub process: ProcessCode,
    /// Subject line, at most [`MAX_SUBJECT`] characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_SUBJECT))]
    pub subject: Option<String>,
    /// Groups a dialogue and orders it on a backbone.
    pub conversation_id: ConversationId,
    /// The message that this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<MessageId>,
    /// The sender's own number, at most [`MAX_SENDER_REF`] characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_SENDER_REF))]
    pub sender_ref: Option<String>,
    /// The manifest, 1 to [`MAX_DOCUMENTS`].
    #[schemars(length(min = 1, max = MAX_DOCUMENTS))]
    pub documents: Vec<Document>,
    /// What the sender asks of the service.
    #[serde(default)]
    pub requested: Requested,
    /// Pseudonym of the person concerned, chosen by the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_SUBJECT_KEY))]
    pub subject_key: Option<String>,
    /// Time of submission (component M03).
    pub submitted_at: Timestamp,
}

/// One document of the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Minted at upload.
    pub id: DocumentId,
    /// File name: at most [`MAX_NAME`] bytes, no path separator, no control character.
    #[schemars(length(min = 1, max = MAX_NAME))]
    pub name: String,
    /// The démarche's own type code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_CODE))]
    pub type_code: Option<String>,
    /// Media type, lower case, without parameters.
    #[schemars(regex(pattern = MEDIA_TYPE))]
    pub media_type: String,
    /// Size of the plaintext in bytes.
    #[schemars(range(max = MAX_SAFE_INTEGER))]
    pub size: u64,
    /// Digest of the plaintext.
    pub sha256: Digest,
    /// Digest of the ciphertext that travels and rests: nonce prefix and chunks.
    pub cipher_sha256: Digest,
    /// Indexes of the addressees who get this document; everybody when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_RECIPIENTS), extend("uniqueItems" = true))]
    pub recipients: Option<Vec<u32>>,
}

impl Document {
    /// Whether the addressee at `recipient_index` gets this document.
    #[must_use]
    pub fn is_for(&self, recipient_index: u32) -> bool {
        self.recipients.as_ref().is_none_or(|list| list.contains(&recipient_index))
    }
}

/// Consignment modes (MD06).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Consignment {
    /// The content is placed in the recipient's space at once.
    #[default]
    Basic,
    /// The recipient accepts or refuses first.
    Consent,
}

/// What the sender asks for.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Requested {
    /// MD06.
    pub consignment: Consignment,
    /// MD03: no consignment or handover after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// MD07: no consignment before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Another member of the sender's node who also sees the evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence_to: Option<Party>,
}

/// Whether `name` may name a document: 1 to [`MAX_NAME`] bytes, no separator, no control
/// character, no `.` or `..`, no bidirectional override.
#[must_use]
pub fn is_document_name(name: &str) -> bool {
    let bad = |c: char| {
        c.is_control()
            || matches!(c, '/' | '\\' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    !name.is_empty()
        && name.len() <= MAX_NAME
        && !name.chars().any(bad)
        && name.trim() == name
        && name != "."
        && name != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_path_tricks_are_refused() {
        for bad in ["", ".", "..", "../a", "a/b", "a\\b", "a\0b", " a", "a\u{202e}fdp.exe"] {
            assert!(!is_document_name(bad), "{bad:?}");
        }
        assert!(is_document_name("Acte d'état civil n°3.pdf"));
        assert!(!is_document_name(&"é".repeat(128)));
    }
}
