//! What one thread counts. Handles of metrics are looked up once a thread, not once an event.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use metrics::Counter;
use rustc_hash::FxBuildHasher;

use crate::pipeline::Event;

/// Databases that are told apart; a role that may make databases makes no more series.
const DATABASES_MAX: usize = 64;
/// Fields that are told apart, over all databases: patterns match what roles make.
const FIELDS_MAX: usize = 4_096;
/// What stands for all beyond.
const OTHER: &str = "other";

/// One counter. Every part is a fixed word, or a name that [`Names`] has let pass.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Statements(&'static str, &'static str),
    Plans(bool),
    Cells { database: Arc<str>, field: Arc<str>, operation: &'static str },
    Refusals(&'static str),
    Alerts(&'static str, &'static str),
}

/// Names that label series of this process: the first that came, up to a maximum.
struct Names {
    known: Mutex<BTreeSet<Arc<str>>>,
    count_max: usize,
}

static DATABASES: Names = Names::new(DATABASES_MAX);
static FIELDS: Names = Names::new(FIELDS_MAX);

impl Names {
    const fn new(count_max: usize) -> Names {
        Names { known: Mutex::new(BTreeSet::new()), count_max }
    }

    /// The name, or the one that stands for all others.
    fn label(&self, name: &Arc<str>) -> Arc<str> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(name) {
            if known.len() >= self.count_max {
                return Arc::from(OTHER);
            }
            known.insert(Arc::clone(name));
        }
        Arc::clone(name)
    }
}

/// The counters of one thread.
#[derive(Default)]
pub struct Counters {
    known: RefCell<HashMap<Key, Counter, FxBuildHasher>>,
}

impl Counters {
    /// Counts one event of a session in this database.
    pub fn note(&self, event: Event, database: &Arc<str>) {
        let (key, count) = match event {
            Event::Statement { kind, verdict } => (Key::Statements(kind, verdict), 1),
            Event::Plan { kept } => (Key::Plans(kept), 1),
            Event::Cells { field, operation, count } => {
                (Key::Cells { database: Arc::clone(database), field, operation }, count)
            }
            // For the watch.
            Event::Failed { .. } | Event::Suspicious { .. } | Event::Restrained { .. } => return,
            Event::Refused { reason } => (Key::Refusals(reason), 1),
            Event::Alerted { detector, severity } => (Key::Alerts(detector, severity), 1),
        };
        let mut known = self.known.borrow_mut();
        match known.get(&key) {
            Some(counter) => counter.increment(count),
            None => {
                let (counter, kept) = register(key);
                counter.increment(count);
                if let Some(key) = kept {
                    known.insert(key, counter);
                }
            }
        }
    }
}

/// The counter, and the key under which it is kept: not one of a name beyond the maximum.
fn register(key: Key) -> (Counter, Option<Key>) {
    let counter = match &key {
        Key::Statements(kind, verdict) => {
            metrics::counter!("sealgate_statements_total", "kind" => *kind, "verdict" => *verdict)
        }
        Key::Plans(kept) => {
            metrics::counter!("sealgate_plan_cache_total", "result" => if *kept { "hit" } else { "miss" })
        }
        Key::Cells { database, field, operation } => {
            let (of, named) = (DATABASES.label(database), FIELDS.label(field));
            let told_apart = of == *database && named == *field;
            let counter = metrics::counter!(
                "sealgate_cells_total", "database" => of, "field" => named, "operation" => *operation
            );
            return (counter, told_apart.then_some(key));
        }
        Key::Refusals(reason) => metrics::counter!("sealgate_refusals_total", "reason" => *reason),
        Key::Alerts(detector, severity) => {
            metrics::counter!("sealgate_alerts_total", "detector" => *detector, "severity" => *severity)
        }
    };
    (counter, Some(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_maximum_are_one_series() {
        let names = Names::new(2);
        let label = |name: &str| names.label(&Arc::from(name)).to_string();
        assert_eq!(["a", "b", "a", "c", "b", "d"].map(label), ["a", "b", "a", OTHER, "b", OTHER]);
        assert_eq!(names.known.lock().unwrap().len(), 2);
    }
}
