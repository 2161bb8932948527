//! repacked
