//! The embedded backbone: one SQLite file that the processes of one machine share.
//!
//! - `file.rs`: the file and all its SQL.
//! - `bell.rs`: how a publisher wakes the subscribers of other processes (datagram sockets beside
//!   the file; polling is the fallback).
//! - `subscription.rs`: claims, acknowledgements, leases.
//! - `keeper.rs`: keeps the write-ahead log short, beside the path of the frames.
//!
//! A publisher commits with `synchronous=FULL`: what is confirmed survives a power cut. Claims and
//! acknowledgements commit with `synchronous=NORMAL`: losing one makes a duplicate, never a loss.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use schemas::ids::NodeId;

use self::bell::Bell;
use self::file::File;
use self::keeper::Keeper;
use crate::{
    Backbone, BackboneError, Destination, Frame, Lane, Options, Outcome, Subscription, url,
};

mod bell;
mod file;
mod keeper;
mod subscription;

/// One process's door to the file.
#[derive(Debug)]
pub(crate) struct Embedded {
    shared: Arc<Shared>,
    keeper: Keeper,
}

/// What the backbone and its subscriptions have in common.
#[derive(Debug)]
struct Shared {
    file: File,
    bell: Bell,
    lease: Duration,
}

impl Embedded {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// The URL has no path, or the file cannot be used.
    pub(crate) async fn open(url: &str, options: Options) -> Result<Self, BackboneError> {
        let path = path_of(url)?;
        let file = File::open(&path).await?;
        let bell = Bell::hang(&path, file.reader());
        let keeper = Keeper::start(&path).await?;
        Ok(Self { shared: Arc::new(Shared { file, bell, lease: options.lease }), keeper })
    }

    /// The lane of each frame that may be sent; the others have their outcome already.
    async fn route(
        &self,
        frames: Vec<(Destination, Frame)>,
        outcomes: &mut [Outcome],
    ) -> Result<Vec<(i64, Frame)>, BackboneError> {
        let mut routed = Vec::with_capacity(frames.len());
        for ((to, frame), outcome) in frames.into_iter().zip(outcomes) {
            if let Some(refusal) = frame.refusal() {
                *outcome = refusal;
            } else if let Some(lane) = self.shared.file.lane(&to).await? {
                routed.push((lane, frame));
            } else {
                *outcome = Outcome::Unroutable;
            }
        }
        Ok(routed)
    }

    async fn try_publish(
        &self,
        frames: Vec<(Destination, Frame)>,
        outcomes: &mut [Outcome],
    ) -> Result<(), BackboneError> {
        let routed = self.route(frames, outcomes).await?;
        if routed.is_empty() {
            return Ok(());
        }
        self.shared.file.insert(&routed).await?;
        self.shared.bell.ring(routed.iter().map(|(lane, _)| *lane));
        Ok(())
    }
}

#[async_trait]
impl Backbone for Embedded {
    async fn provision(&self, node: &NodeId) -> Result<(), BackboneError> {
        self.shared.file.provision(node).await
    }

    async fn publish(&self, frames: Vec<(Destination, Frame)>) -> Vec<Outcome> {
        let mut outcomes = vec![Outcome::Confirmed; frames.len()];
        if let Err(error) = self.try_publish(frames, &mut outcomes).await {
            // A commit that failed may still be on disk.
            for outcome in outcomes.iter_mut().filter(|o| **o == Outcome::Confirmed) {
                *outcome = Outcome::Unknown(error.to_string());
            }
        }
        outcomes
    }

    async fn subscribe(
        &self,
        node: &NodeId,
        lane: Lane,
    ) -> Result<Box<dyn Subscription>, BackboneError> {
        let destination = Destination { node: node.clone(), lane };
        let Some(id) = self.shared.file.lane(&destination).await? else {
            return Err(BackboneError::UnknownLane(destination));
        };
        Ok(Box::new(subscription::Claims::start(Arc::clone(&self.shared), id).await?))
    }

    async fn waiting(&self, lane: &Destination) -> Result<u64, BackboneError> {
        match self.shared.file.lane(lane).await? {
            Some(id) => self.shared.file.waiting(id).await,
            None => Err(BackboneError::UnknownLane(lane.clone())),
        }
    }

    async fn probe(&self) -> Result<Duration, BackboneError> {
        let start = Instant::now();
        self.shared.file.probe().await?;
        Ok(start.elapsed())
    }

    fn name(&self) -> &'static str {
        "embedded"
    }

    async fn close(&self) {
        self.shared.bell.take_down();
        self.keeper.stop();
        self.shared.file.close().await;
    }
}

fn path_of(url: &str) -> Result<PathBuf, BackboneError> {
    let parts = url::parts(url)?;
    let path = format!("{}{}", parts.authority, parts.path);
    if path.is_empty() || path.ends_with('/') {
        return Err(BackboneError::Url("embedded: names no file".to_owned()));
    }
    Ok(Path::new(&path).to_owned())
}
