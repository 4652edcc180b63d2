//! Numbers by which the lines of one segment name what a line before them told in full: who acts, what a
//! statement does, a long list of fields. A number is given once a segment, in turn, and its first line tells what
//! it stands for; so a segment needs no other to be read, and whoever reads has a bounded number to keep.

use std::collections::VecDeque;
use std::hash::Hash;

use rustc_hash::FxHashMap;
use sha2::{Digest as _, Sha256};

/// How many numbers of a kind are in use: a line names one of the last so many, or tells a new one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    pub numbers_max: u64,
    /// Of what one stands for, as it is written. What is longer has no number, and is told in each line.
    pub bytes_max: usize,
}

/// `who`
pub const WHO: Bounds = Bounds { numbers_max: 4096, bytes_max: 4 << 10 };
/// `plan`
pub const PLAN: Bounds = Bounds { numbers_max: 1024, bytes_max: 16 << 10 };
/// `list`
pub const LIST: Bounds = Bounds { numbers_max: 64, bytes_max: 256 << 10 };

/// The last number of each kind that is told in the segment; 0 where there is none.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Last {
    pub(super) who: u64,
    pub(super) plan: u64,
    pub(super) list: u64,
}

/// What is written in place of words.
pub(super) enum Named {
    /// They were told under this number.
    Known(u64),
    /// They get this number, and are told with it.
    New(u64),
    /// They are too long for one.
    Not,
}

/// Numbers of one kind. `K` is the place in memory of what is told, `T` keeps it there.
#[derive(Debug)]
pub(super) struct Numbers<K, T> {
    bounds: Bounds,
    last: u64,
    /// At most `bounds.numbers_max`, as the next.
    places: FxHashMap<K, (u64, T)>,
    /// By the sum of the words, whose numbers are all among the last `bounds.numbers_max`.
    words: FxHashMap<[u8; 32], u64>,
}

impl<K: Eq + Hash, T> Numbers<K, T> {
    pub(super) fn new(bounds: Bounds) -> Numbers<K, T> {
        Numbers { bounds, last: 0, places: FxHashMap::default(), words: FxHashMap::default() }
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// What was told is not there any more: of numbers, `last` is the last that is.
    pub(super) fn forget(&mut self, last: u64) {
        self.last = last;
        self.places.clear();
        self.words.clear();
    }

    /// The number of what is told from this place.
    pub(super) fn at(&self, place: &K) -> Option<u64> {
        self.places.get(place).map(|(number, _)| *number)
    }

    /// The number of these words, which are what is told from this place.
    pub(super) fn of(&mut self, place: K, keeps: T, words: &[u8]) -> Named {
        if words.len() > self.bounds.bytes_max {
            return Named::Not;
        }
        let most = usize::try_from(self.bounds.numbers_max).unwrap_or(usize::MAX);
        let sum: [u8; 32] = Sha256::digest(words).into();
        let known = self.words.get(&sum).copied();
        let number = known.unwrap_or_else(|| self.last.saturating_add(1));
        if known.is_none() {
            if self.words.len() >= most {
                self.forget(self.last);
            }
            self.last = number;
            self.words.insert(sum, number);
        }
        if self.places.len() >= most {
            self.places.clear();
        }
        self.places.insert(place, (number, keeps));
        known.map_or(Named::New(number), Named::Known)
    }
}

/// Words that are told in each line, put together once, by the place in memory of what they tell.
#[derive(Debug)]
pub(super) struct Spelled<K, T> {
    /// At most [`SPELLED_MAX`]; `T` keeps what is told in its place.
    kept: FxHashMap<K, (Box<[u8]>, T)>,
    /// Of their words; at most [`SPELLED_BYTES_MAX`].
    bytes: usize,
}

const SPELLED_MAX: usize = 4_096;
const SPELLED_BYTES_MAX: usize = 4 << 20;

impl<K: Eq + Hash, T> Spelled<K, T> {
    pub(super) fn new() -> Spelled<K, T> {
        Spelled { kept: FxHashMap::default(), bytes: 0 }
    }

    /// What is told from this place.
    pub(super) fn at(&self, place: &K) -> Option<&[u8]> {
        self.kept.get(place).map(|(words, _)| &**words)
    }

    /// These words are. Where there are too many, those that are used come again.
    pub(super) fn keep(&mut self, place: K, keeps: T, words: &[u8]) {
        if self.kept.len() >= SPELLED_MAX || self.bytes.saturating_add(words.len()) > SPELLED_BYTES_MAX {
            self.kept.clear();
            self.bytes = 0;
        }
        if words.len() <= SPELLED_BYTES_MAX {
            self.bytes += words.len();
            self.kept.insert(place, (words.into(), keeps));
        }
    }
}

/// What numbers of one kind stand for, to whoever reads a segment from its beginning.
#[derive(Debug)]
pub struct Told<T> {
    bounds: Bounds,
    last: u64,
    /// Of the last numbers, in turn. At most `bounds.numbers_max`.
    held: VecDeque<T>,
}

impl<T> Told<T> {
    #[must_use]
    pub fn new(bounds: Bounds) -> Told<T> {
        Told { bounds, last: 0, held: VecDeque::new() }
    }

    /// A line tells a number. False: it is not the next in turn, and nothing before it counts any more.
    pub fn tell(&mut self, number: u64, what: T) -> bool {
        let in_turn = self.last.checked_add(1) == Some(number);
        if !in_turn {
            self.held.clear();
        }
        self.last = number;
        self.held.push_back(what);
        if self.held.len() as u64 > self.bounds.numbers_max {
            self.held.pop_front();
        }
        in_turn
    }

    /// What a line names. None: nothing that may still be named was told under this number.
    #[must_use]
    pub fn named(&self, number: u64) -> Option<&T> {
        let back = usize::try_from(self.last.checked_sub(number)?).ok()?;
        self.held.get(self.held.len().checked_sub(back)?.checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: Bounds = Bounds { numbers_max: 3, bytes_max: 8 };

    #[test]
    fn whatever_is_named_was_told_among_the_last_and_no_number_is_told_twice() {
        let mut numbers: Numbers<u64, ()> = Numbers::new(FEW);
        let mut told: Told<String> = Told::new(FEW);
        let mut random = 1_u64;
        let (mut named, mut since) = (0, 0);
        for round in 0..10_000_u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Two places for each of five words.
            let place = (random >> 33) % 10;
            let words = format!("{}", place % 5);
            if round % 100 == 99 {
                // As after a batch that was taken back to where this stood.
                numbers.forget(numbers.last());
                since = 0;
            }
            let name = match numbers.at(&place) {
                Some(number) => Named::Known(number),
                None => numbers.of(place, (), words.as_bytes()),
            };
            match name {
                Named::Known(number) => {
                    named += 1;
                    assert_eq!(told.named(number), Some(&words), "round {round}");
                }
                Named::New(number) => {
                    since += 1;
                    assert!(told.tell(number, words), "round {round}");
                }
                Named::Not => panic!("too long"),
            }
        }
        assert!(named > 2_000 && since > 0, "{named} {since}");
    }

    #[test]
    fn words_that_are_kept_are_those_of_their_place_and_take_no_more_than_their_bounds() {
        let mut spelled: Spelled<usize, ()> = Spelled::new();
        for place in 0..3 * SPELLED_MAX {
            spelled.keep(place, (), place.to_string().as_bytes());
            assert_eq!(spelled.at(&place), Some(place.to_string().as_bytes()));
            assert!(spelled.kept.len() <= SPELLED_MAX);
        }
        let long = vec![b'x'; SPELLED_BYTES_MAX / 2];
        for place in 0..5 {
            spelled.keep(place, (), &long);
            assert_eq!(spelled.at(&place), Some(&*long));
            assert!(spelled.kept.values().map(|(words, ())| words.len()).sum::<usize>() <= SPELLED_BYTES_MAX);
        }
        spelled.keep(9, (), &vec![b'x'; SPELLED_BYTES_MAX + 1]);
        assert_eq!((spelled.at(&9), spelled.bytes), (None, 0));
    }

    #[test]
    fn what_is_too_long_has_no_number_and_what_is_out_of_turn_ends_what_was_told() {
        let mut numbers: Numbers<u64, ()> = Numbers::new(FEW);
        assert!(matches!(numbers.of(1, (), b"123456789"), Named::Not));
        assert!(matches!(numbers.of(1, (), b"12345678"), Named::New(1)));
        let mut told: Told<u8> = Told::new(FEW);
        assert_eq!(told.named(0), None);
        for number in 1..=4 {
            assert!(told.tell(number, 0));
        }
        assert_eq!((told.named(1), told.named(2), told.named(5)), (None, Some(&0), None));
        assert!(!told.tell(4, 1), "twice");
        assert_eq!((told.named(3), told.named(4)), (None, Some(&1)));
        assert!(!told.tell(u64::MAX, 2) && !told.tell(u64::MAX, 3) && told.named(u64::MAX) == Some(&3));
    }
}
