//! Relations beside the policy's own: those that are joined naturally, and copies that SELECT INTO makes;
//! and the names that an alias gives the columns of a sealed table.

use crate::harness::{Frame, Gate, Raw, Setup, Tap, VERSIONS, pg, search_server};
use crate::shop::{errors, firsts, holds, states};

const SECRET: &str = "ada@sentinel.example";

const SCHEMA: &str = "CREATE TABLE customers (id int PRIMARY KEY, gone int, email text UNIQUE, city text, note text); \
    ALTER TABLE customers DROP COLUMN gone; \
    CREATE TABLE visits (id int, room text); INSERT INTO visits VALUES (1, 'r1'), (3, 'r3'); \
    CREATE TABLE mails (id int, email text); CREATE TABLE places (city text, area text); \
    INSERT INTO places VALUES ('Oslo', 'north'); CREATE SCHEMA mine;";

fn open(server: &sealgate::store::postgres::Throwaway) -> (Gate, Tap) {
    server.execute("postgres", SCHEMA).unwrap();
    let tap = Tap::before(server.address());
    let setup = Setup::before(tap.address())
        .field("public.customers", "email", "equality")
        .field("public.customers", "city", "none")
        .field("public.kept", "email", "equality");
    (setup.late().start(), tap)
}

fn ok(raw: &mut Raw, sql: &str) -> Vec<String> {
    let frames = raw.query(sql);
    assert_eq!(errors(&frames), [], "{sql}");
    firsts(&frames)
}

fn refused(raw: &mut Raw, sql: &str) {
    assert_eq!(states(&raw.query(sql)), ["SG001"], "{sql}");
}

#[test]
fn a_natural_join_with_an_unclassified_table_is_answered_where_no_classified_column_is_joined() {
    for major in VERSIONS {
        let server = pg(major);
        let (gate, tap) = open(&server);
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        ok(
            &mut raw,
            &format!("INSERT INTO customers VALUES (1, '{SECRET}', 'Oslo', 'n'), (2, 'b@x', 'Rome', 'n')"),
        );
        assert_eq!(
            ok(&mut raw, "SELECT email, room FROM customers NATURAL JOIN visits ORDER BY room"),
            [SECRET]
        );
        assert_eq!(
            ok(&mut raw, "SELECT email FROM customers NATURAL LEFT JOIN visits WHERE room IS NULL"),
            ["b@x"]
        );
        assert_eq!(ok(&mut raw, "SELECT email FROM customers NATURAL JOIN places"), [SECRET]);
        assert_eq!(
            ok(&mut raw, &format!("SELECT room FROM visits NATURAL JOIN customers WHERE email = '{SECRET}'")),
            ["r1"]
        );
        refused(&mut raw, "SELECT room FROM visits NATURAL LEFT JOIN customers");
        refused(&mut raw, "SELECT id FROM customers NATURAL JOIN mails");
        // What the session itself makes of them counts at once, and so do relations of its own.
        ok(&mut raw, "BEGIN");
        ok(&mut raw, "ALTER TABLE visits RENAME COLUMN room TO email");
        refused(&mut raw, "SELECT count(*) FROM customers NATURAL JOIN visits");
        ok(&mut raw, "ROLLBACK");
        ok(&mut raw, "BEGIN");
        ok(&mut raw, "CREATE TABLE mine.visits AS SELECT id, 'x' AS email FROM visits");
        refused(&mut raw, "SELECT count(*) FROM customers NATURAL JOIN mine.visits");
        ok(&mut raw, "ROLLBACK");
        assert_eq!(ok(&mut raw, "SELECT count(*) FROM customers NATURAL JOIN visits"), ["1"]);
        ok(&mut raw, "CREATE TEMP TABLE visits (id int, email text)");
        refused(&mut raw, "SELECT count(*) FROM customers NATURAL JOIN visits");
        assert_eq!(ok(&mut raw, "SELECT count(*) FROM customers NATURAL JOIN public.visits"), ["1"]);
        ok(&mut raw, "DROP TABLE pg_temp.visits; ALTER TABLE visits ADD COLUMN email text");
        refused(&mut raw, "SELECT count(*) FROM customers NATURAL JOIN visits");
        assert!(!holds(&tap.to_server(), SECRET.as_bytes()), "{major}");
    }
}

#[test]
fn an_alias_gives_the_columns_of_a_sealed_table_names_by_their_order() {
    for major in VERSIONS {
        let server = pg(major);
        let (gate, tap) = open(&server);
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        ok(
            &mut raw,
            &format!("INSERT INTO customers VALUES (1, '{SECRET}', 'Oslo', 'n'), (2, 'b@x', 'Rome', 'n')"),
        );
        let sql = format!(
            "SELECT c.m FROM customers AS c(n, m) WHERE c.m = '{SECRET}' AND city = 'Oslo' FOR UPDATE OF c"
        );
        assert_eq!(ok(&mut raw, &sql), [SECRET]);
        let sql = "SELECT m, note, n FROM public.\"customers\" c (n, m, p) WHERE p <> 'Oslo' FOR SHARE";
        assert_eq!(ok(&mut raw, sql), ["b@x"]);
        raw.parse(
            "",
            "SELECT a.*, b.m FROM customers a(n, m) JOIN customers AS b(n, m) USING (m) WHERE m = $1",
            &[],
        );
        raw.bind("", "", &[], &[Some(SECRET.as_bytes())], &[]);
        raw.describe(b'P', "");
        raw.execute("", 0);
        let row = raw.sync().into_iter().find(|frame| frame.tag == b'D').unwrap().values();
        assert_eq!(row.iter().flatten().filter(|value| *value == SECRET.as_bytes()).count(), 2, "{major}");
        // The order is another since; what is sent names the columns.
        server.execute("postgres", "ALTER TABLE customers DROP COLUMN city, ADD COLUMN city text").unwrap();
        let frames = raw.query(&format!("SELECT c.m FROM customers AS c(n, m) WHERE c.m = '{SECRET}'"));
        assert!(errors(&frames).is_empty() && firsts(&frames) == [SECRET], "{major}: {:?}", errors(&frames));
        assert!(!holds(&tap.to_server(), SECRET.as_bytes()), "{major}");
    }
}

/// A join under an alias, and what is asked of it: `{s}` is a value, `{j}` the join.
const JOINED: &[&str] = &[
    "customers c JOIN visits v ON v.id = c.id",
    "visits v LEFT JOIN customers c ON v.id = c.id",
    "customers c FULL JOIN visits v ON v.id = c.id AND c.email = '{s}'",
    "customers c CROSS JOIN (VALUES (7, 'r7')) v(n, room)",
    "customers c JOIN visits v USING (id)",
    "customers c LEFT JOIN visits v USING (id) AS u",
    "customers c NATURAL LEFT JOIN visits v",
    "(SELECT email, id FROM customers) c NATURAL JOIN visits v",
    "(SELECT id, email FROM customers) c JOIN (SELECT email AS mail, 'r' AS room FROM customers) v ON c.email = v.mail",
    "(SELECT id, email FROM customers) c JOIN (SELECT id, 'r' AS room FROM customers) v ON c.id = v.id",
    "(SELECT id, email FROM customers) c FULL JOIN (SELECT 'r' AS room, email FROM customers) v USING (email)",
    "(SELECT id, email FROM customers) c JOIN ((SELECT id, 'r' AS room FROM customers) d JOIN visits e USING (id, room)) v ON true",
    "(customers c JOIN visits v USING (id)) JOIN (VALUES (1, 'x')) w(id, x) USING (id)",
];

const ASKED: &[&str] = &[
    "SELECT j.email FROM ({j}) AS j ORDER BY j.room, 1 IS NULL",
    "SELECT email, room FROM ({j}) AS j WHERE email = '{s}' ORDER BY room",
    "SELECT count(*), count(j.email) FROM ({j}) AS j WHERE j.email IS DISTINCT FROM '{s}'",
    "SELECT j.* FROM ({j}) AS j WHERE j.email IN ('{s}', 'b@x') ORDER BY j.room",
    "SELECT * FROM ({j}) AS j WHERE j.room = 'r1'",
    "SELECT id FROM ({j}) AS j WHERE id = 1",
    "SELECT j.id FROM ({j}) AS j WHERE j.id = 1",
    "SELECT s.email FROM (SELECT j.email, j.room FROM ({j}) AS j) s WHERE s.email = '{s}'",
    "SELECT k.email FROM ({j}) AS j JOIN customers k ON k.email = j.email",
    "SELECT 1 FROM ({j}) AS j WHERE c.email = '{s}'",
    "SELECT (SELECT c.email FROM customers c WHERE c.email = j.email) FROM ({j}) AS j",
    "SELECT j.m FROM ({j}) AS j(n, m) WHERE m = '{s}'",
    "UPDATE customers z SET note = 'y' FROM ({j}) AS j WHERE j.email = z.email AND j.email = '{s}'",
    "WITH w AS (SELECT * FROM ({j}) AS j) SELECT email FROM w WHERE email = '{s}'",
];

#[test]
fn a_join_under_an_alias_is_a_relation_of_its_columns() {
    for major in VERSIONS {
        let server = pg(major);
        let (gate, tap) = open(&server);
        server.execute("postgres", "CREATE DATABASE plain").unwrap();
        server.execute("plain", SCHEMA).unwrap();
        let mut sealed = Raw::login(gate.address(), "postgres", "postgres");
        let mut plain = Raw::login(server.address(), "postgres", "plain");
        let rows =
            format!("INSERT INTO customers VALUES (1, '{SECRET}', 'Oslo', 'n'), (2, 'b@x', 'Rome', NULL)");
        ok(&mut sealed, &rows);
        plain.query(&rows);
        let told = |frames: &[Frame]| -> Vec<(u8, Vec<u8>)> {
            let shown = frames.iter().filter(|frame| b"DC".contains(&frame.tag));
            shown.map(|frame| (frame.tag, frame.body.to_vec())).collect()
        };
        let (mut answered, mut refusals) = (0, Vec::new());
        for (join, ask) in JOINED.iter().flat_map(|join| ASKED.iter().map(move |ask| (join, ask))) {
            let sql = ask.replace("{j}", join).replace("{s}", SECRET);
            let (through, direct) = (sealed.query(&sql), plain.query(&sql));
            if states(&through) == ["SG001"] {
                refusals.push(sql);
                continue;
            }
            assert_eq!(states(&through), states(&direct), "{major}: {sql}");
            assert_eq!(told(&through), told(&direct), "{major}: {sql}");
            answered += 1;
        }
        assert!(!holds(&tap.to_server(), SECRET.as_bytes()), "{major}");
        // What is at a place of `*` only the server knows.
        let by_order =
            |sql: &str| sql.contains("j(n, m)") || sql.contains("FULL JOIN (") && sql.contains('*');
        let others: Vec<&String> = refusals.iter().filter(|sql| !by_order(sql)).collect();
        assert!(others.is_empty(), "{major}: {others:#?}");
        assert!(answered > JOINED.len() * (ASKED.len() - 2), "{major}: {answered}");
    }
}

#[test]
fn select_into_a_table_that_the_policy_names_makes_a_sealed_copy() {
    for major in VERSIONS {
        let server = pg(major);
        let (gate, tap) = open(&server);
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        ok(
            &mut raw,
            &format!("INSERT INTO customers VALUES (1, '{SECRET}', 'Oslo', 'n'), (2, 'b@x', 'Rome', 'n')"),
        );
        for sql in [
            "SELECT lower(email) AS email INTO TEMP copied FROM customers",
            "SELECT email INTO copy FROM customers",
            "SELECT email AS note INTO kept FROM customers",
            "SELECT id, email INTO TEMP kept FROM customers",
        ] {
            refused(&mut raw, sql);
        }
        // The session alone has a temporary one.
        ok(&mut raw, "SELECT email INTO TEMP copied FROM customers");
        assert_eq!(ok(&mut raw, &format!("SELECT email FROM copied WHERE email = '{SECRET}'")), [SECRET]);
        ok(&mut raw, &format!("SELECT id, email INTO kept FROM customers UNION ALL SELECT 3, '{SECRET}'"));
        assert_eq!(
            ok(&mut raw, &format!("SELECT id FROM kept WHERE email = '{SECRET}' ORDER BY id")),
            ["1", "3"]
        );
        // What is not sealed goes wherever it is wanted, and what stands behind it in a transaction too.
        ok(&mut raw, "BEGIN");
        ok(&mut raw, "SELECT id, note INTO TEMP plain FROM customers");
        ok(&mut raw, "ROLLBACK");
        ok(&mut raw, "BEGIN");
        ok(&mut raw, "SELECT 1 AS a INTO TEMP plain");
        assert_eq!(ok(&mut raw, "SELECT email FROM customers WHERE id = 2"), ["b@x"]);
        ok(&mut raw, "COMMIT");
        assert!(!holds(&tap.to_server(), SECRET.as_bytes()), "{major}");
        assert_eq!(search_server(&server, SECRET.as_bytes()), []);
    }
}

#[test]
fn a_partition_that_is_partitioned_by_a_sealed_column_is_a_fault_of_the_table() {
    for major in VERSIONS {
        let server = pg(major);
        let parted = "CREATE TABLE kept (id int, email text) PARTITION BY RANGE (id); \
            CREATE TABLE kept_one PARTITION OF kept FOR VALUES FROM (0) TO (10); \
            CREATE TABLE kept_two (email text, id int) PARTITION BY RANGE (email); \
            ALTER TABLE kept ATTACH PARTITION kept_two FOR VALUES FROM (10) TO (20); \
            CREATE TABLE kept_two_a PARTITION OF kept_two FOR VALUES FROM ('a') TO ('c')";
        server.execute("postgres", parted).unwrap();
        let (gate, tap) = open(&server);
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        refused(&mut raw, &format!("INSERT INTO kept (id, email) VALUES (11, '{SECRET}')"));
        assert_eq!(ok(&mut raw, "SELECT count(id) FROM kept WHERE id > 3"), ["0"]);
        assert!(!holds(&tap.to_server(), SECRET.as_bytes()), "{major}");
    }
}
