//! Those who carry out effects: [`publish`] on the backbone, [`wake`] back into the engine, and
//! [`timers`] when something is due; [`tidy`] removes what is over. Each works under a lease, and repeats are harmless.

pub mod answer;
mod breaker;
mod content;
mod frames;
pub mod publish;
pub mod tidy;
pub mod timers;
mod trace;
pub mod wake;
