//! Every reader of foreign bytes of this crate under hostile input.
//!
//! What must hold for whatever comes in: no panic, bounded time and memory. And where reading
//! succeeds although something was changed, what was signed, stamped or encrypted is what it was:
//! the verdicts are compared with the originals. `der.rs` changes trees of DER; how to run longer,
//! and again, is said in `hostile.rs`. Keys are drawn afresh for each run: a failure leaves its
//! input in a file.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used
)]

#[path = "../seals/common.rs"]
mod common;
mod der;
mod files;
#[path = "../../../schemas/tests/fuzz/hostile.rs"]
mod hostile;
mod keys;
#[path = "../proofs/network.rs"]
mod network;
mod structures;
