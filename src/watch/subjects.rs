//! Which data subjects were shown in a window, for one user and one length of window: each counts once.
//!
//! A table of atomics holds when each was shown last; the window beside it counts how many were last shown in
//! each of its slots. So no lock is taken, and what is counted never falls short: a subject that two threads
//! show at the same moment may for that moment count twice, and one that finds no place in the table counts
//! each time.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::window::{Claim, Window};

/// Places of a table: twice as many as there may be subjects, at the most. 32 KiB.
const PLACES_MAX: usize = 4_096;
const PLACES_MIN: usize = 64;

/// How many places are looked at for a subject.
const PROBES: usize = 64;

/// The subjects of a window.
pub(super) struct Subjects {
    window: Window,
    places: OnceLock<Box<[Place]>>,
    size: usize,
}

/// 40 bits of a subject's name, and the number of the slot in which it was last shown (24 bits, wrapping).
/// Zero: free.
#[derive(Default)]
struct Place(AtomicU64);

/// What became of a subject.
pub(super) enum Met {
    /// It was shown in this window already.
    Known,
    /// It counts from now on: so many are in the window with it.
    New(Claim),
}

const SLOT_BITS: u32 = 24;
const SLOT_MASK: u64 = (1 << SLOT_BITS) - 1;

impl Subjects {
    /// `most`: of how many the largest limit speaks.
    pub(super) fn new(window_ms: u64, most: u64) -> Subjects {
        let wanted = usize::try_from(most).unwrap_or(PLACES_MAX).saturating_mul(2);
        let size = wanted.clamp(PLACES_MIN, PLACES_MAX).next_power_of_two();
        Subjects { window: Window::new(window_ms), places: OnceLock::new(), size }
    }

    /// How many it has places for.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// How many of those whom other proxies tell are known by their marks. No limit allows more.
    pub(super) fn heard_max(&self) -> usize {
        self.size / 2
    }

    /// Its places, in memory. `shared`: with those whom other proxies tell.
    pub(super) fn bytes(&self, shared: bool) -> usize {
        let heard = if shared { self.heard_max() * std::mem::size_of::<u64>() } else { 0 };
        std::mem::size_of::<Subjects>() + self.size * std::mem::size_of::<Place>() + heard
    }

    /// How many are in the window.
    pub(super) fn now(&self, now_ms: u64) -> u64 {
        self.window.now(now_ms)
    }

    /// As a window has them.
    pub(super) fn slots(&self, now_ms: u64) -> (u32, Vec<u32>) {
        self.window.slots(now_ms)
    }

    /// Who is in the window: the mark of each, and how many slots ago it was last shown; at most so many of them.
    pub(super) fn fresh(&self, now_ms: u64, most: usize) -> Vec<(u64, u8)> {
        let slot = self.window.number(now_ms);
        let words = self.places.get().into_iter().flatten().map(|place| place.0.load(Ordering::SeqCst));
        let fresh = words.filter(|word| *word != 0 && self.is_fresh(*word, slot));
        let told = fresh.map(|word| (word >> SLOT_BITS, u8::try_from(age_of(word, slot)).unwrap_or(u8::MAX)));
        told.take(most).collect()
    }

    /// Those of which nobody knows who they are: each is somebody else.
    pub(super) fn claim_unknown(&self, count: u64, now_ms: u64) -> Claim {
        self.window.claim(count, now_ms)
    }

    pub(super) fn take_back(&self, claim: &Claim) {
        self.window.take_back(claim);
    }

    /// Counts a subject that is about to be shown, unless it counts already. One that is new is kept only by
    /// [`Subjects::keep`].
    pub(super) fn meet(&self, subject: u64, now_ms: u64) -> Met {
        let slot = self.window.number(now_ms);
        for place in self.probe(subject) {
            let word = place.0.load(Ordering::SeqCst);
            if word >> SLOT_BITS == mark(subject) && self.is_fresh(word, slot) {
                if word & SLOT_MASK == u64::from(slot) & SLOT_MASK {
                    return Met::Known;
                }
                let claim = self.window.claim(1, now_ms);
                if place.swap(word, subject, claim.number()) {
                    // It has moved from one slot to another.
                    self.window.take_back(&self.window.past(slot, age_of(word, slot)));
                    return Met::Known;
                }
                // Somebody else has moved it.
                self.window.take_back(&claim);
                return Met::Known;
            }
        }
        Met::New(self.window.claim(1, now_ms))
    }

    /// A new one is shown. Where another thread was faster it counts once.
    pub(super) fn keep(&self, subject: u64, claim: &Claim) {
        let slot = claim.number();
        for _ in 0..PROBES {
            let mut free = None;
            for place in self.probe(subject) {
                let word = place.0.load(Ordering::SeqCst);
                let fresh = word != 0 && self.is_fresh(word, slot);
                if fresh && word >> SLOT_BITS == mark(subject) {
                    self.window.take_back(claim);
                    return;
                }
                if !fresh && free.is_none() {
                    free = Some((place, word));
                }
            }
            match free {
                None => return,
                Some((place, word)) if place.swap(word, subject, slot) => return,
                Some(_) => {}
            }
        }
    }

    fn probe(&self, subject: u64) -> impl Iterator<Item = &Place> {
        let places = self.places.get_or_init(|| (0..self.size).map(|_| Place::default()).collect());
        let start = usize::try_from(subject & SLOT_MASK).unwrap_or(0);
        (0..PROBES).filter_map(move |step| places.get((start + step) & (self.size - 1)))
    }

    fn is_fresh(&self, word: u64, slot: u32) -> bool {
        age_of(word, slot) < self.window.reach()
    }
}

/// How many slots ago. One that is ahead, by the clock of another thread, is of now.
fn age_of(word: u64, slot: u32) -> u32 {
    let then = u32::try_from(word & SLOT_MASK).unwrap_or(0);
    let mask = u32::try_from(SLOT_MASK).unwrap_or(0);
    let age = slot.wrapping_sub(then) & mask;
    if age > mask / 2 { 0 } else { age }
}

/// What a place keeps of a subject's name; never zero.
pub(super) fn mark(subject: u64) -> u64 {
    (subject >> SLOT_BITS).max(1)
}

impl Place {
    fn swap(&self, word: u64, subject: u64, slot: u32) -> bool {
        let new = (mark(subject) << SLOT_BITS) | (u64::from(slot) & SLOT_MASK);
        self.0.compare_exchange(word, new, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}
