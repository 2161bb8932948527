//! `pli localnet up|status|kill|down`: a whole network on one machine.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Call, Text, text};
use crate::clock::{self, Clock as _};
use crate::localnet::network::{self, Wishes};
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
    /// `embedded`, kafka://HOST:PORT or amqp://USER:PASSWORD@HOST:PORT/VHOST
    #[arg(long, value_name = "URL", default_value = "embedded")]
    backbone: String,
    /// `sqlite`, or postgres://... (one database per node is made)
    #[arg(long, value_name = "URL", default_value = "sqlite")]
    store: String,
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
    /// A node, or `tsa`
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
const DOWN: Text = text("The network of {0} is down.", "Le réseau de {0} est arrêté.");
const KILLED: Text = text(
    "{0} is killed. `pli localnet up --dir {1}` starts it again.",
    "{0} est tué. `pli localnet up --dir {1}` le relance.",
);

pub(super) fn run(verb: LocalnetVerb, call: &Call) -> anyhow::Result<()> {
    match verb {
        LocalnetVerb::Up(args) => super::node::runtime()?.block_on(up(args, call)),
        LocalnetVerb::Demo(args) => super::node::runtime()?.block_on(demo(&args, call)),
        LocalnetVerb::Status(args) => status(&args, call),
        LocalnetVerb::Kill(args) => {
            network::kill(&args.at.dir, &args.node)?;
            call.screen.tell(KILLED, &[&args.node, &args.at.dir.display()]);
            Ok(())
        }
        LocalnetVerb::Down(args) => {
            network::down(&args.at.dir, args.purge)?;
            call.screen.tell(DOWN, &[&args.at.dir.display()]);
            Ok(())
        }
    }
}

async fn up(args: UpArgs, call: &Call) -> anyhow::Result<()> {
    let topology = match &args.topology {
        Some(file) => Topology::read(file)?,
        None => Topology::built_in()?,
    };
    let dir = args.at.dir;
    let wishes = Wishes { dir: dir.clone(), backbone: args.backbone, store: args.store, topology };
    let description = network::up(&wishes, clock::system().now()).await?;
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
    super::node::stop_signal().await;
    tokio::task::spawn_blocking(move || network::down(&dir, false)).await?
}

async fn demo(args: &DirArgs, call: &Call) -> anyhow::Result<()> {
    let wishes = Wishes {
        dir: args.dir.clone(),
        backbone: "embedded".to_owned(),
        store: "sqlite".to_owned(),
        topology: Topology::built_in()?,
    };
    network::up(&wishes, clock::system().now()).await?;
    super::demo::play(&args.dir.canonicalize()?, call).await
}

fn status(args: &DirArgs, call: &Call) -> anyhow::Result<()> {
    let (description, all) = network::status(&args.dir)?;
    if call.screen.json {
        let processes: Vec<_> =
            all.iter().map(|(name, pid)| json!({ "name": name, "pid": pid })).collect();
        let answer = json!({ "description": description, "processes": processes });
        return call.screen.object(&answer);
    }
    for (name, pid) in all {
        let state = pid.map_or_else(|| "-".to_owned(), |pid| format!("pid {pid}"));
        call.screen.line(format!("{name:<12} {state}"))?;
    }
    Ok(())
}
