//! The 22 events of ETSI EN 319 522-1 V1.2.1 and the reasons of EN 319 522-2 clause 8.3.3.
//!
//! Suffixes of URIs are those of the standard, misspellings included.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Prefix of every event URI (EN 319 522-3).
pub const EVENT_URI: &str = "http://uri.etsi.org/19522/Event/";
/// Prefix of every reason URI.
pub const REASON_URI: &str = "http://uri.etsi.org/19522/EventReason/";

/// An event of EN 319 522-1 table 1. Serialised by its ETSI name. Used in stored state.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Event {
    /// A.1
    SubmissionAcceptance,
    /// A.2
    SubmissionRejection,
    /// B.1
    RelayAcceptance,
    /// B.2
    RelayRejection,
    /// B.3
    RelayFailure,
    /// C.1
    NotificationForAcceptance,
    /// C.2
    NotificationForAcceptanceFailure,
    /// C.3
    ConsignmentAcceptance,
    /// C.4
    ConsignmentRejection,
    /// C.5
    AcceptanceRejectionExpiry,
    /// C.6
    NotificationDelivered,
    /// D.1
    ContentConsignment,
    /// D.2
    ContentConsignmentFailure,
    /// D.3
    ConsignmentNotification,
    /// D.4
    ConsignmentNotificationFailure,
    /// D.5
    NotificationAccessTracking,
    /// D.6
    ContentAccessTracking,
    /// E.1
    ContentHandover,
    /// E.2
    ContentHandoverFailure,
    /// F.1
    RelayToNonERDS,
    /// F.2
    RelayToNonERDSFailure,
    /// F.3
    ReceivedFromNonERDS,
}

impl Event {
    /// All events, in the order of the standard.
    pub const ALL: [Self; 22] = [
        Self::SubmissionAcceptance,
        Self::SubmissionRejection,
        Self::RelayAcceptance,
        Self::RelayRejection,
        Self::RelayFailure,
        Self::NotificationForAcceptance,
        Self::NotificationForAcceptanceFailure,
        Self::ConsignmentAcceptance,
        Self::ConsignmentRejection,
        Self::AcceptanceRejectionExpiry,
        Self::NotificationDelivered,
        Self::ContentConsignment,
        Self::ContentConsignmentFailure,
        Self::ConsignmentNotification,
        Self::ConsignmentNotificationFailure,
        Self::NotificationAccessTracking,
        Self::ContentAccessTracking,
        Self::ContentHandover,
        Self::ContentHandoverFailure,
        Self::RelayToNonERDS,
        Self::RelayToNonERDSFailure,
        Self::ReceivedFromNonERDS,
    ];

    /// The clause letter and number, such as `A.1`.
    #[must_use]
    pub const fn clause(self) -> &'static str {
        match self {
            Self::SubmissionAcceptance => "A.1",
            Self::SubmissionRejection => "A.2",
            Self::RelayAcceptance => "B.1",
            Self::RelayRejection => "B.2",
            Self::RelayFailure => "B.3",
            Self::NotificationForAcceptance => "C.1",
            Self::NotificationForAcceptanceFailure => "C.2",
            Self::ConsignmentAcceptance => "C.3",
            Self::ConsignmentRejection => "C.4",
            Self::AcceptanceRejectionExpiry => "C.5",
            Self::NotificationDelivered => "C.6",
            Self::ContentConsignment => "D.1",
            Self::ContentConsignmentFailure => "D.2",
            Self::ConsignmentNotification => "D.3",
            Self::ConsignmentNotificationFailure => "D.4",
            Self::NotificationAccessTracking => "D.5",
            Self::ContentAccessTracking => "D.6",
            Self::ContentHandover => "E.1",
            Self::ContentHandoverFailure => "E.2",
            Self::RelayToNonERDS => "F.1",
            Self::RelayToNonERDSFailure => "F.2",
            Self::ReceivedFromNonERDS => "F.3",
        }
    }

    /// The ETSI name, such as `SubmissionAcceptance`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SubmissionAcceptance => "SubmissionAcceptance",
            Self::SubmissionRejection => "SubmissionRejection",
            Self::RelayAcceptance => "RelayAcceptance",
            Self::RelayRejection => "RelayRejection",
            Self::RelayFailure => "RelayFailure",
            Self::NotificationForAcceptance => "NotificationForAcceptance",
            Self::NotificationForAcceptanceFailure => "NotificationForAcceptanceFailure",
            Self::ConsignmentAcceptance => "ConsignmentAcceptance",
            Self::ConsignmentRejection => "ConsignmentRejection",
            Self::AcceptanceRejectionExpiry => "AcceptanceRejectionExpiry",
            Self::NotificationDelivered => "NotificationDelivered",
            Self::ContentConsignment => "ContentConsignment",
            Self::ContentConsignmentFailure => "ContentConsignmentFailure",
            Self::ConsignmentNotification => "ConsignmentNotification",
            Self::ConsignmentNotificationFailure => "ConsignmentNotificationFailure",
            Self::NotificationAccessTracking => "NotificationAccessTracking",
            Self::ContentAccessTracking => "ContentAccessTracking",
            Self::ContentHandover => "ContentHandover",
            Self::ContentHandoverFailure => "ContentHandoverFailure",
            Self::RelayToNonERDS => "RelayToNonERDS",
            Self::RelayToNonERDSFailure => "RelayToNonERDSFailure",
            Self::ReceivedFromNonERDS => "ReceivedFromNonERDS",
        }
    }

    /// The ETSI URI.
    #[must_use]
    pub fn uri(self) -> String {
        format!("{EVENT_URI}{}", self.name())
    }

    /// Reads a name or a URI.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.strip_prefix(EVENT_URI).unwrap_or(text);
        Self::ALL.into_iter().find(|e| e.name() == name)
    }

    /// The family letter: `A` submission, `B` relay, `C` acceptance, `D` consignment,
    /// `E` handover, `F` connection with other systems.
    #[must_use]
    pub fn family(self) -> char {
        self.clause().chars().next().unwrap_or('?')
    }
}

/// A reason (component G04). Serialised by its code, such as `RA01`. Used in stored state.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Reason {
    /// MessageAccepted
    #[serde(rename = "RA01")]
    Ra01,
    /// InvalidMessageFormat
    #[serde(rename = "RA02")]
    Ra02,
    /// MalwareFound
    #[serde(rename = "RA03")]
    Ra03,
    /// SenderSigningCertExpiredOrRevoked
    #[serde(rename = "RA04")]
    Ra04,
    /// S_ERDS_PolicyViolation
    #[serde(rename = "RA05")]
    Ra05,
    /// S_ERDS_Malfunction
    #[serde(rename = "RA51")]
    Ra51,
    /// S_ERDS_MessageSuccessfullyRelayed
    #[serde(rename = "RB01")]
    Rb01,
    /// R_ERDS_MessageRejected
    #[serde(rename = "RB02")]
    Rb02,
    /// R_ERDS_MessageRejectedForMalware
    #[serde(rename = "RB03")]
    Rb03,
    /// R_ERDS_MessageRejectedForInvalidSignature
    #[serde(rename = "RB04")]
    Rb04,
    /// R_ERDS_MessageRejectedForInvalidCertificate
    #[serde(rename = "RB05")]
    Rb05,
    /// R_ERDS_PolicyViolation
    #[serde(rename = "RB06")]
    Rb06,
    /// R_ERDS_Malfunction
    #[serde(rename = "RB07")]
    Rb07,
    /// R_ERDS_NotIdentified
    #[serde(rename = "RB08")]
    Rb08,
    /// R_ERDS_Unreachable
    #[serde(rename = "RB09")]
    Rb09,
    /// UnknownRecipient
    #[serde(rename = "RB10")]
    Rb10,
    /// MessageNotAcceptedForUnregisteredRecipient
    #[serde(rename = "RB21")]
    Rb21,
    /// S_ERDSP_ReceivedNoRelayAcceptanceInfoFromR_ERDSP
    #[serde(rename = "RB22")]
    Rb22,
    /// NotificationForAcceptanceSent
    #[serde(rename = "RC01")]
    Rc01,
    /// SubsequentNotificationForAcceptanceSent
    #[serde(rename = "RC02")]
    Rc02,
    /// NotificationForAccepteceError
    #[serde(rename = "RC03")]
    Rc03,
    /// SubsequentNotificationForAcceptanceError
    #[serde(rename = "RC04")]
    Rc04,
    /// NotificationForAcceptanceMultipleError
    #[serde(rename = "RC05")]
    Rc05,
    /// SubsequentNotificationForAcceptanceMultipleError
    #[serde(rename = "RC06")]
    Rc06,
    /// MessageAcceptedByRecipient
    #[serde(rename = "RC07")]
    Rc07,
    /// MessageRejectedByRecipient
    #[serde(rename = "RC08")]
    Rc08,
    /// MessageNotAcceptedInTimeByRecipient
    #[serde(rename = "RC09")]
    Rc09,
    /// MessageConsignedToRecipient
    #[serde(rename = "RD01")]
    Rd01,
    /// MessageConsignedToDelegate
    #[serde(rename = "RD02")]
    Rd02,
    /// S_ERDSP_ReceivedNoDeliveryInfoFromR_ERDSP
    #[serde(rename = "RD03")]
    Rd03,
    /// MessageNotConsignedForQuota
    #[serde(rename = "RD04")]
    Rd04,
    /// MessageNotConsignedForMalfunction
    #[serde(rename = "RD05")]
    Rd05,
    /// MessageNotConsignedForUnallowedType
    #[serde(rename = "RD06")]
    Rd06,
    /// MessageNotConsignedForUnregisteredRecipient
    #[serde(rename = "RD21")]
    Rd21,
    /// MessageHandedOver
    #[serde(rename = "RE01")]
    Re01,
    /// MessageHandedOverToDelegate
    #[serde(rename = "RE02")]
    Re02,
    /// MessageNotHandedOverForUnallowedType
    #[serde(rename = "RE03")]
    Re03,
    /// MessageHandoverTimeout
    #[serde(rename = "RE04")]
    Re04,
    /// MessageRelayedToNonERDS
    #[serde(rename = "RF01")]
    Rf01,
    /// ExternalSystemUnreachable
    #[serde(rename = "RF02")]
    Rf02,
    /// MessageRejectedByExternalSystem
    #[serde(rename = "RF03")]
    Rf03,
    /// MessageReceivedFromNonERDS
    #[serde(rename = "RF04")]
    Rf04,
    /// RelayToNonERDSNotAllowed
    #[serde(rename = "RF51")]
    Rf51,
}

impl Reason {
    /// All reasons, in the order of the standard.
    pub const ALL: [Self; 43] = [
        Self::Ra01,
        Self::Ra02,
        Self::Ra03,
        Self::Ra04,
        Self::Ra05,
        Self::Ra51,
        Self::Rb01,
        Self::Rb02,
        Self::Rb03,
        Self::Rb04,
        Self::Rb05,
        Self::Rb06,
        Self::Rb07,
        Self::Rb08,
        Self::Rb09,
        Self::Rb10,
        Self::Rb21,
        Self::Rb22,
        Self::Rc01,
        Self::Rc02,
        Self::Rc03,
        Self::Rc04,
        Self::Rc05,
        Self::Rc06,
        Self::Rc07,
        Self::Rc08,
        Self::Rc09,
        Self::Rd01,
        Self::Rd02,
        Self::Rd03,
        Self::Rd04,
        Self::Rd05,
        Self::Rd06,
        Self::Rd21,
        Self::Re01,
        Self::Re02,
        Self::Re03,
        Self::Re04,
        Self::Rf01,
        Self::Rf02,
        Self::Rf03,
        Self::Rf04,
        Self::Rf51,
    ];

    /// The code, such as `RA01`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Ra01 => "RA01",
            Self::Ra02 => "RA02",
            Self::Ra03 => "RA03",
            Self::Ra04 => "RA04",
            Self::Ra05 => "RA05",
            Self::Ra51 => "RA51",
            Self::Rb01 => "RB01",
            Self::Rb02 => "RB02",
            Self::Rb03 => "RB03",
            Self::Rb04 => "RB04",
            Self::Rb05 => "RB05",
            Self::Rb06 => "RB06",
            Self::Rb07 => "RB07",
            Self::Rb08 => "RB08",
            Self::Rb09 => "RB09",
            Self::Rb10 => "RB10",
            Self::Rb21 => "RB21",
            Self::Rb22 => "RB22",
            Self::Rc01 => "RC01",
            Self::Rc02 => "RC02",
            Self::Rc03 => "RC03",
            Self::Rc04 => "RC04",
            Self::Rc05 => "RC05",
            Self::Rc06 => "RC06",
            Self::Rc07 => "RC07",
            Self::Rc08 => "RC08",
            Self::Rc09 => "RC09",
            Self::Rd01 => "RD01",
            Self::Rd02 => "RD02",
            Self::Rd03 => "RD03",
            Self::Rd04 => "RD04",
            Self::Rd05 => "RD05",
            Self::Rd06 => "RD06",
            Self::Rd21 => "RD21",
            Self::Re01 => "RE01",
            Self::Re02 => "RE02",
            Self::Re03 => "RE03",
            Self::Re04 => "RE04",
            Self::Rf01 => "RF01",
            Self::Rf02 => "RF02",
            Self::Rf03 => "RF03",
            Self::Rf04 => "RF04",
            Self::Rf51 => "RF51",
        }
    }

    /// The suffix of the URI, verbatim.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Ra01 => "MessageAccepted",
            Self::Ra02 => "InvalidMessageFormat",
            Self::Ra03 => "MalwareFound",
            Self::Ra04 => "SenderSigningCertExpiredOrRevoked",
            Self::Ra05 => "S_ERDS_PolicyViolation",
            Self::Ra51 => "S_ERDS_Malfunction",
            Self::Rb01 => "S_ERDS_MessageSuccessfullyRelayed",
            Self::Rb02 => "R_ERDS_MessageRejected",
            Self::Rb03 => "R_ERDS_MessageRejectedForMalware",
            Self::Rb04 => "R_ERDS_MessageRejectedForInvalidSignature",
            Self::Rb05 => "R_ERDS_MessageRejectedForInvalidCertificate",
            Self::Rb06 => "R_ERDS_PolicyViolation",
            Self::Rb07 => "R_ERDS_Malfunction",
            Self::Rb08 => "R_ERDS_NotIdentified",
            Self::Rb09 => "R_ERDS_Unreachable",
            Self::Rb10 => "UnknownRecipient",
            Self::Rb21 => "MessageNotAcceptedForUnregisteredRecipient",
            Self::Rb22 => "S_ERDSP_ReceivedNoRelayAcceptanceInfoFromR_ERDSP",
            Self::Rc01 => "NotificationForAcceptanceSent",
            Self::Rc02 => "SubsequentNotificationForAcceptanceSent",
            Self::Rc03 => "NotificationForAccepteceError",
            Self::Rc04 => "SubsequentNotificationForAcceptanceError",
            Self::Rc05 => "NotificationForAcceptanceMultipleError",
            Self::Rc06 => "SubsequentNotificationForAcceptanceMultipleError",
            Self::Rc07 => "MessageAcceptedByRecipient",
            Self::Rc08 => "MessageRejectedByRecipient",
            Self::Rc09 => "MessageNotAcceptedInTimeByRecipient",
            Self::Rd01 => "MessageConsignedToRecipient",
            Self::Rd02 => "MessageConsignedToDelegate",
            Self::Rd03 => "S_ERDSP_ReceivedNoDeliveryInfoFromR_ERDSP",
            Self::Rd04 => "MessageNotConsignedForQuota",
            Self::Rd05 => "MessageNotConsignedForMalfunction",
            Self::Rd06 => "MessageNotConsignedForUnallowedType",
            Self::Rd21 => "MessageNotConsignedForUnregisteredRecipient",
            Self::Re01 => "MessageHandedOver",
            Self::Re02 => "MessageHandedOverToDelegate",
            Self::Re03 => "MessageNotHandedOverForUnallowedType",
            Self::Re04 => "MessageHandoverTimeout",
            Self::Rf01 => "MessageRelayedToNonERDS",
            Self::Rf02 => "ExternalSystemUnreachable",
            Self::Rf03 => "MessageRejectedByExternalSystem",
            Self::Rf04 => "MessageReceivedFromNonERDS",
            Self::Rf51 => "RelayToNonERDSNotAllowed",
        }
    }

    /// The ETSI URI.
    #[must_use]
    pub fn uri(self) -> String {
        format!("{REASON_URI}{}", self.suffix())
    }

    /// Reads a code, a suffix or a URI.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix(REASON_URI).unwrap_or(text);
        Self::ALL.into_iter().find(|r| r.code() == text || r.suffix() == text)
    }
}
