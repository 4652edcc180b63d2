//! Large values: what is taken is sealed, and can be read again; what is too large is refused with the
//! limit's name, before anything of it goes on.

use crate::harness::{Frame, Gate, Raw, Setup, Tap, string};
use crate::shop::{self, errors, states};
use sealgate::store::postgres::Throwaway;

const MIB: usize = 1 << 20;

/// Letters that do not repeat soon, of this length.
fn value(length: usize) -> Vec<u8> {
    (0..length).map(|n| b'a' + u8::try_from((n / 7 + n / 1_009) % 26).unwrap()).collect()
}

fn open(server: &Throwaway, limits: &str) -> (Gate, Tap) {
    let tap = Tap::before(server.address());
    let setup = Setup::before(tap.address()).field("public.customers", "phone", "random");
    (setup.extra(limits).start(), tap)
}

fn insert(raw: &mut Raw, id: u32, value: &[u8]) -> Vec<Frame> {
    raw.parse("", &format!("INSERT INTO customers (id, phone) VALUES ({id}, $1)"), &[]);
    raw.bind("", "", &[], &[Some(value)], &[]);
    raw.execute("", 0);
    raw.sync()
}

/// Row for row the same, told without its megabytes.
fn reads(raw: &mut Raw, id: u32, value: &[u8]) {
    let frames = raw.query(&format!("SELECT phone FROM customers WHERE id = {id}"));
    assert_eq!(errors(&frames), []);
    let row = frames.iter().find(|frame| frame.tag == b'D').unwrap();
    assert!(row.values()[0].as_deref() == Some(value), "{id}: another value");
    let frames = raw.query(&format!("COPY (SELECT phone FROM customers WHERE id = {id}) TO STDOUT"));
    assert_eq!(errors(&frames), []);
    let data: Vec<u8> =
        frames.iter().filter(|frame| frame.tag == b'd').flat_map(|frame| frame.body.clone()).collect();
    assert!(data.strip_suffix(b"\n") == Some(value), "{id}: another value by COPY");
}

/// The most memory that a process has had at a time, in MiB.
fn peak_of(gate: &Gate) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gate.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() / 1024
}

/// A build that is not optimised seals one and a half of them a second, and reads a third of one of a text.
const LARGE: usize = if cfg!(debug_assertions) { 12 } else { 64 };
const LITERAL: usize = if cfg!(debug_assertions) { 4 } else { 64 };

#[test]
#[expect(clippy::print_stdout, reason = "shown with --nocapture by whoever wants the numbers")]
fn a_value_of_many_mebibytes_is_taken_as_parameter_literal_and_field_of_copy() {
    let server = shop::server(18);
    let limits = "[limits]\nframe_bytes_max = 71303168\nstatement_bytes_max = 71303168\n";
    let (gate, tap) = open(&server, limits);
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    let large = value(LARGE * MIB);
    assert_eq!(errors(&insert(&mut raw, 1, &large)), []);
    reads(&mut raw, 1, &large);
    let by_parameter = peak_of(&gate);
    let short = &large[..LITERAL * MIB];
    for column in ["phone", "note"] {
        let literal =
            [format!("UPDATE customers SET {column} = '").as_bytes(), short, b"' WHERE id = 1\0"].concat();
        raw.send(b'Q', &literal);
        assert_eq!(errors(&raw.until_ready()), [], "{column}");
        let frames = raw.query(&format!("SELECT {column} FROM customers WHERE id = 1"));
        let row = frames.iter().find(|frame| frame.tag == b'D').unwrap();
        assert!(row.values()[0].as_deref() == Some(short), "{column}: another value");
        raw.parse("", &format!("INSERT INTO customers (id, {column}) VALUES (10, $1)"), &[]);
        raw.bind("", "", &[], &[Some(&large)], &[]);
        raw.execute("", 0);
        assert_eq!(errors(&raw.sync()), [], "{column}");
        assert_eq!(errors(&raw.query("DELETE FROM customers WHERE id = 10")), []);
        raw.send(b'Q', &string(&format!("COPY customers (id, {column}) FROM STDIN")));
        assert_eq!(raw.read().unwrap().tag, b'G');
        for piece in [&b"10\t"[..], &large, b"\n"].concat().chunks(MIB) {
            raw.send(b'd', piece);
        }
        raw.send(b'c', b"");
        assert_eq!(errors(&raw.until_ready()), [], "{column}");
        assert_eq!(errors(&raw.query("DELETE FROM customers WHERE id = 10")), []);
    }
    let piece = &large[1_000_000..1_000_048];
    assert!(shop::holds(&tap.to_server(), piece), "what is not sealed goes as it is");
    // A message is held a few times over while it is changed, and a literal while it is read.
    assert!(by_parameter < 10 * LARGE + 100, "{by_parameter} MiB");
    assert!(peak_of(&gate) < 25 * LARGE + 100, "{} MiB", peak_of(&gate));
    println!("peak: {by_parameter} MiB by parameters, {} MiB in all", peak_of(&gate));
}

#[test]
fn what_is_taken_can_be_read_and_what_is_too_large_is_refused_by_name() {
    let server = shop::server(18);
    let (wide, tap) = open(&server, "[limits]\nframe_bytes_max = 6295552\nstatement_bytes_max = 4194304\n");
    let mut raw = Raw::login(wide.address(), "postgres", "postgres");
    let large = value(6 * MIB);
    assert_eq!(errors(&insert(&mut raw, 1, &large)), []);
    reads(&mut raw, 1, &large);
    let literal = value(3 * MIB);
    let text = String::from_utf8(literal.clone()).unwrap();
    assert_eq!(errors(&raw.query(&format!("UPDATE customers SET phone = '{text}' WHERE id = 1"))), []);
    reads(&mut raw, 1, &literal);
    raw.send(b'Q', &string("COPY customers (id, phone) FROM STDIN"));
    assert_eq!(raw.read().unwrap().tag, b'G');
    for piece in [&b"2\t"[..], &large, b"\n"].concat().chunks(MIB / 2) {
        raw.send(b'd', piece);
    }
    raw.send(b'c', b"");
    assert_eq!(errors(&raw.until_ready()), []);
    reads(&mut raw, 2, &large);
    // Nothing of it as it was.
    let piece = &large[1_000_000..1_000_048];
    assert!(!shop::holds(&tap.to_server(), piece));
    drop((raw, wide, tap));

    let (gate, tap) = open(&server, "[limits]\nframe_bytes_max = 2097152\n");
    let mut raw = Raw::login(gate.address(), "postgres", "postgres");
    let just = value(2 * MIB - 100);
    assert_eq!(errors(&insert(&mut raw, 3, &just)), []);
    reads(&mut raw, 3, &just);
    let before = tap.to_server().len();
    let frames = insert(&mut raw, 4, &value(2 * MIB));
    assert_eq!(states(&frames), ["54000"]);
    let error = frames.iter().find(|frame| frame.tag == b'E').unwrap();
    assert!(error.field(b'D').unwrap().contains("limits.frame_bytes_max"), "{:?}", error.field(b'D'));
    let text = String::from_utf8(value(MIB)).unwrap();
    let frames = raw.query(&format!("UPDATE customers SET phone = '{text}' WHERE id = 3"));
    assert_eq!(states(&frames), ["54000"]);
    raw.send(b'Q', &string("COPY customers (id, phone) FROM STDIN"));
    assert_eq!(raw.read().unwrap().tag, b'G');
    for piece in [&b"5\t"[..], &value(3 * MIB), b"\n"].concat().chunks(MIB / 4) {
        raw.send(b'd', piece);
    }
    raw.send(b'c', b"");
    assert_eq!(states(&raw.until_ready()), ["54000"]);
    assert!(tap.to_server().len() - before < MIB, "something of it went on");
    // What another gate took is told before the session ends: nothing of it has been read.
    assert_eq!(states(&raw.query("SELECT id FROM customers WHERE id = 2")), [""; 0]);
    raw.send(b'Q', &string("SELECT phone FROM customers WHERE id = 2"));
    let mut last = None;
    while let Some(frame) = raw.read() {
        assert_ne!(frame.tag, b'D');
        last = Some(frame);
    }
    assert_eq!(last.unwrap().field(b'C').as_deref(), Some("54000"));
}
