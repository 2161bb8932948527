//! What travels on a backbone, and what is said about it.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use schemas::ids::NodeId;

pub use schemas::frame::MAX_FRAME;

/// A subscription hands out at most this much at once, unless a single frame is larger.
pub const MAX_BATCH_BYTES: usize = 8 * 1024 * 1024;

/// Longest [`Frame::id`] and [`Frame::key`] in bytes (an AMQP short string).
const MAX_NAME: usize = 255;

/// The three lanes of a node, so that acknowledgements never wait behind large content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Dispatches and business statuses.
    Message,
    /// Parts of large documents.
    Content,
    /// Evidence, and on AMQP the frames that were returned.
    Evidence,
}

impl Lane {
    /// All lanes.
    pub const ALL: [Self; 3] = [Self::Message, Self::Content, Self::Evidence];

    /// As it stands in the names of topics and queues.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Content => "content",
            Self::Evidence => "evidence",
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A lane of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// The node that reads it.
    pub node: NodeId,
    /// Which of its lanes.
    pub lane: Lane,
}

/// A lane that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Whose, and which.
    pub lane: Destination,
    /// For how long.
    pub away: Duration,
    /// What the broker said last.
    pub why: String,
}

#[cfg(any(feature = "amqp", feature = "kafka"))]
impl Destination {
    /// `<node>.<lane>`, the routing key of AMQP and the end of a Kafka topic's name.
    pub(crate) fn name(&self) -> String {
        format!("{}.{}", self.node, self.lane)
    }
}

/// A CloudEvents 1.0 event in binary mode.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// `ce_id`: stable over every repetition; 1 to 255 bytes.
    pub id: String,
    /// The other attributes, names without prefix: `source`, `type`, `time`, `traceparent`,
    /// `plimessage`, `plito`... Names are 1 to 64 of `a-z 0-9` (CloudEvents 1.0.2 §3.1), each once.
    /// Their order is not kept. `specversion` is added and taken off on the way.
    pub attributes: Vec<(String, String)>,
    /// The conversation: frames of one key keep their order. At most 255 bytes.
    pub key: String,
    /// Any bytes.
    pub body: Bytes,
}

/// Attributes that the frame has elsewhere.
const RESERVED: [&str; 3] = ["id", "specversion", "partitionkey"];

impl Frame {
    /// Bytes that count against [`MAX_FRAME`]: body, key, id and attributes.
    #[must_use]
    pub fn size(&self) -> usize {
        let attributes: usize = self.attributes.iter().map(|(n, v)| n.len() + v.len()).sum();
        self.id.len() + self.key.len() + attributes + self.body.len()
    }

    /// The value of an attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Why this frame can go nowhere, if it cannot.
    pub(crate) fn refusal(&self) -> Option<Outcome> {
        if self.size() > MAX_FRAME {
            return Some(Outcome::TooLarge);
        }
        let invalid = |why: &str| Some(Outcome::Invalid(why.to_owned()));
        if self.id.is_empty() || self.id.len() > MAX_NAME {
            return invalid("the id must have 1 to 255 bytes");
        }
        if self.key.len() > MAX_NAME {
            return invalid("the key must have at most 255 bytes");
        }
        let mut seen = HashSet::with_capacity(self.attributes.len());
        for (name, _) in &self.attributes {
            if !attribute_name(name) {
                return invalid("an attribute name is not 1 to 64 of a-z and 0-9");
            }
            if !seen.insert(name.as_str()) {
                return invalid("an attribute stands there twice");
            }
        }
        None
    }
}

/// CloudEvents 1.0.2 §3.1: lower-case ASCII letters and digits.
fn attribute_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && !RESERVED.contains(&name)
}

/// The body is only counted: it may be long, and it is nobody's business.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("id", &self.id)
            .field("attributes", &self.attributes)
            .field("key", &self.key)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish()
    }
}

/// What became of a published frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is durable at the broker.
    Confirmed,
    /// The destination has no such lane: nothing was kept. Not for ever: its node may come.
    Unroutable,
    /// Larger than [`MAX_FRAME`], or than the broker takes: nothing was kept.
    TooLarge,
    /// The id, the key or an attribute's name is not allowed: nothing was sent. A fault of the
    /// caller.
    Invalid(String),
    /// It may or may not be there, for this reason: publish again, with the same id.
    Unknown(String),
}

/// Handle of one delivery; of use only to the subscription that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// Which connection, assignment or lease it belongs to.
    pub(crate) lot: u64,
    /// Where the frame stands in it.
    pub(crate) position: u64,
}

impl Receipt {
    /// A handle, for another implementation of [`crate::Backbone`].
    #[must_use]
    pub const fn new(lot: u64, position: u64) -> Self {
        Self { lot, position }
    }

    /// Where the frame stands in its connection, assignment or lease.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// The connection, assignment or lease.
    #[must_use]
    pub const fn lot(&self) -> u64 {
        self.lot
    }
}

/// A frame as it came. Nothing in it is to be believed before a seal in its body is verified. A
/// foreign message without an id gets one from its place, so that it can be told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The frame.
    pub frame: Frame,
    /// To acknowledge it.
    pub receipt: Receipt,
    /// A hint that it was handed out before. Kafka never knows.
    pub redelivered: bool,
    /// It is one of our own, come back because its receiver put it aside (`rejected`), or nobody
    /// took it in time (`expired`, `delivery_limit`). AMQP only.
    pub returned: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Frame {
        Frame {
            id: "1".to_owned(),
            attributes: vec![("type".to_owned(), "t".to_owned())],
            key: "k".to_owned(),
            body: Bytes::from_static(b"body"),
        }
    }

    #[test]
    fn the_limit_counts_attributes_and_is_inclusive() {
        let mut f = frame();
        assert_eq!(f.size(), 1 + 4 + 1 + 1 + 4);
        f.body = vec![0; MAX_FRAME - 7].into();
        assert_eq!(f.refusal(), None);
        f.body = vec![0; MAX_FRAME - 6].into();
        assert_eq!(f.refusal(), Some(Outcome::TooLarge));
    }

    #[test]
    fn names_that_a_broker_could_not_carry_are_refused() {
        for name in ["", "Type", "a_b", "id", "specversion", "partitionkey", "é"] {
            let mut f = frame();
            f.attributes.push((name.to_owned(), String::new()));
            assert!(matches!(f.refusal(), Some(Outcome::Invalid(_))), "{name}");
        }
        let mut twice = frame();
        twice.attributes.push(("type".to_owned(), "u".to_owned()));
        assert!(matches!(twice.refusal(), Some(Outcome::Invalid(_))));
        let long = Frame { id: "x".repeat(256), ..frame() };
        assert!(matches!(long.refusal(), Some(Outcome::Invalid(_))));
        assert!(matches!(
            Frame { id: String::new(), ..frame() }.refusal(),
            Some(Outcome::Invalid(_))
        ));
    }

    #[test]
    fn debug_does_not_show_the_body() {
        assert!(format!("{:?}", frame()).contains("4 bytes"));
    }
}
