//! How it stands with other proxies, for readiness and operators.

use std::sync::{Mutex, PoisonError};

/// How it stands, for whoever asks.
#[derive(Default)]
pub struct Fellowship {
    standing: Mutex<Standing>,
}

#[derive(Clone, Default)]
pub(super) struct Standing {
    /// Why the store cannot be had. None: it can, or it has not been tried yet.
    pub(super) lost: Option<String>,
    pub(super) settled: bool,
    pub(super) others: usize,
    /// By how much the clock of another one differs, where that is too much.
    pub(super) skew_ms: u64,
}

impl Fellowship {
    /// What is wrong with it; nothing where all is well.
    #[must_use]
    pub fn trouble(&self) -> String {
        let standing = self.standing();
        match (&standing.lost, standing.settled, standing.skew_ms) {
            (Some(why), _, _) => {
                format!("other proxies cannot be reached, limits and locks are this one's own: {why}")
            }
            (None, false, _) => "other proxies have not been heard yet".to_owned(),
            (None, true, 0) => String::new(),
            (None, true, skew_ms) => format!(
                "the clock of another proxy differs by {} s: what is held and counted may end too soon or too late",
                skew_ms / 1_000
            ),
        }
    }

    /// Other proxies that are heard.
    #[must_use]
    pub fn others(&self) -> usize {
        self.standing().others
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.standing.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
