//! Every route of `/v1`, in the order of `interfaces.md` section 1.

use serde_json::{Value, json};

use super::operation::{Operation, binary, reference, typed};
use super::uploads;
use crate::api::{NewStatus, Refusal, RefusalCode, STATES, StatusReceipt, Token, TokenRequest};
use crate::catalogue::Process;
use crate::event::Event;
use crate::problem::Code;
use crate::sample::{self, view};
use crate::status::BusinessStatus;

const JSON: &str = "application/json";

/// All operations.
pub(super) fn all() -> Vec<Operation> {
    let mut all = vec![token(), upload()];
    all.extend(uploads::all());
    all.extend(messages());
    all.extend(evidence());
    all.extend(inbox());
    all.push(events());
    all.extend(directory());
    all.extend(node());
    all
}

fn token() -> Operation {
    let token = Token {
        access_token: "c2FtcGxlLXRva2VuLW9mLXRoZS1leGFtcGxl".to_owned(),
        token_type: "Bearer".to_owned(),
        expires_in: 3_600,
        scope: "send receive read".to_owned(),
    };
    let request = TokenRequest {
        grant_type: "client_credentials".to_owned(),
        scope: Some("send receive read".to_owned()),
        client_id: None,
        client_secret: None,
    };
    let refusal = |about: &str| (about.to_owned(), typed("TokenProblem", view::token_problem()));
    let (wrong, body) = refusal("`invalid-request`: the form cannot be understood.");
    let (unknown, again) = refusal("`invalid-client`: unknown client or wrong secret.");
    Operation::new(
        "post",
        "/oauth2/token",
        "requestToken",
        "access",
        ("Get an access token", "Obtenir un jeton d'accès"),
    )
    .describe("Client credentials (RFC 6749 §4.4), by HTTP Basic or in the form.")
    .client()
    .body(&[("application/x-www-form-urlencoded", typed("TokenRequest", request))])
    .answer(200, "A token.", &[(JSON, typed("Token", token))], &[])
    .answer(400, &wrong, &[("application/problem+json", body)], &[])
    .answer(401, &unknown, &[("application/problem+json", again)], &["WWW-Authenticate"])
    .refuse(&[
        Code::BodyTooLarge,
        Code::TooManyRequests,
        Code::Overloaded,
        Code::StoreUnavailable,
        Code::Internal,
    ])
}

fn upload() -> Operation {
    Operation::new(
        "post",
        "/v1/documents",
        "uploadDocument",
        "documents",
        ("Upload a document", "Déposer un document"),
    )
    .describe(
        "The body is the document. It is checked and scanned while it streams, encrypted, and kept \
         for 24 hours unless a message uses it. With `?resumable` it may arrive in several \
         requests (draft-ietf-httpbis-resumable-upload): the answer to a first one that is not \
         complete names in `Location` where to go on with PATCH.",
    )
    .scope("send")
    .query("process", reference("ProcessCode"), "The démarche whose limit holds.")
    .query("resumable", json!({ "type": "string" }), "Whatever its value: see above.")
    .shared("upload-complete")
    .shared("upload-length")
    .shared("repr-digest")
    .shared("idempotency-key")
    .shared("content-digest")
    .shared("content-disposition")
    .body(&[("*/*", binary())])
    .answer(
        201,
        "The document; or, without a body, an upload that has begun.",
        &[(JSON, typed("DocumentView", view::document()))],
        &["Location", "Upload-Complete", "Upload-Limit", "Upload-Offset"],
    )
    .refuse(&[
        Code::UploadLengthInconsistent,
        Code::DocumentCorrupted,
        Code::DocumentTooLarge,
        Code::DocumentTypeRefused,
        Code::DuplicateMismatch,
        Code::InvalidRequest,
        Code::MalwareDetected,
        Code::QuotaExceeded,
    ])
}

fn messages() -> Vec<Operation> {
    let state = json!({ "type": "string", "enum": STATES });
    vec![
        send(),
        Operation::new(
            "get",
            "/v1/messages",
            "listMessages",
            "messages",
            ("List sent messages", "Lister les plis envoyés"),
        )
        .scope("read")
        .shared("after")
        .shared("limit")
        .query("process", reference("ProcessCode"), "Only this démarche.")
        .query("state", state, "Only messages with a delivery in this state.")
        .answer(200, "A page.", &page("MessageView", view::message()), &[])
        .refuse(&[Code::InvalidRequest]),
        Operation::new(
            "get",
            "/v1/messages/{id}",
            "readMessage",
            "messages",
            ("Read a message and its deliveries", "Lire un pli et ses remises"),
        )
        .scope("read")
        .path("id", "MessageId", "The message.")
        .shared("if-none-match")
        .answer(200, "The message.", &[(JSON, typed("MessageView", view::message()))], &["ETag"])
        .answer(304, "The caller holds it already.", &[], &["ETag"])
        .refuse(&[Code::NotFound]),
    ]
}

fn send() -> Operation {
    let multipart = json!({
        "schema": {
            "type": "object",
            "required": ["message"],
            "properties": { "message": reference("NewMessage") },
            "additionalProperties": { "type": "string", "contentMediaType": "*/*" },
            "description": "Part `message`, and one part for each file: `documents[].id` of the \
                            message names the part.",
        },
        "encoding": { "message": { "contentType": JSON } },
    });
    Operation::new(
        "post",
        "/v1/messages",
        "sendMessage",
        "messages",
        ("Send a message", "Envoyer un pli"),
    )
    .describe(
        "Answers when the message is durable and its SubmissionAcceptance (A.1) is sealed. A \
         refusal leaves sealed SubmissionRejection (A.2) evidence, named in the problem.",
    )
    .scope("send")
    .shared("idempotency-key")
    .body(&[(JSON, typed("NewMessage", sample::new_message())), ("multipart/form-data", multipart)])
    .answer(201, "Accepted.", &[(JSON, typed("MessageView", view::message()))], &["Location"])
    .refuse(&[
        Code::AgreementMissing,
        Code::BodyTooLarge,
        Code::DelegationExceeded,
        Code::DocumentCorrupted,
        Code::DocumentTooLarge,
        Code::DocumentTypeRefused,
        Code::DocumentUnknown,
        Code::DuplicateMismatch,
        Code::EnvelopeInvalid,
        Code::Expired,
        Code::InvalidRequest,
        Code::MalwareDetected,
        Code::MediaTypeNotTaken,
        Code::ProcessUnknown,
        Code::QuotaExceeded,
        Code::RecipientNotActive,
        Code::RecipientNotSubscribed,
        Code::RecipientUnknown,
        Code::TimestampUnavailable,
    ])
}

fn evidence() -> Vec<Operation> {
    let one = sample::evidence(Event::SubmissionAcceptance);
    let xml = json!({
        "schema": { "type": "string", "description": "ETSI EN 319 522-3, element Evidence." },
    });
    vec![
        Operation::new(
            "get",
            "/v1/messages/{id}/proof",
            "readProof",
            "evidence",
            ("Download the proof bundle", "Télécharger le dossier de preuve"),
        )
        .describe("An ASiC-E container that `pli verify` and others check offline.")
        .scope("read")
        .path("id", "MessageId", "The message.")
        .answer(
            200,
            "The container.",
            &[("application/vnd.etsi.asic-e+zip", binary())],
            &["Content-Digest", "Content-Disposition"],
        )
        .refuse(&[Code::NotFound]),
        Operation::new(
            "get",
            "/v1/messages/{id}/evidence",
            "listEvidence",
            "evidence",
            ("List the evidence of a message", "Lister les preuves d'un pli"),
        )
        .scope("read")
        .path("id", "MessageId", "The message.")
        .answer(200, "A page, oldest first.", &page("Step", view::step()), &[])
        .refuse(&[Code::NotFound]),
        Operation::new(
            "get",
            "/v1/evidence/{evidence_id}",
            "readEvidence",
            "evidence",
            ("Read one evidence", "Lire une preuve"),
        )
        .describe(
            "By Accept: the sealed file as it was issued, its content, or the same as ETSI XML.",
        )
        .scope("read")
        .path("evidence_id", "EvidenceId", "The evidence.")
        .answer(
            200,
            "The evidence.",
            &[
                ("application/pkcs7-mime", binary()),
                (JSON, typed("Evidence", one)),
                ("application/xml", xml),
            ],
            &["Content-Digest", "ETag"],
        )
        .refuse(&[Code::NotFound, Code::NotAcceptable]),
    ]
}

fn inbox() -> Vec<Operation> {
    let mut all = vec![
        Operation::new(
            "get",
            "/v1/inbox",
            "listInbox",
            "inbox",
            ("List what waits for this member", "Lister ce qui attend ce membre"),
        )
        .describe(
            "Oldest first. An item that was handed out and not acknowledged comes back after its \
             visibility time.",
        )
        .scope("receive")
        .shared("after")
        .shared("wait")
        .shared("limit")
        .answer(200, "A page.", &page("InboxItem", view::inbox_item()), &[])
        .refuse(&[Code::InvalidRequest]),
        Operation::new(
            "get",
            "/v1/inbox/{delivery_id}",
            "readInboxItem",
            "inbox",
            ("Read the header and manifest of a delivery", "Lire l'en-tête et le bordereau"),
        )
        .scope("receive")
        .path("delivery_id", "DeliveryId", "The delivery.")
        .answer(200, "The item.", &[(JSON, typed("InboxItem", view::inbox_item()))], &["ETag"])
        .refuse(&[Code::NotFound]),
        Operation::new(
            "get",
            "/v1/inbox/{delivery_id}/documents/{document_id}",
            "readDocument",
            "inbox",
            ("Download a document", "Télécharger un document"),
        )
        .scope("receive")
        .path("delivery_id", "DeliveryId", "The delivery.")
        .path("document_id", "DocumentId", "The document.")
        .shared("range")
        .shared("if-none-match")
        .answer(200, "The document.", &[("*/*", binary())], &DOCUMENT_HEADERS)
        .answer(206, "The range.", &[("*/*", binary())], &RANGE_HEADERS)
        .answer(304, "The caller holds it already.", &[], &["ETag"])
        .refuse(&[
            Code::DocumentCorrupted,
            Code::Expired,
            Code::NotFound,
            Code::RangeNotSatisfiable,
            Code::StateConflict,
        ]),
    ];
    all.extend(acts());
    all
}

const DOCUMENT_HEADERS: [&str; 4] =
    ["Content-Digest", "Content-Disposition", "ETag", "Accept-Ranges"];
const RANGE_HEADERS: [&str; 4] = ["Content-Digest", "Content-Range", "ETag", "Accept-Ranges"];

/// What a recipient does with a delivery.
fn acts() -> Vec<Operation> {
    let act = |path, id, summaries, about: &str| {
        Operation::new("post", path, id, "inbox", summaries)
            .describe(about)
            .scope("receive")
            .path("delivery_id", "DeliveryId", "The delivery.")
            .shared("if-match")
            .refuse(&[Code::NotFound, Code::StateConflict, Code::Expired, Code::PreconditionFailed])
    };
    let receipt = [(JSON, typed("Receipt", view::receipt()))];
    let refusal = Refusal {
        reason: Some("Notre logiciel ne lit pas ce format.".to_owned()),
        code: Some(RefusalCode::DocumentTypeRefused),
    };
    let status = NewStatus {
        status: BusinessStatus::AddAwaiting,
        reason: None,
        message: Some("Merci de joindre le livret de famille.".to_owned()),
    };
    let answer = StatusReceipt {
        delivery_id: view::inbox_item().delivery_id,
        state: "handed_over".to_owned(),
        business_status: BusinessStatus::AddAwaiting,
        at: sample::status_update().at,
    };
    vec![
        act(
            "/v1/inbox/{delivery_id}/acknowledge",
            "acknowledge",
            ("Acknowledge the handover", "Acquitter la remise"),
            "Seals ContentHandover (E.1). Idempotent: the same evidence on every repeat.",
        )
        .answer(200, "Handed over.", &receipt, &[]),
        act(
            "/v1/inbox/{delivery_id}/accept",
            "acceptDelivery",
            ("Accept a delivery", "Accepter un pli"),
            "In consignment mode `consent`: seals ConsignmentAcceptance (C.3).",
        )
        .answer(200, "Accepted.", &receipt, &[]),
        act(
            "/v1/inbox/{delivery_id}/refuse",
            "refuseDelivery",
            ("Refuse a delivery", "Refuser un pli"),
            "In consignment mode `consent`: seals ConsignmentRejection (C.4); the content is \
             erased. Of what was made available without being asked for, with the code \
             `document-type-refused`: seals ContentHandoverFailure (E.2, RE03); the delivery stays \
             proven and the content readable. Idempotent: the same evidence on every repeat.",
        )
        .body(&[(JSON, typed("Refusal", refusal))])
        .optional_body()
        .answer(200, "Refused.", &receipt, &[])
        .refuse(&UNREADABLE),
        act(
            "/v1/inbox/{delivery_id}/status",
            "setStatus",
            ("Set a business status", "Donner un statut métier"),
            "The recipient sets what becomes of the message after its handover; the sender of the \
             delivery closes it or opens it again. Sealed, but no delivery evidence.",
        )
        .shared("idempotency-key")
        .body(&[(JSON, typed("NewStatus", status))])
        .answer(200, "Set.", &[(JSON, typed("StatusReceipt", answer))], &[])
        .refuse(&UNREADABLE)
        .refuse(&[Code::DuplicateMismatch]),
    ]
}

/// Refusals of a JSON body.
const UNREADABLE: [Code; 3] = [Code::InvalidRequest, Code::BodyTooLarge, Code::MediaTypeNotTaken];

fn events() -> Operation {
    Operation::new(
        "get",
        "/v1/events",
        "listEvents",
        "events",
        ("Follow everything that happens", "Suivre tout ce qui arrive"),
    )
    .describe(
        "Everything that happened to this member's messages, in order, as CloudEvents 1.0. After \
         the last page, go on with the last `next` that was not null.",
    )
    .scope("read")
    .shared("after")
    .shared("wait")
    .shared("limit")
    .answer(200, "A page.", &page("CloudEvent", view::cloud_event()), &[])
    .refuse(&[Code::InvalidRequest])
}

fn directory() -> Vec<Operation> {
    let process: Option<Process> = sample::catalogue().processes.into_iter().next();
    let text = || json!({ "type": "string", "maxLength": 200 });
    vec![
        Operation::new(
            "get",
            "/v1/directory/parties",
            "listParties",
            "directory",
            ("Search who can receive", "Chercher un destinataire"),
        )
        .scope("read")
        .query("q", text(), "Words of the name, or the beginning of a number.")
        .query("cog", reference("Cog"), "The member of this commune.")
        .query("process", reference("ProcessCode"), "Only who receives this démarche.")
        .shared("after")
        .shared("limit")
        .answer(200, "A page.", &page("DirectoryParty", view::directory_party()), &[])
        .refuse(&[Code::InvalidRequest]),
        Operation::new(
            "get",
            "/v1/directory/parties/{scheme}/{id}",
            "listPartiesByNumber",
            "directory",
            ("Look up a party by its number", "Trouver un destinataire par son numéro"),
        )
        .scope("read")
        .path("scheme", "PartyScheme", "`iso6523:0009` (SIRET) or `iso6523:0002` (SIREN).")
        .path("id", "PartyNumber", "The number.")
        .answer(200, "The party.", &[(JSON, typed("DirectoryParty", view::directory_party()))], &[])
        .refuse(&[Code::NotFound]),
        Operation::new(
            "get",
            "/v1/processes",
            "listProcesses",
            "directory",
            ("List the processes of the catalogue", "Lister les démarches du catalogue"),
        )
        .scope("read")
        .shared("after")
        .shared("limit")
        .answer(200, "A page.", &page("Process", &process), &["ETag"])
        .refuse(&[Code::InvalidRequest]),
        Operation::new(
            "get",
            "/v1/processes/{code}",
            "readProcess",
            "directory",
            ("Read a process and its limits", "Lire une démarche et ses limites"),
        )
        .scope("read")
        .path("code", "ProcessCode", "The démarche.")
        .answer(200, "The process.", &[(JSON, typed("Process", &process))], &["ETag"])
        .refuse(&[Code::NotFound]),
    ]
}

fn node() -> Vec<Operation> {
    let get = |path, id, en, fr| Operation::new("get", path, id, "node", (en, fr)).public();
    let readiness = [(JSON, typed("Readiness", view::readiness()))];
    let text = |media, about: &str| {
        (media, json!({ "schema": { "type": "string", "description": about } }))
    };
    vec![
        get("/health/live", "readLiveness", "Is the process alive?", "Le processus vit-il ?")
            .answer(200, "It is.", &[], &[]),
        get("/health/ready", "readReadiness", "Can it take messages?", "Peut-il recevoir ?")
            .describe("Names each dependency, and why it is not ready.")
            .answer(200, "It can.", &readiness, &[])
            .answer(503, "It cannot at present.", &readiness, &["Retry-After"]),
        get("/metrics", "readMetrics", "Metrics", "Métriques").answer(
            200,
            "Prometheus text format.",
            &[text("text/plain", "Prometheus exposition format 0.0.4.")],
            &[],
        ),
        get("/openapi.json", "readOpenApi", "This document", "Ce document").answer(
            200,
            "OpenAPI 3.1.",
            &[(JSON, json!({ "schema": { "type": "object" } }))],
            &["ETag"],
        ),
        get("/docs", "readDocs", "This document for people", "Ce document, pour les personnes")
            .answer(200, "A page.", &[text("text/html", "HTML.")], &[]),
    ]
}

/// A page with one item.
fn page(item: &str, example: impl serde::Serialize) -> [(&'static str, Value); 1] {
    let body = json!({ "items": [example], "next": "MDE5YWIwNGU" });
    [(JSON, typed(&format!("PageOf{item}"), body))]
}
