//! `[[watch.honey]]`: values that nobody has a reason to open, told by their sealed form, so that what they
//! are stands in no configuration.

use std::collections::HashMap;

/// Sealed values; true: whoever opens one is cut off.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Honey {
    values: HashMap<Box<[u8]>, bool>,
}

impl Honey {
    /// Values that are told apart.
    pub const VALUES_MAX: usize = 10_000;

    /// Adds one. False where there is no room.
    #[must_use]
    pub fn add(&mut self, sealed: &[u8], cuts: bool) -> bool {
        if self.values.len() >= Self::VALUES_MAX {
            return false;
        }
        let known = self.values.entry(sealed.into()).or_insert(cuts);
        *known |= cuts;
        true
    }

    /// Is it one of them? True: whoever opens it is cut off.
    #[must_use]
    pub fn find(&self, sealed: &[u8]) -> Option<bool> {
        self.values.get(sealed).copied()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}
