//! Login `relay`: by every method, with right and wrong passwords, what comes of a login is what
//! comes of it directly.

use std::net::SocketAddr;

use super::{scram_server_with, scram_setup};
use crate::harness::{Gate, Raw, Session, Setup, VERSIONS, string};
use crate::shop::{classified, errors, states, tags};

/// Everything that a driver can tell of a login.
fn outcome(address: SocketAddr, user: &str, password: Option<&str>) -> Result<String, String> {
    match Session::open(address, user, password, "postgres") {
        Ok(session) => {
            let rows = session.text("SELECT session_user || ' ' || current_setting('is_superuser')").unwrap();
            Ok(rows[0][0].clone().unwrap())
        }
        Err(error) => Err(error.as_db_error().map_or_else(
            || error.to_string(),
            |it| {
                format!(
                    "{} {} {} {:?} {:?}",
                    it.severity(),
                    it.code().code(),
                    it.message(),
                    it.detail(),
                    it.hint()
                )
            },
        )),
    }
}

/// Offered methods, and how each of them ends where nonsense is answered.
fn by_hand(address: SocketAddr, user: &str, answer: &[u8]) -> String {
    let mut raw = Raw::connect(address);
    raw.startup(&[("user", user), ("database", "postgres")]);
    let Some(first) = raw.read() else { return "closed".to_owned() };
    // The salt of MD5 is drawn anew.
    let asked = first.body.get(..4).map(<[u8]>::to_vec);
    if first.tag == b'R' && asked.as_deref() != Some(&[0; 4]) {
        raw.send(b'p', answer);
    }
    let rest = raw.until_ready();
    format!("{} {asked:?} {} {:?}", char::from(first.tag), tags(&rest), errors(&rest))
}

#[test]
fn every_method_of_the_server_ends_as_it_does_directly() {
    for major in VERSIONS {
        let methods = [
            ("trusted", "trust"),
            ("clear", "password"),
            ("hashed", "md5"),
            ("old", "md5"),
            ("oldclear", "password"),
            ("oldscram", "scram-sha-256"),
            ("shut", "reject"),
        ];
        let server = scram_server_with(major, &methods);
        let old = "SET password_encryption = 'md5'; ALTER ROLE old PASSWORD 'old-secret'; \
            ALTER ROLE oldclear PASSWORD 'oldclear-secret'; ALTER ROLE oldscram PASSWORD 'oldscram-secret'; \
            CREATE ROLE past LOGIN PASSWORD 'past-secret' VALID UNTIL '2001-01-01'; CREATE ROLE empty LOGIN; \
            CREATE ROLE barred PASSWORD 'barred-secret'; CREATE TABLE customers (id int, email text, phone text, city text)";
        server.execute("postgres", old).unwrap();
        let relayed = || Setup::before(server.address());
        let gates = [relayed().start(), classified(relayed().service("service", "service-secret")).start()];
        let serves = ["trusted", "clear", "hashed", "old", "oldclear", "ada"];
        for user in [
            "trusted", "clear", "hashed", "old", "oldclear", "oldscram", "shut", "ada", "past", "empty",
            "barred", "nobody",
        ] {
            let right = format!("{user}-secret");
            for password in [Some(right.as_str()), Some("wrong"), Some(""), None] {
                let direct = outcome(server.address(), user, password);
                let lets_in = serves.contains(&user) && (password == Some(&right) || user == "trusted");
                assert_eq!(direct.is_ok(), lets_in, "{user} {password:?} on {major}: {direct:?}");
                for gate in &gates {
                    assert_eq!(
                        outcome(gate.address(), user, password),
                        direct,
                        "{user} {password:?} on {major}"
                    );
                }
            }
            for answer in [
                &b"md500000000000000000000000000000000\0"[..],
                b"",
                b"\0",
                b"SCRAM-SHA-256\0\0\0\0\x01x",
                b"X\0\xff\xff\xff\xff",
            ] {
                let direct = by_hand(server.address(), user, answer);
                for gate in &gates {
                    let ours = by_hand(gate.address(), user, answer);
                    assert_eq!(ours, direct, "{user} {answer:?} on {major}");
                }
            }
        }
    }
}

/// What is said behind a proof that fails is never answered, whatever the method.
#[test]
fn nothing_behind_a_failed_proof_runs() {
    let server = scram_server_with(18, &[("clear", "password"), ("hashed", "md5")]);
    let gates: [Gate; 2] = [Setup::before(server.address()).start(), scram_setup(&server).start()];
    for gate in &gates {
        for user in ["clear", "hashed", "ada"] {
            let mut raw = Raw::connect(gate.address());
            raw.cork();
            raw.startup(&[("user", user), ("database", "postgres")]);
            for _ in 0..3 {
                raw.send(b'p', &string("wrong"));
                raw.send(b'Q', &string("CREATE TABLE slipped_in ()"));
            }
            let answer = raw.until_ready();
            assert_eq!(states(&answer).len(), 1, "{user}: {}", tags(&answer));
            assert!(!tags(&answer).contains('Z'));
        }
    }
    assert!(server.query("postgres", "SELECT 'slipped_in'::regclass").is_err());
}
