//! The way to the server: judge, dial, and ask the catalog.

pub mod dial;
pub mod service;
pub mod verifiers;
