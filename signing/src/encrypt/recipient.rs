//! Recipients of an envelope: the content key under ECDH with a one-time key (RFC 5753) or under
//! RSAES-OAEP (RFC 3560). PKCS#1 v1.5 encryption is neither written nor read.

use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrap as _};
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
    PrivateDecryptingKey, PublicEncryptingKey,
};
use zeroize::Zeroizing;

use super::EncryptError;
use crate::algorithm::{Hash, KeyKind, PublicKey, split_identifier};
use crate::asn1::{self, Tlv, context, context_primitive, sequence, tlv};
use crate::certificate::{CertInfo, Certificate, KeyUsage};
use crate::oids;
use crate::signer::{Algorithm, Signer as _};
use crate::software::SoftwareKey;

/// Octets of an AES-256 key under RFC 3394.
const WRAPPED: usize = 40;

/// A private key with the certificate that others encrypt to.
pub struct EncryptionKey {
    certificate: CertInfo,
    private: Private,
}

enum Private {
    Ec(PrivateKey),
    Rsa(OaepPrivateDecryptingKey),
}

impl EncryptionKey {
    /// `key`: PEM (PKCS#8); `certificate`: DER, for the same key.
    ///
    /// # Errors
    /// [`EncryptError::Key`] when the key cannot decrypt or the certificate is another's.
    pub fn from_pkcs8_pem(key: &[u8], certificate: &[u8]) -> Result<Self, EncryptError> {
        let key =
            SoftwareKey::from_pkcs8_pem(key).map_err(|_| EncryptError::Key("not readable"))?;
        Self::of(&key, certificate)
    }

    /// The same with a key in memory, as it was generated for enrolment.
    ///
    /// # Errors
    /// As [`EncryptionKey::from_pkcs8_pem`].
    pub fn of(key: &SoftwareKey, certificate: &[u8]) -> Result<Self, EncryptError> {
        let parsed = Certificate::parse(certificate)?;
        let named = parsed.public_key()?.map(|k| k.octets);
        if named.is_none() || named != PublicKey::parse(key.public_key_der())?.map(|k| k.octets) {
            return Err(EncryptError::Key("the certificate is for another key"));
        }
        let rejected = |_| EncryptError::Key("rejected by the engine");
        let pkcs8 = key.pkcs8();
        let private = match key.algorithm() {
            Algorithm::EcdsaP256Sha256 => {
                Private::Ec(PrivateKey::from_private_key_der(&ECDH_P256, pkcs8).map_err(rejected)?)
            }
            Algorithm::EcdsaP384Sha384 => {
                Private::Ec(PrivateKey::from_private_key_der(&ECDH_P384, pkcs8).map_err(rejected)?)
            }
            Algorithm::RsaPss3072Sha256 => {
                let key = PrivateDecryptingKey::from_pkcs8(pkcs8).map_err(rejected)?;
                Private::Rsa(OaepPrivateDecryptingKey::new(key)?)
            }
        };
        Ok(Self { certificate: CertInfo::of(&parsed)?, private })
    }

    /// The certificate.
    #[must_use]
    pub const fn certificate(&self) -> &CertInfo {
        &self.certificate
    }

    /// The content key that one of `recipients` holds for this key.
    pub(super) fn content_key(
        &self,
        recipients: &[Tlv<'_>],
    ) -> Result<Zeroizing<Vec<u8>>, EncryptError> {
        let own = Certificate::parse(&self.certificate.der)?;
        for recipient in recipients {
            let found = match (recipient.tag, &self.private) {
                (asn1::SEQUENCE, Private::Rsa(key)) => transported(recipient, &own, key)?,
                (tag, Private::Ec(key)) if tag == context(1) => agreed(recipient, &own, key)?,
                _ => None,
            };
            if let Some(key) = found {
                return Ok(key);
            }
        }
        Err(EncryptError::OtherRecipient)
    }
}

impl std::fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EncryptionKey")
            .field("subject", &self.certificate.subject)
            .finish_non_exhaustive()
    }
}

/// The `RecipientInfo` that gives `content_key` to the holder of `certificate`.
pub(super) fn recipient_info(
    certificate: &[u8],
    content_key: &[u8; 32],
) -> Result<Vec<u8>, EncryptError> {
    let certificate =
        Certificate::parse(certificate).map_err(|_| EncryptError::Recipient("not readable"))?;
    let usage = certificate.key_usage()?;
    let key =
        certificate.public_key()?.ok_or(EncryptError::Recipient("unsupported kind of key"))?;
    let (needed, id) = match key.kind {
        KeyKind::Rsa { bits } if bits < 3_072 => {
            return Err(EncryptError::Recipient("RSA below 3,072 bits"));
        }
        KeyKind::Rsa { .. } => (KeyUsage::KEY_ENCIPHERMENT, oids::RSA_OAEP),
        KeyKind::P256 | KeyKind::P384 => (KeyUsage::KEY_AGREEMENT, oids::ECDH_SHA256_KDF),
    };
    if usage.is_some_and(|usage| !usage.has(needed)) {
        return Err(EncryptError::Recipient("its keyUsage does not allow encryption"));
    }
    let serial = tlv(asn1::INTEGER, &[certificate.serial]);
    let rid = sequence(&[certificate.issuer, &serial]);
    match key.kind {
        KeyKind::Rsa { .. } => transport(&rid, key.octets, content_key),
        KeyKind::P256 | KeyKind::P384 => agree(&rid, &key, &asn1::oid(id), content_key),
    }
}

/// KeyTransRecipientInfo (RFC 5652 §6.2.1) with RSAES-OAEP.
fn transport(rid: &[u8], key: &[u8], content_key: &[u8; 32]) -> Result<Vec<u8>, EncryptError> {
    // aws-lc wants a SubjectPublicKeyInfo.
    let rsa = sequence(&[&asn1::oid(oids::RSA), &[asn1::NULL, 0]]);
    let spki = sequence(&[&rsa, &asn1::bit_string(key)]);
    let rejected = |_| EncryptError::Recipient("its RSA key is not usable");
    let key = PublicEncryptingKey::from_der(&spki).map_err(rejected)?;
    let key = OaepPublicEncryptingKey::new(key)?;
    let mut out = vec![0; key.ciphertext_size()];
    let encrypted = key.encrypt(&OAEP_SHA256_MGF1SHA256, content_key, &mut out, None)?;
    Ok(sequence(&[
        &asn1::unsigned(&[0]),
        rid,
        &oaep_identifier(),
        &tlv(asn1::OCTET_STRING, &[encrypted]),
    ]))
}

/// RSAES-OAEP with SHA-256 for hash and mask (RFC 4055 §4.1).
fn oaep_identifier() -> Vec<u8> {
    let hash = sequence(&[&asn1::oid(oids::SHA256), &[asn1::NULL, 0]]);
    let mask = sequence(&[&asn1::oid(oids::MGF1), &hash]);
    let parameters = sequence(&[&tlv(context(0), &[&hash]), &tlv(context(1), &[&mask])]);
    sequence(&[&asn1::oid(oids::RSA_OAEP), &parameters])
}

/// OAEP with SHA-256 for hash and mask; parameters of hashes may be absent or NULL.
fn is_oaep_sha256(identifier: &[u8]) -> Result<bool, EncryptError> {
    let (id, parameters) = split_identifier(identifier)?;
    if id != oids::RSA_OAEP.as_bytes() || parameters.is_empty() {
        return Ok(false);
    }
    let mut fields = asn1::only(parameters, asn1::SEQUENCE)?.inside();
    let Some(hash) = fields.optional(context(0))? else { return Ok(false) };
    let Some(mask) = fields.optional(context(1))? else { return Ok(false) };
    let (mask, mask_hash) = split_identifier(mask.value)?;
    let sha256 = |identifier: &[u8]| Hash::parse(identifier).ok().flatten() == Some(Hash::Sha256);
    // A label would be a third field; nobody writes one in CMS.
    Ok(sha256(hash.value)
        && mask == oids::MGF1.as_bytes()
        && sha256(mask_hash)
        && fields.is_empty())
}

/// KeyAgreeRecipientInfo (RFC 5753 §3.1.1) with a key pair made for this one use.
fn agree(
    rid: &[u8],
    key: &PublicKey<'_>,
    scheme: &[u8],
    content_key: &[u8; 32],
) -> Result<Vec<u8>, EncryptError> {
    let curve = if key.kind == KeyKind::P256 { &ECDH_P256 } else { &ECDH_P384 };
    let own = PrivateKey::generate(curve)?;
    let own_public = own.compute_public_key()?;
    let wrap = sequence(&[&asn1::oid(oids::AES256_WRAP)]);
    let peer = UnparsedPublicKey::new(curve, key.octets);
    let wrong = EncryptError::Recipient("its key is not a point of the curve");
    let mut encrypted = [0; WRAPPED];
    agreement::agree(&own, peer, wrong, |secret| {
        let kek = derive(secret, &wrap, None);
        AesKek::new(&AES_256, kek.as_ref())?.wrap(content_key, &mut encrypted)?;
        Ok(())
    })?;
    // RFC 5753 §3.1.1: the originator's algorithm is ecPublicKey; parameters may be absent.
    let algorithm = sequence(&[&asn1::oid(oids::EC)]);
    let originator = [algorithm, asn1::bit_string(own_public.as_ref())].concat();
    let keys = sequence(&[&sequence(&[rid, &tlv(asn1::OCTET_STRING, &[&encrypted])])]);
    Ok(tlv(
        context(1),
        &[
            &asn1::unsigned(&[3]),
            &tlv(context(0), &[&tlv(context(1), &[&originator])]),
            &sequence(&[scheme, &wrap]),
            &keys,
        ],
    ))
}

/// X9.63 key derivation with SHA-256 over ECC-CMS-SharedInfo (RFC 5753 §7.2): 256 bits, one round.
fn derive(secret: &[u8], wrap_identifier: &[u8], ukm: Option<&[u8]>) -> Zeroizing<Vec<u8>> {
    let ukm = ukm.map(|ukm| tlv(context(0), &[ukm])).unwrap_or_default();
    let bits = tlv(context(2), &[&tlv(asn1::OCTET_STRING, &[&256u32.to_be_bytes()])]);
    let shared = sequence(&[wrap_identifier, &ukm, &bits]);
    let input = Zeroizing::new([secret, &1u32.to_be_bytes(), &shared].concat());
    Zeroizing::new(digest(&SHA256, &input).as_ref().to_vec())
}

type Found = Option<Zeroizing<Vec<u8>>>;

fn transported(
    recipient: &Tlv<'_>,
    own: &Certificate<'_>,
    key: &OaepPrivateDecryptingKey,
) -> Result<Found, EncryptError> {
    let mut fields = recipient.inside();
    fields.expect(asn1::INTEGER)?;
    let rid = fields.next()?;
    let algorithm = fields.expect(asn1::SEQUENCE)?.raw;
    let encrypted = fields.expect(asn1::OCTET_STRING)?.value;
    fields.end()?;
    let by_key = rid.tag == context_primitive(0);
    let mine = if by_key { own.subject_key_id() == Some(rid.value) } else { names(&rid, own)? };
    if !mine {
        return Ok(None);
    }
    if !is_oaep_sha256(algorithm)? {
        return Err(EncryptError::Algorithm("the key is not under OAEP with SHA-256"));
    }
    let mut out = Zeroizing::new(vec![0; key.min_output_size()]);
    let opened = key
        .decrypt(&OAEP_SHA256_MGF1SHA256, encrypted, &mut out, None)
        .map_err(|_| EncryptError::Undecipherable)?;
    Ok(Some(Zeroizing::new(opened.to_vec())))
}

fn agreed(
    recipient: &Tlv<'_>,
    own: &Certificate<'_>,
    key: &PrivateKey,
) -> Result<Found, EncryptError> {
    let mut fields = recipient.inside();
    fields.expect(asn1::INTEGER)?;
    let originator = fields.expect(context(0))?.value;
    let ukm = fields.optional(context(1))?.map(|ukm| ukm.value);
    let algorithm = fields.expect(asn1::SEQUENCE)?.raw;
    let keys = fields.expect(asn1::SEQUENCE)?.inside().all()?;
    fields.end()?;
    let mut mine = None;
    for entry in keys {
        let mut pair = asn1::only(entry.raw, asn1::SEQUENCE)?.inside();
        let rid = pair.next()?;
        let encrypted = pair.expect(asn1::OCTET_STRING)?.value;
        pair.end()?;
        // RecipientKeyIdentifier: [0] { subjectKeyIdentifier, .. }.
        let named = if rid.tag == context(0) {
            own.subject_key_id() == Some(rid.inside().expect(asn1::OCTET_STRING)?.value)
        } else {
            names(&rid, own)?
        };
        if named {
            mine = Some(encrypted);
        }
    }
    let Some(encrypted) = mine else { return Ok(None) };
    let (scheme, wrap) = split_identifier(algorithm)?;
    if scheme != oids::ECDH_SHA256_KDF.as_bytes() {
        return Err(EncryptError::Algorithm("the key is not agreed with SHA-256 derivation"));
    }
    if split_identifier(wrap)?.0 != oids::AES256_WRAP.as_bytes() {
        return Err(EncryptError::Algorithm("the key is not under AES-256 key wrap"));
    }
    let peer = originator_point(originator)?;
    let peer = UnparsedPublicKey::new(key.algorithm(), peer);
    agreement::agree(key, peer, EncryptError::Undecipherable, |secret| {
        let kek = derive(secret, wrap, ukm);
        let mut out = Zeroizing::new(vec![0; encrypted.len()]);
        let kek = AesKek::new(&AES_256, &kek)?;
        let opened = kek.unwrap(encrypted, &mut out).map_err(|_| EncryptError::Undecipherable)?;
        Ok(Some(Zeroizing::new(opened.to_vec())))
    })
}

/// `originatorKey [1] { algorithm, publicKey }`.
fn originator_point(originator: &[u8]) -> Result<&[u8], EncryptError> {
    let mut fields = asn1::only(originator, context(1))?.inside();
    let (id, _) = split_identifier(fields.expect(asn1::SEQUENCE)?.raw)?;
    let point = asn1::whole_octets(fields.expect(asn1::BIT_STRING)?.value)?;
    fields.end()?;
    if id == oids::EC.as_bytes() { Ok(point) } else { Err(EncryptError::Malformed) }
}

/// Is this issuerAndSerialNumber the certificate's?
fn names(rid: &Tlv<'_>, own: &Certificate<'_>) -> Result<bool, EncryptError> {
    let mut pair = asn1::only(rid.raw, asn1::SEQUENCE)?.inside();
    let issuer = pair.expect(asn1::SEQUENCE)?.raw;
    let serial = pair.expect(asn1::INTEGER)?.value;
    pair.end()?;
    Ok(issuer == own.issuer && serial == own.serial)
}
