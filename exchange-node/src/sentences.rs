//! What an event means, in a sentence for somebody who has never read the standard: a mayor, a
//! judge. [`crate::words`] names the same events in few words, for lists.

use schemas::event::Event;
use schemas::status::BusinessStatus;

use crate::words::{Words, words};

/// What happened.
#[must_use]
pub const fn event(event: Event) -> Words {
    match event {
        Event::SubmissionAcceptance => words(
            "Le dépôt du pli a été accepté ; le service répond désormais de son acheminement.",
            "The submission of the message was accepted; the service answers for it from then on.",
        ),
        Event::SubmissionRejection => words(
            "Le dépôt a été rejeté : le pli n'est pas parti.",
            "The submission was rejected: the message was not sent.",
        ),
        Event::RelayAcceptance => words(
            "Le nœud suivant a vérifié le pli et l'a pris en charge.",
            "The next node verified the message and took it over.",
        ),
        Event::RelayRejection => words(
            "Le nœud suivant a vérifié le pli et ne l'a pas pris en charge.",
            "The next node verified the message and did not take it over.",
        ),
        Event::RelayFailure => words(
            "Le pli n'a pu être transmis au nœud suivant, ou celui-ci n'a pas répondu.",
            "The message could not be handed to the next node, or that node did not answer.",
        ),
        Event::ContentConsignment => words(
            "Le contenu a été mis à la disposition du destinataire, qui peut en prendre connaissance.",
            "The content was made available to the recipient, who can read it.",
        ),
        Event::ContentConsignmentFailure => words(
            "Le contenu n'a pu être mis à la disposition du destinataire, ou l'on ignore s'il l'a été.",
            "The content could not be made available to the recipient, or nothing is known of it.",
        ),
        Event::ContentAccessTracking => {
            words("Le destinataire a consulté le contenu.", "The recipient opened the content.")
        }
        Event::ContentHandover => words(
            "Le contenu a été remis au destinataire, qui l'a retiré.",
            "The content was handed over to the recipient, who collected it.",
        ),
        Event::ContentHandoverFailure => words(
            "Le contenu n'a pas été remis au destinataire, qui ne l'a pas retiré dans le délai.",
            "The content was not handed over to the recipient, who did not collect it in time.",
        ),
        Event::RelayToNonERDS => words(
            "Le pli a été transmis à un système extérieur au réseau.",
            "The message was handed to a system outside the network.",
        ),
        Event::RelayToNonERDSFailure => words(
            "Le pli n'a pu être transmis à un système extérieur au réseau.",
            "The message could not be handed to a system outside the network.",
        ),
        Event::ReceivedFromNonERDS => words(
            "Le pli est venu d'un système extérieur au réseau.",
            "The message came from a system outside the network.",
        ),
        notice => of_notice(notice),
    }
}

/// The recipient's consent, and the notices (families C and D of the standard).
const fn of_notice(event: Event) -> Words {
    match event {
        Event::NotificationForAcceptance => words(
            "Le destinataire a été invité à accepter ou à refuser le pli.",
            "The recipient was asked to accept or to refuse the message.",
        ),
        Event::NotificationForAcceptanceFailure => words(
            "Le destinataire n'a pu être invité à accepter ou à refuser le pli.",
            "The recipient could not be asked to accept or to refuse the message.",
        ),
        Event::ConsignmentAcceptance => words(
            "Le destinataire a accepté de recevoir le pli.",
            "The recipient agreed to receive the message.",
        ),
        Event::ConsignmentRejection => words(
            "Le destinataire a refusé le pli ; le contenu ne lui a pas été remis.",
            "The recipient refused the message; the content was not handed over.",
        ),
        Event::AcceptanceRejectionExpiry => words(
            "Le destinataire n'a ni accepté ni refusé le pli dans le délai.",
            "The recipient neither accepted nor refused the message in time.",
        ),
        Event::NotificationDelivered => {
            words("L'avis a été remis au destinataire.", "The notice reached the recipient.")
        }
        Event::ConsignmentNotification => words(
            "Le destinataire a été avisé que le pli est à sa disposition.",
            "The recipient was told that the message is available.",
        ),
        Event::ConsignmentNotificationFailure => words(
            "Le destinataire n'a pu être avisé que le pli est à sa disposition.",
            "The recipient could not be told that the message is available.",
        ),
        Event::NotificationAccessTracking => {
            words("Le destinataire a consulté l'avis.", "The recipient opened the notice.")
        }
        _ => words("Un événement a été attesté.", "An event was attested."),
    }
}

/// What the recipient did with the message, or the sender with the file.
#[must_use]
pub const fn business(status: BusinessStatus) -> Words {
    match status {
        BusinessStatus::Received => words(
            "Le destinataire déclare avoir reçu le pli.",
            "The recipient declares the message received.",
        ),
        BusinessStatus::InProgress => words(
            "Le destinataire déclare traiter le pli.",
            "The recipient declares the message in progress.",
        ),
        BusinessStatus::AddAwaiting => {
            words("Le destinataire demande un complément.", "The recipient asks for a complement.")
        }
        BusinessStatus::Done => words(
            "Le destinataire déclare le pli traité.",
            "The recipient declares the message dealt with.",
        ),
        BusinessStatus::Refused => words(
            "Le destinataire déclare refuser la demande.",
            "The recipient declares the request refused.",
        ),
        BusinessStatus::IntegrationError => words(
            "Le logiciel du destinataire n'a pu intégrer le pli.",
            "The recipient's software could not take the message in.",
        ),
        BusinessStatus::Closed => {
            words("L'expéditeur clôt le dossier.", "The sender closes the file.")
        }
        BusinessStatus::Reopened => {
            words("L'expéditeur rouvre le dossier.", "The sender reopens the file.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_a_sentence_of_its_own() {
        let mut seen: Vec<&str> = Event::ALL.map(|e| event(e).fr).to_vec();
        assert!(!seen.contains(&"Un événement a été attesté."));
        for one in &seen {
            assert!(one.ends_with('.'), "{one}");
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), Event::ALL.len());
    }
}
