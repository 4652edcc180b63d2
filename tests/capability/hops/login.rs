//! Login `scram` before servers that lie, or that know other passwords than the gate was told
//! of: either the server has proven itself and takes the user, or there is no session.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sealgate::store::postgres::Throwaway;

use super::{libpq, libpq_at, said, scram_server, scram_server_with, scram_setup};
use crate::harness::{Frame, Gate, Raw, Session, Setup, Tap, VERSIONS, frame};
use crate::shop::holds;

/// Reads a first packet; none where the peer only looked whether somebody is there.
fn first_packet(stream: &mut TcpStream) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut body = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap() - 4];
    stream.read_exact(&mut body).ok()?;
    Some(body)
}

/// Stands before a server and has another word in what it says to one user: the first argument
/// counts its messages.
fn liar(
    server: SocketAddr,
    user: &str,
    lie: impl Fn(usize, Frame) -> Vec<u8> + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, lie) = (listener.local_addr().unwrap(), Arc::new(lie));
    let victim = format!("user\0{user}\0");
    std::thread::spawn(move || {
        while let Ok((mut client, _)) = listener.accept() {
            let (lie, victim) = (Arc::clone(&lie), victim.clone());
            std::thread::spawn(move || {
                let Some(packet) = first_packet(&mut client) else { return };
                let is_victim = holds(&packet, victim.as_bytes());
                let mut upstream = Raw::connect(server);
                upstream.untagged(&packet);
                let (mut from, mut to) =
                    (client.try_clone().unwrap(), upstream.socket().try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    to.shutdown(std::net::Shutdown::Both)
                });
                if !is_victim {
                    let _ = std::io::copy(&mut upstream.socket(), &mut client);
                    return;
                }
                let mut count = 0;
                while let Some(said) = upstream.read() {
                    if client.write_all(&lie(count, said)).is_err() {
                        return;
                    }
                    count += 1;
                }
            });
        }
    });
    address
}

/// SQLSTATE and message of the error that ends a login.
fn refusal(address: SocketAddr, user: &str, password: &str) -> (String, String) {
    let Some(error) = Session::open(address, user, Some(password), "postgres").err() else {
        panic!("{user} is let in")
    };
    let told = error.as_db_error().unwrap_or_else(|| panic!("{error}"));
    assert_eq!(told.severity(), "FATAL");
    (told.code().code().to_owned(), told.message().to_owned())
}

fn opens(gate: &Gate, user: &str, password: &str) -> bool {
    let Ok(session) = Session::open(gate.address(), user, Some(password), "postgres") else { return false };
    let rows = session.text("SELECT session_user, current_user").unwrap();
    assert_eq!(rows, [[Some(user.to_owned()), Some(user.to_owned())]]);
    true
}

fn pass(said: &Frame) -> Vec<u8> {
    frame(said.tag, &said.body)
}

/// The same message with one piece replaced.
fn with(said: &Frame, piece: &str, other: &str) -> Vec<u8> {
    let text = String::from_utf8(said.body[4..].to_vec()).unwrap();
    assert!(text.contains(piece), "{text}");
    frame(said.tag, &[&said.body[..4], text.replacen(piece, other, 1).as_bytes()].concat())
}

type Lie = fn(usize, Frame) -> Vec<u8>;

#[test]
fn a_server_that_does_not_prove_itself_gets_no_session() {
    let server = scram_server(18);
    let cases: [(&str, Lie, &str, &str); 12] = [
        (
            "versions without end",
            |n, it| {
                let version = frame(b'v', &[0, 3, 0, 0, 0, 0, 0, 0]);
                if n == 0 { [version.repeat(2), pass(&it)].concat() } else { pass(&it) }
            },
            "08P01",
            "more than once",
        ),
        (
            "another signature",
            |n, it| if n == 2 { with(&it, "v=", "v=AAAA") } else { pass(&it) },
            "08P01",
            "malformed",
        ),
        (
            "a signature of the right length",
            |n, it| {
                if n == 2 {
                    frame(b'R', &[&[0, 0, 0, 12, b'v', b'='][..], &[b'A'; 43], b"="].concat())
                } else {
                    pass(&it)
                }
            },
            "08P01",
            "signature is wrong",
        ),
        ("none at all", |n, it| if n == 2 { frame(b'R', &[0; 4]) } else { pass(&it) }, "08P01", "broken off"),
        (
            "no challenge",
            |n, it| if n == 1 { frame(b'R', &[0; 4]) } else { pass(&it) },
            "08P01",
            "broken off",
        ),
        (
            "another nonce",
            |n, it| if n == 1 { with(&it, "r=", "r=x") } else { pass(&it) },
            "08P01",
            "Nonce does not match",
        ),
        (
            "fewer iterations",
            |n, it| if n == 1 { with(&it, "i=4096", "i=1") } else { pass(&it) },
            "28000",
            "not the one that auth_query",
        ),
        (
            "a password in the clear",
            |_, _| frame(b'R', &[0, 0, 0, 3]),
            "28000",
            "asks for a cleartext password",
        ),
        (
            "a password by MD5",
            |_, _| frame(b'R', &[0, 0, 0, 5, 1, 2, 3, 4]),
            "28000",
            "asks for an MD5 password",
        ),
        (
            "another mechanism",
            |_, _| frame(b'R', b"\0\0\0\x0aOAUTHBEARER\0\0"),
            "28000",
            "a SASL mechanism other than",
        ),
        (
            "a long request",
            |_, _| frame(b'R', &[&[0, 0, 0, 10][..], &[b'x'; 2_000]].concat()),
            "08P01",
            "too long",
        ),
        (
            "notices without end",
            |_, _| frame(b'N', &[b"SNOTICE\0C00000\0M", &[b'x'; 60_000][..], b"\0\0"].concat()).repeat(30),
            "08P01",
            "says too much",
        ),
    ];
    for (name, lie, sqlstate, message) in cases {
        let gate = scram_setup_before(liar(server.address(), "ada", lie)).start();
        let tap = Tap::before(gate.address());
        let (found, text) = refusal(tap.address(), "ada", "ada-secret");
        assert!(found == sqlstate && text.contains(message), "{name}: {found} {text}");
        assert!(text.starts_with("sealgate: "), "{name}: {text}");
        // Not even our own signature, which would have the client believe that it is in.
        assert!(!holds(&tap.to_client(), b"\0\0\0\x0cv="), "{name}");
        assert!(opens(&gate, "bob", "bob-secret"), "{name}");
        assert!(gate.log().contains(message) && !gate.log().contains("panic"), "{name}: {}", gate.log());
    }
}

fn scram_setup_before(server: SocketAddr) -> Setup {
    Setup::before(server).auth("scram").service("service", "service-secret")
}

/// Verifiers that the gate is told instead of the server's own.
const GIVEN: &str = "CREATE TABLE public.given (name text PRIMARY KEY, verifier text)";
const GIVEN_QUERY: &str = "auth_query = \"SELECT coalesce((SELECT verifier FROM public.given WHERE name = $1), \
    (SELECT rolpassword FROM pg_authid WHERE rolname = $1))\"";

/// Has the gate be told the verifier of another.
fn give(server: &Throwaway, user: &str, verifier: &str) {
    let sql = format!("INSERT INTO given VALUES ('{user}', {verifier})");
    server.execute("postgres", &sql).unwrap();
}

#[test]
fn a_verifier_that_is_not_the_servers_makes_no_session() {
    let server = scram_server(15);
    server.execute("postgres", GIVEN).unwrap();
    let gate = scram_setup(&server).login(GIVEN_QUERY).start();
    let of = |user: &str| format!("(SELECT rolpassword FROM pg_authid WHERE rolname = '{user}')");
    assert!(opens(&gate, "ada", "ada-secret"));
    // Whoever may choose what auth_query answers can pass here, and not there.
    give(&server, "ada", &of("bob"));
    let (sqlstate, message) = refusal(gate.address(), "ada", "bob-secret");
    assert!(sqlstate == "28000" && message.contains("not the one that auth_query returned"), "{message}");
    // Salt and iterations agree, the keys do not: the server itself refuses.
    give(&server, "bob", &of("bob"));
    let mixed = "DO $$ DECLARE a text[] = string_to_array((SELECT rolpassword FROM pg_authid WHERE rolname = 'ada'), '$'); \
        b text[] = string_to_array((SELECT rolpassword FROM pg_authid WHERE rolname = 'bob'), '$'); \
        BEGIN EXECUTE format('ALTER ROLE bob PASSWORD %L', b[1] || '$' || b[2] || '$' || a[3]); END $$";
    server.execute("postgres", mixed).unwrap();
    let (sqlstate, message) = refusal(gate.address(), "bob", "bob-secret");
    assert_eq!(message, "password authentication failed for user \"bob\"");
    assert_eq!(sqlstate, "28P01");
    // What is no verifier is none.
    for nonsense in
        ["'md5a3556571e93b0d20722ba62be61e8c2d'", "''", "'SCRAM-SHA-256$4096:AAAA$AAAA:AAAA'", "NULL"]
    {
        server.execute("postgres", "DELETE FROM given; CREATE ROLE other LOGIN").unwrap();
        give(&server, "other", nonsense);
        let refused = refusal(gate.address(), "other", "other-secret");
        assert_eq!(refused.0, "28P01", "{nonsense}: {}", refused.1);
        server.execute("postgres", "DROP ROLE other").unwrap();
    }
}

#[test]
fn behind_a_proof_the_server_may_ask_for_scram_or_nothing_alone() {
    for major in VERSIONS {
        let methods = [
            ("trust", "trust"),
            ("clear", "password"),
            ("hashed", "md5"),
            ("old", "md5"),
            ("shut", "reject"),
        ];
        let server = scram_server_with(major, &methods);
        let sql = "ALTER ROLE old PASSWORD NULL; SET password_encryption = 'md5'; ALTER ROLE old PASSWORD 'old-secret'";
        server.execute("postgres", &format!("{GIVEN}; INSERT INTO given SELECT rolname, rolpassword FROM pg_authid WHERE rolname = 'old'; {sql}")).unwrap();
        let gate = scram_setup(&server).login(GIVEN_QUERY).start();
        // `md5` in pg_hba.conf is SCRAM for a password that is stored so.
        for user in ["ada", "trust", "hashed"] {
            assert!(opens(&gate, user, &format!("{user}-secret")), "{user} on {major}");
            let (sqlstate, message) = refusal(gate.address(), user, "wrong");
            assert_eq!(sqlstate, "28P01", "{user} on {major}");
            assert_eq!(message, format!("password authentication failed for user \"{user}\""));
        }
        for (user, what) in [("clear", "a cleartext password"), ("old", "an MD5 password")] {
            let (sqlstate, message) = refusal(gate.address(), user, &format!("{user}-secret"));
            let expected = format!(
                "sealgate: the server asks for {what}; login \"scram\" needs scram-sha-256 in its pg_hba.conf"
            );
            assert_eq!((sqlstate.as_str(), message), ("28000", expected), "{user} on {major}");
        }
        let [ours, direct] =
            [gate.address(), server.address()].map(|address| refusal(address, "shut", "shut-secret"));
        assert_eq!(ours, direct);
        assert_eq!(ours.0, "28000");
    }
}

#[test]
fn an_auth_query_that_cannot_be_asked_lets_nobody_in_and_the_log_names_the_cause() {
    const MESSAGE: &str = "sealgate: the database server does not let the gate check passwords";
    let server = scram_server(18);
    server.execute("postgres", "CREATE ROLE looker LOGIN PASSWORD 'looker-secret'").unwrap();
    let gate = Setup::before(server.address())
        .auth("scram")
        .service("looker", "looker-secret")
        .login("auth_query = \"SELECT sealgate.verifier($1)\"")
        .start();
    let refused = |cause: &str, hint: &str| {
        for (user, password) in [("ada", "ada-secret"), ("ada", "wrong"), ("nobody", "x")] {
            let (sqlstate, message) = refusal(gate.address(), user, password);
            assert_eq!((sqlstate.as_str(), message.as_str()), ("28000", MESSAGE), "{cause}");
        }
        let log = gate.log();
        let line = log.lines().rfind(|line| line.contains("auth_query")).unwrap();
        assert!(line.contains(cause) && line.contains(hint), "{line}");
        assert!(!log.contains("SCRAM-SHA-256$"), "{log}");
    };
    refused("3F000", "schema \"sealgate\" does not exist");
    server.execute("postgres", "CREATE SCHEMA sealgate; GRANT USAGE ON SCHEMA sealgate TO looker").unwrap();
    refused("42883", "function sealgate.verifier(text) does not exist");
    let function = "CREATE FUNCTION sealgate.verifier(name text) RETURNS text LANGUAGE sql STABLE STRICT SECURITY DEFINER \
        SET search_path = pg_catalog, pg_temp AS 'SELECT rolpassword FROM pg_authid WHERE rolname = $1'; \
        REVOKE ALL ON FUNCTION sealgate.verifier FROM PUBLIC";
    server.execute("postgres", function).unwrap();
    refused("42501", "grant the service account");
    let broken = "CREATE OR REPLACE FUNCTION sealgate.verifier(name text) RETURNS text LANGUAGE plpgsql STABLE SECURITY DEFINER \
        AS $$ BEGIN RAISE EXCEPTION '%', (SELECT rolpassword FROM pg_catalog.pg_authid WHERE rolname = $1); END $$; \
        GRANT EXECUTE ON FUNCTION sealgate.verifier TO looker";
    server.execute("postgres", broken).unwrap();
    refused("P0001", "");
    server.execute("postgres", &function.replace("CREATE", "CREATE OR REPLACE")).unwrap();
    server.execute("postgres", "GRANT EXECUTE ON FUNCTION sealgate.verifier TO looker").unwrap();
    assert!(opens(&gate, "ada", "ada-secret"), "no start is needed");
}

#[test]
fn a_server_that_has_the_service_account_compute_without_end_is_given_up() {
    let server = scram_server(18);
    let lies = Arc::new(AtomicBool::new(false));
    let asks = {
        let lies = Arc::clone(&lies);
        move |n, it: Frame| {
            let now = n == 1 && lies.load(Ordering::Relaxed);
            if now { with(&it, "i=4096", "i=2147483647") } else { pass(&it) }
        }
    };
    let gate = scram_setup_before(liar(server.address(), "service", asks)).start();
    assert!(opens(&gate, "ada", "ada-secret"));
    lies.store(true, Ordering::Relaxed);
    let ended =
        "SELECT pg_terminate_backend(pid, 5000)::text FROM pg_stat_activity WHERE usename = 'service'";
    server.query("postgres", ended).unwrap();
    let (sqlstate, message) = refusal(gate.address(), "ada", "ada-secret");
    assert_eq!((&*sqlstate, &*message), ("08006", "sealgate: the database server cannot be reached"));
    let reason = "SCRAM iteration count exceeds the maximum allowed";
    assert!(gate.log().contains(reason), "{}", gate.log());
    assert!(gate.get("/metrics").is_some(), "the thread that tends the gate is not busy with it");
}

#[test]
fn a_walsender_proves_itself_as_anybody_does() {
    let server = scram_server(18);
    server
        .execute("postgres", "ALTER ROLE ada REPLICATION; CREATE TABLE customers (id int, email text)")
        .unwrap();
    let nothing = scram_setup(&server).start();
    let other = scram_setup(&server).field("public.customers", "email", "equality").start();
    for gate in [&nothing, &other] {
        for (kind, sql) in [("true", "IDENTIFY_SYSTEM"), ("database", "SHOW server_version_num")] {
            let runs = |user: &str, password: &str| {
                said(&libpq_at(gate.address(), &format!("user={user} replication={kind}"), password, sql))
            };
            let answer = runs("ada", "ada-secret");
            assert!(answer.starts_with(['7', '1']) && answer.lines().count() == 1, "{kind}: {answer}");
            assert!(runs("ada", "wrong").contains("password authentication failed for user \"ada\""));
            assert!(runs("bob", "bob-secret").contains("permission denied to start WAL sender"));
        }
    }
}

#[test]
fn many_users_at_once_are_never_mixed_up() {
    const THREADS: usize = 16;
    const LOGINS: usize = 8;
    let names: Vec<_> = (0..8).map(|number| format!("u{number}")).collect();
    let users: Vec<_> = names.iter().map(|name| (name.as_str(), "scram-sha-256")).collect();
    let server = scram_server_with(18, &users);
    let gate = scram_setup(&server).start();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let gate = &gate;
            scope.spawn(move || {
                for login in 0..LOGINS {
                    let user = format!("u{}", (thread + login) % 8);
                    let other = format!("u{}-secret", (thread + login + 1) % 8);
                    assert!(opens(gate, &user, &format!("{user}-secret")), "{user}");
                    if login % 4 == 0 {
                        assert_eq!(refusal(gate.address(), &user, &other).0, "28P01");
                    }
                }
            });
        }
    });
    // The same by libpq, as the last word.
    assert_eq!(said(&libpq(&gate, "user=u3", "u3-secret")), "u3\n");
}
