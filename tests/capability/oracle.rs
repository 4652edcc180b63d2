//! A confused deputy: a sealed value of another row that somebody writes where he likes must
//! come back as he wrote it, whatever it looks like. Only the column that the statement reads
//! is opened, and the record names that one.

use crate::harness::{Frame, Raw, VERSIONS};
use crate::shop::{self, open, records_with};

const OWN: &str = "own@oracle.example";
const OTHER: &str = "other-mail@oracle.example";
const PHONE: &str = "other-phone-4711";

/// Expressions that carry a sealed value which no column of the statement's tables does.
const CARRIERS: &[&str] = &[
    "'{e}'",
    "'{e}'::text",
    "CAST('{e}' AS varchar)",
    "E'{e}'",
    "$q${e}$q$",
    "b.t",
    "b.t || ''",
    "upper(b.t || '') || b.t",
    "(SELECT '{e}'::text)",
    "(SELECT max(t) FROM bag)",
    "(SELECT t FROM bag LIMIT 1)",
    "CASE WHEN true THEN '{e}' END",
    "coalesce(NULL, b.t)",
    "nullif(b.t, 'x')",
    "greatest(b.t, '')",
    "(ARRAY[b.t])[1]",
    "(ROW(b.t)).f1",
    "concat('{e}')",
    "first_value(b.t) OVER ()",
    "s.u",
    "v.column1",
    "f",
    "w.t",
];

const FROM: &str = "FROM customers c, bag b, (SELECT t AS u FROM bag) s, (VALUES ('{e}')) v, \
    unnest(ARRAY['{e}']) f, w WHERE c.id = 1";

/// Where it stands in the result.
const LISTS: &[&str] =
    &["c.email, {x}", "{x}, c.email", "{x}, c.email, {x}", "c.*, {x}", "{x}, c.*", "b.*, {x}, c.*, s.*"];

fn shown(frames: &[Frame]) -> String {
    frames.iter().map(|frame| String::from_utf8_lossy(&frame.body).into_owned()).collect()
}

#[test]
fn an_envelope_that_stands_elsewhere_stays_sealed_beside_a_column_that_is_opened() {
    for major in VERSIONS {
        let server = shop::server(major);
        server.execute("postgres", "CREATE TABLE bag (t text)").unwrap();
        let (gate, _tap) = open(&server);
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        raw.query(&format!(
            "INSERT INTO customers (id, email, phone, city) VALUES (1, '{OWN}', 'p', 'c'), (2, '{OTHER}', '{PHONE}', 'd')"
        ));
        for (column, value) in [("email", OTHER), ("phone", PHONE)] {
            let stored = server.query("postgres", &format!("SELECT {column} FROM customers WHERE id = 2"));
            let envelope = stored.unwrap().remove(0).remove(0).unwrap();
            assert!(envelope.starts_with("SEAL"), "{envelope}");
            server
                .execute("postgres", &format!("TRUNCATE bag; INSERT INTO bag VALUES ('{envelope}')"))
                .unwrap();
            let (mut tried, mut opened) = (0, 0);
            for (list, carrier) in LISTS.iter().flat_map(|list| CARRIERS.iter().map(move |one| (list, one))) {
                let list = list.replace("{x}", carrier);
                let sql =
                    format!("WITH w AS (SELECT t FROM bag) SELECT {list} {FROM}").replace("{e}", &envelope);
                // By the simple protocol, and by the other without a description of its own.
                let mut answers = vec![raw.query(&sql)];
                raw.parse("", &sql, &[]);
                raw.bind("", "", &[], &[], &[]);
                raw.execute("", 0);
                answers.push(raw.sync());
                for frames in answers {
                    let shown = shown(&frames);
                    tried += 1;
                    opened += usize::from(shown.contains(OWN));
                    assert!(!shown.contains(value), "{carrier} in {list} on {major}");
                }
            }
            assert!(opened * 10 >= tried * 9, "most of them run: {opened} of {tried} on {major}");
            // As a parameter, in both formats.
            for format in [0, 1] {
                raw.parse("", "SELECT c.email, $1::text, $1 FROM customers c WHERE id = 1", &[25]);
                raw.bind("", "", &[format], &[Some(envelope.as_bytes())], &[format]);
                raw.describe(b'P', "");
                raw.execute("", 0);
                let shown = shown(&raw.sync());
                assert!(shown.contains(OWN) && !shown.contains(value), "a parameter on {major}");
            }
        }
        // The record tells of the columns that were read, a value each, and of no other.
        let outcomes = records_with(&gate, "outcome", 100);
        for record in
            outcomes.iter().filter(|record| record["kind"] == "outcome" && record["action"] == "read")
        {
            let fields = record["fields"].as_array().unwrap().len() as u64;
            let rows = record["rows"].as_u64().unwrap();
            assert!(record["cells"].as_u64().unwrap() <= fields * rows, "{record}");
        }
    }
}
