//! Sockets: the listener, the session's task, cancel requests, the end of a session.
//!
//! Here alone bytes of clients meet the operating system; what they mean is decided in
//! `pipeline`.

mod admission;
mod border;
mod cancel;
mod counters;
mod failures;
mod fences;
mod flow;
mod lane;
mod listener;
mod records;
mod session;
mod startup;
mod worker;

pub use admission::Admission;
pub use cancel::Cancels;
pub use fences::Fences;
pub use listener::{Acceptor, Listener, Renewal, accept};

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use arc_swap::ArcSwap;
use rand::Rng as _;
use tokio::sync::watch;

use crate::config::Settings;
use crate::login::scram::MockSecret;
use crate::pipeline::{PlanCache, Workshop};
use crate::seal::{Keyring, Random, Sealer};
use crate::statement::Limits;
use crate::store::catalog::Catalogs;
use crate::store::journal::JournalHandle;
use crate::transport::tls::ServerTls;
use crate::upstream::dial::Dialer;
pub use crate::upstream::dial::today;
use crate::upstream::verifiers::Verifiers;
use crate::watch::Watch;

/// What one configuration says, ready for use. A reload puts another in its place as a
/// whole; whoever logs in keeps the one it began with.
pub struct Regime {
    pub settings: Settings,
    pub dialer: Arc<Dialer>,
    /// None without an account that could ask for them.
    pub verifiers: Option<Verifiers>,
    /// None: clients are not offered TLS.
    pub client_tls: Option<ServerTls>,
    /// None where no field is sealed.
    pub keyring: Option<Arc<Keyring>>,
    /// Threads that share what is bounded for all of them.
    pub threads: usize,
}

impl Regime {
    /// The tools of one thread.
    #[must_use]
    pub fn workshop(&self) -> Workshop {
        let limits = self.settings.limits;
        let plan_bytes = usize::try_from(limits.plan_cache_bytes_max).unwrap_or(usize::MAX);
        let texts = Limits { text_bytes_max: limits.statement_bytes_max as usize, ..Limits::default() };
        let keyring = self.keyring.as_ref().map(Arc::clone);
        let sealer = keyring.map(|keyring| Sealer::new(keyring, Box::new(ThreadRandom)));
        Workshop::new(sealer, PlanCache::new(plan_bytes / self.threads.max(1)), texts)
    }
}

/// The operating system's randomness for keys, a fast generator seeded by it for nonces.
pub struct ThreadRandom;

impl Random for ThreadRandom {
    fn fill(&mut self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}

/// How far the gate has come on its way to the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    Serving,
    /// Idle sessions end; transactions may finish.
    Draining,
    /// Every session ends.
    Cutting,
}

/// What every session shares.
pub struct Gate {
    pub regime: ArcSwap<Regime>,
    /// None where there is no account that could read them: then no field is classified.
    pub catalogs: Option<Catalogs>,
    /// None where there is no folder for it: then no field is classified.
    pub journal: Option<JournalHandle>,
    pub watch: Watch,
    pub cancels: Cancels,
    pub fences: Arc<Fences>,
    pub admission: Admission,
    /// Makes up the salts of users that do not exist.
    pub mock: MockSecret,
    pub next_session: AtomicU64,
    pub phase: watch::Receiver<Phase>,
    /// Zero of the clock that windows are counted by.
    pub started: Instant,
}

/// The gate as sessions hold it.
pub type SharedGate = Arc<Gate>;

impl Gate {
    /// Milliseconds on a clock that does not go back.
    #[must_use]
    pub fn ms_at(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }
}
