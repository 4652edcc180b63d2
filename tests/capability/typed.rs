//! Sealed columns of every type: what a client is told, gives and gets is what a plain table would tell, take
//! and give, in both formats and under whatever settings; the column itself is text.

mod forms;
mod own;
mod rare;
mod reported;
mod sizes;

use std::fmt::Write;

use sealgate::catalog::{Kind, Logical};
use sealgate::store::postgres::Throwaway;

use crate::harness::{Frame, Gate, Raw, Setup, Tap, VERSIONS, pg};
use crate::shop;

/// A type as a policy has it, and values of it as SQL writes them, each another one. The first holds
/// letters or digits by which it can be found in what goes to the server.
const TYPES: &[(&str, &[&str])] = &[
    ("text", &["ada@sentinel.example", "", "it''s", "ünï 雪", " blanks "]),
    ("varchar(24)", &["ada@sentinel.example", "", "x ", "雪"]),
    ("bpchar(24)", &["ada@sentinel.example", "", "a b"]),
    ("int2", &["31337", "0", "-1", "-32768"]),
    ("int4", &["1734918273", "0", "-1", "-2147483648"]),
    ("int8", &["917349182734918273", "0", "-1", "-9223372036854775808"]),
    ("numeric(12,2)", &["1734918273.25", "0.00", "-0.01", "9999999999.99"]),
    ("numeric", &["1734918273.2500", "0", "-0.010", "1e40", "NaN"]),
    ("float8", &["1734918273.25", "0", "-1.5e-300", "Infinity", "NaN"]),
    ("float4", &["1.7349182e+09", "0.1", "-1.5e-30"]),
    ("bool", &["true", "false"]),
    ("date", &["1991-07-23", "0044-03-15 BC", "infinity", "-infinity", "10000-01-01"]),
    ("time", &["13:37:59.123457", "00:00:00", "24:00:00"]),
    ("timestamp", &["1991-07-23 13:37:59.123457", "infinity", "2000-01-01 00:00:00"]),
    ("timestamptz", &["1991-07-23 13:37:59.123457+02", "infinity", "2020-02-29 23:59:59-11"]),
    ("uuid", &["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000"]),
    ("bytea", &["\\x73656e74696e656c00ff", "\\x"]),
    ("json", &[r#"{"b" : 1,  "a": "sentinel"}"#, "null", "[1, 2.50]"]),
    ("jsonb", &[r#"{"b" : 1,  "a": "sentinel"}"#, "null", "[1, 2.50]"]),
    ("inet", &["198.51.100.173", "198.51.100.0/24", "2001:db8::1/64"]),
    ("text[]", &["{ada@sentinel.example,\"b c\",NULL}", "{}"]),
    ("int4[]", &["{1734918273,2,NULL}", "{}"]),
];

const SETTINGS: &[&str] = &[
    "SET datestyle TO 'ISO, MDY'",
    "SET datestyle TO 'German'; SET timezone TO 'Europe/Berlin'",
    "SET datestyle TO 'SQL, DMY'; SET timezone TO 'America/New_York'",
    "SET datestyle TO 'Postgres, MDY'; SET timezone TO 'Asia/Kathmandu'",
];

/// What is asked of a column that is kept in lower case, as applications write it; `?` is a value of theirs.
/// A plain table whose values are in lower case says the same.
const FOLDED: &[&str] = &[
    "SELECT id FROM people WHERE lower(email) = lower(?) ORDER BY id",
    "SELECT id FROM people WHERE upper(email) = upper(?) ORDER BY id",
    "SELECT id FROM people WHERE UPPER(\"people\".\"email\"::text) = UPPER(?) ORDER BY id",
    "SELECT id FROM people WHERE lower(email) IN (lower(?), lower('nobody')) ORDER BY id",
    "SELECT id FROM people WHERE lower(email) = ANY(ARRAY[lower(?)]) ORDER BY id",
    "SELECT id FROM people WHERE email ILIKE ? ORDER BY id",
    "SELECT id FROM people WHERE email NOT ILIKE ? ORDER BY id",
    "SELECT id FROM people WHERE lower(email) LIKE lower(?) ORDER BY id",
    "SELECT id FROM people WHERE UPPER(email::text) LIKE UPPER(?) ORDER BY id",
    "SELECT id FROM people WHERE email = lower(?) ORDER BY id",
    "SELECT id FROM people WHERE lower(email) = ? ORDER BY id",
    "SELECT id FROM people WHERE lower(email) <> ? ORDER BY id",
    "SELECT lower(email) FROM people WHERE lower(email) = lower(?)",
    "SELECT lower(p.email) AS mail, id FROM people p WHERE upper(p.email) = upper(?)",
    "SELECT id FROM (SELECT lower(email) AS mail, id FROM people) s WHERE mail = lower(?) ORDER BY id",
    "SELECT count(*) FROM people GROUP BY lower(email) HAVING count(lower(email)) > 1",
    "SELECT coalesce(lower(email), '') FROM people ORDER BY id",
    "SELECT CASE WHEN lower(email) = lower(?) THEN 'it' ELSE 'other' END FROM people ORDER BY id",
    "SELECT 1 FROM people a JOIN people b ON lower(a.email) = lower(b.email) WHERE a.id < b.id",
    "UPDATE people SET email = lower(?) WHERE lower(email) = lower(?) RETURNING id, email",
    "INSERT INTO people (id, email) VALUES (99, lower(?)) RETURNING email",
    "DELETE FROM people WHERE id = 99 AND lower(email) = lower(?)",
    "SELECT lower(note), upper(note) FROM people WHERE lower(note) = lower('B') AND lower(email) <> ?",
    "SELECT id FROM people WHERE (1 = '1' OR '1' = 1) AND 1 IS NOT NULL AND lower(email) = lower(?) ORDER BY id",
    "SELECT (SELECT lower(p.email) LIMIT 1) FROM people p ORDER BY id",
    "SELECT lower ( email ), id FROM people WHERE lower(email) <> ? ORDER BY id",
    "SELECT (lower(email)) FROM people WHERE lower(email) <> ?",
    "SELECT (lower('B')) FROM people WHERE lower(email) = ?",
    "SELECT upper(email) FROM people",
    "SELECT id FROM people WHERE upper(email) = ?",
    "SELECT id FROM people WHERE email ILIKE '%' || ?",
];

/// Those of them that have no meaning on sealed values.
const UNFOLDED: &[&str] = &[
    "SELECT upper(email)",
    "SELECT (lower(email))",
    "WHERE upper(email) = '",
    "WHERE upper(email) = $",
    "'%' || ",
];

/// What applications write around a value that is stored in a sealed column or compared with one, and what the
/// server itself says of types that do not meet.
const APPLIED: &[&str] = &[
    "SELECT id FROM people WHERE email = lower(?) ORDER BY id",
    "SELECT id FROM people WHERE email = UPPER( ? ) ORDER BY id",
    "SELECT id FROM people WHERE lower(trim(?)) = email ORDER BY id",
    "SELECT id FROM people WHERE email IN (lower(?), trim(lower(?)), 'bob@sentinel.example') ORDER BY id",
    "SELECT id FROM people WHERE email <> pg_catalog.btrim(?) ORDER BY id",
    "SELECT id FROM people WHERE (? IS NULL OR email = lower(?)) ORDER BY id",
    "SELECT id FROM people WHERE email = lower(?::text) ORDER BY id",
    "SELECT id FROM people WHERE email = ?::varchar(20) ORDER BY id",
    "SELECT id FROM people WHERE email = ?::character varying(255) ORDER BY id",
    "UPDATE people SET email = trim(?) WHERE id = 2 RETURNING id, email",
    "UPDATE people SET email = ltrim(rtrim(?)) WHERE id = 2 RETURNING id, email",
    "UPDATE people SET email = ?::varchar(5) WHERE id = 2 RETURNING id, email",
    "INSERT INTO people (id, email) VALUES (2, lower(?)) ON CONFLICT (id) DO UPDATE SET email = lower(?) RETURNING email",
    "INSERT INTO people (id, email) VALUES (99, lower(?)), (98, 'bob@sentinel.example') RETURNING email",
    "DELETE FROM people WHERE id > 90 AND email <> lower(?)",
    "SELECT id FROM people WHERE email = 7",
    "SELECT id FROM people WHERE email = true OR email IS NULL",
    "SELECT id FROM people WHERE email = (1.5)",
    "SELECT id FROM people WHERE email = lower(7)",
    "SELECT id FROM people WHERE email = trim(both from ?)",
    "SELECT id FROM people WHERE email = initcap(?)",
    "SELECT id FROM people WHERE email = lower(?) OR email = upper(?)",
];

/// Those of them that are refused: with a parameter that is two values, or in a form that is not followed.
const UNAPPLIED: &[&str] =
    &["both from", "initcap", "lower(7)", "lower($1) OR email = upper($1)", "IN (lower($1), trim(lower($1))"];

#[test]
fn a_column_in_lower_case_is_compared_without_regard_to_case_as_a_plain_one() {
    let values = ["ADA@Sentinel.example", "ada@sentinel.example", "a%@sentinel.example", "nobody", ""];
    told_the_same("normalize = \"lowercase\"", FOLDED, &values, &|refused| {
        UNFOLDED.iter().any(|part| refused.contains(part))
            || refused.contains("a%@") && refused.contains("LIKE")
    });
}

#[test]
fn what_a_statement_applies_to_a_value_has_been_done_when_it_is_sealed() {
    let values = [
        " ADA@Sentinel.example",
        "Ada@sentinel.example  ",
        "ada@sentinel.example",
        "ÄDA@sentinel.example",
        "",
    ];
    told_the_same("", APPLIED, &values, &|refused| {
        UNAPPLIED.iter().any(|part| refused.contains(part))
            || refused.contains("::") && refused.ends_with("[23]")
            || refused.contains('Ä') && ["lower(", "UPPER("].iter().any(|call| refused.contains(call))
    });
}

/// Compares a column of e-mails with a plain one, whose values are in lower case where the sealed one's are.
fn told_the_same(lines: &str, statements: &[&str], values: &[&str], meant: &dyn Fn(&str) -> bool) {
    for major in VERSIONS {
        let server = pg(major);
        let define = "CREATE TABLE people (id int PRIMARY KEY, email text, note text)";
        server.execute("postgres", "CREATE DATABASE plain").unwrap();
        server.execute("plain", define).unwrap();
        server.execute("postgres", define).unwrap();
        let tap = Tap::before(server.address());
        let gate =
            Setup::before(tap.address()).field_with("public.people", "email", "equality", lines).start();
        let mut pair = Pair::before(&server, &gate, "postgres");
        let rows = "(2, 'bob@sentinel.example', 'b'), (3, 'ada@sentinel.example', NULL), (4, NULL, '')";
        pair.plain.query(&format!("INSERT INTO people VALUES (1, 'ada@sentinel.example', 'A'), {rows}"));
        let first = if lines.is_empty() { "ada@sentinel.example" } else { "Ada@Sentinel.Example" };
        pair.gate.query(&format!("INSERT INTO people VALUES (1, '{first}', 'A'), {rows}"));
        for (value, sql) in values.iter().flat_map(|value| statements.iter().map(move |sql| (value, sql))) {
            // What is refused of one of them leaves other rows there.
            if !value.is_ascii() && !sql.starts_with("SELECT") {
                continue;
            }
            let literal = sql.replace('?', &format!("'{value}'"));
            pair.query(&literal);
            let numbered = sql.replace('?', "$1");
            let count = usize::from(numbered.contains("$1"));
            // Of two declared types the server has a word of its own for one.
            let declared = if count == 0 || !lines.is_empty() { 1 } else { 3 };
            for types in [&[][..], &[25], &[23]].iter().take(declared) {
                pair.same(&format!("{numbered} {value} {types:?}"), |raw| {
                    raw.parse("", &numbered, types);
                    raw.describe(b'S', "");
                    raw.bind("", "", &[], &[Some(value.as_bytes())][..count], &[]);
                    raw.execute("", 0);
                    raw.sync()
                });
            }
        }
        let others: Vec<&String> = pair.refused.iter().filter(|refused| !meant(refused)).collect();
        assert!(others.is_empty(), "{major}: of {}: {others:?}", pair.compared);
        assert!(!shop::holds(&tap.to_server(), b"entinel.example"), "{major}");
    }
}

fn logical(name: &str) -> Logical {
    Logical::parse(name).unwrap()
}

fn table(name: &str) -> String {
    name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "_")
}

/// A server with two databases: in one the columns are of their types, in the other they are text.
fn world(major: u32, types: &[(&str, &[&str])]) -> (Throwaway, Gate, Tap) {
    let server = pg(major);
    let (mut plain, mut sealed) = (String::new(), String::new());
    let tap = Tap::before(server.address());
    let mut setup = Setup::before(tap.address());
    for (name, _) in types {
        let table = table(name);
        writeln!(plain, "CREATE TABLE t_{table} (id int PRIMARY KEY, v {name});").unwrap();
        writeln!(sealed, "CREATE TABLE t_{table} (id int PRIMARY KEY, v text);").unwrap();
        let seal = if Kind::of(&logical(name)).unequal().is_some() { "random" } else { "equality" };
        let lines = format!("type = \"{name}\"\ndomain = \"{table}\"");
        setup = setup.field_with(&format!("public.t_{table}"), "v", seal, &lines);
    }
    server.execute("postgres", "CREATE DATABASE plain").unwrap();
    server.execute("plain", &plain).unwrap();
    server.execute("postgres", &sealed).unwrap();
    let gate = setup.start();
    (server, gate, tap)
}

/// What a client sees of an answer: without the numbers of tables, and of errors the SQLSTATE alone.
fn seen(frames: &[Frame]) -> Vec<String> {
    let mut seen = Vec::new();
    for frame in frames {
        match frame.tag {
            b'T' => seen.push(described(&frame.body)),
            b'E' => seen.push(format!("E {}", frame.field(b'C').unwrap_or_default())),
            b'N' | b'S' => {}
            tag => seen.push(format!("{} {:?}", char::from(tag), String::from_utf8_lossy(&frame.body))),
        }
    }
    seen
}

/// A RowDescription without the places of its columns.
fn described(body: &[u8]) -> String {
    let mut text = String::from("T");
    let mut rest = &body[2..];
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == 0).unwrap();
        let (name, after) = rest.split_at(end + 1);
        let number = |at: usize, length: usize| {
            after[at..at + length].iter().fold(0_i64, |sum, byte| sum << 8 | i64::from(*byte))
        };
        write!(
            text,
            " {} type {} length {} modifier {} format {}",
            String::from_utf8_lossy(&name[..end]),
            number(6, 4),
            number(10, 2),
            number(12, 4),
            number(16, 2)
        )
        .unwrap();
        rest = &after[18..];
    }
    text
}

fn is_refused(seen: &[String]) -> bool {
    seen.iter().any(|line| line.starts_with("E SG"))
}

/// Both sides of the comparison.
struct Pair {
    plain: Raw,
    gate: Raw,
    compared: usize,
    refused: Vec<String>,
}

impl Pair {
    /// Sessions of a plain database, and of the sealed one of this name through the gate.
    fn before(server: &Throwaway, gate: &Gate, sealed: &str) -> Pair {
        Pair {
            plain: Raw::login(server.address(), "postgres", "plain"),
            gate: Raw::login(gate.address(), "postgres", sealed),
            compared: 0,
            refused: Vec::new(),
        }
    }

    fn same(&mut self, what: &str, ask: impl Fn(&mut Raw) -> Vec<Frame>) -> Vec<Frame> {
        let direct = ask(&mut self.plain);
        let (plain, through) = (seen(&direct), seen(&ask(&mut self.gate)));
        self.compared += 1;
        if is_refused(&through) {
            self.refused.push(what.to_owned());
        } else {
            assert_eq!(through, plain, "{what}");
        }
        direct
    }

    fn query(&mut self, sql: &str) -> Vec<Frame> {
        self.same(sql, |raw| raw.query(sql))
    }
}

fn cell(frames: &[Frame]) -> Option<Vec<u8>> {
    frames.iter().find(|frame| frame.tag == b'D').and_then(|frame| frame.values().pop().flatten())
}

#[test]
fn a_sealed_column_of_any_type_is_told_taken_and_given_as_a_plain_one_on_the_oldest() {
    of_any_type(VERSIONS[0]);
}

#[test]
fn a_sealed_column_of_any_type_is_told_taken_and_given_as_a_plain_one_on_the_newest() {
    of_any_type(VERSIONS[1]);
}

#[test]
fn a_sealed_column_of_any_type_is_so_under_other_settings_on_the_oldest() {
    under_other_settings(VERSIONS[0]);
}

#[test]
fn a_sealed_column_of_any_type_is_so_under_other_settings_on_the_newest() {
    under_other_settings(VERSIONS[1]);
}

fn of_any_type(major: u32) {
    let (server, gate, tap) = world(major, TYPES);
    let mut pair = Pair::before(&server, &gate, "postgres");
    pair.query(SETTINGS[0]);
    for (name, values) in TYPES {
        of_one_type(&mut pair, name, values, 0);
    }
    nothing_went_upstream(&pair, &tap, major);
}

fn under_other_settings(major: u32) {
    let (server, gate, tap) = world(major, TYPES);
    let mut pair = Pair::before(&server, &gate, "postgres");
    for (round, settings) in SETTINGS.iter().enumerate().skip(1) {
        pair.query(settings);
        for (name, values) in TYPES {
            of_one_type(&mut pair, name, values, round);
        }
    }
    nothing_went_upstream(&pair, &tap, major);
}

fn nothing_went_upstream(pair: &Pair, tap: &Tap, major: u32) {
    assert_eq!(pair.refused, [""; 0], "{major}: of {}", pair.compared);
    let upstream = tap.to_server();
    for (name, values) in TYPES {
        if values[0].len() < 5 {
            continue;
        }
        let value = values[0]
            .trim_start_matches("\\x")
            .trim_start_matches('{')
            .split([',', '+', '"', ' '])
            .next()
            .unwrap();
        if value.len() >= 5 {
            assert!(!shop::holds(&upstream, value.as_bytes()), "{major} {name}: {value} went upstream");
        }
    }
    assert!(!shop::holds(&upstream, b"sentinel"), "{major}");
}

fn of_one_type(pair: &mut Pair, name: &str, values: &[&str], round: usize) {
    let table = format!("t_{}", table(name));
    let logical = logical(name);
    let compares = Kind::of(&logical).unequal().is_none();
    pair.query(&format!("DELETE FROM {table}"));
    let first = i32::try_from(round).unwrap() * 100;
    for (at, value) in values.iter().enumerate() {
        let id = first + i32::try_from(at).unwrap() * 10;
        pair.query(&format!("INSERT INTO {table} (id, v) VALUES ({id}, '{value}')"));
        // Of an array the elements are what a cast is about.
        if !logical.array {
            pair.query(&format!("INSERT INTO {table} VALUES ({}, '{value}'::{name})", id + 1));
            pair.query(&format!("INSERT INTO {table} (v, id) SELECT CAST('{value}' AS {name}), {}", id + 2));
        }
        pair.query(&format!("SELECT v FROM {table} WHERE id = {id}"));
        if compares {
            pair.query(&format!("SELECT id, v FROM {table} WHERE v = '{value}' ORDER BY id"));
            pair.query(&format!("SELECT count(*) FROM {table} WHERE v IN ('{value}')"));
            pair.query(&format!("SELECT count(*) FROM {table} WHERE v <> '{value}'"));
            let bare = logical.base.name();
            if logical.modifier == sealgate::catalog::NO_MODIFIER && !logical.array {
                pair.query(&format!("SELECT count(*) FROM {table} WHERE v = '{value}'::{bare}"));
                pair.query(&format!("SELECT count(*) FROM {table} WHERE v = {bare} '{value}'"));
            }
        }
        bound(pair, &table, &logical, value, id);
    }
    pair.query(&format!("SELECT v, id FROM {table} ORDER BY id"));
    pair.query(&format!("SELECT * FROM {table} ORDER BY id"));
    pair.query(&format!("SELECT coalesce(v, NULL) FROM {table} ORDER BY id"));
    if compares {
        pair.query(&format!("SELECT a.id FROM {table} a JOIN {table} b ON a.v = b.v ORDER BY 1"));
        pair.query(&format!("SELECT count(DISTINCT v), count(v) FROM {table}"));
        pair.query(&format!(
            "SELECT v FROM (SELECT v, min(id) AS least FROM {table} GROUP BY v) g ORDER BY least"
        ));
    }
    for wrong in ["sentinel", "99999999999999999999", "1991-13-45", "{", "12:61"] {
        pair.query(&format!("INSERT INTO {table} (id, v) VALUES ({}, '{wrong}')", first + 99));
        pair.query(&format!("DELETE FROM {table} WHERE id = {}", first + 99));
    }
}

/// Statements that pass values on or compare them in other ways; `{a}` and `{b}` are values, `{t}` the table and
/// `{T}` the type.
const FORMS: &[&str] = &[
    "SELECT id FROM {t} WHERE v IS DISTINCT FROM '{a}' ORDER BY id",
    "SELECT id, nullif(v, '{a}') AS n FROM {t} ORDER BY id",
    "SELECT id, nullif(v::{T}, '{a}') AS n, nullif((v)::{T}, nullif(v, '{b}')) AS m FROM {t} ORDER BY id",
    "SELECT id, CASE v WHEN '{a}' THEN 1 WHEN '{b}'::{T} THEN 2 ELSE 3 END FROM {t} ORDER BY id",
    "SELECT id, CASE WHEN id % 2 = 0 THEN v ELSE '{b}' END AS c FROM {t} ORDER BY id",
    "SELECT id, coalesce(v, '{a}') FROM {t} ORDER BY id",
    "SELECT coalesce(v, v) AS a, CASE WHEN id = 1 THEN v END AS b, CASE WHEN id = 1 THEN v ELSE v END AS c, (v) AS d FROM {t} ORDER BY id",
    "SELECT v::{T} AS a, nullif(coalesce(v, '{a}'), '{b}') AS b, nullif(CASE WHEN id > 1 THEN v END, '{b}') AS c FROM {t} ORDER BY id",
    "SELECT lag(v) OVER (ORDER BY id) AS a, last_value(v) OVER (ORDER BY id) AS b FROM {t} ORDER BY id",
    "SELECT * FROM (SELECT v AS a, coalesce(v, '{b}') AS b FROM {t} ORDER BY id) s",
    "SELECT v FROM {t} WHERE id = 1 UNION ALL SELECT '{a}'",
    "SELECT v FROM {t} WHERE id = 1 UNION ALL SELECT v FROM {t} WHERE id = 1",
    "SELECT count(*) FROM (SELECT v FROM {t} UNION SELECT '{a}'::{T} UNION SELECT '{b}') u",
    "SELECT {t}.id FROM (VALUES ('{a}'::{T}), ('{b}')) x(v) JOIN {t} ON {t}.v = x.v ORDER BY 1",
    "SELECT id FROM {t} WHERE (v, id) = ('{a}', 1) OR (id, v) IN ((2, '{b}')) ORDER BY id",
    "SELECT id FROM {t} WHERE v = ANY(ARRAY['{a}', '{b}']::{T}[]) ORDER BY id",
    "SELECT id FROM {t} WHERE v <> ALL('{\"{a}\"}'::{T}[]) ORDER BY id",
    "SELECT id FROM {t} WHERE v = (SELECT min(id)::text FROM {t})::{T}",
    "SELECT id FROM {t} o WHERE v IN (SELECT v FROM {t} i WHERE i.id < o.id) ORDER BY id",
    "WITH x AS (SELECT v, id FROM {t}) SELECT count(*), count(DISTINCT v) FROM x WHERE v = '{a}'",
    "SELECT {t}.id FROM unnest(ARRAY['{a}', '{b}']::{T}[]) u(v) JOIN {t} USING (v) ORDER BY 1",
    "SELECT id, first_value(v) OVER (PARTITION BY v ORDER BY id) AS f FROM {t} ORDER BY id",
    "UPDATE {t} SET v = '{b}' WHERE v = '{a}' AND id % 2 = 0 RETURNING id, v",
    "INSERT INTO {t} (id, v) VALUES (7, '{a}') ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v RETURNING v",
    "INSERT INTO {t} (id, v) SELECT 8, v FROM {t} WHERE v = '{a}' LIMIT 1 ON CONFLICT DO NOTHING RETURNING id, v",
    "UPDATE {t} SET v = x.v FROM (VALUES (7, '{b}'::{T})) x(id, v) WHERE {t}.id = x.id RETURNING {t}.id, {t}.v",
    "DELETE FROM {t} WHERE v = '{b}' AND id IN (7, 8) RETURNING id",
];

/// Numbers and truth values as they are written without quotes.
const BARE: &[(&str, &[&str])] = &[
    ("int2", &["5", "-1", "32768", "1.5", "5.0"]),
    ("int4", &["5", "-1", "2147483648", "1.5", "5.0", "1e3", "-0"]),
    ("int8", &["5", "-1", "9223372036854775808", "1e3"]),
    ("numeric(12,2)", &["5", "-1", "1.005", "1.25", "1e3", "10000000000"]),
    ("numeric", &["5", "1.500"]),
    ("float8", &["5", "-1.5", "1e300"]),
    ("bool", &["true", "FALSE"]),
    ("text", &["5", "1.50", "true"]),
    ("varchar(24)", &["5", "-1.50"]),
];

fn of_forms(pair: &mut Pair, name: &str, values: &[&str]) {
    let table = format!("t_{}", table(name));
    let logical = logical(name);
    let ready = if logical.modifier == sealgate::catalog::NO_MODIFIER { name } else { logical.base.name() };
    for (form, (a, b)) in FORMS.iter().zip(values.iter().zip(values.iter().cycle().skip(1)).cycle()) {
        let sql = form.replace("{t}", &table).replace("{T}", ready).replace("{a}", a).replace("{b}", b);
        pair.query(&sql);
    }
    pair.query(&format!("SELECT id, v FROM {table} ORDER BY id"));
}

#[test]
fn values_of_every_type_are_passed_on_and_compared_as_plain_ones() {
    for major in VERSIONS {
        let (server, gate, tap) = world(major, TYPES);
        let mut pair = Pair::before(&server, &gate, "postgres");
        for (name, values) in TYPES {
            let compares = Kind::of(&logical(name)).unequal().is_none();
            let table = format!("t_{}", table(name));
            for (at, value) in values.iter().enumerate() {
                pair.query(&format!(
                    "INSERT INTO {table} (id, v) VALUES ({at}, '{value}'), ({}, '{value}')",
                    at + 20
                ));
            }
            // A char(n) that an expression passes on is padded as its column is.
            if compares && !name.ends_with("[]") && !name.starts_with("bpchar") {
                of_forms(&mut pair, name, values);
            }
            for (_, bare) in BARE.iter().filter(|(of, _)| of == name) {
                for value in *bare {
                    pair.query(&format!("INSERT INTO {table} (id, v) VALUES (50, {value}) RETURNING v"));
                    pair.query(&format!("DELETE FROM {table} WHERE id = 50"));
                    if compares {
                        pair.query(&format!("SELECT id FROM {table} WHERE v = {value}"));
                        pair.query(&format!(
                            "SELECT id FROM {table} WHERE v IN ({value}, {value}) OR v <> {value}"
                        ));
                        pair.query(&format!("UPDATE {table} SET v = {value} WHERE v = {value}"));
                    }
                }
            }
        }
        // What the server does not compare is refused in our words, and what is none of its literals.
        let meant = |refused: &String| {
            refused.contains("min(id)::text")
                || refused.starts_with("SELECT id FROM t_text WHERE v")
                || refused.starts_with("SELECT id FROM t_varchar_24_ WHERE v")
                || refused.starts_with("UPDATE t_text SET v = ")
                || refused.starts_with("UPDATE t_varchar_24_ SET v = ")
        };
        let others: Vec<&String> = pair.refused.iter().filter(|refused| !meant(refused)).collect();
        assert!(others.is_empty(), "{major}: of {}: {others:?}", pair.compared);
        assert!(!shop::holds(&tap.to_server(), b"sentinel"), "{major}");
    }
}

/// The same value as a parameter, in both formats, undeclared and of its own type.
fn bound(pair: &mut Pair, table: &str, logical: &Logical, value: &str, id: i32) {
    let value = value.replace("''", "'");
    let oid = logical.described().unwrap().0;
    let insert = format!("INSERT INTO {table} (id, v) VALUES ($1, $2)");
    let select = format!("SELECT v FROM {table} WHERE id = $1");
    let ask = |raw: &mut Raw, declared: &[u32], format: u16, value: &[u8], id: i32, result: u16| {
        raw.parse("", &insert, declared);
        raw.describe(b'S', "");
        raw.bind("", "", &[0, format], &[Some(id.to_string().as_bytes()), Some(value)], &[]);
        raw.execute("", 0);
        raw.parse("", &select, &[]);
        raw.bind("", "", &[], &[Some(id.to_string().as_bytes())], &[result]);
        raw.describe(b'P', "");
        raw.execute("", 0);
        raw.sync()
    };
    let told =
        |declared: &[u32], format: u16| format!("{table} {value} declared {declared:?} format {format}");
    let text = value.as_bytes();
    pair.same(&told(&[], 0), |raw| ask(raw, &[], 0, text, id + 3, 0));
    let answered = pair.same(&told(&[23, oid], 0), |raw| ask(raw, &[23, oid], 0, text, id + 4, 1));
    let Some(binary) = cell(&answered) else { return };
    pair.same(&told(&[], 1), |raw| ask(raw, &[], 1, &binary, id + 5, 1));
    pair.same(&told(&[23, oid], 1), |raw| ask(raw, &[23, oid], 1, &binary, id + 6, 0));
    // Described as a statement first, as drivers that keep their statements do.
    let select = format!("SELECT id, v FROM {table} WHERE id = $1");
    pair.same(&format!("described {select}"), |raw| {
        raw.parse("kept", &select, &[]);
        raw.describe(b'S', "kept");
        let mut frames = raw.sync();
        for format in [1, 0] {
            raw.bind("", "kept", &[], &[Some((id + 6).to_string().as_bytes())], &[format]);
            raw.execute("", 0);
            frames.extend(raw.sync());
        }
        raw.close(b'S', "kept");
        frames.extend(raw.sync());
        frames
    });
    if Kind::of(logical).unequal().is_none() {
        let search = format!("SELECT count(*) FROM {table} WHERE v = $1");
        for (declared, format, value) in [(0, 0, text), (oid, 0, text), (0, 1, &binary), (oid, 1, &binary)] {
            // varchar has no operators of its own, and a client that declares it gets those of text.
            pair.same(&format!("{search} {declared} {format}"), |raw| {
                raw.parse("", &search, &[declared]);
                raw.describe(b'S', "");
                raw.bind("", "", &[format], &[Some(value)], &[]);
                raw.execute("", 0);
                raw.sync()
            });
        }
        if !logical.array {
            let cast = format!("SELECT count(*) FROM {table} WHERE v = $1::{}", logical.base.name());
            let any = format!("SELECT count(*) FROM {table} WHERE v = ANY($1::{}[])", logical.base.name());
            for (search, value) in [(&cast, text.to_vec()), (&any, format!("{{\"{value}\"}}").into_bytes())] {
                pair.same(search, |raw| {
                    raw.parse("", search, &[]);
                    raw.describe(b'S', "");
                    raw.bind("", "", &[], &[Some(&value)], &[]);
                    raw.execute("", 0);
                    raw.sync()
                });
            }
        }
    }
}
