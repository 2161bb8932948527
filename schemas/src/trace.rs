//! W3C Trace Context: the field `traceparent`, by which the spans of all nodes that a message
//! passes become one trace.
//!
//! It is no part of anything sealed, and anybody on the way may change it: read strictly, it is
//! two opaque numbers and one bit, believed by nobody. `tracestate` is not carried: it is the one
//! field of the standard in which free text could travel.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Name of the header of HTTP, and of the CloudEvents extension attribute (Distributed Tracing).
pub const TRACEPARENT: &str = "traceparent";

/// Length of the field in version `00` (W3C Trace Context §3.2.2).
const LENGTH: usize = 55;
/// Bit of `trace-flags` that says that the caller may have recorded its span (§3.2.2.3.1).
const SAMPLED: u8 = 1;

/// The place of one span in one trace. Used in stored state, as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace: [u8; 16],
    span: [u8; 8],
    sampled: bool,
}

/// Not a `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent")]
pub struct BadTraceparent;

impl TraceContext {
    /// A place. None for an identifier of zeros alone, which means none (§3.2.2.3, §3.2.2.4).
    #[must_use]
    pub fn new(trace: [u8; 16], span: [u8; 8], sampled: bool) -> Option<Self> {
        (trace != [0; 16] && span != [0; 8]).then_some(Self { trace, span, sampled })
    }

    /// Another span of the same trace; none for a span of zeros.
    #[must_use]
    pub fn with_span(self, span: [u8; 8], sampled: bool) -> Option<Self> {
        Self::new(self.trace, span, sampled)
    }

    /// Reads the value of one field: lower-case hexadecimal and nothing around it (§3.2.1). A later
    /// version is read as far as this one goes, as the standard has it (§3.2.4).
    ///
    /// # Errors
    /// [`BadTraceparent`] for anything else; whoever reads it goes on without.
    pub fn parse(text: &str) -> Result<Self, BadTraceparent> {
        let bytes = text.as_bytes();
        let (head, rest) = bytes.split_at_checked(LENGTH).ok_or(BadTraceparent)?;
        let fields: [&[u8]; 4] = split(head).ok_or(BadTraceparent)?;
        let [version, trace, span, flags] = fields;
        let [version] = octets::<1>(version).ok_or(BadTraceparent)?;
        let longer = version > 0 && rest.first() == Some(&b'-');
        if version == 0xff || !(rest.is_empty() || longer) {
            return Err(BadTraceparent);
        }
        let trace = octets(trace).ok_or(BadTraceparent)?;
        let span = octets(span).ok_or(BadTraceparent)?;
        let [flags] = octets::<1>(flags).ok_or(BadTraceparent)?;
        Self::new(trace, span, flags & SAMPLED == SAMPLED).ok_or(BadTraceparent)
    }

    /// `trace-id`.
    #[must_use]
    pub const fn trace(&self) -> [u8; 16] {
        self.trace
    }

    /// `parent-id` of whoever reads it.
    #[must_use]
    pub const fn span(&self) -> [u8; 8] {
        self.span
    }

    /// Whether whoever wrote it says that its span was recorded.
    #[must_use]
    pub const fn sampled(&self) -> bool {
        self.sampled
    }
}

/// The four fields of a value that has the length of one.
fn split(head: &[u8]) -> Option<[&[u8]; 4]> {
    let mut fields = head.split(|byte| *byte == b'-');
    let four = [fields.next()?, fields.next()?, fields.next()?, fields.next()?];
    fields.next().is_none().then_some(four)
}

/// Exactly `N` octets in lower-case hexadecimal.
fn octets<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != 2 * N || text.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let mut out = [0; N];
    hex::decode_to_slice(text, &mut out).ok()?;
    Some(out)
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, span) = (hex::encode(self.trace), hex::encode(self.span));
        write!(f, "00-{trace}-{span}-{:02x}", u8::from(self.sampled))
    }
}

impl FromStr for TraceContext {
    type Err = BadTraceparent;

    fn from_str(text: &str) -> Result<Self, BadTraceparent> {
        Self::parse(text)
    }
}

impl Serialize for TraceContext {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceContext {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of W3C Trace Context §3.2.3.
    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_example_of_the_standard_is_read_and_written_as_it_stands() {
        let context = TraceContext::parse(EXAMPLE).unwrap();
        assert_eq!(context.to_string(), EXAMPLE);
        assert!(context.sampled());
        let other = TraceContext::parse(&EXAMPLE.replace("-01", "-00")).unwrap();
        assert!(!other.sampled());
        assert_eq!(other.trace(), context.trace());
        let json = serde_json::to_string(&context).unwrap();
        assert_eq!(serde_json::from_str::<TraceContext>(&json).unwrap(), context);
    }

    #[test]
    fn unknown_flags_and_later_versions_are_read_as_far_as_they_are_known() {
        for value in [
            EXAMPLE.replace("-01", "-03"),
            EXAMPLE.replace("-01", "-ff"),
            format!("cc{}", EXAMPLE.strip_prefix("00").unwrap()),
            format!("cc{}-what-comes-later", EXAMPLE.strip_prefix("00").unwrap()),
        ] {
            let context = TraceContext::parse(&value).unwrap();
            assert_eq!(context.to_string(), EXAMPLE, "{value}");
        }
    }

    #[test]
    fn whatever_else_comes_is_no_context() {
        let with = |from: &str, to: &str| EXAMPLE.replace(from, to);
        let hostile = [
            String::new(),
            "00".to_owned(),
            "-".repeat(LENGTH),
            format!("{EXAMPLE}-"),
            format!("{EXAMPLE}-00"),
            format!(" {EXAMPLE}"),
            format!("{EXAMPLE} "),
            format!("{EXAMPLE}\r\nx: y"),
            with("00-4b", "ff-4b"),
            with("00-4b", "0x-4b"),
            with("4bf92f", "4BF92F"),
            with("00f067aa0ba902b7", "00F067AA0BA902B7"),
            with("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            with("00f067aa0ba902b7", &"0".repeat(16)),
            with("4bf92f", "4bg92f"),
            with("-01", "-0g"),
            with("-01", "-1-"),
            with("-01", "001"),
            with("4736-", "4736_"),
            "é".repeat(LENGTH / 2) + "0",
            format!("{EXAMPLE},{EXAMPLE}"),
            "0".repeat(1 << 20),
        ];
        for value in hostile {
            let shown: String = value.chars().take(80).collect();
            assert_eq!(TraceContext::parse(&value), Err(BadTraceparent), "{shown}");
        }
    }
}
