//! Types that a database has beside the server's own: which of their code is in play where a text
//! does not name them. The server chooses by the types of operands, which a text does not show, so
//! that these claims are tried on what the server does, over generated expressions.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use sealgate::store::postgres::Throwaway;

use crate::harness::{Raw, Setup, VERSIONS, await_that};
use crate::opaque::{fill, intents, look_again, recorded, shown};
use crate::shop::{self, classified, firsts, holds, open, records, states};

fn oid(server: &Throwaway, name: &str) -> u32 {
    let rows = server.query("postgres", &format!("SELECT '{name}'::regtype::oid::text")).unwrap();
    rows[0][0].as_ref().unwrap().parse().unwrap()
}

/// Types made of one whose rule shows what is legible: the type, and a value of it.
const MADE_OF: [(&str, &str); 9] = [
    ("peek", "x"),
    ("peek[]", "{x}"),
    ("holder", "(x,1)"),
    ("holder[]", "{\"(x,1)\"}"),
    ("pair", "(x,1)"),
    ("pairs", "(x,1)"),
    ("deep", "(\"(x,1)\")"),
    ("span", "[x,y)"),
    ("spans", "{[x,y)}"),
];

#[test]
fn a_type_that_is_made_of_one_with_code_runs_it_wherever_a_value_becomes_one() {
    for major in VERSIONS {
        let server = shop::server(major);
        let made = server.execute(
            "postgres",
            "CREATE VIEW cities AS SELECT city FROM customers; CREATE DOMAIN peek AS text; \
             CREATE FUNCTION peeks(text) RETURNS boolean LANGUAGE plpgsql AS \
             $$ BEGIN RAISE NOTICE '%', (SELECT string_agg(city, ' ') FROM cities); RETURN true; END $$; \
             ALTER DOMAIN peek ADD CHECK (peeks(VALUE)); CREATE TABLE holder (p peek, n int); \
             CREATE TYPE pair AS (p peek, n int); CREATE DOMAIN pairs AS pair; CREATE TYPE deep AS (d pairs); \
             CREATE TYPE span AS RANGE (subtype = peek, multirange_type_name = spans); \
             CREATE TABLE bag (peek peek, \"peek[]\" peek[], holder holder, \"holder[]\" holder[], pair pair, \
               pairs pairs, deep deep, span span, spans spans, id int)",
        );
        made.unwrap();
        let (gate, _tap) = open(&server);
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        fill(&mut raw);
        let (mut seen, mut allowed) = (0, 0);
        for (name, value) in MADE_OF {
            let quoted = format!("\"{name}\"");
            let texts = [
                format!("SELECT '{value}'::{name}"),
                format!("SELECT CAST('{value}' AS {name}) FROM orders"),
                format!("SELECT * FROM json_to_record('{{\"v\": \"x\"}}') AS t(v {name})"),
                format!("INSERT INTO bag ({quoted}) VALUES ('{value}')"),
                format!("UPDATE bag SET {quoted} = '{value}' WHERE id = 1"),
                format!("PREPARE p_{seen} AS SELECT $1::{name}; EXECUTE p_{seen}('{value}')"),
            ];
            for sql in texts {
                let before = records(&gate).len();
                let frames = raw.query(&sql);
                let shows = shown(&frames);
                assert!(shows == 0 || recorded(&gate, before).0 > 0, "{major}: {sql} showed {shows}");
                (seen, allowed) = (seen + shows, allowed + u32::from(states(&frames).is_empty()));
            }
            for sql in
                ["SELECT $1", "SELECT id FROM orders WHERE item = $1", "INSERT INTO orders VALUES (1, $1)"]
            {
                let before = records(&gate).len();
                raw.parse("", sql, &[oid(&server, name)]);
                raw.bind("", "", &[], &[Some(value.as_bytes())], &[]);
                raw.execute("", 0);
                let frames = raw.sync();
                let shows = shown(&frames);
                assert!(
                    shows == 0 || recorded(&gate, before).0 > 0,
                    "{major}: {sql} of {name} showed {shows}"
                );
                (seen, allowed) = (seen + shows, allowed + u32::from(states(&frames).is_empty()));
            }
        }
        assert!(seen > 0 && allowed > 20, "{major}: shown {seen}, allowed {allowed}");
    }
}

#[test]
fn a_value_of_a_type_that_would_store_it_in_a_sealed_column_does_not_go() {
    for major in VERSIONS {
        let server = shop::server(major);
        let made = server.execute(
            "postgres",
            "CREATE DOMAIN keeps AS text; CREATE FUNCTION keep(v text) RETURNS boolean LANGUAGE plpgsql AS \
             $$ BEGIN INSERT INTO customers (id, email) VALUES (99, v); RETURN true; END $$; \
             ALTER DOMAIN keeps ADD CHECK (keep(VALUE)); CREATE TYPE keeping AS (k keeps)",
        );
        made.unwrap();
        let (gate, tap) = open(&server);
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        for (name, value) in [("keeps", "secret"), ("keeps[]", "{secret}"), ("keeping", "(secret)")] {
            assert_eq!(states(&raw.query(&format!("SELECT '{value}'::{name}"))), ["SG001"], "{name}");
            raw.parse("named", "SELECT $1", &[oid(&server, name)]);
            raw.bind("", "named", &[], &[Some(value.as_bytes())], &[]);
            raw.execute("", 0);
            assert_eq!(states(&raw.sync()), ["SG001"], "{major}: {name}");
        }
        // Prepared before the type ran anything.
        assert_eq!(states(&raw.query("CREATE DOMAIN later AS text")), [""; 0], "{major}");
        raw.parse("earlier", "SELECT $1", &[oid(&server, "later")]);
        let frames = raw.sync();
        assert_eq!(
            states(&frames),
            [""; 0],
            "{major} {:?}",
            frames.iter().filter(|f| f.tag == b'E').map(|f| f.field(b'D')).collect::<Vec<_>>()
        );
        server.execute("postgres", "ALTER DOMAIN later ADD CHECK (keep(VALUE))").unwrap();
        let mut other = Raw::login(gate.address(), "postgres", "postgres");
        look_again(&mut other);
        raw.bind("", "earlier", &[], &[Some(b"secret")], &[]);
        raw.execute("", 0);
        assert_eq!(states(&raw.sync()), ["SG001"], "{major}");
        assert!(!holds(&tap.to_server(), b"secret"), "{major}");
        let kept = server.query("postgres", "SELECT count(*)::text FROM customers").unwrap();
        assert_eq!(kept[0][0].as_deref(), Some("0"), "{major}");
    }
}

/// Operators of the server's own names for a type into which text and bytea turn by themselves.
const OPERATORS: [&str; 9] = ["=", "<>", "<", "~", "~~", "&&", "<->", "||", "@>"];

/// What may stand beside an operator.
const OPERANDS: [&str; 22] = [
    "a",
    "v",
    "n",
    "c",
    "i",
    "b",
    "g",
    "'x'",
    "NULL",
    "7",
    "'x'::text",
    "'x'::name",
    "'\\x61'::bytea",
    "decode('61', 'hex')",
    "convert_to(a, 'UTF8')",
    "upper(a)",
    "(SELECT b FROM things LIMIT 1)",
    "(SELECT a FROM things LIMIT 1)",
    "bs[1]",
    "substr(a, 1)",
    "$1",
    "$2",
];

const THINGS: &str = "CREATE VIEW cities AS SELECT city FROM customers; \
    CREATE TYPE geo; CREATE FUNCTION geo_in(cstring) RETURNS geo LANGUAGE internal IMMUTABLE STRICT AS 'textin'; \
    CREATE FUNCTION geo_out(geo) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout'; \
    CREATE TYPE geo (INPUT = geo_in, OUTPUT = geo_out, INTERNALLENGTH = VARIABLE); \
    CREATE CAST (text AS geo) WITHOUT FUNCTION AS IMPLICIT; CREATE CAST (bytea AS geo) WITHOUT FUNCTION AS IMPLICIT; \
    CREATE FUNCTION peeks(geo, geo) RETURNS boolean LANGUAGE plpgsql AS \
    $$ BEGIN RAISE NOTICE '%', (SELECT string_agg(city, ' ') FROM cities); RETURN true; END $$; \
    CREATE TABLE things (a text, v varchar, n name, c char(3), i int, b bytea, bs bytea[], g geo); \
    INSERT INTO things VALUES ('x', 'x', 'x', 'x', 7, '\\x61', '{\"\\\\x61\"}', 'x')";

#[test]
fn an_operator_of_another_type_is_recorded_wherever_the_server_takes_it() {
    let mut dice = StdRng::seed_from_u64(10);
    for major in VERSIONS {
        let server = shop::server(major);
        server.execute("postgres", THINGS).unwrap();
        for operator in OPERATORS {
            let sql = format!(
                "CREATE OPERATOR public.{operator} (LEFTARG = geo, RIGHTARG = geo, FUNCTION = peeks)"
            );
            server.execute("postgres", &sql).unwrap();
        }
        let gate = classified(Setup::before(server.address()))
            .extra("[policy]\nvouch = [\"public.geo_in(cstring)\", \"public.geo_out(geo)\", \"public.peeks(geo,geo)\"]\n")
            .start();
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        fill(&mut raw);
        let types = ["text", "bytea", "geo", "int4", "varchar"].map(|name| oid(&server, name));
        let (mut seen, mut silent) = (0, 0);
        for _ in 0..600 {
            let mut pick = || *OPERANDS.choose(&mut dice).unwrap();
            let (left, right) = (pick(), pick());
            let operator = OPERATORS.choose(&mut dice).unwrap();
            let condition = format!("{left} {operator} {right}");
            let sql = if dice.random_bool(0.5) {
                format!("SELECT 1 FROM things WHERE {condition}")
            } else {
                format!("SELECT {condition} FROM things")
            };
            let before = records(&gate).len();
            let frames = if sql.contains('$') {
                let mut declared = |name: &str| match sql.contains(name) {
                    true if dice.random_bool(0.7) => *types.choose(&mut dice).unwrap(),
                    _ => 0,
                };
                let (first, second) = (declared("$1"), declared("$2"));
                raw.parse("", &sql, &[first, second]);
                let both = [Some(&b"7"[..]), Some(&b"7"[..])];
                let count = if sql.contains("$2") || second > 0 { 2 } else { 1 };
                raw.bind("", "", &[], &both[..count], &[]);
                raw.execute("", 0);
                raw.sync()
            } else {
                raw.query(&sql)
            };
            let shows = shown(&frames);
            assert!(shows == 0 || recorded(&gate, before).0 > 0, "{major}: {sql} showed {shows}");
            seen += u32::from(shows > 0);
            silent += u32::from(states(&frames).is_empty() && intents(&gate) == 6);
        }
        assert!(seen > 60, "{major}: the operator was taken {seen} times");
        assert!(silent < 600, "{major}: {silent}");
    }
}

/// Ordinary statements of those who have PostGIS, and what becomes of them without a word in the policy:
/// SQLSTATE, and how many intents.
const OF_POSTGIS: &[(&str, &str, usize)] = &[
    ("SELECT avg(id), sum(id), count(*) FROM orders WHERE id = 1 AND item <> 'x'", "", 0),
    ("SELECT id, name FROM places WHERE id = 1 AND name < 'z' ORDER BY name", "", 0),
    ("SELECT id, upper(name), name || 'x' FROM places WHERE name ~ 'n' AND name LIKE 'n%'", "", 0),
    ("UPDATE places SET name = 'm' WHERE id = 1", "", 0),
    ("INSERT INTO places (id, name) VALUES (2, 'x')", "", 0),
    ("SELECT srid, auth_name FROM spatial_ref_sys WHERE srid = 4326", "", 0),
    ("SELECT id, ST_AsText(geom), ST_X(geom) FROM places", "", 1),
    ("SELECT id, ST_AsText(geom) FROM places WHERE id = 1 AND name = 'n'", "", 1),
    ("SELECT * FROM places", "", 1),
    ("SELECT id FROM places ORDER BY geom <-> geom", "", 1),
    ("SELECT f_table_name FROM geometry_columns", "", 1),
    // Values that go to its code.
    ("SELECT id FROM places WHERE ST_DWithin(geom, ST_SetSRID(ST_MakePoint(1, 2), 4326), 10)", "SG001", 0),
    ("SELECT id FROM places WHERE geom && ST_MakeEnvelope(0, 0, 3, 3, 4326)", "SG001", 0),
    ("INSERT INTO places (id, geom) VALUES (3, ST_SetSRID(ST_MakePoint(1, 2), 4326))", "SG001", 0),
    ("SELECT 'POINT(1 2)'::geometry", "SG001", 0),
    // The classified table, which has a place of its own.
    ("INSERT INTO customers (id, email) VALUES (1, 'a@b.c')", "", 1),
    ("SELECT email FROM customers WHERE email = 'a@b.c' AND id = 1", "", 1),
    ("SELECT email, ST_AsText(home) FROM customers WHERE email = 'a@b.c' AND id = 1", "", 1),
    ("SELECT * FROM customers WHERE email = 'a@b.c' AND id IN (1, 2)", "", 1),
    ("SELECT email FROM customers WHERE email IN ('a@b.c') AND city LIKE 'x%' ORDER BY id", "", 1),
    ("UPDATE customers SET email = 'c@d.e' WHERE id = 1", "", 1),
];

#[test]
fn postgis_is_opaque_where_it_is_used_and_nowhere_else() {
    let server = shop::server(15);
    server
        .execute(
            "postgres",
            "CREATE EXTENSION postgis; CREATE TABLE places (id int PRIMARY KEY, name text, geom geometry(Point, 4326), area geography); \
             CREATE INDEX ON places USING gist (geom); ALTER TABLE customers ADD COLUMN home geometry(Point, 4326); \
             INSERT INTO places VALUES (1, 'n', ST_SetSRID(ST_MakePoint(1, 2), 4326), NULL)",
        )
        .expect("PostGIS for this server (Debian: postgresql-postgis)");
    let (gate, tap) = open(&server);
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    for (sql, state, recorded) in OF_POSTGIS {
        let before = intents(&gate);
        let expected: &[&str] = if state.is_empty() { &[] } else { &[state] };
        assert_eq!(states(&raw.query(sql)), expected, "{sql}");
        assert_eq!(intents(&gate) - before, *recorded, "{sql} left {:?}", records(&gate).last());
    }
    assert!(!holds(&tap.to_server(), b"a@b.c"));
    gate.configure(|text| format!("{text}\n[policy]\nvouch = [\"extension:postgis\"]\n"));
    gate.signal("HUP");
    await_that("the reload", || gate.log().contains("the configuration was read again"));
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    for (sql, state, _) in OF_POSTGIS {
        let sql = sql.replace("VALUES (1,", "VALUES (5,").replace("VALUES (2,", "VALUES (6,");
        assert_eq!(states(&raw.query(&sql)), [""; 0], "{sql}, which without a word was {state}");
    }
    let sql = "INSERT INTO customers (id, email, home) VALUES (7, 'e@f.g', ST_SetSRID(ST_MakePoint(1, 2), 4326)) \
        RETURNING email";
    assert_eq!(firsts(&raw.query(sql)), ["e@f.g"]);
}
