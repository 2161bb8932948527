//! A frame as an AMQP message, and back: the CloudEvents AMQP binding in binary mode, with the
//! message headers of 0-9-1 for the application properties of 1.0.
//!
//! Attributes are headers `cloudEvents_<name>` (the binding's other prefix, `cloudEvents:`, is
//! understood too), the order key is `cloudEvents_partitionkey`, `datacontenttype` is the
//! message's content type, and the trace context stands under its own name, where tools look.

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use schemas::ids::NodeId;

use super::{short, topology};
use crate::{BackboneError, Frame, Receipt, Received};

const PREFIX: &str = "cloudEvents_";
const OLD_PREFIX: &str = "cloudEvents:";
const CONTENT_TYPE: &str = "datacontenttype";
const TRACE: [&str; 2] = ["traceparent", "tracestate"];
/// `delivery_mode` of a message that survives a restart.
pub(super) const PERSISTENT: u8 = 2;

/// The properties of a frame that `from` publishes.
pub(super) fn properties(
    frame: &Frame,
    from: Option<&NodeId>,
) -> Result<BasicProperties, BackboneError> {
    let mut headers = FieldTable::default();
    let mut header = |name: &str, value: &str| {
        headers.insert(short(name)?, AMQPValue::LongString(value.into()));
        Ok::<(), BackboneError>(())
    };
    header(&format!("{PREFIX}specversion"), "1.0")?;
    header(&format!("{PREFIX}id"), &frame.id)?;
    header(&format!("{PREFIX}partitionkey"), &frame.key)?;
    if let Some(node) = from {
        header(topology::FROM, node.as_str())?;
    }
    let mut content_type = None;
    for (name, value) in &frame.attributes {
        if name == CONTENT_TYPE && value.len() <= 255 {
            content_type = Some(short(value)?);
        } else if TRACE.contains(&name.as_str()) {
            header(name, value)?;
        } else {
            header(&format!("{PREFIX}{name}"), value)?;
        }
    }
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_message_id(short(&frame.id)?)
        .with_headers(headers);
    Ok(match content_type {
        Some(content_type) => properties.with_content_type(content_type),
        None => properties,
    })
}

/// What came. `lot` marks the channel.
pub(super) fn received(delivery: Delivery, lot: u64) -> Received {
    let mut frame = Frame {
        id: String::new(),
        attributes: Vec::new(),
        key: String::new(),
        body: Bytes::from(delivery.data),
    };
    let mut returned = None;
    if let Some(headers) = delivery.properties.headers() {
        for (name, value) in headers.inner() {
            take_header(&mut frame, &mut returned, name.as_str(), value);
        }
    }
    if let Some(content_type) = delivery.properties.content_type() {
        frame.attributes.push((CONTENT_TYPE.to_owned(), content_type.as_str().to_owned()));
    }
    if frame.id.is_empty() {
        let own = delivery.properties.message_id().as_ref().map(ShortString::as_str);
        frame.id = own.map_or_else(
            || format!("amqp/{}/{lot}/{}", delivery.routing_key, delivery.delivery_tag),
            ToOwned::to_owned,
        );
    }
    Received {
        frame,
        receipt: Receipt { lot, position: delivery.delivery_tag },
        redelivered: delivery.redelivered,
        returned,
    }
}

fn take_header(frame: &mut Frame, returned: &mut Option<String>, name: &str, value: &AMQPValue) {
    let Some(value) = text(value) else { return };
    let attribute = name.strip_prefix(PREFIX).or_else(|| name.strip_prefix(OLD_PREFIX));
    match (attribute, name) {
        (Some("id"), _) => frame.id = value,
        (Some("partitionkey"), _) => frame.key = value,
        (Some("specversion"), _) => {}
        (Some(attribute), _) => frame.attributes.push((attribute.to_owned(), value)),
        // The first reason: the frame may have been moved on since.
        (None, "x-first-death-reason") => *returned = Some(value),
        (None, name) if TRACE.contains(&name) => frame.attributes.push((name.to_owned(), value)),
        (None, _) => {}
    }
}

fn text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        AMQPValue::Boolean(value) => Some(value.to_string()),
        AMQPValue::LongInt(value) => Some(value.to_string()),
        AMQPValue::LongLongInt(value) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(properties: BasicProperties, data: &[u8]) -> Delivery {
        let mut delivery =
            Delivery::mock(7, "pli".into(), "n.message".into(), false, data.to_vec());
        delivery.properties = properties;
        delivery
    }

    #[test]
    fn a_frame_comes_back_as_it_went() {
        let frame = Frame {
            id: "é1".to_owned(),
            attributes: ["datacontenttype", "source", "traceparent"]
                .map(|name| (name.to_owned(), format!("value of {name}")))
                .to_vec(),
            key: "k".to_owned(),
            body: Bytes::from_static(b"\0\xff"),
        };
        let sent = properties(&frame, Some(&"cd-34".parse().unwrap())).unwrap();
        assert!(sent.headers().as_ref().unwrap().inner().contains_key("traceparent"));
        let mut got = received(delivery(sent, b"\0\xff"), 3);
        got.frame.attributes.sort();
        assert_eq!(got.frame, frame);
        assert_eq!(got.receipt, Receipt { lot: 3, position: 7 });
    }

    #[test]
    fn the_other_prefix_and_a_dead_letter() {
        let headers = super::super::table([
            ("cloudEvents:id", AMQPValue::LongString("x".into())),
            ("cloudEvents:type", AMQPValue::LongString("t".into())),
            ("x-first-death-reason", AMQPValue::LongString("rejected".into())),
            ("x-death", AMQPValue::Void),
        ]);
        let got = received(delivery(BasicProperties::default().with_headers(headers), b""), 0);
        assert_eq!((got.frame.id.as_str(), got.frame.attribute("type")), ("x", Some("t")));
        assert_eq!(got.returned.as_deref(), Some("rejected"));
    }

    #[test]
    fn a_foreign_message_is_named_after_its_place() {
        let got = received(delivery(BasicProperties::default(), b"?"), 2);
        assert_eq!(got.frame.id, "amqp/n.message/2/7");
    }
}
