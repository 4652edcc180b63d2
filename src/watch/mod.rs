//! Limits on what one user is shown, across all sessions of that user.
//!
//! Nothing here knows a value or a clock: cells are counted, time is handed in.

mod limit;
mod window;

pub use limit::{Judgement, Limit, LimitAction, UserWatch, Watch};

#[cfg(test)]
mod tests;
