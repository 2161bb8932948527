//! Spans leave the node: OTLP 1.x over HTTP, in its JSON form (`opentelemetry-proto`, file
//! `trace_service.proto`; identifiers in hexadecimal, 64-bit numbers as text).
//!
//! The queue is bounded and nobody waits for it. A collector that is away, slow or unwilling costs
//! the spans of the meantime, which are counted, and nothing else: they are not kept, and not sent
//! again.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, Url};
use schemas::ids::NodeId;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::spans::{Ended, Tracer, Value};
use crate::config::TelemetrySection;

/// Spans that may wait.
const QUEUE: usize = 8_192;
/// Most spans of one request.
const BATCH: usize = 512;
/// Longest wait for a batch to fill.
const GATHER: Duration = Duration::from_secs(1);
/// Longest wait for the collector, and for the last spans of a node that stops.
const PATIENCE: Duration = Duration::from_secs(3);
/// `STATUS_CODE_ERROR`
const ERROR: u8 = 2;

/// Counts spans that were lost: for want of room in the queue, or of a collector.
pub(super) fn dropped(why: &'static str, spans: u64) {
    metrics::counter!("pli_spans_dropped_total", "why" => why).increment(spans);
}

/// Sends what a [`Tracer`] records.
#[derive(Debug)]
pub struct Exporter {
    queue: mpsc::Receiver<Ended>,
    client: Client,
    url: Url,
    resource: Json,
    /// Whether the last request failed: an outage is one line of the log.
    away: bool,
}

/// The tracer of a node, and who sends what it records; neither does anything without
/// `telemetry.otlp_url`.
///
/// # Errors
/// Naming the key that cannot be used.
pub fn open(section: &TelemetrySection, node: &NodeId) -> Result<(Tracer, Option<Exporter>)> {
    let Some(url) = &section.otlp_url else { return Ok((Tracer::default(), None)) };
    let url = endpoint(url).with_context(|| format!("telemetry.otlp_url {url:?}"))?;
    let client = Client::builder().timeout(PATIENCE).build().context("telemetry")?;
    let (sender, queue) = mpsc::channel(QUEUE);
    let resource = resource(section, node);
    let exporter = Exporter { queue, client, url, resource, away: false };
    Ok((Tracer::recording(section.sample_ratio, sender), Some(exporter)))
}

/// As `OTEL_EXPORTER_OTLP_ENDPOINT` is read: the path of traces goes below it.
fn endpoint(base: &str) -> Result<Url> {
    let mut url: Url = base.parse()?;
    ensure!(matches!(url.scheme(), "http" | "https"), "neither http nor https");
    if !url.path().ends_with("/v1/traces") {
        let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
        url.set_path(&path);
    }
    Ok(url)
}

fn resource(section: &TelemetrySection, node: &NodeId) -> Json {
    let name = section.service_name.clone().unwrap_or_else(|| format!("pli-{node}"));
    json!({ "attributes": [
        attribute("service.name", &Value::from(name)),
        attribute("service.version", &Value::from(env!("CARGO_PKG_VERSION"))),
        attribute("service.instance.id", &Value::from(node.to_string())),
    ] })
}

/// An exporter at work.
#[derive(Debug)]
pub struct Sending {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Sending {
    /// Sends what is left, for a while.
    pub async fn finish(self) {
        self.stop.cancel();
        let _ = self.task.await;
    }
}

impl Exporter {
    /// Begins to send.
    #[must_use]
    pub fn start(self) -> Sending {
        let stop = CancellationToken::new();
        Sending { task: tokio::spawn(self.run(stop.clone())), stop }
    }

    async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                count = self.queue.recv_many(&mut batch, BATCH) => if count == 0 { return },
            }
            let end = tokio::time::Instant::now() + GATHER;
            while batch.len() < BATCH {
                let room = BATCH - batch.len();
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep_until(end) => break,
                    count = self.queue.recv_many(&mut batch, room) => if count == 0 { break },
                }
            }
            self.send(std::mem::take(&mut batch)).await;
        }
        self.queue.close();
        let last = async {
            // A node that stops does not wait for who is away.
            while !self.away && self.queue.recv_many(&mut batch, BATCH).await > 0 {
                self.send(std::mem::take(&mut batch)).await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, last).await;
        dropped("collector", self.queue.len() as u64);
    }

    async fn send(&mut self, batch: Vec<Ended>) {
        let body = request(&self.resource, &batch);
        let sent = self.client.post(self.url.clone()).json(&body).send().await;
        match sent.and_then(reqwest::Response::error_for_status) {
            Ok(_) => {
                metrics::counter!("pli_spans_exported_total").increment(batch.len() as u64);
                if std::mem::replace(&mut self.away, false) {
                    tracing::info!("the collector of traces is back");
                }
            }
            Err(error) => {
                dropped("collector", batch.len() as u64);
                if !std::mem::replace(&mut self.away, true) {
                    // Without its URL, in which there may be a token.
                    let error = error.without_url();
                    tracing::warn!(%error, "traces are dropped: their collector does not take them");
                }
            }
        }
    }
}

/// `ExportTraceServiceRequest`
fn request(resource: &Json, batch: &[Ended]) -> Json {
    let spans: Vec<Json> = batch.iter().map(span).collect();
    let scope = json!({ "name": "pli", "version": env!("CARGO_PKG_VERSION") });
    json!({ "resourceSpans": [
        { "resource": resource, "scopeSpans": [{ "scope": scope, "spans": spans }] }
    ] })
}

fn span(one: &Ended) -> Json {
    let status = match &one.failure {
        Some(code) => json!({ "code": ERROR, "message": code }),
        None => json!({}),
    };
    let attributes: Vec<Json> = one.attributes.iter().map(|(k, v)| attribute(k, v)).collect();
    json!({
        "traceId": hex::encode(one.context.trace()),
        "spanId": hex::encode(one.context.span()),
        "parentSpanId": one.parent.map(hex::encode).unwrap_or_default(),
        "name": one.name,
        "kind": one.kind as u8,
        "startTimeUnixNano": nanos(one.begun),
        "endTimeUnixNano": nanos(one.begun + one.took),
        "attributes": attributes,
        "status": status,
    })
}

fn attribute(key: &str, value: &Value) -> Json {
    let value = match value {
        Value::Text(text) => json!({ "stringValue": text }),
        Value::Number(number) => json!({ "intValue": number.to_string() }),
    };
    json!({ "key": key, "value": value })
}

fn nanos(since: Duration) -> String {
    since.as_nanos().to_string()
}

#[cfg(test)]
mod tests {
    use schemas::trace::TraceContext;

    use super::super::spans::Kind;
    use super::*;

    #[test]
    fn the_path_of_traces_goes_below_the_url_unless_it_is_there() {
        for (base, whole) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://otlp.example/pli/", "https://otlp.example/pli/v1/traces"),
            ("https://otlp.example/v1/traces", "https://otlp.example/v1/traces"),
        ] {
            assert_eq!(endpoint(base).unwrap().as_str(), whole);
        }
        for bad in ["otlp.example:4318", "ftp://otlp.example", "http://"] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_json_is_that_of_the_standard() {
        let one = Ended {
            context: TraceContext::new([1; 16], [2; 8], true).unwrap(),
            parent: None,
            name: "submit".into(),
            kind: Kind::Producer,
            begun: Duration::new(1_800_000_000, 5),
            took: Duration::from_nanos(7),
            attributes: vec![("pli.items", Value::from(u64::MAX))],
            failure: Some("overloaded".into()),
        };
        let expected = json!({
            "traceId": "01".repeat(16), "spanId": "02".repeat(8), "parentSpanId": "",
            "name": "submit", "kind": 4,
            "startTimeUnixNano": "1800000000000000005", "endTimeUnixNano": "1800000000000000012",
            "attributes": [
                { "key": "pli.items", "value": { "intValue": "9223372036854775807" } }
            ],
            "status": { "code": 2, "message": "overloaded" },
        });
        assert_eq!(span(&one), expected);
    }

    #[tokio::test]
    async fn a_collector_that_is_away_takes_nothing_from_anybody() {
        let section = TelemetrySection {
            otlp_url: Some("http://127.0.0.1:1".to_owned()),
            ..TelemetrySection::default()
        };
        let (tracer, exporter) = open(&section, &"etat".parse().unwrap()).unwrap();
        let sending = exporter.unwrap().start();
        for _ in 0..3 * QUEUE {
            tracer.root("submit", Kind::Server, None).unwrap().end();
        }
        tokio::time::timeout(3 * PATIENCE, sending.finish()).await.unwrap();
    }
}
