//! First packets, in orders and with bytes that no honest client sends.

use std::io::Write as _;
use std::time::{Duration, Instant};

use super::Certificates;
use crate::harness::{Raw, Setup, await_that, pg};

const SSL: u32 = (1234 << 16) | 5679;
const GSSENC: u32 = (1234 << 16) | 5680;

fn request(code: u32) -> Vec<u8> {
    [8_u32.to_be_bytes(), code.to_be_bytes()].concat()
}

fn start(version: u32, parameters: &[u8]) -> Vec<u8> {
    let length = u32::try_from(8 + parameters.len()).unwrap();
    [&length.to_be_bytes()[..], &version.to_be_bytes(), parameters].concat()
}

#[test]
fn encryption_requests_are_answered_once_each_in_any_order() {
    let server = pg(15);
    let gate = Setup::before(server.address()).start();
    for order in [[SSL, GSSENC], [GSSENC, SSL]] {
        let mut raw = Raw::connect(gate.address());
        for code in order {
            raw.bytes(&request(code));
            assert_eq!(raw.read_byte(), b'N');
        }
        raw.startup(&[("user", "postgres"), ("database", "postgres")]);
        assert!(raw.until_ready().iter().any(|frame| frame.tag == b'K'));
    }
    for code in [SSL, GSSENC] {
        let mut raw = Raw::connect(gate.address());
        raw.bytes(&request(code));
        assert_eq!(raw.read_byte(), b'N');
        raw.bytes(&request(code));
        assert_eq!(raw.read().unwrap().field(b'C').as_deref(), Some("08P01"));
        assert!(raw.is_closed());
    }
}

#[test]
fn bytes_stuffed_behind_an_encryption_request_end_the_connection() {
    let server = pg(15);
    let certificates = Certificates::new("stuffed");
    let plain = Setup::before(server.address()).start();
    let tls = Setup::before(server.address()).listen(&certificates.listen("")).start();
    for gate in [&plain, &tls] {
        for code in [SSL, GSSENC] {
            let mut raw = Raw::connect(gate.address());
            let behind = start(196_608, b"user\0postgres\0\0");
            raw.bytes(&[request(code), behind].concat());
            let error = raw.read().unwrap();
            assert_eq!((error.tag, error.field(b'C').as_deref()), (b'E', Some("08P01")));
            assert!(raw.is_closed());
        }
    }
}

#[test]
fn versions_are_negotiated_once_and_before_authentication() {
    let server = pg(15);
    let gate = Setup::before(server.address()).start();
    let asked = [(1_u32, Some(0_u32), 4_usize), (9999, Some(2), 32), (2, None, 32), (0, None, 4)];
    for (minor, answered, key) in asked {
        let mut raw = Raw::connect(gate.address());
        raw.bytes(&start((3 << 16) | minor, b"user\0postgres\0database\0postgres\0\0"));
        let frames = raw.until_ready();
        let told: Vec<_> = frames.iter().filter(|frame| frame.tag == b'v').collect();
        assert_eq!(told.len(), usize::from(answered.is_some()), "3.{minor}");
        if let Some(answered) = answered {
            assert_eq!(frames[0].tag, b'v');
            // The minor alone, or the whole version, as the server itself writes it.
            assert_eq!(frames[0].body[..4], ((3 << 16) | answered).to_be_bytes());
        }
        let data = frames.iter().find(|frame| frame.tag == b'K').unwrap();
        assert_eq!(data.body.len(), 4 + key, "3.{minor}");
        let process = i32::from_be_bytes(data.body[..4].try_into().unwrap());
        let rows = raw.query("SELECT pg_backend_pid()");
        let row = rows.iter().find(|frame| frame.tag == b'D').unwrap();
        assert_eq!(row.values(), [Some(process.to_string().into_bytes())]);
    }
    let mut raw = Raw::connect(gate.address());
    raw.bytes(&start(4 << 16, b"user\0postgres\0\0"));
    assert_eq!(raw.read().unwrap().field(b'C').as_deref(), Some("0A000"));
    assert!(raw.is_closed());
}

#[test]
fn plain_is_refused_before_a_password_where_tls_is_required() {
    let server = pg(15);
    let certificates = Certificates::new("required");
    let gate = Setup::before(server.address()).listen(&certificates.listen("")).start();
    let mut raw = Raw::connect(gate.address());
    raw.startup(&[("user", "postgres"), ("database", "postgres")]);
    let first = raw.read().unwrap();
    assert_eq!((first.tag, first.field(b'C').as_deref()), (b'E', Some("28000")));
    assert!(raw.is_closed());
}

#[test]
fn one_deadline_ends_silent_connections_and_handshakes_byte_by_byte() {
    let server = pg(15);
    let gate = Setup::before(server.address()).extra("\n[timeouts]\nlogin = \"1s\"\n").start();
    let mut silent = Raw::connect(gate.address());
    let mut slow = std::net::TcpStream::connect(gate.address()).unwrap();
    let began = Instant::now();
    let packet = start(196_608, &[b"user\0", &[b'x'; 9_000][..], b"\0\0"].concat());
    let mut sent = packet.iter();
    await_that("the end of a slow handshake", || {
        sent.next().is_none_or(|byte| slow.write_all(&[*byte]).is_err())
    });
    assert!(sent.len() > 0 && began.elapsed() >= Duration::from_millis(900));
    while silent.read().is_some() {}
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    assert!(raw.query("SELECT 1").iter().any(|frame| frame.tag == b'D'));
}

#[test]
fn a_cancel_request_counts_by_its_whole_secret_and_never_for_the_next_statement() {
    let server = pg(15);
    let gate = Setup::before(server.address()).start();
    let mut raw = Raw::connect(gate.address());
    raw.bytes(&start((3 << 16) | 2, b"user\0postgres\0database\0postgres\0\0"));
    let frames = raw.until_ready();
    let key = frames.iter().find(|frame| frame.tag == b'K').unwrap().body.clone();
    let cancel = |key: &[u8]| {
        let mut other = Raw::connect(gate.address());
        let length = u32::try_from(8 + key.len()).unwrap();
        other.bytes(&[&length.to_be_bytes()[..], &((1234_u32 << 16) | 5678).to_be_bytes(), key].concat());
        assert!(other.is_closed());
    };
    // Idle: it must not hit the next statement.
    cancel(&key);
    assert!(raw.query("SELECT pg_sleep(0.2)").iter().any(|frame| frame.tag == b'D'));
    raw.send(b'Q', b"SELECT pg_sleep(30)\0");
    await_that("the statement", || {
        let sql = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(30)'";
        !server.query("postgres", sql).unwrap().is_empty()
    });
    let mut wrong = key.clone();
    wrong[35] ^= 1;
    cancel(&wrong);
    cancel(&key[..8]);
    let early = raw.within(Duration::from_millis(200));
    assert!(!early.contains(&b'E') && !early.contains(&b'Z'), "cancelled by a wrong secret");
    cancel(&key);
    let frames = raw.until_ready();
    let error = frames.iter().find(|frame| frame.tag == b'E').unwrap();
    assert_eq!(error.field(b'C').as_deref(), Some("57014"));
}
