//! The one small door to a private key, wherever it lives.
//!
//! A [`Signer`] is handed the bytes to be signed and gives back the signature value: it fits a key
//! in memory ([`crate::software::SoftwareKey`]), a PKCS#11 token or a remote service alike.

use crate::algorithm::{Family, Hash, Scheme};

/// Algorithms with which Pli signs. More are accepted when verifying: [`crate::algorithm::TABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA on secp256r1 with SHA-256; signature value in DER.
    EcdsaP256Sha256,
    /// ECDSA on secp384r1 with SHA-384; signature value in DER.
    EcdsaP384Sha384,
    /// RSASSA-PSS, 3,072 bits, SHA-256, salt of 32 octets.
    RsaPss3072Sha256,
}

impl Algorithm {
    /// The algorithm with what its strength depends on.
    #[must_use]
    pub const fn scheme(self) -> Scheme {
        let (family, hash, key_bits) = match self {
            Self::EcdsaP256Sha256 => (Family::EcdsaP256, Hash::Sha256, 256),
            Self::EcdsaP384Sha384 => (Family::EcdsaP384, Hash::Sha384, 384),
            Self::RsaPss3072Sha256 => (Family::RsaPss, Hash::Sha256, 3_072),
        };
        Scheme { family, hash, key_bits }
    }
}

/// A private key that signs.
///
/// Contract: `sign` hashes `tbs` itself with the algorithm's hash and returns a signature that
/// verifies under `public_key_der`; it may block (a token, a remote service), may be called from
/// many threads at once, and never retries on its own.
pub trait Signer: Send + Sync + std::fmt::Debug {
    /// What this key signs with.
    fn algorithm(&self) -> Algorithm;
    /// The public key, a DER `SubjectPublicKeyInfo`.
    fn public_key_der(&self) -> &[u8];
    /// Signs `tbs`.
    ///
    /// # Errors
    /// When the key, token or service did not sign.
    fn sign(&self, tbs: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// No signature came. The fault is ours or the token's, never a peer's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The key cannot be read or is of a kind that Pli does not sign with.
    #[error("the private key is not usable: {0}")]
    Key(&'static str),
    /// The key's engine refused to sign.
    #[error("the key did not sign: {0}")]
    Refused(String),
    /// The certificate is for another key.
    #[error("the certificate does not hold the signer's public key")]
    KeyMismatch,
    /// A certificate or CRL given to the sealer cannot be read.
    #[error("a certificate or revocation list given for sealing is not readable")]
    Material,
    /// The certificate does not cover the instant of the seal.
    #[error("the certificate is not valid at the time of sealing")]
    OutsideValidity,
}

impl SignError {
    /// A stable name for logs and problems.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Key(_) => "key-unusable",
            Self::Refused(_) => "key-refused",
            Self::KeyMismatch => "key-mismatch",
            Self::Material => "certificate-unreadable",
            Self::OutsideValidity => "certificate-outside-validity",
        }
    }
}
