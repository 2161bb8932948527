//! Business statuses from other nodes.

use schemas::ids::DeliveryId;
use schemas::problem::Code;
use schemas::status::StatusUpdate;

use crate::engine::item::{Fact, SealedBytes};
use crate::inbound::Unbelieved;
use crate::inbound::check::Checker;

/// A business status and what it is about.
#[derive(Debug)]
pub struct Claim {
    /// The delivery.
    pub delivery: DeliveryId,
    /// What it says.
    pub update: StatusUpdate,
    /// The sealed object.
    pub sealed: SealedBytes,
}

impl Claim {
    /// The fact for the engine.
    #[must_use]
    pub fn fact(self) -> Fact {
        Fact::Status { by: self.update.author, status: self.update.status, sealed: self.sealed }
    }
}

impl Checker {
    /// Opens a status. Its author must be a member of the node that seals it.
    pub(super) fn status(&self, p7m: Vec<u8>) -> Result<Claim, Unbelieved> {
        let sealed = self.open(p7m)?;
        let update: StatusUpdate = serde_json::from_slice(&sealed.opened.content)
            .map_err(|e| Unbelieved::new(Code::FrameMalformed, format!("not a status: {e}")))?;
        let member = self.snapshot.directory.member(&update.author.organisation());
        let own = member.is_some_and(|m| *m.node == sealed.by);
        if !own || update.node != sealed.by {
            let detail = format!("{} does not speak for {}", sealed.by, update.author);
            return Err(Unbelieved::new(Code::NotAuthorised, detail));
        }
        Ok(Claim { delivery: update.delivery_id, update, sealed: sealed.bytes })
    }
}
