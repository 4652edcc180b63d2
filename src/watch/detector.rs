//! Detectors: what happened goes in, with its time, and what somebody should look at comes out, with a
//! reason. Those of this file need to learn nothing; others have the same form, [`Detector`].
//!
//! All of it belongs to one thread, away from the sessions.

use std::collections::HashMap;
use std::sync::Arc;

use super::burst::{Burst, Rate};
use super::hours::Hours;
use super::restraint::Restraint;
use super::whom::{By, EndUser};
use crate::audit::{Alert, Attribution, FieldUse, Record, Who};
use crate::statement::Signs;

/// What a detector sees.
#[derive(Clone, Debug)]
pub enum Seen {
    /// What stands in the record.
    Record(Box<Record>),
    /// The server's own error, of a statement that may stand in no record.
    Failed { who: Arc<Who>, sqlstate: [u8; 5] },
    /// A text with signs of an injection.
    Suspicious { who: Arc<Who>, signs: Signs, fields: Arc<[FieldUse]>, statement_id: Option<u64> },
}

/// What is done beside the alert.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Response {
    Alert,
    /// The session ends.
    Cut,
    /// For so long this is held against the user.
    Restrain {
        restraint: Restraint,
        ms: u64,
    },
}

impl Response {
    /// In the words of the record.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Response::Alert => "alert",
            Response::Cut => "cut",
            Response::Restrain { restraint, .. } => restraint.name(),
        }
    }
}

/// Something that somebody should look at.
#[derive(Clone, Debug)]
pub struct Finding {
    pub alert: Alert,
    pub response: Response,
    /// Against whom.
    pub by: By,
}

/// Records in, findings out. Whatever it remembers is bounded.
pub trait Detector: Send {
    /// Looks at one thing that happened, in the order of its coming.
    fn see(&mut self, seen: &Seen, now_ms: u64, findings: &mut Vec<Finding>);
}

/// What a detector without learning looks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Logins that fail, of one user or from one address.
    FailedLogins(Rate),
    /// Refused statements of one user.
    Refusals(Rate),
    /// Errors of the server that somebody who tries out names and types meets: classes 22 and 42.
    Errors(Rate),
    /// Access outside of these hours.
    Hours(Hours),
    /// Signs of an injection.
    Injection,
}

/// One `[[watch.detector]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    pub kind: Kind,
    pub response: Response,
    /// `warning`, `critical`.
    pub severity: &'static str,
    /// Login users it looks at. None: every user.
    pub users: Option<Vec<String>>,
    /// Of whom it counts, and against whom something is held.
    pub by: By,
}

impl Kind {
    /// Label of alerts and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Kind::FailedLogins(_) => "failed-logins",
            Kind::Refusals(_) => "refusals",
            Kind::Errors(_) => "errors",
            Kind::Hours(_) => "hours",
            Kind::Injection => "injection",
        }
    }
}

/// Everything that one rule remembers.
pub struct Hard {
    rule: Rule,
    reason: Arc<str>,
    bursts: HashMap<Arc<str>, Burst>,
    /// Of those that are too many to be told apart.
    crowd: Burst,
    /// When each user was last told of.
    told: HashMap<Arc<str>, u64>,
}

/// An alert for one user outside of the hours comes again after this long, one of an injection after that.
const HOURS_AGAIN_MS: u64 = 3_600_000;
const INJECTION_AGAIN_MS: u64 = 1_000;

impl Hard {
    /// Users, or addresses, that are told apart at one time.
    pub const PRINCIPALS_MAX: usize = 4_096;

    #[must_use]
    pub fn new(rule: Rule) -> Hard {
        let reason = match &rule.kind {
            Kind::FailedLogins(rate) => rate.words("failed logins"),
            Kind::Refusals(rate) => rate.words("refused statements"),
            Kind::Errors(rate) => rate.words("errors of class 22 or 42"),
            Kind::Hours(_) => "access outside of the granted hours".to_owned(),
            Kind::Injection => "signs of an injection".to_owned(),
        };
        Hard {
            rule,
            reason: reason.into(),
            bursts: HashMap::new(),
            crowd: Burst::new(),
            told: HashMap::new(),
        }
    }

    fn looks_at(&self, who: &Who) -> bool {
        let Some(users) = &self.rule.users else { return true };
        users.iter().any(|user| **user == *who.user)
    }

    /// Under which name it counts. No user has a zero in his name.
    fn principal(&self, who: &Who) -> Arc<str> {
        match self.rule.by {
            By::User => who.user.clone(),
            By::EndUser => {
                let EndUser { name, proven } = EndUser::of(who);
                format!("{}\0{proven}\0{name}", who.user).into()
            }
        }
    }

    /// Counts for one principal; true where it is too often.
    fn count(&mut self, principal: &Arc<str>, rate: Rate, times: u32, now_ms: u64) -> bool {
        if let Some(burst) = self.bursts.get_mut(principal) {
            return burst.add(rate, times, now_ms);
        }
        if self.bursts.len() >= Self::PRINCIPALS_MAX {
            self.bursts.retain(|_, burst| !burst.is_stale(rate, now_ms));
        }
        if self.bursts.len() >= Self::PRINCIPALS_MAX {
            return self.crowd.add(rate, times, now_ms);
        }
        let mut burst = Burst::new();
        let over = burst.add(rate, times, now_ms);
        self.bursts.insert(principal.clone(), burst);
        over
    }

    fn found(&self, who: &Arc<Who>, statement_id: Option<u64>, fields: Arc<[FieldUse]>) -> Finding {
        let alert = Alert {
            who: who.clone(),
            statement_id,
            detector: self.rule.kind.name(),
            severity: self.rule.severity,
            verdict: self.rule.response.name(),
            rule: self.reason.clone(),
            fields,
            incident: Arc::from(""),
            unusual: None,
            by_end_user: self.rule.by == By::EndUser,
        };
        Finding { alert, response: self.rule.response, by: self.rule.by }
    }

    /// Is this outside of the hours, and not told a while ago?
    fn is_outside(&mut self, who: &Who, now_ms: u64) -> bool {
        let Kind::Hours(hours) = &self.rule.kind else { return false };
        !hours.holds(now_ms) && self.is_due(who, HOURS_AGAIN_MS, now_ms)
    }

    /// Once in so long for each user, where nothing more than an alert is done about it.
    fn is_due(&mut self, who: &Who, again_ms: u64, now_ms: u64) -> bool {
        if self.rule.response != Response::Alert {
            return true;
        }
        let again = |told: u64| now_ms >= told.saturating_add(again_ms);
        let principal = self.principal(who);
        match self.told.get_mut(&principal) {
            Some(told) if !again(*told) => false,
            Some(told) => {
                *told = now_ms;
                true
            }
            None => {
                if self.told.len() >= Self::PRINCIPALS_MAX {
                    self.told.retain(|_, told| !again(*told));
                }
                if self.told.len() < Self::PRINCIPALS_MAX {
                    self.told.insert(principal, now_ms);
                }
                true
            }
        }
    }
}

impl Detector for Hard {
    fn see(&mut self, seen: &Seen, now_ms: u64, findings: &mut Vec<Finding>) {
        let nothing: Arc<[FieldUse]> = Arc::default();
        match seen {
            Seen::Failed { who, sqlstate } => {
                let Kind::Errors(rate) = self.rule.kind else { return };
                let tried = sqlstate.starts_with(b"22") || sqlstate.starts_with(b"42");
                if tried && self.looks_at(who) && self.count(&self.principal(who), rate, 1, now_ms) {
                    findings.push(self.found(who, None, nothing));
                }
            }
            Seen::Suspicious { who, signs, fields, statement_id } => {
                let injection = self.rule.kind == Kind::Injection && self.looks_at(who);
                if injection && self.is_due(who, INJECTION_AGAIN_MS, now_ms) {
                    let mut finding = self.found(who, *statement_id, fields.clone());
                    finding.alert.rule = format!("{}: {}", self.reason, signs.words()).into();
                    findings.push(finding);
                }
            }
            Seen::Record(record) => match &**record {
                Record::Login(login) => {
                    let Kind::FailedLogins(rate) = self.rule.kind else { return };
                    if !self.looks_at(&login.who) {
                        return;
                    }
                    let times = u32::try_from(login.untold).unwrap_or(u32::MAX).saturating_add(1);
                    // Whoever tries one password with many users comes from somewhere. No user has a
                    // space before his address.
                    let from: Arc<str> = Arc::from(format!(" {}", login.who.client));
                    let of_user = self.count(&login.who.user, rate, times, now_ms);
                    let of_client = self.count(&from, rate, times, now_ms);
                    if of_user || of_client {
                        findings.push(self.found(&login.who, None, nothing));
                    }
                }
                Record::Refusal(refusal) => {
                    let Kind::Refusals(rate) = self.rule.kind else { return };
                    let who = &refusal.who;
                    // Before a login anybody may claim any name; and what a lock refuses would renew it.
                    let own = who.auth != "none" && !refusal.rule.starts_with("watch-");
                    if own && self.looks_at(who) && self.count(&self.principal(who), rate, 1, now_ms) {
                        let id = Some(refusal.statement_id).filter(|id| *id > 0);
                        findings.push(self.found(who, id, refusal.fields.clone()));
                    }
                }
                Record::Intent(intent) => {
                    let known = intent.attribution == Attribution::Known;
                    if known && self.looks_at(&intent.who) && self.is_outside(&intent.who, now_ms) {
                        let id = Some(intent.execution.number);
                        findings.push(self.found(&intent.who, id, intent.fields.clone()));
                    }
                }
                Record::Outcome(_) | Record::Session(_) | Record::Alert(_) | Record::Admin(_) => {}
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{LoginRecord, RefusalRecord};

    const NOON: u64 = 1_795_305_600_000;

    fn who(user: &str, client: &str) -> Arc<Who> {
        Arc::new(Who {
            session: 7,
            user: user.into(),
            client: client.into(),
            auth: "scram",
            ..Who::sealgate()
        })
    }

    fn login(user: &str, client: &str) -> Seen {
        let login = LoginRecord { who: who(user, client), sqlstate: *b"28P01", rule: "server", untold: 0 };
        Seen::Record(Box::new(Record::Login(login)))
    }

    fn refusal(user: &str) -> Seen {
        Seen::Record(Box::new(Record::Refusal(RefusalRecord {
            who: who(user, "::1"),
            statement_id: 3,
            sqlstate: "SG001",
            rule: "opaque".into(),
            fields: Arc::default(),
            statement: None,
            fingerprint: None,
        })))
    }

    fn failed(user: &str, sqlstate: &[u8; 5]) -> Seen {
        Seen::Failed { who: who(user, "::1"), sqlstate: *sqlstate }
    }

    fn hard(kind: Kind, users: Option<Vec<String>>) -> Hard {
        Hard::new(Rule { kind, response: Response::Alert, severity: "warning", users, by: By::User })
    }

    fn found(detector: &mut Hard, seen: &[Seen]) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (step, seen) in seen.iter().enumerate() {
            detector.see(seen, NOON + step as u64, &mut findings);
        }
        findings
    }

    const THREE: Rate = Rate { count: 3, window_ms: 60_000 };

    #[test]
    fn finds_logins_that_fail_for_one_user_and_from_one_address() {
        let guessing: Vec<Seen> = (0..5).map(|n| login("ada", &format!("10.0.0.{n}"))).collect();
        let spraying: Vec<Seen> = (0..5).map(|n| login(&format!("u{n}"), "10.0.0.1")).collect();
        let apart: Vec<Seen> = (0..5).map(|n| login(&format!("u{n}"), &format!("10.0.0.{n}"))).collect();
        for (seen, expected) in [(guessing, 1), (spraying, 1), (apart, 0)] {
            let findings = found(&mut hard(Kind::FailedLogins(THREE), None), &seen);
            assert_eq!(findings.len(), expected);
            for finding in findings {
                assert_eq!(&*finding.alert.rule, "3 failed logins in 60 s");
                assert_eq!((finding.alert.who.session, finding.alert.detector), (7, "failed-logins"));
            }
        }
    }

    #[test]
    fn finds_bursts_of_refusals_and_of_errors_of_two_classes() {
        let refused = [refusal("ada"), refusal("bob"), refusal("ada"), refusal("ada")];
        let findings = found(&mut hard(Kind::Refusals(THREE), None), &refused);
        assert_eq!((findings.len(), &*findings[0].alert.who.user), (1, "ada"));
        assert_eq!(findings[0].alert.statement_id, Some(3));
        // Nobody has logged in yet, or it is the watch's own word.
        let claimed = |auth, rule| {
            let Seen::Record(record) = refusal("ada") else { panic!("a record") };
            let Record::Refusal(refused) = *record else { panic!("a refusal") };
            let who = Arc::new(Who { auth, ..Who::clone(&refused.who) });
            Seen::Record(Box::new(Record::Refusal(RefusalRecord { who, rule, ..refused })))
        };
        for (auth, rule) in [("none", "residency"), ("scram", "watch-locked")] {
            let refused = [(); 4].map(|()| claimed(auth, Arc::from(rule)));
            assert!(found(&mut hard(Kind::Refusals(THREE), None), &refused).is_empty(), "{rule}");
        }
        let tried = [failed("eve", b"42P01"), failed("eve", b"22P02"), failed("eve", b"42703")];
        assert_eq!(found(&mut hard(Kind::Errors(THREE), None), &tried).len(), 1);
        let ordinary = [failed("eve", b"23505"), failed("eve", b"40001"), failed("eve", b"57014")];
        assert!(found(&mut hard(Kind::Errors(THREE), None), &ordinary).is_empty());
        assert!(found(&mut hard(Kind::Errors(THREE), Some(vec!["ada".into()])), &tried).is_empty());
        assert!(found(&mut hard(Kind::Refusals(THREE), None), &tried).is_empty());
    }

    #[test]
    fn forgets_nobody_who_counts_and_is_bounded() {
        let mut detector = hard(Kind::Refusals(THREE), None);
        let many: Vec<Seen> = (0..10_000).map(|n| refusal(&format!("u{n}"))).collect();
        let findings = found(&mut detector, &many);
        assert_eq!(detector.bursts.len(), Hard::PRINCIPALS_MAX);
        assert_eq!(findings.len(), 1, "those beyond count together");
        let mut late = Vec::new();
        detector.see(&refusal("late"), NOON + 600_000, &mut late);
        assert_eq!(detector.bursts.len(), 1, "the stale ones made room");
    }
}
