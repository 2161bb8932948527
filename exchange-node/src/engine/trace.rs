//! What a trace is told of an item that is durable: the events that this node has sealed, and where
//! the delivery stands. Ids, codes and names of the standard; nothing that a person wrote.

use exchange_core::state::{Delivery, Role};
use exchange_store::rows::{Change, NewEvidence};
use schemas::event::Event;
use schemas::ids::NodeId;

use crate::engine::item::{Fact, Kind};
use crate::telemetry::spans::Span;

/// Ends the span of an item that has been written.
pub(super) fn written(mut span: Span, kind: &Kind, change: &Change, node: &NodeId) {
    let own = |row: &&NewEvidence| row.node == *node;
    let events = || change.evidence.iter().filter(own).filter_map(|row| row.event);
    let delivery = change.deliveries.first().map(|write| &write.delivery);
    span.rename(|| name(kind, delivery, events().any(|e| e == Event::ContentConsignment)).into());
    if let Some(message) = change.message.as_ref().map(|m| m.envelope.message_id) {
        span.note("pli.message_id", || message.to_string());
    } else if let Some(delivery) = delivery {
        span.note("pli.message_id", || delivery.message.to_string());
    }
    if let (Kind::Deliver(work), Some(delivery)) = (kind, delivery) {
        span.note("pli.delivery_id", || work.delivery.to_string());
        span.note("pli.state", || delivery.phase.name());
    }
    if events().next().is_some() {
        span.note("pli.events", || events().map(Event::name).collect::<Vec<_>>().join(","));
    }
    span.end();
}

fn name(kind: &Kind, delivery: Option<&Delivery>, consigned: bool) -> &'static str {
    let work = match kind {
        Kind::Submit(_) => return "submit",
        Kind::Deliver(work) => work,
    };
    match work.fact {
        _ if consigned => "consign",
        Fact::Dispatched(_) if delivery.is_some_and(|d| d.role == Role::Relay) => "relay",
        Fact::Dispatched(_) => "accept",
        Fact::Recollected(..) => "recollect",
        Fact::Evidence(_) => "record",
        Fact::Status { .. } => "status",
        Fact::Sent => "sent",
        Fact::Unroutable | Fact::Attempted => "unsent",
        Fact::Due => "due",
        Fact::Continue => "continue",
        Fact::Act(_) => "act",
    }
}
