//! The catalogue: the démarches, their rules and limits. Sealed by the central authority.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::envelope::Consignment;
use crate::ids::ProcessCode;
use crate::party::Party;
use crate::time::Timestamp;

/// The catalogue, version 1 of the format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// Always 1.
    #[schemars(extend("const" = 1))]
    pub version: u8,
    /// Sequence number: never goes back.
    pub sequence: u64,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends (plus grace).
    pub expires_at: Timestamp,
    /// The démarches.
    pub processes: Vec<Process>,
}

/// One démarche.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Its code.
    pub code: ProcessCode,
    /// Its name in French.
    pub name: String,
    /// Its name in English.
    pub name_en: String,
    /// Who owns it.
    pub owner: String,
    /// Who may send; everybody when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub senders: Option<Vec<Party>>,
    /// Who may receive; everybody who subscribes when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipients: Option<Vec<Party>>,
    /// Media types that documents may have, such as `application/pdf` or `image/*`.
    pub media_types: Vec<String>,
    /// Largest document, in bytes.
    pub max_document_size: u64,
    /// Largest sum of the documents of one message, in bytes.
    pub max_message_size: u64,
    /// Default consignment mode.
    #[serde(default)]
    pub consignment: Consignment,
    /// Deadlines.
    #[serde(default)]
    pub deadlines: Deadlines,
    /// Whether an agreement between the two parties is needed.
    #[serde(default)]
    pub agreement_required: bool,
    /// What happens when malware is found.
    #[serde(default)]
    pub malware: MalwarePolicy,
    /// Time-stamps: batched, or one per evidence.
    #[serde(default)]
    pub timestamp: TimestampPolicy,
    /// Days that content is kept after the end of the delivery.
    #[serde(default = "thirty")]
    pub retention_days: u32,
    /// Legal basis, for the register of processing.
    #[serde(default)]
    pub legal_basis: String,
}

const fn thirty() -> u32 {
    30
}

/// A span of time in a démarche's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Span {
    /// Elapsed hours.
    Hours(u32),
    /// Calendar days, ending at the end of the last one in French legal time.
    Days(u32),
    /// French working days (jours ouvrés), with public holidays.
    WorkingDays(u32),
}

/// Deadlines of a démarche, with the defaults of the life cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Deadlines {
    /// Give up sending to the next node.
    pub relay_send: Span,
    /// No B.1 or B.2 after sending: RB22.
    pub relay_ack: Span,
    /// No D or E evidence at the sender's node: RD03.
    pub consign: Span,
    /// Warn the sender that consignment is late.
    pub consign_warning: Span,
    /// Not collected: RE04.
    pub handover: Span,
    /// Neither accepted nor refused, counted from the day after the notice: RC09.
    pub acceptance: Span,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            relay_send: Span::Hours(24),
            relay_ack: Span::Hours(24),
            consign: Span::Hours(24),
            consign_warning: Span::Hours(12),
            handover: Span::Days(30),
            acceptance: Span::Days(15),
        }
    }
}

/// What happens when malware is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MalwarePolicy {
    /// The message is refused.
    #[default]
    Block,
    /// The file is left out, with a signed notice that names it.
    Strip,
}

/// How evidence is time-stamped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimestampPolicy {
    /// RFC 4998: one token per batch.
    #[default]
    Batch,
    /// CAdES-B-T: one token per evidence.
    Each,
}
