//! The report of a bundle: what a judge or a mayor reads. French first, every sentence twice.

use askama::Template;
use schemas::ids::{MessageId, NodeId};
use schemas::time::Timestamp;

use crate::words::Words;

/// A party in words.
#[derive(Clone, Debug)]
pub struct Named {
    /// Its name, or its number when the directory has none.
    pub name: String,
    /// Its number.
    pub id: String,
}

/// A document line.
#[derive(Clone, Debug)]
pub struct DocumentLine {
    /// File name.
    pub name: String,
    /// Media type.
    pub media_type: String,
    /// Size in bytes.
    pub size: u64,
    /// Digest in hexadecimal.
    pub sha256: String,
}

/// A step line.
#[derive(Clone, Debug)]
pub struct StepLine {
    /// Time of the event.
    pub at: Timestamp,
    /// The same in words.
    pub at_fr: String,
    /// The event in words.
    pub words: Words,
    /// ETSI name.
    pub event: String,
    /// Reason code.
    pub code: String,
    /// Node.
    pub node: NodeId,
    /// When it was anchored, in words.
    pub anchored: String,
    /// Where it lies in the bundle.
    pub file: String,
}

/// One recipient.
#[derive(Clone, Debug)]
pub struct DeliveryPart {
    /// Who.
    pub recipient: Named,
    /// Where it stands.
    pub state: Words,
    /// Steps.
    pub steps: Vec<StepLine>,
}

/// The report.
#[derive(Debug, Template)]
#[template(path = "report.html")]
pub struct Report {
    /// The message.
    pub message_id: MessageId,
    /// Who sent it.
    pub sender: Named,
    /// Démarche.
    pub process: String,
    /// Subject.
    pub subject: Option<String>,
    /// The sender's number.
    pub sender_ref: Option<String>,
    /// When.
    pub submitted_at: Timestamp,
    /// The same in words.
    pub submitted_at_fr: String,
    /// Documents.
    pub documents: Vec<DocumentLine>,
    /// Recipients.
    pub deliveries: Vec<DeliveryPart>,
    /// The node that made the bundle.
    pub node: NodeId,
    /// When.
    pub made_at: Timestamp,
    /// The same in words.
    pub made_at_fr: String,
}

/// `23/11/2026 08:35:30 UTC`.
#[must_use]
pub fn date_fr(at: Timestamp) -> String {
    let text = at.to_string();
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
    format!("{}/{}/{} {} UTC", part(8..10), part(5..7), part(0..4), part(11..19))
}

#[cfg(test)]
mod tests {
    use super::date_fr;
    use schemas::time::Timestamp;

    #[test]
    fn dates_are_written_as_in_france() {
        let at = Timestamp::from_millis(1_795_422_930_120);
        assert_eq!(date_fr(at), "23/11/2026 08:35:30 UTC");
    }
}
