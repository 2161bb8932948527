//! The rules of this node: what does not come from the catalogue.

use schemas::time::{HOUR, MINUTE};

/// Limits and spans, in milliseconds where nothing else is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Attempts to publish that double their wait up to `relay_interval`. After them, one attempt
    /// in four intervals until the démarche's time to send has passed.
    pub relay_attempts: u32,
    /// Longest wait between two attempts.
    pub relay_interval: i64,
    /// First wait between two attempts; doubles up to `relay_interval`.
    pub relay_first_wait: i64,
    /// Past this age of unanchored evidence, new submissions are refused.
    pub max_unanchored_age: i64,
    /// Largest difference between a peer's time and ours.
    pub max_skew: i64,
    /// Most hops.
    pub max_hops: u8,
    /// Largest message that this node takes, in bytes.
    pub max_message_size: u64,
    /// The system outside of the network to which a gateway of this node takes what is for nobody
    /// in the directory (row 18). Without one, such a recipient is unknown.
    pub gateway: Option<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            relay_attempts: 8,
            relay_interval: 30 * MINUTE,
            relay_first_wait: MINUTE,
            max_unanchored_age: 4 * HOUR,
            max_skew: 5 * MINUTE,
            max_hops: 4,
            max_message_size: 8 * 1024 * 1024 * 1024,
            gateway: None,
        }
    }
}
