//! A keyring that is lost, torn, altered or another's is noticed before anything is sealed or
//! compared, and nobody is offered new keys in its place.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use sealgate::store::postgres::Throwaway;

use crate::harness::{Gate, Raw, Session, Setup, VERSIONS};
use crate::life::reload;
use crate::shop::{classified, errors, firsts, records_in, records_with, server, states, tags};

const EMAIL: &str = "ada@sentinel.example";

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn keyring(gate: &Gate) -> PathBuf {
    gate.folder().join("keys/keyring.json")
}

fn identity(gate: &Gate) -> String {
    let listed = gate.verb(&["keys", "list", "--json"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    listed["keyring"]["identity"].as_str().unwrap().to_owned()
}

/// The files below a folder, with what they hold.
fn held(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut all: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| match path.is_dir() {
            true => held(&path),
            false => vec![(path.clone(), fs::read(&path).unwrap())],
        })
        .collect();
    all.sort();
    all
}

/// A verb that refuses: exit code 2, and each of these words.
fn refuses(gate: &Gate, verb: &[&str], words: &[&str]) {
    let output = gate.verb(verb);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(2), "{verb:?}: {text}");
    for word in words {
        assert!(text.contains(word), "{verb:?}: `{word}` is missing: {text}");
    }
}

fn stop(gate: &mut Gate) {
    gate.signal("TERM");
    assert_eq!(gate.wait(), Some(0), "{}", gate.log());
}

/// Every use of a sealed column is refused, with a word about the keyring.
fn is_refused(gate: &Gate) {
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    for sql in [
        format!("SELECT id FROM customers WHERE email = '{EMAIL}'"),
        format!("INSERT INTO customers (id, email) VALUES (9, '{EMAIL}')"),
        "SELECT phone FROM customers".to_owned(),
    ] {
        let frames = raw.query(&sql);
        assert_eq!(states(&frames), ["SG001"], "{sql}: {:?}", errors(&frames));
        let detail =
            frames.iter().find(|frame| frame.tag == b'E').and_then(|frame| frame.field(b'D')).unwrap();
        assert!(detail.contains("restore the backup"), "{sql}: {detail}");
    }
    assert_eq!(tags(&raw.query("SELECT id FROM orders")), "TCZI", "what is not classified goes on");
}

fn works(gate: &Gate, found: &str) {
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    let rows = raw.query(&format!("SELECT id FROM customers WHERE email = '{EMAIL}'"));
    assert_eq!(firsts(&rows), [found], "{:?}", errors(&rows));
    assert_eq!(firsts(&raw.query("SELECT phone FROM customers WHERE id = 1")), ["+39 1"]);
    let twice = raw.query(&format!("INSERT INTO customers (id, email) VALUES (8, '{EMAIL}')"));
    assert_eq!(states(&twice), ["23505"], "UNIQUE holds");
}

/// A gate that has sealed a row of each mode, and has ended.
fn sealed(server: &Throwaway) -> Gate {
    let mut gate = classified(Setup::before(server.address())).start();
    let session = Session::open(gate.address(), "postgres", None, "postgres").unwrap();
    session.rows("INSERT INTO customers (id, email, phone) VALUES (1, $1, '+39 1')", &[&EMAIL]).unwrap();
    drop(session);
    stop(&mut gate);
    gate
}

/// How the database tells by whom it was sealed. `{}` is the identity.
const MARKS: [&str; 5] = [
    "",
    "ALTER TABLE customers ADD CONSTRAINT email_keyring_{} CHECK (starts_with(email COLLATE \"C\", 'SEALfyeCwSny'))",
    "ALTER TABLE customers ADD CONSTRAINT email_is_sealed CHECK (starts_with(email COLLATE \"C\", 'SEALfyeCwSny')); \
     COMMENT ON CONSTRAINT email_is_sealed ON customers IS 'sealgate keyring {}'",
    "COMMENT ON COLUMN customers.phone IS 'Sealed: keyring {}. Ask the controller.'",
    "COMMENT ON COLUMN customers.phone IS 'keyring {}'; TRUNCATE customers",
];

#[test]
fn a_lost_keyring_is_not_replaced_unasked_and_another_neither_seals_nor_compares() {
    for major in VERSIONS {
        let server = server(major);
        for mark in MARKS {
            server.execute("postgres", "TRUNCATE customers").unwrap();
            let mut gate = sealed(&server);
            let (file, first) = (keyring(&gate), identity(&gate));
            server.execute("postgres", &mark.replace("{}", &first)).unwrap();
            let empty = mark.contains("TRUNCATE");
            let backup = gate.folder().join("backup.json");
            fs::rename(&file, &backup).unwrap();

            // The record of the folder knows it.
            let known = [&*first, "restore the backup", "--new-identity", "keyring.json"];
            for verb in [&["keys", "init"][..], &["run"], &["check"]] {
                refuses(&gate, verb, &known);
            }
            // Where that is gone too, the database tells.
            let audit = gate.folder().join("audit");
            fs::rename(&audit, gate.folder().join("archive")).unwrap();
            let named = if mark.is_empty() { "holds values that are sealed already" } else { &*first };
            refuses(
                &gate,
                &["keys", "init"],
                &[named, "in database postgres", "restore the backup", "--new-identity"],
            );
            assert!(
                !audit.exists() && held(&gate.folder().join("keys")).is_empty(),
                "nothing is left behind"
            );
            fs::rename(gate.folder().join("archive"), &audit).unwrap();

            let forced = gate.verb(&["keys", "init", "--new-identity"]);
            assert!(forced.status.success(), "{}", said(&forced));
            let second = identity(&gate);
            assert_ne!(first, second);
            gate.run_again().unwrap_or_else(|log| panic!("{log}"));
            let before = server.query("postgres", "SELECT * FROM customers").unwrap();
            is_refused(&gate);
            assert_eq!(server.query("postgres", "SELECT * FROM customers").unwrap(), before);
            assert!(
                gate.log().contains("a column is sealed with another keyring than the one here"),
                "{}",
                gate.log()
            );
            refuses(&gate, &["check"], &["FAULT", "restore the backup", "[keyring-another]", &second]);
            stop(&mut gate);

            let replaced = gate.folder().join("second.json");
            fs::rename(&file, replaced).unwrap();
            fs::rename(&backup, &file).unwrap();
            gate.run_again().unwrap_or_else(|log| panic!("{log}"));
            if empty {
                let session = Session::open(gate.address(), "postgres", None, "postgres").unwrap();
                let again = "INSERT INTO customers (id, email, phone) VALUES (1, $1, '+39 1')";
                session.rows(again, &[&EMAIL]).unwrap();
            }
            works(&gate, "1");
            let check = gate.verb(&["check"]);
            assert_eq!(check.status.code(), Some(0), "{}", said(&check));
            server
                .execute(
                    "postgres",
                    &format!(
                        "COMMENT ON COLUMN customers.phone IS NULL; \
                         ALTER TABLE customers DROP CONSTRAINT IF EXISTS email_is_sealed; \
                         ALTER TABLE customers DROP CONSTRAINT IF EXISTS email_keyring_{first}"
                    ),
                )
                .unwrap();
        }
    }
}

#[test]
fn what_is_written_down_counts_for_whoever_comes_next() {
    for major in VERSIONS {
        let server = server(major);
        let gate = classified(Setup::before(server.address())).start();
        let search = || {
            let mut raw = Raw::login(gate.address(), "postgres", "postgres");
            states(&raw.query(&format!("SELECT id FROM customers WHERE email = '{EMAIL}'"))).concat()
        };
        assert_eq!(search(), "");
        for (comment, expected) in [
            (format!("'keyring {}'", "0123456789abcdef".repeat(2)), "SG001"),
            (format!("'keyring {}'", identity(&gate)), ""),
            ("'keyring of the house'".to_owned(), ""),
            (format!("'A note. (Keyring: keyring {}, since 2026)'", "f".repeat(32)), "SG001"),
            ("NULL".to_owned(), ""),
        ] {
            let sql = format!("COMMENT ON COLUMN customers.email IS {comment}");
            server.execute("postgres", &sql).unwrap();
            assert_eq!(search(), expected, "{comment}");
        }
    }
}

#[test]
fn values_are_tried_where_nobody_is_asked_to_run_code_and_a_few_altered_ones_prove_nothing() {
    for major in VERSIONS {
        let server = server(major);
        server
            .execute(
                "postgres",
                "CREATE TABLE parts (id int, email text) PARTITION BY RANGE (id); \
                 CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100); \
                 CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (100) TO (200); \
                 CREATE TABLE \"Odd one\" (id int, email text); \
                 CREATE TABLE closed (id int, email text); \
                 CREATE TABLE hidden (id int, email text); \
                 CREATE FUNCTION ran() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'it ran'; END $$; \
                 CREATE POLICY p ON hidden USING (ran()); \
                 CREATE ROLE service LOGIN; \
                 GRANT SELECT ON customers, parts, parts_1, parts_2, \"Odd one\", hidden TO service",
            )
            .unwrap();
        let tables = ["customers", "parts", "Odd one", "closed", "hidden"];
        let setup =
            tables.iter().fold(Setup::before(server.address()).service("service", "-"), |setup, table| {
                setup.field(&format!("public.\\\"{table}\\\""), "email", "equality")
            });
        let mut other = setup.prepare().unwrap();
        let mut first = setup.start();
        let session = Session::open(first.address(), "postgres", None, "postgres").unwrap();
        for table in tables {
            let sql = format!("INSERT INTO \"{table}\" (id, email) VALUES (150, $1)");
            session.rows(&sql, &[&EMAIL]).unwrap();
        }
        drop(session);
        stop(&mut first);
        // Before the value that is sealed stands one that nobody sealed.
        server
            .execute(
                "postgres",
                "ALTER TABLE hidden ENABLE ROW LEVEL SECURITY; \
                 CREATE TABLE kept AS SELECT * FROM customers; TRUNCATE customers; \
                 INSERT INTO customers (id, email) VALUES (7, 'SEALfyeCwSny-V-0altered'); \
                 INSERT INTO customers SELECT * FROM kept; DROP TABLE kept",
            )
            .unwrap();
        let asked = |gate: &Gate, table: &str| {
            let mut raw = Raw::login(gate.address(), "postgres", "postgres");
            let frames = raw.query(&format!("SELECT id FROM \"{table}\" WHERE email = '{EMAIL}'"));
            states(&frames).concat() + &firsts(&frames).concat()
        };
        let log = || fs::read_to_string(server.log_file()).unwrap();
        let began = log().len();
        first.run_again().unwrap_or_else(|log| panic!("{log}"));
        other.run_again().unwrap_or_else(|log| panic!("{log}"));
        for table in &tables[..3] {
            assert_eq!(asked(&first, table), "150", "{table}: it is its own");
            assert_eq!(asked(&other, table), "SG001", "{table}: none of its values opens");
        }
        assert_eq!(asked(&other, "closed"), "", "which the account may not read: a mark would tell");
        // The verb is given no password, and needs none.
        other.configure(|text| {
            text.replace("service_password = { env = \"SEALGATE_SERVICE_PASSWORD\" }\n", "")
        });
        let check = said(&other.verb(&["check"]));
        for table in ["closed", "hidden"] {
            let note = format!("COMMENT ON COLUMN \"public\".\"{table}\".\"email\" IS 'sealgate keyring ");
            assert!(check.contains(&note), "{check}");
        }
        let log = log().split_off(began);
        assert!(log.contains("TABLESAMPLE") && !log.contains("it ran"), "no policy runs with our rights");
        let asked_for = |table: &str| log.contains(&format!("FROM ONLY public.{table} TABLESAMPLE"));
        assert!(
            asked_for("customers") && asked_for("parts_2") && !asked_for("hidden") && !asked_for("closed")
        );
    }
}

#[test]
fn a_keyring_that_is_put_in_the_place_of_another_is_refused_at_the_start_and_at_a_reload() {
    let server = server(18);
    let stranger = classified(Setup::before(server.address())).prepare().unwrap();
    let mut gate = classified(Setup::before(server.address())).start();
    let (first, second) = (identity(&gate), identity(&stranger));
    let session = Session::open(gate.address(), "postgres", None, "postgres").unwrap();
    session.rows("INSERT INTO customers (id, email, phone) VALUES (1, $1, '+39 1')", &[&EMAIL]).unwrap();
    let file = keyring(&gate);
    let own = fs::read(&file).unwrap();
    fs::copy(keyring(&stranger), &file).unwrap();
    reload(&gate, "refused");
    works(&gate, "1");
    let found = session.rows("SELECT id FROM customers WHERE email = $1", &[&EMAIL]).unwrap();
    assert_eq!(found.len(), 1, "the keys in use stay in use");
    drop(session);
    stop(&mut gate);
    let told = [&*first, &*second, "restore the backup"];
    for verb in [&["run"][..], &["check"], &["keys", "init"]] {
        refuses(&gate, verb, &told);
    }
    // Nor does it become another's by being tried again and again, until all that is old is moved away.
    let audit = gate.folder().join("audit");
    let last = fs::read_dir(&audit).unwrap().map(|entry| entry.unwrap().path());
    let last = last.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).max().unwrap();
    for entry in fs::read_dir(&audit).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.extension().is_some_and(|end| end == "jsonl") && entry != last {
            fs::remove_file(entry).unwrap();
        }
    }
    refuses(&gate, &["run"], &told);
    assert_eq!(fs::read(&file).unwrap(), fs::read(keyring(&stranger)).unwrap());
    // Whoever means it says so, and it stands in the record.
    let taken = gate.verb(&["keys", "init", "--new-identity"]);
    assert!(taken.status.success(), "{}", said(&taken));
    gate.run_again().unwrap_or_else(|log| panic!("{log}"));
    is_refused(&gate);
    stop(&mut gate);
    fs::write(&file, own).unwrap();
    gate.run_again().unwrap_or_else(|log| panic!("{log}"));
    works(&gate, "1");
}

#[test]
fn the_record_names_the_keyring_of_sessions_starts_and_new_keys() {
    let server = server(15);
    let mut gate = classified(Setup::before(server.address())).prepare().unwrap();
    let identity = identity(&gate);
    assert!(said(&gate.verb(&["keys", "list"])).contains(&format!("identity {identity}")));
    gate.run_again().unwrap_or_else(|log| panic!("{log}"));
    drop(Raw::login(gate.address(), "postgres", "postgres"));
    records_with(&gate, "session", 2);
    gate.configure(|text| text.replace("domain = \"phone\"", "domain = \"telephone\""));
    let added = gate.verb(&["keys", "init"]);
    assert!(said(&added).contains("copy the keyring anew"), "{}", said(&added));
    reload(&gate, "applied");
    fs::write(keyring(&gate), "torn").unwrap();
    reload(&gate, "refused");
    stop(&mut gate);
    let told: Vec<_> = records_in(&gate.folder().join("audit"))
        .into_iter()
        .map(|record| {
            let of = |member: &str| record[member].as_str().unwrap_or_default().to_owned();
            (format!("{} {} {}", of("kind"), of("action"), of("verdict")), of("keyring"))
        })
        .filter(|(what, _)| !what.starts_with("login"))
        .collect();
    let expected = [
        ("admin keys-init applied", &*identity),
        ("admin start applied", &identity),
        ("session begin ", &identity),
        ("session end ", &identity),
        ("admin reload applied", &identity),
        ("admin reload refused", ""),
        ("admin stop applied", ""),
    ];
    let expected = expected.map(|(what, keyring)| (what.to_owned(), keyring.to_owned()));
    assert_eq!(told, expected);
}

/// What is done to a keyring file, and what is said of it.
type Spoiled = (&'static str, fn(&Path), &'static str);

fn edit(path: &Path, change: impl FnOnce(String) -> String) {
    let before = fs::read_to_string(path).unwrap();
    let after = change(before.clone());
    assert_ne!(before, after);
    fs::write(path, after).unwrap();
}

/// The first of one piece for another.
fn swap(path: &Path, piece: &str, other: &str) {
    edit(path, |text| text.replacen(piece, other, 1));
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

const SPOILED: &[Spoiled] = &[
    ("empty", |path| fs::write(path, "").unwrap(), "line 1, column 0: not the JSON of a keyring"),
    ("torn", |path| edit(path, |text| text[..text.len() / 2].to_owned()), "not the JSON of a keyring"),
    ("zeros", |path| fs::write(path, [0; 512]).unwrap(), "not the JSON of a keyring"),
    ("bytes", |path| fs::write(path, [0xff; 512]).unwrap(), "UTF-8"),
    (
        "of something else",
        |path| fs::write(path, "{\"format\":\"x\",\"version\":1}").unwrap(),
        "\"format\" is not",
    ),
    ("a later one", |path| swap(path, "\"version\": 2", "\"version\": 3"), "format version 3"),
    ("a mode", |path| swap(path, "\"equality\"", "\"random\""), "the keyring was altered"),
    ("a key", |path| swap(path, "\"wrapped\": \"", "\"wrapped\": \"AAAA"), "altered"),
    ("no identity", |path| edit(path, |text| without(&text, "identity")), "altered"),
    ("no domains", |path| swap(path, "\"name\": \"phone\"", "\"name\": \"p\""), "altered"),
    ("twice", |path| swap(path, "\"current\"", "\"current\": 1, \"current\""), "not the JSON"),
    ("too long", |path| edit(path, |text| text + &" ".repeat(1 << 20)), "longer than 1048576 bytes"),
    (
        "for all to read",
        |path| set_mode(path, 0o644),
        "mode is 0644, and 0640 is the most that is allowed; `chmod 600 ",
    ),
    ("for the group to write", |path| set_mode(path, 0o660), "mode is 0660"),
    (
        "a folder",
        |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        },
        "not an ordinary file",
    ),
    ("gone", |path| fs::remove_file(path).unwrap(), "there is no such file"),
];

fn without(text: &str, member: &str) -> String {
    text.lines().filter(|line| !line.contains(member)).map(|line| format!("{line}\n")).collect()
}

#[test]
fn every_verb_says_what_is_wrong_with_a_keyring_and_touches_nothing() {
    let server = server(18);
    let gate = sealed(&server);
    let file = keyring(&gate);
    let sound = fs::read(&file).unwrap();
    for (what, spoil, words) in SPOILED {
        spoil(&file);
        let before = held(&gate.folder().join("keys"));
        let verbs = [&["run"][..], &["check"], &["keys", "init"], &["keys", "list"]];
        for verb in verbs {
            refuses(&gate, verb, &["keyring", words, "keyring.json"]);
        }
        assert_eq!(held(&gate.folder().join("keys")), before, "{what}");
        let _ = fs::remove_dir(&file);
        let _ = fs::remove_file(&file);
        fs::write(&file, &sound).unwrap();
        set_mode(&file, 0o600);
    }
    assert!(gate.verb(&["check"]).status.success());
}

#[test]
fn a_secret_that_others_may_read_or_change_is_refused_with_what_mends_it() {
    let server = server(15);
    server.execute("postgres", "CREATE ROLE service LOGIN").unwrap();
    let mut gate = classified(Setup::before(server.address())).prepare().unwrap();
    let (master, password) = (gate.folder().join("master"), gate.folder().join("password"));
    fs::write(&master, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").unwrap();
    fs::write(&password, "x\n").unwrap();
    let (named, word) = (master.display().to_string(), password.display().to_string());
    gate.configure(|text| {
        let text = text.replace("{ env = \"SEALGATE_MASTER_KEY\" }", &format!("{{ file = \"{named}\" }}"));
        let service = "service_user = \"postgres\"";
        text.replace(
            service,
            &format!("service_user = \"service\"\nservice_password = {{ file = \"{word}\" }}"),
        )
    });
    for (open, closed) in [(&master, &password), (&password, &master)] {
        set_mode(closed, 0o600);
        for mode in [0o644, 0o604, 0o660, 0o620, 0o666, 0o641] {
            set_mode(open, mode);
            let mend = format!("`chmod 600 {}`", open.display());
            let mode = format!("its mode is {mode:04o}, and 0640 is the most that is allowed");
            for verb in [&["run"][..], &["check"]] {
                refuses(&gate, verb, &[&mend, &mode]);
            }
        }
        for mode in [0o600, 0o640, 0o400, 0o440] {
            set_mode(open, mode);
            let check = gate.verb(&["check"]);
            assert!(check.status.success(), "{mode:o}: {}", said(&check));
        }
    }
    gate.run_again().unwrap_or_else(|log| panic!("{log}"));
}
