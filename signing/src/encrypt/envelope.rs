//! CMS `AuthEnvelopedData` (RFC 5083) with AES-256-GCM (RFC 5084): a small payload, such as the
//! keys of a message's documents, to the holders of some certificates.
//!
//! `openssl cms -decrypt` reads what [`wrap`] writes, and [`unwrap`] reads what
//! `openssl cms -encrypt -aes-256-gcm` writes (with SHA-256 key derivation or OAEP), DER or BER.

use aws_lc_rs::aead::{Aad, Nonce};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::recipient::{EncryptionKey, recipient_info};
use super::stream::aead;
use super::{EncryptError, TAG};
use crate::algorithm::split_identifier;
use crate::asn1::{self, Tlv, context, context_primitive, sequence, tlv};
use crate::{ber, oids};

/// Most recipients of one envelope, written or read.
const MOST_RECIPIENTS: usize = 1_000;
/// Largest envelope that is read, in octets.
const MOST_OCTETS: usize = 16 * 1024 * 1024;

/// Encrypts `payload` to the holders of `recipients` (DER certificates: P-256, P-384, or RSA of
/// 3,072 bits and more).
///
/// # Errors
/// [`EncryptError::Recipient`] when one of them cannot be encrypted to.
pub fn wrap(payload: &[u8], recipients: &[&[u8]]) -> Result<Vec<u8>, EncryptError> {
    if recipients.is_empty() || recipients.len() > MOST_RECIPIENTS {
        return Err(EncryptError::Recipient("none, or more than a thousand"));
    }
    let mut content_key = Zeroizing::new([0; 32]);
    rand::fill(content_key.as_mut())?;
    let infos = recipients
        .iter()
        .map(|certificate| recipient_info(certificate, &content_key))
        .collect::<Result<Vec<_>, _>>()?;
    let infos: Vec<&[u8]> = infos.iter().map(Vec::as_slice).collect();

    let mut nonce = [0; 12];
    rand::fill(&mut nonce)?;
    let mut body = payload.to_vec();
    let key = aead(content_key.as_ref())?;
    // The content key is new, so any nonce is unique under it.
    let nonce_once = Nonce::assume_unique_for_key(nonce);
    let tag = key.seal_in_place_separate_tag(nonce_once, Aad::empty(), &mut body)?;

    let parameters = sequence(&[&tlv(asn1::OCTET_STRING, &[&nonce]), &asn1::unsigned(&[16])]);
    let algorithm = sequence(&[&asn1::oid(oids::AES256_GCM), &parameters]);
    let content =
        sequence(&[&asn1::oid(oids::DATA), &algorithm, &tlv(context_primitive(0), &[&body])]);
    let data = sequence(&[
        &asn1::unsigned(&[0]),
        &asn1::set_of(asn1::SET, &infos),
        &content,
        &tlv(asn1::OCTET_STRING, &[tag.as_ref()]),
    ]);
    Ok(sequence(&[&asn1::oid(oids::AUTH_ENVELOPED_DATA), &tlv(context(0), &[&data])]))
}

/// Decrypts an envelope with `key`. The plaintext is wiped from memory when dropped.
///
/// # Errors
/// [`EncryptError::OtherRecipient`] when it is not for this key, [`EncryptError::Undecipherable`]
/// when it was changed.
pub fn unwrap(der: &[u8], key: &EncryptionKey) -> Result<Zeroizing<Vec<u8>>, EncryptError> {
    if der.len() > MOST_OCTETS {
        return Err(EncryptError::Malformed);
    }
    match Envelope::parse(der) {
        Err(EncryptError::Malformed) => Envelope::parse(&ber::to_der(der)?)?.open(key),
        envelope => envelope?.open(key),
    }
}

struct Envelope<'a> {
    recipients: Vec<Tlv<'a>>,
    nonce: [u8; 12],
    ciphertext: Vec<u8>,
    /// Authenticated attributes as the SET OF that they are authenticated as.
    attributes: Vec<u8>,
    tag: &'a [u8],
}

impl<'a> Envelope<'a> {
    fn parse(der: &'a [u8]) -> Result<Self, EncryptError> {
        let mut info = asn1::only(der, asn1::SEQUENCE)?.inside();
        if info.expect(asn1::OID)?.value != oids::AUTH_ENVELOPED_DATA.as_bytes() {
            return Err(EncryptError::Algorithm("the content type is not authEnvelopedData"));
        }
        let wrapped = info.expect(context(0))?;
        info.end()?;
        let mut data = asn1::only(wrapped.value, asn1::SEQUENCE)?.inside();
        // RFC 5083 §2.1: version 0.
        if data.expect(asn1::INTEGER)?.value != [0] {
            return Err(EncryptError::Malformed);
        }
        data.optional(context(0))?;
        let recipients = data.expect(asn1::SET)?.inside().all()?;
        if recipients.len() > MOST_RECIPIENTS {
            return Err(EncryptError::Malformed);
        }
        let mut content = data.expect(asn1::SEQUENCE)?.inside();
        content.expect(asn1::OID)?;
        let nonce = gcm_nonce(content.expect(asn1::SEQUENCE)?.raw)?;
        let ciphertext = joined(&content.next()?)?;
        content.end()?;
        // RFC 5083 §2.2: authenticated under the tag of SET.
        let attributes = data.optional(context(1))?;
        let attributes = attributes.map(|a| tlv(asn1::SET, &[a.value])).unwrap_or_default();
        let tag = data.expect(asn1::OCTET_STRING)?.value;
        data.optional(context(2))?;
        data.end()?;
        Ok(Self { recipients, nonce, ciphertext, attributes, tag })
    }

    fn open(self, key: &EncryptionKey) -> Result<Zeroizing<Vec<u8>>, EncryptError> {
        if self.tag.len() != TAG {
            return Err(EncryptError::Algorithm("a tag of less than 16 octets"));
        }
        let content_key = key.content_key(&self.recipients)?;
        let key = aead(&content_key).map_err(|_| EncryptError::Undecipherable)?;
        let mut body = Zeroizing::new([&self.ciphertext, self.tag].concat());
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        key.open_in_place(nonce, Aad::from(&self.attributes), &mut body)
            .map_err(|_| EncryptError::Undecipherable)?;
        body.truncate(self.ciphertext.len());
        Ok(body)
    }
}

/// GCMParameters (RFC 5084 §3.2) with a nonce of 12 and a tag of 16 octets.
fn gcm_nonce(identifier: &[u8]) -> Result<[u8; 12], EncryptError> {
    let (id, parameters) = split_identifier(identifier)?;
    if id != oids::AES256_GCM.as_bytes() {
        return Err(EncryptError::Algorithm("the content is not under AES-256-GCM"));
    }
    let mut fields = asn1::only(parameters, asn1::SEQUENCE)?.inside();
    let nonce = fields.expect(asn1::OCTET_STRING)?.value;
    let length = fields.optional(asn1::INTEGER)?;
    fields.end()?;
    match (nonce.try_into(), length.map(|l| l.value)) {
        (Ok(nonce), Some([16])) => Ok(nonce),
        _ => Err(EncryptError::Algorithm("nonce or tag of another length than 12 and 16")),
    }
}

/// `encryptedContent [0] IMPLICIT OCTET STRING`, which BER writers send in chunks.
fn joined(field: &Tlv<'_>) -> Result<Vec<u8>, EncryptError> {
    if field.tag == context_primitive(0) {
        return Ok(field.value.to_vec());
    }
    if field.tag != context(0) {
        return Err(EncryptError::Malformed);
    }
    let mut out = Vec::with_capacity(field.value.len());
    for chunk in field.inside().all()? {
        out.extend_from_slice(asn1::only(chunk.raw, asn1::OCTET_STRING)?.value);
    }
    Ok(out)
}
