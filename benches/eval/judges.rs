//! What judges events: the learned detector, as the gate runs it, behind the form that all have here.

use sealgate::watch::{Detector, Family, Finding, Learned, LearnedSettings, Peers};

use crate::company::{Company, Event, Role};
use crate::records::{Records, Sight};

/// What a judge says of somebody.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    pub principal: usize,
    pub at_ms: u64,
    /// The higher the more unusual. Only of one judge.
    pub score: f64,
    /// It raises an alert by a bound of its own.
    pub tells: bool,
    /// Of what the alert speaks, as bits of [`kinds`].
    pub kinds: u8,
}

/// Of what a reason speaks.
pub mod kinds {
    /// How much, of whom, how often in vain.
    pub const AMOUNT: u8 = 1;
    /// Forms of statements, fields, kinds of action.
    pub const FORM: u8 = 2;
    /// Networks, regions, applications, hours.
    pub const PLACE: u8 = 4;
    pub const INJECTION: u8 = 8;

    /// By the reason's own words.
    #[must_use]
    pub fn of(reason: &str) -> u8 {
        let says = |words: &[&str]| words.iter().any(|one| reason.contains(one));
        if says(&["signs of an injection", "a known statement with", "refusals and errors"]) {
            return INJECTION;
        }
        if reason.starts_with(|first: char| first.is_ascii_digit()) {
            return AMOUNT;
        }
        let form = says(&["a new form", "a field not met", "fields not met together", "of a kind not done"]);
        let place =
            says(&["a new network", "a new region", "a new application", "access on a", "back after"]);
        (u8::from(form) * FORM) | (u8::from(place) * PLACE)
    }
}

/// Sees everything once, in order of time.
pub trait Judge: Send {
    fn see(&mut self, event: &Event, verdicts: &mut Vec<Verdict>);
    /// A copy that goes on by itself.
    fn fork(&self) -> Box<dyn Judge>;
}

pub struct LearnedJudge {
    company: Company,
    learned: Learned,
    records: Records,
    sights: Vec<Sight>,
    findings: Vec<Finding>,
}

/// Peers as a company would list them.
#[must_use]
pub fn settings(company: Company, alerts_per_day: f64) -> LearnedSettings {
    let peers = Role::ALL.map(|role| Peers {
        name: role.name().to_owned(),
        users: company.members(role).map(|n| format!("{}{n}", role.name())).collect(),
    });
    LearnedSettings { peers: peers.into(), alerts_per_day, ..LearnedSettings::default() }
}

impl LearnedJudge {
    #[must_use]
    pub fn new(company: Company, alerts_per_day: f64, without: &[Family]) -> LearnedJudge {
        let settings = LearnedSettings { without: without.into(), ..settings(company, alerts_per_day) };
        LearnedJudge {
            company,
            learned: Learned::new(settings),
            records: Records::of(company),
            sights: Vec::new(),
            findings: Vec::new(),
        }
    }

    fn with(&self, learned: Learned) -> LearnedJudge {
        LearnedJudge {
            company: self.company,
            learned,
            records: Records::of(self.company),
            sights: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// The same as [`Judge::fork`].
    #[must_use]
    pub fn copy(&self) -> LearnedJudge {
        self.with(self.learned.clone())
    }

    /// The reasons of the latest alert.
    #[must_use]
    pub fn reasons(&self) -> Option<String> {
        let unusual = self.findings.last()?.alert.unusual.as_ref()?;
        Some(unusual.reasons.join("; "))
    }
}

impl Judge for LearnedJudge {
    fn see(&mut self, event: &Event, verdicts: &mut Vec<Verdict>) {
        self.records.of_event(event, &mut self.sights);
        self.findings.clear();
        for sight in &self.sights {
            let before = self.findings.len();
            self.learned.see(&sight.seen, sight.at_ms, &mut self.findings);
            let score = self.learned.last_score().map_or(0.0, |scored| scored.score);
            let tells = self.findings.len() > before;
            let unusual = self.findings.last().filter(|_| tells).and_then(|one| one.alert.unusual.as_ref());
            let kinds =
                unusual.map_or(0, |unusual| unusual.reasons.iter().fold(0, |all, one| all | kinds::of(one)));
            if score > 0.0 || tells {
                verdicts.push(Verdict {
                    principal: event.principal,
                    at_ms: sight.at_ms,
                    score,
                    tells,
                    kinds,
                });
            }
        }
    }

    fn fork(&self) -> Box<dyn Judge> {
        Box::new(self.copy())
    }
}
