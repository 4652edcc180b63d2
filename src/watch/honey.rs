//! `[[watch.honey]]`: values that nobody has a reason to open, told by their sealed form, so that what they
//! are stands in no configuration.

use std::collections::HashMap;

use super::limit::LimitAction;
use super::restraint::Restraint;
use super::whom::By;

/// What is done where one is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trap {
    pub action: LimitAction,
    pub by: By,
}

impl Trap {
    /// Of two, the one that holds up more; of two that hold as much, the one that lasts longer.
    #[must_use]
    pub fn or(self, other: Trap) -> Trap {
        if other.weight() > self.weight() { other } else { self }
    }

    fn weight(self) -> (u8, bool, u64) {
        let (kind, ms) = match self.action {
            LimitAction::Alert => (0, 0),
            LimitAction::Restrain { restraint: Restraint::Throttle { .. }, ms } => (1, ms),
            LimitAction::Restrain { restraint: Restraint::Purpose, ms } => (2, ms),
            LimitAction::Restrain { restraint: Restraint::Refuse, ms } => (3, ms),
            LimitAction::Cut => (4, 0),
            LimitAction::Restrain { restraint: Restraint::Lock, ms } => (5, ms),
        };
        (kind, self.by == By::User, ms)
    }
}

/// Sealed values, and what is done about each.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Honey {
    values: HashMap<Box<[u8]>, Trap>,
}

impl Honey {
    /// Values that are told apart.
    pub const VALUES_MAX: usize = 10_000;

    /// Adds one. False where there is no room.
    #[must_use]
    pub fn add(&mut self, sealed: &[u8], trap: Trap) -> bool {
        if self.values.len() >= Self::VALUES_MAX {
            return false;
        }
        let known = self.values.entry(sealed.into()).or_insert(trap);
        *known = known.or(trap);
        true
    }

    /// Is it one of them? What is done about it.
    #[must_use]
    pub fn find(&self, sealed: &[u8]) -> Option<Trap> {
        self.values.get(sealed).copied()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_two_entries_name_has_the_harder_of_them() {
        let held = |restraint, ms| Trap { action: LimitAction::Restrain { restraint, ms }, by: By::User };
        let in_order = [
            Trap { action: LimitAction::Alert, by: By::User },
            held(Restraint::Throttle { delay_ms: 1 }, 9),
            held(Restraint::Purpose, 5),
            Trap { by: By::EndUser, ..held(Restraint::Refuse, 99) },
            held(Restraint::Refuse, 1),
            held(Restraint::Refuse, 2),
            Trap { action: LimitAction::Cut, by: By::User },
            held(Restraint::Lock, 1),
        ];
        for pair in in_order.windows(2) {
            for (first, second) in [(pair[0], pair[1]), (pair[1], pair[0])] {
                let mut honey = Honey::default();
                assert!(honey.add(b"x", first) && honey.add(b"x", second));
                assert_eq!(honey.find(b"x"), Some(pair[1]));
            }
        }
    }
}
