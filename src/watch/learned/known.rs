//! What a principal, or its peers, have done before: hashes of shapes, fields, networks and applications, and
//! filters of the data subjects that were met. No text and no id is kept.

use std::hash::{Hash as _, Hasher as _};

use rustc_hash::{FxHashMap, FxHasher};
use serde::{Deserialize, Serialize};

/// What can be new.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trait {
    Shape,
    Field,
    Combination,
    Network,
    Application,
    Action,
    Hour,
    Return,
}

pub(super) const TRAITS: usize = 8;

impl Trait {
    pub(super) const fn index(self) -> usize {
        self as usize
    }

    pub(super) const fn words(self) -> &'static str {
        match self {
            Trait::Shape => "a statement of a new form",
            Trait::Field => "a field not met before",
            Trait::Combination => "fields not met together before",
            Trait::Network => "a new network",
            Trait::Application => "a new application or database",
            Trait::Action => "something of a kind not done before",
            Trait::Hour => "an unusual hour",
            Trait::Return => "back after a long time",
        }
    }

    /// No more than this it says by itself.
    pub(super) const fn most(self) -> f64 {
        match self {
            Trait::Shape | Trait::Combination => 1.0,
            Trait::Network | Trait::Application | Trait::Return => 1.5,
            Trait::Field | Trait::Action | Trait::Hour => 2.0,
        }
    }
}

/// 32 bits of a thing's hash; what is kept differs by its trait.
pub(super) fn hashed(which: Trait, text: &str) -> u32 {
    let mut hasher = FxHasher::default();
    (which.index(), text).hash(&mut hasher);
    let hash = hasher.finish();
    u32::try_from((hash >> 32) ^ (hash & 0xFFFF_FFFF)).unwrap_or(0)
}

/// A known thing.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    /// When it was last met, in days.
    day: u16,
    /// Of a shape: it walks by OFFSET or a cursor.
    pub(super) is_step: bool,
}

/// Bounded; what has not been met for longest makes room.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub(super) struct Known {
    entries: FxHashMap<u32, Entry>,
}

impl Known {
    pub(super) fn find(&self, hash: u32) -> Option<Entry> {
        self.entries.get(&hash).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// It was met today. True where it had not been before.
    pub(super) fn meet(&mut self, hash: u32, is_step: bool, day: u32, most: usize) -> bool {
        let day = u16::try_from(day).unwrap_or(u16::MAX);
        if let Some(entry) = self.entries.get_mut(&hash) {
            entry.day = day;
            return false;
        }
        if self.entries.len() >= most
            && let Some(oldest) =
                self.entries.iter().min_by_key(|(_, entry)| entry.day).map(|(hash, _)| *hash)
        {
            self.entries.remove(&oldest);
        }
        self.entries.insert(hash, Entry { day, is_step });
        true
    }

    pub(super) fn forget(&mut self, hash: u32) {
        self.entries.remove(&hash);
    }
}

/// How often something new comes: the share of active days with one.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub(super) struct Freshness {
    days: f32,
    rates: [f32; TRAITS],
    /// Of the day that goes on.
    today: [bool; TRAITS],
}

impl Freshness {
    pub(super) fn note(&mut self, which: Trait) {
        if let Some(today) = self.today.get_mut(which.index()) {
            *today = true;
        }
    }

    /// An active day is over.
    pub(super) fn end_day(&mut self) {
        self.days = (self.days + 1.0).min(30.0);
        for (rate, today) in self.rates.iter_mut().zip(&mut self.today) {
            *rate += (f32::from(u8::from(*today)) - *rate) / self.days;
            *today = false;
        }
    }

    /// How unusual it is that something new comes, as a negative decimal logarithm.
    pub(super) fn surprise(&self, which: Trait) -> f64 {
        let rate = self.rates.get(which.index()).copied().unwrap_or(1.0);
        let days = f64::from(self.days);
        let expected = (f64::from(rate) * days + 0.5) / (days + 0.5);
        -expected.min(1.0).log10()
    }
}

/// Who has been met: two Bloom filters, of which the older one goes when the newer one is full.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Met {
    #[serde(with = "super::packed")]
    newer: Vec<u8>,
    #[serde(with = "super::packed")]
    older: Vec<u8>,
    inserted: u32,
}

const PROBES: u64 = 4;

impl Met {
    /// `bytes` of each filter: a power of two.
    pub(super) fn new(bytes: usize) -> Met {
        Met { newer: vec![0; bytes], older: vec![0; bytes], inserted: 0 }
    }

    pub(super) fn fits(&self, bytes: usize) -> bool {
        self.newer.len() == bytes && self.older.len() == bytes
    }

    /// True where the subject had been met.
    pub(super) fn meet(&mut self, subject: u64, learns: bool) -> bool {
        let bits = self.newer.len() as u64 * 8;
        let (first, step) = (subject, (subject >> 32) | 1);
        let place = |probe: u64| {
            let bit = first.wrapping_add(step.wrapping_mul(probe)) % bits;
            (usize::try_from(bit / 8).unwrap_or(0), 1_u8 << (bit % 8))
        };
        let holds = |filter: &[u8]| {
            (0..PROBES).map(place).all(|(byte, mask)| filter.get(byte).is_some_and(|held| held & mask != 0))
        };
        if holds(&self.newer) {
            return true;
        }
        let was_met = holds(&self.older);
        if learns {
            // Some 6 bits each.
            if u64::from(self.inserted) * 6 >= bits {
                std::mem::swap(&mut self.newer, &mut self.older);
                self.newer.fill(0);
                self.inserted = 0;
            }
            for (byte, mask) in (0..PROBES).map(place) {
                if let Some(held) = self.newer.get_mut(byte) {
                    *held |= mask;
                }
            }
            self.inserted += 1;
        }
        was_met
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_bounded_and_the_oldest_goes_first() {
        let mut known = Known::default();
        for n in 0..10 {
            assert!(known.meet(n, false, n, 8));
        }
        assert_eq!(known.len(), 8);
        assert!(known.find(0).is_none() && known.find(9).is_some());
        assert!(!known.meet(9, false, 11, 8));
    }

    #[test]
    fn a_new_thing_surprises_the_more_the_rarer_they_are() {
        let (mut rare, mut frequent) = (Freshness::default(), Freshness::default());
        assert!(rare.surprise(Trait::Field) < 0.01, "nothing is new to whoever is new");
        for _ in 0..20 {
            frequent.note(Trait::Field);
            rare.end_day();
            frequent.end_day();
        }
        assert!(rare.surprise(Trait::Field) > 1.5 && frequent.surprise(Trait::Field) < 0.1);
    }

    #[test]
    fn subjects_stay_met_while_one_filter_fills() {
        let mut met = Met::new(4_096);
        let bits = |n: u64| n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17);
        assert!(!met.meet(bits(0), false) && !met.meet(bits(0), true) && met.meet(bits(0), true));
        let strangers = (1..5_000).filter(|n| !met.meet(bits(*n), true)).count();
        assert!(strangers > 4_500, "{strangers}");
        assert!(met.meet(bits(0), true));
    }
}
