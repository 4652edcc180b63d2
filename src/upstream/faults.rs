//! What is wrong with each host, whoever found it: logged when it is found, and not again
//! until it changes.

use std::sync::{Mutex, PoisonError};

use super::dial::Route;

/// What was found last of one host.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Finding {
    Nothing,
    Well,
    /// At one of its addresses; another one may be well.
    Fault {
        address: String,
        cause: String,
    },
}

/// The findings about all hosts, by their place in the configuration.
pub struct Faults(Mutex<Vec<Finding>>);

impl Faults {
    #[must_use]
    pub fn new(count: usize) -> Faults {
        Faults(Mutex::new(vec![Finding::Nothing; count]))
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

    /// Was the last thing found that there is nothing wrong?
    #[must_use]
    pub fn is_well(&self, index: usize) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(index) == Some(&Finding::Well)
    }

    /// Is this news for the log?
    fn note(&self, index: usize, at: &str, fault: Option<&str>) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = all.get_mut(index) else { return false };
        let news = match (&*entry, fault) {
            (Finding::Fault { cause, .. }, Some(found)) => cause != found,
            (Finding::Fault { address, .. }, None) if address != at => return false,
            (Finding::Fault { .. }, None) => true,
            (Finding::Nothing | Finding::Well, found) => found.is_some(),
        };
        *entry = match fault {
            Some(cause) => Finding::Fault { address: at.to_owned(), cause: cause.to_owned() },
            None => Finding::Well,
        };
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_news_once_until_it_changes() {
        let faults = Faults::new(2);
        assert!(!faults.note(0, "a", None) && faults.is_well(0) && !faults.is_well(1));
        assert!(faults.note(0, "a", Some("expired")));
        assert!(!faults.note(0, "a", Some("expired")) && !faults.is_well(0));
        assert!(faults.note(0, "a", Some("unknown")));
        // Another address of the same host is well, and was never otherwise.
        assert!(!faults.note(0, "b", None) && !faults.note(0, "a", Some("unknown")));
        assert!(faults.note(1, "c", Some("unknown")));
        assert!(faults.note(0, "a", None) && !faults.note(0, "a", None));
        assert!(!faults.note(2, "d", Some("unknown")));
    }
}
