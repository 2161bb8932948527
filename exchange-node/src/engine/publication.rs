//! What a publish effect holds: sealed objects and where they go, never a document.

use broker_adapter::Lane;
use schemas::bytes::Octets;
use schemas::dispatch::ContentRef;
use schemas::ids::{DeliveryId, EvidenceId, MessageId, NodeId};
use schemas::trace::TraceContext;
use serde::{Deserialize, Deserializer, Serialize};

/// One frame to be published (or several, when content travels by itself). Used in stored state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// Stable frame id.
    pub frame: String,
    /// Destination.
    pub to: NodeId,
    /// The message.
    pub message: MessageId,
    /// The delivery.
    pub delivery: DeliveryId,
    /// Order key on the backbone.
    pub conversation: String,
    /// What travels.
    pub what: Payload,
    /// The span that brought it about: kept here, so that a trace outlives a restart.
    #[serde(default, deserialize_with = "context", skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
}

/// Nothing that a trace says may keep what is stored with it from going on.
pub(crate) fn context<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<TraceContext>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

/// What travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// A dispatch and the ciphertexts that go with it.
    Dispatch {
        /// The sealed dispatch.
        dispatch: Part,
        /// Ciphertexts, in the order of the dispatch.
        content: Vec<ContentRef>,
        /// Whether they travel inside the frame.
        inline: bool,
        /// The sealed B.1 of each node that has relayed it, this one included.
        #[serde(default)]
        relays: Vec<Part>,
    },
    /// Sealed evidence, oldest first.
    Evidence(Vec<Part>),
    /// A sealed business status.
    Status(Part),
}

/// A sealed object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// Its bytes.
    Bytes(Octets),
    /// Look it up in the archive.
    Stored(EvidenceId),
}

impl Payload {
    /// The lane it travels on.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        match self {
            Self::Dispatch { .. } => Lane::Message,
            Self::Evidence(_) | Self::Status(_) => Lane::Evidence,
        }
    }

    /// Whether content goes before the frame, by itself.
    #[must_use]
    pub const fn travels_apart(&self) -> bool {
        matches!(self, Self::Dispatch { inline: false, .. })
    }

    /// The objects that have to be looked up.
    pub fn stored(&self) -> impl Iterator<Item = EvidenceId> {
        let (first, rest) = match self {
            Self::Dispatch { dispatch, relays, .. } => (Some(dispatch), relays.as_slice()),
            Self::Evidence(parts) => (None, parts.as_slice()),
            Self::Status(part) => (Some(part), [].as_slice()),
        };
        first.into_iter().chain(rest).filter_map(|part| match part {
            Part::Stored(id) => Some(*id),
            Part::Bytes(_) => None,
        })
    }
}

impl Publication {
    /// As it is stored.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        schemas::frame::encode(self)
    }

    /// Reads a stored publication.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        ciborium::from_reader(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication(trace: Option<TraceContext>) -> Publication {
        Publication {
            frame: "evidence-1".to_owned(),
            to: "cd-34".parse().unwrap(),
            message: MessageId(uuid::Uuid::nil()),
            delivery: DeliveryId(uuid::Uuid::nil()),
            conversation: "c".to_owned(),
            what: Payload::Evidence(Vec::new()),
            trace,
        }
    }

    #[test]
    fn a_trace_is_stored_with_it_and_without_one_the_bytes_are_those_of_earlier_releases() {
        let traced = publication(TraceContext::new([1; 16], [2; 8], true));
        assert_eq!(Publication::from_bytes(&traced.to_bytes()), Some(traced.clone()));
        let plain = publication(None).to_bytes();
        let mut fields: std::collections::BTreeMap<String, ciborium::Value> =
            ciborium::from_reader(plain.as_slice()).unwrap();
        let names: Vec<_> = fields.keys().map(String::as_str).collect();
        assert_eq!(names, ["conversation", "delivery", "frame", "message", "to", "what"]);
        fields.insert("trace".to_owned(), ciborium::Value::Text("no trace".to_owned()));
        let odd = schemas::frame::encode(&fields);
        assert_eq!(Publication::from_bytes(&odd), Some(publication(None)));
    }
}
