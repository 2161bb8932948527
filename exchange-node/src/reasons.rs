//! The reasons of EN 319 522-2 clause 8.3.3 in words for people.

use schemas::event::Reason;

use crate::words::{Words, words};

/// What a reason says to somebody who has never read the standard.
#[must_use]
pub const fn reason(reason: Reason) -> Words {
    match reason {
        Reason::Ra01 | Reason::Ra02 | Reason::Ra03 | Reason::Ra04 | Reason::Ra05 | Reason::Ra51 => {
            submission(reason)
        }
        Reason::Rb01 => words("pris en charge", "taken over"),
        Reason::Rb02 => {
            words("pli rejeté par le nœud du destinataire", "rejected by the next node")
        }
        Reason::Rb03 => words("logiciel malveillant trouvé", "malware found"),
        Reason::Rb04 => words("cachet non valide", "seal not valid"),
        Reason::Rb05 => words("certificat du nœud émetteur non valide", "certificate not valid"),
        Reason::Rb06 => {
            words("contraire aux règles du nœud suivant", "against the next node's rules")
        }
        Reason::Rb07 => words("anomalie du nœud suivant", "fault of the next node"),
        Reason::Rb08 => words("nœud suivant non identifié", "next node not identified"),
        Reason::Rb09 => words("nœud suivant injoignable", "next node unreachable"),
        Reason::Rb10 => words("destinataire inconnu", "recipient unknown"),
        Reason::Rb21 => words("destinataire non abonné ou non actif", "recipient not registered"),
        Reason::Rb22 => words(
            "aucune nouvelle du nœud suivant : le pli a pu arriver",
            "no word from the next node: it may have arrived",
        ),
        Reason::Rf01 => words("transmis à un système extérieur", "relayed to an outside system"),
        Reason::Rf02 => words("système extérieur injoignable", "outside system unreachable"),
        Reason::Rf03 => words("rejeté par le système extérieur", "rejected by the outside system"),
        Reason::Rf04 => words("reçu d'un système extérieur", "received from an outside system"),
        Reason::Rf51 => words("transmission extérieure non permise", "outside relay not allowed"),
        acceptance_or_delivery => delivery(acceptance_or_delivery),
    }
}

const fn submission(reason: Reason) -> Words {
    match reason {
        Reason::Ra01 => words("pli accepté", "message accepted"),
        Reason::Ra02 => words("pli mal formé ou document altéré", "not well formed, or corrupted"),
        Reason::Ra03 => words("logiciel malveillant trouvé", "malware found"),
        Reason::Ra04 => words(
            "certificat de l'expéditeur expiré ou révoqué",
            "sender's certificate expired or revoked",
        ),
        Reason::Ra05 => {
            words("contraire aux règles de la démarche", "against the rules of the process")
        }
        _ => words("anomalie du nœud de l'expéditeur", "fault of the sender's node"),
    }
}

const fn delivery(reason: Reason) -> Words {
    match reason {
        Reason::Rc01 => words("avis envoyé", "notice sent"),
        Reason::Rc02 => words("rappel envoyé", "reminder sent"),
        Reason::Rc03 => words("avis impossible", "notice failed"),
        Reason::Rc04 => words("rappel impossible", "reminder failed"),
        Reason::Rc05 => {
            words("avis impossible après plusieurs essais", "notice failed several times")
        }
        Reason::Rc06 => {
            words("rappel impossible après plusieurs essais", "reminder failed several times")
        }
        Reason::Rc07 => words("accepté par le destinataire", "accepted by the recipient"),
        Reason::Rc08 => words("refusé par le destinataire", "refused by the recipient"),
        Reason::Rc09 => words("non réclamé dans le délai", "not claimed in time"),
        Reason::Rd01 => {
            words("mis à disposition du destinataire", "made available to the recipient")
        }
        Reason::Rd02 => words("mis à disposition d'un délégué", "made available to a delegate"),
        Reason::Rd03 => words(
            "aucune nouvelle : ni remis, ni non remis",
            "no word: neither delivered nor undelivered",
        ),
        Reason::Rd04 => words("espace du destinataire plein", "the recipient's space is full"),
        Reason::Rd05 => words("anomalie du nœud du destinataire", "fault of the recipient's node"),
        Reason::Rd06 => words("type de document non accepté", "type of document not allowed"),
        Reason::Rd21 => words("destinataire non abonné", "recipient not registered"),
        Reason::Re01 => words("remis au destinataire", "handed over to the recipient"),
        Reason::Re02 => words("remis à un délégué", "handed over to a delegate"),
        Reason::Re03 => words("type de document non accepté", "type of document not allowed"),
        Reason::Re04 => words("non retiré dans le délai", "not collected in time"),
        _ => words("motif inconnu", "unknown reason"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_words_of_its_own() {
        for one in Reason::ALL {
            assert!(!matches!(reason(one).en, "unknown reason"), "{}", one.code());
        }
        assert_eq!(reason(Reason::Ra51).en, "fault of the sender's node");
    }
}
