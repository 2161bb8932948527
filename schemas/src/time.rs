//! Time as Pli writes it: RFC 3339, UTC, milliseconds (`2026-11-23T08:15:30.123Z`).
//!
//! A [`Timestamp`] is always given by the caller: nothing here reads a clock.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since 1970-01-01T00:00:00Z. Used in stored state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// One second, minute, hour and day in the unit of [`Timestamp::plus`].
pub const SECOND: i64 = 1_000;
/// One minute in milliseconds.
pub const MINUTE: i64 = 60 * SECOND;
/// One hour in milliseconds.
pub const HOUR: i64 = 60 * MINUTE;
/// One day of 24 hours in milliseconds.
pub const DAY: i64 = 24 * HOUR;

/// 0000-01-01 and 9999-12-31 in milliseconds: what RFC 3339 can write.
const BOUNDS: (i64, i64) = (-62_167_219_200_000, 253_402_300_799_999);

impl Timestamp {
    /// From milliseconds since the epoch, held within the years 0 to 9999.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        if millis < BOUNDS.0 {
            Self(BOUNDS.0)
        } else if millis > BOUNDS.1 {
            Self(BOUNDS.1)
        } else {
            Self(millis)
        }
    }

    /// From whole seconds since the epoch.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self::from_millis(secs.saturating_mul(SECOND))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(SECOND)
    }

    /// This instant moved by `millis`, which may be negative.
    #[must_use]
    pub const fn plus(self, millis: i64) -> Self {
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this instant; negative when it is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    fn datetime(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// `YYYYMMDDHHMMSS` in UTC, the start of every ASN.1 GeneralizedTime.
    #[must_use]
    pub fn compact(self) -> String {
        let t = self.datetime();
        format!(
            "{:04}{:02}{:02}{:02}{:02}{:02}",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second()
        )
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = self.datetime();
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second(),
            t.millisecond()
        )
    }
}

/// The text, cut if it is long, is not an RFC 3339 instant of the years 0 to 9999 in UTC.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time: {0:?}")]
pub struct BadTime(pub String);

impl FromStr for Timestamp {
    type Err = BadTime;

    fn from_str(text: &str) -> Result<Self, BadTime> {
        let bad = || BadTime(crate::ids::clip(text));
        let t = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| bad())?;
        let millis = i64::try_from(t.unix_timestamp_nanos().div_euclid(1_000_000));
        // An offset may lead out of the years that can be written: never read another instant.
        let inside = millis.ok().filter(|m| (BOUNDS.0..=BOUNDS.1).contains(m));
        inside.map(Self).ok_or_else(bad)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_with_three_digits_and_read_back() {
        let t = Timestamp::from_millis(1_795_422_930_120);
        assert_eq!(t.to_string(), "2026-11-23T08:35:30.120Z");
        assert_eq!(t.to_string().parse(), Ok(t));
        assert_eq!("2026-11-23T09:35:30.12+01:00".parse(), Ok(t));
        assert_eq!(t.compact(), "20261123083530");
    }

    #[test]
    fn refuses_an_instant_that_cannot_be_written_in_utc() {
        for bad in ["0000-01-01T00:00:00+00:01", "9999-12-31T23:59:59.999-00:01"] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
        for edge in ["0000-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z"] {
            assert_eq!(edge.parse::<Timestamp>().unwrap().to_string(), edge);
        }
    }

    #[test]
    fn an_error_repeats_no_long_text() {
        let error = "1".repeat(100_000).parse::<Timestamp>().unwrap_err();
        assert!(error.to_string().len() < 200);
    }

    #[test]
    fn refuses_a_time_without_zone() {
        assert!("2026-11-23T08:35:30".parse::<Timestamp>().is_err());
    }
}
