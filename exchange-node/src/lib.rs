//! The office: one node at work.
//!
//! - [`config`], [`clock`], [`keys`], [`directory`]: what a node is made of; [`node`] wires it.
//! - [`engine`]: the one write door. Drain, load, decide, seal, commit, reply.
//! - [`inbound`]: frames from the backbone become facts; [`workers`]: effects are carried out.
//! - [`anchor`]: evidence gets its place in time.
//!
//! Deliberately absent: SQL (in `exchange-store`), rules (in `exchange-core`), CMS (in `signing`).
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)
)]

pub mod clock;
pub mod config;
