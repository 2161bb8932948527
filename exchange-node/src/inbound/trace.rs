//! The spans of frames. What a frame says of its trace is read strictly, believed by nobody, and
//! changes nothing but where its span hangs.

use broker_adapter::{Frame, Lane, Received};
use schemas::frame;
use schemas::trace::{TRACEPARENT, TraceContext};

use crate::inbound::consumer::Fate;
use crate::telemetry::spans::{Kind, Span, Tracer};

/// One span for each frame of a batch, from when it was read until it is durable.
#[derive(Debug)]
pub(super) struct Receiving(Vec<Option<Span>>);

impl Receiving {
    /// Begins them. Parts of content have none: thousands of them would say no more than the span
    /// of their dispatch.
    pub(super) fn begin(tracer: &Tracer, lane: Lane, batch: &[Received]) -> Self {
        if lane == Lane::Content {
            return Self(Vec::new());
        }
        let spans = batch.iter().map(|received| {
            let frame = &received.frame;
            let mut span = tracer.root("receive", Kind::Consumer, given(frame))?;
            span.rename(|| format!("receive {}", what(frame)).into());
            span.note("pli.lane", || lane.as_str());
            span.note("messaging.message.body.size", || frame.body.len() as u64);
            Some(span)
        });
        Self(spans.collect())
    }

    /// What becomes of a frame hangs below this.
    pub(super) fn context(&self, place: usize) -> Option<TraceContext> {
        self.0.get(place)?.as_ref().map(Span::context)
    }

    /// All of them, for a task that verifies.
    pub(super) fn contexts(&self) -> Vec<Option<TraceContext>> {
        self.0.iter().map(|span| span.as_ref().map(Span::context)).collect()
    }

    /// For the lines of the log about a frame.
    pub(super) fn log(&self, place: usize) -> tracing::Span {
        let span = self.0.get(place).and_then(Option::as_ref);
        span.map_or_else(tracing::Span::none, Span::log)
    }

    /// Ends them.
    pub(super) fn end(self, fates: &[Fate]) {
        for (span, fate) in self.0.into_iter().zip(fates) {
            let Some(mut span) = span else { continue };
            if let Fate::Aside(why) = fate {
                span.fail(why.code.as_str());
            }
            span.end();
        }
    }
}

/// The context of a frame: one attribute, well-formed, or none at all.
fn given(frame: &Frame) -> Option<TraceContext> {
    let mut all = frame.attributes.iter().filter(|(name, _)| name == TRACEPARENT);
    let (Some((_, only)), None) = (all.next(), all.next()) else { return None };
    only.parse().ok()
}

/// A known type of frame: what the attribute says is anybody's text.
fn what(frame: &Frame) -> &'static str {
    let kind = frame.attributes.iter().find(|(name, _)| name == "type");
    match kind.map(|(_, value)| value.as_str()) {
        Some(frame::DISPATCH) => "dispatch",
        Some(frame::EVIDENCE) => "evidence",
        Some(frame::STATUS) => "status",
        Some(frame::RECALL) => "recall",
        Some(frame::RECOLLECTION) => "recollection",
        _ => "frame",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(values: &[&str]) -> Frame {
        let attributes =
            values.iter().map(|value| (TRACEPARENT.to_owned(), (*value).to_owned())).collect();
        Frame { id: "1".to_owned(), attributes, key: String::new(), body: Default::default() }
    }

    #[test]
    fn a_frame_has_one_context_that_is_well_formed_or_none() {
        let value = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(given(&frame(&[value])).unwrap().to_string(), value);
        for none in [&[][..], &[value, value], &["00-x"], &[value, "00-x"]] {
            assert_eq!(given(&frame(none)), None);
        }
    }
}
