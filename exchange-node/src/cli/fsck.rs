//! `pli fsck`: every projection of the archive, recomputed from its sealed evidence.

use clap::Args;
use exchange_store::content::Shelf;
use serde_json::json;

use super::bar::Bar;
use super::node::runtime;
use super::{Call, Failure, Lang, Text, text};
use crate::clock::{self, Clock as _};
use crate::config::Config;
use crate::fsck::{self, Finding, Place, Report, Stage};
use crate::keys::Keys;

/// `pli fsck`
#[derive(Debug, Args)]
pub(super) struct FsckArgs {
    /// Compare the size of each document only, instead of reading it from end to end
    #[arg(long)]
    sizes: bool,
}

const CLEAN: Text = text(
    "{0} messages, {1} deliveries, {2} sealed objects and {3} documents examined, nothing to report.",
    "{0} plis, {1} remises, {2} objets scellés et {3} documents examinés, rien à signaler.",
);
const DIRTY: Text = text(
    "{0} finding(s). Keep everything as it is, and compare with your last backup.",
    "{0} constat(s). Laissez tout en l'état et comparez à la dernière sauvegarde.",
);
const MESSAGES: Text = text("messages", "plis");
const EVENTS: Text = text("feeds", "fils");
const ANCHORS: Text = text("anchors", "ancrages");
const QUEUE: Text = text("queue", "file");
const CONTENT: Text = text("documents", "documents");

pub(super) fn run(args: &FsckArgs, call: &Call) -> anyhow::Result<()> {
    runtime()?.block_on(examine(args, call))
}

async fn examine(args: &FsckArgs, call: &Call) -> anyhow::Result<()> {
    let config = Config::read(call.config_file()?, std::env::vars())?;
    let keys = Keys::read(&config)?;
    let store = exchange_store::open(&config.store.url).await?;
    let shelf = Shelf::open(&config.content.dir).await?;
    let place = Place {
        node: &config.node.id,
        store: store.as_ref(),
        shelf: Some(&shelf),
        whole: !args.sizes,
        storage: Some(&keys.storage),
        anchors: &keys.anchors,
        tsa_anchors: &keys.tsa_anchors,
        now: clock::system().now(),
    };
    let bar = Bar::new(call, BAR);
    let watch = |stage, done, total| bar.show(stage, name(stage, call), done, total);
    let report = fsck::examine(&place, &watch).await;
    bar.clear();
    conclude(&report?, call)
}

fn conclude(report: &Report, call: &Call) -> anyhow::Result<()> {
    for finding in &report.findings {
        print(finding, call)?;
    }
    if call.screen.json {
        call.screen.object(&json!({
            "clean": report.is_clean(), "messages": report.messages,
            "deliveries": report.deliveries, "objects": report.objects,
            "contents": report.contents, "findings": report.total(), "codes": report.counts,
        }))?;
    } else if report.is_clean() {
        let Report { messages, deliveries, objects, contents, .. } = report;
        call.screen.tell(CLEAN, &[messages, deliveries, objects, contents]);
    } else {
        call.screen.tell(DIRTY, &[&report.total()]);
    }
    if report.is_clean() { Ok(()) } else { Err(Failure::NotValid.into()) }
}

fn print(finding: &Finding, call: &Call) -> anyhow::Result<()> {
    if call.screen.json {
        return call.screen.object(finding);
    }
    let detail = match call.screen.lang {
        Lang::Fr => &finding.detail_fr,
        Lang::En => &finding.detail,
    };
    call.screen.line(format!("{}  {}  {detail}", finding.code, finding.what))
}

const BAR: &str = "{msg:10} {bar:40} {pos}/{len}  {per_sec}";

fn name(stage: Stage, call: &Call) -> &'static str {
    let name = match stage {
        Stage::Messages => MESSAGES,
        Stage::Events => EVENTS,
        Stage::Anchors => ANCHORS,
        Stage::Queue => QUEUE,
        Stage::Content => CONTENT,
    };
    name.of(call.screen.lang)
}
