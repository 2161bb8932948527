//! Evidence: EN 319 522-2 clause 8 in JSON. Keys are the element names of the ETSI XSD
//! (EN 319 522-3), nested as in the schema, so that JSON and XML say the same by rule.
//!
//! The JSON is the eContent of the seal: it is written once, sealed, and never written again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::envelope::MAX_RECIPIENTS;
use crate::event::{Event, Reason};
use crate::ids::{DeliveryId, EvidenceId, MessageId, NodeId};
use crate::party::Party;
use crate::time::{MINUTE, Timestamp};

/// Component G02: the version text, unchanged in V1.2.1 of the standard.
pub const VERSION: &str = "EN319522v1.1.1";
/// Component R01: the policy under which a node of Pli issues evidence. Not a qualified service.
pub const POLICY: &str = "urn:pli:policy:evidence:v1";
/// XML DSig identifier of SHA-256.
pub const SHA256_URI: &str = "http://www.w3.org/2001/04/xmlenc#sha256";
/// Assurance level of a member authenticated by its node: not an eIDAS level.
pub const ASSURANCE: &str = "urn:pli:assurance:node-authenticated:v1";
/// Method of authentication of a member's software.
pub const OAUTH2: &str = "urn:ietf:rfc:6749";

/// A proof of time that comes later than this after the event, in milliseconds, is called delayed.
pub const LATE: i64 = MINUTE;

/// By how many milliseconds the time `proved` comes after an event, when that is called delayed: the
/// event is sealed at once, but for so long nothing but its node's word said when it happened.
#[must_use]
pub fn delay(event: Timestamp, proved: Timestamp) -> Option<i64> {
    Some(proved.since(event)).filter(|delay| *delay > LATE)
}

/// One evidence (XSD `EvidenceType`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Evidence {
    /// G02.
    #[serde(rename = "version")]
    #[schemars(extend("const" = VERSION))]
    pub version: String,
    /// G01.
    pub evidence_identifier: EvidenceId,
    /// G03, a URI.
    #[serde(rename = "ERDSEventId")]
    #[schemars(extend("enum" = Event::ALL.map(Event::uri)))]
    pub erds_event_id: String,
    /// G04.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_reasons: Option<EventReasons>,
    /// G05.
    pub event_time: Timestamp,
    /// R01.
    #[serde(rename = "EvidenceIssuerPolicyID")]
    pub evidence_issuer_policy_id: PolicyIds,
    /// R02.
    pub evidence_issuer_details: EntityDetails,
    /// I01, I02, I10.
    pub sender_details: UserDetails,
    /// I05, I06, I12: one per addressee, in the order of the envelope.
    #[schemars(length(min = 1, max = MAX_RECIPIENTS))]
    pub recipient_details: Vec<UserDetails>,
    /// M03.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submission_time: Option<Timestamp>,
    /// I09, counted from 1: present in families C, D and E only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub evidence_refers_to_recipient: Option<u32>,
    /// M01.
    pub message_identifier: MessageId,
    /// M02: the same in all evidence of a message.
    pub user_content_info: UserContentInfo,
    /// M05: the other node; present in family B only.
    #[serde(rename = "ExternalERDSDetails", default, skip_serializing_if = "Option::is_none")]
    pub external_erds_details: Option<EntityDetails>,
    /// M04: present in family F only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded_to_external_system: Option<String>,
    /// E01.
    pub extensions: Extensions,
}

/// XSD `EventReasonsType`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct EventReasons {
    /// At least one.
    #[schemars(length(min = 1))]
    pub event_reason: Vec<EventReason>,
}

/// XSD `EventReasonType`: the URI of the reason; details begin with its code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct EventReason {
    /// The URI.
    #[schemars(url)]
    pub code: String,
    /// The code (`RB03`), then the stable problem code, then a sentence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

/// XSD `ERDSPolicyIDType`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyIds {
    /// URIs.
    #[serde(rename = "PolicyID")]
    #[schemars(length(min = 1))]
    pub policy_id: Vec<String>,
}

/// XSD `EntityDetailsType`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct EntityDetails {
    /// SAML attributes.
    pub identity: Identity,
}

/// XSD `IdentityAttributesType`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Identity {
    /// At least one.
    #[schemars(length(min = 1))]
    pub attribute: Vec<Attribute>,
}

/// `saml:Attribute`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Attribute {
    /// Such as `urn:pli:node`.
    pub name: String,
    /// Values.
    pub attribute_value: Vec<String>,
}

/// XSD `UserDetailsType`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct UserDetails {
    /// Names and the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// I02 or I06.
    pub identifier: Identifier,
    /// I10 or I12.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assurance_levels_details: Option<AssuranceLevelsDetails>,
}

/// XSD `EntityIdentifierType`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identifier {
    /// The number, with service and desk after colons.
    pub value: String,
    /// `iso6523:0009` or `iso6523:0002`.
    #[serde(rename = "IdentifierSchemeName")]
    pub scheme: String,
}

/// XSD `AssuranceLevelsDetailsType`, first choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct AssuranceLevelsDetails {
    /// The level.
    pub global_assurance_level: AssuranceLevelDetails,
    /// When and how.
    pub authentication_details: AuthenticationDetails,
}

/// XSD `AssuranceLevelDetailsType`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct AssuranceLevelDetails {
    /// A URI.
    #[schemars(url)]
    pub assurance_level: String,
}

/// XSD `AuthenticationDetailsType`, third choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct AuthenticationDetails {
    /// When.
    pub authentication_time: Timestamp,
    /// How, a URI.
    #[schemars(url)]
    pub authentication_method: String,
}

/// XSD `UserContentInfoType` (M02).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct UserContentInfo {
    /// How many parts.
    pub composing_parts: u32,
    /// The parts.
    pub parts_info: PartsInfo,
}

/// XSD `PartsInfoType`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct PartsInfo {
    /// One for the plaintext and one for the ciphertext of each document.
    #[schemars(length(min = 1))]
    pub part_info: Vec<PartInfo>,
}

/// XSD `PartInfoType`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct PartInfo {
    /// `urn:uuid:<document id>`; the ciphertext's has the suffix `#ciphertext`.
    pub identifier: String,
    /// Media type; `application/octet-stream` for the ciphertext.
    pub content_type: String,
    /// [`SHA256_URI`].
    #[schemars(extend("const" = SHA256_URI))]
    pub digest_method: String,
    /// Lower-case hexadecimal here, base64 in XML.
    pub digest_value: Digest,
}

/// XSD `ExtensionsListType`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Extensions {
    /// One, ours.
    #[schemars(length(min = 1, max = 1))]
    pub extension: Vec<Extension>,
}

/// Our extension: how this evidence stands in its delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Extension {
    /// Never critical: a reader may ignore it.
    #[serde(rename = "isCritical")]
    pub is_critical: bool,
    /// The delivery; absent in evidence about the whole submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_identifier: Option<DeliveryId>,
    /// Digest of the `.p7m` of the evidence before this one in the delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_evidence_digest: Option<Digest>,
    /// Hop of the issuer: 0 for the sender's node.
    pub hop: u8,
    /// Our name of the state that this evidence brought about.
    pub state: String,
}

/// What every evidence about one message repeats: who, to whom, what, when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// M01.
    pub message_id: MessageId,
    /// I02.
    pub sender: Party,
    /// When the sender was authenticated, for I10.
    pub authenticated_at: Timestamp,
    /// I06, all addressees.
    pub recipients: Vec<Party>,
    /// M03.
    pub submitted_at: Timestamp,
    /// M02.
    pub content: UserContentInfo,
}

impl Evidence {
    /// The event, when the URI is one of the standard.
    #[must_use]
    pub fn event(&self) -> Option<Event> {
        Event::parse(&self.erds_event_id)
    }

    /// The first reason of the standard.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.event_reasons
            .as_ref()
            .and_then(|r| r.event_reason.first())
            .and_then(|r| Reason::parse(&r.code))
    }

    /// The issuing node, from R02.
    #[must_use]
    pub fn issuer(&self) -> Option<NodeId> {
        node_of(&self.evidence_issuer_details)
    }

    /// The other node (M05).
    #[must_use]
    pub fn external(&self) -> Option<NodeId> {
        self.external_erds_details.as_ref().and_then(node_of)
    }

    /// Our extension.
    #[must_use]
    pub fn extension(&self) -> Option<&Extension> {
        self.extensions.extension.first()
    }

    /// The JSON that is sealed. Writing to memory cannot fail.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Name of the SAML attribute that holds a node id.
const NODE_ATTRIBUTE: &str = "urn:pli:node";

fn node_of(details: &EntityDetails) -> Option<NodeId> {
    details
        .identity
        .attribute
        .iter()
        .find(|a| a.name == NODE_ATTRIBUTE)
        .and_then(|a| a.attribute_value.first())
        .and_then(|v| v.parse().ok())
}

impl EntityDetails {
    /// A node by its id.
    #[must_use]
    pub fn node(id: &NodeId) -> Self {
        let attribute =
            Attribute { name: NODE_ATTRIBUTE.to_owned(), attribute_value: vec![id.to_string()] };
        Self { identity: Identity { attribute: vec![attribute] } }
    }
}

impl UserDetails {
    /// A party, authenticated at `authenticated` when given.
    #[must_use]
    pub fn party(party: &Party, authenticated: Option<Timestamp>) -> Self {
        let prefix = party.scheme.len() + 1;
        let value = party.key().get(prefix..).unwrap_or_default().to_owned();
        Self {
            identity: None,
            identifier: Identifier { value, scheme: party.scheme.clone() },
            assurance_levels_details: authenticated.map(|at| AssuranceLevelsDetails {
                global_assurance_level: AssuranceLevelDetails {
                    assurance_level: ASSURANCE.to_owned(),
                },
                authentication_details: AuthenticationDetails {
                    authentication_time: at,
                    authentication_method: OAUTH2.to_owned(),
                },
            }),
        }
    }
}

impl UserContentInfo {
    /// M02 of a manifest: plaintext and ciphertext digest of each document.
    #[must_use]
    pub fn of(documents: &[crate::envelope::Document]) -> Self {
        let part = |suffix: &str, media: &str, id, digest| PartInfo {
            identifier: format!("urn:uuid:{id}{suffix}"),
            content_type: media.to_owned(),
            digest_method: SHA256_URI.to_owned(),
            digest_value: digest,
        };
        let parts: Vec<_> = documents
            .iter()
            .flat_map(|d| {
                [
                    part("", &d.media_type, d.id, d.sha256),
                    part("#ciphertext", "application/octet-stream", d.id, d.cipher_sha256),
                ]
            })
            .collect();
        Self {
            composing_parts: u32::try_from(parts.len()).unwrap_or(u32::MAX),
            parts_info: PartsInfo { part_info: parts },
        }
    }
}

impl Subject {
    /// The subject of an accepted envelope.
    #[must_use]
    pub fn of(envelope: &crate::envelope::Envelope) -> Self {
        Self {
            message_id: envelope.message_id,
            sender: envelope.sender.clone(),
            authenticated_at: envelope.submitted_at,
            recipients: envelope.recipients.clone(),
            submitted_at: envelope.submitted_at,
            content: UserContentInfo::of(&envelope.documents),
        }
    }
}
