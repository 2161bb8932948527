//! One body of each kind of frame; the sealed files are placeholders.

use crate::bytes::Octets;
use crate::dispatch::ContentPart;
use crate::frame::{
    ContentFrame, DirectoryFrame, DispatchFrame, EvidenceFrame, RecallFrame, RecollectionFrame,
    StatusFrame,
};
use crate::recall::{Recall, Say};
use crate::time::Timestamp;

use super::{envelope, node};

/// A dispatch with its ciphertexts inside.
#[must_use]
pub fn dispatch() -> DispatchFrame {
    DispatchFrame {
        dispatch: sealed(1),
        inline: vec![ciphertext(1), ciphertext(2)],
        relays: Vec::new(),
    }
}

/// A dispatch that one node has relayed, and whose ciphertexts travel as content frames.
#[must_use]
pub fn dispatch_without_content() -> DispatchFrame {
    DispatchFrame { dispatch: sealed(1), inline: Vec::new(), relays: vec![sealed(2)] }
}

/// Two evidences about one delivery.
#[must_use]
pub fn evidence() -> EvidenceFrame {
    EvidenceFrame { evidence: vec![sealed(2), sealed(3)] }
}

/// A business status.
#[must_use]
pub fn status() -> StatusFrame {
    StatusFrame { status: sealed(4) }
}

/// A part of a document.
#[must_use]
pub fn content() -> ContentFrame {
    ContentFrame { seal: sealed(5), part: ciphertext(5) }
}

/// What is sealed about the first part of the first document.
#[must_use]
pub fn content_part() -> ContentPart {
    let document = envelope().documents.remove(0);
    ContentPart {
        version: 1,
        document_id: document.id,
        cipher_sha256: document.cipher_sha256,
        cipher_size: document.size + 7 + 16,
        offset: 0,
        part_sha256: document.cipher_sha256,
    }
}

/// A list of the directory.
#[must_use]
pub fn directory() -> DirectoryFrame {
    DirectoryFrame { list: sealed(6) }
}

/// A recall.
#[must_use]
pub fn recall() -> RecallFrame {
    RecallFrame { recall: sealed(7) }
}

/// What is sealed in it.
#[must_use]
pub fn recall_json() -> Recall {
    let at = Timestamp::from_secs(1_800_000_000);
    Recall {
        version: 1,
        recall_id: uuid::Uuid::from_u128(0x0192_f3c4_5d6e_7a8b_9c0d_1e2f_3a4b_5c6d),
        node: node("cd-34"),
        to: node("etat"),
        say: Say::Ask,
        since: at.plus(-crate::time::HOUR),
        at,
    }
}

/// What a neighbour holds about one delivery.
#[must_use]
pub fn recollection() -> RecollectionFrame {
    RecollectionFrame {
        dispatch: sealed(1),
        inline: vec![ciphertext(1)],
        relays: Vec::new(),
        evidence: vec![sealed(2), sealed(3)],
    }
}

/// Looks like the beginning of a DER SEQUENCE.
fn sealed(n: u8) -> Octets {
    Octets(vec![0x30, 0x03, 0x02, 0x01, n])
}

/// A nonce prefix, one byte and a tag.
fn ciphertext(n: u8) -> Octets {
    Octets(vec![n; 7 + 1 + 16])
}
