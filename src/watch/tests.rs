//! Steps of (time, cells) and what is said at each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::audit::{Attribution, Who};

fn limit(cells: u64, window_ms: u64, action: LimitAction) -> Limit {
    Limit {
        users: None,
        by: By::User,
        measure: Measure::Cells,
        most: cells,
        window_ms,
        action,
        attribution: Attribution::Known,
    }
}

fn cells_of(cells: u64) -> Shown<'static> {
    Shown { cells, ..Shown::default() }
}

/// `.` go, `a` alert, `c` cut.
#[track_caller]
fn check(limits: Vec<Limit>, steps: &[(u64, u64, char)]) {
    let watch = Watch::new(limits);
    let user = watch.user("u");
    for (index, (now_ms, cells, expected)) in steps.iter().enumerate() {
        let said = match user.open(&cells_of(*cells), Attribution::Known, *now_ms) {
            Judgement::Go => '.',
            Judgement::Alert(_) => 'a',
            Judgement::Cut(_) => 'c',
        };
        assert_eq!(said, *expected, "step {index}: {cells} cells at {now_ms}");
    }
}

const NOON: u64 = 1_795_305_600_000;

#[test]
fn cuts_before_the_limit_is_passed_and_goes_on_when_the_window_has() {
    check(
        vec![limit(100, 60_000, LimitAction::Cut)],
        &[
            (NOON, 60, '.'),
            (NOON + 1, 40, '.'),
            (NOON + 2, 1, 'c'),
            (NOON + 30_000, 1, 'c'),
            (NOON + 59_999, 1, 'c'),
            (NOON + 62_000, 100, '.'),
            (NOON + 62_001, 1, 'c'),
            (NOON + 600_000, 101, 'c'),
            (NOON + 600_000, 100, '.'),
        ],
    );
}

#[test]
fn what_was_cut_does_not_count() {
    check(
        vec![limit(100, 60_000, LimitAction::Cut)],
        &[(NOON, 99, '.'), (NOON, 2, 'c'), (NOON, 1, '.'), (NOON, 1, 'c'), (NOON, 0, '.')],
    );
}

#[test]
fn the_window_slides() {
    check(
        vec![limit(100, 60_000, LimitAction::Cut)],
        &[
            (NOON, 50, '.'),
            (NOON + 40_000, 50, '.'),
            (NOON + 55_000, 1, 'c'),
            (NOON + 62_000, 50, '.'),
            (NOON + 90_000, 1, 'c'),
            (NOON + 102_000, 50, '.'),
        ],
    );
}

#[test]
fn the_whole_window_counts_wherever_in_a_slot_it_began() {
    for window_ms in [1_000, 1_050, 59_999, 60_000, 86_400_000] {
        for offset in [0, 1, 99, 999, 1_439_999] {
            check(
                vec![limit(100, window_ms, LimitAction::Cut)],
                &[(NOON + offset, 100, '.'), (NOON + offset + window_ms - 1, 1, 'c')],
            );
        }
    }
}

#[test]
fn alerts_once_in_a_window_and_shows_the_cells() {
    check(
        vec![limit(100, 60_000, LimitAction::Alert)],
        &[
            (NOON, 100, '.'),
            (NOON + 1, 1, 'a'),
            (NOON + 2, 500, '.'),
            (NOON + 59_000, 500, '.'),
            (NOON + 60_001, 1, 'a'),
            (NOON + 300_000, 100, '.'),
            (NOON + 300_000, 1, 'a'),
        ],
    );
}

#[test]
fn of_two_limits_the_cut_wins_and_takes_back_the_other_count() {
    for alert_first in [true, false] {
        let mut limits = vec![limit(50, 60_000, LimitAction::Alert), limit(100, 60_000, LimitAction::Cut)];
        if !alert_first {
            limits.reverse();
        }
        check(
            limits,
            &[
                (NOON, 200, 'c'),
                (NOON, 50, '.'),
                (NOON, 60, 'c'),
                (NOON, 10, 'a'),
                (NOON, 40, '.'),
                (NOON, 1, 'c'),
            ],
        );
    }
}

#[test]
fn two_alerts_that_fall_together_are_both_raised() {
    check(
        vec![limit(10, 60_000, LimitAction::Alert), limit(20, 120_000, LimitAction::Alert)],
        &[(NOON, 30, 'a'), (NOON, 1, 'a'), (NOON, 1, '.')],
    );
}

#[test]
fn counts_no_limit_as_none_and_zero_as_zero() {
    check(vec![], &[(NOON, u64::MAX, '.')]);
    check(vec![limit(0, 1_000, LimitAction::Cut)], &[(NOON, 0, '.'), (NOON, 1, 'c')]);
    check(vec![limit(10, 1_000, LimitAction::Cut)], &[(NOON, u64::MAX, 'c'), (NOON, 10, '.')]);
    check(
        vec![limit(Limit::CELLS_MAX, 1_000, LimitAction::Alert)],
        &[(NOON, u64::MAX, 'a'), (NOON, u64::MAX, '.')],
    );
}

#[test]
fn a_clock_that_steps_back_opens_nothing() {
    check(
        vec![limit(100, 60_000, LimitAction::Cut)],
        &[
            (NOON, 100, '.'),
            (NOON - 30_000, 1, 'c'),
            (NOON - 90_000, 1, 'c'),
            (NOON, 1, 'c'),
            (NOON + 62_000, 1, '.'),
        ],
    );
}

#[test]
fn counts_each_user_alone_over_all_its_sessions() {
    let named = Limit { users: Some(["bob".to_owned()].into()), ..limit(10, 60_000, LimitAction::Cut) };
    let watch = Watch::new(vec![named, limit(20, 60_000, LimitAction::Cut)]);
    let (one, two) = (watch.user("bob"), watch.user("bob"));
    assert_eq!(one.open(&cells_of(6), Attribution::Known, NOON), Judgement::Go);
    assert!(
        matches!(two.open(&cells_of(5), Attribution::Known, NOON), Judgement::Cut(broken) if broken.rule.contains("10 cells in 60 s"))
    );
    assert_eq!(watch.user("eve").open(&cells_of(11), Attribution::Known, NOON), Judgement::Go);
    assert!(
        matches!(watch.user("eve").open(&cells_of(10), Attribution::Known, NOON), Judgement::Cut(broken) if broken.rule.contains("20 cells"))
    );
}

#[test]
fn a_user_who_comes_back_is_remembered_and_a_full_table_opens_nothing() {
    let watch = Watch::new(vec![limit(10, 60_000, LimitAction::Cut)]);
    assert_eq!(watch.user("bob").open(&cells_of(10), Attribution::Known, NOON), Judgement::Go);
    for index in 1..Watch::USERS_MAX {
        assert_eq!(
            watch.user(&format!("u{index}")).open(&cells_of(1), Attribution::Known, NOON),
            Judgement::Go
        );
    }
    assert_eq!(watch.user("late").open(&cells_of(6), Attribution::Known, NOON), Judgement::Go);
    assert!(
        matches!(watch.user("later").open(&cells_of(5), Attribution::Known, NOON), Judgement::Cut(_)),
        "counted together"
    );
    assert!(
        matches!(watch.user("bob").open(&cells_of(1), Attribution::Known, NOON), Judgement::Cut(_)),
        "not forgotten"
    );
    let held = watch.user("u1");
    assert_eq!(held.open(&cells_of(1), Attribution::Known, NOON + 600_000), Judgement::Go);
    assert_eq!(
        watch.user("fresh").open(&cells_of(10), Attribution::Known, NOON + 600_000),
        Judgement::Go,
        "the stale ones made room"
    );
    assert!(Arc::ptr_eq(&held, &watch.user("u1")));
}

#[test]
fn limits_that_change_bind_whoever_is_here_and_forget_nothing() {
    let hour = |cells, action| limit(cells, 3_600_000, action);
    let watch = Watch::new(vec![hour(100, LimitAction::Alert)]);
    let user = watch.user("ada");
    assert_eq!(user.open(&cells_of(60), Attribution::Known, NOON), Judgement::Go);
    watch.change(vec![hour(70, LimitAction::Cut), limit(5, 1_000, LimitAction::Cut)]);
    assert!(
        matches!(user.open(&cells_of(11), Attribution::Known, NOON + 1), Judgement::Cut(broken) if broken.rule.contains("70 cells"))
    );
    assert!(
        matches!(user.open(&cells_of(6), Attribution::Known, NOON + 1), Judgement::Cut(broken) if broken.rule.contains("5 cells"))
    );
    assert_eq!(
        user.open(&cells_of(5), Attribution::Known, NOON + 1),
        Judgement::Go,
        "what was cut does not count"
    );
    assert!(Arc::ptr_eq(&user, &watch.user("ada")));
    // Two of one length count as one, and a limit that is taken away binds nobody.
    watch.change(vec![hour(80, LimitAction::Alert), hour(90, LimitAction::Cut)]);
    assert!(
        matches!(user.open(&cells_of(20), Attribution::Known, NOON + 2), Judgement::Alert(broken) if broken.rule.contains("80 cells"))
    );
    assert!(
        matches!(user.open(&cells_of(6), Attribution::Known, NOON + 2), Judgement::Cut(broken) if broken.rule.contains("90 cells"))
    );
    // The same limits again: the alert has been raised.
    watch.change(vec![hour(80, LimitAction::Alert), hour(90, LimitAction::Cut)]);
    assert_eq!(user.open(&cells_of(5), Attribution::Known, NOON + 3), Judgement::Go);
    watch.change(vec![Limit { users: Some(["bob".to_owned()].into()), ..hour(0, LimitAction::Cut) }]);
    assert_eq!(user.open(&cells_of(1_000), Attribution::Known, NOON + 4), Judgement::Go);
    assert!(matches!(watch.user("bob").open(&cells_of(1), Attribution::Known, NOON + 4), Judgement::Cut(_)));
}

#[test]
fn what_may_have_been_met_has_limits_of_its_own() {
    let possible = Limit { attribution: Attribution::Possible, ..limit(5, 60_000, LimitAction::Cut) };
    let watch = Watch::new(vec![limit(2, 60_000, LimitAction::Cut), possible]);
    let user = watch.user("ada");
    assert_eq!(user.open(&cells_of(5), Attribution::Possible, NOON), Judgement::Go);
    assert_eq!(user.open(&cells_of(2), Attribution::Known, NOON), Judgement::Go);
    let cut = user.open(&cells_of(1), Attribution::Possible, NOON);
    assert!(matches!(cut, Judgement::Cut(broken) if broken.rule.contains("5 possible cells")));
    let cut = user.open(&cells_of(1), Attribution::Known, NOON);
    assert!(matches!(cut, Judgement::Cut(broken) if broken.rule.contains("2 cells")));
}

#[test]
fn threads_together_are_never_granted_more_than_the_limit_while_others_come_and_go() {
    const LIMIT: u64 = 10_000;
    let lasting = limit(LIMIT, 3_600_000, LimitAction::Cut);
    let watch = Watch::new(vec![lasting.clone()]);
    let granted = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for step in 0..2_000 {
                let passing = limit(LIMIT * 2 + step, 3_600_000 + step % 2, LimitAction::Cut);
                watch.change(if step % 3 == 0 {
                    vec![passing, lasting.clone()]
                } else {
                    vec![lasting.clone()]
                });
            }
        });
        for thread in 0..4_u64 {
            let (user, granted) = (watch.user("app"), &granted);
            scope.spawn(move || {
                for step in 0..20_000_u64 {
                    let cells = 1 + (step + thread) % 3;
                    if user.open(&cells_of(cells), Attribution::Known, NOON + step / 100) == Judgement::Go {
                        granted.fetch_add(cells, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let granted = granted.into_inner();
    assert!(granted <= LIMIT, "{granted}");
    assert!(granted > LIMIT - 16, "{granted}");
}

// ---- rows and subjects ------------------------------------------------------------------------

fn of(measure: Measure, most: u64, action: LimitAction) -> Limit {
    Limit { measure, ..limit(most, 60_000, action) }
}

/// A subject's bits, as good as random.
fn subject(n: u64) -> u64 {
    let z = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (z ^ (z >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9)
}

fn meets(user: &UserWatch, subjects: &[u64], unknown: u64, now_ms: u64) -> char {
    let shown = Shown { cells: 1, rows: 1, subjects, unknown };
    match user.open(&shown, Attribution::Known, now_ms) {
        Judgement::Go => '.',
        Judgement::Alert(_) => 'a',
        Judgement::Cut(_) => 'c',
    }
}

#[test]
fn a_subject_counts_once_in_a_window_and_again_when_it_has_passed() {
    let user = Watch::new(vec![of(Measure::Subjects, 3, LimitAction::Cut)]).user("u");
    for n in [1, 2, 3, 1, 2, 3, 3] {
        assert_eq!(meets(&user, &[subject(n)], 0, NOON), '.', "{n}");
    }
    assert_eq!(meets(&user, &[subject(4)], 0, NOON + 1), 'c');
    assert_eq!(meets(&user, &[], 1, NOON + 1), 'c', "one that is not known is another");
    // The first is shown again and stays; the others go.
    assert_eq!(meets(&user, &[subject(1)], 0, NOON + 40_000), '.');
    assert_eq!(meets(&user, &[subject(4), subject(5)], 0, NOON + 70_000), '.');
    assert_eq!(meets(&user, &[subject(6)], 0, NOON + 70_001), 'c');
    assert_eq!(meets(&user, &[subject(1), subject(4), subject(5)], 0, NOON + 70_002), '.');
    assert_eq!(meets(&user, &[subject(6), subject(7), subject(8)], 0, NOON + 200_000), '.');
    assert_eq!(meets(&user, &[subject(9)], 0, NOON + 200_000), 'c');
}

#[test]
fn every_limit_that_the_configuration_allows_is_counted_exactly() {
    for most in [0, 1, 30, 200, Limit::SUBJECTS_MAX] {
        let user = Watch::new(vec![of(Measure::Subjects, most, LimitAction::Cut)]).user("u");
        for n in 0..most {
            assert_eq!(meets(&user, &[subject(n)], 0, NOON + n), '.', "{n} of {most}");
        }
        assert!((0..most).all(|n| meets(&user, &[subject(n)], 0, NOON + 10_000) == '.'), "{most}");
        assert!((0..50).all(|n| meets(&user, &[subject(most + n)], 0, NOON + 10_000) == 'c'), "{most}");
    }
}

#[test]
fn rows_and_cells_are_not_counted_where_a_subject_is_cut() {
    let user = Watch::new(vec![
        of(Measure::Rows, 3, LimitAction::Cut),
        of(Measure::Subjects, 1, LimitAction::Cut),
        of(Measure::Subjects, 0, LimitAction::Alert),
    ])
    .user("u");
    assert_eq!(meets(&user, &[subject(1)], 0, NOON), 'a');
    for _ in 0..5 {
        assert_eq!(meets(&user, &[subject(2)], 0, NOON), 'c');
    }
    assert_eq!(meets(&user, &[subject(1)], 0, NOON), '.');
    assert_eq!(meets(&user, &[subject(1)], 0, NOON), '.');
    assert_eq!(meets(&user, &[subject(1)], 0, NOON), 'c', "the rows are used up");
}

#[test]
fn threads_that_show_the_same_and_others_never_pass_the_limit_together() {
    for round in 0..20_u64 {
        let watch = Arc::new(Watch::new(vec![of(Measure::Subjects, 50, LimitAction::Cut)]));
        let user = watch.user("u");
        let shown: Vec<std::collections::HashSet<u64>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4_u64)
                .map(|thread| {
                    let user = &user;
                    scope.spawn(move || {
                        let mut mine = std::collections::HashSet::new();
                        for step in 0..400_u64 {
                            let n = subject(round * 1_000 + (step * (thread + 1)) % 90);
                            if meets(user, &[n], 0, NOON + step * 10) == '.' {
                                mine.insert(n);
                            }
                        }
                        mine
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let all: std::collections::HashSet<u64> = shown.into_iter().flatten().collect();
        assert!((40..=50).contains(&all.len()), "{}", all.len());
    }
}

fn asks(end_user: Option<&str>, auth: &'static str) -> EndUser {
    let end_user = end_user.map(Arc::from);
    EndUser::of(&Who { end_user, end_user_auth: auth, ..Who::sealgate() })
}

#[test]
fn of_a_pool_each_end_user_has_the_limit_and_the_pool_its_own() {
    let of_each = Limit { by: By::EndUser, ..limit(10, 60_000, LimitAction::Cut) };
    let watch = Watch::new(vec![of_each, limit(35, 60_000, LimitAction::Cut)]);
    let pool = watch.user("pool");
    let open = |end_user: &EndUser, cells| {
        let of_end_user = pool.end_user(end_user).unwrap();
        match pool.open_with(Some(&of_end_user), &cells_of(cells), Attribution::Known, NOON) {
            Judgement::Go => "go".to_owned(),
            Judgement::Alert(broken) | Judgement::Cut(broken) => format!("{:?} {}", broken.by, broken.rule),
        }
    };
    let each = "EndUser watch.limit: 10 cells in 60 s of one end user";
    let [ada, bob, proven, nobody] = [
        asks(Some("ada"), "stated"),
        asks(Some("bob"), "stated"),
        asks(Some("ada"), "token"),
        asks(None, "stated"),
    ];
    assert_eq!((open(&ada, 10), open(&ada, 1)), ("go".into(), each.into()));
    assert_eq!(
        (open(&bob, 9), open(&nobody, 11), open(&nobody, 10)),
        ("go".into(), each.into(), "go".into())
    );
    assert_eq!(open(&proven, 7), "User watch.limit: 35 cells in 60 s", "36 of the pool");
    assert_eq!(open(&proven, 6), "go", "what was cut counts for nobody");
    assert_eq!(watch.user("other").open(&cells_of(11), Attribution::Known, NOON), Judgement::Go);
    // Status names both, and so is what other proxies are told.
    let told = watch.standing(NOON);
    let of = |end_user: Option<&EndUser>| {
        told.iter()
            .find(|used| used.whom.end_user.as_ref() == end_user && &*used.whom.user == "pool")
            .unwrap()
            .used
    };
    assert_eq!((of(None), of(Some(&ada)), of(Some(&bob)), of(Some(&proven))), (35, 10, 9, 6));
    let whom = |end_user: &EndUser| Whom { user: "pool".into(), end_user: Some(end_user.clone()) };
    let span = watch.counted(0, NOON).iter().find(|one| one.whom == whom(&bob)).unwrap().span;
    watch.take_elsewhere(
        [(whom(&bob), vec![heard(span, 1)]), (whom(&asks(Some("eve"), "stated")), vec![heard(span, 9)])]
            .into(),
    );
    watch.change(vec![Limit { by: By::EndUser, ..limit(10, 60_000, LimitAction::Cut) }]);
    assert_eq!(
        (open(&bob, 1), open(&asks(Some("eve"), "stated"), 2)),
        (each.into(), each.into()),
        "elsewhere"
    );
    watch.change(vec![limit(100, 60_000, LimitAction::Cut)]);
    assert!(pool.end_user(&ada).is_none());
}

#[test]
fn end_users_are_bounded_and_those_beyond_count_together() {
    let watch = Watch::new(vec![Limit { by: By::EndUser, ..limit(10, 60_000, LimitAction::Cut) }]);
    let pool = watch.user("pool");
    let open = |name: &str, cells, now_ms| {
        let end_user = pool.end_user(&asks(Some(name), "stated")).unwrap();
        pool.open_with(Some(&end_user), &cells_of(cells), Attribution::Known, now_ms) == Judgement::Go
    };
    assert!(open("first", 10, NOON));
    assert!((1..Watch::END_USERS_MAX).all(|number| open(&format!("e{number}"), 1, NOON)));
    assert!(open("late", 6, NOON) && !open("later", 5, NOON), "together");
    assert!(!open("first", 1, NOON), "nobody who counts is forgotten");
    assert!(open("fresh", 10, NOON + 600_000), "those of long ago made room");
    // Another pool has its own.
    let other = watch.user("other");
    assert!(other.end_user(&asks(Some("late"), "stated")).is_some_and(|one| {
        other.open_with(Some(&one), &cells_of(10), Attribution::Known, NOON) == Judgement::Go
    }));
}

fn heard(span: u64, count: u64) -> Heard {
    Heard { span, count, ..Heard::default() }
}

#[test]
fn a_data_subject_whom_two_proxies_show_counts_once() {
    let limits = || vec![of(Measure::Subjects, 10, LimitAction::Cut)];
    let (here, there) = (Watch::new(limits()), Watch::new(limits()));
    let show = |watch: &Watch, subjects: &[u64], unknown| {
        let subjects: Vec<u64> = subjects.iter().map(|number| number << 30).collect();
        let shown = Shown { cells: 1, rows: 1, subjects: &subjects, unknown };
        watch.user("ada").open(&shown, Attribution::Known, NOON) == Judgement::Go
    };
    let tell = |from: &Watch, to: &Watch| {
        let told = from.counted(0, NOON).pop().unwrap();
        let count = Told::Count { span: told.span, slot_ms: told.slot_ms, slots: told.slots, met: told.met };
        let mut heard = heard(told.span, 0);
        heard.hear(count.counted(60_000, 0), count.met(60_000, 0));
        to.take_elsewhere([(told.whom, vec![heard])].into());
    };
    let used = |watch: &Watch| watch.standing(NOON).first().map_or(0, |used| used.used);
    assert!(show(&there, &[1, 2, 3, 4], 1) && show(&here, &[3, 4, 5], 0));
    tell(&there, &here);
    assert_eq!(used(&here), 6, "1 to 5, and one who is not known");
    // One whom only the other has shown: it counts already, and from here on here.
    assert!(show(&here, &[1], 0));
    assert_eq!(used(&here), 6);
    assert!(show(&here, &[6, 7, 8, 9], 0) && !show(&here, &[10], 0), "ten of them");
    assert!(show(&here, &[2], 0), "that one is among them");
    assert!(show(&here, &[1, 2, 3, 4, 5, 6, 7, 8, 9], 0));
    tell(&there, &here);
    assert_eq!(used(&here), 10, "nor is any forgotten");
    here.take_elsewhere(Elsewhere::new());
    assert_eq!(used(&here), 9, "what is shown here counts here");
}

#[test]
fn what_other_proxies_show_counts_and_leaves_with_them() {
    let watch = Watch::new(vec![limit(10, 60_000, LimitAction::Cut)]);
    let ada = watch.user("ada");
    assert_eq!(ada.open(&cells_of(4), Attribution::Known, NOON), Judgement::Go);
    let told = watch.counted(0, NOON + 5_000);
    let [Counted { whom, span, slot_ms: 1_000, slots, .. }] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((whom, slots.as_slice()), (&Whom::user(&"ada".into()), &[0, 0, 0, 0, 0, 4][..]));
    watch.take_elsewhere(
        [(whom.clone(), vec![heard(*span, 5)]), (Whom::user(&"bob".into()), vec![heard(*span, 10)])].into(),
    );
    assert!(matches!(ada.open(&cells_of(2), Attribution::Known, NOON), Judgement::Cut(_)));
    assert_eq!(ada.open(&cells_of(1), Attribution::Known, NOON), Judgement::Go);
    assert!(
        matches!(watch.user("bob").open(&cells_of(1), Attribution::Known, NOON), Judgement::Cut(_)),
        "new here"
    );
    watch.take_elsewhere(Elsewhere::new());
    assert_eq!(ada.open(&cells_of(5), Attribution::Known, NOON), Judgement::Go);
    assert!(watch.counted(NOON + 1, NOON + 1).is_empty(), "nothing since");
}
