//! The structures of RFC 3161 §2.4, to the letter.

use cms::content_info::ContentInfo;
use const_oid::ObjectIdentifier;
use der::Sequence;
use der::asn1::{BitString, Int, OctetString};
use spki::AlgorithmIdentifierOwned;
use x509_cert::ext::Extensions;
use x509_cert::ext::pkix::name::GeneralName;

use super::GenTime;

/// `MessageImprint`: what is stamped.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct MessageImprint {
    /// The hash function.
    pub hash_algorithm: AlgorithmIdentifierOwned,
    /// The hash, of the length that the function gives.
    pub hashed_message: OctetString,
}

/// `TimeStampReq`.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct TimeStampReq {
    /// 1.
    pub version: u8,
    /// What is to be stamped.
    pub message_imprint: MessageImprint,
    /// The policy that the client wants.
    #[asn1(optional = "true")]
    pub req_policy: Option<ObjectIdentifier>,
    /// A large random number, repeated in the token.
    #[asn1(optional = "true")]
    pub nonce: Option<Int>,
    /// Whether the token must carry the authority's certificate.
    #[asn1(default = "Default::default")]
    pub cert_req: bool,
    /// None are defined that Pli understands.
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    pub extensions: Option<Extensions>,
}

/// `PKIStatusInfo` as RFC 3161 §2.4.2 narrows it.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct PkiStatusInfo {
    /// 0 granted, 1 granted with modifications, 2 and above refused.
    pub status: u8,
    /// Words for people.
    #[asn1(optional = "true")]
    pub status_string: Option<Vec<String>>,
    /// Why it was refused: one bit of [`Failure`].
    #[asn1(optional = "true")]
    pub fail_info: Option<BitString>,
}

/// `TimeStampResp`.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct TimeStampResp {
    /// Granted or not.
    pub status: PkiStatusInfo,
    /// The token, present exactly when granted.
    #[asn1(optional = "true")]
    pub token: Option<ContentInfo>,
}

/// `Accuracy`: how far the authority's clock may be off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Sequence)]
pub struct Accuracy {
    /// Whole seconds.
    #[asn1(optional = "true")]
    pub seconds: Option<u64>,
    /// 1 to 999.
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    pub millis: Option<u16>,
    /// 1 to 999.
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub micros: Option<u16>,
}

impl Accuracy {
    /// In milliseconds, rounded up.
    #[must_use]
    pub fn millis(self) -> i64 {
        let seconds = i64::try_from(self.seconds.unwrap_or(0)).unwrap_or(i64::MAX);
        let parts = i64::from(self.millis.unwrap_or(0)) + i64::from(self.micros.is_some());
        seconds.saturating_mul(1_000).saturating_add(parts)
    }
}

/// `TSTInfo`: what the authority signs.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct TstInfo {
    /// 1.
    pub version: u8,
    /// Under which policy the token was issued.
    pub policy: ObjectIdentifier,
    /// What was stamped.
    pub message_imprint: MessageImprint,
    /// Unique for this authority, at most 160 bits.
    pub serial_number: Int,
    /// When.
    pub gen_time: GenTime,
    /// How exactly.
    #[asn1(optional = "true")]
    pub accuracy: Option<Accuracy>,
    /// Whether tokens can be ordered by `gen_time` alone.
    #[asn1(default = "Default::default")]
    pub ordering: bool,
    /// The nonce of the request.
    #[asn1(optional = "true")]
    pub nonce: Option<Int>,
    /// A hint at the authority's name.
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub tsa: Option<GeneralName>,
    /// Such as the statement that a token is qualified (EN 319 422 §9.1).
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub extensions: Option<Extensions>,
}

/// `PKIFailureInfo` (RFC 3161 §2.4.2); the number is the bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Failure {
    /// Hash function not understood or not supported.
    BadAlg = 0,
    /// Transaction not permitted or supported.
    BadRequest = 2,
    /// The request has a wrong format.
    BadDataFormat = 5,
    /// The authority's time source is not available.
    TimeNotAvailable = 14,
    /// The policy asked for is not supported.
    UnacceptedPolicy = 15,
    /// An extension is not supported.
    UnacceptedExtension = 16,
    /// The additional information asked for is not available.
    AddInfoNotAvailable = 17,
    /// The request cannot be handled because of a system failure.
    SystemFailure = 25,
}

impl Failure {
    /// As the BIT STRING of `failInfo`, without trailing zero bits (X.690 §11.2.2).
    ///
    /// # Errors
    /// Never for these values; the type of `der` demands it.
    pub fn bits(self) -> der::Result<BitString> {
        let bit = self as usize;
        let mut bytes = vec![0_u8; bit / 8 + 1];
        if let Some(last) = bytes.last_mut() {
            *last = 0x80 >> (bit % 8);
        }
        BitString::new(u8::try_from(7 - bit % 8).unwrap_or(0), bytes)
    }

    /// The first bit that is set, when it is one of those of RFC 3161.
    #[must_use]
    pub fn from_bits(bits: &BitString) -> Option<Self> {
        let first = bits.bits().position(|b| b)?;
        Self::ALL.into_iter().find(|f| *f as usize == first)
    }

    const ALL: [Self; 8] = [
        Self::BadAlg,
        Self::BadRequest,
        Self::BadDataFormat,
        Self::TimeNotAvailable,
        Self::UnacceptedPolicy,
        Self::UnacceptedExtension,
        Self::AddInfoNotAvailable,
        Self::SystemFailure,
    ];
}

/// An unsigned number as an INTEGER: a set high bit does not make it negative.
///
/// # Errors
/// Never for a number of a sane length; the type of `der` demands it.
pub fn unsigned(bytes: &[u8]) -> der::Result<Int> {
    let zeros = bytes.iter().take_while(|b| **b == 0).count();
    let digits = bytes.get(zeros..).unwrap_or_default();
    let mut value = Vec::with_capacity(digits.len() + 1);
    if digits.first().is_none_or(|b| *b >= 0x80) {
        value.push(0);
    }
    value.extend_from_slice(digits);
    Int::new(&value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use der::Encode;

    #[test]
    fn failure_bits_are_those_of_the_standard() {
        // The forms that openssl ts -reply writes
        assert_eq!(Failure::BadAlg.bits().unwrap().to_der().unwrap(), [3, 2, 7, 0x80]);
        assert_eq!(Failure::BadRequest.bits().unwrap().to_der().unwrap(), [3, 2, 5, 0x20]);
        assert_eq!(
            Failure::SystemFailure.bits().unwrap().to_der().unwrap(),
            [3, 5, 6, 0, 0, 0, 0x40]
        );
        for f in Failure::ALL {
            assert_eq!(Failure::from_bits(&f.bits().unwrap()), Some(f));
        }
    }

    #[test]
    fn an_accuracy_is_rounded_up_to_milliseconds() {
        let of = |seconds, millis, micros| Accuracy { seconds, millis, micros }.millis();
        assert_eq!(of(None, None, None), 0);
        assert_eq!(of(Some(1), Some(500), None), 1_500);
        assert_eq!(of(None, None, Some(1)), 1);
        assert_eq!(of(Some(u64::MAX), Some(999), Some(999)), i64::MAX);
    }

    #[test]
    fn numbers_stay_positive() {
        assert_eq!(unsigned(&[0xff]).unwrap().to_der().unwrap(), [2, 2, 0, 0xff]);
        assert_eq!(unsigned(&[0, 0, 0x7f]).unwrap().to_der().unwrap(), [2, 1, 0x7f]);
        assert_eq!(unsigned(&[0]).unwrap().to_der().unwrap(), [2, 1, 0]);
    }
}
