//! A company at work, made from a seed: who asks what at which time. It knows nothing of any detector, so
//! that what judges detectors was not written for one of them.

use crate::forms::{Form, RELEASED, SEARCHES};

/// A Monday, 2026-06-22, in milliseconds since the Unix epoch.
pub const BEGIN_MS: u64 = 1_782_086_400_000;
pub const MINUTE_MS: u64 = 60_000;
pub const HOUR_MS: u64 = 60 * MINUTE_MS;
pub const DAY_MS: u64 = 24 * HOUR_MS;
pub const SUBJECTS: u64 = 1_000_000;
/// Networks are numbers. From here on they are neither an office nor somebody's home.
pub const ELSEWHERE: u16 = 1_000;
/// From here on nobody of the company has ever been there.
pub const ABROAD: u16 = 40_000;
/// The last three working days of June and of July.
const MONTH_ENDS: [u64; 6] = [4, 7, 8, 37, 38, 39];
/// Hard innocents, and their days.
const RELEASE: u64 = 27;
const HIRED: (usize, u64) = (5, 30);
const INCIDENT: (usize, u64) = (6, 31);
const MOVES: u64 = 36;

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

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    Support,
    Sales,
    Accounting,
    Analyst,
    Service,
    Batch,
}

impl Role {
    pub const ALL: [Role; 6] =
        [Role::Support, Role::Sales, Role::Accounting, Role::Analyst, Role::Service, Role::Batch];

    /// Median of statements a day; share of lookups of one subject; tail and most of what a search finds.
    const fn habits(self) -> (f64, f64, f64, u64) {
        match self {
            Role::Support => (45.0, 0.85, 1.6, 60),
            Role::Sales => (30.0, 0.60, 1.3, 200),
            Role::Accounting => (25.0, 0.50, 1.2, 400),
            Role::Analyst => (12.0, 0.10, 0.7, 20_000),
            Role::Service => (300.0, 0.97, 1.8, 50),
            Role::Batch => (4.0, 0.0, 0.5, 50_000),
        }
    }

    /// Do people do it?
    #[must_use]
    pub const fn is_human(self) -> bool {
        !matches!(self, Role::Service | Role::Batch)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Role::Support => "support",
            Role::Sales => "sales",
            Role::Accounting => "accounting",
            Role::Analyst => "analysts",
            Role::Service => "services",
            Role::Batch => "batch",
        }
    }
}

/// One execution, and whose data it met.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    pub at_ms: u64,
    pub principal: usize,
    pub form: Form,
    pub rows: u64,
    /// Of its rows, as far as they are named. What it says of others than its rows (an error, a truth
    /// value) is here, too, and in no record.
    pub subjects: Vec<u64>,
    /// The server's error, where it ended in one.
    pub sqlstate: Option<&'static str>,
    /// Its text could not be read: no record but the error.
    pub is_unread: bool,
    /// The gate refused it: a text that is no SQL.
    pub is_refused: bool,
    /// Signs of an injection, as bits (`records::signs`).
    pub signs: u8,
    pub network: u16,
    pub is_attack: bool,
}

/// Rows whose subjects are named.
pub const NAMED_MAX: u64 = 1_000;

/// Principals are numbered in the order of roles.
#[derive(Clone, Copy, Debug)]
pub struct Company {
    pub seed: u64,
    /// Where each role ends.
    ends: [usize; 6],
}

impl Company {
    /// Of 200, or fewer in the same proportions.
    #[must_use]
    pub fn of(seed: u64, principals: usize) -> Company {
        Company { seed, ends: [80, 130, 160, 180, 192, 200].map(|end| end * principals / 200) }
    }

    #[must_use]
    pub const fn principals(&self) -> usize {
        self.ends[5]
    }

    #[must_use]
    pub fn role(&self, principal: usize) -> Role {
        let at = self.ends.iter().position(|end| principal < *end).unwrap_or(5);
        Role::ALL[at]
    }

    /// The principals of a role.
    #[must_use]
    pub fn members(&self, role: Role) -> std::ops::Range<usize> {
        let at = role as usize;
        let begin = if at == 0 { 0 } else { self.ends[at - 1] };
        begin..self.ends[at]
    }

    /// One of support, who moves to sales.
    fn mover(&self) -> usize {
        self.ends[0] / 2
    }

    /// What happens to this principal that is no attack and looks like one.
    #[must_use]
    pub fn special(&self, principal: usize) -> Option<&'static str> {
        if principal == HIRED.0 {
            Some("the new hire")
        } else if principal < INCIDENT.0 {
            Some("works in the incident's night")
        } else if principal == self.mover() {
            Some("moves to sales")
        } else if principal + 1 == self.principals() {
            Some("the nightly dump")
        } else {
            None
        }
    }

    #[must_use]
    pub fn is_special(&self, principal: usize) -> bool {
        self.special(principal).is_some()
    }

    /// What happens on which day, counted from 1.
    #[must_use]
    pub fn events(&self) -> [(u64, &'static str); 5] {
        [
            (RELEASE + 1, "release"),
            (HIRED.1 + 1, "new hire"),
            (INCIDENT.1 + 1, "incident"),
            (MOVES + 1, "change of role"),
            (MONTH_ENDS[4] + 1, "month-end"),
        ]
    }

    /// Whose work it is on that day.
    fn role_on(&self, principal: usize, day: u64) -> Role {
        if principal == self.mover() && day >= MOVES { Role::Sales } else { self.role(principal) }
    }

    fn on_vacation(&self, principal: usize, day: u64) -> bool {
        let begin = Random::of(&[self.seed, 1, principal as u64]).below(60);
        (begin..begin + 7).contains(&day)
    }

    #[must_use]
    pub fn is_away(&self, principal: usize, day: u64) -> bool {
        let works_weekends = Random::of(&[self.seed, 10, principal as u64]).happens(0.1);
        let weekend = day % 7 >= 5 && !works_weekends;
        let sick = Random::of(&[self.seed, 2, principal as u64, day]).happens(0.04);
        let not_hired = principal == HIRED.0 && day < HIRED.1;
        let human = self.role(principal).is_human();
        not_hired || (human && (self.on_vacation(principal, day) || weekend || sick))
    }

    /// What everybody does on one day (0 is the first), in order of time.
    #[must_use]
    pub fn day(&self, day: u64) -> Vec<Event> {
        let mut all: Vec<Event> = (0..self.principals()).flat_map(|one| self.work(one, day)).collect();
        all.sort_by_key(|event| (event.at_ms, event.principal));
        all
    }

    fn work(&self, principal: usize, day: u64) -> Vec<Event> {
        let role = self.role_on(principal, day);
        let incident = day == INCIDENT.1 && principal < INCIDENT.0 && principal != HIRED.0;
        if self.is_away(principal, day) && !incident {
            return Vec::new();
        }
        if role == Role::Batch {
            return self.jobs(principal, day);
        }
        let mut random = Random::of(&[self.seed, 4, principal as u64, day]);
        let own_pace = Random::of(&[self.seed, 11, principal as u64]).log_normal(1.0, 0.5);
        let month_end = role == Role::Accounting && MONTH_ENDS.contains(&day);
        let pace = if month_end { 3.0 } else { 1.0 } * if incident { 2.5 } else { 1.0 };
        let count = random.log_normal(role.habits().0 * own_pace * pace, 0.35).round() as u64;
        self.spell(&mut random, principal, day, count, incident)
    }

    /// So many statements of the principal's usual kind, over one day.
    #[must_use]
    pub fn spell(
        &self,
        random: &mut Random,
        principal: usize,
        day: u64,
        count: u64,
        incident: bool,
    ) -> Vec<Event> {
        let role = self.role_on(principal, day);
        let (_, lookups, alpha, most) = role.habits();
        let mut of_one = Random::of(&[self.seed, 3, principal as u64]);
        let own_alpha = alpha * (0.8 + 0.4 * of_one.share());
        let first_hour = 7 + of_one.below(3);
        let begin_ms = BEGIN_MS + day * DAY_MS;
        let end_ms = begin_ms + DAY_MS - 1;
        let network = self.network(principal, day);
        let (mut at_ms, mut left_in_burst, mut same) = (begin_ms, 0, None);
        let mut all = Vec::new();
        for _ in 0..count {
            if left_in_burst == 0 {
                left_in_burst = random.pareto(1.2, 60);
                same = None;
                let hour = match (incident, role.is_human()) {
                    (true, _) => 1 + random.below(4),
                    (false, true) => first_hour + random.below(8),
                    (false, false) => random.below(24),
                };
                at_ms = begin_ms + hour * HOUR_MS + random.below(HOUR_MS);
            }
            left_in_burst -= 1;
            at_ms += random.log_normal(9_000.0, 1.2) as u64;
            let looks_up = random.happens(lookups);
            let form = form(random, role, day, principal, looks_up);
            let found =
                if looks_up { u64::from(!random.happens(0.05)) } else { random.pareto(own_alpha, most) };
            let mut subjects: Vec<u64> =
                (0..found.min(NAMED_MAX)).map(|_| self.subject(random, principal, day)).collect();
            if looks_up && found == 1 && role.is_human() {
                // One case takes several looks.
                if let Some(subject) = same.filter(|_| random.happens(0.35)) {
                    subjects = vec![subject];
                }
                same = subjects.first().copied();
            }
            let wrong = (role == Role::Analyst && random.happens(0.03))
                || (role == Role::Service && random.happens(0.000_5));
            let event = Event {
                at_ms: at_ms.min(end_ms),
                principal,
                form,
                rows: if wrong { 0 } else { found },
                subjects: if wrong { Vec::new() } else { subjects },
                sqlstate: wrong.then_some(if role == Role::Service { "22P02" } else { "42703" }),
                is_unread: false,
                is_refused: false,
                signs: 0,
                network,
                is_attack: false,
            };
            if random.happens(0.02) {
                // It fails by a conflict, and is tried again.
                let again = Event { at_ms: (event.at_ms + 400).min(end_ms), ..event.clone() };
                all.push(Event { sqlstate: Some("40001"), rows: 0, subjects: Vec::new(), ..event });
                all.push(again);
            } else {
                all.push(event);
            }
        }
        all
    }

    /// The same four every night, of about the same size; the last principal's is a dump of everything.
    fn jobs(&self, principal: usize, day: u64) -> Vec<Event> {
        let mut random = Random::of(&[self.seed, 4, principal as u64, day]);
        let begin_ms = BEGIN_MS + day * DAY_MS;
        let event = |at_ms: u64, form: Form, first: u64, rows: u64| Event {
            at_ms,
            principal,
            form,
            rows,
            subjects: (0..rows.min(NAMED_MAX)).map(|n| (first + n) % SUBJECTS).collect(),
            sqlstate: None,
            is_unread: false,
            is_refused: false,
            signs: 0,
            network: self.office(principal),
            is_attack: false,
        };
        let mut all = Vec::new();
        for job in 0..4_u64 {
            let mut of_job = Random::of(&[self.seed, 12, principal as u64, job]);
            let usual = 200.0 * of_job.share().powf(-1.3);
            let month_end = if job == 0 && MONTH_ENDS.contains(&day) { 4.0 } else { 1.0 };
            let rows = random.log_normal(usual.min(50_000.0) * month_end, 0.15) as u64;
            let at_ms = begin_ms + (1 + job) * HOUR_MS + random.below(10 * MINUTE_MS);
            let first = random.below(SUBJECTS);
            let form = Form::Usual(Role::Batch, SEARCHES + job as u32);
            all.push(event(at_ms, form, first, rows.clamp(1, SUBJECTS)));
        }
        if principal + 1 == self.principals() {
            let at_ms = begin_ms + 2 * HOUR_MS + random.below(5 * MINUTE_MS);
            all.push(event(at_ms, Form::Copy(0), 0, SUBJECTS));
        }
        all.sort_by_key(|event| event.at_ms);
        all
    }

    fn office(&self, principal: usize) -> u16 {
        (principal % 4) as u16
    }

    /// The office, at times the own home, seldom somewhere else.
    fn network(&self, principal: usize, day: u64) -> u16 {
        let mut random = Random::of(&[self.seed, 13, principal as u64, day]);
        if !self.role(principal).is_human() || !random.happens(0.154) {
            return self.office(principal);
        }
        if random.happens(0.026) { ELSEWHERE + random.below(30_000) as u16 } else { 100 + principal as u16 }
    }

    /// People meet mostly their own customers, of these some often; their open cases of the week; and anybody
    /// who calls. Who stands in for a colleague meets those of the colleague. Programs meet everybody.
    fn subject(&self, random: &mut Random, principal: usize, day: u64) -> u64 {
        if !self.role(principal).is_human() || random.happens(0.12) {
            return random.below(SUBJECTS);
        }
        if random.happens(0.06) {
            let case = random.pareto(1.0, 8);
            return Random::of(&[self.seed, 8, principal as u64, day / 7, case]).below(SUBJECTS);
        }
        let stands_in = principal > 0 && self.on_vacation(principal - 1, day) && random.happens(0.4);
        let whose = if stands_in { principal - 1 } else { principal } as u64;
        (whose * 5_000 + random.pareto(0.6, 2_000) - 1) % SUBJECTS
    }
}

/// Few are used most. A release brings six more to support and to the services; analysts write by hand.
fn form(random: &mut Random, role: Role, day: u64, principal: usize, looks_up: bool) -> Form {
    if role == Role::Analyst && random.happens(0.25) {
        return Form::ByHand(random.below(1 << 40) + principal as u64);
    }
    let is_released = day >= RELEASE && matches!(role, Role::Support | Role::Service);
    let most_used = |random: &mut Random, most: u64| (random.pareto(0.9, most) - 1) as u32;
    let which = if is_released && looks_up && random.happens(0.3) {
        RELEASED + random.below(6) as u32
    } else if looks_up {
        most_used(random, u64::from(SEARCHES))
    } else {
        SEARCHES + most_used(random, u64::from(RELEASED - SEARCHES))
    };
    Form::Usual(role, which)
}
