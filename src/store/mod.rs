//! Files, threads and loaders: what keeps state beyond one session.

pub mod baselines;
pub mod catalog;
pub mod journal;
pub mod keyfile;
pub mod postgres;
