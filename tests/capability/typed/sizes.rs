//! What sealing costs in room, by type: not a test, but how the table in `docs/OPERATION.md` is made.

#![expect(clippy::print_stdout, reason = "what it measures is read by people")]

use std::fmt::Write;

use sealgate::catalog::Kind;

use crate::harness::{Raw, Setup, pg};

use super::{logical, table};

type Written = fn(u32) -> String;

/// A type, and the value of row `n` of it, as SQL writes it: each another one.
const TYPES: &[(&str, Written)] = &[
    ("integer", |n| n.to_string()),
    ("bigint", |n| (i64::from(n) * 1_000_003).to_string()),
    ("boolean", |n| (n % 2 == 0).to_string()),
    ("date", |n| format!("'{}-{:02}-{:02}'", 1900 + n / 372, n / 31 % 12 + 1, n % 28 + 1)),
    ("timestamptz", |n| {
        format!("'{}-{:02}-{:02} 13:37:59.{n:06}+00'", 1990 + n / 1000, n % 12 + 1, n % 28 + 1)
    }),
    ("numeric(12,2)", |n| format!("{}.{:02}", n * 37, n % 100)),
    ("double precision", |n| format!("{n}.25")),
    ("uuid", |n| format!("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd{n:06x}'")),
    ("varchar(20)", |n| format!("'+44 20 7946 {n:06}'")),
    ("text", |n| format!("'customer.{n:06}@example.com'")),
    ("jsonb", |n| format!("'{{\"city\": \"London\", \"year\": {n}, \"tags\": [1, 2]}}'")),
    ("inet", |n| format!("'10.{}.{}.7'", n / 256 % 256, n % 256)),
    ("text[]", |n| format!("'{{work,home,n{n}}}'")),
];

const ROWS: u32 = 20_000;
const AT_ONCE: u32 = 1_000;

#[test]
#[ignore = "it measures: cargo test --test capability sizes -- --ignored --nocapture"]
fn sizes() {
    let server = pg(18);
    server.execute("postgres", "CREATE DATABASE plain").unwrap();
    let mut setup = Setup::before(server.address());
    for (name, _) in TYPES {
        let (table, column) = (table(name), format!("CREATE TABLE t_{} (v", table(name)));
        server.execute("plain", &format!("{column} {name})")).unwrap();
        server.execute("postgres", &format!("{column} text)")).unwrap();
        let seal = if Kind::of(&logical(name)).unequal().is_some() { "random" } else { "equality" };
        let lines = format!("type = \"{name}\"\ndomain = \"{table}\"");
        setup = setup.field_with(&format!("public.t_{table}"), "v", seal, &lines);
    }
    let gate = setup.start();
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    println!("| type | bytes of a row, plain and sealed | of its index |\n|---|---|---|");
    for (name, value) in TYPES {
        let table = format!("t_{}", table(name));
        for first in (0..ROWS).step_by(AT_ONCE as usize) {
            let mut sql = format!("INSERT INTO {table} VALUES ");
            for n in first..first + AT_ONCE {
                write!(sql, "{}({})", if n == first { "" } else { ", " }, value(n)).unwrap();
            }
            server.execute("plain", &sql).unwrap();
            assert!(raw.query(&sql).iter().all(|frame| frame.tag != b'E'), "{name}");
        }
        let indexed = Kind::of(&logical(name)).unequal().is_none();
        let sizes = ["plain", "postgres"].map(|database| {
            if indexed {
                server.execute(database, &format!("CREATE INDEX i_{table} ON {table} (v)")).unwrap();
            }
            let index = if indexed { format!("pg_relation_size('i_{table}')") } else { "0".to_owned() };
            let sql = format!("SELECT pg_relation_size('{table}')::text, ({index})::text");
            let row = server.query(database, &sql).unwrap().remove(0);
            row.iter().map(|size| of_one(size.as_ref())).collect::<Vec<u64>>()
        });
        let [plain, sealed] = sizes;
        let index = if indexed { format!("{} → {}", plain[1], sealed[1]) } else { String::new() };
        println!("| `{name}` | {} → {} | {index} |", plain[0], sealed[0]);
    }
}

/// Bytes of one row.
fn of_one(size: Option<&String>) -> u64 {
    let rows = u64::from(ROWS);
    (size.unwrap().parse::<u64>().unwrap() + rows / 2) / rows
}
