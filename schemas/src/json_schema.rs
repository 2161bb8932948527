//! JSON Schemas of the types that write themselves: identifiers, times, digests, octets.
//!
//! A pattern says how a value is written; check digits are beyond a pattern and said in words.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::bytes::Octets;
use crate::digest::Digest;
use crate::ids::{
    Cog, ConversationId, DeliveryId, DocumentId, EvidenceId, MessageId, NodeId, ProcessCode, Siren,
    Siret,
};
use crate::time::Timestamp;

macro_rules! text_schemas {
    ($($name:ident { $($key:literal: $value:expr),+ $(,)? })+) => {
        $(impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn schema_id() -> Cow<'static, str> {
                concat!("schemas::", stringify!($name)).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", $($key: $value),+ })
            }
        })+
    };
}

text_schemas! {
    Siren {
        "description": "SIREN: nine digits with a Luhn check digit (ISO 6523 ICD 0002).",
        "pattern": "^[0-9]{9}$",
    }
    Siret {
        "description": "SIRET: fourteen digits with a Luhn check digit (ISO 6523 ICD 0009); an \
                        establishment of La Poste (SIREN 356000000) may instead have digits whose \
                        sum is a multiple of five.",
        "pattern": "^[0-9]{14}$",
    }
    Cog {
        "description": "INSEE COG code of a commune or arrondissement.",
        "pattern": crate::party::COG_CODE,
        "examples": ["34172", "2A004", "97105", "75108"],
    }
    NodeId {
        "description": "Node: a DNS label in lower case.",
        "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        "examples": ["etat", "cd-34"],
    }
    ProcessCode {
        "description": "Code of a démarche in the catalogue.",
        "pattern": "^[A-Za-z0-9._-]{1,64}$",
        "examples": ["AEC", "URBA"],
    }
    ConversationId {
        "description": "Conversation: printable ASCII without space; the order key on a backbone.",
        "pattern": "^[!-~]{1,100}$",
    }
    MessageId {
        "description": "Message: a UUIDv7 minted by the sender's node, or derived from the \
                        Idempotency-Key.",
        "format": "uuid",
    }
    DeliveryId {
        "description": "One message for one recipient: a UUIDv5 over (message, recipient index), \
                        the same at every node.",
        "format": "uuid",
    }
    EvidenceId {
        "description": "Evidence: a UUIDv5 over (issuer, message, recipient index, event, hop).",
        "format": "uuid",
    }
    DocumentId {
        "description": "A document, minted when its upload begins.",
        "format": "uuid",
    }
    Timestamp {
        "description": "RFC 3339 instant; written in UTC with milliseconds.",
        "format": "date-time",
        "examples": ["2026-11-23T08:35:30.120Z"],
    }
    Digest {
        "description": "SHA-256 in lower-case hexadecimal.",
        "pattern": "^[0-9a-f]{64}$",
    }
    Octets {
        "description": "Octets in base64 (RFC 4648 §4, padded).",
        "contentEncoding": "base64",
    }
}
