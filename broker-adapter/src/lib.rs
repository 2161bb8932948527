//! broker-adapter
