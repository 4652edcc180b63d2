//! Enumerations and domains of a database as the types of sealed columns: made by the application's own
//! definitions, and told, taken and given as in a plain table.

use crate::harness::{Raw, Setup, Tap, VERSIONS, await_that, pg};
use crate::shop;

use super::{Pair, is_refused, seen};

const TYPES: &str = "CREATE TYPE mood AS ENUM ('sentinelsad', 'ok', 'it''s', 'Ünï'); \
    CREATE DOMAIN mail AS varchar(30); CREATE DOMAIN cents AS numeric(10,2); CREATE DOMAIN born AS date; \
    CREATE DOMAIN strict AS text CHECK (VALUE <> ''); CREATE TYPE other AS ENUM ('ok'); \
    CREATE DOMAIN price AS cents; CREATE DOMAIN fee AS price; \
    CREATE TYPE \"Wörd x\" AS ENUM ('sentinel Ünï', 'b\"c', 'it''s')";

/// Made on a plain database, and through the gate.
const DEFINITIONS: &[&str] = &[
    "CREATE TABLE people (id int PRIMARY KEY, m mood NOT NULL DEFAULT 'ok', e mail UNIQUE, c public.cents DEFAULT 1.50, b born, n mood, f fee)",
    "ALTER TABLE people ADD COLUMN late public . \"mood\" DEFAULT 'it''s'::mood",
    "ALTER TABLE people ALTER COLUMN n TYPE mood USING n::mood",
    "ALTER TABLE people ALTER COLUMN n SET DEFAULT 'ok'::public.mood",
    "CREATE INDEX ON people (b)",
];

const COLUMNS: &[(&str, &str, &str)] = &[
    ("m", "public.mood AS ENUM", "random"),
    ("n", "public.mood as enum", "random"),
    ("late", "public.mood AS ENUM", "random"),
    ("e", "public.mail AS varchar(30)", "equality"),
    ("c", "public.cents AS numeric(10,2)", "equality"),
    ("b", "public.born AS date", "equality"),
    ("f", "public.fee AS numeric(10,2)", "equality"),
    ("w", "public.\\\"Wörd x\\\" AS ENUM", "random"),
];

const FORMS: &[&str] = &[
    "INSERT INTO people (id, m, e, c, b) VALUES (1, 'sentinelsad', 'ada@sentinel.example', 31337.25, '1991-07-23')",
    "INSERT INTO people (id, m, e, c, b, n) VALUES (2, 'ok'::mood, 'bob@sentinel.example'::mail, '31337.5'::cents, born '1991-07-24', NULL::mood)",
    "INSERT INTO people (id, m) VALUES (3, mood 'it''s') RETURNING *",
    "INSERT INTO people (id, m, n) VALUES (4, CAST('Ünï' AS public.mood), DEFAULT) RETURNING m, n, late, c",
    "INSERT INTO people SELECT 5, 'ok'::mood",
    "INSERT INTO people (id, m) VALUES (6, 'sentinelglad')",
    "INSERT INTO people (id, m) VALUES (6, 'OK')",
    "INSERT INTO people (id, m) VALUES (6, 'ok ')",
    "INSERT INTO people (id, m) VALUES (6, NULL)",
    "INSERT INTO people (id, e) VALUES (6, 'a text of more than thirty letters, sentinel')",
    "INSERT INTO people (id, c) VALUES (6, 'none'), (7, '1')",
    "INSERT INTO people (id, c) VALUES (6, 1.005) RETURNING c",
    "UPDATE people SET f = 31337.255 WHERE id = 1 RETURNING f, f::fee",
    "UPDATE people SET f = '7'::fee WHERE id = 2 RETURNING f",
    "UPDATE people SET f = 'none' WHERE id = 2",
    "SELECT id FROM people WHERE f = 7 OR f = 31337.26 ORDER BY id",
    "UPDATE people SET m = 'ok', n = m WHERE id = 1 RETURNING id, m, n",
    "UPDATE people SET m = CASE WHEN id = 1 THEN 'sentinelsad'::mood ELSE n END, n = 'ok' WHERE id IN (1, 6) RETURNING id, m",
    "SELECT * FROM people ORDER BY id",
    "SELECT m::text, n::varchar AS n, c::text, b::text FROM people ORDER BY id",
    "SELECT p.m::mood, e::mail, b::born FROM people p ORDER BY id",
    "SELECT coalesce(n, m) AS x FROM people ORDER BY id",
    "SELECT id FROM people WHERE m IS NOT NULL AND n IS NULL ORDER BY id",
    "SELECT id FROM people WHERE e = 'ada@sentinel.example' OR b = '1991-07-24'::born ORDER BY id",
    "SELECT id FROM people WHERE c = 31337.25 AND e = ANY(ARRAY['ada@sentinel.example', 'x']) ORDER BY id",
    "SELECT count(*) FROM people GROUP BY b ORDER BY 1",
    "DELETE FROM people WHERE id = 6",
    "ALTER TABLE people ADD COLUMN w \"Wörd x\" DEFAULT 'b\"c'",
    "INSERT INTO people (id, w) VALUES (7, 'sentinel Ünï'), (8, 'b\"c'::\"Wörd x\"), (10, \"Wörd x\" 'it''s') RETURNING w",
    "INSERT INTO people (id, w) VALUES (11, CAST('it''s' AS public . \"Wörd x\")), (12, DEFAULT) RETURNING w, w::text, w::\"Wörd x\"",
    "INSERT INTO people (id, w) VALUES (13, 'B\"c')",
    "SELECT id, w, coalesce(w, 'it''s') AS x FROM people ORDER BY id",
];

/// A parameter in each format, undeclared, of the column's own type, and of others.
const BOUND: &[(&str, &str, &str)] = &[
    ("UPDATE people SET m = $1 WHERE id = 1 RETURNING m", "mood", "ok"),
    ("UPDATE people SET m = $1 WHERE id = 1 RETURNING m", "mood", "sentinelnone"),
    ("UPDATE people SET m = $1::mood WHERE id = 1 RETURNING m, n", "mood", "Ünï"),
    (
        "INSERT INTO people (id, n) VALUES (9, $1) ON CONFLICT (id) DO UPDATE SET n = EXCLUDED.n RETURNING n",
        "mood",
        "it's",
    ),
    ("UPDATE people SET w = $1 WHERE id = 7 RETURNING w", "\"Wörd x\"", "b\"c"),
    ("UPDATE people SET w = $1::\"Wörd x\" WHERE id = 7 RETURNING w", "\"Wörd x\"", "sentinel Ünï"),
    ("UPDATE people SET e = $1 WHERE id = 1 RETURNING e", "mail", "eve@sentinel.example"),
    ("UPDATE people SET e = $1::mail WHERE id = 1 RETURNING e", "mail", "eva@sentinel.example"),
    ("UPDATE people SET b = $1 WHERE id = 1 RETURNING b", "born", "1991-07-25"),
    ("SELECT id FROM people WHERE e = $1", "varchar", "eva@sentinel.example"),
    ("SELECT id FROM people WHERE b = $1", "date", "1991-07-25"),
    ("SELECT id FROM people WHERE b = $1::born", "born", "1991-07-25"),
];

/// A definition, behind which the catalog is read anew.
const LOOK_AGAIN: &str = "DROP SCHEMA IF EXISTS nobody_made_it";

const REFUSED: &[&str] = &[
    "SELECT id FROM people WHERE m = 'ok'",
    "SELECT id FROM people WHERE m = 'ok'::mood",
    "SELECT DISTINCT m FROM people",
    "SELECT id FROM people ORDER BY m",
    "SELECT id FROM people WHERE m > 'ok'",
    "SELECT enum_range(m) FROM people",
    "SELECT id FROM people WHERE c = '1.005'::cents",
    "UPDATE people SET m = 'ok'::other",
    "UPDATE people SET e = 'x'::mood",
    "UPDATE people SET m = 'ok'::mood::text",
    "ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'",
    "ALTER TYPE public.mood RENAME VALUE 'ok' TO 'fine'",
    "CREATE TABLE guests (id int, m text)",
    "CREATE TABLE guests (id int, m other)",
    "CREATE TABLE guests (id int, m other.mood)",
];

#[test]
fn enumerations_and_domains_are_the_types_of_sealed_columns() {
    for major in VERSIONS {
        let server = pg(major);
        // Copied, so that the types have the same numbers.
        server.create_database("sealed").unwrap();
        server.execute("sealed", TYPES).unwrap();
        server.execute("postgres", "CREATE DATABASE plain TEMPLATE sealed").unwrap();
        let tap = Tap::before(server.address());
        let mut setup = Setup::before(tap.address());
        for (name, of, seal) in COLUMNS {
            let domain = if of.contains("mood") { "mood" } else { name };
            let lines = format!("database = \"sealed\"\ntype = \"{of}\"\ndomain = \"{domain}\"");
            setup = setup.field_with("public.people", name, seal, &lines);
        }
        let lines = "database = \"sealed\"\ntype = \"public.mood AS ENUM\"\ndomain = \"mood\"";
        setup = setup.field_with("public.guests", "m", "random", lines);
        let gate = setup.late().start();
        let mut pair = Pair::before(&server, &gate, "sealed");
        for sql in DEFINITIONS.iter().chain(FORMS) {
            pair.query(sql);
        }
        for (sql, of, value) in BOUND {
            let oid = server.query("sealed", &format!("SELECT '{of}'::regtype::oid::text")).unwrap();
            let oid: u32 = oid[0][0].as_ref().unwrap().parse().unwrap();
            let binary = if oid == 1082 || *of == "born" { 0 } else { 1 };
            for (declared, format) in [(0, 0), (0, binary), (oid, 0), (oid, binary)] {
                pair.same(&format!("{sql} {value} {declared} {format}"), |raw| {
                    raw.parse("", sql, &[declared]);
                    raw.describe(b'S', "");
                    raw.bind("", "", &[format], &[Some(value.as_bytes())], &[format]);
                    raw.execute("", 0);
                    raw.sync()
                });
            }
        }
        assert_eq!(pair.refused, [""; 0], "{major}: of {}", pair.compared);
        for sql in REFUSED {
            assert!(is_refused(&seen(&pair.gate.query(sql))), "{major}: {sql}");
        }
        // Of another type than its own no parameter becomes an enumeration.
        let frames = pair.same("a parameter of text", |raw| {
            raw.parse("", "UPDATE people SET m = $1 WHERE id = 1", &[25]);
            raw.bind("", "", &[], &[Some(b"ok")], &[]);
            raw.execute("", 0);
            raw.sync()
        });
        assert!(seen(&frames).iter().any(|line| line == "E 42804") && pair.refused.len() == 1, "{major}");
        // New labels, through here and past it.
        pair.query("ALTER TYPE mood ADD VALUE 'new'");
        pair.query("UPDATE people SET m = 'new' WHERE id = 1 RETURNING m");
        for database in ["plain", "sealed"] {
            server.execute(database, "ALTER TYPE mood ADD VALUE 'newer'").unwrap();
        }
        // Only where it is waited for: the other time it is known at once.
        if major == VERSIONS[0] {
            pair.query(LOOK_AGAIN);
        }
        let sql = "UPDATE people SET m = 'newer' WHERE id = 1 RETURNING m";
        await_that("the label is known", || {
            !seen(&pair.gate.query(sql)).iter().any(|line| line.starts_with('E'))
        });
        pair.query(sql);
        pair.copied();
        for text in ["sentinel.example", "sentinel Ünï"] {
            assert!(!shop::holds(&tap.to_server(), text.as_bytes()), "{major}: {text}");
        }
        for text in ["31337", "1991-07"] {
            assert!(!shop::holds(&tap.to_server(), text.as_bytes()), "{major}: {text}");
        }
        of_one_transaction(&mut pair);
        misfits(&server, &gate, major);
    }
}

impl Pair {
    fn copied(&mut self) {
        // Rows of a table come as they lie, and these lie elsewhere where values are longer.
        self.query("DELETE FROM people WHERE id IN (7, 8, 10, 11, 12)");
        for sql in [
            "COPY people (id, m, c) TO STDOUT",
            "COPY (SELECT id, m::text, b::text FROM people ORDER BY id) TO STDOUT (FORMAT csv)",
        ] {
            self.query(sql);
        }
    }
}

/// A migration makes the type, a table with a default, and rows.
fn of_one_transaction(pair: &mut Pair) {
    let types = "DROP TABLE people; DROP TYPE mood";
    for (raw, of) in [(&mut pair.plain, "plain"), (&mut pair.gate, "sealed")] {
        for sql in types.split("; ") {
            assert!(!seen(&raw.query(sql)).iter().any(|line| line.starts_with('E')), "{of}: {sql}");
        }
    }
    for sql in [
        "BEGIN",
        "CREATE TYPE \"public\".\"mood\" AS ENUM('glum', 'fine')",
        "CREATE TABLE guests (id int PRIMARY KEY, m \"public\".\"mood\" NOT NULL DEFAULT 'fine')",
        "INSERT INTO guests (id) VALUES (1)",
        "INSERT INTO guests VALUES (2, 'glum')",
        "SAVEPOINT s",
        "INSERT INTO guests VALUES (3, 'ok')",
        "ROLLBACK TO s",
        "SELECT id, m::text FROM guests ORDER BY id",
        "COMMIT",
        "SELECT id, m::text FROM guests ORDER BY id",
    ] {
        pair.query(sql);
    }
    assert_eq!(pair.refused.len(), 1, "{:?}", pair.refused);
}

/// What a type is not as the policy says, or would look into, is a fault of its column.
fn misfits(server: &sealgate::store::postgres::Throwaway, gate: &crate::harness::Gate, major: u32) {
    server.execute("sealed", "DROP TABLE guests; DROP TYPE mood; CREATE DOMAIN mood AS text; CREATE TABLE guests (id int, m text)").unwrap();
    let ask = |sql: &str| Raw::login(gate.address(), "postgres", "sealed").query(sql);
    ask(LOOK_AGAIN);
    await_that("it is no enumeration", || {
        let frames = ask("SELECT m FROM guests");
        let detail = frames.iter().find(|frame| frame.tag == b'E').and_then(|frame| frame.field(b'D'));
        detail.is_some_and(|detail| detail.contains("is no enumeration"))
    });
    assert!(!is_refused(&seen(&ask("SELECT id FROM guests"))), "{major}");
    let told = gate.verb(&["check"]);
    assert!(String::from_utf8_lossy(&told.stdout).contains("column-own-type"), "{major}");
    // A rule that looks into values.
    server.execute("sealed", "DROP DOMAIN mood; DROP TABLE guests; DROP DOMAIN mail CASCADE").unwrap();
    server
        .execute(
            "sealed",
            "CREATE DOMAIN mail AS varchar(30) CHECK (VALUE LIKE '%@%'); CREATE TABLE people (id int, m text, e text)",
        )
        .unwrap();
    ask(LOOK_AGAIN);
    await_that("its rule is found", || {
        let frames = ask("INSERT INTO people (e) VALUES ('ada@sentinel.example')");
        let detail = frames.iter().find(|frame| frame.tag == b'E').and_then(|frame| frame.field(b'D'));
        detail.is_some_and(|detail| detail.contains("has a CHECK or NOT NULL"))
    });
    let frames = ask("UPDATE people SET m = 'ok'");
    assert!(seen(&frames).iter().any(|line| line == "E 42704"), "{major}: {:?}", seen(&frames));
}
