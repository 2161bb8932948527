//! Those who carry out effects: [`publish`] on the backbone, [`wake`] back into the engine, and
//! [`timers`] when something is due. Each works under a lease, and repeats are harmless.

mod frames;
pub mod publish;
pub mod timers;
pub mod wake;
