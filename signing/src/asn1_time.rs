//! UTCTime and GeneralizedTime, as RFC 5280 §4.1.2.5 and RFC 5652 §11.3 write them.

use der::DateTime;
use schemas::time::Timestamp;

use crate::asn1::{self, Malformed, Tlv};

/// UTCTime through 2049, GeneralizedTime after it; whole seconds, UTC.
pub(crate) fn encode(time: Timestamp) -> Vec<u8> {
    let text = time.compact();
    match text.split_at_checked(2) {
        Some(("19", rest)) if rest >= "50" => zulu(asn1::UTC_TIME, rest),
        Some(("20", rest)) if rest < "50" => zulu(asn1::UTC_TIME, rest),
        _ => zulu(asn1::GENERALIZED_TIME, &text),
    }
}

/// GeneralizedTime of any year, for the extensions that take no other form.
pub(crate) fn encode_generalized(time: Timestamp) -> Vec<u8> {
    zulu(asn1::GENERALIZED_TIME, &time.compact())
}

fn zulu(tag: u8, digits: &str) -> Vec<u8> {
    asn1::tlv(tag, &[digits.as_bytes(), b"Z"])
}

/// Reads either form; years through 2049 must be UTCTime, as both clauses demand.
pub(crate) fn decode(tlv: &Tlv<'_>) -> Result<Timestamp, Malformed> {
    let time = decode_any(tlv)?;
    let canonical = encode(time);
    if canonical == tlv.raw { Ok(time) } else { Err(Malformed) }
}

/// Reads either form without asking which years it is for.
pub(crate) fn decode_any(tlv: &Tlv<'_>) -> Result<Timestamp, Malformed> {
    let digits = tlv.value.strip_suffix(b"Z").ok_or(Malformed)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    let (year, rest) = match (tlv.tag, digits.len()) {
        (asn1::UTC_TIME, 12) => {
            let (year, rest) = number(digits, 2)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        (asn1::GENERALIZED_TIME, 14) => number(digits, 4)?,
        _ => return Err(Malformed),
    };
    let (month, rest) = small(rest)?;
    let (day, rest) = small(rest)?;
    let (hour, rest) = small(rest)?;
    let (minute, rest) = small(rest)?;
    let (second, _) = small(rest)?;
    let time = DateTime::new(year, month, day, hour, minute, second).map_err(|_| Malformed)?;
    i64::try_from(time.unix_duration().as_secs()).map(Timestamp::from_secs).map_err(|_| Malformed)
}

fn number(digits: &[u8], places: usize) -> Result<(u16, &[u8]), Malformed> {
    let (head, rest) = digits.split_at_checked(places).ok_or(Malformed)?;
    Ok((head.iter().fold(0, |sum, d| sum * 10 + u16::from(d - b'0')), rest))
}

fn small(digits: &[u8]) -> Result<(u8, &[u8]), Malformed> {
    let (value, rest) = number(digits, 2)?;
    Ok((value as u8, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Timestamp, Malformed> {
        decode(&asn1::Reader::new(bytes).next()?)
    }

    #[test]
    fn each_year_has_one_form() {
        for text in ["1999-12-31T23:59:59Z", "2026-11-23T08:15:30Z", "2049-12-31T23:59:59Z"] {
            let time: Timestamp = text.parse().unwrap();
            let utc = encode(time);
            assert_eq!(utc.first(), Some(&asn1::UTC_TIME));
            assert_eq!(read(&utc), Ok(time));
            assert_eq!(read(&encode_generalized(time)), Err(Malformed));
        }
        let far: Timestamp = "2050-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(encode(far).first(), Some(&asn1::GENERALIZED_TIME));
        assert_eq!(read(&encode(far)), Ok(far));
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for bad in
            ["261301000000Z", "260230000000Z", "2601010000Z", "260101000000", "26010100000xZ"]
        {
            assert_eq!(
                read(&asn1::tlv(asn1::UTC_TIME, &[bad.as_bytes()])),
                Err(Malformed),
                "{bad}"
            );
        }
    }
}
