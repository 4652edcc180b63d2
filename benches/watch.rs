//! What the watch costs a recorded statement: the session that leaves it to the detectors' thread, and that
//! thread, with the detector that learns and those that do not.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sealgate::alarm::Alarm;
use sealgate::audit::{Attribution, Distinct, Execution, FieldUse, Intent, Outcome, Record, Subjects, Who};
use sealgate::config::LearnedWatch;
use sealgate::gate::{Means, Vigil, Watched};
use sealgate::seal::SubjectId;
use sealgate::statement::Action;
use sealgate::watch::{
    By, Detector, EndUser, Hard, Kind, Learned, LearnedSettings, Limit, LimitAction, Measure, Rate, Response,
    Restrained, Restraint, Rule, Seen, Shown, Terms, Watch,
};

/// Users, and statements of each.
const USERS: u64 = 50;
const STATEMENTS: u64 = 20;
const NOON: u64 = 1_795_305_600_000;

fn mixed(n: u64) -> u64 {
    let z = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z ^ (z >> 31)
}

fn statement(number: u64) -> (Intent, Outcome) {
    let user = number % USERS;
    let who = Arc::new(Who {
        session: user + 1,
        user: format!("u{user}").into(),
        client: "10.1.2.3".into(),
        application: "till".into(),
        database: "shop".into(),
        auth: "scram",
        ..Who::sealgate()
    });
    let fields: Arc<[FieldUse]> = Arc::from([FieldUse {
        field: "public.customers.email".into(),
        class: "contact".into(),
        mode: "equality",
    }]);
    let execution = Execution { session: user + 1, number };
    let intent = Intent {
        who: who.clone(),
        execution,
        action: Action::Read,
        attribution: Attribution::Known,
        fields: fields.clone(),
        fingerprint: "0123456789abcdef".into(),
        statement: "SELECT email FROM customers WHERE id = ?".into(),
        rule: "every-user",
        replication: None,
        lease: None,
    };
    let mut known = Distinct::default();
    for n in 0..3 {
        known.insert(SubjectId((u128::from(mixed(number * 3 + n)) << 64).to_be_bytes()));
    }
    let outcome = Outcome {
        who,
        execution,
        action: Action::Read,
        attribution: Attribution::Known,
        fields,
        fingerprint: "0123456789abcdef".into(),
        rows: 3,
        cells: 3,
        bytes: 60,
        sqlstate: None,
        committed: None,
        replication: None,
        lease: None,
        executions: None,
        partial: false,
        subjects: Some(Arc::new(Subjects { known, ..Subjects::default() })),
    };
    (intent, outcome)
}

fn rules() -> Vec<Rule> {
    let rate = Rate { count: 1_000_000, window_ms: 60_000 };
    [Kind::FailedLogins(rate), Kind::Refusals(rate), Kind::Errors(rate), Kind::Injection]
        .into_iter()
        .map(|kind| Rule { kind, response: Response::Alert, severity: "warning", users: None, by: By::User })
        .collect()
}

fn detectors(criterion: &mut Criterion) {
    let statements: Vec<(Seen, Seen)> = (0..USERS * STATEMENTS)
        .map(statement)
        .map(|(intent, outcome)| {
            (Seen::Record(Box::new(Record::Intent(intent))), Seen::Record(Box::new(Record::Outcome(outcome))))
        })
        .collect();
    let mut group = criterion.benchmark_group("detectors, a recorded statement");
    group.throughput(Throughput::Elements(statements.len() as u64));
    let mut learned = Learned::new(LearnedSettings::default());
    // Two weeks of it, so that there is a normal to compare with.
    let mut now_ms = NOON;
    let mut findings = Vec::new();
    let mut round = |detector: &mut dyn Detector, step_ms: u64| {
        for (intent, outcome) in &statements {
            now_ms += step_ms;
            detector.see(intent, now_ms, &mut findings);
            detector.see(outcome, now_ms + 1, &mut findings);
        }
        findings.clear();
    };
    (0..1_000).for_each(|_| round(&mut learned, 1_200));
    group.bench_function("learned", |bencher| bencher.iter(|| round(black_box(&mut learned), 10)));
    let mut hard: Vec<Hard> = rules().into_iter().map(Hard::new).collect();
    group.bench_function("four without learning", |bencher| {
        bencher.iter(|| hard.iter_mut().for_each(|hard| round(black_box(hard), 10)));
    });
    group.finish();
}

/// What a session waits for: both records cloned and put into the queue, which the thread empties meanwhile.
fn session(criterion: &mut Criterion) {
    let statements: Vec<(Intent, Record)> = (0..USERS * STATEMENTS)
        .map(statement)
        .map(|(intent, outcome)| (intent, Record::Outcome(outcome)))
        .collect();
    let folder = std::env::temp_dir().join(format!("sealgate-bench-{}", std::process::id()));
    let learned = LearnedWatch { state: folder.clone(), ..LearnedWatch::default() };
    let means = Means { roster: Arc::default(), alarm: Arc::new(Alarm::silent()), journal: None };
    let watched = Watched { rules: rules(), learned: Some(learned) };
    let Ok((vigil, thread)) = Vigil::start(watched, means) else { return };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else { return };
    let mut group = criterion.benchmark_group("session, a recorded statement");
    group.throughput(Throughput::Elements(statements.len() as u64));
    group.bench_function("left to the detectors", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                for (intent, outcome) in &statements {
                    vigil.see_intent(intent).await;
                    vigil.see(outcome).await;
                }
            });
        });
    });
    group.finish();
    thread.close();
    let _ = std::fs::remove_dir_all(folder);
}

/// What a session does itself before a row goes out: three limits of the login and three of the end user, and what
/// is held against others for whom the same login asks.
fn limits(criterion: &mut Criterion) {
    let limit = |by, measure| Limit {
        users: None,
        by,
        measure,
        most: 1_000_000_000,
        window_ms: 3_600_000,
        action: LimitAction::Cut,
        attribution: Attribution::Known,
    };
    let measures = [Measure::Cells, Measure::Rows, Measure::Subjects];
    let of = |by| {
        measures.map(|measure| match measure {
            Measure::Subjects => Limit { most: 2_000, ..limit(by, measure) },
            Measure::Cells | Measure::Rows => limit(by, measure),
        })
    };
    let subjects: Vec<u64> = (0..1_000).map(mixed).collect();
    let shown = |number: usize| Shown {
        cells: 3,
        rows: 1,
        subjects: subjects.get(number % 1_000..=number % 1_000).unwrap_or_default(),
        unknown: 0,
    };
    let who = Who { user: "pool".into(), end_user: Some("ada".into()), ..Who::sealgate() };
    let mut group = criterion.benchmark_group("limits, a row");
    for (name, limits) in [
        ("three of the login", of(By::User).to_vec()),
        ("and three of the end user", [of(By::User), of(By::EndUser)].concat()),
    ] {
        let watch = Watch::new(limits);
        let user = watch.user("pool");
        let end_user = user.end_user(&EndUser::of(&who));
        let mut number = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                number += 1;
                let now_ms = NOON + number as u64 / 1_000;
                black_box(user.open_with(end_user.as_deref(), &shown(number), Attribution::Known, now_ms))
            });
        });
    }
    let held: Vec<Restrained> = (0..256)
        .map(|number| Restrained {
            whom: By::EndUser.whom(&Who { end_user: Some(format!("u{number}").into()), ..who.clone() }),
            restraint: Restraint::Refuse,
            until_ms: u64::MAX,
            incident: "i".into(),
            lock: None,
        })
        .collect();
    group.bench_function("what is held against 256 others", |bencher| {
        bencher.iter(|| black_box(Terms::of(black_box(&held), &who, NOON)));
    });
    group.finish();
}

criterion_group!(benches, detectors, session, limits);
criterion_main!(benches);
