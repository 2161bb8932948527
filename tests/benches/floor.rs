//! The floor of a delivery: the same HTTP posts, rows, transactions and frames of the same sizes,
//! between two ends in one process, with no decision, no seal, no cipher and no index.
//!
//! ```text
//! client -> post -> rows, content -> frame -> rows, content -> frame -> rows: counted
//! ```
//! Content that does not travel inside its dispatch goes before it, in parts, as the nodes' does.
//! Sizes are read from the databases of the nodes that were measured in the same run ([`Sizes`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use broker_adapter::{
    Backbone, Destination, Frame, Lane, MAX_BATCH_BYTES, Options, Outcome, Received,
};
use schemas::frame::INLINE_LIMIT;
use schemas::ids::NodeId;
use sqlx::{AssertSqlSafe, PgPool};
use tests::net::Net;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::floor_rows::{Archive, Rows};
use crate::services::{Services, store_of};

const CLIENTS: usize = 64;
const BATCH: usize = 256;
/// A row of the queue: names and references.
const PUBLICATION: usize = 400;
/// The attributes of a frame.
const ATTRIBUTES: usize = 300;
/// Octets of one part of a content.
const PART: usize = 512 * 1024;
/// Between the identifier of a dispatch and the number of a part of it.
const PART_OF: char = '.';

/// What a delivery leaves, in octets.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    content: usize,
    envelope: usize,
    state: usize,
    /// Rows of evidence: dispatch, A.1, B.1, D.1. What many have in common is stored once.
    sealed: [usize; 4],
    /// The same as they travel.
    whole: [usize; 4],
    event: usize,
    /// Rows of other tables with the submission: cause, upload, use.
    submitted: Vec<usize>,
    /// Rows of other tables with the arrival: inbox, key.
    arrived: Vec<usize>,
}

const EVENTS: [&str; 4] =
    ["dispatch", "SubmissionAcceptance", "RelayAcceptance", "ContentConsignment"];

/// A database of a node.
struct Measured(PgPool);

impl Measured {
    async fn open(net: &Net, node: &str) -> Result<Self> {
        Ok(Self(PgPool::connect(&store_of(net, node)?).await?))
    }

    async fn average(&self, what: &str, table: &str) -> Result<usize> {
        let query = format!("select avg({what})::float8 from {table} as t");
        let (size,): (Option<f64>,) =
            sqlx::query_as(AssertSqlSafe(query)).fetch_one(&self.0).await?;
        Ok(size.unwrap_or(0.0) as usize)
    }

    /// Octets of a row.
    async fn row(&self, table: &str) -> Result<usize> {
        self.average("pg_column_size(t.*)", table).await
    }
}

impl Sizes {
    /// As the nodes of `net` have them on average.
    pub(crate) async fn measure(net: &Net, content: usize) -> Result<Self> {
        let sender = Measured::open(net, "etat").await?;
        let recipient = Measured::open(net, "cd-34").await?;
        let (mut sealed, mut whole) = ([0; 4], [0; 4]);
        for ((row, object), event) in sealed.iter_mut().zip(&mut whole).zip(EVENTS) {
            let rows = format!("(select * from evidence where event = '{event}')");
            let objects = format!(
                "(select s.p7m from sealed as s join evidence as e on e.id = s.id
                  where e.event = '{event}')"
            );
            *row = sender.row(&rows).await?;
            *object = sender.average("length(t.p7m)", &objects).await?;
        }
        Ok(Self {
            content,
            envelope: sender.row("messages").await?,
            state: sender.row("deliveries").await?,
            sealed,
            whole,
            event: sender.row("events").await?,
            submitted: vec![
                sender.row("causes").await?,
                sender.row("uploads").await?,
                sender.row("upload_uses").await?,
            ],
            arrived: vec![recipient.row("inbox").await?, recipient.row("delivery_keys").await?],
        })
    }

    fn is_inline(&self) -> bool {
        self.content as u64 <= INLINE_LIMIT
    }

    /// Bodies of the frames of one dispatch: parts of its content, then the dispatch itself.
    fn dispatch(&self) -> Vec<usize> {
        let alone = self.whole[0] + ATTRIBUTES;
        if self.is_inline() {
            return vec![alone + self.content];
        }
        let parts = (0..self.content).step_by(PART).map(|at| PART.min(self.content - at));
        parts.chain([alone]).collect()
    }

    fn answer(&self) -> Vec<usize> {
        vec![self.whole[2] + self.whole[3] + ATTRIBUTES]
    }
}

/// One end.
struct End {
    archive: Archive,
    backbone: Arc<dyn Backbone>,
    to: Destination,
}

/// A post that waits for its commit.
type Posted = (Bytes, oneshot::Sender<()>);

/// Deliveries per second.
pub(crate) async fn rate(services: &Services, sizes: &Sizes, count: usize) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let mark = Uuid::new_v4().simple().to_string();
    let mark = mark.get(..8).unwrap_or_default();
    let end = async |name: &str, other: &str, lane: Lane| -> Result<Arc<End>> {
        let database = format!("floor_{mark}_{name}");
        let url = services.create(&database).await?;
        let node: NodeId = format!("floor-{mark}-{name}").parse()?;
        let backbone = broker_adapter::open(&services.backbone, Options::default()).await?;
        backbone.provision(&node).await?;
        let to = Destination { node: format!("floor-{mark}-{other}").parse()?, lane };
        let archive = Archive::create(&url, &folder.path().join(name)).await?;
        Ok(Arc::new(End { archive, backbone, to }))
    };
    let sender = end("s", "r", Lane::Message).await?;
    let recipient = end("r", "s", Lane::Evidence).await?;
    let counted = Arc::new(AtomicUsize::new(0));
    let sizes = Arc::new(sizes.clone());

    let (posts, posted) = mpsc::channel::<Posted>(4096);
    let (out, outgoing) = mpsc::unbounded_channel();
    let own = |name: &str| format!("floor-{mark}-{name}").parse::<NodeId>();
    let work = [
        tokio::spawn(accept(Arc::clone(&sender), Arc::clone(&sizes), posted, out)),
        tokio::spawn(send(Arc::clone(&sender), Arc::clone(&sizes), outgoing)),
        tokio::spawn(receive(Arc::clone(&recipient), own("r")?, Arc::clone(&sizes))),
        tokio::spawn(count_back(Arc::clone(&sender), own("s")?, sizes.clone(), counted.clone())),
    ];
    let url = serve(posts).await?;
    drive(&url, sizes.content, count / 10, &counted, 0).await?;
    let rate = drive(&url, sizes.content, count, &counted, count / 10).await?;
    for one in &work {
        ensure!(!one.is_finished(), "the bare pipeline broke down");
        one.abort();
    }
    Ok(rate)
}

/// The same posts as the nodes get.
async fn drive(
    url: &str,
    size: usize,
    count: usize,
    counted: &AtomicUsize,
    base: usize,
) -> Result<f64> {
    let left = Arc::new(AtomicUsize::new(count));
    let http = reqwest::Client::new();
    let start = Instant::now();
    let clients = (0..CLIENTS).map(|_| {
        let (left, http, url) = (Arc::clone(&left), http.clone(), url.to_owned());
        tokio::spawn(async move {
            let take = |n: usize| n.checked_sub(1);
            while left.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).is_ok() {
                let answer = http.post(&url).body(vec![7_u8; size + 600]).send().await?;
                answer.error_for_status()?.bytes().await?;
            }
            anyhow::Ok(())
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await??;
    }
    let end = Instant::now() + Duration::from_secs(120);
    while counted.load(Ordering::Acquire) < base + count {
        ensure!(Instant::now() < end, "the floor does not come to its end");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

async fn serve(posts: mpsc::Sender<Posted>) -> Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    let app = Router::new()
        .route("/", post(take))
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(posts);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}

async fn take(State(posts): State<mpsc::Sender<Posted>>, body: Bytes) -> String {
    let (done, told) = oneshot::channel();
    if posts.send((body, done)).await.is_ok() {
        let _ = told.await;
    }
    "x".repeat(1_200)
}

/// Whatever waits, as one batch.
async fn batch<T>(queue: &mut mpsc::Receiver<T>) -> Vec<T> {
    let mut all = Vec::new();
    queue.recv_many(&mut all, BATCH).await;
    all
}

async fn accept(
    end: Arc<End>,
    sizes: Arc<Sizes>,
    mut posted: mpsc::Receiver<Posted>,
    out: mpsc::UnboundedSender<Vec<Uuid>>,
) -> Result<()> {
    let rows = Rows {
        envelope: Some(sizes.envelope),
        state: Some(sizes.state),
        evidence: vec![sizes.sealed[0], sizes.sealed[1]],
        queue: Some(PUBLICATION),
        others: sizes.submitted.clone(),
        events: vec![sizes.event],
        ..Rows::default()
    };
    loop {
        let posts = batch(&mut posted).await;
        let contents = posts.iter().map(|(body, _)| body.slice(..sizes.content).to_vec());
        end.archive.keep(contents.collect()).await?;
        let ids: Vec<Uuid> = posts.iter().map(|_| Uuid::new_v4()).collect();
        end.archive.write(&rows, &ids).await?;
        for (_, done) in posts {
            let _ = done.send(());
        }
        out.send(ids)?;
    }
}

/// The answer settles what was sent.
async fn send(
    end: Arc<End>,
    sizes: Arc<Sizes>,
    mut outgoing: mpsc::UnboundedReceiver<Vec<Uuid>>,
) -> Result<()> {
    while let Some(mut ids) = outgoing.recv().await {
        while ids.len() < BATCH
            && let Ok(more) = outgoing.try_recv()
        {
            ids.extend(more);
        }
        publish(&end, &ids, &sizes.dispatch()).await?;
    }
    Ok(())
}

async fn receive(end: Arc<End>, own: NodeId, sizes: Arc<Sizes>) -> Result<()> {
    let mut lane = end.backbone.subscribe(&own, Lane::Message).await?;
    let rows = Rows {
        envelope: Some(sizes.envelope),
        state: Some(sizes.state),
        evidence: sizes.sealed.to_vec(),
        queue: Some(PUBLICATION),
        others: sizes.arrived.clone(),
        events: vec![sizes.event],
        ..Rows::default()
    };
    let sent = Rows { done: true, ..Rows::default() };
    loop {
        let got = lane.next(BATCH).await?;
        let is_part = |one: &&Received| one.frame.id.contains(PART_OF);
        let held = got.iter().filter(|one| sizes.is_inline() || is_part(one));
        let most = if sizes.is_inline() { sizes.content } else { PART };
        let contents = held.map(|one| one.frame.body.slice(..most.min(one.frame.body.len())));
        end.archive.keep(contents.map(|one| one.to_vec()).collect()).await?;
        let dispatches = got.iter().filter(|one| !is_part(one));
        let ids = dispatches.map(|one| one.frame.id.parse()).collect::<Result<Vec<Uuid>, _>>()?;
        end.archive.write(&rows, &ids).await?;
        lane.ack(got.into_iter().map(|one| one.receipt).collect()).await?;
        publish(&end, &ids, &sizes.answer()).await?;
        end.archive.write(&sent, &ids).await?;
    }
}

async fn count_back(
    end: Arc<End>,
    own: NodeId,
    sizes: Arc<Sizes>,
    counted: Arc<AtomicUsize>,
) -> Result<()> {
    let mut lane = end.backbone.subscribe(&own, Lane::Evidence).await?;
    let rows = Rows {
        update: Some(sizes.state),
        done: true,
        evidence: vec![sizes.sealed[2], sizes.sealed[3]],
        events: vec![sizes.event; 2],
        ..Rows::default()
    };
    loop {
        let got = lane.next(BATCH).await?;
        let ids = got.iter().map(|one| one.frame.id.parse()).collect::<Result<Vec<Uuid>, _>>()?;
        end.archive.write(&rows, &ids).await?;
        lane.ack(got.into_iter().map(|one| one.receipt).collect()).await?;
        counted.fetch_add(ids.len(), Ordering::AcqRel);
    }
}

/// Frames of these sizes for each, in batches that a broker takes at once.
async fn publish(end: &End, ids: &[Uuid], sizes: &[usize]) -> Result<()> {
    let last = sizes.len() - 1;
    let frame = |id: &Uuid, n: usize, size: usize| Frame {
        id: if n == last { id.to_string() } else { format!("{id}{PART_OF}{n}") },
        attributes: Vec::new(),
        key: id.to_string(),
        body: Bytes::from(vec![7_u8; size]),
    };
    let at_once = (MAX_BATCH_BYTES / sizes.iter().sum::<usize>()).max(1);
    for some in ids.chunks(at_once) {
        let all = some.iter().flat_map(|id| {
            sizes.iter().enumerate().map(|(n, size)| (end.to.clone(), frame(id, n, *size)))
        });
        for outcome in end.backbone.publish(all.collect()).await {
            ensure!(outcome == Outcome::Confirmed, "{outcome:?}");
        }
    }
    Ok(())
}
