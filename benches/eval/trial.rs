//! One judge through fifty days, and beside them, on copies of it, every attack.

use std::collections::HashSet;

use crate::attacks::{Attack, Scene};
use crate::company::{BEGIN_MS, Company, DAY_MS, Event, HOUR_MS, NAMED_MAX, SUBJECTS};
use crate::figures::Bound;
use crate::judges::{Judge, LearnedJudge, Verdict};
use crate::records::ROWS_A_SECOND;

/// From an alert until its session is cut: the detectors look every 20 ms, a session looks once a turn.
const CUT_MS: u64 = 40;

/// Which days are for what; the first is 0.
#[derive(Clone, Copy)]
pub struct Calendar {
    pub days: u64,
    /// From here on thresholds are set.
    pub set: u64,
    /// From here on nothing is tuned.
    pub judged: u64,
}

/// Everything that happens without attacks.
pub struct Past {
    pub company: Company,
    pub calendar: Calendar,
    pub days: Vec<Vec<Event>>,
    /// Statements of each principal on a day of work, before the days that are judged.
    pub normals: Vec<f64>,
    /// The users that come on a day, in the mean of the days that are judged.
    pub users: f64,
}

impl Past {
    #[must_use]
    pub fn of(company: Company, calendar: Calendar) -> Past {
        let days: Vec<Vec<Event>> = (0..calendar.days).map(|day| company.day(day)).collect();
        let mut counts = vec![(0.0, 0.0); company.principals()];
        let mut users = 0;
        for (day, events) in days.iter().enumerate() {
            let mut there = HashSet::new();
            for event in events {
                there.insert(event.principal);
                if (day as u64) < calendar.judged {
                    counts[event.principal].0 += 1.0;
                }
            }
            if day as u64 >= calendar.judged {
                users += there.len();
            } else {
                there.iter().for_each(|principal| counts[*principal].1 += 1.0);
            }
        }
        let normals =
            counts.iter().map(|(statements, days): &(f64, f64)| statements / days.max(1.0)).collect();
        let users = users as f64 / (calendar.days - calendar.judged) as f64;
        Past { company, calendar, days, normals, users }
    }

    #[must_use]
    pub fn scene(&self, attack: Attack, seed: u64) -> Scene {
        Scene::of(self.company, attack, seed, &self.normals, self.calendar.judged..self.calendar.days)
    }
}

/// A score that was higher than all before it.
#[derive(Clone, Copy)]
pub struct Step {
    pub at_ms: u64,
    pub score: f64,
}

/// What one judge made of one attack.
pub struct Tried {
    pub scene: Scene,
    pub begin_ms: u64,
    /// Of the attack's accounts, from its begin on.
    pub steps: Vec<Step>,
    /// When the judge told by itself, of what the attack did.
    pub told_ms: Option<u64>,
    /// It was a limit: the row beyond it is not shown.
    pub is_limit: bool,
    events: Vec<Event>,
}

impl Tried {
    /// When it is found by scores from this one on.
    #[must_use]
    pub fn found_ms(&self, threshold: f64) -> Option<u64> {
        self.steps.iter().find(|step| step.score >= threshold).map(|step| step.at_ms)
    }

    /// Different subjects that the attack has met by then.
    #[must_use]
    pub fn leaked(&self, by_ms: u64) -> u64 {
        let (mut named, mut further) = (HashSet::new(), 0);
        for event in self.events.iter().filter(|event| event.at_ms <= by_ms) {
            if event.rows > NAMED_MAX {
                further += event.rows.min((by_ms - event.at_ms) * ROWS_A_SECOND / 1_000);
            } else {
                named.extend(event.subjects.iter().copied());
            }
        }
        (named.len() as u64 + further).min(SUBJECTS)
    }

    /// And by the time that the session has been cut.
    #[must_use]
    pub fn leaked_by_cut(&self, told_ms: u64) -> u64 {
        self.leaked(if self.is_limit { told_ms } else { told_ms + CUT_MS })
    }

    #[must_use]
    pub fn leaked_in_all(&self) -> u64 {
        self.leaked(u64::MAX / ROWS_A_SECOND)
    }
}

/// What one judge made of everything.
pub struct Trial {
    pub name: &'static str,
    /// By day, by principal: the highest score of who was there.
    pub innocent: Vec<Vec<Option<f64>>>,
    /// Alerts by the judge's own bound: day, principal, reasons where it has them.
    pub told: Vec<(u64, usize)>,
    pub tried: Vec<Tried>,
}

/// Goes through the past, and through each attack with each seed.
pub fn trial(
    name: &'static str,
    past: &Past,
    mut judge: Box<dyn Judge>,
    attacks: &[Attack],
    seeds: u64,
) -> Trial {
    let scenes: Vec<Scene> =
        attacks.iter().flat_map(|attack| (0..seeds).map(|seed| past.scene(*attack, seed))).collect();
    let mut tried: Vec<Option<Tried>> = scenes.iter().map(|_| None).collect();
    let mut innocent = Vec::new();
    let mut told = Vec::new();
    let mut verdicts = Vec::new();
    for (day, events) in past.days.iter().enumerate() {
        for (scene, place) in scenes.iter().zip(&mut tried) {
            if scene.begin == day as u64 {
                *place = Some(attacked(past, judge.fork(), *scene));
            }
        }
        let mut highest = vec![None; past.company.principals()];
        for event in events {
            verdicts.clear();
            judge.see(event, &mut verdicts);
            let held: &mut Option<f64> = &mut highest[event.principal];
            *held = Some(held.unwrap_or(f64::MIN));
            for verdict in &verdicts {
                let held = &mut highest[verdict.principal];
                *held = Some(held.unwrap_or(f64::MIN).max(verdict.score));
                if verdict.tells {
                    told.push((day as u64, verdict.principal));
                }
            }
        }
        innocent.push(highest);
    }
    Trial { name, innocent, told, tried: tried.into_iter().flatten().collect() }
}

fn attacked(past: &Past, mut judge: Box<dyn Judge>, scene: Scene) -> Tried {
    let mut own = Vec::new();
    let (mut steps, mut told_ms): (Vec<Step>, Option<u64>) = (Vec::new(), None);
    let attackers = scene.attackers();
    let mut verdicts: Vec<Verdict> = Vec::new();
    let mut begin_ms = None;
    let days: Vec<Vec<Event>> = (0..scene.attack.days()).map(|nth| scene.day(nth)).collect();
    // The hour in which it ends is over by then, and so is what some judges say of it.
    let last_ms = days.iter().flatten().map(|event| event.at_ms).max().unwrap_or(0);
    let end_ms = (last_ms / HOUR_MS + 1) * HOUR_MS;
    for (nth, extra) in (0..).zip(days) {
        let usual = beside(past, &scene, scene.begin + nth);
        for event in merged(usual, &extra) {
            verdicts.clear();
            judge.see(event, &mut verdicts);
            if event.is_attack {
                begin_ms.get_or_insert(event.at_ms);
            }
            let Some(begin_ms) = begin_ms else { continue };
            for verdict in verdicts.iter().filter(|one| attackers.contains(&one.principal)) {
                // What was before the attack, or comes behind it, says nothing of it.
                if verdict.at_ms < begin_ms || verdict.at_ms > end_ms {
                    continue;
                }
                if steps.last().is_none_or(|last| last.score < verdict.score) {
                    steps.push(Step { at_ms: verdict.at_ms, score: verdict.score });
                }
                if verdict.tells && verdict.kinds & scene.attack.kinds() != 0 {
                    told_ms.get_or_insert(verdict.at_ms);
                }
            }
        }
        own.extend(extra);
    }
    Tried { scene, begin_ms: begin_ms.unwrap_or(0), steps, told_ms, is_limit: false, events: own }
}

/// A judge with a limit beside it: whichever of both is first. `bound`: of the limit.
#[must_use]
pub fn beside_limit(judge: &Trial, limit: &Trial, bound: f64, calendar: Calendar) -> Trial {
    let tried = judge.tried.iter().zip(&limit.tried).map(|(one, other)| {
        let (told, stopped) = (one.told_ms, other.found_ms(bound));
        let is_limit = stopped.is_some_and(|stopped| told.is_none_or(|told| stopped <= told));
        Tried {
            scene: one.scene,
            begin_ms: one.begin_ms,
            steps: Vec::new(),
            told_ms: if is_limit { stopped } else { told },
            is_limit,
            events: one.events.clone(),
        }
    });
    let mut told = judge.told.clone();
    told.extend(limit.falsely(calendar, Bound::Score(bound)));
    Trial { name: "with a limit", innocent: Vec::new(), told, tried: tried.collect() }
}

/// The most rows that anybody of each role has had on one day of those that are learned from: limits are so many
/// times that.
#[must_use]
pub fn most_of_day(past: &Past) -> [u64; 6] {
    let mut most = [0; 6];
    for events in past.days.iter().take(past.calendar.set as usize) {
        let mut rows = vec![0; past.company.principals()];
        events.iter().for_each(|event| rows[event.principal] += event.rows);
        for (principal, rows) in rows.into_iter().enumerate() {
            let held = &mut most[past.company.role(principal) as usize];
            *held = rows.max(*held);
        }
    }
    most
}

/// Who else works beside an attack: those of the victim's role as ever, all others once, so that they are there.
fn beside<'e>(past: &'e Past, scene: &Scene, day: u64) -> Vec<&'e Event> {
    let role = past.company.role(scene.victim);
    let mut there = vec![false; past.company.principals()];
    let events = past.days.get(day as usize).map_or(&[][..], Vec::as_slice);
    let is_wanted = |event: &&Event| {
        let is_first = !std::mem::replace(&mut there[event.principal], true);
        is_first || past.company.role(event.principal) == role
    };
    events.iter().filter(is_wanted).collect()
}

/// Both in order of time.
pub fn merged<'e>(usual: Vec<&'e Event>, extra: &'e [Event]) -> impl Iterator<Item = &'e Event> {
    let (mut usual, mut extra) = (usual.into_iter().peekable(), extra.iter().peekable());
    std::iter::from_fn(move || match (usual.peek(), extra.peek()) {
        (Some(one), Some(other)) if one.at_ms <= other.at_ms => usual.next(),
        (_, Some(_)) => extra.next(),
        (_, None) => usual.next(),
    })
}

/// What somebody gets who can ask the detector beforehand: subjects of a week of work that are anybody's, at the
/// highest pace of which it tells nothing.
pub struct Knowing {
    /// In all so many times the own normal, and subjects in a week.
    pub times: f64,
    pub subjects: u64,
}

const PACES: [f64; 8] = [1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.5, 3.0];

pub fn knowing(past: &Past, mut judge: LearnedJudge, seeds: u64) -> Vec<Knowing> {
    let scenes: Vec<Scene> = (0..seeds).map(|seed| past.scene(Attack::Poisoning, 100 + seed)).collect();
    let mut found = Vec::new();
    let mut verdicts = Vec::new();
    let last = past.calendar.days - 5;
    for (day, events) in past.days.iter().enumerate() {
        for scene in scenes.iter().filter(|scene| scene.begin.min(last) == day as u64) {
            let mut best = Knowing { times: 1.0, subjects: 0 };
            for times in PACES {
                let scene = Scene { attack: Attack::Scraping(times), begin: day as u64, ..*scene };
                let mut fork = judge.copy();
                let tells = (0..5).any(|nth| {
                    let extra = scene.day(nth);
                    merged(beside(past, &scene, day as u64 + nth), &extra).any(|event| {
                        verdicts.clear();
                        fork.see(event, &mut verdicts);
                        verdicts.iter().any(|one| one.tells && one.principal == scene.victim)
                    })
                });
                if tells {
                    break;
                }
                let subjects: HashSet<u64> =
                    (0..5).flat_map(|nth| scene.day(nth)).flat_map(|event| event.subjects).collect();
                best = Knowing { times, subjects: subjects.len() as u64 };
            }
            found.push(best);
        }
        for event in events {
            verdicts.clear();
            judge.see(event, &mut verdicts);
        }
    }
    found
}

/// Milliseconds from the begin of the first day.
#[must_use]
pub fn day_of(at_ms: u64) -> u64 {
    (at_ms - BEGIN_MS) / DAY_MS
}
