//! Peers that do not keep to the protocol, on both sides, before and after the login: their
//! session ends, the others go on, and nothing is released.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sealgate::store::postgres::{Options, User};

use super::{Ways, is_sound, login};
use crate::harness::{Gate, Raw, Setup, VERSIONS, frame, string};
use crate::shop::{classified, errors, firsts, holds, states, tags};

/// A linear congruential generator (Knuth's MMIX constants): a failure repeats.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

/// Memory of a process, in KiB: now, and at most so far.
pub fn memory_kib(gate: &Gate, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gate.pid())).unwrap();
    let line = status.lines().find(|found| found.starts_with(line)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Nothing more will be sent, if the peer has not closed already.
fn finish(raw: &Raw) {
    let _ = raw.socket().shutdown(Shutdown::Write);
}

/// Has a stream been read to its end, be it a reset?
trait Ended {
    fn is_ok_or_reset(&self) -> bool;
}

impl Ended for std::io::Result<usize> {
    fn is_ok_or_reset(&self) -> bool {
        self.as_ref().map_or_else(|error| error.kind() == std::io::ErrorKind::ConnectionReset, |_| true)
    }
}

#[test]
fn bytes_that_are_no_startup_end_their_connection_alone() {
    let ways = Ways::new(18);
    let packet = |code: u32, body: &[u8]| {
        let length = u32::try_from(body.len() + 8).unwrap();
        [&length.to_be_bytes()[..], &code.to_be_bytes(), body].concat()
    };
    let mut cases = vec![
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        vec![0xff; 64],
        vec![0x80, 0, 0, 0, 0, 3, 0, 0],
        vec![0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0],
        vec![0, 0, 0, 0, 0, 0, 0, 0],
        packet((1234 << 16) | 5681, b""),
        packet(0, b"user\0postgres\0\0"),
        packet(196_608, b"user\0postgres"),
        packet(196_608, b"user\0postgres\0\0left over"),
        packet((1234 << 16) | 5678, b"abc"),
        packet((1234 << 16) | 5678, &[7; 300]),
        frame(b'p', &string("secret")),
        frame(b'Q', &string("SELECT 1")),
        frame(b'X', &[]),
    ];
    let mut dice = Dice(7);
    for _ in 0..200 {
        let mut bytes = packet(196_608, b"user\0postgres\0database\0postgres\0\0");
        // Not within the values: they are the server's to judge.
        let at = dice.roll(8);
        bytes[at] = u8::try_from(dice.roll(256)).unwrap();
        bytes.truncate(bytes.len() - dice.roll(3));
        cases.push(bytes);
    }
    for gate in [&ways.nothing, &ways.other] {
        // The first session has the catalog loaded.
        let mut raw = Raw::connect(gate.address());
        raw.bytes(&packet(196_608, b"user\0postgres\0database\0postgres\0\0"));
        finish(&raw);
        raw.until_ready();
        let before = memory_kib(gate, "VmHWM");
        for bytes in &cases {
            let mut raw = Raw::connect(gate.address());
            raw.bytes(bytes);
            finish(&raw);
            let frames = raw.until_ready();
            // Fatal, or closed without a word where the packet has not wholly come.
            let told = states(&frames);
            let served = frames.last().is_some_and(|frame| frame.tag == b'Z');
            assert!(served || told.len() <= 1, "{bytes:?} {told:?}");
        }
        let grown = memory_kib(gate, "VmHWM").saturating_sub(before);
        assert!(grown < 4 << 10, "a length is not allocated before it is checked: {grown} KiB");
        assert!(is_sound(gate), "{}", gate.log());
    }
}

#[test]
fn nothing_but_an_answer_may_come_before_the_login_is_over() {
    for major in VERSIONS {
        let ways = Ways::with(Options {
            major: Some(major),
            users: vec![User {
                name: "plain".into(),
                password: Some("secret".into()),
                attributes: String::new(),
            }],
            hba: vec!["host all plain all password".into()],
            ..Options::default()
        });
        for body in [
            frame(b'Q', &string("SELECT 1")),
            frame(b'P', &[0; 4]),
            frame(b'S', &[]),
            frame(0, &[]),
            frame(b'd', b"x"),
        ] {
            let told = ways.same("before the login is over", |address| {
                let mut raw = Raw::connect(address);
                raw.startup(&[("user", "plain"), ("database", "postgres")]);
                raw.read();
                raw.bytes(&body);
                let frames = raw.until_ready();
                assert!(raw.is_closed());
                (tags(&frames), states(&frames))
            });
            assert_eq!(told, ("E".to_owned(), vec!["08P01".to_owned()]), "{body:?}");
        }
        // A password that is too long, or no string.
        for body in
            [vec![b'p', 0x3f, 0xff, 0xff, 0xff], frame(b'p', b"not terminated"), frame(b'p', &[b'x'; 70_000])]
        {
            for (way, address) in ways.each() {
                let mut raw = Raw::connect(address);
                raw.startup(&[("user", "plain"), ("database", "postgres")]);
                raw.read();
                raw.bytes(&body);
                finish(&raw);
                let frames = raw.until_ready();
                assert!(!tags(&frames).contains('Z'), "{way}: {}", tags(&frames));
            }
        }
        assert!(ways.is_sound());
    }
}

#[test]
fn messages_that_are_none_end_as_the_server_ends_them() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        for tag in (0..=255_u8).filter(|tag| !b"QPBDECSHFXdcf".contains(tag)) {
            ways.same("an unknown type", |address| {
                let mut raw = login(address);
                raw.bytes(&frame(tag, b"x"));
                let frames = raw.until_ready();
                assert!(raw.is_closed());
                (tag, tags(&frames), errors(&frames))
            });
        }
        // Lengths that cannot be: the server closes, the gate says why.
        for head in [
            [b'Q', 0, 0, 0, 0],
            [b'Q', 0, 0, 0, 3],
            [b'S', 0xff, 0xff, 0xff, 0xff],
            [b'd', 0x7f, 0xff, 0xff, 0xff],
        ] {
            for (way, address) in ways.each() {
                let mut raw = login(address);
                raw.bytes(&head);
                let frames = raw.until_ready();
                assert!(
                    raw.is_closed() && states(&frames).iter().all(|state| state == "08P01"),
                    "{way}: {:?}",
                    errors(&frames)
                );
                assert!(way == "directly" || states(&frames).len() == 1, "{way}");
            }
        }
        assert!(ways.is_sound());
    }
}

#[test]
fn bodies_that_are_cut_or_miscounted_are_the_servers_to_refuse() {
    let bodies: &[(u8, &[u8])] = &[
        (b'P', b"\0SELECT 1"),
        (b'P', b"\0SELECT 1\0\0\x09"),
        (b'P', b"\0SELECT 1\0\0\0left"),
        (b'B', b""),
        (b'B', b"\0\0\0\0\0\x02\0\0\0\x01a\0\0"),
        (b'B', b"\0\0\0\x02\0\0\0\0\0\x01\0\0\0\x01a\0\0"),
        (b'B', b"\0\0\0\0\0\x01\0\0\0\x09a\0\0"),
        (b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xf0\0\0"),
        (b'B', b"\0\0\0\x01\0\x07\0\x01\0\0\0\x01a\0\0"),
        (b'B', b"\0\0\0\0\0\x01\0\0\0\x01a\0\x05\0\0"),
        (b'B', b"\0\0\0\0\0\x01\0\0\0\x01a\0\0left"),
        (b'E', b"\0"),
        (b'E', b"\0\0\0\0\0left"),
        (b'E', b"\0\x80\0\0\0"),
        (b'D', b"\0"),
        (b'D', b"X\0"),
        (b'D', b"Sx"),
        (b'Q', b""),
        (b'Q', b"SELECT 1"),
        (b'Q', b"SELECT 1\0SELECT 2\0"),
        (b'F', b"\0\0\x03\xba"),
        (b'S', b"x"),
        (b'H', b"x"),
        (b'd', b""),
        (b'c', b"x"),
        (b'f', b""),
    ];
    for major in VERSIONS {
        let ways = Ways::new(major);
        for (tag, body) in bodies {
            ways.compare(&format!("{} {body:?}", char::from(*tag)), |address| {
                // What is read in a session that judges nothing, and refused with it, is the same.
                let mut raw = login(address);
                raw.parse("", "SELECT $1::text", &[]);
                raw.sync();
                raw.cork();
                raw.bytes(&frame(*tag, body));
                let mut seen = raw.sync();
                if seen.last().is_some_and(|frame| frame.tag == b'Z') && !matches!(tag, b'Q' | b'F' | b'S') {
                    seen.extend(raw.query("SELECT 'goes on'"));
                }
                seen
            });
        }
        // A named statement is read by the gate, where something is classified: the session ends.
        for body in [&b"s\0SELECT 1\0\0\x09"[..], b"", b"s"] {
            let mut raw = login(ways.other.address());
            raw.bytes(&frame(b'P', body));
            assert_eq!(states(&raw.until_ready()), ["08P01"]);
        }
        assert!(ways.is_sound());
    }
}

#[test]
fn random_bytes_of_a_client_hurt_nobody_else() {
    let ways = Ways::new(18);
    let mut dice = Dice(99);
    let sound = [
        frame(b'P', b"s\0SELECT email FROM customers WHERE email = $1\0\0\0"),
        frame(b'B', b"\0s\0\0\0\0\x01\0\0\0\x01a\0\0"),
        frame(b'D', b"P\0"),
        frame(b'E', b"\0\0\0\0\0"),
        frame(b'C', b"Ss\0"),
        frame(b'S', b""),
        frame(b'Q', b"SELECT phone FROM customers WHERE email = 'x'\0"),
        frame(b'Q', b"COPY orders FROM STDIN\0"),
        frame(b'd', b"1\n"),
    ];
    for gate in [&ways.nothing, &ways.other] {
        let mut witness = login(gate.address());
        for _ in 0..150 {
            let mut bytes: Vec<u8> =
                (0..=dice.roll(8)).flat_map(|_| sound[dice.roll(sound.len())].clone()).collect();
            for _ in 0..=dice.roll(3) {
                let at = dice.roll(bytes.len());
                bytes[at] = u8::try_from(dice.roll(256)).unwrap();
            }
            // Directly the session ends, and so it does here.
            for address in [ways.server.address(), gate.address()] {
                let mut raw = login(address);
                raw.bytes(&bytes);
                finish(&raw);
                let mut rest = Vec::new();
                assert!((&mut raw.socket()).read_to_end(&mut rest).is_ok_or_reset(), "{address}: {bytes:?}");
            }
        }
        assert_eq!(firsts(&witness.query("SELECT 'unharmed'")), ["unharmed"]);
        assert!(is_sound(gate), "{}", gate.log());
    }
}

/// Stands before a server and, at a query that holds `id = 777<n>`, says what it was told
/// to instead of it, and closes.
struct Bent {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
}

const MARK: &[u8] = b"id = 777";

impl Bent {
    fn before(server: SocketAddr, scripts: Vec<Vec<u8>>) -> Bent {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (ended, scripts) = (Arc::new(AtomicBool::new(false)), Arc::new(scripts));
        let end = ended.clone();
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let scripts = scripts.clone();
                std::thread::spawn(move || {
                    let _ = bend(client, TcpStream::connect(server)?, &scripts);
                    Ok::<(), std::io::Error>(())
                });
            }
        });
        Bent { address, ended }
    }
}

impl Drop for Bent {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn bend(mut client: TcpStream, mut server: TcpStream, scripts: &[Vec<u8>]) -> std::io::Result<()> {
    let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
    let copier = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = client.read(&mut buffer)?;
        let chunk = &buffer[..count];
        let Some(at) = chunk.windows(MARK.len()).position(|window| window == MARK) else {
            if count == 0 {
                break;
            }
            server.write_all(chunk)?;
            continue;
        };
        let digits = chunk[at + MARK.len()..].iter().take_while(|byte| byte.is_ascii_digit());
        let number = digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
        client.write_all(&scripts[number])?;
        client.shutdown(Shutdown::Write)?;
        // Until the gate has heard all of it.
        while client.read(&mut buffer).is_ok_and(|count| count > 0) {}
        break;
    }
    let _ = server.shutdown(Shutdown::Both);
    let _ = copier.join();
    Ok(())
}

/// What a server could say where it should answer `SELECT email ...`; each has a name.
fn lies(oid: u32) -> Vec<(&'static str, Vec<u8>)> {
    let row = |count: u8, length: u32| {
        frame(b'D', &[&[0, count][..], &length.to_be_bytes(), b"legible-sentinel"].concat())
    };
    let described = |count: u8, oid: u32| {
        frame(
            b'T',
            &[
                &[0, count][..],
                b"email\0",
                &oid.to_be_bytes(),
                b"\0\x02\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0",
            ]
            .concat(),
        )
    };
    let (complete, ready) = (frame(b'C', b"SELECT 1\0"), frame(b'Z', b"I"));
    let whole = |parts: &[Vec<u8>]| parts.concat();
    vec![
        ("a row without description", whole(&[row(1, 16), complete.clone(), ready.clone()])),
        (
            "a legible value where a sealed one belongs",
            whole(&[described(1, oid), row(1, 16), complete.clone(), ready.clone()]),
        ),
        (
            "a description that lies about its count",
            whole(&[described(9, oid), row(1, 16), complete.clone(), ready.clone()]),
        ),
        (
            "a row that lies about its length",
            whole(&[described(1, oid), row(1, 1 << 20), complete.clone(), ready.clone()]),
        ),
        (
            "a row of a negative length",
            whole(&[described(1, oid), row(1, u32::MAX - 4), complete.clone(), ready.clone()]),
        ),
        (
            "a row with too many columns",
            whole(&[described(1, oid), row(3, 16), complete.clone(), ready.clone()]),
        ),
        ("a row after the end", whole(&[described(1, oid), complete.clone(), row(1, 16), ready.clone()])),
        ("a row after ReadyForQuery", whole(&[ready.clone(), described(1, oid), row(1, 16)])),
        ("ReadyForQuery twice", whole(&[ready.clone(), ready.clone(), row(1, 16)])),
        ("ParseComplete", whole(&[frame(b'1', b""), row(1, 16)])),
        ("BindComplete", whole(&[frame(b'2', b""), row(1, 16)])),
        ("CopyInResponse", whole(&[frame(b'G', &[0, 0, 0]), row(1, 16)])),
        ("NoData and a row", whole(&[frame(b'n', b""), row(1, 16), ready.clone()])),
        ("a length of three", vec![b'T', 0, 0, 0, 3, 1, 2]),
        ("a length of 2 GiB", vec![b'D', 0x7f, 0xff, 0xff, 0xff, 1, 2]),
        ("a length of almost 1 GiB", vec![b'T', 0x3f, 0xff, 0xff, 0xff, 0, 1]),
        ("an error without SQLSTATE", frame(b'E', b"SERROR\0Mno\0\0")),
        ("an error without end", frame(b'E', b"SERROR\0C42601")),
        ("a parameter without value", frame(b'S', b"client_encoding\0")),
        ("random bytes", (0..200_u8).map(|n| n.wrapping_mul(151) ^ 0x5a).collect()),
        ("half a message", described(1, oid)[..9].to_vec()),
        ("nothing", Vec::new()),
    ]
}

#[test]
fn lies_of_a_server_end_the_session_and_release_nothing() {
    let server = crate::shop::server(18);
    let rows = server.query("postgres", "SELECT 'customers'::regclass::oid").unwrap();
    let lies = lies(rows[0][0].as_deref().unwrap().parse().unwrap());
    let bent = Bent::before(server.address(), lies.iter().map(|(_, bytes)| bytes.clone()).collect());
    let gate = classified(Setup::before(bent.address)).start();
    let nothing = Setup::before(bent.address).start();
    let mut witness = login(gate.address());
    let before = memory_kib(&gate, "VmHWM");
    for (number, (name, _)) in lies.iter().enumerate() {
        let sql = format!("SELECT email FROM customers WHERE id = 777{number}");
        for extended in [false, true] {
            let mut raw = login(gate.address());
            if extended {
                // In one write: the lie may end the session before another could begin.
                raw.cork();
                super::step(&mut raw, &sql);
                raw.send(b'S', &[]);
            } else {
                raw.send(b'Q', &string(&sql));
            }
            let mut frames = Vec::new();
            while let Some(frame) = raw.read() {
                frames.push(frame);
            }
            assert!(frames.iter().all(|frame| !holds(&frame.body, b"legible-sentinel")), "{name}");
            let silent =
                ["half a message", "nothing"].contains(name) || frames.iter().any(|frame| frame.tag == b'G');
            let fatal = frames
                .last()
                .is_some_and(|last| last.tag == b'E' && last.field(b'S').as_deref() == Some("FATAL"));
            // A batch is answered by ParseComplete first.
            assert!(
                silent || fatal || (extended && *name == "ParseComplete"),
                "{name}, {extended}: {} {:?}",
                tags(&frames),
                errors(&frames)
            );
        }
        // Where nothing is classified, bytes pass; the session ends all the same.
        let mut raw = login(nothing.address());
        raw.send(b'Q', &string(&sql));
        while raw.within(crate::harness::PATIENCE).len() > 4_000 {}
        assert!(raw.is_closed(), "{name}");
    }
    let grown = memory_kib(&gate, "VmHWM").saturating_sub(before);
    assert!(grown < 8 << 10, "{grown} KiB");
    assert_eq!(firsts(&witness.query("SELECT 'unharmed'")), ["unharmed"]);
    assert!(!gate.log().contains("panic") && !nothing.log().contains("panic"));
    assert!(!gate.log().contains("legible-sentinel"));
}

/// Says `script` to whoever starts up, and closes.
fn greeter(script: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let script = script.clone();
            std::thread::spawn(move || {
                if stream.read(&mut [0; 1_000]).unwrap_or(0) > 8 {
                    let _ = stream.write_all(&script);
                    let _ = stream.shutdown(Shutdown::Write);
                    while stream.read(&mut [0; 1_000]).is_ok_and(|count| count > 0) {}
                }
            });
        }
    });
    address
}

#[test]
fn a_server_that_garbles_the_login_makes_no_session() {
    let (ok, key, ready) = (frame(b'R', &[0; 4]), frame(b'K', &[0, 0, 0, 7, 1, 2, 3, 4]), frame(b'Z', b"I"));
    let authentication = |code: u32, rest: &[u8]| frame(b'R', &[&code.to_be_bytes()[..], rest].concat());
    let cases = [
        ("random bytes", vec![0xa5; 100]),
        ("ReadyForQuery first", ready.clone()),
        ("a row first", frame(b'D', b"\0\x01\0\0\0\x01x")),
        ("a key first", key.clone()),
        ("half a code", frame(b'R', &[0, 0])),
        ("a length of three", vec![b'R', 0, 0, 0, 3]),
        ("a length of 2 GiB", vec![b'R', 0x7f, 0xff, 0xff, 0xff]),
        ("a long message", [vec![b'R', 0, 2, 0, 0], vec![0; 140_000]].concat()),
        ("mechanisms without end", authentication(10, b"SCRAM-SHA-256\0")),
        ("AuthenticationOk twice", [ok.clone(), ok.clone(), key.clone()].concat()),
        ("a short key", [ok.clone(), frame(b'K', &[0, 0, 0, 7]), ready.clone()].concat()),
        ("an unknown code and the end", authentication(99, b"")),
        ("nothing", Vec::new()),
        ("N", b"N".to_vec()),
    ];
    for (name, script) in cases {
        let gate = Setup::before(greeter(script)).start();
        let mut raw = login_frames(gate.address());
        let frames = raw.until_ready();
        assert!(!tags(&frames).contains('Z'), "{name}: {}", tags(&frames));
        assert!(raw.is_closed(), "{name}");
        assert!(!gate.log().contains("panic"), "{name}: {}", gate.log());
    }
}

fn login_frames(address: SocketAddr) -> Raw {
    let mut raw = Raw::connect(address);
    raw.startup(&[("user", "postgres"), ("database", "postgres")]);
    raw
}

#[test]
fn a_server_that_closes_at_any_byte_ends_its_session_alone() {
    let parameter = frame(b'S', b"TimeZone\0UTC\0");
    let greeting =
        [frame(b'R', &[0; 4]), parameter, frame(b'K', &[0, 0, 0, 7, 1, 2, 3, 4]), frame(b'Z', b"I")].concat();
    let answer = [greeting.clone(), frame(b'N', b"SNOTICE\0C00000\0Mx\0\0"), frame(b'T', b"\0\0")].concat();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let bytes = answer.clone();
    std::thread::spawn(move || {
        let mut end = 0;
        while let Ok((mut stream, _)) = listener.accept() {
            if stream.read(&mut [0; 1_000]).unwrap_or(0) > 8 {
                let _ = stream.write_all(&bytes[..end]);
                end += 1;
            }
        }
    });
    let gate = Setup::before(address).start();
    for end in 0..answer.len() {
        let mut raw = login_frames(gate.address());
        let frames = raw.until_ready();
        let ready = tags(&frames).contains('Z');
        assert_eq!(ready, end >= greeting.len(), "closed after {end}: {}", tags(&frames));
        let mut rest = raw.within(crate::harness::PATIENCE);
        rest.truncate(answer.len());
        assert!(answer[greeting.len()..].starts_with(&rest), "closed after {end}");
    }
    assert!(!gate.log().contains("panic"), "{}", gate.log());
}
