//! SIGTERM: transactions may finish, nothing new begins, and nothing stays behind.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{backends, fatal, reload};
use crate::harness::{Raw, Setup, await_that, string};
use crate::shop::{classified, records_with, server, tags};

#[test]
fn a_transaction_finishes_and_the_rest_ends_at_once() {
    let server = server(15);
    let mut gate = classified(Setup::before(server.address())).start();
    let address = gate.address();
    let open = || Raw::login(address, "postgres", "postgres");
    let (mut idle, mut within, mut copying) = (open(), open(), open());
    let mut login = Raw::connect(address);
    within.query("BEGIN; INSERT INTO orders VALUES (1, 'kept', '')");
    within.query("INSERT INTO customers (id, phone) VALUES (1, 'kept')");
    copying.send(b'Q', &string("COPY orders (id) FROM STDIN"));
    assert_eq!(copying.read().unwrap().tag, b'G');
    gate.signal("TERM");
    assert_eq!(fatal(&mut idle).0, "57P01");
    assert_eq!(fatal(&mut login).0, "57P03");
    await_that("a closed door", || TcpStream::connect(address).is_err());
    gate.signal("HUP");
    copying.send(b'd', b"2\n");
    copying.send(b'c', b"");
    assert_eq!(tags(&copying.until_ready()), "CZI");
    assert_eq!(fatal(&mut copying).0, "57P01");
    assert_eq!(tags(&within.query("COMMIT")), "CZI");
    assert_eq!(fatal(&mut within).0, "57P01");
    assert_eq!(gate.wait(), Some(0));
    let ends = records_with(&gate, "session", 6);
    assert_eq!(ends.iter().filter(|record| record["action"] == "end").count(), 3);
    assert_eq!(server.query("postgres", "SELECT 1 FROM orders").unwrap().len(), 2);
    await_that("the end of every backend", || backends(&server, "true") == 0);
}

/// Sessions that do not end: one in a statement, one that reads nothing, one in a transaction.
fn stubborn(address: std::net::SocketAddr, server: &sealgate::store::postgres::Throwaway) -> [Raw; 3] {
    let open = || Raw::login(address, "postgres", "postgres");
    let (mut long, mut deaf, mut within) = (open(), open(), open());
    long.send(b'Q', &string("SELECT pg_sleep(600)"));
    deaf.send(b'Q', &string("SELECT repeat('x', 1000) FROM generate_series(1, 1000000)"));
    within.query("BEGIN; INSERT INTO orders VALUES (1, 'lost', '')");
    await_that("statements that run", || backends(server, "state = 'active'") == 2);
    [long, deaf, within]
}

#[test]
fn the_deadline_cuts_and_cancels() {
    let server = server(15);
    let mut gate = Setup::before(server.address()).extra("\n[timeouts]\ndrain = \"1s\"\n").start();
    let [mut long, deaf, mut within] = stubborn(gate.address(), &server);
    let began = Instant::now();
    gate.signal("TERM");
    assert_eq!(fatal(&mut long).0, "57P01");
    assert_eq!(fatal(&mut within).0, "57P01");
    assert!(began.elapsed() >= Duration::from_secs(1), "they had a second");
    assert_eq!(gate.wait(), Some(1));
    await_that("the end of every backend", || backends(&server, "true") == 0);
    assert!(server.query("postgres", "SELECT 1 FROM orders").unwrap().is_empty());
    drop(deaf);
}

#[test]
fn a_second_signal_does_not_wait() {
    let server = server(15);
    let mut gate = Setup::before(server.address()).start();
    let [mut long, deaf, mut within] = stubborn(gate.address(), &server);
    drop(deaf);
    let began = Instant::now();
    gate.signal("INT");
    await_that("a closed door", || TcpStream::connect(gate.address()).is_err());
    gate.signal("TERM");
    assert_eq!(fatal(&mut long).0, "57P01");
    assert_eq!(fatal(&mut within).0, "57P01");
    assert_eq!(gate.wait(), Some(1));
    assert!(began.elapsed() < Duration::from_secs(15), "the usual deadline is 30 s");
    await_that("the end of every backend", || backends(&server, "true") == 0);
}

#[test]
fn a_unix_socket_goes_with_the_program() {
    let server = server(15);
    let mut gate = Setup::before(server.address()).unix().start();
    let file = gate.socket();
    assert!(file.exists());
    reload(&gate, "applied");
    assert!(file.exists());
    gate.signal("INT");
    assert_eq!(gate.wait(), Some(0));
    assert!(!file.exists());
}
