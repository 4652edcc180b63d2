//! Sockets: the listener, the session's task, cancel requests, the end of a session.
//!
//! Here alone bytes of clients meet the operating system; what they mean is decided in
//! `pipeline`.

mod admission;
mod border;
mod cancel;
mod counters;
mod failures;
mod fellows;
mod fellowship;
mod fences;
mod flow;
mod judges;
mod lane;
mod listener;
mod memory;
mod needs;
mod passage;
mod records;
mod roster;
mod session;
mod startup;
mod unread;
mod untold;
mod vigil;
mod worker;

pub use admission::Admission;
pub use cancel::Cancels;
pub use fellows::{Fellows, Ties};
pub use fellowship::Fellowship;
pub use fences::Fences;
pub use judges::Judges;
pub use listener::{Acceptor, Listener, Renewal, accept};
pub use memory::Question;
pub use roster::{Doing, Enrolled, Listed, Order, Roster};
pub use vigil::{Means, Vigil, VigilThread, Watched};

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use arc_swap::ArcSwap;
use rand::Rng as _;
use tokio::sync::watch;

use crate::alarm::Alarm;
use crate::config::{Endpoint, Settings};
use crate::login::scram::MockSecret;
use crate::login::token::Tokens;
use crate::pipeline::{PlanCache, Workshop};
use crate::policy::Surroundings;
use crate::seal::{Keyring, Random, Sealer};
use crate::statement::{Doors, Limits};
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
    /// What is looked for where nothing is classified. None: nothing.
    pub doors: Option<Arc<Doors>>,
    /// By which end users are proven.
    pub tokens: Arc<Tokens>,
    /// None where no field is sealed.
    pub keyring: Option<Arc<Keyring>>,
    /// Threads that share what is bounded for all of them.
    pub threads: usize,
}

impl Regime {
    /// Is the catalog of this database looked at: since something in it is classified, or may be
    /// under another name?
    #[must_use]
    pub fn watches(&self, database: &str) -> bool {
        self.doors.is_some() || self.settings.classifies(database)
    }

    /// The tools of one thread.
    #[must_use]
    pub fn workshop(&self) -> Workshop {
        let limits = self.settings.limits;
        let plan_bytes = usize::try_from(limits.plan_cache_bytes_max).unwrap_or(usize::MAX);
        let texts = Limits { text_bytes_max: limits.statement_bytes_max as usize, ..Limits::default() };
        let keyring = self.keyring.as_ref().map(Arc::clone);
        let sealer = keyring.map(|keyring| Sealer::new(keyring, Box::new(ThreadRandom)));
        let upstreams = self.dialer.hosts().iter().filter_map(|host| match host {
            Endpoint::Tcp(host) => Some(host.host.clone()),
            // Whoever names one leads back anyway.
            Endpoint::Unix { .. } => None,
        });
        let residency = Arc::clone(self.dialer.residency());
        let surroundings = Surroundings::new(residency, upstreams.collect(), today);
        let plans = PlanCache::new(plan_bytes / self.threads.max(1));
        let honey = self.settings.honey.clone();
        Workshop::new(sealer, plans, texts)
            .amid(surroundings)
            .trusting(Arc::clone(&self.tokens))
            .with_honey(honey)
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
    pub watch: Arc<Watch>,
    /// How it stands with other proxies. None: there are none.
    pub fellowship: Option<Arc<Fellowship>>,
    /// Where alerts go.
    pub alarm: Arc<Alarm>,
    /// Where what happened is looked at.
    pub vigil: Vigil,
    /// Who is here.
    pub roster: Arc<Roster>,
    pub cancels: Cancels,
    pub fences: Arc<Fences>,
    pub judges: Judges,
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
