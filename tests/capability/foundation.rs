//! The harness can be trusted: the tap passes on and keeps what goes by, the search finds
//! what is there, the raw client speaks the protocol.

use std::fs;

use sealgate::store::postgres::{Authentication, Options, User};

use crate::harness::{
    Raw, Session, Setup, Tap, VERSIONS, await_that, pg, pg_with, psql, search_folder, search_server,
};

#[test]
fn the_tap_keeps_both_directions_and_changes_neither() {
    for major in VERSIONS {
        let server = pg(major);
        let tap = Tap::before(server.address());
        let session = Session::open(tap.address(), "postgres", None, "postgres").unwrap();
        let rows = session.rows("SELECT $1::text || '-back'", &[&"there"]).unwrap();
        assert_eq!(rows[0].get::<_, &str>(0), "there-back");
        let (up, down) = (tap.to_server(), tap.to_client());
        assert!(contains(&up, b"\0\0\0\x05there") && contains(&down, b"\0\0\0\x0athere-back"));
        assert!(!contains(&up, b"there-back") && tap.connections() == 1);
        let output = psql(&server, tap.address(), "postgres", "postgres", "SELECT 6 * 7");
        assert_eq!(output.stdout, b"42\n");
        assert_eq!(tap.connections(), 2);
        tap.cut();
        assert!(session.text("SELECT 1").is_err(), "a cut tap cuts the session");
    }
}

#[test]
fn the_search_finds_a_stored_value_in_data_wal_and_log() {
    for major in VERSIONS {
        let server = pg(major);
        let marker = "needle-in-the-server@example.org";
        assert_eq!(search_server(&server, marker.as_bytes()), []);
        let session = Session::open(server.address(), "postgres", None, "postgres").unwrap();
        session.text("CREATE TABLE t (x text)").unwrap();
        session.rows("INSERT INTO t VALUES ($1)", &[&marker]).unwrap();
        let hits = search_server(&server, marker.as_bytes());
        for place in ["base", "pg_wal", "log"] {
            assert!(
                hits.iter().any(|hit| hit.file.iter().any(|part| part == place)),
                "not found in {place} of {major}: {hits:?}"
            );
        }
    }
}

#[test]
fn the_search_sees_through_encodings() {
    let folder = std::env::temp_dir().join(format!("sealgate-search-{}", std::process::id()));
    fs::create_dir_all(folder.join("deep")).unwrap();
    let marker = "Ada.Lovelace@example.org";
    for (name, bytes) in [
        ("plain", b"xx Ada.Lovelace@example.org xx".to_vec()),
        ("reversed", b"gro.elpmaxe@ecalevoL.adA".to_vec()),
        ("hex", b"4164612e4c6f76656c616365406578616d706c652e6f7267".to_vec()),
        ("UTF-16LE", marker.bytes().flat_map(|byte| [byte, 0]).collect()),
        ("UTF-16BE", marker.bytes().flat_map(|byte| [0, byte]).collect()),
        ("lower case", b"ada.lovelace@example.org".to_vec()),
        // base64 of the marker, of "x" and the marker and "y", of "xx" and the marker and "y"
        ("base64, 0 bytes in", b"QWRhLkxvdmVsYWNlQGV4YW1wbGUub3Jn".to_vec()),
        ("base64, 1 bytes in", b"eEFkYS5Mb3ZlbGFjZUBleGFtcGxlLm9yZ3k=".to_vec()),
        ("base64, 2 bytes in", b"eHhBZGEuTG92ZWxhY2VAZXhhbXBsZS5vcmd5".to_vec()),
    ] {
        let file = folder.join("deep/file");
        fs::write(&file, bytes).unwrap();
        let hits = search_folder(&folder, marker.as_bytes());
        assert!(hits.iter().any(|hit| hit.form == name), "{name}: {hits:?}");
    }
    fs::write(folder.join("deep/file"), b"Ada Lovelace at example.org").unwrap();
    assert_eq!(search_folder(&folder, marker.as_bytes()), []);
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_raw_client_speaks_both_protocols() {
    for major in VERSIONS {
        let server = pg(major);
        let mut raw = Raw::login(server.address(), "postgres", "postgres");
        let frames = raw.query("SELECT 'a', NULL; SELECT 1/0");
        let tags: Vec<u8> = frames.iter().map(|frame| frame.tag).collect();
        assert_eq!(tags, b"TDCEZ");
        assert_eq!(frames[1].values(), [Some(b"a".to_vec()), None]);
        let error = frames.iter().find(|frame| frame.tag == b'E').unwrap();
        assert_eq!(error.field(b'C').as_deref(), Some("22012"));

        raw.parse("s", "SELECT $1::text, $2::text", &[25, 25]);
        raw.bind("p", "s", &[], &[Some(b"x"), None], &[1]);
        raw.describe(b'P', "p");
        raw.execute("p", 0);
        raw.close(b'S', "s");
        let tags: Vec<u8> = raw.sync().iter().map(|frame| frame.tag).collect();
        assert_eq!(tags, b"12TDC3Z");
    }
}

#[test]
fn a_session_logs_in_with_its_password_alone() {
    let ada = User { name: "ada".into(), password: Some("secret".into()), attributes: String::new() };
    let server = pg_with(Options {
        major: Some(15),
        authentication: Authentication::Scram,
        users: vec![ada],
        ..Options::default()
    });
    assert!(Session::open(server.address(), "ada", Some("secret"), "postgres").is_ok());
    let error = Session::open(server.address(), "ada", Some("wrong"), "postgres").err().unwrap();
    assert_eq!(error.code().map(tokio_postgres::error::SqlState::code), Some("28P01"));
}

#[test]
fn a_condition_is_awaited() {
    let mut looks = 0;
    await_that("the third look", || {
        looks += 1;
        looks == 3
    });
    assert_eq!(looks, 3);
}

fn contains(bytes: &[u8], piece: &[u8]) -> bool {
    bytes.windows(piece.len()).any(|window| window == piece)
}

#[test]
fn the_program_starts_before_a_tapped_server_and_serves() {
    for major in VERSIONS {
        let server = pg(major);
        server.execute("postgres", "CREATE TABLE customers (id int PRIMARY KEY, email text)").unwrap();
        let tap = Tap::before(server.address());
        let gate = Setup::before(tap.address()).field("public.customers", "email", "equality").start();
        let session = Session::open(gate.address(), "postgres", None, "postgres").unwrap();
        let marker = "ada.lovelace@example.org";
        session.rows("INSERT INTO customers VALUES (1, $1)", &[&marker]).unwrap();
        let rows = session.rows("SELECT email FROM customers WHERE email = $1", &[&marker]).unwrap();
        assert_eq!(rows[0].get::<_, &str>(0), marker);
        assert!(!contains(&tap.to_server(), marker.as_bytes()), "plaintext went upstream");
        assert!(contains(&tap.to_server(), b"SEAL"), "nothing sealed went upstream");
        assert_eq!(search_server(&server, marker.as_bytes()), []);
    }
}
