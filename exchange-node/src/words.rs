//! Events and states in words for people, French first (`vocabulary`: one term per concept).

use schemas::event::Event;

/// One thing in the two languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    /// French.
    pub fr: &'static str,
    /// English.
    pub en: &'static str,
}

pub(crate) const fn words(fr: &'static str, en: &'static str) -> Words {
    Words { fr, en }
}

/// What an event says to somebody who has never read the standard.
#[must_use]
pub const fn event(event: Event) -> Words {
    match event {
        Event::SubmissionAcceptance => words("Dépôt accepté", "Submission accepted"),
        Event::SubmissionRejection => words("Dépôt rejeté", "Submission rejected"),
        Event::RelayAcceptance => {
            words("Pris en charge par le nœud suivant", "Taken over by the next node")
        }
        Event::RelayRejection => words("Rejeté par le nœud suivant", "Rejected by the next node"),
        Event::RelayFailure => words("Relais impossible ou sans réponse", "Relay failed"),
        Event::NotificationForAcceptance => {
            words("Destinataire invité à accepter", "Recipient asked to accept")
        }
        Event::NotificationForAcceptanceFailure => {
            words("Invitation à accepter impossible", "Recipient could not be asked")
        }
        Event::ConsignmentAcceptance => {
            words("Accepté par le destinataire", "Accepted by the recipient")
        }
        Event::ConsignmentRejection => {
            words("Refusé par le destinataire", "Refused by the recipient")
        }
        Event::AcceptanceRejectionExpiry => {
            words("Non réclamé dans le délai", "Not claimed in time")
        }
        Event::NotificationDelivered => words("Avis remis", "Notice delivered"),
        Event::ContentConsignment => {
            words("Mis à disposition du destinataire", "Made available to the recipient")
        }
        Event::ContentConsignmentFailure => {
            words("Mise à disposition impossible ou inconnue", "Not made available, or unknown")
        }
        Event::ConsignmentNotification => {
            words("Destinataire avisé de la mise à disposition", "Recipient notified")
        }
        Event::ConsignmentNotificationFailure => {
            words("Avis de mise à disposition impossible", "Recipient could not be notified")
        }
        Event::NotificationAccessTracking => words("Avis consulté", "Notice opened"),
        Event::ContentAccessTracking => words("Contenu consulté", "Content opened"),
        Event::ContentHandover => words("Remis au destinataire", "Handed over to the recipient"),
        Event::ContentHandoverFailure => {
            words("Non retiré, ou type non admis", "Not collected, or type not taken")
        }
        Event::RelayToNonERDS => {
            words("Transmis à un système extérieur", "Relayed to an outside system")
        }
        Event::RelayToNonERDSFailure => {
            words("Transmission extérieure impossible", "Outside relay failed")
        }
        Event::ReceivedFromNonERDS => {
            words("Reçu d'un système extérieur", "Received from an outside system")
        }
    }
}

/// A state name of `lifecycle.md` in words.
#[must_use]
pub fn state(name: &str) -> Words {
    match name {
        "submitted" => words("déposé", "submitted"),
        "accepted" => words("accepté, en attente d'envoi", "accepted, waiting to be sent"),
        "rejected" => words("rejeté au dépôt", "rejected at submission"),
        "relaying" => words("en cours de relais", "being relayed"),
        "relayed" => words("pris en charge par le nœud du destinataire", "at the recipient's node"),
        "relay_rejected" => words("rejeté par le nœud suivant", "rejected by the next node"),
        "relay_failed" => words("relais en échec", "relay failed"),
        "unconfirmed" => words("sans nouvelles", "unconfirmed"),
        "awaiting_acceptance" => words("en attente d'acceptation", "awaiting acceptance"),
        "refused" => words("refusé par le destinataire", "refused by the recipient"),
        "expired" => words("non réclamé", "expired"),
        "consigned" => words("mis à disposition", "made available"),
        "consign_failed" => words("mise à disposition en échec", "could not be made available"),
        "handed_over" => words("remis", "handed over"),
        "handover_failed" => words("non retiré", "not collected"),
        "held" => words("retenu", "held"),
        "awaiting_authorisation" => words("en attente d'autorisation", "awaiting authorisation"),
        "cancelled" => words("annulé", "cancelled"),
        "external" => words("hors du réseau", "outside the network"),
        _ => words("inconnu", "unknown"),
    }
}
