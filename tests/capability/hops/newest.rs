//! Protocol 3.2 by a client that speaks it (libpq 18), and by hand what it would not say.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use super::{scram_server, scram_setup};
use crate::harness::{Raw, Setup, Tap, VERSIONS, string};
use crate::routes::{driver, python};
use crate::shop::tags;

/// What the program says on one way, and whether it came to its end.
fn says(address: SocketAddr) -> (String, bool) {
    let output = Command::new(python())
        .arg(driver("python/newest_protocol.py"))
        .envs([("PGHOST", address.ip().to_string()), ("PGPORT", address.port().to_string())])
        .envs([
            ("PGUSER", "ada"),
            ("PGPASSWORD", "ada-secret"),
            ("PGDATABASE", "postgres"),
            ("PGSSLMODE", "disable"),
        ])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (text, output.status.success())
}

/// Which of these lengths the secrets had that were given out.
fn secrets(tap: &Tap) -> Vec<usize> {
    let bytes = tap.to_client();
    let ready = b"Z\0\0\0\x05I";
    let given = |secret: &usize| {
        let head = [&b"K"[..], &u32::try_from(8 + secret).unwrap().to_be_bytes()].concat();
        let mut windows = bytes.windows(head.len() + 4 + secret + ready.len());
        windows.any(|window| window.starts_with(&head) && window.ends_with(ready))
    };
    [4, 32].into_iter().filter(given).collect()
}

#[test]
fn libpq_18_speaks_its_newest_protocol_and_cancels_by_long_keys() {
    for major in VERSIONS {
        let server = scram_server(major);
        let (direct, whole) = says(server.address());
        // A server of 15 knows 3.0 alone: there the last part fails.
        assert_eq!(whole, major == 18, "{direct}");
        assert!(direct.contains("libpq: 18") && direct.contains("pid is the server's: True"), "{direct}");
        for auth in ["relay", "scram"] {
            let upstream = Tap::before(server.address());
            let setup = Setup::before(upstream.address()).auth(auth).service("service", "service-secret");
            let gate = setup.start();
            let clients = Tap::before(gate.address());
            let (ours, ended) = says(clients.address());
            assert!(ended && ours.ends_with("\ndone\n"), "{auth} on {major}: {ours}\n{}", gate.log());
            let known = ours.lines().take(direct.lines().count());
            assert!(known.eq(direct.lines()), "{auth} on {major}: {ours}\n{direct}");
            assert!(ours.contains("newest_alone: version: 30002"), "{ours}");
            assert_eq!(secrets(&clients), [4, 32], "{auth} on {major}");
            let theirs: &[usize] = if major == 18 { &[4, 32] } else { &[4] };
            assert_eq!(secrets(&upstream), theirs, "{auth} on {major}");
        }
    }
}

#[test]
fn options_of_the_protocol_are_declined_once_and_before_either_login() {
    let server = scram_server(18);
    let gates = [Setup::before(server.address()).start(), scram_setup(&server).start()];
    for (minor, options) in [
        (0_u16, &["_pq_.one"][..]),
        (2, &["_pq_.one", "_pq_.", "_pq_.one"]),
        (9, &[]),
        (0xffff, &["_pq_.a", "_pq_.\u{fc}", "_PQ_.b"]),
    ] {
        let first = |address: SocketAddr| {
            let mut body = ((3_u32 << 16) | u32::from(minor)).to_be_bytes().to_vec();
            for (name, value) in [("user", "ada"), ("database", "postgres")] {
                body.extend([string(name), string(value)].concat());
            }
            body.extend(options.iter().flat_map(|name| [string(name), string("on")].concat()));
            body.push(0);
            let mut raw = Raw::connect(address);
            raw.untagged(&body);
            let frames = [raw.read().unwrap(), raw.read().unwrap()];
            assert_eq!(tags(&frames), "vR", "3.{minor} {options:?} at {address}");
            frames
        };
        let direct = first(server.address());
        for gate in &gates {
            assert_eq!(first(gate.address())[0], direct[0], "3.{minor} {options:?}");
        }
    }
}
