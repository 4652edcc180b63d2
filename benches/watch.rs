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
use sealgate::watch::{By, Detector, Hard, Kind, Learned, LearnedSettings, Rate, Response, Rule, Seen};

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
        listed_in: None,
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
        listed_in: None,
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

criterion_group!(benches, detectors, session);
criterion_main!(benches);
