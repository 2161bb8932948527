//! The loops that read a node's lanes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use broker_adapter::{Lane, Receipt, Received as Frame, Subscription};
use exchange_store::StoreError;
use exchange_store::content::ContentError;
use exchange_store::rows::SetAside;
use schemas::evidence::UserContentInfo;
use schemas::ids::MessageId;
use schemas::problem::Code;
use schemas::trace::TraceContext;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cores;
use crate::engine::EngineError;
use crate::engine::item::{Fact, Work};
use crate::inbound::Unbelieved;
use crate::inbound::assembly::Assembly;
use crate::inbound::check::{Checked, Checker};
use crate::inbound::evidence::Claim;
use crate::inbound::kept::Kept;
use crate::inbound::line;
use crate::inbound::recollection::Recollection;
use crate::inbound::trace::Receiving;
use crate::node::Node;
use crate::pace::Pace;
use crate::recollection;
use crate::roads::Road;
use crate::telemetry::figures;
use crate::telemetry::spans::{Kind, Tracer};

/// Most frames of one batch of the message and evidence lanes.
const MAX_BATCH: usize = 256;
/// Most parts of content written under one flush.
const MAX_PARTS: usize = 8;
/// Wait before a dependency that failed is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// What a frame came to.
#[derive(Debug)]
pub enum Fate {
    /// Its facts are durable.
    Durable,
    /// It was not believed.
    Aside(Unbelieved),
}

/// A dependency failed: the batch is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Again {
    /// The archive.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The content store.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The engine.
    #[error("{0}")]
    Engine(String),
    /// Our clock.
    #[error("this node's clock is behind: set it")]
    Clock,
}

/// Reads a lane until the node stops.
pub async fn run(node: Arc<Node>, road: Arc<Road>, lane: Lane, stop: CancellationToken) {
    let mut assembly = match node.assembly() {
        Ok(assembly) => assembly,
        Err(error) => return tracing::error!(%error, "no room for parts of content"),
    };
    if lane == Lane::Evidence {
        // What came before a backup was restored must be back before anything is added to it.
        tokio::select! {
            () = stop.cancelled() => return,
            () = node.recollection.over() => {}
        }
    }
    while !stop.is_cancelled() {
        // The broker may have been away when the node started, or may have lost the lanes.
        let lanes = road.lanes_of(&node.id);
        let there = road.backbone.provision(&lanes).await;
        let subscribed = match there {
            Ok(()) => road.backbone.subscribe(&lanes, lane).await,
            Err(error) => Err(error),
        };
        match subscribed {
            Ok(mut lane_reader) => {
                let reading = read(&node, lane, lane_reader.as_mut(), &mut assembly);
                tokio::select! {
                    () = stop.cancelled() => return,
                    error = reading => tracing::warn!(?lane, error, "the lane ended"),
                }
            }
            Err(error) => tracing::warn!(?lane, %error, "the lane cannot be read"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Reads until the subscription ends; returns why.
async fn read(
    node: &Arc<Node>,
    lane: Lane,
    reader: &mut dyn Subscription,
    assembly: &mut Assembly,
) -> String {
    let mut pace = Pace::default();
    loop {
        let most = match lane {
            Lane::Content if node.bustle.is_on() => 1,
            Lane::Content => MAX_PARTS,
            Lane::Message | Lane::Evidence => MAX_BATCH,
        };
        if lane != Lane::Content {
            pace.next().await;
        }
        while lane != Lane::Evidence && node.admission.takes_no_frames() {
            tokio::time::sleep(PAUSE).await;
        }
        let batch = match reader.next(most).await {
            Ok(batch) => batch,
            Err(e) => return e.to_string(),
        };
        let began = Instant::now();
        pace.saw(batch.len());
        if lane != Lane::Content {
            node.bustle.saw();
        }
        if lane == Lane::Evidence {
            node.recollection.heard();
        }
        let receiving = Receiving::begin(&node.tracer, lane, &batch);
        let fates = loop {
            let tried = match lane {
                Lane::Content => place(node, assembly, &batch).await,
                Lane::Message | Lane::Evidence => believe(node, &batch, &receiving).await,
            };
            match tried {
                Ok(fates) => break fates,
                Err(error) => {
                    tracing::warn!(?lane, %error, frames = batch.len(), "trying the batch again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        if let Err(e) = settle(node, lane, reader, batch, fates, receiving).await {
            return e;
        }
        if lane == Lane::Content {
            node.bustle.give_way(began).await;
        }
    }
}

/// Sets aside what was not believed, durably, then acknowledges everything.
async fn settle(
    node: &Node,
    lane: Lane,
    reader: &mut dyn Subscription,
    batch: Vec<Frame>,
    fates: Vec<Fate>,
    receiving: Receiving,
) -> Result<(), String> {
    let mut rows = Vec::new();
    let mut receipts: Vec<Receipt> = Vec::with_capacity(batch.len());
    figures::consumed(lane, batch.len() as u64);
    for (i, (received, fate)) in batch.into_iter().zip(&fates).enumerate() {
        if let Fate::Aside(why) = fate {
            let _told = receiving.log(i).entered();
            tracing::warn!(?lane, frame = received.frame.id, %why, "frame set aside");
            metrics::counter!("pli_frames_set_aside_total", "code" => why.code.as_str())
                .increment(1);
            rows.push(aside(node, lane, &received, why));
        }
        receipts.push(received.receipt);
    }
    receiving.end(&fates);
    while let Err(error) = keep(node, &rows).await {
        tracing::warn!(?lane, %error, "frames cannot be set aside yet");
        tokio::time::sleep(PAUSE).await;
    }
    reader.ack(receipts).await.map_err(|e| e.to_string())
}

async fn keep(node: &Node, rows: &[SetAside]) -> Result<(), StoreError> {
    if rows.is_empty() { Ok(()) } else { node.store.set_aside(rows).await }
}

fn aside(node: &Node, lane: Lane, received: &Frame, why: &Unbelieved) -> SetAside {
    let source = received.frame.attributes.iter().find(|(name, _)| name == "source");
    SetAside {
        frame_id: received.frame.id.clone(),
        lane: lane.as_str().to_owned(),
        source: source.map(|(_, value)| value.clone()).unwrap_or_default(),
        code: why.code.as_str().to_owned(),
        detail: why.detail.clone(),
        body: received.frame.body.to_vec(),
        frame: Kept::of(lane, &received.frame).to_bytes(),
        at: node.clock.now(),
    }
}

/// Places parts of content.
pub(super) async fn place(
    node: &Node,
    assembly: &mut Assembly,
    batch: &[Frame],
) -> Result<Vec<Fate>, Again> {
    let checker = node.checker();
    let frames: Vec<_> = batch.iter().map(|r| r.frame.clone()).collect();
    let checked = tokio::task::spawn_blocking(move || {
        frames.iter().map(|f| checker.part(&f.body)).collect::<Vec<_>>()
    })
    .await
    .map_err(|e| Again::Engine(e.to_string()))?;
    let mut fates: Vec<Option<Fate>> = Vec::with_capacity(batch.len());
    let mut parts = Vec::with_capacity(batch.len());
    for one in checked {
        match one {
            Ok(part) => {
                parts.push(part);
                fates.push(None);
            }
            Err(why) => fates.push(Some(Fate::Aside(why))),
        }
    }
    metrics::counter!("pli_content_parts_received_total").increment(parts.len() as u64);
    let mut placed = assembly.place(parts).await?.into_iter();
    node.wakes.parts_arrived();
    Ok(fates
        .into_iter()
        .map(|fate| {
            fate.unwrap_or_else(|| match placed.next() {
                Some(Err(why)) => Fate::Aside(why),
                Some(Ok(_)) | None => Fate::Durable,
            })
        })
        .collect())
}

/// Checks frames on all cores, and feeds their facts to the engine.
pub(super) async fn believe(
    node: &Arc<Node>,
    batch: &[Frame],
    receiving: &Receiving,
) -> Result<Vec<Fate>, Again> {
    let checker = node.checker();
    let frames = batch.iter().map(|r| r.frame.clone());
    let frames: Vec<_> = frames.zip(receiving.contexts()).collect();
    let tracer = node.tracer.clone();
    let one = move |(frame, context)| verify(&checker, &tracer, &frame, context);
    let checked = cores::each(frames, one).await.map_err(|e| Again::Engine(e.to_string()))?;
    if checked.iter().any(is_from_the_future)
        && node.own_clock.is_behind(&node.tsa, node.clock.now()).await
    {
        return Err(Again::Clock);
    }
    let mut fates = Vec::with_capacity(checked.len());
    let mut work = Vec::new();
    let mut claims = Vec::new();
    let mut founds = Vec::new();
    let mut recalls = Vec::new();
    for (i, one) in checked.into_iter().enumerate() {
        let mut fate = Fate::Durable;
        match one {
            Ok(Checked::Dispatch(found)) => founds.push((i, *found)),
            Ok(Checked::Evidence(list)) => claims.push((i, list)),
            Ok(Checked::Status(claim)) => {
                work.push((i, Work::new(claim.delivery, claim.fact())));
            }
            Ok(Checked::Recall(recall)) => recalls.push(*recall),
            Ok(Checked::Recollection(one)) => {
                recollected(node, *one, (i, receiving), &mut work).await?;
            }
            Err(why) => fate = Fate::Aside(why),
        }
        fates.push(fate);
    }
    evidence_work(node, claims, &mut work).await?;
    let inline: Vec<_> = founds.iter().flat_map(|(_, f)| f.inline.iter().cloned()).collect();
    if !inline.is_empty() {
        node.content.put_all(inline).await?;
    }
    let later = line::sort(node, (batch, receiving), founds, &mut work).await?;
    for (i, one) in &mut work {
        one.trace = receiving.context(*i);
    }
    feed(node, work, &mut fates).await?;
    line::keep(node, later).await?;
    // After what came before them.
    for recall in recalls {
        recollection::received(node, recall).await?;
    }
    Ok(fates)
}

/// Checks one frame, and says how long that took.
fn verify(
    checker: &Checker,
    tracer: &Tracer,
    frame: &broker_adapter::Frame,
    context: Option<TraceContext>,
) -> Result<Checked, Unbelieved> {
    let span = tracer.child("verify", Kind::Internal, context);
    let checked = checker.check(frame);
    if let Some(mut span) = span {
        if let Err(why) = &checked {
            span.fail(why.code.as_str());
        }
        span.end();
    }
    checked
}

fn is_from_the_future(checked: &Result<Checked, Unbelieved>) -> bool {
    let code = Code::TimestampOutOfRange;
    match checked {
        Ok(Checked::Dispatch(found)) => found.arrived.findings.iter().any(|f| f.code == code),
        Ok(_) => false,
        Err(why) => why.code == code,
    }
}

/// What this node has said about a delivery comes back; a dispatch that it has never answered is
/// one like any other, later.
async fn recollected(
    node: &Node,
    one: Recollection,
    (place, receiving): (usize, &Receiving),
    work: &mut Vec<(usize, Work)>,
) -> Result<(), Again> {
    node.content.put_all(one.found.inline.clone()).await?;
    if one.concerns(&node.id) {
        work.push((place, one.into_work()));
        return Ok(());
    }
    let row = line::row(node, one.plain, &one.found, receiving.context(place));
    line::keep(node, vec![row]).await
}

/// Compares claims with the messages that they are about.
async fn evidence_work(
    node: &Node,
    claims: Vec<(usize, Vec<Claim>)>,
    work: &mut Vec<(usize, Work)>,
) -> Result<(), Again> {
    if claims.is_empty() {
        return Ok(());
    }
    let messages: Vec<MessageId> =
        claims.iter().flat_map(|(_, list)| list.iter().map(|c| c.message)).collect();
    let loaded = node.store.load(&[], &[], &messages).await?;
    let content: HashMap<MessageId, UserContentInfo> = loaded
        .envelopes
        .iter()
        .map(|(id, envelope)| (*id, UserContentInfo::of(&envelope.documents)))
        .collect();
    for (i, list) in claims {
        let Some(delivery) = list.first().map(|c| c.delivery) else {
            continue;
        };
        let facts = list
            .into_iter()
            .map(|claim| {
                let mut received = claim.received;
                received.fact.same_content = claim.delivery == delivery
                    && content.get(&claim.message).is_some_and(|c| *c == claim.content);
                received
            })
            .collect();
        work.push((i, Work::new(delivery, Fact::Evidence(facts))));
    }
    Ok(())
}

async fn feed(node: &Node, work: Vec<(usize, Work)>, fates: &mut [Fate]) -> Result<(), Again> {
    let (places, work): (Vec<usize>, Vec<_>) =
        work.into_iter().map(|(i, w)| (i, (None, w))).unzip();
    let answers = node.engine.feed(work).await;
    for (place, answer) in places.into_iter().zip(answers) {
        match answer {
            Ok(()) => {}
            Err(EngineError::Refused { refusal, .. }) => {
                if let Some(fate) = fates.get_mut(place) {
                    *fate = Fate::Aside(Unbelieved::new(refusal.code, refusal.detail));
                }
            }
            Err(other) => return Err(Again::Engine(other.to_string())),
        }
    }
    Ok(())
}
