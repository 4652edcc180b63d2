//! Who is in a database. As long as a client session is, a session of ours is too, by which its
//! catalog is looked at. When the last one leaves, ours leaves with it: it would stand in the way
//! of DROP DATABASE and of whatever else wants a database without sessions. From then on the
//! database may become another one under the same name; whoever comes next looks first. Where
//! sessions come and go one after the other, ours waits for the next, until a statement that goes
//! through here wants the database for itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::upstream::service::Tie;

/// One database's sessions, ours and the clients'.
pub(super) struct Presence {
    state: Mutex<State>,
    /// As `state` has it, for who looks often.
    open: AtomicBool,
    /// Told when the last client session leaves.
    left: Arc<Notify>,
    linger: Linger,
}

/// How long ours stays where no client session is.
#[derive(Clone, Copy, Debug)]
pub struct Linger {
    /// For one that is about to come.
    pub foreseen: Duration,
    /// Behind the last one, where the next has come within this time for so many times in a row.
    pub left: Duration,
    pub returns_min: u32,
}

struct State {
    stays: usize,
    /// When the last one left, and how many times in a row the next has come soon after that.
    left: Option<Instant>,
    returns: u32,
    /// When ours has nobody to stay for any more, unless somebody comes.
    until: Instant,
    /// None: none of ours is there.
    tie: Option<Arc<Tie>>,
    /// Ours is being asked.
    busy: bool,
}

/// A client session in a database: as long as it is held, the catalog is looked at.
pub struct Stay(Arc<Presence>);

impl Presence {
    /// Nobody is there.
    pub fn new(left: Arc<Notify>, linger: Linger) -> Presence {
        let state = State { stays: 0, left: None, returns: 0, until: Instant::now(), tie: None, busy: false };
        Presence { state: Mutex::new(state), open: AtomicBool::new(false), left, linger }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A look begins: our session is not to be ended within it.
    pub fn begin(&self) {
        self.state().busy = true;
    }

    /// The look has ended, and our session is there until it is cut; what is known has just been
    /// looked at by it.
    pub fn open(&self, tie: Arc<Tie>) {
        let mut state = self.state();
        if state.tie.is_none() {
            state.until = Instant::now() + self.linger.foreseen;
        }
        state.tie = Some(tie);
        state.busy = false;
        self.open.store(true, Ordering::Release);
    }

    /// The look has ended, and our session is of no more use: nobody enters before another one is
    /// there.
    pub fn lose(&self) {
        let mut state = self.state();
        state.busy = false;
        if let Some(tie) = &state.tie {
            tie.cut();
        }
    }

    /// Is one of ours there, or was it until it was cut? Takes no lock.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// None where no session of ours is there: the database must be looked at first.
    pub fn enter(self: &Arc<Presence>) -> Option<Stay> {
        let mut state = self.state();
        let there = state.tie.as_ref().is_some_and(|tie| !tie.is_cut());
        there.then(|| {
            if state.stays == 0 {
                let soon = state.left.is_some_and(|left| left.elapsed() <= self.linger.left);
                state.returns = if soon { state.returns.saturating_add(1) } else { 0 };
            }
            state.stays += 1;
            Stay(Arc::clone(self))
        })
    }

    /// When our session has nobody to stay for any more.
    pub fn leaves(&self) -> Option<Instant> {
        let state = self.state();
        (state.tie.is_some() && state.stays == 0).then_some(state.until)
    }

    /// Somebody wants the database for himself: ours goes, unless a client is there.
    pub fn vacate(&self) {
        let mut state = self.state();
        if state.stays == 0 {
            self.hang_up(&mut state);
        }
    }

    /// Here, and not where it is kept: it is to be gone before the client's own is.
    fn hang_up(&self, state: &mut State) {
        state.until = Instant::now();
        if !state.busy
            && let Some(tie) = state.tie.take()
        {
            self.open.store(false, Ordering::Release);
            tie.hang_up();
        }
        self.left.notify_one();
    }

    /// True where our session must go: nobody enters from here on.
    pub fn close(&self, now: Instant) -> bool {
        let mut state = self.state();
        let goes = state.tie.is_some() && state.stays == 0 && state.until <= now;
        if goes && let Some(tie) = state.tie.take() {
            self.open.store(false, Ordering::Release);
            tie.hang_up();
        }
        goes
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let presence = &self.0;
        let mut state = presence.state();
        state.stays -= 1;
        if state.stays > 0 {
            return;
        }
        let now = Instant::now();
        state.left = Some(now);
        if state.returns < presence.linger.returns_min {
            return presence.hang_up(&mut state);
        }
        state.until = now + presence.linger.left;
        presence.left.notify_one();
    }
}
