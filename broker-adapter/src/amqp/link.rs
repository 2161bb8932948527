//! A connection to the broker, rebuilt when it is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lapin::options::ConfirmSelectOptions;
use lapin::tcp::AMQPUriTcpExt;
use lapin::uri::{AMQPScheme, AMQPUri, SASLMechanism};
use lapin::{Channel, Connection, ConnectionProperties};
use tokio::sync::Mutex;

use super::{refused, tls, topology, within};
use crate::{BackboneError, Options, url};

/// Seconds without a sign of life after which a connection is dead (AMQP 0-9-1 §4.2.7).
const HEARTBEAT: u16 = 10;
/// Octets of an AMQP frame, of which a body takes as many as it needs. A connection has room for 32
/// of them in each direction: with the 128 KiB that brokers propose, six connections take 48 MiB.
const FRAME: u32 = 32 * 1024;

/// Longest wait for an answer when we go: whoever stops the process waits with us, and what was not
/// acknowledged comes back all the same.
const GOODBYE: Duration = Duration::from_secs(5);

/// One connection, and the channel for publishing on it.
pub(super) struct Link {
    uri: AMQPUri,
    name: String,
    options: Arc<Options>,
    live: Mutex<Live>,
    closed: AtomicBool,
}

#[derive(Default)]
struct Live {
    connection: Option<Connection>,
    publisher: Option<Channel>,
}

impl Link {
    /// Prepares; nothing is connected yet. `role` tells the connections of a process apart.
    pub(super) fn new(url: &str, role: &str, options: Arc<Options>) -> Result<Self, BackboneError> {
        let mut uri: AMQPUri =
            url.parse().map_err(|_| BackboneError::Url("not an AMQP URI".to_owned()))?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        uri.query.frame_max.get_or_insert(FRAME);
        let secure = matches!(uri.scheme, AMQPScheme::AMQPS);
        if secure {
            tls::connector(&options)?; // a file that cannot be used is known at once
        } else if options.identity.is_some() {
            let why = "a certificate is of no use without amqps://";
            return Err(BackboneError::Configuration(why.to_owned()));
        }
        if options.identity.is_some() && url::parts(url)?.login.is_none() {
            // The broker takes the user's name from the certificate.
            uri.query.auth_mechanism.get_or_insert(SASLMechanism::External);
        }
        Ok(Self::of(uri, role, options))
    }

    /// A connection to the same broker that has nothing to do with this one.
    pub(super) fn another(&self, role: &str) -> Self {
        Self::of(self.uri.clone(), role, Arc::clone(&self.options))
    }

    fn of(uri: AMQPUri, role: &str, options: Arc<Options>) -> Self {
        let who =
            options.instance.clone().or_else(|| options.node.as_ref().map(ToString::to_string));
        Self {
            uri,
            name: format!("pli {} {role}", who.unwrap_or_default()),
            options,
            live: Mutex::default(),
            closed: AtomicBool::new(false),
        }
    }

    /// `host:port/vhost`, without the login.
    pub(super) fn broker(&self) -> String {
        format!("{}:{}/{}", self.uri.authority.host, self.uri.authority.port, self.uri.vhost)
    }

    /// Whether anybody listens at the broker's address. Who listens and cannot be talked to is not
    /// away: a certificate does not fit, or it is no broker.
    pub(super) async fn listens(&self) -> bool {
        let place = (self.uri.authority.host.as_str(), self.uri.authority.port);
        let connected = tokio::net::TcpStream::connect(place);
        let answer = tokio::time::timeout(self.options.confirm_timeout, connected).await;
        matches!(answer, Ok(Ok(_)))
    }

    /// A new channel; connects first where needed.
    pub(super) async fn channel(&self) -> Result<Channel, BackboneError> {
        let mut live = self.live.lock().await;
        self.connect(&mut live).await
    }

    /// The channel for publishing, with confirmations on.
    pub(super) async fn publisher(&self) -> Result<Channel, BackboneError> {
        let mut live = self.live.lock().await;
        if let Some(channel) = &live.publisher
            && channel.status().connected()
            && !self.closed.load(Ordering::Relaxed)
        {
            return Ok(channel.clone());
        }
        live.publisher = None;
        let limit = self.options.confirm_timeout;
        // Its own channel: a broker that does not let us declare closes it.
        let scratch = self.connect(&mut live).await?;
        if let Err(error) = within(limit, topology::declare_exchange(&scratch)).await {
            tracing::debug!(%error, "cannot declare the exchange; it may be there");
        }
        let channel = self.confirming(&mut live).await?;
        live.publisher = Some(channel.clone());
        Ok(channel)
    }

    /// A channel for publishing that nobody else gets.
    pub(super) async fn channel_apart(&self) -> Result<Channel, BackboneError> {
        let mut live = self.live.lock().await;
        self.confirming(&mut live).await
    }

    async fn confirming(&self, live: &mut Live) -> Result<Channel, BackboneError> {
        let channel = self.connect(live).await?;
        let confirms = async {
            channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(refused)
        };
        within(self.options.confirm_timeout, confirms).await?;
        Ok(channel)
    }

    /// Gives up a publishing channel that went wrong; who still waits on it may go on.
    pub(super) async fn forget(&self, channel: &Channel) {
        let mut live = self.live.lock().await;
        if live.publisher.as_ref().is_some_and(|own| own.id() == channel.id()) {
            live.publisher = None;
        }
    }

    pub(super) async fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        let closing = async {
            let mut live = self.live.lock().await;
            live.publisher = None;
            if let Some(connection) = live.connection.take() {
                let _ = connection.close(200, "closing".into()).await;
            }
        };
        let _ = tokio::time::timeout(GOODBYE, closing).await;
    }

    async fn connect(&self, live: &mut Live) -> Result<Channel, BackboneError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(BackboneError::Closed);
        }
        let limit = self.options.confirm_timeout;
        if let Some(connection) = &live.connection
            && connection.status().connected()
        {
            let channel = async { connection.create_channel().await.map_err(refused) };
            if let Ok(channel) = within(limit, channel).await {
                return Ok(channel);
            }
        }
        live.publisher = None;
        live.connection = None;
        let connection = within(limit, self.dial()).await?;
        tracing::debug!(broker = self.broker(), name = self.name, "connected");
        let channel = async { connection.create_channel().await.map_err(refused) };
        let channel = within(limit, channel).await?;
        live.connection = Some(connection);
        Ok(channel)
    }

    async fn dial(&self) -> Result<Connection, BackboneError> {
        let properties =
            ConnectionProperties::default().with_connection_name(self.name.clone().into());
        let runtime = lapin::runtime::default_runtime().map_err(refused)?;
        let secure = match self.uri.scheme {
            AMQPScheme::AMQP => None,
            AMQPScheme::AMQPS => Some(tls::connector(&self.options)?),
        };
        let dial = Connection::connector(
            self.uri.clone(),
            runtime,
            async move |mut uri, runtime| {
                uri.scheme = AMQPScheme::AMQP;
                let stream = uri.connect_async(&runtime).await?;
                Ok(match &secure {
                    Some(connector) => stream.into_rustls(connector, &uri.authority.host).await?,
                    None => stream,
                })
            },
            properties,
        );
        dial.await.map_err(refused)
    }
}
