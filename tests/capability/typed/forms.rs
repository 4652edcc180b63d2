//! What is written of sealed columns beside comparisons, and means the same as of plain ones: a truth value as a
//! condition, and the text of a value of another type.

use crate::harness::{Gate, Setup, Tap, VERSIONS, pg};
use crate::shop;

use super::{Pair, SETTINGS, is_refused, seen};

/// Columns of one table, with a policy for each.
const COLUMNS: &[(&str, &str, &str)] = &[
    ("active", "bool", "equality"),
    ("hidden", "bool", "random"),
    ("born", "date", "equality"),
    ("seen", "timestamptz", "equality"),
    ("key", "uuid", "equality"),
    ("pay", "numeric(12,2)", "equality"),
    ("age", "int4", "equality"),
    ("host", "inet", "equality"),
    ("code", "char(8)", "equality"),
    ("ratio", "float8", "random"),
    ("took", "interval", "random"),
    ("raw", "bytea", "equality"),
    ("tags", "text[]", "equality"),
    ("flags", "bool[]", "equality"),
    ("days", "date[]", "random"),
    ("counts", "int8[]", "equality"),
    ("prices", "numeric(8,2)[]", "equality"),
    ("names", "varchar(6)[]", "equality"),
];

const ROWS: &str = "INSERT INTO people (id, active, hidden, born, seen, key, pay, age, host, code, ratio, took, raw, tags, flags) VALUES \
    (1, true, false, '1991-07-23', '1991-07-23 13:37:59.123457+02', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 1734918.25, 31337, \
     '198.51.100.173', 'ab', 1.5, '1 mon 2 days', '\\x73656e74', '{a,\"b c\",NULL}', '{t,f,NULL}'), \
    (2, false, true, '0044-03-15 BC', 'infinity', '00000000-0000-0000-0000-000000000000', 0, -1, '10.0.0.0/8', '', 0, '0', '\\x', '{}', '{}'), \
    (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), \
    (4, true, true, '2000-01-01', '2000-01-01 00:00:00+00', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12', -0.5, 7, '2001:db8::1', '7', -1e300, '-1 day', '\\x00', '{7}', '{t}')";

/// With a truth value as a condition.
const CONDITIONS: &[&str] = &[
    "SELECT id FROM people WHERE active ORDER BY id",
    "SELECT id FROM people WHERE NOT active ORDER BY id",
    "SELECT id FROM people p WHERE (p.active) AND id > 1 ORDER BY id",
    "SELECT id FROM people WHERE \"people\".\"active\" OR id = 2 ORDER BY id",
    "SELECT id FROM people WHERE NOT (NOT public.people . /* ( */ active) ORDER BY id",
    "SELECT id FROM people WHERE active IS TRUE ORDER BY id",
    "SELECT id FROM people WHERE active IS NOT TRUE ORDER BY id",
    "SELECT id FROM people WHERE active IS FALSE ORDER BY id",
    "SELECT id FROM people WHERE active IS NOT FALSE ORDER BY id",
    "SELECT id FROM people WHERE active IS UNKNOWN ORDER BY id",
    "SELECT id FROM people WHERE active IS NOT UNKNOWN AND NOT active ORDER BY id",
    "SELECT id FROM people WHERE coalesce(active, false) ORDER BY id",
    "SELECT id FROM people WHERE NOT COALESCE ( active , true ) ORDER BY id",
    "SELECT id, CASE WHEN active THEN 'on' WHEN NOT active THEN 'off' END AS is FROM people ORDER BY id",
    "SELECT id, active AND id < 2 AS young, NOT active AS off, active IS TRUE AS is FROM people ORDER BY id",
    "SELECT count(*) FILTER (WHERE active), count(*) FILTER (WHERE NOT active) FROM people",
    "SELECT a.id, b.id FROM people a JOIN people b ON a.active AND NOT b.active ORDER BY 1, 2",
    "SELECT active, count(*) AS n FROM people GROUP BY active HAVING active ORDER BY n",
    "SELECT id FROM (SELECT id, active AS a FROM people) s WHERE s.a ORDER BY id",
    "WITH x AS (SELECT id, active FROM people WHERE active) SELECT id FROM x WHERE active AND id > 1",
    "SELECT id FROM people o WHERE EXISTS (SELECT 1 FROM people i WHERE i.id < o.id AND i.active AND o.active)",
    "UPDATE people SET active = false WHERE active AND id = 4 RETURNING id, active",
    "UPDATE people SET active = true WHERE NOT active AND id = 4 RETURNING id, active",
    "DELETE FROM people WHERE NOT active AND id = 99",
    "INSERT INTO people (id, active) VALUES (4, false) ON CONFLICT (id) DO UPDATE SET active = EXCLUDED.active WHERE people.active AND NOT people.active RETURNING id",
    "SELECT id FROM people WHERE active AND active = true AND active IN (true) ORDER BY id",
];

/// With the text of a value. `?` is one that is written as a row has it, or as none has.
const TEXTS: &[&str] = &[
    "SELECT id, born::text FROM people ORDER BY id",
    "SELECT id, seen::text, CAST(key AS text) AS k FROM people ORDER BY id",
    "SELECT p.pay::text, p.age::varchar, CAST(host AS character varying) FROM people p ORDER BY id",
    "SELECT code::text, ratio::text, took::text, raw::text FROM people ORDER BY id",
    "SELECT active::text, hidden::text, tags::text, flags::text FROM people ORDER BY id",
    "SELECT s.b FROM (SELECT born::text AS b, id FROM people) s ORDER BY s.id",
    "SELECT (SELECT born::text FROM people i WHERE i.id = o.id) AS b FROM people o ORDER BY id",
    "SELECT *, age::text AS years FROM people ORDER BY id",
    "UPDATE people SET age = 31337 WHERE id = 1 RETURNING age::text",
    "SELECT id FROM people WHERE born::text IS NULL",
    "SELECT id FROM people WHERE born::text = ? ORDER BY id",
    "SELECT id FROM people WHERE ? = seen::text ORDER BY id",
    "SELECT id FROM people WHERE key::text IN (?, 'none') ORDER BY id",
    "SELECT id FROM people WHERE key::text <> ? ORDER BY id",
    "SELECT id FROM people WHERE pay::text = ? ORDER BY id",
    "SELECT id FROM people WHERE host::text = ? ORDER BY id",
    "SELECT id FROM people WHERE active::text = ? ORDER BY id",
    "SELECT id FROM people WHERE code::text = ? ORDER BY id",
    "SELECT id FROM people WHERE CAST(age AS varchar) = ANY(ARRAY[?, '7']) ORDER BY id",
    "SELECT a.id FROM people a JOIN people b ON a.key::text = b.key::text ORDER BY 1",
    "SELECT id, CASE WHEN age::text = ? THEN 1 ELSE 0 END FROM people ORDER BY id",
];

/// With arrays that are cast, which are sealed as a whole. `?` is one of them.
const ARRAYS: &[&str] = &[
    "UPDATE people SET tags = ?::text[] WHERE id = 4 RETURNING tags",
    "UPDATE people SET tags = CAST(? AS varchar[]) WHERE id = 4 RETURNING tags::text[]",
    "UPDATE people SET tags = COALESCE(?::text[], tags), flags = COALESCE(NULL::bool[], flags) WHERE id = 4 RETURNING *",
    "INSERT INTO people (id, tags) SELECT 4, v FROM (VALUES (?::text[])) x(v) ON CONFLICT (id) DO UPDATE SET tags = EXCLUDED.tags RETURNING tags",
    "SELECT id, COALESCE(tags, ?::text[]), flags::bool[] FROM people ORDER BY id",
    "SELECT id FROM people WHERE tags = ?::text[] ORDER BY id",
    "SELECT id FROM people WHERE code = ANY(?::text[]) ORDER BY id",
];

/// With arrays that a text makes of constants, as psycopg2, Sequelize and Django write them.
const ARRAYS_MADE: &[&str] = &[
    "UPDATE people SET tags = ARRAY['sentinel', 'b c', NULL, '', 'a\"b'] WHERE id = 4 RETURNING tags",
    "UPDATE people SET tags = ARRAY['sentinel']::text[], flags = ARRAY[true, FALSE, NULL]::bool[] WHERE id = 4 RETURNING *",
    "UPDATE people SET tags = array [ 'sentinel' /* ] */ , E'it\\'s', $$]$$ ] :: varchar(4) [ ] WHERE id = 4 RETURNING tags",
    "UPDATE people SET tags = ARRAY[]::text[], counts = ARRAY[]::integer[], days = ARRAY[]::date[] WHERE id = 4 RETURNING *",
    "UPDATE people SET tags = COALESCE(ARRAY[]::text[], tags) WHERE id = 4 RETURNING tags",
    "UPDATE people SET days = ARRAY['1991-07-23'::date, NULL, 'infinity'::date] WHERE id = 4 RETURNING days",
    "UPDATE people SET counts = ARRAY[1734918, -7]::bigint[], prices = ARRAY[1734918.255, 7] WHERE id = 4 RETURNING counts, prices",
    "UPDATE people SET counts = ARRAY[1734918, -7], prices = ARRAY[1734918.25, 7]::numeric(8,2)[] WHERE id = 4 RETURNING counts, prices",
    "UPDATE people SET counts = ARRAY['1734918', 8]::int8[] WHERE id = 4 RETURNING counts",
    "UPDATE people SET prices = ARRAY[1734918, 7], counts = ARRAY[1734918.5, 7] WHERE id = 4",
    "UPDATE people SET prices = ARRAY[173491, 7], counts = ARRAY[1734918.5, 7] WHERE id = 4 RETURNING prices, counts",
    "UPDATE people SET counts = ARRAY['many']::int8[] WHERE id = 4",
    "UPDATE people SET counts = ARRAY[9223372036854775808] WHERE id = 4",
    "UPDATE people SET names = ARRAY['sentinel']::varchar(6)[] WHERE id = 4 RETURNING names",
    "UPDATE people SET names = ARRAY['sentinel'] WHERE id = 4",
    "UPDATE people SET names = ARRAY['sent','x']::varchar(6)[] WHERE id = 4 RETURNING names",
    "INSERT INTO people (id, tags) VALUES (9, ARRAY['sentinel']), (10, '{}'), (11, NULL), (12, ARRAY['7']) RETURNING id, tags",
    "INSERT INTO people (id, tags) SELECT i, v FROM (VALUES (13, ARRAY['sentinel', NULL]), (14, '{}'::text[])) x(i, v) RETURNING tags",
    "SELECT id FROM people WHERE tags = ARRAY['sentinel'] ORDER BY id",
    "SELECT id FROM people WHERE tags <> ARRAY['7']::text[] ORDER BY id",
    "SELECT id FROM people WHERE ARRAY['sentinel', NULL]::text[] = tags OR tags IN (ARRAY['7'], '{}') ORDER BY id",
    "SELECT id, COALESCE(tags, ARRAY['none']) FROM people ORDER BY id",
    "SELECT id, CASE WHEN tags IS NULL THEN ARRAY['none'] ELSE tags END FROM people ORDER BY id",
    "SELECT id FROM people WHERE code = ANY(ARRAY['7', 'ab']) AND names = ARRAY['sent', 'x']::varchar[] ORDER BY id",
    "SELECT id FROM people WHERE prices = ARRAY[1734918.25, 7.000] OR counts = ARRAY[7]::bigint[] ORDER BY id",
    "INSERT INTO people (id, tags) VALUES (9, '{}') ON CONFLICT (id) DO UPDATE SET tags = ARRAY['sentinel', 'b'] RETURNING tags",
    "DELETE FROM people WHERE id > 8 AND tags = ARRAY['sentinel', 'b']",
    "DELETE FROM people WHERE id > 8",
];

/// An array that is made of parameters, which cannot become one sealed value at the server: what is refused, and what
/// the hint says instead, with the elements' type.
const ARRAYS_OF_PARAMETERS: &[(&str, &str, u32)] = &[
    (
        "UPDATE people SET tags = ARRAY[$1, $2] WHERE id = 4 RETURNING tags",
        "UPDATE people SET tags = $1 WHERE id = 4 RETURNING tags",
        25,
    ),
    (
        "UPDATE people SET tags = ARRAY[$1, $2]::text[] WHERE id = 4 RETURNING tags",
        "UPDATE people SET tags = $1::text[] WHERE id = 4 RETURNING tags",
        25,
    ),
    (
        "UPDATE people SET tags = ARRAY[$1::text, 'x', $2] WHERE id = 4",
        "UPDATE people SET tags = $1 WHERE id = 4",
        25,
    ),
    (
        "INSERT INTO people (id, tags) VALUES (9, ARRAY[$1, $2]) RETURNING tags",
        "INSERT INTO people (id, tags) VALUES (9, $1) RETURNING tags",
        25,
    ),
    (
        "SELECT id FROM people WHERE tags = ARRAY[$1, $2] ORDER BY id",
        "SELECT id FROM people WHERE tags = $1 ORDER BY id",
        25,
    ),
    (
        "SELECT id FROM people WHERE tags <> ARRAY[$1, $2]::text[] ORDER BY id",
        "SELECT id FROM people WHERE tags <> $1::text[] ORDER BY id",
        25,
    ),
    (
        "DELETE FROM people WHERE id > 8 AND tags = ARRAY[$1, $2]",
        "DELETE FROM people WHERE id > 8 AND tags = $1",
        25,
    ),
];

const ARRAYS_WRITTEN: &[&str] = &["{}", "{7}", "{a,\"b c\",NULL}", "{sentinel}", "{a", "a"];

const WRITTEN: &[&str] = &[
    "1991-07-23",
    "23.07.1991",
    "91-07-23",
    "44-03-15 BC",
    "0044-03-15 BC",
    "infinity",
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
    "1734918.25",
    "1734918.250",
    "31337",
    "031337",
    "31337 ",
    "198.51.100.173",
    "198.51.100.173/32",
    "true",
    "t",
    "ab",
    "ab ",
    "7",
    "",
    "sentinel",
];

/// With a constant that is only shown, which is as it is given.
const SHOWN: &[&str] = &[
    "SELECT id, coalesce(pay, 0) AS a, coalesce(pay, 1.5) AS b, coalesce(pay, '7') AS c, coalesce(pay, 0.0000) AS d FROM people ORDER BY id",
    "SELECT id, CASE WHEN id = 1 THEN pay WHEN id = 2 THEN 31337 ELSE coalesce(pay, 2.125) END AS a FROM people ORDER BY id",
    "SELECT coalesce(pay, 0) FROM people WHERE coalesce(pay, 0) = 0 AND id < 9 ORDER BY id",
    "SELECT coalesce(code, code) AS a, CASE WHEN id < 9 THEN code END AS b FROM people ORDER BY id",
    "SELECT coalesce(born, '1991-07-23') AS b, coalesce(host, '10.0.0.1') AS c FROM people ORDER BY id",
];

const BY_NAME: &[&str] = &[
    "BEGIN",
    "DECLARE c CURSOR FOR SELECT id, born::text, active::text FROM people WHERE active ORDER BY id",
    "FETCH 1 FROM c",
    "DECLARE b BINARY CURSOR FOR SELECT born::text, born FROM people WHERE active ORDER BY id",
    "FETCH ALL FROM b",
    "COMMIT",
    "PREPARE p (text) AS SELECT id, seen::text FROM people WHERE key::text = $1 OR (active AND id > 3) ORDER BY id",
    "EXECUTE p ('00000000-0000-0000-0000-000000000000')",
    "EXECUTE p ('{00000000000000000000000000000000}')",
    "COPY (SELECT id, born::text, active::text, tags::text FROM people WHERE NOT active) TO STDOUT",
    "COPY (SELECT id, born::text, host::text FROM people WHERE active ORDER BY id) TO STDOUT (FORMAT csv, HEADER)",
    "CREATE INDEX ON people (id) WHERE active",
    "ALTER TABLE people ADD CHECK (active OR id > 0), ADD CHECK (NOT active IS UNKNOWN OR id <> 77)",
    "INSERT INTO people (id, active) VALUES (-5, false)",
    "INSERT INTO people (id) VALUES (77)",
    "INSERT INTO people (id, active) VALUES (5, true) RETURNING id",
    "DELETE FROM people WHERE active AND id = 5",
    // The name of a column stands in the text as a keyword, too.
    "ALTER TABLE people DROP CONSTRAINT people_pkey, ADD PRIMARY KEY (id), ADD CONSTRAINT keys UNIQUE (key)",
    "SELECT id FROM people WHERE key = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' ORDER BY id FOR NO KEY UPDATE",
    "ALTER TABLE people DROP CONSTRAINT keys",
];

/// What has no meaning, or only at another place.
const REFUSED: &[&str] = &[
    "SELECT id FROM people WHERE hidden",
    "SELECT id FROM people WHERE NOT hidden",
    "SELECT id FROM people WHERE (SELECT active FROM people LIMIT 1)",
    "SELECT id FROM people WHERE CASE WHEN id = 1 THEN active ELSE NULL END",
    "SELECT bool_and(active) FROM people",
    "SELECT id FROM people WHERE active = NOT active",
    "SELECT born::text || 'x' FROM people",
    "SELECT DISTINCT born::text FROM people",
    "SELECT count(*) FROM (SELECT DISTINCT took::text FROM people) s",
    "SELECT took::text FROM people GROUP BY 1",
    "SELECT took::text FROM people UNION SELECT took::text FROM people",
    "SELECT count(DISTINCT took::text) FROM people",
    "SELECT row_number() OVER (PARTITION BY took::text) FROM people",
    "SELECT ARRAY(SELECT born::text FROM people)",
    "SELECT born::text AS b FROM people ORDER BY b",
    "SELECT id FROM people WHERE born::text LIKE '1991%'",
    "SELECT id FROM people WHERE born::text > '1991'",
    "SELECT coalesce(born::text, '') FROM people",
    "SELECT id FROM people WHERE ratio::text = '1.5'",
    "SELECT born::varchar(4) FROM people",
    "SELECT id FROM people WHERE tags::text = '{7}'",
    "SELECT born::text FROM people UNION ALL SELECT 'x'",
    "INSERT INTO notes (note) SELECT born::text FROM people",
    "CREATE VIEW births AS SELECT born::text FROM people",
    "CREATE TABLE births AS SELECT born::text FROM people",
    "SELECT born::text INTO births FROM people",
    "CREATE MATERIALIZED VIEW births AS SELECT born::text FROM people",
    "SELECT * FROM (SELECT born::text AS b FROM people) x JOIN (SELECT born::text AS b FROM people) y USING (b)",
    "SELECT DISTINCT ON (born::text) id FROM people",
    "SELECT id FROM people ORDER BY born::text",
    "SELECT array_agg(born::text) FROM people",
    "SELECT id FROM people WHERE born::text = (SELECT max(note) FROM notes)",
    "SELECT lower(key::text) FROM people",
    "SELECT born::text::varchar(4) FROM people",
    "SELECT count(born::text) FROM people",
    "UPDATE people SET tags = ARRAY[]",
    "UPDATE people SET tags = ARRAY[1734918]",
    "UPDATE people SET tags = ARRAY[ARRAY['sentinel']]",
    "UPDATE people SET tags = ARRAY[lower('sentinel')]",
    "UPDATE people SET tags = ARRAY['sentinel', note] FROM notes",
    "UPDATE people SET tags = ARRAY(SELECT 'sentinel')",
    "UPDATE people SET tags = ARRAY['sentinel', v] FROM (VALUES ('sentinel')) x(v)",
    "UPDATE people SET tags = ARRAY['sentinel'] || 'a'",
    "SELECT id FROM people, (VALUES (ARRAY['sentinel'])) v(x) WHERE 'sentinel' = ANY(v.x) AND tags = v.x",
    "UPDATE people SET tags = array_append('{}'::text[], 'sentinel') WHERE id = 4",
    "UPDATE people SET seen = now() WHERE id = 4",
    "UPDATE people SET born = CURRENT_DATE WHERE id = 4",
];

fn columns(types: bool) -> String {
    let column = |(name, of, _): &(&str, &str, &str)| format!(", {name} {}", if types { of } else { "text" });
    COLUMNS.iter().map(column).collect()
}

fn pair(major: u32) -> (sealgate::store::postgres::Throwaway, Gate, Tap, Pair) {
    let server = pg(major);
    server.execute("postgres", "CREATE DATABASE plain").unwrap();
    for (database, types) in [("plain", true), ("postgres", false)] {
        let define = format!(
            "CREATE TABLE people (id int PRIMARY KEY{}); CREATE TABLE notes (note text)",
            columns(types)
        );
        server.execute(database, &define).unwrap();
    }
    let tap = Tap::before(server.address());
    let mut setup = Setup::before(tap.address());
    for (name, of, seal) in COLUMNS {
        let lines = format!("type = \"{of}\"\ndomain = \"{name}\"");
        setup = setup.field_with("public.people", name, seal, &lines);
    }
    let gate = setup.start();
    let mut pair = Pair::before(&server, &gate, "postgres");
    pair.query(ROWS);
    (server, gate, tap, pair)
}

#[test]
fn a_truth_value_is_a_condition_and_a_value_has_its_text_as_in_a_plain_table() {
    for major in VERSIONS {
        let (_server, _gate, tap, mut pair) = pair(major);
        // Through a cursor, and by a name.
        for sql in BY_NAME {
            pair.query(sql);
        }
        for sql in CONDITIONS {
            pair.query(sql);
            pair.same(&format!("prepared {sql}"), |raw| {
                raw.parse("", sql, &[]);
                raw.describe(b'S', "");
                raw.bind("", "", &[], &[], &[1]);
                raw.execute("", 0);
                raw.sync()
            });
        }
        for (round, settings) in SETTINGS.iter().enumerate() {
            pair.query(settings);
            for sql in TEXTS {
                let values = if sql.contains('?') { WRITTEN } else { &[WRITTEN[0]; SETTINGS.len()] };
                // Under the first settings each value, under the others some.
                for value in values.iter().skip(round).step_by(if round == 0 { 1 } else { SETTINGS.len() }) {
                    pair.query(&sql.replace('?', &format!("'{value}'")));
                    let (numbered, count) = (sql.replace('?', "$1"), usize::from(sql.contains('?')));
                    for (declared, format) in [(0, 0), (25, 1)] {
                        pair.same(&format!("{numbered} {value} {declared}"), |raw| {
                            raw.parse("", &numbered, &[declared][..count]);
                            raw.describe(b'S', "");
                            raw.bind("", "", &[format], &[Some(value.as_bytes())][..count], &[format]);
                            raw.execute("", 0);
                            raw.sync()
                        });
                    }
                }
            }
        }
        assert_eq!(pair.refused, [""; 0], "{major}: of {}", pair.compared);
        for sql in ARRAYS {
            for value in ARRAYS_WRITTEN {
                pair.query(&sql.replace('?', &format!("'{value}'")));
                for declared in [0, 1009] {
                    let numbered = sql.replace('?', "$1");
                    pair.same(&format!("{numbered} {value} {declared}"), |raw| {
                        raw.parse("", &numbered, &[declared]);
                        raw.describe(b'S', "");
                        raw.bind("", "", &[], &[Some(value.as_bytes())], &[]);
                        raw.execute("", 0);
                        raw.sync()
                    });
                }
            }
        }
        assert_eq!(pair.refused, [""; 0], "{major}: of {}", pair.compared);
        for sql in SHOWN {
            pair.query(sql);
        }
        for value in ["0", "1.5", "31337.25"] {
            pair.same(&format!("shown {value}"), |raw| {
                raw.parse("", "SELECT id, coalesce(pay, $1) FROM people ORDER BY id", &[]);
                raw.describe(b'S', "");
                raw.bind("", "", &[], &[Some(value.as_bytes())], &[]);
                raw.execute("", 0);
                raw.sync()
            });
        }
        for sql in ARRAYS_MADE {
            pair.query(sql);
        }
        assert_eq!(pair.refused, [""; 0], "{major}: of {}", pair.compared);
        for (parts, whole, of) in ARRAYS_OF_PARAMETERS {
            of_parameters(&mut pair, parts, whole, *of);
        }
        assert_eq!(pair.refused, [""; 0], "{major}: of {}", pair.compared);
        for sql in REFUSED {
            assert!(is_refused(&seen(&pair.gate.query(sql))), "{major}: {sql}");
        }
        let upstream = tap.to_server();
        for value in ["1991-07", "1734918", "31337", "a0eebc99", "198.51", "sentinel"] {
            assert!(!shop::holds(&upstream, value.as_bytes()), "{major}: {value} went upstream");
        }
    }
}

/// In each protocol and format: what is made of parameters is refused with what to write, and that does the same as
/// on a plain table.
fn of_parameters(pair: &mut Pair, parts: &str, whole: &str, of: u32) {
    let hint = |frames: &[crate::harness::Frame]| {
        let error = frames.iter().find(|frame| frame.tag == b'E');
        error.and_then(|frame| frame.field(b'H')).unwrap_or_default()
    };
    let named = pair.gate.query(&format!("PREPARE of_parts AS {parts}"));
    assert!(hint(&named).contains("as one parameter that is an array"), "{parts}");
    for declared in [&[][..], &[of, of]] {
        pair.gate.parse("", parts, declared);
        pair.gate.bind("", "", &[1], &[Some(b"sentinel"), Some(b"b c")], &[]);
        pair.gate.execute("", 0);
        let frames = pair.gate.sync();
        assert!(is_refused(&seen(&frames)), "{parts}");
        assert!(hint(&frames).contains("as one parameter that is an array"), "{parts}");
    }
    // One dimension, no NULL, the elements' type, two of them from 1.
    let mut binary: Vec<u8> = [1, 0, of, 2, 1].iter().flat_map(|number| number.to_be_bytes()).collect();
    for element in [&b"sentinel"[..], b"b c"] {
        binary.extend(u32::try_from(element.len()).unwrap().to_be_bytes());
        binary.extend(element);
    }
    for (format, value) in [(0, &b"{sentinel,b c}"[..]), (1, &binary)] {
        for declared in [0, 1009] {
            pair.same(&format!("{whole} {format} {declared}"), |raw| {
                raw.query("DELETE FROM people WHERE id = 9");
                raw.parse("", whole, &[declared]);
                raw.describe(b'S', "");
                raw.bind("", "", &[format], &[Some(value)], &[format]);
                raw.execute("", 0);
                raw.sync()
            });
        }
    }
    pair.query(&format!("PREPARE of_whole AS {}", whole));
    pair.query("EXECUTE of_whole ('{sentinel,b c}')");
    pair.query("DEALLOCATE of_whole");
    pair.query("DELETE FROM people WHERE id = 9");
}
