//! A whole network on one machine: the ground of the demonstration, tests, tutorials, benchmarks.
//!
//! - [`topology`]: what a network is made of.
//! - [`network`]: up, down, and what is alive; [`keys`]: keys and configuration of a node.
//! - [`ports`], [`process`]: what a machine has to give.
//! - [`description`]: `localnet.json`, what tools read.

pub mod description;
pub mod keys;
pub mod network;
pub mod ports;
pub mod process;
pub mod topology;
