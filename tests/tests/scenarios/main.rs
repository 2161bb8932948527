//! What users must be able to do, one test per check, named after it.
//!
//! ```text
//!   etat ---------------- national ---------------- cd-34
//!    |                                             /     \
//!   Service central                      Montpellier   Saint-Guilhem
//! ```
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)]

mod auditor;
mod backup;
mod bad_requests;
mod campaign;
mod clocks;
mod delivery;
mod disk;
mod dossiers;
mod eyes;
mod faults;
mod glances;
mod hosting;
mod killed;
mod large;
mod late;
mod nominal;
mod operators;
mod order;
mod outages;
mod plaintext;
mod pressure;
mod proofs;
mod refusals;
mod relays;
mod replicas;
mod shell;
mod slow_disk;
mod spaces;
mod strangers;
mod thieves;
mod timestamps;
mod traces;
