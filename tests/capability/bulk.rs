//! The way of a database that is there already: a dump of it, written as INSERTs, goes through the gate
//! into an empty copy of the schema. And how much room the sealed values take there.

use std::fs;
use std::process::{Command, Output, Stdio};

use sealgate::store::postgres::Throwaway;

use crate::harness::{Gate, Session, Setup, VERSIONS, pg};
use crate::shop::holds;

/// The old database; its copy is `new`.
const OLD: &str = "postgres";
const ROWS: usize = 3_000;

const SCHEMA: &str = "CREATE TABLE account (email text PRIMARY KEY REFERENCES customers (email)); \
    CREATE TABLE customers (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, email text UNIQUE, \
        phone text, made timestamptz DEFAULT now(), loud text GENERATED ALWAYS AS (upper(name)) STORED); \
    CREATE TABLE orders (id serial PRIMARY KEY, customer int REFERENCES customers, item bytea)";

/// Values that are hard to write, behind those that are not.
const FILL: &str = "INSERT INTO customers (name, email, phone) \
        SELECT 'name ' || i, 'customer' || i || '@sentinel.example', nullif(i % 7, 0) || ' sentinel ' || i \
        FROM generate_series(1, ROWS) i; \
    INSERT INTO customers (name, email, phone) VALUES (E'it''s \\\\ \\n', E'\\\\''sentinel\\\\', ''), \
        ('\u{e9}\u{6f22}\u{1f600}', '\u{e9}\u{6f22}\u{1f600} sentinel', repeat('long ', 900)), (NULL, NULL, NULL); \
    INSERT INTO account SELECT email FROM customers WHERE id < 20; \
    INSERT INTO orders (customer, item) SELECT i, sha256(i::text::bytea) FROM generate_series(1, 900) i";

/// The tables, referring ones behind those that they refer to.
fn schema() -> String {
    let mut tables: Vec<&str> = SCHEMA.split("; ").collect();
    tables.swap(0, 1);
    tables.join("; ")
}

fn classified(server: &Throwaway) -> Setup {
    let of_new = "database = \"new\"";
    Setup::before(server.address())
        .field_with("public.customers", "email", "equality", of_new)
        .field_with("public.account", "email", "equality", of_new)
        .field_with("public.customers", "phone", "random", of_new)
}

/// Sends a dump of the old database, with these options, to the gate. The folder is the gate's.
fn pour(server: &Throwaway, gate: &Gate, options: &[&str]) -> Output {
    let file = gate.folder().join("dump.sql");
    let dump = Command::new(server.binaries().program("pg_dump"))
        .args(["--data-only", "-h", "127.0.0.1", "-U", "postgres", "-d", OLD, "-p"])
        .arg(server.port().to_string())
        .args(options)
        .stdout(fs::File::create(&file).unwrap())
        .output()
        .unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    Command::new(server.binaries().program("psql"))
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"])
        .arg(file)
        .arg(format!("postgresql://postgres@{}/new", gate.address()))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn poured(server: &Throwaway, gate: &Gate, options: &[&str]) {
    let output = pour(server, gate, options);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

const ALL: &[&str] = &[
    "SELECT id, name, email, phone, made, loud FROM customers ORDER BY id",
    "SELECT c.id, a.email FROM account a JOIN customers c ON c.email = a.email ORDER BY c.id",
    "SELECT id, customer, item FROM orders ORDER BY id",
];

#[test]
fn a_dump_of_inserts_through_the_gate_seals_a_whole_database() {
    for major in VERSIONS {
        let server = pg(major);
        server.create_database("new").unwrap();
        server.execute("new", &schema()).unwrap();
        server.execute(OLD, &schema()).unwrap();
        server.execute(OLD, &FILL.replace("ROWS", &ROWS.to_string())).unwrap();
        let gate = classified(&server).start();
        poured(&server, &gate, &["--inserts", "--rows-per-insert=500"]);

        let through = Session::open(gate.address(), "postgres", None, "new").unwrap();
        for sql in ALL {
            let (found, expected) = (through.text(sql).unwrap(), server.query(OLD, sql).unwrap());
            assert!(expected.len() > 15 && found == expected, "{sql} on {major}");
        }
        let sealed = "SELECT email FROM customers WHERE email IS NOT NULL UNION ALL SELECT email FROM account \
            UNION ALL SELECT phone FROM customers WHERE phone IS NOT NULL";
        let stored = server.query("new", sealed).unwrap();
        assert!(
            stored.len() > ROWS && stored.iter().flatten().flatten().all(|text| text.starts_with("SEAL"))
        );
        // Numbers go on where they were.
        through.text("INSERT INTO customers (name) VALUES ('next')").unwrap();
        through.text("INSERT INTO orders (customer) VALUES (1)").unwrap();
        let next = "SELECT max(id)::text FROM customers UNION ALL SELECT max(id)::text FROM orders";
        let next = server.query("new", next).unwrap().concat();
        assert_eq!(next, [Some((ROWS + 4).to_string()), Some("901".to_owned())]);
        // `check` says that no row was left out: it looks at all of them.
        let checked = String::from_utf8(gate.verb(&["check"]).stdout).unwrap();
        assert!(!checked.contains("FAULT") && !checked.contains("rows-not-"), "{checked}");
        server.execute("new", "UPDATE customers SET phone = 'past the gate' WHERE id = 1").unwrap();
        let checked = String::from_utf8(gate.verb(&["check"]).stdout).unwrap();
        assert!(
            checked.contains("column phone is not sealed in 1 row") && checked.contains("[rows-not-sealed]")
        );
        for record in fs::read_dir(gate.folder().join("audit")).unwrap() {
            assert!(!holds(&fs::read(record.unwrap().path()).unwrap(), b"sentinel"), "a value is on record");
        }
    }
}

#[test]
fn a_dump_is_poured_by_copy_and_one_of_texts_that_are_too_long_is_refused_before_a_row_is_stored() {
    let server = pg(18);
    server.create_database("new").unwrap();
    server.execute("new", &schema()).unwrap();
    server.execute(OLD, &schema()).unwrap();
    server.execute(OLD, &FILL.replace("ROWS", "20000")).unwrap();
    let gate = classified(&server).start();
    let output = pour(&server, &gate, &["--inserts", "--rows-per-insert=20000"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("the statement is longer than limits.statement_bytes_max"),
        "{said}"
    );
    let left = "SELECT count(*)::text FROM customers";
    assert_eq!(server.query("new", left).unwrap().concat(), [Some("0".to_owned())]);
    // What is not classified may go by COPY, behind what it refers to.
    poured(&server, &gate, &["--disable-triggers", "-t", "customers", "-t", "account"]);
    poured(&server, &gate, &["-t", "orders", "-t", "orders_id_seq"]);
    let count = "SELECT count(*)::text FROM orders";
    assert_eq!(server.query("new", count).unwrap(), server.query(OLD, count).unwrap());
}

/// The rows of docs/OPERATION.md's table on room: bytes of the value, then those of its column as the server
/// has it: not sealed, `equality`, `random`.
fn told() -> Vec<[usize; 4]> {
    let page = fs::read_to_string("docs/OPERATION.md").unwrap();
    let (_, table) = page.split_once("| bytes of the value |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let numbers = rows.map(|row| {
        let cells = row.split('|').filter_map(|cell| cell.trim().replace(',', "").parse().ok());
        let cells: Vec<usize> = cells.collect();
        [cells[0], cells[1], cells[2], cells[3]]
    });
    numbers.collect()
}

#[test]
fn sealed_values_take_the_room_that_the_manual_says() {
    let rows = told();
    assert!(rows.len() > 5, "{rows:?}");
    for major in VERSIONS {
        let server = pg(major);
        let table = "CREATE TABLE room (bytes int, plain text, same text, other text)";
        server.execute("postgres", table).unwrap();
        let gate = Setup::before(server.address())
            .field("public.room", "same", "equality")
            .field("public.room", "other", "random")
            .start();
        let session = Session::open(gate.address(), "postgres", None, "postgres").unwrap();
        for [bytes, ..] in &rows {
            let value = "x".repeat(*bytes);
            // A row of each: two kilobytes in one would be compressed, or put elsewhere.
            for column in ["plain", "same", "other"] {
                let insert = format!("INSERT INTO room (bytes, {column}) VALUES ($1, $2)");
                session.rows(&insert, &[&i32::try_from(*bytes).unwrap(), &value]).unwrap();
            }
        }
        let sizes = "SELECT bytes, max(pg_column_size(plain)), max(pg_column_size(same)), \
            max(pg_column_size(other)), max(length(same)), max(length(other)) FROM room GROUP BY bytes ORDER BY bytes";
        for (row, told) in server.query("postgres", sizes).unwrap().iter().zip(&rows) {
            let found: Vec<usize> = row.iter().flatten().map(|text| text.parse().unwrap()).collect();
            assert_eq!(found[..4], told[..], "on {major}");
            let letters = |more: usize| ((told[0] + more) * 4).div_ceil(3);
            assert_eq!(found[4..], [letters(29), letters(53)], "the formula");
        }
    }
}
