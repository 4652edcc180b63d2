//! The state of a session is the server's: settings, notifications, transactions in two phases.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use sealgate::store::postgres::Options;

use super::{Ways, all, everywhere, login, readies, step};
use crate::harness::{Frame, Raw, Setup, VERSIONS, frame, string};
use crate::shop::{errors, firsts, states, tags};

#[test]
fn settings_change_and_return_as_at_the_server() {
    let seen = everywhere("settings", |raw| {
        all([
            "SET DateStyle = 'German'; SET IntervalStyle = 'iso_8601'; SET TimeZone = 'Asia/Tokyo'",
            "SELECT '2026-02-01'::date, '1 day'::interval",
            "RESET ALL",
            "BEGIN; SET LOCAL TimeZone = 'UTC'; SET standard_conforming_strings = off",
            "SELECT current_setting('TimeZone'), 'a\\\\b'",
            "ROLLBACK",
            "SELECT 'a\\\\b'",
            "BEGIN; SET TimeZone = 'UTC'; SAVEPOINT a; SET TimeZone = 'Asia/Tokyo'; ROLLBACK TO a; COMMIT",
            "SELECT set_config('application_name', 'by function', false), set_config('DateStyle', 'SQL', true)",
            "SHOW DateStyle",
            "SET client_encoding = 'LATIN1'; SET client_encoding = 'UTF8'",
            "SET ROLE pg_monitor; SELECT current_user; RESET ROLE; SET SESSION AUTHORIZATION DEFAULT",
            "SET search_path = pg_catalog; SHOW search_path; DISCARD ALL",
            "SET DateStyle = 'Klingon'",
            "ALTER SYSTEM SET nothing = 1",
        ]
        .map(|sql| raw.query(sql)))
    });
    assert!(tags(&seen).matches('S').count() >= 10, "{}", tags(&seen));
}

#[test]
fn settings_change_within_batches_as_at_the_server() {
    everywhere("settings in batches", |raw| {
        for sql in [
            "SET TimeZone = 'Asia/Tokyo'",
            "SELECT set_config('DateStyle', 'German', false)",
            "SHOW TimeZone",
        ] {
            step(raw, sql);
        }
        raw.send(b'S', &[]);
        step(raw, "SET TimeZone = 'UTC'");
        step(raw, "SELECT 1/0");
        raw.send(b'S', &[]);
        step(raw, "SELECT current_setting('TimeZone'), '2026-02-01'::date");
        let seen = all([raw.sync(), readies(raw, 2)]);
        all([seen, raw.query("RESET ALL")])
    });
}

#[test]
fn notifications_come_at_once_to_the_idle_and_wait_for_the_end_of_a_transaction() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        for (way, address) in ways.each() {
            let (mut idle, mut busy, mut sender) = (login(address), login(address), login(address));
            for raw in [&mut idle, &mut busy] {
                raw.query("LISTEN bell");
            }
            busy.query("BEGIN");
            let pid: i32 = firsts(&sender.query("SELECT pg_backend_pid()"))[0].parse().unwrap();
            sender.query(
                "BEGIN; NOTIFY bell, 'one'; NOTIFY bell, 'two'; SELECT pg_notify('bell', repeat('x', 7000))",
            );
            assert_eq!(idle.within(Duration::from_millis(20)), b"", "{way}: not before it is committed");
            sender.query("COMMIT");
            let payloads = ["one".to_owned(), "two".to_owned(), "x".repeat(7_000)];
            let expected = payloads.map(|payload| Frame {
                tag: b'A',
                body: [&pid.to_be_bytes()[..], b"bell\0", payload.as_bytes(), b"\0"].concat(),
            });
            assert_eq!(super::frames(&mut idle, 3), expected, "{way}");
            assert_eq!(tags(&busy.query("SELECT 1")), "TDCZT", "{way}");
            let seen = busy.query("COMMIT");
            assert_eq!(tags(&seen), "CAAAZI", "{way}");
            assert_eq!(seen[1..4], expected);
            // One's own, in a batch.
            step(&mut idle, "NOTIFY bell, 'own'");
            assert!(tags(&idle.sync()).contains("A"), "{way}");
        }
    }
}

/// A server of our own making, since PostgreSQL rarely says anything to the idle.
fn plays(script: impl FnOnce(&mut TcpStream) + Send + 'static) -> (SocketAddr, std::thread::JoinHandle<()>) {
    use std::io::{Read as _, Write as _};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        // Who asks for health says nothing.
        let mut stream = loop {
            let (mut stream, _) = listener.accept().unwrap();
            if stream.read(&mut [0; 1_000]).unwrap_or(0) > 8 {
                break stream;
            }
        };
        let greeting =
            [frame(b'R', &[0; 4]), frame(b'K', &[0, 0, 0, 7, 1, 2, 3, 4]), frame(b'Z', b"I")].concat();
        stream.write_all(&greeting).unwrap();
        script(&mut stream);
    });
    (address, thread)
}

#[test]
fn what_the_server_says_to_the_idle_is_passed_on_at_once() {
    let said = [
        frame(b'S', &[string("TimeZone"), string("UTC")].concat()),
        frame(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mlisten\0\0"),
        frame(b'A', &[&[0, 0, 0, 9][..], &string("bell"), &string("")].concat()),
    ];
    let sent = said.clone();
    let (address, server) = plays(move |stream| {
        use std::io::{Read as _, Write as _};
        for piece in sent {
            // Each only when the one before has arrived.
            stream.write_all(&piece).unwrap();
            assert_eq!(stream.read(&mut [0; 100]).unwrap(), 5, "the client flushes");
        }
    });
    let gate = Setup::before(address).start();
    let mut raw = login(gate.address());
    for piece in &said {
        let heard = raw.read().unwrap();
        assert_eq!(frame(heard.tag, &heard.body), *piece);
        raw.flush();
    }
    server.join().unwrap();
}

#[test]
fn a_transaction_is_committed_in_two_phases() {
    for major in VERSIONS {
        let ways = Ways::with(Options {
            major: Some(major),
            configuration: vec!["max_prepared_transactions = 5".into()],
            ..Options::default()
        });
        ways.compare("two phases", |address| {
            let mut raw = login(address);
            raw.query("DELETE FROM orders");
            let mut seen = all([
                "BEGIN; INSERT INTO orders VALUES (1); PREPARE TRANSACTION 'one'",
                "SELECT gid FROM pg_prepared_xacts",
                "BEGIN; INSERT INTO orders VALUES (2); PREPARE TRANSACTION 'two'",
            ]
            .map(|sql| raw.query(sql)));
            // Another session, even after the first is gone, decides.
            raw.send(b'X', &[]);
            assert!(raw.is_closed());
            let mut raw = login(address);
            step(&mut raw, "COMMIT PREPARED 'one'");
            seen.extend(raw.sync());
            seen.extend(all(["ROLLBACK PREPARED 'two'", "COMMIT PREPARED 'three'", "SELECT id FROM orders"]
                .map(|sql| raw.query(sql))));
            seen
        });
    }
}

#[test]
fn a_classified_row_goes_through_two_phases() {
    let ways = Ways::with(Options {
        major: Some(18),
        configuration: vec!["max_prepared_transactions = 5".into()],
        ..Options::default()
    });
    let mut raw = login(ways.other.address());
    let seen = all([
        "BEGIN",
        "INSERT INTO customers (id, email) VALUES (1, 'ada@sentinel.example')",
        "PREPARE TRANSACTION 'one'",
    ]
    .map(|sql| raw.query(sql)));
    assert_eq!(tags(&seen), "CZTCZTCZI", "{:?}", errors(&seen));
    assert!(firsts(&raw.query("SELECT email FROM customers")).is_empty());
    raw.query("COMMIT PREPARED 'one'");
    assert_eq!(firsts(&raw.query("SELECT email FROM customers")), ["ada@sentinel.example"]);
}

#[test]
fn a_failed_session_says_why_and_no_other_is_hurt() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        ways.same("an idle timeout of the server", |address| {
            let mut raw = login(address);
            let mut other = Raw::login(address, "postgres", "postgres");
            raw.query("SET idle_in_transaction_session_timeout = 30; BEGIN");
            let last = raw.until_ready();
            assert!(raw.is_closed());
            (states(&last), firsts(&other.query("SELECT 1")))
        });
    }
}
