//! Bytes in whatever pieces, peers at whatever speed.

use std::io::{Read as _, Write as _};
use std::process::Command;

use super::{Ways, all, everywhere, frames, login, readies, step};
use crate::harness::{Raw, VERSIONS, await_that, frame, string};
use crate::shop::{errors, firsts, states, tags};

#[test]
fn frames_may_be_split_at_every_byte() {
    let bytes = [
        frame(b'P', b"s\0SELECT $1::text\0\0\0"),
        frame(b'B', b"p\0s\0\0\0\0\x01\0\0\0\x03abc\0\0"),
        frame(b'D', b"Pp\0"),
        frame(b'E', b"p\0\0\0\0\0"),
        frame(b'C', b"Ss\0"),
        frame(b'S', b""),
        frame(b'Q', b"SELECT 'customers'\0"),
    ]
    .concat();
    let seen = everywhere("split frames", |raw| {
        let mut seen = Vec::new();
        for at in 1..bytes.len() {
            raw.bytes(&bytes[..at]);
            raw.bytes(&bytes[at..]);
            seen.extend(readies(raw, 2));
        }
        for byte in &bytes {
            raw.bytes(&[*byte]);
        }
        all([seen, readies(raw, 2)])
    });
    assert_eq!(firsts(&seen).len(), 2 * bytes.len());
}

#[test]
fn many_small_frames_of_one_packet_are_answered_one_by_one() {
    let seen = everywhere("many small frames", |raw| {
        let mut bytes = Vec::new();
        for number in 0..3_000_u32 {
            bytes.extend(frame(b'S', b""));
            if number % 3 == 0 {
                bytes.extend([frame(b'H', b""), frame(b'C', b"Sx\0"), frame(b'Q', b"\0")].concat());
            }
        }
        raw.bytes(&bytes);
        readies(raw, 4_000)
    });
    assert_eq!(seen.iter().filter(|frame| frame.tag == b'Z').count(), 4_000);
}

/// Both sides send megabytes before either has read: neither waits for the other for ever.
#[test]
fn both_sides_may_send_much_at_once() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        for (way, address) in ways.each() {
            let mut raw = login(address);
            raw.query("DELETE FROM orders");
            let value = "x".repeat(1 << 20);
            let mut writer = raw.socket().try_clone().unwrap();
            let sending = std::thread::spawn(move || {
                for number in 0..40 {
                    let text =
                        format!("INSERT INTO orders VALUES ({number}, '{value}') RETURNING id, item || item");
                    writer
                        .write_all(&frame(b'P', &[string(""), string(&text), vec![0, 0]].concat()))
                        .unwrap();
                    writer.write_all(&[frame(b'B', &[0; 8]), frame(b'E', &[0; 5])].concat()).unwrap();
                }
                writer.write_all(&frame(b'S', b"")).unwrap();
            });
            // Only once the gate, the server and this side are full of what nobody reads.
            await_that("everything to be full", || {
                queued(raw.socket().local_addr().unwrap().port()) > 100_000
            });
            let answer = raw.until_ready();
            sending.join().unwrap();
            let sum: usize = answer.iter().map(|frame| frame.body.len()).sum();
            assert!(sum > 80 << 20 && tags(&answer).ends_with("CZI"), "{way}: {sum} {:?}", errors(&answer));
        }
    }
}

/// Bytes that wait in the receive queue of the socket on a local port, as the kernel says.
pub fn queued(port: u16) -> u64 {
    let output = Command::new("ss").args(["-Htn", &format!("sport = :{port}")]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().nth(1).and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// A peer that has vanished without a word is noticed on both hops: the kernel asks for it.
#[test]
fn both_hops_ask_whether_their_peer_is_alive() {
    let ways = Ways::new(18);
    let _idle = login(ways.other.address());
    let ask = |filter: &str| {
        let output = Command::new("ss").args(["-Htnpo", "state", "established", filter]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let gate = format!("pid={},", ways.other.pid());
    for filter in
        [format!("sport = :{}", ways.other.address().port()), format!("dport = :{}", ways.server.port())]
    {
        await_that("the keepalive timer", || {
            let text = ask(&filter);
            text.lines().any(|line| line.contains(&gate) && line.contains("timer:(keepalive,"))
        });
    }
}

#[test]
fn the_end_of_one_side_ends_the_other() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        for (way, address) in ways.each() {
            // The client resets, closes, or says that it goes.
            for how in 0..3 {
                let mut raw = login(address);
                let pid = firsts(&raw.query("SELECT pg_backend_pid()"))[0].clone();
                raw.query("BEGIN; INSERT INTO orders VALUES (1)");
                match how {
                    0 => socket2::SockRef::from(raw.socket())
                        .set_linger(Some(std::time::Duration::ZERO))
                        .unwrap(),
                    1 => {}
                    _ => raw.send(b'X', &[]),
                }
                drop(raw);
                await_that("the session to end", || {
                    super::activity(&ways.server, &format!("pid = {pid}")) == 0
                });
            }
            // The server.
            let mut raw = login(address);
            let pid = firsts(&raw.query("SELECT pg_backend_pid()"))[0].clone();
            raw.send(b'Q', &string("SELECT pg_sleep(60)"));
            await_that("the statement to run", || {
                super::activity(&ways.server, &format!("pid = {pid} AND wait_event = 'PgSleep'")) == 1
            });
            ways.server.execute("postgres", &format!("SELECT pg_terminate_backend({pid})")).unwrap();
            assert_eq!(states(&raw.until_ready()), ["57P01"], "{way}");
            assert!(raw.is_closed());
        }
        assert!(ways.is_sound());
    }
}

#[test]
fn a_client_that_has_said_everything_hears_the_answer() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        ways.compare("half-closed", |address| {
            let mut raw = login(address);
            raw.query("DELETE FROM orders");
            step(&mut raw, "INSERT INTO orders SELECT generate_series(1, 3) RETURNING id, pg_sleep(0.01)");
            raw.send(b'S', &[]);
            raw.send(b'Q', &string("SELECT pg_sleep(0.01), repeat('x', 3000000)"));
            raw.finish();
            let seen = all([readies(&mut raw, 2), frames(&mut raw, 1)]);
            assert!(raw.is_closed());
            seen
        });
    }
}

#[test]
fn a_peer_that_sends_nothing_holds_up_nobody() {
    let ways = Ways::new(18);
    for gate in [&ways.nothing, &ways.other] {
        let silent: Vec<Raw> = (0..50).map(|_| Raw::connect(gate.address())).collect();
        let mut half = Raw::connect(gate.address());
        half.bytes(&[0, 0, 0, 40, 0, 3]);
        assert_eq!(firsts(&login(gate.address()).query("SELECT 'served'")), ["served"]);
        for raw in &silent {
            raw.socket().set_nonblocking(true).unwrap();
            let nothing = (&mut raw.socket()).read(&mut [0; 1]);
            assert!(nothing.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
        }
    }
}
