//! What waits to be told to other proxies.

use std::collections::{BTreeMap, HashMap};

use crate::share::Shelf;
use crate::watch::{Told, Whom};

/// Entries that wait, of each kind.
const PENDING_MAX: usize = 32_768;

/// What is to be told at one place.
pub(super) struct Item {
    pub(super) shelf: Shelf,
    pub(super) place: String,
    pub(super) whom: Whom,
    pub(super) told: Told,
}

/// In the order of their coming; of each place the latest.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) items: BTreeMap<u64, Item>,
    places: HashMap<String, u64>,
    next: u64,
}

impl Pending {
    /// False where there is no room.
    pub(super) fn put(&mut self, item: Item) -> bool {
        if let Some(before) = self.places.remove(&item.place) {
            self.items.remove(&before);
        } else if self.items.len() >= PENDING_MAX {
            return false;
        }
        self.places.insert(item.place.clone(), self.next);
        self.items.insert(self.next, item);
        self.next += 1;
        true
    }

    /// Unless something else has come in its place meanwhile.
    pub(super) fn remove(&mut self, place: &str, order: u64) {
        if self.places.get(place) == Some(&order) {
            self.places.remove(place);
            self.items.remove(&order);
        }
    }
}
