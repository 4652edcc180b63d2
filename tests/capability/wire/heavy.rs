//! Huge frames, peers that do not read, and a program without file descriptors: memory stays
//! bounded and the listener lives.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use sealgate::store::postgres::{Options, Throwaway};

use super::hostile::memory_kib;
use super::login;
use crate::harness::{Gate, Raw, Setup, await_that, frame, string};
use crate::shop::{classified, errors, firsts, states, tags};

const MIB: usize = 1 << 20;
/// What a session may add to the program's memory, whatever is sent: its buffers.
const GROWTH_KIB_MAX: u64 = 8 << 10;

/// A server that does not log what passes: it is too much.
fn quiet_server() -> Throwaway {
    let server = Throwaway::start(&Options { major: Some(18), ..Options::default() }).unwrap();
    let schema = "CREATE TABLE customers (id int PRIMARY KEY, email text UNIQUE, phone text, city text, note text); \
        CREATE UNLOGGED TABLE lines (line text)";
    server.execute("postgres", schema).unwrap();
    server
}

/// Reads frames and keeps only their types and the length of what they hold.
fn skim(stream: &mut TcpStream) -> (String, usize) {
    let (mut seen, mut bytes) = (String::new(), 0_usize);
    let mut buffer = vec![0; MIB];
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head).unwrap();
        let mut left = usize::try_from(u32::from_be_bytes(head[1..].try_into().unwrap())).unwrap() - 4;
        bytes += left;
        while left > 0 {
            let piece = left.min(buffer.len());
            stream.read_exact(&mut buffer[..piece]).unwrap();
            left -= piece;
        }
        seen.push(char::from(head[0]));
        if head[0] == b'Z' {
            return (seen, bytes);
        }
    }
}

/// A frame of `before`, `count` MiB of `x`, and `after`.
fn write_huge(stream: &mut TcpStream, tag: u8, before: &[u8], count: usize, after: &[u8]) {
    let length = u32::try_from(4 + before.len() + count * MIB + after.len()).unwrap();
    stream.write_all(&[&[tag], &length.to_be_bytes()[..], before].concat()).unwrap();
    let piece = vec![b'x'; MIB];
    for _ in 0..count {
        stream.write_all(&piece).unwrap();
    }
    stream.write_all(after).unwrap();
}

fn grows_little(gate: &Gate, what: &str, run: impl FnOnce(SocketAddr)) {
    login(gate.address()).query("SELECT 1");
    let before = memory_kib(gate, "VmHWM");
    run(gate.address());
    // The kernel counts by thread, and may say less than before.
    let grown = memory_kib(gate, "VmHWM").saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "{what}: {grown} KiB more");
}

#[test]
fn a_row_of_256_megabytes_passes_in_bounded_memory() {
    let server = quiet_server();
    for setup in [Setup::before(server.address()), classified(Setup::before(server.address()))] {
        let gate = setup.start();
        grows_little(&gate, "DataRow", |address| {
            let raw = login(address);
            let mut stream = raw.socket().try_clone().unwrap();
            stream.write_all(&frame(b'Q', b"SELECT repeat('x', 268435456)\0")).unwrap();
            let (seen, bytes) = skim(&mut stream);
            assert!(seen == "TDCZ" && bytes > 256 * MIB, "{seen} {bytes}");
        });
    }
}

#[test]
fn a_bind_of_512_megabytes_passes_in_bounded_memory() {
    let server = quiet_server();
    let gate = classified(Setup::before(server.address())).start();
    grows_little(&gate, "Bind", |address| {
        let raw = login(address);
        let mut stream = raw.socket().try_clone().unwrap();
        stream.write_all(&frame(b'P', b"\0SELECT length($1::bytea)\0\0\0")).unwrap();
        let length = u32::try_from(512 * MIB).unwrap().to_be_bytes();
        write_huge(&mut stream, b'B', &[&b"\0\0\0\x01\0\x01\0\x01"[..], &length].concat(), 512, b"\0\0");
        stream.write_all(&[frame(b'E', &[0; 5]), frame(b'S', b"")].concat()).unwrap();
        assert_eq!(skim(&mut stream).0, "12DCZ");
    });
}

#[test]
fn a_query_of_512_megabytes_passes_in_bounded_memory_where_nothing_is_classified() {
    let server = quiet_server();
    let gate = Setup::before(server.address()).start();
    grows_little(&gate, "Query", |address| {
        let raw = login(address);
        let mut stream = raw.socket().try_clone().unwrap();
        write_huge(&mut stream, b'Q', b"SELECT 1 --", 512, b"\0");
        assert_eq!(skim(&mut stream).0, "TDCZ");
    });
    // Where something is, a text must be read as a whole, and there is a limit.
    let gate = classified(Setup::before(server.address())).start();
    grows_little(&gate, "refused Query", |address| {
        let mut raw = login(address);
        let mut stream = raw.socket().try_clone().unwrap();
        write_huge(&mut stream, b'Q', b"SELECT 1 --", 64, b"\0");
        let seen = raw.until_ready();
        assert_eq!(
            (tags(&seen), states(&seen)),
            ("EZI".to_owned(), vec!["54000".to_owned()]),
            "{:?}",
            errors(&seen)
        );
    });
}

#[test]
fn copy_data_of_512_megabytes_passes_in_bounded_memory_both_ways() {
    let server = quiet_server();
    let gate = classified(Setup::before(server.address())).start();
    grows_little(&gate, "CopyData", |address| {
        let mut raw = login(address);
        let mut stream = raw.socket().try_clone().unwrap();
        raw.send(b'Q', &string("COPY lines FROM STDIN"));
        raw.read();
        // One message, 512 rows.
        let length = u32::try_from(4 + 512 * MIB).unwrap();
        stream.write_all(&[&b"d"[..], &length.to_be_bytes()].concat()).unwrap();
        let row = [vec![b'x'; MIB - 1], b"\n".to_vec()].concat();
        for _ in 0..512 {
            stream.write_all(&row).unwrap();
        }
        stream.write_all(&frame(b'c', b"")).unwrap();
        assert_eq!(tags(&raw.until_ready()), "CZI");
        stream
            .write_all(&frame(
                b'Q',
                b"COPY (SELECT string_agg(line, '') FROM (SELECT line FROM lines LIMIT 200) l) TO STDOUT\0",
            ))
            .unwrap();
        let (seen, bytes) = skim(&mut stream);
        assert!(seen == "HdcCZ" && bytes > 199 * MIB, "{seen} {bytes}");
    });
}

#[test]
fn a_client_that_does_not_read_holds_up_no_memory_and_nobody_else() {
    let server = quiet_server();
    for setup in [Setup::before(server.address()), classified(Setup::before(server.address()))] {
        let gate = setup.start();
        grows_little(&gate, "a client that does not read", |address| {
            let raw = login(address);
            let mut stream = raw.socket().try_clone().unwrap();
            stream
                .write_all(&frame(b'Q', b"SELECT n, repeat('x', 2000) FROM generate_series(1, 100000) n\0"))
                .unwrap();
            let port = raw.socket().local_addr().unwrap().port();
            let mut last = 0;
            // Full when nothing more comes.
            await_that("the client's queue to be full", || {
                std::thread::sleep(Duration::from_millis(100));
                let now = super::transport::queued(port);
                let full = now > 100_000 && now == last;
                last = now;
                full
            });
            assert_eq!(firsts(&login(address).query("SELECT 'served'")), ["served"]);
            let (seen, bytes) = skim(&mut stream);
            assert!(bytes > 200_000_000 && seen.len() == 100_003, "{bytes} {}", seen.len());
        });
    }
}

#[test]
fn a_server_that_does_not_read_holds_up_no_memory_and_nobody_else() {
    let server = quiet_server();
    let gate = classified(Setup::before(server.address())).start();
    grows_little(&gate, "a server that does not read", |address| {
        let mut raw = login(address);
        let pid = firsts(&raw.query("SELECT pg_backend_pid()"))[0].clone();
        let signal =
            |name: &str| assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
        raw.parse("", "SELECT length($1::bytea)", &[]);
        raw.flush();
        raw.read();
        signal("STOP");
        let mut stream = raw.socket().try_clone().unwrap();
        let sending = std::thread::spawn(move || {
            let length = u32::try_from(200 * MIB).unwrap().to_be_bytes();
            write_huge(&mut stream, b'B', &[&b"\0\0\0\x01\0\x01\0\x01"[..], &length].concat(), 200, b"\0\0");
            stream.write_all(&[frame(b'E', &[0; 5]), frame(b'S', b"")].concat()).unwrap();
        });
        for _ in 0..20 {
            assert_eq!(firsts(&login(address).query("SELECT 'served'")), ["served"]);
        }
        assert!(!sending.is_finished(), "the server reads nothing");
        signal("CONT");
        sending.join().unwrap();
        assert_eq!(firsts(&raw.until_ready()), [(200 * MIB).to_string()]);
    });
}

#[test]
fn too_many_open_files_do_not_end_the_listener() {
    let server = quiet_server();
    let gate = classified(Setup::before(server.address())).start();
    drop(login(gate.address()));
    let limit = 8 + std::fs::read_dir(format!("/proc/{}/fd", gate.pid())).unwrap().count();
    let pid = gate.pid().to_string();
    let set = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={limit}:")]).status().unwrap();
    assert!(set.success());
    for _ in 0..3 {
        let held: Vec<Raw> = (0..40).map(|_| Raw::connect(gate.address())).collect();
        await_that("an accept to fail", || gate.log().contains("accept failed"));
        drop(held);
        await_that("sessions to be served again", || {
            let mut raw = Raw::connect(gate.address());
            raw.startup(&[("user", "postgres"), ("database", "postgres")]);
            tags(&raw.until_ready()).contains('Z') && firsts(&raw.query("SELECT 'served'")) == ["served"]
        });
    }
    assert!(!gate.log().contains("panic"), "{}", gate.log());
}
