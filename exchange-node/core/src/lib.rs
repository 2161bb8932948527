//! exchange-core
