//! The detector over histories that are made by a fixed sequence of numbers.

use super::*;
use crate::audit::{Alert, Attribution, Distinct, Execution, FieldUse, Intent, Outcome, Record, Subjects};
use crate::seal::SubjectId;
use crate::statement::Action;
use crate::watch::detector::{Detector as _, Finding, Seen};
use std::sync::Arc;

/// A Monday, 2026-06-01.
const BEGIN: u64 = 1_780_272_000_000;
const HOUR: u64 = 3_600_000;
const MINUTE: u64 = 60_000;
const CLERKS: u64 = 12;

struct Sequence(u64);

impl Sequence {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }
}

fn subject(n: u64) -> SubjectId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&Sequence(n).next().to_be_bytes());
    id[8..].copy_from_slice(&n.to_be_bytes());
    SubjectId(id)
}

/// Something that somebody asks.
#[derive(Clone)]
struct Ask {
    user: String,
    client: &'static str,
    application: &'static str,
    statement: &'static str,
    fields: &'static [&'static str],
    subjects: Vec<u64>,
}

const LOOKUP: &str = "SELECT name, email FROM customers WHERE id = ?";

impl Ask {
    fn by(user: &str) -> Ask {
        Ask {
            user: user.to_owned(),
            client: "10.1.2.3",
            application: "till",
            statement: LOOKUP,
            fields: &["public.customers.name", "public.customers.email"],
            subjects: Vec::new(),
        }
    }
}

struct House {
    learned: Learned,
    sequence: Sequence,
    number: u64,
    findings: Vec<Finding>,
}

impl House {
    fn new(settings: LearnedSettings) -> House {
        House { learned: Learned::new(settings), sequence: Sequence(7), number: 0, findings: Vec::new() }
    }

    /// Intent and outcome.
    fn ask(&mut self, ask: &Ask, now_ms: u64) {
        self.number += 1;
        let who = Arc::new(Who {
            session: 1 + now_ms / (8 * HOUR),
            user: ask.user.as_str().into(),
            database: "shop".into(),
            application: ask.application.into(),
            client: ask.client.into(),
            auth: "scram",
            ..Who::sealgate()
        });
        let fields: Arc<[FieldUse]> = ask
            .fields
            .iter()
            .map(|field| FieldUse { field: (*field).into(), class: "contact".into(), mode: "none" })
            .collect();
        let execution = Execution { session: who.session, number: self.number };
        let fingerprint: Arc<str> = format!("{:x}", Sequence(ask.statement.len() as u64).next()).into();
        let intent = Intent {
            who: who.clone(),
            execution,
            action: Action::Read,
            attribution: Attribution::Known,
            fields: fields.clone(),
            fingerprint: fingerprint.clone(),
            statement: ask.statement.into(),
            rule: "every-user",
            replication: None,
            lease: None,
        };
        let mut known = Distinct::default();
        ask.subjects.iter().for_each(|n| known.insert(subject(*n)));
        let rows = ask.subjects.len() as u64;
        let outcome = Outcome {
            who,
            execution,
            action: Action::Read,
            attribution: Attribution::Known,
            fields,
            fingerprint,
            rows,
            cells: rows * ask.fields.len() as u64,
            bytes: rows * 20,
            sqlstate: None,
            committed: None,
            replication: None,
            lease: None,
            executions: None,
            partial: false,
            subjects: Some(Arc::new(Subjects { known, ..Subjects::default() })),
        };
        self.learned.see(&Seen::Record(Box::new(Record::Intent(intent))), now_ms, &mut self.findings);
        self.learned.see(&Seen::Record(Box::new(Record::Outcome(outcome))), now_ms + 3, &mut self.findings);
    }

    /// A day of work: clerks between 8 and 16 o'clock, each with some of its own 400 customers, and a batch
    /// at night. `extra` comes as one hour begins.
    fn day(&mut self, day: u64, extra: &mut dyn FnMut(&mut House, u64)) {
        let begin = BEGIN + day * 24 * HOUR;
        for hour in 0..24 {
            let now_ms = begin + hour * HOUR;
            extra(self, now_ms);
            if hour == 2 {
                for step in 0..10 {
                    let subjects = (0..80).map(|n| 50_000 + step * 80 + n).collect();
                    let ask = Ask { subjects, application: "batch", ..Ask::by("batch") };
                    self.ask(&ask, now_ms + step * 1_000);
                }
            }
            if day % 7 >= 5 || !(8..16).contains(&hour) {
                continue;
            }
            for clerk in 0..CLERKS {
                let count = 3 + self.sequence.below(6) + clerk % 3;
                for step in 0..count {
                    let size = 1 + self.sequence.below(3);
                    let own = clerk * 1_000;
                    let subjects = (0..size).map(|_| own + self.sequence.below(400)).collect();
                    let at = now_ms + MINUTE + step * 5 * MINUTE + self.sequence.below(MINUTE);
                    self.ask(&Ask { subjects, ..Ask::by(&format!("clerk{clerk}")) }, at);
                }
            }
        }
    }

    fn days(&mut self, from: u64, to: u64) {
        for day in from..to {
            self.day(day, &mut |_, _| {});
        }
    }

    /// After three weeks of work, at 10 o'clock on a Monday.
    fn learned() -> (House, u64) {
        let mut house = House::new(LearnedSettings::default());
        house.days(0, 21);
        house.findings.clear();
        (house, BEGIN + 21 * 24 * HOUR + 10 * HOUR)
    }

    fn told(&self) -> Vec<String> {
        self.findings.iter().map(|finding| told(&finding.alert)).collect()
    }
}

fn told(alert: &Alert) -> String {
    let unusual = alert.unusual.as_ref().unwrap();
    format!("{} {} {}: {}", unusual.principal, alert.severity, unusual.score, unusual.reasons.join("; "))
}

#[test]
fn usual_work_is_told_no_more_often_than_is_granted() {
    let mut house = House::new(LearnedSettings::default());
    house.days(0, 42);
    let told = house.told();
    assert!(told.len() <= 14, "{} in 28 days: {told:#?}", told.len());
}

#[test]
fn a_read_of_much_more_than_usual_is_told_at_once_with_what_is_normal() {
    let (mut house, at) = House::learned();
    let ask = Ask { subjects: (0..900).collect(), ..Ask::by("clerk3") };
    house.ask(&ask, at);
    let told = house.told();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].starts_with("clerk3 critical"), "{told:#?}");
    assert!(told[0].contains("normal") && told[0].contains(" in 1"), "{told:#?}");
    assert_eq!(
        house.findings[0].alert.unusual.as_ref().unwrap().reasons.len().min(3),
        house.findings[0].alert.unusual.as_ref().unwrap().reasons.len()
    );
}

#[test]
fn many_lookups_of_one_stranger_each_are_told() {
    let (mut house, at) = House::learned();
    for step in 0..400 {
        let ask = Ask { subjects: vec![90_000 + step], ..Ask::by("clerk5") };
        house.ask(&ask, at + step * 2_000);
    }
    let told = house.told();
    assert!(told.iter().any(|told| told.starts_with("clerk5")), "{told:#?}");
    assert!(told.iter().any(|told| told.contains("not met before")), "{told:#?}");
}

#[test]
fn a_stranger_with_a_clerks_password_is_told_by_what_is_new() {
    let (mut house, at) = House::learned();
    let ask = Ask {
        client: "203.0.113.9",
        application: "psql",
        statement: "SELECT name, email, iban FROM customers WHERE city = ? LIMIT ?",
        fields: &["public.customers.name", "public.customers.email", "public.customers.iban"],
        subjects: (0..20).collect(),
        ..Ask::by("clerk7")
    };
    house.ask(&ask, at + 13 * HOUR);
    let told = house.told();
    assert!(told.iter().all(|told| told.starts_with("clerk7 ")), "{told:#?}");
    assert!(told[0].contains("203.0.113.0/24") || told[0].contains("iban"), "{told:#?}");
}

#[test]
fn twice_as_much_as_usual_over_a_day_is_told_of_most() {
    let (mut house, _) = House::learned();
    let attackers = 10;
    house.day(21, &mut |house, now_ms| {
        let hour = (now_ms - BEGIN) / HOUR % 24;
        if !(8..16).contains(&hour) {
            return;
        }
        for clerk in 0..attackers {
            for step in 0..6 {
                let subjects = (0..2).map(|_| clerk * 1_000 + house.sequence.below(990)).collect();
                house.ask(
                    &Ask { subjects, ..Ask::by(&format!("clerk{clerk}")) },
                    now_ms + 2 * MINUTE + step * 8 * MINUTE,
                );
            }
        }
    });
    let told = house.told();
    let found =
        (0..attackers).filter(|n| told.iter().any(|told| told.starts_with(&format!("clerk{n} ")))).count();
    assert!(found >= 8, "{found}: {told:#?}");
}

#[test]
fn what_was_told_is_not_learned_until_an_operator_allows_it() {
    let (mut house, at) = House::learned();
    let much = Ask { subjects: (0..900).collect(), ..Ask::by("clerk3") };
    house.ask(&much, at);
    let id = house.findings[0].alert.unusual.as_ref().unwrap().id.clone();
    house.findings.clear();
    // As long as it goes on like this it is one alert.
    house.ask(&much, at + HOUR);
    house.ask(&much, at + 20 * HOUR);
    assert_eq!(house.told(), Vec::<String>::new());
    // It has not become normal by that.
    house.ask(&much, at + 8 * 24 * HOUR);
    assert_eq!(house.told().len(), 1);
    assert!(house.learned.explain(&id).unwrap()["reasons"].as_array().is_some_and(|all| !all.is_empty()));
    assert!(!house.learned.allow("0"));
    let newest = house.findings[0].alert.unusual.as_ref().unwrap().id.clone();
    assert!(house.learned.allow(&newest));
    house.findings.clear();
    house.ask(&much, at + 9 * 24 * HOUR);
    house.ask(&much, at + 17 * 24 * HOUR);
    assert_eq!(house.told(), Vec::<String>::new());
    let more = Ask { subjects: (0..90_000).step_by(7).collect(), ..Ask::by("clerk3") };
    house.ask(&more, at + 18 * 24 * HOUR);
    assert_eq!(house.told().len(), 1, "more than was allowed");
}

#[test]
fn whoever_asks_for_a_little_more_each_day_is_told_before_it_is_ten_times_as_much() {
    let (mut house, _) = House::learned();
    let mut factor = 1.0_f64;
    let mut caught = None;
    for day in 21..60 {
        factor *= 1.1;
        let size = (6.0 * (factor - 1.0)) as u64;
        house.day(day, &mut |house, now_ms| {
            let hour = (now_ms - BEGIN) / HOUR % 24;
            for step in 0..size.min(60) {
                if (8..16).contains(&hour) && day % 7 < 5 {
                    let ask = Ask { subjects: vec![3_000 + house.sequence.below(900)], ..Ask::by("clerk3") };
                    house.ask(&ask, now_ms + 2 * MINUTE + step * 5_000);
                }
            }
        });
        if house.told().iter().any(|told| told.starts_with("clerk3 ")) {
            caught = Some(factor);
            break;
        }
    }
    assert!(caught.is_some_and(|factor| factor < 10.0), "{caught:?}");
}

#[test]
fn a_known_statement_with_another_query_in_it_is_told_even_while_it_learns() {
    let mut house = House::new(LearnedSettings::default());
    house.days(0, 2);
    let ask = Ask {
        statement: "SELECT name, email FROM customers WHERE id = ? UNION SELECT key, value FROM secrets",
        ..Ask::by("clerk1")
    };
    house.ask(&ask, BEGIN + 2 * 24 * HOUR);
    let told = house.told();
    assert!(told.len() == 1 && told[0].contains("where a literal stood"), "{told:#?}");
}

#[test]
fn an_injection_is_told_though_something_else_was_told_of_the_user_on_that_day() {
    let (mut house, at) = House::learned();
    house.ask(&Ask { subjects: (0..900).collect(), ..Ask::by("clerk3") }, at);
    assert_eq!(house.told().len(), 1);
    let statement = "SELECT name, email FROM customers WHERE id = ? UNION SELECT key, value FROM secrets";
    for minute in 1..4 {
        house.ask(&Ask { statement, ..Ask::by("clerk3") }, at + minute * MINUTE);
    }
    let told = house.told();
    assert!(told.len() == 2 && told[1].contains("where a literal stood"), "{told:#?}");
}

#[test]
fn new_forms_within_the_window_of_a_deployment_are_learned_and_say_nothing() {
    let statement = "SELECT name, email, city FROM customers WHERE id = ? OR email = ? ORDER BY name";
    let score = |deploys: bool| {
        let (mut house, at) = House::learned();
        if deploys {
            house.learned.deploy(at + HOUR);
        }
        house.ask(&Ask { statement, ..Ask::by("clerk2") }, at);
        let within = house.learned.last_score().unwrap().score;
        house.ask(&Ask { statement, ..Ask::by("clerk2") }, at + 2 * HOUR);
        (within, house.learned.last_score().unwrap().score)
    };
    let ((without, _), (with, later)) = (score(false), score(true));
    assert!(with < without && with < 0.5 && later < 0.5, "{with} {later} {without}");
}

#[test]
fn a_listed_subject_is_told_and_those_that_are_not_are_not() {
    let listed = subject(17).to_string();
    let settings = LearnedSettings { subjects: [listed.clone()].into(), ..LearnedSettings::default() };
    let mut house = House::new(settings);
    house.ask(&Ask { subjects: vec![16], ..Ask::by("ada") }, BEGIN);
    assert_eq!(house.told().len(), 0);
    house.ask(&Ask { subjects: vec![16, 17], ..Ask::by("ada") }, BEGIN + 1);
    assert!(house.told()[0].contains(&listed));
    let id = house.findings[0].alert.unusual.as_ref().unwrap().id.clone();
    assert!(house.learned.allow(&id));
    house.ask(&Ask { subjects: vec![17], ..Ask::by("ada") }, BEGIN + 48 * HOUR);
    assert_eq!(house.told().len(), 1, "allowed");
}

#[test]
fn what_was_saved_tells_the_same_as_what_was_not() {
    let (mut house, at) = House::learned();
    let saved = house.learned.save().unwrap();
    let mut other = House {
        learned: Learned::restore(LearnedSettings::default(), &saved).unwrap(),
        sequence: Sequence(house.sequence.0),
        number: house.number,
        findings: Vec::new(),
    };
    for one in [&mut house, &mut other] {
        one.day(21, &mut |house, now_ms| {
            if now_ms == at {
                house.ask(&Ask { subjects: (0..300).collect(), ..Ask::by("clerk9") }, at);
            }
        });
    }
    assert!(!house.told().is_empty());
    assert_eq!(house.told(), other.told());
    assert!(Learned::restore(LearnedSettings::default(), b"{}").is_none());
}

#[test]
fn no_principal_takes_more_than_64_kib_and_those_away_for_longest_make_room() {
    let (mut house, at) = House::learned();
    for n in 0..3_000 {
        let statement: &'static str = Box::leak(format!("SELECT {} FROM t", "a".repeat(n)).into_boxed_str());
        house.ask(
            &Ask { statement, subjects: (n as u64 * 7..n as u64 * 7 + 7).collect(), ..Ask::by("clerk0") },
            at + n as u64,
        );
    }
    let bytes = house.learned.state.principals["clerk0"].bytes();
    assert!(bytes < 64 << 10, "{bytes}");
    for n in 0..Learned::PRINCIPALS_MAX {
        house.ask(&Ask::by(&format!("new{n}")), at + 5_000 + n as u64);
    }
    assert_eq!(house.learned.principals(), Learned::PRINCIPALS_MAX);
    assert_eq!(house.learned.forgotten(), CLERKS + 1);
    assert!(house.learned.baseline("clerk1").is_none() && house.learned.baseline("new1").is_some());
}

#[test]
fn a_share_of_strangers_is_told_where_the_number_of_lookups_is_usual() {
    let mut house = House::new(LearnedSettings::default());
    house.days(0, 35);
    house.findings.clear();
    let at = BEGIN + 35 * 24 * HOUR + 10 * HOUR;
    // As many lookups as on any day, but all of others.
    for step in 0..45 {
        let ask = Ask { subjects: vec![90_000 + step], ..Ask::by("clerk5") };
        house.ask(&ask, at + step * 8 * MINUTE);
    }
    let told = house.told();
    assert!(
        told.iter().any(|told| told.starts_with("clerk5") && told.contains("not met before")),
        "{told:#?}"
    );
}

#[test]
fn whoever_returns_to_the_same_few_strangers_within_a_day_is_told() {
    let (mut house, _) = House::learned();
    house.day(21, &mut |house, now_ms| {
        let hour = (now_ms - BEGIN) / HOUR % 24;
        if (8..16).contains(&hour) && hour.is_multiple_of(2) {
            for one in 0..5 {
                house.ask(&Ask { subjects: vec![70_000 + one], ..Ask::by("clerk4") }, now_ms + 1 + one);
            }
        }
    });
    let told = house.told();
    assert!(
        told.iter().any(|told| told.starts_with("clerk4 ") && told.contains("looked at for the third time")),
        "{told:#?}"
    );
}

#[test]
fn a_region_is_told_where_others_were_known_and_the_first_one_is_not() {
    let (mut house, at) = House::learned();
    let mut score = |region: &str, at: u64| {
        house.number += 1;
        let who = Arc::new(Who {
            session: 1,
            user: "clerk6".into(),
            database: "shop".into(),
            application: "till".into(),
            client: "10.1.2.3".into(),
            region: region.into(),
            auth: "scram",
            ..Who::sealgate()
        });
        let intent = Intent {
            who,
            execution: Execution { session: 1, number: house.number },
            action: Action::Read,
            attribution: Attribution::Known,
            fields: Arc::default(),
            fingerprint: "f".into(),
            statement: LOOKUP.into(),
            rule: "every-user",
            replication: None,
            lease: None,
        };
        house.learned.see(&Seen::Record(Box::new(Record::Intent(intent))), at, &mut house.findings);
        house.learned.last_score().unwrap().score
    };
    let form = score("", at);
    let (first, again) = (score("home", at + 2 * HOUR), score("home", at + 4 * HOUR));
    let far = score("far", at + 6 * HOUR);
    assert!(first <= form && again <= form && far > form + 1.0, "{form} {first} {again} {far}");
}
