//! Between domain types and columns.

use schemas::digest::Digest;
use schemas::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StoreError;

/// JSON text of a value that has one. Writing to memory cannot fail, and no stored type has maps
/// with other keys than texts; an empty text would be found corrupt at the first read.
pub(crate) fn json_text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Reads JSON text of a column.
pub(crate) fn from_json<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| StoreError::Corrupt(format!("{what}: {e}")))
}

/// Reads an identifier of a column.
pub(crate) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    what: &str,
    text: &str,
) -> Result<T, StoreError> {
    text.parse().map_err(|e| StoreError::Corrupt(format!("{what}: {e}")))
}

/// Reads a digest of a column.
pub(crate) fn digest(bytes: &[u8]) -> Result<Digest, StoreError> {
    Digest::from_slice(bytes)
        .ok_or_else(|| StoreError::Corrupt(format!("a digest of {} octets", bytes.len())))
}

/// A time of a column.
pub(crate) fn time(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A size as the databases store it.
pub(crate) fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// A size as it was stored.
pub(crate) fn unsigned(size: i64) -> u64 {
    u64::try_from(size).unwrap_or(0)
}
