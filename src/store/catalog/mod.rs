//! Loads [`crate::catalog::Snapshot`]s from the server and keeps them current.

mod body;
mod classified;
mod closure;
mod copying;
mod dependents;
mod fit;
mod fitness;
mod functions;
mod guards;
mod inspection;
mod keyrings;
mod leads;
mod letters;
mod load;
mod openings;
mod own;
mod presence;
mod quoted;
mod registry;
mod sharing;
mod sources;
mod standing;
mod strangers;
mod survey;
mod tenants;
mod triggers;
mod views;
mod wanted;
mod watermark;

pub use fit::lacks;
pub use fitness::{Definer, Fitness};
pub use inspection::{databases, inspect};
pub use keyrings::{Trace, judge_once, reachable, traces};
pub use load::{LoadError, Loaded, load};
pub use presence::{Linger, Stay};
pub use registry::{
    CatalogKeeper, CatalogSource, Catalogs, Confirmed, DATABASES_MAX, LINGER, POLL_INTERVAL, STALE_MAX,
    Timing,
};
pub use survey::survey;
pub use watermark::Changers;

#[cfg(test)]
mod tests;
