//! Tables that a session is changing by definitions that go through here: other sessions'
//! statements on them wait until the catalog has been read that has the change.
//!
//! Without a definition under way nobody takes a lock: one counter is looked at.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::pipeline::Barred;
use crate::store::catalog::Definer;

/// A session's: which of its fences it is, where it holds, and what it holds.
type Raised = (usize, Arc<str>, Barred);

/// See the module's text.
#[derive(Default)]
pub struct Fences {
    count: AtomicUsize,
    /// By the number of the session.
    raised: Mutex<HashMap<u64, Raised>>,
    number: AtomicUsize,
    changed: Notify,
}

impl Fences {
    /// Makes known what a session is about to change, in the place of what it said before. It ends when
    /// the guard is dropped.
    pub fn raise(self: &Arc<Self>, session: u64, database: &Arc<str>, barred: Barred) -> Fence {
        let mut raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        raised.insert(session, (number, Arc::clone(database), barred));
        self.count.store(raised.len(), Ordering::SeqCst);
        drop(raised);
        Fence { fences: Arc::clone(self), session, number, _definer: None }
    }

    /// What sessions other than this one are changing in a database. None: nothing.
    pub fn before(&self, session: u64, database: &str) -> Option<Arc<Barred>> {
        if self.count.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        let others = raised.iter().filter(|(by, (_, of, _))| **by != session && **of == *database);
        let mut all = Barred::default();
        for (_, (_, _, barred)) in others {
            all.tables.extend(barred.tables.iter().cloned());
            all.names.extend(barred.names.iter().cloned());
        }
        (all != Barred::default()).then(|| Arc::new(all))
    }

    /// Is anything being changed?
    pub fn are_up(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 0
    }

    /// Something has come to rest for which a session may wait that is about to change something.
    pub fn notify(&self) {
        self.changed.notify_waiters();
    }

    /// Waits until one has ended, or something has come to rest, if `still` says that there is something to wait for.
    pub async fn ended(&self, still: impl Fn() -> bool) {
        let changed = self.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        if still() {
            changed.await;
        }
    }
}

/// One session's.
pub struct Fence {
    fences: Arc<Fences>,
    session: u64,
    number: usize,
    _definer: Option<Definer>,
}

impl Fence {
    /// Keeps that as long.
    #[must_use]
    pub fn of(mut self, definer: Option<Definer>) -> Fence {
        self._definer = definer;
        self
    }
}

impl Drop for Fence {
    fn drop(&mut self) {
        let mut raised = self.fences.raised.lock().unwrap_or_else(PoisonError::into_inner);
        // Not one that has taken its place.
        if raised.get(&self.session).is_some_and(|(number, _, _)| *number == self.number) {
            raised.remove(&self.session);
        }
        self.fences.count.store(raised.len(), Ordering::SeqCst);
        drop(raised);
        self.fences.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_see_what_is_being_changed_until_it_ends() {
        let of = |table: &str| Barred { tables: [Arc::from(table)].into(), ..Barred::default() };
        let (fences, shop) = (Arc::new(Fences::default()), Arc::from("shop"));
        assert!(fences.before(2, "shop").is_none());
        let fence = fences.raise(1, &shop, of("customers"));
        assert!(fences.before(1, "shop").is_none() && fences.before(2, "other").is_none());
        assert!(fences.before(2, "shop").is_some_and(|tables| tables.tables.contains("customers")));
        let second = fences.raise(1, &shop, of("orders"));
        drop(fence);
        assert!(fences.before(2, "shop").is_some_and(|tables| tables.tables.contains("orders")));
        drop(second);
        assert!(fences.before(2, "shop").is_none());
    }
}
