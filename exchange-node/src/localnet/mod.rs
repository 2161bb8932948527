//! A whole network on one machine: the ground of the demonstration, tests, tutorials, benchmarks.
//!
//! - [`topology`]: what a network is made of.
//! - [`network`]: up, kill, down, what is alive; [`ground`] makes a new one, with [`keys`] and
//!   configuration of its nodes; [`crew`] knows its processes.
//! - `credentials`: what brokers that know their nodes have given them.
//! - [`ports`], [`process`]: what a machine has to give.
//! - [`description`]: `localnet.json`, what tools read.

mod credentials;
pub mod crew;
pub mod description;
pub mod ground;
pub mod keys;
pub mod network;
pub mod ports;
pub mod process;
pub mod topology;
