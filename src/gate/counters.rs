//! What one thread counts. Handles of metrics are looked up once a thread, not once an event.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use metrics::Counter;
use rustc_hash::FxBuildHasher;

use crate::pipeline::Event;

/// One counter. Every part is a fixed word or a field of the policy, so there are few.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Statements(&'static str, &'static str),
    Plans(bool),
    Cells(Arc<str>, &'static str),
    Refusals(&'static str),
    Alerts(&'static str, &'static str),
}

/// The counters of one thread.
#[derive(Default)]
pub struct Counters {
    known: RefCell<HashMap<Key, Counter, FxBuildHasher>>,
}

impl Counters {
    /// Counts one event.
    pub fn note(&self, event: Event) {
        let (key, count) = match event {
            Event::Statement { kind, verdict } => (Key::Statements(kind, verdict), 1),
            Event::Plan { kept } => (Key::Plans(kept), 1),
            Event::Cells { field, operation, count } => (Key::Cells(field, operation), count),
            Event::Refused { reason } => (Key::Refusals(reason), 1),
            Event::Alerted { detector, severity } => (Key::Alerts(detector, severity), 1),
        };
        let mut known = self.known.borrow_mut();
        let counter = match known.get(&key) {
            Some(counter) => counter,
            None => {
                let counter = register(&key);
                known.entry(key).or_insert(counter)
            }
        };
        counter.increment(count);
    }
}

fn register(key: &Key) -> Counter {
    match key {
        Key::Statements(kind, verdict) => {
            metrics::counter!("sealgate_statements_total", "kind" => *kind, "verdict" => *verdict)
        }
        Key::Plans(kept) => {
            metrics::counter!("sealgate_plan_cache_total", "result" => if *kept { "hit" } else { "miss" })
        }
        Key::Cells(field, operation) => {
            metrics::counter!("sealgate_cells_total", "field" => Arc::clone(field), "operation" => *operation)
        }
        Key::Refusals(reason) => metrics::counter!("sealgate_refusals_total", "reason" => *reason),
        Key::Alerts(detector, severity) => {
            metrics::counter!("sealgate_alerts_total", "detector" => *detector, "severity" => *severity)
        }
    }
}
