//! The only broker hangs now and then. For an instant afterwards the cluster names no broker at all,
//! and a client that asks in that instant forgets the one that it had.
//!
//! ```text
//!   eight nodes, each with clients of its own -- the broker (frozen for 4 s, four times)
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_adapter::{Backbone, Lane, Options, Outcome, Subscription, open};
use futures::future::join_all;
use schemas::ids::NodeId;

use super::frame;
use crate::services::{Service, node};

const NODES: usize = 8;
const HANGS: usize = 4;
/// Longer than the controller waits for a sign of life, shorter than the session of a reader.
const FROZEN: Duration = Duration::from_secs(4);
/// How soon everybody must be at work again.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node at work.
struct Desk {
    node: NodeId,
    backbone: Arc<dyn Backbone>,
    reader: Box<dyn Subscription>,
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_that_hangs_now_and_then() {
    let Some(service) = Service::start("kafka", &[]) else { return };
    let url = service.run("url", &[]).unwrap();
    let mut desks = join_all((0..NODES).map(|_| Desk::set_up(&url))).await;
    for round in 0..=HANGS {
        if round > 0 {
            service.run("pause", &[]).unwrap();
            tokio::time::sleep(FROZEN).await;
            service.run("resume", &[]).unwrap();
        }
        join_all(desks.iter_mut().map(|desk| desk.work(round))).await;
    }
}

impl Desk {
    async fn set_up(url: &str) -> Self {
        let options = Options { confirm_timeout: Duration::from_secs(5), ..Options::default() };
        let (node, backbone) = (node(), open(url, options).await.unwrap());
        backbone.provision(&node).await.unwrap();
        let reader = backbone.subscribe(&node, Lane::Message).await.unwrap();
        Self { node, backbone, reader }
    }

    /// A frame goes out and comes in. As at a node, one that was not confirmed is published again, and
    /// a lane that ends is read anew.
    async fn work(&mut self, round: usize) {
        let Self { node, backbone, reader } = self;
        let start = Instant::now();
        while backbone.publish(vec![frame(node, round, 10)]).await != [Outcome::Confirmed] {
            assert!(start.elapsed() < PATIENCE, "{node} cannot publish, round {round}");
        }
        let mut found = false;
        while !found {
            let left = PATIENCE.saturating_sub(start.elapsed());
            let got = tokio::time::timeout(left, reader.next(9)).await;
            match got.unwrap_or_else(|_| panic!("{node} reads nothing, round {round}")) {
                Ok(got) => {
                    found = got.iter().any(|one| one.frame.id == round.to_string());
                    reader.ack(got.into_iter().map(|one| one.receipt).collect()).await.unwrap();
                }
                Err(error) => {
                    eprintln!("round {round}: {node} reads anew: {error}");
                    assert_eq!(backbone.unread().len(), 1, "what is not read is told");
                    *reader = backbone.subscribe(node, Lane::Message).await.unwrap();
                }
            }
        }
    }
}
