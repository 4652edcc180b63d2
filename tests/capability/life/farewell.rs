//! The last words of a session never stand within a message of the server.

use std::io::Read as _;
use std::net::TcpStream;

use super::backends;
use crate::harness::{Raw, Setup, await_that, string};
use crate::shop::{classified, server};

/// More than fits into all buffers on the way.
const ROW_BYTES: usize = 40 << 20;

/// Reads the rest of a stream whose RowDescription and a part of whose row were read.
/// True where the row is whole and words follow; a part of a row ends without any.
fn is_clean(stream: &mut TcpStream, before: Vec<u8>) -> bool {
    let mut all = before;
    // A reset ends it as well.
    let _ = stream.read_to_end(&mut all);
    let described = 1 + usize::try_from(u32::from_be_bytes(all[1..5].try_into().unwrap())).unwrap();
    let row = &all[described..];
    assert_eq!(row[0], b'D');
    let length = 1 + usize::try_from(u32::from_be_bytes(row[1..5].try_into().unwrap())).unwrap();
    let value = &row[11..row.len().min(length)];
    assert!(value.iter().all(|byte| *byte == b'x'), "words of ours stand within the row");
    if row.len() <= length {
        return false;
    }
    assert!(row[length] == b'E' && row.windows(5).any(|window| window == b"57P01"));
    true
}

#[test]
fn a_row_that_has_passed_in_part_is_finished_or_nothing_is_said() {
    let server = server(15);
    let mut gate = classified(Setup::before(server.address())).start();
    let ask = || {
        let mut raw = Raw::login(gate.address(), "postgres", "postgres");
        raw.send(b'Q', &string(&format!("SELECT repeat('x', {ROW_BYTES})")));
        let mut stream = raw.socket().try_clone().unwrap();
        let mut head = vec![0; 100_000];
        stream.read_exact(&mut head).unwrap();
        (raw, stream, head)
    };
    let ((_reading, mut reads, first), (_slow, mut waits, second)) = (ask(), ask());
    await_that("rows that are stuck", || backends(&server, "wait_event = 'ClientWrite'") == 2);
    // The second signal cuts.
    gate.signal("TERM");
    await_that("a closed door", || TcpStream::connect(gate.address()).is_err());
    gate.signal("TERM");
    await_that("the cut", || gate.log().contains("are cut off"));
    assert!(is_clean(&mut reads, first), "who reads on gets the row, and is told");
    assert_eq!(gate.wait(), Some(1));
    assert!(!is_clean(&mut waits, second), "who does not read in time is told nothing");
    await_that("the end of every backend", || backends(&server, "true") == 0);
}
