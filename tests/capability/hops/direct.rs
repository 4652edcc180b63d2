//! TLS from the first byte, and cancel requests with and without TLS, by real clients.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use sealgate::store::postgres::Throwaway;

use super::{Certificates, LIBPQ_15, psycopg, s_client, scram_server, scram_setup};
use crate::harness::{Raw, Tap, await_that};
use crate::routes::python;
use crate::shop::holds;

pub const CANCEL: [u8; 4] = 80_877_102_u32.to_be_bytes();

#[test]
fn direct_tls_is_served_in_every_version_and_bound() {
    let server = scram_server(15);
    let certificates = Certificates::new("direct");
    let root = certificates.root();
    let direct = |more: &str| format!("sslmode=verify-full sslnegotiation=direct sslrootcert={root} {more}");
    let listen = ["", ", min_version = \"1.3\"", ", mode = \"prefer\""];
    for (more, serves_1_2) in listen.iter().zip([true, false, true]) {
        let gate = scram_setup(&server).listen(&certificates.listen(more)).start();
        let said = psycopg(
            gate.address(),
            &[
                direct("channel_binding=require"),
                direct("ssl_max_protocol_version=TLSv1.2 channel_binding=require"),
                direct("ssl_min_protocol_version=TLSv1.3"),
                "sslmode=verify-full sslnegotiation=direct sslrootcert=system".to_owned(),
            ],
        );
        assert_eq!((said[0].as_str(), said[2].as_str()), ("ada", "ada"), "{said:?}");
        assert_eq!(said[1] == "ada", serves_1_2, "{more}: {}", said[1]);
        assert!(said[3].contains("certificate verify failed"), "{}", said[3]);
    }
}

#[test]
fn direct_tls_for_another_protocol_or_none_is_refused() {
    let server = scram_server(15);
    let certificates = Certificates::new("alpn");
    let gate = scram_setup(&server).listen(&certificates.listen("")).start();
    for version in ["-tls1_2", "-tls1_3"] {
        let ours = s_client(gate.address(), &[version, "-alpn", "postgresql"]);
        assert!(ours.contains("ALPN protocol: postgresql"), "{ours}");
        let other = s_client(gate.address(), &[version, "-alpn", "http/1.1", "-ign_eof"]);
        assert!(other.contains("no application protocol") && !other.contains("BEGIN CERT"), "{other}");
        // It is told so under TLS, as the server does.
        let none = s_client(gate.address(), &[version, "-ign_eof"]);
        assert!(none.contains("08P01") && none.contains("without ALPN protocol negotiation"), "{none}");
    }
}

#[test]
fn direct_tls_ends_without_a_word_where_there_is_none() {
    let server = scram_server(15);
    let gate = scram_setup(&server).start();
    let said = psycopg(gate.address(), &["sslmode=require sslnegotiation=direct".to_owned()]);
    assert!(said[0].contains("eof while reading") || said[0].contains("closed"), "{said:?}");
    // Whatever came would be read as TLS, so nothing does; and it is an end, not a reset.
    let mut raw = Raw::connect(gate.address());
    raw.bytes(&[0x16, 3, 1, 0, 4, 1, 0, 0, 0]);
    let mut byte = [0];
    assert_eq!(std::io::Read::read(&mut raw.socket(), &mut byte).unwrap(), 0);
    assert_eq!(psycopg(gate.address(), &["sslmode=disable".to_owned()]), ["ada"]);
}

/// A client that waits for a statement that takes long.
pub fn busy(server: &Throwaway, command: &mut Command) -> Child {
    let client = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    await_that("the statement", || {
        let sql = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep(%'";
        !server.query("postgres", sql).unwrap().is_empty()
    });
    client
}

/// As the server has it: libpq before 17 knows no other way, so psql's Ctrl-C depends on it.
#[test]
fn cancel_requests_count_in_plain_and_inside_tls_where_tls_is_required() {
    let server = scram_server(15);
    let certificates = Certificates::new("cancel");
    let gate = scram_setup(&server).listen(&certificates.listen("")).start();
    let tap = Tap::before(gate.address());
    let address = tap.address();
    let target = format!(
        "host={} port={} dbname=postgres user=ada sslmode=verify-full sslrootcert={}",
        address.ip(),
        address.port(),
        certificates.root()
    );
    let psql = busy(
        &server,
        Command::new(LIBPQ_15)
            .args(["-XAtq", "-d", &target, "-c", "SELECT pg_sleep(30)"])
            .env("PGPASSWORD", "ada-secret"),
    );
    assert!(!holds(&tap.to_server(), &CANCEL));
    let interrupted = Command::new("kill").args(["-s", "INT", &psql.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let output = psql.wait_with_output().unwrap();
    let text = super::said(&output);
    assert!(text.contains("canceling statement due to user request"), "{text}");
    assert!(holds(&tap.to_server(), &CANCEL), "psql of 15 cancels in plain");
    drop(tap);

    let tap = Tap::before(gate.address());
    let target = target.replace(&address.port().to_string(), &tap.address().port().to_string());
    let program = r"
import sys, threading, psycopg
session = psycopg.connect(sys.argv[1])
threading.Thread(target=lambda: (sys.stdin.readline(), session.cancel_safe(timeout=10))).start()
try:
    session.execute('SELECT pg_sleep(31)')
except psycopg.errors.QueryCanceled as error:
    print(error.sqlstate, flush=True)
";
    let mut child =
        busy(&server, Command::new(python()).args(["-c", program, &target]).env("PGPASSWORD", "ada-secret"));
    let before = tap.connections();
    child.stdin.take().unwrap().write_all(b"now\n").unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(line, "57014\n");
    assert_eq!(tap.connections(), before + 1);
    assert!(!holds(&tap.to_server(), &CANCEL), "libpq of 18 cancels under TLS");
}
