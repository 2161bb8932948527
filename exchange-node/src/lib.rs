//! exchange-node
