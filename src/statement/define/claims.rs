//! What is refused of definitions and of what reaches by code, and what passes.

use super::super::claims::check_refused;
use super::super::shop::judged;

#[test]
fn passes_definitions_that_do_not_reach() {
    for sql in [
        "CREATE INDEX ON customers (email)",
        "CREATE UNIQUE INDEX i ON public.customers USING btree (email, id) INCLUDE (note)",
        "CREATE INDEX ON customers (lower(note)) WHERE id > 3",
        "ALTER TABLE customers ADD COLUMN age int DEFAULT 3 CHECK (age > 0)",
        "ALTER TABLE customers ALTER COLUMN note TYPE text USING note::text, DROP COLUMN id",
        "ALTER TABLE customers ADD CONSTRAINT u UNIQUE (email)",
        "ALTER TABLE orders ADD FOREIGN KEY (who) REFERENCES customers (id)",
        "ALTER TABLE customers RENAME COLUMN note TO remark",
        "ALTER TABLE customers DROP COLUMN email",
        "ALTER TABLE customers DISABLE TRIGGER ALL",
        "DROP TABLE customers",
        "VACUUM customers",
        "ANALYZE customers (email)",
        "REINDEX TABLE customers",
        "CREATE TABLE public.planned (id int PRIMARY KEY, email text UNIQUE NOT NULL)",
        "CREATE TABLE orders (id int, who int REFERENCES customers)",
        "CREATE VIEW v AS SELECT id, note FROM customers",
        "CREATE TABLE public.planned AS SELECT id, note FROM customers",
        "CREATE TABLE x AS SELECT count(*) FROM customers",
        "CREATE SEQUENCE customers_id_seq OWNED BY customers.id",
        "DO $$ BEGIN RAISE NOTICE 'active'; INSERT INTO x VALUES (1) ON CONFLICT DO NOTHING; END $$",
        "CREATE TABLE public.customers (id int, email text); CREATE INDEX ON customers (email)",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA s",
        "ALTER SCHEMA s RENAME TO t",
    ] {
        match judged(sql) {
            Ok(facts) => {
                assert!(!facts.statements[0].touches(), "{sql}");
                assert!(facts.statements[0].effect.catalog, "{sql}");
            }
            Err(unproven) => panic!("{sql}: {} {}", unproven.reason, unproven.detail),
        }
    }
    // A constant is sealed where it stands in the body, and in no body of quotes, which is read twice.
    let sql = "DO $$ BEGIN ALTER TABLE customers ADD CHECK (email <> 'it''s'); END $$";
    let facts = judged(sql).unwrap_or_else(|unproven| panic!("{} {}", unproven.reason, unproven.detail));
    let spans: Vec<&str> =
        facts.statements[0].literals.iter().map(|literal| &sql[literal.span.clone()]).collect();
    assert_eq!(spans, ["'it''s'"]);
    for sql in [
        "GRANT SELECT ON customers TO bob",
        "COMMENT ON TABLE customers IS 'x'",
        "LOCK TABLE customers",
        "COPY customers (id, note) TO STDOUT",
        "COPY customers (id) FROM STDIN",
        "PREPARE x AS SELECT id FROM customers",
        "DECLARE c CURSOR FOR SELECT id FROM customers",
        "SELECT 'customers'",
        "BEGIN; SELECT 'customers'; COMMIT",
        "SELECT * FROM other.twins",
        "SELECT query_to FROM my_schema",
        "SELECT oid, stxname FROM pg_catalog.pg_statistic_ext WHERE stxrelid = '1'",
    ] {
        let facts =
            judged(sql).unwrap_or_else(|unproven| panic!("{sql}: {} {}", unproven.reason, unproven.detail));
        assert!(facts.statements.iter().all(|one| !one.touches() && !one.effect.catalog), "{sql}");
    }
}

#[test]
fn refuses_definitions_that_lead_to_classified_columns() {
    check_refused(&[
        ("CREATE VIEW v AS SELECT email FROM customers", "relation-ambiguous"),
        ("CREATE OR REPLACE VIEW v AS SELECT * FROM customers", "relation-ambiguous"),
        ("CREATE MATERIALIZED VIEW v AS SELECT email FROM customers", "relation-ambiguous"),
        ("CREATE VIEW v AS SELECT lower(email) FROM customers", "unsupported-position"),
        ("CREATE VIEW v AS SELECT coalesce(email, 'none') FROM customers", "definition"),
        ("CREATE VIEW v AS SELECT coalesce(email, phone) FROM customers", "relation-ambiguous"),
        ("CREATE VIEW v AS SELECT id FROM customers WHERE email = 'a'", "definition"),
        ("CREATE VIEW customers AS SELECT 1", "definition"),
        ("REFRESH MATERIALIZED VIEW customer_list", "definition"),
        ("CREATE TABLE x AS SELECT * FROM customers", "definition"),
        ("CREATE TABLE x AS TABLE customers", "definition"),
        ("CREATE TABLE x (LIKE customers)", "definition"),
        ("CREATE TABLE x () INHERITS (customers)", "definition"),
        ("CREATE TABLE x PARTITION OF customers DEFAULT", "relation-ambiguous"),
        ("ALTER TABLE customers ATTACH PARTITION x DEFAULT", "definition"),
        ("ALTER TABLE x ATTACH PARTITION customers DEFAULT", "definition"),
        ("ALTER TABLE x INHERIT customers", "definition"),
        ("ALTER TABLE customers INHERIT x", "definition"),
        ("CREATE RULE r AS ON INSERT TO customers DO ALSO INSERT INTO log VALUES (new.email)", "definition"),
        ("CREATE TRIGGER t AFTER INSERT ON customers EXECUTE FUNCTION f()", "definition"),
        ("CREATE TRIGGER t AFTER INSERT ON orders EXECUTE FUNCTION reach_all()", "definition"),
        ("CREATE POLICY p ON customers USING (true)", "definition"),
        ("CREATE PUBLICATION p FOR TABLE customers", "definition"),
        ("CREATE STATISTICS s ON email, city FROM customers", "definition"),
        ("CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT email FROM customers'", "definition"),
        ("CREATE FUNCTION f() RETURNS text LANGUAGE sql AS E'SELECT email FROM \\x63ustomers'", "definition"),
        ("CREATE FUNCTION f() RETURNS SETOF customers LANGUAGE sql AS 'SELECT 1'", "definition"),
        ("CREATE FUNCTION f() RETURNS text LANGUAGE sql RETURN (SELECT email FROM customers)", "definition"),
        ("CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'x'; END $$", "definition"),
        ("CREATE FUNCTION f() RETURNS text LANGUAGE plpython3u AS 'x'", "definition"),
        ("CREATE FUNCTION f(text) RETURNS xml LANGUAGE internal AS 'query_to_xml'", "definition"),
        ("CREATE PROCEDURE p() LANGUAGE sql AS 'DELETE FROM customers'", "definition"),
        ("DO $$ BEGIN DELETE FROM customers; END $$", "definition"),
        ("DO $$ BEGIN EXECUTE 'DELETE FROM cust' || 'omers'; END $$", "definition"),
        ("DO LANGUAGE plperl 'x'", "definition"),
        ("DO $$ BEGIN ALTER TABLE customers ALTER email TYPE int; END $$", "declared-type"),
        ("DO 'BEGIN ALTER TABLE customers ADD CHECK (email <> ''a''); END'", "definition"),
        ("DO $$ BEGIN ALTER TABLE customers RENAME email TO mail; END $$", "definition"),
        (
            "DO $$ BEGIN ALTER TABLE customers ADD x int; UPDATE customers SET email = 'a'; END $$",
            "definition",
        ),
        ("DO $$ BEGIN ALTER TABLE customers ADD x int; ALTER TABLE customers DROP x; END $$", "definition"),
        ("DO $$ DECLARE x int; BEGIN ALTER TABLE customers ADD y int; END $$", "definition"),
        (
            "DO $$ BEGIN IF EXISTS (SELECT 1 FROM customers) THEN ALTER TABLE orders ADD y int; END IF; END $$",
            "definition",
        ),
        ("DO 'BEGIN ALTER TABLE customers ALTER email TYPE varchar; END'", "declared-type"),
        ("ALTER TABLE customers RENAME TO x", "definition"),
        ("ALTER TABLE x RENAME TO customers", "definition"),
        ("ALTER TABLE customers RENAME COLUMN email TO x", "definition"),
        ("ALTER TABLE customers RENAME COLUMN note TO email", "definition"),
        ("ALTER TABLE customers SET SCHEMA other", "definition"),
        ("ALTER SCHEMA public RENAME TO other", "definition"),
        ("ALTER TABLE customers ALTER COLUMN email TYPE varchar", "declared-type"),
        ("ALTER TABLE customers ALTER COLUMN note TYPE text USING email", "definition"),
        ("ALTER TABLE customers ALTER COLUMN email SET DEFAULT now()", "definition"),
        ("ALTER TABLE customers ADD CHECK (email SIMILAR TO 'a%')", "definition"),
        ("ALTER TABLE customers ADD COLUMN x text GENERATED ALWAYS AS (lower(email)) STORED", "definition"),
        ("ALTER TABLE customers ADD UNIQUE (phone)", "random-compared"),
        ("ALTER TABLE orders ADD FOREIGN KEY (mail) REFERENCES customers (email)", "definition"),
        ("CREATE INDEX ON customers (phone)", "random-compared"),
        ("CREATE INDEX ON customers (lower(email))", "definition"),
        ("CREATE INDEX ON customers (id) WHERE email > 'a'", "definition"),
        ("CREATE INDEX ON customers ((customers.*::text))", "definition"),
        ("CREATE TABLE public.planned (email text CHECK (email > ''))", "definition"),
        ("CREATE TABLE public.planned (email text DEFAULT reverse('a'))", "definition"),
        ("CREATE SCHEMA s CREATE TABLE customers (email text DEFAULT 'a')", "definition"),
        ("CREATE TABLE public.planned (email text) PARTITION BY LIST (email)", "definition"),
        ("CREATE EXTENSION citext; EXPLAIN SELECT email FROM customers", "definition"),
        ("CREATE TABLE public.planned (email text); SELECT email FROM planned", "definition"),
        ("ALTER TABLE customers RENAME TO planned", "definition"),
        ("ALTER TABLE customers RENAME COLUMN email TO nick", "definition"),
        ("CREATE FOREIGN TABLE customers (id int) SERVER far", "definition"),
        ("COPY (SELECT upper(email) FROM customers) TO STDOUT", "unsupported-position"),
        ("COPY (SELECT c.*, o.* FROM customers c JOIN orders o ON true) TO STDOUT", "copy"),
        ("COPY customers (id, email) TO STDOUT (ENCODING 'SJIS')", "copy"),
        ("COPY customers (id, email) TO STDOUT (DELIMITER 'ab')", "copy"),
        ("COPY customers (id, email) TO STDOUT (COMPRESSION 'zstd')", "copy"),
        ("COPY customers (id) TO '/tmp/x'", "server-file"),
        ("COPY customers (id) TO PROGRAM 'cat'", "server-file"),
        ("PREPARE x AS SELECT lower(email) FROM customers", "unsupported-position"),
        ("DECLARE c CURSOR FOR SELECT email FROM customers ORDER BY email", "order-by"),
        ("SELECT reach_all()", "function"),
        ("CALL reach_all()", "function"),
        ("EXECUTE x((SELECT email FROM customers))", "unsupported-form"),
        ("CALL p((SELECT email FROM customers))", "unsupported-form"),
        ("SELECT o.reach_all FROM orders o", "function"),
        ("SELECT (o).reach_all FROM orders o", "function"),
        ("SELECT query_to_xml('SELECT 1', true, true, '')", "function"),
        ("SELECT pg_catalog.table_to_xml(1, true, true, '')", "function"),
        ("SELECT * FROM ts_stat('select 1')", "function"),
        ("SELECT * FROM dblink('', '') AS t(a text)", "function"),
        ("SELECT lo_export(1, '/tmp/x')", "function"),
        ("SELECT pg_read_file('x')", "function"),
    ]);
}
