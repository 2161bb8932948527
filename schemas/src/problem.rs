//! Refusals: RFC 9457 problems with stable codes, whose fault it is, and two sentences.
//!
//! A code never changes its meaning. `reason` is the ETSI reason that the sealed evidence of the
//! same refusal carries (`protocol.md` section 9).

use serde::{Deserialize, Serialize};

use crate::event::Reason;

/// Root of the problem types.
pub const TYPE_ROOT: &str = "https://pli.example/problems/";

/// Whose fault a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Who called, or the member who sends.
    Sender,
    /// The addressee.
    Recipient,
    /// This node.
    Node,
    /// Another node.
    Peer,
    /// What lies between.
    Network,
}

/// The codes. Used in stored state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The recipient is not in the directory.
    RecipientUnknown,
    /// The recipient is not in service at present.
    RecipientNotActive,
    /// The recipient does not receive this process.
    RecipientNotSubscribed,
    /// This member may not do that.
    NotAuthorised,
    /// The two parties have no agreement for this process.
    AgreementMissing,
    /// The delegation does not cover this message.
    DelegationExceeded,
    /// A document is larger than the process allows.
    DocumentTooLarge,
    /// The type of a document is not allowed, or is not what it claims to be.
    DocumentTypeRefused,
    /// A document does not match its digest or size.
    DocumentCorrupted,
    /// A document is not there: it was never uploaded, has expired, or belongs to somebody else.
    DocumentUnknown,
    /// Malware was found in a document.
    MalwareDetected,
    /// The seal does not verify.
    SealInvalid,
    /// The certificate of the seal cannot be relied upon.
    CertificateInvalid,
    /// A time is too far from the clock of this node.
    TimestampOutOfRange,
    /// No timestamp authority answers: this node can promise no proof at present.
    TimestampUnavailable,
    /// The quota of this member is used up.
    QuotaExceeded,
    /// The recipient's space is full.
    RecipientQuota,
    /// The message is not well formed.
    EnvelopeInvalid,
    /// This identifier was already used for something else.
    DuplicateMismatch,
    /// The recipient's node cannot be reached.
    NodeUnreachable,
    /// The time limit has passed.
    Expired,
    /// The process is not in the catalogue.
    ProcessUnknown,
    /// A valid access token is needed.
    Unauthenticated,
    /// The client is unknown, or its secret is wrong.
    InvalidClient,
    /// The request cannot be understood.
    InvalidRequest,
    /// There is no such thing here.
    NotFound,
    /// This address does not serve that method.
    MethodNotAllowed,
    /// None of the accepted representations exists.
    NotAcceptable,
    /// The delivery is in a state that does not allow this.
    StateConflict,
    /// Somebody changed it meanwhile.
    PreconditionFailed,
    /// The range lies outside the document.
    RangeNotSatisfiable,
    /// Too many requests: slow down.
    TooManyRequests,
    /// The node is busy; nothing was accepted.
    Overloaded,
    /// The database does not answer; nothing was accepted.
    StoreUnavailable,
    /// A fault of this node; nothing was accepted.
    Internal,
    /// A frame on the backbone cannot be read.
    FrameMalformed,
    /// The node that sealed this is not in the directory.
    PeerUnknown,
    /// An evidence does not agree with the message it is about.
    EvidenceMismatch,
}

/// What is fixed about a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The code as written.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Whose fault.
    pub fault: Fault,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// Reason in evidence, where the refusal can stand in one.
    pub reason: Option<Reason>,
    /// English sentence.
    pub title: &'static str,
    /// French sentence.
    pub title_fr: &'static str,
}

impl Code {
    /// All codes.
    pub const ALL: [Self; 38] = [
        Self::RecipientUnknown,
        Self::RecipientNotActive,
        Self::RecipientNotSubscribed,
        Self::NotAuthorised,
        Self::AgreementMissing,
        Self::DelegationExceeded,
        Self::DocumentTooLarge,
        Self::DocumentTypeRefused,
        Self::DocumentCorrupted,
        Self::DocumentUnknown,
        Self::MalwareDetected,
        Self::SealInvalid,
        Self::CertificateInvalid,
        Self::TimestampOutOfRange,
        Self::TimestampUnavailable,
        Self::QuotaExceeded,
        Self::RecipientQuota,
        Self::EnvelopeInvalid,
        Self::DuplicateMismatch,
        Self::NodeUnreachable,
        Self::Expired,
        Self::ProcessUnknown,
        Self::Unauthenticated,
        Self::InvalidClient,
        Self::InvalidRequest,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::StateConflict,
        Self::PreconditionFailed,
        Self::RangeNotSatisfiable,
        Self::TooManyRequests,
        Self::Overloaded,
        Self::StoreUnavailable,
        Self::Internal,
        Self::FrameMalformed,
        Self::PeerUnknown,
        Self::EvidenceMismatch,
    ];

    /// What is fixed about this code.
    #[must_use]
    pub const fn facts(self) -> &'static Facts {
        match TABLE.split_at(self as usize).1.first() {
            Some(facts) => facts,
            None => &TABLE[0],
        }
    }

    /// The code as written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.facts().code
    }

    /// Reads a code.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.as_str() == text)
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

const fn row(
    code: &'static str,
    status: u16,
    fault: Fault,
    retryable: bool,
    reason: Option<Reason>,
    titles: (&'static str, &'static str),
) -> Facts {
    Facts { code, status, fault, retryable, reason, title: titles.0, title_fr: titles.1 }
}

/// In the order of [`Code`].
static TABLE: [Facts; 38] = [
    row(
        "recipient-unknown",
        422,
        Fault::Sender,
        false,
        Some(Reason::Rb10),
        (
            "The recipient is not in the directory.",
            "Le destinataire ne figure pas dans l'annuaire.",
        ),
    ),
    row(
        "recipient-not-active",
        422,
        Fault::Recipient,
        true,
        Some(Reason::Rb21),
        (
            "The recipient is not in service at present.",
            "Le destinataire n'est pas en service actuellement.",
        ),
    ),
    row(
        "recipient-not-subscribed",
        422,
        Fault::Recipient,
        false,
        Some(Reason::Rb21),
        (
            "The recipient does not receive this process.",
            "Le destinataire n'est pas abonné à cette démarche.",
        ),
    ),
    row(
        "not-authorised",
        403,
        Fault::Sender,
        false,
        Some(Reason::Ra05),
        ("This member may not do that.", "Ce membre n'y est pas habilité."),
    ),
    row(
        "agreement-missing",
        403,
        Fault::Sender,
        false,
        Some(Reason::Ra05),
        (
            "The two parties have no agreement for this process.",
            "Aucune convention ne lie les deux parties pour cette démarche.",
        ),
    ),
    row(
        "delegation-exceeded",
        403,
        Fault::Sender,
        false,
        Some(Reason::Ra05),
        ("The delegation does not cover this message.", "La délégation ne couvre pas ce pli."),
    ),
    row(
        "document-too-large",
        413,
        Fault::Sender,
        false,
        Some(Reason::Ra05),
        (
            "A document is larger than the process allows.",
            "Un document dépasse la taille admise par la démarche.",
        ),
    ),
    row(
        "document-type-refused",
        415,
        Fault::Sender,
        false,
        Some(Reason::Ra05),
        (
            "The type of a document is not allowed, or is not what it claims to be.",
            "Le type d'un document n'est pas admis, ou n'est pas celui annoncé.",
        ),
    ),
    row(
        "document-corrupted",
        422,
        Fault::Sender,
        true,
        Some(Reason::Ra02),
        (
            "A document does not match its digest or size.",
            "Un document ne correspond pas à son empreinte ou à sa taille.",
        ),
    ),
    row(
        "document-unknown",
        422,
        Fault::Sender,
        false,
        Some(Reason::Ra02),
        (
            "A document is not there: it was never uploaded, has expired, or belongs to somebody else.",
            "Un document est absent : jamais déposé, expiré, ou appartenant à un autre membre.",
        ),
    ),
    row(
        "malware-detected",
        422,
        Fault::Sender,
        false,
        Some(Reason::Ra03),
        (
            "Malware was found in a document.",
            "Un logiciel malveillant a été trouvé dans un document.",
        ),
    ),
    row(
        "seal-invalid",
        422,
        Fault::Peer,
        false,
        Some(Reason::Rb04),
        ("The seal does not verify.", "Le cachet électronique n'est pas valide."),
    ),
    row(
        "certificate-invalid",
        422,
        Fault::Peer,
        false,
        Some(Reason::Rb05),
        (
            "The certificate of the seal cannot be relied upon.",
            "Le certificat du cachet n'est pas digne de confiance.",
        ),
    ),
    row(
        "timestamp-out-of-range",
        422,
        Fault::Peer,
        true,
        Some(Reason::Rb06),
        (
            "A time is too far from the clock of this node.",
            "Une date s'écarte trop de l'horloge de ce nœud.",
        ),
    ),
    row(
        "timestamp-unavailable",
        503,
        Fault::Node,
        true,
        Some(Reason::Ra51),
        (
            "No timestamp authority answers: this node can promise no proof at present.",
            "Aucun service d'horodatage ne répond : ce nœud ne peut promettre de preuve pour l'instant.",
        ),
    ),
    row(
        "quota-exceeded",
        429,
        Fault::Sender,
        true,
        Some(Reason::Ra05),
        ("The quota of this member is used up.", "Le quota de ce membre est épuisé."),
    ),
    row(
        "recipient-quota",
        429,
        Fault::Recipient,
        true,
        Some(Reason::Rd04),
        ("The recipient's space is full.", "L'espace du destinataire est plein."),
    ),
    row(
        "envelope-invalid",
        400,
        Fault::Sender,
        false,
        Some(Reason::Ra02),
        ("The message is not well formed.", "Le pli n'est pas bien formé."),
    ),
    row(
        "duplicate-mismatch",
        409,
        Fault::Sender,
        false,
        Some(Reason::Ra02),
        (
            "This identifier was already used for something else.",
            "Cet identifiant a déjà servi pour un autre contenu.",
        ),
    ),
    row(
        "node-unreachable",
        502,
        Fault::Network,
        true,
        Some(Reason::Rb09),
        ("The recipient's node cannot be reached.", "Le nœud du destinataire est injoignable."),
    ),
    row(
        "expired",
        410,
        Fault::Sender,
        false,
        Some(Reason::Re04),
        ("The time limit has passed.", "Le délai est dépassé."),
    ),
    row(
        "process-unknown",
        422,
        Fault::Sender,
        false,
        Some(Reason::Ra05),
        ("The process is not in the catalogue.", "La démarche ne figure pas au catalogue."),
    ),
    row(
        "unauthenticated",
        401,
        Fault::Sender,
        false,
        None,
        ("A valid access token is needed.", "Un jeton d'accès valide est nécessaire."),
    ),
    row(
        "invalid-client",
        401,
        Fault::Sender,
        false,
        None,
        (
            "The client is unknown, or its secret is wrong.",
            "L'application est inconnue, ou son secret est faux.",
        ),
    ),
    row(
        "invalid-request",
        400,
        Fault::Sender,
        false,
        None,
        ("The request cannot be understood.", "La requête n'est pas compréhensible."),
    ),
    row(
        "not-found",
        404,
        Fault::Sender,
        false,
        None,
        ("There is no such thing here.", "Cet élément n'existe pas ici."),
    ),
    row(
        "method-not-allowed",
        405,
        Fault::Sender,
        false,
        None,
        ("This address does not serve that method.", "Cette adresse n'accepte pas cette méthode."),
    ),
    row(
        "not-acceptable",
        406,
        Fault::Sender,
        false,
        None,
        (
            "None of the accepted representations exists.",
            "Aucune des représentations acceptées n'existe.",
        ),
    ),
    row(
        "state-conflict",
        409,
        Fault::Sender,
        false,
        None,
        (
            "The delivery is in a state that does not allow this.",
            "L'état de la remise ne le permet pas.",
        ),
    ),
    row(
        "precondition-failed",
        412,
        Fault::Sender,
        false,
        None,
        ("Somebody changed it meanwhile.", "Quelqu'un l'a modifié entre-temps."),
    ),
    row(
        "range-not-satisfiable",
        416,
        Fault::Sender,
        false,
        None,
        ("The range lies outside the document.", "L'intervalle demandé est hors du document."),
    ),
    row(
        "too-many-requests",
        429,
        Fault::Sender,
        true,
        None,
        ("Too many requests: slow down.", "Trop de requêtes : ralentissez."),
    ),
    row(
        "overloaded",
        503,
        Fault::Node,
        true,
        None,
        ("The node is busy; nothing was accepted.", "Le nœud est saturé ; rien n'a été accepté."),
    ),
    row(
        "store-unavailable",
        503,
        Fault::Node,
        true,
        None,
        (
            "The database does not answer; nothing was accepted.",
            "La base de données ne répond pas ; rien n'a été accepté.",
        ),
    ),
    row(
        "internal",
        500,
        Fault::Node,
        true,
        Some(Reason::Ra51),
        (
            "A fault of this node; nothing was accepted.",
            "Une anomalie de ce nœud ; rien n'a été accepté.",
        ),
    ),
    row(
        "frame-malformed",
        400,
        Fault::Peer,
        false,
        None,
        ("A frame on the backbone cannot be read.", "Une trame reçue est illisible."),
    ),
    row(
        "peer-unknown",
        403,
        Fault::Peer,
        false,
        None,
        (
            "The node that sealed this is not in the directory.",
            "Le nœud émetteur ne figure pas dans l'annuaire.",
        ),
    ),
    row(
        "evidence-mismatch",
        422,
        Fault::Peer,
        false,
        None,
        (
            "An evidence does not agree with the message it is about.",
            "Une preuve ne concorde pas avec le pli qu'elle concerne.",
        ),
    ),
];

/// `application/problem+json` as every refusal is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// [`TYPE_ROOT`] and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// English sentence of the code.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What is wrong here, in English.
    pub detail: String,
    /// The stable code.
    pub code: Code,
    /// Whose fault.
    pub fault: Fault,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// French sentence of the code.
    pub title_fr: String,
    /// What is wrong here, in French.
    pub detail_fr: String,
    /// The request, as `urn:uuid:`.
    pub instance: String,
    /// Evidence of the refusal (A.2), when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence_id: Option<crate::ids::EvidenceId>,
    /// The message that was refused, when it got an identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<crate::ids::MessageId>,
}

impl Problem {
    /// A problem with its details in English and in French.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>, detail_fr: impl Into<String>) -> Self {
        let facts = code.facts();
        Self {
            kind: format!("{TYPE_ROOT}{}", facts.code),
            title: facts.title.to_owned(),
            status: facts.status,
            detail: detail.into(),
            code,
            fault: facts.fault,
            retryable: facts.retryable,
            title_fr: facts.title_fr.to_owned(),
            detail_fr: detail_fr.into(),
            instance: String::new(),
            evidence_id: None,
            message_id: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_finds_its_own_row() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert_eq!(Code::parse(code.as_str()), Some(code));
        }
    }
}
