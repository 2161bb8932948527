//! The law: what may happen to a message, and what evidence each step leaves.
//!
//! Pure and synchronous. [`submit::submit`] decides about a submission (rows 1 to 3 of
//! `lifecycle.md`); [`decide::decide`] about one delivery (all other rows). Both return values:
//! evidence to seal, the next state, effects to carry out. Nothing here reads a clock, a disk,
//! the environment or a random source: the clippy settings of this room refuse it.
//!
//! - [`state`]: one delivery as one node sees it; [`input`]: what can happen to it.
//! - [`evidence`]: drafts of evidence, sealed by the engine.
//! - [`effect`]: what the engine has to do after the commit.
//! - [`refusal`]: why something may not happen.
//! - [`route`]: the directory in memory; [`policy`]: the rules of this node.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)
)]

pub mod effect;
pub mod evidence;
pub mod input;
pub mod policy;
pub mod refusal;
pub mod state;
