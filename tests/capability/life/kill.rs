//! The program killed as a power failure would: nothing stays behind, and it starts again.

use std::io::Read as _;
use std::process::Command;

use super::backends;
use crate::harness::{Raw, Setup, await_that, string};
use crate::shop::{classified, firsts, holds, records, server, tags};

#[test]
fn a_killed_gate_leaves_nothing_behind() {
    let server = server(15);
    let mut gate = classified(Setup::before(server.address())).start();
    let open = |address| Raw::login(address, "postgres", "postgres");
    let (mut within, mut copying, mut writing) =
        (open(gate.address()), open(gate.address()), open(gate.address()));
    within.query("BEGIN; INSERT INTO orders VALUES (1, 'lost', '')");
    copying.send(b'Q', &string("COPY orders (id) FROM STDIN"));
    assert_eq!(copying.read().unwrap().tag, b'G');
    copying.send(b'd', b"2\n");
    writing.send(b'Q', &string("INSERT INTO customers (id, phone) VALUES (1, 'maybe')"));
    gate.kill();
    assert!(within.is_closed() && copying.is_closed());
    while writing.read().is_some() {}
    await_that("the end of every backend", || backends(&server, "true") == 0);
    assert!(server.query("postgres", "SELECT 1 FROM orders").unwrap().is_empty());
    assert!(server.query("postgres", "SELECT 1 FROM customers WHERE phone = 'maybe'").unwrap().is_empty());
    gate.run_again().unwrap();
    let mut after = open(gate.address());
    assert_eq!(tags(&after.query("INSERT INTO customers (id, phone) VALUES (2, 'after')")), "CZI");
    assert_eq!(firsts(&after.query("SELECT phone FROM customers WHERE id = 2")), ["after"]);
    assert_eq!(gate.metric("sealgate_sessions"), Some(1.0));
}

#[test]
fn a_server_that_crashes_in_the_middle_ends_its_sessions_and_their_records() {
    let server = server(15);
    server
        .execute(
            "postgres",
            "INSERT INTO orders SELECT n, repeat('x', 1000) FROM generate_series(1, 60000) n",
        )
        .unwrap();
    let gate = classified(Setup::before(server.address())).start();
    let open = || Raw::login(gate.address(), "postgres", "postgres");
    let (mut inserting, mut copying_in, mut copying_out, mut reading) = (open(), open(), open(), open());
    reading.query("INSERT INTO customers (id, phone) VALUES (1, 'kept')");
    let pid = firsts(&inserting.query("SELECT pg_backend_pid()")).concat();
    // It waits for another's row, in the middle of a classified write.
    let mut blocker = Raw::login(server.address(), "postgres", "postgres");
    blocker.query("BEGIN; INSERT INTO customers (id) VALUES (1999)");
    let rows: Vec<_> = (2..2_000).map(|id| format!("({id}, 'lost')")).collect();
    inserting.send(b'Q', &string(&format!("INSERT INTO customers (id, phone) VALUES {}", rows.join(", "))));
    copying_in.send(b'Q', &string("COPY orders (id) FROM STDIN"));
    assert_eq!(copying_in.read().unwrap().tag, b'G');
    copying_in.send(b'd', b"100001\n");
    copying_out.send(b'Q', &string("COPY orders TO STDOUT"));
    assert_eq!(copying_out.read().unwrap().tag, b'H');
    reading.send(b'Q', &string("SELECT phone, pg_sleep(600) FROM customers WHERE id = 1"));
    await_that("all of it", || {
        backends(
            &server,
            "state = 'active' AND wait_event IN ('transactionid', 'ClientRead', 'ClientWrite', 'PgSleep')",
        ) == 4
    });
    assert!(Command::new("kill").args(["-s", "KILL", &pid]).status().unwrap().success());
    for (what, raw) in
        [("a large INSERT", &mut inserting), ("COPY IN", &mut copying_in), ("a read", &mut reading)]
    {
        let seen = raw.until_ready();
        assert!(!tags(&seen).contains('Z') && raw.is_closed(), "{what}");
        let told = seen.iter().filter(|frame| frame.tag == b'E').map(|frame| frame.field(b'C').unwrap());
        assert!(told.into_iter().all(|state| state == "57P02"), "{what}: the server's own words or none");
    }
    // Its last row may be a part of one, and nothing of ours stands behind that.
    let mut rest = Vec::new();
    let _ = copying_out.socket().read_to_end(&mut rest);
    assert!(!holds(&rest, b"sealgate") && !holds(&rest, b"COPY 60000"));
    await_that("sessions that are counted out", || gate.metric("sealgate_sessions") == Some(0.0));
    await_that("an outcome of every intent", || {
        let all = records(&gate);
        let count = |kind: &str| all.iter().filter(|record| record["kind"] == kind).count();
        count("intent") == 3 && count("intent") == count("outcome")
    });
    await_that("a session that is served again", || {
        let mut raw = Raw::connect(gate.address());
        raw.startup(&[("user", "postgres"), ("database", "postgres")]);
        tags(&raw.until_ready()).contains('Z')
            && firsts(&raw.query("SELECT phone FROM customers")) == ["kept"]
    });
    assert!(!gate.log().contains("panic"), "{}", gate.log());
}

#[test]
fn the_servers_last_words_reach_a_client_that_speaks_at_the_same_moment() {
    let server = server(15);
    // Nothing is classified, so that a long message passes as it comes.
    let gate = Setup::before(server.address()).start();
    for round in 0..10 {
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        let pid = firsts(&raw.query("SELECT pg_backend_pid()")).concat();
        // While the gate stands still the server ends the session and the client asks for more: it
        // learns of both at once, and what it sends on finds nobody.
        gate.signal("STOP");
        server.query("postgres", &format!("SELECT pg_terminate_backend({pid}, 5000)::text")).unwrap();
        // More than is read at a time: the first part goes on, the second one is refused.
        raw.send(b'Q', &string(&format!("SELECT length('{}')", "x".repeat(300_000))));
        gate.signal("CONT");
        let seen = raw.until_ready();
        assert_eq!(tags(&seen), "E", "round {round}");
        assert_eq!(seen[0].field(b'C').as_deref(), Some("57P01"), "round {round}");
        assert!(raw.is_closed());
    }
}
