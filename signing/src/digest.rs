//! SHA-256 at the speed of the hardware, whole or in pieces.

use aws_lc_rs::digest::{Context, SHA256, digest};
use schemas::digest::Digest;

/// The SHA-256 digest of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Digest {
    from_ring(&digest(&SHA256, bytes))
}

/// SHA-256 of bytes that come piece by piece.
#[derive(Clone)]
pub struct Sha256Stream(Context);

impl Sha256Stream {
    /// A digest of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// Adds the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all pieces in their order.
    #[must_use]
    pub fn finish(self) -> Digest {
        from_ring(&self.0.finish())
    }
}

impl Default for Sha256Stream {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Sha256Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sha256Stream")
    }
}

fn from_ring(value: &aws_lc_rs::digest::Digest) -> Digest {
    // SHA-256 always yields 32 octets, so the default is never taken.
    Digest::from_slice(value.as_ref()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-2, appendix B.1.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn whole_and_in_pieces_agree_with_fips() {
        assert_eq!(sha256(b"abc").to_string(), ABC);
        let mut stream = Sha256Stream::new();
        stream.update(b"a");
        stream.update(b"bc");
        assert_eq!(stream.finish().to_string(), ABC);
    }
}
