//! What of a node survives its kill: archive, content, and the chances of what goes wrong there.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use exchange_node::config::Config;
use exchange_node::localnet::topology::NodePlan;
use exchange_node::node::Node;
use exchange_store::Store;
use exchange_store::content::{Content, FsContent};
use schemas::time::Timestamp;

use crate::dice::Dice;
use crate::ground::{GROUND, at_once};
use crate::life::{Agenda, Life, Times};
use crate::tally::{Tally, count};

/// Chances in a thousand: of failing, and of failing although it was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Odds {
    /// Nothing was done.
    pub failed: u64,
    /// It was done.
    pub persisted: u64,
    /// It takes its time.
    pub slow: u64,
    /// A kill in a life.
    pub kill: u64,
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As it should.
    Well,
    /// An error, and nothing was done.
    Failed,
    /// An error, and it was done.
    Persisted,
}

impl Odds {
    /// How the next call ends.
    pub fn end(&self, dice: &Dice) -> End {
        match dice.below(1_000) {
            n if n < self.failed => {
                count(Tally::Failed);
                End::Failed
            }
            n if n < self.failed + self.persisted => {
                count(Tally::Persisted);
                End::Persisted
            }
            _ => End::Well,
        }
    }

    /// How long it takes, in milliseconds.
    pub fn wait(&self, dice: &Dice, times: &Times) -> u64 {
        if times.is_healed() {
            0
        } else if dice.chance(self.slow) {
            count(Tally::Slow);
            dice.between(5, 2_000)
        } else {
            dice.below(3)
        }
    }
}

/// A process of a node, while it runs.
#[derive(Default)]
pub struct Process(Mutex<Option<(Arc<Node>, Arc<Life>)>>);

impl Process {
    /// What runs.
    pub fn now(&self) -> Option<(Arc<Node>, Arc<Life>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on.
    pub fn set(&self, now: Option<(Arc<Node>, Arc<Life>)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

/// A node's place.
pub struct Site {
    /// Its plan.
    pub plan: NodePlan,
    /// Its configuration.
    pub config: Config,
    /// Its archive, that nothing happens to.
    pub store: Arc<dyn Store>,
    /// Its content, that nothing happens to.
    pub content: Arc<dyn Content>,
    /// When something is due.
    pub agenda: Agenda,
    /// Time.
    pub times: Arc<Times>,
    /// How wrong its clock is.
    pub skew: i64,
    /// Chance.
    pub dice: Dice,
    /// Chances.
    pub odds: Odds,
    /// When the archive is away.
    pub away: (Timestamp, Timestamp),
    /// The processes of the node: in each, the life that runs.
    pub processes: Vec<Process>,
    /// Plays as schedules did before more kinds of trouble were known.
    pub first_edition: bool,
    turn: AtomicU64,
    versions: [AtomicU64; 4],
    idle: Mutex<HashMap<String, (u64, Timestamp)>>,
}

/// What a look may find.
#[derive(Clone, Copy, Debug)]
pub enum Topic {
    /// Effects.
    Queue,
    /// Deliveries whose time has come.
    Due,
    /// Deliveries that wait for a member.
    Inbox,
    /// Sealed objects without an anchor.
    Objects,
}

impl Site {
    /// A new one in `home`.
    pub fn new(plan: &NodePlan, home: &Path, times: &Arc<Times>, dice: Dice, odds: Odds) -> Self {
        std::fs::create_dir_all(home).unwrap();
        let config = GROUND.config(plan, home);
        let content = at_once(FsContent::open(&config.content.dir)).unwrap();
        Self {
            plan: plan.clone(),
            config,
            store: GROUND.archive(home),
            content: Arc::new(content),
            agenda: Agenda::default(),
            times: Arc::clone(times),
            skew: dice.between(0, 2_000) as i64 - 1_000,
            dice,
            odds,
            away: (crate::ground::END, crate::ground::END),
            processes: vec![Process::default()],
            first_edition: false,
            turn: AtomicU64::new(0),
            versions: Default::default(),
            idle: Mutex::default(),
        }
    }

    /// A life that runs, once one does: of several processes each in its turn.
    pub async fn node(&self) -> (Arc<Node>, Arc<Life>) {
        loop {
            let turn = self.turn.fetch_add(1, Ordering::SeqCst) as usize;
            match self.processes[turn % self.processes.len()].now() {
                Some((node, life)) if !life.is_over() => return (node, life),
                _ => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            }
        }
    }

    /// How a call to the archive ends.
    pub fn end(&self) -> End {
        let now = self.times.now();
        if self.times.is_healed() {
            End::Well
        } else if self.away.0 <= now && now < self.away.1 {
            End::Failed
        } else {
            self.odds.end(&self.dice)
        }
    }

    /// How a request for a time-stamp ends.
    pub fn stamping(&self) -> End {
        if self.times.is_healed() {
            End::Well
        } else if !self.first_edition {
            self.odds.end(&self.dice)
        } else if self.dice.chance(self.odds.failed) {
            End::Failed
        } else {
            End::Well
        }
    }

    /// Something was written, so that looks may find something else.
    pub fn written(&self, topics: &[Topic]) {
        for topic in topics {
            self.versions[*topic as usize].fetch_add(1, Ordering::SeqCst);
        }
        self.times.stir();
    }

    /// How often something was written so far: asked before a look, which may miss what is written
    /// while it goes on.
    pub fn version(&self, topic: Topic) -> u64 {
        self.versions[topic as usize].load(Ordering::SeqCst)
    }

    /// Whether a look at `now` finds what it found last time: nothing.
    pub fn is_idle(&self, topic: Topic, look: &str, now: Timestamp) -> bool {
        let version = self.versions[topic as usize].load(Ordering::SeqCst);
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.get(look).is_some_and(|(seen, at)| *seen == version && !self.agenda.any(*at, now))
    }

    /// A look at `now` has found nothing of what was written up to `version`.
    pub fn found_nothing(&self, version: u64, look: &str, now: Timestamp) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.insert(look.to_owned(), (version, now));
    }
}
