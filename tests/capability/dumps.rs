//! Dumps through the gate: of opened values for whoever may read them, and of sealed ones as they are
//! stored for the users that the policy names, for backups.

use std::process::{Command, Output, Stdio};

use crate::harness::{Frame, Gate, Raw, Setup, Tap, VERSIONS, await_that, string};
use crate::shop::{self, errors, firsts, holds, records, states};
use sealgate::store::postgres::Throwaway;

const MARK: &[u8] = b"s3ntinel";

const SEED: &str = "INSERT INTO customers (id, email, phone, city, note) VALUES \
    (1, 's3ntinel-ada@x.example', E's3ntinel\\t1,\"', 'Rome', 'one'), (2, 's3ntinel-bob@x.example', 's3ntinel\n2', 'Oslo', '\\N'), \
    (3, 's3ntinel-eve@x.example', NULL, NULL, ''), (4, NULL, '', 'Bonn', NULL)";

/// All data of the answer to a COPY, and its tag.
fn copied(frames: &[Frame]) -> (Vec<u8>, String) {
    assert_eq!(errors(frames), []);
    let data = frames.iter().filter(|frame| frame.tag == b'd').flat_map(|frame| frame.body.clone());
    let tag = frames.iter().find(|frame| frame.tag == b'C').map(|frame| frame.body.clone());
    (data.collect(), String::from_utf8(tag.unwrap()).unwrap())
}

fn open(server: &Throwaway) -> (Gate, Tap) {
    let tap = Tap::before(server.address());
    let setup = shop::classified(Setup::before(tap.address()));
    (setup.extra("[policy]\ncopy_sealed = [\"backup\"]\n").start(), tap)
}

/// `pg_dump` of the shop by one user into a file of the gate's folder, which it hands back.
fn dump(server: &Throwaway, gate: &Gate, user: &str, options: &[&str]) -> Vec<u8> {
    let output = Command::new(server.binaries().program("pg_dump"))
        .args(options)
        .arg(format!("postgresql://{user}@{}/postgres?sslmode=disable", gate.address()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{options:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn restore(server: &Throwaway, gate: &Gate, to: &str, dump: &[u8]) -> Output {
    let file = gate.folder().join("dump.sql");
    std::fs::write(&file, dump).unwrap();
    Command::new(server.binaries().program("psql"))
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"])
        .arg(file)
        .arg(to)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// One word for all rows of the shop, as whoever asks sees them.
fn checksum(raw: &mut Raw) -> Vec<u8> {
    let (data, _) =
        copied(&raw.query("COPY (SELECT id, email, phone, city, note FROM customers ORDER BY id) TO STDOUT"));
    assert!(!data.is_empty());
    data
}

#[test]
fn a_dump_of_sealed_values_is_what_is_stored_and_can_be_restored() {
    for major in VERSIONS {
        let server = shop::server(major);
        server.execute("postgres", "CREATE ROLE backup LOGIN SUPERUSER").unwrap();
        server.execute("postgres", "CREATE DATABASE restored").unwrap();
        let (gate, tap) = open(&server);
        let mut app = Raw::login(gate.address(), "postgres", "postgres");
        assert_eq!(states(&app.query(SEED)), [""; 0]);
        let mut backup = Raw::login(gate.address(), "backup", "postgres");
        let mut direct = Raw::login(server.address(), "backup", "postgres");
        for form in ["", " (FORMAT csv, HEADER, FORCE_QUOTE *)", " (FORMAT binary)"] {
            for of in [
                "customers",
                "customers (phone, id, email)",
                "(SELECT email, COALESCE(phone, email), city FROM customers ORDER BY id)",
                "(SELECT * FROM customers)",
            ] {
                let sql = format!("COPY {of} TO STDOUT{form}");
                if of.contains("COALESCE") {
                    // Two domains.
                    assert_eq!(states(&backup.query(&sql)), states(&app.query(&sql)), "{major}: {sql}");
                    continue;
                }
                let sealed = copied(&backup.query(&sql));
                assert_eq!(sealed, copied(&direct.query(&sql)), "{major}: {sql}");
                assert!(!holds(&sealed.0, MARK) && holds(&sealed.0, b"SEAL"), "{major}: {sql}");
                let opened = copied(&app.query(&sql));
                assert!(holds(&opened.0, MARK) && opened.1 == sealed.1, "{major}: {sql}");
                // And by the extended protocol.
                backup.parse("", &sql, &[]);
                backup.bind("", "", &[], &[], &[]);
                backup.execute("", 0);
                assert_eq!(copied(&backup.sync()), sealed, "{major}: {sql}");
            }
        }
        // What is looked for is still the value, and rows are opened where it is no COPY.
        let one = "COPY (SELECT id, email FROM customers WHERE email = 's3ntinel-bob@x.example') TO STDOUT";
        assert!(copied(&backup.query(one)).0.starts_with(b"2\tSEAL"), "{major}");
        assert_eq!(
            firsts(&backup.query("SELECT email FROM customers WHERE id = 1")),
            ["s3ntinel-ada@x.example"]
        );
        // It takes none, by any way: what it gave would be sealed once more.
        for sql in ["COPY customers FROM STDIN", "COPY customers (id, phone) FROM STDIN (FORMAT binary)"] {
            assert_eq!(states(&backup.query(sql)), ["SG001"], "{major}: {sql}");
            backup.parse("", sql, &[]);
            assert_eq!(states(&backup.sync()), ["SG001"], "{major}: {sql}");
        }
        backup.send(b'Q', &string("COPY orders (id, item) FROM STDIN"));
        assert_eq!(backup.read().unwrap().tag, b'G');
        backup.send(b'd', b"7\tseven\n");
        backup.send(b'c', b"");
        assert_eq!(errors(&backup.until_ready()), []);

        // A whole backup, restored past the gate, and read through it.
        let whole = dump(&server, &gate, "backup", &[]);
        assert!(!holds(&whole, MARK) && holds(&whole, b"SEAL"), "{major}");
        let past = format!("postgresql://postgres@{}/restored", server.address());
        let said = restore(&server, &gate, &past, &whole);
        assert!(said.status.success(), "{major}: {}", String::from_utf8_lossy(&said.stderr));
        let mut restored = Raw::login(server.address(), "postgres", "restored");
        assert_eq!(checksum(&mut restored), checksum(&mut direct), "{major}: sealed");
        let mut through = Raw::login(gate.address(), "postgres", "restored");
        assert_eq!(checksum(&mut through), checksum(&mut app), "{major}: opened");
        assert_eq!(
            firsts(&through.query("SELECT id FROM customers WHERE email = 's3ntinel-eve@x.example'")),
            ["3"]
        );

        // A dump of opened values, restored through the gate, is sealed anew and opens alike.
        let opened = dump(&server, &gate, "postgres", &["--data-only", "-t", "customers"]);
        assert!(holds(&opened, MARK) && !holds(&opened, b"SEAL"), "{major}");
        assert_eq!(errors(&through.query("DELETE FROM customers")), []);
        let said = restore(
            &server,
            &gate,
            &format!("postgresql://postgres@{}/restored?sslmode=disable", gate.address()),
            &opened,
        );
        assert!(said.status.success(), "{major}: {}", String::from_utf8_lossy(&said.stderr));
        assert_eq!(checksum(&mut through), checksum(&mut app), "{major}: opened anew");
        let stored = checksum(&mut restored);
        assert!(!holds(&stored, MARK) && holds(&stored, b"SEAL"), "{major}");
        assert!(!holds(&tap.to_server(), MARK), "{major}: a value went upstream");
    }
}

#[test]
fn a_dump_of_sealed_values_is_on_record_and_opens_nothing() {
    let server = shop::server(18);
    server.execute("postgres", "CREATE ROLE backup LOGIN SUPERUSER").unwrap();
    let (gate, _tap) = open(&server);
    let mut app = Raw::login(gate.address(), "postgres", "postgres");
    assert_eq!(states(&app.query(SEED)), [""; 0]);
    let mut backup = Raw::login(gate.address(), "backup", "postgres");
    let outcome = |sql: &str, raw: &mut Raw| {
        let before = records(&gate).len();
        let (data, _) = copied(&raw.query(sql));
        let found = || records(&gate).split_off(before);
        let is = |one: &serde_json::Value, kind: &str| one["kind"] == kind && one["action"] == "read";
        await_that("the outcome", || found().iter().any(|one| is(one, "outcome")));
        let intent = found().into_iter().find(|one| is(one, "intent")).unwrap();
        let outcome = found().into_iter().find(|one| is(one, "outcome")).unwrap();
        assert_eq!(intent["statement_id"], outcome["statement_id"]);
        assert!(intent["fields"].to_string().contains("public.customers.email"), "{intent}");
        let number = |key: &str| outcome[key].as_u64().unwrap();
        (intent["rule"].as_str().unwrap().to_owned(), number("rows"), number("cells"), number("bytes"), data)
    };
    let sql = "COPY customers (id, email, phone) TO STDOUT";
    let (rule, rows, cells, bytes, data) = outcome(sql, &mut backup);
    assert_eq!((&*rule, rows, cells), ("copy-sealed", 4, 0));
    assert!(bytes > 300 && bytes < data.len() as u64, "{bytes}");
    // What the server can read is read as ever.
    let (rule, rows, cells, ..) = outcome("COPY customers (email, city) TO STDOUT", &mut backup);
    assert_eq!((&*rule, rows, cells), ("copy-sealed", 4, 3));
    let (rule, rows, cells, ..) = outcome(sql, &mut app);
    assert_eq!((&*rule, rows, cells), ("every-user", 4, 6));
    // The rule ends with the policy that has it, for sessions that are open, too.
    gate.configure(|text| text.replace("[policy]\ncopy_sealed = [\"backup\"]\n", ""));
    gate.signal("HUP");
    await_that("the reload", || gate.log().contains("the configuration was read again"));
    assert_eq!(states(&backup.query("SELECT 1")), [""; 0]);
    assert!(holds(&copied(&backup.query(sql)).0, MARK));
}

/// The formats of `pg_restore`, several workers and sections: of sealed values past the gate, of opened ones
/// through it.
#[test]
fn dumps_of_every_format_and_section_are_restored_by_the_servers_own_tools() {
    let run = |program: std::path::PathBuf, args: &[&str]| {
        let output = Command::new(program).args(args).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    for major in VERSIONS {
        let server = shop::server(major);
        server.execute("postgres", "CREATE ROLE backup LOGIN SUPERUSER").unwrap();
        let (gate, tap) = open(&server);
        let mut app = Raw::login(gate.address(), "postgres", "postgres");
        assert_eq!(states(&app.query(SEED)), [""; 0]);
        let mut direct = Raw::login(server.address(), "postgres", "postgres");
        let (opened, sealed) = (checksum(&mut app), checksum(&mut direct));
        let programs = |name: &str| server.binaries().program(name);
        for (number, (user, form)) in [
            ("backup", &["-Fc"][..]),
            ("backup", &["-Fd", "-j", "2"]),
            ("backup", &["-Ft"]),
            ("postgres", &["-Fc"]),
            ("postgres", &["-Fd", "-j", "2"]),
        ]
        .into_iter()
        .enumerate()
        {
            let database = format!("restored{number}");
            server.create_database(&database).unwrap();
            let file = gate.folder().join(&database).display().to_string();
            let from = format!("postgresql://{user}@{}/postgres?sslmode=disable", gate.address());
            run(programs("pg_dump"), &[form, &["-f", &file, "-d", &from]].concat());
            // What is sealed stays so past the gate; what is open is sealed anew by it. What is defined there goes
            // past it for both.
            let past = format!("postgresql://postgres@{}/{database}", server.address());
            let through = format!("postgresql://postgres@{}/{database}?sslmode=disable", gate.address());
            let data = if user == "backup" { &past } else { &through };
            for (section, to) in [("pre-data", &past), ("data", data), ("post-data", &past)] {
                let section = format!("--section={section}");
                run(programs("pg_restore"), &["--exit-on-error", &section, "-d", to, &file]);
            }
            let mut stored = Raw::login(server.address(), "postgres", &database);
            let stored = checksum(&mut stored);
            assert!(!holds(&stored, MARK) && holds(&stored, b"SEAL"), "{major}: {user} {form:?}");
            assert!(user != "backup" || stored == sealed, "{major}: {form:?}");
            let mut read = Raw::login(gate.address(), "postgres", &database);
            assert_eq!(checksum(&mut read), opened, "{major}: {user} {form:?}");
        }
        assert!(!holds(&tap.to_server(), MARK), "{major}: a value went upstream");
    }
}
