//! Which signature algorithms exist, how they are written, and until when each is believed.
//!
//! One dated table ([`TABLE`]) decides for seals, certificates and time-stamps alike. A signature
//! made by an algorithm that has ended stays good if a proof of time shows it from before the end:
//! the caller then asks with that earlier time.

use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};
use der::asn1::ObjectIdentifier;
use schemas::time::Timestamp;

use crate::asn1::{self, Malformed, Reader};
use crate::oids;

/// A hash function of the SHA-2 family. SHA-1 and MD5 are not believed at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// The shape of a signature, without its key size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// ECDSA over secp256r1.
    EcdsaP256,
    /// ECDSA over secp384r1.
    EcdsaP384,
    /// RSASSA-PSS with MGF1 over the same hash and a salt as long as the hash.
    RsaPss,
    /// RSASSA-PKCS1-v1_5.
    RsaPkcs1,
}

/// A signature algorithm with everything that its strength depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scheme {
    /// The shape.
    pub family: Family,
    /// The hash under it.
    pub hash: Hash,
    /// Bits of the curve or of the modulus.
    pub key_bits: u32,
}

/// A row of [`TABLE`].
#[derive(Clone, Copy, Debug)]
pub struct Accepted {
    /// The shape.
    pub family: Family,
    /// Smallest key that the row speaks of, in bits.
    pub min_bits: u32,
    /// First instant at which it is no longer believed.
    pub until: Option<Timestamp>,
}

/// 2029-01-01T00:00:00Z: the EU policy calls RSA PKCS#1 v1.5 of any size unreliable from here on.
const YEAR_2029: Timestamp = Timestamp::from_secs(1_861_920_000);

/// Accepted algorithms with the end of each, after ETSI TS 119 312 and the EU validation policy as
/// of November 2026. The first row that fits decides.
pub const TABLE: [Accepted; 5] = [
    Accepted { family: Family::EcdsaP256, min_bits: 256, until: None },
    Accepted { family: Family::EcdsaP384, min_bits: 384, until: None },
    Accepted { family: Family::RsaPss, min_bits: 3_072, until: None },
    Accepted { family: Family::RsaPss, min_bits: 2_048, until: Some(YEAR_2029) },
    Accepted { family: Family::RsaPkcs1, min_bits: 2_048, until: Some(YEAR_2029) },
];

impl Scheme {
    /// Is a signature of this kind believed at `time`?
    #[must_use]
    pub fn accepted_at(&self, time: Timestamp) -> bool {
        self.row().is_some_and(|row| row.until.is_none_or(|until| time < until))
    }

    /// First instant at which it is no longer believed, if that is known.
    #[must_use]
    pub fn ends(&self) -> Option<Timestamp> {
        self.row().and_then(|row| row.until)
    }

    fn row(&self) -> Option<&'static Accepted> {
        TABLE.iter().find(|row| row.family == self.family && self.key_bits >= row.min_bits)
    }

    /// The `AlgorithmIdentifier` as this crate writes it.
    pub(crate) fn identifier(&self) -> Vec<u8> {
        let null: &[u8] = &[asn1::NULL, 0];
        let (id, parameters) = match (self.family, self.hash) {
            // RFC 5758 §3.2: parameters absent.
            (Family::EcdsaP256 | Family::EcdsaP384, Hash::Sha256) => (oids::ECDSA_SHA256, vec![]),
            (Family::EcdsaP256 | Family::EcdsaP384, Hash::Sha384) => (oids::ECDSA_SHA384, vec![]),
            (Family::EcdsaP256 | Family::EcdsaP384, Hash::Sha512) => (oids::ECDSA_SHA512, vec![]),
            (Family::RsaPss, hash) => (oids::RSA_PSS, pss_parameters(hash)),
            // RFC 4055 §5: parameters NULL.
            (Family::RsaPkcs1, Hash::Sha256) => (oids::RSA_SHA256, null.to_vec()),
            (Family::RsaPkcs1, Hash::Sha384) => (oids::RSA_SHA384, null.to_vec()),
            (Family::RsaPkcs1, Hash::Sha512) => (oids::RSA_SHA512, null.to_vec()),
        };
        asn1::sequence(&[&asn1::oid(id), &parameters])
    }

    fn verification(&self) -> &'static dyn VerificationAlgorithm {
        match (self.family, self.hash) {
            (Family::EcdsaP256, Hash::Sha256) => &signature::ECDSA_P256_SHA256_ASN1,
            (Family::EcdsaP256, Hash::Sha384) => &signature::ECDSA_P256_SHA384_ASN1,
            (Family::EcdsaP256, Hash::Sha512) => &signature::ECDSA_P256_SHA512_ASN1,
            (Family::EcdsaP384, Hash::Sha256) => &signature::ECDSA_P384_SHA256_ASN1,
            (Family::EcdsaP384, Hash::Sha384) => &signature::ECDSA_P384_SHA384_ASN1,
            (Family::EcdsaP384, Hash::Sha512) => &signature::ECDSA_P384_SHA512_ASN1,
            (Family::RsaPss, Hash::Sha256) => &signature::RSA_PSS_2048_8192_SHA256,
            (Family::RsaPss, Hash::Sha384) => &signature::RSA_PSS_2048_8192_SHA384,
            (Family::RsaPss, Hash::Sha512) => &signature::RSA_PSS_2048_8192_SHA512,
            (Family::RsaPkcs1, Hash::Sha256) => &signature::RSA_PKCS1_2048_8192_SHA256,
            (Family::RsaPkcs1, Hash::Sha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
            (Family::RsaPkcs1, Hash::Sha512) => &signature::RSA_PKCS1_2048_8192_SHA512,
        }
    }
}

impl Hash {
    /// Octets of a digest; never none.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a digest is never empty")]
    pub const fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The object identifier.
    #[must_use]
    pub const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Sha256 => oids::SHA256,
            Self::Sha384 => oids::SHA384,
            Self::Sha512 => oids::SHA512,
        }
    }

    /// The digest of `bytes`.
    #[must_use]
    pub fn digest(self, bytes: &[u8]) -> aws_lc_rs::digest::Digest {
        use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
        match self {
            Self::Sha256 => digest(&SHA256, bytes),
            Self::Sha384 => digest(&SHA384, bytes),
            Self::Sha512 => digest(&SHA512, bytes),
        }
    }

    /// `AlgorithmIdentifier` without parameters (RFC 5754 §2).
    pub(crate) fn identifier(self) -> Vec<u8> {
        asn1::sequence(&[&asn1::oid(self.oid())])
    }

    /// Reads an `AlgorithmIdentifier` whose parameters are absent or NULL.
    pub(crate) fn parse(identifier: &[u8]) -> Result<Option<Self>, Malformed> {
        let (id, parameters) = split_identifier(identifier)?;
        if !matches!(parameters, [] | [asn1::NULL, 0]) {
            return Err(Malformed);
        }
        Ok([Self::Sha256, Self::Sha384, Self::Sha512]
            .into_iter()
            .find(|h| h.oid().as_bytes() == id))
    }
}

/// What a `SubjectPublicKeyInfo` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    P256,
    P384,
    Rsa { bits: u32 },
}

/// A public key as it lies in a certificate: its kind and the octets of its BIT STRING.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PublicKey<'a> {
    pub(crate) kind: KeyKind,
    pub(crate) octets: &'a [u8],
}

impl<'a> PublicKey<'a> {
    /// Reads a `SubjectPublicKeyInfo`; `None` for a kind of key that is not supported.
    pub(crate) fn parse(spki: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let mut fields = asn1::only(spki, asn1::SEQUENCE)?.inside();
        let identifier = fields.expect(asn1::SEQUENCE)?;
        let octets = asn1::whole_octets(fields.expect(asn1::BIT_STRING)?.value)?;
        fields.end()?;
        let (id, parameters) = split_identifier(identifier.raw)?;
        let kind = if id == oids::EC.as_bytes() {
            match asn1::only(parameters, asn1::OID)?.value {
                curve if curve == oids::P256.as_bytes() => Some(KeyKind::P256),
                curve if curve == oids::P384.as_bytes() => Some(KeyKind::P384),
                _ => None,
            }
        } else if id == oids::RSA.as_bytes() || id == oids::RSA_PSS.as_bytes() {
            Some(KeyKind::Rsa { bits: modulus_bits(octets)? })
        } else {
            None
        };
        Ok(kind.map(|kind| Self { kind, octets }))
    }

    /// The scheme that `identifier` (a `SignatureAlgorithmIdentifier`) means with this key.
    /// `digest` is what the CMS says besides: plain `rsaEncryption` takes its hash from there.
    pub(crate) fn scheme(
        &self,
        identifier: &[u8],
        digest: Option<Hash>,
    ) -> Result<Option<Scheme>, Malformed> {
        let (id, parameters) = split_identifier(identifier)?;
        let scheme = match self.kind {
            KeyKind::P256 => ecdsa_hash(id, parameters).map(|hash| Scheme {
                family: Family::EcdsaP256,
                hash,
                key_bits: 256,
            }),
            KeyKind::P384 => ecdsa_hash(id, parameters).map(|hash| Scheme {
                family: Family::EcdsaP384,
                hash,
                key_bits: 384,
            }),
            KeyKind::Rsa { bits } if id == oids::RSA_PSS.as_bytes() => pss_hash(parameters)
                .map(|hash| Scheme { family: Family::RsaPss, hash, key_bits: bits }),
            KeyKind::Rsa { bits } => pkcs1_hash(id, parameters, digest).map(|hash| Scheme {
                family: Family::RsaPkcs1,
                hash,
                key_bits: bits,
            }),
        };
        // RFC 5652 §5.4: one digest algorithm serves message digest and signature.
        Ok(scheme.filter(|s| digest.is_none_or(|digest| digest == s.hash)))
    }
}

/// A public key made ready for one scheme: parse once, verify often.
#[derive(Clone, Debug)]
pub(crate) struct Verifier {
    pub(crate) scheme: Scheme,
    key: ParsedPublicKey,
}

impl Verifier {
    pub(crate) fn new(key: &PublicKey<'_>, scheme: Scheme) -> Result<Self, Malformed> {
        let key = ParsedPublicKey::new(scheme.verification(), key.octets).map_err(|_| Malformed)?;
        Ok(Self { scheme, key })
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }
}

/// Object identifier octets and the encoded parameters of an `AlgorithmIdentifier`.
pub(crate) fn split_identifier(identifier: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let mut fields = asn1::only(identifier, asn1::SEQUENCE)?.inside();
    let id = fields.expect(asn1::OID)?.value;
    let parameters = if fields.is_empty() { &[][..] } else { fields.next()?.raw };
    fields.end()?;
    Ok((id, parameters))
}

fn ecdsa_hash(id: &[u8], parameters: &[u8]) -> Option<Hash> {
    let hash = match id {
        id if id == oids::ECDSA_SHA256.as_bytes() => Hash::Sha256,
        id if id == oids::ECDSA_SHA384.as_bytes() => Hash::Sha384,
        id if id == oids::ECDSA_SHA512.as_bytes() => Hash::Sha512,
        _ => return None,
    };
    parameters.is_empty().then_some(hash)
}

fn pkcs1_hash(id: &[u8], parameters: &[u8], digest: Option<Hash>) -> Option<Hash> {
    let hash = match id {
        id if id == oids::RSA_SHA256.as_bytes() => Some(Hash::Sha256),
        id if id == oids::RSA_SHA384.as_bytes() => Some(Hash::Sha384),
        id if id == oids::RSA_SHA512.as_bytes() => Some(Hash::Sha512),
        // openssl writes rsaEncryption in CMS, as RFC 3370 §3.2 allows.
        id if id == oids::RSA.as_bytes() => digest,
        _ => None,
    };
    hash.filter(|_| matches!(parameters, [] | [asn1::NULL, 0]))
}

// RFC 4055 §3.1. Hashes inside carry NULL, as that clause's own identifiers do.
fn pss_parameters(hash: Hash) -> Vec<u8> {
    let hash_id = asn1::sequence(&[&asn1::oid(hash.oid()), &[asn1::NULL, 0]]);
    let mask = asn1::sequence(&[&asn1::oid(oids::MGF1), &hash_id]);
    let salt = asn1::unsigned(&[hash.len() as u8]);
    asn1::sequence(&[
        &asn1::tlv(asn1::context(0), &[&hash_id]),
        &asn1::tlv(asn1::context(1), &[&mask]),
        &asn1::tlv(asn1::context(2), &[&salt]),
    ])
}

/// The hash of RSASSA-PSS parameters in which hash, mask and salt fit together.
fn pss_hash(parameters: &[u8]) -> Option<Hash> {
    let read = || -> Result<Option<Hash>, Malformed> {
        let mut fields = asn1::only(parameters, asn1::SEQUENCE)?.inside();
        let hash = Hash::parse(fields.expect(asn1::context(0))?.value)?;
        let (mask, mask_hash) = split_identifier(fields.expect(asn1::context(1))?.value)?;
        let salt = fields.expect(asn1::context(2))?.value;
        fields.end()?;
        let fits = mask == oids::MGF1.as_bytes() && Hash::parse(mask_hash)? == hash;
        Ok(hash.filter(|h| fits && salt == asn1::unsigned(&[h.len() as u8])))
    };
    read().ok().flatten()
}

fn modulus_bits(key: &[u8]) -> Result<u32, Malformed> {
    let mut fields: Reader<'_> = asn1::only(key, asn1::SEQUENCE)?.inside();
    let modulus = fields.expect(asn1::INTEGER)?.value;
    let digits = modulus.strip_prefix(&[0]).unwrap_or(modulus);
    let first = digits.first().ok_or(Malformed)?;
    let bits = digits.len() * 8 - first.leading_zeros() as usize;
    u32::try_from(bits).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn scheme(family: Family, key_bits: u32) -> Scheme {
        Scheme { family, hash: Hash::Sha256, key_bits }
    }

    #[test]
    fn the_table_ends_what_the_eu_policy_ends() {
        let day_before: Timestamp = "2028-12-31T23:59:59Z".parse().unwrap();
        let new_year: Timestamp = "2029-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(new_year, YEAR_2029);
        for (scheme, before, after) in [
            (scheme(Family::EcdsaP256, 256), true, true),
            (scheme(Family::RsaPss, 3_072), true, true),
            (scheme(Family::RsaPss, 2_048), true, false),
            (scheme(Family::RsaPkcs1, 4_096), true, false),
            (scheme(Family::RsaPkcs1, 1_024), false, false),
        ] {
            assert_eq!(scheme.accepted_at(day_before), before, "{scheme:?}");
            assert_eq!(scheme.accepted_at(new_year), after, "{scheme:?}");
        }
    }

    #[test]
    fn identifiers_are_read_as_written() {
        let rsa = PublicKey { kind: KeyKind::Rsa { bits: 3_072 }, octets: &[] };
        let p256 = PublicKey { kind: KeyKind::P256, octets: &[] };
        for hash in [Hash::Sha256, Hash::Sha384, Hash::Sha512] {
            for family in [Family::RsaPss, Family::RsaPkcs1] {
                let scheme = Scheme { family, hash, key_bits: 3_072 };
                assert_eq!(rsa.scheme(&scheme.identifier(), None), Ok(Some(scheme)));
            }
            let scheme = Scheme { family: Family::EcdsaP256, hash, key_bits: 256 };
            assert_eq!(p256.scheme(&scheme.identifier(), Some(hash)), Ok(Some(scheme)));
            assert_eq!(rsa.scheme(&scheme.identifier(), Some(hash)), Ok(None));
        }
    }

    #[test]
    fn digest_and_signature_must_share_their_hash() {
        let p256 = PublicKey { kind: KeyKind::P256, octets: &[] };
        let written = scheme(Family::EcdsaP256, 256).identifier();
        assert_eq!(p256.scheme(&written, Some(Hash::Sha512)), Ok(None));
    }

    #[test]
    fn pss_with_another_salt_or_mask_is_refused() {
        let mut parameters = pss_parameters(Hash::Sha256);
        assert_eq!(pss_hash(&parameters), Some(Hash::Sha256));
        *parameters.last_mut().unwrap() = 20;
        assert_eq!(pss_hash(&parameters), None);
        assert_eq!(pss_hash(&[asn1::SEQUENCE, 0]), None);
    }
}
