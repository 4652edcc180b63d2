//! How many data subjects one statement met: each by its name up to a bound, and beyond it an estimate.

use std::collections::BTreeSet;

use crate::seal::SubjectId;

/// Subjects of one statement that are told by name.
pub const NAMED_MAX: usize = 1_000;

/// Bits of a name that choose its register: 8,192 of them, which is a standard error of 1.04 / 90.5 (1.15 %).
const INDEX_BITS: u32 = 13;
const REGISTERS: usize = 1 << INDEX_BITS;
/// What a register can hold: the bits that are left, and one for none of them being set.
const RANK_MAX: usize = (u64::BITS - INDEX_BITS + 1) as usize;

/// Different subjects. Beyond [`NAMED_MAX`] a `HyperLogLog` (Flajolet and others, 2007).
#[derive(Clone, Debug)]
pub enum Distinct {
    Named(BTreeSet<SubjectId>),
    Counted(Box<[u8]>),
    /// So many, as a record that was read again tells it.
    Told(u64),
}

impl Default for Distinct {
    fn default() -> Distinct {
        Distinct::Named(BTreeSet::new())
    }
}

impl Distinct {
    /// One more was met, or once more.
    pub fn insert(&mut self, subject: SubjectId) {
        match self {
            Distinct::Named(named) => {
                named.insert(subject);
                if named.len() > NAMED_MAX {
                    let mut registers = vec![0; REGISTERS].into_boxed_slice();
                    named.iter().for_each(|one| note(&mut registers, one.bits()));
                    *self = Distinct::Counted(registers);
                }
            }
            Distinct::Counted(registers) => note(registers, subject.bits()),
            Distinct::Told(count) => *count = count.saturating_add(1),
        }
    }

    /// Is it known to be among them? Once they are no longer told by name nobody knows.
    #[must_use]
    pub fn holds(&self, subject: &SubjectId) -> bool {
        match self {
            Distinct::Named(named) => named.contains(subject),
            Distinct::Counted(_) | Distinct::Told(_) => false,
        }
    }

    /// How many there are: exact while they are named.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self {
            Distinct::Named(named) => named.len() as u64,
            Distinct::Counted(registers) => estimate(registers),
            Distinct::Told(count) => *count,
        }
    }

    /// None: there are too many.
    #[must_use]
    pub fn names(&self) -> Option<&BTreeSet<SubjectId>> {
        match self {
            Distinct::Named(named) => Some(named),
            Distinct::Counted(_) | Distinct::Told(_) => None,
        }
    }
}

fn note(registers: &mut [u8], bits: u64) {
    let index = usize::try_from(bits >> (u64::BITS - INDEX_BITS)).unwrap_or(0);
    // The bit behind those that are left stops the count.
    let rank = ((bits << INDEX_BITS) | (1 << (INDEX_BITS - 1))).leading_zeros() + 1;
    if let Some(register) = registers.get_mut(index) {
        *register = (*register).max(u8::try_from(rank).unwrap_or(u8::MAX));
    }
}

/// Without a bias whatever the number, unlike the first estimator, which is some percent too high near
/// 2.5 names a register (Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", 2017).
fn estimate(registers: &[u8]) -> u64 {
    let size = REGISTERS as f64;
    let mut counts = [0_u32; RANK_MAX + 1];
    for rank in registers {
        if let Some(count) = counts.get_mut(usize::from(*rank)) {
            *count += 1;
        }
    }
    let [empty, between @ .., full] = counts;
    let mut sum = size * beyond(1.0 - f64::from(full) / size);
    for count in between.iter().rev() {
        sum = 0.5 * (sum + f64::from(*count));
    }
    sum += size * below(f64::from(empty) / size);
    (size * size / (2.0 * std::f64::consts::LN_2) / sum).round() as u64
}

/// What empty registers add: the sum of `x^(2^k) * 2^(k - 1)` over all `k`, and `x`.
fn below(mut x: f64) -> f64 {
    let (mut power, mut sum) = (1.0, x);
    loop {
        x *= x;
        let before = sum;
        sum += x * power;
        power += power;
        // With an x of 1, every register empty, it has no end but infinity.
        if sum <= before || sum.is_infinite() {
            return sum;
        }
    }
}

/// What registers at their end take.
fn beyond(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut power, mut sum) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = sum;
        power *= 0.5;
        sum -= (1.0 - x).powi(2) * power;
        if sum >= before {
            return sum / 3.0;
        }
    }
}

/// Whose data an execution met.
#[derive(Clone, Default, Debug)]
pub struct Subjects {
    pub known: Distinct,
    /// Rows of which it is not known whose they are.
    pub unknown: u64,
    /// Why not.
    pub why: BTreeSet<&'static str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names as good as those of a key: the n-th of a sequence (SplitMix64).
    fn subject(n: u64) -> SubjectId {
        let mut z = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&z.to_be_bytes());
        id[8..].copy_from_slice(&n.to_be_bytes());
        SubjectId(id)
    }

    #[test]
    fn up_to_a_thousand_are_told_by_name_and_counted_exactly() {
        let mut all = Distinct::default();
        for _ in 0..3 {
            (0..1_000).for_each(|n| all.insert(subject(n)));
        }
        assert_eq!((all.count(), all.names().map(BTreeSet::len)), (1_000, Some(1_000)));
        assert!(all.holds(&subject(999)) && !all.holds(&subject(1_000)));
        all.insert(subject(1_000));
        assert!(all.names().is_none() && !all.holds(&subject(0)));
    }

    #[test]
    fn beyond_that_the_estimate_is_within_five_percent_and_repeats_do_not_count() {
        let mut worst = 0.0_f64;
        for run in 0..5_u64 {
            for size in [1_001_u64, 5_000, 10_000, 20_000, 30_000, 100_000, 300_000] {
                let mut all = Distinct::default();
                (0..size).for_each(|n| all.insert(subject((run << 40) + n)));
                let first = all.count();
                (0..size).step_by(7).for_each(|n| all.insert(subject((run << 40) + n)));
                assert_eq!(all.count(), first, "a repeat changes nothing");
                let error = (first as f64 - size as f64).abs() / size as f64;
                worst = worst.max(error);
            }
        }
        assert!(worst < 0.05, "more than four standard errors: {worst}");
    }
}
