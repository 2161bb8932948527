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
//! - [`fold`]: the state that evidence says; [`timers`]: what is due in which state.
//! - [`route`]: the directory in memory; [`rules`]: the démarches; [`policy`]: this node.
//! - [`deadline`], [`working_days`]: spans in French legal time.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)
)]

pub mod deadline;
pub mod decide;
pub mod effect;
pub mod evidence;
#[cfg(any(test, feature = "sim"))]
pub mod fixture;
pub mod fold;
pub mod input;
pub mod policy;
pub mod refusal;
pub mod route;
pub mod rules;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod state;
mod step;
pub mod submit;
pub mod timers;
pub mod working_days;
