//! A backbone in memory, in hostile hands. It loses nothing that it confirmed, unless it is a
//! thief; beyond that it does what it can think of: see [`crate::malice`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use broker_adapter::{
    Backbone, BackboneError, Destination, Frame, Lane, Outcome, Receipt, Received, Subscription,
};
use schemas::ids::{DeliveryId, NodeId};
use schemas::time::Timestamp;
use tokio::sync::Notify;

use crate::dice::Dice;
use crate::life::{Agenda, Life, Times};
use crate::malice::Malice;
use crate::site::{End, Odds};

/// What every document holds, and no frame may show.
pub const MARKER: &[u8] = b"PLAIN-TEXT-OF-A-CITIZEN";

/// A lane of a node.
pub type Place = (NodeId, Lane);

/// One backbone.
#[derive(Debug)]
pub struct Wire {
    /// Its name in the directory.
    pub name: String,
    /// Time.
    pub times: Arc<Times>,
    /// Chance.
    pub dice: Dice,
    /// Chances of honest trouble.
    pub odds: Odds,
    /// Chances of malice.
    pub malice: Malice,
    /// When it is away.
    pub away: (Timestamp, Timestamp),
    /// When a frame becomes visible.
    pub agenda: Agenda,
    held: Mutex<Held>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Held {
    lanes: BTreeMap<Place, BTreeMap<(i64, u64), Waiting>>,
    seen: Vec<(Place, Frame)>,
    /// Frames that are there although their node was told otherwise, or nothing.
    unheard: BTreeSet<String>,
    /// What goes on this lane comes later.
    late: Option<Lane>,
    /// What does.
    kept: Vec<(Place, Frame)>,
    /// When each was first there.
    there: BTreeMap<String, Timestamp>,
    positions: u64,
    readers: u64,
    broken: Vec<String>,
}

#[derive(Debug)]
struct Waiting {
    frame: Frame,
    /// Reader and life.
    lease: Option<(u64, u64)>,
    again: bool,
}

impl Wire {
    /// Idle, with no lane.
    pub fn new(name: &str, times: &Arc<Times>, dice: Dice, odds: Odds, malice: Malice) -> Self {
        Self {
            name: name.to_owned(),
            times: Arc::clone(times),
            dice,
            odds,
            malice,
            away: (crate::ground::END, crate::ground::END),
            agenda: Agenda::default(),
            held: Mutex::default(),
            bell: Notify::new(),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A life is over: what it had not acknowledged is there for others.
    pub fn forget(&self, life: u64) {
        for waiting in self.held().lanes.values_mut().flat_map(BTreeMap::values_mut) {
            if waiting.lease.is_some_and(|(_, of)| of == life) {
                waiting.lease = None;
            }
        }
        self.ring();
    }

    /// Time has leapt: whoever waits looks again.
    pub fn ring(&self) {
        self.bell.notify_waiters();
    }

    /// What goes on this lane is confirmed, and kept back.
    pub fn keep_back(&self, lane: Lane) {
        self.held().late = Some(lane);
    }

    /// What was kept back comes now; how many frames.
    pub fn give_back(&self) -> usize {
        let kept = {
            let mut held = self.held();
            held.late = None;
            std::mem::take(&mut held.kept)
        };
        for (place, frame) in &kept {
            self.take(place.clone(), frame, End::Well);
        }
        kept.len()
    }

    /// Ids of frames that are there without their node's knowing.
    pub fn unheard(&self) -> BTreeSet<String> {
        self.held().unheard.clone()
    }

    /// When the dispatch of a delivery was first there, from the node at this hop.
    pub fn dispatched(&self, delivery: DeliveryId, hop: u8) -> Option<Timestamp> {
        self.held().there.get(&format!("dispatch-{delivery}-{hop}")).copied()
    }

    /// Frames that nobody has acknowledged.
    pub fn left(&self) -> usize {
        self.held().lanes.values().map(BTreeMap::len).sum()
    }

    /// What no frame may show was seen in these.
    pub fn broken(&self) -> Vec<String> {
        self.held().broken.clone()
    }

    fn end(&self) -> End {
        let now = self.times.now();
        if self.times.is_healed() {
            End::Well
        } else if self.away.0 <= now && now < self.away.1 {
            End::Failed
        } else {
            self.odds.end(&self.dice)
        }
    }

    /// Takes a frame, and does to it what it likes.
    fn take(&self, place: Place, frame: &Frame, end: End) -> Outcome {
        let mut held = self.held();
        if frame.body.windows(MARKER.len()).any(|w| w == MARKER) {
            held.broken.push(format!("{} shows a document", frame.id));
        }
        if !held.lanes.contains_key(&place) {
            return Outcome::Unroutable;
        }
        if end == End::Failed {
            return Outcome::Unknown("fate: not there".to_owned());
        }
        if held.late == Some(place.1) {
            held.kept.push((place, frame.clone()));
            return Outcome::Confirmed;
        }
        let now = self.times.now();
        held.there.entry(frame.id.clone()).or_insert(now);
        held.seen.push((place.clone(), frame.clone()));
        let healed = self.times.is_healed();
        let plot = if healed {
            vec![(0, place, frame.clone())]
        } else {
            self.malice.plot(&self.dice, &place, frame, &held.seen, &self.times)
        };
        for (delay, place, frame) in plot {
            held.positions += 1;
            let at = now.plus(delay);
            let position = (at.millis(), held.positions);
            if let Some(lane) = held.lanes.get_mut(&place) {
                lane.insert(position, Waiting { frame, lease: None, again: false });
                self.agenda.add(at);
            }
        }
        drop(held);
        self.times.stir();
        self.ring();
        match end {
            End::Persisted => Outcome::Unknown("fate: it is there, and nobody heard".to_owned()),
            _ => Outcome::Confirmed,
        }
    }
}

/// A life's connection.
#[derive(Clone, Debug)]
pub struct Plug {
    /// The backbone.
    pub wire: Arc<Wire>,
    /// The life.
    pub life: Arc<Life>,
}

impl Plug {
    async fn call(&self, what: &str) -> Result<(), BackboneError> {
        let wire = &self.wire;
        self.life.step(wire.odds.wait(&wire.dice, &wire.times)).await;
        match wire.end() {
            End::Well => Ok(()),
            end => {
                wire.times.note(|| format!("{}: {what}: {end:?}", wire.name));
                Err(BackboneError::Unreachable("fate".to_owned()))
            }
        }
    }
}

#[async_trait]
impl Backbone for Plug {
    async fn provision(&self, node: &NodeId) -> Result<(), BackboneError> {
        self.call("provision").await?;
        let mut held = self.wire.held();
        for lane in Lane::ALL {
            held.lanes.entry((node.clone(), lane)).or_default();
        }
        Ok(())
    }

    async fn publish(&self, frames: Vec<(Destination, Frame)>) -> Vec<Outcome> {
        let wire = &self.wire;
        self.life.step(wire.odds.wait(&wire.dice, &wire.times)).await;
        let mut outcomes = Vec::with_capacity(frames.len());
        for (to, frame) in &frames {
            let end = wire.end();
            wire.times.note(|| format!("{}: {} to {}: {end:?}", wire.name, frame.id, to.node));
            outcomes.push(wire.take((to.node.clone(), to.lane), frame, end));
            if end != End::Failed {
                wire.held().unheard.insert(frame.id.clone());
            }
        }
        self.life.step(wire.odds.wait(&wire.dice, &wire.times)).await;
        for ((_, frame), outcome) in frames.iter().zip(&outcomes) {
            if *outcome == Outcome::Confirmed {
                wire.held().unheard.remove(&frame.id);
            }
        }
        outcomes
    }

    async fn subscribe(
        &self,
        node: &NodeId,
        lane: Lane,
    ) -> Result<Box<dyn Subscription>, BackboneError> {
        self.call("subscribe").await?;
        let mut held = self.wire.held();
        held.readers += 1;
        let (plug, place, number) = (self.clone(), (node.clone(), lane), held.readers);
        Ok(Box::new(Reader { plug, place, number }))
    }

    async fn waiting(&self, lane: &Destination) -> Result<u64, BackboneError> {
        self.call("waiting").await?;
        let held = self.wire.held();
        let lane = held.lanes.get(&(lane.node.clone(), lane.lane));
        Ok(lane.map_or(0, |frames| frames.len() as u64))
    }

    async fn probe(&self) -> Result<Duration, BackboneError> {
        self.call("probe").await.map(|()| Duration::ZERO)
    }

    fn name(&self) -> &'static str {
        "fate"
    }

    async fn close(&self) {}
}

/// A reader of a lane.
#[derive(Debug)]
struct Reader {
    plug: Plug,
    place: Place,
    number: u64,
}

impl Reader {
    /// What is visible, and when to look again otherwise.
    fn look(&self, max: usize) -> Result<Vec<Received>, Option<i64>> {
        let now = self.plug.wire.times.now().millis();
        let mut held = self.plug.wire.held();
        let lane = held.lanes.entry(self.place.clone()).or_default();
        let mut out = Vec::new();
        let mut next = None;
        for (position, waiting) in lane.iter_mut().filter(|(_, w)| w.lease.is_none()) {
            if position.0 > now {
                next = Some(position.0 - now);
                break;
            }
            if out.len() >= max {
                break;
            }
            waiting.lease = Some((self.number, self.plug.life.number));
            let redelivered = std::mem::replace(&mut waiting.again, true);
            let receipt = Receipt::new(position.0 as u64, position.1);
            let frame = waiting.frame.clone();
            out.push(Received { frame, receipt, redelivered, returned: None });
        }
        if out.is_empty() { Err(next) } else { Ok(out) }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut held = self.plug.wire.held();
        if let Some(lane) = held.lanes.get_mut(&self.place) {
            for waiting in lane.values_mut() {
                if waiting.lease.is_some_and(|(of, _)| of == self.number) {
                    waiting.lease = None;
                }
            }
        }
        drop(held);
        self.plug.wire.ring();
    }
}

#[async_trait]
impl Subscription for Reader {
    async fn next(&mut self, max: usize) -> Result<Vec<Received>, BackboneError> {
        loop {
            self.plug.life.pass().await;
            let wire = Arc::clone(&self.plug.wire);
            let bell = wire.bell.notified();
            let found = self.look(max);
            match found {
                Ok(batch) => {
                    wire.times.stir();
                    self.plug.call("next").await?;
                    return Ok(batch);
                }
                Err(Some(millis)) => {
                    let millis = Duration::from_millis(millis.unsigned_abs());
                    let _ = tokio::time::timeout(millis, bell).await;
                }
                Err(None) => bell.await,
            }
        }
    }

    async fn ack(&mut self, receipts: Vec<Receipt>) -> Result<(), BackboneError> {
        let wire = Arc::clone(&self.plug.wire);
        self.plug.life.step(wire.odds.wait(&wire.dice, &wire.times)).await;
        let end = wire.end();
        if end != End::Failed
            && let Some(lane) = wire.held().lanes.get_mut(&self.place)
        {
            for receipt in receipts {
                lane.remove(&(receipt.lot() as i64, receipt.position()));
            }
        }
        self.plug.life.step(wire.odds.wait(&wire.dice, &wire.times)).await;
        match end {
            End::Well => Ok(()),
            _ => {
                wire.times.note(|| format!("{}: ack: {end:?}", wire.name));
                Err(BackboneError::Closed)
            }
        }
    }

    async fn set_aside(&mut self, receipts: Vec<Receipt>) -> Result<(), BackboneError> {
        self.ack(receipts).await
    }
}
