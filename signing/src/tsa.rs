//! A time-stamp authority of our own (RFC 3161), for development, tests and closed networks.
//!
//! It answers request bytes with response bytes; whoever serves it gives it the time. Its tokens
//! are never called qualified: it writes no `qcStatements` (EN 319 422 §9.1) and its clock is the
//! caller's. Tokens carry the authority's CRL, so that they verify by themselves later.

use std::sync::Arc;

use aws_lc_rs::rand;
use cms::content_info::ContentInfo;
use const_oid::ObjectIdentifier;
use der::{Decode, Encode};
use schemas::time::Timestamp;

use crate::algorithm::Hash;
use crate::cades::Template;
use crate::oids;
use crate::signer::{SignError, Signer};
use crate::tsp::GenTime;
use crate::tsp::wire::{
    Accuracy, Failure, PkiStatusInfo, TimeStampReq, TimeStampResp, TstInfo, unsigned,
};

/// The media type of a request.
pub const QUERY_TYPE: &str = "application/timestamp-query";
/// The media type of an answer.
pub const REPLY_TYPE: &str = "application/timestamp-reply";
/// A request is below 200 octets.
const MOST_OCTETS: usize = 16 << 10;

/// An authority: key, certificates, policy. Cheap to clone, safe to share.
#[derive(Clone, Debug)]
pub struct Tsa {
    template: Template,
    bare: Template,
    policy: ObjectIdentifier,
}

/// Why a request is not granted: what the answer will say.
struct Rejection(Failure, &'static str);

impl Tsa {
    /// `chain`: the authority's certificate first, then intermediates, without the anchor; `crls`:
    /// their current revocation lists; `policy`: the object identifier that tokens name.
    ///
    /// # Errors
    /// When the certificate is not the key's, or something given is not readable.
    pub fn new(
        signer: Arc<dyn Signer>,
        chain: &[Vec<u8>],
        crls: &[Vec<u8>],
        policy: ObjectIdentifier,
    ) -> Result<Self, SignError> {
        let template = Template::new(signer, chain, crls, oids::TST_INFO)?;
        Ok(Self { bare: template.without_certificates(), template, policy })
    }

    /// The same authority with newer revocation lists.
    ///
    /// # Errors
    /// When one of them is not readable.
    pub fn with_crls(&self, crls: &[Vec<u8>]) -> Result<Self, SignError> {
        Ok(Self { template: self.template.with_crls(crls)?, ..self.clone() })
    }

    /// Answers a `TimeStampReq` at the time `at`: always with a `TimeStampResp`, which holds a token
    /// or says why not. The answer is empty only if memory itself fails.
    #[must_use]
    pub fn respond(&self, request: &[u8], at: Timestamp) -> Vec<u8> {
        let answer = match self.grant(request, at) {
            Ok(token) => Ok(granted(token)),
            Err(rejection) => rejected(&rejection),
        };
        answer.and_then(|response| response.to_der()).unwrap_or_default()
    }

    fn grant(&self, request: &[u8], at: Timestamp) -> Result<ContentInfo, Rejection> {
        let request = self.read(request)?;
        let failed = |_| Rejection(Failure::SystemFailure, "the token could not be encoded");
        let info = TstInfo {
            version: 1,
            policy: self.policy,
            message_imprint: request.message_imprint,
            serial_number: serial(at)?,
            gen_time: GenTime::from(at),
            accuracy: Some(Accuracy { seconds: Some(1), millis: None, micros: None }),
            ordering: false,
            nonce: request.nonce,
            tsa: None,
            extensions: None,
        };
        let template = if request.cert_req { &self.template } else { &self.bare };
        let token = template.sign(&info.to_der().map_err(failed)?, true, at, None);
        let token = token.map_err(|why| match why {
            SignError::OutsideValidity => Rejection(
                Failure::TimeNotAvailable,
                "the authority's certificate is not valid at this time",
            ),
            _ => Rejection(Failure::SystemFailure, "the authority's key did not sign"),
        })?;
        ContentInfo::from_der(&token).map_err(failed)
    }

    /// Reads and checks a request (RFC 3161 §2.4.1).
    fn read(&self, request: &[u8]) -> Result<TimeStampReq, Rejection> {
        let unreadable = Rejection(Failure::BadDataFormat, "not a TimeStampReq");
        if request.len() > MOST_OCTETS {
            return Err(unreadable);
        }
        let request = TimeStampReq::from_der(request).map_err(|_| unreadable)?;
        if request.version != 1 {
            return Err(Rejection(Failure::BadRequest, "version is not 1"));
        }
        let hash = Hash::named(&request.message_imprint.hash_algorithm);
        let hash = hash.ok_or(Rejection(Failure::BadAlg, "use SHA-256, SHA-384 or SHA-512"))?;
        if request.message_imprint.hashed_message.as_bytes().len() != hash.len() {
            return Err(Rejection(
                Failure::BadDataFormat,
                "the hash has not the length of its function",
            ));
        }
        if request.req_policy.is_some_and(|policy| policy != self.policy) {
            return Err(Rejection(Failure::UnacceptedPolicy, "another policy is served here"));
        }
        if request.extensions.is_some() {
            return Err(Rejection(Failure::UnacceptedExtension, "no extension is understood here"));
        }
        Ok(request)
    }
}

/// Unique across restarts without a counter (EN 319 422 §5.2): milliseconds, then 80 random bits.
fn serial(at: Timestamp) -> Result<der::asn1::Int, Rejection> {
    let failed = Rejection(Failure::SystemFailure, "no serial number could be drawn");
    let mut bytes = [0; 16];
    let (time, random) = bytes.split_at_mut(6);
    let millis = at.millis().to_be_bytes();
    time.copy_from_slice(millis.get(2..).unwrap_or_default());
    if rand::fill(random).is_err() {
        return Err(failed);
    }
    unsigned(&bytes).map_err(|_| failed)
}

fn granted(token: ContentInfo) -> TimeStampResp {
    let status = PkiStatusInfo { status: 0, status_string: None, fail_info: None };
    TimeStampResp { status, token: Some(token) }
}

fn rejected(Rejection(failure, text): &Rejection) -> der::Result<TimeStampResp> {
    let status = PkiStatusInfo {
        status: 2,
        status_string: Some(vec![(*text).to_owned()]),
        fail_info: Some(failure.bits()?),
    };
    Ok(TimeStampResp { status, token: None })
}
