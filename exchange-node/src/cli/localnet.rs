//! `pli localnet up|status|kill|down`: a whole network on one machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use super::{Call, Failure, Text, text};
use crate::clock::{self, Clock as _};
use crate::localnet::crew;
use crate::localnet::network::{self, Unfit, Wishes};
use crate::localnet::topology::Topology;

/// `pli localnet`
#[derive(Debug, Subcommand)]
pub(super) enum LocalnetVerb {
    /// Start a network, or what is not running of it; returns when all is ready
    Up(UpArgs),
    /// Play one exchange with its answer and its proofs, on a running or a fresh network
    Demo(DirArgs),
    /// Say what runs
    Status(DirArgs),
    /// Kill a node without warning (kill -9)
    Kill(KillArgs),
    /// Stop everything and keep the data
    Down(DownArgs),
}

/// The directory of a network
#[derive(Debug, Args)]
pub(super) struct DirArgs {
    /// Directory of the network
    #[arg(long, value_name = "DIR", default_value = ".pli/localnet")]
    dir: PathBuf,
}

/// `pli localnet up`
#[derive(Debug, Args)]
pub(super) struct UpArgs {
    #[command(flatten)]
    at: DirArgs,
    /// `embedded` (the default), kafka://HOST:PORT or amqp://USER:PASSWORD@HOST:PORT/VHOST
    /// (amqps://HOST:PORT/VHOST with --backbone-pki); NAME=URL, once for each, where the topology
    /// has several
    #[arg(long = "backbone", value_name = "[NAME=]URL")]
    backbones: Vec<String>,
    /// For a broker that knows its nodes by their certificates: a directory with ca.pem, and
    /// NODE/certificate.pem and NODE/key.pem of each node
    #[arg(long = "backbone-pki", value_name = "[NAME=]DIR")]
    credentials: Vec<String>,
    /// `sqlite` (the default), or postgres://... (one database per node is made)
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// What the network is made of (TOML); see ops/topologies
    #[arg(long, value_name = "FILE")]
    topology: Option<PathBuf>,
    /// Return at once when all is ready, and leave it running
    #[arg(long)]
    detach: bool,
}

/// `pli localnet kill`
#[derive(Debug, Args)]
pub(super) struct KillArgs {
    /// A node, one of its replicas (NODE.1, NODE.2), or `tsa`
    node: String,
    #[command(flatten)]
    at: DirArgs,
}

/// `pli localnet down`
#[derive(Debug, Args)]
pub(super) struct DownArgs {
    #[command(flatten)]
    at: DirArgs,
    /// Remove the data, too
    #[arg(long)]
    purge: bool,
}

const UP: Text = text("The network of {0} is up.", "Le réseau de {0} est en marche.");
const NODE: Text = text("  {0}  {1}", "  {0}  {1}");
const STOP: Text = text("^C stops it.", "^C l'arrête.");
const ENDED: Text = text("All its processes are gone.", "Tous ses processus ont pris fin.");
const DOWN: Text = text("The network of {0} is down.", "Le réseau de {0} est arrêté.");
const PURGED: Text = text("The network of {0} is removed.", "Le réseau de {0} est supprimé.");
const KILLED: Text = text(
    "{0} is killed. `pli localnet up --dir {1}` starts it again.",
    "{0} est tué. `pli localnet up --dir {1}` le relance.",
);
const READY: Text = text("ready", "prêt");
const NOT_READY: Text = text("not ready", "pas prêt");
const GONE: Text = text("not running", "arrêté");

pub(super) fn run(verb: LocalnetVerb, call: &Call) -> anyhow::Result<()> {
    super::node::runtime()?.block_on(async {
        let done = match verb {
            LocalnetVerb::Up(args) => up(args, call).await,
            LocalnetVerb::Demo(args) => demo(&args, call).await,
            LocalnetVerb::Status(args) => status(&args, call).await,
            LocalnetVerb::Kill(args) => kill(&args, call).await,
            LocalnetVerb::Down(args) => down(&args, call).await,
        };
        done.map_err(|error| match error.downcast::<Unfit>() {
            Ok(Unfit(why)) => Failure::usage(why),
            Err(error) => error,
        })
    })
}

async fn up(args: UpArgs, call: &Call) -> anyhow::Result<()> {
    let read = |file: &PathBuf| Topology::read(file).map_err(|e| Failure::usage(e.to_string()));
    let topology = args.topology.as_ref().map(read).transpose()?;
    let dir = args.at.dir;
    let wishes = Wishes {
        dir: dir.clone(),
        backbones: args.backbones,
        credentials: args.credentials,
        store: args.store,
        topology,
    };
    let description = tokio::select! {
        description = network::up(&wishes, clock::system().now()) => description?,
        () = super::node::stop_signal() => return network::down(&dir, false).await,
    };
    if call.screen.json {
        call.screen.object(&description)?;
    } else {
        call.screen.tell(UP, &[&dir.display()]);
        for node in &description.nodes {
            call.screen.tell(NODE, &[&node.id, &node.url]);
        }
    }
    if args.detach {
        return Ok(());
    }
    call.screen.tell(STOP, &[]);
    tokio::select! {
        () = super::node::stop_signal() => network::down(&dir, false).await,
        () = until_gone(&dir) => {
            call.screen.tell(ENDED, &[]);
            Ok(())
        }
    }
}

/// Until somebody else took the network down. One that is killed and started again is not gone.
async fn until_gone(dir: &Path) {
    let mut quiet = 0;
    while quiet < 5 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        quiet = if network::is_up(dir) { 0 } else { quiet + 1 };
    }
}

async fn kill(args: &KillArgs, call: &Call) -> anyhow::Result<()> {
    network::kill(&args.at.dir, &args.node).await?;
    call.screen.tell(KILLED, &[&args.node, &args.at.dir.display()]);
    Ok(())
}

async fn down(args: &DownArgs, call: &Call) -> anyhow::Result<()> {
    network::down(&args.at.dir, args.purge).await?;
    call.screen.tell(if args.purge { PURGED } else { DOWN }, &[&args.at.dir.display()]);
    Ok(())
}

async fn demo(args: &DirArgs, call: &Call) -> anyhow::Result<()> {
    let wishes = Wishes { dir: args.dir.clone(), ..Wishes::default() };
    network::up(&wishes, clock::system().now()).await?;
    super::demo::play(&args.dir.canonicalize()?, call).await
}

/// One process as `--json` prints it.
#[derive(Serialize)]
struct Standing {
    name: String,
    pid: Option<i32>,
    ready: bool,
    url: String,
}

async fn status(args: &DirArgs, call: &Call) -> anyhow::Result<()> {
    let (description, all) = network::status(&args.dir)?;
    let posts = crew::posts(&args.dir, &description)?;
    let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).build()?;
    let mut standings = Vec::new();
    for ((name, pid), post) in all.into_iter().zip(posts) {
        let answer = http.get(&post.ready).send().await;
        let ready = pid.is_some() && answer.is_ok_and(|a| a.status().is_success());
        let url = post.ready.split("/health").next().unwrap_or_default().to_owned();
        standings.push(Standing { name, pid, ready, url });
    }
    if call.screen.json {
        let ready = standings.iter().all(|s| s.ready);
        let answer = json!({ "dir": args.dir, "ready": ready, "processes": standings });
        return call.screen.object(&answer);
    }
    for Standing { name, pid, ready, url } in standings {
        let state = match (pid, ready) {
            (None, _) => GONE,
            (_, true) => READY,
            (_, false) => NOT_READY,
        };
        let pid = pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let state = state.of(call.screen.lang);
        call.screen.line(format!("{name:<14} {pid:>8}  {url:<28} {state}"))?;
    }
    Ok(())
}
