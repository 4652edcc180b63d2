//! The program killed as a power failure would: nothing stays behind, and it starts again.

use super::backends;
use crate::harness::{Raw, Setup, await_that, string};
use crate::shop::{classified, firsts, server, tags};

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
