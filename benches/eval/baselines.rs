//! What others do, in few lines each: a cap, a z-score an hour, naive Bayes over quiplets, half-space trees.

use std::collections::{HashMap, HashSet};

use crate::company::{BEGIN_MS, Company, DAY_MS, Event, HOUR_MS, Random, Role};
use crate::forms::{Form, Written};
use crate::judges::{Judge, Verdict};

/// Days that they learn before anything else.
const LEARN: u64 = 14;

fn day_of(at_ms: u64) -> u64 {
    (at_ms - BEGIN_MS) / DAY_MS
}

/// Rows of a user's calendar day, as a part of the most that anybody of the role had on one day while it learned.
#[derive(Clone)]
pub struct Cap {
    company: Company,
    today: Vec<(u64, u64)>,
    most: [u64; 6],
}

impl Cap {
    pub fn new(company: Company) -> Cap {
        Cap { company, today: vec![(0, 0); company.principals()], most: [1; 6] }
    }
}

impl Judge for Cap {
    fn see(&mut self, event: &Event, verdicts: &mut Vec<Verdict>) {
        let day = day_of(event.at_ms);
        let today = &mut self.today[event.principal];
        if today.0 != day {
            *today = (day, 0);
        }
        let most = &mut self.most[self.company.role(event.principal) as usize];
        if day < LEARN {
            today.1 += event.rows;
            *most = today.1.max(*most);
            return;
        }
        // It counts rows as they go, so that a cap holds in the midst of a result.
        let step = (event.rows / 10).clamp(1, 1_000);
        let mut gone = 0;
        while gone < event.rows {
            let part = step.min(event.rows - gone);
            gone += part;
            today.1 += part;
            let at_ms = event.at_ms + gone * 1_000 / crate::records::ROWS_A_SECOND;
            let score = today.1 as f64 / *most as f64;
            verdicts.push(Verdict { principal: event.principal, at_ms, score, tells: false, kinds: 0 });
        }
    }

    fn fork(&self) -> Box<dyn Judge> {
        Box::new(self.clone())
    }
}

/// What a user did in one hour.
#[derive(Clone, Default)]
struct Hour {
    rows: f64,
    statements: f64,
    misses: f64,
    forms: HashSet<Form>,
    subjects: HashSet<u64>,
}

/// Collects hours, of all users, and gives them out when they are over.
#[derive(Clone)]
struct Hours {
    hour: u64,
    of: HashMap<usize, Hour>,
}

impl Hours {
    fn new() -> Hours {
        Hours { hour: 0, of: HashMap::new() }
    }

    /// The hours that this event ends, in the order of principals, and when they end.
    fn add(&mut self, event: &Event) -> Option<(u64, Vec<(usize, Hour)>)> {
        let hour = event.at_ms / HOUR_MS;
        let mut over = None;
        if hour != self.hour {
            let mut all: Vec<(usize, Hour)> = self.of.drain().collect();
            all.sort_by_key(|(principal, _)| *principal);
            over = (!all.is_empty()).then_some(((self.hour + 1) * HOUR_MS, all));
            self.hour = hour;
        }
        let held = self.of.entry(event.principal).or_default();
        held.rows += event.rows as f64;
        held.statements += 1.0;
        held.misses += f64::from(u8::from(event.rows == 0));
        held.forms.insert(event.form);
        held.subjects.extend(event.subjects.iter().copied());
        over
    }
}

/// Mean and variance, one value after the other (Welford, 1962).
#[derive(Clone, Copy, Default)]
struct Mean {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let off = value - self.mean;
        self.mean += off / self.count;
        self.squares += off * (value - self.mean);
    }

    fn deviation(&self) -> f64 {
        if self.count < 2.0 { 0.0 } else { (self.squares / (self.count - 1.0)).sqrt() }
    }
}

/// Rows of a user's hour, as deviations from that user's mean of active hours; known when the hour is over.
#[derive(Clone)]
pub struct Hourly {
    hours: Hours,
    of: Vec<Mean>,
    /// Of all users, for those who are new.
    all: Mean,
}

impl Hourly {
    pub fn new(company: Company) -> Hourly {
        Hourly { hours: Hours::new(), of: vec![Mean::default(); company.principals()], all: Mean::default() }
    }
}

impl Judge for Hourly {
    fn see(&mut self, event: &Event, verdicts: &mut Vec<Verdict>) {
        let Some((at_ms, over)) = self.hours.add(event) else { return };
        for (principal, hour) in over {
            let own = &mut self.of[principal];
            let known = if own.count < 8.0 { self.all } else { *own };
            let score = (hour.rows - known.mean) / known.deviation().max(1.0);
            verdicts.push(Verdict { principal, at_ms, score, tells: false, kinds: 0 });
            // Whatever is far above is not learned.
            if day_of(at_ms) < LEARN || score < 3.0 {
                own.add(hour.rows);
                self.all.add(hour.rows);
            }
        }
    }

    fn fork(&self) -> Box<dyn Judge> {
        Box::new(self.clone())
    }
}

/// Kamra, Terzi and Bertino, "Detecting anomalous access patterns in relational databases" (2008), with roles:
/// which role's statement is it? A statement tells command, tables, columns and how much it compares; it is as
/// unusual as another role is more likely than the user's own.
#[derive(Clone)]
pub struct Quiplets {
    company: Company,
    /// By role: statements, and of each feature how many have it.
    statements: [f64; 6],
    features: HashMap<String, [f64; 6]>,
    scored: HashMap<(Role, Form), f64>,
}

fn features(written: &Written) -> Vec<String> {
    let command = written.text.split(' ').next().unwrap_or_default();
    let mut all = vec![
        format!("command {command}"),
        format!("table {}", written.table),
        format!("compares {}", written.literals.min(4)),
        format!("columns {}", written.fields.len().min(6)),
    ];
    all.extend(written.fields.iter().cloned());
    all
}

impl Quiplets {
    pub fn new(company: Company) -> Quiplets {
        Quiplets { company, statements: [0.0; 6], features: HashMap::new(), scored: HashMap::new() }
    }

    fn likelihood(&self, features: &[String], role: Role) -> f64 {
        let at = role as usize;
        let all: f64 = self.statements.iter().sum();
        let mut sum = ((self.statements[at] + 1.0) / (all + 6.0)).ln();
        for feature in features {
            let count = self.features.get(feature).map_or(0.0, |counts| counts[at]);
            sum += ((count + 1.0) / (self.statements[at] + 2.0)).ln();
        }
        sum
    }
}

impl Judge for Quiplets {
    fn see(&mut self, event: &Event, verdicts: &mut Vec<Verdict>) {
        if event.is_unread {
            return;
        }
        let role = self.company.role(event.principal);
        if day_of(event.at_ms) < LEARN {
            self.statements[role as usize] += 1.0;
            for feature in features(&event.form.written()) {
                self.features.entry(feature).or_insert([0.0; 6])[role as usize] += 1.0;
            }
            return;
        }
        let scored = self.scored.get(&(role, event.form)).copied();
        let score = scored.unwrap_or_else(|| {
            let features = features(&event.form.written());
            let own = self.likelihood(&features, role);
            let best =
                Role::ALL.map(|role| self.likelihood(&features, role)).into_iter().fold(f64::MIN, f64::max);
            best - own
        });
        if !matches!(event.form, Form::ByHand(_)) {
            self.scored.insert((role, event.form), score);
        }
        verdicts.push(Verdict {
            principal: event.principal,
            at_ms: event.at_ms,
            score,
            tells: false,
            kinds: 0,
        });
    }

    fn fork(&self) -> Box<dyn Judge> {
        Box::new(self.clone())
    }
}

const TREES: usize = 25;
const DEPTH: u32 = 12;
const FEATURES: usize = 6;
/// Hours of users in one window: about a day's.
const WINDOW: u64 = 1_500;
/// A node that has seen fewer is a leaf.
const SIZE_MIN: f64 = 0.1 * WINDOW as f64;

/// Tan, Ting and Liu, "Fast anomaly detection for streaming data" (2011), over users' hours: logarithms of rows,
/// statements, subjects, forms and misses, each less the user's own mean, and the hour of the day.
#[derive(Clone)]
pub struct HalfSpaces {
    hours: Hours,
    of: Vec<[Mean; FEATURES - 1]>,
    trees: Vec<Tree>,
    seen: u64,
}

#[derive(Clone)]
struct Tree {
    /// Of each inner node, by its number in a heap: dimension and where it splits.
    splits: Vec<(usize, f64)>,
    reference: Vec<u32>,
    latest: Vec<u32>,
}

impl Tree {
    fn new(random: &mut Random) -> Tree {
        let nodes = 1 << (DEPTH + 1);
        let mut splits = vec![(0, 0.0); nodes];
        // The working space of each dimension, from 0 to 1, around a point of chance.
        let mut space = [(0.0, 1.0); FEATURES];
        for side in &mut space {
            let middle = random.share();
            let reach = 2.0 * middle.max(1.0 - middle);
            *side = (middle - reach, middle + reach);
        }
        Tree::split(&mut splits, 1, space, random);
        Tree { splits, reference: vec![0; nodes], latest: vec![0; nodes] }
    }

    fn split(splits: &mut [(usize, f64)], node: usize, space: [(f64, f64); FEATURES], random: &mut Random) {
        if node >= 1 << DEPTH {
            return;
        }
        let at = random.below(FEATURES as u64) as usize;
        let middle = (space[at].0 + space[at].1) / 2.0;
        splits[node] = (at, middle);
        let (mut low, mut high) = (space, space);
        low[at].1 = middle;
        high[at].0 = middle;
        Tree::split(splits, 2 * node, low, random);
        Tree::split(splits, 2 * node + 1, high, random);
    }

    /// The mass where the point falls, and counts it.
    fn mass(&mut self, point: &[f64; FEATURES]) -> f64 {
        let (mut node, mut mass) = (1, None);
        for depth in 0..=DEPTH {
            self.latest[node] += 1;
            let held = f64::from(self.reference[node]);
            if mass.is_none() && (held <= SIZE_MIN || depth == DEPTH) {
                mass = Some(held * f64::from(1_u32 << depth));
            }
            if depth < DEPTH {
                let (at, middle) = self.splits[node];
                node = 2 * node + usize::from(point[at] >= middle);
            }
        }
        mass.unwrap_or(0.0)
    }

    fn turn(&mut self) {
        std::mem::swap(&mut self.reference, &mut self.latest);
        self.latest.fill(0);
    }
}

impl HalfSpaces {
    pub fn new(company: Company) -> HalfSpaces {
        let mut random = Random::of(&[company.seed, 30]);
        HalfSpaces {
            hours: Hours::new(),
            of: vec![[Mean::default(); FEATURES - 1]; company.principals()],
            trees: (0..TREES).map(|_| Tree::new(&mut random)).collect(),
            seen: 0,
        }
    }
}

impl Judge for HalfSpaces {
    fn see(&mut self, event: &Event, verdicts: &mut Vec<Verdict>) {
        let Some((at_ms, over)) = self.hours.add(event) else { return };
        for (principal, hour) in over {
            let logs = [
                hour.rows,
                hour.statements,
                hour.subjects.len() as f64,
                hour.forms.len() as f64,
                hour.misses,
            ]
            .map(f64::ln_1p);
            let mut point = [0.0; FEATURES];
            for ((place, log), own) in point.iter_mut().zip(logs).zip(&mut self.of[principal]) {
                // Six logarithms to each side of the own mean are the space.
                *place = (0.5 + (log - own.mean) / 12.0).clamp(0.0, 1.0);
                if day_of(at_ms) < LEARN {
                    own.add(log);
                }
            }
            point[FEATURES - 1] = (at_ms / HOUR_MS % 24) as f64 / 24.0;
            let mass: f64 = self.trees.iter_mut().map(|tree| tree.mass(&point)).sum();
            let score = -(mass + 1.0).ln();
            self.seen += 1;
            if self.seen.is_multiple_of(WINDOW) {
                self.trees.iter_mut().for_each(Tree::turn);
            }
            if day_of(at_ms) >= 1 {
                verdicts.push(Verdict { principal, at_ms, score, tells: false, kinds: 0 });
            }
        }
    }

    fn fork(&self) -> Box<dyn Judge> {
        Box::new(self.clone())
    }
}
