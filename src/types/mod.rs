//! What a value of each type is written like: as clients give and see it, and as it is sealed.
//!
//! A *canonical text* is the one way to write a value ([`canonical`] makes it, `docs/FORMAT.md` lists them);
//! [`show`] makes of it what a session sees under its settings. Both follow the server: what it reads, how it
//! rounds, cuts and checks, and with which SQLSTATE it refuses. Where it would take more than is known here,
//! the value is refused.

mod abbreviation;
mod array;
mod calendar;
mod cast;
mod decode;
mod fault;
mod float;
mod interval;
mod json;
mod moment;
mod money;
mod network;
mod normalize;
mod numeric;
mod part;
mod purpose;
mod read;
mod scan;
mod show;
mod style;
#[cfg(test)]
mod tests;
mod text;
mod token;
mod unicode;
mod value;
mod whole;
mod word;
mod zone;

pub use array::fault_of_array;
pub use fault::ValueFault;
pub use normalize::normalize;
pub use purpose::{Format, Purpose};
pub use style::Style;
pub use whole::{canonical, show, text_of};
