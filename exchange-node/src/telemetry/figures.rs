//! The figures of `/metrics`, each with its help.
//!
//! Every name is described, and counters begin at zero, so that a rule over one that has not
//! moved yet reads a value and not nothing. Labels are bounded: lanes, codes, states, peers of the
//! directory; never a message, a member or a document.

use std::time::Duration;

use broker_adapter::Lane;
use exchange_store::rows::PeerRow;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use schemas::problem::Code;
use schemas::time::Timestamp;

use crate::node::Node;
use crate::peers;
use crate::telemetry::outages;

/// Longest wait for the database: a scrape must end before Prometheus gives it up, and say so.
const PATIENCE: Duration = Duration::from_secs(4);

/// Upper bounds of durations, in seconds.
const SECONDS: [f64; 13] =
    [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Upper bounds of the number of items in a batch.
const ITEMS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

const GAUGES: &[(&str, &str)] = &[
    ("pli_oldest_unsent_seconds", "Age of the oldest publication that waits for the backbone"),
    ("pli_oldest_unacknowledged_seconds", "Age of the oldest dispatch sent without B.1 or B.2"),
    ("pli_oldest_unanchored_seconds", "Age of the oldest sealed object without an anchor in time"),
    ("pli_oldest_uncollected_seconds", "Age of the oldest delivery consigned and not handed over"),
    ("pli_unsent_publications", "Publications that wait for the backbone"),
    ("pli_unacknowledged_deliveries", "Deliveries sent without B.1 or B.2"),
    ("pli_unanchored_evidence", "Sealed objects without an anchor in time"),
    ("pli_uncollected_deliveries", "Deliveries consigned and not handed over"),
    ("pli_peer_oldest_unsent_seconds", "Age of the oldest unsent publication by destination"),
    ("pli_peer_unsent_publications", "Publications that wait, by destination"),
    ("pli_peer_held", "Whether an operator holds what goes to a destination"),
    ("pli_peer_failing_seconds", "How long publications to a destination have failed"),
    ("pli_peer_rate_limit", "Publications a second to a destination at most; 0 without limit"),
    ("pli_dead_letters", "Effects that were given up and wait for an operator"),
    ("pli_frames_set_aside", "Frames from the backbone that were not believed and are kept"),
    ("pli_evidence_held", "Sealed objects in the archive"),
    ("pli_deliveries", "Deliveries by role and state"),
    ("pli_members_near_quota", "Members that have used 80 % of what they may send today"),
    ("pli_members_over_quota", "Members that have used up what they may send today"),
    ("pli_inboxes_near_full", "Members for whom 80 % of what may wait for them waits"),
    ("pli_inboxes_full", "Members for whom nothing more is consigned until they collect"),
    ("pli_store_up", "Whether the database answered this scrape"),
    ("pli_dependency_up", "Whether a dependency worked when last examined"),
    ("pli_dependency_changed_timestamp_seconds", "When a dependency began to work, or ceased to"),
    ("pli_dependency_seconds", "How long a dependency took when last examined; 5 is given up"),
    ("pli_engine_queue_items", "Items that wait for the engine"),
    ("pli_engine_queue_capacity_items", "Items that may wait for the engine"),
    ("pli_certificate_expiry_seconds", "Time left to the node's certificates, by use"),
    ("pli_crl_expiry_seconds", "Time left to the CRL that ends first; negative when it has ended"),
    ("pli_directory_expiry_seconds", "Time left to the list of the directory that ends first"),
    ("pli_free_bytes", "Free bytes as admission sees them"),
    ("pli_refusing", "Whether submissions are refused for want of room"),
    ("pli_unsent", "Unsent publications as admission sees them"),
    ("pli_storage_free_bytes", "Free bytes where contents (and an SQLite database) lie"),
    ("pli_storage_min_free_bytes", "Free bytes below which submissions are refused"),
];

const COUNTERS: &[(&str, &str)] = &[
    ("pli_submissions_total", "Submissions accepted, each with its A.1"),
    ("pli_refusals_total", "Problems answered over HTTP, by code"),
    ("pli_frames_published_total", "Frames that the backbone confirmed, by lane"),
    ("pli_frames_consumed_total", "Frames read and acknowledged, by lane"),
    ("pli_frames_set_aside_total", "Frames that were not believed, by code"),
    ("pli_anchored_total", "Sealed objects that got their anchor in time"),
    ("pli_anchor_failures_total", "Rounds of anchoring that failed"),
    ("pli_content_parts_published_total", "Parts of content given to the backbone"),
    ("pli_content_parts_received_total", "Parts of content taken from the backbone"),
    ("pli_spans_exported_total", "Spans that the collector of traces took"),
    ("pli_spans_dropped_total", "Spans that were lost, for want of a collector or of room"),
    ("pli_http_requests_total", "HTTP requests by method and status"),
];

const DURATIONS: &[(&str, &str)] = &[
    ("pli_http_request_duration_seconds", "Time to answer an HTTP request, long polls included"),
    ("pli_seal_duration_seconds", "Time to seal one batch of the engine"),
    ("pli_commit_duration_seconds", "Time to commit one batch of the engine"),
];

const BATCH: &str = "pli_batch_items";

/// Installs the recorder of this process.
///
/// # Errors
/// There is one already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let mut builder =
        PrometheusBuilder::new().set_buckets_for_metric(Matcher::Full(BATCH.to_owned()), &ITEMS)?;
    for (name, _) in DURATIONS {
        builder = builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), &SECONDS)?;
    }
    let handle = builder.install_recorder()?;
    describe();
    Ok(handle)
}

fn describe() {
    for &(name, help) in GAUGES {
        describe_gauge!(name, help);
    }
    for &(name, help) in COUNTERS {
        describe_counter!(name, help);
    }
    for &(name, help) in DURATIONS {
        describe_histogram!(name, Unit::Seconds, help);
    }
    describe_histogram!(BATCH, "Items of one batch of the engine");
    for name in [
        "pli_submissions_total",
        "pli_anchored_total",
        "pli_anchor_failures_total",
        "pli_spans_exported_total",
    ] {
        counter!(name).increment(0);
    }
    for why in ["queue", "collector"] {
        counter!("pli_spans_dropped_total", "why" => why).increment(0);
    }
    for lane in [Lane::Message, Lane::Evidence, Lane::Content] {
        published(lane, 0);
        consumed(lane, 0);
    }
    for code in Code::ALL {
        counter!("pli_refusals_total", "code" => code.as_str()).increment(0);
        counter!("pli_frames_set_aside_total", "code" => code.as_str()).increment(0);
    }
}

/// Counts frames that the backbone confirmed.
pub fn published(lane: Lane, frames: u64) {
    counter!("pli_frames_published_total", "lane" => lane.as_str()).increment(frames);
}

/// Counts frames that were read and acknowledged.
pub fn consumed(lane: Lane, frames: u64) {
    counter!("pli_frames_consumed_total", "lane" => lane.as_str()).increment(frames);
}

/// Reads what is counted when somebody asks.
pub async fn measure(node: &Node) {
    let now = node.clock.now();
    own(node, now);
    let asked = async {
        let store = &node.store;
        tokio::try_join!(store.counts(now), store.unsent_by_peer(), store.peers())
    };
    let Ok(Ok((counts, by_peer, ruled))) = tokio::time::timeout(PATIENCE, asked).await else {
        gauge!("pli_store_up").set(0.0);
        return;
    };
    gauge!("pli_store_up").set(1.0);
    let age = |at: Option<Timestamp>| at.map_or(0.0, |at| seconds(now.since(at).max(0)));
    gauge!("pli_oldest_unsent_seconds").set(age(counts.oldest_unsent));
    gauge!("pli_oldest_unacknowledged_seconds").set(age(counts.oldest_unacknowledged));
    gauge!("pli_oldest_unanchored_seconds").set(age(counts.oldest_unanchored));
    gauge!("pli_oldest_uncollected_seconds").set(age(counts.oldest_uncollected));
    gauge!("pli_dead_letters").set(counts.dead as f64);
    gauge!("pli_frames_set_aside").set(counts.set_aside as f64);
    gauge!("pli_evidence_held").set(counts.evidence.0 as f64);
    gauge!("pli_unanchored_evidence").set(counts.evidence.1 as f64);
    let unsent = counts.waiting.iter().filter(|(kind, _)| kind == "publish").map(|(_, n)| *n);
    gauge!("pli_unsent_publications").set(unsent.sum::<u64>() as f64);
    let phase = |name: &str| {
        counts.deliveries.iter().filter(|(_, p, _)| p == name).map(|(.., n)| *n).sum::<u64>()
    };
    gauge!("pli_unacknowledged_deliveries").set(phase("relaying") as f64);
    gauge!("pli_uncollected_deliveries").set(phase("consigned") as f64);
    for (role, state, count) in counts.deliveries {
        gauge!("pli_deliveries", "role" => role, "state" => state).set(count as f64);
    }
    of_peers(node, &by_peer, &ruled, now);
    if let Ok((near, full)) = node.spaces.strained(node.store.as_ref(), now).await {
        gauge!("pli_inboxes_near_full").set(near as f64);
        gauge!("pli_inboxes_full").set(full as f64);
    }
}

/// Each node of the directory that something waits for, or has waited for.
fn of_peers(node: &Node, unsent: &[(String, u64, Timestamp)], ruled: &[PeerRow], now: Timestamp) {
    for entry in &node.directory.current().root().nodes {
        let found = unsent.iter().find(|(peer, ..)| *peer == entry.id.as_str());
        let (count, age) =
            found.map_or((0, 0), |(_, count, since)| (*count, now.since(*since).max(0)));
        let peer = entry.id.to_string();
        let row = ruled.iter().find(|row| row.peer == entry.id);
        let held = row.is_some_and(|row| row.held_since.is_some());
        gauge!("pli_peer_held", "peer" => peer.clone()).set(if held { 1.0 } else { 0.0 });
        let failing = row.and_then(|row| row.failing_since).map_or(0, |at| now.since(at).max(0));
        gauge!("pli_peer_failing_seconds", "peer" => peer.clone()).set(seconds(failing));
        let rate = row.and_then(peers::rate).unwrap_or(0.0);
        gauge!("pli_peer_rate_limit", "peer" => peer.clone()).set(rate);
        gauge!("pli_peer_unsent_publications", "peer" => peer.clone()).set(count as f64);
        gauge!("pli_peer_oldest_unsent_seconds", "peer" => peer).set(seconds(age));
    }
}

/// What this process knows without the database.
fn own(node: &Node, now: Timestamp) {
    let (waiting, room) = node.engine.depth();
    gauge!("pli_engine_queue_items").set(waiting as f64);
    gauge!("pli_engine_queue_capacity_items").set(room as f64);
    let left = |end: Timestamp| seconds(end.since(now));
    let seal = node.keys.sealer.borrow().certificate().not_after;
    gauge!("pli_certificate_expiry_seconds", "use" => "seal").set(left(seal));
    let encryption = node.keys.encryption.certificate().not_after;
    gauge!("pli_certificate_expiry_seconds", "use" => "encryption").set(left(encryption));
    let crls = crate::keys::crls(&node.config.keys.crls).unwrap_or_default();
    if let Some(end) = crls.iter().filter_map(|der| signing::path::crl_next_update(der)).min() {
        gauge!("pli_crl_expiry_seconds").set(left(end));
    }
    let snapshot = node.directory.current();
    let lists = snapshot.directory.lists().iter().map(|list| list.expires_at);
    let end = lists.fold(snapshot.root().expires_at, Timestamp::min);
    gauge!("pli_directory_expiry_seconds").set(left(end));
    let (near, over) = node.quotas.strained(now);
    gauge!("pli_members_near_quota").set(near as f64);
    gauge!("pli_members_over_quota").set(over as f64);
    gauge!("pli_storage_free_bytes").set(node.admission.free() as f64);
    gauge!("pli_storage_min_free_bytes").set(node.config.limits.min_free_bytes as f64);
    for (name, spell) in outages::known(&node.id) {
        let up = if spell.up { 1.0 } else { 0.0 };
        gauge!("pli_dependency_up", "dependency" => name.clone()).set(up);
        gauge!("pli_dependency_changed_timestamp_seconds", "dependency" => name)
            .set(seconds(spell.since.millis()));
    }
}

/// Milliseconds in seconds.
#[allow(clippy::cast_precision_loss, reason = "a figure for people and rules")]
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1_000.0
}
