//! The seal: signatures, certification paths, encryption, time-stamps, evidence records and
//! containers. Knows nothing of delivery.
//!
//! | need | go to |
//! |---|---|
//! | a digest | [`digest`] |
//! | a key | [`signer`] (the trait), [`software`] (in memory) |
//! | to seal, to open a seal | [`seal`] |
//! | certificates and revocation lists to be issued | [`authority`] |
//! | to encrypt content, keys for others, keys at rest | [`encrypt`] |
//! | a time-stamp | [`tsp`] (requests, tokens, client), [`tsa`] (an authority of our own) |
//! | one time-stamp for many objects, and its renewal | [`evidence_record`] |
//! | a proof bundle | [`container`] |
//! | a verdict offline | [`verify`], [`report`] |
//! | whom to trust | [`trust`] (anchors, verifier of inbound seals), [`path`], [`algorithm`] (dated table) |
//!
//! The clock is the caller's: every function that depends on time takes it. Structures on the hot
//! path are read in place (`asn1`, `signed_data`, `certificate`); all cryptography is aws-lc-rs.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)
)]

pub mod algorithm;
pub mod asn1;
mod asn1_time;
pub mod authority;
mod ber;
mod cades;
pub mod certificate;
pub mod container;
pub mod digest;
pub mod encrypt;
pub mod ess;
pub mod evidence_record;
mod hash;
mod oids;
pub mod path;
pub mod report;
pub mod request;
mod revocation;
pub mod seal;
mod signed_data;
pub mod signer;
pub mod software;
pub mod trust;
pub mod tsa;
pub mod tsp;
pub mod verify;
