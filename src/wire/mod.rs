//! Bytes to messages and back, by the length they claim and no further. No meaning.
//!
//! What hostile peers send is read by the few readers here, each of which checks every
//! length and refuses left-over bytes; what the gate itself says is composed with
//! `pgwire`'s message types (see [`compose`]).

pub mod backend;
pub mod charset;
pub mod compose;
pub mod copy;
pub mod frame;
pub mod frontend;
#[cfg(test)]
mod fuzz;
mod reader;
pub mod startup;
pub mod value;

pub use frame::{Frame, Peek, peek};
pub use reader::Malformed;
