//! How well the learned detector tells attacks from work, beside what others do: a company that a seed makes,
//! attackers, and every judge through all of it. `make eval` writes the measured part of `docs/WATCH.md`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a measurement"
)]

mod attacks;
mod baselines;
mod company;
mod figures;
mod forms;
mod judges;
mod page;
mod plot;
mod records;
mod trial;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use attacks::Attack;
use company::Company;
use figures::Bound;
use judges::{Judge, LearnedJudge};
use page::Measured;
use records::Records;
use sealgate::watch::Family;
use trial::{Calendar, Past, Trial, trial};

/// Of the company that the page tells of. No change to the detector was made by what it shows.
const SEED: u64 = 7;
const PRINCIPALS: usize = 200;
/// False alerts a day that the detector is granted: of one, a tenth is the limit's beside it.
const GRANTED: f64 = 0.9;
const CALENDAR: Calendar = Calendar { days: 50, set: 14, judged: 21 };
const USAGE: &str = "\
usage: cargo bench --bench eval -- [--seeds N] [--threads N] [--docs FOLDER]
       cargo bench --bench eval -- --record FOLDER [--attack NAME [--seed N]]
       cargo bench --bench eval -- --why [--company N] [--attack PART OF NAMES] [--seeds N]

Without --docs the measured part is printed. --record writes what the gate would have recorded of the company, with
one attack in it (\"bulk SELECT\" ...), as a folder for `sealgate watch replay`. --why prints the reasons of
what was told falsely, and what was not found;
whoever changes the detector looks at other companies than the one that the page tells of.
";

type Make<'m> = Box<dyn Fn() -> Box<dyn Judge> + Sync + Send + 'm>;

/// As the command line has it.
#[derive(Default)]
struct Wanted {
    seeds: Option<u64>,
    threads: Option<usize>,
    docs: Option<PathBuf>,
    record: Option<PathBuf>,
    attack: Option<String>,
    seed: u64,
    company: Option<u64>,
    why: bool,
}

fn wanted() -> Option<Wanted> {
    let mut wanted = Wanted::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            // What cargo says.
            "--bench" => {}
            "--seeds" => wanted.seeds = Some(words.next()?.parse().ok()?),
            "--threads" => wanted.threads = Some(words.next()?.parse().ok()?),
            "--docs" => wanted.docs = Some(words.next()?.into()),
            "--record" => wanted.record = Some(words.next()?.into()),
            "--attack" => wanted.attack = Some(words.next()?),
            "--seed" => wanted.seed = words.next()?.parse().ok()?,
            "--company" => wanted.company = Some(words.next()?.parse().ok()?),
            "--why" => wanted.why = true,
            _ => return None,
        }
    }
    Some(wanted)
}

/// All of them, on so many threads; in their order. What comes of it does not depend on the threads.
fn trials(
    past: &Past,
    makes: &[(&'static str, Make<'_>)],
    attacks: &[Attack],
    seeds: u64,
    threads: usize,
) -> Vec<Trial> {
    let next = AtomicUsize::new(0);
    let done: Vec<Mutex<Option<Trial>>> = makes.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::SeqCst);
                    let Some((name, make)) = makes.get(at) else { break };
                    let begin = std::time::Instant::now();
                    let trial = trial(name, past, make(), attacks, seeds);
                    eprintln!("eval: {name}: {} s", begin.elapsed().as_secs());
                    *done[at].lock().unwrap() = Some(trial);
                }
            });
        }
    });
    done.into_iter().map(|trial| trial.into_inner().unwrap().unwrap()).collect()
}

fn learned(company: Company, alerts: f64, without: &'static [Family]) -> Make<'static> {
    Box::new(move || Box::new(LearnedJudge::new(company, alerts, without)))
}

fn main() {
    let Some(wanted) = wanted() else {
        eprint!("{USAGE}");
        std::process::exit(2);
    };
    let company = Company::of(wanted.company.unwrap_or(SEED), PRINCIPALS);
    let past = Past::of(company, CALENDAR);
    let statements: usize = past.days.iter().map(Vec::len).sum();
    eprintln!("eval: {statements} statements in {} days", past.days.len());
    let seeds = wanted.seeds.unwrap_or(20);
    if let Some(folder) = &wanted.record {
        record(&past, folder, wanted.attack.as_deref(), wanted.seed);
    } else if wanted.why {
        why(&past, seeds, wanted.attack.as_deref());
    } else {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        measure(&past, seeds, wanted.threads.unwrap_or(cores), wanted.docs.as_deref());
    }
}

fn measure(past: &Past, seeds: u64, threads: usize, docs: Option<&Path>) {
    let company = past.company;
    let makes: Vec<(&'static str, Make<'_>)> = vec![
        ("learned", learned(company, GRANTED, &[])),
        ("learned, seldom", learned(company, 0.1, &[])),
        ("static cap", Box::new(move || Box::new(baselines::Cap::new(company)))),
        ("hourly z-score", Box::new(move || Box::new(baselines::Hourly::new(company)))),
        ("quiplets", Box::new(move || Box::new(baselines::Quiplets::new(company)))),
        ("half-space trees", Box::new(move || Box::new(baselines::HalfSpaces::new(company)))),
        ("no volume", learned(company, GRANTED, &[Family::Volume])),
        ("no enumeration", learned(company, GRANTED, &[Family::Enumeration])),
        ("no novelty", learned(company, GRANTED, &[Family::Novelty])),
        ("no injection", learned(company, GRANTED, &[Family::Injection])),
        ("no together", learned(company, GRANTED, &[Family::Together])),
    ];
    let all = trials(past, &makes, &Attack::ALL, seeds, threads);
    let knowing = trial::knowing(past, LearnedJudge::new(company, GRANTED, &[]), seeds);
    let [often, seldom, rest @ ..] = &all[..] else { return };
    let (baselines, ablations) = rest.split_at(4);
    let limit = baselines[0].threshold(past.calendar, 0.1);
    let limited = &trial::beside_limit(often, &baselines[0], limit, past.calendar);
    let measured =
        Measured { past, seeds, often, seldom, limited, limit, baselines, ablations, knowing: &knowing };
    let text = measured.text();
    let Some(docs) = docs else {
        println!("{text}");
        return;
    };
    let path = docs.join("WATCH.md");
    let page = std::fs::read_to_string(&path).expect("the page is there");
    let (before, rest) = page.split_once(page::BEGIN).expect("the page has the first mark");
    let (_, behind) = rest.split_once(page::END).expect("the page has the second mark");
    let page = format!("{before}{}\n{text}\n{}{behind}", page::BEGIN, page::END);
    std::fs::write(&path, page).expect("the page can be written");
    for (name, picture) in measured.pictures() {
        std::fs::write(docs.join(name), picture).expect("a picture can be written");
    }
    eprintln!("eval: {} and its pictures are written", path.display());
}

/// For who works on the detector: what it told of innocents and why, and whom it did not find.
fn why(past: &Past, seeds: u64, attack: Option<&str>) {
    let is_wanted = |one: &Attack| attack.is_none_or(|wanted| one.name().contains(wanted));
    let attacks: Vec<Attack> = Attack::ALL.into_iter().filter(is_wanted).collect();
    let mut judge = LearnedJudge::new(past.company, GRANTED, &[]);
    let mut verdicts = Vec::new();
    for event in past.days.iter().flatten() {
        verdicts.clear();
        judge.see(event, &mut verdicts);
        for one in verdicts.iter().filter(|one| one.tells) {
            let (day, role) = (trial::day_of(one.at_ms) + 1, past.company.role(one.principal).name());
            let special = past.company.special(one.principal).unwrap_or_default();
            let reasons = judge.reasons().unwrap_or_default();
            println!("day {day} {role} {} {special} {:.2}: {reasons}", one.principal, one.score);
        }
    }
    let makes = [("learned", learned(past.company, 1.0, &[]))];
    let all = trials(past, &makes, &attacks, seeds, 1);
    println!("false alerts a day: {:.2}", all[0].false_alerts(CALENDAR, Bound::Own));
    for attack in attacks {
        let of = figures::summary(all[0].tried.iter().filter(|one| one.scene.attack == attack), Bound::Own);
        println!(
            "{:34} {:18} in a day {:2}/{:2} hours {:8.3} leaked {:7.0} by cut {:7.0} most {:7.0}",
            attack.name(),
            of.found.words(),
            of.within_a_day.part,
            of.within_a_day.whole,
            figures::median(&of.hours),
            figures::median(&of.leaked),
            figures::median(&of.leaked_by_cut),
            figures::quantile(&of.leaked_by_cut, 1.0),
        );
        for one in all[0].tried.iter().filter(|one| one.scene.attack == attack && one.told_ms.is_none()) {
            let highest = one.steps.last().map_or(0.0, |step| step.score);
            let (seed, victim) = (one.scene.seed, one.scene.victim);
            println!(
                "    not found: seed {seed}, {} {victim}, day {}, highest {highest:.2}",
                past.company.role(victim).name(),
                one.scene.begin + 1
            );
        }
    }
}

/// Writes the company's record, with one attack in it.
fn record(past: &Past, folder: &Path, attack: Option<&str>, seed: u64) {
    let scene = attack.map(|name| {
        let attack = Attack::ALL.into_iter().find(|attack| attack.name() == name);
        past.scene(attack.expect("an attack of this name"), seed)
    });
    std::fs::create_dir_all(folder).expect("the folder can be made");
    let mut records = Records::of(past.company);
    let mut sights = Vec::new();
    for (day, events) in past.days.iter().enumerate() {
        let path = folder.join(format!("audit-{day:03}.jsonl"));
        let mut file = std::io::BufWriter::new(std::fs::File::create(path).expect("a file can be made"));
        let nth = scene.and_then(|scene| (day as u64).checked_sub(scene.begin));
        let extra = match (scene, nth) {
            (Some(scene), Some(nth)) if nth < scene.attack.days() => scene.day(nth),
            _ => Vec::new(),
        };
        let mut lines: Vec<(u64, String)> = Vec::new();
        for event in trial::merged(events.iter().collect(), &extra) {
            records.of_event(event, &mut sights);
            let of_event = sights.iter().filter_map(|sight| Some((sight.at_ms, records::line(sight)?)));
            lines.extend(of_event);
        }
        lines.sort_by_key(|(at_ms, _)| *at_ms);
        for (_, line) in lines {
            writeln!(file, "{line}").expect("a line can be written");
        }
        file.flush().expect("a file can be written");
    }
    if let Some(scene) = scene {
        let begin = scene.begin + 1;
        eprintln!("eval: {} by {}, from day {begin} on", scene.attack.name(), scene.victim);
    }
}
