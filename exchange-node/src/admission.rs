//! Who is let in: a submission is refused before a byte of it is read when the promise that goes
//! with it could not be kept, and never accepted and then lost.
//!
//! ```text
//! free space (content, SQLite)  < limits.min_free_bytes      -> 503 storage-full
//! bytes of calls under way      > limits.max_inflight_bytes  -> 503 overloaded
//! publications that wait        > limits.max_unsent          -> 503 overloaded
//! restored, and neighbours have not answered      -> 503 overloaded, for acts as well
//! ```
//! Reading (inbox, documents, evidence, proofs) and the acts of recipients are never refused here:
//! the floor leaves room for their small writes. Frames of other nodes stay with the broker while
//! less than half of the floor is free.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use nix::sys::statvfs::statvfs;
use schemas::problem::{Code, Problem};
use schemas::time::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::api::App;
use crate::api::error::ApiError;
use crate::api::extract::hear_out;
use crate::config::{Config, LimitsSection};
use crate::node::Node;

/// Most memory that one call takes, whatever its length: documents are streamed.
const MOST_MEMORY: u64 = 1 << 20;
/// Between two looks at what is not looked at with each call.
const LOOK: Duration = Duration::from_secs(2);

/// The doorkeeper of one node.
#[derive(Debug)]
pub struct Admission {
    limits: LimitsSection,
    /// Directories whose file systems must have room.
    places: Vec<PathBuf>,
    memory: AtomicU64,
    disk: AtomicU64,
    unsent: AtomicU64,
    closed: Mutex<Option<Closed>>,
}

/// Why the door is closed, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// `storage-full` or `overloaded`.
    pub code: Code,
    /// In words.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
}

/// A call that was let in; it makes room when it is dropped.
#[derive(Debug)]
pub struct Pass {
    door: Arc<Admission>,
    memory: u64,
    disk: u64,
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.door.memory.fetch_sub(self.memory, Ordering::Relaxed);
        self.door.disk.fetch_sub(self.disk, Ordering::Relaxed);
    }
}

impl Admission {
    /// The door of a node with this configuration.
    #[must_use]
    pub fn new(config: &Config) -> Arc<Self> {
        let mut places = vec![config.content.dir.clone()];
        let database = config.store.url.strip_prefix("sqlite://").map(Path::new);
        places.extend(database.and_then(Path::parent).map(Path::to_owned));
        Arc::new(Self {
            limits: config.limits.clone(),
            places,
            memory: AtomicU64::new(0),
            disk: AtomicU64::new(0),
            unsent: AtomicU64::new(0),
            closed: Mutex::new(None),
        })
    }

    /// Lets a call of `length` octets in (`None`: not announced).
    ///
    /// # Errors
    /// The problem to answer; nothing of the call was kept.
    pub fn enter(
        self: &Arc<Self>,
        length: Option<u64>,
        now: Timestamp,
    ) -> Result<Pass, Box<Problem>> {
        let disk = length.unwrap_or(MOST_MEMORY);
        let memory = disk.min(MOST_MEMORY);
        let judged = self.judge(memory, disk);
        self.note(judged.as_ref().err().map(|(code, why)| (*code, why.as_str())), now);
        judged.map_err(|(code, why)| Box::new(refusal(code, &why)))?;
        self.memory.fetch_add(memory, Ordering::Relaxed);
        self.disk.fetch_add(disk, Ordering::Relaxed);
        Ok(Pass { door: Arc::clone(self), memory, disk })
    }

    fn judge(&self, memory: u64, disk: u64) -> Result<(), (Code, String)> {
        let floor = self.limits.min_free_bytes;
        let promised = self.disk.load(Ordering::Relaxed).saturating_add(disk);
        let free = self.free();
        if free.saturating_sub(promised) < floor {
            let why = format!("{free} bytes are free, {floor} must stay free");
            return Err((Code::StorageFull, why));
        }
        let (most, under_way) =
            (self.limits.max_inflight_bytes, self.memory.load(Ordering::Relaxed));
        if under_way > 0 && under_way.saturating_add(memory) > most {
            return Err((Code::Overloaded, format!("{under_way} bytes are under way")));
        }
        let (most, unsent) = (self.limits.max_unsent, self.unsent.load(Ordering::Relaxed));
        if unsent >= most {
            return Err((Code::Overloaded, format!("{unsent} publications wait to be sent")));
        }
        Ok(())
    }

    /// Octets that are free where there are least; what cannot be asked is left to the probes.
    #[must_use]
    pub fn free(&self) -> u64 {
        let free = self.places.iter().filter_map(|place| statvfs(place).ok());
        free.map(|s| s.blocks_available().saturating_mul(s.fragment_size()))
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Whether frames of other nodes should stay with the broker for now.
    #[must_use]
    pub fn takes_no_frames(&self) -> bool {
        self.free() < self.limits.min_free_bytes / 2
    }

    /// Why nothing is let in at present, and since when.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, why: Option<(Code, &str)>, now: Timestamp) {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut *closed, why) {
            (Some(known), Some((code, why))) if known.code == code => {
                why.clone_into(&mut known.why)
            }
            (known, Some((code, why))) => {
                tracing::warn!(code = code.as_str(), why, "submissions are refused");
                *known = Some(Closed { code, why: why.to_owned(), since: now });
            }
            (Some(known), None) => {
                tracing::info!(code = known.code.as_str(), since = %known.since, "taking again");
                *closed = None;
            }
            (None, None) => {}
        }
    }
}

fn refusal(code: Code, why: &str) -> Problem {
    let facts = code.facts();
    Problem::new(code, format!("{} ({why})", facts.title), facts.title_fr)
}

/// Looks at the disk and at the backlog from time to time, so that status and metrics are right
/// also when nobody calls.
pub async fn run(node: Arc<Node>, stop: CancellationToken) {
    let door = &node.admission;
    loop {
        let most = u32::try_from(door.limits.max_unsent).unwrap_or(u32::MAX);
        if let Ok(unsent) = node.store.unsent(most).await {
            door.unsent.store(unsent, Ordering::Relaxed);
            metrics::gauge!("pli_unsent").set(unsent as f64);
        }
        let judged = door.judge(0, 0);
        let why = judged.as_ref().err().map(|(code, why)| (*code, why.as_str()));
        door.note(why, node.clock.now());
        metrics::gauge!("pli_free_bytes").set(door.free() as f64);
        for code in [Code::StorageFull, Code::Overloaded] {
            let now = if why.is_some_and(|(c, _)| c == code) { 1.0 } else { 0.0 };
            metrics::gauge!("pli_refusing", "code" => code.as_str()).set(now);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Refuses what brings something new when there is no room for it.
pub async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let brings = path == "/v1/messages" || path.starts_with("/v1/documents");
    let writes = [Method::POST, Method::PATCH, Method::PUT].contains(request.method());
    if let Some(why) = app.node.recollection.reason()
        && writes
        && path.starts_with("/v1/")
    {
        let problem = refusal(Code::Overloaded, &why);
        hear_out(&mut request.into_body().into_data_stream()).await;
        return ApiError(Box::new(problem)).into_response();
    }
    if !brings || !writes {
        return next.run(request).await;
    }
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    match app.node.admission.enter(length, app.node.clock.now()) {
        Ok(_pass) => next.run(request).await,
        Err(problem) => {
            hear_out(&mut request.into_body().into_data_stream()).await;
            ApiError(problem).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(limits: LimitsSection) -> Arc<Admission> {
        Arc::new(Admission {
            limits,
            places: vec![std::env::temp_dir()],
            memory: AtomicU64::new(0),
            disk: AtomicU64::new(0),
            unsent: AtomicU64::new(0),
            closed: Mutex::new(None),
        })
    }

    fn code(result: Result<Pass, Box<Problem>>) -> String {
        result.map(drop).map_or_else(|p| p.code.as_str().to_owned(), |()| "in".to_owned())
    }

    #[test]
    fn a_floor_below_which_nothing_is_let_in_and_since_when() {
        let at = Timestamp::from_secs(1_800_000_000);
        let full = door(LimitsSection { min_free_bytes: u64::MAX / 2, ..LimitsSection::default() });
        assert_eq!(code(full.enter(Some(1), at)), "storage-full");
        assert_eq!(code(full.enter(Some(1), at.plus(5_000))), "storage-full");
        assert_eq!(full.closed().unwrap().since, at);
        assert!(full.takes_no_frames());
        full.note(None, at);
        assert_eq!(full.closed(), None);
    }

    #[test]
    fn room_promised_to_calls_under_way_is_not_promised_twice() {
        let at = Timestamp::from_secs(1_800_000_000);
        let limits = LimitsSection { min_free_bytes: 0, ..LimitsSection::default() };
        let door = door(LimitsSection { max_inflight_bytes: 3 << 20, ..limits });
        let passes: Vec<Pass> =
            (0..3).map(|_| door.enter(Some(64 << 10 << 10), at).unwrap()).collect();
        assert_eq!(code(door.enter(Some(1), at)), "overloaded");
        drop(passes);
        assert_eq!(code(door.enter(Some(1), at)), "in");
        assert_eq!(door.memory.load(Ordering::Relaxed), 0);
        assert_eq!(door.disk.load(Ordering::Relaxed), 0);
        door.unsent.store(door.limits.max_unsent, Ordering::Relaxed);
        assert_eq!(code(door.enter(Some(1), at)), "overloaded");
    }
}
