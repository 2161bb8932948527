//! Secrets: document content, the keys that travel with it, the keys that rest in the store.
//!
//! - [`DocumentKey`], [`StreamSealer`], [`StreamOpener`]: content in chunks, AES-256-GCM in the
//!   STREAM construction, so that truncation, reordering and mixing are found;
//! - [`wrap`], [`unwrap`], [`EncryptionKey`]: a CMS `AuthEnvelopedData` to the certificates of
//!   recipients; `openssl cms -decrypt` opens it;
//! - [`StorageKey`]: document keys at rest.
//!
//! Keys are wiped from memory when dropped, and `Debug` shows none.

mod envelope;
mod recipient;
mod storage;
mod stream;

pub use envelope::{unwrap, wrap};
pub use recipient::EncryptionKey;
pub use storage::{StorageKey, WRAPPED_OCTETS};
pub use stream::{
    CHUNK, DocumentKey, PREFIX, StreamOpener, StreamSealer, TAG, ciphertext_len, open_all, seal_all,
};

/// Why something was not encrypted or not decrypted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncryptError {
    /// The ciphertext, its order, its end or the key is not the right one. Which, is not told.
    #[error("the ciphertext was changed, cut, reordered, or the key is another one")]
    Undecipherable,
    /// A chunk has not the length that its place demands, or comes after the last.
    #[error("a chunk has a wrong length or comes after the last one")]
    Chunk,
    /// The structure is not an `AuthEnvelopedData` that Pli reads.
    #[error("not a readable AuthEnvelopedData")]
    Malformed,
    /// It uses algorithms that are not accepted.
    #[error("the encryption algorithm is not accepted: {0}")]
    Algorithm(&'static str),
    /// It is addressed to others.
    #[error("not addressed to this key")]
    OtherRecipient,
    /// A certificate cannot be encrypted to.
    #[error("the recipient's certificate cannot be encrypted to: {0}")]
    Recipient(&'static str),
    /// A private key cannot be used for decryption.
    #[error("the decryption key is not usable: {0}")]
    Key(&'static str),
    /// The engine failed.
    #[error("the cryptographic engine failed")]
    Engine,
}

impl EncryptError {
    /// A stable name for logs and problems.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Undecipherable => "undecipherable",
            Self::Chunk => "chunk-misplaced",
            Self::Malformed => "envelope-malformed",
            Self::Algorithm(_) => "algorithm-refused",
            Self::OtherRecipient => "other-recipient",
            Self::Recipient(_) => "recipient-certificate-refused",
            Self::Key(_) => "key-unusable",
            Self::Engine => "engine-failed",
        }
    }
}

impl From<crate::asn1::Malformed> for EncryptError {
    fn from(_: crate::asn1::Malformed) -> Self {
        Self::Malformed
    }
}

impl From<aws_lc_rs::error::Unspecified> for EncryptError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Engine
    }
}
