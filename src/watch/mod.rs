//! Limits on what one user is shown, across all sessions of that user; detectors over what happened; and
//! the incidents that their alerts make.
//!
//! Nothing here knows a value or a clock: cells, rows and data subjects are counted, time is handed in.

mod burst;
mod bytes;
mod counts;
mod detector;
mod honey;
mod hours;
mod incident;
mod learned;
mod limit;
mod restraint;
mod share;
mod span;
mod subjects;
mod whom;
mod window;

pub use burst::Rate;
pub use counts::{Counted, Elsewhere, Used, UserWatch, Watch};
pub use detector::{Detector, Finding, Hard, Kind, Response, Rule, Seen};
pub use honey::{Honey, Trap};
pub use hours::Hours;
pub use incident::{Incidents, Notice, NoticeField, Status};
pub use learned::{Family, Learned, LearnedSettings, Peers, Scored};
pub use limit::{Broken, Heard, Judgement, Limit, LimitAction, Measure, Shown};
pub use restraint::{Restrained, Restraint, Terms};
pub use share::{ENTRY_MAX, Entry, LOCK_MAX_MS, LockId, SKEW_MAX_MS, ShareKey, Told, Unheard};
pub use whom::{By, EndUser, Whom};

#[cfg(test)]
mod tests;
