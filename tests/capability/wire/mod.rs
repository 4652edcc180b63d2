//! The protocol, line by line (docs/PROTOCOL.md): the same bytes are sent directly and
//! through the gate, before servers of both versions, with nothing classified and with
//! another table classified, and the answers must be the same as a whole.

mod copy;
mod extended;
mod heavy;
mod hostile;
mod kill;
mod page;
mod session;
mod simple;
mod startup;
mod transport;
mod walsender;

use std::net::SocketAddr;

use sealgate::store::postgres::{Options, Throwaway};

use crate::harness::{Frame, Gate, Raw, Setup, VERSIONS, pg_with};
use crate::shop::{classified, errors, tags};

const SCHEMA: &str = "CREATE TABLE customers (id int PRIMARY KEY, email text UNIQUE, phone text, city text, note text); \
    CREATE TABLE orders (id int PRIMARY KEY, item text, blob bytea); \
    CREATE TABLE late (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED); \
    CREATE TABLE guarded (id int); \
    CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not today'; END $$; \
    CREATE TRIGGER no BEFORE INSERT ON guarded FOR EACH STATEMENT EXECUTE FUNCTION no();";

/// A server and the program before it, once with nothing classified and once with a table
/// that the test does not touch.
pub struct Ways {
    pub server: Throwaway,
    pub nothing: Gate,
    pub other: Gate,
}

impl Ways {
    pub fn new(major: u32) -> Ways {
        Ways::with(Options { major: Some(major), ..Options::default() })
    }

    pub fn with(options: Options) -> Ways {
        let server = pg_with(options);
        server.execute("postgres", SCHEMA).unwrap();
        let nothing = Setup::before(server.address()).start();
        let other = classified(Setup::before(server.address())).start();
        Ways { server, nothing, other }
    }

    /// Directly, and both ways through.
    pub fn each(&self) -> [(&'static str, SocketAddr); 3] {
        [
            ("directly", self.server.address()),
            ("nothing classified", self.nothing.address()),
            ("another table classified", self.other.address()),
        ]
    }

    /// Runs the same both ways through and directly; what comes out must be equal.
    pub fn same<T: PartialEq + std::fmt::Debug>(
        &self,
        what: &str,
        mut run: impl FnMut(SocketAddr) -> T,
    ) -> T {
        let [(_, direct), through @ ..] = self.each();
        let expected = run(direct);
        for (way, address) in through {
            let found = run(address);
            assert_eq!(
                found,
                expected,
                "{what}, PostgreSQL {}, {way} (left) and directly",
                self.server.major()
            );
        }
        expected
    }

    /// A script of one session; once frame by frame, once in as few pieces as can be.
    pub fn same_frames(&self, what: &str, script: impl Fn(&mut Raw) -> Vec<Frame>) -> Vec<Frame> {
        let mut last = Vec::new();
        for corked in [false, true] {
            let run = |address| {
                let mut raw = login(address);
                raw.query("DELETE FROM orders");
                if corked {
                    raw.cork();
                }
                script(&mut raw)
            };
            last = self.compare(&format!("{what}, in one piece: {corked}"), run);
        }
        last
    }

    /// Whole answers, byte for byte.
    pub fn compare(&self, what: &str, run: impl Fn(SocketAddr) -> Vec<Frame>) -> Vec<Frame> {
        let [(_, direct), through @ ..] = self.each();
        let expected = run(direct);
        for (way, address) in through {
            let found = run(address);
            let at = expected.iter().zip(&found).position(|(a, b)| a != b);
            assert!(
                at.is_none() && expected.len() == found.len(),
                "{what}, PostgreSQL {}, {way}: differs at {at:?}\n direct {} {:?}\n gate   {} {:?}",
                self.server.major(),
                tags(&expected),
                errors(&expected),
                tags(&found),
                errors(&found)
            );
        }
        expected
    }

    /// The program has met nothing that it did not foresee.
    pub fn is_sound(&self) -> bool {
        is_sound(&self.nothing) && is_sound(&self.other)
    }
}

/// Neither a panic nor an error in the log, and new sessions are served.
pub fn is_sound(gate: &Gate) -> bool {
    let log = gate.log();
    !log.contains("panic") && !log.contains(" ERROR ") && login(gate.address()).query("SELECT 1").len() == 4
}

/// One script on both versions.
pub fn everywhere(what: &str, script: impl Fn(&mut Raw) -> Vec<Frame>) -> Vec<Frame> {
    let mut last = Vec::new();
    for major in VERSIONS {
        let ways = Ways::new(major);
        last = ways.same_frames(what, &script);
        assert!(ways.is_sound(), "{}{}", ways.nothing.log(), ways.other.log());
    }
    last
}

pub fn login(address: SocketAddr) -> Raw {
    Raw::login(address, "postgres", "postgres")
}

pub fn all(answers: impl IntoIterator<Item = Vec<Frame>>) -> Vec<Frame> {
    answers.into_iter().flatten().collect()
}

/// Parse, Bind, Execute of the unnamed statement.
pub fn step(raw: &mut Raw, sql: &str) {
    raw.parse("", sql, &[]);
    raw.bind("", "", &[], &[], &[]);
    raw.execute("", 0);
}

/// So many frames.
pub fn frames(raw: &mut Raw, count: usize) -> Vec<Frame> {
    (0..count).map_while(|_| raw.read()).collect()
}

/// The answers to so many requests that ReadyForQuery ends.
pub fn readies(raw: &mut Raw, count: usize) -> Vec<Frame> {
    all((0..count).map(|_| raw.until_ready()))
}

/// What the server's catalog of sessions says.
pub fn activity(server: &Throwaway, condition: &str) -> i64 {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND ({condition})"
    );
    server.query("postgres", &sql).unwrap()[0][0].as_deref().unwrap().parse().unwrap()
}
