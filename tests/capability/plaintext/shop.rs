//! The database that the forms work on, with everything that leads to its classified table.

use crate::harness::Setup;

/// Made by a direct connection, before the gate starts.
pub const SCHEMA: &str = r#"
CREATE TABLE customers (id int PRIMARY KEY, email text UNIQUE, ssn text, city text, note text);
CREATE TABLE leads (id int, email text);
CREATE TABLE orders (id int, who int, note text);
INSERT INTO orders VALUES (1, 1, 'first');
CREATE TABLE people (id int, email text);
CREATE TABLE people_child () INHERITS (people);
CREATE TABLE events (id int, email text) PARTITION BY RANGE (id);
CREATE TABLE events_1 PARTITION OF events DEFAULT;

CREATE TABLE lllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll (id int, email text);
CREATE TABLE ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss (id int, email text);
CREATE TABLE "Kunden Ä" (id int, email text);
CREATE TABLE mails (mail text PRIMARY KEY);
CREATE TABLE badges (id int, email text REFERENCES mails (mail) ON UPDATE CASCADE);

CREATE VIEW customer_list AS SELECT id, email FROM customers;
CREATE VIEW customer_mails AS SELECT id, email AS mail FROM customer_list;
CREATE MATERIALIZED VIEW customer_copy AS SELECT id, email FROM customers;
CREATE TYPE customer_row AS (id int, email text);

CREATE FUNCTION write_sql(i int, mail text) RETURNS int LANGUAGE sql
    AS 'INSERT INTO customers (id, email) VALUES (i, mail) RETURNING id';
CREATE FUNCTION write_plpgsql(i int, mail text) RETURNS int LANGUAGE plpgsql
    AS 'BEGIN INSERT INTO customers (id, email) VALUES (i, mail); RETURN i; END';
CREATE FUNCTION write_atomic(i int, mail text) RETURNS int LANGUAGE sql
    BEGIN ATOMIC INSERT INTO customers (id, email) VALUES (i, mail) RETURNING id; END;
CREATE FUNCTION write_through(i int, mail text) RETURNS int LANGUAGE sql AS 'SELECT write_sql(i, mail)';
CREATE PROCEDURE write_procedure(i int, mail text) LANGUAGE sql
    AS 'INSERT INTO customers (id, email) VALUES (i, mail)';
CREATE FUNCTION write_row(r customer_row) RETURNS int LANGUAGE sql AS 'SELECT write_sql(r.id, r.email)';
CREATE CAST (customer_row AS int) WITH FUNCTION write_row(customer_row);
CREATE OPERATOR <~~ (LEFTARG = int, RIGHTARG = text, FUNCTION = write_sql);
CREATE FUNCTION write_step(state int, i int, mail text) RETURNS int LANGUAGE sql AS 'SELECT write_sql(i, mail)';
CREATE AGGREGATE write_all(int, text) (SFUNC = write_step, STYPE = int);
CREATE FUNCTION loosen() RETURNS text LANGUAGE sql
    AS $$ SELECT set_config('standard_conforming_strings', 'off', false) $$;

CREATE TABLE inbox (id int, mail text);
CREATE FUNCTION inbox_in() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN INSERT INTO customers (id, email) VALUES (NEW.id, NEW.mail); RETURN NEW; END';
CREATE TRIGGER inbox_in BEFORE INSERT ON inbox FOR EACH ROW EXECUTE FUNCTION inbox_in();
CREATE TABLE outbox (id int, mail text);
CREATE RULE outbox_out AS ON INSERT TO outbox DO ALSO INSERT INTO customers (id, email) VALUES (NEW.id, NEW.mail);
CREATE VIEW customer_door AS SELECT 1 AS id, 'x'::text AS mail;
CREATE TRIGGER customer_door INSTEAD OF INSERT ON customer_door FOR EACH ROW EXECUTE FUNCTION inbox_in();
CREATE VIEW customer_rule AS SELECT 1 AS id, 'x'::text AS mail;
CREATE RULE customer_rule AS ON INSERT TO customer_rule
    DO INSTEAD INSERT INTO customers (id, email) VALUES (NEW.id, NEW.mail);
"#;

/// What the policy says of it.
pub fn fields(setup: Setup) -> Setup {
    setup
        .field("public.customers", "email", "equality")
        .field("public.customers", "ssn", "random")
        .field("public.customers", "city", "none")
        .field("public.leads", "email", "equality")
        .field("public.people", "email", "equality")
        .field("public.events", "email", "equality")
        .field("public.planned", "email", "equality")
        .field("public.lllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll", "email", "equality")
        .field("public.ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss", "email", "equality")
        .field(r#"public.\"Kunden Ä\""#, "email", "equality")
        .field("public.badges", "email", "equality")
}
