//! What an attacker does with one account, or five: made from a seed, beside the usual work of the day.

use crate::company::{ABROAD, BEGIN_MS, Company, DAY_MS, Event, HOUR_MS, Random, Role, SUBJECTS};
use crate::forms::{Form, Recorded, SEARCHES, Technique, UNUSED, injected};
use crate::judges::kinds;

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Attack {
    Bulk,
    Copy,
    Dump,
    InOrder,
    Shuffled,
    /// In all so many times as many lookups as one's own normal, over three days; those besides are of
    /// anybody.
    Scraping(f64),
    /// The same, of the kind that one does anyway.
    More(f64),
    /// From another network, as much as usual: within the hours, or at night.
    Stolen(bool),
    Injection(Technique),
    /// Five people with whom the account has nothing to do, four looks each within a day.
    Snooping,
    /// Another role's statements, for a day.
    Masquerade,
    /// Every other day one more field of other tables, for ten days.
    Creeping,
    /// Five accounts, a part of one slice each.
    Colluding,
    /// Four percent more each day for twenty days, then five times the normal.
    Poisoning,
}

impl Attack {
    pub const ALL: [Attack; 24] = [
        Attack::Bulk,
        Attack::Copy,
        Attack::Dump,
        Attack::InOrder,
        Attack::Shuffled,
        Attack::Injection(Technique::Union),
        Attack::Injection(Technique::Error),
        Attack::Injection(Technique::Boolean),
        Attack::Injection(Technique::Time),
        Attack::Scraping(1.2),
        Attack::Scraping(1.5),
        Attack::Scraping(2.0),
        Attack::Scraping(5.0),
        Attack::More(1.2),
        Attack::More(1.5),
        Attack::More(2.0),
        Attack::More(5.0),
        Attack::Stolen(false),
        Attack::Stolen(true),
        Attack::Masquerade,
        Attack::Creeping,
        Attack::Snooping,
        Attack::Colluding,
        Attack::Poisoning,
    ];

    #[must_use]
    pub fn name(self) -> String {
        match self {
            Attack::Bulk => "bulk SELECT".into(),
            Attack::Copy => "COPY".into(),
            Attack::Dump => "pg_dump".into(),
            Attack::InOrder => "enumeration, in order".into(),
            Attack::Shuffled => "enumeration, shuffled".into(),
            Attack::Scraping(times) => format!("scraping of anybody, {times} x"),
            Attack::More(times) => format!("scraping of one's own, {times} x"),
            Attack::Stolen(false) => "stolen credentials, by day".into(),
            Attack::Stolen(true) => "stolen credentials, at night".into(),
            Attack::Injection(technique) => format!("injection, {}", format!("{technique:?}").to_lowercase()),
            Attack::Snooping => "snooping on five people".into(),
            Attack::Masquerade => "masquerade as another role".into(),
            Attack::Creeping => "creeping columns".into(),
            Attack::Colluding => "five accounts, one slice".into(),
            Attack::Poisoning => "poisoning, then 5 x".into(),
        }
    }

    /// Of what an alert has to speak that has found it.
    #[must_use]
    pub const fn kinds(self) -> u8 {
        match self {
            Attack::Bulk | Attack::Copy | Attack::Dump | Attack::Masquerade | Attack::Creeping => {
                kinds::AMOUNT | kinds::FORM
            }
            Attack::InOrder
            | Attack::Shuffled
            | Attack::Scraping(_)
            | Attack::More(_)
            | Attack::Snooping
            | Attack::Colluding
            | Attack::Poisoning => kinds::AMOUNT,
            Attack::Stolen(_) => kinds::AMOUNT | kinds::PLACE,
            Attack::Injection(_) => kinds::INJECTION | kinds::FORM,
        }
    }

    /// Days that it takes.
    #[must_use]
    pub const fn days(self) -> u64 {
        match self {
            Attack::Scraping(_) | Attack::More(_) => 3,
            Attack::Creeping => 10,
            Attack::Poisoning => 21,
            _ => 1,
        }
    }
}

/// One attack of one seed.
#[derive(Clone, Copy)]
pub struct Scene {
    pub company: Company,
    pub attack: Attack,
    pub seed: u64,
    pub victim: usize,
    /// The victim's statements of a usual day, as the attacker has counted them.
    pub normal: f64,
    /// Its first day.
    pub begin: u64,
}

impl Scene {
    /// Who and when: any person, or a service for an injection, on a day of work within the days that nothing is
    /// tuned on.
    #[must_use]
    pub fn of(
        company: Company,
        attack: Attack,
        seed: u64,
        normals: &[f64],
        days: std::ops::Range<u64>,
    ) -> Scene {
        let mut random = Random::of(&[seed, 20, company.seed]);
        let services = company.members(Role::Service);
        loop {
            let victim = if matches!(attack, Attack::Injection(_)) {
                services.start + random.below(services.len() as u64) as usize
            } else {
                random.below(company.members(Role::Analyst).end as u64) as usize
            };
            let last = days.end - attack.days().min(days.end - days.start);
            let begin = days.start + random.below(last - days.start + 1);
            let colluding = attack == Attack::Colluding
                && (company.role(victim + 4) != company.role(victim) || company.is_special(victim + 4));
            if begin % 7 < 5 && !company.is_away(victim, begin) && !company.is_special(victim) && !colluding {
                return Scene { company, attack, seed, victim, normal: normals[victim], begin };
            }
        }
    }

    #[must_use]
    pub fn attackers(&self) -> std::ops::Range<usize> {
        let count = if self.attack == Attack::Colluding { 5 } else { 1 };
        self.victim..self.victim + count
    }

    fn event(&self, at_ms: u64, form: Form, subjects: Vec<u64>) -> Event {
        Event {
            at_ms,
            principal: self.victim,
            form,
            rows: subjects.len() as u64,
            subjects,
            sqlstate: None,
            is_unread: false,
            is_refused: false,
            signs: 0,
            network: (self.victim % 4) as u16,
            is_attack: true,
        }
    }

    /// A usual lookup of the victim.
    fn lookup(&self, at_ms: u64, which: u64, subject: u64) -> Event {
        let form = Form::Usual(self.company.role(self.victim), (which % 3) as u32);
        self.event(at_ms, form, vec![subject])
    }

    fn much(&self, at_ms: u64, form: Form, rows: u64) -> Event {
        Event { rows, ..self.event(at_ms, form, (0..crate::company::NAMED_MAX).collect()) }
    }

    /// So many lookups of anybody over the hours of work.
    fn spread(&self, random: &mut Random, begin_ms: u64, count: f64) -> Vec<Event> {
        let one = |random: &mut Random| {
            let at_ms = begin_ms + 8 * HOUR_MS + random.below(8 * HOUR_MS);
            let which = random.bits();
            self.lookup(at_ms, which, random.below(SUBJECTS))
        };
        (0..count.round() as u64).map(|_| one(random)).collect()
    }

    /// What the attack adds on its n-th day, in order of time.
    #[must_use]
    pub fn day(&self, nth: u64) -> Vec<Event> {
        let day = self.begin + nth;
        let mut random = Random::of(&[self.seed, 5, self.victim as u64, day]);
        let begin_ms = BEGIN_MS + day * DAY_MS;
        let morning_ms = begin_ms + 9 * HOUR_MS + random.below(5 * HOUR_MS);
        let role = self.company.role(self.victim);
        let start = random.below(SUBJECTS / 2);
        let weekend = day % 7 >= 5;
        let mut all = match self.attack {
            Attack::Bulk => vec![self.much(morning_ms, Form::Whole(0), 20_000 + random.below(200_000))],
            Attack::Copy => vec![self.much(morning_ms, Form::Copy(0), 300_000)],
            Attack::Dump => (0..6_u64)
                .map(|n| self.much(morning_ms + n * 12_000, Form::Copy(n as usize), SUBJECTS))
                .collect(),
            Attack::InOrder => {
                (0..5_000).map(|n| self.lookup(morning_ms + n * 1_000, 0, start + n)).collect()
            }
            Attack::Shuffled => (0..5_000)
                .map(|n| {
                    let event = self.lookup(morning_ms + n * 1_000, 0, random.below(SUBJECTS));
                    // Numbers that nobody has.
                    if random.happens(0.3) { Event { rows: 0, subjects: Vec::new(), ..event } } else { event }
                })
                .collect(),
            Attack::Scraping(_) | Attack::More(_) | Attack::Poisoning if weekend => Vec::new(),
            Attack::Scraping(times) => self.spread(&mut random, begin_ms, self.normal * (times - 1.0)),
            Attack::More(times) => {
                let count = (self.normal * (times - 1.0)).round() as u64;
                let all = self.company.spell(&mut random, self.victim, day, count, false);
                all.into_iter().map(|event| Event { is_attack: true, ..event }).collect()
            }
            Attack::Stolen(at_night) => {
                let from_ms = if at_night { begin_ms + 22 * HOUR_MS } else { morning_ms };
                // One half from abroad, the others from a network that is as good as any.
                let network = if self.seed.is_multiple_of(2) { ABROAD } else { 35_001 };
                (0..60)
                    .map(|n| {
                        let event = self.lookup(from_ms + n * 20_000, n, random.below(SUBJECTS));
                        Event { network, ..event }
                    })
                    .collect()
            }
            Attack::Injection(technique) => self.injection(&mut random, technique, morning_ms),
            Attack::Snooping => {
                let all = self.spread(&mut random, begin_ms, 20.0).into_iter().enumerate();
                all.map(|(n, event)| Event { subjects: vec![start + n as u64 % 5], ..event }).collect()
            }
            Attack::Masquerade => {
                let as_role = Role::ALL[(role as usize + 1) % 4];
                let count = (self.normal.min(60.0)).round();
                let all = self.spread(&mut random, begin_ms, count).into_iter().enumerate();
                all.map(|(n, event)| Event { form: Form::Usual(as_role, (n % 5) as u32), ..event }).collect()
            }
            Attack::Creeping if weekend => Vec::new(),
            Attack::Creeping => {
                let more = 1 + nth / 2;
                let all = self.spread(&mut random, begin_ms, (self.normal * 0.2).max(3.0)).into_iter();
                all.map(|event| Event { form: Form::Wider(role, 0, more as u32), ..event }).collect()
            }
            Attack::Colluding => (0..2_000)
                .map(|n| {
                    let event = self.lookup(morning_ms + n * 6_000, n, start + n);
                    let principal = self.victim + (n % 5) as usize;
                    Event { principal, network: (principal % 4) as u16, ..event }
                })
                .collect(),
            Attack::Poisoning => {
                let more = if nth >= 20 { 4.0 } else { 1.04_f64.powf(nth as f64 + 1.0) - 1.0 };
                self.spread(&mut random, begin_ms, self.normal * more)
            }
        };
        all.retain(|event| event.at_ms < begin_ms + DAY_MS);
        all.sort_by_key(|event| event.at_ms);
        all
    }

    /// By way of an application, as a tool does it whose statements have been recorded; then it reads on. Every
    /// fifth one finds an entrance that nobody has used.
    fn injection(&self, random: &mut Random, technique: Technique, begin_ms: u64) -> Vec<Event> {
        let entrance = if self.seed % 5 == 4 { UNUSED } else { random.below(u64::from(SEARCHES) / 2) as u32 };
        let own = random.below(SUBJECTS);
        // Statements for one value, and how many are sent when all that was recorded has been.
        let (for_one, more) = match technique {
            Technique::Union => (1, 2_000),
            Technique::Error => (1, 1_000),
            Technique::Boolean => (40, 3_000),
            Technique::Time => (40, 200),
        };
        let of_it = || injected().iter().enumerate().filter(|(_, one)| one.technique == technique);
        let mut at_ms = begin_ms;
        let (mut all, mut read) = (Vec::new(), 0);
        let mut send = |(at, one): (usize, &'static Recorded), random: &mut Random| {
            at_ms += one.after_ms;
            read += u64::from(one.reads());
            let whom = if one.reads() && read % for_one == 0 { random.below(SUBJECTS) } else { own };
            let sqlstate = one.sqlstate.as_deref();
            all.push(Event {
                rows: one.rows,
                sqlstate,
                is_unread: one.tail.is_none(),
                is_refused: one.refused.is_some(),
                signs: one.signs,
                ..self.event(at_ms, Form::Injected(technique, entrance, at), vec![whom])
            });
        };
        for one in of_it() {
            (0..one.1.times).for_each(|_| send(one, random));
        }
        let reading: Vec<(usize, &'static Recorded)> = of_it().filter(|(_, one)| one.reads()).collect();
        reading.iter().cycle().take(more).for_each(|one| send(*one, random));
        all
    }
}
