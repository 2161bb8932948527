//! signing-certificate-v2 (RFC 5035 §4): which certificate a signature was meant to be checked with.

use der::asn1::OctetString;
use der::{Any, Sequence};
use spki::AlgorithmIdentifierOwned;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::serial_number::SerialNumber;

use crate::algorithm::Hash;
use crate::asn1::{self, Malformed};
use crate::certificate::Certificate;
use crate::digest::sha256;
use crate::oids;

/// `ESSCertIDv2`. An absent `hash_algorithm` is SHA-256, and DER forbids writing that default.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct EssCertIdV2 {
    /// Hash under `cert_hash`; absent for SHA-256.
    #[asn1(optional = "true")]
    pub hash_algorithm: Option<AlgorithmIdentifierOwned>,
    /// Digest of the whole certificate.
    pub cert_hash: OctetString,
    /// Issuer and serial number once more.
    #[asn1(optional = "true")]
    pub issuer_serial: Option<IssuerSerial>,
}

/// `IssuerSerial`.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct IssuerSerial {
    /// The issuer's name, one `directoryName`.
    pub issuer: Vec<GeneralName>,
    /// The certificate's serial number.
    pub serial: SerialNumber,
}

/// `SigningCertificateV2`; the first certificate is the signer's.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct SigningCertificateV2 {
    /// Signer first.
    pub certs: Vec<EssCertIdV2>,
    /// Policies under which to check; Pli writes none.
    #[asn1(optional = "true")]
    pub policies: Option<Vec<Any>>,
}

/// `Attribute` of one value.
pub(crate) fn attribute(id: der::asn1::ObjectIdentifier, value: &[u8]) -> Vec<u8> {
    asn1::sequence(&[&asn1::oid(id), &asn1::tlv(asn1::SET, &[value])])
}

/// The attribute that names `certificate` by SHA-256, issuer and serial number.
pub(crate) fn signing_certificate_v2(certificate: &Certificate<'_>) -> Vec<u8> {
    let hash = asn1::tlv(asn1::OCTET_STRING, &[sha256(certificate.raw).as_bytes()]);
    let issuer = asn1::sequence(&[&asn1::tlv(asn1::context(4), &[certificate.issuer])]);
    let serial = asn1::tlv(asn1::INTEGER, &[certificate.serial]);
    let id = asn1::sequence(&[&hash, &asn1::sequence(&[&issuer, &serial])]);
    let value = asn1::sequence(&[&asn1::sequence(&[&id])]);
    attribute(oids::SIGNING_CERTIFICATE_V2, &value)
}

/// Does the attribute value name `certificate` first? `Ok(None)`: by a hash that is not believed.
pub(crate) fn names(
    value: &[u8],
    certificate: &Certificate<'_>,
) -> Result<Option<bool>, Malformed> {
    let mut fields = asn1::only(value, asn1::SEQUENCE)?.inside();
    let mut ids = fields.expect(asn1::SEQUENCE)?.inside();
    fields.optional(asn1::SEQUENCE)?;
    fields.end()?;
    let mut id = ids.expect(asn1::SEQUENCE)?.inside();
    let hash = match id.optional(asn1::SEQUENCE)? {
        None => Some(Hash::Sha256),
        Some(identifier) => Hash::parse(identifier.raw)?,
    };
    let cert_hash = id.expect(asn1::OCTET_STRING)?.value;
    let issuer_serial = id.optional(asn1::SEQUENCE)?;
    id.end()?;
    let Some(hash) = hash else { return Ok(None) };
    if hash.digest(certificate.raw).as_ref() != cert_hash {
        return Ok(Some(false));
    }
    let Some(issuer_serial) = issuer_serial else { return Ok(Some(true)) };
    let mut pair = issuer_serial.inside();
    let issuer = asn1::only(pair.expect(asn1::SEQUENCE)?.value, asn1::context(4))?.value;
    let serial = pair.expect(asn1::INTEGER)?.value;
    pair.end()?;
    Ok(Some(issuer == certificate.issuer && serial == certificate.serial))
}
