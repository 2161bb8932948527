//! The spans of publications: each attempt has its own, below the span that brought the
//! publication about, and its context is what the frame carries.

use std::collections::HashMap;

use broker_adapter::Outcome;
use exchange_store::rows::Claimed;

use crate::engine::publication::{Payload, Publication};
use crate::telemetry::spans::{Kind, Span, Tracer};

/// Publications under way that belong to a trace, by claim.
#[derive(Debug)]
pub(super) struct Publishing(HashMap<i64, Span>);

impl Publishing {
    /// Begins their spans; from here on each publication says its own.
    pub(super) fn begin(tracer: &Tracer, waiting: &mut [(Claimed, Publication)]) -> Self {
        let mut spans = HashMap::new();
        for (claim, publication) in waiting {
            let child = tracer.child("publish", Kind::Producer, publication.trace);
            let Some(mut span) = child else { continue };
            publication.trace = Some(span.context());
            span.rename(|| format!("publish {}", what(publication)).into());
            span.note("pli.message_id", || publication.message.to_string());
            span.note("pli.delivery_id", || publication.delivery.to_string());
            span.note("pli.to", || publication.to.to_string());
            span.note("pli.lane", || publication.what.lane().as_str());
            span.note("pli.attempts", || u64::from(claim.attempts));
            spans.insert(claim.id, span);
        }
        Self(spans)
    }

    /// Ends one. What was not even tried leaves none.
    pub(super) fn end(&mut self, claim: &Claimed, outcome: &Outcome) {
        let Some(mut span) = self.0.remove(&claim.id) else { return };
        match outcome {
            Outcome::Confirmed => {}
            Outcome::Unroutable => span.fail("unroutable"),
            Outcome::TooLarge => span.fail("too-large"),
            Outcome::Invalid(_) => span.fail("invalid"),
            Outcome::Unknown(_) => span.fail("unknown"),
        }
        span.end();
    }
}

const fn what(publication: &Publication) -> &'static str {
    match publication.what {
        Payload::Dispatch { .. } => "dispatch",
        Payload::Evidence(_) => "evidence",
        Payload::Status(_) => "status",
    }
}
