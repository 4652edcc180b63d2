//! What is unusual for a user, by what that user and others like it have done before.

mod settings;

pub use settings::{LearnedSettings, Peers};

use super::detector::{Detector, Finding, Seen};

/// How unusual the latest thing seen was.
#[derive(Clone, PartialEq, Debug)]
pub struct Scored {
    /// Login user, or it and the end user whom a token has proven.
    pub principal: String,
    /// 0 is usual. Comparable across users.
    pub score: f64,
    /// How often a day of one user shows such a score, or a higher one: 0 to 1.
    pub tail: f64,
}

/// The learned detector. Memory: at most 64 KiB a principal, and [`Learned::PRINCIPALS_MAX`] of them.
pub struct Learned {
    settings: LearnedSettings,
    last: Option<Scored>,
}

impl Learned {
    /// Principals that are remembered; the one that has been away for longest makes room.
    pub const PRINCIPALS_MAX: usize = 1_024;

    #[must_use]
    pub fn new(settings: LearnedSettings) -> Learned {
        Learned { settings, last: None }
    }

    /// Of the latest thing seen; none where it says nothing (no principal, a login that failed).
    #[must_use]
    pub fn last_score(&self) -> Option<&Scored> {
        self.last.as_ref()
    }

    /// From here until then new statement shapes are learned and not told.
    pub fn deploy(&mut self, _until_ms: u64) {}

    /// What this alert was about is fine.
    pub fn allow(&mut self, _alert: &str) -> bool {
        false
    }
}

impl Detector for Learned {
    fn see(&mut self, _seen: &Seen, _now_ms: u64, _findings: &mut Vec<Finding>) {
        let _ = &self.settings;
        self.last = None;
    }
}
