//! A policy knows a database by its name: no copy of it and no other name for it leaves it.

use sealgate::store::postgres::Throwaway;

use crate::harness::{Gate, Raw, Setup, Tap, VERSIONS, await_that, pg};
use crate::shop::{errors, firsts, holds, records_with, states, tags};

const TABLE: &str = "CREATE TABLE customers (id int PRIMARY KEY, email text, nick text); \
    INSERT INTO customers (id, nick) VALUES (1, 'nick-of-one')";
/// As `keys list` shows it for the domain `email`.
const GUARD: &str = "ALTER TABLE customers ADD CONSTRAINT email_is_sealed \
    CHECK (starts_with(email COLLATE \"C\", 'SEALfyeCwSny'))";

/// Databases `shop`, which the policy names, and `twin`, which it does not.
fn server(major: u32) -> Throwaway {
    let server = pg(major);
    for name in ["shop", "twin"] {
        server.create_database(name).unwrap();
        server.execute(name, TABLE).unwrap();
    }
    server
}

fn setup(server: &Throwaway) -> (Setup, Tap) {
    let tap = Tap::before(server.address());
    let of_shop = "database = \"shop\"";
    let setup = Setup::before(tap.address())
        .field_with("public.customers", "email", "equality", of_shop)
        .field_with("public.customers", "nick", "none", of_shop);
    (setup, tap)
}

fn open(gate: &Gate, database: &str) -> Raw {
    Raw::login(gate.address(), "postgres", database)
}

fn names(server: &Throwaway) -> Vec<String> {
    let rows = server.query("postgres", "SELECT datname FROM pg_database ORDER BY 1").unwrap();
    rows.concat().into_iter().flatten().collect()
}

#[test]
fn no_copy_of_a_database_and_no_new_name_for_it_is_made_from_any_database() {
    for major in VERSIONS {
        let server = server(major);
        let (setup, tap) = setup(&server);
        let gate = setup.start();
        let before = names(&server);
        for from in ["postgres", "twin", "shop"] {
            let mut raw = open(&gate, from);
            for sql in [
                "CREATE DATABASE copied TEMPLATE shop",
                "create database copied with owner postgres template = 'shop' strategy = file_copy",
                "CREATE DATABASE copied TEMPLATE SHOP STRATEGY wal_log",
                "CREATE/* \u{e9} */DATABASE copied U&\"templ\\0061te\" U&\"sh\\006fp\"",
                "ALTER DATABASE shop RENAME TO moved",
                "ALTER DATABASE U&\"sh!006fp\" UESCAPE '!' RENAME TO moved",
                "BEGIN; ALTER DATABASE shop RENAME TO moved; COMMIT",
                "UPDATE pg_database SET datname = 'moved' WHERE datname = 'shop'",
                "DO $$ BEGIN ALTER DATABASE shop RENAME TO moved; END $$",
            ] {
                assert_eq!(states(&raw.query(sql)), ["SG001"], "{sql} from {from} on {major}");
                raw.parse("", sql, &[]);
                raw.bind("", "", &[], &[], &[]);
                raw.execute("", 0);
                assert_eq!(states(&raw.sync()), ["SG001"], "{sql} prepared, from {from} on {major}");
                assert_eq!(firsts(&raw.query("SELECT 'goes on'")), ["goes on"]);
            }
            for length in [100, 70_000, 200_000] {
                let mut raw = open(&gate, from);
                let sql = format!("/* {} */ ALTER DATABASE shop RENAME TO moved", "x".repeat(length));
                assert_eq!(states(&raw.query(&sql)), ["SG001"], "{length} bytes from {from} on {major}");
            }
        }
        assert_eq!(names(&server), before, "on {major}");
        assert!(!holds(&tap.to_server(), b"RENAME TO moved"), "the server hears nothing of it");
        let refusals = records_with(&gate, "refusal", 18);
        assert!(refusals.iter().any(|one| one["rule"] == "database" && one["database"] == "twin"));
    }
}

#[test]
fn what_leaves_no_policy_goes_on_as_it_does_directly() {
    for major in VERSIONS {
        let server = server(major);
        let (setup, _tap) = setup(&server);
        let gate = setup.start();
        let mut raw = open(&gate, "postgres");
        for sql in [
            "CREATE DATABASE fresh",
            "CREATE DATABASE copied TEMPLATE twin",
            "ALTER DATABASE copied RENAME TO moved",
            "ALTER DATABASE shop SET work_mem = '5MB'",
            "COMMENT ON DATABASE shop IS 'its template was renamed'",
            "DROP DATABASE moved",
            "DROP DATABASE fresh",
            "DROP DATABASE shop",
            "ALTER DATABASE twin RENAME TO shop",
        ] {
            let frames = raw.query(sql);
            assert!(
                states(&frames).is_empty() && tags(&frames).ends_with("CZI"),
                "{sql} on {major}: {:?}",
                errors(&frames)
            );
        }
        // A syntax error is the server's, and so is any other.
        assert_eq!(states(&raw.query("ALTER DATABASE nowhere RENAME TO elsewhere")), ["3D000"]);
        // What has the policy's name now is under the policy.
        let mut shop = open(&gate, "shop");
        assert_eq!(firsts(&shop.query("SELECT nick FROM customers")), ["nick-of-one"]);
        let read = records_with(&gate, "intent", 1);
        assert!(read.iter().any(|one| one["kind"] == "intent" && one["action"] == "read"));
    }
}

#[test]
fn a_copy_that_the_policy_speaks_of_alike_is_made() {
    let server = server(15);
    let (setup, _tap) = setup(&server);
    let branch = "database = \"branch\"";
    let gate = setup
        .field_with("public.customers", "email", "equality", branch)
        .field_with("public.customers", "nick", "none", branch)
        .late()
        .start();
    let mut raw = open(&gate, "postgres");
    assert_eq!(tags(&raw.query("CREATE DATABASE branch TEMPLATE shop")), "CZI");
    assert_eq!(states(&raw.query("CREATE DATABASE other TEMPLATE branch")), ["SG001"]);
}

#[test]
fn a_database_with_guards_of_which_the_policy_does_not_speak_is_refused_until_it_does() {
    for major in VERSIONS {
        let server = server(major);
        server.execute("shop", GUARD).unwrap();
        // Past the gate.
        server.execute("postgres", "CREATE DATABASE copied TEMPLATE shop").unwrap();
        let (setup, tap) = setup(&server);
        let gate = setup.start();
        let refused = |database: &str| {
            let mut raw = Raw::connect(gate.address());
            raw.startup(&[("user", "postgres"), ("database", database)]);
            let frames = raw.until_ready();
            let error = frames.iter().find(|frame| frame.tag == b'E').cloned();
            error.map(|error| (error.field(b'C').unwrap(), error.field(b'D').unwrap()))
        };
        let (state, detail) = refused("copied").expect("a copy with guards");
        assert_eq!(state, "SG001");
        assert!(detail.contains("public.customers") && detail.contains("email_is_sealed"), "{detail}");
        assert!(gate.log().contains("outside of the policy"), "{}", gate.log());
        assert!(gate.metric("sealgate_refusals_total{reason=\"outside-policy\"}").unwrap() >= 1.0);
        assert_eq!(refused("shop"), None, "the policy speaks of it");
        // The same tables without guards, as tests have them.
        let mut twin = open(&gate, "twin");
        let plain = "INSERT INTO customers (id, email) VALUES (7, 'plain-in-a-test')";
        assert_eq!(tags(&twin.query(plain)), "CZI");
        assert!(holds(&tap.to_server(), b"plain-in-a-test"));
        // A guard that comes later, while a session is there.
        server.execute("twin", &format!("DELETE FROM customers; {GUARD}")).unwrap();
        await_that("the end of a session beside the policy", || {
            let frames = twin.query("SELECT 1");
            frames.last().is_none_or(|frame| frame.tag != b'Z')
        });
        assert_eq!(refused("twin").expect("guards by now").0, "SG001");
        server.execute("twin", "ALTER TABLE customers DROP CONSTRAINT email_is_sealed").unwrap();
        assert_eq!(refused("twin"), None, "without guards again, on {major}");
        gate.configure(|text| text.replace("database = \"shop\"", "database = \"copied\""));
        crate::life::reload(&gate, "applied");
        assert_eq!(refused("copied"), None);
        assert_eq!(refused("shop").expect("another one has its place in the policy").0, "SG001");
    }
}
