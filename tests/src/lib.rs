//! The rehearsal: networks of real processes, driven over HTTP, judged by foreign tools.
//!
//! - [`net`]: a network of `pli localnet`, its members as HTTP clients;
//! - [`scan`]: looking for plaintext where there must be none;
//! - [`judges`]: OpenSSL and other programs that we did not write.

pub mod faults;
pub mod judges;
pub mod net;
pub mod scan;
pub mod services;
