//! What Sealgate writes can be opened without it: `tests/format/open.py` knows the key and
//! docs/FORMAT.md, and nothing else.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{Session, Setup, VERSIONS, pg};
use crate::shop;

/// The harness's own.
const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

#[test]
fn a_stored_value_opens_by_the_specification_alone() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/venv/bin/python");
    assert!(python.is_file(), "{} is missing: run .ci/setup test", python.display());
    let values =
        ["ada@sentinel.example", "", "it's \\ \"q\"\n", "\u{fc}\u{4e2d}\u{1f600}", &"long ".repeat(300)];
    for major in VERSIONS {
        let server = shop::server(major);
        let (gate, _tap) = shop::open(&server);
        let session = Session::open(gate.address(), "postgres", None, "postgres").unwrap();
        for (value, id) in values.iter().zip(0..) {
            session
                .rows("INSERT INTO customers (id, email, phone) VALUES ($1, $2, $3)", &[&id, value, value])
                .unwrap();
        }
        session.text("INSERT INTO customers (id, email) VALUES (100, 'a literal ''quoted'' value')").unwrap();
        for (column, other) in [("email", "phone"), ("phone", "email")] {
            let stored = server
                .query(
                    "postgres",
                    &format!("SELECT {column} FROM customers WHERE {column} IS NOT NULL ORDER BY id"),
                )
                .unwrap();
            let sealed: Vec<String> = stored.into_iter().map(|mut row| row.remove(0).unwrap()).collect();
            assert!(sealed.iter().all(|text| text.starts_with("SEAL")));
            let open = |domain: &str| {
                let mut child = Command::new(&python)
                    .arg(root.join("tests/format/open.py"))
                    .arg(gate.folder().join("keys/keyring.json"))
                    .args(["--domain", domain])
                    .env("SEALGATE_MASTER_KEY", MASTER_KEY)
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap();
                child.stdin.take().unwrap().write_all(sealed.join("\n").as_bytes()).unwrap();
                child.wait_with_output().unwrap()
            };
            let opened = open(column);
            let text = String::from_utf8(opened.stdout).unwrap();
            assert!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
            let found: Vec<String> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let mut expected: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
            if column == "email" {
                expected.push("a literal 'quoted' value".to_owned());
            }
            assert_eq!(found, expected, "{major} {column}");
            let refused = open(other);
            assert_eq!(
                (refused.status.code(), refused.stdout.as_slice()),
                (Some(1), &b""[..]),
                "of another domain"
            );
        }
    }
}

#[test]
fn values_of_other_types_open_by_the_specification_with_and_without_padding() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let columns = [
        ("born", "equality", "type = \"date\"", "'31.12.1999'", "1999-12-31"),
        (
            "mail",
            "equality",
            "type = \"varchar(40)\"\nnormalize = \"lowercase\"\npad = \"declared\"",
            "'Ada@X.example'",
            "ada@x.example",
        ),
        ("salary", "random", "type = \"numeric(10,2)\"\npad = 32", "1234.5", "1234.50"),
        ("tags", "random", "type = \"text[]\"", "'{a,NULL,\"b c\"}'", "{a,NULL,\"b c\"}"),
    ];
    for major in VERSIONS {
        let server = pg(major);
        let define = "CREATE TABLE people (id int, born text, mail text, salary text, tags text)";
        server.execute("postgres", define).unwrap();
        let mut setup = Setup::before(server.address());
        for (column, seal, lines, _, _) in &columns {
            setup = setup.field_with("public.people", column, seal, lines);
        }
        let gate = setup.start();
        let session = Session::open(gate.address(), "postgres", None, "postgres").unwrap();
        session.text("SET datestyle TO 'German'").unwrap();
        let values: Vec<&str> = columns.iter().map(|(_, _, _, value, _)| *value).collect();
        session
            .text(&format!(
                "INSERT INTO people (id, born, mail, salary, tags) VALUES (1, {})",
                values.join(", ")
            ))
            .unwrap();
        for (column, _, _, _, canonical) in &columns {
            let stored = server.query("postgres", &format!("SELECT {column} FROM people")).unwrap();
            let opened = Command::new(root.join("target/venv/bin/python"))
                .arg(root.join("tests/format/open.py"))
                .arg(gate.folder().join("keys/keyring.json"))
                .args(["--domain", column, stored[0][0].as_deref().unwrap()])
                .env("SEALGATE_MASTER_KEY", MASTER_KEY)
                .output()
                .unwrap();
            assert!(opened.status.success(), "{column}: {}", String::from_utf8_lossy(&opened.stderr));
            let text: String = serde_json::from_slice(opened.stdout.trim_ascii_end()).unwrap();
            assert_eq!(text, *canonical, "{major} {column}");
        }
    }
}
