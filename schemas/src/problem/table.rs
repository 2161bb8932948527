//! The table of problem codes: from each row come the code, its documentation, and its facts.
//!
//! `Name = "code", HTTP status, whose fault, whether a repeat can help, reason in evidence;` then
//! what happened, and what to do, each in English and in French.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Facts, Fault::*};
use crate::event::Reason::*;

macro_rules! codes {
    ($(
        $name:ident = $code:literal, $status:literal, $fault:ident, $retryable:literal, $reason:expr;
        en: $title:literal;
        fr: $title_fr:literal;
        en: $remedy:literal;
        fr: $remedy_fr:literal;
    )+) => {
        /// The codes. Used in stored state.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "kebab-case")]
        pub enum Code {
            $(#[doc = $title] $name,)+
        }

        impl Code {
            /// All codes.
            pub const ALL: [Self; COUNT] = [$(Self::$name,)+];
        }

        const COUNT: usize = [$($code),+].len();

        /// In the order of [`Code`].
        pub(super) static TABLE: [Facts; COUNT] = [$(Facts {
            code: $code,
            status: $status,
            fault: $fault,
            retryable: $retryable,
            reason: $reason,
            title: $title,
            title_fr: $title_fr,
            remedy: $remedy,
            remedy_fr: $remedy_fr,
        },)+];
    };
}

codes! {
    RecipientUnknown = "recipient-unknown", 422, Sender, false, Some(Rb10);
        en: "The recipient is not in the directory.";
        fr: "Le destinataire ne figure pas dans l'annuaire.";
        en: "Look the party up with GET /v1/directory/parties (or `pli directory show`), correct \
             the number, service or desk, and send again.";
        fr: "Cherchez le destinataire avec GET /v1/directory/parties (ou `pli directory show`), \
             corrigez le numéro, le service ou le guichet, puis renvoyez le pli.";

    RecipientNotActive = "recipient-not-active", 422, Recipient, true, Some(Rb21);
        en: "The recipient is not in service at present.";
        fr: "Le destinataire n'est pas en service actuellement.";
        en: "The recipient is pending, suspended or closed. Try again later, or write to its \
             successor when the directory names one.";
        fr: "Le destinataire est en attente, suspendu ou fermé. Réessayez plus tard, ou écrivez \
             à son successeur si l'annuaire en désigne un.";

    RecipientNotSubscribed = "recipient-not-subscribed", 422, Recipient, false, Some(Rb21);
        en: "The recipient does not receive this process.";
        fr: "Le destinataire n'est pas abonné à cette démarche.";
        en: "Ask the recipient to subscribe to the process, or choose one that it receives (GET \
             /v1/directory/parties/{scheme}/{id}).";
        fr: "Demandez au destinataire de s'abonner à la démarche, ou choisissez-en une qu'il \
             reçoit (GET /v1/directory/parties/{scheme}/{id}).";

    NotAuthorised = "not-authorised", 403, Sender, false, Some(Ra05);
        en: "This member may not do that.";
        fr: "Ce membre n'y est pas habilité.";
        en: "Use a client that has the scope and the authorisation, or ask the operator of your \
             node to grant them.";
        fr: "Utilisez une application qui a le droit requis, ou demandez à l'opérateur de votre \
             nœud de l'accorder.";

    AgreementMissing = "agreement-missing", 403, Sender, false, Some(Ra05);
        en: "The two parties have no agreement for this process.";
        fr: "Aucune convention ne lie les deux parties pour cette démarche.";
        en: "Conclude the agreement (convention) with the other party; once both have sealed it \
             and the node holds it, send again.";
        fr: "Concluez la convention avec l'autre partie ; une fois qu'elle est scellée des deux \
             côtés et connue du nœud, renvoyez le pli.";

    DelegationExceeded = "delegation-exceeded", 403, Sender, false, Some(Ra05);
        en: "The delegation does not cover this message.";
        fr: "La délégation ne couvre pas ce pli.";
        en: "Check the dates, processes and recipients of the delegation; send in your own name \
             or ask for a wider one.";
        fr: "Vérifiez les dates, démarches et destinataires de la délégation ; envoyez en votre \
             nom ou demandez une délégation plus large.";

    DocumentTooLarge = "document-too-large", 413, Sender, false, Some(Ra05);
        en: "A document is larger than the process allows.";
        fr: "Un document dépasse la taille admise par la démarche.";
        en: "Read the limits with GET /v1/processes/{code}; make the document smaller, split it, \
             or use a process with a higher limit.";
        fr: "Lisez les limites avec GET /v1/processes/{code} ; allégez ou découpez le document, \
             ou passez par une démarche plus généreuse.";

    DocumentTypeRefused = "document-type-refused", 415, Sender, false, Some(Ra05);
        en: "The type of a document is not allowed, or is not what it claims to be.";
        fr: "Le type d'un document n'est pas admis, ou n'est pas celui annoncé.";
        en: "Read the accepted types with GET /v1/processes/{code}; declare the true media type, \
             or convert the document.";
        fr: "Lisez les types admis avec GET /v1/processes/{code} ; déclarez le vrai type de \
             média, ou convertissez le document.";

    DocumentCorrupted = "document-corrupted", 422, Sender, true, Some(Ra02);
        en: "A document does not match its digest or size.";
        fr: "Un document ne correspond pas à son empreinte ou à sa taille.";
        en: "Compute the SHA-256 of your file again and repeat the upload: something changed the \
             bytes on the way.";
        fr: "Recalculez l'empreinte SHA-256 de votre fichier et recommencez le dépôt : des \
             octets ont été altérés en chemin.";

    DocumentUnknown = "document-unknown", 422, Sender, false, Some(Ra02);
        en: "A document is not there: it was never uploaded, has expired, or belongs to somebody \
             else.";
        fr: "Un document est absent : jamais déposé, expiré, ou appartenant à un autre membre.";
        en: "Upload the document again (an upload is kept for 24 hours) and use the id of the \
             answer.";
        fr: "Déposez de nouveau le document (un dépôt est gardé 24 heures) et reprenez \
             l'identifiant de la réponse.";

    MalwareDetected = "malware-detected", 422, Sender, false, Some(Ra03);
        en: "Malware was found in a document.";
        fr: "Un logiciel malveillant a été trouvé dans un document.";
        en: "Do not send the file again. Clean the machine that it came from, rebuild the \
             document, and tell your security officer.";
        fr: "Ne renvoyez pas ce fichier. Assainissez le poste d'où il vient, refaites le \
             document, et prévenez votre responsable de sécurité.";

    SealInvalid = "seal-invalid", 422, Peer, false, Some(Rb04);
        en: "The seal does not verify.";
        fr: "Le cachet électronique n'est pas valide.";
        en: "Keep the bytes: they are archived. The operator of the sending node must find out \
             what altered them, and send again.";
        fr: "Conservez les octets : ils sont archivés. L'opérateur du nœud émetteur doit \
             chercher ce qui les a altérés, puis renvoyer.";

    CertificateInvalid = "certificate-invalid", 422, Peer, false, Some(Rb05);
        en: "The certificate of the seal cannot be relied upon.";
        fr: "Le certificat du cachet n'est pas digne de confiance.";
        en: "The operator of the sending node renews its certificate, or publishes it in the \
             directory; `pli node doctor` names the cause.";
        fr: "L'opérateur du nœud émetteur renouvelle son certificat ou le publie dans l'annuaire \
             ; `pli node doctor` donne la cause.";

    TimestampOutOfRange = "timestamp-out-of-range", 422, Peer, true, Some(Rb06);
        en: "A time is too far from the clock of this node.";
        fr: "Une date s'écarte trop de l'horloge de ce nœud.";
        en: "Synchronise the clocks of both nodes (NTP); the gap is in the detail. Then send \
             again.";
        fr: "Synchronisez les horloges des deux nœuds (NTP) ; l'écart figure dans le détail. \
             Puis renvoyez.";

    TimestampUnavailable = "timestamp-unavailable", 503, Node, true, Some(Ra51);
        en: "No timestamp authority answers: this node can promise no proof at present.";
        fr: "Aucun service d'horodatage ne répond : ce nœud ne peut promettre de preuve pour \
             l'instant.";
        en: "Wait: the node accepts messages again as soon as a timestamp authority answers. \
             Operators: see `pli node status`, configure a second authority.";
        fr: "Patientez : le nœud accepte de nouveau les plis dès qu'une autorité d'horodatage \
             répond. Exploitants : voir `pli node status`, configurez une seconde autorité.";

    QuotaExceeded = "quota-exceeded", 429, Sender, true, Some(Ra05);
        en: "The quota of this member is used up.";
        fr: "Le quota de ce membre est épuisé.";
        en: "Wait until the time in Retry-After, or ask the operator of your node for a larger \
             quota.";
        fr: "Attendez le délai indiqué par Retry-After, ou demandez un quota plus large à \
             l'opérateur de votre nœud.";

    RecipientQuota = "recipient-quota", 429, Recipient, true, Some(Rd04);
        en: "The recipient's space is full.";
        fr: "L'espace du destinataire est plein.";
        en: "The recipient must collect what waits for it; the node tries again until the \
             deadline of the process.";
        fr: "Le destinataire doit relever ce qui l'attend ; le nœud réessaie jusqu'à l'échéance \
             de la démarche.";

    EnvelopeInvalid = "envelope-invalid", 400, Sender, false, Some(Ra02);
        en: "The message is not well formed.";
        fr: "Le pli n'est pas bien formé.";
        en: "The detail names the member by its JSON Pointer and the rule that it breaks. \
             Correct it and send again.";
        fr: "Le détail donne le champ (JSON Pointer) et la règle enfreinte. Corrigez, puis \
             renvoyez.";

    DuplicateMismatch = "duplicate-mismatch", 409, Sender, false, Some(Ra02);
        en: "This identifier was already used for something else.";
        fr: "Cet identifiant a déjà servi pour un autre contenu.";
        en: "Use a new Idempotency-Key for a new message; repeat the same body to get the stored \
             answer.";
        fr: "Utilisez une nouvelle clé Idempotency-Key pour un nouveau pli ; répétez le même \
             corps pour retrouver la réponse enregistrée.";

    NodeUnreachable = "node-unreachable", 502, Network, true, Some(Rb09);
        en: "The recipient's node cannot be reached.";
        fr: "Le nœud du destinataire est injoignable.";
        en: "Nothing to do for the sender: the node tries again until the deadline. Operators: \
             check the backbone with `pli node doctor`.";
        fr: "Rien à faire pour l'expéditeur : le nœud réessaie jusqu'à l'échéance. Exploitants : \
             vérifiez le réseau avec `pli node doctor`.";

    Expired = "expired", 410, Sender, false, Some(Re04);
        en: "The time limit has passed.";
        fr: "Le délai est dépassé.";
        en: "Send a new message with a later expiry; this one can no longer be delivered, and \
             its evidence says so.";
        fr: "Envoyez un nouveau pli avec une échéance plus lointaine ; celui-ci ne peut plus \
             être remis, et sa preuve le dit.";

    ProcessUnknown = "process-unknown", 422, Sender, false, Some(Ra05);
        en: "The process is not in the catalogue.";
        fr: "La démarche ne figure pas au catalogue.";
        en: "Read the codes with GET /v1/processes. The catalogue of your node may be older than \
             the process.";
        fr: "Lisez les codes avec GET /v1/processes. Le catalogue de votre nœud est peut-être \
             antérieur à la démarche.";

    Unauthenticated = "unauthenticated", 401, Sender, false, None;
        en: "A valid access token is needed.";
        fr: "Un jeton d'accès valide est nécessaire.";
        en: "Get a token from POST /oauth2/token and send it as `Authorization: Bearer`. A token \
             lasts one hour.";
        fr: "Obtenez un jeton par POST /oauth2/token et joignez-le : `Authorization: Bearer`. Un \
             jeton dure une heure.";

    InvalidClient = "invalid-client", 401, Sender, false, None;
        en: "The client is unknown, or its secret is wrong.";
        fr: "L'application est inconnue, ou son secret est faux.";
        en: "Check the client id and its secret; ask the operator of your node for a new secret \
             (`pli clients add`).";
        fr: "Vérifiez l'identifiant et le secret de l'application ; demandez un nouveau secret à \
             l'opérateur du nœud (`pli clients add`).";

    InvalidRequest = "invalid-request", 400, Sender, false, None;
        en: "The request cannot be understood.";
        fr: "La requête n'est pas compréhensible.";
        en: "The detail says what could not be read: the query, a header or the body. Compare \
             with /openapi.json.";
        fr: "Le détail dit ce qui n'a pu être lu : la requête, un en-tête ou le corps. Comparez \
             avec /openapi.json.";

    NotFound = "not-found", 404, Sender, false, None;
        en: "There is no such thing here.";
        fr: "Cet élément n'existe pas ici.";
        en: "Check the address and the id. What belongs to another member is not found either.";
        fr: "Vérifiez l'adresse et l'identifiant. Ce qui appartient à un autre membre est, lui \
             aussi, introuvable.";

    MethodNotAllowed = "method-not-allowed", 405, Sender, false, None;
        en: "This address does not serve that method.";
        fr: "Cette adresse n'accepte pas cette méthode.";
        en: "Use one of the methods in the Allow header.";
        fr: "Utilisez l'une des méthodes de l'en-tête Allow.";

    NotAcceptable = "not-acceptable", 406, Sender, false, None;
        en: "None of the accepted representations exists.";
        fr: "Aucune des représentations acceptées n'existe.";
        en: "Ask for a representation that exists; the detail lists them.";
        fr: "Demandez une représentation existante ; le détail les énumère.";

    StateConflict = "state-conflict", 409, Sender, false, None;
        en: "The delivery is in a state that does not allow this.";
        fr: "L'état de la remise ne le permet pas.";
        en: "Read the delivery again: its state and what may be done now have changed.";
        fr: "Relisez la remise : son état a changé, et donc ce qui est possible.";

    PreconditionFailed = "precondition-failed", 412, Sender, false, None;
        en: "Somebody changed it meanwhile.";
        fr: "Quelqu'un l'a modifié entre-temps.";
        en: "Read the object again, take its new ETag, and repeat the change.";
        fr: "Relisez l'objet, reprenez son nouvel ETag, puis refaites la modification.";

    RangeNotSatisfiable = "range-not-satisfiable", 416, Sender, false, None;
        en: "The range lies outside the document.";
        fr: "L'intervalle demandé est hors du document.";
        en: "Read the size in Content-Range and ask for a range inside it.";
        fr: "Lisez la taille dans Content-Range et demandez un intervalle qui y tienne.";

    UploadOffsetMismatch = "upload-offset-mismatch", 409, Sender, true, None;
        en: "The upload does not stand at this offset.";
        fr: "Le dépôt n'en est pas à cette position.";
        en: "Go on from `expected-offset`, or ask with HEAD where the upload stands.";
        fr: "Reprenez à `expected-offset`, ou demandez la position avec HEAD.";

    UploadCompleted = "upload-completed", 400, Sender, false, None;
        en: "The upload is complete: nothing can be added.";
        fr: "Le dépôt est complet : rien ne peut y être ajouté.";
        en: "Use the id of the document in a message, or begin another upload.";
        fr: "Citez l'identifiant du document dans un pli, ou commencez un autre dépôt.";

    UploadLengthInconsistent = "upload-length-inconsistent", 400, Sender, false, None;
        en: "The upload does not have the length that was announced.";
        fr: "Le dépôt n'a pas la longueur annoncée.";
        en: "Send what is missing, or cancel the upload and begin again with the right \
             Upload-Length.";
        fr: "Envoyez ce qui manque, ou annulez le dépôt et recommencez avec la bonne \
             Upload-Length.";

    MediaTypeNotTaken = "media-type-not-taken", 415, Sender, false, None;
        en: "The body has a media type that this address does not take.";
        fr: "Cette adresse n'accepte pas ce type de contenu.";
        en: "Send the media type that /openapi.json names for this call.";
        fr: "Envoyez le type que /openapi.json indique pour cet appel.";

    BodyTooLarge = "body-too-large", 413, Sender, false, None;
        en: "The body is larger than this address takes.";
        fr: "Le corps de la requête dépasse ce que cette adresse accepte.";
        en: "The detail names the limit. Files belong into parts of their own, or into POST \
             /v1/documents, which streams them.";
        fr: "Le détail donne la limite. Les fichiers vont dans leurs propres parties, ou dans POST \
             /v1/documents, qui les lit au fil de l'eau.";

    AddressTooLong = "address-too-long", 414, Sender, false, None;
        en: "The address of the call is longer than this node takes.";
        fr: "L'adresse de l'appel dépasse ce que ce nœud accepte.";
        en: "What is long belongs into the body of a call, not into its address.";
        fr: "Ce qui est long va dans le corps d'un appel, pas dans son adresse.";

    HeadersTooLarge = "headers-too-large", 431, Sender, false, None;
        en: "The header fields of the call are more, or larger, than this node takes.";
        fr: "Les en-têtes de l'appel sont plus nombreux, ou plus grands, que ce nœud n'accepte.";
        en: "Send fewer and shorter fields; a token of this node has less than 1,000 octets.";
        fr: "Envoyez des en-têtes moins nombreux et plus courts ; un jeton de ce nœud tient en \
             moins de 1 000 octets.";

    TooManyRequests = "too-many-requests", 429, Sender, true, None;
        en: "Too many requests: slow down.";
        fr: "Trop de requêtes : ralentissez.";
        en: "Wait for the seconds in Retry-After. Use `wait` (long polling) rather than frequent \
             calls.";
        fr: "Attendez les secondes de Retry-After. Préférez `wait` (attente longue) aux appels \
             fréquents.";

    Overloaded = "overloaded", 503, Node, true, None;
        en: "The node is busy; nothing was accepted.";
        fr: "Le nœud est saturé ; rien n'a été accepté.";
        en: "Repeat the call, with the same Idempotency-Key, after the seconds in Retry-After.";
        fr: "Répétez l'appel, avec la même clé Idempotency-Key, après les secondes de \
             Retry-After.";

    StorageFull = "storage-full", 503, Node, true, None;
        en: "The node has no room left; nothing was accepted.";
        fr: "Le nœud n'a plus de place ; rien n'a été accepté.";
        en: "Repeat the call with the same Idempotency-Key later. What was accepted can be read as \
             before. Operators: free space on the disks of content.dir and of the database.";
        fr: "Répétez l'appel plus tard avec la même clé Idempotency-Key. Ce qui a été accepté reste \
             lisible. Exploitants : libérez de la place sur les disques de content.dir et de la base.";

    StoreUnavailable = "store-unavailable", 503, Node, true, None;
        en: "The database does not answer; nothing was accepted.";
        fr: "La base de données ne répond pas ; rien n'a été accepté.";
        en: "Repeat the call with the same Idempotency-Key. Operators: check the database, then \
             `pli node doctor`.";
        fr: "Répétez l'appel avec la même clé Idempotency-Key. Exploitants : vérifiez la base de \
             données, puis `pli node doctor`.";

    Internal = "internal", 500, Node, true, Some(Ra51);
        en: "A fault of this node; nothing was accepted.";
        fr: "Une anomalie de ce nœud ; rien n'a été accepté.";
        en: "Repeat the call with the same Idempotency-Key. If it lasts, give the `instance` of \
             this problem to the operator.";
        fr: "Répétez l'appel avec la même clé Idempotency-Key. Si cela dure, donnez l'`instance` \
             de ce problème à l'exploitant.";

    FrameMalformed = "frame-malformed", 400, Peer, false, None;
        en: "A frame on the backbone cannot be read.";
        fr: "Une trame reçue est illisible.";
        en: "Operators: the frame lies in quarantine; `pli queue list` shows it. Tell the \
             operator of the node that sent it.";
        fr: "Exploitants : la trame est en quarantaine ; `pli queue list` la montre. Prévenez \
             l'exploitant du nœud émetteur.";

    PeerUnknown = "peer-unknown", 403, Peer, false, None;
        en: "The node that sealed this is not in the directory.";
        fr: "Le nœud émetteur ne figure pas dans l'annuaire.";
        en: "Operators: fetch the latest directory. A node that is still unknown then must be \
             enrolled by the central authority.";
        fr: "Exploitants : récupérez le dernier annuaire. Un nœud encore inconnu doit être \
             enrôlé par l'autorité centrale.";

    EvidenceMismatch = "evidence-mismatch", 422, Peer, false, None;
        en: "An evidence does not agree with the message it is about.";
        fr: "Une preuve ne concorde pas avec le pli qu'elle concerne.";
        en: "Operators: the evidence is kept and changes nothing. Compare it with `pli evidence \
             show`, then tell its issuer.";
        fr: "Exploitants : la preuve est conservée et ne change rien. Examinez-la avec `pli \
             evidence show`, puis prévenez son émetteur.";
}
