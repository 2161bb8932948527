//! CMS `SignedData` with one signer (RFC 5652 §5), written and read in place.
//!
//! [`View`] borrows every field from the received bytes. What a signature does not cover (versions,
//! algorithm lists, choices of set members) is bound here: a field that does not say exactly what
//! the signed parts imply is refused. [`layout`] writes the one canonical form; a seal whose bytes
//! equal it is called canonical.

use der::asn1::ObjectIdentifier;

use crate::algorithm::Hash;
use crate::asn1::{self, Malformed, Tlv, element_len, put_header};
use crate::certificate::Certificate;
use crate::oids;

/// Most certificates, and most CRLs, that one structure may carry.
const MOST_MEMBERS: usize = 16;

/// Why a `SignedData` was not accepted as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ViewError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("{0}")]
    Rule(&'static str),
    #[error("the digest algorithm is not accepted")]
    Algorithm,
    #[error("the signer's certificate is not inside")]
    NoSigner,
}

/// The fields of a `SignedData`, borrowed.
#[derive(Clone, Debug)]
pub(crate) struct View<'a> {
    /// The whole structure.
    pub(crate) raw: &'a [u8],
    /// Octets of the eContentType.
    pub(crate) content_type: &'a [u8],
    /// eContent; `None` when detached.
    pub(crate) content: Option<&'a [u8]>,
    /// Certificates as sent.
    pub(crate) certificates: Vec<&'a [u8]>,
    /// CRLs as sent.
    pub(crate) crls: Vec<&'a [u8]>,
    /// The signer's certificate among them.
    pub(crate) signer: Certificate<'a>,
    /// digestAlgorithm.
    pub(crate) digest: Hash,
    /// Signed attributes, in DER order, encoded as the SET OF that was signed.
    pub(crate) signed_attributes: Vec<u8>,
    attributes: Vec<(&'a [u8], &'a [u8])>,
    /// signatureAlgorithm, whole.
    pub(crate) signature_algorithm: &'a [u8],
    /// The signature value.
    pub(crate) signature: &'a [u8],
    /// The signature time-stamp token, the only unsigned attribute that is accepted.
    pub(crate) timestamp: Option<&'a [u8]>,
    sid: &'a [u8],
    version: u8,
    signer_version: u8,
}

impl<'a> View<'a> {
    /// Reads a DER `ContentInfo` that holds a `SignedData`; nothing may follow it.
    pub(crate) fn parse(der: &'a [u8]) -> Result<Self, ViewError> {
        let mut info = asn1::only(der, asn1::SEQUENCE)?.inside();
        if info.expect(asn1::OID)?.value != oids::SIGNED_DATA.as_bytes() {
            return Err(ViewError::Rule("the content type is not signedData"));
        }
        let wrapped = info.expect(asn1::context(0))?;
        info.end()?;
        let mut data = asn1::only(wrapped.value, asn1::SEQUENCE)?.inside();
        let version = small_integer(&data.expect(asn1::INTEGER)?)?;
        let digests = data.expect(asn1::SET)?;
        let (content_type, content) = encapsulated(&data.expect(asn1::SEQUENCE)?)?;
        let certificates = members(data.optional(asn1::context(0))?)?;
        let crls = members(data.optional(asn1::context(1))?)?;
        let signers = data.expect(asn1::SET)?;
        data.end()?;
        let signer = SignerInfo::parse(&asn1::only(signers.value, asn1::SEQUENCE)?)?;
        let certificate = signer.find(&certificates)?;
        // Unsigned, so it must say just what the one signer says.
        if Hash::parse(asn1::only(digests.value, asn1::SEQUENCE)?.raw)? != Some(signer.digest) {
            return Err(ViewError::Rule("digestAlgorithms is not the signer's alone"));
        }
        let view = Self {
            raw: der,
            content_type,
            content,
            certificates,
            crls,
            signer: certificate,
            digest: signer.digest,
            signed_attributes: signer.signed_attributes,
            attributes: signer.attributes,
            signature_algorithm: signer.signature_algorithm,
            signature: signer.signature,
            timestamp: signer.timestamp,
            sid: signer.sid,
            version,
            signer_version: signer.version,
        };
        view.check_versions()?;
        Ok(view)
    }

    /// The one value of the signed attribute `id`, if the attribute is there.
    pub(crate) fn attribute(&self, id: ObjectIdentifier) -> Option<&'a [u8]> {
        self.attributes.iter().find(|(of, _)| *of == id.as_bytes()).map(|(_, value)| *value)
    }

    /// All certificates but the signer's.
    pub(crate) fn chain(&self) -> impl Iterator<Item = &'a [u8]> {
        self.certificates.iter().copied().filter(|c| *c != self.signer.raw)
    }

    /// The canonical encoding of the same fields under this signature algorithm.
    pub(crate) fn canonical(&self, signature_algorithm: &[u8]) -> Vec<u8> {
        let digest = self.digest.identifier();
        let unsigned = self.timestamp.map(timestamp_attribute).unwrap_or_default();
        layout(&Pieces {
            version: self.version,
            digest_algorithm: &digest,
            content_type: self.content_type,
            content: self.content,
            certificates: &set_member(0, &self.certificates),
            crls: &set_member(1, &self.crls),
            signer_version: self.signer_version,
            sid: self.sid,
            signed_attributes: &self.signed_attributes,
            signature_algorithm,
            signature: self.signature,
            unsigned: &unsigned,
        })
    }

    // RFC 5652 §5.1 and §5.3: both versions follow from the rest.
    fn check_versions(&self) -> Result<(), ViewError> {
        let by_key = self.sid.first() == Some(&asn1::context_primitive(0));
        let signer = if by_key { 3 } else { 1 };
        let data = if by_key || self.content_type != oids::DATA.as_bytes() { 3 } else { 1 };
        if self.signer_version == signer && self.version == data {
            Ok(())
        } else {
            Err(ViewError::Rule("a version number does not follow from the content"))
        }
    }
}

/// One `SignerInfo`.
struct SignerInfo<'a> {
    version: u8,
    sid: &'a [u8],
    digest: Hash,
    signed_attributes: Vec<u8>,
    attributes: Vec<(&'a [u8], &'a [u8])>,
    signature_algorithm: &'a [u8],
    signature: &'a [u8],
    timestamp: Option<&'a [u8]>,
}

impl<'a> SignerInfo<'a> {
    fn parse(info: &Tlv<'a>) -> Result<Self, ViewError> {
        let mut fields = info.inside();
        let version = small_integer(&fields.expect(asn1::INTEGER)?)?;
        let sid = fields.next()?.raw;
        let digest = fields.expect(asn1::SEQUENCE)?.raw;
        let signed = fields.optional(asn1::context(0))?;
        let signature_algorithm = fields.expect(asn1::SEQUENCE)?.raw;
        let signature = fields.expect(asn1::OCTET_STRING)?.value;
        let unsigned = fields.optional(asn1::context(1))?;
        fields.end()?;
        let signed = signed.ok_or(ViewError::Rule("there are no signed attributes"))?;
        let parts: Vec<&[u8]> = signed.inside().all()?.iter().map(|a| a.raw).collect();
        Ok(Self {
            version,
            sid,
            digest: Hash::parse(digest)?.ok_or(ViewError::Algorithm)?,
            // RFC 5652 §5.4: the DER order is signed, whatever order was sent.
            signed_attributes: asn1::set_of(asn1::SET, &parts),
            attributes: attributes(&signed)?,
            signature_algorithm,
            signature,
            timestamp: unsigned.map(|u| timestamp(&u)).transpose()?,
        })
    }

    fn find(&self, certificates: &[&'a [u8]]) -> Result<Certificate<'a>, ViewError> {
        let sid = asn1::Reader::new(self.sid).next()?;
        for der in certificates {
            let certificate = Certificate::parse(der)?;
            let named = if sid.tag == asn1::context_primitive(0) {
                certificate.subject_key_id() == Some(sid.value)
            } else {
                let mut pair = asn1::only(self.sid, asn1::SEQUENCE)?.inside();
                let issuer = pair.expect(asn1::SEQUENCE)?.raw;
                let serial = pair.expect(asn1::INTEGER)?.value;
                pair.end()?;
                issuer == certificate.issuer && serial == certificate.serial
            };
            if named {
                return Ok(certificate);
            }
        }
        Err(ViewError::NoSigner)
    }
}

/// Type and value.
type Attribute<'a> = (&'a [u8], &'a [u8]);

/// Type and value of each attribute; each stands once, with one value (RFC 5652 §11).
fn attributes<'a>(set: &Tlv<'a>) -> Result<Vec<Attribute<'a>>, ViewError> {
    let mut out: Vec<(&[u8], &[u8])> = Vec::new();
    for attribute in set.inside().all()? {
        let mut fields = asn1::only(attribute.raw, asn1::SEQUENCE)?.inside();
        let id = fields.expect(asn1::OID)?.value;
        let mut values = fields.expect(asn1::SET)?.inside();
        fields.end()?;
        let value = values.next()?.raw;
        if values.end().is_err() || out.iter().any(|(seen, _)| *seen == id) {
            return Err(ViewError::Rule("a signed attribute stands twice or has several values"));
        }
        out.push((id, value));
    }
    Ok(out)
}

/// Unsigned attributes are bound to nothing, save a signature time-stamp over the signature value.
fn timestamp<'a>(set: &Tlv<'a>) -> Result<&'a [u8], ViewError> {
    match attributes(set)?.as_slice() {
        [(id, token)] if *id == oids::SIGNATURE_TIME_STAMP.as_bytes() => Ok(token),
        _ => Err(ViewError::Rule("unsigned attributes other than one signature time-stamp")),
    }
}

pub(crate) fn timestamp_attribute(token: &[u8]) -> Vec<u8> {
    let attribute = crate::ess::attribute(oids::SIGNATURE_TIME_STAMP, token);
    asn1::tlv(asn1::context(1), &[&attribute])
}

fn encapsulated<'a>(field: &Tlv<'a>) -> Result<(&'a [u8], Option<&'a [u8]>), ViewError> {
    let mut fields = field.inside();
    let content_type = fields.expect(asn1::OID)?.value;
    let content = match fields.optional(asn1::context(0))? {
        None => None,
        Some(wrapped) => Some(asn1::only(wrapped.value, asn1::OCTET_STRING)?.value),
    };
    fields.end()?;
    Ok((content_type, content))
}

/// Members of `certificates` or `crls`: plain ones only, each once.
fn members(field: Option<Tlv<'_>>) -> Result<Vec<&[u8]>, ViewError> {
    let Some(field) = field else { return Ok(Vec::new()) };
    let members: Vec<Tlv<'_>> = field.inside().all()?;
    if members.iter().any(|m| m.tag != asn1::SEQUENCE) {
        return Err(ViewError::Rule("attribute certificates and foreign revocation data"));
    }
    let raw: Vec<&[u8]> = members.iter().map(|m| m.raw).collect();
    let mut sorted = raw.clone();
    sorted.sort_unstable();
    if raw.len() > MOST_MEMBERS || sorted.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err(ViewError::Rule("too many certificates or revocation lists, or one twice"));
    }
    Ok(raw)
}

fn small_integer(tlv: &Tlv<'_>) -> Result<u8, ViewError> {
    match tlv.value {
        [value @ 0..=0x7f] => Ok(*value),
        _ => Err(ViewError::Malformed(Malformed)),
    }
}

/// `certificates [0]` or `crls [1]` with these members, in DER order; nothing if there are none.
pub(crate) fn set_member(number: u8, members: &[&[u8]]) -> Vec<u8> {
    if members.is_empty() { Vec::new() } else { asn1::set_of(asn1::context(number), members) }
}

/// Everything that [`layout`] puts together. Fields without a remark are whole elements.
pub(crate) struct Pieces<'a> {
    pub(crate) version: u8,
    pub(crate) digest_algorithm: &'a [u8],
    /// Octets of the identifier.
    pub(crate) content_type: &'a [u8],
    /// The content itself.
    pub(crate) content: Option<&'a [u8]>,
    pub(crate) certificates: &'a [u8],
    pub(crate) crls: &'a [u8],
    pub(crate) signer_version: u8,
    pub(crate) sid: &'a [u8],
    /// As signed, under the tag of SET.
    pub(crate) signed_attributes: &'a [u8],
    pub(crate) signature_algorithm: &'a [u8],
    /// The signature value.
    pub(crate) signature: &'a [u8],
    pub(crate) unsigned: &'a [u8],
}

/// Writes the `ContentInfo` in one pass: lengths from the inside out, then bytes.
pub(crate) fn layout(p: &Pieces<'_>) -> Vec<u8> {
    let octets = p.content.map_or(0, |content| element_len(content.len()));
    let wrapped = p.content.map_or(0, |_| element_len(octets));
    let encapsulated = element_len(p.content_type.len()) + wrapped;
    let signer = 3
        + p.sid.len()
        + p.digest_algorithm.len()
        + p.signed_attributes.len()
        + p.signature_algorithm.len()
        + element_len(p.signature.len())
        + p.unsigned.len();
    let data = 3
        + element_len(p.digest_algorithm.len())
        + element_len(encapsulated)
        + p.certificates.len()
        + p.crls.len()
        + element_len(element_len(signer));
    let id = oids::SIGNED_DATA;
    let whole = element_len(id.as_bytes().len()) + element_len(element_len(data));

    let mut out = Vec::with_capacity(element_len(whole));
    put_header(&mut out, asn1::SEQUENCE, whole);
    put(&mut out, asn1::OID, id.as_bytes());
    put_header(&mut out, asn1::context(0), element_len(data));
    put_header(&mut out, asn1::SEQUENCE, data);
    put(&mut out, asn1::INTEGER, &[p.version]);
    put(&mut out, asn1::SET, p.digest_algorithm);
    put_header(&mut out, asn1::SEQUENCE, encapsulated);
    put(&mut out, asn1::OID, p.content_type);
    if let Some(content) = p.content {
        put_header(&mut out, asn1::context(0), octets);
        put(&mut out, asn1::OCTET_STRING, content);
    }
    out.extend_from_slice(p.certificates);
    out.extend_from_slice(p.crls);
    put_header(&mut out, asn1::SET, element_len(signer));
    put_header(&mut out, asn1::SEQUENCE, signer);
    put(&mut out, asn1::INTEGER, &[p.signer_version]);
    out.extend_from_slice(p.sid);
    out.extend_from_slice(p.digest_algorithm);
    // RFC 5652 §5.4: signed under the tag of SET, sent under [0].
    out.push(asn1::context(0));
    out.extend_from_slice(p.signed_attributes.get(1..).unwrap_or_default());
    out.extend_from_slice(p.signature_algorithm);
    put(&mut out, asn1::OCTET_STRING, p.signature);
    out.extend_from_slice(p.unsigned);
    out
}

fn put(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    put_header(out, tag, value.len());
    out.extend_from_slice(value);
}
