//! What a publish effect holds: sealed objects and where they go, never a document.

use schemas::bytes::Octets;
use schemas::dispatch::ContentRef;
use schemas::ids::{DeliveryId, EvidenceId, MessageId, NodeId};
use serde::{Deserialize, Serialize};

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
    /// Whether content goes before the frame, by itself.
    #[must_use]
    pub const fn travels_apart(&self) -> bool {
        matches!(self, Self::Dispatch { inline: false, .. })
    }

    /// The objects that have to be looked up.
    pub fn stored(&self) -> impl Iterator<Item = EvidenceId> {
        let parts = match self {
            Self::Dispatch { dispatch, .. } => std::slice::from_ref(dispatch),
            Self::Evidence(parts) => parts.as_slice(),
            Self::Status(part) => std::slice::from_ref(part),
        };
        parts.iter().filter_map(|part| match part {
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
