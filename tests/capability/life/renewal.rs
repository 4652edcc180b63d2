//! What a reload changes for new sessions, and what open ones keep.

use std::net::IpAddr;

use super::{fatal, reload};
use crate::harness::{Raw, Session, Setup};
use crate::shop::{classified, errors, firsts, server, states};

const LIMIT: &str = "\n[[watch.limit]]\ncells = 5\nwindow = \"1h\"\naction = \"cut\"\n";
const MAP: &str = "\n[residency]\nallowed = [\"EEA\"]\n[[residency.place]]\ncidr = \"127.0.0.1/32\"\n\
    region = \"here\"\narea = \"EEA\"\n[[residency.place]]\ncidr = \"127.0.0.2/32\"\nregion = \"there\"\n";

/// The SQLSTATE that a walsender from 127.0.0.2 is told, if it is told one.
fn walsender(address: std::net::SocketAddr) -> Vec<String> {
    let mut raw = Raw::connect_from(IpAddr::from([127, 0, 0, 2]), address);
    raw.startup(&[("user", "postgres"), ("replication", "true")]);
    states(&raw.until_ready())
}

#[test]
fn a_limit_that_is_tightened_ends_sessions_that_are_open_by_what_they_have_shown() {
    let server = server(15);
    let rows = "INSERT INTO customers (id, city) SELECT n, 'city' FROM generate_series(1, 10) n";
    server.execute("postgres", rows).unwrap();
    let limit = LIMIT.replace("cells = 5", "cells = 50");
    let gate = classified(Setup::before(server.address())).extra(&limit).start();
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    let read = "SELECT city FROM customers";
    assert_eq!(firsts(&raw.query(read)).len(), 10);
    gate.configure(|text| text.replace("cells = 50", "cells = 13"));
    reload(&gate, "applied");
    let frames = raw.query(read);
    assert_eq!((firsts(&frames).len(), states(&frames)), (3, vec!["SG007".to_owned()]));
    assert!(raw.is_closed());
    // Taken away, it binds nobody.
    gate.configure(|text| text.replace(&limit.replace("cells = 50", "cells = 13"), ""));
    reload(&gate, "applied");
    assert_eq!(firsts(&Raw::login(gate.address(), "postgres", "postgres").query(read)).len(), 10);
}

#[test]
fn regions_and_timeouts_hold_for_new_sessions_limits_for_all_and_a_broken_file_keeps_them() {
    let server = server(15);
    let rows = "INSERT INTO customers (id, city) SELECT n, 'city' FROM generate_series(1, 10) n";
    server.execute("postgres", rows).unwrap();
    let gate = classified(Setup::before(server.address())).extra(LIMIT).start();
    let open = || Raw::login(gate.address(), "postgres", "postgres");
    let read = "SELECT city FROM customers";
    server.execute("postgres", "CREATE ROLE ada LOGIN PASSWORD 'ada-secret'").unwrap();
    let login = |password| Session::open(gate.address(), "ada", Some(password), "postgres");
    let (mut strict, mut kept, relayed) = (open(), open(), login("wrong").unwrap());
    assert_eq!(walsender(gate.address()), [""; 0]);

    gate.configure(|text| text.replace("cells = 5", "cells = 50") + MAP + "\n[timeouts]\nidle = \"1s\"\n");
    reload(&gate, "applied");
    assert_eq!(firsts(&open().query(read)).len(), 10);
    assert_eq!(
        firsts(&strict.query(read)).len(),
        10,
        "what may be shown is the user's, in open sessions too"
    );
    assert_eq!(walsender(gate.address()), ["SG003"]);
    assert_eq!(fatal(&mut open()).0, "57P05");
    assert_eq!(firsts(&kept.query("SELECT 'no timeout'")), ["no timeout"], "an open session keeps its own");

    let sound = std::fs::read_to_string(gate.folder().join("sealgate.toml")).unwrap();
    let line = sound.lines().count() + 1;
    gate.configure(|text| {
        text.replace("cells = 50", "cells = 5").replace("127.0.0.2/32", "127.0.0.9/32") + "idel = \"9s\"\n"
    });
    reload(&gate, "refused");
    assert!(gate.log().contains(&format!("sealgate.toml:{line}:")), "{}", gate.log());
    let mut after = open();
    let frames = after.query(read);
    assert_eq!(firsts(&frames).len(), 10, "{:?}", errors(&frames));
    assert_eq!(walsender(gate.address()), ["SG003"]);
    assert_eq!(fatal(&mut after).0, "57P05");

    // Who checks passwords: the server trusts everybody, Sealgate does not.
    let scram =
        sound.replace("auth = \"relay\"", "auth = \"scram\"").replace("idle = \"1s\"", "idle = \"1h\"");
    gate.configure(|_| scram);
    reload(&gate, "applied");
    assert!(login("wrong").is_err() && login("ada-secret").is_ok());
    assert!(relayed.text("SELECT 1").is_ok(), "an open session stays");
}
