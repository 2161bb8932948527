//! A broker that cannot be trusted: somebody reads a node's lanes beside the node and lays back
//! what it read: twice, later, cut short, with a flipped bit, under another type, together with
//! what it read earlier. It forges, too. Some messages and evidence it keeps for itself: they are
//! lost until an operator has their node send again (ops/adr/0014-repeats-are-told-by-content.md).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use broker_adapter::{Frame, Lane, Outcome, Subscription};
use bytes::Bytes;
use exchange_node::config::Config;
use exchange_node::roads::Road;
use schemas::ids::NodeId;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::schedule::Dice;

/// Frames that it remembers.
const MEMORY: usize = 64;

/// One in so many frames of messages and evidence is lost.
const LOSS: u64 = 12;

/// A hostile reader at work.
#[derive(Debug)]
pub struct Hostile {
    stop: CancellationToken,
    lost: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<()>>,
}

impl Hostile {
    /// Joins the lanes of the node of this configuration.
    #[must_use]
    pub fn begin(config: PathBuf, seed: u64) -> Self {
        let stop = CancellationToken::new();
        let mut dice = Dice::new(seed);
        let lost = Arc::<AtomicUsize>::default();
        let tasks = [Lane::Message, Lane::Evidence, Lane::Content].map(|lane| {
            let (config, stop, dice) = (config.clone(), stop.clone(), Dice::new(dice.bits()));
            let lost = Arc::clone(&lost);
            tokio::spawn(async move {
                // A broker that is away is not hostile.
                drop(read_along(config, lane, (dice, lost), stop).await);
            })
        });
        Self { stop, lost, tasks: tasks.into() }
    }

    /// Lays back what it holds, and leaves; how many frames it has kept.
    pub async fn end(self) -> usize {
        self.stop.cancel();
        for task in self.tasks {
            drop(tokio::time::timeout(Duration::from_secs(60), task).await);
        }
        self.lost.load(Ordering::Relaxed)
    }
}

async fn read_along(
    config: PathBuf,
    lane: Lane,
    (mut dice, lost): (Dice, Arc<AtomicUsize>),
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut config = Config::read(&config, std::iter::empty())?;
    config.node.instance = None;
    for section in config.backbone.all() {
        let road = Road::open(&config, section).await?;
        let lanes = road.lanes_of(&config.node.id);
        let mut reader = road.backbone.subscribe(&lanes, lane).await?;
        let mut memory = Vec::new();
        while !stop.is_cancelled() {
            let batch = tokio::select! {
                () = stop.cancelled() => break,
                batch = reader.next(8) => batch?,
            };
            let mut out = Vec::new();
            let mut later = Vec::new();
            let mut receipts = Vec::new();
            for received in batch {
                if lane != Lane::Content && dice.below(LOSS) == 0 {
                    lost.fetch_add(1, Ordering::Relaxed);
                    receipts.push(received.receipt);
                    continue;
                }
                twist(&received.frame, &mut dice, &memory, &mut out, &mut later);
                memory.push(received.frame);
                receipts.push(received.receipt);
            }
            memory.drain(..memory.len().saturating_sub(MEMORY));
            lay(&road, &config.node.id, lane, out).await?;
            tokio::time::sleep(Duration::from_millis(dice.below(300))).await;
            lay(&road, &config.node.id, lane, later).await?;
            // What could not be laid back was not acknowledged: it comes back by itself.
            reader.ack(receipts).await?;
        }
        leave(reader);
        road.backbone.close().await;
    }
    Ok(())
}

fn leave(reader: Box<dyn Subscription>) {
    drop(reader);
}

async fn lay(road: &Road, node: &NodeId, lane: Lane, frames: Vec<Frame>) -> anyhow::Result<()> {
    if frames.is_empty() {
        return Ok(());
    }
    let named = frames.into_iter().map(|frame| (node.clone(), lane, frame)).collect();
    let outcomes = road.publish(named).await;
    let all = outcomes.iter().all(|o| matches!(o, Outcome::Confirmed));
    anyhow::ensure!(all, "{outcomes:?}");
    Ok(())
}

/// The true frame once, now or later, and what comes with it.
fn twist(
    frame: &Frame,
    dice: &mut Dice,
    memory: &[Frame],
    out: &mut Vec<Frame>,
    later: &mut Vec<Frame>,
) {
    let mut with = Vec::new();
    match dice.below(8) {
        0 => with.push(frame.clone()),
        1 => with.push(cut_short(frame, dice)),
        2 => with.push(flipped(frame, dice)),
        3 => with.push(relabelled(frame, dice)),
        4 => with.extend(dice.one(memory).cloned()),
        5 => with.extend(dice.one(memory).map(|old| Frame { id: frame.id.clone(), ..old.clone() })),
        6 => with.push(forged(frame, dice)),
        _ => {}
    }
    let put = if dice.below(4) == 0 { &mut *later } else { &mut *out };
    if dice.below(2) == 0 {
        put.push(frame.clone());
        put.extend(with);
    } else {
        // Before the true one, and under its name: whoever goes by names takes the wrong one.
        put.extend(with);
        put.push(frame.clone());
    }
}

fn cut_short(frame: &Frame, dice: &mut Dice) -> Frame {
    let keep = usize::try_from(dice.below(frame.body.len().max(1) as u64)).unwrap_or(0);
    Frame { body: frame.body.slice(..keep), ..frame.clone() }
}

fn flipped(frame: &Frame, dice: &mut Dice) -> Frame {
    let mut body = frame.body.to_vec();
    let at = usize::try_from(dice.below(body.len().max(1) as u64)).unwrap_or(0);
    if let Some(byte) = body.get_mut(at) {
        *byte ^= 1 << dice.below(8);
    }
    Frame { body: Bytes::from(body), ..frame.clone() }
}

fn relabelled(frame: &Frame, dice: &mut Dice) -> Frame {
    let kinds = ["fr.pli.dispatch.v1", "fr.pli.evidence.v1", "fr.pli.content.v1", "nothing"];
    let mut other = frame.clone();
    for (name, value) in &mut other.attributes {
        if name == "type" {
            *value = dice.one(&kinds).map_or_else(String::new, |kind| (*kind).to_owned());
        }
    }
    other
}

fn forged(frame: &Frame, dice: &mut Dice) -> Frame {
    let noise = (0..dice.below(2_000)).map(|_| dice.bits().to_le_bytes()[0]).collect::<Vec<u8>>();
    Frame { id: format!("forged-{}", dice.bits()), body: Bytes::from(noise), ..frame.clone() }
}
