//! kill -9 in mid-statement, of each of the three: nothing wrong is left behind.

use std::process::{Child, Command, Stdio};

use sealgate::store::postgres::Throwaway;

use super::{Ways, activity, is_sound, login};
use crate::harness::{Gate, Raw, VERSIONS, await_that, string};
use crate::shop::{errors, firsts, records, states, tags};

/// psql in the middle of something, with what it waits for.
fn psql(server: &Throwaway, address: std::net::SocketAddr, script: &str) -> Child {
    use std::io::Write as _;
    let mut child = Command::new(server.binaries().program("psql"))
        .args(["-Xqh", "127.0.0.1", "-p", &address.port().to_string(), "-U", "postgres", "-d", "postgres"])
        .env("PGAPPNAME", "victim")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.as_mut().unwrap().write_all(script.as_bytes()).unwrap();
    child
}

/// What a client may be in the middle of, and how the server knows that it is.
const MIDDLES: [(&str, &str, &str); 4] = [
    ("a transaction", "BEGIN; INSERT INTO orders VALUES (1);\n", "state = 'idle in transaction'"),
    ("a COPY", "COPY orders (id) FROM STDIN;\n1\n2\n", "query LIKE 'COPY%' AND state = 'active'"),
    (
        "a fetch",
        "BEGIN; DECLARE c CURSOR FOR SELECT generate_series(1, 1000000);\nFETCH 10 FROM c;\n",
        "query LIKE 'FETCH%' AND state = 'idle in transaction'",
    ),
    (
        "a result",
        "SELECT repeat('x', 1000), pg_sleep(0.0005) FROM generate_series(1, 1000000);\n",
        "query LIKE 'SELECT repeat%' AND state = 'active'",
    ),
];

const VICTIM: &str = "application_name = 'victim'";

#[test]
fn a_killed_client_leaves_no_session() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        for (way, address) in ways.each() {
            for (what, script, sign) in MIDDLES {
                let mut child = psql(&ways.server, address, script);
                await_that(&format!("{what}, {way}"), || {
                    activity(&ways.server, &format!("{VICTIM} AND {sign}")) == 1
                });
                child.kill().unwrap();
                child.wait().unwrap();
                await_that(&format!("{what} to end, {way}"), || activity(&ways.server, VICTIM) == 0);
            }
        }
        assert_eq!(firsts(&login(ways.other.address()).query("SELECT count(*) FROM orders")), ["0"]);
        assert!(ways.is_sound());
    }
}

#[test]
fn a_killed_backend_ends_its_sessions_as_directly_and_new_ones_are_served() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        ways.same("a backend that is killed", |address| {
            let (mut victim, mut other) = (login(address), login(address));
            let pid = firsts(&victim.query("SELECT pg_backend_pid()"))[0].clone();
            victim.query("BEGIN; INSERT INTO orders VALUES (1)");
            victim.send(b'Q', &string("SELECT pg_sleep(60)"));
            await_that("the statement to run", || {
                activity(&ways.server, &format!("pid = {pid} AND wait_event = 'PgSleep'")) == 1
            });
            assert!(Command::new("kill").args(["-s", "KILL", &pid]).status().unwrap().success());
            let (last, others) = (victim.until_ready(), other.until_ready());
            assert!(victim.is_closed() && other.is_closed());
            await_that("the server to be there again", || ways.server.query("postgres", "SELECT 1").is_ok());
            await_that("sessions to be served", || {
                let mut raw = Raw::connect(address);
                raw.startup(&[("user", "postgres"), ("database", "postgres")]);
                tags(&raw.until_ready()).contains('Z')
            });
            // The others are warned, if the server finds the time.
            (tags(&last), others.iter().all(|frame| frame.field(b'C').as_deref() == Some("57P02")))
        });
        assert_eq!(firsts(&login(ways.other.address()).query("SELECT count(*) FROM orders")), ["0"]);
        for gate in [&ways.nothing, &ways.other] {
            assert!(!gate.log().contains("panic"), "{}", gate.log());
        }
    }
}

#[test]
fn a_killed_server_ends_every_session_and_the_gate_says_so() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        let mut held: Vec<(Raw, i32)> = Vec::new();
        for (_, address) in &ways.each()[1..] {
            for busy in [false, true] {
                let mut raw = login(*address);
                let pid = firsts(&raw.query("SELECT pg_backend_pid()"))[0].parse().unwrap();
                if busy {
                    raw.send(b'Q', &string("SELECT pg_sleep(60)"));
                }
                held.push((raw, pid));
            }
        }
        await_that("the statements to run", || activity(&ways.server, "wait_event = 'PgSleep'") == 2);
        // The postmaster first; what it leaves may go by itself before its turn.
        let pids = [ways.server.pid().unwrap().to_string()]
            .into_iter()
            .chain(held.iter().map(|(_, pid)| pid.to_string()));
        let _ = Command::new("kill").args(["-s", "KILL"]).args(pids).stderr(Stdio::null()).status().unwrap();
        for (raw, _) in &mut held {
            assert!(!tags(&raw.until_ready()).contains('Z'));
            assert!(raw.is_closed());
        }
        for gate in [&ways.nothing, &ways.other] {
            let mut raw = Raw::connect(gate.address());
            raw.startup(&[("user", "postgres"), ("database", "postgres")]);
            let frames = raw.until_ready();
            assert_eq!(states(&frames), ["08006"], "{:?}", errors(&frames));
            assert!(gate.get("/health/live").unwrap().starts_with("HTTP/1.1 200"));
            assert!(!gate.log().contains("panic"), "{}", gate.log());
        }
    }
}

#[test]
fn a_killed_gate_leaves_no_session_and_serves_again() {
    for major in VERSIONS {
        let mut ways = Ways::new(major);
        login(ways.other.address())
            .query("INSERT INTO customers (id, email) VALUES (1, 'ada@sentinel.example')");
        let through = |gate: &Gate| gate.address();
        for (what, script, sign) in MIDDLES {
            for other in [false, true] {
                let gate = if other { &mut ways.other } else { &mut ways.nothing };
                let mut child = psql(&ways.server, through(gate), script);
                await_that(what, || activity(&ways.server, &format!("{VICTIM} AND {sign}")) == 1);
                gate.kill();
                await_that(&format!("{what} to end"), || activity(&ways.server, VICTIM) == 0);
                let _ = child.kill();
                child.wait().unwrap();
                gate.run_again().unwrap_or_else(|log| panic!("{log}"));
                assert!(is_sound(gate), "{}", gate.log());
            }
        }
        // In the middle of a classified result, too; the record goes on.
        let mut raw = login(ways.other.address());
        raw.query("INSERT INTO customers (id, email) SELECT 2, NULL");
        raw.send(b'Q', &string("SELECT email, pg_sleep(0.2) FROM customers"));
        assert_eq!(raw.read().map(|frame| frame.tag), Some(b'T'));
        ways.other.kill();
        let before = records(&ways.other).len();
        assert!(before > 0);
        ways.other.run_again().unwrap_or_else(|log| panic!("{log}"));
        assert_eq!(
            firsts(&login(ways.other.address()).query("SELECT email FROM customers WHERE id = 1")),
            ["ada@sentinel.example"]
        );
        await_that("the record to go on", || records(&ways.other).len() > before);
        let numbers: Vec<u64> =
            records(&ways.other).iter().map(|record| record["seq"].as_u64().unwrap()).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "numbers go on: {numbers:?}");
        assert_eq!(activity(&ways.server, "state LIKE 'idle in transaction%'"), 0);
    }
}
