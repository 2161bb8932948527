//! Which reason may stand in evidence of which event (EN 319 522-2 clause 8.3.3; EN 319 532-4
//! table C.28 for families A, B and D), and which components each event needs (tables 6 and 13).

use crate::event::{Event, Reason};

/// Reasons of B.3: every reason of family B but RB01. A reason of B.2 is copied into the sender's
/// B.3 (EN 319 532-4 C.4.5).
const RELAY_FAILURES: [Reason; 11] = [
    Reason::Rb02,
    Reason::Rb03,
    Reason::Rb04,
    Reason::Rb05,
    Reason::Rb06,
    Reason::Rb07,
    Reason::Rb08,
    Reason::Rb09,
    Reason::Rb10,
    Reason::Rb21,
    Reason::Rb22,
];

impl Event {
    /// The reasons of the standard that this event may have. Events C.6, D.3, D.4, D.5 and D.6
    /// have none: their reasons are ours, or absent.
    #[must_use]
    pub const fn reasons(self) -> &'static [Reason] {
        use Reason as R;
        match self {
            Self::SubmissionAcceptance => &[R::Ra01],
            Self::SubmissionRejection => &[R::Ra02, R::Ra03, R::Ra04, R::Ra05, R::Ra51],
            Self::RelayAcceptance => &[R::Rb01],
            Self::RelayRejection => &[R::Rb02, R::Rb03, R::Rb04, R::Rb05, R::Rb06, R::Rb21],
            Self::RelayFailure => &RELAY_FAILURES,
            Self::NotificationForAcceptance => &[R::Rc01, R::Rc02],
            Self::NotificationForAcceptanceFailure => &[R::Rc03, R::Rc04, R::Rc05, R::Rc06],
            Self::ConsignmentAcceptance => &[R::Rc07],
            Self::ConsignmentRejection => &[R::Rc08],
            Self::AcceptanceRejectionExpiry => &[R::Rc09],
            Self::ContentConsignment => &[R::Rd01, R::Rd02],
            Self::ContentConsignmentFailure => &[R::Rd03, R::Rd04, R::Rd05, R::Rd06, R::Rd21],
            Self::ContentHandover => &[R::Re01, R::Re02],
            Self::ContentHandoverFailure => &[R::Re03, R::Re04],
            Self::RelayToNonERDS => &[R::Rf01],
            Self::RelayToNonERDSFailure => &[R::Rf02, R::Rf03, R::Rf51],
            Self::ReceivedFromNonERDS => &[R::Rf04],
            Self::NotificationDelivered
            | Self::ConsignmentNotification
            | Self::ConsignmentNotificationFailure
            | Self::NotificationAccessTracking
            | Self::ContentAccessTracking => &[],
        }
    }

    /// Whether the event tells that something did not happen: then G04 is mandatory.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        matches!(
            self,
            Self::SubmissionRejection
                | Self::RelayRejection
                | Self::RelayFailure
                | Self::NotificationForAcceptanceFailure
                | Self::ConsignmentRejection
                | Self::AcceptanceRejectionExpiry
                | Self::ContentConsignmentFailure
                | Self::ConsignmentNotificationFailure
                | Self::ContentHandoverFailure
                | Self::RelayToNonERDSFailure
        )
    }

    /// Whether component I09 (the recipient whom the evidence is about) stands in it.
    #[must_use]
    pub fn has_recipient(self) -> bool {
        matches!(self.family(), 'C' | 'D' | 'E')
    }

    /// Whether component I12 (how the recipient was authenticated) must stand in it.
    #[must_use]
    pub const fn needs_recipient_assurance(self) -> bool {
        matches!(
            self,
            Self::ConsignmentAcceptance | Self::ConsignmentRejection | Self::ContentHandover
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_belongs_to_an_event_of_its_own_family() {
        for reason in Reason::ALL {
            let owners: Vec<_> =
                Event::ALL.into_iter().filter(|e| e.reasons().contains(&reason)).collect();
            assert!(!owners.is_empty(), "{reason:?}");
            let family = reason.code().chars().nth(1).unwrap();
            assert!(owners.iter().all(|e| e.family() == family), "{reason:?}");
        }
    }

    #[test]
    fn no_reason_tells_both_success_and_failure() {
        for reason in Reason::ALL {
            let owners = || Event::ALL.into_iter().filter(|e| e.reasons().contains(&reason));
            assert!(owners().all(Event::is_negative) || !owners().any(Event::is_negative));
        }
    }
}
