//! A refusal is answered by the server (P3, P4): each script runs through Sealgate with a
//! statement that Sealgate refuses, and directly with one that PostgreSQL itself cannot
//! parse, and the sequences of messages and transaction states must be the same.

use std::net::SocketAddr;

use crate::harness::{Raw, Setup, Tap, VERSIONS};
use crate::shop::{self, classified, errors, firsts, holds, records_with, states, tags};

/// Sealgate refuses it; sealed text has no case.
const REFUSED: &str = "SELECT lower(email) FROM customers WHERE id = 1234509876";
/// PostgreSQL refuses it.
const SYNTAX_ERROR: &str = "SELEC lower(item) FROM orders";

/// What a client sees: message types, states, and which errors, ours and the syntax error
/// being the same.
#[derive(Default)]
struct Seen(Vec<String>);

impl Seen {
    fn note(&mut self, frames: &[crate::harness::Frame]) {
        let states: Vec<_> = states(frames)
            .into_iter()
            .map(|state| if state == "SG001" || state == "42601" { "refused".to_owned() } else { state })
            .collect();
        self.0.push(format!("{} {}", tags(frames), states.join(",")).trim_end().to_owned());
    }
}

struct Script {
    name: &'static str,
    run: fn(&mut Raw, &str, &mut Seen),
}

fn ask(raw: &mut Raw, seen: &mut Seen, sql: &str) {
    let answer = raw.query(sql);
    seen.note(&answer);
}

/// Parse, Bind, Execute of an unnamed statement.
fn step(raw: &mut Raw, sql: &str) {
    raw.parse("", sql, &[]);
    raw.bind("", "", &[], &[], &[]);
    raw.execute("", 0);
}

fn settle(raw: &mut Raw, seen: &mut Seen) {
    let answer = raw.sync();
    seen.note(&answer);
}

/// How many orders there are: what a refused text must not have changed.
fn count(raw: &mut Raw, seen: &mut Seen) {
    let answer = raw.query("SELECT count(*) FROM orders");
    seen.note(&answer);
    seen.0.push(format!("{:?}", firsts(&answer)));
}

const SIMPLE: &[Script] = &[
    Script {
        name: "on its own",
        run: |raw, bad, seen| {
            ask(raw, seen, bad);
            ask(raw, seen, "SELECT 1");
            ask(raw, seen, bad);
        },
    },
    Script {
        name: "in a transaction",
        run: |raw, bad, seen| {
            for sql in
                ["BEGIN", "INSERT INTO orders VALUES (1)", bad, "SELECT 1", bad, "ROLLBACK", "SELECT 1"]
            {
                ask(raw, seen, sql);
            }
            count(raw, seen);
        },
    },
    Script {
        name: "in a failed transaction that is committed",
        run: |raw, bad, seen| {
            for sql in ["BEGIN", "SELECT 1/0", bad, "COMMIT", "SELECT 1"] {
                ask(raw, seen, sql);
            }
        },
    },
    Script {
        name: "after a savepoint",
        run: |raw, bad, seen| {
            let last = "INSERT INTO orders VALUES (2)";
            for sql in [
                "BEGIN",
                "SAVEPOINT a",
                "INSERT INTO orders VALUES (1)",
                bad,
                "ROLLBACK TO a",
                last,
                "COMMIT",
            ] {
                ask(raw, seen, sql);
            }
            count(raw, seen);
        },
    },
    Script {
        name: "among several statements",
        run: |raw, bad, seen| {
            ask(raw, seen, &format!("INSERT INTO orders VALUES (1); {bad}; INSERT INTO orders VALUES (2)"));
            ask(raw, seen, &format!("BEGIN; INSERT INTO orders VALUES (3); {bad}"));
            ask(raw, seen, &format!("{bad}; BEGIN"));
            count(raw, seen);
            ask(raw, seen, "BEGIN");
            ask(raw, seen, &format!("INSERT INTO orders VALUES (4); COMMIT; {bad}"));
            ask(raw, seen, "COMMIT");
            count(raw, seen);
        },
    },
];

const EXTENDED: &[Script] = &[
    Script {
        name: "in the middle of a pipeline",
        run: |raw, bad, seen| {
            for part in ["INSERT INTO orders VALUES (1)", bad, "INSERT INTO orders VALUES (2)"] {
                step(raw, part);
            }
            settle(raw, seen);
            count(raw, seen);
            step(raw, "SELECT 1");
            settle(raw, seen);
        },
    },
    Script {
        name: "in the middle of a long pipeline of batches",
        run: |raw, bad, seen| {
            for number in 0..40 {
                step(raw, &format!("INSERT INTO orders VALUES ({number})"));
                step(raw, if number % 7 == 3 { bad } else { "SELECT 1" });
                step(raw, "SELECT 2 WHERE false");
                raw.send(b'S', &[]);
            }
            for _ in 0..40 {
                let answer = raw.until_ready();
                seen.note(&answer);
            }
            count(raw, seen);
        },
    },
    Script {
        name: "in a pipeline within a transaction",
        run: |raw, bad, seen| {
            ask(raw, seen, "BEGIN");
            for part in ["INSERT INTO orders VALUES (1)", bad, "COMMIT"] {
                step(raw, part);
            }
            settle(raw, seen);
            step(raw, "SELECT 1");
            settle(raw, seen);
            step(raw, bad);
            settle(raw, seen);
            step(raw, "ROLLBACK");
            settle(raw, seen);
            count(raw, seen);
        },
    },
    Script {
        name: "with Flush, and more to skip before the Sync",
        run: |raw, bad, seen| {
            raw.parse("", bad, &[]);
            raw.flush();
            let error = raw.read().unwrap();
            seen.note(&[error]);
            step(raw, "SELECT 1");
            raw.close(b'S', "nothing");
            raw.describe(b'S', "");
            raw.send(b'Q', b"SELECT 2\0");
            raw.flush();
            settle(raw, seen);
            step(raw, "SELECT 3");
            settle(raw, seen);
        },
    },
    Script {
        name: "on a named statement that exists",
        run: |raw, bad, seen| {
            raw.parse("s", "SELECT 'first'", &[]);
            settle(raw, seen);
            raw.parse("s", bad, &[]);
            settle(raw, seen);
            raw.bind("", "s", &[], &[], &[]);
            raw.execute("", 0);
            settle(raw, seen);
            raw.describe(b'S', "s");
            raw.close(b'S', "s");
            raw.bind("", "s", &[], &[], &[]);
            settle(raw, seen);
        },
    },
    Script {
        name: "on the unnamed statement",
        run: |raw, bad, seen| {
            raw.parse("", "SELECT 'first'", &[]);
            settle(raw, seen);
            raw.parse("", bad, &[]);
            settle(raw, seen);
            raw.bind("", "", &[], &[], &[]);
            raw.execute("", 0);
            settle(raw, seen);
        },
    },
    Script {
        name: "on a name that is new, and used in the same batch",
        run: |raw, bad, seen| {
            raw.parse("new", bad, &[]);
            raw.describe(b'S', "new");
            raw.bind("portal", "new", &[], &[], &[]);
            raw.describe(b'P', "portal");
            raw.execute("portal", 0);
            settle(raw, seen);
            raw.bind("portal", "new", &[], &[], &[]);
            settle(raw, seen);
            raw.parse("new", "SELECT 1", &[]);
            raw.bind("portal", "new", &[], &[], &[]);
            raw.execute("portal", 0);
            settle(raw, seen);
        },
    },
    Script {
        name: "between a Query and a batch without waiting",
        run: |raw, bad, seen| {
            raw.send(b'Q', b"SELECT 1\0");
            raw.send(b'Q', &crate::harness::string(bad));
            step(raw, "SELECT 2");
            raw.send(b'S', &[]);
            raw.send(b'Q', &crate::harness::string(bad));
            raw.send(b'Q', b"SELECT 3\0");
            for _ in 0..5 {
                let answer = raw.until_ready();
                seen.note(&answer);
            }
        },
    },
    Script {
        name: "as a Query within an open batch",
        run: |raw, bad, seen| {
            step(raw, "INSERT INTO orders VALUES (1)");
            raw.send(b'Q', &crate::harness::string(bad));
            let answer = raw.until_ready();
            seen.note(&answer);
            step(raw, "SELECT 1");
            settle(raw, seen);
            count(raw, seen);
        },
    },
    Script {
        name: "as a Query within COPY data",
        run: |raw, bad, seen| {
            raw.send(b'Q', b"COPY orders (id) FROM STDIN\0");
            let begun = raw.read().unwrap();
            seen.note(&[begun]);
            raw.send(b'd', b"1\n");
            raw.send(b'Q', &crate::harness::string(bad));
            let answer = raw.until_ready();
            seen.note(&answer);
        },
    },
    Script {
        name: "after COPY",
        run: |raw, bad, seen| {
            raw.send(b'Q', b"COPY orders (id) FROM STDIN\0");
            let begun = raw.read().unwrap();
            seen.note(&[begun]);
            raw.send(b'd', b"1\n");
            raw.send(b'c', &[]);
            raw.send(b'Q', &crate::harness::string(bad));
            for _ in 0..2 {
                let answer = raw.until_ready();
                seen.note(&answer);
            }
            count(raw, seen);
        },
    },
];

fn run(
    script: &Script,
    address: SocketAddr,
    parameters: &[(&str, &str)],
    corked: bool,
    bad: &str,
) -> Vec<String> {
    let mut raw = Raw::login_with(address, parameters);
    let mut seen = Seen::default();
    raw.query("DELETE FROM orders");
    if corked {
        raw.cork();
    }
    (script.run)(&mut raw, bad, &mut seen);
    seen.0
}

#[test]
fn a_refusal_looks_like_an_error_of_the_server() {
    let plain: &[(&str, &str)] = &[("user", "postgres"), ("database", "postgres")];
    let replication = &[plain[0], plain[1], ("replication", "database")][..];
    let mut wrong = Vec::new();
    for major in VERSIONS {
        let server = shop::server(major);
        let (gate, tap) = shop::open(&server);
        let all = SIMPLE.iter().chain(EXTENDED).map(|script| (script, plain));
        for (script, parameters) in all.chain(SIMPLE.iter().map(|script| (script, replication))) {
            for corked in [false, true] {
                let direct = run(script, server.address(), parameters, corked, SYNTAX_ERROR);
                let ours = run(script, gate.address(), parameters, corked, REFUSED);
                if ours != direct {
                    let name = script.name;
                    let session = if parameters.len() > 2 { ", replication=database" } else { "" };
                    wrong.push(format!("{name} ({major}{session}, in one piece: {corked})\n direct {direct:?}\n ours   {ours:?}"));
                }
            }
        }
        assert!(!holds(&tap.to_server(), b"1234509876"), "nothing of a refused text goes upstream");
        let refusals = records_with(&gate, "refusal", 2 * (SIMPLE.len() + EXTENDED.len()));
        assert!(
            refusals
                .iter()
                .filter(|record| record["kind"] == "refusal")
                .all(|record| record["sqlstate"] == "SG001")
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_refusal_says_whose_it_is_and_what_to_do() {
    let server = shop::server(15);
    let (gate, _tap) = shop::open(&server);
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    for answer in [raw.query(REFUSED), {
        raw.parse("", REFUSED, &[]);
        raw.sync()
    }] {
        let error = answer.iter().find(|frame| frame.tag == b'E').unwrap();
        assert_eq!(
            (error.field(b'C').as_deref(), error.field(b'S').as_deref()),
            (Some("SG001"), Some("ERROR"))
        );
        assert!(error.field(b'M').unwrap().starts_with("sealgate:"));
        assert!(!error.field(b'D').unwrap().is_empty() && !error.field(b'H').unwrap().is_empty());
        assert!(error.field(b'P').is_none(), "no position in a text that the client did not send");
        assert!(!holds(&error.body, b"sealgate refused"), "nor anything of what was sent in its place");
    }
}

#[test]
fn a_value_that_does_not_fit_is_refused_at_bind() {
    let server = shop::server(15);
    let (gate, tap) = shop::open(&server);
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    raw.parse("s", "SELECT id FROM customers WHERE email = $1", &[]);
    raw.parse("w", "INSERT INTO customers (id, email) VALUES (1, $1)", &[]);
    assert_eq!(tags(&raw.sync()), "11ZI");
    for statement in ["s", "w"] {
        raw.query("BEGIN");
        raw.bind("", statement, &[], &[Some(b"not \xff text")], &[]);
        raw.execute("", 0);
        raw.bind("", "s", &[], &[Some(b"skipped")], &[]);
        raw.execute("", 0);
        let answer = raw.sync();
        assert_eq!((tags(&answer), states(&answer)), ("EZE".to_owned(), vec!["SG004".to_owned()]));
        assert!(errors(&answer)[0].1.starts_with("sealgate:"));
        assert_eq!(states(&raw.query("SELECT 1")), ["25P02"]);
        assert_eq!(tags(&raw.query("ROLLBACK")), "CZI");
    }
    // What was prepared goes on.
    raw.bind("", "w", &[], &[Some(b"bob@sentinel.example")], &[]);
    raw.execute("", 0);
    assert_eq!(tags(&raw.sync()), "2CZI");
    raw.bind("", "s", &[], &[Some(b"bob@sentinel.example")], &[]);
    raw.execute("", 0);
    assert_eq!(firsts(&raw.sync()), ["1"]);
    assert!(!holds(&tap.to_server(), b"not \xff text") && !holds(&tap.to_server(), b"bob@sentinel.example"));
}

#[test]
fn a_value_that_does_not_open_ends_the_session() {
    let server = shop::server(18);
    let tap = Tap::before(server.address());
    let gate = classified(Setup::before(tap.address())).start();
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    raw.query("INSERT INTO customers (id, email, phone) VALUES (1, 'eve@sentinel.example', 'phone 1')");
    // A value of one domain in a column of another, and one that was never sealed.
    server.execute("postgres", "INSERT INTO customers (id, phone) SELECT 2, email FROM customers").unwrap();
    server.execute("postgres", "INSERT INTO customers (id, phone) VALUES (3, 'past the gate')").unwrap();
    for id in [2, 3] {
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        let answer = raw.query(&format!("SELECT phone FROM customers WHERE id = {id}"));
        assert_eq!((tags(&answer), states(&answer)), ("TE".to_owned(), vec!["SG005".to_owned()]), "{id}");
        assert_eq!(answer[1].field(b'S').as_deref(), Some("FATAL"));
    }
    assert_eq!(firsts(&raw.query("SELECT phone FROM customers WHERE id = 1")), ["phone 1"]);
    let alerts = records_with(&gate, "alert", 2);
    assert!(alerts.iter().any(|record| record["kind"] == "alert" && record["verdict"] == "cut"));
}

#[test]
fn a_classified_column_cannot_be_had_by_another_name() {
    const CITY: &str = "Sentinel-upon-Thames";
    let server = shop::server(18);
    let (gate, _tap) = shop::open(&server);
    server.execute("postgres", &format!("INSERT INTO customers (id, city) VALUES (1, '{CITY}')")).unwrap();
    let unnamed = |raw: &mut Raw, sql: &str| {
        step(raw, sql);
        raw.sync()
    };
    type Way = (&'static str, &'static [&'static str], &'static str);
    // Statements before, each in its own message, and the one that would show the value.
    let ways: &[Way] = &[
        ("a renamed table", &["BEGIN", "ALTER TABLE customers RENAME TO people"], "SELECT city FROM people"),
        (
            "a renamed column",
            &["BEGIN", "ALTER TABLE customers RENAME COLUMN city TO town"],
            "SELECT town FROM customers",
        ),
        ("a new view", &["BEGIN", "CREATE VIEW v AS SELECT city FROM customers"], "SELECT city FROM v"),
        (
            "a new view by WITH",
            &["BEGIN", "CREATE VIEW v AS WITH c AS (TABLE customers) SELECT city AS x FROM c"],
            "SELECT * FROM v",
        ),
        ("a copy", &["BEGIN", "CREATE TEMP TABLE t AS SELECT city FROM customers"], "SELECT city FROM t"),
        ("a copy by SELECT INTO", &["BEGIN", "SELECT city INTO TEMP t FROM customers"], "SELECT city FROM t"),
        (
            "another schema",
            &["BEGIN", "CREATE SCHEMA s", "ALTER TABLE customers SET SCHEMA s"],
            "SELECT city FROM s.customers",
        ),
        ("a renamed schema", &["BEGIN", "ALTER SCHEMA public RENAME TO p"], "SELECT city FROM p.customers"),
        (
            "a child",
            &[
                "BEGIN",
                "CREATE TABLE child () INHERITS (customers)",
                "INSERT INTO child (id, city) VALUES (2, 'x')",
            ],
            "SELECT city FROM child",
        ),
        (
            "a function",
            &["BEGIN", "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT city FROM cust' || 'omers'"],
            "SELECT f()",
        ),
        ("a cursor", &["BEGIN", "DECLARE c CURSOR FOR SELECT city FROM customers"], "FETCH ALL FROM c"),
        ("a prepared statement", &["PREPARE q AS SELECT city FROM customers"], "EXECUTE q"),
        (
            "a rule",
            &["BEGIN", "CREATE RULE r AS ON INSERT TO orders DO ALSO SELECT city FROM customers"],
            "INSERT INTO orders VALUES (1)",
        ),
        ("a new type's row", &["BEGIN"], "SELECT c FROM customers c"),
        ("JSON", &["BEGIN"], "SELECT to_jsonb(c) FROM customers c"),
        ("XML", &["BEGIN"], "SELECT query_to_xml('SELECT city FROM customers', true, true, '')"),
        ("a set operation", &["BEGIN"], "SELECT city FROM customers UNION ALL SELECT 'x'"),
        ("COPY", &["BEGIN"], "COPY customers (city) TO STDOUT"),
        ("COPY of a query", &["BEGIN"], "COPY (SELECT city FROM customers) TO STDOUT"),
        ("TABLE", &["BEGIN"], "TABLE customers"),
        ("an error's text", &["BEGIN"], "SELECT city::int FROM customers"),
        ("a notice", &["BEGIN"], "DO $$ BEGIN RAISE NOTICE '%', (SELECT city FROM customers); END $$"),
    ];
    let mut wrong = Vec::new();
    for (name, before, sql) in ways {
        for extended in [false, true] {
            let mut raw = Raw::login(gate.address(), "postgres", "postgres");
            let so_far = shop::records(&gate).len();
            let mut answers = Vec::new();
            for sql in *before {
                answers.extend(if extended { unnamed(&mut raw, sql) } else { raw.query(sql) });
                if answers.last().is_none_or(|frame| frame.tag != b'Z') {
                    break;
                }
            }
            if answers.last().is_none_or(|frame| frame.tag == b'Z') {
                answers.extend(if extended { unnamed(&mut raw, sql) } else { raw.query(sql) });
            }
            let shown = answers.iter().any(|frame| holds(&frame.body, CITY.as_bytes()));
            if answers.last().is_some_and(|frame| frame.tag == b'Z') {
                raw.query("ROLLBACK");
                raw.query("DEALLOCATE ALL");
            }
            let recorded = shop::records(&gate)[so_far..].iter().any(|record| {
                record["kind"] == "intent"
                    && record["fields"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .any(|field| field["field"] == "public.customers.city")
            });
            if shown && !recorded {
                wrong.push(format!(
                    "{name}, extended: {extended}: {} {:?}",
                    tags(&answers),
                    states(&answers)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "shown without a record:\n{}", wrong.join("\n"));
}

#[test]
fn a_portal_of_the_protocol_cannot_be_fetched_past_the_record() {
    let server = shop::server(18);
    let (gate, _tap) = shop::open(&server);
    server
        .execute(
            "postgres",
            "INSERT INTO customers (id, city) SELECT n, 'Sentinelville' FROM generate_series(1, 9) n",
        )
        .unwrap();
    for fetch in ["FETCH 3 FROM kept", "MOVE 1 FROM kept", "FETCH FORWARD 2 IN \"kept\""] {
        for extended in [false, true] {
            let mut raw = Raw::login(gate.address(), "postgres", "postgres");
            raw.query("BEGIN");
            raw.parse("", "SELECT city FROM customers", &[]);
            raw.bind("kept", "", &[], &[], &[]);
            raw.sync();
            let answer = if extended {
                step(&mut raw, fetch);
                raw.sync()
            } else {
                raw.query(fetch)
            };
            let intents = shop::records(&gate).iter().filter(|record| record["kind"] == "intent").count();
            let shown = answer.iter().any(|frame| holds(&frame.body, b"Sentinelville"));
            assert!(!shown || intents > 0, "{fetch}, extended: {extended}: {}", tags(&answer));
        }
    }
}
