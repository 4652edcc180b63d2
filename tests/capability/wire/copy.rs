//! COPY in all its ways, and in all its ways of failing.

use super::{Ways, activity, all, everywhere, frames, login, readies, step};
use crate::harness::{Frame, Raw, VERSIONS, await_that, frame, string};
use crate::shop::{errors, firsts, states, tags};

/// COPY by a Query, with its data, whatever the server says meanwhile.
fn simple(raw: &mut Raw, sql: &str, data: &[&[u8]], end: (u8, &[u8])) -> Vec<Frame> {
    raw.send(b'Q', &string(sql));
    for piece in data {
        raw.send(b'd', piece);
    }
    raw.send(end.0, end.1);
    raw.until_ready()
}

const DONE: (u8, &[u8]) = (b'c', b"");
const GIVEN_UP: (u8, &[u8]) = (b'f', b"the client gave up\0");

#[test]
fn copy_in_and_out_passes_in_every_format() {
    let seen = everywhere("formats", |raw| {
        let mut seen =
            simple(raw, "COPY orders FROM STDIN", &[b"1\tone\t\\\\x00ff\n", b"2\t\\N\t\\N\n"], DONE);
        seen.extend(simple(
            raw,
            "COPY orders FROM STDIN (FORMAT csv, HEADER)",
            &[b"id,item,blob\n3,\"a\nb\",\n"],
            DONE,
        ));
        let head = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
        let row = b"\0\x03\0\0\0\x04\0\0\0\x04\0\0\0\x01x\xff\xff\xff\xff";
        seen.extend(simple(raw, "COPY orders FROM STDIN (FORMAT binary)", &[head, row, b"\xff\xff"], DONE));
        for format in ["text", "csv", "binary"] {
            seen.extend(
                raw.query(&format!("COPY (SELECT * FROM orders ORDER BY id) TO STDOUT (FORMAT {format})")),
            );
            step(raw, &format!("COPY orders (item, id) TO STDOUT (FORMAT {format})"));
            seen.extend(raw.sync());
        }
        seen.extend(
            raw.query("COPY orders TO STDOUT; SELECT 'behind'; COPY orders (id) TO STDOUT (FORMAT csv)"),
        );
        seen.extend(raw.query("COPY missing TO STDOUT"));
        seen.extend(raw.query("COPY (SELECT 1/(id - 3) FROM orders) TO STDOUT"));
        seen
    });
    assert!(states(&seen) == ["42P01", "22012"], "{:?}", errors(&seen));
}

#[test]
fn rows_of_a_copy_may_lie_across_its_messages() {
    everywhere("rows across messages", |raw| {
        let text = b"1\tone\\tand\\\\more\t\\\\x01\n2\ttwo\t\n3\t\\N\t\\N\n";
        let pieces: Vec<&[u8]> = text.chunks(1).collect();
        let mut seen = simple(raw, "COPY orders FROM STDIN", &pieces, DONE);
        let mut empty: Vec<&[u8]> = vec![b""; 5];
        empty.push(b"4\tx\t\\N\n5\ty\t\\N");
        seen.extend(simple(raw, "COPY orders FROM STDIN", &empty, DONE));
        let binary =
            [&b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0"[..], b"\0\x01\0\0\0\x04\0\0\0\x09", b"\xff\xff"].concat();
        let pieces: Vec<&[u8]> = binary.chunks(3).collect();
        seen.extend(simple(raw, "COPY orders (id) FROM STDIN (FORMAT binary)", &pieces, DONE));
        seen.extend(simple(raw, "COPY orders (id) FROM STDIN", &[b"7\n\\.\n8\n"], DONE));
        seen.extend(raw.query("SELECT * FROM orders ORDER BY id"));
        seen
    });
}

#[test]
fn a_copy_that_the_client_fails_leaves_nothing() {
    let seen = everywhere("CopyFail", |raw| {
        let mut seen = simple(raw, "COPY orders (id) FROM STDIN", &[b"1\n", b"2"], GIVEN_UP);
        step(raw, "COPY orders (id) FROM STDIN");
        raw.send(b'd', b"3\n");
        raw.send(b'f', b"again\0");
        step(raw, "SELECT 'discarded'");
        seen.extend(raw.sync());
        seen.extend(raw.query("BEGIN"));
        seen.extend(simple(raw, "COPY orders (id) FROM STDIN", &[], GIVEN_UP));
        seen.extend(raw.query("SELECT 1"));
        seen.extend(raw.query("ROLLBACK"));
        // Out of place the server ignores all three.
        raw.send(b'd', b"9\n");
        raw.send(b'c', &[]);
        raw.send(b'f', b"x\0");
        seen.extend(raw.query("SELECT count(*) FROM orders"));
        seen
    });
    assert_eq!(states(&seen), ["57014", "57014", "57014", "25P02"]);
    assert_eq!(firsts(&seen).last().map(String::as_str), Some("0"));
}

#[test]
fn what_follows_in_a_copy_that_the_server_fails_is_absorbed() {
    let seen = everywhere("an error in the data", |raw| {
        let bad: &[&[u8]] = &[b"1\n", b"no number\n", b"2\n", b"3\n"];
        let mut seen = simple(raw, "COPY orders (id) FROM STDIN", bad, DONE);
        seen.extend(raw.query("SELECT 'in step'"));
        seen.extend(simple(raw, "COPY orders (id) FROM STDIN", &[b"5\n5\n"], GIVEN_UP));
        seen.extend(simple(raw, "SELECT 1; COPY orders (id) FROM STDIN; SELECT 2", bad, DONE));
        for early in [false, true] {
            step(raw, "COPY orders (id) FROM STDIN");
            if early {
                raw.send(b'S', &[]);
            }
            for piece in bad {
                raw.send(b'd', piece);
            }
            raw.send(b'c', &[]);
            seen.extend(raw.sync());
            seen.extend(raw.query("SELECT 'in step'"));
        }
        seen.extend(simple(raw, "COPY orders (id) FROM STDIN (FORMAT binary)", &[b"not binary"], DONE));
        seen.extend(simple(raw, "COPY orders (id, nothing) FROM STDIN", &[b"1\n"], DONE));
        seen.extend(raw.query("SELECT count(*) FROM orders"));
        seen
    });
    assert_eq!(firsts(&seen).last().map(String::as_str), Some("0"));
}

#[test]
fn a_sync_before_copy_done_is_not_answered() {
    let seen = everywhere("Sync and Flush within the data", |raw| {
        step(raw, "COPY orders (id) FROM STDIN");
        raw.send(b'S', &[]);
        raw.flush();
        raw.send(b'd', b"1\n");
        raw.send(b'S', &[]);
        raw.send(b'd', b"2\n");
        raw.send(b'c', &[]);
        let mut seen = raw.sync();
        seen.extend(raw.query("SELECT count(*) FROM orders"));
        // By a Query.
        raw.send(b'Q', b"COPY orders (id) FROM STDIN\0");
        seen.extend(raw.read());
        raw.send(b'S', &[]);
        raw.send(b'd', b"3\n");
        raw.send(b'c', &[]);
        seen.extend(raw.until_ready());
        seen.extend(raw.query("SELECT count(*) FROM orders"));
        seen
    });
    assert_eq!(firsts(&seen), ["2", "3"]);
}

/// `guarded` has a trigger that raises before the first row is read: the server has not read
/// the Sync that came with the Execute, and answers it.
#[test]
fn a_copy_that_fails_before_it_reads_leaves_the_session_in_step() {
    let seen = everywhere("fails before it reads", |raw| {
        let mut seen = Vec::new();
        for (early, end) in [(0, DONE), (1, DONE), (1, GIVEN_UP), (2, DONE)] {
            step(raw, "COPY guarded FROM STDIN");
            for _ in 0..early {
                raw.send(b'S', &[]);
            }
            raw.send(b'd', b"1\n");
            raw.send(end.0, end.1);
            raw.send(b'S', &[]);
            seen.extend(readies(raw, early + 1));
            seen.extend(raw.query("SELECT 'in step'"));
            step(raw, "SELECT 'and here'");
            seen.extend(raw.sync());
        }
        seen.extend(simple(raw, "COPY guarded FROM STDIN", &[b"1\n"], DONE));
        seen.extend(raw.query("SELECT 'in step'"));
        // As drivers wait: the error comes before anything of the data was sent.
        step(raw, "COPY guarded FROM STDIN");
        seen.extend(raw.sync());
        raw.send(b'f', b"too late\0");
        seen.extend(raw.sync());
        seen.extend(raw.query("BEGIN"));
        step(raw, "COPY guarded FROM STDIN");
        seen.extend(raw.sync());
        raw.send(b'c', &[]);
        seen.extend(raw.sync());
        seen.extend(raw.query("ROLLBACK"));
        seen
    });
    assert_eq!(firsts(&seen).len(), 9);
    assert_eq!(states(&seen).len(), 7, "{:?}", errors(&seen));
}

/// The same in a session in which classified statements are judged.
#[test]
fn a_copy_that_fails_leaves_classified_statements_in_step() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        let mut raw = login(ways.other.address());
        raw.query("INSERT INTO customers (id, email) VALUES (1, 'ada@sentinel.example')");
        for round in 0..20 {
            step(&mut raw, "COPY guarded FROM STDIN");
            raw.send(b'S', &[]);
            raw.send(b'd', b"1\n");
            raw.send(b'c', &[]);
            raw.send(b'S', &[]);
            if round % 2 == 0 {
                readies(&mut raw, 2);
            }
            step(&mut raw, "SELECT email FROM customers");
            raw.send(b'S', &[]);
            let seen = readies(&mut raw, if round % 2 == 0 { 1 } else { 3 });
            assert_eq!(firsts(&seen), ["ada@sentinel.example"], "{} {:?}", tags(&seen), errors(&seen));
        }
    }
}

#[test]
fn a_query_within_copy_data_ends_the_session_as_directly() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        for text in ["SELECT 1", ""] {
            let seen = ways.compare("Query within COPY", |address| {
                let mut raw = login(address);
                raw.send(b'Q', b"COPY orders (id) FROM STDIN\0");
                let mut seen = frames(&mut raw, 1);
                raw.send(b'd', b"1\n");
                raw.send(b'Q', &string(text));
                seen.extend(raw.until_ready());
                assert!(raw.is_closed());
                seen
            });
            assert_eq!(states(&seen), ["08P01", "08P01"][..states(&seen).len()], "{:?}", errors(&seen));
        }
        assert!(ways.is_sound());
    }
}

#[test]
fn a_client_that_goes_away_within_a_copy_leaves_nothing() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        for (way, address) in ways.each() {
            for terminated in [false, true] {
                let mut raw = login(address);
                raw.query("BEGIN; INSERT INTO orders VALUES (77)");
                raw.send(b'Q', b"COPY orders (id) FROM STDIN\0");
                raw.read();
                raw.send(b'd', b"1\n2\n");
                if terminated {
                    raw.send(b'X', &[]);
                }
                drop(raw);
                await_that(&format!("the session to end, {way}"), || {
                    activity(&ways.server, "true") <= 2 && activity(&ways.server, "query LIKE 'COPY%'") == 0
                });
            }
        }
        assert_eq!(firsts(&login(ways.other.address()).query("SELECT count(*) FROM orders")), ["0"]);
        assert!(ways.is_sound());
    }
}

#[test]
fn an_error_is_heard_by_a_client_that_never_pauses_in_its_copy() {
    use std::io::Write as _;
    let ways = Ways::new(15);
    for (way, address) in ways.each() {
        let mut raw = login(address);
        raw.send(b'Q', b"COPY orders (id) FROM STDIN\0");
        assert_eq!(raw.read().unwrap().tag, b'G');
        let mut socket = raw.socket().try_clone().unwrap();
        let copying = std::thread::spawn(move || {
            // What does not fit comes first; then more than can be under way, until the end is heard.
            let _ = socket.write_all(&frame(b'd', b"x\n"));
            let some = frame(b'd', b"1\n").repeat(1_000);
            while socket.write_all(&some).is_ok() {}
        });
        let error = raw.read().unwrap();
        assert_eq!((error.tag, error.field(b'C').as_deref()), (b'E', Some("22P02")), "{way}");
        // Nor does it keep others waiting, on whichever thread they are.
        let mut others: Vec<_> = (0..4).map(|_| login(address)).collect();
        assert!(others.iter_mut().all(|other| firsts(&other.query("SELECT 1")) == ["1"]), "{way}");
        raw.socket().shutdown(std::net::Shutdown::Both).unwrap();
        copying.join().unwrap();
    }
    assert!(ways.is_sound());
}

#[test]
fn a_copy_out_is_cancelled_in_its_middle() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        for (way, address) in ways.each() {
            let mut raw = Raw::connect(address);
            raw.startup(&[("user", "postgres"), ("database", "postgres")]);
            let key = raw.until_ready().into_iter().find(|frame| frame.tag == b'K').unwrap().body;
            raw.send(b'Q', b"COPY (SELECT repeat('x', 1000), pg_sleep(0.001) FROM generate_series(1, 1000000)) TO STDOUT\0");
            assert_eq!(raw.read().map(|frame| frame.tag), Some(b'H'));
            let mut cancel = Raw::connect(address);
            cancel.untagged(&[&80_877_102_u32.to_be_bytes()[..], &key].concat());
            let last = loop {
                let frame = raw.read().unwrap();
                if frame.tag != b'd' {
                    break frame;
                }
            };
            assert_eq!(states(&[last]), ["57014"], "{way}");
            assert_eq!(tags(&raw.until_ready()), "ZI");
            assert_eq!(firsts(&raw.query("SELECT 'goes on'")), ["goes on"]);
        }
    }
}

#[test]
fn copies_without_waiting_for_one_another_stay_apart() {
    everywhere("pipelined copies", |raw| {
        let mut rounds = 0;
        for number in 0..12 {
            raw.send(b'Q', b"COPY orders (id) FROM STDIN\0");
            raw.send(b'd', format!("{number}\n{}", if number % 4 == 1 { "x\n" } else { "" }).as_bytes());
            raw.send(if number % 5 == 2 { b'f' } else { b'c' }, if number % 5 == 2 { b"no\0" } else { b"" });
            step(raw, "SELECT count(*) FROM orders");
            raw.send(b'S', &[]);
            raw.send(b'Q', b"COPY orders (id) TO STDOUT\0");
            rounds += 3;
        }
        all([readies(raw, rounds), raw.query("SELECT 'end'")])
    });
}

#[test]
fn a_session_that_has_copied_is_idle_again() {
    let ways = Ways::new(18);
    let mut gate = ways.other;
    let mut raw = login(gate.address());
    simple(&mut raw, "COPY orders (id) FROM STDIN", &[b"1\n"], DONE);
    step(&mut raw, "COPY orders (id) FROM STDIN");
    raw.send(b'd', b"2\n");
    raw.send(b'c', &[]);
    raw.sync();
    gate.signal("TERM");
    assert_eq!(states(&raw.until_ready()), ["57P01"], "it is told to go at once");
    assert_eq!(gate.wait(), Some(0));
}
