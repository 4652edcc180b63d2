//! One principal, or a group of peers: what it meets, what is normal for it, and how unusual what it meets is.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::known::{Freshness, Known, Met, Recent, TRAITS, Trait};
use super::meter::{AMOUNTS, Amount, DAY_MS, HOUR_MS, Meter, SPAN, SPANS, noise};
use super::normal::{Drift, Normal, PEAKS_OF_DAYS, SAMPLES, SHARED_SAMPLES, Tail, amount, log};
use super::reason::{FAMILIES, Family, Reason, What, keep};

/// Things that one principal is known by.
pub(super) const KNOWN_MAX: usize = 1_024;
/// Bytes of one of its two filters of subjects.
pub(super) const MET_BYTES: usize = 4_096;
/// Hours of a week.
const WEEK: usize = 168;
/// What is new counts for so long.
const HEAT_MS: u64 = HOUR_MS;
/// Nothing is learned of a principal for so long after an alert about it.
pub(super) const PAUSE_MS: u64 = DAY_MS;
/// What goes on is told again after so long, or where it is so much rarer than what was told: in decades.
const AGAIN_MS: u64 = 7 * DAY_MS;
const RARER: f64 = 2.0;
/// Fewer than so many of anything are not unusual.
const LEAST: u64 = 10;
/// Of errors, refusals and misses.
const LEAST_FAULTS: u64 = 5;
/// So many spreads above the middle are one in ten, as long as nothing else is known: within an hour, and
/// within a day.
const UNIT_OF_HOUR: f64 = 2.5;
const UNIT_OF_DAY: f64 = 1.5;
/// Nearer to the middle nothing is unusual.
const ABOVE_MIN: f64 = 2.5;
/// A mean of the latest days varies that much less than one day.
const LEAN_GAIN: f64 = 2.5;
/// Hours that say as much as that nothing is known of them, and how far one can be above the others.
const LEVEL_DOUBT: f32 = 3.0;
const LEVEL_MAX: f32 = 2.5;
/// A normal that has seen less tells a tail nothing.
const RIPE: u32 = 8;
/// The span of a day.
const DAY: usize = 2;
/// Samples of a share, and of its peers' shares: fewer, since acquaintances are made first.
const SHARES: (usize, usize) = (16, 128);
/// Things new within an hour that are taken back at an alert.
const FRESH_MAX: usize = 32;

/// Something new within the last hour.
#[derive(Clone, Debug)]
struct Heat {
    score: f64,
    at_ms: u64,
    count: u32,
    words: Arc<str>,
}

/// What is measured of somebody, and what is normal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Body {
    since_ms: u64,
    meter: Meter,
    /// Numbers of the periods that go on, by span.
    periods: [u64; SPANS],
    peaks: [[u64; AMOUNTS]; SPANS],
    normals: Vec<Normal>,
    /// Below these nothing is unusual until the hour is over, in the order of normals: most that is counted ends
    /// here, and touches nothing else.
    #[serde(skip)]
    floors: Vec<u64>,
}

const fn place(span: usize, amount: usize) -> usize {
    span * AMOUNTS + amount
}

/// Tails of all spans and amounts.
pub(super) fn tails() -> Vec<Tail> {
    vec![Tail::default(); SPANS * AMOUNTS]
}

pub(super) fn normals() -> Vec<Normal> {
    vec![Normal::default(); SPANS * AMOUNTS]
}

/// With what a body is compared, and whom it teaches.
pub(super) struct Teaching<'t> {
    /// The peers' normals and tails.
    pub(super) peers: Option<(&'t mut Vec<Normal>, &'t mut Vec<Tail>)>,
    /// How often something new comes to them.
    pub(super) freshness: Option<&'t mut Freshness>,
    /// Everybody's.
    pub(super) tails: &'t mut Vec<Tail>,
    pub(super) drift: Drift,
    /// Nothing is learned.
    pub(super) is_paused: bool,
}

/// What a body is compared with.
pub(super) struct Compared<'c> {
    /// Normals and tails of the peers; none where it is theirs itself.
    pub(super) peers: Option<(&'c [Normal], &'c [Tail])>,
    /// Everybody's.
    pub(super) tails: &'c [Tail],
    /// Hours of a day in which there is something to compare: at least 1.
    pub(super) hours_a_day: f64,
}

impl Body {
    pub(super) fn new() -> Body {
        Body {
            since_ms: 0,
            meter: Meter::new(),
            periods: [0; SPANS],
            peaks: [[0; AMOUNTS]; SPANS],
            normals: normals(),
            floors: Vec::new(),
        }
    }

    pub(super) fn fits(&self) -> bool {
        self.meter.fits() && self.normals.len() == SPANS * AMOUNTS
    }

    pub(super) fn normal(&self, span: usize, amount: usize) -> Option<&Normal> {
        self.normals.get(place(span, amount))
    }

    pub(super) fn sums(&self, span: usize) -> [u64; AMOUNTS] {
        self.meter.sums(span)
    }

    /// Ends the periods that have passed: their peaks are samples of what is normal. `levels`: of the hour that
    /// was, and of the one that is.
    pub(super) fn roll(&mut self, teaching: &mut Teaching<'_>, levels: (f32, f32), now_ms: u64) {
        let day = u32::try_from(now_ms / DAY_MS).unwrap_or(u32::MAX);
        if self.since_ms == 0 {
            self.since_ms = now_ms;
        }
        let old_ms = now_ms.saturating_sub(self.since_ms);
        let mut is_over = self.floors.is_empty();
        for (index, span) in SPAN.iter().enumerate() {
            let period = now_ms / span.period_ms;
            let Some(held) = self.periods.get_mut(index) else { continue };
            if *held == period {
                continue;
            }
            is_over = true;
            let is_first = *held == 0;
            *held = period;
            let Some(peaks) = self.peaks.get_mut(index) else { continue };
            let ended = std::mem::replace(peaks, [0; AMOUNTS]);
            let idle = ended.iter().all(|peak| *peak == 0);
            // A span that has not passed yet only grows.
            if is_first || idle || teaching.is_paused || old_ms < span.ms() {
                continue;
            }
            // The hour of the week is taken out of what lasts for less than a day.
            let level = if span.period_ms < DAY_MS { levels.0 } else { 0.0 };
            for ((which, peak), amount) in ended.iter().enumerate().zip(Amount::ALL) {
                let is_share = amount.part().is_some();
                // Of too few statements there was no share; and records may tell no bytes.
                if *peak == 0 && (is_share || amount == Amount::Bytes && Amount::Rows.of(&ended) > 0) {
                    continue;
                }
                let at = place(index, which);
                let (Some(own), Some(tail)) = (self.normals.get_mut(at), teaching.tails.get_mut(at)) else {
                    continue;
                };
                let (mut peers, peers_tail) = match &mut teaching.peers {
                    Some((normals, tails)) => (normals.get_mut(at), tails.get_mut(at)),
                    None => (None, None),
                };
                let none = Normal::default();
                let sample = log(*peak) - if *peak > 0 && !is_share { level } else { 0.0 };
                if own.seen() >= RIPE
                    && let Some((center, scale)) =
                        own.expected(peers.as_deref().unwrap_or(&none), span.scale_min)
                {
                    let above = (sample - center) / scale;
                    own.lean(above);
                    own.teach(tail, peers_tail, above);
                }
                let (of_own, of_all) = if is_share { SHARES } else { (SAMPLES, SHARED_SAMPLES) };
                own.learn(sample, day, teaching.drift, of_own);
                if let Some(peers) = &mut peers {
                    peers.learn(sample, day, teaching.drift, of_all);
                }
            }
        }
        if is_over {
            let peers = teaching.peers.as_ref().map(|(normals, _)| normals.as_slice());
            self.set_floors(peers, levels.1);
        }
    }

    fn set_floors(&mut self, peers: Option<&[Normal]>, level: f32) {
        let none = Normal::default();
        self.floors.clear();
        for (at, own) in self.normals.iter().enumerate() {
            let is_share = Amount::ALL.get(at % AMOUNTS).is_some_and(|amount| amount.part().is_some());
            let span = SPAN.get(at / AMOUNTS);
            let scale_min = span.map_or(0.0, |span| span.scale_min);
            let level =
                if is_share || span.is_none_or(|span| span.period_ms >= DAY_MS) { 0.0 } else { level };
            let peers = peers.and_then(|peers| peers.get(at)).unwrap_or(&none);
            self.floors.push(amount(own.lowest(peers) + scale_min + level).saturating_sub(1));
        }
    }

    pub(super) fn add(&mut self, amounts: &[u32; AMOUNTS], subjects: &[u64], now_ms: u64) {
        self.meter.add(amounts, subjects, now_ms);
    }

    /// Compares what has been counted with what is normal. The strongest reasons, of volume and of
    /// enumeration, go to `best`.
    pub(super) fn judge(
        &mut self,
        compared: &Compared<'_>,
        level: f32,
        best: &mut [Option<Reason>; FAMILIES],
    ) {
        let of_group = compared.peers.is_none();
        let none = Normal::default();
        for (index, span) in SPAN.iter().enumerate() {
            let sums = self.meter.sums(index);
            let level = if span.period_ms < DAY_MS { level } else { 0.0 };
            for (which, sum) in Amount::ALL.into_iter().zip(sums) {
                let at = place(index, which.index());
                let peak = self.peaks.get_mut(index).and_then(|peaks| peaks.get_mut(which.index()));
                if let Some(peak) = peak {
                    // Of a share the latest: the highest would be one of few statements.
                    *peak = if which.part().is_some() && sum > 0 { sum } else { sum.max(*peak) };
                }
                // Most that is counted ends here.
                if self.floors.get(at).is_some_and(|floor| sum < *floor) {
                    continue;
                }
                let (family, least) = match which {
                    Amount::Rows | Amount::Cells | Amount::Subjects | Amount::Bytes => {
                        (Family::Volume, LEAST)
                    }
                    Amount::Strangers
                    | Amount::Encounters
                    | Amount::Returns
                    | Amount::Lookups
                    | Amount::Steps => (Family::Enumeration, LEAST),
                    Amount::Misses | Amount::StrangersShare | Amount::MissesShare => {
                        (Family::Enumeration, LEAST_FAULTS)
                    }
                    Amount::Errors => (Family::Injection, LEAST_FAULTS),
                };
                let counts = !of_group
                    || (matches!(which, Amount::Subjects | Amount::Strangers) && (index == 1 || index == 2));
                let part = which.part().map(|part| part.of(&sums));
                if part.unwrap_or(sum) < least || !counts {
                    continue;
                }
                let value = log(sum);
                let level = if part.is_some() { 0.0 } else { level };
                let (Some(own), Some(tail)) = (self.normals.get(at), compared.tails.get(at)) else {
                    continue;
                };
                // Who is new is compared with the peers over a day, and not over more than it has seen.
                if index > DAY && own.seen() < RIPE {
                    continue;
                }
                // Nor by whom it meets first: to who is new everybody is.
                let days = self.normals.get(place(DAY, which.index())).map_or(0, Normal::seen);
                if part.is_some() && days < RIPE {
                    continue;
                }
                let peers = compared.peers.and_then(|(peers, _)| peers.get(at)).unwrap_or(&none);
                let peers_tail = compared.peers.and_then(|(_, tails)| tails.get(at));
                let Some((center, scale)) = own.expected(peers, span.scale_min) else { continue };
                let center = center + level;
                // Of few statements a share varies by chance.
                let scale = part.map_or(scale, |part| scale.max(noise(part, Amount::Lookups.of(&sums))));
                let mut above = f64::from((value - center) / scale);
                let unit = if span.period_ms < DAY_MS { UNIT_OF_HOUR } else { UNIT_OF_DAY };
                // A little too much each day is as unusual as much too much on one.
                if above > 1.0 && index == DAY && own.seen() >= RIPE {
                    above = above.max(LEAN_GAIN * f64::from(own.leans()));
                }
                if above < ABOVE_MIN || own.is_allowed(value) || (of_group && own.seen() < RIPE) {
                    continue;
                }
                let of_all = tail.rarity(above, above / unit);
                let rarity = peers_tail.map_or(of_all, |tail| tail.rarity(above, of_all));
                // What is rare among hours is less so in a day.
                let hours = if span.period_ms < DAY_MS { compared.hours_a_day.log10() } else { 0.0 };
                let score = (rarity - hours).clamp(0.0, 8.0);
                let family = if of_group { Family::Together } else { family };
                let what = What::Amount {
                    amount: which,
                    span: index,
                    sum,
                    center,
                    scale,
                    own: own.seen(),
                    of_group,
                };
                keep(best, family, score, || what);
            }
        }
    }

    /// What it has met by now is fine.
    pub(super) fn allow(&mut self, logs: &[f32]) {
        for (normal, log) in self.normals.iter_mut().zip(logs) {
            normal.allow(*log);
        }
    }

    /// Logarithms of all that is counted now, in the order of normals.
    pub(super) fn logs(&self) -> Vec<f32> {
        (0..SPANS).flat_map(|span| self.meter.sums(span)).map(log).collect()
    }
}

/// One principal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Principal {
    /// Login user.
    pub(super) user: String,
    pub(super) group: String,
    pub(super) first_ms: u64,
    pub(super) last_ms: u64,
    pub(super) body: Body,
    pub(super) known: Known,
    pub(super) met: Met,
    /// Those that it met first a short time ago.
    pub(super) recent: Recent,
    freshness: Freshness,
    /// Active hours, by hour of the week, and how much was met in them: a logarithm.
    hours: Vec<u16>,
    levels: Vec<f32>,
    active_hours: u32,
    /// Of its days, and of the one that goes on.
    hours_a_day: f32,
    hours_today: u32,
    hour: u64,
    day: u64,
    /// Of the hour that goes on.
    level: f32,
    /// Looked at for the third time on the day that goes on.
    repeats: u32,
    /// The highest score of the day, and whether it was told.
    pub(super) day_score: f64,
    /// The part of its latest days that were high.
    high: f32,
    pub(super) paused_until_ms: u64,
    /// The last alert of each family: when, and how rare it was.
    told: [(u64, f64); FAMILIES],
    #[serde(skip)]
    heat: [Option<Heat>; TRAITS],
    #[serde(skip)]
    pub(super) fresh: Vec<(u32, u64)>,
    /// What the last outcomes told so far, by session and number.
    #[serde(skip)]
    parts: [((u64, u64), SoFar); 4],
    #[serde(skip)]
    part: usize,
    /// Hashes of what was set out to do of which all had been met today, at most [`USUAL_MAX`].
    #[serde(skip)]
    usual: [u64; USUAL_MAX],
}

/// Rows, cells, subjects without a name and bytes of one execution.
pub(super) type SoFar = [u64; 4];
const USUAL_MAX: usize = 32;
/// Fewer subjects that are looked at again and again are not unusual.
const REPEATS_MIN: u32 = 3;

impl Principal {
    pub(super) fn new(user: &str, group: &str, now_ms: u64) -> Principal {
        Principal {
            user: user.to_owned(),
            group: group.to_owned(),
            first_ms: now_ms,
            last_ms: now_ms,
            body: Body::new(),
            known: Known::default(),
            met: Met::new(MET_BYTES),
            recent: Recent::default(),
            freshness: Freshness::default(),
            hours: vec![0; WEEK],
            levels: vec![0.0; WEEK],
            active_hours: 0,
            hours_a_day: 6.0,
            hours_today: 0,
            hour: 0,
            day: now_ms / DAY_MS,
            level: 0.0,
            repeats: 0,
            day_score: 0.0,
            high: 0.0,
            paused_until_ms: 0,
            told: [(0, 0.0); FAMILIES],
            heat: Default::default(),
            fresh: Vec::new(),
            parts: Default::default(),
            part: 0,
            usual: [0; USUAL_MAX],
        }
    }

    pub(super) fn fits(&self) -> bool {
        self.body.fits()
            && self.met.fits(MET_BYTES)
            && self.recent.fits()
            && self.hours.len() == WEEK
            && self.levels.len() == WEEK
    }

    /// What it takes, in bytes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let body = self.body.meter.bytes() + self.body.normals.iter().map(Normal::bytes).sum::<usize>();
        let rest = 2 * MET_BYTES + Recent::BYTES + 6 * WEEK + 16 * FRESH_MAX;
        size_of::<Principal>() + body + self.known.bytes() + rest
    }

    pub(super) fn is_paused(&self, now_ms: u64) -> bool {
        now_ms < self.paused_until_ms
    }

    fn slot(now_ms: u64) -> usize {
        // The epoch was a Thursday: three days behind a Monday.
        usize::try_from((now_ms / HOUR_MS + 72) % WEEK as u64).unwrap_or(0)
    }

    /// Hours of one of its days in which it is here, in the mean of the latest: at least 1.
    pub(super) fn hours_a_day(&self) -> f64 {
        f64::from(self.hours_a_day.max(1.0))
    }

    /// By how much more than usual is met at the hour that goes on, as a logarithm.
    pub(super) fn level(&self) -> f32 {
        self.level
    }

    /// The same of any hour of the week.
    fn level_of(&self, now_ms: u64) -> f32 {
        let slot = Self::slot(now_ms);
        let of = |slot: usize| {
            let level = self.levels.get(slot % WEEK).copied().unwrap_or(0.0);
            (level, self.hours.get(slot % WEEK).copied().map_or(0.0, f32::from))
        };
        // The same hour of other days says something of it, too.
        let (mut sum, mut all) = (0.0, 0.0);
        for (level, count) in (0..7).map(|day| of(slot + 24 * day)) {
            sum += level * count;
            all += count;
        }
        let of_day = sum / (all + LEVEL_DOUBT);
        let (level, count) = of(slot);
        ((level * count + of_day * LEVEL_DOUBT) / (count + LEVEL_DOUBT)).clamp(-1.0, LEVEL_MAX)
    }

    /// The highest score of a day that has ended, where one has.
    pub(super) fn begin(&mut self, teaching: &mut Teaching<'_>, now_ms: u64) -> Option<f64> {
        let hour = now_ms / HOUR_MS;
        if hour <= self.hour {
            return None;
        }
        // By what was known before: nothing explains itself.
        let before = self.level_of(self.hour.saturating_mul(HOUR_MS));
        if self.hour > 0 && !teaching.is_paused {
            self.learn_hour(teaching.drift);
        }
        self.level = self.level_of(now_ms);
        self.body.roll(teaching, (before, self.level), now_ms);
        let is_new = self.hour == 0;
        let away_ms = now_ms.saturating_sub(self.last_ms);
        self.hour = hour;
        if !is_new {
            self.surprise_of_hour(now_ms, away_ms);
        }
        let day = now_ms / DAY_MS;
        if day == self.day {
            self.hours_today += 1;
            return None;
        }
        self.day = day;
        self.repeats = 0;
        self.forget_usual();
        self.hours_a_day += 0.1 * (self.hours_today as f32 - self.hours_a_day);
        self.hours_today = 1;
        if !teaching.is_paused {
            self.freshness.end_day(teaching.freshness.as_deref_mut());
        }
        Some(std::mem::replace(&mut self.day_score, 0.0))
    }

    /// Of the hour that has ended, how much was met in it.
    fn learn_hour(&mut self, drift: Drift) {
        let slot = Self::slot(self.hour.saturating_mul(HOUR_MS));
        let quarter = 1;
        let peak = self.body.peaks.get(quarter).map_or(0, |peaks| Amount::Cells.of(peaks));
        let usual = self.body.normal(quarter, Amount::Cells.index()).map_or(0.0, Normal::center);
        if let (Some(level), Some(count)) = (self.levels.get_mut(slot), self.hours.get_mut(slot)) {
            *count = count.saturating_add(1);
            self.active_hours = self.active_hours.saturating_add(1);
            if peak > 0 && self.active_hours > 8 {
                let weight = 1.0 / (f32::from(*count).min(6.0) + 1.0);
                // Once it is learned it comes again in a week, and rises by no more than the drift of seven days.
                let days = self.hour.saturating_mul(HOUR_MS).saturating_sub(self.first_ms) / DAY_MS;
                let is_free = days < u64::from(drift.free_days);
                let most = if is_free { 1.0 } else { 7.0 * drift.per_day };
                *level += weight * (log(peak) - usual - *level).clamp(-1.0, most);
            }
        }
    }

    /// Is it unusual to be here at this hour, or after so long?
    fn surprise_of_hour(&mut self, now_ms: u64, away_ms: u64) {
        let weeks = now_ms.saturating_sub(self.first_ms) as f64 / (7 * DAY_MS) as f64;
        let days_away = away_ms / DAY_MS;
        if days_away >= 21 && weeks > 2.0 {
            let score = ((days_away as f64) / 7.0).log10() + 0.7;
            self.warm(Trait::Return, score, now_ms, || format!("back after {days_away} days"));
        }
        if weeks < 1.5 || self.active_hours < 20 {
            return;
        }
        let slot = Self::slot(now_ms);
        let count = |at: usize| f64::from(self.hours.get(at % WEEK).copied().unwrap_or(0));
        let near: f64 = count(slot) + 0.5 * (count(slot + 1) + count(slot + WEEK - 1));
        let same: f64 = (0..7).map(|day| count(slot + 24 * day)).sum::<f64>();
        let share = (near.max(same / 5.0) + 0.3) / (weeks + 1.0);
        let score = -share.min(1.0).log10() * 1.5;
        if score > 0.3 {
            let (day, hour) = (slot / 24, slot % 24);
            let name = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
            let name = name.get(day).copied().unwrap_or_default();
            self.warm(Trait::Hour, score, now_ms, || {
                format!("access on a {name} at {hour:02}h UTC, where it was seen {same:.0} times at that hour of any day")
            });
        }
    }

    fn warm(&mut self, which: Trait, score: f64, now_ms: u64, words: impl FnOnce() -> String) {
        let score = score.min(which.most());
        let Some(place) = self.heat.get_mut(which.index()) else { return };
        match place {
            Some(heat) if now_ms < heat.at_ms.saturating_add(HEAT_MS) => {
                heat.count = heat.count.saturating_add(1);
                if score > heat.score {
                    (heat.score, heat.words) = (score, words().into());
                }
            }
            Some(_) | None => *place = Some(Heat { score, at_ms: now_ms, count: 1, words: words().into() }),
        }
    }

    /// Something that this principal has not done before. `of_peers`: they have.
    pub(super) fn is_new(
        &mut self,
        which: Trait,
        of_peers: bool,
        peers: &Freshness,
        now_ms: u64,
        shown: &str,
    ) {
        let surprise = self.freshness.surprise(which, of_peers, peers);
        self.freshness.note(which, of_peers);
        if surprise > 0.1 {
            let by = if of_peers { "new to it, not to its peers" } else { "new to its peers, too" };
            let what = which.words();
            self.warm(which, surprise, now_ms, || format!("{what} ({shown}), {by}"));
        }
    }

    /// So that it can be taken back.
    pub(super) fn note_fresh(&mut self, hash: u32, now_ms: u64) {
        self.fresh.retain(|(_, at_ms)| now_ms < at_ms.saturating_add(HEAT_MS));
        if self.fresh.len() < FRESH_MAX {
            self.fresh.push((hash, now_ms));
        }
    }

    /// Has the like of it been told? Within a day anything, but what is far rarer, or speaks for itself; within a
    /// week what leads to the same kind of reason.
    pub(super) fn is_told(&self, family: usize, rarity: f64, now_ms: u64) -> bool {
        let of_others = if Family::ALL.get(family).is_some_and(|one| one.speaks()) { 0 } else { PAUSE_MS };
        self.told.iter().enumerate().any(|(one, (at_ms, how_rare))| {
            let quiet_ms = if Family::are_alike(one, family) { AGAIN_MS } else { of_others };
            *at_ms > 0 && now_ms < at_ms.saturating_add(quiet_ms) && rarity < how_rare + RARER
        })
    }

    pub(super) fn tell(&mut self, family: usize, rarity: f64, now_ms: u64) {
        self.forget_usual();
        if let Some(told) = self.told.get_mut(family) {
            *told = (now_ms, rarity);
        }
    }

    pub(super) fn forget_told(&mut self) {
        self.told = [(0, 0.0); FAMILIES];
    }

    /// What was new within the hour, to take it back.
    pub(super) fn take_fresh(&mut self, now_ms: u64) -> Vec<u32> {
        let fresh = self.fresh.drain(..).filter(|(_, at_ms)| now_ms < at_ms.saturating_add(HEAT_MS));
        fresh.map(|(hash, _)| hash).collect()
    }

    /// Tells the tails of days, of all and of its peers, how high one of its days was.
    pub(super) fn teach(&mut self, days: &mut Tail, peers: &mut Tail, highest: f64) {
        let mut high = self.high;
        days.hear(highest, &mut high, PEAKS_OF_DAYS);
        peers.hear(highest, &mut self.high, PEAKS_OF_DAYS);
    }

    /// What is new within the hour, together, goes to `best`.
    pub(super) fn judge_novelty(&mut self, now_ms: u64, best: &mut [Option<Reason>; FAMILIES]) {
        let mut sum = 0.0;
        let mut strongest: [Option<&Heat>; 3] = [None; 3];
        for heat in self.heat.iter().flatten() {
            if now_ms >= heat.at_ms.saturating_add(HEAT_MS) {
                continue;
            }
            sum += heat.score;
            let mut heat = Some(heat);
            for place in &mut strongest {
                if heat.map_or(0.0, |heat| heat.score) > place.map_or(0.0, |held| held.score) {
                    std::mem::swap(place, &mut heat);
                }
            }
        }
        keep(best, Family::Novelty, sum.min(6.0), || {
            let words: Vec<String> = strongest
                .iter()
                .flatten()
                .map(|heat| match heat.count {
                    1 => heat.words.to_string(),
                    count => format!("{} and {} like it within an hour", heat.words, count - 1),
                })
                .collect();
            What::Words(words.join(", ").into())
        });
    }

    pub(super) fn cool(&mut self) {
        self.heat = Default::default();
    }

    /// Have all things that this one is made of been met today?
    pub(super) fn is_usual(&self, hash: u64) -> bool {
        self.usual.get(usize::try_from(hash % USUAL_MAX as u64).unwrap_or(0)) == Some(&hash)
    }

    pub(super) fn is_usual_now(&mut self, hash: u64) {
        let at = usize::try_from(hash % USUAL_MAX as u64).unwrap_or(0);
        self.usual.get_mut(at).into_iter().for_each(|place| *place = hash);
    }

    fn forget_usual(&mut self) {
        self.usual = [0; USUAL_MAX];
    }

    /// Somebody whom it met first a short time ago is looked at for the third time.
    pub(super) fn repeat(&mut self, peers: &Freshness, best: &mut [Option<Reason>; FAMILIES]) {
        self.freshness.note(Trait::Repeat, false);
        self.repeats = self.repeats.saturating_add(1);
        if self.repeats < REPEATS_MIN {
            return;
        }
        let (score, share) = self.freshness.surprise_of(Trait::Repeat, self.repeats, peers);
        let count = self.repeats;
        keep(best, Family::Enumeration, score.min(6.0), || {
            let words = format!(
                "{count} data subjects looked at for the third time within three days, on one day; {:.0} % of such days \
                 have any",
                100.0 * share
            );
            What::Words(words.into())
        });
    }

    /// What has come since the last outcome of the same execution, and whether it is the first: a long one tells
    /// several times.
    pub(super) fn since(&mut self, execution: (u64, u64), so_far: SoFar) -> (SoFar, bool) {
        for (of, told) in &mut self.parts {
            if *of == execution {
                let mut more = so_far;
                more.iter_mut().zip(&*told).for_each(|(more, told)| *more = more.saturating_sub(*told));
                *told = so_far;
                return (more, false);
            }
        }
        if let Some(part) = self.parts.get_mut(self.part) {
            *part = (execution, so_far);
        }
        self.part = (self.part + 1) % self.parts.len();
        (so_far, true)
    }
}
