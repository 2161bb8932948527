//! Proof bundles of a real network before judges that we did not write, and before our own verifier
//! once they were changed or forged.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)]

mod changes;
mod collect;
mod exhibits;
mod hostile;
mod script;
mod token;
mod verdicts;
