//! A company at work, made from a seed: who asks what at which time. It knows nothing of any detector, so
//! that what judges detectors was not written for one of them.

/// A Monday, 2026-06-01, in milliseconds since the Unix epoch.
pub const BEGIN_MS: u64 = 1_780_272_000_000;
pub const MINUTE_MS: u64 = 60_000;
pub const HOUR_MS: u64 = 60 * MINUTE_MS;
pub const DAY_MS: u64 = 24 * HOUR_MS;
pub const SUBJECTS: u64 = 1_000_000;
pub const PRINCIPALS: usize = 200;

/// SplitMix64.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    #[must_use]
    pub fn of(parts: &[u64]) -> Random {
        let mut random = Random(0);
        for part in parts {
            random.0 ^= part.wrapping_mul(0xD6E8_FEB8_6659_FD93);
            random.0 = random.bits();
        }
        random
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Above 0, at most 1.
    pub fn share(&mut self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    pub fn below(&mut self, most: u64) -> u64 {
        self.bits() % most.max(1)
    }

    pub fn happens(&mut self, share: f64) -> bool {
        self.share() < share
    }

    pub fn normal(&mut self) -> f64 {
        (-2.0 * self.share().ln()).sqrt() * (std::f64::consts::TAU * self.share()).cos()
    }

    /// Around `median`, with a long tail above it.
    pub fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }

    /// At least 1; the smaller `alpha`, the heavier the tail.
    pub fn pareto(&mut self, alpha: f64, most: u64) -> u64 {
        (self.share().powf(-1.0 / alpha) as u64).clamp(1, most)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    Support,
    Sales,
    Accounting,
    Analyst,
    Service,
    Batch,
}

impl Role {
    /// Principals are numbered in the order of roles.
    #[must_use]
    pub const fn of(principal: usize) -> Role {
        match principal {
            0..80 => Role::Support,
            80..130 => Role::Sales,
            130..160 => Role::Accounting,
            160..180 => Role::Analyst,
            180..192 => Role::Service,
            _ => Role::Batch,
        }
    }

    /// Median of statements a day; share of lookups of one subject; tail and most of what a search finds.
    const fn habits(self) -> (f64, f64, f64, u64) {
        match self {
            Role::Support => (45.0, 0.85, 1.6, 60),
            Role::Sales => (30.0, 0.60, 1.3, 200),
            Role::Accounting => (25.0, 0.50, 1.2, 400),
            Role::Analyst => (12.0, 0.10, 0.7, 20_000),
            Role::Service => (600.0, 0.97, 1.8, 50),
            Role::Batch => (4.0, 0.0, 0.5, 50_000),
        }
    }
}

/// One execution, and whose data it met.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    pub at_ms: u64,
    pub principal: usize,
    /// Form of the statement, by role: 100 for each.
    pub template: u32,
    pub subjects: Vec<u64>,
    /// Further subjects, which are too many to be named.
    pub further: u64,
    /// The server's error, where it ended in one.
    pub sqlstate: Option<&'static str>,
    pub network: u8,
    pub is_attack: bool,
}

const NAMED_MAX: u64 = 1_000;

/// What everybody does on one day (0 is the first), in order of time.
#[must_use]
pub fn day(seed: u64, day: u64) -> Vec<Event> {
    let mut all: Vec<Event> = (0..PRINCIPALS).flat_map(|one| work(seed, one, day)).collect();
    all.sort_by_key(|event| (event.at_ms, event.principal));
    all
}

/// Whose work it is on that day: one support agent moves to sales on day 36.
fn role_on(principal: usize, day: u64) -> Role {
    if principal == 40 && day >= 36 { Role::Sales } else { Role::of(principal) }
}

fn is_away(seed: u64, principal: usize, day: u64, role: Role) -> bool {
    let mut of_one = Random::of(&[seed, 1, principal as u64]);
    let vacation = of_one.below(60);
    let on_vacation = (vacation..vacation + 7).contains(&day);
    let not_hired = principal == 5 && day < 30;
    let weekend = day % 7 >= 5 && !of_one.happens(0.1);
    let sick = Random::of(&[seed, 2, principal as u64, day]).happens(0.04);
    not_hired || (!matches!(role, Role::Service | Role::Batch) && (on_vacation || weekend || sick))
}

fn work(seed: u64, principal: usize, day: u64) -> Vec<Event> {
    let role = role_on(principal, day);
    let begin_ms = BEGIN_MS + day * DAY_MS;
    let mut of_one = Random::of(&[seed, 3, principal as u64]);
    let mut random = Random::of(&[seed, 4, principal as u64, day]);
    let (median, lookups, alpha, most) = role.habits();
    let own_pace = of_one.log_normal(1.0, 0.5);
    let own_alpha = alpha * (0.8 + 0.4 * of_one.share());
    let first_hour = 7 + of_one.below(3);
    let mut all = Vec::new();
    let incident = day == 33 && principal < 6;
    if is_away(seed, principal, day, role) && !incident {
        return all;
    }
    let month_end = role == Role::Accounting && matches!(day, 28..=30);
    let pace = if month_end { 3.0 } else { 1.0 } * if incident { 2.5 } else { 1.0 };
    let count = random.log_normal(median * own_pace * pace, 0.35).round() as u64;
    let around_the_clock = matches!(role, Role::Service | Role::Batch);
    let mut at_ms = begin_ms;
    let mut left_in_burst = 0;
    for _ in 0..count {
        if left_in_burst == 0 {
            left_in_burst = random.pareto(1.2, 60);
            let hour = if incident {
                1 + random.below(4)
            } else if around_the_clock {
                random.below(24)
            } else {
                first_hour + random.below(8)
            };
            at_ms = begin_ms + hour * HOUR_MS + random.below(HOUR_MS);
        }
        left_in_burst -= 1;
        at_ms += random.log_normal(9_000.0, 1.2) as u64;
        let template = template(&mut random, role, day);
        let looks_up = random.happens(lookups);
        let found = if looks_up { u64::from(!random.happens(0.05)) } else { random.pareto(own_alpha, most) };
        let subjects = (0..found.min(NAMED_MAX)).map(|_| subject(&mut random, principal)).collect();
        let wrong = role == Role::Analyst && random.happens(0.03);
        let event = Event {
            at_ms: at_ms.min(begin_ms + DAY_MS - 1),
            principal,
            template,
            subjects: if wrong { Vec::new() } else { subjects },
            further: if wrong { 0 } else { found.saturating_sub(NAMED_MAX) },
            sqlstate: wrong.then_some("42703"),
            network: (principal % 4) as u8,
            is_attack: false,
        };
        if random.happens(0.02) {
            let again = Event { at_ms: event.at_ms.saturating_add(400), ..event.clone() };
            all.push(Event { sqlstate: Some("40001"), subjects: Vec::new(), further: 0, ..event });
            all.push(Event { at_ms: again.at_ms.min(begin_ms + DAY_MS - 1), ..again });
        } else {
            all.push(event);
        }
    }
    if principal == PRINCIPALS - 1 {
        // The nightly dump.
        let at_ms = begin_ms + 2 * HOUR_MS + random.below(5 * MINUTE_MS);
        let (subjects, further) = ((0..NAMED_MAX).collect(), SUBJECTS - NAMED_MAX);
        all.push(Event {
            at_ms,
            principal,
            template: 599,
            subjects,
            further,
            sqlstate: None,
            network: 3,
            is_attack: false,
        });
    }
    all
}

/// Few are used most. From day 27 on a release brings six more to support and to the services.
fn template(random: &mut Random, role: Role, day: u64) -> u32 {
    let is_released = day >= 27 && matches!(role, Role::Support | Role::Service);
    let which = if is_released && random.happens(0.3) {
        24 + random.below(6)
    } else {
        (random.pareto(0.9, 24) - 1).min(23)
    };
    role as u32 * 100 + which as u32
}

/// Most are one's own customers, and of these some come often.
fn subject(random: &mut Random, principal: usize) -> u64 {
    if random.happens(0.15) {
        return random.below(SUBJECTS);
    }
    let own = random.pareto(0.6, 2_000) - 1;
    (principal as u64 * 5_000 + own) % SUBJECTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_makes_one_company_and_another_makes_another() {
        assert_eq!(day(1, 8), day(1, 8));
        assert_ne!(day(1, 8), day(2, 8));
    }

    #[test]
    fn a_day_is_in_order_and_within_itself() {
        for number in [0, 5, 33] {
            let all = day(1, number);
            assert!(all.windows(2).all(|two| two[0].at_ms <= two[1].at_ms));
            assert!(all.iter().all(|event| (event.at_ms - BEGIN_MS) / DAY_MS == number));
        }
    }

    #[test]
    fn hard_innocents_are_there() {
        let of =
            |number: u64, role: Role| day(1, number).iter().filter(|e| Role::of(e.principal) == role).count();
        assert!(of(29, Role::Accounting) > 2 * of(22, Role::Accounting), "month's end");
        assert!(day(1, 30).iter().any(|e| e.principal == 5) || day(1, 31).iter().any(|e| e.principal == 5));
        assert!((0..30).all(|n| day(1, n).iter().all(|e| e.principal != 5)), "the new hire");
        assert!(day(1, 33).iter().any(|e| e.principal < 6 && e.at_ms % DAY_MS < 5 * HOUR_MS), "incident");
        assert!(day(1, 20).iter().any(|e| e.further == SUBJECTS - 1_000), "the dump");
        let released = |n: u64| day(1, n).iter().any(|e| e.template < 100 && e.template >= 24);
        assert!(!released(26) && released(28), "the release");
    }
}
