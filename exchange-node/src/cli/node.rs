//! `pli node run|status`: running a node; `init` and `doctor` are files of their own.

use std::sync::Arc;

use anyhow::Context as _;
use clap::Subcommand;
use metrics_exporter_prometheus::PrometheusBuilder;
use tracing_subscriber::EnvFilter;

use super::{Call, Failure, Text, text};
use crate::config::Config;
use crate::node::Node;
use crate::{api, clock};

/// `pli node`
#[derive(Debug, Subcommand)]
pub(super) enum NodeVerb {
    /// Make keys, certification requests and a commented configuration
    Init(super::init::InitArgs),
    /// Run the node of the configuration until it is told to stop
    Run,
    /// Say what works and what does not
    Status,
    /// Try each dependency for real, and say what to do
    Doctor,
}

const READY: Text = text("Node {0} ready on {1}", "Nœud {0} prêt : {1}");
const STOPPING: Text = text("Stopping…", "Arrêt en cours…");

pub(super) fn run(verb: NodeVerb, call: &Call) -> anyhow::Result<()> {
    if let NodeVerb::Init(args) = &verb {
        return super::init::run(args, call);
    }
    let config = Config::read(call.config_file()?, std::env::vars())
        .map_err(|e| Failure::usage(e.to_string()))?;
    match verb {
        NodeVerb::Init(_) => Ok(()),
        NodeVerb::Doctor => runtime()?.block_on(super::doctor::run(&config, call)),
        NodeVerb::Run => {
            logs(&config)?;
            runtime()?.block_on(serve(config, call))
        }
        NodeVerb::Status => runtime()?.block_on(status(&config, call)),
    }
}

/// The runtime of every verb that waits for something.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

fn logs(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log.filter)
        .with_context(|| format!("log.filter {:?}", config.log.filter))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if config.log.format == "json" {
        lines.json().init();
    } else {
        lines.with_ansi(false).init();
    }
    Ok(())
}

async fn serve(config: Config, call: &Call) -> anyhow::Result<()> {
    // lapin and reqwest share the process-wide provider of TLS.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let metrics = PrometheusBuilder::new().install_recorder().context("metrics")?;
    let listen = config.node.listen.clone();
    let node = Node::start(config, Arc::new(clock::system())).await?;
    let listener = tokio::net::TcpListener::bind(&listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let app = api::router(Arc::clone(&node), Some(metrics));
    call.screen.tell(READY, &[&node.id, &node.config.node.public_url]);
    let stopped = async {
        stop_signal().await;
        call.screen.tell(STOPPING, &[]);
    };
    // Long polls may last a minute: they are not waited for.
    tokio::select! {
        served = axum::serve(listener, app) => served?,
        () = stopped => {}
    }
    node.stop().await;
    Ok(())
}

/// Until SIGTERM or ^C.
pub(super) async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

async fn status(config: &Config, call: &Call) -> anyhow::Result<()> {
    let url = format!("{}/health/ready", config.node.public_url);
    let answer = reqwest::get(&url).await.with_context(|| format!("{url} does not answer"))?;
    let ready = answer.status().is_success();
    let readiness: schemas::api::Readiness = answer.json().await?;
    if call.screen.json {
        call.screen.object(&readiness)?;
    } else {
        for dependency in &readiness.dependencies {
            let mark = if dependency.ready { "ok" } else { "--" };
            let reason = dependency.reason.as_deref().unwrap_or_default();
            call.screen.line(format!("{mark}  {:<10} {reason}", dependency.name))?;
        }
    }
    anyhow::ensure!(ready, "the node is not ready");
    Ok(())
}
