//! A frame as a Kafka record, and back: the CloudEvents Kafka binding in binary mode.
//!
//! Attributes are headers `ce_<name>`, `datacontenttype` is the header `content-type`, and the trace
//! context stands under its own name, where tools look. The record's key is the order key.

use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};

use crate::{Frame, Receipt, Received};

const PREFIX: &str = "ce_";
const TRACE: [&str; 2] = ["traceparent", "tracestate"];

/// The headers of a frame.
pub(super) fn headers(frame: &Frame) -> OwnedHeaders {
    let fixed = [("ce_specversion", "1.0"), ("ce_id", frame.id.as_str())];
    let mut headers = OwnedHeaders::new_with_capacity(frame.attributes.len() + fixed.len());
    for (key, value) in fixed {
        headers = headers.insert(Header { key, value: Some(value) });
    }
    for (name, value) in &frame.attributes {
        let key = match name.as_str() {
            "datacontenttype" => "content-type".to_owned(),
            trace if TRACE.contains(&trace) => trace.to_owned(),
            other => format!("{PREFIX}{other}"),
        };
        headers = headers.insert(Header { key: &key, value: Some(value) });
    }
    headers
}

/// What came.
pub(super) fn received(message: &BorrowedMessage<'_>, receipt: Receipt) -> Received {
    let mut frame = Frame {
        id: String::new(),
        attributes: Vec::new(),
        key: text(message.key()),
        body: message.payload().map(Bytes::copy_from_slice).unwrap_or_default(),
    };
    for header in message.headers().into_iter().flat_map(Headers::iter) {
        let value = text(header.value);
        match (header.key.strip_prefix(PREFIX), header.key) {
            (Some("id"), _) => frame.id = value,
            (Some("specversion"), _) => {}
            (Some(name), _) => frame.attributes.push((name.to_owned(), value)),
            (None, "content-type") => {
                frame.attributes.push(("datacontenttype".to_owned(), value));
            }
            (None, name) if TRACE.contains(&name) => {
                frame.attributes.push((name.to_owned(), value));
            }
            (None, _) => {}
        }
    }
    if frame.id.is_empty() {
        frame.id =
            format!("kafka/{}/{}/{}", message.topic(), message.partition(), message.offset());
    }
    Received { frame, receipt, redelivered: false, returned: None }
}

fn text(bytes: Option<&[u8]>) -> String {
    bytes.map(|b| String::from_utf8_lossy(b).into_owned()).unwrap_or_default()
}
