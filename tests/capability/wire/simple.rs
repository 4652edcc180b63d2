//! Simple queries and function calls.

use super::{Ways, all, everywhere, login};
use crate::harness::{Frame, Raw, VERSIONS};
use crate::shop::{errors, firsts, states, tags};

#[test]
fn a_query_of_many_statements_is_one_transaction() {
    let seen = everywhere("many statements", |raw| {
        all([
            "INSERT INTO orders VALUES (1); INSERT INTO orders VALUES (2); SELECT 1/0; INSERT INTO orders VALUES (3)",
            "SELECT count(*) FROM orders",
            "INSERT INTO orders VALUES (1); SELECT 'between'; INSERT INTO orders VALUES (2)",
            "SELECT count(*) FROM orders",
            "VACUUM orders; SELECT 1",
            "SELECT 1; VACUUM orders",
            "SET LOCAL work_mem = '1MB'; SHOW work_mem",
            "SHOW work_mem",
            "SAVEPOINT a; SELECT 1",
            "SELEC; SELECT 1",
            "SELECT 1; SELEC",
        ]
        .map(|sql| raw.query(sql)))
    });
    assert_eq!(firsts(&seen)[..3], ["0", "between", "2"]);
}

#[test]
fn begin_and_commit_within_a_query_hold() {
    let seen = everywhere("BEGIN and COMMIT inside", |raw| {
        all([
            "BEGIN; INSERT INTO orders VALUES (1); COMMIT; SELECT 1/0",
            "SELECT count(*) FROM orders",
            "INSERT INTO orders VALUES (2); BEGIN; INSERT INTO orders VALUES (3)",
            "COMMIT; INSERT INTO orders VALUES (4); ROLLBACK; SELECT 'x'",
            "SELECT count(*) FROM orders",
            "BEGIN; SELECT 1/0; COMMIT",
            "SELECT 1",
            "COMMIT",
            "BEGIN; SAVEPOINT a; SELECT 1",
            "SELECT 1/0",
            "ROLLBACK TO a; SELECT 2; COMMIT AND CHAIN; SELECT 3",
            "ROLLBACK; COMMIT",
            "BEGIN; BEGIN; COMMIT",
        ]
        .map(|sql| raw.query(sql)))
    });
    let status: String = tags(&seen).split('Z').skip(1).filter_map(|rest| rest.chars().next()).collect();
    assert_eq!(status, "IITIIEEITETII");
}

#[test]
fn an_empty_query_has_its_own_answer() {
    let seen = everywhere("empty queries", |raw| {
        let mut seen =
            all(["", " ", ";", ";;", "-- x", "/* x */ ;", "SELECT 1;;", "; SELECT 2"]
                .map(|sql| raw.query(sql)));
        for sql in ["", "-- x"] {
            raw.parse("", sql, &[]);
            raw.describe(b'S', "");
            raw.bind("", "", &[], &[], &[]);
            raw.describe(b'P', "");
            raw.execute("", 0);
            seen.extend(raw.sync());
        }
        seen
    });
    assert!(tags(&seen).starts_with("IZIIZI"), "{}", tags(&seen));
}

#[test]
fn cursors_and_prepared_statements_of_sql_work() {
    everywhere("FETCH and EXECUTE", |raw| {
        let mut seen = all([
            "BEGIN; DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT id, item FROM orders UNION ALL SELECT n, 'n' FROM generate_series(1, 9) n",
            "FETCH 2 FROM c",
            "FETCH RELATIVE -1 FROM c; MOVE 3 FROM c; FETCH ALL FROM c",
            "COMMIT",
            "FETCH FIRST FROM c; CLOSE c",
            "PREPARE q (int) AS SELECT $1 + 1 UNION SELECT 7",
            "EXECUTE q(41)",
            "EXPLAIN (COSTS off) EXECUTE q(1)",
            "DEALLOCATE q; EXECUTE q(1)",
        ]
        .map(|sql| raw.query(sql)));
        // A portal of the protocol by SQL's FETCH, and SQL's cursor by the protocol's Execute.
        raw.query("BEGIN");
        raw.parse("s", "SELECT generate_series(1, 6)", &[]);
        raw.bind("p", "s", &[], &[], &[]);
        raw.execute("p", 2);
        seen.extend(raw.sync());
        seen.extend(raw.query("FETCH 1 FROM p"));
        seen.extend(raw.query("DECLARE d CURSOR FOR SELECT generate_series(7, 9)"));
        raw.describe(b'P', "d");
        raw.execute("d", 2);
        raw.execute("p", 1);
        seen.extend(raw.sync());
        seen.extend(raw.query("EXECUTE s; COMMIT"));
        seen
    });
}

fn call(raw: &mut Raw, function: u32, arguments: &[&[u8]]) -> Vec<Frame> {
    let count = |length: usize| u16::try_from(length).unwrap().to_be_bytes();
    let mut body = function.to_be_bytes().to_vec();
    body.extend([count(1), 1_u16.to_be_bytes(), count(arguments.len())].concat());
    for argument in arguments {
        body.extend(i32::try_from(argument.len()).unwrap().to_be_bytes());
        body.extend_from_slice(argument);
    }
    body.extend(1_u16.to_be_bytes());
    raw.send(b'F', &body);
    raw.until_ready()
}

#[test]
fn function_calls_pass_where_nothing_is_classified() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        let run = |address| {
            let mut raw = login(address);
            // md5, int4pl, a function that is not there, too few arguments, in a failed transaction
            let mut seen = call(&mut raw, 2311, &[b"value"]);
            seen.extend(call(&mut raw, 177, &[&[0, 0, 0, 2], &[0, 0, 0, 3]]));
            seen.extend(call(&mut raw, 999_999, &[]));
            seen.extend(call(&mut raw, 177, &[&[0, 0, 0, 2]]));
            raw.query("BEGIN; SELECT 1/0");
            seen.extend(call(&mut raw, 2311, &[b"value"]));
            raw.query("ROLLBACK");
            raw.send(b'F', &[0, 0]);
            seen.extend(raw.until_ready());
            seen.extend(raw.query("SELECT 'goes on'"));
            seen
        };
        let direct = run(ways.server.address());
        assert_eq!(direct, run(ways.nothing.address()));
        assert_eq!(&direct[0].body[4..], b"2063c1608d6e0baf80249c42e2be5804");
        // Where something is, a function by its number could be any.
        let mut raw = login(ways.other.address());
        assert_eq!(states(&call(&mut raw, 2311, &[b"value"])), ["42883"]);
        assert_eq!(firsts(&raw.query("SELECT 'goes on'")), ["goes on"]);
    }
}

#[test]
fn large_objects_of_megabytes_pass_by_function_call() {
    // Above limits.frame_bytes_max in one piece.
    let piece: Vec<u8> = (0..18_000_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[2]).collect();
    for major in VERSIONS {
        let ways = Ways::new(major);
        let mut answers = Vec::new();
        for (way, address) in ways.each() {
            let mut raw = login(address);
            raw.query("BEGIN");
            let made = call(&mut raw, 957, &[&0x0006_0000_i32.to_be_bytes()]);
            let oid = made[0].body[4..].to_vec();
            let opened = call(&mut raw, 952, &[&oid, &0x0006_0000_i32.to_be_bytes()]);
            let handle = opened[0].body[4..].to_vec();
            for part in piece.chunks(5 << 20) {
                let written = call(&mut raw, 955, &[&handle, part]);
                assert_eq!(tags(&written), "VZT", "{way}: {:?}", errors(&written));
            }
            call(&mut raw, 956, &[&handle, &0_i32.to_be_bytes(), &0_i32.to_be_bytes()]);
            let read = call(&mut raw, 954, &[&handle, &20_000_000_i32.to_be_bytes()]);
            assert_eq!(tags(&read), "VZT", "{way}: {:?}", errors(&read));
            assert!(read[0].body[4..] == piece, "{way}");
            answers.push([
                tags(&call(&mut raw, 958, &[&handle])),
                tags(&call(&mut raw, 964, &[&oid])),
                tags(&raw.query("COMMIT")),
            ]);
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    }
}

#[test]
fn a_text_of_the_server_above_the_limit_of_a_frame_passes() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        ways.compare("20 MB of notice and error", |address| {
            let mut raw = login(address);
            let mut seen = raw.query("DO $$ BEGIN RAISE NOTICE '%', repeat('n', 20000000); END $$");
            seen.extend(raw.query("DO $$ BEGIN RAISE EXCEPTION '%', repeat('e', 20000000); END $$"));
            super::step(&mut raw, "DO $$ BEGIN RAISE EXCEPTION '%', repeat('e', 20000000); END $$");
            super::step(&mut raw, "SELECT 1");
            seen.extend(raw.sync());
            seen.extend(raw.query("SELECT 'goes on'"));
            seen
        });
    }
}
