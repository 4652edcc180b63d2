//! `prefer` and `allow` on the server hop come to what libpq's come to, whatever the server is
//! like: a session or none, with TLS or in plain.

use super::client::NONE;
use super::{
    Certificates, change, give, libpq, libpq_at, psycopg_says, said, scram_server, scram_setup, show,
    turn_tls_on,
};
use crate::harness::{Gate, await_that};

/// Is the server's own connection encrypted?
const UNDER_TLS: &str = "SELECT CASE WHEN ssl THEN 'tls' ELSE 'plain' END FROM pg_stat_ssl \
    WHERE pid = pg_backend_pid()";

const ANY: &str = "host all all 127.0.0.1/32 scram-sha-256";
const TLS_ALONE: &str = "hostssl all all 127.0.0.1/32 scram-sha-256";
const PLAIN_ALONE: &str = "hostnossl all all 127.0.0.1/32 scram-sha-256";

/// `tls`, `plain`, or `none` where there is no session.
fn outcome(said: &str) -> &str {
    match said.trim() {
        found @ ("tls" | "plain") => found,
        _ => "none",
    }
}

struct Way {
    mode: &'static str,
    /// Words for libpq that mean what the gate's configuration does.
    words: String,
    gate: Gate,
}

#[test]
fn prefer_and_allow_come_to_what_libpq_comes_to_before_every_kind_of_server() {
    let server = scram_server(15);
    let (ours, strange) = (Certificates::new("prefer"), Certificates::new("prefer-strange"));
    turn_tls_on(&server, &ours);
    give(&server, &ours.root(), &server.data_folder().join("root.crt"));
    change(&server, &[("ssl_ca_file", "root.crt")], None);
    let mut ways = Vec::new();
    for (mode, version, root, shown) in [
        ("prefer", "1.2", &strange, None),
        ("prefer", "1.3", &ours, None),
        // The server says no within the handshake in TLS 1.2, and behind it in 1.3.
        ("prefer", "1.2", &ours, Some(&strange)),
        ("allow", "1.2", &strange, None),
        ("allow", "1.3", &ours, None),
    ] {
        let root = root.root();
        let identity = shown.map_or_else(String::new, |shown| format!(", {}", shown.identity("server")));
        let shown = shown.map_or_else(|| NONE.to_owned(), |shown| shown.shown("server"));
        let tls =
            format!("tls = {{ mode = \"{mode}\", min_version = \"{version}\", ca = \"{root}\"{identity} }}");
        let mut gate = scram_setup(&server).upstream_line(&tls).prepare().unwrap();
        gate.run_until_logged("listening");
        let tls = format!("sslmode={mode} ssl_min_protocol_version=TLSv{version} sslrootcert={root}");
        ways.push(Way { mode, words: format!("user=ada {tls} {shown}"), gate });
    }
    // Of two ports that are named, libpq takes the last.
    let through = ways.iter().map(|way| format!("port={} sslmode=disable", way.gate.address().port()));
    let words: Vec<String> = ways.iter().map(|way| way.words.clone()).chain(through).collect();
    let mut seen = Vec::new();
    for (ssl, version, hba) in [
        ("on", "TLSv1.3", ANY),
        ("on", "TLSv1.3", TLS_ALONE),
        ("on", "TLSv1.3", PLAIN_ALONE),
        ("on", "TLSv1.2", ANY),
        ("on", "TLSv1.2", TLS_ALONE),
        ("off", "TLSv1.3", ANY),
    ] {
        change(&server, &[("ssl", ssl), ("ssl_max_protocol_version", version)], Some(hba));
        let told = psycopg_says(server.address(), &words, UNDER_TLS);
        let (newest, through) = told.split_at(ways.len());
        for (at, way) in ways.iter().enumerate() {
            let oldest = said(&libpq_at(server.address(), &way.words, "ada-secret", UNDER_TLS));
            let (newest, through) = (&newest[at], &through[at]);
            let at = format!("ssl={ssl}, at most {version}, {hba}: {}", way.words);
            assert_eq!(outcome(newest), outcome(&oldest), "{at}: {newest}, {oldest}");
            assert_eq!(outcome(through), outcome(&oldest), "{at}: {through}, {oldest}");
            seen.push((way.mode, outcome(&oldest).to_owned()));
        }
    }
    for expected in ["tls", "plain", "none"] {
        for mode in ["prefer", "allow"] {
            assert!(seen.contains(&(mode, expected.to_owned())), "{mode} never came to {expected}");
        }
    }
}

#[test]
fn that_prefer_goes_in_plain_stands_in_the_log_once_until_it_is_over() {
    let server = scram_server(15);
    let (ours, strange) = (Certificates::new("once"), Certificates::new("once-strange"));
    turn_tls_on(&server, &strange);
    let tls = format!("tls = {{ mode = \"prefer\", ca = \"{}\" }}", ours.root());
    let gate = scram_setup(&server).upstream_line(&tls).start();
    let logged = |text: &str| gate.log().lines().filter(|line| line.contains(text)).count();
    let (fails, over) = ("its TLS fails: sessions go in plain", "what was wrong is over");
    // Before any client came.
    await_that("the warning", || logged(fails) == 1);
    for _ in 0..3 {
        let found = said(&libpq_at(gate.address(), "user=ada", "ada-secret", UNDER_TLS));
        assert_eq!(found, "plain\n");
    }
    assert_eq!((logged(fails), logged(over)), (1, 0), "{}", gate.log());
    show(&server, &ours, "server");
    change(&server, &[], None);
    for _ in 0..2 {
        let found = said(&libpq_at(gate.address(), "user=ada", "ada-secret", UNDER_TLS));
        assert_eq!(found, "tls\n");
    }
    assert_eq!((logged(fails), logged(over)), (1, 1), "{}", gate.log());
}

#[test]
fn a_gate_that_nobody_could_log_in_by_is_not_ready() {
    let server = scram_server(15);
    turn_tls_on(&server, &Certificates::new("ready"));
    change(&server, &[], Some(TLS_ALONE));
    let mut gate = scram_setup(&server).upstream_line("tls = { mode = \"disable\" }").prepare().unwrap();
    gate.run_until_logged("listening");
    await_that("the fault in the log", || gate.log().contains("the service account is not let in"));
    let answer = gate.get("/health/ready").unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("28000"), "{answer}");
    assert!(!libpq(&gate, "user=ada", "ada-secret").status.success());
    change(&server, &[], Some(ANY));
    await_that("readiness", || gate.get("/health/ready").unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(said(&libpq(&gate, "user=ada", "ada-secret")), "ada\n");
}
