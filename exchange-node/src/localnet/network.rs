//! Bringing a network up and down. Everything that must survive lies in its directory: `up` on a
//! directory that exists starts what is not running, with the same ports, keys and data.
//!
//! One call at a time works on a directory (`DIR/lock`); processes outlive the calls.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use schemas::time::Timestamp;

use super::crew::{Post, posts, wait};
use super::description::Description;
use super::ground::{self, State};
use super::process::Process;
use super::topology::Topology;
use crate::authority::CentralAuthority;
use crate::files;

/// How long a process may take to stop before it is killed.
const GRACE: Duration = Duration::from_secs(15);

/// What `up` is asked for. What is not said is the default for a new network, and left as it is
/// for one that exists.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Directory of the network.
    pub dir: PathBuf,
    /// `embedded` or the URL of a broker; `NAME=URL` where there are several backbones.
    pub backbones: Vec<String>,
    /// Directory of the credentials of the nodes where a broker knows them; `NAME=DIR` as above.
    pub credentials: Vec<String>,
    /// `sqlite`, or the URL of a PostgreSQL server.
    pub store: Option<String>,
    /// What it is made of.
    pub topology: Option<Topology>,
}

/// The wish cannot be fulfilled as it stands: whoever wished is to change it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub String);

/// Brings a network up; returns when all of it is ready.
///
/// # Errors
/// [`Unfit`], or naming the part that does not come up, with the end of its log.
pub async fn up(wishes: &Wishes, now: Timestamp) -> anyhow::Result<Description> {
    files::directory(&wishes.dir)?;
    let dir = wishes.dir.canonicalize()?;
    let _alone = alone(&dir).await?;
    let state = match State::read(&dir)? {
        Some(state) => state.check(wishes)?,
        None => ground::make(&dir, wishes, now).await?,
    };
    // Lists end after a month: whoever comes back later gets fresh ones.
    CentralAuthority::open(&dir.join("authority"))?.publish(now)?;
    ground::publish_members(&dir, &state.topology, now)?;
    start(&dir, &state).await
}

async fn start(dir: &Path, state: &State) -> anyhow::Result<Description> {
    let program = std::env::current_exe().context("cannot find myself")?;
    let mut description = Description::read(dir)?;
    let posts = posts(dir, &description)?;
    let (tsa, nodes): (Vec<&Post>, Vec<&Post>) = posts.iter().partition(|p| p.node.is_none());
    // A node that starts without its timestamp authority is not ready, and would say so in its log.
    for wave in [tsa, nodes] {
        for post in &wave {
            post.ensure_running(&program)?;
        }
        description.note_pids(&posts);
        description.write(dir)?;
        for post in &wave {
            wait(post).await?;
        }
    }
    tracing::debug!(nodes = state.topology.node.len(), "the network is up");
    Ok(description)
}

/// A process of the network: its name, and its pid when it is alive.
pub type ProcessStanding = (String, Option<i32>);

/// What there is, and which processes are alive. `localnet.json` is set right on the way.
///
/// # Errors
/// There is no network.
pub fn status(dir: &Path) -> anyhow::Result<(Description, Vec<ProcessStanding>)> {
    let mut description = Description::read(dir)?;
    let before = description.clone();
    let posts = posts(dir, &description)?;
    description.note_pids(&posts);
    if description != before {
        description.write(dir)?;
    }
    let standing = posts.iter().map(|p| (p.name.clone(), p.alive().map(|a| a.pid())));
    Ok((description, standing.collect()))
}

/// Whether any process of the network is alive.
#[must_use]
pub fn is_up(dir: &Path) -> bool {
    let posts = Description::read(dir).and_then(|d| posts(dir, &d));
    posts.is_ok_and(|all| all.iter().any(|p| p.alive().is_some()))
}

/// `kill -9` of a node with all its replicas, of one replica (`NODE.1`, `NODE.2`), or of `tsa`.
///
/// # Errors
/// [`Unfit`] when there is no such process.
pub async fn kill(dir: &Path, name: &str) -> anyhow::Result<()> {
    let mut description = Description::read(dir)?;
    let _alone = alone(dir).await?;
    let posts = posts(dir, &description)?;
    let hit: Vec<&Post> = posts.iter().filter(|p| p.answers_to(name)).collect();
    if hit.is_empty() {
        let names: Vec<&str> = posts.iter().map(|p| p.name.as_str()).collect();
        let why = format!("there is no {name} in this network, only {}", names.join(", "));
        return Err(Unfit(why).into());
    }
    for process in hit.iter().filter_map(|p| p.alive()) {
        process.kill()?;
    }
    description.note_pids(&posts);
    description.write(dir)
}

/// Stops everything, nodes first, and keeps the data; with `purge` removes it.
///
/// # Errors
/// There is no network, or something does not stop.
pub async fn down(dir: &Path, purge: bool) -> anyhow::Result<()> {
    let mut description = Description::read(dir)?;
    let _alone = alone(dir).await?;
    let posts = posts(dir, &description)?;
    let (tsa, nodes): (Vec<&Post>, Vec<&Post>) = posts.iter().partition(|p| p.node.is_none());
    for wave in [nodes, tsa] {
        let processes: Vec<Process> = wave.iter().filter_map(|p| p.alive()).collect();
        for process in &processes {
            process.ask_to_stop()?;
        }
        for process in &processes {
            if !process.gone_within(GRACE) {
                process.kill()?;
            }
        }
    }
    description.note_pids(&posts);
    description.write(dir)?;
    if purge {
        ensure!(State::read(dir)?.is_some(), "{} is no network", dir.display());
        std::fs::remove_dir_all(dir).with_context(|| dir.display().to_string())?;
    }
    Ok(())
}

/// Held by the one call that works on the directory.
async fn alone(dir: &Path) -> anyhow::Result<File> {
    let path = dir.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| path.display().to_string())?;
    let file = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await?;
    file.with_context(|| path.display().to_string())
}
