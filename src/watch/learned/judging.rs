//! Records in, findings out: what each says of its principal, the one score that it comes to, and the alert.

use std::hash::{Hash as _, Hasher as _};
use std::net::IpAddr;
use std::sync::Arc;

use rustc_hash::FxHasher;

use super::group::{self, Group};
use super::known::{Trait, hashed};
use super::meter::{AMOUNTS, Amount, DAY_MS};
use super::principal::{Compared, KNOWN_MAX, PAUSE_MS, Principal, Teaching};
use super::reason::{FAMILIES, Family, Reason, What, keep};
use super::shape::{self, Change};
use super::told::Told;
use super::{Learned, LearnedSettings};
use crate::audit::{Alert, Attribution, FieldUse, Intent, Outcome, Record, Unusual, Who};
use crate::statement::Action;
use crate::watch::detector::{Detector, Finding, Response, Seen};
use crate::watch::whom::By;

/// A score is rare where fewer than this share of days show it, however many alerts are granted.
const SHARE_MAX: f64 = 0.01;
/// How much rarer than a warning is critical.
const DECADE: f64 = 1.0;
/// Before the learning is over only what needs no normal is told, from this score on.
const HARD: f64 = 4.0;
/// What a subject that is listed says, and a form that is an injection.
const LISTED: f64 = 5.0;
/// Signs of an injection in a text that went on.
const SIGNS: f64 = 3.0;
/// A form in which an expression stands where a literal stood, or with more behind it.
const EXPRESSION: f64 = 2.5;
const LONGER: f64 = 0.5;
/// Hours of a day in which peers are there.
const HOURS_TOGETHER: f64 = 12.0;
/// Fewer principals do nothing together.
const TOGETHER_MIN: u32 = 3;

/// One thing that happened, on its way.
struct Look<'l> {
    who: &'l Arc<Who>,
    statement_id: Option<u64>,
    fields: &'l Arc<[FieldUse]>,
    now_ms: u64,
    best: [Option<Reason>; FAMILIES],
}

/// What a look works with.
struct Work<'w> {
    principal: &'w mut Principal,
    group: &'w mut Group,
    now_ms: u64,
    /// Nothing is learned.
    is_paused: bool,
    is_deploying: bool,
    best: &'w mut [Option<Reason>; FAMILIES],
}

impl Detector for Learned {
    fn see(&mut self, seen: &Seen, now_ms: u64, findings: &mut Vec<Finding>) {
        self.last = None;
        let nothing: Arc<[FieldUse]> = Arc::default();
        let look = |who, statement_id, fields| Look {
            who,
            statement_id,
            fields,
            now_ms,
            best: [const { None }; FAMILIES],
        };
        match seen {
            Seen::Failed { who, sqlstate } => {
                if sqlstate.starts_with(b"22") || sqlstate.starts_with(b"42") {
                    self.fault(look(who, None, &nothing), findings);
                }
            }
            Seen::Suspicious { who, signs, fields, statement_id } => {
                let look = look(who, *statement_id, fields);
                let words = format!("signs of an injection: {}", signs.words());
                self.look(look, findings, |work, _, _| {
                    keep(work.best, Family::Injection, SIGNS, || What::Words(words.into()));
                });
            }
            Seen::Record(record) => match &**record {
                Record::Intent(intent) => {
                    let look = look(&intent.who, Some(intent.execution.number), &intent.fields);
                    self.look(look, findings, |work, _, _| work.intent(intent));
                }
                Record::Outcome(outcome) => {
                    // The end of a lease repeats what its executions have told.
                    if outcome.attribution == Attribution::Known
                        && outcome.executions.is_none()
                        && outcome.replication.is_none()
                    {
                        self.outcome(
                            look(&outcome.who, Some(outcome.execution.number), &outcome.fields),
                            outcome,
                            findings,
                        );
                    }
                }
                Record::Refusal(refusal) => {
                    let own = refusal.who.auth != "none" && !refusal.rule.starts_with("watch-");
                    if own {
                        let id = Some(refusal.statement_id).filter(|id| *id > 0);
                        self.fault(look(&refusal.who, id, &refusal.fields), findings);
                    }
                }
                Record::Login(_) | Record::Session(_) | Record::Alert(_) | Record::Admin(_) => {}
            },
        }
    }
}

impl Learned {
    /// A refusal or an error.
    fn fault(&mut self, look: Look<'_>, findings: &mut Vec<Finding>) {
        let mut amounts = [0; AMOUNTS];
        Amount::Errors.put(&mut amounts, 1);
        let now_ms = look.now_ms;
        self.look(look, findings, |work, tails, _| {
            work.principal.body.add(&amounts, &[], now_ms);
            let level = work.principal.level();
            let compared = Compared {
                peers: Some((&work.group.normals, &work.group.tails)),
                tails,
                hours_a_day: work.principal.hours_a_day(),
            };
            work.principal.body.judge(&compared, level, work.best);
        });
    }

    fn outcome(&mut self, look: Look<'_>, outcome: &Outcome, findings: &mut Vec<Finding>) {
        let mut subjects = std::mem::take(&mut self.subjects);
        subjects.clear();
        let names = outcome.subjects.as_deref().and_then(|subjects| subjects.known.names());
        subjects.extend(names.into_iter().flatten().map(crate::seal::SubjectId::bits));
        self.look(look, findings, |work, tails, settings| {
            if !settings.subjects.is_empty() {
                for subject in names.into_iter().flatten() {
                    work.listed(&subject.to_string(), settings);
                }
            }
            work.outcome(outcome, &subjects, tails);
        });
        self.subjects = subjects;
    }

    /// Brings principal and group up to the time, does `what`, and makes an alert of it where it is rare.
    fn look(
        &mut self,
        mut look: Look<'_>,
        findings: &mut Vec<Finding>,
        what: impl FnOnce(&mut Work<'_>, &[super::normal::Tail], &LearnedSettings),
    ) {
        if look.who.user.is_empty() {
            return;
        }
        self.changed = true;
        let now_ms = look.now_ms;
        self.enlist(look.who, now_ms);
        self.count_day(now_ms);
        let drift = self.drift();
        let state = &mut self.state;
        let Some(principal) = state.principals.get_mut(&self.name) else { return };
        let Some(group) = state.groups.get_mut(&principal.group) else { return };
        let is_paused = principal.is_paused(now_ms);
        let tails = &mut state.tails;
        let peers = Some((&mut group.normals, &mut group.tails));
        let mut teaching =
            Teaching { peers, freshness: Some(&mut group.freshness), tails: &mut *tails, drift, is_paused };
        if let Some(highest) = principal.begin(&mut teaching, now_ms) {
            // Scores mean little while the normals are young.
            if now_ms.saturating_sub(state.first_ms) >= self.settings.learn_ms / 7 * 5 {
                principal.teach(&mut state.days, &mut group.days, highest);
            }
        }
        let group_paused = now_ms < group.paused_until_ms;
        group.body.roll(
            &mut Teaching { peers: None, freshness: None, tails, drift, is_paused: group_paused },
            (0.0, 0.0),
            now_ms,
        );
        if principal.last_ms / DAY_MS != now_ms / DAY_MS || principal.first_ms == now_ms {
            state.today = state.today.saturating_add(1);
        }
        let is_deploying = now_ms < state.deploy_until_ms;
        let mut work = Work { principal, group, now_ms, is_paused, is_deploying, best: &mut look.best };
        what(&mut work, &state.tails, &self.settings);
        principal.judge_novelty(now_ms, &mut look.best);
        for family in &self.settings.without {
            if let Some(place) = look.best.get_mut(*family as usize) {
                *place = None;
            }
        }
        principal.last_ms = principal.last_ms.max(now_ms);
        let score = fused(&look.best);
        // Some kinds of work are wilder than others: what is rare for whoever does it is what counts.
        let rarity = group.days.rarity(score, state.days.rarity(score, score)).max(0.0);
        self.last = Some((score, 10_f64.powf(-rarity)));
        if score > 0.0 {
            self.decide(&look, score, rarity, findings);
        }
    }

    /// Who comes on a day is counted: so many days of users share the alerts that are granted.
    fn count_day(&mut self, now_ms: u64) {
        let state = &mut self.state;
        if state.first_ms == 0 {
            state.first_ms = now_ms;
        }
        let day = now_ms / DAY_MS;
        if day > state.day {
            if state.day > 0 && state.today > 0 {
                let weight = if state.a_day > 0.0 { 0.2 } else { 1.0 };
                state.a_day += weight * (f64::from(state.today) - state.a_day);
            }
            (state.day, state.today) = (day, 0);
        }
    }

    /// The rarity from which on an alert is made.
    fn bound(&self) -> f64 {
        let days = self.state.a_day.max(f64::from(self.state.today)).max(1.0);
        -(self.settings.alerts_per_day / days).clamp(1e-9, SHARE_MAX).log10()
    }

    fn decide(&mut self, look: &Look<'_>, score: f64, rarity: f64, findings: &mut Vec<Finding>) {
        let now_ms = look.now_ms;
        let is_learning = now_ms < self.state.first_ms.saturating_add(self.settings.learn_ms);
        let bound = self.bound();
        let (learned_days, hard) = (self.state.days.seen(), hard(&look.best));
        let Some(principal) = self.state.principals.get_mut(&self.name) else { return };
        let is_rare = rarity >= bound && learned_days > 0;
        // What is told counts, too: it is one day of one user.
        principal.day_score = principal.day_score.max(score);
        if !(hard >= HARD || (is_rare && !is_learning)) {
            return;
        }
        // What goes on like this is not learned, and told of now and then.
        principal.paused_until_ms = now_ms.saturating_add(PAUSE_MS);
        let news = leading(&look.best).find(|family| !principal.is_told(*family, rarity, now_ms));
        let Some(family) = news else { return };
        principal.tell(family, rarity.max(bound), now_ms);
        let logs = principal.body.logs();
        let fresh = principal.take_fresh(now_ms);
        fresh.iter().for_each(|hash| principal.known.forget(*hash));
        let mut together = Vec::new();
        if let Some(group) = self.state.groups.get_mut(&principal.group) {
            fresh.iter().for_each(|hash| group.known.forget(*hash));
            group.paused_until_ms = now_ms.saturating_add(PAUSE_MS);
            together = group.body.logs();
        }
        let mut reasons: Vec<&Reason> = look.best.iter().flatten().collect();
        reasons.sort_by(|one, other| other.score.total_cmp(&one.score));
        let reasons: Vec<String> = reasons.iter().take(3).map(|reason| reason.words()).collect();
        let is_critical = rarity >= bound + DECADE || hard >= HARD;
        let (severity, response) = if is_critical {
            ("critical", self.settings.critical)
        } else {
            ("warning", self.settings.warning)
        };
        let mut hasher = FxHasher::default();
        (&self.name, look.who.session, look.statement_id, severity, reasons.len()).hash(&mut hasher);
        let unusual = Unusual {
            id: format!("{:016x}", hasher.finish()),
            principal: self.name.clone(),
            score: (score * 1_000.0).round().max(0.0) as u64,
            reasons,
        };
        self.state.remember(Told {
            id: unusual.id.clone(),
            incident: String::new(),
            principal: self.name.clone(),
            severity: severity.to_owned(),
            at_ms: now_ms,
            score: unusual.score,
            rarity,
            bound,
            reasons: unusual.reasons.clone(),
            was_allowed: false,
            logs,
            together,
            fresh,
        });
        findings.push(found(look, response, severity, unusual));
    }
}

fn found(look: &Look<'_>, response: Response, severity: &'static str, unusual: Unusual) -> Finding {
    // Whoever a token proves is a principal of its own.
    let by =
        if look.who.end_user.is_some() && look.who.end_user_auth == "token" { By::EndUser } else { By::User };
    let alert = Alert {
        who: look.who.clone(),
        statement_id: look.statement_id,
        detector: "learned",
        severity,
        verdict: response.name(),
        rule: "unusual access".into(),
        fields: look.fields.clone(),
        incident: Arc::from(""),
        unusual: Some(Arc::new(unusual)),
        by_end_user: by == By::EndUser,
    };
    Finding { alert, response, by }
}

/// What is unusual in how much it is, of which the kinds tell much the same: the strongest, and a part of the
/// others. And what is unusual besides.
fn fused(best: &[Option<Reason>; FAMILIES]) -> f64 {
    let of = |family: Family| {
        best.get(family as usize).and_then(Option::as_ref).map_or(0.0, |reason| reason.score)
    };
    let mut amounts = [of(Family::Volume), of(Family::Enumeration), of(Family::Together)];
    amounts.sort_unstable_by(|one, other| other.total_cmp(one));
    let weights = [1.0, 0.5, 0.25];
    let amounts: f64 = amounts.iter().zip(weights).map(|(score, weight)| score * weight).sum();
    amounts + of(Family::Novelty) + of(Family::Injection) + of(Family::Listed)
}

/// The family of the strongest reason, and those that speak for themselves beside it.
fn leading(best: &[Option<Reason>; FAMILIES]) -> impl Iterator<Item = usize> {
    let score = |reason: &Option<Reason>| reason.as_ref().map_or(0.0, |reason| reason.score);
    let scores = best.iter().map(score).enumerate();
    let strongest = scores.max_by(|one, other| one.1.total_cmp(&other.1)).map_or(0, |(family, _)| family);
    let beside = Family::ALL.into_iter().zip(best);
    let beside = beside.filter(move |(family, reason)| family.speaks() && score(reason) >= SIGNS);
    std::iter::once(strongest).chain(beside.map(|(family, _)| family as usize))
}

/// Of what needs no normal, the strongest.
fn hard(best: &[Option<Reason>; FAMILIES]) -> f64 {
    let of = |family: Family| match best.get(family as usize) {
        Some(Some(Reason { score, what: What::Words(_) })) => *score,
        Some(Some(_) | None) | None => 0.0,
    };
    of(Family::Listed).max(of(Family::Injection))
}

impl Work<'_> {
    /// What somebody sets out to do: whether the like was done before.
    fn intent(&mut self, intent: &Intent) {
        let who = &intent.who;
        let mut combination = FxHasher::default();
        intent.fields.iter().for_each(|field| field.field.hash(&mut combination));
        let combination = combination.finish();
        // Most is what was done a moment ago: it is looked up as a whole.
        let mut whole = FxHasher::default();
        (combination, &intent.fingerprint, &who.client, &who.region, &who.application).hash(&mut whole);
        (&who.database, intent.action).hash(&mut whole);
        let whole = whole.finish();
        if self.principal.is_usual(whole) {
            return;
        }
        let is_new_form = self.form(intent);
        let mut is_new = is_new_form;
        for field in &*intent.fields {
            is_new |= self.meet(Trait::Field, &field.field, &field.field);
        }
        let fields = intent.fields.len();
        if fields > 1 && is_new_form {
            let key = format!("{combination:x}");
            self.meet(Trait::Combination, &key, &format!("{fields} of them"));
        }
        is_new |= self.network(&who.client);
        is_new |= self.region(&who.region);
        is_new |= self.meet(Trait::Application, &who.application, "application");
        is_new |= self.meet(Trait::Application, &who.database, "database");
        let (key, shown) = match intent.action {
            Action::Read => ("read", "a read"),
            Action::Search => ("search", "a search"),
            Action::Write => ("write", "a write"),
            Action::Define => ("define", "a definition"),
            Action::Replicate => ("replicate", "a stream"),
        };
        is_new |= self.meet(Trait::Action, key, shown);
        if !is_new {
            self.principal.is_usual_now(whole);
        }
    }

    /// True where the form of the statement is new.
    fn form(&mut self, intent: &Intent) -> bool {
        let hash = hashed(Trait::Shape, &intent.fingerprint);
        let day = self.day();
        if self.principal.known.find(hash).is_some() {
            self.principal.known.meet(hash, false, day, KNOWN_MAX);
            return false;
        }
        let of_peers = self.group.known.find(hash);
        if of_peers.is_none() && !self.is_deploying {
            let change = self.group.forms.change(&intent.statement);
            let told = match change {
                Some(Change::Injection) => Some((LISTED, "another query or a condition that always holds")),
                Some(Change::Expression) => Some((EXPRESSION, "an expression")),
                Some(Change::Longer) => Some((LONGER, "more")),
                None => None,
            };
            if let Some((score, what)) = told {
                let words = format!("a known statement with {what} where a literal stood");
                keep(self.best, Family::Injection, score, || What::Words(words.into()));
            }
        }
        if !self.is_deploying {
            let freshness = &self.group.freshness;
            let is_known = of_peers.is_some();
            self.principal.is_new(Trait::Shape, is_known, freshness, self.now_ms, "by its fingerprint");
        }
        let is_step = of_peers.map_or_else(|| shape::is_step(&intent.statement), |entry| entry.is_step);
        let is_injection = self
            .best
            .get(Family::Injection as usize)
            .is_some_and(|reason| reason.as_ref().is_some_and(|reason| reason.score >= HARD));
        if !self.is_paused && !is_injection {
            self.principal.known.meet(hash, is_step, day, KNOWN_MAX);
            self.principal.note_fresh(hash, self.now_ms);
            if self.group.known.meet(hash, is_step, day, group::KNOWN_MAX) {
                self.group.forms.learn(&intent.statement);
            }
        }
        true
    }

    fn day(&self) -> u32 {
        u32::try_from(self.now_ms / DAY_MS).unwrap_or(u32::MAX)
    }

    /// True where it is new.
    fn meet(&mut self, which: Trait, key: &str, shown: &str) -> bool {
        let (hash, day) = (hashed(which, key), self.day());
        if self.principal.known.find(hash).is_some() {
            self.principal.known.meet(hash, false, day, KNOWN_MAX);
            return false;
        }
        let of_peers = self.group.known.find(hash).is_some();
        if !(self.is_deploying && which == Trait::Combination) {
            self.principal.is_new(which, of_peers, &self.group.freshness, self.now_ms, shown);
        }
        if !self.is_paused {
            self.principal.known.meet(hash, false, day, KNOWN_MAX);
            self.principal.note_fresh(hash, self.now_ms);
            self.group.known.meet(hash, false, day, group::KNOWN_MAX);
        }
        true
    }

    /// 24 bits of an address of version 4, 48 of one of version 6; another word as it is. True where it is new.
    fn network(&mut self, client: &str) -> bool {
        // The text comes again with each statement: its hash is asked first.
        let whole = hashed(Trait::Network, client);
        if self.principal.known.find(whole).is_some() {
            self.principal.known.meet(whole, false, self.day(), KNOWN_MAX);
            return false;
        }
        let network = match client.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => {
                let [one, two, three, _] = address.octets();
                format!("{one}.{two}.{three}.0/24")
            }
            Ok(IpAddr::V6(address)) => {
                let [one, two, three, ..] = address.segments();
                format!("{one:x}:{two:x}:{three:x}::/48")
            }
            Err(_) => "no address".to_owned(),
        };
        self.meet(Trait::Network, &network, &network);
        if !self.is_paused {
            let day = self.day();
            self.principal.known.meet(whole, false, day, KNOWN_MAX);
            self.principal.note_fresh(whole, self.now_ms);
        }
        true
    }

    /// The region of its address, where the configuration says what is where. The first one is not told: it may be
    /// the configuration that is new. True where it is new.
    fn region(&mut self, region: &str) -> bool {
        let any = hashed(Trait::Region, "");
        if region.is_empty() || self.principal.known.find(any).is_some() {
            return !region.is_empty() && self.meet(Trait::Region, region, region);
        }
        if !self.is_paused {
            let day = self.day();
            for hash in [any, hashed(Trait::Region, region)] {
                self.principal.known.meet(hash, false, day, KNOWN_MAX);
                self.group.known.meet(hash, false, day, group::KNOWN_MAX);
            }
        }
        true
    }

    /// What came of it: how much.
    fn outcome(&mut self, outcome: &Outcome, subjects: &[u64], tails: &[super::normal::Tail]) {
        let told = outcome.subjects.as_deref();
        // Those without a name: each is taken for another one.
        let unnamed = told.map_or(0, |told| {
            told.unknown + if told.known.names().is_none() { told.known.count() } else { 0 }
        });
        let so_far = [outcome.rows, outcome.cells, unnamed, outcome.bytes];
        let execution = (outcome.execution.session, outcome.execution.number);
        let ([rows, cells, unnamed, bytes], is_first) = self.principal.since(execution, so_far);
        let asks = matches!(outcome.action, Action::Read | Action::Search);
        let finds_nobody = asks && outcome.rows == 0 && outcome.sqlstate.is_none();
        let is_step = is_first
            && self
                .principal
                .known
                .find(hashed(Trait::Shape, &outcome.fingerprint))
                .is_some_and(|entry| entry.is_step);
        let learns = !self.is_paused;
        let strange = |met: &mut super::known::Met| {
            subjects.iter().filter(|subject| !met.meet(**subject, learns)).count() as u64 + unnamed
        };
        let (strangers, of_all) = (strange(&mut self.principal.met), strange(&mut self.group.met));
        let now_ms = self.now_ms;
        let mut returns = None;
        if let (true, [subject]) = (is_first && unnamed == 0, subjects) {
            returns = self.principal.recent.returns(*subject, now_ms);
            if returns == Some(2) {
                self.principal.repeat(&self.group.freshness, self.best);
            }
            if strangers > 0 {
                self.principal.recent.add(*subject, now_ms);
            }
        }
        let mut amounts = [0; AMOUNTS];
        for (amount, count) in [
            (Amount::Rows, rows),
            (Amount::Cells, cells),
            (Amount::Subjects, unnamed),
            (Amount::Strangers, strangers),
            (Amount::Encounters, u64::from(is_first && strangers > 0)),
            (Amount::Returns, u64::from(returns.is_some())),
            (Amount::Lookups, u64::from(is_first && asks)),
            (Amount::Misses, u64::from(is_first && finds_nobody)),
            (Amount::Steps, u64::from(is_step)),
            (Amount::Bytes, bytes),
        ] {
            amount.put(&mut amounts, count);
        }
        self.principal.body.add(&amounts, subjects, now_ms);
        let level = self.principal.level();
        let peers = Some((&*self.group.normals, &*self.group.tails));
        let compared = Compared { peers, tails, hours_a_day: self.principal.hours_a_day() };
        self.principal.body.judge(&compared, level, self.best);
        Amount::Strangers.put(&mut amounts, of_all);
        self.group.body.add(&amounts, subjects, now_ms);
        let compared = Compared { peers: None, tails, hours_a_day: HOURS_TOGETHER };
        if self.group.members >= TOGETHER_MIN && now_ms >= self.group.paused_until_ms {
            self.group.body.judge(&compared, 0.0, self.best);
        } else {
            // Peaks go on, and say nothing.
            self.group.body.judge(&compared, 0.0, &mut [const { None }; FAMILIES]);
        }
    }

    /// A subject that the configuration lists, unless an operator has said that this principal may.
    fn listed(&mut self, subject: &str, settings: &LearnedSettings) {
        if !settings.subjects.contains(subject) {
            return;
        }
        let hash = hashed(Trait::Return, subject);
        if self.principal.known.find(hash).is_none() {
            if !self.principal.fresh.iter().any(|(fresh, _)| *fresh == hash) {
                self.principal.note_fresh(hash, self.now_ms);
            }
            let words = format!("data subject {subject}, which is listed");
            keep(self.best, Family::Listed, LISTED, || What::Words(words.into()));
        }
    }
}
