//! First packets, in orders and with bytes that no honest client sends.

use super::Certificates;
use crate::harness::{Raw, Setup, pg};

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
