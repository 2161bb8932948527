//! What users must be able to do, one test per check, named after it.
//!
//! ```text
//!   etat ---------------- national ---------------- cd-34
//!    |                                             /     \
//!   Service central                      Montpellier   Saint-Guilhem
//! ```
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)]

mod delivery;
mod dossiers;
mod faults;
mod hosting;
mod outages;
mod proofs;
mod refusals;
mod strangers;
