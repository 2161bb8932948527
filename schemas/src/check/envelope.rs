//! What a sender says: envelope, new message, and the dispatch made of it.

use super::{
    Invalid, MAX_SAFE_INTEGER, Rule, count, is_media_type, line, prose, unique, version_one,
};
use crate::api::{NewMessage, NewStatus, Recipient, Refusal};
use crate::dispatch::{Dispatch, RelayMetadata};
use crate::envelope::{
    Document, Envelope, MAX_DOCUMENTS, MAX_RECIPIENTS, MAX_SENDER_REF, MAX_SUBJECT, Requested,
    is_document_name,
};
use crate::ids::DeliveryId;
use crate::party::Party;
use crate::time::Timestamp;

/// Longest type code of a document and longest reason code of a démarche, in characters.
pub const MAX_CODE: usize = 64;
/// Longest `subject_key`, in characters.
pub const MAX_SUBJECT_KEY: usize = 100;
/// Longest sentence for people, in characters.
pub const MAX_PROSE: usize = 1_000;
/// Most hops of a dispatch.
pub const MAX_HOPS: u8 = 8;

impl Envelope {
    /// Checks the bounds of `protocol.md` section 2.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check(&self) -> Result<(), Invalid> {
        version_one(self.version)?;
        self.check_parties()?;
        self.check_texts()?;
        if self.in_reply_to == Some(self.message_id) {
            return Err(Rule::SameAs("message_id").at("/in_reply_to"));
        }
        count(self.documents.len(), 1, MAX_DOCUMENTS).map_err(|r| r.at("/documents"))?;
        for (i, document) in self.documents.iter().enumerate() {
            document
                .check(self.recipients.len())
                .map_err(|e| e.under(&format!("/documents/{i}")))?;
        }
        unique("/documents", self.documents.iter().map(|d| d.id))?;
        self.check_everybody_is_served()?;
        self.requested.check(self.submitted_at)
    }

    fn check_parties(&self) -> Result<(), Invalid> {
        address(&self.sender, "/sender")?;
        if let Some(principal) = &self.on_behalf_of {
            address(principal, "/on_behalf_of")?;
            if *principal == self.sender {
                return Err(Rule::SameAs("sender").at("/on_behalf_of"));
            }
        }
        count(self.recipients.len(), 1, MAX_RECIPIENTS).map_err(|r| r.at("/recipients"))?;
        for (i, recipient) in self.recipients.iter().enumerate() {
            recipient.check().map_err(|e| Rule::Address(e).at(format!("/recipients/{i}")))?;
        }
        unique("/recipients", &self.recipients)
    }

    fn check_texts(&self) -> Result<(), Invalid> {
        option(self.subject.as_deref(), "/subject", |t| line(t, MAX_SUBJECT))?;
        option(self.sender_ref.as_deref(), "/sender_ref", |t| line(t, MAX_SENDER_REF))?;
        option(self.subject_key.as_deref(), "/subject_key", |t| line(t, MAX_SUBJECT_KEY))
    }

    /// A delivery of nothing would have no digest to prove (component M02).
    fn check_everybody_is_served(&self) -> Result<(), Invalid> {
        if self.documents.iter().any(|d| d.recipients.is_none()) {
            return Ok(());
        }
        let mut served = vec![false; self.recipients.len()];
        for index in self.documents.iter().flat_map(|d| d.recipients.iter().flatten()) {
            if let Some(slot) = usize::try_from(*index).ok().and_then(|i| served.get_mut(i)) {
                *slot = true;
            }
        }
        match served.iter().position(|s| !s) {
            Some(i) => Err(Rule::GetsNothing.at(format!("/recipients/{i}"))),
            None => Ok(()),
        }
    }
}

impl Document {
    /// Checks name, types, size and the indexes of `recipients` addressees.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check(&self, recipients: usize) -> Result<(), Invalid> {
        if !is_document_name(&self.name) {
            return Err(Rule::Name.at("/name"));
        }
        if !is_media_type(&self.media_type) {
            return Err(Rule::MediaType.at("/media_type"));
        }
        option(self.type_code.as_deref(), "/type_code", |t| line(t, MAX_CODE))?;
        if self.size > MAX_SAFE_INTEGER {
            let range = Rule::Range { least: 0, most: MAX_SAFE_INTEGER, found: self.size };
            return Err(range.at("/size"));
        }
        indexes(self.recipients.as_deref(), recipients)
    }
}

impl Requested {
    /// Checks the times against the submission, and the address of `evidence_to`.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check(&self, submitted_at: Timestamp) -> Result<(), Invalid> {
        if self.expires_at.is_some_and(|t| t <= submitted_at) {
            return Err(Rule::NotAfter("submitted_at").at("/requested/expires_at"));
        }
        self.check_alone()
    }

    /// What holds whatever the time of submission.
    fn check_alone(&self) -> Result<(), Invalid> {
        if let (Some(from), Some(until)) = (self.not_before, self.expires_at)
            && until <= from
        {
            return Err(Rule::NotAfter("not_before").at("/requested/expires_at"));
        }
        match &self.evidence_to {
            Some(party) => address(party, "/requested/evidence_to"),
            None => Ok(()),
        }
    }
}

impl NewMessage {
    /// Checks the same bounds as [`Envelope::check`], as far as they hold before the submission.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check(&self) -> Result<(), Invalid> {
        count(self.recipients.len(), 1, MAX_RECIPIENTS).map_err(|r| r.at("/recipients"))?;
        for (i, recipient) in self.recipients.iter().enumerate() {
            if let Recipient::Party(party) = recipient {
                party.check().map_err(|e| Rule::Address(e).at(format!("/recipients/{i}")))?;
            }
        }
        unique("/recipients", &self.recipients)?;
        option(self.subject.as_deref(), "/subject", |t| line(t, MAX_SUBJECT))?;
        option(self.sender_ref.as_deref(), "/sender_ref", |t| line(t, MAX_SENDER_REF))?;
        count(self.documents.len(), 1, MAX_DOCUMENTS).map_err(|r| r.at("/documents"))?;
        for (i, document) in self.documents.iter().enumerate() {
            let under = |e: Invalid| e.under(&format!("/documents/{i}"));
            line(&document.id, crate::envelope::MAX_NAME).map_err(|r| under(r.at("/id")))?;
            option(document.type_code.as_deref(), "/type_code", |t| line(t, MAX_CODE))
                .map_err(under)?;
            indexes(document.recipients.as_deref(), self.recipients.len()).map_err(under)?;
        }
        unique("/documents", self.documents.iter().map(|d| &d.id))?;
        self.requested.as_ref().map_or(Ok(()), Requested::check_alone)
    }
}

impl Dispatch {
    /// Checks the envelope, and that relay metadata and content agree with it.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check(&self) -> Result<(), Invalid> {
        version_one(self.version)?;
        self.envelope.check().map_err(|e| e.under("/envelope"))?;
        self.relay.check(&self.envelope)?;
        let mine: Vec<&Document> = self
            .envelope
            .documents
            .iter()
            .filter(|d| d.is_for(self.relay.recipient_index))
            .collect();
        count(self.content.len(), mine.len(), mine.len()).map_err(|r| r.at("/content"))?;
        for (i, (content, document)) in self.content.iter().zip(mine).enumerate() {
            if content.document_id != document.id {
                return Err(
                    Rule::Disagrees("envelope.documents").at(format!("/content/{i}/document_id"))
                );
            }
            if content.cipher_sha256 != document.cipher_sha256 {
                return Err(
                    Rule::Disagrees("envelope.documents").at(format!("/content/{i}/cipher_sha256"))
                );
            }
            // Each chunk adds a tag, and the prefix comes first: never smaller than the plaintext.
            if !(document.size..=MAX_SAFE_INTEGER).contains(&content.cipher_size) {
                let range = Rule::Range {
                    least: document.size,
                    most: MAX_SAFE_INTEGER,
                    found: content.cipher_size,
                };
                return Err(range.at(format!("/content/{i}/cipher_size")));
            }
        }
        Ok(())
    }
}

impl RelayMetadata {
    fn check(&self, envelope: &Envelope) -> Result<(), Invalid> {
        let most = envelope.recipients.len().saturating_sub(1) as u64;
        let index = u64::from(self.recipient_index);
        if index > most {
            return Err(Rule::Range { least: 0, most, found: index }.at("/relay/recipient_index"));
        }
        if self.delivery_id != DeliveryId::derive(envelope.message_id, self.recipient_index) {
            return Err(Rule::Disagrees("message_id").at("/relay/delivery_id"));
        }
        if self.from == self.to {
            return Err(Rule::SameAs("from").at("/relay/to"));
        }
        if self.hop > MAX_HOPS {
            let (most, found) = (u64::from(MAX_HOPS), u64::from(self.hop));
            return Err(Rule::Range { least: 0, most, found }.at("/relay/hop"));
        }
        Ok(())
    }
}

impl Refusal {
    /// Checks the length of the reason.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check(&self) -> Result<(), Invalid> {
        option(self.reason.as_deref(), "/reason", |t| prose(t, MAX_PROSE))
    }
}

impl NewStatus {
    /// Checks the lengths of reason and message.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check(&self) -> Result<(), Invalid> {
        option(self.reason.as_deref(), "/reason", |t| line(t, MAX_CODE))?;
        option(self.message.as_deref(), "/message", |t| prose(t, MAX_PROSE))
    }
}

/// A party that stands at `path`.
pub(super) fn address(party: &Party, path: &str) -> Result<(), Invalid> {
    party.check().map_err(|e| Rule::Address(e).at(path))
}

/// A text that may be absent.
pub(super) fn option(
    text: Option<&str>,
    path: &str,
    check: impl Fn(&str) -> Result<(), Rule>,
) -> Result<(), Invalid> {
    text.map_or(Ok(()), check).map_err(|r| r.at(path))
}

/// Indexes of addressees: at least one, each in range, none twice.
fn indexes(list: Option<&[u32]>, recipients: usize) -> Result<(), Invalid> {
    let Some(list) = list else { return Ok(()) };
    if list.is_empty() {
        return Err(Rule::ForNobody.at("/recipients"));
    }
    let most = recipients.saturating_sub(1) as u64;
    for (i, index) in list.iter().enumerate() {
        let found = u64::from(*index);
        if found > most {
            return Err(Rule::Range { least: 0, most, found }.at(format!("/recipients/{i}")));
        }
    }
    unique("/recipients", list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn broken(change: impl FnOnce(&mut Envelope)) -> (String, Rule) {
        let mut envelope = sample::envelope();
        change(&mut envelope);
        let e = envelope.check().expect_err("must be refused");
        (e.path, e.rule)
    }

    #[test]
    fn the_sample_passes() {
        assert_eq!(sample::envelope().check(), Ok(()));
        assert_eq!(sample::dispatch().check(), Ok(()));
        assert_eq!(sample::new_message().check(), Ok(()));
    }

    #[test]
    fn each_bound_of_the_envelope_names_its_place() {
        let (path, _) = broken(|e| e.version = 2);
        assert_eq!(path, "/version");
        let (path, rule) = broken(|e| e.recipients.clear());
        assert_eq!(
            (path.as_str(), rule),
            ("/recipients", Rule::Count { least: 1, most: 1_000, found: 0 })
        );
        let (path, rule) = broken(|e| e.recipients.push(e.recipients[0].clone()));
        let last = sample::envelope().recipients.len();
        assert_eq!((path, rule), (format!("/recipients/{last}"), Rule::Duplicate { first: 0 }));
        let (path, _) = broken(|e| e.recipients[1].id = "123".into());
        assert_eq!(path, "/recipients/1");
        let (path, rule) = broken(|e| e.subject = Some("é".repeat(256)));
        assert_eq!((path.as_str(), rule), ("/subject", Rule::Length { most: 255, found: 256 }));
        let (path, rule) = broken(|e| e.sender_ref = Some("a\u{202e}b".into()));
        assert_eq!((path.as_str(), rule), ("/sender_ref", Rule::Character));
        let (path, _) = broken(|e| e.in_reply_to = Some(e.message_id));
        assert_eq!(path, "/in_reply_to");
        let (path, _) = broken(|e| e.on_behalf_of = Some(e.sender.clone()));
        assert_eq!(path, "/on_behalf_of");
    }

    #[test]
    fn lengths_count_characters_and_not_bytes() {
        let mut envelope = sample::envelope();
        envelope.subject = Some("é".repeat(255));
        envelope.sender_ref = Some("é".repeat(100));
        assert_eq!(envelope.check(), Ok(()));
    }

    #[test]
    fn each_bound_of_a_document_names_its_place() {
        let (path, _) = broken(|e| e.documents[0].name = "../x".into());
        assert_eq!(path, "/documents/0/name");
        let (path, _) = broken(|e| e.documents[1].media_type = "PDF".into());
        assert_eq!(path, "/documents/1/media_type");
        let (path, rule) = broken(|e| e.documents[0].recipients = Some(vec![0, 7]));
        assert_eq!(path, "/documents/0/recipients/1");
        assert_eq!(rule, Rule::Range { least: 0, most: 1, found: 7 });
        let (_, rule) = broken(|e| e.documents[0].recipients = Some(vec![]));
        assert_eq!(rule, Rule::ForNobody);
        let (path, _) = broken(|e| e.documents[1].id = e.documents[0].id);
        assert_eq!(path, "/documents/1");
        let (path, _) = broken(|e| e.documents[0].size = u64::MAX);
        assert_eq!(path, "/documents/0/size");
        let (path, rule) = broken(|e| {
            e.documents.iter_mut().for_each(|d| d.recipients = Some(vec![1]));
        });
        assert_eq!((path.as_str(), rule), ("/recipients/0", Rule::GetsNothing));
    }

    #[test]
    fn times_are_in_order() {
        let (path, _) = broken(|e| e.requested.expires_at = Some(e.submitted_at));
        assert_eq!(path, "/requested/expires_at");
        let (_, rule) = broken(|e| {
            e.requested.expires_at = Some(e.submitted_at.plus(10));
            e.requested.not_before = Some(e.submitted_at.plus(10));
        });
        assert_eq!(rule, Rule::NotAfter("not_before"));
    }

    #[test]
    fn a_dispatch_agrees_with_its_envelope() {
        let mut d = sample::dispatch();
        d.relay.recipient_index = 9;
        assert_eq!(d.check().expect_err("index").path, "/relay/recipient_index");
        let mut d = sample::dispatch();
        d.relay.delivery_id = DeliveryId::derive(d.envelope.message_id, 1);
        assert_eq!(d.check().expect_err("delivery").path, "/relay/delivery_id");
        let mut d = sample::dispatch();
        d.content.pop();
        assert_eq!(d.check().expect_err("content").path, "/content");
        let mut d = sample::dispatch();
        d.content[0].cipher_sha256 = crate::digest::Digest([9; 32]);
        assert_eq!(d.check().expect_err("digest").path, "/content/0/cipher_sha256");
        let mut d = sample::dispatch();
        d.envelope.version = 0;
        assert_eq!(d.check().expect_err("envelope").path, "/envelope/version");
    }
}
