//! What an operator sees of a running node.
//!
//! - [`figures`]: what `/metrics` says. The ages come from the database, so that every replica of
//!   a node says the same.
//! - [`outages`]: since when a dependency is away.
//! - [`spans`]: one trace for a message, over all nodes that it passes; [`otlp`]: where it goes.

pub mod figures;
pub mod otlp;
pub mod outages;
pub mod spans;
