//! A private key in this process' memory, by aws-lc-rs; PEM (PKCS#8) on disk.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    RSA_PSS_SHA256,
};
use der::pem::LineEnding;
use zeroize::Zeroizing;

use crate::algorithm::split_identifier;
use crate::asn1::{self, Malformed};
use crate::oids;
use crate::signer::{Algorithm, SignError, Signer};

/// A key pair in memory. `Debug` shows the algorithm alone.
pub struct SoftwareKey {
    algorithm: Algorithm,
    pair: Pair,
    spki: Vec<u8>,
    pkcs8: Zeroizing<Vec<u8>>,
}

enum Pair {
    Ec(Box<EcdsaKeyPair>),
    Rsa(Box<RsaKeyPair>),
}

const PEM_LABEL: &str = "PRIVATE KEY";

impl SoftwareKey {
    /// A new key from the operating system's randomness.
    ///
    /// # Errors
    /// [`SignError::Key`] when the engine fails.
    pub fn generate(algorithm: Algorithm) -> Result<Self, SignError> {
        let failed = |_| SignError::Key("generation failed");
        let pkcs8 = match algorithm {
            Algorithm::EcdsaP256Sha256 => {
                let pair =
                    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(failed)?;
                pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec()
            }
            Algorithm::EcdsaP384Sha384 => {
                let pair =
                    EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).map_err(failed)?;
                pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec()
            }
            Algorithm::RsaPss3072Sha256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa3072).map_err(failed)?;
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
                der.as_ref().to_vec()
            }
        };
        Self::from_pkcs8(Zeroizing::new(pkcs8))
    }

    /// Reads a PEM `PRIVATE KEY` (PKCS#8): P-256, P-384 or RSA of 3,072 bits and more.
    ///
    /// # Errors
    /// [`SignError::Key`] says what is wrong with it.
    pub fn from_pkcs8_pem(pem: &[u8]) -> Result<Self, SignError> {
        let (label, der) =
            der::pem::decode_vec(pem).map_err(|_| SignError::Key("not a PEM private key"))?;
        let der = Zeroizing::new(der);
        if label != PEM_LABEL {
            return Err(SignError::Key("not a PKCS#8 key (label PRIVATE KEY)"));
        }
        Self::from_pkcs8(der)
    }

    /// Reads a DER PKCS#8 key.
    ///
    /// # Errors
    /// [`SignError::Key`] says what is wrong with it.
    pub fn from_pkcs8(pkcs8: Zeroizing<Vec<u8>>) -> Result<Self, SignError> {
        let algorithm = algorithm_of(&pkcs8).map_err(|_| SignError::Key("not PKCS#8"))?;
        let algorithm = algorithm.ok_or(SignError::Key("neither P-256, P-384 nor RSA"))?;
        let rejected = |_| SignError::Key("rejected by the engine");
        let (pair, spki) = match algorithm {
            Algorithm::RsaPss3072Sha256 => {
                let pair = RsaKeyPair::from_pkcs8(&pkcs8).map_err(rejected)?;
                if pair.public_modulus_len() < 384 {
                    return Err(SignError::Key("RSA below 3,072 bits"));
                }
                let spki: PublicKeyX509Der<'_> =
                    pair.public_key().as_der().map_err(|_| SignError::Key("no public key"))?;
                let spki = spki.as_ref().to_vec();
                (Pair::Rsa(Box::new(pair)), spki)
            }
            Algorithm::EcdsaP256Sha256 | Algorithm::EcdsaP384Sha384 => {
                let signing = if algorithm == Algorithm::EcdsaP256Sha256 {
                    &ECDSA_P256_SHA256_ASN1_SIGNING
                } else {
                    &ECDSA_P384_SHA384_ASN1_SIGNING
                };
                let pair = EcdsaKeyPair::from_pkcs8(signing, &pkcs8).map_err(rejected)?;
                let spki: PublicKeyX509Der<'_> =
                    pair.public_key().as_der().map_err(|_| SignError::Key("no public key"))?;
                let spki = spki.as_ref().to_vec();
                (Pair::Ec(Box::new(pair)), spki)
            }
        };
        Ok(Self { algorithm, pair, spki, pkcs8 })
    }

    pub(crate) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The key as PEM PKCS#8; wiped from memory when dropped.
    ///
    /// # Errors
    /// [`SignError::Key`] when it cannot be written.
    pub fn to_pkcs8_pem(&self) -> Result<Zeroizing<String>, SignError> {
        der::pem::encode_string(PEM_LABEL, LineEnding::LF, &self.pkcs8)
            .map(Zeroizing::new)
            .map_err(|_| SignError::Key("cannot be written as PEM"))
    }
}

impl Signer for SoftwareKey {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn public_key_der(&self) -> &[u8] {
        &self.spki
    }

    fn sign(&self, tbs: &[u8]) -> Result<Vec<u8>, SignError> {
        let rng = SystemRandom::new();
        let refused = |_| SignError::Refused("software key".to_owned());
        match &self.pair {
            Pair::Ec(pair) => pair.sign(&rng, tbs).map(|s| s.as_ref().to_vec()).map_err(refused),
            Pair::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PSS_SHA256, &rng, tbs, &mut out).map_err(refused)?;
                Ok(out)
            }
        }
    }
}

impl std::fmt::Debug for SoftwareKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SoftwareKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

// PrivateKeyInfo, RFC 5958 §2: version, algorithm, key, attributes.
fn algorithm_of(pkcs8: &[u8]) -> Result<Option<Algorithm>, Malformed> {
    let mut fields = asn1::only(pkcs8, asn1::SEQUENCE)?.inside();
    fields.expect(asn1::INTEGER)?;
    let (id, parameters) = split_identifier(fields.expect(asn1::SEQUENCE)?.raw)?;
    if id == oids::RSA.as_bytes() {
        return Ok(Some(Algorithm::RsaPss3072Sha256));
    }
    if id != oids::EC.as_bytes() {
        return Ok(None);
    }
    let curve = asn1::only(parameters, asn1::OID)?.value;
    Ok(match curve {
        c if c == oids::P256.as_bytes() => Some(Algorithm::EcdsaP256Sha256),
        c if c == oids::P384.as_bytes() => Some(Algorithm::EcdsaP384Sha384),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::{PublicKey, Verifier};

    #[test]
    fn every_algorithm_signs_and_survives_pem() {
        for algorithm in
            [Algorithm::EcdsaP256Sha256, Algorithm::EcdsaP384Sha384, Algorithm::RsaPss3072Sha256]
        {
            let key = SoftwareKey::generate(algorithm).unwrap();
            let pem = key.to_pkcs8_pem().unwrap();
            let key = SoftwareKey::from_pkcs8_pem(pem.as_bytes()).unwrap();
            assert_eq!(key.algorithm(), algorithm);
            let public = PublicKey::parse(key.public_key_der()).unwrap().unwrap();
            let verifier = Verifier::new(&public, algorithm.scheme()).unwrap();
            let signature = key.sign(b"tbs").unwrap();
            assert!(verifier.verify(b"tbs", &signature));
            assert!(!verifier.verify(b"tbt", &signature));
        }
    }

    #[test]
    fn secrets_do_not_show() {
        let key = SoftwareKey::generate(Algorithm::EcdsaP256Sha256).unwrap();
        assert_eq!(format!("{key:?}"), "SoftwareKey { algorithm: EcdsaP256Sha256, .. }");
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        for bad in [&b""[..], b"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"] {
            assert_eq!(SoftwareKey::from_pkcs8_pem(bad).unwrap_err().code(), "key-unusable");
        }
    }
}
