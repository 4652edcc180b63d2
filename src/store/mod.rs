//! (to be written)

pub mod keyfile;
