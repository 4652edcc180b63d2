//! Where long texts are judged: on threads of their own, a few at a time, and one at a time for
//! each user, so that whoever sends many of them waits for himself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Semaphore;

use crate::pipeline::{Errand, Finding};
use crate::seal::wipe_stack;

/// The seats of all threads together.
pub struct Judges {
    seats: Semaphore,
    /// Of the users who have a text here.
    users: Mutex<HashMap<Arc<str>, Weak<Semaphore>>>,
}

impl Judges {
    /// `seats`: texts that are judged at the same time.
    #[must_use]
    pub fn new(seats: usize) -> Judges {
        Judges { seats: Semaphore::new(seats.max(1)), users: Mutex::default() }
    }

    /// Judges a text for a user; none where that failed.
    pub async fn judge(&self, user: &Arc<str>, errand: Box<Errand>) -> Option<Finding> {
        let turn = self.turn(user);
        let _turn = turn.acquire().await.ok()?;
        let _seat = self.seats.acquire().await.ok()?;
        let judged = tokio::task::spawn_blocking(|| {
            let finding = errand.run();
            // The thread waits for the next text, with what this one has left.
            wipe_stack();
            finding
        });
        judged.await.ok()
    }

    /// Users without a text here are forgotten whenever another one comes.
    fn turn(&self, user: &Arc<str>) -> Arc<Semaphore> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = users.get(user).and_then(Weak::upgrade) {
            return turn;
        }
        users.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(Semaphore::new(1));
        users.insert(Arc::clone(user), Arc::downgrade(&turn));
        turn
    }
}
