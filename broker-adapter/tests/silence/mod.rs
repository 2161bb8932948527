//! A line that goes dead without a word, as when a firewall forgets it: nothing is closed, nothing
//! arrives. New connections pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use broker_adapter::{Destination, Frame, Lane, Options, Outcome, open};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::services::node;

/// Passes bytes on, until it is told to swallow those of the connections that there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    /// Connections made before this time swallow.
    era: Arc<AtomicU32>,
}

impl Line {
    /// Listens for what goes to `target`.
    pub(crate) fn lay(listener: TcpListener, target: String) -> Self {
        let line = Self::default();
        let era = Arc::clone(&line.era);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(&target).await else { continue };
                let (near_in, near_out) = near.into_split();
                let (far_in, far_out) = far.into_split();
                let born = era.load(Ordering::SeqCst);
                tokio::spawn(pass(near_in, far_out, Arc::clone(&era), born));
                tokio::spawn(pass(far_in, near_out, Arc::clone(&era), born));
            }
        });
        line
    }

    /// From now on nothing passes on the connections that there are.
    pub(crate) fn go_dead(&self) {
        self.era.fetch_add(1, Ordering::SeqCst);
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    era: Arc<AtomicU32>,
    born: u32,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if era.load(Ordering::SeqCst) == born
            && to.write_all(buffer.get(..length).unwrap_or_default()).await.is_err()
        {
            return;
        }
    }
    if era.load(Ordering::SeqCst) != born {
        // Not even the end of the connection is told.
        std::future::pending::<()>().await;
    }
}

/// The publisher and the reader both notice, on the subscription that was there before.
pub(crate) async fn is_noticed(url: &str, line: &Line, options: Options, within: Duration) {
    let node = node();
    let options = Options { confirm_timeout: Duration::from_secs(4), ..options };
    let backbone = open(url, options).await.unwrap();
    backbone.provision(&node).await.unwrap();
    let mut reader = backbone.subscribe(&node, Lane::Message).await.unwrap();
    let send = async |id: &str| {
        let to = Destination { node: node.clone(), lane: Lane::Message };
        let (id, key) = (id.to_owned(), "k".to_owned());
        let frame = Frame { id, attributes: Vec::new(), key, body: vec![1; 100].into() };
        backbone.publish(vec![(to, frame)]).await.remove(0)
    };
    assert_eq!(send("before").await, Outcome::Confirmed);
    let first = timeout(within, reader.next(9)).await.unwrap().unwrap();
    reader.ack(first.iter().map(|r| r.receipt).collect()).await.unwrap();

    line.go_dead();
    let start = Instant::now();
    let mut unknown = 0;
    while send("after").await != Outcome::Confirmed {
        unknown += 1;
        assert!(start.elapsed() < within, "the publisher has not noticed");
    }
    assert!(unknown > 0, "the line was not dead");
    let got = timeout(within, async {
        loop {
            let got = reader.next(9).await.unwrap();
            if got.iter().any(|r| r.frame.id == "after") {
                return got;
            }
        }
    });
    got.await.expect("the reader has not noticed");
    eprintln!("{:>8.0?}  until a dead line was noticed", start.elapsed());
}
