//! What the sessions of one thread share, without a lock.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Notify;

use super::Phase;
use super::counters::Counters;
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
    /// How far the gate has come on its way to the end.
    pub phase: Cell<Phase>,
    /// Grows with every reload that changes what is classified.
    pub generation: Cell<u64>,
    /// Wakes the sessions that sleep, to look at phase and generation.
    pub changed: Notify,
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
            phase: Cell::new(Phase::Serving),
            generation: Cell::new(0),
            changed: Notify::new(),
            views: RefCell::new(HashMap::new()),
        }
    }

    /// Takes the tools of another configuration.
    pub fn equip(&self, shop: Workshop) {
        self.shop.replace(shop);
    }

    /// Another policy holds: no session of this thread takes up a request by the old one any
    /// more from here on.
    pub fn renew(&self) {
        self.generation.set(self.generation.get() + 1);
        self.changed.notify_waiters();
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
