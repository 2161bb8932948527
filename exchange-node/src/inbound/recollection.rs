//! Recalls and recollections: a node that was restored from a backup, and its neighbours.

use schemas::evidence::UserContentInfo;
use schemas::frame::{DispatchFrame, RecallFrame, RecollectionFrame};
use schemas::problem::Code;
use schemas::recall::Recall;

use crate::engine::item::{Fact, Work};
use crate::inbound::Unbelieved;
use crate::inbound::check::Checker;
use crate::inbound::dispatch::Found;
use crate::inbound::evidence::Claim;

/// What a neighbour holds about a delivery, verified.
#[derive(Debug)]
pub struct Recollection {
    /// The dispatch.
    pub found: Found,
    /// The evidence.
    pub evidence: Vec<Claim>,
    /// The dispatch as a frame, in case this node has never said anything about it.
    pub plain: DispatchFrame,
}

impl Checker {
    /// Opens a recall.
    pub(super) fn recall(&self, body: RecallFrame) -> Result<Recall, Unbelieved> {
        let sealed = self.open(body.recall.0)?;
        let malformed = |e| Unbelieved::new(Code::FrameMalformed, format!("not a recall: {e}"));
        let recall: Recall = serde_json::from_slice(&sealed.opened.content).map_err(malformed)?;
        if recall.node != sealed.by || recall.to != self.node || recall.version != 1 {
            let detail = format!("a recall of {} for {}", recall.node, recall.to);
            return Err(Unbelieved::new(Code::SealInvalid, detail));
        }
        Ok(recall)
    }

    /// Opens a recollection: its parts are sealed each for itself.
    pub(super) fn recollection(&self, body: RecollectionFrame) -> Result<Recollection, Unbelieved> {
        let RecollectionFrame { dispatch, inline, relays, evidence } = body;
        let plain = DispatchFrame { dispatch, inline, relays };
        let found = self.dispatch(plain.clone())?;
        let content = UserContentInfo::of(&found.arrived.envelope.documents);
        let mut claims = Vec::with_capacity(evidence.len());
        for p7m in evidence {
            let mut claim = self.evidence(p7m.0)?;
            claim.received.fact.same_content = claim.delivery == found.delivery
                && claim.message == found.arrived.envelope.message_id
                && claim.content == content;
            claims.push(claim);
        }
        Ok(Recollection { found, evidence: claims, plain })
    }
}

impl Recollection {
    /// Whether the node `me` has sent it, or has said something about it.
    #[must_use]
    pub fn concerns(&self, me: &schemas::ids::NodeId) -> bool {
        self.found.arrived.origin == *me
            || self.evidence.iter().any(|claim| claim.received.fact.issuer == *me)
    }

    /// The work for the engine.
    #[must_use]
    pub fn into_work(self) -> Work {
        let evidence = self.evidence.into_iter().map(|claim| claim.received).collect();
        let arrived = Box::new(self.found.arrived);
        Work::new(self.found.delivery, Fact::Recollected(arrived, evidence))
    }
}
