//! How much one principal has met in the last minute, quarter of an hour, day and month: sums in slots, and
//! distinct data subjects by a small sketch a slot. Everything has a fixed size.

use serde::{Deserialize, Serialize};

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Amount {
    Rows,
    Cells,
    Subjects,
    /// Subjects that this principal had not met before.
    Strangers,
    /// Statements that met such a subject.
    Encounters,
    /// Statements that came back, after a while, to a subject that had been met first a short time ago.
    Returns,
    Lookups,
    /// Lookups that found nobody.
    Misses,
    /// Steps of a walk by OFFSET or a cursor.
    Steps,
    /// Refusals, and errors of classes 22 and 42.
    Errors,
    /// Of the values that were shown, as text.
    Bytes,
    /// Not counted, but the part of the lookups that met somebody not met before: as odds, in thousandths.
    StrangersShare,
    /// The same of those that found nobody.
    MissesShare,
}

pub(super) const AMOUNTS: usize = 13;

impl Amount {
    pub(super) const ALL: [Amount; AMOUNTS] = [
        Amount::Rows,
        Amount::Cells,
        Amount::Subjects,
        Amount::Strangers,
        Amount::Encounters,
        Amount::Returns,
        Amount::Lookups,
        Amount::Misses,
        Amount::Steps,
        Amount::Errors,
        Amount::Bytes,
        Amount::StrangersShare,
        Amount::MissesShare,
    ];

    pub(super) const fn index(self) -> usize {
        self as usize
    }

    /// Of a list of all amounts, this one.
    pub(super) fn of(self, amounts: &[u64; AMOUNTS]) -> u64 {
        amounts.get(self.index()).copied().unwrap_or(0)
    }

    /// Sets this one.
    pub(super) fn put(self, amounts: &mut [u32; AMOUNTS], count: u64) {
        if let Some(place) = amounts.get_mut(self.index()) {
            *place = u32::try_from(count).unwrap_or(u32::MAX);
        }
    }

    pub(super) const fn words(self) -> &'static str {
        match self {
            Amount::Rows => "rows",
            Amount::Cells => "cells",
            Amount::Subjects => "data subjects",
            Amount::Strangers => "data subjects not met before",
            Amount::Encounters => "statements that met somebody not met before",
            Amount::Returns => "looks again at somebody met a short time ago",
            Amount::Lookups => "statements",
            Amount::Misses => "statements that found nobody",
            Amount::Steps => "steps of a walk by OFFSET or cursor",
            Amount::Errors => "refusals and errors",
            Amount::Bytes => "bytes",
            Amount::StrangersShare => "of statements that met somebody not met before",
            Amount::MissesShare => "of statements that found nobody",
        }
    }

    /// Of what it is a part, where it is one.
    pub(super) const fn part(self) -> Option<Amount> {
        match self {
            Amount::StrangersShare => Some(Amount::Encounters),
            Amount::MissesShare => Some(Amount::Misses),
            Amount::Rows
            | Amount::Cells
            | Amount::Subjects
            | Amount::Strangers
            | Amount::Encounters
            | Amount::Returns
            | Amount::Lookups
            | Amount::Misses
            | Amount::Steps
            | Amount::Errors
            | Amount::Bytes => None,
        }
    }
}

/// A share of fewer statements says nothing.
const WHOLE_MIN: u64 = 10;
/// What is assumed of a share before anything is seen: one of four statements.
const ASSUMED: (f64, f64) = (1.0, 3.0);

/// A part of a whole as odds, in thousandths: their logarithm is what varies alike for rare and for usual
/// things. 0: too few to say.
pub(super) fn odds(part: u64, whole: u64) -> u64 {
    if whole < WHOLE_MIN {
        return 0;
    }
    let part = part.min(whole);
    let (yes, no) = (part as f64 + ASSUMED.0, (whole - part) as f64 + ASSUMED.1);
    (1_000.0 * yes / no).round() as u64
}

/// By how much the logarithm of such odds varies by chance alone.
pub(super) fn noise(part: u64, whole: u64) -> f32 {
    let part = part.min(whole);
    let (yes, no) = (part as f32 + ASSUMED.0 as f32, (whole - part) as f32 + ASSUMED.1 as f32);
    (1.0 / yes + 1.0 / no).sqrt()
}

/// Odds in percent of the whole.
pub(super) fn percent(odds: u64) -> u64 {
    odds.saturating_mul(100) / odds.saturating_add(1_000)
}

/// One length of time that is looked back over.
pub(super) struct Span {
    pub(super) words: &'static str,
    slot_ms: u64,
    slots: usize,
    /// Of each of these the highest sum is a sample of what is normal.
    pub(super) period_ms: u64,
    /// Narrower than this a normal is not believed to be, in natural logarithms.
    pub(super) scale_min: f32,
}

impl Span {
    /// Its length.
    pub(super) const fn ms(&self) -> u64 {
        self.slot_ms * self.slots as u64
    }
}

const MINUTE_MS: u64 = 60_000;
pub(super) const HOUR_MS: u64 = 60 * MINUTE_MS;
pub(super) const DAY_MS: u64 = 24 * HOUR_MS;
pub(super) const SPANS: usize = 4;
pub(super) const SPAN: [Span; SPANS] = [
    Span { words: "1 min", slot_ms: 10_000, slots: 6, period_ms: HOUR_MS, scale_min: 0.35 },
    Span { words: "15 min", slot_ms: 3 * MINUTE_MS, slots: 5, period_ms: HOUR_MS, scale_min: 0.30 },
    Span { words: "24 h", slot_ms: 2 * HOUR_MS, slots: 12, period_ms: DAY_MS, scale_min: 0.12 },
    Span { words: "30 d", slot_ms: 2 * DAY_MS, slots: 15, period_ms: DAY_MS, scale_min: 0.08 },
];

/// Registers of a sketch: a standard error of 6.5 percent, and almost none below fifty subjects.
const REGISTERS: usize = 256;

/// Sums and sketches of one span.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Ring {
    /// Number of the newest slot.
    latest: u64,
    /// A row of [`AMOUNTS`] for each slot.
    counts: Vec<u32>,
    sums: Vec<u64>,
    /// A row of [`REGISTERS`] for each slot.
    #[serde(with = "super::packed")]
    sketches: Vec<u8>,
    /// The highest of each register.
    #[serde(with = "super::packed")]
    merged: Vec<u8>,
    /// Of them, how many are empty, and the sum of what their ranks weigh.
    empty: u32,
    weight: u64,
    /// What they come to.
    distinct: u64,
}

/// What a register of this rank weighs: half as much for each rank, and 2^50 where it is empty.
const fn weight(rank: u8) -> u64 {
    (1 << 50) >> (if rank > 50 { 50 } else { rank })
}

impl Ring {
    fn new(span: &Span) -> Ring {
        Ring {
            latest: 0,
            counts: vec![0; span.slots * AMOUNTS],
            sums: vec![0; AMOUNTS],
            sketches: vec![0; span.slots * REGISTERS],
            merged: vec![0; REGISTERS],
            empty: REGISTERS as u32,
            weight: REGISTERS as u64 * weight(0),
            distinct: 0,
        }
    }

    /// What a file holds may have been made by another version.
    fn fits(&self, span: &Span) -> bool {
        self.counts.len() == span.slots * AMOUNTS
            && self.sums.len() == AMOUNTS
            && self.sketches.len() == span.slots * REGISTERS
            && self.merged.len() == REGISTERS
    }

    fn index(&self, span: &Span) -> usize {
        usize::try_from(self.latest % span.slots as u64).unwrap_or(0)
    }

    /// Forgets what has passed. A clock that steps back counts for the latest time.
    fn advance(&mut self, span: &Span, now_ms: u64) {
        let number = now_ms / span.slot_ms;
        if number <= self.latest {
            return;
        }
        let passed = (number - self.latest).min(span.slots as u64);
        for step in 1..=passed {
            let index = usize::try_from((number - passed + step) % span.slots as u64).unwrap_or(0);
            let counts = self.counts.get_mut(index * AMOUNTS..(index + 1) * AMOUNTS);
            for (sum, count) in self.sums.iter_mut().zip(counts.into_iter().flatten()) {
                *sum -= u64::from(*count).min(*sum);
                *count = 0;
            }
            if let Some(sketch) = self.sketches.get_mut(index * REGISTERS..(index + 1) * REGISTERS) {
                sketch.fill(0);
            }
        }
        self.latest = number;
        if (self.empty as usize) < REGISTERS {
            self.merged.fill(0);
            for sketch in self.sketches.chunks_exact(REGISTERS) {
                for (merged, register) in self.merged.iter_mut().zip(sketch) {
                    *merged = (*merged).max(*register);
                }
            }
            self.empty = 0;
            self.weight = 0;
            for rank in &self.merged {
                self.empty += u32::from(*rank == 0);
                self.weight += weight(*rank);
            }
            self.distinct = self.count();
        }
    }

    fn add(&mut self, span: &Span, amounts: &[u32; AMOUNTS], subjects: &[u64]) {
        let index = self.index(span);
        let counts = self.counts.get_mut(index * AMOUNTS..(index + 1) * AMOUNTS);
        for ((sum, count), amount) in self.sums.iter_mut().zip(counts.into_iter().flatten()).zip(amounts) {
            let before = *count;
            *count = count.saturating_add(*amount);
            *sum += u64::from(*count - before);
        }
        let mut is_higher = false;
        for subject in subjects {
            let register = usize::try_from(subject >> 56).unwrap_or(0);
            let rank = u8::try_from(((subject << 8) | 0x80).leading_zeros() + 1).unwrap_or(u8::MAX);
            if let Some(held) = self.sketches.get_mut(index * REGISTERS + register) {
                *held = (*held).max(rank);
            }
            if let Some(held) = self.merged.get_mut(register)
                && *held < rank
            {
                self.empty = self.empty.saturating_sub(u32::from(*held == 0));
                self.weight = self.weight.saturating_sub(weight(*held)) + weight(rank);
                *held = rank;
                is_higher = true;
            }
        }
        if is_higher {
            self.distinct = self.count();
        }
    }

    fn count(&self) -> u64 {
        if self.empty as usize >= REGISTERS {
            return 0;
        }
        let (size, empty) = (REGISTERS as f64, f64::from(self.empty));
        let raw = 0.7182 * size * size / (self.weight.max(1) as f64 / weight(0) as f64);
        let counted = if raw <= 2.5 * size && self.empty > 0 { size * (size / empty).ln() } else { raw };
        counted.round() as u64
    }
}

/// Everything that is counted of one principal, or of a group of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Meter {
    rings: Vec<Ring>,
}

impl Meter {
    pub(super) fn new() -> Meter {
        Meter { rings: SPAN.iter().map(Ring::new).collect() }
    }

    pub(super) fn fits(&self) -> bool {
        self.rings.len() == SPANS && self.rings.iter().zip(&SPAN).all(|(ring, span)| ring.fits(span))
    }

    /// What it takes, in bytes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let of = |ring: &Ring| {
            size_of::<Ring>()
                + 4 * ring.counts.capacity()
                + 8 * ring.sums.capacity()
                + ring.sketches.capacity()
                + ring.merged.capacity()
        };
        self.rings.iter().map(of).sum()
    }

    /// Counts. `amounts` holds of [`Amount::Subjects`] those that have no name; `subjects` the others, as bits
    /// that are as good as random.
    pub(super) fn add(&mut self, amounts: &[u32; AMOUNTS], subjects: &[u64], now_ms: u64) {
        for (ring, span) in self.rings.iter_mut().zip(&SPAN) {
            ring.advance(span, now_ms);
            ring.add(span, amounts, subjects);
        }
    }

    /// What one span holds by the time of the latest [`Meter::add`].
    pub(super) fn sums(&self, span: usize) -> [u64; AMOUNTS] {
        let mut sums = [0; AMOUNTS];
        if let Some(ring) = self.rings.get(span) {
            for (sum, held) in sums.iter_mut().zip(&ring.sums) {
                *sum = *held;
            }
            if let Some(subjects) = sums.get_mut(Amount::Subjects.index()) {
                *subjects += ring.distinct;
            }
            // In a minute there is too little, and in a month what is usual changes.
            if span == 1 || span == 2 {
                for share in [Amount::StrangersShare, Amount::MissesShare] {
                    let part = share.part().map_or(0, |part| part.of(&sums));
                    let odds = odds(part, Amount::Lookups.of(&sums));
                    if let Some(place) = sums.get_mut(share.index()) {
                        *place = odds;
                    }
                }
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_795_305_600_000;

    pub(super) fn bits(n: u64) -> u64 {
        let z = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    #[test]
    fn each_span_forgets_what_is_older_and_counts_a_subject_once() {
        let mut meter = Meter::new();
        let amounts = [3, 6, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        meter.add(&amounts, &[bits(1), bits(2)], NOON);
        meter.add(&amounts, &[bits(2), bits(3)], NOON + 30_000);
        let of = |meter: &mut Meter, span| meter.sums(span)[..5].to_vec();
        assert_eq!(of(&mut meter, 0), [6, 12, 3, 0, 2]);
        meter.add(&[0; AMOUNTS], &[], NOON + 75_000);
        assert_eq!(of(&mut meter, 0), [3, 6, 2, 0, 1]);
        assert_eq!(of(&mut meter, 1), [6, 12, 3, 0, 2]);
        meter.add(&[0; AMOUNTS], &[], NOON + 2 * HOUR_MS);
        assert_eq!(of(&mut meter, 1), [0; 5]);
        assert_eq!(of(&mut meter, 2), [6, 12, 3, 0, 2]);
        meter.add(&[0; AMOUNTS], &[], NOON + 3 * DAY_MS);
        assert_eq!((of(&mut meter, 2)[0], of(&mut meter, 3)[0]), (0, 6));
        meter.add(&[0; AMOUNTS], &[], NOON + 40 * DAY_MS);
        assert_eq!(of(&mut meter, 3), [0; 5]);
    }

    #[test]
    fn a_share_is_told_of_enough_statements_and_rises_with_its_part() {
        assert_eq!(odds(9, 9), 0);
        assert!(odds(1, 10) < odds(5, 10) && odds(5, 10) < odds(10, 10) && odds(20, 10) == odds(10, 10));
        assert!(noise(50, 100) < noise(5, 10) && noise(5, 10) < noise(0, 10));
        assert_eq!(percent(odds(500, 1_000)), 49);
        let mut meter = Meter::new();
        let mut amounts = [0; AMOUNTS];
        Amount::Lookups.put(&mut amounts, 20);
        Amount::Misses.put(&mut amounts, 10);
        meter.add(&amounts, &[], NOON);
        assert_eq!(Amount::MissesShare.of(&meter.sums(2)), odds(10, 20));
        assert_eq!(Amount::MissesShare.of(&meter.sums(0)), 0);
    }

    #[test]
    fn subjects_are_counted_within_a_fifth() {
        for size in [10_u64, 100, 1_000, 20_000, 1_000_000] {
            let mut meter = Meter::new();
            let all: Vec<u64> = (0..size).map(|n| bits(n + size)).collect();
            meter.add(&[0; AMOUNTS], &all, NOON);
            let told = meter.sums(2)[Amount::Subjects.index()];
            assert!(told.abs_diff(size) * 5 <= size, "{told} of {size}");
        }
    }
}
