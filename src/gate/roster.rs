//! Who is here: the open sessions, how one is ended from outside, and the users that are locked out.
//!
//! A session enlists when it begins and looks at one atomic while it runs; locks are taken when sessions
//! begin and end, and by operators.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use arc_swap::ArcSwapOption;

use crate::audit::Who;
use crate::pipeline::Underway;
use crate::watch::{Restrained, Restraint, Terms, Whom};

/// What is held at one time, of all users; what ends first makes room, and of it what is held against an end
/// user: such names may be made up.
const RESTRAINED_MAX: usize = 4_096;
/// The same of one login user and all for whom it asks: each statement of theirs is compared with all of it.
const OF_USER_MAX: usize = 256;

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

    /// What is held against its user, and those for whom that user asks.
    pub fn held(&self) -> Option<Arc<Vec<Restrained>>> {
        self.restrained.load_full()
    }

    /// What of it holds at this time for whoever asks.
    pub fn terms(&self, who: &Who, now_ms: impl FnOnce() -> u64) -> Terms {
        let held = self.restrained.load();
        held.as_ref().map_or_else(Terms::default, |held| Terms::of(held, who, now_ms()))
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

/// See the module's text.
#[derive(Default)]
pub struct Roster {
    sessions: Mutex<HashMap<u64, Arc<Listed>>>,
    /// By login user; of each proxy one of a kind.
    restrained: Mutex<HashMap<Arc<str>, Vec<Restrained>>>,
    /// Grows with each change of it.
    changes: AtomicU64,
    /// What operators have taken back, for whoever tells other proxies; at most [`RESTRAINED_MAX`].
    released: Mutex<Vec<Restrained>>,
    /// Somebody does.
    shares: AtomicBool,
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
    pub fn restrain(&self, whom: &Whom, restraint: Restraint, until_ms: u64, incident: Arc<str>) {
        self.hold(Restrained { whom: whom.clone(), restraint, until_ms, incident, lock: None });
    }

    /// The same of what another proxy holds. False where it is known.
    pub fn hold(&self, fresh: Restrained) -> bool {
        // Until all sessions have it: what is held or taken back meanwhile must not be overwritten by it.
        let mut restrained = self.restrained();
        let user = fresh.whom.user.clone();
        make_room(&mut restrained, &user);
        let (restraint, locks_out) = (fresh.restraint, fresh.locks_out());
        let held = restrained.entry(user.clone()).or_default();
        let known = held.iter().find(|one| one.is_like(&fresh)).cloned();
        held.retain(|one| !one.is_like(&fresh));
        let until_ms = fresh.until_ms.max(known.as_ref().map_or(0, |known| known.until_ms));
        let fresh = Restrained { until_ms, ..fresh };
        let is_new = known.is_none_or(|known| {
            (known.until_ms, known.restraint, known.lock) != (until_ms, restraint, fresh.lock)
        });
        held.push(fresh);
        let held = Arc::new(held.clone());
        for listed in self.sessions_of(&user) {
            listed.restrained.store(Some(Arc::clone(&held)));
            if locks_out {
                listed.end(Order::Cut);
            }
        }
        if is_new {
            self.changes.fetch_add(1, Ordering::SeqCst);
        }
        is_new
    }

    /// May this user not begin a session?
    #[must_use]
    pub fn is_locked(&self, user: &str, now_ms: u64) -> bool {
        let mut restrained = self.restrained();
        let Some(held) = restrained.get_mut(user) else { return false };
        held.retain(|one| one.until_ms > now_ms);
        let locked = held.iter().any(Restrained::locks_out);
        if held.is_empty() {
            restrained.remove(user);
        }
        locked
    }

    /// Takes back what is held against a user, and against those for whom that user asks; or against one of these
    /// alone. False where nothing is.
    pub fn release(&self, user: &str, end_user: Option<&str>, now_ms: u64) -> bool {
        let mut restrained = self.restrained();
        let held = restrained.remove(user).unwrap_or_default();
        let is_meant = |one: &Restrained| {
            end_user.is_none_or(|name| one.whom.end_user.as_ref().is_some_and(|end| *end.name == *name))
        };
        let (gone, left): (Vec<Restrained>, Vec<Restrained>) = held.into_iter().partition(is_meant);
        let known = Some(left.clone()).filter(|left| !left.is_empty()).map(Arc::new);
        self.sessions_of(user).iter().for_each(|listed| listed.restrained.store(known.clone()));
        if !left.is_empty() {
            restrained.insert(user.into(), left);
        }
        let is_any = gone.iter().any(|one| one.until_ms > now_ms);
        if self.shares.load(Ordering::SeqCst) && is_any {
            let mut released = self.released.lock().unwrap_or_else(PoisonError::into_inner);
            let room = RESTRAINED_MAX.saturating_sub(released.len());
            released.extend(gone.into_iter().filter(|one| one.until_ms > now_ms).take(room));
        }
        self.changes.fetch_add(1, Ordering::SeqCst);
        is_any
    }

    /// Takes back that one alone. False where it is not held.
    pub fn take_back(&self, gone: &Restrained) -> bool {
        let mut restrained = self.restrained();
        let user = &gone.whom.user;
        let Some(held) = restrained.get_mut(user) else { return false };
        let before = held.len();
        held.retain(|one| !(one.is_like(gone) && one.lock == gone.lock));
        let found = held.len() < before;
        let left = Some(held.clone()).filter(|held| !held.is_empty()).map(Arc::new);
        if left.is_none() {
            restrained.remove(user);
        }
        if found {
            self.sessions_of(user).iter().for_each(|listed| listed.restrained.store(left.clone()));
            self.changes.fetch_add(1, Ordering::SeqCst);
        }
        found
    }

    /// From here on somebody takes what was released.
    pub fn share(&self) {
        self.shares.store(true, Ordering::SeqCst);
    }

    /// What operators have taken back since this was asked.
    #[must_use]
    pub fn take_released(&self) -> Vec<Restrained> {
        std::mem::take(&mut *self.released.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How often what is held has changed.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
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
            let order = one.whom.cmp(&other.whom);
            order
                .then_with(|| one.restraint.name().cmp(other.restraint.name()))
                .then(one.lock.cmp(&other.lock))
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

fn make_room(restrained: &mut HashMap<Arc<str>, Vec<Restrained>>, user: &Arc<str>) {
    let weight = |one: &&Restrained| (one.whom.end_user.is_none(), one.until_ms);
    let own = restrained.get(user).map(Vec::as_slice).unwrap_or_default();
    let first = if own.len() >= OF_USER_MAX {
        own.iter().min_by_key(weight).cloned()
    } else if restrained.values().map(Vec::len).sum::<usize>() >= RESTRAINED_MAX {
        restrained.values().flatten().min_by_key(weight).cloned()
    } else {
        None
    };
    let Some(first) = first else { return };
    if let Some(held) = restrained.get_mut(&first.whom.user) {
        held.retain(|one| *one != first);
        if held.is_empty() {
            restrained.remove(&first.whom.user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(session: u64, user: &str) -> Arc<Who> {
        Arc::new(Who { session, user: user.into(), ..Who::sealgate() })
    }

    fn ada() -> Whom {
        Whom::user(&"ada".into())
    }

    #[test]
    fn a_lock_ends_the_sessions_of_its_user_now_and_those_that_come_until_it_is_over() {
        let roster = Arc::new(Roster::default());
        let (first, bob) = (
            roster.enroll(who(1, "ada"), Arc::default(), 0),
            roster.enroll(who(2, "bob"), Arc::default(), 0),
        );
        roster.restrain(&ada(), Restraint::Lock, 100, "i".into());
        assert_eq!((first.order(), bob.order()), (Some(Order::Cut), None));
        assert_eq!(
            roster.enroll(who(3, "ada"), Arc::default(), 99).order(),
            Some(Order::Cut),
            "one that was on its way"
        );
        assert!(roster.is_locked("ada", 99) && !roster.is_locked("bob", 99));
        roster.restrain(&ada(), Restraint::Lock, 50, "j".into());
        assert!(roster.is_locked("ada", 99), "a shorter one takes nothing back");
        assert!(!roster.is_locked("ada", 100) && roster.held(100).is_empty());
        roster.restrain(&ada(), Restraint::Lock, 300, "k".into());
        assert!(
            roster.release("ada", None, 200)
                && !roster.release("ada", None, 200)
                && !roster.is_locked("ada", 200)
        );
        assert!(roster.end(2, Order::Leave) && !roster.end(9, Order::Leave));
        assert_eq!(bob.order(), Some(Order::Leave));
        drop((first, bob));
        assert!(roster.open().is_empty());
    }

    #[test]
    fn locks_are_bounded_and_the_one_that_ends_first_makes_room() {
        let roster = Roster::default();
        for number in 0..RESTRAINED_MAX as u64 + 1 {
            roster.restrain(
                &Whom::user(&format!("u{number}").into()),
                Restraint::Lock,
                1_000 + number,
                "i".into(),
            );
        }
        assert_eq!(roster.held(0).len(), RESTRAINED_MAX);
        assert!(!roster.is_locked("u0", 0) && roster.is_locked("u1", 0));
    }

    /// Whichever comes last, each session knows all that is held.
    #[test]
    fn what_is_held_and_taken_back_at_one_moment_is_for_each_session_what_it_is_for_the_user() {
        let roster = Arc::new(Roster::default());
        let session = roster.enroll(who(1, "ada"), Arc::default(), 0);
        for round in 0..300 {
            std::thread::scope(|threads| {
                for restraint in [Restraint::Refuse, Restraint::Purpose, Restraint::Throttle { delay_ms: 9 }]
                {
                    let roster = &roster;
                    threads.spawn(move || roster.restrain(&ada(), restraint, 100, "i".into()));
                }
                if round % 2 == 0 {
                    threads.spawn(|| roster.release("ada", None, 0));
                }
            });
            let held = roster.held(0).iter().fold(Terms::default(), |terms, one| terms.with(one.restraint));
            assert_eq!(session.terms(&who(1, "ada"), || 0), held, "round {round}");
            roster.release("ada", None, 0);
        }
    }

    #[test]
    fn of_a_login_one_end_user_is_released_alone_and_made_up_names_make_room_first() {
        let roster = Arc::new(Roster::default());
        let of = |name: &str| {
            let who = Who { end_user: Some(name.into()), ..Who::clone(&who(1, "ada")) };
            (Whom::end_user(&who), who)
        };
        let (bob, eve) = (of("bob"), of("eve"));
        let session = roster.enroll(who(1, "ada"), Arc::default(), 0);
        for (whom, _) in [&bob, &eve] {
            roster.restrain(whom, Restraint::Lock, 100, "i".into());
        }
        assert!(session.order().is_none() && !roster.is_locked("ada", 0), "the login works on");
        let refuses = |who: &Who| session.terms(who, || 0).refuse;
        assert_eq!((refuses(&bob.1), refuses(&eve.1), refuses(&who(1, "ada"))), (true, true, false));
        assert!(roster.release("ada", Some("bob"), 0) && !roster.release("ada", Some("bob"), 0));
        assert_eq!((refuses(&bob.1), refuses(&eve.1)), (false, true));
        roster.restrain(&ada(), Restraint::Refuse, 50, "i".into());
        for number in 0..OF_USER_MAX * 2 {
            roster.restrain(&of(&format!("e{number}")).0, Restraint::Refuse, 1_000, "i".into());
        }
        assert_eq!(roster.held(0).len(), OF_USER_MAX);
        assert!(refuses(&who(1, "ada")), "what is held against the login stays");
        assert!(roster.release("ada", None, 0) && roster.held(0).is_empty());
    }
}
