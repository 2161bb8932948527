//! Document keys at rest, wrapped under the store's key.
//!
//! ```text
//! version (1 octet, = 1)  nonce (12 random octets)  encrypted key (32)  tag (16)
//! ```
//! AES-256-GCM; the caller's associated data (where the key belongs, such as the document's
//! identifier) is bound, so that wrapped keys cannot be exchanged between rows. Random nonces are
//! good for 2^32 wraps under one storage key.

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::stream::aead;
use super::{DocumentKey, EncryptError};

/// Octets of a wrapped key.
pub const WRAPPED_OCTETS: usize = 1 + 12 + 32 + 16;
const VERSION: u8 = 1;

/// The store's key.
pub struct StorageKey(LessSafeKey);

impl StorageKey {
    /// From exactly 32 octets.
    ///
    /// # Errors
    /// [`EncryptError::Key`] for another length.
    pub fn from_slice(octets: &[u8]) -> Result<Self, EncryptError> {
        aead(octets).map(Self).map_err(|_| EncryptError::Key("not of 32 octets"))
    }

    /// From 64 hexadecimal digits, as [`StorageKey::generate_hex`] makes them; blanks around them
    /// are ignored.
    ///
    /// # Errors
    /// [`EncryptError::Key`].
    pub fn from_hex(text: &str) -> Result<Self, EncryptError> {
        let octets = Zeroizing::new(
            hex::decode(text.trim()).map_err(|_| EncryptError::Key("not hexadecimal"))?,
        );
        Self::from_slice(&octets)
    }

    /// A new key as 64 hexadecimal digits: to be kept in a file that only the node reads.
    ///
    /// # Errors
    /// [`EncryptError::Engine`].
    pub fn generate_hex() -> Result<Zeroizing<String>, EncryptError> {
        let mut octets = Zeroizing::new([0; 32]);
        rand::fill(octets.as_mut())?;
        Ok(Zeroizing::new(hex::encode(octets.as_ref())))
    }

    /// Wraps `key`, bound to `context`.
    ///
    /// # Errors
    /// [`EncryptError::Engine`].
    pub fn wrap(&self, key: &DocumentKey, context: &[u8]) -> Result<Vec<u8>, EncryptError> {
        let mut nonce = [0; 12];
        rand::fill(&mut nonce)?;
        let mut body = *key.expose();
        let tag = self.0.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(context),
            &mut body,
        )?;
        Ok([&[VERSION][..], &nonce, &body, tag.as_ref()].concat())
    }

    /// Unwraps what [`StorageKey::wrap`] made with the same `context`.
    ///
    /// # Errors
    /// [`EncryptError::Undecipherable`] for whatever differs.
    pub fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<DocumentKey, EncryptError> {
        let wrong = EncryptError::Undecipherable;
        let body = wrapped.strip_prefix(&[VERSION]).ok_or_else(|| wrong.clone())?;
        let (nonce, body) = body.split_first_chunk::<12>().ok_or_else(|| wrong.clone())?;
        let mut body = Zeroizing::new(body.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let key = self.0.open_in_place(nonce, Aad::from(context), &mut body);
        key.ok().and_then(|key| DocumentKey::from_slice(key)).ok_or(wrong)
    }
}

impl std::fmt::Debug for StorageKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StorageKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_in_its_own_place_only() {
        let storage = StorageKey::from_hex(&StorageKey::generate_hex().unwrap()).unwrap();
        let key = DocumentKey::generate().unwrap();
        let wrapped = storage.wrap(&key, b"document 1").unwrap();
        assert_eq!(wrapped.len(), WRAPPED_OCTETS);
        assert_eq!(storage.unwrap(&wrapped, b"document 1").unwrap().expose(), key.expose());
        let refused = |w: &[u8], c: &[u8]| {
            storage.unwrap(w, c).map(|_| ()) == Err(EncryptError::Undecipherable)
        };
        assert!(refused(&wrapped, b"document 2"));
        for at in 0..wrapped.len() {
            let mut changed = wrapped.clone();
            changed[at] ^= 0x10;
            assert!(refused(&changed, b"document 1"), "at {at}");
            assert!(refused(&wrapped[..at], b"document 1"), "cut at {at}");
        }
        assert_ne!(storage.wrap(&key, b"").unwrap(), storage.wrap(&key, b"").unwrap());
    }

    #[test]
    fn bad_keys_are_refused_and_none_is_shown() {
        for bad in ["", "00", "xx"] {
            assert_eq!(StorageKey::from_hex(bad).unwrap_err().code(), "key-unusable");
        }
        assert_eq!(format!("{:?}", StorageKey::from_slice(&[1; 32]).unwrap()), "StorageKey");
    }
}
