//! Writing CAdES baseline B-B (EN 319 122-1 §6): signed attributes, signature, `SignedData`.
//!
//! A [`Template`] encodes at its making all that never changes between two signatures of one key:
//! certificates, CRLs, signer identifier, algorithm identifiers and the signing-certificate-v2
//! attribute. A signature then takes two phases, [`Template::to_be_signed`] and
//! [`Template::assemble`], with the key's work between them.

use std::sync::Arc;

use der::asn1::ObjectIdentifier;
use schemas::time::Timestamp;

use crate::algorithm::Scheme;
use crate::asn1::{self, element_len, put_header};
use crate::certificate::{CertInfo, Certificate, Signed};
use crate::signed_data::{Pieces, layout, set_member};
use crate::signer::{SignError, Signer};
use crate::{algorithm::PublicKey, asn1_time, ess, oids};

/// What a signature commits to (commitment-type-indication, RFC 5126 §5.11.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Commitment {
    /// The signer made, approved and sent the message.
    ProofOfOrigin,
    /// The signer received the message.
    ProofOfReceipt,
    /// The signer delivered the message to where the recipient can reach it.
    ProofOfDelivery,
    /// The signer sent the message, without having made it.
    ProofOfSender,
    /// The signer approves of the content.
    ProofOfApproval,
    /// The signer made the content, without having approved or sent it.
    ProofOfCreation,
}

impl Commitment {
    const ALL: [(Self, ObjectIdentifier); 6] = [
        (Self::ProofOfOrigin, oids::PROOF_OF_ORIGIN),
        (Self::ProofOfReceipt, oids::PROOF_OF_RECEIPT),
        (Self::ProofOfDelivery, oids::PROOF_OF_DELIVERY),
        (Self::ProofOfSender, oids::PROOF_OF_SENDER),
        (Self::ProofOfApproval, oids::PROOF_OF_APPROVAL),
        (Self::ProofOfCreation, oids::PROOF_OF_CREATION),
    ];

    const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::ProofOfOrigin => oids::PROOF_OF_ORIGIN,
            Self::ProofOfReceipt => oids::PROOF_OF_RECEIPT,
            Self::ProofOfDelivery => oids::PROOF_OF_DELIVERY,
            Self::ProofOfSender => oids::PROOF_OF_SENDER,
            Self::ProofOfApproval => oids::PROOF_OF_APPROVAL,
            Self::ProofOfCreation => oids::PROOF_OF_CREATION,
        }
    }

    /// From the octets of its identifier.
    pub(crate) fn from_oid(octets: &[u8]) -> Option<Self> {
        Self::ALL.iter().find(|(_, id)| id.as_bytes() == octets).map(|(commitment, _)| *commitment)
    }

    fn attribute(self) -> Vec<u8> {
        ess::attribute(oids::COMMITMENT_TYPE, &asn1::sequence(&[&asn1::oid(self.oid())]))
    }
}

/// Everything constant of one signer's signatures over one content type.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    signer: Arc<dyn Signer>,
    pub(crate) certificate: Arc<CertInfo>,
    content_type: ObjectIdentifier,
    scheme: Scheme,
    digest_algorithm: Vec<u8>,
    certificates: Vec<u8>,
    crls: Vec<u8>,
    sid: Vec<u8>,
    signature_algorithm: Vec<u8>,
    content_type_attribute: Vec<u8>,
    certificate_attribute: Vec<u8>,
}

impl Template {
    /// `chain`: the signer's certificate first, then intermediates, without the anchor.
    pub(crate) fn new(
        signer: Arc<dyn Signer>,
        chain: &[Vec<u8>],
        crls: &[Vec<u8>],
        content_type: ObjectIdentifier,
    ) -> Result<Self, SignError> {
        let unreadable = |_| SignError::Material;
        let leaf = chain.first().ok_or(SignError::Material)?;
        let certificate = Certificate::parse(leaf).map_err(unreadable)?;
        check_key(&certificate, signer.as_ref())?;
        for other in chain {
            Certificate::parse(other).map_err(unreadable)?;
        }
        let scheme = signer.algorithm().scheme();
        let sid = [certificate.issuer, &asn1::tlv(asn1::INTEGER, &[certificate.serial])].concat();
        Ok(Self {
            certificate: Arc::new(CertInfo::of(&certificate).map_err(unreadable)?),
            content_type,
            scheme,
            digest_algorithm: scheme.hash.identifier(),
            certificates: encode_set(0, chain),
            crls: checked_crls(crls)?,
            sid: asn1::sequence(&[&sid]),
            signature_algorithm: scheme.identifier(),
            content_type_attribute: ess::attribute(oids::CONTENT_TYPE, &asn1::oid(content_type)),
            certificate_attribute: ess::signing_certificate_v2(&certificate),
            signer,
        })
    }

    /// The same with other CRLs.
    pub(crate) fn with_crls(&self, crls: &[Vec<u8>]) -> Result<Self, SignError> {
        Ok(Self { crls: checked_crls(crls)?, ..self.clone() })
    }

    /// The same without certificates (a time-stamp without `certReq`).
    pub(crate) fn without_certificates(&self) -> Self {
        Self { certificates: Vec::new(), crls: Vec::new(), ..self.clone() }
    }

    /// Phase one: the signed attributes over `content`, DER order, as the key must sign them.
    pub(crate) fn to_be_signed(
        &self,
        content: &[u8],
        at: Timestamp,
        commitment: Option<Commitment>,
    ) -> Vec<u8> {
        let digest = self.scheme.hash.digest(content);
        let digest = asn1::tlv(asn1::OCTET_STRING, &[digest.as_ref()]);
        let digest = ess::attribute(oids::MESSAGE_DIGEST, &digest);
        let time = ess::attribute(oids::SIGNING_TIME, &asn1_time::encode(at));
        let commitment = commitment.map(Commitment::attribute).unwrap_or_default();
        let mut parts: [&[u8]; 5] = [
            &self.content_type_attribute,
            &time,
            &digest,
            &self.certificate_attribute,
            &commitment,
        ];
        // An absent commitment is empty and sorts first without leaving a trace.
        parts.sort_unstable();
        let length = parts.iter().map(|part| part.len()).sum();
        let mut out = Vec::with_capacity(element_len(length));
        put_header(&mut out, asn1::SET, length);
        parts.iter().for_each(|part| out.extend_from_slice(part));
        out
    }

    /// Phase two: the whole `ContentInfo`; `content` is left out when detached.
    pub(crate) fn assemble(
        &self,
        content: Option<&[u8]>,
        signed_attributes: &[u8],
        signature: &[u8],
    ) -> Vec<u8> {
        layout(&Pieces {
            // RFC 5652 §5.1.
            version: if self.content_type == oids::DATA { 1 } else { 3 },
            digest_algorithm: &self.digest_algorithm,
            content_type: self.content_type.as_bytes(),
            content,
            certificates: &self.certificates,
            crls: &self.crls,
            signer_version: 1,
            sid: &self.sid,
            signed_attributes,
            signature_algorithm: &self.signature_algorithm,
            signature,
            unsigned: &[],
        })
    }

    /// Both phases with the key's work between them.
    pub(crate) fn sign(
        &self,
        content: &[u8],
        attached: bool,
        at: Timestamp,
        commitment: Option<Commitment>,
    ) -> Result<Vec<u8>, SignError> {
        if !self.certificate.covers(at) {
            return Err(SignError::OutsideValidity);
        }
        let attributes = self.to_be_signed(content, at, commitment);
        let signature = self.signer.sign(&attributes)?;
        Ok(self.assemble(attached.then_some(content), &attributes, &signature))
    }
}

fn check_key(certificate: &Certificate<'_>, signer: &dyn Signer) -> Result<(), SignError> {
    let unreadable = |_| SignError::Material;
    let theirs = certificate.public_key().map_err(unreadable)?.ok_or(SignError::KeyMismatch)?;
    let ours = PublicKey::parse(signer.public_key_der()).map_err(unreadable)?;
    match ours {
        Some(ours) if ours.kind == theirs.kind && ours.octets == theirs.octets => Ok(()),
        _ => Err(SignError::KeyMismatch),
    }
}

fn checked_crls(crls: &[Vec<u8>]) -> Result<Vec<u8>, SignError> {
    for crl in crls {
        Signed::parse(crl).map_err(|_| SignError::Material)?;
    }
    Ok(encode_set(1, crls))
}

fn encode_set(number: u8, members: &[Vec<u8>]) -> Vec<u8> {
    let mut members: Vec<&[u8]> = members.iter().map(Vec::as_slice).collect();
    members.sort_unstable();
    members.dedup();
    set_member(number, &members)
}
