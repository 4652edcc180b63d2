//! Code of the database finds what it names when it runs: functions, triggers, rules, views over views. So a
//! definition can turn what was harmless a moment ago into a way to a sealed column, for its own transaction,
//! for other sessions that wait behind its locks, and for what was begun before it.

use std::time::{Duration, Instant};

use sealgate::store::postgres::Throwaway;

use crate::harness::{Gate, Raw, Setup, VERSIONS, pg};
use crate::shop::{self, firsts, states};

const SECRET: &str = "s3cret-word";

const BASE: &str = "\
    CREATE TABLE customers (id int PRIMARY KEY, email text UNIQUE, note text); \
    CREATE TABLE leads (id int, email text); \
    CREATE TABLE parts (id int, email text) PARTITION BY LIST (id); \
    CREATE TABLE plain (id int PRIMARY KEY, note text, email text); INSERT INTO plain VALUES (1, 'x', 'y'); \
    CREATE TABLE watched (id int, note text); CREATE TABLE deferred (id int, note text); \
    CREATE VIEW v AS SELECT id, note FROM plain; CREATE VIEW w AS SELECT id, note FROM v; \
    CREATE FUNCTION by_view(t text) RETURNS void LANGUAGE plpgsql AS 'BEGIN UPDATE late_view SET note = t; END'; \
    CREATE FUNCTION by_atomic(t text) RETURNS void LANGUAGE sql BEGIN ATOMIC UPDATE v SET note = t; END; \
    CREATE FUNCTION by_part(t text) RETURNS void LANGUAGE plpgsql AS 'BEGIN INSERT INTO late_part VALUES (1, t); END'; \
    CREATE FUNCTION by_temp(t text) RETURNS void LANGUAGE plpgsql AS 'BEGIN UPDATE late_temp SET email = t; END'; \
    CREATE FUNCTION hands_on() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE late_view SET note = NEW.note; RETURN NEW; END'; \
    CREATE TRIGGER t BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION hands_on(); \
    CREATE CONSTRAINT TRIGGER t AFTER INSERT ON deferred DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hands_on(); \
    CREATE FUNCTION copies() RETURNS trigger LANGUAGE plpgsql AS \
        'BEGIN INSERT INTO leads (id, email) VALUES (NEW.id, NEW.email); RETURN NEW; END'; \
    CREATE TRIGGER t AFTER INSERT ON customers FOR EACH ROW EXECUTE FUNCTION copies(); \
    CREATE FUNCTION leads_on() RETURNS trigger LANGUAGE plpgsql AS \
        'BEGIN INSERT INTO leads (id, email) VALUES (NEW.id, NEW.note); RETURN NEW; END'; \
    CREATE SCHEMA s2; CREATE TABLE s2.pl (id int, note text); \
    CREATE TRIGGER t BEFORE INSERT ON s2.pl FOR EACH ROW EXECUTE FUNCTION leads_on(); \
    INSERT INTO customers (id, note) VALUES (1, 'n')";

/// What is defined, what uses it, by whatever name, and what was begun before it.
const WAYS: &[(&str, &str, &str)] = &[
    (
        "CREATE OR REPLACE VIEW v AS SELECT id, email AS note FROM customers",
        "UPDATE w SET note = '{}' WHERE id = 1",
        "",
    ),
    ("CREATE OR REPLACE VIEW v AS SELECT id, email AS note FROM customers", "SELECT by_atomic('{}')", ""),
    (
        "DROP VIEW w; DROP FUNCTION by_atomic; DROP VIEW v; CREATE VIEW v AS SELECT id, email AS note FROM customers; \
         CREATE VIEW w AS SELECT id, note FROM v",
        "UPDATE w SET note = '{}' WHERE id = 1",
        "",
    ),
    ("CREATE VIEW late_view AS SELECT id, email AS note FROM customers", "SELECT by_view('{}')", ""),
    (
        "CREATE VIEW public.\"late_view\" AS SELECT id, email AS note FROM customers",
        "INSERT INTO watched VALUES (1, '{}')",
        "",
    ),
    (
        "CREATE VIEW late_view AS SELECT id, email AS note FROM customers",
        "SELECT 1",
        "INSERT INTO deferred VALUES (1, '{}')",
    ),
    ("CREATE TABLE late_part PARTITION OF parts FOR VALUES IN (1)", "SELECT by_part('{}')", ""),
    ("ALTER SCHEMA s2 RENAME TO s3", "INSERT INTO s3.pl VALUES (1, '{}')", ""),
    (
        "CREATE TRIGGER t2 BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION copies()",
        "INSERT INTO plain VALUES (2, 'z', '{}')",
        "",
    ),
    (
        "CREATE TRIGGER t2 BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION leads_on()",
        "INSERT INTO customers (id, note) VALUES (2, '{}')",
        "",
    ),
    ("CREATE TEMP TABLE late_temp AS SELECT id, email FROM customers", "SELECT by_temp('{}')", ""),
];

fn gate_before(server: &Throwaway) -> Gate {
    let setup = Setup::before(server.address());
    ["customers", "leads", "parts"]
        .iter()
        .fold(setup, |setup, table| setup.field(&format!("public.{table}"), "email", "equality"))
        .start()
}

fn fresh(server: &Throwaway, name: &str) {
    server.execute("postgres", &format!("CREATE DATABASE {name} TEMPLATE base")).unwrap();
}

/// What stands in the sealed columns as it was given.
fn legible(server: &Throwaway, database: &str) -> Vec<String> {
    let mut direct = Raw::login(server.address(), "postgres", database);
    let sql =
        "SELECT email FROM customers UNION ALL SELECT email FROM leads UNION ALL SELECT email FROM parts";
    firsts(&direct.query(sql)).into_iter().filter(|value| value.contains(SECRET)).collect()
}

/// Waits until a statement of the database waits for a lock of another one, or for as long as a gate may hold it.
fn await_waiting(server: &Throwaway, database: &str) {
    let mut direct = Raw::login(server.address(), "postgres", "postgres");
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND wait_event_type = 'Lock'"
    );
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(400) && firsts(&direct.query(&sql)) == ["0"] {
        std::thread::yield_now();
    }
}

#[test]
fn what_a_definition_turns_code_to_is_given_no_value_in_its_own_transaction() {
    for major in VERSIONS {
        let server = pg(major);
        server.execute("postgres", "CREATE DATABASE base").unwrap();
        server.execute("base", BASE).unwrap();
        let gate = gate_before(&server);
        for (number, (defines, uses, before)) in WAYS.iter().enumerate() {
            for one_text in [false, true] {
                let database = format!("own{number}{}", u8::from(one_text));
                fresh(&server, &database);
                let (uses, before) = (uses.replace("{}", SECRET), before.replace("{}", SECRET));
                let mut raw = Raw::login(gate.address(), "postgres", &database);
                let texts = ["BEGIN", &before, defines, &uses, "COMMIT"];
                let said: Vec<Vec<String>> = if one_text {
                    let whole: Vec<&str> = texts.into_iter().filter(|text| !text.is_empty()).collect();
                    vec![states(&raw.query(&whole.join("; ")))]
                } else {
                    texts.iter().map(|text| states(&raw.query(text))).collect()
                };
                assert_eq!(legible(&server, &database), [""; 0], "{major}: {defines}: {uses}: {said:?}");
                if defines.contains("late_temp") {
                    assert!(said.concat().iter().any(|state| state.starts_with("SG")), "{said:?}");
                }
            }
        }
    }
}

#[test]
fn what_a_definition_turns_code_to_is_given_no_value_by_whoever_waits_for_it() {
    let server = pg(15);
    server.execute("postgres", "CREATE DATABASE base").unwrap();
    server.execute("base", BASE).unwrap();
    let gate = gate_before(&server);
    for (number, (defines, uses, _)) in WAYS.iter().enumerate() {
        if defines.contains("TEMP") {
            continue;
        }
        let database = format!("other{number}");
        fresh(&server, &database);
        let uses = uses.replace("{}", SECRET);
        let mut definer = Raw::login(gate.address(), "postgres", &database);
        let mut other = Raw::login(gate.address(), "postgres", &database);
        // It has used the tables before, and holds no lock that a definition would wait for.
        assert_eq!(states(&other.query("SELECT count(*) FROM customers")), [""; 0]);
        let defined = [definer.query("BEGIN"), definer.query(defines)].map(|frames| states(&frames));
        other.send(b'Q', format!("{uses}\0").as_bytes());
        await_waiting(&server, &database);
        let ended = states(&definer.query("COMMIT"));
        let other = states(&other.until_ready());
        assert_eq!(
            legible(&server, &database),
            [""; 0],
            "{defines}: {uses}: {defined:?} {ended:?} {other:?}"
        );
    }
}

#[test]
fn what_a_view_shows_once_it_is_replaced_is_on_record_for_whoever_waited_for_it() {
    let server = shop::server(18);
    let define = "CREATE TABLE plain (id int, note text); CREATE VIEW v AS SELECT id, note FROM plain; \
        CREATE VIEW w AS SELECT id, note FROM v; INSERT INTO customers (id, city) VALUES (1, 's3cret-word')";
    server.execute("postgres", define).unwrap();
    let (gate, _tap) = shop::open(&server);
    let mut definer = Raw::login(gate.address(), "postgres", "postgres");
    let mut other = Raw::login_with(
        gate.address(),
        &[("user", "postgres"), ("database", "postgres"), ("application_name", "other")],
    );
    assert_eq!(states(&definer.query("BEGIN")), [""; 0]);
    let replace = "CREATE OR REPLACE VIEW v AS SELECT id, city AS note FROM customers";
    assert_eq!(states(&definer.query(replace)), [""; 0]);
    other.send(b'Q', b"SELECT note FROM w\0");
    await_waiting(&server, "postgres");
    let ended = states(&definer.query("COMMIT"));
    let shown = firsts(&other.until_ready()).iter().any(|value| value == SECRET);
    let recorded = || {
        shop::records(&gate).iter().any(|record| {
            record["kind"] == "intent"
                && record["application"] == "other"
                && record.to_string().contains("city")
        })
    };
    assert!(!shown || recorded(), "shown without a record; COMMIT: {ended:?}");
    // When nobody is in its way it is replaced, and what is made of it is on record.
    definer.query("ROLLBACK");
    assert_eq!(states(&definer.query(replace)), [""; 0]);
    assert_eq!(firsts(&other.query("SELECT note FROM w")), [SECRET]);
    assert!(recorded(), "what is made of the view shows the field");
}
