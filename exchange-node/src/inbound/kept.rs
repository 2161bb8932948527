//! Frames that were set aside, kept whole: an operator may have one looked at again, when what kept
//! it from being believed has changed.

use std::sync::Arc;

use broker_adapter::{Frame, Lane, Receipt, Received};
use bytes::Bytes;
use schemas::bytes::Octets;
use serde::{Deserialize, Serialize};

use super::consumer::{Again, Fate, believe, place};
use super::trace::Receiving;
use crate::node::Node;

/// A frame as it came. Used in stored state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Name of its lane.
    pub lane: String,
    /// Its id.
    pub id: String,
    /// Its conversation.
    pub key: String,
    /// Its other attributes.
    pub attributes: Vec<(String, String)>,
    /// Its body.
    pub body: Octets,
}

impl Kept {
    /// All of a frame.
    #[must_use]
    pub fn of(lane: Lane, frame: &Frame) -> Self {
        Self {
            lane: lane.to_string(),
            id: frame.id.clone(),
            key: frame.key.clone(),
            attributes: frame.attributes.clone(),
            body: Octets(frame.body.to_vec()),
        }
    }

    /// As it is stored.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        schemas::frame::encode(self)
    }

    /// Reads what is stored; none when it is something else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        ciborium::from_reader(bytes).ok()
    }

    fn lane(&self) -> Option<Lane> {
        Lane::ALL.into_iter().find(|lane| lane.as_str() == self.lane)
    }

    fn received(self) -> Received {
        let Self { id, key, attributes, body, .. } = self;
        let frame = Frame { id, attributes, key, body: Bytes::from(body.0) };
        Received { frame, receipt: Receipt::new(0, 0), redelivered: true, returned: None }
    }
}

/// Looks at it as if it came from its lane now; what it came to. None for a lane that is not one.
pub(crate) async fn once_more(node: &Arc<Node>, kept: Kept) -> Result<Option<Fate>, Again> {
    let Some(lane) = kept.lane() else { return Ok(None) };
    let batch = [kept.received()];
    let receiving = Receiving::begin(&node.tracer, lane, &batch);
    let fates = match lane {
        Lane::Content => {
            let mut assembly = node.assembly().map_err(|e| Again::Engine(e.to_string()))?;
            place(node, &mut assembly, &batch).await?
        }
        Lane::Message | Lane::Evidence => believe(node, &batch, &receiving).await?,
    };
    receiving.end(&fates);
    Ok(fates.into_iter().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_kept_whole() {
        let frame = Frame {
            id: "dispatch-1".to_owned(),
            attributes: vec![("type".to_owned(), "fr.pli.dispatch.v1".to_owned())],
            key: "c".to_owned(),
            body: Bytes::from(vec![7; 1 << 20]),
        };
        for lane in Lane::ALL {
            let kept = Kept::from_bytes(&Kept::of(lane, &frame).to_bytes()).unwrap();
            assert_eq!(kept.lane(), Some(lane));
            assert_eq!(kept.received().frame, frame);
        }
        assert_eq!(Kept::from_bytes(&frame.body), None, "what an earlier release kept");
    }
}
