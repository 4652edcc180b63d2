//! Where data may go: from an address or a name to a region, from a region to a verdict.
//!
//! The only evidence of this version is the operator's own map, whose entries expire. What
//! it does not speak of is unknown, and unknown is refused unless the operator says
//! otherwise. Today's date is a value handed in.

mod date;
mod judge;
mod place;
mod replication;

pub use date::Date;
pub use judge::{Form, Residency, Rules, Verdict};
pub use place::{HostPattern, Place, Places, Region, Site};
pub use replication::{Replication, replication_kind};

#[cfg(test)]
mod tests;
