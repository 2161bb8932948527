//! One node, wired: what it is made of, and who works in it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use broker_adapter::{Backbone, Lane, Options};
use exchange_core::policy::Policy;
use exchange_store::Store;
use exchange_store::content::{Content, ContentError};
use schemas::dispatch::ContentRef;
use schemas::ids::NodeId;
use signing::trust::SealVerifier;
use signing::tsp::TsaClient;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::directory::{DirectoryWatch, Follower};
use crate::engine::EngineHandle;
use crate::engine::batch::Engine;
use crate::engine::recent::Recent;
use crate::inbound::assembly::Assembly;
use crate::inbound::check::Checker;
use crate::inbound::dispatch::Found;
use crate::keys::Keys;
use crate::wakes::Wakes;
use crate::{anchor, inbound, plaintext, workers};

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
    /// The road.
    pub backbone: Arc<dyn Backbone>,
    /// Keys and anchors of trust.
    pub keys: Keys,
    /// Opens seals of other nodes.
    pub verifier: Arc<SealVerifier>,
    /// The directory.
    pub directory: DirectoryWatch,
    /// The rules of this node.
    pub policy: Policy,
    /// The one write door.
    pub engine: EngineHandle,
    /// What was sealed just now.
    pub recent: Recent,
    /// Who waits for what.
    pub wakes: Wakes,
    /// Timestamp authorities.
    pub tsa: Arc<TsaClient>,
    stop: CancellationToken,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Node {
    /// Opens everything and starts to work.
    ///
    /// # Errors
    /// Naming what does not work. A backbone that is away is no error: it is tried again.
    pub async fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Arc<Self>> {
        let now = clock.now();
        let keys = Keys::read(&config)?;
        let verifier = Arc::new(SealVerifier::new(keys.anchors.clone()));
        let (follower, directory) =
            Follower::start(&config.directory.dir, Arc::clone(&verifier), now)
                .context("the directory")?;
        let store = exchange_store::open(&config.store.url).await.context("the database")?;
        let content = exchange_store::content::FsContent::open(&config.content.dir)
            .await
            .context("the content store")?;
        let content: Arc<dyn Content> = Arc::new(content);
        let backbone = broker_adapter::open(&config.backbone.url, options(&config))
            .await
            .context("the backbone")?;
        let tsa = TsaClient::new(config.tsa.urls.clone()).trusting(keys.tsa_anchors.clone());
        let (engine, items) = EngineHandle::new(config.limits.queue);
        let (oldest, oldest_unanchored) = watch::channel(None);
        let wakes = Wakes::default();
        let recent = Recent::default();
        let policy = policy(&config);
        let engine_loop = Engine {
            node: config.node.id.clone(),
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            directory: directory.clone(),
            policy: policy.clone(),
            sealer: keys.sealer.clone(),
            storage: Arc::clone(&keys.storage),
            oldest_unanchored,
            recent: recent.clone(),
            wakes: wakes.clone(),
        };
        let node = Arc::new(Self {
            id: config.node.id.clone(),
            clock,
            store,
            content,
            backbone,
            keys,
            verifier,
            directory,
            policy,
            engine,
            recent,
            wakes,
            tsa: Arc::new(tsa),
            stop: CancellationToken::new(),
            tasks: Mutex::default(),
            config,
        });
        node.provision().await;
        node.spawn(engine_loop.run(items));
        node.spawn(anchor::run(Arc::clone(&node), oldest, node.stop.clone()));
        node.spawn_workers(follower);
        Ok(node)
    }

    fn spawn_workers(self: &Arc<Self>, follower: Follower) {
        let stop = || self.stop.clone();
        for lane in [Lane::Message, Lane::Evidence, Lane::Content] {
            self.spawn(inbound::consumer::run(Arc::clone(self), lane, stop()));
        }
        self.spawn(workers::publish::run(Arc::clone(self), stop()));
        self.spawn(workers::wake::run(Arc::clone(self), stop()));
        self.spawn(workers::timers::run(Arc::clone(self), stop()));
        self.spawn(follow(Arc::clone(self), follower, stop()));
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.push(tokio::spawn(work));
    }

    /// The name of a node's lanes on the backbone.
    #[must_use]
    pub fn road(&self, node: &NodeId) -> NodeId {
        let namespace = self.config.backbone.namespace.as_ref();
        namespace
            .and_then(|name| format!("{name}-{node}").parse().ok())
            .unwrap_or_else(|| node.clone())
    }

    /// Creates this node's lanes; whoever needs them calls again when that failed.
    pub async fn provision(&self) {
        if let Err(error) = self.backbone.provision(&self.road(&self.id)).await {
            tracing::warn!(%error, "lanes cannot be created yet");
        }
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
        self.backbone.close().await;
        self.store.close().await;
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
        plaintext::check(self.content.as_ref(), found).await
    }
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

fn options(config: &Config) -> Options {
    Options {
        node: Some(config.node.id.clone()),
        instance: config.node.instance.clone(),
        replication: config.backbone.replication,
        retention: Some(Duration::from_secs(3600 * u64::from(config.backbone.retention_hours))),
        ..Options::default()
    }
}
