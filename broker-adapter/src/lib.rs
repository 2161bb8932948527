//! The road: carries frames between nodes, and knows nothing of what they mean.
//!
//! - [`Backbone`] and [`Subscription`] are the contract; read their documentation first.
//! - `lanes.rs`: what travels ([`Frame`], [`Lane`], [`Destination`]) and what is said about it
//!   ([`Outcome`], [`Received`], [`Receipt`]).
//! - `embedded/`: one SQLite file shared by the processes of one machine.
//! - `amqp/` (feature `amqp`): RabbitMQ and others that speak AMQP 0-9-1.
//! - `kafka/` (feature `kafka`): Apache Kafka.
//! - `conformance` (feature `conformance`): one suite that all three must pass.
//!
//! [`open`] chooses by the scheme of the URL. Deliberately absent: exactly-once delivery. The
//! backbone may lose nothing that it confirmed, and may deliver anything twice; whoever receives
//! recognises a repeated [`Frame::id`] in its own store, which it must do anyway, because the
//! backbone is not trusted.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)
)]

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemas::ids::NodeId;

#[cfg(feature = "amqp")]
mod amqp;
#[cfg(feature = "conformance")]
pub mod conformance;
mod embedded;
mod error;
#[cfg(feature = "kafka")]
mod kafka;
mod lanes;
#[cfg(any(feature = "amqp", feature = "kafka"))]
mod readers;
mod url;

pub use error::{BackboneError, Fault};
pub use lanes::{
    Destination, Frame, Lane, MAX_BATCH_BYTES, MAX_FRAME, Outcome, Receipt, Received, Unread,
};

/// A way between nodes. One per broker and process; shared, cheap to call from many tasks.
///
/// **Durability.** [`Outcome::Confirmed`] means that the frame survives the loss of the broker's
/// process: it is on disk, and on as many replicas as the broker's configuration demands. It stays
/// until its subscriber acknowledges it, or until the retention of the lane ends.
///
/// **Duplicates.** At least once. A frame may arrive again after a crash on either side, after a
/// timeout, after a rebalance. Its [`Frame::id`] is the same each time.
///
/// **Order.** Frames of one [`Frame::key`] that one caller publishes one after the other, or in one
/// batch, are first seen in that order on the message lane, whatever subscribers come and go;
/// redeliveries aside. Kafka and the embedded backbone share a lane by key; on AMQP one subscriber
/// of the message lane is active, and the others stand by. The other lanes of AMQP are shared frame
/// by frame, and keep no order between subscribers. A receiver must bear disorder: a hostile broker
/// can always cause it.
///
/// **Who retries.** The caller: [`Outcome::Unknown`] is answered by publishing the same frame again.
/// The adapter reconnects by itself, and never gives up; a call meanwhile waits for at most
/// [`Options::confirm_timeout`].
#[async_trait]
pub trait Backbone: Send + Sync + fmt::Debug {
    /// Creates the three lanes of `node` with the configured replication and retention. Idempotent;
    /// lanes that exist keep their settings.
    ///
    /// # Errors
    /// The broker cannot be reached, or refuses.
    async fn provision(&self, node: &NodeId) -> Result<(), BackboneError>;

    /// Publishes a batch: one outcome for each frame, in the same order. The frames are pipelined;
    /// each waits for its confirmation for at most [`Options::confirm_timeout`]. One bad frame does
    /// not keep the others back.
    async fn publish(&self, frames: Vec<(Destination, Frame)>) -> Vec<Outcome>;

    /// Opens a lane of a node for reading. Several subscriptions of one lane share its frames.
    ///
    /// # Errors
    /// [`BackboneError::UnknownLane`] before [`Backbone::provision`]; or the broker cannot be
    /// reached, or refuses.
    async fn subscribe(
        &self,
        node: &NodeId,
        lane: Lane,
    ) -> Result<Box<dyn Subscription>, BackboneError>;

    /// How many frames of a lane wait, as the broker counts them: about as many as its readers have
    /// not acknowledged, some that are on their way to them aside. For whoever must not run ahead
    /// of a reader.
    ///
    /// # Errors
    /// [`BackboneError::UnknownLane`]; or the broker cannot be reached, or does not tell us.
    async fn waiting(&self, lane: &Destination) -> Result<u64, BackboneError>;

    /// A real round trip: something is written as durably as a frame, and read back.
    ///
    /// # Errors
    /// The broker cannot be reached, refuses, or does not answer in time.
    async fn probe(&self) -> Result<Duration, BackboneError>;

    /// Lanes that were subscribed to here and cannot be read just now, the longest first; none where
    /// [`Backbone::probe`] tells all there is to tell.
    fn unread(&self) -> Vec<Unread> {
        Vec::new()
    }

    /// `embedded`, `amqp` or `kafka`.
    fn name(&self) -> &'static str;

    /// Says goodbye to the broker. Subscriptions end; later calls fail with
    /// [`BackboneError::Closed`] or answer [`Outcome::Unknown`].
    async fn close(&self);
}

/// One reader of one lane. Frames that it received and did not acknowledge come back when it is
/// dropped, or when its process dies: at once on AMQP, within [`Options::lease`] on the embedded
/// backbone, and on Kafka when the group notices (see [`Options::instance`]).
#[async_trait]
pub trait Subscription: Send + fmt::Debug {
    /// Waits for at least one frame, and returns what is there: at most `max` frames (at least one
    /// is asked for), and no more than [`MAX_BATCH_BYTES`] in all beyond the first. No timer is
    /// involved: one lone frame is returned at once. A lost connection is rebuilt meanwhile.
    /// Cancel-safe: a frame that was not returned is returned by the next call.
    ///
    /// # Errors
    /// Only what waiting does not mend, or may not: the lane is gone, access is refused, the
    /// backbone is closed; [`BackboneError::Unreachable`] when a Kafka has been away for so long that
    /// this reader may have been forgotten. Subscribe again.
    async fn next(&mut self, max: usize) -> Result<Vec<Received>, BackboneError>;

    /// Says that these frames are durable elsewhere: call it after the store's commit, in any
    /// order. Nothing else makes a frame go away; in Kafka the group's offset advances only over a
    /// prefix that is acknowledged without a gap. A receipt from before a reconnection has no
    /// effect, and when the broker cannot be told, that is no error either: the frame comes back.
    ///
    /// # Errors
    /// The backbone is closed, or its file cannot be written.
    async fn ack(&mut self, receipts: Vec<Receipt>) -> Result<(), BackboneError>;

    /// Puts frames aside that nobody here can ever accept. AMQP dead-letters them, which returns
    /// them to the evidence lane of the node that published them, with [`Received::returned`] set;
    /// a returned frame that is put aside again ends there (no reply to an undeliverable reply).
    /// Kafka and the embedded backbone have no such way: there it is the same as
    /// [`Subscription::ack`], and the caller keeps the frame if anybody should look at it.
    ///
    /// # Errors
    /// As [`Subscription::ack`].
    async fn set_aside(&mut self, receipts: Vec<Receipt>) -> Result<(), BackboneError>;
}

/// A client certificate, by which the broker knows a node (its common name is the user's name).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// PEM, leaf first.
    pub certificate: PathBuf,
    /// PKCS#8, PEM.
    pub key: PathBuf,
}

/// Partitions of a Kafka lane when nothing is said.
pub const PARTITIONS: u16 = 3;

/// What a Kafka lane must take at once: the largest frame, and the largest batch that librdkafka
/// makes by itself (`message.max.bytes`), with what surrounds them.
pub const MIN_MAX_BYTES: u32 = 1 << 20;

/// How to use a backbone. The default suits tests and one machine.
#[derive(Clone)]
pub struct Options {
    /// The node that publishes: where AMQP returns frames that were put aside.
    pub node: Option<NodeId>,
    /// Name of this process, the same after a restart, different for each replica of a node. With
    /// it a Kafka broker gives a restarted process its partitions back at once, and the process may
    /// have one subscription of each lane; without it the group waits for the session of the dead
    /// one to end (6 s).
    pub instance: Option<String>,
    /// Copies of each lane; `None` leaves it to the broker's default.
    pub replication: Option<u16>,
    /// Kafka: copies that must have a frame before it is confirmed; `None` as above. Elsewhere it
    /// is refused: a quorum queue of AMQP always asks for most of its copies.
    pub min_in_sync: Option<u16>,
    /// How long a lane keeps frames for a node that is away; `None` for ever. The embedded backbone
    /// keeps them until they are acknowledged.
    pub retention: Option<Duration>,
    /// Kafka: partitions of each lane, hence the number of subscribers that can share it; `None` for
    /// [`PARTITIONS`]. Refused elsewhere, where a lane has no parts.
    pub partitions: Option<u16>,
    /// Kafka: the largest batch of records that a lane takes, at least [`MIN_MAX_BYTES`], which is
    /// the default. Refused elsewhere, where no lane has such a limit.
    pub max_bytes: Option<u32>,
    /// Longest wait for a confirmation, a connection, or another answer of the broker. AMQP: a reader
    /// that gets nothing for half of it looks whether frames wait.
    pub confirm_timeout: Duration,
    /// Embedded: how long a silent process keeps its frames.
    pub lease: Duration,
    /// AMQP: frames on their way to a subscription that were not acknowledged (a thirty-second
    /// part of it on the content lane, where frames are large).
    pub prefetch: u16,
    /// Certificate authority of the broker (PEM), instead of those of the system. On Kafka it also
    /// means TLS.
    pub ca_file: Option<PathBuf>,
    /// Who this process is to the broker: client authentication of TLS, in place of a password.
    pub identity: Option<Identity>,
    /// Kafka: further properties of librdkafka, such as `sasl.password`. Never printed.
    pub properties: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            node: None,
            instance: None,
            replication: None,
            min_in_sync: None,
            retention: Some(Duration::from_secs(7 * 24 * 3600)),
            partitions: None,
            max_bytes: None,
            confirm_timeout: Duration::from_secs(30),
            lease: Duration::from_secs(3),
            prefetch: 512,
            ca_file: None,
            identity: None,
            properties: Vec::new(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.properties.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Options")
            .field("node", &self.node)
            .field("instance", &self.instance)
            .field("replication", &self.replication)
            .field("min_in_sync", &self.min_in_sync)
            .field("retention", &self.retention)
            .field("partitions", &self.partitions)
            .field("max_bytes", &self.max_bytes)
            .field("confirm_timeout", &self.confirm_timeout)
            .field("lease", &self.lease)
            .field("prefetch", &self.prefetch)
            .field("ca_file", &self.ca_file)
            .field("identity", &self.identity)
            .field("properties", &names)
            .finish()
    }
}

impl Options {
    /// Settings that cannot be kept are refused, not passed over: whoever asks for them relies on
    /// them.
    fn check(&self, scheme: &str) -> Result<(), BackboneError> {
        let refuse = |what: String| Err(BackboneError::Configuration(what));
        if scheme != "kafka" {
            let given = [
                ("partitions", self.partitions.is_some()),
                ("min_in_sync", self.min_in_sync.is_some()),
                ("max_bytes", self.max_bytes.is_some()),
            ];
            if let Some((name, _)) = given.iter().find(|(_, given)| *given) {
                return refuse(format!("`{name}` is for Kafka; {scheme} has nothing like it"));
            }
        }
        if self.partitions == Some(0) {
            return refuse("`partitions` is at least 1".to_owned());
        }
        if self.max_bytes.is_some_and(|most| most < MIN_MAX_BYTES) {
            return refuse(format!("`max_bytes` is at least {MIN_MAX_BYTES}"));
        }
        if let (Some(all), Some(least)) = (self.replication, self.min_in_sync)
            && least > all
        {
            return refuse(format!("`min_in_sync` = {least} of `replication` = {all} copies"));
        }
        Ok(())
    }
}

/// Opens the backbone of `url`:
/// - `embedded:///path/backbone.db`: a file, created with its directory when absent;
/// - `amqp://user:password@host:port/vhost`, `amqps://...` (`?heartbeat=10`);
/// - `kafka://host:port[,host:port]`; `kafka://user:password@...` for SASL over TLS; a property of
///   librdkafka as a query, `?security.protocol=ssl`.
///
/// With [`Options::identity`] and no user in the URL the certificate is the login: the mechanism
/// EXTERNAL on AMQP, mutual TLS on Kafka.
///
/// # Errors
/// The URL is not one of these, an option does not fit it, the feature is not in this build, or the
/// broker refuses (Kafka connects later, when it is needed). A broker that is away is no error.
pub async fn open(url: &str, options: Options) -> Result<Arc<dyn Backbone>, BackboneError> {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    options.check(scheme)?;
    match scheme {
        "embedded" => Ok(Arc::new(embedded::Embedded::open(url, options).await?)),
        #[cfg(feature = "amqp")]
        "amqp" | "amqps" => Ok(Arc::new(amqp::Amqp::open(url, options).await?)),
        #[cfg(feature = "kafka")]
        "kafka" => Ok(Arc::new(kafka::Kafka::open(url, options)?)),
        #[cfg(not(feature = "amqp"))]
        scheme @ ("amqp" | "amqps") => Err(BackboneError::NotBuilt(scheme.to_owned())),
        #[cfg(not(feature = "kafka"))]
        scheme @ "kafka" => Err(BackboneError::NotBuilt(scheme.to_owned())),
        _ => Err(BackboneError::Url("unknown scheme (embedded, amqp, amqps, kafka)".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_backbone_cannot_keep_is_refused() {
        let none = Options::default;
        let cases = [
            Options { partitions: Some(4), ..none() },
            Options { min_in_sync: Some(2), ..none() },
            Options { max_bytes: Some(2 << 20), ..none() },
        ];
        for options in &cases {
            assert_eq!(options.check("kafka"), Ok(()));
            for scheme in ["amqp", "amqps", "embedded"] {
                let error = options.check(scheme).unwrap_err();
                assert_eq!(error.fault(), Fault::Configuration);
                assert!(error.to_string().contains(scheme), "{error}");
            }
        }
        let bad = [
            Options { partitions: Some(0), ..none() },
            Options { max_bytes: Some(MIN_MAX_BYTES - 1), ..none() },
            Options { replication: Some(2), min_in_sync: Some(3), ..none() },
        ];
        for options in &bad {
            assert!(matches!(options.check("kafka"), Err(BackboneError::Configuration(_))));
        }
        let all = Options { replication: Some(3), min_in_sync: Some(3), ..none() };
        assert_eq!(all.check("kafka"), Ok(()));
        assert_eq!(Options { replication: Some(3), ..none() }.check("amqp"), Ok(()));
    }
}
