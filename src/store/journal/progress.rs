//! How far the record is durable, as the journal's thread tells it to whoever signs it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::audit::Head;

/// Ends of segments that wait to be signed. A later head covers those that are forgotten.
const TURNS_MAX: usize = 64;

/// Shared by the journal's thread and the notary's.
#[derive(Default)]
pub(super) struct Progress {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    head: Head,
    turns: VecDeque<Head>,
    /// Has anything been written, and does nobody know yet?
    has_begun: Option<bool>,
    has_ended: bool,
}

/// What there is to sign.
pub(super) struct News {
    /// In their order; the last one is the head.
    pub(super) heads: Vec<Head>,
    pub(super) has_ended: bool,
}

impl Progress {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the record was when the journal was opened.
    pub(super) fn begins(&self, head: Head) {
        self.state().head = head;
    }

    /// All up to here is durable. `turn`: where a segment has ended since.
    pub(super) fn is_durable(&self, head: Head, turn: Option<Head>) {
        let mut state = self.state();
        state.head = head;
        let is_first = *state.has_begun.get_or_insert(true) && turn.is_none();
        if let Some(turn) = turn {
            if state.turns.len() == TURNS_MAX {
                state.turns.pop_front();
            }
            state.turns.push_back(turn);
        } else if !is_first {
            return;
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Nothing more comes.
    pub(super) fn end(&self) {
        self.state().has_ended = true;
        self.changed.notify_all();
    }

    /// Records that are durable and that nobody has signed.
    pub(super) fn since(&self, signed: u64) -> u64 {
        self.state().head.seq.saturating_sub(signed)
    }

    /// Waits for the end, for the first record, for the end of a segment, or for this long.
    pub(super) fn wait(&self, interval: Duration) -> News {
        let is_quiet =
            |state: &mut State| !state.has_ended && state.turns.is_empty() && state.has_begun != Some(true);
        let waited = self.changed.wait_timeout_while(self.state(), interval, is_quiet);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.has_begun = state.has_begun.map(|_| false);
        let mut heads: Vec<Head> = state.turns.drain(..).collect();
        heads.push(state.head);
        News { heads, has_ended: state.has_ended }
    }
}
