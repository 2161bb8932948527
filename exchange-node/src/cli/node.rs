//! `pli node run|status`: running a node; `init` and `doctor` are files of their own.

use std::future::IntoFuture as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::{Call, Failure, Text, text};
use crate::config::Config;
use crate::node::Node;
use crate::telemetry::figures;
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

/// How long calls under way are waited for when the node is told to stop.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

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
    // A line that cannot be written is lost, and no more than that: to complain about it on the same
    // full disk would panic, and take along whoever had something to say.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
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
    let metrics = figures::install().context("metrics")?;
    let listen = config.node.listen.clone();
    let node = Node::start(config, Arc::new(clock::system())).await?;
    let listener = tokio::net::TcpListener::bind(&listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let app = api::router(Arc::clone(&node), Some(metrics));
    call.screen.tell(READY, &[&node.id, &node.config.node.public_url]);
    let stop = CancellationToken::new();
    let serving = axum::serve(listener, app).with_graceful_shutdown(stop.clone().cancelled_owned());
    let mut serving = tokio::spawn(serving.into_future());
    tokio::select! {
        served = &mut serving => served??,
        () = stop_signal() => {
            call.screen.tell(STOPPING, &[]);
            stop.cancel();
            // Calls under way get their answers; long polls, which may last a minute, do not.
            if tokio::time::timeout(LAST_ANSWERS, &mut serving).await.is_err() {
                serving.abort();
            }
        }
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

const OLDEST: Text = text("oldest {0}", "{0} : le plus ancien");
const NONE: Text = text("nothing waits", "rien n'attend");
const UNKNOWN: Text =
    text("not known: the database does not answer", "inconnu : la base de données ne répond pas");
const WAITING: Text = text("{0} for {1}", "{0} depuis {1}");

/// The four ages that matter: name of the figure, how many wait, and what it is called.
const AGES: [(&str, &str, Text); 4] = [
    ("pli_oldest_unsent_seconds", "pli_unsent_publications", text("unsent", "non émis")),
    (
        "pli_oldest_unacknowledged_seconds",
        "pli_unacknowledged_deliveries",
        text("unacknowledged", "sans accusé"),
    ),
    ("pli_oldest_unanchored_seconds", "pli_unanchored_evidence", text("unanchored", "non daté")),
    (
        "pli_oldest_uncollected_seconds",
        "pli_uncollected_deliveries",
        text("uncollected", "non retiré"),
    ),
];

async fn status(config: &Config, call: &Call) -> anyhow::Result<()> {
    let base = &config.node.public_url;
    let url = format!("{base}/health/ready");
    let answer = reqwest::get(&url).await.with_context(|| format!("{url} does not answer"))?;
    let ready = answer.status().is_success();
    let readiness: schemas::api::Readiness = answer.json().await?;
    let figures = reqwest::get(format!("{base}/metrics")).await?.text().await?;
    if call.screen.json {
        let mut all = serde_json::to_value(&readiness)?;
        if let Some(map) = all.as_object_mut() {
            for name in AGES.into_iter().flat_map(|(age, count, _)| [age, count]) {
                let value = figure(&figures, name).filter(|_| are_known(&figures));
                map.insert(name.trim_start_matches("pli_").to_owned(), value.into());
            }
        }
        call.screen.object(&all)?;
    } else {
        for dependency in &readiness.dependencies {
            let mark = match (dependency.ready, &dependency.reason) {
                (true, None) => "ok",
                (true, Some(_)) => "~~",
                (false, _) => "--",
            };
            let reason = dependency.reason.as_deref().unwrap_or_default();
            call.screen.line(format!("{mark}  {:<10} {reason}", dependency.name))?;
        }
        for peer in &readiness.peers {
            for line in super::peers::lines(peer, call.screen.lang) {
                call.screen.line(line)?;
            }
        }
        for line in ages(&figures, call.screen.lang) {
            call.screen.line(line)?;
        }
    }
    anyhow::ensure!(ready, "the node is not ready");
    Ok(())
}

fn ages(figures: &str, lang: super::Lang) -> Vec<String> {
    let line = |(age, count, name): (&str, &str, Text)| {
        let seconds = figure(figures, age).unwrap_or_default();
        let waiting = figure(figures, count).unwrap_or_default();
        let what = if !are_known(figures) {
            UNKNOWN.of(lang).to_owned()
        } else if waiting < 1.0 {
            NONE.of(lang).to_owned()
        } else {
            WAITING.fill(lang, &[&waiting, &lasting(seconds)])
        };
        format!("{:<28} {what}", OLDEST.fill(lang, &[&name.of(lang)]))
    };
    AGES.into_iter().map(line).collect()
}

/// Whether the ages are of now: they are counted in the database.
fn are_known(figures: &str) -> bool {
    figure(figures, "pli_store_up") != Some(0.0)
}

/// A figure without labels of an exposition.
fn figure(exposition: &str, name: &str) -> Option<f64> {
    let rest = exposition.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' '))?;
    rest.trim().parse().ok()
}

/// `3 d 4 h`, `12 min`, `45 s`.
#[allow(clippy::cast_possible_truncation, reason = "an age in whole seconds")]
fn lasting(seconds: f64) -> String {
    let s = seconds as i64;
    match s {
        86_400.. => format!("{} d {} h", s / 86_400, s % 86_400 / 3_600),
        3_600.. => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
        60.. => format!("{} min", s / 60),
        _ => format!("{s} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Lang;

    #[test]
    fn the_four_ages_fit_a_terminal() {
        let text = "# HELP x y\npli_oldest_unsent_seconds 90000.5\npli_unsent_publications 12\n";
        for lang in [Lang::En, Lang::Fr] {
            let lines = ages(text, lang);
            assert_eq!(lines.len(), 4);
            assert!(lines.iter().all(|l| l.chars().count() <= 80), "{lines:?}");
            assert!(lines[0].contains("12") && lines[0].contains("1 d 1 h"), "{lines:?}");
        }
        assert_eq!(figure(text, "pli_oldest_unsent"), None);
        assert_eq!(lasting(59.9), "59 s");
    }
}
