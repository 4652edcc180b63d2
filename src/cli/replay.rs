//! `sealgate watch replay`: what the detectors find in a folder of records, whoever made it, and whether
//! another configuration finds something else.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a verb prints")]

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::CONFIGURATION;
use super::house::settings;
use crate::audit::{Reading, is_disguise, rfc3339};
use crate::config::{LearnedWatch, Settings};
use crate::store::{baselines, journal};
use crate::watch::{Detector as _, Finding, Hard, Learned, Rule, Seen};

/// Findings of one configuration that are compared.
const COMPARED_MAX: usize = 1_000_000;

/// As the command line has it.
pub struct Wanted {
    pub folder: PathBuf,
    pub against: Option<PathBuf>,
    pub keep: bool,
    pub json: bool,
}

/// The detectors of one configuration.
struct Detectors {
    hard: Vec<Hard>,
    learned: Option<Learned>,
    state: Option<PathBuf>,
    findings: Vec<Finding>,
}

impl Detectors {
    fn new(rules: &[Rule], learned: Option<&LearnedWatch>) -> Detectors {
        Detectors {
            hard: rules.iter().cloned().map(Hard::new).collect(),
            learned: learned.map(|learned| Learned::new(learned.settings.clone())),
            state: learned.map(|learned| learned.state.clone()),
            findings: Vec::new(),
        }
    }

    fn of(settings: &Settings) -> Detectors {
        Detectors::new(&settings.detectors, settings.learned.as_ref())
    }

    fn see(&mut self, seen: &Seen, now_ms: u64) -> std::vec::Drain<'_, Finding> {
        for hard in &mut self.hard {
            hard.see(seen, now_ms, &mut self.findings);
        }
        if let Some(learned) = &mut self.learned {
            learned.see(seen, now_ms, &mut self.findings);
        }
        self.findings.drain(..)
    }
}

/// 0 it was looked through, 2 it could not be.
pub fn replay(config: Option<&Path>, wanted: &Wanted) -> u8 {
    match look_through(config, wanted) {
        Ok(()) => 0,
        Err(why) => {
            eprintln!("sealgate: {why}");
            CONFIGURATION
        }
    }
}

fn detectors(config: Option<&Path>, keep: bool) -> Result<Detectors, String> {
    let Some(config) = config else { return Ok(Detectors::new(&[], Some(&LearnedWatch::default()))) };
    let settings = settings(config).map_err(|fault| fault.text())?;
    let detectors = Detectors::of(&settings);
    if keep && detectors.learned.is_none() {
        return Err(format!("{}: nothing is learned without [watch.learned]", config.display()));
    }
    if detectors.learned.is_none() && detectors.hard.is_empty() {
        return Err(format!(
            "{}: there is no detector: add [watch.learned], or a [[watch.detector]]",
            config.display()
        ));
    }
    Ok(detectors)
}

fn look_through(config: Option<&Path>, wanted: &Wanted) -> Result<(), String> {
    let mut these = detectors(config, wanted.keep)?;
    let mut those = match &wanted.against {
        Some(other) => Some(detectors(Some(other), false)?),
        None => None,
    };
    let mut reading = Reading::default();
    let (mut records, mut told) = (0_u64, 0_u64);
    let mut compared = Compared::default();
    let past = journal::past(&wanted.folder, |line| {
        let Some((record, time_us)) = reading.read(line) else { return Ok(()) };
        records += 1;
        let now_ms = time_us / 1_000;
        let seen = Seen::Record(Box::new(record));
        for finding in these.see(&seen, now_ms) {
            told += 1;
            if those.is_some() {
                compared.add(&finding, time_us, true);
            } else {
                print(&finding, time_us, None, wanted.json);
            }
        }
        for finding in those.iter_mut().flat_map(|those| those.see(&seen, now_ms)) {
            compared.add(&finding, time_us, false);
        }
        Ok(())
    });
    let past = past.map_err(|error: io::Error| format!("{}: {error}", wanted.folder.display()))?;
    if those.is_some() {
        compared.print(wanted.json);
    }
    eprintln!(
        "sealgate: {told} alerts in {records} records of accesses, refusals and logins; {} lines in {} files",
        past.lines, past.files
    );
    if let (true, Some(learned), Some(state)) = (wanted.keep, &mut these.learned, &these.state) {
        let saved = learned.save().map_err(io::Error::other);
        saved
            .and_then(|saved| baselines::save(state, &saved))
            .map_err(|error| format!("{}: {error}", state.display()))?;
    }
    Ok(())
}

/// What each of two configurations finds.
#[derive(Default)]
struct Compared {
    /// By what it is about: the line to print, and who has found it.
    found: HashMap<(u64, String), (Value, String, bool, bool)>,
    untold: u64,
}

impl Compared {
    fn add(&mut self, finding: &Finding, time_us: u64, is_first: bool) {
        let alert = &finding.alert;
        let key = (
            time_us,
            format!("{} {} {:?} {}", alert.detector, alert.who.session, alert.statement_id, alert.who.user),
        );
        if self.found.len() >= COMPARED_MAX && !self.found.contains_key(&key) {
            self.untold += 1;
            return;
        }
        let entry = self
            .found
            .entry(key)
            .or_insert_with(|| (as_json(finding, time_us), as_text(finding, time_us), false, false));
        if is_first {
            entry.2 = true;
        } else {
            entry.3 = true;
        }
    }

    fn print(self, as_lines: bool) {
        let mut all: Vec<_> = self.found.into_iter().collect();
        all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let (mut both, mut new, mut gone) = (0_u64, 0_u64, 0_u64);
        for (_, (value, text, here, there)) in all {
            let mark = match (here, there) {
                (true, true) => {
                    both += 1;
                    "both"
                }
                (true, false) => {
                    new += 1;
                    "only --config"
                }
                (false, _) => {
                    gone += 1;
                    "only --against"
                }
            };
            if as_lines {
                let mut value = value;
                if let Some(members) = value.as_object_mut() {
                    members.insert("found_by".to_owned(), json!(mark));
                }
                println!("{value}");
            } else {
                println!("{mark}: {text}");
            }
        }
        eprintln!("sealgate: {both} alerts by both, {new} by --config alone, {gone} by --against alone");
        if self.untold > 0 {
            eprintln!("sealgate: {} more were not compared: at most {COMPARED_MAX} are", self.untold);
        }
    }
}

fn print(finding: &Finding, time_us: u64, mark: Option<&str>, as_lines: bool) {
    if as_lines {
        println!("{}", as_json(finding, time_us));
    } else {
        println!("{}{}", mark.unwrap_or_default(), as_text(finding, time_us));
    }
}

fn as_json(finding: &Finding, time_us: u64) -> Value {
    let alert = &finding.alert;
    let unusual = alert.unusual.as_deref();
    let reasons = unusual.map_or_else(|| vec![alert.rule.to_string()], |unusual| unusual.reasons.clone());
    json!({
        "time": rfc3339(time_us),
        "detector": alert.detector,
        "severity": alert.severity,
        "user": *alert.who.user,
        "principal": unusual.map_or(&*alert.who.user, |unusual| unusual.principal.as_str()),
        "session": alert.who.session,
        "statement_id": alert.statement_id,
        "score": unusual.map(|unusual| unusual.score as f64 / 1_000.0),
        "reasons": reasons,
        "alert": unusual.map(|unusual| unusual.id.as_str()),
        "response": finding.response.name(),
    })
}

/// One line: time, user, detector, severity, score, reasons.
fn as_text(finding: &Finding, time_us: u64) -> String {
    let alert = &finding.alert;
    let who = alert.unusual.as_deref().map_or(&*alert.who.user, |unusual| unusual.principal.as_str());
    let why = match alert.unusual.as_deref() {
        Some(unusual) => {
            let (whole, part) = (unusual.score / 1_000, unusual.score % 1_000);
            format!("score {whole}.{part:03}: {} (alert {})", unusual.reasons.join("; "), unusual.id)
        }
        None => alert.rule.to_string(),
    };
    let line = format!("{} {who} {} {} {why}", rfc3339(time_us), alert.detector, alert.severity);
    line.chars().map(|letter| if is_disguise(letter) { '?' } else { letter }).collect()
}
