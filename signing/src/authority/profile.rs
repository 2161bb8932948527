//! The certificates and revocation lists that the authority issues: which extensions each profile
//! has, and their encoding.
//!
//! The profiles keep what the EU's validator asks without a warning: seal certificates with
//! nonRepudiation, AIA, CRL distribution point and key identifiers; intermediates with
//! keyCertSign, cRLSign and pathLen; the TSA with timeStamping alone and critical.

use std::net::IpAddr;

use der::asn1::ObjectIdentifier;
use schemas::time::Timestamp;

use super::{AuthorityError, RevocationReason};
use crate::asn1::{self, context, context_primitive, sequence, tlv};
use crate::certificate::{Certificate, KeyUsage};
use crate::digest::sha256;
use crate::signer::Signer;
use crate::{asn1_time, oids};

/// What a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Seals of a node or a member. Issued by the intermediate.
    Seal,
    /// A time-stamp authority. Issued by the root, directly under the anchor.
    Tsa,
    /// Receiving encrypted keys. Issued by the intermediate.
    Encryption,
    /// TLS servers and clients. Issued by the intermediate.
    Tls {
        /// DNS names and IP addresses.
        sans: Vec<String>,
    },
}

/// Whom a certificate names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// `commonName`, at most 64 characters.
    pub common_name: String,
    /// `organizationName`, at most 64 characters.
    pub organization: Option<String>,
    /// `organizationIdentifier` (EN 319 412-1 §5.1.4), such as `NTRFR-130025265`.
    pub organization_identifier: Option<String>,
    /// `countryName`, two capital letters.
    pub country: String,
}

impl Subject {
    /// A subject in France without an organisation.
    #[must_use]
    pub fn named(common_name: impl Into<String>) -> Self {
        Self {
            common_name: common_name.into(),
            organization: None,
            organization_identifier: None,
            country: "FR".to_owned(),
        }
    }

    /// The distinguished name.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, AuthorityError> {
        // X.520 upper bounds.
        let fits = |text: &str| (1..=64).contains(&text.chars().count());
        let country = self.country.as_bytes();
        if country.len() != 2 || !country.iter().all(u8::is_ascii_uppercase) {
            return Err(AuthorityError::Subject("the country is not two capital letters"));
        }
        let texts = [Some(&self.common_name), self.organization.as_ref()];
        let identifier = self.organization_identifier.as_ref();
        if !texts.into_iter().chain([identifier]).flatten().all(|text| fits(text)) {
            return Err(AuthorityError::Subject("a name is empty or longer than 64 characters"));
        }
        /// PrintableString, which X.520 demands for countries.
        const PRINTABLE: u8 = 0x13;
        let mut names = vec![pair(oids::COUNTRY, PRINTABLE, country)];
        for (id, text) in [
            (oids::ORGANIZATION, self.organization.as_ref()),
            (oids::ORGANIZATION_IDENTIFIER, identifier),
            (oids::COMMON_NAME, Some(&self.common_name)),
        ] {
            names.extend(text.map(|text| pair(id, asn1::UTF8_STRING, text.as_bytes())));
        }
        Ok(sequence(&names.iter().map(Vec::as_slice).collect::<Vec<_>>()))
    }
}

fn pair(id: ObjectIdentifier, tag: u8, text: &[u8]) -> Vec<u8> {
    let value = tlv(tag, &[text]);
    tlv(asn1::SET, &[&sequence(&[&asn1::oid(id), &value])])
}

/// What stands in a certificate beside its extensions.
pub(crate) struct Body<'a> {
    pub(crate) serial: &'a [u8],
    pub(crate) issuer: &'a [u8],
    pub(crate) subject: &'a [u8],
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) spki: &'a [u8],
}

/// Encodes and signs a version 3 certificate.
pub(crate) fn certificate(
    body: &Body<'_>,
    extensions: &[Vec<u8>],
    issuer_key: &dyn Signer,
) -> Result<Vec<u8>, AuthorityError> {
    let validity = [asn1_time::encode(body.not_before), asn1_time::encode(body.not_after)].concat();
    let list: Vec<&[u8]> = extensions.iter().map(Vec::as_slice).collect();
    let tbs = sequence(&[
        &tlv(context(0), &[&asn1::unsigned(&[2])]),
        &asn1::unsigned(body.serial),
        &issuer_key.algorithm().scheme().identifier(),
        body.issuer,
        &sequence(&[&validity]),
        body.subject,
        body.spki,
        &tlv(context(3), &[&sequence(&list)]),
    ]);
    sign(&tbs, issuer_key)
}

/// A certificate that a list names.
pub(crate) struct RevokedEntry<'a> {
    pub(crate) serial: &'a [u8],
    pub(crate) at: Timestamp,
    pub(crate) reason: RevocationReason,
}

/// Encodes and signs a complete CRL (RFC 5280 §5) of `issuer`.
pub(crate) fn revocation_list(
    issuer: &Certificate<'_>,
    issuer_key: &dyn Signer,
    entries: &[RevokedEntry<'_>],
    dates: (Timestamp, Timestamp),
    expired_since: Timestamp,
) -> Result<Vec<u8>, AuthorityError> {
    let entries: Vec<Vec<u8>> = entries.iter().map(revoked).collect();
    let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    // RFC 5280 §5.1.2.6: the field is absent when nothing is revoked.
    let entries = if entries.is_empty() { Vec::new() } else { sequence(&entries) };
    // Seconds since the epoch never go back: a number without any state (§5.2.3).
    let number = asn1::unsigned(&dates.0.secs().to_be_bytes());
    let extensions = sequence(&[
        &authority_key_id(issuer),
        &extension(oids::CRL_NUMBER, false, &number),
        &extension(
            oids::EXPIRED_CERTS_ON_CRL,
            false,
            &asn1_time::encode_generalized(expired_since),
        ),
    ]);
    let tbs = sequence(&[
        &asn1::unsigned(&[1]),
        &issuer_key.algorithm().scheme().identifier(),
        issuer.subject,
        &asn1_time::encode(dates.0),
        &asn1_time::encode(dates.1),
        &entries,
        &tlv(context(0), &[&extensions]),
    ]);
    sign(&tbs, issuer_key)
}

fn revoked(entry: &RevokedEntry<'_>) -> Vec<u8> {
    let serial = asn1::unsigned(entry.serial);
    let at = asn1_time::encode(entry.at);
    if entry.reason == RevocationReason::Unspecified {
        // RFC 5280 §5.3.1: the extension is left out rather than saying unspecified.
        return sequence(&[&serial, &at]);
    }
    /// ENUMERATED.
    const ENUMERATED: u8 = 0x0a;
    let reason = extension(oids::CRL_REASON, false, &tlv(ENUMERATED, &[&[entry.reason.code()]]));
    sequence(&[&serial, &at, &sequence(&[&reason])])
}

fn sign(tbs: &[u8], key: &dyn Signer) -> Result<Vec<u8>, AuthorityError> {
    let signature = key.sign(tbs).map_err(AuthorityError::Sign)?;
    let algorithm = key.algorithm().scheme().identifier();
    Ok(sequence(&[tbs, &algorithm, &asn1::bit_string(&signature)]))
}

/// Extensions of an authority's own certificate.
pub(crate) fn of_authority(spki: &[u8], path_length: Option<u8>) -> Vec<Vec<u8>> {
    let length = path_length.map(|length| asn1::unsigned(&[length])).unwrap_or_default();
    let constraints = sequence(&[&[asn1::BOOLEAN, 1, 0xff], &length]);
    vec![
        extension(oids::BASIC_CONSTRAINTS, true, &constraints),
        key_usage(KeyUsage::KEY_CERT_SIGN.with(KeyUsage::CRL_SIGN)),
        subject_key_id(spki),
    ]
}

/// Extensions that say who issued: key identifier, where its certificate and its list are.
pub(crate) fn of_issuer(issuer: &Certificate<'_>, base_url: &str, name: &str) -> Vec<Vec<u8>> {
    let list = uri(&format!("{base_url}/{name}.crl"));
    let point = tlv(context(0), &[&tlv(context(0), &[&list])]);
    let points = sequence(&[&sequence(&[&point])]);
    let access = sequence(&[&asn1::oid(oids::CA_ISSUERS), &uri(&format!("{base_url}/{name}.crt"))]);
    vec![
        authority_key_id(issuer),
        extension(oids::AUTHORITY_INFO_ACCESS, false, &sequence(&[&access])),
        extension(oids::CRL_DISTRIBUTION_POINTS, false, &points),
    ]
}

/// Extensions of an end entity.
pub(crate) fn of_leaf(
    profile: &Profile,
    spki: &[u8],
    is_ec: bool,
) -> Result<Vec<Vec<u8>>, AuthorityError> {
    let mut out = vec![subject_key_id(spki)];
    match profile {
        Profile::Seal => {
            out.push(key_usage(KeyUsage::DIGITAL_SIGNATURE.with(KeyUsage::NON_REPUDIATION)));
        }
        Profile::Tsa => {
            out.push(key_usage(KeyUsage::DIGITAL_SIGNATURE.with(KeyUsage::NON_REPUDIATION)));
            // RFC 3161 §2.3.
            out.push(purposes(true, &[oids::TIME_STAMPING]));
        }
        Profile::Encryption => {
            let usage = if is_ec { KeyUsage::KEY_AGREEMENT } else { KeyUsage::KEY_ENCIPHERMENT };
            out.push(key_usage(usage));
        }
        Profile::Tls { sans } => {
            out.push(key_usage(KeyUsage::DIGITAL_SIGNATURE));
            out.push(purposes(false, &[oids::SERVER_AUTH, oids::CLIENT_AUTH]));
            out.push(alternative_names(sans)?);
        }
    }
    Ok(out)
}

fn alternative_names(sans: &[String]) -> Result<Vec<u8>, AuthorityError> {
    let mut names = Vec::new();
    for san in sans {
        names.extend(match san.parse::<IpAddr>() {
            Ok(IpAddr::V4(ip)) => tlv(context_primitive(7), &[&ip.octets()]),
            Ok(IpAddr::V6(ip)) => tlv(context_primitive(7), &[&ip.octets()]),
            Err(_) if is_dns_name(san) => tlv(context_primitive(2), &[san.as_bytes()]),
            Err(_) => return Err(AuthorityError::Subject("neither a DNS name nor an IP address")),
        });
    }
    if names.is_empty() {
        return Err(AuthorityError::Subject("a TLS certificate needs a name or an address"));
    }
    Ok(extension(oids::SUBJECT_ALT_NAME, false, &sequence(&[&names])))
}

fn is_dns_name(name: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len()) && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

fn extension(id: ObjectIdentifier, critical: bool, value: &[u8]) -> Vec<u8> {
    let flag: &[u8] = if critical { &[asn1::BOOLEAN, 1, 0xff] } else { &[] };
    sequence(&[&asn1::oid(id), flag, &tlv(asn1::OCTET_STRING, &[value])])
}

fn key_usage(usage: KeyUsage) -> Vec<u8> {
    extension(oids::KEY_USAGE, true, &usage.encode())
}

fn purposes(critical: bool, ids: &[ObjectIdentifier]) -> Vec<u8> {
    let ids: Vec<u8> = ids.iter().flat_map(|id| asn1::oid(*id)).collect();
    extension(oids::EXTENDED_KEY_USAGE, critical, &sequence(&[&ids]))
}

/// RFC 7093 §2, method 1: the leftmost 160 bits of SHA-256.
fn key_id(spki: &[u8]) -> Vec<u8> {
    sha256(spki).as_bytes().iter().take(20).copied().collect()
}

fn subject_key_id(spki: &[u8]) -> Vec<u8> {
    extension(oids::SUBJECT_KEY_ID, false, &tlv(asn1::OCTET_STRING, &[&key_id(spki)]))
}

fn authority_key_id(issuer: &Certificate<'_>) -> Vec<u8> {
    let computed = key_id(issuer.spki);
    let id = issuer.subject_key_id().unwrap_or(&computed);
    extension(oids::AUTHORITY_KEY_ID, false, &sequence(&[&tlv(context_primitive(0), &[id])]))
}

fn uri(text: &str) -> Vec<u8> {
    tlv(context_primitive(6), &[text.as_bytes()])
}
