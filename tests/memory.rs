//! What the watch takes of memory for one principal, by counting what is allocated. One test, since it counts for the
//! whole process.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::alloc::System;
use std::sync::Arc;

use sealgate::audit::{Attribution, Distinct, Execution, Intent, Outcome, Record, Subjects, Who};
use sealgate::seal::SubjectId;
use sealgate::statement::Action;
use sealgate::watch::{
    By, Detector, Elsewhere, EndUser, Hard, Heard, Kind, Learned, LearnedSettings, Limit, LimitAction,
    Measure, Rate, Response, Rule, Seen, Shown, Watch,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const USERS: usize = 8;
const NOON: u64 = 1_795_305_600_000;

fn mixed(n: u64) -> u64 {
    let z = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z ^ (z >> 31)
}

/// What stays allocated of what this makes, in bytes.
fn kept<T>(make: impl FnOnce() -> T) -> (usize, T) {
    let region = Region::new(ALLOCATOR);
    let made = make();
    let change = region.change();
    (change.bytes_allocated - change.bytes_deallocated, made)
}

fn limit(measure: Measure, most: u64, window_ms: u64, by: By) -> Limit {
    // Names take no memory of each principal.
    let users: Arc<[String]> = (0..256).map(name).collect();
    let (action, attribution) = (LimitAction::Alert, Attribution::Known);
    Limit { users: Some(users), by, measure, most, window_ms, action, attribution }
}

/// As long as the server has names.
fn name(user: usize) -> String {
    format!("{user:063}")
}

/// As many limits on cells beside these as there may be.
fn filled(mut limits: Vec<Limit>, detectors: usize, shared: bool) -> Vec<Limit> {
    let by = limits.first().map_or(By::User, |limit| limit.by);
    while limits.len() < 64 {
        let window_ms = 86_400_000 - u64::try_from(limits.len()).unwrap();
        limits.push(limit(Measure::Cells, 1, window_ms, by));
        if Watch::principal_bytes(&limits, detectors, shared) > Watch::PRINCIPAL_BYTES_MAX {
            limits.pop();
            break;
        }
    }
    limits
}

/// Everything that a user can fill is full.
fn fill(limits: &[Limit], detectors: usize, shared: bool) -> (Watch, Vec<Hard>) {
    let watch = Watch::new(limits.to_vec());
    let subjects: Vec<u64> = (0..4_608).map(mixed).collect();
    let who = |user: usize, end_user: usize| {
        let end_user = Some(name(end_user).into());
        Arc::new(Who { user: name(user).into(), end_user, auth: "scram", ..Who::sealgate() })
    };
    let is_by_end_user = limits.first().is_some_and(|limit| limit.by == By::EndUser);
    let all = |number: usize| if is_by_end_user { who(0, number) } else { who(number, 0) };
    for number in 0..USERS {
        let who = all(number);
        let user = watch.user(&who.user);
        let end_user = user.end_user(&EndUser::of(&who));
        for (step, chunk) in subjects.chunks(64).enumerate() {
            let shown = Shown { cells: 64, rows: 64, subjects: chunk, unknown: 1 };
            let now_ms = NOON + u64::try_from(step).unwrap() * 10;
            let _ = user.open_with(end_user.as_deref(), &shown, Attribution::Known, now_ms);
        }
    }
    if shared {
        let mut elsewhere = Elsewhere::new();
        for counted in watch.counted(0, NOON + 2_000) {
            let most = counted.met.len().div_ceil(2);
            let mut heard = Heard { span: counted.span, ..Heard::default() };
            let marks = counted.met.iter().take(most).map(|(mark, _)| *mark);
            heard.hear(u64::try_from(most).unwrap(), marks);
            elsewhere.entry(counted.whom).or_default().push(heard);
        }
        watch.take_elsewhere(elsewhere);
    }
    let rate = Rate { count: 3, window_ms: 60_000 };
    let rule = Rule {
        kind: Kind::Errors(rate),
        response: Response::Alert,
        severity: "warning",
        users: None,
        by: limits.first().map_or(By::User, |limit| limit.by),
    };
    let mut hard: Vec<Hard> = (0..detectors).map(|_| Hard::new(rule.clone())).collect();
    let mut findings = Vec::new();
    for number in 0..USERS {
        let seen = Seen::Failed { who: all(number), sqlstate: *b"42703" };
        hard.iter_mut().for_each(|hard| (0..4).for_each(|step| hard.see(&seen, NOON + step, &mut findings)));
        findings.clear();
    }
    (watch, hard)
}

/// Of limits and detectors: what they take is no more than is reckoned, and what is allowed no more than is told.
fn limits_and_detectors() {
    let minute = 60_000;
    let of = |by, most, windows: u64| -> Vec<Limit> {
        (1..=windows).map(|window| limit(Measure::Subjects, most, window * minute, by)).collect()
    };
    for (limits, detectors, shared) in [
        (of(By::User, 2_000, 1), 8, true),
        (of(By::User, 2_000, 1), 40, false),
        (of(By::User, 1_000, 2), 4, true),
        (of(By::User, 100, 12), 4, true),
        (of(By::User, 100, 1), 0, false),
        (of(By::EndUser, 2_000, 1), 8, true),
    ] {
        let limits = filled(limits, detectors, shared);
        let reckoned = Watch::principal_bytes(&limits, detectors, shared);
        assert!(reckoned <= Watch::PRINCIPAL_BYTES_MAX, "{reckoned}");
        let (bytes, made) = kept(|| fill(&limits, detectors, shared));
        let each = bytes / USERS;
        assert!(each <= reckoned, "{each} bytes, reckoned are {reckoned}: {} limits", limits.len());
        assert!(each > reckoned / 3, "{each} bytes, reckoned are {reckoned}: it is not full");
        drop(made);
    }
    for (limits, shared) in
        [(of(By::User, 2_000, 2), false), (of(By::User, 1_100, 2), true), (of(By::EndUser, 2_000, 2), false)]
    {
        let reckoned = Watch::principal_bytes(&limits, 0, shared);
        assert!(reckoned > Watch::PRINCIPAL_BYTES_MAX, "{reckoned}");
    }
}

/// So many users who have done all that is remembered of one: a form of a statement of its own each time, from a
/// network of its own, with somebody not met before, on more days than there are samples.
fn learned_by(users: usize) -> Learned {
    const DAYS: u64 = 66;
    const A_DAY: u64 = 20;
    let mut learned = Learned::new(LearnedSettings::default());
    let mut findings = Vec::new();
    for step in 0..DAYS * A_DAY {
        let (day, nth) = (step / A_DAY, step % A_DAY);
        let now_ms = NOON + day * 86_400_000 + nth / 10 * 3_600_000 + nth * 1_000;
        for user in 0..users {
            let who = Arc::new(Who {
                session: 1 + u64::try_from(user).unwrap(),
                user: name(user).into(),
                client: format!("10.{}.{}.9", step / 250, step % 250).into(),
                application: format!("a till of number {step}").into(),
                auth: "scram",
                ..Who::sealgate()
            });
            let execution = Execution { session: who.session, number: step };
            let fingerprint: Arc<str> = format!("{:016x}", mixed(step)).into();
            let intent = Intent {
                who: who.clone(),
                execution,
                action: Action::Read,
                attribution: Attribution::Known,
                fields: Arc::default(),
                fingerprint: fingerprint.clone(),
                statement: format!("SELECT email FROM customers WHERE id = ? AND note <> t{step}").into(),
                rule: "every-user",
                replication: None,
                lease: None,
            };
            let mut known = Distinct::default();
            known.insert(SubjectId((u128::from(mixed(step)) << 64).to_be_bytes()));
            let outcome = Outcome {
                attribution: Attribution::Known,
                who,
                execution,
                action: Action::Read,
                fields: Arc::default(),
                fingerprint,
                rows: 1 + mixed(step) % 9,
                cells: 3,
                bytes: 64,
                sqlstate: None,
                committed: None,
                replication: None,
                lease: None,
                executions: None,
                partial: false,
                subjects: Some(Arc::new(Subjects { known, ..Subjects::default() })),
            };
            for record in [Record::Intent(intent), Record::Outcome(outcome)] {
                learned.see(&Seen::Record(Box::new(record)), now_ms, &mut findings);
                findings.clear();
            }
        }
    }
    assert_eq!(learned.principals(), users);
    learned
}

/// What a user more takes, beside what peers have together.
fn what_is_learned() {
    let (few, many) = (2, 6);
    let (bytes_of_few, of_few) = kept(|| learned_by(few));
    let (bytes_of_many, of_many) = kept(|| learned_by(many));
    let each = (bytes_of_many - bytes_of_few) / (many - few);
    assert!(each <= 64 << 10, "{each} bytes");
    assert!(each > 24 << 10, "{each} bytes: it is not full");
    drop((of_few, of_many));
}

#[test]
fn no_allowed_configuration_takes_more_than_64_kib_of_memory_for_a_user() {
    limits_and_detectors();
    what_is_learned();
}
