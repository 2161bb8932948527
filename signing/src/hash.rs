//! The names of hash functions outside CMS, and what records and tokens need of [`enum@Hash`].
//!
//! Everything Pli writes uses SHA-256. The others exist for renewal: when SHA-256 weakens, an
//! archive is hashed again with a longer function (RFC 4998 §5.2).

use aws_lc_rs::digest::{Context, SHA256, SHA384, SHA512};
use der::asn1::Null;
use spki::AlgorithmIdentifierOwned;

use crate::algorithm::Hash;

impl Hash {
    /// All of them, shortest first.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// The hash of the concatenation of `parts`.
    #[must_use]
    pub fn of_parts(self, parts: &[&[u8]]) -> Vec<u8> {
        let mut context = Context::new(match self {
            Self::Sha256 => &SHA256,
            Self::Sha384 => &SHA384,
            Self::Sha512 => &SHA512,
        });
        parts.iter().for_each(|part| context.update(part));
        context.finish().as_ref().to_vec()
    }

    /// The identifier as Pli writes it: parameters absent (RFC 5754 §2).
    #[must_use]
    pub const fn algorithm_identifier(self) -> AlgorithmIdentifierOwned {
        AlgorithmIdentifierOwned { oid: self.oid(), parameters: None }
    }

    /// What an identifier names. Parameters may be absent or NULL, as RFC 5754 §2 demands of a
    /// reader (OpenSSL's authority writes NULL); anything else is not understood.
    #[must_use]
    pub fn named(identifier: &AlgorithmIdentifierOwned) -> Option<Self> {
        let empty = identifier.parameters.as_ref().is_none_or(|p| p.decode_as::<Null>().is_ok());
        Self::ALL.into_iter().find(|hash| empty && hash.oid() == identifier.oid)
    }

    /// The identifier of XML signatures, as ASiC manifests use it (RFC 6931 §2.1).
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Sha256 => "http://www.w3.org/2001/04/xmlenc#sha256",
            Self::Sha384 => "http://www.w3.org/2001/04/xmldsig-more#sha384",
            Self::Sha512 => "http://www.w3.org/2001/04/xmlenc#sha512",
        }
    }

    /// What an XML identifier names.
    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hash| hash.uri() == uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_hashed_as_one() {
        for hash in Hash::ALL {
            assert_eq!(hash.of_parts(&[b"a", b"bc"]), hash.digest(b"abc").as_ref());
            assert_eq!(hash.of_parts(&[]).len(), hash.len());
        }
    }

    #[test]
    fn parameters_absent_or_null_and_nothing_else() {
        let mut id = Hash::Sha256.algorithm_identifier();
        assert_eq!(Hash::named(&id), Some(Hash::Sha256));
        id.parameters = Some(der::Any::null());
        assert_eq!(Hash::named(&id), Some(Hash::Sha256));
        id.parameters = der::Any::new(der::Tag::Integer, vec![1]).ok();
        assert_eq!(Hash::named(&id), None);
    }

    #[test]
    fn uris_lead_back() {
        for hash in Hash::ALL {
            assert_eq!(Hash::from_uri(hash.uri()), Some(hash));
        }
        assert_eq!(Hash::from_uri("http://www.w3.org/2000/09/xmldsig#sha1"), None);
    }
}
