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

/// The changes of one name, in the order of their requests: most often one, which takes no room of its own.
enum Changes<T> {
    One(Expected<T>),
    Several(VecDeque<Expected<T>>),
}

/// The changes of one kind of names, by name.
pub struct Pending<T>(HashMap<Box<[u8]>, Changes<T>>);

impl<T> Default for Pending<T> {
    fn default() -> Pending<T> {
        Pending(HashMap::new())
    }
}

impl<T> Pending<T> {
    pub fn note(&mut self, name: &[u8], request: u64, prepared: Option<Rc<T>>) {
        let expected = Expected { request, prepared };
        let Some(changes) = self.0.get_mut(name) else {
            self.0.insert(name.into(), Changes::One(expected));
            return;
        };
        match changes {
            Changes::Several(several) => several.push_back(expected),
            Changes::One(_) => {
                let several = Changes::Several(VecDeque::with_capacity(2));
                let before = std::mem::replace(changes, several);
                if let (Changes::Several(several), Changes::One(one)) = (changes, before) {
                    several.extend([one, expected]);
                }
            }
        }
    }

    /// The oldest request that changes this name has its answer.
    pub fn settle(&mut self, name: &[u8]) {
        let is_over = match self.0.get_mut(name) {
            Some(Changes::One(_)) => true,
            Some(Changes::Several(several)) => {
                several.pop_front();
                several.is_empty()
            }
            None => false,
        };
        if is_over {
            self.0.remove(name);
        }
    }

    /// The request that changes this name last, and what it means from then on.
    pub fn latest(&self, name: &[u8]) -> Option<(u64, Option<&Rc<T>>)> {
        let last = match self.0.get(name)? {
            Changes::One(one) => one,
            Changes::Several(several) => several.back()?,
        };
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
