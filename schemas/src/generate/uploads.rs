//! Routes of an upload that is not finished (draft-ietf-httpbis-resumable-upload).

use serde_json::{Value, json};

use super::openapi::DIGEST_EXAMPLE;
use super::operation::{Operation, binary, typed};
use crate::problem::Code;
use crate::sample::view;

const PATH: &str = "/v1/documents/{id}";
const STANDING: [&str; 4] = ["Upload-Complete", "Upload-Length", "Upload-Limit", "Upload-Offset"];

/// What can be done with an upload that has begun.
pub(super) fn all() -> Vec<Operation> {
    let on = |method, id, summaries| {
        Operation::new(method, PATH, id, "documents", summaries)
            .scope("send")
            .path("id", "DocumentId", "The upload.")
            .refuse(&[Code::NotFound])
    };
    vec![
        on("head", "readUpload", ("Ask where an upload stands", "Demander où en est un dépôt"))
            .answer(204, "Where it stands.", &[], &STANDING),
        on("patch", "resumeUpload", ("Go on with an upload", "Poursuivre un dépôt"))
            .describe(
                "The body goes on from `Upload-Offset`. What arrived before a break is kept; HEAD \
                 tells how much that is.",
            )
            .shared("upload-offset")
            .shared("upload-complete")
            .body(&[("application/partial-upload", binary())])
            .answer(
                200,
                "The document is complete.",
                &[("application/json", typed("DocumentView", view::document()))],
                &STANDING,
            )
            .answer(204, "There is more to come.", &[], &STANDING)
            .refuse(&[
                Code::DocumentCorrupted,
                Code::DocumentTooLarge,
                Code::DocumentTypeRefused,
                Code::InvalidRequest,
                Code::MediaTypeNotTaken,
                Code::UploadCompleted,
                Code::UploadLengthInconsistent,
                Code::UploadOffsetMismatch,
            ]),
        on("delete", "cancelUpload", ("Cancel an upload", "Annuler un dépôt"))
            .describe("A complete document is not removed by it.")
            .answer(204, "Nothing of it is left.", &[], &[])
            .refuse(&[Code::UploadCompleted]),
    ]
}

/// Header fields of a request that belongs to an upload.
pub(super) fn parameters() -> Value {
    let header = |name: &str, about: &str, schema: Value| {
        json!({
            "name": name,
            "in": "header",
            "required": false,
            "description": about,
            "schema": schema,
        })
    };
    json!({
        "repr-digest": header(
            "Repr-Digest",
            "RFC 9530 §3: of the whole document, however many requests bring it.",
            json!({ "type": "string", "examples": [DIGEST_EXAMPLE] }),
        ),
        "upload-complete": header(
            "Upload-Complete",
            "`?1` if the document ends with this body, `?0` if there is more to come.",
            json!({ "type": "string", "enum": ["?0", "?1"] }),
        ),
        "upload-length": header(
            "Upload-Length",
            "Octets of the whole document.",
            json!({ "type": "integer", "minimum": 0 }),
        ),
        "upload-offset": header(
            "Upload-Offset",
            "Where the body begins in the document: where the upload stands.",
            json!({ "type": "integer", "minimum": 0 }),
        ),
    })
}
