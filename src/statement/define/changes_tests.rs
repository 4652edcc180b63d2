//! What is told of definitions, and what texts behind them mean.

use super::super::shop::{READING, shop};
use super::super::{Limits, TextFacts, Unproven, analyse};
use crate::catalog::SearchPath;

/// By a path that leads to the public schema.
fn judged(sql: &str) -> Result<TextFacts, Unproven> {
    let path = SearchPath::new(vec!["pg_catalog".into(), "public".into()]).making_in(Some("public".into()));
    analyse(sql.as_bytes(), READING, shop().names(Some(&path)), &Limits::default())
}

/// What a definition is taken to have made of the catalog: nothing, what, or nobody can tell.
fn changes(sql: &str) -> String {
    let facts = judged(sql).unwrap_or_else(|unproven| panic!("{sql}: {}", unproven.detail));
    let last = facts.statements.last().unwrap();
    assert!(last.effect.catalog, "{sql}");
    last.effect.changes.as_ref().map_or("?".to_owned(), |all| format!("{all:?}"))
}

#[test]
fn what_a_definition_does_is_told_where_it_is_wholly_understood() {
    for sql in [
        "CREATE INDEX ON customers (email text_pattern_ops)",
        "CREATE TABLE bills (id int DEFAULT nextval('x'), who int REFERENCES customers, CHECK (id > 0))",
        "CREATE SEQUENCE bills_id_seq",
        "CREATE SCHEMA s",
        "CREATE TYPE feeling AS ENUM ('glad')",
        "CREATE VIEW bill_list AS SELECT id FROM orders",
        "CREATE TABLE IF NOT EXISTS bills (id int)",
        "CREATE TABLE bills AS SELECT id FROM orders",
        "DROP TABLE IF EXISTS orders CASCADE",
        "DROP TABLE IF EXISTS planned",
        "DROP FUNCTION IF EXISTS f",
        "ALTER TABLE orders ADD COLUMN x int, DROP COLUMN y, ALTER COLUMN z TYPE text",
        "ALTER TABLE orders RENAME TO bills",
        "ALTER TABLE customers ALTER COLUMN note SET NOT NULL, ADD CONSTRAINT u UNIQUE (email)",
        "ALTER TABLE customers DISABLE TRIGGER ALL",
        "DO $$ BEGIN ALTER TABLE customers ADD CONSTRAINT u UNIQUE (email); EXCEPTION WHEN duplicate_object THEN null; END $$",
        "DO LANGUAGE plpgsql $x$ BEGIN CREATE INDEX ON customers (email); CREATE TYPE feeling AS ENUM ('glad'); END $x$",
        "DO 'BEGIN CREATE TYPE feeling AS ENUM (''glad''); EXCEPTION WHEN duplicate_object THEN null; END'",
        "DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conname = 'customers') THEN ALTER TABLE customers ADD CONSTRAINT u UNIQUE (email); END IF; END $$",
    ] {
        assert_eq!(changes(sql), "[]", "{sql}");
    }
    for (sql, expected) in [
        (
            "CREATE TABLE planned (id int, email text)",
            "Created { table: public.planned, columns: [id, email]",
        ),
        (
            "CREATE TABLE IF NOT EXISTS other.customers (id int)",
            "Created { table: other.customers, columns: [id], unless_there: true",
        ),
        ("ALTER TABLE customers ADD COLUMN age int", "ColumnAdded { table: public.customers, column: age"),
        (
            "DO $$ BEGIN ALTER TABLE customers ADD COLUMN age int; END $$",
            "ColumnAdded { table: public.customers, column: age",
        ),
        ("ALTER TABLE customers DROP COLUMN email", "ColumnDropped { table: public.customers, column: email"),
        (
            "ALTER TABLE customers RENAME note TO remark",
            "ColumnRenamed { table: public.customers, column: note",
        ),
        ("DROP TABLE leads, orders", "Dropped { table: public.leads"),
        ("DROP TABLE IF EXISTS leads", "Dropped { table: public.leads"),
    ] {
        let told =
            changes(sql).replace("QualifiedName { schema: ", "").replace(", name: ", ".").replace('"', "");
        assert!(told.replace(" }", "").contains(&expected.replace(" }", "")), "{sql}: {told}");
    }
    for sql in [
        // What nobody here can follow, or might not be what its name says.
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE EXTENSION citext",
        "CREATE TYPE pair AS (a int, b int)",
        "CREATE DOMAIN mail AS text",
        "CREATE OPERATOR === (FUNCTION = texteq, LEFTARG = text, RIGHTARG = text)",
        "CREATE TRIGGER t BEFORE INSERT ON orders EXECUTE FUNCTION f()",
        "CREATE RULE r AS ON INSERT TO orders DO NOTHING",
        "CREATE TABLE \"lower\" (id int)",
        "CREATE TABLE bills (id int DEFAULT stranger())",
        "CREATE TABLE planned (id int, email text COLLATE \"de_DE\")",
        "CREATE TABLE planned (LIKE orders)",
        "CREATE INDEX ON customers (note strange_ops)",
        "CREATE INDEX ON customers USING strange (note)",
        "ALTER TABLE customers ENABLE TRIGGER ALL",
        "ALTER TABLE orders ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE orders ATTACH PARTITION x DEFAULT",
        "ALTER SCHEMA s RENAME TO t",
        "DROP SCHEMA public CASCADE",
        "DROP VIEW customer_list",
        "DROP TABLE other.twins",
        "CREATE VIEW v AS SELECT id FROM customers",
        "CREATE TABLE x AS SELECT count(*) FROM customers",
        "DROP OWNED BY bob",
        "DO $$ BEGIN NULL; END $$",
        "DO $$ BEGIN ALTER TABLE customers ADD COLUMN age int; EXCEPTION WHEN duplicate_column THEN null; END $$",
        "DO $$ BEGIN IF random() < 1 THEN ALTER TABLE customers ADD COLUMN age int; END IF; END $$",
        "DO $$ BEGIN PERFORM 1; END $$",
        "COMMIT PREPARED 'x'",
    ] {
        assert_eq!(changes(sql), "?", "{sql}");
    }
}

#[test]
fn statements_behind_a_definition_in_one_text_are_judged_by_it() {
    for (sql, sealed) in [
        ("CREATE TABLE planned AS SELECT id, email FROM customers WHERE email = 'a'", 1),
        ("CREATE TABLE planned (n, email) AS SELECT id, coalesce(email, 'b') FROM leads", 1),
        ("CREATE TABLE planned AS SELECT 1 AS id, 'a' AS email", 1),
        ("CREATE TABLE planned (id int, email text); INSERT INTO planned (email) VALUES ('a')", 1),
        (
            "CREATE TABLE planned (id int, email text); ALTER TABLE planned DROP COLUMN id; UPDATE planned SET email = 'a'",
            1,
        ),
        ("BEGIN; CREATE TABLE planned (email text); SAVEPOINT a; DELETE FROM planned WHERE email = 'a'", 1),
        ("ALTER TABLE customers DROP COLUMN id; INSERT INTO customers VALUES ('a')", 1),
        ("CREATE TABLE other.leads (email text); INSERT INTO other.leads (email) VALUES ('a')", 0),
        ("DROP TABLE orders; EXPLAIN SELECT id FROM customers WHERE email = 'a'", 1),
        ("CREATE INDEX ON customers (email); DELETE FROM customers WHERE email = 'a'", 1),
    ] {
        let facts = judged(sql).unwrap_or_else(|unproven| panic!("{sql}: {}", unproven.detail));
        assert_eq!(facts.statements.last().unwrap().literals.len(), sealed, "{sql}");
    }
    for (sql, reason) in [
        ("BEGIN; DROP TABLE leads; ROLLBACK; INSERT INTO leads (email) VALUES ('a')", "definition"),
        ("BEGIN; CREATE TABLE planned (email text); ROLLBACK TO x; DELETE FROM customers", "definition"),
        (
            "ALTER TABLE customers DROP COLUMN email; INSERT INTO customers (email) VALUES ('a')",
            "column-unknown",
        ),
        ("CREATE TABLE planned AS SELECT id, phone AS email FROM customers", "domain-differs"),
        ("CREATE TABLE planned AS SELECT id, note AS email FROM customers", "unsupported-position"),
        ("CREATE TABLE planned AS SELECT id, email AS mail FROM customers", "unsupported-position"),
        ("CREATE TEMP TABLE planned AS SELECT id, email FROM customers", "shadow"),
        (
            "BEGIN; CREATE VIEW v AS SELECT email FROM customers; INSERT INTO v VALUES ('a')",
            "relation-reaches",
        ),
        ("CREATE TABLE copy AS SELECT id, email FROM customers", "definition"),
        ("DROP TABLE leads; INSERT INTO leads (email) VALUES ('a')", "relation-missing"),
        ("CREATE TABLE planned (email text); CREATE EXTENSION citext; DELETE FROM customers", "definition"),
    ] {
        assert_eq!(judged(sql).expect_err(sql).reason, reason, "{sql}");
    }
}

#[test]
fn what_may_show_what_a_definition_of_the_same_text_has_made_is_on_record() {
    for (sql, opaque) in [
        ("CREATE VIEW v AS SELECT nick FROM customers; SELECT nick FROM v", true),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; SELECT 1", true),
        ("CREATE TABLE bills (id int); SELECT * FROM bills", false),
    ] {
        let facts = judged(sql).unwrap_or_else(|unproven| panic!("{sql}: {}", unproven.detail));
        assert_eq!(facts.statements.last().unwrap().opaque.is_some(), opaque, "{sql}");
    }
}

#[test]
fn what_the_search_path_decides_of_a_definition_is_asked_for_and_written_out() {
    let on = |sql: &str, path: Option<&[&str]>| {
        let path = path.map(|path| SearchPath::new(path.iter().map(|schema| (*schema).into()).collect()));
        analyse(sql.as_bytes(), READING, shop().names(path.as_ref()), &Limits::default())
    };
    for sql in [
        "CREATE TABLE planned (email text)",
        "CREATE TABLE planned AS SELECT email FROM customers",
        "DROP TABLE IF EXISTS customers",
        "ALTER TABLE IF EXISTS customers DROP COLUMN email",
    ] {
        assert_eq!(on(sql, None).expect_err(sql).remedy, super::super::Remedy::Path, "{sql}");
    }
    // The table of another schema is another table, and what is not on the path is passed over.
    for (sql, told) in [
        ("CREATE TABLE planned (email text)", "schema: \"other\""),
        ("DROP TABLE IF EXISTS customers", "Some([])"),
        ("ALTER TABLE IF EXISTS customers DROP COLUMN email", "Some([])"),
    ] {
        let facts = on(sql, Some(&["other", "pg_temp_3", "pg_catalog"])).unwrap();
        let changes = format!("{:?}", facts.statements[0].effect.changes);
        assert!(changes.contains(told), "{sql}: {changes}");
    }
    // What the server has put at the front of the path by itself, it does not tell.
    let made = |sql: &str, path: &[&str], making: Option<Option<&str>>| {
        let path = SearchPath::new(path.iter().map(|schema| (*schema).into()).collect());
        let path = making.map_or_else(|| path.clone(), |schema| path.making_in(schema.map(Into::into)));
        analyse(sql.as_bytes(), READING, shop().names(Some(&path)), &Limits::default())
    };
    for sql in ["CREATE TABLE planned (email text)", "CREATE TABLE planned AS SELECT email FROM customers"] {
        for path in [&["pg_catalog", "other"][..], &["pg_temp_3", "pg_catalog", "other"]] {
            assert_eq!(made(sql, path, None).expect_err(sql).remedy, super::super::Remedy::Creation, "{sql}");
            assert_eq!(made(sql, path, Some(None)).expect_err(sql).reason, "relation-ambiguous", "{sql}");
            assert_eq!(made(sql, path, Some(Some("pg_temp_3"))).expect_err(sql).reason, "shadow", "{sql}");
        }
    }
    let facts =
        made("CREATE TABLE planned (email text)", &["pg_catalog", "other"], Some(Some("other"))).unwrap();
    assert_eq!((facts.edits[0].span.clone(), facts.edits[0].new.as_slice()), (13..13, &b"\"other\"."[..]));
}
