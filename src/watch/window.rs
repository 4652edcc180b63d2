//! How many cells were opened in the last so many milliseconds, for one user and one limit.
//!
//! Time is cut into slots; a ring of atomics holds the count of each. A claim is added
//! first and then judged by the sum, and taken back if it is over: of any set of claims
//! that together are over the limit, the one that was added last sees all the others. So
//! what is granted never exceeds the limit, whatever the threads do; two claims that race
//! for the last cells may both be refused.

use std::sync::atomic::{AtomicU64, Ordering};

/// Slots of a window, apart from the one that has just begun.
const SLOTS: u64 = 60;
/// So that a slot's number, kept in 32 bits, does not come round within a process's life.
const SLOT_MS_MIN: u64 = 100;

/// Slot number (32 bits, wrapping) and count (32 bits, saturating), in one word.
#[derive(Default)]
struct Slot(AtomicU64);

/// The ring. Covers at least the window and at most one slot more.
pub(super) struct Window {
    slot_ms: u64,
    ring: Box<[Slot]>,
}

/// A claim that was counted and can be taken back.
pub(super) struct Claim {
    number: u32,
    cells: u32,
    /// Everything in the window, this claim included.
    pub(super) total: u64,
}

impl Claim {
    /// Nothing that could be taken back: how much there is.
    pub(super) fn told(total: u64) -> Claim {
        Claim { number: 0, cells: 0, total }
    }

    /// The slot in which it counts.
    pub(super) fn number(&self) -> u32 {
        self.number
    }
}

fn unpack(word: u64) -> (u32, u32) {
    let (number, count) = (word >> 32, word & u64::from(u32::MAX));
    (u32::try_from(number).unwrap_or(0), u32::try_from(count).unwrap_or(u32::MAX))
}

fn pack(number: u32, count: u32) -> u64 {
    (u64::from(number) << 32) | u64::from(count)
}

impl Window {
    pub(super) fn new(window_ms: u64) -> Window {
        let slot_ms = window_ms.div_ceil(SLOTS).max(SLOT_MS_MIN);
        let slots = window_ms.div_ceil(slot_ms) + 1;
        Window { slot_ms, ring: (0..slots).map(|_| Slot::default()).collect() }
    }

    /// Its slots, in memory.
    pub(super) fn bytes(&self) -> usize {
        std::mem::size_of_val(&*self.ring)
    }

    /// A claim of one that was made so many slots ago.
    pub(super) fn past(&self, number: u32, age: u32) -> Claim {
        Claim { number: number.wrapping_sub(age), cells: 1, total: 0 }
    }

    /// Slots that count.
    pub(super) fn reach(&self) -> u32 {
        u32::try_from(self.ring.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn number(&self, now_ms: u64) -> u32 {
        u32::try_from(now_ms / self.slot_ms % (1 << 32)).unwrap_or(0)
    }

    fn slot(&self, number: u32) -> Option<&Slot> {
        let index = usize::try_from(number).unwrap_or(0) % self.ring.len();
        self.ring.get(index)
    }

    /// Counts the cells and says what the window now holds.
    pub(super) fn claim(&self, cells: u64, now_ms: u64) -> Claim {
        let cells = u32::try_from(cells).unwrap_or(u32::MAX);
        let number = self.number(now_ms);
        let counted = self.slot(number).map_or(number, |slot| slot.add(number, cells));
        Claim { number: counted, cells, total: self.total(number) }
    }

    /// Takes a claim back. A slot that has been reused since has already forgotten it.
    pub(super) fn take_back(&self, claim: &Claim) {
        if let Some(slot) = self.slot(claim.number) {
            slot.subtract(claim.number, claim.cells);
        }
    }

    /// What the window holds at this time.
    pub(super) fn now(&self, now_ms: u64) -> u64 {
        self.total(self.number(now_ms))
    }

    /// How long a slot is, and what each holds, from the one of this time to the oldest.
    pub(super) fn slots(&self, now_ms: u64) -> (u32, Vec<u32>) {
        let number = self.number(now_ms);
        let mut slots = vec![0_u32; self.ring.len()];
        for slot in &self.ring {
            let (held, count) = unpack(slot.0.load(Ordering::SeqCst));
            let age = number.wrapping_sub(held);
            // What is ahead, by the clock of another thread, is of now.
            let age = if age > u32::MAX / 2 { 0 } else { usize::try_from(age).unwrap_or(usize::MAX) };
            if let Some(place) = slots.get_mut(age) {
                *place = place.saturating_add(count);
            }
        }
        while slots.last() == Some(&0) {
            slots.pop();
        }
        (u32::try_from(self.slot_ms).unwrap_or(u32::MAX), slots)
    }

    /// Slots newer than `number` belong to threads whose time is ahead; they count too.
    fn total(&self, number: u32) -> u64 {
        let reach = self.ring.len();
        let fresh = |word: u64| {
            let (slot, count) = unpack(word);
            let age = number.wrapping_sub(slot);
            let newer = age > u32::MAX / 2;
            if newer || usize::try_from(age).is_ok_and(|age| age < reach) { u64::from(count) } else { 0 }
        };
        self.ring.iter().map(|slot| fresh(slot.0.load(Ordering::SeqCst))).sum()
    }
}

impl Slot {
    /// Adds, and says under which number: a slot that has moved on keeps its newer one.
    fn add(&self, number: u32, cells: u32) -> u32 {
        let mut word = self.0.load(Ordering::SeqCst);
        loop {
            let (held, count) = unpack(word);
            let held_is_older = number.wrapping_sub(held) <= u32::MAX / 2;
            let (under, sum) = if held != number && held_is_older {
                (number, cells)
            } else {
                (held, count.saturating_add(cells))
            };
            match self.0.compare_exchange_weak(word, pack(under, sum), Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return under,
                Err(seen) => word = seen,
            }
        }
    }

    fn subtract(&self, number: u32, cells: u32) {
        let mut word = self.0.load(Ordering::SeqCst);
        loop {
            let (held, count) = unpack(word);
            if held != number {
                return;
            }
            let rest = pack(held, count.saturating_sub(cells));
            match self.0.compare_exchange_weak(word, rest, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return,
                Err(seen) => word = seen,
            }
        }
    }
}
