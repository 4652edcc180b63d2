//! How well the learned detector tells attacks from work, by a company that a seed makes. Prints a table.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, reason = "a measurement")]

mod attacks;
mod company;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use attacks::Attack;
use company::{Event, PRINCIPALS, Random, Role};
use sealgate::audit::{Attribution, Distinct, Execution, FieldUse, Intent, Outcome, Record, Subjects, Who};
use sealgate::seal::SubjectId;
use sealgate::statement::Action;
use sealgate::watch::{Detector, Finding, Learned, LearnedSettings, Peers, Seen};

const SEED: u64 = 1;
const FIELDS: [&str; 8] = ["name", "email", "phone", "city", "iban", "birth", "salary", "notes"];
const ROLES: [Role; 6] =
    [Role::Support, Role::Sales, Role::Accounting, Role::Analyst, Role::Service, Role::Batch];

fn settings() -> LearnedSettings {
    let peers = ROLES.map(|role| Peers {
        name: format!("{role:?}"),
        users: (0..PRINCIPALS)
            .filter(|n| Role::of(*n) == role)
            .map(|n| format!("u{n}"))
            .collect::<BTreeSet<_>>(),
    });
    LearnedSettings { peers: peers.into(), alerts_per_day: 1.0, ..LearnedSettings::default() }
}

/// The highest score of the event, and whether the detector told of it.
fn see(learned: &mut Learned, event: &Event, number: u64) -> (f64, bool) {
    let who = Arc::new(Who {
        session: event.principal as u64 * 100 + event.at_ms / (8 * company::HOUR_MS) % 100,
        user: format!("u{}", event.principal).into(),
        database: "shop".into(),
        application: format!("{:?}", Role::of(event.principal)).into(),
        client: format!("10.0.{}.{}", event.network, event.principal).into(),
        auth: "scram",
        ..Who::sealgate()
    });
    let mut form = Random::of(&[6, u64::from(event.template)]);
    let names: BTreeSet<&str> = (0..1 + form.below(3)).map(|_| FIELDS[form.below(8) as usize]).collect();
    let fields: Arc<[FieldUse]> = names
        .iter()
        .map(|name| FieldUse {
            field: format!("public.t.{name}").into(),
            class: "contact".into(),
            mode: "none",
        })
        .collect();
    let fingerprint: Arc<str> = format!("{:016x}", form.bits()).into();
    let columns = names.iter().copied().collect::<Vec<_>>().join(", ");
    let statement = format!("SELECT {columns} FROM t{} WHERE id = ?", event.template);
    let execution = Execution { session: who.session, number };
    let mut known = Distinct::default();
    if event.further > 0 {
        known = Distinct::Told(event.further + event.subjects.len() as u64);
    } else {
        for n in &event.subjects {
            known.insert(SubjectId((u128::from(Random::of(&[7, *n]).bits()) << 64).to_be_bytes()));
        }
    }
    let rows = event.further + event.subjects.len() as u64;
    let intent = Intent {
        who: who.clone(),
        execution,
        action: Action::Read,
        attribution: Attribution::Known,
        fields: fields.clone(),
        listed_in: None,
        fingerprint: fingerprint.clone(),
        statement: statement.into(),
        rule: "every-user",
        replication: None,
        lease: None,
    };
    let outcome = Outcome {
        who,
        execution,
        action: Action::Read,
        attribution: Attribution::Known,
        listed_in: None,
        fingerprint,
        rows,
        cells: rows * fields.len() as u64,
        bytes: rows * 20,
        fields,
        sqlstate: event.sqlstate.map(|code| code.as_bytes().try_into().unwrap()),
        committed: None,
        replication: None,
        lease: None,
        executions: None,
        subjects: Some(Arc::new(Subjects { known, ..Subjects::default() })),
    };
    let mut findings: Vec<Finding> = Vec::new();
    let mut score = 0.0_f64;
    for record in [Record::Intent(intent), Record::Outcome(outcome)] {
        learned.see(&Seen::Record(Box::new(record)), event.at_ms, &mut findings);
        score = score.max(learned.last_score().map_or(0.0, |scored| scored.score));
    }
    (score, !findings.is_empty())
}

fn main() {
    let seeds: u64 = std::env::var("SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let mut learned = Learned::new(settings());
    let (mut number, mut alerts, mut usual) = (0, 0, vec![0_u64; PRINCIPALS]);
    let mut found: Vec<(u64, u64, u64)> = vec![(0, 0, 0); Attack::ALL.len()];
    for day in 0..50 {
        for (at, attack) in Attack::ALL.into_iter().enumerate() {
            for seed in (0..seeds).filter(|seed| day == 22 + seed % 7) {
                let victim = 6 + (Random::of(&[seed, at as u64]).below(60)) as usize;
                let saved = learned.save().unwrap();
                let mut fork = Learned::restore(settings(), &saved).unwrap();
                let (mut leaked, mut told) = (HashSet::new(), false);
                let normal = usual[victim] as f64 / 22.0;
                'days: for nth in 0..attack.days() {
                    let mut all = company::day(SEED, day + nth);
                    all.retain(|event| Role::of(event.principal) == Role::Support);
                    all.extend(attacks::day(attack, seed, victim, normal, day + nth, nth));
                    all.sort_by_key(|event| event.at_ms);
                    for event in all {
                        number += 1;
                        let (_, tells) = see(&mut fork, &event, number);
                        if event.is_attack {
                            leaked.extend(event.subjects.iter().copied());
                            found[at].2 += event.further;
                        }
                        if tells && event.is_attack {
                            told = true;
                            break 'days;
                        }
                    }
                }
                found[at].0 += u64::from(told);
                found[at].1 += 1;
                found[at].2 += leaked.len() as u64;
            }
        }
        for event in company::day(SEED, day) {
            number += 1;
            usual[event.principal] += u64::from(day < 22);
            let (_, tells) = see(&mut learned, &event, number);
            alerts += u64::from(tells && day >= 22);
        }
    }
    println!("false alerts a day, days 23 to 50: {:.2}", alerts as f64 / 28.0);
    for (attack, (told, of, leaked)) in Attack::ALL.iter().zip(found) {
        println!("{attack:?}\t{told} of {of}\tleaked before it, mean: {}", leaked / of.max(1));
    }
}
