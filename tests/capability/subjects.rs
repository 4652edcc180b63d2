//! Whose data: the record tells the data subjects of a statement, by names that hold no value, and a limit
//! on them lets through no more than it says. What cannot be told counts as unknown.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use sealgate::store::postgres::Throwaway;
use serde_json::Value;

use crate::harness::{Gate, Raw, Session, Setup, await_that, pg, search_folder};
use crate::shop::{errors, holds, records, records_with, states};

const SUBJECT: &str = "subject = \"id\"\n";
const WHO: &str = "ssn-078-05-1120-sentinel";

fn server(major: u32) -> Throwaway {
    let server = pg(major);
    server
        .execute(
            "postgres",
            "CREATE TABLE customers (id int PRIMARY KEY, email text, city text, note text); \
             CREATE TABLE orders (id int PRIMARY KEY, customer_id bigint, street text); \
             CREATE TABLE people (ssn text PRIMARY KEY, phone text, name text); \
             CREATE TABLE made (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, city text); \
             CREATE VIEW listed AS SELECT id, email FROM customers; \
             CREATE VIEW cities AS SELECT id, city FROM customers",
        )
        .unwrap();
    server
}

fn classified(server: &Throwaway) -> Setup {
    Setup::before(server.address())
        .field_with("public.customers", "email", "equality", SUBJECT)
        .field_with("public.customers", "city", "none", SUBJECT)
        .field_with("public.orders", "street", "none", "subject = \"customer_id\"\n")
        .field_with("public.people", "ssn", "equality", "subject = \"ssn\"\n")
        .field_with("public.people", "phone", "random", "subject = \"ssn\"\n")
        .field_with("public.made", "city", "none", SUBJECT)
}

/// What the record tells of the last of so many executions.
fn told(gate: &Gate, outcomes: &mut usize) -> Value {
    *outcomes += 1;
    let records = records_with(gate, "outcome", *outcomes);
    let mut all = records.iter().filter(|record| record["kind"] == "outcome");
    all.nth(*outcomes - 1).unwrap()["subjects"].clone()
}

fn ids(told: &Value) -> BTreeSet<String> {
    told["ids"]
        .as_array()
        .map_or_else(BTreeSet::new, |ids| ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect())
}

#[test]
fn the_subjects_of_what_is_shown_searched_and_written_are_told_or_said_to_be_unknown() {
    let server = server(18);
    let gate = classified(&server).start();
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    let mut seen = 0;
    // Statement; how many subjects are known; of how many rows it is unknown whose they are, and why.
    let cases = [
        (
            "INSERT INTO customers (id, email, city) SELECT n, NULL, 'c' || n FROM generate_series(1, 3) n",
            0,
            3,
            "not-shown",
        ),
        (
            "INSERT INTO customers (id, email, city) VALUES (4, 'd@x.example', 'c4'), (5, 'e@x.example', 'c5')",
            2,
            0,
            "",
        ),
        ("INSERT INTO customers VALUES (6, 'f@x.example', 'c6')", 1, 0, ""),
        (
            "INSERT INTO customers (id, city) VALUES (7, 'c7') ON CONFLICT (id) DO UPDATE SET city = 'x'",
            0,
            1,
            "not-shown",
        ),
        (
            "INSERT INTO customers (id, city) VALUES (7, 'c7') ON CONFLICT (id) DO UPDATE SET city = 'x' RETURNING id",
            1,
            0,
            "",
        ),
        ("INSERT INTO made (city) VALUES ('m1')", 0, 1, "not-shown"),
        ("INSERT INTO made (city) VALUES ('m2'), ('m3') RETURNING id", 2, 0, ""),
        ("INSERT INTO made (id, city) OVERRIDING USER VALUE VALUES (77, 'm4')", 0, 1, "not-shown"),
        ("SELECT id, email FROM customers", 7, 0, ""),
        ("SELECT * FROM customers", 7, 0, ""),
        ("SELECT c.*, 1 FROM customers c WHERE id > 5", 2, 0, ""),
        ("SELECT email FROM customers WHERE id = 4", 1, 0, ""),
        ("SELECT email, city FROM customers AS c WHERE c.id = 4 AND note IS NULL", 1, 0, ""),
        ("SELECT city FROM customers WHERE 4 = public.customers.id", 1, 0, ""),
        ("SELECT city FROM customers", 0, 7, "not-shown"),
        ("SELECT city FROM customers WHERE id = 4 OR true", 0, 7, "not-shown"),
        ("SELECT city FROM customers WHERE NOT (id = 4)", 0, 6, "not-shown"),
        ("SELECT city FROM customers WHERE id <> 4", 0, 6, "not-shown"),
        ("SELECT city FROM customers WHERE id = 4 + 0", 0, 1, "not-shown"),
        ("SELECT city FROM customers WHERE id = 40", 1, 0, ""),
        ("SELECT count(*) FROM customers WHERE email = 'd@x.example'", 0, 1, "not-shown"),
        ("SELECT id FROM customers WHERE email = 'd@x.example'", 1, 0, ""),
        // A table beside itself: each by its own column, or by its own equality.
        ("SELECT a.id, b.city FROM customers a, customers b WHERE a.id = 1 AND b.id = 2", 2, 0, ""),
        (
            "SELECT a.city, b.city FROM customers a JOIN customers b ON true WHERE a.id = 1 AND 2 = b.id",
            2,
            0,
            "",
        ),
        (
            "SELECT a.city, b.city, b.id, a.id FROM customers a JOIN customers b ON b.id = a.id + 1 WHERE a.id < 3",
            3,
            0,
            "",
        ),
        (
            "SELECT a.id, b.city FROM customers a JOIN customers b ON b.id = a.id + 1 WHERE a.id < 3",
            2,
            2,
            "not-shown",
        ),
        // Which of two columns is whose is said by their places, and behind a star nobody counts them.
        (
            "SELECT a.id, a.id, b.city FROM customers a, customers b WHERE a.id = 1 AND b.id IN (2)",
            1,
            1,
            "not-shown",
        ),
        ("SELECT a.*, b.id FROM customers a, customers b WHERE a.id = 1 AND b.id IN (2)", 1, 1, "not-shown"),
        (
            "SELECT a.note, b.* FROM customers a, customers b WHERE a.id IN (1) AND b.id IN (2)",
            0,
            1,
            "several",
        ),
        (
            "SELECT a.city FROM customers a, customers b WHERE a.city = b.city AND a.id IN (1)",
            0,
            1,
            "several",
        ),
        (
            "SELECT id, city FROM customers a WHERE id = 1 AND EXISTS (SELECT FROM customers b WHERE b.city = a.city)",
            0,
            1,
            "several",
        ),
        ("UPDATE customers a SET city = b.city FROM customers b WHERE a.id = 1 AND b.id = 1", 1, 0, ""),
        (
            "DELETE FROM customers a USING customers b WHERE a.id = 40 AND b.id = 2 AND b.city = 'none'",
            0,
            0,
            "",
        ),
        ("SELECT id, lag(city) OVER (ORDER BY id) FROM customers", 0, 6, "form"),
        ("SELECT id, city FROM customers UNION ALL SELECT 1, 'x'", 0, 8, "form"),
        ("SELECT id, max(city) FROM customers GROUP BY id", 7, 0, ""),
        ("SELECT id, city FROM customers GROUP BY GROUPING SETS ((id), (city))", 7, 7, "null"),
        (
            "WITH c AS (SELECT id, city FROM customers) SELECT a.id, b.city FROM c a JOIN c b ON a.id = b.id + 1",
            0,
            6,
            "not-shown",
        ),
        ("SELECT s.id, s.city FROM (SELECT id, city FROM customers WHERE id < 3) s", 2, 0, ""),
        // A part that is used once is as a query in its place; and an equality holds wherever it stands.
        ("WITH c AS (SELECT id, city FROM customers WHERE id < 3) SELECT id, city FROM c", 2, 0, ""),
        ("WITH c AS (SELECT city FROM customers WHERE id = 4) SELECT city FROM c", 1, 0, ""),
        ("WITH c AS (SELECT city FROM customers WHERE id = 4) SELECT a.city, b.city FROM c a, c b", 1, 0, ""),
        ("WITH c AS (SELECT city FROM customers WHERE id < 3) SELECT city FROM c", 0, 2, "not-shown"),
        (
            "SELECT s.city FROM (SELECT city FROM customers WHERE id = 4) s JOIN (SELECT 1) t ON true",
            1,
            0,
            "",
        ),
        ("WITH c AS (SELECT id, city FROM customers), d AS (SELECT 1) SELECT id, city FROM c, d", 7, 0, ""),
        (
            "WITH RECURSIVE c AS (SELECT id, city FROM customers WHERE id < 3 UNION ALL SELECT id + 9, city FROM c \
             WHERE id < 3) SELECT id, city FROM c",
            0,
            4,
            "not-shown",
        ),
        (
            "WITH c AS (UPDATE customers SET city = city WHERE id < 3 RETURNING id, city) SELECT id, city FROM c LIMIT 1",
            0,
            1,
            "not-shown",
        ),
        ("SELECT id, email FROM listed WHERE id = 4", 0, 1, "view"),
        ("SELECT id, city FROM cities", 0, 7, "opaque"),
        ("SELECT customers.id, x.email FROM customers, listed x WHERE customers.id = 1", 0, 3, "several"),
        ("INSERT INTO orders VALUES (1, 4, 's1'), (2, 4, 's2'), (3, 5, 's3')", 2, 0, ""),
        // Each table's by its own column.
        (
            "SELECT c.id, city, customer_id, street FROM customers c JOIN orders o ON o.customer_id = c.id",
            4,
            0,
            "",
        ),
        (
            "SELECT c.id, city, street FROM customers c JOIN orders o ON o.customer_id = c.id",
            2,
            3,
            "not-shown",
        ),
        (
            "SELECT c.id, city, customer_id, street FROM customers c LEFT JOIN orders o ON o.customer_id = c.id",
            9,
            0,
            "",
        ),
        ("SELECT city FROM customers JOIN orders USING (id) WHERE id = 1", 0, 1, "not-shown"),
        ("UPDATE customers SET city = 'z' WHERE id = 4", 1, 0, ""),
        ("UPDATE customers SET city = 'z' WHERE id = 444", 0, 0, ""),
        ("UPDATE customers SET city = 'z' WHERE id < 3 RETURNING id", 2, 0, ""),
        ("UPDATE customers SET city = 'z' WHERE id < 3", 0, 2, "not-shown"),
        ("UPDATE customers SET id = 70, city = 'z' WHERE id = 7", 0, 1, "changed"),
        ("DELETE FROM customers WHERE id = 70 RETURNING city", 1, 0, ""),
        ("COPY customers (id, city) TO STDOUT", 6, 0, ""),
        ("COPY customers TO STDOUT (FORMAT csv, HEADER)", 6, 0, ""),
        ("COPY customers (city, id) TO STDOUT (FORMAT binary)", 6, 0, ""),
        ("COPY customers (city) TO STDOUT", 0, 6, "not-shown"),
        ("EXPLAIN SELECT id, city FROM customers WHERE id = 4", 0, 0, "explained"),
    ];
    for (sql, known, unknown, why) in cases {
        let answer = raw.query(sql);
        assert!(errors(&answer).is_empty(), "{sql}: {:?}", errors(&answer));
        let told = told(&gate, &mut seen);
        let of = |name: &str| told[name].as_u64().unwrap_or(0);
        assert_eq!((of("count"), of("unknown")), (known, unknown), "{sql}: {told}");
        assert_eq!(ids(&told).len() as u64, known, "{sql}: {told}");
        if unknown > 0 {
            assert_eq!(told["why"], serde_json::json!([why]), "{sql}");
        }
    }
    // No field of it says whose it is.
    raw.query("CREATE TABLE plain (id int)");
    assert!(
        records(&gate).iter().filter(|record| record["kind"] == "intent").all(|r| r["subjects"].is_null())
    );
}

#[test]
fn a_subject_has_one_name_however_it_is_told_and_no_value_of_it_is_recorded() {
    let server = server(15);
    let gate = classified(&server).start();
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    let mut seen = 0;
    let mut names = Vec::new();
    raw.query(&format!("INSERT INTO people VALUES ('{WHO}', '+49 30 1', 'Ada')"));
    names.push(ids(&told(&gate, &mut seen)));
    for sql in [
        "SELECT ssn, phone FROM people".to_owned(),
        format!("SELECT phone FROM people WHERE ssn = '{WHO}'"),
        format!("SELECT phone FROM people WHERE ssn = E'{WHO}'::text"),
        format!("SELECT 1; SELECT phone FROM people WHERE ssn = $${WHO}$$"),
        "COPY people (phone, ssn) TO STDOUT (FORMAT csv)".to_owned(),
        format!("UPDATE people SET phone = '+49 30 2' WHERE ssn = '{WHO}'"),
    ] {
        let answer = raw.query(&sql);
        assert!(errors(&answer).is_empty(), "{sql}: {:?}", errors(&answer));
        names.push(ids(&told(&gate, &mut seen)));
    }
    for (types, formats) in [(&[][..], &[][..]), (&[25][..], &[1][..])] {
        raw.parse("", "SELECT phone FROM people WHERE ssn = $1", types);
        raw.bind("", "", formats, &[Some(WHO.as_bytes())], &[]);
        raw.execute("", 0);
        let answer = raw.sync();
        assert!(errors(&answer).is_empty(), "{:?}", errors(&answer));
        names.push(ids(&told(&gate, &mut seen)));
    }
    assert_eq!(names[0].len(), 1);
    assert!(names.iter().all(|one| *one == names[0]), "{names:?}");

    // Numbers, however they are written and bound; another column's are others.
    raw.query("INSERT INTO customers VALUES (7, NULL, 'c7')");
    let seven = ids(&told(&gate, &mut seen));
    raw.query("INSERT INTO orders VALUES (1, 7, 's')");
    assert_ne!(ids(&told(&gate, &mut seen)), seven, "another column");
    for sql in ["'007'", "7.0", "+7", "'7'::int", "7"] {
        let answer = raw.query(&format!("SELECT city FROM customers WHERE id = {sql}"));
        assert!(errors(&answer).is_empty(), "{sql}: {:?}", errors(&answer));
        let told = told(&gate, &mut seen);
        // A sign before a number is an operator.
        assert!(ids(&told) == seven || sql == "+7" && told["unknown"] == 1, "{sql}: {told}");
    }
    let bound: [(u32, u16, &[u8]); 4] =
        [(0, 0, b"7"), (23, 1, &[0, 0, 0, 7]), (20, 1, &[0, 0, 0, 0, 0, 0, 0, 7]), (21, 1, &[0, 7])];
    for (oid, format, value) in bound {
        for result in [0, 1] {
            raw.parse("s", "SELECT id, city FROM customers WHERE id = $1", &[oid]);
            raw.bind("p", "s", &[format], &[Some(value)], &[result]);
            raw.describe(b'P', "p");
            raw.execute("p", 0);
            raw.close(b'S', "s");
            let answer = raw.sync();
            assert!(errors(&answer).is_empty(), "{:?}", errors(&answer));
            assert_eq!(ids(&told(&gate, &mut seen)), seven, "{oid} {format} {result}");
            // Without the column in the result, and without a Describe.
            raw.parse("", "SELECT city FROM customers WHERE id = $1", &[oid]);
            raw.bind("", "", &[format], &[Some(value)], &[result]);
            raw.execute("", 0);
            let answer = raw.sync();
            assert!(errors(&answer).is_empty(), "{:?}", errors(&answer));
            assert_eq!(ids(&told(&gate, &mut seen)), seven, "{oid} {format} {result}");
        }
    }
    // A real driver, in binary, and the same name once more behind another start.
    drop(raw);
    let mut gate = gate;
    gate.signal("TERM");
    assert_eq!(gate.wait(), Some(0));
    gate.run_again().unwrap();
    let session = Session::open(gate.address(), "postgres", None, "postgres").unwrap();
    session.rows("SELECT id, city FROM customers WHERE id = $1", &[&7]).unwrap();
    assert_eq!(ids(&told(&gate, &mut seen)), seven);
    session.rows("SELECT city FROM customers WHERE id = $1", &[&7]).unwrap();
    assert_eq!(ids(&told(&gate, &mut seen)), seven);
    assert!(search_folder(&gate.folder().join("audit"), WHO.as_bytes()).is_empty());
    assert!(!holds(gate.log().as_bytes(), WHO.as_bytes()));
}

#[test]
fn beyond_a_thousand_subjects_the_record_estimates_them() {
    let server = server(18);
    server
        .execute("postgres", "INSERT INTO customers SELECT n, NULL, 'c' FROM generate_series(1, 12000) n")
        .unwrap();
    let gate = classified(&server).start();
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    assert!(errors(&raw.query("SELECT id, city FROM customers WHERE id <= 1000")).is_empty());
    let mut seen = 0;
    let exact = told(&gate, &mut seen);
    assert_eq!(
        (exact["count"].as_u64(), ids(&exact).len(), exact["estimated"].is_null()),
        (Some(1000), 1000, true)
    );
    assert!(errors(&raw.query("SELECT id, city FROM customers")).is_empty());
    // One on the way, at 10,000 rows.
    for expected in [10_000_u64, 12_000] {
        let told = told(&gate, &mut seen);
        assert_eq!((&told["estimated"], &told["ids"]), (&Value::Bool(true), &Value::Null));
        assert!(told["count"].as_u64().unwrap().abs_diff(expected) < expected / 20, "{told}");
    }
}

const LIMITS: &str = "
[[watch.limit]]
subjects = 5
window = \"1h\"
action = \"cut\"
users = [\"clerk\", \"crowd\"]
[[watch.limit]]
rows = 8
window = \"1h\"
action = \"cut\"
users = [\"lister\"]
";

fn limited(server: &Throwaway) -> Gate {
    server
        .execute(
            "postgres",
            "CREATE ROLE clerk LOGIN; CREATE ROLE crowd LOGIN; CREATE ROLE lister LOGIN; \
             GRANT SELECT ON customers, orders, people TO clerk, crowd, lister; \
             INSERT INTO customers SELECT n, NULL, 'c' || n FROM generate_series(1, 300) n",
        )
        .unwrap();
    classified(server).extra(LIMITS).start()
}

#[test]
fn a_limit_on_subjects_counts_each_once_and_whoever_is_unknown_each_time() {
    let server = server(18);
    let gate = limited(&server);
    let shown = |user: &str, sql: &str| {
        let answer = Raw::login(gate.address(), user, "postgres").query(sql);
        let rows = answer.iter().filter(|frame| frame.tag == b'D').count();
        (rows, states(&answer).first().cloned().unwrap_or_default())
    };
    let cut = || "SG007".to_owned();
    // The same three over and over, told by the result or by WHERE.
    for _ in 0..5 {
        assert_eq!(shown("clerk", "SELECT id, city FROM customers WHERE id <= 3"), (3, String::new()));
        assert_eq!(shown("clerk", "SELECT city FROM customers WHERE id = 2"), (1, String::new()));
    }
    // Rows in which nothing classified is shown count nobody.
    assert_eq!(shown("clerk", "SELECT id, note FROM customers"), (300, String::new()));
    // One whose subject nobody can say is another one.
    assert_eq!(shown("clerk", "SELECT city FROM customers WHERE id BETWEEN 2 AND 2"), (1, String::new()));
    assert_eq!(
        shown("clerk", "SELECT id, city FROM customers ORDER BY id"),
        (4, cut()),
        "the fifth, and no sixth"
    );
    for _ in 0..2 {
        assert_eq!(shown("clerk", "SELECT city FROM customers WHERE id + 0 = 2"), (0, cut()));
        assert_eq!(shown("clerk", "COPY (SELECT city FROM customers) TO STDOUT").1, "SG007");
        assert_eq!(
            shown("clerk", "SELECT id, city FROM customers WHERE id <= 4"),
            (4, String::new()),
            "known ones may"
        );
    }
    assert_eq!(shown("lister", "SELECT city FROM customers"), (8, cut()));
    assert_eq!(shown("postgres", "SELECT city FROM customers"), (300, String::new()));
    let alerts = records_with(&gate, "alert", 6);
    let rules: BTreeSet<_> = alerts
        .iter()
        .filter(|record| record["kind"] == "alert")
        .map(|alert| alert["rule"].as_str().unwrap().to_owned())
        .collect();
    assert!(rules.iter().any(|rule| rule.contains("5 subjects in 3600 s")), "{rules:?}");
    assert!(rules.iter().any(|rule| rule.contains("8 rows in 3600 s")), "{rules:?}");
}

/// Sessions that ask at the same moment.
const AT_ONCE: usize = 200;

#[test]
fn two_hundred_sessions_at_once_are_shown_no_more_subjects_or_rows_than_the_cap() {
    let mut server = server(18);
    // For both crowds, of which the first may still be leaving.
    server.execute("postgres", "ALTER SYSTEM SET max_connections = 500").unwrap();
    server.crash().unwrap();
    server.restart().unwrap();
    let gate = limited(&server);
    for (user, cap) in [("crowd", 5), ("lister", 8)] {
        let (released, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
        // Nobody asks before everybody is there.
        let there = Barrier::new(AT_ONCE);
        let login = |_| Raw::login(gate.address(), user, "postgres");
        let sessions: Vec<Raw> = (0..AT_ONCE).map(login).collect();
        thread::scope(|scope| {
            for (id, mut raw) in (1..).zip(sessions) {
                let (there, released, refused) = (&there, &released, &refused);
                scope.spawn(move || {
                    there.wait();
                    let answer = raw.query(&format!("SELECT city FROM customers WHERE id = {id}"));
                    let rows = answer.iter().filter(|frame| frame.tag == b'D').count();
                    released.fetch_add(rows, Ordering::SeqCst);
                    refused.fetch_add(usize::from(states(&answer) == ["SG007"]), Ordering::SeqCst);
                });
            }
        });
        let (released, refused) = (released.into_inner(), refused.into_inner());
        // Two that race for the last may both be refused.
        assert!((1..=cap).contains(&released), "{user}: {released}");
        assert_eq!(released + refused, AT_ONCE, "{user}: each is shown its row or told why not");
    }
}

/// A choice of a sequence that a seed makes.
struct Choice(u64);

impl Choice {
    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        all[usize::try_from(self.0 >> 33).unwrap() % all.len()]
    }
}

/// Whose data a statement shows the server knows: the same is asked of it directly, with the key of every row.
/// Whoever is shown is told, or somebody is said to be unknown.
#[test]
fn nobody_is_shown_who_is_neither_told_nor_unknown_whatever_the_statement_is_made_of() {
    let server = server(18);
    server
        .execute(
            "postgres",
            "INSERT INTO customers SELECT n, NULL, 'c' || n % 3, CASE WHEN n % 2 = 0 THEN 'even' END \
             FROM generate_series(1, 6) n; \
             INSERT INTO orders SELECT n, n % 4, 's' || n FROM generate_series(1, 8) n",
        )
        .unwrap();
    let gate = classified(&server).start();
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    let mut seen = 0;
    let mut names = std::collections::BTreeMap::new();
    for id in 1..=6 {
        raw.query(&format!("SELECT city FROM customers WHERE id = {id}"));
        names.insert(ids(&told(&gate, &mut seen)).pop_first().unwrap(), id.to_string());
    }
    let mut choice = Choice(20_261_127);
    let (mut known, mut unknown) = (0, 0);
    for _ in 0..160 {
        let from = choice.of(&[
            "customers c",
            "customers c JOIN orders o ON o.customer_id = c.id",
            "customers c LEFT JOIN orders o ON o.customer_id = c.id AND o.id < 4",
            "orders o RIGHT JOIN customers c ON o.customer_id = c.id",
            "customers c FULL JOIN orders o ON o.customer_id = c.id",
            "customers c CROSS JOIN (VALUES (1), (5)) v (id)",
            "(SELECT * FROM customers WHERE id <> 2) c",
            "(SELECT DISTINCT ON (city) id, city, note FROM customers ORDER BY city, id DESC) c",
            "customers c, LATERAL (SELECT c.id + 1 AS id) l",
        ]);
        let shown = choice.of(&[
            "c.city",
            "c.id, c.city",
            "c.city, c.id",
            "c.*",
            "c.city, 1 AS id",
            "c.city, -c.id AS id",
            "upper(c.city)",
            "c.city, c.id::text",
            "c.city, (SELECT 3) AS id",
        ]);
        let first = choice.of(&[
            "c.id = 3",
            "3 = c.id",
            "c.id = '3'",
            "c.id = 3::bigint",
            "c.id <> 3",
            "c.id = 3 + 1",
            "c.id IN (3)",
            "c.id = c.id",
            "c.note = 'even'",
            "c.id < 4",
        ]);
        let join = choice.of(&["AND", "OR", "AND NOT", "OR NOT"]);
        let second = choice.of(&[
            "c.id = 5",
            "c.note IS NULL",
            "true",
            "c.id = 3",
            "(c.id = 2 AND c.city IS NOT NULL)",
            "(c.id = 3 OR c.id = 4)",
        ]);
        let end = choice.of(&["", "", " ORDER BY 1", " LIMIT 3", " OFFSET 1"]);
        let sql = format!("SELECT {shown} FROM {from} WHERE {first} {join} {second}{end}");
        let direct = format!("SELECT c.id, c.city FROM {from} WHERE {first} {join} {second}{end}");
        let direct = direct.replace(" ORDER BY 1", "");
        let rows = server.query("postgres", &direct).unwrap();
        let truth: BTreeSet<String> =
            rows.iter().filter(|row| row[1].is_some()).filter_map(|row| row[0].clone()).collect();
        let answer = raw.query(&sql);
        if states(&answer) == ["SG001"] {
            continue;
        }
        assert!(errors(&answer).is_empty(), "{sql}: {:?}", errors(&answer));
        let told = told(&gate, &mut seen);
        let all = ids(&told);
        assert!(all.iter().all(|id| names.contains_key(id)), "{sql}: nobody else is told: {told}");
        let all: BTreeSet<String> = all.iter().map(|id| names[id].clone()).collect();
        if told["unknown"].is_null() {
            // A LIMIT without an order may take other rows.
            assert!(
                truth.is_subset(&all) || sql.contains("LIMIT") || sql.contains("OFFSET"),
                "{sql}: {truth:?} {told}"
            );
            // Who is named and not there was asked for.
            assert!(
                all.len() <= truth.len().max(1) || sql.contains("LIMIT") || sql.contains("OFFSET"),
                "{sql}: {truth:?} {told}"
            );
            known += 1;
        } else {
            unknown += 1;
        }
    }
    assert!(known > 40 && unknown > 20, "both must occur: {known} {unknown}");
}

/// One value that an aggregate makes of many rows shows many subjects.
#[test]
fn what_is_gathered_from_many_rows_counts_as_many_who_are_not_known() {
    let server = server(18);
    server
        .execute(
            "postgres",
            "INSERT INTO customers (id, city) SELECT n, 'c' || n FROM generate_series(1, 40) n",
        )
        .unwrap();
    let gate = classified(&server).start();
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    let mut seen = 0;
    for sql in [
        "SELECT array_agg(city) FROM customers",
        "SELECT string_agg(city, ' ') FROM customers",
        "SELECT jsonb_agg(city) FROM customers",
    ] {
        assert_eq!(errors(&raw.query(sql)), [], "{sql}");
        let told = told(&gate, &mut seen);
        assert_eq!((told["count"].as_u64(), told["unknown"].as_u64()), (Some(0), Some(40)), "{sql}: {told}");
    }
    for (sql, known) in [
        ("SELECT string_agg(city, ' ') FROM customers WHERE id = 7", 1),
        ("SELECT id, city FROM customers", 40),
    ] {
        assert_eq!(errors(&raw.query(sql)), [], "{sql}");
        let told = told(&gate, &mut seen);
        assert_eq!((told["count"].as_u64(), told["unknown"].as_u64()), (Some(known), None), "{sql}: {told}");
    }
    let limit = "\n[[watch.limit]]\nsubjects = 10\nwindow = \"1h\"\naction = \"cut\"\n";
    let limited = classified(&server).extra(limit).start();
    let mut raw = Raw::login(limited.address(), "postgres", "postgres");
    raw.send(b'Q', &crate::harness::string("SELECT array_agg(city) FROM customers"));
    let mut frames = Vec::new();
    while let Some(frame) = raw.read() {
        frames.push(frame);
    }
    assert_eq!(states(&frames), ["SG007"]);
    assert!(!frames.iter().any(|frame| frame.tag == b'D'));
}

/// In whichever format: each row tells whose it is, where its column is among them.
#[test]
fn rows_that_a_client_copies_in_are_told_by_their_own_column() {
    let server = server(18);
    let gate = classified(&server).start();
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    let mut seen = 0;
    let mut copy = |sql: &str, pieces: &[&[u8]]| {
        raw.send(b'Q', format!("{sql}\0").as_bytes());
        pieces.iter().for_each(|piece| raw.send(b'd', piece));
        raw.send(b'c', b"");
        let answer = raw.until_ready();
        (errors(&answer), told(&gate, &mut seen))
    };
    let csv: &[&[u8]] = &[b"phone,ssn\n1,111", b"-11-1111\n2,222-22-2222\n3,222-22-", b"3333\n"];
    let (failed, of_csv) = copy("COPY people (phone, ssn) FROM STDIN (FORMAT csv, HEADER)", csv);
    assert_eq!((failed, ids(&of_csv).len(), &of_csv["unknown"]), (vec![], 3, &Value::Null), "{of_csv}");
    let binary = |phone: &[u8], ssn: &[u8]| {
        let mut row = vec![0, 2];
        for value in [phone, ssn] {
            row.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
            row.extend(value);
        }
        row
    };
    let head = [&b"PGCOPY\n\xff\r\n\0"[..], &[0; 8]].concat();
    let data = [head, binary(b"4", b"444-44-4444"), binary(b"5", b"111-11-1112"), vec![0xff, 0xff]].concat();
    let (failed, of_binary) = copy("COPY people (phone, ssn) FROM STDIN (FORMAT binary)", &[&data]);
    assert_eq!((failed, ids(&of_binary).len()), (vec![], 2), "{of_binary}");
    let (failed, text) =
        copy("COPY people FROM STDIN", &[b"555-55-5555\t6\tAda\n666-66-6666\t\\N\t\\N\n\\.\n"]);
    assert_eq!((failed, ids(&text).len()), (vec![], 2), "{text}");
    // The same as whoever asks for them.
    raw.query("SELECT ssn, phone FROM people");
    let all: BTreeSet<String> = [&of_csv, &of_binary, &text].into_iter().flat_map(ids).collect();
    assert_eq!(all, ids(&told(&gate, &mut seen)));
    let mut copy = |sql: &str, data: &[u8]| {
        raw.send(b'Q', format!("{sql}\0").as_bytes());
        raw.send(b'd', data);
        raw.send(b'c', b"");
        let answer = raw.until_ready();
        (states(&answer), told(&gate, &mut seen))
    };
    // Where nothing in it tells, and where nothing is sealed.
    let (failed, made) = copy("COPY made (city) FROM STDIN", b"a\nb\n");
    assert_eq!(
        (failed, &made["unknown"], &made["why"][0]),
        (vec![], &2.into(), &"not-shown".into()),
        "{made}"
    );
    let (failed, legible) = copy("COPY customers (id, city) FROM STDIN", b"901\ta\n902\tb\n");
    assert_eq!((failed, ids(&legible).len(), &legible["unknown"]), (vec![], 2, &Value::Null), "{legible}");
    // Nothing came of it.
    let (failed, none) = copy("COPY people (ssn, phone) FROM STDIN", b"777-77-7777\t1\n111-11-1111\t1\n");
    assert_eq!(
        (failed, ids(&none).len(), &none["unknown"]),
        (vec!["23505".to_owned()], 0, &Value::Null),
        "{none}"
    );
}

/// What the text of the name says holds for each of its rows.
#[test]
fn a_cursor_and_a_prepared_statement_keep_whom_their_own_texts_name() {
    let server = server(18);
    let gate = classified(&server).start();
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    let mut seen = 0;
    raw.query("INSERT INTO customers VALUES (4, 'd@x.example', 'c4'), (5, 'e@x.example', 'c5')");
    told(&gate, &mut seen);
    raw.query("SELECT city FROM customers WHERE id = 4");
    let four = ids(&told(&gate, &mut seen));
    let mut round = 0;
    // What the last of these met: behind it comes one that is known by its form.
    let mut runs = |texts: &[&str]| {
        for text in texts {
            assert_eq!(errors(&raw.query(text)), [], "{text}");
        }
        raw.query("ROLLBACK");
        round += 1;
        raw.query(&format!("SELECT city AS mark{round} FROM customers WHERE id = 4"));
        let mark = format!("mark{round}");
        let mut outcomes = Vec::new();
        await_that("the outcome of the mark", || {
            let all = records(&gate);
            let is_mark =
                |record: &&Value| record["statement"].as_str().is_some_and(|text| text.contains(&mark));
            let Some(number) = all.iter().find(is_mark).map(|intent| intent["statement_id"].clone()) else {
                return false;
            };
            outcomes = all.into_iter().filter(|record| record["kind"] == "outcome").collect();
            outcomes.last().is_some_and(|last: &Value| last["statement_id"] == number)
        });
        outcomes[outcomes.len() - 2]["subjects"].clone()
    };
    for texts in [
        &["BEGIN", "DECLARE c CURSOR FOR SELECT city FROM customers WHERE id = 4", "FETCH ALL FROM c"][..],
        &["BEGIN", "DECLARE c CURSOR FOR SELECT city FROM customers WHERE id = 4; FETCH ALL FROM c"],
        &["PREPARE p AS SELECT city FROM customers WHERE id = 4", "EXECUTE p", "DEALLOCATE p"],
    ] {
        let told = runs(texts);
        assert_eq!((ids(&told), &told["unknown"]), (four.clone(), &Value::Null), "{texts:?}: {told}");
    }
    let told = runs(&["BEGIN", "DECLARE c CURSOR FOR SELECT city FROM customers", "FETCH ALL FROM c"]);
    assert_eq!((&told["unknown"], &told["why"][0]), (&2.into(), &"not-shown".into()), "{told}");
    let told = runs(&["PREPARE q(int) AS SELECT city FROM customers WHERE id = $1", "EXECUTE q(4)"]);
    assert_eq!((&told["unknown"], &told["why"][0]), (&1.into(), &"by-name".into()), "{told}");
}
