//! The only broker hangs now and then. For an instant afterwards the cluster names no broker at all,
//! and a client that asks in that instant forgets the one that it had.
//!
//! ```text
//!   eight nodes, each with clients of its own --- the broker (frozen for 4 s, four times)
//!   and a newcomer after each time -------------/
//! ```
//!
//! Frames to the newcomer ask after its lane first, which such a client can ask nobody about: that
//! must not keep the others waiting, frame by frame.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_adapter::{Backbone, Destination, Frame, Lane, Options, Outcome, Subscription, open};
use futures::future::join_all;
use schemas::ids::NodeId;

use super::frame;
use crate::services::{Service, node};

const NODES: usize = 8;
const HANGS: usize = 4;
/// As many as reach every partition of a lane.
const KEYS: usize = 12;
/// Longer than the controller waits for a sign of life, shorter than the session of a reader.
const FROZEN: Duration = Duration::from_secs(4);
/// Several times as long as clients wait before they begin again.
const AWAY: Duration = Duration::from_secs(15);
/// Between two searches for a lane.
const PAUSE: Duration = Duration::from_millis(20);
/// How long the nodes go on as during the hang when it is over.
const BACK: Duration = Duration::from_secs(2);
/// How soon everybody must be at work again.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node at work.
struct Desk {
    node: NodeId,
    backbone: Arc<dyn Backbone>,
    reader: Box<dyn Subscription>,
}

/// What happens after a hang of the broker.
struct Round<'a> {
    number: usize,
    everybody: &'a [NodeId],
    newcomer: Option<NodeId>,
    start: Instant,
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_that_hangs_now_and_then() {
    let Some(service) = Service::start("kafka", &[]) else { return };
    let url = service.run("url", &[]).unwrap();
    let mut desks = join_all((0..NODES).map(|_| Desk::set_up(&url, &[]))).await;
    let everybody: Vec<NodeId> = desks.iter().map(|desk| desk.node.clone()).collect();
    for number in 0..=HANGS {
        let mut round =
            Round { number, everybody: &everybody, newcomer: None, start: Instant::now() };
        if number > 0 {
            search_during(hang(&service), &desks).await;
        }
        round.newcomer = Some(newcomer(&url).await);
        join_all(desks.iter_mut().map(|desk| desk.work(&round))).await;
    }
}

/// Away for so long that every client begins again from the address that it was given: after five
/// minutes without an answer, unless it is told otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn kafka_that_is_away_until_clients_begin_again() {
    let Some(service) = Service::start("kafka", &[]) else { return };
    let url = service.run("url", &[]).unwrap();
    let soon = [("metadata.recovery.rebootstrap.trigger.ms".to_owned(), "2000".to_owned())];
    let mut desks = join_all((0..NODES).map(|_| Desk::set_up(&url, &soon))).await;
    let everybody: Vec<NodeId> = desks.iter().map(|desk| desk.node.clone()).collect();
    for number in 0..2 {
        if number > 0 {
            search_during(away(&service), &desks).await;
        }
        let (newcomer, start) = (Some(newcomer(&url).await), Instant::now());
        let round = Round { number, everybody: &everybody, newcomer, start };
        join_all(desks.iter_mut().map(|desk| desk.work(&round))).await;
    }
}

/// All look for lanes that are not there while the broker is in trouble.
async fn search_during(trouble: impl Future<Output = ()>, desks: &[Desk]) {
    let searches = join_all(desks.iter().map(Desk::look_for_a_stranger));
    tokio::select! {
        () = trouble => {}
        _ = searches => {}
    }
}

async fn away(service: &Service) {
    service.run("kill", &[]).unwrap();
    tokio::time::sleep(AWAY).await;
    service.run("start", &[]).unwrap();
}

async fn hang(service: &Service) {
    service.run("pause", &[]).unwrap();
    tokio::time::sleep(FROZEN).await;
    service.run("resume", &[]).unwrap();
    tokio::time::sleep(BACK).await;
}

/// A node that comes, and has lanes.
async fn newcomer(url: &str) -> NodeId {
    let (node, backbone) = (node(), open(url, Options::default()).await.unwrap());
    let start = Instant::now();
    while let Err(error) = backbone.provision(&node).await {
        assert!(start.elapsed() < PATIENCE, "no lanes for a newcomer: {error}");
    }
    node
}

impl Desk {
    async fn set_up(url: &str, properties: &[(String, String)]) -> Self {
        let (confirm_timeout, properties) = (Duration::from_secs(5), properties.to_vec());
        let options = Options { confirm_timeout, properties, ..Options::default() };
        let (node, backbone) = (node(), open(url, options).await.unwrap());
        backbone.provision(&node).await.unwrap();
        let reader = backbone.subscribe(&node, Lane::Message).await.unwrap();
        Self { node, backbone, reader }
    }

    /// What is for a node without lanes asks after these lanes, and after no others.
    async fn look_for_a_stranger(&self) -> Infallible {
        let stranger = node();
        loop {
            let outcome = self.backbone.publish(vec![frame(&stranger, 0, 10)]).await;
            assert_ne!(outcome, [Outcome::Confirmed]);
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn work(&mut self, round: &Round<'_>) {
        let Self { node, backbone, reader } = self;
        let out = round.publish(node, &**backbone);
        let inn = round.read(node, &**backbone, reader);
        futures::join!(out, inn);
    }
}

impl Round<'_> {
    /// As at a node, what was not confirmed is published again: here with all others.
    async fn publish(&self, from: &NodeId, backbone: &dyn Backbone) {
        let batch = self.frames(from);
        loop {
            let outcomes = backbone.publish(batch.clone()).await;
            let silent = outcomes.iter().filter(|one| **one != Outcome::Confirmed).count();
            if silent == 0 {
                return;
            }
            let what = format!("round {}: {from}: {silent} of {} silent", self.number, batch.len());
            assert!(self.start.elapsed() < PATIENCE, "{what}");
            eprintln!("{what}");
        }
    }

    /// To every node, and to the newcomer.
    fn frames(&self, from: &NodeId) -> Vec<(Destination, Frame)> {
        let of = |(to, key): (&NodeId, usize)| {
            let (to, frame) = frame(to, self.number, 10);
            (to, Frame { id: self.id(from, key), key: key.to_string(), ..frame })
        };
        let to = self.everybody.iter().chain(&self.newcomer);
        to.flat_map(|to| (0..KEYS).map(move |key| (to, key))).map(of).collect()
    }

    fn id(&self, from: &NodeId, key: usize) -> String {
        format!("{from}/{}/{key}", self.number)
    }

    /// The frames from every node. As at a node, a lane that ends is read anew.
    async fn read(&self, at: &NodeId, backbone: &dyn Backbone, reader: &mut Box<dyn Subscription>) {
        let of = |from| (0..KEYS).map(move |key| self.id(from, key));
        let mut missing: Vec<String> = self.everybody.iter().flat_map(of).collect();
        while !missing.is_empty() {
            let left = PATIENCE.saturating_sub(self.start.elapsed());
            let got = tokio::time::timeout(left, reader.next(9)).await;
            match got.unwrap_or_else(|_| panic!("round {}: {at}: no {missing:?}", self.number)) {
                Ok(got) => {
                    missing.retain(|id| got.iter().all(|one| one.frame.id != *id));
                    reader.ack(got.into_iter().map(|one| one.receipt).collect()).await.unwrap();
                }
                Err(error) => {
                    eprintln!("round {}: {at} reads anew: {error}", self.number);
                    assert_eq!(backbone.unread().len(), 1, "what is not read is told");
                    *reader = backbone.subscribe(at, Lane::Message).await.unwrap();
                }
            }
        }
    }
}
