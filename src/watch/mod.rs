//! Limits on what one user is shown, across all sessions of that user.
//!
//! Nothing here knows a value or a clock: cells are counted, time is handed in.

mod incident;
mod limit;
mod window;

pub use incident::{Incidents, Notice, NoticeField, Status};
pub use limit::{Judgement, Limit, LimitAction, UserWatch, Watch};

#[cfg(test)]
mod tests;
