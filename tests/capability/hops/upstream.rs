//! The server hop: each mode against servers with and without TLS. On PostgreSQL 15, which
//! Debian builds with OpenSSL.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};

use sealgate::store::postgres::{Authentication, Options, Throwaway, User};

use super::{Certificates, SSL_REQUEST, libpq, said, scram_setup, turn_tls_on};
use crate::harness::{Raw, Setup, pg_with};
use crate::shop::states;

/// A server with TLS on, whose hba takes TCP by `kind` alone (`hostssl` or `hostnossl`).
fn tls_server(kind: &str, certificates: &Certificates) -> Throwaway {
    let user = |name: &str, attributes: &str| User {
        name: name.to_owned(),
        password: Some(format!("{name}-secret")),
        attributes: attributes.to_owned(),
    };
    let rejected = if kind == "hostssl" { "hostnossl" } else { "hostssl" };
    let server = pg_with(Options {
        major: Some(15),
        authentication: Authentication::Scram,
        users: vec![user("ada", ""), user("service", "SUPERUSER")],
        hba: vec![format!("{rejected} all all 127.0.0.1/32 reject")],
        ..Options::default()
    });
    turn_tls_on(&server, certificates);
    server
}

/// Does a login by way of a gate in this mode succeed? With the error where not.
fn attempt(server: &Throwaway, mode: &str, root: &str) -> Result<(), String> {
    let line = format!("tls = {{ mode = \"{mode}\", ca = \"{root}\" }}");
    let mut gate = scram_setup(server).upstream_line(&line).prepare()?;
    gate.run_until_logged("listening");
    let output = libpq(&gate, "user=ada", "ada-secret");
    if said(&output) == "ada\n" { Ok(()) } else { Err(said(&output)) }
}

#[test]
fn a_server_that_takes_tls_alone_refuses_disable_and_is_verified() {
    let certificates = Certificates::new("hostssl");
    let server = tls_server("hostssl", &certificates);
    for mode in ["allow", "prefer", "require", "verify-ca", "verify-full"] {
        assert_eq!(attempt(&server, mode, &certificates.root()), Ok(()), "{mode}");
    }
    assert!(attempt(&server, "disable", &certificates.root()).is_err());
    let strange = Certificates::new("hostssl-strange");
    for mode in ["verify-ca", "verify-full"] {
        let line = format!("tls = {{ mode = \"{mode}\", ca = \"{}\" }}", strange.root());
        let mut gate = scram_setup(&server).upstream_line(&line).prepare().unwrap();
        gate.run_until_logged("listening");
        assert!(!libpq(&gate, "user=ada", "ada-secret").status.success(), "{mode} with a strange root");
        assert!(gate.log().contains("TLS: "), "{mode}: {}", gate.log());
    }
}

/// `prefer` goes on in plain where the server does not offer TLS, and where its hba refuses a
/// login under TLS, as libpq does; whoever insists on TLS never does.
#[test]
fn a_server_that_takes_plain_alone_refuses_whoever_insists_on_tls() {
    let certificates = Certificates::new("hostnossl");
    let server = tls_server("hostnossl", &certificates);
    for (mode, serves) in
        [("disable", true), ("allow", true), ("prefer", true), ("require", false), ("verify-full", false)]
    {
        let attempt = attempt(&server, mode, &certificates.root());
        assert_eq!(attempt.is_ok(), serves, "{mode}: {attempt:?}");
    }
}

/// CVE-2021-23222: whoever is on the way could put an answer behind the server's S. Where the
/// handshake that follows may fail, the gate begins anew, and reads nothing of it either.
#[test]
fn bytes_stuffed_behind_the_servers_answer_are_never_taken_for_its_own() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 8];
            if stream.read_exact(&mut request).is_ok() && request == SSL_REQUEST {
                // S, and behind it what ends a login.
                let _ = stream.write_all(b"SR\0\0\0\x08\0\0\0\0Z\0\0\0\x05I");
                let _ = stream.read(&mut [0; 4096]);
            }
        }
    });
    for mode in ["prefer", "require"] {
        let mut gate = Setup::before(address)
            .upstream_line(&format!("tls = {{ mode = \"{mode}\" }}"))
            .prepare()
            .unwrap();
        gate.run_until_logged("listening");
        let mut raw = Raw::connect(gate.address());
        raw.untagged(b"\0\x03\0\0user\0ada\0\0");
        let answer = raw.until_ready();
        assert_eq!(states(&answer), ["08006"], "{mode}");
        assert!(!answer.iter().any(|frame| frame.tag == b'R' || frame.tag == b'Z'), "{mode}");
        assert!(gate.log().contains("received corrupt message"), "{mode}: {}", gate.log());
    }
}
