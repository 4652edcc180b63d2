//! Who is in a database. As long as a client session is, a session of ours is too, by which its
//! catalog is looked at. Soon after the last one has left, ours leaves as well: it would stand in
//! the way of DROP DATABASE and of whatever else wants a database without sessions. From then on
//! the database may become another one under the same name; whoever comes next looks first.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// One database's sessions, ours and the clients'.
pub(super) struct Presence {
    state: Mutex<State>,
    /// As `state` has it, for who looks often.
    open: AtomicBool,
    /// Told when the last client session leaves.
    left: Arc<Notify>,
}

struct State {
    stays: usize,
    /// When the last client session left, or ours came.
    since: Instant,
    /// Set where our session has been cut. None: none of ours is there.
    cut: Option<Arc<AtomicBool>>,
}

/// A client session in a database: as long as it is held, the catalog is looked at.
pub struct Stay(Arc<Presence>);

impl Presence {
    /// Nobody is there.
    pub fn new(left: Arc<Notify>) -> Presence {
        let state = State { stays: 0, since: Instant::now(), cut: None };
        Presence { state: Mutex::new(state), open: AtomicBool::new(false), left }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Our session is there, until it is `cut`; what is known has just been looked at by it.
    pub fn open(&self, cut: Arc<AtomicBool>) {
        let mut state = self.state();
        if state.cut.is_none() {
            state.since = Instant::now();
        }
        state.cut = Some(cut);
        self.open.store(true, Ordering::Release);
    }

    /// Our session is of no more use: nobody enters before another one is there.
    pub fn lose(&self) {
        if let Some(cut) = &self.state().cut {
            cut.store(true, Ordering::Release);
        }
    }

    /// Is one of ours there, or was it until it was cut? Takes no lock.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// None where no session of ours is there: the database must be looked at first.
    pub fn enter(self: &Arc<Presence>) -> Option<Stay> {
        let mut state = self.state();
        let there = state.cut.as_ref().is_some_and(|cut| !cut.load(Ordering::Acquire));
        there.then(|| {
            state.stays += 1;
            Stay(Arc::clone(self))
        })
    }

    /// When our session has nobody to stay for any more.
    pub fn leaves(&self, linger: Duration) -> Option<Instant> {
        let state = self.state();
        (state.cut.is_some() && state.stays == 0).then(|| state.since + linger)
    }

    /// True where our session must go: nobody enters from here on.
    pub fn close(&self, linger: Duration, now: Instant) -> bool {
        let mut state = self.state();
        let goes = state.cut.is_some() && state.stays == 0 && state.since + linger <= now;
        if goes {
            state.cut = None;
            self.open.store(false, Ordering::Release);
        }
        goes
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.stays -= 1;
        if state.stays == 0 {
            state.since = Instant::now();
            self.0.left.notify_one();
        }
    }
}
