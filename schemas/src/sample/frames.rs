//! One body of each kind of frame; the sealed files are placeholders.

use crate::bytes::Octets;
use crate::frame::{ContentFrame, DirectoryFrame, DispatchFrame, EvidenceFrame, StatusFrame};

use super::envelope;

/// A dispatch with its ciphertexts inside.
#[must_use]
pub fn dispatch() -> DispatchFrame {
    DispatchFrame { dispatch: sealed(1), inline: vec![ciphertext(1), ciphertext(2)] }
}

/// A dispatch whose ciphertexts travel as content frames.
#[must_use]
pub fn dispatch_without_content() -> DispatchFrame {
    DispatchFrame { dispatch: sealed(1), inline: Vec::new() }
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

/// The first part of the first document.
#[must_use]
pub fn content() -> ContentFrame {
    let document = envelope().documents.remove(0);
    ContentFrame {
        document_id: document.id,
        cipher_sha256: document.cipher_sha256,
        cipher_size: document.size + 7 + 16,
        offset: 0,
        part: ciphertext(5),
    }
}

/// A list of the directory.
#[must_use]
pub fn directory() -> DirectoryFrame {
    DirectoryFrame { list: sealed(6) }
}

/// Looks like the beginning of a DER SEQUENCE.
fn sealed(n: u8) -> Octets {
    Octets(vec![0x30, 0x03, 0x02, 0x01, n])
}

/// A nonce prefix, one byte and a tag.
fn ciphertext(n: u8) -> Octets {
    Octets(vec![n; 7 + 1 + 16])
}
