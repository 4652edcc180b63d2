//! Who is here: the open sessions, how one is ended from outside, and the users that are locked out.
//!
//! A session enlists when it begins and looks at one atomic while it runs; locks are taken when sessions
//! begin and end, and by operators.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use arc_swap::ArcSwapOption;

use crate::audit::Who;
use crate::pipeline::Underway;
use crate::watch::{Restraint, Terms};

/// Users against whom something is held at one time; the one whose time ends first makes room.
const RESTRAINED_MAX: usize = 4_096;

/// Why a session is to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// An operator wants it.
    Leave,
    /// The watch cut it off.
    Cut,
}

const NONE: u8 = 0;
const LEAVE: u8 = 1;
const CUT: u8 = 2;

/// What a session does.
#[derive(Clone)]
pub struct Doing {
    /// Literal-free.
    pub shape: Arc<str>,
    pub since_ms: u64,
}

/// One open session.
pub struct Listed {
    pub who: Arc<Who>,
    /// Milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// The latest statement on record, while it runs. Its session alone writes it, with each statement; who looks is
    /// an operator.
    doing: Mutex<Option<Doing>>,
    /// What it has under way, on record or not.
    pub underway: Arc<Underway>,
    /// What is held against its user. None: nothing.
    restrained: ArcSwapOption<Vec<Restrained>>,
    order: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

impl Listed {
    /// What it does from now on.
    pub fn does(&self, doing: Option<Doing>) {
        *self.doing.lock().unwrap_or_else(PoisonError::into_inner) = doing;
    }

    /// What it does.
    pub fn doing(&self) -> Option<Doing> {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is held against its user at this time.
    pub fn terms(&self, now_ms: impl FnOnce() -> u64) -> Terms {
        let Some(held) = &*self.restrained.load() else { return Terms::default() };
        let now_ms = now_ms();
        let held = held.iter().filter(|one| one.until_ms > now_ms);
        held.fold(Terms::default(), |terms, one| terms.with(one.restraint))
    }

    /// Is it to end?
    pub fn order(&self) -> Option<Order> {
        match self.order.load(Ordering::SeqCst) {
            NONE => None,
            LEAVE => Some(Order::Leave),
            _ => Some(Order::Cut),
        }
    }

    /// Who wakes it.
    pub fn wakes(&self, waker: Waker) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker);
    }

    fn end(&self, order: Order) {
        let order = if order == Order::Cut { CUT } else { LEAVE };
        self.order.fetch_max(order, Ordering::SeqCst);
        if let Some(waker) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.wake_by_ref();
        }
    }
}

/// Something that is held against a user.
#[derive(Clone, Debug)]
pub struct Restrained {
    pub user: Arc<str>,
    pub restraint: Restraint,
    /// Milliseconds since the Unix epoch.
    pub until_ms: u64,
    /// The incident for which, or the limit.
    pub incident: Arc<str>,
}

/// See the module's text.
#[derive(Default)]
pub struct Roster {
    sessions: Mutex<HashMap<u64, Arc<Listed>>>,
    /// Of each user one of a kind.
    restrained: Mutex<HashMap<Arc<str>, Vec<Restrained>>>,
}

/// A session's entry, for as long as the session lives.
pub struct Enrolled {
    roster: Arc<Roster>,
    listed: Arc<Listed>,
}

impl std::ops::Deref for Enrolled {
    type Target = Listed;

    fn deref(&self) -> &Listed {
        &self.listed
    }
}

impl Drop for Enrolled {
    fn drop(&mut self) {
        self.roster.sessions().remove(&self.listed.who.session);
    }
}

impl Roster {
    /// Enlists a session. One of a user who has been locked out meanwhile is cut off at once.
    pub fn enroll(self: &Arc<Roster>, who: Arc<Who>, underway: Arc<Underway>, now_ms: u64) -> Enrolled {
        let listed = Arc::new(Listed {
            who,
            since_ms: now_ms,
            doing: Mutex::default(),
            underway,
            restrained: ArcSwapOption::empty(),
            order: AtomicU8::new(NONE),
            waker: Mutex::new(None),
        });
        self.sessions().insert(listed.who.session, Arc::clone(&listed));
        // After it can be found: whoever holds something against its user looks at the sessions after that.
        if self.is_locked(&listed.who.user, now_ms) {
            listed.end(Order::Cut);
        }
        if let Some(held) = self.restrained().get(&listed.who.user) {
            listed.restrained.store(Some(Arc::new(held.clone())));
        }
        Enrolled { roster: Arc::clone(self), listed }
    }

    /// The open sessions, by their numbers.
    #[must_use]
    pub fn open(&self) -> Vec<Arc<Listed>> {
        let mut open: Vec<Arc<Listed>> = self.sessions().values().cloned().collect();
        open.sort_by_key(|listed| listed.who.session);
        open
    }

    /// May any other session of a database have something under way that uses one of these names?
    #[must_use]
    pub fn may_name(&self, session: u64, database: &str, names: &[Arc<str>]) -> bool {
        let sessions = self.sessions();
        let mut others = sessions
            .values()
            .filter(|other| other.who.session != session && *other.who.database == *database);
        others.any(|other| other.underway.may_name(names))
    }

    /// Has a session end. False where there is none.
    pub fn end(&self, session: u64, order: Order) -> bool {
        let found = self.sessions().get(&session).cloned();
        if let Some(listed) = &found {
            listed.end(order);
        }
        found.is_some()
    }

    /// Holds something against a user, and all sessions of that user. Something longer of its kind stays.
    pub fn restrain(&self, user: &Arc<str>, restraint: Restraint, until_ms: u64, incident: Arc<str>) {
        // Until all sessions have it: what is held or taken back meanwhile must not be overwritten by it.
        let mut restrained = self.restrained();
        let held = {
            if restrained.len() >= RESTRAINED_MAX
                && !restrained.contains_key(user)
                && let Some(first) =
                    restrained.iter().min_by_key(|(_, held)| ends(held)).map(|(user, _)| user.clone())
            {
                restrained.remove(&first);
            }
            let held = restrained.entry(user.clone()).or_default();
            let known =
                held.iter().find(|one| one.restraint.is_like(restraint)).map_or(0, |known| known.until_ms);
            held.retain(|one| !one.restraint.is_like(restraint));
            let until_ms = until_ms.max(known);
            held.push(Restrained { user: user.clone(), restraint, until_ms, incident });
            Arc::new(held.clone())
        };
        for listed in self.sessions_of(user) {
            listed.restrained.store(Some(Arc::clone(&held)));
            match restraint {
                Restraint::Lock => listed.end(Order::Cut),
                Restraint::Refuse | Restraint::Purpose | Restraint::Throttle { .. } => {}
            }
        }
    }

    /// May this user not begin a session?
    #[must_use]
    pub fn is_locked(&self, user: &str, now_ms: u64) -> bool {
        let mut restrained = self.restrained();
        let Some(held) = restrained.get_mut(user) else { return false };
        held.retain(|one| one.until_ms > now_ms);
        let locked = held.iter().any(|one| one.restraint == Restraint::Lock);
        if held.is_empty() {
            restrained.remove(user);
        }
        locked
    }

    /// Takes back what is held against a user. False where nothing is.
    pub fn release(&self, user: &str, now_ms: u64) -> bool {
        let mut restrained = self.restrained();
        let held = restrained.remove(user);
        self.sessions_of(user).iter().for_each(|listed| listed.restrained.store(None));
        held.is_some_and(|held| held.iter().any(|one| one.until_ms > now_ms))
    }

    /// What is held against whom.
    #[must_use]
    pub fn held(&self, now_ms: u64) -> Vec<Restrained> {
        let mut restrained = self.restrained();
        restrained.retain(|_, held| {
            held.retain(|one| one.until_ms > now_ms);
            !held.is_empty()
        });
        let mut all: Vec<Restrained> = restrained.values().flatten().cloned().collect();
        all.sort_by(|one, other| {
            one.user.cmp(&other.user).then_with(|| one.restraint.name().cmp(other.restraint.name()))
        });
        all
    }

    fn sessions_of(&self, user: &str) -> Vec<Arc<Listed>> {
        self.sessions().values().filter(|listed| *listed.who.user == *user).cloned().collect()
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<u64, Arc<Listed>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn restrained(&self) -> MutexGuard<'_, HashMap<Arc<str>, Vec<Restrained>>> {
        self.restrained.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When the last of them ends.
fn ends(held: &[Restrained]) -> u64 {
    held.iter().map(|one| one.until_ms).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(session: u64, user: &str) -> Arc<Who> {
        Arc::new(Who { session, user: user.into(), ..Who::sealgate() })
    }

    #[test]
    fn a_lock_ends_the_sessions_of_its_user_now_and_those_that_come_until_it_is_over() {
        let roster = Arc::new(Roster::default());
        let (ada, bob) = (
            roster.enroll(who(1, "ada"), Arc::default(), 0),
            roster.enroll(who(2, "bob"), Arc::default(), 0),
        );
        roster.restrain(&"ada".into(), Restraint::Lock, 100, "i".into());
        assert_eq!((ada.order(), bob.order()), (Some(Order::Cut), None));
        assert_eq!(
            roster.enroll(who(3, "ada"), Arc::default(), 99).order(),
            Some(Order::Cut),
            "one that was on its way"
        );
        assert!(roster.is_locked("ada", 99) && !roster.is_locked("bob", 99));
        roster.restrain(&"ada".into(), Restraint::Lock, 50, "j".into());
        assert!(roster.is_locked("ada", 99), "a shorter one takes nothing back");
        assert!(!roster.is_locked("ada", 100) && roster.held(100).is_empty());
        roster.restrain(&"ada".into(), Restraint::Lock, 300, "k".into());
        assert!(roster.release("ada", 200) && !roster.release("ada", 200) && !roster.is_locked("ada", 200));
        assert!(roster.end(2, Order::Leave) && !roster.end(9, Order::Leave));
        assert_eq!(bob.order(), Some(Order::Leave));
        drop((ada, bob));
        assert!(roster.open().is_empty());
    }

    #[test]
    fn locks_are_bounded_and_the_one_that_ends_first_makes_room() {
        let roster = Roster::default();
        for number in 0..RESTRAINED_MAX as u64 + 1 {
            roster.restrain(&format!("u{number}").into(), Restraint::Lock, 1_000 + number, "i".into());
        }
        assert_eq!(roster.held(0).len(), RESTRAINED_MAX);
        assert!(!roster.is_locked("u0", 0) && roster.is_locked("u1", 0));
    }

    /// Whichever comes last, each session knows all that is held.
    #[test]
    fn what_is_held_and_taken_back_at_one_moment_is_for_each_session_what_it_is_for_the_user() {
        let roster = Arc::new(Roster::default());
        let ada = roster.enroll(who(1, "ada"), Arc::default(), 0);
        for round in 0..300 {
            std::thread::scope(|threads| {
                for restraint in [Restraint::Refuse, Restraint::Purpose, Restraint::Throttle { delay_ms: 9 }]
                {
                    let roster = &roster;
                    threads.spawn(move || roster.restrain(&"ada".into(), restraint, 100, "i".into()));
                }
                if round % 2 == 0 {
                    threads.spawn(|| roster.release("ada", 0));
                }
            });
            let held = roster.held(0).iter().fold(Terms::default(), |terms, one| terms.with(one.restraint));
            assert_eq!(ada.terms(|| 0), held, "round {round}");
            roster.release("ada", 0);
        }
    }
}
