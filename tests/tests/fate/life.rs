//! Time, life and death, and the diary of a schedule.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use exchange_node::clock::Clock;
use schemas::time::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::ground::T0;

/// What a schedule knows of itself.
#[derive(Debug)]
pub struct Times {
    began: Instant,
    leapt: AtomicI64,
    /// Writes, frames, answers: whether anything happens at all.
    pub activity: AtomicU64,
    /// No faults any more.
    pub healed: AtomicBool,
    diary: Mutex<Vec<String>>,
}

impl Times {
    /// Begins; called inside the simulated runtime.
    pub fn begin() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            leapt: AtomicI64::new(0),
            activity: AtomicU64::new(0),
            healed: AtomicBool::new(false),
            diary: Mutex::default(),
        })
    }

    /// The true time.
    pub fn now(&self) -> Timestamp {
        let run = i64::try_from(self.began.elapsed().as_millis()).unwrap();
        T0.plus(run + self.leapt.load(Ordering::SeqCst))
    }

    /// Lets time pass during which nobody does anything.
    pub fn leap(&self, millis: i64) {
        self.leapt.fetch_add(millis.max(0), Ordering::SeqCst);
    }

    /// Something happened.
    pub fn stir(&self) {
        self.activity.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether faults are over.
    pub fn is_healed(&self) -> bool {
        self.healed.load(Ordering::SeqCst)
    }

    /// Notes what happened.
    pub fn note(&self, what: impl FnOnce() -> String) {
        let at = self.now().since(T0);
        let mut diary = self.diary.lock().unwrap_or_else(PoisonError::into_inner);
        diary.push(format!("{:>9}.{:03} {}", at / 1_000, at % 1_000, what()));
    }

    /// What happened.
    pub fn diary(&self) -> Vec<String> {
        self.diary.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The clock of a node: a little wrong.
#[derive(Debug)]
pub struct Wrong {
    /// The true one.
    pub times: Arc<Times>,
    /// Ahead of it.
    pub skew: i64,
}

impl Clock for Wrong {
    fn now(&self) -> Timestamp {
        self.times.now().plus(self.skew)
    }
}

/// One life of a node: from a start to a kill. Whoever belongs to a life that is over does nothing
/// any more, whatever it was about to do: its next call to anything outside never ends.
#[derive(Debug)]
pub struct Life {
    /// Which of the schedule.
    pub number: u64,
    over: AtomicBool,
    bell: Notify,
    /// Calls until the kill; 0 for none.
    fuse: AtomicU64,
}

impl Life {
    /// Begins.
    pub fn begin(number: u64, fuse: u64) -> Arc<Self> {
        let (over, bell) = (AtomicBool::new(false), Notify::new());
        Arc::new(Self { number, over, bell, fuse: AtomicU64::new(fuse) })
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Nobody kills it any more.
    pub fn defuse(&self) {
        self.fuse.store(0, Ordering::SeqCst);
    }

    /// Kills.
    pub fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.bell.notify_waiters();
    }

    /// Lets the living pass; the dead stay.
    pub async fn pass(&self) {
        if self.is_over() {
            std::future::pending::<()>().await;
        }
    }

    /// A call to something outside: time passes, and the fuse burns.
    pub async fn step(&self, millis: u64) {
        if millis > 0 {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
        let left = self.fuse.load(Ordering::SeqCst);
        if left > 0 {
            self.fuse.store(left - 1, Ordering::SeqCst);
            if left == 1 {
                self.end();
            }
        }
        self.pass().await;
    }

    /// Waits for the end.
    pub async fn ended(&self) {
        loop {
            let bell = self.bell.notified();
            if self.is_over() {
                return;
            }
            bell.await;
        }
    }
}

/// Instants at which something may be due: between them nobody needs to look.
#[derive(Debug, Default)]
pub struct Agenda(Mutex<BTreeSet<i64>>);

impl Agenda {
    /// Something is due then.
    pub fn add(&self, at: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(at.millis());
    }

    /// Whether anything is due after `from`, until `to`.
    pub fn any(&self, from: Timestamp, to: Timestamp) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        to > from && all.range(from.millis() + 1..=to.millis()).next().is_some()
    }

    /// The next after `now`.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.range(now.millis() + 1..).next().map(|at| Timestamp::from_millis(*at))
    }
}
