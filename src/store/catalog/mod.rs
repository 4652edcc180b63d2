//! Loads [`crate::catalog::Snapshot`]s from the server and keeps them current.

mod body;
mod classified;
mod closure;
mod dependents;
mod load;

pub use load::{LoadError, Loaded, load};

#[cfg(test)]
mod tests;
