//! What the verifier's codes mean, in words that a clerk of the court understands. The verifier
//! itself speaks English and precisely; here is what it amounts to.

use schemas::time::SECOND;
use signing::report::{Element, Kind, Verdict};

use super::{Lang, Text, text};
use crate::dates;

/// The kind of an element.
pub(super) const fn kind(kind: Kind) -> Text {
    match kind {
        Kind::Seal => text("seal", "cachet"),
        Kind::Timestamp => text("timestamp", "horodatage"),
        Kind::EvidenceRecord => text("proof of time", "preuve de date"),
        Kind::Document => text("file", "fichier"),
        Kind::Chain => text("trust", "confiance"),
        Kind::Sequence => text("sequence", "enchaînement"),
    }
}

/// What a verdict on an element means.
pub(super) fn sentence(element: &Element, lang: Lang) -> String {
    let signer = element.signer.as_deref().unwrap_or_default();
    let time = element.time.map(|t| t.to_string()).unwrap_or_default();
    if element.verdict == Verdict::Valid {
        let late = element.delay_seconds.unwrap_or_default().saturating_mul(SECOND);
        return holds(element).fill(lang, &[&signer, &time, &dates::span(late)]);
    }
    let found = TABLE.iter().find(|(codes, _)| codes.contains(&element.code.as_str()));
    match found {
        Some((_, words)) => format!("{} ({})", words.fill(lang, &[&signer, &time]), element.code),
        None => format!("{} ({})", element.detail, element.code),
    }
}

const fn holds(element: &Element) -> Text {
    let dated = element.time.is_some();
    match element.kind {
        Kind::Seal => text("sealed by {0} on {1}, unchanged", "scellé par {0} le {1}, intact"),
        Kind::Timestamp | Kind::EvidenceRecord if element.delay_seconds.is_some() => text(
            "the sealed object existed on {1}, proved {2} after its event (delayed)",
            "l'objet scellé existait le {1}, prouvé {2} après l'événement (différé)",
        ),
        Kind::Timestamp => text("existed on {1}", "existait le {1}"),
        Kind::EvidenceRecord => {
            text("the sealed object existed on {1}", "l'objet scellé existait le {1}")
        }
        Kind::Document => text("unchanged", "intact"),
        Kind::Chain if dated => text(
            "the signer was certified, and not revoked, on {1}",
            "le signataire était certifié, et non révoqué, le {1}",
        ),
        Kind::Chain => {
            text("the signer was certified and not revoked", "signataire certifié, non révoqué")
        }
        Kind::Sequence => text(
            "the evidence follows on without gap or stranger",
            "les preuves se suivent sans lacune ni intrus",
        ),
    }
}

/// Codes of the verifier with what they amount to.
const TABLE: &[(&[&str], Text)] = &[
    (
        &["changed", "content-changed", "digest", "object-changed", "imprint-mismatch"],
        text(
            "its content is not the one that was sealed: it was changed afterwards",
            "son contenu n'est pas celui qui a été scellé : il a été modifié depuis",
        ),
    ),
    (
        &["signature-invalid", "seal-malformed", "seal-profile", "signer-mismatch", "path-broken"],
        text(
            "the seal is not one that its signer made, or it was changed",
            "le cachet n'est pas l'œuvre de son signataire, ou il a été modifié",
        ),
    ),
    (
        &[
            "missing",
            "object-missing",
            "data-missing",
            "content-missing",
            "no-record",
            "signer-missing",
        ],
        text(
            "something that it refers to is missing from what was given",
            "un élément auquel il se rapporte manque dans ce qui est présenté",
        ),
    ),
    (
        &["unlisted", "not-covered", "not-in-evidence", "stray-crl", "stray-certificate"],
        text(
            "no seal covers it: it was added, and proves nothing",
            "aucun cachet ne le couvre : il a été ajouté, et ne prouve rien",
        ),
    ),
    (
        &[
            "not-canonical",
            "damaged",
            "unreadable",
            "too-large",
            "bad-name",
            "duplicate-name",
            "listed-twice",
            "manifest-malformed",
            "several-objects",
            "object-not-named",
            "no-manifest",
            "other-signature",
        ],
        text(
            "the container is not as it was written: repacked, damaged or altered",
            "le conteneur n'est pas tel qu'il a été écrit : réemballé, abîmé ou altéré",
        ),
    ),
    (
        &["unknown-authority", "anchors-unreadable", "anchor-unreadable"],
        text(
            "its signer is not vouched for by an authority that you said you trust (--trust)",
            "son signataire n'est garanti par aucune autorité que vous ayez déclarée (--trust)",
        ),
    ),
    (
        &["revoked"],
        text(
            "the certificate of the signer was revoked, and nothing proves that it sealed before",
            "le certificat du signataire était révoqué, et rien ne prouve un cachet antérieur",
        ),
    ),
    (
        &["expired", "authority-expired"],
        text(
            "a certificate had ended, and no proof of time shows that the seal is older",
            "un certificat avait expiré, et aucune preuve de date n'établit que le cachet précède",
        ),
    ),
    (
        &[
            "not-yet-valid",
            "signing-time-outside-certificate",
            "signing-time-too-late",
            "token-in-future",
            "time-reversed",
            "event-after-seal",
            "renewal-too-old",
            "crl-future",
        ],
        text("the times contradict each other", "les dates se contredisent"),
    ),
    (
        &["crl-missing", "crl-stale", "crl-invalid"],
        text(
            "no usable revocation list says whether the certificate was revoked",
            "aucune liste de révocation utilisable ne dit si le certificat était révoqué",
        ),
    ),
    (
        &[
            "wrong-usage",
            "constraint-violated",
            "critical-extension",
            "algorithm-refused",
            "certificate-malformed",
            "certificate-unreadable",
        ],
        text(
            "a certificate is not fit for this use",
            "un certificat n'est pas fait pour cet usage",
        ),
    ),
    (
        &[
            "foreign-message",
            "content-differs",
            "duplicate-evidence",
            "out-of-order",
            "evidence-malformed",
        ],
        text(
            "it does not belong to the other evidence of this message",
            "elle n'appartient pas aux autres preuves de ce pli",
        ),
    ),
    (&["gap"], text("an evidence that it cites is missing", "une preuve qu'elle cite manque")),
    (
        &[
            "token-invalid",
            "token-malformed",
            "token-refused",
            "root-mismatch",
            "hashes-mixed",
            "record-malformed",
            "object-needed",
        ],
        text(
            "the proof of time does not cover this object, or does not hold",
            "la preuve de date ne couvre pas cet objet, ou ne tient pas",
        ),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_stands_twice() {
        let mut all: Vec<&str> = TABLE.iter().flat_map(|(codes, _)| *codes).copied().collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
