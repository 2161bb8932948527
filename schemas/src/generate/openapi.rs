//! OpenAPI 3.1 of `/v1`: what all operations share. The operations are in `routes.rs`.

use serde_json::{Map, Value, json};

use super::operation::{Operation, common_responses, problem_examples};
use super::{rest_schemas, routes, uploads};

/// The document.
pub(super) fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "Pli",
            "version": "1.0.0",
            "summary": "Registered delivery between administrations.",
            "description": DESCRIPTION,
            "license": { "name": "EUPL-1.2", "identifier": "EUPL-1.2" },
        },
        "servers": [{ "url": "/", "description": "The node that serves this document." }],
        "security": [{ "oauth2": [] }],
        "tags": tags(),
        "paths": paths(),
        "components": {
            "schemas": schemas(),
            "parameters": parameters(),
            "headers": headers(),
            "examples": problem_examples(),
            "responses": common_responses(),
            "securitySchemes": security_schemes(),
        },
    })
}

const DESCRIPTION: &str = "A member of a node sends messages, collects what waits for it, and gets \
    a sealed proof of each step. Lists are pages: `{ items, next }`, where `next` goes into \
    `after`. Times are RFC 3339, UTC, milliseconds. Every refusal is `application/problem+json` \
    with a stable `code`, whose fault it is, and sentences in English and in French. Fields may be \
    added to answers; readers ignore those that they do not know.\n\nUn membre d'un nœud envoie \
    des plis, relève ceux qui l'attendent, et reçoit une preuve scellée de chaque étape. Les listes \
    sont paginées : `{ items, next }`, `next` se passe dans `after`. Tout refus est un \
    `application/problem+json` avec un `code` stable, le responsable, et des phrases en français \
    et en anglais. Des champs peuvent s'ajouter aux réponses.";

/// Paths with their methods.
fn paths() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in routes::all() {
        let Operation { path, method, .. } = operation;
        let entry = paths.entry(path).or_insert_with(|| json!({}));
        if let Some(methods) = entry.as_object_mut() {
            methods.insert(method.to_owned(), operation.finish());
        }
    }
    paths.into()
}

fn schemas() -> Value {
    let mut all = rest_schemas("#/components/schemas");
    // Parts of a party that stand alone in a path.
    for (name, part) in [("PartyScheme", "scheme"), ("PartyNumber", "id")] {
        if let Some(schema) =
            all.get("Party").and_then(|p| p.pointer(&format!("/properties/{part}")))
        {
            all.insert(name.to_owned(), schema.clone());
        }
    }
    all.into()
}

fn tags() -> Value {
    let tag = |name: &str, en: &str, fr: &str| json!({ "name": name, "description": format!("{en} · {fr}"), "x-description-fr": fr });
    json!([
        tag("access", "Tokens", "Jetons d'accès"),
        tag("documents", "Uploading documents", "Dépôt des documents"),
        tag("messages", "Sending, and following what was sent", "Envoi et suivi"),
        tag("evidence", "Sealed proofs", "Preuves scellées"),
        tag("inbox", "Receiving", "Réception"),
        tag("events", "Everything that happens, in order", "Tout ce qui arrive, dans l'ordre"),
        tag("directory", "Who can receive what", "Qui peut recevoir quoi"),
        tag("node", "The node itself", "Le nœud lui-même"),
    ])
}

fn security_schemes() -> Value {
    json!({
        "oauth2": {
            "type": "oauth2",
            "description": "Opaque bearer token for one member, valid for one hour.",
            "flows": { "clientCredentials": {
                "tokenUrl": "/oauth2/token",
                "scopes": {
                    "send": "Upload documents, send messages. · Déposer, envoyer.",
                    "receive": "Read the inbox, acknowledge, set a status. · Relever, acquitter.",
                    "read": "Read messages, evidence, events, directory. · Consulter.",
                    "operate": "Operate the node. · Exploiter le nœud.",
                    "audit": "Read what all members did. · Auditer.",
                },
            } },
        },
        "client": {
            "type": "http",
            "scheme": "basic",
            "description": "Client id and secret (RFC 6749 §2.3.1).",
        },
    })
}

fn parameters() -> Value {
    let mut all = general_parameters();
    if let (Some(all), Value::Object(uploads)) = (all.as_object_mut(), uploads::parameters()) {
        all.extend(uploads);
    }
    all
}

fn general_parameters() -> Value {
    let header = |name: &str, about: &str, schema: Value| {
        json!({
            "name": name,
            "in": "header",
            "required": false,
            "description": about,
            "schema": schema,
        })
    };
    let query = |name: &str, about: &str, schema: Value| {
        json!({
            "name": name,
            "in": "query",
            "required": false,
            "description": about,
            "schema": schema,
        })
    };
    json!({
        "idempotency-key": header(
            "Idempotency-Key",
            "Chosen by the caller, once for each thing to create. A repeat with the same key and \
             body gives the same answer; with another body it is refused (`duplicate-mismatch`).",
            json!({ "type": "string", "minLength": 1, "maxLength": 255 }),
        ),
        "content-digest": header(
            "Content-Digest",
            "RFC 9530: the bytes are refused when they do not match (`document-corrupted`).",
            json!({ "type": "string", "examples": [DIGEST_EXAMPLE] }),
        ),
        "content-disposition": header(
            "Content-Disposition",
            "RFC 6266: names the document.",
            json!({
                "type": "string",
                "examples": ["attachment; filename*=UTF-8''Acte%20n%C2%B03.pdf"],
            }),
        ),
        "range": header(
            "Range",
            "RFC 9110 §14: one range of bytes.",
            json!({ "type": "string", "examples": ["bytes=0-65535"] }),
        ),
        "if-none-match": header(
            "If-None-Match",
            "RFC 9110 §13.1.2: an ETag that the caller holds.",
            json!({ "type": "string" }),
        ),
        "if-match": header(
            "If-Match",
            "RFC 9110 §13.1.1: the ETag of the delivery that the caller has read.",
            json!({ "type": "string", "examples": ["\"3\""] }),
        ),
        "traceparent": header(
            "traceparent",
            "W3C trace context; it is given on to the other nodes.",
            json!({ "type": "string" }),
        ),
        "after": query(
            "after",
            "Go on after this cursor: `next` of the page before.",
            json!({ "type": "string" }),
        ),
        "limit": query(
            "limit",
            "Most items of the page.",
            json!({ "type": "integer", "minimum": 1, "maximum": 1_000, "default": 100 }),
        ),
        "wait": query(
            "wait",
            "Long polling: wait for at most so many seconds until there is something to say.",
            json!({ "type": "integer", "minimum": 0, "maximum": 60, "default": 0 }),
        ),
    })
}

pub(super) const DIGEST_EXAMPLE: &str = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";

fn headers() -> Value {
    let header = |about: &str, schema: Value| json!({ "description": about, "schema": schema });
    let text = || json!({ "type": "string" });
    json!({
        "Accept-Ranges": header("`bytes`.", json!({ "type": "string", "const": "bytes" })),
        "Content-Digest": header(
            "RFC 9530, of the bytes in this answer.",
            json!({ "type": "string", "examples": [DIGEST_EXAMPLE] }),
        ),
        "Content-Disposition": header("Name of the file (RFC 6266).", text()),
        "Content-Range": header("Which bytes, of how many (RFC 9110 §14.4).", text()),
        "ETag": header("Changes when the content does.", text()),
        "Location": header("Where the new thing is.", json!({
            "type": "string",
            "format": "uri-reference",
        })),
        "Retry-After": header("Seconds to wait.", json!({ "type": "integer", "minimum": 0 })),
        "Upload-Complete": header("`?1` if the document is complete.", text()),
        "Upload-Length": header("Octets of the whole, if announced.", json!({
            "type": "integer",
            "minimum": 0,
        })),
        "Upload-Limit": header("`max-size` in octets, `max-age` in seconds.", text()),
        "Upload-Offset": header("Octets that are durable.", json!({
            "type": "integer",
            "minimum": 0,
        })),
        "WWW-Authenticate": header("RFC 6750 §3.", text()),
        "traceparent": header("W3C trace context of this call.", text()),
    })
}

#[cfg(test)]
mod tests;
