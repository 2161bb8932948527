//! Business status: what becomes of a message after its handover. Signed, but no ERDS evidence.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::{Invalid, MAX_CODE, MAX_PROSE, Rule};
use crate::digest::Digest;
use crate::ids::{DeliveryId, MessageId, NodeId};
use crate::party::Party;
use crate::time::Timestamp;

/// The statuses, with the HubEE V1 names they map to. Used in stored state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BusinessStatus {
    /// SI_RECEIVED, set by the recipient.
    Received,
    /// IN_PROGRESS, set by the recipient.
    InProgress,
    /// ADD_AWAITING: a complement is asked for; set by the recipient.
    AddAwaiting,
    /// DONE, set by the recipient.
    Done,
    /// REFUSED, set by the recipient.
    Refused,
    /// SI_INTG_ERROR: the recipient's software cannot integrate the message.
    IntegrationError,
    /// CLOSED, set by the sender.
    Closed,
    /// Opened again by the sender.
    Reopened,
}

/// The two sides of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Who sent the message.
    Sender,
    /// Who received it.
    Recipient,
}

impl Role {
    /// The word in an English sentence after "for the".
    #[must_use]
    pub const fn en(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::Recipient => "recipient",
        }
    }

    /// The word in a French sentence after "ne relève pas".
    #[must_use]
    pub const fn fr(self) -> &'static str {
        match self {
            Self::Sender => "de l'expéditeur",
            Self::Recipient => "du destinataire",
        }
    }
}

impl BusinessStatus {
    /// All statuses.
    pub const ALL: [Self; 8] = [
        Self::Received,
        Self::InProgress,
        Self::AddAwaiting,
        Self::Done,
        Self::Refused,
        Self::IntegrationError,
        Self::Closed,
        Self::Reopened,
    ];

    /// The name as it is written in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::InProgress => "in_progress",
            Self::AddAwaiting => "add_awaiting",
            Self::Done => "done",
            Self::Refused => "refused",
            Self::IntegrationError => "integration_error",
            Self::Closed => "closed",
            Self::Reopened => "reopened",
        }
    }

    /// The side that may set it.
    #[must_use]
    pub const fn set_by(self) -> Role {
        match self {
            Self::Closed | Self::Reopened => Role::Sender,
            _ => Role::Recipient,
        }
    }

    /// Whether this status may be set while the latest one is `now`. A status may be repeated
    /// (with another message), save `closed` and `reopened`; a closed or finished message says
    /// nothing more until it is opened again; nobody goes back to `received` once work began.
    #[must_use]
    pub const fn may_follow(self, now: Option<Self>) -> bool {
        match (now, self) {
            (None, Self::Reopened) | (Some(Self::Closed), Self::Closed) => false,
            (None, _) | (Some(_), Self::Closed) => true,
            (Some(Self::Closed | Self::Done | Self::Refused), next) => {
                matches!(next, Self::Reopened)
            }
            (Some(_), Self::Reopened) => false,
            (Some(now), Self::Received) => {
                matches!(now, Self::Received | Self::IntegrationError | Self::Reopened)
            }
            (Some(_), _) => true,
        }
    }

    /// Checks that `role` may set this status while the latest one is `now`.
    ///
    /// # Errors
    /// [`Rule::Setter`] or [`Rule::Follows`], at `/status`.
    pub fn check_step(self, role: Role, now: Option<Self>) -> Result<(), Invalid> {
        if self.set_by() != role {
            return Err(Rule::Setter(self, role).at("/status"));
        }
        if !self.may_follow(now) {
            return Err(Rule::Follows(now, self).at("/status"));
        }
        Ok(())
    }
}

/// A sealed business status, version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatusUpdate {
    /// Always 1.
    #[schemars(extend("const" = 1))]
    pub version: u8,
    /// The message.
    pub message_id: MessageId,
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// Node that seals.
    pub node: NodeId,
    /// Member who sets it.
    pub author: Party,
    /// The status.
    pub status: BusinessStatus,
    /// A reason code of the démarche.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_CODE))]
    pub reason: Option<String>,
    /// A sentence for people, at most 1,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_PROSE))]
    pub message: Option<String>,
    /// Digests of attached documents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<Digest>,
    /// When it was set.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::BusinessStatus as S;
    use super::*;

    #[test]
    fn who_may_set_what() {
        for status in S::ALL {
            let sender = matches!(status, S::Closed | S::Reopened);
            let now = (status == S::Reopened).then_some(S::Closed);
            assert_eq!(status.check_step(Role::Sender, now).is_ok(), sender, "{status:?}");
            assert_eq!(status.check_step(Role::Recipient, now).is_ok(), !sender, "{status:?}");
            assert_eq!(serde_json::to_value(status).unwrap(), status.name());
        }
    }

    #[test]
    fn a_closed_message_is_silent_until_it_is_opened_again() {
        for status in S::ALL {
            for end in [S::Closed, S::Done, S::Refused] {
                let open = status == S::Reopened || (status == S::Closed && end != S::Closed);
                assert_eq!(status.may_follow(Some(end)), open, "{status:?} after {end:?}");
            }
        }
    }

    #[test]
    fn work_never_goes_back_to_received() {
        assert!(!S::Received.may_follow(Some(S::InProgress)));
        assert!(!S::Received.may_follow(Some(S::AddAwaiting)));
        assert!(S::Received.may_follow(Some(S::Reopened)));
        assert!(S::InProgress.may_follow(Some(S::AddAwaiting)));
        assert!(!S::Reopened.may_follow(Some(S::InProgress)));
    }
}
