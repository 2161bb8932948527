//! What all schedules of a run came to, counted.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! kinds {
    ($($kind:ident $name:literal,)*) => {
        /// What is counted.
        #[derive(Clone, Copy, Debug)]
        pub enum Tally { $(#[doc = $name] $kind,)* }

        const NAMES: &[&str] = &[$($name,)*];
    };
}

kinds! {
    Letter "letters",
    Delivery "deliveries",
    Resumed "parts of uploads",
    Call "calls",
    Promise "promises checked",
    Failed "failed",
    Persisted "failed but persisted",
    Slow "slow",
    Kill "kills",
    Operator "acts of operators",
    Away "outages",
    Unheard "answers unheard",
    Delayed "frames delayed",
    Doubled "doubled",
    Replayed "replayed",
    Spoiled "spoiled",
    Forged "forged",
    Stolen "stolen",
}

/// Where faults begin among the kinds.
const FAULTS: usize = Tally::Failed as usize;

static ALL: [AtomicU64; NAMES.len()] = [const { AtomicU64::new(0) }; NAMES.len()];

/// One more.
pub fn count(kind: Tally) {
    add(kind, 1);
}

/// So many more.
pub fn add(kind: Tally, number: u64) {
    ALL[kind as usize].fetch_add(number, Ordering::Relaxed);
}

/// All of it, in one line.
#[derive(Debug)]
pub struct Summary;

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |(number, name): (&AtomicU64, &&str)| {
            format!("{} {name}", number.load(Ordering::Relaxed))
        };
        let all: Vec<String> = ALL.iter().zip(NAMES).map(of).collect();
        write!(f, "{}; faults: {}", all[..FAULTS].join(", "), all[FAULTS..].join(", "))
    }
}
