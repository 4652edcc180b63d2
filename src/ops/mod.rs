//! What operations look at: metrics and health, over plain HTTP on the admin address.

mod admin;
mod metrics;

pub use admin::{Health, serve};
pub use metrics::install;
