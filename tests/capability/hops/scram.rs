//! Login by SCRAM: what a stranger can learn, and what a failure leaves behind.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};

use super::{Certificates, libpq, said, scram_server, scram_setup};
use crate::harness::{Frame, Gate, Raw, Tap, VERSIONS, await_that, frame, string};
use crate::shop::{errors, states, tags};

/// The body of a SASLInitialResponse.
fn initial(first: &[u8]) -> Vec<u8> {
    [b"SCRAM-SHA-256\0", &u32::try_from(first.len()).unwrap().to_be_bytes()[..], first].concat()
}

/// A connection that has been offered mechanisms.
fn offered(address: std::net::SocketAddr, user: &str) -> Raw {
    let mut raw = Raw::connect(address);
    raw.startup(&[("user", user), ("database", "postgres")]);
    assert_eq!(raw.read().unwrap().tag, b'R');
    raw
}

/// The frames up to the refusal of a proof that is wrong, and the salt and iterations told.
fn refused(gate: &Gate, user: &str) -> (Vec<Frame>, String) {
    let mut raw = Raw::connect(gate.address());
    raw.startup(&[("user", user), ("database", "postgres")]);
    let mut frames = vec![raw.read().unwrap()];
    raw.send(b'p', &initial(b"n,,n=,r=0123456789abcdefghijklmn"));
    frames.push(raw.read().unwrap());
    let told = String::from_utf8(frames[1].body[4..].to_vec()).unwrap();
    let (nonce, salt) = told.split_once(',').unwrap();
    // 32 zero bytes: well formed, and nobody's proof.
    let answer = format!("c=biws,{nonce},p={}=", "A".repeat(43));
    raw.send(b'p', answer.as_bytes());
    // A query behind it must never be answered.
    raw.send(b'Q', b"SELECT 1\0");
    frames.push(raw.read().unwrap());
    assert!(raw.is_closed(), "{user}: a wrong proof must end the session");
    (frames, salt.to_owned())
}

#[test]
fn unknown_users_and_wrong_passwords_are_answered_alike() {
    for major in VERSIONS {
        let server = scram_server(major);
        let sql = "CREATE ROLE nologin PASSWORD 'x'; CREATE ROLE empty LOGIN;\
                   CREATE ROLE past LOGIN PASSWORD 'x' VALID UNTIL '2001-01-01';\
                   SET password_encryption = 'md5'; CREATE ROLE old LOGIN PASSWORD 'x'";
        server.execute("postgres", sql).unwrap();
        let gate = scram_setup(&server).start();
        let (known, known_salt) = refused(&gate, "ada");
        for user in ["nobody", "nologin", "empty", "past", "old"] {
            let (frames, salt) = refused(&gate, user);
            assert_eq!(frames[0].body, known[0].body, "{user}");
            assert_eq!(frames[1].body.len(), known[1].body.len(), "{user}");
            let error = |frame: &Frame| {
                let text = String::from_utf8_lossy(&frame.body).into_owned();
                text.replace(user, "ada")
            };
            assert_eq!(error(&frames[2]), error(&known[2]), "{user}");
            assert_eq!(salt.len(), known_salt.len(), "{user}");
            assert_eq!(salt.rsplit(',').next(), known_salt.rsplit(',').next(), "{user}");
            assert_ne!(salt, known_salt, "{user}");
            assert_eq!(salt, refused(&gate, user).1, "{user}: the salt must be stable");
            // By the right password, too, where there is one.
            let directly = said(&libpq(&gate, &format!("user={user}"), "x"));
            assert!(directly.contains(&format!("password authentication failed for user \"{user}\"")));
        }
    }
}

#[test]
fn a_recovered_key_logs_in_as_that_user_and_a_new_password_counts_at_once() {
    for major in VERSIONS {
        let server = scram_server(major);
        let gate = scram_setup(&server).start();
        for (user, password) in [("ada", "ada-secret"), ("bob", "bob-secret")] {
            assert_eq!(said(&libpq(&gate, &format!("user={user}"), password)), format!("{user}\n"));
        }
        assert!(!libpq(&gate, "user=ada", "bob-secret").status.success());
        server.execute("postgres", "ALTER ROLE ada PASSWORD 'changed'").unwrap();
        assert!(!libpq(&gate, "user=ada", "ada-secret").status.success());
        assert_eq!(said(&libpq(&gate, "user=ada", "changed")), "ada\n");
    }
}

#[test]
fn a_new_start_does_not_show_which_users_exist() {
    let server = scram_server(18);
    server.execute("postgres", "CREATE TABLE customers (id int, email text)").unwrap();
    let mut gate = scram_setup(&server).field("public.customers", "email", "equality").start();
    let salts = |gate: &Gate| ["ada", "nobody", "nobody else"].map(|user| refused(gate, user).1);
    let before = salts(&gate);
    gate.run_again().unwrap();
    assert_eq!(before, salts(&gate));
    assert!(before[1] != before[2] && before[0] != before[1]);
}

#[test]
fn a_recorded_proof_is_of_no_use() {
    let server = scram_server(15);
    let gate = scram_setup(&server).start();
    let tap = Tap::before(gate.address());
    let address = tap.address();
    let words = format!(
        "hostaddr={} port={} user=ada sslmode=disable gssencmode=disable",
        address.ip(),
        address.port()
    );
    assert_eq!(said(&libpq(&gate, &words, "ada-secret")), "ada\n");
    let recorded = tap.to_server();
    let startup = usize::try_from(u32::from_be_bytes(recorded[..4].try_into().unwrap())).unwrap();
    let (packet, mut rest) = recorded.split_at(startup);
    let mut messages = Vec::new();
    for _ in 0..2 {
        assert_eq!(rest[0], b'p');
        let length = 1 + usize::try_from(u32::from_be_bytes(rest[1..5].try_into().unwrap())).unwrap();
        messages.push(rest[..length].to_vec());
        rest = &rest[length..];
    }
    let [first, last] = [&messages[0], &messages[1]];
    let told = String::from_utf8(last[5..].to_vec()).unwrap();
    let (binding, proof) = (told.split_once(",r=").unwrap().0, told.split_once(",p=").unwrap().1);
    // As it was, and made to fit the new nonce: neither is a proof in another exchange.
    for adapted in [false, true] {
        let mut raw = Raw::connect(gate.address());
        raw.bytes(packet);
        assert_eq!(raw.read().unwrap().tag, b'R');
        raw.bytes(first);
        let challenge = String::from_utf8(raw.read().unwrap().body[4..].to_vec()).unwrap();
        let nonce = challenge.split_once(',').unwrap().0;
        assert!(!told.contains(nonce), "a nonce is never used twice");
        if adapted {
            raw.send(b'p', format!("{binding},{nonce},p={proof}").as_bytes());
        } else {
            raw.bytes(last);
        }
        let answer = raw.until_ready();
        let state = if adapted { "28P01" } else { "08P01" };
        assert_eq!((tags(&answer).as_str(), states(&answer)), ("E", vec![state.to_owned()]));
    }
    // All of it in one piece, with what was asked behind it.
    let mut raw = Raw::connect(gate.address());
    raw.bytes(&recorded);
    assert_eq!(tags(&raw.until_ready()), "RRE");
}

#[test]
fn sasl_messages_are_bounded_and_what_is_too_long_is_not_waited_for() {
    for major in VERSIONS {
        let server = scram_server(major);
        let gate = scram_setup(&server).start();
        // The server's own bound, to the byte.
        let head = initial(b"").len() + b"n,,n=,r=".len() + 4;
        for (length, taken) in [(1024, true), (1025, false)] {
            for address in [server.address(), gate.address()] {
                let mut raw = offered(address, "ada");
                let nonce = "x".repeat(length - head);
                raw.send(b'p', &initial(format!("n,,n=,r={nonce}").as_bytes()));
                let answer = raw.read();
                assert_eq!(answer.is_some_and(|it| it.tag == b'R'), taken, "{length} at {address}");
            }
        }
        let header = |length: u32| [&b"p"[..], &length.to_be_bytes()].concat();
        let challenged = || {
            let mut raw = offered(gate.address(), "ada");
            raw.send(b'p', &initial(b"n,,n=,r=0123456789"));
            assert_eq!(raw.read().unwrap().tag, b'R');
            raw
        };
        // A length alone, before anything is read for it or waited for.
        for length in [1025, 64 << 10, 0x3fff_ffff, 0x7fff_ffff, 0xffff_ffff, 3, 0] {
            for mut raw in [offered(gate.address(), "ada"), challenged()] {
                raw.bytes(&header(length));
                let answer = raw.until_ready();
                assert_eq!(states(&answer), ["08P01"], "{length}: {:?}", errors(&answer));
            }
        }
        // One message more than there is to say, of any kind, in one piece.
        let once = frame(b'p', &initial(b"n,,n=,r=0123456789"));
        let asked = frame(b'p', &[b"SCRAM-SHA-256\0", &(-1_i32).to_be_bytes()[..]].concat());
        for (messages, told) in [
            (once.repeat(50), "RE"),
            (asked.repeat(50), "RE"),
            ([asked, once.clone()].concat(), "RE"),
            (frame(b'p', &string("ada-secret")), "E"),
            (frame(b'Q', &string("SELECT 1")).repeat(50), "E"),
            ([once, frame(b'X', b"")].concat(), "RE"),
        ] {
            let mut raw = offered(gate.address(), "ada");
            raw.bytes(&messages);
            let answer = raw.until_ready();
            assert!(
                tags(&answer) == told && states(&answer) == ["08P01"],
                "{} {:?}",
                tags(&answer),
                errors(&answer)
            );
        }
    }
}

#[test]
fn one_deadline_runs_across_tls_and_sasl() {
    let server = scram_server(15);
    let certificates = Certificates::new("deadline");
    let gate =
        scram_setup(&server).listen(&certificates.listen("")).extra("\n[timeouts]\nlogin = \"1s\"\n").start();
    let mut tls = Command::new("openssl")
        .args(["s_client", "-quiet", "-starttls", "postgres", "-connect", &gate.address().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut to, mut from) = (tls.stdin.take().unwrap(), BufReader::new(tls.stdout.take().unwrap()));
    let body = b"\0\x03\0\0user\0ada\0database\0postgres\0\0";
    to.write_all(&[&u32::try_from(body.len() + 4).unwrap().to_be_bytes()[..], body].concat()).unwrap();
    assert_eq!(from.fill_buf().unwrap().first(), Some(&b'R'), "mechanisms are offered under TLS");
    // A message that is on its way all the time: the deadline is one of all of the login.
    let message = frame(b'p', &initial(&[b"n,,n=,r=", &[b'x'; 900][..]].concat()));
    let mut sent = message.iter();
    await_that("the end of a login byte by byte", || {
        if let Some(byte) = sent.next() {
            let _ = to.write_all(&[*byte]).and_then(|()| to.flush());
        }
        gate.log().contains("the login was not finished in time")
    });
    assert!(sent.len() > 0, "it ended before the message did");
    let mut rest = Vec::new();
    from.read_to_end(&mut rest).unwrap();
    assert!(rest.windows(8).any(|piece| piece == b"C57014\0M"), "it is told so");
    assert!(!rest.contains(&b'Z'));
    tls.wait().unwrap();
}
