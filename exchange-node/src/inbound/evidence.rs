//! Evidence from other nodes.

use exchange_core::input::EvidenceFact;
use schemas::event::Event;
use schemas::evidence::{Evidence, UserContentInfo};
use schemas::ids::{DeliveryId, MessageId};
use schemas::problem::Code;

use crate::engine::item::Received;
use crate::inbound::Unbelieved;
use crate::inbound::check::{Checker, Sealed};

/// An evidence and what it says it is about.
#[derive(Debug)]
pub struct Claim {
    /// The delivery.
    pub delivery: DeliveryId,
    /// M01.
    pub message: MessageId,
    /// M02, to be compared with that of the message.
    pub content: UserContentInfo,
    /// The fact; `same_content` is set once the message is known.
    pub received: Received<EvidenceFact>,
}

impl Checker {
    /// Opens an evidence and checks what can be checked without the message.
    pub(super) fn evidence(&self, p7m: Vec<u8>) -> Result<Claim, Unbelieved> {
        let sealed = self.open(p7m)?;
        let evidence: Evidence = serde_json::from_slice(&sealed.opened.content)
            .map_err(|e| Unbelieved::new(Code::EvidenceMismatch, format!("not evidence: {e}")))?;
        self.claim(&evidence, sealed)
    }

    fn claim(&self, evidence: &Evidence, sealed: Sealed) -> Result<Claim, Unbelieved> {
        let mismatch = |what: &str| Unbelieved::new(Code::EvidenceMismatch, what);
        evidence.check().map_err(|e| Unbelieved::new(Code::EvidenceMismatch, e.to_string()))?;
        let event = evidence.event().ok_or_else(|| mismatch("an event of no standard"))?;
        let issuer = evidence.issuer().ok_or_else(|| mismatch("no issuer"))?;
        if issuer != sealed.by {
            return Err(mismatch("issued by one node and sealed by another"));
        }
        let ahead =
            evidence.event_time.since(self.now).max(sealed.opened.signing_time.since(self.now));
        if ahead > self.max_skew {
            let detail = format!("{ahead} ms ahead of this node's clock");
            return Err(Unbelieved::new(Code::TimestampOutOfRange, detail));
        }
        let extension = evidence.extension();
        let delivery = extension.and_then(|e| e.delivery_identifier);
        let recipient_index = match event.family() {
            'C' | 'D' | 'E' => evidence.evidence_refers_to_recipient.and_then(|n| n.checked_sub(1)),
            _ => None,
        };
        let fact = EvidenceFact {
            id: evidence.evidence_identifier,
            event,
            reason: evidence.reason(),
            issuer,
            at: evidence.event_time,
            digest: sealed.bytes.sha256,
            recipient_index,
            external: evidence.external(),
            same_content: false,
        };
        Ok(Claim {
            delivery: delivery
                .or_else(|| about_submission(event, evidence.message_identifier))
                .ok_or_else(|| mismatch("about no delivery"))?,
            message: evidence.message_identifier,
            content: evidence.user_content_info.clone(),
            received: Received { fact, sealed: sealed.bytes },
        })
    }
}

/// A.1 and A.2 are about the whole submission: any delivery of the message stands for it.
fn about_submission(event: Event, message: MessageId) -> Option<DeliveryId> {
    (event.family() == 'A').then(|| DeliveryId::derive(message, 0))
}
