//! One frame: from its type to the facts in it.

use std::sync::Arc;

use broker_adapter::Frame;
use schemas::frame::{
    self, DispatchFrame, EvidenceFrame, RecallFrame, RecollectionFrame, StatusFrame,
};
use schemas::ids::NodeId;
use schemas::problem::Code;
use schemas::time::Timestamp;
use signing::encrypt::{EncryptionKey, StorageKey};
use signing::seal::{Opened, SealError};
use signing::trust::SealVerifier;

use crate::directory::Snapshot;
use crate::engine::item::SealedBytes;
use crate::inbound::Unbelieved;
use crate::inbound::dispatch::Found;

/// What checking needs. Shared by all frames of a batch.
#[derive(Debug)]
pub struct Checker {
    /// This node.
    pub node: NodeId,
    /// Opens seals and follows paths, with a cache.
    pub verifier: Arc<SealVerifier>,
    /// The directory.
    pub snapshot: Arc<Snapshot>,
    /// Opens key envelopes.
    pub encryption: Arc<EncryptionKey>,
    /// Wraps document keys at rest.
    pub storage: Arc<StorageKey>,
    /// Largest difference between a peer's time and ours, in milliseconds.
    pub max_skew: i64,
    /// Now.
    pub now: Timestamp,
}

/// What a frame holds, verified.
#[derive(Debug)]
pub enum Checked {
    /// A dispatch with its content.
    Dispatch(Box<Found>),
    /// Evidence, oldest first.
    Evidence(Vec<super::evidence::Claim>),
    /// A business status.
    Status(Box<super::status::Claim>),
    /// A node was restored and asks, or has been told everything.
    Recall(Box<schemas::recall::Recall>),
    /// What a neighbour holds about a delivery.
    Recollection(Box<super::recollection::Recollection>),
}

/// A sealed object, opened, and the node that sealed it.
#[derive(Debug)]
pub struct Sealed {
    /// What the seal holds.
    pub opened: Opened,
    /// The node whose certificate it is.
    pub by: NodeId,
    /// The bytes.
    pub bytes: SealedBytes,
}

impl Checker {
    /// Checks one frame.
    ///
    /// # Errors
    /// [`Unbelieved`] when it has to be set aside.
    pub fn check(&self, frame: &Frame) -> Result<Checked, Unbelieved> {
        let kind = frame.attributes.iter().find(|(name, _)| name == "type");
        let body = &frame.body;
        let malformed = |e: frame::BadFrame| Unbelieved::new(Code::FrameMalformed, e.to_string());
        match kind.map(|(_, value)| value.as_str()) {
            Some(frame::DISPATCH) => {
                let body: DispatchFrame = frame::decode(body).map_err(malformed)?;
                self.check_dispatch(body)
            }
            Some(frame::EVIDENCE) => {
                let body: EvidenceFrame = frame::decode(body).map_err(malformed)?;
                let claims = body.evidence.into_iter().map(|p7m| self.evidence(p7m.0));
                claims.collect::<Result<_, _>>().map(Checked::Evidence)
            }
            Some(frame::STATUS) => {
                let body: StatusFrame = frame::decode(body).map_err(malformed)?;
                self.status(body.status.0).map(|claim| Checked::Status(Box::new(claim)))
            }
            Some(frame::RECALL) => {
                let body: RecallFrame = frame::decode(body).map_err(malformed)?;
                self.recall(body).map(|recall| Checked::Recall(Box::new(recall)))
            }
            Some(frame::RECOLLECTION) => {
                let body: RecollectionFrame = frame::decode(body).map_err(malformed)?;
                self.recollection(body).map(|one| Checked::Recollection(Box::new(one)))
            }
            other => {
                let detail = format!("no such type of frame: {other:?}");
                Err(Unbelieved::new(Code::FrameMalformed, detail))
            }
        }
    }

    /// Checks the body of a dispatch frame.
    ///
    /// # Errors
    /// As [`Checker::check`].
    pub fn check_dispatch(&self, body: DispatchFrame) -> Result<Checked, Unbelieved> {
        self.dispatch(body).map(|found| Checked::Dispatch(Box::new(found)))
    }

    /// Opens a seal and finds the node that it belongs to.
    pub(super) fn open(&self, p7m: Vec<u8>) -> Result<Sealed, Unbelieved> {
        let opened = self
            .verifier
            .verify(&p7m, self.now)
            .map_err(|e| Unbelieved::new(seal_code(&e), format!("{}: {e}", e.code())))?;
        let by = self.sealer_of(&opened)?;
        let sha256 = signing::digest::sha256(&p7m);
        let bytes = SealedBytes { p7m: Arc::new(p7m), sha256, sealed_at: opened.signing_time };
        Ok(Sealed { opened, by, bytes })
    }

    fn sealer_of(&self, opened: &Opened) -> Result<NodeId, Unbelieved> {
        let nodes = self.snapshot.root().nodes.iter();
        let mut own =
            nodes.filter(|entry| entry.seal_certificates.iter().any(|c| c.0 == opened.signer.der));
        own.next().map(|entry| entry.id.clone()).ok_or_else(|| {
            let detail = format!("{} is not in the directory", opened.signer.subject);
            Unbelieved::new(Code::PeerUnknown, detail)
        })
    }
}

/// The code of a seal that does not verify: its certificate, or the seal itself.
#[must_use]
pub fn seal_code(error: &SealError) -> Code {
    match error {
        SealError::Path(_) => Code::CertificateInvalid,
        _ => Code::SealInvalid,
    }
}
