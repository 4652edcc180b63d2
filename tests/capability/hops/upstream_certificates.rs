//! Certificates of the server hop: what the server shows, and what the gate shows to it.

use super::certificates::{expired, named};
use super::{
    Certificates, assert_tls_alone, change, libpq_at, psycopg, said, scram_server, scram_setup, show,
    turn_tls_on,
};
use crate::harness::{Raw, Setup, Tap};

/// A login at a server that is not accepted ends before anything of it is sent.
#[test]
fn a_server_that_cannot_show_who_it_is_learns_nothing_and_the_client_is_told() {
    let server = scram_server(15);
    let (ours, other) = (Certificates::new("shown"), Certificates::new("shown-other"));
    ours.issue("elsewhere", named("server", &["127.0.0.2", "elsewhere.example"]));
    ours.issue("late", expired(named("server", &["127.0.0.1"])));
    turn_tls_on(&server, &ours);
    let tap = Tap::before(server.address());
    let root = ours.root();
    let gates = [
        ("require", ""),
        ("require", root.as_str()),
        ("verify-ca", root.as_str()),
        ("verify-full", root.as_str()),
    ]
    .map(|(mode, root)| {
        let ca = if root.is_empty() { String::new() } else { format!(", ca = \"{root}\"") };
        let words = if root.is_empty() { String::new() } else { format!("sslrootcert={root}") };
        let line = format!("tls = {{ mode = \"{mode}\"{ca} }}");
        let mut gate = Setup::before(tap.address()).upstream_line(&line).prepare().unwrap();
        gate.run_until_logged("listening");
        (format!("user=ada sslmode={mode} {words}"), gate)
    });
    for (ssl, shown, cause, accepted) in [
        ("on", Some((&ours, "server")), "", [true, true, true, true]),
        ("on", Some((&ours, "elsewhere")), "not valid for name", [true, true, true, false]),
        ("on", Some((&ours, "late")), "expired", [true, false, false, false]),
        ("on", Some((&other, "server")), "UnknownIssuer", [true, false, false, false]),
        ("off", None, "does not offer it", [false, false, false, false]),
    ] {
        if let Some((certificates, file)) = shown {
            show(&server, certificates, file);
        }
        change(&server, &[("ssl", ssl)], None);
        for ((words, gate), accepted) in gates.iter().zip(accepted) {
            let direct = libpq_at(server.address(), words, "ada-secret", "SELECT 1");
            assert_eq!(direct.status.success(), accepted, "{cause}, {words}: {}", said(&direct));
            let (lines, logged) = (tap.connections(), gate.log().len());
            let mut raw = Raw::connect(gate.address());
            raw.startup(&[("user", "ada"), ("database", "postgres")]);
            let first = raw.read().unwrap();
            if accepted {
                assert_eq!(first.tag, b'R', "{cause}, {words}");
                continue;
            }
            let field = |name| first.field(name).unwrap_or_default();
            assert_eq!((first.tag, field(b'S').as_str(), field(b'C').as_str()), (b'E', "FATAL", "08006"));
            assert_eq!(field(b'M'), "sealgate: the database server cannot be reached");
            assert_eq!(field(b'H'), "The log of Sealgate names the cause.");
            assert!(raw.is_closed());
            let log = gate.log()[logged..].to_owned();
            assert!(log.contains("TLS: ") && log.contains(cause), "{words}: {cause}: {log}");
            assert!(tap.connections() > lines);
        }
    }
    for bytes in tap.each_to_server() {
        assert_tls_alone(&bytes);
    }
}
