//! What is known of each host: does it take writes, is it a standby, is it down? It decides
//! the order in which hosts are tried, and nothing else; what is old is forgotten.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a finding holds.
const HOLDS: Duration = Duration::from_secs(5);

/// One finding about one host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Standing {
    Writable,
    Unknown,
    Down,
    Standby,
}

/// The findings about all hosts, by their place in the configuration.
pub struct Standings(Mutex<Vec<(Standing, Instant)>>);

impl Standings {
    #[must_use]
    pub fn new(count: usize) -> Standings {
        Standings(Mutex::new(vec![(Standing::Unknown, Instant::now()); count]))
    }

    /// Notes what was found.
    pub fn set(&self, index: usize, standing: Standing, now: Instant) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = all.get_mut(index) {
            *entry = (standing, now);
        }
    }

    /// What still holds of one host.
    #[must_use]
    pub fn of(&self, index: usize, now: Instant) -> Standing {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(index).map_or(Standing::Unknown, |entry| holding(*entry, now))
    }

    /// All hosts: those known to take writes first, standbys last, otherwise as configured.
    #[must_use]
    pub fn order(&self, now: Instant) -> Vec<usize> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_by_key(|index| all.get(*index).map_or(Standing::Unknown, |entry| holding(*entry, now)));
        order
    }
}

fn holding((standing, since): (Standing, Instant), now: Instant) -> Standing {
    if now.saturating_duration_since(since) <= HOLDS { standing } else { Standing::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writable_hosts_come_first_and_findings_are_forgotten() {
        let standings = Standings::new(4);
        let now = Instant::now();
        assert_eq!(standings.order(now), [0, 1, 2, 3]);
        standings.set(0, Standing::Standby, now);
        standings.set(1, Standing::Down, now);
        standings.set(3, Standing::Writable, now);
        assert_eq!(standings.order(now), [3, 2, 1, 0]);
        assert_eq!(standings.of(0, now), Standing::Standby);
        assert_eq!(standings.order(now + HOLDS * 2), [0, 1, 2, 3]);
        standings.set(9, Standing::Down, now);
    }
}
