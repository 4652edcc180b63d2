//! Schemas on which sealing breaks what the application relied on: each is named, and what is printed
//! for it mends it.

use sealgate::store::postgres::Throwaway;

use super::{Told, checked, clean};
use crate::harness::{Gate, Setup, pg};

/// A case, in a schema of its own: its name, the SQL behind [`TABLE`], and what is told, as `severity code
/// column`.
type Case = (&'static str, &'static str, &'static [&'static str]);

const TABLE: &str = "CREATE TABLE client (id int PRIMARY KEY, email text, diary text, nick text, name text, \
    rank int, version int DEFAULT 1); CREATE TABLE trail (what text); ";
const LOW: &str = "CREATE FUNCTION low() RETURNS trigger LANGUAGE plpgsql AS \
    $$ BEGIN NEW.email = lower(trim(NEW.email)); RETURN NEW; END $$; ";
const COUNT: &str = "CREATE FUNCTION count_up() RETURNS trigger LANGUAGE plpgsql AS \
    $$ BEGIN NEW.version = 2; RETURN NEW; END $$; ";

const MENDED: &[Case] = &[
    ("nothing", "", &["warning guard-missing diary", "warning guard-missing email"]),
    (
        "what is sound",
        "CREATE UNIQUE INDEX u ON client (email); CREATE UNIQUE INDEX v ON client (rank) WHERE email IS NOT NULL; \
         CREATE INDEX n ON client (lower(nick)); ALTER TABLE client ADD CHECK (email IS NOT NULL), \
         ADD CHECK (length(nick) > 2), ADD CHECK (num_nonnulls(email, diary) < 3); \
         ALTER TABLE client ADD has_mail bool GENERATED ALWAYS AS (email IS NOT NULL) STORED; \
         ALTER TABLE client ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON client USING (nick = current_user)",
        &[],
    ),
    (
        "a unique index on lower",
        "CREATE UNIQUE INDEX u ON client (lower(email))",
        &["error unique-expression email"],
    ),
    ("an index on lower", "CREATE INDEX u ON client (lower(email))", &["warning index-expression email"]),
    (
        "a full-text index",
        "CREATE INDEX u ON client USING gin (to_tsvector('english', diary))",
        &["warning index-expression diary"],
    ),
    (
        "a unique index of some rows",
        "CREATE UNIQUE INDEX u ON client (email) WHERE email <> ''",
        &["error unique-partial email"],
    ),
    (
        "a unique index of other columns, of some rows",
        "CREATE UNIQUE INDEX u ON client (rank) WHERE email LIKE '%@example.com'",
        &["error unique-partial email"],
    ),
    (
        "an index of some rows",
        "CREATE INDEX u ON client (id) WHERE diary > 'a'",
        &["warning index-partial diary"],
    ),
    (
        "UNIQUE over a random column",
        "ALTER TABLE client ADD UNIQUE (rank, diary)",
        &["error unique-random diary"],
    ),
    ("an index on a random column", "CREATE INDEX u ON client (diary)", &["warning index-random diary"]),
    (
        "an exclusion by other than equality",
        "ALTER TABLE client ADD EXCLUDE (lower(email) WITH =)",
        &["error unique-expression email"],
    ),
    ("a check", "ALTER TABLE client ADD CHECK (email LIKE '%@%')", &["error check email"]),
    ("a check of a random column", "ALTER TABLE client ADD CHECK (diary <> '')", &["error check diary"]),
    (
        "row security",
        "ALTER TABLE client ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON client USING (email = current_user::text); \
         CREATE POLICY two ON client AS RESTRICTIVE USING (diary <> 'x') WITH CHECK (diary <> 'y')",
        &["error row-policy diary", "error row-policy email"],
    ),
    ("row security that is off", "CREATE POLICY own ON client USING (email = current_user::text)", &[]),
    (
        "a trigger's WHEN over a random column",
        "COUNT CREATE TRIGGER t BEFORE UPDATE ON client FOR EACH ROW WHEN (OLD.diary IS DISTINCT FROM NEW.diary) \
         EXECUTE FUNCTION count_up()",
        &["error trigger-when diary"],
    ),
    (
        "a trigger's WHEN that asks whether an equality column changes",
        "COUNT CREATE TRIGGER t BEFORE UPDATE ON client FOR EACH ROW WHEN (OLD.email IS DISTINCT FROM NEW.email) \
         EXECUTE FUNCTION count_up()",
        &[],
    ),
    (
        "a trigger's WHEN over values",
        "COUNT CREATE TRIGGER t BEFORE INSERT ON client FOR EACH ROW WHEN (NEW.email LIKE '%@x') \
         EXECUTE FUNCTION count_up()",
        &["error trigger-when email"],
    ),
    (
        "a trigger that changes the value",
        "LOW CREATE TRIGGER t BEFORE INSERT OR UPDATE ON client FOR EACH ROW EXECUTE FUNCTION low()",
        &["error trigger email"],
    ),
    (
        "a trigger that is disabled",
        "LOW CREATE TRIGGER t BEFORE INSERT OR UPDATE ON client FOR EACH ROW EXECUTE FUNCTION low(); \
         ALTER TABLE client DISABLE TRIGGER t",
        &[],
    ),
    (
        "a trigger that puts another row in the place of the row",
        "CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS \
         $$ DECLARE r record; BEGIN r := NEW; RETURN r; END $$; \
         CREATE TRIGGER t BEFORE INSERT ON client FOR EACH ROW EXECUTE FUNCTION other()",
        &["error trigger diary", "error trigger email", "warning legible-copy client"],
    ),
    (
        "what an AFTER trigger returns",
        "CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS \
         $$ DECLARE r record; BEGIN RETURN r; END $$; \
         CREATE TRIGGER t AFTER INSERT ON client FOR EACH ROW EXECUTE FUNCTION other()",
        &[],
    ),
    (
        "a trigger that copies what is legible",
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN INSERT INTO trail VALUES (NEW.nick); RETURN NULL; END $$; \
         CREATE TRIGGER t AFTER INSERT ON client FOR EACH ROW EXECUTE FUNCTION keep()",
        &["warning legible-copy client"],
    ),
    (
        "a generated column",
        "ALTER TABLE client ADD low text GENERATED ALWAYS AS (lower(email)) STORED; \
         CREATE UNIQUE INDEX u ON client (low)",
        &["error generated-from-sealed low", "error unique-expression email"],
    ),
    ("a type", "ALTER TABLE client ALTER email TYPE varchar(80)", &["error column-type email"]),
    ("a default", "ALTER TABLE client ALTER email SET DEFAULT 'nobody'", &["error column-default email"]),
    (
        "a collation by which unequal texts are equal",
        "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
         ALTER TABLE client ALTER email TYPE text COLLATE ci",
        &["error column-collation email"],
    ),
    (
        "a foreign key to what is not sealed",
        "CREATE TABLE mails (email text PRIMARY KEY); ALTER TABLE client ADD FOREIGN KEY (email) REFERENCES mails",
        &["error foreign-key email"],
    ),
    (
        "a rule",
        "CREATE RULE r AS ON INSERT TO client DO ALSO INSERT INTO trail VALUES ('x')",
        &["error rule client"],
    ),
    (
        "a publication",
        "CREATE PUBLICATION SCHEMA FOR TABLE client (id, email, nick)",
        &["note published-sealed email", "warning published nick"],
    ),
    (
        "a publication of rows by value",
        "ALTER TABLE client ALTER email SET NOT NULL; CREATE UNIQUE INDEX u ON client (email); \
         ALTER TABLE client REPLICA IDENTITY USING INDEX u; \
         CREATE PUBLICATION SCHEMA FOR TABLE client (id, email) WHERE (email > 'm')",
        &["error published-by-value email", "note published-sealed email"],
    ),
    (
        "faults of many kinds, of one more than are told one by one",
        "LOW DO $$ BEGIN FOR i IN 1 .. 130 LOOP EXECUTE format('ALTER TABLE client ADD CONSTRAINT c%s CHECK (length(email) < %s)', i, 1000 + i); \
         END LOOP; END $$; ALTER TABLE client ALTER diary TYPE varchar(80); \
         CREATE TRIGGER t BEFORE INSERT ON client FOR EACH ROW EXECUTE FUNCTION low()",
        &["error check client", "error check email", "error column-type diary", "error trigger email"],
    ),
];

/// What no statement mends.
const TOLD: &[Case] = &[
    (
        "rows that are not sealed",
        "INSERT INTO client (id, email) VALUES (1, 'plain@sentinel.example'), (2, NULL)",
        &["error rows-not-sealed email"],
    ),
    (
        "rows of another domain",
        "INSERT INTO client (id, email) VALUES (1, 'SEALabcdefghAAAA')",
        &["error rows-not-sealed email"],
    ),
    (
        "a guard of another domain",
        "ALTER TABLE client ADD CHECK (starts_with(email COLLATE \"C\", 'SEALabcdefgh'))",
        &["error guard-of-other-domain email"],
    ),
    (
        "a partition key",
        "DROP TABLE client; CREATE TABLE client (id int, email text, diary text, nick text) PARTITION BY LIST (email)",
        &["error partition-key email"],
    ),
    ("a column that is not there", "ALTER TABLE client DROP email", &["error column-missing email"]),
    ("children", "CREATE TABLE vip () INHERITS (client)", &["error inheritance client"]),
];

fn prepare(address: std::net::SocketAddr, table: &str) -> Gate {
    Setup::before(address)
        .field_with(table, "email", "equality", "database = \"postgres\"")
        .field_with(table, "diary", "random", "database = \"postgres\"")
        .field_with(table, "nick", "none", "database = \"postgres\"")
        .prepare()
        .unwrap()
}

/// Makes the schema of each case. Those that the server was not built for are left out.
fn make(server: &Throwaway, cases: &'static [Case]) -> Vec<(String, &'static Case)> {
    let mut made = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let schema = format!("case_{number}");
        let sql = case.1.replacen("LOW ", LOW, 1).replacen("COUNT ", COUNT, 1);
        let sql = sql.replace("PUBLICATION SCHEMA ", &format!("PUBLICATION {schema} "));
        let sql = format!("CREATE SCHEMA {schema}; SET search_path = {schema}; {TABLE}{sql}");
        match server.execute("postgres", &sql) {
            Ok(()) => made.push((schema, case)),
            Err(error) => {
                assert!(error.contains("ICU is not supported in this build"), "{}: {error}", case.0)
            }
        }
    }
    made
}

/// Of a case, `severity code column` of everything that is told; guards that are missing where they are
/// asked for, and not that a pattern has found it.
fn told(all: &[Told], schema: &str, expected: &[&str]) -> Vec<String> {
    let of = |one: &Told| {
        let field = one.field.as_deref()?.strip_prefix(&format!("{schema}."))?;
        Some(format!("{} {} {}", one.severity, one.code, field.strip_prefix("client.").unwrap_or(field)))
    };
    let guards = expected.iter().any(|one| one.contains("guard-missing"));
    let mut told: Vec<String> =
        all.iter().filter_map(of).filter(|one| guards || !one.contains("guard-missing")).collect();
    // Of every column, until somebody has written it down.
    told.retain(|one| !one.starts_with("note pattern") && !one.starts_with("note keyring-unmarked"));
    told.sort();
    told.dedup();
    told
}

fn judge(all: &[Told], cases: &[(String, &'static Case)]) {
    let mut wrong = Vec::new();
    for (schema, (name, _, expected)) in cases {
        let found = told(all, schema, expected);
        if found != *expected {
            wrong.push(format!("{name}: expected {expected:?}\n   found {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for one in all.iter().filter(|one| one.severity != "note") {
        assert!(one.line.is_some() && one.database.as_deref() == Some("postgres"), "{one:?}");
        assert!(!one.message.contains("sentinel") && !one.message.contains('\''), "a value is told: {one:?}");
    }
}

fn check_all(major: u32) {
    let server = pg(major);
    let gate = prepare(server.address(), "case_*.client");
    let cases = make(&server, MENDED);
    let (sound, all) = checked(&gate);
    assert!(!sound);
    assert!(all.iter().any(|one| one.code == "keyring-unmarked"), "nothing tells by which keyring");
    judge(&all, &cases);
    assert_eq!(all.iter().filter(|one| one.message.contains("and 30 more of this kind")).count(), 1);

    // Those that were not told one by one are told when the others are mended.
    for _ in 0..2 {
        let sql = clean(&gate.verb(&["check", "--sql"]));
        for line in sql.lines() {
            assert!(line.starts_with("-- ") || line.ends_with(';'), "{line}");
        }
        server.execute("postgres", &sql).unwrap_or_else(|error| panic!("{error}\n{sql}"));
        let again: Vec<&str> = sql.lines().filter(|line| !line.starts_with("ALTER PUBLICATION")).collect();
        server.execute("postgres", &again.join("\n")).unwrap_or_else(|error| panic!("twice: {error}\n{sql}"));
    }
    let (sound, all) = checked(&gate);
    let left: Vec<&Told> = all.iter().filter(|one| one.severity != "note").collect();
    assert!(sound && left.is_empty(), "not mended: {left:?}");

    for (schema, _) in &cases {
        server.execute("postgres", &format!("DROP SCHEMA {schema} CASCADE")).unwrap();
    }
    let cases = make(&server, TOLD);
    let (sound, all) = checked(&gate);
    assert!(!sound);
    judge(&all, &cases);
}

#[test]
fn each_schema_that_sealing_breaks_is_named_and_mended_on_15() {
    check_all(15);
}

#[test]
fn each_schema_that_sealing_breaks_is_named_and_mended_on_18() {
    check_all(18);
}

#[test]
fn a_service_account_that_may_not_read_rows_is_told_so() {
    let server = pg(18);
    server.execute("postgres", &format!("{TABLE} CREATE ROLE looker LOGIN")).unwrap();
    let gate = prepare(server.address(), "public.client");
    gate.configure(|text| text.replace("service_user = \"postgres\"", "service_user = \"looker\""));
    let (_, all) = checked(&gate);
    assert!(all.iter().any(|one| one.code == "rows-not-read" && one.severity == "note"), "{all:?}");
    server.execute("postgres", &clean(&gate.verb(&["check", "--sql"]))).unwrap();
    let (sound, all) = checked(&gate);
    assert!(sound && all.iter().all(|one| one.severity == "note" && one.code != "rows-not-read"), "{all:?}");
}
