//! Every call: counted, timed, and given its place in a trace (W3C Trace Context).

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use schemas::trace::{TRACEPARENT, TraceContext};
use tracing::Instrument as _;

use crate::api::App;
use crate::telemetry::spans::{self, Kind, Span};

/// Calls of people and programs; probes and figures would drown them.
const TRACED: &str = "/v1/";

pub(super) async fn trace(State(app): State<App>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let started = std::time::Instant::now();
    let span = begin(&app, &request);
    let mut response = match &span {
        Some(span) => {
            let (context, log) = (span.context(), span.log());
            spans::within(context, next.run(request).instrument(log)).await
        }
        None => next.run(request).await,
    };
    let status = response.status();
    if let Some(mut span) = span {
        if let Ok(value) = HeaderValue::from_str(&span.context().to_string()) {
            response.headers_mut().insert(TRACEPARENT, value);
        }
        span.note("http.response.status_code", || u64::from(status.as_u16()));
        if status.is_server_error() {
            span.fail(status.as_u16().to_string());
        }
        span.end();
    }
    let status = status.as_u16().to_string();
    metrics::counter!("pli_http_requests_total", "method" => method.to_string(), "status" => status)
        .increment(1);
    metrics::histogram!("pli_http_request_duration_seconds")
        .record(started.elapsed().as_secs_f64());
    response
}

/// Named by method and route, as OpenTelemetry has it; the ids of the path stay out.
fn begin(app: &App, request: &Request) -> Option<Span> {
    if !request.uri().path().starts_with(TRACED) {
        return None;
    }
    let mut span = app.node.tracer.root("http", Kind::Server, given(request.headers()))?;
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    span.rename(|| format!("{} {route}", request.method()).trim_end().to_owned().into());
    span.note("http.request.method", || request.method().to_string());
    span.note("http.route", || route.to_owned());
    Some(span)
}

/// The caller's context: one header, well-formed, or none at all (W3C Trace Context §3.2, §4.3).
fn given(headers: &HeaderMap) -> Option<TraceContext> {
    let mut all = headers.get_all(TRACEPARENT).iter();
    let (only, None) = (all.next()?, all.next()) else { return None };
    only.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_header_counts_and_two_are_none() {
        let value = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let mut headers = HeaderMap::new();
        assert_eq!(given(&headers), None);
        headers.append(TRACEPARENT, HeaderValue::from_static(value));
        assert_eq!(given(&headers).unwrap().to_string(), value);
        headers.append(TRACEPARENT, HeaderValue::from_static(value));
        assert_eq!(given(&headers), None);
        headers.insert(TRACEPARENT, HeaderValue::from_bytes(b"00-\xff").unwrap());
        assert_eq!(given(&headers), None);
    }
}
