//! What somebody who reads the gate's memory finds of sessions that are idle or over: no value, no
//! key of a login.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::process::{Command, Stdio};

use sealgate::store::postgres::Throwaway;

use super::{Certificates, said, scram_server, scram_setup, turn_tls_on};
use crate::harness::{Gate, Session, VERSIONS, await_that};
use crate::routes::python;

/// What every value holds, and nothing else.
const MARK: &str = "Wq7Zt-";

/// Values by parameter and in rows, in text and in binary, in errors of the server and of the
/// gate, and in what is not classified. No literals: PostgreSQL's own parser, in C, frees what it
/// has read as it is.
const VISIT: &str = r#"
import sys, psycopg
mark = sys.argv[2]
with psycopg.connect(sys.argv[1], autocommit=True) as session:
    for binary in (False, True):
        with session.cursor(binary=binary) as cursor:
            for n in range(20):
                value = f"{mark}{binary}{n}"
                cursor.execute("INSERT INTO customers VALUES (3, %s, %s)", (value, value), binary=binary)
                cursor.execute("SELECT email, note FROM customers WHERE email = %s", (value,))
                assert cursor.fetchone() == (value, value)
    for sql in (
        "SELECT email FROM customers WHERE email < %s",
        "SELECT %s::int FROM customers WHERE email = 'a'",
        "UPDATE customers SET email = %s WHERE id = 1/0",
        "INSERT INTO customers VALUES (NULL, %s, '')",
    ):
        try:
            session.execute(sql, (f"{mark}error",))
            print("no error", sql)
        except psycopg.Error:
            pass
    rows = session.execute("SELECT * FROM customers").fetchall()
    print(len(rows), all(row[1].startswith(mark) for row in rows), flush=True)
    sys.stdin.read()
"#;

/// The keys of a user's verifier that a login shows: ClientKey and ServerKey (RFC 5802, 3).
const KEYS: &str = r#"
import base64, hashlib, hmac, sys
iterations, salt = sys.argv[1].split("$")[1].split(":")
salted = hashlib.pbkdf2_hmac("sha256", sys.argv[2].encode(), base64.b64decode(salt), int(iterations))
for name in (b"Client Key", b"Server Key"):
    print(hmac.new(salted, name, "sha256").hexdigest())
"#;

/// A gate with TLS and SCRAM on both hops. None, and it is said, where its memory cannot be read.
fn open(server: &Throwaway) -> Option<Gate> {
    let certificates = Certificates::new("memory");
    turn_tls_on(server, &certificates);
    let table =
        "CREATE TABLE customers (id int NOT NULL, email text, note text); GRANT ALL ON customers TO ada";
    server.execute("postgres", table).unwrap();
    let gate = scram_setup(server)
        .listen(&certificates.listen(", mode = \"prefer\""))
        .upstream_line(&format!("tls = {{ mode = \"verify-full\", ca = \"{}\" }}", certificates.root()))
        .field("public.customers", "email", "equality")
        .start();
    match File::open(format!("/proc/{}/mem", gate.pid())) {
        Ok(_) => Some(gate),
        Err(reason) => {
            eprintln!("NOT TESTED: reading the memory of the gate needs root: {reason}");
            None
        }
    }
}

#[test]
fn when_a_session_is_idle_or_over_none_of_its_values_is_left_in_memory() {
    let server = scram_server(VERSIONS[0]);
    let Some(gate) = open(&server) else { return };
    for (tls, expected) in [("require", "40 True\n"), ("disable", "80 True\n")] {
        let address = gate.address();
        let target =
            format!("host={} port={} dbname=postgres user=ada sslmode={tls}", address.ip(), address.port());
        let mut visit = Command::new(python())
            .args(["-c", VISIT, &target, MARK])
            .env("PGPASSWORD", "ada-secret")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(visit.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, expected, "{tls}");
        // The search is known to see: the name of the table is in the policy.
        assert!(!found(&gate, b"public.customers").is_empty());
        await_that("that nothing is under way", || found(&gate, MARK.as_bytes()).is_empty());
        drop(visit.stdin.take());
        assert!(visit.wait().unwrap().success());
        await_that("the end of the session", || gate.metric("sealgate_sessions") == Some(0.0));
        let left = found(&gate, MARK.as_bytes());
        assert!(left.is_empty(), "{tls}: {} values, {left:#?}", left.len());
    }
}

#[test]
fn when_a_login_is_over_none_of_its_keys_is_left_in_memory() {
    let server = scram_server(VERSIONS[0]);
    let Some(gate) = open(&server) else { return };
    let sql = "SELECT rolpassword FROM pg_authid WHERE rolname = 'ada'";
    let verifier = server.query("postgres", sql).unwrap().concat().remove(0).unwrap();
    let output = Command::new(python()).args(["-c", KEYS, &verifier, "ada-secret"]).output().unwrap();
    let keys: Vec<_> = said(&output).lines().map(unhex).collect();
    assert_eq!(keys.len(), 2, "{}", said(&output));
    // Nothing comes after the login that would overwrite what it has left.
    let login = |password| Session::open(gate.address(), "ada", Some(password), "postgres");
    assert!(login("wrong").is_err());
    let open = [login("ada-secret").unwrap(), login("ada-secret").unwrap()];
    assert!(!found(&gate, b"public.customers").is_empty());
    // A key as it is, and as HMAC begins with it (RFC 2104).
    for (key, pad) in keys.iter().flat_map(|key| [0, 0x36, 0x5c].map(|pad| (key, pad))) {
        let block: Vec<_> = key.iter().map(|byte| byte ^ pad).collect();
        let left = found(&gate, &block);
        assert!(left.is_empty(), "a key of the login, with {pad:#x}: {left:#?}");
    }
    drop(open);
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// What stands in the writable memory of the gate around each occurrence.
fn found(gate: &Gate, what: &[u8]) -> Vec<String> {
    let folder = format!("/proc/{}", gate.pid());
    let memory = File::open(format!("{folder}/mem")).unwrap();
    let maps = std::fs::read_to_string(format!("{folder}/maps")).unwrap();
    let mut found = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        if !rights.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|at| u64::from_str_radix(at, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        // It may have been given back since.
        if memory.read_exact_at(&mut bytes, from).is_err() {
            continue;
        }
        let place = words.nth(3).unwrap_or("anonymous");
        for (at, _) in bytes.windows(what.len()).enumerate().filter(|(_, window)| *window == what) {
            let around = &bytes[at.saturating_sub(48)..bytes.len().min(at + 48)];
            found.push(format!("{place}: {}", around.escape_ascii()));
        }
    }
    found
}
