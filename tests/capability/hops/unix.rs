//! Unix sockets on both hops.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use sealgate::store::postgres::{Authentication, Options, User};
use tokio_postgres::NoTls;

use super::{Certificates, libpq, said};
use crate::harness::{Gate, PATIENCE, Session, Setup, await_that, pg, pg_with};
use crate::shop::{classified, records_with};

/// Who answers at the gate's Unix socket?
fn by_socket(gate: &Gate, words: &str, password: &str) -> String {
    said(&libpq(gate, &format!("host={} {words}", gate.folder().display()), password))
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_socket_file_that_was_left_behind_is_taken_over_and_a_live_one_is_not() {
    let server = pg(18);
    let mut gate = Setup::before(server.address()).unix().start();
    let file = gate.socket();
    assert_eq!(by_socket(&gate, "user=postgres", ""), "postgres\n");
    gate.kill();
    assert!(fs::symlink_metadata(&file).unwrap().file_type().is_socket(), "what a killed process leaves");
    gate.run_again().unwrap();
    assert_eq!(by_socket(&gate, "user=postgres", ""), "postgres\n");

    // Another one at the same place ends, and leaves it as it is.
    let place = format!("unix:{}:{}", gate.folder().display(), gate.address().port());
    let mut second = Setup::before(server.address()).unix().prepare().unwrap();
    let own = format!("unix:{}:{}", second.folder().display(), second.address().port());
    second.configure(|text| text.replacen(&own, &place, 1));
    second.start_only();
    assert_eq!(second.wait(), Some(1));
    let told = format!("{place}: cannot listen: another process listens at {}", file.display());
    assert!(second.log().contains(&told), "{}", second.log());
    assert_eq!(by_socket(&gate, "user=postgres", ""), "postgres\n");
    gate.signal("TERM");
    assert_eq!(gate.wait(), Some(0));
    assert!(!file.exists());

    // So does one that is not ours: a socket that answers nothing, and what is no socket.
    let live = UnixListener::bind(&file).unwrap();
    assert!(second.run_again().unwrap_err().contains("another process listens at"));
    drop(live);
    fs::remove_file(&file).unwrap();
    fs::write(&file, "kept").unwrap();
    let log = second.run_again().unwrap_err();
    assert!(log.contains(&format!("{} is there and is no socket", file.display())), "{log}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    fs::remove_file(&file).unwrap();
    second.run_again().unwrap();
    assert!(fs::symlink_metadata(&file).unwrap().file_type().is_socket());
}

#[test]
fn a_unix_socket_has_the_mode_it_is_given() {
    let server = pg(15);
    let mut gate = Setup::before(server.address()).unix().start();
    // Whatever the umask.
    assert_eq!(mode(&gate.socket()), 0o777);
    for wanted in ["0700", "0660", "770", "0000"] {
        gate.configure(|text| {
            let lines = text.lines().filter(|line| !line.starts_with("unix_mode"));
            let text: String = lines.map(|line| format!("{line}\n")).collect();
            text.replacen("[listen]\n", &format!("[listen]\nunix_mode = \"{wanted}\"\n"), 1)
        });
        gate.run_again().unwrap();
        assert_eq!(mode(&gate.socket()), u32::from_str_radix(wanted, 8).unwrap());
    }
}

#[test]
fn a_client_of_a_unix_socket_is_local_and_has_no_tls() {
    let server = pg(15);
    server.execute("postgres", "CREATE TABLE customers (id int, email text, phone text, city text)").unwrap();
    let certificates = Certificates::new("unix");
    // Over TCP nobody logs in without TLS.
    let gate = classified(Setup::before(server.address())).unix().listen(&certificates.listen("")).start();
    assert!(said(&libpq(&gate, "user=postgres sslmode=disable", "")).contains("TLS is required"));
    // libpq takes no notice of sslmode there either.
    for mode in ["disable", "prefer", "require", "verify-full"] {
        let words = format!("user=postgres sslmode={mode} sslrootcert={}", certificates.root());
        assert_eq!(by_socket(&gate, &words, ""), "postgres\n", "{mode}");
    }
    let records = records_with(&gate, "session", 4);
    let clients = |kind: &str| {
        let of_kind = records.iter().filter(|record| record["kind"] == kind);
        of_kind.map(|record| record["client"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert!(clients("session").iter().all(|client| *client == "[local]"));
    assert_eq!(clients("login"), ["127.0.0.1"], "who was refused over TCP");
    let request = |code: u32| [8_u32.to_be_bytes(), code.to_be_bytes()].concat();
    let mut stream = UnixStream::connect(gate.socket()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for code in [(1234 << 16) | 5679, (1234 << 16) | 5680] {
        stream.write_all(&request(code)).unwrap();
        let mut answer = [0];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, *b"N");
    }
    // Where a certificate is the second factor, nobody comes without it.
    let listen = certificates.listen(&format!(", client_ca = \"{}\"", certificates.root()));
    let factor =
        Setup::before(server.address()).unix().listen(&listen).login("certificate = \"required\"").start();
    assert!(by_socket(&factor, "user=postgres", "").contains("a valid client certificate is required"));
    // TLS from the first byte, as far as a ClientHello says that it is one.
    let mut direct = UnixStream::connect(gate.socket()).unwrap();
    direct.set_read_timeout(Some(PATIENCE)).unwrap();
    direct.write_all(&[0x16, 3, 1, 0, 200, 1]).unwrap();
    let mut answer = Vec::new();
    direct.read_to_end(&mut answer).unwrap();
    assert!(answer.is_empty(), "{answer:?}");
}

#[test]
fn a_server_behind_a_unix_socket_is_logged_in_at_by_scram() {
    for major in crate::harness::VERSIONS {
        let user = |name: &str, attributes: &str| User {
            name: name.to_owned(),
            password: Some(format!("{name}-secret")),
            attributes: attributes.to_owned(),
        };
        let server = pg_with(Options {
            major: Some(major),
            authentication: Authentication::Scram,
            users: vec![user("ada", ""), user("bob", ""), user("service", "SUPERUSER")],
            hba: vec![
                "local all ada scram-sha-256".into(),
                "local all service scram-sha-256".into(),
                "local all bob peer".into(),
            ],
            ..Options::default()
        });
        server
            .execute("postgres", "CREATE TABLE customers (id int, email text, phone text, city text)")
            .unwrap();
        let certificates = Certificates::new(&format!("unix-{major}"));
        // TLS is for servers over TCP; a socket of this machine is not asked for it.
        let tls = format!("tls = {{ mode = \"verify-full\", ca = \"{}\" }}", certificates.root());
        let setup = || Setup::before_unix(&server).auth("scram").service("service", "service-secret").unix();
        let nothing = setup().upstream_line(&tls).start();
        let other = classified(setup()).start();
        for gate in [&nothing, &other] {
            assert_eq!(by_socket(gate, "user=ada", "ada-secret"), "ada\n", "{major}");
            assert_eq!(said(&libpq(gate, "user=ada", "ada-secret")), "ada\n", "{major}");
            assert!(
                by_socket(gate, "user=ada", "wrong")
                    .contains("password authentication failed for user \"ada\"")
            );
            assert!(
                by_socket(gate, "user=bob", "bob-secret")
                    .contains("Peer authentication failed for user \"bob\"")
            );
            // Nobody is let in as the user that runs the gate.
            assert!(by_socket(gate, "user=service", "wrong").contains("password authentication failed"));
            // Cancel requests go by the socket too.
            let session = Session::open(gate.address(), "ada", Some("ada-secret"), "postgres").unwrap();
            let token = session.client.cancel_token();
            let asleep = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
            let cancelled = session.block_on(async {
                let cancel = async {
                    while server.query("postgres", asleep).unwrap().is_empty() {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    token.cancel_query(NoTls).await.unwrap();
                };
                let (answer, ()) = tokio::join!(session.client.batch_execute("SELECT pg_sleep(60)"), cancel);
                answer
            });
            assert_eq!(cancelled.unwrap_err().code().map(|it| it.code()), Some("57014"));
        }
        let connections = "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'client backend' AND client_addr IS NOT NULL";
        assert!(server.query("postgres", connections).unwrap().is_empty(), "none came by TCP");
        drop(server);
        await_that("a server that is gone", || {
            by_socket(&nothing, "user=ada", "ada-secret").contains("cannot be reached")
        });
    }
}

#[test]
fn what_cannot_be_at_a_unix_socket_is_refused_by_line() {
    let server = pg(18);
    let gate = Setup::before_unix(&server).unix().prepare().unwrap();
    let file = gate.folder().join("sealgate.toml");
    let sound = fs::read_to_string(&file).unwrap();
    let place = format!("unix:{}:{}", gate.folder().display(), gate.address().port());
    let long = format!("unix:/{}", "x".repeat(120));
    for (from, to, at, found) in [
        // With peer authentication every client would be the user that runs the gate.
        ("", "", "[login]", "auth = \"relay\" to a Unix socket"),
        (place.as_str(), "unix:run", "address = ", "is not an absolute path"),
        (&place, "unix:/run:0", "address = ", "names no port"),
        (&place, &long, "address = ", "too long for a socket"),
        ("[listen]\n", "[listen]\nunix_mode = \"0999\"\n", "unix_mode", "is not a file mode"),
    ] {
        let text = sound.replacen(from, to, 1);
        fs::write(&file, &text).unwrap();
        let line = text.lines().position(|line| line.starts_with(at)).unwrap() + 1;
        for verb in ["check", "run"] {
            let output = gate.verb(&[verb]);
            assert_eq!(output.status.code(), Some(2), "{verb} {to}");
            let told = said(&output);
            let place = format!("{}:{line}: ", file.display());
            assert!(
                told.lines().any(|line| line.contains(&place) && line.contains(found)),
                "{verb} {to}: {told}"
            );
        }
    }
    let text = sound.replacen("auth = \"relay\"", "auth = \"scram\"", 1);
    fs::write(&file, &text).unwrap();
    let output = gate.verb(&["check"]);
    assert!(output.status.success(), "{}", said(&output));
    fs::write(&file, text.replacen(&place, "unix:/nowhere/at/all", 1)).unwrap();
    let told = gate.verb(&["check"]);
    assert_eq!(told.status.code(), Some(2));
    assert!(said(&told).contains("FAULT  listen: unix:/nowhere/at/all:5432: there is no such folder"));
    assert_eq!(gate.verb(&["run"]).status.code(), Some(2));
}
