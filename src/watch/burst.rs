//! How often something happened in the last so many milliseconds. Of one thread, unlike [`super::window`].

/// Slots of a window.
const SLOTS: usize = 32;

/// So often within this time is too often.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// At least 1.
    pub count: u32,
    pub window_ms: u64,
}

impl Rate {
    /// In the words of rules.
    #[must_use]
    pub fn words(&self, what: &str) -> String {
        format!("{} {what} in {} s", self.count, self.window_ms.div_ceil(1_000))
    }
}

/// The count of one window, in slots that are taken anew as time goes on.
pub(super) struct Burst {
    slots: [u32; SLOTS],
    /// The slot of the latest time.
    latest: u64,
    /// Told, until the window has passed.
    quiet_until_ms: u64,
}

impl Burst {
    pub(super) fn new() -> Burst {
        Burst { slots: [0; SLOTS], latest: 0, quiet_until_ms: 0 }
    }

    /// Counts one; true where that is one too many, once a window.
    pub(super) fn add(&mut self, rate: Rate, times: u32, now_ms: u64) -> bool {
        let slot_ms = rate.window_ms.div_ceil(SLOTS as u64 - 1).max(1);
        // A clock that steps back counts for the latest time.
        let number = (now_ms / slot_ms).max(self.latest);
        let passed = (number - self.latest).min(SLOTS as u64);
        for step in 1..=passed {
            let index = usize::try_from((self.latest + step) % SLOTS as u64).unwrap_or(0);
            if let Some(slot) = self.slots.get_mut(index) {
                *slot = 0;
            }
        }
        if passed == SLOTS as u64 {
            self.slots = [0; SLOTS];
        }
        self.latest = number;
        if let Some(slot) = self.slots.get_mut(usize::try_from(number % SLOTS as u64).unwrap_or(0)) {
            *slot = slot.saturating_add(times);
        }
        let sum: u64 = self.slots.iter().map(|slot| u64::from(*slot)).sum();
        let over = sum >= u64::from(rate.count) && now_ms >= self.quiet_until_ms;
        if over {
            self.quiet_until_ms = now_ms.saturating_add(rate.window_ms);
        }
        over
    }

    /// Nothing it holds counts any more.
    pub(super) fn is_stale(&self, rate: Rate, now_ms: u64) -> bool {
        let slot_ms = rate.window_ms.div_ceil(SLOTS as u64 - 1).max(1);
        now_ms / slot_ms > self.latest + SLOTS as u64 && now_ms >= self.quiet_until_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_at_the_count_within_the_window_and_once_a_window() {
        let rate = Rate { count: 3, window_ms: 60_000 };
        let noon = 1_795_305_600_000;
        for (steps, expected) in [
            (&[0, 1, 2][..], "..!"),
            (&[0, 30_000, 59_000], "..!"),
            (&[0, 30_000, 63_000, 64_000], "...!"),
            (&[0, 1, 2, 59_000, 63_000, 64_000], "..!..!"),
            (&[0, 200_000, 400_000], "..."),
            // A clock that steps back forgets nothing.
            (&[50_000, 0, 1], "..!"),
        ] {
            let mut burst = Burst::new();
            let rung: String =
                steps.iter().map(|step| if burst.add(rate, 1, noon + step) { '!' } else { '.' }).collect();
            assert_eq!(rung, expected, "{steps:?}");
        }
        let mut burst = Burst::new();
        assert!(burst.add(rate, 200, noon), "what was not told one by one counts");
        assert!(!burst.is_stale(rate, noon + 60_000) && burst.is_stale(rate, noon + 200_000));
        assert!(std::mem::size_of::<Burst>() <= 256);
    }
}
