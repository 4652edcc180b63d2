//! Brings alerts to where somebody looks: Alertmanager, webhooks, syslog, mail.
//!
//! An alert is put into its incident where it is raised, under a lock that only alerts take. A thread
//! writes what is to be told of it into the spool of each receiver; each receiver has a thread of its own,
//! which tries until it has been delivered. So a receiver that is away holds up no other and no session.

mod http;
mod mail;
mod place;
mod spool;
mod syslog;

pub use place::Place;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use place::Standing;
use spool::Spool;

use crate::audit::Alert;
use crate::config::{Alerting, Secret};
use crate::watch::{Incidents, Notice};

/// How often it is looked what is due, while any incident goes on.
const TICK: Duration = Duration::from_millis(500);
/// How long the end waits for what is still to be told; the rest is told after the next start.
const FAREWELL: Duration = Duration::from_secs(3);

/// Why a notice was not delivered.
#[derive(Debug)]
pub struct Undelivered {
    pub reason: String,
    /// Another try will not help.
    pub for_good: bool,
}

impl Undelivered {
    fn for_now(reason: String) -> Undelivered {
        Undelivered { reason, for_good: false }
    }

    fn for_good(reason: String) -> Undelivered {
        Undelivered { reason, for_good: true }
    }
}

/// All receivers, and the incidents that go on. One a process.
pub struct Alarm {
    shared: Arc<Shared>,
    /// Taken at the end.
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    incidents: Mutex<Incidents>,
    /// Something is to be told, or it ends.
    wake: Condvar,
    ends: AtomicBool,
    places: Vec<Arc<Standing>>,
}

/// Where the secrets of the configuration come from: none, or why not.
pub type Secrets<'s> = &'s dyn Fn(&Secret) -> Result<Option<zeroize::Zeroizing<String>>, String>;

/// What is wrong with an entry of the configuration, by its index; none: with the spool.
pub type Fault = (Option<usize>, String);

/// Every receiver, ready.
///
/// # Errors
/// A secret or certificate that cannot be used.
pub fn places(alerting: &Alerting, node: &str, secrets: Secrets<'_>) -> Result<Vec<Place>, Fault> {
    let made = alerting.places.iter().enumerate();
    made.map(|(index, place)| Place::new(place, node, secrets).map_err(|why| (Some(index), why))).collect()
}

/// Milliseconds since the Unix epoch.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Alarm {
    /// Starts the threads, with what an earlier process left in the spool.
    ///
    /// # Errors
    /// A receiver that cannot be used, a spool that cannot be opened, a thread that cannot be started.
    pub fn start(alerting: &Alerting, node: &str, secrets: Secrets<'_>) -> Result<Alarm, Fault> {
        let mut standing = Vec::new();
        for place in places(alerting, node, secrets)? {
            let folder = alerting.spool.join(place.name());
            let spool =
                Spool::open(&folder).map_err(|error| (None, format!("{}: {error}", folder.display())))?;
            standing.push(Arc::new(Standing::new(place, spool)));
        }
        let shared = Arc::new(Shared {
            incidents: Mutex::new(Incidents::new(alerting.quiet_ms)),
            wake: Condvar::new(),
            ends: AtomicBool::new(false),
            places: standing,
        });
        let mut threads = Vec::new();
        let failed =
            |error: std::io::Error| (None, format!("a thread for alerts cannot be started: {error}"));
        for place in &shared.places {
            let place = Arc::clone(place);
            let thread = std::thread::Builder::new().name("alert".to_owned()).spawn(move || place.deliver());
            threads.push(thread.map_err(failed)?);
        }
        let telling = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("alarm".to_owned()).spawn(move || telling.tell());
        threads.insert(0, thread.map_err(failed)?);
        Ok(Alarm { shared, threads: Mutex::new(threads) })
    }

    /// One that tells nobody.
    #[must_use]
    pub fn silent() -> Alarm {
        let shared = Shared {
            incidents: Mutex::new(Incidents::new(Alerting::default().quiet_ms)),
            wake: Condvar::new(),
            ends: AtomicBool::new(false),
            places: Vec::new(),
        };
        Alarm { shared: Arc::new(shared), threads: Mutex::default() }
    }

    /// Puts an alert into its incident, and has that told.
    pub fn raise(&self, alert: &mut Alert) {
        let due = self.shared.incidents().raise(alert, rand::random(), now_ms());
        if due {
            self.shared.wake.notify_all();
        }
    }

    /// Which receivers are behind, and why; nothing where all is well.
    #[must_use]
    pub fn behind(&self) -> String {
        let behind: Vec<String> = self.shared.places.iter().filter_map(|place| place.behind()).collect();
        behind.join("; ")
    }

    /// Tells what is due, as far as that can be done in a moment. The rest stays in the spool.
    pub fn close(&self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        // Under the lock, so that whoever is about to wait sees it.
        drop(self.shared.incidents());
        self.shared.wake.notify_all();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let until = Instant::now() + FAREWELL;
        for (index, thread) in threads.drain(..).enumerate() {
            if index == 1 {
                // All is in the spools by now.
                self.shared.places.iter().for_each(|place| place.end());
            }
            while !thread.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(5));
            }
            if thread.is_finished() && thread.join().is_err() {
                tracing::error!("a thread for alerts panicked");
            }
        }
    }
}

impl Shared {
    fn incidents(&self) -> MutexGuard<'_, Incidents> {
        self.incidents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts what is due into each spool, until the end.
    fn tell(&self) {
        let mut incidents = self.incidents();
        loop {
            let ends = self.ends.load(Ordering::SeqCst);
            let due = incidents.due(now_ms());
            metrics::gauge!("sealgate_incidents_open")
                .set(f64::from(u32::try_from(incidents.len()).unwrap_or(u32::MAX)));
            if !due.is_empty() {
                // What follows writes files.
                drop(incidents);
                due.iter().for_each(|notice| self.spool(notice));
                incidents = self.incidents();
                continue;
            }
            if ends {
                return;
            }
            let waited = if incidents.is_empty() {
                self.wake.wait(incidents).unwrap_or_else(PoisonError::into_inner)
            } else {
                self.wake.wait_timeout(incidents, TICK).unwrap_or_else(PoisonError::into_inner).0
            };
            incidents = waited;
        }
    }

    fn spool(&self, notice: &Notice) {
        self.places.iter().for_each(|place| place.spool(notice));
    }
}
