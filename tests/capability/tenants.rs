//! A schema for each tenant: one entry of the policy for the table of all of them, with one
//! key for all or a key for each.

use crate::harness::{Raw, Session, Setup, Tap, VERSIONS, await_that, pg};
use crate::shop::{errors, firsts, holds, states};
use sealgate::store::postgres::Throwaway;

const EMAIL: &str = "ada.lovelace@analytical.example";
const PHONE: &str = "+44 20 7946 0958 ext 1815";

fn tenant(schema: &str) -> String {
    format!(
        "CREATE SCHEMA {schema}; CREATE TABLE {schema}.client (id int PRIMARY KEY, email text UNIQUE, phone text);"
    )
}

/// `phone` with one key for all tenants, `email` with one for each.
fn classified(setup: Setup) -> Setup {
    let email = "[[field]]\ntable = \"*.client\"\ncolumn = \"email\"\nclass = \"contact\"\nseal = \"equality\"\n\
                 domain = \"email@{schema}\"\n";
    setup.field("*.client", "phone", "equality").extra(email)
}

fn stored(server: &Throwaway, schema: &str, column: &str) -> String {
    let sql = format!("SELECT {column} FROM {schema}.client WHERE id = 1");
    server.query("postgres", &sql).unwrap()[0][0].clone().unwrap()
}

fn insert(session: &Session, schema: &str) {
    let sql = format!("INSERT INTO {schema}.client (id, email, phone) VALUES ($1, $2, $3)");
    session.rows(&sql, &[&1, &EMAIL, &PHONE]).unwrap();
}

fn reads(raw: &mut Raw, schema: &str) {
    for (column, value) in [("email", EMAIL), ("phone", PHONE)] {
        let found = raw.query(&format!("SELECT {column} FROM {schema}.client WHERE {column} = '{value}'"));
        assert_eq!(firsts(&found), [value], "{schema}.{column} {:?}", errors(&found));
    }
}

#[test]
fn tenants_share_a_key_or_have_one_each_as_the_domain_says() {
    for major in VERSIONS {
        let server = pg(major);
        server.execute("postgres", &(tenant("acme") + &tenant("zeta"))).unwrap();
        let tap = Tap::before(server.address());
        let mut gate = classified(Setup::before(tap.address())).start();
        let session = Session::open(gate.address(), "postgres", None, "postgres").unwrap();
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        for schema in ["acme", "zeta"] {
            insert(&session, schema);
            reads(&mut raw, schema);
            for column in ["email", "phone"] {
                assert!(stored(&server, schema, column).starts_with("SEAL"), "{schema}.{column}");
            }
        }
        for value in [EMAIL, PHONE] {
            assert!(!holds(&tap.to_server(), value.as_bytes()), "a value went upstream");
        }
        assert_eq!(stored(&server, "acme", "phone"), stored(&server, "zeta", "phone"), "one key");
        let (acme, zeta) = (stored(&server, "acme", "email"), stored(&server, "zeta", "email"));
        assert_ne!(acme, zeta, "a key each");
        assert_ne!(acme[..12], zeta[..12], "and a guard each");
        // What is compared across tenants must be of one key.
        let joined = |column: &str| {
            format!("SELECT a.{column} FROM acme.client a JOIN zeta.client z ON a.{column} = z.{column}")
        };
        assert_eq!(firsts(&raw.query(&joined("phone"))), [PHONE]);
        assert_eq!(states(&raw.query(&joined("email"))), ["SG001"]);
        // One tenant's value in another's column is no value there.
        server.execute("postgres", &format!("UPDATE zeta.client SET email = '{acme}'")).unwrap();
        let moved = raw.query("SELECT email FROM zeta.client");
        assert!(firsts(&moved).is_empty() && !errors(&moved).is_empty(), "{:?}", errors(&moved));
        drop(raw);
        // The keys are the same after a new start.
        gate.run_again().unwrap();
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        reads(&mut raw, "acme");
        let session = Session::open(gate.address(), "postgres", None, "postgres").unwrap();
        session.rows("UPDATE zeta.client SET email = $1 WHERE id = $2", &[&EMAIL, &1]).unwrap();
        assert_eq!(stored(&server, "zeta", "email"), zeta);
    }
}

#[test]
fn a_tenant_that_comes_while_the_gate_runs_is_sealed_with_no_change_of_policy_or_keyring() {
    for major in VERSIONS {
        let server = pg(major);
        server.execute("postgres", &tenant("acme")).unwrap();
        let tap = Tap::before(server.address());
        let gate = classified(Setup::before(tap.address())).start();
        let keyring = std::fs::read(gate.folder().join("keys/keyring.json")).unwrap();
        let session = Session::open(gate.address(), "postgres", None, "postgres").unwrap();
        insert(&session, "acme");
        // Through the gate: sealed from the first statement on.
        session.text(&tenant("zeta")).unwrap();
        insert(&session, "zeta");
        // Behind its back: refused until the catalog was looked at, then sealed as well.
        server.execute("postgres", &tenant("\"Omega-2\"")).unwrap();
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        let text = format!("INSERT INTO \"Omega-2\".client VALUES (1, '{EMAIL}', '{PHONE}')");
        await_that("the new tenant to be known", || {
            let answered = raw.query(&text);
            assert!(states(&answered).iter().all(|state| state == "SG001"), "{:?}", errors(&answered));
            states(&answered).is_empty()
        });
        for schema in ["acme", "zeta", "\"Omega-2\""] {
            reads(&mut raw, schema);
        }
        for value in [EMAIL, PHONE] {
            assert!(!holds(&tap.to_server(), value.as_bytes()), "a value went upstream");
        }
        assert_ne!(stored(&server, "zeta", "email"), stored(&server, "acme", "email"));
        assert_eq!(stored(&server, "zeta", "phone"), stored(&server, "acme", "phone"));
        assert_eq!(std::fs::read(gate.folder().join("keys/keyring.json")).unwrap(), keyring);
    }
}

#[test]
fn the_first_tenant_of_all_is_sealed_from_its_first_statement() {
    let server = pg(18);
    let tap = Tap::before(server.address());
    let gate = classified(Setup::before(tap.address())).late().start();
    let session = Session::open(gate.address(), "postgres", None, "postgres").unwrap();
    session.text(&tenant("acme")).unwrap();
    insert(&session, "acme");
    assert!(stored(&server, "acme", "email").starts_with("SEAL"));
    assert!(!holds(&tap.to_server(), EMAIL.as_bytes()), "a value went upstream");
}

#[test]
fn check_and_keys_tell_what_patterns_stand_for() {
    let server = pg(18);
    server.execute("postgres", &(tenant("acme") + &tenant("zeta"))).unwrap();
    let setup = || classified(Setup::before(server.address())).field("tenant_*.lead", "note", "none");
    // As `run` has it: not ready, but where the policy says that the first tenant is to come.
    for (setup, lacks, code) in [(setup(), "FAULT", 2), (setup().late(), "warn ", 0)] {
        let checked = setup.prepare().unwrap().verb(&["check"]);
        let said = String::from_utf8(checked.stdout).unwrap();
        for line in [
            "note   catalog of postgres: *.client.email: matches 2 tables: acme.client, zeta.client",
            "note   catalog of postgres: *.client.phone: matches 2 tables: acme.client, zeta.client",
            "note   catalog of postgres: tenant_*.lead.note: matches no table yet",
            &format!("{lacks}  fields: tenant_*.lead.note: no database has a table tenant_*.lead"),
        ] {
            assert!(said.contains(line), "{line}\n{said}");
        }
        assert_eq!(checked.status.code(), Some(code), "{said}");
    }
    let gate = setup().prepare().unwrap();
    let listed = String::from_utf8(gate.verb(&["keys", "list"]).stdout).unwrap();
    let template = listed.lines().find(|line| line.starts_with("email@{schema}"));
    assert!(template.is_some_and(|line| line.contains("by schema")), "{listed}");
}
