//! What becomes of the definitions that applications' migrations have: which text goes on, which constants
//! are sealed in it, and what is refused.

use std::sync::Arc;

use super::super::shop::{READING, shop_with};
use super::super::{Edit, Limits, analyse, splice};
use crate::catalog::{Domain, Field, Kind, Logical, Normal, Normalize, Snapshot};

/// The shop, where columns of the table that is yet to come and of customers have other types.
fn typed() -> Snapshot {
    let with = |mut field: Field| {
        let (logical, lower) = match (&*field.table.name, &*field.column) {
            ("planned", "email") => ("varchar(254)", true),
            ("customers", "city") => ("varchar(20)", false),
            _ => ("text", false),
        };
        field.logical = Logical::parse(logical).unwrap();
        if let Some(domain) = field.domain.take() {
            let normalize =
                if lower { Normalize::new(&[Normal::Lowercase]).unwrap() } else { Normalize::default() };
            field.domain = Some(Domain { kind: Kind { normalize, ..Kind::of(&field.logical) }, ..domain });
        }
        if (&*field.table.name, &*field.column) == ("leads", "email") {
            field.guard = Some(Arc::from("SEALfyeCwSny"));
        }
        field
    };
    shop_with(with)
}

/// The text that goes on, with `<...>` around what is sealed, or the reason of a refusal.
fn told(sql: &str) -> String {
    let snapshot = typed();
    let facts = match analyse(sql.as_bytes(), READING, snapshot.names(None), &Limits::default()) {
        Ok(facts) => facts,
        Err(refused) => return format!("REFUSED {}: {}", refused.reason, refused.hint),
    };
    let mut edits: Vec<_> =
        facts.edits.iter().map(|Edit { span, new, .. }| (span.clone(), new.clone())).collect();
    for literal in facts.statements.iter().flat_map(|one| &one.literals) {
        edits.push((literal.span.clone(), format!("<{}>", &sql[literal.span.clone()]).into_bytes()));
    }
    edits.sort_by_key(|(span, _)| (span.start, span.end));
    String::from_utf8(splice(sql.as_bytes(), &edits).unwrap()).unwrap()
}

#[test]
fn a_sealed_column_is_made_as_text_and_its_constants_are_sealed() {
    for (sql, expected) in [
        (
            "CREATE TABLE public.planned (id int PRIMARY KEY, email varchar(254) NOT NULL DEFAULT '', n int DEFAULT 3)",
            "CREATE TABLE public.planned (id int PRIMARY KEY, email text NOT NULL DEFAULT <''>, n int DEFAULT 3)",
        ),
        (
            "CREATE TABLE IF NOT EXISTS \"public\".\"planned\" (\"email\" character varying(254) COLLATE \"C\" UNIQUE)",
            "CREATE TABLE IF NOT EXISTS \"public\".\"planned\" (\"email\" text COLLATE \"C\" UNIQUE)",
        ),
        (
            "CREATE TABLE public.planned (email varchar(254) DEFAULT 'a'::character varying CHECK (email <> ''))",
            "CREATE TABLE public.planned (email text DEFAULT <'a'>::character varying CHECK (email <> <''>))",
        ),
        (
            "CREATE TABLE public.planned (email varchar(254), CONSTRAINT c CHECK (email IN ('a', 'b') AND id > 3))",
            "CREATE TABLE public.planned (email text, CONSTRAINT c CHECK (email IN (<'a'>, <'b'>) AND id > 3))",
        ),
        (
            "CREATE TABLE public.planned (email varchar(254) DEFAULT NULL, CHECK (planned.email IS NOT NULL))",
            "CREATE TABLE public.planned (email text DEFAULT NULL, CHECK (planned.email IS NOT NULL))",
        ),
        (
            "ALTER TABLE customers ADD COLUMN IF NOT EXISTS city varchar(20) DEFAULT 'x' NOT NULL",
            "ALTER TABLE customers ADD COLUMN IF NOT EXISTS city text DEFAULT <'x'> NOT NULL",
        ),
        (
            "ALTER TABLE customers ALTER COLUMN city TYPE varchar(20) USING city::varchar(20), ALTER city SET NOT NULL",
            "ALTER TABLE customers ALTER COLUMN city TYPE text USING city::text, ALTER city SET NOT NULL",
        ),
        (
            "ALTER TABLE customers ALTER city SET DATA TYPE varchar(10)",
            "ALTER TABLE customers ALTER city SET DATA TYPE text",
        ),
        (
            "ALTER TABLE customers ALTER city SET DATA TYPE character varying ( 20 )",
            "ALTER TABLE customers ALTER city SET DATA TYPE text",
        ),
        (
            "ALTER TABLE ONLY customers ALTER COLUMN city SET DEFAULT 'y', ALTER email DROP DEFAULT",
            "ALTER TABLE ONLY customers ALTER COLUMN city SET DEFAULT <'y'>, ALTER email DROP DEFAULT",
        ),
        (
            "ALTER TABLE customers ADD CONSTRAINT k FOREIGN KEY (email) REFERENCES leads (email) DEFERRABLE INITIALLY DEFERRED",
            "ALTER TABLE customers ADD CONSTRAINT k FOREIGN KEY (email) REFERENCES leads (email) DEFERRABLE INITIALLY DEFERRED",
        ),
        (
            "ALTER TABLE leads ADD COLUMN email text NOT NULL",
            "ALTER TABLE leads ADD COLUMN email text CONSTRAINT \"leads_email_sealed\" CHECK \
             (pg_catalog.starts_with(\"email\" COLLATE \"C\", 'SEALfyeCwSny')) NOT NULL",
        ),
        (
            "CREATE INDEX i ON customers (city varchar_pattern_ops, email bpchar_pattern_ops)",
            "CREATE INDEX i ON customers (city varchar_pattern_ops, email text_pattern_ops)",
        ),
        (
            "CREATE UNIQUE INDEX CONCURRENTLY i ON public.planned (lower(email))",
            "CREATE UNIQUE INDEX CONCURRENTLY i ON public.planned (\"email\")",
        ),
        (
            "CREATE UNIQUE INDEX i ON public.planned ((UPPER((email)::text)) varchar_pattern_ops, id)",
            "CREATE UNIQUE INDEX i ON public.planned ((\"email\") varchar_pattern_ops, id)",
        ),
        (
            "CREATE UNIQUE INDEX i ON customers (email) INCLUDE (phone) NULLS NOT DISTINCT WHERE email IS NOT NULL",
            "CREATE UNIQUE INDEX i ON customers (email) INCLUDE (phone) NULLS NOT DISTINCT WHERE email IS NOT NULL",
        ),
        (
            "CREATE TABLE public.planned (email varchar(254) COLLATE public.nocase NOT NULL)",
            "CREATE TABLE public.planned (email text  NOT NULL)",
        ),
        (
            "ALTER TABLE customers ADD COLUMN city varchar(20) COLLATE \"de-x-icu\"",
            "ALTER TABLE customers ADD COLUMN city text COLLATE \"de-x-icu\"",
        ),
        (
            "CREATE INDEX i ON customers (id) WHERE email = 'a'",
            "CREATE INDEX i ON customers (id) WHERE email = <'a'>",
        ),
        (
            "CREATE TABLE public.planned (email varchar(254)); INSERT INTO public.planned (email) VALUES ('a')",
            "CREATE TABLE public.planned (email text); INSERT INTO public.planned (email) VALUES (<'a'>)",
        ),
        (
            "CREATE TABLE public.far (LIKE leads)",
            "REFUSED definition: Run it over an administrative connection to the server; Sealgate follows the catalog within moments.",
        ),
        (
            "CREATE TABLE public.part PARTITION OF customers DEFAULT",
            "CREATE TABLE public.part PARTITION OF customers DEFAULT",
        ),
        (
            "CREATE TABLE public.part PARTITION OF customers DEFAULT; INSERT INTO part (email) VALUES ('a')",
            "REFUSED relation-reaches: Use the classified table itself.",
        ),
    ] {
        assert_eq!(told(sql), expected, "{sql}");
    }
}

#[test]
fn what_sealed_text_cannot_hold_is_refused_with_what_to_write() {
    for (sql, expected) in [
        (
            "CREATE TABLE public.planned (email varchar(255))",
            "declared-type: Write type = \"varchar(255)\" in the [[field]] of public.planned.email",
        ),
        ("CREATE TABLE public.planned (email text)", "declared-type: Write type = \"text\""),
        ("CREATE TABLE public.planned (email serial)", "declared-type: Declare varchar(254)"),
        (
            "CREATE TABLE public.planned (email varchar(254)[])",
            "declared-type: Write type = \"varchar(254)[]\"",
        ),
        ("ALTER TABLE customers ALTER city TYPE varchar(30)", "declared-type: Write type = \"varchar(30)\""),
        (
            "ALTER TABLE customers ALTER city TYPE varchar(20) USING upper(city)",
            "definition: Leave USING out",
        ),
        ("ALTER TABLE customers ALTER city TYPE varchar(20) USING email", "definition: Leave USING out"),
        (
            "ALTER TABLE customers ALTER city TYPE varchar(20) USING city::varchar(3)",
            "definition: Leave USING out",
        ),
        ("ALTER TABLE customers ALTER city SET DEFAULT now()", "definition: Leave the default out"),
        ("ALTER TABLE customers ALTER city SET DEFAULT 'a' || 'b'", "definition: Leave the default out"),
        ("ALTER TABLE customers ALTER city SET DEFAULT N'a'", "definition: "),
        (
            "ALTER TABLE customers ADD COLUMN city varchar(20) DEFAULT gen_random_uuid()",
            "definition: Leave the default out",
        ),
        (
            "ALTER TABLE customers ADD COLUMN city varchar(20) GENERATED ALWAYS AS (lower(note)) STORED",
            "definition: Leave GENERATED out",
        ),
        ("ALTER TABLE customers ADD CHECK (city SIMILAR TO 'a%')", "definition: A CHECK"),
        ("ALTER TABLE customers ADD CHECK (length(city) < 3)", "definition: A CHECK"),
        ("ALTER TABLE customers ADD CHECK (phone = 'a')", "random-compared: "),
        ("ALTER TABLE customers ADD CHECK (customers IS NOT NULL)", "definition: "),
        ("CREATE INDEX i ON customers USING gin (city gin_trgm_ops)", "definition: Write a btree"),
        ("CREATE INDEX i ON customers (city my_ops)", "unsupported-form: "),
        ("CREATE INDEX i ON customers (lower(city))", "definition: normalize = \"lowercase\""),
        ("CREATE INDEX i ON customers (id) WHERE city > 'a'", "definition: A CHECK"),
        ("CREATE INDEX i ON customers (city COLLATE \"de-x-icu\")", "unsupported-form: "),
        ("CREATE TABLE public.planned (email varchar(254)) PARTITION BY LIST (email)", "definition: "),
        ("CREATE TABLE public.part PARTITION OF customers (email DEFAULT 'a') DEFAULT", "definition: "),
    ] {
        let found = told(sql);
        assert!(found.starts_with(&format!("REFUSED {expected}")), "{sql}\n  {found}");
    }
}

#[test]
fn whatever_else_holds_strings_stands_beside_a_definition_in_one_text() {
    let made = "CREATE TABLE public.planned (id int, email varchar(254) DEFAULT 'x')";
    let expected = "CREATE TABLE public.planned (id int, email text DEFAULT <'x'>)";
    for beside in [
        "CREATE TYPE mood AS ENUM ('ok', 'it''s', 'email')",
        "ALTER TYPE mood ADD VALUE IF NOT EXISTS 'fine' BEFORE 'ok'",
        "ALTER TYPE mood RENAME VALUE 'ok' TO 'well'",
        "COMMENT ON TABLE other IS 'what it is for'",
        "SECURITY LABEL FOR p ON TABLE other IS 'secret'",
        "NOTIFY migrated, 'planned'",
        "SET search_path TO 'public', 'other'",
        "SET TIME ZONE INTERVAL '1 hour' HOUR TO MINUTE",
        "CREATE EXTENSION IF NOT EXISTS pgcrypto WITH VERSION '1.3'",
        "INSERT INTO other (a, b) VALUES ('x', E'\\\\y')",
    ] {
        for text in [format!("{beside}; {made}"), format!("{made};\n{beside}")] {
            let wanted = text.replace(made, expected);
            assert_eq!(told(&text), wanted, "{text}");
        }
    }
}
