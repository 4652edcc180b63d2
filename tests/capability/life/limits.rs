//! Limits of sessions, and timeouts: with PostgreSQL's own words, and nobody else suffers.

use std::time::{Duration, Instant};

use super::{backends, fatal};
use crate::harness::{Raw, Setup, await_that, string};
use crate::shop::{errors, firsts, server, states, tags};

fn refused(address: std::net::SocketAddr, user: &str) -> String {
    let mut raw = Raw::connect(address);
    raw.startup(&[("user", user), ("database", "postgres")]);
    errors(&raw.until_ready()).first().map(|(state, _)| state.clone()).unwrap_or_default()
}

#[test]
fn sessions_in_all_and_by_user_are_counted_out_however_they_end() {
    let server = server(15);
    server.execute("postgres", "CREATE ROLE anna LOGIN; CREATE ROLE bert LOGIN").unwrap();
    let limits = "\n[limits]\nsessions_max = 3\nsessions_per_user_max = 2\n";
    let mut gate = Setup::before(server.address()).extra(limits).start();
    let address = gate.address();
    let (one, mut two) = (Raw::login(address, "anna", "postgres"), Raw::login(address, "anna", "postgres"));
    assert_eq!(refused(address, "anna"), "53300");
    let bert = Raw::login(address, "bert", "postgres");
    assert_eq!(refused(address, "bert"), "53300");
    two.query("BEGIN");
    // Closed without a word, in a transaction, and by an error of the server.
    drop((one, two));
    await_that("slots that come back", || gate.metric("sealgate_sessions") == Some(1.0));
    let _again = (Raw::login(address, "anna", "postgres"), Raw::login(address, "anna", "postgres"));
    drop(bert);
    await_that("a slot that comes back", || gate.metric("sealgate_sessions") == Some(2.0));
    server
        .execute("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'anna'")
        .unwrap();
    await_that("slots that come back", || gate.metric("sealgate_sessions") == Some(0.0));
    let _anew = (Raw::login(address, "anna", "postgres"), Raw::login(address, "anna", "postgres"));
    drop(server);
    await_that("slots that come back", || gate.metric("sealgate_sessions") == Some(0.0));
    gate.signal("TERM");
    assert_eq!(gate.wait(), Some(0));
}

#[test]
fn who_does_not_log_in_is_bounded_in_number_and_time() {
    let server = server(15);
    let extra = "\n[limits]\nunproven_max = 2\n\n[timeouts]\nlogin = \"1s\"\n";
    let gate = Setup::before(server.address()).extra(extra).start();
    let began = Instant::now();
    let mut silent: Vec<Raw> = (0..3).map(|_| Raw::connect(gate.address())).collect();
    // Which of them comes last is for the threads to say.
    let told: Vec<_> = silent.iter_mut().filter_map(Raw::read).collect();
    assert_eq!(states(&told), ["53300"], "one is too many, two are left without a word");
    assert!((1..5).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    Raw::login(gate.address(), "postgres", "postgres");
}

#[test]
fn idle_sessions_end_and_busy_ones_do_not() {
    let server = server(15);
    let timeouts = "\n[timeouts]\nidle = \"1s\"\nidle_in_transaction = \"1s\"\n";
    let gate = Setup::before(server.address()).extra(timeouts).start();
    let open = || Raw::login(gate.address(), "postgres", "postgres");
    let (mut idle, mut within, mut failed, mut busy) = (open(), open(), open(), open());
    let mut copied = open();
    within.query("BEGIN; INSERT INTO orders VALUES (1, 'lost', '')");
    failed.query("BEGIN; SELECT 1/0");
    // After a COPY a session is idle like any other.
    copied.send(b'Q', &string("COPY orders (id) FROM STDIN"));
    copied.send(b'c', b"");
    copied.until_ready();
    busy.send(b'Q', &string("SELECT 'busy' FROM pg_sleep(2.5)"));
    let mut listening = open();
    listening.query("LISTEN news");
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1_800) {
        server.execute("postgres", "NOTIFY news, 'n'").unwrap();
        assert_eq!(listening.read().unwrap().tag, b'A');
        std::thread::sleep(Duration::from_millis(200));
    }
    let (state, message, _) = fatal(&mut idle);
    assert_eq!((&*state, &*message), ("57P05", "terminating connection due to idle-session timeout"));
    let (state, message, _) = fatal(&mut within);
    assert_eq!((&*state, &*message), ("25P03", "terminating connection due to idle-in-transaction timeout"));
    assert_eq!(fatal(&mut failed).0, "25P03");
    assert_eq!(fatal(&mut copied).0, "57P05");
    assert_eq!(firsts(&busy.until_ready()), ["busy"]);
    assert_eq!(tags(&listening.query("SELECT 1")), "TDCZI");
    await_that("the end of the transaction", || backends(&server, "state LIKE 'idle in%'") == 0);
    assert!(server.query("postgres", "SELECT 1 FROM orders").unwrap().is_empty());
}
