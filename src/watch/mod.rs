//! Limits on what one user is shown, across all sessions of that user.
//!
//! Nothing here knows a value or a clock: cells, rows and data subjects are counted, time is handed in.

mod limit;
mod subjects;
mod window;

pub use limit::{Judgement, Limit, LimitAction, Measure, Shown, UserWatch, Watch};

#[cfg(test)]
mod tests;
