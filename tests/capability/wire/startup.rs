//! Start-up: what the client says reaches the server, and what the server says of it the client.

use std::net::SocketAddr;

use sealgate::store::postgres::{Authentication, Options, User};

use super::{Ways, login};
use crate::harness::{Frame, Raw, VERSIONS, string};
use crate::shop::{errors, firsts, states, tags};

/// Everything of the answer to a startup but the secret, which is the gate's own, and the
/// process id, which is another session's each time.
fn started(address: SocketAddr, parameters: &[(&[u8], &[u8])]) -> (Raw, Vec<Frame>) {
    let mut body = 196_608_u32.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend([name, &b"\0"[..], value, b"\0"].concat());
    }
    body.push(0);
    let mut raw = Raw::connect(address);
    raw.untagged(&body);
    let mut frames = raw.until_ready();
    for frame in &mut frames {
        if frame.tag == b'K' {
            assert_eq!(frame.body.len(), 8);
            frame.body.clear();
        }
    }
    (raw, frames)
}

const WHO: [(&[u8], &[u8]); 2] = [(b"user", b"postgres"), (b"database", b"postgres")];

/// Every setting of the session, and where it came from.
const SETTINGS: &str = "SELECT name || '=' || setting || ' ' || source FROM pg_settings \
    WHERE source IN ('client', 'session', 'database', 'user') OR context = 'user' ORDER BY name";

#[test]
fn every_startup_parameter_reaches_the_server() {
    let more: &[(&[u8], &[u8])] = &[
        (b"application_name", b"app 'quoted' \"twice\" \\ $1"),
        (b"client_encoding", b"LATIN1"),
        (b"DateStyle", b"German, DMY"),
        (b"IntervalStyle", b"iso_8601"),
        (b"TimeZone", b"Asia/Kolkata"),
        (b"extra_float_digits", b"2"),
        (b"search_path", b"\"a b\", public"),
        (b"statement_timeout", b"54321ms"),
        (b"lock_timeout", b"7min"),
        (b"idle_in_transaction_session_timeout", b"1h"),
        (b"work_mem", b"9MB"),
        (b"default_transaction_isolation", b"serializable"),
        (b"default_transaction_read_only", b"on"),
        (b"bytea_output", b"escape"),
        (b"standard_conforming_strings", b"off"),
        (b"my.setting", b"of an extension"),
        (b"jit", b"off"),
        (b"ROW_SECURITY", b"off"),
        (b"geqo_seed", b"0.25"),
        (b"xmloption", b"document"),
    ];
    let parameters = [&WHO[..], more].concat();
    for major in VERSIONS {
        let ways = Ways::new(major);
        ways.compare("startup", |address| {
            let (mut raw, mut frames) = started(address, &parameters);
            frames.extend(raw.query(SETTINGS));
            frames.extend(raw.query("SHOW my.setting"));
            frames
        });
    }
}

#[test]
fn options_are_escaped_as_the_server_has_it() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        for options in [
            &b"-c work_mem=5MB -c search_path=a\\ b,public"[..],
            b"--work-mem=6MB --application-name=two\\ words\\\\x",
            b"  -c   geqo=off   ",
            b"-c application_name=caf\xc3\xa9\\ \\'",
            b"-cstatement_timeout=54321 -cbytea_output=escape",
            b"-c no_such=1",
            b"-c work_mem",
            b"-X",
            b"\\",
            b"",
        ] {
            let parameters = [&WHO[..], &[(&b"options"[..], options)]].concat();
            ways.compare(&String::from_utf8_lossy(options), |address| {
                let (mut raw, mut frames) = started(address, &parameters);
                if frames.last().is_some_and(|frame| frame.tag == b'Z') {
                    frames.extend(raw.query(SETTINGS));
                }
                frames
            });
        }
    }
}

#[test]
fn the_last_of_duplicate_parameters_counts_as_at_the_server() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        let twice: &[(&[u8], &[u8])] = &[
            (b"user", b"nobody"),
            (b"database", b"missing"),
            (b"work_mem", b"1MB"),
            (b"application_name", b"first"),
            (b"user", b"postgres"),
            (b"work_mem", b"2MB"),
            (b"database", b"postgres"),
            (b"application_name", b"second"),
        ];
        let frames = ways.compare("twice", |address| {
            let (mut raw, mut frames) = started(address, twice);
            frames.extend(raw.query("SHOW work_mem"));
            frames.extend(raw.query("SELECT current_user, current_database()"));
            frames
        });
        assert_eq!(firsts(&frames), ["2MB", "postgres"]);
    }
}

#[test]
fn startup_values_that_are_not_utf8_pass() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        for (name, value) in [
            (&b"application_name"[..], &b"caf\xe9 \xff\x01"[..]),
            (b"my.setting", b"\xfe\x80\xc3"),
            (b"search_path", b"\xe9"),
            (b"TimeZone", b"\xe9"),
            (b"\xe9", b"x"),
        ] {
            let latin = [&WHO[..], &[(&b"client_encoding"[..], &b"LATIN1"[..]), (name, value)]].concat();
            for parameters in [&[&WHO[..], &[(name, value)]].concat(), &latin] {
                ways.compare(&format!("{name:?}"), |address| {
                    let (mut raw, mut frames) = started(address, parameters);
                    if frames.last().is_some_and(|frame| frame.tag == b'Z') {
                        frames.extend(raw.query("SELECT encode(current_setting(n)::bytea, 'hex') FROM unnest(ARRAY['application_name', 'search_path']) n"));
                    }
                    frames
                });
            }
        }
    }
}

#[test]
fn the_servers_refusal_of_a_startup_comes_word_for_word() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        ways.server
            .execute(
                "postgres",
                "CREATE ROLE limited LOGIN CONNECTION LIMIT 0; CREATE ROLE group_only NOLOGIN",
            )
            .unwrap();
        ways.server.create_database("closed").unwrap();
        ways.server.execute("postgres", "ALTER DATABASE closed ALLOW_CONNECTIONS false").unwrap();
        type Case<'a> = (&'a [(&'a [u8], &'a [u8])], &'a str);
        let cases: &[Case<'_>] = &[
            (&[(b"user", b"postgres"), (b"database", b"missing")], "3D000"),
            (&[(b"user", b"postgres"), (b"database", b"closed")], "55000"),
            (&[(b"user", b"nobody"), (b"database", b"postgres")], "28000"),
            (&[(b"user", b"group_only"), (b"database", b"postgres")], "28000"),
            (&[(b"user", b"limited"), (b"database", b"postgres")], "53300"),
            (&[WHO[0], WHO[1], (b"no_such_setting", b"1")], "42704"),
            (&[WHO[0], WHO[1], (b"work_mem", b"much")], "22023"),
            (&[WHO[0], WHO[1], (b"client_encoding", b"KLINGON")], "22023"),
            (&[WHO[0], WHO[1], (b"replication", b"perhaps")], "22023"),
            (&[(b"database", b"postgres")], "28000"),
            (&[], "28000"),
        ];
        for (parameters, state) in cases {
            let frames = ways.compare(state, |address| {
                let (mut raw, frames) = started(address, parameters);
                assert!(raw.is_closed());
                frames
            });
            assert_eq!(states(&frames), [*state], "{:?}", errors(&frames));
        }
    }
}

#[test]
fn the_database_is_the_users_where_none_is_named() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        ways.server.execute("postgres", "CREATE ROLE ada LOGIN").unwrap();
        ways.server.create_database("ada").unwrap();
        for parameters in [&[(&b"user"[..], &b"ada"[..])][..], &[(b"user", b"ada"), (b"database", b"")]] {
            let frames = ways.compare("no database", |address| {
                let (mut raw, mut frames) = started(address, parameters);
                frames.extend(raw.query("SELECT current_database()"));
                frames
            });
            assert_eq!(firsts(&frames), ["ada"]);
        }
    }
}

fn password(raw: &mut Raw, password: &str) -> Vec<Frame> {
    raw.send(b'p', &string(password));
    raw.until_ready()
}

#[test]
fn a_wrong_password_is_refused_word_for_word_and_nothing_goes_on() {
    for major in VERSIONS {
        let user = |name: &str| User {
            name: name.into(),
            password: Some("secret".into()),
            attributes: String::new(),
        };
        let ways = Ways::with(Options {
            major: Some(major),
            users: vec![user("plain"), user("scrammed"), user("shut")],
            hba: vec![
                "host all plain all password".into(),
                "host all scrammed all scram-sha-256".into(),
                "host all shut all reject".into(),
            ],
            authentication: Authentication::Trust,
            ..Options::default()
        });
        let ask = |address, user: &'static str| {
            let mut raw = Raw::connect(address);
            raw.startup(&[("user", user), ("database", "postgres")]);
            raw
        };
        let frames = ways.compare("a wrong password", |address| {
            let mut raw = ask(address, "plain");
            let mut frames = vec![raw.read().unwrap()];
            frames.extend(password(&mut raw, "wrong"));
            assert!(raw.is_closed());
            frames
        });
        assert_eq!((tags(&frames), states(&frames)), ("RE".to_owned(), vec!["28P01".to_owned()]));
        let frames = ways.compare("the right password", |address| {
            let mut raw = ask(address, "plain");
            raw.read().unwrap();
            password(&mut raw, "secret");
            raw.query("SELECT current_user")
        });
        assert_eq!(firsts(&frames), ["plain"]);
        // What is sent behind a wrong password, without waiting, is never run.
        for (way, address) in ways.each() {
            let mut raw = ask(address, "plain");
            raw.read().unwrap();
            raw.cork();
            raw.send(b'p', &string("wrong"));
            raw.send(b'Q', &string("CREATE TABLE slipped_in ()"));
            let frames = raw.until_ready();
            assert_eq!(states(&frames).len(), 1, "{way}: {:?}", errors(&frames));
        }
        assert!(ways.server.query("postgres", "SELECT 'slipped_in'::regclass").is_err());
        let frames = ways.compare("SCRAM, hand-made", |address| {
            let mut raw = ask(address, "scrammed");
            let mut frames = vec![raw.read().unwrap()];
            let first = b"n,,n=,r=abcdefgh";
            raw.send(b'p', &[b"SCRAM-SHA-256\0", &16_u32.to_be_bytes()[..], first].concat());
            // Salt and nonce are drawn anew.
            assert_eq!(raw.read().unwrap().tag, b'R');
            raw.send(b'p', b"c=biws,r=abcdefgh,p=AAAA");
            frames.extend(raw.until_ready());
            frames
        });
        assert_eq!(tags(&frames), "RE", "{:?}", errors(&frames));
        let frames = ways.compare("pg_hba.conf", |address| ask(address, "shut").until_ready());
        assert_eq!(states(&frames), ["28000"]);
    }
}

#[test]
fn a_server_that_is_full_or_ends_says_so_itself() {
    for major in VERSIONS {
        let ways = Ways::with(Options {
            major: Some(major),
            configuration: vec![
                "max_connections = 9\nsuperuser_reserved_connections = 3\nmax_wal_senders = 2".into(),
            ],
            users: vec![User { name: "ada".into(), password: None, attributes: String::new() }],
            ..Options::default()
        });
        let try_ada = |address| {
            let mut raw = Raw::connect(address);
            raw.startup(&[("user", "ada"), ("database", "postgres")]);
            let frames = raw.until_ready();
            (raw, frames)
        };
        let mut held = Vec::new();
        let full = loop {
            let (raw, frames) = try_ada(ways.server.address());
            if !states(&frames).is_empty() {
                break frames;
            }
            held.push(raw);
        };
        assert_eq!(states(&full), ["53300"]);
        ways.compare("full", |address| try_ada(address).1);
        held.truncate(1);
        // Smart shutdown: it waits for the session that is left, and lets no other in.
        let pid = ways.server.pid().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
        crate::harness::await_that("the shutdown to begin", || {
            states(&try_ada(ways.server.address()).1) == ["57P03"]
        });
        let frames = ways.compare("shutting down", |address| try_ada(address).1);
        assert_eq!(states(&frames), ["57P03"]);
    }
}

#[test]
fn a_startup_in_fragments_of_one_byte_is_read() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        ways.compare("in fragments", |address| {
            let mut raw = Raw::connect(address);
            let mut packet = Vec::new();
            for piece in [&b"user"[..], b"postgres", b"database", b"postgres", b"work_mem", b"3MB"] {
                packet.extend([piece, b"\0"].concat());
            }
            packet.push(0);
            let length = u32::try_from(packet.len() + 8).unwrap();
            let packet = [&length.to_be_bytes()[..], &196_608_u32.to_be_bytes(), &packet].concat();
            for byte in packet {
                raw.bytes(&[byte]);
            }
            assert_eq!(raw.until_ready().last().map(|frame| frame.tag), Some(b'Z'));
            for byte in crate::harness::frame(b'Q', b"SHOW work_mem\0") {
                raw.bytes(&[byte]);
            }
            raw.until_ready()
        });
    }
}

#[test]
fn the_process_id_of_the_client_is_the_one_that_the_server_knows() {
    for major in VERSIONS {
        let ways = Ways::new(major);
        for (way, address) in ways.each() {
            let mut raw = Raw::connect(address);
            raw.startup(&[("user", "postgres"), ("database", "postgres")]);
            let key = raw.until_ready().into_iter().find(|frame| frame.tag == b'K').unwrap().body;
            let pid = i32::from_be_bytes(key[..4].try_into().unwrap());
            assert_eq!(firsts(&raw.query("SELECT pg_backend_pid()")), [pid.to_string()], "{way}");
            let mut watcher = login(address);
            watcher.query("LISTEN bell");
            raw.query("NOTIFY bell");
            let note = watcher.read().unwrap();
            assert_eq!((note.tag, &note.body[..4]), (b'A', &key[..4]), "{way}");
            // By that number others reach the session.
            raw.send(b'Q', &string("SELECT pg_sleep(60)"));
            let cancel = format!(
                "SELECT pg_cancel_backend({pid}) FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'PgSleep'"
            );
            crate::harness::await_that("the statement to be cancelled", || {
                firsts(&watcher.query(&cancel)) == ["t"]
            });
            assert_eq!(states(&raw.until_ready()), ["57014"], "{way}");
            assert_eq!(firsts(&raw.query("SELECT 1")), ["1"]);
            watcher.query(&format!("SELECT pg_terminate_backend({pid})"));
            let last = raw.until_ready();
            assert_eq!((tags(&last), states(&last)), ("E".to_owned(), vec!["57P01".to_owned()]), "{way}");
            assert!(raw.is_closed());
        }
    }
}

#[test]
fn a_cancel_of_an_idle_session_does_not_hit_its_next_statement() {
    let ways = Ways::new(18);
    for (way, address) in &ways.each()[1..] {
        let mut raw = Raw::connect(*address);
        raw.startup(&[("user", "postgres"), ("database", "postgres")]);
        let key = raw.until_ready().into_iter().find(|frame| frame.tag == b'K').unwrap().body;
        let request = [&16_u32.to_be_bytes()[..], &80_877_102_u32.to_be_bytes(), &key].concat();
        for round in 0..100 {
            let mut cancel = Raw::connect(*address);
            cancel.bytes(&request);
            assert!(cancel.is_closed());
            let answer = raw.query("SELECT pg_sleep(0.002), 'unharmed'");
            assert!(states(&answer).is_empty(), "{way}, round {round}: {:?}", errors(&answer));
        }
    }
}
