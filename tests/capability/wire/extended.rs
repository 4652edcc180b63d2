//! The extended protocol: statements, portals, row limits, Flush, and what an error discards.

use super::{Ways, all, everywhere, frames, login, step};
use crate::harness::{Frame, VERSIONS};
use crate::shop::{errors, firsts, states, tags};

#[test]
fn a_failed_parse_keeps_a_named_statement_and_destroys_the_unnamed() {
    let seen = everywhere("failed Parse", |raw| {
        let mut seen = Vec::new();
        for name in ["", "kept"] {
            raw.parse(name, "SELECT 'first ' || $1", &[25]);
            seen.extend(raw.sync());
            raw.parse(name, "SELEC", &[]);
            seen.extend(raw.sync());
            raw.parse(name, "SELECT * FROM missing", &[]);
            seen.extend(raw.sync());
            raw.describe(b'S', name);
            raw.bind("", name, &[], &[Some(b"x")], &[]);
            raw.execute("", 0);
            seen.extend(raw.sync());
        }
        // A name that exists cannot be taken by another statement.
        raw.parse("kept", "SELECT 2", &[]);
        seen.extend(raw.sync());
        raw.bind("", "kept", &[], &[Some(b"y")], &[]);
        raw.execute("", 0);
        seen.extend(raw.sync());
        seen
    });
    assert_eq!(states(&seen), ["42601", "42P01", "26000", "42601", "42P01", "42P05"]);
    assert_eq!(firsts(&seen), ["first x", "first y"]);
}

#[test]
fn a_simple_query_destroys_the_unnamed_statement_alone() {
    let seen = everywhere("simple Query", |raw| {
        raw.parse("", "SELECT 1", &[]);
        raw.parse("named", "SELECT 2", &[]);
        let mut seen = all([raw.sync(), raw.query("SELECT 3")]);
        for name in ["", "named"] {
            raw.bind("", name, &[], &[], &[]);
            raw.execute("", 0);
            seen.extend(raw.sync());
        }
        seen
    });
    assert_eq!((states(&seen), firsts(&seen)), (vec!["26000".into()], vec!["3".into(), "2".into()]));
}

#[test]
fn closing_what_is_not_there_succeeds() {
    let seen = everywhere("Close", |raw| {
        raw.close(b'S', "never");
        raw.close(b'P', "never");
        raw.close(b'S', "");
        raw.close(b'P', "");
        raw.parse("s", "SELECT 1", &[]);
        raw.bind("p", "s", &[], &[], &[]);
        raw.close(b'S', "s");
        // A portal outlives its statement's name? The server says.
        raw.execute("p", 0);
        let mut seen = raw.sync();
        raw.bind("p", "s", &[], &[], &[]);
        seen.extend(raw.sync());
        raw.parse("s", "SELECT 2", &[]);
        raw.bind("", "s", &[], &[], &[]);
        raw.execute("", 0);
        raw.close(b'P', "");
        raw.execute("", 0);
        seen.extend(raw.sync());
        seen
    });
    assert!(tags(&seen).starts_with("333312"), "{}", tags(&seen));
}

#[test]
fn several_unnamed_statements_of_a_batch_keep_their_own_types() {
    let seen = everywhere("unnamed statements", |raw| {
        for (number, oid) in [(1, 23), (2, 25), (3, 1700), (4, 17), (5, 1184), (6, 0)] {
            raw.parse("", &format!("SELECT {number}, $1"), &[oid]);
            raw.describe(b'S', "");
            raw.bind("", "", &[], &[None], &[u16::from(number % 2 == 0)]);
            raw.describe(b'P', "");
            raw.execute("", 0);
        }
        raw.sync()
    });
    assert_eq!(tags(&seen), format!("{}ZI", "1tT2TDC".repeat(6)));
}

#[test]
fn named_portals_end_with_the_transaction() {
    let seen = everywhere("portals", |raw| {
        raw.parse("rows", "SELECT generate_series(1, 9)", &[]);
        raw.bind("p", "rows", &[], &[], &[]);
        raw.execute("p", 2);
        let mut seen = raw.sync();
        raw.execute("p", 2);
        seen.extend(raw.sync());
        seen.extend(raw.query("BEGIN"));
        raw.bind("p", "rows", &[], &[], &[]);
        raw.execute("p", 2);
        seen.extend(raw.sync());
        raw.execute("p", 2);
        seen.extend(raw.sync());
        // In use.
        raw.bind("p", "rows", &[], &[], &[]);
        seen.extend(raw.sync());
        seen.extend(raw.query("ROLLBACK"));
        raw.describe(b'P', "p");
        seen.extend(raw.sync());
        seen
    });
    assert_eq!(states(&seen), ["34000", "42P03", "34000"]);
}

#[test]
fn row_limits_suspend_a_portal_and_it_goes_on() {
    let seen = everywhere("row limits", |raw| {
        let mut seen = raw.query("BEGIN");
        for sql in [
            "SELECT generate_series(1, 5)",
            "INSERT INTO orders SELECT generate_series(1, 5) RETURNING id",
            "SELECT 1 WHERE false",
            "",
        ] {
            raw.parse("s", sql, &[]);
            raw.bind("p", "s", &[], &[], &[]);
            for limit in [2, 2, 1, 2, 0] {
                raw.execute("p", limit);
            }
            raw.close(b'P', "p");
            raw.close(b'S', "s");
            seen.extend(raw.sync());
        }
        seen.extend(raw.query("COMMIT"));
        seen
    });
    assert!(tags(&seen).contains("12DDsDDsDsC"), "{}", tags(&seen));
}

#[test]
fn describe_tells_formats_of_portals_and_none_of_statements() {
    let seen = everywhere("Describe", |raw| {
        let mut seen = Vec::new();
        for formats in [&[][..], &[0], &[1], &[1, 0, 1], &[0, 1], &[2]] {
            raw.parse("", "SELECT 1::int, 'two'::text, $1::bytea", &[]);
            raw.describe(b'S', "");
            raw.bind("", "", &[1], &[Some(b"\0\xff")], formats);
            raw.describe(b'P', "");
            raw.execute("", 0);
            seen.extend(raw.sync());
        }
        // Nothing to describe, and what cannot be.
        for sql in ["SET work_mem = '1MB'", "", "INSERT INTO orders VALUES (1)"] {
            raw.parse("", sql, &[]);
            raw.describe(b'S', "");
            raw.bind("", "", &[], &[], &[]);
            raw.describe(b'P', "");
            seen.extend(raw.sync());
        }
        raw.describe(b'S', "missing");
        seen.extend(raw.sync());
        seen
    });
    assert_eq!(states(&seen).len(), 3, "{:?}", errors(&seen));
}

#[test]
fn flush_brings_answers_and_no_ready_for_query() {
    everywhere("Flush", |raw| {
        raw.parse("", "INSERT INTO orders VALUES (1) RETURNING id", &[]);
        raw.flush();
        let mut seen = frames(raw, 1);
        raw.bind("", "", &[], &[], &[]);
        raw.describe(b'P', "");
        raw.flush();
        seen.extend(frames(raw, 2));
        raw.execute("", 0);
        raw.flush();
        seen.extend(frames(raw, 2));
        raw.parse("", "SELECT 1/0", &[]);
        raw.bind("", "", &[], &[], &[]);
        raw.execute("", 0);
        raw.flush();
        // Parse alone succeeds.
        seen.extend(frames(raw, 2));
        assert_eq!(tags(&seen), "12TDC1E");
        // No Sync was made up for it: the batch was one transaction and is undone.
        raw.flush();
        seen.extend(raw.sync());
        seen.extend(raw.query("SELECT count(*) FROM orders"));
        seen
    });
}

#[test]
fn an_error_discards_all_that_comes_before_the_sync() {
    let seen = everywhere("an error queue", |raw| {
        step(raw, "INSERT INTO orders VALUES (1)");
        step(raw, "INSERT INTO orders VALUES (1)");
        step(raw, "INSERT INTO orders VALUES (2)");
        raw.describe(b'S', "never");
        raw.close(b'S', "never");
        raw.send(b'Q', b"INSERT INTO orders VALUES (3)\0");
        raw.send(b'F', &[0; 10]);
        raw.flush();
        let mut seen = raw.sync();
        for number in 0..30 {
            step(raw, &format!("INSERT INTO orders VALUES ({number})"));
            step(raw, if number % 3 == 0 { "SELECT 1/0" } else { "SELECT 1" });
            step(raw, "SELECT 2");
            raw.send(b'S', &[]);
        }
        seen.extend(super::readies(raw, 30));
        seen.extend(raw.query("SELECT count(*) FROM orders"));
        seen
    });
    assert_eq!(states(&seen).len(), 11);
    assert_eq!(firsts(&seen).last().map(String::as_str), Some("20"));
}

#[test]
fn a_sync_that_fails_to_commit_says_so() {
    let seen = everywhere("an error at Sync", |raw| {
        let mut seen = Vec::new();
        for _ in 0..2 {
            step(raw, "INSERT INTO late VALUES (1), (1)");
            raw.send(b'S', &[]);
            step(raw, "SELECT count(*) FROM late");
            seen.extend(all([raw.sync(), raw.until_ready()]));
        }
        seen
    });
    assert_eq!((states(&seen), firsts(&seen)), (vec!["23505".to_owned(); 2], vec!["0".to_owned(); 2]));
}

#[test]
fn discard_and_deallocate_forget_what_was_prepared() {
    let seen = everywhere("DISCARD", |raw| {
        let mut seen = Vec::new();
        for forget in ["DEALLOCATE s", "DEALLOCATE ALL", "DISCARD ALL", "DISCARD PLANS", "RESET ALL"] {
            raw.parse("s", "SELECT 'kept'", &[]);
            seen.extend(raw.sync());
            seen.extend(raw.query("PREPARE by_sql AS SELECT 'sql'"));
            seen.extend(raw.query(forget));
            for name in ["s", "by_sql"] {
                raw.bind("", name, &[], &[], &[]);
                raw.execute("", 0);
                seen.extend(raw.sync());
            }
            seen.extend(raw.query("DEALLOCATE ALL"));
        }
        seen
    });
    assert_eq!(firsts(&seen), ["sql", "kept", "sql", "kept", "sql"]);
}

#[test]
fn many_requests_without_waiting_are_answered_in_order() {
    let seen = everywhere("a long pipeline", |raw| {
        for number in 0..400 {
            step(raw, &format!("SELECT {number}"));
            if number % 7 == 0 {
                raw.send(b'S', &[]);
                raw.send(b'Q', b"SELECT 'simple'\0");
            }
        }
        raw.send(b'S', &[]);
        super::readies(raw, 58 * 2 + 1)
    });
    let numbers: Vec<_> = firsts(&seen).into_iter().filter(|first| first != "simple").collect();
    assert_eq!(numbers, (0..400).map(|number| number.to_string()).collect::<Vec<_>>());
}

/// On the classified table itself: names follow the server there too.
#[test]
fn names_of_classified_statements_follow_the_server() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        login(ways.other.address())
            .query("INSERT INTO customers (id, email) VALUES (1, 'ada@sentinel.example')");
        let select = "SELECT email FROM customers WHERE id = $1::int";
        let run = |raw: &mut crate::harness::Raw, name: &str| {
            raw.bind("", name, &[], &[Some(b"1")], &[]);
            raw.execute("", 0);
            raw.sync()
        };
        let told = |frames: &[Frame]| (tags(frames), states(frames), firsts(frames).len());
        let answers = [ways.server.address(), ways.other.address()].map(|address| {
            let mut raw = login(address);
            let mut seen = Vec::new();
            raw.parse("s", select, &[]);
            seen.push(told(&raw.sync()));
            raw.parse("s", "SELEC", &[]);
            seen.push(told(&raw.sync()));
            seen.push(told(&run(&mut raw, "s")));
            raw.parse("", select, &[]);
            seen.push(told(&raw.sync()));
            seen.push(told(&raw.query("SELECT 1")));
            seen.push(told(&run(&mut raw, "")));
            seen.push(told(&raw.query("DISCARD ALL")));
            seen.push(told(&run(&mut raw, "s")));
            raw.parse("s", "SELECT $1::int", &[]);
            seen.push(told(&raw.sync()));
            let plain = run(&mut raw, "s");
            assert_eq!(firsts(&plain), ["1"]);
            seen.push(told(&plain));
            seen
        });
        assert_eq!(answers[0], answers[1], "{major}");
    }
}
