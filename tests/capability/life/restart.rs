//! The whole server killed in mid-statement, as by a power failure, and started again: its
//! clients learn of it, what was not answered is there whole or not at all, and the gate serves
//! again by itself.

use super::backends;
use crate::harness::{Gate, Raw, Setup, VERSIONS, await_that, search_server, string};
use crate::shop::{classified, firsts, records, server, tags};

const LOST: &str = "lost@sentinel.example";

fn is_ready(gate: &Gate) -> bool {
    gate.get("/health/ready").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// What a client reads to the end of its stream: no answer that says all is well, and no word but
/// the server's own.
fn assert_cut(what: &str, raw: &mut Raw) {
    let seen = raw.until_ready();
    assert!(!tags(&seen).contains('Z') && raw.is_closed(), "{what}: {}", tags(&seen));
    for error in seen.iter().filter(|frame| frame.tag == b'E') {
        let state = error.field(b'C').unwrap();
        assert!(state.starts_with("57P"), "{what}: {state}");
    }
}

#[test]
fn a_server_that_is_killed_whole_and_comes_back_is_served_again() {
    for major in VERSIONS {
        let mut server = server(major);
        let gate = classified(Setup::before(server.address())).start();
        let open = || Raw::login(gate.address(), "postgres", "postgres");
        let (mut idle, mut within, mut copying, mut reading, mut writing) =
            (open(), open(), open(), open(), open());
        idle.query("INSERT INTO customers (id, email, phone) VALUES (1, 'kept@sentinel.example', 'kept')");
        within.query(&format!("BEGIN; INSERT INTO customers (id, email) VALUES (2, '{LOST}')"));
        copying.send(b'Q', &string("COPY orders (id) FROM STDIN"));
        assert_eq!(copying.read().unwrap().tag, b'G');
        copying.send(b'd', b"3\n");
        reading.send(b'Q', &string("SELECT email, pg_sleep(600) FROM customers WHERE id = 1"));
        await_that("statements under way", || {
            backends(&server, "state = 'active' AND wait_event IN ('ClientRead', 'PgSleep')") == 2
        });
        // Killed while it writes: whether it has committed by then, nobody is told.
        let rows: Vec<_> = (1_000..3_000).map(|id| format!("({id}, 'maybe@sentinel.example')")).collect();
        let insert = format!("INSERT INTO customers (id, email) VALUES {}", rows.join(", "));
        writing.send(b'Q', &string(&insert));
        server.crash().unwrap();

        for (what, raw) in
            [("a transaction", &mut within), ("a COPY", &mut copying), ("a read", &mut reading)]
        {
            assert_cut(what, raw);
        }
        assert_cut("a session at rest", &mut idle);
        let answered = tags(&writing.until_ready()).contains('Z');
        assert!(writing.is_closed());
        await_that("sessions that are counted out", || gate.metric("sealgate_sessions") == Some(0.0));
        await_that("a gate that is not ready", || !is_ready(&gate));
        let mut early = Raw::connect(gate.address());
        early.startup(&[("user", "postgres"), ("database", "postgres")]);
        let refused = early.until_ready();
        assert_eq!(tags(&refused), "E");
        assert_eq!(refused[0].field(b'C').as_deref(), Some("08006"), "PostgreSQL {major}");

        server.restart().unwrap();
        await_that("a gate that is ready", || is_ready(&gate));
        let mut after = open();
        let kept = after.query("SELECT email || '' FROM customers WHERE id = 1");
        assert_eq!(tags(&kept), "EZI", "what is sealed is judged as before");
        assert_eq!(
            firsts(&after.query("SELECT email FROM customers WHERE id = 1")),
            ["kept@sentinel.example"]
        );
        for gone in
            [&*format!("SELECT id FROM customers WHERE email = '{LOST}' OR id = 2"), "SELECT 1 FROM orders"]
        {
            assert_eq!(tags(&after.query(gone)), "TCZI", "what was not committed");
        }
        let maybe = firsts(&after.query("SELECT email FROM customers WHERE id >= 1000"));
        assert!(
            maybe.len() == 2_000 || (maybe.is_empty() && !answered),
            "all of it or nothing: {}",
            maybe.len()
        );
        assert!(maybe.iter().all(|email| email == "maybe@sentinel.example"));
        for value in ["kept@sentinel.example", LOST, "maybe@sentinel.example"] {
            assert_eq!(search_server(&server, value.as_bytes()), [], "PostgreSQL {major}");
        }
        await_that("an outcome of every intent", || {
            let all = records(&gate);
            let count = |kind: &str| all.iter().filter(|record| record["kind"] == kind).count();
            count("intent") >= 6 && count("intent") == count("outcome")
        });
        assert!(!gate.log().contains("panic"), "{}", gate.log());
    }
}
