//! AsyncAPI 3.0 of the lanes: channels, CloudEvents attributes, Kafka and AMQP bindings.

use serde_json::{Map, Value, json};

use crate::frame::{
    ATTRIBUTE_MESSAGE, ATTRIBUTE_TO, CONTENT, DIRECTORY, DISPATCH, EVIDENCE, MAX_FRAME, RECALL,
    RECOLLECTION, STATUS,
};
use crate::sample;

/// A kind of frame: key, `ce_type`, rule in `frame.cddl`, summaries.
type Kind = (&'static str, &'static str, &'static str, &'static str, &'static str);

const KINDS: [Kind; 7] = [
    (
        "dispatch",
        DISPATCH,
        "dispatch-frame",
        "A message for one recipient, sealed by the sender's node.",
        "Un pli pour un destinataire, scellé par le nœud de l'expéditeur.",
    ),
    (
        "status",
        STATUS,
        "status-frame",
        "A business status, sealed by the node of its author.",
        "Un statut métier, scellé par le nœud de son auteur.",
    ),
    (
        "directory",
        DIRECTORY,
        "directory-frame",
        "A sealed list of the directory, or the catalogue.",
        "Une liste scellée de l'annuaire, ou le catalogue.",
    ),
    (
        "content",
        CONTENT,
        "content-frame",
        "A part of the ciphertext of a large document.",
        "Une partie du chiffré d'un grand document.",
    ),
    (
        "evidence",
        EVIDENCE,
        "evidence-frame",
        "Sealed evidence about one delivery.",
        "Des preuves scellées sur une remise.",
    ),
    (
        "recall",
        RECALL,
        "recall-frame",
        "A node that was restored from a backup asks its neighbour for what happened since; or the \
         end of the answer.",
        "Un nœud restauré d'une sauvegarde demande à son voisin ce qui s'est passé depuis ; ou la \
         fin de la réponse.",
    ),
    (
        "recollection",
        RECOLLECTION,
        "recollection-frame",
        "What a neighbour holds about one delivery, for a node that was restored.",
        "Ce qu'un voisin détient sur une remise, pour un nœud restauré.",
    ),
];

/// A lane: name, keys of its frames, purpose.
const LANES: [(&str, &[&str], &str); 3] = [
    (
        "message",
        &["dispatch", "status", "directory", "recall", "recollection"],
        "Dispatches, business statuses and directory lists for a node.",
    ),
    ("content", &["content"], "Parts of large documents, published before their dispatch."),
    ("evidence", &["evidence"], "Evidence for a node; acknowledgements never wait behind content."),
];

/// The document.
pub(super) fn document() -> Value {
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Pli backbone",
            "version": "1.0.0",
            "description": DESCRIPTION,
            "license": { "name": "EUPL-1.2" },
        },
        "defaultContentType": "application/cbor",
        "servers": servers(),
        "channels": channels(),
        "operations": operations(),
        "components": { "messages": messages(), "schemas": { "attributes": attributes() } },
    })
}

const DESCRIPTION: &str = "Frames between nodes of registered delivery. A frame is a CloudEvents \
    1.0 event in binary mode; its body is CBOR as in frame.cddl. Delivery is at least once: a \
    frame that comes again has the same id. Nothing in a frame is to be believed before the seal \
    in its body verifies.\n\nTrames entre nœuds de remise recommandée. Une trame est un événement \
    CloudEvents 1.0 en mode binaire ; son corps est en CBOR, décrit par frame.cddl. Remise au \
    moins une fois : une trame répétée garde son identifiant. Rien n'est cru avant vérification \
    du cachet.";

fn servers() -> Value {
    json!({
        "kafka": {
            "host": "broker.example:9093",
            "protocol": "kafka-secure",
            "description": "Apache Kafka. Records are produced with acks=all by an idempotent \
                            producer; offsets are committed after the store.",
        },
        "amqp": {
            "host": "broker.example:5671",
            "protocol": "amqps",
            "protocolVersion": "0-9-1",
            "description": "RabbitMQ or another broker that speaks AMQP 0-9-1, with publisher \
                            confirms and manual acknowledgements.",
        },
    })
}

fn channels() -> Value {
    LANES
        .into_iter()
        .map(|(lane, kinds, purpose)| {
            let messages: Map<String, Value> = kinds
                .iter()
                .map(|k| {
                    let target = format!("#/components/messages/{k}");
                    ((*k).to_owned(), json!({ "$ref": target }))
                })
                .collect();
            let channel = json!({
                "address": format!("{{node}}.{lane}"),
                "description": purpose,
                "servers": [{ "$ref": "#/servers/kafka" }, { "$ref": "#/servers/amqp" }],
                "parameters": {
                    "node": {
                        "description": "The node that reads the lane: a DNS label.",
                        "examples": ["etat", "cd-34"],
                    },
                },
                "messages": messages,
                "bindings": channel_bindings(lane),
            });
            (lane.to_owned(), channel)
        })
        .collect::<Map<_, _>>()
        .into()
}

fn channel_bindings(lane: &str) -> Value {
    let week = 7 * 24 * 3_600 * 1_000;
    json!({
        "kafka": {
            "bindingVersion": "0.5.0",
            "topic": format!("pli.{{node}}.{lane}"),
            "topicConfiguration": {
                "cleanup.policy": ["delete"],
                "retention.ms": week,
            },
        },
        "amqp": {
            "bindingVersion": "0.3.0",
            "is": "routingKey",
            "exchange": {
                "name": "pli",
                "type": "direct",
                "durable": true,
                "autoDelete": false,
            },
        },
    })
}

fn operations() -> Value {
    let mut all = Map::new();
    for (lane, _, _) in LANES {
        let channel = json!({ "$ref": format!("#/channels/{lane}") });
        let mut name = lane.to_owned();
        if let Some(first) = name.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        all.insert(
            format!("send{name}"),
            json!({
                "action": "send",
                "channel": channel,
                "summary": format!("Publish to the {lane} lane of another node."),
                "bindings": { "amqp": {
                    "bindingVersion": "0.3.0",
                    "deliveryMode": 2,
                    "mandatory": true,
                } },
            }),
        );
        all.insert(
            format!("receive{name}"),
            json!({
                "action": "receive",
                "channel": channel,
                "summary": format!("Read one's own {lane} lane."),
                "bindings": {
                    "amqp": { "bindingVersion": "0.3.0", "ack": true },
                    "kafka": {
                        "bindingVersion": "0.5.0",
                        "groupId": { "type": "string", "const": format!("pli.{{node}}.{lane}") },
                    },
                },
            }),
        );
    }
    all.into()
}

fn messages() -> Value {
    KINDS
        .into_iter()
        .map(|(key, kind, rule, en, fr)| {
            let message = json!({
                "name": kind,
                "title": kind,
                "summary": en,
                "x-summary-fr": fr,
                "contentType": "application/cbor",
                "headers": {
                    "allOf": [
                        { "$ref": "#/components/schemas/attributes" },
                        { "properties": { "ce_type": { "const": kind } } },
                    ],
                },
                "payload": {
                    "type": "string",
                    "format": "binary",
                    "maxLength": MAX_FRAME,
                    "description": format!("CBOR, rule {rule} of frame.cddl."),
                },
                "bindings": {
                    "kafka": {
                        "bindingVersion": "0.5.0",
                        "key": {
                            "type": "string",
                            "maxLength": 255,
                            "description": "Conversation: frames of one key keep their order.",
                        },
                    },
                },
            });
            (key.to_owned(), message)
        })
        .collect::<Map<_, _>>()
        .into()
}

/// Headers with the prefix of the Kafka binding; on AMQP the prefix is `cloudEvents_`.
fn attributes() -> Value {
    let message = format!("ce_{ATTRIBUTE_MESSAGE}");
    let to = format!("ce_{ATTRIBUTE_TO}");
    json!({
        "type": "object",
        "description": "CloudEvents 1.0 attributes as headers: ce_<name> on Kafka, \
                        cloudEvents_<name> on AMQP 0-9-1 (with cloudEvents_partitionkey for the \
                        order key). traceparent stands under its own name on both.",
        "required": ["ce_specversion", "ce_id", "ce_source", "ce_type"],
        "properties": {
            "ce_specversion": { "type": "string", "const": "1.0" },
            "ce_id": {
                "type": "string",
                "minLength": 1,
                "maxLength": 255,
                "description": "Stable over every repetition of the frame.",
            },
            "ce_source": {
                "type": "string",
                "format": "uri-reference",
                "description": "urn:pli:node:<node> of the publisher.",
                "examples": ["urn:pli:node:etat"],
            },
            "ce_type": { "type": "string", "enum": KINDS.map(|k| k.1) },
            "ce_time": {
                "type": "string",
                "format": "date-time",
                "examples": [sample::SUBMITTED.to_string()],
            },
            message: { "type": "string", "format": "uuid", "description": "The message." },
            to: { "type": "string", "description": "The node that the frame is for." },
            "traceparent": {
                "type": "string",
                "description": "W3C trace context (CloudEvents extension Distributed Tracing): \
                                the span that published this frame. Optional, not sealed; an \
                                ill-formed one is ignored.",
                "examples": ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
            },
            "content-type": { "type": "string", "const": "application/cbor" },
        },
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// The schema of AsyncAPI itself, `3.0.0-without-$id.json` of the npm package
    /// `@asyncapi/specs`.
    #[test]
    fn the_schema_of_asyncapi_accepts_the_document() {
        let Some(path) = std::env::var_os("PLI_ASYNCAPI_SCHEMA") else {
            eprintln!("skipped: PLI_ASYNCAPI_SCHEMA names no schema of AsyncAPI 3.0.0");
            return;
        };
        let schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let validator = jsonschema::draft7::new(&schema).unwrap();
        let errors: Vec<_> = validator.iter_errors(&document()).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
        let mut bad = document();
        bad["channels"]["message"]["bindings"]["amqp"]["is"] = json!("pigeon");
        assert!(!validator.is_valid(&bad));
    }

    #[test]
    fn a_foreign_reader_of_yaml_reads_the_same_document() {
        let Some(python) = crate::judge::python("yaml") else { return };
        let verdict = Command::new(python)
            .args([
                "-c",
                "import sys, json, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)",
            ])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/asyncapi.yaml"))
            .output()
            .unwrap();
        assert!(verdict.status.success(), "{}", String::from_utf8_lossy(&verdict.stderr));
        let read: Value = serde_json::from_slice(&verdict.stdout).unwrap();
        assert_eq!(read, document());
    }
}
