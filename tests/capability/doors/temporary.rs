//! Temporary relations and types, which come before whatever has their name.

use sealgate::store::postgres::Throwaway;

use crate::harness::{Gate, Raw, Setup, Tap, VERSIONS};
use crate::shop::{self, classified, errors, firsts, holds, records, states, tags};

const SECRET: &str = "s3ntinel-mail";

fn open(major: u32) -> (Throwaway, Gate, Tap) {
    let server = shop::server(major);
    server
        .execute("postgres", "INSERT INTO customers (id, city, note) VALUES (1, 'city-of-one', 'a note')")
        .unwrap();
    let tap = Tap::before(server.address());
    let gate = classified(Setup::before(tap.address())).start();
    (server, gate, tap)
}

#[test]
fn nothing_temporary_takes_the_name_of_a_classified_table() {
    for major in VERSIONS {
        let (_server, gate, _tap) = open(major);
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        // The session has its own schema of temporary relations by now.
        assert_eq!(tags(&raw.query("CREATE TEMP TABLE other (email text)")), "CZI");
        let own = firsts(&raw.query("SELECT nspname FROM pg_namespace WHERE oid = pg_my_temp_schema()"));
        let own = own[0].clone();
        for sql in [
            "CREATE TEMP TABLE customers (email text)",
            "CREATE LOCAL TEMPORARY TABLE customers (email text)",
            "CREATE TABLE pg_temp.customers (email text)",
            "CREATE TABLE {own}.customers (email text)",
            "CREATE TABLE U&\"pg\\005ftemp\".customers (email text)",
            "CREATE TEMP TABLE customers AS SELECT 'x' AS email",
            "CREATE TABLE pg_temp.customers AS SELECT 'x' AS email",
            "SELECT 'x' AS email INTO TEMP customers",
            "SELECT 'x' AS email INTO pg_temp.customers",
            "SELECT 'x' AS email INTO {own}.customers",
            "CREATE TEMP VIEW customers AS SELECT 'x' AS email",
            "CREATE VIEW pg_temp.customers AS SELECT 'x' AS email",
            "CREATE VIEW {own}.customers AS SELECT 'x' AS email",
            "CREATE TEMP SEQUENCE customers",
            "CREATE SEQUENCE pg_temp.customers",
            "CREATE SEQUENCE {own}.customers",
            "CREATE TYPE pg_temp.customers AS (email text)",
            "CREATE DOMAIN pg_temp.customers AS text",
            "CREATE TYPE {own}.customers AS ENUM ('x')",
            "CREATE INDEX customers ON other (email)",
            "ALTER TABLE other RENAME TO customers",
            "ALTER TABLE pg_temp.other RENAME TO customers",
            "ALTER TABLE {own}.other RENAME TO \"customers\"",
            "INSERT INTO pg_temp.customers (email) VALUES ('x')",
            "SELECT email FROM {own}.customers",
            "DO $$ BEGIN CREATE TEMP TABLE customers (email text); END $$",
        ] {
            let sql = sql.replace("{own}", &own);
            let frames = raw.query(&sql);
            assert_eq!(states(&frames), ["SG001"], "{sql} on {major}: {:?}", errors(&frames));
        }
        assert_eq!(firsts(&raw.query("SELECT note FROM customers")), ["a note"]);
        for sql in [
            "CREATE TEMP TABLE mine (email text)",
            "CREATE TABLE pg_temp.mine_too (email text)",
            "SELECT 1 AS a INTO TEMP mine_as_well",
            "ALTER TABLE mine RENAME TO ours",
            "DROP TABLE IF EXISTS pg_temp.customers",
        ] {
            let frames = raw.query(sql);
            assert!(states(&frames).is_empty(), "{sql} on {major}: {:?}", errors(&frames));
        }
    }
}

/// What a function builds itself, nobody reads.
const SHADE: &str = "CREATE FUNCTION shade(what text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN \
    EXECUTE 'CREATE TEMP ' || what; END $$";

#[test]
fn what_code_makes_temporary_gets_no_value_in_plain_and_hurts_nobody_else() {
    for major in VERSIONS {
        let (server, gate, tap) = open(major);
        server.execute("postgres", SHADE).unwrap();
        let mut other = Raw::login(gate.address(), "postgres", "postgres");
        for what in [
            "TABLE customers (id int, email text, phone text, city text, note text)",
            "TABLE customers (note text, city text, phone text, email text, id text)",
            "SEQUENCE customers",
        ] {
            let mut raw = Raw::login(gate.address(), "postgres", "postgres");
            raw.parse("s", "INSERT INTO customers VALUES (2, $1, $2, 'there', 'then')", &[]);
            assert_eq!(states(&raw.sync()), [""; 0]);
            raw.query(&format!("SELECT shade('{what}')"));
            let value = format!("{SECRET}-{:08x}", rand::random::<u32>());
            raw.bind("", "s", &[], &[Some(value.as_bytes()), Some(value.as_bytes())], &[]);
            raw.execute("", 0);
            raw.sync();
            for sql in [
                "INSERT INTO customers VALUES (3, '{v}', '{v}')",
                "INSERT INTO customers (id, email, phone) VALUES (4, '{v}', '{v}')",
                "INSERT INTO pg_temp.customers (id, email, phone) VALUES (5, '{v}', '{v}')",
                "UPDATE customers SET email = '{v}', phone = '{v}'",
                "SELECT note FROM customers WHERE email = '{v}'",
                "DELETE FROM customers WHERE email IN ('{v}')",
            ] {
                raw.query(&sql.replace("{v}", &value));
            }
            assert!(!holds(&tap.to_server(), value.as_bytes()), "P1: {what} on {major}");
            // Another session's temporary relation is none of others.
            let frames = other.query("SELECT city FROM customers WHERE id = 1");
            assert_eq!(firsts(&frames), ["city-of-one"], "{what} on {major}: {:?}", errors(&frames));
        }
        let read =
            records(&gate).iter().filter(|one| one["kind"] == "intent" && one["action"] == "read").count();
        assert!(read >= 3, "on {major}");
    }
}
