//! The backbones that a node is attached to, and which of them leads where.
//!
//! Most nodes have one road. A departmental node has two, the national one and its own, and relays
//! between them (topology 3 of the life cycle). Which road leads to a neighbour is what the
//! directory says that both share; the sender of a message has no say in it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use broker_adapter::{Backbone, Destination, Frame, Identity, Lane, Options, Outcome};
use exchange_core::route::Directory;
use futures::future::join_all;
use schemas::ids::NodeId;
use schemas::time::Timestamp;
use tokio::sync::Semaphore;

use crate::config::{BackboneSection, Config};

/// One backbone.
#[derive(Debug)]
pub struct Road {
    /// Its name in the directory; none when the node has only one.
    pub name: Option<String>,
    /// The way to it.
    pub backbone: Arc<dyn Backbone>,
    /// Rounds of publication that may be under way where there are several roads.
    pub turns: Arc<Semaphore>,
    /// Windows of content that may be on their way to it at once.
    pub content: Semaphore,
    namespace: Option<NodeId>,
}

const TURNS: usize = 2;

impl Road {
    /// Opens it.
    ///
    /// # Errors
    /// The URL is not one; a broker that is away is no error.
    pub async fn open(config: &Config, section: &BackboneSection) -> Result<Self> {
        let what = || match &section.name {
            Some(name) => format!("the backbone {name}"),
            None => "the backbone".to_owned(),
        };
        let options = options(config, section).with_context(what)?;
        let backbone = broker_adapter::open(&section.url, options).await.with_context(what)?;
        Ok(Self {
            namespace: section.namespace.clone(),
            ..Self::over(section.name.clone(), backbone)
        })
    }

    /// Over a backbone that is open.
    #[must_use]
    pub fn over(name: Option<String>, backbone: Arc<dyn Backbone>) -> Self {
        Self {
            name,
            backbone,
            turns: Arc::new(Semaphore::new(TURNS)),
            content: Semaphore::new(1),
            namespace: None,
        }
    }

    /// What it is called where people look: `backbone`, or `backbone NAME`.
    #[must_use]
    pub fn title(&self) -> String {
        self.name.as_ref().map_or_else(|| "backbone".to_owned(), |name| format!("backbone {name}"))
    }

    /// The name of a node's lanes on it.
    #[must_use]
    pub fn lanes_of(&self, node: &NodeId) -> NodeId {
        lanes_of(self.namespace.as_ref(), node)
    }

    /// Publishes frames to nodes; one outcome each, in their order.
    pub async fn publish(&self, frames: Vec<(NodeId, Lane, Frame)>) -> Vec<Outcome> {
        let named = frames
            .into_iter()
            .map(|(node, lane, frame)| (Destination { node: self.lanes_of(&node), lane }, frame));
        self.backbone.publish(named.collect()).await
    }

    /// What keeps one of its lanes from being read, in words, and since when; none while all are.
    #[must_use]
    pub fn unread(&self, now: Timestamp) -> Option<String> {
        let all = self.backbone.unread();
        let told = all.iter().map(|one| {
            let since = now.plus(-i64::try_from(one.away.as_millis()).unwrap_or(i64::MAX));
            format!("the {} lane is not read: {}, since {since}", one.lane.lane, one.why)
        });
        let told: Vec<String> = told.collect();
        (!told.is_empty()).then(|| told.join("; "))
    }

    fn leads_to(&self, backbones: &[String]) -> bool {
        self.name.as_ref().is_none_or(|name| backbones.is_empty() || backbones.contains(name))
    }
}

/// All roads of a node, at least one.
#[derive(Debug)]
pub struct Roads {
    first: Arc<Road>,
    others: Vec<Arc<Road>>,
}

impl Roads {
    /// Opens those of a configuration.
    ///
    /// # Errors
    /// Naming the one that cannot be used.
    pub async fn open(config: &Config) -> Result<Self> {
        let mut all = Vec::new();
        for section in config.backbone.all() {
            all.push(Road::open(config, section).await?);
        }
        Self::of(all)
    }

    /// These, in their order.
    ///
    /// # Errors
    /// When there is none.
    pub fn of(all: Vec<Road>) -> Result<Self> {
        let mut all = all.into_iter().map(Arc::new);
        let first = all.next().context("a node needs a backbone")?;
        Ok(Self { first, others: all.collect() })
    }

    /// Each of them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Road>> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Whether there is only one.
    #[must_use]
    pub const fn is_single(&self) -> bool {
        self.others.is_empty()
    }

    /// The road to a neighbour: the first that the directory says it is on, too.
    #[must_use]
    pub fn towards(&self, node: &NodeId, directory: &Directory) -> &Arc<Road> {
        let known = directory.node(node).map_or(&[][..], |entry| entry.backbones.as_slice());
        self.all().find(|road| road.leads_to(known)).unwrap_or(&self.first)
    }

    /// Creates the lanes of `node` on each of them; whoever needs them calls again when that
    /// failed.
    pub async fn provision(&self, node: &NodeId) {
        join_all(self.all().map(|road| async move {
            if let Err(error) = road.backbone.provision(&road.lanes_of(node)).await {
                tracing::warn!(road = road.title(), %error, "lanes cannot be created yet");
            }
        }))
        .await;
    }

    /// Says goodbye on each.
    pub async fn close(&self) {
        join_all(self.all().map(|road| road.backbone.close())).await;
    }
}

fn lanes_of(namespace: Option<&NodeId>, node: &NodeId) -> NodeId {
    let named = namespace.map(|name| format!("{name}-{node}"));
    named.and_then(|name| name.parse().ok()).unwrap_or_else(|| node.clone())
}

fn options(config: &Config, section: &BackboneSection) -> Result<Options> {
    let identity = match (&section.certificate, &section.key) {
        (Some(certificate), Some(key)) => {
            Some(Identity { certificate: certificate.clone(), key: key.clone() })
        }
        (None, None) => None,
        _ => bail!("`certificate` and `key` go together"),
    };
    Ok(Options {
        // As its lanes are called: what is put aside comes back to them.
        node: Some(lanes_of(section.namespace.as_ref(), &config.node.id)),
        instance: config.node.instance.clone(),
        replication: section.replication,
        min_in_sync: section.min_in_sync,
        partitions: section.partitions,
        max_bytes: section.max_bytes,
        retention: Some(Duration::from_secs(3600 * u64::from(section.retention_hours))),
        ca_file: section.ca_file.clone(),
        identity,
        ..Options::default()
    })
}
