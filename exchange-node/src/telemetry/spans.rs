//! Spans: one trace for a message, over all nodes that it passes.
//!
//! A [`Tracer`] begins [`Span`]s, each below the [`TraceContext`] that came with its cause; a span
//! that has ended goes to the queue of [`super::otlp`]. What a span says is ids, codes and sizes:
//! never a name, a subject or a document.
//!
//! - **Off** (no `[telemetry] otlp_url`): no span is recorded. A context that a client gave is
//!   handed on as it came, so that nodes which do record are joined below it; without one nothing
//!   is made, allocated or asked of the clock.
//! - **On**: whether a trace is recorded follows from its id and this node's own `sample_ratio`, as
//!   in OpenTelemetry's `TraceIdRatioBased`, never from the flag of a stranger: nodes with the same
//!   ratio record the same traces. Who picks ids below the ratio fills a bounded queue, no more.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use schemas::trace::TraceContext;
use tokio::sync::mpsc;

tokio::task_local! {
    /// The span of the call that this task carries out.
    static CURRENT: TraceContext;
}

/// What role a span has (OTLP `SpanKind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Work inside a node.
    Internal = 1,
    /// A call that was answered.
    Server = 2,
    /// Something given to a backbone.
    Producer = 4,
    /// Something taken from a backbone.
    Consumer = 5,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// An id or a code.
    Text(Cow<'static, str>),
    /// A size or a number.
    Number(i64),
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// A span that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its place.
    pub context: TraceContext,
    /// The span above it; none at the root.
    pub parent: Option<[u8; 8]>,
    /// What was done.
    pub name: Cow<'static, str>,
    /// Its role.
    pub kind: Kind,
    /// When it began, after the epoch.
    pub begun: Duration,
    /// How long it took.
    pub took: Duration,
    /// What it is about.
    pub attributes: Vec<(&'static str, Value)>,
    /// The code of what went wrong.
    pub failure: Option<Cow<'static, str>>,
}

/// Where spans begin. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<Recorder>>);

#[derive(Debug)]
struct Recorder {
    /// Traces whose id lies below are recorded.
    bound: u64,
    queue: mpsc::Sender<Ended>,
}

impl Tracer {
    /// Records so many of all traces into a queue; `ratio` lies between 0 and 1.
    #[must_use]
    pub fn recording(ratio: f64, queue: mpsc::Sender<Ended>) -> Self {
        Self(Some(Arc::new(Recorder { bound: bound(ratio), queue })))
    }

    /// Begins a span below `parent`, or a new trace.
    #[must_use]
    pub fn root(
        &self,
        name: &'static str,
        kind: Kind,
        parent: Option<TraceContext>,
    ) -> Option<Span> {
        match (&self.0, parent) {
            (None, None) => None,
            (_, Some(parent)) => Some(self.below(parent, name, kind)),
            (Some(recorder), None) => {
                let context = TraceContext::new(rand::random(), rand::random(), false)?;
                let recorded = recorder.records(&context);
                let context = context.with_span(context.span(), recorded)?;
                let live = recorded.then(|| Live::begin(recorder, None, name, kind));
                Some(Span { context, live })
            }
        }
    }

    /// Begins a span below `parent`; none without one.
    #[must_use]
    pub fn child(
        &self,
        name: &'static str,
        kind: Kind,
        parent: Option<TraceContext>,
    ) -> Option<Span> {
        parent.map(|parent| self.below(parent, name, kind))
    }

    /// A trace that is not recorded here is handed on as it came.
    fn below(&self, parent: TraceContext, name: &'static str, kind: Kind) -> Span {
        let passed_on = Span { context: parent, live: None };
        let recorder = self.0.as_ref().filter(|recorder| recorder.records(&parent));
        let Some(recorder) = recorder else { return passed_on };
        let Some(context) = parent.with_span(rand::random(), true) else { return passed_on };
        let live = Some(Live::begin(recorder, Some(parent.span()), name, kind));
        Span { context, live }
    }
}

/// `TraceIdRatioBased`: as many of the 63 bits that are random in any id.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of all traces, not a count"
)]
fn bound(ratio: f64) -> u64 {
    (ratio.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64
}

impl Recorder {
    fn records(&self, context: &TraceContext) -> bool {
        let [.., a, b, c, d, e, f, g, h] = context.trace();
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1 < self.bound
    }
}

/// A span under way. One that is dropped is not recorded: what it was about did not happen.
#[derive(Debug)]
pub struct Span {
    context: TraceContext,
    live: Option<Box<Live>>,
}

#[derive(Debug)]
struct Live {
    recorder: Arc<Recorder>,
    parent: Option<[u8; 8]>,
    name: Cow<'static, str>,
    kind: Kind,
    at: SystemTime,
    begun: Instant,
    attributes: Vec<(&'static str, Value)>,
    failure: Option<Cow<'static, str>>,
}

impl Live {
    fn begin(
        recorder: &Arc<Recorder>,
        parent: Option<[u8; 8]>,
        name: &'static str,
        kind: Kind,
    ) -> Box<Self> {
        Box::new(Self {
            recorder: Arc::clone(recorder),
            parent,
            name: name.into(),
            kind,
            at: SystemTime::now(),
            begun: Instant::now(),
            attributes: Vec::new(),
            failure: None,
        })
    }
}

impl Span {
    /// What travels to whatever it causes.
    #[must_use]
    pub const fn context(&self) -> TraceContext {
        self.context
    }

    /// Says what it is, now that it is known.
    pub fn rename(&mut self, name: impl FnOnce() -> Cow<'static, str>) {
        if let Some(live) = &mut self.live {
            live.name = name();
        }
    }

    /// Says what it is about; the value is made only when somebody will read it.
    pub fn note<V: Into<Value>>(&mut self, key: &'static str, value: impl FnOnce() -> V) {
        if let Some(live) = &mut self.live {
            live.attributes.push((key, value().into()));
        }
    }

    /// Says that it failed, with a code.
    pub fn fail(&mut self, code: impl Into<Cow<'static, str>>) {
        if let Some(live) = &mut self.live {
            live.failure = Some(code.into());
        }
    }

    /// Ends it. Never waits: with a full queue it is dropped, and counted.
    pub fn end(self) {
        let Some(live) = self.live else { return };
        let Live { recorder, parent, name, kind, at, begun, attributes, failure } = *live;
        let ended = Ended {
            context: self.context,
            parent,
            name,
            kind,
            begun: at.duration_since(UNIX_EPOCH).unwrap_or_default(),
            took: begun.elapsed(),
            attributes,
            failure,
        };
        if recorder.queue.try_send(ended).is_err() {
            super::otlp::dropped("queue", 1);
        }
    }

    /// For the lines of the log that are written meanwhile: `trace_id` and `span_id`.
    #[must_use]
    pub fn log(&self) -> tracing::Span {
        let (trace_id, span_id) =
            (hex::encode(self.context.trace()), hex::encode(self.context.span()));
        // Of the level that no filter leaves out: a warning needs it as much as anything else.
        tracing::error_span!("trace", trace_id, span_id)
    }
}

/// Carries out a call; what it asks of the engine is [`current`]ly below `context`.
pub async fn within<T>(context: TraceContext, call: impl Future<Output = T>) -> T {
    CURRENT.scope(context, call).await
}

/// The span of the call that this task carries out.
#[must_use]
pub fn current() -> Option<TraceContext> {
    CURRENT.try_with(|context| *context).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stranger(sampled: bool) -> TraceContext {
        TraceContext::new([7; 16], [3; 8], sampled).unwrap()
    }

    fn tracer(ratio: f64, room: usize) -> (Tracer, mpsc::Receiver<Ended>) {
        let (queue, ended) = mpsc::channel(room);
        (Tracer::recording(ratio, queue), ended)
    }

    #[test]
    fn without_telemetry_a_context_is_handed_on_as_it_came_and_none_is_made() {
        let off = Tracer::default();
        assert!(off.root("submit", Kind::Internal, None).is_none());
        assert!(off.child("submit", Kind::Internal, None).is_none());
        for given in [stranger(true), stranger(false)] {
            assert_eq!(off.root("submit", Kind::Internal, Some(given)).unwrap().context(), given);
        }
    }

    #[test]
    fn a_span_says_who_it_is_below_and_what_it_is_about() {
        let (tracer, mut ended) = tracer(1.0, 4);
        let mut span = tracer.root("submit", Kind::Server, Some(stranger(false))).unwrap();
        let context = span.context();
        assert_eq!(context.trace(), stranger(true).trace());
        assert!(context.sampled() && context.span() != stranger(true).span());
        span.note("pli.items", || 3_u64);
        span.fail("overloaded");
        span.end();
        let one = ended.try_recv().unwrap();
        assert_eq!((one.context, one.parent), (context, Some([3; 8])));
        assert_eq!(one.attributes, vec![("pli.items", Value::Number(3))]);
        assert_eq!(one.failure.as_deref(), Some("overloaded"));
        assert!(one.begun > Duration::from_secs(1_700_000_000));
    }

    #[test]
    fn the_own_ratio_decides_and_never_the_flag_of_a_stranger() {
        let (never, mut ended) = tracer(0.0, 4);
        let span = never.root("submit", Kind::Server, Some(stranger(true))).unwrap();
        assert_eq!(span.context(), stranger(true));
        span.end();
        assert!(!never.root("submit", Kind::Server, None).unwrap().context().sampled());
        assert!(ended.try_recv().is_err());
        let (half, mut ended) = tracer(0.5, 10_000);
        for _ in 0..4_000 {
            half.root("submit", Kind::Server, None).unwrap().end();
        }
        let mut recorded = 0;
        while let Ok(one) = ended.try_recv() {
            assert!(one.context.sampled());
            recorded += 1;
        }
        assert!((1_700..2_300).contains(&recorded), "{recorded} of 4000");
    }

    #[test]
    fn a_full_queue_drops_and_never_waits() {
        let (tracer, mut ended) = tracer(1.0, 2);
        for _ in 0..1_000 {
            tracer.root("submit", Kind::Server, None).unwrap().end();
        }
        assert!(ended.try_recv().is_ok() && ended.try_recv().is_ok());
        assert!(ended.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_call_knows_its_span_and_nothing_else_does() {
        assert_eq!(current(), None);
        assert_eq!(within(stranger(true), async { current() }).await, Some(stranger(true)));
        assert_eq!(current(), None);
    }
}
