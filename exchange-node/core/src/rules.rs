//! The rules of a démarche, read from the catalogue.

use schemas::catalogue::{Catalogue, Deadlines, Process};
use schemas::directory::MemberEntry;
use schemas::envelope::{Consignment, Document};
use schemas::ids::ProcessCode;
use schemas::party::{Party, SIREN};
use schemas::problem::Code;

use crate::refusal::Refusal;

/// The démarche with this code.
#[must_use]
pub fn process<'a>(catalogue: &'a Catalogue, code: &ProcessCode) -> Option<&'a Process> {
    catalogue.processes.iter().find(|p| p.code == *code)
}

/// Its deadlines; those of `lifecycle.md` once it has left the catalogue.
#[must_use]
pub fn deadlines(catalogue: &Catalogue, code: &ProcessCode) -> Deadlines {
    process(catalogue, code).map(|p| p.deadlines).unwrap_or_default()
}

/// Whether a party may send in this démarche.
#[must_use]
pub fn may_send(process: &Process, party: &Party) -> bool {
    process.senders.as_ref().is_none_or(|list| list.iter().any(|l| covers(l, party)))
}

/// Whether a party may receive in this démarche, if it subscribes.
#[must_use]
pub fn may_receive(process: &Process, party: &Party) -> bool {
    process.recipients.as_ref().is_none_or(|list| list.iter().any(|l| covers(l, party)))
}

/// Whether a member has subscribed to a démarche.
#[must_use]
pub fn subscribes(entry: &MemberEntry, code: &ProcessCode) -> bool {
    entry.processes.contains(code)
}

/// The mode in force: consent when the démarche or the sender asks for it.
#[must_use]
pub fn consignment(process: &Process, requested: Consignment) -> Consignment {
    match (process.consignment, requested) {
        (Consignment::Basic, Consignment::Basic) => Consignment::Basic,
        _ => Consignment::Consent,
    }
}

/// Whether the documents keep the limits of a démarche: media types, sizes one by one, and their
/// sum against the smaller of the démarche's limit and `node_limit`.
///
/// # Errors
/// `document-type-refused` or `document-too-large`, naming the document.
pub fn check_documents(
    process: &Process,
    node_limit: u64,
    documents: &[Document],
) -> Result<(), Refusal> {
    for document in documents {
        check_document(process, document)?;
    }
    let limit = process.max_message_size.min(node_limit);
    let sum = documents.iter().fold(0_u64, |sum, d| sum.saturating_add(d.size));
    if sum > limit {
        return Err(Refusal::new(
            Code::DocumentTooLarge,
            format!("the documents have {sum} bytes together, and {limit} are allowed"),
            format!("les documents pèsent ensemble {sum} octets, pour {limit} admis"),
        ));
    }
    Ok(())
}

fn check_document(process: &Process, document: &Document) -> Result<(), Refusal> {
    let Document { name, media_type, size, .. } = document;
    if !process.media_types.iter().any(|range| admits(range, media_type)) {
        return Err(Refusal::new(
            Code::DocumentTypeRefused,
            format!("{name:?} is of type {media_type}, which {} does not admit", process.code),
            format!("« {name} » est de type {media_type}, que {} n'admet pas", process.code),
        ));
    }
    let limit = process.max_document_size;
    if *size > limit {
        return Err(Refusal::new(
            Code::DocumentTooLarge,
            format!("{name:?} has {size} bytes, and {limit} are allowed"),
            format!("« {name} » pèse {size} octets, pour {limit} admis"),
        ));
    }
    Ok(())
}

/// Whether a media range (`application/pdf`, `image/*`, `*/*`; RFC 9110 §12.5.1) admits a type.
#[must_use]
pub fn admits(range: &str, media_type: &str) -> bool {
    match range.strip_suffix("/*") {
        Some("*") => true,
        Some(kind) => media_type.split_once('/').is_some_and(|(k, _)| k == kind),
        None => range == media_type,
    }
}

/// Whether an entry of a list covers a party: the same organisation, or the SIREN of which it is
/// an establishment; and the same service and desk where the entry names them.
fn covers(entry: &Party, party: &Party) -> bool {
    let organisation = (entry.scheme == party.scheme && entry.id == party.id)
        || (entry.scheme == SIREN && party.id.starts_with(&entry.id));
    let part = |e: &Option<String>, p: &Option<String>| e.is_none() || e == p;
    organisation && part(&entry.service, &party.service) && part(&entry.desk, &party.desk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::sample;

    #[test]
    fn a_siren_covers_its_establishments_and_a_service_only_itself() {
        let siret = sample::sender();
        let siren: Party = siret.id[..9].parse().unwrap();
        let mut process = sample::catalogue().processes.remove(0);
        assert!(may_send(&process, &siret));
        process.senders = Some(vec![siren]);
        assert!(may_send(&process, &siret));
        assert!(!may_send(&process, &sample::recipient()));
        process.recipients = Some(vec![sample::recipient()]);
        assert!(may_receive(&process, &sample::recipient()));
        assert!(!may_receive(&process, &sample::recipient().organisation()));
    }

    #[test]
    fn media_ranges() {
        for (range, media_type, expected) in [
            ("*/*", "application/pdf", true),
            ("image/*", "image/png", true),
            ("image/*", "imagery/png", false),
            ("application/pdf", "application/pdf", true),
            ("application/pdf", "application/pdfx", false),
        ] {
            assert_eq!(admits(range, media_type), expected, "{range} {media_type}");
        }
    }

    #[test]
    fn sums_are_held_against_the_smaller_limit() {
        let process = sample::catalogue().processes.remove(0);
        let documents = sample::envelope().documents;
        let sum: u64 = documents.iter().map(|d| d.size).sum();
        assert_eq!(check_documents(&process, u64::MAX, &documents), Ok(()));
        assert_eq!(check_documents(&process, sum, &documents), Ok(()));
        let refused = check_documents(&process, sum - 1, &documents).unwrap_err();
        assert_eq!(refused.code, Code::DocumentTooLarge);
    }

    #[test]
    fn the_stricter_mode_is_in_force() {
        let mut process = sample::catalogue().processes.remove(0);
        assert_eq!(consignment(&process, Consignment::Basic), Consignment::Basic);
        assert_eq!(consignment(&process, Consignment::Consent), Consignment::Consent);
        process.consignment = Consignment::Consent;
        assert_eq!(consignment(&process, Consignment::Basic), Consignment::Consent);
    }
}
