//! What names will mean once the server has answered, found by name: a client may pipeline
//! tens of thousands of requests, and each looks up a name.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

/// One change of a name that rides on a request without an answer.
struct Expected<T> {
    /// Number of the request.
    request: u64,
    /// None: nothing classified, or closed.
    prepared: Option<Rc<T>>,
}

/// The changes of one kind of names, by name, in the order of their requests.
pub struct Pending<T>(HashMap<Box<[u8]>, VecDeque<Expected<T>>>);

impl<T> Default for Pending<T> {
    fn default() -> Pending<T> {
        Pending(HashMap::new())
    }
}

impl<T> Pending<T> {
    pub fn note(&mut self, name: &[u8], request: u64, prepared: Option<Rc<T>>) {
        let expected = Expected { request, prepared };
        match self.0.get_mut(name) {
            Some(changes) => changes.push_back(expected),
            None => drop(self.0.insert(name.into(), VecDeque::from([expected]))),
        }
    }

    /// The oldest request that changes this name has its answer.
    pub fn settle(&mut self, name: &[u8]) {
        if let Some(changes) = self.0.get_mut(name) {
            changes.pop_front();
            if changes.is_empty() {
                self.0.remove(name);
            }
        }
    }

    /// The request that changes this name last, and what it means from then on.
    pub fn latest(&self, name: &[u8]) -> Option<(u64, Option<&Rc<T>>)> {
        let last = self.0.get(name)?.back()?;
        Some((last.request, last.prepared.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_change_counts_until_it_is_answered() {
        let mut pending = Pending::default();
        let prepared = || Some(Rc::new("a statement"));
        pending.note(b"s", 1, prepared());
        pending.note(b"s", 3, None);
        pending.note(b"t", 4, prepared());
        assert!(matches!(pending.latest(b"s"), Some((3, None))));
        pending.settle(b"s");
        assert!(matches!(pending.latest(b"s"), Some((3, None))));
        pending.settle(b"s");
        assert!(pending.latest(b"s").is_none() && pending.0.len() == 1);
        pending.settle(b"unknown");
        assert!(matches!(pending.latest(b"t"), Some((4, Some(_)))));
    }
}
