//! `pli tsa serve`: the built-in RFC 3161 authority over HTTP. For development and tests; what it
//! issues is never called qualified.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use clap::{Args, Subcommand};
use signing::software::SoftwareKey;
use signing::trust::pem_certificates;
use signing::tsa::Tsa;

use super::node::stop_signal;
use super::{Call, Text, text};
use crate::clock::Clock as _;
use crate::{clock, files, keys};

/// Best-practices policy of EN 319 421 for non-qualified tokens of this software.
const POLICY: &str = "1.3.6.1.4.1.99999.1.1";
/// A request is below 1 KiB.
const MAX_REQUEST: usize = 16 * 1024;

/// `pli tsa`
#[derive(Debug, Subcommand)]
pub(super) enum TsaVerb {
    /// Answer RFC 3161 requests over HTTP; for development and tests
    Serve(ServeArgs),
}

/// `pli tsa serve`
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Directory with tsa.key and tsa.pem
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Directory of current revocation lists, read again when they change
    #[arg(long, value_name = "DIR")]
    crls: PathBuf,
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3161")]
    listen: SocketAddr,
}

const READY: Text =
    text("Timestamp authority ready on http://{0}", "Service d'horodatage prêt : http://{0}");

pub(super) fn run(verb: TsaVerb, call: &Call) -> anyhow::Result<()> {
    let TsaVerb::Serve(args) = verb;
    super::node::runtime()?.block_on(serve(args, call))
}

#[derive(Debug)]
struct Office {
    crls: PathBuf,
    tsa: Mutex<(Option<SystemTime>, Arc<Tsa>)>,
}

async fn serve(args: ServeArgs, call: &Call) -> anyhow::Result<()> {
    let signer = SoftwareKey::from_pkcs8_pem(&files::read(&args.dir.join("tsa.key"))?)?;
    let chain = pem_certificates(&files::read(&args.dir.join("tsa.pem"))?).unwrap_or_default();
    let policy = POLICY.parse().context("the policy")?;
    let tsa = Tsa::new(Arc::new(signer), &chain, &keys::crls(&args.crls)?, policy)?;
    let seen = changed(&args.crls);
    let office = Arc::new(Office { crls: args.crls, tsa: Mutex::new((seen, Arc::new(tsa))) });
    let app = Router::new()
        .route("/", post(answer))
        .route("/health/live", get(async || "ok"))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .with_state(office);
    let listener = tokio::net::TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    call.screen.tell(READY, &[&args.listen]);
    axum::serve(listener, app).with_graceful_shutdown(stop_signal()).await?;
    Ok(())
}

/// RFC 3161 §3.4.
async fn answer(State(office): State<Arc<Office>>, headers: HeaderMap, body: Bytes) -> Response {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    if kind != Some("application/timestamp-query") {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    let tsa = office.current();
    let reply = tsa.respond(&body, clock::system().now());
    ([(header::CONTENT_TYPE, "application/timestamp-reply")], reply).into_response()
}

impl Office {
    /// The authority with the lists of this moment.
    fn current(&self) -> Arc<Tsa> {
        let seen = changed(&self.crls);
        let mut held = self.tsa.lock().unwrap_or_else(PoisonError::into_inner);
        if held.0 != seen {
            let fresh = keys::crls(&self.crls).ok().and_then(|c| held.1.with_crls(&c).ok());
            if let Some(fresh) = fresh {
                *held = (seen, Arc::new(fresh));
            }
        }
        Arc::clone(&held.1)
    }
}

fn changed(dir: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(dir).ok()?;
    entries.filter_map(|e| e.ok()?.metadata().ok()?.modified().ok()).max()
}
