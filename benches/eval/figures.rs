//! What trials come to: shares with their intervals, medians with theirs, thresholds.

use crate::company::{HOUR_MS, Random};
use crate::trial::{Calendar, Trial, Tried};

/// A share of so many, with the interval of Wilson (1927) at 95 percent.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Share {
    pub part: usize,
    pub whole: usize,
}

impl Share {
    #[must_use]
    pub fn value(self) -> f64 {
        self.part as f64 / self.whole.max(1) as f64
    }

    #[must_use]
    pub fn interval(self) -> (f64, f64) {
        let (size, share, z) = (self.whole.max(1) as f64, self.value(), 1.96);
        let middle = (share + z * z / (2.0 * size)) / (1.0 + z * z / size);
        let reach =
            z / (1.0 + z * z / size) * (share * (1.0 - share) / size + z * z / (4.0 * size * size)).sqrt();
        ((middle - reach).max(0.0), (middle + reach).min(1.0))
    }

    /// In percent.
    #[must_use]
    pub fn words(self) -> String {
        let (low, high) = self.interval();
        format!("{:.0} % ({:.0} to {:.0})", 100.0 * self.value(), 100.0 * low, 100.0 * high)
    }
}

/// Lower of the two middle ones.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

#[must_use]
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = ((sorted.len().saturating_sub(1)) as f64 * share) as usize;
    sorted.get(at).copied().unwrap_or(0.0)
}

/// 95 percent of the medians of samples drawn from these lie between (Efron, 1979).
#[must_use]
pub fn bootstrapped(values: &[f64]) -> (f64, f64) {
    let mut random = Random::of(&[40, values.len() as u64]);
    let medians: Vec<f64> = (0..1_000)
        .map(|_| {
            let drawn: Vec<f64> =
                values.iter().map(|_| values[random.below(values.len() as u64) as usize]).collect();
            median(&drawn)
        })
        .collect();
    (quantile(&medians, 0.025), quantile(&medians, 0.975))
}

/// By what a judge raises an alert.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// Its own.
    Own,
    Score(f64),
}

impl Trial {
    /// The score that so many users' days of those that set thresholds reach. Where it would be less than one
    /// day in all of them, their highest ones are continued by an exponential.
    #[must_use]
    pub fn threshold(&self, calendar: Calendar, alerts_per_day: f64) -> f64 {
        let days = &self.innocent[calendar.set as usize..calendar.judged as usize];
        let mut scores: Vec<f64> = days.iter().flatten().flatten().copied().collect();
        scores.sort_unstable_by(|one, other| other.total_cmp(one));
        let rank = alerts_per_day * days.len() as f64;
        let above = (scores.len() / 20).max(2);
        let (Some(highest), Some(mark)) = (scores.first(), scores.get(above)) else { return f64::MAX };
        if rank >= 1.0 {
            // Just above the first that is one too many.
            return scores.get(rank as usize).map_or(f64::MIN, |score| score.next_up());
        }
        let mean = scores.iter().take(above).map(|score| score - mark).sum::<f64>() / above as f64;
        highest.next_up().max(mark + mean * (above as f64 / rank).ln())
    }

    /// Alerts a day without any attack, in the days that are judged: one of each user in a week.
    #[must_use]
    pub fn false_alerts(&self, calendar: Calendar, bound: Bound) -> f64 {
        let days = (calendar.days - calendar.judged) as f64;
        self.falsely(calendar, bound).len() as f64 / days
    }

    /// Their days and principals.
    #[must_use]
    pub fn falsely(&self, calendar: Calendar, bound: Bound) -> Vec<(u64, usize)> {
        let Bound::Score(threshold) = bound else {
            return self.told.iter().filter(|(day, _)| *day >= calendar.judged).copied().collect();
        };
        let mut quiet_until = vec![0; self.innocent.first().map_or(0, Vec::len)];
        let mut all = Vec::new();
        for (day, highest) in self.innocent.iter().enumerate().skip(calendar.set as usize) {
            let day = day as u64;
            for (principal, score) in highest.iter().enumerate() {
                if score.is_some_and(|score| score >= threshold) && day >= quiet_until[principal] {
                    quiet_until[principal] = day + 7;
                    if day >= calendar.judged {
                        all.push((day, principal));
                    }
                }
            }
        }
        all
    }

    /// The bound that would have let through so many alerts a day, had it been known.
    #[must_use]
    pub fn in_hindsight(&self, calendar: Calendar, alerts_per_day: f64) -> f64 {
        let mut scores: Vec<f64> = self.innocent[calendar.judged as usize..]
            .iter()
            .flatten()
            .flatten()
            .copied()
            .filter(|score| *score > f64::MIN)
            .collect();
        scores.sort_unstable_by(|one, other| other.total_cmp(one));
        scores.dedup();
        let (mut low, mut high) = (0, scores.len().saturating_sub(1));
        // The lowest threshold that is still fine.
        while low < high {
            let middle = (low + high).div_ceil(2);
            if self.false_alerts(calendar, Bound::Score(scores[middle])) <= alerts_per_day {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        scores.get(low).copied().unwrap_or(f64::MAX)
    }
}

impl Tried {
    #[must_use]
    pub fn alert_ms(&self, bound: Bound) -> Option<u64> {
        match bound {
            Bound::Own => self.told_ms,
            Bound::Score(threshold) => self.found_ms(threshold),
        }
    }
}

/// Of the trials of one attack.
pub struct Summary {
    pub found: Share,
    pub within_a_day: Share,
    /// Hours from the begin to the alert, of those that were found.
    pub hours: Vec<f64>,
    /// Subjects by the alert, and by the cut; of those that were not found, all.
    pub leaked: Vec<f64>,
    pub leaked_by_cut: Vec<f64>,
}

#[must_use]
pub fn summary<'t>(tried: impl Iterator<Item = &'t Tried>, bound: Bound) -> Summary {
    let mut summary = Summary {
        found: Share { part: 0, whole: 0 },
        within_a_day: Share { part: 0, whole: 0 },
        hours: Vec::new(),
        leaked: Vec::new(),
        leaked_by_cut: Vec::new(),
    };
    for one in tried {
        let alert_ms = one.alert_ms(bound);
        summary.found.whole += 1;
        summary.within_a_day.whole += 1;
        if let Some(alert_ms) = alert_ms {
            let hours = (alert_ms - one.begin_ms) as f64 / HOUR_MS as f64;
            summary.found.part += 1;
            summary.within_a_day.part += usize::from(hours <= 24.0);
            summary.hours.push(hours);
            summary.leaked.push(one.leaked(alert_ms) as f64);
            summary.leaked_by_cut.push(one.leaked_by_cut(alert_ms) as f64);
        } else {
            let all = one.leaked_in_all() as f64;
            summary.leaked.push(all);
            summary.leaked_by_cut.push(all);
        }
    }
    summary
}
