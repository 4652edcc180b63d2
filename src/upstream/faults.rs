//! What is wrong with each host, whoever found it: logged when it is found, and not again
//! until it changes.

use std::sync::{Mutex, PoisonError};

use super::dial::Route;

/// Addresses of one host whose faults are remembered; a name may lead to others every minute.
const ADDRESSES_MAX: usize = 16;

/// What was found last of one host.
#[derive(Clone, Default)]
struct Finding {
    /// Address and cause, the oldest first; its other addresses may be well.
    faults: Vec<(String, String)>,
}

/// The findings about all hosts, by their place in the configuration.
pub struct Faults(Mutex<Vec<Finding>>);

impl Faults {
    #[must_use]
    pub fn new(count: usize) -> Faults {
        Faults(Mutex::new(vec![Finding::default(); count]))
    }

    /// Notes a fault, whose text holds nothing of a client, and what comes of it.
    pub fn found(&self, route: &Route, cause: &str, consequence: &'static str) {
        let address = route.to_string();
        if self.note(route.index, &address, Some(cause)) {
            tracing::warn!(host = %route.host, address, cause, "{consequence}");
        }
    }

    /// Notes that an address is as it should be.
    pub fn none(&self, route: &Route) {
        let address = route.to_string();
        if self.note(route.index, &address, None) {
            tracing::info!(host = %route.host, address, "what was wrong is over");
        }
    }

    /// Is this news for the log?
    fn note(&self, index: usize, at: &str, fault: Option<&str>) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(host) = all.get_mut(index) else { return false };
        let known = host.faults.iter_mut().find(|(address, _)| address == at);
        let Some(found) = fault else {
            let was_wrong = known.is_some();
            host.faults.retain(|(address, _)| address != at);
            return was_wrong;
        };
        match known {
            Some((_, cause)) if cause == found => false,
            Some((_, cause)) => {
                found.clone_into(cause);
                true
            }
            None => {
                if host.faults.len() >= ADDRESSES_MAX {
                    host.faults.remove(0);
                }
                host.faults.push((at.to_owned(), found.to_owned()));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_news_once_until_it_changes() {
        let faults = Faults::new(2);
        assert!(!faults.note(0, "a", None));
        assert!(faults.note(0, "a", Some("expired")));
        assert!(!faults.note(0, "a", Some("expired")));
        assert!(faults.note(0, "a", Some("unknown")));
        // Another address of the same host is well, and was never otherwise.
        assert!(!faults.note(0, "b", None) && !faults.note(0, "a", Some("unknown")));
        assert!(faults.note(1, "c", Some("unknown")));
        assert!(faults.note(0, "a", None) && !faults.note(0, "a", None));
        assert!(!faults.note(2, "d", Some("unknown")));
    }

    #[test]
    fn each_address_of_a_host_has_its_own_fault() {
        let faults = Faults::new(1);
        assert!(faults.note(0, "a", Some("expired")) && faults.note(0, "b", Some("unknown")));
        for _ in 0..3 {
            assert!(!faults.note(0, "a", Some("expired")) && !faults.note(0, "b", Some("unknown")));
        }
        assert!(faults.note(0, "a", None));
        assert!(!faults.note(0, "b", Some("unknown")), "the other one is still wrong");
        assert!(faults.note(0, "b", None));
        for number in 0..1_000 {
            assert!(faults.note(0, &number.to_string(), Some("expired")));
        }
        assert_eq!(faults.0.lock().unwrap()[0].faults.len(), ADDRESSES_MAX);
    }
}
