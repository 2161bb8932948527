//! One well-formed object of each kind: the examples of the OpenAPI document, the golden vectors,
//! and the ground of tests. Everything is fixed: no clock, no randomness. The organisations are
//! fictional; their numbers pass the checks.

use crate::api::{NewDocument, NewMessage, Recipient};
use crate::bytes::Octets;
use crate::catalogue::{Catalogue, Deadlines, MalwarePolicy, Process, TimestampPolicy};
use crate::check::Rule;
use crate::digest::Digest;
use crate::directory::{MemberEntry, MembersList, NodeEntry, RootList, Scope, Standing};
use crate::dispatch::{ContentKeys, ContentRef, Dispatch, RelayMetadata};
use crate::envelope::{Consignment, Document, Envelope, Requested};
use crate::event::{Event, Reason};
use crate::evidence::{
    EntityDetails, EventReason, EventReasons, Evidence, Extension, Extensions, POLICY, PolicyIds,
    Subject, UserDetails, VERSION,
};
use crate::ids::{
    Cog, ConversationId, DeliveryId, DocumentId, EvidenceId, MessageId, NodeId, ProcessCode, Siren,
    Siret,
};
use crate::party::Party;
use crate::problem::{Code, Problem};
use crate::status::{BusinessStatus, StatusUpdate};
use crate::time::{DAY, MINUTE, Timestamp};

pub mod frames;
pub mod view;

/// 2026-11-23T08:35:30.120Z, when the sample message was submitted.
pub const SUBMITTED: Timestamp = Timestamp::from_millis(1_795_422_930_120);

/// The sample message.
#[must_use]
pub fn message_id() -> MessageId {
    MessageId(uuid::uuid!("019ab04e-7f28-7cc3-98c4-dc0c0c07398f"))
}

/// The sender: a national administration hosted by node `etat`.
#[must_use]
pub fn sender() -> Party {
    party("11999900100017", None, None)
}

/// The first recipient: a commune hosted by node `cd-34`, at its civil status service.
#[must_use]
pub fn recipient() -> Party {
    party("21993417100014", Some("etat-civil"), Some("34172"))
}

/// The second recipient, without service or desk.
#[must_use]
pub fn other_recipient() -> Party {
    party("12345678200010", None, None)
}

/// The envelope: two recipients, two documents, the second for the first recipient alone.
#[must_use]
pub fn envelope() -> Envelope {
    Envelope {
        version: 1,
        message_id: message_id(),
        sender: sender(),
        on_behalf_of: None,
        recipients: vec![recipient(), other_recipient()],
        process: process_code("AEC"),
        subject: Some("Demande d'acte de naissance n° 2026-118".to_owned()),
        conversation_id: conversation(),
        in_reply_to: None,
        sender_ref: Some("DILA-2026-000118".to_owned()),
        documents: vec![
            document(1, "Acte d'état civil n°3.pdf", "application/pdf", 48_213, None),
            document(2, "demande.xml", "application/xml", 2_048, Some(vec![0])),
        ],
        requested: Requested {
            consignment: Consignment::Basic,
            expires_at: Some(SUBMITTED.plus(30 * DAY)),
            not_before: None,
            evidence_to: None,
        },
        subject_key: None,
        submitted_at: SUBMITTED,
    }
}

/// The body of `POST /v1/messages` of which [`envelope`] was made.
#[must_use]
pub fn new_message() -> NewMessage {
    let envelope = envelope();
    NewMessage {
        recipients: vec![Recipient::Party(recipient()), Recipient::Commune { cog: text("75108") }],
        process: envelope.process,
        subject: envelope.subject,
        sender_ref: envelope.sender_ref,
        conversation_id: None,
        in_reply_to: None,
        documents: envelope
            .documents
            .iter()
            .map(|d| NewDocument {
                id: d.id.to_string(),
                type_code: d.type_code.clone(),
                recipients: d.recipients.clone(),
            })
            .collect(),
        requested: Some(envelope.requested),
    }
}

/// The dispatch for the first recipient, with placeholders in place of CMS files.
#[must_use]
pub fn dispatch() -> Dispatch {
    let envelope = envelope();
    let content = envelope
        .documents
        .iter()
        .map(|d| ContentRef {
            document_id: d.id,
            cipher_sha256: d.cipher_sha256,
            cipher_size: d.size + 7 + 16,
        })
        .collect();
    Dispatch {
        version: 1,
        relay: RelayMetadata {
            delivery_id: DeliveryId::derive(envelope.message_id, 0),
            recipient_index: 0,
            from: node("etat"),
            to: node("cd-34"),
            relay_time: SUBMITTED.plus(250),
            hop: 0,
        },
        envelope,
        content,
        keys: Octets(vec![0x30, 0x82, 0x01, 0x02]),
        submission_acceptance: Octets(vec![0x30, 0x82, 0x03, 0x04]),
    }
}

/// What the key envelope of [`dispatch`] would hold.
#[must_use]
pub fn content_keys() -> ContentKeys {
    ContentKeys { keys: vec![Octets(vec![0x11; 32]), Octets(vec![0x22; 32])] }
}

/// Well-formed evidence of `event` with the first of its reasons; one of ours where the standard
/// has none and the event needs one.
#[must_use]
pub fn evidence(event: Event) -> Evidence {
    let mut evidence = evidence_for(event, event.reasons().first().copied());
    if event.is_negative() && evidence.event_reasons.is_none() {
        let code = "urn:pli:reason:notice-not-sent".to_owned();
        let reason = EventReason { code, details: vec!["notice-not-sent".to_owned()] };
        evidence.event_reasons = Some(EventReasons { event_reason: vec![reason] });
    }
    evidence
}

/// Evidence of `event` with `reason`, whether they belong together or not.
#[must_use]
pub fn evidence_for(event: Event, reason: Option<Reason>) -> Evidence {
    let subject = Subject::of(&envelope());
    let issuer = node(if event.family() == 'A' { "etat" } else { "cd-34" });
    let other = node(if event == Event::RelayFailure { "cd-34" } else { "etat" });
    let of_recipient = event.has_recipient();
    let hop = u8::from(event.family() != 'A');
    let about = (event.family() != 'A').then_some(0);
    let event_time = SUBMITTED.plus(2 * MINUTE);
    let authenticated = of_recipient.then_some(event_time);
    Evidence {
        version: VERSION.to_owned(),
        evidence_identifier: EvidenceId::derive(
            &issuer,
            subject.message_id,
            about,
            event.name(),
            hop,
        ),
        erds_event_id: event.uri(),
        event_reasons: reason.map(|r| EventReasons {
            event_reason: vec![EventReason {
                code: r.uri(),
                details: vec![r.code().to_owned(), r.suffix().to_owned()],
            }],
        }),
        event_time,
        evidence_issuer_policy_id: PolicyIds { policy_id: vec![POLICY.to_owned()] },
        evidence_issuer_details: EntityDetails::node(&issuer),
        sender_details: UserDetails::party(&subject.sender, Some(subject.authenticated_at)),
        recipient_details: vec![
            UserDetails::party(&recipient(), authenticated),
            UserDetails::party(&other_recipient(), None),
        ],
        submission_time: Some(subject.submitted_at),
        evidence_refers_to_recipient: of_recipient.then_some(1),
        message_identifier: subject.message_id,
        user_content_info: subject.content,
        external_erds_details: (event.family() == 'B').then(|| EntityDetails::node(&other)),
        forwarded_to_external_system: (event.family() == 'F').then(|| "mailto:smtp".to_owned()),
        extensions: Extensions {
            extension: vec![Extension {
                is_critical: false,
                delivery_identifier: about.map(|i| DeliveryId::derive(subject.message_id, i)),
                previous_evidence_digest: about.map(|_| Digest([0xab; 32])),
                hop,
                state: if hop == 0 { "accepted" } else { "relayed" }.to_owned(),
            }],
        },
    }
}

/// A root list with both nodes.
#[must_use]
pub fn root_list() -> RootList {
    let entry = |id: &str, operator: &str, scope| NodeEntry {
        id: node(id),
        operator: operator.to_owned(),
        seal_certificates: vec![Octets(vec![0x30, 0x01])],
        encryption_certificates: vec![Octets(vec![0x30, 0x02])],
        backbones: vec!["national".to_owned()],
        via: None,
        scope,
        standing: Standing::Active,
    };
    let hérault = Scope {
        departments: vec!["34".to_owned()],
        sirens: vec![text::<Siren>("123456782")],
        any: false,
    };
    RootList {
        version: 1,
        sequence: 7,
        issued_at: SUBMITTED,
        expires_at: SUBMITTED.plus(30 * DAY),
        nodes: vec![
            entry("etat", "Direction fictive", Scope { any: true, ..Scope::default() }),
            entry("cd-34", "Département fictif", hérault),
        ],
    }
}

/// The members list of node `cd-34`.
#[must_use]
pub fn members_list() -> MembersList {
    let entry = |party: Party, name: &str, cog: Option<&str>| MemberEntry {
        party: party.organisation(),
        name: name.to_owned(),
        cog: cog.map(text::<Cog>),
        mandate_sha256: Some(Digest([0x5a; 32])),
        processes: vec![process_code("AEC")],
        standing: Standing::Active,
        successor: None,
    };
    MembersList {
        version: 1,
        node: node("cd-34"),
        sequence: 3,
        issued_at: SUBMITTED,
        expires_at: SUBMITTED.plus(30 * DAY),
        members: vec![
            entry(recipient(), "Commune fictive", Some("34172")),
            entry(other_recipient(), "Syndicat fictif", None),
        ],
    }
}

/// A catalogue with one démarche.
#[must_use]
pub fn catalogue() -> Catalogue {
    Catalogue {
        version: 1,
        sequence: 2,
        issued_at: SUBMITTED,
        expires_at: SUBMITTED.plus(30 * DAY),
        processes: vec![Process {
            code: process_code("AEC"),
            name: "Actes d'état civil".to_owned(),
            name_en: "Civil status records".to_owned(),
            owner: "Direction fictive".to_owned(),
            senders: None,
            recipients: None,
            media_types: ["application/pdf", "application/xml", "image/*"]
                .map(ToOwned::to_owned)
                .to_vec(),
            max_document_size: 20 << 20,
            max_message_size: 20 << 20,
            consignment: Consignment::Basic,
            deadlines: Deadlines::default(),
            agreement_required: false,
            malware: MalwarePolicy::Block,
            timestamp: TimestampPolicy::Batch,
            retention_days: 30,
            legal_basis: "Décret fictif n° 2026-1".to_owned(),
        }],
    }
}

/// The recipient asks for a complement.
#[must_use]
pub fn status_update() -> StatusUpdate {
    StatusUpdate {
        version: 1,
        message_id: message_id(),
        delivery_id: DeliveryId::derive(message_id(), 0),
        node: node("cd-34"),
        author: recipient(),
        status: BusinessStatus::AddAwaiting,
        reason: Some("PIECE-MANQUANTE".to_owned()),
        message: Some("Merci de joindre le livret de famille.".to_owned()),
        documents: vec![Digest([0x77; 32])],
        at: SUBMITTED.plus(DAY),
    }
}

/// A refusal.
#[must_use]
pub fn problem() -> Problem {
    let bad = Rule::Count { least: 1, most: 1_000, found: 0 }.at("/recipients");
    Problem { instance: format!("urn:uuid:{}", message_id()), ..bad.problem(Code::EnvelopeInvalid) }
}

/// A node by its id.
#[must_use]
pub fn node(id: &str) -> NodeId {
    text(id)
}

/// The conversation of the sample message.
#[must_use]
pub fn conversation() -> ConversationId {
    text("019ab04e-7f28-7cc3-98c4-dc0c0c07398f")
}

fn process_code(code: &str) -> ProcessCode {
    text(code)
}

fn document(
    n: u8,
    name: &str,
    media_type: &str,
    size: u64,
    recipients: Option<Vec<u32>>,
) -> Document {
    Document {
        id: document_id(n),
        name: name.to_owned(),
        type_code: Some("ACTE".to_owned()),
        media_type: media_type.to_owned(),
        size,
        sha256: Digest([n; 32]),
        cipher_sha256: Digest([n | 0xf0; 32]),
        recipients,
    }
}

/// The first or second document of the sample message.
#[must_use]
pub fn document_id(n: u8) -> DocumentId {
    DocumentId(uuid::Builder::from_bytes([n; 16]).with_version(uuid::Version::SortRand).into_uuid())
}

fn party(siret: &str, service: Option<&str>, desk: Option<&str>) -> Party {
    let base = Party::siret(&text::<Siret>(siret));
    Party { service: service.map(ToOwned::to_owned), desk: desk.map(ToOwned::to_owned), ..base }
}

/// Reads an identifier written in this file.
fn text<T: std::str::FromStr>(written: &str) -> T
where
    T::Err: std::fmt::Display,
{
    match written.parse() {
        Ok(id) => id,
        // Only the literals of this file come here, and the tests read every one of them.
        Err(e) => unreachable!("{e}"),
    }
}
