//! The paper: every byte that leaves a node.
//!
//! - [`ids`], [`party`], [`time`], [`digest`], [`bytes`]: the words everything else is made of.
//! - [`envelope`]: what the sender says; [`dispatch`]: the envelope for one next hop.
//! - [`event`], [`evidence`]: the 22 events of ETSI EN 319 522 and the evidence about them.
//! - [`xml`]: evidence as ETSI XML, and back.
//! - [`frame`]: what a backbone carries (CloudEvents attributes, CBOR body).
//! - [`directory`], [`catalogue`]: who can be reached, and for which démarche.
//! - [`trace`]: the trace context beside them.
//! - [`status`]: the business status that follows a handover.
//! - [`problem`]: every refusal, with its code, its fault and its two sentences.
//! - [`api`]: the shapes of the REST interface; [`generate`]: the published contract.
//! - [`check`], [`legal`]: the rules that the types alone do not hold.
//! - [`sample`]: one well-formed object of each kind, for examples and vectors.
//!
//! Deliberately absent: I/O, clocks, randomness and cryptography.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)
)]

pub mod api;
pub mod bytes;
pub mod catalogue;
pub mod check;
pub mod digest;
pub mod directory;
pub mod dispatch;
pub mod envelope;
pub mod event;
pub mod evidence;
pub mod frame;
pub mod generate;
pub mod ids;
mod json_schema;
#[cfg(test)]
mod judge;
pub mod legal;
pub mod party;
pub mod problem;
pub mod recall;
pub mod sample;
pub mod status;
pub mod time;
pub mod trace;
pub mod xml;

/// The OpenAPI 3.1 document of `/v1`, as every node serves it.
#[must_use]
pub const fn openapi() -> &'static str {
    include_str!("../openapi.json")
}
