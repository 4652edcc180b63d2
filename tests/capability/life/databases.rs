//! Databases that come and go under a name, while Sealgate reads their catalogs.

use std::time::{Duration, Instant};

use sealgate::store::postgres::Throwaway;

use crate::harness::{Frame, Gate, Raw, Setup, Tap, await_that};
use crate::shop::{classified, errors, firsts, holds, server, states, tags};

const TABLE: &str = "CREATE TABLE customers (id int PRIMARY KEY, email text, phone text, city text)";
const SECRET: &str = "s3ntinel-phone";

/// Databases `shop`, where `people` is a table like any other, and `next`, where it leads to
/// what is classified.
fn shops() -> (Throwaway, Tap, Gate) {
    let server = server(15);
    for (name, people) in [
        ("shop", "CREATE TABLE people (id int, phone text)"),
        ("next", "CREATE VIEW people AS SELECT id, phone || '' AS phone FROM customers"),
    ] {
        server.create_database(name).unwrap();
        server.execute(name, TABLE).unwrap();
        server.execute(name, people).unwrap();
    }
    let tap = Tap::before(server.address());
    let gate = classified(Setup::before(tap.address())).start();
    (server, tap, gate)
}

fn open(gate: &Gate, database: &str) -> Raw {
    Raw::login(gate.address(), "postgres", database)
}

fn succeeds(frames: &[Frame]) {
    assert!(errors(frames).is_empty() && tags(frames).ends_with("CZI"), "{:?}", errors(frames));
}

/// What was read of the database that had the name before is not taken for this one.
fn is_judged_as_it_is_now(tap: &Tap, gate: &Gate) {
    let mut raw = open(gate, "shop");
    let insert = format!("INSERT INTO people (id, phone) VALUES (1, '{SECRET}')");
    assert_eq!(states(&raw.query(&insert)), ["SG001"]);
    assert!(!holds(&tap.to_server(), SECRET.as_bytes()), "P1: it reached the server in plain");
}

#[test]
fn a_database_that_nobody_is_in_is_dropped_renamed_and_copied_without_force() {
    let (server, tap, gate) = shops();
    let mut admin = open(&gate, "postgres");
    let mut raw = open(&gate, "shop");
    succeeds(&raw.query("INSERT INTO people (id, phone) VALUES (1, 'not classified here')"));
    drop(raw);
    succeeds(&admin.query("CREATE DATABASE copied TEMPLATE shop"));
    drop(open(&gate, "shop"));
    succeeds(&admin.query("DROP DATABASE shop"));
    drop(open(&gate, "next"));
    succeeds(&admin.query("ALTER DATABASE next RENAME TO shop"));
    is_judged_as_it_is_now(&tap, &gate);
    // A database in which nobody is for long is looked at when somebody comes.
    let ours =
        "SELECT datname FROM pg_stat_activity WHERE application_name = 'sealgate' AND datname <> 'postgres'";
    await_that("our leave", || server.query("postgres", ours).unwrap().is_empty());
    let mut back = open(&gate, "copied");
    assert_eq!(firsts(&back.query("SELECT phone FROM people")), ["not classified here"]);
    assert_eq!(server.query("postgres", ours).unwrap().concat(), [Some("copied".to_owned())]);
}

#[test]
fn a_database_that_was_dropped_by_force_is_not_remembered() {
    let (_server, tap, gate) = shops();
    let mut admin = open(&gate, "postgres");
    let mut raw = open(&gate, "shop");
    succeeds(&raw.query("INSERT INTO people (id, phone) VALUES (1, 'not classified here')"));
    succeeds(&admin.query("DROP DATABASE shop WITH (FORCE)"));
    assert_eq!(states(&raw.until_ready()), ["57P01"]);
    succeeds(&admin.query("CREATE DATABASE shop TEMPLATE next"));
    is_judged_as_it_is_now(&tap, &gate);
}

/// Uses a database as a suite of tests does, and leaves it.
fn use_and_leave(gate: &Gate, database: &str, sessions: usize) {
    for _ in 0..sessions {
        let mut raw = open(gate, database);
        succeeds(&raw.query("INSERT INTO people (id, phone) VALUES (1, 'not classified here')"));
        raw.send(b'X', &[]);
    }
}

#[test]
fn a_database_that_its_last_session_has_left_is_free_at_once() {
    for of_database in ["", "database = \"elsewhere\""] {
        let server = server(15);
        server.create_database("origin").unwrap();
        server.execute("origin", TABLE).unwrap();
        server.execute("origin", "CREATE TABLE people (id int, phone text)").unwrap();
        let setup = Setup::before(server.address());
        let gate = setup.field_with("public.customers", "phone", "random", of_database).late().start();
        let mut ours = open(&gate, "postgres");
        let mut past = Raw::login(server.address(), "postgres", "postgres");
        // Many sessions one after the other: then ours stays for a while, but for what goes through here.
        for (sessions, through) in [(1, true), (1, false), (3, true), (3, false), (12, true)] {
            let admin = if through { &mut ours } else { &mut past };
            for (sql, after) in [
                ("CREATE DATABASE copied TEMPLATE used", "DROP DATABASE copied"),
                ("ALTER DATABASE used RENAME TO other", "ALTER DATABASE other RENAME TO used"),
                ("DROP DATABASE used", ""),
            ] {
                if server
                    .query("postgres", "SELECT 1 FROM pg_database WHERE datname = 'used'")
                    .unwrap()
                    .is_empty()
                {
                    succeeds(&admin.query("CREATE DATABASE used TEMPLATE origin"));
                }
                use_and_leave(&gate, "used", sessions);
                let began = Instant::now();
                succeeds(&admin.query(sql));
                let took = began.elapsed();
                // A copy takes its time, however free the database is.
                let free = sql.starts_with("CREATE") || took < Duration::from_millis(700);
                assert!(free, "{sql}: {took:?}, {sessions} sessions, through the gate: {through}");
                if !after.is_empty() {
                    succeeds(&admin.query(after));
                }
            }
        }
    }
}
