//! The evaluation of the learned detector (`make eval`, benches/eval) in small: a few users and weeks, some
//! attacks, so that neither it nor the detector breaks unnoticed.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test, of which some parts are for the whole evaluation alone"
)]

#[path = "../benches/eval/attacks.rs"]
mod attacks;
#[path = "../benches/eval/company.rs"]
mod company;
#[path = "../benches/eval/figures.rs"]
mod figures;
#[path = "../benches/eval/forms.rs"]
mod forms;
#[path = "../benches/eval/judges.rs"]
mod judges;
#[path = "../benches/eval/records.rs"]
mod records;
#[path = "../benches/eval/trial.rs"]
mod trial;

use attacks::{Attack, Scene};
use company::{BEGIN_MS, Company, DAY_MS, Event, HOUR_MS, Role, SUBJECTS};
use figures::{Bound, Share, bootstrapped, median, summary};
use forms::{Form, RELEASED, Technique, injected};
use judges::LearnedJudge;
use sealgate::watch::Family;
use trial::{Calendar, Past, Trial, trial};

const ATTACKS: [Attack; 5] =
    [Attack::Bulk, Attack::Copy, Attack::InOrder, Attack::Shuffled, Attack::Injection(Technique::Union)];
const CALENDAR: Calendar = Calendar { days: 24, set: 14, judged: 21 };

fn tried(without: &[Family]) -> Trial {
    let company = Company::of(3, 40);
    let past = Past::of(company, CALENDAR);
    trial("learned", &past, Box::new(LearnedJudge::new(company, 1.0, without)), &ATTACKS, 2)
}

fn missed(trial: &Trial) -> Vec<String> {
    let of =
        |attack: &Attack| summary(trial.tried.iter().filter(|one| one.scene.attack == *attack), Bound::Own);
    ATTACKS
        .iter()
        .map(|attack| (attack, of(attack).found))
        .filter(|(_, found)| found.part < found.whole)
        .map(|(attack, found)| format!("{}: {}", attack.name(), found.words()))
        .collect()
}

#[test]
fn a_small_company_is_told_of_reads_in_bulk_enumeration_and_injection_and_of_little_else() {
    let trial = tried(&[]);
    assert_eq!(missed(&trial), Vec::<String>::new());
    let alerts = trial.falsely(CALENDAR, Bound::Own);
    assert!(alerts.len() <= 9, "{alerts:?} in three days");
    let bulk = summary(trial.tried.iter().filter(|one| one.scene.attack == Attack::Bulk), Bound::Own);
    assert!(bulk.leaked_by_cut.iter().all(|leaked| *leaked <= 20_000.0), "{:?}", bulk.leaked_by_cut);
}

#[test]
fn a_detector_without_any_reason_finds_nothing() {
    let trial = tried(&Family::ALL);
    assert_eq!(missed(&trial).len(), ATTACKS.len());
    assert!(trial.told.is_empty());
}

#[test]
fn every_attack_does_something_in_its_days_and_only_by_its_accounts() {
    let company = Company::of(1, 200);
    for attack in Attack::ALL {
        let scene = Scene::of(company, attack, 3, &[45.0; 200], 22..50);
        let all: Vec<Event> = (0..attack.days()).flat_map(|nth| scene.day(nth)).collect();
        assert!(!all.is_empty(), "{attack:?}");
        let days = scene.begin..scene.begin + attack.days();
        assert!(days.start >= 22 && days.end <= 50, "{attack:?}");
        for event in all {
            assert!(days.contains(&((event.at_ms - BEGIN_MS) / DAY_MS)), "{attack:?}");
            assert!(scene.attackers().contains(&event.principal) && event.is_attack, "{attack:?}");
        }
    }
}

#[test]
fn one_seed_makes_one_company_and_another_makes_another() {
    let (one, other) = (Company::of(1, 40), Company::of(2, 40));
    assert_eq!(one.day(8), one.day(8));
    assert_ne!(one.day(8), other.day(8));
}

#[test]
fn a_day_is_in_order_and_within_itself() {
    let company = Company::of(1, 200);
    for number in [0, 5, 31] {
        let all = company.day(number);
        assert!(all.windows(2).all(|two| two[0].at_ms <= two[1].at_ms));
        assert!(all.iter().all(|event| (event.at_ms - BEGIN_MS) / DAY_MS == number));
    }
}

#[test]
fn hard_innocents_are_there() {
    let company = Company::of(1, 200);
    let of = |number: u64, role: Role| {
        company.day(number).iter().filter(|event| company.role(event.principal) == role).count()
    };
    assert!(of(38, Role::Accounting) > 2 * of(31, Role::Accounting), "month's end");
    let hired = |number: u64| company.day(number).iter().any(|event| event.principal == 5);
    assert!((30..33).any(hired) && !(0..30).any(hired), "the new hire");
    let night = |event: &Event| event.principal < 5 && event.at_ms % DAY_MS < 5 * HOUR_MS;
    assert!(company.day(31).iter().any(night), "the incident");
    assert!(company.day(20).iter().any(|event| event.rows == SUBJECTS), "the dump");
    let new = |event: &Event| matches!(event.form, Form::Usual(Role::Service, RELEASED..));
    assert!(!company.day(26).iter().any(new) && company.day(28).iter().any(new), "the release");
    let as_sales = |number: u64| {
        company
            .day(number)
            .iter()
            .any(|event| event.principal == 40 && matches!(event.form, Form::Usual(Role::Sales, _)))
    };
    assert!(!(29..36).any(as_sales) && (36..39).any(as_sales), "the change of roles");
}

#[test]
fn intervals_are_those_of_the_books() {
    let (low, high) = Share { part: 20, whole: 20 }.interval();
    assert!((low - 0.8389).abs() < 0.001 && (high - 1.0).abs() < 1e-9, "{low} {high}");
    let (low, high) = Share { part: 10, whole: 20 }.interval();
    assert!((low - 0.2993).abs() < 0.001 && (high - 0.7007).abs() < 0.001, "{low} {high}");
    let values: Vec<f64> = (0..20).map(f64::from).collect();
    let (low, high) = bootstrapped(&values);
    assert!(low < median(&values) && median(&values) < high && low > 3.0 && high < 16.0, "{low} {high}");
}

#[test]
fn a_form_names_its_fields_and_an_injected_one_begins_like_the_form_it_came_from() {
    let usual = Form::Usual(Role::Service, 3).written();
    assert!(!usual.fields.is_empty() && usual.row_bytes > 0, "{}", usual.text);
    for technique in [Technique::Union, Technique::Error, Technique::Boolean, Technique::Time] {
        let reads = |(_, one): &(usize, &forms::Recorded)| one.technique == technique && one.reads();
        let (at, recorded) = injected().iter().enumerate().find(reads).unwrap();
        let written = Form::Injected(technique, 3, at).written();
        let begin = usual.text.split('?').next().unwrap();
        assert!(written.text.starts_with(begin) && written.text != usual.text, "{}", written.text);
        assert_ne!(recorded.signs, 0, "{technique:?}");
    }
    let wider = Form::Wider(Role::Support, 3, 4).written();
    assert!(wider.fields.len() > Form::Usual(Role::Support, 3).written().fields.len() + 2);
}
