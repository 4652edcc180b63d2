//! How many data subjects one statement met: each by its name up to a bound, and beyond it an estimate.

use std::collections::BTreeSet;

use crate::seal::SubjectId;

/// Subjects of one statement that are told by name.
pub const NAMED_MAX: usize = 1_000;

/// Bits of a name that choose its register: 4,096 of them, which is an error of 1.04 / 64 (1.6 %).
const INDEX_BITS: u32 = 12;
const REGISTERS: usize = 1 << INDEX_BITS;

/// Different subjects. Beyond [`NAMED_MAX`] a HyperLogLog (Flajolet and others, 2007).
#[derive(Clone, Debug)]
pub enum Distinct {
    Named(BTreeSet<SubjectId>),
    Counted(Box<[u8]>),
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
        }
    }

    /// Is it known to be among them? Once they are no longer told by name nobody knows.
    #[must_use]
    pub fn holds(&self, subject: &SubjectId) -> bool {
        match self {
            Distinct::Named(named) => named.contains(subject),
            Distinct::Counted(_) => false,
        }
    }

    /// How many there are: exact while they are named.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self {
            Distinct::Named(named) => named.len() as u64,
            Distinct::Counted(registers) => estimate(registers),
        }
    }

    /// None: there are too many.
    #[must_use]
    pub fn names(&self) -> Option<&BTreeSet<SubjectId>> {
        match self {
            Distinct::Named(named) => Some(named),
            Distinct::Counted(_) => None,
        }
    }
}

fn note(registers: &mut [u8], bits: u64) {
    let index = usize::try_from(bits >> (u64::BITS - INDEX_BITS)).unwrap_or(0);
    // At most 52 bits are left; the last of them stops the count.
    let rank = ((bits << INDEX_BITS) | (1 << (INDEX_BITS - 1))).leading_zeros() + 1;
    if let Some(register) = registers.get_mut(index) {
        *register = (*register).max(u8::try_from(rank).unwrap_or(u8::MAX));
    }
}

/// By the harmonic mean; where many registers are empty, by their number. Names have 64 good bits, so
/// that no correction is needed for many.
fn estimate(registers: &[u8]) -> u64 {
    let size = REGISTERS as f64;
    let sum: f64 = registers.iter().map(|rank| 0.5_f64.powi(i32::from(*rank))).sum();
    let raw = 0.7213 / (1.0 + 1.079 / size) * size * size / sum;
    let empty = registers.iter().filter(|rank| **rank == 0).count();
    let estimate = if raw <= 2.5 * size && empty > 0 { size * (size / empty as f64).ln() } else { raw };
    estimate.round() as u64
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
            for size in [1_001_u64, 5_000, 10_000, 12_000, 100_000, 300_000] {
                let mut all = Distinct::default();
                (0..size).for_each(|n| all.insert(subject((run << 40) + n)));
                let first = all.count();
                (0..size).step_by(7).for_each(|n| all.insert(subject((run << 40) + n)));
                assert_eq!(all.count(), first, "a repeat changes nothing");
                let error = (first as f64 - size as f64).abs() / size as f64;
                worst = worst.max(error);
            }
        }
        assert!(worst < 0.05, "three standard errors: {worst}");
    }
}
