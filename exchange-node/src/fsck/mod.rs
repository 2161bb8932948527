//! The auditor: recomputes every projection from the sealed evidence, with code that shares
//! nothing with the writer. It uses neither the core nor the engine: rows are read as they stand
//! ([`exchange_store::snapshot`]), seals are opened, and what the columns should say is worked out
//! anew.
//!
//! - [`finding`]: everything that can be found, with its stable code and its sentences.
//! - [`object`]: one sealed object against its columns.
//! - [`story`]: what the evidence of a delivery tells: state, custodian, since when.
//! - [`message`], [`delivery`], [`keys`]: one message, its deliveries, their keys.
//! - [`feed`]: the event feeds of members. [`anchors`]: trees, tokens and leaves.
//! - [`queue`]: what waits for workers. [`content`]: the ciphertexts of documents.
//!
//! A running node may be examined: what is compared is read at one instant, and what changes
//! meanwhile is looked at twice. Memory is bounded by the largest message, whatever the archive
//! holds: everything is read by pages.
//!
//! Deliberately absent: repairing. The evidence is the event; a row that disagrees was changed by
//! somebody, or by a fault that has to be understood first.

mod anchors;
mod content;
mod delivery;
mod feed;
pub mod finding;
mod keys;
mod message;
mod object;
mod queue;
mod story;

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::sync::Arc;

use exchange_store::content::Shelf;
use exchange_store::snapshot::Ends;
use exchange_store::{Store, StoreError};
use schemas::ids::NodeId;
use schemas::time::Timestamp;
use signing::encrypt::StorageKey;
use signing::trust::{Anchors, SealVerifier};
use uuid::Uuid;

pub use self::finding::Finding;
use self::finding::Rule;

/// Most findings of one code that are kept; all are counted.
const KEPT: u64 = 1_000;

/// What is examined, and with what.
#[derive(Debug)]
pub struct Place<'a> {
    /// The node.
    pub node: &'a NodeId,
    /// Its archive.
    pub store: &'a dyn Store,
    /// Its content; none to leave it out.
    pub shelf: Option<&'a Shelf>,
    /// Whether content is read from end to end, or only its size is compared.
    pub whole: bool,
    /// The key that wraps document keys; none to leave wrapped keys closed.
    pub storage: Option<&'a StorageKey>,
    /// Whom seals must lead to.
    pub anchors: &'a Anchors,
    /// Whom time-stamps must lead to.
    pub tsa_anchors: &'a Anchors,
    /// Now.
    pub now: Timestamp,
}

/// What is being examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Messages with deliveries and sealed objects.
    Messages,
    /// Event feeds.
    Events,
    /// Anchors.
    Anchors,
    /// The queue.
    Queue,
    /// Content.
    Content,
}

/// Is told how far the work is: the stage, and positions done, of how many (0: not known).
pub type Watch<'a> = &'a (dyn Fn(Stage, u64, u64) + Send + Sync);

/// What was examined and found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Messages examined.
    pub messages: u64,
    /// Deliveries examined.
    pub deliveries: u64,
    /// Sealed objects examined, once for each delivery that they belong to.
    pub objects: u64,
    /// Ciphertexts examined.
    pub contents: u64,
    /// How many things do not agree, by code.
    pub counts: BTreeMap<&'static str, u64>,
    /// They, at most a thousand of each code.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing was found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.counts.is_empty()
    }

    /// How many things do not agree.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    fn find(&mut self, rule: Rule, what: &dyn Display, values: &[&dyn Display]) {
        self.keep(rule.finding(what, values));
    }

    fn keep(&mut self, finding: Finding) {
        let count = self.counts.entry(finding.code).or_default();
        *count += 1;
        if *count <= KEPT {
            self.findings.push(finding);
        }
    }
}

/// What the stages share.
struct Audit<'a> {
    place: &'a Place<'a>,
    ends: Ends,
    verifier: Arc<SealVerifier>,
    watch: Watch<'a>,
    /// Content that need not be there, although a key leads to it, see [`keys`].
    excused: HashSet<Vec<u8>>,
    /// Evidence that answers a silence, with that silence.
    answers: HashSet<(Uuid, Uuid)>,
    report: Report,
}

/// Examines everything.
///
/// # Errors
/// When the archive or the content cannot be read at all.
pub async fn examine(place: &Place<'_>, watch: Watch<'_>) -> Result<Report, StoreError> {
    let ends = place.store.snapshot().await?.ends().await?;
    let verifier = Arc::new(SealVerifier::new(place.anchors.clone()));
    let mut audit = Audit {
        place,
        ends,
        verifier,
        watch,
        excused: HashSet::new(),
        answers: HashSet::new(),
        report: Report::default(),
    };
    message::examine(&mut audit).await?;
    feed::examine(&mut audit).await?;
    anchors::examine(&mut audit).await?;
    queue::examine(&mut audit).await?;
    content::examine(&mut audit).await?;
    Ok(audit.report)
}

/// A position or a number, for whoever watches.
fn count(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}
