//! Sockets: the listener, the session's task, cancel requests, the end of a session.
//!
//! Here alone bytes of clients meet the operating system; what they mean is decided in
//! `pipeline`.

mod cancel;
mod counters;
mod flow;
mod lane;
mod listener;
mod records;
mod session;
mod startup;
mod worker;

pub use cancel::Cancels;
pub use listener::{Acceptor, accept};
pub use worker::Worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Instant;

use tokio::sync::watch;

use crate::config::Settings;
use crate::residency::{Date, Residency};
use crate::store::catalog::Catalogs;
use crate::store::journal::JournalHandle;
use crate::watch::Watch;

/// What every session shares.
pub struct Gate {
    pub settings: Settings,
    pub residency: Residency,
    /// None where no field is classified.
    pub catalogs: Option<Catalogs>,
    /// None where no field is classified.
    pub journal: Option<JournalHandle>,
    pub watch: Watch,
    pub cancels: Cancels,
    /// Number of open sessions.
    pub sessions: AtomicUsize,
    pub next_session: AtomicU64,
    /// Becomes true when the gate drains.
    pub draining: watch::Receiver<bool>,
    /// Zero of the clock that windows are counted by.
    pub started: Instant,
}

/// The gate as sessions hold it.
pub type SharedGate = Arc<Gate>;

impl Gate {
    /// Milliseconds on a clock that does not go back.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Today, UTC.
#[must_use]
pub fn today() -> Date {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Date::from_unix_days(since.as_secs() / 86_400)
}
