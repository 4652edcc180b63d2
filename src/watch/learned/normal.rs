//! What is normal: median and spread of the logarithms of what was seen, that rise by no more than so much a
//! day; and how often something lies so far above it.

use serde::{Deserialize, Serialize};

/// Samples of one principal's normal: the newest ones.
pub(super) const SAMPLES: usize = 64;
/// Of one that many share.
pub(super) const SHARED_SAMPLES: usize = 512;
/// Makes the median of absolute deviations a standard deviation, where a normal distribution is behind it.
const SPREAD: f32 = 1.4826;
/// Own samples that weigh as much as all of the peers'.
const OWN_HALF: f32 = 8.0;
/// A normal that has seen less follows what it sees without a cap.
const YOUNG: u32 = 12;

/// How far a normal may rise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drift {
    /// On one day, in natural logarithms.
    pub(super) per_day: f32,
    /// From its first day on it is not held for so long.
    pub(super) free_days: u32,
}

/// Of an amount, its logarithm.
pub(super) fn log(amount: u64) -> f32 {
    (amount as f32).ln_1p()
}

/// The amount again.
pub(super) fn amount(log: f32) -> u64 {
    log.exp_m1().round().max(0.0) as u64
}

#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub(super) struct Normal {
    samples: Vec<f32>,
    next: u16,
    /// Seen in all, saturating.
    seen: u32,
    center: f32,
    scale: f32,
    /// Of the first sample.
    since: u32,
    /// By this day's begin.
    day: u32,
    center_max: f32,
    scale_max: f32,
    /// An operator said that so much is fine.
    allowed: f32,
    /// How many spreads above what was expected the latest samples were, in the mean.
    lean: f32,
    /// The part of the latest samples that were above the mark of the tail.
    high: f32,
}

impl Normal {
    pub(super) fn seen(&self) -> u32 {
        self.seen
    }

    /// What it takes, in bytes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        size_of::<Normal>() + 4 * self.samples.capacity()
    }

    pub(super) fn center(&self) -> f32 {
        self.center
    }

    /// Takes a sample, of the newest `most`.
    pub(super) fn learn(&mut self, sample: f32, day: u32, drift: Drift, most: usize) {
        if self.seen == 0 {
            self.since = day;
        }
        if day != self.day {
            self.day = day;
            self.center_max = self.center + drift.per_day;
            self.scale_max = self.scale * (1.0 + drift.per_day);
        }
        match self.samples.get_mut(usize::from(self.next)) {
            Some(place) => *place = sample,
            None => self.samples.push(sample),
        }
        self.next = if usize::from(self.next) + 1 >= most { 0 } else { self.next + 1 };
        self.seen = self.seen.saturating_add(1);
        // Of many samples each one says little.
        let every = if self.seen > 512 { 32 } else { 8 };
        if most > SAMPLES && self.seen > 64 && !self.seen.is_multiple_of(every) {
            return;
        }
        // More than a half are alike, and this one is like them.
        if self.scale == 0.0 && self.center.to_bits() == sample.to_bits() && self.seen > YOUNG {
            return;
        }
        let (center, scale) = self.robust();
        if self.seen <= YOUNG || day.saturating_sub(self.since) < drift.free_days {
            (self.center, self.scale) = (center, scale);
            (self.center_max, self.scale_max) = (center + drift.per_day, scale * (1.0 + drift.per_day));
        } else {
            self.center = center.min(self.center_max);
            self.scale = scale.min(self.scale_max.max(0.02));
        }
    }

    fn robust(&self) -> (f32, f32) {
        let mut sorted = [0.0_f32; SHARED_SAMPLES];
        let held = self.samples.len().min(SHARED_SAMPLES);
        let Some(sorted) = sorted.get_mut(..held) else { return (0.0, 0.0) };
        for (to, from) in sorted.iter_mut().zip(&self.samples) {
            *to = *from;
        }
        let center = median(sorted);
        for value in sorted.iter_mut() {
            *value = (*value - center).abs();
        }
        (center, SPREAD * median(sorted))
    }

    /// Takes how far above what was expected a sample is.
    pub(super) fn lean(&mut self, above: f32) {
        self.lean += 0.2 * (above.clamp(-3.0, 6.0) - self.lean);
    }

    pub(super) fn leans(&self) -> f32 {
        self.lean
    }

    /// Tells the tails of all, and of its peers, how far above what was expected a sample is.
    pub(super) fn teach(&mut self, all: &mut Tail, peers: Option<&mut Tail>, above: f32) {
        let mut high = self.high;
        all.hear(f64::from(above), &mut high, PEAKS);
        if let Some(peers) = peers {
            high = self.high;
            peers.hear(f64::from(above), &mut high, PEAKS);
        }
        self.high = high;
    }

    /// So much is fine.
    pub(super) fn allow(&mut self, log: f32) {
        self.allowed = self.allowed.max(log);
        self.lean = 0.0;
    }

    pub(super) fn is_allowed(&self, log: f32) -> bool {
        log <= self.allowed + 0.05
    }

    /// The middle that it is compared with is no lower than this.
    pub(super) fn lowest(&self, peers: &Normal) -> f32 {
        match (self.seen, peers.seen) {
            (_, 0) => self.center,
            (0, _) => peers.center,
            _ => self.center.min(peers.center),
        }
    }

    /// Middle and spread that a principal is compared with: its own, drawn to its peers' the less it has
    /// been seen. None: nobody knows.
    pub(super) fn expected(&self, peers: &Normal, scale_min: f32) -> Option<(f32, f32)> {
        let all = self.seen.saturating_add(peers.seen);
        if all == 0 {
            return None;
        }
        // The more alike its own samples are, beside how the peers differ, the fewer of them say enough.
        let peers_scale = peers.scale.max(0.5);
        let alike = (self.scale.max(scale_min) / peers_scale).min(1.0).powi(2);
        let half = (OWN_HALF * alike).max(0.5);
        let weight = if peers.seen == 0 { 1.0 } else { self.seen as f32 / (self.seen as f32 + half) };
        let center = weight * self.center + (1.0 - weight) * peers.center;
        // Of peers it is also known how they differ among each other.
        let scale = weight * self.scale + (1.0 - weight) * peers_scale;
        let doubt = 1.0 + 2.0 / (all.min(1_000) as f32);
        // Whatever is counted varies by the root of how much it is.
        let of_count = 1.0 / (1.0 + center.exp_m1().max(0.0)).sqrt();
        Some((center, scale.max(scale_min).max(of_count) * doubt))
    }
}

/// The lower of the two middle ones; 0 of none. Changes their order.
fn median(values: &mut [f32]) -> f32 {
    let Some(middle) = values.len().checked_sub(1).map(|last| last / 2) else { return 0.0 };
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// Values above the mark that a tail is fitted to.
pub(super) const PEAKS: usize = 512;
/// Of days, so that those of young normals are soon forgotten.
pub(super) const PEAKS_OF_DAYS: usize = 128;
/// Of all values so many lie above the mark.
const ABOVE: f64 = 0.05;
/// Where the tail is lighter than an exponential one it is not taken to be lighter than this.
const XI_MIN: f64 = -0.2;
/// By so many peaks.
const ENDS_SEEN: f64 = 100.0;
/// So many values weigh as much as what is assumed before anything is seen.
const ASSUMED: f64 = 200.0;

/// How often a value is as high: counted, and above a mark by the generalised Pareto distribution that fits
/// the peaks over it.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub(super) struct Tail {
    seen: u64,
    /// The newest peaks.
    peaks: Vec<f32>,
    next: u16,
    mark: f64,
    /// The part of the latest values that were above the mark at their time.
    share: f64,
    sigma: f64,
    xi: f64,
    /// The part of the latest values that were above the mark, whoever had them.
    high: f64,
}

/// Of somebody's values, and of everybody's, the latest count so much.
const OWN_WEIGHT: f32 = 0.1;
const ALL_WEIGHT: f64 = 0.005;
const SHARE_WEIGHT: f64 = 0.001;
/// Whoever is above the mark that much more often than all others says nothing of what is usual.
const TOO_OFTEN: f64 = 0.3;

impl Tail {
    /// Takes a value of somebody, unless that one is high again and again while others are not: nobody makes
    /// it usual by having it each day. `high`: how often that one is.
    pub(super) fn hear(&mut self, value: f64, high: &mut f32, most: usize) {
        let is_high = value > self.mark;
        *high += OWN_WEIGHT * (f32::from(u8::from(is_high)) - *high);
        self.high += ALL_WEIGHT * (f64::from(u8::from(is_high)) - self.high);
        if !is_high || f64::from(*high) <= self.high + TOO_OFTEN {
            self.learn(value, most);
        }
    }

    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// Takes a value; of those above the mark it keeps the newest so many.
    fn learn(&mut self, value: f64, most: usize) {
        self.seen += 1;
        if self.seen <= 1 {
            self.mark = value;
        }
        // The mark follows its quantile by steps that grow smaller.
        let step = 0.5 / (1.0 + (self.seen as f64) / 200.0);
        let weight = (1.0 / self.seen as f64).max(SHARE_WEIGHT);
        self.share += weight * (f64::from(u8::from(value > self.mark)) - self.share);
        if value > self.mark {
            self.mark += step * (1.0 - ABOVE);
            match self.peaks.get_mut(usize::from(self.next)) {
                Some(place) => *place = value as f32,
                None => self.peaks.push(value as f32),
            }
            self.next = if usize::from(self.next) + 1 >= most { 0 } else { self.next + 1 };
            let every = if self.peaks.len() < 256 { 8 } else { 32 };
            if self.peaks.len() < 64 || self.next.is_multiple_of(every) {
                self.fit();
            }
        } else {
            self.mark -= step * ABOVE;
        }
    }

    /// By probability-weighted moments (Hosking and Wallis, 1987).
    fn fit(&mut self) {
        let mut over: Vec<f64> = self.peaks.iter().map(|peak| f64::from(*peak) - self.mark).collect();
        over.retain(|excess| *excess > 0.0);
        let count = over.len();
        if count < 10 {
            (self.sigma, self.xi) = (0.0, 0.0);
            return;
        }
        over.sort_unstable_by(f64::total_cmp);
        let size = count as f64;
        let (mut first, mut second) = (0.0, 0.0);
        for (index, excess) in over.iter().enumerate() {
            first += excess;
            second += excess * (1.0 - (index as f64 + 0.65) / size);
        }
        (first, second) = (first / size, second / size);
        let between = first - 2.0 * second;
        if between <= 1e-9 {
            (self.sigma, self.xi) = (first.max(1e-3), 0.0);
            return;
        }
        // Of few peaks nobody sees where they end.
        let lightest = XI_MIN * (size / ENDS_SEEN).min(1.0);
        self.xi = (2.0 - first / between).clamp(lightest, 0.5);
        self.sigma = (first * (1.0 - self.xi)).max(1e-3);
    }

    /// Minus the decimal logarithm of how often a value is as high as this one. `assumed`: as long as little
    /// has been seen.
    pub(super) fn rarity(&self, value: f64, assumed: f64) -> f64 {
        let assumed = assumed.max(0.0);
        if self.sigma <= 0.0 || self.seen < 50 {
            return assumed;
        }
        let over = value - self.mark;
        let share = self.share.clamp(0.01, 0.2);
        let counted = if over <= 0.0 {
            // Below the mark nobody asks.
            0.0
        } else {
            let tail = if self.xi.abs() < 1e-6 {
                over / self.sigma * std::f64::consts::LOG10_E
            } else {
                // Where it seems to end, it does not quite.
                (1.0 + self.xi * over / self.sigma).max(1e-9).log10() / self.xi
            };
            -share.log10() + tail
        };
        let weight = self.seen as f64 / (self.seen as f64 + ASSUMED);
        weight * counted + (1.0 - weight) * assumed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRIFT: Drift = Drift { per_day: 0.05, free_days: 0 };

    #[test]
    fn the_middle_follows_young_and_rises_by_no_more_than_the_drift_a_day_when_old() {
        let mut normal = Normal::default();
        for day in 0..30 {
            normal.learn(log(100) + if day % 2 == 0 { 0.1 } else { -0.1 }, day, DRIFT, SAMPLES);
        }
        let before = normal.center();
        assert!((amount(before) as i64 - 100).abs() < 15);
        for sample in 0..1_000 {
            normal.learn(log(10_000 + sample), 31, DRIFT, SAMPLES);
        }
        assert!(normal.center() <= before + 0.051, "one day");
        for day in 32..42 {
            for _ in 0..64 {
                normal.learn(log(10_000), day, DRIFT, SAMPLES);
            }
        }
        assert!(normal.center() <= before + 0.56, "eleven days");
        // Downwards it follows at once.
        for _ in 0..64 {
            normal.learn(log(10), 42, DRIFT, SAMPLES);
        }
        assert_eq!(amount(normal.center()), 10);
    }

    #[test]
    fn a_few_outliers_move_neither_middle_nor_spread() {
        let mut normal = Normal::default();
        for index in 0..60_u32 {
            let sample = if index % 6 == 0 { log(1_000_000) } else { log(100 + u64::from(index)) };
            normal.learn(sample, 0, DRIFT, SAMPLES);
        }
        let (center, scale) = normal.expected(&Normal::default(), 0.1).unwrap();
        assert!((100..200).contains(&amount(center)) && scale < 0.5, "{center} {scale}");
    }

    #[test]
    fn whoever_is_new_is_compared_with_the_peers() {
        let mut peers = Normal::default();
        (0..64).for_each(|_| peers.learn(log(50), 0, DRIFT, SAMPLES));
        let mut own = Normal::default();
        assert_eq!(own.expected(&Normal::default(), 0.1), None);
        assert_eq!(amount(own.expected(&peers, 0.1).unwrap().0), 50);
        (0..8).for_each(|n| own.learn(log(5_000) + [-1.0, 0.0, 1.0][n % 3], 0, DRIFT, SAMPLES));
        let half = amount(own.expected(&peers, 0.1).unwrap().0);
        assert!((100..1_500).contains(&half), "{half}");
        // Whoever does the same each time is known by little.
        let mut steady = Normal::default();
        (0..8).for_each(|_| steady.learn(log(5_000), 0, DRIFT, SAMPLES));
        let own = amount(steady.expected(&peers, 0.1).unwrap().0);
        assert!((3_500..5_000).contains(&own), "{own}");
    }

    #[test]
    fn a_tail_follows_everybody_and_nobody_who_is_high_each_day() {
        let mut tail = Tail::default();
        let mut highs = [0.0_f32; 50];
        let mut state = 7_u64;
        for day in 0..60 {
            for (who, high) in highs.iter_mut().enumerate() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let u = ((state >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
                // Far from zero, where the tail begins.
                let usual = 5.0 - u.ln();
                tail.hear(if who == 0 && day > 20 { 30.0 } else { usual }, high, PEAKS_OF_DAYS);
            }
        }
        assert!((7.0..9.5).contains(&tail.mark), "{}", tail.mark);
        let (usual, high) = (tail.rarity(8.0, 8.0), tail.rarity(30.0, 30.0));
        assert!((0.9..1.8).contains(&usual) && high > 2.5, "{usual} {high}");
    }

    /// Of an exponential and of a heavy tail, by a fixed sequence.
    #[test]
    fn the_tail_tells_within_a_factor_of_ten_how_rare_a_value_is() {
        for heavy in [false, true] {
            let mut tail = Tail::default();
            let mut state = 7_u64;
            for _ in 0..20_000 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let u = ((state >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
                tail.learn(if heavy { (u.powf(-0.25) - 1.0) / 0.25 } else { -u.ln() }, PEAKS);
            }
            for rarity in [2.0_f64, 3.0, 4.0] {
                let p = 10_f64.powf(-rarity);
                let value = if heavy { (p.powf(-0.25) - 1.0) / 0.25 } else { -p.ln() };
                let told = tail.rarity(value, value);
                assert!((told - rarity).abs() < 1.0, "{told} for {rarity}, heavy: {heavy}");
            }
        }
    }
}
