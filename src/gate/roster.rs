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

/// Users that can be locked out at one time; the one whose time ends first makes room.
const LOCKED_MAX: usize = 4_096;

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
    /// The latest statement on record, while it runs.
    pub doing: ArcSwapOption<Doing>,
    /// What it has under way, on record or not.
    pub underway: Arc<Underway>,
    order: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

impl Listed {
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

/// A user who is locked out.
#[derive(Clone)]
pub struct Locked {
    pub user: Arc<str>,
    /// Milliseconds since the Unix epoch.
    pub until_ms: u64,
    /// The incident for which.
    pub incident: Arc<str>,
}

/// See the module's text.
#[derive(Default)]
pub struct Roster {
    sessions: Mutex<HashMap<u64, Arc<Listed>>>,
    locked: Mutex<HashMap<Arc<str>, Locked>>,
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
            doing: ArcSwapOption::empty(),
            underway,
            order: AtomicU8::new(NONE),
            waker: Mutex::new(None),
        });
        self.sessions().insert(listed.who.session, Arc::clone(&listed));
        // After it can be found: whoever locks looks at the sessions after that.
        if self.is_locked(&listed.who.user, now_ms) {
            listed.end(Order::Cut);
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

    /// Locks a user out, and cuts every session of that user.
    pub fn lock(&self, user: &Arc<str>, until_ms: u64, incident: Arc<str>) {
        {
            let mut locked = self.locked();
            if locked.len() >= LOCKED_MAX
                && !locked.contains_key(user)
                && let Some(first) =
                    locked.values().min_by_key(|one| one.until_ms).map(|one| one.user.clone())
            {
                locked.remove(&first);
            }
            let known = locked.get(user).map_or(0, |known| known.until_ms);
            let until_ms = until_ms.max(known);
            locked.insert(user.clone(), Locked { user: user.clone(), until_ms, incident });
        }
        let theirs: Vec<Arc<Listed>> =
            self.sessions().values().filter(|listed| listed.who.user == *user).cloned().collect();
        theirs.iter().for_each(|listed| listed.end(Order::Cut));
    }

    /// May this user not begin a session?
    #[must_use]
    pub fn is_locked(&self, user: &str, now_ms: u64) -> bool {
        let mut locked = self.locked();
        match locked.get(user) {
            Some(one) if one.until_ms > now_ms => true,
            Some(_) => {
                locked.remove(user);
                false
            }
            None => false,
        }
    }

    /// Lets a user in again. False where nobody of that name was locked out.
    pub fn release(&self, user: &str, now_ms: u64) -> bool {
        self.locked().remove(user).is_some_and(|one| one.until_ms > now_ms)
    }

    /// Who is locked out.
    #[must_use]
    pub fn locked_out(&self, now_ms: u64) -> Vec<Locked> {
        let mut locked = self.locked();
        locked.retain(|_, one| one.until_ms > now_ms);
        let mut all: Vec<Locked> = locked.values().cloned().collect();
        all.sort_by(|one, other| one.user.cmp(&other.user));
        all
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<u64, Arc<Listed>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Arc<str>, Locked>> {
        self.locked.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        roster.lock(&"ada".into(), 100, "i".into());
        assert_eq!((ada.order(), bob.order()), (Some(Order::Cut), None));
        assert_eq!(
            roster.enroll(who(3, "ada"), Arc::default(), 99).order(),
            Some(Order::Cut),
            "one that was on its way"
        );
        assert!(roster.is_locked("ada", 99) && !roster.is_locked("bob", 99));
        roster.lock(&"ada".into(), 50, "j".into());
        assert!(roster.is_locked("ada", 99), "a shorter one takes nothing back");
        assert!(!roster.is_locked("ada", 100) && roster.locked_out(100).is_empty());
        roster.lock(&"ada".into(), 300, "k".into());
        assert!(roster.release("ada", 200) && !roster.release("ada", 200) && !roster.is_locked("ada", 200));
        assert!(roster.end(2, Order::Leave) && !roster.end(9, Order::Leave));
        assert_eq!(bob.order(), Some(Order::Leave));
        drop((ada, bob));
        assert!(roster.open().is_empty());
    }

    #[test]
    fn locks_are_bounded_and_the_one_that_ends_first_makes_room() {
        let roster = Roster::default();
        for number in 0..LOCKED_MAX as u64 + 1 {
            roster.lock(&format!("u{number}").into(), 1_000 + number, "i".into());
        }
        assert_eq!(roster.locked_out(0).len(), LOCKED_MAX);
        assert!(!roster.is_locked("u0", 0) && roster.is_locked("u1", 0));
    }
}
