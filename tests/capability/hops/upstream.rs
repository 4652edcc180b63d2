//! The server hop: each mode against servers with and without TLS. On PostgreSQL 15, which
//! Debian builds with OpenSSL.

use sealgate::store::postgres::{Authentication, Options, Throwaway, User};

use super::{Certificates, libpq, said, scram_setup, turn_tls_on};
use crate::harness::pg_with;

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
    let gate = scram_setup(server).upstream_line(&line).try_start()?;
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
