//! The server answers (P4): what touches nothing classified goes through byte for byte, in
//! the server's own order, of any size, and in bounded memory.

use std::net::SocketAddr;
use std::time::Duration;

use crate::harness::{Frame, Gate, Raw, Session, Setup, Tap, VERSIONS, await_that, pg, string};
use crate::shop::{self, classified, errors, firsts, holds, states, tags};

type Script = (&'static str, fn(&mut Raw) -> Vec<Frame>);

fn login(address: SocketAddr) -> Raw {
    Raw::login(address, "postgres", "postgres")
}

fn all(answers: impl IntoIterator<Item = Vec<Frame>>) -> Vec<Frame> {
    answers.into_iter().flatten().collect()
}

/// COPY through the extended protocol as drivers send it: Execute, Sync, and then the data.
fn copy_in(raw: &mut Raw, sql: &str, data: &[&[u8]], end: (u8, &[u8])) -> Vec<Frame> {
    raw.parse("", sql, &[]);
    raw.bind("", "", &[], &[], &[]);
    raw.execute("", 0);
    raw.send(b'S', &[]);
    for piece in data {
        raw.send(b'd', piece);
    }
    raw.send(end.0, end.1);
    raw.sync()
}

const SCRIPTS: &[Script] = &[
    ("simple queries", |raw| {
        all([
            "", ";", " -- nothing", "SELECT 1; SELECT NULL, 'x' AS y; ;SELECT 1/0; SELECT 2",
            "INSERT INTO orders VALUES (1, 'a'), (2, 'b'); UPDATE orders SET item = 'c'; TABLE orders",
            "SHOW server_version_num; SET application_name = 'renamed'; RESET application_name",
            "BEGIN; SELECT 1; SELECT 1/0; COMMIT", "SELECT 3", "ROLLBACK", "ROLLBACK",
            "DO $$ BEGIN RAISE NOTICE 'note %', 1; RAISE WARNING 'warning'; END $$",
            "SELECT 'customers', 'customers' FROM orders", "SELECT * FROM missing", "SELECT 1 AS \"a b\", '\u{e4}'",
            "CREATE TEMP TABLE t (x int); INSERT INTO t SELECT generate_series(1, 500); SELECT x + 0 FROM t; DROP TABLE t",
        ].map(|sql| raw.query(sql)))
    }),
    ("bytes that are not UTF-8", |raw| {
        let begun = raw.query("SET client_encoding = 'LATIN1'");
        raw.send(b'Q', b"SELECT 'caf\xe9' AS \"\xfc\", length('caf\xe9')\0");
        let mut answers = all([begun, raw.until_ready()]);
        raw.parse("\u{e9}", "SELECT $1::text", &[]);
        raw.bind("", "\u{e9}", &[], &[Some(b"\xa0\xff\xe9")], &[]);
        raw.execute("", 0);
        answers.extend(raw.sync());
        answers.extend(raw.query("SET client_encoding = 'SQL_ASCII'"));
        raw.send(b'Q', b"SELECT '\xc3\x28'\0");
        answers.extend(raw.until_ready());
        answers
    }),
    ("several unnamed statements in a batch", |raw| {
        for number in 0..6 {
            let sql = format!("SELECT {number}, $1::{} AS v", ["int", "text", "bytea"][number % 3]);
            raw.parse("", &sql, &[]);
            raw.describe(b'S', "");
            raw.bind("", "", &[], &[Some(b"77")], &[u16::from(number > 2)]);
            if number % 2 == 0 {
                raw.describe(b'P', "");
            }
            raw.execute("", 0);
        }
        raw.sync()
    }),
    ("Flush, in order, without ReadyForQuery", |raw| {
        let mut seen = Vec::new();
        raw.parse("f", "SELECT generate_series(1, 3)", &[]);
        raw.flush();
        seen.extend(raw.read());
        raw.bind("p", "f", &[], &[], &[1]);
        raw.flush();
        seen.extend(raw.read());
        raw.describe(b'P', "p");
        raw.flush();
        seen.extend(raw.read());
        raw.execute("p", 2);
        raw.flush();
        seen.extend((0..3).filter_map(|_| raw.read()));
        raw.execute("p", 2);
        raw.close(b'P', "p");
        raw.close(b'S', "never");
        seen.extend(raw.sync());
        seen
    }),
    ("row limits and portals over a transaction", |raw| {
        let mut seen = raw.query("BEGIN");
        raw.parse("rows", "SELECT n, 'row ' || n FROM generate_series(1, 10) n", &[]);
        raw.bind("one", "rows", &[], &[], &[]);
        raw.bind("two", "rows", &[], &[], &[1, 0]);
        for (portal, limit) in [("one", 3), ("two", 1), ("one", 4), ("two", 0), ("one", 0), ("one", 5)] {
            raw.execute(portal, limit);
        }
        seen.extend(raw.sync());
        raw.execute("one", 1);
        seen.extend(raw.sync());
        seen.extend(raw.query("COMMIT"));
        raw.execute("two", 1);
        seen.extend(raw.sync());
        seen
    }),
    ("errors in pipelines", |raw| {
        for sql in ["SELECT 1", "SELECT 1/$1::int", "SELECT 3"] {
            raw.parse("", sql, &[]);
            let values: &[Option<&[u8]>] = if sql.contains("$1") { &[Some(b"0")] } else { &[] };
            raw.bind("", "", &[], values, &[]);
            raw.execute("", 0);
        }
        raw.send(b'S', &[]);
        raw.bind("", "missing", &[], &[], &[]);
        raw.describe(b'P', "missing");
        raw.send(b'S', &[]);
        raw.parse("", "SELECT 5", &[]);
        raw.parse("", "INSERT INTO orders VALUES (9), (9)", &[]);
        raw.bind("", "", &[], &[], &[]);
        raw.execute("", 0);
        raw.flush();
        let mut seen = all([raw.until_ready(), raw.until_ready()]);
        seen.extend((0..4).filter_map(|_| raw.read()));
        raw.bind("", "", &[], &[], &[]);
        raw.execute("", 0);
        seen.extend(raw.sync());
        raw.parse("", "SELECT 6", &[]);
        raw.bind("", "", &[], &[], &[]);
        raw.execute("", 0);
        seen.extend(raw.sync());
        seen
    }),
    ("COPY by a Query", |raw| {
        raw.send(
            b'Q',
            b"COPY orders (id, item) FROM STDIN; SELECT count(*) FROM orders; COPY orders (id) TO STDOUT\0",
        );
        let mut seen: Vec<Frame> = raw.read().into_iter().collect();
        for piece in [&b"1\ton"[..], b"e\n2\ttwo\n", b"3\t\\N\n"] {
            raw.send(b'd', piece);
        }
        raw.send(b'c', &[]);
        seen.extend(raw.until_ready());
        raw.send(b'Q', b"COPY orders (id) FROM STDIN\0");
        seen.extend(raw.read());
        raw.send(b'd', b"4\nno number\n5\n");
        raw.send(b'c', &[]);
        seen.extend(raw.until_ready());
        raw.send(b'Q', b"COPY orders (id) FROM STDIN\0");
        seen.extend(raw.read());
        raw.send(b'f', b"client gave up\0");
        seen.extend(raw.until_ready());
        seen.extend(raw.query("COPY (SELECT id, item FROM orders ORDER BY id) TO STDOUT (FORMAT binary)"));
        seen
    }),
    ("COPY in the extended protocol, with a Sync before its data", |raw| {
        let copy = "COPY orders (id, item) FROM STDIN (FORMAT csv)";
        let mut seen = copy_in(raw, copy, &[b"1,a\n2,", b"b\n"], (b'c', &[]));
        seen.extend(copy_in(raw, copy, &[b"3,c\n"], (b'f', b"no more\0")));
        seen.extend(copy_in(raw, copy, &[b"bad,row\n", b"4,d\n"], (b'c', &[])));
        seen.extend(copy_in(raw, "COPY missing FROM STDIN", &[], (b'H', &[])));
        seen.extend(raw.until_ready());
        raw.parse("", "COPY orders TO STDOUT", &[]);
        raw.bind("", "", &[], &[], &[]);
        raw.execute("", 0);
        seen.extend(raw.sync());
        seen.extend(raw.query("SELECT count(*) FROM orders"));
        seen
    }),
    ("cursors and SQL's own prepared statements", |raw| {
        all([
            "BEGIN; DECLARE c SCROLL CURSOR FOR SELECT generate_series(1, 9)",
            "FETCH 3 FROM c",
            "MOVE 2 FROM c",
            "FETCH BACKWARD ALL FROM c; CLOSE c; COMMIT",
            "PREPARE q AS SELECT $1::int + 1",
            "EXECUTE q(41)",
            "DEALLOCATE q",
            "EXECUTE q(1)",
            "DISCARD ALL",
        ]
        .map(|sql| raw.query(sql)))
    }),
    ("notifications of its own", |raw| {
        let seen = all([raw.query("LISTEN bell"), raw.query("NOTIFY bell, 'rung'"), raw.query("UNLISTEN *")]);
        // The server's process number differs.
        seen.into_iter()
            .map(
                |frame| {
                    if frame.tag == b'A' {
                        Frame { tag: b'A', body: frame.body[4..].to_vec() }
                    } else {
                        frame
                    }
                },
            )
            .collect()
    }),
];

/// Runs every script against both and compares what comes back, byte for byte.
fn compare(direct: SocketAddr, gate: SocketAddr, what: &str) {
    for (name, script) in SCRIPTS {
        for corked in [false, true] {
            let answers = [direct, gate].map(|address| {
                let mut raw = login(address);
                raw.query("DELETE FROM orders");
                if corked {
                    raw.cork();
                }
                script(&mut raw)
            });
            let [expected, found] = &answers;
            let at = expected.iter().zip(found).position(|(a, b)| a != b);
            assert!(
                at.is_none() && expected.len() == found.len(),
                "{what}, {name}, in one piece: {corked}: differs at {at:?}\n direct {}\n gate   {}\n {:?}\n {:?}",
                tags(expected),
                tags(found),
                errors(expected),
                errors(found)
            );
        }
    }
}

#[test]
fn unclassified_sessions_are_the_same_byte_for_byte() {
    for major in VERSIONS {
        let server = shop::server(major);
        let nothing = Setup::before(server.address()).start();
        compare(server.address(), nothing.address(), &format!("{major}, nothing classified"));
        drop(nothing);
        let other = classified(Setup::before(server.address())).start();
        compare(server.address(), other.address(), &format!("{major}, another table classified"));
    }
}

#[test]
fn what_the_client_says_at_startup_reaches_the_server() {
    let server = shop::server(18);
    let gate = classified(Setup::before(server.address())).start();
    let parameters = [
        ("user", "postgres"),
        ("database", "postgres"),
        ("application_name", "caf\u{e9} 'app'"),
        ("options", "-c statement_timeout=12345 -c search_path=a\\ b,public"),
        ("DateStyle", "German, DMY"),
        ("TimeZone", "Asia/Kolkata"),
        ("extra_float_digits", "2"),
        ("client_encoding", "LATIN1"),
    ];
    let ask = "SELECT current_setting(n) FROM unnest(ARRAY['application_name', 'statement_timeout', \
        'search_path', 'DateStyle', 'TimeZone', 'extra_float_digits', 'client_encoding']) n";
    let answers = [server.address(), gate.address()].map(|address| {
        let mut raw = Raw::connect(address);
        raw.startup(&parameters);
        let mut frames = raw.until_ready();
        frames.retain(|frame| frame.tag != b'K');
        frames.extend(raw.query(ask));
        frames
    });
    assert_eq!(answers[0].len(), answers[1].len(), "{} {}", tags(&answers[0]), tags(&answers[1]));
    let sorted = |frames: &[Frame]| {
        let mut bodies: Vec<_> = frames.iter().map(|frame| (frame.tag, frame.body.clone())).collect();
        bodies.sort();
        bodies
    };
    assert_eq!(sorted(&answers[0]), sorted(&answers[1]));
    // The server's own errors, word for word.
    for parameters in [
        &[("user", "nobody-here"), ("database", "postgres")][..],
        &[("user", "postgres"), ("database", "missing")],
        &[("user", "postgres"), ("no_such_setting", "1")],
        &[("database", "postgres")],
    ] {
        let [direct, ours] = [server.address(), gate.address()].map(|address| {
            let mut raw = Raw::connect(address);
            raw.startup(parameters);
            raw.until_ready()
        });
        assert_eq!(errors(&direct), errors(&ours), "{parameters:?}");
        assert_eq!((tags(&direct), direct.last().map(|last| last.tag)), (tags(&ours), Some(b'E')));
    }
}

#[test]
fn a_described_result_is_the_same_whoever_describes() {
    let server = shop::server(18);
    let (gate, tap) = shop::open(&server);
    let mut raw = login(gate.address());
    raw.query("INSERT INTO customers (id, email, city) VALUES (1, 'ada@sentinel.example', 'Paris'), (2, 'bob@sentinel.example', NULL)");
    let sql = "SELECT id, email, city FROM customers WHERE id > $1::int ORDER BY id";
    // Statement, then portal, then nobody, then both at once, named and unnamed.
    for name in ["", "named"] {
        for describes in [&b"S"[..], b"P", b"", b"SP"] {
            let mut fresh = login(gate.address());
            fresh.parse(name, sql, &[]);
            let mut expected = String::from("1");
            if describes.contains(&b'S') {
                fresh.describe(b'S', name);
                expected += "tT";
            }
            fresh.bind("", name, &[], &[Some(b"0")], &[]);
            expected += "2";
            if describes.contains(&b'P') {
                fresh.describe(b'P', "");
                expected += "T";
            }
            fresh.execute("", 0);
            let answer = fresh.sync();
            assert_eq!(tags(&answer), expected + "DDCZI", "{:?}", errors(&answer));
            let rows: Vec<_> = answer.iter().filter(|frame| frame.tag == b'D').map(Frame::values).collect();
            assert_eq!(rows[0][1].as_deref(), Some(&b"ada@sentinel.example"[..]));
            assert_eq!(rows[1][1..], [Some(b"bob@sentinel.example".to_vec()), None]);
        }
    }
    // Row limits, with nothing described.
    let mut fresh = login(gate.address());
    fresh.parse("", sql, &[]);
    fresh.bind("", "", &[], &[Some(b"0")], &[1]);
    for _ in 0..3 {
        fresh.execute("", 1);
    }
    let answer = fresh.sync();
    assert_eq!(tags(&answer), "12DsDsCZI", "{:?}", errors(&answer));
    let emails: Vec<_> =
        answer.iter().filter(|frame| frame.tag == b'D').map(|row| row.values()[1].clone().unwrap()).collect();
    assert_eq!(emails, [b"ada@sentinel.example".to_vec(), b"bob@sentinel.example".to_vec()]);
    // Two unnamed statements alternate; each keeps its own shape.
    for (other, value) in [
        ("SELECT item, id FROM orders", "orders"),
        ("SELECT note, email FROM customers WHERE id = 1", "email"),
    ] {
        fresh.parse("", sql, &[]);
        fresh.bind("", "", &[], &[Some(b"1")], &[]);
        fresh.execute("", 0);
        fresh.parse("", other, &[]);
        fresh.bind("", "", &[], &[], &[]);
        fresh.execute("", 0);
        let answer = fresh.sync();
        assert!(errors(&answer).is_empty(), "{:?}", errors(&answer));
        let rows: Vec<_> = answer.iter().filter(|frame| frame.tag == b'D').map(Frame::values).collect();
        assert_eq!(rows[0][1].as_deref(), Some(&b"bob@sentinel.example"[..]));
        if value == "email" {
            assert_eq!(rows[1], [None, Some(b"ada@sentinel.example".to_vec())]);
        }
    }
    assert!(!holds(&tap.to_server(), b"sentinel.example"));
}

#[test]
fn notifications_reach_an_idle_session_and_process_numbers_are_the_servers() {
    let server = shop::server(18);
    let gate = classified(Setup::before(server.address())).start();
    let mut listener = Raw::connect(gate.address());
    listener.startup(&[("user", "postgres"), ("database", "postgres")]);
    let started = listener.until_ready();
    let key = started.iter().find(|frame| frame.tag == b'K').unwrap();
    let process = i32::from_be_bytes(key.body[..4].try_into().unwrap());
    assert_eq!(firsts(&listener.query("SELECT pg_backend_pid()")), [process.to_string()]);
    listener.query("LISTEN bell");
    let other = Session::open(gate.address(), "postgres", None, "postgres").unwrap();
    let sender = other.text("SELECT pg_backend_pid(); NOTIFY bell, 'rung'").unwrap()[0][0].clone().unwrap();
    let note = listener.read().unwrap();
    assert_eq!(note.tag, b'A');
    assert_eq!(i32::from_be_bytes(note.body[..4].try_into().unwrap()).to_string(), sender);
    assert!(holds(&note.body, b"bell\0rung\0"));
    // An idle session that is terminated learns it, as it would directly.
    server.execute("postgres", &format!("SELECT pg_terminate_backend({process})")).unwrap();
    let last = listener.until_ready();
    assert_eq!(states(&last), ["57P01"]);
}

#[test]
fn a_cancel_request_reaches_its_statement_and_no_other() {
    let server = shop::server(18);
    let gate = classified(Setup::before(server.address())).start();
    let start = || {
        let mut raw = Raw::connect(gate.address());
        raw.startup(&[("user", "postgres"), ("database", "postgres")]);
        let key = raw.until_ready().into_iter().find(|frame| frame.tag == b'K').unwrap().body;
        (raw, key)
    };
    let cancel = |key: &[u8]| {
        let mut raw = Raw::connect(gate.address());
        raw.untagged(&[&80_877_102_u32.to_be_bytes()[..], key].concat());
        assert!(raw.is_closed(), "a cancel request is answered by closing");
    };
    let (mut raw, key) = start();
    let (_other, other_key) = start();
    assert_eq!(key.len(), 8);
    raw.send(b'Q', &string("SELECT pg_sleep(60)"));
    let sleeps = || {
        let rows =
            server.query("postgres", "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
        rows.unwrap()[0][0].as_deref() == Some("1")
    };
    await_that("the statement to run", sleeps);
    let mut wrong = key.clone();
    wrong[7] ^= 1;
    let mixed = [&key[..4], &other_key[4..]].concat();
    for wrong in [&wrong, &mixed, &other_key] {
        cancel(wrong);
    }
    assert_eq!(raw.within(Duration::from_millis(50)), b"");
    assert!(sleeps(), "a wrong key does nothing");
    cancel(&key);
    let answer = raw.until_ready();
    assert_eq!((tags(&answer), states(&answer)), ("TEZI".to_owned(), vec!["57014".to_owned()]));
    cancel(&key);
    assert_eq!(firsts(&raw.query("SELECT 'goes on'")), ["goes on"]);
}

#[test]
fn large_objects_pass_by_function_call_and_nothing_else_does() {
    let server = shop::server(15);
    let call = |raw: &mut Raw, function: u32, arguments: &[&[u8]]| {
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
    };
    let gate = classified(Setup::before(server.address())).start();
    let mut raw = login(gate.address());
    raw.query("BEGIN");
    let made = call(&mut raw, 957, &[&0x0002_0000_i32.to_be_bytes()]);
    assert_eq!(tags(&made), "VZT", "{:?}", errors(&made));
    let oid = made[0].body[4..].to_vec();
    let opened = call(&mut raw, 952, &[&oid, &0x0006_0000_i32.to_be_bytes()]);
    let handle = opened[0].body[4..].to_vec();
    call(&mut raw, 955, &[&handle, b"large \xff object"]);
    call(&mut raw, 956, &[&handle, &0_i32.to_be_bytes(), &0_i32.to_be_bytes()]);
    let read = call(&mut raw, 954, &[&handle, &100_i32.to_be_bytes()]);
    assert_eq!(&read[0].body[4..], b"large \xff object");
    assert_eq!(tags(&raw.query("COMMIT")), "CZI");
    // pg_backend_pid, lo_import, query_to_xml, lower
    for function in [2026, 764, 2925, 870] {
        let answer = call(&mut raw, function, &[b"x"]);
        assert_eq!(
            (tags(&answer), states(&answer)),
            ("EZI".to_owned(), vec!["42883".to_owned()]),
            "{function}"
        );
    }
    assert_eq!(firsts(&raw.query("SELECT 'goes on'")), ["goes on"]);
}

/// Most memory that a process has had, in KiB.
fn memory_peak_kib(gate: &Gate) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gate.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn values_of_64_megabytes_pass_in_bounded_memory() {
    const SIZE: usize = 64 << 20;
    let server = shop::server(18);
    server
        .execute(
            "postgres",
            "INSERT INTO customers (id, city) SELECT n, repeat('city ', 400) || n FROM generate_series(1, 30000) n",
        )
        .unwrap();
    let gate = classified(Setup::before(server.address())).start();
    let mut raw = login(gate.address());
    raw.query("INSERT INTO customers (id, email) VALUES (0, 'ada@sentinel.example')");
    let before = memory_peak_kib(&gate);
    let blob = vec![0xA5; SIZE];
    // Within a transaction whose unnamed portal held something classified before.
    raw.query("BEGIN");
    raw.parse("", "SELECT email FROM customers WHERE id = $1::int", &[]);
    raw.bind("", "", &[], &[Some(b"0")], &[]);
    raw.execute("", 0);
    assert_eq!(firsts(&raw.sync()), ["ada@sentinel.example"]);
    raw.parse(
        "",
        "INSERT INTO orders (id, item, blob) VALUES (1, 'customers', $1) RETURNING length(blob)",
        &[17],
    );
    raw.bind("", "", &[1], &[Some(&blob)], &[]);
    raw.execute("", 0);
    let answer = raw.sync();
    assert_eq!(firsts(&answer), [SIZE.to_string()], "{:?}", errors(&answer));
    assert_eq!(tags(&raw.query("COMMIT")), "CZI");
    // By a statement with a name, too, whose Parse is not answered yet.
    raw.parse("kept", "UPDATE orders SET blob = $1 WHERE id = 1", &[17]);
    raw.send(b'S', &[]);
    raw.bind("", "kept", &[1], &[Some(&blob)], &[]);
    raw.execute("", 0);
    assert_eq!(tags(&raw.until_ready()), "1ZI");
    let answer = raw.sync();
    assert_eq!(tags(&answer), "2CZI", "{:?}", errors(&answer));
    for item in ["item", "'customers'"] {
        raw.parse("", &format!("SELECT blob FROM orders WHERE item = {item}"), &[]);
        raw.bind("", "", &[], &[], &[1]);
        raw.execute("", 0);
        let answer = raw.sync();
        assert_eq!(tags(&answer), "12DCZI", "{:?}", errors(&answer));
        assert!(answer[2].values()[0].as_deref() == Some(&blob));
    }
    // 60 MB of rows that are looked into.
    raw.send(b'Q', &string("SELECT id, city FROM customers WHERE id > 0"));
    let answer = raw.until_ready();
    assert_eq!(answer.iter().filter(|frame| frame.tag == b'D').count(), 30_000, "{:?}", errors(&answer));
    let grown = memory_peak_kib(&gate).saturating_sub(before);
    assert!(grown < 16 << 10, "{grown} KiB more than before");
}

#[test]
fn encryption_is_asked_for_once_and_nothing_follows_unasked() {
    let server = shop::server(18);
    let tap = Tap::before(server.address());
    let gate = Setup::before(tap.address()).start();
    const SSL: u32 = 80_877_103;
    const GSS: u32 = 80_877_104;
    let packet = |code: u32| [8_u32.to_be_bytes(), code.to_be_bytes()].concat();
    let start = [("user", "postgres"), ("database", "postgres"), ("application_name", "sentinel-startup")];
    for order in [&[SSL][..], &[GSS], &[SSL, GSS], &[GSS, SSL]] {
        let mut raw = Raw::connect(gate.address());
        for code in order {
            raw.bytes(&packet(*code));
            assert_eq!(raw.read_byte(), b'N');
        }
        raw.startup(&[start[0], start[1]]);
        assert_eq!(raw.until_ready().last().map(|frame| frame.tag), Some(b'Z'));
    }
    let fatal = |raw: &mut Raw, what: &str| {
        let frames = raw.until_ready();
        assert_eq!((tags(&frames), states(&frames)), ("E".to_owned(), vec!["08P01".to_owned()]), "{what}");
        assert_eq!(frames[0].field(b'S').as_deref(), Some("FATAL"));
    };
    for (first, second) in [(SSL, SSL), (GSS, GSS)] {
        let mut raw = Raw::connect(gate.address());
        raw.bytes(&packet(first));
        raw.read_byte();
        raw.bytes(&packet(second));
        fatal(&mut raw, "asked twice");
    }
    for code in [SSL, GSS] {
        let mut raw = Raw::connect(gate.address());
        raw.cork();
        raw.bytes(&packet(code));
        raw.startup(&start);
        fatal(&mut raw, "bytes stuffed behind a request");
    }
    // Lengths that cannot be, versions that are not spoken.
    for (bytes, state) in [
        ([&9_u32.to_be_bytes()[..], &196_608_u32.to_be_bytes(), b"x"].concat(), "08P01"),
        ([&9_u32.to_be_bytes()[..], &(2_u32 << 16).to_be_bytes(), b"\0"].concat(), "0A000"),
        ([&9_u32.to_be_bytes()[..], &(4_u32 << 16).to_be_bytes(), b"\0"].concat(), "0A000"),
    ] {
        let mut raw = Raw::connect(gate.address());
        raw.bytes(&bytes);
        let frames = raw.until_ready();
        assert_eq!((tags(&frames), states(&frames)), ("E".to_owned(), vec![state.to_owned()]), "{bytes:?}");
    }
    assert!(!holds(&tap.to_server(), b"sentinel-startup"));
}

#[test]
fn what_does_not_begin_a_session_is_answered_by_a_close_and_no_word_as_directly() {
    for major in VERSIONS {
        let server = pg(major);
        let gate = Setup::before(server.address()).start();
        for bytes in [
            // A length that cannot be.
            10_005_u32.to_be_bytes().to_vec(),
            u32::MAX.to_be_bytes().to_vec(),
            3_u32.to_be_bytes().to_vec(),
            // Terminate, as node-postgres sends it that changed its mind; another protocol.
            b"X\0\0\0\x04".to_vec(),
            b"GET / HTTP/1.1\r\nHost: here\r\n\r\n".to_vec(),
            b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
        ] {
            for address in [server.address(), gate.address()] {
                let mut raw = Raw::connect(address);
                raw.bytes(&bytes);
                assert_eq!(raw.until_ready(), [], "{address} on {major}: {bytes:?}");
            }
        }
    }
}

#[test]
fn versions_are_negotiated_as_the_server_does() {
    let server = shop::server(18);
    let gate = Setup::before(server.address()).start();
    for (minor, options) in [
        (0_u32, &[][..]),
        (2, &[]),
        (9999, &[]),
        (0, &["_pq_.one", "_pq_.two"]),
        (9999, &["_pq_.test_protocol_negotiation"]),
    ] {
        let [direct, ours] = [server.address(), gate.address()].map(|address| {
            let mut body = ((3 << 16) | minor).to_be_bytes().to_vec();
            for (name, value) in [("user", "postgres"), ("database", "postgres")]
                .into_iter()
                .chain(options.iter().map(|name| (*name, "1")))
            {
                body.extend([string(name), string(value)].concat());
            }
            body.push(0);
            let mut raw = Raw::connect(address);
            raw.untagged(&body);
            let mut frames = raw.until_ready();
            assert_eq!(tags(&raw.query("SELECT 1")), "TDCZI");
            frames.truncate(2);
            frames
        });
        assert_eq!(tags(&direct), tags(&ours), "3.{minor} {options:?}");
        assert_eq!(direct[0], ours[0], "3.{minor} {options:?}");
    }
}

#[test]
fn a_client_that_has_nothing_more_to_say_gets_its_answers() {
    let server = shop::server(18);
    let gate = classified(Setup::before(server.address())).start();
    login(gate.address()).query("INSERT INTO customers (id, email) VALUES (1, 'ada@sentinel.example')");
    for sql in [
        "SELECT pg_sleep(0.05), 1",
        "SELECT email FROM customers",
        "UPDATE customers SET phone = 'x' WHERE id = 1",
    ] {
        let answers = [server.address(), gate.address()].map(|address| {
            let mut raw = login(address);
            raw.send(b'Q', &string(sql));
            raw.send(b'Q', b"SELECT 2\0");
            raw.finish();
            let answer = [raw.until_ready(), raw.until_ready()].concat();
            assert!(raw.is_closed(), "{sql}");
            tags(&answer)
        });
        assert_eq!(answers[0], answers[1], "{sql}");
    }
    crate::harness::await_that("the sessions to end at the server", || {
        let rows =
            server.query("postgres", "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%SELECT 2%'");
        rows.unwrap()[0][0].as_deref() == Some("1")
    });
}
