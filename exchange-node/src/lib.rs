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

pub mod access;
pub mod admission;
pub mod anchor;
pub mod api;
pub mod audit;
pub mod authority;
pub mod backup;
pub mod bustle;
pub mod cli;
pub mod clock;
pub mod config;
pub mod cores;
pub mod dates;
pub mod directory;
pub mod download;
pub mod engine;
pub mod files;
pub mod fsck;
pub mod inbound;
pub mod keys;
pub mod localnet;
pub mod magic;
pub mod node;
pub mod pace;
pub mod peers;
pub mod plaintext;
pub mod proof;
pub mod quota;
pub mod reasons;
pub mod recollection;
pub mod report;
pub mod resumable;
pub mod roads;
pub mod secret;
pub mod sentences;
pub mod spaces;
pub mod telemetry;
pub mod upload;
pub mod wakes;
pub mod words;
pub mod workers;
