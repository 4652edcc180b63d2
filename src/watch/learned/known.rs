//! What a principal, or its peers, have done before: hashes of shapes, fields, networks and applications, and
//! filters of the data subjects that were met. No text and no id is kept.

use std::collections::BTreeMap;
use std::hash::{Hash as _, Hasher as _};

use rustc_hash::FxHasher;
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
    Region,
    /// Data subjects that were met first a short time ago and are looked at again and again.
    Repeat,
}

pub(super) const TRAITS: usize = 10;

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
            Trait::Region => "a new region",
            Trait::Repeat => "the same few data subjects",
        }
    }

    /// No more than this it says by itself.
    pub(super) const fn most(self) -> f64 {
        match self {
            Trait::Shape | Trait::Combination => 1.5,
            Trait::Return | Trait::Hour => 2.0,
            Trait::Network
            | Trait::Region
            | Trait::Application
            | Trait::Field
            | Trait::Action
            | Trait::Repeat => 3.0,
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
#[serde(from = "Saved", into = "Saved")]
pub(super) struct Known {
    /// In the order of their hashes: a table with room to spare would take twice as much.
    entries: Vec<(u32, Entry)>,
}

/// As the file has it.
#[derive(Serialize, Deserialize)]
struct Saved {
    entries: BTreeMap<u32, Entry>,
}

impl From<Saved> for Known {
    fn from(saved: Saved) -> Known {
        Known { entries: saved.entries.into_iter().collect() }
    }
}

impl From<Known> for Saved {
    fn from(known: Known) -> Saved {
        Saved { entries: known.entries.into_iter().collect() }
    }
}

impl Known {
    fn place(&self, hash: u32) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&hash, |(known, _)| *known)
    }

    pub(super) fn find(&self, hash: u32) -> Option<Entry> {
        self.entries.get(self.place(hash).ok()?).map(|(_, entry)| *entry)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What it takes, in bytes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<(u32, Entry)>()
    }

    /// It was met today. True where it had not been before.
    pub(super) fn meet(&mut self, hash: u32, is_step: bool, day: u32, most: usize) -> bool {
        let day = u16::try_from(day).unwrap_or(u16::MAX);
        if let Ok(at) = self.place(hash) {
            self.entries.get_mut(at).into_iter().for_each(|(_, entry)| entry.day = day);
            return false;
        }
        if self.entries.len() >= most
            && let Some((oldest, _)) = self.entries.iter().enumerate().min_by_key(|(_, (_, entry))| entry.day)
        {
            self.entries.remove(oldest);
        }
        if let Err(at) = self.place(hash) {
            self.entries.insert(at, (hash, Entry { day, is_step }));
        }
        true
    }

    pub(super) fn forget(&mut self, hash: u32) {
        if let Ok(at) = self.place(hash) {
            self.entries.remove(at);
        }
    }
}

/// How often something new comes: the share of active days with one, of what is new to the principal alone and of
/// what is new to its peers, too.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub(super) struct Freshness {
    days: f32,
    rates: [f32; 2 * TRAITS],
    /// Of the day that goes on.
    today: [bool; 2 * TRAITS],
}

/// Own days that say as much as what the peers' say.
const PEERS_DAYS: f64 = 10.0;
/// Days that are remembered of one, and of all peers together.
const OWN_DAYS: f32 = 30.0;
const SHARED_DAYS: f32 = 1_000.0;

impl Freshness {
    const fn place(which: Trait, of_peers: bool) -> usize {
        2 * which.index() + of_peers as usize
    }

    pub(super) fn note(&mut self, which: Trait, of_peers: bool) {
        if let Some(today) = self.today.get_mut(Freshness::place(which, of_peers)) {
            *today = true;
        }
    }

    /// An active day is over: it is one of the peers' days, too.
    pub(super) fn end_day(&mut self, peers: Option<&mut Freshness>) {
        if let Some(peers) = peers {
            peers.days = (peers.days + 1.0).min(SHARED_DAYS);
            for (rate, today) in peers.rates.iter_mut().zip(&self.today) {
                *rate += (f32::from(u8::from(*today)) - *rate) / peers.days;
            }
        }
        self.days = (self.days + 1.0).min(OWN_DAYS);
        for (rate, today) in self.rates.iter_mut().zip(&mut self.today) {
            *rate += (f32::from(u8::from(*today)) - *rate) / self.days;
            *today = false;
        }
    }

    fn count(&self, which: Trait, of_peers: bool) -> (f64, f64) {
        let rate = self.rates.get(Freshness::place(which, of_peers)).copied().unwrap_or(1.0);
        (f64::from(rate) * f64::from(self.days), f64::from(self.days))
    }

    /// The share of this one's days with something of it, drawn to its peers', and how much that says: 0 to 1.
    fn expected(&self, which: Trait, of_peers: bool, peers: &Freshness) -> (f64, f64) {
        let ((own, days), (theirs, their_days)) = (self.count(which, of_peers), peers.count(which, of_peers));
        // Nothing is new to whoever is new.
        let usual = (theirs + 1.0) / (their_days + 1.0);
        let expected = (own + PEERS_DAYS * usual) / (days + PEERS_DAYS);
        let unknown = 0.5 / (days + 0.5);
        (expected.max(unknown / PEERS_DAYS).min(1.0), days / (days + 3.0))
    }

    /// How unusual it is that something new comes, as a negative decimal logarithm: by how often it came to this
    /// one, drawn to how often it comes to its peers.
    pub(super) fn surprise(&self, which: Trait, of_peers: bool, peers: &Freshness) -> f64 {
        let (expected, certain) = self.expected(which, of_peers, peers);
        -expected.log10() * certain
    }

    /// How unusual it is that it comes so often on one day, as if each came by itself (Poisson); and the share of
    /// days with any.
    pub(super) fn surprise_of(&self, which: Trait, times: u32, peers: &Freshness) -> (f64, f64) {
        let (expected, certain) = self.expected(which, false, peers);
        let mean = -(1.0 - expected.min(0.99)).ln();
        let (mut term, mut below) = ((-mean).exp(), 0.0);
        for number in 0..times {
            below += term;
            term *= mean / f64::from(number + 1);
        }
        (-(1.0 - below).max(1e-9).log10() * certain, expected)
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

/// Subjects that were met first a short time ago, the newest ones, and when they were met last.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub(super) struct Recent {
    /// 32 bits of each subject, and the minutes in which it was met first and last.
    keys: Vec<u32>,
    minutes: Vec<(u32, u32)>,
    /// How often each was looked at again.
    again: Vec<u8>,
    next: u16,
}

impl Recent {
    const MOST: usize = 256;

    pub(super) fn fits(&self) -> bool {
        self.keys.len() <= Recent::MOST
            && self.keys.len() == self.minutes.len()
            && self.keys.len() == self.again.len()
            && usize::from(self.next) < Recent::MOST
    }

    /// What it takes.
    #[cfg(test)]
    pub(super) const BYTES: usize = 13 * Recent::MOST;
    /// Sooner than this it is the same look.
    const APART_MINUTES: u32 = 30;
    /// Who was met first longer ago is an acquaintance.
    const SHORT_MINUTES: u32 = 3 * 24 * 60;

    fn key(subject: u64) -> u32 {
        u32::try_from(subject & 0xFFFF_FFFF).unwrap_or(0)
    }

    pub(super) fn add(&mut self, subject: u64, now_ms: u64) {
        let minute = u32::try_from(now_ms / 60_000).unwrap_or(u32::MAX);
        let at = usize::from(self.next);
        if let (Some(key), Some(minutes), Some(again)) =
            (self.keys.get_mut(at), self.minutes.get_mut(at), self.again.get_mut(at))
        {
            (*key, *minutes, *again) = (Recent::key(subject), (minute, minute), 0);
        } else {
            self.keys.push(Recent::key(subject));
            self.minutes.push((minute, minute));
            self.again.push(0);
        }
        self.next = if usize::from(self.next) + 1 >= Recent::MOST { 0 } else { self.next + 1 };
    }

    /// For the how manieth time it is looked at again, where it is one of them that was met last a while ago.
    pub(super) fn returns(&mut self, subject: u64, now_ms: u64) -> Option<u8> {
        let (key, minute) = (Recent::key(subject), u32::try_from(now_ms / 60_000).unwrap_or(u32::MAX));
        let at = self.keys.iter().position(|held| *held == key)?;
        let (first, last) = self.minutes.get_mut(at)?;
        let is_recent = minute.saturating_sub(*first) <= Recent::SHORT_MINUTES;
        let is_apart = minute.saturating_sub(*last) >= Recent::APART_MINUTES;
        *last = minute;
        let again = self.again.get_mut(at).filter(|_| is_recent && is_apart)?;
        *again = again.saturating_add(1);
        Some(*again)
    }
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
        let mut peers = Freshness::default();
        let of = |one: &Freshness, peers: &Freshness| one.surprise(Trait::Field, false, peers);
        assert!(of(&rare, &peers) < 0.01, "nothing is new to whoever is new");
        for _ in 0..20 {
            frequent.note(Trait::Field, false);
            rare.end_day(Some(&mut peers));
            frequent.end_day(None);
        }
        assert!(of(&rare, &peers) > 1.5 && of(&frequent, &peers) < 0.3);
    }

    #[test]
    fn what_comes_now_and_then_surprises_by_coming_often_on_one_day() {
        let (mut own, mut peers) = (Freshness::default(), Freshness::default());
        for day in 0..20 {
            if day % 4 == 0 {
                own.note(Trait::Repeat, false);
            }
            own.end_day(Some(&mut peers));
        }
        let of = |times| own.surprise_of(Trait::Repeat, times, &peers).0;
        assert!(of(1) < 0.7 && of(2) > of(1) && of(5) > 3.0, "{} {} {}", of(1), of(2), of(5));
    }

    #[test]
    fn a_look_again_counts_after_half_an_hour_and_for_three_days() {
        let mut recent = Recent::default();
        let (noon, minute, day) = (1_795_305_600_000, 60_000, 1_440);
        recent.add(7, noon);
        let looks = [(5, None), (36, Some(1)), (40, None), (2 * day, Some(2)), (4 * day, None)];
        for (minutes, expected) in looks {
            assert_eq!(recent.returns(7, noon + minutes * minute), expected, "{minutes}");
        }
        assert_eq!(recent.returns(8, noon + 60 * minute), None, "who was never met first");
        (100..1_100).for_each(|subject| recent.add(subject, noon));
        assert!(recent.keys.len() == Recent::MOST && recent.returns(7, noon + 60 * minute).is_none());
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
