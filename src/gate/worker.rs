//! What the sessions of one thread share, without a lock.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{Notify, Semaphore};

use super::counters::Counters;
use super::lane::READ_BYTES;
use super::records::Records;
use crate::catalog::Snapshot;
use crate::pipeline::{View, Workshop};

/// Sessions that have not proven who they are, on one thread.
pub const UNPROVEN_MAX: usize = 512;

/// See the module's text. Sessions borrow its parts for the length of one step.
pub struct Worker {
    pub shop: RefCell<Workshop>,
    pub scratch: RefCell<Vec<u8>>,
    /// Counts statements that touch nothing classified.
    pub untouched: metrics::Counter,
    pub counters: Counters,
    pub records: Records,
    pub unproven: Semaphore,
    /// The gate drains: set once, and told to the sessions that sleep.
    pub draining: Cell<bool>,
    pub drain: Notify,
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
            unproven: Semaphore::new(UNPROVEN_MAX),
            draining: Cell::new(false),
            drain: Notify::new(),
            views: RefCell::new(HashMap::new()),
        }
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
