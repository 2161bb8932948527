//! Time-stamps, evidence records, bundles and the offline verifier, judged by OpenSSL,
//! BouncyCastle, xmllint, unzip and the validator of the EU Commission wherever they have a say.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used
)]

mod client;
#[path = "../seals/common.rs"]
mod common;
mod delays;
mod network;
mod records;
mod repacked;
mod tampering;
mod tokens;
mod verifier;
