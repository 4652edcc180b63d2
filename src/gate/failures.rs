//! How many failed starts are told one by one: whoever can connect can fail, and the record's disk
//! is everybody's. What is beyond is counted, and the count told with the next one.

use std::cell::Cell;

/// Told at once after a rest, and one more for each second. Of one thread.
const BURST: u64 = 100;

/// The failures of one thread.
pub struct Failures {
    /// 0 <= left <= BURST
    left: Cell<u64>,
    /// Up to when `left` was filled, in milliseconds.
    filled_ms: Cell<u64>,
    untold: Cell<u64>,
}

impl Default for Failures {
    fn default() -> Failures {
        Failures { left: Cell::new(BURST), filled_ms: Cell::new(0), untold: Cell::new(0) }
    }
}

impl Failures {
    /// May one more be told? If not, it is counted.
    pub fn may_be_told(&self, now_ms: u64) -> bool {
        let seconds = now_ms.saturating_sub(self.filled_ms.get()) / 1_000;
        self.filled_ms.set(self.filled_ms.get() + seconds * 1_000);
        let left = self.left.get().saturating_add(seconds).min(BURST);
        self.left.set(left.saturating_sub(1));
        if left == 0 {
            self.untold.set(self.untold.get().saturating_add(1));
        }
        left > 0
    }

    /// How many were not told since this was asked.
    pub fn take_untold(&self) -> u64 {
        self.untold.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_a_burst_then_one_a_second_and_counts_the_others() {
        let failures = Failures::default();
        let told = |now_ms: u64, times: u64| (0..times).filter(|_| failures.may_be_told(now_ms)).count();
        assert_eq!((told(0, 250), failures.take_untold()), (100, 150));
        assert_eq!((told(3_500, 10), failures.take_untold()), (3, 7));
        assert_eq!((told(3_999, 1), told(4_000, 2)), (0, 1));
        assert_eq!((failures.take_untold(), failures.take_untold()), (2, 0));
        assert_eq!(told(10_000_000, 1_000), 100);
    }
}
