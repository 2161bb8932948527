//! GeneralizedTime with a fraction of a second, as RFC 3161 §2.4.2 allows in `genTime`.
//!
//! `der::asn1::GeneralizedTime` follows RFC 5280, which forbids fractions; tokens carry them.

use std::time::Duration;

use der::{DateTime, DecodeValue, EncodeValue, FixedTag, Header, Length, Reader, Tag, Writer};
use schemas::time::Timestamp;

/// An instant in UTC, to the nanosecond. Its DER form is unique, so reading and writing are
/// inverse of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GenTime {
    secs: u64,
    nanos: u32,
}

impl GenTime {
    /// The instant in milliseconds, rounded down.
    #[must_use]
    pub fn timestamp(self) -> Timestamp {
        let millis =
            self.secs.saturating_mul(1000).saturating_add(u64::from(self.nanos / 1_000_000));
        Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    }

    fn text(self) -> der::Result<String> {
        let t = DateTime::from_unix_duration(Duration::new(self.secs, 0))?;
        let date = format!("{:04}{:02}{:02}", t.year(), t.month(), t.day());
        let time = format!("{:02}{:02}{:02}", t.hour(), t.minutes(), t.seconds());
        let fraction = format!("{:09}", self.nanos);
        let fraction = fraction.trim_end_matches('0');
        let dot = if fraction.is_empty() { "" } else { "." };
        Ok(format!("{date}{time}{dot}{fraction}Z"))
    }

    /// `YYYYMMDDHHMMSS[.f...]Z`, the fraction without trailing zeros (X.690 §11.7).
    fn parse(text: &str) -> Option<Self> {
        let body = text.strip_suffix('Z')?;
        let (whole, fraction) = match body.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() && !fraction.ends_with('0') => {
                (whole, fraction)
            }
            Some(_) => return None,
            None => (body, ""),
        };
        if whole.len() != 14 || fraction.len() > 9 || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let part = |from: usize, to: usize| whole.get(from..to)?.parse::<u8>().ok();
        let year = whole.get(..4)?.parse().ok()?;
        let date = DateTime::new(
            year,
            part(4, 6)?,
            part(6, 8)?,
            part(8, 10)?,
            part(10, 12)?,
            part(12, 14)?,
        );
        let nanos = format!("{fraction:0<9}").parse().ok()?;
        Some(Self { secs: date.ok()?.unix_duration().as_secs(), nanos })
    }
}

impl From<Timestamp> for GenTime {
    /// Instants before 1970 become 1970.
    fn from(at: Timestamp) -> Self {
        let millis = u64::try_from(at.millis()).unwrap_or(0);
        let nanos = u32::try_from(millis % 1000 * 1_000_000).unwrap_or(0);
        Self { secs: millis / 1000, nanos }
    }
}

impl FixedTag for GenTime {
    const TAG: Tag = Tag::GeneralizedTime;
}

impl<'a> DecodeValue<'a> for GenTime {
    type Error = der::Error;

    fn decode_value<R: Reader<'a>>(reader: &mut R, header: Header) -> der::Result<Self> {
        let bytes = reader.read_vec(header.length())?;
        let text = std::str::from_utf8(&bytes).ok();
        text.and_then(Self::parse).ok_or_else(|| Self::TAG.value_error().into())
    }
}

impl EncodeValue for GenTime {
    fn value_len(&self) -> der::Result<Length> {
        Length::try_from(self.text()?.len())
    }

    fn encode_value(&self, writer: &mut impl Writer) -> der::Result<()> {
        writer.write(self.text()?.as_bytes())
    }
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use der::{Decode, Encode};

    fn from_text(text: &str) -> Option<GenTime> {
        let mut bytes = vec![0x18, u8::try_from(text.len()).unwrap()];
        bytes.extend_from_slice(text.as_bytes());
        let time = GenTime::from_der(&bytes).ok()?;
        assert_eq!(time.to_der().unwrap(), bytes, "the form is unique");
        Some(time)
    }

    #[test]
    fn reads_what_authorities_write() {
        let millis = |text| from_text(text).map(|t| t.timestamp().millis());
        assert_eq!(millis("20261123140607Z"), Some(1_795_442_767_000));
        assert_eq!(millis("20261123140607.068Z"), Some(1_795_442_767_068));
        assert_eq!(millis("20261123140607.123456789Z"), Some(1_795_442_767_123));
    }

    #[test]
    fn refuses_forms_outside_der() {
        for text in [
            "20261123140607.0Z",
            "20261123140607.Z",
            "20261123140607.120Z",
            "20261123140607",
            "20261123140607+0100",
            "202611231406Z",
            "20261323140607Z",
            "20261123140607.1234567891Z",
            "2026112314060é",
        ] {
            assert_eq!(from_text(text), None, "{text}");
        }
    }

    #[test]
    fn from_milliseconds_and_back() {
        let at = Timestamp::from_millis(1_795_442_767_120);
        assert_eq!(GenTime::from(at).timestamp(), at);
        assert_eq!(GenTime::from(at).text().unwrap(), "20261123140607.12Z");
    }
}
