//! What the sessions of one thread share, without a lock.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::task::Waker;

use super::Phase;
use super::counters::Counters;
use super::failures::Failures;
use super::lane::READ_BYTES;
use super::records::Records;
use crate::catalog::Snapshot;
use crate::pipeline::{View, Workshop};

/// See the module's text. Sessions borrow its parts for the length of one step.
pub struct Worker {
    pub shop: RefCell<Workshop>,
    pub scratch: RefCell<Vec<u8>>,
    /// Counts statements that touch nothing classified.
    pub untouched: metrics::Counter,
    pub counters: Counters,
    pub records: Records,
    pub failures: Failures,
    /// How far the gate has come on its way to the end.
    pub phase: Cell<Phase>,
    /// Grows with every reload that changes what is classified.
    pub generation: Cell<u64>,
    /// By which the sessions of this thread are woken to look at phase and generation.
    sessions: RefCell<HashMap<u64, Waker>>,
    views: RefCell<HashMap<Arc<str>, Arc<View>>>,
}

impl Worker {
    pub fn new(shop: Workshop, records: Records) -> Worker {
        Worker {
            shop: RefCell::new(shop),
            scratch: RefCell::new(vec![0; READ_BYTES]),
            untouched: metrics::counter!("sealgate_statements_total", "kind" => "untouched", "verdict" => "passed"),
            counters: Counters::default(),
            records,
            failures: Failures::default(),
            phase: Cell::new(Phase::Serving),
            generation: Cell::new(0),
            sessions: RefCell::default(),
            views: RefCell::new(HashMap::new()),
        }
    }

    /// Takes the tools of another configuration, by which walsenders are judged again.
    pub fn equip(&self, shop: Workshop) {
        self.shop.replace(shop);
        self.wake();
    }

    /// Another policy holds: no session of this thread takes up a request by the old one any
    /// more from here on.
    pub fn renew(&self) {
        self.generation.set(self.generation.get() + 1);
        self.wake();
    }

    /// The gate has come further on its way to the end.
    pub fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.wake();
    }

    /// Has a session woken at every change of phase and generation, until what this returns is
    /// dropped. Once for all its sleeps: to enlist for each would cost more than the sleep's
    /// own bookkeeping.
    pub fn enlist(&self, session: u64, waker: Waker) -> Enlisted<'_> {
        self.sessions.borrow_mut().insert(session, waker);
        Enlisted { worker: self, session }
    }

    fn wake(&self) {
        self.sessions.borrow().values().for_each(Waker::wake_by_ref);
    }

    /// The view of a snapshot, made once on this thread. One a database that has fields.
    pub fn view(&self, snapshot: Arc<Snapshot>) -> Arc<View> {
        let mut views = self.views.borrow_mut();
        match views.get(snapshot.database()) {
            Some(view) if view.epoch() == snapshot.epoch() => Arc::clone(view),
            Some(_) | None => {
                let view = Arc::new(View::new(Arc::clone(&snapshot)));
                views.insert(snapshot.database().clone(), Arc::clone(&view));
                view
            }
        }
    }
}

/// A session that is woken when phase or generation change.
pub struct Enlisted<'a> {
    worker: &'a Worker,
    session: u64,
}

impl Drop for Enlisted<'_> {
    fn drop(&mut self) {
        self.worker.sessions.borrow_mut().remove(&self.session);
    }
}
