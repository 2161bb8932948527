//! One node, wired: what it is made of, and who works in it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use broker_adapter::Lane;
use exchange_core::policy::Policy;
use exchange_store::content::{Content, ContentError, FsContent};
use exchange_store::{Store, StoreError};
use schemas::dispatch::ContentRef;
use schemas::ids::NodeId;
use schemas::recall::Recall;
use signing::trust::SealVerifier;
use signing::tsp::TsaClient;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admission::{self, Admission};
use crate::bustle::Bustle;
use crate::clock::Clock;
use crate::config::Config;
use crate::directory::{DirectoryWatch, Follower};
use crate::engine::EngineHandle;
use crate::engine::batch::Engine;
use crate::engine::hand::Hand;
use crate::engine::recent::Recent;
use crate::inbound::assembly::Assembly;
use crate::inbound::check::Checker;
use crate::inbound::dispatch::Found;
use crate::inbound::own_clock::OwnClock;
use crate::keys::Keys;
use crate::quota::Quotas;
use crate::recollection::marks::{self, Mark};
use crate::recollection::{self, Waiting};
use crate::resumable::Uploads;
use crate::roads::{Road, Roads};
use crate::spaces::Spaces;
use crate::telemetry::otlp::{self, Exporter, Sending};
use crate::telemetry::spans::Tracer;
use crate::wakes::Wakes;
use crate::{anchor, inbound, plaintext, telemetry, workers};

/// How often the archive is asked at the start before it counts as away.
const BEGINNINGS: usize = 50;

/// A running node.
#[derive(Debug)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Its configuration.
    pub config: Config,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The archive.
    pub store: Arc<dyn Store>,
    /// Documents.
    pub content: Arc<dyn Content>,
    /// Uploads that are not finished.
    pub uploads: Uploads,
    /// The roads.
    pub roads: Roads,
    /// Keys and anchors of trust.
    pub keys: Keys,
    /// Opens seals of other nodes.
    pub verifier: Arc<SealVerifier>,
    /// The directory.
    pub directory: DirectoryWatch,
    /// The rules of this node.
    pub policy: Policy,
    /// Whether it was restored and waits for its neighbours.
    pub recollection: Waiting,
    /// Who is let in.
    pub admission: Arc<Admission>,
    /// What members may send in a day.
    pub quotas: Quotas,
    /// What may wait for members.
    pub spaces: Arc<Spaces>,
    /// The one write door.
    pub engine: EngineHandle,
    /// What was sealed just now.
    pub recent: Recent,
    /// Who waits for what.
    pub wakes: Wakes,
    /// Whether large contents have to give way.
    pub bustle: Bustle,
    /// From the engine to the publisher.
    pub hand: Hand,
    /// Timestamp authorities.
    pub tsa: Arc<TsaClient>,
    /// Where traces begin.
    pub tracer: Tracer,
    exporter: Mutex<Option<Sending>>,
    /// What an authority last said of our clock.
    pub own_clock: OwnClock,
    stop: CancellationToken,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// What a node works with, open.
#[derive(Debug)]
pub struct Parts {
    /// Its configuration.
    pub config: Config,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The archive.
    pub store: Arc<dyn Store>,
    /// Documents.
    pub content: Arc<dyn Content>,
    /// The roads.
    pub roads: Roads,
    /// Timestamp authorities.
    pub tsa: TsaClient,
}

impl Node {
    /// Opens everything and starts to work.
    ///
    /// # Errors
    /// Naming what does not work. A backbone that is away is no error: it is tried again.
    pub async fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Arc<Self>> {
        // The more is stored, the longer its index takes: the others are opened meanwhile.
        let store = async { exchange_store::open(&config.store.url).await.context("the database") };
        let content =
            async { FsContent::open(&config.content.dir).await.context("the content store") };
        let (store, content, roads) = tokio::try_join!(store, content, Roads::open(&config))?;
        let content: Arc<dyn Content> = Arc::new(content);
        let tsa = TsaClient::new(config.tsa.urls.clone());
        Self::assemble(Parts { config, clock, store, content, roads, tsa }).await
    }

    /// Puts the parts together and starts to work.
    ///
    /// # Errors
    /// Naming the key or the list that cannot be used.
    pub async fn assemble(parts: Parts) -> Result<Arc<Self>> {
        let Parts { config, clock, store, content, roads, tsa } = parts;
        let now = clock.now();
        let mark = mark(store.as_ref()).await.context("the database")?;
        let keys = Keys::read(&config)?;
        let verifier = Arc::new(SealVerifier::new(keys.anchors.clone()));
        let (follower, directory) =
            Follower::start(&config.directory.dir, Arc::clone(&verifier), now)
                .context("the directory")?;
        let uploads = Uploads::new(
            config.content.dir.join("uploads"),
            Arc::clone(&content),
            Arc::clone(&keys.storage),
        )
        .context("the uploads")?;
        let tsa = tsa.trusting(keys.tsa_anchors.clone());
        let (tracer, exporter) = otlp::open(&config.telemetry, &config.node.id)?;
        let (engine, items) = EngineHandle::new(config.limits.queue, tracer.clone());
        let (behind, unanchored_age) = watch::channel(0);
        let wakes = Wakes::default();
        let hand = Hand::default();
        let recent = Recent::default();
        let policy = policy(&config);
        let spaces = Arc::new(Spaces::new(&config.limits.space));
        let engine_loop = Engine {
            node: config.node.id.clone(),
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            directory: directory.clone(),
            policy: policy.clone(),
            sealer: keys.sealer.clone(),
            storage: Arc::clone(&keys.storage),
            unanchored_age,
            recent: recent.clone(),
            wakes: wakes.clone(),
            hand: hand.clone(),
            spaces: Arc::clone(&spaces),
        };
        let node = Arc::new(Self {
            id: config.node.id.clone(),
            clock,
            store,
            content,
            uploads,
            roads,
            keys,
            verifier,
            directory,
            policy,
            recollection: Waiting::new(mark),
            admission: Admission::new(&config),
            quotas: Quotas::new(&config.limits.quota),
            spaces,
            engine,
            recent,
            wakes,
            bustle: Bustle::default(),
            hand,
            tsa: Arc::new(tsa),
            tracer,
            exporter: Mutex::new(exporter.map(Exporter::start)),
            own_clock: OwnClock::default(),
            stop: CancellationToken::new(),
            tasks: Mutex::default(),
            config,
        });
        node.roads.provision(&node.id).await;
        node.spawn(engine_loop.run(items));
        node.spawn(anchor::run(Arc::clone(&node), behind, node.stop.clone()));
        node.spawn_workers(follower);
        Ok(node)
    }

    fn spawn_workers(self: &Arc<Self>, follower: Follower) {
        let stop = || self.stop.clone();
        for road in self.roads.all() {
            for lane in [Lane::Message, Lane::Evidence, Lane::Content] {
                let (node, road) = (Arc::clone(self), Arc::clone(road));
                self.spawn(inbound::consumer::run(node, road, lane, stop()));
            }
        }
        self.spawn(telemetry::outages::watch(Arc::clone(self), stop()));
        self.spawn(admission::run(Arc::clone(self), stop()));
        self.spawn(workers::tidy::run(Arc::clone(self), stop()));
        self.spawn(recollection::run(Arc::clone(self), stop()));
        self.spawn_once_sure(workers::publish::run(Arc::clone(self), stop()));
        self.spawn_once_sure(workers::wake::run(Arc::clone(self), stop()));
        self.spawn_once_sure(workers::timers::run(Arc::clone(self), stop()));
        self.spawn(follow(Arc::clone(self), follower, stop()));
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.push(tokio::spawn(work));
    }

    /// Work that decides: not before a node that was restored knows what it has said.
    fn spawn_once_sure(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        let node = Arc::clone(self);
        self.spawn(async move {
            tokio::select! {
                () = node.stop.cancelled() => return,
                () = node.recollection.over() => {}
            }
            work.await;
        });
    }

    /// Tells a neighbour that was restored what this node holds, beside everything else.
    pub fn answer(self: &Arc<Self>, recall: Recall) {
        let (node, stop) = (Arc::clone(self), self.stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = workers::answer::run(&node, &recall) => {}
            }
        });
    }

    /// The road to a neighbour, as the directory has it now.
    #[must_use]
    pub fn road_to(&self, node: &NodeId) -> Arc<Road> {
        Arc::clone(self.roads.towards(node, &self.directory.current().directory))
    }

    /// Stops taking work, lets what is under way finish, and closes.
    pub async fn stop(&self) {
        self.stop.cancel();
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let abort: Vec<_> = tasks.iter().map(JoinHandle::abort_handle).collect();
        let all = futures::future::join_all(tasks.into_iter().skip(1));
        if tokio::time::timeout(Duration::from_secs(10), all).await.is_err() {
            tracing::warn!("work under way was left to the next start");
        }
        for task in abort {
            task.abort();
        }
        self.roads.close().await;
        self.store.close().await;
        let exporter = self.exporter.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(exporter) = exporter {
            exporter.finish().await;
        }
    }

    /// What checking inbound frames needs, as of now.
    #[must_use]
    pub fn checker(&self) -> Checker {
        Checker {
            node: self.id.clone(),
            verifier: Arc::clone(&self.verifier),
            snapshot: self.directory.current(),
            encryption: Arc::clone(&self.keys.encryption),
            storage: Arc::clone(&self.keys.storage),
            max_skew: self.policy.max_skew,
            now: self.clock.now(),
        }
    }

    /// Room for parts of content.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub fn assembly(&self) -> std::io::Result<Assembly> {
        let dir: PathBuf = self.config.content.dir.join("parts");
        let most = signing::encrypt::ciphertext_len(self.config.limits.max_message_size);
        Assembly::new(dir, Arc::clone(&self.content), most)
    }

    /// Whether all these ciphertexts are in the content store.
    ///
    /// # Errors
    /// When the content store does not work.
    pub async fn content_is_here(&self, content: &[ContentRef]) -> Result<bool, ContentError> {
        for one in content {
            if self.content.size(&one.cipher_sha256).await?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Decrypts content that travelled by itself and compares it with its digests; differences
    /// become findings.
    ///
    /// # Errors
    /// When the content store does not work.
    pub async fn check_plaintexts(&self, found: &mut Found) -> Result<(), ContentError> {
        plaintext::check(self.content.as_ref(), &self.bustle, found).await
    }
}

/// Whether the archive was restored. The database may still be starting.
async fn mark(store: &dyn Store) -> Result<Option<Mark>, StoreError> {
    for _ in 0..BEGINNINGS {
        if let Ok(mark) = marks::latest(store).await {
            return Ok(mark);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    marks::latest(store).await
}

async fn follow(node: Arc<Node>, mut follower: Follower, stop: CancellationToken) {
    let pause = Duration::from_millis(node.config.directory.poll_ms);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        match follower.look(node.clock.now()) {
            Ok(true) => tracing::info!("new lists of the directory are in force"),
            Ok(false) => {}
            Err(error) => tracing::warn!(error = format!("{error:#}"), "lists refused"),
        }
        if let Err(error) = node.keys.refresh(&node.config.keys) {
            tracing::warn!(error = format!("{error:#}"), "CRLs cannot be read");
        }
    }
}

fn policy(config: &Config) -> Policy {
    let age = i64::try_from(config.limits.max_unanchored_age_s).unwrap_or(i64::MAX / 1_000);
    Policy {
        max_unanchored_age: age.saturating_mul(1_000),
        max_message_size: config.limits.max_message_size,
        ..Policy::default()
    }
}
