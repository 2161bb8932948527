//! X.509 certificates (RFC 5280 §4), read in place: the fields that paths and seals need.

use std::str::FromStr;

use der::Decode;
use der::asn1::ObjectIdentifier;
use schemas::digest::Digest;
use schemas::time::Timestamp;
use x509_cert::name::Name;

use crate::algorithm::{PublicKey, Scheme, Verifier};
use crate::asn1::{self, Malformed, Reader, Tlv};
use crate::digest::sha256;
use crate::{asn1_time, oids};

/// What people and verdicts need to know of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertInfo {
    /// The certificate as it was received.
    pub der: Vec<u8>,
    /// SHA-256 of `der`.
    pub sha256: Digest,
    /// Distinguished name as RFC 4514 writes it.
    pub subject: String,
    /// `commonName` of the subject, if there is one.
    pub common_name: Option<String>,
    /// `organizationIdentifier` of the subject (EN 319 412-1), such as `NTRFR-130025265`.
    pub organization_identifier: Option<String>,
    /// Distinguished name of the issuer.
    pub issuer: String,
    /// Serial number in lower-case hexadecimal.
    pub serial: String,
    /// First instant of validity.
    pub not_before: Timestamp,
    /// Last instant of validity.
    pub not_after: Timestamp,
}

impl CertInfo {
    /// Reads a DER certificate.
    ///
    /// # Errors
    /// [`Malformed`] when it is not one.
    pub fn parse(der: &[u8]) -> Result<Self, Malformed> {
        Self::of(&Certificate::parse(der)?)
    }

    pub(crate) fn of(cert: &Certificate<'_>) -> Result<Self, Malformed> {
        let subject = Name::from_der(cert.subject).map_err(|_| Malformed)?;
        let issuer = Name::from_der(cert.issuer).map_err(|_| Malformed)?;
        Ok(Self {
            der: cert.raw.to_vec(),
            sha256: sha256(cert.raw),
            common_name: attribute(cert.subject, oids::COMMON_NAME)?,
            organization_identifier: attribute(cert.subject, oids::ORGANIZATION_IDENTIFIER)?,
            subject: subject.to_string(),
            issuer: issuer.to_string(),
            serial: hex::encode(cert.serial),
            not_before: cert.not_before,
            not_after: cert.not_after,
        })
    }

    /// Does its validity cover `time`, to the second?
    #[must_use]
    pub fn covers(&self, time: Timestamp) -> bool {
        covers(self.not_before, self.not_after, time)
    }
}

/// A certificate's fields, borrowed from its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Certificate<'a> {
    pub(crate) raw: &'a [u8],
    pub(crate) serial: &'a [u8],
    pub(crate) issuer: &'a [u8],
    pub(crate) subject: &'a [u8],
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) spki: &'a [u8],
    pub(crate) extensions: Extensions<'a>,
    signed: Signed<'a>,
}

impl<'a> Certificate<'a> {
    pub(crate) fn parse(der: &'a [u8]) -> Result<Self, Malformed> {
        let signed = Signed::parse(der)?;
        let mut tbs = signed.tbs.inside();
        // Version 3 alone: without extensions no rule of ours could be met.
        if asn1::only(tbs.expect(asn1::context(0))?.value, asn1::INTEGER)?.value != [2] {
            return Err(Malformed);
        }
        let serial = tbs.expect(asn1::INTEGER)?.value;
        // RFC 5280 §4.1.1.2: the algorithm stands twice and must be the same.
        if tbs.expect(asn1::SEQUENCE)?.raw != signed.algorithm {
            return Err(Malformed);
        }
        let issuer = tbs.expect(asn1::SEQUENCE)?.raw;
        let mut validity = tbs.expect(asn1::SEQUENCE)?.inside();
        let not_before = asn1_time::decode(&validity.next()?)?;
        let not_after = asn1_time::decode(&validity.next()?)?;
        validity.end()?;
        let subject = tbs.expect(asn1::SEQUENCE)?.raw;
        let spki = tbs.expect(asn1::SEQUENCE)?.raw;
        tbs.optional(asn1::context_primitive(1))?;
        tbs.optional(asn1::context_primitive(2))?;
        let extensions = Extensions::parse(tbs.optional(asn1::context(3))?)?;
        tbs.end()?;
        let raw = der;
        Ok(Self { raw, serial, issuer, subject, not_before, not_after, spki, extensions, signed })
    }

    pub(crate) fn covers(&self, time: Timestamp) -> bool {
        covers(self.not_before, self.not_after, time)
    }

    /// The public key, `None` if it is of an unsupported kind.
    pub(crate) fn public_key(&self) -> Result<Option<PublicKey<'a>>, Malformed> {
        PublicKey::parse(self.spki)
    }

    /// The scheme under which `issuer_spki` signed this certificate.
    pub(crate) fn signature_scheme(&self, issuer_spki: &[u8]) -> Result<Option<Scheme>, Malformed> {
        self.signed.scheme(issuer_spki)
    }

    /// `None` when there is no keyUsage extension.
    pub(crate) fn key_usage(&self) -> Result<Option<KeyUsage>, Malformed> {
        self.extensions.find(oids::KEY_USAGE).map(|e| KeyUsage::parse(e.value)).transpose()
    }

    /// Octets of the extended key usages, each an object identifier; `None` without the extension.
    pub(crate) fn extended_key_usage(&self) -> Result<Option<Vec<&'a [u8]>>, Malformed> {
        let Some(extension) = self.extensions.find(oids::EXTENDED_KEY_USAGE) else {
            return Ok(None);
        };
        let purposes = asn1::only(extension.value, asn1::SEQUENCE)?.inside().all()?;
        purposes
            .iter()
            .map(|p| if p.tag == asn1::OID { Ok(p.value) } else { Err(Malformed) })
            .collect::<Result<Vec<_>, _>>()
            .map(Some)
    }

    /// Octets of the subjectKeyIdentifier.
    pub(crate) fn subject_key_id(&self) -> Option<&'a [u8]> {
        let extension = self.extensions.find(oids::SUBJECT_KEY_ID)?;
        asn1::only(extension.value, asn1::OCTET_STRING).ok().map(|id| id.value)
    }
}

/// `SIGNED{..}` of X.509: something to be signed, an algorithm, a signature.
#[derive(Clone, Debug)]
pub(crate) struct Signed<'a> {
    pub(crate) tbs: Tlv<'a>,
    pub(crate) algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Signed<'a> {
    pub(crate) fn parse(der: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = asn1::only(der, asn1::SEQUENCE)?.inside();
        let tbs = fields.expect(asn1::SEQUENCE)?;
        let algorithm = fields.expect(asn1::SEQUENCE)?.raw;
        let signature = asn1::whole_octets(fields.expect(asn1::BIT_STRING)?.value)?;
        fields.end()?;
        Ok(Self { tbs, algorithm, signature })
    }

    pub(crate) fn scheme(&self, issuer_spki: &[u8]) -> Result<Option<Scheme>, Malformed> {
        let Some(key) = PublicKey::parse(issuer_spki)? else { return Ok(None) };
        key.scheme(self.algorithm, None)
    }

    /// Did the key `issuer_spki` sign this?
    pub(crate) fn verify(&self, issuer_spki: &[u8]) -> Result<bool, Malformed> {
        let Some(key) = PublicKey::parse(issuer_spki)? else { return Ok(false) };
        let Some(scheme) = key.scheme(self.algorithm, None)? else { return Ok(false) };
        Ok(Verifier::new(&key, scheme)?.verify(self.tbs.raw, self.signature))
    }
}

/// One extension of a certificate, a CRL or a CRL entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extension<'a> {
    pub(crate) id: &'a [u8],
    pub(crate) critical: bool,
    pub(crate) value: &'a [u8],
}

/// The extensions in their order; none stands twice.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extensions<'a>(pub(crate) Vec<Extension<'a>>);

impl<'a> Extensions<'a> {
    /// From the explicitly tagged field that holds them, if it is there.
    pub(crate) fn parse(field: Option<Tlv<'a>>) -> Result<Self, Malformed> {
        let Some(field) = field else { return Ok(Self::default()) };
        Self::of(asn1::only(field.value, asn1::SEQUENCE)?.inside())
    }

    /// From the contents of the SEQUENCE.
    pub(crate) fn of(mut list: Reader<'a>) -> Result<Self, Malformed> {
        let mut out = Self::default();
        while !list.is_empty() {
            let mut fields = list.expect(asn1::SEQUENCE)?.inside();
            let id = fields.expect(asn1::OID)?.value;
            let critical = match fields.optional(asn1::BOOLEAN)? {
                None => false,
                // DER writes TRUE as 0xff and never writes the default.
                Some(flag) if flag.value == [0xff] => true,
                Some(_) => return Err(Malformed),
            };
            let value = fields.expect(asn1::OCTET_STRING)?.value;
            fields.end()?;
            if out.0.iter().any(|e| e.id == id) {
                return Err(Malformed);
            }
            out.0.push(Extension { id, critical, value });
        }
        Ok(out)
    }

    pub(crate) fn find(&self, id: ObjectIdentifier) -> Option<Extension<'a>> {
        self.0.iter().find(|e| e.id == id.as_bytes()).copied()
    }

    /// keyIdentifier of the authorityKeyIdentifier.
    pub(crate) fn authority_key_id(&self) -> Result<Option<&'a [u8]>, Malformed> {
        let Some(extension) = self.find(oids::AUTHORITY_KEY_ID) else { return Ok(None) };
        let mut fields = asn1::only(extension.value, asn1::SEQUENCE)?.inside();
        Ok(fields.optional(asn1::context_primitive(0))?.map(|id| id.value))
    }

    /// The first critical extension that `known` does not name.
    pub(crate) fn unknown_critical(&self, known: &[ObjectIdentifier]) -> Option<Extension<'a>> {
        let is_known = |e: &&Extension<'_>| known.iter().any(|k| k.as_bytes() == e.id);
        self.0.iter().filter(|e| e.critical).find(|e| !is_known(e)).copied()
    }
}

/// keyUsage (RFC 5280 §4.2.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyUsage(u8);

impl KeyUsage {
    pub(crate) const DIGITAL_SIGNATURE: Self = Self(0x80);
    pub(crate) const NON_REPUDIATION: Self = Self(0x40);
    pub(crate) const KEY_ENCIPHERMENT: Self = Self(0x20);
    pub(crate) const KEY_AGREEMENT: Self = Self(0x08);
    pub(crate) const KEY_CERT_SIGN: Self = Self(0x04);
    pub(crate) const CRL_SIGN: Self = Self(0x02);

    fn parse(value: &[u8]) -> Result<Self, Malformed> {
        let bits = asn1::only(value, asn1::BIT_STRING)?.value;
        match bits {
            [unused, first, ..] if *unused < 8 && bits.len() <= 3 => Ok(Self(*first)),
            _ => Err(Malformed),
        }
    }

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The BIT STRING, without trailing zero bits (X.690 §11.2.2).
    pub(crate) fn encode(self) -> Vec<u8> {
        asn1::tlv(asn1::BIT_STRING, &[&[self.0.trailing_zeros() as u8, self.0]])
    }
}

const fn covers(not_before: Timestamp, not_after: Timestamp, time: Timestamp) -> bool {
    // Certificates know seconds; the last one counts to its end (RFC 5280 §4.1.2.5).
    not_before.secs() <= time.secs() && time.secs() <= not_after.secs()
}

/// The first value of an attribute of a distinguished name, if it is text.
fn attribute(name: &[u8], id: ObjectIdentifier) -> Result<Option<String>, Malformed> {
    for set in asn1::only(name, asn1::SEQUENCE)?.inside().all()? {
        for pair in set.inside().all()? {
            let mut fields = pair.inside();
            if fields.expect(asn1::OID)?.value == id.as_bytes() {
                let value = fields.next()?.value;
                return Ok(std::str::from_utf8(value).ok().and_then(|t| String::from_str(t).ok()));
            }
        }
    }
    Ok(None)
}
