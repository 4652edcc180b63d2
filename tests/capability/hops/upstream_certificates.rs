//! Certificates of the server hop: what the server shows, and what the gate shows to it.

use super::certificates::{expired, named};
use super::client::NONE;
use super::{
    Certificates, assert_tls_alone, change, give, libpq_at, said, scram_server, scram_setup, show,
    turn_tls_on,
};
use crate::harness::{Raw, Setup, Tap, await_that};

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

#[test]
fn the_gates_certificate_is_what_the_servers_hba_asks_for_as_libpqs_is() {
    let server = scram_server(15);
    let (ours, other) = (Certificates::new("mine"), Certificates::new("mine-other"));
    for (certificates, file) in [(&ours, "ada"), (&ours, "bob"), (&other, "ada")] {
        certificates.issue(file, named(file, &[]));
    }
    turn_tls_on(&server, &ours);
    let root = ours.root();
    give(&server, &root, &server.data_folder().join("root.crt"));
    change(&server, &[("ssl_ca_file", "root.crt")], None);
    let shown = [NONE.to_owned(), ours.shown("ada"), ours.shown("bob"), other.shown("ada")];
    let identities = [None, Some((&ours, "ada")), Some((&ours, "bob")), Some((&other, "ada"))];
    let gates = identities.map(|identity| {
        let identity = identity
            .map_or_else(String::new, |(certificates, file)| format!(", {}", certificates.identity(file)));
        let line = format!("tls = {{ mode = \"verify-full\", ca = \"{root}\"{identity} }}");
        let mut gate = scram_setup(&server).upstream_line(&line).prepare().unwrap();
        gate.run_until_logged("listening");
        gate
    });
    // It is in the log before a client comes.
    await_that("the fault", || gates[3].log().contains("the service account is not let in"));
    assert!(gates[3].get("/health/ready").unwrap().starts_with("HTTP/1.1 503"));
    // The service account is another matter: whatever TLS it comes by.
    let service = "hostssl all service 127.0.0.1/32 scram-sha-256\n";
    for (method, accepted) in [
        // None, hers, bob's, hers of another authority.
        ("cert", [false, true, false, false]),
        ("scram-sha-256 clientcert=verify-ca", [false, true, true, false]),
        ("scram-sha-256 clientcert=verify-full", [false, true, false, false]),
    ] {
        let hba = format!("{service}hostssl all all 127.0.0.1/32 {method}");
        change(&server, &[], Some(&hba));
        for (number, gate) in gates.iter().enumerate() {
            let words = format!("user=ada sslmode=verify-full sslrootcert={root} {}", shown[number]);
            let direct = libpq_at(server.address(), &words, "ada-secret", "SELECT 1");
            let through = libpq_at(gate.address(), "user=ada", "ada-secret", "SELECT 1");
            let at = format!("{method}, {}", shown[number]);
            assert_eq!(direct.status.success(), accepted[number], "{at}: {}", said(&direct));
            assert_eq!(through.status.success(), accepted[number], "{at}: {}", said(&through));
            if accepted[number] {
                continue;
            }
            let (direct, through) = (said(&direct), said(&through));
            // The server's own word, or what the gate says where the server says none.
            match direct.split_once("FATAL: ") {
                Some((_, why)) => assert!(through.contains(why.trim()), "{at}: {through}"),
                None => {
                    assert!(direct.contains("unknown ca"), "{at}: {direct}");
                    assert!(
                        through.contains("HINT:  The log of Sealgate names the cause."),
                        "{at}: {through}"
                    );
                    assert!(gate.log().contains("UnknownCA"), "{at}: {}", gate.log());
                }
            }
        }
    }
    // Also where nobody but the client logs in.
    let line = format!("tls = {{ mode = \"require\", {} }}", other.identity("ada"));
    let mut gate = Setup::before(server.address()).upstream_line(&line).prepare().unwrap();
    gate.run_until_logged("listening");
    let through = said(&libpq_at(gate.address(), "user=ada", "ada-secret", "SELECT 1"));
    assert!(through.contains("FATAL:  sealgate: the database server"), "{through}");
    assert!(through.contains("HINT:  The log of Sealgate names the cause."), "{through}");
    assert!(gate.log().contains("UnknownCA"), "{}", gate.log());
}
