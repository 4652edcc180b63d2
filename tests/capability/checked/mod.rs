//! `sealgate check` tells all, and leaves nothing behind.

mod refused;
mod schemas;

use std::net::TcpListener;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use crate::harness::{Gate, Setup, pg};
use crate::hops::certificates::{Certificates, expired, named};
use crate::shop::{self, classified};

/// One finding of `check --json`.
#[derive(Deserialize, Debug)]
struct Told {
    severity: String,
    code: String,
    file: Option<String>,
    line: Option<u32>,
    database: Option<String>,
    field: Option<String>,
    message: String,
    sql: Option<String>,
}

#[derive(Deserialize)]
struct Whole {
    sound: bool,
    findings: Vec<Told>,
}

fn clean(output: &Output) -> String {
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What `check` tells; the exit code agrees, and every code stands in the docs.
fn checked(gate: &Gate) -> (bool, Vec<Told>) {
    told_by(&gate.verb(&["check", "--json"]))
}

fn told_by(output: &Output) -> (bool, Vec<Told>) {
    let Whole { sound, findings } = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stdout)));
    assert_eq!(output.status.code(), Some(if sound { 0 } else { 2 }));
    assert_eq!(sound, findings.iter().all(|one| one.severity != "error"));
    let docs = std::fs::read_to_string("docs/OPERATION.md").unwrap();
    for one in &findings {
        assert!(docs.contains(&format!("| `{}` |", one.code)), "{} is not in docs/OPERATION.md", one.code);
    }
    (sound, findings)
}

/// The same with further arguments; the human form says the same.
fn checked_with(gate: &Gate, more: &[&str]) -> (bool, Vec<Told>) {
    let (sound, findings) = told_by(&gate.verb(&[&["check", "--json"], more].concat()));
    let human = gate.verb(&[&["check"], more].concat());
    assert_eq!(human.status.code(), Some(if sound { 0 } else { 2 }));
    let human = String::from_utf8(human.stdout).unwrap();
    for one in &findings {
        let label = match one.severity.as_str() {
            "error" => "FAULT",
            "warning" => "warn ",
            "note" => "note ",
            other => panic!("{other}"),
        };
        let line = human.lines().find(|line| line.contains(&one.message));
        assert!(line.is_some_and(|line| line.starts_with(label)), "{one:?} is not in\n{human}");
    }
    assert_eq!(human.lines().filter(|line| !line.starts_with("         mend: ")).count(), findings.len());
    (sound, findings)
}

fn codes(all: &[Told], severity: &str) -> Vec<String> {
    all.iter().filter(|one| one.severity == severity).map(|one| one.code.clone()).collect()
}

/// Every file and folder below a folder.
fn listing(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        found.push(entry.path().display().to_string());
        if entry.file_type().unwrap().is_dir() {
            found.extend(listing(&entry.path()));
        }
    }
    found.sort();
    found
}

#[test]
fn nothing_is_left_behind() {
    let server = shop::server(18);
    let gate = classified(Setup::before(server.address())).unix().prepare().unwrap();
    let folder = gate.folder().display().to_string();
    gate.configure(|text| text.replace(&format!("{folder}/audit"), &format!("{folder}/new/audit")));
    let before = listing(gate.folder());
    for more in [&[][..], &["--offline"]] {
        let (sound, all) = checked_with(&gate, more);
        assert!(
            sound && all.iter().any(|one| one.code == "audit" && one.message.contains("can be made")),
            "{all:?}"
        );
    }
    clean(&gate.verb(&["check", "--sql"]));
    assert_eq!(listing(gate.folder()), before);
}

#[test]
fn offline_looks_at_files_alone() {
    let server = shop::server(15);
    let gate = classified(Setup::before(server.address())).prepare().unwrap();
    let taken = TcpListener::bind(gate.address()).unwrap();
    drop(server);
    let (sound, all) = checked_with(&gate, &["--offline"]);
    assert!(sound && codes(&all, "warning").is_empty(), "{all:?}");
    assert!(codes(&all, "note").contains(&"offline".to_owned()), "{all:?}");
    drop(taken);
    let (sound, all) = checked(&gate);
    assert!(!sound && codes(&all, "error").contains(&"upstream-fault".to_owned()), "{all:?}");
}

#[test]
fn a_port_that_is_taken_is_told_and_one_of_a_gate_that_runs_is_no_fault() {
    let server = shop::server(18);
    let mut gate = classified(Setup::before(server.address())).prepare().unwrap();
    for address in [gate.address(), gate.admin()] {
        let taken = TcpListener::bind(address).unwrap();
        let (sound, all) = checked(&gate);
        assert!(!sound && codes(&all, "error") == ["listen-fault"], "{all:?}");
        assert!(
            all.iter().any(|one| one.code == "listen-fault" && one.message.contains(&address.to_string()))
        );
        drop(taken);
        let (sound, all) = checked(&gate);
        assert!(sound && codes(&all, "note").contains(&"listen".to_owned()), "it was let go: {all:?}");
    }
    gate.run_again().unwrap();
    let (sound, all) = checked(&gate);
    assert!(sound && codes(&all, "note").contains(&"gate-running".to_owned()), "{all:?}");
}

#[test]
fn certificates_that_are_over_or_soon_will_be_are_told() {
    let server = pg(15);
    let ours = Certificates::new("checked");
    ours.issue("late", expired(named("server", &["127.0.0.1"])));
    let until = |days: u64| {
        let mut params = named("server", &["127.0.0.1"]);
        params.not_after = (SystemTime::now() + Duration::from_secs(days * 86_400 + 3_600)).into();
        params
    };
    ours.issue("soon", until(10));
    ours.issue("later", until(31));
    for (file, severity, code, words) in [
        ("late", "error", "certificate-expired", "late.crt: the certificate has expired"),
        ("soon", "warning", "certificate-expires", "soon.crt: the certificate expires in 10 days"),
        ("later", "note", "tls", "certificates and keys fit"),
    ] {
        let listen = format!("tls = {{ {}, mode = \"require\" }}", ours.identity(file));
        let gate = Setup::before(server.address()).listen(&listen).prepare().unwrap();
        let (sound, all) = checked_with(&gate, &["--offline"]);
        assert_eq!(sound, severity != "error", "{all:?}");
        let found = all.iter().find(|one| one.code == code);
        assert!(
            found.is_some_and(|one| one.severity == severity && one.message.contains(words)),
            "{file}: {all:?}"
        );
        assert_eq!(
            all.iter().filter(|one| one.code.starts_with("certificate")).count(),
            usize::from(file != "later")
        );
    }
    for (bundle, severity, code) in [
        (&["late"][..], "error", "certificate-expired"),
        (&["late", "later"], "warning", "authority-expired"),
        (&["later", "soon"], "warning", "certificate-expires"),
    ] {
        let texts =
            bundle.iter().map(|file| std::fs::read_to_string(ours.path(&format!("{file}.crt"))).unwrap());
        let authorities = ours.path("bundle.crt");
        std::fs::write(&authorities, texts.collect::<String>()).unwrap();
        let line = format!("tls = {{ mode = \"verify-full\", ca = \"{authorities}\" }}");
        let gate = Setup::before(server.address()).upstream_line(&line).prepare().unwrap();
        let (sound, all) = checked_with(&gate, &["--offline"]);
        assert_eq!(sound, severity != "error", "{bundle:?}: {all:?}");
        assert!(all.iter().any(|one| one.severity == severity && one.code == code), "{bundle:?}: {all:?}");
    }
}

#[test]
fn it_says_where_it_looked_and_finds_a_field_in_any_database() {
    let server = pg(18);
    for database in ["alpha", "beta"] {
        server.create_database(database).unwrap();
    }
    server.execute("beta", "CREATE TABLE customers (id int, email text, phone text, city text)").unwrap();
    server.execute("postgres", "CREATE DATABASE closed ALLOW_CONNECTIONS false").unwrap();
    let gate = classified(Setup::before(server.address())).prepare().unwrap();
    let (sound, all) = checked_with(&gate, &[]);
    assert!(sound, "{all:?}");
    let looked = all.iter().find(|one| one.code == "databases").unwrap();
    assert!(looked.message.ends_with("alpha, beta, postgres"), "{looked:?}");
    assert!(
        all.iter().any(|one| one.code == "catalog" && one.database.as_deref() == Some("beta")),
        "{all:?}"
    );
    assert_eq!(all.iter().filter(|one| one.code == "catalog").count(), 1, "{all:?}");

    server.execute("beta", "ALTER TABLE customers RENAME TO clients").unwrap();
    let (sound, all) = checked(&gate);
    let missing: Vec<&Told> = all.iter().filter(|one| one.code == "table-missing").collect();
    assert!(!sound && missing.len() == 3, "{all:?}");
    let file = std::fs::read_to_string(gate.folder().join("sealgate.toml")).unwrap();
    for one in missing {
        let line = file.lines().nth(usize::try_from(one.line.unwrap()).unwrap() - 1);
        assert_eq!(line, Some("[[field]]"), "{one:?}");
        assert!(one.file.as_deref().unwrap().ends_with("sealgate.toml") && one.sql.is_none());
    }
    // Twice the same.
    let texts = || clean(&gate.verb(&["check", "--json"]));
    assert_eq!(texts(), texts());
}

#[test]
fn letters_that_a_database_puts_in_lower_case_otherwise_are_told() {
    let server = pg(18);
    let mut setup = Setup::before(server.address());
    // By the same version of Unicode, letter by letter; of ASCII alone; and a final sigma in its own way.
    let databases = [
        ("unicode", "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"),
        ("ascii", "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C'"),
        ("full", "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'PG_UNICODE_FAST'"),
    ];
    for (database, locale) in databases {
        let create = format!("CREATE DATABASE \"{database}\" TEMPLATE template0 ENCODING 'UTF8' {locale}");
        server.execute("postgres", &create).unwrap();
        server.execute(database, "CREATE TABLE people (email text)").unwrap();
        let lines = format!("database = \"{database}\"\nnormalize = \"lowercase\"");
        setup = setup.field_with("public.people", "email", "equality", &lines);
    }
    let gate = setup.prepare().unwrap();
    let (_, all) = checked(&gate);
    let told = |database: &str| {
        let of = |one: &&Told| one.code == "lowercase-differs" && one.database.as_deref() == Some(database);
        all.iter().filter(of).map(|one| format!("{} {}", one.severity, one.message)).collect::<Vec<_>>()
    };
    assert_eq!(told("unicode"), [""; 0]);
    let ascii = told("ascii");
    assert!(ascii.len() == 1 && ascii[0].starts_with("note ") && ascii[0].contains("U+00C0"), "{ascii:?}");
    let full = told("full");
    assert!(full.len() == 1 && full[0].contains(" 1 letters, U+0130 first"), "{full:?}");
}
