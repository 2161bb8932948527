//! A road between a node and a service that can be cut, slowed and silenced.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::schedule::Dice;

/// What it does with what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Hands it on.
    Pass,
    /// Hands each piece on after a while.
    Delay(Duration),
    /// Keeps it, and leaves connections open.
    Silence,
    /// Closes connections, and those that come.
    Cut,
    /// Lets some requests pass, then closes a connection instead of handing on the next: what was
    /// asked has failed, and nothing was done.
    LoseRequests,
    /// Lets some answers pass, then closes a connection instead of handing on the next: what was
    /// asked was done, and whoever asked is told that it has failed.
    LoseAnswers,
}

/// Pieces that a connection hands on at most before it loses one: a handshake and some statements.
const SPARED: u64 = 24;

/// Which way a piece goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

impl Mode {
    const fn loses(self, way: Way) -> bool {
        matches!((self, way), (Self::LoseRequests, Way::There) | (Self::LoseAnswers, Way::Back))
    }
}

/// A proxy on a port of its own.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub at: SocketAddr,
    mode: watch::Sender<Mode>,
}

impl Proxy {
    /// Stands before `to` (`host:port`).
    ///
    /// # Errors
    /// No port can be had.
    pub async fn before(to: &str) -> Result<Self> {
        Self::at(Self::port().await?, to)
    }

    /// A port for a proxy whose service is told of it before it starts.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn port() -> Result<TcpListener> {
        TcpListener::bind("127.0.0.1:0").await.context("a port for the proxy")
    }

    /// Stands before `to` at this port.
    ///
    /// # Errors
    /// It is none any more.
    pub fn at(listener: TcpListener, to: &str) -> Result<Self> {
        let at = listener.local_addr()?;
        let (mode, watched) = watch::channel(Mode::Pass);
        let to = to.to_owned();
        tokio::spawn(async move {
            let mut dice = Dice::new(u64::from(at.port()));
            while let Ok((near, _)) = listener.accept().await {
                let spared = dice.below(SPARED);
                tokio::spawn(connection(near, to.clone(), watched.clone(), spared));
            }
        });
        Ok(Self { at, mode })
    }

    /// From now on.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn connection(near: TcpStream, to: String, mode: watch::Receiver<Mode>, spared: u64) {
    if *mode.borrow() == Mode::Cut {
        return;
    }
    let Ok(far) = TcpStream::connect(&to).await else { return };
    // Otherwise small pieces wait for each other.
    drop((near.set_nodelay(true), far.set_nodelay(true)));
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let mut cut = mode.clone();
    tokio::select! {
        () = pour(near_read, far_write, mode.clone(), (Way::There, spared)) => {}
        () = pour(far_read, near_write, mode, (Way::Back, spared)) => {}
        _ = cut.wait_for(|mode| *mode == Mode::Cut) => {}
    }
}

/// Ends when either side does, or when the piece that is to be lost has come.
async fn pour(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    (way, mut spared): (Way, u64),
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(n) = from.read(&mut buffer).await else { return };
        if n == 0 {
            return;
        }
        let now = *mode.borrow();
        match now {
            Mode::Delay(by) => tokio::time::sleep(by).await,
            Mode::Silence => drop(mode.wait_for(|mode| *mode != Mode::Silence).await),
            losing if losing.loses(way) => {
                if spared == 0 {
                    return;
                }
                spared -= 1;
            }
            _ => {}
        }
        if to.write_all(buffer.get(..n).unwrap_or_default()).await.is_err() {
            return;
        }
    }
}
