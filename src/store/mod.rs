//! Files, threads and loaders: what the pure rooms need from the outside.

pub mod journal;
