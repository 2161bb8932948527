//! Drafts of evidence: everything but the issuer's seal.

use schemas::digest::Digest;
use schemas::event::{Event, Reason};
use schemas::evidence::{
    EntityDetails, EventReason, EventReasons, Evidence, Extension, Extensions, POLICY, PolicyIds,
    Subject, UserDetails, VERSION,
};
use schemas::ids::{DeliveryId, EvidenceId, NodeId};
use schemas::problem::Code;
use schemas::time::Timestamp;

use crate::state::Phase;

/// What comes before this evidence in its delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Previous {
    /// Nothing that this node knows.
    Nothing,
    /// An evidence that is sealed already.
    Sealed(Digest),
    /// The draft at this position of the same decision.
    Draft(usize),
}

/// An evidence to be sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceDraft {
    /// G01, derived: a replay cannot mint another.
    pub id: EvidenceId,
    /// G03.
    pub event: Event,
    /// G04: reasons, the first one ruling.
    pub reasons: Vec<Reason>,
    /// Stable problem code behind a negative event.
    pub problem: Option<Code>,
    /// A sentence for people, at most 1,000 characters, such as the recipient's words.
    pub detail: Option<String>,
    /// G05.
    pub at: Timestamp,
    /// The delivery; none for A.1 and A.2, which are about the whole submission.
    pub delivery: Option<DeliveryId>,
    /// Position of the addressee from 0, for families C, D and E (I09).
    pub recipient_index: Option<u32>,
    /// Whether the addressee was authenticated for this act (I12: C.3, C.4, E.1).
    pub recipient_authenticated: bool,
    /// M05, for family B.
    pub external: Option<NodeId>,
    /// M04, for family F.
    pub forwarded: Option<String>,
    /// Whether a node vouches for the sender (I10): not in F.3.
    pub sender_authenticated: bool,
    /// Hop of the issuer.
    pub hop: u8,
    /// State that this evidence brings about.
    pub state: Phase,
    /// Link to the evidence before.
    pub previous: Previous,
}

impl EvidenceDraft {
    /// The evidence as `issuer` seals it. `previous` is the digest that [`Previous`] stands for.
    #[must_use]
    pub fn evidence(
        &self,
        issuer: &NodeId,
        subject: &Subject,
        previous: Option<Digest>,
    ) -> Evidence {
        let recipient_details = subject
            .recipients
            .iter()
            .enumerate()
            .map(|(i, party)| {
                let this = self.recipient_index.is_some_and(|r| r as usize == i);
                UserDetails::party(party, (this && self.recipient_authenticated).then_some(self.at))
            })
            .collect();
        Evidence {
            version: VERSION.to_owned(),
            evidence_identifier: self.id,
            erds_event_id: self.event.uri(),
            event_reasons: self.event_reasons(),
            event_time: self.at,
            evidence_issuer_policy_id: PolicyIds { policy_id: vec![POLICY.to_owned()] },
            evidence_issuer_details: EntityDetails::node(issuer),
            sender_details: UserDetails::party(
                &subject.sender,
                self.sender_authenticated.then_some(subject.authenticated_at),
            ),
            recipient_details,
            submission_time: Some(subject.submitted_at),
            evidence_refers_to_recipient: match self.event.family() {
                'C' | 'D' | 'E' => self.recipient_index.map(|i| i + 1),
                _ => None,
            },
            message_identifier: subject.message_id,
            user_content_info: subject.content.clone(),
            external_erds_details: self.external.as_ref().map(EntityDetails::node),
            forwarded_to_external_system: self.forwarded.clone(),
            extensions: Extensions {
                extension: vec![Extension {
                    is_critical: false,
                    delivery_identifier: self.delivery,
                    previous_evidence_digest: previous,
                    hop: self.hop,
                    state: self.state.name().to_owned(),
                }],
            },
        }
    }

    fn event_reasons(&self) -> Option<EventReasons> {
        let event_reason: Vec<_> = self
            .reasons
            .iter()
            .enumerate()
            .map(|(i, reason)| {
                let mut details = vec![reason.code().to_owned()];
                if i == 0 {
                    details.extend(self.problem.map(|c| c.as_str().to_owned()));
                    details.extend(self.detail.clone());
                }
                EventReason { code: reason.uri(), details }
            })
            .collect();
        (!event_reason.is_empty()).then_some(EventReasons { event_reason })
    }
}
