//! Document content in chunks (STREAM, Hoang, Reyhanitabar, Rogaway and Vizár 2015).
//!
//! ```text
//! prefix (7 octets)  chunk 0 (65,536) tag (16)  chunk 1 tag  ...  last chunk (0 to 65,536) tag
//! nonce of chunk i = prefix || i as 4 octets, big-endian || 1 if last, else 0
//! ```
//! Every chunk but the last is full. An empty document is one empty last chunk. A document key
//! serves one document, so the prefix need not be unique beyond it; it is random all the same.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::EncryptError;

/// Octets of plaintext in every chunk but the last.
pub const CHUNK: usize = 64 * 1024;
/// Octets of the nonce prefix before the first chunk.
pub const PREFIX: usize = 7;
/// Octets of the tag after each chunk.
pub const TAG: usize = 16;

/// The key of one document: 256 random bits.
#[derive(Clone)]
pub struct DocumentKey(Zeroizing<[u8; 32]>);

impl DocumentKey {
    /// A new key.
    ///
    /// # Errors
    /// [`EncryptError::Engine`] when the system has no randomness.
    pub fn generate() -> Result<Self, EncryptError> {
        let mut key = Zeroizing::new([0; 32]);
        rand::fill(key.as_mut())?;
        Ok(Self(key))
    }

    /// From exactly 32 octets.
    #[must_use]
    pub fn from_slice(octets: &[u8]) -> Option<Self> {
        octets.try_into().ok().map(|key| Self(Zeroizing::new(key)))
    }

    /// The key itself: to be put into an envelope, nowhere else.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) fn aead(&self) -> Result<LessSafeKey, EncryptError> {
        aead(&*self.0)
    }
}

pub(super) fn aead(key: &[u8]) -> Result<LessSafeKey, EncryptError> {
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key)?))
}

impl std::fmt::Debug for DocumentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DocumentKey")
    }
}

/// Octets of ciphertext for `plaintext` octets.
#[must_use]
pub const fn ciphertext_len(plaintext: u64) -> u64 {
    let chunks = if plaintext == 0 { 1 } else { plaintext.div_ceil(CHUNK as u64) };
    PREFIX as u64 + plaintext + chunks * TAG as u64
}

/// The place of the next chunk.
#[derive(Clone, Debug)]
struct Place {
    prefix: [u8; PREFIX],
    next: u32,
    ended: bool,
}

impl Place {
    /// The nonce of the next chunk, which has `length` octets of plaintext.
    fn advance(&mut self, length: usize, last: bool) -> Result<Nonce, EncryptError> {
        let fits =
            if last { length <= CHUNK && (length > 0 || self.next == 0) } else { length == CHUNK };
        if self.ended || !fits {
            return Err(EncryptError::Chunk);
        }
        let mut nonce = Vec::with_capacity(NONCE_LEN);
        nonce.extend_from_slice(&self.prefix);
        nonce.extend_from_slice(&self.next.to_be_bytes());
        nonce.push(u8::from(last));
        self.ended = last;
        self.next = self.next.checked_add(1).ok_or(EncryptError::Chunk)?;
        Ok(Nonce::try_assume_unique_for_key(&nonce)?)
    }
}

/// Encrypts a document chunk by chunk.
#[derive(Debug)]
pub struct StreamSealer {
    key: LessSafeKey,
    place: Place,
}

impl StreamSealer {
    /// `prefix` is random: [`StreamSealer::random`] chooses it.
    ///
    /// # Errors
    /// [`EncryptError::Engine`].
    pub fn new(key: &DocumentKey, prefix: [u8; PREFIX]) -> Result<Self, EncryptError> {
        Ok(Self { key: key.aead()?, place: Place { prefix, next: 0, ended: false } })
    }

    /// With a random prefix.
    ///
    /// # Errors
    /// [`EncryptError::Engine`].
    pub fn random(key: &DocumentKey) -> Result<Self, EncryptError> {
        let mut prefix = [0; PREFIX];
        rand::fill(&mut prefix)?;
        Self::new(key, prefix)
    }

    /// The same, going on with chunk `index` of a document that was begun earlier. Never twice with
    /// different octets: the nonce of a chunk is its index.
    ///
    /// # Errors
    /// [`EncryptError::Engine`].
    pub fn at(key: &DocumentKey, prefix: [u8; PREFIX], index: u32) -> Result<Self, EncryptError> {
        Ok(Self { key: key.aead()?, place: Place { prefix, next: index, ended: false } })
    }

    /// The nonce prefix.
    #[must_use]
    pub const fn prefix(&self) -> [u8; PREFIX] {
        self.place.prefix
    }

    /// Encrypts the next chunk: [`CHUNK`] octets, or fewer if it is the `last`; the last is empty
    /// only in an empty document. The first answer begins with the prefix: all answers one after
    /// another are the ciphertext.
    ///
    /// # Errors
    /// [`EncryptError::Chunk`] for a wrong length or a chunk after the last.
    pub fn push(&mut self, chunk: &[u8], last: bool) -> Result<Vec<u8>, EncryptError> {
        let first = self.place.next == 0;
        let nonce = self.place.advance(chunk.len(), last)?;
        let mut out = Vec::with_capacity(PREFIX + chunk.len() + TAG);
        if first {
            out.extend_from_slice(&self.place.prefix);
        }
        let start = out.len();
        out.extend_from_slice(chunk);
        let body = out.get_mut(start..).unwrap_or_default();
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::empty(), body)?;
        out.extend_from_slice(tag.as_ref());
        Ok(out)
    }
}

/// Decrypts a document chunk by chunk.
#[derive(Debug)]
pub struct StreamOpener {
    key: LessSafeKey,
    place: Place,
}

impl StreamOpener {
    /// `prefix`: the first octets of the ciphertext.
    ///
    /// # Errors
    /// [`EncryptError::Engine`].
    pub fn new(key: &DocumentKey, prefix: [u8; PREFIX]) -> Result<Self, EncryptError> {
        Ok(Self { key: key.aead()?, place: Place { prefix, next: 0, ended: false } })
    }

    /// The same, beginning at chunk `index`: for a part of a document (HTTP ranges).
    ///
    /// # Errors
    /// [`EncryptError::Engine`].
    pub fn at(key: &DocumentKey, prefix: [u8; PREFIX], index: u32) -> Result<Self, EncryptError> {
        Ok(Self { key: key.aead()?, place: Place { prefix, next: index, ended: false } })
    }

    /// Decrypts the next chunk, given with its tag. Nothing is to be believed complete before the
    /// `last` chunk has come through: see [`StreamOpener::is_complete`].
    ///
    /// # Errors
    /// [`EncryptError::Undecipherable`] for whatever was changed, [`EncryptError::Chunk`] for a
    /// wrong length.
    pub fn push(&mut self, chunk: &[u8], last: bool) -> Result<Vec<u8>, EncryptError> {
        let length = chunk.len().checked_sub(TAG).ok_or(EncryptError::Chunk)?;
        let nonce = self.place.advance(length, last)?;
        let mut out = chunk.to_vec();
        self.key
            .open_in_place(nonce, Aad::empty(), &mut out)
            .map_err(|_| EncryptError::Undecipherable)?;
        out.truncate(length);
        Ok(out)
    }

    /// Has the last chunk come through?
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.place.ended
    }
}

/// Encrypts a document that is in memory.
///
/// # Errors
/// [`EncryptError::Engine`].
pub fn seal_all(key: &DocumentKey, plaintext: &[u8]) -> Result<Vec<u8>, EncryptError> {
    let mut sealer = StreamSealer::random(key)?;
    let mut out =
        Vec::with_capacity(usize::try_from(ciphertext_len(plaintext.len() as u64)).unwrap_or(0));
    let mut rest = plaintext;
    loop {
        let (chunk, after) = rest.split_at(rest.len().min(CHUNK));
        out.extend(sealer.push(chunk, after.is_empty())?);
        if after.is_empty() {
            return Ok(out);
        }
        rest = after;
    }
}

/// Decrypts a document that is in memory.
///
/// # Errors
/// [`EncryptError::Undecipherable`] for whatever was changed or cut.
pub fn open_all(key: &DocumentKey, ciphertext: &[u8]) -> Result<Vec<u8>, EncryptError> {
    let (prefix, mut rest) =
        ciphertext.split_first_chunk::<PREFIX>().ok_or(EncryptError::Undecipherable)?;
    let mut opener = StreamOpener::new(key, *prefix)?;
    let mut out = Vec::with_capacity(rest.len());
    loop {
        let (chunk, after) = rest.split_at(rest.len().min(CHUNK + TAG));
        let opened = opener.push(chunk, after.is_empty());
        // What is cut off in the middle of a tag is changed ciphertext, not a caller's mistake.
        out.extend(opened.map_err(|_| EncryptError::Undecipherable)?);
        if after.is_empty() {
            return Ok(out);
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> DocumentKey {
        DocumentKey::from_slice(&[7; 32]).unwrap()
    }

    #[test]
    fn every_length_around_a_chunk_comes_back() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 17] {
            let plaintext: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let ciphertext = seal_all(&key(), &plaintext).unwrap();
            assert_eq!(ciphertext.len() as u64, ciphertext_len(length as u64));
            assert_eq!(open_all(&key(), &ciphertext).unwrap(), plaintext);
        }
    }

    #[test]
    fn chunks_are_aes_256_gcm_under_the_documented_nonce() {
        let mut sealer = StreamSealer::new(&key(), [1, 2, 3, 4, 5, 6, 7]).unwrap();
        let first = sealer.push(&[9; CHUNK], false).unwrap();
        let last = sealer.push(b"end", true).unwrap();
        assert_eq!(first[..PREFIX], [1, 2, 3, 4, 5, 6, 7]);
        let nonce = Nonce::assume_unique_for_key([1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 1, 1]);
        let mut body = last;
        let plain = key().aead().unwrap().open_in_place(nonce, Aad::empty(), &mut body).unwrap();
        assert_eq!(plain, b"end");
    }

    #[test]
    fn cuts_swaps_and_flips_are_found() {
        let ciphertext = seal_all(&key(), &[5; 2 * CHUNK + 100]).unwrap();
        let block = CHUNK + TAG;
        let refused = |c: &[u8]| open_all(&key(), c) == Err(EncryptError::Undecipherable);
        for cut in
            [0, 3, PREFIX, PREFIX + TAG, PREFIX + block, PREFIX + 2 * block, ciphertext.len() - 1]
        {
            assert!(refused(&ciphertext[..cut]), "cut at {cut}");
        }
        let mut swapped = ciphertext[..PREFIX].to_vec();
        swapped.extend_from_slice(&ciphertext[PREFIX + block..PREFIX + 2 * block]);
        swapped.extend_from_slice(&ciphertext[PREFIX..PREFIX + block]);
        swapped.extend_from_slice(&ciphertext[PREFIX + 2 * block..]);
        assert!(refused(&swapped));
        for at in [0, PREFIX, PREFIX + block - 1, ciphertext.len() - 1] {
            let mut flipped = ciphertext.clone();
            flipped[at] ^= 1;
            assert!(refused(&flipped), "flip at {at}");
        }
        assert!(open_all(&DocumentKey::generate().unwrap(), &ciphertext).is_err());
    }

    #[test]
    fn a_part_is_read_from_its_chunk_on() {
        let plaintext: Vec<u8> = (0..2 * CHUNK + 5).map(|i| (i / CHUNK) as u8).collect();
        let ciphertext = seal_all(&key(), &plaintext).unwrap();
        let prefix = *ciphertext.first_chunk::<PREFIX>().unwrap();
        let mut opener = StreamOpener::at(&key(), prefix, 2).unwrap();
        let last = &ciphertext[PREFIX + 2 * (CHUNK + TAG)..];
        assert_eq!(opener.push(last, true).unwrap(), [2; 5]);
        assert!(opener.is_complete());
    }

    #[test]
    fn misuse_is_refused() {
        let mut sealer = StreamSealer::random(&key()).unwrap();
        assert_eq!(sealer.push(b"short", false), Err(EncryptError::Chunk));
        assert_eq!(sealer.push(&[0; CHUNK + 1], true), Err(EncryptError::Chunk));
        sealer.push(&[0; CHUNK], false).unwrap();
        assert_eq!(sealer.push(b"", true), Err(EncryptError::Chunk));
        sealer.push(b"end", true).unwrap();
        assert_eq!(sealer.push(b"more", true), Err(EncryptError::Chunk));
        assert_eq!(format!("{:?}", key()), "DocumentKey");
    }
}
