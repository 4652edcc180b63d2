//! The way to the server: judge, dial, and ask the catalog.

pub mod dial;
mod faults;
pub mod lookout;
pub mod outlook;
pub mod service;
pub mod standing;
pub mod verifiers;
