//! Seals, paths and encryption, judged by OpenSSL wherever it has a say.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)]

mod authority;
mod common;
mod envelopes;
mod foreign;
mod hostile;
mod interop;
mod paths;
mod tampering;
